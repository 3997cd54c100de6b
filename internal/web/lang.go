package web

import (
	"strconv"
	"strings"
)

// Lang picks the page's language, "en" or "zh", from an Accept-Language header
// (RFC 9110, 12.5.4): the one with the highest weight, the earlier one on a
// tie. Whoever asks for neither, or sends nonsense, reads English.
func Lang(acceptLanguage string) string {
	const longest = 1000 // a browser sends under a hundred bytes
	best, bestWeight := "en", 0.0
	for _, item := range strings.Split(acceptLanguage[:min(len(acceptLanguage), longest)], ",") {
		tag, params, _ := strings.Cut(item, ";")
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		if _, known := languages[primary]; !known {
			continue
		}
		if weight := weightOf(params); weight > bestWeight {
			best, bestWeight = primary, weight
		}
	}
	return best
}

func weightOf(params string) float64 {
	name, value, given := strings.Cut(strings.TrimSpace(params), "=")
	if !given {
		return 1
	}
	weight, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || strings.TrimSpace(name) != "q" || !(weight >= 0 && weight <= 1) {
		return 0
	}
	return weight
}

func wordsFor(lang string) *words {
	if w, ok := languages[lang]; ok {
		return w
	}
	return languages["en"]
}

// phrase is a state in a headline and a sentence.
type phrase struct{ Head, Say string }

// phrase finds the words for a status, preferring those for how the parcel
// changes hands ("delivered/hand_over"), and names the store in them.
func (w *words) phrase(status, mode, store string) (phrase, bool) {
	found, ok := w.Status[status+"/"+mode]
	if !ok {
		found, ok = w.Status[status]
	}
	return phrase{w.withStore(found.Head, store), w.withStore(found.Say, store)}, ok
}

// withStore fills in the store's name. The name is somebody else's text, maybe
// in another script: the isolates (U+2068, U+2069) keep its direction from
// turning the sentence around.
func (w *words) withStore(text, store string) string {
	if store == "" {
		return upperFirst(fillIn(text, "{store}", w.TheStore))
	}
	return fillIn(text, "{store}", "\u2068"+store+"\u2069")
}

func fillIn(text, placeholder, value string) string {
	return strings.ReplaceAll(text, placeholder, value)
}
