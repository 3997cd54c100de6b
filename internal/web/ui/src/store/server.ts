// Asking the server. Every answer is one of four: it worked, it was refused and why, the key is worth
// nothing any more, or it could not be asked now.

export type Problem = {
	status: number
	code: string
	title?: string
	detail?: string
	errors?: { pointer: string; code: string; detail: string }[]
	open_quantity?: number
}

/** Refusal is the server's no: asking the same again will not help by itself. */
export class Refusal extends Error {
	constructor(readonly problem: Problem) {
		super(problem.detail ?? problem.title ?? problem.code)
	}
}

/**
 * Unreachable: no network, a server that starts or is full. after is how long to wait at least, in ms;
 * stumbled says that there was an answer, and that it was the server's own fault: other requests may work.
 */
export class Unreachable extends Error {
	constructor(
		readonly after = 0,
		readonly stumbled = false,
	) {
		super("unreachable")
	}
}

/** KeyGone: this phone is not paired any more. */
export class KeyGone extends Error {}

/** skew is how far the server's clock is ahead of this phone's, ms. Deadlines are by the server's. */
export let skew = 0

/** believe takes the skew that was known before this page. */
export const believe = (ms: number | undefined) => {
	skew ||= ms ?? 0
}

/** truly is what time it is, as far as the server has said: a phone's clock may be hours off. */
export const truly = () => Date.now() + skew

export type Call = {
	method?: string
	path: string
	body?: BodyInit
	type?: string
	key?: string
	id?: string
	match?: number
}

const PATIENCE_MS = 20_000
const UPLOAD_PATIENCE_MS = 120_000

/** ask makes one request and answers its JSON. */
export async function ask<T>(call: Call): Promise<T> {
	const headers: Record<string, string> = {}
	if (call.key) headers.Authorization = `Bearer ${call.key}`
	if (call.id) headers["Idempotency-Key"] = call.id
	if (call.match !== undefined) headers["If-Match"] = `"${call.match}"`
	if (call.body !== undefined) headers["Content-Type"] = call.type ?? "application/json"
	let response: Response
	try {
		response = await fetch(call.path, {
			method: call.method ?? "GET",
			headers,
			body: call.body ?? null,
			cache: "no-store",
			credentials: call.key ? "omit" : "same-origin",
			signal: AbortSignal.timeout(call.body instanceof Blob ? UPLOAD_PATIENCE_MS : PATIENCE_MS),
		})
	} catch {
		throw new Unreachable()
	}
	const served = Date.parse(response.headers.get("Date") ?? "")
	if (served) skew = Math.abs(served - Date.now()) > 2000 ? served - Date.now() : 0
	if (response.ok) {
		try {
			return (response.status === 204 ? undefined : await response.json()) as T
		} catch {
			throw new Unreachable() // it broke off in the middle
		}
	}
	if (response.status === 401) {
		await response.body?.cancel()
		throw new KeyGone()
	}
	if (response.status === 408 || response.status === 429 || response.status >= 500) {
		throw new Unreachable(1000 * (Number(response.headers.get("Retry-After")) || 0), response.status === 500)
	}
	throw new Refusal(await problemOf(response))
}

async function problemOf(response: Response): Promise<Problem> {
	try {
		return { ...((await response.json()) as Problem), status: response.status }
	} catch {
		return { status: response.status, code: "unknown" } // a proxy's page, perhaps
	}
}

/** post sends JSON. */
export const post = <T>(path: string, body: unknown, key?: string, id?: string) =>
	ask<T>({ method: "POST", path, key, id, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })

/** newId is an id that nobody else has. crypto.randomUUID is missing where a page is not served over https. */
export function newId(): string {
	const bytes = crypto.getRandomValues(new Uint8Array(16))
	return Array.from(bytes, b => b.toString(16).padStart(2, "0")).join("")
}
