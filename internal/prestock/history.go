package prestock

import (
	"slices"

	"doorstep/internal/partner"
)

// What past demand needs besides its rows: how long a store is open on the day of a row, and which days
// were free.

// week is the opening hours of each day of an ordinary week, Monday first; days without any have 0.
type week [7]float32

// weeks are the weeks of many stores, of which only few differ.
type weeks struct {
	known map[string]int32 // by hours as written
	list  []week
}

// of is the number of a store's week in list.
func (w *weeks) of(s *partner.Store) int32 {
	i, ok := w.known[s.OpeningHours]
	if !ok {
		if w.known == nil {
			w.known = map[string]int32{}
		}
		i = int32(len(w.list))
		w.known[s.OpeningHours] = i
		w.list = append(w.list, week(s.Hours().Week()))
	}
	return i
}

// open is the share of a day's opening hours in which a store had goods, when it had none for some hours.
// A day on which it does not usually open has 24.
func (w *weeks) open(i int32, day int64, without float64) float64 {
	// 1 January 1970 was a Thursday.
	hours := float64(w.list[i][((day+3)%7+7)%7])
	if hours == 0 {
		hours = 24
	}
	return max(0, 1-without/hours)
}

// freeDays are the days from one to another that are public holidays for more than half of the stores,
// of which zones counts so many each.
func freeDays(zones map[*partner.Zone]int, from, to int32) (free []int32) {
	all := 0
	for _, n := range zones {
		all += n
	}
	for day := from; day <= to; day++ {
		here := 0
		for z, n := range zones {
			if z.Holiday(day) {
				here += n
			}
		}
		if 2*here > all {
			free = append(free, day)
		}
	}
	return slices.Clip(free)
}
