// What the phone keeps: a few values by name, the queue of what is still to be sent, and its photos.
// All of it is in IndexedDB, which page and service worker share and which outlives both.

const NAME = "doorstep-store"
const VERSION = 1

let opened: Promise<IDBDatabase> | undefined

function open(): Promise<IDBDatabase> {
	opened ??= new Promise((resolve, reject) => {
		const request = indexedDB.open(NAME, VERSION)
		request.onupgradeneeded = () => {
			const db = request.result
			db.createObjectStore("values")
			db.createObjectStore("outbox", { keyPath: "n", autoIncrement: true })
			db.createObjectStore("photos")
		}
		request.onsuccess = () => {
			// A newer version of the app in another tab must not wait for this one.
			request.result.onversionchange = () => {
				request.result.close()
				opened = undefined
			}
			resolve(request.result)
		}
		request.onerror = () => {
			opened = undefined
			reject(request.error)
		}
	})
	return opened
}

type Table = "values" | "outbox" | "photos"

/**
 * change runs f on the tables named in one transaction and answers f's result once it is durable:
 * all of it is kept, or nothing. f must ask for everything at once, without waiting in between.
 */
export async function change<T>(
	tables: Table[],
	f: (table: (name: Table) => IDBObjectStore) => IDBRequest<T> | undefined,
) {
	const db = await open()
	return new Promise<T | undefined>((resolve, reject) => {
		// Safari and Chromium may else answer before the data is on the disk.
		const tx = db.transaction(tables, "readwrite", { durability: "strict" })
		let request: IDBRequest<T> | undefined
		tx.oncomplete = () => resolve(request?.result)
		tx.onabort = () => reject(tx.error ?? new DOMException("aborted", "AbortError"))
		try {
			request = f(name => tx.objectStore(name))
		} catch (error) {
			tx.abort()
			reject(error)
		}
	})
}

async function read<T>(table: Table, f: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
	const db = await open()
	return new Promise((resolve, reject) => {
		const request = f(db.transaction(table).objectStore(table))
		request.onsuccess = () => resolve(request.result)
		request.onerror = () => reject(request.error)
	})
}

/** recall answers the value kept under name, or undefined. */
export const recall = <T>(name: string) => read<T | undefined>("values", store => store.get(name))

/** keep keeps a value under name; undefined forgets it. */
export const keep = (name: string, value: unknown) =>
	change(["values"], table => {
		if (value === undefined) table("values").delete(name)
		else table("values").put(value, name)
		return undefined
	})

/** all answers the rows of the queue in the order in which they came. */
export const all = <T>() => read<T[]>("outbox", store => store.getAll())

/** snapshot answers the queue and the values named as they were at one moment. */
export async function snapshot<R>(...names: string[]): Promise<{ queue: R[]; values: unknown[] }> {
	const db = await open()
	return new Promise((resolve, reject) => {
		const tx = db.transaction(["values", "outbox"])
		const queue = tx.objectStore("outbox").getAll()
		const values = names.map(name => tx.objectStore("values").get(name))
		tx.oncomplete = () => resolve({ queue: queue.result, values: values.map(v => v.result) })
		tx.onabort = () => reject(tx.error)
	})
}

/** photo answers a photo that was taken, or undefined. */
export const photo = (id: string) => read<Kept | undefined>("photos", store => store.get(id))

/** Kept is a photo on the phone; sha256 once the server has it. */
export type Kept = { jpeg: Blob; sha256?: string; at: string }

/** forgetEverything empties the phone, as if the app had never been used. */
export const forgetEverything = () =>
	change(["values", "outbox", "photos"], table => {
		table("values").clear()
		table("outbox").clear()
		table("photos").clear()
		return undefined
	})
