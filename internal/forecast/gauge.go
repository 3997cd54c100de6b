package forecast

import "math"

// gauge weighs a panel's days up to an origin, the later the more.
type gauge struct {
	h      *History
	p      *panel
	f      *factors
	first  int32
	origin int         // day of the panel
	weight []float64   // of the days 0..origin
	whole  [][]float64 // whole[category][d]: what the days d..origin together weigh where nothing is special
}

// newGauge gives a day the weight decay^(days before the origin).
func newGauge(h *History, p *panel, f *factors, first int32, origin int, decay float64) *gauge {
	g := &gauge{h: h, p: p, f: f, first: first, origin: origin, weight: weights(origin, decay)}
	g.whole = make([][]float64, f.categories)
	for c := range g.whole {
		g.whole[c] = make([]float64, origin+2)
		for d := origin; d >= 0; d-- {
			g.whole[c][d] = g.whole[c][d+1] + g.weight[d]*f.week[c*kindsOfDays+int(f.kinds[d])]
		}
	}
	return g
}

// weights are those of the days 0..origin.
func weights(origin int, decay float64) []float64 {
	x := make([]float64, origin+1)
	w := 1.0
	for d := origin; d >= 0; d-- {
		x[d] = w
		w *= decay
	}
	return x
}

// day is a day as one of the panel's, or the next one after the origin.
func (g *gauge) day(since int32) int {
	return int(min(max(0, int64(since)-int64(g.first)), int64(g.origin)+1))
}

// plain is what a SKU's days weigh in a store that was there since a day.
func (g *gauge) plain(sku, since int32) float64 {
	return g.whole[g.f.category[sku]][g.day(max(since, g.h.skus[sku].Since))] * g.f.usual(sku)
}

// share is the part of the days, by weight, in which a store was there.
func (g *gauge) share(store int32) float64 {
	if len(g.whole) == 0 {
		return 0
	}
	return g.whole[0][g.day(g.h.stores[store].Since)] / g.whole[0][0]
}

// tally is what a pair sold, and what it would have sold at a rate of 1. With a steady rate above
// 0, days that would count for much are weighed down, and cut when they are far off.
func (g *gauge) tally(i int, steady float64) (t tally) {
	sku, usual, own := g.p.sku[i], 0.0, g.p.of(i)
	if g.p.implicit {
		usual = g.f.usual(sku)
		since := g.day(max(g.h.stores[g.p.store[i]].Since, g.h.skus[sku].Since))
		since = min(since, int(own[0].day), g.origin+1) // what sold was there, whatever is said
		t.e = g.whole[g.f.category[sku]][since] * usual
	}
	for k := range own {
		o := &own[k]
		if int(o.day) > g.origin {
			break
		}
		w := g.weight[o.day]
		if g.p.implicit { // what the plain day would have weighed is in the sum already
			t.e -= w * usual * g.f.week[int(g.f.category[sku])*kindsOfDays+int(g.f.kinds[o.day])]
		}
		if o.open < leastOpen {
			continue
		}
		e, n := g.f.seen(sku, o), float64(o.units)
		if steady > 0 {
			due := e * steady
			n = math.Min(n, 5*due+10)
			w /= 1 + due/10
		}
		t.n += w * n
		t.e += w * e
	}
	t.e = math.Max(0, t.e)
	return t
}
