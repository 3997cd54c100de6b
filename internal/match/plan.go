package match

import (
	"slices"
	"sync/atomic"
	"time"

	"doorstep/internal/partner"
)

// plan is what stores have in common: calendar, slot length, how they answer. A network has
// hundreds of thousands of stores and a few hundred plans, so what a plan knows stays in the
// processor's cache while stores pass by.
type plan struct {
	common partner.Store
	kind   uint32 // its number
	stores int    // with this plan
	east   int64  // about how far its clock is ahead of UTC, ms

	// days are the last few days that were asked about, by their number: a day is worked out
	// once (BenchmarkDayAt: half a microsecond), then asked in two nanoseconds. Orders are for
	// today and tomorrow, so the days of a week do not drive each other out.
	days [8]atomic.Pointer[partner.Day]
}

// midYear is a summer's day in 2026: any will do to see how far a clock is ahead.
const midYear = 1_782_000_000_000

const dayMs = int64(24 * time.Hour / time.Millisecond)

// plans numbers plans. Numbers of plans that nobody follows any more are given again.
type plans struct {
	of   map[partner.Store]*plan
	free []uint32
	list atomic.Pointer[[]*plan] // by number; replaced as a whole
}

func newPlans() plans { return plans{of: map[partner.Store]*plan{}} }

// all is the plans by number.
func (p *plans) all() []*plan {
	if list := p.list.Load(); list != nil {
		return *list
	}
	return nil
}

// join is the plan of one more store.
func (p *plans) join(common partner.Store) *plan {
	own := p.of[common]
	if own == nil {
		_, east := time.UnixMilli(midYear).In(common.Zone().Location()).Zone()
		own = &plan{common: common, east: int64(east) * 1000}
		p.number(own)
		p.of[common] = own
	}
	own.stores++
	return own
}

func (p *plans) number(own *plan) {
	list := p.all()
	if n := len(p.free); n > 0 {
		own.kind, p.free = p.free[n-1], p.free[:n-1]
		list = slices.Clone(list)
		list[own.kind] = own
	} else {
		own.kind = uint32(len(list))
		list = append(list, own) // behind what others may be reading
	}
	p.list.Store(&list)
}

// leave is a store following a plan no more.
func (p *plans) leave(own *plan) {
	if own.stores--; own.stores == 0 {
		delete(p.of, own.common)
		p.free = append(p.free, own.kind)
	}
}

// day is the day of the plan's calendar that ms is in.
func (p *plan) day(ms int64) *partner.Day {
	slot := &p.days[uint64(ms+p.east)/uint64(dayMs)%uint64(len(p.days))]
	if d := slot.Load(); d != nil && d.Has(ms) {
		return d
	}
	d := p.common.DayAt(time.UnixMilli(ms))
	slot.Store(d)
	return d
}

// openAt reports whether the plan's stores are open at ms.
func (p *plan) openAt(ms int64) bool { return p.day(ms).OpenAt(ms) }

// slotAt is the start of the slot that ms is in.
func (p *plan) slotAt(ms int64) int64 { return p.day(ms).SlotAt(ms) }
