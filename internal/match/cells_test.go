package match_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/match"
	"doorstep/internal/partner"
)

// Whatever the box and the resolution, what the cells hold is what looking at each store and order one
// by one finds there.
func TestCellsAddUpToWhatIsInTheBox(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e db.Engine) {
		w, bg := newTown(t, e), context.Background()
		at := func(i int) geo.Point { return geo.Point{Lat: -1.3 + float64(i%7)*0.01, Lng: 36.8 + float64(i/7)*0.01} }
		for i := range 21 {
			in := partner.Input{Name: p(fmt.Sprint(i)), Lat: p(at(i).Lat), Lng: p(at(i).Lng), OrdersPerSlot: p(i % 3), ServiceRadiusM: p(600), TimeZone: p("Africa/Nairobi")}
			if i%4 == 0 {
				in.OpeningHours = p("Mo-Su 20:00-22:00")
			}
			w.store(t, in)
		}
		for i := range 30 {
			if _, err := w.book.Place(bg, 1, draft(at(i%25)), nil); err != nil {
				t.Fatal(err)
			}
		}
		s, err := w.book.Survey(bg)
		if err != nil {
			t.Fatal(err)
		}
		var want match.Cell
		free := 0
		for _, c := range must(s.Cells(geo.World(), geo.MatchRes, 1000, match.Outlook{})) {
			want.Stores, want.OpenStores, want.OpenOrders, want.Unassignable = want.Stores+c.Stores, want.OpenStores+c.OpenStores, want.OpenOrders+c.OpenOrders, want.Unassignable+c.Unassignable
			free += c.FreeCapacity
		}
		if want.Stores != 21 || want.OpenOrders != 30 || want.OpenStores != 15 || want.Unassignable == 0 || want.Unassignable == 30 {
			t.Fatalf("in all: %+v", want)
		}
		nairobi := must(geo.NewBox(36.7, -1.4, 36.9, -1.2))
		for res := range geo.MatchRes + 1 {
			stores, orders, left := 0, 0, 0
			for _, c := range must(s.Cells(geo.World(), res, 1000, match.Outlook{})) {
				stores, orders, left = stores+c.Stores, orders+c.OpenOrders, left+c.FreeCapacity
			}
			if stores != 21 || orders != 30 || left != free {
				t.Errorf("resolution %d: %d stores, %d orders, %d units left", res, stores, orders, left)
			}
		}
		if _, err := s.Cells(nairobi, geo.MatchRes, 3, match.Outlook{}); !errors.Is(err, match.ErrTooManyCells) {
			t.Errorf("more cells than allowed: %v", err)
		}
		all, more := w.book.StoresIn(s, match.Where{Box: nairobi}, false, 100)
		open, _ := w.book.StoresIn(s, match.Where{Box: nairobi}, true, 100)
		few, others := w.book.StoresIn(s, match.Where{Box: nairobi}, false, 5)
		if len(all) != 21 || more || len(open) != 15 || len(few) != 5 || !others {
			t.Errorf("%d stores, %d open, %d of few", len(all), len(open), len(few))
		}
		keys, _ := s.OrdersIn(match.Where{Box: nairobi}, match.OrdersUnassignable, 100)
		if len(keys) != want.Unassignable {
			t.Errorf("%d orders that no store takes, want %d", len(keys), want.Unassignable)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// BenchmarkSurvey is the map of a country of 600,000 stores: what a survey costs, which all lookers
// share, and what a look at a city and at the whole country cost each.
func BenchmarkSurvey(b *testing.B) {
	c := newCrowd(manyStores, 400)
	live := match.NewLive()
	c.fill(live, manyStores)
	s := live.Survey(c.began)
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			live.Survey(c.began)
		}
	})
	town := c.towns[0]
	for _, look := range []struct {
		name string
		box  geo.Box
		res  int
	}{
		{"street", must(geo.NewBox(town.Lng-.01, town.Lat-.01, town.Lng+.01, town.Lat+.01)), 9},
		{"city", must(geo.NewBox(town.Lng-.1, town.Lat-.1, town.Lng+.1, town.Lat+.1)), 9},
		{"country", geo.World(), 6},
	} {
		b.Run(look.name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = len(must(s.Cells(look.box, look.res, 1_000_000, match.Outlook{})))
			}
			b.ReportMetric(float64(n), "cells")
		})
	}
}
