package forecast

import "math"

const (
	fastDecay  = 0.75 // weight a day ago
	driftStays = 0.97 // of its logarithm, a day

	// Units as in factors, but a day counts for 10 at most: the luck of a day that sells hundreds
	// is no smaller.
	driftRegion = 300
	driftClass  = 100
	driftSKU    = 50
	driftOwn    = 40
	cutStrength = 20
)

// cut is what part of each pair's units is left when days far off are cut, so that a drift is not
// taken for falling where much is sold on few days.
func (l *levels) cut(g *gauge, own []tally) []float32 {
	left := make([]float32, len(own))
	var n, all float64
	for i, t := range own {
		x := g.tally(i, float64(l.rate[i]))
		if t.e > 0 && x.e > 0 && t.n > 0 {
			left[i] = float32(x.n / x.e * t.e / t.n)
			n += float64(left[i]) * t.n
			all += t.n
		}
	}
	usual := 1.0
	if all > 0 {
		usual = n / all
	}
	for i, t := range own {
		left[i] = float32((float64(left[i])*t.n + cutStrength*usual) / (t.n + cutStrength))
	}
	return left
}

// learnDrift compares the last days with the rates: of the region, within it of the class, within
// that of the SKU, and of the pair, each shrunk to the one before.
func (l *levels) learnDrift(g *gauge, left []float32) {
	p, f := g.p, g.f
	own, sku := make([]tally, p.pairs()), make([]tally, len(l.region.taste))
	for i := range own {
		x := g.tally(i, float64(l.rate[i]))
		x.e *= float64(l.rate[i] * left[i])
		own[i] = x
		n := l.region.of[i]
		sku[n] = tally{sku[n].n + x.n, sku[n].e + x.e}
	}
	if p.implicit {
		l.addUnsold(g, sku)
	}
	region, class := make([]tally, f.regions), make([]tally, f.regions*f.classes)
	place := func(i int) (r, c int) {
		r = int(f.region[p.store[i]])
		return r, r*f.classes + int(f.class[p.sku[i]])
	}
	firsts(l.region.of, len(sku), func(i int, n int32) {
		r, c := place(i)
		region[r] = tally{region[r].n + sku[n].n, region[r].e + sku[n].e}
		class[c] = tally{class[c].n + sku[n].n, class[c].e + sku[n].e}
	})
	for i := range own {
		r, c := place(i)
		x := region[r].shrunk(driftRegion, 1)
		x = class[c].shrunk(driftClass, x)
		x = sku[l.region.of[i]].shrunk(driftSKU, x)
		x = own[i].shrunk(driftOwn, x)
		l.drift[i] = float32(math.Log(math.Max(0.05, x)))
	}
}

// firsts calls do for the first pair of each number.
func firsts(of []int32, numbers int, do func(i int, n int32)) {
	seen := make([]bool, numbers)
	for i, n := range of {
		if !seen[n] {
			seen[n] = true
			do(i, n)
		}
	}
}

// addUnsold adds to the regions' SKUs what the pairs without observations were expected to sell.
func (l *levels) addUnsold(g *gauge, sku []tally) {
	met := make([]float64, len(sku))
	for i, n := range l.region.of {
		s := g.p.store[i]
		met[n] += l.size[s] * l.share[s]
	}
	firsts(l.region.of, len(sku), func(i int, n int32) {
		s, k := g.p.store[i], g.p.sku[i]
		rate := l.regional(s, k)
		rest := math.Max(0, l.region.sizes[l.region.group[s]]-met[n])
		// The rates of those that sold nothing have sunk, by as much as one of size 1 would.
		sku[n].e += rest * rate * l.strength / (l.strength + rate*l.plain[k]) * g.plain(k, 0)
	})
}
