// The picture of the map: MapLibre with what the server told, and nothing from anywhere else; no tiles, no
// fonts, no pictures. It is fetched when somebody opens the map.

import type { FeatureCollection } from "geojson"
import { type GeoJSONSource, Map as Picture, setWorkerUrl } from "maplibre-gl"
import worker from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url"
import type { Box, STEPS, View } from "./cells"

setWorkerUrl(worker)

type Shapes = FeatureCollection
const nothing: Shapes = { type: "FeatureCollection", features: [] }

const crowded = { type: "geojson" as const, data: nothing, cluster: true, clusterMaxZoom: 11 }

/** TINY is how many cells are so small that an edge around each would leave little of them. */
const TINY = 5000

export type Looks = {
	steps: (typeof STEPS)["light" | "dark"]
	page: string
	ink: string
	store: string
	shut: string
	order: string
	bad: string
}

/** Told is what the dispatcher does with the picture. */
export type Told = {
	moved(view: View, box: Box, byHand: boolean): void
	chose(what: { cell?: number; store?: string; order?: string }): void
	/** drawn is called whenever the picture shows all that it was given. */
	drawn(): void
}

/** canDraw is whether this browser can: MapLibre needs WebGL 2. */
export function canDraw(): boolean {
	return !!document.createElement("canvas").getContext("webgl2")
}

export class CellMap {
	#map: Picture
	#classes: number[] = []
	#ready: Promise<void>

	constructor(container: HTMLElement, title: string, look: Looks, start: { view?: View; box?: Box }, told: Told) {
		const still = matchMedia("(prefers-reduced-motion: reduce)").matches
		this.#map = new Picture({
			container,
			attributionControl: false,
			dragRotate: false,
			pitchWithRotate: false,
			touchPitch: false,
			fadeDuration: 0,
			maxZoom: 18,
			locale: { "Map.Title": title },
			...(start.view
				? { center: [start.view.lng, start.view.lat] as [number, number], zoom: start.view.zoom }
				: {
						bounds: (start.box ?? [-170, -60, 170, 75]) as [number, number, number, number],
						fitBoundsOptions: { padding: 24, maxZoom: 13 },
					}),
			style: {
				version: 8,
				sources: {
					cells: { type: "geojson", data: nothing, tolerance: 0 },
					chosen: { type: "geojson", data: nothing },
					// Several in one are open when one is, and in trouble when one is.
					stores: { ...crowded, clusterRadius: 18, clusterProperties: { open: ["any", ["get", "open"]] } },
					orders: { ...crowded, clusterRadius: 14, clusterProperties: { bad: ["any", ["get", "bad"]] } },
				},
				layers: [
					{ id: "page", type: "background", paint: { "background-color": look.page } },
					{ id: "cells", type: "fill", source: "cells" },
					{ id: "stores", type: "circle", source: "stores" },
					{
						id: "orders",
						type: "circle",
						source: "orders",
						layout: { "circle-sort-key": ["to-number", ["get", "bad"]] },
					},
					{ id: "chosen", type: "line", source: "chosen", paint: { "line-width": 3 } },
				],
			},
		})
		this.#map.touchZoomRotate.disableRotation()
		this.#map.keyboard.disableRotation()
		this.#ready = new Promise(resolve => this.#map.once("load", () => resolve()))
		this.look(look)
		const tell = (byHand: boolean) => told.moved(this.view, this.box, byHand)
		void this.#ready.then(() => tell(false))
		this.#map.on("moveend", e => tell("originalEvent" in e && !!e.originalEvent))
		this.#map.on("idle", () => told.drawn())
		this.#map.on("click", e => {
			const found = this.#map.queryRenderedFeatures(e.point, { layers: ["orders", "stores", "cells"] })
			const point = found.find(f => f.source !== "cells")
			if (point?.properties.cluster) {
				this.#map.easeTo({ center: e.lngLat, zoom: this.#map.getZoom() + 2, animate: !still })
				return
			}
			const cell = found.find(f => f.source === "cells")?.id
			told.chose({
				...(cell === undefined ? {} : { cell: Number(cell) }),
				...(point ? { [point.source === "stores" ? "store" : "order"]: String(point.properties.id) } : {}),
			})
		})
	}

	get view(): View {
		const { lng, lat } = this.#map.getCenter()
		return { lng, lat, zoom: this.#map.getZoom() }
	}

	get box(): Box {
		const b = this.#map.getBounds()
		return [b.getWest(), b.getSouth(), b.getEast(), b.getNorth()]
	}

	/** look gives everything its colours, by light or by dark. */
	look(look: Looks) {
		const paint = () => {
			const m = this.#map
			const [zero, ...some] = look.steps
			const q = ["coalesce", ["feature-state", "q"], ["get", "q"], 0] as never
			m.setPaintProperty("page", "background-color", look.page)
			m.setPaintProperty("cells", "fill-color", ["match", q, ...some.flatMap((c, i) => [i + 1, c]), zero] as never)
			m.setPaintProperty("cells", "fill-outline-color", look.page)
			m.setPaintProperty("chosen", "line-color", look.ink)
			m.setPaintProperty("stores", "circle-color", ["case", ["==", ["get", "open"], false], look.shut, look.store])
			m.setPaintProperty("stores", "circle-radius", grows(4.5))
			m.setPaintProperty("stores", "circle-stroke-color", look.page)
			m.setPaintProperty("stores", "circle-stroke-width", 1)
			// What no store takes, or is late, is larger and ringed, not only another colour.
			m.setPaintProperty("orders", "circle-color", ["case", ["==", ["get", "bad"], true], look.bad, look.order])
			m.setPaintProperty("orders", "circle-radius", grows(["case", ["==", ["get", "bad"], true], 4, 2.5]))
			m.setPaintProperty("orders", "circle-stroke-color", ["case", ["==", ["get", "bad"], true], look.ink, look.page])
			m.setPaintProperty("orders", "circle-stroke-width", ["case", ["==", ["get", "bad"], true], 2, 1])
		}
		void this.#ready.then(paint)
	}

	/** cells shows other cells; classes are those of their colours. */
	async cells(shapes: Shapes, classes: number[]) {
		await this.#ready
		this.#classes = classes
		this.#map.removeFeatureState({ source: "cells" })
		this.#map.setPaintProperty("cells", "fill-antialias", classes.length < TINY)
		this.#source("cells").setData(shapes)
	}

	/** recolour shows the same cells in other classes; only those that changed are touched. */
	async recolour(classes: number[]) {
		await this.#ready
		classes.forEach((q, id) => {
			if (q !== this.#classes[id]) this.#map.setFeatureState({ source: "cells", id }, { q })
		})
		this.#classes = classes
	}

	async points(kind: "stores" | "orders", shapes: Shapes) {
		await this.#ready
		this.#source(kind).setData(shapes)
	}

	async choose(ring: [number, number][] | undefined) {
		await this.#ready
		this.#source("chosen").setData(
			ring ? { type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: ring } } : nothing,
		)
	}

	go(to: { lng: number; lat: number; zoom?: number }) {
		this.#map.jumpTo({ center: [to.lng, to.lat], ...(to.zoom === undefined ? {} : { zoom: to.zoom }) })
	}

	fit(box: Box) {
		this.#map.fitBounds(box as [number, number, number, number], { padding: 24, maxZoom: 13, animate: false })
	}

	zoom(by: number) {
		this.#map.jumpTo({ zoom: this.#map.getZoom() + by })
	}

	remove() {
		this.#map.remove()
	}

	#source = (id: string) => this.#map.getSource(id) as GeoJSONSource
}

/** grows is a radius in px that is larger near, and larger for many points in one. */
const grows = (least: unknown) =>
	[
		"interpolate",
		["linear"],
		["zoom"],
		6,
		[
			"case",
			["has", "point_count"],
			["min", 8, ["+", 2, ["/", ["sqrt", ["get", "point_count"]], 2]]],
			["*", 0.7, least],
		],
		15,
		["case", ["has", "point_count"], 12, ["*", 2.4, least]],
	] as never
