import { describe, expect, test } from "vitest"
import { formatWeek, parseWeek } from "../src/store/hours"

describe("opening hours as a week", () => {
	for (const text of [
		"Mo-Fr 08:00-21:00; Sa-Su 09:00-18:00; PH off",
		"Mo-Su 00:00-24:00",
		"Mo 08:00-12:00,14:00-18:00; Tu-Sa 08:00-20:00; Su off",
		"Mo-Tu off; We 10:00-11:00; Th-Su off; PH 10:00-12:00",
	]) {
		test(`${text} comes back as it was`, () => expect(formatWeek(parseWeek(text)!)).toBe(text))
	}
	test("other ways to say the same", () => {
		const say = (text: string) => formatWeek(parseWeek(text)!)
		expect(say("")).toBe("Mo-Su 00:00-24:00")
		expect(say("24/7")).toBe("Mo-Su 00:00-24:00")
		expect(say("08:00-20:00")).toBe("Mo-Su 08:00-20:00")
		expect(say("Mo-Su 08:00-20:00; Sa,Su off")).toBe("Mo-Fr 08:00-20:00; Sa-Su off")
		expect(say("Fr-Mo 08:00-20:00")).toBe("Mo 08:00-20:00; Tu-Th off; Fr-Su 08:00-20:00")
	})
	for (const text of ["Jan-Mar 08:00-20:00", "Mo sunrise-sunset", "week 1-10 Mo 08:00-09:00", "Mo[1] 08:00-09:00"]) {
		test(`${text} stays text`, () => expect(parseWeek(text)).toBeUndefined())
	}
})
