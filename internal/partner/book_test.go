package partner_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/partner"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	ctx  = context.Background()
	noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// town is a book on a fresh database, with what its watchers were told.
type town struct {
	*testing.T
	db    *db.DB
	clock *dbtest.Clock
	book  *partner.Book
	mu    sync.Mutex
	told  []partner.Change
}

func inTown(t *testing.T, f func(*town)) {
	t.Helper()
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) { f(newTown(t, d, clock)) })
}

func newTown(t *testing.T, d *db.DB, clock *dbtest.Clock) *town {
	clock.Set(noon)
	w := &town{T: t, db: d, clock: clock, book: partner.NewBook(d, partner.StandardDefaults())}
	w.book.Watch(func(c partner.Change) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, c)
	})
	return w
}

func (w *town) create(more ...func(*partner.Input)) partner.Store {
	w.Helper()
	s, created, err := w.book.Create(ctx, nairobi(more...))
	if err != nil || !created {
		w.Fatalf("create: %v %v", created, err)
	}
	return s
}

func external(id string) func(*partner.Input) {
	return func(in *partner.Input) { in.ExternalID = &id }
}

func (w *town) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *town) refused(err error, code string) {
	w.Helper()
	if fault.Code(err) != code {
		w.Errorf("got %v, want %s", err, code)
	}
}

func (w *town) tx(f func(tx *db.Tx) error) {
	w.Helper()
	w.must(w.db.InTx(ctx, f))
}

// story is the types of a store's events, oldest first.
func (w *town) story(key int64) []string {
	w.Helper()
	s, err := partner.LoadTx(w.db.Read(ctx), key)
	w.must(err)
	events, err := event.Story(w.db.Read(ctx), s.Chain.Last)
	w.must(err)
	if int64(len(events)) != s.Version {
		w.Errorf("version %d after %d events", s.Version, len(events))
	}
	var types []string
	for _, e := range events {
		if e.Subject != key || e.Store != key {
			w.Errorf("%s is about %d at %d", e.Type, e.Subject, e.Store)
		}
		types = append(types, e.Type)
	}
	return types
}

func (w *town) same(got, want any) {
	w.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(partner.Store{}, event.Chain{})); diff != "" {
		w.Error(diff)
	}
}

func TestTheLifeOfAStore(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.create(external("A-1"), func(in *partner.Input) {
			in.Line1, in.Country, in.OpeningHours = p("Moi Avenue 1"), p("KE"), p("Mo-Sa 08:00-20:00")
		})
		got, err := w.book.Get(ctx, s.Key)
		w.must(err)
		w.same(got, s)
		if !got.OpenAt(noon) || got.OpenAt(noon.Add(24*time.Hour)) {
			w.Error("hours and zone come with the store")
		}
		got, err = w.book.ByExternalID(ctx, "A-1")
		w.must(err)
		w.same(got, s)

		w.clock.Advance(time.Minute)
		s2, err := w.book.Update(ctx, s.Key, partner.Patch{Name: p("New name"), Lat: p(-1.30), OrdersPerSlot: p(3)}, &s.Version)
		w.must(err)
		if s2.Version != 2 || s2.Name != "New name" || s2.Cell == s.Cell || !s2.UpdatedAt.Equal(noon.Add(time.Minute)) || !s2.CreatedAt.Equal(noon) {
			w.Errorf("%+v", s2)
		}
		got, err = w.book.Get(ctx, s.Key)
		w.must(err)
		w.same(got, s2)

		w.must(w.book.Remove(ctx, s.Key, nil))
		_, err = w.book.Get(ctx, s.Key)
		w.refused(err, "not-found")
		_, err = w.book.ByExternalID(ctx, "A-1")
		w.refused(err, "not-found")
		w.refused(w.book.Remove(ctx, s.Key, nil), "not-found")
		gone, err := partner.LoadTx(w.db.Read(ctx), s.Key)
		w.must(err)
		if !gone.Removed || gone.Name != "New name" || gone.AcceptingOrders(noon) {
			w.Errorf("orders of the past still name a removed store: %+v", gone)
		}
		again := w.create(external("A-1"))
		if again.Key == s.Key {
			w.Error("the external id is free, the old row is not")
		}
		w.same(w.story(s.Key), []string{"store.created", "store.updated", "store.removed"})
		var told []string
		for _, c := range w.told {
			told = append(told, fmt.Sprintf("%v v%d %v %q", c.Key == s.Key, c.Version, c.Removed, c.Store.Name))
		}
		w.same(told, []string{`true v1 false "Mama Njeri's shop"`, `true v2 false "New name"`, `true v3 true "New name"`, `false v1 false "Mama Njeri's shop"`})
	})
}

func TestARepeatIsNoSecondStore(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.create(external("A-1"))
		again, created, err := w.book.Create(ctx, nairobi(external("A-1")))
		if err != nil || created || again.Key != s.Key || again.Version != 1 {
			w.Errorf("%+v %v %v", again, created, err)
		}
		_, _, err = w.book.Create(ctx, nairobi(external("A-1"), func(in *partner.Input) { in.ServiceRadiusM = p(999) }))
		w.refused(err, "external-id-taken")

		other := w.create(external("A-2"))
		_, err = w.book.Update(ctx, other.Key, partner.Patch{ExternalID: p("A-1")}, nil)
		w.refused(err, "external-id-taken")
		_, err = w.book.Update(ctx, other.Key, partner.Patch{ExternalID: p("")}, nil)
		w.must(err)
		w.create() // and any number without one
		if len(w.told) != 4 {
			w.Errorf("%d changes told", len(w.told))
		}
	})
}

func TestManyAtOnceMakeOneStore(t *testing.T) {
	inTown(t, func(w *town) {
		var wg sync.WaitGroup
		keys := make([]int64, 30)
		for i := range keys {
			wg.Go(func() {
				s, _, err := w.book.Create(ctx, nairobi(external("A-1")))
				if err != nil {
					w.Error(err)
				}
				keys[i] = s.Key
			})
		}
		wg.Wait()
		if slices.Sort(keys); keys[0] != keys[len(keys)-1] || keys[0] == 0 {
			w.Errorf("%v", keys)
		}
		// and changes at once lose none
		for i := range keys {
			wg.Go(func() {
				if _, err := w.book.Update(ctx, keys[0], partner.Patch{ShelfUnits: p(i + 1)}, nil); err != nil {
					w.Error(err)
				}
			})
		}
		wg.Wait()
		if got := len(w.story(keys[0])); got != 31 {
			w.Errorf("%d events", got)
		}
	})
}

func TestAChangeThatChangesNothingIsNoChange(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.create()
		w.clock.Advance(time.Hour)
		got, err := w.book.Update(ctx, s.Key, partner.Patch{Name: p(" Mama Njeri's shop "), Status: p(partner.Active)}, nil)
		w.must(err)
		w.same(got, s)
		_, err = w.book.Update(ctx, s.Key, partner.Patch{Name: p("x")}, p(int64(7)))
		w.refused(err, "version-mismatch")
		if fault.KindOf(err) != fault.Stale {
			w.Error(err)
		}
		_, err = w.book.Update(ctx, s.Key, partner.Patch{Name: p("")}, nil)
		w.same(pointers(err), []string{"/name required"})
		_, err = w.book.Update(ctx, 12345, partner.Patch{}, nil)
		w.refused(err, "not-found")
		w.same(w.story(s.Key), []string{"store.created"})
	})
}

func TestPauseAndResume(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.create()
		until := noon.Add(time.Hour)
		for range 2 { // a repeat does nothing
			got, err := w.book.Pause(ctx, s.Key, &until)
			w.must(err)
			if got.Version != 2 || got.AcceptingOrders(noon) || !got.AcceptingOrders(until) {
				w.Errorf("%+v", got)
			}
		}
		got, err := w.book.Pause(ctx, s.Key, nil)
		w.must(err)
		if got.Version != 3 || got.AcceptingOrders(until) {
			w.Errorf("until resumed: %+v", got)
		}
		for range 2 {
			got, err = w.book.Resume(ctx, s.Key)
			w.must(err)
			if got.Version != 4 || !got.AcceptingOrders(noon) || got.PausedUntil != nil {
				w.Errorf("%+v", got)
			}
		}
		_, err = w.book.Pause(ctx, s.Key, p(noon))
		w.same(pointers(err), []string{"/until in-past"})
		_, err = w.book.Update(ctx, s.Key, partner.Patch{Status: p(partner.Suspended)}, nil)
		w.must(err)
		_, err = w.book.Resume(ctx, s.Key)
		w.refused(err, "store-suspended")
		_, err = w.book.Pause(ctx, s.Key, nil)
		w.refused(err, "store-suspended")
		w.same(w.story(s.Key), []string{"store.created", "store.paused", "store.paused", "store.resumed", "store.updated"})
	})
}

// openOrder leaves in the tables of package order, which this one may not import, what an order that
// a store has accepted leaves.
func openOrder(tx *db.Tx, store int64, slot time.Time) error {
	order, assignment := tx.NewKey(), tx.NewKey()
	prev, ok, err := partner.ClaimSlot(tx, store, slot, assignment)
	if err != nil || !ok {
		return fmt.Errorf("claim: %v %v", ok, err)
	}
	_, err = tx.Exec(`INSERT INTO orders (key, merchant_key, request_hash, status, status_reason, cancelled_by, lat, lng, cell, mode,
		undeliverable_action, minimum_grade, recipient, details, radius_m, store_key, assignment_key, distance_m, reroutes, attempts,
		grade, link_version, code_tries, last_event, event_count, version, created_at, updated_at)
		VALUES (?, 1, '', 'confirmed', '', '', 0, 0, 0, '', '', '', '{}', '{}', 0, ?, ?, 0, 0, 0, '', 0, 0, 0, 0, 1, 0, 0)`,
		order, store, assignment)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO assignment (key, order_key, store_key, status, reason, rank, score, slot, offered_at, prev_key)
		VALUES (?, ?, ?, 'accepted', '', 1, 0, ?, 0, ?)`, assignment, order, store, slot.UnixMilli(), prev)
	return err
}

func TestAStoreWithOrdersStays(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.create()
		w.tx(func(tx *db.Tx) error { return openOrder(tx, s.Key, noon) })
		w.refused(w.book.Remove(ctx, s.Key, nil), "store-has-open-orders")
		w.tx(func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE orders SET ended_at = 1`)
			return err
		})
		w.must(w.book.Remove(ctx, s.Key, nil))
	})
}

func TestListsGoByKeyAndFilter(t *testing.T) {
	inTown(t, func(w *town) {
		var keys []int64
		for i := range 7 {
			s := w.create(func(in *partner.Input) { in.Lat = p(-1.28 - float64(i%2)*0.3) })
			keys = append(keys, s.Key)
		}
		_, err := w.book.Pause(ctx, keys[1], nil)
		w.must(err)
		_, err = w.book.Pause(ctx, keys[3], p(noon.Add(time.Minute)))
		w.must(err)
		w.must(w.book.Remove(ctx, keys[5], nil))

		list := func(f partner.Filter) (got []int) {
			w.Helper()
			for {
				page, more, err := w.book.List(ctx, f)
				w.must(err)
				for _, s := range page {
					got = append(got, slices.Index(keys, s.Key))
				}
				if !more {
					return got
				}
				f.After = page[len(page)-1].Key
			}
		}
		w.same(list(partner.Filter{Limit: 2}), []int{0, 1, 2, 3, 4, 6})
		w.same(list(partner.Filter{Status: partner.Paused}), []int{1, 3})
		w.clock.Advance(time.Minute)
		w.same(list(partner.Filter{Status: partner.Paused}), []int{1})
		w.same(list(partner.Filter{Status: partner.Active, Limit: 1}), []int{0, 2, 3, 4, 6})
		w.same(list(partner.Filter{Status: partner.Closed}), []int(nil))
		even, err := w.book.Get(ctx, keys[0])
		w.must(err)
		for _, res := range []int{9, 8, 7, 5} {
			cell, err := geo.Parent(even.Cell, res)
			w.must(err)
			if got := list(partner.Filter{Cell: cell}); !slices.Equal(got, []int{0, 2, 4, 6}) {
				w.Errorf("cell of resolution %d: %v", res, got)
			}
		}
		country, err := geo.Parent(even.Cell, 1)
		w.must(err)
		w.same(list(partner.Filter{Cell: country}), []int{0, 1, 2, 3, 4, 6})
		_, _, err = w.book.List(ctx, partner.Filter{Status: "open"})
		w.same(pointers(err), []string{"/status unknown"})

		var each []int
		w.must(w.book.Each(ctx, func(s partner.Store) error {
			each = append(each, slices.Index(keys, s.Key))
			return nil
		}))
		w.same(each, []int{0, 1, 2, 3, 4, 6})
	})
}

func TestAnotherProcessHearsOfChanges(t *testing.T) {
	inTown(t, func(w *town) {
		a, b := w.create(), w.create()
		seen, next, err := w.book.ChangedSince(ctx, 0, 10)
		w.must(err)
		if len(seen) != 2 || seen[0].Key != a.Key || seen[1].Key != b.Key {
			w.Fatalf("%+v", seen)
		}
		_, err = w.book.SetStock(ctx, b.Key, []partner.Count{{SKU: "tea", OnHand: 3}})
		w.must(err)
		w.must(w.book.Remove(ctx, a.Key, nil))
		seen, next, err = w.book.ChangedSince(ctx, next, 1)
		w.must(err)
		if len(seen) != 1 || seen[0].Key != b.Key || seen[0].Removed {
			w.Fatalf("%+v", seen)
		}
		seen, next, err = w.book.ChangedSince(ctx, next, 1)
		w.must(err)
		if len(seen) != 1 || seen[0].Key != a.Key || !seen[0].Removed {
			w.Fatalf("%+v", seen)
		}
		if seen, again, err := w.book.ChangedSince(ctx, next, 1); err != nil || len(seen) != 0 || again != next {
			w.Errorf("%v %d %v", seen, again, err)
		}
	})
}
