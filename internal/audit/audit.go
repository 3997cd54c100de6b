// Package audit finds what was changed behind the program's back.
//
//	event ◄─ event ◄─ event ◄─ the order's row          each event's hash is of the one before it too
//	   └ evidence: the seal of a row of evidence         a remark, an event at the door
//	                  └ photo: the hash it is kept under
//
// Every row of an order carries a seal over all its columns, every event a hash over itself and its
// subject's event before. A byte that was changed with an editor breaks one of them; a row that is gone,
// or is one too many, breaks the chain. Whoever writes to the database and computes all hashes anew can
// only be found out by an anchor, a line that was kept elsewhere (see Anchor).
//
// A dossier, all rows of one order, is judged by itself, whether it was read from the database in one
// moment or from a bundle on another machine: see Dossier and Bundle.
package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/maphash"
	"slices"
	"strings"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

// pace is how many rows are looked at in one moment of the database: a longer one would keep SQLite from
// reusing its log.
const pace = 2000

// Options of a verification.
type Options struct {
	Order    int64                               // only this one; 0: everything
	Anchor   *Anchor                             // what the log up to there must come to; nil: not compared
	Progress func(step string, done, from int64) // called now and then; may be nil
}

// Summary is how much was looked at.
type Summary struct {
	Orders   int64 `json:"orders"`
	Events   int64 `json:"events"`
	Photos   int64 `json:"photos"`
	Findings int64 `json:"findings"`
}

// verification is one under way.
type verification struct {
	Options
	ctx    context.Context
	db     *db.DB
	view   *db.View
	since  int64
	report func(Finding) error
	sum    Summary
	lines  ledger
	total  struct{ Events, Orders int64 } // when it began
}

// Verify looks for what was changed and reports each finding. It may run while orders are taken in and
// delivered. Memory is bounded, whatever the size of the database.
//
// Errors: fault.Missing when there is no such order; what the database says; report's own.
func Verify(ctx context.Context, d *db.DB, o Options, report func(Finding) error) (Summary, error) {
	view, err := d.View(ctx)
	if err != nil {
		return Summary{}, err
	}
	defer view.Close()
	v := &verification{Options: o, ctx: ctx, db: d, view: view}
	v.report = func(f Finding) error {
		v.sum.Findings++
		return report(f)
	}
	if v.Progress == nil {
		v.Progress = func(string, int64, int64) {}
	}
	if v.since, err = since(view); err != nil {
		return v.sum, err
	}
	if o.Order != 0 {
		err = v.one(o.Order)
	} else {
		err = v.everything()
	}
	return v.sum, err
}

func since(v *db.View) (key int64, err error) {
	err = v.Get(&key, `SELECT coalesce(max(key), 0) FROM audit_since`)
	return key, err
}

func (v *verification) name(prefix string, key int64) string { return v.db.Names().Name(prefix, key) }

// one verifies an order, and that the log has no event of it beside its story. Nothing leads to those but
// a walk over the whole log from the order's making on.
func (v *verification) one(key int64) error {
	d, ok, err := open(v.view, key, v.since, true)
	if err != nil {
		return err
	}
	if !ok {
		return fault.Missing("order")
	}
	v.sum.Orders, v.sum.Events, v.sum.Photos = 1, int64(len(d.Events)), int64(len(d.Photos))
	if err := v.all(d.inspect(v.name)); err != nil {
		return err
	}
	var seqs []int64
	if err := v.view.Select(&seqs, `SELECT seq FROM event WHERE seq > ? AND subject = ? ORDER BY seq`, key, key); err != nil {
		return err
	}
	return v.strays(d, seqs)
}

func (v *verification) all(found []Finding) error {
	for _, f := range found {
		if err := v.report(f); err != nil {
			return err
		}
	}
	return nil
}

// strays reports events of an order that its story does not lead to.
func (v *verification) strays(d *Dossier, seqs []int64) error {
	for _, seq := range seqs {
		if slices.ContainsFunc(d.Events, func(e event.Stored) bool { return e.Seq == seq }) {
			continue
		}
		if err := v.report(Finding{v.name(ident.Order, d.Order), "event", v.name(ident.Event, seq), "", "the order's story does not lead to it"}); err != nil {
			return err
		}
	}
	return nil
}

// everything walks over the log, the orders, and the tables that hang on orders.
func (v *verification) everything() error {
	end, err := event.End(v.ctx, v.db)
	if err == nil {
		err = v.view.Get(&v.total, `SELECT (SELECT count(*) FROM event) AS events, (SELECT count(*) FROM orders) AS orders`)
	}
	if err != nil {
		return err
	}
	v.lines.seed = maphash.MakeSeed()
	for _, step := range []func(int64) error{v.log, v.orders, v.amiss, v.orphans, v.pictures} {
		if err := step(end); err != nil {
			return err
		}
	}
	return nil
}

// log walks over all events up to end. Those of orders are only entered in the ledger; their dossiers are
// judged later. Of all others the hash is checked here.
func (v *verification) log(end int64) error {
	root, compared := newRoot(), v.Anchor == nil
	for last := int64(0); ; {
		if err := v.view.Renew(); err != nil {
			return err
		}
		page, err := event.Page(v.view, last, end, pace)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		orders, err := v.ordersOf(page)
		if err != nil {
			return err
		}
		for i := range page {
			e := &page[i]
			if !compared && e.Seq > v.Anchor.Seq {
				if err := v.compare(root); err != nil {
					return err
				}
				compared = true
			}
			root.add(e)
			last = e.Seq
			if orders[e.Subject] {
				v.lines.enter(e.Subject, e.Seq)
			} else if err := v.lone(e); err != nil {
				return err
			}
		}
		v.sum.Events += int64(len(page))
		v.Progress("events", v.sum.Events, v.total.Events)
	}
	if !compared {
		return v.compare(root)
	}
	return nil
}

// ordersOf tells which subjects of the events are orders.
func (v *verification) ordersOf(page []event.Stored) (map[int64]bool, error) {
	known := map[int64]bool{}
	var ask []any
	for _, e := range page {
		if _, asked := known[e.Subject]; !asked {
			known[e.Subject] = false
			ask = append(ask, e.Subject)
		}
	}
	for len(ask) > 0 {
		n := min(len(ask), 500)
		var keys []int64
		if err := v.view.Select(&keys, `SELECT key FROM orders WHERE key IN (?`+strings.Repeat(`, ?`, n-1)+`)`, ask[:n]...); err != nil {
			return nil, err
		}
		for _, k := range keys {
			known[k] = true
		}
		ask = ask[n:]
	}
	return known, nil
}

// lone checks an event of anything but an order against the one before it.
func (v *verification) lone(e *event.Stored) error {
	say := func(column, format string, args ...any) error {
		return v.report(Finding{Table: "event", Row: v.name(ident.Event, e.Seq), Column: column, What: fmt.Sprintf(format, args...)})
	}
	if strings.HasPrefix(e.Type, "order.") || strings.HasPrefix(e.Type, "dropoff.") {
		return say("subject", "there is no such order")
	}
	var before event.Stored
	if e.Prev != 0 {
		var err error
		if before, err = event.Look(v.view, e.Prev); err != nil {
			return say("prev", "the event before it is missing")
		}
	}
	switch {
	case len(e.Kept) == 0 && e.Seq <= v.since:
	case len(e.Kept) == 0:
		return say("hash", "it has no hash")
	case e.Prev != 0 && (before.Subject != e.Subject || before.Sequence+1 != e.Sequence), e.Prev == 0 && e.Sequence != 1:
		return say("", "it does not follow the event before it")
	case !e.Follows(before.Kept):
		return say("", "it is not as it was written")
	}
	return nil
}

// orders judges every order's dossier.
func (v *verification) orders(end int64) error {
	return v.keys(`SELECT key FROM orders WHERE key > ? ORDER BY key LIMIT ?`, 200, func(key int64) error {
		d, ok, err := open(v.view, key, v.since, false)
		if err != nil || !ok {
			return err
		}
		v.sum.Orders++
		for _, e := range d.Events {
			if e.Seq <= end && e.Subject == key {
				v.lines.strike(key, e.Seq)
			}
		}
		return v.all(d.inspect(v.name))
	})
}

// keys calls f for all keys a query finds, page by page, each page with its own moment.
func (v *verification) keys(query string, limit int, f func(key int64) error) error {
	for last := int64(-1 << 62); ; {
		if err := v.view.Renew(); err != nil {
			return err
		}
		var keys []int64
		if err := v.view.Select(&keys, query, last, limit); err != nil || len(keys) == 0 {
			return err
		}
		for _, key := range keys {
			if err := f(key); err != nil {
				return err
			}
			last = key
		}
		v.Progress("orders", v.sum.Orders, v.total.Orders)
	}
}

// amiss names the events of orders that the log has and no story leads to, if there are any.
func (v *verification) amiss(end int64) error {
	if !v.lines.open() {
		return nil
	}
	suspects := map[int64][]int64{}
	for last := int64(0); ; {
		if err := v.view.Renew(); err != nil {
			return err
		}
		page, err := event.Page(v.view, last, end, pace)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if last = e.Seq; v.lines.suspect(e.Subject) {
				suspects[e.Subject] = append(suspects[e.Subject], e.Seq)
			}
		}
	}
	for key, seqs := range suspects {
		d, ok, err := open(v.view, key, v.since, false)
		if err != nil {
			return err
		}
		if ok {
			if err := v.strays(d, seqs); err != nil {
				return err
			}
		}
	}
	return nil
}

// orphans are rows of orders that are not there.
func (v *verification) orphans(int64) error {
	for _, k := range kinds[1:] {
		if shapes()[k.table] == nil {
			continue
		}
		var lost []int64
		if err := v.view.Renew(); err != nil {
			return err
		}
		if err := v.view.Select(&lost, `SELECT t.key FROM `+k.table+` t LEFT JOIN orders o ON o.key = t.order_key WHERE o.key IS NULL ORDER BY t.key LIMIT 1000`); err != nil {
			return err
		}
		for _, key := range lost {
			if err := v.report(Finding{Table: k.table, Row: fmt.Sprint(key), Column: "order_key", What: "there is no such order"}); err != nil {
				return err
			}
		}
	}
	return nil
}

// pictures looks at every photo, whether evidence names it or not.
func (v *verification) pictures(int64) error {
	if shapes()["photo"] == nil {
		return nil
	}
	for last := ""; ; v.sum.Photos++ {
		if err := v.view.Renew(); err != nil {
			return err
		}
		var next []string
		if err := v.view.Select(&next, `SELECT sha256 FROM photo WHERE sha256 > ? ORDER BY sha256 LIMIT 1`, last); err != nil || len(next) == 0 {
			return err
		}
		last = next[0]
		p, err := photo(v.view, last, true)
		if err != nil {
			return err
		}
		c := &check{Dossier: &Dossier{Since: v.since}, name: func(string, int64) string { return "" }}
		c.seal(&p.Row)
		picture(&p.Row, p.JPEG, c.say)
		if err := v.all(c.found); err != nil {
			return err
		}
		v.Progress("photos", v.sum.Photos+1, 0)
	}
}

// ledger compares two sets of events, those in the log and those that stories lead to, in constant
// memory: each event adds a random-looking number in one and takes it away in the other. What does not come to
// zero is told apart by its order.
type ledger struct {
	seed  maphash.Seed
	pages [4096]uint64
}

func (l *ledger) page(order int64) *uint64 {
	return &l.pages[maphash.Comparable(l.seed, order)%uint64(len(l.pages))]
}

func (l *ledger) enter(order, seq int64)  { *l.page(order) += maphash.Comparable(l.seed, ^seq) }
func (l *ledger) strike(order, seq int64) { *l.page(order) -= maphash.Comparable(l.seed, ^seq) }

func (l *ledger) suspect(order int64) bool { return *l.page(order) != 0 }

func (l *ledger) open() bool {
	return slices.ContainsFunc(l.pages[:], func(n uint64) bool { return n != 0 })
}

// Anchor is what the log came to up to an event. Kept where the database's keeper cannot reach it, it
// shows a history that was written anew with hashes that fit.
type Anchor struct {
	Seq  int64
	Root [sha256.Size]byte
}

const anchorWord = "doorstep-anchor-1"

// String is the anchor in one line.
func (a Anchor) String() string { return fmt.Sprintf("%s %d %x", anchorWord, a.Seq, a.Root) }

// ParseAnchor is the inverse of String.
func ParseAnchor(line string) (a Anchor, err error) {
	var word, root string
	if n, _ := fmt.Sscan(line, &word, &a.Seq, &root); n == 3 && word == anchorWord && len(root) == 2*len(a.Root) {
		if _, err := hex.Decode(a.Root[:], []byte(root)); err == nil && a.Seq >= 0 {
			return a, nil
		}
	}
	return a, fmt.Errorf("%q is not a line that doorstep audit anchor has printed", line)
}

// root digests the log as it goes by.
type root struct {
	hash.Hash
	seq int64
}

func newRoot() *root { return &root{Hash: sha256.New()} }

func (r *root) add(e *event.Stored) {
	h := e.Kept
	if len(h) == 0 { // from before there were hashes: what it says still counts
		own := e.Hash(nil)
		h = own[:]
	}
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], uint64(e.Seq))
	r.Write(seq[:])
	r.Write(h)
	r.seq = e.Seq
}

func (v *verification) compare(r *root) error {
	if r.seq == v.Anchor.Seq && string(r.Sum(nil)) == string(v.Anchor.Root[:]) {
		return nil
	}
	return v.report(Finding{Table: "event", Row: v.name(ident.Event, v.Anchor.Seq), What: "the log up to here is not the one that the anchor was made of"})
}

// MakeAnchor digests the whole log as it is now.
func MakeAnchor(ctx context.Context, d *db.DB) (Anchor, error) {
	end, err := event.End(ctx, d)
	if err != nil {
		return Anchor{}, err
	}
	v, err := d.View(ctx)
	if err != nil {
		return Anchor{}, err
	}
	defer v.Close()
	r := newRoot()
	for {
		page, err := event.Page(v, r.seq, end, pace)
		if err != nil {
			return Anchor{}, err
		}
		if len(page) == 0 {
			return Anchor{r.seq, [sha256.Size]byte(r.Sum(nil))}, nil
		}
		for i := range page {
			r.add(&page[i])
		}
		if err := v.Renew(); err != nil {
			return Anchor{}, err
		}
	}
}

// inOrder sorts findings, so that the same damage is told in the same words.
func inOrder(found []Finding) []Finding {
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Row, b.Row)) })
	return found
}
