package forecast

import "math"

// factors are what multiplies the level of a store and SKU on a day. They are learnt from many
// series together, each shrunk towards what is known without it.
type factors struct {
	week  []float64 // category x kind of day
	price []float64 // SKU x price bin, shrunk to its class, and that to all
	promo []float64 // SKU
	part  []float64 // category x sixteenths of the day with stock: the part of the day's demand that is seen

	kinds []uint8 // of the panel's days
	groups
}

// groups are the caller's, numbered without gaps.
type groups struct {
	region, category, class      []int32 // of the stores, and of the SKUs
	regions, categories, classes int
}

func newGroups(h *History) (g groups) {
	g.region, g.regions = renumber(len(h.stores), func(i int) int32 { return h.stores[i].Region })
	g.category, g.categories = renumber(len(h.skus), func(i int) int32 { return h.skus[i].Category })
	g.class, g.classes = renumber(len(h.skus), func(i int) int32 { return h.skus[i].Class })
	return g
}

func renumber(n int, of func(int) int32) (numbers []int32, count int) {
	numbers = make([]int32, n)
	seen := map[int32]int32{}
	for i := range numbers {
		k, ok := seen[of(i)]
		if !ok {
			k = int32(len(seen))
			seen[of(i)] = k
		}
		numbers[i] = k
	}
	return numbers, len(seen)
}

// The strengths are pseudo-units: so much must be sold before a factor is believed half. They,
// and the other numbers of this package, were chosen on FreshRetail's days up to 7 May 2024.
const (
	weekStrength   = 500
	priceStrength  = 200 // of a class towards all
	ownStrength    = 1000
	promoStrength  = 50 // of all towards 1
	regionStrength = 1000
	partStrength   = 200 // of all categories towards the share of hours
	categoryPart   = 1000
	leastPart      = 0.02

	parts     = openAll + 1
	leastOpen = 8 // sixteenths: of a day shorter than half a day little can be told
	rounds    = 5
)

// of is the product of a day's factors, without the region's.
func (f *factors) of(sku int32, kind, price uint8, promo bool) float64 {
	x := f.week[int(f.category[sku])*kindsOfDays+int(kind)] * f.price[int(sku)*priceBins+int(price)]
	if promo {
		x *= f.promo[sku]
	}
	return x
}

func (f *factors) at(sku int32, o *obs) float64 { return f.of(sku, f.kinds[o.day], o.price, o.promo) }

// seen is at, for the part of the day with stock.
func (f *factors) seen(sku int32, o *obs) float64 {
	return f.at(sku, o) * f.part[int(f.category[sku])*parts+int(o.open)]
}

// usual is the factor of the usual price, without a campaign.
func (f *factors) usual(sku int32) float64 { return f.price[int(sku)*priceBins+int(usualPrice)] }

// tally is units sold and units expected.
type tally struct{ n, e float64 }

// shrunk is the posterior mean of a factor whose gamma prior has this mean, and weighs k units.
func (t tally) shrunk(k, prior float64) float64 { return (k*prior + t.n) / (k + t.e) }

func newFactors(h *History, kinds []uint8) *factors {
	f := &factors{kinds: kinds, groups: newGroups(h)}
	f.week = ones(f.categories * kindsOfDays)
	f.price = ones(len(h.skus) * priceBins)
	f.promo = ones(len(h.skus))
	f.part = make([]float64, f.categories*parts)
	for i := range f.part {
		f.part[i] = math.Max(leastPart, float64(i%parts)/openAll)
	}
	return f
}

// learn finds all factors by turns, each from what the others leave (iterative proportional
// fitting with shrinkage). A region's day is a factor only here: it keeps the weather of one
// day from being taken for the effect of a price.
func (f *factors) learn(p *panel) {
	region := ones(f.regions * len(f.kinds))
	level := make([]float64, p.pairs())
	// each calls do with what the level and all factors expect of each day that tells something.
	each := func(least uint8, do func(pair int, o *obs, dayOf int, e float64)) {
		for i := range level {
			sku, r := p.sku[i], int(f.region[p.store[i]])*len(f.kinds)
			own := p.of(i)
			for k := range own {
				if o := &own[k]; o.open >= least {
					do(i, o, r+int(o.day), level[i]*f.seen(sku, o)*region[r+int(o.day)])
				}
			}
		}
	}
	for range rounds {
		for i := range level {
			level[i] = 1
		}
		sums := make([]tally, len(level))
		each(leastOpen, func(i int, o *obs, _ int, e float64) {
			sums[i].n += float64(o.units)
			sums[i].e += e
		})
		for i, s := range sums {
			level[i] = (s.n + 0.1) / (s.e + 0.1)
		}
		f.learnWeek(p, each)
		f.learnPart(p, each)
		f.learnPrice(p, each)
		f.learnPromo(p, each)
		days := make([]tally, len(region))
		each(leastOpen, func(_ int, o *obs, d int, e float64) {
			days[d].n += float64(o.units)
			days[d].e += e / region[d]
		})
		for d, t := range days {
			region[d] = t.shrunk(regionStrength, 1)
		}
	}
}

type walk func(least uint8, do func(pair int, o *obs, regionDay int, e float64))

func (f *factors) learnWeek(p *panel, each walk) {
	t := make([]tally, len(f.week))
	each(leastOpen, func(i int, o *obs, _ int, e float64) {
		k := int(f.category[p.sku[i]])*kindsOfDays + int(f.kinds[o.day])
		t[k].n += float64(o.units)
		t[k].e += e / f.week[k]
	})
	for c := 0; c < len(t); c += kindsOfDays {
		for k := range freeDay {
			f.week[c+k] = t[c+k].shrunk(weekStrength, 1)
		}
		// A holiday is like a Sunday, and a Saturday that is worked like a weekday, until there are some.
		f.week[c+freeDay] = t[c+freeDay].shrunk(weekStrength, (f.week[c+5]+f.week[c+6])/2)
		mean := 0.0
		for k := range 5 {
			mean += f.week[c+k] / 5
		}
		f.week[c+workedDay] = t[c+workedDay].shrunk(weekStrength, mean)
	}
}

// learnPart finds how much of a day's demand is seen when part of it had stock. Demand is not
// spread evenly over the day, each category has its hours, and it is on the busy days that stock
// runs out.
func (f *factors) learnPart(p *panel, each walk) {
	t, all := make([]tally, len(f.part)), [parts]tally{}
	each(0, func(i int, o *obs, _ int, e float64) {
		k := int(f.category[p.sku[i]])*parts + int(o.open)
		t[k].n += float64(o.units)
		t[k].e += e / f.part[k]
	})
	for k, x := range t {
		a := &all[k%parts]
		a.n, a.e = a.n+x.n, a.e+x.e
	}
	for k, x := range t {
		if open := k % parts; open < openAll {
			usual := all[open].shrunk(partStrength, float64(open)/openAll)
			f.part[k] = math.Max(leastPart, x.shrunk(categoryPart, usual))
		}
	}
}

func (f *factors) learnPrice(p *panel, each walk) {
	all, class, own := make([]tally, priceBins), make([]tally, f.classes*priceBins), make([]tally, len(f.price))
	each(leastOpen, func(i int, o *obs, _ int, e float64) {
		k := int(p.sku[i])*priceBins + int(o.price)
		own[k].n += float64(o.units)
		own[k].e += e / f.price[k]
	})
	for k, t := range own {
		b, c := k%priceBins, int(f.class[k/priceBins])*priceBins+k%priceBins
		all[b].n, all[b].e = all[b].n+t.n, all[b].e+t.e
		class[c].n, class[c].e = class[c].n+t.n, class[c].e+t.e
	}
	for k, t := range own {
		b, c := k%priceBins, int(f.class[k/priceBins])*priceBins+k%priceBins
		f.price[k] = t.shrunk(ownStrength, class[c].shrunk(priceStrength, all[b].shrunk(priceStrength, 1)))
	}
}

func (f *factors) learnPromo(p *panel, each walk) {
	own, all := make([]tally, len(f.promo)), tally{}
	each(leastOpen, func(i int, o *obs, _ int, e float64) {
		if o.promo {
			k := p.sku[i]
			own[k].n += float64(o.units)
			own[k].e += e / f.promo[k]
		}
	})
	for _, t := range own {
		all.n, all.e = all.n+t.n, all.e+t.e
	}
	usual := all.shrunk(promoStrength, 1)
	for k := range own {
		own[k].e *= usual
	}
	// SKUs may answer to a campaign alike, or each in its way: the data say.
	strength := strengthOf(own, 10, 10_000)
	for k, t := range own {
		f.promo[k] = usual * t.shrunk(strength, 1)
	}
}

func ones(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = 1
	}
	return x
}
