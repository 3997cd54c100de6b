package main

import (
	"math"
	"testing"

	"doorstep/internal/forecast"
)

var small = shape{cells: 4, perCell: 5, skuCount: 8, days: 56, perDay: 0.5, campaigns: 6, daySize: 4, eventVar: 0.02}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s is %v, not %v", what, got, want)
	}
}

// The true laws are summed by other means than ours.
func TestTrueLawsAreWhatTheySay(t *testing.T) {
	for _, mean := range []float64{0.05, 1, 7, 40} {
		d := negativeBinomial(mean, 4)
		l := forecast.Law{Mean: mean, Var: mean + mean*mean/4}
		sum, first := 0.0, 0.0
		for k, p := range d {
			near(t, "a probability", p, l.PMF(k), 1e-12)
			sum, first = sum+p, first+p*float64(k)
		}
		near(t, "the sum", sum, 1, 1e-9)
		near(t, "the mean", first, mean, 1e-6*(1+mean))
		if q := d.quantile(0.8); q != l.Quantile(0.8) {
			t.Errorf("quantile %d, ours says %d", q, l.Quantile(0.8))
		}
	}
	d := negativeBinomial(3, 4)
	both := d.plus(negativeBinomial(2, 2))
	near(t, "the mean of a sum", both.cost(0, 1), 5, 1e-6)
	q := both.quantile(0.8)
	if c := both.cost(q, 0.8); c > both.cost(q-1, 0.8) || c > both.cost(q+1, 0.8) {
		t.Errorf("%d is not the cheapest at 0.8", q)
	}
	mixed := demand(nil).mix(0.25, d).mix(0.75, both)
	near(t, "the mean of a mix", mixed.cost(0, 1), 0.25*3+0.75*5, 1e-6)
}

func TestAMarketIsItsSeed(t *testing.T) {
	a, b, c := newMarket(small, 7), newMarket(small, 7), newMarket(small, 8)
	same, other := true, true
	for at := range a.past {
		same = same && a.rate[at] == b.rate[at] && a.past[at] == b.past[at]
		other = other && a.past[at] == c.past[at]
	}
	if !same || other {
		t.Errorf("the same seed made the same market: %v; another one did: %v", same, other)
	}
	f, p := a.lucks()
	mean, square := 0.0, 0.0
	for i := range f {
		mean, square = mean+p[i]*f[i], square+p[i]*f[i]*f[i]
	}
	near(t, "the mean of luck", mean, 1, 1e-9)
	near(t, "the variance of luck", square-mean*mean, small.eventVar, 0.001)
}

func TestHistoryFollowsItsRates(t *testing.T) {
	m := newMarket(small, 3)
	sold, rate := 0.0, 0.0
	for at, p := range m.past {
		sold, rate = sold+p.mean(), rate+m.rate[at]
	}
	near(t, "sold a day over the rate", sold/rate, 1, 0.06) // 4 weeks of 160 pairs, some hours without stock
}

func TestOursIsDearerThanTheTrueLawAndCheaperThanTheSimpleRules(t *testing.T) {
	for ratio, c := range scoreStores(small, []uint64{1, 2}) {
		for _, rule := range rules {
			if c[rule] < c["oracle"] {
				t.Errorf("%s beats the true law at %v", rule, ratio)
			}
		}
		if c["ours"] > c["a week ago x uplift"] || c["ours"] > c["last campaign repeated"] {
			t.Errorf("ours at %v: %v", ratio, c)
		}
	}
}

func TestBestSellersFillTheShelfAndNoMore(t *testing.T) {
	goods := []forecast.Item{{Costs: forecast.Costs{Short: 1, Over: 1}, Volume: 2}, {Costs: forecast.Costs{Short: 9, Over: 1}, Volume: 1}}
	spots := []forecast.Spot{{Law: forecast.Law{Mean: 5, Var: 5}}, {Law: forecast.Law{Mean: 4, Var: 4}}}
	asked := bestSellersFirst(goods, spots, 12)
	if asked[0] != 5 || asked[1] != 2 {
		t.Errorf("a shelf for 12 holds %v", asked)
	}
}
