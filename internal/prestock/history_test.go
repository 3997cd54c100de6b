package prestock

import (
	"math"
	"slices"
	"testing"
	"time"

	"doorstep/internal/partner"

	"pgregory.net/rapid"
)

// While it is the day before in the west, that day is not taken for a whole one, wherever it is over.
func TestTheLastWholeDay(t *testing.T) {
	for _, c := range []struct {
		now, last string
		zones     []string
	}{
		{"2026-11-22T01:30:00Z", "2026-11-21", nil},
		{"2026-11-22T01:30:00Z", "2026-11-21", []string{"Africa/Nairobi", "Asia/Shanghai"}},
		{"2026-11-22T01:30:00Z", "2026-11-20", []string{"Africa/Nairobi", "America/Los_Angeles"}},
		{"2026-11-22T07:59:59Z", "2026-11-20", []string{"America/Los_Angeles"}},
		{"2026-11-22T08:00:00Z", "2026-11-21", []string{"America/Los_Angeles"}},
		{"2026-11-22T20:00:00Z", "2026-11-21", []string{"Asia/Shanghai"}},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		sh := &sheet{now: now, zones: map[*partner.Zone]int{}}
		for _, name := range c.zones {
			z, err := partner.NewZone(name, "")
			if err != nil {
				t.Fatal(err)
			}
			sh.zones[z]++
		}
		if got := time.Unix(int64(sh.lastWhole())*86400, 0).UTC().Format(time.DateOnly); got != c.last {
			t.Errorf("at %s with %v the last whole day is %s, want %s", c.now, c.zones, got, c.last)
		}
	}
}

// Hours without goods weigh as much as the opening hours they are of.
func TestShareOfADayWithGoods(t *testing.T) {
	var w weeks
	store := func(hours string) int32 {
		in := partner.Input{Name: new("Duka"), TimeZone: new("Africa/Nairobi"), Lat: new(-1.3), Lng: new(36.8), OpeningHours: &hours}
		s, err := partner.Decide(in, partner.StandardDefaults())
		if err != nil {
			t.Fatal(err)
		}
		return w.of(&s)
	}
	always, short := store(""), store("Mo-Fr 08:00-16:00; Sa 09:00-13:00")
	if again := store("Mo-Fr 08:00-16:00; Sa 09:00-13:00"); again != short || len(w.list) != 2 {
		t.Errorf("%d and %d of %d weeks", short, again, len(w.list))
	}
	day := func(s string) int64 {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d.Unix() / 86400
	}
	for _, c := range []struct {
		week    int32
		day     string
		without float64
		want    float64
	}{
		{always, "2026-11-02", 6, 0.75}, {short, "2026-11-02", 6, 0.25}, {short, "2026-11-06", 8, 0}, {short, "2026-11-07", 1, 0.75},
		{short, "2026-11-07", 9, 0}, {short, "2026-11-08", 6, 0.75}, {short, "2026-11-02", 0, 1}, {short, "1969-12-29", 4, 0.5},
	} {
		if got := w.open(c.week, day(c.day), c.without); got != c.want {
			t.Errorf("%v hours without goods on %s: %v, expected %v", c.without, c.day, got, c.want)
		}
	}
}

// A day is free where it is a holiday for most stores.
func TestFreeDays(t *testing.T) {
	zone := func(iana, country string) *partner.Zone {
		z, err := partner.NewZone(iana, country)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	from := int32(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC).Unix() / 86400)
	// Good Friday and Easter Monday are 3 and 6 April; in the United States both are working days.
	for _, c := range []struct {
		germans int
		want    []int32
	}{{6, []int32{from + 2, from + 5}}, {5, nil}, {4, nil}} {
		zones := map[*partner.Zone]int{zone("Europe/Berlin", "DE"): c.germans, zone("America/New_York", "US"): 5}
		if got := freeDays(zones, from, from+10); !slices.Equal(got, c.want) {
			t.Errorf("%d of %d stores: %v, expected %v", c.germans, c.germans+5, got, c.want)
		}
	}
}

// Hours without goods are the same counted at once or in parts, by the days of the store's own clock.
func TestEmptyHoursAddUp(t *testing.T) {
	hard := []struct{ zone, at string }{{"Europe/Berlin", "2026-03-29T01:00:00Z"}, {"Europe/Berlin", "2026-10-25T01:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04T03:00:00Z"}, {"Australia/Lord_Howe", "2026-10-03T15:30:00Z"}, {"Africa/Nairobi", "2026-11-02T00:00:00Z"}}
	where := map[string][2]float64{"Europe/Berlin": {52.5, 13.4}, "America/Sao_Paulo": {-23.5, -46.6}, "Australia/Lord_Howe": {-31.5, 159.1}, "Africa/Nairobi": {-1.3, 36.8}}
	rapid.Check(t, func(rt *rapid.T) {
		place := rapid.SampledFrom(hard).Draw(rt, "place")
		hours := rapid.SampledFrom([]string{"", "24/7", "Mo-Fr 08:00-12:00,13:00-18:30; Sa 10:00-14:00", "Mo-Su 20:00-03:00", "Su 01:00-04:00", "Mo-Su off"}).Draw(rt, "hours")
		in := partner.Input{Name: new("Duka"), TimeZone: &place.zone, Lat: new(where[place.zone][0]), Lng: new(where[place.zone][1]), OpeningHours: &hours}
		s, err := partner.Decide(in, partner.StandardDefaults())
		if err != nil {
			t.Fatal(err)
		}
		mid, err := time.Parse(time.RFC3339, place.at)
		if err != nil {
			t.Fatal(err)
		}
		minutes := rapid.SliceOfN(rapid.IntRange(-6000, 6000), 3, 3).Draw(rt, "minutes")
		slices.Sort(minutes)
		at := func(i int) time.Time { return mid.Add(time.Duration(minutes[i]) * time.Minute) }
		whole, parts := emptyHours(&s, at(0), at(2)), emptyHours(&s, at(0), at(1))
		for day, h := range emptyHours(&s, at(1), at(2)) {
			parts[day] += h
		}
		open := 0.0
		for m := at(0); m.Before(at(2)); m = m.Add(time.Minute) {
			if s.OpenAt(m) {
				open += 1. / 60
			}
		}
		for day, h := range whole {
			if open -= h; math.Abs(parts[day]-h) > 1e-9 || h <= 0 || h > 25 {
				rt.Fatalf("day %d has %v hours, in parts %v", day, h, parts[day])
			}
		}
		if len(parts) != len(whole) || math.Abs(open) > 1e-6 {
			rt.Fatalf("%v in parts %v, %v hours are missing", whole, parts, open)
		}
	})
}
