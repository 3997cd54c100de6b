package forecast

import "math"

// Law is how many whole units are asked for in the time it speaks of: a day, or all days of a
// plan together. It is the negative binomial distribution with this mean and variance (a Poisson
// rate that is itself uncertain by a gamma law), and the Poisson distribution where the variance
// is not above the mean. The zero Law is: never any.
type Law struct {
	Mean float64 // units; below a billionth: never any
	Var  float64 // units squared; counted up to a billion times the mean
}

// Panjer's class (a, b): P(k+1) = P(k) * (a*k + b) / (k+1). It holds the Poisson law, a = 0, and
// the negative binomial one, 0 < a < 1, so neither needs its own loops.
func (l Law) panjer() (a, b float64) {
	if l.poisson() {
		return 0, l.Mean
	}
	d := l.dispersion()
	return (d - 1) / d, l.Mean / d
}

func (l Law) never() bool { return !(l.Mean > 1e-9) }

func (l Law) dispersion() float64 { return min(1e9, l.Var/l.Mean) }

// poisson: below this excess the two laws differ by less than the negative binomial's rounding.
func (l Law) poisson() bool { return !(l.dispersion()-1 > 1e-7) }

// size is the negative binomial's r, the gamma law's shape.
func (l Law) size() float64 { return l.Mean / (l.dispersion() - 1) }

// Add is the law of the sum of two independent parts. (Exact where both have the same
// variance/mean; else the law with the right mean and variance.)
func (l Law) Add(m Law) Law { return Law{l.Mean + m.Mean, l.Var + m.Var} }

// WithEvent puts luck common to all of the law's parts on top: a factor of mean 1 and squared
// coefficient of variation v multiplies the rate behind the law. The variance grows by
// v*(Var-Mean) + v*Mean*Mean.
func (l Law) WithEvent(v float64) Law {
	if !(v > 0) {
		return l
	}
	return Law{l.Mean, l.Var + v*max(0, l.Var-l.Mean) + v*l.Mean*l.Mean}
}

// Scale is the law for f times the rate; how uncertain the rate is, relative to it, stays.
func (l Law) Scale(f float64) Law {
	return Law{l.Mean * f, l.Mean*f + max(0, l.Var-l.Mean)*f*f}
}

// PMF is P(Y = k). (After Loader 2000, "Fast and accurate computation of binomial
// probabilities": the deviance form keeps all digits at large k and large means.)
func (l Law) PMF(k int) float64 {
	switch {
	case k < 0:
		return 0
	case l.never():
		if k == 0 {
			return 1
		}
		return 0
	case k == 0:
		return l.none()
	}
	x := float64(k)
	if l.poisson() {
		return math.Exp(-stirling(x)-deviance(x, l.Mean)) / math.Sqrt(2*math.Pi*x)
	}
	r := l.size()
	n, p := r+x, 1/l.dispersion()
	q, _ := l.panjer() // 1-p would lose its digits near the Poisson law
	return math.Exp(stirling(n)-stirling(r)-stirling(x)-deviance(r, n*p)-deviance(x, n*q)) *
		math.Sqrt(r/(2*math.Pi*x*n))
}

// none is P(Y = 0).
func (l Law) none() float64 {
	if l.never() {
		return 1
	}
	if l.poisson() {
		return math.Exp(-l.Mean)
	}
	return math.Exp(-l.size() * math.Log(l.dispersion()))
}

// stirling is what Stirling's formula lacks of ln x!, x > 0.
func stirling(x float64) float64 {
	if x > 15 {
		y := 1 / (x * x)
		return (1./12 - y*(1./360-y*(1./1260-y/1680))) / x
	}
	g, _ := math.Lgamma(x + 1)
	return g - (x+0.5)*math.Log(x) + x - 0.5*math.Log(2*math.Pi)
}

// deviance is x ln(x/mean) - x + mean.
func deviance(x, mean float64) float64 {
	if x < mean/2 {
		return x*math.Log(x/mean) - x + mean
	}
	d := (x - mean) / mean // near the mean the differences would be lost
	return mean * ((1+d)*math.Log1p(d) - d)
}

// short is how many terms are summed before a continued fraction is cheaper.
const short = 256

// CDF is P(Y <= k).
func (l Law) CDF(k int) float64 { return 1 - l.Survival(k) }

// Survival is P(Y > k).
func (l Law) Survival(k int) float64 {
	switch {
	case k < 0:
		return 1
	case l.never():
		return 0
	}
	if k < short {
		if p := l.none(); p > 1e-290 {
			a, b := l.panjer()
			w := walker{a: a, b: b, pmf: p, tail: 1 - p}
			for w.k < k {
				w.step()
			}
			return w.tail
		}
	}
	var s float64
	if l.dispersion() < nearPoisson {
		s = l.sumTail(k)
	} else {
		s = l.betaTail(k)
	}
	return min(1, max(0, s))
}

// nearPoisson is the dispersion below which betaFraction has lost too many digits of 1-p.
const nearPoisson = 1.01

// sumTail sums away from the mean, where terms only fall.
func (l Law) sumTail(k int) float64 {
	a, b := l.panjer()
	if float64(k) < l.Mean {
		sum, p := 0.0, l.PMF(k)
		for j := k; j >= 0 && p > sum*1e-17; j-- {
			sum += p
			p *= float64(j) / (a*float64(j-1) + b)
		}
		return 1 - sum
	}
	sum, p := 0.0, l.PMF(k+1)
	for j := k + 1; p > sum*1e-17; j++ {
		sum += p
		p *= (a*float64(j) + b) / float64(j+1)
	}
	return sum
}

// betaTail is the incomplete beta function I_q(k+1, r) by its continued fraction, on whichever
// side it converges. Both prefixes are probabilities of the law itself.
func (l Law) betaTail(k int) float64 {
	r, x := l.size(), float64(k)
	p := 1 / l.dispersion()
	q, _ := l.panjer()
	if q < (x+2)/(x+r+3) {
		return l.PMF(k+1) * betaFraction(x+1, r, q)
	}
	return 1 - l.PMF(k)*q*(x+r)/r*betaFraction(r, x+1, p)
}

// betaFraction is a*B(a,b)*I_x(a,b) / (x^a (1-x)^b): DLMF 8.17.22 by the method of Lentz.
func betaFraction(a, b, x float64) float64 {
	const tiny = 1e-300
	keep := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c, d := 1.0, 1/keep(1-(a+b)*x/(a+1))
	f := d
	for m := 1.0; m < 1e6; m++ {
		even := m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		d, c = 1/keep(1+even*d), keep(1+even/c)
		f *= d * c
		odd := -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		d, c = 1/keep(1+odd*d), keep(1+odd/c)
		f *= d * c
		if math.Abs(d*c-1) < 1e-15 {
			break
		}
	}
	return f
}

// most bounds a quantity: nobody stocks more of one thing.
const most = 1 << 40

// Quantile is the smallest q with P(Y <= q) >= level; 0 for a level of 0 and below. A level of 1
// and above is taken as the largest number below 1.
func (l Law) Quantile(level float64) int {
	if l.never() || !(level > 0) {
		return 0
	}
	rest := max(1-level, 0x1p-53)
	sd := math.Sqrt(l.Mean * max(1, l.dispersion()))
	if p := l.none(); p > 1e-290 && l.Mean+8*sd < 4*short {
		a, b := l.panjer()
		w := walker{a: a, b: b, pmf: p, tail: 1 - p}
		for w.tail > rest && w.k < 16*short {
			w.step()
		}
		if w.tail <= rest {
			return w.k
		}
	}
	// below < answer <= above
	below, step := -1, max(1, int(sd))
	above := min(most, int(l.Mean))
	for above < most && l.Survival(above) > rest {
		below, above, step = above, min(most, above+step), 2*step
	}
	for above-below > 1 {
		if mid := below + (above-below)/2; l.Survival(mid) > rest {
			below = mid
		} else {
			above = mid
		}
	}
	return above
}

// walker goes up a law unit by unit; a step is a few multiplications.
type walker struct {
	a, b float64 // Panjer's
	pmf  float64 // P(Y = k)
	tail float64 // P(Y > k)
	k    int
}

// from is a walker on l at k >= 0.
func (l Law) from(k int) walker {
	a, b := l.panjer()
	if k < short {
		if p := l.none(); p > 1e-290 {
			w := walker{a: a, b: b, pmf: p, tail: 1 - p}
			if l.never() {
				w.b = 0
			}
			w.to(k)
			return w
		}
	}
	return walker{a: a, b: b, pmf: l.PMF(k), tail: l.Survival(k), k: k}
}

func (w *walker) step() {
	w.pmf *= (w.a*float64(w.k) + w.b) / float64(w.k+1)
	w.k++
	if w.pmf < 1e-290 && float64(w.k) < w.b/(1-w.a) {
		// So far below the mean the product has lost its digits, or all of it.
		w.pmf = w.law().PMF(w.k)
	}
	w.tail = max(0, w.tail-w.pmf)
}

func (w *walker) law() Law {
	mean := w.b / (1 - w.a)
	return Law{mean, mean / (1 - w.a)}
}

func (w *walker) to(k int) {
	for w.k < k {
		w.step()
	}
}

// gain is how many more units are sold in the mean when width more than x are there, x >= 0 where
// w stands. Parts of a unit count in part.
func (w walker) gain(x, width float64) (sold float64) {
	for left := float64(w.k+1) - x; ; left = 1 {
		if width <= left {
			return sold + width*w.tail
		}
		sold += left * w.tail
		width -= left
		w.step()
	}
}
