package sim

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// The brute-force answer to "which store serves this order": every store is looked at, one after the
// other, with nothing shared with the code under test, not even the distance.

// place is a store as the oracle knows it, and what it has left by the oracle's own count.
type place struct {
	id, external string
	lat, lng     float64
	zone         *time.Location
	hours        hours
	radiusM      float64
	slotMinutes  int
	perSlot      int
	stock        map[string]int // units not promised yet
	used         map[int64]int  // orders by the Unix second in which their slot begins
}

// hours are the same every day, but may leave Sunday out. [from, to) in minutes after midnight.
type hours struct {
	from, to int
	noSunday bool
}

// text writes h in OSM's syntax.
func (h hours) text() string {
	if h == (hours{to: 1440}) {
		return "24/7"
	}
	days := "Mo-Su"
	if h.noSunday {
		days = "Mo-Sa"
	}
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d", days, h.from/60, h.from%60, h.to/60, h.to%60)
}

func (h hours) open(local time.Time) bool {
	m := local.Hour()*60 + local.Minute()
	return h.from <= m && m < h.to && !(h.noSunday && local.Weekday() == time.Sunday)
}

// slot is where the slot that at lies in begins. Slots count from local midnight; no order of a
// replay lies on a day that the clock is changed on.
func (p *place) slot(at time.Time) int64 {
	local := at.In(p.zone)
	into := (local.Hour()*60+local.Minute())%p.slotMinutes*60 + local.Second()
	return at.Unix() - int64(into)
}

// wish is what an order asks of a store.
type wish struct {
	lat, lng float64
	begin    time.Time
	radiusM  float64 // the merchant's; 0: none
	items    []Item
}

// could reports how far p is from w, and whether it could serve it.
func (p *place) could(w wish) (metres float64, ok bool) {
	metres = haversine(p.lat, p.lng, w.lat, w.lng)
	if metres > p.radiusM || (w.radiusM > 0 && metres > w.radiusM) {
		return metres, false
	}
	if !p.hours.open(w.begin.In(p.zone)) || p.used[p.slot(w.begin)] >= p.perSlot {
		return metres, false
	}
	for _, it := range w.items {
		if p.stock[it.SKU] < it.Quantity {
			return metres, false
		}
	}
	return metres, true
}

// take counts what the server says p has taken.
func (p *place) take(w wish) {
	p.used[p.slot(w.begin)]++
	for _, it := range w.items {
		p.stock[it.SKU] -= it.Quantity
	}
}

// oracle looks at all places.
type oracle struct {
	places []*place // from south to north
	byID   map[string]*place
	reach  float64 // degrees of latitude beyond which no place serves
}

func newOracle(places []*place) *oracle {
	o := &oracle{places: slices.Clone(places), byID: make(map[string]*place, len(places))}
	slices.SortFunc(o.places, byLatitude)
	for _, p := range places {
		o.byID[p.id] = p
		o.reach = max(o.reach, p.radiusM/degreeM)
	}
	return o
}

func byLatitude(a, b *place) int { return cmp.Compare(a.lat, b.lat) }

// nearest is the least distance of a place that could serve w; ok is false when none could.
func (o *oracle) nearest(w wish) (metres float64, ok bool) {
	metres = math.Inf(1)
	// A degree of latitude is 111 km wherever it is: who is too far north or south need not be asked.
	from, _ := slices.BinarySearchFunc(o.places, &place{lat: w.lat - o.reach}, byLatitude)
	for _, p := range o.places[from:] {
		if p.lat > w.lat+o.reach {
			break
		}
		if m, can := p.could(w); can && m < metres {
			metres, ok = m, true
		}
	}
	return metres, ok
}

// objection says what is wrong with store (an id; "" for none) as the answer to w, and "" when it is
// right: no store could serve w and none does, or it is as near as the nearest that could.
func (o *oracle) objection(w wish, store string) (metres float64, objection string) {
	best, any := o.nearest(w)
	switch p := o.byID[store]; {
	case store == "" && any:
		return 0, fmt.Sprintf("no store was chosen, but one at %.3f m could serve it", best)
	case store == "":
		return 0, ""
	case p == nil:
		return 0, fmt.Sprintf("store %s is not one of ours", store)
	default:
		m, can := p.could(w)
		switch {
		case !can:
			return m, fmt.Sprintf("%s at %.3f m cannot serve it: closed, full, too far or out of stock", p.external, m)
		case m-best > 1e-6*max(1, best): // several stores may share a point
			return m, fmt.Sprintf("%s at %.3f m was chosen, but one at %.3f m could serve it", p.external, m, best)
		}
		return m, ""
	}
}

const (
	earthM  = 6_371_000.0
	degreeM = earthM * math.Pi / 180
)

// haversine is the great-circle distance in metres.
func haversine(lat1, lng1, lat2, lng2 float64) float64 {
	const rad = math.Pi / 180
	a := math.Pow(math.Sin((lat2-lat1)*rad/2), 2) +
		math.Cos(lat1*rad)*math.Cos(lat2*rad)*math.Pow(math.Sin((lng2-lng1)*rad/2), 2)
	return 2 * earthM * math.Atan2(math.Sqrt(a), math.Sqrt(1-a))
}
