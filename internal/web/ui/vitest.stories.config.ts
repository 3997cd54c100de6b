import { defineConfig } from "vitest/config"

// Browser stories against the real binary, one after the other: each starts a server and a browser.
export default defineConfig({
	test: {
		include: ["stories/**/*.spec.ts"],
		environment: "node",
		fileParallelism: false,
		testTimeout: 300_000,
		hookTimeout: 120_000,
	},
})
