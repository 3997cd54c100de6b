package match

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"doorstep/geo"
	"doorstep/internal/assign"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// Live is the live index of stores: where they are, when they are open, what they have left. It is
// kept in memory only and knows no database. All methods may be called at any time from any
// goroutine; asking takes no lock.
//
//	assign.Index  where: stores that lie near each other, with a column of bits for each SKU
//	plan          what stores have in common: when they are open, how they answer (plan.go)
//	state         what a store has left, in words that anybody may read (left.go)
//
// A question goes from the nearest stores outwards. The columns of its SKUs leave a few stores of
// each 64; of these, by distance, it asks the plan (open?), then the state (taking orders? room?).
type Live struct {
	index *assign.Index[*state]
	skus  *skus
	plans plans

	mu     sync.Mutex   // one change of the stores at a time
	lately atomic.Int64 // the latest time anybody called now, ms
}

// shop is a store at its place; its kind is its plan's number.
type shop = assign.Store[*state]

// about is what is told of a store that was found.
type about struct {
	text   string // its name and its phone number
	name   uint16 // bytes of text that are the name
	status uint8  // of statuses
	cell   geo.Cell
}

var statuses = []string{partner.Active, partner.Busy, partner.Paused, partner.Closed, partner.Unresponsive, partner.Suspended}

// NewLive returns an index without stores.
func NewLive() *Live {
	return &Live{index: assign.NewIndex[*state](), skus: newSKUs(), plans: newPlans()}
}

// Ask is what a store is looked for with.
type Ask struct {
	At    geo.Point
	MaxM  float64      // no farther than this, 0: no limit of the asker's own
	Begin time.Time    // the store has to be open, with room in its slot, at this moment
	Now   time.Time    // and taking orders at this one
	Items []order.Item // all of them from one shelf

	tried map[int64]bool // stores that had their chance
	// refused are stores whose rows said no although the index said yes, and what they lacked.
	refused map[int64]obstacle
}

// Put adds a store or replaces what was known of it; what it has left stays. It fails when the
// store is at no place, and then changes nothing.
func (x *Live) Put(s *partner.Store) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	old, known := x.index.Get(s.Key)
	t, p, a := old.Value, x.plans.join(s.Common()), aboutOf(s)
	if !known {
		t = &state{key: s.Key}
		t.be(s, p, &a)
	}
	sh := shopOf(s, t)
	sh.Kind = p.kind
	if err := x.index.Put(sh); err != nil {
		x.plans.leave(p)
		return err
	}
	if known {
		x.plans.leave(t.plan.Load())
		t.be(s, p, &a)
	}
	return nil
}

// Fill puts about n stores into an index that has none, far quicker than Put does: each shows them
// to put one after the other, and stops at its first error. After an error the index is of no use.
//
// Questions are quicker when neighbours are shown together, as what is read of them then lies together:
// with 600,000 stores 3.7 us after as many Put, 3.1 after Fill, 2.8 after Fill by place.
func (x *Live) Fill(n int, each func(put func(*partner.Store) error) error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var in slab
	var failed error
	err := x.index.Fill(n, func(yield func(shop) bool) {
		failed = each(func(s *partner.Store) error {
			p := x.plans.join(s.Common())
			sh := shopOf(s, in.state())
			sh.Value.key, sh.Kind = s.Key, p.kind
			sh.Value.be(s, p, in.about(s))
			if !yield(sh) {
				return errStopped
			}
			return nil
		})
	})
	return cmp.Or(err, failed)
}

var errStopped = errors.New("match: the index takes no more stores")

// slab hands out what many stores need by the thousand: less memory, and less for the garbage
// collector to follow.
type slab struct {
	states []state
	abouts []about
	text   strings.Builder
}

func (l *slab) state() *state {
	if len(l.states) == 0 {
		l.states = make([]state, 1024)
	}
	t := &l.states[0]
	l.states = l.states[1:]
	return t
}

func (l *slab) about(s *partner.Store) *about {
	if len(l.abouts) == 0 {
		l.abouts = make([]about, 1024)
	}
	a := &l.abouts[0]
	l.abouts = l.abouts[1:]
	*a = aboutOf(s)
	if n := len(a.text); l.text.Cap()-l.text.Len() < n {
		l.text = strings.Builder{}
		l.text.Grow(max(n, 64<<10))
	}
	from := l.text.Len()
	l.text.WriteString(a.text)
	a.text = l.text.String()[from:]
	return a
}

func aboutOf(s *partner.Store) about {
	return about{text: s.Name + s.Phone, name: uint16(len(s.Name)), status: uint8(max(0, slices.Index(statuses, s.Status))), cell: s.Cell}
}

func shopOf(s *partner.Store, t *state) shop {
	return shop{Key: s.Key, At: s.Location, RadiusM: float64(s.ServiceRadiusM), Value: t}
}

// be has the state say of its store what s says.
func (t *state) be(s *partner.Store, p *plan, a *about) {
	t.plan.Store(p)
	t.room.Store(int32(s.OrdersPerSlot))
	t.about.Store(a)
	t.version.Store(s.Version)
	t.from.Store(takesOrdersFrom(s))
}

// takesOrdersFrom is the first moment at which the store takes orders, as far as can be said now.
func takesOrdersFrom(s *partner.Store) int64 {
	switch {
	case s.Removed:
	case s.Status == partner.Active:
		return math.MinInt64
	case s.Status == partner.Paused && s.PausedUntil != nil:
		return s.PausedUntil.UnixMilli()
	}
	return math.MaxInt64
}

// Remove takes a store out.
func (x *Live) Remove(key int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if sh, ok := x.index.Get(key); ok {
		x.clear(&sh)
		x.index.Remove(key)
		x.plans.leave(sh.Value.plan.Load())
	}
}

func (x *Live) get(key int64) (shop, bool) { return x.index.Get(key) }

func (x *Live) each(visit func(*shop) (more bool)) {
	x.index.Each(func(sh shop) bool { return visit(&sh) })
}

// Len is the number of stores.
func (x *Live) Len() int { return x.index.Len() }

// over is when slots began that nobody will ask about any more: a day may last longer than a day,
// and somebody may give back what he took yesterday.
func (x *Live) over() int64 { return max(0, x.lately.Load()-2*dayMs) }

// tell notes what time it is. Once an hour will do; all who ask share the word.
func (x *Live) tell(now int64) {
	if now > x.lately.Load()+dayMs/24 {
		x.lately.Store(now)
	}
}

// SetStock says what is on a store's shelf of some SKUs; of others it stays as it was.
func (x *Live) SetStock(key int64, lines []partner.StockLine) {
	if sh, ok := x.index.Get(key); ok {
		x.setStock(&sh, lines)
	}
}

// SetUsed says how many units of a store's slot are taken; slot is the slot's first instant.
func (x *Live) SetUsed(key int64, slot time.Time, used int) {
	if sh, ok := x.index.Get(key); ok {
		sh.Value.mu.Lock()
		defer sh.Value.mu.Unlock()
		sh.Value.setUsed(slot.UnixMilli(), used, x.over())
	}
}

// Nearest is the nearest store that can serve q, the one with the least key among equals, and its
// great-circle distance.
func (x *Live) Nearest(q *Ask) (key int64, distanceM float64, ok bool) {
	hit, ok := x.nearest(q)
	return hit.Key, hit.DistanceM, ok
}

func (x *Live) nearest(q *Ask) (assign.Hit[*state], bool) {
	l := look{q: q, begin: q.Begin.UnixMilli(), now: q.Now.UnixMilli()}
	x.tell(l.now)
	if !x.skus.read(&l.needs, q.Items) {
		return assign.Hit[*state]{}, false // a thing that nobody has: no need to ask them all
	}
	plans, unsure := x.plans.all(), l.needs.unsure()
	return x.index.Nearest(assign.Query{At: q.At, MaxM: q.MaxM, Tags: l.needs.columns(), Kind: func(kind uint32) bool {
		// A plan that came a moment ago is not among these: the store will know it.
		return int(kind) >= len(plans) || plans[kind].openAt(l.begin)
	}}, func(s *state) bool { return l.meet(s, unsure) == none })
}

// walk shows the stores in reach of q from the nearest on, each with what stands between them.
func (x *Live) walk(q *Ask, visit func(*shop, obstacle) (more bool)) {
	l := look{q: q, begin: q.Begin.UnixMilli(), now: q.Now.UnixMilli()}
	l.nobody = !x.skus.read(&l.needs, q.Items)
	x.index.Walk(q.At, q.MaxM, func(h assign.Hit[*state]) bool { return visit(&h.Store, l.meet(h.Value, l.needs.all())) })
}

// look is an Ask being asked.
type look struct {
	q          *Ask
	begin, now int64
	needs      needs
	nobody     bool // there is an item that no store has
}

// meet is what stands between an order and a store that is near enough and has all but counted.
func (l *look) meet(s *state, counted []need) obstacle {
	p := s.plan.Load()
	if l.now < s.from.Load() || !p.openAt(l.begin) {
		return notOpen
	}
	if o := l.q.refused[s.key]; o != 0 {
		return o
	}
	switch {
	case s.used(p.slotAt(l.begin)) >= int(s.room.Load()):
		return noRoom
	case l.nobody || !s.has(counted):
		return noGoods
	case l.q.tried[s.key]:
		return alreadyAsked
	}
	return none
}

// storeOf is the shop as the index knows it: without external id, address, locale and shelf units,
// which nobody is matched by.
func storeOf(sh *shop) *partner.Store {
	t := sh.Value
	about, from, s := t.about.Load(), t.from.Load(), t.plan.Load().common
	s.Key, s.Version, s.Location, s.Cell = sh.Key, t.version.Load(), sh.At, about.cell
	s.Name, s.Phone = about.text[:about.name], about.text[about.name:]
	s.Status, s.ServiceRadiusM, s.OrdersPerSlot = statuses[about.status], int(sh.RadiusM), int(t.room.Load())
	if s.Status == partner.Paused && from != math.MaxInt64 {
		until := time.UnixMilli(from).UTC()
		s.PausedUntil = &until
	}
	return &s
}

// slotAt is the start of the store's slot that when falls in.
func (t *state) slotAt(when time.Time) time.Time {
	p := t.plan.Load()
	return time.UnixMilli(p.slotAt(when.UnixMilli())).In(p.common.Zone().Location())
}

func (t *state) openAt(when time.Time) bool { return t.plan.Load().openAt(when.UnixMilli()) }

func (t *state) takesOrders(now time.Time) bool { return now.UnixMilli() >= t.from.Load() }
