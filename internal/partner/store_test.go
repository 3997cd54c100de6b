package partner_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/fault"
	"doorstep/internal/partner"
)

func p[T any](v T) *T { return &v }

// nairobi is a store that is all right; each test says what is different about its own.
func nairobi(more ...func(*partner.Input)) partner.Input {
	in := partner.Input{Name: p("Mama Njeri's shop"), Lat: p(-1.2864), Lng: p(36.8172), TimeZone: p("Africa/Nairobi")}
	for _, m := range more {
		m(&in)
	}
	return in
}

// pointers is what a refusal names, in order: "/location/lat out-of-range".
func pointers(err error) []string {
	var list []string
	if e := fault.As(err); e != nil {
		for _, f := range e.Fields {
			list = append(list, f.Pointer+" "+f.Code)
		}
	}
	slices.Sort(list)
	return list
}

func TestAStoreTakesTheNetworksDefaults(t *testing.T) {
	d := partner.StandardDefaults()
	d.Country, d.TimeZone, d.ShelfUnits = "ke", "Africa/Nairobi", 40
	s, err := partner.Decide(partner.Input{Name: p("  A shop "), Lat: p(-1.2864), Lng: p(36.8172), Phone: p("+254 (712) 345-678"),
		OrdersPerSlot: p(5)}, d)
	if err != nil {
		t.Fatal(err)
	}
	want, err := geo.CellOf(geo.Point{Lat: -1.2864, Lng: 36.8172}, 9)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "A shop" || s.Phone != "+254712345678" || s.Address.Country != "KE" || s.TimeZone != "Africa/Nairobi" ||
		s.Status != partner.Active || s.ServiceRadiusM != 3000 || s.SlotMinutes != 60 || s.OrdersPerSlot != 5 || s.ShelfUnits != 40 ||
		!s.AutoAccept || s.OfferTimeoutS != 120 || s.Locale != "en" || s.Cell != want {
		t.Errorf("%+v", s)
	}
	if !s.OpenAt(time.Unix(0, 0)) {
		t.Error("a store without hours is always open")
	}
}

func TestAWrongValueIsNamed(t *testing.T) {
	for _, c := range []struct {
		why    string
		change func(*partner.Input)
		want   string
	}{
		{"no name", func(in *partner.Input) { in.Name = nil }, "/name required"},
		{"a blank name", func(in *partner.Input) { in.Name = p(" \t") }, "/name required"},
		{"a name of 201 characters", func(in *partner.Input) { in.Name = p(strings.Repeat("é", 201)) }, "/name too-long"},
		{"a NUL in the name", func(in *partner.Input) { in.Name = p("a\x00b") }, "/name control-character"},
		{"broken UTF-8", func(in *partner.Input) { in.Name = p("a\xffb") }, "/name not-utf8"},
		{"a long external id", func(in *partner.Input) { in.ExternalID = p(strings.Repeat("x", 129)) }, "/external_id too-long"},
		{"no latitude", func(in *partner.Input) { in.Lat = nil }, "/location/lat required"},
		{"NaN", func(in *partner.Input) { in.Lng = p(math.NaN()) }, "/location/lng required"},
		{"an infinite latitude", func(in *partner.Input) { in.Lat = p(math.Inf(1)) }, "/location/lat out-of-range"},
		{"a swapped pair", func(in *partner.Input) { in.Lat, in.Lng = p(139.69), p(35.68) }, "/location/lat out-of-range"},
		{"a longitude of 181", func(in *partner.Input) { in.Lng = p(181.) }, "/location/lng out-of-range"},
		{"hours", func(in *partner.Input) { in.OpeningHours = p("Mo-Fr 08:00-18:00; sunrise-sunset") }, "/opening_hours not-understood"},
		{"hours without a zone", func(in *partner.Input) { in.TimeZone, in.OpeningHours = nil, p("Mo-Fr 08:00-18:00") }, "/time_zone required"},
		{"a zone nobody knows", func(in *partner.Input) { in.TimeZone = p("Africa/Nowhere") }, "/time_zone unknown"},
		{"the server's zone", func(in *partner.Input) { in.TimeZone = p("Local") }, "/time_zone unknown"},
		{"a zone out of a path", func(in *partner.Input) { in.TimeZone = p("../../etc/passwd") }, "/time_zone unknown"},
		{"a zone elsewhere", func(in *partner.Input) { in.TimeZone = p("America/New_York") }, "/time_zone time-zone-far"},
		{"a national phone number", func(in *partner.Input) { in.Phone = p("0712345678") }, "/phone not-e164"},
		{"a long phone number", func(in *partner.Input) { in.Phone = p("+1234567890123456") }, "/phone not-e164"},
		{"no radius", func(in *partner.Input) { in.ServiceRadiusM = p(0) }, "/service_radius_m out-of-range"},
		{"a huge radius", func(in *partner.Input) { in.ServiceRadiusM = p(100_001) }, "/service_radius_m out-of-range"},
		{"short slots", func(in *partner.Input) { in.SlotMinutes = p(4) }, "/capacity/slot_minutes out-of-range"},
		{"slots longer than a day", func(in *partner.Input) { in.SlotMinutes = p(1441) }, "/capacity/slot_minutes out-of-range"},
		{"negative capacity", func(in *partner.Input) { in.OrdersPerSlot = p(-1) }, "/capacity/orders_per_slot out-of-range"},
		{"a negative shelf", func(in *partner.Input) { in.ShelfUnits = p(-1) }, "/shelf_units out-of-range"},
		{"a hasty offer", func(in *partner.Input) { in.OfferTimeoutS = p(0) }, "/offer_timeout_s out-of-range"},
		{"a status of its own", func(in *partner.Input) { in.Status = p("open") }, "/status unknown"},
		{"a locale", func(in *partner.Input) { in.Locale = p("english") }, "/locale not-a-locale"},
		{"no locale", func(in *partner.Input) { in.Locale = p("") }, "/locale not-a-locale"},
		{"a country by name", func(in *partner.Input) { in.Country = p("Kenya") }, "/address/country not-a-country"},
		{"a country that is none", func(in *partner.Input) { in.Country = p("XX") }, "/address/country not-a-country"},
		{"a bell in the address", func(in *partner.Input) { in.Line1 = p("a\ab") }, "/address/line1 control-character"},
	} {
		_, err := partner.Decide(nairobi(c.change), partner.StandardDefaults())
		if got := pointers(err); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: %v, want %s", c.why, got, c.want)
		}
	}
}

func TestARefusalNamesEverythingAtOnceAndSaysWhatToMend(t *testing.T) {
	_, err := partner.Decide(partner.Input{Lat: p(139.69), Lng: p(35.68), OpeningHours: p("Mo 08:00-12:00; fullmoon"), Phone: p("x")},
		partner.StandardDefaults())
	if got := pointers(err); len(got) != 4 {
		t.Errorf("%v", got)
	}
	for _, part := range []string{"lat and lng look swapped", `"fullmoon"`, "+254712345678"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %s", err, part)
		}
	}
	// A swapped pair that could be a place is found out by the zone.
	_, err = partner.Decide(partner.Input{Name: p("a"), Lat: p(-74.), Lng: p(40.7), TimeZone: p("America/New_York")}, partner.StandardDefaults())
	if err == nil || !strings.Contains(err.Error(), "lat and lng look swapped") {
		t.Error(err)
	}
}

func TestAZoneMustBeNearTheStore(t *testing.T) {
	for _, c := range []struct {
		place    string
		lat, lng float64
		zone     string
		fits     bool
	}{
		{"Urumqi keeps the time of Beijing", 43.83, 87.62, "Asia/Shanghai", true},
		{"so does the westernmost village of China", 39.4, 73.6, "Asia/Shanghai", true},
		{"Kiritimati is a day ahead of its longitude", 1.87, -157.4, "Pacific/Kiritimati", true},
		{"Apia too", -13.83, -171.77, "Pacific/Apia", true},
		{"the Aleutians lie west of 180", 52.9, 173.2, "America/Adak", true},
		{"Vigo keeps the time of Berlin", 42.24, -8.72, "Europe/Madrid", true},
		{"Mendoza", -32.89, -68.84, "America/Argentina/Mendoza", true},
		{"Nome", 64.5, -165.4, "America/Anchorage", true},
		{"Delhi", 28.6, 77.2, "Asia/Kolkata", true},
		{"Dublin, whose winter is the exception", 53.3, -6.3, "Europe/Dublin", true},
		{"Sydney, whose summer is in January", -33.9, 151.2, "Australia/Sydney", true},
		{"UTC is nobody's place", 40.7, -74, "UTC", true},
		{"nor is a fixed offset", 40.7, -74, "Etc/GMT-9", true},
		{"Nairobi is not in New York", -1.29, 36.82, "America/New_York", false},
		{"nor New York in Nairobi", 40.7, -74, "Africa/Nairobi", false},
		{"New York is not in Los Angeles", 40.7, -74, "America/Los_Angeles", false},
		{"a swapped pair in range", 36.82, -1.29, "Africa/Nairobi", false},
		{"Tokyo is not in Berlin", 35.68, 139.69, "Europe/Berlin", false},
		{"San Francisco is not in London", 37.77, -122.4, "Europe/London", false},
		{"Fiji is not in India", -18.1, 178.4, "Asia/Kolkata", false},
	} {
		_, err := partner.Decide(nairobi(func(in *partner.Input) { in.Lat, in.Lng, in.TimeZone = &c.lat, &c.lng, &c.zone }), partner.StandardDefaults())
		if c.fits && err != nil || !c.fits && !slices.Equal(pointers(err), []string{"/time_zone time-zone-far"}) {
			t.Errorf("%s: %v", c.place, err)
		}
	}
}

func TestAPauseWithAnEndEndsByItself(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		store     partner.Store
		status    string
		accepting bool
	}{
		{partner.Store{Status: partner.Active}, partner.Active, true},
		{partner.Store{Status: partner.Active, Removed: true}, partner.Active, false},
		{partner.Store{Status: partner.Busy}, partner.Busy, false},
		{partner.Store{Status: partner.Closed}, partner.Closed, false},
		{partner.Store{Status: partner.Unresponsive}, partner.Unresponsive, false},
		{partner.Store{Status: partner.Suspended}, partner.Suspended, false},
		{partner.Store{Status: partner.Paused}, partner.Paused, false},
		{partner.Store{Status: partner.Paused, PausedUntil: p(noon.Add(time.Millisecond))}, partner.Paused, false},
		{partner.Store{Status: partner.Paused, PausedUntil: p(noon)}, partner.Active, true},
		{partner.Store{Status: partner.Paused, PausedUntil: p(noon.Add(-time.Hour))}, partner.Active, true},
	} {
		if s, a := c.store.StatusAt(noon), c.store.AcceptingOrders(noon); s != c.status || a != c.accepting {
			t.Errorf("%s until %v: %s %v", c.store.Status, c.store.PausedUntil, s, a)
		}
	}
}

func TestAStoreLivesByItsOwnClock(t *testing.T) {
	s, err := partner.Decide(partner.Input{Name: p("Delhi"), Lat: p(28.6), Lng: p(77.2), TimeZone: p("Asia/Kolkata"), Country: p("IN"),
		OpeningHours: p("Mo-Sa 09:00-21:00"), SlotMinutes: p(120)}, partner.StandardDefaults())
	if err != nil {
		t.Fatal(err)
	}
	saturday := time.Date(2026, 11, 21, 3, 30, 0, 0, time.UTC) // 09:00 in Delhi
	if !s.OpenAt(saturday) || s.OpenAt(saturday.Add(-time.Minute)) || s.OpenAt(saturday.Add(24*time.Hour)) {
		t.Error("hours are read in the store's zone")
	}
	if got, want := s.SlotAt(saturday), time.Date(2026, 11, 21, 2, 30, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("the slot begins at %v, want %v", got.UTC(), want)
	}
}
