// One order as one story: what the server recorded and what the customer wrote, the newest first.

import type { Event, Remark } from "./net"
import { plain } from "./tell"
import type { Words } from "./words"

/** Line is one thing that happened. recorded is when we were told, if that was clearly later. */
export type Line = {
	id: string
	at: string
	recorded?: string
	what: string
	/** about are a few words more: a reason, a store, who did it. */
	about: { reason?: string; store?: string; actor?: string; more: string[] }
	quote?: string
	stars?: number
	weight: "big" | "bad" | "good" | "small"
}

const LATE_MS = 60_000

// What the customer wrote stands in the remarks, with its words; the events only say that it came.
const inRemarks = new Set(["order.rated", "order.disputed", "order.message_received"])
const small = /^(custody|dropoff)\.|_reminder$|order\.(offered|rated|tracking_link_renewed|code_refused)$/
const bad =
	/failed|refused|locked|overdue|unassignable|declined|offer_expired|hold_expired|flagged|disputed|lost|released|upheld/
const good = /order\.(delivered|collected|confirmed|code_unlocked|dispute_rejected)$/

/** story puts an order's events and remarks in order. */
export function story(events: Event[], remarks: Remark[], w: Words): Line[] {
	const lines: Line[] = events.filter(e => !inRemarks.has(e.type) || remarks.length === 0).map(e => line(e, w))
	for (const r of remarks) {
		const what = w.events[`order.${r.kind}`] ?? plain(r.kind)
		lines.push({
			id: r.id,
			at: r.created_at,
			what,
			about: { more: [], ...(r.reason && { reason: r.reason }) },
			...(r.text && { quote: r.text }),
			...(r.stars && { stars: r.stars }),
			weight: r.kind === "rated" ? "big" : "bad",
		})
	}
	return lines
		.map((l, i) => ({ l, i }))
		.sort((a, b) => Date.parse(b.l.at) - Date.parse(a.l.at) || b.i - a.i)
		.map(({ l }) => l)
}

function line(e: Event, w: Words): Line {
	const data = e.data as Record<string, unknown>
	const text = (name: string) => (typeof data[name] === "string" ? (data[name] as string) : undefined)
	const late = Date.parse(e.recorded_at) - Date.parse(e.occurred_at) > LATE_MS
	const flags = Array.isArray(data.flags) ? (data.flags as string[]) : []
	const holder = text("holder") ?? text("to")
	const grade = text("evidence_grade") ?? text("grade")
	const more = flags.map(f => w.flagWords[f] ?? plain(f))
	if (e.type === "custody.moved" && holder && !(holder === "store" && text("store_id")))
		more.push(w.holders[holder as keyof Words["holders"]] ?? plain(holder))
	if (grade) more.push(w.grade(grade))
	return {
		id: e.id,
		at: e.occurred_at,
		...(late && { recorded: e.recorded_at }),
		what: w.events[e.type] ?? plain(e.type.replace(/^[a-z]+\./, "")),
		about: {
			more,
			...(text("reason") && { reason: text("reason") }),
			...(text("store_id") && { store: text("store_id") }),
			...(e.actor && { actor: e.actor }),
		},
		weight: bad.test(e.type) ? "bad" : good.test(e.type) ? "good" : small.test(e.type) ? "small" : "big",
	}
}
