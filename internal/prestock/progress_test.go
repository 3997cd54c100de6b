package prestock_test

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"

	gocmp "github.com/google/go-cmp/cmp"
)

// counted checks that progress says of every campaign, in all, by SKU and by cell, what its tasks say.
func (w *town) counted(tasks []prestock.Task) {
	w.Helper()
	want := map[int64]*prestock.Progress{}
	skus, cells := map[int64]map[string]prestock.Units{}, map[int64]map[geo.Cell]prestock.Units{}
	for _, t := range tasks {
		if want[t.Campaign] == nil {
			want[t.Campaign] = &prestock.Progress{}
			skus[t.Campaign], cells[t.Campaign] = map[string]prestock.Units{}, map[geo.Cell]prestock.Units{}
		}
		add := func(u prestock.Units) prestock.Units {
			u.Asked += int64(t.Asked)
			u.Committed += int64(t.Committed)
			u.Reallocated += int64(t.Reallocated)
			u.Unallocated += int64(t.Unallocated())
			if t.Counted != nil {
				u.Stocked += int64(*t.Counted)
			}
			if t.Leftover != nil {
				u.Leftover += int64(*t.Leftover)
				u.Consumed += int64(*t.Counted - *t.Leftover)
			}
			return u
		}
		p := want[t.Campaign]
		p.Units = add(p.Units)
		skus[t.Campaign][t.SKU] = add(skus[t.Campaign][t.SKU])
		cells[t.Campaign][t.Cell] = add(cells[t.Campaign][t.Cell])
	}
	for key, p := range want {
		got, err := w.book.Progress(ctx, key, 1000)
		w.must(err)
		bare := func(u prestock.Units) prestock.Units {
			if u.Served > u.Wanted || u.Asked != u.Committed+u.Reallocated+u.Unallocated {
				w.Fatalf("%+v", u)
			}
			u.Wanted, u.Served = 0, 0
			return u
		}
		if diff := gocmp.Diff(p.Units, bare(got.Units)); diff != "" {
			w.Fatal(diff)
		}
		bySKU, byCell := map[string]prestock.Units{}, map[geo.Cell]prestock.Units{}
		for _, s := range got.BySKU {
			bySKU[s.SKU] = bare(s.Units)
		}
		for _, c := range got.ByCell {
			byCell[c.Cell] = bare(c.Units)
			if c.Asked == 0 { // something is wanted there, and nobody could be asked
				delete(byCell, c.Cell)
				got.Cells--
			}
		}
		maps.DeleteFunc(bySKU, func(_ string, u prestock.Units) bool { return u.Asked == 0 })
		if diff := gocmp.Diff(skus[key], bySKU) + gocmp.Diff(cells[key], byCell); diff != "" || got.Cells != len(byCell) {
			w.Fatalf("%d cells\n%s", got.Cells, diff)
		}
	}
}

func TestHowFarACampaignIs(t *testing.T) {
	inTown(t, func(w *town) {
		for range 3 {
			w.shop(100)
		}
		c := w.approved(singlesDay(90))
		progress := func() prestock.Units {
			w.Helper()
			p, err := w.book.Progress(ctx, c.Key, 50)
			w.must(err)
			w.sound()
			return p.Units
		}
		is := func(want prestock.Units, rate float64) {
			w.Helper()
			got := progress()
			if r, ok := got.FillRate(); !ok || r != rate {
				w.Fatalf("%v of what is wanted will be served, expected %v", r, rate)
			}
			want.Wanted, want.Served = got.Wanted, got.Served
			if diff := gocmp.Diff(want, got); diff != "" {
				w.Fatal(diff)
			}
		}
		is(prestock.Units{Asked: 90, Unallocated: 90}, 0)
		w.before(72 * time.Hour)
		w.prompt(3)
		yes := func(shop, n int) prestock.Task {
			w.Helper()
			task, err := w.book.Acknowledge(ctx, w.of(shop).Key, n)
			w.must(err)
			return task
		}
		first := yes(0, 30)
		is(prestock.Units{Asked: 90, Committed: 30, Unallocated: 60}, 30./90)
		second := yes(1, 15) // shop 2 is asked for the other 15
		is(prestock.Units{Asked: 105, Committed: 45, Reallocated: 15, Unallocated: 45}, 45./90)
		stocked := func(task prestock.Task, n int) {
			w.Helper()
			_, err := w.book.Stocked(ctx, task.Key, n)
			w.must(err)
		}
		stocked(first, 40)                                                                                   // more than promised
		stocked(second, 9)                                                                                   // fewer
		is(prestock.Units{Asked: 105, Committed: 45, Reallocated: 15, Unallocated: 45, Stocked: 49}, 39./90) // what is too much in one cell serves nobody in another

		// 25 of shop 0's are sold, and all of shop 1's.
		sell := func(shop, left int) {
			w.Helper()
			_, err := w.stores.SetStock(ctx, w.shops[shop].Key, counts("SKU-7", left))
			w.must(err)
		}
		sell(0, 15)
		sell(1, 0)
		w.clock.Set(peak.Add(25 * time.Hour))
		_, err := w.book.ReleaseDue(ctx)
		w.must(err)
		if got := progress(); got.Consumed != 34 || got.Leftover != 15 || got.Stocked != 49 {
			t.Fatalf("%+v", got)
		}
	})
}

// A campaign of many cells is told in an answer of bounded size, the cells that lack most first.
func TestTheWorstCellsComeFirst(t *testing.T) {
	inTown(t, func(w *town) {
		for range 40 { // 0.004 degrees each: some twelve cells
			w.shop(100)
		}
		c := w.approved(singlesDay(400))
		w.before(72 * time.Hour)
		w.prompt(40)
		for shop := range 25 {
			_, err := w.book.Acknowledge(ctx, w.of(shop).Key, 10)
			w.must(err)
		}
		lacks := func(p prestock.Progress) (list []float64) {
			for _, c := range p.ByCell {
				list = append(list, c.Wanted-c.Served)
			}
			return list
		}
		all, err := w.book.Progress(ctx, c.Key, 200)
		w.must(err)
		few, err := w.book.Progress(ctx, c.Key, 3)
		w.must(err)
		if all.Cells < 5 || few.Cells != all.Cells || few.Units != all.Units || len(few.ByCell) != 3 || len(all.ByCell) != all.Cells {
			t.Fatalf("%d of %d cells, then %d of %d", len(all.ByCell), all.Cells, len(few.ByCell), few.Cells)
		}
		if diff := gocmp.Diff(all.ByCell[:3], few.ByCell); diff != "" {
			t.Fatal(diff)
		}
		order := lacks(all)
		for i := 1; i < len(order); i++ {
			if order[i] > order[i-1] {
				t.Fatalf("cells lack %v", order)
			}
		}
		if order[len(order)-1] != 0 {
			t.Fatalf("the first shops' cells lack nothing, they say %v", order)
		}
	})
}

func counts(sku string, n int) []partner.Count { return []partner.Count{{SKU: sku, OnHand: n}} }

// A plan from past demand is measured by the demand it expects, and not by what it asks.
func TestTheFillRateOfAPlan(t *testing.T) {
	inTown(t, func(w *town) {
		var file strings.Builder
		file.WriteString("date,external_id,sku,units\n")
		for shop := range 6 {
			w.shop(200)
			for day := range 28 {
				fmt.Fprintf(&file, "%s,s%d,SKU-7,%d\n", monday.AddDate(0, 0, -1-day).Format(time.DateOnly), shop, 4+(shop+day)%5)
			}
		}
		_, err := w.book.ImportDemand(ctx, strings.NewReader(file.String()), prestock.DemandOptions{})
		w.must(err)
		in := singlesDay(0)
		in.SKUs[0].ExpectedUnits = nil
		c := w.campaign(in)
		plan, err := w.book.Plan(ctx, c.Key)
		w.must(err)
		_, err = w.book.Approve(ctx, c.Key)
		w.must(err)
		w.before(72 * time.Hour)
		w.prompt(6)
		rate := func() float64 {
			w.Helper()
			p, err := w.book.Progress(ctx, c.Key, 50)
			w.must(err)
			if math.Abs(p.Wanted-plan.BySKU[0].Expected) > 0.01 {
				w.Fatalf("%v units are wanted, the plan expects %v", p.Wanted, plan.BySKU[0].Expected)
			}
			r, _ := p.FillRate()
			return r
		}
		if r := rate(); r != 0 {
			t.Fatalf("nobody has said yes, and %v will be served", r)
		}
		last := 0.
		for shop := range 6 {
			task := w.of(shop)
			_, err := w.book.Acknowledge(ctx, task.Key, task.Asked)
			w.must(err)
			if r := rate(); r <= last || r >= 1 {
				t.Fatalf("shop %d said yes: %v will be served, before %v", shop, r, last)
			} else {
				last = r
			}
		}
		if last < 0.8 {
			t.Fatalf("all said yes to what was asked, and only %v will be served", last)
		}
	})
}
