// How a phone becomes a shop's: by a one-time code, or by a key that somebody pastes.

import { keep, recall } from "./kept"
import { ask, KeyGone, newId, post } from "./server"

/** Paired is which shop the phone belongs to, and by which key; none: by the cookie that the server has set. */
export type Paired = { key?: string; store: string | undefined }

/** pairWithCode makes this phone a device of the shop whose code it is; the server sets a cookie. */
export async function pairWithCode(code: string): Promise<Paired> {
	// The same id again would pair this phone again, if the first answer were lost on the way.
	const body = { code: code.trim(), device_name: device() }
	const { store_id } = await post<{ store_id: string }>("/v1/pairings", body, undefined, `${body.code} ${await self()}`)
	return { store: store_id }
}

/** checkKey answers whose the key is, if it is a shop's. */
export async function checkKey(key: string): Promise<Paired> {
	const me = await ask<{ role: string; store_id?: string }>({ path: "/v1/me", key })
	if (me.role !== "store") throw new KeyGone()
	return { key, store: me.store_id }
}

/** self is a name of this phone's own, which it keeps. */
async function self(): Promise<string> {
	let id = await recall<string>("self")
	if (!id) {
		id = newId()
		await keep("self", id)
	}
	return id
}

/** device is a name by which people tell this phone from another. */
function device(): string {
	const agent = navigator.userAgent
	const model = /\(([^)]*)\)/.exec(agent)?.[1]?.split(";").slice(0, 2).join(",") ?? "phone"
	return model.trim().slice(0, 60)
}
