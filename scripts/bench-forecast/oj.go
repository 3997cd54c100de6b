package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"doorstep/internal/forecast"
)

// carton is a store's sales of a brand of orange juice in one week.
type carton struct {
	pair
	week  int32
	units float32 // of 64 oz
	price float32 // of an ounce
	promo bool    // in-store deal or feature advertisement
}

func readJuice(dir string) (rows []carton, stores, brands int, err error) {
	lines, end, err := openGzip(filepath.Join(dir, "demand_oj_weekly.csv.gz"))
	if err != nil {
		return nil, 0, 0, err
	}
	defer end()
	numbers := [2]map[string]int32{{}, {}}
	for lines.Scan() {
		c := strings.Split(lines.Text(), ",") // store, brand, week, units, price, deal, feat
		if len(c) != 7 {
			return nil, 0, 0, fmt.Errorf("a row of %d columns", len(c))
		}
		var x [5]float64
		for i := range x {
			if x[i], err = strconv.ParseFloat(c[i+2], 64); err != nil {
				return nil, 0, 0, err
			}
		}
		rows = append(rows, carton{pair{number(numbers[0], c[0]), number(numbers[1], c[1])}, int32(x[0]), float32(x[1] / 64), float32(x[2]), x[3] > 0 || x[4] > 0})
	}
	slices.SortFunc(rows, func(a, b carton) int {
		return cmp.Or(cmp.Compare(a.store, b.store), cmp.Compare(a.sku, b.sku), cmp.Compare(a.week, b.week))
	})
	return rows, len(numbers[0]), len(numbers[1]), lines.Err()
}

// juice foretells each of the last twelve weeks from those before it; price and promotion are known
// one week ahead. A week is told to the forecast as its Monday.
func juice(r *report, data string) error {
	rows, stores, brands, err := readJuice(data)
	if err != nil {
		return err
	}
	const weeks = 12
	rules := [...]string{"last week", "mean of 4 weeks", "last 8 weeks with the same promotion", "ours (median)"}
	var off [len(rules)]wape
	var ours, naive, covered [len(levels)]float64
	last, n := int32(0), 0.0
	for _, c := range rows {
		last = max(last, c.week)
	}
	for week := last - weeks + 1; week <= last; week++ {
		h := forecast.NewHistory(make([]forecast.Store, stores), classless(brands), forecast.Calendar{})
		past := map[pair][]carton{}
		for _, c := range rows {
			if c.week < week {
				h.Add(forecast.Observation{Store: c.store, SKU: c.sku, Day: 7 * c.week, Units: c.units, Open: 1, Price: c.price / usualPrice(past[c.pair], c.price), Promo: c.promo})
				past[c.pair] = append(past[c.pair], c)
			}
		}
		m := forecast.Fit(h, 7*week-1)
		for _, c := range rows {
			if c.week != week || len(past[c.pair]) == 0 {
				continue
			}
			o := m.Ahead(forecast.Plan{From: 7 * week, To: 7 * week, Price: c.price / usualPrice(past[c.pair], c.price), Promo: c.promo})
			y, before := float64(c.units), past[c.pair]
			f := [...]float64{float64(before[len(before)-1].units), meanOf(before, 4, func(carton) bool { return true }),
				meanOf(before, 8, func(b carton) bool { return b.promo == c.promo }), o.Quantile(c.store, c.sku, 0.5)}
			for i := range f {
				off[i].add(f[i], y)
			}
			for k, level := range levels {
				q := o.Quantile(c.store, c.sku, level)
				ours[k] += pinball(level, q, y)
				naive[k] += pinball(level, f[0], y)
				if y <= q {
					covered[k]++
				}
			}
			n++
		}
	}
	what := fmt.Sprintf("orange juice, one week ahead, the last %d weeks:", weeks)
	line := what + " WAPE"
	for i, rule := range rules {
		line += fmt.Sprintf(" %s %.3f,", rule, off[i].value())
	}
	r.info("%s", line[:len(line)-1])
	line = what + " pinball / last week"
	for k, level := range levels {
		line += fmt.Sprintf(" p%.0f %.3f (%.1f %% covered),", 100*level, ours[k]/naive[k], 100*covered[k]/n)
	}
	r.info("%s", line[:len(line)-1])
	return nil
}

// classless are SKUs of one category, each a class of its own.
func classless(n int) []forecast.SKU {
	skus := make([]forecast.SKU, n)
	for k := range skus {
		skus[k].Class = int32(k)
	}
	return skus
}

// usualPrice is the highest of the last eight weeks and this one: the rest are discounts.
func usualPrice(past []carton, now float32) float32 {
	for _, c := range past[max(0, len(past)-8):] {
		now = max(now, c.price)
	}
	return now
}

// meanOf is the mean of the last n weeks among the 26 before that are alike, or of the last week.
func meanOf(past []carton, n int, alike func(carton) bool) (mean float64) {
	met := 0
	for i := len(past) - 1; i >= max(0, len(past)-26) && met < n; i-- {
		if alike(past[i]) {
			mean += float64(past[i].units)
			met++
		}
	}
	if met == 0 {
		return float64(past[len(past)-1].units)
	}
	return mean / float64(met)
}
