// A list that is read page by page, of which rows can be chosen. What the stream tells of a row on the screen
// has that row read again; what is new comes with the next look.

import { desk } from "./desk.svelte"
import { ticked } from "./narrow"
import { get, why } from "./net"

const PAGE = 50
const SOON_MS = 300

export class Listing<T extends { id: string }> {
	rows = $state.raw<T[]>([])
	more = $state.raw(false)
	loading = $state.raw(true)
	problem = $state.raw("")
	chosen = $state.raw<ReadonlySet<string>>(new Set())
	#path = ""
	#cursor = ""
	#asked = 0
	#last = ""
	#stops: (() => void)[] = []

	constructor(private readonly one: string) {}

	/** read begins the list anew; whatever an older question answers is not shown any more. */
	async read(path: string) {
		this.#path = path
		this.#cursor = ""
		await this.#page(true)
	}

	/** show has rows that were found otherwise. */
	async show(ids: string[]) {
		const asked = ++this.#asked
		this.loading = true
		this.problem = ""
		const rows = await Promise.all(ids.map(id => get<T>(`${this.one}/${id}`).catch(() => undefined)))
		if (asked !== this.#asked) return
		this.more = false
		this.#take(rows.filter(row => row !== undefined) as T[])
		this.loading = false
	}

	async next() {
		if (this.more && !this.loading) await this.#page(false)
	}

	async #page(first: boolean) {
		const asked = ++this.#asked
		this.loading = true
		this.problem = ""
		try {
			const sign = this.#path.includes("?") ? "&" : "?"
			const cursor = this.#cursor ? `&cursor=${encodeURIComponent(this.#cursor)}` : ""
			const page = await get<{ data: T[]; next_cursor: string | null; has_more: boolean }>(
				`${this.#path}${sign}limit=${PAGE}${cursor}`,
			)
			if (asked !== this.#asked) return
			this.#cursor = page.next_cursor ?? ""
			this.more = page.has_more
			this.#take(first ? page.data : [...this.rows, ...page.data])
		} catch (e) {
			if (asked !== this.#asked) return
			if (first) this.#take([])
			this.problem = why(e, desk.w.unreachable)
		}
		this.loading = false
	}

	#take(rows: T[]) {
		this.rows = rows
		const there = new Set(rows.map(row => row.id))
		this.chosen = new Set([...this.chosen].filter(id => there.has(id)))
		this.#unwatch()
		this.#stops = rows.map(({ id }) => {
			let soon: ReturnType<typeof setTimeout> | undefined
			const stop = desk.watch(id, () => {
				clearTimeout(soon)
				soon = setTimeout(
					() =>
						void get<T>(`${this.one}/${id}`).then(
							row => this.put(row),
							() => {},
						),
					SOON_MS,
				)
			})
			return () => {
				clearTimeout(soon)
				stop()
			}
		})
	}

	/** put shows a row as it is now. */
	put(row: T) {
		this.rows = this.rows.map(r => (r.id === row.id ? row : r))
	}

	/** leave ends the watching; what is still on its way is for nobody. */
	leave() {
		this.#asked++
		this.#unwatch()
	}

	#unwatch() {
		for (const stop of this.#stops) stop()
		this.#stops = []
	}

	/** tick chooses a row or leaves it out; through does so with all from the last one that was ticked. */
	tick(id: string, through: boolean) {
		this.chosen = ticked(
			this.rows.map(row => row.id),
			this.chosen,
			id,
			through ? this.#last : "",
		)
		this.#last = id
	}

	all() {
		this.chosen = new Set(this.rows.map(row => row.id))
	}

	none() {
		this.chosen = new Set()
	}
}
