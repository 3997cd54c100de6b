package assign

import (
	"math"
	"math/bits"
	"sync/atomic"

	"doorstep/geo"
)

const (
	width   = 64 // stores in a block: the bits of a word
	blocks  = 8  // in a leaf: the words of a cache line
	maxTags = 256

	// packed is how many stores a leaf holds at most when it is made: the lanes left
	// free take newcomers, and new states of the stores that are there.
	packed = blocks * 56

	// lopsided is the share of a node's stores that one side may have before the
	// node is built anew.
	lopsided = 0.7

	// margin, in chord units, is 6 mm on the ground: far more than the rounding error
	// of a chord or of geo.DistanceM. What chords leave open, metres decide.
	margin = 1e-9
)

// leaf is up to 512 stores that lie near each other, in blocks of up to 64 that lie
// still nearer. A lane is written once, before its bit in live is set, and never
// used again: whoever has read live may read those lanes without a lock, whatever
// a writer does meanwhile. A leaf that lacks a lane gives way to a new one.
//
// A query spends its time waiting for memory. So what it reads of many stores is
// small and lies together: of a store that lacks a tag one bit, of one that has all
// 8 bytes, and the rest only of one that is near enough.
type leaf[T any] struct {
	live   [blocks]atomic.Uint64 // bit i: the store in lane i of the block is in the index
	grids  [blocks]grid
	tags   [maxTags][blocks]atomic.Uint64 // of live lanes that carry the tag, and perhaps of dead ones
	blocks [blocks]block[T]

	up     *branch[T]    // what leads here
	used   [blocks]uint8 // lanes that have been written
	tagged atomic.Bool   // a store here has carried a tag
}

// block is the lanes of a block.
type block[T any] struct {
	spots  [width]spot
	kinds  [width]uint32
	stores [width]struct {
		value T
		whole *store[T]
	}
}

// spot is where a store of a block is, in steps of its grid from the centre, and how
// far it serves.
type spot struct {
	x, y, z int16
	reach   uint16 // the upper half of a float32, rounded up
}

// grid is the ball around a block and the raster that its spots lie on. The raster
// is so fine that the whole ball, a quarter wider than when it was made, has room
// for 2^16 steps: 2 cm in a city.
type grid struct {
	ball
	step float64
}

// spotOf rounds a place to the grid; ok is false when it lies outside.
func (g *grid) spotOf(at geo.Vec, reach float64) (s spot, ok bool) {
	const most = math.MaxInt16
	x, y, z := math.Round((at.X-g.center.X)/g.step), math.Round((at.Y-g.center.Y)/g.step), math.Round((at.Z-g.center.Z)/g.step)
	if max(math.Abs(x), math.Abs(y), math.Abs(z)) > most {
		return spot{}, false
	}
	return spot{int16(x), int16(y), int16(z), uint16(math.Float32bits(float32(reach))>>16 + 1)}, true
}

// chord2 is the squared chord from v, as seen from the centre, to a spot: that to the
// store may be up to a step longer or shorter.
func (g *grid) chord2(s spot, v geo.Vec) float64 {
	return v.Chord2(geo.Vec{X: float64(s.x) * g.step, Y: float64(s.y) * g.step, Z: float64(s.z) * g.step})
}

// most is a chord that the store surely does not serve beyond.
func (s spot) most() float64 { return float64(math.Float32frombits(uint32(s.reach) << 16)) }

// ball bounds some stores: all lie within the chord radius of center, and none
// serves beyond the chord reach. A ball may be too wide: that costs time, never the
// answer. So it grows before a store comes, and shrinks only when stores have left.
type ball struct {
	center        geo.Vec
	radius, reach float
}

// float is a float64 that may be read while it changes.
type float struct{ bits atomic.Uint64 }

func (f *float) get() float64  { return math.Float64frombits(f.bits.Load()) }
func (f *float) set(x float64) { f.bits.Store(math.Float64bits(x)) }

// cover grows the ball over a store.
func (b *ball) cover(at geo.Vec, reach float64) {
	if radius := b.center.Chord(at) + margin; radius > b.radius.get() {
		b.radius.set(radius)
	}
	if reach > b.reach.get() {
		b.reach.set(reach)
	}
}

// node is a cut through space. Side 0 holds the stores below the plane, side 1 the
// others; that tells newcomers where to go. Where a store is, the balls know.
type node[T any] struct {
	sides [2]branch[T]
	axis  int
	plane float64
	up    *branch[T]
	size  int // stores on both sides
}

// branch leads to a leaf or to a node, and bounds the stores there.
type branch[T any] struct {
	ball
	leaf atomic.Pointer[leaf[T]]
	node atomic.Pointer[node[T]] // this one counts when both are there
	of   *node[T]                // whose side this is; nil: the root
}

// behind is the leaf or the node that b leads to.
func (b *branch[T]) behind() (*leaf[T], *node[T]) {
	for {
		if n := b.node.Load(); n != nil {
			return nil, n
		}
		if l := b.leaf.Load(); l != nil {
			return l, nil
		}
		// One took the place of the other between the two looks.
	}
}

func (b *branch[T]) leadTo(l *leaf[T], n *node[T]) {
	if n != nil {
		n.up = b
		b.node.Store(n)
		b.leaf.Store(nil)
		return
	}
	l.up = b
	b.leaf.Store(l)
	b.node.Store(nil)
}

// size is the number of stores behind b.
func (b *branch[T]) size() (n int) {
	l, below := b.behind()
	if below != nil {
		return below.size
	}
	for i := range l.live {
		n += bits.OnesCount64(l.live[i].Load())
	}
	return n
}

// comer is a store on its way into a leaf.
type comer[T any] struct {
	store *store[T]
	at    geo.Vec
	reach float64
}

func comerOf[T any](s *store[T]) comer[T] {
	return comer[T]{store: s, at: geo.VecOf(s.At), reach: geo.ChordOf(s.RadiusM) + margin}
}

// insert brings s into the leaf on its side of all cuts. old is its former state,
// somewhere else, or nil.
func (ix *Index[T]) insert(s, old *store[T]) {
	var bad *node[T] // the topmost that is lopsided now
	c, b := comerOf(s), &ix.root
	b.cover(c.at, c.reach)
	for n := b.node.Load(); n != nil; n = b.node.Load() {
		n.size++
		side := 0
		if along(c.at, n.axis) >= n.plane {
			side = 1
		}
		b = &n.sides[side]
		b.cover(c.at, c.reach)
		if bad == nil && float64(b.size()) > lopsided*float64(n.size)+packed {
			bad = n
		}
	}
	l := b.leaf.Load()
	l.add(c, old, l.nearest(c.at), false)
	if bad != nil {
		bad.up.rebuild(nil, nil, false)
	}
}

// replace shows queries s in the place of old, which is at the same point.
func (ix *Index[T]) replace(old, s *store[T]) {
	c, home := comerOf(s), old.home
	for b := home.up; ; b = b.of.up {
		b.cover(c.at, c.reach)
		if b.of == nil {
			break
		}
	}
	home.add(c, old, int(old.block), true)
}

// remove takes a store out of its leaf. When that is empty, the other side takes
// the place of both.
func (ix *Index[T]) remove(s *store[T]) {
	home := s.home
	home.live[s.block].And(^(uint64(1) << s.lane))
	n := home.up.of
	for up := n; up != nil; up = up.up.of {
		up.size--
	}
	if n != nil && home.up.size() == 0 {
		other := &n.sides[0]
		if other == home.up {
			other = &n.sides[1]
		}
		n.up.leadTo(other.behind())
	}
}

// nearest is the block of l whose centre is nearest.
func (l *leaf[T]) nearest(v geo.Vec) (block int) {
	least := math.Inf(1)
	for i := range l.grids {
		if d := v.Chord2(l.grids[i].center); d < least {
			block, least = i, d
		}
	}
	return block
}

// add puts a store into a block of l, or into what takes l's place, with the tags of
// its former state. If gone, that is there no more in the same moment.
func (l *leaf[T]) add(c comer[T], old *store[T], block int, gone bool) {
	l.grids[block].cover(c.at, c.reach)
	bit, ok := l.write(c, block)
	if !ok {
		l.up.rebuild(&c, old, gone)
		return
	}
	c.store.inherit(old)
	live := l.live[block].Load() | bit
	if gone {
		live &^= 1 << old.lane
	}
	l.live[block].Store(live)
}

// inherit gives s the tags of its former state.
func (s *store[T]) inherit(old *store[T]) {
	if old == nil || !old.home.tagged.Load() {
		return
	}
	for t := range old.home.tags {
		if old.home.tags[t][old.block].Load()>>old.lane&1 != 0 {
			s.home.tag(s.block, s.lane, uint8(t), true)
		}
	}
}

// write fills the next lane of a block and returns its bit, which is not live yet.
// It is not ok, and nothing is written, when the block has no room for the store.
func (l *leaf[T]) write(c comer[T], block int) (bit uint64, ok bool) {
	i := l.used[block]
	s, ok := l.grids[block].spotOf(c.at, c.reach)
	if i == width || !ok {
		return 0, false
	}
	l.used[block]++
	b := &l.blocks[block]
	b.spots[i], b.kinds[i], b.stores[i].value, b.stores[i].whole = s, c.store.Kind, c.store.Value, c.store
	c.store.home, c.store.block, c.store.lane = l, uint8(block), i
	return 1 << i, true
}

func (l *leaf[T]) tag(block, lane uint8, tag uint8, on bool) {
	if on {
		l.tagged.Store(true)
		l.tags[tag][block].Or(1 << lane)
	} else {
		l.tags[tag][block].And(^(uint64(1) << lane))
	}
}

// rebuild makes what is behind b anew. One more store may come on this occasion, with
// the tags of its former state; that may be among those behind b, and is then left
// out.
func (b *branch[T]) rebuild(more *comer[T], old *store[T], gone bool) {
	var all []comer[T]
	leaves := b.leaves(nil)
	for _, l := range leaves {
		for block := range l.live {
			for rest := l.live[block].Load(); rest != 0; rest &= rest - 1 {
				if s := l.blocks[block].stores[bits.TrailingZeros64(rest)].whole; s != old || !gone {
					all = append(all, comerOf(s))
				}
			}
		}
	}
	if more != nil {
		all = append(all, *more)
	}
	l, n := grow(all)
	for _, l := range leaves {
		l.passTags()
	}
	if more != nil {
		more.store.inherit(old)
	}
	b.leadTo(l, n)
	fit(&b.ball, all)
}

// leaves are the leaves behind b.
func (b *branch[T]) leaves(to []*leaf[T]) []*leaf[T] {
	l, n := b.behind()
	if n == nil {
		return append(to, l)
	}
	return n.sides[1].leaves(n.sides[0].leaves(to))
}

// passTags gives the stores that have moved from l to other leaves their tags there.
func (l *leaf[T]) passTags() {
	if !l.tagged.Load() {
		return
	}
	for t := range l.tags {
		for block := range l.tags[t] {
			for rest := l.tags[t][block].Load(); rest != 0; rest &= rest - 1 {
				if s := l.blocks[block].stores[bits.TrailingZeros64(rest)].whole; s.home != l {
					s.home.tag(s.block, s.lane, uint8(t), true)
				}
			}
		}
	}
}

// grow makes a new leaf, or a node with new leaves behind it, of some stores.
func grow[T any](all []comer[T]) (*leaf[T], *node[T]) {
	if len(all) <= packed {
		l := &leaf[T]{}
		l.fill(all, 0, blocks)
		return l, nil
	}
	n := &node[T]{size: len(all)}
	leaves := (len(all) + packed - 1) / packed
	half := len(all) * (leaves / 2) / leaves
	n.axis = halve(all, half)
	n.plane = along(all[half].at, n.axis)
	for i, part := range [2][]comer[T]{all[:half], all[half:]} {
		side := &n.sides[i]
		side.of, side.center = n, middle(part)
		fit(&side.ball, part)
		side.leadTo(grow(part))
	}
	return nil, n
}

// fill spreads stores evenly over some blocks of l.
func (l *leaf[T]) fill(all []comer[T], from, until int) {
	if until-from > 1 {
		half, mid := len(all)/2, (from+until)/2
		if half > 0 {
			halve(all, half)
		}
		l.fill(all[:half], from, mid)
		l.fill(all[half:], mid, until)
		return
	}
	g := &l.grids[from]
	g.center = middle(all)
	fit(&g.ball, all)
	g.step = max(margin, g.radius.get()*1.25/math.MaxInt16)
	live := uint64(0)
	for _, c := range all {
		bit, _ := l.write(c, from)
		live |= bit
	}
	l.live[from].Store(live)
}

// fit makes a ball as small as it may be.
func fit[T any](b *ball, all []comer[T]) {
	radius, reach := 0.0, 0.0
	for i := range all {
		radius, reach = max(radius, b.center.Chord2(all[i].at)), max(reach, all[i].reach)
	}
	b.radius.set(math.Sqrt(radius) + margin)
	b.reach.set(reach)
}

func middle[T any](all []comer[T]) geo.Vec {
	low, high := box(all)
	return geo.Vec{X: (low.X + high.X) / 2, Y: (low.Y + high.Y) / 2, Z: (low.Z + high.Z) / 2}
}

// box is the least box around some stores.
func box[T any](all []comer[T]) (low, high geo.Vec) {
	for i := range all {
		v := all[i].at
		if i == 0 {
			low, high = v, v
		}
		low = geo.Vec{X: min(low.X, v.X), Y: min(low.Y, v.Y), Z: min(low.Z, v.Z)}
		high = geo.Vec{X: max(high.X, v.X), Y: max(high.Y, v.Y), Z: max(high.Z, v.Z)}
	}
	return low, high
}

func along(v geo.Vec, axis int) float64 {
	switch axis {
	case 0:
		return v.X
	case 1:
		return v.Y
	}
	return v.Z
}

// halve orders stores along the longest side of their box so that none before k
// lies beyond k, and none from k on before it (Hoare, Algorithm 65: FIND, CACM 4,
// 1961).
func halve[T any](all []comer[T], k int) (axis int) {
	low, high := box(all)
	switch x, y, z := high.X-low.X, high.Y-low.Y, high.Z-low.Z; max(x, y, z) {
	case y:
		axis = 1
	case z:
		axis = 2
	}
	for low, high := 0, len(all)-1; low < high; {
		pivot := along(all[(low+high)/2].at, axis)
		i, j := low, high
		for i <= j {
			for along(all[i].at, axis) < pivot {
				i++
			}
			for along(all[j].at, axis) > pivot {
				j--
			}
			if i <= j {
				all[i], all[j] = all[j], all[i]
				i++
				j--
			}
		}
		if j < k {
			low = i
		}
		if i > k {
			high = j
		}
	}
	return axis
}
