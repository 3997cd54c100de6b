package forecast

import (
	"math"
	"slices"
)

// Model is what Fit has learnt. It does not change, so any number of goroutines may read it.
type Model struct {
	h       *History
	last    int32
	f       *factors
	l       *levels
	d       *dispersion
	r       *residuals
	lasting float64 // part of the drift to go by
	from    []int32 // pairs of each store: skus[from[s]:from[s+1]]
	skus    []int32
}

// Fit learns from the observations up to and including the day last; later ones are not
// looked at. It costs a few passes over the observations.
//
// It is the pooled gamma-Poisson model of the design's algorithm 6: factors of weekday, price and
// promotion learnt over many series (factors.go), a rate per store and SKU shrunk to store size x
// SKU popularity x taste, with a drift per region and SKU (level.go), how far days lie from it
// (dispersion.go), and how far past forecasts were off (residual.go).
func Fit(h *History, last int32) *Model {
	first := last
	for i := range h.rows {
		if d := h.rows[i].Day; d <= last && int64(d) > int64(last)-window {
			first = min(first, d)
		}
	}
	kinds := h.calendar.kinds(first, last)
	p := h.arrange(first, last)
	s := p.sample(h, first, last)
	origin := int(last - first)

	f := newFactors(h, kinds)
	f.learn(s)
	m := &Model{last: last, f: f}
	m.h = &History{stores: h.stores, skus: h.skus, calendar: h.calendar, sparse: h.sparse} // the rows may go
	m.l = newLevels(h, p, f, first, origin)
	if s == p {
		m.d = newDispersion(p, f, m.l, origin)
		m.r, m.lasting = calibrate(h, p, f, m.d, first, origin)
	} else {
		pooled := newDispersion(s, f, newLevels(h, s, f, first, origin), origin)
		m.r, m.lasting = calibrate(h, s, f, pooled, first, origin)
		m.d = pooled.of(p, f, m.l, origin)
	}
	m.keep(p)
	return m
}

// keep holds what predictions need of the panel, so that its observations can go.
func (m *Model) keep(p *panel) {
	m.skus = p.sku
	m.from = make([]int32, len(m.h.stores)+1)
	for _, s := range p.store {
		m.from[s+1]++
	}
	for s := range m.h.stores {
		m.from[s+1] += m.from[s]
	}
}

// pair is the number of a pair with history, or -1.
func (m *Model) pair(store, sku int32) int {
	a, b := m.from[store], m.from[store+1]
	i, ok := slices.BinarySearch(m.skus[a:b], sku)
	if !ok {
		return -1
	}
	return int(a) + i
}

const mostUplift = 10_000

// Outlook is the model seen from the days of a plan. It does not change, so any number of
// goroutines may ask it.
type Outlook struct {
	m        *Model
	plan     Plan
	price    float64 // log
	days     float64
	sum, sq  []float64 // of the days' factors, and of their squares, by SKU
	drift    float64   // how much of today's drift is left in the mean of the days
	uplifted bool
}

// Ahead prepares the factors of a plan's days, so that asking for many stores and SKUs is cheap.
// A plan whose last day lies before its first has no demand, no more than 400 days count, and no
// more than a ten-thousandfold uplift.
func (m *Model) Ahead(p Plan) *Outlook {
	price := cleanPrice(p.Price)
	o := &Outlook{m: m, plan: p, price: float64(logPrice(price)), uplifted: p.Uplift > 0 && p.Uplift != 1}
	if !(p.Uplift > 0) {
		o.plan.Uplift = 1
	}
	o.plan.Uplift = math.Min(mostUplift, o.plan.Uplift)
	o.sum, o.sq = make([]float64, len(m.h.skus)), make([]float64, len(m.h.skus))
	n := min(int64(p.To)-int64(p.From)+1, window)
	if n < 1 {
		return o
	}
	kinds := m.h.calendar.kinds(p.From, int32(min(int64(p.From)+n-1, math.MaxInt32)))
	o.days = float64(len(kinds))
	for i := range kinds {
		ahead := max(1, int64(p.From)-int64(m.last)+int64(i))
		o.drift += m.lasting * math.Pow(driftStays, float64(ahead)) / o.days
	}
	for k := range o.sum {
		for _, kind := range kinds {
			x := m.f.of(int32(k), kind, priceBin(price), p.Promo) * o.plan.Uplift
			o.sum[k] += x
			o.sq[k] += x * x
		}
	}
	return o
}

// seen is what the model knows about one store and SKU for the plan's days.
type seen struct {
	mean, perDay float64
	scale        float64 // of a day
	variance     float64 // of all days, the event's part included
	event        float64
	residuals    *bandedResiduals
}

func (o *Outlook) look(store, sku int32) (x seen) {
	m := o.m
	if store < 0 || int(store) >= len(m.h.stores) || sku < 0 || int(sku) >= len(m.h.skus) || o.days == 0 {
		return seen{}
	}
	class := m.f.class[sku]
	i := m.pair(store, sku)
	rate, units, unrest := 0.0, 0.0, 1.0
	x.residuals = &m.r.all
	if i >= 0 {
		rate, units = float64(m.l.rate[i])*math.Exp(float64(m.l.drift[i])*o.drift), float64(m.l.units[i])
		unrest = m.d.unrest(i, o.price)
		x.residuals = &m.r.out[m.d.outs[i]]
	} else {
		rate, units = m.l.unsold(store, sku), m.l.strength
	}
	x.mean = math.Max(0, rate*o.sum[sku])
	x.perDay = math.Max(leastRate, x.mean/o.days)
	b := band(x.perDay)
	own := m.d.class[class] * unrest
	x.scale = x.perDay * m.d.near[b] * own
	// Bias was learnt on days without an uplift: one with it shares it in proportion.
	usual := x.perDay / o.plan.Uplift
	x.mean = math.Max(0, x.mean*(1+x.residuals.bias(usual)*m.d.near[band(usual)]*own))
	x.event = m.d.event
	if o.plan.Promo || o.uplifted {
		x.event = math.Max(x.event, m.d.promo[sku])
	}
	// Each day has its own luck, but the rate that it is the luck of is the same for all days.
	square := 0.0
	if o.sum[sku] > 0 {
		square = x.mean * x.mean * o.sq[sku] / (o.sum[sku] * o.sum[sku])
	}
	doubt := 1 / math.Max(0.1, units)
	x.variance = x.mean + m.d.size[b]*own*own*(1+doubt)*square + doubt*x.mean*x.mean
	return x
}

// At is the prediction for one store and SKU; without any history of theirs it comes from
// the pool of what is alike. It costs about 100 ns and does not allocate.
func (o *Outlook) At(store, sku int32) Prediction {
	x := o.look(store, sku)
	// What is common to all stores is told apart, so that it is not taken for independent.
	return Prediction{Law: Law{x.mean, math.Max(x.mean, x.variance-x.event*x.mean*x.mean)}, Event: x.event}
}

// Quantile is the units that, with probability level, are enough for the plan's days at one
// store: from how far past forecasts of that size were off where enough of them are known and the
// plan is a single day without an uplift, else from the law. It need not be whole.
func (o *Outlook) Quantile(store, sku int32, level float64) float64 {
	x := o.look(store, sku)
	law := func() float64 { return float64(Law{x.mean, math.Max(x.mean, x.variance)}.Quantile(level)) }
	if o.days != 1 || o.uplifted || x.residuals == nil || len(x.residuals.table) == 0 {
		return law()
	}
	seen := math.Max(0, x.perDay+x.scale*x.residuals.quantile(x.perDay, level))
	switch { // so far out that residuals say at least or at most
	case level < 1.0/quantileSteps:
		return math.Min(seen, law())
	case level > 1-1.0/quantileSteps:
		return math.Max(seen, law())
	}
	return seen
}
