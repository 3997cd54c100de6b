import { describe, expect, test } from "vitest"
import { apply, type Did, find, type Known } from "../src/store/known"
import { assignment, knows, order, task } from "./fixtures"

const at = "2026-11-23T10:00:00.000Z"
const door = (type: string, more = {}): Did =>
	({
		kind: "door",
		order: "1",
		events: [{ id: type, order_id: "1", attempt: 1, type, occurred_at: at, ...more }],
	}) as Did

const all = (known: Known, ...dids: Did[]) => dids.reduce((k, did) => apply(k, did, at), known)

describe("what is not sent yet is shown as if it had happened", () => {
	test("from the offer to the doorstep", () => {
		const start = knows(assignment(order("1", { status: "created" }), "offered", "2026-11-23T10:02:00.000Z"))
		const steps: [Did, string][] = [
			[{ kind: "accept", assignment: "asg_1", order: "1" }, "confirmed"],
			[{ kind: "step", step: "ready", order: "1" }, "ready_for_pickup"],
			[{ kind: "step", step: "pick-up", order: "1" }, "picked_up"],
			[{ kind: "step", step: "depart", order: "1" }, "enroute_to_dropoff"],
			[door("arrived"), "arrived_at_dropoff"],
			[door("placed"), "arrived_at_dropoff"],
			[door("completed"), "delivered"],
		]
		let known = start
		for (const [did, status] of steps) {
			known = apply(known, did, at)
			expect(find(known, "1")?.status).toBe(status)
		}
		expect(find(known, "1")?.attempts).toBe(1)
		expect(known.done.map(o => o.delivered_at)).toEqual([at])
		expect(find(start, "1")?.status).toBe("created")
	})

	test("a runner who forgot to set out still makes the first attempt, and a second after a failure", () => {
		const known = all(
			knows(assignment(order("1", { status: "picked_up" }))),
			door("arrived"),
			door("failed", { reason: "cannot_access" }),
		)
		expect(find(known, "1")).toMatchObject({ status: "attempt_failed", status_reason: "cannot_access", attempts: 1 })
		expect(find(all(known, { kind: "step", step: "depart", order: "1" }), "1")?.attempts).toBe(2)
	})

	test("what was taken back is not done", () => {
		const known = all(
			knows(assignment(order("1", { status: "enroute_to_dropoff", attempts: 1 }))),
			door("completed"),
			door("withdrawn"),
		)
		expect(find(known, "1")?.status).toBe("arrived_at_dropoff")
		expect(known.done).toEqual([])
	})

	test("answers to a prompt: all, some, none", () => {
		for (const [quantity, status] of [
			[48, "acknowledged"],
			[30, "partially_acknowledged"],
			[0, "declined"],
		] as const) {
			const known = apply({ ...knows(), tasks: [task("t")] }, { kind: "promise", task: "t", quantity }, at)
			expect(known.tasks[0]).toMatchObject({ status, committed_quantity: quantity })
		}
	})

	test("a declined offer goes away, a pause and a count are seen at once", () => {
		const start: Known = { ...knows(assignment(order("1"), "offered")), store: { status: "active" } as Known["store"] }
		const known = all(
			start,
			{ kind: "decline", assignment: "asg_1", order: "1", reason: "capacity_exceeded" },
			{ kind: "pause", until: null },
			{ kind: "count", sku: "Soap", on_hand: 3 },
			{ kind: "count", sku: "Soap", on_hand: 4 },
		)
		expect(known.assignments).toEqual([])
		expect(known.store?.status).toBe("paused")
		expect(known.stock).toEqual([{ sku: "Soap", on_hand: 4, reserved: 0, available: 4 }])
	})
})
