// The console's state. The server's lists are the truth; its stream of events only says when to look again,
// so nothing is lost when the stream breaks: it resumes where it was, and the lists are read anew.
//
//	stream ──something happened──► look() ──lists──► queue() ──► the screens
//	       ──to an order─────────► seeOrder() ──────────┘
//	screens ──do()──► server, at once;  hold()──► server, some seconds later, unless it is undone

import type { Clock } from "../store/say"
import {
	all,
	type Event,
	type Exception,
	get,
	type Incident,
	lastWord,
	type Me,
	type Order,
	onSignedOut,
	post,
	type Remark,
	type Store,
	skew,
	type Warning,
	why,
} from "./net"
import { gave } from "./tell"
import { type Lists, queue, type Trouble } from "./trouble"
import { en, type Words } from "./words"

/** HOLD_MS is how long what the server could not take back waits here. */
export const HOLD_MS = 5_000
const LINGER_MS = 12_000
const LOOK_MS = 400
const LOOK_AGAIN_MS = 60_000
const WARN_MS = 20_000
const FILES = 60
const SEE_AT_MOST = 20
const MOST = 1_000

/** Outcome is what became of something done about a row; trouble is the row as it was. */
export type Outcome = {
	state: "held" | "doing" | "done" | "failed"
	say: string
	trouble: Trouble
	at: number
	until: number
}

type Held = { id: string; path: string; body: unknown; key: string; say: string; timer: ReturnType<typeof setTimeout> }

const orders = (names: string) => names.split(" ").map(name => `order.${name}`)

// What the stream tells. begins may put something into the queue; moves matter only for what is in it, or on
// the screen. More types may come: the lists are read every minute anyway.
const heard = {
	begins: [
		...orders("unassignable attempt_failed step_overdue code_locked disputed message_received"),
		...["opened", "upheld", "rejected", "withdrawn", "answered", "resolved"].map(name => `incident.${name}`),
		"exception.opened",
		"exception.closed",
	],
	moves: [
		...orders("created offered offer_declined offer_expired assignment_released confirmed reassigned"),
		...orders("ready_for_pickup picked_up enroute_to_dropoff arrived_at_dropoff delivered cancelled"),
		...orders("received_at_store collected hold_extended hold_expired enroute_to_return returned"),
		...orders("transfer_requested transfer_withdrawn transferred code_refused code_unlocked rated"),
		...orders("dispute_upheld dispute_rejected dispute_withdrawn message_answered instructions_changed"),
		...["paused", "resumed", "updated"].map(name => `store.${name}`),
		"custody.moved",
		"dropoff.flagged",
	],
	office: [
		..."created link_created role_changed disabled enabled password_set signed_in signed_out signed_out_everywhere"
			.split(" ")
			.map(name => `account.${name}`),
		..."key.created key.revoked merchant.created merchant.policy_changed device.paired device.revoked".split(" "),
		..."store.created store.removed setting.changed job.started import.finished".split(" "),
	],
	campaigns: [
		..."planned approved cancelled finished created".split(" ").map(name => `campaign.${name}`),
		..."prompted reminded acknowledged partially_acknowledged declined expired stocked shortfall lapsed reallocated cancelled consumed released"
			.split(" ")
			.map(name => `prestock.${name}`),
	],
}

// What customers say is in the list of incidents.
const inIncidents = new Set(["order.disputed", "order.message_received"])

// clock is the server's time.
const clock = () => Date.now() + skew

// fresh is whether an outcome is still to be shown.
const fresh = (o: Outcome, now: number) => o.state === "held" || o.state === "doing" || now < o.until

class Desk {
	me = $state.raw<Me>()
	lists = $state.raw<Lists>({ orders: [], incidents: [], exceptions: [], warnings: [], files: {} })
	/** lookedAt is when the lists were last read, ms; 0 is never. */
	lookedAt = $state.raw(0)
	stores = $state.raw<Record<string, Store>>({})
	outcomes = $state.raw<Record<string, Outcome>>({})
	/** inHand are the rows with an open form: whatever the lists say meanwhile, what is typed there stays. */
	inHand = $state.raw<Record<string, Trouble>>({})
	live = $state.raw(false)
	unreachable = $state.raw(false)
	/** signedOut is whether the session ended while something was being written, which stays on the screen. */
	signedOut = $state.raw(false)
	now = $state.raw(Date.now())
	screen = $state.raw(location.hash)
	/** selected is the row of the queue that the keys act on. */
	selected = $state.raw<string>()
	campaignsTold = $state.raw(0)
	/** actsTold grows with whatever somebody did. */
	actsTold = $state.raw(0)
	/** moved is whether another screen than the first was opened. */
	moved = $state.raw(false)
	lang = $state.raw<"en" | "zh">("en")
	w = $state.raw<Words>(en)
	/** said is for those who listen to the screen. */
	said = $state.raw("")

	clock: Clock = $derived({
		locale: this.lang === "zh" ? "zh-CN" : "en-GB",
		zone: undefined,
		today: this.w.today,
		tomorrow: this.w.tomorrow,
		yesterday: this.w.yesterday,
	})
	/** rows are what is wrong, with what was just settled still in its place. */
	rows = $derived.by(() => {
		const rows = queue(this.lists)
		const there = new Set(rows.map(row => row.id))
		const settled = Object.values(this.outcomes).filter(o => fresh(o, this.now))
		for (const t of [...settled.map(o => o.trouble), ...Object.values(this.inHand)]) {
			if (there.has(t.id)) continue
			there.add(t.id)
			rows.push(t)
		}
		return rows.sort((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1))
	})
	open = $derived(queue(this.lists).length)

	#held: Held[] = []
	#stream: EventSource | undefined
	#timer: ReturnType<typeof setTimeout> | undefined
	#looking = false
	#whole = true
	#changed = new Set<string>()
	#overtaken = new Set<string>()
	#seeing: ReturnType<typeof setTimeout> | undefined
	#again = false
	#asked = new Set<string>()
	#watched = new Map<string, Set<() => void>>()
	#hearers = new Set<(type: string, at: string) => void>()
	#took = 0

	start() {
		const wish = localStorage.getItem("language")
		void this.speak(wish === "en" || wish === "zh" ? wish : navigator.language.startsWith("zh") ? "zh" : "en")
		addEventListener("hashchange", () => {
			this.screen = location.hash
			this.moved = true
		})
		addEventListener("pagehide", () => this.sendAll())
		setInterval(() => {
			this.now = clock()
		}, 1000)
		setInterval(() => this.look(true), LOOK_AGAIN_MS)
		setInterval(() => void this.#warn(), WARN_MS)
		onSignedOut(out => {
			this.signedOut = out
		})
		void get<Me>("/v1/me").then(
			me => {
				this.me = me
			},
			() => {},
		)
		this.#listen()
		this.look()
	}

	async speak(lang: "en" | "zh") {
		this.w = lang === "zh" ? (await import("./words.zh")).zh : en
		this.lang = lang
		document.documentElement.lang = lang === "zh" ? "zh-Hans" : "en"
	}

	async setLanguage(lang: "en" | "zh") {
		localStorage.setItem("language", lang)
		await this.speak(lang)
	}

	// listen opens the stream. The browser resumes it by Last-Event-ID; one that the server refuses ends for
	// good, and asking who we are then tells whether the session did.
	#listen() {
		const stream = new EventSource("/v1/events/stream")
		this.#stream = stream
		stream.onopen = () => {
			this.live = true
			this.look(true)
		}
		stream.onerror = () => {
			this.live = false
			if (stream.readyState !== EventSource.CLOSED) return
			setTimeout(() => {
				if (this.#stream !== stream) return
				void get("/v1/me").catch(() => {})
				this.#listen()
			}, 3000)
		}
		for (const type of heard.begins) stream.addEventListener(type, e => this.#hear(e as MessageEvent<string>, true))
		for (const type of heard.moves) stream.addEventListener(type, e => this.#hear(e as MessageEvent<string>, false))
		for (const type of heard.campaigns) {
			stream.addEventListener(type, e => {
				this.campaignsTold++
				const event = JSON.parse((e as MessageEvent<string>).data) as Event
				this.#answered(event)
				for (const hear of this.#hearers) hear(type, event.recorded_at)
			})
		}
		for (const type of heard.office) {
			stream.addEventListener(type, () => {
				this.actsTold++
			})
		}
	}

	// answered counts what somebody who signed in answers for.
	#answered(event: Event) {
		if (event.actor?.startsWith("user:")) this.actsTold++
	}

	#hear(e: MessageEvent<string>, begins: boolean) {
		const event = JSON.parse(e.data) as Event
		const id = (event.data as { order_id?: string }).order_id ?? event.subject
		this.#answered(event)
		for (const look of this.#watched.get(id) ?? []) look()
		for (const hear of this.#hearers) hear(e.type, event.recorded_at)
		if (!begins && !this.rows.some(row => row.order?.id === id)) return
		if (event.type.startsWith("order.")) this.seeOrder(id)
		if (!event.type.startsWith("order.") || inIncidents.has(event.type)) this.look()
	}

	/** seeOrder reads an order soon: to find those in trouble among all that are open is dear, and the stream has
	 * named it. Many at once are read with the lists. */
	seeOrder(id: string) {
		this.#changed.add(id)
		this.#seeing ??= setTimeout(async () => {
			const ids = [...this.#changed]
			this.#changed.clear()
			this.#seeing = undefined
			if (ids.length > SEE_AT_MOST) return this.look(true)
			// A look that is under way may have read them before they changed: they are read again after it.
			if (this.#looking) for (const id of ids) this.#overtaken.add(id)
			const seen = await Promise.all(ids.map(id => get<Order>(`/v1/orders/${id}`).catch(() => undefined)))
			const news = seen.filter(o => o !== undefined)
			const there = new Set(news.map(o => o.id))
			this.lists = { ...this.lists, orders: [...this.lists.orders.filter(o => !there.has(o.id)), ...news] }
			this.#tidy()
		}, LOOK_MS)
	}

	/** narrow changes what the screen is narrowed to: the address is another, the place is the same. */
	narrow(address: string) {
		history.replaceState(history.state, "", address)
		this.screen = address
	}

	/** watch calls look whenever something happens to the order or store; it answers how to stop. */
	watch(id: string, look: () => void): () => void {
		const all = this.#watched.get(id) ?? new Set()
		this.#watched.set(id, all.add(look))
		return () => {
			all.delete(look)
			if (all.size === 0) this.#watched.delete(id)
		}
	}

	/** hear calls of with the type of whatever happens, and when it did; it answers how to stop. */
	hear(of: (type: string, at: string) => void): () => void {
		this.#hearers.add(of)
		return () => this.#hearers.delete(of)
	}

	/** look reads the lists soon, once for many wishes; a busy server is asked less often. whole is with the
	 * orders: else they are those that are known. */
	look(whole = false) {
		this.#whole ||= whole
		if (this.#looking) {
			this.#again = true
			return
		}
		this.#timer ??= setTimeout(
			() => {
				this.#timer = undefined
				void this.#lookNow()
			},
			Math.max(LOOK_MS, 3 * this.#took),
		)
	}

	async #lookNow() {
		this.#looking = true
		this.#again = false
		const begun = performance.now()
		const whole = this.#whole
		this.#whole = false
		const orders = (path: string) => (whole ? all<Order>(path, MOST) : Promise.resolve([]))
		try {
			const [wrong, coded, late, incidents, exceptions, warnings] = await Promise.all([
				orders("/v1/orders?status=unassignable,attempt_failed"),
				orders("/v1/orders?code_locked=true"),
				orders("/v1/orders?overdue=true"),
				all<Incident>("/v1/incidents?status=open", MOST),
				all<Exception>("/v1/exceptions", MOST),
				get<{ data: Warning[] }>("/v1/warnings"),
			])
			const files: Lists["files"] = {}
			await Promise.all(
				incidents.slice(-FILES).map(async i => {
					const known = this.lists.files[i.id]
					files[i.id] = known ?? {
						order: await get<Order>(`/v1/orders/${i.order_id}`),
						remarks: (await get<{ data: Remark[] }>(`/v1/orders/${i.order_id}/remarks`)).data,
					}
				}),
			)
			this.lists = {
				orders: whole ? [...late, ...coded, ...wrong] : this.lists.orders,
				incidents,
				exceptions,
				warnings: warnings.data,
				files,
			}
			this.lookedAt = Date.now()
			this.unreachable = false
			this.#tidy()
		} catch {
			this.unreachable = true
			this.#whole ||= whole
		} finally {
			this.#looking = false
			this.#took = performance.now() - begun
			for (const id of this.#overtaken) this.seeOrder(id)
			this.#overtaken.clear()
			if (this.#again) this.look()
		}
	}

	// warn looks for what is about to go wrong: no event tells of it, only time.
	async #warn() {
		if (this.#looking) return
		try {
			const warnings = (await get<{ data: Warning[] }>("/v1/warnings")).data
			this.lists = { ...this.lists, warnings }
		} catch {
			// the next look says so
		}
	}

	// tidy forgets outcomes that have been seen.
	#tidy() {
		this.outcomes = Object.fromEntries(Object.entries(this.outcomes).filter(([, o]) => fresh(o, this.now)))
	}

	/** store is a store by its id, as soon as it is known. */
	store(id: string | null | undefined): Store | undefined {
		if (!id) return undefined
		const known = this.stores[id]
		if (!known && !this.#asked.has(id)) {
			this.#asked.add(id)
			void get<Store>(`/v1/stores/${id}`).then(
				store => this.keepStore(store),
				() => this.#asked.delete(id),
			)
		}
		return known
	}

	keepStore(store: Store) {
		this.stores = { ...this.stores, [store.id]: store }
	}

	/** do does something about a row at once, and shows what became of it there. */
	async do(trouble: Trouble, what: () => Promise<string>) {
		this.#note(trouble, "doing", this.w.doing)
		try {
			this.#note(trouble, "done", await what())
		} catch (e) {
			this.#note(trouble, "failed", why(e, this.w.unreachable))
		}
		if (trouble.order) this.seeOrder(trouble.order.id)
		this.look()
	}

	/** reassign gives an order to another store, the best one if none is named, and answers what came of it. */
	async reassign(id: string, store?: string): Promise<string> {
		return gave(await post<Order>(`/v1/orders/${id}/reassign`, store ? { store_id: store } : {}), this.w)
	}

	/** findStores does that for many, one after the other: each row says what became of it. */
	async findStores(rows: Trouble[]) {
		for (const t of rows) {
			const id = t.order?.id
			if (id) await this.do(t, () => this.reassign(id))
		}
	}

	/** hold is do for what the server cannot take back: it waits, and can be undone meanwhile. */
	hold(trouble: Trouble, say: string, path: string, body: unknown) {
		this.#takeOut(trouble.id)
		const held: Held = {
			id: trouble.id,
			path,
			body,
			say,
			key: crypto.randomUUID(),
			timer: setTimeout(() => void this.#send(held, trouble), HOLD_MS),
		}
		this.#held.push(held)
		this.#note(trouble, "held", say, clock() + HOLD_MS)
	}

	async #send(held: Held, trouble: Trouble) {
		this.#takeOut(held.id)
		await this.do(trouble, async () => {
			await post(held.path, held.body, held.key)
			return held.say
		})
	}

	/** undo takes back what was held last, or what is held about one row. It answers whether there was any. */
	undo(id = this.#held.at(-1)?.id): boolean {
		if (!id || !this.#takeOut(id)) return false
		const { [id]: _, ...rest } = this.outcomes
		this.outcomes = rest
		this.said = this.w.doneUndo
		return true
	}

	#takeOut(id: string): boolean {
		const held = this.#held.find(h => h.id === id)
		if (!held) return false
		clearTimeout(held.timer)
		this.#held = this.#held.filter(h => h !== held)
		return true
	}

	/** sendAll is for a page that closes and for whoever signs out: what was decided is decided. */
	sendAll(): Promise<unknown> {
		const held = this.#held
		this.#held = []
		for (const h of held) clearTimeout(h.timer)
		return Promise.all(held.map(h => lastWord(h.path, h.body, h.key)))
	}

	/** keepInHand keeps a row in the queue until what it answers is called. */
	keepInHand(t: Trouble): () => void {
		this.inHand = { ...this.inHand, [t.id]: t }
		return () => {
			const { [t.id]: _, ...rest } = this.inHand
			this.inHand = rest
		}
	}

	#note(
		trouble: Trouble,
		state: Outcome["state"],
		say: string,
		until = clock() + (state === "failed" ? 5 : 1) * LINGER_MS,
	) {
		this.outcomes = { ...this.outcomes, [trouble.id]: { state, say, trouble, at: clock(), until } }
		this.said = say
	}
}

export const desk = new Desk()
