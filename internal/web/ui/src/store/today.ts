// What there is to do, in the order in which it is worth doing.

import type { Assignment, Known, Order, Stray, Task } from "./known"

export type Today = {
	/** offers wait for an answer, the one that ends first in front. */
	offers: Assignment[]
	/** prompts ask to stock goods; promised are to be put on the shelf and counted. */
	prompts: Task[]
	promised: Task[]
	packing: Assignment[]
	ready: Assignment[]
	/** run are the parcels out with the runner, in the order of the stops. */
	run: Order[]
	failed: Order[]
	/** counter are parcels that wait for their customer at the store. */
	counter: Order[]
	returning: Order[]
	/** arriving are parcels that somebody brings here; leaving are to be brought to another store. */
	arriving: Order[]
	leaving: Order[]
	/** back are to be given back to their sender; strays are other shops'. */
	back: Order[]
	strays: Stray[]
}

/** today sorts what we know. Offers and prompts whose time is over at now (ms) are left out. */
export function today(known: Known, now: number): Today {
	const mine = known.assignments.filter(a => a.status === "accepted")
	const accepted = mine.filter(a => !comes(a.order))
	const inState = (...states: Order["status"][]) => accepted.filter(a => states.includes(a.order.status))
	const orders = (...states: Order["status"][]) => inState(...states).map(a => a.order)
	return {
		offers: known.assignments
			.filter(a => a.status === "offered" && !(a.offer_expires_at && Date.parse(a.offer_expires_at) <= now))
			.sort((a, b) => (a.offer_expires_at ?? "9").localeCompare(b.offer_expires_at ?? "9")),
		prompts: known.tasks
			.filter(t => t.status === "prompted" && Date.parse(t.ack_deadline) > now)
			.sort((a, b) => a.ack_deadline.localeCompare(b.ack_deadline)),
		promised: known.tasks
			.filter(t => t.status === "acknowledged" || t.status === "partially_acknowledged")
			.sort((a, b) => a.stock_deadline.localeCompare(b.stock_deadline)),
		packing: inState("confirmed").sort(byPromise),
		ready: inState("ready_for_pickup").sort(byPromise),
		run: stops(orders("picked_up", "enroute_to_dropoff", "arrived_at_dropoff")),
		failed: orders("attempt_failed"),
		counter: orders("received_at_store"),
		returning: orders("enroute_to_return"),
		arriving: mine.filter(a => comes(a.order)).map(a => a.order),
		leaving: orders("received_at_store").filter(o => o.custody?.transfer_to_store_id),
		back: known.back,
		strays: known.strays,
	}
}

// comes says that a parcel is on its way to the store whose order it is: a runner brings it, or another
// shop has it.
function comes(o: Order): boolean {
	const action = o.next_step?.action
	return (
		(o.status === "picked_up" || o.status === "confirmed") &&
		(action === "bring_to_store" || (action === "forward" && o.next_step?.to_store_id === o.store?.id))
	)
}

const ends = (o: Order) => o.promise?.latest ?? "9"
const byPromise = (a: Assignment, b: Assignment) => ends(a.order).localeCompare(ends(b.order))

/** BAND_MS is how much earlier a promise must end to go first although its door is farther away. */
const BAND_MS = 30 * 60_000

/**
 * stops puts a run into order: whoever the runner stands before comes first, then the promises that end
 * first, and among those that end within half an hour of each other the nearest door next (nearest
 * neighbour, from the store). A few stops on foot need no more.
 */
export function stops(orders: Order[]): Order[] {
	const left = [...orders].sort((a, b) => ends(a).localeCompare(ends(b)) || a.id.localeCompare(b.id))
	const out: Order[] = []
	let here = left[0]?.store?.location
	const take = (o: Order) => {
		out.push(o)
		left.splice(left.indexOf(o), 1)
		here = o.dropoff.location
	}
	for (const o of orders) if (o.status === "arrived_at_dropoff") take(o)
	while (left.length > 0) {
		const first = left[0]!
		const soon = left.filter(o => Date.parse(ends(o)) - Date.parse(ends(first)) < BAND_MS || ends(o) === ends(first))
		take(soon.reduce((best, o) => (metres(here, o.dropoff.location) < metres(here, best.dropoff.location) ? o : best)))
	}
	return out
}

type Point = { lat: number; lng: number }

/** metres between two points on a flat Earth: good enough to compare doors. */
export function metres(a: Point | undefined, b: Point): number {
	if (!a) return 0
	const perDegree = 111_195
	const east = (((b.lng - a.lng + 540) % 360) - 180) * Math.cos((a.lat * Math.PI) / 180)
	return perDegree * Math.hypot(b.lat - a.lat, east)
}

/** Count is how many parcels reached their customer. */
export type Count = { today: number; week: number }

/** count counts done since the store's midnight and since Monday, by a calendar that numbers days. */
export function count(done: Order[], now: Date, dayOf: (t: Date) => number, weekdayOf: (t: Date) => number): Count {
	const today = dayOf(now)
	const monday = today - weekdayOf(now)
	const days = done.map(o => dayOf(new Date(o.delivered_at ?? o.updated_at)))
	return { today: days.filter(d => d === today).length, week: days.filter(d => d >= monday && d <= today).length }
}
