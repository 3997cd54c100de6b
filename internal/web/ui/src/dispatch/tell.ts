// What is wrong, in one sentence; times and people as dispatchers say them.

import { type Clock, clockTime, day } from "../store/say"
import type { Order, Store } from "./net"
import { called, type Trouble } from "./trouble"
import type { Words } from "./words"

/** plain is a code that has no words yet. */
export const plain = (code: string) => code.replaceAll("_", " ")

export const reason = (code: string | null | undefined, w: Words) => (code ? (w.reasons[code] ?? plain(code)) : "")

/** sentence says what is wrong. */
export function sentence(t: Trouble, w: Words, store: (id: string) => Store | undefined): string {
	const o = t.order
	const what = o ? called(o) : ""
	switch (t.kind) {
		case "dispute":
			return w.sayDispute(o?.recipient.name || w.customer, what, reason(t.incident?.reason, w))
		case "message":
			return w.sayMessage(o?.recipient.name || w.customer, what)
		case "unassignable":
			return w.sayUnassignable(what, reason(o?.status_reason, w))
		case "failed":
			return w.sayFailed(what, reason(o?.status_reason, w))
		case "locked":
			return w.sayLocked(what)
		case "late": {
			const step = o?.next_step
			const who = step?.who === "store" && o?.store ? o.store.name : w.who[step?.who ?? "store"]
			return w.sayLate(who, what, w.actions[step?.action ?? ""] ?? "")
		}
		case "risk": {
			const late =
				t.warning?.expected_at && t.warning.deadline
					? Date.parse(t.warning.expected_at) - Date.parse(t.warning.deadline)
					: 0
			return w.sayRisk(what, w.minutes(Math.max(1, Math.round(late / 60_000))), w.still[o?.status ?? ""] ?? "")
		}
		case "prompts":
			return w.sayPrompts(t.warning?.store?.name ?? w.aStore, t.warning?.times ?? 1, t.warning?.units ?? 0)
		case "silent": {
			if (t.warning)
				return t.warning.detail === "offers_expired"
					? w.saySilentOffers(t.warning.store?.name ?? w.aStore, t.warning.times ?? 2)
					: w.saySilentSeen(t.warning.store?.name ?? w.aStore)
			const name = (t.exception && store(t.exception.store_id)?.name) ?? w.aStore
			return t.exception?.kind === "not_read" ? w.saySilentRead(name) : w.saySilentPush(name)
		}
	}
}

/** gave is what came of giving an order to another store. */
export function gave(o: Order, w: Words): string {
	if (!o.store || o.status === "unassignable") return w.noOther
	return o.status === "confirmed" ? w.gaveTo(o.store.name) : w.askedOf(o.store.name)
}

/** ago is "12 min", "3 h", "2 days"; less than a minute is just now. */
export function ago(at: number, now: number, w: Words): string {
	const s = Math.max(0, (now - at) / 1000)
	if (s < 60) return w.now
	if (s < 3600) return w.minutes(Math.floor(s / 60))
	if (s < 86_400) return w.hoursAgo(Math.floor(s / 3600))
	return w.days(Math.floor(s / 86_400))
}

/** at is "today 14:05". */
export const at = (t: string | number, now: number, c: Clock) => {
	const d = new Date(t)
	return `${day(d, new Date(now), c)} ${clockTime(d, c)}`
}

/** span is "today 14:00–16:00". */
export const span = (p: { earliest: string; latest: string }, now: number, c: Clock) =>
	`${at(p.earliest, now, c)}–${clockTime(new Date(p.latest), c)}`

export const number = (n: number, c: Clock) => new Intl.NumberFormat(c.locale).format(n)
