import { expect, test } from "vitest"
import { en as office } from "../src/dispatch/office/words"
import { zh as officeZh } from "../src/dispatch/office/words.zh"
import { en as desk } from "../src/dispatch/words"
import { zh as deskZh } from "../src/dispatch/words.zh"
import { en as shop } from "../src/store/words"
import { later } from "../src/store/words.later"
import { zh as shopZh } from "../src/store/words.zh"

// names are all words there are, also those of a code (reasons, events), which the types do not count.
function names(words: object, within = ""): string[] {
	return Object.entries(words)
		.flatMap(([name, word]) => {
			if (word === "") return [`${within}${name} is empty`]
			return typeof word === "object" && word !== null ? names(word, `${within}${name}.`) : [within + name]
		})
		.sort()
}

test("whatever is said in English is said in Chinese", () => {
	expect(names(deskZh)).toEqual(names(desk))
	expect(names(officeZh)).toEqual(names(office))
	expect(names(shopZh)).toEqual(names({ ...shop, ...later }))
})
