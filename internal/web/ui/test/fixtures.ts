import type { Assignment, Known, Order, Task } from "../src/store/known"
import { nothing } from "../src/store/known"

/** order is one line per order: what the test is about, and the rest as usual. */
export function order(id: string, more: Partial<Order> = {}): Order {
	return {
		id,
		external_id: `A-${id}`,
		status: "confirmed",
		status_reason: null,
		attempts: 0,
		distance_m: 100,
		promise: { earliest: "2026-11-23T09:00:00.000Z", latest: "2026-11-23T11:00:00.000Z" },
		store: { id: "str_1", name: "Duka", location: { lat: 0, lng: 0 } },
		dropoff: {
			location: { lat: 0.001, lng: 0 },
			mode: "leave_at_door",
			pin_required: false,
			address: null,
			instructions: null,
		},
		recipient: { name: "Wanjiru", phone: "+254712000002", locale: null },
		items: [],
		parcels: [],
		tags: [],
		minimum_evidence_grade: "B",
		delivered_at: null,
		updated_at: "2026-11-23T08:00:00.000Z",
		...more,
	} as Order
}

export function assignment(
	o: Order,
	status: Assignment["status"] = "accepted",
	expires: string | null = null,
): Assignment {
	return {
		id: `asg_${o.id}`,
		order_id: o.id,
		status,
		order: o,
		offered_at: "2026-11-23T08:00:00.000Z",
		offer_expires_at: expires,
	} as Assignment
}

export function task(id: string, more: Partial<Task> = {}): Task {
	return {
		id,
		sku: "SKU-7",
		asked_quantity: 48,
		reallocated_quantity: 0,
		committed_quantity: 0,
		counted_quantity: null,
		status: "prompted",
		ack_deadline: "2026-11-24T09:00:00.000Z",
		stock_deadline: "2026-11-25T09:00:00.000Z",
		...more,
	} as Task
}

export const knows = (...assignments: Assignment[]): Known => ({ ...nothing, at: 1, assignments })
