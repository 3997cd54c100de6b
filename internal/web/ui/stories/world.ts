// A world for a story: the real binary with a database of its own, and people with browsers in it.

import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { crc32, deflateSync } from "node:zlib"
import {
	type Browser,
	type BrowserContext,
	type BrowserContextOptions,
	chromium,
	type LaunchOptions,
	type Page,
} from "playwright-core"
import { expect, test } from "vitest"
import { type Asked, inspect, tabThrough } from "./inspect"

const root = join(dirname(fileURLToPath(import.meta.url)), "../../../..")
const binary = process.env.DOORSTEP ?? join(root, "bin/doorstep")

/** PATIENCE_MS is how long a story waits for something to be seen: a slow machine is no broken app. */
const PATIENCE_MS = 60_000

/** Answer is JSON as it came; a story knows what it asked for. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Answer = any

/** World is a running server with a merchant, a dispatcher and one store. */
export class World {
	readonly dir = mkdtempSync(join(tmpdir(), "doorstep-story-"))
	readonly db = join(this.dir, "story.db")
	/** trouble is what went wrong in anybody's browser: no story ends well with it. */
	readonly trouble: string[] = []
	port = 0
	admin = ""
	merchant = ""
	key = ""
	store: Answer
	#server: ChildProcess | undefined
	#sessions = new Map<string, ReturnType<World["signIn"]>>()

	get url() {
		return `http://127.0.0.1:${this.port}`
	}

	static async begin(store: object = {}): Promise<World> {
		const w = new World()
		w.port = await freePort()
		await w.serve()
		w.admin = w.cli("key", "create", "--role", "admin")
		w.merchant = w.cli("key", "create", "--role", "merchant", "--merchant", "Acme")
		w.store = await w.shop(1, { name: "Duka la Ngong", location: door(0), ...store })
		w.key = w.cli("key", "create", "--role", "store", "--store", "ext:1")
		return w
	}

	async end() {
		await this.kill()
		rmSync(this.dir, { recursive: true, force: true })
		expect(this.trouble, "trouble in a browser").toEqual([])
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
		const response = await this.#fetch(path, {
			method,
			headers: { ...(key && { Authorization: `Bearer ${key}` }), "Content-Type": "application/json" },
			body: body === undefined ? null : JSON.stringify(body),
		})
		const text = await response.text()
		if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
		return text ? JSON.parse(text) : undefined
	}

	// A connection that was kept too long, on a machine that slept, is no answer of the server.
	async #fetch(path: string, how: RequestInit): Promise<Response> {
		try {
			return await fetch(this.url + path, how)
		} catch (e) {
			if (how.method !== "GET") throw e
			return fetch(this.url + path, how)
		}
	}

	/** list is the data of a list, as the dispatcher sees it. */
	list = async (path: string): Promise<Answer[]> => (await this.api("GET", path, this.admin)).data

	/** session is the cookie of somebody of the staff, who signs in once. */
	session(role: "dispatcher" | "admin"): ReturnType<World["signIn"]> {
		const cookies = this.#sessions.get(role) ?? this.signIn(role)
		this.#sessions.set(role, cookies)
		return cookies
	}

	async signIn(role: "dispatcher" | "admin", login: string = role) {
		const answer = await fetch(this.invite(login, role, "Amina Njoroge"), {
			method: "POST",
			redirect: "manual",
			body: new URLSearchParams({ login, password }),
		})
		return answer.headers.getSetCookie().map(cookie => {
			const [name = "", value = ""] = cookie.slice(0, cookie.indexOf(";")).split("=")
			return { name, value, url: this.url }
		})
	}

	/** invite is the link with which somebody sets a password. */
	invite(login: string, role: string, name = `P ${login}`): string {
		const link = this.cli("account", "invite", login, "--name", name, "--role", role)
		return this.url + new URL(link).pathname
	}

	/** shop is another store, the n-th of the street. */
	shop(n: number, more: object = {}): Promise<Answer> {
		return this.api("POST", "/v1/stores", this.admin, {
			external_id: String(n),
			name: `Duka ${n}`,
			location: door(-n),
			time_zone: "Africa/Nairobi",
			opening_hours: "24/7",
			phone: `+2547120000${String(n).padStart(2, "0")}`,
			auto_accept: false,
			offer_timeout_s: 600,
			shelf_units: 200,
			...more,
		})
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

	read = (order: Answer): Promise<Answer> => this.api("GET", `/v1/orders/${order.id}`, this.admin)

	/** types are the types of what happened to an order. */
	types = async (order: Answer): Promise<string[]> =>
		(await this.list(`/v1/orders/${order.id}/events`)).map((e: Answer) => e.type)

	/** accepted is an order that the store took. */
	async accepted(n: number, more: object = {}): Promise<Answer> {
		const order = await this.order(n, more)
		const offer = order.assignment
		if (offer.status === "offered") await this.api("POST", `/v1/assignments/${offer.id}/accept`, this.key)
		return order
	}

	/** steps are what the store says it did with an order. */
	async steps(order: Answer, ...names: string[]): Promise<Answer> {
		for (const name of names) await this.api("POST", `/v1/orders/${order.id}/${name}`, this.key)
		return order
	}

	/** underway is an order that a runner brings. */
	underway = async (n: number, more: object = {}): Promise<Answer> =>
		this.steps(await this.accepted(n, more), "ready", "pick-up", "depart")

	/** kept is an order that waits for its customer at the counter. */
	kept = async (n: number): Promise<Answer> =>
		this.steps(await this.accepted(n, { dropoff: { location: door(n), mode: "collect_at_store" } }), "ready", "receive")

	/** atDoor tells what happened at an order's door, a second apart and all in the past. */
	async atDoor(order: Answer, ...events: { type: string; [more: string]: unknown }[]) {
		const { results } = await this.api(
			"POST",
			"/v1/dropoff-events",
			this.key,
			events.map((event, i) => ({
				id: `${event.type}-${order.id}`,
				order_id: order.id,
				attempt: 1,
				occurred_at: new Date(Date.now() - (events.length - i) * 1000).toISOString(),
				...event,
			})),
		)
		expect(results.filter((r: Answer) => r.result !== "recorded")).toEqual([])
	}

	/** arrived is an order whose runner stands at the door. */
	async arrived(n: number, more: object = {}): Promise<Answer> {
		const order = await this.underway(n, more)
		await this.atDoor(order, { type: "arrived", location: { ...door(n), accuracy_m: 8 } })
		return order
	}

	/** left is an order that was put down at the door, with a photo. */
	async left(n: number): Promise<Answer> {
		const order = await this.underway(n)
		const location = { ...door(n), accuracy_m: 8 }
		const photo_sha256 = await this.photo(n)
		await this.atDoor(
			order,
			{ type: "arrived", location },
			{ type: "placed", location, photo_sha256 },
			{ type: "signalled", signal: "bell" },
			{ type: "stepped_away", method: "photo_from_distance", distance_m: 3, photo_sha256 },
			{ type: "completed" },
		)
		return order
	}

	/** handedOver is an order that somebody took at the door. */
	async handedOver(n: number): Promise<Answer> {
		const address = { line1: `Ngong Road ${40 + n}`, locality: "Nairobi" }
		const order = await this.underway(n, {
			dropoff: { location: door(n), mode: "hand_over", address },
			minimum_evidence_grade: "D",
		})
		const location = { ...door(n), accuracy_m: 8 }
		await this.atDoor(order, { type: "arrived", location }, { type: "handed_over", location }, { type: "completed" })
		return order
	}

	/** failed is an order that could not be handed over. */
	async failed(n: number, more: object = {}): Promise<Answer> {
		const order = await this.underway(n, more)
		await this.atDoor(order, { type: "failed", reason: "cannot_access" })
		return order
	}

	/** photo is a picture of the n-th door that the store has sent, by its hash. */
	async photo(n: number): Promise<string> {
		const answer = await fetch(`${this.url}/v1/photos`, {
			method: "POST",
			headers: { Authorization: `Bearer ${this.key}`, "Content-Type": "image/png" },
			body: new Uint8Array(picture(n)),
		})
		return ((await answer.json()) as { sha256: string }).sha256
	}

	/** tell is what a customer does by the link; as the JSON of an app, not by a form. */
	tell = (order: Answer, what: string, body: object): Promise<Answer> =>
		this.api("POST", `/v1/tracking/${token(order)}/${what}`, "", body)
}

/** story is a test with worlds of its own, which end with it; several may be told at once. */
export const story = test.extend<{ begin: (store?: object) => Promise<World> }>({
	// biome-ignore lint/correctness/noEmptyPattern: vitest reads from here that it needs nothing else
	begin: async ({}, use) => {
		const worlds: World[] = []
		await use(async store => {
			const w = await World.begin(store)
			worlds.push(w)
			return w
		})
		for (const w of worlds) await w.end()
	},
})

const password = "four words are enough"
const people = ["Achieng Otieno", "Wanjiru Kamau", "Baraka Mwangi", "Fatuma Ali", "Kiptoo Cheruiyot"]

/** door is the n-th door of the street, some 60 m after the one before. */
export const door = (n: number) => ({ lat: -1.3021 - n * 0.0005, lng: 36.7811 })

/** token is the secret of an order's link. */
export const token = (order: Answer): string => order.tracking_url.split("/t/")[1]

/** until waits for something to become true that no page shows. */
export async function until(what: () => Promise<boolean>, patience = PATIENCE_MS) {
	const end = Date.now() + patience
	while (!(await what())) {
		if (Date.now() > end) throw new Error(`it did not happen: ${what}`)
		await new Promise(resolve => setTimeout(resolve, 100))
	}
}

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

function launching(): LaunchOptions {
	const found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(path =>
		existsSync(path),
	)
	if (!found) throw new Error("no Chromium: apt-get install chromium")
	// No graphics card and little shared memory is what CI has; WebGL is then drawn by the processor. A container's
	// root has no sandbox to be put into.
	const args = [
		"--disable-gpu",
		"--use-angle=swiftshader",
		"--enable-unsafe-swiftshader",
		"--disable-dev-shm-usage",
		"--use-fake-device-for-media-stream",
		...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
	]
	return { executablePath: found, args }
}

export const openBrowser = (): Promise<Browser> => chromium.launch(launching())

/** Face is somebody's browser with a page of ours, and what went wrong in it. */
export class Face {
	/** trouble is also the world's, which does not end with any. */
	readonly trouble: string[] = []
	/** meant is what a story lets go wrong. */
	meant: RegExp | undefined

	protected constructor(
		readonly page: Page,
		readonly context: BrowserContext,
		protected readonly world: World,
	) {}

	// watch notes what must not happen: a request to another host, a report of the policy, an error.
	protected async watch(scripts = true) {
		const wrong = (what: string) => {
			if (this.meant?.test(what)) return
			this.trouble.push(what)
			this.world.trouble.push(what)
		}
		this.context.setDefaultTimeout(PATIENCE_MS)
		this.context.on("request", request => {
			const url = new URL(request.url())
			if (url.protocol !== "blob:" && url.host !== `127.0.0.1:${this.world.port}`) wrong(`asked ${request.url()}`)
		})
		this.context.on("weberror", error => wrong(`error: ${error.error().message}`))
		this.context.on("console", message => {
			// Refusals, and a server that is down, are part of the stories; everything else on the console is not.
			if (message.type() === "error" && !/status of 4\d\d|net::ERR/.test(message.text())) wrong(message.text())
		})
		if (!scripts) return
		await this.context.addInitScript(() =>
			document.addEventListener("securitypolicyviolation", e =>
				console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`),
			),
		)
	}

	see = (text: string | RegExp) => this.page.getByText(text).first().waitFor()

	/** gone waits until something is not to be seen any more. */
	gone = (text: string | RegExp) => this.page.getByText(text).first().waitFor({ state: "hidden" })

	title = (name: string | RegExp) => this.page.getByRole("heading", { level: 1, name }).waitFor()

	tap = (name: string | RegExp) => this.page.getByRole("button", { name }).first().click()

	press = (key: string) => this.page.keyboard.press(key)

	/** go opens a screen of an app. */
	async go(screen: string) {
		await this.page.evaluate(async to => {
			location.hash = to
			// The screen is drawn after the event that tells of the change.
			for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame)
		}, `#/${screen}`)
		await this.page.locator("h1").first().waitFor()
	}

	inspect = (what: string, asked: Asked = {}) => inspect(this.page, what, asked)

	/** reachable holds the page against the keyboard. */
	async reachable(what: string) {
		expect(await tabThrough(this.page), `the keyboard on ${what}`).toEqual([])
	}

	close = () => this.context.close()
}

/** Phone is a browser that belongs to one shop. */
export class Phone extends Face {
	static async open(
		browser: Browser,
		world: World,
		options: { dark?: boolean; width?: number; locale?: string; may?: string[]; folder?: string } = {},
	): Promise<Phone> {
		const how: BrowserContextOptions = {
			viewport: { width: options.width ?? 360, height: 740 },
			colorScheme: options.dark ? "dark" : "light",
			locale: options.locale ?? "en-GB",
			geolocation: { latitude: door(1).lat, longitude: door(1).lng, accuracy: 8 },
			permissions: ["geolocation", ...(options.may ?? [])],
			reducedMotion: "reduce",
		}
		// With a folder it is a browser of its own, which can be closed and opened again.
		const context = options.folder
			? await chromium.launchPersistentContext(options.folder, { ...launching(), ...how })
			: await browser.newContext(how)
		const phone = new Phone(context.pages()[0] ?? (await context.newPage()), context, world)
		await phone.watch()
		await phone.page.goto(`${world.url}/store/`)
		await phone.page.locator("h1").waitFor()
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
		await this.page.locator("summary").click()
		await this.page.locator("#key").fill(this.world.key)
		await this.page.locator("details button").click()
		await this.page.locator("header").waitFor()
	}

	/** photograph takes the picture of a door. */
	async photograph() {
		await this.page.setInputFiles("#camera", { name: "door.png", mimeType: "image/png", buffer: picture(7) })
		await this.page.getByAltText("The photo you took").waitFor()
	}

	/** moveTo carries the phone somewhere else. */
	async moveTo(at: { lat: number; lng: number }) {
		await this.context.setGeolocation({ latitude: at.lat, longitude: at.lng, accuracy: 9 })
		const seen = () =>
			this.page.evaluate(
				() =>
					new Promise<number>(done =>
						navigator.geolocation.getCurrentPosition(
							p => done(p.coords.latitude),
							() => done(Number.NaN),
							{ maximumAge: Number.POSITIVE_INFINITY, timeout: 1000 },
						),
					),
			)
		await until(async () => (await seen()) === at.lat)
	}

	/** drop goes through the three taps at the door. */
	async drop() {
		await this.tap("I am at the door")
		await this.photograph()
		await this.tap("I stepped away")
	}

	/** check holds the screen against axe and against what a thumb can do. */
	async check(what: string, translated = false) {
		await this.inspect(what, { target: 48, translated })
		expect(this.trouble, `trouble on ${what}`).toEqual([])
	}
}

/** Desk is the browser of somebody of the staff, who has signed in. */
export class Desk extends Face {
	static async open(
		browser: Browser,
		world: World,
		options: BrowserContextOptions & { role?: "dispatcher" | "admin" } = {},
	): Promise<Desk> {
		const { role = "dispatcher", ...more } = options
		const context = await browser.newContext({
			viewport: { width: 1440, height: 900 },
			locale: "en-GB",
			reducedMotion: "reduce",
			...more,
		})
		await context.addCookies(await world.session(role))
		const desk = new Desk(await context.newPage(), context, world)
		await desk.watch()
		await desk.page.goto(`${world.url}/dispatch/`)
		await desk.page.locator("h1").waitFor()
		return desk
	}

	/** check holds the screen against axe. */
	async check(what: string, translated = false) {
		await this.inspect(what, { translated, height: 900 })
		expect(this.trouble, `trouble on ${what}`).toEqual([])
	}
}

/** Visitor is anybody's browser: a customer's with her link, or one that reads the help. */
export class Visitor extends Face {
	static async open(
		browser: Browser,
		world: World,
		path: string,
		options: BrowserContextOptions = {},
	): Promise<Visitor> {
		const context = await browser.newContext({
			viewport: { width: 360, height: 740 },
			locale: "en-GB",
			reducedMotion: "reduce",
			...options,
		})
		const visitor = new Visitor(await context.newPage(), context, world)
		await visitor.watch(options.javaScriptEnabled)
		await visitor.visit(path)
		return visitor
	}

	visit = (path: string) => this.page.goto(this.world.url + path)

	async check(what: string, asked: Asked = {}) {
		await this.inspect(what, asked)
		expect(this.trouble, `trouble on ${what}`).toEqual([])
	}
}

/** picture is a photo of the n-th door as a PNG; made here, so that none is kept in the repository. */
export function picture(n: number): Buffer {
	const [width, height] = [1200, 900]
	const rows = Buffer.alloc((3 * width + 1) * height)
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < width; x++) {
			const inDoor = x > 300 && x < 700 && y > 150 && y < 750
			const inParcel = x > 400 && x < 650 && y > 600 && y < 780
			const grain = ((x >> 4) * 37 + (y >> 4) * (91 + n)) % 64
			const [r, g, b] = inParcel ? [190, 140, 80] : inDoor ? [30, 60, 90] : [150, 130, 110]
			rows.set([r! + grain, g! + grain, b! + grain], y * (3 * width + 1) + 1 + 3 * x)
		}
	}
	const chunk = (type: string, data: Buffer) => {
		const body = Buffer.concat([Buffer.from(type), data])
		const frame = Buffer.alloc(body.length + 8)
		frame.writeUInt32BE(data.length)
		body.copy(frame, 4)
		frame.writeUInt32BE(crc32(body), body.length + 4)
		return frame
	}
	const head = Buffer.alloc(13)
	head.writeUInt32BE(width)
	head.writeUInt32BE(height, 4)
	head.set([8, 2], 8) // 8 bits a channel, RGB
	return Buffer.concat([
		Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
		chunk("IHDR", head),
		chunk("IDAT", deflateSync(rows)),
		chunk("IEND", Buffer.alloc(0)),
	])
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
