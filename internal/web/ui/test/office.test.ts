import { describe, expect, test } from "vitest"
import type { Act, Policy } from "../src/dispatch/net"
import { grouped, isLines, original, parts, records, refused, unreadable } from "../src/dispatch/office/file"
import { body, differing, draftOf, usual } from "../src/dispatch/office/policy"
import { tell } from "../src/dispatch/office/told"
import { schedule } from "../src/dispatch/office/when"
import { en } from "../src/dispatch/office/words"
import { en as desk } from "../src/dispatch/words"

describe("a file is cut as the server counts its rows", () => {
	test("a quoted field may hold separators, quotes and lines", () => {
		const text = 'id;name\n1;"a;b\nc ""d"""\r\n\n2;x'
		expect(records(text, false)).toEqual(["id;name\n", '1;"a;b\nc ""d"""\r\n', "\n", "2;x"])
	})
	test("a quote that is never closed takes its own line and no other", () => {
		expect(records('id,name\n1,"open\n2,fine\n', false)).toEqual(["id,name\n", '1,"open\n', "2,fine\n"])
	})
	test("a quote in the middle of a field opens nothing", () => {
		expect(records('id,name\n1,7" screen\n2,x\n', false)).toHaveLength(3)
	})
	test("lines are lines", () => {
		expect(records('{"a":"\\n"}\n{"b":1}', true)).toEqual(['{"a":"\\n"}\n', '{"b":1}'])
		expect(isLines("stores.NDJSON", "")).toBe(true)
		expect(isLines("stores", ' {"a":1}')).toBe(true)
		expect(isLines("stores.csv", "{")).toBe(false)
	})
	test("only wanted rows are sent, each part with the header, and found again by their number", () => {
		const all = records("id,lat\na,1\nb,2\n\nc,3\nd,4", false)
		const cut = parts(all, false, row => row !== 3, 2)
		expect(cut).toEqual([
			{ text: "id,lat\na,1\nc,3\n", rows: [2, 5] },
			{ text: "id,lat\nd,4\n", rows: [6] },
		])
		expect(original(cut[0]!, 3, false)).toBe(5)
		expect(original({ text: "", rows: [4] }, 1, true)).toBe(4)
		expect(parts(records("{}\n{}\n", true), true, () => true, 9)).toEqual([{ text: "{}\n{}\n", rows: [1, 2] }])
	})
	test("what was refused comes back with why", () => {
		const all = records("id,lat\r\na,1\r\nb,200\r\n", false)
		const failed = grouped([
			{ row: 3, field: "lat", code: "x", detail: 'not "near"' },
			{ row: 3, field: "", code: "y", detail: "odd" },
		])
		expect(refused(all, false, failed, "problem")).toBe('id,lat,problem\nb,200,"lat: not ""near""; odd"\n')
	})
	test("a row that is not UTF-8 is not sent as something else", () => {
		const latin = new TextDecoder().decode(new Uint8Array([...Buffer.from("id,name\n1,Caf"), 0xe9, 10, 0xe9, 10]))
		const all = records(latin, false)
		expect(unreadable(all, false, row => row === 3)).toMatchObject([{ row: 2, code: "not-utf8" }])
		expect(unreadable(all, false, () => true)).toEqual([])
	})
	test("20,000 rows are cut in no time that anybody notices", () => {
		const all = records(`id,name\n${'1,"a, b"\n'.repeat(20_000)}`, false)
		expect(parts(all, false, () => true, 2500)).toHaveLength(8)
	})
})

test("a schedule is said in words, and left as it is where there are none", () => {
	for (const [text, words] of [
		["every 1s", "every second"],
		["every 1m0s", "every minute"],
		["every 5m0s", "every 5 minutes"],
		["every 1h0m0s", "every hour"],
		["every 1h30m0s", "every 90 minutes"],
		["30 1 * * *", "every day at 01:30 UTC"],
		["*/5 * * * *", "every 5 minutes"],
		["0 * * * *", "every hour"],
		["0 7 * * 1", "every Monday at 07:00 UTC"],
		["0 7 1 * *", "0 7 1 * *"],
		["", "when it is asked for"],
	] as const)
		expect(schedule(text, en, "en-GB")).toBe(words)
})

test("two policies differ in what differs", () => {
	const a = { ...usual, version: 1 } as Policy
	const b = draftOf({ ...a, fence_m: 80, return_to: { lat: 1, lng: 2 } })
	expect(differing(a, a)).toEqual([])
	expect(differing(a, b)).toEqual(["fence_m", "return_to"])
	expect(differing(b, { ...b, return_to: { lat: 1, lng: 2 } })).toEqual([])
	expect(body(usual)).not.toHaveProperty("return_to")
	expect(body(b)).toHaveProperty("return_to", { lat: 1, lng: 2 })
})

const act = (type: string, actor: object, subject: object, data: object = {}) =>
	({
		id: "evt",
		type,
		occurred_at: "",
		recorded_at: "",
		actor: { kind: "person", id: "usr_1", name: "Amina", role: "admin", ...actor },
		subject: { kind: type.split(".")[0], id: "x_1", name: null, ...subject },
		data,
	}) as Act

test("an act is told in a sentence", () => {
	const say = (a: Act) => {
		const t = tell(a, en, desk)
		return [t.who, t.did, t.what, t.more].filter(Boolean).join(" | ")
	}
	expect(say(act("key.revoked", {}, { name: "Wall screen" }))).toBe("Amina | revoked the key | Wall screen")
	expect(say(act("merchant.policy_changed", {}, { name: "Acme" }, { version: 2, fields: ["fence_m"] }))).toBe(
		"Amina | changed what is asked by | Acme | Version 2: Counts as at the door, within m",
	)
	expect(say(act("order.cancelled", {}, { id: "ord_abcdefgh" }, { reason: "weather" }))).toBe(
		"Amina | cancelled the order | …cdefgh | the weather",
	)
	expect(say(act("account.signed_in", {}, { id: "usr_1", name: "Amina" }))).toBe("Amina | signed in")
	expect(say(act("account.created", { kind: "command", id: "first-link", name: null }, { name: "Amina" }))).toBe(
		"The first link | made the account of | Amina",
	)
	expect(
		say(
			act(
				"import.finished",
				{ kind: "key", name: "Loader" },
				{},
				{ what: "stores", created: 3, updated: 0, failed: 1 },
			),
		),
	).toBe("Key Loader | imported | Stores | 3 new, 0 changed, 1 refused")
	expect(say(act("order.something_new", {}, { name: "A-1" }))).toBe("Amina | order something new: | A-1")
	expect(tell(act("store.paused", {}, { id: "str_1", name: "Duka" }), en, desk).href).toBe("#/store/str_1")
})
