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
	"doorstep/internal/event"
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

	policies *order.Policies

	refresh sync.Mutex
	changes int64 // the last change of a store the index has seen

	apply   sync.Mutex     // one change of the index at a time, by version
	removed map[int64]bool // keys that must not come back with late news

	healing allowance

	onSupply func() // set before the first change
}

// NewBook fills the live index from d and keeps it up to date with what stores reports. onSupply
// is called, often and without waiting, when an unassignable order may have become possible.
func NewBook(ctx context.Context, d *db.DB, stores *partner.Book, log *slog.Logger, onSupply func()) (*Book, error) {
	b := &Book{db: d, log: log, stores: stores, index: NewLive(), policies: order.NewPolicies(d), onSupply: onSupply, removed: map[int64]bool{}}
	stores.Watch(b.hear)
	return b, b.load(ctx)
}

// Stores is how many stores are in the index.
func (b *Book) Stores() int { return b.index.Len() }

// Policies are what merchants ask of the doorstep, as new orders are made under.
func (b *Book) Policies() *order.Policies { return b.policies }

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
	p, err := b.prepare(ctx, merchant, d)
	if err != nil {
		return Placed{}, err
	}
	p.then = then
	if err := p.holds.inTx(ctx, p.take); err != nil {
		return Placed{}, err
	}
	return p.out, nil
}

// PlaceAll is Place for several orders, each on its own: out[i] is what became of drafts[i], errs[i] why
// it was refused. All searches come first, then all transactions.
func (b *Book) PlaceAll(ctx context.Context, merchant int64, drafts []order.Draft) (out []*Placed, errs []error) {
	out, errs = make([]*Placed, len(drafts)), make([]error, len(drafts))
	all, which := make([]*holds, 0, len(drafts)), make([]*placing, len(drafts))
	fs := make([]func(*db.Tx) error, 0, len(drafts))
	for i := range drafts {
		if which[i], errs[i] = b.prepare(ctx, merchant, drafts[i]); errs[i] == nil {
			all, fs = append(all, &which[i].holds), append(fs, which[i].take)
		}
	}
	said := allInTx(ctx, b, all, fs)
	for i, p := range which {
		if p == nil {
			continue
		}
		if errs[i], said = said[0], said[1:]; errs[i] == nil {
			out[i] = &p.out
		}
	}
	return out, errs
}

// placing is a draft on its way to a store.
type placing struct {
	b             *Book
	draft         order.Draft
	wrong         error // why the draft can only be the repeat of an order
	key, merchant int64
	cell          geo.Cell
	holds         holds
	given         *order.Given // to the store that holds.pre chose, as out says; nil when nobody was chosen
	then          func(*db.Tx, Placed) error
	out           Placed
}

// prepare does what needs no transaction, on the sender's own goroutine and not on the one that writes:
// it searches, and makes all rows ready for the case that the database agrees.
func (b *Book) prepare(ctx context.Context, merchant int64, d order.Draft) (*placing, error) {
	policy, err := b.policies.Newest(ctx, merchant)
	if err != nil {
		return nil, err
	}
	d = d.Under(policy)
	now := b.db.Now()
	wrong := d.Check(now, false)
	cell, err := geo.CellOf(d.Dropoff, geo.MatchRes)
	if wrong == nil && err != nil {
		wrong = fault.InvalidField("/dropoff/location", "invalid-location", "%s", err)
	}
	if wrong != nil && d.ExternalID == "" {
		return nil, wrong
	}
	p := &placing{b: b, draft: d, wrong: wrong, key: b.db.Keys().Next(), merchant: merchant, cell: cell, holds: holds{b: b}}
	p.out.Order = p.draft.New(p.key, merchant, cell, now)
	q, ok := b.askFor(&p.out.Order, now, nil)
	if !ok || wrong != nil {
		return p, nil
	}
	pre, ok := b.choose(&q)
	if !ok {
		// Rows read here need not be read by the one who writes: see assign.
		better, err := b.heal(b.db.Read(ctx), &q)
		if p.holds.healed = err == nil; better {
			pre, ok = b.choose(&q)
		}
	}
	if !ok {
		return p, nil
	}
	p.holds.pre = pre
	if err := p.give(ctx, pre); err != nil {
		b.giveBack(pre)
		return nil, err
	}
	return p, nil
}

// give makes the order's rows ready for a store that was chosen.
func (p *placing) give(ctx context.Context, pre *pick) (err error) {
	a := &order.Assignment{Key: p.b.db.Keys().Next()}
	p.out.Assignment, p.out.Store = a, storeOf(&pre.shop)
	o := &p.out.Order
	made := order.Tell(p.b.db.Names(), o, "order.created", time.Time{}, order.Happened{})
	how, err := pre.give(o, a, o.CreatedAt, 1)
	if err != nil {
		return err
	}
	given := order.Tell(p.b.db.Names(), o, how, time.Time{}, order.Happened{})
	p.given, err = order.Give(o, a, []event.New{made, given}, event.Actor(ctx))
	return err
}

// take takes the order in.
func (p *placing) take(tx *db.Tx) error {
	if known, err := p.before(tx); known || err != nil {
		return err
	}
	// Only now: a repeat is answered as it was, even when its window is over by now.
	if p.wrong != nil {
		return p.wrong
	}
	if done, err := p.asGiven(tx); done || err != nil {
		return err
	}
	p.out = Placed{Order: p.draft.New(p.key, p.merchant, p.cell, tx.Now())} // what was made ready may have been tried
	o := &p.out.Order
	err := order.Note(tx, o, "order.created", time.Time{}, order.Happened{})
	if err != nil {
		return err
	}
	if p.out.Assignment, p.out.Store, err = p.b.assign(tx, &p.holds, o, nil); err != nil {
		return err
	}
	if err := order.Insert(tx, o); err != nil {
		return err
	}
	return p.end(tx)
}

// asGiven takes the order in for the store that was chosen beforehand, if the database agrees.
func (p *placing) asGiven(tx *db.Tx) (done bool, err error) {
	pre := p.holds.pre
	if p.given == nil || pre == nil {
		return false, nil
	}
	p.holds.pre = nil
	switch lacks, err := p.b.claim(tx, pre, p.out.Assignment); {
	case err != nil:
		return false, err
	case lacks != none:
		p.holds.drop(pre)
		return false, p.b.learn(tx, pre.shop, pre.slot)
	}
	if err := p.given.Insert(tx, &p.out.Order, p.out.Assignment); err != nil {
		return false, err
	}
	return true, p.end(tx)
}

// before answers a repeat with the order that is known by its external id.
func (p *placing) before(tx *db.Tx) (known bool, err error) {
	if p.draft.ExternalID == "" {
		return false, nil
	}
	o, err := order.Peek(tx, p.merchant, p.draft.ExternalID)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return false, nil
	case err != nil:
		return false, err
	case !p.draft.Asked(&o):
		return true, fault.Refused("external-id-taken", nil, "external_id %q was used for another order", p.draft.ExternalID)
	}
	p.holds.giveBack()
	if p.out, err = p.b.placed(tx, o); err != nil {
		return true, err
	}
	p.out.Repeat = true
	return true, p.end(tx)
}

func (p *placing) end(tx *db.Tx) error {
	if p.then == nil {
		return nil
	}
	return p.then(tx, p.out)
}

// Quoted says whether an order could be served now; nothing is reserved.
type Quoted struct {
	Store     *partner.Store // nil: nobody can
	DistanceM int
	Promise   *order.Span
	Reason    string
	At        time.Time
}

// Quote answers what Place would decide at this moment. merchant is 0 for nobody's orders.
func (b *Book) Quote(ctx context.Context, merchant int64, d order.Draft) (Quoted, error) {
	policy, err := b.policies.Newest(ctx, merchant)
	if err != nil {
		return Quoted{}, err
	}
	d = d.Under(policy)
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
	b      *Book
	pre    *pick // chosen before the transaction began, until that has looked at it
	runs   int
	healed bool // the rows were looked at before the transaction began: see assign

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
	return allInTx(ctx, h.b, []*holds{h}, []func(*db.Tx) error{f})[0]
}

// allInTx runs each function in a transaction of its own, on the reservations of its holds.
func allInTx(ctx context.Context, b *Book, all []*holds, fs []func(*db.Tx) error) (errs []error) {
	runs := make([]func(*db.Tx) error, len(fs))
	for i, h := range all {
		if h.pre != nil {
			h.keep(h.pre)
		}
		runs[i] = h.run(fs[i])
	}
	defer func() {
		lost := false
		for i, h := range all {
			lost = h.end(errs != nil && errs[i] == nil) || lost
		}
		if lost {
			b.supplied() // somebody may have been turned away meanwhile
		}
	}()
	return b.db.InTxs(ctx, runs)
}

// run is f as a transaction runs it, which may be more than once.
func (h *holds) run(f func(*db.Tx) error) func(*db.Tx) error {
	return func(tx *db.Tx) error {
		if h.runs++; h.runs > 1 {
			h.giveBack()
			h.pre = nil
		}
		return f(tx)
	}
}

// end gives back what a transaction that failed had reserved, and reports whether it had failed.
func (h *holds) end(done bool) (lost bool) {
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	if !done {
		h.giveBack()
	}
	return !done
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
	healed := h.healed && h.runs == 1
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
		a := &order.Assignment{Key: tx.NewKey()}
		lacks, err := b.claim(tx, p, a)
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
		return a, storeOf(&p.shop), b.offer(tx, o, p, a, len(tried)+1)
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

// claim takes the unit of capacity and the goods in the database for a; it returns what is lacking, none
// when all was taken.
func (b *Book) claim(tx *db.Tx, p *pick, a *order.Assignment) (lacks obstacle, err error) {
	key := p.shop.Key
	// The slot last: it remembers who claimed it, and a claim that came to nothing would stay in its chain.
	if len(p.items) > 0 {
		if ok, err := partner.ClaimStock(tx, key, goods(p.items)); err != nil || !ok {
			return noGoods, err
		}
	}
	ok := false
	if a.Prev, ok, err = partner.ClaimSlot(tx, key, p.slot, a.Key); err != nil || ok {
		return none, err
	}
	if len(p.items) > 0 {
		err = partner.ReleaseStock(tx, key, goods(p.items))
	}
	return noRoom, err
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
// of them can serve it after all. A store is learnt about once a second at most, and healEachSecond stores
// in all: when a whole town is full, or goods are asked for that nobody has, that is no news.
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
	if !b.healing.take(q.Now.Unix(), len(near), healEachSecond) {
		return false, nil
	}
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
	healAtOnce     = 4
	lookedAt       = 200
	healEachSecond = 1000
)

// allowance is so much of something in each second.
type allowance struct {
	mu     sync.Mutex
	second int64
	taken  int
}

// take reports whether n more fit into the second.
func (a *allowance) take(second int64, n, most int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if second != a.second {
		a.second, a.taken = second, 0
	}
	if a.taken+n > most {
		return false
	}
	a.taken += n
	return true
}

func goods(items []order.Item) []partner.Item {
	out := make([]partner.Item, len(items))
	for i, it := range items {
		out[i] = partner.Item(it)
	}
	return out
}

// give makes a the assignment of o to the store that was chosen, as of now: accepted at once, or offered
// with a deadline. It returns the type of the event that tells of it.
func (p *pick) give(o *order.Order, a *order.Assignment, now time.Time, rank int) (event string, err error) {
	how := &p.shop.Value.plan.Load().common
	a.Order, a.Store, a.Slot, a.OfferedAt = o.Key, p.shop.Key, p.slot, now
	a.Status, a.Rank, a.ScoreM = order.Offered, rank, p.m
	promise, _ := o.PromiseAt(now)
	o.Store, o.Assignment, o.DistanceM, o.Promise, o.Reason = p.shop.Key, a.Key, p.m, &promise, ""
	if !how.AutoAccept {
		deadline := now.Add(time.Duration(how.OfferTimeoutS) * time.Second)
		a.Deadline = &deadline
		return "order.offered", nil
	}
	if err := o.Status.Check(order.Confirmed); err != nil {
		return "", err
	}
	a.Status, a.AnsweredAt, o.Status = order.Accepted, &now, order.Confirmed
	return "order.confirmed", nil
}

// offer writes a, the assignment of o to the store that claim took a unit of. The caller writes o.
func (b *Book) offer(tx *db.Tx, o *order.Order, p *pick, a *order.Assignment, rank int) error {
	how, err := p.give(o, a, tx.Now(), rank)
	if err != nil {
		return err
	}
	if err := order.Note(tx, o, how, time.Time{}, order.Happened{}); err != nil {
		return err
	}
	return order.InsertAssignment(tx, a)
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
