package forecast

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

const (
	monday  = 19842 // 29 April 2024
	weeks10 = 70
)

// past is a made-up past that follows the model's own law, or a law that a test bends.
type past struct {
	stores []Store
	skus   []SKU
	rate   func(store, sku int) float64
	factor func(store, sku int, day int32, o *Observation) float64 // may set price, promotion and open share
	noise  float64                                                 // squared coefficient of variation of a day's luck
	days   int
	seed   uint64
}

func (w past) history() *History {
	rng := rand.New(rand.NewPCG(w.seed, 7))
	h := NewHistory(w.stores, w.skus, Calendar{})
	for s := range w.stores {
		for k := range w.skus {
			for day := int32(monday); day < monday+int32(w.days); day++ {
				o := Observation{Store: int32(s), SKU: int32(k), Day: day, Open: 1, Price: 1}
				mean := w.rate(s, k)
				if w.factor != nil {
					mean *= w.factor(s, k, day, &o)
				}
				o.Units = float32(poisson(rng, mean*gamma(rng, w.noise)))
				h.Add(o)
			}
		}
	}
	return h
}

func (w past) last() int32 { return monday + int32(w.days) - 1 }

// gamma draws from the law of mean 1 and this variance, as a mean of squared normals or so.
func gamma(rng *rand.Rand, variance float64) float64 {
	if variance == 0 {
		return 1
	}
	// Marsaglia and Tsang 2000, for shapes above 1.
	d := 1/variance - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := math.Pow(1+c*x, 3)
		if v > 0 && math.Log(rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v * variance
		}
	}
}

func poisson(rng *rand.Rand, mean float64) (n int) {
	for t := rng.ExpFloat64(); t < mean; t += rng.ExpFloat64() {
		n++
	}
	return n
}

func close(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within*want) {
		t.Errorf("%s is %.4g, want %.4g within %.0f %%", what, got, want, 100*within)
	}
}

// square is a past of equal stores in regions of 20 and cells of 5.
func square(stores, skus int, rate float64) past {
	w := past{days: weeks10, skus: make([]SKU, skus), rate: func(int, int) float64 { return rate }, seed: 1}
	for s := range stores {
		w.stores = append(w.stores, Store{Region: int32(s / 20), Cell: int32(s / 5)})
	}
	return w
}

func TestWeekdaysHolidaysPricesAndCampaignsAreLearnt(t *testing.T) {
	week := [7]float64{0.8, 0.8, 0.9, 1, 1.2, 1.4, 0.9}
	holidays := []int32{monday + 16, monday + 31, monday + 46}
	w := square(60, 8, 6)
	for k := range w.skus {
		w.skus[k].Class = int32(k / 2)
	}
	w.factor = func(s, k int, day int32, o *Observation) float64 {
		f := week[(day-monday)%7]
		if slices.Contains(holidays, day) {
			f = 2
		}
		if (int(day)+s+3*k)%9 == 0 { // a discount that sells half as much again
			o.Price = 0.7
			f *= 1.5
		}
		if (int(day)+k)%13 == 0 { // a campaign that a SKU answers to in its own way
			o.Promo = true
			f *= 2 + float64(k)/4
		}
		return f
	}
	h := w.history()
	h.calendar.Free = append(holidays, w.last()+2)
	m := Fit(h, w.last())
	at := func(p Plan) float64 { p.To = p.From; return m.Ahead(p).At(7, 2).Law.Mean }
	tomorrow := w.last() + 1 // a Monday
	plain := at(Plan{From: tomorrow})
	for d, f := range week {
		if d != 1 { // a holiday
			close(t, "a weekday", at(Plan{From: tomorrow + int32(d)})/plain, f/week[0], 0.06)
		}
	}
	close(t, "the holiday", at(Plan{From: tomorrow + 1})/plain, 2/week[0], 0.06)
	close(t, "the discount", at(Plan{From: tomorrow, Price: 0.7})/plain, 1.5, 0.06)
	for k := range w.skus {
		promo := m.Ahead(Plan{From: tomorrow, To: tomorrow, Promo: true}).At(7, int32(k)).Law.Mean
		usual := m.Ahead(Plan{From: tomorrow, To: tomorrow}).At(7, int32(k)).Law.Mean
		close(t, "the campaign", promo/usual, 2+float64(k)/4, 0.08)
	}
}

// The first holiday ever is taken for a Sunday, and the first Saturday that is worked for a weekday.
func TestADayNeverSeenIsLikeItsNearestKind(t *testing.T) {
	w := square(40, 4, 8)
	w.factor = func(_, _ int, day int32, _ *Observation) float64 {
		if (day-monday)%7 >= 5 {
			return 2
		}
		return 1
	}
	h := w.history()
	next := w.last() + 1
	h.calendar = Calendar{Free: []int32{next + 1}, Working: []int32{next + 5}}
	m := Fit(h, w.last())
	at := func(day int32) float64 { return m.Ahead(Plan{From: day, To: day}).At(0, 0).Law.Mean }
	close(t, "a first holiday, over a Monday,", at(next+1)/at(next), 2, 0.07)
	close(t, "a first worked Saturday, over a Monday,", at(next+5)/at(next), 1, 0.07)
}

// Half of the stores run out of stock at noon on every third day; they sell as well as others.
func TestStockOutsAreNotTakenForLowDemand(t *testing.T) {
	w := square(60, 6, 10)
	w.factor = func(s, k int, day int32, o *Observation) float64 {
		if s%2 == 0 && (int(day)+k)%3 == 0 {
			o.Open = 0.5
			return 0.7 // mornings are busier
		}
		if s%2 == 0 && (int(day)+k)%3 == 1 && s%4 == 0 {
			o.Open = 0
			return 0
		}
		return 1
	}
	m := Fit(w.history(), w.last())
	o := m.Ahead(Plan{From: w.last() + 1, To: w.last() + 1})
	var out, in float64
	for s := range w.stores {
		if s%2 == 0 {
			out += o.At(int32(s), 1).Law.Mean
		} else {
			in += o.At(int32(s), 1).Law.Mean
		}
	}
	close(t, "demand where stock runs out, over that elsewhere,", out/in, 1, 0.05)
	close(t, "what half a day sells", m.f.part[8], 0.7, 0.06)
}

// Store sizes are 1 to 3, and SKUs sell 1 to 6 a day. A store that opened yesterday, a SKU that came
// yesterday, and one of each are told from what is alike.
func TestWithoutHistoryThePoolSpeaks(t *testing.T) {
	w := square(40, 6, 1)
	size := func(s int) float64 { return 1 + 2*float64(s%5)/4 }
	w.rate = func(s, k int) float64 { return size(s) * float64(1+k) / 2 }
	for k := range w.skus {
		w.skus[k].Class = int32(k % 3) // classes sell 2.5, 3.5 and 4.5 in the mean
	}
	all := w.history()
	h := NewHistory(append(w.stores, Store{Region: 0, Cell: 0}), append(w.skus, SKU{Class: 2}), Calendar{})
	for _, o := range all.rows {
		if o.Store == 4 && o.SKU >= 2 { // the largest store has never had most SKUs
			continue
		}
		h.Add(o)
	}
	o := Fit(h, w.last()).Ahead(Plan{From: w.last() + 1, To: w.last() + 1})
	close(t, "a SKU that is new in a large store", o.At(4, 3).Law.Mean, 3*2, 0.1)
	close(t, "a SKU in a new store", o.At(40, 3).Law.Mean, 2*2, 0.1)
	close(t, "a new SKU in the smallest store", o.At(0, 6).Law.Mean, (3.0+6)/2/2, 0.15)
	close(t, "a new SKU in a new store", o.At(40, 6).Law.Mean, 2*(3.0+6)/2/2, 0.15)
	for _, p := range []Prediction{o.At(41, 0), o.At(-1, 0), o.At(0, 7), o.At(0, -1)} {
		if p != (Prediction{}) {
			t.Errorf("of what there is not, %v is expected", p)
		}
	}
}

// The pool knows what a cell likes: one cell of four asks for three times as much of SKU 0, and a new store there does too.
func TestACellHasItsTaste(t *testing.T) {
	w := square(100, 30, 1)
	w.rate = func(s, k int) float64 {
		if k == 0 && (s/5)%4 == 0 {
			return 6
		}
		return 2
	}
	h := w.history()
	h.stores = append(w.stores, Store{Region: 0, Cell: 0}, Store{Region: 0, Cell: 1})
	o := Fit(h, w.last()).Ahead(Plan{From: w.last() + 1, To: w.last() + 1})
	close(t, "a new store where it is liked", o.At(100, 0).Law.Mean, 6, 0.2)
	close(t, "a new store elsewhere", o.At(101, 0).Law.Mean, 2, 0.15)
}

// In the last days SKU 0 sells twice as much in region 0 and nowhere else.
func TestADriftIsFollowedAndNoiseIsNot(t *testing.T) {
	w := square(60, 6, 6)
	w.noise = 0.1
	steady := Fit(w.history(), w.last())
	if steady.lasting > 0.5 {
		t.Errorf("where nothing changes, %.2f of the drift is believed", steady.lasting)
	}
	// Popularity wanders by SKU and region, so drifts are worth following.
	wander := rand.New(rand.NewPCG(3, 3))
	level := map[[3]int]float64{}
	for r := range 3 {
		for k := range w.skus {
			x := 0.0
			for d := range w.days {
				x = 0.95*x + 0.15*wander.NormFloat64()
				if r == 0 && k == 0 && d >= w.days-7 {
					x = math.Log(2)
				}
				level[[3]int{r, k, d}] = math.Exp(x)
			}
		}
	}
	w.factor = func(s, k int, day int32, _ *Observation) float64 { return level[[3]int{s / 20, k, int(day - monday)}] }
	m := Fit(w.history(), w.last())
	o := m.Ahead(Plan{From: w.last() + 1, To: w.last() + 1})
	here, there := 0.0, 0.0
	for s := range int32(20) {
		here += o.At(s, 0).Law.Mean / 20
		there += m.Ahead(Plan{From: w.last() + 60, To: w.last() + 60}).At(s, 0).Law.Mean / 20
	}
	close(t, "what sells twice as well since a week", here, 12, 0.25)
	if m.lasting < 0.75 {
		t.Errorf("where levels wander, only %.2f of the drift is believed", m.lasting)
	}
	if !(there < 0.95*here) {
		t.Errorf("in two months the drift is forgotten: %.1f, tomorrow %.1f", there, here)
	}
}

// A posterior is what weighing all rates by prior and likelihood gives.
func TestShrinkingIsThePosteriorMean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		strength, prior := rapid.Float64Range(2, 50).Draw(t, "strength"), rapid.Float64Range(0.5, 3).Draw(t, "prior")
		x := tally{float64(rapid.IntRange(0, 40).Draw(t, "n")), rapid.Float64Range(0.1, 40).Draw(t, "e")}
		// Gamma prior of this mean with shape strength*prior and rate strength; Poisson(e * factor) units.
		var sum, weight, top float64
		top = math.Inf(-1)
		logs := make([]float64, 20000)
		for i := range logs {
			f := (float64(i) + 0.5) / 200
			logs[i] = (strength*prior-1)*math.Log(f) - strength*f + x.n*math.Log(f) - x.e*f
			top = math.Max(top, logs[i])
		}
		for i, l := range logs {
			p := math.Exp(l - top)
			sum += p * (float64(i) + 0.5) / 200
			weight += p
		}
		if got, want := x.shrunk(strength, prior), sum/weight; math.Abs(got-want) > 0.02*want+0.003 {
			t.Fatalf("%v shrunk by %v to %v is %v, the posterior mean %v", x, strength, prior, got, want)
		}
	})
}

func TestStrengthIsTheShapeOfTheFactors(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, shape := range []float64{2, 20} {
		var all []tally
		for range 20_000 {
			e := 5 + 20*rng.Float64()
			all = append(all, tally{float64(poisson(rng, e*gamma(rng, 1/shape))), e})
		}
		close(t, "the strength", strengthOf(all, 0.1, 1e6), shape, 0.1)
	}
	if got := strengthOf([]tally{{5, 5}, {7, 7}}, 1, 500); got != 500 {
		t.Errorf("without any spread the strength is %v, want the most", got)
	}
	if got := strengthOf(nil, 1, 500); got != 500 {
		t.Errorf("of nothing it is %v", got)
	}
}

// Days written out as nothing sold, or left out of a sparse history, mean the same.
func TestASparseHistoryIsADenseOneWithItsZeros(t *testing.T) {
	w := square(60, 8, 0.3)
	w.noise = 0.2
	w.factor = func(_, k int, day int32, o *Observation) float64 {
		o.Promo = (int(day)+k)%11 == 0
		if o.Promo {
			return 3
		}
		return []float64{1, 1, 1, 1, 1.3, 1.6, 0.6}[(day-monday)%7]
	}
	for s := range w.stores {
		w.stores[s].Since = monday
	}
	dense := w.history()
	sparse := NewHistory(w.stores, w.skus, Calendar{}).Sparse()
	for _, o := range dense.rows {
		if o.Units > 0 || o.Promo {
			sparse.Add(o)
		}
	}
	p := Plan{From: w.last() + 1, To: w.last() + 3}
	a, b := Fit(dense, w.last()).Ahead(p), Fit(sparse, w.last()).Ahead(p)
	var written, left float64
	for s := range w.stores {
		for k := range w.skus {
			x, y := a.At(int32(s), int32(k)), b.At(int32(s), int32(k))
			if math.Abs(x.Law.Mean-y.Law.Mean) > 0.1*x.Law.Mean || math.Abs(x.Law.Var-y.Law.Var) > 0.2*x.Law.Var {
				t.Fatalf("store %d SKU %d: %v where zeros are written, %v where not", s, k, x, y)
			}
			written, left = written+x.Law.Mean, left+y.Law.Mean
		}
	}
	close(t, "all demand where zeros are left out, over that where not,", left/written, 1, 0.01)
}

// Of 400 stores that carry a SKU, most never sold it: what they may sell is less than what those
// that did may, and all together about what was sold.
func TestNotHavingSoldSaysSomethingToo(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	w := square(400, 3, 0)
	for s := range w.stores {
		w.stores[s].Since = monday
	}
	h := NewHistory(w.stores, w.skus, Calendar{}).Sparse()
	sold, total := map[int32]bool{}, 0.0
	for s := range w.stores {
		rate := 0.01 * gamma(rng, 0.8)
		for day := int32(monday); day <= w.last(); day++ {
			for k := range int32(3) {
				if n := poisson(rng, rate); n > 0 {
					h.Add(Observation{Store: int32(s), SKU: k, Day: day, Units: float32(n), Open: 1})
					if k == 0 {
						sold[int32(s)] = true
						total += float64(n)
					}
				}
			}
		}
	}
	o := Fit(h, w.last()).Ahead(Plan{From: w.last() + 1, To: w.last() + int32(w.days)})
	var met, unmet, all float64
	for s := range int32(400) {
		mean := o.At(s, 0).Law.Mean
		all += mean
		if sold[s] {
			met += mean / float64(len(sold))
		} else {
			unmet += mean / float64(400-len(sold))
		}
	}
	if len(sold) > 250 || !(unmet < 0.8*met) || !(unmet > 0) {
		t.Errorf("%d stores sold it and may sell %.3f each, the others %.3f", len(sold), met, unmet)
	}
	close(t, "all stores' demand", all, total, 0.2)
}

// Demand here is nothing like a negative binomial: on one day of five there is ten times as much.
func TestResidualsCoverWhereNoLawFits(t *testing.T) {
	w := square(60, 6, 5)
	rng := rand.New(rand.NewPCG(2, 2))
	w.factor = func(int, int, int32, *Observation) float64 {
		if rng.IntN(5) == 0 {
			return 10
		}
		return 1
	}
	w.days += 7
	h := w.history()
	cut := w.last() - 7
	m := Fit(h, cut)
	for _, level := range []float64{0.5, 0.75, 0.9, 0.95} {
		below, rows := 0.0, 0.0
		for _, o := range h.rows {
			if o.Day > cut {
				rows++
				if float64(o.Units) <= m.Ahead(Plan{From: o.Day, To: o.Day}).Quantile(o.Store, o.SKU, level) {
					below++
				}
			}
		}
		if off := below/rows - level; math.Abs(off) > 0.03 {
			t.Errorf("%.1f %% of days lie below the %v quantile", 100*below/rows, level)
		}
	}
}

// With 999 residuals of one band, the quantile at p is the (1000 p)-th.
func TestQuantilesOfResidualsAreOrderStatistics(t *testing.T) {
	var all []residual
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(999) {
		all = append(all, residual{mean: 1, off: float64(i + 1)})
	}
	r := newResiduals(all)
	for p, want := range map[float64]float64{0.5: 500, 0.8: 800, 0.95: 950, 0.005: 5, 0.995: 995, 0.9999: 995, 0: 5} {
		if got := r.out[2].quantile(7, p); math.Abs(got-want) > 1e-6 {
			t.Errorf("the quantile at %v is %v, want %v", p, got, want)
		}
	}
	if few := newResiduals(all[:499]); len(few.all.table) != 0 || few.all.bias(1) != 0 {
		t.Error("499 residuals make a band")
	}
}

// Laws are right for one store and for twenty together, on days that all stores share luck.
func TestLawsAddUpWithTheLuckThatStoresShare(t *testing.T) {
	w := square(100, 10, 6)
	w.noise = 0.15
	luck := rand.New(rand.NewPCG(4, 4))
	common := map[[3]int]float64{}
	w.factor = func(s, k int, day int32, _ *Observation) float64 {
		at := [3]int{s / 20, k, int(day)}
		if common[at] == 0 {
			common[at] = gamma(luck, 0.09)
		}
		return common[at]
	}
	w.days += 14
	h := w.history()
	cut := w.last() - 14
	m := Fit(h, cut)
	close(t, "the event's variance", m.d.event, 0.09, 0.2)
	units := map[[3]int32]float64{}
	alone, rows := 0.0, 0.0
	for _, o := range h.rows {
		if o.Day <= cut {
			continue
		}
		units[[3]int32{o.Store / 20, o.SKU, o.Day}] += float64(o.Units)
		p := m.Ahead(Plan{From: o.Day, To: o.Day}).At(o.Store, o.SKU)
		if int(o.Units) <= p.Law.WithEvent(p.Event).Quantile(0.9) {
			alone++
		}
		rows++
	}
	together := 0.0
	for at, n := range units {
		var sum Law
		var event float64
		for s := at[0] * 20; s < at[0]*20+20; s++ {
			p := m.Ahead(Plan{From: at[2], To: at[2]}).At(s, at[1])
			sum, event = sum.Add(p.Law), p.Event
		}
		if int(n) <= sum.WithEvent(event).Quantile(0.9) {
			together++
		}
	}
	if a, b := alone/rows, together/float64(len(units)); math.Abs(a-0.91) > 0.03 || math.Abs(b-0.9) > 0.05 {
		t.Errorf("%.1f %% of stores and %.1f %% of regions lie below the 90 %% quantile", 100*a, 100*b)
	}
}

// Three campaigns went very differently, so the next one is uncertain for all stores at once; if
// they went alike, it is not.
func TestCampaignsThatDifferMakeTheNextUncertain(t *testing.T) {
	w := square(40, 12, 5)
	event := func(luck [3]float64) float64 {
		w.factor = func(_, k int, day int32, o *Observation) float64 {
			if d := int(day - monday); d%20 < 3 && d/20 < 3 {
				o.Promo = true
				return 3 * luck[(d/20+k)%3]
			}
			return 1
		}
		m := Fit(w.history(), w.last())
		return m.Ahead(Plan{From: w.last() + 1, To: w.last() + 1, Promo: true}).At(3, 3).Event
	}
	alike, apart := event([3]float64{1, 1, 1}), event([3]float64{0.5, 1, 1.6})
	if !(alike < 0.03) || !(apart > 0.15) {
		t.Errorf("the event's variance is %.3f where campaigns were alike and %.3f where not", alike, apart)
	}
}

func TestAWindowAddsUpItsDays(t *testing.T) {
	w := square(40, 4, 3)
	w.noise = 0.3
	m := Fit(w.history(), w.last())
	first := w.last() + 1
	var sum Law
	for d := range int32(7) {
		sum = sum.Add(m.Ahead(Plan{From: first + d, To: first + d}).At(3, 1).Law)
	}
	week := m.Ahead(Plan{From: first, To: first + 6}).At(3, 1)
	close(t, "a week's mean", week.Law.Mean, sum.Mean, 0.03)
	if !(week.Law.Var > week.Law.Mean) || !(week.Law.Var < 1.6*sum.Var) || !(week.Law.Var > 0.7*sum.Var) {
		t.Errorf("a week's variance is %.2f, that of its days %.2f", week.Law.Var, sum.Var)
	}
	four := m.Ahead(Plan{From: first, To: first + 6, Uplift: 4}).At(3, 1)
	close(t, "four times the demand", four.Law.Mean, 4*week.Law.Mean, 0.1)
	if !(four.Event >= eventPrior/2) {
		t.Errorf("an uplift that a person told is certain to %v", four.Event)
	}
	for _, p := range []Plan{{From: first, To: first - 1}, {From: math.MaxInt32, To: math.MinInt32}} {
		if got := m.Ahead(p).At(3, 1); got != (Prediction{}) {
			t.Errorf("a plan without days sells %v", got)
		}
		if got := m.Ahead(p).Quantile(3, 1, 0.9); got != 0 {
			t.Errorf("a plan without days needs %v", got)
		}
	}
}

// What comes after the last day is not looked at, in whatever order the rows came.
func TestOnlyThePastCounts(t *testing.T) {
	w := square(30, 4, 4)
	h := w.history()
	cut := w.last() - 10
	before, mixed := NewHistory(w.stores, w.skus, Calendar{}), NewHistory(w.stores, w.skus, Calendar{})
	for _, i := range rand.New(rand.NewPCG(9, 9)).Perm(h.Len()) {
		o := h.rows[i]
		if o.Day > cut {
			o.Units *= 100
		}
		mixed.Add(o)
	}
	for _, o := range h.rows {
		if o.Day <= cut {
			before.Add(o)
		}
	}
	same(t, Fit(before, cut), Fit(mixed, cut), cut)
}

// same fails unless two models say the same, to the last bit.
func same(t interface{ Fatalf(string, ...any) }, a, b *Model, last int32) {
	for _, p := range []Plan{{From: last + 1, To: last + 1}, {From: last + 2, To: last + 5, Price: 0.8, Promo: true}, {From: last + 1, To: last + 1, Uplift: 3}} {
		x, y := a.Ahead(p), b.Ahead(p)
		for s := range a.h.stores {
			for k := range a.h.skus {
				if x.At(int32(s), int32(k)) != y.At(int32(s), int32(k)) || x.Quantile(int32(s), int32(k), 0.8) != y.Quantile(int32(s), int32(k), 0.8) {
					t.Fatalf("store %d SKU %d: %v and %v", s, k, x.At(int32(s), int32(k)), y.At(int32(s), int32(k)))
				}
			}
		}
	}
}

// anything draws a history of all that can be added, sensible or not.
func anything(t *rapid.T) (*History, int32) {
	days := []int32{math.MinInt32, -1, 0, 19000, 19001, 19007, 19020, 19030, 19033, math.MaxInt32}
	group := rapid.SampledFrom([]int32{math.MinInt32, -1, 0, 1, 1, 2, math.MaxInt32})
	stores := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Store {
		return Store{group.Draw(t, "region"), group.Draw(t, "cell"), rapid.SampledFrom(days).Draw(t, "since")}
	}), 0, 6).Draw(t, "stores")
	skus := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) SKU {
		return SKU{group.Draw(t, "category"), group.Draw(t, "class"), rapid.SampledFrom(days).Draw(t, "since")}
	}), 0, 4).Draw(t, "SKUs")
	h := NewHistory(stores, skus, Calendar{Free: rapid.SliceOfN(rapid.SampledFrom(days), 0, 3).Draw(t, "free")})
	if rapid.Bool().Draw(t, "sparse") {
		h.Sparse()
	}
	rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Observation {
		return Observation{
			Store: rapid.Int32Range(-1, 5).Draw(t, "store"), SKU: rapid.Int32Range(-1, 4).Draw(t, "SKU"),
			Day:   rapid.OneOf(rapid.SampledFrom(days), rapid.Int32Range(19000, 19040)).Draw(t, "day"),
			Units: rapid.OneOf(rapid.SampledFrom([]float32{0, 0, 1, maxUnits, -1}), rapid.Float32Range(0, 30)).Draw(t, "units"),
			Open:  rapid.SampledFrom([]float32{0, 0.3, 0.5, 0.9, 1, 1, 1}).Draw(t, "open"),
			Price: rapid.SampledFrom([]float32{0, 0.001, 0.5, 0.9, 1, 1, 1.5, 100}).Draw(t, "price"), Promo: rapid.Bool().Draw(t, "promo"),
		}
	}), rapid.SampledFrom([]int{0, 1, 80}).Draw(t, "least rows"), 120).Draw(t, "rows")
	for _, o := range rows {
		h.Add(o)
	}
	return h, rapid.OneOf(rapid.Int32Range(19025, 19040), rapid.Int32Range(19025, 19040), rapid.SampledFrom(days)).Draw(t, "last")
}

// Whatever it is fed, a forecast is a number, its quantiles rise, its variance is at least a Poisson
// law's, and neither the order of rows nor asking twice changes anything.
func TestForecastsAreSoundWhateverTheHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, last := anything(t)
		m := Fit(h, last)
		other := &History{stores: h.stores, skus: h.skus, calendar: h.calendar, sparse: h.sparse, rows: rapid.Permutation(h.rows).Draw(t, "another order")}
		same(t, m, Fit(other, last), min(last, 20000))
		p := Plan{From: rapid.SampledFrom([]int32{math.MinInt32, 0, 19041, 19045, math.MaxInt32}).Draw(t, "from"),
			Price: rapid.SampledFrom([]float32{0, 0.5, 1, float32(math.NaN()), -1}).Draw(t, "price"), Promo: rapid.Bool().Draw(t, "promo"),
			Uplift: rapid.SampledFrom([]float64{0, 1, 5, -1, 1e300, math.NaN(), math.Inf(1)}).Draw(t, "uplift")}
		p.To = rapid.SampledFrom([]int32{p.From, min(p.From, math.MaxInt32-9) + 9, math.MaxInt32, math.MinInt32}).Draw(t, "to")
		o := m.Ahead(p)
		for s := range h.stores {
			for k := range h.skus {
				x := o.At(int32(s), int32(k))
				if !(x.Law.Mean >= 0) || math.IsInf(x.Law.Mean, 0) && p.Uplift < 1e9 || !(x.Law.Var >= x.Law.Mean) || !(x.Event >= 0 && x.Event <= 2) {
					t.Fatalf("store %d SKU %d of plan %+v: %+v", s, k, p, x)
				}
				if x.Law.Mean > 1e9 {
					continue // quantiles of absurd uplifts are the law's business
				}
				before := 0.0
				for _, level := range []float64{0.001, 0.2, 0.5, 0.8, 0.95, 0.999} {
					q := o.Quantile(int32(s), int32(k), level)
					if !(q >= before) || math.IsInf(q, 0) {
						t.Fatalf("store %d SKU %d of plan %+v: the quantile at %v is %v, below it %v", s, k, p, level, q, before)
					}
					before = q
				}
			}
		}
	})
}

// In another unit, ten times smaller, there is ten times as much.
func TestUnitsScale(t *testing.T) {
	w := square(40, 4, 40)
	w.noise = 0.2
	h := w.history()
	tenths := NewHistory(w.stores, w.skus, Calendar{})
	for _, o := range h.rows {
		o.Units *= 10
		tenths.Add(o)
	}
	p := Plan{From: w.last() + 1, To: w.last() + 1}
	a, b := Fit(h, w.last()).Ahead(p), Fit(tenths, w.last()).Ahead(p)
	for s := range int32(40) {
		close(t, "the mean in tenths", b.At(s, 1).Law.Mean, 10*a.At(s, 1).Law.Mean, 0.06)
		close(t, "the 90 % quantile in tenths", b.Quantile(s, 1, 0.9), 10*a.Quantile(s, 1, 0.9), 0.1)
	}
}

func TestManyMayAskAtOnce(t *testing.T) {
	w := square(20, 3, 2)
	m := Fit(w.history(), w.last())
	o := m.Ahead(Plan{From: w.last() + 1, To: w.last() + 2})
	want := o.At(5, 1)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if got := m.Ahead(o.plan).At(5, 1); got != want {
					t.Errorf("one says %v, another %v", got, want)
				}
			}
		})
	}
	all.Wait()
}

// Asking allocates nothing, and fitting no more than a few arrays however many rows there are.
func TestAllocationsDoNotGrowWithRows(t *testing.T) {
	fit := func(days int) float64 {
		w := square(40, 4, 2)
		w.days = days
		h := w.history()
		return testing.AllocsPerRun(1, func() { Fit(h, w.last()) })
	}
	small, large := fit(40), fit(160)
	if large > 1.2*small+200 {
		t.Errorf("6,400 rows take %.0f allocations, 25,600 rows %.0f", small, large)
	}
	w := square(20, 3, 2)
	o := Fit(w.history(), w.last()).Ahead(Plan{From: w.last() + 1, To: w.last() + 1})
	if n := testing.AllocsPerRun(100, func() { o.At(3, 1); o.Quantile(3, 1, 0.9) }); n != 0 {
		t.Errorf("asking allocates %v times", n)
	}
}

func BenchmarkFit(b *testing.B) {
	w := square(500, 20, 2)
	h := w.history()
	b.ReportAllocs()
	for b.Loop() {
		Fit(h, w.last())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(h.Len()), "ns/row")
}

func BenchmarkAt(b *testing.B) {
	w := square(500, 20, 2)
	o := Fit(w.history(), w.last()).Ahead(Plan{From: w.last() + 1, To: w.last() + 3, Uplift: 3})
	b.ReportAllocs()
	i := int32(0)
	for b.Loop() {
		o.At(i%500, i%20)
		i++
	}
}
