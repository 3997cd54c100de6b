// The customer's page by itself: all a customer can do without a script, and every state of it in every look.

import type { Browser } from "playwright-core"
import { afterAll, beforeAll, expect } from "vitest"
import { type Answer, door, openBrowser, story, token, Visitor, type World } from "./world"

let browser: Browser

beforeAll(async () => {
	browser = await openBrowser()
})
afterAll(() => browser?.close())

story.concurrent(
	"without a script: wishes, a message, the parcel, a rating, a report and its answer, all by plain forms",
	async ({ begin }) => {
		const w = await begin()
		const order = await w.order(1, { minimum_evidence_grade: "D" })
		const customer = await Visitor.open(browser, w, `/t/${token(order)}`, { javaScriptEnabled: false })
		const { page } = customer
		const again = () => page.getByRole("link", { name: "Refresh" }).click()
		await customer.title("We have your order")
		expect(await page.locator("#live").textContent()).toMatch(/As of \d\d:\d\d\./)
		await page.getByRole("main").waitFor()

		await page.getByLabel("Leave it in a safe place").check()
		await page.getByLabel("A note for the runner").fill("")
		await customer.tap("Save my wishes")
		await customer.see("Not sent yet: please see the marked field.")
		await customer.see("Say where the safe place is.")
		await page.locator("textarea:focus").fill("Behind the green barrel")
		await customer.tap("Save my wishes")
		await customer.see("Saved. The store sees your wishes now.")
		expect((await w.read(order)).dropoff).toMatchObject({ mode: "safe_place", instructions: "Behind the green barrel" })

		await page.getByText("Write to us").click()
		await customer.tap("Send message")
		await customer.see("Please write a few words first.")
		await page.getByLabel("Your message").fill("Is it heavy?")
		await customer.tap("Send message")
		await customer.see("Sent. A person reads it; the answer appears on this page.")
		const [asked] = await w.list("/v1/incidents?status=open")
		await w.api("POST", `/v1/incidents/${asked.id}/resolve`, w.admin, { outcome: "answered", answer: "Three kilos." })
		await again()
		await customer.see("Three kilos.")

		// Each state after a look at the page; and what comes too late is offered as a message, as it was typed.
		await w.api("POST", `/v1/assignments/${order.assignment.id}/accept`, w.key)
		await again()
		await customer.title(/has your order/)
		await w.steps(order, "ready")
		await again()
		await customer.title("Packed and ready to go")
		await page.getByLabel("A note for the runner").fill("In the blue barrel, please")
		await w.steps(order, "pick-up", "depart")
		await customer.tap("Save my wishes")
		await customer.see("so this can no longer be changed")
		expect(await page.getByLabel("Your message").inputValue()).toBe("In the blue barrel, please")
		await page.goto(`${w.url}/t/${token(order)}`)
		await customer.title("On its way to you")
		const location = { ...door(1), accuracy_m: 8 }
		const photo_sha256 = await w.photo(1)
		await w.atDoor(order, { type: "arrived", location }, { type: "placed", location, photo_sha256 })
		await again()
		await customer.title("Your runner is at your place")
		await w.atDoor(
			order,
			{ type: "signalled", signal: "bell" },
			{ type: "stepped_away", method: "photo_from_distance", distance_m: 3, photo_sha256 },
			{ type: "completed" },
		)
		await again()
		await customer.title("Delivered to your safe place")
		await customer.see("Evidence grade B")
		const shown = page.getByAltText("Your parcel where the runner left it")
		await shown.scrollIntoViewIfNeeded()
		await shown.click()
		await page.goBack()

		await page.getByRole("link", { name: "Something wrong? Tell us" }).click()
		await page.getByLabel("It is damaged").check()
		await page.getByLabel("What happened?").fill("One corner is wet.")
		await customer.tap("Send report")
		await customer.title("We are looking into your report")
		const [dispute] = await w.list("/v1/incidents?status=open")
		await w.api("POST", `/v1/incidents/${dispute.id}/resolve`, w.admin, { outcome: "rejected", answer: "It was dry." })
		await again()
		await customer.see("It was dry.")
		await customer.see("If you see it differently, you can report it once more until")

		await customer.tap("Yes, I have it")
		await customer.see("Thank you! We noted that you have it.")
		await customer.see("Evidence grade A")
		await customer.tap("Send rating")
		await customer.see("Please choose stars for at least one of the two.")
		await page.getByRole("group", { name: "The delivery" }).getByLabel("4 of 5 stars").check({ force: true })
		await page.getByLabel("Anything to add?").fill("Quick and kind")
		await customer.tap("Send rating")
		await customer.see("Thank you for your rating.")
		expect(await page.getByLabel("Anything to add?").inputValue()).toBe("Quick and kind")
		await customer.close()
	},
)

story.concurrent(
	"without a script: a report that was decided meanwhile is offered as a message, and a hold is made longer",
	async ({ begin }) => {
		const w = await begin({ auto_accept: true })
		const order = await w.handedOver(1)
		const customer = await Visitor.open(browser, w, `/t/${token(order)}`, { javaScriptEnabled: false })
		await customer.title("Delivered into your hands")
		await customer.page.getByText("Report a problem", { exact: true }).click()
		await customer.page.getByLabel("Something is missing").check()
		await customer.page.getByLabel("What happened?").fill("There should be two.")
		// In another window she had reported it already, and was answered.
		await w.tell(order, "dispute", { reason: "item_missing", note: "Only one." })
		const [dispute] = await w.list("/v1/incidents?status=open")
		await w.api("POST", `/v1/incidents/${dispute.id}/resolve`, w.admin, { outcome: "upheld" })
		await customer.tap("Send report")
		await customer.see("This was looked into and decided.")
		expect(await customer.page.getByLabel("Your message").inputValue()).toBe("There should be two.")
		await customer.tap("Send message")
		await customer.see("Sent. A person reads it")

		const kept = await w.kept(2)
		await customer.visit(`/t/${token(kept)}`)
		await customer.title(/Ready to collect at/)
		const { collection_code } = await w.api("GET", `/v1/tracking/${token(kept)}`, "")
		await customer.see(collection_code)
		await customer.tap("Keep it longer for me")
		await customer.see("Done. The store keeps it longer for you.")
		await customer.close()
	},
)

/** states are the page's, each as an order that is in it, with what its headline says. */
async function states(w: World): Promise<Record<string, [order: Answer, says: string | RegExp]>> {
	const back = await w.failed(9, { undeliverable_action: "return" })
	await w.steps(back, "return")
	const returned = await w.failed(10, { undeliverable_action: "return" })
	await w.steps(returned, "return", "returned")
	const cancelled = await w.order(11)
	await w.api("POST", `/v1/orders/${cancelled.id}/cancel`, w.merchant, { reason: "cancelled_by_merchant" })
	const collected = await w.kept(12)
	const { collection_code } = await w.api("GET", `/v1/tracking/${token(collected)}`, "")
	await w.api("POST", `/v1/orders/${collected.id}/collect`, w.key, { code: collection_code })
	const disputed = await w.left(13)
	await w.tell(disputed, "dispute", { reason: "lost", note: "There is nothing at my door." })
	const upheld = await w.handedOver(14)
	await w.tell(upheld, "dispute", { reason: "damaged" })
	const [newest] = (await w.list("/v1/incidents?status=open")).filter(i => i.order_id === upheld.id)
	await w.api("POST", `/v1/incidents/${newest.id}/resolve`, w.admin, { outcome: "upheld", answer: "We are sorry." })
	const talking = await w.order(1)
	await w.tell(talking, "messages", { text: "Is it heavy?" })
	const address = { line1: "Kilimani Road 7" }
	const pin = { dropoff: { location: door(5), mode: "hand_over", pin_required: true, address } }
	return {
		created: [talking, "We have your order"],
		unassignable: [await w.order(2, { dropoff: { location: { lat: -1.2, lng: 36.6 } } }), "We are finding a store"],
		confirmed: [await w.accepted(3), /has your order/],
		packed: [await w.steps(await w.accepted(4), "ready"), "Packed and ready to go"],
		"on the way, with a PIN": [await w.underway(5, pin), "On its way to you"],
		arrived: [await w.arrived(6), "Your runner is at your door"],
		"attempt failed": [await w.failed(7), "We could not hand over your parcel"],
		"at the store": [await w.kept(8), /Ready to collect at/],
		"going back": [back, "Going back to the sender"],
		returned: [returned, "Back with the sender"],
		cancelled: [cancelled, "This order was cancelled"],
		collected: [collected, "You have your parcel"],
		delivered: [await w.left(15), "Delivered to your door"],
		disputed: [disputed, "We are looking into your report"],
		"dispute upheld": [upheld, "You are right, and we are sorry"],
	}
}

story("every state of the page is usable by everybody, with a keyboard, and in Chinese", async ({ begin }) => {
	const w = await begin()
	const all = await states(w)
	const customer = await Visitor.open(browser, w, "/t/no-such-link")
	const { page } = customer
	const look = async (what: string) => {
		await customer.check(what)
		await customer.reachable(what)
	}
	await customer.title("This link leads nowhere now")
	await look("no such link")
	for (const [state, [order, says]] of Object.entries(all)) {
		await customer.visit(`/t/${token(order)}`)
		await customer.title(says)
		for (const fold of await page.locator("summary").all()) await fold.click()
		await look(state)
	}
	// Told what is wrong, where it is wrong.
	await customer.visit(`/t/${token(all.created![0])}`)
	await page.getByText("Write to us").click()
	await customer.tap("Send message")
	await customer.see("Please write a few words first.")
	await look("a refused message")
	const { id } = all.confirmed![0]
	await w.api("POST", `/v1/orders/${id}/tracking-link/revoke`, w.merchant)
	await customer.visit(`/t/${token(all.confirmed![0])}`)
	await customer.title("This link leads nowhere now")
	await customer.visit("/no/such/page")
	await customer.title("This link leads nowhere now")

	await customer.close()

	const other = await Visitor.open(browser, w, "/t/no-such-link", { locale: "zh-CN" })
	for (const [state, [order]] of Object.entries(all)) {
		if (state === "confirmed") continue
		await other.visit(`/t/${token(order)}`)
		await other.page.locator("html[lang=zh-Hans]").waitFor()
		await other.check(state, { translated: true })
	}
	await other.close()
})
