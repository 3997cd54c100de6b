package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"syscall"
	"time"

	"doorstep/internal/forecast"
)

const freshFile = "demand_freshretail_daily.csv.gz"

var levels = [...]float64{0.5, 0.8, 0.9, 0.95}

// pinball is the newsvendor's cost of stocking q when y is asked for, at this critical ratio.
func pinball(level, q, y float64) float64 {
	if y >= q {
		return level * (y - q)
	}
	return (1 - level) * (q - y)
}

// score adds up what the rules cost on the same rows.
type score struct {
	ours, naive, own, ownClean, covered [len(levels)]float64
	rows                                float64
}

func (s *score) add(o score) {
	for k := range levels {
		s.ours[k] += o.ours[k]
		s.naive[k] += o.naive[k]
		s.own[k] += o.own[k]
		s.ownClean[k] += o.ownClean[k]
		s.covered[k] += o.covered[k]
	}
	s.rows += o.rows
}

// scoreDays scores what a model that ends with cut says of the days after it, up to last, on rows with at most
// so many hours without stock.
func scoreDays(t *table, m *forecast.Model, cut, last int32, closed uint8) (s score) {
	asked := prices{m: m}
	for i, p := range t.pairs {
		all, clean := lastDays(t, i, cut)
		for day := cut + 1; day <= last; day++ {
			row := t.of(i, day)
			if row.closed > closed {
				continue
			}
			y := float64(row.units)
			// The last day of the same weekday that is known at the cut-off.
			naive := float64(t.of(i, day-7*((day-cut+6)/7)).units)
			o := asked.ahead(day, row)
			for k, level := range levels {
				q := o.Quantile(p.store, p.sku, level)
				s.ours[k] += pinball(level, q, y)
				s.naive[k] += pinball(level, naive, y)
				s.own[k] += pinball(level, all[int(level*float64(len(all)))], y)
				s.ownClean[k] += pinball(level, clean[int(level*float64(len(clean)))], y)
				if y <= q {
					s.covered[k]++
				}
			}
			s.rows++
		}
	}
	return s
}

// lastDays are the units of a pair's last 28 days in order of size, and of those with stock all
// day, or of all if there were none.
func lastDays(t *table, pair int, cut int32) (all, clean []float64) {
	for day := max(t.first, cut-27); day <= cut; day++ {
		s := t.of(pair, day)
		all = append(all, float64(s.units))
		if s.closed == 0 {
			clean = append(clean, float64(s.units))
		}
	}
	slices.Sort(all)
	slices.Sort(clean)
	if clean == nil {
		clean = all
	}
	return all, clean
}

// fresh scores B3 and B4: three times the forecast is made anew, a week apart, and the seven days
// after it are scored.
func fresh(r *report, data string) error {
	t, err := readFresh(data, freshFile)
	if err != nil {
		return err
	}
	r.info("FreshRetail: %d rows, %d stores, %d SKUs, %d pairs", len(t.rows), len(t.stores), len(t.skus), len(t.pairs))
	var clean, few, every, far score
	for _, weeks := range []int32{3, 2, 1} {
		cut := t.last() - 7*weeks
		h := t.history(cut)
		before, began := ownCPU(), allocated()
		m := forecast.Fit(h, cut)
		r.info("fit on %d rows: %.2f s CPU, %.0f MB allocated", h.Len(), (ownCPU() - before).Seconds(), float64(allocated()-began)/1e6)
		week := scoreDays(t, m, cut, cut+7, 0)
		r.info("%s", summed(t, m, cut, cut+7))
		say(r, fmt.Sprintf("B3 week %s to %s", date(cut+1), date(cut+7)), week)
		clean.add(week)
		few.add(scoreDays(t, m, cut, cut+7, 2))
		every.add(scoreDays(t, m, cut, cut+7, 16))
		if weeks == 3 {
			far = scoreDays(t, m, cut, t.last(), 0)
		}
	}
	what := fmt.Sprintf("three fits on the days before %s, %s and %s, each scored on the 7 days after, %.0f rows without stock-out hours",
		date(t.last()-20), date(t.last()-13), date(t.last()-6), clean.rows)
	b3 := [...][2]float64{{0.83, 0.77}, {0.57, 0.52}, {0.39, 0.34}, {0.26, 0.22}}
	for k, level := range levels {
		r.goal(fmt.Sprintf("B3-p%.0f", 100*level), clean.ours[k]/clean.naive[k], b3[k][0], b3[k][1],
			"FreshRetail pinball / last same weekday; "+what)
	}
	for _, k := range []int{1, 3} {
		r.goal(fmt.Sprintf("B4-p%.0f", 100*levels[k]), clean.ours[k]/clean.own[k], 0.90, 0.80, "FreshRetail pinball / the series' own 28-day quantile; the same rows")
	}
	for k, level := range levels {
		r.goal(fmt.Sprintf("B4-coverage-p%.0f", 100*level), 100*math.Abs(clean.covered[k]/clean.rows-level), 5, 2, "points that the share of rows below the quantile is off; the same rows")
	}
	say(r, "the same with at most 2 stock-out hours", few)
	say(r, "the same on all rows", every)
	say(r, "one fit for all three weeks", far)
	return nil
}

// summed says how often the demand of a city for a SKU on a day stays below the quantile of its
// stores' laws together: independent parts add up, the event's luck is common.
func summed(t *table, m *forecast.Model, cut, last int32) string {
	type group struct{ city, sku, day int32 }
	type total struct {
		law   forecast.Law
		event float64
		units float64
	}
	totals := map[group]*total{}
	asked, single := prices{m: m}, total{}
	var alone, together [len(levels)]float64
	for i, p := range t.pairs {
		for day := cut + 1; day <= last; day++ {
			row := t.of(i, day)
			if row.closed > 0 {
				continue
			}
			g := group{t.stores[p.store].Region, p.sku, day}
			sum := totals[g]
			if sum == nil {
				sum = &total{}
				totals[g] = sum
			}
			guess := asked.ahead(day, row).At(p.store, p.sku)
			sum.law, sum.event, sum.units = sum.law.Add(guess.Law), max(sum.event, guess.Event), sum.units+float64(row.units)
			for k, level := range levels {
				if float64(row.units) <= float64(guess.Law.WithEvent(guess.Event).Quantile(level)) {
					alone[k]++
				}
			}
			single.units++
		}
	}
	for _, sum := range totals {
		for k, level := range levels {
			if sum.units <= float64(sum.law.WithEvent(sum.event).Quantile(level)) {
				together[k]++
			}
		}
	}
	line := "covered by the laws, which plans add up:"
	for k, level := range levels {
		line += fmt.Sprintf(" p%.0f one store %.1f %%, a city %.1f %%,", 100*level, 100*alone[k]/single.units, 100*together[k]/float64(len(totals)))
	}
	return line[:len(line)-1]
}

func say(r *report, what string, s score) {
	line := what + fmt.Sprintf(" (%.0f rows):", s.rows)
	for k, level := range levels {
		line += fmt.Sprintf(" p%.0f %.3f of naive, %.3f of own 28 days (%.3f of those with stock), %.1f %% covered;", 100*level,
			s.ours[k]/s.naive[k], s.ours[k]/s.own[k], s.ours[k]/s.ownClean[k], 100*s.covered[k]/s.rows)
	}
	r.info("%s", line[:len(line)-1])
}

func date(day int32) string {
	return time.Unix(int64(day)*86400, 0).UTC().Format("2 Jan 2006")
}

// ownCPU is the time that this process has spent on processors.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // the arguments are constants
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
