import { expect, test } from "vitest"
import { addressOf, counts, narrowed, queueFields, ticked, wishOf } from "../src/dispatch/narrow"
import type { Kind, Trouble } from "../src/dispatch/trouble"
import { order } from "./fixtures"

const now = Date.parse("2026-11-23T12:00:00Z")
const row = (id: string, kind: Kind, minutes: number, merchant: string, store = "str_1"): Trouble => ({
	id,
	kind,
	at: now - minutes * 60_000,
	order: { ...order(id), merchant, store: { id: store, name: store, location: { lat: 0, lng: 0 } } },
})
const rows = [
	row("a", "late", 5, "Acme"),
	row("b", "late", 70, "Acme", "str_2"),
	row("c", "failed", 90, "Other"),
	row("d", "risk", 15, "Acme"),
]
const ids = (found: Trouble[]) => found.map(t => t.id).join("")

test("what a list is narrowed to stands in its address, and comes back from it", () => {
	const wish = { kind: "late", merchant: "Ac & me" }
	expect(addressOf("orders", { ...wish, store: "" })).toBe("#/orders?kind=late&merchant=Ac+%26+me")
	expect(wishOf(addressOf("", wish), queueFields)).toEqual(wish)
	expect(wishOf("#/?kind=&evil=1&age=1h", queueFields)).toEqual({ age: "1h" })
	expect(wishOf("#/", queueFields)).toEqual({})
})

test("a queue is narrowed by each field, and by all of them", () => {
	expect(ids(narrowed(rows, {}, now))).toBe("abcd")
	expect(ids(narrowed(rows, { kind: "late" }, now))).toBe("ab")
	expect(ids(narrowed(rows, { merchant: "Acme", age: "15m" }, now))).toBe("bd")
	expect(ids(narrowed(rows, { store: "str_2", kind: "failed" }, now))).toBe("")
	expect(ids(narrowed(rows, { age: "no such age" }, now))).toBe("abcd")
})

test("the counts say what each value would leave, with the other fields as they are", () => {
	const n = (wish: Record<string, string>, field: "kind" | "store" | "merchant") =>
		counts(rows, wish, field, now).map(c => `${c.value} ${c.n}`)
	expect(n({}, "kind")).toEqual(["failed 1", "late 2", "risk 1"])
	expect(n({ kind: "late" }, "kind")).toEqual(["failed 1", "late 2", "risk 1"])
	expect(n({ kind: "late" }, "store")).toEqual(["str_1 1", "str_2 1"])
	expect(n({ kind: "late", merchant: "Other" }, "merchant")).toEqual(["Acme 2", "Other 0"])
})

test("a queue of two thousand rows is narrowed and counted like one of four", () => {
	const many = Array.from({ length: 2000 }, (_, i) =>
		row(`r${i}`, i % 2 ? "late" : "failed", i % 300, `M${i % 40}`, `str_${i % 500}`),
	)
	expect(counts(many, { kind: "late" }, "store", now)).toHaveLength(250)
	expect(narrowed(many, { kind: "late", age: "1h" }, now).length).toBeGreaterThan(500)
})

test("shift ticks all rows between", () => {
	const all = ["a", "b", "c", "d", "e"]
	const is = (got: Set<string>, want: string) => expect([...got].sort().join("")).toBe(want)
	is(ticked(all, new Set(), "b", ""), "b")
	is(ticked(all, new Set(["b"]), "d", "b"), "bcd")
	is(ticked(all, new Set(["d"]), "b", "d"), "bcd")
	is(ticked(all, new Set(["a", "b", "c", "e"]), "c", "a"), "e")
	is(ticked(all, new Set(), "c", "gone"), "c")
})
