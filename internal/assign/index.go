// Package assign finds the stores that may serve an order. It is pure: it reads
// no clock, no database and no network.
//
// # The live index
//
// [Index] answers "which store is nearest?" exactly as a loop over all stores
// would, by looking at a few of them. Up to 512 stores that lie near each other
// share a leaf of a k-d tree (Bentley, CACM 18, 1975; tree.go): each node cuts its
// stores in two halves across their longest side, so the tree is as good in a city
// as in a desert, and a leaf is cut likewise into 8 blocks. Around every block, leaf
// and node lies a ball that holds all its stores. By the triangle inequality no
// store is nearer to a query than the chord to the ball's centre less its radius. A
// query follows the least of these bounds until none is below the best store found;
// a walk goes on from there (Hjaltason and Samet, Distance browsing in spatial
// databases, ACM TODS 24, 1999; search.go).
//
// A leaf that is full is cut in two, and a node whose sides have grown too unequal
// is built anew with all behind it (a scapegoat tree; Galperin and Rivest, SODA
// 1993). Points are vectors in space, so poles and the antimeridian are places like
// any other.
//
// Most stores that a query meets cannot serve it, so saying no is what has to be
// quick. A store carries tags, small numbers that the caller gives a meaning to
// ("has this SKU"). A leaf keeps for each tag one bit per store, side by side: the
// stores that carry three tags are the AND of three words, for 64 stores at a
// time (a bitmap index; O'Neil and Quass, Improved query performance with variant
// indexes, SIGMOD 1997). What is left is asked in the order of what the question
// costs: distance, kind, and last what only the caller knows.
//
// With 600,000 stores a query works for 1 us and waits 2 us for memory, so the
// layout of a leaf counts more than the number of its stores that are looked at
// (BenchmarkNearestEligible in package match).
//
// Distances are compared as chords of unit vectors, which cost no trigonometry.
// What is reported, compared between near-ties and held against a radius is
// always [geo.DistanceM], so the answer equals brute force to the last bit.
package assign

import (
	"errors"
	"fmt"
	"iter"
	"sync"

	"doorstep/geo"
)

// Index is a live set of stores in memory, each with a point, a service radius,
// tags, and a value of the caller's. All methods may be called at any time from
// any goroutine. Nearest and Walk take no lock: they see all that was complete
// when they began. A query that overlaps the move of a store to another point may
// meet it at the old point, the new one, both, or neither.
type Index[T any] struct {
	root branch[T]

	mu     sync.RWMutex // guards the map, and lets one writer at a time change the tree
	stores map[int64]*store[T]
}

// Store is a store as the index knows it.
type Store[T any] struct {
	Key     int64
	At      geo.Point
	RadiusM float64 // it serves points at most this many metres away; +Inf is allowed, 0 means At alone
	Kind    uint32  // stores of one kind have something in common that rules them all out for some queries
	Value   T
}

// Hit is a store that was found, with its great-circle distance in metres as
// [geo.DistanceM] computes it.
type Hit[T any] struct {
	Store[T]
	DistanceM float64
}

// store is one state of a store; but for where it lies in the tree it never
// changes once it is in the index.
type store[T any] struct {
	Store[T]
	home        *leaf[T] // guarded by the index's mu, as are block and lane
	block, lane uint8
}

// NewIndex returns an empty index.
func NewIndex[T any]() *Index[T] {
	ix := &Index[T]{stores: map[int64]*store[T]{}}
	ix.root.leadTo(grow[T](nil))
	return ix
}

// Put adds a store, or replaces what was known of it but for its tags. It fails
// when the store is at no position or its radius is negative or NaN, and then
// changes nothing.
func (ix *Index[T]) Put(in Store[T]) error {
	if err := in.check(); err != nil {
		return err
	}
	s := &store[T]{Store: in}

	ix.mu.Lock()
	defer ix.mu.Unlock()
	old := ix.stores[in.Key]
	switch {
	case old == nil:
		ix.insert(s, nil)
	case old.At == in.At:
		ix.replace(old, s)
	default:
		ix.insert(s, old)
		ix.remove(old)
	}
	ix.stores[in.Key] = s
	return nil
}

func (s *Store[T]) check() error {
	if ok, hint := geo.Check(s.At); !ok {
		return fmt.Errorf("assign: store %d: %s", s.Key, hint)
	}
	if !(s.RadiusM >= 0) {
		return fmt.Errorf("assign: store %d: radius of %v m", s.Key, s.RadiusM)
	}
	return nil
}

// Fill puts about n stores, each with a key of its own, into an index that has none.
// It is what many a Put does, some ten times quicker. It fails as Put does, and then
// the index stays empty.
func (ix *Index[T]) Fill(n int, all iter.Seq[Store[T]]) error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if len(ix.stores) > 0 {
		return errors.New("assign: the index has stores already")
	}
	const chunk = 1024 // one object for the garbage collector instead of a thousand
	var kept []store[T]
	comers, stores := make([]comer[T], 0, n), make(map[int64]*store[T], n)
	for in := range all {
		if err := in.check(); err != nil {
			return err
		}
		if stores[in.Key] != nil {
			return fmt.Errorf("assign: store %d comes twice", in.Key)
		}
		if len(kept) == 0 {
			kept = make([]store[T], chunk)
		}
		s := &kept[0]
		kept = kept[1:]
		s.Store = in
		comers, stores[in.Key] = append(comers, comerOf(s)), s
	}
	ix.stores = stores
	ix.root.leadTo(grow(comers))
	fit(&ix.root.ball, comers)
	return nil
}

// Remove takes the store key out of the index, if it is there.
func (ix *Index[T]) Remove(key int64) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if old := ix.stores[key]; old != nil {
		delete(ix.stores, key)
		ix.remove(old)
	}
}

// Tag has the store key carry a tag, or no longer. Queries for a tag meet the
// stores that carry it.
func (ix *Index[T]) Tag(key int64, tag uint8, on bool) {
	ix.mu.RLock() // many may tag at once, while nobody moves the stores about
	defer ix.mu.RUnlock()
	if s := ix.stores[key]; s != nil {
		s.home.tag(s.block, s.lane, tag, on)
	}
}

// Get returns what was last put under key.
func (ix *Index[T]) Get(key int64) (Store[T], bool) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	s := ix.stores[key]
	if s == nil {
		return Store[T]{}, false
	}
	return s.Store, true
}

// Len returns the number of stores.
func (ix *Index[T]) Len() int {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return len(ix.stores)
}

// Each visits all stores, in no order, until visit says stop. Writers wait meanwhile.
func (ix *Index[T]) Each(visit func(Store[T]) (more bool)) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	for _, s := range ix.stores {
		if !visit(s.Store) {
			return
		}
	}
}
