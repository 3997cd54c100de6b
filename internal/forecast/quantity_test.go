package forecast

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// town is a neighbourhood to decide about.
type town struct {
	items []Item
	room  []float64
	spots []Spot
}

// sold is E[min(Y, x)], from the law's survival alone.
func sold(l Law, x float64) (units float64) {
	for k := 0; float64(k) < x; k++ {
		units += min(1, x-float64(k)) * l.Survival(k)
	}
	return units
}

// cost is what an allocation is expected to cost, as documented at Allot.
func (w town) cost(asked []int) (cost float64) {
	n := len(w.room)
	for k, it := range w.items {
		var law Law
		there := 0.0
		for i := range n {
			s := w.spots[k*n+i]
			law = law.Add(s.Law)
			x := float64(s.Have) + s.keeps()*float64(s.Promised+asked[k*n+i])
			cost -= it.Near * sold(s.Law.WithEvent(it.Event), x)
			there += x
		}
		law = law.WithEvent(it.Event)
		gone := sold(law, there)
		cost += it.Short*(law.Mean-gone) + it.Over*(there-gone)
	}
	return cost
}

// slack is what an allocation may cost above the least, because units worth hardly anything are not asked for.
func (w town) slack() float64 {
	sum := 1e-9
	for _, it := range w.items {
		if !it.Fixed {
			sum += 10 * hardly * it.Short
		}
	}
	return sum
}

// least tries every allocation and returns the cost of the best.
func (w town) least() float64 {
	best := math.Inf(1)
	asked := make([]int, len(w.spots))
	room := slices.Clone(w.room)
	var try func(at int)
	try = func(at int) {
		if at == len(asked) {
			if w.fixedMet(asked) {
				best = min(best, w.cost(asked))
			}
			return
		}
		it, store := w.items[at/len(room)], at%len(room)
		try(at + 1)
		if w.spots[at].Out {
			return
		}
		step := float64(pack(&it)) * volume(&it)
		packs := 0
		for room[store] >= step-1e-9 && packs < 12 {
			packs++
			room[store] -= step
			asked[at] += pack(&it)
			try(at + 1)
		}
		room[store] += float64(packs) * step
		asked[at] = 0
	}
	try(0)
	return best
}

func (w town) fixedMet(asked []int) bool {
	n := len(w.room)
	for k, it := range w.items {
		sum := 0
		for _, u := range asked[k*n : (k+1)*n] {
			sum += u
		}
		if it.Fixed && sum != it.Target {
			return false
		}
	}
	return true
}

func drawTown(t *rapid.T, items, stores int) town {
	var w town
	for range stores {
		w.room = append(w.room, float64(rapid.IntRange(0, 6).Draw(t, "room")))
	}
	for range items {
		it := Item{Pack: 1}
		it.Short = rapid.Float64Range(0.1, 10).Draw(t, "short")
		it.Over = rapid.Float64Range(0.01, 5).Draw(t, "over")
		it.Event = rapid.SampledFrom([]float64{0, 0.1, 0.5}).Draw(t, "event")
		w.items = append(w.items, it)
		for range stores {
			mean := rapid.Float64Range(0, 4).Draw(t, "mean")
			w.spots = append(w.spots, Spot{Law: Law{mean, mean * rapid.Float64Range(1, 4).Draw(t, "dispersion")}})
		}
	}
	return w
}

func TestOneItemIsAllottedAtLeastCost(t *testing.T) {
	var a Allotter
	rapid.Check(t, func(t *rapid.T) {
		w := drawTown(t, 1, 3)
		it := &w.items[0]
		it.Near = rapid.SampledFrom([]float64{0, 0.3, 2}).Draw(t, "near")
		it.Pack = rapid.IntRange(1, 3).Draw(t, "pack")
		keeps := rapid.SampledFrom([]float64{0, 0.5, 0.9}).Draw(t, "keeps")
		for i := range w.spots {
			s := &w.spots[i]
			s.Have, s.Promised = rapid.IntRange(0, 3).Draw(t, "have"), rapid.IntRange(0, 3).Draw(t, "promised")
			s.Keeps, s.Out = keeps, rapid.IntRange(0, 5).Draw(t, "out") == 0
		}
		asked, terms := a.Allot(w.items, w.room, w.spots)
		if got, want := w.cost(asked), w.least(); got > want+w.slack() {
			t.Fatalf("%v costs %v, the least is %v: %+v", asked, got, want, terms)
		}
	})
}

func TestItemsOfEqualVolumeShareTheShelvesAtLeastCost(t *testing.T) {
	var a Allotter
	rapid.Check(t, func(t *rapid.T) {
		w := drawTown(t, 3, 1)
		if rapid.Bool().Draw(t, "two stores") {
			w = drawTown(t, 2, 2)
		}
		asked, _ := a.Allot(w.items, w.room, w.spots)
		if got, want := w.cost(asked), w.least(); got > want+w.slack() {
			t.Fatalf("%v costs %v, the least is %v", asked, got, want)
		}
	})
}

func TestAFixedTargetGoesWhereItIsMostLikelySold(t *testing.T) {
	var a Allotter
	rapid.Check(t, func(t *rapid.T) {
		w := drawTown(t, 1, 3)
		it := &w.items[0]
		it.Fixed, it.Target, it.Near = true, rapid.IntRange(0, 12).Draw(t, "target"), 1
		for i := range w.spots {
			w.spots[i].Have = rapid.IntRange(0, 3).Draw(t, "have")
		}
		asked, terms := a.Allot(w.items, w.room, w.spots)
		asked = slices.Clone(asked)
		free := w.room[0] + w.room[1] + w.room[2]
		if want := min(it.Target, int(free)); asked[0]+asked[1]+asked[2] != want || terms[0].Asked != want {
			t.Fatalf("%v (%+v) are not %d", asked, terms[0], want)
		}
		if it.Target > int(free) {
			if !terms[0].Full {
				t.Fatal("no room is left, and nothing says so")
			}
			return
		}
		// The target stands for the demand, so the oracle sees the laws scaled to it.
		scaled := w
		scaled.spots = slices.Clone(w.spots)
		mean, holds := 0.0, 0.0
		for _, s := range w.spots {
			mean += s.Law.Mean
			holds += float64(s.Have)
		}
		if mean < 1e-6 { // counts as unknown
			return
		}
		for i := range scaled.spots {
			scaled.spots[i].Law = w.spots[i].Law.Scale((float64(it.Target) + holds) / mean)
		}
		if got, want := scaled.cost(asked), scaled.least(); got > want+1e-9 {
			t.Fatalf("%v costs %v, the least is %v", asked, got, want)
		}
	})
}

func TestNoShelfOverflowsAndPacksStayWhole(t *testing.T) {
	var a Allotter
	rapid.Check(t, func(t *rapid.T) {
		w := drawTown(t, rapid.IntRange(1, 4).Draw(t, "items"), rapid.IntRange(1, 5).Draw(t, "stores"))
		for k := range w.items {
			it := &w.items[k]
			it.Pack, it.Volume = rapid.IntRange(0, 4).Draw(t, "pack"), rapid.SampledFrom([]float64{0, 0.1, 0.7, 3}).Draw(t, "volume")
			it.Near = rapid.SampledFrom([]float64{0, 1}).Draw(t, "near")
			it.Fixed, it.Target = rapid.Bool().Draw(t, "fixed"), rapid.IntRange(0, 20).Draw(t, "target")
		}
		for i := range w.spots {
			s := &w.spots[i]
			s.Keeps, s.Out = rapid.Float64Range(0.1, 1).Draw(t, "keeps"), rapid.IntRange(0, 5).Draw(t, "out") == 0
			s.Have = rapid.IntRange(0, 5).Draw(t, "have")
		}
		asked, terms := a.Allot(w.items, w.room, w.spots)
		for i, room := range w.room {
			for k := range w.items {
				at := k*len(w.room) + i
				if asked[at]%pack(&w.items[k]) != 0 || asked[at] > 0 && w.spots[at].Out {
					t.Fatalf("store %d is asked for %d of %+v", i, asked[at], w.items[k])
				}
				room -= float64(asked[at]) * volume(&w.items[k])
			}
			if room < -1e-9 {
				t.Fatalf("store %d lacks room for %v", i, -room)
			}
		}
		for k, it := range w.items {
			sum := 0
			for _, u := range asked[k*len(w.room) : (k+1)*len(w.room)] {
				sum += u
			}
			if sum != terms[k].Asked || it.Fixed && sum > it.Target || (sum > 0) != (terms[k].Worth > 0) && !it.Fixed {
				t.Fatalf("item %d: %d asked, %+v", k, sum, terms[k])
			}
		}
	})
}

func TestTheOrderOfStoresDoesNotMatter(t *testing.T) {
	var a Allotter
	rapid.Check(t, func(t *rapid.T) {
		w := drawTown(t, 1, 5)
		w.items[0].Near = 0.5
		for i := range w.spots {
			w.spots[i].Keeps = rapid.Float64Range(0.5, 1).Draw(t, "keeps")
		}
		asked, terms := a.Allot(w.items, w.room, w.spots)
		units, before := slices.Clone(asked), terms[0]
		to := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Perm(5)
		moved := town{w.items, make([]float64, 5), make([]Spot, 5)}
		for i, j := range to {
			moved.room[j], moved.spots[j] = w.room[i], w.spots[i]
		}
		asked, terms = a.Allot(moved.items, moved.room, moved.spots)
		if terms[0].Asked != before.Asked {
			t.Fatalf("%d units, in another order %d", before.Asked, terms[0].Asked)
		}
		for i, j := range to {
			if units[i] != asked[j] && !w.tied() {
				t.Fatalf("%v in another order %v is %v", units, to, asked)
			}
		}
	})
}

// tied reports whether two stores are alike, so that either may get a unit.
func (w town) tied() bool {
	for i, s := range w.spots {
		for _, r := range w.spots[:i] {
			if math.Abs(s.Law.Mean-r.Law.Mean) < 1e-6 && math.Abs(s.Law.Var-r.Law.Var) < 1e-6 {
				return true
			}
		}
	}
	return false
}

func TestADearerShortageNeverAsksForLess(t *testing.T) {
	var a Allotter
	rapid.Check(t, func(t *rapid.T) {
		w := drawTown(t, 1, 4)
		_, terms := a.Allot(w.items, w.room, w.spots)
		before := terms[0]
		w.items[0].Short *= rapid.Float64Range(1, 5).Draw(t, "dearer")
		if _, terms := a.Allot(w.items, w.room, w.spots); terms[0].Asked < before.Asked || terms[0].Enough < before.Enough {
			t.Fatalf("%+v became %+v", before, terms[0])
		}
	})
}

func TestTheNeighbourhoodNeverCostsMoreThanItsStoresAlone(t *testing.T) {
	var a Allotter
	rapid.Check(t, func(t *rapid.T) {
		w := drawTown(t, 1, 4)
		alone := make([]int, len(w.spots))
		for i, s := range w.spots {
			w.room[i] = Unbounded
			alone[i] = Newsvendor(s.Law.WithEvent(w.items[0].Event), w.items[0].Costs)
		}
		asked, _ := a.Allot(w.items, w.room, w.spots)
		if got, want := w.cost(asked), w.cost(alone); got > want+w.slack() {
			t.Fatalf("%v costs %v, each store by itself %v costs %v", asked, got, alone, want)
		}
	})
}

func TestAStoreAloneGetsTheNewsvendorsQuantity(t *testing.T) {
	var a Allotter
	rapid.Check(t, func(t *rapid.T) {
		w := drawTown(t, 1, 1)
		w.room[0] = Unbounded
		asked, terms := a.Allot(w.items, w.room, w.spots)
		l, ratio := w.spots[0].Law.WithEvent(w.items[0].Event), w.items[0].Ratio()
		q := Newsvendor(l, w.items[0].Costs)
		// Nobody asks for a unit that is worth hardly anything, where the chance all but meets the ratio.
		if asked[0] != q && math.Abs(l.CDF(min(asked[0], q))-ratio) > hardly {
			t.Fatalf("%d are asked, the newsvendor says %d: %+v", asked[0], q, terms[0])
		}
	})
}

func TestWhatIsThereIsNotAskedAgain(t *testing.T) {
	var a Allotter
	items := []Item{{Costs: Costs{Short: 4, Over: 1, Near: 0.5}, Pack: 6, Event: 0.1}}
	room := []float64{100, 100, 100}
	spots := []Spot{{Law: Law{8, 16}}, {Law: Law{5, 9}}, {Law: Law{0, 0}}}
	asked, terms := a.Allot(items, room, spots)
	first := slices.Clone(asked)
	if first[0] == 0 || first[1] == 0 || terms[0].Asked != first[0]+first[1]+first[2] {
		t.Fatalf("asked %v: %+v", first, terms[0])
	}
	for i := range spots {
		spots[i].Promised = first[i]
	}
	if asked, terms := a.Allot(items, room, spots); terms[0].Asked != 0 {
		t.Errorf("a second plan asks %v again", asked)
	}
}

func TestUnitsThatCostNothingStillHaveAnEnd(t *testing.T) {
	var a Allotter
	items := []Item{{Costs: Costs{Short: 1, Near: 0.1}}}
	spots := []Spot{{Law: Law{5, 10}}, {Law: Law{7, 60}}}
	_, terms := a.Allot(items, []float64{Unbounded, Unbounded}, spots)
	if n := terms[0].Asked; n < 50 || n > 500 {
		t.Errorf("%+v for a mean of 12", terms[0])
	}
	if q := Newsvendor(Law{5, 10}, items[0].Costs); q < 20 || q > 50 {
		t.Errorf("the newsvendor stocks %d for a mean of 5", q)
	}
}

func TestMoreIsAskedWhereStoresAreUnreliable(t *testing.T) {
	var a Allotter
	items := []Item{{Costs: Costs{Short: 4, Over: 1}}}
	room := []float64{Unbounded, Unbounded}
	spots := []Spot{{Law: Law{20, 30}}, {Law: Law{20, 30}}}
	_, terms := a.Allot(items, room, spots)
	sure := terms[0]
	for i := range spots {
		spots[i].Keeps = 0.8
	}
	_, terms = a.Allot(items, room, spots)
	if unsure := terms[0]; math.Abs(float64(unsure.Asked)*0.8-float64(sure.Asked)) > 1 || unsure.Enough < sure.Enough-0.05 {
		t.Errorf("%+v, where four of five units come %+v", sure, unsure)
	}
	spots[0].Keeps = 1
	if asked, _ := a.Allot(items, room, spots); asked[0] <= asked[1] {
		t.Errorf("the reliable store is asked for %d, the other for %d", asked[0], asked[1])
	}
}

func TestATotalIsSplitByWhatSells(t *testing.T) {
	var a Allotter
	all := []Neighbourhood{{Law: Law{10, 20}, Room: 1000}, {Law: Law{30, 60}, Room: 1000}, {Law: Law{20, 40}, Holds: 20, Room: 1000}, {Room: 1000}}
	out := make([]int, len(all))
	if n := a.Split(400, 1, all, out); n != 400 {
		t.Fatalf("%d of 400 placed: %v", n, out)
	}
	// 420 units for means of 10, 30 and 20, one part held already.
	for i, want := range []float64{70, 210, 120, 0} {
		if math.Abs(float64(out[i])-want) > 0.05*want+3 {
			t.Errorf("neighbourhood %d gets %d, not some %v", i, out[i], want)
		}
	}
	all[1].Room = 7
	if n := a.Split(400, 6, all, out); n != 396 || out[1] != 6 || out[0]%6 != 0 {
		t.Errorf("with one shelf nearly full, in packs of 6: %d placed, %v", n, out)
	}
	for i := range all {
		all[i].Room = 5
	}
	if n := a.Split(400, 1, all, out); n != 20 {
		t.Errorf("%d placed where there is room for 20", n)
	}
	items := []Item{{Costs: Costs{Short: 1}, Fixed: true, Target: 10}}
	if asked, _ := a.Allot(items, []float64{Unbounded, 20, 1}, make([]Spot, 3)); asked[0]+asked[1] != 9 || asked[2] != 1 || asked[0]-asked[1] > 1 {
		t.Errorf("10 units where nothing is known: %v", asked)
	}
	nobody := []Neighbourhood{{Room: 100}, {Room: 100}, {Room: 100}}
	if a.Split(30, 1, nobody, out[:3]); !slices.Equal(out[:3], []int{10, 10, 10}) {
		t.Errorf("where nothing is known %v", out[:3])
	}
}

// A large total is handed out in bulk first; one by one gives the same.
func TestALargeTotalIsSplitAsUnitByUnit(t *testing.T) {
	var a Allotter
	rapid.Check(t, func(t *rapid.T) {
		var all []Neighbourhood
		total, pack := rapid.IntRange(200, 2000).Draw(t, "total"), rapid.IntRange(1, 4).Draw(t, "pack")
		mean, holds := 0.0, 0.0
		for range 6 {
			m := rapid.Float64Range(0, 50).Draw(t, "mean")
			n := Neighbourhood{Law: Law{m, m * rapid.Float64Range(1, 9).Draw(t, "dispersion")}, Holds: rapid.Float64Range(0, 40).Draw(t, "holds"),
				Room: rapid.IntRange(0, 900).Draw(t, "room")}
			mean, holds = mean+m, holds+n.Holds
			all = append(all, n)
		}
		if mean < 1 {
			return
		}
		out := make([]int, len(all))
		placed := a.Split(total, pack, all, out)
		sum, left := 0, total/pack
		for _, n := range all {
			sum += n.Room / pack
		}
		for i, units := range out {
			if units > all[i].Room || units%pack != 0 {
				t.Fatalf("%d units in room for %d, in packs of %d", units, all[i].Room, pack)
			}
		}
		if placed != min(left, sum)*pack {
			t.Fatalf("%d placed, %d packs of %d wanted, room for %d", placed, left, pack, sum)
		}
		// At the best there is no pair of neighbourhoods to move a pack between.
		next := func(i, units int) float64 {
			l := all[i].Law.Scale((float64(total) + holds) / mean)
			return (sold(l, all[i].Holds+float64(units+pack)) - sold(l, all[i].Holds+float64(units))) / float64(pack)
		}
		for i := range all {
			for j := range all {
				if i != j && out[i] > 0 && out[j]+pack <= all[j].Room && next(i, out[i]-pack) < next(j, out[j])-1e-9 {
					t.Fatalf("%v: a pack is better at %d than at %d", out, j, i)
				}
			}
		}
	})
}

func TestAbsurdDemandEndsSoon(t *testing.T) {
	var a Allotter
	_, terms := a.Allot([]Item{{Costs: Costs{Short: 4, Over: 1}, Pack: 12}}, []float64{Unbounded, Unbounded}, []Spot{{Law: Law{1e12, 1e13}}, {Law: Law{1e9, 1e9}}})
	if n := terms[0].Asked; n < 990_000 || n > 1_010_000 {
		t.Errorf("%+v", terms[0])
	}
}

func TestSplittingIsBest(t *testing.T) {
	var a Allotter
	rapid.Check(t, func(t *rapid.T) {
		pack := rapid.IntRange(1, 3).Draw(t, "pack")
		total := pack * rapid.IntRange(0, 8).Draw(t, "packs")
		var all []Neighbourhood
		mean, holds := 0.0, 0.0
		for range 3 {
			m := rapid.Float64Range(0.1, 5).Draw(t, "mean")
			n := Neighbourhood{Law: Law{m, m * rapid.Float64Range(1, 4).Draw(t, "dispersion")},
				Holds: float64(rapid.IntRange(0, 4).Draw(t, "holds")), Room: pack * rapid.IntRange(0, 9).Draw(t, "room")}
			mean, holds = mean+m, holds+n.Holds
			all = append(all, n)
		}
		value := func(units []int) (v float64) {
			for i, n := range all {
				v += sold(n.Law.Scale((float64(total)+holds)/mean), n.Holds+float64(units[i])) - sold(n.Law.Scale((float64(total)+holds)/mean), n.Holds)
			}
			return v
		}
		out := make([]int, 3)
		placed := a.Split(total, pack, all, out)
		best, most := 0.0, 0
		for x := 0; x <= min(total, all[0].Room); x += pack {
			for y := 0; y <= min(total-x, all[1].Room); y += pack {
				z := min(total-x-y, all[2].Room)
				best, most = max(best, value([]int{x, y, z})), max(most, x+y+z)
			}
		}
		if value(out) < best-1e-9 || placed != most {
			t.Fatalf("%v (%d units) sells %v, the best %v (%d units)", out, placed, value(out), best, most)
		}
	})
}

func TestAllottingMakesNoGarbage(t *testing.T) {
	var a Allotter
	items, room, spots := country(20, 9)
	all, out := make([]Neighbourhood, 50), make([]int, 50)
	for i := range all {
		all[i] = Neighbourhood{Law: Law{float64(i), float64(2 * i)}, Room: 100}
	}
	work := func() {
		a.Allot(items, room, spots)
		a.Split(500, 1, all, out)
	}
	work()
	if n := testing.AllocsPerRun(5, work); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// country is one neighbourhood of a large plan.
func country(items, stores int) ([]Item, []float64, []Spot) {
	r := rand.New(rand.NewPCG(1, 2))
	var its []Item
	var room []float64
	var spots []Spot
	for range stores {
		room = append(room, 40+float64(r.IntN(60)))
	}
	for range items {
		its = append(its, Item{Costs: Costs{Short: 3, Over: 1, Near: 0.2}, Pack: 1 + r.IntN(6), Event: 0.1})
		for range stores {
			m := r.ExpFloat64() * 3
			spots = append(spots, Spot{Law: Law{m, m * 1.6}, Keeps: 0.6 + 0.4*r.Float64(), Have: r.IntN(2)})
		}
	}
	return its, room, spots
}

func BenchmarkAllot(b *testing.B) {
	for _, fixed := range []bool{false, true} {
		b.Run(fmt.Sprintf("9stores20items/fixed=%v", fixed), func(b *testing.B) {
			var a Allotter
			items, room, spots := country(20, 9)
			for k := range items {
				items[k].Fixed, items[k].Target = fixed, 30
			}
			b.ReportAllocs()
			for b.Loop() {
				a.Allot(items, room, spots)
			}
		})
	}
}

func BenchmarkAllotDense(b *testing.B) {
	for _, n := range []int{9, 30, 100, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var a Allotter
			items, room, spots := country(20, n)
			for b.Loop() {
				a.Allot(items, room, spots)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(20*n), "ns/spot")
		})
	}
}

func BenchmarkSplit(b *testing.B) {
	var a Allotter
	r := rand.New(rand.NewPCG(1, 2))
	all, out := make([]Neighbourhood, 67_000), make([]int, 67_000)
	for i := range all {
		m := 30 * r.ExpFloat64()
		all[i] = Neighbourhood{Law: Law{m, 3 * m}, Room: 1000}
	}
	for b.Loop() {
		a.Split(3_000_000, 1, all, out)
	}
}
