package partner_test

import (
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/partner"

	"pgregory.net/rapid"
)

// gap is a stock-out in minutes since noon; -1 ends none.
type gap struct {
	SKU      string
	From, To int
}

func (w *town) gaps(store int64) (list []gap) {
	w.Helper()
	all, err := partner.Stockouts(w.db.Read(ctx), 0, 1000)
	w.must(err)
	minute := func(t time.Time) int { return int(t.Sub(noon) / time.Minute) }
	for _, o := range all {
		if o.Store != store {
			continue
		}
		g := gap{o.SKU, minute(o.From), -1}
		if o.To != nil {
			g.To = minute(*o.To)
		}
		list = append(list, g)
	}
	return list
}

func TestAShelfIsKnownToBeEmpty(t *testing.T) {
	inTown(t, func(w *town) {
		s := w.create()
		tea := func(n int) []partner.Item { return []partner.Item{{SKU: "tea", Quantity: n}} }
		at := func(minute int) { w.clock.Set(noon.Add(time.Duration(minute) * time.Minute)) }
		claim := func(items []partner.Item, want bool) {
			w.Helper()
			w.tx(func(tx *db.Tx) error {
				ok, err := partner.ClaimStock(tx, s.Key, items)
				if ok != want {
					w.Errorf("claimed %v, expected %v", ok, want)
				}
				return err
			})
		}
		release := func(n int) {
			w.Helper()
			w.tx(func(tx *db.Tx) error { return partner.ReleaseStock(tx, s.Key, tea(n)) })
		}
		var want []gap
		is := func(more ...gap) {
			w.Helper()
			want = append(want, more...)
			w.same(w.gaps(s.Key), want)
		}
		w.count(s.Key, "tea", 5)
		w.count(s.Key, "milk", 1)
		claim(tea(4), true)
		is()
		at(10)
		claim(tea(2), false) // not enough is not empty
		is()
		at(20)
		claim(tea(1), true)
		is(gap{"tea", 20, -1})
		at(30)
		claim(tea(1), false)
		w.tx(func(tx *db.Tx) error { return partner.TakeStock(tx, s.Key, tea(2)) }) // a pick-up turns nothing
		w.count(s.Key, "tea", 3)
		is()
		at(40)
		release(1)
		want[0].To = 40
		is()
		at(45)
		release(1) // there was one already
		is()
		at(50)
		w.count(s.Key, "tea", 1) // 1 is reserved
		is(gap{"tea", 50, -1})
		at(55)
		w.count(s.Key, "tea", 0)
		is()
		at(60)
		w.tx(func(tx *db.Tx) error { return w.book.AddStock(tx, s.Key, "tea", 1) }) // the reserved one
		is()
		at(70)
		w.tx(func(tx *db.Tx) error { return w.book.AddStock(tx, s.Key, "tea", 1) })
		want[1].To = 70
		is()
		// A claim that takes the last milk and then finds too little tea takes nothing.
		claim([]partner.Item{{SKU: "milk", Quantity: 1}, {SKU: "tea", Quantity: 9}}, false)
		is(gap{"milk", 70, 70})
		at(80)
		w.count(s.Key, "salt", 0) // a SKU whose first count finds nothing
		is(gap{"salt", 80, -1})
	})
}

// Whatever happens to a shelf, it is said to be empty exactly while no order could claim anything.
func TestEmptyMeansNothingToClaim(t *testing.T) {
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		w := newTown(t, d, clock)
		rapid.Check(t, func(rt *rapid.T) {
			clock.Set(noon)
			s := w.create()
			empty := map[int]bool{} // by minute
			minutes := rapid.IntRange(1, 15).Draw(rt, "minutes")
			var held []int
			for minute := range minutes {
				clock.Set(noon.Add(time.Duration(minute) * time.Minute))
				n := rapid.IntRange(1, 3).Draw(rt, "n")
				items := []partner.Item{{SKU: "a", Quantity: n}}
				w.tx(func(tx *db.Tx) error {
					switch step := rapid.SampledFrom([]string{"claim", "claim", "release", "take", "put back", "add"}).Draw(rt, "step"); {
					case step == "add":
						return w.book.AddStock(tx, s.Key, "a", n)
					case step == "claim":
						ok, err := partner.ClaimStock(tx, s.Key, items)
						if ok {
							held = append(held, n)
						}
						return err
					case len(held) > 0:
						items[0].Quantity = held[0]
						if step == "put back" {
							if err := partner.TakeStock(tx, s.Key, items); err != nil {
								return err
							}
							return partner.PutBackStock(tx, s.Key, items)
						}
						held = held[1:]
						if step == "take" {
							return partner.TakeStock(tx, s.Key, items)
						}
						return partner.ReleaseStock(tx, s.Key, items)
					}
					return nil
				})
				if rapid.IntRange(0, 4).Draw(rt, "count") == 0 {
					w.count(s.Key, "a", rapid.IntRange(0, 4).Draw(rt, "found"))
				}
				lines, err := w.book.Stock(ctx, s.Key)
				w.must(err)
				empty[minute] = len(lines) > 0 && lines[0].Available() == 0
			}
			said := map[int]bool{}
			for _, g := range w.gaps(s.Key) {
				to := g.To
				if to < 0 {
					to = minutes
				}
				for m := g.From; m < to; m++ {
					if said[m] {
						rt.Fatalf("minute %d is said to be empty twice", m)
					}
					said[m] = true
				}
			}
			for m := range minutes {
				if said[m] != empty[m] {
					rt.Fatalf("minute %d: empty %v, said %v", m, empty[m], said[m])
				}
			}
		})
	})
}
