import type { Browser, Page } from "playwright-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import { Desk, openBrowser, Visitor, World } from "./world"

const password = "four words are enough"

let browser: Browser
let w: World

beforeAll(async () => {
	browser = await openBrowser()
	w = await World.begin()
})
afterAll(async () => {
	await browser?.close()
	await w?.end()
})

test("an account is made and used without a script", async () => {
	const link = w.invite("amina", "admin").slice(w.url.length)
	const { page, context, visit } = await Visitor.open(browser, w, link, { javaScriptEnabled: false })
	await page.getByLabel("New password").fill(password)
	await page.getByRole("button", { name: "Save and sign in" }).click()
	await page.waitForURL(`${w.url}/dispatch/`)
	await visit("/account")
	await page.getByLabel("Name", { exact: true }).fill("Ben Otieno")
	await page.getByLabel("Login").fill("ben")
	await page.getByRole("button", { name: "Invite" }).click()
	await page.getByText("Link for").waitFor()
	await page.getByRole("button", { name: "Sign out", exact: true }).click()
	await page.getByText("You have signed out").waitFor()
	await visit("/account")
	await page.getByLabel("Login").fill("AMINA")
	await page.getByLabel("Password").fill("wrong password")
	await page.getByRole("button", { name: "Sign in" }).click()
	await page.getByText("do not belong together").waitFor()
	await page.getByLabel("Password").fill(password)
	await page.getByRole("button", { name: "Sign in" }).click()
	await page.waitForURL(`${w.url}/account`)
	await visit(link)
	await page.getByText("This link no longer works").waitFor()
	await context.close()
})

test("whoever is signed out comes back to the same screen, and loses nothing that was being written", async () => {
	const desk = await Desk.open(browser, w, { role: "admin" })
	const { page, context } = desk
	const leave = () => page.evaluate(() => fetch("/signout", { method: "POST", redirect: "manual" }))
	const enter = async (to: Page) => {
		await to.getByLabel("Login").fill("admin")
		await to.getByLabel("Password").fill(password)
		await to.getByRole("button", { name: "Sign in" }).click()
	}
	await desk.go("people")
	await desk.tap(/Invite somebody/)
	const name = page.locator("main form input").first()
	await name.fill("Ben Otieno")
	await leave()
	const [tab] = await Promise.all([context.waitForEvent("page"), page.getByText("Sign in again").click()])
	await enter(tab)
	await tab.getByRole("heading", { level: 1, name: "People" }).waitFor()
	await page.getByText("You are signed out").waitFor({ state: "hidden" })
	expect(await name.inputValue()).toBe("Ben Otieno")

	// With nothing to lose one is asked at once.
	await name.fill("")
	await leave()
	await page.waitForURL(/signin/)
	await enter(page)
	await desk.title("People")
	// A link that was cut off leads to no order, and not to an empty page.
	await desk.go("order/%E0%A4")
	await desk.title("Order")
	await context.close()
})

const docs = ["", "store-owners", "dispatchers", "integrators", "operators", "api", "api/drop-off", "no-such-page"]

for (const [locale, translated] of [
	["en-GB", false],
	["zh-CN", true],
] as const)
	test(`the pages of staff and of help are usable by everybody, ${locale}`, async () => {
		const visitor = await Visitor.open(browser, w, "/", { locale })
		const { page } = visitor
		const look = async (what: string) => {
			await visitor.check(what, { translated })
			// The reference is a thousand links of the same kind.
			if (!translated && !what.includes("/api")) await visitor.reachable(what)
		}
		const show = async (path: string) => {
			await visitor.visit(path)
			await look(path)
		}
		await look("the first page")
		await show("/signin")
		await page.locator("#login").fill("nobody")
		await page.locator("#password").fill("wrong password")
		await page.locator("form button").click()
		await page.locator("#problem").waitFor()
		await look("a refused sign-in")
		await show("/setup/gone")
		await show(w.invite(`desk-${locale.toLowerCase()}`, "admin").slice(w.url.length))
		await page.locator("#password").fill("aaaaaaaaaaaa")
		await page.locator("form button").click()
		await page.locator("#password-wrong").waitFor()
		await look("a refused password")
		await page.locator("#password").fill(password)
		await page.locator("form button").click()
		await page.waitForURL(`${w.url}/dispatch/`)
		await show("/account")
		for (const doc of docs) await show(`/docs/${doc}`)
		await visitor.close()
	})
