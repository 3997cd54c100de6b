// Bringing phone and server together: first what waits is sent, then the server's lists are asked for. Page
// and service worker do it in turn, so no list can be older than what has been sent.

import { keep, recall } from "./kept"
import type { Known, Message, Order, Ratings, Reliability, StockLevel, Store } from "./known"
import { nothing } from "./known"
import { type Outcome, send, turn } from "./outbox"
import { ask, KeyGone, Refusal, skew, truly, Unreachable } from "./server"

/**
 * Credential says how this phone shows whose it is: by the cookie that pairing set, which no script can
 * read, or by a key that somebody pasted.
 */
export type Credential = { key?: string | undefined; store?: string | undefined; at: string }

export type Synced = Outcome & { known?: Known }

/** sync sends and asks. whole also asks for what changes rarely: shelf, messages, figures. */
export function sync(whole: boolean): Promise<Synced> {
	return turn(async () => {
		const credential = await recall<Credential>("credential")
		if (!credential) return { keyGone: true, sent: 0 }
		const outcome: Synced = await send(credential.key, undefined, credential.store)
		if (outcome.keyGone || outcome.unreachable) return outcome
		try {
			outcome.known = await look(credential.key, whole || outcome.sent > 0)
			// Whoever unpaired the phone meanwhile wants nothing of the shop left on it.
			if (await recall("credential")) await keep("known", outcome.known)
		} catch (error) {
			if (error instanceof KeyGone) outcome.keyGone = true
			else if (error instanceof Unreachable) outcome.unreachable = true
			else throw error
		}
		return outcome
	})
}

type List<T> = { data: T[]; next_cursor: string | null }

async function look(key: string | undefined, whole: boolean): Promise<Known> {
	const get = <T>(path: string) => ask<T>({ path, key })
	const list = async <T>(path: string) => {
		const all: T[] = []
		let cursor: string | null = null
		do {
			const page: List<T> = await get(`${path}&limit=200${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`)
			all.push(...page.data)
			cursor = page.next_cursor
		} while (cursor && all.length < 1000)
		return all
	}
	const before: Known = { ...nothing, ...(await recall<Known>("known")) }
	const known = { ...before }
	// One after the other: a weak network carries one request better than six.
	known.assignments = await list("/v1/assignments?status=offered,accepted")
	known.tasks = await list("/v1/prestock-tasks?status=prompted,acknowledged,partially_acknowledged")
	known.store = await get<Store>("/v1/store")
	if (whole || known.at === 0) {
		const inbox = await get<List<Message> & { unread: number }>("/v1/store/inbox?limit=50")
		known.inbox = inbox.data
		known.unread = inbox.unread
		known.stock = (await get<{ data: StockLevel[] }>("/v1/store/stock")).data
		known.reliability = await get<Reliability>("/v1/store/reliability")
		known.ratings = await get<Ratings>("/v1/store/ratings")
		known.optOut = (await get<{ opt_out: boolean }>("/v1/store/prestock")).opt_out
	}
	await ended(before, known, get)
	known.at = Date.now()
	known.skew = skew
	return known
}

const WEEK_MS = 8 * 86_400_000

// ended asks what became of orders that are not the shop's to do any more, each by its id: that costs the
// server nothing that grows, as a list of all that has ended would.
async function ended(before: Known, known: Known, get: <T>(path: string) => Promise<T>) {
	const here = new Set(known.assignments.map(a => a.order_id))
	const left = before.assignments.filter(a => a.status === "accepted").map(a => a.order)
	const ask = [...left, ...before.back].filter(o => !here.has(o.id))
	// What this phone has finished by itself is known already, and is asked for once more for its end.
	const fresh = ask.length > 0 ? before.done.filter(o => !ask.some(a => a.id === o.id)) : before.done
	const after: Order[] = []
	for (const { id } of ask) {
		try {
			after.push(await get<Order>(`/v1/orders/${id}`))
		} catch (error) {
			if (!(error instanceof Refusal)) throw error // it is another shop's now
		}
	}
	const old = (o: Order) => truly() - Date.parse(o.delivered_at ?? o.updated_at) > WEEK_MS
	known.back = after.filter(o => o.status === "cancelled" && o.custody?.store_id === known.store?.id)
	known.done = [...fresh, ...after.filter(o => o.status === "delivered" || o.status === "collected")].filter(
		o => !old(o) && !here.has(o.id),
	)
}

/** syncLater has the browser wake the service worker when there is a network, where it can do that. */
export async function syncLater(registration: ServiceWorkerRegistration) {
	const { sync } = registration as { sync?: { register(tag: string): Promise<void> } }
	await sync?.register("outbox").catch(() => {})
}
