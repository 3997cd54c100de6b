// The service worker: keeps the app itself on the phone, sends what waits when the network comes back, and
// shows what the store is told. It never touches the API: what the app knows is in IndexedDB.

/// <reference lib="webworker" />
import type { Did } from "./known"
import { add, rows } from "./outbox"
import { subscribe } from "./push"
import { sync, syncLater } from "./sync"

declare const self: ServiceWorkerGlobalScope
declare const __SHELL__: string[]
declare const __VERSION__: string

const CACHE = `shell-${__VERSION__}`
const SCOPE = "/store/"

self.addEventListener("install", event => {
	// "reload": the browser's own cache may hold an older page.
	const files = __SHELL__.map(name => new Request(SCOPE + name, { cache: "reload" }))
	// What goes to the API need not wake this worker, where the browser can be told so.
	const routed = event as { addRoutes?(rules: object): Promise<void> }
	void routed.addRoutes?.({ condition: { urlPattern: "/v1/*" }, source: "network" }).catch(() => {})
	event.waitUntil(
		caches
			.open(CACHE)
			.then(cache => cache.addAll(files))
			.then(() => self.skipWaiting()),
	)
})

self.addEventListener("activate", event => {
	// A page that is still open runs the version before this one, and may yet want its second piece.
	const old = (names: string[]) => names.filter(name => name.startsWith("shell-")).slice(0, -2)
	event.waitUntil(
		caches.keys().then(async names => {
			const gone = old(names)
			await Promise.all(gone.map(name => caches.delete(name)))
			await self.clients.claim()
			if (names.some(name => name.startsWith("shell-") && name !== CACHE)) await tell({ newer: true })
		}),
	)
})

self.addEventListener("fetch", event => {
	const { request } = event
	const url = new URL(request.url)
	if (request.method !== "GET" || url.origin !== location.origin || !url.pathname.startsWith(SCOPE)) return
	// Whatever page below /store/ is opened, it is the one there is.
	const wanted = request.mode === "navigate" ? SCOPE : request
	event.respondWith(
		caches
			.open(CACHE)
			.then(
				async cache =>
					(await cache.match(wanted, { ignoreSearch: true })) ?? (await caches.match(wanted)) ?? fetch(request),
			),
	)
})

// Not in every browser, and so not in the types either.
type SyncEvent = ExtendableEvent & { tag: string }
self.addEventListener("sync" as "message", event => {
	const sending = event as unknown as SyncEvent
	if (sending.tag === "outbox") sending.waitUntil(flush())
})

/** HOLD_MS is how long it waits, at most, for what can still be taken back. */
const HOLD_MS = 10_000

// flush sends what waits; it fails while the server cannot be reached, and the browser then comes back later.
async function flush(): Promise<void> {
	const outcome = await sync(false)
	await tell({})
	if (outcome.unreachable) throw new Error("still unreachable")
	if (outcome.again === undefined || outcome.again > HOLD_MS) return
	await new Promise(resolve => setTimeout(resolve, outcome.again))
	await flush()
}

// tell has the pages that are open look, or go somewhere first.
async function tell(what: { go?: string; newer?: boolean }) {
	const open = await self.clients.matchAll({ type: "window", includeUncontrolled: true })
	for (const page of open) page.postMessage(what)
	return open[0]
}

/** Told is what the server says in a push. action answers for assignment_id or for task_id. */
type Told = Partial<
	Record<"task_id" | "quantity" | "assignment_id" | "order_id" | "action" | "kind" | "lang" | "title" | "body", string>
>

const show = (told: Told, body = told.body ?? "", may = told.action) =>
	self.registration.showNotification(told.title ?? "Doorstep", {
		body,
		lang: told.lang ?? "",
		tag: told.task_id ?? told.kind ?? "doorstep",
		icon: `${SCOPE}icon-192.png`,
		badge: `${SCOPE}icon-192.png`,
		silent: true,
		data: told,
		actions: may ? [{ action: "yes", title: may }] : [],
	} as NotificationOptions)

self.addEventListener("push", event => {
	let told: Told = {}
	try {
		told = event.data?.json() ?? {}
	} catch {
		// Something came, so something must be shown: browsers take the permission away otherwise.
	}
	event.waitUntil(Promise.all([show(told), tell({})]))
})

// The browser gave the subscription another address.
self.addEventListener("pushsubscriptionchange" as "message", event => {
	;(event as unknown as ExtendableEvent).waitUntil(subscribe(self.registration))
})

self.addEventListener("notificationclick", event => {
	const told = event.notification.data as Told
	event.notification.close()
	event.waitUntil(event.action === "yes" ? answer(told) : open())
})

async function open() {
	const page = await tell({ go: "#/" })
	await (page ? page.focus() : self.clients.openWindow(SCOPE))
}

// What became of an answer that was given without opening the app: sent, waiting, refused.
const words = {
	en: ["✓", "No connection: it goes out by itself.", "This was not taken. Open the app."],
	zh: ["✓", "暂无网络，稍后会自动发送。", "未被接受，请打开应用查看。"],
}

async function answer(told: Told) {
	const did: Did = told.assignment_id
		? { kind: "accept", assignment: told.assignment_id, order: told.order_id ?? "" }
		: { kind: "promise", task: told.task_id ?? "", quantity: Number(told.quantity) }
	const { n } = await add(did, new Date())
	await sync(false)
	const left = (await rows()).find(row => row.n === n)
	const [sent, waits, refused] = words[told.lang === "zh" ? "zh" : "en"]
	await show(told, !left ? `${sent} ${told.action}` : left.problem ? refused : waits, "")
	await tell({})
	if (left && !left.problem) await syncLater(self.registration)
}
