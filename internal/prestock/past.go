package prestock

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/forecast"
	"doorstep/internal/partner"
)

const (
	pastDays = 90 // how far back demand says something about a peak
	dayMs    = 24 * 60 * 60 * 1000
	// maxObserved bounds the observations that are in memory at once: some 100 bytes each while a
	// model is fitted to them.
	maxObserved = 12_000_000
)

// starts gives the day of a moment on the clocks of stores.
type starts struct {
	at   time.Time
	days map[string]int32 // by time zone
}

func newStarts(at time.Time) *starts { return &starts{at, map[string]int32{}} }

func (s *starts) day(store *partner.Store) int32 {
	day, known := s.days[store.TimeZone]
	if !known {
		day = forecast.DayOf(s.at.In(store.Zone().Location()))
		s.days[store.TimeZone] = day
	}
	return day
}

// errTooMuch says that a part of the network has more observations than fit in memory.
var errTooMuch = errors.New("prestock: more observations than fit in memory")

// learn fills the laws of the sheet: what the customers of each store want of each SKU in the
// campaign, from the days before. All stores are learnt from together; only when they have more
// past than fits in memory, in parts, each on its own.
func (b *Book) learn(ctx context.Context, sh *sheet) error {
	first := int64(sh.lastWhole()) + 1 - pastDays
	rows := 0
	for k := range sh.columns {
		var n int
		if err := b.db.Read(ctx).Get(&n, `SELECT count(*) FROM demand WHERE sku = ? AND day >= ?`, sh.columns[k].SKU.SKU, first); err != nil {
			return err
		}
		rows += n
	}
	parts := rows/(maxObserved*9/10) + 1
	for part := range parts {
		if err := b.learnPart(ctx, sh, part*len(sh.byKey)/parts, (part+1)*len(sh.byKey)/parts); err != nil {
			return err
		}
	}
	return nil
}

func (b *Book) learnPart(ctx context.Context, sh *sheet, from, to int) error {
	if from == to {
		return nil
	}
	l := newLesson(sh, from, to)
	err := l.read(ctx, b)
	if errors.Is(err, errTooMuch) && to-from > 1 {
		half := from + (to-from)/2
		if err := b.learnPart(ctx, sh, from, half); err != nil {
			return err
		}
		return b.learnPart(ctx, sh, half, to)
	}
	if err != nil {
		return err
	}
	l.apply()
	return nil
}

// lesson is the past of some stores of a sheet: those at from to before to in the order of keys.
type lesson struct {
	sh       *sheet
	from, to int
	local    []int32 // by site: the number the forecast knows it by; -1: not of this part
	stores   []forecast.Store
	skus     []forecast.SKU
	history  *forecast.History
	inCell   map[int]map[geo.Cell][]int32 // sites by cell, for the resolutions that were asked for
	shared   map[siteDay]float64          // units of one SKU that sites have from their cells
	last     int32                        // the last whole day
}

func newLesson(sh *sheet, from, to int) *lesson {
	l := &lesson{sh: sh, from: from, to: to, local: make([]int32, len(sh.sites)), inCell: map[int]map[geo.Cell][]int32{},
		last: sh.lastWhole(), skus: make([]forecast.SKU, len(sh.columns))}
	for i := range l.local {
		l.local[i] = -1
	}
	for _, i := range sh.byKey[from:to] {
		l.local[i] = 0
	}
	// Regions are numbered as they come: sites lie by place, and so do coarser cells.
	region, last := int32(-1), geo.Cell(0)
	for h, hd := range sh.hoods {
		if r := coarser(hd.cell, regionRes); region < 0 || r != last {
			region, last = region+1, r
		}
		for i := hd.from; i < hd.to; i++ {
			if l.local[i] == 0 {
				l.local[i] = int32(len(l.stores))
				l.stores = append(l.stores, forecast.Store{Region: region, Cell: int32(h), Since: l.last + 1})
			}
		}
	}
	for k := range l.skus {
		l.skus[k].Since = l.last + 1
	}
	free := freeDays(sh.zones, l.last+1-pastDays, sh.lastDay())
	l.history = forecast.NewHistory(l.stores, l.skus, forecast.Calendar{Free: free}).Sparse()
	if len(l.stores)*len(l.skus) > maxObserved/8 {
		l.history.Grow(maxObserved) // which is room in mind only, until it is used
	}
	return l
}

// siteDay is a day of a site.
type siteDay struct{ site, day int32 }

// regionRes is the resolution of cells, some 250 km2, whose level moves from day to day together.
const regionRes = 5

func (l *lesson) read(ctx context.Context, b *Book) error {
	for k := range l.sh.columns {
		if err := l.readSKU(ctx, b, k); err != nil {
			return err
		}
	}
	return nil
}

type demandRow struct {
	Store    int64 `db:"store_key"`
	Cell     int64
	Day      int64
	Units    float64
	Stockout float64 `db:"stockout_hours"`
	Discount float64
}

func (l *lesson) readSKU(ctx context.Context, b *Book, k int) error {
	f := finder{sh: l.sh}
	l.shared = map[siteDay]float64{}
	first := int64(l.last) + 1 - pastDays
	take := func(r demandRow) error {
		if r.Cell != 0 {
			return l.addCell(r)
		}
		if i := f.find(r.Store); i >= 0 {
			at := siteDay{int32(i), int32(r.Day)}
			r.Units += l.shared[at]
			delete(l.shared, at)
			return l.add(k, i, r)
		}
		return nil
	}
	const columns = `SELECT store_key, cell, day, units, stockout_hours, discount FROM demand WHERE sku = ?`
	sku := l.sh.columns[k].SKU.SKU
	if err := db.Each(ctx, b.db, take, columns+` AND store_key = 0 AND day >= ? AND day <= ? ORDER BY cell, day`, sku, first, l.last); err != nil {
		return err
	}
	if err := db.Each(ctx, b.db, take, columns+` AND store_key >= ? AND store_key <= ? AND day >= ? AND day <= ? ORDER BY store_key, cell, day`,
		sku, l.sh.sites[l.sh.byKey[l.from]].key, l.sh.sites[l.sh.byKey[l.to-1]].key, first, l.last); err != nil {
		return err
	}
	rest := slices.SortedFunc(maps.Keys(l.shared), func(a, b siteDay) int {
		return cmp.Or(cmp.Compare(a.site, b.site), cmp.Compare(a.day, b.day))
	})
	for _, at := range rest {
		if err := l.add(k, int(at.site), demandRow{Day: int64(at.day), Units: l.shared[at]}); err != nil {
			return err
		}
	}
	return nil
}

// add takes a day of one site.
func (l *lesson) add(k, i int, r demandRow) error {
	s := l.local[i]
	if s < 0 {
		return nil
	}
	if l.history.Len() >= maxObserved {
		return errTooMuch
	}
	day := int32(r.Day)
	l.stores[s].Since = min(l.stores[s].Since, day)
	l.skus[k].Since = min(l.skus[k].Since, day)
	if r.Units > 0 {
		l.sh.columns[k].known = true
	}
	l.history.Add(forecast.Observation{Store: s, SKU: int32(k), Day: day, Units: float32(r.Units),
		Open: float32(l.sh.weeks.open(l.sh.sites[i].week, r.Day, r.Stockout)), Price: float32(1 - min(1, max(0, r.Discount)))})
	return nil
}

// addCell shares units sold somewhere in a cell among the stores there; what was sold in a cell
// without a store says nothing about any.
func (l *lesson) addCell(r demandRow) error {
	cell := geo.Cell(r.Cell)
	res := cell.Resolution()
	if l.inCell[res] == nil {
		l.inCell[res] = map[geo.Cell][]int32{}
		for i := range l.sh.sites {
			up := coarser(l.sh.sites[i].cell, res)
			l.inCell[res][up] = append(l.inCell[res][up], int32(i))
		}
	}
	there := l.inCell[res][cell]
	for _, i := range there {
		if l.local[i] >= 0 {
			l.shared[siteDay{i, int32(r.Day)}] += r.Units / float64(len(there))
		}
	}
	if len(l.shared) > maxObserved/4 {
		return errTooMuch
	}
	return nil
}

// apply fits a model and asks it for the window of the campaign.
func (l *lesson) apply() {
	if l.history.Len() == 0 {
		return
	}
	m := forecast.Fit(l.history, l.last)
	w := windowOf(&l.sh.campaign)
	for k := range l.sh.columns {
		col := &l.sh.columns[k]
		ahead := map[int32]*forecast.Outlook{} // by the day on which the window begins: that differs by time zone
		for i := range l.sh.sites {
			s := l.local[i]
			if s < 0 {
				continue
			}
			from := l.sh.sites[i].starts
			o := ahead[from]
			if o == nil {
				o = m.Ahead(forecast.Plan{From: from, To: from + w.days - 1, Uplift: col.uplift()})
				ahead[from] = o
			}
			p := o.At(s, int32(k))
			law := p.Law.Scale(w.share)
			col.mean[i], col.variance[i] = float32(law.Mean), float32(law.Var)
			col.event = math.Max(col.event, p.Event)
		}
		col.event = math.Max(col.event, toldUplift(col.uplift()))
	}
}

// window is how long a campaign is: so many days, of which share counts.
type window struct {
	days  int32
	share float64
}

// demandFrom is when the customers begin that a campaign is for: a replenishment has to last from the
// night it is made, until its goods have come and then some days.
func (c *Campaign) demandFrom() time.Time {
	if c.Kind == Replenishment {
		return c.CreatedAt
	}
	return c.StartsAt
}

func windowOf(c *Campaign) window {
	length := c.EndsAt.Sub(c.demandFrom()).Hours() / 24
	days := max(1, math.Ceil(length-1e-9))
	return window{int32(days), length / days}
}

// lastWhole is the last day that is over at all sites: half a day taken for a whole one would look like
// demand that falls.
func (sh *sheet) lastWhole() int32 {
	last := forecast.DayOf(sh.now) - 1
	for z := range sh.zones {
		last = min(last, forecast.DayOf(sh.now.In(z.Location()))-1)
	}
	return last
}

// lastDay is the last day of the campaign, on whatever clock.
func (sh *sheet) lastDay() int32 {
	return forecast.DayOf(sh.campaign.EndsAt) + 1
}

// uplift is the multiple of the usual demand; 1 is as usual.
func (c *column) uplift() float64 {
	if c.Uplift == nil {
		return 1
	}
	return *c.Uplift
}

// toldUplift is the squared coefficient of variation of an uplift that somebody told: people who say
// "five times" mean three to seven. It is nothing without an uplift.
func toldUplift(uplift float64) float64 {
	const doubt = 0.15 // standard deviation of the logarithm, for each doubling
	d := doubt * math.Min(2, math.Abs(math.Log2(uplift)))
	return d * d
}

// coarser is the parent of a cell. An H3 index holds 3 bits for each finer step, all set where unused,
// and its resolution in bits 52 to 55: no call into C is needed to go up.
func coarser(c geo.Cell, res int) geo.Cell {
	for r := c.Resolution(); r > res; r-- {
		c |= 7 << (3 * (geo.MaxRes - r))
	}
	return c&^(15<<52) | geo.Cell(min(res, c.Resolution()))<<52
}
