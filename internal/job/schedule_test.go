package job

import (
	"fmt"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSlots(t *testing.T) {
	berlin, lordHowe, saoPaulo := zone(t, "Europe/Berlin"), zone(t, "Australia/Lord_Howe"), zone(t, "America/Sao_Paulo")
	apia := zone(t, "Pacific/Apia")
	for _, c := range []struct {
		what     string
		schedule Schedule
		after    string
		want     []string // RFC 3339, any zone
	}{
		{"every: multiples since 1970", Every(7 * time.Second), "1970-01-01T00:00:06.999Z", []string{"1970-01-01T00:00:07Z", "1970-01-01T00:00:14Z"}},
		{"every: before 1970", Every(time.Minute), "1969-12-31T23:58:30Z", []string{"1969-12-31T23:59:00Z", "1970-01-01T00:00:00Z"}},
		{"cron: strictly after", Cron("*/15 * * * *"), "2026-03-01T10:15:00Z", []string{"2026-03-01T10:30:00Z", "2026-03-01T10:45:00Z"}},
		{"cron: a leap day", Cron("0 12 29 2 *"), "2026-03-01T00:00:00Z", []string{"2028-02-29T12:00:00Z"}},
		{"gap: at its end", CronIn("30 2 * * *", berlin), "2026-03-28T00:00:00Z",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"gap: several in it are one", CronIn("*/20 2,3 * * *", berlin), "2026-03-29T00:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T03:20:00+02:00", "2026-03-29T03:40:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"twice: the first", CronIn("30 2 * * *", berlin), "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"twice: asked between the two", CronIn("30 2 * * *", berlin), "2026-10-25T02:10:00+01:00", []string{"2026-10-26T02:30:00+01:00"}},
		{"half an hour of gap", CronIn("15 2 * * *", lordHowe), "2026-10-03T12:00:00Z",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"half an hour twice", CronIn("45 1 * * *", lordHowe), "2026-04-04T12:00:00Z",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		{"midnight skipped", CronIn("0 0 * * *", saoPaulo), "2018-11-03T12:00:00Z",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		{"a whole day skipped", CronIn("0 9 * * *", apia), "2011-12-29T09:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"}},
	} {
		after := at(t, c.after)
		for i, want := range c.want {
			after = c.schedule.Next(after)
			if !after.Equal(at(t, want)) || after.Location() != time.UTC {
				t.Errorf("%s: slot %d is %v, want %s", c.what, i, after, want)
			}
		}
	}
}

func TestSchedulesInWords(t *testing.T) {
	for want, s := range map[string]Schedule{
		"every 30s":                Every(30 * time.Second),
		"0 4 * * *":                Cron("0 4 * * *"),
		"0 4 * * * Europe/Berlin":  CronIn("0 4 * * *", zone(t, "Europe/Berlin")),
		"on demand":                {},
		"0 4 * * 1-5 Asia/Kolkata": CronIn("0 4 * * 1-5", zone(t, "Asia/Kolkata")),
	} {
		if s.String() != want {
			t.Errorf("%q, want %q", s, want)
		}
	}
	if next := (Schedule{}).Next(time.Now()); !next.IsZero() {
		t.Errorf("a job on demand is due at %v", next)
	}
}

func TestExpressionsThatAreRefused(t *testing.T) {
	for _, expr := range []string{"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "*/0 * * * *", "5-1 * * * *", "x * * * *",
		"0 0 30 2 *", ", * * * *", "* * * * ,", "TZ=UTC 0 0 * * *", "CRON_TZ=Europe/Berlin 0 0 * * *", "TZ=0", "@daily", "@every 1s"} {
		if s, err := ParseCron(expr, time.UTC); err == nil {
			t.Errorf("%q was read as %v", expr, s)
		}
	}
}

// The promise of CronIn in the zones with the oddest clocks: a daily slot is there once every
// local day, at its time or, when that time is skipped, right after the gap.
func TestADailySlotIsThereOnceEveryLocalDay(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"} {
		for _, minute := range []int{0, 30, 90, 105, 120, 135, 150, 180} {
			loc := zone(t, name)
			s := CronIn(fmt.Sprintf("%d %d * * *", minute%60, minute/60), loc)
			from := time.Date(2005, 1, 1, 12, 0, 0, 0, loc)
			day, slot := from, from.UTC()
			for day.Year() < 2020 {
				day = day.AddDate(0, 0, 1) // noon, which every day has
				slot = s.Next(slot)
				local := slot.In(loc)
				y, m, d := local.Date()
				if wy, wm, wd := day.Date(); y != wy || m != wm || d != wd {
					t.Fatalf("%s %s: slot %v, want one on %v", name, s, local, day)
				}
				if shown := local.Hour()*60 + local.Minute(); shown != minute {
					// Only because the clock went from before the minute to after it.
					before := slot.Add(-time.Second).In(loc)
					if b := before.Hour()*60 + before.Minute(); shown < minute || before.Day() == local.Day() && b >= minute {
						t.Fatalf("%s %s: slot %v", name, s, local)
					}
				}
			}
		}
	}
}

// The mapping of wall clock to instants against its definition, minute by minute.
func TestTheFirstInstantThatShowsAWall(t *testing.T) {
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca", "America/St_Johns", "Pacific/Kwajalein"}
	rapid.Check(t, func(t *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		wall := time.Unix(rapid.Int64Range(0, 33_000_000).Draw(t, "minute")*60, 0).UTC()
		if rapid.Bool().Draw(t, "near a change") {
			if _, end := wall.In(loc).ZoneBounds(); !end.IsZero() {
				wall = wallOf(end, loc).Add(time.Duration(rapid.IntRange(-180, 180).Draw(t, "off")) * time.Minute)
			}
		}
		got := instantOf(wall, loc)
		// Shown walls pass every minute forward, so the first minute that shows wall or more is it,
		// unless an earlier one showed it before the clock went back.
		want := time.Time{}
		for u := wall.Add(-30 * time.Hour); ; u = u.Add(time.Minute) {
			if !wallOf(u, loc).Before(wall) {
				want = u
				break
			}
		}
		if !got.Equal(want) {
			t.Fatalf("%v in %s is %v, want %v", wall, loc, got, want)
		}
	})
}

func TestNewestSlotsAreThoseThatNextCounts(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	schedules := []Schedule{Every(time.Second), Every(7 * time.Minute), Cron("*/5 * * * *"), Cron("* 3 * * *"), Cron("0 0 1 * *"), CronIn("30 2 * * *", berlin), {}}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(schedules).Draw(t, "schedule")
		after := time.Unix(rapid.Int64Range(1.6e9, 1.8e9).Draw(t, "after"), 0).UTC()
		now := after.Add(time.Duration(rapid.IntRange(-10, 5000).Draw(t, "span")) * rapid.SampledFrom([]time.Duration{time.Second, time.Minute}).Draw(t, "unit"))
		n := rapid.IntRange(1, 5).Draw(t, "n")
		var all []time.Time
		for u := s.Next(after); !u.IsZero() && !u.After(now); u = s.Next(u) {
			all = append(all, u)
		}
		slices.Reverse(all)
		want := all[:min(n, len(all))]
		if got := s.newest(n, after, now); !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func FuzzCron(f *testing.F) {
	for _, s := range []string{"* * * * *", "0 0 29 2 *", "*/15 3-5 1,15 JAN-MAR MON", "TZ=UTC * * * * *", "? ? ? ? ?", "0-59/2 * * * 0", "@daily", ", * * * *", "a", ""} {
		f.Add(s, int64(1.7e9))
	}
	f.Fuzz(func(t *testing.T, expr string, after int64) {
		s, err := ParseCron(expr, zone(t, "America/Sao_Paulo"))
		if err != nil || after < 0 || after > 4e9 {
			return
		}
		from := time.Unix(after, 0)
		if next := s.Next(from); !next.IsZero() && !next.After(from) {
			t.Fatalf("%q: %v is not after %v", expr, next, from)
		}
	})
}
