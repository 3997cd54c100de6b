import type { Browser, Worker } from "playwright-core"
import { afterAll, beforeAll, expect } from "vitest"
import { type Answer, campaign, openBrowser, Phone, story, token, until } from "./world"

// Most of these stories wait most of the time, so they are told at once; those that reach into the service worker by
// the browser's own tools, which know of all, are told alone.
let browser: Browser

beforeAll(async () => {
	browser = await openBrowser()
})
afterAll(() => browser?.close())

story.concurrent(
	"a prompt is answered in part, taken back, answered again, counted, and the shop is offered to be told",
	async ({ begin }) => {
		const w = await begin()
		await campaign(w, [
			{ sku: "Maize flour", expected_units: 48, case_pack: 6, unit_fee: { amount: 250, currency: "KES" } },
		])
		const phone = await Phone.open(browser, w, { may: ["notifications"] })
		await phone.pair()
		await phone.see("for Singles Day")
		expect(await phone.page.getByText("Tell me while the app is closed?").count()).toBe(0)
		await phone.see("KES 2.50 for each one sold")
		const task = async () => (await w.list("/v1/prestock-tasks"))[0]

		await phone.tap("Some")
		await phone.page.getByLabel("How many of 48 × Maize flour?").fill("30")
		await phone.tap("I will have 30")
		await phone.tap(/Undo/)
		await phone.see("All 48")
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
		await phone.close()
	},
)

story.concurrent(
	"a tap by mistake is undone within 30 seconds, before and after the server heard of it",
	async ({ begin }) => {
		const w = await begin({ auto_accept: true })
		const orders = [await w.underway(1), await w.underway(2)]
		const phone = await Phone.open(browser, w)
		await phone.pair()
		const deliver = async () => {
			await phone.drop()
			await phone.see("has the parcel at the door")
		}

		await phone.go(`door/${orders[0].id}`)
		await deliver()
		await until(async () => (await w.read(orders[0])).status === "delivered")
		await phone.tap(/Undo/)
		await phone.page.getByRole("button", { name: "I stepped away" }).waitFor()
		await until(async () => (await w.read(orders[0])).status === "arrived_at_dropoff")
		await phone.tap("I stepped away")
		await until(async () => (await w.read(orders[0])).status === "delivered")

		await phone.context.setOffline(true)
		await phone.go(`door/${orders[1].id}`)
		await deliver()
		await phone.tap(/Undo/)
		await phone.page.getByRole("button", { name: "I stepped away" }).waitFor()
		await phone.tap("It did not work")
		await phone.tap("They do not want it")
		await phone.context.setOffline(false)
		await until(async () => (await w.read(orders[1])).status === "attempt_failed")
		const types = await w.types(orders[1])
		expect(types).not.toContain("order.delivered")
		await phone.close()
	},
)

story.concurrent(
	"a phone is paired by a code, asks without a key of its own, and is told when it is not wanted any more",
	async ({ begin }) => {
		const w = await begin()
		const code = await w.api("POST", `/v1/stores/${w.store.id}/pairing-codes`, w.admin)
		const phone = await Phone.open(browser, w)
		await phone.page.getByLabel("Pairing code").fill("2222-2222")
		await phone.tap("Pair this phone")
		await phone.see("This code is not known")
		await phone.page.goto(code.url.replace(/^https?:..[^/]+/, w.url))
		await phone.page.reload()
		await phone.tap("Pair this phone")
		await phone.see("Nothing to do right now")
		const [device] = await w.list(`/v1/stores/${w.store.id}/devices`)
		await w.api("POST", `/v1/devices/${device.id}/revoke`, w.admin)
		await phone.see("Welcome")
		await phone.close()
	},
)

story.concurrent(
	"evidence that is not enough is refused, and the owner is told at the door what is missing",
	async ({ begin }) => {
		const w = await begin({ auto_accept: true })
		const order = await w.underway(1, { dropoff: { location: { lat: -1.31, lng: 36.7811 } } })
		const phone = await Phone.open(browser, w)
		await phone.pair()
		await phone.go(`door/${order.id}`)
		await phone.drop()
		await phone.see(/Your position at the door/)
		await phone.check("refused at the door")
		await phone.moveTo({ lat: -1.31, lng: 36.7811 })
		await phone.tap("I stepped away")
		await until(async () => (await w.read(order)).status === "delivered")
		await phone.see("All sent")
		await phone.close()
	},
)

story.concurrent("a parcel is kept at the counter, and its customer comes with the code", async ({ begin }) => {
	const w = await begin()
	const order = await w.order(1, { dropoff: { location: { lat: -1.303, lng: 36.7811 }, mode: "collect_at_store" } })
	const phone = await Phone.open(browser, w)
	await phone.pair()
	await phone.tap("Accept")
	await phone.tap("Packed")
	await phone.tap("Keep at the counter")
	await phone.page.getByRole("link", { name: "Counter" }).click()
	await phone.see("Wanjiru Kamau")
	await until(async () => (await w.read(order)).status === "received_at_store")
	const { collection_code } = await w.api("GET", `/v1/tracking/${token(order)}`, "")
	await phone.page.getByLabel("Collection code").fill(collection_code)
	await phone.tap("Hand it out")
	await until(async () => (await w.read(order)).status === "collected")
	await phone.see("Handed out: Wanjiru Kamau")
	await phone.close()
})

story.concurrent("answers that get lost on the way make nothing happen twice", async ({ begin }) => {
	const w = await begin()
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
	await phone.drop()
	await until(async () => (await w.read(order)).status === "delivered")
	await until(async () => (await w.list("/v1/prestock-tasks"))[0].status === "acknowledged")
	await phone.see("All sent")
	const types = await w.types(order)
	expect(types.filter((t: string) => t.startsWith("order."))).toEqual([
		...new Set(types.filter((t: string) => t.startsWith("order."))),
	])
	const [visit, ...others] = await w.list(`/v1/orders/${order.id}/dropoffs`)
	expect(others).toEqual([])
	expect(visit.chain).toHaveLength(5)
	await phone.close()
})

story.concurrent(
	"what cannot be handed over goes back to its sender, and a lost parcel is said to be lost",
	async ({ begin }) => {
		const w = await begin({ auto_accept: true })
		const [back, gone] = [await w.underway(1), await w.underway(2)]
		const phone = await Phone.open(browser, w)
		await phone.pair()
		await phone.go(`door/${back.id}`)
		await phone.tap("I am at the door")
		await phone.tap("It did not work")
		await phone.tap("They do not want it")
		await phone.page.getByRole("link", { name: "Back to today" }).click()
		await phone.tap("Send it back")
		await phone.tap("The sender has it")
		await until(async () => (await w.read(back)).status === "returned")
		await phone.go(`door/${gone.id}`)
		await phone.tap("It did not work")
		await phone.tap("I cannot find the parcel")
		await until(async () => (await w.read(gone)).status_reason === "lost")
		await phone.see("All sent")
		await phone.close()
	},
)

story(
	"an order is there at once, is announced by a message while the app is closed, and is taken by one tap on it",
	async ({ begin }) => {
		const w = await begin()
		const phone = await Phone.open(browser, w, { may: ["notifications"] })
		await phone.page.evaluate(() => navigator.serviceWorker.ready)
		const worker = phone.context.serviceWorkers()[0]!
		const stream = phone.page.waitForResponse(r => r.url().endsWith("/v1/store/events/stream"))
		await phone.pair()
		await stream
		// Long before it would look by itself.
		const first = await w.order(1)
		await phone.page.getByRole("button", { name: "Accept" }).waitFor({ timeout: 20_000 })
		await phone.tap("Accept")
		await until(async () => (await w.read(first)).status === "confirmed")

		// A page that nobody sees hears nothing.
		const closed = phone.page.waitForEvent("requestfailed", r => r.url().endsWith("/stream"))
		await phone.page.evaluate(() => {
			Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true })
			document.dispatchEvent(new Event("visibilitychange"))
		})
		await closed

		// What the server sends in such a message, its own tests say (internal/notify).
		const order = await w.order(2)
		const push = await pushTo(phone)
		const told = {
			kind: "offers",
			lang: "en",
			title: "A new order",
			body: "Please answer by 15:02.",
			assignment_id: order.assignment.id,
			order_id: order.id,
			action: "Accept",
		}
		await push(told)
		const shown = () =>
			worker.evaluate(async () => {
				const list = await (globalThis as Answer).registration.getNotifications()
				return list.map((n: Answer) => ({
					title: n.title,
					body: n.body,
					silent: n.silent,
					can: n.actions.map((a: Answer) => a.title),
				}))
			})
		await until(async () => (await shown()).length === 1)
		expect(await shown()).toEqual([{ title: told.title, body: told.body, silent: true, can: ["Accept"] }])
		await push({ ...told, title: "2 new orders", action: undefined }) // in its place
		await until(async () => (await shown())[0].title === "2 new orders")
		await push(told)
		await until(async () => (await shown())[0].can.length === 1)

		await press(worker, "yes")
		await until(async () => (await w.read(order)).status === "confirmed")
		await until(async () => (await shown())[0]?.body === "✓ Accept")

		// A prompt is answered likewise; and a tap beside the button opens the app at what it is about.
		await campaign(w, [{ sku: "Soap", expected_units: 12 }])
		const [task] = (await w.api("GET", "/v1/prestock-tasks", w.key)).data
		await push({
			kind: "first",
			lang: "en",
			title: "12 × Soap",
			body: "",
			task_id: task.id,
			quantity: "12",
			action: "All 12",
		})
		await until(async () => (await shown()).length === 2)
		await phone.go("shop")
		await press(worker, "yes", task.id)
		await until(async () => (await w.api("GET", `/v1/prestock-tasks/${task.id}`, w.key)).status === "acknowledged")
		await until(async () => (await shown()).some((n: Answer) => n.body === "✓ All 12"))
		await press(worker, "", task.id)
		await phone.page.getByRole("heading", { level: 1, name: "Today" }).waitFor()
		await phone.close()
	},
)

story(
	"what was done without a network goes out after the app was closed, once, whoever sends it",
	async ({ begin }) => {
		const w = await begin({ auto_accept: true })
		const orders = [await w.order(1), await w.order(2)]
		const phone = await Phone.open(browser, w)
		await phone.page.evaluate(() => navigator.serviceWorker.ready)
		await phone.pair()
		await phone.page.getByRole("button", { name: "Packed" }).nth(1).waitFor()
		const wake = await syncEvent(phone)
		await phone.context.setOffline(true)
		await phone.tap("Packed")
		await phone.see("1 to send")
		await phone.page.goto("about:blank")
		await phone.context.setOffline(false)
		await wake()
		const packed = async () =>
			(await Promise.all(orders.map(o => w.read(o)))).filter(o => o.status === "ready_for_pickup").length
		await until(async () => (await packed()) === 1)

		// The page and the worker at once.
		await phone.page.goto(`${w.url}/store/`)
		await phone.page.getByRole("button", { name: "Packed" }).waitFor()
		await phone.context.setOffline(true)
		await phone.tap("Packed")
		await phone.tap(/Take all/)
		await phone.see(/to send/)
		await phone.context.setOffline(false)
		await Promise.all([wake(), phone.page.evaluate(() => dispatchEvent(new Event("online")))])
		await until(async () => (await Promise.all(orders.map(o => w.read(o)))).every(o => o.status === "picked_up"))
		await phone.see("All sent")
		for (const o of orders) {
			const types = await w.types(o)
			expect(types.filter((t: string) => /ready|picked/.test(t))).toEqual(["order.ready_for_pickup", "order.picked_up"])
		}
		await phone.close()
	},
)

story.concurrent(
	"labels are read by the camera or typed, and parcels find their way between shops and back",
	async ({ begin }) => {
		const w = await begin({ auto_accept: true, service_radius_m: 500 })
		const other = await w.api("POST", "/v1/stores", w.admin, {
			name: "Mama Mboga",
			location: { lat: -1.35, lng: 36.7811 },
			time_zone: "Africa/Nairobi",
			opening_hours: "24/7",
			service_radius_m: 500,
		})
		const there = { dropoff: { location: { lat: -1.3501, lng: 36.7811 } }, parcels: [{ weight_g: 500 }] }
		const [stray, moved] = [await w.order(1, there), await w.order(2, there)]
		for (const step of ["ready", "pick-up"]) await w.api("POST", `/v1/orders/${moved.id}/${step}`, w.admin)
		await w.api("POST", `/v1/orders/${moved.id}/transfer`, w.admin, {
			store_id: w.store.id,
			reason: "capacity_exceeded",
		})
		const dropped = await w.order(3)
		await w.api("POST", `/v1/orders/${dropped.id}/ready`, w.key)

		const phone = await Phone.open(browser, w, { may: ["camera"] })
		await phone.pair()
		await phone.tap("It is here") // the one that the network had brought
		await until(async () => (await w.read(moved)).status === "ready_for_pickup")

		await w.api("POST", `/v1/orders/${dropped.id}/cancel`, w.merchant, { reason: "cancelled_by_merchant" })
		await phone.see("Cancelled, still here")
		await phone.tap("The sender has it")
		await until(async () => (await w.read(dropped)).custody.holder === "returned")

		await phone.go("counter")
		await phone.see("This browser cannot read labels")
		await phone.context.addInitScript(label => {
			Object.assign(globalThis, {
				BarcodeDetector: class {
					detect = async () => [{ rawValue: label }]
				},
			})
		}, stray.id)
		await phone.page.reload()
		await phone.tap("Scan a label")
		await phone.see(`Taken in: ${stray.id}`)
		await until(async () => (await w.read(stray)).custody.store_id === w.store.id)
		await phone.see("It belongs to Mama Mboga.") // said where it was read
		await phone.go("")
		await phone.see("It belongs to Mama Mboga.")
		await phone.check("another shop's parcel")
		await phone.tap("It has left")
		await until(async () => (await w.read(stray)).custody.holder === "runner")
		expect((await w.read(stray)).store.id).toBe(other.id)
		await phone.see("All sent")

		await phone.context.clearPermissions()
		await phone.go("counter")
		await phone.tap("Scan a label")
		await phone.see("The camera is not allowed")
		await phone.close()
	},
)

story.concurrent(
	"a phone whose clock is wrong counts right, one that is full says so, and the owner says what she wants",
	async ({ begin }) => {
		const w = await begin()
		const order = await w.order(1)
		const phone = await Phone.open(browser, w)
		await phone.context.addInitScript(() => {
			const now = Date.now
			Date.now = () => now() + 3 * 3_600_000 // hours ahead
		})
		await phone.page.reload()
		await phone.pair()
		await phone.see(/^(9|10):\d\d left to answer$/)
		await phone.tap("Accept")
		await phone.tap("Packed")
		await until(async () => (await w.read(order)).status === "ready_for_pickup")

		phone.meant = /no room/
		await phone.page.evaluate(() => {
			const { add } = IDBObjectStore.prototype
			IDBObjectStore.prototype.add = () => {
				IDBObjectStore.prototype.add = add
				throw new DOMException("no room", "QuotaExceededError")
			}
		})
		await phone.tap("Take it along")
		await phone.see("This phone is full")
		expect((await w.read(order)).status).toBe("ready_for_pickup")
		await phone.tap("Take it along")
		await until(async () => (await w.read(order)).status === "picked_up")
		await phone.page.getByText("This phone is full").waitFor({ state: "detached" })

		await phone.go("shop")
		await phone.page.getByLabel("Accept orders by themselves").check()
		await phone.page.getByLabel("Ask me to stock goods").uncheck()
		await until(async () => (await w.api("GET", "/v1/store", w.key)).auto_accept)
		await until(async () => (await w.api("GET", "/v1/store/prestock", w.key)).opt_out)
		await phone.close()
	},
)

/** registration is the service worker's, as the browser's own tools know it. */
async function tools(phone: Phone) {
	const cdp = await phone.context.newCDPSession(phone.page)
	const known = new Promise<string>(resolve =>
		cdp.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }: Answer) => {
			if (registrations[0]) resolve(registrations[0].registrationId)
		}),
	)
	await cdp.send("ServiceWorker.enable")
	return { cdp, registrationId: await known, origin: new URL(phone.page.url()).origin }
}

/** pushTo delivers a message as a push service would. */
async function pushTo(phone: Phone) {
	const { cdp, registrationId, origin } = await tools(phone)
	return (told: object) =>
		cdp.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data: JSON.stringify(told) })
}

/** syncEvent wakes the worker as the browser does once there is a network. */
async function syncEvent(phone: Phone) {
	const { cdp, registrationId, origin } = await tools(phone)
	return () => cdp.send("ServiceWorker.dispatchSyncEvent", { origin, registrationId, tag: "outbox", lastChance: false })
}

/** press taps a message, or the button on it. */
const press = (worker: Worker, action: string, tag?: string) =>
	worker.evaluate(
		async ({ action, tag }) => {
			const all = await (globalThis as Answer).registration.getNotifications(tag ? { tag } : {})
			const Event = (globalThis as Answer).NotificationEvent
			dispatchEvent(new Event("notificationclick", { notification: all[0], action }))
		},
		{ action, tag },
	)
