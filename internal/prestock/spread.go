package prestock

import (
	"cmp"
	"math"
	"slices"
)

// NoBound is the FreeShelf of a store whose shelf is not known.
const NoBound = -1

// Candidate is a store that can take a share.
type Candidate struct {
	Key       int64
	Weight    float64 // its past demand, in any unit; 0: none known
	FreeShelf int     // units; NoBound: not known
	Capacity  int     // orders a day, or any other measure of its size
}

// Share is what a store gets.
type Share struct {
	Key   int64
	Units int // a multiple of the case pack, above 0
}

// Spread hands expected units out to stores in whole case packs, never more than a store's free
// shelf: by past demand where any store has some, then what those cannot take by free shelf, or by
// capacity if a shelf is not known. Within one such measure shares are proportional, filled up
// to their bounds like communicating vessels, and rounded by largest remainder (Hamilton's method);
// ties go to the smaller key. The result is in the order of keys; what it lacks to expected found
// no room, or makes no full pack. It depends on nothing but its arguments.
//
// It is for SKUs that nobody has ever sold, and for what found no room where it was wanted; for all
// else see forecast.Allotter.
func Spread(expected, casePack int, stores []Candidate) []Share {
	left := max(0, expected) / casePack
	vessels := make([]vessel, len(stores))
	for i, s := range stores {
		vessels[i] = vessel{key: s.Key, room: left}
		if s.FreeShelf != NoBound {
			vessels[i].room = min(left, max(0, s.FreeShelf)/casePack)
		}
	}
	slices.SortFunc(vessels, func(a, b vessel) int { return cmp.Compare(a.key, b.key) })
	byKey := slices.SortedFunc(slices.Values(stores), func(a, b Candidate) int { return cmp.Compare(a.Key, b.Key) })
	unknown := slices.ContainsFunc(stores, func(s Candidate) bool { return s.FreeShelf == NoBound })
	for _, weigh := range []func(Candidate) float64{
		func(s Candidate) float64 { return s.Weight },
		func(s Candidate) float64 {
			if unknown {
				return 0
			}
			return float64(s.FreeShelf)
		},
		func(s Candidate) float64 { return float64(s.Capacity) },
		func(Candidate) float64 { return 1 },
	} {
		for i := range vessels {
			w := weigh(byKey[i])
			if !(w > 0) || math.IsInf(w, 0) {
				w = 0
			}
			vessels[i].weight = w
		}
		left -= pour(vessels, left)
	}
	var shares []Share
	for _, v := range vessels {
		if v.packs > 0 {
			shares = append(shares, Share{v.key, v.packs * casePack})
		}
	}
	return shares
}

// vessel is a store while packs are poured into it.
type vessel struct {
	key    int64
	weight float64
	room   int // packs that still go in
	packs  int // packs it has
}

// pour fills packs into the vessels that have weight and room, and returns how many went in.
func pour(vessels []vessel, packs int) int {
	var open []*vessel
	total := 0.0
	for i := range vessels {
		if v := &vessels[i]; v.weight > 0 && v.room > 0 {
			open = append(open, v)
			total += v.weight
		}
	}
	// The fullest first: once one is not filled to the brim by its share, none after it is.
	slices.SortStableFunc(open, func(a, b *vessel) int {
		return cmp.Compare(float64(a.room)/a.weight, float64(b.room)/b.weight)
	})
	left := packs
	for len(open) > 0 && float64(open[0].room) <= float64(left)*open[0].weight/total {
		v := open[0]
		n := min(v.room, left)
		left -= n
		total -= v.weight
		v.take(n)
		open = open[1:]
	}
	return packs - divide(open, left)
}

func (v *vessel) take(n int) { v.packs, v.room = v.packs+n, v.room-n }

// divide shares packs out in proportion, none of the shares reaching its vessel's brim, and returns
// what is left over: nothing, unless no vessel is open.
func divide(open []*vessel, packs int) int {
	type remainder struct {
		*vessel
		part float64
	}
	total := 0.0
	for _, v := range open {
		total += v.weight
	}
	left := packs
	rest := make([]remainder, 0, len(open))
	for _, v := range open {
		quota := float64(packs) * (v.weight / total)
		n := min(int(quota), v.room, left) // left: sums of quotas may be off by a rounding
		rest = append(rest, remainder{v, quota - float64(n)})
		v.take(n)
		left -= n
	}
	slices.SortFunc(rest, func(a, b remainder) int {
		return cmp.Or(cmp.Compare(b.part, a.part), cmp.Compare(a.key, b.key))
	})
	for again := true; again && left > 0; {
		again = false
		for _, r := range rest {
			if left > 0 && r.room > 0 {
				r.take(1)
				left--
				again = true
			}
		}
	}
	return left
}
