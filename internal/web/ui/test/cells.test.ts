import { expect, test } from "vitest"
import {
	above,
	address,
	around,
	bbox,
	type Cells,
	corners,
	fineness,
	holds,
	limits,
	middle,
	most,
	STEPS,
	serves,
	shapes,
	step,
	wider,
	wish,
} from "../src/dispatch/cells"

const square = (lat: number, lng: number, r = 1) => [
	lng - r,
	lat - r,
	lng + r,
	lat - r,
	lng + r,
	lat + r,
	lng - r,
	lat + r,
]
const cells = (rings: number[][], more: Partial<Cells> = {}) =>
	({ h3_cells: rings.map((_, i) => `87${i}ffff`), rings, open_orders: rings.map((_, i) => i), ...more }) as Cells

test("a cell is drawn as a closed ring, with its class beside it", () => {
	const drawn = shapes(cells([square(0, 10), square(5, 179.5)]), [0, 3])
	expect(drawn.features.map(f => [f.id, f.properties.q])).toEqual([
		[0, 0],
		[1, 3],
	])
	expect(drawn.features[1]!.geometry.coordinates[0]).toHaveLength(5)
	expect(corners(square(0, 10)).at(0)).toEqual(corners(square(0, 10)).at(-1))
	expect(middle(square(5, 179.5))).toEqual([179.5, 5])
})

test("the page holds every cell, also across the antimeridian", () => {
	expect(around(cells([]))).toBeUndefined()
	expect(around(cells([square(0, 10), square(10, 30), square(-20, 20)]))).toEqual([9, -21, 31, 11])
	expect(around(cells([square(-17, 178), square(-18, -179)]))).toEqual([177, -19, 182, -16])
	expect(around(cells([square(-17, -100), square(-18, 100)]))).toEqual([99, -19, 261, -16])
})

test("more is asked for than is seen, as the server reads it", () => {
	expect(wider([10, 0, 14, 4])).toEqual([9, -1, 15, 5])
	expect(wider([-180, -85, 180, 89])[3]).toBe(90)
	expect(holds(wider([10, 0, 14, 4]), [10.5, 0, 14.5, 4])).toBe(true)
	expect(holds(wider([10, 0, 14, 4]), [12, 0, 16, 4])).toBe(false)
	expect(serves(wider([10, 0, 14, 4]), [10.5, 0, 14.5, 4])).toBe(true)
	expect(serves(wider([10, 0, 14, 4]), [11, 1, 12, 2])).toBe(false)
	expect(bbox([9, -1, 15, 5])).toBe("9.00000,-1.00000,15.00000,5.00000")
	expect(bbox([177, -19, 182, -16])).toBe("177.00000,-19.00000,-178.00000,-16.00000")
	expect(bbox([-200, -80, 300, 80])).toBe("-180.00000,-80.00000,180.00000,80.00000")
})

test("the nearer one looks, the finer the cells", () => {
	const at = (zoom: number) => fineness({ lat: 0, lng: 36, zoom })
	expect([0, 4, 8, 11, 13, 18].map(at)).toEqual([1, 3, 5, 8, 9, 9])
	for (let z = 1; z < 20; z++) expect(at(z)).toBeGreaterThanOrEqual(at(z - 1))
})

test("zeros stand apart, and the strongest class is the last", () => {
	const ends = limits([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
	expect(ends).toEqual([2, 4, 6, 8, 10])
	expect([0, 1, 2, 3, 9, 10, 11].map(v => step(v, ends))).toEqual([0, 1, 1, 2, 5, 5, 5])
	expect(limits([0, 0])).toEqual([])
	expect(limits([3, 3])).toEqual([3])
	expect(step(3, [3])).toBe(5)
})

const light = (hex: string) => {
	const [r, g, b] = [1, 3, 5]
		.map(i => Number.parseInt(hex.slice(i, i + 2), 16) / 255)
		.map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
	return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!
}

test("the colours keep their order for those who see none", () => {
	for (const [page, steps] of [
		["#fffdf9", STEPS.light],
		["#25202d", STEPS.dark],
	] as const) {
		const contrast = steps.map(s => (Math.max(light(s), light(page)) + 0.05) / (Math.min(light(s), light(page)) + 0.05))
		for (let i = 1; i < contrast.length; i++) expect(contrast[i]! / contrast[i - 1]!).toBeGreaterThan(1.12)
	}
})

test("what one looks at stands in the address, and an odd address shows the usual", () => {
	const w = {
		measure: "shortage",
		resolution: 8,
		stores: "open",
		orders: "overdue",
		view: { zoom: 11.25, lat: -1.2921, lng: 36.7856 },
	} as const
	expect(wish(address(w))).toEqual(w)
	expect(wish(address({ ...w, view: undefined }))).toEqual({ ...w, view: undefined })
	const usual = { measure: "open_orders", resolution: 0, stores: "all", orders: "open", view: undefined }
	expect(wish("#/map")).toEqual(usual)
	expect(wish("#/map/money/77/some/none/99/1/1")).toEqual({ ...usual, orders: "none" })
	expect(wish("#/map/stores/0/all/open/3/nowhere/1").view).toBeUndefined()
})

test("the list begins with the most, or with the least that is not nothing", () => {
	const c = cells(
		[0, 1, 2, 3].map(i => square(0, i)),
		{ open_orders: [5, 0, 9, 5] } as Partial<Cells>,
	)
	expect(most(c, "open_orders", false, 9)).toEqual([2, 0, 3])
	expect(most(c, "open_orders", true, 2)).toEqual([0, 3])
})

test("a cell is found among coarser ones", () => {
	expect(above("897a6e42c53ffff", 7)).toBe("877a6e42cffffff")
	expect(above("877a6e42cffffff", 7)).toBe("877a6e42cffffff")
	expect(above("877a6e42cffffff", 9)).toBe("877a6e42cffffff")
	expect(above("897a6e42c53ffff", 0)).toBe("807bfffffffffff")
})
