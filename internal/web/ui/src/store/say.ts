// Times and distances as people say them, on the store's clock.

/** Clock says moments in one language and zone. */
export type Clock = { locale: string; zone: string | undefined; today: string; tomorrow: string; yesterday: string }

const formats = new Map<string, Intl.DateTimeFormat>()

function format(c: Clock, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
	const name = c.locale + c.zone + JSON.stringify(options)
	let f = formats.get(name)
	if (!f) {
		try {
			f = new Intl.DateTimeFormat(c.locale, { ...options, timeZone: c.zone })
		} catch {
			f = new Intl.DateTimeFormat(c.locale, options) // a zone this phone has not heard of
		}
		formats.set(name, f)
	}
	return f
}

/** clockTime is "14:05". */
export const clockTime = (t: Date, c: Clock) =>
	format(c, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(t)

/** day is "today", "tomorrow", a weekday within the coming week, else a date. */
export function day(t: Date, now: Date, c: Clock): string {
	switch (dayNumber(t, c) - dayNumber(now, c)) {
		case 0:
			return c.today
		case 1:
			return c.tomorrow
		case -1:
			return c.yesterday
		case 2:
		case 3:
		case 4:
		case 5:
		case 6:
			return format(c, { weekday: "long" }).format(t)
	}
	return format(c, { weekday: "short", day: "numeric", month: "short" }).format(t)
}

/** moment is "tomorrow 18:00". */
export const moment = (t: Date, now: Date, c: Clock) => `${day(t, now, c)} ${clockTime(t, c)}`

/** dayNumber counts days on the store's calendar; only differences mean something. */
export function dayNumber(t: Date, c: Clock): number {
	const parts = format({ ...c, locale: "en-CA" }, { year: "numeric", month: "2-digit", day: "2-digit" }).formatToParts(
		t,
	)
	const of = (type: string) => Number(parts.find(p => p.type === type)?.value)
	return Math.round(Date.UTC(of("year"), of("month") - 1, of("day")) / 86_400_000)
}

/** weekday counts from Monday 0 to Sunday 6. */
export const weekday = (t: Date, c: Clock) => (dayNumber(t, c) + 3) % 7

/** countdown is "1:05", or "1:02:09" from an hour on; "0:00" once it is over. */
export function countdown(ms: number): string {
	const s = Math.max(0, Math.ceil(ms / 1000))
	const two = (n: number) => String(n).padStart(2, "0")
	const minutes = Math.floor(s / 60)
	return minutes < 60 ? `${minutes}:${two(s % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(s % 60)}`
}

/** distance is "80 m" or "1.2 km". */
export function distance(metres: number, locale: string): string {
	const [value, unit] =
		metres < 950
			? [metres < 10 ? Math.round(metres) : Math.round(metres / 10) * 10, "meter"]
			: [metres / 1000, "kilometer"]
	return new Intl.NumberFormat(locale, { style: "unit", unit: unit as string, maximumFractionDigits: 1 }).format(
		value as number,
	)
}

/** money is an amount of minor units as people write it. */
export function money(m: { amount: number; currency: string }, locale: string): string {
	const format = new Intl.NumberFormat(locale, { style: "currency", currency: m.currency, currencyDisplay: "code" })
	return format.format(m.amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2)).replaceAll("\u00a0", " ")
}
