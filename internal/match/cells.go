package match

import (
	"context"
	"maps"
	"slices"

	"doorstep/geo"
	"doorstep/internal/db"
)

// Cell is one hexagon of the dispatcher's map.
type Cell struct {
	Cell         geo.Cell
	Stores       int
	OpenStores   int // open and taking orders now
	FreeCapacity int // units left in the present slots of open stores
	OpenOrders   int // by their drop-off
	Unassignable int
	Expected     float64 // orders; 0 until a forecast exists
}

// Cells sums stores and open orders by the cells of a resolution whose centre is inside. It looks
// at every store and every open order: for a screen that asks now and then.
func (b *Book) Cells(ctx context.Context, res int, inside func(geo.Point) bool) ([]Cell, error) {
	cells := map[geo.Cell]*Cell{}
	at := func(c geo.Cell) (*Cell, error) {
		c, err := geo.Parent(c, res)
		if err != nil {
			return nil, err
		}
		if cells[c] == nil {
			cells[c] = &Cell{Cell: c}
		}
		return cells[c], nil
	}
	now := b.db.Now()
	var failed error
	b.index.each(func(sh *shop) bool {
		t := sh.Value
		c, err := at(t.about.Load().cell)
		if err != nil {
			failed = err
			return false
		}
		c.Stores++
		if t.takesOrders(now) && t.openAt(now) {
			c.OpenStores++
			c.FreeCapacity += max(0, int(t.room.Load())-t.used(t.plan.Load().slotAt(now.UnixMilli())))
		}
		return true
	})
	if failed != nil {
		return nil, failed
	}
	err := db.Each(ctx, b.db, func(r struct {
		Cell         int64
		Open         int `db:"open_orders"`
		Unassignable int
	}) error {
		c, err := at(geo.Cell(r.Cell))
		if err != nil {
			return err
		}
		c.OpenOrders += r.Open
		c.Unassignable += r.Unassignable
		return nil
	}, `SELECT cell, count(*) AS open_orders, sum(CASE WHEN status = 'unassignable' THEN 1 ELSE 0 END) AS unassignable
		FROM orders WHERE ended_at IS NULL GROUP BY cell`)
	if err != nil {
		return nil, err
	}
	out := make([]Cell, 0, len(cells))
	for _, c := range slices.Sorted(maps.Keys(cells)) {
		if inside(geo.Center(c)) {
			out = append(out, *cells[c])
		}
	}
	return out, nil
}
