import type { Browser } from "playwright-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import { campaign, Desk, openBrowser, token, Visitor, World } from "./world"

let browser: Browser
let w: World

beforeAll(async () => {
	browser = await openBrowser()
	w = await World.begin({ auto_accept: true })
})
afterAll(async () => {
	await browser?.close()
	await w?.end()
})

test("a message is answered by keyboard, taken back, answered again, and the customer's page shows it", async () => {
	const order = await w.order(1)
	const desk = await Desk.open(browser, w)
	await desk.see("All quiet")
	const customer = await Visitor.open(browser, w, `/t/${token(order)}`)
	await customer.page.getByText("Write to us").click()
	await customer.page.getByLabel("Your message").fill("Can you come after six?")
	await customer.tap("Send message")
	await customer.see("Sent. A person reads it")

	await desk.see("Can you come after six?")
	const answer = async () => {
		await desk.press("a")
		await desk.page.keyboard.type("Yes, at half past six.")
		await desk.press("Control+Enter")
		await desk.see(/Answered\. Goes out in/)
	}
	await desk.press("j")
	await answer()
	await desk.press("u")
	await desk.gone(/Goes out in/)
	expect(await w.list("/v1/incidents?status=open")).toHaveLength(1)
	await answer()
	await customer.see("Yes, at half past six.")
	await desk.page.getByRole("link", { name: "Queue", exact: true }).waitFor()
	await customer.close()
	await desk.close()
})

test("an order that no store takes is given to one by a single key", async () => {
	await w.api("POST", `/v1/stores/${w.store.id}/pause`, w.admin)
	const order = await w.order(2)
	expect(order.status).toBe("unassignable")
	const desk = await Desk.open(browser, w)
	await desk.see(/No store takes A-1002/)
	await desk.press("j")
	await desk.press("a")
	await desk.see("No other store can take it now")
	await w.order(9)
	await desk.see(/No store takes A-1009/)
	await desk.page.getByRole("button", { name: "Find a store for all 2" }).click()
	await desk.page.locator(".outcome.done").nth(1).waitFor()
	await w.api("POST", `/v1/stores/${w.store.id}/resume`, w.admin)
	await desk.see("All quiet")

	await desk.press("/")
	await desk.page.keyboard.type("A-1002")
	await desk.press("Enter")
	await desk.page.getByRole("heading", { level: 1, name: "A-1002" }).waitFor()
	await desk.see("A store accepted")
	await desk.press("Escape")
	await desk.page.getByRole("heading", { level: 1, name: "Queue" }).waitFor()
	await desk.press("?")
	await desk.page.getByRole("dialog").waitFor()
	await desk.press("Escape")
	await desk.page.getByRole("dialog").waitFor({ state: "detached" })
	await desk.close()
})

test("a code that was tried too often is unlocked, and a failed delivery gets its next step, by a key each", async () => {
	const kept = await w.kept(7)
	const desk = await Desk.open(browser, w)
	await desk.see("All quiet")
	for (let i = 0; i < 5; i++) {
		await w.api("POST", `/v1/orders/${kept.id}/collect`, w.key, { code: "0000" }).catch(() => {})
	}
	await desk.see("The code of A-1007 is locked after five wrong tries")
	await desk.press("j")
	await desk.press("a")
	await desk.page.locator(".outcome.done").waitFor()
	expect((await w.read(kept)).code_locked).toBe(false)

	const broken = await w.failed(8)
	await desk.see("A-1008 was not delivered: the door could not be reached")
	await desk.press("k")
	await desk.press("a")
	await desk.page.locator(".row.failed .outcome.done").waitFor()
	expect((await w.read(broken)).status).toBe("enroute_to_dropoff")
	await desk.close()
})

test("every screen of the console is usable by everybody, with a keyboard, and in Chinese", async () => {
	const disputed = await w.left(3)
	await w.tell(disputed, "dispute", {
		reason: "wrong_item",
		note: "This is somebody else's parcel, the label says Kiptoo.",
	})
	await w.tell(await w.order(4), "messages", { text: "Can you come after six? I am at work." })
	const broken = await w.failed(5)
	await w.order(6, { dropoff: { location: { lat: -1.2, lng: 36.6 } }, external_id: "B-2201" })
	const code = await w.api("POST", `/v1/stores/${w.store.id}/pairing-codes`, w.admin)
	await w.api("POST", "/v1/pairings", "", { code: code.code, device_name: "Counter phone" })
	const peak = await campaign(w, [{ sku: "SKU-7", expected_units: 48 }])
	const desk = await Desk.open(browser, w, { role: "admin" })
	const { page } = desk

	const walk = async (look: (what: string) => Promise<void>) => {
		await desk.go("")
		await page.locator(".row").nth(3).waitFor()
		await look("queue")
		await page.locator(".row.dispute button").first().click()
		await page.locator(".row form textarea").waitFor()
		await look("deciding")
		await desk.press("Escape")
		for (const [what, screen, there] of [
			["disputed", `order/${disputed.id}`, ".story li"],
			["failed", `order/${broken.id}`, ".story li"],
			["store", `store/${w.store.id}`, ".facts"],
			["find", "find/nothing-like-it", "h1"],
			["map", "map", "table.cells tbody button"],
			["campaigns", "campaigns", ".plain-list li"],
			["campaign", `campaign/${peak.id}`, ".bars"],
		] as const) {
			await desk.go(screen)
			await page.locator(there).first().waitFor()
			await page.locator("h1:focus").waitFor()
			if (what === "store") {
				await page.getByRole("button", { name: /Pair a phone|绑定手机/ }).click()
				await page.locator(".pairing img").waitFor()
			}
			if (what === "map") {
				await page.locator("table.cells tbody button").first().click()
				await page.locator(".beside .facts").waitFor()
				await page.locator(".beside .plain-list a").first().waitFor()
			}
			await look(what)
		}
		// A dialog keeps the focus, and gives it back to where it was.
		const here = page.locator("nav a").first()
		await here.focus()
		await desk.press("?")
		await page.getByRole("dialog").waitFor()
		await look("keys")
		await desk.press("Tab")
		await page.locator("dialog :focus").first().waitFor()
		await desk.press("Escape")
		await page.getByRole("dialog").waitFor({ state: "detached" })
		expect(await here.evaluate(e => e === document.activeElement)).toBe(true)
	}
	await walk(async what => {
		await desk.check(what)
		await desk.reachable(what)
	})
	await page.getByRole("button", { name: "中文" }).click()
	await walk(what => desk.check(what, true))
	await desk.close()
})
