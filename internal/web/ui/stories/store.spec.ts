import type { Browser } from "playwright-core"
import { afterAll, afterEach, beforeAll, expect, test } from "vitest"
import { type Answer, campaign, doorPhoto, openBrowser, Phone, World } from "./world"

let browser: Browser
const worlds: World[] = []

beforeAll(async () => {
	browser = await openBrowser()
})
afterAll(() => browser?.close())
afterEach(async () => {
	for (const w of worlds.splice(0)) await w.end()
})

async function world(store: object = {}) {
	const w = await World.begin(store)
	worlds.push(w)
	return w
}

test("a parcel is delivered while the server is dead, and once it is back everybody knows the true time", async () => {
	const w = await world()
	const phone = await Phone.open(browser, w)
	await phone.pair()
	await phone.see("Nothing to do right now")
	const order = await w.order(1)

	await phone.tap("Accept")
	await phone.tap("Packed")
	await phone.tap("Take it along")
	await phone.tap("Set out")
	await phone.see("To the door")
	await until(async () => (await read(w, order.id)).status === "enroute_to_dropoff")

	await w.kill()
	await phone.page.getByRole("link", { name: "To the door" }).click()
	await phone.tap("I am at the door")
	const photo = { name: "door.jpg", mimeType: "image/jpeg", buffer: await doorPhoto(phone.page) }
	await phone.page.setInputFiles("input[type=file]", photo)
	await phone.page.getByAltText("The photo you took").waitFor()
	const before = Date.now()
	await phone.tap("I stepped away")
	await phone.see("has the parcel at the door")
	const after = Date.now()

	// Closed and opened again, still without a server: the app and what was done are there.
	await phone.page.reload()
	await phone.see(/to send/)
	await phone.page.goto(`${w.url}/store/`)
	await phone.see("1 parcel delivered today")
	await phone.page.waitForTimeout(1500)

	await w.serve()
	await until(async () => (await read(w, order.id)).status === "delivered")
	await phone.see("All sent")
	const told: Answer = await read(w, order.id)
	expect(Date.parse(told.delivered_at)).toBeGreaterThanOrEqual(before)
	expect(Date.parse(told.delivered_at)).toBeLessThanOrEqual(after)
	expect(told.evidence_grade).toBe("B")

	const [visit] = (await w.api("GET", `/v1/orders/${order.id}/dropoffs`, w.admin)).data
	expect(visit.chain.map((e: Answer) => e.type)).toEqual([
		"arrived",
		"placed",
		"signalled",
		"stepped_away",
		"completed",
	])
	const shown = await fetch(w.url + visit.photos[0].url)
	expect((await shown.arrayBuffer()).byteLength).toBeGreaterThan(1000)
	const story = (await w.api("GET", `/v1/orders/${order.id}/events`, w.admin)).data.map((e: Answer) => e.type)
	expect(story.filter((type: string) => type === "order.delivered")).toHaveLength(1)
	expect(phone.trouble).toEqual([])
	await phone.context.close()
})

test("a prompt is answered in part, taken back, answered again, counted, and the shop is offered to be told", async () => {
	const w = await world()
	await campaign(w, [
		{ sku: "Maize flour", expected_units: 48, case_pack: 6, unit_fee: { amount: 250, currency: "KES" } },
	])
	const phone = await Phone.open(browser, w, { may: ["notifications"] })
	await phone.pair()
	await phone.see("for Singles Day")
	expect(await phone.page.getByText("Tell me while the app is closed?").count()).toBe(0)
	await phone.see("KES 2.50 for each one sold")
	const task = async () => (await w.api("GET", "/v1/prestock-tasks", w.admin)).data[0]

	await phone.tap("Some")
	await phone.page.getByLabel("How many of 48 × Maize flour?").fill("30")
	await phone.tap("I will have 30")
	await phone.tap(/Undo/)
	await phone.see("All 48")
	await phone.page.waitForTimeout(500)
	expect((await task()).status).toBe("prompted")

	await phone.tap("Some")
	await phone.page.getByLabel("How many of 48 × Maize flour?").fill("30")
	await phone.tap("I will have 30")
	await phone.see("You said 30")
	await phone.see("Tell me while the app is closed?")
	await phone.check("being asked about messages")
	await phone.tap("Not now")
	await until(async () => (await task()).status === "partially_acknowledged")
	expect(await task()).toMatchObject({ committed_quantity: 30, unallocated_quantity: 18 })

	await phone.tap("It is on the shelf")
	await phone.tap("One fewer")
	await phone.tap("29 are there")
	await until(async () => (await task()).status === "shortfall")
	expect((await w.api("GET", "/v1/store/stock", w.key)).data).toMatchObject([{ sku: "Maize flour", on_hand: 29 }])
	await phone.go("shop")
	await phone.see("You were asked")
	expect(phone.trouble).toEqual([])
	await phone.context.close()
})

test("a tap by mistake is undone within 30 seconds, before and after the server heard of it", async () => {
	const w = await world({ auto_accept: true })
	const orders = [await w.order(1), await w.order(2)]
	for (const o of orders)
		for (const step of ["ready", "pick-up", "depart"]) await w.api("POST", `/v1/orders/${o.id}/${step}`, w.key)
	const phone = await Phone.open(browser, w)
	await phone.pair()
	const deliver = async () => {
		await phone.tap("I am at the door")
		await phone.page.setInputFiles("input[type=file]", {
			name: "a.jpg",
			mimeType: "image/jpeg",
			buffer: await doorPhoto(phone.page),
		})
		await phone.page.getByAltText("The photo you took").waitFor()
		await phone.tap("I stepped away")
		await phone.see("has the parcel at the door")
	}

	await phone.go(`door/${orders[0].id}`)
	await deliver()
	await until(async () => (await read(w, orders[0].id)).status === "delivered")
	await phone.tap(/Undo/)
	await phone.page.getByRole("button", { name: "I stepped away" }).waitFor()
	await until(async () => (await read(w, orders[0].id)).status === "arrived_at_dropoff")
	await phone.tap("I stepped away")
	await until(async () => (await read(w, orders[0].id)).status === "delivered")

	await phone.context.setOffline(true)
	await phone.go(`door/${orders[1].id}`)
	await deliver()
	await phone.tap(/Undo/)
	await phone.page.getByRole("button", { name: "I stepped away" }).waitFor()
	await phone.tap("It did not work")
	await phone.tap("They do not want it")
	await phone.context.setOffline(false)
	await until(async () => (await read(w, orders[1].id)).status === "attempt_failed")
	const types = (await w.api("GET", `/v1/orders/${orders[1].id}/events`, w.admin)).data.map((e: Answer) => e.type)
	expect(types).not.toContain("order.delivered")
	expect(phone.trouble).toEqual([])
	await phone.context.close()
})

test("a phone is paired by a code, asks without a key of its own, and is told when it is not wanted any more", async () => {
	const w = await world()
	const code = await w.api("POST", `/v1/stores/${w.store.id}/pairing-codes`, w.admin)
	const phone = await Phone.open(browser, w)
	await phone.page.getByLabel("Pairing code").fill("2222-2222")
	await phone.tap("Pair this phone")
	await phone.see("This code is not known")
	await phone.page.goto(code.url.replace(/^https?:..[^/]+/, w.url))
	await phone.page.reload()
	await phone.tap("Pair this phone")
	await phone.see("Nothing to do right now")
	const [device] = (await w.api("GET", `/v1/stores/${w.store.id}/devices`, w.admin)).data
	await w.api("POST", `/v1/devices/${device.id}/revoke`, w.admin)
	await phone.see("Welcome")
	await phone.context.close()
})

test("evidence that is not enough is refused, and the owner is told at the door what is missing", async () => {
	const w = await world({ auto_accept: true })
	const order = await w.order(1, { dropoff: { location: { lat: -1.31, lng: 36.7811 } } })
	for (const step of ["ready", "pick-up", "depart"]) await w.api("POST", `/v1/orders/${order.id}/${step}`, w.key)
	const phone = await Phone.open(browser, w)
	await phone.pair()
	await phone.go(`door/${order.id}`)
	await phone.tap("I am at the door")
	await phone.page.setInputFiles("input[type=file]", {
		name: "a.jpg",
		mimeType: "image/jpeg",
		buffer: await doorPhoto(phone.page),
	})
	await phone.page.getByAltText("The photo you took").waitFor()
	await phone.tap("I stepped away")
	await phone.see(/Your position at the door/)
	await phone.check("refused at the door")
	await phone.context.setGeolocation({ latitude: -1.31, longitude: 36.7811, accuracy: 9 })
	await phone.page.waitForTimeout(1000)
	await phone.tap("I stepped away")
	await until(async () => (await read(w, order.id)).status === "delivered")
	await phone.see("All sent")
	await phone.context.close()
})

test("a parcel is kept at the counter, and its customer comes with the code", async () => {
	const w = await world()
	const order = await w.order(1, { dropoff: { location: { lat: -1.303, lng: 36.7811 }, mode: "collect_at_store" } })
	const phone = await Phone.open(browser, w)
	await phone.pair()
	await phone.tap("Accept")
	await phone.tap("Packed")
	await phone.tap("Keep at the counter")
	await phone.page.getByRole("link", { name: "Counter" }).click()
	await phone.see("Wanjiru Kamau")
	await until(async () => (await read(w, order.id)).status === "received_at_store")
	const token = order.tracking_url.split("/t/")[1]
	const { collection_code } = await w.api("GET", `/v1/tracking/${token}`, "")
	await phone.page.getByLabel("Collection code").fill(collection_code)
	await phone.tap("Hand it out")
	await until(async () => (await read(w, order.id)).status === "collected")
	await phone.see("Handed out: Wanjiru Kamau")
	expect(phone.trouble).toEqual([])
	await phone.context.close()
})

test("answers that get lost on the way make nothing happen twice", async () => {
	const w = await world()
	await campaign(w, [{ sku: "Soap", expected_units: 12 }])
	const order = await w.order(1)
	const phone = await Phone.open(browser, w)
	await phone.pair()
	await phone.loseAnswers()
	await phone.tap("All 12")
	await phone.tap("Accept")
	await phone.tap("Packed")
	await phone.tap("Take it along")
	await phone.tap("Set out")
	await phone.page.getByRole("link", { name: "To the door" }).click()
	await phone.tap("I am at the door")
	await phone.page.setInputFiles("input[type=file]", {
		name: "a.jpg",
		mimeType: "image/jpeg",
		buffer: await doorPhoto(phone.page),
	})
	await phone.page.getByAltText("The photo you took").waitFor()
	await phone.tap("I stepped away")
	await until(async () => (await read(w, order.id)).status === "delivered")
	await until(async () => (await w.api("GET", "/v1/prestock-tasks", w.admin)).data[0].status === "acknowledged")
	await phone.see("All sent")
	const types = (await w.api("GET", `/v1/orders/${order.id}/events`, w.admin)).data.map((e: Answer) => e.type)
	expect(types.filter((t: string) => t.startsWith("order."))).toEqual([
		...new Set(types.filter((t: string) => t.startsWith("order."))),
	])
	const [visit, ...others] = (await w.api("GET", `/v1/orders/${order.id}/dropoffs`, w.admin)).data
	expect(others).toEqual([])
	expect(visit.chain).toHaveLength(5)
	expect(phone.trouble).toEqual([])
	await phone.context.close()
})

test("what cannot be handed over goes back to its sender, and a lost parcel is said to be lost", async () => {
	const w = await world({ auto_accept: true })
	const [back, gone] = [await w.order(1), await w.order(2)]
	for (const o of [back, gone])
		for (const step of ["ready", "pick-up", "depart"]) await w.api("POST", `/v1/orders/${o.id}/${step}`, w.key)
	const phone = await Phone.open(browser, w)
	await phone.pair()
	await phone.go(`door/${back.id}`)
	await phone.tap("I am at the door")
	await phone.tap("It did not work")
	await phone.tap("They do not want it")
	await phone.page.getByRole("link", { name: "Back to today" }).click()
	await phone.tap("Send it back")
	await phone.tap("The sender has it")
	await until(async () => (await read(w, back.id)).status === "returned")
	await phone.go(`door/${gone.id}`)
	await phone.tap("It did not work")
	await phone.tap("I cannot find the parcel")
	await until(async () => (await read(w, gone.id)).status_reason === "lost")
	await phone.see("All sent")
	expect(phone.trouble).toEqual([])
	await phone.context.close()
})

const read = (w: World, id: string): Promise<Answer> => w.api("GET", `/v1/orders/${id}`, w.admin)

async function until(what: () => Promise<boolean>, patience = 60_000) {
	const end = Date.now() + patience
	while (!(await what())) {
		if (Date.now() > end) throw new Error("it did not happen")
		await new Promise(resolve => setTimeout(resolve, 200))
	}
}
