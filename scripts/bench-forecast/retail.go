package main

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"doorstep/internal/forecast"
)

// shop is Online Retail: what one region bought on each day. Days without a row sold nothing.
type shop struct {
	skus  []string
	sold  []map[int32]float32 // by SKU and day
	first int32
}

// readShop keeps the rows of a region.
func readShop(dir, region string) (*shop, error) {
	lines, end, err := openGzip(filepath.Join(dir, "demand_onlineretail_daily.csv.gz"))
	if err != nil {
		return nil, err
	}
	defer end()
	s, numbers := &shop{first: 1 << 30}, map[string]int32{}
	for lines.Scan() {
		c := strings.Split(lines.Text(), ",") // date, region, sku, units, orders, price
		if len(c) != 6 || c[1] != region {
			continue
		}
		day, err := dayOf(c[0])
		units, err2 := strconv.ParseFloat(c[3], 32)
		if err != nil || err2 != nil {
			return nil, fmt.Errorf("no date or number in %q", c)
		}
		k := number(numbers, c[2])
		if int(k) == len(s.sold) {
			s.skus, s.sold = append(s.skus, strings.Clone(c[2])), append(s.sold, map[int32]float32{})
		}
		s.sold[k][day] += float32(units)
		s.first = min(s.first, day)
	}
	return s, lines.Err()
}

// openGzip passes over the header.
func openGzip(path string) (lines *bufio.Scanner, end func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, nil, err
	}
	lines = bufio.NewScanner(z)
	if !lines.Scan() {
		return nil, nil, io.ErrUnexpectedEOF
	}
	return lines, f.Close, nil
}

// units of a SKU in the days from to to.
func (s *shop) units(sku int, from, to int32) (sum float64) {
	for day := from; day <= to; day++ {
		sum += float64(s.sold[sku][day])
	}
	return sum
}

func (s *shop) history(last int32) *forecast.History {
	skus := make([]forecast.SKU, len(s.skus))
	for k := range skus {
		skus[k].Since = last + 1
		for day := range s.sold[k] {
			skus[k].Since = min(skus[k].Since, day)
		}
	}
	h := forecast.NewHistory([]forecast.Store{{}}, skus, forecast.Calendar{}).Sparse()
	for k, days := range s.sold {
		for _, day := range slices.Sorted(maps.Keys(days)) {
			if day <= last {
				h.Add(forecast.Observation{SKU: int32(k), Day: day, Units: days[day], Open: 1})
			}
		}
	}
	return h
}

// retail is how well the units of the last four weeks to 30 September 2011 are told four weeks
// before, for the 300 SKUs that had sold most in the United Kingdom.
func retail(r *report, data string) error {
	s, err := readShop(data, "UK")
	if err != nil {
		return err
	}
	last, err := dayOf("2011-09-30")
	if err != nil {
		return err
	}
	cut := last - 28
	top := make([]int, len(s.skus))
	total := make([]float64, len(s.skus))
	for k := range top {
		top[k], total[k] = k, s.units(k, s.first, cut)
	}
	slices.SortStableFunc(top, func(a, b int) int { return cmp.Compare(total[b], total[a]) })
	m := forecast.Fit(s.history(cut), cut)
	rules := [...]string{"mean of the last 4 weeks", "ours (median)", "ours (mean)"}
	var weekly, whole [len(rules)]wape
	var told [len(rules)]float64
	for _, k := range top[:300] {
		before := s.units(k, cut-27, cut) / 4
		for week := range int32(4) {
			from := cut + 1 + 7*week
			o := m.Ahead(forecast.Plan{From: from, To: from + 6})
			f := [...]float64{before, o.Quantile(0, int32(k), 0.5), o.At(0, int32(k)).Law.Mean}
			for i := range f {
				weekly[i].add(f[i], s.units(k, from, from+6))
			}
		}
		o := m.Ahead(forecast.Plan{From: cut + 1, To: last})
		f := [...]float64{4 * before, o.Quantile(0, int32(k), 0.5), o.At(0, int32(k)).Law.Mean}
		for i := range f {
			whole[i].add(f[i], s.units(k, cut+1, last))
			told[i] += f[i]
		}
	}
	for i, rule := range rules {
		r.info("Online Retail, 300 SKUs, %s to %s, cut-off %s: %s: WAPE by SKU and week %.3f, by SKU %.3f, %.0f %% of the real units",
			date(cut+1), date(last), date(cut), rule, weekly[i].value(), whole[i].value(), 100*told[i]/whole[i].units)
	}
	return nil
}
