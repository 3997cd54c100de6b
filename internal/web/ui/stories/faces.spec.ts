// What must never break: the stories that go through all three faces.

import { join } from "node:path"
import type { Browser } from "playwright-core"
import { afterAll, beforeAll, expect } from "vitest"
import { type Answer, Desk, openBrowser, Phone, story, token, until, Visitor } from "./world"

let browser: Browser

beforeAll(async () => {
	browser = await openBrowser()
})
afterAll(() => browser?.close())

story.concurrent(
	"a campaign is planned and approved in the console, answered in part in the app, and what is missing goes to the next store",
	async ({ begin }) => {
		const w = await begin()
		const second = await w.shop(2)
		const desk = await Desk.open(browser, w)
		await desk.press("2")
		await desk.tap("New campaign")
		await desk.page.getByLabel("Name").fill("Singles Day")
		const day = (n: number) => new Date(Date.now() + n * 86_400_000).toISOString().slice(0, 16)
		await desk.page.getByLabel("Begins").fill(day(2))
		await desk.page.getByLabel("Ends").fill(day(3))
		await desk.page.getByLabel("Article", { exact: true }).fill("Maize flour")
		await desk.page.getByLabel("Expected units").fill("48")
		await desk.page.getByLabel("Case of").fill("6")
		await desk.tap("Create")
		await desk.tap("Make the plan")
		await desk.see("2 tasks, 48 units in all.")
		await desk.tap(/Approve/)
		await desk.page.locator(".title .pill", { hasText: "Approved" }).waitFor()

		// The phone becomes the shop's by the code that the console shows.
		const campaign = desk.page.url().split("#/")[1]!
		await desk.go(`store/${w.store.id}`)
		await desk.tap("Pair a phone")
		const code = (await desk.page.locator(".pairing .code").textContent())!
		await desk.page.locator(".pairing img").waitFor()
		const phone = await Phone.open(browser, w)
		await phone.page.getByLabel("Pairing code").fill(code)
		await phone.tap("Pair this phone")
		await phone.see("Nothing to do right now")
		await desk.go(campaign)

		await w.api("POST", "/v1/jobs/prestock-prompts/run", w.admin)
		const tasks = () => w.list("/v1/prestock-tasks")
		const mine = (await tasks()).find((t: Answer) => t.store_id === w.store.id)
		const asked = mine.asked_quantity
		await phone.see("for Singles Day")
		await phone.tap("Some")
		await phone.page.getByLabel(`How many of ${asked} × Maize flour?`).fill("6")
		await phone.tap("I will have 6")
		await phone.see("You said 6")

		// Article by article, and cell by cell: the two shops are not in the same one.
		const gone = asked - 6
		const bars = (plot: string | RegExp, told: string) =>
			desk.page.getByRole("figure", { name: plot }).getByRole("img", { name: told }).waitFor()
		await bars("By article", `Asked ${48 + gone}, Promised 6, Asked elsewhere ${gone}, `)
		await bars(/By neighbourhood/, `Asked ${asked}, Promised 6, Asked elsewhere ${gone}, Open 0`)
		await bars(/By neighbourhood/, `Asked ${24 + gone}, Promised 0, Asked elsewhere 0, Open ${24 + gone}`)
		const asks = (await tasks()).filter((t: Answer) => t.store_id === second.id)
		expect(asks.map((t: Answer) => [t.status, t.asked_quantity])).toContainEqual(["prompted", gone])
		await desk.close()
		await phone.close()
	},
)

story.concurrent(
	"an order is delivered while the server is dead, the customer's page says so live, and her report is decided",
	async ({ begin }) => {
		const w = await begin()
		const folder = join(w.dir, "phone")
		let phone = await Phone.open(browser, w, { folder })
		await phone.pair()
		await phone.see("Nothing to do right now")
		const order = await w.order(1)
		await phone.see(/\d:\d\d left to answer/)
		await phone.tap("Accept")
		await phone.tap("Packed")
		await phone.tap("Take it along")
		await phone.tap("Set out")
		await phone.see("To the door")

		const customer = await Visitor.open(browser, w, `/t/${token(order)}`)
		await customer.title("On its way to you")
		await customer.see("This page keeps itself up to date.")
		await customer.page.evaluate(() => {
			document.body.dataset.same = "page"
		})

		await w.kill()
		await customer.see("No connection. Trying again…")
		await phone.page.getByRole("link", { name: "To the door" }).click()
		const before = Date.now()
		await phone.drop()
		await phone.see("has the parcel at the door")
		const after = Date.now()

		// The whole browser closed and opened again, still without a server: the app and what was done are there.
		await phone.close()
		phone = await Phone.open(browser, w, { folder })
		await phone.see("1 parcel delivered today")
		await phone.page.getByRole("link", { name: /to send/ }).click()
		await phone.see("It is safe on this phone")

		await w.serve()
		const back = Date.now()
		await customer.title("Delivered to your door")
		await customer.see("Evidence grade B")
		const photo = customer.page.getByAltText("Your parcel where the runner left it")
		await photo.scrollIntoViewIfNeeded()
		await until(() => photo.evaluate(img => (img as HTMLImageElement).naturalWidth > 0))
		expect(await customer.page.locator("body").getAttribute("data-same")).toBe("page")
		await phone.see("All sent")

		const told = await w.read(order)
		expect(Date.parse(told.delivered_at)).toBeGreaterThanOrEqual(before)
		expect(Date.parse(told.delivered_at)).toBeLessThanOrEqual(after)
		const [visit, ...others] = await w.list(`/v1/orders/${order.id}/dropoffs`)
		expect(others).toEqual([])
		expect(visit.chain.map((e: Answer) => e.type)).toEqual([
			"arrived",
			"placed",
			"signalled",
			"stepped_away",
			"completed",
		])
		const story: Answer[] = await w.list(`/v1/orders/${order.id}/events`)
		const delivered = story.filter((e: Answer) => e.type === "order.delivered")
		expect(delivered).toHaveLength(1)
		expect(delivered[0].occurred_at).toBe(told.delivered_at)
		expect(Date.parse(delivered[0].recorded_at)).toBeGreaterThanOrEqual(back - 1000)
		await phone.close()

		const desk = await Desk.open(browser, w)
		await desk.see("All quiet")
		await desk.see("Live")
		await customer.page.getByRole("link", { name: "Something wrong? Tell us" }).click()
		await customer.page.getByLabel("It is not here").check()
		await customer.page.getByLabel("What happened?").fill("There is nothing at my door.")
		await customer.tap("Send report")
		await customer.title("We are looking into your report")

		await desk.see("Wanjiru Kamau disputes A-1001: it never came")
		await desk.see("There is nothing at my door.")
		for (const key of ["j", "a", "ArrowDown", "ArrowUp", "Tab"]) await desk.press(key)
		await desk.page.keyboard.type("We are sorry. It comes again tomorrow.")
		await desk.press("Control+Enter")
		await desk.see(/Upheld\. Goes out in/)
		await customer.title("You are right, and we are sorry")
		await customer.see("We are sorry. It comes again tomorrow.")
		expect(await customer.page.locator("body").getAttribute("data-same")).toBe("page")
		await desk.page.getByRole("link", { name: "Queue", exact: true }).waitFor()
		expect((await w.read(order)).dispute).toBe("upheld")
		await desk.close()
		await customer.close()
	},
)
