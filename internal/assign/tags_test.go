package assign_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"doorstep/geo"
	"doorstep/internal/assign"
)

// labelled is a world whose stores carry tags and are of kinds.
type labelled struct {
	*world
	tags  map[int64]map[uint8]bool
	kinds map[int64]uint32
}

var someTags = []uint8{0, 1, 7, 64, 255}

func (w *labelled) put(t fataler, s placed, kind uint32) {
	in := s.store()
	in.Kind = kind
	if err := w.index.Put(in); err != nil {
		t.Fatalf("%v", err)
	}
	w.stores[s.key], w.kinds[s.key] = s, kind
	if w.tags[s.key] == nil {
		w.tags[s.key] = map[uint8]bool{}
	}
}

func (w *labelled) remove(key int64) {
	w.world.remove(key)
	delete(w.tags, key)
	delete(w.kinds, key)
}

// check asks for stores with all of some tags, of even kinds.
func (w *labelled) check(t fataler, p geo.Point, tags []uint8) (found bool) {
	t.Helper()
	even := func(kind uint32) bool { return kind%2 == 0 }
	want := slices.DeleteFunc(w.all(p, 0), func(h hit) bool {
		return !even(w.kinds[h.Key]) || slices.ContainsFunc(tags, func(tag uint8) bool { return !w.tags[h.Key][tag] })
	})
	got, ok := w.index.Nearest(assign.Query{At: p, Tags: tags, Kind: even}, nil)
	if ok != (len(want) > 0) || ok && (got.Key != want[0].Key || got.DistanceM != want[0].DistanceM) {
		t.Fatalf("nearest to %v with tags %v: %v %v, want the first of %v", p, tags, ok, got, want)
	}
	return ok
}

// Tags belong to a store for as long as it is there: they go with it when it moves, changes, or is
// moved about by others that come.
func TestTagsStayWithTheirStores(t *testing.T) {
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 5))
		w := &labelled{newWorld(), map[int64]map[uint8]bool{}, map[int64]uint32{}}
		mid, spreadM := hardPlaces[rng.IntN(len(hardPlaces))], math.Pow(10, 5*rng.Float64())
		somewhere := func() geo.Point { return beside(mid, rng.NormFloat64()*spreadM, rng.NormFloat64()*spreadM) }
		for range rapid.IntRange(1, 2000).Draw(rt, "steps") {
			key := rng.Int64N(900)
			tag := someTags[rng.IntN(len(someTags))]
			switch s := w.stores[key]; rng.IntN(10) {
			case 0:
				w.remove(key)
			case 1, 2: // a new state in the same place
				if w.tags[key] != nil {
					w.put(rt, s, rng.Uint32N(4))
				}
			case 3, 4, 5:
				w.put(rt, placed{key, somewhere(), 3 * spreadM}, rng.Uint32N(4))
			default:
				on := rng.IntN(3) > 0
				w.index.Tag(key, tag, on)
				if w.tags[key] != nil {
					w.tags[key][tag] = on
				}
			}
			if rng.IntN(40) == 0 {
				tags := slices.Clone(someTags)
				rng.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
				if w.check(rt, somewhere(), tags[:rng.IntN(4)]) {
					found++
				}
			}
		}
		for key, tags := range w.tags {
			if on := slices.DeleteFunc(slices.Clone(someTags), func(tag uint8) bool { return !tags[tag] }); rng.IntN(40) == 0 {
				w.check(rt, w.stores[key].at, on)
			}
		}
	})
	if found == 0 {
		t.Error("no question found a store")
	}
}

// An index filled at once answers as one filled store by store, and takes changes as well.
func TestFillIsManyPuts(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{0, 1, 7, 8, 64, 447, 448, 449, 5000} {
		w := newWorld()
		var all []assign.Store[int64]
		for key := range int64(n) {
			s := placed{key, beside(tokyo, rng.NormFloat64()*3000, rng.NormFloat64()*3000), 5000}
			w.stores[key] = s
			all = append(all, s.store())
		}
		if err := w.index.Fill(n/2, slices.Values(all)); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			p := beside(tokyo, rng.NormFloat64()*3000, rng.NormFloat64()*3000)
			w.check(t, p, 0)
			w.put(t, placed{rng.Int64N(2*int64(n) + 2), p, 5000})
			w.remove(rng.Int64N(int64(n) + 1))
		}
		if w.index.Len() != len(w.stores) {
			t.Errorf("Len %d, want %d", w.index.Len(), len(w.stores))
		}
	}
}

func TestFillRefusesWhatPutWouldNotDo(t *testing.T) {
	good, bad := placed{1, tokyo, 10}.store(), placed{2, geo.Point{Lat: 91}, 10}.store()
	for story, all := range map[string][]assign.Store[int64]{"a store in no place": {good, bad}, "one key twice": {good, good}} {
		w := newWorld()
		if err := w.index.Fill(2, slices.Values(all)); err == nil || w.index.Len() != 0 {
			t.Errorf("%s: %v, and %d stores", story, err, w.index.Len())
		}
		wantNobody(t, w, tokyo)
	}
	w := newWorld()
	w.put(t, placed{1, tokyo, 10})
	if err := w.index.Fill(1, slices.Values([]assign.Store[int64]{placed{2, tokyo, 10}.store()})); err == nil {
		t.Error("an index with stores was filled")
	}
	wantNearest(t, w, tokyo, 1)
}
