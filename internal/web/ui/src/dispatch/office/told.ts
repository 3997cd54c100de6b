// What somebody did, in words.

import type { Act } from "../net"
import { plain } from "../tell"
import type { Words } from "../words"
import type { OfficeWords } from "./words"

/** Told is an act: who, what, about what, and more. */
export type Told = { who: string; did: string; what?: string; href?: string; more: string }

const links: Record<string, (id: string) => string> = {
	order: id => `#/order/${id}`,
	store: id => `#/store/${id}`,
	campaign: id => `#/campaign/${id}`,
	merchant: id => `#/policy/${id}`,
	key: () => "#/keys",
	account: () => "#/people",
	setting: () => "#/settings",
	job: () => "#/jobs",
	import: () => "#/import",
}

/** actor is what people call who did it. */
export function actor(a: Act, o: OfficeWords): string {
	switch (a.actor.kind) {
		case "person":
			return a.actor.name ?? a.actor.id
		case "key":
			return `${o.key} ${a.actor.name ?? ""}`
		case "phone":
			return `${o.phone} ${a.actor.name ?? ""}`
	}
	return o.actors[a.actor.id] ?? a.actor.id
}

/** tell says an act. */
export function tell(a: Act, o: OfficeWords, w: Words): Told {
	const data = a.data as Record<string, unknown>
	const text = (name: string) => (typeof data[name] === "string" ? (data[name] as string) : "")
	const own = a.actor.id === a.subject.id
	const who = actor(a, o)
	const self = own ? o.self[a.type] : undefined
	if (self) return { who, did: self, more: "" }
	const event = w.events[a.type]
	const did = o.acts[a.type] ?? o.didOther(event ?? plain(a.type.replace(".", " ")))
	return { who, did, ...subject(a, o, data), more: more(a, o, w, text) }
}

// subject is what it was done to, with a link where that has a page.
function subject(a: Act, o: OfficeWords, data: Record<string, unknown>): { what?: string; href?: string } {
	const kind = a.subject.kind
	if (kind === "setting") return {}
	if (kind === "job") return { what: o.jobNames[String(data.job)] ?? String(data.job), href: "#/jobs" }
	if (kind === "import") return { what: data.what === "demand" ? o.demand : o.stores }
	const store = typeof data.store_id === "string" ? data.store_id : ""
	if ((kind === "prestock" || kind === "exception") && store) return { what: store, href: `#/store/${store}` }
	const name = a.subject.name ?? (kind === "order" ? `…${a.subject.id.slice(-6)}` : "")
	const href = links[kind]?.(a.subject.id)
	return { what: name || a.subject.id, ...(href && { href }) }
}

function more(a: Act, o: OfficeWords, w: Words, text: (name: string) => string): string {
	const data = a.data as {
		fields?: unknown
		version?: number
		enabled?: boolean
		lead_hours?: number
		cover_days?: number
	}
	const n = (name: string) => String((a.data as Record<string, unknown>)[name] ?? 0)
	const fields = Array.isArray(data.fields)
		? (data.fields as string[]).map(f => o.fields[f] ?? plain(f)).join(", ")
		: ""
	switch (a.type) {
		case "account.created":
		case "key.created":
			return o.roles[text("role")] ?? ""
		case "account.role_changed":
			return o.toRole(o.roles[text("role")] ?? text("role"))
		case "merchant.policy_changed":
			return [o.version(data.version ?? 0), fields].filter(Boolean).join(": ")
		case "store.updated":
			return fields
		case "setting.changed":
			return [
				data.enabled ? o.switched.on : o.switched.off,
				`${o.leadHours} ${data.lead_hours}`,
				`${o.coverDays} ${data.cover_days}`,
			].join(", ")
		case "import.finished":
			return o.inNumbers(n("created"), n("updated"), n("failed"))
	}
	const reason = text("reason")
	return reason ? (w.reasons[reason] ?? plain(reason)) : ""
}
