package prestock_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"
)

// BenchmarkPrompts is a lead of 2,000 stores with 10 SKUs each, and then the looks at a town that has
// been told: what a prompt costs, and what it costs that most are not due.
func BenchmarkPrompts(b *testing.B) {
	const stores, skus = 2000, 10
	for range b.N {
		b.StopTimer()
		clock := dbtest.NewClock(monday)
		w := newTown(b, dbtest.Open(b, db.SQLite, db.Options{Clock: clock.Now}), clock)
		var file strings.Builder
		file.WriteString("external_id,name,lat,lng,time_zone,quiet_hours,shelf_units\n")
		for i := range stores {
			fmt.Fprintf(&file, "s%d,Shop %d,%f,%f,Africa/Nairobi,22:00-07:00,1000\n", i, i, -1.3+.002*float64(i%50), 36.7+.002*float64(i/50))
		}
		_, err := w.stores.Import(ctx, strings.NewReader(file.String()), partner.ImportOptions{Format: partner.CSV, Defaults: partner.StandardDefaults()})
		w.must(err)
		in := singlesDay(0)
		in.SKUs = nil
		for i := range skus {
			in.SKUs = append(in.SKUs, prestock.SKU{SKU: fmt.Sprint("SKU-", i), ExpectedUnits: units(10 * stores), CasePack: 1})
		}
		w.approved(in)
		asleep := time.Now()
		w.before(72 * time.Hour)
		w.prompt(0)
		slept := time.Since(asleep)
		w.before(68 * time.Hour)
		b.StartTimer()
		began := time.Now()
		n, err := w.book.PromptDue(ctx)
		w.must(err)
		b.StopTimer()
		took := time.Since(began)
		began = time.Now()
		for range 100 {
			w.prompt(0)
		}
		idle := time.Since(began) / 100
		b.ReportMetric(float64(took.Nanoseconds())/float64(n), "ns/prompt")
		b.ReportMetric(float64(slept.Nanoseconds())/float64(n), "ns/sleeper")
		b.ReportMetric(float64(idle.Nanoseconds()), "ns/idle")
		if n < stores {
			b.Fatalf("%d prompts", n)
		}
	}
}
