import { mkdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type Answer, door, doorPhoto, openBrowser, World } from "./world"

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")
const password = "four words are enough"
const shots = process.env.SHOTS

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

/** Desk is a dispatcher's browser, and what went wrong in it. */
class Desk {
	readonly trouble: string[] = []
	private constructor(readonly page: Page) {}

	static async open(login: string, options: BrowserContextOptions = {}): Promise<Desk> {
		const link = w.cli("account", "invite", login, "--name", "Amina Njoroge", "--role", "dispatcher")
		const context = await browser.newContext({
			viewport: { width: 1440, height: 900 },
			locale: "en-GB",
			reducedMotion: "reduce",
			...options,
		})
		const page = await context.newPage()
		const desk = new Desk(page)
		context.on("request", request => {
			if (!request.url().startsWith(w.url) && !request.url().startsWith(`blob:${w.url}`))
				desk.trouble.push(`asked ${request.url()}`)
		})
		page.on("pageerror", error => desk.trouble.push(`error: ${error.message}`))
		page.on("console", message => {
			if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) desk.trouble.push(message.text())
		})
		await page.addInitScript(() =>
			document.addEventListener("securitypolicyviolation", e =>
				console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`),
			),
		)
		await page.goto(w.url + new URL(link).pathname)
		await page.locator("#password").fill(password)
		await page.locator("form button").click()
		await page.waitForURL(`${w.url}/dispatch/`)
		return desk
	}

	see = (text: string | RegExp) => this.page.getByText(text).first().waitFor()
	press = (key: string) => this.page.keyboard.press(key)

	async go(screen: string) {
		await this.page.evaluate(to => {
			location.hash = to
		}, `#/${screen}`)
		await this.page.waitForTimeout(500)
	}

	/** check holds the screen against axe, and keeps a picture of it where SHOTS says. */
	async check(what: string, name: string) {
		if (shots) {
			mkdirSync(shots, { recursive: true })
			await this.page.screenshot({ path: `${shots}/${what}-${name}.png`, fullPage: true })
		}
		await this.page.evaluate(axe)
		const { violations } = await this.page.evaluate(() =>
			(globalThis as Answer).axe.run(document, { resultTypes: ["violations"] }),
		)
		const found = violations.map(
			(v: Answer) => `${v.id}: ${v.nodes.map((n: Answer) => `${n.html} ${n.failureSummary}`).join("\n")}`,
		)
		expect(found, `axe on ${what}, ${name}`).toEqual([])
		const wide = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
		expect(wide, `${what}, ${name} is wider than its screen`).toBeLessThanOrEqual(0)
		expect(this.trouble, `trouble on ${what}, ${name}`).toEqual([])
	}
}

const token = (o: Answer) => o.tracking_url.split("/t/")[1]

/** left is an order that its store put down at the door, with a photo. */
async function left(n: number): Promise<Answer> {
	const order = await w.order(n)
	for (const step of ["ready", "pick-up", "depart"]) await w.api("POST", `/v1/orders/${order.id}/${step}`, w.key)
	const page = await browser.newPage()
	const photo = await fetch(`${w.url}/v1/photos`, {
		method: "POST",
		headers: { Authorization: `Bearer ${w.key}`, "Content-Type": "image/jpeg" },
		body: new Uint8Array(await doorPhoto(page)),
	})
	await page.close()
	const { sha256 } = (await photo.json()) as Answer
	const event = (type: string, more: object = {}) => ({
		id: `${type}-${n}`,
		order_id: order.id,
		attempt: 1,
		type,
		occurred_at: new Date().toISOString(),
		...more,
	})
	const location = { ...door(n), accuracy_m: 8 }
	const { results } = await w.api("POST", "/v1/dropoff-events", w.key, [
		event("arrived", { location }),
		event("placed", { location, photo_sha256: sha256 }),
		event("signalled", { signal: "bell" }),
		event("stepped_away", { method: "photo_from_distance", distance_m: 3, photo_sha256: sha256 }),
		event("completed"),
	])
	expect(results.filter((r: Answer) => r.result !== "recorded")).toEqual([])
	return order
}

/** delivered is an order that its store says it handed over. */
async function delivered(n: number): Promise<Answer> {
	const order = await w.order(n, {
		dropoff: { location: door(n), mode: "hand_over", address: { line1: `Ngong Road ${40 + n}`, locality: "Nairobi" } },
		minimum_evidence_grade: "D",
	})
	for (const step of ["ready", "pick-up", "depart"]) await w.api("POST", `/v1/orders/${order.id}/${step}`, w.key)
	const at = (s: number) => new Date(Date.now() - s * 1000).toISOString()
	const fix = { ...door(n), accuracy_m: 8 }
	const { results } = await w.api("POST", "/v1/dropoff-events", w.key, [
		{ id: `a${n}`, order_id: order.id, attempt: 1, type: "arrived", occurred_at: at(9), location: fix },
		{ id: `h${n}`, order_id: order.id, attempt: 1, type: "handed_over", occurred_at: at(6), location: fix },
		{ id: `c${n}`, order_id: order.id, attempt: 1, type: "completed", occurred_at: at(3) },
	])
	expect(results.map((r: Answer) => r.result)).toEqual(["recorded", "recorded", "recorded"])
	return order
}

async function failed(n: number) {
	const order = await w.order(n)
	for (const step of ["ready", "pick-up", "depart"]) await w.api("POST", `/v1/orders/${order.id}/${step}`, w.key)
	await w.api("POST", "/v1/dropoff-events", w.key, [
		{
			id: `f${n}`,
			order_id: order.id,
			attempt: 1,
			type: "failed",
			reason: "cannot_access",
			occurred_at: new Date().toISOString(),
		},
	])
	return order
}

test("a dispute appears live in the queue, is decided by keyboard, and the customer's page shows it", async () => {
	const order = await delivered(1)
	const desk = await Desk.open("live")
	await desk.see("All quiet")
	await desk.see("Live")

	const customer = await browser.newContext({ locale: "en-GB" })
	const page = await customer.newPage()
	await page.goto(`${w.url}/t/${token(order)}`)
	await w.api("POST", `/v1/tracking/${token(order)}/dispute`, "", {
		reason: "lost",
		note: "There is nothing at my door.",
	})

	await desk.see("Wanjiru Kamau disputes A-1001: it never came")
	await desk.see("There is nothing at my door.")
	await desk.press("j")
	await desk.press("a")
	await desk.press("ArrowDown")
	await desk.press("ArrowUp")
	await desk.press("Tab")
	await desk.page.keyboard.type("We are sorry. It comes again tomorrow.")
	await desk.press("Control+Enter")
	await desk.see(/Upheld\. Goes out in/)
	await desk.press("u")
	await desk.page.getByText(/Goes out in/).waitFor({ state: "detached" })
	expect((await w.api("GET", "/v1/incidents?status=open", w.admin)).data).toHaveLength(1)

	await desk.press("a")
	await desk.press("Tab")
	await desk.page.keyboard.type("We are sorry. It comes again tomorrow.")
	await desk.press("Control+Enter")
	await desk.see(/Upheld\. Goes out in/)
	await desk.page.getByRole("listitem").getByText("Upheld", { exact: true }).waitFor({ timeout: 15_000 })
	await page.getByText("We are sorry. It comes again tomorrow.").first().waitFor()
	expect((await w.api("GET", `/v1/orders/${order.id}`, w.admin)).dispute).toBe("upheld")
	await desk.see("All quiet")
	expect(desk.trouble).toEqual([])
	await customer.close()
	await desk.page.context().close()
})

test("an order that no store takes is given to one by a single key", async () => {
	await w.api("POST", "/v1/store/pause".replace("store", `stores/${w.store.id}`), w.admin)
	const order = await w.order(2)
	expect(order.status).toBe("unassignable")
	const desk = await Desk.open("find")
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
	expect(desk.trouble).toEqual([])
	await desk.page.context().close()
})

test("a code that was tried too often is unlocked, and a failed delivery gets its next step, by a key each", async () => {
	const kept = await w.order(7, { dropoff: { location: door(7), mode: "collect_at_store" } })
	for (const step of ["ready", "receive"]) await w.api("POST", `/v1/orders/${kept.id}/${step}`, w.key)
	const desk = await Desk.open("unlock")
	await desk.see("All quiet")
	for (let i = 0; i < 5; i++) {
		await w.api("POST", `/v1/orders/${kept.id}/collect`, w.key, { code: "0000" }).catch(() => {})
	}
	await desk.see("The code of A-1007 is locked after five wrong tries")
	await desk.press("j")
	await desk.press("a")
	await desk.page.locator(".outcome.done").waitFor()
	expect((await w.api("GET", `/v1/orders/${kept.id}`, w.admin)).code_locked).toBe(false)

	const broken = await failed(8)
	await desk.see("A-1008 was not delivered: the door could not be reached")
	await desk.press("k")
	await desk.press("a")
	await desk.page.locator(".row.failed .outcome.done").waitFor()
	expect((await w.api("GET", `/v1/orders/${broken.id}`, w.admin)).status).toBe("enroute_to_dropoff")
	expect(desk.trouble).toEqual([])
	await desk.page.context().close()
})

test("a campaign is planned, approved and followed", async () => {
	const desk = await Desk.open("plan")
	await desk.press("2")
	await desk.page.getByRole("button", { name: "New campaign" }).click()
	await desk.page.getByLabel("Name").fill("Singles Day")
	const day = (n: number) => new Date(Date.now() + n * 86_400_000).toISOString().slice(0, 16)
	await desk.page.getByLabel("Begins").fill(day(2))
	await desk.page.getByLabel("Ends").fill(day(3))
	await desk.page.getByLabel("Article", { exact: true }).fill("SKU-7")
	await desk.page.getByLabel("Expected units").fill("48")
	await desk.page.getByRole("button", { name: "Create" }).click()
	await desk.page.getByRole("button", { name: "Make the plan" }).click()
	await desk.see("1 task, 48 units in all.")
	await desk.page.getByRole("button", { name: /Approve/ }).click()
	await desk.page.locator(".title .pill", { hasText: "Approved" }).waitFor()
	await w.api("POST", "/v1/jobs/prestock-prompts/run", w.admin)
	const [task] = (await w.api("GET", "/v1/prestock-tasks", w.key)).data
	await w.api("POST", `/v1/prestock-tasks/${task.id}/acknowledge`, w.key, { committed_quantity: 30 })
	await desk.page
		.getByRole("img", { name: /Asked 48, Promised 30/ })
		.first()
		.waitFor({ timeout: 15_000 })
	await desk.page.getByRole("button", { name: "Cancel the campaign" }).click()
	await desk.see("This cannot be undone")
	await desk.press("Escape")
	await desk.page.getByText("This cannot be undone").waitFor({ state: "detached" })
	await desk.page.getByRole("heading", { level: 1, name: "Singles Day" }).waitFor()
	expect(desk.trouble).toEqual([])
	await desk.page.context().close()
})

const looks = [
	{ width: 360, colorScheme: "light", locale: "en-GB" },
	{ width: 360, colorScheme: "dark", locale: "zh-CN" },
	{ width: 768, colorScheme: "light", locale: "en-GB" },
	{ width: 1440, colorScheme: "light", locale: "en-GB" },
	{ width: 1440, colorScheme: "dark", locale: "en-GB" },
] as const

test("every screen of the console is usable by everybody", async () => {
	const disputed = await left(3)
	await w.api("POST", `/v1/tracking/${token(disputed)}/dispute`, "", {
		reason: "wrong_item",
		note: "This is somebody else's parcel, the label says Kiptoo.",
	})
	const asked = await w.order(4)
	await w.api("POST", `/v1/tracking/${token(asked)}/messages`, "", { text: "Can you come after six? I am at work." })
	const broken = await failed(5)
	await w.order(6, { dropoff: { location: { lat: -1.2, lng: 36.6 } }, external_id: "B-2201" })
	const code = await w.api("POST", `/v1/stores/${w.store.id}/pairing-codes`, w.admin)
	await w.api("POST", "/v1/pairings", "", { code: code.code, device_name: "Counter phone" })
	const [campaign] = (await w.api("GET", "/v1/campaigns", w.admin)).data
	for (const look of looks) {
		const name = `${look.width}-${look.colorScheme}-${look.locale.slice(0, 2)}`
		const desk = await Desk.open(`look-${name}`.toLowerCase(), {
			viewport: { width: look.width, height: 900 },
			colorScheme: look.colorScheme,
			locale: look.locale,
		})
		await desk.page.locator(".row").nth(3).waitFor()
		await desk.page.waitForTimeout(600)
		await desk.check("queue", name)
		await desk.press("j")
		await desk.press("j")
		await desk.page.locator(".row.dispute button").first().click()
		await desk.page.locator(".row form textarea").waitFor()
		await desk.check("deciding", name)
		await desk.press("Escape")
		for (const [what, screen] of [
			["disputed", `order/${disputed.id}`],
			["failed", `order/${broken.id}`],
			["store", `store/${w.store.id}`],
			["find", "find/nothing-like-it"],
			["map", "map"],
			["campaigns", "campaigns"],
			["campaign", `campaign/${campaign.id}`],
		] as const) {
			await desk.go(screen)
			await desk.page.locator("h1").waitFor()
			await desk.page.waitForTimeout(300)
			if (what === "store") {
				await desk.page.getByRole("button", { name: /Pair a phone|绑定手机/ }).click()
				await desk.page.locator(".pairing img").waitFor()
			}
			if (what === "map") {
				await desk.page.locator("polygon").first().waitFor()
				await desk.page.locator(".most button").first().click()
				await desk.page.locator(".beside .facts").waitFor()
			}
			await desk.check(what, name)
		}
		await desk.press("?")
		await desk.check("keys", name)
		await desk.page.context().close()
	}
})
