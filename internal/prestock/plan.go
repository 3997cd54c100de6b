package prestock

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/partner"
)

// PlanResult is a plan as the difference to the one before.
type PlanResult struct {
	Campaign  int64
	Status    string
	Tasks     int // of the plan, those that were prompted already included
	Asked     int // units of those tasks
	Unplaced  int // expected units that no shelf has room for, or that make no full case pack
	BySKU     []Unplaced
	Created   int
	Changed   int
	Removed   int
	Unchanged int
}

// Unplaced is what of a SKU found no place.
type Unplaced struct {
	SKU   string
	Units int
}

// Plan makes or refreshes the tasks of a campaign: the expected units of each SKU, less what stores
// that were prompted already have or may still promise, spread over the other active stores of its
// cells. Only tasks still planned are changed; the same plan again changes nothing.
//
// Errors: 422 naming the SKUs for which neither expected_units nor past demand is known; 409 when
// the campaign is over or cancelled.
func (b *Book) Plan(ctx context.Context, campaign int64) (PlanResult, error) {
	c, err := loadCampaign(b.db.Read(ctx), campaign)
	if err == nil {
		err = c.plannable(b.db.Now())
	}
	if err != nil {
		return PlanResult{}, err
	}
	p, err := b.prepare(ctx, c)
	if err != nil {
		return PlanResult{}, err
	}
	if err := p.decide(); err != nil {
		return PlanResult{}, err
	}
	if err := p.write(ctx, b); err != nil {
		return PlanResult{}, err
	}
	r := p.result()
	return r, b.record(ctx, &r)
}

func (c *Campaign) plannable(now time.Time) error {
	if c.Status == Cancelled || c.Status == Finished {
		return fault.Refused("wrong-state", nil, "the campaign is %s", c.Status)
	}
	if !now.Before(c.EndsAt) {
		return fault.Refused("too-late", nil, "the campaign ended at %s", c.EndsAt.Format(time.RFC3339))
	}
	return nil
}

// place is what planning needs of a store. There may be 600,000.
type place struct {
	key      int64
	cell     geo.Cell // resolution geo.DemandRes
	fine     geo.Cell // resolution geo.MatchRes
	capacity int      // orders a day
	units    int      // of the shelf; 0: not known
	room     int      // of the shelf, tasks of other campaigns and past prompts taken off
}

// slotOf is one task of a plan.
type slotOf struct {
	store int64
	sku   string
}

// plan is a plan in the making.
type plan struct {
	c      Campaign
	now    time.Time
	places []place // by key
	at     map[int64]int
	tasks  map[slotOf]Task // from the plan before, by store and SKU
	taken  map[string]int  // units of a SKU that prompted stores have or may still promise
	past   map[string]past
	wanted map[string]int // units of a SKU to spread

	fresh, up, down, gone []change // down and gone give room to the others, so they go first
	unchanged             int
}

// change is a task to write: from old (a zero key: none) to next (no units: none).
type change struct{ old, next Task }

func (b *Book) prepare(ctx context.Context, c Campaign) (*plan, error) {
	p := &plan{c: c, now: b.db.Now(), at: map[int64]int{}, tasks: map[slotOf]Task{}, taken: map[string]int{}, wanted: map[string]int{}}
	if err := b.readPlaces(ctx, p); err != nil {
		return nil, err
	}
	if err := b.readTasks(ctx, p); err != nil {
		return nil, err
	}
	var err error
	p.past, err = b.pastDemand(ctx, &c, p.places, p.now)
	return p, err
}

func (b *Book) readPlaces(ctx context.Context, p *plan) error {
	covers := p.c.area()
	err := b.stores.Each(ctx, func(s partner.Store) error {
		if s.StatusAt(p.now) != partner.Active || !covers(s.Cell) {
			return nil
		}
		cell, err := geo.Parent(s.Cell, geo.DemandRes)
		if err != nil {
			return err
		}
		p.at[s.Key] = len(p.places)
		p.places = append(p.places, place{key: s.Key, cell: cell, fine: s.Cell, units: s.ShelfUnits, room: roomOf(s.ShelfUnits, 0),
			capacity: s.OrdersPerSlot * max(1, 24*60/max(1, s.SlotMinutes))})
		return nil
	})
	if err != nil {
		return err
	}
	take := func(store int64, units int) {
		if i, ok := p.at[store]; ok && p.places[i].units > 0 {
			p.places[i].room -= units
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

func (b *Book) readTasks(ctx context.Context, p *plan) error {
	return db.Each(ctx, b.db, func(r taskRow) error {
		t := r.task()
		if t.Parent == 0 {
			p.tasks[slotOf{t.Store, t.SKU}] = t
		}
		if t.Status != Planned {
			p.taken[t.SKU] += t.counts()
		} else if i, ok := p.at[t.Store]; ok && p.places[i].units > 0 {
			p.places[i].room += t.Asked // its own to give away anew
		}
		return nil
	}, `SELECT `+taskColumns+` FROM prestock_task WHERE campaign_key = ? ORDER BY key`, p.c.Key)
}

// counts is how many units of t the campaign can count on, or still hopes for.
func (t *Task) counts() int {
	if t.Counted != nil {
		return *t.Counted
	}
	return t.holds()
}

// decide spreads every SKU; the first in the list takes room on the shelves first.
func (p *plan) decide() error {
	var f fault.Fields
	for i := range p.c.SKUs {
		s := &p.c.SKUs[i]
		expected, ok := p.expected(s)
		if !ok {
			f.Add(fmt.Sprintf("/skus/%d/expected_units", i), "required",
				"nothing is known of past demand for %q in these cells: give expected_units, or import demand", s.SKU)
			continue
		}
		p.spread(s, expected)
	}
	return f.Err()
}

// expected is the units of a SKU for the whole campaign; false when neither a number nor past
// demand is known. Without a number it is the past daily mean over its days, times its uplift.
func (p *plan) expected(s *SKU) (int, bool) {
	if s.ExpectedUnits != nil {
		return *s.ExpectedUnits, true
	}
	mean := p.past[s.SKU].perDay()
	if mean <= 0 {
		return 0, false
	}
	uplift := 1.0
	if s.Uplift != nil {
		uplift = *s.Uplift
	}
	return bounded(mean * p.c.EndsAt.Sub(p.c.StartsAt).Hours() / 24 * uplift), true
}

func (p *plan) spread(s *SKU, expected int) {
	sold := p.past[s.SKU]
	var candidates []Candidate
	for _, pl := range p.places {
		if t, ok := p.tasks[slotOf{pl.key, s.SKU}]; ok && t.Status != Planned {
			continue // it was asked already
		}
		c := Candidate{Key: pl.key, Weight: sold.byStore[pl.key], FreeShelf: NoBound, Capacity: pl.capacity}
		if pl.units > 0 {
			c.FreeShelf = max(0, pl.room)
		}
		candidates = append(candidates, c)
	}
	wanted := max(0, expected-p.taken[s.SKU])
	shares := Spread(wanted, s.CasePack, candidates)
	seen := make(map[int64]bool, len(shares))
	for _, sh := range shares {
		seen[sh.Key] = true
		pl := &p.places[p.at[sh.Key]]
		if pl.units > 0 {
			pl.room -= sh.Units
		}
		p.want(s, pl, sh.Units, p.reason(sold, pl.cell, shares, wanted))
	}
	p.wanted[s.SKU] = wanted
	p.drop(s.SKU, seen)
}

// reason is why a store is asked, in one honest sentence.
func (p *plan) reason(sold past, cell geo.Cell, shares []Share, wanted int) string {
	who := fmt.Sprintf("%d stores share %d expected units", len(shares), wanted)
	switch placed := sum(shares); {
	case len(shares) == 1:
		who = fmt.Sprintf("yours is the only store asked, for %d of %d expected units", placed, wanted)
	case placed < wanted:
		who = fmt.Sprintf("%d stores share %d of %d expected units, for which there is room", len(shares), placed, wanted)
	}
	if n := sold.byCell[cell]; n >= 0.5 {
		return fmt.Sprintf("%s: your neighbourhood sold %.0f in the last %d days; %s.", p.c.Name, n, sold.days, who)
	}
	return fmt.Sprintf("%s: %s.", p.c.Name, who)
}

func sum(shares []Share) (units int) {
	for _, s := range shares {
		units += s.Units
	}
	return units
}

// want notes that a store is to be asked for units.
func (p *plan) want(s *SKU, pl *place, units int, reason string) {
	first := p.c.leadAt(p.c.Leads[0])
	if first.Before(p.now) {
		first = p.now
	}
	old, ok := p.tasks[slotOf{pl.key, s.SKU}]
	next := old
	if !ok {
		next = Task{Campaign: p.c.Key, Store: pl.key, SKU: s.SKU, Status: Planned, HoldUntil: p.c.EndsAt, lead: noLead}
		next.AckDeadline, next.StockDeadline = deadlines(first, p.c.StartsAt, p.c.EndsAt, p.c.shortest())
	}
	next.Cell, next.Asked, next.ReasonText = pl.cell, units, reason
	switch {
	case !ok:
		p.fresh = append(p.fresh, change{old, next})
	case next.Asked == old.Asked: // the sentence was true when it was written
		p.unchanged++
	case next.Asked < old.Asked:
		p.down = append(p.down, change{old, next})
	default:
		p.up = append(p.up, change{old, next})
	}
}

// drop notes the planned tasks of a SKU whose store is not to be asked any more.
func (p *plan) drop(sku string, seen map[int64]bool) {
	for at, t := range p.tasks {
		if at.sku == sku && t.Status == Planned && !seen[at.store] {
			p.gone = append(p.gone, change{old: t})
		}
	}
}

// write puts the plan into the tables, in transactions of bounded size. What was prompted, or found
// its room taken since the plan was made, is left out and counted as unplaced.
func (p *plan) write(ctx context.Context, b *Book) error {
	for _, list := range []*[]change{&p.gone, &p.down, &p.up, &p.fresh} {
		slices.SortFunc(*list, func(a, b change) int {
			return cmp.Or(cmp.Compare(max(a.old.Store, a.next.Store), max(b.old.Store, b.next.Store)), cmp.Compare(a.next.SKU, b.next.SKU))
		})
		var kept []change
		for part := range slices.Chunk(*list, chunk) {
			var done []change
			if err := b.db.InTx(ctx, func(tx *db.Tx) (err error) {
				done, err = p.writeChunk(tx, part)
				return err
			}); err != nil {
				return err
			}
			kept = append(kept, done...)
		}
		*list = kept
	}
	return nil
}

func (p *plan) writeChunk(tx *db.Tx, part []change) (done []change, err error) {
	// Held to the end: nobody prompts, cancels or plans meanwhile.
	c, err := lockCampaign(tx, p.c.Key)
	if err != nil {
		return nil, err
	}
	if err := c.plannable(tx.Now()); err != nil {
		return nil, err
	}
	for _, ch := range part {
		ok, err := p.writeOne(tx, ch)
		if err != nil {
			return nil, err
		}
		if ok {
			done = append(done, ch)
		}
	}
	return done, nil
}

func (p *plan) writeOne(tx *db.Tx, ch change) (ok bool, err error) {
	if ch.old.Key != 0 {
		now, err := loadTask(tx, ch.old.Key)
		if fault.KindOf(err) == fault.NotFound || err == nil && now.Version != ch.old.Version {
			return false, nil // prompted, or planned anew by somebody else
		}
		if err != nil {
			return false, err
		}
	}
	if ch.next.Asked == 0 {
		if _, err := claimRoom(tx, ch.old.Store, -ch.old.holds(), 0); err != nil {
			return false, err
		}
		_, err := tx.Exec(`DELETE FROM prestock_task WHERE key = ?`, ch.old.Key)
		return err == nil, err
	}
	room := unbounded
	if ch.next.Asked > ch.old.Asked {
		s, err := partner.LoadTx(tx, ch.next.Store)
		if err != nil {
			return false, err
		}
		if room, err = roomAt(tx, s.Key, s.ShelfUnits); err != nil {
			return false, err
		}
	}
	if ch.old.Key != 0 {
		return saveTask(tx, &ch.old, &ch.next, room)
	}
	var taken int
	if err := tx.Get(&taken, `SELECT count(*) FROM prestock_task WHERE campaign_key = ? AND sku = ? AND store_key = ? AND parent_key = 0`,
		ch.next.Campaign, ch.next.SKU, ch.next.Store); err != nil || taken > 0 {
		return false, err
	}
	ch.next.Key = tx.NewKey()
	if ok, err := claimRoom(tx, ch.next.Store, ch.next.holds(), room); err != nil || !ok {
		return false, err
	}
	return true, insertTask(tx, &ch.next)
}

// result sums up what was written.
func (p *plan) result() PlanResult {
	r := PlanResult{Campaign: p.c.Key, Status: p.c.Status, Created: len(p.fresh), Changed: len(p.up) + len(p.down),
		Removed: len(p.gone), Unchanged: p.unchanged}
	asked := map[slotOf]int{}
	for at, t := range p.tasks {
		asked[at] = t.Asked
	}
	for _, list := range [][]change{p.gone, p.down, p.up, p.fresh} {
		for _, ch := range list {
			if ch.next.Asked == 0 {
				delete(asked, slotOf{ch.old.Store, ch.old.SKU})
				continue
			}
			asked[slotOf{ch.next.Store, ch.next.SKU}] = ch.next.Asked
		}
	}
	for at, n := range asked {
		r.Tasks++
		r.Asked += n
		if t, ok := p.tasks[at]; !ok || t.Status == Planned {
			p.wanted[at.sku] -= n
		}
	}
	for _, sku := range slices.Sorted(maps.Keys(p.wanted)) {
		r.BySKU = append(r.BySKU, Unplaced{sku, p.wanted[sku]})
		r.Unplaced += p.wanted[sku]
	}
	return r
}

// record says that there is a plan now; a plan that changed nothing leaves no trace.
func (b *Book) record(ctx context.Context, r *PlanResult) error {
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		c, err := lockCampaign(tx, r.Campaign)
		if err != nil {
			return err
		}
		if err := c.plannable(tx.Now()); err != nil {
			return err
		}
		r.Status = c.Status
		if c.Status != Draft && r.Created+r.Changed+r.Removed == 0 {
			return nil
		}
		if c.Status == Draft {
			c.Status, r.Status = Planned, Planned
		}
		return saveCampaign(tx, &c, "campaign.planned", map[string]int{"tasks": r.Tasks, "asked": r.Asked, "unallocated": r.Unplaced,
			"created": r.Created, "updated": r.Changed, "removed": r.Removed})
	})
}
