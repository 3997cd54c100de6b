package prestock

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/forecast"
	"doorstep/internal/job"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// Past demand is in one table, a row for each day of a SKU at a place. Two write it: files
// (ImportDemand) and the network itself, by the job here:
//
//	orders older than settles ──► what was wanted, by local day of the store that had the order,
//	                              or of the order's cell when no store had the goods
//	stockout rows             ──► hours of each day in which the shelf was empty and the store open
//
// Both are kept side by side. A file's word about a day and place counts alone: who imports it has seen
// the whole day there, also the orders that came through here. Before a file has spoken, and for its
// stock-out hours when it names none, the network's own count.
//
// Demand is what was wanted, not what was delivered: an order counts when it is settles old, whatever
// becomes of it later. Not counted are orders that were cancelled by then after a store had them, and
// those no store could take for another reason than missing goods, since goods would not have helped.
// Of orders for which the goods were missing, also if they were called off then, those for a SKU that a
// store near by carries are not counted either: its hours without goods say already that more was wanted.
const (
	settles    = 2 * time.Hour        // by then nearly every order has ended, and those called off are known
	keepOwn    = 760 * 24 * time.Hour // two years and a month: the same peak twice
	foldAtOnce = 1000                 // orders, or rows, in a transaction: some 10 ms of the writer
	purgeMost  = 500_000              // rows forgotten in a run
	givenUp    = 28 * 24 * time.Hour  // a shelf that was empty for so long does not carry the SKU any more
	nearRings  = 1                    // of cells of resolution geo.DemandRes: what a store near by is
	solar      = 24 * time.Hour / 360 // what a degree of longitude turns the sun's clock
)

// demandJob is hourly, since stores lie in all time zones and a plan made in the small hours wants the
// day that has just ended. A slot that was missed is made up by the next: what is counted is in rows.
func demandJob(b *Book) job.Job {
	return job.Job{Name: "demand", Schedule: job.Every(time.Hour), CatchUp: 1, Idle: b.idle(b.anyDemand), Run: func(ctx context.Context, s *job.Slot) error {
		f, err := b.FoldDemand(ctx)
		if err != nil {
			return err
		}
		var notes []string
		for _, n := range []struct {
			n    int
			what string
		}{{f.Orders, "orders counted"}, {f.Unreadable, "of them unreadable"}, {f.Stockouts, "stock-outs counted"}, {f.Purged, "old days forgotten"}} {
			if n.n > 0 {
				notes = append(notes, fmt.Sprintf("%d %s", n.n, n.what))
			}
		}
		return b.db.InTx(ctx, func(tx *db.Tx) error { return s.Done(tx, strings.Join(notes, ", ")) })
	}}
}

// anyDemand reports whether FoldDemand may find something.
func (b *Book) anyDemand(ctx context.Context) (bool, error) {
	now := b.db.Now()
	if any, err := b.exists(ctx, `stockout`); any || err != nil {
		return any, err
	}
	if any, err := b.exists(ctx, tooOld, oldest(now)); any || err != nil {
		return any, err
	}
	var next []int64
	err := b.db.Read(ctx).Select(&next, `SELECT created_at FROM orders WHERE key > (SELECT order_key FROM demand_counted WHERE name = 'orders')
		ORDER BY key LIMIT 1`)
	return len(next) > 0 && next[0] <= now.Add(-settles).UnixMilli(), err
}

// Folded is what one run of FoldDemand did.
type Folded struct {
	Orders     int // looked at
	Unreadable int // of those, passed over: one must not keep all behind it from being counted
	Stockouts  int
	Purged     int // days of a SKU at a place
}

// FoldDemand brings past demand up to date with what happened in the network, and forgets what is too
// old. It works in bounded steps, each a transaction that moves its own mark: run twice, on two
// processes or after a crash, everything is counted once.
func (b *Book) FoldDemand(ctx context.Context) (f Folded, err error) {
	c := &folding{book: b, now: b.db.Now(), stores: map[int64]*partner.Store{}, alike: map[partner.Store]*partner.Store{},
		cells: map[geo.Cell]*time.Location{}, shelf: map[shelfOf]bool{}}
	if f.Orders, err = c.orders(ctx); err != nil {
		return f, fmt.Errorf("count orders: %w", err)
	}
	f.Unreadable = c.unreadable
	if f.Stockouts, err = c.stockouts(ctx); err != nil {
		return f, fmt.Errorf("count stock-outs: %w", err)
	}
	if f.Purged, err = b.purgeDemand(ctx, c.now); err != nil {
		err = fmt.Errorf("forget old demand: %w", err)
	}
	return f, err
}

// folding is one run, with the calendars it has looked up.
type folding struct {
	book   *Book
	now    time.Time
	stores map[int64]*partner.Store         // nil: not there
	alike  map[partner.Store]*partner.Store // a network has far more stores than calendars
	cells  map[geo.Cell]*time.Location
	shelf  map[shelfOf]bool

	unreadable int
}

// shelfOf is all shelves of a cell that have a SKU.
type shelfOf struct {
	cell geo.Cell
	sku  string
}

// soldAt is a place, SKU and day, and own is what the network saw of it.
type (
	soldAt struct {
		sku   string
		store int64
		cell  geo.Cell
		day   int64
	}
	own struct{ units, hours float64 }
)

type orderRow struct {
	Key       int64
	Store     int64 `db:"store_key"`
	Cell      int64
	Lng       float64
	Status    order.Status
	Reason    string `db:"status_reason"`
	LastEvent int64  `db:"last_event"`
	Details   string
	CreatedAt int64 `db:"created_at"`
}

// orders counts the orders behind the mark, part by part, until one is too young.
func (c *folding) orders(ctx context.Context) (done int, err error) {
	b, mark := c.book, int64(0)
	for {
		q := b.db.Read(ctx)
		if err := q.Get(&mark, `SELECT order_key FROM demand_counted WHERE name = 'orders'`); err != nil {
			return done, err
		}
		var rows []orderRow
		if err := q.Select(&rows, `SELECT key, store_key, cell, lng, status, status_reason, last_event, details, created_at FROM orders
			WHERE key > ? ORDER BY key LIMIT ?`, mark, foldAtOnce); err != nil {
			return done, err
		}
		// Keys are in the order of time. One that is committed late is still younger than this.
		young := c.now.Add(-settles).UnixMilli()
		if i := slices.IndexFunc(rows, func(r orderRow) bool { return r.CreatedAt > young }); i >= 0 {
			rows = rows[:i]
		}
		if len(rows) == 0 {
			return done, nil
		}
		seen, err := c.wanted(ctx, rows)
		if err != nil {
			return done, err
		}
		moved := false
		err = b.db.InTx(ctx, func(tx *db.Tx) error {
			n, err := tx.Exec(`UPDATE demand_counted SET order_key = ? WHERE name = 'orders' AND order_key = ?`, rows[len(rows)-1].Key, mark)
			if moved = n == 1; err != nil || !moved {
				return err // somebody else counts too: go on from where they are
			}
			return addOwn(tx, seen)
		})
		if err != nil {
			return done, err
		}
		if moved {
			done += len(rows)
		}
	}
}

// wanted sums up what orders wanted.
func (c *folding) wanted(ctx context.Context, rows []orderRow) (map[soldAt]own, error) {
	seen := map[soldAt]own{}
	for i := range rows {
		r := &rows[i]
		var details struct {
			Items []order.Item `json:"items"`
		}
		if json.Unmarshal([]byte(r.Details), &details) != nil {
			c.unreadable++
			continue
		}
		if len(details.Items) == 0 {
			continue
		}
		at, ok, err := c.place(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, it := range details.Items {
			if !ok {
				break
			}
			if at.cell != 0 {
				if near, err := c.carried(ctx, at.cell, it.SKU); err != nil {
					return nil, err
				} else if near {
					continue
				}
			}
			at.sku = it.SKU
			x := seen[at]
			x.units += float64(it.Quantity)
			seen[at] = x
		}
	}
	return seen, nil
}

// place is where and on which day an order wanted goods; ok is false when it does not count.
func (c *folding) place(ctx context.Context, r *orderRow) (at soldAt, ok bool, err error) {
	when := fromMs(r.CreatedAt)
	if r.Store != 0 {
		if r.Status == order.Cancelled {
			return at, false, nil
		}
		s, err := c.store(ctx, r.Store)
		if err != nil || s == nil {
			return at, false, err
		}
		return soldAt{store: r.Store, day: dayIn(when, s.Zone().Location())}, true, nil
	}
	reason := r.Reason
	if r.Status == order.Cancelled {
		if reason, err = c.unserved(ctx, r.LastEvent); err != nil {
			return at, false, err
		}
	}
	if reason != "store_out_of_stock" {
		return at, false, nil
	}
	cell, err := geo.Parent(geo.Cell(r.Cell), geo.DemandRes)
	if err != nil {
		return at, false, err
	}
	loc, err := c.clock(ctx, cell, r.Lng)
	return soldAt{cell: cell, day: dayIn(when, loc)}, err == nil, err
}

// unserved is why no store could take an order that was cancelled then; its status does not say so any
// more, its story does.
func (c *folding) unserved(ctx context.Context, cancelled int64) (string, error) {
	var before struct {
		Type string
		Data string
	}
	err := c.book.db.Read(ctx).Get(&before, `SELECT type, data FROM event WHERE seq = (SELECT prev FROM event WHERE seq = ?)`, cancelled)
	if errors.Is(err, db.ErrNoRows) || err == nil && before.Type != "order.unassignable" {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var said struct {
		Reason string `json:"reason"`
	}
	return said.Reason, json.Unmarshal([]byte(before.Data), &said)
}

// store is the calendar of a store (see partner.Store.Common), also of one that was removed; nil when
// there never was one.
func (c *folding) store(ctx context.Context, key int64) (*partner.Store, error) {
	if s, known := c.stores[key]; known {
		return s, nil
	}
	s, err := partner.LoadTx(c.book.db.Read(ctx), key)
	if fault.KindOf(err) == fault.NotFound {
		c.stores[key] = nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	common := s.Common()
	if s.Removed {
		common.Removed, common.UpdatedAt = true, s.UpdatedAt
	}
	if c.alike[common] == nil {
		c.alike[common] = &common
	}
	c.stores[key] = c.alike[common]
	return c.stores[key], nil
}

// carried reports whether a store in a cell or next to it carries a SKU.
func (c *folding) carried(ctx context.Context, cell geo.Cell, sku string) (bool, error) {
	for _, near := range geo.Disk(cell, nearRings) {
		at := shelfOf{near, sku}
		has, known := c.shelf[at]
		if !known {
			var err error
			if has, err = partner.Carried(c.book.db.Read(ctx), near, sku); err != nil {
				return false, err
			}
			c.shelf[at] = has
		}
		if has {
			return true, nil
		}
	}
	return false, nil
}

// clock is the clock of a cell: that of a store there, else the sun's.
func (c *folding) clock(ctx context.Context, cell geo.Cell, lng float64) (*time.Location, error) {
	if loc, known := c.cells[cell]; known {
		return loc, nil
	}
	there, _, err := c.book.stores.List(ctx, partner.Filter{Cell: cell, Limit: 1})
	if err != nil {
		return nil, err
	}
	loc := time.FixedZone("", int((time.Duration(lng * float64(solar))).Seconds()))
	if len(there) > 0 {
		loc = there[0].Zone().Location()
	}
	c.cells[cell] = loc
	return loc, nil
}

func dayIn(t time.Time, loc *time.Location) int64 { return int64(forecast.DayOf(t.In(loc))) }

// addOwn adds to what the network saw itself, in the order of the table.
func addOwn(tx *db.Tx, seen map[soldAt]own) error {
	places := make([]soldAt, 0, len(seen))
	for at := range seen {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b soldAt) int {
		return cmp.Or(cmp.Compare(a.sku, b.sku), cmp.Compare(a.store, b.store), cmp.Compare(a.cell, b.cell), cmp.Compare(a.day, b.day))
	})
	for _, at := range places {
		x := seen[at]
		if _, err := tx.Exec(`INSERT INTO demand (sku, store_key, cell, day, units, stockout_hours, discount, units_imported, hours_imported, own_units,
				own_stockout_hours) VALUES (?, ?, ?, ?, ?, ?, 0, FALSE, FALSE, ?, ?)
			ON CONFLICT (sku, store_key, cell, day) DO UPDATE SET
				own_units = demand.own_units + excluded.own_units,
				own_stockout_hours = demand.own_stockout_hours + excluded.own_stockout_hours,
				units = CASE WHEN demand.units_imported THEN demand.units ELSE demand.own_units + excluded.own_units END,
				stockout_hours = CASE WHEN demand.hours_imported THEN demand.stockout_hours
					ELSE demand.own_stockout_hours + excluded.own_stockout_hours END`,
			at.sku, at.store, int64(at.cell), at.day, x.units, x.hours, x.units, x.hours); err != nil {
			return err
		}
	}
	return nil
}

// stockouts counts the hours of shelves that were empty: of a stock-out that is over all that is left,
// of one that lasts the days that are over at its store.
func (c *folding) stockouts(ctx context.Context) (done int, err error) {
	b := c.book
	for after := int64(0); ; {
		list, err := partner.Stockouts(b.db.Read(ctx), after, foldAtOnce)
		if err != nil || len(list) == 0 {
			return done, err
		}
		after = list[len(list)-1].Key
		parts := make([]part, 0, len(list))
		for i := range list {
			p, err := c.part(ctx, &list[i])
			if err != nil {
				return done, err
			}
			if p.over || p.until.After(list[i].CountedTo) {
				parts = append(parts, p)
			}
		}
		if len(parts) == 0 {
			continue
		}
		counted := 0
		if err := b.db.InTx(ctx, func(tx *db.Tx) error {
			counted = 0
			seen := map[soldAt]own{}
			for _, p := range parts {
				ok, err := p.Counted(tx, p.until, p.over)
				if err != nil {
					return err
				}
				if !ok {
					continue
				}
				counted++
				for day, hours := range p.hours {
					at := soldAt{sku: p.SKU, store: p.Store, day: day}
					seen[at] = own{hours: seen[at].hours + hours}
				}
			}
			return addOwn(tx, seen)
		}); err != nil {
			return done, err
		}
		done += counted
	}
}

// part is what can be counted of a stock-out now.
type part struct {
	*partner.Stockout
	until time.Time
	over  bool
	hours map[int64]float64 // by day
}

func (c *folding) part(ctx context.Context, o *partner.Stockout) (part, error) {
	p := part{Stockout: o}
	s, err := c.store(ctx, o.Store)
	if err != nil {
		return p, err
	}
	switch {
	case s == nil:
		p.over = true
		return p, nil
	case o.To != nil:
		p.until, p.over = *o.To, true
	case s.Removed:
		p.until, p.over = s.UpdatedAt, true
	default:
		p.until = fromMs(s.DayAt(c.now).From)
	}
	if end := o.From.Add(givenUp); p.until.After(end) {
		p.until, p.over = end, true
	}
	p.hours = emptyHours(s, o.CountedTo, p.until)
	return p, nil
}

// emptyHours are the opening hours between two times by the store's days.
func emptyHours(s *partner.Store, from, until time.Time) map[int64]float64 {
	hours := map[int64]float64{}
	for from.Before(until) {
		d := s.DayAt(from)
		open := int64(0)
		for _, span := range d.Open {
			open += max(0, min(span.Until, until.UnixMilli())-max(span.From, from.UnixMilli()))
		}
		if open > 0 {
			hours[dayIn(fromMs(d.From), s.Zone().Location())] += (time.Duration(open) * time.Millisecond).Hours()
		}
		from = fromMs(d.Until)
	}
	return hours
}

const tooOld = `demand WHERE units_imported = FALSE AND day < ?`

// oldest is the first of the network's own days that is kept.
func oldest(now time.Time) int64 { return now.Add(-keepOwn).UnixMilli() / dayMs }

// purgeDemand forgets the network's own days that are too old, the oldest first.
func (b *Book) purgeDemand(ctx context.Context, now time.Time) (done int, err error) {
	before := oldest(now)
	for done < purgeMost {
		var n int64
		if err := b.db.InTx(ctx, func(tx *db.Tx) (err error) {
			n, err = tx.Exec(`DELETE FROM demand WHERE (sku, store_key, cell, day) IN (SELECT sku, store_key, cell, day FROM `+tooOld+` ORDER BY day LIMIT ?)`,
				before, foldAtOnce)
			return err
		}); err != nil || n == 0 {
			return done, err
		}
		done += int(n)
	}
	return done, nil
}
