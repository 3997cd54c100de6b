// Being told of prompts while the app is closed.

import { recall } from "./kept"
import { ask } from "./server"
import type { Credential } from "./sync"

/** pushState is what the browser would say now: "ask" when it would ask the owner. */
export async function pushState(): Promise<"on" | "ask" | "off"> {
	if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) return "off"
	if (Notification.permission === "denied") return "off"
	const registration = await navigator.serviceWorker.getRegistration()
	if (!registration) return "off"
	return (await registration.pushManager.getSubscription()) ? "on" : "ask"
}

/** askPush asks the owner and subscribes; false when the owner said no or it failed. */
export async function askPush(): Promise<boolean> {
	try {
		return (
			(await Notification.requestPermission()) === "granted" && (await subscribe(await navigator.serviceWorker.ready))
		)
	} catch {
		return false
	}
}

/** subscribe has the server tell this browser. */
export async function subscribe(registration: ServiceWorkerRegistration): Promise<boolean> {
	const credential = await recall<Credential>("credential")
	if (!credential) return false
	const { public_key } = await ask<{ public_key: string }>({ path: "/v1/store/push-key", key: credential.key })
	const subscription = await registration.pushManager.subscribe({
		userVisibleOnly: true,
		applicationServerKey: public_key,
	})
	const { endpoint, keys } = subscription.toJSON()
	const body = JSON.stringify({ endpoint, keys: { p256dh: keys?.p256dh, auth: keys?.auth } })
	await ask({ method: "PUT", path: "/v1/store/push-subscriptions", key: credential.key, body })
	return true
}
