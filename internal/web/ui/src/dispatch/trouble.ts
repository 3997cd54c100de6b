// What needs a person: the lists of the server, made one list with the newest trouble first. An order is in
// it once, for the worst that is wrong with it; a dispute or a message stands for itself, because a customer
// waits for its answer whatever becomes of the parcel.

import type { Exception, Incident, Order, Remark, Warning } from "./net"

/** kinds are those of the queue, what cannot wait first. */
export const kinds = [
	"dispute",
	"message",
	"unassignable",
	"failed",
	"locked",
	"late",
	"risk",
	"prompts",
	"silent",
] as const
export type Kind = (typeof kinds)[number]

/** Trouble is one row of the queue. at is since when, ms. */
export type Trouble = {
	id: string
	kind: Kind
	at: number
	order?: Order
	incident?: Incident
	exception?: Exception
	warning?: Warning
	/** words is what the customer wrote. */
	words?: string
}

/** Lists is what the server answered. orders may hold the same order several times. */
export type Lists = {
	orders: Order[]
	incidents: Incident[]
	exceptions: Exception[]
	warnings: Warning[]
	/** files are the orders and the words of open incidents, by the incident's id. */
	files: Record<string, { order: Order; remarks: Remark[] }>
}

/** wrong is what needs a person about an order; undefined for nothing. */
export function wrong(o: Order): Kind | undefined {
	if (o.status === "unassignable" && o.next_step?.who === "dispatcher") return "unassignable"
	if (o.status === "attempt_failed") return "failed"
	if (o.code_locked && o.next_step?.action === "unlock_code") return "locked"
	if (o.next_step?.overdue) return "late"
	return undefined
}

/** queue is the one list. */
export function queue(l: Lists): Trouble[] {
	const rows = new Map<string, Trouble>()
	for (const order of l.orders) {
		const kind = wrong(order)
		if (!kind) continue
		const at = Date.parse((kind === "late" && order.next_step?.by) || order.updated_at)
		rows.set(order.id, { id: order.id, kind, at, order })
	}
	for (const incident of l.incidents) {
		if (incident.status !== "open") continue
		const file = l.files[incident.id]
		const kind = incident.kind === "dispute" ? "dispute" : "message"
		rows.set(incident.id, {
			id: incident.id,
			kind,
			at: Date.parse(incident.opened_at),
			incident,
			order: file?.order,
			words: said(incident, file?.remarks ?? []),
		})
	}
	for (const exception of l.exceptions) {
		if (exception.closed_at) continue
		rows.set(exception.id, { id: exception.id, kind: "silent", at: Date.parse(exception.opened_at), exception })
	}
	for (const row of warned(l)) if (!rows.has(row.id)) rows.set(row.id, row)
	return [...rows.values()].sort((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1))
}

// warned are the rows of what is about to go wrong. A store that messages do not reach is in the queue for that
// already: that it is silent as well says no more.
function warned(l: Lists): Trouble[] {
	const unreached = new Set(l.exceptions.filter(e => !e.closed_at).map(e => e.store_id))
	return l.warnings
		.filter(w => w.kind !== "silent_store" || !unreached.has(w.store?.id ?? ""))
		.map(warning => {
			const at = Date.parse(warning.since)
			if (warning.kind === "late_risk" && warning.order)
				return { id: warning.order.id, kind: "risk" as const, at, warning, order: warning.order }
			return {
				id: warning.id,
				kind: warning.kind === "silent_store" ? ("silent" as const) : ("prompts" as const),
				at,
				warning,
			}
		})
}

/** storeOf is the store that a row is about, "" for none. */
export const storeOf = (t: Trouble): string =>
	t.exception?.store_id ??
	t.warning?.store?.id ??
	t.order?.next_step?.store_id ??
	t.order?.store?.id ??
	t.incident?.store_id ??
	""

// said is the newest of what the customer wrote that the incident is about.
function said(incident: Incident, remarks: Remark[]): string {
	const kind = incident.kind === "dispute" ? "disputed" : "message_received"
	return remarks.filter(r => r.kind === kind && r.text !== "").at(-1)?.text ?? ""
}

/** Step is something that a dispatcher may do to an order. */
export type Step =
	| "reassign"
	| "unlock-code"
	| "depart"
	| "receive"
	| "return"
	| "returned"
	| "extend-hold"
	| "cancel"
	| "lost"
	| "ready"
	| "pick-up"
	| "hand-back"
	| "tracking-link/revoke"

/** steps are what may be done to an order now; the first is what its next step asks for. */
export function steps(o: Order): Step[] {
	const list: Step[] = []
	if (o.code_locked) list.push("unlock-code")
	switch (o.status) {
		case "created":
		case "unassignable":
		case "confirmed":
		case "ready_for_pickup":
			list.push("reassign", "cancel")
			break
		case "attempt_failed": {
			const first = { redeliver: "depart", bring_to_store: "receive", return: "return" } as const
			const wanted = first[o.next_step?.action as keyof typeof first] ?? "depart"
			list.push(wanted, ...(["depart", "receive", "return"] as const).filter(s => s !== wanted))
			break
		}
		case "received_at_store":
			list.push("extend-hold", "return")
			break
		case "enroute_to_return":
			list.push("returned")
			break
	}
	const held = o.custody?.holder
	if ((held === "store" || held === "runner") && !["delivered", "collected"].includes(o.status)) list.push("lost")
	return list
}

/** more are the other steps, of a page that has room for them: what stores do, done for one that calls, and a new
 * link for a customer whose old one is in wrong hands. */
export function more(o: Order): Step[] {
	const store: Partial<Record<string, Step[]>> = {
		confirmed: ["ready"],
		ready_for_pickup: o.dropoff.mode === "collect_at_store" ? ["receive"] : ["pick-up"],
		picked_up: ["depart", "hand-back"],
	}
	return [...(store[o.status] ?? []), ...(o.erased_at ? [] : (["tracking-link/revoke"] as const))]
}

/** called is the name people have for an order. */
export const called = (o: Order) => o.external_id ?? `…${o.id.slice(-6)}`
