package audit_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/audit"
	"doorstep/internal/auth"
	"doorstep/internal/care"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/dropoff"
	"doorstep/internal/match"
	"doorstep/internal/order"
	"doorstep/internal/partner"
	"doorstep/internal/privacy"
)

var noon = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// town is a few stores and what happens to orders there.
type town struct {
	t       testing.TB
	db      *db.DB
	clock   *dbtest.Clock
	stores  *partner.Book
	orders  *order.Book
	match   *match.Book
	dropoff *dropoff.Book
	care    *care.Book
	privacy *privacy.Book

	merchant int64
	shops    []int64
}

func newTown(t testing.TB, d *db.DB, clock *dbtest.Clock) *town {
	t.Helper()
	clock.Set(noon)
	w := &town{t: t, db: d, clock: clock, stores: partner.NewBook(d, partner.StandardDefaults()), orders: order.NewBook(d),
		dropoff: dropoff.NewBook(d), care: care.NewBook(d)}
	w.privacy = privacy.NewBook(d, w.orders, 0)
	secret, _, err := auth.NewBook(d).Create(t.Context(), auth.NewKey{Role: auth.RoleMerchant, MerchantName: "Corner Books"})
	must(t, err)
	who, err := auth.NewBook(d).Authenticate(t.Context(), secret)
	must(t, err)
	w.merchant = who.Merchant
	for i := range 6 {
		s, _, err := w.stores.Create(t.Context(), partner.Input{Name: p(fmt.Sprint("shop ", i)), TimeZone: p("Africa/Nairobi"),
			Lat: p(-1.29 + float64(i)*.002), Lng: p(36.8), AutoAccept: p(i%2 == 0)})
		must(t, err)
		w.shops = append(w.shops, s.Key)
	}
	w.match, err = match.NewBook(t.Context(), d, w.stores, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	must(t, err)
	policy := order.UsualPolicy
	policy.FenceM = 120
	_, err = w.match.Policies().Set(t.Context(), w.merchant, policy, nil)
	must(t, err)
	return w
}

func p[T any](v T) *T { return &v }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// door is where order n goes.
func door(n int) geo.Point { return geo.Point{Lat: -1.29 + float64(n%6)*.002, Lng: 36.801} }

// place takes an order in; what was only offered, the second store that is asked accepts.
func (w *town) place(n int) int64 {
	w.t.Helper()
	out, err := w.match.Place(w.t.Context(), w.merchant, order.Draft{ExternalID: fmt.Sprint("A-", n), Dropoff: door(n), MinimumGrade: "D",
		Recipient: order.Recipient{Name: "Amina", Phone: "+254712345678"}, Undeliver: "redeliver", Instructions: "blue gate"}, nil)
	must(w.t, err)
	if out.Assignment.Status == order.Offered {
		out, err = w.match.Decline(w.t.Context(), out.Assignment.Key, "capacity_exceeded")
		must(w.t, err)
		if out.Assignment.Status == order.Offered {
			_, err = w.match.Accept(w.t.Context(), out.Assignment.Key)
			must(w.t, err)
		}
	}
	return out.Order.Key
}

// snap uploads the photo of order n.
func (w *town) snap(n int) string {
	w.t.Helper()
	p := dropoff.Photo{Width: 16, Height: 16, JPEG: []byte(fmt.Sprint("a picture of parcel ", n)), Look: dropoff.Look(n) << 32}
	p.SHA256 = sha256.Sum256(p.JPEG)
	must(w.t, w.dropoff.SavePhoto(w.t.Context(), 7, p))
	return hex.EncodeToString(p.SHA256[:])
}

// report sends events of an order's attempt, a minute apart.
func (w *town) report(n int, key int64, attempt int, events ...dropoff.Event) {
	w.t.Helper()
	for i := range events {
		w.clock.Advance(time.Minute)
		e := &events[i]
		e.ID, e.Order, e.Attempt, e.OccurredAt = fmt.Sprint("e", attempt, ".", i), key, attempt, w.clock.Now()
		e.Location, e.AccuracyM = p(door(n)), p(8.5)
	}
	results, err := w.dropoff.Record(w.t.Context(), events)
	must(w.t, err)
	for _, r := range results {
		if r.Err != nil {
			w.t.Fatalf("order %d: %v", n, r.Err)
		}
	}
}

// live is an order's whole life, another one for each n.
func (w *town) live(n int) int64 {
	w.t.Helper()
	ctx := w.t.Context()
	key := w.place(n)
	step := func(_ order.Order, err error) {
		w.t.Helper()
		must(w.t, err)
		w.clock.Advance(time.Minute)
	}
	if n%10 == 9 {
		_, err := w.match.Cancel(ctx, key, "cancelled_by_merchant", "merchant")
		must(w.t, err)
		return key
	}
	step(w.care.Message(ctx, key, "is it far?"))
	o, err := w.dropoff.Ready(ctx, key, time.Time{})
	step(o, err)
	scanned, err := w.dropoff.Scan(ctx, []dropoff.Scan{{ID: fmt.Sprint("s", n), Order: key, Store: o.Store, Direction: "in", OccurredAt: w.clock.Now()}})
	must(w.t, err)
	must(w.t, scanned[0].Err)
	step(w.dropoff.PickUp(ctx, key, time.Time{}))
	step(w.dropoff.Depart(ctx, key, time.Time{}))
	if n%10 == 8 {
		return key // on the way
	}
	attempt := 1
	if n%3 == 1 {
		w.report(n, key, 1, dropoff.Event{Type: dropoff.Arrived}, dropoff.Event{Type: dropoff.Failed, Reason: "cannot_access", Note: "the gate is shut"})
		attempt = 2
	}
	w.report(n, key, attempt, dropoff.Event{Type: dropoff.Arrived}, dropoff.Event{Type: dropoff.Placed, PhotoSHA256: w.snap(n)},
		dropoff.Event{Type: dropoff.Signalled, Signal: "bell"}, dropoff.Event{Type: dropoff.SteppedAway, Method: dropoff.ByPhoto, DistanceM: p(2.25)},
		dropoff.Event{Type: dropoff.Completed, Note: "beside the plant"})
	step(w.care.Rate(ctx, key, care.Rating{Delivery: 1 + n%5, Store: 4, Comment: "thank you, Juma"}))
	switch n % 4 {
	case 0:
		step(w.dropoff.RetrievedByCustomer(ctx, key))
	case 1:
		step(w.care.Dispute(ctx, key, "damaged", "the box is open"))
	}
	return key
}

// age lets all orders of the town leave the hot indexes.
func (w *town) age() {
	w.t.Helper()
	w.clock.Advance(8 * 24 * time.Hour)
	_, err := w.orders.Archive(w.t.Context(), w.clock.Now().Add(-7*24*time.Hour))
	must(w.t, err)
}

// verify is what an audit finds, of one order or of all.
func verify(t testing.TB, d *db.DB, o audit.Options) (found []audit.Finding, sum audit.Summary) {
	t.Helper()
	sum, err := audit.Verify(context.Background(), d, o, func(f audit.Finding) error {
		found = append(found, f)
		return nil
	})
	must(t, err)
	return found, sum
}

func wantClean(t testing.TB, d *db.DB) audit.Summary {
	t.Helper()
	found, sum := verify(t, d, audit.Options{})
	for _, f := range found {
		t.Errorf("nothing was changed: %s", f)
	}
	return sum
}

// Orders of every kind, at every stage, archived and erased: nothing is wrong with them.
func TestNothingIsFoundWhereNothingWasChanged(t *testing.T) {
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		w := newTown(t, d, clock)
		var keys []int64
		for n := range 20 {
			keys = append(keys, w.live(n))
			found, sum := verify(t, d, audit.Options{Order: keys[n]})
			for _, f := range found {
				t.Errorf("order %d: %s", n, f)
			}
			if sum.Orders != 1 || sum.Events < 2 {
				t.Errorf("%+v", sum)
			}
		}
		if sum := wantClean(t, d); sum.Orders != 20 || sum.Events < 200 || sum.Photos < 10 {
			t.Errorf("%+v", sum)
		}
		w.age()
		wantClean(t, d)
		for _, n := range []int{0, 2, 4, 9} {
			if _, err := w.privacy.Erase(t.Context(), keys[n]); err != nil {
				t.Fatalf("order %d: %v", n, err)
			}
		}
		wantClean(t, d)
	})
}

// An audit while orders are taken in and delivered takes nothing that is under way for a change.
func TestOrdersUnderWayAreNoFindings(t *testing.T) {
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		w := newTown(t, d, clock)
		ctx, stop := context.WithCancel(t.Context())
		var living sync.WaitGroup
		lived := 0
		living.Go(func() {
			for n := 0; n < 40 || ctx.Err() == nil && n < 400; n++ {
				w.live(n)
				lived++
			}
		})
		for range 8 {
			wantClean(t, d)
		}
		stop()
		living.Wait()
		if sum := wantClean(t, d); int(sum.Orders) != lived {
			t.Errorf("%d orders lived, %+v", lived, sum)
		}
	})
}

var errEnough = errors.New("enough")

func TestAnAuditEndsWhenItsReaderHasEnough(t *testing.T) {
	w := newTown(t, dbtest.Open(t, db.SQLite, db.Options{Clock: dbtest.NewClock(noon).Now}), dbtest.NewClock(noon))
	w.place(1)
	must(t, w.db.InTx(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE orders SET lat = lat + 1`)
		return err
	}))
	if _, err := audit.Verify(t.Context(), w.db, audit.Options{}, func(audit.Finding) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

// An order is sealed as a whole, whether its row is written as most are, without the columns in which it is
// like all others, or not.
func TestAnUnusualOrderIsSealedToo(t *testing.T) {
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		newTown(t, d, clock)
		for _, holder := range []order.Holder{order.HeldByMerchant, order.HeldByRunner} {
			o := order.Order{Key: d.Keys().Next(), Status: order.Created, Mode: order.HandOver, Undeliver: "return", Holder: holder,
				CreatedAt: noon, UpdatedAt: noon, Dispute: map[order.Holder]string{order.HeldByRunner: "open"}[holder]}
			must(t, d.InTx(t.Context(), func(tx *db.Tx) error {
				if err := order.Note(tx, &o, "order.created", time.Time{}, order.Happened{}); err != nil {
					return err
				}
				return order.Insert(tx, &o)
			}))
			back, err := order.Load(d.Read(t.Context()), o.Key)
			must(t, err)
			if back.Holder != holder || back.Dispute != o.Dispute || back.HoldUntil != nil || back.ErasedAt != nil {
				t.Errorf("%+v", back)
			}
		}
		if sum := wantClean(t, d); sum.Orders != 2 {
			t.Errorf("%+v", sum)
		}
	})
}

// BenchmarkVerify is an audit of a database of young orders: what one costs, and that memory is bounded.
func BenchmarkVerify(b *testing.B) {
	clock := dbtest.NewClock(noon)
	w := newTown(b, dbtest.Open(b, db.SQLite, db.Options{Clock: clock.Now}), clock)
	const orders = 10_000
	for n := 0; n < orders; n += 500 {
		drafts := make([]order.Draft, 500)
		for i := range drafts {
			drafts[i] = order.Draft{ExternalID: fmt.Sprint(n + i), Dropoff: door(i), Recipient: order.Recipient{Name: "Amina", Phone: "+254712345678"}, Undeliver: "return"}
		}
		if _, errs := w.match.PlaceAll(b.Context(), w.merchant, drafts); errors.Join(errs...) != nil {
			b.Fatal(errors.Join(errs...))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if sum := wantClean(b, w.db); sum.Orders != orders {
			b.Fatal(sum)
		}
	}
	b.ReportMetric(float64(orders)*float64(b.N)/b.Elapsed().Seconds(), "orders/s")
}

// Orders from before there were hashes are no findings, and what happens to them from then on is chained;
// only what is younger must have a hash and a seal.
func TestOldOrdersLiveOn(t *testing.T) {
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		w := newTown(t, d, clock)
		old := []int64{w.place(0), w.place(1)}
		strip := func(also string) {
			t.Helper()
			must(t, d.InTx(t.Context(), func(tx *db.Tx) error {
				for _, q := range []string{`UPDATE event SET hash = NULL`, `UPDATE orders SET seal = NULL`, `UPDATE assignment SET seal = NULL`,
					`UPDATE merchant_policy SET seal = NULL`, also} {
					if _, err := tx.Exec(q); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		strip(`UPDATE audit_since SET key = (SELECT max(seq) FROM event)`) // as the migration leaves it
		wantClean(t, d)
		young := w.place(2)
		for _, key := range append(old, young) {
			if _, err := w.dropoff.Ready(t.Context(), key, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		wantClean(t, d)
		must(t, d.InTx(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE orders SET lat = lat + 1 WHERE key = ?`, old[0])
			return err
		}))
		if found, _ := verify(t, d, audit.Options{Order: old[0]}); len(found) != 1 || found[0].Table != "orders" {
			t.Errorf("an old order that was sealed since: %v", found)
		}
		strip(`UPDATE orders SET lat = lat - 1 WHERE key = 0`)
		if found, _ := verify(t, d, audit.Options{Order: young}); len(found) < 4 {
			t.Errorf("hashes and seals were taken away: %v", found)
		}
	})
}
