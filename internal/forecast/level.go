package forecast

import "math"

// levels are the daily rates of all pairs of store and SKU on an ordinary day, as they were
// known at the end of one day.
//
// A pair without history has the prior rate
//
//	store size * SKU popularity * taste of the region * taste of the cell
//
// and a pair with history the posterior mean of a gamma rate around it. What region and SKU have
// done in the last days moves the pairs of that region and SKU together (drift.go).
type levels struct {
	size       []float64 // of the stores, 1 in the mean
	popularity []float64 // of the SKUs, units a day in a store of size 1
	region     tastes
	cell       tastes
	strength   float64 // of the prior against a pair's own units

	// Of a sparse history: what a SKU's days weigh, and the part of them that a store was there.
	// Else plain is 0 and share 1.
	plain, share []float64

	rate  []float32 // of the pairs
	units []float32 // posterior strength of the rate: its squared coefficient of variation is 1/units
	drift []float32 // log, of the pairs
}

const (
	slowDecay = 0.99 // weight a day ago

	sizeStrength = 10 // units, as in factors
	skuStrength  = 5

	maxSize = 1e4 // times the mean
)

func newLevels(h *History, p *panel, f *factors, first int32, origin int) *levels {
	g := newGauge(h, p, f, first, origin, slowDecay)
	l := &levels{size: ones(len(h.stores)), popularity: make([]float64, len(h.skus)), plain: make([]float64, len(h.skus)), share: ones(len(h.stores)),
		rate: make([]float32, p.pairs()), units: make([]float32, p.pairs()), drift: make([]float32, p.pairs())}
	if p.implicit {
		for k := range l.plain {
			l.plain[k] = g.plain(int32(k), 0)
		}
		for s := range l.share {
			l.share[s] = g.share(int32(s))
		}
	}
	own := make([]tally, p.pairs())
	for i := range own {
		own[i] = g.tally(i, 0)
	}
	l.learnSizes(g, own)
	l.region = newTastes(p, f.region, f.regions, len(h.skus))
	l.region.learn(l, p, own, func(_, sku int32) float64 { return l.popularity[sku] })
	cell, cells := renumber(len(h.stores), func(i int) int32 { return h.stores[i].Cell })
	l.cell = newTastes(p, cell, cells, len(h.skus))
	l.cell.learn(l, p, own, l.regional)
	l.learnRates(p, own)
	l.learnDrift(newGauge(h, p, f, first, origin, fastDecay), l.cut(g, own))
	return l
}

// regional is the rate of a SKU in a store of size 1 of the region of this one.
func (l *levels) regional(store, sku int32) float64 {
	rate := l.popularity[sku]
	return rate * l.region.get(store, sku, rate*l.plain[sku])
}

// prior is the rate of a pair of which nothing is known but its store, SKU and cell.
func (l *levels) prior(store, sku int32) float64 {
	rate := l.regional(store, sku)
	return l.size[store] * rate * l.cell.get(store, sku, rate*l.plain[sku])
}

// unsold is the rate of a pair without observations: the prior, and where days without sales
// count, what is left of it after so many of them.
func (l *levels) unsold(store, sku int32) float64 {
	rate := l.prior(store, sku)
	return rate * l.strength / (l.strength + rate*l.plain[sku]*l.share[store])
}

func (l *levels) learnRates(p *panel, own []tally) {
	t := make([]tally, len(own))
	for i, x := range own {
		t[i] = tally{x.n, x.e * l.prior(p.store[i], p.sku[i])}
	}
	l.strength = strengthOf(t, 0.3, 1000)
	for i, x := range t {
		rate := math.Min(maxUnits, x.shrunk(l.strength, 1)*l.prior(p.store[i], p.sku[i]))
		l.rate[i], l.units[i] = float32(rate), float32(l.strength+x.n)
	}
}

// learnSizes finds sizes of stores and popularities of SKUs, such that their product is what all
// of a store's, and all of a SKU's, pairs sold.
func (l *levels) learnSizes(g *gauge, own []tally) {
	p := g.p
	// over is what own days weigh beyond what the product of share and plain has of them.
	over := func(i int) float64 { return own[i].e - l.share[p.store[i]]*l.plain[p.sku[i]] }
	for range 3 {
		sizes, goods := 0.0, 0.0
		for s, a := range l.size {
			sizes += a * l.share[s]
		}
		skus := make([]tally, len(l.popularity))
		for k := range skus {
			skus[k].e = sizes * l.plain[k]
		}
		for i, x := range own {
			k := &skus[p.sku[i]]
			k.n, k.e = k.n+x.n, k.e+l.size[p.store[i]]*over(i)
		}
		l.learnPopularity(g.f, skus)

		for k, b := range l.popularity {
			goods += b * l.plain[k]
		}
		stores := make([]tally, len(l.size))
		for s := range stores {
			stores[s].e = goods * l.share[s]
		}
		for i, x := range own {
			s := &stores[p.store[i]]
			s.n, s.e = s.n+x.n, s.e+l.popularity[p.sku[i]]*over(i)
		}
		l.learnSize(g.f, stores)
	}
}

// learnPopularity shrinks a SKU's popularity to that of its class, and that to all.
func (l *levels) learnPopularity(f *factors, t []tally) {
	classes, all := make([]tally, f.classes), tally{}
	for k := range t {
		t[k].e = math.Max(0, t[k].e) // a difference of sums may fall short of nothing
		x, c := t[k], &classes[f.class[k]]
		c.n, c.e, all.n, all.e = c.n+x.n, c.e+x.e, all.n+x.n, all.e+x.e
	}
	mean := all.n / math.Max(0.01, all.e)
	for k, x := range t {
		c := classes[f.class[k]]
		c.e *= mean
		like := mean * c.shrunk(skuStrength, 1)
		x.e *= like
		l.popularity[k] = math.Min(maxUnits, like*x.shrunk(skuStrength, 1))
	}
}

// learnSize shrinks a store's size to that of its region.
func (l *levels) learnSize(f *factors, t []tally) {
	regions := make([]tally, f.regions)
	for s := range t {
		t[s].e = math.Max(0, t[s].e)
		x, r := t[s], &regions[f.region[s]]
		r.n, r.e = r.n+x.n, r.e+x.e
	}
	for s, x := range t {
		like := regions[f.region[s]].shrunk(sizeStrength, 1)
		x.e *= like
		l.size[s] = math.Min(maxSize, like*x.shrunk(sizeStrength, 1))
	}
}

// tastes are factors of a group of stores for a SKU.
type tastes struct {
	group []int32 // of the stores
	skus  int
	at    map[int64]int32 // group and SKU to a number
	of    []int32         // the numbers of the pairs
	taste []float64

	strength float64
	sizes    []float64 // of the groups' stores together, each as long as it was there
}

func newTastes(p *panel, group []int32, groups, skus int) tastes {
	t := tastes{group: group, skus: skus, at: map[int64]int32{}, of: make([]int32, p.pairs()), sizes: make([]float64, groups)}
	for i := range t.of {
		key := t.key(p.store[i], p.sku[i])
		n, ok := t.at[key]
		if !ok {
			n = int32(len(t.at))
			t.at[key] = n
		}
		t.of[i] = n
	}
	t.taste = ones(len(t.at))
	return t
}

func (t *tastes) key(store, sku int32) int64 {
	return int64(t.group[store])*int64(t.skus) + int64(sku)
}

// get is the taste of a store's group; due is what a store of size 1 would have sold by now.
func (t *tastes) get(store, sku int32, due float64) float64 {
	if n, ok := t.at[t.key(store, sku)]; ok {
		return t.taste[n]
	}
	return t.strength / (t.strength + t.sizes[t.group[store]]*due)
}

// learn compares what each group sold of each SKU with the coarser rate, of a store of size 1.
func (t *tastes) learn(l *levels, p *panel, own []tally, coarser func(store, sku int32) float64) {
	for s, g := range t.group {
		t.sizes[g] += l.size[s] * l.share[s]
	}
	sums := make([]tally, len(t.taste))
	for i, n := range t.of {
		k := p.sku[i]
		sums[n].e = t.sizes[t.group[p.store[i]]] * l.plain[k] * coarser(p.store[i], k)
	}
	for i, x := range own {
		s, k := p.store[i], p.sku[i]
		sum := &sums[t.of[i]]
		sum.n, sum.e = sum.n+x.n, sum.e+(x.e-l.share[s]*l.plain[k])*l.size[s]*coarser(s, k)
	}
	for i := range sums {
		sums[i].e = math.Max(0, sums[i].e)
	}
	t.strength = strengthOf(sums, 1, 10_000)
	for i, x := range sums {
		t.taste[i] = x.shrunk(t.strength, 1)
	}
}

// strengthOf is the method of moments for the shape of a gamma factor with mean 1, from counts
// and what was expected: sum e^2 / sum((n-e)^2 - e), within bounds.
func strengthOf(t []tally, least, most float64) float64 {
	var e2, excess float64
	for _, x := range t {
		e2 += x.e * x.e
		excess += (x.n-x.e)*(x.n-x.e) - x.e
	}
	if !(excess > 0) {
		return most
	}
	return math.Min(most, math.Max(least, e2/excess))
}
