import { expect, test } from "vitest"
import { around, type Cell, limits, ring, step, zoomed } from "../src/dispatch/cells"

const square = (lat: number, lng: number, r = 1) =>
	({
		center: { lat, lng },
		ring: [
			[-r, -r],
			[-r, r],
			[r, r],
			[r, -r],
		].map(([a, b]) => {
			const at = lng + b!
			return { lat: lat + a!, lng: at > 180 ? at - 360 : at < -180 ? at + 360 : at }
		}),
	}) as Cell

test("a cell across the antimeridian is drawn in one piece", () => {
	const xs = ring(square(0, 179.8))
		.split(" ")
		.map(p => Number(p.split(",")[0]))
	expect(Math.max(...xs) - Math.min(...xs)).toBeCloseTo((2 / 360) * 1e6, 0)
})

test("the page holds every cell, north above", () => {
	const cells = [square(10, 20), square(-10, 30)]
	const [x, y, w, h] = around(cells)
	for (const c of cells) {
		for (const p of ring(c).split(" ")) {
			const [px, py] = p.split(",").map(Number) as [number, number]
			expect(px > x && px < x + w && py > y && py < y + h).toBe(true)
		}
	}
	expect(Number(ring(cells[0]!).split(",")[1]!.split(" ")[0])).toBeLessThan(
		Number(ring(cells[1]!).split(",")[1]!.split(" ")[0]),
	)
})

test("zooming keeps the place under the pointer", () => {
	const [x, y, w, h] = zoomed([0, 0, 100, 50], 0.5, { x: 25, y: 25 })
	expect([(25 - x) / w, (25 - y) / h]).toEqual([0.25, 0.5])
})

test("colours rise with the number, nothing has its own, the most has the darkest", () => {
	const values = [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
	const ends = limits(values)
	const steps = values.map(v => step(v, ends))
	expect(steps).toEqual([...steps].sort((a, b) => a - b))
	expect([steps[0], steps.at(-1)]).toEqual([0, 5])
	expect(limits([0, 0])).toEqual([])
	expect(step(4, limits([4, 4, 4]))).toBe(5)
})
