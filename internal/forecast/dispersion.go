package forecast

import "math"

// dispersion says how far days lie from what is expected of them. The mean distance is
//
//	e * near(e) * class * price change * stock-outs * the pair's own restlessness
//
// near by bands of e, all others 1 in the mean: a SKU whose price has just moved, or that often
// runs out, is harder to foresee than its equals.
type dispersion struct {
	near   [bands]float64
	class  []float64
	change [5]float64
	out    [outBands]float64
	size   [bands]float64 // daily overdispersion: Var = e + size*e^2, before the pair's own

	event      float64   // squared coefficient of variation common to a region's stores on one day
	promo      []float64 // the same between campaigns, by SKU
	restless   []float32 // of the pairs
	usualPrice []float32 // log, of the last days
	outs       []uint8   // band of the share of hours without stock in the last days
}

const (
	bands          = 24
	outBands       = 4
	lastDays       = 0.9 // decay of what usual price and stock-outs mean
	classStrength  = 50  // days
	changeStrength = 50
	ownDays        = 20
	mostRestless   = 6 // times the expected distance: more says it was something else
	eventStrength  = 5 // campaigns
	eventPrior     = 0.05
)

// band is half a power of two, from 1/8 unit on.
func band(e float64) int { return min(bands-1, max(0, int(2*math.Log2(e)+6))) }

func changeBand(x float64) int {
	x = math.Abs(x)
	switch {
	case x < 0.02:
		return 0
	case x < 0.06:
		return 1
	case x < 0.12:
		return 2
	case x < 0.25:
		return 3
	}
	return 4
}

func outBand(share float64) uint8 {
	switch {
	case share < 0.02:
		return 0
	case share < 0.12:
		return 1
	case share < 0.3:
		return 2
	}
	return 3
}

// habit is a pair's usual price and stock-outs, as they move on.
type habit struct {
	price, out, weight float64
	day                int
}

// see moves on to the day of an observation; the days between had the usual price and stock, if
// days without observations count.
func (a *habit) see(o *obs, implicit bool) {
	if gap := int(o.day) - a.day - 1; implicit && gap > 0 {
		fade := math.Pow(lastDays, float64(gap))
		a.price, a.out, a.weight = a.price*fade, a.out*fade, a.weight*fade+(1-fade)/(1-lastDays)
	}
	a.price = a.price*lastDays + float64(o.logPrice)
	a.out = a.out*lastDays + float64(openAll-o.open)/openAll
	a.weight = a.weight*lastDays + 1
	a.day = int(o.day)
}

func (a *habit) usual() (price float64, outs uint8) {
	if a.weight == 0 {
		return 0, 0
	}
	return a.price / a.weight, outBand(a.out / a.weight)
}

// far is one whole day: how far from what was expected.
type far struct {
	e, off            float64
	pair              int32
	class             int32
	band, change, out uint8
}

func (d *dispersion) pooled(x *far) float64 {
	return x.e * d.near[x.band] * d.class[x.class] * d.change[x.change] * d.out[x.out]
}

const leastRate = 1e-3 // units a day; what is below may as well be nothing

// walkFar calls do for each whole day up to the origin, in order.
func walkFar(p *panel, f *factors, l *levels, i, origin int, do func(x far, o *obs)) habit {
	a := habit{day: -1}
	own := p.of(i)
	for k := range own {
		o := &own[k]
		if int(o.day) > origin {
			break
		}
		if o.whole() && a.weight > 0 {
			price, out := a.usual()
			e := math.Max(leastRate, float64(l.rate[i])*f.at(p.sku[i], o))
			off := math.Min(math.Abs(float64(o.units)-e), 4*e+3)
			do(far{e, off, int32(i), f.class[p.sku[i]], uint8(band(e)), uint8(changeBand(float64(o.logPrice) - price)), out}, o)
		}
		a.see(o, p.implicit)
	}
	return a
}

// newDispersion learns what is pooled from the sample, which has its own levels.
func newDispersion(s *panel, f *factors, l *levels, origin int) *dispersion {
	d := &dispersion{class: ones(f.classes)}
	d.near, d.change, d.out = [bands]float64(ones(bands)), [5]float64(ones(5)), [outBands]float64(ones(outBands))
	days := make([]far, 0, len(s.obs))
	for i := range s.pairs() {
		walkFar(s, f, l, i, origin, func(x far, _ *obs) { days = append(days, x) })
	}
	by := func(factor []float64, strength float64, of func(x *far) int) {
		t := make([]tally, len(factor))
		for i := range days {
			x := &days[i]
			k := of(x)
			t[k].n += x.off / d.pooled(x) * factor[k]
			t[k].e++
		}
		for k := range t {
			factor[k] = t[k].shrunk(strength, 1)
		}
	}
	for range 3 {
		by(d.near[:], 1, func(x *far) int { return int(x.band) })
		by(d.class, classStrength, func(x *far) int { return int(x.class) })
		by(d.change[:], changeStrength, func(x *far) int { return int(x.change) })
		by(d.out[:], changeStrength, func(x *far) int { return int(x.out) })
	}
	d.learnPairs(s, f, l, origin)
	d.learnSize(days)
	d.learnEvent(s, f, l, origin)
	d.learnPromo(s, f, l, origin)
	return d
}

// of takes over what is pooled and learns the pairs of another panel, or of another day.
func (d *dispersion) of(p *panel, f *factors, l *levels, origin int) *dispersion {
	c := *d
	c.learnPairs(p, f, l, origin)
	return &c
}

func (d *dispersion) learnPairs(p *panel, f *factors, l *levels, origin int) {
	d.restless, d.usualPrice, d.outs = make([]float32, p.pairs()), make([]float32, p.pairs()), make([]uint8, p.pairs())
	weight := weights(origin, slowDecay)
	for i := range d.restless {
		t := tally{ownDays, ownDays}
		a := walkFar(p, f, l, i, origin, func(x far, o *obs) {
			w := weight[o.day]
			t.n += w * math.Min(mostRestless, x.off/d.pooled(&x))
			t.e += w
		})
		if p.implicit {
			// On a day without sales a pair is off by all that was expected. Their weight is taken
			// for that of the days since its first sale.
			from := 0
			if own := p.of(i); len(own) > 0 {
				from = int(own[0].day)
			}
			w := math.Max(0, (1-math.Pow(slowDecay, float64(origin-from+1)))/(1-slowDecay)-(t.e-ownDays))
			x := far{e: math.Max(leastRate, float64(l.rate[i])), class: f.class[p.sku[i]]}
			x.band = uint8(band(x.e))
			t.n += w * math.Min(mostRestless, x.e/d.pooled(&x))
			t.e += w
			a.see(&obs{day: int16(origin), open: openAll}, true)
		}
		price, out := a.usual()
		d.restless[i], d.usualPrice[i], d.outs[i] = float32(t.n/t.e), float32(price), out
	}
}

// learnSize is the method of moments, by bands; a band of few days leans on all.
func (d *dispersion) learnSize(days []far) {
	var excess, square [bands]float64
	var n [bands]float64
	var all, allSquare float64
	for i := range days {
		x := &days[i]
		own := x.e * float64(d.restless[x.pair]) * d.class[x.class] * d.change[x.change] * d.out[x.out]
		excess[x.band] += x.off*x.off - x.e
		square[x.band] += own * own
		n[x.band]++
		all += x.off*x.off - x.e
		allSquare += own * own
	}
	usual := 0.0
	if allSquare > 0 {
		usual = math.Max(0, all/allSquare)
	}
	for b := range d.size {
		few := 0.0
		if n[b] > 0 {
			few = 100 * square[b] / n[b]
		}
		d.size[b] = usual
		if few > 0 {
			d.size[b] = math.Max(0, (excess[b]+usual*few)/(square[b]+few))
		}
	}
}

// learnEvent is the covariance of two stores of a region on the same day for the same SKU.
func (d *dispersion) learnEvent(s *panel, f *factors, l *levels, origin int) {
	type sums struct{ off, e, off2, e2 float64 }
	days := origin + 1
	groups := min(len(l.region.taste), 4_000_000/days)
	t := make([]sums, groups*days)
	for i := range s.pairs() {
		g := int(l.region.of[i])
		if g >= groups {
			continue
		}
		own := s.of(i)
		for k := range own {
			o := &own[k]
			if int(o.day) > origin || !o.whole() {
				continue
			}
			e := math.Max(leastRate, float64(l.rate[i])*f.at(s.sku[i], o))
			off := math.Min(float64(o.units), 5*e+3) - e
			x := &t[g*days+int(o.day)]
			x.off, x.e, x.off2, x.e2 = x.off+off, x.e+e, x.off2+off*off, x.e2+e*e
		}
	}
	var common, scale float64
	for _, x := range t {
		common += x.off*x.off - x.off2
		scale += x.e*x.e - x.e2
	}
	if scale > 0 {
		d.event = math.Min(1, math.Max(0, common/scale))
	}
}

// learnPromo compares a SKU's campaigns, days in a row, with each other.
func (d *dispersion) learnPromo(s *panel, f *factors, l *levels, origin int) {
	d.promo = make([]float64, len(f.class))
	days := origin + 1
	t := make([]tally, len(f.class)*days)
	for i := range s.pairs() {
		own := s.of(i)
		for k := range own {
			if o := &own[k]; int(o.day) <= origin && o.promo && o.whole() {
				x := &t[int(s.sku[i])*days+int(o.day)]
				x.n += float64(o.units)
				x.e += math.Max(leastRate, float64(l.rate[i])*f.at(s.sku[i], o))
			}
		}
	}
	var between, pairs float64
	events := make([]float64, len(f.class))
	for k := range events {
		b, n := betweenEvents(t[k*days : (k+1)*days])
		events[k] = n
		if n > 1 {
			between += b
			pairs += n - 1
		}
	}
	usual := (eventStrength*eventPrior + between) / (eventStrength + pairs)
	for k, n := range events {
		d.promo[k] = math.Min(1, usual*(1+1/(n+1)))
	}
}

// betweenEvents is the sum of squares of the events' log ratios around their mean, less what
// counting explains, and the number of events.
func betweenEvents(days []tally) (between, events float64) {
	var sum, square, noise float64
	var run tally
	for d := 0; d <= len(days); d++ {
		if d < len(days) && days[d].e > 0 {
			run.n, run.e = run.n+days[d].n, run.e+days[d].e
			continue
		}
		if run.e >= 5 { // of fewer units nothing can be said
			x := math.Log((run.n + 1) / (run.e + 1))
			sum, square, noise, events = sum+x, square+x*x, noise+1/run.e, events+1
		}
		run = tally{}
	}
	if events < 2 {
		return 0, events
	}
	return math.Max(0, square-sum*sum/events-noise*(events-1)/events), events
}
