package main

import (
	"fmt"

	"doorstep/internal/forecast"
)

// cell scores B2: with matching on, the stores of a cell serve each other's customers, so only the
// cell's total counts. Compared are the quantities of Algorithm 7 (forecast.Allotter), the sum of
// single stores' newsvendor quantities from the same fitted laws, and the newsvendor of somebody who
// knows the cell's true law.
func cell(r *report, seeds []uint64) {
	ours, stores, oracle, naive := map[float64]float64{}, map[float64]float64{}, map[float64]float64{}, map[float64]float64{}
	for _, seed := range seeds {
		m := newMarket(usual, seed)
		look, uplift := m.outlook(), m.seenUplift()
		f, p := m.lucks()
		for c := range m.cells {
			spots, events := m.spots(look, c)
			for k := range m.skus {
				law := m.ofCell(c, k, f, p)
				for _, ratio := range ratios {
					item := forecast.Item{Costs: forecast.Costs{Short: ratio, Over: 1 - ratio}, Event: events[k]}
					alone, before := 0, 0.0
					for i, s := range spots[k] {
						alone += forecast.Newsvendor(s.Law.WithEvent(events[k]), item.Costs)
						before += m.past[(c*m.perCell+i)*len(m.skus)+k].weekAgo * uplift[k]
					}
					ours[ratio] += law.cost(m.allot(item, spots[k]), ratio)
					stores[ratio] += law.cost(alone, ratio)
					naive[ratio] += law.cost(int(before+0.5), ratio)
					oracle[ratio] += law.cost(law.quantile(ratio), ratio)
				}
			}
		}
	}
	marks := map[float64][2]float64{0.6: {0.97, 0.92}, 0.8: {0.87, 0.79}, 0.95: {0.65, 0.54}}
	for _, ratio := range ratios {
		r.goal(fmt.Sprintf("B2-%v", ratio), ours[ratio]/stores[ratio], marks[ratio][0], marks[ratio][1],
			fmt.Sprintf("matching on: cost of the cell's newsvendor / its stores' newsvendors, critical ratio %v, %d markets", ratio, len(seeds)))
	}
	for _, ratio := range ratios {
		r.goal(fmt.Sprintf("B2-oracle-%v", ratio), ours[ratio]/oracle[ratio], 1.15, 1.05,
			fmt.Sprintf("matching on: cost of the cell's newsvendor / that of the cell's true law, critical ratio %v", ratio))
	}
	for _, ratio := range ratios {
		r.info("B2: the cell's true law / our stores' newsvendors, which is as low as it gets: %.3f at %v", oracle[ratio]/stores[ratio], ratio)
		r.info("B2: a week ago x uplift, summed over the cell / true law: %.3f at %v", naive[ratio]/oracle[ratio], ratio)
	}
}

// spots are the stores of a cell as the forecast sees them, by SKU.
func (m *market) spots(look *forecast.Outlook, c int) (spots [][]forecast.Spot, events []float64) {
	for k := range m.skus {
		var list []forecast.Spot
		event := 0.0
		for i := range m.perCell {
			guess := look.At(int32(c*m.perCell+i), int32(k))
			list, event = append(list, forecast.Spot{Law: guess.Law}), guess.Event
		}
		spots, events = append(spots, list), append(events, event)
	}
	return spots, events
}

// allot is how much of one item the stores are asked for together, their shelves being long enough.
func (m *market) allot(item forecast.Item, spots []forecast.Spot) int {
	var a forecast.Allotter
	room := make([]float64, len(spots))
	for i := range room {
		room[i] = forecast.Unbounded
	}
	_, terms := a.Allot([]forecast.Item{item}, room, spots)
	return terms[0].Asked
}

// ofCell is the true law of a cell's demand for a SKU on the peak day. Only the campaign's luck is
// common to its stores.
func (m *market) ofCell(c, sku int, f, p []float64) (law demand) {
	for j := range f {
		sum := demand{1}
		for i := range m.perCell {
			sum = sum.plus(negativeBinomial(m.peakMean((c*m.perCell+i)*len(m.skus)+sku)*f[j], m.daySize))
		}
		law = law.mix(p[j], sum)
	}
	return law
}
