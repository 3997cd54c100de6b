package partner_test

import (
	"testing"
	"time"

	"doorstep/internal/fault"
	"doorstep/internal/partner"

	"pgregory.net/rapid"
)

// changes are nights on which clocks are moved, in four zones: by an hour, by half an hour, at two in
// the morning and at midnight.
var changes = []struct {
	zone         string
	spring, fall time.Time // a moment before
}{
	{"America/New_York", time.Date(2026, 3, 8, 4, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)},
	{"Europe/Berlin", time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC), time.Date(2026, 10, 24, 21, 0, 0, 0, time.UTC)},
	{"Australia/Lord_Howe", time.Date(2026, 10, 3, 12, 0, 0, 0, time.UTC), time.Date(2026, 4, 4, 11, 0, 0, 0, time.UTC)},
	{"America/Santiago", time.Date(2026, 9, 6, 1, 0, 0, 0, time.UTC), time.Date(2026, 4, 4, 23, 0, 0, 0, time.UTC)},
}

func TestQuietHoursAreReadOffTheClock(t *testing.T) {
	for _, c := range []struct{ quiet, zone, at, until string }{
		{"22:00-07:00", "Africa/Nairobi", "2026-11-09T18:59:59Z", "2026-11-09T18:59:59Z"},
		{"22:00-07:00", "Africa/Nairobi", "2026-11-09T19:00:00Z", "2026-11-10T04:00:00Z"},
		{"22:00-07:00", "Africa/Nairobi", "2026-11-10T03:59:59.999Z", "2026-11-10T04:00:00Z"},
		{"22:00-07:00", "Africa/Nairobi", "2026-11-10T04:00:00Z", "2026-11-10T04:00:00Z"},
		{"12:30-14:00", "Africa/Nairobi", "2026-11-09T10:00:00Z", "2026-11-09T11:00:00Z"},
		{"20:00-24:00", "Africa/Nairobi", "2026-11-09T20:00:00Z", "2026-11-09T21:00:00Z"},
		{"00:00-06:00", "Africa/Nairobi", "2026-11-09T21:00:00Z", "2026-11-10T03:00:00Z"},
		{"", "Africa/Nairobi", "2026-11-09T23:00:00Z", "2026-11-09T23:00:00Z"},
		// The night is an hour shorter, or longer; in Lord Howe half an hour.
		{"22:00-07:00", "America/New_York", "2026-03-08T04:00:00Z", "2026-03-08T11:00:00Z"},
		{"22:00-07:00", "America/New_York", "2026-11-01T03:00:00Z", "2026-11-01T12:00:00Z"},
		{"22:00-07:00", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T05:00:00Z"},
		{"22:00-07:00", "Europe/Berlin", "2026-10-24T21:00:00Z", "2026-10-25T06:00:00Z"},
		{"22:00-07:00", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T20:00:00Z"},
		{"22:00-07:00", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", "2026-04-04T20:30:00Z"},
		{"22:00-07:00", "America/Santiago", "2026-09-06T02:00:00Z", "2026-09-06T10:00:00Z"},
		{"22:00-07:00", "America/Santiago", "2026-04-05T01:00:00Z", "2026-04-05T11:00:00Z"},
		// They end within the hour that does not happen: with it.
		{"22:00-02:30", "America/New_York", "2026-03-08T04:00:00Z", "2026-03-08T07:00:00Z"},
		// They end within the hour that happens twice: at its first end, and begin again with the second.
		{"22:00-01:30", "America/New_York", "2026-11-01T05:00:00Z", "2026-11-01T05:30:00Z"},
		{"22:00-01:30", "America/New_York", "2026-11-01T06:00:00Z", "2026-11-01T06:30:00Z"},
	} {
		q, err := partner.ParseQuiet(c.quiet)
		if err != nil {
			t.Fatal(err)
		}
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := time.Parse(time.RFC3339, c.at)
		if got := q.Until(at, zone).UTC().Format(time.RFC3339Nano); got != c.until {
			t.Errorf("%s in %s: from %s until %s, want %s", c.quiet, c.zone, c.at, got, c.until)
		}
	}
}

// Minute by minute, around the nights when clocks are moved: until the end all is quiet, at the end
// it is not.
func TestQuietHoursEndWhereTheyEnd(t *testing.T) {
	minutes := make([]int, 24*60)
	for m := range minutes {
		minutes[m] = m
	}
	rapid.Check(t, func(t *rapid.T) {
		from, length := rapid.SampledFrom(minutes).Draw(t, "from"), rapid.SampledFrom(minutes[1:]).Draw(t, "length")
		to := (from + length) % len(minutes)
		clock := func(m int) string { return time.Date(2026, 1, 1, 0, m, 0, 0, time.UTC).Format("15:04") }
		q, err := partner.ParseQuiet(clock(from) + "-" + clock(to))
		if err != nil {
			t.Fatal(err)
		}
		c := rapid.SampledFrom(changes).Draw(t, "zone")
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		start := rapid.SampledFrom([]time.Time{c.spring, c.fall}).Draw(t, "night").Add(time.Duration(rapid.SampledFrom(minutes).Draw(t, "minute")-12*60) * time.Minute)
		end := q.Until(start, zone)
		// Two days at most: a day's only minute that is not quiet may be one that the clock skips.
		if end.Before(start) || end.Sub(start) > 49*time.Hour || q.At(end, zone) {
			t.Fatalf("from %s until %s", start.In(zone), end.In(zone))
		}
		for at := start; at.Before(end); at = at.Add(time.Minute) {
			if !q.At(at, zone) {
				t.Fatalf("%s is not quiet, but %s to %s should be", at.In(zone), start.In(zone), end.In(zone))
			}
		}
		if end.After(start) && !q.At(end.Add(-time.Millisecond), zone) {
			t.Fatalf("the quiet was over before %s", end.In(zone))
		}
	})
}

func TestWhatIsNoQuietHours(t *testing.T) {
	for _, text := range []string{"22-7", "22:00", "22:00-7:00", "24:00-07:00", "22:60-07:00", "22:00-25:00", "22:00-24:01", "08:00-08:00", "00:00-24:00", "22:00-07:00 ", "-1:00-07:00", "22:00–07:00", "night"} {
		if _, err := partner.ParseQuiet(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	night := "nights"
	_, err := partner.Decide(nairobi(func(in *partner.Input) { in.QuietHours = &night }), partner.StandardDefaults())
	if e := fault.As(err); e == nil || e.Fields[0].Pointer != "/quiet_hours" {
		t.Fatal(err)
	}
	d := partner.StandardDefaults()
	d.QuietHours = "21:00-06:00"
	s, err := partner.Decide(nairobi(func(*partner.Input) {}), d)
	if err != nil || !s.Silence().At(time.Date(2026, 11, 9, 23, 0, 0, 0, time.UTC)) {
		t.Fatalf("the network's default is not the store's: %v %v", s.QuietHours, err)
	}
}

func FuzzParseQuiet(f *testing.F) {
	for _, seed := range []string{"", "22:00-07:00", "00:00-24:00", "12:30-12:31", "2:0-3:0", "22:00-07:00\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := partner.ParseQuiet(text)
		if err != nil {
			return
		}
		now := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
		if q.At(q.Until(now, time.UTC), time.UTC) {
			t.Fatalf("%q never ends", text)
		}
	})
}
