package assign_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"doorstep/geo"
	"doorstep/internal/assign"
)

const manyStores = 600_000

// shop is what the benchmarks' eligible functions look at: a store's week as
// one bit an hour, the way a caller might keep it.
type shop struct {
	open uint64
	room int32
}

func at(key int64, p geo.Point, radiusM float64, v shop) assign.Store[shop] {
	return assign.Store[shop]{Key: key, At: p, RadiusM: radiusM, Value: v}
}

// country is 600,000 stores in 400 towns and their country roads, some 3,000 km
// square, and 100,000 orders drawn from the same law.
var country = sync.OnceValue(func() (w struct {
	stores, orders []geo.Point
	index          *assign.Index[shop]
}) {
	rng := rand.New(rand.NewPCG(600_000, 1))
	type town struct {
		mid     geo.Point
		spreadM float64
	}
	towns := make([]town, 400)
	for i := range towns {
		towns[i] = town{geo.Point{Lat: 22 + 20*rng.Float64(), Lng: 95 + 25*rng.Float64()}, 1000 + 5000*rng.Float64()}
	}
	draw := func() geo.Point {
		// Squaring favours the first towns, as sizes of real towns do.
		f := rng.Float64()
		t := towns[int(f*f*float64(len(towns)))]
		spread := t.spreadM
		if rng.IntN(5) == 0 {
			spread *= 4
		}
		return beside(t.mid, rng.NormFloat64()*spread, rng.NormFloat64()*spread)
	}
	for range manyStores {
		w.stores = append(w.stores, draw())
	}
	for range 100_000 {
		w.orders = append(w.orders, draw())
	}
	w.index = assign.NewIndex[shop]()
	for i, p := range w.stores {
		if err := w.index.Put(at(int64(i), p, 3000, shop{open: rng.Uint64(), room: rng.Int32N(4)})); err != nil {
			panic(err)
		}
	}
	return w
})

// beside returns the point some metres north and east of p.
func beside(p geo.Point, northM, eastM float64) geo.Point {
	const degree = geo.EarthRadiusM * math.Pi / 180
	lat := min(90, max(-90, p.Lat+northM/degree))
	lng := p.Lng + eastM/(degree*max(1e-6, math.Cos(p.Lat*math.Pi/180)))
	return geo.Point{Lat: lat, Lng: math.Remainder(lng, 360)}
}

func BenchmarkNearest(b *testing.B) {
	w := country()
	for _, c := range []struct {
		name     string
		orders   []geo.Point
		eligible func(shop) bool
	}{
		{"anyone, 100 doorsteps", w.orders[:100], nil},
		{"anyone, 1000 doorsteps", w.orders[:1000], nil},
		{"anyone", w.orders, nil},
		{"open with room", w.orders, func(s shop) bool { return s.open>>13&1 == 1 && s.room > 0 }},
		{"one in 64", w.orders, func(s shop) bool { return s.open&63 == 0 }},
		{"nobody", w.orders, func(shop) bool { return false }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for _, p := range c.orders {
				w.index.Nearest(assign.Query{At: p}, c.eligible)
			}
			b.ReportAllocs()
			b.ResetTimer()
			found := 0
			for i := range b.N {
				if _, ok := w.index.Nearest(assign.Query{At: c.orders[i%len(c.orders)]}, c.eligible); ok {
					found++
				}
			}
			b.ReportMetric(float64(found)/float64(b.N), "found/op")
		})
	}
}

func BenchmarkWalkFirst8(b *testing.B) {
	w := country()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		n := 0
		w.index.Walk(w.orders[i%len(w.orders)], 0, func(assign.Hit[shop]) bool { n++; return n < 8 })
	}
}

// The first query of a block after the map of cells has changed.
func BenchmarkNearestAfterANewCell(b *testing.B) {
	w := country()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		b.StopTimer()
		far := geo.Point{Lat: -45, Lng: -170 + float64(i%100_000)/1000}
		if err := w.index.Put(at(-1, far, 10, shop{})); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		w.index.Nearest(assign.Query{At: w.orders[i%len(w.orders)]}, nil)
	}
	w.index.Remove(-1)
}

func BenchmarkPut(b *testing.B) {
	w := country()
	b.Run("a new index of 600,000", func(b *testing.B) {
		for range b.N {
			ix := assign.NewIndex[shop]()
			for i, p := range w.stores {
				if err := ix.Put(at(int64(i), p, 3000, shop{})); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("600,000 at once", func(b *testing.B) {
		all := make([]assign.Store[shop], len(w.stores))
		for i, p := range w.stores {
			all[i] = at(int64(i), p, 3000, shop{})
		}
		for b.Loop() {
			if err := assign.NewIndex[shop]().Fill(len(all), slices.Values(all)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("replace", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			k := i % len(w.stores)
			if err := w.index.Put(at(int64(k), w.stores[k], 3000, shop{})); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The loop over all stores that the index must equal, by chords alone.
func BenchmarkBruteForce(b *testing.B) {
	w := country()
	at := make([]geo.Vec, len(w.stores))
	for i, p := range w.stores {
		at[i] = geo.VecOf(p)
	}
	for i := range b.N {
		q, best := geo.VecOf(w.orders[i%len(w.orders)]), math.Inf(1)
		for _, v := range at {
			best = min(best, q.Chord2(v))
		}
		if best > 4 {
			b.Fatal("nothing found")
		}
	}
}
