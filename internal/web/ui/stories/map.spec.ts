import type { Browser } from "playwright-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import { Desk, openBrowser, World } from "./world"

// A large town: a square with a store on every other corner, 5,041 of them, and orders on all 20,164 corners.
// The corners lie so far apart that each is a cell of its own at resolution 9, so the map shows that many.
const SIDE = 142
const STEP = 0.0043 // degrees, some 480 m
const SOUTH_WEST = { lat: -1.6, lng: 36.5 }
const corner = (i: number, j: number) => ({ lat: SOUTH_WEST.lat + i * STEP, lng: SOUTH_WEST.lng + j * STEP })
const CORNERS = SIDE * SIDE

let browser: Browser
let w: World

beforeAll(async () => {
	browser = await openBrowser()
	w = await World.begin({ auto_accept: true, location: { lat: SOUTH_WEST.lat - 0.02, lng: SOUTH_WEST.lng } })
	await send("/v1/store-imports?default_time_zone=Africa/Nairobi&default_auto_accept=true", w.admin, stores())
	const lines = orders()
	for (let from = 0; from < lines.length; from += 10_000) {
		await send("/v1/order-batches", w.merchant, lines.slice(from, from + 10_000))
	}
})
afterAll(async () => {
	await browser?.close()
	await w?.end()
})

async function send(path: string, key: string, lines: object[]) {
	const response = await fetch(w.url + path, {
		method: "POST",
		headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/x-ndjson" },
		body: lines.map(line => JSON.stringify(line)).join("\n"),
	})
	const text = await response.text()
	if (!response.ok || /"(failed":[1-9]|problem":\{)/.test(text)) throw new Error(`${path}: ${text.slice(0, 500)}`)
}

function* corners() {
	for (let i = 0; i < SIDE; i++) for (let j = 0; j < SIDE; j++) yield [i, j] as const
}

function stores(): object[] {
	return [...corners()]
		.filter(([i, j]) => i % 2 === 0 && j % 2 === 0)
		.map(([i, j]) => ({
			external_id: `S-${i}-${j}`,
			name: `Duka ${i}/${j}`,
			location: corner(i, j),
			opening_hours: "24/7",
			status: (i + j) % 70 === 0 ? "busy" : "active",
			service_radius_m: 700,
		}))
}

/** orders are one to three for each corner: more where more people live. */
function orders(): object[] {
	const centre = SIDE / 2
	return [...corners()].flatMap(([i, j]) => {
		const near = 1 - Math.hypot(i - centre, j - centre) / SIDE
		const n = near > 0.85 ? 3 : near > 0.7 ? 2 : 1
		return Array.from({ length: n }, (_, k) => order(`O-${i}-${j}-${k}`, corner(i, j)))
	})
}

const order = (external_id: string, location: object) => ({
	external_id,
	recipient: { name: "Baraka Mwangi", phone: "+254712001000" },
	dropoff: { location },
	undeliverable_action: "return",
})

/** drawn waits until the picture shows the newest answer, and no more is on its way. */
const drawn = (desk: Desk) =>
	desk.page.waitForFunction(() => {
		const { asOf, drawn, cells } = document.querySelector<HTMLElement>("figure.page")?.dataset ?? {}
		return asOf && asOf === drawn && Number(cells) > 0
	})
const cells = async (desk: Desk) => Number(await desk.page.locator("figure.page").getAttribute("data-cells"))
const picture = (desk: Desk) => desk.page.locator("canvas.maplibregl-canvas").screenshot()

test("5,000 stores and 20,000 cells are on the map, and an order changes its cell", async () => {
	const desk = await Desk.open(browser, w)
	const { page } = desk
	const begun = performance.now()
	await desk.go("map/open_orders/9/all/open/9.9/-1.295/36.805")
	await drawn(desk)
	const whole = performance.now() - begun
	const many = await cells(desk)
	expect(many).toBeGreaterThanOrEqual(CORNERS)
	expect(many).toBeLessThan(CORNERS + 10)

	const { stores } = await w.api("GET", "/v1/map-points?bbox=36,-2,38,0&orders=none", w.admin)
	expect(stores.length).toBeGreaterThan(5000)
	const before = await picture(desk)
	const first = page.locator("table.cells tbody tr").first()
	expect(await first.locator("td").first().textContent()).toBe("3")
	await first.locator("button").click()
	await drawn(desk)

	const sent = performance.now()
	await w.api("POST", "/v1/orders", w.merchant, order("new", corner(1, 1)))
	await w.api("POST", "/v1/orders", w.merchant, order("newer", corner(SIDE / 2, SIDE / 2)))
	await page.locator("table.cells tbody tr").first().locator("td", { hasText: /^4$/ }).waitFor()
	await drawn(desk)
	const update = performance.now() - sent
	expect((await picture(desk)).equals(before)).toBe(false)
	console.log(
		`map: ${stores.length} stores and ${many} cells drawn in ${whole.toFixed(0)} ms; with a new order in ${update.toFixed(0)} ms`,
	)

	// What one looks at stands in the address: another measure, then a store, then back.
	await page.getByRole("button", { name: "Free room", exact: true }).first().click()
	await drawn(desk)
	expect(await page.locator("th[aria-sort]").textContent()).toContain("Free room")
	await page.getByLabel("Show a store or order").fill("S-40-42")
	await page.keyboard.press("Enter")
	await page.locator(".beside .picked", { hasText: "Duka 40/42" }).waitFor()
	await drawn(desk)
	expect(page.url()).toMatch(/#\/map\/free_capacity\/9\/all\/open\/14\.00\/-1\.42800\/36\.68060$/)
	expect(await cells(desk)).toBeLessThan(1000)
	await page.getByRole("link", { name: "Duka 40/42" }).click()
	await page.getByRole("heading", { level: 1, name: "Duka 40/42" }).waitFor()
	await page.goBack()
	await drawn(desk)
	expect(await cells(desk)).toBeLessThan(1000)

	// The cell in the middle answers to a click, the picture to the keyboard.
	const canvas = page.getByRole("region", { name: "Map", exact: true })
	await canvas.click()
	await page.locator(".beside .picked", { hasText: "Order O-40-42" }).waitFor()
	await page.getByRole("link", { name: "Duka 40/42" }).waitFor()
	await canvas.press("ArrowRight")
	await page.waitForFunction(() => !location.hash.endsWith("/36.68060"))
	await page.getByRole("button", { name: "My whole network" }).click()
	await page.waitForFunction(
		least => Number(document.querySelector<HTMLElement>("figure.page")?.dataset.cells) >= least,
		CORNERS,
	)
	await drawn(desk)
	await desk.close()
})

test("without WebGL the list says the same", async () => {
	const desk = await Desk.open(browser, w)
	const { page } = desk
	await page.evaluate(() => {
		HTMLCanvasElement.prototype.getContext = () => null
		location.hash = "#/map/stores/0/all/open"
	})
	await page.getByText("This browser cannot draw the map").waitFor()
	await page.locator("table.cells tbody button").first().click()
	await page.locator(".beside [data-figure=stores]", { hasText: /^[1-9]/ }).waitFor()
	await page.locator(".beside .plain-list a").first().waitFor()
	await desk.close()
})
