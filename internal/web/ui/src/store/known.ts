// What the phone knows: the server's lists as it last saw them, and what changes in them when the owner
// does something. What waits to be sent is shown as if it had happened; what has been sent is made part of
// the lists, until the server's own next answer replaces them.
//
//	server ──lists──► Known ──apply(each waiting row)──► what the screens show
//	                    ▲
//	                    └── apply(row), when the server has it

import type { components } from "../api/contract"

type Schemas = components["schemas"]
export type Order = Schemas["Order"]
export type Assignment = Schemas["Assignment"]
export type Task = Schemas["PrestockTask"]
export type Store = Schemas["Store"]
export type StockLevel = Schemas["StockLevel"]
export type Message = Schemas["StoreMessage"]
export type Reliability = Schemas["Reliability"]
export type Ratings = Schemas["StoreRatings"]
export type DoorEvent = Schemas["DropoffEventInput"] & {
	/** photo and signature are pictures on this phone, until the server knows them by their hashes. */
	photo?: string
	signature?: string
}

export type Known = {
	/** at is when the server last answered, ms; 0 is never. */
	at: number
	store?: Store
	assignments: Assignment[]
	tasks: Task[]
	stock?: StockLevel[]
	inbox: Message[]
	unread: number
	reliability?: Reliability
	ratings?: Ratings
	/** done are this week's parcels that reached their customer, as this phone saw them. */
	done: Order[]
	/** back are parcels of cancelled orders that still lie here. */
	back: Order[]
	/** strays are parcels of other shops that were taken in here. */
	strays: Stray[]
	/** optOut says that the shop is not asked to stock goods. */
	optOut?: boolean
	/** skew is how far the server's clock was ahead of this phone's, ms. */
	skew?: number
}

/** Stray is another shop's parcel, and what the network wants done with it. */
export type Stray = { code: string; action: Schemas["StepAction"]; to: Schemas["OrderStore"] | null }

export type ScanResult = Schemas["ScanResult"]

export const nothing: Known = {
	at: 0,
	assignments: [],
	tasks: [],
	inbox: [],
	unread: 0,
	done: [],
	back: [],
	strays: [],
}

/** OrderStep is an action of the contract on an order that takes nothing but a time. */
export type OrderStep = "ready" | "pick-up" | "hand-back" | "depart" | "receive" | "return" | "returned" | "lost"

/** Did is one thing the owner did. */
export type Did =
	| { kind: "accept"; assignment: string; order: string }
	| { kind: "decline" | "release"; assignment: string; order: string; reason: string }
	| { kind: "step"; step: OrderStep; order: string }
	| { kind: "collect"; order: string; code: string }
	| { kind: "door"; order: string; events: DoorEvent[] }
	| { kind: "promise"; task: string; quantity: number }
	| { kind: "stocked"; task: string; quantity: number }
	| { kind: "count"; sku: string; on_hand: number }
	| { kind: "pause"; until: string | null }
	| { kind: "resume" }
	| { kind: "patch"; patch: Schemas["OwnStorePatch"] }
	| { kind: "read"; ids: string[] }
	| { kind: "scan"; code: string; direction: "in" | "out"; to?: "merchant" | "store"; store?: string }
	| { kind: "prestock"; opt_out: boolean }

const after: Record<OrderStep, Order["status"]> = {
	ready: "ready_for_pickup",
	"pick-up": "picked_up",
	"hand-back": "ready_for_pickup",
	depart: "enroute_to_dropoff",
	receive: "received_at_store",
	return: "enroute_to_return",
	returned: "returned",
	lost: "cancelled",
}

/** apply is what we know once did has happened at that time; what it was applied to stays as it is. */
export function apply(known: Known, did: Did, at: string): Known {
	switch (did.kind) {
		case "accept":
			return assignment(known, did.assignment, a => ({
				...a,
				status: "accepted",
				offer_expires_at: null,
				order: { ...a.order, status: "confirmed" },
			}))
		case "decline":
		case "release":
			return { ...known, assignments: known.assignments.filter(a => a.id !== did.assignment) }
		case "step":
			return order(known, did.order, o => (did.step === "depart" ? setOut(o) : { ...o, status: after[did.step] }))
		case "collect":
			return finished(known, did.order, "collected", at)
		case "door":
			return did.events.reduce((k, e) => door(k, did.order, e), known)
		case "promise":
			return task(known, did.task, t => ({
				...t,
				committed_quantity: did.quantity,
				status: did.quantity === 0 ? "declined" : did.quantity < open(t) ? "partially_acknowledged" : "acknowledged",
			}))
		case "stocked":
			return task(known, did.task, t => ({
				...t,
				counted_quantity: did.quantity,
				status: did.quantity < t.committed_quantity ? "shortfall" : "stocked",
			}))
		case "count":
			return { ...known, stock: counted(known.stock ?? [], did.sku, did.on_hand) }
		case "pause":
			return store(known, { status: "paused", accepting_orders: false, paused_until: did.until })
		case "resume":
			return store(known, { status: "active", accepting_orders: true, paused_until: null })
		case "patch":
			return store(known, did.patch as Partial<Store>)
		case "scan":
			return scan(known, did.code, did.direction)
		case "prestock":
			return { ...known, optOut: did.opt_out }
		case "read":
			return {
				...known,
				inbox: known.inbox.map(m => (did.ids.includes(m.id) ? { ...m, read_at: m.read_at ?? at } : m)),
				unread: Math.max(0, known.unread - did.ids.length),
			}
	}
}

// scan knows what becomes of a label that is known here; whose another is, the server says.
function scan(known: Known, code: string, direction: "in" | "out"): Known {
	if (direction === "out") {
		return {
			...known,
			assignments: known.assignments.filter(a => a.order_id !== code),
			back: known.back.filter(o => o.id !== code),
			strays: known.strays.filter(s => s.code !== code),
		}
	}
	return order(known, code, o => ({
		...o,
		status: o.dropoff.mode === "collect_at_store" ? "received_at_store" : "ready_for_pickup",
	}))
}

/** learned is what we know once the server has said what to do with a parcel that was scanned in. */
export function learned(known: Known, code: string, said: ScanResult | undefined): Known {
	const step = said?.next_step
	const own = known.assignments.some(a => a.order_id === said?.order_id)
	if (!step || own || !["forward", "send_back", "wait"].includes(step.action)) return known
	const strays = known.strays.filter(s => s.code !== code)
	return { ...known, strays: [...strays, { code, action: step.action, to: step.to_store }] }
}

/** open is how many units of a task are this store's to promise. */
export const open = (t: Task) => t.asked_quantity - t.reallocated_quantity

function door(known: Known, id: string, e: DoorEvent): Known {
	switch (e.type) {
		case "completed":
			return finished(known, id, "delivered", e.occurred_at)
		case "failed":
			return order(known, id, o => ({ ...setOut(o), status: "attempt_failed", status_reason: e.reason ?? null }))
		case "arrived":
			return order(known, id, o => ({ ...setOut(o), status: "arrived_at_dropoff" }))
		case "withdrawn":
			return {
				...order(known, id, o => ({ ...o, status: "arrived_at_dropoff", delivered_at: null })),
				done: known.done.filter(o => o.id !== id),
			}
	}
	return known
}

// setOut begins an attempt unless one is under way.
function setOut(o: Order): Order {
	if (o.status === "enroute_to_dropoff" || o.status === "arrived_at_dropoff") return o
	return { ...o, status: "enroute_to_dropoff", attempts: o.attempts + 1 }
}

function finished(known: Known, id: string, status: "delivered" | "collected", at: string): Known {
	const after = order(known, id, o => ({
		...o,
		status,
		delivered_at: status === "delivered" ? at : null,
		updated_at: at,
	}))
	const it = find(after, id)
	return it ? { ...after, done: [...after.done.filter(o => o.id !== id), it] } : after
}

/** find answers an order that the store has, is asked for, or has finished. */
export const find = (known: Known, id: string) =>
	known.assignments.find(a => a.order_id === id)?.order ?? known.done.find(o => o.id === id)

function assignment(known: Known, id: string, f: (a: Assignment) => Assignment): Known {
	return { ...known, assignments: known.assignments.map(a => (a.id === id ? f(a) : a)) }
}

function order(known: Known, id: string, f: (o: Order) => Order): Known {
	return { ...known, assignments: known.assignments.map(a => (a.order_id === id ? { ...a, order: f(a.order) } : a)) }
}

function task(known: Known, id: string, f: (t: Task) => Task): Known {
	return { ...known, tasks: known.tasks.map(t => (t.id === id ? f(t) : t)) }
}

function store(known: Known, patch: Partial<Store>): Known {
	return known.store ? { ...known, store: { ...known.store, ...patch } } : known
}

function counted(stock: StockLevel[], sku: string, on_hand: number): StockLevel[] {
	const reserved = stock.find(s => s.sku === sku)?.reserved ?? 0
	const line = { sku, on_hand, reserved, available: Math.max(0, on_hand - reserved) }
	const has = stock.some(s => s.sku === sku)
	return has ? stock.map(s => (s.sku === sku ? line : s)) : [...stock, line]
}
