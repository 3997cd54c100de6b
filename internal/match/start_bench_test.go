package match_test

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/match"
	"doorstep/internal/partner"
)

// BenchmarkStart opens a book on 600,000 stores in SQLite: the processor time until orders can be
// placed, and what the index keeps on the heap for each store.
func BenchmarkStart(b *testing.B) {
	clock := dbtest.NewClock(noon)
	d := dbtest.Open(b, db.SQLite, db.Options{Clock: clock.Now})
	stores := partner.NewBook(d, partner.StandardDefaults())
	w := &town{db: d, stores: stores, clock: clock}
	w.store(b, partner.Input{Name: p("Corner shop in the street"), Lat: p(-1.29), Lng: p(36.8), TimeZone: p("Africa/Nairobi"),
		Line1: p("1 Long Street"), Locality: p("Nairobi"), Country: p("KE"), Phone: p("+254712345678"), OpeningHours: p("Mo-Su 07:00-22:00")})
	// The others are copies in other places; a cell is not looked at here.
	err := d.InTx(context.Background(), func(tx *db.Tx) error {
		_, err := tx.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO store SELECT key + i, NULL, name || i, status, lat + (i % 977) * 0.01, lng + (i % 613) * 0.01, cell, address, phone,
				locale, time_zone, opening_hours, service_radius_m, slot_minutes, orders_per_slot, shelf_units, auto_accept, offer_timeout_s,
				paused_until, version, last_event, created_at, updated_at, removed_at, key + i FROM store, n`, manyStores-1)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	before := heap()
	began := cpu()
	book, err := match.NewBook(context.Background(), d, stores, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	took := cpu() - began
	if err != nil || book.Stores() != manyStores {
		b.Fatalf("%d stores: %v", book.Stores(), err)
	}
	b.ReportMetric(took.Seconds(), "cpu-s")
	b.ReportMetric((heap()-before)/manyStores, "B/store")
	b.ReportMetric(0, "ns/op")
	if book.Stores() == 0 {
		b.Fatal("kept until here")
	}
}
