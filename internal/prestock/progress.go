package prestock

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/forecast"
)

// Units are sums over tasks. Units reallocated count once at the store that did not have them, and
// again as asked at the store they were asked of instead; so in every row and in all of them
// Asked = Committed + Reallocated + Unallocated.
type Units struct {
	Asked, Committed, Reallocated, Unallocated int64
	Stocked                                    int64 // counted on the shelves
	Consumed, Leftover                         int64 // of those, once the campaign is over
	// Wanted is how many units customers are expected to want in the days of the campaign, and Served
	// how many of those the stores are expected to have for them: what was counted, and where nobody has
	// counted yet what was promised. Both are sums over cells and SKUs, since goods in one cell do not
	// serve another: by the law of demand there that the last plan went by, or where nothing was known,
	// of what is asked and was not asked elsewhere instead. They speak of the whole campaign, also after
	// its end.
	Wanted, Served float64
}

// FillRate is the share of the wanted units that is expected to be served, 0 to 1; ok is false when
// nothing is wanted.
func (u Units) FillRate() (rate float64, ok bool) {
	if u.Wanted <= 0 {
		return 0, false
	}
	return u.Served / u.Wanted, true
}

// Progress is how far the stores of a campaign are.
type Progress struct {
	Campaign int64
	Units
	BySKU  []SKUProgress  // by SKU
	ByCell []CellProgress // those that lack most first
	Cells  int            // how many there are, also those that ByCell leaves out
}

// SKUProgress is the part of one SKU.
type SKUProgress struct {
	SKU string
	Units
}

// CellProgress is the part of the stores in one cell of resolution geo.DemandRes.
type CellProgress struct {
	Cell geo.Cell
	Units
}

// count is what tasks add to the row of their campaign, cell and SKU.
type count struct {
	Asked, Committed, Reallocated, Stocked, Consumed, Leftover, Ready int64
}

func (c *count) add(d count, sign int64) {
	c.Asked += sign * d.Asked
	c.Committed += sign * d.Committed
	c.Reallocated += sign * d.Reallocated
	c.Stocked += sign * d.Stocked
	c.Consumed += sign * d.Consumed
	c.Leftover += sign * d.Leftover
	c.Ready += sign * d.Ready
}

// count is what t adds; nothing, when there is no task.
func (t *Task) count() (c count) {
	if t == nil {
		return c
	}
	c = count{Asked: int64(t.Asked), Committed: int64(t.Committed), Reallocated: int64(t.Reallocated), Ready: int64(t.Committed)}
	if t.Counted != nil {
		c.Stocked, c.Ready = int64(*t.Counted), int64(*t.Counted)
		if t.Leftover != nil {
			c.Leftover, c.Consumed = int64(*t.Leftover), int64(*t.Counted-*t.Leftover)
		}
	}
	return c
}

// steps collects what several tasks change, so that many of one cell and SKU are one statement.
type steps struct {
	counts map[corner]count
	laws   map[corner]outlook
}

// outlook is what a plan expects of a cell and SKU.
type outlook struct {
	law forecast.Law // of the units that customers want in the days of the campaign
	had float64      // units there to serve them, beside those of the campaign's tasks
}

// corner is a row of progress.
type corner struct {
	campaign int64
	cell     geo.Cell
	sku      string
}

// add notes that a task became another: from nil when it is new, to nil when it is gone. A task stays
// in its cell, also when its store moves.
func (s *steps) add(from, to *Task) {
	t := to
	if from != nil {
		t = from
	}
	if s.counts == nil {
		s.counts = map[corner]count{}
	}
	at := corner{t.Campaign, t.Cell, t.SKU}
	c := s.counts[at]
	c.add(from.count(), -1)
	c.add(to.count(), 1)
	s.counts[at] = c
}

// expect notes what a plan expects of a SKU in a cell, in place of what the plan before did.
func (s *steps) expect(campaign int64, cell geo.Cell, sku string, law forecast.Law, had float64) {
	if s.laws == nil {
		s.laws = map[corner]outlook{}
	}
	s.laws[corner{campaign, cell, sku}] = outlook{law, had}
}

func sorted[T any](rows map[corner]T) []corner {
	return slices.SortedFunc(maps.Keys(rows), func(a, b corner) int {
		return cmp.Or(cmp.Compare(a.campaign, b.campaign), cmp.Compare(a.cell, b.cell), cmp.Compare(a.sku, b.sku))
	})
}

// save writes what was collected, in one order, so that two who save cannot wait for each other.
func (s *steps) save(tx *db.Tx) error {
	for _, at := range sorted(s.laws) {
		o := s.laws[at]
		if _, err := tx.Exec(`INSERT INTO prestock_progress (campaign_key, cell, sku, asked, committed, reallocated, stocked, consumed, leftover, ready,
				expected, variance, had) VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0, 0, ?, ?, ?)
			ON CONFLICT (campaign_key, cell, sku) DO UPDATE SET expected = excluded.expected, variance = excluded.variance, had = excluded.had`,
			at.campaign, int64(at.cell), at.sku, o.law.Mean, o.law.Var, o.had); err != nil {
			return err
		}
	}
	for _, at := range sorted(s.counts) {
		c := s.counts[at]
		if c == (count{}) {
			continue
		}
		if _, err := tx.Exec(`INSERT INTO prestock_progress (campaign_key, cell, sku, asked, committed, reallocated, stocked, consumed, leftover, ready)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (campaign_key, cell, sku) DO UPDATE SET asked = prestock_progress.asked + excluded.asked,
				committed = prestock_progress.committed + excluded.committed, reallocated = prestock_progress.reallocated + excluded.reallocated,
				stocked = prestock_progress.stocked + excluded.stocked, consumed = prestock_progress.consumed + excluded.consumed,
				leftover = prestock_progress.leftover + excluded.leftover, ready = prestock_progress.ready + excluded.ready`,
			at.campaign, int64(at.cell), at.sku, c.Asked, c.Committed, c.Reallocated, c.Stocked, c.Consumed, c.Leftover, c.Ready); err != nil {
			return err
		}
	}
	return nil
}

// advance is steps for one task: every write of a task ends with it.
func advance(tx *db.Tx, from, to *Task) error {
	s := steps{}
	s.add(from, to)
	return s.save(tx)
}

// cornerRow is a row of progress as it is read.
type cornerRow struct {
	Cell int64
	SKU  string
	count
	Expected, Variance, Had float64
}

// fill is how many units are wanted and, of those, served.
func (r *cornerRow) fill() (wanted, served float64) {
	if r.Expected > 0 {
		return r.Expected, sales(forecast.Law{Mean: r.Expected, Var: r.Variance}, int(r.Had)+int(r.Ready))
	}
	wanted = float64(r.Asked - r.Reallocated)
	return wanted, min(float64(r.Ready), wanted)
}

// sales are the units sold in the mean when so many are there: E min(Y, there). Of a negative binomial
// law the part of the mean below there is that of the law with one more failure, which spares the sum.
func sales(l forecast.Law, there int) float64 {
	switch far := 20 * (math.Sqrt(max(l.Mean, l.Var)) + l.Var/l.Mean); {
	case there <= 0:
		return 0
	case float64(there) > l.Mean+far: // the tail falls with e^(-k Mean/Var)
		return l.Mean
	}
	next := l
	if step := l.Var/l.Mean - 1; step > 0 {
		next.Mean += step
		next.Var += step * l.Var / l.Mean
	}
	return min(l.Mean, l.Mean*next.CDF(there-2)+float64(there)*l.Survival(there-1))
}

// sums is what a part of a campaign has come to.
type sums struct {
	count
	wanted, served float64
}

func (s *sums) add(r *cornerRow, wanted, served float64) {
	s.count.add(r.count, 1)
	s.wanted += wanted
	s.served += served
}

func (s *sums) units() Units {
	return Units{Asked: s.Asked, Committed: s.Committed, Reallocated: s.Reallocated, Unallocated: s.Asked - s.Committed - s.Reallocated,
		Stocked: s.Stocked, Consumed: s.Consumed, Leftover: s.Leftover, Wanted: s.wanted, Served: s.served}
}

// A sum over more rows than manyRows takes up to two seconds of a processor (600,000 stores and 20 SKUs
// have 1.2 million), so it is told again for a while and made by one caller for all.
const (
	manyRows  = 100_000
	toldAgain = 5 * time.Second
	mostCells = 200
)

// memos are the last sums, by campaign.
type memos struct {
	mu   sync.Mutex
	last map[int64]*memo
}

type memo struct {
	mu    sync.Mutex
	made  time.Time
	limit int // of cells; 0: nothing is remembered
	Progress
}

func (m *memos) of(campaign int64) *memo {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		m.last = map[int64]*memo{}
	}
	if m.last[campaign] == nil {
		m.last[campaign] = &memo{}
	}
	return m.last[campaign]
}

// fresh reports whether the memo may be told at now.
func (m *memo) fresh(cells int, now time.Time) bool {
	age := now.Sub(m.made)
	return cells <= m.limit && 0 <= age && age < toldAgain
}

// Progress sums the tasks of a campaign up, planned ones included, by SKU and for the cells that lack
// most, at most so many. It reads a row for each cell and SKU, and not the tasks. Of a very large
// campaign the sums may be some seconds old; they always belong to one moment.
func (b *Book) Progress(ctx context.Context, campaign int64, cells int) (Progress, error) {
	if _, err := loadCampaign(b.db.Read(ctx), campaign); err != nil {
		return Progress{}, err
	}
	m := b.progress.of(campaign)
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := b.db.Now(); !m.fresh(cells, now) {
		limit := max(cells, mostCells)
		p, rows, err := b.sumUp(ctx, campaign, limit)
		if err != nil {
			return Progress{}, err
		}
		if rows <= manyRows {
			limit = 0
		}
		m.made, m.limit, m.Progress = now, limit, p
	}
	p := m.Progress
	p.ByCell = p.ByCell[:min(len(p.ByCell), cells)]
	return p, nil
}

// sumUp is Progress without its memory; it also returns how many rows it read.
func (b *Book) sumUp(ctx context.Context, campaign int64, cells int) (p Progress, rows int, err error) {
	p.Campaign = campaign
	var all, here sums
	skus := map[string]*sums{}
	w := worst{limit: cells}
	last := geo.Cell(0)
	leave := func() {
		if here.count != (count{}) || here.wanted > 0 {
			p.Cells++
			w.offer(last, here)
		}
		here = sums{}
	}
	// One statement, so that the parts belong to one moment and add up.
	err = db.Each(ctx, b.db, func(r cornerRow) error {
		rows++
		if geo.Cell(r.Cell) != last {
			leave()
			last = geo.Cell(r.Cell)
		}
		wanted, served := r.fill()
		if r.count == (count{}) && wanted == 0 {
			return nil // a plan that was taken back
		}
		if skus[r.SKU] == nil {
			skus[r.SKU] = &sums{}
		}
		for _, s := range []*sums{&all, &here, skus[r.SKU]} {
			s.add(&r, wanted, served)
		}
		return nil
	}, `SELECT cell, sku, asked, committed, reallocated, stocked, consumed, leftover, ready, expected, variance, had FROM prestock_progress
		WHERE campaign_key = ? ORDER BY campaign_key, cell, sku`, campaign)
	if err != nil {
		return p, rows, err
	}
	leave()
	p.Units = all.units()
	for sku, s := range skus {
		p.BySKU = append(p.BySKU, SKUProgress{sku, s.units()})
	}
	slices.SortFunc(p.BySKU, func(a, b SKUProgress) int { return cmp.Compare(a.SKU, b.SKU) })
	for _, c := range w.list() {
		p.ByCell = append(p.ByCell, CellProgress{c.cell, c.units()})
	}
	return p, rows, nil
}

// worst keeps the cells that lack most.
type worst struct {
	limit int
	cells []cellSums // not more than twice the limit
}

type cellSums struct {
	cell geo.Cell
	sums
}

func (w *worst) offer(cell geo.Cell, s sums) {
	w.cells = append(w.cells, cellSums{cell, s})
	if len(w.cells) >= 2*w.limit {
		w.cells = w.list()
	}
}

func (w *worst) list() []cellSums {
	slices.SortFunc(w.cells, func(a, b cellSums) int {
		return cmp.Or(cmp.Compare(b.wanted-b.served, a.wanted-a.served), cmp.Compare(a.cell, b.cell))
	})
	return w.cells[:min(len(w.cells), w.limit)]
}
