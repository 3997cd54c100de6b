// The service worker: keeps the app itself on the phone, sends what waits when the network comes back, and
// shows what the store is told. It never touches the API: what the app knows is in IndexedDB.

/// <reference lib="webworker" />
import { subscribe } from "./push"
import { sync } from "./sync"

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
		caches
			.keys()
			.then(names => Promise.all(old(names).map(name => caches.delete(name))))
			.then(() => self.clients.claim()),
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
	if (sending.tag !== "outbox") return
	sending.waitUntil(
		sync(false).then(outcome => {
			if (outcome.unreachable) throw new Error("still unreachable") // then the browser comes back later
		}),
	)
})

type Told = {
	id: string
	task_id: string
	kind: string
	lang: string
	title: string
	body: string
	until: string
	url: string
}

self.addEventListener("push", event => {
	let told: Partial<Told> = {}
	try {
		told = event.data?.json() ?? {}
	} catch {
		// Something came, so something must be shown: browsers take the permission away otherwise.
	}
	const options: NotificationOptions = {
		body: told.body ?? "",
		lang: told.lang ?? "",
		tag: told.task_id ?? "doorstep",
		icon: `${SCOPE}icon-192.png`,
		badge: `${SCOPE}icon-192.png`,
		silent: true,
		data: told.task_id,
	}
	event.waitUntil(self.registration.showNotification(told.title ?? "Doorstep", options))
})

// The browser gave the subscription another address.
self.addEventListener("pushsubscriptionchange" as "message", event => {
	;(event as unknown as ExtendableEvent).waitUntil(subscribe(self.registration))
})

self.addEventListener("notificationclick", event => {
	event.notification.close()
	event.waitUntil(
		self.clients.matchAll({ type: "window" }).then(open => {
			const mine = open.find(client => new URL(client.url).pathname.startsWith(SCOPE))
			return mine ? mine.focus() : self.clients.openWindow(SCOPE)
		}),
	)
})
