// The licences of the packages whose code is in what we ship, as those licences ask.

import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

// What may be shipped: permissive licences only. A tool that only builds or tests is not shipped.
const permissive = new Set(["MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "0BSD"])

// Published as one file each, with their dependencies inside.
const whole = new Set(["maplibre-gl"])

/**
 * notices is one text with name, version and licence of each package.
 * @param {string} root the npm project
 * @param {Set<string>} packages names, as imported
 * @returns {string}
 */
export function notices(root, packages) {
	let text = "Doorstep is licensed under Apache-2.0. These parts of this app are from others:\n"
	for (const name of [...inside(root, packages)].sort()) {
		const dir = join(root, "node_modules", name)
		const about = manifest(root, name)
		if (
			!about.license
				?.replace(/[()]/g, "")
				.split(" OR ")
				.some(one => permissive.has(one))
		)
			throw new Error(`${name} is shipped under ${about.license}: not permissive`)
		text += `\n---- ${name} ${about.version} (${about.license})\n\n${licence(dir, name)}\n`
	}
	return text
}

const manifest = (root, name) => JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8"))

/** inside is the packages, and those that are within one of them. */
function inside(root, packages) {
	const all = new Set(packages)
	const add = name => {
		for (const other of Object.keys(manifest(root, name).dependencies ?? {})) {
			if (other.startsWith("@types/") || all.has(other)) continue
			all.add(other)
			add(other)
		}
	}
	for (const name of packages) if (whole.has(name)) add(name)
	return all
}

/** licence is a package's licence text; some have it at the end of what they say of themselves. */
function licence(dir, name) {
	const read = file => readFileSync(join(dir, file), "utf8").trim().replaceAll("\r\n", "\n")
	const file = readdirSync(dir).find(entry => /^licen[cs]e/i.test(entry))
	if (file) return read(file)
	const readme = readdirSync(dir).find(entry => /^readme/i.test(entry))
	const told = readme && read(readme).match(/^#+ *licen[cs]e[\s\S]*/im)
	if (!told) throw new Error(`${name} has no licence text`)
	return told[0]
}
