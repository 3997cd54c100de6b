package prestock_test

import (
	"os"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"
)

func TestScale(t *testing.T) {
	clock := dbtest.NewClock(monday)
	d := dbtest.Open(t, db.SQLite, db.Options{Clock: clock.Now})
	w := newTown(t, d, clock)
	f, err := os.Open("../../../shared/data/stores_newyork_foodretail.csv")
	w.must(err)
	def := partner.StandardDefaults()
	def.TimeZone, def.ShelfUnits = "America/New_York", 200
	t0 := time.Now()
	r, err := w.stores.Import(ctx, f, partner.ImportOptions{Format: "csv", Defaults: def})
	w.must(err)
	t.Log("import", r.Created, time.Since(t0))
	in := singlesDay(200000)
	in.SKUs = append(in.SKUs, prestock.SKU{SKU: "B", ExpectedUnits: units(300000), CasePack: 6})
	c := w.campaign(in)
	t0 = time.Now()
	p, err := w.book.Plan(ctx, c.Key)
	w.must(err)
	t.Log("plan", p, time.Since(t0))
	t0 = time.Now()
	p, err = w.book.Plan(ctx, c.Key)
	w.must(err)
	t.Log("replan", p, time.Since(t0))
	_, err = w.book.Approve(ctx, c.Key)
	w.must(err)
	w.before(72 * time.Hour)
	t0 = time.Now()
	n, err := w.book.PromptDue(ctx)
	w.must(err)
	t.Log("prompt", n, time.Since(t0))
	t0 = time.Now()
	list := w.tasks(prestock.Filter{})
	for _, x := range list {
		_, err = w.book.Acknowledge(ctx, x.Key, x.Asked/2)
		w.must(err)
	}
	t.Log("200 halves", time.Since(t0), len(w.kids(list[0])))
	w.before(20 * time.Hour)
	_, err = d.Read(ctx), error(nil)
	t0 = time.Now()
	n, err = w.book.ExpireDue(ctx)
	t.Log("expire", n, err, time.Since(t0))
}
