package match_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// An old order leaves the indexes that new ones touch, and nobody who asks for it notices.
func TestAnArchivedOrderIsStillKnown(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e db.Engine) {
		ctx := context.Background()
		w := newTown(t, e)
		orders := order.NewBook(w.db)
		at := geo.Point{Lat: -1.29, Lng: 36.8}
		w.store(t, partner.Input{Name: p("duka"), Lat: p(at.Lat), Lng: p(at.Lng), OrdersPerSlot: p(10_000)})
		place := func(i int, merchant int64) order.Order {
			t.Helper()
			d := draft(at)
			if i >= 0 {
				d.ExternalID = fmt.Sprint("A-", i)
			}
			placed, err := w.book.Place(ctx, merchant, d, nil)
			if err != nil {
				t.Fatal(err)
			}
			return placed.Order
		}
		end := func(o order.Order) {
			t.Helper()
			if _, err := w.book.Cancel(ctx, o.Key, "", "merchant"); err != nil {
				t.Fatal(err)
			}
		}
		// More than one transaction's worth, two merchants with the same ids, one order without an id,
		// and one that is still open.
		var all []order.Order
		for i := range 520 {
			all = append(all, place(i, 1))
			end(all[i])
		}
		other, nameless, open := place(0, 2), place(-1, 1), place(9999, 1)
		end(other)
		end(nameless)

		w.clock.Set(noon.Add(time.Hour))
		if n, err := orders.Archive(ctx, noon); n != 0 || err != nil {
			t.Errorf("%d orders were archived before their time: %v", n, err)
		}
		for _, want := range []int64{522, 0} {
			if any, err := orders.AnyToArchive(ctx, noon.Add(time.Minute)); any != (want > 0) || err != nil {
				t.Errorf("anything to archive: %v, %v", any, err)
			}
			if n, err := orders.Archive(ctx, noon.Add(time.Minute)); n != want || err != nil {
				t.Errorf("archived %d, want %d: %v", n, want, err)
			}
		}
		var hot int64
		if err := w.db.Read(ctx).Get(&hot, `SELECT count(*) FROM orders WHERE external_id IS NOT NULL AND archived_at IS NULL`); err != nil || hot != 1 {
			t.Errorf("%d orders are still in the index: %v", hot, err)
		}

		again := place(7, 1)
		if again.Key != all[7].Key {
			t.Error("the same order again made a new one")
		}
		if o := place(0, 2); o.Key != other.Key {
			t.Error("the other merchant's order is not known by its id")
		}
		d := draft(geo.Point{Lat: -1.2901, Lng: 36.8})
		d.ExternalID = "A-7"
		if _, err := w.book.Place(ctx, 1, d, nil); fault.KindOf(err) != fault.Conflict {
			t.Errorf("another order under a used id: %v", err)
		}
		if o, err := orders.Find(ctx, 1, "A-9999"); err != nil || o.Key != open.Key {
			t.Errorf("the open order: %v", err)
		}
		if o, err := orders.Find(ctx, 1, "A-519"); err != nil || o.Key != all[519].Key || o.ExternalID != "A-519" {
			t.Errorf("an archived order by its external id: %v", err)
		}
		if found, err := orders.FindExternal(ctx, "A-0", 0); err != nil || len(found) != 2 {
			t.Errorf("%d orders have the external id of two merchants: %v", len(found), err)
		}
		if list, _, err := orders.List(ctx, order.Filter{Merchant: 1, Statuses: []string{"cancelled"}, Limit: 1000}); err != nil || len(list) != 521 {
			t.Errorf("%d archived orders in the list: %v", len(list), err)
		}
	})
}
