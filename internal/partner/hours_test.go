package partner

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func mustHours(t testing.TB, s string) Hours {
	t.Helper()
	h, err := ParseHours(s)
	if err != nil {
		t.Fatalf("ParseHours(%q): %v", s, err)
	}
	return h
}

func mustZone(t testing.TB, iana, country string) *Zone {
	t.Helper()
	z, err := NewZone(iana, country)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// onClock reads "2026-11-21 10:00" as the wall clock of z shows it.
func onClock(t testing.TB, z *Zone, wall string) time.Time {
	t.Helper()
	tm, err := time.ParseInLocation("2006-01-02 15:04", wall, z.Location())
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

func utc(t testing.TB, s string) time.Time {
	t.Helper()
	tm, err := time.Parse("2006-01-02T15:04Z", s)
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

// openRuns scans the minutes from a to b and lists when the store is open, as
// its wall clock shows it.
func openRuns(h Hours, z *Zone, a, b time.Time) string {
	var runs []string
	start := time.Time{}
	for t := a; !t.After(b); t = t.Add(time.Minute) {
		open := h.OpenAt(t, z) && t.Before(b)
		if open && start.IsZero() {
			start = t
		}
		if !open && !start.IsZero() {
			runs = append(runs, start.In(z.Location()).Format("Mon 15:04")+" to "+t.In(z.Location()).Format("Mon 15:04"))
			start = time.Time{}
		}
	}
	return strings.Join(runs, ", ")
}

// The week of 16 to 22 November 2026 has no public holiday in Latvia except
// Wednesday the 18th; clocks do not change.
func TestAWeekAtTheStore(t *testing.T) {
	riga := mustZone(t, "Europe/Riga", "LV")
	for _, c := range []struct{ hours, from, to, want string }{
		{"", "2026-11-21 00:00", "2026-11-23 00:00", "Sat 00:00 to Mon 00:00"},
		{"24/7", "2026-11-21 00:00", "2026-11-23 00:00", "Sat 00:00 to Mon 00:00"},
		{"off", "2026-11-16 00:00", "2026-11-23 00:00", ""},
		{"closed", "2026-11-16 00:00", "2026-11-23 00:00", ""},
		{"Mo-Su off", "2026-11-16 00:00", "2026-11-23 00:00", ""},
		{"10:30-18:00", "2026-11-21 00:00", "2026-11-23 00:00", "Sat 10:30 to Sat 18:00, Sun 10:30 to Sun 18:00"},
		{"Fr 09:00-12:00,13:00-18:00", "2026-11-16 00:00", "2026-11-23 00:00", "Fri 09:00 to Fri 12:00, Fri 13:00 to Fri 18:00"},
		{"Fr 13:00-18:00, 09:00-14:00", "2026-11-16 00:00", "2026-11-23 00:00", "Fri 09:00 to Fri 18:00"},
		{"Fr 09:00-12:00,12:00-18:00", "2026-11-16 00:00", "2026-11-23 00:00", "Fri 09:00 to Fri 18:00"},
		{"Sa-Mo 10:00-11:00", "2026-11-16 00:00", "2026-11-23 00:00", "Mon 10:00 to Mon 11:00, Sat 10:00 to Sat 11:00, Sun 10:00 to Sun 11:00"},
		{"Mo,Fr-Sa 10:00-11:00", "2026-11-16 00:00", "2026-11-23 00:00", "Mon 10:00 to Mon 11:00, Fri 10:00 to Fri 11:00, Sat 10:00 to Sat 11:00"},
		{"Sa 00:00-24:00", "2026-11-16 00:00", "2026-11-23 00:00", "Sat 00:00 to Sun 00:00"},
		{"Sa 10:00-10:00", "2026-11-16 00:00", "2026-11-23 00:00", "Sat 10:00 to Sun 10:00"},
		{"Sa 10-18", "2026-11-16 00:00", "2026-11-23 00:00", "Sat 10:00 to Sat 18:00"},

		// Past midnight, also from Sunday into Monday.
		{"Fr 18:00-02:00", "2026-11-16 00:00", "2026-11-23 00:00", "Fri 18:00 to Sat 02:00"},
		{"Fr 18:00-26:00", "2026-11-16 00:00", "2026-11-23 00:00", "Fri 18:00 to Sat 02:00"},
		{"Su 18:00-02:00", "2026-11-15 12:00", "2026-11-23 00:00", "Sun 18:00 to Mon 02:00, Sun 18:00 to Mon 00:00"},
		{"Fr 12:00-48:00", "2026-11-16 00:00", "2026-11-23 00:00", "Fri 12:00 to Sun 00:00"},

		// A later rule replaces the days it names ...
		{"Mo-Fr 11:00-18:00; Th 11:00-20:00", "2026-11-19 00:00", "2026-11-21 00:00", "Thu 11:00 to Thu 20:00, Fri 11:00 to Fri 18:00"},
		{"Mo-Su 08:00-20:00; Su off", "2026-11-21 00:00", "2026-11-23 00:00", "Sat 08:00 to Sat 20:00"},
		{"Su off; Mo-Su 08:00-20:00", "2026-11-22 00:00", "2026-11-23 00:00", "Sun 08:00 to Sun 20:00"},
		{"Mo-Fr 10:00-18:00; 11:00-15:00", "2026-11-20 00:00", "2026-11-22 00:00", "Fri 11:00 to Fri 15:00, Sat 11:00 to Sat 15:00"},
		{"24/7; Su off", "2026-11-20 00:00", "2026-11-23 00:00", "Fri 00:00 to Sun 00:00"},
		// ... with what the evening before runs into them, but not what they would have run into the next day,
		{"Fr 18:00-02:00; Sa 09:00-12:00", "2026-11-20 00:00", "2026-11-23 00:00", "Fri 18:00 to Sat 00:00, Sat 09:00 to Sat 12:00"},
		{"Sa 09:00-12:00; Fr 18:00-02:00", "2026-11-20 00:00", "2026-11-23 00:00", "Fri 18:00 to Sat 02:00, Sat 09:00 to Sat 12:00"},
		{"22:00-02:00; Th 12:00-14:00", "2026-11-19 00:00", "2026-11-20 12:00", "Thu 12:00 to Thu 14:00, Fri 00:00 to Fri 02:00"},
		{"Fr-Sa 05:00-01:00", "2026-11-20 00:00", "2026-11-23 00:00", "Fri 05:00 to Sat 01:00, Sat 05:00 to Sun 01:00"},
		// ... while a rule after a comma adds.
		{"Fr 18:00-02:00, Sa 09:00-12:00", "2026-11-20 00:00", "2026-11-23 00:00", "Fri 18:00 to Sat 02:00, Sat 09:00 to Sat 12:00"},
		{"Mo-Fr 08:00-12:00, Fr 14:00-18:00", "2026-11-19 00:00", "2026-11-21 00:00", "Thu 08:00 to Thu 12:00, Fri 08:00 to Fri 12:00, Fri 14:00 to Fri 18:00"},

		// off takes away its times only.
		{"Mo-Fr 08:00-18:00; Fr 12:00-13:00 off", "2026-11-20 00:00", "2026-11-21 00:00", "Fri 08:00 to Fri 12:00, Fri 13:00 to Fri 18:00"},
		{"Mo-Fr 08:00-18:00, Fr 12:00-13:00 off", "2026-11-20 00:00", "2026-11-21 00:00", "Fri 08:00 to Fri 12:00, Fri 13:00 to Fri 18:00"},
		{"24/7; Fr 23:00-01:00 off", "2026-11-20 00:00", "2026-11-22 00:00", "Fri 00:00 to Fri 23:00, Sat 01:00 to Sun 00:00"},

		// Public holidays: Wednesday 18 November is Latvia's.
		{"Mo-Fr 08:00-18:00", "2026-11-18 00:00", "2026-11-19 00:00", "Wed 08:00 to Wed 18:00"},
		{"Mo-Fr 08:00-18:00; PH off", "2026-11-18 00:00", "2026-11-20 00:00", "Thu 08:00 to Thu 18:00"},
		{"Mo-Fr 08:00-18:00; Su,PH 10:00-14:00", "2026-11-18 00:00", "2026-11-20 00:00", "Wed 10:00 to Wed 14:00, Thu 08:00 to Thu 18:00"},
		{"PH off; Mo-Fr 08:00-18:00", "2026-11-18 00:00", "2026-11-19 00:00", "Wed 08:00 to Wed 18:00"},
		{"Mo-Fr 08:00-18:00; PH 12:00-13:00 off", "2026-11-18 00:00", "2026-11-19 00:00", "Wed 08:00 to Wed 12:00, Wed 13:00 to Wed 18:00"},
		{"PH 20:00-02:00", "2026-11-16 00:00", "2026-11-23 00:00", "Wed 20:00 to Thu 02:00"},
		{"Tu 20:00-02:00; PH off", "2026-11-16 00:00", "2026-11-23 00:00", "Tue 20:00 to Wed 00:00"},
		{"Tu 20:00-02:00, PH 10:00-12:00", "2026-11-16 00:00", "2026-11-23 00:00", "Tue 20:00 to Wed 02:00, Wed 10:00 to Wed 12:00"},
	} {
		h := mustHours(t, c.hours)
		if got := openRuns(h, riga, onClock(t, riga, c.from), onClock(t, riga, c.to)); got != c.want {
			t.Errorf("%q from %s to %s:\n got %s\nwant %s", c.hours, c.from, c.to, got, c.want)
		}
	}
}

func TestTheClosingMinuteIsClosed(t *testing.T) {
	riga := mustZone(t, "Europe/Riga", "LV")
	h := mustHours(t, "Mo-Su 08:00-22:00")
	for wall, want := range map[string]bool{"07:59": false, "08:00": true, "21:59": true, "22:00": false} {
		when := onClock(t, riga, "2026-11-20 "+wall)
		if h.OpenAt(when, riga) != want || h.OpenAt(when.Add(59*time.Second+999*time.Millisecond), riga) != want {
			t.Errorf("at %s open is not %v for the whole minute", wall, want)
		}
	}
}

func TestCanonicalSpelling(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "24/7"},
		{" \t ", "24/7"},
		{"24/7", "24/7"},
		{"Mo-Su 00:00-24:00", "24/7"},
		{"00:00-00:00", "24/7"},
		{"08:00-22:00", "Mo-Su 08:00-22:00"},
		{"Mo - Fr 8:00 - 18:00", "Mo-Fr 08:00-18:00"},
		{"mo-fr 8-18;SA,su OFF;ph Closed;", "Mo-Fr 08:00-18:00; Sa-Su off; PH off"},
		{"Mo–Fr 08:00–18:00", "Mo-Fr 08:00-18:00"},
		{"Mo-Fr8:00-18:00", "Mo-Fr 08:00-18:00"},
		{"Sa-Mo 9:00-12:00", "Mo,Sa-Su 09:00-12:00"},
		{"PH, Su , Mo, Tu 09:00-12:00", "Mo-Tu,Su,PH 09:00-12:00"},
		{"Mo 14:00-18:00, 08:00-12:00", "Mo 08:00-12:00,14:00-18:00"},
		{"Mo 18:00-26:00", "Mo 18:00-02:00"},
		{"Mo 10:00-10:00", "Mo 10:00-10:00"},
		{"Mo 10:00-36:00", "Mo 10:00-36:00"},
		{"Mo 00:00-48:00", "Mo 00:00-48:00"},
		{"Mo-Fr 07:00-23:00, Sa 09:00-23:00", "Mo-Fr 07:00-23:00, Sa 09:00-23:00"},
		{"Mo 10:00-12:00, Mo-Su 00:00-24:00", "Mo 10:00-12:00, Mo-Su 00:00-24:00"},
		{"24/7, Su 03:00-04:00 off", "24/7, Su 03:00-04:00 off"},
		{"off", "Mo-Su off"},
		{"; ;Mo 10:00-12:00;;", "Mo 10:00-12:00"},
	} {
		h := mustHours(t, c.in)
		if got := h.String(); got != c.want {
			t.Errorf("ParseHours(%q).String() = %q, want %q", c.in, got, c.want)
		}
		if again := mustHours(t, h.String()); !again.Equal(h) {
			t.Errorf("%q and its canonical form %q are open at different times", c.in, h)
		}
	}
}

func TestEqualComparesTheHoursNotTheSpelling(t *testing.T) {
	same := [][2]string{
		{"", "Mo-Fr 00:00-24:00, Sa-Su 00:00-24:00"},
		{"Mo 08:00-12:00,12:00-18:00", "Mo 08:00-18:00"},
		{"Su 22:00-02:00", "Su 22:00-24:00, Mo 00:00-02:00"},
	}
	for _, c := range same {
		if !mustHours(t, c[0]).Equal(mustHours(t, c[1])) {
			t.Errorf("%q and %q should be equal", c[0], c[1])
		}
	}
	other := [][2]string{
		{"", "Mo-Su 00:00-23:59"},
		{"Mo-Su 08:00-18:00", "Mo-Su 08:00-18:00; PH off"},
	}
	for _, c := range other {
		if mustHours(t, c[0]).Equal(mustHours(t, c[1])) {
			t.Errorf("%q and %q should differ", c[0], c[1])
		}
	}
}

func TestRefusalsNameThePart(t *testing.T) {
	for _, c := range []struct{ in, part string }{
		{"Mo-Fr sunrise-sunset", "sunrise-sunset"},
		{"08:00-sunset", "08:00-sunset"},
		{"Mo-Fr 08:00 - sunset; Sa off", "08:00 - sunset"},
		{"Mo-Fr (sunrise+01:00)-18:00", "(sunrise+01:00)-18:00"},
		{"Mo-Fr 10:00-18:00; Jun-Aug Sa 11:00-15:00", "Jun-Aug"},
		{"Jun 06-Aug 13 Mo-Fr 11:00-18:00", "Jun"},
		{"Sa 10:00-16:00; 2017 Jul 1 - 2017 Aug 8 Sa off", "2017"},
		{"week 1-26 Mo 10:00-12:00", "week"},
		{"easter off", "easter"},
		{"Mo-Fr 08:00-18:00; SH off", "SH"},
		{"Mo-Fr,SH 08:00-18:00", "SH"},
		{"PH -1 day off", "-1"},
		{"PH Mo-Fr 10:00-12:00", "Mo-Fr"},
		{"Th[1] 10:00-12:00", "Th[1]"},
		{"Mo-Fr 08:00-18:00 open", "open"},
		{"open", "open"},
		{"Mo-Fr 08:00-18:00 unknown", "unknown"},
		{`Mo-Fr 08:00-18:00 "by appointment; call"`, `"by appointment; call"`},
		{`Mo-Fr "by appointment"`, `"by appointment"`},
		{`"by appointment"`, `"by appointment"`},
		{`"open`, `"open`},
		{`Mo 10:00-12:00 || "call"`, "||"},
		{"Mo-Fr 10:00+", "10:00+"},
		{"Mo-Fr 10:00-16:00+", "10:00-16:00+"},
		{"Mo-Fr 10:00", "10:00"},
		{"Mo-Fr 10:00-16:00/01:30", "10:00-16:00/01:30"},
		{"Mo-Fr 10.00-16.00", "10.00-16.00"},
		{"Mo-Fr 8am-6pm", "8am-6pm"},
		{"Mo-Fr 1000-1800", "1000-1800"},
		{"Mo-Fr 10:60-12:00", "10:60-12:00"},
		{"Mo-Fr 10:5-12:00", "10:5-12:00"},
		{"Mo-Fr 10:00-49:00", "10:00-49:00"},
		{"Mo-Fr 24:00-26:00", "24:00-26:00"},
		{"Mo-Fr 24/7", "24/7"},
		{"We-Fr 13:00-18:00 Sa 12:00-18:00", "Sa"},
		{"Mo 08:00-12:00 14:00-18:00", "14:00-18:00"},
		{"Mo-Fr", "Mo-Fr"},
		{"Mo-Fr ; Sa 10:00-12:00", "Mo-Fr"},
		{"Mo-Fr: 10:00-12:00", "Mo-Fr:"},
		{"Mo-Fr, 10:00-12:00", "10:00-12:00"},
		{"Mo-PH 10:00-12:00", "Mo-PH"},
		{"PH-Mo 10:00-12:00", "PH-Mo"},
		{"Mo-Foo 10:00-12:00", "Mo-Foo"},
		{"Mo- 10:00-12:00", "Mo- 10:00-12:00"},
		{"Monday 10:00-12:00", "Monday"},
		{"Mon-Fri 10:00-12:00", "Mon-Fri"},
		{"Montag", "Montag"},
		{"Seasonal, only summer time", "Seasonal"},
		{"Mo 10:00-12:00,", ","},
		{"Mo 10:00-12:00,; Tu off", ","},
		{"Mo,", ","},
		{",", ","},
		{";;", ";;"},
		{"月-金 10:00-12:00", "月-金"},
		{"Mo \xff", "\xff"},
	} {
		h, err := ParseHours(c.in)
		var refused *HoursError
		if !errors.As(err, &refused) {
			t.Errorf("ParseHours(%q) = %q, %v; want a refusal of %q", c.in, h, err, c.part)
			continue
		}
		if refused.Part != c.part || refused.Reason == "" {
			t.Errorf("ParseHours(%q) refuses %q (%s), want %q", c.in, refused.Part, refused.Reason, c.part)
		}
		if !strings.Contains(err.Error(), fmt.Sprintf("%q", c.part)) {
			t.Errorf("the message %q does not name %q", err, c.part)
		}
	}
}

func TestTextsMadeToKeepUsBusyAreRefused(t *testing.T) {
	for _, in := range []string{
		strings.Repeat("Mo 10:00-12:00;", 101),
		"Mo 10:00-12:00" + strings.Repeat(",13:00-14:00", 200),
		strings.Repeat("é", 100_000),
	} {
		_, err := ParseHours(in)
		var refused *HoursError
		if !errors.As(err, &refused) || len(refused.Part) > maxPart+len("…") {
			t.Errorf("%.40q...: got %.300v", in, err)
		}
	}
	mustHours(t, strings.Repeat("Mo 10:00-12:00;", 100))
}

func TestZones(t *testing.T) {
	for _, name := range []string{"", "Local", "Europe/Atlantis", "../etc/passwd", "UTC+2"} {
		if z, err := NewZone(name, "LV"); err == nil {
			t.Errorf("NewZone(%q) = %v, want an error", name, z.Location())
		}
	}
	if mustZone(t, "Europe/Riga", "LV") != mustZone(t, "Europe/Riga", "lv") {
		t.Error("the same zone was made twice")
	}
	if mustZone(t, "Europe/Riga", "") != mustZone(t, "Europe/Riga", "XX") {
		t.Error("countries without a calendar should share a zone")
	}
	if got := mustZone(t, "Asia/Shanghai", "CN").Location().String(); got != "Asia/Shanghai" {
		t.Errorf("location = %s", got)
	}
}

func TestPublicHolidays(t *testing.T) {
	ph := mustHours(t, "PH 12:00-13:00")
	for _, c := range []struct {
		iana, country, date string
		want                bool
	}{
		{"Europe/Riga", "LV", "2026-11-18", true}, // Proclamation Day
		{"Europe/Riga", "LV", "2026-11-19", false},
		{"Europe/Riga", "EE", "2026-12-25", false}, // no calendar for Estonia: PH never applies
		{"Europe/Berlin", "DE", "2026-04-06", true},
		{"Europe/Berlin", "DE", "2026-10-31", false}, // Reformation Day, some states only
		{"America/New_York", "US", "2026-07-04", true},
		{"America/New_York", "US", "2026-07-03", true},  // observed
		{"America/New_York", "US", "2021-12-31", true},  // New Year's Day of 2022, observed
		{"America/New_York", "US", "2026-12-31", false}, // 1 January 2027 is a Friday
		{"Europe/London", "GB", "2027-12-27", true},     // substitute for Christmas Day on a Saturday
		{"Asia/Tokyo", "JP", "2026-09-22", true},        // between two holidays
		{"Australia/Sydney", "AU", "2026-01-26", true},
		{"Australia/Melbourne", "AU", "2026-11-03", false}, // Melbourne Cup, Victoria only
		{"Europe/Zurich", "CH", "2026-08-01", true},
		{"Europe/Zurich", "CH", "2026-03-19", false}, // St Joseph, some cantons only
		{"Europe/Stockholm", "SE", "2026-12-24", false},
		{"Europe/Stockholm", "SE", "2026-12-25", true},
		{"Europe/Berlin", "DE", "1969-12-25", true}, // before the cached years
		{"Europe/Berlin", "DE", "2400-12-25", true}, // and after them
	} {
		z := mustZone(t, c.iana, c.country)
		if got := ph.OpenAt(onClock(t, z, c.date+" 12:30"), z); got != c.want {
			t.Errorf("%s in %s: public holiday = %v, want %v", c.date, c.country, got, c.want)
		}
	}
}

// Every country's rules run for every year that is kept, and give each a
// plausible number of days off.
func TestEveryCalendarHasHolidaysEveryYear(t *testing.T) {
	for country, p := range calendars {
		for _, year := range []int{2024, 2025, 2026, 2027, 2028, 2040} {
			n := 0
			for day := 1; day <= 366; day++ {
				if p.of(year).has(day) {
					n++
				}
			}
			if n < 4 || n > 25 {
				t.Errorf("%s %d: %d public holidays", country, year, n)
			}
		}
	}
}

// The evening of a holiday belongs to the holiday, also past a new year.
func TestHoursOfAHolidayRunIntoTheDayAfter(t *testing.T) {
	riga := mustZone(t, "Europe/Riga", "LV")
	h := mustHours(t, "Mo-Su 10:00-12:00, PH 20:00-02:00")
	got := openRuns(h, riga, onClock(t, riga, "2026-12-31 09:00"), onClock(t, riga, "2027-01-02 09:00"))
	want := "Thu 10:00 to Thu 12:00, Thu 20:00 to Fri 02:00, Fri 10:00 to Fri 12:00, Fri 20:00 to Sat 02:00"
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// Clocks: what a store does on the nights they are moved.
func TestDaylightSavingNights(t *testing.T) {
	for _, c := range []struct {
		story, zone, country, hours string
		from                        string // wall clock, for 24 hours and then some
		duration                    time.Duration
		want                        string
	}{
		{"Berlin, 02:00 becomes 03:00: hours inside the jump do not happen",
			"Europe/Berlin", "DE", "02:15-02:45", "2026-03-29 00:00", 23 * time.Hour, ""},
		{"a closing time inside the jump is at the jump",
			"Europe/Berlin", "DE", "Sa 22:00-02:30", "2026-03-28 12:00", 24 * time.Hour, "Sat 22:00 to Sun 03:00"},
		{"so is an opening time",
			"Europe/Berlin", "DE", "Su 02:30-10:00", "2026-03-29 00:00", 23 * time.Hour, "Sun 03:00 to Sun 10:00"},
		{"Berlin, 03:00 becomes 02:00: hours inside the repeated hour happen twice",
			"Europe/Berlin", "DE", "02:15-02:45", "2026-10-25 00:00", 25 * time.Hour, "Sun 02:15 to Sun 02:45, Sun 02:15 to Sun 02:45"},
		{"closed at 02:30, open again while the clock repeats 02:00 to 02:30",
			"Europe/Berlin", "DE", "Sa 22:00-02:30", "2026-10-24 12:00", 24 * time.Hour, "Sat 22:00 to Sun 02:30, Sun 02:00 to Sun 02:30"},
		{"a long day is open an hour longer, not till another time",
			"Europe/Berlin", "DE", "Su 00:00-10:00", "2026-10-25 00:00", 25 * time.Hour, "Sun 00:00 to Sun 10:00"},
		{"New York, spring",
			"America/New_York", "US", "Sa 20:00-02:30", "2026-03-07 12:00", 24 * time.Hour, "Sat 20:00 to Sun 03:00"},
		{"New York, autumn",
			"America/New_York", "US", "Su 01:30-09:00", "2026-11-01 00:00", 25 * time.Hour, "Sun 01:30 to Sun 01:00, Sun 01:30 to Sun 09:00"},
		{"Lord Howe moves by half an hour: 02:00 becomes 02:30",
			"Australia/Lord_Howe", "AU", "Su 02:10-02:40", "2026-10-04 00:00", 23 * time.Hour, "Sun 02:30 to Sun 02:40"},
		{"and back, 02:00 becomes 01:30",
			"Australia/Lord_Howe", "AU", "Su 01:40-02:10", "2026-04-05 00:00", 24 * time.Hour, "Sun 01:40 to Sun 01:30, Sun 01:40 to Sun 02:10"},
		{"Shanghai keeps its clock, and CN has no calendar",
			"Asia/Shanghai", "CN", "Sa 22:00-02:30; PH off", "2026-10-24 12:00", 24 * time.Hour, "Sat 22:00 to Sun 02:30"},
		{"São Paulo 2018 skipped midnight itself",
			"America/Sao_Paulo", "BR", "Sa 20:00-00:30", "2018-11-03 12:00", 24 * time.Hour, "Sat 20:00 to Sun 01:00"},
	} {
		z := mustZone(t, c.zone, c.country)
		from := onClock(t, z, c.from)
		if got := openRuns(mustHours(t, c.hours), z, from, from.Add(c.duration)); got != c.want {
			t.Errorf("%s: %s %q\n got %s\nwant %s", c.story, c.zone, c.hours, got, c.want)
		}
	}
}

func TestNextChange(t *testing.T) {
	for _, c := range []struct{ zone, country, hours, from, want string }{
		{"Europe/Riga", "LV", "Mo-Fr 09:00-18:00", "2026-11-20T10:00Z", "2026-11-20T16:00Z closes"},
		{"Europe/Riga", "LV", "Mo-Fr 09:00-18:00", "2026-11-20T16:00Z", "2026-11-23T07:00Z opens"},
		{"Europe/Riga", "LV", "Mo-Fr 09:00-18:00; PH off", "2026-11-17T16:00Z", "2026-11-19T07:00Z opens"},
		{"Europe/Riga", "LV", "Mo-Su 09:00-24:00", "2026-11-20T10:00Z", "2026-11-20T22:00Z closes"},
		{"Europe/Riga", "LV", "Fr 18:00-02:00", "2026-11-20T20:00Z", "2026-11-21T00:00Z closes"},
		{"Europe/Riga", "LV", "Fr 18:00-24:00, Sa 00:00-03:00", "2026-11-20T20:00Z", "2026-11-21T01:00Z closes"},
		{"Europe/Riga", "LV", "Fr 18:00-19:00", "2026-11-20T17:00Z", "2026-11-27T16:00Z opens"},
		{"Europe/Riga", "LV", "We 18:00-19:00; PH off", "2026-11-11T17:00Z", "2026-11-25T16:00Z opens"}, // the 18th is a holiday
		{"Europe/Riga", "LV", "24/7", "2026-11-20T10:00Z", "none, open"},
		{"Europe/Riga", "LV", "Mo-Fr 00:00-24:00, Sa-Su 00:00-24:00", "2026-11-20T10:00Z", "none, open"},
		{"Europe/Riga", "LV", "", "2026-11-20T10:00Z", "none, open"},
		{"Europe/Riga", "LV", "off", "2026-11-20T10:00Z", "none, closed"},
		{"Europe/Riga", "EE", "PH 10:00-12:00", "2026-12-20T10:00Z", "none, closed"},
		{"Europe/Berlin", "DE", "02:15-02:45", "2026-03-28T02:00Z", "2026-03-30T00:15Z opens"},    // none on the 29th
		{"Europe/Berlin", "DE", "Su 02:30-10:00", "2026-03-28T22:00Z", "2026-03-29T01:00Z opens"}, // at the jump
		{"Europe/Berlin", "DE", "Sa 22:00-02:30", "2026-03-28T22:00Z", "2026-03-29T01:00Z closes"},
		{"Europe/Berlin", "DE", "Sa 22:00-02:30", "2026-10-25T00:00Z", "2026-10-25T00:30Z closes"},
		{"Europe/Berlin", "DE", "Sa 22:00-02:30", "2026-10-25T00:30Z", "2026-10-25T01:00Z opens"}, // 02:00 again
		{"Europe/Berlin", "DE", "Sa 22:00-02:30", "2026-10-25T01:00Z", "2026-10-25T01:30Z closes"},
		{"Australia/Lord_Howe", "AU", "Su 02:10-02:40", "2026-10-03T12:00Z", "2026-10-03T15:30Z opens"},
		{"America/New_York", "US", "Su 00:00-10:00", "2026-11-01T04:00Z", "2026-11-01T15:00Z closes"},
		{"Asia/Shanghai", "CN", "08:00-20:00", "2026-11-20T00:00Z", "2026-11-20T12:00Z closes"},
	} {
		z := mustZone(t, c.zone, c.country)
		when, open, ok := mustHours(t, c.hours).NextChange(utc(t, c.from), z)
		got := "none, " + map[bool]string{true: "open", false: "closed"}[open]
		if ok {
			got = when.UTC().Format("2006-01-02T15:04Z ") + map[bool]string{true: "opens", false: "closes"}[open]
		}
		if got != c.want {
			t.Errorf("%s %q after %s: %s, want %s", c.zone, c.hours, c.from, got, c.want)
		}
	}
}

// The oracle. A rule as a person would explain it, and whether a store is open
// in one minute, worked out from the rules alone, one after the other.
type plainRule struct {
	weekdays   map[time.Weekday]bool
	holidays   bool
	times      [][2]int // minutes, the end up to 2880
	off        bool
	additional bool
}

func plainOpen(rules []plainRule, year int, month time.Month, day, minute int, isHoliday func(time.Time) bool) bool {
	today := time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
	yesterday := today.AddDate(0, 0, -1)
	open := false
	for _, r := range rules {
		names := func(d time.Time) bool { return r.weekdays[d.Weekday()] || r.holidays && isHoliday(d) }
		hit := r.off && len(r.times) == 0 && names(today)
		for _, tm := range r.times {
			hit = hit || names(today) && tm[0] <= minute && minute < tm[1]
			hit = hit || names(yesterday) && tm[0] <= minute+1440 && minute+1440 < tm[1]
		}
		if names(today) && !r.off && !r.additional {
			open = false
		}
		if hit {
			open = !r.off
		}
	}
	return open
}

// Easter 2026 and the turn of the year in Germany.
func germanHoliday(d time.Time) bool {
	return slices.Contains([]string{"2026-04-03", "2026-04-06", "2026-05-01", "2026-12-25", "2026-12-26", "2027-01-01"}, d.Format("2006-01-02"))
}

var weekdayNames = []string{"Su", "Mo", "Tu", "We", "Th", "Fr", "Sa"} // as time.Weekday counts

// drawRule draws a rule and one of the many ways to write it.
func drawRule(t *rapid.T, first bool) (plainRule, string) {
	r := plainRule{weekdays: map[time.Weekday]bool{}}
	var days []string
	for range rapid.IntRange(0, 3).Draw(t, "days") {
		a := rapid.IntRange(0, 6).Draw(t, "day")
		n := rapid.SampledFrom([]int{0, 0, 1, 2, 4, 6}).Draw(t, "days more")
		for i := 0; i <= n; i++ {
			r.weekdays[time.Weekday((a+i)%7)] = true
		}
		text := weekdayNames[a]
		if n > 0 {
			text += rapid.SampledFrom([]string{"-", " - "}).Draw(t, "dash") + weekdayNames[(a+n)%7]
		}
		days = append(days, text)
	}
	if r.holidays = rapid.IntRange(0, 3).Draw(t, "holidays") == 0; r.holidays {
		days = append(days, "PH")
	}
	text := strings.Join(days, rapid.SampledFrom([]string{",", ", "}).Draw(t, "comma"))
	if len(days) == 0 {
		for d := range time.Weekday(7) {
			r.weekdays[d] = true
		}
	} else if !first {
		// Without days the text after a comma would go on with the times before.
		r.additional = rapid.Bool().Draw(t, "additional")
	}
	r.off = rapid.IntRange(0, 3).Draw(t, "off") == 0
	least := 1
	if r.off {
		least = 0
	}
	var times []string
	for range rapid.IntRange(least, 3).Draw(t, "times") {
		from := rapid.SampledFrom([]int{0, 30, 540, 600, 720, 1080, 1260, 1439}).Draw(t, "from")
		to := rapid.SampledFrom([]int{0, 15, 120, 600, 720, 1200, 1439, 1440, 1500, 2000, 2880}).Draw(t, "to")
		times = append(times, fmt.Sprintf("%02d:%02d-%02d:%02d", from/60, from%60, to/60, to%60))
		if to <= from {
			to += 1440
		}
		r.times = append(r.times, [2]int{from, to})
	}
	text = strings.TrimSpace(text + " " + strings.Join(times, ","))
	if r.off {
		text = strings.TrimSpace(text + " " + rapid.SampledFrom([]string{"off", "closed"}).Draw(t, "word"))
	}
	return r, text
}

func drawHours(t *rapid.T) ([]plainRule, string) {
	var rules []plainRule
	text := ""
	for i := range rapid.IntRange(1, 5).Draw(t, "rules") {
		r, part := drawRule(t, i == 0)
		switch {
		case r.additional:
			text += ", " + part
		case i > 0:
			text += rapid.SampledFrom([]string{"; ", ";"}).Draw(t, "semicolon") + part
		default:
			text = part
		}
		rules = append(rules, r)
	}
	return rules, text
}

func TestHoursAgreeWithReadingTheRulesMinuteByMinute(t *testing.T) {
	berlin := mustZone(t, "Europe/Berlin", "DE")
	rapid.Check(t, func(t *rapid.T) {
		rules, text := drawHours(t)
		h, err := ParseHours(text)
		if err != nil {
			t.Fatal(err)
		}
		first := rapid.SampledFrom([]string{"2026-03-28", "2026-04-02", "2026-12-24", "2026-12-30"}).Draw(t, "first day")
		start, _ := time.ParseInLocation("2006-01-02", first, berlin.Location())
		for when := start; when.Before(start.AddDate(0, 0, 4)); when = when.Add(time.Minute) {
			l := when.In(berlin.Location())
			want := plainOpen(rules, l.Year(), l.Month(), l.Day(), 60*l.Hour()+l.Minute(), germanHoliday)
			if got := h.OpenAt(when, berlin); got != want {
				t.Fatalf("%q (%s) at %v: open = %v, want %v", text, h, l, got, want)
			}
		}
		again, err := ParseHours(h.String())
		if err != nil || !again.Equal(h) || again.String() != h.String() {
			t.Fatalf("%q -> %q -> %q, %v", text, h, again, err)
		}
	})
}

func TestNextChangeIsTheFirstChange(t *testing.T) {
	zones := []*Zone{
		mustZone(t, "Europe/Berlin", "DE"), mustZone(t, "America/New_York", "US"),
		mustZone(t, "Australia/Lord_Howe", "AU"), mustZone(t, "America/St_Johns", "CA"),
	}
	// A few hours before a change of clocks, a holiday, or nothing special.
	starts := []string{"2026-03-28T20:00Z", "2026-10-24T20:00Z", "2026-03-07T20:00Z", "2026-11-01T01:00Z",
		"2026-04-04T10:00Z", "2026-10-03T10:00Z", "2006-10-28T23:00Z", "2026-12-24T12:00Z", "2026-06-10T00:00Z"}
	rapid.Check(t, func(rt *rapid.T) {
		_, text := drawHours(rt)
		h, err := ParseHours(text)
		if err != nil {
			rt.Fatal(err)
		}
		z := rapid.SampledFrom(zones).Draw(rt, "zone")
		start := utc(t, rapid.SampledFrom(starts).Draw(rt, "start")).
			Add(time.Duration(rapid.IntRange(0, 12*3600).Draw(rt, "seconds")) * time.Second)
		open := h.OpenAt(start, z)
		next, openAfter, ok := h.NextChange(start, z)
		last := start.Add(14 * 24 * time.Hour)
		if ok {
			if !next.After(start) || next.After(last) || openAfter == open || h.OpenAt(next, z) != openAfter {
				rt.Fatalf("%q from %v: next change %v to %v", text, start, next, openAfter)
			}
			last = next.Add(-time.Nanosecond)
		} else if openAfter != open {
			rt.Fatalf("%q from %v: nothing changes, yet openAfter = %v", text, start, openAfter)
		}
		for when := start; when.Before(last); when = when.Truncate(time.Minute).Add(time.Minute) {
			if h.OpenAt(when, z) != open {
				rt.Fatalf("%q from %v: changes at %v, not at %v", text, start, when.In(z.Location()), next)
			}
		}
		if h.OpenAt(last, z) != open {
			rt.Fatalf("%q from %v: changed before %v", text, start, last)
		}
	})
}

func FuzzParseHours(f *testing.F) {
	for _, s := range []string{
		"", "24/7", "Mo-Fr 08:00-21:00; Sa,Su 09:00-18:00; PH off", "Mo - Fr 8-18, Sa 10:00-26:00;",
		"Sa-Mo 22:00-02:00 off", "Su,PH closed", "Mo-Fr sunrise-sunset", `Mo "by appointment" || off`,
		"24/7, Mo 10:00-10:00", "Mo\u00a0–\u2003Fr 1-2", "Mo-Fr 10:00-18:00 Sa", "\xff;\"", ",;,",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHours(s)
		var refused *HoursError
		if err != nil {
			if !errors.As(err, &refused) || refused.Part == "" || refused.Reason == "" {
				t.Fatalf("%q: %v", s, err)
			}
			if !strings.HasSuffix(refused.Part, "…") && !strings.Contains(s, refused.Part) {
				t.Fatalf("%q: the named part %q is not in it", s, refused.Part)
			}
			return
		}
		again, err := ParseHours(h.String())
		if err != nil || !again.Equal(h) || again.String() != h.String() {
			t.Fatalf("%q -> %q -> %q, %v", s, h, again, err)
		}
	})
}

// realHours returns a column of one of the data files, without blanks.
func realHours(t *testing.T, file, column string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", file))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("SKIPPED, real data not checked: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.Index(rows[0], column)
	var all []string
	for _, row := range rows[1:] {
		if row[i] != "" {
			all = append(all, row[i])
		}
	}
	return all
}

// What shops and pickup points really publish is understood, except what lies
// outside the subset, and read as the oracle reads it.
func TestRealOpeningHours(t *testing.T) {
	riga := mustZone(t, "Europe/Riga", "LV")
	start := onClock(t, riga, "2026-11-16 00:00")
	latvianHoliday := func(d time.Time) bool { return d.Format("01-02") == "11-18" }
	for _, c := range []struct {
		file, column string
		floor        float64 // least share of the rows that is understood
	}{
		{"stores_baltic_pickup_points.csv", "hours", 1},
		{"stores_osm_shops.csv", "opening_hours", 0.95},
	} {
		t.Run(c.file, func(t *testing.T) {
			rows := realHours(t, c.file, c.column)
			understood := 0
			checked := map[string]bool{}
			for _, text := range rows {
				h, err := ParseHours(text)
				if err != nil {
					t.Logf("%q: %v", text, err)
					continue
				}
				understood++
				if checked[text] {
					continue
				}
				checked[text] = true
				rules := readPlainly(t, text)
				for m := range 8 * 1440 {
					when := start.Add(time.Duration(m) * time.Minute)
					want := plainOpen(rules, 2026, time.November, 16+m/1440, m%1440, latvianHoliday)
					if got := h.OpenAt(when, riga); got != want {
						t.Fatalf("%q on %v: open = %v, want %v", text, when, got, want)
					}
				}
			}
			share := float64(understood) / float64(len(rows))
			t.Logf("%d of %d rows understood (%.1f %%), %d different texts", understood, len(rows), 100*share, len(checked))
			if share < c.floor {
				t.Errorf("understood %.3f of the rows, want at least %.3f", share, c.floor)
			}
		})
	}
}

var (
	plainNextRule = regexp.MustCompile(`(\d|off|closed)\s*,\s*([A-Z])`)
	plainTime     = regexp.MustCompile(`(\d+)(?::(\d\d))?-(\d+)(?::(\d\d))?`)
	plainDays     = regexp.MustCompile(`([MTWFS][a-z])(?:-([MTWFS][a-z]))?`)
)

// readPlainly is a second, careless reader, good enough for the real texts
// that ParseHours accepts.
func readPlainly(t *testing.T, text string) []plainRule {
	var rules []plainRule
	text = strings.ReplaceAll(text, "24/7", "Mo-Su 00:00-24:00")
	for part := range strings.SplitSeq(plainNextRule.ReplaceAllString(text, "$1;+$2"), ";") {
		r := plainRule{weekdays: map[time.Weekday]bool{}, holidays: strings.Contains(part, "PH"),
			off: strings.Contains(part, "off") || strings.Contains(part, "closed"), additional: strings.Contains(part, "+")}
		number := func(s string) int { n, _ := strconv.Atoi(s); return n }
		for _, m := range plainTime.FindAllStringSubmatch(part, -1) {
			from, to := 60*number(m[1])+number(m[2]), 60*number(m[3])+number(m[4])
			if to <= from {
				to += 1440
			}
			r.times = append(r.times, [2]int{from, to})
		}
		days := plainDays.FindAllStringSubmatch(part, -1)
		if len(days) == 0 && !r.holidays {
			days = [][]string{{"", "Mo", "Su"}}
		}
		for _, d := range days {
			first := slices.Index(weekdayNames, d[1])
			last := first
			if d[2] != "" {
				last = slices.Index(weekdayNames, d[2])
			}
			if first < 0 || last < 0 {
				t.Fatalf("the plain reader does not know the days of %q", part)
			}
			for ; first%7 != last; first++ {
				r.weekdays[time.Weekday(first%7)] = true
			}
			r.weekdays[time.Weekday(last)] = true
		}
		rules = append(rules, r)
	}
	return rules
}

func TestAskingDoesNotAllocate(t *testing.T) {
	riga := mustZone(t, "Europe/Riga", "LV")
	h := mustHours(t, "Mo-Fr 08:00-12:00,13:00-18:00; Sa 22:00-02:00; PH off")
	when := onClock(t, riga, "2026-11-18 10:00")
	h.OpenAt(when, riga) // the first question of a year works out its holidays
	if n := testing.AllocsPerRun(100, func() { h.OpenAt(when, riga) }); n != 0 {
		t.Errorf("OpenAt allocates %v times", n)
	}
}

func BenchmarkOpenAt(b *testing.B) {
	riga := mustZone(b, "Europe/Riga", "LV")
	h := mustHours(b, "Mo-Fr 08:00-12:00,13:00-18:00; Sa 09:00-12:00; PH off")
	when := onClock(b, riga, "2026-11-18 10:00")
	b.ReportAllocs()
	for b.Loop() {
		h.OpenAt(when, riga)
	}
}

func BenchmarkOpen(b *testing.B) {
	riga := mustZone(b, "Europe/Riga", "LV")
	h := mustHours(b, "Mo-Fr 08:00-12:00,13:00-18:00; Sa 09:00-12:00; PH off")
	m := riga.Local(onClock(b, riga, "2026-11-19 17:00"))
	b.ReportAllocs()
	for b.Loop() {
		h.Open(m)
	}
}

func BenchmarkCompileHours(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		rules, err := (&hoursParser{text: "Mo-Fr 08:00-12:00,13:00-18:00; Sa 09:00-12:00; PH off"}).rules()
		if err != nil {
			b.Fatal(err)
		}
		compile(rules)
	}
}

func BenchmarkParseKnownHours(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mustHours(b, "Mo-Fr 08:00-12:00,13:00-18:00; Sa 09:00-12:00; PH off")
	}
}

func BenchmarkNextChange(b *testing.B) {
	riga := mustZone(b, "Europe/Riga", "LV")
	h := mustHours(b, "Mo-Fr 08:00-12:00,13:00-18:00; Sa 09:00-12:00; PH off")
	when := onClock(b, riga, "2026-11-20 20:00")
	b.ReportAllocs()
	for b.Loop() {
		h.NextChange(when, riga)
	}
}
