package match

import (
	"context"
	"math"
	"sync"
	"time"

	"doorstep/geo"
	"doorstep/internal/assign"
	"doorstep/internal/ident"
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
	mu      sync.Mutex
	used    map[int64]int  // units taken, by start of the slot in ms
	free    map[string]int // units available, by SKU
	learned time.Time      // when the rows were last looked at for want of anything better
}

// keptSlots bounds a store's counters: beyond it, slots that are long over are forgotten.
const keptSlots = 256

// stale reports whether it is time to look at the rows again, and says that it was done.
func (l *left) stale(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.learned).Abs() < time.Second {
		return false
	}
	l.learned = now
	return true
}

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
	l.count(slot, items)
	return true
}

// force counts what the rows have given already, also when there seemed to be none.
func (l *left) force(slot int64, items []order.Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(slot, items)
}

func (l *left) count(slot int64, items []order.Item) {
	l.forget(slot)
	l.used[slot]++
	for _, it := range items {
		l.free[it.SKU] -= it.Quantity
	}
}

// forget drops the counters of slots two days before the one that is wanted now.
func (l *left) forget(slot int64) {
	if len(l.used) < keptSlots {
		return
	}
	for s := range l.used {
		if s < slot-48*time.Hour.Milliseconds() {
			delete(l.used, s)
		}
	}
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

func (l *left) setUsed(slot int64, used int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(slot)
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
			sh.left.setUsed(slot.UnixMilli(), used)
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

// put brings a store into the index, unless the index knows better already: news of one store may
// come by several ways, and late.
func (b *Book) put(s *partner.Store) error {
	b.apply.Lock()
	defer b.apply.Unlock()
	if b.removed[s.Key] {
		return nil
	}
	l := newLeft()
	if old, ok := b.index.Get(s.Key); ok {
		if old.store.Version >= s.Version {
			return nil
		}
		l = old.left
	}
	return b.index.Put(s.Key, s.Location, float64(s.ServiceRadiusM), shop{s, l})
}

func (b *Book) remove(key int64) {
	b.apply.Lock()
	defer b.apply.Unlock()
	b.removed[key] = true
	b.index.Remove(key)
}

// hear brings a change of a store into the index, before its sender is answered.
func (b *Book) hear(c partner.Change) {
	if c.Removed {
		b.remove(c.Key)
		return
	}
	sh, known := b.index.Get(c.Key)
	if known && c.Version < sh.store.Version {
		return
	}
	s := c.Store
	if s == nil && known {
		counted := *sh.store
		counted.Version = c.Version
		s = &counted
	}
	if s != nil {
		if err := b.put(s); err != nil {
			b.log.Error("store cannot be indexed", "store", b.db.Names().Name(ident.Store, c.Key), "error", err)
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
			if err := b.takeOver(ctx, &stores[i]); err != nil {
				return err
			}
		}
		b.changes = next
	}
}

func (b *Book) takeOver(ctx context.Context, s *partner.Store) error {
	if s.Removed {
		b.remove(s.Key)
		return nil
	}
	if sh, ok := b.index.Get(s.Key); ok && sh.store.Version >= s.Version {
		return nil // our own change: heard when it was made
	}
	lines, err := b.stores.Stock(ctx, s.Key)
	if err == nil {
		b.hear(partner.Change{Key: s.Key, Version: s.Version, Store: s, Stock: lines})
	}
	return err
}

// ask is what a store is looked for with.
type ask struct {
	at    geo.Point
	maxM  float64 // the merchant's limit, 0: none
	begin time.Time
	now   time.Time
	items []order.Item
	tried map[int64]bool
	// refused are stores whose rows said no although the index said yes, and what they lacked.
	refused map[int64]obstacle
}

func (q *ask) refuse(key int64, lacks obstacle) {
	if q.refused == nil {
		q.refused = map[int64]obstacle{}
	}
	q.refused[key] = lacks
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
	notOpen
	noRoom
	noGoods
	alreadyAsked
	none
)

var reasons = map[obstacle]string{tooFar: "out_of_range", alreadyAsked: "store_unresponsive", notOpen: "store_closed",
	noRoom: "capacity_exceeded", noGoods: "store_out_of_stock"}

// meet is what stands between q and a store that is near enough.
func (q *ask) meet(sh *shop) obstacle {
	s := sh.store
	switch {
	case !s.AcceptingOrders(q.now), !s.OpenAt(q.begin):
		return notOpen
	case q.refused[s.Key] != 0:
		return q.refused[s.Key]
	}
	room, goods := sh.left.fits(s.SlotAt(q.begin).UnixMilli(), s.OrdersPerSlot, q.items)
	switch {
	case !room:
		return noRoom
	case !goods:
		return noGoods
	case q.tried[s.Key]:
		return alreadyAsked
	}
	return none
}

// nearest is the nearest store that can serve q, by the index.
func (b *Book) nearest(q *ask) (assign.Hit[shop], bool) {
	return b.index.Nearest(q.at, q.maxM, func(sh *shop) bool { return q.meet(sh) == none })
}

// anybody reports whether some store could serve q, by the index.
func (b *Book) anybody(q *ask) bool {
	_, ok := b.nearest(q)
	return ok
}

func metres(m float64) int { return int(math.Round(m)) }

// choose finds the nearest store that can serve q and reserves it in memory.
func (b *Book) choose(q *ask) (*pick, bool) {
	for {
		hit, ok := b.nearest(q)
		if !ok {
			return nil, false
		}
		s := hit.Value.store
		p := &pick{shop: hit.Value, slot: s.SlotAt(q.begin), m: metres(hit.DistanceM), items: q.items}
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
		o := q.meet(&h.Value)
		if o == none {
			// It said no a moment ago and yes now: others give back and take all the time.
			o = noRoom
			if len(q.items) > 0 {
				o = noGoods
			}
		}
		worst = max(worst, o)
		seen++
		return seen < lookedAt
	})
	return reasons[worst]
}
