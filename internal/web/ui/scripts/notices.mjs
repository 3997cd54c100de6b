// The licences of the packages whose code is in what we ship, as those licences ask.

import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

// What may be shipped: permissive licences only. A tool that only builds or tests is not shipped.
const permissive = new Set(["MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "0BSD"])

/**
 * notices is one text with name, version and licence of each package.
 * @param {string} root the npm project
 * @param {Set<string>} packages names, as imported
 * @returns {string}
 */
export function notices(root, packages) {
	let text = "Doorstep is licensed under Apache-2.0. These parts of this app are from others:\n"
	for (const name of [...packages].sort()) {
		const dir = join(root, "node_modules", name)
		const about = JSON.parse(readFileSync(join(dir, "package.json"), "utf8"))
		if (!permissive.has(about.license)) throw new Error(`${name} is shipped under ${about.license}: not permissive`)
		const file = readdirSync(dir).find(entry => /^licen[cs]e/i.test(entry))
		if (!file || !existsSync(join(dir, file))) throw new Error(`${name} has no licence text`)
		const licence = readFileSync(join(dir, file), "utf8").trim().replaceAll("\r\n", "\n")
		text += `\n---- ${name} ${about.version} (${about.license})\n\n${licence}\n`
	}
	return text
}
