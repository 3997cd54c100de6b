import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type Answer, openBrowser, World } from "./world"

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")
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

/** desk is somebody's browser, and what went wrong in it. */
async function desk(options: BrowserContextOptions): Promise<{ page: Page; trouble: string[] }> {
	const context = await browser.newContext(options)
	const page = await context.newPage()
	const trouble: string[] = []
	context.on("request", request => {
		if (!request.url().startsWith(w.url)) trouble.push(`asked ${request.url()}`)
	})
	page.on("console", message => {
		if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) trouble.push(message.text())
	})
	return { page, trouble }
}

const invite = (login: string, role: string) =>
	w.url + new URL(w.cli("account", "invite", login, "--name", `P ${login}`, "--role", role)).pathname

test("an account is made and used without a script", async () => {
	const link = invite("amina", "admin")
	const { page } = await desk({ javaScriptEnabled: false, locale: "en-GB" })
	await page.goto(link)
	await page.getByLabel("New password").fill(password)
	await page.getByRole("button", { name: "Save and sign in" }).click()
	await page.waitForURL(`${w.url}/dispatch/`)
	await page.goto(`${w.url}/account`)
	await page.getByLabel("Name", { exact: true }).fill("Ben Otieno")
	await page.getByLabel("Login").fill("ben")
	await page.getByRole("button", { name: "Invite" }).click()
	await page.getByText("Link for").waitFor()
	await page.getByRole("button", { name: "Sign out", exact: true }).click()
	await page.getByText("You have signed out").waitFor()
	await page.goto(`${w.url}/account`)
	await page.getByLabel("Login").fill("AMINA")
	await page.getByLabel("Password").fill("wrong password")
	await page.getByRole("button", { name: "Sign in" }).click()
	await page.getByText("do not belong together").waitFor()
	await page.getByLabel("Password").fill(password)
	await page.getByRole("button", { name: "Sign in" }).click()
	await page.waitForURL(`${w.url}/account`)
	await page.goto(link)
	await page.getByText("This link no longer works").waitFor()
	await page.context().close()
})

for (const look of [
	{ width: 360, colorScheme: "light", locale: "en-GB" },
	{ width: 360, colorScheme: "dark", locale: "zh-CN" },
	{ width: 768, colorScheme: "light", locale: "zh-CN" },
	{ width: 1440, colorScheme: "light", locale: "en-GB" },
	{ width: 1440, colorScheme: "dark", locale: "en-GB" },
] as const) {
	const name = `${look.width}-${look.colorScheme}-${look.locale}`
	test(`the pages of staff and of help at ${name} are usable by everybody`, async () => {
		const { page, trouble } = await desk({
			viewport: { width: look.width, height: 900 },
			colorScheme: look.colorScheme,
			locale: look.locale,
		})
		const check = async (what: string) => {
			await page.evaluate(axe)
			const { violations } = await page.evaluate(() => (globalThis as Answer).axe.run())
			expect(
				violations.map((v: Answer) => `${v.id}: ${v.nodes.map((n: Answer) => n.html).join("\n")}`),
				`axe on ${what}`,
			).toEqual([])
			const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
			expect(wide, `${what} is wider than its screen`).toBeLessThanOrEqual(0)
			expect(trouble, `trouble on ${what}`).toEqual([])
		}
		const show = async (path: string) => {
			await page.goto(w.url + path)
			await check(path)
		}
		await show("/signin")
		await page.locator("#login").fill("nobody")
		await page.locator("#password").fill("wrong password")
		await page.locator("form button").click()
		await page.locator("#problem").waitFor()
		await check("a refused sign-in")
		await show("/setup/gone")
		await show(invite(`desk-${name}`, "admin").slice(w.url.length))
		await page.locator("#password").fill("aaaaaaaaaaaa")
		await page.locator("form button").click()
		await page.locator("#password-wrong").waitFor()
		await check("a refused password")
		await page.locator("#password").fill(password)
		await page.locator("form button").click()
		await page.waitForURL(`${w.url}/dispatch/`)
		await show("/account")
		for (const doc of [
			"",
			"store-owners",
			"dispatchers",
			"integrators",
			"operators",
			"api",
			"api/orders",
			"api/drop-off",
		])
			await show(`/docs/${doc}`)
		await page.context().close()
	})
}
