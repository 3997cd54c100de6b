package main

import (
	"fmt"
	"math"

	"doorstep/internal/forecast"
)

// wape adds up sum |f-y| / sum y.
type wape struct{ off, units float64 }

func (w *wape) add(f, y float64) { w.off += math.Abs(f - y); w.units += y }
func (w wape) value() float64    { return w.off / w.units }

// The simple rules of the data's own description, and ours: the middle of the law, which is what
// the absolute error asks for, and the mean, which adds up.
var pointRules = [...]string{"last same weekday", "mean of 4 same weekdays", "mean of 28 days", "ours (median)", "ours (mean)"}

// freshPeak is how well the sales of 11 and 12 May are told on 7 May, by store, SKU and day, and by
// store and day. The rules see sales as recorded, hours without stock included, and so do the
// totals; we foretell demand, which stock-outs hide a part of.
func freshPeak(r *report, data string) error {
	t, err := readFresh(data, freshFile)
	if err != nil {
		return err
	}
	cut, err := dayOf("2024-05-07")
	if err != nil {
		return err
	}
	m := forecast.Fit(t.history(cut), cut)
	for _, closed := range []uint8{0, 2, 16} {
		rows, totals := wapes(t, m, cut, cut+4, cut+5, closed)
		what := fmt.Sprintf("rows with at most %d hours without stock", closed)
		if closed == 16 {
			what = "all rows"
		}
		r.info("%s", "WAPE of 11-12 May, cut-off 7 May, "+what+": "+list(rows))
		if closed == 16 {
			r.info("%s", "WAPE of the same in store-day totals: "+list(totals))
		}
	}
	return nil
}

func list(w [len(pointRules)]wape) (s string) {
	for i, rule := range pointRules {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%s %.3f", rule, w[i].value())
	}
	return s
}

// wapes scores the days from to to.
func wapes(t *table, m *forecast.Model, cut, from, to int32, closed uint8) (rows, totals [len(pointRules)]wape) {
	asked := prices{m: m}
	for day := from; day <= to; day++ {
		var sold []float64
		var told [len(pointRules)][]float64
		sold = make([]float64, len(t.stores))
		for i := range told {
			told[i] = make([]float64, len(t.stores))
		}
		for i, p := range t.pairs {
			row := t.of(i, day)
			if row.closed > closed {
				continue
			}
			y := float64(row.units)
			o := asked.ahead(day, row)
			f := append(simpleRules(t, i, cut, day), o.Quantile(p.store, p.sku, 0.5), o.At(p.store, p.sku).Law.Mean)
			sold[p.store] += y
			for k := range f {
				rows[k].add(f[k], y)
				told[k][p.store] += f[k]
			}
		}
		for s := range sold {
			for k := range told {
				totals[k].add(told[k][s], sold[s])
			}
		}
	}
	return rows, totals
}

// simpleRules are what is known at the cut-off.
func simpleRules(t *table, pair int, cut, day int32) []float64 {
	back := 7 * ((day - cut + 6) / 7)
	var four, month float64
	for k := range int32(4) {
		four += float64(t.of(pair, day-back-7*k).units) / 4
	}
	for k := range int32(28) {
		month += float64(t.of(pair, cut-k).units) / 28
	}
	return []float64{float64(t.of(pair, day-back).units), four, month}
}

// prices keeps one outlook per day, price and campaign, as an outlook is of one of each.
type prices struct {
	m    *forecast.Model
	seen map[forecast.Plan]*forecast.Outlook
}

func (p *prices) ahead(day int32, row *sale) *forecast.Outlook {
	plan := forecast.Plan{From: day, To: day, Price: row.price, Promo: row.promo}
	o := p.seen[plan]
	if o == nil {
		if p.seen == nil {
			p.seen = map[forecast.Plan]*forecast.Outlook{}
		}
		o = p.m.Ahead(plan)
		p.seen[plan] = o
	}
	return o
}
