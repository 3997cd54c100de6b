package forecast

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// slowLaw sums a law in 300 bits from the bottom, and returns P(Y > k) for k < n.
func slowLaw(l Law, n int) []float64 {
	num := func(x float64) *big.Float { return new(big.Float).SetPrec(300).SetFloat64(x) }
	mean, v := num(l.Mean), num(l.Var)
	a, b := num(0), num(l.Mean)
	if l.Var > l.Mean {
		a = new(big.Float).Quo(new(big.Float).Sub(v, mean), v)
		b = new(big.Float).Quo(new(big.Float).Mul(mean, mean), v)
	}
	// Unscaled, from P(0) = 1; the sum over all k divides it out.
	p, sum := num(1), num(1)
	cum := []*big.Float{num(1)}
	for k := 0; k < 400*n+20000; k++ {
		f := new(big.Float).Add(new(big.Float).Mul(a, num(float64(k))), b)
		p = new(big.Float).Quo(new(big.Float).Mul(p, f), num(float64(k+1)))
		sum = new(big.Float).Add(sum, p)
		if k+1 < n {
			cum = append(cum, sum)
		} else if new(big.Float).Quo(p, sum).Cmp(num(1e-40)) < 0 {
			break
		}
	}
	tails := make([]float64, n)
	for k := range tails {
		tails[k], _ = new(big.Float).Quo(new(big.Float).Sub(sum, cum[k]), sum).Float64()
	}
	return tails
}

var laws = []Law{
	{0.01, 0.01}, {0.3, 0.5}, {1, 1}, {2, 30}, {9, 9.00001}, {12, 40}, {80, 80}, {80, 90}, {300, 300}, {310, 310.0002}, {310, 310.05}, {300, 3000}, {700, 720}, {1500, 2e5}, {2000, 2000},
}

func TestLawsEqualTheirSlowExactSums(t *testing.T) {
	for _, l := range laws {
		t.Run(fmt.Sprintf("mean %v variance %v", l.Mean, l.Var), func(t *testing.T) {
			n := int(l.Mean+14*math.Sqrt(l.Var)) + 20
			exact := slowLaw(l, n)
			last := 1.0
			w := l.from(0)
			for k, want := range exact {
				w.to(k)
				near(t, "Survival", k, l.Survival(k), want, 2e-11)
				near(t, "CDF", k, l.CDF(k), 1-want, 2e-11)
				near(t, "PMF", k, l.PMF(k), last-want, 2e-11)
				near(t, "a walk from 0", k, w.tail, want, 2e-11)
				if k%97 == 0 {
					v := l.from(k)
					near(t, "a walk from here", k, v.tail, want, 2e-11)
				}
				last = want
			}
			for _, level := range []float64{0.01, 0.2, 0.5, 0.6, 0.8, 0.95, 0.99, 0.9999} {
				q := 0
				for exact[q] > 1-level {
					q++
				}
				if got := l.Quantile(level); got != q {
					t.Errorf("Quantile(%v) = %d, want %d", level, got, q)
				}
			}
		})
	}
}

func near(t *testing.T, what string, k int, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s at %d = %v, want %v", what, k, got, want)
	}
}

func TestAnEmptyOrBrokenLawAsksForNothing(t *testing.T) {
	for _, l := range []Law{{}, {0, 5}, {-1, 2}, {math.NaN(), 1}} {
		if l.PMF(0) != 1 || l.PMF(1) != 0 || l.CDF(0) != 1 || l.Survival(0) != 0 || l.Survival(-1) != 1 || l.Quantile(0.99) != 0 {
			t.Errorf("%v asks for something", l)
		}
		if w := l.from(3); w.tail != 0 || w.gain(3, 2) != 0 {
			t.Errorf("%v: a walk finds %+v", l, w)
		}
	}
	if q := (Law{3, 4}).Quantile(0); q != 0 {
		t.Errorf("level 0 wants %d", q)
	}
}

func TestQuantilesOfAnyLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mean := math.Exp(rapid.Float64Range(-6, 14).Draw(t, "log mean"))
		l := Law{mean, mean * (1 + math.Exp(rapid.Float64Range(-18, 12).Draw(t, "log excess")))}
		level := rapid.Float64Range(0.001, 0.9999).Draw(t, "level")
		q := l.Quantile(level)
		if l.CDF(q) < level-1e-9 || q > 0 && l.CDF(q-1) > level+1e-9 {
			t.Fatalf("%v: Quantile(%v) = %d, between %v and %v", l, level, q, l.CDF(q-1), l.CDF(q))
		}
		w := l.from(q)
		if q > 0 {
			w = l.from(q - 1)
			w.to(q)
		}
		if math.Abs(w.tail-l.Survival(q)) > 1e-9 {
			t.Fatalf("%v: a walk to %d finds %v, not %v", l, q, w.tail, l.Survival(q))
		}
	})
}

func TestPartsAddUpAndTheEventIsCommon(t *testing.T) {
	l := Law{2, 3}.Add(Law{4, 6})
	if l != (Law{6, 9}) {
		t.Fatalf("parts add up to %v", l)
	}
	if got := l.WithEvent(0.5); got != (Law{6, 9 + 1.5 + 18}) {
		t.Errorf("with the event: %v", got)
	}
	if got := l.Scale(2); got != (Law{12, 24}) {
		t.Errorf("twice the rate: %v", got)
	}
	// A rate that is gamma with variance v of its own, twice: the same as one law's excess.
	if got, want := (Law{10, 10}).WithEvent(0.3), (Law{10, 40}); got != want {
		t.Errorf("a Poisson law with an event is %v, want %v", got, want)
	}
}

func TestMoreSoldByMoreUnits(t *testing.T) {
	l := Law{5, 11}
	w := l.from(3)
	near(t, "one unit", 3, w.gain(3, 1), l.Survival(3), 1e-12)
	near(t, "two units and a half", 3, w.gain(3, 2.5), l.Survival(3)+l.Survival(4)+l.Survival(5)/2, 1e-12)
	near(t, "parts", 3, w.gain(3.25, 1), 0.75*l.Survival(3)+0.25*l.Survival(4), 1e-12)
}
