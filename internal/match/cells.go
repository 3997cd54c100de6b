package match

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/order"
)

// Survey is where the stores and the open orders were at one moment, sorted by place: the dispatcher's
// map is drawn from it. Making one looks at every store in memory and reads every open order, so it is
// made for all who look at about the same time; asking it about a box costs what lies in the box.
type Survey struct {
	At     time.Time
	stores spots[storeSpot]
	open   spots[storeSpot] // those of the stores that take orders now
	orders [OrdersOverdue + 1]spots[orderSpot]
}

// spots are things, beside each other what they are and where.
type spots[T any] struct {
	cells geo.Layer // of resolution geo.MatchRes
	keys  []int64
	are   []T
}

// storeSpot is how many units a store has left in its present slot, -1 when it takes no orders now.
type storeSpot int32

type orderSpot struct{ unassignable, overdue bool }

// Orders are which of the open orders are asked for.
type Orders int

const (
	OrdersOpen         Orders = iota
	OrdersUnassignable        // no store takes them
	OrdersOverdue             // their next step is late
)

// Survey makes a new survey.
func (b *Book) Survey(ctx context.Context) (*Survey, error) {
	s := b.index.Survey(b.db.Now())
	open, err := b.openOrders(ctx, s.At)
	if err != nil {
		return nil, err
	}
	s.orders[OrdersOpen] = sorted(open)
	s.orders[OrdersUnassignable] = s.orders[OrdersOpen].only(func(o orderSpot) bool { return o.unassignable })
	s.orders[OrdersOverdue] = s.orders[OrdersOpen].only(func(o orderSpot) bool { return o.overdue })
	return s, nil
}

// Survey is a survey of the stores alone.
func (x *Live) Survey(now time.Time) *Survey {
	all := make([]spot[storeSpot], 0, x.Len())
	x.each(func(sh *shop) bool {
		t := sh.Value
		all = append(all, spot[storeSpot]{t.about.Load().cell, sh.Key, storeSpot(t.free(now))})
		return true
	})
	s := &Survey{At: now, stores: sorted(all)}
	s.open = s.stores.only(func(free storeSpot) bool { return free >= 0 })
	return s
}

// free is how many more orders the store can take in its slot of now, -1 when it takes none whatever
// its room.
func (t *state) free(now time.Time) int {
	if !t.takesOrders(now) || !t.openAt(now) {
		return -1
	}
	return max(0, int(t.room.Load())-t.used(t.plan.Load().slotAt(now.UnixMilli())))
}

func (b *Book) openOrders(ctx context.Context, now time.Time) (out []spot[orderSpot], err error) {
	err = db.Each(ctx, b.db, func(r struct {
		Key    int64
		Cell   int64
		Status string
		Due    *int64 `db:"step_due"`
	}) error {
		o := orderSpot{unassignable: r.Status == string(order.Unassignable), overdue: r.Due != nil && *r.Due <= now.UnixMilli()}
		out = append(out, spot[orderSpot]{geo.Cell(r.Cell), r.Key, o})
		return nil
	}, `SELECT key, cell, status, step_due FROM orders WHERE ended_at IS NULL`)
	return out, err
}

type spot[T any] struct {
	cell geo.Cell
	key  int64
	is   T
}

// sorted is by cell, then by key.
func sorted[T any](all []spot[T]) spots[T] {
	slices.SortFunc(all, func(a, b spot[T]) int {
		if a.cell != b.cell {
			return cmp.Compare(a.cell, b.cell)
		}
		return cmp.Compare(a.key, b.key)
	})
	out := spots[T]{make(geo.Layer, len(all)), make([]int64, len(all)), make([]T, len(all))}
	for i, s := range all {
		out.cells[i], out.keys[i], out.are[i] = s.cell, s.key, s.is
	}
	return out
}

func (s *spots[T]) only(want func(T) bool) (out spots[T]) {
	for i, is := range s.are {
		if want(is) {
			out.cells, out.keys, out.are = append(out.cells, s.cells[i]), append(out.keys, s.keys[i]), append(out.are, is)
		}
	}
	return out
}

// Outlook is what customers are expected to want: lists of equal length, by rising cell of resolution
// geo.DemandRes.
type Outlook struct {
	Cells           geo.Layer
	Expected, Short []float64
}

// Cell is one hexagon of the dispatcher's map.
type Cell struct {
	Cell         geo.Cell
	Stores       int
	OpenStores   int // open and taking orders now
	FreeCapacity int // units left in the present slots of open stores
	OpenOrders   int // by their drop-off
	Unassignable int
	Overdue      int
	Expected     float64 // units, 0 at a resolution finer than geo.DemandRes
	Short        float64 // units, as Expected
}

// ErrTooManyCells is what Cells fails with when the box holds more cells than it may answer.
var ErrTooManyCells = errors.New("match: too many cells")

// Cells sums stores, orders and the outlook up by the cells of a resolution, geo.MatchRes at most,
// whose centre is in the box, by rising cell and leaving out empty ones.
func (s *Survey) Cells(box geo.Box, res, limit int, o Outlook) ([]Cell, error) {
	layers := []geo.Layer{s.stores.cells, s.orders[OrdersOpen].cells, o.Cells}
	if res > geo.DemandRes {
		layers[2] = nil
	}
	var out []Cell
	err := geo.Visit(box, res, layers, func(c geo.Cell, parts []geo.Part) error {
		if len(out) == limit {
			return ErrTooManyCells
		}
		sum := Cell{Cell: c}
		for _, st := range s.stores.are[parts[0].Lo:parts[0].Hi] {
			sum.addStore(st)
		}
		for _, or := range s.orders[OrdersOpen].are[parts[1].Lo:parts[1].Hi] {
			sum.addOrder(or)
		}
		for i := parts[2].Lo; i < parts[2].Hi; i++ {
			sum.Expected += o.Expected[i]
			sum.Short += o.Short[i]
		}
		out = append(out, sum)
		return nil
	})
	return out, err
}

func (c *Cell) addStore(free storeSpot) {
	c.Stores++
	if free >= 0 {
		c.OpenStores++
		c.FreeCapacity += int(free)
	}
}

func (c *Cell) addOrder(o orderSpot) {
	c.OpenOrders++
	if o.unassignable {
		c.Unassignable++
	}
	if o.overdue {
		c.Overdue++
	}
}

// Where is a place of the map: a cell of geo.MatchRes or coarser, or, when that is 0, a box.
type Where struct {
	Cell geo.Cell
	Box  geo.Box
}

// StoreAt is a store on the map.
type StoreAt struct {
	Key    int64
	Name   string
	At     geo.Point
	Status string
	Free   int // units left in its present slot, -1 when it is closed or takes no orders
}

// StoresIn are the stores, or only those that take orders now, whose cell of geo.MatchRes has its centre
// in a place: at most limit, and whether there are more.
func (b *Book) StoresIn(s *Survey, w Where, onlyOpen bool, limit int) (out []StoreAt, more bool) {
	from := &s.stores
	if onlyOpen {
		from = &s.open
	}
	more = from.in(w, func(i int) bool {
		sh, ok := b.index.get(from.keys[i])
		if !ok {
			return true // removed meanwhile
		}
		if len(out) < limit {
			store := storeOf(&sh)
			out = append(out, StoreAt{Key: sh.Key, Name: store.Name, At: sh.At, Status: store.StatusAt(s.At), Free: int(from.are[i])})
			return true
		}
		return false
	})
	return out, more
}

// OrdersIn are the keys of open orders whose cell of geo.MatchRes has its centre in a place: at most
// limit, and whether there are more.
func (s *Survey) OrdersIn(w Where, which Orders, limit int) (keys []int64, more bool) {
	from := &s.orders[which]
	more = from.in(w, func(i int) bool {
		if len(keys) < limit {
			keys = append(keys, from.keys[i])
			return true
		}
		return false
	})
	return keys, more
}

// in shows what lies in a place until show has had enough.
func (s *spots[T]) in(w Where, show func(i int) (more bool)) (stopped bool) {
	all := func(p geo.Part) error {
		for i := p.Lo; i < p.Hi; i++ {
			if !show(i) {
				stopped = true
				return geo.ErrStop
			}
		}
		return nil
	}
	// Neither fails but to stop.
	if w.Cell != 0 {
		_ = all(s.cells.In(w.Cell))
		return stopped
	}
	_ = geo.Visit(w.Box, geo.MatchRes, []geo.Layer{s.cells}, func(_ geo.Cell, parts []geo.Part) error { return all(parts[0]) })
	return stopped
}
