// Package assign finds the stores that may serve an order. It is pure: it reads
// no clock, no database and no network.
//
// # The live index
//
// [Index] answers "which store is nearest?" exactly as a loop over all stores
// would, by looking at a few cells only. It is a tree: stores lie in H3 cells of
// resolution 7, those hang under their ancestors of resolution 5, 3 and 1. Around
// every node lies a ball: the centre of its H3 cell, and the longest chord from
// there to one of its stores. By the triangle inequality no store under a node
// is nearer to a query than the chord to the centre less the ball's radius. A
// query follows the least of these bounds until none is below the best store
// found; a walk goes on from there (Hjaltason and Samet, Distance browsing in
// spatial databases, ACM TODS 24, 1999).
//
// The balls are measured on the stores themselves, so nothing is assumed about
// the shape or size of H3 cells, or that parents cover their children; H3 only
// has to put near points together. Poles, pentagons and the antimeridian are
// places like any other.
//
// Distances are compared as chords of unit vectors, which cost no trigonometry.
// What is reported, compared between near-ties and held against a radius is
// always [geo.DistanceM], so the answer equals brute force to the last bit.
package assign

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"doorstep/geo"
)

const (
	// levelStep is how many H3 resolutions lie between the levels of the tree:
	// two give nodes up to 49 children, two kilobytes read in one go.
	levelStep = 2

	// margin, in chord units, is 6 micrometres on the ground: thousands of times
	// the rounding error of a chord or of geo.DistanceM. Two chords farther apart
	// than this order as the metres do; closer ones are settled by the metres.
	margin = 1e-12
)

// Index is a live set of stores in memory, each with a point, a service radius
// and a value of the caller's. All methods may be called at any time from any
// goroutine. Nearest and Walk take no lock: they read snapshots that Put and
// Remove replace node by node, and see all that was complete when they began.
// While a store moves to another cell, a query that overlaps the move may meet
// it at its old place, its new one, both, or neither.
//
// Nodes are never given back: an index holds as many as ever held a store.
type Index[T any] struct {
	root node[T]

	mu     sync.RWMutex // guards the maps, and lets one writer at a time swap
	stores map[int64]*store[T]
	nodes  map[geo.Cell]*node[T]
}

// Hit is a store that was found, with its great-circle distance in metres as
// [geo.DistanceM] computes it.
type Hit[T any] struct {
	Key       int64
	DistanceM float64
	Value     T
}

// store is one state of a store; it never changes once it is in the index.
type store[T any] struct {
	key     int64
	at      geo.Point
	radiusM float64
	home    *node[T]
	value   T
}

// spot is what a query reads of every store in a leaf it visits.
type spot struct {
	at     geo.Vec
	reach2 float64 // squared chord beyond which the store surely does not serve
}

// crowd is a snapshot of the stores of one leaf; spots[i] belongs to stores[i].
type crowd[T any] struct {
	spots  []spot
	stores []*store[T]
}

// node is a cell of the tree. A leaf has a crowd, any other has branches.
type node[T any] struct {
	parent   *node[T]
	slot     int // which of the parent's branches leads here
	branches atomic.Pointer[[]branch[T]]
	crowd    atomic.Pointer[crowd[T]]
}

// branch leads to a node and bounds the stores under it: all lie within the
// chord radius of center, and none serves beyond the chord reach. These lie side
// by side in the parent, so that a query reads them without visiting the nodes.
// They only ever grow: a ball that is too large costs time, never the answer.
type branch[T any] struct {
	center        geo.Vec
	radius, reach float64
	node          *node[T]
}

// NewIndex returns an empty index.
func NewIndex[T any]() *Index[T] {
	ix := &Index[T]{stores: map[int64]*store[T]{}, nodes: map[geo.Cell]*node[T]{}}
	ix.root.branches.Store(new([]branch[T]))
	return ix
}

// Put adds the store key at p, or replaces what was known of it. It serves
// points at most radiusM metres away; +Inf is allowed, and 0 means p alone. Put
// fails when p is no position or radiusM is negative or NaN, and then changes
// nothing.
func (ix *Index[T]) Put(key int64, p geo.Point, radiusM float64, v T) error {
	if !(radiusM >= 0) {
		return fmt.Errorf("assign: store %d: radius of %v m", key, radiusM)
	}
	cell, err := geo.CellOf(p, geo.IndexRes)
	if err != nil {
		return fmt.Errorf("assign: store %d: %w", key, err)
	}
	at, reach := geo.VecOf(p), geo.ChordOf(radiusM)+margin

	ix.mu.Lock()
	defer ix.mu.Unlock()
	home, err := ix.nodeAt(cell)
	if err != nil {
		return fmt.Errorf("assign: store %d: %w", key, err)
	}
	home.cover(at, reach)
	old := ix.stores[key]
	now := &store[T]{key: key, at: p, radiusM: radiusM, home: home, value: v}
	home.put(old, now, spot{at: at, reach2: reach * reach})
	ix.stores[key] = now
	if old != nil && old.home != home {
		old.home.remove(old)
	}
	return nil
}

// Remove takes the store key out of the index, if it is there.
func (ix *Index[T]) Remove(key int64) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if old := ix.stores[key]; old != nil {
		delete(ix.stores, key)
		old.home.remove(old)
	}
}

// Get returns what was last put under key.
func (ix *Index[T]) Get(key int64) (T, bool) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	s := ix.stores[key]
	if s == nil {
		var none T
		return none, false
	}
	return s.value, true
}

// Len returns the number of stores.
func (ix *Index[T]) Len() int {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return len(ix.stores)
}

// Nearest returns the store with the least (distance, key) among those that p
// lies in the radius of, that are at most maxM metres away (0 means no such
// limit), and that are eligible (nil means all are). It equals a loop over all
// stores. ok is false when there is none, or p is no position.
//
// eligible is asked about some stores only, in no particular order; it must not
// change the value nor keep the pointer.
func (ix *Index[T]) Nearest(p geo.Point, maxM float64, eligible func(*T) bool) (hit Hit[T], ok bool) {
	maxM, ok = checkQuery(p, maxM)
	if !ok {
		return hit, false
	}
	s := search[T]{
		at: p, from: geo.VecOf(p), maxM: maxM, eligible: eligible,
		limit: geo.ChordOf(maxM) + margin,
	}
	var onStack [64]ranked[node[T]]
	f := frontier[T]{from: s.from}
	f.nodes.items = append(onStack[:0], ranked[node[T]]{of: &ix.root})
	for f.horizon() <= s.limit {
		if c := f.step(s.limit); c != nil {
			s.visit(c)
		}
	}
	if s.best == nil {
		return hit, false
	}
	return Hit[T]{Key: s.best.key, DistanceM: s.bestM, Value: s.best.value}, true
}

// Walk shows the stores that p lies in the radius of and that are at most maxM
// metres away (0 means no such limit), in ascending order of (distance, key),
// until visit returns false. It shows none when p is no position. Its cost grows
// with how far it goes, not with the number of stores in reach.
func (ix *Index[T]) Walk(p geo.Point, maxM float64, visit func(Hit[T]) (more bool)) {
	maxM, ok := checkQuery(p, maxM)
	if !ok {
		return
	}
	w := walk[T]{
		at: p, from: geo.VecOf(p), maxM: maxM, visit: visit,
		limit: geo.ChordOf(maxM) + margin,
	}
	var nodesOnStack [64]ranked[node[T]]
	var storesOnStack [64]ranked[store[T]]
	f := frontier[T]{from: w.from}
	f.nodes.items = append(nodesOnStack[:0], ranked[node[T]]{of: &ix.root})
	w.seen = heap[store[T]]{items: storesOnStack[:0], tie: w.before}
	for f.horizon() <= w.limit {
		if c := f.step(w.limit); c != nil {
			w.gather(c)
		}
		if !w.emit(f.horizon()) {
			return
		}
	}
	w.emit(math.Inf(1))
}

// checkQuery returns the limit in metres, with 0 read as none.
func checkQuery(p geo.Point, maxM float64) (float64, bool) {
	if maxM == 0 {
		maxM = math.Inf(1)
	}
	ok, _ := geo.Check(p)
	return maxM, ok && maxM > 0
}

// frontier is the part of the tree that a query at from has yet to look at,
// ranked by bounds.
type frontier[T any] struct {
	from  geo.Vec
	nodes heap[node[T]]
}

// horizon returns the chord that no store under the frontier is nearer than.
func (f *frontier[T]) horizon() float64 { return f.nodes.least() }

// step takes the nearest node off the frontier. It returns the stores of a leaf;
// any other node makes room for those of its branches that may serve from, at
// most limit away.
func (f *frontier[T]) step(limit float64) *crowd[T] {
	n := f.nodes.pop().of
	if c := n.crowd.Load(); c != nil {
		return c
	}
	branches := *n.branches.Load()
	for i := range branches {
		b := &branches[i]
		chord2, most := f.from.Chord2(b.center), min(limit, b.reach)+b.radius
		if chord2 <= most*most {
			f.nodes.push(ranked[node[T]]{chord: math.Sqrt(chord2) - b.radius, of: b.node})
		}
	}
	return nil
}

// search is one Nearest under way.
type search[T any] struct {
	at       geo.Point
	from     geo.Vec
	maxM     float64
	eligible func(*T) bool

	limit float64 // chord beyond which no store can win any more
	best  *store[T]
	bestM float64
}

func (s *search[T]) visit(c *crowd[T]) {
	limit2 := s.limit * s.limit
	for i := range c.spots {
		chord2 := s.from.Chord2(c.spots[i].at)
		if chord2 > limit2 || chord2 > c.spots[i].reach2 {
			continue
		}
		found := c.stores[i]
		if s.eligible != nil && !s.eligible(&found.value) {
			continue
		}
		m := geo.DistanceM(s.at, found.at)
		if m > found.radiusM || m > s.maxM || !s.beats(m, found.key) {
			continue
		}
		s.best, s.bestM = found, m
		s.limit = math.Sqrt(chord2) + margin
		limit2 = s.limit * s.limit
	}
}

func (s *search[T]) beats(m float64, key int64) bool {
	return s.best == nil || m < s.bestM || m == s.bestM && key < s.best.key
}

// walk is one Walk under way.
type walk[T any] struct {
	at    geo.Point
	from  geo.Vec
	maxM  float64
	limit float64 // maxM as a chord, widened by margin
	visit func(Hit[T]) bool
	seen  heap[store[T]] // in the leaves visited so far, and not yet shown
}

func (w *walk[T]) gather(c *crowd[T]) {
	limit2 := w.limit * w.limit
	for i := range c.spots {
		chord2 := w.from.Chord2(c.spots[i].at)
		if chord2 > limit2 || chord2 > c.spots[i].reach2 {
			continue
		}
		w.seen.push(ranked[store[T]]{chord: math.Sqrt(chord2), of: c.stores[i]})
	}
}

// emit shows the stores nearer than horizon, a chord from which on others may
// still turn up. It returns false when the visitor has had enough.
func (w *walk[T]) emit(horizon float64) (more bool) {
	for w.seen.least()+margin < horizon {
		next := w.seen.pop().of
		m := geo.DistanceM(w.at, next.at)
		if m > next.radiusM || m > w.maxM {
			continue
		}
		if !w.visit(Hit[T]{Key: next.key, DistanceM: m, Value: next.value}) {
			return false
		}
	}
	return true
}

// before orders stores by (metres, key).
func (w *walk[T]) before(a, b *store[T]) bool {
	return cmp.Or(
		cmp.Compare(geo.DistanceM(w.at, a.at), geo.DistanceM(w.at, b.at)),
		cmp.Compare(a.key, b.key),
	) < 0
}

// heap is a binary heap, least chord first. Where it matters who comes first
// among chords closer than margin, tie decides. Its items may lie on the stack,
// which container/heap would not allow.
type heap[E any] struct {
	items []ranked[E]
	tie   func(a, b *E) bool
}

type ranked[E any] struct {
	chord float64
	of    *E
}

func (h *heap[E]) less(i, j int) bool {
	a, b := h.items[i], h.items[j]
	if h.tie != nil && math.Abs(a.chord-b.chord) <= margin {
		return h.tie(a.of, b.of)
	}
	return a.chord < b.chord
}

// least returns the chord of the first item, +Inf when there is none.
func (h *heap[E]) least() float64 {
	if len(h.items) == 0 {
		return math.Inf(1)
	}
	return h.items[0].chord
}

func (h *heap[E]) push(item ranked[E]) {
	h.items = append(h.items, item)
	for i := len(h.items) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			return
		}
		h.items[i], h.items[parent] = h.items[parent], h.items[i]
		i = parent
	}
}

func (h *heap[E]) pop() ranked[E] {
	first, last := h.items[0], len(h.items)-1
	h.items[0] = h.items[last]
	h.items = h.items[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return first
		}
		if right := child + 1; right < last && h.less(right, child) {
			child = right
		}
		if !h.less(child, i) {
			return first
		}
		h.items[i], h.items[child] = h.items[child], h.items[i]
		i = child
	}
}

// nodeAt returns the node of a cell, newly hung into the tree if it was never
// there.
func (ix *Index[T]) nodeAt(cell geo.Cell) (*node[T], error) {
	if n := ix.nodes[cell]; n != nil {
		return n, nil
	}
	parent := &ix.root
	if res := cell.Resolution() - levelStep; res > 0 {
		above, err := geo.Parent(cell, res)
		if err != nil {
			return nil, err
		}
		if parent, err = ix.nodeAt(above); err != nil {
			return nil, err
		}
	}
	n := &node[T]{parent: parent, slot: len(*parent.branches.Load())}
	if cell.Resolution() == geo.IndexRes {
		n.crowd.Store(&crowd[T]{})
	} else {
		n.branches.Store(new([]branch[T]))
	}
	ix.nodes[cell] = n
	// append may write behind the part that readers see, never into it.
	longer := append(*parent.branches.Load(), branch[T]{center: geo.VecOf(geo.Center(cell)), node: n})
	parent.branches.Store(&longer)
	return n, nil
}

// cover grows the balls from n to the root over a store at v that serves up to
// the chord reach.
func (n *node[T]) cover(v geo.Vec, reach float64) {
	for ; n.parent != nil; n = n.parent {
		branches := *n.parent.branches.Load()
		b := branches[n.slot]
		radius := b.center.Chord(v) + margin
		if radius <= b.radius && reach <= b.reach {
			continue
		}
		b.radius, b.reach = max(b.radius, radius), max(b.reach, reach)
		branches = slices.Clone(branches)
		branches[n.slot] = b
		n.parent.branches.Store(&branches)
	}
}

// put shows readers the crowd with now in the place of old, or at the end if
// old is nil or lives elsewhere.
func (n *node[T]) put(old, now *store[T], at spot) {
	was := n.crowd.Load()
	if old == nil || old.home != n {
		// As in publish, append keeps off what readers see.
		n.crowd.Store(&crowd[T]{spots: append(was.spots, at), stores: append(was.stores, now)})
		return
	}
	i := slices.Index(was.stores, old)
	next := &crowd[T]{spots: slices.Clone(was.spots), stores: slices.Clone(was.stores)}
	next.spots[i], next.stores[i] = at, now
	n.crowd.Store(next)
}

// remove shows readers the crowd without old. It copies even to drop the last
// one: shortening the list in place would let the next put overwrite what
// readers of the longer one still see.
func (n *node[T]) remove(old *store[T]) {
	was := n.crowd.Load()
	i := slices.Index(was.stores, old)
	n.crowd.Store(&crowd[T]{
		spots:  slices.Concat(was.spots[:i], was.spots[i+1:]),
		stores: slices.Concat(was.stores[:i], was.stores[i+1:]),
	})
}
