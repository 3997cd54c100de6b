// The map's arithmetic: which cells are asked for, what stands in their colours, and where the network lies.

import type { components } from "../api/contract"

export type Cells = components["schemas"]["Cells"]
export type Points = components["schemas"]["MapPoints"]
export const measures = [
	"open_orders",
	"unassignable_orders",
	"overdue_orders",
	"free_capacity",
	"expected_demand",
	"shortage",
	"stores",
] as const
export type Measure = (typeof measures)[number]
export const figures = [...measures, "open_stores"] as const

/** planned are the figures that plans tell; they are made for cells of PLAN_RES, and say nothing of finer ones. */
export const planned: readonly string[] = ["expected_demand", "shortage"]
export const PLAN_RES = 7
export const tells = (c: Cells, figure: string) => c.resolution <= PLAN_RES || !planned.includes(figure)

/** Box is west, south, east, north in degrees; east may go beyond 180, never below west. */
export type Box = readonly [number, number, number, number]
export type View = { lng: number; lat: number; zoom: number }

/** STEPS are the colours of a measure, by light and by dark: nothing, then five classes. Each is further
 * from the page than the one before, so that they keep their order for those who see no colours. */
export const STEPS = {
	light: ["#eadfce", "#f2c17d", "#ea9d54", "#cc6a2a", "#983c14", "#5a1a06"],
	dark: ["#37303f", "#6a4430", "#955431", "#c8763c", "#efa964", "#ffe3b5"],
} as const

/** limits are the upper ends of at most 5 classes with about as many cells each; zeros stand apart. */
export function limits(values: readonly number[]): number[] {
	const some = values.filter(v => v > 0).sort((a, b) => a - b)
	if (some.length === 0) return []
	const ends = [0.2, 0.4, 0.6, 0.8, 1].map(q => some[Math.ceil(q * some.length) - 1]!)
	return [...new Set(ends)]
}

/** step is the class of a value: 0 for nothing, then 1 up to 5, the last class always the strongest. */
export function step(value: number, ends: readonly number[]): number {
	if (value <= 0) return 0
	const i = ends.findIndex(end => value <= end)
	return 5 - (ends.length - 1 - (i < 0 ? ends.length - 1 : i))
}

/** shapes is what the map draws: a polygon for each cell, its number as id and its class beside it. */
export function shapes(c: Cells, classes: readonly number[]) {
	return {
		type: "FeatureCollection" as const,
		features: (c.rings ?? []).map((ring, id) => ({
			type: "Feature" as const,
			id,
			properties: { q: classes[id] },
			geometry: { type: "Polygon" as const, coordinates: [corners(ring)] },
		})),
	}
}

/** corners are a ring as pairs, closed. */
export function corners(ring: readonly number[]): [number, number][] {
	const out: [number, number][] = []
	for (let i = 0; i + 1 < ring.length; i += 2) out.push([ring[i]!, ring[i + 1]!])
	return [...out, out[0]!]
}

/** middle is about the centre of a ring. */
export function middle(ring: readonly number[]): [number, number] {
	let [x, y] = [0, 0]
	for (let i = 0; i + 1 < ring.length; i += 2) {
		x += ring[i]!
		y += ring[i + 1]!
	}
	return [(2 * x) / ring.length, (2 * y) / ring.length]
}

/** around is the smallest box with all cells. It may cross the antimeridian: its west lies behind the widest gap. */
export function around(c: Cells): Box | undefined {
	const rings = c.rings ?? []
	if (rings.length === 0) return undefined
	const lats = rings.flatMap(ring => ring.filter((_, i) => i % 2 === 1))
	const spans = rings
		.map(ring => ring.filter((_, i) => i % 2 === 0))
		.map(lngs => [Math.min(...lngs), Math.max(...lngs)] as const)
		.sort((a, b) => a[0] - b[0])
	let [west, east] = spans[0]!
	let gap = { width: -Infinity, west, east }
	for (const [w, e] of spans) {
		if (w - east > gap.width) gap = { width: w - east, west: w, east }
		east = Math.max(east, e)
	}
	const across = west + 360 - east
	if (across < gap.width) [west, east] = [gap.west, gap.east + 360]
	const [south, north] = lats.reduce(([s, n], v) => [Math.min(s, v), Math.max(n, v)], [90, -90])
	return [west, south, east, north]
}

/** wider is a box with a quarter more on each side: what is asked for, so that a small step asks nothing. */
export function wider([w, s, e, n]: Box): Box {
	const [x, y] = [(e - w) / 4, (n - s) / 4]
	return [w - x, Math.max(-90, s - y), e + x, Math.min(90, n + y)]
}

/** holds is whether the inner box lies in the outer one. */
export function holds(outer: Box, inner: Box): boolean {
	return outer[0] <= inner[0] && outer[1] <= inner[1] && outer[2] >= inner[2] && outer[3] >= inner[3]
}

/** serves is whether what was asked for one box still tells of what is seen now: all of it, and not much else. */
export const serves = (asked: Box, seen: Box) => holds(asked, seen) && asked[2] - asked[0] <= 4 * (seen[2] - seen[0])

/** bbox is a box as the server reads it: longitudes from -180 to 180, west above east across the antimeridian. */
export function bbox([w, s, e, n]: Box): string {
	const turn = (lng: number) => ((((lng + 180) % 360) + 360) % 360) - 180
	const [west, east] = e - w >= 360 ? [-180, 180] : [turn(w), turn(e)]
	return [west, s, east, n].map(v => v.toFixed(5)).join()
}

const EDGE_M = 1_281_256 // of a cell of resolution 0, on average
const WIDTH_M = 40_075_017 // of the earth, which at zoom 0 is one tile of 512 px

/** fineness is the resolution whose cells are about px wide from the middle to a corner. */
export function fineness(view: View, px = 20): number {
	const metres = (px * WIDTH_M * Math.cos((view.lat * Math.PI) / 180)) / (512 * 2 ** view.zoom)
	return Math.max(1, Math.min(9, Math.round(Math.log(EDGE_M / metres) / Math.log(Math.sqrt(7)))))
}

/** Wish is what a dispatcher wants to see; it stands in the address, so that one can go back to it. */
export type Wish = {
	view: View | undefined
	measure: Measure
	/** resolution is the cells' size; 0 leaves it to the zoom. */
	resolution: number
	stores: "all" | "open" | "none"
	orders: "open" | "unassignable" | "overdue" | "none"
}

export const storeChoices = ["all", "open", "none"] as const
export const orderChoices = ["open", "unassignable", "overdue", "none"] as const

/** wish reads an address like #/map/open_orders/0/all/open/11.2/-1.2921/36.7856. */
export function wish(hash: string): Wish {
	const [, measure, resolution, stores, orders, zoom, lat, lng] = hash.replace(/^#\/?/, "").split("/")
	const one = <T extends string>(list: readonly T[], v: string | undefined) => list.find(x => x === v) ?? list[0]!
	const view = { zoom: Number(zoom), lat: Number(lat), lng: Number(lng) }
	const fits = lng && view.zoom >= 0 && view.zoom <= 22 && Math.abs(view.lat) <= 85 && Math.abs(view.lng) <= 540
	const res = Number(resolution)
	return {
		measure: one(measures, measure),
		resolution: Number.isInteger(res) && res >= 1 && res <= 9 ? res : 0,
		stores: one(storeChoices, stores),
		orders: one(orderChoices, orders),
		view: fits ? view : undefined,
	}
}

/** address is wish the other way. */
export function address(w: Wish): string {
	const v = w.view
	const where = v ? `/${v.zoom.toFixed(2)}/${v.lat.toFixed(5)}/${v.lng.toFixed(5)}` : ""
	return `#/map/${w.measure}/${w.resolution}/${w.stores}/${w.orders}${where}`
}

/** most are the numbers of the cells with most (or, upwards, least) of something, those with none left out. */
export function most(c: Cells, by: (typeof figures)[number], upwards: boolean, n: number): number[] {
	const v = c[by]
	const some = c.h3_cells.map((_, i) => i).filter(i => v[i]! > 0)
	return some.sort((a, b) => (upwards ? v[a]! - v[b]! : v[b]! - v[a]!) || a - b).slice(0, n)
}

export const total = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0)

/** above is the cell of a coarser resolution that a cell belongs to; itself where it is no finer. Of an H3
 * index, bits 52 to 55 are the resolution, and below are three bits for each resolution, all ones when unused. */
export function above(cell: string, resolution: number): string {
	const index = BigInt(`0x${cell}`)
	if (Number((index >> 52n) & 15n) <= resolution) return cell
	const up = (index & ~(15n << 52n)) | (BigInt(resolution) << 52n) | ((1n << BigInt(3 * (15 - resolution))) - 1n)
	return up.toString(16)
}

/** called is a cell's index without the digits that say nothing. */
export const called = (cell: string) => cell.replace(/f+$/, "")

/** dots are points as the map draws them. */
export function dots<T extends { id: string; location: { lat: number; lng: number } }>(
	points: readonly T[],
	tell: (p: T) => Record<string, string | number | boolean>,
) {
	return {
		type: "FeatureCollection" as const,
		features: points.map(p => ({
			type: "Feature" as const,
			properties: { ...tell(p), id: p.id },
			geometry: { type: "Point" as const, coordinates: [p.location.lng, p.location.lat] },
		})),
	}
}
