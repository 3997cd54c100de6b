import "fake-indexeddb/auto"
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { forgetEverything, keep, recall } from "../src/store/kept"
import { apply, type Known, learned, type Order } from "../src/store/known"
import { listen } from "../src/store/live"
import { add, rows } from "../src/store/outbox"
import { sync } from "../src/store/sync"
import { today } from "../src/store/today"
import { assignment, knows, order } from "./fixtures"

const at = "2026-11-23T10:00:00.000Z"
const now = Date.parse(at)
const step = (action: string, more = {}) => ({ next_step: { action, to_store_id: null, ...more } }) as Partial<Order>
const to = { id: "str_2", name: "Mama Mboga", location: { lat: 0, lng: 0 } } as never

describe("parcels between shops", () => {
	test("one that is brought here is taken in, and is no stop of the run", () => {
		const known = knows(assignment(order("1", { status: "picked_up", ...step("bring_to_store") })))
		expect(today(known, now)).toMatchObject({ run: [], arriving: [{ id: "1" }] })
		const after = apply(known, { kind: "scan", code: "1", direction: "in" }, at)
		expect(today(after, now)).toMatchObject({ arriving: [], ready: [{ order_id: "1" }] })
	})

	test("one that another shop has lies there until it is here", () => {
		const own = order("1", { status: "confirmed", ...step("forward", { to_store_id: "str_1" }) })
		expect(today(knows(assignment(own)), now)).toMatchObject({ packing: [], arriving: [{ id: "1" }] })
	})

	test("a stray is remembered until it has left, and one's own is none", () => {
		const said = {
			id: "s",
			result: "recorded",
			order_id: "2",
			next_step: { action: "forward", to_store: to, by: null },
		}
		const known = learned(knows(assignment(order("1"))), "ord_2", said as never)
		expect(known.strays).toEqual([{ code: "ord_2", action: "forward", to }])
		expect(learned(known, "ord_2", said as never).strays).toHaveLength(1)
		const out = apply(known, { kind: "scan", code: "ord_2", direction: "out", to: "store", store: "str_2" }, at)
		expect(out.strays).toEqual([])
		expect(learned(knows(assignment(order("2"))), "2", said as never).strays).toEqual([])
		expect(learned(known, "x", { id: "s", result: "recorded" }).strays).toHaveLength(1)
	})
})

describe("with a server", () => {
	let orders: Record<string, Partial<Order>>
	let asked: string[]
	beforeEach(async () => {
		await forgetEverything()
		await keep("credential", { key: "k", at })
		orders = {}
		vi.stubGlobal("navigator", {})
		asked = []
		vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
			asked.push(`${init.method ?? "GET"} ${path.split("?")[0]}`)
			const id = /^\/v1\/orders\/(\w+)$/.exec(path)?.[1]
			if (id) return orders[id] ? Response.json(orders[id]) : Response.json({ code: "not-found" }, { status: 404 })
			if (path === "/v1/scans") {
				const next_step = { action: "wait", to_store: null, by: null }
				return Response.json({ results: [{ id: "s", result: "recorded", order_id: "z", next_step }] })
			}
			return Response.json(path === "/v1/store" ? { id: "str_1" } : { data: [], next_cursor: null })
		})
	})
	afterEach(() => vi.unstubAllGlobals())

	test("what became of orders that are gone is asked once, each by its id", async () => {
		const gone = ["given", "back", "theirs"].map(id => assignment(order(id)))
		await keep("known", knows(...gone, assignment(order("offer"), "offered")))
		const recently = new Date().toISOString()
		orders = {
			given: order("given", { status: "delivered", delivered_at: recently }),
			back: order("back", { status: "cancelled", custody: { holder: "store", store_id: "str_1" } as never }),
		}
		let known = (await sync(false)).known
		expect(known?.done.map(o => o.id)).toEqual(["given"])
		expect(known?.back.map(o => o.id)).toEqual(["back"])
		expect(asked.filter(a => a.startsWith("GET /v1/orders/"))).toHaveLength(3)

		asked = []
		orders.back = { ...orders.back, custody: { holder: "returned", store_id: null } as never }
		known = (await sync(false)).known
		expect(asked.filter(a => a.startsWith("GET /v1/orders/"))).toEqual(["GET /v1/orders/back"])
		expect(known).toMatchObject({ back: [], done: [{ id: "given" }] })
	})

	test("a label that was read offline tells later what to do with the parcel", async () => {
		await add({ kind: "scan", code: "ord_z", direction: "in" }, new Date(at))
		expect((await sync(false)).known?.strays).toEqual([{ code: "ord_z", action: "wait", to: null }])
		expect(await rows()).toEqual([])
		expect((await recall<Known>("known"))?.strays).toHaveLength(1)
	})

	test("what a look finds is not kept once the phone was unpaired", async () => {
		const { fetch } = globalThis
		vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
			if (path === "/v1/store") await forgetEverything()
			return fetch(path, init)
		})
		await sync(false)
		expect(await recall("known")).toBeUndefined()
	})
})

describe("hints", () => {
	afterEach(() => vi.unstubAllGlobals())

	test("each is heard, heartbeats are not, and the end is told once", async () => {
		let say: (text: string) => void = () => {}
		let close = () => {}
		vi.stubGlobal("fetch", async () => {
			const body = new ReadableStream({
				start(c) {
					say = text => c.enqueue(new TextEncoder().encode(text))
					close = () => c.close()
				},
			})
			return new Response(body)
		})
		let heard = 0
		let ended = 0
		listen(
			"k",
			() => heard++,
			() => ended++,
		)
		await vi.waitFor(() => say("retry: 2000\n\n"))
		await vi.waitFor(() => expect(heard).toBe(1))
		say(": still here\n\n")
		say('event: order.offered\ndata: {"subject":"ord_1"}\n\n')
		await vi.waitFor(() => expect(heard).toBe(2))
		close()
		await vi.waitFor(() => expect(ended).toBe(1))
	})

	test("a server that never answers is given up", async () => {
		vi.useFakeTimers()
		vi.stubGlobal("fetch", (_: string, { signal }: RequestInit) => {
			return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)))
		})
		const over = new Promise<void>(resolve => listen(undefined, () => {}, resolve))
		await vi.advanceTimersByTimeAsync(60_000)
		vi.useRealTimers()
		await over
	})

	test("a server that has no room is no trouble", async () => {
		vi.stubGlobal("fetch", async () => new Response("", { status: 503 }))
		await new Promise<void>(resolve => listen(undefined, () => {}, resolve))
	})
})
