package partner

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHowLongAStoreIsOpen(t *testing.T) {
	for _, c := range []struct {
		hours string
		want  [7]float32
	}{
		{"", [7]float32{24, 24, 24, 24, 24, 24, 24}},
		{"24/7", [7]float32{24, 24, 24, 24, 24, 24, 24}},
		{"Mo-Fr 08:00-12:00,13:00-17:30; Sa 10:00-14:00; PH off", [7]float32{8.5, 8.5, 8.5, 8.5, 8.5, 4, 0}},
		{"Fr-Sa 22:00-02:00", [7]float32{0, 0, 0, 0, 2, 4, 2}}, // past midnight is the next day's
	} {
		if got := mustHours(t, c.hours).Week(); got != c.want {
			t.Errorf("%q: %v, expected %v", c.hours, got, c.want)
		}
	}
}

// Days as long as they are on a calendar without holidays and moved clocks.
func TestAWeekHasTheHoursOfItsDays(t *testing.T) {
	monday := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		_, text := drawHours(rt)
		s := Store{SlotMinutes: 60, hours: mustHours(t, text), zone: mustZone(t, "UTC", "")}
		week := s.hours.Week()
		for day := range 7 {
			open := time.Duration(0)
			for _, span := range s.DayAt(monday.AddDate(0, 0, day)).Open {
				open += time.Duration(span.Until-span.From) * time.Millisecond
			}
			if got := float64(week[day]); got-open.Hours() > 1e-4 || open.Hours()-got > 1e-4 {
				rt.Fatalf("%q, day %d: %v hours, the day has %v", text, day, got, open.Hours())
			}
		}
	})
}

func TestHolidaysByDay(t *testing.T) {
	day := func(y int, m time.Month, d int) int32 {
		return int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
	}
	berlin, shanghai := mustZone(t, "Europe/Berlin", "DE"), mustZone(t, "Asia/Shanghai", "CN")
	for _, c := range []struct {
		zone *Zone
		day  int32
		want bool
	}{{berlin, day(2026, 12, 25), true}, {berlin, day(2026, 4, 6), true} /* Easter Monday */, {berlin, day(2026, 12, 24), false},
		{berlin, day(2027, 1, 1), true}, {berlin, day(2026, 12, 31), false}, {shanghai, day(2026, 10, 1), false} /* no calendar is known */} {
		if got := c.zone.Holiday(c.day); got != c.want {
			t.Errorf("%v in %s: %v", time.Unix(int64(c.day)*86400, 0).UTC(), c.zone.Location(), got)
		}
	}
}
