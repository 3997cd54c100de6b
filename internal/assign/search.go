package assign

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"doorstep/geo"
)

// Query says which stores are looked for.
type Query struct {
	At   geo.Point
	MaxM float64                // no farther than this many metres; 0: no such limit
	Tags []uint8                // they carry all of these
	Kind func(kind uint32) bool // they are of a kind for which this is true; nil: any
}

// Nearest returns the store with the least (distance, key) among those that q.At
// lies in the radius of, that q asks for, and that are eligible (nil means all
// are). It equals a loop over all stores. ok is false when there is none, or when
// q.At is no position.
//
// eligible is asked about some values only, in no particular order, and after
// everything else: what it reads lies far from what a query reads.
func (ix *Index[T]) Nearest(q Query, eligible func(T) bool) (hit Hit[T], ok bool) {
	maxM, ok := checkQuery(q.At, q.MaxM)
	if !ok {
		return hit, false
	}
	s := search[T]{at: q.At, maxM: maxM}
	f := frontier[T]{from: geo.VecOf(q.At), limit: geo.ChordOf(maxM) + margin}
	f.start(&ix.root)
	for p, ok := f.next(q.Tags); ok; p, ok = f.next(q.Tags) {
		s.visit(p, &f, q.Kind, eligible)
	}
	if s.best == nil {
		return hit, false
	}
	return Hit[T]{Store: s.best.Store, DistanceM: s.bestM}, true
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
	w := walk[T]{at: p, maxM: maxM, visit: visit}
	f := frontier[T]{from: geo.VecOf(p), limit: geo.ChordOf(maxM) + margin}
	f.start(&ix.root)
	for block, ok := f.next(nil); ok; block, ok = f.next(nil) {
		w.gather(block)
		if !w.emit(geo.MetresOf(f.ahead.least() - margin)) {
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

// frontier is the part of the tree that a query has yet to look at: branches, and
// blocks of leaves, by rising bound.
type frontier[T any] struct {
	from  geo.Vec
	limit float64 // chord beyond which no store is wanted any more
	ahead heap[part[T]]
}

// part is a branch, or those stores of a block that carry the tags.
type part[T any] struct {
	branch *branch[T]
	leaf   *leaf[T]
	block  int
	lanes  uint64
}

func (f *frontier[T]) start(root *branch[T]) {
	if bound := f.bound(&root.ball, 0); bound <= f.limit {
		f.ahead.push(bound, part[T]{branch: root})
	}
}

// bound is a chord that no store in a ball is nearer than, +Inf when none there can
// serve the query. The balls of a branch and of what is behind it both hold the
// stores there and need not lie in each other, so the wider bound counts; thus
// bounds rise along a query.
func (f *frontier[T]) bound(b *ball, above float64) float64 {
	radius := b.radius.get()
	chord2, most := f.from.Chord2(b.center), min(f.limit, b.reach.get())+radius
	if chord2 > most*most {
		return math.Inf(1)
	}
	return max(above, math.Sqrt(chord2)-radius)
}

// next takes the block with the least bound off the frontier; not ok when none is
// left that may serve the query. The tags are the same each time; if the frontier
// kept them the compiler would have the whole query on the heap.
func (f *frontier[T]) next(tags []uint8) (p part[T], ok bool) {
	for f.ahead.least() <= f.limit {
		bound, p := f.ahead.pop()
		if p.leaf != nil {
			return p, true
		}
		for b := p.branch; b != nil; {
			l, n := b.behind()
			if n == nil {
				f.enter(l, bound, tags)
				break
			}
			near, far := &n.sides[0], &n.sides[1]
			toNear, toFar := f.bound(&near.ball, bound), f.bound(&far.ball, bound)
			if toFar < toNear {
				near, far, toNear, toFar = far, near, toFar, toNear
			}
			if toFar <= f.limit {
				f.ahead.push(toFar, part[T]{branch: far})
			}
			// Straight on if nothing else is nearer.
			if b, bound = near, toNear; bound > f.ahead.least() || bound > f.limit {
				if bound <= f.limit {
					f.ahead.push(bound, part[T]{branch: near})
				}
				break
			}
		}
	}
	return p, false
}

// enter adds the blocks of a leaf. The words of a tag for all blocks are one cache
// line, so ruling out seven blocks costs little more than ruling out one.
func (f *frontier[T]) enter(l *leaf[T], bound float64, wanted []uint8) {
	var live [blocks]uint64
	for i := range live {
		live[i] = l.live[i].Load()
	}
	if len(wanted) > 0 {
		tags := &l.tags
		for _, t := range wanted {
			words := &tags[t]
			for i := range live {
				live[i] &= words[i].Load()
			}
		}
	}
	for i, lanes := range live {
		if lanes == 0 {
			continue
		}
		if to := f.bound(&l.grids[i].ball, bound); to <= f.limit {
			f.ahead.push(to, part[T]{leaf: l, block: i, lanes: lanes})
		}
	}
}

// search is one Nearest under way. It does not keep the caller's functions: as it
// holds what is returned, the compiler would have them on the heap.
type search[T any] struct {
	at     geo.Point
	maxM   float64
	chord2 [width]float64 // of the candidates in the block being visited
	best   *store[T]
	bestM  float64
}

// visit looks at stores of a block, nearest first: whether one is eligible is the
// dearest question.
func (s *search[T]) visit(p part[T], f *frontier[T], kind func(uint32) bool, eligible func(T) bool) {
	step, b, left := p.leaf.grids[p.block].step, &p.leaf.blocks[p.block], s.reaching(p, f)
	for left != 0 {
		i := s.least(left)
		left &^= 1 << i
		if most := f.limit + step; s.chord2[i] > most*most {
			return
		}
		if kind != nil && !kind(b.kinds[i]) || eligible != nil && !eligible(b.stores[i].value) {
			continue
		}
		found := b.stores[i].whole
		m := geo.DistanceM(s.at, found.At)
		if m > found.RadiusM || m > s.maxM || s.best != nil && (m > s.bestM || m == s.bestM && found.Key > s.best.Key) {
			continue
		}
		s.best, s.bestM = found, m
		f.limit = min(f.limit, geo.ChordOf(m)+margin)
	}
}

// reaching notes the squared chords of a block's candidates and returns the lanes
// of those that may serve the query.
func (s *search[T]) reaching(p part[T], f *frontier[T]) (out uint64) {
	g, spots := &p.leaf.grids[p.block], &p.leaf.blocks[p.block].spots
	from := geo.Vec{X: f.from.X - g.center.X, Y: f.from.Y - g.center.Y, Z: f.from.Z - g.center.Z}
	for rest := p.lanes; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		chord2, most := g.chord2(spots[i], from), min(f.limit, spots[i].most())+g.step
		if chord2 <= most*most {
			s.chord2[i] = chord2
			out |= 1 << i
		}
	}
	return out
}

// least is the nearest of some lanes.
func (s *search[T]) least(of uint64) (lane int) {
	least := math.Inf(1)
	for ; of != 0; of &= of - 1 {
		if i := bits.TrailingZeros64(of); s.chord2[i] < least {
			lane, least = i, s.chord2[i]
		}
	}
	return lane
}

// walk is one Walk under way.
type walk[T any] struct {
	at    geo.Point
	maxM  float64
	visit func(Hit[T]) bool
	seen  heap[*store[T]] // by metres, in the blocks visited so far, and not yet shown
}

// gather takes in the stores of a block.
func (w *walk[T]) gather(p part[T]) {
	for rest := p.lanes; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		s := p.leaf.blocks[p.block].stores[i].whole
		if m := geo.DistanceM(w.at, s.At); m <= s.RadiusM && m <= w.maxM {
			w.seen.push(m, s)
		}
	}
}

// emit shows the stores nearer than horizon, in metres, from which on others may
// still turn up. It returns false when the visitor has had enough.
func (w *walk[T]) emit(horizon float64) (more bool) {
	for w.seen.least() < horizon {
		// Of stores as far away as each other the one with the least key is next.
		m, next := w.seen.pop()
		same := []*store[T]{next}
		for w.seen.least() == m {
			_, next = w.seen.pop()
			same = append(same, next)
		}
		slices.SortFunc(same, func(a, b *store[T]) int { return cmp.Compare(a.Key, b.Key) })
		for _, s := range same {
			if !w.visit(Hit[T]{Store: s.Store, DistanceM: m}) {
				return false
			}
		}
	}
	return true
}

// heap is a binary heap, least rank first. Written out because container/heap
// would allocate for every item; the first items lie in room, so that a query on
// the stack stays there.
type heap[E any] struct {
	room [64]ranked[E]
	more []ranked[E] // all items, once they are too many for room
	n    int
}

type ranked[E any] struct {
	rank float64
	item E
}

func (h *heap[E]) items() []ranked[E] {
	if h.more != nil {
		return h.more
	}
	return h.room[:h.n]
}

// least is the rank of the first item, +Inf when there is none.
func (h *heap[E]) least() float64 {
	if h.n == 0 {
		return math.Inf(1)
	}
	return h.items()[0].rank
}

func (h *heap[E]) push(rank float64, item E) {
	switch {
	case h.more != nil:
		h.more = append(h.more, ranked[E]{})
	case h.n == len(h.room):
		h.more = append(append(make([]ranked[E], 0, 4*h.n), h.room[:]...), ranked[E]{})
	}
	h.n++
	items, i := h.items(), h.n-1
	for i > 0 {
		parent := (i - 1) / 2
		if items[parent].rank <= rank {
			break
		}
		items[i] = items[parent]
		i = parent
	}
	items[i] = ranked[E]{rank, item}
}

func (h *heap[E]) pop() (float64, E) {
	items, last := h.items(), h.n-1
	first, moved := items[0], items[last]
	h.n = last
	if h.more != nil {
		h.more = h.more[:last]
	}
	i := 0
	for child := 1; child < last; child = 2*i + 1 {
		if right := child + 1; right < last && items[right].rank < items[child].rank {
			child = right
		}
		if items[child].rank >= moved.rank {
			break
		}
		items[i] = items[child]
		i = child
	}
	items[i] = moved
	return first.rank, first.item
}
