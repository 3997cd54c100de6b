package forecast

import (
	"cmp"
	"math"
	"slices"
)

// residuals are how far past forecasts were off, in units of the distance that the dispersion
// foretold: split conformal prediction, here over rolling weeks. They know nothing of a law, so
// they are right where demand follows none. A pair that often runs out of stock has days of full
// stock when it sells little, so pairs are told apart by that where there are enough.
type residuals struct {
	all bandedResiduals
	out [outBands]bandedResiduals
}

const (
	calibrationWeeks = 3
	leastHistory     = 10 // days before the first week that is foretold
	leastResiduals   = 500
	leastApart       = 3000 // residuals of a band of stock-outs
	mostBands        = 10
	quantileSteps    = 200
	horizon          = 7
	mostOff          = 50 // scales: what is beyond does not count for the mean
)

// residual is one forecast that came to pass.
type residual struct {
	mean, off float64
	out       uint8
}

func newResiduals(all []residual) *residuals {
	slices.SortFunc(all, func(a, b residual) int {
		return cmp.Or(cmp.Compare(a.mean, b.mean), cmp.Compare(a.off, b.off), cmp.Compare(a.out, b.out))
	})
	r := &residuals{all: inBands(all)}
	for k := range r.out {
		var part []residual
		for _, x := range all {
			if x.out == uint8(k) {
				part = append(part, x)
			}
		}
		r.out[k] = r.all
		if len(part) >= leastApart {
			r.out[k] = inBands(part)
		}
	}
	return r
}

// bandedResiduals are told apart by the size of the forecast.
type bandedResiduals struct {
	edges []float64   // between the bands
	table [][]float64 // per band the quantiles at 0, 1/quantileSteps, ..., 1; none: too few are known
	mean  []float64   // per band
}

func inBands(all []residual) (r bandedResiduals) {
	n := min(mostBands, len(all)/leastResiduals)
	for b := range n {
		part := all[len(all)*b/n : len(all)*(b+1)/n]
		if b > 0 {
			r.edges = append(r.edges, part[0].mean)
		}
		offs, sum := make([]float64, len(part)), 0.0
		for i, x := range part {
			offs[i] = x.off
			sum += math.Min(x.off, mostOff)
		}
		slices.Sort(offs)
		q := make([]float64, quantileSteps+1)
		for i := range q {
			// The ceil((n+1)p)-th of n: a new one is not above it with probability p.
			k := int(math.Ceil(float64(len(offs)+1)*float64(i)/quantileSteps)) - 1
			q[i] = offs[min(len(offs)-1, max(0, k))]
		}
		r.table, r.mean = append(r.table, q), append(r.mean, sum/float64(len(part)))
	}
	return r
}

func (r *bandedResiduals) band(mean float64) int {
	b, _ := slices.BinarySearch(r.edges, mean)
	return b
}

// quantile of the distance, interpolated; beyond the table's ends, its ends.
func (r *bandedResiduals) quantile(mean, level float64) float64 {
	q := r.table[r.band(mean)]
	x := math.Min(1-1.0/quantileSteps, math.Max(1.0/quantileSteps, level)) * quantileSteps
	i := min(quantileSteps-1, int(x))
	return q[i] + (x-float64(i))*(q[i+1]-q[i])
}

// bias is the mean distance.
func (r *bandedResiduals) bias(mean float64) float64 {
	if len(r.mean) == 0 {
		return 0
	}
	return r.mean[r.band(mean)]
}

// foretold is a day of the last weeks beside what was known of it.
type foretold struct {
	base, drift  float64 // mean without the drift, and the log of what is left of that
	units, price float64 // price: log
	pair         int32
	d            *dispersion
}

func (x *foretold) mean(lasting float64) float64 {
	return math.Max(leastRate, x.base*math.Exp(lasting*x.drift))
}

// calibrate foretells the last weeks of the sample from the days before each. It says how far off
// that was, and what part of the drift there is worth going by: where nothing ever changes, the
// last days' drift is noise.
func calibrate(h *History, s *panel, f *factors, d *dispersion, first int32, last int) (r *residuals, lasting float64) {
	var days []foretold
	for week := 1; week <= calibrationWeeks; week++ {
		origin := last - 7*week
		if origin+1 < leastHistory {
			break
		}
		l := newLevels(h, s, f, first, origin)
		own := d.of(s, f, l, origin)
		for i := range s.pairs() {
			for _, o := range s.of(i) {
				ahead := int(o.day) - origin
				if ahead < 1 || ahead > horizon || !o.whole() {
					continue
				}
				days = append(days, foretold{float64(l.rate[i]) * f.at(s.sku[i], &o), float64(l.drift[i]) * math.Pow(driftStays, float64(ahead)),
					float64(o.units), float64(o.logPrice), int32(i), own})
			}
		}
	}
	lasting = lastingDrift(days)
	all := make([]residual, 0, len(days))
	for i := range days {
		x := &days[i]
		mean := x.mean(lasting)
		scale := x.d.scale(int(x.pair), f.class[s.sku[x.pair]], mean, x.price)
		all = append(all, residual{mean, (x.units - mean) / scale, x.d.outs[x.pair]})
	}
	return newResiduals(all), lasting
}

// lastingDrift is the part of the drift with the least squares, a day weighing as its variance
// would have it; all of it where nothing is known.
func lastingDrift(days []foretold) float64 {
	best, least := 1.0, math.Inf(1)
	for _, part := range []float64{1, 0.75, 0.5, 0.25, 0} {
		off := 0.0
		for i := range days {
			m := days[i].mean(part)
			// A day far beyond all expectation is an event, not a drift.
			y := math.Min(days[i].units, 5*days[i].base+10)
			off += (y - m) * (y - m) / (days[i].base + days[i].base*days[i].base/10 + 0.1)
		}
		if off < least {
			best, least = part, off
		}
	}
	return best
}

// scale is the mean distance that a pair's day is expected to have from its mean.
func (d *dispersion) scale(i int, class int32, mean, logPrice float64) float64 {
	return mean * d.near[band(mean)] * d.class[class] * d.unrest(i, logPrice)
}

// unrest is what is the pair's own in its scale.
func (d *dispersion) unrest(i int, logPrice float64) float64 {
	return float64(d.restless[i]) * d.change[changeBand(logPrice-float64(d.usualPrice[i]))] * d.out[d.outs[i]]
}
