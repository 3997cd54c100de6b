// The queue of what the owner did and the server does not know yet. It is on the disk before the screen
// says "done", outlives the page and the browser, and is sent in the order in which things happened.
//
// Exactly once: each row has an id that goes out as its Idempotency-Key, each event at a door has one of
// its own, and a row leaves the queue only when the server has answered. Sent twice changes nothing.
//
//	waiting ──answered──► gone, and applied to what we know
//	   │  ▲ └─unreachable─► waiting, tried again later and later
//	   │  └──── "try again" ────┐
//	   └──refused──► refused, shown with what can be done ──"let it go"──► gone

import { all, change, type Kept, photo } from "./kept"
import { apply, type Did, type DoorEvent, type Known, learned, nothing, type ScanResult } from "./known"
import { ask, KeyGone, newId, type Problem, post, Refusal, Unreachable } from "./server"

export type Row = {
	/** n is the row's place in the queue, given by the database. */
	n: number
	id: string
	/** at is when it happened, by this phone's clock. */
	at: string
	/** due is when it may be sent, ms; until then it can be taken back. */
	due: number
	/** sent says that it may have reached the server. */
	sent?: boolean
	tries: number
	did: Did
	/** store is the shop that the phone was paired with; what was done for one is never sent as another's. */
	store?: string | undefined
	problem?: Problem
}

/** Extra is what is kept together with a row, both or neither. */
export type Extra = {
	photo?: { id: string; jpeg: Blob } | undefined
	value?: { name: string; value: unknown }
	store?: string | undefined
}

/** add queues what the owner did at a time, to be sent when due (ms) has come. It is durable when this resolves. */
export async function add(did: Did, at: Date, due = 0, extra: Extra = {}): Promise<Row> {
	const row: Omit<Row, "n"> = { id: newId(), at: at.toISOString(), due, tries: 0, did, store: extra.store }
	const n = await change(["outbox", "photos", "values"], table => {
		if (extra.photo) table("photos").put({ jpeg: extra.photo.jpeg, at: row.at } satisfies Kept, extra.photo.id)
		if (extra.value) table("values").put(extra.value.value, extra.value.name)
		return table("outbox").add(row)
	})
	return { ...row, n: Number(n) }
}

/** rows is the queue, oldest first. */
export const rows = () => all<Row>()

/** takeBack removes rows that cannot have reached the server, all or none. It answers whether it did. */
export async function takeBack(ns: number[]): Promise<boolean> {
	let gone = false
	await change(["outbox"], table => {
		const outbox = table("outbox")
		const request = outbox.getAll() as IDBRequest<Row[]>
		request.onsuccess = () => {
			const found = request.result.filter(row => ns.includes(row.n))
			gone = found.length === ns.length && found.every(row => !row.sent)
			if (gone) for (const n of ns) outbox.delete(n)
		}
		return undefined
	})
	return gone
}

/** letGo removes a row that was refused: the owner has seen it. */
export const letGo = (n: number) => change(["outbox"], table => table("outbox").delete(n))

/** tryAgain puts a refused row back among those that wait. */
export const tryAgain = (row: Row) => {
	const { problem: _, ...rest } = row
	return change(["outbox"], table => table("outbox").put({ ...rest, tries: 0, due: 0 }))
}

/** Outcome of sending: when to come again (ms from now; undefined: when something new is queued). */
export type Outcome = { keyGone?: boolean; unreachable?: boolean; again?: number; sent: number }

/** send sends what is due as store, oldest first, and stops when the server cannot be reached. Call it under turn. */
export async function send(key: string | undefined, now: () => number = Date.now, store?: string): Promise<Outcome> {
	const out: Outcome = { sent: 0 }
	const behind = new Set<string>() // what stays in order behind a row that cannot go yet
	for (const row of await rows()) {
		const lane = laneOf(row.did)
		if (row.problem || behind.has(lane)) continue
		if (store && row.store && row.store !== store) {
			await save({ ...row, problem: { status: 409, code: "other-shop" } })
			continue
		}
		const wait = row.due - now()
		if (wait > 0) {
			behind.add(lane)
			out.again = Math.min(out.again ?? wait, wait)
			continue
		}
		if (!(await mark(row))) continue // taken back meanwhile
		try {
			await settle(row, await deliver(row, key))
			out.sent++
		} catch (error) {
			if (error instanceof KeyGone) return { ...out, keyGone: true }
			if (error instanceof Refusal) {
				await save({ ...row, sent: true, problem: error.problem })
				continue
			}
			if (!(error instanceof Unreachable)) throw error
			await save({ ...row, sent: true, tries: row.tries + 1 })
			const again = Math.max(error.after, pause(row.tries))
			if (!error.stumbled) return { ...out, unreachable: true, again }
			behind.add(lane) // one row that the server stumbles over must not keep the others
			out.again = Math.min(out.again ?? again, again)
		}
	}
	return out
}

/** pause before the next try, ms: doubling from a second to 16, less up to a quarter so that phones spread. */
export const pause = (tries: number, chance = Math.random()) => 1000 * 2 ** Math.min(tries, 4) * (1 - chance / 4)

/** laneOf is what a row must stay in order with. */
export function laneOf(did: Did): string {
	if ("order" in did) return did.order
	if ("task" in did) return did.task
	switch (did.kind) {
		case "count":
			return `sku ${did.sku}`
		case "scan":
			return did.code
		case "read":
			return "inbox"
	}
	return "store"
}

function mark(row: Row): Promise<boolean> {
	let there = false
	return change(["outbox"], table => {
		const outbox = table("outbox")
		const request = outbox.get(row.n) as IDBRequest<Row | undefined>
		request.onsuccess = () => {
			there = request.result !== undefined
			if (there) outbox.put({ ...row, sent: true })
		}
		return undefined
	}).then(() => there)
}

const save = (row: Row) => change(["outbox"], table => table("outbox").put(row))

// settle takes the row out and makes what it did part of what we know, both or neither.
function settle(row: Row, said: unknown) {
	return change(["outbox", "values"], table => {
		const values = table("values")
		const request = values.get("known") as IDBRequest<Known | undefined>
		request.onsuccess = () => {
			const { did } = row
			const known = apply({ ...nothing, ...request.result }, did, row.at)
			const scanned = did.kind === "scan" && did.direction === "in"
			values.put(scanned ? learned(known, did.code, said as ScanResult | undefined) : known, "known")
		}
		table("outbox").delete(row.n)
		return undefined
	})
}

async function deliver(row: Row, key: string | undefined): Promise<unknown> {
	const { did, at, id } = row
	const act = (path: string, body?: unknown) => post(path, body, key, id)
	switch (did.kind) {
		case "accept":
			return act(`/v1/assignments/${did.assignment}/accept`)
		case "decline":
		case "release":
			return act(`/v1/assignments/${did.assignment}/${did.kind}`, { reason: did.reason })
		case "step":
			// That a parcel is lost is known when it is said, not when it happened.
			return act(`/v1/orders/${did.order}/${did.step}`, did.step === "lost" ? {} : { occurred_at: at })
		case "collect":
			return act(`/v1/orders/${did.order}/collect`, { code: did.code, occurred_at: at })
		case "door":
			return tell(did.events, key)
		case "promise":
			return act(`/v1/prestock-tasks/${did.task}/acknowledge`, { committed_quantity: did.quantity })
		case "stocked":
			return act(`/v1/prestock-tasks/${did.task}/stocked`, { counted_quantity: did.quantity })
		case "count":
			return put("PUT", "/v1/store/stock", { items: [{ sku: did.sku, on_hand: did.on_hand }] }, key)
		case "patch":
			return put("PATCH", "/v1/store", did.patch, key)
		case "pause":
			return act(`/v1/stores/${await ownStore(key)}/pause`, { until: did.until })
		case "resume":
			return act(`/v1/stores/${await ownStore(key)}/resume`)
		case "scan":
			return answered(await post<Results>("/v1/scans", [scanOf(did, id, at)], key))
		case "prestock":
			return put("PUT", "/v1/store/prestock", { opt_out: did.opt_out }, key)
		case "read":
			return act("/v1/store/inbox/read", { ids: did.ids })
	}
}

const scanOf = ({ code, direction, to, store }: Extract<Did, { kind: "scan" }>, id: string, occurred_at: string) => ({
	id,
	code,
	direction,
	occurred_at,
	...(to && { to }),
	...(store && { store_id: store }),
})

const put = (method: string, path: string, body: unknown, key: string | undefined) =>
	ask<void>({ method, path, key, body: JSON.stringify(body) })

async function ownStore(key: string | undefined): Promise<string> {
	return (await ask<{ store_id: string }>({ path: "/v1/me", key })).store_id
}

type Results = { results: ScanResult[] }

// answered gives the first of a list of results, and throws for what was refused of a list. What is refused
// may be sent again under its id, so the row stays whole; and since the answer may then be another, the call
// has no Idempotency-Key.
function answered({ results }: Results) {
	const refused = results.find(r => r.result === "refused")
	if (refused) throw new Refusal(refused.problem ?? { status: 409, code: "refused" })
	return results[0]
}

// tell reports what happened at a door, its pictures first.
async function tell(events: DoorEvent[], key: string | undefined): Promise<void> {
	const body = []
	for (const { photo: shown, signature, ...event } of events) {
		const [sha, signed] = [shown && (await upload(shown, key)), signature && (await upload(signature, key))]
		body.push({ ...event, ...(sha && { photo_sha256: sha }), ...(signed && { signature_sha256: signed }) })
	}
	answered(await post<Results>("/v1/dropoff-events", body, key))
}

async function upload(id: string, key: string | undefined): Promise<string | undefined> {
	const kept = await photo(id)
	if (!kept) return undefined // the phone lost it; the events are worth more than nothing
	if (kept.sha256) return kept.sha256
	const answer = await ask<{ sha256: string }>({
		method: "POST",
		path: "/v1/photos",
		key,
		body: kept.jpeg,
		type: "image/jpeg",
	})
	await change(["photos"], table => table("photos").put({ ...kept, sha256: answer.sha256 }, id))
	return answer.sha256
}

/** turn runs f while nobody else on this phone sends or asks: neither another tab nor the service worker. */
export async function turn<T>(f: () => Promise<T>): Promise<T> {
	if (navigator.locks) return (await navigator.locks.request("doorstep-sync", f)) as T
	queue = queue.then(f, f)
	return queue as Promise<T>
}
let queue: Promise<unknown> = Promise.resolve()

const KEPT_MS = 2 * 86_400_000

/** tidy forgets photos and visits of days ago that nothing waits for any more. */
export function tidy(now: Date) {
	const old = (at: string) => now.getTime() - Date.parse(at) > KEPT_MS
	return change(["outbox", "photos", "values"], table => {
		const waiting = table("outbox").getAll() as IDBRequest<Row[]>
		waiting.onsuccess = () => {
			const text = JSON.stringify(waiting.result)
			const photos = table("photos").openCursor()
			photos.onsuccess = () => {
				const cursor = photos.result
				if (!cursor) return
				if (old((cursor.value as Kept).at) && !text.includes(String(cursor.key))) cursor.delete()
				cursor.continue()
			}
			const doors = table("values").get("doors") as IDBRequest<Record<string, { at: string }> | undefined>
			doors.onsuccess = () => {
				const young = Object.entries(doors.result ?? {}).filter(
					([order, door]) => !old(door.at) || text.includes(order),
				)
				table("values").put(Object.fromEntries(young), "doors")
			}
		}
		return undefined
	})
}
