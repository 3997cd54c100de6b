package prestock

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"doorstep/geo"
	"doorstep/internal/partner"
)

const (
	reachM   = 10_000 // how far away goods still help: about what a runner covers
	rings    = 6      // of cells of resolution geo.DemandRes reach that far
	maxAsked = 8      // stores that one shortfall is split over
	maxSeen  = 200    // stores that are looked at
)

// shop is what asking a store needs to know of it.
type shop struct {
	key   int64
	at    geo.Point
	cell  geo.Cell // resolution geo.MatchRes
	shelf int      // units; 0: not known
	quiet partner.Silence
}

// town remembers the active stores of the cells it was asked for, so that a sweep over many tasks
// reads each cell once. What it says may be a little old; room is claimed in the database.
type town struct {
	stores *partner.Book
	mu     sync.Mutex
	cells  map[geo.Cell][]shop
}

func newTown(stores *partner.Book) *town { return &town{stores: stores, cells: map[geo.Cell][]shop{}} }

// active are the active stores in a cell of resolution geo.DemandRes.
func (w *town) active(ctx context.Context, cell geo.Cell) ([]shop, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shops, known := w.cells[cell]
	filter := partner.Filter{Status: partner.Active, Cell: cell, Limit: maxSeen}
	for more := !known; more; {
		list, further, err := w.stores.List(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			shops = append(shops, shop{s.Key, s.Location, s.Cell, s.ShelfUnits, s.Silence()})
			filter.After = s.Key
		}
		more = further
	}
	w.cells[cell] = shops
	return shops, nil
}

// neighbour is a store that may step in.
type neighbour struct {
	shop
	ring, metres int
}

// neighbours are the active stores of the campaign around t's store, ring by ring of cells and by
// distance within a ring. Nobody steps in for a task that cannot leave a shortfall any more.
func (b *Book) neighbours(ctx context.Context, w *town, t *Task) ([]neighbour, error) {
	q := b.db.Read(ctx)
	if t.Unallocated()+t.Committed < 1 {
		return nil, nil
	}
	c, err := loadCampaignOf(q, t.Campaign, t.SKU)
	if err != nil || !c.running(b.db.Now()) {
		return nil, err
	}
	home, err := partner.LoadTx(q, t.Store)
	if err != nil {
		return nil, err
	}
	center, err := geo.Parent(home.Cell, geo.DemandRes)
	if err != nil {
		return nil, err
	}
	covers := c.area()
	var found []neighbour
	for ring, done := 0, 0; ring <= rings && len(found) < maxSeen; ring++ {
		disk := geo.Disk(center, ring)
		for _, cell := range disk[done:] {
			shops, err := w.active(ctx, cell)
			if err != nil {
				return nil, err
			}
			for _, s := range shops {
				m := int(geo.DistanceM(home.Location, s.at))
				if s.key != home.Key && m <= reachM && covers(s.cell) {
					found = append(found, neighbour{s, ring, m})
				}
			}
		}
		done = len(disk)
	}
	slices.SortFunc(found, func(a, b neighbour) int {
		return cmp.Or(cmp.Compare(a.ring, b.ring), cmp.Compare(a.metres, b.metres), cmp.Compare(a.key, b.key))
	})
	return found[:min(len(found), maxSeen)], nil
}

// reallocate asks the next stores for what m leaves unallocated, in whole case packs, while the
// campaign runs. What finds no room stays unallocated.
func (m *move) reallocate() error {
	pack := m.campaign.casePack(m.SKU)
	if !m.campaign.running(m.tx.Now()) {
		return nil
	}
	moved, stores := 0, 0
	for i := range m.next {
		need := m.Unallocated() / pack * pack
		if need == 0 || stores == maxAsked {
			break
		}
		n, err := m.ask(&m.next[i], need, pack)
		if err != nil {
			return err
		}
		if n > 0 {
			m.Reallocated += n
			moved, stores = moved+n, stores+1
		}
	}
	if moved == 0 {
		return nil
	}
	return note(m.tx, m.Task, "prestock.reallocated", told{Stores: stores})
}

// ask prompts a neighbour for up to need units, as many as its shelf has room for.
func (m *move) ask(s *neighbour, need, pack int) (units int, err error) {
	may, err := m.mayAsk(s.key)
	if err != nil || !may {
		return 0, err
	}
	room, err := roomAt(m.tx, s.key, s.shelf)
	if err != nil {
		return 0, err
	}
	used, err := claimed(m.tx, s.key)
	if err != nil {
		return 0, err
	}
	units = min(need, max(0, room-used)/pack*pack)
	if units == 0 {
		return 0, nil
	}
	if ok, err := claimRoom(m.tx, s.key, units, room); err != nil || !ok {
		return 0, err
	}
	child, err := m.child(s, units)
	if err != nil {
		return 0, err
	}
	return units, insertTask(m.tx, &child)
}

// mayAsk reports whether a store wants to be asked at all, has not refused the SKU in this campaign, nor been asked for this
// very shortfall before.
func (m *move) mayAsk(store int64) (bool, error) {
	var before []struct {
		Status Status
		Parent int64 `db:"parent_key"`
	}
	if err := m.tx.Select(&before, `SELECT status, parent_key FROM prestock_task WHERE campaign_key = ? AND sku = ? AND store_key = ?`,
		m.Campaign, m.SKU, store); err != nil {
		return false, err
	}
	for _, t := range before {
		switch {
		case t.Parent == m.Key:
			return false, nil
		case t.Status == Planned, t.Status == Prompted, t.Status == Acknowledged, t.Status == Stocked:
		default:
			return false, nil
		}
	}
	var out int
	err := m.tx.Get(&out, `SELECT count(*) FROM prestock_opt_out WHERE store_key = ?`, store)
	return out == 0, err
}

// child is the task that takes units of m's shortfall over. The neighbour is prompted at once; one
// that sleeps, and will wake in time, when it wakes.
func (m *move) child(s *neighbour, units int) (Task, error) {
	now := m.tx.Now()
	c := &m.campaign
	cell, err := geo.Parent(s.cell, geo.DemandRes)
	if err != nil {
		return Task{}, err
	}
	t := Task{Key: m.tx.NewKey(), Campaign: c.Key, Store: s.key, Cell: cell, SKU: m.SKU, Parent: m.Key, Asked: units,
		Status: Prompted, HoldUntil: c.EndsAt, lead: noLead,
		ReasonText: stepIn{s.metres}.text()}
	wakes := s.quiet.Until(now)
	t.AckDeadline, t.StockDeadline = deadlines(wakes, c.StartsAt, c.EndsAt, c.shortest())
	if wakes.After(now) && wakes.Before(t.useless(c, now)) {
		t.nextAt = wakes.UnixMilli()
		return t, nil
	}
	lead, ok := c.dueLead(now)
	if !ok {
		lead = 0 // asked between the leads, by nobody's clock
	}
	if _, err := tell(m.tx, c, &t, moment{now, byLead, lead}); err != nil {
		return Task{}, err
	}
	t.nextAt = t.nextLook(c, now, s.quiet)
	return t, nil
}
