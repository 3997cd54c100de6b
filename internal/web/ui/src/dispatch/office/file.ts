// A file of rows in the browser: cut into records as the server counts them, so that a part of it can be sent
// and the rows that were refused can be given back.

export type Outcome = "created" | "updated" | "unchanged" | "failed"
export type Row = { row: number; outcome: Outcome; external_id?: string; name?: string; fields?: string[] }
export type Mistake = { row: number; field: string; code: string; detail: string }

/** MAX_RECORD is how far the server reads for the end of a quoted field. */
const MAX_RECORD = 64 << 10

/** isLines is whether a file is NDJSON: by its name, else by its first character. */
export const isLines = (name: string, text: string) =>
	/\.(ndjson|jsonl|json)$/i.test(name) || (!/\.(csv|tsv|txt)$/i.test(name) && text.trimStart().startsWith("{"))

/** delimiter is the one of , ; and tab that a header has most of, outside quotes. */
export function delimiter(header: string): string {
	const bare = header.replace(/"[^"]*"/g, "")
	const count = (c: string) => bare.split(c).length
	return [",", ";", "\t"].reduce((best, c) => (count(c) > count(best) ? c : best))
}

/** records cuts text into records, each with its line break; a quoted field of CSV may hold some. */
export function records(text: string, lines: boolean): string[] {
	const out: string[] = []
	const comma = lines ? "" : delimiter(text.slice(0, Math.max(0, text.indexOf("\n")) || text.length))
	for (let at = 0; at < text.length; ) {
		const end = lines ? lineEnd(text, at) : recordEnd(text, at, comma)
		out.push(text.slice(at, end))
		at = end
	}
	return out
}

function lineEnd(text: string, at: number): number {
	const end = text.indexOf("\n", at)
	return end < 0 ? text.length : end + 1
}

function recordEnd(text: string, start: number, comma: string): number {
	for (let at = start; ; ) {
		if (text[at] === '"') {
			at = closing(text, at + 1)
			if (at < 0 || at - start > MAX_RECORD) return lineEnd(text, start) // never closed: only its line is lost
		}
		while (at < text.length && text[at] !== comma && text[at] !== "\n") at++
		if (at >= text.length) return text.length
		at++
		if (text[at - 1] === "\n") return at
	}
}

// closing is the place behind the quote that closes a field, -1 without one.
function closing(text: string, at: number): number {
	for (;;) {
		const quote = text.indexOf('"', at)
		if (quote < 0) return -1
		if (text[quote + 1] !== '"') return quote + 1
		at = quote + 2
	}
}

/** Part is a piece of a file to send, and which rows of the file its rows are. */
export type Part = { text: string; rows: number[] }

/**
 * parts cuts out the rows that are wanted, size at a time, each part with the header. A row is numbered as
 * the server does: the first record is 1, also when it is the header.
 */
export function parts(all: string[], lines: boolean, wanted: (row: number) => boolean, size: number): Part[] {
	const header = lines ? "" : ended(all[0] ?? "")
	const out: Part[] = []
	let part: Part | undefined
	for (let i = lines ? 0 : 1; i < all.length; i++) {
		const record = all[i] as string
		if (record.trim() === "" || !wanted(i + 1)) continue
		if (!part || part.rows.length === size) {
			part = { text: header, rows: [] }
			out.push(part)
		}
		part.text += ended(record)
		part.rows.push(i + 1)
	}
	return out
}

const ended = (record: string) => (record.endsWith("\n") ? record : `${record}\n`)

/** original is the row of the file that a row of a part is. */
export const original = (part: Part, row: number, lines: boolean) => part.rows[row - (lines ? 1 : 2)] ?? row

/** refused is a file of the rows that failed; CSV has a column more that says why, which an import passes over. */
export function refused(all: string[], lines: boolean, failed: Map<number, Mistake[]>, why: string): string {
	const bare = (record: string) => record.replace(/\r?\n$/, "")
	const rows = [...failed.keys()].sort((a, b) => a - b)
	if (lines) return rows.map(row => ended(all[row - 1] ?? "")).join("")
	const header = bare(all[0] ?? "")
	const comma = delimiter(header)
	const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`
	const say = (row: number) =>
		(failed.get(row) ?? []).map(m => (m.field ? `${m.field}: ${m.detail}` : m.detail)).join("; ")
	return [header + comma + why, ...rows.map(row => bare(all[row - 1] ?? "") + comma + quoted(say(row)))]
		.join("\n")
		.concat("\n")
}

/** unreadable are the rows that nobody told of and that are not UTF-8. Where a byte could not be read there is
 * U+FFFD now: sent like this, the server would take it for what the file says. */
export function unreadable(all: string[], lines: boolean, told: (row: number) => boolean): Mistake[] {
	const out: Mistake[] = []
	for (let i = lines ? 0 : 1; i < all.length; i++) {
		if (!told(i + 1) && all[i]?.includes("\uFFFD"))
			out.push({ row: i + 1, field: "", code: "not-utf8", detail: "the text is not valid UTF-8" })
	}
	return out
}

/** grouped are the mistakes by their row. */
export function grouped(mistakes: Mistake[]): Map<number, Mistake[]> {
	const out = new Map<number, Mistake[]>()
	for (const m of mistakes) out.set(m.row, [...(out.get(m.row) ?? []), m])
	return out
}
