package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"doorstep/internal/forecast"
)

// shelf scores B5: each store by itself has a shelf that holds a part of what it would like to stock.
// Compared are taking the unit that is worth most for its litres again and again
// (forecast.Allotter), and filling the shelf with the newsvendor quantities of the best sellers
// first. Costs are on the true laws; both know the same fitted ones.
func shelf(r *report, seeds []uint64) {
	shares := []float64{0.4, 0.6, 0.8}
	ours, best := make([]float64, len(shares)), make([]float64, len(shares))
	for _, seed := range seeds {
		m := newMarket(usual, seed)
		look := m.outlook()
		f, p := m.lucks()
		rng := rand.New(rand.NewPCG(seed, 5))
		var goods []forecast.Item
		for range m.skus {
			goods = append(goods, forecast.Item{Costs: forecast.Costs{Short: 1 + 3*rng.Float64(), Over: 0.3 + 0.7*rng.Float64()}, Volume: 0.3 + 2*rng.Float64()})
		}
		var a forecast.Allotter
		for s := range m.stores {
			var laws []demand
			var spots []forecast.Spot
			full := 0.0
			for k := range goods {
				laws = append(laws, m.ofStore(s*len(m.skus)+k, f, p))
				guess := look.At(int32(s), int32(k))
				goods[k].Event = guess.Event
				spots = append(spots, forecast.Spot{Law: guess.Law})
				full += float64(wish(goods[k], spots[k])) * goods[k].Volume
			}
			for i, share := range shares {
				asked, _ := a.Allot(goods, []float64{share * full}, spots)
				ours[i] += shelfCost(goods, laws, asked)
				best[i] += shelfCost(goods, laws, bestSellersFirst(goods, spots, share*full))
			}
		}
	}
	r.goal("B5", total(ours)/total(best), 0.90, 0.90, fmt.Sprintf("shelves of %v of the wish, all together: cost of the most valuable units / best sellers first, %d markets", shares, len(seeds)))
	for i, share := range shares {
		r.info("B5: shelf for %.0f %% of the wish: %.3f", 100*share, ours[i]/best[i])
	}
}

func total(costs []float64) (sum float64) {
	for _, c := range costs {
		sum += c
	}
	return sum
}

// wish is what a store would stock if its shelf had no end.
func wish(g forecast.Item, s forecast.Spot) int {
	return forecast.Newsvendor(s.Law.WithEvent(g.Event), g.Costs)
}

func bestSellersFirst(goods []forecast.Item, spots []forecast.Spot, room float64) []int {
	order := make([]int, len(goods))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(spots[b].Law.Mean, spots[a].Law.Mean) })
	asked := make([]int, len(goods))
	for _, k := range order {
		asked[k] = min(wish(goods[k], spots[k]), int(room/goods[k].Volume))
		room -= float64(asked[k]) * goods[k].Volume
	}
	return asked
}

func shelfCost(goods []forecast.Item, laws []demand, asked []int) (cost float64) {
	for k, g := range goods {
		cost += (g.Short + g.Over) * laws[k].cost(asked[k], g.Ratio())
	}
	return cost
}
