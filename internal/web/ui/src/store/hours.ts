// Opening hours as a week of days for a thumb, and as the OSM text that the server keeps. Only what a week
// can show is understood: the rest is left as text, and nothing of it is lost.
//
//	Mo-Fr 08:00-20:00; Sa 09:00-13:00,14:00-18:00; Su off; PH off

const names = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"]

/** Span is "08:00" to "20:00"; "24:00" is the end of the day. */
export type Span = { from: string; to: string }

/** Week are the spans of each day from Monday; no span is closed. holidays is what the text says of PH. */
export type Week = { days: Span[][]; holidays: string }

const span = /^([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)$/

/** parseWeek answers undefined for a text that is more than a week. */
export function parseWeek(text: string): Week | undefined {
	const always = text.trim() === "" || text.trim() === "24/7"
	const week: Week = { days: names.map(() => (always ? [{ from: "00:00", to: "24:00" }] : [])), holidays: "" }
	if (always) return week
	for (const rule of text
		.split(";")
		.map(r => r.trim())
		.filter(Boolean)) {
		const [selector, ...rest] = rule.split(/\s+/)
		const value = rest.join("")
		if (selector === "PH") {
			week.holidays = rule
			continue
		}
		const [days, hours] = /^\d/.test(rule)
			? [[0, 1, 2, 3, 4, 5, 6], rule.replaceAll(/\s/g, "")]
			: [daysOf(selector ?? ""), value]
		const spans =
			hours === "off" || hours === "closed"
				? []
				: hours.split(",").map(s => span.exec(s) && { from: s.slice(0, 5), to: s.slice(6) })
		if (!days || spans.some(s => !s)) return undefined
		for (const day of days) week.days[day] = spans as Span[]
	}
	return week
}

function daysOf(text: string): number[] | undefined {
	const days: number[] = []
	for (const part of text.split(",")) {
		const [from, to] = part.split("-").map(name => names.indexOf(name))
		if (from === undefined || from < 0 || (to !== undefined && to < 0)) return undefined
		for (let day = from; ; day = (day + 1) % 7) {
			days.push(day)
			if (day === (to ?? from)) break
		}
	}
	return days
}

const sayDay = (spans: Span[]) => (spans.length === 0 ? "off" : spans.map(s => `${s.from}-${s.to}`).join(","))

/** formatWeek is the week as OSM text, days that are alike in a row together. */
export function formatWeek(week: Week): string {
	const rules: string[] = []
	for (let day = 0; day < 7; ) {
		let last = day
		const hours = sayDay(week.days[day]!)
		while (last < 6 && sayDay(week.days[last + 1]!) === hours) last++
		rules.push(`${names[day]}${last > day ? `-${names[last]}` : ""} ${hours}`)
		day = last + 1
	}
	if (week.holidays) rules.push(week.holidays)
	return rules.join("; ")
}
