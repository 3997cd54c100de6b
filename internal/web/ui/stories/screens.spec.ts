import { mkdirSync } from "node:fs"
import type { Browser } from "playwright-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type Answer, campaign, doorPhoto, openBrowser, Phone, World } from "./world"

let browser: Browser
let w: World

// Set SHOTS to a folder to look at every screen afterwards.
const shots = process.env.SHOTS

beforeAll(async () => {
	browser = await openBrowser()
	w = await World.begin({ opening_hours: "Mo-Fr 00:00-24:00; Sa,Su 00:00-24:00" })
	await campaign(w, [
		{ sku: "Maize flour 2 kg", expected_units: 48, case_pack: 6, unit_fee: { amount: 250, currency: "KES" } },
		{ sku: "Cooking oil 1 l", expected_units: 24, case_pack: 1 },
	])
	await w.api("PUT", "/v1/store/stock", w.key, {
		items: [
			{ sku: "SKU-7", on_hand: 24 },
			{ sku: "Soap", on_hand: 9 },
		],
	})
	const step = (o: Answer, name: string) => w.api("POST", `/v1/orders/${o.id}/${name}`, w.key)
	const taken = async (n: number, more: object = {}) => {
		const o = await w.order(n, more)
		await w.api("POST", `/v1/assignments/${o.assignment.id}/accept`, w.key)
		return o
	}
	await w.order(1, { tags: ["gift"], parcels: [{ weight_g: 1800 }] })
	await taken(2, {
		items: [
			{ sku: "SKU-7", quantity: 2 },
			{ sku: "Soap", quantity: 1 },
		],
	})
	await step(await taken(3), "ready")
	for (const n of [4, 5]) {
		const o = await taken(
			n,
			n === 5
				? {
						dropoff: {
							location: { lat: -1.305, lng: 36.7815 },
							mode: "hand_over",
							pin_required: true,
							address: { line1: "Kilimani Road 7" },
						},
					}
				: {},
		)
		for (const name of ["ready", "pick-up", "depart"]) await step(o, name)
	}
	const kept = await taken(6)
	for (const name of ["ready", "receive"]) await step(kept, name)
	const failed = await taken(7)
	for (const name of ["ready", "pick-up", "depart"]) await step(failed, name)
	await w.api("POST", "/v1/dropoff-events", w.key, [
		{
			id: "f7",
			order_id: failed.id,
			attempt: 1,
			type: "failed",
			reason: "cannot_access",
			occurred_at: new Date().toISOString(),
		},
	])
})
afterAll(async () => {
	await browser?.close()
	await w?.end()
})

const looks = [
	{ width: 360, dark: false },
	{ width: 360, dark: true },
	{ width: 768, dark: false },
	{ width: 1440, dark: true },
	{ width: 360, dark: false, locale: "zh-CN" },
]

for (const look of looks) {
	const name = `${look.width}-${look.dark ? "dark" : "light"}${look.locale ? "-zh" : ""}`
	test(`every screen at ${name} is usable by everybody`, async () => {
		const phone = await Phone.open(browser, w, look)
		const show = async (screen: string) => {
			if (shots) {
				mkdirSync(shots, { recursive: true })
				await phone.page.screenshot({ path: `${shots}/${screen}-${name}.png`, fullPage: true })
			}
			await phone.check(`${screen}, ${name}`)
		}
		await show("pair")
		await phone.page.locator("summary").click()
		await phone.page.locator("#key").fill(w.key)
		await phone.page.locator("details button").click()
		await phone.page.locator(".units").first().waitFor()
		await phone.page.locator(".stops .stop").first().waitFor()
		if (look.locale) {
			await phone.go("shop")
			await phone.page.getByRole("button", { name: "中文" }).click()
			await phone.go("")
		}
		await show("today")
		await phone.page.locator(".prompt button.second").first().click()
		await phone.page.locator(".offer button.second").first().click()
		await show("answering")
		for (const screen of ["counter", "shelf", "shop", "inbox", "waiting"]) {
			await phone.go(screen)
			await phone.page.waitForTimeout(250)
			await show(screen)
		}
		await phone.go("")
		const doors = await phone.page
			.locator(".stops a.button")
			.evaluateAll(list => list.map(a => a.getAttribute("href")!.slice(2)))
		for (const [i, door] of doors.entries()) {
			await phone.go(door)
			await phone.page.locator(".address").waitFor()
			await show(`door-${i}`)
		}
		expect(phone.trouble).toEqual([])
		await phone.context.close()
		if (look.locale) await w.api("PATCH", "/v1/store", w.key, { locale: "en" })
	})
}

test("the door, step by step, offline as well, and what was refused says what to do", async () => {
	const phone = await Phone.open(browser, w)
	await phone.pair()
	await phone.page.locator(".stops a.button").first().waitFor()
	await phone.context.setOffline(true)
	await phone.page.locator(".stops a.button").first().click()
	const show = async (what: string) => {
		if (shots) await phone.page.screenshot({ path: `${shots}/${what}.png`, fullPage: true })
		await phone.check(what)
	}
	await phone.tap("I am at the door")
	await show("door-arrived")
	await phone.page.setInputFiles("input[type=file]", {
		name: "a.jpg",
		mimeType: "image/jpeg",
		buffer: await doorPhoto(phone.page),
	})
	await phone.page.getByAltText("The photo you took").waitFor()
	await show("door-photographed")
	await phone.tap("It did not work")
	await show("door-failing")
	await phone.tap("Back")
	await phone.tap("I stepped away")
	await phone.see("has the parcel at the door")
	await show("door-done")
	await phone.go("waiting")
	await phone.see("It is safe on this phone")
	await show("waiting-offline")
	await phone.go("counter")
	await phone.page.getByLabel("Collection code").fill("0000")
	await phone.tap("Hand it out")
	await phone.context.setOffline(false)
	await phone.go("waiting")
	await phone.see("That was not the customer's code")
	await show("waiting-refused")
	await phone.context.close()
})

test("a keyboard reaches everything on the first screen", async () => {
	const phone = await Phone.open(browser, w)
	await phone.pair()
	await phone.page.locator(".offer").waitFor()
	const names = await phone.reach()
	for (const name of ["Accept", "Decline", "Some", "None", "Packed", "Counter", "Shelf", "My shop"]) {
		expect(
			names.some(n => n.includes(name)),
			`${name} among ${names.join(" | ")}`,
		).toBe(true)
	}
	await phone.context.close()
})
