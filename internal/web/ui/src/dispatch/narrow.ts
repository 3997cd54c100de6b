// What a list is narrowed to. It stands in the address behind the screen's name, so that a list can be kept,
// sent to a colleague, and gone back to.

import { type Kind, kinds, storeOf, type Trouble } from "./trouble"

/** Wish is one value for each field that narrows; a field that is not there does not. */
export type Wish = Record<string, string>

/** wishOf reads what stands behind the ? of an address; fields it does not know are left out. */
export function wishOf(hash: string, fields: readonly string[]): Wish {
	const wish: Wish = {}
	for (const [name, value] of new URLSearchParams(hash.split("?")[1] ?? "")) {
		if (fields.includes(name) && value !== "") wish[name] = value
	}
	return wish
}

/** addressOf is the address of a screen, narrowed. */
export function addressOf(screen: string, wish: Wish): string {
	const query = new URLSearchParams(Object.entries(wish).filter(([, value]) => value !== "")).toString()
	return `#/${screen}${query ? `?${query}` : ""}`
}

export const queueFields = ["kind", "store", "merchant", "age"] as const
export type QueueField = (typeof queueFields)[number]

/** ages are how long something may have waited, ms. */
export const ages: Record<string, number> = { "15m": 900_000, "1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000 }

const fits: Record<QueueField, (t: Trouble, value: string, now: number) => boolean> = {
	kind: (t, value) => t.kind === value,
	store: (t, value) => storeOf(t) === value,
	merchant: (t, value) => merchantOf(t) === value,
	age: (t, value, now) => now - t.at >= (ages[value] ?? 0),
}

const merchantOf = (t: Trouble) => t.order?.merchant ?? t.incident?.merchant ?? ""

/** narrowed are the rows that fit, but for the field that is left out. */
export function narrowed(rows: Trouble[], wish: Wish, now: number, but?: QueueField): Trouble[] {
	const asked = queueFields.filter(f => f !== but && wish[f])
	return rows.filter(t => asked.every(f => fits[f](t, wish[f] as string, now)))
}

/** Count is a value of a field and how many rows would be left with it. */
export type Count = { value: string; n: number }

/** counts are the values that the rows have of a field, and how many rows each would leave; kinds in their own
 * order, the rest by number. What is wished for now is there even when it leaves none. */
export function counts(rows: Trouble[], wish: Wish, field: "kind" | "store" | "merchant", now: number): Count[] {
	const of = { kind: (t: Trouble) => t.kind as string, store: storeOf, merchant: merchantOf }[field]
	const n = new Map<string, number>(wish[field] ? [[wish[field], 0]] : [])
	for (const t of narrowed(rows, wish, now, field)) {
		const value = of(t)
		if (value) n.set(value, (n.get(value) ?? 0) + 1)
	}
	const list = [...n].map(([value, n]) => ({ value, n }))
	return field === "kind"
		? list.sort((a, b) => kinds.indexOf(a.value as Kind) - kinds.indexOf(b.value as Kind))
		: list.sort((a, b) => b.n - a.n || (a.value < b.value ? -1 : 1))
}

/** ticked is what is chosen of ids once id was ticked, with all rows between it and from when that is one of them. */
export function ticked(ids: string[], chosen: ReadonlySet<string>, id: string, from: string): Set<string> {
	const wanted = !chosen.has(id)
	const [a, b] = [ids.indexOf(from || id), ids.indexOf(id)]
	const through = a < 0 ? [id] : ids.slice(Math.min(a, b), Math.max(a, b) + 1)
	const out = new Set(chosen)
	for (const one of through) {
		if (wanted) out.add(one)
		else out.delete(one)
	}
	return out
}
