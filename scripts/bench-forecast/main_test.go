package main

import (
	"compress/gzip"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doorstep/internal/forecast"
)

func TestFiguresAreHeldAgainstTheirMarks(t *testing.T) {
	var out strings.Builder
	r := &report{out: &out}
	r.goal("B3-p80", 0.5423, 0.57, 0.52, "pinball")
	r.goal("B4-p80", 0.771, 0.9, 0.8, "pinball")
	r.goal("B2-0.8", math.NaN(), 0.87, 0.79, "nothing came out")
	r.info("by the %s", "way")
	want := "GOAL B3-p80 0.542 0.57 0.52 short pinball\nGOAL B4-p80 0.771 0.9 0.8 met pinball\nGOAL B2-0.8 - 0.87 0.79 short nothing came out\nINFO by the way\n"
	if out.String() != want {
		t.Errorf("it prints\n%swant\n%s", out.String(), want)
	}
	if got := r.summary(2e9, []string{"retail"}); got != "\n3 figures in 2 s; below the floor: B2-0.8; floor met, goal short: B3-p80; FAILED: retail\n" {
		t.Errorf("the summary is %q", got)
	}
}

func TestWithoutDataARunSaysSoAndFails(t *testing.T) {
	var out strings.Builder
	err := run([]string{"-data", filepath.Join(t.TempDir(), "none"), "-only", "fresh,juice"}, &out, io.Discard)
	if err == nil || !strings.Contains(out.String(), "ABSENT") || !strings.Contains(out.String(), "FAILED: fresh, juice") {
		t.Errorf("%v, having printed %s", err, out.String())
	}
	if err := run([]string{"-only", "fruit"}, io.Discard, io.Discard); err == nil {
		t.Error("an unknown part is run")
	}
}

// pack writes a small file as the recorded ones are.
func pack(t *testing.T, dir, name, text string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !strings.HasSuffix(name, ".gz") {
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		return
	}
	z := gzip.NewWriter(f)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

// A file of two stores: 11 May 2024 was a Saturday that the calendar calls free, 1 May a Wednesday
// that it calls free, and 12 May a Sunday that it calls worked.
func smallFresh(t *testing.T) *table {
	dir := t.TempDir()
	pack(t, dir, "demand_freshretail_products.csv", "product_id,mgmt_group_id,cat1,cat2,cat3\n7,1,3,4,5\n9,1,2,2,2\n")
	pack(t, dir, "demand_freshretail_calendar.csv", "city_id,dt,holiday_flag,precpt,avg_temp\n1,2024-05-01,1,0,0\n2,2024-05-01,1,0,0\n1,2024-05-11,1,0,0\n1,2024-05-12,0,0,0\n1,2024-05-02,0,0,0\n")
	pack(t, dir, freshFile, "city_id,store_id,product_id,dt,sale10,q06_09,q10_13,q14_17,q18_23,stockout_hours_6_21,discount,activity_flag\n"+
		"1,25,7,2024-05-01,3,1,2,0,0,0,1.0,0\n1,25,7,2024-05-03,5,1,2,0,0,4,0.8,1\n2,30,9,2024-05-02,2,0,0,0,0,16,0.0,0\n")
	tb, err := readFresh(dir, freshFile)
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

func TestFreshRetailIsRead(t *testing.T) {
	tb := smallFresh(t)
	if len(tb.pairs) != 2 || tb.days != 3 || date(tb.first) != "1 May 2024" || date(tb.last()) != "3 May 2024" {
		t.Fatalf("%d pairs from %s to %s", len(tb.pairs), date(tb.first), date(tb.last()))
	}
	if got := *tb.of(0, tb.first+2); got != (sale{units: 5, price: 0.8, closed: 4, promo: true}) {
		t.Errorf("3 May is %+v", got)
	}
	if got := *tb.of(0, tb.first+1); got.closed != 16 || got.units != 0 {
		t.Errorf("a day without a row is %+v", got)
	}
	if got := *tb.of(1, tb.first+1); got.price != 0.01 {
		t.Errorf("what is given away costs %v", got.price)
	}
	if tb.skus[0] != (forecast.SKU{Category: 3, Class: 5}) || tb.stores[1].Region == tb.stores[0].Region {
		t.Errorf("SKUs %v, stores %v", tb.skus, tb.stores)
	}
	if c := tb.calendar; len(c.Free) != 1 || c.Free[0] != tb.first || len(c.Working) != 1 || c.Working[0] != tb.first+11 {
		t.Errorf("the calendar is %v", c)
	}
	if h := tb.history(tb.first + 1); h.Len() != 4 {
		t.Errorf("%d observations of two days of two pairs", h.Len())
	}
	if _, err := readFresh(t.TempDir(), freshFile); err == nil {
		t.Error("a missing file is read")
	}
}

func TestPinballIsTheNewsvendorsCost(t *testing.T) {
	for _, c := range []struct{ level, q, y, want float64 }{{0.8, 5, 7, 1.6}, {0.8, 7, 5, 0.4}, {0.5, 3, 3, 0}} {
		if got := pinball(c.level, c.q, c.y); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v costs %v", c, got)
		}
	}
}

// Sales are the day's number, so that each rule's days show in its value.
func TestSimpleRulesLookAtTheirDays(t *testing.T) {
	tb := &table{first: 0, days: 60, pairs: []pair{{0, 0}}, rows: make([]sale, 60)}
	for d := range tb.rows {
		tb.rows[d].units = float32(d)
	}
	tb.rows[35].closed = 3
	// The cut-off is day 40; day 44 is four days ahead, so its last known weekday is day 37.
	if got := simpleRules(tb, 0, 40, 44); got[0] != 37 || got[1] != (37+30+23+16)/4.0 || got[2] != 26.5 {
		t.Errorf("the rules say %v", got)
	}
	if got := simpleRules(tb, 0, 40, 48); got[0] != 34 {
		t.Errorf("eight days ahead the last known weekday is day %v", got[0])
	}
	all, clean := lastDays(tb, 0, 40)
	if len(all) != 28 || all[0] != 13 || all[27] != 40 || len(clean) != 27 {
		t.Errorf("the last 28 days are %v, with stock %v", all, clean)
	}
}

func TestOnlineRetailIsSparse(t *testing.T) {
	dir := t.TempDir()
	pack(t, dir, "demand_onlineretail_daily.csv.gz", "date,region,sku,units,orders,avg_price\n2011-01-03,UK,A,4,1,1\n2011-01-05,UK,B,2,1,1\n2011-01-05,DE,A,9,1,1\n2011-01-09,UK,A,1,1,1\n")
	s, err := readShop(dir, "UK")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.units(0, s.first, s.first+6); len(s.skus) != 2 || got != 5 || s.units(1, s.first, s.first+1) != 0 {
		t.Errorf("SKUs %v, %v units of the first", s.skus, got)
	}
	if h := s.history(s.first + 2); h.Len() != 2 {
		t.Errorf("%d rows are known after three days", h.Len())
	}
}

func TestOrangeJuiceIsRead(t *testing.T) {
	dir := t.TempDir()
	pack(t, dir, "demand_oj_weekly.csv.gz", "store,brand,week,units,own_price_per_oz,deal,feat\n2,1,46,128,0.05,0,0.0\n2,1,45,640,0.04,0,0.7\n5,1,46,64,0.03,1,0.0\n")
	rows, stores, brands, err := readJuice(dir)
	if err != nil || stores != 2 || brands != 1 || len(rows) != 3 {
		t.Fatalf("%v: %d rows, %d stores, %d brands", err, len(rows), stores, brands)
	}
	if rows[0].week != 45 || !rows[0].promo || rows[0].units != 10 || rows[1].promo || !rows[2].promo {
		t.Errorf("the rows are %+v", rows)
	}
	if got := usualPrice(rows[:2], 0.03); got != 0.05 {
		t.Errorf("the usual price is %v", got)
	}
	if got := meanOf(rows[:2], 4, func(c carton) bool { return c.promo }); got != 10 {
		t.Errorf("the mean of weeks with a promotion is %v", got)
	}
}
