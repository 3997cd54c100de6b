// Where the phone is, while a screen wants to know. The runner never waits for it: a tap takes the newest
// fix there is, if it is fresh.

import type { Fix } from "./door"

const FRESH_MS = 60_000

let newest: { fix: Fix; at: number } | undefined

/** watchPlace follows the phone until the answer is called. The first time, the browser asks the owner. */
export function watchPlace(): () => void {
	if (!("geolocation" in navigator)) return () => {}
	const id = navigator.geolocation.watchPosition(
		({ coords, timestamp }) => {
			newest = {
				fix: { lat: coords.latitude, lng: coords.longitude, accuracy_m: Math.round(coords.accuracy) },
				at: timestamp,
			}
		},
		() => {}, // not allowed, or not found: the evidence is worth less, and that is all
		{ enableHighAccuracy: true, maximumAge: 15_000 },
	)
	return () => navigator.geolocation.clearWatch(id)
}

/** fix is where the phone is now, if that is known. */
export const fix = (): Fix | undefined => (newest && Date.now() - newest.at < FRESH_MS ? newest.fix : undefined)
