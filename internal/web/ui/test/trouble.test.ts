import { describe, expect, test } from "vitest"
import type { Event, Exception, Incident, Order, Remark, Warning } from "../src/dispatch/net"
import { story } from "../src/dispatch/story"
import { ago, sentence } from "../src/dispatch/tell"
import { type Lists, more, queue, steps, storeOf, wrong } from "../src/dispatch/trouble"
import { en } from "../src/dispatch/words"
import { zh } from "../src/dispatch/words.zh"
import { order } from "./fixtures"

const at = (minute: number) => `2026-11-23T09:${String(minute).padStart(2, "0")}:00.000Z`
const step = (action: string, overdue = false, who = "store") =>
	({ action, who, store_id: null, to_store_id: null, by: at(20), overdue }) as Order["next_step"]
const incident = (id: string, more: Partial<Incident> = {}) =>
	({ id, kind: "dispute", status: "open", reason: "lost", order_id: "d", opened_at: at(30), ...more }) as Incident
const lists = (more: Partial<Lists>): Lists => ({
	orders: [],
	incidents: [],
	exceptions: [],
	warnings: [],
	files: {},
	...more,
})

test("the queue has the newest trouble first, and each order once", () => {
	const none = order("none", {
		status: "unassignable",
		next_step: step("assign", true, "dispatcher"),
		updated_at: at(5),
	})
	const rows = queue(
		lists({
			orders: [none, order("fine"), order("late", { next_step: step("pack", true) }), none],
			incidents: [incident("i"), incident("old", { status: "upheld" })],
			exceptions: [{ id: "x", kind: "not_read", store_id: "str_1", opened_at: at(10), closed_at: null } as Exception],
		}),
	)
	expect(rows.map(r => `${r.id} ${r.kind}`)).toEqual(["i dispute", "late late", "x silent", "none unassignable"])
})

test("what is about to go wrong is in the queue until it is worse", () => {
	const risk = (o: Order) =>
		({
			id: `late_risk:${o.id}`,
			kind: "late_risk",
			since: at(1),
			deadline: at(10),
			expected_at: at(35),
			order: o,
			store: null,
		}) as Warning
	const at_ = (id: string, kind: string, detail: string | null = null) =>
		({
			id: `${kind}:${id}`,
			kind,
			since: at(2),
			detail,
			times: 3,
			units: 48,
			order: null,
			store: { id, name: id, phone: null },
		}) as Warning
	const late = order("late", { next_step: step("pack", true) })
	const rows = queue(
		lists({
			orders: [late],
			exceptions: [{ id: "x", kind: "not_read", store_id: "deaf", opened_at: at(30), closed_at: null } as Exception],
			warnings: [
				risk(order("slow")),
				risk(late),
				at_("quiet", "silent_store", "offers_expired"),
				at_("deaf", "silent_store", "not_seen"),
				at_("deaf", "unanswered_prompts"),
			],
		}),
	)
	expect(rows.map(r => `${r.id} ${r.kind} ${storeOf(r)}`)).toEqual([
		"x silent deaf",
		"late late str_1",
		"unanswered_prompts:deaf prompts deaf",
		"silent_store:quiet silent quiet",
		"slow risk str_1",
	])
	const say = (id: string) => sentence(rows.find(r => r.id === id)!, en, () => undefined)
	expect(say("slow")).toBe("A-slow will be about 25 min late: not packed yet")
	expect(say("silent_store:quiet")).toBe("quiet let 3 offers run out")
	expect(say("unanswered_prompts:deaf")).toBe("deaf has not answered 3 prompts for 48 units")
})

test("an order that another store is being asked about needs nobody yet", () => {
	expect(wrong(order("a", { status: "unassignable", next_step: step("answer_offer") }))).toBeUndefined()
})

test("a dispute comes with what its customer wrote", () => {
	const remarks = [
		{ kind: "rated", text: "Good" },
		{ kind: "disputed", text: "Nothing is here" },
	] as Remark[]
	const [row] = queue(lists({ incidents: [incident("i")], files: { i: { order: order("d"), remarks } } }))
	expect(row?.words).toBe("Nothing is here")
	expect(sentence(row!, en, () => undefined)).toBe("Wanjiru disputes A-d: it never came")
	expect(sentence(row!, zh, () => undefined)).toBe("Wanjiru 对 A-d 提出争议：没有收到")
})

describe("what may be done begins with what is wanted", () => {
	const table: [string, Partial<Order>, string[]][] = [
		["no store", { status: "unassignable" }, ["reassign", "cancel"]],
		["try again", { status: "attempt_failed", next_step: step("redeliver") }, ["depart", "receive", "return"]],
		["bring it in", { status: "attempt_failed", next_step: step("bring_to_store") }, ["receive", "depart", "return"]],
		["kept, locked", { status: "received_at_store", code_locked: true }, ["unlock-code", "extend-hold", "return"]],
		["over", { status: "delivered" }, []],
	]
	for (const [name, more, want] of table) {
		test(name, () => expect(steps(order("a", more))).toEqual(want))
	}
})

test("a page offers also what a store says on the phone that it has done", () => {
	expect(more(order("a"))).toEqual(["ready", "tracking-link/revoke"])
	expect(more(order("a", { status: "picked_up" }))).toEqual(["depart", "hand-back", "tracking-link/revoke"])
	expect(more(order("a", { status: "delivered", erased_at: at(1) }))).toEqual([])
})

test("the story has both clocks, and the customer's own words", () => {
	const event = (type: string, occurred: number, recorded: number, data = {}) =>
		({
			id: type,
			type,
			actor: "system",
			occurred_at: at(occurred),
			recorded_at: at(recorded),
			data,
		}) as unknown as Event
	const lines = story(
		[event("order.created", 0, 0), event("order.disputed", 40, 40), event("dropoff.arrived", 10, 25)],
		[{ id: "r", kind: "disputed", text: "Nothing", reason: "lost", created_at: at(40) } as Remark],
		en,
	)
	expect(lines.map(l => [l.what, l.quote ?? "", l.recorded ?? ""])).toEqual([
		["The customer disputes it", "Nothing", ""],
		["At the door", "", at(25)],
		["Order came in", "", ""],
	])
})

test("how long ago is said as people say it", () => {
	const now = Date.parse(at(50))
	expect([0.5, 12, 180, 2880].map(m => ago(now - m * 60_000, now, en))).toEqual(["just now", "12 min", "3 h", "2 days"])
})
