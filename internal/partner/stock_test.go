package partner_test

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/partner"

	"pgregory.net/rapid"
)

func (w *town) stock(key int64) map[string][2]int {
	w.Helper()
	lines, err := w.book.Stock(ctx, key)
	w.must(err)
	got := map[string][2]int{}
	for _, l := range lines {
		got[l.SKU] = [2]int{l.OnHand, l.Reserved}
	}
	return got
}

func (w *town) count(key int64, sku string, n int) {
	w.Helper()
	_, err := w.book.SetStock(ctx, key, []partner.Count{{SKU: sku, OnHand: n}})
	w.must(err)
}

func TestUnitsComeAndGo(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.create()
		w.count(s.Key, "tea", 10)
		w.count(s.Key, "milk", 4)
		items := []partner.Item{{SKU: "tea", Quantity: 2}, {SKU: "milk", Quantity: 3}, {SKU: "tea", Quantity: 1}}
		claim := func(items ...partner.Item) (ok bool) {
			w.tx(func(tx *db.Tx) (err error) { ok, err = partner.ClaimStock(tx, s.Key, items); return err })
			return ok
		}
		if !claim(items...) {
			w.Error("there was enough")
		}
		w.same(w.stock(s.Key), map[string][2]int{"tea": {10, 3}, "milk": {4, 3}})
		if claim(items...) {
			w.Error("there is only 1 milk left")
		}
		if claim(partner.Item{SKU: "tea", Quantity: 1}, partner.Item{SKU: "salt", Quantity: 1}) {
			w.Error("there is no salt")
		}
		w.same(w.stock(s.Key), map[string][2]int{"tea": {10, 3}, "milk": {4, 3}})

		w.count(s.Key, "tea", 2) // a count below what is reserved is kept as counted
		w.same(w.stock(s.Key), map[string][2]int{"tea": {2, 3}, "milk": {4, 3}})
		if claim(partner.Item{SKU: "tea", Quantity: 1}) {
			w.Error("all tea is promised")
		}
		w.tx(func(tx *db.Tx) error { return partner.TakeStock(tx, s.Key, items) })
		w.same(w.stock(s.Key), map[string][2]int{"tea": {0, 0}, "milk": {1, 0}})
		w.tx(func(tx *db.Tx) error { return w.book.AddStock(tx, s.Key, "tea", 5) })
		w.tx(func(tx *db.Tx) error { return w.book.AddStock(tx, s.Key, "rice", 7) })
		if !claim(partner.Item{SKU: "tea", Quantity: 5}) {
			w.Error("units that arrived can be sold")
		}
		w.tx(func(tx *db.Tx) error {
			return partner.ReleaseStock(tx, s.Key, []partner.Item{{SKU: "tea", Quantity: 5}})
		})
		w.same(w.stock(s.Key), map[string][2]int{"tea": {5, 0}, "milk": {1, 0}, "rice": {7, 0}})

		for _, f := range []func(*db.Tx, int64, []partner.Item) error{partner.ReleaseStock, partner.TakeStock} {
			if err := w.db.InTx(ctx, func(tx *db.Tx) error { return f(tx, s.Key, []partner.Item{{SKU: "tea", Quantity: 1}}) }); err == nil {
				w.Error("what is not reserved can be neither given back nor taken")
			}
		}
		if err := w.db.InTx(ctx, func(tx *db.Tx) error {
			_, err := partner.ClaimStock(tx, s.Key, []partner.Item{{SKU: "tea", Quantity: 0}})
			return err
		}); err == nil {
			w.Error("nothing cannot be claimed")
		}
		// Claims are no changes of the store: counted were tea, milk, tea, tea, rice.
		if got := w.story(s.Key); len(got) != 6 {
			w.Errorf("%v", got)
		}
		if c := w.told[len(w.told)-1]; c.Store != nil || c.Version != 6 || len(c.Stock) != 1 || c.Stock[0] != (partner.StockLine{SKU: "rice", OnHand: 7}) {
			w.Errorf("%+v", c)
		}
	})
}

func TestACountIsCheckedAndRepeatsDoNothing(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.create(func(in *partner.Input) { in.ShelfUnits = p(20) })
		counts := []partner.Count{{SKU: "tea", OnHand: 12}, {SKU: "milk", OnHand: 8}}
		for range 2 {
			lines, err := w.book.SetStock(ctx, s.Key, counts)
			w.must(err)
			w.same(lines, []partner.StockLine{{SKU: "milk", OnHand: 8}, {SKU: "tea", OnHand: 12}})
		}
		w.same(w.story(s.Key), []string{"store.created", "store.stock_counted"})
		for _, c := range []struct {
			counts []partner.Count
			want   string
		}{
			{[]partner.Count{{SKU: "tea", OnHand: 13}}, "/items shelf-exceeded"},
			{[]partner.Count{{SKU: "", OnHand: 1}}, "/items/0/sku required"},
			{[]partner.Count{{SKU: "tea", OnHand: 1}, {SKU: "tea", OnHand: 2}}, "/items/1/sku duplicate"},
			{[]partner.Count{{SKU: "tea", OnHand: -1}}, "/items/0/on_hand out-of-range"},
			{[]partner.Count{{SKU: "tea", OnHand: 1_000_001}}, "/items/0/on_hand out-of-range"},
			{[]partner.Count{{SKU: strings.Repeat("x", 65), OnHand: 1}}, "/items/0/sku too-long"},
			{[]partner.Count{{SKU: "a\nb", OnHand: 1}}, "/items/0/sku control-character"},
		} {
			_, err := w.book.SetStock(ctx, s.Key, c.counts)
			w.same(pointers(err), []string{c.want})
		}
		_, err := w.book.SetStock(ctx, 999, counts)
		w.refused(err, "not-found")
		_, err = w.book.Stock(ctx, 999)
		w.refused(err, "not-found")
		// A shelf that was made smaller may still be counted down.
		_, err = w.book.Update(ctx, s.Key, partner.Patch{ShelfUnits: p(5)}, nil)
		w.must(err)
		w.count(s.Key, "tea", 11)
		w.same(w.stock(s.Key), map[string][2]int{"milk": {8, 0}, "tea": {11, 0}})
	})
}

// However many ask at once, 10 units of a slot and 500 units of a SKU are given to 10 and to 500.
func TestNothingIsSoldTwice(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.create(func(in *partner.Input) { in.OrdersPerSlot = p(10) })
		w.count(s.Key, "tea", 50)
		var slots, units atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				var slot, unit bool
				if err := w.db.InTx(ctx, func(tx *db.Tx) (err error) {
					if _, slot, err = partner.ClaimSlot(tx, s.Key, noon, 1); err != nil {
						return err
					}
					unit, err = partner.ClaimStock(tx, s.Key, []partner.Item{{SKU: "tea", Quantity: 1}})
					return err
				}); err != nil {
					w.Error(err)
				}
				if slot {
					slots.Add(1)
				}
				if unit {
					units.Add(1)
				}
			})
		}
		wg.Wait()
		if slots.Load() != 10 || units.Load() != 50 {
			w.Errorf("%d slots, %d units", slots.Load(), units.Load())
		}
		w.same(w.stock(s.Key), map[string][2]int{"tea": {50, 50}})

		used := map[time.Time]int{}
		w.must(w.book.EachSlotUse(ctx, noon, func(key int64, slot time.Time, n int) error { used[slot] = n; return nil }))
		w.same(used, map[time.Time]int{noon: 10})
		w.must(w.book.EachSlotUse(ctx, noon.Add(1), func(int64, time.Time, int) error { return nil }))
		lines := map[int64]partner.StockLine{}
		w.must(w.book.EachStock(ctx, func(key int64, l partner.StockLine) error { lines[key] = l; return nil }))
		w.same(lines, map[int64]partner.StockLine{s.Key: {SKU: "tea", OnHand: 50, Reserved: 50}})

		w.tx(func(tx *db.Tx) error {
			if err := partner.ReleaseSlot(tx, s.Key, noon); err != nil {
				return err
			}
			_, ok, err := partner.ClaimSlot(tx, s.Key, noon, 1)
			if !ok {
				w.Error("a unit given back can be taken again")
			}
			return err
		})
		if err := w.db.InTx(ctx, func(tx *db.Tx) error { return partner.ReleaseSlot(tx, s.Key, noon.Add(time.Hour)) }); err == nil {
			w.Error("what nobody took cannot be given back")
		}
	})
}

// Any sequence of claims, releases, pick-ups and arrivals leaves what a plain map would.
func TestStockAgainstAModel(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		book := partner.NewBook(d, partner.StandardDefaults())
		skus := rapid.SampledFrom([]string{"a", "b", "c", "none"})
		rapid.Check(t, func(t *rapid.T) {
			s, _, err := book.Create(ctx, nairobi())
			if err != nil {
				t.Fatal(err)
			}
			onHand, reserved := map[string]int{"a": 6, "b": 3, "c": 0}, map[string]int{}
			var counts []partner.Count
			for sku, n := range onHand {
				counts = append(counts, partner.Count{SKU: sku, OnHand: n})
			}
			if _, err := book.SetStock(ctx, s.Key, counts); err != nil {
				t.Fatal(err)
			}
			var held [][]partner.Item
			err = d.InTx(ctx, func(tx *db.Tx) error {
				for range rapid.IntRange(1, 12).Draw(t, "steps") {
					switch step := rapid.SampledFrom([]string{"claim", "claim", "release", "take", "add"}).Draw(t, "step"); {
					case step == "add":
						if err := book.AddStock(tx, s.Key, "c", 2); err != nil {
							return err
						}
						onHand["c"] += 2
					case step == "claim":
						items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) partner.Item {
							return partner.Item{SKU: skus.Draw(t, "sku"), Quantity: rapid.IntRange(1, 3).Draw(t, "n")}
						}), 0, 4).Draw(t, "items")
						need := map[string]int{}
						for _, it := range items {
							need[it.SKU] += it.Quantity
						}
						want := true
						for sku, n := range need {
							want = want && onHand[sku]-reserved[sku] >= n
						}
						ok, err := partner.ClaimStock(tx, s.Key, items)
						if err != nil || ok != want {
							t.Fatalf("claim %v: %v %v, want %v", items, ok, err, want)
						}
						if ok {
							held = append(held, items)
							for sku, n := range need {
								reserved[sku] += n
							}
						}
					case len(held) > 0:
						items := held[0]
						held = held[1:]
						f := partner.ReleaseStock
						if step == "take" {
							f = partner.TakeStock
						}
						if err := f(tx, s.Key, items); err != nil {
							return err
						}
						for _, it := range items {
							reserved[it.SKU] -= it.Quantity
							if step == "take" {
								onHand[it.SKU] -= it.Quantity
							}
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			lines, err := book.Stock(ctx, s.Key)
			if err != nil {
				t.Fatal(err)
			}
			gotOn, gotReserved := map[string]int{}, map[string]int{}
			for _, l := range lines {
				gotOn[l.SKU] = l.OnHand
				if l.Reserved > 0 {
					gotReserved[l.SKU] = l.Reserved
				}
			}
			maps.DeleteFunc(reserved, func(_ string, n int) bool { return n == 0 })
			if !maps.Equal(gotOn, onHand) || !maps.Equal(gotReserved, reserved) {
				t.Fatalf("on hand %v reserved %v, want %v %v", gotOn, gotReserved, onHand, reserved)
			}
		})
	})
}

// The row decides: what the caller believes of the store does not count.
func TestOnlyAStoreThatTakesOrdersGivesRoom(t *testing.T) {
	inTown(t, func(w *town) {
		claim := func(key int64) (ok bool) {
			w.tx(func(tx *db.Tx) (err error) {
				_, ok, err = partner.ClaimSlot(tx, key, noon, 1)
				return err
			})
			return ok
		}
		s := w.create()
		if !claim(s.Key) {
			w.Fatal("an active store gives no room")
		}
		for _, c := range []struct {
			name  string
			patch partner.Patch
			want  bool
		}{
			{"no capacity", partner.Patch{OrdersPerSlot: p(0)}, false},
			{"capacity below what is used", partner.Patch{OrdersPerSlot: p(1)}, false},
			{"more capacity", partner.Patch{OrdersPerSlot: p(2)}, true},
			{"room, but busy", partner.Patch{OrdersPerSlot: p(9), Status: p(partner.Busy)}, false},
			{"active again", partner.Patch{Status: p(partner.Active)}, true},
		} {
			if _, err := w.book.Update(ctx, s.Key, c.patch, nil); err != nil {
				w.Fatal(err)
			}
			if got := claim(s.Key); got != c.want {
				w.Errorf("%s: %v", c.name, got)
			}
		}
		if _, err := w.book.Pause(ctx, s.Key, nil); err != nil {
			w.Fatal(err)
		}
		if claim(s.Key) {
			w.Error("a paused store gives room")
		}
		gone := w.create(func(in *partner.Input) { in.Name = p("gone") })
		w.must(w.book.Remove(ctx, gone.Key, nil))
		if claim(gone.Key) || claim(12345) {
			w.Error("a store that is not there gives room")
		}
	})
}
