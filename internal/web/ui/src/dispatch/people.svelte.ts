// The names of colleagues, learnt from who did what about the thing that is shown.

import type { components } from "../api/contract"
import { type Event, get } from "./net"

type Act = components["schemas"]["Act"]

let names = $state.raw<Record<string, string>>({})

/** nameOf is a colleague's name by what an event calls them, once it is known. */
export const nameOf = (actor: string): string | undefined => names[actor]

/** learnNames asks who the people in a story are, if one of them is not known yet. */
export async function learnNames(subject: string, events: Event[]) {
	if (!events.some(e => e.actor?.startsWith("user:") && !names[e.actor])) return
	try {
		const { data } = await get<{ data: Act[] }>(`/v1/acts?subject=${subject}&limit=200`)
		const found = data.filter(a => a.actor.kind === "person" && a.actor.name)
		names = { ...names, ...Object.fromEntries(found.map(a => [`user:${a.actor.id}`, a.actor.name as string])) }
	} catch {
		// They stay colleagues without a name.
	}
}
