// A world for a story: the real binary with a database of its own, and a phone in Chromium.

import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core"
import { expect } from "vitest"

const root = join(dirname(fileURLToPath(import.meta.url)), "../../../..")
const binary = process.env.DOORSTEP ?? join(root, "bin/doorstep")
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

/** PATIENCE_MS is how long a story waits for something to be seen: a slow machine is no broken app. */
const PATIENCE_MS = 60_000

/** Answer is JSON as it came; a story knows what it asked for. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Answer = any

/** Shop is a running server with a merchant, a dispatcher and one store. */
export class World {
	readonly dir = mkdtempSync(join(tmpdir(), "doorstep-story-"))
	readonly db = join(this.dir, "story.db")
	port = 0
	admin = ""
	merchant = ""
	key = ""
	store: Answer
	#server: ChildProcess | undefined

	get url() {
		return `http://127.0.0.1:${this.port}`
	}

	static async begin(store: object = {}): Promise<World> {
		const w = new World()
		w.port = await freePort()
		await w.serve()
		w.admin = w.cli("key", "create", "--role", "admin")
		w.merchant = w.cli("key", "create", "--role", "merchant", "--merchant", "Acme")
		w.store = await w.api("POST", "/v1/stores", w.admin, {
			external_id: "1",
			name: "Duka la Ngong",
			location: door(0),
			time_zone: "Africa/Nairobi",
			opening_hours: "24/7",
			phone: "+254712000001",
			auto_accept: false,
			offer_timeout_s: 600,
			shelf_units: 200,
			...store,
		})
		w.key = w.cli("key", "create", "--role", "store", "--store", "ext:1")
		return w
	}

	async end() {
		await this.kill()
		rmSync(this.dir, { recursive: true, force: true })
	}

	async serve() {
		const server = spawn(binary, ["serve", "--db", this.db, "--listen", `127.0.0.1:${this.port}`], {
			stdio: ["ignore", "pipe", "pipe"],
		})
		this.#server = server
		await new Promise<void>((resolve, reject) => {
			let log = ""
			const look = (text: Buffer) => {
				log += text
				if (log.includes("listening on")) resolve()
			}
			server.stdout.on("data", look)
			server.stderr.on("data", look)
			server.on("exit", code => reject(new Error(`the server ended with ${code}: ${log}`)))
			server.on("error", reject)
		})
	}

	/** kill ends the server as a power cut would. */
	async kill() {
		const server = this.#server
		if (!server || server.exitCode !== null || server.signalCode !== null) return
		const gone = new Promise(resolve => server.once("exit", resolve))
		server.kill("SIGKILL")
		await gone
	}

	cli(...args: string[]): string {
		return execFileSync(binary, [...args, "--db", this.db], {
			encoding: "utf8",
			stdio: ["ignore", "pipe", "ignore"],
		}).trim()
	}

	async api(method: string, path: string, key: string, body?: unknown): Promise<Answer> {
		const response = await fetch(this.url + path, {
			method,
			headers: { ...(key && { Authorization: `Bearer ${key}` }), "Content-Type": "application/json" },
			body: body === undefined ? null : JSON.stringify(body),
		})
		const text = await response.text()
		if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
		return text ? JSON.parse(text) : undefined
	}

	order(n: number, more: object = {}): Promise<Answer> {
		return this.api("POST", "/v1/orders", this.merchant, {
			external_id: `A-${1000 + n}`,
			recipient: { name: people[n % people.length], phone: `+2547120010${String(n).padStart(2, "0")}` },
			dropoff: {
				location: door(n),
				address: { line1: `Ngong Road ${40 + n}`, locality: "Nairobi" },
				instructions: "Blue gate",
			},
			undeliverable_action: "redeliver",
			minimum_evidence_grade: "B",
			...more,
		})
	}
}

const people = ["Achieng Otieno", "Wanjiru Kamau", "Baraka Mwangi", "Fatuma Ali", "Kiptoo Cheruiyot"]

/** door is the n-th door of the street, some 60 m after the one before. */
export const door = (n: number) => ({ lat: -1.3021 - n * 0.0005, lng: 36.7811 })

function freePort(): Promise<number> {
	return new Promise((resolve, reject) => {
		const server = createServer()
		server.on("error", reject)
		server.listen(0, "127.0.0.1", () => {
			const { port } = server.address() as { port: number }
			server.close(() => resolve(port))
		})
	})
}

export async function openBrowser(): Promise<Browser> {
	const found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(path =>
		existsSync(path),
	)
	if (!found) throw new Error("no Chromium: apt-get install chromium")
	// No graphics card and little shared memory is what CI has. A container's root has no sandbox to be put into.
	const args = ["--disable-gpu", "--disable-dev-shm-usage", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])]
	return chromium.launch({ executablePath: found, args })
}

/** Phone is a browser that belongs to one shop, and what went wrong in it. */
export class Phone {
	readonly trouble: string[] = []

	private constructor(
		readonly page: Page,
		readonly context: BrowserContext,
		private readonly world: World,
	) {}

	static async open(
		browser: Browser,
		world: World,
		options: { dark?: boolean; width?: number; locale?: string; may?: string[] } = {},
	): Promise<Phone> {
		const context = await browser.newContext({
			viewport: { width: options.width ?? 360, height: 740 },
			colorScheme: options.dark ? "dark" : "light",
			locale: options.locale ?? "en-GB",
			geolocation: { latitude: door(1).lat, longitude: door(1).lng, accuracy: 8 },
			permissions: ["geolocation", ...(options.may ?? [])],
			reducedMotion: "reduce",
		})
		context.setDefaultTimeout(PATIENCE_MS)
		const page = await context.newPage()
		const phone = new Phone(page, context, world)
		context.on("request", request => {
			const host = new URL(request.url()).host
			if (!request.url().startsWith("blob:") && host !== `127.0.0.1:${world.port}`)
				phone.trouble.push(`asked ${request.url()}`)
		})
		page.on("pageerror", error => phone.trouble.push(`error: ${error.message}`))
		page.on("console", message => {
			// A server that is down is part of the stories; everything else on the console is not.
			if (message.type() === "error" && !/Failed to load resource|net::ERR/.test(message.text()))
				phone.trouble.push(message.text())
		})
		await page.addInitScript(() => {
			document.addEventListener("securitypolicyviolation", event =>
				console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
			)
		})
		await page.goto(`${world.url}/store/`)
		await page.locator("h1").waitFor()
		return phone
	}

	/** loseAnswers lets every change reach the server and loses its first answer on the way back. */
	async loseAnswers() {
		const seen = new Set<string>()
		await this.page.route("**/v1/**", async route => {
			const request = route.request()
			const what = `${request.method()} ${request.url()} ${request.postData()?.slice(0, 500)}`
			if (request.method() === "GET" || seen.has(what)) return route.continue()
			seen.add(what)
			await route.fetch()
			return route.abort("connectionreset")
		})
	}

	/** pair pastes the shop's key, as whoever has no code does. */
	async pair() {
		await this.page.getByText("I have a key instead").click()
		await this.page.getByLabel("Key", { exact: true }).fill(this.world.key)
		await this.page.locator("details button").click()
		await this.page.getByRole("heading", { level: 1, name: "Today" }).waitFor()
	}

	tap = (name: string | RegExp) => this.page.getByRole("button", { name }).first().click()

	see = (text: string | RegExp) => this.page.getByText(text).first().waitFor()

	go = async (screen: string) => {
		await this.page.evaluate(to => {
			location.hash = to
		}, `#/${screen}`)
		await this.page.waitForTimeout(150)
	}

	/** check holds the screen against axe and against what a thumb and a keyboard can do. */
	async check(what: string) {
		await this.page.evaluate(axe)
		const { violations } = await this.page.evaluate(() =>
			(globalThis as Answer).axe.run(document, { resultTypes: ["violations"], rules: { region: { enabled: false } } }),
		)
		const found = violations.map(
			(v: Answer) => `${v.id}: ${v.nodes.map((n: Answer) => `${n.html} ${n.failureSummary}`).join("\n")}`,
		)
		expect(found, `axe on ${what}`).toEqual([])
		const small = await this.page.evaluate(() =>
			[...document.querySelectorAll<HTMLElement>("button, a, input, summary, label.button, textarea")]
				.filter(e => e.checkVisibility() && !e.matches(".vh, [type=radio]"))
				.filter(e => e.getBoundingClientRect().height < 47.5)
				.map(e => `${e.outerHTML.slice(0, 120)} is ${e.getBoundingClientRect().height} px high`),
		)
		expect(small, `targets on ${what}`).toEqual([])
		const wide = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
		expect(wide, `${what} is wider than its screen`).toBeLessThanOrEqual(0)
		expect(this.trouble, `trouble on ${what}`).toEqual([])
	}

	/** reach tabs through the screen and answers the names of what gets the focus. */
	async reach(): Promise<string[]> {
		const names: string[] = []
		await this.page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur())
		for (let i = 0; i < 60; i++) {
			await this.page.keyboard.press("Tab")
			const name = await this.page.evaluate(() => {
				const e = document.activeElement as HTMLElement | null
				return !e || e === document.body ? "" : (e.getAttribute("aria-label") ?? e.textContent ?? e.id)
			})
			if (name === "") break
			names.push(name.trim())
		}
		return names
	}
}

/** snapshot is a photo as a phone takes it, with a position in its EXIF; made here, so that none is kept in the repository. */
export async function doorPhoto(page: Page): Promise<Buffer> {
	const url = await page.evaluate(() => {
		const canvas = document.createElement("canvas")
		canvas.width = 2400
		canvas.height = 1800
		const c = canvas.getContext("2d")!
		c.fillStyle = "#987"
		c.fillRect(0, 0, 2400, 1800)
		c.fillStyle = "#246"
		c.fillRect(900, 300, 700, 1200)
		c.fillStyle = "#c96"
		c.fillRect(1100, 1300, 500, 350)
		for (let i = 0; i < 400; i++) {
			c.fillStyle = `hsl(${(i * 37) % 360} 40% 50%)`
			c.fillRect((i * 611) % 2400, (i * 397) % 1800, 30, 30)
		}
		return canvas.toDataURL("image/jpeg", 0.9)
	})
	return Buffer.from(url.split(",")[1]!, "base64")
}

/** campaign asks the store for goods: planned, approved and prompted. */
export async function campaign(w: World, skus: object[]): Promise<Answer> {
	const hours = (h: number) => new Date(Date.now() + h * 3_600_000).toISOString()
	const c = await w.api("POST", "/v1/campaigns", w.admin, {
		name: "Singles Day",
		starts_at: hours(40),
		ends_at: hours(64),
		skus,
		leads_s: [259_200, 86_400],
	})
	await w.api("POST", `/v1/campaigns/${c.id}/plan`, w.admin)
	await w.api("POST", `/v1/campaigns/${c.id}/approve`, w.admin)
	await w.api("POST", "/v1/jobs/prestock-prompts/run", w.admin)
	return c
}
