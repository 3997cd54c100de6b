// The drop-off on the phone: three taps, and what each of them is worth as evidence.
//
//	left alone   I am at the door ─► photo, from two steps back ─► I stepped away
//	in person    I am at the door ─► photo (if asked for) ─► handed over
//
// The parcel is photographed from where the runner stepped back to, so one photo shows both that it lies
// there and that the runner stands away from it: the step-away is known by photo_from_distance.

import type { DoorEvent, Order } from "./known"

/** Door is what has been done at one door, as this phone remembers it. */
export type Door = { order: string; attempt: number; at: string; events: DoorEvent[] }

export type Stage = "away" | "arrived" | "photographed" | "over"

/** stage is how far the visit is; what was refused has not happened. */
export function stage(door: Door | undefined, refused: Set<string> = new Set()): Stage {
	const events = door?.events.filter(e => !refused.has(e.id) || (e.type !== "completed" && e.type !== "failed")) ?? []
	const has = (...types: DoorEvent["type"][]) => events.some(e => types.includes(e.type))
	if (has("completed", "failed")) return "over"
	if (events.some(e => e.photo)) return "photographed"
	return has("arrived") ? "arrived" : "away"
}

/** attempt is the number of the visit that is under way, or that would begin now. */
export const attempt = (o: Order) =>
	o.status === "enroute_to_dropoff" || o.status === "arrived_at_dropoff" ? Math.max(1, o.attempts) : o.attempts + 1

/** inPerson says that the parcel must go from hand to hand. */
export const inPerson = (o: Order) => o.dropoff.mode === "hand_over" || o.dropoff.mode === "neighbour"

/** photoNeeded says that the merchant believes no delivery without one. */
export const photoNeeded = (o: Order) => o.minimum_evidence_grade === "B" || o.minimum_evidence_grade === "C"

export type Fix = { lat: number; lng: number; accuracy_m: number }
export type Signal = "bell" | "knock" | "call"

/** Facts are what the phone adds to a tap: when, where (if it may say), and ids nobody else has. */
export type Facts = { at: Date; fix?: Fix; newId: () => string }

function event(o: Order, n: number, type: DoorEvent["type"], f: Facts, more: Partial<DoorEvent> = {}): DoorEvent {
	const e: DoorEvent = { id: f.newId(), order_id: o.id, attempt: n, type, occurred_at: f.at.toISOString(), ...more }
	if (f.fix) e.location = f.fix
	return e
}

export const arrived = (o: Order, n: number, f: Facts) => [event(o, n, "arrived", f)]

/** placed says that the parcel lies where the photo shows it. */
export const placed = (o: Order, n: number, f: Facts, photo: string) => [event(o, n, "placed", f, { photo })]

/** steppedAway ends a visit at which the parcel was left, and how the customer was told. */
export function steppedAway(o: Order, n: number, f: Facts, signal: Signal, photo: string | undefined): DoorEvent[] {
	const far: Partial<DoorEvent> = photo ? { method: "photo_from_distance", photo } : { method: "gps" }
	return [event(o, n, "signalled", f, { signal }), event(o, n, "stepped_away", f, far), event(o, n, "completed", f)]
}

/** Taken is what somebody who took the parcel has shown or given. */
export type Taken = { pin?: string; name?: string; idSeen?: boolean; cash?: boolean; signature?: string | undefined }

/** lacks is what the order still wants to see before the parcel changes hands. */
export function lacks(o: Order, t: Taken): boolean {
	const d = o.dropoff
	const named = d.mode !== "neighbour" || Boolean(t.name?.trim())
	return !(
		named &&
		(!d.pin_required || /^\d{4,8}$/.test(t.pin ?? "")) &&
		(!d.id_required || t.idSeen) &&
		(!d.cash_on_delivery || t.cash) &&
		(!d.signature_required || t.signature)
	)
}

/** handedOver ends a visit at which somebody took the parcel. */
export function handedOver(o: Order, n: number, f: Facts, t: Taken, photo: string | undefined): DoorEvent[] {
	const d = o.dropoff
	const more: Partial<DoorEvent> = {}
	if (d.pin_required && t.pin) more.pin = t.pin
	if (t.name?.trim()) more.name = t.name.trim()
	if (d.id_required && t.idSeen) more.id_checked = true
	if (d.cash_on_delivery && t.cash) more.cash_collected = d.cash_on_delivery
	if (t.signature) more.signature = t.signature
	if (photo) more.photo = photo
	return [event(o, n, "handed_over", f, more), event(o, n, "completed", f)]
}

/** calledThem says that the customer was called from the door. */
export const calledThem = (o: Order, n: number, f: Facts) => [event(o, n, "signalled", f, { signal: "call" })]

export const failed = (o: Order, n: number, f: Facts, reason: NonNullable<DoorEvent["reason"]>) => [
	event(o, n, "failed", f, { reason }),
]

/** withdrawn takes back what was tapped by mistake. */
export const withdrawn = (o: Order, n: number, f: Facts, supersedes: string) => [
	event(o, n, "withdrawn", f, { supersedes }),
]

/** photoOf is the newest photo taken at this door. */
export const photoOf = (door: Door | undefined) => door?.events.findLast(e => e.photo)?.photo
