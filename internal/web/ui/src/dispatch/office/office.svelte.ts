// The office's state beside the desk's: its words, and what waits some seconds before it cannot be taken back.

import { desk, HOLD_MS } from "../desk.svelte"
import { lastWord, post, why } from "../net"
import { en, type OfficeWords } from "./words"

/** Waiting is what goes out at until, or what became of it. */
export type Waiting = { until: number; path: string; key: string; failed?: string }

class Office {
	w = $state.raw<OfficeWords>(en)
	/** spoken is the language that w is in. */
	spoken = $state.raw("en")
	waiting = $state.raw<Record<string, Waiting>>({})

	#timers = new Map<string, ReturnType<typeof setTimeout>>()

	constructor() {
		addEventListener("pagehide", () => this.sendAll())
	}

	/** sendAll is for a page that closes and for whoever signs out: what was decided is decided. */
	sendAll(): Promise<unknown> {
		const held = [...this.#timers.keys()].map(id => this.waiting[id]).filter(w => w !== undefined)
		for (const timer of this.#timers.values()) clearTimeout(timer)
		this.#timers.clear()
		return Promise.all(held.map(w => lastWord(w.path, undefined, w.key)))
	}

	async speak(lang: "en" | "zh") {
		this.w = lang === "zh" ? (await import("./words.zh")).zh : en
		this.spoken = lang
	}

	/** later posts to path in some seconds, unless it is undone; then is called when it is done. */
	later(id: string, path: string, then: () => void) {
		const key = crypto.randomUUID()
		this.waiting = { ...this.waiting, [id]: { until: Date.now() + HOLD_MS, path, key } }
		const timer = setTimeout(async () => {
			this.#timers.delete(id)
			try {
				await post(path, undefined, key)
				this.#forget(id)
				then()
			} catch (e) {
				this.waiting = { ...this.waiting, [id]: { until: 0, path, key, failed: why(e, desk.w.unreachable) } }
			}
		}, HOLD_MS)
		this.#timers.set(id, timer)
	}

	/** undo takes back what waits. */
	undo(id: string) {
		clearTimeout(this.#timers.get(id))
		this.#timers.delete(id)
		this.#forget(id)
		desk.said = desk.w.doneUndo
	}

	#forget(id: string) {
		const { [id]: _, ...rest } = this.waiting
		this.waiting = rest
	}
}

export const office = new Office()
