// The keyboard. A key presses what the screen shows for it, so that whatever is not on the screen has no key:
// data-key on an element names its key; rows are walked by j and k.

import { desk } from "./desk.svelte"

// g and a letter go to a screen of the office.
const places: Record<string, string> = { i: "import", k: "keys", j: "jobs", s: "settings", p: "people", l: "log" }
const LETTER_MS = 1500
let going = Number.NEGATIVE_INFINITY // when g was pressed

export function keys(e: KeyboardEvent, sheet: () => void) {
	const at = e.target as HTMLElement
	const typing = at.matches("input:not([type=radio], [type=checkbox]), textarea, select")
	if (e.key === "Escape") {
		leave(at)
		return
	}
	if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) {
		at.closest("form")?.requestSubmit()
		return
	}
	if (typing || e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return
	const place = e.timeStamp - going < LETTER_MS ? places[e.key] : undefined
	going = e.key === "g" ? e.timeStamp : Number.NEGATIVE_INFINITY
	if (place) {
		location.hash = `#/${place}`
		e.preventDefault()
		return
	}
	switch (e.key) {
		case "j":
		case "k":
			walk(e.key === "j" ? 1 : -1)
			break
		case "?":
			sheet()
			break
		case "u":
			if (!desk.undo()) document.querySelector<HTMLElement>('main [data-key="u"]')?.click()
			break
		case "x":
		case "X":
			tick(at, e.shiftKey)
			break
		case "1":
			location.hash = "#/"
			break
		case "2":
			location.hash = "#/campaigns"
			break
		case "3":
			location.hash = "#/map"
			break
		case "4":
			location.hash = "#/orders"
			break
		case "5":
			location.hash = "#/stores"
			break
		case "6":
			location.hash = "#/manage"
			break
		case "/":
			document.querySelector<HTMLElement>("#search")?.focus()
			break
		case "a":
		case "r":
			press(e.key)
			break
		default:
			return
	}
	e.preventDefault()
}

// walk moves to the next row of the list on the screen; its link gets the focus.
function walk(by: number) {
	const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")]
	const links = rows.map(row => row.querySelector<HTMLElement>("a"))
	const current = rows.findIndex(row => row.contains(document.activeElement))
	const selected = current >= 0 ? current : rows.findIndex(row => row.hasAttribute("data-selected"))
	const next = current < 0 && selected >= 0 && by > 0 ? selected : selected + by
	if (next >= rows.length) document.querySelector<HTMLElement>("main [data-more]")?.click()
	links[Math.max(0, Math.min(rows.length - 1, next))]?.focus()
}

// tick chooses the row that one is at, or leaves it out; with shift all rows from the last one that was ticked.
function tick(at: HTMLElement, all: boolean) {
	const box = (at.closest("[data-row]") ?? document.querySelector("[data-row]"))?.querySelector<HTMLElement>(
		"input[type=checkbox]",
	)
	box?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: all }))
}

// press does what the key stands for in the selected row, or on the page.
function press(key: string) {
	const within = document.querySelector("[data-selected]") ?? document
	within.querySelector<HTMLElement>(`[data-key="${key}"]`)?.click()
}

function leave(at: HTMLElement) {
	const own = at.closest("form")?.querySelector<HTMLElement>("[data-cancel]")
	const cancel = own ?? (at.matches("#search") ? null : document.querySelector<HTMLElement>("main [data-cancel]"))
	if (cancel && !document.querySelector("dialog[open]")) {
		cancel.click()
		document.querySelector<HTMLElement>("[data-selected] a")?.focus()
	} else if (at.matches("input, textarea, select")) at.blur()
	else if (!document.querySelector("dialog[open]")) document.querySelector<HTMLElement>("a.back")?.click()
}
