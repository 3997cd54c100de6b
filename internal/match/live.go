package match

import (
	"context"
	"math"
	"sync"
	"time"

	"doorstep/geo"
	"doorstep/internal/assign"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// shop is one store in the live index: what it is, and what it has left. The description is
// replaced as a whole when the store changes; the counters stay.
type shop struct {
	store *partner.Store
	left  *left
}

// left counts what a store still has: room by slot, goods by SKU. It proposes only; the database
// decides. So it may be too hopeful (a claim then fails and it is read anew), and errs on that side.
type left struct {
	mu   sync.Mutex
	used map[int64]int  // units taken, by start of the slot in ms
	free map[string]int // units available, by SKU
}

// keptSlots bounds a store's counters: slots that are over are forgotten beyond it.
const keptSlots = 256

func newLeft() *left { return &left{used: map[int64]int{}, free: map[string]int{}} }

func (l *left) has(items []order.Item) bool {
	for _, it := range items {
		if l.free[it.SKU] < it.Quantity {
			return false
		}
	}
	return true
}

// fits reports whether there is room and goods now.
func (l *left) fits(slot int64, capacity int, items []order.Item) (room, goods bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used[slot] < capacity, l.has(items)
}

// take reserves a unit of the slot and the goods, or nothing.
func (l *left) take(slot int64, capacity int, items []order.Item) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used[slot] >= capacity || !l.has(items) {
		return false
	}
	l.used[slot]++
	for _, it := range items {
		l.free[it.SKU] -= it.Quantity
	}
	return true
}

// give returns what take reserved.
func (l *left) give(slot int64, items []order.Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used[slot] > 0 {
		l.used[slot]--
	}
	for _, it := range items {
		l.free[it.SKU] += it.Quantity
	}
}

func (l *left) setUsed(slot int64, used int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.used) >= keptSlots {
		for s := range l.used {
			if s < now.Add(-48*time.Hour).UnixMilli() {
				delete(l.used, s)
			}
		}
	}
	l.used[slot] = used
}

func (l *left) setStock(lines []partner.StockLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range lines {
		if n := s.OnHand - s.Reserved; n > 0 {
			l.free[s.SKU] = n
		} else {
			delete(l.free, s.SKU)
		}
	}
}

// load fills the index from the database.
func (b *Book) load(ctx context.Context) error {
	seq, err := b.stores.LastChange(ctx)
	if err != nil {
		return err
	}
	if err := b.stores.Each(ctx, func(s partner.Store) error { return b.put(&s) }); err != nil {
		return err
	}
	err = b.stores.EachSlotUse(ctx, b.db.Now().Add(-48*time.Hour), func(store int64, slot time.Time, used int) error {
		if sh, ok := b.index.Get(store); ok {
			sh.left.setUsed(slot.UnixMilli(), used, b.db.Now())
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = b.stores.EachStock(ctx, func(store int64, line partner.StockLine) error {
		if sh, ok := b.index.Get(store); ok {
			sh.left.setStock([]partner.StockLine{line})
		}
		return nil
	})
	b.changes = seq
	return err
}

func (b *Book) put(s *partner.Store) error {
	l := newLeft()
	if old, ok := b.index.Get(s.Key); ok {
		l = old.left
	}
	return b.index.Put(s.Key, s.Location, float64(s.ServiceRadiusM), shop{s, l})
}

// apply brings a change of a store into the index, before its sender is answered.
func (b *Book) apply(c partner.Change) {
	switch {
	case c.Removed:
		b.index.Remove(c.Key)
		return
	case c.Store != nil:
		if err := b.put(c.Store); err != nil {
			b.log.Error("store cannot be indexed", "store", b.db.Names().Name("str", c.Key), "error", err)
		}
	}
	if sh, ok := b.index.Get(c.Key); ok && len(c.Stock) > 0 {
		sh.left.setStock(c.Stock)
	}
	b.supplied()
}

// Refresh takes over what another process changed about stores.
func (b *Book) Refresh(ctx context.Context) error {
	b.refresh.Lock()
	defer b.refresh.Unlock()
	for {
		stores, next, err := b.stores.ChangedSince(ctx, b.changes, 500)
		if err != nil || len(stores) == 0 {
			return err
		}
		for i := range stores {
			s := &stores[i]
			if s.Removed {
				b.apply(partner.Change{Key: s.Key, Removed: true})
				continue
			}
			lines, err := b.stores.Stock(ctx, s.Key)
			if err != nil {
				return err
			}
			b.apply(partner.Change{Key: s.Key, Store: s, Stock: lines})
		}
		b.changes = next
	}
}

// ask is what a store is looked for with.
type ask struct {
	at    geo.Point
	maxM  float64 // the merchant's limit, 0: none
	begin time.Time
	now   time.Time
	items []order.Item
	tried map[int64]bool
}

// pick is a store chosen for an order, with room and goods reserved in memory.
type pick struct {
	shop  shop
	slot  time.Time
	m     int
	items []order.Item
}

// The obstacles between an order and a store, from the first looked at to the last. An order that
// nobody can serve carries the last obstacle that some store came to: the nearest to a yes.
type obstacle int

const (
	tooFar obstacle = iota
	alreadyAsked
	notOpen
	noRoom
	noGoods
	none
)

var reasons = map[obstacle]string{tooFar: "out_of_range", alreadyAsked: "store_unresponsive", notOpen: "store_closed",
	noRoom: "capacity_exceeded", noGoods: "store_out_of_stock"}

// meet is what stands between q and a store that is near enough.
func (q *ask) meet(sh *shop) obstacle {
	s := sh.store
	switch {
	case q.tried[s.Key]:
		return alreadyAsked
	case !s.AcceptingOrders(q.now), !s.OpenAt(q.begin):
		return notOpen
	}
	room, goods := sh.left.fits(s.SlotAt(q.begin).UnixMilli(), s.OrdersPerSlot, q.items)
	switch {
	case !room:
		return noRoom
	case !goods:
		return noGoods
	}
	return none
}

// choose finds the nearest store that can serve q and reserves it in memory.
func (b *Book) choose(q *ask) (*pick, bool) {
	for {
		hit, ok := b.index.Nearest(q.at, q.maxM, func(sh *shop) bool { return q.meet(sh) == none })
		if !ok {
			return nil, false
		}
		s := hit.Value.store
		p := &pick{shop: hit.Value, slot: s.SlotAt(q.begin), m: int(math.Round(hit.DistanceM)), items: q.items}
		// Another order may have been faster between the look and the grab: look again.
		if hit.Value.left.take(p.slot.UnixMilli(), s.OrdersPerSlot, q.items) {
			return p, true
		}
	}
}

func (p *pick) giveBack() { p.shop.left.give(p.slot.UnixMilli(), p.items) }

// whyNot says why choose found nobody. It looks at the nearest stores only: beyond those, the
// reason would not be one a person near the order recognises.
func (b *Book) whyNot(q *ask) string {
	worst, seen := tooFar, 0
	b.index.Walk(q.at, q.maxM, func(h assign.Hit[shop]) bool {
		worst = max(worst, min(q.meet(&h.Value), noGoods))
		seen++
		return seen < 200
	})
	return reasons[worst]
}
