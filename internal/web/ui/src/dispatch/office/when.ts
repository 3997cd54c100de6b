// When a job runs, in words.

import type { OfficeWords } from "./words"

/**
 * schedule says a job's schedule ("every 1h0m0s", or five cron fields in UTC) in words; what it does not
 * understand it leaves as it is. locale names the days of the week.
 */
export function schedule(text: string, w: OfficeWords, locale: string): string {
	if (text === "") return w.onRequest
	const every = /^every (?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text)
	if (every) {
		const [h, m, s] = every.slice(1).map(n => Number(n ?? 0)) as [number, number, number]
		if (h > 0 && m === 0 && s === 0) return w.everyHours(h)
		if (s === 0) return w.everyMinutes(60 * h + m)
		return w.everySeconds(3600 * h + 60 * m + s)
	}
	const cron = /^(\S+) (\S+) \* \* (\S+)$/.exec(text)
	if (!cron) return text
	const [, minute, hour, weekday] = cron as unknown as [string, string, string, string]
	const step = /^\*\/(\d+)$/.exec(minute)
	if (step && hour === "*" && weekday === "*") return w.everyMinutes(Number(step[1]))
	if (!/^\d+$/.test(minute)) return text
	if (hour === "*" && weekday === "*") return w.everyHours(1)
	if (!/^\d+$/.test(hour)) return text
	const time = `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`
	if (weekday === "*") return w.daily(time)
	if (!/^[0-7]$/.test(weekday)) return text
	const sunday = Date.UTC(2024, 0, 7)
	const day = new Intl.DateTimeFormat(locale, { weekday: "long", timeZone: "UTC" })
	return w.weekly(day.format(new Date(sunday + (Number(weekday) % 7) * 86_400_000)), time)
}
