package partner

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"doorstep/geo"
	"doorstep/internal/fault"
)

const maxExternalID = 128

// tidy brings what people write in several ways into one.
func (s *Store) tidy() {
	for _, text := range []*string{&s.ExternalID, &s.Name, &s.Address.Line1, &s.Address.Locality, &s.Address.Region,
		&s.Address.PostalCode, &s.Address.Country, &s.Phone, &s.Locale, &s.TimeZone, &s.OpeningHours, &s.QuietHours} {
		*text = strings.TrimSpace(*text)
	}
	// A spreadsheet breaks long names and addresses into lines; they are one line here.
	for _, text := range []*string{&s.Name, &s.Address.Line1, &s.Address.Locality, &s.Address.Region} {
		*text = lineBreaks.ReplaceAllString(*text, " ")
	}
	s.Address.Country = strings.ToUpper(s.Address.Country)
	if strings.HasPrefix(s.Phone, "+") {
		s.Phone = phoneMarks.Replace(s.Phone)
	}
}

var lineBreaks = regexp.MustCompile(`\s*[\r\n]+\s*`)

var phoneMarks = strings.NewReplacer(" ", "", "-", "", ".", "", "(", "", ")", "")

// check notes every value that a store cannot have, and compiles hours and zone on the way.
func (s *Store) check() fault.Fields {
	var f fault.Fields
	if s.Name == "" {
		f.Add("/name", "required", "a store needs a name")
	}
	for _, t := range []struct {
		pointer, text string
		max           int
	}{
		{"/name", s.Name, 200},
		{"/external_id", s.ExternalID, maxExternalID},
		{"/address/line1", s.Address.Line1, 200},
		{"/address/locality", s.Address.Locality, 100},
		{"/address/region", s.Address.Region, 100},
		{"/address/postal_code", s.Address.PostalCode, 20},
		{"/opening_hours", s.OpeningHours, 1000},
	} {
		checkText(&f, t.pointer, t.text, t.max)
	}
	for _, n := range []struct {
		pointer          string
		value, from, max int
	}{
		{"/service_radius_m", s.ServiceRadiusM, 1, 100_000},
		{"/capacity/slot_minutes", s.SlotMinutes, 5, 1440},
		{"/capacity/orders_per_slot", s.OrdersPerSlot, 0, 1_000_000},
		{"/shelf_units", s.ShelfUnits, 0, 1_000_000},
		{"/offer_timeout_s", s.OfferTimeoutS, 1, 86_400},
	} {
		if n.value < n.from || n.value > n.max {
			f.Add(n.pointer, "out-of-range", "must be a whole number from %d to %d", n.from, n.max)
		}
	}
	if !knownStatus(s.Status) {
		f.Add("/status", "unknown", "must be one of %s", strings.Join(statuses, ", "))
	}
	if s.Phone != "" && !e164.MatchString(s.Phone) {
		f.Add("/phone", "not-e164", "write the number in full with + and country code, like +254712345678")
	}
	if !bcp47.MatchString(s.Locale) {
		f.Add("/locale", "not-a-locale", "must be a language tag like en, sw-KE or zh-Hans")
	}
	if c := s.Address.Country; c != "" && !isCountry(c) {
		f.Add("/address/country", "not-a-country", "must be an ISO 3166-1 alpha-2 code like KE")
	}
	located := checkLocation(&f, s.Location)
	s.checkHours(&f)
	s.checkQuiet(&f)
	s.checkZone(&f, located)
	return f
}

var (
	e164  = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	bcp47 = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}$`)
)

// checkText refuses what cannot be shown or kept: broken UTF-8, control characters, too much.
func checkText(f *fault.Fields, pointer, text string, maxChars int) {
	switch {
	case !utf8.ValidString(text):
		f.Add(pointer, "not-utf8", "the text is not valid UTF-8")
	case strings.ContainsFunc(text, unicode.IsControl):
		f.Add(pointer, "control-character", "control characters (line breaks, tabs, NUL) are not accepted")
	case utf8.RuneCountInString(text) > maxChars:
		f.Add(pointer, "too-long", "at most %d characters", maxChars)
	}
}

func checkLocation(f *fault.Fields, p geo.Point) (ok bool) {
	if math.IsNaN(p.Lat) || math.IsNaN(p.Lng) {
		if math.IsNaN(p.Lat) {
			f.Add("/location/lat", "required", "a latitude in degrees is required")
		}
		if math.IsNaN(p.Lng) {
			f.Add("/location/lng", "required", "a longitude in degrees is required")
		}
		return false
	}
	ok, hint := geo.Check(p)
	if ok {
		return true
	}
	pointer := "/location/lat"
	if math.Abs(p.Lat) <= 90 {
		pointer = "/location/lng"
	}
	f.Add(pointer, "out-of-range", "%s", hint)
	return false
}

func (s *Store) checkHours(f *fault.Fields) {
	var err error
	var bad *HoursError
	if s.hours, err = ParseHours(s.OpeningHours); errors.As(err, &bad) {
		f.Add("/opening_hours", "not-understood", "%q: %s", bad.Part, bad.Reason)
	} else if err != nil {
		f.Add("/opening_hours", "not-understood", "%s", err.Error())
	}
}

func (s *Store) checkZone(f *fault.Fields, located bool) {
	if s.TimeZone == "" && s.hours.Equal(Hours{}) {
		s.TimeZone = "UTC" // a store that never shuts needs no clock of its own
	}
	if s.TimeZone == "" {
		f.Add("/time_zone", "required", "opening hours need the IANA time zone they are meant in, like Africa/Nairobi")
		return
	}
	var err error
	if s.zone, err = NewZone(s.TimeZone, s.Address.Country); err != nil {
		f.Add("/time_zone", "unknown", "must be an IANA time zone like Africa/Nairobi")
		return
	}
	if !located || zoneFits(s.zone.Location(), s.Location.Lng) {
		return
	}
	hint := "check both"
	if p := s.Location; math.Abs(p.Lng) <= 90 && zoneFits(s.zone.Location(), p.Lat) {
		hint = "lat and lng look swapped"
	}
	f.Add("/time_zone", "time-zone-far", "%s is %s by the clock, but the location lies at longitude %.2f, where it is about %s: %s",
		s.TimeZone, utcOffset(standardOffset(s.zone.Location()).Hours()), s.Location.Lng, utcOffset(s.Location.Lng/degreesPerHour), hint)
}

const (
	degreesPerHour = 15
	// Clocks follow borders, not the sun. The farthest that people live from their zone's meridian
	// is 37 degrees, on the outer Aleutians; but for China, all of which keeps the time of Beijing.
	zoneSlackDegrees  = 38
	chinaSlackDegrees = 50
)

var china = []string{"Asia/Shanghai", "Asia/Chongqing", "Asia/Chungking", "Asia/Harbin", "PRC"}

// zoneFits reports whether a place at longitude lng can keep the time of loc: whether its standard
// time is that of a meridian near by, counted the short way around the earth
// (Kiritimati, at 157 degrees west, is 14 hours ahead). UTC and the other zones of Etc belong to no
// place, so they fit everywhere: whoever names them means them.
func zoneFits(loc *time.Location, lng float64) bool {
	if name := loc.String(); name == "UTC" || strings.HasPrefix(name, "Etc/") {
		return true
	}
	slack := float64(zoneSlackDegrees)
	if slices.Contains(china, loc.String()) {
		slack = chinaSlackDegrees
	}
	off := math.Mod(math.Abs(standardOffset(loc).Hours()*degreesPerHour-lng), 360)
	return min(off, 360-off) <= slack
}

// standardOffset is the zone's time east of UTC without daylight saving, which is off either in
// January or in July.
func standardOffset(loc *time.Location) time.Duration {
	t := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).In(loc)
	if t.IsDST() {
		t = t.AddDate(0, 6, 0)
	}
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

func utcOffset(hours float64) string {
	t := time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", int(math.Round(hours*2))*1800))
	return t.Format("UTC-07:00")
}

func isCountry(code string) bool {
	return len(code) == 2 && strings.Contains(countries, " "+code+" ")
}

// ISO 3166-1 alpha-2, and XK, which Kosovo uses until it has a code.
const countries = " AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ" +
	" CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR" +
	" GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP" +
	" KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ" +
	" NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW" +
	" SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ" +
	" UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW "
