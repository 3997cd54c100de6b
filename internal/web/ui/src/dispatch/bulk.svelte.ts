// One thing done to many: some at a time, each says what became of it, and those that failed can be tried
// again alone. What the server cannot take back waits some seconds here; what it can is taken back by the
// opposite action, for the rows that it worked for.
//
//	start ──hold──► held ──HOLD_MS──► doing ──► done | failed ──retry──► doing
//	                  └──undo──► nothing happened        done ──undo──► doing (the opposite)

import { desk, HOLD_MS } from "./desk.svelte"
import { why } from "./net"

/** AT_ONCE is how many are under way: a browser has six connections, and one is the stream. */
const AT_ONCE = 4

export type Result = { state: "held" | "waiting" | "doing" | "done" | "failed"; say: string }

/** One does a deed to one and says what came of it. key is the same when it is tried again: what arrived and was
 * never answered is not done twice. */
type One = (id: string, key: string) => Promise<string>

/** Deed is what is done to one; say is what it is called, back the opposite if there is one. */
export type Deed = { say: string; one: One; hold?: boolean; back?: { say: string; one: One } }

export class Bulk {
	results = $state.raw<Record<string, Result>>({})
	deed = $state.raw<Deed>()
	/** until is when what is held goes out, ms. */
	until = $state.raw(0)
	#timer: ReturnType<typeof setTimeout> | undefined
	#keys = new Map<string, string>()

	busy = $derived(Object.values(this.results).some(r => r.state === "waiting" || r.state === "doing"))
	held = $derived(this.until > 0)
	done = $derived(this.#count("done"))
	failed = $derived(this.#count("failed"))
	all = $derived(Object.keys(this.results).length)
	canUndo = $derived(this.held || (!this.busy && this.done > 0 && this.deed?.back !== undefined))

	#count(state: Result["state"]): number {
		return Object.values(this.results).filter(r => r.state === state).length
	}

	// What is under way goes on when another screen is shown, and is there when one comes back. Whoever closes
	// the console meanwhile is asked first.
	constructor() {
		addEventListener("beforeunload", e => {
			if (this.busy || this.held) e.preventDefault()
		})
	}

	start(ids: string[], deed: Deed) {
		if (this.busy || this.held || ids.length === 0) return
		this.deed = deed
		this.#keys.clear()
		this.results = Object.fromEntries(ids.map(id => [id, { state: deed.hold ? "held" : "waiting", say: deed.say }]))
		if (!deed.hold) return void this.#go(ids, deed.one)
		this.until = Date.now() + HOLD_MS
		this.#timer = setTimeout(() => {
			this.until = 0
			void this.#go(ids, deed.one)
		}, HOLD_MS)
	}

	/** retry does again what failed. */
	retry() {
		const deed = this.deed
		if (deed && !this.busy) void this.#go(this.#ids("failed"), deed.one)
	}

	/** undo takes back what waits, or what was done. It answers whether there was any. */
	undo(): boolean {
		if (!this.canUndo) return false
		if (this.held) {
			clearTimeout(this.#timer)
			this.until = 0
			this.clear()
			desk.said = desk.w.doneUndo
			return true
		}
		const back = this.deed?.back
		const ids = this.#ids("done")
		if (!back) return false
		this.results = {}
		this.deed = back
		this.#keys.clear()
		void this.#go(ids, back.one)
		return true
	}

	clear() {
		if (this.busy || this.held) return
		this.results = {}
		this.deed = undefined
	}

	#ids = (state: Result["state"]) =>
		Object.entries(this.results)
			.filter(([, r]) => r.state === state)
			.map(([id]) => id)

	async #go(ids: string[], one: One) {
		const left = [...ids]
		this.results = {
			...this.results,
			...Object.fromEntries(ids.map(id => [id, { state: "waiting" as const, say: desk.w.waits }])),
		}
		const worker = async () => {
			for (let id = left.shift(); id !== undefined; id = left.shift()) {
				this.#set(id, { state: "doing", say: desk.w.doing })
				try {
					this.#set(id, { state: "done", say: await one(id, this.#key(id)) })
				} catch (e) {
					this.#set(id, { state: "failed", say: why(e, desk.w.unreachable) })
				}
			}
		}
		await Promise.all(Array.from({ length: AT_ONCE }, worker))
		desk.said = desk.w.bulkDone(this.done, this.failed)
		desk.look(true)
	}

	#key(id: string): string {
		const key = this.#keys.get(id) ?? crypto.randomUUID()
		this.#keys.set(id, key)
		return key
	}

	#set(id: string, r: Result) {
		this.results = { ...this.results, [id]: r }
	}
}
