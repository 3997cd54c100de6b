// The office, through the console of the real binary: stores from a file, keys, jobs, policies, people, who did what.

import { readFileSync } from "node:fs"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import { inspectAsItIs } from "./inspect"
import { type Answer, openBrowser, World } from "./world"

const password = "four words are enough"

let browser: Browser
let w: World

beforeAll(async () => {
	browser = await openBrowser()
	w = await World.begin({ opening_hours: "Mo-Su 08:00-20:00" })
})
afterAll(async () => {
	await browser?.close()
	await w?.end()
})

const trouble: string[] = []

/** enter chooses a password by a link and opens the console. */
async function enter(link: string, options: BrowserContextOptions = {}): Promise<Page> {
	const context = await browser.newContext({
		viewport: { width: 1440, height: 900 },
		locale: "en-GB",
		reducedMotion: "reduce",
		...options,
	})
	context.setDefaultTimeout(60_000)
	const page = await context.newPage()
	context.on("request", request => {
		if (!request.url().startsWith(w.url) && !request.url().startsWith(`blob:${w.url}`))
			trouble.push(`asked ${request.url()}`)
	})
	page.on("pageerror", error => trouble.push(`error: ${error.message}`))
	page.on("console", message => {
		if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) trouble.push(message.text())
	})
	await page.goto(w.url + new URL(link).pathname)
	await page.locator("#password").fill(password)
	await page.locator("form button").click()
	await page.waitForURL(`${w.url}/dispatch/`)
	await page.locator("main h1").waitFor()
	return page
}
const amina = (options?: BrowserContextOptions, login = "amina") =>
	enter(w.cli("account", "invite", login, "--name", "Amina Njoroge", "--role", "admin"), options)

async function go(page: Page, screen: string) {
	await page.evaluate(to => {
		location.hash = to
	}, `#/${screen}`)
	await page.locator("main h1").waitFor()
}

/** check holds the screen against axe. */
async function check(page: Page, what: string) {
	await inspectAsItIs(page, what)
	expect(trouble, `trouble on ${what}`).toEqual([])
}

const drop = (page: Page, name: string, text: string) =>
	page.locator("input[type=file]").setInputFiles({ name, mimeType: "text/csv", buffer: Buffer.from(text) })
const tile = (page: Page, name: string) => page.locator(".tiles div", { hasText: name }).locator("dd")

test("a file of stores is looked at before it is imported, and again changes nothing", async () => {
	const page = await amina()
	await page.keyboard.press("g")
	await page.keyboard.press("i")
	await page.getByRole("heading", { level: 1, name: "Import" }).waitFor()
	const file = [
		"external_id,name,lat,lng,time_zone,square_feet",
		`1,Duka la Ngong Road,${w.store.location.lat},${w.store.location.lng},Africa/Nairobi,9`,
		'2,"Mama Njeri, corner",-1.30,36.78,Africa/Nairobi,9',
		"3,Kibanda,-1.31,36.79,Africa/Nairobi,9",
		"4,Turned round,136.8,-1.3,Africa/Nairobi,9",
		"2,Twice,-1.30,36.78,Africa/Nairobi,9",
	].join("\n")
	await drop(page, "stores.csv", file)
	await page.locator(".pill", { hasText: "Preview: nothing is kept yet" }).waitFor()
	expect(await Promise.all(["New", "Changed", "As before", "Refused"].map(o => tile(page, o).textContent()))).toEqual([
		"2",
		"1",
		"0",
		"2",
	])
	await page.getByText("passed over: square_feet").waitFor()
	await page.getByRole("row", { name: /5 4 Turned round Refused lat: / }).waitFor()
	await page.getByRole("row", { name: /6 2 Twice Refused external_id: row 3 has this external_id already/ }).waitFor()
	expect((await w.api("GET", "/v1/stores", w.admin)).data).toHaveLength(1)
	const [download] = await Promise.all([
		page.waitForEvent("download"),
		page.getByRole("button", { name: "Download the refused rows" }).click(),
	])
	expect(download.suggestedFilename()).toBe("stores-refused.csv")
	expect(readFileSync(await download.path(), "utf8")).toMatch(
		/^external_id,name,lat,lng,time_zone,square_feet,problem\n4,Turned round.*"lat: .*"\n2,Twice/,
	)
	await page.getByRole("button", { name: "Changed" }).click()
	await page.getByRole("row", { name: /2 1 Duka la Ngong Road Changed name/ }).waitFor()

	await page.keyboard.press("a")
	await page.locator(".outcome", { hasText: "3 stores are in." }).waitFor()
	await page.getByRole("button", { name: "All" }).click()
	await page.getByRole("row", { name: /3 2 Mama Njeri, corner New/ }).waitFor()
	const names = (await w.api("GET", "/v1/stores", w.admin)).data.map((s: Answer) => s.name)
	expect(names.sort()).toEqual(["Duka la Ngong Road", "Kibanda", "Mama Njeri, corner"])

	await page.getByRole("button", { name: "Another file" }).click()
	await page.locator(".tiles").waitFor({ state: "detached" })
	await drop(page, "stores.csv", file.split("\n").slice(0, 4).join("\n"))
	await page.getByText("Importing a file again changes nothing").waitFor()
	await drop(page, "stores.csv", "name,lat\nA,1\n").catch(() => {})
	await page.getByRole("alert").getByText("external_id").waitFor()

	// Of a long file only the first rows are told of one by one. The others are sent as well, counted once, and
	// not when their text cannot be read.
	await page.route("**/v1/store-imports?dry_run=true*", async route => {
		const told = await (await route.fetch()).json()
		await route.fulfill({ json: { ...told, rows: told.rows.slice(0, 1), rows_omitted: 3 } })
	})
	const latin = [
		"external_id,name,lat,lng,time_zone",
		"5,Soko,-1.32,36.79,Africa/Nairobi",
		"6,Turned round,136.8,-1.3,Africa/Nairobi",
		"3,Kibanda,-1.31,36.79,Africa/Nairobi",
		"7,Caf\xe9,-1.33,36.79,Africa/Nairobi",
	]
	const buffer = Buffer.from(latin.join("\n"), "latin1")
	await page.locator("input[type=file]").setInputFiles({ name: "long.csv", mimeType: "text/csv", buffer })
	await page.getByRole("button", { name: "Import 1 store" }).click()
	await page.locator(".title .pill.good").waitFor()
	expect(await Promise.all(["New", "Changed", "As before", "Refused"].map(o => tile(page, o).textContent()))).toEqual([
		"1",
		"0",
		"1",
		"2",
	])
	expect((await w.api("GET", "/v1/stores", w.admin)).data).toHaveLength(4)
	await page.unroute("**/v1/store-imports?dry_run=true*")

	// 20,000 rows: one page of them is on the screen, and the screen answers while they are sent.
	const many = [
		"external_id,name,lat,lng",
		...Array.from({ length: 20_000 }, (_, i) => `n-${i},Shop ${i},${-1.2 - i / 1e5},36.8`),
	]
	const begun = Date.now()
	await drop(page, "many.csv", many.join("\n"))
	await page.getByRole("button", { name: "Import 20,000 stores" }).waitFor()
	const previewed = Date.now()
	expect(await page.locator("tbody tr").count()).toBe(100)
	await page.getByRole("button", { name: "Next" }).click()
	await page.getByText("101–200 of 20,000").waitFor()
	await page.getByRole("button", { name: "Import 20,000 stores" }).dblclick()
	await page.locator(".outcome", { hasText: "20,000 stores are in." }).waitFor()
	await go(page, "log")
	await page.getByRole("listitem").filter({ hasText: "Amina Njoroge imported Stores 2 new, 1 changed" }).waitFor()
	console.log(`20,000 stores: preview ${previewed - begun} ms, import ${Date.now() - previewed} ms`)
	expect(trouble).toEqual([])
	await page.context().close()
})

test("a key is made, replaced and revoked", async () => {
	const page = await amina({}, "keys")
	await page.keyboard.press("g")
	await page.keyboard.press("k")
	await page.getByRole("button", { name: "New key" }).click()
	await page.getByLabel("Dispatcher").check()
	await page.getByLabel("What it is for").fill("Wall screen")
	await page.getByRole("button", { name: "Make the key" }).click()
	const secret = await page.locator(".secret input").inputValue()
	await check(page, "key-shown-once")
	expect((await w.api("GET", "/v1/me", secret)).role).toBe("dispatcher")
	await page.getByRole("button", { name: "I have it" }).click()
	expect(await page.content()).not.toContain(secret)

	const row = page.locator(".cards li", { hasText: secret.slice(-4) })
	await row.getByRole("button", { name: "Revoke" }).click()
	await row.getByText("This cannot be undone afterwards").waitFor()
	await row.getByRole("button", { name: "Revoke" }).click()
	await row.getByText(/Revoked in \d s/).waitFor()
	await page.keyboard.press("u")
	await row.getByRole("button", { name: "Replace" }).click()
	const fresh = await page.locator(".secret input").inputValue()
	expect(fresh).not.toBe(secret)
	await page
		.locator(".once")
		.getByRole("button", { name: /^Revoke Wall screen/ })
		.click()
	await row.getByText(/Revoked in \d s/).waitFor()
	expect((await fetch(`${w.url}/v1/me`, { headers: { Authorization: `Bearer ${secret}` } })).status).toBe(200)
	await row.waitFor({ state: "detached" }) // only those that work are shown
	const refused = await fetch(`${w.url}/v1/me`, { headers: { Authorization: `Bearer ${secret}` } })
	expect(refused.status).toBe(401)
	expect((await w.api("GET", "/v1/me", fresh)).role).toBe("dispatcher")

	// What waits some seconds goes out as well when she signs out before they are over.
	const other = page.locator(".cards li", { hasText: fresh.slice(-4) })
	await other.getByRole("button", { name: "Revoke" }).click()
	await other.getByRole("button", { name: "Revoke" }).click()
	await other.getByText(/Revoked in \d s/).waitFor()
	await go(page, "settings")
	await page.getByRole("button", { name: "Sign out" }).click()
	await page.waitForURL(/\/signin/)
	const gone = await fetch(`${w.url}/v1/me`, { headers: { Authorization: `Bearer ${fresh}` } })
	expect(gone.status).toBe(401)
	expect(trouble).toEqual([])
	await page.context().close()
})

test("what an administrator changes is in the log under her name, and a dispatcher sees what is hers", async () => {
	const page = await amina({}, "office")
	await page.keyboard.press("6")
	await page.getByRole("link", { name: "Jobs" }).click()
	await page.getByText("every day at 01:30 UTC").waitFor()
	await page.getByRole("button", { name: "Run now Put away finished orders" }).click()
	await page.locator(".outcome", { hasText: "Put away finished orders: done" }).waitFor()

	await go(page, "settings")
	await page.getByRole("link", { name: "Acme" }).click()
	await page.getByRole("button", { name: "Change" }).click()
	await page.getByLabel("Counts as at the door, within m").fill("80")
	await page.getByRole("listitem").filter({ hasText: "150 → 80" }).waitFor()
	const [{ id }] = (await w.api("GET", "/v1/merchants", w.admin)).data
	// A colleague is quicker: what she wrote stays, on top of what he did.
	await w.api("PUT", `/v1/merchants/${id}/policy`, w.admin, { hold_days: 9 })
	await page.getByRole("button", { name: "Save as version 1" }).click()
	await page.getByRole("alert").getByText("changed it meanwhile").waitFor()
	expect(await page.getByLabel("Kept at the counter, days").inputValue()).toBe("9")
	await page.getByRole("button", { name: "Save as version 2" }).click()
	await page.getByText("Saved: Version 2").waitFor()
	await page.locator(".cards li", { hasText: "Amina Njoroge" }).getByText("150 → 80").waitFor()
	await check(page, "policy-versions")

	await page.keyboard.press("g")
	await page.keyboard.press("p")
	await page.getByRole("button", { name: "Invite somebody" }).click()
	await page.getByLabel("Name").fill("Ben Otieno")
	await page.getByLabel("Login").fill("ben")
	await page.getByRole("button", { name: "Make the link" }).click()
	const link = await page.locator(".secret input").inputValue()
	const ben = await enter(link)
	await ben.keyboard.press("6")
	await ben.getByRole("link", { name: "Who did what" }).waitFor()
	expect(await ben.getByRole("link", { name: "Keys" }).count()).toBe(0)
	await go(ben, "keys")
	await ben.getByText("You are signed in as Dispatcher").waitFor()
	await check(ben, "not-for-dispatchers")
	await go(ben, "jobs")
	await ben.getByText("every day at 01:30 UTC").waitFor()
	expect(await ben.getByRole("button", { name: /Run now/ }).count()).toBe(0)

	await go(ben, "log")
	for (const sentence of [
		/Amina Njoroge ran the job Put away/,
		/Amina Njoroge changed what is asked by Acme Version 2/,
		/Amina Njoroge made the account of Ben Otieno Dispatcher/,
		/Ben Otieno signed in/,
		/Key .* changed what is asked by Acme Version 1/,
	])
		await ben.getByRole("listitem").filter({ hasText: sentence }).first().waitFor()
	// It is live: what happens now comes to the top.
	await page.keyboard.press("Escape")
	await go(page, `store/${w.store.id}`)
	await page.getByRole("button", { name: "Pause" }).click()
	await ben.getByRole("listitem").filter({ hasText: "Amina Njoroge paused the store Duka la Ngong" }).waitFor()
	await ben.getByLabel("Order or store").fill("1")
	await ben.keyboard.press("Enter")
	await ben.getByRole("listitem").filter({ hasText: "signed in" }).first().waitFor({ state: "detached" })
	expect(await ben.getByRole("listitem").filter({ hasText: "Duka la Ngong" }).count()).toBeGreaterThan(1)
	await w.api("POST", `/v1/stores/${w.store.id}/resume`, w.admin)

	// Signed out everywhere by her, he is asked to sign in at once.
	await go(page, "people")
	await page.getByRole("button", { name: "Sign out everywhere Ben Otieno" }).click()
	await page.getByText("Ben Otieno is signed out everywhere").waitFor()
	await ben.waitForURL(/\/signin/)
	expect(trouble).toEqual([])
	await ben.context().close()
	await page.context().close()
})

for (const look of [
	{ width: 360, colorScheme: "dark", locale: "zh-CN" },
	{ width: 1440, colorScheme: "light", locale: "en-GB" },
] as const) {
	const name = `${look.width}-${look.colorScheme}-${look.locale.slice(0, 2)}`
	test(`every screen of the office at ${name} is usable by everybody`, async () => {
		const page = await amina({ ...look, viewport: { width: look.width, height: 900 } }, `look-${name}`.toLowerCase())
		const [{ id }] = (await w.api("GET", "/v1/merchants", w.admin)).data
		for (const [screen, ready] of [
			["manage", ".places li"],
			["import", ".drop"],
			["people", ".cards li"],
			["keys", ".cards li"],
			["jobs", ".cards li"],
			["settings", ".plain-list li"],
			[`policy/${id}`, ".facts"],
			["log", ".acts-list li"],
		] as const) {
			await go(page, screen)
			await page.locator(ready).first().waitFor()
			if (["people", "keys", `policy/${id}`].includes(screen)) {
				await page.locator(".head button").click()
				await page.locator("form.card").waitFor()
			}
			if (screen === "import") {
				await drop(page, "stores.csv", "external_id,name,lat,lng\n9,Nine,1,1\n10,Ten,100,1\n")
				await page.locator("tbody tr").first().waitFor()
			}
			await check(page, `${screen.replace(/\/.*/, "")}-${name}`)
		}
		await page.context().close()
	})
}
