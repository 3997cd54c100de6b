// What the shop earned: fees for goods of a campaign that were sold. What deliveries earn, the network settles.

import { keep, recall } from "./kept"
import type { Order, Task } from "./known"
import { ask } from "./server"
import type { Credential } from "./sync"

export type Money = { amount: number; currency: string }

// Promises whose goods were counted onto the shelf.
const counted = "stocked,shortfall,consumed,released"
const PAGES = 10

/** fees are what units that were sold brought, one sum a currency: of each promise at most what was counted onto
 * the shelf for it, and only what was sold before its end. */
export function fees(sold: Order[], promises: Task[]): Money[] {
	const sums = new Map<string, number>()
	const left = new Map(promises.map(t => [t.id, t.counted_quantity ?? 0]))
	for (const o of sold) {
		for (const { sku, quantity } of o.items) {
			let units = quantity
			for (const t of promises) {
				if (t.sku !== sku || !t.unit_fee || t.unit_fee.currency === "XXX") continue
				if (Date.parse(o.delivered_at ?? o.updated_at) > Date.parse(t.hold_until)) continue
				const paid = Math.min(units, left.get(t.id) ?? 0)
				units -= paid
				left.set(t.id, (left.get(t.id) ?? 0) - paid)
				sums.set(t.unit_fee.currency, (sums.get(t.unit_fee.currency) ?? 0) + paid * t.unit_fee.amount)
			}
		}
	}
	return [...sums].filter(([, amount]) => amount > 0).map(([currency, amount]) => ({ amount, currency }))
}

/** promises are those that bring a fee; without a network, as they were last. */
export async function promises(): Promise<Task[]> {
	try {
		const credential = await recall<Credential>("credential")
		const paid: Task[] = []
		let more = ""
		for (let page = 0; page < PAGES; page++) {
			const path = `/v1/prestock-tasks?status=${counted}&limit=200${more}`
			const { data, next_cursor } = await ask<{ data: Task[]; next_cursor: string | null }>({
				path,
				key: credential?.key,
			})
			paid.push(...data.filter(t => t.unit_fee))
			if (!next_cursor) break
			more = `&cursor=${encodeURIComponent(next_cursor)}`
		}
		await keep("promises", paid)
		return paid
	} catch {
		return (await recall<Task[]>("promises")) ?? []
	}
}
