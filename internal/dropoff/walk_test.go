package dropoff_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/dropoff"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/match"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// The walk does to orders whatever the books offer, right or wrong, at random and from many sides at
// once, while time passes, and holds every order against what must always be true. At its end each
// order that is left goes home by doing what its next step says and nothing else.

const (
	walkSteps   = 100_000
	walkers     = 48
	ordersEach  = 4
	walkPerStep = 20 * time.Second // of the town's time, for each walker
)

var walkStart = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// quarter is a few streets with stores, and everything that can be asked of them.
type quarter struct {
	t      *testing.T
	d      *db.DB
	clock  *dbtest.Clock
	stores *partner.Book
	orders *order.Book
	match  *match.Book
	drops  *dropoff.Book
	shops  []int64
	all    sync.Map // order key -> true

	done, refused atomic.Int64
	acts          sync.Map // what was done with success -> *atomic.Int64
}

func newQuarter(t *testing.T) *quarter {
	t.Helper()
	clock := dbtest.NewClock(walkStart)
	q := &quarter{t: t, clock: clock, d: dbtest.Open(t, db.SQLite, db.Options{Clock: clock.Now})}
	q.stores, q.orders, q.drops = partner.NewBook(q.d, partner.StandardDefaults()), order.NewBook(q.d), dropoff.NewBook(q.d)
	var err error
	if q.match, err = match.NewBook(t.Context(), q.d, q.stores, slog.New(slog.NewTextHandler(io.Discard, nil)), nil); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		name, zone, lat, lng := fmt.Sprintf("shop %d", i), "Africa/Nairobi", -1.29+float64(i)*.001, 36.8
		auto, room, slot := i%2 == 0, 10_000, 60
		if i > 5 { // two small ones, which are full at times
			room = 3
		}
		s, _, err := q.stores.Create(t.Context(), partner.Input{Name: &name, TimeZone: &zone, Lat: &lat, Lng: &lng, AutoAccept: &auto,
			OrdersPerSlot: &room, SlotMinutes: &slot})
		if err != nil {
			t.Fatal(err)
		}
		q.shops = append(q.shops, s.Key)
		if _, err := q.stores.SetStock(t.Context(), s.Key, []partner.Count{{SKU: "tea", OnHand: 400}, {SKU: "milk", OnHand: 20}}); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

// walker goes about with a few orders of its own, and now and then meddles with one of the others'.
type walker struct {
	*quarter
	rng  *rand.Rand
	own  []int64
	n    int
	name string
}

func pick[T any](w *walker, of ...T) T { return of[w.rng.IntN(len(of))] }

func (w *walker) newOrder(ctx context.Context) (int64, error) {
	d := order.Draft{Dropoff: geo.Point{Lat: -1.29 + w.rng.Float64()*.007, Lng: 36.8}, Recipient: order.Recipient{Name: "Amina", Phone: "+254712345678"},
		Undeliver: pick(w, "redeliver", "hold_at_store", "return"), Mode: pick(w, order.LeaveAtDoor, order.LeaveAtDoor, order.HandOver, order.CollectAtStore)}
	if w.rng.IntN(2) == 0 {
		d.Items = []order.Item{{SKU: "tea", Quantity: 1 + w.rng.IntN(3)}}
		if w.rng.IntN(3) == 0 {
			d.Items = append(d.Items, order.Item{SKU: "milk", Quantity: 1})
		}
	} else {
		d.Parcels = []order.Parcel{{WeightG: 800}}
	}
	p, err := w.match.Place(ctx, 1, d, nil)
	if err == nil {
		w.all.Store(p.Order.Key, true)
	}
	return p.Order.Key, err
}

func (w *walker) id() string { w.n++; return w.name + strconv.Itoa(w.n) }

// events is something a phone may say of o, in its place or not.
func (w *walker) events(o *order.Order) []dropoff.Event {
	attempt := max(1, o.Attempts+pick(w, 0, 0, 0, 0, 1, -1))
	e := func(typ string) dropoff.Event {
		return dropoff.Event{ID: w.id(), Order: o.Key, Attempt: attempt, Type: typ, OccurredAt: w.clock.Now().Add(-time.Duration(w.rng.IntN(600)) * time.Second)}
	}
	failed := e(dropoff.Failed)
	failed.Reason = pick(w, "customer_unavailable", "cannot_access", "weather")
	switch w.rng.IntN(6) {
	case 0:
		return []dropoff.Event{e(dropoff.Arrived)}
	case 1:
		return []dropoff.Event{e(dropoff.Arrived), failed}
	case 2:
		return []dropoff.Event{failed}
	case 3:
		return []dropoff.Event{e(dropoff.Completed), e(dropoff.Arrived), e(dropoff.HandedOver)} // shuffled
	case 4:
		return []dropoff.Event{e(dropoff.Placed)}
	}
	return []dropoff.Event{e(dropoff.Arrived), e(dropoff.Placed), e(dropoff.Completed)}
}

func (w *walker) scan(o *order.Order) dropoff.Scan {
	s := dropoff.Scan{ID: w.id(), Order: o.Key, Store: pick(w, w.shops...), Direction: pick(w, dropoff.ScanIn, dropoff.ScanOut), OccurredAt: w.clock.Now()}
	if o.HolderStore != 0 && w.rng.IntN(2) == 0 {
		s.Store = o.HolderStore
	} else if o.Store != 0 && w.rng.IntN(2) == 0 {
		s.Store = o.Store
	}
	if s.Direction == dropoff.ScanOut {
		s.To = pick(w, "", dropoff.ToRunner, dropoff.ToMerchant, dropoff.ToStore)
		if s.To == dropoff.ToStore {
			s.ToStore = pick(w, w.shops...)
			if o.TransferTo != 0 {
				s.ToStore = o.TransferTo
			}
		}
	}
	if w.rng.IntN(8) == 0 { // out of an outbox
		s.OccurredAt = s.OccurredAt.Add(-time.Duration(w.rng.IntN(3600)) * time.Second)
	}
	return s
}

type act struct {
	name string
	do   func(ctx context.Context, w *walker, o *order.Order) error
}

func moving(f func(context.Context, int64, time.Time) (order.Order, error)) func(context.Context, *walker, *order.Order) error {
	return func(ctx context.Context, w *walker, o *order.Order) error {
		at := time.Time{}
		if w.rng.IntN(4) == 0 {
			at = w.clock.Now().Add(-time.Duration(w.rng.IntN(300)) * time.Second)
		}
		_, err := f(ctx, o.Key, at)
		return err
	}
}

// acts are all that may be asked of an order.
func (q *quarter) actsOf() []act {
	placed := func(_ match.Placed, err error) error { return err }
	some := func(_ order.Order, err error) error { return err }
	d := q.drops
	return []act{
		{"accept", func(ctx context.Context, w *walker, o *order.Order) error {
			return placed(w.match.Accept(ctx, o.Assignment))
		}},
		{"accept", func(ctx context.Context, w *walker, o *order.Order) error {
			return placed(w.match.Accept(ctx, o.Assignment))
		}},
		{"decline", func(ctx context.Context, w *walker, o *order.Order) error {
			return placed(w.match.Decline(ctx, o.Assignment, "store_closed"))
		}},
		{"release", func(ctx context.Context, w *walker, o *order.Order) error {
			return placed(w.match.Release(ctx, o.Assignment, "store_closed"))
		}},
		{"reassign", func(ctx context.Context, w *walker, o *order.Order) error {
			return placed(w.match.Reassign(ctx, o.Key, pick(w, append([]int64{0}, w.shops...)...)))
		}},
		{"cancel", func(ctx context.Context, w *walker, o *order.Order) error {
			if w.rng.IntN(4) > 0 {
				return nil
			}
			return placed(w.match.Cancel(ctx, o.Key, "cancelled_by_merchant", "merchant"))
		}},
		{"ready", moving(d.Ready)}, {"ready", moving(d.Ready)}, {"pick-up", moving(d.PickUp)}, {"pick-up", moving(d.PickUp)},
		{"hand-back", moving(d.HandBack)}, {"depart", moving(d.Depart)}, {"depart", moving(d.Depart)}, {"receive", moving(d.Receive)},
		{"return", moving(d.Return)}, {"returned", moving(d.Returned)},
		{"collect", func(ctx context.Context, w *walker, o *order.Order) error {
			return some(w.drops.Collect(ctx, o.Key, pick(w, o.CollectionCode(w.d.Names()), "123456"), time.Time{}))
		}},
		{"events", report}, {"events", report}, {"events", report}, {"events", report},
		{"scan", scanSome}, {"scan", scanSome}, {"scan", scanSome}, {"scan", scanSome},
		{"retrieved", func(ctx context.Context, w *walker, o *order.Order) error {
			return some(w.drops.RetrievedByCustomer(ctx, o.Key))
		}},
		{"transfer", func(ctx context.Context, w *walker, o *order.Order) error {
			return some(w.drops.Transfer(ctx, o.Key, pick(w, w.shops...), ""))
		}},
		{"lost", func(ctx context.Context, w *walker, o *order.Order) error {
			if w.rng.IntN(10) > 0 {
				return nil
			}
			return some(w.drops.Lost(ctx, o.Key, "dispatcher"))
		}},
		{"extend-hold", func(ctx context.Context, w *walker, o *order.Order) error {
			return some(w.drops.ExtendHold(ctx, o.Key, w.rng.IntN(2) == 0))
		}},
		{"hold-to", func(ctx context.Context, w *walker, o *order.Order) error {
			return some(w.drops.HoldTo(ctx, o.Key, w.clock.Now().Add(time.Duration(w.rng.IntN(40*24))*time.Hour)))
		}},
		{"instructions", func(ctx context.Context, w *walker, o *order.Order) error {
			return some(w.orders.SetInstructions(ctx, o.Key, "ring twice", pick(w, "", order.LeaveAtDoor, order.HandOver, order.CollectAtStore)))
		}},
		{"a week passes", func(ctx context.Context, w *walker, _ *order.Order) error {
			if w.rng.IntN(20) == 0 {
				w.clock.Advance(time.Duration(w.rng.IntN(36)) * time.Hour)
			}
			return nil
		}},
		{"jobs", func(ctx context.Context, w *walker, _ *order.Order) error {
			if w.rng.IntN(4) > 0 {
				return nil
			}
			return w.jobs(ctx)
		}},
		{"shop", func(ctx context.Context, w *walker, _ *order.Order) error {
			if w.rng.IntN(10) > 0 {
				return nil
			}
			return w.restock(ctx, pick(w, w.shops...))
		}},
	}
}

// slip takes back, or corrects, something that was said of o's last attempt.
func (w *walker) slip(ctx context.Context, o *order.Order) ([]dropoff.Event, error) {
	attempts, err := w.drops.Attempts(ctx, o.Key)
	if err != nil || len(attempts) == 0 {
		return nil, err
	}
	said := attempts[len(attempts)-1].Events
	if len(said) == 0 {
		return nil, nil
	}
	x := pick(w, said...)
	e := dropoff.Event{ID: w.id(), Order: o.Key, Attempt: x.Attempt, Type: dropoff.Withdrawn, Supersedes: x.ID,
		OccurredAt: x.OccurredAt.Add(time.Duration(w.rng.IntN(40)) * time.Second)}
	if w.rng.IntN(3) == 0 {
		e.Note, e.Network = "it was the next door", w.rng.IntN(2) == 0
	}
	return []dropoff.Event{e}, nil
}

func report(ctx context.Context, w *walker, o *order.Order) error {
	events := w.events(o)
	if w.rng.IntN(5) == 0 {
		slips, err := w.slip(ctx, o)
		if err != nil {
			return err
		}
		if len(slips) > 0 {
			events = slips
		}
	}
	results, err := w.drops.Record(ctx, events)
	if err != nil {
		return fmt.Errorf("a batch was not answered one by one: %v", err)
	}
	for _, r := range results {
		if r.Result == dropoff.Recorded {
			return nil
		}
		err = r.Err
	}
	return err
}

func scanSome(ctx context.Context, w *walker, o *order.Order) error {
	s := w.scan(o)
	scans := []dropoff.Scan{s}
	if w.rng.IntN(4) == 0 {
		scans = append(scans, s)
	}
	results, err := w.drops.Scan(ctx, scans)
	if err != nil {
		return fmt.Errorf("scans were not answered one by one: %v", err)
	}
	if len(results) == 2 && results[0].Result == dropoff.Recorded && results[1].Result != dropoff.Duplicate {
		return fmt.Errorf("the same scan twice was %s and then %s", results[0].Result, results[1].Result)
	}
	return results[0].Err
}

func (q *quarter) jobs(ctx context.Context) error {
	if _, err := q.match.ExpireDue(ctx); err != nil {
		return err
	}
	if _, err := q.match.RetryUnassignable(ctx); err != nil {
		return err
	}
	if _, err := q.drops.EndHolds(ctx); err != nil {
		return err
	}
	_, err := q.drops.TellOverdue(ctx)
	return err
}

func (q *quarter) restock(ctx context.Context, shop int64) error {
	lines, err := q.stores.Stock(ctx, shop)
	if err != nil {
		return err
	}
	reserved := map[string]int{}
	for _, l := range lines {
		reserved[l.SKU] = l.Reserved
	}
	_, err = q.stores.SetStock(ctx, shop, []partner.Count{{SKU: "tea", OnHand: reserved["tea"] + 100}, {SKU: "milk", OnHand: reserved["milk"] + 3}})
	return err
}

// step is one thing done to one order, and a look at what became of it.
func (w *walker) step(ctx context.Context, acts []act) error {
	i := w.rng.IntN(len(w.own))
	key := w.own[i]
	o, err := w.orders.Get(ctx, key)
	if err != nil {
		return err
	}
	if o.Status.Terminal() && w.rng.IntN(6) == 0 {
		w.own[i], err = w.newOrder(ctx)
		return err
	}
	if w.rng.IntN(20) == 0 { // somebody else's
		w.all.Range(func(k, _ any) bool { key = k.(int64); return w.rng.IntN(8) > 0 })
		if o, err = w.orders.Get(ctx, key); err != nil {
			return err
		}
	}
	w.clock.Advance(walkPerStep / walkers)
	a := pick(w, acts...)
	switch err := a.do(ctx, w, &o); {
	case err == nil:
		w.done.Add(1)
		n, _ := w.acts.LoadOrStore(a.name, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	case fault.As(err) == nil || fault.KindOf(err) == fault.Unavailable:
		return fmt.Errorf("%s of an order that is %s, held by %s: %w", a.name, o.Status, o.Holder, err)
	default:
		w.refused.Add(1)
	}
	if o, err = w.orders.Get(ctx, key); err != nil {
		return err
	}
	if wrong := rightRow(&o); wrong != "" {
		return fmt.Errorf("after %s: %s", a.name, wrong)
	}
	return nil
}

// rightRow is what is always true of an order's row.
func rightRow(o *order.Order) string {
	if wrong := o.CheckCustody(); wrong != "" {
		return wrong
	}
	s := order.NextStep(o, order.UsualPolicy)
	switch back := o.Status == order.Cancelled && (o.Holder == order.HeldByStore || o.Holder == order.HeldByRunner); {
	case s == nil && !o.Status.Terminal():
		return fmt.Sprintf("nothing is to be done about an order that is %s", o.Status)
	case s != nil && o.Status.Terminal() && !back:
		return fmt.Sprintf("an order that is %s asks for %s", o.Status, s.Do)
	}
	if waits := o.Status == order.ReceivedAtStore; waits != (o.HoldDue != nil) || waits && o.HoldUntil == nil {
		return fmt.Sprintf("an order that is %s is kept until %v and looked at %v", o.Status, o.HoldUntil, o.HoldDue)
	}
	return ""
}

// rightStory is what is always true of an order's log, assignments and attempts.
func (q *quarter) rightStory(ctx context.Context, key int64) error {
	return q.d.InTx(ctx, func(tx *db.Tx) error {
		o, err := order.Lock(tx, key) // nobody changes it while its other rows are looked at
		if err != nil {
			return err
		}
		if err := replay(tx, tx.Names(), &o); err != nil {
			return err
		}
		as, err := order.Assignments(tx, key)
		if err != nil {
			return err
		}
		live := 0
		for _, a := range as {
			if a.Status != order.Offered && a.Status != order.Accepted {
				continue
			}
			live++
			if a.Key != o.Assignment || a.Store != o.Store {
				return fmt.Errorf("the live assignment is not the order's own")
			}
		}
		want := 1
		if o.Status.Terminal() || o.Assignment == 0 {
			want = 0
		}
		if live != want || o.Assignment == 0 && o.Status != order.Unassignable && o.Status != order.Cancelled {
			return fmt.Errorf("an order that is %s has %d live assignments", o.Status, live)
		}
		var n []int
		if err := tx.Select(&n, `SELECT n FROM attempt WHERE order_key = ? ORDER BY n`, key); err != nil {
			return err
		}
		for i := range n {
			if n[i] != i+1 {
				return fmt.Errorf("the attempts are %v", n)
			}
		}
		if len(n) != o.Attempts {
			return fmt.Errorf("%d attempts are counted and %d are there", o.Attempts, len(n))
		}
		return nil
	})
}

// replay walks custody through the log: it must end where the row says.
func replay(q db.Queryer, names *ident.Names, o *order.Order) error {
	story, err := event.Story(q, o.Chain.Last)
	if err != nil {
		return err
	}
	if int64(len(story)) != o.Chain.Count {
		return fmt.Errorf("the log has %d events, the order counts %d", len(story), o.Chain.Count)
	}
	at, store := string(order.HeldByMerchant), ""
	for _, e := range story {
		if e.Type != "custody.moved" {
			continue
		}
		var m struct {
			From      string `json:"from"`
			FromStore string `json:"from_store_id"`
			To        string `json:"to"`
			Store     string `json:"store_id"`
			Cause     string `json:"cause"`
		}
		if err := json.Unmarshal(e.Data, &m); err != nil {
			return err
		}
		// Off the counter of a store that is not the order's, a parcel comes by a scan there, or is found by one.
		byMove := !slices.Contains([]string{"scan", "lost", "returned", "created", "cancelled"}, m.Cause)
		if from, ok := names.Parse(ident.Store, m.FromStore); ok && byMove && from != e.Store {
			return fmt.Errorf("%s took the parcel from store %d, and the order was store %d's", m.Cause, from, e.Store)
		}
		if m.From != at || m.FromStore != store {
			return fmt.Errorf("the log moves the parcel from %s %s, and %s %s had it", m.From, m.FromStore, at, store)
		}
		at, store = m.To, m.Store
	}
	if at != string(o.Holder) || (store != "") != (o.HolderStore != 0) {
		return fmt.Errorf("the log ends with %s %s, the row says %s %d", at, store, o.Holder, o.HolderStore)
	}
	return nil
}

// rightShelves compares what is reserved and claimed with the orders that need it.
func (q *quarter) rightShelves(ctx context.Context) error {
	return q.d.InTx(ctx, func(tx *db.Tx) error {
		type row struct {
			Store int64 `db:"store_key"`
			SKU   string
			N     int
		}
		var keys []int64
		if err := tx.Select(&keys, `SELECT key FROM orders WHERE status IN ('created', 'unassignable', 'confirmed', 'ready_for_pickup') AND store_key <> 0`); err != nil {
			return err
		}
		want := map[string]int{}
		for _, key := range keys {
			o, err := order.Load(tx, key)
			if err != nil {
				return err
			}
			for _, it := range o.Details.Items {
				want[fmt.Sprint(o.Store, it.SKU)] += it.Quantity
			}
		}
		var shelf []row
		if err := tx.Select(&shelf, `SELECT store_key, sku, reserved AS n FROM stock`); err != nil {
			return err
		}
		for _, r := range shelf {
			if r.N != want[fmt.Sprint(r.Store, r.SKU)] {
				return fmt.Errorf("store %d has %d of %s reserved for orders of %d", r.Store, r.N, r.SKU, want[fmt.Sprint(r.Store, r.SKU)])
			}
		}
		var over []int64
		if err := tx.Select(&over, `SELECT u.store_key FROM slot_use u JOIN store s ON s.key = u.store_key WHERE u.used > s.orders_per_slot`); err != nil {
			return err
		}
		if len(over) > 0 {
			return fmt.Errorf("stores %v have more orders in a slot than room", over)
		}
		return nil
	})
}

func TestNoWalkLosesAParcel(t *testing.T) {
	q := newQuarter(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := time.Now()
	acts := q.actsOf()
	var wg sync.WaitGroup
	var steps atomic.Int64
	limit := int64(walkSteps)
	if testing.Short() {
		limit /= 10
	}
	for n := range walkers {
		w := &walker{quarter: q, rng: rand.New(rand.NewPCG(20261123, uint64(n))), name: fmt.Sprintf("w%d-", n)}
		wg.Go(func() {
			for range ordersEach {
				key, err := w.newOrder(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				w.own = append(w.own, key)
			}
			for s := steps.Add(1); s <= limit && ctx.Err() == nil; s = steps.Add(1) {
				err := w.step(ctx, acts)
				if err == nil && s%5_000 == 0 {
					err = q.rightShelves(ctx)
				}
				if err == nil && s%50 == 0 {
					err = q.rightStory(ctx, w.own[w.rng.IntN(len(w.own))])
				}
				if err != nil && ctx.Err() == nil {
					t.Errorf("step %d: %v", s, err)
					cancel()
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	walked := time.Since(began)
	q.everybodyHome(t.Context())
	t.Logf("%d steps in %s (%d taken, %d refused), all home after %s: %s", limit, walked.Round(time.Millisecond), q.done.Load(), q.refused.Load(),
		time.Since(began).Round(time.Millisecond), q.summary())
}

// summary says how often what was done, and how the orders ended.
func (q *quarter) summary() string {
	var out []string
	q.acts.Range(func(k, v any) bool { out = append(out, fmt.Sprintf("%s %d", k, v.(*atomic.Int64).Load())); return true })
	var ends []struct {
		Status string
		Holder string
		N      int
	}
	_ = q.d.Read(q.t.Context()).Select(&ends, `SELECT status, holder, count(*) AS n FROM orders GROUP BY status, holder`)
	for _, e := range ends {
		out = append(out, fmt.Sprintf("%s by %s %d", e.Status, e.Holder, e.N))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// everybodyHome brings every order to its end by doing what its next step says.
func (q *quarter) everybodyHome(ctx context.Context) {
	w := &walker{quarter: q, rng: rand.New(rand.NewPCG(1, 1)), name: "home-"}
	for _, shop := range q.shops {
		if err := q.restock(ctx, shop); err != nil {
			q.t.Fatal(err)
		}
	}
	n := 0
	q.all.Range(func(k, _ any) bool {
		n++
		if err := w.home(ctx, k.(int64)); err != nil {
			q.t.Error(err)
		}
		if err := q.rightStory(ctx, k.(int64)); err != nil {
			q.t.Errorf("order %d: %v", k, err)
		}
		return !q.t.Failed()
	})
	if err := q.rightShelves(ctx); err != nil {
		q.t.Error(err)
	}
	var open int
	if err := q.d.Read(ctx).Get(&open, `SELECT count(*) FROM orders WHERE ended_at IS NULL OR holder IN ('store', 'runner')`); err != nil {
		q.t.Fatal(err)
	}
	if open > 0 || n < 100 {
		q.t.Errorf("of %d orders %d are not at their end", n, open)
	}
}

func (w *walker) home(ctx context.Context, key int64) error {
	var did []string
	for range 40 {
		o, err := w.orders.Get(ctx, key)
		if err != nil {
			return err
		}
		if wrong := rightRow(&o); wrong != "" {
			return fmt.Errorf("order %d: %s", key, wrong)
		}
		s := order.NextStep(&o, order.UsualPolicy)
		if s == nil {
			return nil
		}
		did = append(did, s.Do)
		w.clock.Advance(time.Second)
		if err := w.follow(ctx, &o, s); err != nil {
			return fmt.Errorf("order %d, %s, held by %s: %v: %w", key, o.Status, o.Holder, did, err)
		}
	}
	return fmt.Errorf("order %d goes in circles: %v", key, did)
}

// follow does what a step says, as the one it is for.
func (w *walker) follow(ctx context.Context, o *order.Order, s *order.Step) error {
	one := func(_ order.Order, err error) error { return err }
	scan := func(store int64, direction, to string, toStore int64) error {
		r, err := w.drops.Scan(ctx, []dropoff.Scan{{ID: w.id(), Order: o.Key, Store: store, Direction: direction, To: to, ToStore: toStore, OccurredAt: w.clock.Now()}})
		if err != nil {
			return err
		}
		return r[0].Err
	}
	now := time.Time{}
	switch s.Do {
	case order.DoAnswer:
		if _, err := w.match.Accept(ctx, o.Assignment); err != nil { // too late
			_, err = w.match.ExpireDue(ctx)
			return err
		}
		return nil
	case order.DoAssign:
		if err := w.restock(ctx, w.shops[0]); err != nil { // those before may have taken all the milk
			return err
		}
		_, err := w.match.Reassign(ctx, o.Key, w.shops[0])
		return err
	case order.DoPack:
		return one(w.drops.Ready(ctx, o.Key, now))
	case order.DoReceive:
		return one(w.drops.Receive(ctx, o.Key, now))
	case order.DoPickUp:
		return one(w.drops.PickUp(ctx, o.Key, now))
	case order.DoDepart, order.DoRedeliver:
		return one(w.drops.Depart(ctx, o.Key, now))
	case order.DoArrive:
		return w.say(ctx, o, dropoff.Arrived)
	case order.DoFinish:
		return w.say(ctx, o, dropoff.HandedOver, dropoff.Completed)
	case order.DoBring:
		to := s.To
		if to == 0 {
			to = w.shops[0]
		}
		return scan(to, dropoff.ScanIn, "", 0)
	case order.DoForward:
		return scan(s.Store, dropoff.ScanOut, dropoff.ToStore, s.To)
	case order.DoUnlock:
		return one(w.drops.UnlockCode(ctx, o.Key))
	case order.DoCollect:
		return one(w.drops.Collect(ctx, o.Key, o.CollectionCode(w.d.Names()), now))
	case order.DoReturn:
		return one(w.drops.Return(ctx, o.Key, now))
	case order.DoSendBack:
		return scan(s.Store, dropoff.ScanOut, dropoff.ToMerchant, 0)
	case order.DoGiveBack:
		return one(w.drops.Returned(ctx, o.Key, now))
	}
	return fmt.Errorf("nobody knows how to %s", s.Do)
}

func (w *walker) say(ctx context.Context, o *order.Order, types ...string) error {
	var events []dropoff.Event
	for _, typ := range types {
		events = append(events, dropoff.Event{ID: w.id(), Order: o.Key, Attempt: o.Attempts, Type: typ, OccurredAt: w.clock.Now()})
	}
	results, err := w.drops.Record(ctx, events)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}
