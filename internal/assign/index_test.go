package assign_test

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"doorstep/geo"
	"doorstep/internal/assign"
)

// placed is a store as the tests know it. Its value in the index is its key, so
// that a mix-up of values shows.
type placed struct {
	key     int64
	at      geo.Point
	radiusM float64
}

func (s placed) store() assign.Store[int64] {
	return assign.Store[int64]{Key: s.key, At: s.at, RadiusM: s.radiusM, Value: s.key}
}

type hit = assign.Hit[int64]

// world is the live index beside the loop over all stores that it must equal.
type world struct {
	index  *assign.Index[int64]
	stores map[int64]placed
}

func newWorld() *world {
	return &world{index: assign.NewIndex[int64](), stores: map[int64]placed{}}
}

func (w *world) put(t testing.TB, s placed) {
	t.Helper()
	if err := w.index.Put(s.store()); err != nil {
		t.Fatal(err)
	}
	w.stores[s.key] = s
}

func (w *world) remove(key int64) {
	w.index.Remove(key)
	delete(w.stores, key)
}

// all is brute force: every store that serves p, in order.
func (w *world) all(p geo.Point, maxM float64) []hit {
	var hits []hit
	for _, s := range w.stores {
		if m := geo.DistanceM(p, s.at); m <= s.radiusM && (maxM == 0 || m <= maxM) {
			hits = append(hits, hit{Store: s.store(), DistanceM: m})
		}
	}
	slices.SortFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.DistanceM, b.DistanceM), cmp.Compare(a.Key, b.Key))
	})
	return hits
}

func walked[T any](ix *assign.Index[T], p geo.Point, maxM float64) []assign.Hit[T] {
	var hits []assign.Hit[T]
	ix.Walk(p, maxM, func(h assign.Hit[T]) bool { hits = append(hits, h); return true })
	return hits
}

// check holds every kind of query at p against brute force, to the last bit, and
// returns how many stores serve p.
func (w *world) check(t fataler, p geo.Point, maxM float64) int {
	t.Helper()
	want := w.all(p, maxM)
	if diff := gocmp.Diff(want, walked(w.index, p, maxM)); diff != "" {
		t.Fatalf("Walk(%v, %v) is not brute force (-want +got):\n%s", p, maxM, diff)
	}
	for every := int64(1); every <= 4; every++ {
		eligible := func(v int64) bool { return v%every == 0 }
		if every == 1 {
			eligible = nil
		}
		i := slices.IndexFunc(want, func(h hit) bool { return h.Key%every == 0 })
		got, ok := w.index.Nearest(assign.Query{At: p, MaxM: maxM}, eligible)
		switch {
		case ok != (i >= 0):
			t.Fatalf("Nearest(%v, %v), keys divisible by %d: found %v %v, brute force has %d hits", p, maxM, every, ok, got, len(want))
		case ok && got != want[i]:
			t.Fatalf("Nearest(%v, %v), keys divisible by %d: %v, want %v", p, maxM, every, got, want[i])
		case !ok && got != hit{}:
			t.Fatalf("Nearest(%v, %v) found nothing, but answered %v", p, maxM, got)
		}
	}
	return len(want)
}

// fataler is what testing.T and rapid.T share.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// hardPlaces is where maps and cells misbehave.
var hardPlaces = []geo.Point{
	{Lat: 35.68, Lng: 139.77},
	{Lat: 90, Lng: 12}, {Lat: -90, Lng: 0}, {Lat: 89.99, Lng: -170},
	{Lat: -17, Lng: 180}, {Lat: 64.7, Lng: -180}, {Lat: 52, Lng: 179.9999},
	{Lat: 0, Lng: 0},
	{Lat: 39.1, Lng: 122.3}, {Lat: 2.30088, Lng: -5.24539}, {Lat: -64.7, Lng: -169.4638}, // pentagons
}

// cluster draws stores around a hard place: some on one spot, some a millionth
// of a millimetre apart, with radii from nothing to the whole globe.
func cluster(rng *rand.Rand, n int) []placed {
	mid := hardPlaces[rng.IntN(len(hardPlaces))]
	spreadM := math.Pow(10, 1+4*rng.Float64()) // 10 m to 100 km
	radii := []float64{0, 50, 1000, 3000, 20_000, 100_000, math.Inf(1)}
	stores := make([]placed, n)
	for i := range stores {
		s := placed{
			key:     rng.Int64N(1_000_000) - 500_000,
			at:      beside(mid, rng.NormFloat64()*spreadM, rng.NormFloat64()*spreadM),
			radiusM: radii[rng.IntN(len(radii))] * (0.5 + rng.Float64()),
		}
		if math.IsNaN(s.radiusM) {
			s.radiusM = 0
		}
		if i > 0 {
			switch rng.IntN(8) {
			case 0:
				s.at = stores[rng.IntN(i)].at
			case 1:
				twin := stores[rng.IntN(i)].at
				s.at = geo.Point{Lat: math.Nextafter(twin.Lat, 0), Lng: twin.Lng}
			}
		}
		stores[i] = s
	}
	return stores
}

// somewhere draws a query: near a store, on one, on the edge of a cell, exactly
// as far from a store as it serves, or anywhere on the globe.
func somewhere(rng *rand.Rand, stores []placed) geo.Point {
	near := stores[rng.IntN(len(stores))].at
	switch rng.IntN(6) {
	case 0:
		return near
	case 1:
		return onAnEdge(rng, near)
	case 2:
		return geo.Point{Lat: math.Asin(2*rng.Float64()-1) * 180 / math.Pi, Lng: 360*rng.Float64() - 180}
	default:
		far := math.Pow(10, 6*rng.Float64()) // 1 m to 1,000 km
		return beside(near, rng.NormFloat64()*far, rng.NormFloat64()*far)
	}
}

// onAnEdge returns a point of the boundary of the index cell around p, between
// two corners or on one.
func onAnEdge(rng *rand.Rand, p geo.Point) geo.Point {
	cell, err := geo.CellOf(p, geo.DemandRes)
	if err != nil {
		panic(err)
	}
	ring := geo.Boundary(cell)
	i := rng.IntN(len(ring))
	a, b := ring[i], ring[(i+1)%len(ring)]
	f := rng.Float64() * float64(rng.IntN(2))
	eastM := math.Remainder(b.Lng-a.Lng, 360)
	return geo.Point{Lat: a.Lat + f*(b.Lat-a.Lat), Lng: math.Remainder(a.Lng+f*eastM, 360)}
}

func TestEqualsBruteForceEverywhere(t *testing.T) {
	const worlds, queries = 50, 200 // 10,000 queries in all
	for seed := range uint64(worlds) {
		t.Run(fmt.Sprint("world ", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 9))
			w := newWorld()
			var stores []placed
			for range 1 + rng.IntN(4) {
				stores = append(stores, cluster(rng, 1+rng.IntN(150))...)
			}
			for _, s := range stores {
				w.put(t, s)
			}
			for range queries {
				maxM := 0.0
				if rng.IntN(3) == 0 {
					maxM = math.Pow(10, 1+5*rng.Float64())
				}
				w.check(t, somewhere(rng, stores), maxM)
			}
			if got := w.index.Len(); got != len(w.stores) {
				t.Errorf("Len %d, want %d", got, len(w.stores))
			}
		})
	}
}

// An index lives for months: whatever order stores come, move, change and go in,
// it must answer as one built afresh.
func TestEqualsBruteForceWhileStoresComeAndGo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 3))
		pool := append(cluster(rng, 60), cluster(rng, 20)...)
		w := newWorld()
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			s := pool[rng.IntN(len(pool))]
			switch rng.IntN(6) {
			case 0:
				w.remove(s.key)
			case 1:
				s.at = pool[rng.IntN(len(pool))].at
				w.put(t, s)
			case 2:
				s.radiusM = pool[rng.IntN(len(pool))].radiusM
				w.put(t, s)
			default:
				w.put(t, s)
			}
			w.check(rt, somewhere(rng, pool), 0)
			_, known := w.stores[s.key]
			if got, ok := w.index.Get(s.key); ok != known || ok && got != w.stores[s.key].store() || w.index.Len() != len(w.stores) {
				rt.Fatalf("Get(%d) = %v, %v and Len %d; want %v and %d", s.key, got, ok, w.index.Len(), known, len(w.stores))
			}
		}
	})
}

// konbini and bodegas: two real networks, by country and by city.
func TestEqualsBruteForceOnRealStores(t *testing.T) {
	for _, file := range []string{"stores_japan_konbini.csv", "stores_newyork_foodretail.csv"} {
		t.Run(file, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 1))
			stores := realStores(t, file)
			w := newWorld()
			for _, s := range stores {
				w.put(t, s)
			}
			const queries = 300
			found := 0
			for i := range queries {
				near := stores[rng.IntN(len(stores))].at
				p := beside(near, rng.NormFloat64()*2000, rng.NormFloat64()*2000)
				if i%2 == 0 {
					p = onAnEdge(rng, near)
				}
				if w.check(t, p, 0) > 0 {
					found++
				}
			}
			if found < queries/2 {
				t.Errorf("only %d of %d queries lay in reach of a store", found, queries)
			}
			t.Logf("%d stores, %d of %d queries in reach of one", len(stores), found, queries)
		})
	}
}

// realStores reads the points of a file of the shared data, which lies beside
// the checkout and not in it. Most stores serve 3 km, each seventh less.
func realStores(t *testing.T, file string) []placed {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", file))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("SKIPPED, NOT TESTED ON REAL STORES: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	lat, lng := slices.Index(rows[0], "lat"), slices.Index(rows[0], "lng")
	stores := make([]placed, 0, len(rows))
	for i, row := range rows[1:] {
		at, radiusM := geo.Point{Lat: number(t, row[lat]), Lng: number(t, row[lng])}, 3000.0
		if i%7 == 0 {
			radiusM = 700
		}
		stores = append(stores, placed{key: int64(i), at: at, radiusM: radiusM})
	}
	return stores
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var tokyo = geo.Point{Lat: 35.6812, Lng: 139.7671}

// eastOf returns the point some metres east of Tokyo station.
func eastOf(m float64) geo.Point { return beside(tokyo, 0, m) }

func wantNearest(t *testing.T, w *world, p geo.Point, key int64) {
	t.Helper()
	got, ok := w.index.Nearest(assign.Query{At: p}, nil)
	if !ok || got.Key != key || got.DistanceM != geo.DistanceM(p, w.stores[key].at) {
		t.Errorf("nearest is %v, %v; want store %d", got, ok, key)
	}
}

func wantNobody(t *testing.T, w *world, p geo.Point) {
	t.Helper()
	if got, ok := w.index.Nearest(assign.Query{At: p}, nil); ok {
		t.Errorf("nobody should serve %v, got %v", p, got)
	}
}

func TestANewStoreIsSeenByTheNextOrder(t *testing.T) {
	w := newWorld()
	wantNobody(t, w, tokyo)

	w.put(t, placed{1, eastOf(9000), 10_000})
	wantNearest(t, w, tokyo, 1)
	w.put(t, placed{2, eastOf(-6000), 10_000}) // a kilometre and more from all others
	wantNearest(t, w, tokyo, 2)
	w.put(t, placed{3, eastOf(-5990), 10_000}) // beside it, a little nearer
	wantNearest(t, w, tokyo, 3)
	w.put(t, placed{4, tokyo, 10_000})
	wantNearest(t, w, tokyo, 4)

	w.remove(4)
	wantNearest(t, w, tokyo, 3)
	w.remove(3)
	w.remove(2)
	wantNearest(t, w, tokyo, 1)
	w.remove(1)
	wantNobody(t, w, tokyo)
	w.remove(1) // nothing to do
}

func TestAStoreReachesFartherOnceItsRadiusGrows(t *testing.T) {
	w := newWorld()
	far := eastOf(80_000)
	w.put(t, placed{1, tokyo, 3000})
	wantNobody(t, w, far)
	w.put(t, placed{1, tokyo, 100_000})
	wantNearest(t, w, far, 1)
	w.put(t, placed{1, tokyo, 3000})
	wantNobody(t, w, far)
}

func TestAStoreMoves(t *testing.T) {
	w := newWorld()
	w.put(t, placed{1, tokyo, 3000})
	wantNearest(t, w, tokyo, 1)

	w.put(t, placed{1, eastOf(40), 3000}) // next door, the same cell
	wantNearest(t, w, tokyo, 1)
	w.put(t, placed{1, geo.Point{Lat: -17, Lng: 179.999}, 3000}) // to Fiji
	wantNobody(t, w, tokyo)
	wantNearest(t, w, geo.Point{Lat: -17, Lng: -179.999}, 1)
	if hits := walked(w.index, geo.Point{Lat: -17, Lng: 180}, 0); len(hits) != 1 || w.index.Len() != 1 {
		t.Errorf("walk met %v, Len %d", hits, w.index.Len())
	}
}

func TestARadiusIncludesItsEdge(t *testing.T) {
	w := newWorld()
	rng := rand.New(rand.NewPCG(4, 4))
	for range 500 {
		p := beside(tokyo, rng.NormFloat64()*2000, rng.NormFloat64()*2000)
		m := geo.DistanceM(p, tokyo)
		w.put(t, placed{1, tokyo, m})
		wantNearest(t, w, p, 1)
		w.put(t, placed{1, tokyo, math.Nextafter(m, 0)})
		wantNobody(t, w, p)

		w.put(t, placed{1, tokyo, math.Inf(1)})
		if hits := walked(w.index, p, m); len(hits) != 1 {
			t.Errorf("a store %v m away is within %v m", m, m)
		}
		w.check(t, p, m)
		w.check(t, p, math.Nextafter(m, 0))
	}
}

func TestAMallOfStoresOnOneSpot(t *testing.T) {
	w := newWorld()
	for key := range int64(500) {
		w.put(t, placed{key - 250, eastOf(1200), 3000})
	}
	w.put(t, placed{1000, eastOf(1201), 3000})
	w.check(t, tokyo, 0)
	w.check(t, eastOf(1200), 0)
	wantNearest(t, w, tokyo, -250)

	asked := 0
	got, ok := w.index.Nearest(assign.Query{At: tokyo}, func(v int64) bool { asked++; return v >= 100 })
	if !ok || got.Key != 100 {
		t.Errorf("nearest from key 100 on: %v, %v", got, ok)
	}
	if asked > 501 {
		t.Errorf("asked %d times about 501 stores", asked)
	}
}

func TestAWalkStopsWhenToldTo(t *testing.T) {
	w := newWorld()
	for key := range int64(200) {
		w.put(t, placed{key, eastOf(50 * float64(key)), 50_000})
	}
	for stop := 1; stop <= 200; stop++ {
		var met []int64
		w.index.Walk(tokyo, 0, func(h hit) bool { met = append(met, h.Key); return len(met) < stop })
		if len(met) != stop || met[stop-1] != int64(stop-1) {
			t.Fatalf("told to stop after %d, walked %v", stop, met)
		}
	}
}

// 400 stores far apart and all in reach, one of them eligible.
func TestTheOnlyEligibleStoreIsFarAway(t *testing.T) {
	w := newWorld()
	for key := range int64(400) {
		x, y := float64(key%20), float64(key/20)
		w.put(t, placed{key, beside(tokyo, 4000*y, 4000*x), 150_000})
	}
	for _, only := range []int64{0, 21, 210, 399} {
		asked := map[int64]int{}
		got, ok := w.index.Nearest(assign.Query{At: tokyo}, func(v int64) bool { asked[v]++; return v == only })
		if !ok || got.Key != only {
			t.Errorf("only %d may serve: got %v, %v", only, got, ok)
		}
		for key, times := range asked {
			if times > 1 {
				t.Errorf("asked %d times about store %d", times, key)
			}
		}
	}
	w.check(t, tokyo, 0)
	w.check(t, tokyo, 60_000)
}

func TestPutRefusesWhatCannotBeAStore(t *testing.T) {
	w := newWorld()
	w.put(t, placed{1, tokyo, 3000})
	for _, bad := range []placed{
		{1, geo.Point{Lat: 139.7, Lng: 35.6}, 3000},
		{1, geo.Point{Lat: math.NaN()}, 3000},
		{1, eastOf(10), -1},
		{1, eastOf(10), math.NaN()},
	} {
		if err := w.index.Put(bad.store()); err == nil {
			t.Errorf("Put(%v) was taken", bad)
		}
	}
	wantNearest(t, w, tokyo, 1)
	if v, ok := w.index.Get(1); !ok || v.At != tokyo {
		t.Errorf("a refused Put left %v, %v", v, ok)
	}
}

func TestAQueryThatIsNoneFindsNobody(t *testing.T) {
	w := newWorld()
	w.put(t, placed{1, tokyo, math.Inf(1)})
	for _, q := range []struct {
		p    geo.Point
		maxM float64
	}{
		{geo.Point{Lat: math.NaN(), Lng: 1}, 0},
		{geo.Point{Lat: 91, Lng: 1}, 0},
		{tokyo, -1},
		{tokyo, math.NaN()},
	} {
		if got, ok := w.index.Nearest(assign.Query{At: q.p, MaxM: q.maxM}, nil); ok {
			t.Errorf("Nearest(%v, %v) = %v", q.p, q.maxM, got)
		}
		if hits := walked(w.index, q.p, q.maxM); hits != nil {
			t.Errorf("Walk(%v, %v) met %v", q.p, q.maxM, hits)
		}
	}
	if _, ok := w.index.Get(2); ok {
		t.Error("Get found a store that was never put")
	}
}

// While some stores come, go and move, the ones that stay must always be found:
// a query may miss what changes beside it, never what does not.
func TestQueriesHoldWhileStoresChange(t *testing.T) {
	const steady, moving, rounds = 300, 300, 3000
	rng := rand.New(rand.NewPCG(8, 8))
	index := assign.NewIndex[int64]()
	var stays []placed
	for key := range int64(steady) {
		s := placed{key, beside(tokyo, rng.NormFloat64()*8000, rng.NormFloat64()*8000), 5000}
		stays = append(stays, s)
		if err := index.Put(s.store()); err != nil {
			t.Fatal(err)
		}
	}
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	for n := range int64(2) {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(n), 1))
			for range rounds {
				key := steady + 2*rng.Int64N(moving/2) + n
				if rng.IntN(3) == 0 {
					index.Remove(key)
					continue
				}
				p := beside(tokyo, rng.NormFloat64()*8000, rng.NormFloat64()*8000)
				if err := index.Put(placed{key, p, 5000}.store()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range uint64(2) {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(n, 2))
			for !done.Load() {
				p := beside(tokyo, rng.NormFloat64()*8000, rng.NormFloat64()*8000)
				want := (&world{stores: byKey(stays)}).all(p, 0)
				got, ok := index.Nearest(assign.Query{At: p}, func(v int64) bool { return v < steady })
				if ok != (len(want) > 0) || ok && got != want[0] {
					t.Errorf("Nearest(%v) = %v, %v among the stores that stay; want the first of %v", p, got, ok, want)
					return
				}
				met := walked(index, p, 0)
				met = slices.DeleteFunc(met, func(h hit) bool { return h.Key >= steady })
				if !slices.Equal(want, met) {
					t.Errorf("Walk(%v) among the stores that stay: %v, want %v", p, met, want)
					return
				}
				index.Get(rng.Int64N(steady + moving))
				index.Len()
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
}

func byKey(stores []placed) map[int64]placed {
	m := make(map[int64]placed, len(stores))
	for _, s := range stores {
		m[s.key] = s
	}
	return m
}

func TestAUsualQueryDoesNotAllocate(t *testing.T) {
	w := newWorld()
	rng := rand.New(rand.NewPCG(5, 5))
	for key := range int64(2000) {
		w.put(t, placed{key, beside(tokyo, rng.NormFloat64()*5000, rng.NormFloat64()*5000), 3000})
	}
	odd := func(v int64) bool { return v%2 == 1 }
	if n := testing.AllocsPerRun(100, func() { w.index.Nearest(assign.Query{At: tokyo}, odd) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
