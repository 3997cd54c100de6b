package partner

import "time"

// Week is how many hours a store is open on each weekday, Monday first, in a week without public
// holidays and on clocks that are not moved.
func (h Hours) Week() (hours [7]float32) {
	w := h.orAlways()
	for day := range hours {
		minutes := 0
		for _, s := range w.day(dayKind(4 * day)) {
			minutes += int(s.to) - int(s.from)
		}
		hours[day] = float32(minutes) / 60
	}
	return hours
}

// Holiday reports whether a day, counted from 1970-01-01, is a public holiday in the zone's country.
func (z *Zone) Holiday(day int32) bool {
	if z.holidays == nil {
		return false
	}
	d := time.Unix(int64(day)*86400, 0).UTC()
	return z.holidays.of(d.Year()).has(d.YearDay())
}
