// Hearing at once that something of the shop's has changed. Each hint only says "look": what is true, the
// lists say. fetch and not EventSource: a pasted key travels in a header.

/** DEAF_MS is how long a stream may say nothing, not even that it is alive. */
const DEAF_MS = 50_000

/** listen calls heard when there may be something new, and ended once when nothing more will be heard. */
export function listen(key: string | undefined, heard: () => void, ended: () => void): () => void {
	const stop = new AbortController()
	let deaf: ReturnType<typeof setTimeout> | undefined
	// Also one that is never answered is deaf.
	const listening = () => {
		clearTimeout(deaf)
		deaf = setTimeout(() => stop.abort(), DEAF_MS)
	}
	const follow = async () => {
		listening()
		const response = await fetch("/v1/store/events/stream", {
			headers: key ? { Authorization: `Bearer ${key}` } : {},
			credentials: key ? "omit" : "same-origin",
			cache: "no-store",
			signal: stop.signal,
		})
		const reader = response.ok && response.body?.getReader()
		if (!reader) return
		const text = new TextDecoder()
		for (;;) {
			listening()
			const { done, value } = await reader.read()
			if (done) return
			// A heartbeat is a comment. "retry" is how a stream begins: what happened just before is not in it.
			if (/retry|event|data/.test(text.decode(value))) heard()
		}
	}
	void follow()
		.catch(() => {})
		.finally(() => {
			clearTimeout(deaf)
			ended()
		})
	return () => stop.abort()
}
