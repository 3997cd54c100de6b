package match_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/fault"
	"doorstep/internal/match"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// town is a database with stores and a book that places orders.
type town struct {
	db     *db.DB
	stores *partner.Book
	orders *order.Book
	book   *match.Book
	clock  *dbtest.Clock
}

func newTown(t testing.TB, e db.Engine) *town {
	t.Helper()
	clock := dbtest.NewClock(noon)
	w := &town{db: dbtest.Open(t, e, db.Options{Clock: clock.Now}), clock: clock}
	w.stores, w.orders = partner.NewBook(w.db, partner.StandardDefaults()), order.NewBook(w.db)
	w.book = w.open(t)
	return w
}

func onEachEngine(t *testing.T, f func(t *testing.T, e db.Engine)) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(e), func(t *testing.T) { f(t, e) })
	}
}

func (w *town) open(t testing.TB) *match.Book {
	t.Helper()
	b, err := match.NewBook(context.Background(), w.db, w.stores, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func p[T any](v T) *T { return &v }

func (w *town) store(t testing.TB, in partner.Input) partner.Store {
	t.Helper()
	s, _, err := w.stores.Create(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func draft(at geo.Point) order.Draft {
	return order.Draft{Dropoff: at, Recipient: order.Recipient{Name: "x", Phone: "+254712345678"}, Undeliver: "return"}
}

// oracle is the same decision made slowly: every store looked at, with its own books.
type oracle struct {
	stores []partner.Store
	used   map[string]int
	stock  map[string]int
}

func (o *oracle) choose(d order.Draft, begin time.Time) (best *partner.Store, metres float64) {
	metres = math.Inf(1)
	for i := range o.stores {
		s := &o.stores[i]
		m := geo.DistanceM(d.Dropoff, s.Location)
		switch {
		case m > float64(s.ServiceRadiusM) || d.RadiusM > 0 && m > float64(d.RadiusM):
			continue
		case !s.OpenAt(begin) || !s.AcceptingOrders(begin):
			continue
		case o.used[fmt.Sprint(s.Key, s.SlotAt(begin))] >= s.OrdersPerSlot:
			continue
		case m >= metres:
			continue
		}
		missing := false
		for _, it := range d.Items {
			missing = missing || o.stock[fmt.Sprint(s.Key, it.SKU)] < it.Quantity
		}
		if !missing {
			best, metres = s, m
		}
	}
	if best != nil {
		o.used[fmt.Sprint(best.Key, best.SlotAt(begin))]++
		for _, it := range d.Items {
			o.stock[fmt.Sprint(best.Key, it.SKU)] -= it.Quantity
		}
	}
	return best, metres
}

// A crowded town with hours, slots, shelves and two radii: every answer is what brute force says,
// also for a book that was opened on the database in the middle.
func TestPlacingEqualsBruteForce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e db.Engine) {
		w := newTown(t, e)
		rng := rand.New(rand.NewPCG(7, 11))
		near := func() geo.Point {
			return geo.Point{Lat: -1.29 + rng.NormFloat64()*.02, Lng: 36.8 + rng.NormFloat64()*.02}
		}
		hours := []string{"", "Mo-Su 08:00-20:00", "Mo-Fr 18:00-02:00", "Mo-Su 11:00-13:00,15:00-16:00", "off"}
		o := &oracle{used: map[string]int{}, stock: map[string]int{}}
		for i := range 120 {
			s := w.store(t, partner.Input{Name: p(fmt.Sprint("s", i)), Lat: p(near().Lat), Lng: p(near().Lng), TimeZone: p("Africa/Nairobi"),
				OpeningHours: p(hours[rng.IntN(len(hours))]), ServiceRadiusM: p(500 + rng.IntN(5000)),
				SlotMinutes: p([]int{15, 60, 1440}[rng.IntN(3)]), OrdersPerSlot: p(rng.IntN(6))})
			for _, sku := range []string{"milk", "rice"} {
				n := rng.IntN(6)
				if _, err := w.stores.SetStock(context.Background(), s.Key, []partner.Count{{SKU: sku, OnHand: n}}); err != nil {
					t.Fatal(err)
				}
				o.stock[fmt.Sprint(s.Key, sku)] = n
			}
			o.stores = append(o.stores, s)
		}
		served := 0
		for i := range 600 {
			d := draft(near())
			if rng.IntN(3) == 0 {
				d.RadiusM = 300 + rng.IntN(3000)
			}
			if rng.IntN(2) == 0 {
				d.Items = []order.Item{{SKU: "milk", Quantity: 1 + rng.IntN(2)}, {SKU: "rice", Quantity: 1}}[:1+rng.IntN(2)]
			}
			begin := w.clock.Now()
			if rng.IntN(2) == 0 {
				begin = begin.Add(time.Duration(rng.IntN(48*60)) * time.Minute)
				d.Window = &order.Span{From: begin, To: begin.Add(2 * time.Hour)}
			}
			want, metres := o.choose(d, begin)
			got, err := w.book.Place(context.Background(), 1, d, nil)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case want == nil && got.Store == nil:
			case want == nil || got.Store == nil:
				t.Fatalf("order %d: brute force says %v, got %v (%s)", i, want, got.Store, got.Order.Reason)
			case geo.DistanceM(d.Dropoff, got.Store.Location) != metres:
				t.Fatalf("order %d: brute force goes %.3f m to %s, got %s", i, metres, want.Name, got.Store.Name)
			default:
				served++
			}
			if i == 300 {
				w.book = w.open(t) // a restart: the index comes from the rows
			}
			w.clock.Advance(time.Duration(rng.IntN(4)) * time.Minute)
		}
		if served < 150 {
			t.Errorf("only %d of 600 orders were served: the town is too poor to test anything", served)
		}
		w.findsItsWork(t, o.stores)
		w.shuffle(t, rng)
		w.findsItsWork(t, o.stores)
		if err := w.stores.PurgeSlotUse(context.Background(), w.clock.Now().Add(12*time.Hour)); err != nil {
			t.Fatal(err)
		}
		w.findsItsWork(t, o.stores)
		w.balanced(t)
	})
}

// shuffle cancels and hands on some orders, so that what stores have to do is no longer what they claimed
// in a row.
func (w *town) shuffle(t *testing.T, rng *rand.Rand) {
	t.Helper()
	orders, _, err := w.orders.List(context.Background(), order.Filter{Statuses: []string{"confirmed", "created"}, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range orders {
		switch rng.IntN(3) {
		case 0:
			_, err = w.book.Cancel(context.Background(), o.Key, "cancelled_by_merchant", "merchant")
		case 1:
			_, err = w.book.Reassign(context.Background(), o.Key, 0)
		}
		if err != nil && fault.KindOf(err) != fault.Conflict {
			t.Fatal(err)
		}
	}
}

// findsItsWork holds what each store is told to do, found by walking back over the claims on its slots,
// against a look at all rows.
func (w *town) findsItsWork(t *testing.T, stores []partner.Store) {
	t.Helper()
	ctx := context.Background()
	for _, s := range stores {
		open, _, err := w.orders.List(ctx, order.Filter{Store: s.Key, Statuses: []string{"confirmed", "created"}, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		work, _, err := w.orders.ListAssignments(ctx, order.AssignmentFilter{Store: s.Key, Statuses: []string{"offered", "accepted"}, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		var all, live []int64
		q := w.db.Read(ctx)
		if err := q.Select(&all, `SELECT key FROM orders WHERE store_key = ? AND status IN ('confirmed', 'created') ORDER BY key DESC`, s.Key); err != nil {
			t.Fatal(err)
		}
		if err := q.Select(&live, `SELECT key FROM assignment WHERE store_key = ? AND status IN ('offered', 'accepted') ORDER BY key`, s.Key); err != nil {
			t.Fatal(err)
		}
		if got := keysOf(open, func(o order.Order) int64 { return o.Key }); !slices.Equal(got, all) {
			t.Errorf("%s has the open orders %v and was told %v", s.Name, all, got)
		}
		if got := keysOf(work, func(a order.Assignment) int64 { return a.Key }); !slices.Equal(got, live) {
			t.Errorf("%s has the live assignments %v and was told %v", s.Name, live, got)
		}
	}
}

func keysOf[T any](of []T, key func(T) int64) (out []int64) {
	for _, x := range of {
		out = append(out, key(x))
	}
	return out
}

// balanced holds the counters against the assignments they stand for.
func (w *town) balanced(t *testing.T) {
	t.Helper()
	var off int
	err := w.db.Read(context.Background()).Get(&off, `SELECT count(*) FROM (
		SELECT u.store_key, u.slot FROM slot_use u LEFT JOIN assignment a
			ON a.store_key = u.store_key AND a.slot = u.slot AND a.status IN ('offered', 'accepted', 'completed')
		GROUP BY u.store_key, u.slot, u.used HAVING count(a.key) <> u.used) x`)
	if err != nil || off != 0 {
		t.Errorf("%d slots whose used units are not their assignments (%v)", off, err)
	}
	if err := w.db.Read(context.Background()).Get(&off, `SELECT count(*) FROM stock WHERE reserved > on_hand OR reserved < 0`); err != nil || off != 0 {
		t.Errorf("%d oversold shelves (%v)", off, err)
	}
}

// Two processes on one database: each has its own idea of what is left, the database has the last
// word.
func TestTwoProcessesNeverOverrunTogether(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e db.Engine) {
		w := newTown(t, e)
		s := w.store(t, partner.Input{Name: p("s"), Lat: p(-1.29), Lng: p(36.8), OrdersPerSlot: p(30)})
		if _, err := w.stores.SetStock(context.Background(), s.Key, []partner.Count{{SKU: "milk", OnHand: 20}}); err != nil {
			t.Fatal(err)
		}
		books := []*match.Book{w.open(t), w.open(t)}
		d := draft(geo.Point{Lat: -1.29, Lng: 36.8})
		var mu sync.Mutex
		count := map[string]int{}
		var wg sync.WaitGroup
		for i := range 80 {
			wg.Go(func() {
				d := d
				if i%2 == 0 {
					d.Items = []order.Item{{SKU: "milk", Quantity: 1}}
				}
				got, err := books[i%4/2].Place(context.Background(), 1, d, nil)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				count[string(got.Order.Status)]++
			})
		}
		wg.Wait()
		if count["confirmed"] != 30 {
			t.Errorf("30 units gave %v", count)
		}
		w.balanced(t)
		// What another process does to stores reaches this one.
		if _, err := books[0].Quote(context.Background(), 0, d); err != nil {
			t.Fatal(err)
		}
		other := partner.NewBook(w.db, partner.StandardDefaults())
		if _, _, err := other.Create(context.Background(), partner.Input{Name: p("new"), Lat: p(-1.291), Lng: p(36.8)}); err != nil {
			t.Fatal(err)
		}
		if err := books[0].Refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
		if q, err := books[0].Quote(context.Background(), 0, d); err != nil || q.Store == nil || q.Store.Name != "new" {
			t.Errorf("the other process's store: %+v, %v", q, err)
		}
	})
}

// A failed transaction leaves nothing reserved, in rows or in memory.
func TestAFailureGivesEverythingBack(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e db.Engine) {
		w := newTown(t, e)
		s := w.store(t, partner.Input{Name: p("s"), Lat: p(-1.29), Lng: p(36.8), OrdersPerSlot: p(1)})
		d := draft(geo.Point{Lat: -1.29, Lng: 36.8})
		for range 3 {
			if _, err := w.book.Place(context.Background(), 1, d, func(*db.Tx, match.Placed) error { panic("the answer could not be stored") }); err == nil {
				t.Fatal("a failed order was acknowledged")
			}
		}
		got, err := w.book.Place(context.Background(), 1, d, nil)
		if err != nil || got.Store == nil || got.Store.Key != s.Key {
			t.Errorf("the only unit is gone: %+v %v", got, err)
		}
		w.balanced(t)
	})
}

// What another process changes about a store counts at once, heard of or not.
func TestTheRowsHaveTheLastWord(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e db.Engine) {
		w := newTown(t, e)
		ctx := context.Background()
		s := w.store(t, partner.Input{Name: p("s"), Lat: p(-1.29), Lng: p(36.8), OrdersPerSlot: p(9)})
		next := w.store(t, partner.Input{Name: p("next"), Lat: p(-1.291), Lng: p(36.8), OrdersPerSlot: p(9)})
		d := draft(geo.Point{Lat: -1.29, Lng: 36.8})
		place := func() int64 {
			t.Helper()
			got, err := w.book.Place(ctx, 1, d, nil)
			if err != nil {
				t.Fatal(err)
			}
			return got.Order.Store
		}
		other := partner.NewBook(w.db, partner.StandardDefaults())
		if _, err := other.Update(ctx, s.Key, partner.Patch{OrdersPerSlot: p(1)}, nil); err != nil {
			t.Fatal(err)
		}
		if a, b := place(), place(); a != s.Key || b != next.Key {
			t.Errorf("capacity 1: %d, %d", a, b)
		}
		if _, err := other.Update(ctx, s.Key, partner.Patch{OrdersPerSlot: p(5)}, nil); err != nil {
			t.Fatal(err)
		}
		if err := w.book.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		if a := place(); a != s.Key {
			t.Errorf("capacity 5: %d", a)
		}
		if _, err := other.Pause(ctx, s.Key, nil); err != nil {
			t.Fatal(err)
		}
		if a := place(); a != next.Key {
			t.Errorf("paused: %d", a)
		}
		w.balanced(t)
	})
}

// The index may take a store for full that is not: before an order is turned away, the rows are
// looked at.
func TestNobodyIsTurnedAwayByAStaleIndex(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e db.Engine) {
		w := newTown(t, e)
		ctx := context.Background()
		s := w.store(t, partner.Input{Name: p("s"), Lat: p(-1.29), Lng: p(36.8), OrdersPerSlot: p(1)})
		if _, err := w.stores.SetStock(ctx, s.Key, []partner.Count{{SKU: "milk", OnHand: 1}}); err != nil {
			t.Fatal(err)
		}
		d := draft(geo.Point{Lat: -1.29, Lng: 36.8})
		d.Items = []order.Item{{SKU: "milk", Quantity: 1}}
		here, there := w.book, w.open(t)
		first, err := here.Place(ctx, 1, d, nil)
		if err != nil || first.Store == nil {
			t.Fatal(err)
		}
		waiting, err := here.Place(ctx, 1, d, nil)
		if err != nil || waiting.Order.Reason != "capacity_exceeded" {
			t.Fatalf("%+v %v", waiting.Order, err)
		}
		w.clock.Advance(2 * time.Second)
		if _, err := there.Cancel(ctx, first.Order.Key, "cancelled_by_merchant", "merchant"); err != nil {
			t.Fatal(err)
		}
		if n, err := here.RetryUnassignable(ctx); n != 1 || err != nil {
			t.Errorf("%d found a store after the other process gave it back (%v)", n, err)
		}
		w.balanced(t)
	})
}

// A merchant that never heard the answer may ask again, however late.
func TestARepeatIsAnsweredWhenItsWindowIsOver(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e db.Engine) {
		w := newTown(t, e)
		ctx := context.Background()
		w.store(t, partner.Input{Name: p("s"), Lat: p(-1.29), Lng: p(36.8)})
		d := draft(geo.Point{Lat: -1.29, Lng: 36.8})
		d.ExternalID, d.Window = "A-1", &order.Span{From: noon.Add(time.Hour), To: noon.Add(2 * time.Hour)}
		first, err := w.book.Place(ctx, 1, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(24 * time.Hour)
		again, err := w.book.Place(ctx, 1, d, nil)
		if err != nil || !again.Repeat || again.Order.Key != first.Order.Key {
			t.Errorf("%+v %v", again, err)
		}
		d.ExternalID = "A-2"
		if _, err := w.book.Place(ctx, 1, d, nil); fault.KindOf(err) != fault.Invalid {
			t.Errorf("a new order for a window that is over: %v", err)
		}
	})
}
