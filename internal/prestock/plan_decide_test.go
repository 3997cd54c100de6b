package prestock

import (
	"math/rand/v2"
	"slices"
	"testing"

	"doorstep/geo"

	"pgregory.net/rapid"
)

// drawSheet is a small country in which anything may be: stores without a known shelf, full ones, some that
// were asked already, SKUs with a fixed total, with case packs, and some that nobody has ever sold.
func drawSheet(t *rapid.T) *sheet {
	sh := &sheet{campaign: Campaign{Kind: Peak}}
	for h := range rapid.IntRange(1, 4).Draw(t, "neighbourhoods") {
		from := int32(len(sh.sites))
		for range rapid.IntRange(1, 5).Draw(t, "stores") {
			s := site{key: int64(1000 + len(sh.sites)), capacity: int32(rapid.IntRange(1, 500).Draw(t, "capacity")), keeps: 1}
			if rapid.Bool().Draw(t, "shelf is known") {
				s.units = 200
				s.room = int32(rapid.IntRange(-5, 200).Draw(t, "room"))
			}
			if rapid.IntRange(0, 3).Draw(t, "keeps") == 0 {
				s.keeps = float32(rapid.Float64Range(0.3, 1).Draw(t, "keeps its word"))
			}
			sh.sites = append(sh.sites, s)
		}
		sh.hoods = append(sh.hoods, hood{cell: geo.Cell(h + 1), from: from, to: int32(len(sh.sites))})
	}
	for k := range rapid.IntRange(1, 4).Draw(t, "skus") {
		s := SKU{SKU: string(rune('A' + k)), CasePack: rapid.IntRange(1, 6).Draw(t, "pack")}
		known := rapid.IntRange(0, 3).Draw(t, "known") > 0
		if !known || rapid.Bool().Draw(t, "fixed") {
			n := rapid.IntRange(0, 600).Draw(t, "expected")
			s.ExpectedUnits = &n
		}
		col := newColumn(s, len(sh.sites), len(sh.hoods))
		col.known, col.event = known, rapid.Float64Range(0, 0.2).Draw(t, "event")
		for i := range sh.sites {
			if known {
				mean := rapid.Float64Range(0, 60).Draw(t, "mean")
				col.mean[i], col.variance[i] = float32(mean), float32(mean*rapid.Float64Range(1, 3).Draw(t, "spread"))
			}
			if rapid.IntRange(0, 5).Draw(t, "asked before") == 0 {
				col.out[i], col.promised[i] = true, int32(rapid.IntRange(0, 30).Draw(t, "promised"))
				col.taken += int(col.promised[i])
			}
		}
		sh.columns = append(sh.columns, col)
	}
	return sh
}

// fresh is a copy of the sheet without decisions.
func (sh *sheet) fresh() *sheet {
	c := *sh
	c.columns = slices.Clone(sh.columns)
	for k := range c.columns {
		col := &c.columns[k]
		col.asked = make([]int32, len(sh.sites))
		col.sells, col.holds, col.unplaced = make([]float32, len(sh.hoods)), make([]float32, len(sh.hoods)), 0
	}
	return &c
}

func TestAPlanKeepsToItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sh := drawSheet(t)
		if err := sh.decide(); err != nil {
			t.Fatal(err)
		}
		load := make([]int32, len(sh.sites))
		for k := range sh.columns {
			col := &sh.columns[k]
			total := 0
			for i, n := range col.asked {
				if n < 0 || int(n)%col.CasePack != 0 || n > 0 && col.out[i] {
					t.Fatalf("store %d is asked %d of %s in packs of %d, out %v", i, n, col.SKU.SKU, col.CasePack, col.out[i])
				}
				load[i] += n
				total += int(n)
			}
			if col.ExpectedUnits != nil && total+col.unplaced != col.wanted() {
				t.Fatalf("%s: %d asked and %d without a place are not the %d wanted", col.SKU.SKU, total, col.unplaced, col.wanted())
			}
		}
		for i, s := range sh.sites {
			if s.bounded() && load[i] > max(0, s.room) {
				t.Fatalf("store %d has room for %d and is asked %d", i, s.room, load[i])
			}
		}
		// Units that were left out found every shelf too full for one more pack.
		for k := range sh.columns {
			col := &sh.columns[k]
			if col.ExpectedUnits == nil || col.unplaced < col.CasePack {
				continue
			}
			for i, s := range sh.sites {
				if !col.out[i] && (!s.bounded() || int(s.room-load[i]) >= col.CasePack) {
					t.Fatalf("%d of %s found no place, and store %d has room for %d", col.unplaced, col.SKU.SKU, i, s.room-load[i])
				}
			}
		}
	})
}

func TestTheSamePlanTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sh := drawSheet(t)
		again := sh.fresh()
		for _, s := range []*sheet{sh, again} {
			if err := s.decide(); err != nil {
				t.Fatal(err)
			}
		}
		for k := range sh.columns {
			if !slices.Equal(sh.columns[k].asked, again.columns[k].asked) {
				t.Fatalf("%s: %v, and then %v", sh.columns[k].SKU.SKU, sh.columns[k].asked, again.columns[k].asked)
			}
		}
	})
}

// Only ties may go by the place in a list, and numbers that were drawn do not tie.
func TestTheOrderOfSKUsAndStoresDecidesNothing(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		sh := &sheet{campaign: Campaign{Kind: Peak}}
		for h := range 3 {
			from := int32(len(sh.sites))
			for range 4 {
				sh.sites = append(sh.sites, site{key: int64(len(sh.sites)), units: 100, room: int32(10 + rng.IntN(60)), capacity: int32(1 + rng.IntN(90)), keeps: 1})
			}
			sh.hoods = append(sh.hoods, hood{cell: geo.Cell(h + 1), from: from, to: int32(len(sh.sites))})
		}
		for k := range 4 {
			s := SKU{SKU: string(rune('A' + k)), CasePack: 1, UnitMargin: &Money{Amount: int64(100 + rng.IntN(900)), Currency: "KES"}}
			if k == 3 {
				n := 80 + rng.IntN(80)
				s.ExpectedUnits = &n
			}
			col := newColumn(s, len(sh.sites), len(sh.hoods))
			col.known = true
			for i := range sh.sites {
				mean := 30 * rng.Float64()
				col.mean[i], col.variance[i] = float32(mean), float32(mean*(1+rng.Float64()))
			}
			sh.columns = append(sh.columns, col)
		}
		other := sh.fresh()
		slices.Reverse(other.columns)
		turn := func(i int) int { return i/4*4 + 3 - i%4 } // stores of a neighbourhood, the last first
		other.sites = make([]site, len(sh.sites))
		for i := range sh.sites {
			other.sites[turn(i)] = sh.sites[i]
		}
		for k := range other.columns {
			col := &other.columns[k]
			mean, variance := slices.Clone(col.mean), slices.Clone(col.variance)
			for i := range sh.sites {
				mean[turn(i)], variance[turn(i)] = col.mean[i], col.variance[i]
			}
			col.mean, col.variance = mean, variance
		}
		for _, s := range []*sheet{sh, other} {
			if err := s.decide(); err != nil {
				t.Fatal(err)
			}
		}
		for k := range sh.columns {
			for i := range sh.sites {
				if a, b := sh.columns[k].asked[i], other.columns[len(sh.columns)-1-k].asked[turn(i)]; a != b {
					t.Fatalf("seed %d: store %d is asked %d of %s, or %d in another order", seed, i, a, sh.columns[k].SKU.SKU, b)
				}
			}
		}
	}
}

func TestCoarserIsTheParent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		cell, err := geo.CellOf(geo.Point{Lat: 180*rng.Float64() - 90, Lng: 360*rng.Float64() - 180}, geo.MatchRes)
		if err != nil {
			t.Fatal(err)
		}
		for res := range geo.MatchRes + 1 {
			if want, err := geo.Parent(cell, res); err != nil || coarser(cell, res) != want {
				t.Fatalf("the parent of %s at %d is %s, not %s (%v)", cell, res, want, coarser(cell, res), err)
			}
		}
		if coarser(cell, geo.MatchRes+2) != cell {
			t.Fatal("a cell has no finer parent")
		}
	}
}

func TestFindingStores(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.Int64Range(1, 60), 0, 30, rapid.ID[int64]).Draw(t, "keys")
		sh := &sheet{}
		for _, k := range keys {
			sh.sites = append(sh.sites, site{key: k})
		}
		sh.group()
		f := finder{sh: sh}
		for _, k := range rapid.SliceOf(rapid.Int64Range(0, 61)).Draw(t, "asked for") {
			if got, want := f.find(k), slices.Index(keys, k); got != want {
				t.Fatalf("%d was found at %d, it is at %d", k, got, want)
			}
		}
	})
}

func TestWhatAUnitIsWorth(t *testing.T) {
	kes := func(n int64) *Money { return &Money{Amount: n, Currency: "KES"} }
	for _, tt := range []struct {
		margin, holding *Money
		short, over     float64
	}{
		{nil, nil, 100, 25},
		{kes(0), kes(0), 100, 25}, // nobody knows
		{kes(60), kes(40), 60, 40},
		{kes(60), kes(0), 60, 0},
		{kes(80), nil, 80, 20},
		{nil, kes(20), 80, 20},
		{kes(0), kes(20), 0, 20},
	} {
		s := SKU{UnitMargin: tt.margin, UnitHoldingCost: tt.holding}
		if c := s.costs(100); c.Short != tt.short || c.Over != tt.over || c.Near != near*tt.short {
			t.Errorf("%+v and %+v: %+v", tt.margin, tt.holding, c)
		}
	}
	sh := &sheet{columns: []column{{SKU: SKU{UnitMargin: kes(60)}}, {}, {SKU: SKU{UnitHoldingCost: kes(10)}}}}
	if got := sh.usual(); got != 50 {
		t.Errorf("the usual is %v", got)
	}
	if got := (&sheet{columns: make([]column, 2)}).usual(); got != usualRatio {
		t.Errorf("where nobody says anything it is %v", got)
	}
}
