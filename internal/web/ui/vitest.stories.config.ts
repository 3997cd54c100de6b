import { defineConfig } from "vitest/config"

// Browser stories against the real binary. Each file starts a browser and servers of its own; they mostly wait, so
// two at once are no harder on the smallest machine we test on than one.
export default defineConfig({
	test: {
		include: ["stories/**/*.spec.ts"],
		environment: "node",
		maxWorkers: 2,
		maxConcurrency: 4,
		testTimeout: 300_000,
		hookTimeout: 120_000,
	},
})
