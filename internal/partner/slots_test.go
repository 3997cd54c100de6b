package partner

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestSlots(t *testing.T) {
	const layout = "2006-01-02T15:04:05Z07:00"
	for _, c := range []struct {
		story, zone string
		minutes     int
		t           string
		start, end  string
	}{
		{"hours on an ordinary day", "Europe/Riga", 60, "2026-11-21T10:59:59+02:00",
			"2026-11-21T10:00:00+02:00", "2026-11-21T11:00:00+02:00"},
		{"the start belongs to its slot", "Europe/Riga", 60, "2026-11-21T10:00:00+02:00",
			"2026-11-21T10:00:00+02:00", "2026-11-21T11:00:00+02:00"},
		{"aligned to the store's midnight, not to UTC", "Asia/Kathmandu", 60, "2026-11-21T10:20:00+05:45",
			"2026-11-21T10:00:00+05:45", "2026-11-21T11:00:00+05:45"},
		{"a length that does not divide the day is cut at midnight", "Europe/Riga", 420, "2026-11-21T23:00:00+02:00",
			"2026-11-21T21:00:00+02:00", "2026-11-22T00:00:00+02:00"},
		{"a whole day", "Europe/Riga", 1440, "2026-11-21T23:59:59+02:00",
			"2026-11-21T00:00:00+02:00", "2026-11-22T00:00:00+02:00"},
		{"no change of clocks for decades", "Asia/Shanghai", 90, "2026-11-21T01:31:00+08:00",
			"2026-11-21T01:30:00+08:00", "2026-11-21T03:00:00+08:00"},

		{"Berlin, spring: the slot across the jump lasts its two hours", "Europe/Berlin", 120, "2026-03-29T03:30:00+02:00",
			"2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+02:00"},
		{"the last of a 23-hour day is cut", "Europe/Berlin", 120, "2026-03-29T23:30:00+02:00",
			"2026-03-29T23:00:00+02:00", "2026-03-30T00:00:00+02:00"},
		{"a day slot is as long as the day", "Europe/Berlin", 1440, "2026-03-29T12:00:00+02:00",
			"2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"},
		{"Berlin, autumn: first 02:30", "Europe/Berlin", 60, "2026-10-25T02:30:00+02:00",
			"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"},
		{"second 02:30, another slot", "Europe/Berlin", 60, "2026-10-25T02:30:00+01:00",
			"2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"},
		{"the 25th hour is what is left of a day in day slots", "Europe/Berlin", 1440, "2026-10-25T23:30:00+01:00",
			"2026-10-25T23:00:00+01:00", "2026-10-26T00:00:00+01:00"},
		{"Lord Howe: half an hour off after the jump", "Australia/Lord_Howe", 60, "2026-10-04T04:00:00+11:00",
			"2026-10-04T03:30:00+11:00", "2026-10-04T04:30:00+11:00"},

		{"São Paulo skipped midnight: the day begins at 01:00", "America/Sao_Paulo", 60, "2018-11-04T01:20:00-02:00",
			"2018-11-04T01:00:00-02:00", "2018-11-04T02:00:00-02:00"},
		{"and the day before is cut there", "America/Sao_Paulo", 420, "2018-11-03T23:59:00-03:00",
			"2018-11-03T21:00:00-03:00", "2018-11-04T01:00:00-02:00"},
		{"Havana saw midnight twice: the day begins at the first", "America/Havana", 120, "2026-11-01T00:30:00-05:00",
			"2026-11-01T00:00:00-04:00", "2026-11-01T01:00:00-05:00"},
		{"St. John's fell back across midnight: the repeated hour is the new day's", "America/St_Johns", 60, "2006-10-28T23:30:00-03:30",
			"2006-10-29T00:00:00-02:30", "2006-10-29T00:00:00-03:30"},
		{"the first 23:30 is still the old day's", "America/St_Johns", 60, "2006-10-28T23:30:00-02:30",
			"2006-10-28T23:00:00-02:30", "2006-10-29T00:00:00-02:30"},
		{"Samoa skipped 30 December 2011", "Pacific/Apia", 1440, "2011-12-31T10:00:00+14:00",
			"2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"},
		{"the day before ends where the day after begins", "Pacific/Apia", 1440, "2011-12-29T10:00:00-10:00",
			"2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"},
	} {
		when, err := time.Parse(time.RFC3339, c.t)
		if err != nil {
			t.Fatal(err)
		}
		loc := location(t, c.zone)
		start, end := SlotStart(when, c.minutes, loc).Format(layout), SlotEnd(when, c.minutes, loc).Format(layout)
		if start != c.start || end != c.end {
			t.Errorf("%s: %s in %s, %d minutes:\n got %s to %s\nwant %s to %s", c.story, c.t, c.zone, c.minutes, start, end, c.start, c.end)
		}
	}
}

func TestSlotLengthsOutsideTheContractPanic(t *testing.T) {
	for _, minutes := range []int{-60, 0, 4, 1441} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a slot of %d minutes was accepted", minutes)
				}
			}()
			SlotStart(time.Unix(0, 0), minutes, time.UTC)
		}()
	}
}

// Around changes of the clock slots follow each other without gap or overlap,
// none is longer than its name, and only one cut by a midnight is shorter.
func TestSlotsTileTheTimeLine(t *testing.T) {
	changes := []struct{ zone, at string }{
		{"Europe/Berlin", "2026-03-29T01:00Z"},
		{"Europe/Berlin", "2026-10-25T01:00Z"},
		{"America/New_York", "2026-03-08T07:00Z"},
		{"America/New_York", "2026-11-01T06:00Z"},
		{"Australia/Lord_Howe", "2026-04-04T15:00Z"},
		{"Australia/Lord_Howe", "2026-10-03T15:30Z"},
		{"America/Sao_Paulo", "2018-11-04T03:00Z"},
		{"America/Sao_Paulo", "2019-02-17T02:00Z"},
		{"America/St_Johns", "2006-10-29T02:31Z"},
		{"America/Havana", "2026-11-01T05:00Z"},
		{"Pacific/Apia", "2011-12-30T10:00Z"},
		{"Asia/Shanghai", "2026-10-25T01:00Z"},
		{"Asia/Shanghai", "1986-05-03T18:00Z"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		c := rapid.SampledFrom(changes).Draw(rt, "change")
		loc := location(t, c.zone)
		minutes := rapid.OneOf(rapid.IntRange(5, 1440), rapid.SampledFrom([]int{5, 15, 60, 1440})).Draw(rt, "slot minutes")
		length := time.Duration(minutes) * time.Minute
		first := utc(t, c.at).Add(time.Duration(rapid.IntRange(-50*3600, 50*3600).Draw(rt, "seconds"))*time.Second +
			time.Duration(rapid.IntRange(0, 999).Draw(rt, "ms"))*time.Millisecond)

		for when := first; when.Before(first.Add(30 * time.Hour)); {
			start, end := SlotStart(when, minutes, loc), SlotEnd(when, minutes, loc)
			if when.Before(start) || !when.Before(end) {
				rt.Fatalf("%v is not in its slot %v to %v", when, start, end)
			}
			if d := end.Sub(start); d > length || d < length && !startsADay(end) {
				rt.Fatalf("the slot %v to %v is %v long, not %v", start, end, d, length)
			}
			inside := start.Add(time.Duration(rapid.Int64Range(0, int64(end.Sub(start))-1).Draw(rt, "inside")))
			for _, same := range []time.Time{start, inside, end.Add(-time.Nanosecond)} {
				if !SlotStart(same, minutes, loc).Equal(start) || !SlotEnd(same, minutes, loc).Equal(end) {
					rt.Fatalf("%v is in %v to %v, %v is not", when, start, end, same)
				}
			}
			if !SlotStart(end, minutes, loc).Equal(end) {
				rt.Fatalf("after %v to %v comes a slot from %v", start, end, SlotStart(end, minutes, loc))
			}
			when = end
		}
	})
}

// startsADay reports whether t is a midnight or the end of a jump over one.
func startsADay(t time.Time) bool {
	before := t.Add(-time.Nanosecond)
	return t.YearDay() != before.YearDay()
}

func BenchmarkSlotStart(b *testing.B) {
	loc := location(b, "Europe/Riga")
	when := utc(b, "2026-11-21T10:59Z")
	b.ReportAllocs()
	for b.Loop() {
		SlotStart(when, 60, loc)
	}
}
