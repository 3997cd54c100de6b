// The keyboard. A key presses what the screen shows for it, so that whatever is not on the screen has no key:
// data-key on an element names its key; rows are walked by j and k.

import { desk } from "./desk.svelte"

export function keys(e: KeyboardEvent, sheet: () => void) {
	const at = e.target as HTMLElement
	const typing = at.matches("input:not([type=radio]), textarea, select")
	if (e.key === "Escape") {
		leave(at)
		return
	}
	if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) {
		at.closest("form")?.requestSubmit()
		return
	}
	if (typing || e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return
	switch (e.key) {
		case "j":
		case "k":
			walk(e.key === "j" ? 1 : -1)
			break
		case "?":
			sheet()
			break
		case "u":
			desk.undo()
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
	links[Math.max(0, Math.min(rows.length - 1, next))]?.focus()
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
