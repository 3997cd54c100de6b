// The screens that are not the first, by the name that stands in their address.

import type { Component } from "svelte"
import css from "./later.css?url"
import Counter from "./screens/Counter.svelte"
import Door from "./screens/Door.svelte"
import Inbox from "./screens/Inbox.svelte"
import Shelf from "./screens/Shelf.svelte"
import Shop from "./screens/Shop.svelte"
import Waiting from "./screens/Waiting.svelte"
import { en } from "./words"
import { later } from "./words.later"

export { default as AskPush } from "./screens/AskPush.svelte"
export { default as Others } from "./screens/Others.svelte"

Object.assign(en, later)
// Dressed before they are shown; without a style sheet they can be used all the same.
await new Promise(resolve => {
	const sheet = document.createElement("link")
	sheet.rel = "stylesheet"
	sheet.href = css
	sheet.onload = sheet.onerror = resolve
	document.head.append(sheet)
})

export const screens: Record<string, Component<{ id: string }> | Component | undefined> = {
	counter: Counter,
	door: Door,
	inbox: Inbox,
	shelf: Shelf,
	shop: Shop,
	waiting: Waiting,
}
