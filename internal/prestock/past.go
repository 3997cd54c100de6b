package prestock

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/order"
)

const (
	pastDays  = 90      // how far back demand says something about a peak
	maxOrders = 200_000 // orders that a plan reads; beyond, the newest speak for all
	dayMs     = 24 * 60 * 60 * 1000
)

// past is what was sold of a SKU in the last days, at the places of a plan.
type past struct {
	byStore map[int64]float64    // units, also those known of the store's cell only, shared among its stores
	byCell  map[geo.Cell]float64 // units by cell of resolution geo.DemandRes
	total   float64
	days    int // from the first day with a sale until now
}

func (p past) perDay() float64 {
	if p.days == 0 {
		return 0
	}
	return p.total / float64(p.days)
}

// tally collects past demand for the places of a plan.
type tally struct {
	today  int64
	places []place
	at     map[int64]int
	inCell map[int]map[geo.Cell][]int // places by cell, for the resolutions that were asked for
	sold   map[string]past
}

// pastDemand is what the imported demand and the finished orders say about the SKUs of a campaign.
// A day's demand that was both imported and ordered here counts twice: import what the network has
// not seen.
func (b *Book) pastDemand(ctx context.Context, c *Campaign, places []place, now time.Time) (map[string]past, error) {
	t := &tally{today: now.UnixMilli() / dayMs, places: places, at: map[int64]int{}, inCell: map[int]map[geo.Cell][]int{}, sold: map[string]past{}}
	for i, pl := range places {
		t.at[pl.key] = i
	}
	for _, s := range c.SKUs {
		t.sold[s.SKU] = past{byStore: map[int64]float64{}, byCell: map[geo.Cell]float64{}}
		if err := b.readDemand(ctx, t, s.SKU); err != nil {
			return nil, err
		}
	}
	if err := b.readOrders(ctx, t, now); err != nil {
		return nil, err
	}
	return t.sold, nil
}

func (b *Book) readDemand(ctx context.Context, t *tally, sku string) error {
	type row struct {
		Store int64 `db:"store_key"`
		Cell  int64
		Units float64
		First int64
	}
	return db.Each(ctx, b.db, func(r row) error {
		if r.Cell != 0 {
			t.addCell(sku, geo.Cell(r.Cell), r.Units, r.First)
		} else if i, ok := t.at[r.Store]; ok {
			t.add(sku, i, r.Units, r.First)
		}
		return nil
	}, `SELECT store_key, cell, sum(units) AS units, min(day) AS first FROM demand WHERE sku = ? AND day >= ? AND day < ?
		GROUP BY store_key, cell ORDER BY store_key, cell`, sku, t.today-pastDays, t.today)
}

// readOrders adds what orders took off the shelves. Their items are JSON, so they are read one by
// one, the newest first and a bounded number of them.
func (b *Book) readOrders(ctx context.Context, t *tally, now time.Time) error {
	type row struct {
		Key       int64
		Store     int64 `db:"store_key"`
		Details   string
		CreatedAt int64 `db:"created_at"`
	}
	return db.Each(ctx, b.db, func(r row) error {
		i, ok := t.at[r.Store]
		if !ok {
			return nil
		}
		var details order.Details
		if err := json.Unmarshal([]byte(r.Details), &details); err != nil {
			return fmt.Errorf("order %d: details: %w", r.Key, err)
		}
		for _, it := range details.Items {
			if _, ok := t.sold[it.SKU]; ok {
				t.add(it.SKU, i, float64(it.Quantity), r.CreatedAt/dayMs)
			}
		}
		return nil
	}, `SELECT key, store_key, details, created_at FROM (SELECT key, store_key, details, created_at, status FROM orders ORDER BY key DESC LIMIT ?) AS newest
		WHERE created_at >= ? AND status IN ('delivered', 'collected')`, maxOrders, now.AddDate(0, 0, -pastDays).UnixMilli())
}

// add counts units sold at a place since a day.
func (t *tally) add(sku string, i int, units float64, first int64) {
	p := t.sold[sku]
	p.byStore[t.places[i].key] += units
	p.byCell[t.places[i].cell] += units
	p.total += units
	if units > 0 {
		p.days = min(pastDays, max(p.days, int(t.today-first), 1))
	}
	t.sold[sku] = p
}

// addCell shares units sold somewhere in a cell among the stores there; what was sold in a cell
// without a store says nothing about any.
func (t *tally) addCell(sku string, cell geo.Cell, units float64, first int64) {
	res := cell.Resolution()
	if t.inCell[res] == nil {
		t.inCell[res] = map[geo.Cell][]int{}
		for i, pl := range t.places {
			if up, err := geo.Parent(pl.fine, res); err == nil {
				t.inCell[res][up] = append(t.inCell[res][up], i)
			}
		}
	}
	there := t.inCell[res][cell]
	for _, i := range there {
		t.add(sku, i, units/float64(len(there)), first)
	}
}
