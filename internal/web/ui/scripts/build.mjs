// Builds every face into ../dist, which the Go binary embeds: the page and its hashed assets, the service
// worker (one classic script that knows what the shell consists of), compressed copies, licence notices.
// Nothing in the output depends on the time or on where it was built: two builds are equal byte for byte.

import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { brotliCompressSync, constants, gzipSync } from "node:zlib"
import { svelte } from "@sveltejs/vite-plugin-svelte"
import { build } from "vite"
import { notices } from "./notices.mjs"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const dist = process.env.DIST ?? join(root, "../dist")
const faces = ["store", "dispatch"].filter(face => existsSync(join(root, "src", face, "index.html")))

for (const name of readdirSync(dist)) {
	if (name !== ".gitkeep") rmSync(join(dist, name), { recursive: true })
}
const used = new Set()
for (const face of faces) {
	await page(face)
	if (existsSync(join(root, "src", face, "sw.ts"))) await worker(face)
	writeFileSync(join(dist, face, "NOTICES.txt"), notices(root, used))
}
for (const file of files(dist)) compress(file)

async function page(face) {
	await build({
		configFile: false,
		root: join(root, "src", face),
		base: `/${face}/`,
		publicDir: join(root, "src", face, "public"),
		logLevel: "warn",
		plugins: [svelte({ configFile: join(root, "svelte.config.js") }), modules()],
		build: {
			outDir: join(dist, face),
			emptyOutDir: true,
			target: "es2022",
			assetsInlineLimit: 0, // a data: URL would not pass the policy
			modulePreload: false,
			chunkSizeWarningLimit: 1200, // kB: the map, which is fetched when it is opened
			cssCodeSplit: false,
			cssMinify: true,
			reportCompressedSize: false,
		},
	})
}

async function worker(face) {
	const shell = files(join(dist, face))
		.map(file => relative(join(dist, face), file))
		.filter(name => !name.endsWith(".png") || name.includes("192"))
		.sort()
	const version = createHash("sha256")
	for (const name of shell) version.update(name).update(readFileSync(join(dist, face, name)))
	await build({
		configFile: false,
		root: join(root, "src", face),
		publicDir: false,
		logLevel: "warn",
		define: {
			__SHELL__: JSON.stringify(shell.map(name => (name === "index.html" ? "" : name))),
			__VERSION__: JSON.stringify(version.digest("hex").slice(0, 12)),
		},
		plugins: [modules()],
		build: {
			outDir: join(dist, face),
			emptyOutDir: false,
			target: "es2022",
			reportCompressedSize: false,
			rolldownOptions: {
				input: join(root, "src", face, "sw.ts"),
				output: { format: "iife", entryFileNames: "sw.js" },
			},
		},
	})
}

// modules remembers which packages end up in what is shipped.
function modules() {
	return {
		name: "modules",
		generateBundle(_, bundle) {
			for (const chunk of Object.values(bundle)) {
				for (const id of Object.keys(chunk.modules ?? {})) {
					const at = id.lastIndexOf("node_modules/")
					if (at < 0 || id.startsWith("\0")) continue
					const [scope, name] = id.slice(at + "node_modules/".length).split("/")
					used.add(scope.startsWith("@") ? `${scope}/${name}` : scope)
				}
			}
		},
	}
}

function files(dir) {
	return readdirSync(dir, { withFileTypes: true, recursive: true })
		.filter(entry => entry.isFile() && entry.name !== ".gitkeep")
		.map(entry => join(entry.parentPath ?? entry.path, entry.name))
		.sort()
}

// compress writes copies beside a file that are worth it. Pictures are compressed already.
function compress(file) {
	if (file.endsWith(".png")) return
	const body = readFileSync(file)
	const brotli = brotliCompressSync(body, {
		params: {
			[constants.BROTLI_PARAM_QUALITY]: 11,
			[constants.BROTLI_PARAM_LGWIN]: 22,
			[constants.BROTLI_PARAM_SIZE_HINT]: body.length,
		},
	})
	const gzip = gzipSync(body, { level: 9 })
	if (brotli.length < body.length) writeFileSync(`${file}.br`, brotli)
	if (gzip.length < body.length) writeFileSync(`${file}.gz`, gzip)
}
