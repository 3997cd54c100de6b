import type { Browser } from "playwright-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import { campaign, openBrowser, Phone, World } from "./world"

let browser: Browser
let w: World

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
	await w.order(1, { tags: ["gift"], parcels: [{ weight_g: 1800 }] })
	await w.accepted(2, {
		items: [
			{ sku: "SKU-7", quantity: 2 },
			{ sku: "Soap", quantity: 1 },
		],
	})
	await w.steps(await w.accepted(3), "ready")
	await w.underway(4)
	const address = { line1: "Kilimani Road 7" }
	const location = { lat: -1.305, lng: 36.7815 }
	await w.underway(5, { dropoff: { location, mode: "hand_over", pin_required: true, address } })
	await w.kept(6)
	await w.failed(7)
})
afterAll(async () => {
	await browser?.close()
	await w?.end()
})

/** walk goes through every screen, in English or translated. */
async function walk(phone: Phone, look: (screen: string) => Promise<void>) {
	await phone.go("")
	await phone.page.locator(".units").first().waitFor()
	await phone.page.locator(".stops .stop").first().waitFor()
	await look("today")
	await phone.page.locator(".prompt button.second").first().click()
	await phone.page.locator(".offer button.second").first().click()
	await look("answering")
	for (const [screen, there] of [
		["counter", "#code"],
		["shelf", ".stock .card"],
		["shop", ".figures"],
		["inbox", "h1"],
		["waiting", "h1"],
	] as const) {
		await phone.go(screen)
		await phone.page.locator(there).first().waitFor()
		await phone.page.locator("h1:focus").waitFor()
		await look(screen)
	}
	await phone.go("")
	const doors = await phone.page
		.locator(".stops a.button")
		.evaluateAll(list => list.map(a => a.getAttribute("href")!.slice(2)))
	for (const [i, door] of doors.entries()) {
		await phone.go(door)
		await phone.page.locator(".address").waitFor()
		await look(`door ${i}`)
	}
}

test("every screen is usable by everybody, with a thumb, with a keyboard, and in Chinese", async () => {
	const phone = await Phone.open(browser, w)
	await phone.page.locator("summary").click()
	await phone.check("pairing")
	await phone.reachable("pairing")
	await phone.page.locator("summary").click()
	await phone.pair()
	await walk(phone, async screen => {
		await phone.check(screen)
		await phone.reachable(screen)
	})
	await phone.go("shop")
	await phone.tap("中文")
	await walk(phone, screen => phone.check(screen, true))
	await phone.close()
	await w.api("PATCH", "/v1/store", w.key, { locale: "en" })
})

test("letters twice as large, or a script from right to left, push nothing off the screen", async () => {
	const phone = await Phone.open(browser, w)
	await phone.pair()
	await phone.page.locator(".stops a.button").first().waitFor()
	const door = (await phone.page.locator(".stops a.button").first().getAttribute("href"))!.slice(2)
	for (const [name, style, dir] of [
		["large", "200%", "ltr"],
		["rtl", "", "rtl"],
	] as const) {
		await phone.page.evaluate(
			([style, dir]) => {
				document.documentElement.style.fontSize = style
				document.documentElement.dir = dir
			},
			[style, dir] as const,
		)
		for (const screen of ["", "counter", "shelf", "shop", "waiting", door]) {
			await phone.go(screen)
			await phone.page.locator("h1").waitFor()
			const wide = await phone.page.evaluate(() =>
				[...document.querySelectorAll("body *")]
					.filter(e => e.checkVisibility() && !e.closest(".vh, svg"))
					.filter(e => {
						const { left, right } = e.getBoundingClientRect()
						return left < -1 || right > innerWidth + 1
					})
					.map(e => e.outerHTML.slice(0, 90)),
			)
			expect(wide, `${screen || "today"}, ${name}`).toEqual([])
		}
	}
	await phone.close()
})

test("the door, step by step, offline as well, and what was refused says what to do", async () => {
	const phone = await Phone.open(browser, w)
	await phone.pair()
	await phone.page.locator(".stops a.button").first().waitFor()
	await phone.context.setOffline(true)
	await phone.page.locator(".stops a.button").first().click()
	const look = async (what: string) => {
		await phone.check(what)
		await phone.reachable(what)
	}
	await phone.tap("I am at the door")
	await look("arrived")
	await phone.photograph()
	await look("photographed")
	await phone.tap("It did not work")
	await look("failing")
	await phone.tap("Back")
	await phone.tap("I stepped away")
	await phone.see("has the parcel at the door")
	await look("done")
	await phone.go("waiting")
	await phone.see("It is safe on this phone")
	await look("waiting offline")
	await phone.go("counter")
	await phone.page.getByLabel("Collection code").fill("0000")
	await phone.tap("Hand it out")
	await phone.context.setOffline(false)
	await phone.go("waiting")
	await phone.see("That was not the customer's code")
	await look("waiting refused")
	await phone.close()
})
