// The app's state, and the one way from a tap to it: queue what happened (durably), show it, send it.

import * as doors from "./door"
import { forgetEverything, keep, recall, snapshot } from "./kept"
import { apply, type Did, find, type Known, nothing, type Order, type OrderStep } from "./known"
import { add, type Extra, letGo, type Row, rows, takeBack, tidy, tryAgain } from "./outbox"
import { fix } from "./place"
import type { Clock } from "./say"
import { ask, believe, newId, post, skew, truly } from "./server"
import { type Credential, sync, syncLater } from "./sync"
import { en, language, type Words, words } from "./words"

/** HOLD_MS is how long an answer can be taken back before it goes out. */
export const HOLD_MS = 8_000
/** UNDO_MS is how long a finished visit can be taken back, as the server allows. */
export const UNDO_MS = 30_000
const LOOK_MS = 5_000
/** HINT_MS is how long a hint waits for the next: what happens together is looked at once. */
const HINT_MS = 200
/** LIVE_MS is how often it looks while the server says when there is something. */
const LIVE_MS = 60_000
const LOOK_AT_ALL_MS = 60_000

/** Undoable is what the owner did last and may take back. */
export type Undoable = { row: number; say: string; at: number; until: number; undo: () => Promise<void> }

class App {
	paired = $state.raw(false)
	known = $state.raw<Known>(nothing)
	queue = $state.raw<Row[]>([])
	doors = $state.raw<Record<string, doors.Door>>({})
	reachable = $state.raw(true)
	now = $state.raw(Date.now())
	screen = $state.raw(location.hash)
	undoable = $state.raw<Undoable>()
	wish = $state.raw<string>()
	/** full says that the phone had no room for what was done last: it was not done. */
	full = $state.raw(false)
	/** newer says that the next start begins a newer app. */
	newer = $state.raw(false)
	/** useful is set by the first answered prompt or accepted offer: then we may ask for something too. */
	useful = $state.raw(false)

	/** seen is what we know together with what waits to be sent. */
	seen = $derived(this.queue.reduce((known, row) => (row.problem ? known : apply(known, row.did, row.at)), this.known))
	refused = $derived(this.queue.filter(row => row.problem))
	waiting = $derived(this.queue.filter(row => !row.problem))
	/** undoLeft is how many seconds are left to take back what was done last; 0 for nothing. */
	undoLeft = $derived.by(() => {
		const last = this.undoable
		if (!last || this.refused.some(row => row.n === last.row)) return 0
		return Math.max(0, Math.floor((last.until - Math.max(this.now - skew, last.at)) / 1000))
	})
	lang = $derived(language(this.wish, this.known.store?.locale, navigator.language))
	w = $state.raw<Words>(en)
	clock: Clock = $derived({
		locale: this.lang === "zh" ? "zh-CN" : "en-GB",
		zone: this.known.store?.time_zone,
		today: this.w.todayWord,
		tomorrow: this.w.tomorrow,
		yesterday: this.w.yesterday,
	})

	#wholeAt = 0
	#timer: ReturnType<typeof setTimeout> | undefined
	#busy = false
	#again = false
	#deaf: (() => void) | undefined // ends the stream of hints, while there is one
	#deafUntil = 0
	#kept = false // the browser was asked to keep what is here

	/** start recalls what the phone knows; the screens may be drawn when it resolves. */
	async start() {
		addEventListener("hashchange", () => {
			this.screen = location.hash
		})
		addEventListener("online", () => this.hurry())
		document.addEventListener("visibilitychange", () => this.#seen())
		navigator.serviceWorker?.addEventListener("message", ({ data }) => {
			if (data.go !== undefined) location.hash = data.go
			if (data.newer) this.newer = true
			this.hurry()
		})
		setInterval(() => {
			this.now = truly()
		}, 1000)
		this.wish = await recall<string>("language")
		this.useful = (await recall<boolean>("useful")) ?? false
		await this.#recall()
		believe(this.known.skew)
		this.now = truly()
		this.paired = (await recall<Credential>("credential")) !== undefined
		await this.speak()
		void tidy(new Date())
		this.hurry()
	}

	// A page that nobody sees hears nothing, and what it leaves behind the service worker sends.
	#seen() {
		if (document.visibilityState === "visible") {
			this.hurry()
			void navigator.serviceWorker?.getRegistration().then(it => it?.update().catch(() => {}))
		} else {
			this.#deaf?.()
			if (this.waiting.length > 0) void backgroundSync()
		}
	}

	/** speak fetches the words of the present language; without them the old ones stay. */
	async speak() {
		this.w = await words(this.lang).catch(() => this.w)
	}

	/** pair keeps the key that this phone got. */
	async pair(credential: Credential) {
		// What another shop's orders were is nothing to this one; what waits for that shop stays, as refused.
		if (this.known.store && this.known.store.id !== credential.store) {
			await keep("known", undefined)
			await keep("doors", undefined)
		}
		await keep("credential", credential)
		this.paired = true
		await this.look(true)
	}

	/** unpair forgets the shop here, and tells the server that this phone is not its any more. */
	async unpair() {
		const credential = await recall<Credential>("credential")
		try {
			const { device_id } = await ask<{ device_id?: string | null }>({ path: "/v1/me", key: credential?.key })
			if (device_id) await post(`/v1/devices/${device_id}/revoke`, undefined)
		} catch {
			// Without a connection the dispatcher ends it, or its time does.
		}
		await forgetEverything()
		location.hash = ""
		location.reload()
	}

	/** do queues what the owner did, shows it at once, and sends it when it may go. */
	async do(did: Did, hold = 0, extra: Extra = {}): Promise<Row> {
		let row: Row
		try {
			row = await add(did, new Date(truly()), hold && Date.now() + hold, {
				...extra,
				store: this.known.store?.id,
			})
			this.full = false
		} catch (error) {
			this.full = true
			throw error
		}
		this.queue = await rows()
		// What waits to be sent must not be the first thing that a full phone throws away.
		if (!this.#kept) void navigator.storage?.persist?.().catch(() => {})
		this.#kept = true
		if (hold === 0) this.hurry()
		else this.#later(hold)
		return row
	}

	/** doFor is do with a while to take it back. */
	async doFor(did: Did, say: string) {
		const row = await this.do(did, HOLD_MS)
		this.undoable = { row: row.n, say, at: Date.now(), until: row.due, undo: () => this.#takeBack([row.n]) }
	}

	step = (order: string, step: OrderStep) => this.do({ kind: "step", step, order })

	order = (id: string): Order | undefined => find(this.seen, id)

	/** atDoor queues events of a visit, and remembers them until the visit is over. */
	async atDoor(order: Order, make: (n: number, facts: doors.Facts) => doors.Door["events"], photo?: Extra["photo"]) {
		const door = this.doors[order.id]
		const current = door && door.attempt >= doors.attempt(order) ? door : undefined
		const n = current?.attempt ?? doors.attempt(order)
		const at = new Date(truly())
		const events = make(n, { at, fix: fix(), newId })
		const next: doors.Door = {
			order: order.id,
			attempt: n,
			at: at.toISOString(),
			events: [...(current?.events ?? []), ...events],
		}
		const value = { ...this.doors, [order.id]: next }
		const row = await this.do({ kind: "door", order: order.id, events }, 0, { photo, value: { name: "doors", value } })
		this.doors = value
		return { row, events }
	}

	/**
	 * mayUndo offers to take a finished visit back: as long as it is on the phone by removing it, and
	 * afterwards by an event that withdraws its last one.
	 */
	mayUndo(order: Order, row: Row, completed: doors.Door["events"][number], until: number) {
		const undo = async () => {
			this.undoable = undefined
			const gone = row.did.kind === "door" ? row.did.events.map(e => e.id) : []
			const door = this.doors[order.id]
			if (await takeBack([row.n])) {
				await this.#forget(order.id, gone)
			} else {
				await this.#forget(order.id, [completed.id])
				const events = doors.withdrawn(
					order,
					door?.attempt ?? completed.attempt,
					{ at: new Date(truly()), newId },
					completed.id,
				)
				await this.do({ kind: "door", order: order.id, events })
			}
			await this.#recall()
		}
		this.undoable = { row: row.n, say: `${this.w.doneTitle}: ${order.recipient.name}`, at: Date.now(), until, undo }
	}

	// forget takes events out of what the phone remembers of a visit.
	async #forget(order: string, ids: string[]) {
		const door = this.doors[order]
		if (!door) return
		this.doors = { ...this.doors, [order]: { ...door, events: door.events.filter(e => !ids.includes(e.id)) } }
		await keep("doors", this.doors)
	}

	async #takeBack(ns: number[]) {
		if (await takeBack(ns)) this.undoable = undefined
		this.queue = await rows()
	}

	async letGo(row: Row) {
		await letGo(row.n)
		await this.look(false)
	}

	async tryAgain(row: Row) {
		await tryAgain(row)
		await this.look(false)
	}

	/** hurry looks now. */
	hurry() {
		void this.look(false)
	}

	async look(whole: boolean) {
		if (this.#busy) {
			this.#again = true
			return
		}
		this.#busy = true
		let wait = this.#deaf ? LIVE_MS : LOOK_MS
		try {
			if (!this.paired) return
			whole ||= Date.now() - this.#wholeAt > LOOK_AT_ALL_MS
			const outcome = await sync(whole)
			if (outcome.known && whole) this.#wholeAt = Date.now()
			this.reachable = !outcome.unreachable
			if (outcome.keyGone) this.paired = false
			if (outcome.again !== undefined) wait = outcome.unreachable ? outcome.again : Math.min(wait, outcome.again)
		} finally {
			await this.#recall()
			this.#busy = false
			if (this.#again) {
				this.#again = false
				this.hurry()
			} else this.#later(wait)
		}
		if (!this.reachable && this.queue.length > 0) void backgroundSync()
		if (this.reachable && this.paired) void this.#listen()
	}

	// listen opens the stream of hints. One that ends is opened again by a later look.
	async #listen() {
		if (this.#deaf || document.visibilityState !== "visible" || Date.now() < this.#deafUntil) return
		this.#deaf = () => {}
		const heard = () => {
			if (this.#busy) this.#again = true
			else this.#later(HINT_MS)
		}
		const ended = () => {
			this.#deaf = undefined
			this.#deafUntil = Date.now() + LOOK_MS
			this.#later(LOOK_MS)
		}
		try {
			const credential = await recall<Credential>("credential")
			const { listen } = await import("./live")
			this.#deaf = listen(credential?.key, heard, ended)
			if (document.visibilityState !== "visible") this.#deaf() // it was put away meanwhile
		} catch {
			ended()
		}
	}

	#later(ms: number) {
		clearTimeout(this.#timer)
		this.#timer = setTimeout(() => {
			// A page that nobody sees asks for nothing; the service worker sends what waits.
			if (document.visibilityState === "visible" || this.waiting.length > 0) this.hurry()
			else this.#later(LOOK_MS)
		}, ms)
	}

	async #recall() {
		const { queue, values } = await snapshot<Row>("known", "doors")
		this.queue = queue
		this.known = { ...nothing, ...(values[0] as Known | undefined) } // an older app kept less
		this.doors = (values[1] as Record<string, doors.Door> | undefined) ?? {}
	}

	/** setLanguage is for this phone, and for what the network tells the shop. */
	async setLanguage(language: "en" | "zh") {
		this.wish = language
		await keep("language", language)
		await this.do({ kind: "patch", patch: { locale: language } })
	}

	async wasUseful() {
		if (this.useful) return
		this.useful = true
		await keep("useful", true)
	}
}

async function backgroundSync() {
	const registration = await navigator.serviceWorker?.getRegistration()
	if (registration) await syncLater(registration)
}

export const app = new App()
