// Prints what a first visit costs on the wire, against the budgets, and fails above one.
// The store app: everything its page loads before it is usable, compressed as the server sends it.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

const web = join(dirname(fileURLToPath(import.meta.url)), "../..")
const dist = process.env.DIST ?? join(web, "dist")
const kB = 1024
let over = false

function wire(file) {
	return statSync(existsSync(`${file}.br`) ? `${file}.br` : file).size
}

function report(what, budget, parts) {
	const total = parts.reduce((sum, [, bytes]) => sum + bytes, 0)
	const fits = total <= budget
	over ||= !fits
	console.log(`${what}: ${total} bytes of ${budget}${fits ? "" : "  OVER"}`)
	for (const [name, bytes] of parts) console.log(`  ${String(bytes).padStart(7)}  ${name}`)
}

const store = join(dist, "store")
if (existsSync(store)) {
	const page = readFileSync(join(store, "index.html"), "utf8")
	const assets = readdirSync(join(store, "assets")).filter(name => /\.(js|css)$/.test(name))
	const first = assets.filter(name => page.includes(name))
	for (const name of first) {
		// What a piece imports comes with it; what it only names in import() comes when it is wanted.
		for (const [, other] of readFileSync(join(store, "assets", name), "utf8").matchAll(
			/(?:from|import)"\.\/([^"]+)"/g,
		)) {
			if (!first.includes(other)) first.push(other)
		}
	}
	const later = assets.filter(name => !first.includes(name))
	const names = ["index.html", ...first.map(name => `assets/${name}`), "sw.js", "manifest.webmanifest", "icon.svg"]
	report(
		"store app, first load, brotli",
		40 * kB,
		names.map(name => [name, wire(join(store, name))]),
	)
	report(
		"store app, fetched later by the service worker",
		20 * kB,
		later.map(name => [name, wire(join(store, "assets", name))]),
	)
}
// The console is for a desk; it still should be there at once.
const dispatch = join(dist, "dispatch")
if (existsSync(dispatch)) {
	const page = readFileSync(join(dispatch, "index.html"), "utf8")
	const first = readdirSync(join(dispatch, "assets")).filter(name => /\.(js|css)$/.test(name) && page.includes(name))
	report(
		"console, first load, brotli",
		60 * kB,
		["index.html", ...first.map(name => `assets/${name}`), "icon.svg"].map(name => [name, wire(join(dispatch, name))]),
	)
	const later = readdirSync(join(dispatch, "assets")).filter(name => /\.js$/.test(name) && !page.includes(name))
	report(
		"console, fetched when it is wanted (the map, another language), brotli",
		600 * kB,
		later.map(name => [name, wire(join(dispatch, "assets", name))]),
	)
}
// Go compresses the page itself when it is asked for; its size varies with the order, so what is
// printed here is the part that is the same for all. TestTrackingWeighsLittle holds a whole page.
const tracking = ["tracking.css", "tracking.js", "icon.svg"].map(name => [
	name,
	gzipSync(readFileSync(join(web, name)), { level: 9 }).length,
])
report("tracking page without its HTML, gzip", 10 * kB, tracking)
process.exit(over ? 1 : 0)
