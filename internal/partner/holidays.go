package partner

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/ar"
	"github.com/rickar/cal/v2/at"
	"github.com/rickar/cal/v2/au"
	"github.com/rickar/cal/v2/be"
	"github.com/rickar/cal/v2/bg"
	"github.com/rickar/cal/v2/br"
	"github.com/rickar/cal/v2/ca"
	"github.com/rickar/cal/v2/ch"
	"github.com/rickar/cal/v2/cz"
	"github.com/rickar/cal/v2/de"
	"github.com/rickar/cal/v2/dk"
	"github.com/rickar/cal/v2/es"
	"github.com/rickar/cal/v2/fr"
	"github.com/rickar/cal/v2/gb"
	"github.com/rickar/cal/v2/gr"
	"github.com/rickar/cal/v2/hr"
	"github.com/rickar/cal/v2/ie"
	"github.com/rickar/cal/v2/it"
	"github.com/rickar/cal/v2/jp"
	"github.com/rickar/cal/v2/lt"
	"github.com/rickar/cal/v2/lv"
	"github.com/rickar/cal/v2/mw"
	"github.com/rickar/cal/v2/nc"
	"github.com/rickar/cal/v2/nl"
	"github.com/rickar/cal/v2/no"
	"github.com/rickar/cal/v2/nz"
	"github.com/rickar/cal/v2/pl"
	"github.com/rickar/cal/v2/ro"
	"github.com/rickar/cal/v2/ru"
	"github.com/rickar/cal/v2/se"
	"github.com/rickar/cal/v2/si"
	"github.com/rickar/cal/v2/sk"
	"github.com/rickar/cal/v2/ua"
	"github.com/rickar/cal/v2/us"
	"github.com/rickar/cal/v2/za"
)

// Zone is where a store's clock hangs: an IANA time zone and the public
// holidays of a country. Both are needed to read opening hours, and both are
// the same for thousands of stores, so a Zone is shared: NewZone returns the
// same pointer for the same arguments, and callers may group stores by it.
// Safe for concurrent use.
type Zone struct {
	loc      *time.Location
	holidays *publicHolidays // nil: no calendar known, PH never applies
}

type zoneKey struct{ iana, country string }

var zones sync.Map // zoneKey -> *Zone

// NewZone returns the zone for an IANA name ("Europe/Riga") and an ISO 3166-1
// alpha-2 country code ("LV", any case).
//
// An unknown name is an error, and so are "" and "Local", which Go would read
// as UTC and as the server's own zone: a store's hours must not depend on the
// machine that answers. A country without a holiday calendar (or "") is no
// error: its public holidays are then ordinary weekdays, so PH rules never
// apply. Only nationwide holidays are known, those of single regions are not.
func NewZone(iana, country string) (*Zone, error) {
	country = strings.ToUpper(country)
	holidays := calendars[country]
	if holidays == nil {
		country = "" // one shared zone, so made-up codes cannot fill the cache
	}
	key := zoneKey{iana, country}
	if z, ok := zones.Load(key); ok {
		return z.(*Zone), nil
	}
	if iana == "" || iana == "Local" {
		return nil, fmt.Errorf("time zone %q: an IANA name such as Europe/Riga is needed", iana)
	}
	loc, err := time.LoadLocation(iana)
	if err != nil {
		return nil, fmt.Errorf("time zone %q is not in the IANA database: %w", iana, err)
	}
	z, _ := zones.LoadOrStore(key, &Zone{loc: loc, holidays: holidays})
	return z.(*Zone), nil
}

// Location is the zone's clock.
func (z *Zone) Location() *time.Location { return z.loc }

// Moment is one instant as a store's wall clock and calendar show it: minute
// of the day, weekday, and whether today and yesterday are public holidays
// (yesterday, because hours run past midnight). It is all that Hours.Open
// needs, so many stores of one zone share the work of making it.
type Moment struct {
	minute uint16 // since 00:00 on the wall clock, 0..1439
	day    dayKind
}

// dayKind numbers the 28 sorts of day that hours can tell apart:
// 4*weekday (Monday = 0) + 1 if a public holiday + 2 if yesterday was one.
type dayKind uint8

const dayKinds = 7 * 4

func (k dayKind) weekday() int           { return int(k) / 4 }
func (k dayKind) holiday() bool          { return k&1 != 0 }
func (k dayKind) holidayYesterday() bool { return k&2 != 0 }

// Local says what the zone's clock and calendar show at t.
func (z *Zone) Local(t time.Time) Moment {
	local := t.In(z.loc)
	hour, minute, _ := local.Clock()
	m := Moment{
		minute: uint16(60*hour + minute),
		day:    dayKind(4 * ((local.Weekday() + 6) % 7)),
	}
	if z.holidays == nil {
		return m
	}
	year := z.holidays.of(local.Year())
	today := local.YearDay()
	if year.has(today) {
		m.day |= 1
	}
	if year.has(today - 1) {
		m.day |= 2
	}
	return m
}

// yearDays is the holidays of one year as a bit per day: bit n is the nth day
// of the year, bit 0 the 31st of December before it, so that "yesterday" never
// needs the table of another year.
type yearDays [6]uint64

func (y *yearDays) has(day int) bool { return y[day/64]&(1<<(day%64)) != 0 }
func (y *yearDays) set(day int)      { y[day/64] |= 1 << (day % 64) }

// Years outside this span are worked out anew at every call.
const (
	firstCachedYear = 1970
	cachedYears     = 200
)

// publicHolidays is the calendar of one country. The years are kept, since
// the rules (Easter, substitute days) cost far more than a look-up and
// Zone.Local sits in the matching loop.
type publicHolidays struct {
	// regions are the lists of holidays that have to agree: usually one, the
	// country's; where the library knows only states or cantons, one for each.
	regions [][]*cal.Holiday
	years   [cachedYears]atomic.Pointer[yearDays]
}

func (p *publicHolidays) of(year int) *yearDays {
	i := year - firstCachedYear
	if i < 0 || i >= cachedYears {
		return p.compute(year)
	}
	if y := p.years[i].Load(); y != nil {
		return y
	}
	y := p.compute(year)
	p.years[i].Store(y)
	return y
}

// compute marks the days that are a public holiday in every region.
func (p *publicHolidays) compute(year int) *yearDays {
	var all yearDays
	for i, region := range p.regions {
		var days yearDays
		for _, h := range region {
			markHoliday(&days, h, year)
		}
		if i == 0 {
			all = days
		}
		for w := range all {
			all[w] &= days[w]
		}
	}
	return &all
}

// markHoliday marks both the day itself and the day it is observed on, since
// shops keep holiday hours on either. A substitute day may lie in the year
// beside the one it belongs to (1 January on a Saturday, observed the day
// before), so the neighbours are asked too.
func markHoliday(days *yearDays, h *cal.Holiday, year int) {
	if h.Type == cal.ObservanceReligious || h.Type == cal.ObservanceOther {
		return // kept by custom, not by law
	}
	for y := year - 1; y <= year+1; y++ {
		actual, observed := h.Calc(y)
		for _, d := range [2]time.Time{actual, observed} {
			switch {
			case d.IsZero():
			case d.Year() == year:
				days.set(d.YearDay())
			case d.Year() == year-1 && d.Month() == time.December && d.Day() == 31:
				days.set(0)
			}
		}
	}
}

// The library makes its dates in the zone of the machine, where a midnight may
// not exist and a holiday would then slip to the day before.
func init() { cal.DefaultLoc = time.UTC }

func holidaysOf(regions ...[]*cal.Holiday) *publicHolidays { return &publicHolidays{regions: regions} }

// calendars is every country the library knows, by ISO 3166-1 alpha-2 code.
// Switzerland is read from its cantons because the library's national list
// holds days that are free in a few cantons only.
var calendars = map[string]*publicHolidays{
	"AR": holidaysOf(ar.Holidays),
	"AT": holidaysOf(at.Holidays),
	"AU": holidaysOf(au.HolidaysACT, au.HolidaysNSW, au.HolidaysNT, au.HolidaysQLD,
		au.HolidaysSA, au.HolidaysTAS, au.HolidaysVIC, au.HolidaysWA),
	"BE": holidaysOf(be.Holidays),
	"BG": holidaysOf(bg.Holidays),
	"BR": holidaysOf(br.Holidays),
	"CA": holidaysOf(ca.Holidays),
	"CH": holidaysOf(ch.HolidaysZH, ch.HolidaysBE, ch.HolidaysLU, ch.HolidaysUR, ch.HolidaysSZ,
		ch.HolidaysOW, ch.HolidaysNW, ch.HolidaysGL, ch.HolidaysZG, ch.HolidaysFR,
		ch.HolidaysSO, ch.HolidaysBS, ch.HolidaysBL, ch.HolidaysSH, ch.HolidaysAR,
		ch.HolidaysAI, ch.HolidaysSG, ch.HolidaysGR, ch.HolidaysAG, ch.HolidaysTG,
		ch.HolidaysVD, ch.HolidaysTI, ch.HolidaysVS, ch.HolidaysNE, ch.HolidaysGE,
		ch.HolidaysJU),
	"CZ": holidaysOf(cz.Holidays),
	"DE": holidaysOf(de.Holidays),
	"DK": holidaysOf(dk.Holidays),
	"ES": holidaysOf(es.Holidays),
	"FR": holidaysOf(fr.Holidays),
	"GB": holidaysOf(gb.Holidays),
	"GR": holidaysOf(gr.Holidays),
	"HR": holidaysOf(hr.Holidays),
	"IE": holidaysOf(ie.Holidays),
	"IT": holidaysOf(it.Holidays),
	"JP": holidaysOf(jp.Holidays),
	"LT": holidaysOf(lt.Holidays),
	"LV": holidaysOf(lv.Holidays),
	"MW": holidaysOf(mw.Holidays),
	"NC": holidaysOf(nc.Holidays),
	"NL": holidaysOf(nl.Holidays),
	"NO": holidaysOf(no.Holidays),
	"NZ": holidaysOf(nz.Holidays),
	"PL": holidaysOf(pl.Holidays),
	"RO": holidaysOf(ro.Holidays),
	"RU": holidaysOf(ru.Holidays),
	"SE": holidaysOf(se.Holidays),
	"SI": holidaysOf(si.Holidays),
	"SK": holidaysOf(sk.Holidays),
	"UA": holidaysOf(ua.Holidays),
	"US": holidaysOf(us.Holidays),
	"ZA": holidaysOf(za.Holidays),
}
