// The map's arithmetic: cells as polygons on a flat page, and numbers as one of a few colours.

import type { components } from "../api/contract"

export type Cell = components["schemas"]["Cell"]
export type Measure = "free_capacity" | "open_orders" | "unassignable_orders" | "expected_demand" | "stores"
export const measures: Measure[] = ["open_orders", "free_capacity", "unassignable_orders", "expected_demand", "stores"]

/** Box is x, y, width, height of the page, in Web Mercator units of 1e-6 turns. */
export type Box = [number, number, number, number]

/** project is Web Mercator: x and y in millionths of the earth's width, y downwards. */
export function project(p: { lat: number; lng: number }): [number, number] {
	const s = Math.sin((p.lat * Math.PI) / 180)
	return [(p.lng / 360 + 0.5) * 1e6, (0.5 - Math.log((1 + s) / (1 - s)) / (4 * Math.PI)) * 1e6]
}

/** ring is a cell as the points of an SVG polygon. One that crosses the antimeridian stays in one piece. */
export function ring(c: Cell): string {
	const [x0] = project(c.center)
	return c.ring
		.map(project)
		.map(([x, y]) => `${round(x - x0 > 5e5 ? x - 1e6 : x - x0 < -5e5 ? x + 1e6 : x)},${round(y)}`)
		.join(" ")
}

const round = (v: number) => Math.round(v * 100) / 100

/** around is the smallest box that holds all cells, with some room. */
export function around(cells: Cell[]): Box {
	if (cells.length === 0) return [0, 0, 1, 1]
	let [w, n, e, s] = [Infinity, Infinity, -Infinity, -Infinity]
	for (const c of cells) {
		for (const p of c.ring) {
			const [x, y] = project(p)
			w = Math.min(w, x)
			e = Math.max(e, x)
			n = Math.min(n, y)
			s = Math.max(s, y)
		}
	}
	const room = Math.max(e - w, s - n) * 0.04
	return [w - room, n - room, e - w + 2 * room, s - n + 2 * room]
}

/** zoomed is box made smaller (by < 1) or larger around a place in it. */
export function zoomed([x, y, w, h]: Box, by: number, at: { x: number; y: number }): Box {
	return [at.x - (at.x - x) * by, at.y - (at.y - y) * by, w * by, h * by]
}

/** limits are the upper ends of at most 5 classes with about as many cells each; zeros stand apart. */
export function limits(values: number[]): number[] {
	const some = values.filter(v => v > 0).sort((a, b) => a - b)
	if (some.length === 0) return []
	const ends = [0.2, 0.4, 0.6, 0.8, 1].map(q => some[Math.ceil(q * some.length) - 1]!)
	return [...new Set(ends)]
}

/** step is the class of a value: 0 for nothing, then 1 up to 5, the last class always the darkest. */
export function step(value: number, ends: number[]): number {
	if (value <= 0) return 0
	const i = ends.findIndex(end => value <= end)
	return 5 - (ends.length - 1 - (i < 0 ? ends.length - 1 : i))
}
