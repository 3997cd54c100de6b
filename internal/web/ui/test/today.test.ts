import { describe, expect, test } from "vitest"
import { attempt, handedOver, lacks, stage, steppedAway } from "../src/store/door"
import { fees } from "../src/store/earned"
import type { Order } from "../src/store/known"
import { fitted } from "../src/store/photo"
import { type Clock, countdown, day, dayNumber, distance, moment, money, weekday } from "../src/store/say"
import { count, metres, stops, today } from "../src/store/today"
import { language } from "../src/store/words"
import { assignment, knows, order, task } from "./fixtures"

const now = Date.parse("2026-11-23T10:00:00.000Z")

test("today has each thing in its place, and nothing whose time is over", () => {
	const t = today(
		{
			...knows(
				assignment(order("late"), "offered", "2026-11-23T09:59:59.000Z"),
				assignment(order("slow"), "offered", "2026-11-23T10:09:00.000Z"),
				assignment(order("soon"), "offered", "2026-11-23T10:01:00.000Z"),
				assignment(order("pack")),
				assignment(order("out", { status: "picked_up" })),
				assignment(order("kept", { status: "received_at_store" })),
				assignment(order("gone", { status: "delivered" })),
			),
			tasks: [
				task("old", { ack_deadline: "2026-11-23T09:00:00.000Z" }),
				task("new"),
				task("yes", { status: "acknowledged" }),
			],
		},
		now,
	)
	expect(t.offers.map(a => a.order_id)).toEqual(["soon", "slow"])
	expect(t.prompts.map(x => x.id)).toEqual(["new"])
	expect(t.promised.map(x => x.id)).toEqual(["yes"])
	expect([t.packing, t.ready].map(list => list.map(a => a.order_id))).toEqual([["pack"], []])
	expect([t.run, t.counter].map(list => list.map(o => o.id))).toEqual([["out"], ["kept"]])
})

describe("the order of the stops", () => {
	const at = (id: string, lat: number, latest = "11:00", more = {}) =>
		order(id, {
			status: "enroute_to_dropoff",
			dropoff: { ...order(id).dropoff, location: { lat, lng: 0 } },
			promise: { earliest: "2026-11-23T09:00:00.000Z", latest: `2026-11-23T${latest}:00.000Z` },
			...more,
		})
	const ids = (...list: ReturnType<typeof at>[]) =>
		stops(list)
			.map(o => o.id)
			.join("")

	test("the nearest door next", () => expect(ids(at("c", 0.03), at("a", 0.01), at("b", 0.02))).toBe("abc"))
	test("a promise that ends an hour earlier goes first", () =>
		expect(ids(at("a", 0.01), at("z", 0.05, "10:00"))).toBe("za"))
	test("half an hour is worth no detour", () => expect(ids(at("a", 0.01, "11:00"), at("z", 0.05, "10:45"))).toBe("az"))
	test("who stands at a door finishes there", () =>
		expect(ids(at("a", 0.01), at("z", 0.05, "11:00", { status: "arrived_at_dropoff" }))).toBe("za"))
	test("across the antimeridian is next door", () =>
		expect(metres({ lat: 0, lng: 179.999 }, { lat: 0, lng: -179.999 })).toBeCloseTo(222, 0))
})

describe("times as people say them", () => {
	const clock: Clock = {
		locale: "en-GB",
		zone: "Africa/Nairobi",
		today: "today",
		tomorrow: "tomorrow",
		yesterday: "yesterday",
	}
	const nowIs = new Date("2026-11-23T20:30:00.000Z") // 23:30 on Monday in Nairobi
	test("on the store's clock, not on the phone's", () => {
		expect(moment(new Date("2026-11-23T20:45:00Z"), nowIs, clock)).toBe("today 23:45")
		expect(moment(new Date("2026-11-23T21:00:00Z"), nowIs, clock)).toBe("tomorrow 00:00")
		expect(day(new Date("2026-11-27T09:00:00Z"), nowIs, clock)).toBe("Friday")
		expect(day(new Date("2026-12-24T09:00:00Z"), nowIs, clock)).toMatch(/24 Dec/)
		expect(moment(nowIs, nowIs, { ...clock, zone: "Mars/Olympus" })).toMatch(/^today \d\d:\d\d$/)
	})
	test("Monday begins the week", () =>
		expect([weekday(nowIs, clock), weekday(new Date("2026-11-29T12:00:00Z"), clock)]).toEqual([0, 6]))
	test("what was done today and since Monday", () => {
		const done = ["2026-11-23T20:00:00Z", "2026-11-24T10:00:00Z", "2026-11-22T20:59:00Z", "2026-11-22T21:01:00Z"].map(
			(delivered_at, i) => order(String(i), { delivered_at }),
		)
		const dayOf = (d: Date) => dayNumber(d, clock)
		expect(count(done, new Date("2026-11-24T11:00:00Z"), dayOf, d => weekday(d, clock))).toEqual({ today: 1, week: 3 })
	})
	test("what campaign goods brought: at most what was counted onto the shelf, until the campaign ends", () => {
		const fee = { amount: 250, currency: "KES" }
		const promise = task("p", { counted_quantity: 5, unit_fee: fee, hold_until: "2026-11-25T00:00:00.000Z" })
		const sold = (id: string, day: number, ...items: [string, number][]) =>
			order(id, {
				delivered_at: `2026-11-${day}T10:00:00.000Z`,
				items: items.map(([sku, quantity]) => ({ sku, quantity })),
			} as Partial<Order>)
		const first = sold("1", 24, ["SKU-7", 2], ["SKU-8", 9])
		expect(fees([first], [promise])).toEqual([{ amount: 500, currency: "KES" }])
		expect(fees([first, sold("2", 24, ["SKU-7", 40])], [promise])).toEqual([{ amount: 1250, currency: "KES" }])
		expect(fees([sold("3", 26, ["SKU-7", 1])], [promise])).toEqual([])
		const next = task("q", {
			counted_quantity: 3,
			unit_fee: { amount: 9, currency: "JPY" },
			hold_until: promise.hold_until,
		})
		expect(fees([sold("4", 24, ["SKU-7", 7])], [promise, next])).toEqual([
			{ amount: 1250, currency: "KES" },
			{ amount: 18, currency: "JPY" },
		])
		expect(fees([first], [{ ...promise, unit_fee: null }])).toEqual([])
	})
	test("countdowns and distances", () => {
		expect([0, 999, 61_000, 3_600_000, -5].map(countdown)).toEqual(["0:00", "0:01", "1:01", "1:00:00", "0:00"])
		expect([3, 84, 1240].map(m => distance(m, "en-GB"))).toEqual(["3 m", "80 m", "1.2 km"])
		expect(money({ amount: 250, currency: "KES" }, "en-GB")).toBe("KES 2.50")
		expect(money({ amount: 120, currency: "JPY" }, "en-GB")).toBe("JPY 120")
		expect(money({ amount: 1234, currency: "KWD" }, "en-GB")).toBe("KWD 1.234")
	})
})

describe("three taps", () => {
	const facts = (n = 0) => ({ at: new Date(now), newId: () => `id${n++}`, fix: { lat: 1, lng: 2, accuracy_m: 5 } })
	const visit = (...types: string[]) => ({
		order: "1",
		attempt: 1,
		at: "",
		events: types.map(
			type =>
				({
					id: type,
					order_id: "1",
					attempt: 1,
					type,
					occurred_at: "",
					...(type === "placed" && { photo: "p" }),
				}) as never,
		),
	})
	test("where the visit stands", () => {
		expect(
			[undefined, visit("arrived"), visit("arrived", "placed"), visit("arrived", "completed")].map(v => stage(v)),
		).toEqual(["away", "arrived", "photographed", "over"])
		expect(stage(visit("arrived", "placed", "completed"), new Set(["completed"]))).toBe("photographed")
	})
	test("a photo from two steps back shows that the runner stepped away; without one nothing does", () => {
		const by = (photo?: string) => steppedAway(order("1"), 1, facts(), "bell", photo)
		expect(by("p").map(e => e.type)).toEqual(["signalled", "stepped_away", "completed"])
		expect(by("p")[1]).toMatchObject({ method: "photo_from_distance", photo: "p", location: { lat: 1 } })
		expect(by()[1]).toMatchObject({ method: "gps" })
		expect(new Set(by().map(e => e.id)).size).toBe(3)
	})
	test("the attempt under way, or the next", () => {
		expect(
			[
				order("1"),
				order("1", { status: "enroute_to_dropoff", attempts: 2 }),
				order("1", { status: "attempt_failed", attempts: 2 }),
			].map(attempt),
		).toEqual([1, 2, 3])
	})
	test("what is missing before a parcel changes hands", () => {
		const o = order("1")
		Object.assign(o.dropoff, {
			mode: "neighbour",
			pin_required: true,
			id_required: true,
			cash_on_delivery: { amount: 5, currency: "KES" },
			signature_required: true,
		})
		const enough = { pin: "1234", name: "Ali", idSeen: true, cash: true, signature: "s" }
		expect(lacks(o, enough)).toBe(false)
		for (const [part, wrong] of Object.entries({
			pin: "12",
			name: " ",
			idSeen: false,
			cash: false,
			signature: undefined,
		})) {
			expect(lacks(o, { ...enough, [part]: wrong }), part).toBe(true)
		}
		expect(handedOver(o, 1, facts(), enough, "p")[0]).toMatchObject({
			pin: "1234",
			name: "Ali",
			id_checked: true,
			cash_collected: { amount: 5 },
			signature: "s",
			photo: "p",
		})
	})
})

test("a photo shrinks to 1600 px and never grows", () => {
	expect([fitted(4000, 3000), fitted(3000, 4000), fitted(800, 600), fitted(9000, 2)]).toEqual([
		{ width: 1600, height: 1200 },
		{ width: 1200, height: 1600 },
		{ width: 800, height: 600 },
		{ width: 1600, height: 1 },
	])
})

test("the language is the owner's wish, the store's, the browser's, and one that we speak", () => {
	expect([
		language("zh", "en"),
		language(undefined, "zh-TW", "en"),
		language(undefined, "sw", "fr-FR"),
		language(),
	]).toEqual(["zh", "zh", "en", "en"])
})
