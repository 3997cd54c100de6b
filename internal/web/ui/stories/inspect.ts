// What everybody may ask of any page: nothing that axe finds, at any width, light and dark; everything within
// reach of a keyboard, and seen when it has the focus.

import { mkdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type { Page } from "playwright-core"
import { expect } from "vitest"

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

/** shots is a folder (SHOTS) for pictures of every page, to look at afterwards. */
export const shots = process.env.SHOTS

/** Look is a window's width in px and a colour scheme; of a page in another look only what a look can change is asked. */
type Look = { width: number; dark: boolean; asks: "all" | "colours" | "width" }

const narrow: Look = { width: 360, dark: false, asks: "all" }
const looks: Look[] = [
	narrow,
	{ width: 360, dark: true, asks: "colours" },
	{ width: 768, dark: false, asks: "width" },
	{ width: 1440, dark: false, asks: "colours" },
	{ width: 1440, dark: true, asks: "all" },
]
// Another language changes how long words are; what a page consists of stays.
const otherLanguage: Look[] = [
	{ width: 360, dark: true, asks: "all" },
	{ width: 1440, dark: false, asks: "width" },
]

export type Asked = {
	/** target is how high whatever a finger hits must be, px; 0 asks only what axe asks. */
	target?: number
	/** translated says that the page was inspected in another language already. */
	translated?: boolean
	/** height of the window, px. */
	height?: number
}

/** inspect holds a page against axe in every look, and leaves it as wide and as light as it was. */
export async function inspect(page: Page, what: string, asked: Asked = {}) {
	const before = page.viewportSize() ?? { width: 360, height: 740 }
	for (const look of asked.translated ? otherLanguage : looks) {
		const name = `${what}, ${look.width} px, ${look.dark ? "dark" : "light"}${asked.translated ? ", translated" : ""}`
		await page.setViewportSize({ width: look.width, height: asked.height ?? before.height })
		await page.emulateMedia({ colorScheme: look.dark ? "dark" : "light" })
		await drawn(page)
		if (shots) {
			mkdirSync(shots, { recursive: true })
			await page.screenshot({ path: `${shots}/${name.replaceAll(/[^\w]+/g, "-")}.png`, fullPage: true })
		}
		if (look.asks !== "width") expect(await violations(page, look.asks === "colours"), `axe on ${name}`).toEqual([])
		expect(await overflow(page), `${name} is wider than its window`).toBeLessThanOrEqual(0)
		if (asked.target && look.asks === "all") expect(await small(page, asked.target), `targets on ${name}`).toEqual([])
	}
	await page.setViewportSize(before)
	await page.emulateMedia({ colorScheme: "light" })
	await drawn(page)
}

/** inspectAsItIs holds a page against axe in the look that it has. */
export async function inspectAsItIs(page: Page, what: string) {
	if (shots) {
		mkdirSync(shots, { recursive: true })
		await page.screenshot({ path: `${shots}/${what}.png`, fullPage: true })
	}
	expect(await violations(page, false), `axe on ${what}`).toEqual([])
	expect(await overflow(page), `${what} is wider than its window`).toBeLessThanOrEqual(0)
}

/** drawn waits until the page has been laid out anew. */
const drawn = (page: Page) =>
	page.evaluate(() => new Promise<void>(done => requestAnimationFrame(() => requestAnimationFrame(() => done()))))

async function violations(page: Page, colours: boolean): Promise<string[]> {
	if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe)
	return page.evaluate(async onlyColours => {
		type Found = { id: string; nodes: { html: string; failureSummary?: string }[] }
		const run = (globalThis as unknown as { axe: { run(on: object, how: object): Promise<{ violations: Found[] }> } })
			.axe
		const { violations } = await run.run(document, {
			resultTypes: ["violations"],
			...(onlyColours && { runOnly: ["color-contrast"] }),
		})
		return violations.map(v => `${v.id}: ${v.nodes.map(n => `${n.html} ${n.failureSummary}`).join("\n")}`)
	}, colours)
}

const overflow = (page: Page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth)

const small = (page: Page, least: number) =>
	page.evaluate(
		least =>
			[...document.querySelectorAll<HTMLElement>("button, a, input, summary, label.button, textarea")]
				.filter(e => e.checkVisibility() && !e.matches(".vh, [type=radio], label [type=checkbox]"))
				.filter(e => e.getBoundingClientRect().height < least - 0.5)
				.map(e => `${e.outerHTML.slice(0, 120)} is ${e.getBoundingClientRect().height} px high`),
		least,
	)

/**
 * tabThrough presses Tab until the focus has been everywhere, and answers what is wrong: what is never reached,
 * what does not show that it has the focus, what lies under something else, and a trap.
 */
export async function tabThrough(page: Page): Promise<string[]> {
	await page.evaluate(keyboard)
	const found = new Set<string>()
	const tab = async () => {
		await page.keyboard.press("Tab")
		return page.evaluate(() => window.keyboard.look())
	}
	// What is chosen by a focus may change the page; whatever that brought is reached in a second round.
	for (let round = 0; round < 2; round++) {
		const most = await page.evaluate(() => window.keyboard.begin())
		for (let i = 0, over = false; !over; i++) {
			const { wrong, left } = await tab()
			for (const w of wrong) found.add(w)
			over = left
			if (i > most) return [...found, "the focus never leaves the page"]
		}
		const missed = await page.evaluate(() => window.keyboard.missed())
		if (missed.length === 0) break
		if (round === 1) for (const m of missed) found.add(`not reached: ${m}`)
	}
	return [...found]
}

declare global {
	interface Window {
		keyboard: {
			begin(): number
			look(): { wrong: string[]; left: boolean }
			missed(): string[]
		}
	}
}

// keyboard runs in the page.
function keyboard() {
	const seen = new Set<Element>()
	let last: { e: Element; looks: string } | undefined
	const name = (e: Element) => e.outerHTML.replace(/\s+/g, " ").slice(0, 140)

	// A group of radio buttons is one stop; the arrows go on from there.
	const group = (e: Element) =>
		e instanceof HTMLInputElement && e.type === "radio"
			? [...document.querySelectorAll<HTMLInputElement>("input[type=radio]")].filter(
					r => r.name === e.name && r.form === e.form,
				)
			: [e]
	const stops = () =>
		[
			...document.querySelectorAll<HTMLElement>(
				"a[href], button, input, select, textarea, summary, audio[controls], video[controls], [contenteditable], [tabindex]",
			),
		].filter(
			e =>
				e.tabIndex >= 0 &&
				!e.matches(":disabled, [type=hidden]") &&
				!e.closest("[inert]") &&
				e.checkVisibility({ visibilityProperty: true }) &&
				(!document.querySelector("dialog:modal") || e.closest("dialog:modal")),
		)
	const faces = (e: Element): Element[] => [e, ...((e as HTMLInputElement).labels ?? [])]
	// What may show a focus: the element's own look, that of its label, and what is drawn before and after them.
	const looks = (e: Element) =>
		faces(e)
			.flatMap(f => [undefined, "::before", "::after"].map(part => getComputedStyle(f, part)))
			.map(s => [s.outline, s.boxShadow, s.border, s.backgroundColor, s.textDecoration, s.color].join(" "))
			.join("\n")
	// Not wholly under something else, nor outside of the window.
	const inSight = (e: Element) =>
		faces(e).some(f =>
			[...f.getClientRects()].some(r =>
				[0.5, 0.1, 0.9].some(x =>
					[0.5, 0.1, 0.9].some(y => {
						const top = document.elementFromPoint(r.x + x * r.width, r.y + y * r.height)
						return top !== null && (f.contains(top) || top.contains(f))
					}),
				),
			),
		)

	window.keyboard = {
		begin() {
			last = undefined
			// Where the focus was remains where Tab goes on from; so it has to be at the top for a moment.
			const top = document.createElement("span")
			top.tabIndex = -1
			;(document.querySelector("dialog:modal") ?? document.body).prepend(top)
			top.focus()
			top.remove()
			scrollTo(0, 0)
			return 8 * stops().length + 60
		},
		look() {
			const wrong: string[] = []
			const e = document.activeElement
			const now = e && e !== document.body && e !== document.documentElement ? e : undefined
			if (last && last.e !== now && last.e.isConnected && looks(last.e) === last.looks)
				wrong.push(`does not show its focus: ${name(last.e)}`)
			const again = now !== undefined && now !== last?.e && seen.has(now) && now === stops()[0]
			if (now) {
				if (now !== last?.e && !inSight(now)) wrong.push(`is out of sight with the focus: ${name(now)}`)
				for (const one of group(now)) seen.add(one)
				last = { e: now, looks: looks(now) }
			}
			return { wrong, left: !now || again }
		},
		missed: () =>
			stops()
				.filter(e => !seen.has(e))
				.map(name),
	}
}
