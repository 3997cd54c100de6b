package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"doorstep/internal/forecast"
)

// The ratios that B1 and B2 are scored at: what a missed unit costs over that and what a unit
// left over costs.
var ratios = []float64{0.6, 0.8, 0.95}

// market is a made-up past whose true laws are known, and a peak day after it.
//
// Demand is gamma-Poisson: a store's size, a SKU's popularity, the taste of the cell and of the
// store's own customers make a daily rate, the weekday and a campaign's uplift multiply it, and so
// do the luck of the day (each store and SKU for itself) and that of the campaign (each SKU, the
// same for all stores). On some days a shelf was empty for hours. What the law is made of is drawn
// before the history, and the history before anyone looks at the peak.
type market struct {
	shape
	stores  []forecast.Store
	skus    []forecast.SKU
	rate    []float64 // of an ordinary day, by store*len(skus)+sku
	week    [][7]float64
	uplift  []float64 // of a campaign, by SKU, in the mean
	history *forecast.History
	past    []memory // what the simple rules remember, as rate
}

// shape is how a market is made.
type shape struct {
	cells, perCell, skuCount int
	days                     int     // of history; the peak is the day after
	perDay                   float64 // units a store sells of a SKU on an ordinary day
	campaigns                int     // in the past, each with about half of the SKUs
	daySize                  float64 // gamma shape of the day's luck
	eventVar                 float64 // variance of the campaign's luck
	newStores                float64 // share of stores that opened a week before the peak
}

// usual is like the market of the design's experiments, as far as their figures tell: a store on its
// own that knows the true law serves five sixths of its customers at a ratio of 0.8 and is left with
// as much as it sold; and a cell that does pays 0.9, 0.8 and 0.5 of what its stores pay (B2).
var usual = shape{cells: 40, perCell: 9, skuCount: 30, days: 84, perDay: 0.3, campaigns: 8, daySize: 4, eventVar: 0.02}

// memory is what a simple rule needs of a store and SKU.
type memory struct {
	weekAgo   float64 // units on the last ordinary day of the peak's weekday
	month     float64 // units a day, the last 28 ordinary days
	lastPromo float64 // units on its last campaign day
	ordinary  [28]float32
	seen      int
}

const firstDay = 20000 // a Wednesday; any day would do

func (m *market) peak() int32 { return int32(firstDay + m.days) }

// dice draws from the laws that Go's library lacks.
type dice struct{ *rand.Rand }

// gamma of mean 1 and the given shape. (Marsaglia, Tsang 2000.)
func (d dice) gamma(shape float64) float64 {
	if shape < 1 {
		return d.gamma(shape+1) * (shape + 1) / shape * math.Pow(d.Float64(), 1/shape)
	}
	k := shape - 1./3
	c := 1 / math.Sqrt(9*k)
	for {
		x := d.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-d.Float64()) < x*x/2+k-k*v+k*math.Log(v) {
			return k * v / shape
		}
	}
}

// poisson adds up waiting times, which is fast enough for the means of a shelf.
func (d dice) poisson(mean float64) (n int) {
	for t := d.ExpFloat64(); t < mean; t += d.ExpFloat64() {
		n++
	}
	return n
}

func (d dice) lognormal(sigma float64) float64 {
	return math.Exp(sigma*d.NormFloat64() - sigma*sigma/2)
}

func newMarket(s shape, seed uint64) *market {
	m := &market{shape: s}
	d := dice{rand.New(rand.NewPCG(seed, 77))}
	const categories, classes = 4, 8
	for range categories {
		var w [7]float64
		sum := 0.0
		for i := range w {
			w[i] = d.lognormal(0.25)
			sum += w[i]
		}
		for i := range w {
			w[i] *= 7 / sum
		}
		m.week = append(m.week, w)
	}
	var classUplift [classes]float64
	for i := range classUplift {
		classUplift[i] = 2.5 + 3*d.Float64()
	}
	popular := make([]float64, s.skuCount)
	for k := range s.skuCount {
		class := k % classes
		m.skus = append(m.skus, forecast.SKU{Category: int32(class % categories), Class: int32(class), Since: firstDay})
		m.uplift = append(m.uplift, classUplift[class]*d.lognormal(0.15))
		popular[k] = d.lognormal(0.8)
	}
	since := make([]int32, s.cells*s.perCell)
	for c := range s.cells {
		taste := make([]float64, s.skuCount)
		for k := range taste {
			taste[k] = d.gamma(8)
		}
		for i := range s.perCell {
			size := d.lognormal(0.6)
			at := firstDay
			if d.Float64() < s.newStores {
				at = firstDay + s.days - 7
			}
			since[c*s.perCell+i] = int32(at)
			m.stores = append(m.stores, forecast.Store{Region: int32(c / 10), Cell: int32(c), Since: int32(at)})
			for k := range s.skuCount {
				m.rate = append(m.rate, s.perDay*size*popular[k]*taste[k]*d.gamma(4))
			}
		}
	}
	m.live(d)
	return m
}

// live writes the history.
func (m *market) live(d dice) {
	m.history = forecast.NewHistory(m.stores, m.skus, forecast.Calendar{})
	m.history.Grow(m.days * len(m.rate))
	m.past = make([]memory, len(m.rate))
	// Campaigns lie apart, and the last is some days before the peak. Each SKU is in one of two.
	on := make(map[int][]float64) // the luck of each SKU, 0: not in the campaign
	second := make([]bool, len(m.skus))
	for i := range m.campaigns {
		luck := make([]float64, len(m.skus))
		for k := range luck {
			if i%2 == 0 {
				second[k] = d.IntN(2) == 0
			}
			if second[k] == (i%2 == 1) {
				luck[k] = d.gamma(1 / m.eventVar)
			}
		}
		on[m.days-4-i*m.days/(m.campaigns+1)-d.IntN(4)] = luck
	}
	for t := range m.days {
		day := int32(firstDay + t)
		for at := range m.rate {
			s, k := at/len(m.skus), at%len(m.skus)
			if m.stores[s].Since > day {
				continue
			}
			mean, promo := m.rate[at]*m.weekday(k, day), false
			if luck := on[t]; luck != nil && luck[k] > 0 {
				mean, promo = mean*m.uplift[k]*luck[k], true
			}
			open := 1.0
			if x := d.Float64(); x < 0.03 || promo && x < 0.12 {
				open = 0.2 + 0.7*d.Float64()
			}
			units := d.poisson(mean * d.gamma(m.daySize) * open)
			m.history.Add(forecast.Observation{Store: int32(s), SKU: int32(k), Day: day, Units: float32(units), Open: float32(open), Price: 1, Promo: promo})
			m.past[at].note(float64(units), promo, (m.peak()-day)%7 == 0)
		}
	}
}

func (m *market) weekday(sku int, day int32) float64 {
	return m.week[m.skus[sku].Category][(day+3)%7] // day 0 was a Thursday
}

func (p *memory) note(units float64, promo, sameWeekday bool) {
	switch {
	case promo:
		p.lastPromo = units
		return
	case sameWeekday:
		p.weekAgo = units
	}
	at := p.seen % len(p.ordinary)
	p.month += units - float64(p.ordinary[at])
	p.ordinary[at] = float32(units)
	p.seen++
}

func (p *memory) mean() float64 {
	return p.month / float64(max(1, min(p.seen, len(p.ordinary))))
}

// outlook is what our forecast says about the peak, from the history alone.
func (m *market) outlook() *forecast.Outlook {
	fit := forecast.Fit(m.history, m.peak()-1)
	return fit.Ahead(forecast.Plan{From: m.peak(), To: m.peak(), Price: 1, Promo: true})
}

// lucks are the values that a campaign's luck may have, with their probabilities: the gamma law on
// a grid.
func (m *market) lucks() (f, p []float64) {
	const n = 40
	sum, shape := 0.0, 1/m.eventVar
	width := 10 * math.Sqrt(m.eventVar)
	from := max(0, 1-width/2)
	for i := range n {
		x := from + (float64(i)+0.5)*(1+width/2-from)/n
		w := math.Exp((shape-1)*math.Log(x) - shape*(x-1))
		f, p = append(f, x), append(p, w)
		sum += w
	}
	mean := 0.0
	for i := range p {
		p[i] /= sum
		mean += p[i] * f[i]
	}
	for i := range f {
		f[i] /= mean
	}
	return f, p
}

// demand is a true law: P(Y = k) for k from 0 to its length.
type demand []float64

// negativeBinomial is the law of gamma-Poisson demand, up to where nothing is left.
func negativeBinomial(mean, size float64) demand {
	q := mean / (mean + size)
	p := math.Exp(-size * math.Log1p(mean/size))
	d := demand{p}
	for k, left := 0, 1-p; left > 1e-10 && k < 5000; k++ {
		p *= q * (float64(k) + size) / float64(k+1)
		d = append(d, p)
		left -= p
	}
	return d
}

func (d demand) plus(e demand) demand {
	sum := make(demand, len(d)+len(e)-1)
	for i, p := range d {
		if p < 1e-14 {
			continue
		}
		for j, q := range e {
			sum[i+j] += p * q
		}
	}
	for len(sum) > 1 && sum[len(sum)-1] < 1e-14 {
		sum = sum[:len(sum)-1]
	}
	return sum
}

// mix adds p times e to d.
func (d demand) mix(p float64, e demand) demand {
	for len(d) < len(e) {
		d = append(d, 0)
	}
	for k, x := range e {
		d[k] += p * x
	}
	return d
}

// costs is what q units cost in the mean, at a ratio short of 1.
func (d demand) cost(q int, ratio float64) (cost float64) {
	for k, p := range d {
		if k > q {
			cost += p * ratio * float64(k-q)
		} else {
			cost += p * (1 - ratio) * float64(q-k)
		}
	}
	return cost
}

func (d demand) quantile(level float64) int {
	sum := 0.0
	for k, p := range d {
		if sum += p; sum >= level {
			return k
		}
	}
	return len(d) - 1
}

// ofStore is the true law of one store and SKU on the peak day, its luck unknown.
func (m *market) ofStore(at int, f, p []float64) (law demand) {
	for i := range f {
		law = law.mix(p[i], negativeBinomial(m.peakMean(at)*f[i], m.daySize))
	}
	return law
}

func (m *market) peakMean(at int) float64 {
	k := at % len(m.skus)
	return m.rate[at] * m.weekday(k, m.peak()) * m.uplift[k]
}

// synthetic scores B1: what our quantities for single stores cost on the true laws, over what the
// quantities of somebody who knows these laws cost.
func synthetic(r *report, seeds []uint64) {
	cost := scoreStores(usual, seeds)
	for _, ratio := range ratios {
		c := cost[ratio]
		r.goal(fmt.Sprintf("B1-%v", ratio), c["ours"]/c["oracle"], 1.10, 1.04,
			fmt.Sprintf("synthetic peak: cost of the fitted law's newsvendor / the true law's, critical ratio %v, %d markets of %d store-SKU pairs", ratio, len(seeds), usual.cells*usual.perCell*usual.skuCount))
	}
	sayRules(r, "B1", cost)
	few := usual
	few.days, few.campaigns, few.perDay, few.newStores = 28, 3, 0.1, 0.3
	sayRules(r, "B1, 28 days of history, 0.1 a day, 30 % new stores", scoreStores(few, seeds))
}

var rules = []string{"ours", "a week ago x uplift", "last campaign repeated", "28-day mean x uplift", "28-day mean x uplift, Poisson"}

func sayRules(r *report, what string, cost map[float64]map[string]float64) {
	for _, rule := range rules {
		line := fmt.Sprintf("%s: %s / true law:", what, rule)
		for _, ratio := range ratios {
			line += fmt.Sprintf(" %.3f at %v,", cost[ratio][rule]/cost[ratio]["oracle"], ratio)
		}
		r.info("%s", line[:len(line)-1])
	}
}

// scoreStores is the cost of each rule at each ratio.
func scoreStores(s shape, seeds []uint64) map[float64]map[string]float64 {
	cost := map[float64]map[string]float64{}
	for _, ratio := range ratios {
		cost[ratio] = map[string]float64{}
	}
	for _, seed := range seeds {
		m := newMarket(s, seed)
		look := m.outlook()
		f, p := m.lucks()
		uplift := m.seenUplift()
		for at, past := range m.past {
			law := m.ofStore(at, f, p)
			store, sku := at/len(m.skus), at%len(m.skus)
			guess := look.At(int32(store), int32(sku))
			ours, month := guess.Law.WithEvent(guess.Event), past.mean()*uplift[sku]
			for _, ratio := range ratios {
				c := cost[ratio]
				for rule, q := range map[string]int{
					"oracle": law.quantile(ratio), "ours": ours.Quantile(ratio), "last campaign repeated": int(past.lastPromo),
					"a week ago x uplift":           int(math.Round(past.weekAgo * uplift[sku])),
					"28-day mean x uplift":          int(math.Round(month)),
					"28-day mean x uplift, Poisson": forecast.Law{Mean: month, Var: month}.Quantile(ratio),
				} {
					c[rule] += law.cost(q, ratio)
				}
			}
		}
	}
	return cost
}

// seenUplift is what the simple rules take for a campaign's uplift: units on last campaign days over
// units on ordinary days, by SKU.
func (m *market) seenUplift() []float64 {
	promo, usual := make([]float64, len(m.skus)), make([]float64, len(m.skus))
	for at := range m.past {
		promo[at%len(m.skus)] += m.past[at].lastPromo
		usual[at%len(m.skus)] += m.past[at].mean()
	}
	for k := range promo {
		promo[k] /= max(usual[k], 1e-9)
	}
	return promo
}
