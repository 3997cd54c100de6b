package prestock

import (
	"context"
	"math"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/forecast"
	"doorstep/internal/partner"

	"pgregory.net/rapid"
)

// The k-th unit is sold when more than k-1 are wanted: sales are the sum of these chances.
func TestSalesAreTheSumOfTheirChances(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mean := rapid.Float64Range(0.01, 200).Draw(rt, "mean")
		law := forecast.Law{Mean: mean, Var: mean * rapid.Float64Range(0.5, 30).Draw(rt, "dispersion")}
		want := 0.0
		for k := range 2000 {
			if got := sales(law, k); math.Abs(got-want) > 1e-6*(1+want) {
				rt.Fatalf("%+v with %d there: %v, expected %v", law, k, got, want)
			}
			want += law.Survival(k)
		}
	})
}

// Where a plan knows the law of demand, what is served goes by it, with the goods that are there anyway.
func TestFillRateByTheLaw(t *testing.T) {
	clock := dbtest.NewClock(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		b := NewBook(d, partner.NewBook(d, partner.StandardDefaults()))
		n := 40
		c, err := b.CreateCampaign(ctx, CampaignInput{Name: "Fair", StartsAt: clock.Now().Add(96 * time.Hour), EndsAt: clock.Now().Add(120 * time.Hour),
			SKUs: []SKU{{SKU: "tea", ExpectedUnits: &n, CasePack: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		law := forecast.Law{Mean: 20, Var: 60}
		var here, there geo.Cell = 1, 2
		write := func(f func(*steps)) Units {
			t.Helper()
			if err := d.InTx(ctx, func(tx *db.Tx) error {
				var s steps
				f(&s)
				return s.save(tx)
			}); err != nil {
				t.Fatal(err)
			}
			p, err := b.Progress(ctx, c.Key, 50)
			if err != nil {
				t.Fatal(err)
			}
			return p.Units
		}
		is := func(got Units, wanted, served float64) {
			t.Helper()
			if math.Abs(got.Wanted-wanted)+math.Abs(got.Served-served) > 1e-9 {
				t.Fatalf("%v of %v, expected %v of %v", got.Served, got.Wanted, served, wanted)
			}
		}
		task := &Task{Campaign: c.Key, Cell: here, SKU: "tea", Asked: 25}
		yes := *task
		yes.Committed = 18
		// A cell whose customers want goods and where no store could be asked lacks all of them.
		is(write(func(s *steps) {
			s.add(nil, task)
			s.expect(c.Key, here, "tea", law, 4)
			s.expect(c.Key, there, "tea", law, 0)
		}), 40, sales(law, 4))
		is(write(func(s *steps) { s.add(task, &yes) }), 40, sales(law, 22))
		// The next plan expects something else.
		is(write(func(s *steps) {
			s.expect(c.Key, here, "tea", law, 0)
			s.expect(c.Key, there, "tea", forecast.Law{}, 0)
		}), 20, sales(law, 18))
		is(write(func(s *steps) { s.expect(c.Key, here, "tea", forecast.Law{}, 0) }), 25, 18)
	})
}

// The sums of a campaign with very many cells are made once for all who ask within some seconds.
func TestAVeryLargeSumIsToldAgain(t *testing.T) {
	clock := dbtest.NewClock(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	d := dbtest.Open(t, db.SQLite, db.Options{Clock: clock.Now})
	ctx := context.Background()
	b := NewBook(d, partner.NewBook(d, partner.StandardDefaults()))
	n := 40
	c, err := b.CreateCampaign(ctx, CampaignInput{Name: "Fair", StartsAt: clock.Now().Add(96 * time.Hour), EndsAt: clock.Now().Add(120 * time.Hour),
		SKUs: []SKU{{SKU: "tea", ExpectedUnits: &n, CasePack: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	add := func(cells int) {
		t.Helper()
		if err := d.InTx(ctx, func(tx *db.Tx) error {
			var s steps
			for i := range cells {
				s.add(nil, &Task{Campaign: c.Key, Cell: geo.Cell(1 + i), SKU: "tea", Asked: 1 + i%7})
				all += 1 + i%7
			}
			return s.save(tx)
		}); err != nil {
			t.Fatal(err)
		}
	}
	asked := func(cells, want int) {
		t.Helper()
		p, err := b.Progress(ctx, c.Key, cells)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, s := range p.BySKU {
			total += int(s.Asked)
		}
		if int(p.Asked) != want || total != want || len(p.ByCell) != min(cells, p.Cells) || p.Unallocated != p.Asked {
			t.Fatalf("asked %d, by SKU %d, %d cells; expected %d", p.Asked, total, len(p.ByCell), want)
		}
	}
	add(manyRows / 2)
	asked(3, all)
	add(10)
	asked(3, all) // few enough to be summed up anew
	add(manyRows + 1)
	told := all
	asked(5, told)
	add(10)
	asked(5, told)
	asked(mostCells, told)
	clock.Advance(toldAgain)
	asked(5, all)
}
