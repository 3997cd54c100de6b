package forecast

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
)

// Costs are what a unit is worth, all in one currency (or in metres).
type Costs struct {
	Short float64 // of a unit asked for that nobody has: margin and the price of a lost promise; above 0
	Over  float64 // of a unit left over: holding it, or sending it back; 0 or more
	Near  float64 // saved if the unit lies in the very store that is asked, not in a neighbour; 0 or more
}

// hardly is a chance so small that nobody stocks for it, even where a unit left over costs nothing.
const hardly = 1e-6

// Ratio is the critical ratio Short/(Short+Over), 0 to just below 1: the chance of having enough at
// which one unit more costs as much as it brings.
func (c Costs) Ratio() float64 {
	if !(c.Short > 0) {
		return 0
	}
	return min(1-hardly, c.Short/(c.Short+max(0, c.Over)))
}

// Newsvendor is the quantity, in units, that has the least expected cost for a store or
// neighbourhood on its own: the smallest q with P(Y <= q) >= Ratio. What is there already is not
// taken off. (Arrow, Harris, Marschak 1951.)
func Newsvendor(l Law, c Costs) int { return l.Quantile(c.Ratio()) }

// Unbounded is the room of a store whose shelf is not known.
var Unbounded = math.Inf(1)

// Item is one SKU of a neighbourhood.
type Item struct {
	Costs
	Pack   int     // units come in multiples of it; 0 is 1
	Volume float64 // room that a unit takes, in the measure of the rooms; 0 is 1
	Event  float64 // squared coefficient of variation of the luck that all stores share (Prediction.Event)

	// Fixed asks for Target units, no more and no fewer if there is room, whatever they are worth;
	// the laws then only say where. They are scaled to sell, in the mean, the target and what is
	// held. Units are counted as asked, not as they arrive.
	// Where no law is known all stores count alike.
	Fixed  bool
	Target int
}

// Spot is one SKU at one store of the neighbourhood.
type Spot struct {
	Law      Law     // units its own customers want, without the event's luck (Prediction.Law)
	Have     int     // units on the shelf
	Promised int     // units asked or promised before, not on the shelf yet; they have their room already
	Keeps    float64 // chance that a unit asked here is there in time, above 0 to 1, in whole percent; 0 is 1
	Out      bool    // not to be asked: it opted out, refused, or answered already
}

// keeps is Keeps in whole percent: more nobody knows, and stores alike are ranked together.
func (s *Spot) keeps() float64 {
	if s.Keeps > 0 && s.Keeps < 1 {
		return math.Max(1, math.Round(100*s.Keeps)) / 100
	}
	return 1
}

// Terms explain what a neighbourhood gets of one SKU.
type Terms struct {
	Sells  float64 // units its customers want, in the mean
	Sigma  float64 // standard deviation of that, the event's luck included
	Holds  float64 // units there or expected to come before anything is asked
	Asked  int     // units asked now
	Comes  float64 // units of those expected to come
	Enough float64 // chance that Holds and Comes are enough for all
	Worth  float64 // expected cost saved by one unit of the last pack that was asked, as ranked; 0: none asked
	Full   bool    // more was worth asking (or fixed), but no room is left in any store that may be asked
}

// Allotter decides quantities. It keeps its memory from call to call; one goroutine uses it at a
// time. The zero Allotter is ready.
type Allotter struct {
	cells []cell
	seats []seat
	peers []peers
	order []int32 // seats of each item, by how their stores keep their word
	queue queue
	room  []float64
	asked []int
	terms []Terms

	packs ladder
}

// cell is the neighbourhood of one item in the making.
type cell struct {
	walk     walker
	x        float64 // units there or expected
	packs    int     // that may still be asked
	from, to int     // its peers
	best     int     // of its peers: the first of them has the store whose pack is worth most
}

// seat is one spot in the making.
type seat struct {
	walk walker
	x    float64 // units there or expected
	own  float64 // chance that its own customers want a unit of one more pack
}

// peers are the stores of a cell that keep their word alike: whatever a unit is worth in the cell,
// among them the one whose own customers lack most goes first. Stores without room leave for good.
type peers struct {
	keeps    float64
	from, to int // of Allotter.order: a heap by own
}

// Allot decides how many units of each item each store is asked for. Since matching sends orders
// to whichever neighbour has the goods, the quantity is decided for the neighbourhood, from the sum
// of its laws; then case pack by case pack goes to where it is worth most,
//
//	Short*P(Y_cell > Q) - Over*P(Y_cell <= Q) + Near*P(Y_store > q)
//
// in the mean over the pack's units, as long as that is above 0 (a millionth of Short), or an item's
// Target is not reached, and the store has room. Items share the rooms: the one whose pack is worth
// most for its volume goes first. A unit counts as there with the chance that its store keeps its
// word, so more is asked where stores are unreliable, and first of the reliable ones; that a store
// fails for all its units at once is left out.
//
// room is each store's free room, in the measure of Item.Volume. spots has all stores of the first
// item, then all of the second, and so on: len(spots) = len(items)*len(room).
//
// asked is parallel to spots, terms to items; both are valid until the next call. Equal worths go to
// the store whose own customers lack most, then to the first in the list.
//
// It is the optimum for one item whose stores keep their word alike, and for several items of equal
// pack and volume without Near, for the costs are separable and concave (Fox 1966); else it is the
// greedy approximation to it. It costs some 100 ns a spot, and as much for each pack handed out and
// each different Keeps.
func (a *Allotter) Allot(items []Item, room []float64, spots []Spot) (asked []int, terms []Terms) {
	if len(spots) != len(items)*len(room) {
		panic("forecast: spots do not fit items and rooms")
	}
	a.room = append(a.room[:0], room...)
	a.asked = zeroed(a.asked, len(spots))
	a.terms = zeroed(a.terms, len(items))
	a.cells = zeroed(a.cells, len(items))
	a.seats = zeroed(a.seats, len(spots))
	a.order, a.peers = slices.Grow(a.order[:0], len(spots)), slices.Grow(a.peers[:0], len(spots))
	a.queue.reset(len(items))
	for k := range items {
		a.open(k, &items[k], spots[k*len(room):(k+1)*len(room)])
	}
	for k := range items {
		a.queue.worth[k] = a.rank(k, &items[k])
	}
	heap.Init(&a.queue)
	for len(items) > 0 {
		k := a.queue.order[0]
		worth := a.queue.worth[k]
		if math.IsInf(worth, -1) {
			break // no item has a pack left
		}
		// Its best store may have been filled with other items meanwhile; then it is ranked anew.
		if a.room[a.bestStore(k)] >= needs(&items[k]) {
			a.give(k, &items[k])
			a.terms[k].Worth = worth * volume(&items[k])
		}
		a.queue.worth[k] = a.rank(k, &items[k])
		heap.Fix(&a.queue, 0)
	}
	for k := range items {
		a.close(k, &items[k], spots[k*len(room):(k+1)*len(room)])
	}
	return a.asked, a.terms
}

func zeroed[T any](s []T, n int) []T {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

func pack(it *Item) int { return max(1, it.Pack) }

func volume(it *Item) float64 {
	if it.Volume > 0 {
		return it.Volume
	}
	return 1
}

// needs is the room that a pack takes, less what sums of volumes lose by rounding.
func needs(it *Item) float64 { return float64(pack(it))*volume(it)*(1-1e-12) - 1e-12 }

// absurd is how many units of one SKU no neighbourhood sells; a mean above it is cut down to it, so
// that a slip in the demand does not keep the plan busy for hours.
const absurd = 1e6

// open adds the spots of an item up and sets all on their place.
func (a *Allotter) open(k int, it *Item, spots []Spot) {
	var sum Law
	holds := 0.0
	for i := range spots {
		s := &spots[i]
		if !s.Law.never() {
			sum = sum.Add(s.Law)
		}
		holds += float64(s.Have) + s.keeps()*float64(s.Promised)
	}
	t := &a.terms[k]
	law := sum.WithEvent(it.Event)
	t.Sells, t.Sigma, t.Holds = law.Mean, math.Sqrt(max(law.Var, law.Mean)), holds

	c := &a.cells[k]
	c.packs = math.MaxInt
	sells := law.Mean
	if it.Fixed {
		c.packs = max(0, it.Target) / pack(it)
		sells = float64(max(0, it.Target)) + holds
	}
	sells = min(sells, absurd)
	unknown, factor := law.never(), 1.0
	if unknown {
		law = Law{sells, sells}
	} else {
		factor = sells / law.Mean
		law = law.Scale(factor)
	}
	c.walk, c.x = law.from(int(holds)), holds
	for i := range spots {
		s := &spots[i]
		own := s.Law.Scale(factor)
		if even := sells / float64(len(spots)); unknown {
			own = Law{even, even}
		}
		st := &a.seats[k*len(spots)+i]
		st.x = float64(s.Have) + s.keeps()*float64(s.Promised)
		st.walk = own.WithEvent(it.Event).from(int(st.x))
		st.lacks(s.keeps(), it)
	}
	a.group(k, spots)
}

// group puts the stores that may be asked with their peers.
func (a *Allotter) group(k int, spots []Spot) {
	start, base := len(a.order), k*len(spots)
	for i := range spots {
		if !spots[i].Out {
			a.order = append(a.order, int32(base+i))
		}
	}
	list := a.order[start:]
	slices.SortFunc(list, func(i, j int32) int {
		x, y := spots[int(i)-base].keeps(), spots[int(j)-base].keeps()
		switch {
		case x != y:
			return cmp.Compare(y, x)
		case a.before(i, j): // a sorted list is a heap
			return -1
		}
		return 1
	})
	c := &a.cells[k]
	c.from = len(a.peers)
	for n, i := range list {
		keeps := spots[int(i)-base].keeps()
		if len(a.peers) == c.from || a.peers[len(a.peers)-1].keeps != keeps {
			a.peers = append(a.peers, peers{keeps: keeps, from: start + n})
		}
		a.peers[len(a.peers)-1].to = start + n + 1
	}
	c.to = len(a.peers)
}

// before ranks peers.
func (a *Allotter) before(i, j int32) bool {
	x, y := a.seats[i].own, a.seats[j].own
	return x > y || x == y && i < j
}

// sink puts the first of peers where it belongs after its own has fallen.
func (a *Allotter) sink(p *peers) {
	list := a.order[p.from:p.to]
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(list) {
			return
		}
		if child+1 < len(list) && a.before(list[child+1], list[child]) {
			child++
		}
		if !a.before(list[child], list[i]) {
			return
		}
		list[i], list[child] = list[child], list[i]
		i = child
	}
}

func (st *seat) lacks(keeps float64, it *Item) {
	width := keeps * float64(pack(it))
	st.own = st.walk.gain(st.x, width) / width
}

// rank finds the store where the item's next pack is worth most, and how much for each measure of
// room; minus infinity if no pack is to be asked.
func (a *Allotter) rank(k int, it *Item) float64 {
	c := &a.cells[k]
	c.best = -1
	best := math.Inf(-1)
	if c.packs == 0 {
		return best
	}
	var own float64
	for g := c.from; g < c.to; g++ {
		p := &a.peers[g]
		for p.from < p.to && a.room[int(a.order[p.from])%len(a.room)] < needs(it) {
			p.to--
			a.order[p.from] = a.order[p.to]
			a.sink(p)
		}
		if p.from == p.to {
			continue
		}
		st := &a.seats[a.order[p.from]]
		worth := c.worth(st, p.keeps, it)
		if worth > best || worth == best && st.own > own {
			c.best, best, own = g, worth, st.own
		}
	}
	if c.best < 0 || !it.wants(best) {
		return math.Inf(-1)
	}
	return best / volume(it)
}

// worth is what a unit of one more pack is worth at a store.
func (c *cell) worth(st *seat, keeps float64, it *Item) float64 {
	width := keeps * float64(pack(it))
	over := it.Over
	if it.Fixed {
		over = 0 // it is asked whether left over or not
	}
	return keeps * ((it.Short+it.Over)*c.walk.gain(c.x, width)/width - over + it.Near*st.own)
}

func (it *Item) wants(worth float64) bool { return it.Fixed || worth > it.Short*hardly }

func (a *Allotter) bestStore(k int) int {
	return int(a.order[a.peers[a.cells[k].best].from]) % len(a.room)
}

// give hands one pack to the item's best store.
func (a *Allotter) give(k int, it *Item) {
	c := &a.cells[k]
	p := &a.peers[c.best]
	i := a.order[p.from]
	a.asked[i] += pack(it)
	a.room[int(i)%len(a.room)] -= float64(pack(it)) * volume(it)
	c.packs--
	width := p.keeps * float64(pack(it))
	c.x += width
	c.walk.to(int(c.x))
	st := &a.seats[i]
	st.x += width
	st.walk.to(int(st.x))
	st.lacks(p.keeps, it)
	a.sink(p)
	a.terms[k].Asked += pack(it)
	a.terms[k].Comes += width
}

func (a *Allotter) close(k int, it *Item, spots []Spot) {
	t, c := &a.terms[k], &a.cells[k]
	law := Law{t.Sells, t.Sigma * t.Sigma}
	t.Enough = law.CDF(int(t.Holds + t.Comes))
	for i := 0; i < len(spots) && c.packs > 0 && !t.Full; i++ {
		st := &a.seats[k*len(spots)+i]
		t.Full = !spots[i].Out && it.wants(c.worth(st, spots[i].keeps(), it))
	}
}

// queue is a heap of items by what their next pack is worth for its volume; equal ones in the order
// of the list.
type queue struct {
	order []int
	worth []float64 // by item
}

func (q *queue) reset(n int) {
	q.order, q.worth = slices.Grow(q.order[:0], n)[:n], slices.Grow(q.worth[:0], n)[:n]
	for k := range q.order {
		q.order[k] = k
	}
}

func (q *queue) Len() int { return len(q.order) }
func (q *queue) Less(i, j int) bool {
	a, b := q.order[i], q.order[j]
	return q.worth[a] > q.worth[b] || q.worth[a] == q.worth[b] && a < b
}
func (q *queue) Swap(i, j int) { q.order[i], q.order[j] = q.order[j], q.order[i] }
func (q *queue) Push(any)      { panic("forecast: the queue does not grow") }
func (q *queue) Pop() any      { panic("forecast: the queue does not shrink") }

// Neighbourhood is one of those that share a fixed total.
type Neighbourhood struct {
	Law   Law     // units its customers want, the event's luck included (Law.WithEvent)
	Holds float64 // units there, or promised times the chance that they come
	Room  int     // units of this SKU that its stores can still be asked for
}

// ladder is the workspace of Split.
type ladder struct {
	queue
	laws  []Law
	walks []walker
	xs    []float64
}

// Split shares a fixed total of one SKU, in units, among neighbourhoods: case pack by case pack to
// where it is most likely to be sold, never above a neighbourhood's room. The laws are scaled to
// sell the total and all that is held, in the mean, so they only need to be right relative to each
// other. It writes the units of each neighbourhood, multiples of pack, to out and returns their
// sum: less than the total where no room is left or no full pack.
//
// Hand each share to Allot as Item.Target.
func (a *Allotter) Split(total, pack int, all []Neighbourhood, out []int) (placed int) {
	pack = max(1, pack)
	clear(out)
	packs := max(0, total) / pack
	if packs == 0 || len(all) == 0 {
		return 0
	}
	l := &a.packs
	l.reset(len(all))
	l.walks, l.xs, l.laws = zeroed(l.walks, len(all)), zeroed(l.xs, len(all)), zeroed(l.laws, len(all))
	mean, holds := 0.0, 0.0
	for i := range all {
		mean += max(0, all[i].Law.Mean)
		holds += all[i].Holds
	}
	sells := float64(total) + holds
	for i := range all {
		l.laws[i] = Law{sells / float64(len(all)), sells / float64(len(all))} // nothing is known: all alike
		if mean > 0 {
			l.laws[i] = all[i].Law.Scale(sells / mean)
		}
	}
	if packs > 8*len(all) {
		packs -= l.start(packs, pack, all, out)
	}
	for i := range all {
		l.xs[i] = all[i].Holds + float64(out[i])
		l.walks[i] = l.laws[i].from(int(l.xs[i]))
		l.worth[i] = l.next(i, pack, all[i].Room, out[i])
	}
	heap.Init(&l.queue)
	for ; packs > 0; packs-- {
		i := l.order[0]
		if math.IsInf(l.worth[i], -1) {
			break
		}
		out[i] += pack
		l.xs[i] += float64(pack)
		l.walks[i].to(int(l.xs[i]))
		l.worth[i] = l.next(i, pack, all[i].Room, out[i])
		heap.Fix(&l.queue, 0)
	}
	for _, units := range out[:len(all)] {
		placed += units
	}
	return placed
}

// start hands out at once what would go out one by one anyhow: in each neighbourhood the packs that
// are all sold with a chance that, over all neighbourhoods, too few reach.
func (l *ladder) start(packs, pack int, all []Neighbourhood, out []int) (given int) {
	// The packs at i up to the last that can reach the chance, and those that surely do.
	reach := func(i int, chance float64) (most, least int) {
		units := float64(l.laws[i].Quantile(1-chance)) - all[i].Holds
		room := all[i].Room / pack
		return min(room, max(0, int(units)/pack+2)), min(room, max(0, int(units)/pack-2))
	}
	low, high := 0.0, 1.0 // too many packs reach low
	for range 12 {
		chance, sum := (low+high)/2, 0
		for i := range all {
			most, _ := reach(i, chance)
			sum += most
		}
		if sum > packs {
			low = chance
		} else {
			high = chance
		}
	}
	for i := range all {
		_, least := reach(i, high)
		out[i] = least * pack
		given += least
	}
	return given
}

// next is the chance that a unit of the next pack is sold there.
func (l *ladder) next(i, pack, room, has int) float64 {
	if has+pack > room {
		return math.Inf(-1)
	}
	return l.walks[i].gain(l.xs[i], float64(pack)) / float64(pack)
}
