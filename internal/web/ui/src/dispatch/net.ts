// Asking the server as the person who is signed in. Without a session there is only one thing to do.

import type { components } from "../api/contract"
import { ask, KeyGone, Refusal, Unreachable } from "../store/server"

export { Refusal, skew, Unreachable } from "../store/server"

type Schemas = components["schemas"]
export type Order = Schemas["Order"]
export type Incident = Schemas["Incident"]
export type Exception = Schemas["Exception"]
export type Remark = Schemas["Remark"]
export type Attempt = Schemas["DropoffAttempt"]
export type Event = Schemas["Event"]
export type Store = Schemas["Store"]
export type Campaign = Schemas["Campaign"]
export type CampaignPlan = Schemas["CampaignPlan"]
export type Progress = Schemas["Progress"]
export type Device = Schemas["Device"]
export type Warning = Schemas["Warning"]
export type Hit = Schemas["SearchHit"]
export type Task = Schemas["PrestockTask"]
export type Stock = Schemas["StockLevel"]
export type Offer = Schemas["Assignment"]
export type Me = Schemas["Me"]
export type Key = Schemas["Key"]
export type KeyCreated = Schemas["KeyCreated"]
export type Job = Schemas["Job"]
export type Act = Schemas["Act"]
export type Account = Schemas["Account"]
export type AccountInvited = Schemas["AccountInvited"]
export type Session = Schemas["Session"]
export type Merchant = Schemas["Merchant"]
export type Policy = Schemas["Policy"]
export type Imported = Schemas["StoreImport"]
export type Page<T> = { data: T[]; next_cursor: string | null; has_more: boolean }

/** signInAt is the page where one signs in. The screen goes along behind the #, from page to page. */
export const signInAt = () => `/signin?next=${encodeURIComponent("/dispatch/")}${location.hash}`

// typed is whether somebody has written what would be lost with the page.
const written = new WeakSet<EventTarget>()
const typed = () =>
	[...document.querySelectorAll<HTMLInputElement | HTMLTextAreaElement>("main textarea, main form input")].some(
		field => written.has(field) && field.value !== "" && !field.closest(".filters"),
	)

let tell: (out: boolean) => void = () => {}

/** onSignedOut has tell called when a session ended under what somebody was writing, and when there is one again. */
export function onSignedOut(how: typeof tell) {
	tell = how
	addEventListener("input", e => e.target && written.add(e.target))
}

async function signedIn<T>(what: Promise<T>): Promise<T> {
	try {
		const answer = await what
		tell(false)
		return answer
	} catch (e) {
		if (e instanceof KeyGone) {
			if (typed()) tell(true)
			else location.assign(signInAt())
		}
		throw e
	}
}

export const get = <T>(path: string) => signedIn(ask<T>({ path }))

/** all reads the whole of a list, up to most rows: a queue that is longer is no queue that one reads. */
export async function all<T>(path: string, most = 400): Promise<T[]> {
	const rows: T[] = []
	let cursor: string | null = null
	do {
		const sign: string = path.includes("?") ? "&" : "?"
		const page: { data: T[]; next_cursor: string | null; has_more: boolean } = await get(
			`${path}${sign}limit=200${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`,
		)
		rows.push(...page.data)
		cursor = page.has_more ? page.next_cursor : null
	} while (cursor && rows.length < most)
	return rows
}

/** post sends JSON once: id is the same when the same wish is sent again. */
export const post = <T>(path: string, body?: unknown, id: string = crypto.randomUUID()) =>
	signedIn(ask<T>({ method: "POST", path, id, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }))

/** put replaces something, unless it has another version than match by now. */
export const put = <T>(path: string, body: unknown, match?: number) =>
	signedIn(ask<T>({ method: "PUT", path, body: JSON.stringify(body), ...(match !== undefined && { match }) }))

/** upload sends a file, or a part of one. */
export const upload = <T>(path: string, body: Blob, type: string, id?: string) =>
	signedIn(ask<T>({ method: "POST", path, body, type, ...(id && { id }) }))

/** lastWord is post for a page that is being closed; nobody hears what became of it, only when that is over. */
export async function lastWord(path: string, body: unknown, id: string) {
	await fetch(path, {
		method: "POST",
		keepalive: true,
		signal: AbortSignal.timeout(5000),
		headers: { "Idempotency-Key": id, "Content-Type": "application/json" },
		body: body === undefined ? null : JSON.stringify(body),
	}).catch(() => {})
}

/** why says what went wrong, as far as the server knows. */
export function why(e: unknown, unreachable: string): string {
	if (e instanceof Refusal) {
		const fields = e.problem.errors?.map(f => `${f.pointer.replace(/^\//, "")}: ${f.detail}`) ?? []
		return fields.length > 0 ? fields.join(" · ") : e.message
	}
	if (e instanceof Unreachable || e instanceof KeyGone) return unreachable
	throw e
}
