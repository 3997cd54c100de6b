package partner

import (
	"fmt"
	"time"
)

// A store's capacity is counted per slot, and slots begin at the store's local
// midnight. On most days that is plain division; the days on which the clock
// is moved decide the definition:
//
//   - A store's day begins at the first instant its calendar has reached that
//     date, and ends where the next one begins. Where 00:00 is skipped (São
//     Paulo, 2018-11-04) it begins at 01:00; where 00:00 comes twice it begins
//     at the first; where the clock falls back across midnight (St. John's,
//     2006-10-29) the repeated last hour belongs to the new day, so that days
//     never interleave; a date a country skipped has no slots.
//   - Within the day slots are counted in elapsed minutes, not by the wall
//     clock, so every slot but the last is as long as its name says. In a day
//     of 23 or 25 hours later slots therefore begin an hour off the usual mark.
//   - The last slot of a day is cut at the next day's beginning.
//
// So the slots tile the time line: each instant is in exactly one.

// SlotStart is the first instant of the slot that contains t, in loc.
// slotMinutes is the length of a slot, 5 to 1440; anything else is a mistake
// of the caller and panics, as a wrong slot would corrupt capacity silently.
func SlotStart(t time.Time, slotMinutes int, loc *time.Location) time.Time {
	start, _ := slotBounds(t, slotMinutes, loc)
	return start
}

// SlotEnd is the first instant after the slot that contains t, in loc: the
// start of the next one. See SlotStart.
func SlotEnd(t time.Time, slotMinutes int, loc *time.Location) time.Time {
	_, end := slotBounds(t, slotMinutes, loc)
	return end
}

func slotBounds(t time.Time, slotMinutes int, loc *time.Location) (start, end time.Time) {
	if slotMinutes < 5 || slotMinutes > 1440 {
		panic(fmt.Sprintf("partner: a slot of %d minutes, allowed are 5 to 1440", slotMinutes))
	}
	length := time.Duration(slotMinutes) * time.Minute
	dayStart, dayEnd := dayBounds(t, loc)
	start = dayStart.Add(t.Sub(dayStart) / length * length)
	end = start.Add(length)
	if end.After(dayEnd) {
		end = dayEnd
	}
	return start, end
}

// Day is one day of a store's calendar, worked out so that any moment of it can be
// asked about with a few comparisons. Times are milliseconds UTC: hours and clocks
// change on whole seconds, so cutting a time down to milliseconds loses nothing.
type Day struct {
	From, Until int64 // the day is [From, Until)
	Open        []OpenSpan
	slot        int64
}

// OpenSpan is a stretch [From, Until) during which a store is open.
type OpenSpan struct{ From, Until int64 }

// DayAt is the store's day around t: within it OpenAt and SlotAt say what the store
// says.
func (s *Store) DayAt(t time.Time) *Day {
	start, end := dayBounds(t, s.Zone().Location())
	d := &Day{From: start.UnixMilli(), Until: end.UnixMilli(), slot: int64(s.SlotMinutes) * time.Minute.Milliseconds()}
	week := s.hours.orAlways()
	for at := start; at.Before(end); {
		next := week.nextBoundary(at, s.Zone())
		if next.After(end) {
			next = end
		}
		if s.OpenAt(at) {
			d.open(at.UnixMilli(), next.UnixMilli())
		}
		at = next
	}
	return d
}

// open adds a span behind the others, or lengthens the last.
func (d *Day) open(from, until int64) {
	if n := len(d.Open); n > 0 && d.Open[n-1].Until == from {
		d.Open[n-1].Until = until
		return
	}
	d.Open = append(d.Open, OpenSpan{from, until})
}

// Has reports whether ms is in the day.
func (d *Day) Has(ms int64) bool { return d.From <= ms && ms < d.Until }

// OpenAt reports whether the store is open at ms, a moment of the day.
func (d *Day) OpenAt(ms int64) bool {
	for _, s := range d.Open {
		if ms < s.Until {
			return ms >= s.From
		}
	}
	return false
}

// SlotAt is the start of the slot that ms, a moment of the day, is in.
func (d *Day) SlotAt(ms int64) int64 { return d.From + (ms-d.From)/d.slot*d.slot }

// dayBounds returns the store's day around t, [start, end).
func dayBounds(t time.Time, loc *time.Location) (start, end time.Time) {
	// Clocks have been moved by a day at most, so three days back every date
	// was earlier than the latest one reached by t.
	past := t.Add(-72 * time.Hour).In(loc)
	day := localDay(t.In(loc))
	for segment := past; ; {
		_, next := segment.ZoneBounds()
		if next.IsZero() || next.After(t) {
			break
		}
		day = max(day, localDay(next.Add(-time.Nanosecond)))
		segment = next
	}
	return reaches(past, day), reaches(t.In(loc), day+1)
}

// localDay numbers the dates of t's wall clock; 1970-01-01 is 0.
func localDay(t time.Time) int64 {
	_, offset := t.Zone()
	seconds := t.Unix() + int64(offset)
	day := seconds / 86400
	if seconds%86400 < 0 {
		day--
	}
	return day
}

// reaches returns the first instant at which the calendar of t's zone shows
// the given day or a later one. At t it must show an earlier one. It walks the
// stretches of constant UTC offset, in each of which local time runs evenly.
func reaches(t time.Time, day int64) time.Time {
	for {
		start, end := t.ZoneBounds()
		_, offset := t.Zone()
		midnight := time.Unix(86400*day-int64(offset), 0).In(t.Location())
		if midnight.Before(start) {
			midnight = start // the clock jumped over it
		}
		if end.IsZero() || midnight.Before(end) {
			return midnight
		}
		t = end
	}
}
