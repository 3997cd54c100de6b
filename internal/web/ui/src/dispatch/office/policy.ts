// A merchant's policy: its fields, and what differs between two of them.

import type { Policy } from "../net"

/** groups are the fields in the order in which people think of them. */
export const groups = {
	proof: ["minimum_evidence_grade", "fence_m", "photo", "pin", "name"],
	visits: ["max_attempts", "minimum_wait_s", "calls_before_leaving"],
	keeping: ["hold_days", "hold_extensions", "hold_extension_days", "retention_days", "return_to"],
} as const

export type Field = (typeof groups)[keyof typeof groups][number]

/** bounds are of the fields that are numbers. */
export const bounds: Partial<Record<Field, [number, number]>> = {
	fence_m: [20, 1000],
	minimum_wait_s: [0, 3600],
	calls_before_leaving: [0, 5],
	max_attempts: [1, 10],
	hold_days: [1, 60],
	hold_extensions: [0, 5],
	hold_extension_days: [1, 30],
	retention_days: [0, 3650],
}

/** usual is a policy that nobody has set, for the first version to differ from. */
export const usual: Pick<Policy, Field> = {
	minimum_evidence_grade: "D",
	fence_m: 150,
	minimum_wait_s: 0,
	calls_before_leaving: 0,
	photo: "wanted",
	pin: "off",
	name: "off",
	max_attempts: 3,
	hold_days: 7,
	hold_extensions: 1,
	hold_extension_days: 3,
	return_to: null,
	retention_days: 0,
}

export type Draft = Pick<Policy, Field>

const place = (p: Draft["return_to"]) => (p ? `${p.lat},${p.lng}` : "")

/** differing are the fields in which two policies differ. */
export function differing(a: Draft, b: Draft): Field[] {
	return Object.values(groups)
		.flat()
		.filter(f => (f === "return_to" ? place(a.return_to) !== place(b.return_to) : a[f] !== b[f]))
}

/** draftOf is what of a policy can be set. */
export function draftOf(p: Draft): Draft {
	const fields = Object.values(groups).flat()
	return Object.fromEntries(fields.map(f => [f, p[f]])) as Draft
}

/** body is a draft as it is sent: without a place to return to, none is named. */
export function body(d: Draft): object {
	const { return_to, ...rest } = d
	return return_to ? { ...rest, return_to } : rest
}
