package match

import (
	"context"
	"math"
	"time"

	"doorstep/internal/assign"
	"doorstep/internal/ident"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// load fills the index from the database.
func (b *Book) load(ctx context.Context) error {
	seq, err := b.stores.LastChange(ctx)
	if err != nil {
		return err
	}
	if err := b.loadStores(ctx); err != nil {
		return err
	}
	err = b.stores.EachSlotUse(ctx, b.db.Now().Add(-48*time.Hour), func(store int64, slot time.Time, used int) error {
		b.index.SetUsed(store, slot, used)
		return nil
	})
	if err != nil {
		return err
	}
	b.changes = seq
	return b.loadStock(ctx)
}

func (b *Book) loadStores(ctx context.Context) error {
	// News of stores wait until all are there.
	b.apply.Lock()
	defer b.apply.Unlock()
	var n int
	err := b.db.Read(ctx).Get(&n, `SELECT count(*) FROM store WHERE removed_at IS NULL`)
	if err != nil {
		return err
	}
	all := func(put func(*partner.Store) error) error {
		return b.stores.EachByPlace(ctx, func(s partner.Store) error { return put(&s) })
	}
	if b.index.Len() > 0 { // somebody was quicker
		return all(b.news)
	}
	return b.index.Fill(n, all)
}

// loadStock takes each store's lines together: a shelf is made once.
func (b *Book) loadStock(ctx context.Context) error {
	var of int64
	var lines []partner.StockLine
	err := b.stores.EachStock(ctx, func(store int64, line partner.StockLine) error {
		if store != of {
			b.index.SetStock(of, lines)
			of, lines = store, lines[:0]
		}
		lines = append(lines, line)
		return nil
	})
	b.index.SetStock(of, lines)
	return err
}

// put brings a store into the index, unless the index knows better already: news of one store may
// come by several ways, and late.
func (b *Book) put(s *partner.Store) error {
	b.apply.Lock()
	defer b.apply.Unlock()
	return b.news(s)
}

func (b *Book) news(s *partner.Store) error {
	if b.removed[s.Key] {
		return nil
	}
	if old, ok := b.index.get(s.Key); ok && old.Value.version.Load() >= s.Version {
		return nil
	}
	return b.index.Put(s)
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
	sh, known := b.index.get(c.Key)
	if known && c.Version < sh.Value.version.Load() {
		return
	}
	if c.Store != nil {
		if err := b.put(c.Store); err != nil {
			b.log.Error("store cannot be indexed", "store", b.db.Names().Name(ident.Store, c.Key), "error", err)
		}
	} else if known {
		sh.Value.version.Store(c.Version)
	}
	b.index.SetStock(c.Key, c.Stock)
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
	if sh, ok := b.index.get(s.Key); ok && sh.Value.version.Load() >= s.Version {
		return nil // our own change: heard when it was made
	}
	lines, err := b.stores.Stock(ctx, s.Key)
	if err == nil {
		b.hear(partner.Change{Key: s.Key, Version: s.Version, Store: s, Stock: lines})
	}
	return err
}

func (q *Ask) refuse(key int64, lacks obstacle) {
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

// nearest is the nearest store that can serve q, by the index.
func (b *Book) nearest(q *Ask) (assign.Hit[*state], bool) { return b.index.nearest(q) }

// anybody reports whether some store could serve q, by the index.
func (b *Book) anybody(q *Ask) bool {
	_, ok := b.nearest(q)
	return ok
}

func metres(m float64) int { return int(math.Round(m)) }

// choose finds the nearest store that can serve q and reserves it in memory.
func (b *Book) choose(q *Ask) (*pick, bool) {
	for {
		hit, ok := b.nearest(q)
		if !ok {
			return nil, false
		}
		p := &pick{shop: hit.Store, slot: hit.Value.slotAt(q.Begin), m: metres(hit.DistanceM), items: q.Items}
		// Another order may have been faster between the look and the grab: look again.
		if b.index.take(&p.shop, p.slot.UnixMilli(), q.Items) {
			return p, true
		}
	}
}

func (b *Book) giveBack(p *pick) { b.index.give(&p.shop, p.slot.UnixMilli(), p.items) }

// whyNot says why choose found nobody. It looks at the nearest stores only: beyond those, the
// reason would not be one a person near the order recognises.
func (b *Book) whyNot(q *Ask) string {
	worst, seen := tooFar, 0
	b.index.walk(q, func(_ *shop, o obstacle) bool {
		if o == none {
			// It said no a moment ago and yes now: others give back and take all the time.
			o = noRoom
			if len(q.Items) > 0 {
				o = noGoods
			}
		}
		worst = max(worst, o)
		seen++
		return seen < lookedAt
	})
	return reasons[worst]
}
