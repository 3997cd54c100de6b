// Package match decides which store serves an order.
//
//	order ──► live index (nearest, open, room, goods) ──► reserved in memory
//	      ──► one transaction: capacity and stock claimed, order, assignment, events
//	      ──► confirmed (auto-accept) | offered, with a deadline | unassignable, with a reason
//
// The index proposes, the database decides: a claim that changes no row sends the order to the
// next store inside the same transaction. Declined, expired and given-back orders go on to the
// next store that was not asked yet; unassignable ones are tried again when supply changes.
package match

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// Book places orders and carries the stores' answers.
type Book struct {
	db     *db.DB
	log    *slog.Logger
	stores *partner.Book
	index  *Live

	refresh sync.Mutex
	changes int64 // the last change of a store the index has seen

	apply   sync.Mutex     // one change of the index at a time, by version
	removed map[int64]bool // keys that must not come back with late news

	onSupply func() // set before the first change
}

// NewBook fills the live index from d and keeps it up to date with what stores reports. onSupply
// is called, often and without waiting, when an unassignable order may have become possible.
func NewBook(ctx context.Context, d *db.DB, stores *partner.Book, log *slog.Logger, onSupply func()) (*Book, error) {
	b := &Book{db: d, log: log, stores: stores, index: NewLive(), onSupply: onSupply, removed: map[int64]bool{}}
	stores.Watch(b.hear)
	return b, b.load(ctx)
}

// Stores is how many stores are in the index.
func (b *Book) Stores() int { return b.index.Len() }

func (b *Book) supplied() {
	if b.onSupply != nil {
		b.onSupply()
	}
}

// Placed is an order and who has it now. Assignment and Store are nil when nobody has.
type Placed struct {
	Order      order.Order
	Assignment *order.Assignment
	Store      *partner.Store
	Repeat     bool // the external_id was known, with the same content
}

// Place takes an order in and finds its store, in one transaction. then runs last inside it: what
// must be kept together with the order, like the stored answer of an idempotent request.
//
// Errors: fault.Invalid naming the fields; fault.Conflict external-id-taken when the merchant used
// the external_id for another order.
func (b *Book) Place(ctx context.Context, merchant int64, d order.Draft, then func(*db.Tx, Placed) error) (Placed, error) {
	d = d.Normal()
	wrong := d.Check(b.db.Now(), false)
	cell, err := geo.CellOf(d.Dropoff, geo.MatchRes)
	if wrong == nil && err != nil {
		wrong = fault.InvalidField("/dropoff/location", "invalid-location", "%s", err)
	}
	if wrong != nil && d.ExternalID == "" {
		return Placed{}, wrong
	}
	key := b.db.Keys().Next()
	var out Placed
	// The search runs here, on the sender's own goroutine, and not on the one that writes.
	first := d.New(key, merchant, cell, b.db.Now())
	h := holds{b: b}
	if q, ok := b.askFor(&first, first.CreatedAt, nil); ok && wrong == nil {
		h.pre, _ = b.choose(&q)
	}
	err = h.inTx(ctx, func(tx *db.Tx) error {
		out = Placed{}
		if d.ExternalID != "" {
			switch known, err := order.Peek(tx, merchant, d.ExternalID); {
			case err == nil && d.Asked(&known):
				h.giveBack()
				if out, err = b.placed(tx, known); err != nil {
					return err
				}
				out.Repeat = true
				return call(then, tx, out)
			case err == nil:
				return fault.Refused("external-id-taken", nil, "external_id %q was used for another order", d.ExternalID)
			case fault.KindOf(err) != fault.NotFound:
				return err
			}
		}
		// Only now: a repeat is answered as it was, even when its window is over by now.
		if wrong != nil {
			return wrong
		}
		o := first
		o.CreatedAt, o.UpdatedAt = tx.Now(), tx.Now()
		if err := order.Note(tx, &o, "order.created", time.Time{}, order.Happened{}); err != nil {
			return err
		}
		a, s, err := b.assign(tx, &h, &o, nil)
		if err != nil {
			return err
		}
		if err := order.Insert(tx, &o); err != nil {
			return err
		}
		out = Placed{Order: o, Assignment: a, Store: s}
		return call(then, tx, out)
	})
	if err != nil {
		return Placed{}, err
	}
	return out, nil
}

func call(then func(*db.Tx, Placed) error, tx *db.Tx, p Placed) error {
	if then == nil {
		return nil
	}
	return then(tx, p)
}

// Quoted says whether an order could be served now; nothing is reserved.
type Quoted struct {
	Store     *partner.Store // nil: nobody can
	DistanceM int
	Promise   *order.Span
	Reason    string
	At        time.Time
}

// Quote answers what Place would decide at this moment.
func (b *Book) Quote(ctx context.Context, d order.Draft) (Quoted, error) {
	d = d.Normal()
	now := b.db.Now()
	if err := d.Check(now, true); err != nil {
		return Quoted{}, err
	}
	o := d.New(0, 0, 0, now)
	q, ok := b.askFor(&o, now, nil)
	if !ok {
		return Quoted{Reason: "data_error", At: now}, nil
	}
	hit, ok := b.nearest(&q)
	if !ok {
		return Quoted{Reason: b.whyNot(&q), At: now}, nil
	}
	promise, _ := o.PromiseAt(now)
	return Quoted{Store: storeOf(&hit.Store), DistanceM: metres(hit.DistanceM), Promise: &promise, At: now}, nil
}

// askFor is what to look for o with; ok is false when o's window is over.
func (b *Book) askFor(o *order.Order, now time.Time, tried map[int64]bool) (q Ask, ok bool) {
	promise, ok := o.PromiseAt(now)
	return Ask{At: o.Dropoff, MaxM: float64(o.RadiusM), Begin: promise.From, Now: now, Items: o.Details.Items, tried: tried}, ok
}

// holds are the reservations in memory that a transaction lives on: given back when it fails, and
// when it is run again. A transaction that overstayed is given up while its function still runs, so
// what that one takes afterwards goes straight back.
type holds struct {
	b    *Book
	pre  *pick // chosen before the transaction began
	runs int

	mu   sync.Mutex
	kept []*pick
	over bool
}

func (h *holds) keep(p *pick) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		h.b.giveBack(p)
		return
	}
	h.kept = append(h.kept, p)
}

func (h *holds) giveBack() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.kept {
		h.b.giveBack(p)
	}
	h.kept = nil
}

func (h *holds) inTx(ctx context.Context, f func(*db.Tx) error) error {
	if h.pre != nil {
		h.keep(h.pre)
	}
	done := false
	defer func() {
		h.mu.Lock()
		h.over = true
		h.mu.Unlock()
		if !done {
			h.giveBack()
			h.b.supplied() // somebody may have been turned away meanwhile
		}
	}()
	err := h.b.db.InTx(ctx, func(tx *db.Tx) error {
		if h.runs++; h.runs > 1 {
			h.giveBack()
			h.pre = nil
		}
		return f(tx)
	})
	done = err == nil
	return err
}

// drop gives one reservation back.
func (h *holds) drop(p *pick) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.kept, p); i >= 0 {
		h.kept = slices.Delete(h.kept, i, i+1)
		h.b.giveBack(p)
	}
}

// next is a store for q with what it needs reserved and held.
func (h *holds) next(q *Ask) (*pick, bool) {
	if p := h.pre; p != nil {
		h.pre = nil
		// Since the choice the clock has moved: the promise of an order without a window, and
		// with it the slot, may have too.
		if p.slot.Equal(p.shop.Value.slotAt(q.Begin)) && !q.tried[p.shop.Key] && p.shop.Value.openAt(q.Begin) {
			return p, true
		}
		h.drop(p)
	}
	p, ok := h.b.choose(q)
	if ok {
		h.keep(p)
	}
	return p, ok
}

// assign gives o to the nearest store that was not tried yet, or finds it unassignable. The caller
// writes o. Claims that the database refuses teach the index and lead to the next store.
func (b *Book) assign(tx *db.Tx, h *holds, o *order.Order, tried map[int64]bool) (*order.Assignment, *partner.Store, error) {
	q, inTime := b.askFor(o, tx.Now(), tried)
	healed := false
	for inTime {
		p, ok := h.next(&q)
		if !ok {
			// The index may be too gloomy about the stores near by: what another process gave
			// back, it did not hear. Look at the rows once before turning somebody away.
			if !healed {
				healed = true
				if better, err := b.heal(tx, &q); err != nil {
					return nil, nil, err
				} else if better {
					continue
				}
			}
			break
		}
		lacks, err := b.claim(tx, p)
		if err != nil {
			return nil, nil, err
		}
		if lacks != none {
			h.drop(p)
			if err := b.learn(tx, p.shop, p.slot); err != nil {
				return nil, nil, err
			}
			q.refuse(p.shop.Key, lacks)
			continue
		}
		a, err := b.offer(tx, o, p, len(tried)+1)
		return a, storeOf(&p.shop), err
	}
	reason := "data_error"
	if inTime {
		reason = b.whyNot(&q)
	}
	return nil, nil, b.giveUp(tx, o, reason)
}

func (b *Book) giveUp(tx *db.Tx, o *order.Order, reason string) error {
	o.Store, o.Assignment, o.DistanceM, o.Promise = 0, 0, 0, nil
	if o.Status == order.Unassignable {
		o.Reason = reason
		return nil
	}
	return order.Move(tx, o, order.Unassignable, time.Time{}, order.Happened{Reason: reason})
}

// claim takes the unit of capacity and the goods in the database; it returns what is lacking, none
// when all was taken.
func (b *Book) claim(tx *db.Tx, p *pick) (lacks obstacle, err error) {
	key := p.shop.Key
	ok, err := partner.ClaimSlot(tx, key, p.slot)
	if err != nil || !ok {
		return noRoom, err
	}
	if len(p.items) == 0 {
		return none, nil
	}
	if ok, err = partner.ClaimStock(tx, key, goods(p.items)); err != nil || ok {
		return none, err
	}
	return noGoods, partner.ReleaseSlot(tx, key, p.slot)
}

// learn reads anew what the index has wrong about a store.
func (b *Book) learn(q db.Queryer, sh shop, slot time.Time) error {
	key := sh.Key
	s, err := partner.LoadTx(q, key)
	if err != nil {
		return err
	}
	if s.Removed {
		b.remove(key)
		return nil
	}
	if err := b.put(&s); err != nil {
		return err
	}
	var used []int
	if err := q.Select(&used, `SELECT used FROM slot_use WHERE store_key = ? AND slot = ?`, key, slot.UnixMilli()); err != nil {
		return err
	}
	used = append(used, 0)
	b.index.SetUsed(key, slot, used[0])
	lines, err := partner.StockOf(q, key)
	if err != nil {
		return err
	}
	b.index.SetStock(key, lines)
	return nil
}

// heal learns about the nearest stores that q only lacks room or goods at, and reports whether one
// of them can serve it after all. A store is learnt about once a second at most: when a whole town
// is full, that is no news.
func (b *Book) heal(r db.Queryer, q *Ask) (bool, error) {
	var near []shop
	seen := 0
	b.index.walk(q, func(sh *shop, o obstacle) bool {
		seen++
		if (o == noRoom || o == noGoods) && q.refused[sh.Key] == 0 && sh.Value.stale(q.Now.UnixMilli()) {
			near = append(near, *sh)
		}
		return len(near) < healAtOnce && seen < lookedAt
	})
	for _, sh := range near {
		if err := b.learn(r, sh, sh.Value.slotAt(q.Begin)); err != nil {
			return false, err
		}
	}
	return len(near) > 0 && b.anybody(q), nil
}

// healAtOnce is how many stores a hopeless order reads the rows of, lookedAt how many it looks at
// in the index: beyond the nearest, more does not help the people near the order.
const (
	healAtOnce = 4
	lookedAt   = 200
)

func goods(items []order.Item) []partner.Item {
	out := make([]partner.Item, len(items))
	for i, it := range items {
		out[i] = partner.Item(it)
	}
	return out
}

// offer makes the assignment of o to a claimed store: accepted at once, or offered with a deadline.
func (b *Book) offer(tx *db.Tx, o *order.Order, p *pick, rank int) (*order.Assignment, error) {
	how := &p.shop.Value.plan.Load().common
	now := tx.Now()
	a := &order.Assignment{Key: tx.NewKey(), Order: o.Key, Store: p.shop.Key, Status: order.Offered, Rank: rank, ScoreM: p.m,
		Slot: p.slot, OfferedAt: now}
	promise, _ := o.PromiseAt(now)
	o.Store, o.Assignment, o.DistanceM, o.Promise, o.Reason = p.shop.Key, a.Key, p.m, &promise, ""
	var err error
	if how.AutoAccept {
		a.Status, a.AnsweredAt = order.Accepted, &now
		err = order.Move(tx, o, order.Confirmed, time.Time{}, order.Happened{})
	} else {
		deadline := now.Add(time.Duration(how.OfferTimeoutS) * time.Second)
		a.Deadline = &deadline
		err = order.Note(tx, o, "order.offered", time.Time{}, order.Happened{})
	}
	if err != nil {
		return nil, err
	}
	return a, order.InsertAssignment(tx, a)
}

// placed is o with its assignment and store, as q sees them.
func (b *Book) placed(q db.Queryer, o order.Order) (Placed, error) {
	p := Placed{Order: o}
	if o.Assignment != 0 {
		a, err := order.LoadAssignment(q, o.Assignment)
		if err != nil {
			return p, err
		}
		p.Assignment = &a
	}
	if o.Store != 0 {
		s, err := b.store(q, o.Store)
		if err != nil {
			return p, err
		}
		p.Store = s
	}
	return p, nil
}

func (b *Book) store(q db.Queryer, key int64) (*partner.Store, error) {
	if sh, ok := b.index.get(key); ok {
		return storeOf(&sh), nil
	}
	s, err := partner.LoadTx(q, key) // removed since
	return &s, err
}

// Show is o with its assignment and store.
func (b *Book) Show(ctx context.Context, o order.Order) (Placed, error) {
	return b.placed(b.db.Read(ctx), o)
}

// free gives back what an assignment holds: its slot unit, and the goods while they lie on the
// shelf. It is for assignments whose parcel has not left the store.
func (b *Book) free(tx *db.Tx, o *order.Order, a *order.Assignment) error {
	if err := partner.ReleaseSlot(tx, a.Store, a.Slot); err != nil {
		return err
	}
	if len(o.Details.Items) > 0 {
		if err := partner.ReleaseStock(tx, a.Store, goods(o.Details.Items)); err != nil {
			return err
		}
	}
	store, slot, items := a.Store, a.Slot.UnixMilli(), o.Details.Items
	tx.OnCommit(func() {
		if sh, ok := b.index.get(store); ok {
			b.index.give(&sh, slot, items)
		}
		b.supplied()
	})
	return nil
}
