import { svelte } from "@sveltejs/vite-plugin-svelte"
import { defineConfig } from "vitest/config"

// What the tests and svelte-check see; scripts/build.mjs says how a face is built.
export default defineConfig({
	plugins: [svelte()],
	test: { include: ["test/**/*.test.ts"], environment: "node" },
})
