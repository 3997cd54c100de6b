package forecast

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestDaysAreCivilDays(t *testing.T) {
	tokyo := time.FixedZone("", 9*3600)
	for _, c := range []struct {
		at   time.Time
		want int32
	}{
		{time.Unix(0, 0).UTC(), 0},
		{time.Date(1969, 12, 31, 23, 59, 0, 0, time.UTC), -1},
		{time.Date(2024, 5, 11, 0, 30, 0, 0, tokyo), 19854}, // still 10 May in Greenwich
		{time.Date(2024, 5, 10, 23, 59, 59, 0, time.UTC), 19853},
	} {
		if got := DayOf(c.at); got != c.want {
			t.Errorf("%v is day %d, want %d", c.at, got, c.want)
		}
	}
}

// May 2024 in China: Wednesday 1 May to Friday 3 May are free, and Saturday 11 May is worked.
func TestACalendarKnowsWhatWeekdaysDoNot(t *testing.T) {
	first := DayOf(time.Date(2024, 4, 29, 0, 0, 0, 0, time.UTC)) // a Monday
	c := Calendar{Free: []int32{first + 2, first + 3, first + 4, first + 5, -5, math.MaxInt32}, Working: []int32{first + 12, first + 1}}
	want := []uint8{0, 1, 7, 7, 7, 5, 6, 0, 1, 2, 3, 4, 8, 6}
	if got := c.kinds(first, first+13); !slices.Equal(got, want) {
		t.Errorf("the days are of kinds %v, want %v", got, want)
	}
	if got := c.kinds(-3, -1); !slices.Equal(got, []uint8{0, 1, 2}) { // 29 December 1969 was a Monday
		t.Errorf("before 1970: %v", got)
	}
	if got := c.kinds(5, 4); len(got) != 0 {
		t.Errorf("a window that ends before it begins has days %v", got)
	}
}

func TestPricesFallIntoSteps(t *testing.T) {
	for price, want := range map[float32]uint8{0: 14, 1: 14, 0.999: 13, 0.96: 13, 0.9: 12, 0.5: 4, 0.2: 1, 0.01: 0, 1.01: 14, 1.1: 15, 100: 15} {
		if got := priceBin(cleanPrice(price)); got != want {
			t.Errorf("price %v is in step %d, want %d", price, got, want)
		}
	}
	if logPrice(0.01) != 0 || logPrice(1) != 0 || logPrice(0.1) != logPrice(0.3) || !(logPrice(0.5) < logPrice(0.9)) {
		t.Error("logarithms of prices are out of order")
	}
}

func TestAbsurdObservationsAreRefused(t *testing.T) {
	h := NewHistory(make([]Store, 2), make([]SKU, 3), Calendar{})
	nan := float32(math.NaN())
	good := Observation{Store: 1, SKU: 2, Day: 19000, Units: 3, Open: 1, Price: 0.9}
	if !h.Add(good) || !h.Add(Observation{}) {
		t.Error("a good observation is refused")
	}
	for _, spoil := range []func(*Observation){
		func(o *Observation) { o.Store = 2 }, func(o *Observation) { o.Store = -1 }, func(o *Observation) { o.SKU = 3 },
		func(o *Observation) { o.SKU = -1 }, func(o *Observation) { o.Units = -1 }, func(o *Observation) { o.Units = nan },
		func(o *Observation) { o.Units = float32(math.Inf(1)) }, func(o *Observation) { o.Open = nan }, func(o *Observation) { o.Open = 1.5 },
		func(o *Observation) { o.Open = -0.1 }, func(o *Observation) { o.Price = nan }, func(o *Observation) { o.Price = -1 },
	} {
		bad := good
		spoil(&bad)
		if h.Add(bad) {
			t.Errorf("%+v is taken", bad)
		}
	}
	if h.Len() != 2 {
		t.Errorf("%d observations are kept", h.Len())
	}
}

func TestRowsAreArrangedByStoreSKUAndDay(t *testing.T) {
	h := NewHistory(make([]Store, 3), make([]SKU, 2), Calendar{})
	for _, o := range []Observation{
		{Store: 2, SKU: 1, Day: 12, Units: 5}, {Store: 0, SKU: 1, Day: 11, Units: 2}, {Store: 2, SKU: 0, Day: 10, Units: 3},
		{Store: 2, SKU: 1, Day: 10, Units: 4}, {Store: 0, SKU: 1, Day: 9, Units: 9}, {Store: 0, SKU: 1, Day: 13, Units: 9},
	} {
		h.Add(o)
	}
	p := h.arrange(10, 12)
	var units []float32
	for _, o := range p.obs {
		units = append(units, o.units)
	}
	if !slices.Equal(p.store, []int32{0, 2, 2}) || !slices.Equal(p.sku, []int32{1, 0, 1}) || !slices.Equal(p.from, []int32{0, 1, 2, 4}) || !slices.Equal(units, []float32{2, 3, 4, 5}) {
		t.Errorf("stores %v, SKUs %v, from %v, units %v", p.store, p.sku, p.from, units)
	}
}

// A sparse history's sample writes out the days without sales, of pairs without sales too, and
// from the day on that store and SKU were there.
func TestASparseSampleIsComplete(t *testing.T) {
	h := NewHistory([]Store{{}, {Since: 12}}, []SKU{{}, {Since: 11}}, Calendar{}).Sparse()
	h.Add(Observation{Store: 0, SKU: 0, Day: 10, Units: 1, Open: 1})
	h.Add(Observation{Store: 1, SKU: 1, Day: 13, Units: 2, Open: 1})
	s := h.arrange(10, 13).sample(h, 10, 13)
	var days []int
	for i := range s.pairs() {
		days = append(days, len(s.of(i)))
	}
	if s.pairs() != 4 || !slices.Equal(days, []int{4, 3, 2, 2}) {
		t.Errorf("%d pairs with %v days", s.pairs(), days)
	}
	var units float32
	for _, o := range s.obs {
		units += o.units
	}
	if units != 3 {
		t.Errorf("%v units are in the sample, want 3", units)
	}
}
