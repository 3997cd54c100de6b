// Who did something, as people say it.

import { desk } from "./desk.svelte"
import { nameOf } from "./people.svelte"

/** actorName is who an event says did it; a store's phone and a key are named by the store already. "" for
 * nobody worth naming. */
export function actorName(actor = ""): string {
	if (actor === `user:${desk.me?.account_id}`) return desk.me?.name ?? ""
	if (actor.startsWith("user:")) return nameOf(actor) ?? desk.w.colleague
	return desk.w.who[actor as keyof typeof desk.w.who] ?? ""
}
