package prestock

import (
	"cmp"
	"context"
	"slices"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/partner"
)

// sheet is what a plan is made on: stores in rows, neighbours together, SKUs in columns. A country of
// 600,000 stores and 20 SKUs has 12 million fields, so they are flat and small: about 25 bytes each.
type sheet struct {
	campaign Campaign // with the SKUs of the columns
	from     int      // place of the first of them in the whole campaign
	now      time.Time
	sites    []site
	hoods    []hood // neighbourhoods, in the order of sites
	byKey    []int32
	columns  []column
	weeks    weeks
	zones    map[*partner.Zone]int // of how many sites
	strays   []int64               // planned tasks of stores that are not among the sites any more
}

// site is a store that may be asked.
type site struct {
	key      int64
	cell     geo.Cell // resolution geo.MatchRes
	units    int32    // of the shelf; 0: not known
	room     int32    // of the shelf, left for this plan
	capacity int32    // orders a day
	keeps    float32  // chance that a unit asked here is there in time
	week     int32    // its opening hours, of sheet.weeks
	starts   int32    // the day on which the campaign starts on the store's clock
}

// hood is a neighbourhood: the sites of a cell of resolution geo.DemandRes. Its stores are a few
// kilometres apart, so that matching sends an order to whichever of them has the goods.
type hood struct {
	cell     geo.Cell
	from, to int32 // its sites
}

// column is a SKU. Slices are by site, those of hoods by hood.
type column struct {
	SKU
	known    bool      // something was sold of it, somewhere
	event    float64   // squared coefficient of variation of the luck that all stores share
	mean     []float32 // units that the store's own customers want
	variance []float32
	before   []int32 // asked by the plan before, its store not prompted yet
	promised []int32 // units that prompted stores have or may still promise, in whatever campaign
	have     []int32 // on the shelf and still there when the window begins; nil: not counted
	out      []bool  // not to be asked, or asked already
	taken    int     // units of promised that are this campaign's
	asked    []int32 // what the plan decides
	unplaced int     // units that found no room, or make no full case pack

	promptedTasks, promptedUnits int // of the plan, out of its hands now

	sells []float32 // of hoods: units that customers want
	holds []float32 // of hoods: units there or expected, what is asked now included
	sigma []float32 // of hoods: standard deviation of what customers want
}

func newColumn(s SKU, sites, hoods int) column {
	return column{SKU: s, mean: make([]float32, sites), variance: make([]float32, sites), before: make([]int32, sites),
		promised: make([]int32, sites), out: make([]bool, sites), asked: make([]int32, sites),
		sells: make([]float32, hoods), holds: make([]float32, hoods), sigma: make([]float32, hoods)}
}

// bounded says whether the site's shelf is known.
func (s *site) bounded() bool { return s.units > 0 }

// free is the room in units, NoBound where the shelf is not known.
func (s *site) free() int {
	if !s.bounded() {
		return NoBound
	}
	return int(max(0, s.room))
}

// newSheet reads who can be asked: the active stores of the campaign's cells that did not opt out, and
// the room on their shelves beside the stock and all open tasks.
func (b *Book) newSheet(ctx context.Context, c Campaign) (*sheet, error) {
	sh := &sheet{campaign: c, now: b.db.Now(), zones: map[*partner.Zone]int{}}
	if err := b.readSites(ctx, sh); err != nil {
		return nil, err
	}
	sh.group()
	if err := b.readRoom(ctx, sh); err != nil {
		return nil, err
	}
	if err := b.readKeeps(ctx, sh); err != nil {
		return nil, err
	}
	for _, s := range c.SKUs {
		sh.columns = append(sh.columns, newColumn(s, len(sh.sites), len(sh.hoods)))
	}
	if c.Kind == Replenishment {
		if err := b.readHave(ctx, sh); err != nil {
			return nil, err
		}
	}
	return sh, b.readTasks(ctx, sh)
}

func (b *Book) readSites(ctx context.Context, sh *sheet) error {
	out, err := b.optedOut(ctx)
	if err != nil {
		return err
	}
	covers, starts := sh.campaign.area(), newStarts(sh.campaign.demandFrom())
	return b.stores.EachByPlace(ctx, func(s partner.Store) error {
		if s.StatusAt(sh.now) != partner.Active || out[s.Key] || !covers(s.Cell) {
			return nil
		}
		sh.sites = append(sh.sites, site{key: s.Key, cell: s.Cell, units: int32(min(s.ShelfUnits, maxUnits)), room: int32(min(s.ShelfUnits, maxUnits)),
			capacity: int32(min(maxUnits, s.OrdersPerSlot*max(1, 24*60/max(1, s.SlotMinutes)))), keeps: 1, week: sh.weeks.of(&s), starts: starts.day(&s)})
		sh.zones[s.Zone()]++
		return nil
	})
}

// group finds the neighbourhoods: sites come in the order of their cells, and so their parents do.
func (sh *sheet) group() {
	for i := range sh.sites {
		cell := coarser(sh.sites[i].cell, geo.DemandRes)
		if n := len(sh.hoods); n == 0 || sh.hoods[n-1].cell != cell {
			sh.hoods = append(sh.hoods, hood{cell: cell, from: int32(i)})
		}
		sh.hoods[len(sh.hoods)-1].to = int32(i + 1)
	}
	sh.byKey = make([]int32, len(sh.sites))
	for i := range sh.byKey {
		sh.byKey[i] = int32(i)
	}
	slices.SortFunc(sh.byKey, func(a, b int32) int { return cmp.Compare(sh.sites[a].key, sh.sites[b].key) })
}

// finder finds stores by their keys. These mostly come in order, so it looks at the next ones before it searches.
type finder struct {
	sh   *sheet
	last int // in the order of keys, of what was found or would have been
}

// find is the position of the store with this key, or -1.
func (f *finder) find(key int64) int {
	sites, byKey := f.sh.sites, f.sh.byKey
	if f.last < len(byKey) && sites[byKey[f.last]].key <= key {
		for near := f.last; near < min(len(byKey), f.last+8); near++ {
			if k := sites[byKey[near]].key; k >= key {
				f.last = near
				if k > key {
					return -1
				}
				return int(byKey[near])
			}
		}
	}
	i, ok := slices.BinarySearchFunc(byKey, key, func(i int32, key int64) int { return cmp.Compare(sites[i].key, key) })
	f.last = i
	if !ok {
		return -1
	}
	return int(byKey[i])
}

func (b *Book) readRoom(ctx context.Context, sh *sheet) error {
	f := finder{sh: sh}
	take := func(store int64, units int) {
		if i := f.find(store); i >= 0 && sh.sites[i].bounded() {
			sh.sites[i].room -= int32(min(units, maxUnits))
		}
	}
	if err := b.stores.EachStock(ctx, func(store int64, l partner.StockLine) error {
		take(store, l.OnHand)
		return nil
	}); err != nil {
		return err
	}
	type row struct {
		Store int64 `db:"store_key"`
		Units int
	}
	return db.Each(ctx, b.db, func(r row) error {
		take(r.Store, r.Units)
		return nil
	}, `SELECT store_key, units FROM prestock_room ORDER BY store_key`)
}

// readKeeps notes how well stores keep their promises, so that more is asked around those that do not.
// Silence needs no such care: what nobody answers is asked of others in time. In a network where
// nobody has promised anything yet, everybody is believed.
func (b *Book) readKeeps(ctx context.Context, sh *sheet) error {
	f, known, any := finder{sh: sh}, make([]bool, len(sh.sites)), false
	others, err := b.EachReliability(ctx, func(store int64, r Reliability) error {
		any = any || r.Promised > 0
		if i := f.find(store); i >= 0 {
			sh.sites[i].keeps, known[i] = float32(r.Keeps), true
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range sh.sites {
		switch {
		case !any:
			sh.sites[i].keeps = 1
		case !known[i]:
			sh.sites[i].keeps = float32(others.Keeps)
		}
	}
	return nil
}

// readHave notes what lies on the shelves and is not promised to orders: a replenishment fills up.
func (b *Book) readHave(ctx context.Context, sh *sheet) error {
	for k := range sh.columns {
		sh.columns[k].have = make([]int32, len(sh.sites))
	}
	f, at := finder{sh: sh}, sh.columnsBySKU()
	return b.stores.EachStock(ctx, func(store int64, l partner.StockLine) error {
		if k, wanted := at[l.SKU]; wanted {
			if i := f.find(store); i >= 0 {
				sh.columns[k].have[i] = int32(l.Available())
			}
		}
		return nil
	})
}

// readTasks notes what the plan before asks, and what stores have answered. For a replenishment the
// tasks of others count as well that have goods on the shelf in its days: nobody is asked twice for them.
func (b *Book) readTasks(ctx context.Context, sh *sheet) error {
	var campaigns []int64
	if sh.campaign.Kind == Replenishment {
		var err error
		if campaigns, err = b.besides(ctx, &sh.campaign); err != nil {
			return err
		}
	}
	for _, key := range append(campaigns, sh.campaign.Key) {
		if err := b.readTasksOf(ctx, sh, key); err != nil {
			return err
		}
	}
	return nil
}

func (b *Book) readTasksOf(ctx context.Context, sh *sheet, campaign int64) error {
	type row struct {
		Key         int64
		Store       int64 `db:"store_key"`
		SKU         string
		Parent      int64 `db:"parent_key"`
		Asked       int
		Committed   int
		Reallocated int
		Counted     *int
		Status      string
	}
	f, own := finder{sh: sh}, campaign == sh.campaign.Key
	at := sh.columnsBySKU()
	return db.Each(ctx, b.db, func(r row) error {
		k, wanted := at[r.SKU]
		if !wanted {
			return nil
		}
		col := &sh.columns[k]
		t := Task{Parent: r.Parent, Asked: r.Asked, Committed: r.Committed, Reallocated: r.Reallocated, Counted: r.Counted, Status: Status(r.Status)}
		planned := own && t.Status == Planned
		if own && !planned {
			col.taken += t.counts()
			if t.Parent == 0 {
				col.promptedTasks++
				col.promptedUnits += t.Asked
			}
		}
		i := f.find(r.Store)
		if i < 0 {
			if planned {
				sh.strays = append(sh.strays, r.Key)
			}
			return nil
		}
		if planned {
			col.before[i] = int32(t.Asked)
			sh.sites[i].room += int32(t.Asked) // its own to give away anew
			return nil
		}
		if own && t.Parent == 0 {
			col.out[i] = true
		}
		if col.have == nil || t.Counted == nil { // else it is on the shelf already
			col.promised[i] += int32(t.counts())
		}
		return nil
	}, `SELECT key, store_key, sku, parent_key, asked, committed, reallocated, counted, status FROM prestock_task WHERE campaign_key = ?
		ORDER BY key`, campaign)
}

func (sh *sheet) columnsBySKU() map[string]int {
	at := make(map[string]int, len(sh.columns))
	for k := range sh.columns {
		at[sh.columns[k].SKU.SKU] = k
	}
	return at
}

// counts is how many units of t the campaign can count on, or still hopes for.
func (t *Task) counts() int {
	if t.Counted != nil {
		return *t.Counted
	}
	return t.holds()
}
