package match

import (
	"slices"
	"sync"
	"sync/atomic"

	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// state is what is kept of a store, from its first Put to its Remove. Looking takes no lock: what a
// question reads are a few words side by side. Counting takes the store's own lock, so that an order
// gets all it needs or nothing.
//
// The counts propose only, the database decides. So they may be too hopeful (a claim then fails and
// they are read anew), and err on that side.
type state struct {
	key  int64
	from atomic.Int64 // it takes orders from this moment on, ms
	plan atomic.Pointer[plan]

	// slots are the slots in use, as a start and a count in one word. Most stores have orders in
	// two slots at a time, this one and the next; more are for those with more.
	slots [2]atomic.Uint64
	more  atomic.Pointer[[]atomic.Uint64]
	shelf atomic.Pointer[[]line] // by SKU
	room  atomic.Int32           // orders in a slot
	gone  bool                   // the store is not in the index any more; guarded by mu

	about   atomic.Pointer[about]
	version atomic.Int64 // of the store, as far as its news have come
	mu      sync.Mutex   // guards counting
	learned int64        // when the rows were last looked at for want of anything better, ms; guarded by mu
}

// line is one SKU on the shelf.
type line struct {
	sku  uint32
	free atomic.Int32 // units available; less than none when more was given than there seemed to be
}

// A slot's word holds its start in seconds in the upper bits and the units used in the lower: slots
// begin on whole seconds, and a store takes at most a million orders in one.
const (
	usedBits = 24
	maxUsed  = 1<<usedBits - 1
)

func slotWord(ms int64) uint64 { return uint64(ms/1000) << usedBits }

// used is how many units of a slot are taken.
func (t *state) used(slot int64) int {
	if w := t.find(slotWord(slot)); w != nil {
		return int(w.Load() & maxUsed)
	}
	return 0
}

func (t *state) find(slot uint64) *atomic.Uint64 {
	for i := range t.slots {
		if t.slots[i].Load()&^maxUsed == slot {
			return &t.slots[i]
		}
	}
	if more := t.more.Load(); more != nil {
		for i := range *more {
			if (*more)[i].Load()&^maxUsed == slot {
				return &(*more)[i]
			}
		}
	}
	return nil
}

// setUsed notes the units taken of a slot; slots that began before over are over. The caller has
// the lock.
func (t *state) setUsed(ms int64, used int, over int64) {
	slot := slotWord(ms)
	w := t.find(slot)
	if w == nil {
		w = t.spare(slotWord(over))
	}
	w.Store(slot | uint64(min(max(used, 0), maxUsed)))
}

// spare is a word for one more slot: one whose slot has no units taken, or is over.
func (t *state) spare(over uint64) *atomic.Uint64 {
	free := func(w *atomic.Uint64) bool { return w.Load()&maxUsed == 0 || w.Load() < over }
	for i := range t.slots {
		if free(&t.slots[i]) {
			return &t.slots[i]
		}
	}
	var had []atomic.Uint64
	if more := t.more.Load(); more != nil {
		had = *more
	}
	for i := range had {
		if free(&had[i]) {
			return &had[i]
		}
	}
	grown := make([]atomic.Uint64, len(had)+max(2, len(had)))
	for i := range had {
		grown[i].Store(had[i].Load())
	}
	t.more.Store(&grown)
	return &grown[len(had)]
}

// lines is the shelf.
func (t *state) lines() []line {
	if shelf := t.shelf.Load(); shelf != nil {
		return *shelf
	}
	return nil
}

// line is where a SKU is counted, nil if it never was there.
func (t *state) line(id uint32) *line {
	lines := t.lines()
	low, high := 0, len(lines)
	for low < high {
		if mid := int(uint(low+high) / 2); lines[mid].sku < id {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(lines) && lines[low].sku == id {
		return &lines[low]
	}
	return nil
}

// has reports whether all that is needed is there.
func (t *state) has(w []need) bool {
	for _, n := range w {
		if ln := t.line(n.id); ln == nil || int(ln.free.Load()) < n.units {
			return false
		}
	}
	return true
}

// widen makes room on the shelf for SKUs that never were there. The caller has the lock.
func (t *state) widen(ids []uint32) {
	ids = slices.DeleteFunc(ids, func(id uint32) bool { return t.line(id) != nil })
	if len(ids) == 0 {
		return
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	had := t.lines()
	wide := make([]line, len(had)+len(ids))
	for i := range wide {
		if len(ids) == 0 || len(had) > 0 && had[0].sku < ids[0] {
			wide[i].sku = had[0].sku
			wide[i].free.Store(had[0].free.Load())
			had = had[1:]
		} else {
			wide[i].sku = ids[0]
			ids = ids[1:]
		}
	}
	t.shelf.Store(&wide)
}

// stale reports whether it is time to look at the rows again, and says that it was done.
func (t *state) stale(now int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := now - t.learned; -1000 < d && d < 1000 {
		return false
	}
	t.learned = now
	return true
}

// take reserves a unit of the slot and the items of sh, or nothing.
func (x *Live) take(sh *shop, slot int64, items []order.Item) bool {
	var w needs
	if !x.skus.read(&w, items) {
		return false
	}
	s := sh.Value
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used(slot) >= int(s.room.Load()) || !s.has(w.all()) {
		return false
	}
	x.count(sh, slot, &w, 1)
	return true
}

// force counts what the rows have given already, also when there seemed to be none.
func (x *Live) force(sh *shop, slot int64, items []order.Item) { x.counted(sh, slot, items, 1) }

// give returns what take reserved.
func (x *Live) give(sh *shop, slot int64, items []order.Item) { x.counted(sh, slot, items, -1) }

func (x *Live) counted(sh *shop, slot int64, items []order.Item, units int) {
	var w needs
	x.skus.counted(&w, items)
	sh.Value.mu.Lock()
	defer sh.Value.mu.Unlock()
	x.count(sh, slot, &w, units)
}

func (x *Live) count(sh *shop, slot int64, w *needs, units int) {
	s := sh.Value
	s.setUsed(slot, s.used(slot)+units, x.over())
	for _, n := range w.all() {
		ln := s.line(n.id)
		if ln == nil {
			s.widen([]uint32{n.id})
			ln = s.line(n.id)
		}
		x.shelve(sh, ln, int(ln.free.Load())-units*n.units)
	}
}

// setStock notes what lies on sh's shelf of some SKUs.
func (x *Live) setStock(sh *shop, lines []partner.StockLine) {
	ids := make([]uint32, len(lines))
	for i := range lines {
		ids[i] = x.skus.known(lines[i].SKU).id
	}
	s := sh.Value
	s.mu.Lock()
	defer s.mu.Unlock()
	s.widen(slices.Clone(ids))
	for i := range lines {
		x.shelve(sh, s.line(ids[i]), lines[i].Available())
	}
}

// shelve sets the units available of a SKU, and the index's column when some come or the last goes.
// The caller has the store's lock, so that columns change in the order that counts do.
func (x *Live) shelve(sh *shop, ln *line, units int) {
	had, has := ln.free.Load() > 0, units > 0
	ln.free.Store(int32(units))
	if had == has || sh.Value.gone {
		return
	}
	k := x.skus.numbered(ln.sku)
	if has {
		k.holders.Add(1)
		x.index.Tag(sh.Key, k.tag(), true)
		return
	}
	k.holders.Add(-1)
	for lines := sh.Value.lines(); len(lines) > 0; lines = lines[1:] {
		if tagOf(lines[0].sku) == k.tag() && lines[0].free.Load() > 0 {
			return // a SKU of the same column is left
		}
	}
	x.index.Tag(sh.Key, k.tag(), false)
}

// clear ends the counting: the store is gone.
func (x *Live) clear(sh *shop) {
	s := sh.Value
	s.mu.Lock()
	defer s.mu.Unlock()
	for lines := s.lines(); len(lines) > 0 && !s.gone; lines = lines[1:] {
		if lines[0].free.Load() > 0 {
			x.skus.numbered(lines[0].sku).holders.Add(-1)
		}
	}
	s.gone = true
}
