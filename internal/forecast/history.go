package forecast

import (
	"cmp"
	"math"
	"slices"
)

// History is past demand, row by row. It is filled from one goroutine, in any order;
// several observations of one store, SKU and day count as so many days.
type History struct {
	stores   []Store
	skus     []SKU
	calendar Calendar
	sparse   bool

	rows []Observation
}

// NewHistory keeps stores and skus; they are not copied and must stay as they are.
func NewHistory(stores []Store, skus []SKU, c Calendar) *History {
	return &History{stores: stores, skus: skus, calendar: c}
}

// Sparse says that a day without an observation means: on offer and nothing sold, from the
// Since of store and SKU on. Without it such a day says nothing. Orders of one's own are sparse.
func (h *History) Sparse() *History {
	h.sparse = true
	return h
}

// Grow makes room for n more observations, which saves copying when their number is known.
func (h *History) Grow(n int) { h.rows = slices.Grow(h.rows, n) }

// Add takes one observation and says whether it is of use: store and SKU are known and no
// number is absurd.
func (h *History) Add(o Observation) bool {
	ok := o.Store >= 0 && int(o.Store) < len(h.stores) && o.SKU >= 0 && int(o.SKU) < len(h.skus) &&
		o.Units >= 0 && o.Units <= maxUnits && o.Open >= 0 && o.Open <= 1 && o.Price >= 0 && o.Price <= 100
	if ok {
		h.rows = append(h.rows, o)
	}
	return ok
}

// Len is the number of observations taken.
func (h *History) Len() int { return len(h.rows) }

const (
	maxUnits = 1e7 // of one SKU in one store on one day
	window   = 400 // days; what is older says nothing about tomorrow
)

// panel is demand as Fit walks through it: day by day within a pair of store and SKU, pair by
// pair within a store.
type panel struct {
	store, sku []int32 // of each pair
	from       []int32 // pair p has obs[from[p]:from[p+1]]
	obs        []obs
	implicit   bool // days without obs are days on which nothing was sold
}

// obs is an observation in 16 bytes.
type obs struct {
	units    float32
	logPrice float32
	day      int16 // from the panel's first
	open     uint8 // sixteenths of the day with stock, rounded
	price    uint8 // see priceBin
	promo    bool
}

const openAll = 16

func (o *obs) whole() bool { return o.open == openAll }

func (p *panel) pairs() int { return len(p.store) }

func (p *panel) of(i int) []obs { return p.obs[p.from[i]:p.from[i+1]] }

// arrange sorts the rows of the days first..last into pairs. Rows that are alike in day keep no
// order of arrival, so the caller's order does not show in any sum.
func (h *History) arrange(first, last int32) *panel {
	n := make([]int32, len(h.stores)+1)
	inside := func(r *Observation) bool { return r.Day >= first && r.Day <= last }
	for i := range h.rows {
		if inside(&h.rows[i]) {
			n[h.rows[i].Store+1]++
		}
	}
	for i := range h.stores {
		n[i+1] += n[i]
	}
	order := make([]int32, n[len(h.stores)]) // rows by store
	next := slices.Clone(n)
	for i := range h.rows {
		if r := &h.rows[i]; inside(r) {
			order[next[r.Store]] = int32(i)
			next[r.Store]++
		}
	}
	p := &panel{obs: make([]obs, 0, len(order)), implicit: h.sparse}
	for s := range h.stores {
		own := order[n[s]:n[s+1]]
		slices.SortFunc(own, func(a, b int32) int { return compare(&h.rows[a], &h.rows[b]) })
		for k, i := range own {
			r := &h.rows[i]
			if k == 0 || h.rows[own[k-1]].SKU != r.SKU {
				p.store, p.sku, p.from = append(p.store, r.Store), append(p.sku, r.SKU), append(p.from, int32(len(p.obs)))
			}
			p.obs = append(p.obs, r.pack(first))
		}
	}
	p.from = append(p.from, int32(len(p.obs)))
	return p
}

func compare(a, b *Observation) int {
	return cmp.Or(cmp.Compare(a.SKU, b.SKU), cmp.Compare(a.Day, b.Day), cmp.Compare(a.Units, b.Units),
		cmp.Compare(a.Open, b.Open), cmp.Compare(a.Price, b.Price))
}

func (r *Observation) pack(first int32) obs {
	price := cleanPrice(r.Price)
	return obs{units: r.Units, logPrice: logPrice(price), day: int16(r.Day - first),
		open: uint8(math.Round(float64(r.Open) * openAll)), price: priceBin(price), promo: r.Promo}
}

const (
	priceBins  = 16
	usualPrice = uint8(14)
)

// cleanPrice takes a price that is not told for the usual one.
func cleanPrice(x float32) float32 {
	if !(x > 0) || x > 100 {
		return 1
	}
	return x
}

// priceBin: 0 as good as given away, then steps of 5 % up to 14, the usual price, and 15 above it.
func priceBin(x float32) uint8 {
	switch {
	case x < 0.1:
		return 0
	case x > 1.02:
		return 15
	case x > 0.9999:
		return usualPrice
	}
	return uint8(min(13, max(1, math.Round(float64(x)*20)-6)))
}

// logPrice is bounded, as a price near nothing is a different thing than a low price.
func logPrice(x float32) float32 {
	if x < 0.1 {
		return 0
	}
	return float32(math.Log(math.Max(0.3, math.Min(3, float64(x)))))
}

const (
	freeDay     = 7 // a holiday from Monday to Friday
	workedDay   = 8 // a Saturday or Sunday that is worked
	kindsOfDays = 9 // 0..6 are Monday to Sunday
)

// kinds says for each day of first..last what kind it is.
func (c Calendar) kinds(first, last int32) []uint8 {
	k := make([]uint8, max(0, last-first+1))
	for i := range k {
		k[i] = uint8((int64(first)+int64(i)+3)%7+7) % 7 // 1 January 1970 was a Thursday
	}
	for _, d := range c.Free {
		if d >= first && d <= last && k[d-first] < 5 {
			k[d-first] = freeDay
		}
	}
	for _, d := range c.Working {
		if d >= first && d <= last && (k[d-first] == 5 || k[d-first] == 6) {
			k[d-first] = workedDay
		}
	}
	return k
}

// sampleDays bounds the days of pairs that the pooled factors are learnt from: so many tell all
// there is to tell.
const sampleDays = 4_000_000

// sample is a part of the panel, evenly spread, with each day that was not observed but counts
// written out. It is the panel itself if that is small and has no such days.
func (p *panel) sample(h *History, first, last int32) *panel {
	if !p.implicit && len(p.obs) <= sampleDays {
		return p
	}
	days := int(last - first + 1)
	s := &panel{}
	if !p.implicit {
		step := len(p.obs)/sampleDays + 1
		for i := 0; i < p.pairs(); i += step {
			s.begin(p.store[i], p.sku[i])
			s.obs = append(s.obs, p.of(i)...)
		}
		s.from = append(s.from, int32(len(s.obs)))
		return s
	}
	// Pairs that never sold belong to the sample too. A step that shares no factor with the number
	// of SKUs meets all of them.
	all, skus := len(h.stores)*len(h.skus), len(h.skus)
	step := max(1, all/max(1, sampleDays/days))
	for gcd(step, skus) > 1 {
		step++
	}
	seen := 0
	for i := 0; i < all; i += step {
		store, sku := int32(i/skus), int32(i%skus)
		for seen < p.pairs() && (p.store[seen] < store || p.store[seen] == store && p.sku[seen] < sku) {
			seen++
		}
		var own []obs
		if seen < p.pairs() && p.store[seen] == store && p.sku[seen] == sku {
			own = p.of(seen)
		}
		s.begin(store, sku)
		since := max(0, int64(h.stores[store].Since)-int64(first), int64(h.skus[sku].Since)-int64(first))
		if len(own) > 0 {
			since = min(since, int64(own[0].day)) // what sold was there, whatever is said
		}
		for d := int32(0); d < int32(days); d++ {
			n := len(s.obs)
			for len(own) > 0 && int32(own[0].day) == d {
				s.obs, own = append(s.obs, own[0]), own[1:]
			}
			if len(s.obs) == n && int64(d) >= since {
				s.obs = append(s.obs, obs{day: int16(d), open: openAll, price: usualPrice})
			}
		}
	}
	s.from = append(s.from, int32(len(s.obs)))
	return s
}

func (p *panel) begin(store, sku int32) {
	p.store, p.sku, p.from = append(p.store, store), append(p.sku, sku), append(p.from, int32(len(p.obs)))
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
