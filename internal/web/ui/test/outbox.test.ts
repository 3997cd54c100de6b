import "fake-indexeddb/auto"
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { change, forgetEverything, keep, recall } from "../src/store/kept"
import { type Known, nothing } from "../src/store/known"
import { add, laneOf, letGo, pause, type Row, rows, send, takeBack, tryAgain } from "../src/store/outbox"
import { assignment, knows, order } from "./fixtures"

type Asked = { method: string; path: string; id: string | null; body: unknown }

/** Server answers as a test says, and remembers what it was asked. */
const asked: Asked[] = []
let answer: (a: Asked) => Response | undefined

beforeEach(async () => {
	await forgetEverything()
	asked.length = 0
	answer = () => Response.json({})
	vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
		const body = typeof init.body === "string" ? JSON.parse(init.body) : init.body
		const one = { method: init.method ?? "GET", path, id: new Headers(init.headers).get("Idempotency-Key"), body }
		asked.push(one)
		const response = answer(one)
		if (!response) throw new TypeError("Failed to fetch")
		return response
	})
})
afterEach(() => vi.unstubAllGlobals())

const at = new Date("2026-11-23T10:00:00.000Z")
const now = () => at.getTime()
const paths = () => asked.map(a => a.path.replace("/v1/", ""))
const refusal = (code: string) => Response.json({ code, status: 409, detail: "no" }, { status: 409 })
const doorEvent = (type: string, more = {}) =>
	({ id: `e-${type}`, order_id: "o", attempt: 1, type, occurred_at: at.toISOString(), ...more }) as never

describe("what was done without a network", () => {
	test("goes out in the order in which it happened, with its true time and an id, once", async () => {
		await keep("known", knows(assignment(order("o"))))
		await add({ kind: "step", step: "ready", order: "o" }, at)
		await add({ kind: "step", step: "pick-up", order: "o" }, at)
		answer = () => undefined
		expect(await send("k", now)).toMatchObject({ unreachable: true, sent: 0 })
		expect(paths()).toEqual(["orders/o/ready"])

		answer = () => Response.json({})
		expect(await send("k", now)).toMatchObject({ sent: 2 })
		expect(paths()).toEqual(["orders/o/ready", "orders/o/ready", "orders/o/pick-up"])
		expect(asked[1]).toMatchObject({ method: "POST", id: asked[0]!.id, body: { occurred_at: at.toISOString() } })
		expect(asked[2]!.id).not.toBe(asked[0]!.id)
		expect(await rows()).toEqual([])
		expect((await recall<Known>("known"))?.assignments[0]?.order.status).toBe("picked_up")

		await send("k", now)
		expect(asked).toHaveLength(3)
	})

	test("is never sent as another shop's, and goes out once the phone is its shop's again", async () => {
		await add({ kind: "count", sku: "WATER-5L", on_hand: 3 }, at, 0, { store: "a" })
		await add({ kind: "count", sku: "EGGS-6", on_hand: 1 }, at, 0, { store: "b" })
		expect(await send("k", now, "b")).toMatchObject({ sent: 1 })
		expect(asked.map(a => a.body)).toEqual([{ items: [{ sku: "EGGS-6", on_hand: 1 }] }])
		const [row] = await rows()
		expect(row).toMatchObject({ store: "a", problem: { code: "other-shop" } })

		await tryAgain(row!)
		expect(await send("k", now, "a")).toMatchObject({ sent: 1 })
		expect(await rows()).toEqual([])
	})

	test("photos go before the events that show them, and once", async () => {
		const jpeg = new Blob(["jpeg"])
		const events = [doorEvent("placed", { photo: "p" })]
		await add({ kind: "door", order: "o", events }, at, 0, {
			photo: { id: "p", jpeg },
			value: { name: "doors", value: { o: 1 } },
		})
		await add({ kind: "door", order: "o", events: [doorEvent("stepped_away", { photo: "p" })] }, at)
		expect(await recall("doors")).toEqual({ o: 1 })
		answer = a =>
			a.path === "/v1/photos"
				? Response.json({ sha256: "5a" }, { status: 201 })
				: Response.json({ results: [{ id: "x", result: "recorded" }] })
		await send("k", now)
		expect(paths()).toEqual(["photos", "dropoff-events", "dropoff-events"])
		expect(asked[1]).toMatchObject({ id: null, body: [{ type: "placed", photo_sha256: "5a" }] })
		expect(asked[2]!.body).toEqual([{ ...(doorEvent("stepped_away") as object), photo_sha256: "5a" }])
	})

	test("an event that the server has already counts as sent", async () => {
		await add({ kind: "door", order: "o", events: [doorEvent("arrived")] }, at)
		answer = () => Response.json({ results: [{ id: "e-arrived", result: "duplicate" }] })
		expect(await send("k", now)).toMatchObject({ sent: 1 })
	})
})

describe("what the server refuses", () => {
	test("stays, with the reason, and stops nothing else", async () => {
		await add({ kind: "collect", order: "o", code: "0000" }, at)
		await add({ kind: "step", step: "ready", order: "p" }, at)
		answer = a => (a.path.includes("collect") ? refusal("wrong-code") : Response.json({}))
		expect(await send("k", now)).toMatchObject({ sent: 1 })
		const [row] = await rows()
		expect(row).toMatchObject({ problem: { code: "wrong-code", status: 409 } })
		await send("k", now)
		expect(asked).toHaveLength(2)

		answer = () => Response.json({})
		await tryAgain(row as Row)
		expect(await send("k", now)).toMatchObject({ sent: 1 })
		expect(asked[2]!.id).toBe(asked[0]!.id)
	})

	test("one refused event keeps its row whole; the owner may let it go", async () => {
		await add({ kind: "door", order: "o", events: [doorEvent("stepped_away"), doorEvent("completed")] }, at)
		answer = () =>
			Response.json({
				results: [
					{ id: "a", result: "recorded" },
					{ id: "b", result: "refused", problem: { code: "evidence-missing", status: 409 } },
				],
			})
		await send("k", now)
		const [row] = await rows()
		expect(row).toMatchObject({ problem: { code: "evidence-missing" }, did: { events: [{}, {}] } })
		await letGo(row!.n)
		expect(await rows()).toEqual([])
	})

	test("a key that is worth nothing any more loses nothing", async () => {
		await add({ kind: "resume" }, at)
		answer = () => Response.json({ code: "unauthorized" }, { status: 401 })
		expect(await send("k", now)).toMatchObject({ keyGone: true })
		expect(await rows()).toHaveLength(1)
	})
})

describe("trying again", () => {
	test("later and later, and not before the server says", async () => {
		expect([0, 1, 2, 3, 4, 9].map(n => pause(n, 0))).toEqual([1000, 2000, 4000, 8000, 16_000, 16_000])
		await add({ kind: "step", step: "ready", order: "o" }, at)
		answer = () => new Response("", { status: 503, headers: { "Retry-After": "30" } })
		expect(await send("k", now)).toMatchObject({ unreachable: true, again: 30_000 })
	})

	test("what the server stumbles over keeps its own order back, and no other", async () => {
		await add({ kind: "step", step: "ready", order: "o" }, at)
		await add({ kind: "step", step: "pick-up", order: "o" }, at)
		await add({ kind: "step", step: "ready", order: "p" }, at)
		answer = a => (a.path.includes("orders/o") ? new Response("", { status: 500 }) : Response.json({}))
		expect(await send("k", now)).toMatchObject({ sent: 1 })
		expect(paths()).toEqual(["orders/o/ready", "orders/p/ready"])
	})
})

describe("taking back", () => {
	test("an answer waits a while, and is gone without a trace", async () => {
		const row = await add({ kind: "promise", task: "t", quantity: 30 }, at, now() + 8000)
		expect(await send("k", now)).toMatchObject({ sent: 0, again: 8000 })
		expect(asked).toEqual([])
		expect(await takeBack([row.n])).toBe(true)
		expect(await rows()).toEqual([])
	})

	test("what waits for its time keeps back what comes after it on the same task", async () => {
		await add({ kind: "promise", task: "t", quantity: 30 }, at, now() + 8000)
		await add({ kind: "stocked", task: "t", quantity: 30 }, at)
		await send("k", now)
		expect(asked).toEqual([])
		await send("k", () => now() + 8000)
		expect(paths()).toEqual(["prestock-tasks/t/acknowledge", "prestock-tasks/t/stocked"])
	})

	test("not what may have reached the server", async () => {
		const row = await add({ kind: "step", step: "ready", order: "o" }, at)
		answer = () => undefined
		await send("k", now)
		expect(await takeBack([row.n])).toBe(false)
		expect(await rows()).toHaveLength(1)
	})
})

test("a transaction that fails keeps nothing of itself", async () => {
	await expect(
		change(["values", "outbox"], table => {
			table("values").put(1, "half")
			throw new Error("in the middle")
		}),
	).rejects.toThrow()
	expect(await recall("half")).toBeUndefined()
	expect((await recall<Known>("known")) ?? nothing).toBe(nothing)
})

test("orders do not wait for each other", () => {
	expect(laneOf({ kind: "step", step: "ready", order: "a" })).not.toBe(
		laneOf({ kind: "step", step: "ready", order: "b" }),
	)
	expect(laneOf({ kind: "step", step: "ready", order: "a" })).toBe(laneOf({ kind: "collect", order: "a", code: "1" }))
})
