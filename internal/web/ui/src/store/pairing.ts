// How a phone becomes a shop's: by a one-time code, or by a key that somebody pastes.

import { keep, recall } from "./kept"
import { ask, KeyGone, newId, post } from "./server"

/** pairWithCode makes this phone a device of the shop whose code it is; the server sets a cookie. */
export async function pairWithCode(code: string): Promise<undefined> {
	// The same id again would pair this phone again, if the first answer were lost on the way.
	await post("/v1/pairings", { code: code.trim(), device_name: device() }, undefined, `${code.trim()} ${await self()}`)
}

/** checkKey answers the key if it is a shop's. */
export async function checkKey(key: string): Promise<string> {
	const me = await ask<{ role: string }>({ path: "/v1/me", key })
	if (me.role !== "store") throw new KeyGone()
	return key
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
