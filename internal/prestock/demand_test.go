package prestock_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/job"
	"doorstep/internal/order"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// past is demand as it counts: "SKU shop day" -> units and hours without goods.
func (w *town) past() map[string][2]float64 {
	w.Helper()
	var rows []struct {
		SKU      string
		Store    int64 `db:"store_key"`
		Cell     int64
		Day      int64
		Units    float64
		Stockout float64 `db:"stockout_hours"`
	}
	w.must(w.db.Read(ctx).Select(&rows, `SELECT sku, store_key, cell, day, units, stockout_hours FROM demand`))
	got := map[string][2]float64{}
	for _, r := range rows {
		place := geo.Cell(r.Cell).String()
		for i, s := range w.shops {
			if s.Key == r.Store {
				place = fmt.Sprint(i)
			}
		}
		day := time.Unix(r.Day*86400, 0).UTC().Format(time.DateOnly)
		got[r.SKU+" "+place+" "+day] = [2]float64{r.Units, math.Round(r.Stockout*1000) / 1000}
	}
	return got
}

func (w *town) isPast(want map[string][2]float64) {
	w.Helper()
	if diff := gocmp.Diff(want, w.past()); diff != "" {
		w.Fatal(diff)
	}
}

func (w *town) fold(want prestock.Folded) {
	w.Helper()
	got, err := w.book.FoldDemand(ctx)
	w.must(err)
	if got != want {
		w.Fatalf("%+v, expected %+v", got, want)
	}
}

// sold keeps an order as it stands at the end, made at the present moment.
func (w *town) sold(store int64, change func(*db.Tx, *order.Order), items ...order.Item) {
	w.Helper()
	w.must(w.db.InTx(ctx, func(tx *db.Tx) error {
		o := order.Draft{Items: items, Dropoff: geo.Point{Lat: -1.30, Lng: 36.78}}.New(tx.NewKey(), 1, w.shops[0].Cell, tx.Now())
		o.CreatedAt = tx.Now()
		if err := order.Note(tx, &o, "order.created", time.Time{}, order.Happened{}); err != nil {
			return err
		}
		o.Status, o.Store = order.Delivered, store
		if change != nil {
			change(tx, &o)
		}
		return order.Insert(tx, &o)
	}))
}

func in(zone, hours string) func(*partner.Input) {
	return func(in *partner.Input) {
		in.TimeZone, in.OpeningHours = &zone, &hours
		if zone == "America/New_York" {
			lat, lng := 40.7, -74.0
			in.Lat, in.Lng = &lat, &lng
		}
	}
}

func (w *town) shopIn(change func(*partner.Input)) partner.Store {
	w.Helper()
	s := w.shop(0)
	var p partner.Patch
	change(&p)
	s, err := w.stores.Update(ctx, s.Key, p, nil)
	w.must(err)
	w.shops[len(w.shops)-1] = s
	return s
}

func TestOrdersBecomeDemand(t *testing.T) {
	inTown(t, func(w *town) {
		a, b := w.shop(0), w.shopIn(in("America/New_York", ""))
		milk := func(n int) order.Item { return order.Item{SKU: "milk", Quantity: n} }
		status := func(s order.Status, reason string) func(*db.Tx, *order.Order) {
			return func(_ *db.Tx, o *order.Order) { o.Status, o.Reason = s, reason }
		}
		w.clock.Set(time.Date(2026, 11, 2, 20, 59, 0, 0, time.UTC)) // 23:59 in Nairobi, 15:59 in New York
		w.sold(a.Key, nil, milk(2), order.Item{SKU: "tea", Quantity: 1})
		w.sold(b.Key, nil, milk(5))
		w.sold(a.Key, nil) // parcels only
		w.clock.Advance(time.Minute)
		w.sold(a.Key, status(order.Confirmed, ""), milk(3), milk(4)) // open, and wanted
		w.sold(a.Key, status(order.Returned, "customer_unavailable"), milk(10))
		w.sold(a.Key, status(order.Cancelled, "cancelled_by_merchant"), milk(100))
		w.sold(0, status(order.Unassignable, "capacity_exceeded"), milk(200))
		w.sold(0, status(order.Unassignable, "store_out_of_stock"), milk(20))
		for _, reason := range []string{"store_out_of_stock", "out_of_range"} {
			w.sold(0, func(tx *db.Tx, o *order.Order) {
				o.Status = order.Created
				w.must(order.Move(tx, o, order.Unassignable, time.Time{}, order.Happened{Reason: reason}))
				w.must(order.Move(tx, o, order.Cancelled, time.Time{}, order.Happened{Reason: "cancelled_by_merchant"}))
			}, milk(40))
		}
		w.fold(prestock.Folded{}) // too young: half of them may be called off yet
		w.isPast(map[string][2]float64{})
		w.clock.Advance(2*time.Hour - time.Second)
		w.fold(prestock.Folded{Orders: 3})
		first := map[string][2]float64{"milk 0 2026-11-02": {2}, "tea 0 2026-11-02": {1}, "milk 1 2026-11-02": {5}}
		w.isPast(first)
		w.clock.Advance(time.Second)
		w.fold(prestock.Folded{Orders: 7})
		cell, err := geo.Parent(a.Cell, geo.DemandRes)
		w.must(err)
		first["milk 0 2026-11-03"] = [2]float64{17}
		first["milk "+cell.String()+" 2026-11-03"] = [2]float64{60}
		w.isPast(first)
		w.fold(prestock.Folded{})
		w.isPast(first)
	})
}

// One order that cannot be read keeps none of those behind it from being counted.
func TestAnUnreadableOrderIsPassedOver(t *testing.T) {
	inTown(t, func(w *town) {
		a, milk := w.shop(0), order.Item{SKU: "milk", Quantity: 2}
		w.sold(a.Key, nil, milk)
		w.must(w.db.InTx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE orders SET details = '{'`)
			return err
		}))
		w.clock.Advance(time.Minute)
		w.sold(a.Key, nil, milk)
		w.clock.Advance(3 * time.Hour)
		w.fold(prestock.Folded{Orders: 2, Unreadable: 1})
		w.fold(prestock.Folded{})
	})
}

// Where a store near by carries the goods, its hours without them say what was not to be had; to count the
// orders as well would count twice.
func TestAWishForWhatAShelfHasHad(t *testing.T) {
	inTown(t, func(w *town) {
		near := w.shop(0)
		lat, zone := -1.5, "Africa/Nairobi" // 22 km away
		far, _, err := w.stores.Create(ctx, partner.Input{Name: new("far"), TimeZone: &zone, Lat: &lat, Lng: new(36.78)})
		w.must(err)
		has := func(store int64, sku string) {
			w.Helper()
			_, err := w.stores.SetStock(ctx, store, counts(sku, 1))
			w.must(err)
		}
		has(near.Key, "tea")
		has(far.Key, "milk")
		w.sold(0, func(_ *db.Tx, o *order.Order) { o.Status, o.Reason = order.Unassignable, "store_out_of_stock" },
			order.Item{SKU: "milk", Quantity: 3}, order.Item{SKU: "tea", Quantity: 5})
		w.clock.Advance(3 * time.Hour)
		w.fold(prestock.Folded{Orders: 1})
		up, err := geo.Parent(near.Cell, geo.DemandRes)
		w.must(err)
		w.isPast(map[string][2]float64{"milk " + up.String() + " 2026-11-02": {3}})
	})
}

// A wish in a cell without a store is of the day that the sun shows there.
func TestAWishWhereNoStoreIs(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(0)
		w.clock.Set(time.Date(2026, 11, 2, 15, 30, 0, 0, time.UTC))
		tokyo := geo.Point{Lat: 35.68, Lng: 139.77} // 0:49 by the sun
		cell, err := geo.CellOf(tokyo, geo.MatchRes)
		w.must(err)
		w.sold(0, func(_ *db.Tx, o *order.Order) {
			o.Status, o.Reason, o.Dropoff, o.Cell = order.Unassignable, "store_out_of_stock", tokyo, cell
		}, order.Item{SKU: "milk", Quantity: 3})
		w.clock.Advance(3 * time.Hour)
		w.fold(prestock.Folded{Orders: 1})
		up, err := geo.Parent(cell, geo.DemandRes)
		w.must(err)
		w.isPast(map[string][2]float64{"milk " + up.String() + " 2026-11-03": {3}})
	})
}

// A file knows the whole day of a place, also the orders that came through here.
func TestAFileCountsAlone(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.shop(0)
		load := func(file string, want partner.ImportResult) {
			w.Helper()
			for _, dry := range []bool{true, false} {
				got, err := w.book.ImportDemand(ctx, strings.NewReader(file), prestock.DemandOptions{DryRun: dry})
				w.must(err)
				want.DryRun = dry
				if diff := gocmp.Diff(want, got); diff != "" {
					w.Fatal(diff)
				}
			}
		}
		sell := func() {
			w.Helper()
			w.sold(s.Key, nil, order.Item{SKU: "milk", Quantity: 5})
			w.clock.Advance(2 * time.Hour)
			w.fold(prestock.Folded{Orders: 1})
		}
		const known, bare = "date,external_id,sku,units,stockout_hours\n2026-11-02,s0,milk,30,4\n", "date,external_id,sku,units\n2026-11-02,s0,milk,31\n"
		sell()
		w.isPast(map[string][2]float64{"milk 0 2026-11-02": {5}})
		load(known, partner.ImportResult{Updated: 1})
		w.isPast(map[string][2]float64{"milk 0 2026-11-02": {30, 4}})
		load(known, partner.ImportResult{Unchanged: 1})
		sell()
		w.isPast(map[string][2]float64{"milk 0 2026-11-02": {30, 4}})
		load(bare, partner.ImportResult{Updated: 1}) // says nothing of hours any more: what was seen counts
		w.isPast(map[string][2]float64{"milk 0 2026-11-02": {31, 0}})
		load(bare, partner.ImportResult{Unchanged: 1})
	})
}

// Whichever comes first, files, orders, stock-outs or the job: the same demand comes out.
func TestDemandDoesNotDependOnTheOrderOfThings(t *testing.T) {
	clock := dbtest.NewClock(monday)
	rapid.Check(t, func(rt *rapid.T) {
		clock.Set(monday)
		w := drawnTown(t, rt, clock)
		s := w.shop(0)
		file, hours, timed, own, ownHours := -1., 0., false, 0., 0.
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			n := rapid.IntRange(0, 9).Draw(rt, "n")
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0:
				w.sold(s.Key, nil, order.Item{SKU: "milk", Quantity: n + 1})
				own += float64(n + 1)
			case 1:
				file, hours, timed = float64(n), float64(n)/2, n%2 == 0
				line := fmt.Sprintf("2026-11-02,s0,milk,%d,%g\n", n, hours)
				if !timed {
					line = fmt.Sprintf("2026-11-02,s0,milk,%d,\n", n)
				}
				_, err := w.book.ImportDemand(ctx, strings.NewReader("date,external_id,sku,units,stockout_hours\n"+line), prestock.DemandOptions{})
				w.must(err)
			case 2:
				_, err := w.stores.SetStock(ctx, s.Key, counts("milk", 0))
				w.must(err)
				clock.Advance(time.Duration(n) * time.Minute)
				_, err = w.stores.SetStock(ctx, s.Key, counts("milk", 1))
				w.must(err)
				ownHours += float64(n) / 60
			case 3:
				_, err := w.book.FoldDemand(ctx)
				w.must(err)
			case 4:
				clock.Advance(time.Duration(n) * time.Minute)
			}
		}
		clock.Advance(3 * time.Hour)
		for range 2 {
			_, err := w.book.FoldDemand(ctx)
			w.must(err)
			want := [2]float64{own, ownHours}
			if file >= 0 {
				want[0] = file
				if timed {
					want[1] = hours
				}
			}
			got := w.past()["milk 0 2026-11-02"]
			if got[0] != want[0] || math.Abs(got[1]-want[1]) > 0.001 {
				rt.Fatalf("%v, expected %v", got, want)
			}
		}
	})
}

func TestAnEmptyShelfIsInTheHistory(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.shopIn(in("America/New_York", "Mo-Fr 08:00-20:00; Sa-Su 10:00-16:00"))
		always := w.shop(0)
		local := s.Zone().Location()
		at := func(day, hour, minute int) { w.clock.Set(time.Date(2026, 10, day, hour, minute, 0, 0, local)) }
		stock := func(key int64, n int) {
			w.Helper()
			_, err := w.stores.SetStock(ctx, key, counts("milk", n))
			w.must(err)
		}
		at(29, 12, 0) // a Thursday
		stock(s.Key, 9)
		at(29, 18, 30)
		stock(s.Key, 0)
		at(29, 23, 59)
		w.fold(prestock.Folded{})
		w.isPast(map[string][2]float64{}) // its day is not over yet
		at(30, 0, 0)
		w.fold(prestock.Folded{Stockouts: 1})
		want := map[string][2]float64{"milk 0 2026-10-29": {0, 1.5}}
		w.isPast(want)
		w.fold(prestock.Folded{})
		// Friday and Saturday nothing is sold and nothing could be: both have their row. On Sunday, which
		// is 25 hours long, goods come at noon.
		at(32, 12, 0)
		stock(s.Key, 5)
		stock(always.Key, 0)
		w.fold(prestock.Folded{Stockouts: 1})
		want["milk 0 2026-10-30"], want["milk 0 2026-10-31"], want["milk 0 2026-11-01"] = [2]float64{0, 12}, [2]float64{0, 6}, [2]float64{0, 2}
		w.isPast(want)
		// An empty shelf of a store that is taken out of the network is nobody's loss any more.
		at(33, 11, 0)
		w.must(w.stores.Remove(ctx, always.Key, nil))
		at(40, 0, 0)
		w.fold(prestock.Folded{Stockouts: 1})
		want["milk 1 2026-11-01"], want["milk 1 2026-11-02"] = [2]float64{0, 4}, [2]float64{0, 19} // 17:00 UTC is 20:00 there
		w.isPast(want)
		w.fold(prestock.Folded{})
	})
}

// A shelf that stays empty is no shelf for the SKU any more: it does not add to the history for ever.
func TestAShelfIsGivenUp(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.shop(0)
		_, err := w.stores.SetStock(ctx, s.Key, counts("milk", 0))
		w.must(err)
		for range 10 {
			w.clock.Advance(7 * 24 * time.Hour)
			_, err := w.book.FoldDemand(ctx)
			w.must(err)
		}
		hours := 0.
		for _, day := range w.past() {
			hours += day[1]
		}
		if n := len(w.past()); n != 29 || hours != 28*24 {
			t.Fatalf("%d days with %v hours are in the history", n, hours)
		}
		_, err = w.stores.SetStock(ctx, s.Key, counts("milk", 5)) // it comes back, and goes again
		w.must(err)
		_, err = w.stores.SetStock(ctx, s.Key, counts("milk", 0))
		w.must(err)
		w.clock.Advance(24 * time.Hour)
		w.fold(prestock.Folded{Stockouts: 1})
		if n := len(w.past()); n != 30 {
			t.Fatalf("%d days are in the history", n)
		}
	})
}

// However often it is stopped in the middle, and with two at it at once, everything counts once.
func TestDemandIsCountedOnce(t *testing.T) {
	inTown(t, func(w *town) {
		want := map[string][2]float64{}
		for i := range 3 {
			w.shop(0)
			_, err := w.stores.SetStock(ctx, w.shops[i].Key, counts("milk", 0))
			w.must(err)
		}
		w.clock.Advance(time.Hour)
		for i := range 3 {
			_, err := w.stores.SetStock(ctx, w.shops[i].Key, counts("milk", 1))
			w.must(err)
			want[fmt.Sprintf("milk %d 2026-11-02", i)] = [2]float64{0, 1}
		}
		w.must(w.db.InTx(ctx, func(tx *db.Tx) error {
			for i := range 3300 {
				o := order.Draft{Items: []order.Item{{SKU: "milk", Quantity: 1 + i%2}}}.New(tx.NewKey(), 1, w.shops[0].Cell, tx.Now())
				o.Status, o.Store = order.Delivered, w.shops[i%3].Key
				place := fmt.Sprintf("milk %d 2026-11-02", i%3)
				want[place] = [2]float64{want[place][0] + float64(1+i%2), 1}
				if err := order.Insert(tx, &o); err != nil {
					return err
				}
			}
			return nil
		}))
		w.clock.Advance(3 * time.Hour)
		for try := range 40 {
			short, cancel := context.WithTimeout(ctx, time.Duration(try*try)*20*time.Microsecond)
			_, _ = w.book.FoldDemand(short)
			cancel()
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if _, err := prestock.NewBook(w.db, w.stores).FoldDemand(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.isPast(want)
	})
}

func TestTheDemandJobMakesUpForDowntime(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.shop(0)
		runner := job.New(w.db, slog.New(slog.DiscardHandler), prestock.Jobs(w.book)...)
		w.must(runner.Tick(ctx)) // installs the jobs
		for range 5 {
			w.sold(s.Key, nil, order.Item{SKU: "milk", Quantity: 1})
			w.clock.Advance(24 * time.Hour)
		}
		w.must(runner.Tick(ctx))
		if n := len(w.past()); n != 5 {
			t.Fatalf("%d days are known", n)
		}
		var runs []string
		w.must(w.db.Read(ctx).Select(&runs, `SELECT note FROM job_slot WHERE job = 'demand' AND state = 'done'`))
		if diff := gocmp.Diff([]string{"5 orders counted"}, runs); diff != "" {
			t.Fatal(diff)
		}
	})
}

// What the network saw itself is forgotten after two years; what somebody imported stays.
func TestOldDemandIsForgotten(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.shop(0)
		file := "date,external_id,sku,units\n2024-10-01,s0,tea,7\n"
		_, err := w.book.ImportDemand(ctx, strings.NewReader(file), prestock.DemandOptions{})
		w.must(err)
		w.clock.Set(time.Date(2024, 10, 1, 12, 0, 0, 0, time.UTC))
		w.sold(s.Key, nil, order.Item{SKU: "milk", Quantity: 1}, order.Item{SKU: "tea", Quantity: 1})
		w.clock.Set(time.Date(2024, 10, 5, 12, 0, 0, 0, time.UTC))
		w.sold(s.Key, nil, order.Item{SKU: "milk", Quantity: 2})
		w.clock.Advance(3 * time.Hour)
		w.fold(prestock.Folded{Orders: 2})
		want := map[string][2]float64{"milk 0 2024-10-01": {1}, "tea 0 2024-10-01": {7}, "milk 0 2024-10-05": {2}}
		w.isPast(want)
		w.clock.Set(monday) // 762 days after the first
		w.fold(prestock.Folded{Purged: 1})
		delete(want, "milk 0 2024-10-01")
		w.isPast(want)
	})
}

// A file that breaks off keeps what came; the same file again does the rest.
func TestARepeatedDemandFileFinishesABrokenOne(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(0)
		var file strings.Builder
		file.WriteString("date,external_id,sku,units\n")
		for i := range 1200 {
			fmt.Fprintf(&file, "2026-10-%02d,s0,SKU-%d,%d\n", 1+i%28, i, i%5)
		}
		broken := io.MultiReader(strings.NewReader(file.String()[:file.Len()/2]), iotest.ErrReader(errors.New("the line is down")))
		first, err := w.book.ImportDemand(ctx, broken, prestock.DemandOptions{})
		if err == nil || !strings.Contains(err.Error(), "the line is down") || !strings.Contains(err.Error(), "repeat it to do the rest") {
			t.Fatal(err)
		}
		if first.Created == 0 || first.Created >= 1200 || len(w.past()) != first.Created {
			t.Fatalf("%+v, %d are kept", first, len(w.past()))
		}
		for _, want := range []partner.ImportResult{{Created: 1200 - first.Created, Unchanged: first.Created}, {Unchanged: 1200}} {
			done := 0
			got, err := w.book.ImportDemand(ctx, strings.NewReader(file.String()), prestock.DemandOptions{Progress: func(n int) { done = n }})
			w.must(err)
			if diff := gocmp.Diff(want, got); diff != "" || done != 1200 {
				t.Fatalf("%d rows were told of\n%s", done, diff)
			}
		}
	})
}
