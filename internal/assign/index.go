// Package assign finds the stores that may serve an order. It is pure: it reads
// no clock, no database and no network.
//
// # The live index
//
// [Index] answers "which store is nearest?" exactly as a loop over all stores
// would, by looking at a few of them. It is a tree: stores lie in H3 cells of
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
// Orders come in crowds from the same streets, and the way down from the root is
// most of the work for each. So the index remembers rings: for a block of space,
// the leaves around it by rising bound as seen from its middle. A query corrects
// the bounds by its own chord to that middle, again by the triangle inequality,
// and neither sorts nor allocates. A ring is stale once any ball has grown since;
// the index counts that. Blocks are plain cubes, not H3 cells: finding one's cube
// takes three multiplications, finding one's cell a call into C.
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

	// unsure is the same for squared chords: of two up to 2, (a-2*margin)^2 is at
	// least a^2-unsure.
	unsure = 8 * margin

	// everywhere is a chord that spans more than the globe.
	everywhere = 2 + margin

	// shellStores is about how many stores of a crowded leaf a walk takes in at a
	// time: most walks end after a few stores, and ranking one costs 20 looks.
	shellStores = 16

	// radiusStep rounds the radius of a ball up by at most about 250 m. Without
	// it each new store at the rim of its cell would make all rings stale.
	radiusStep = 4e-5

	// blocksPerRadius cuts space into cubes of 2.1 km, about the size of a leaf.
	blocksPerRadius = 3000

	ringSlots  = 1 << 16 // rings remembered, 1 kB or less each
	ringLeaves = 16      // leaves remembered in one ring
)

// halfBlock is the longest chord from the middle of a block to a point in it.
var halfBlock = math.Sqrt(3)/2/blocksPerRadius + margin

// Index is a live set of stores in memory, each with a point, a service radius
// and a value of the caller's. All methods may be called at any time from any
// goroutine. Nearest and Walk take no lock: they read snapshots that Put and
// Remove replace node by node, and see all that was complete when they began.
// A query that overlaps the move of a store to another point may meet it at the
// old point, the new one, both, or neither.
//
// Nodes are never given back: an index holds as many as ever held a store.
type Index[T any] struct {
	root       node[T]
	generation atomic.Uint64 // counts the changes that make rings stale
	rings      []atomic.Pointer[ring[T]]

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
// chord radius of center, and none serves beyond the chord reach. Branches lie
// side by side in the parent, so that a query reads them without visiting the
// nodes. The bounds only ever grow: one too wide costs time, never the answer.
type branch[T any] struct {
	center        geo.Vec
	radius, reach float64
	node          *node[T]
}

// ring lists the leaves around a block that may serve it, nearest bound first.
type ring[T any] struct {
	block      block
	generation uint64
	near       []neighbour[T]
	beyond     float64 // bound of all leaves that are not listed, or +Inf
}

// neighbour is a leaf seen from the middle of a block: no store of it is nearer
// than the chord bound. center and radius are its ball.
type neighbour[T any] struct {
	bound, radius float64
	center        geo.Vec
	node          *node[T]
}

// NewIndex returns an empty index.
func NewIndex[T any]() *Index[T] {
	ix := &Index[T]{
		rings:  make([]atomic.Pointer[ring[T]], ringSlots),
		stores: map[int64]*store[T]{},
		nodes:  map[geo.Cell]*node[T]{},
	}
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
	grew := home.cover(at, reach)
	old := ix.stores[key]
	now := &store[T]{key: key, at: p, radiusM: radiusM, home: home, value: v}
	home.put(old, now, spot{at: at, reach2: reach * reach})
	ix.stores[key] = now
	if grew {
		// Only now: a ring made after this has seen all of the above.
		ix.generation.Add(1)
	}
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
	if near := ix.ringAt(s.from); !s.within(near) {
		f := ix.frontier(s.from, 0, s.limit)
		s.outside(near, &f)
	}
	if s.best == nil {
		return hit, false
	}
	return Hit[T]{Key: s.best.key, DistanceM: geo.DistanceM(p, s.best.at), Value: s.best.value}, true
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
	w.seen = heap[store[T]]{items: make([]ranked[store[T]], 0, 64), from: p, tie: inOrder[T]}
	f := ix.frontier(w.from, 0, w.limit)
	for f.horizon() <= w.limit {
		bound := f.horizon()
		if leaf := f.step(w.limit); leaf != nil {
			if to := w.gather(leaf, bound); to <= w.limit {
				f.branches.push(ranked[branch[T]]{chord: to, of: leaf})
			}
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

// frontier is the part of the tree that a query has yet to look at, ranked by
// bounds. The query lies at most slack from the vector from.
type frontier[T any] struct {
	from     geo.Vec
	slack    float64
	branches heap[branch[T]]
}

// frontier returns one that begins at the root.
func (ix *Index[T]) frontier(from geo.Vec, slack, limit float64) frontier[T] {
	f := frontier[T]{from: from, slack: slack}
	f.branches.items = make([]ranked[branch[T]], 0, 64)
	f.enter(&ix.root, math.Inf(-1), limit)
	return f
}

// horizon returns the chord from f.from that no store under the frontier is
// nearer than.
func (f *frontier[T]) horizon() float64 { return f.branches.least() }

// step takes the first branch off the frontier. It returns one that leads to a
// leaf; any other gives way to the branches behind it.
func (f *frontier[T]) step(limit float64) (leaf *branch[T]) {
	first := f.branches.pop()
	if first.of.node.crowd.Load() != nil {
		return first.of
	}
	f.enter(first.of.node, first.chord, limit)
	return nil
}

// enter adds those branches of n that may serve the query from at most limit
// away. The ball of n and theirs all hold the stores behind them, and need not
// lie in each other, so the wider bound counts; thus bounds rise along a query.
func (f *frontier[T]) enter(n *node[T], bound, limit float64) {
	branches := *n.branches.Load()
	for i := range branches {
		b := &branches[i]
		chord2, most := f.from.Chord2(b.center), min(limit, b.reach)+b.radius+f.slack
		if chord2 <= most*most {
			f.branches.push(ranked[branch[T]]{chord: max(bound, math.Sqrt(chord2)-b.radius), of: b})
		}
	}
}

// search is one Nearest under way.
type search[T any] struct {
	at       geo.Point
	from     geo.Vec
	maxM     float64
	eligible func(*T) bool

	limit float64 // chord beyond which no store can win any more
	best  *store[T]
}

// within visits the leaves of a ring that can still hold a better store, and says
// whether no other leaf can.
func (s *search[T]) within(r *ring[T]) (settled bool) {
	slack := s.from.Chord(r.block.mid())
	for i := range r.near {
		n := &r.near[i]
		if n.bound-slack > s.limit {
			return true
		}
		if most := s.limit + n.radius; s.from.Chord2(n.center) <= most*most {
			s.visit(n.node.crowd.Load())
		}
	}
	return r.beyond-slack > s.limit
}

// outside visits such leaves that are not in the ring.
func (s *search[T]) outside(r *ring[T], f *frontier[T]) {
	for f.horizon() <= s.limit {
		if leaf := f.step(s.limit); leaf != nil && !r.lists(leaf.node) {
			s.visit(leaf.node.crowd.Load())
		}
	}
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
		if chord2 > min(limit2, c.spots[i].reach2)-unsure && !s.beats(found) {
			continue
		}
		s.best, s.limit = found, math.Sqrt(chord2)+margin
		limit2 = s.limit * s.limit
	}
}

// beats decides by metres what chords leave open.
func (s *search[T]) beats(found *store[T]) bool {
	m := geo.DistanceM(s.at, found.at)
	if m > found.radiusM || m > s.maxM {
		return false
	}
	return s.best == nil || inOrder(s.at, found, s.best)
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

// gather takes in those stores of a leaf that lie farther than the chord from, up
// to the chord it returns; +Inf says that none is left. The shell is as wide as
// if the leaf's stores were spread evenly, and never so thin that a leaf full of
// stores on one spot takes forever to pass.
func (w *walk[T]) gather(leaf *branch[T], from float64) (to float64) {
	c := leaf.node.crowd.Load()
	to = max(0, from) + leaf.radius*max(1./16, math.Sqrt(shellStores/float64(len(c.spots))))
	limit2, from2, to2 := w.limit*w.limit, from*math.Abs(from), to*to
	left := false
	for i := range c.spots {
		chord2 := w.from.Chord2(c.spots[i].at)
		switch {
		case chord2 <= from2 || chord2 > limit2 || chord2 > c.spots[i].reach2:
		case chord2 > to2:
			left = true
		default:
			w.seen.push(ranked[store[T]]{chord: math.Sqrt(chord2), of: c.stores[i]})
		}
	}
	if !left {
		return math.Inf(1)
	}
	return to
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

// inOrder says whether a comes before b by (metres from p, key).
func inOrder[T any](p geo.Point, a, b *store[T]) bool {
	return cmp.Or(
		cmp.Compare(geo.DistanceM(p, a.at), geo.DistanceM(p, b.at)),
		cmp.Compare(a.key, b.key),
	) < 0
}

// heap is a binary heap, least chord first. Where it matters who comes first
// among chords closer than margin, tie decides. Written out because
// container/heap would allocate for every item.
type heap[E any] struct {
	items []ranked[E]
	from  geo.Point
	tie   func(from geo.Point, a, b *E) bool
}

type ranked[E any] struct {
	chord float64
	of    *E
}

func (h *heap[E]) less(i, j int) bool {
	a, b := h.items[i], h.items[j]
	if h.tie != nil && math.Abs(a.chord-b.chord) <= margin {
		return h.tie(h.from, a.of, b.of)
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

// block is a cube of space; every point on the ground lies in exactly one.
type block struct {
	x, y, z int16
}

func blockOf(v geo.Vec) block {
	return block{
		x: int16(math.Floor(v.X * blocksPerRadius)),
		y: int16(math.Floor(v.Y * blocksPerRadius)),
		z: int16(math.Floor(v.Z * blocksPerRadius)),
	}
}

func (b block) mid() geo.Vec {
	return geo.Vec{
		X: (float64(b.x) + 0.5) / blocksPerRadius,
		Y: (float64(b.y) + 0.5) / blocksPerRadius,
		Z: (float64(b.z) + 0.5) / blocksPerRadius,
	}
}

// slot spreads blocks over the ring table by multiplicative hashing with the
// golden ratio (Knuth, TAOCP 6.4).
func (b block) slot() uint64 {
	packed := uint64(uint16(b.x))<<32 | uint64(uint16(b.y))<<16 | uint64(uint16(b.z))
	return packed * 0x9E3779B97F4A7C15 >> 32 % ringSlots
}

// ringAt returns the ring of the block v lies in, made anew if it was never
// made, has gone stale, or gave way to another block's. The table is bounded
// without any bookkeeping: a slot holds whoever came last.
func (ix *Index[T]) ringAt(v geo.Vec) *ring[T] {
	b := blockOf(v)
	slot := &ix.rings[b.slot()]
	// Read before the tree is: a ring may know more than it says, never less.
	generation := ix.generation.Load()
	if r := slot.Load(); r != nil && r.block == b && r.generation == generation {
		return r
	}
	r := ix.newRing(b)
	r.generation = generation
	slot.Store(r)
	return r
}

// newRing returns the ring of b as the tree is now.
func (ix *Index[T]) newRing(b block) *ring[T] {
	f := ix.frontier(b.mid(), halfBlock, everywhere)
	var near [ringLeaves]neighbour[T]
	n := 0
	for n < ringLeaves && f.horizon() <= everywhere {
		bound := f.horizon()
		if leaf := f.step(everywhere); leaf != nil {
			near[n] = neighbour[T]{bound: bound, radius: leaf.radius, center: leaf.center, node: leaf.node}
			n++
		}
	}
	return &ring[T]{block: b, near: slices.Clone(near[:n]), beyond: f.horizon()}
}

func (r *ring[T]) lists(leaf *node[T]) bool {
	return slices.ContainsFunc(r.near, func(n neighbour[T]) bool { return n.node == leaf })
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
	first := branch[T]{center: geo.VecOf(geo.Center(cell)), radius: radiusStep, node: n}
	longer := append(*parent.branches.Load(), first)
	parent.branches.Store(&longer)
	return n, nil
}

// cover grows the balls from n to the root over a store at v that serves up to
// the chord reach, and says whether any had to. A new one, without reach, has to.
func (n *node[T]) cover(v geo.Vec, reach float64) (grew bool) {
	for ; n.parent != nil; n = n.parent {
		branches := *n.parent.branches.Load()
		b := branches[n.slot]
		radius := b.center.Chord(v) + margin
		if radius <= b.radius && reach <= b.reach {
			continue
		}
		if radius > b.radius {
			b.radius = math.Ceil(radius/radiusStep) * radiusStep
		}
		b.reach = max(b.reach, reach)
		branches = slices.Clone(branches)
		branches[n.slot] = b
		n.parent.branches.Store(&branches)
		grew = true
	}
	return grew
}

// put shows readers the crowd with now in the place of old, or at the end if
// old is nil or lives elsewhere.
func (n *node[T]) put(old, now *store[T], at spot) {
	was := n.crowd.Load()
	if old == nil || old.home != n {
		// As in nodeAt, append keeps off what readers see.
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
