package prestock_test

import (
	"cmp"
	"slices"
	"testing"

	"doorstep/internal/prestock"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSpreadStories(t *testing.T) {
	type c = prestock.Candidate
	type s = prestock.Share
	for _, tt := range []struct {
		story          string
		expected, pack int
		stores         []c
		want           []s
	}{
		{"past demand decides, whatever the shelf", 100, 1,
			[]c{{1, 3, 500, 1}, {2, 1, 5000, 1}}, []s{{1, 75}, {2, 25}}},
		{"what the favourite cannot take goes to the others", 100, 1,
			[]c{{1, 3, 30, 1}, {2, 1, 200, 1}}, []s{{1, 30}, {2, 70}}},
		{"a store without past demand gets only what is left", 100, 1,
			[]c{{1, 3, 60, 1}, {2, 0, 200, 1}}, []s{{1, 60}, {2, 40}}},
		{"nothing known of demand: by free shelf", 90, 1,
			[]c{{1, 0, 100, 9}, {2, 0, 200, 1}}, []s{{1, 30}, {2, 60}}},
		{"a shelf not known: by capacity", 90, 1,
			[]c{{1, 0, prestock.NoBound, 2}, {2, 0, 200, 1}}, []s{{1, 60}, {2, 30}}},
		{"nothing known at all: evenly", 9, 1,
			[]c{{1, 0, prestock.NoBound, 0}, {2, 0, prestock.NoBound, 0}, {3, 0, prestock.NoBound, 0}}, []s{{1, 3}, {2, 3}, {3, 3}}},
		{"whole case packs by largest remainder, ties to the smaller key", 48, 12,
			[]c{{3, 1, 100, 1}, {1, 1, 100, 1}, {2, 1, 100, 1}}, []s{{1, 24}, {2, 12}, {3, 12}}},
		{"less than a pack is nobody's", 11, 12, []c{{1, 1, 100, 1}}, nil},
		{"full shelves take nothing", 100, 6, []c{{1, 1, 5, 1}, {2, 1, 0, 1}}, nil},
		{"no stores", 100, 6, nil, nil},
	} {
		t.Run(tt.story, func(t *testing.T) {
			if diff := gocmp.Diff(tt.want, prestock.Spread(tt.expected, tt.pack, tt.stores)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSpreadAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stores []prestock.Candidate
		for key := range rapid.IntRange(0, 30).Draw(t, "stores") {
			stores = append(stores, prestock.Candidate{
				Key:       int64(key + 1),
				Weight:    rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(0, 1e6), rapid.Float64Range(1e-9, 1e-3)).Draw(t, "weight"),
				FreeShelf: rapid.IntRange(prestock.NoBound, 300).Draw(t, "shelf"),
				Capacity:  rapid.IntRange(0, 500).Draw(t, "capacity"),
			})
		}
		expected, pack := rapid.IntRange(0, 5000).Draw(t, "expected"), rapid.IntRange(1, 24).Draw(t, "pack")
		shares := prestock.Spread(expected, pack, stores)

		given, room := map[int64]int{}, 0
		sum := 0
		for _, s := range shares {
			if s.Units <= 0 || s.Units%pack != 0 {
				t.Fatalf("store %d gets %d units, packs are of %d", s.Key, s.Units, pack)
			}
			given[s.Key] = s.Units
			sum += s.Units
		}
		endless := false
		for _, c := range stores {
			if c.FreeShelf == prestock.NoBound {
				endless = true
				continue
			}
			room += c.FreeShelf / pack * pack
			if given[c.Key] > c.FreeShelf {
				t.Fatalf("store %d has room for %d and gets %d", c.Key, c.FreeShelf, given[c.Key])
			}
		}
		want := expected / pack * pack
		if !endless {
			want = min(want, room)
		}
		if sum != want {
			t.Fatalf("%d units are spread, %d could be", sum, want)
		}
		// Who sold more gets no less, if there is room and both sold something.
		for _, a := range stores {
			for _, b := range stores {
				full := a.FreeShelf != prestock.NoBound && given[a.Key]+pack > a.FreeShelf
				if a.Weight > b.Weight && b.Weight > 0 && !full && given[a.Key]+pack < given[b.Key] {
					t.Fatalf("store %d sold %g and gets %d, store %d sold %g and gets %d", a.Key, a.Weight, given[a.Key], b.Key, b.Weight, given[b.Key])
				}
			}
		}
		shuffled := rapid.Permutation(stores).Draw(t, "shuffled")
		if diff := gocmp.Diff(shares, prestock.Spread(expected, pack, shuffled)); diff != "" {
			t.Fatal("the order of the stores matters: ", diff)
		}
		if !slices.IsSortedFunc(shares, func(a, b prestock.Share) int { return cmp.Compare(a.Key, b.Key) }) {
			t.Fatal("not by key")
		}
	})
}
