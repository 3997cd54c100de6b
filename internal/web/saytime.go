package web

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// dayWords are how a language speaks of days. The layouts are Go time layouts
// without names of days or months: {weekday} and {month} are filled in.
type dayWords struct {
	Today, Tomorrow, Yesterday string
	Weekdays                   [7]string // from Sunday, as time.Weekday counts
	Months                     [12]string
	Date, DateYear             string // "{weekday} 2 {month}"
	At                         string // between a day and a clock time
	By                         string // "by {time}": a promise with an end only
}

// sayDay names the day of t as seen from now, both in their zone: today,
// tomorrow, yesterday, a weekday within the coming week, else the date.
func sayDay(now, t time.Time, d *dayWords) string {
	switch days := daysBetween(now, t); {
	case days == 0:
		return d.Today
	case days == 1:
		return d.Tomorrow
	case days == -1:
		return d.Yesterday
	case days > 1 && days < 7:
		return d.Weekdays[t.Weekday()]
	}
	layout := d.Date
	if t.Year() != now.Year() {
		layout = d.DateYear
	}
	return strings.NewReplacer("{weekday}", d.Weekdays[t.Weekday()], "{month}", d.Months[t.Month()-1]).
		Replace(t.Format(layout))
}

// daysBetween counts calendar days, not hours: a day is 23 to 25 hours long
// where clocks change.
func daysBetween(from, to time.Time) int {
	noon := func(t time.Time) time.Time {
		return time.Date(t.Year(), t.Month(), t.Day(), 12, 0, 0, 0, time.UTC)
	}
	return int(noon(to).Sub(noon(from)) / (24 * time.Hour))
}

// sayAt says one moment: "today at 14:32".
func sayAt(now, t time.Time, d *dayWords) string {
	return sayDay(now, t, d) + d.At + t.Format("15:04")
}

// sayWindow says a promise the way people do: "today 14:00–16:00". Either end
// may be missing; with both missing there is nothing to say and it answers "".
func sayWindow(now, from, to time.Time, d *dayWords) string {
	switch {
	case from.IsZero() && to.IsZero():
		return ""
	case to.IsZero() || from.Equal(to):
		return sayAt(now, from, d)
	case from.IsZero():
		return strings.ReplaceAll(d.By, "{time}", sayAt(now, to, d))
	}
	end := to.Format("15:04")
	days := daysBetween(from, to)
	if days == 1 && end == "00:00" {
		days, end = 0, "24:00" // midnight belongs to the evening before it
	}
	if days == 0 {
		return sayDay(now, from, d) + " " + from.Format("15:04") + "–" + end
	}
	return sayDay(now, from, d) + " " + from.Format("15:04") + " – " + sayDay(now, to, d) + " " + end
}

// upperFirst starts a sentence with an ASCII capital; other scripts have none.
func upperFirst(s string) string {
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}

var hoursToken = regexp.MustCompile(`24/7|\b(?:Mo|Tu|We|Th|Fr|Sa|Su|PH|SH|off|closed|open)\b|-|,`)

// sayHours turns opening hours in OSM syntax ("Mo-Fr 08:00-21:00; PH off")
// into lines a customer can read. It replaces words only: what it does not know
// it leaves as it is, since a store's own text beats no text.
func sayHours(osm string, spoken map[string]string) []string {
	var lines []string
	for _, rule := range strings.Split(osm, ";") {
		rule = strings.TrimSpace(rule)
		if rule == "" {
			continue
		}
		lines = append(lines, hoursToken.ReplaceAllStringFunc(rule, func(token string) string {
			if said, ok := spoken[token]; ok {
				return said
			}
			return token
		}))
	}
	return lines
}

// sayDistance rounds to what a cell can honestly tell, in metres or kilometres.
func sayDistance(metres float64, w *words) string {
	if metres < 950 {
		return fmt.Sprintf(w.Metres, max(100, int(metres/100+0.5)*100))
	}
	return fmt.Sprintf(w.Kilometres, metres/1000)
}
