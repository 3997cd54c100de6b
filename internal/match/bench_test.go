package match_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/partner"
)

// BenchmarkGroupCommit places whole orders (store chosen, capacity claimed, assignment and events
// written) from 64 writers with synchronous=FULL, sharing commits and with a commit each, in one
// run. The ratio is what sharing is worth; absolute figures are this machine's.
func BenchmarkGroupCommit(b *testing.B) {
	grouped := rate(b, 0, 6000)
	single := rate(b, 1, 1500)
	b.ReportMetric(grouped, "grouped-orders/s")
	b.ReportMetric(single, "single-orders/s")
	b.ReportMetric(grouped/single, "ratio")
	b.ReportMetric(0, "ns/op")
}

func rate(b *testing.B, limit, orders int) float64 {
	clock := dbtest.NewClock(noon)
	d := dbtest.Open(b, db.SQLite, db.Options{Clock: clock.Now, GroupLimit: limit})
	w := &town{db: d, stores: partner.NewBook(d, partner.StandardDefaults()), clock: clock}
	for i := range 100 {
		w.store(b, partner.Input{Name: p(fmt.Sprint(i)), Lat: p(-1.29 + float64(i%10)*.01), Lng: p(36.8 + float64(i/10)*.01), OrdersPerSlot: p(100_000)})
	}
	w.book = w.open(b)
	began := time.Now()
	w.place(b, orders)
	return float64(orders) / time.Since(began).Seconds()
}

func (w *town) place(b *testing.B, orders int) {
	const writers = 64
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := i; n < orders; n += writers {
				d := draft(geo.Point{Lat: -1.29 + float64(n%97)*.001, Lng: 36.8 + float64(n%89)*.001})
				if _, err := w.book.Place(context.Background(), 1, d, nil); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
