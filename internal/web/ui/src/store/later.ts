// The screens that are not the first, by the name that stands in their address.

import type { Component } from "svelte"
import Counter from "./screens/Counter.svelte"
import Door from "./screens/Door.svelte"
import Inbox from "./screens/Inbox.svelte"
import Shelf from "./screens/Shelf.svelte"
import Shop from "./screens/Shop.svelte"
import Waiting from "./screens/Waiting.svelte"
import { en } from "./words"
import { later } from "./words.later"

Object.assign(en, later)

export const screens: Record<string, Component<{ id: string }> | Component | undefined> = {
	counter: Counter,
	door: Door,
	inbox: Inbox,
	shelf: Shelf,
	shop: Shop,
	waiting: Waiting,
}
