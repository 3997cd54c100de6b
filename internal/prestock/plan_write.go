package prestock

import (
	"context"
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/forecast"
)

// writing bounds the tasks and the stores of one transaction: some 50 ms, which others can wait.
const (
	writeTasks  = 6000
	writeStores = 512
)

// Diff is what a plan changed.
type Diff struct {
	Created, Changed, Removed, Unchanged int // tasks still planned
	UnitsAdded, UnitsTaken               int // asked more and less than before
}

func (d *Diff) add(e Diff) {
	d.Created += e.Created
	d.Changed += e.Changed
	d.Removed += e.Removed
	d.Unchanged += e.Unchanged
	d.UnitsAdded += e.UnitsAdded
	d.UnitsTaken += e.UnitsTaken
}

func (d *Diff) any() bool { return d.Created+d.Changed+d.Removed > 0 }

// note counts a task that asks for so many units now, and for before until now.
func (d *Diff) note(before, now int) {
	switch {
	case before == now:
		d.Unchanged++
	case before == 0:
		d.Created++
	case now == 0:
		d.Removed++
	default:
		d.Changed++
	}
	d.UnitsAdded += max(0, now-before)
	d.UnitsTaken += max(0, before-now)
}

// Change is one task that a plan changed.
type Change struct {
	Store  int64
	SKU    string
	Before int // units asked; 0: it is new
	Now    int // 0: it is gone
}

// maxSample bounds the changes that a result shows.
const maxSample = 20

// pen writes a sheet into the tables, in transactions of bounded size, neighbours together. It is safe to
// stop after any of them: what is written is right, and the next plan goes on.
type pen struct {
	book     *Book
	sh       *sheet
	run      *planRun
	ack, due time.Time // the deadlines of a new task
	tallies  []tally   // by column
	sample   []Change
}

// tally is what became of a column.
type tally struct {
	Diff
	tasks, asked int // of the plan, as it is in the table
	unplaced     int // units that found their room taken meanwhile
}

func (t *tally) add(u tally) {
	t.Diff.add(u.Diff)
	t.tasks += u.tasks
	t.asked += u.asked
	t.unplaced += u.unplaced
}

// note counts a task of the plan.
func (t *tally) note(before, now int) {
	t.Diff.note(before, now)
	if now > 0 {
		t.tasks++
		t.asked += now
	}
}

func (b *Book) write(ctx context.Context, sh *sheet, run *planRun) (*pen, error) {
	c := &sh.campaign
	p := &pen{book: b, sh: sh, run: run, tallies: make([]tally, len(sh.columns))}
	first := c.leadAt(c.Leads[0])
	if first.Before(sh.now) {
		first = sh.now
	}
	p.ack, p.due = deadlines(first, c.StartsAt, c.EndsAt, c.shortest())
	if err := p.removeStrays(ctx); err != nil {
		return nil, err
	}
	for from := 0; from < len(sh.hoods); {
		part := p.next(from)
		if err := p.chunk(ctx, part); err != nil {
			return nil, err
		}
		from = part.to
		p.run.step(ctx, stepWriting, int(sh.hoods[part.to-1].to), len(sh.sites))
	}
	return p, nil
}

// span is some neighbourhoods in a row.
type span struct {
	from, to int
	changes  bool
	sites    []int32 // those with a task before or now
}

// next is as many neighbourhoods from one on as one transaction takes.
func (p *pen) next(from int) span {
	s := span{from: from, to: from}
	for tasks := 0; s.to < len(p.sh.hoods) && (s.to == from || tasks < writeTasks && len(s.sites) < writeStores); s.to++ {
		hd := p.sh.hoods[s.to]
		for i := hd.from; i < hd.to; i++ {
			any := false
			for k := range p.sh.columns {
				col := &p.sh.columns[k]
				if col.asked[i] != 0 || col.before[i] != 0 {
					any = true
					tasks++
				}
				s.changes = s.changes || col.asked[i] != col.before[i]
			}
			if any {
				s.sites = append(s.sites, i)
			}
		}
	}
	return s
}

// page is what one transaction does.
type page struct {
	*pen
	tx      *db.Tx
	steps   steps
	tallies []tally
	sample  []Change
	rows    []any // of new tasks
}

func (p *pen) chunk(ctx context.Context, part span) error {
	if !part.changes {
		for k := range p.sh.columns {
			for _, i := range part.sites {
				if n := int(p.sh.columns[k].asked[i]); n > 0 {
					p.tallies[k].note(n, n)
				}
			}
		}
		return nil
	}
	// A neighbourhood of a large city has more stores than one transaction takes, or very many SKUs.
	most := max(1, min(writeStores, 2*writeTasks/len(p.sh.columns)))
	for len(part.sites) > 0 {
		n := min(len(part.sites), most)
		if err := p.turn(ctx, part, part.sites[:n]); err != nil {
			return err
		}
		part.sites = part.sites[n:]
	}
	return nil
}

func (p *pen) turn(ctx context.Context, part span, sites []int32) error {
	var done *page // of the run that was committed
	if err := p.inTx(ctx, func(tx *db.Tx) error {
		pg := &page{pen: p, tx: tx, steps: steps{}, tallies: make([]tally, len(p.tallies))}
		if err := p.run.hold(tx, &p.sh.campaign); err != nil {
			return err
		}
		tx.OnCommit(func() { done = pg })
		return pg.write(part, sites)
	}); err != nil {
		return err
	}
	for k := range p.tallies {
		p.tallies[k].add(done.tallies[k])
	}
	p.sample = append(p.sample, done.sample[:min(len(done.sample), maxSample-len(p.sample))]...)
	return nil
}

// inTx is a transaction of a plan that does not give up because the database is busy for a moment: a plan of
// minutes would never come to its end.
func (p *pen) inTx(ctx context.Context, f func(*db.Tx) error) error {
	for pause := 100 * time.Millisecond; ; pause *= 3 {
		err := p.book.db.InTx(ctx, f)
		if fault.KindOf(err) != fault.Unavailable || ctx.Err() != nil || pause > 10*time.Second {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// kept is a task as it is in the table.
type kept struct {
	Key     int64
	Store   int64 `db:"store_key"`
	Cell    int64
	SKU     string
	Asked   int
	Status  string
	Version int64
}

func (pg *page) write(part span, sites []int32) error {
	keys := make([]any, len(sites))
	for n, i := range sites {
		keys[n] = pg.sh.sites[i].key
	}
	tasks, err := pg.tasks(keys)
	if err != nil {
		return err
	}
	free, err := pg.free(keys)
	if err != nil {
		return err
	}
	h := part.from
	for _, i := range sites {
		for pg.sh.hoods[h].to <= i {
			h++
		}
		if err := pg.writeSite(h, int(i), tasks, free[pg.sh.sites[i].key]); err != nil {
			return err
		}
	}
	if err := pg.insert(); err != nil {
		return err
	}
	for h := part.from; h < part.to; h++ {
		pg.expect(h)
	}
	return pg.steps.save(pg.tx)
}

// expect notes what the plan went by in a neighbourhood, for its fill rate. Where somebody said how many
// units are expected, those that are asked stand for it.
func (pg *page) expect(h int) {
	hd := &pg.sh.hoods[h]
	for k := range pg.sh.columns {
		col := &pg.sh.columns[k]
		if col.ExpectedUnits != nil || !col.known {
			continue
		}
		had := 0.0
		if col.have != nil {
			for i := hd.from; i < hd.to; i++ {
				had += float64(col.have[i])
			}
		}
		sigma := float64(col.sigma[h])
		pg.steps.expect(pg.sh.campaign.Key, hd.cell, col.SKU.SKU, forecast.Law{Mean: float64(col.sells[h]), Var: sigma * sigma}, had)
	}
}

// slotOf is the place of one task of the plan.
type slotOf struct {
	store int64
	sku   string
}

func (pg *page) tasks(keys []any) (map[slotOf]kept, error) {
	in, args := padded(keys)
	var rows []kept
	if err := pg.tx.Select(&rows, `SELECT key, store_key, cell, sku, asked, status, version FROM prestock_task
		WHERE store_key IN `+in+` AND campaign_key = ? AND parent_key = 0`, append(args, pg.sh.campaign.Key)...); err != nil {
		return nil, err
	}
	m := make(map[slotOf]kept, len(rows))
	for _, r := range rows {
		m[slotOf{r.Store, r.SKU}] = r
	}
	return m, nil
}

// free is what the shelves leave for tasks, open ones included.
func (pg *page) free(keys []any) (map[int64]int, error) {
	in, args := padded(keys)
	type row struct {
		Store int64 `db:"store_key"`
		Units int
	}
	var shelves, stock []row
	if err := pg.tx.Select(&shelves, `SELECT key AS store_key, shelf_units AS units FROM store WHERE key IN `+in, args...); err != nil {
		return nil, err
	}
	if err := pg.tx.Select(&stock, `SELECT store_key, CAST(sum(on_hand) AS BIGINT) AS units FROM stock WHERE store_key IN `+in+` GROUP BY store_key`, args...); err != nil {
		return nil, err
	}
	onHand := make(map[int64]int, len(stock))
	for _, r := range stock {
		onHand[r.Store] = r.Units
	}
	room := make(map[int64]int, len(shelves))
	for _, r := range shelves {
		room[r.Store] = roomOf(r.Units, onHand[r.Store])
	}
	return room, nil
}

// padded is a list of keys for IN, always of the same length so that the statement is one.
func padded(keys []any) (string, []any) {
	args := make([]any, writeStores, writeStores+1)
	for i := range args {
		args[i] = keys[min(i, len(keys)-1)]
	}
	return `(?` + strings.Repeat(`, ?`, writeStores-1) + `)`, args
}

// writeSite brings the tasks of one store to what the plan says, and its claim on the shelf with
// them. When the room it needs was taken meanwhile, the store is asked nothing more than before.
func (pg *page) writeSite(h, i int, tasks map[slotOf]kept, free int) error {
	s := &pg.sh.sites[i]
	delta, less := 0, 0
	for k := range pg.sh.columns {
		col := &pg.sh.columns[k]
		t, there := tasks[slotOf{s.key, col.SKU.SKU}]
		if there && Status(t.Status) != Planned {
			continue
		}
		d := int(col.asked[i]) - t.Asked
		delta += d
		less += min(0, d)
	}
	more, err := claimRoom(pg.tx, s.key, delta, free)
	if err != nil {
		return err
	}
	if !more {
		if _, err := claimRoom(pg.tx, s.key, less, free); err != nil {
			return err
		}
	}
	for k := range pg.sh.columns {
		col := &pg.sh.columns[k]
		t, there := tasks[slotOf{s.key, col.SKU.SKU}]
		want := int(col.asked[i])
		switch {
		case there && Status(t.Status) != Planned: // prompted since the sheet was read
			if col.before[i] > 0 {
				pg.tallies[k].tasks++
				pg.tallies[k].asked += t.Asked
			}
			continue
		case want > t.Asked && !more:
			pg.tallies[k].unplaced += want - t.Asked
			want = t.Asked
		}
		if err := pg.writeTask(h, i, k, t, want); err != nil {
			return err
		}
	}
	return nil
}

func (pg *page) writeTask(h, i, k int, t kept, want int) error {
	if t.Asked == 0 && want == 0 {
		return nil
	}
	col, s := &pg.sh.columns[k], &pg.sh.sites[i]
	pg.tallies[k].note(t.Asked, want)
	if t.Asked == want {
		return nil
	}
	pg.sample = append(pg.sample, Change{s.key, col.SKU.SKU, t.Asked, want})
	cell := pg.sh.hoods[h].cell
	if t.Key != 0 {
		cell = geo.Cell(t.Cell) // a task stays in its cell
	}
	at := func(asked int) *Task {
		if asked == 0 {
			return nil
		}
		return &Task{Campaign: pg.sh.campaign.Key, Cell: cell, SKU: col.SKU.SKU, Asked: asked}
	}
	pg.steps.add(at(t.Asked), at(want))
	why := col.terms(h, i)
	switch {
	case t.Key == 0:
		pg.rows = append(pg.rows, pg.tx.NewKey(), pg.sh.campaign.Key, s.key, int64(cell), col.SKU.SKU, want, noLead, pg.ack.UnixMilli(), pg.due.UnixMilli(),
			pg.sh.campaign.EndsAt.UnixMilli(), pg.tx.Now().UnixMilli(), pg.tx.Now().UnixMilli(), why.Uplift, why.CellUnits, why.NearUnits)
		return nil
	case want == 0:
		return pg.once(`DELETE FROM prestock_task WHERE key = ? AND version = ?`, t.Key, t.Version)
	default:
		return pg.once(`UPDATE prestock_task SET asked = ?, uplift = ?, cell_units = ?, near_units = ?, reason_text = '', version = version + 1, updated_at = ?
			WHERE key = ? AND version = ?`, want, why.Uplift, why.CellUnits, why.NearUnits, pg.tx.Now().UnixMilli(), t.Key, t.Version)
	}
}

// once runs a statement that changes one row, or has the transaction run again.
func (pg *page) once(query string, args ...any) error {
	n, err := pg.tx.Exec(query, args...)
	if err == nil && n == 0 {
		err = db.ErrAgain
	}
	return err
}

// insertAtOnce is how many tasks go into one statement.
const insertAtOnce = 32

const newTask = `(?, ?, ?, ?, ?, ?, 'planned', ?, ?, ?, ?, 1, ?, ?, ?, ?, ?)`

var newTaskWidth = strings.Count(newTask, "?")

func insertTasks(n int) string {
	return `INSERT INTO prestock_task (key, campaign_key, store_key, cell, sku, asked, status, lead_s, ack_deadline, stock_deadline, hold_until,
		version, created_at, updated_at, uplift, cell_units, near_units) VALUES ` + newTask + strings.Repeat(`, `+newTask, n-1) + ` ON CONFLICT DO NOTHING`
}

var insertOne, insertMany = insertTasks(1), insertTasks(insertAtOnce)

func (pg *page) insert() error {
	for len(pg.rows) > 0 {
		query, n := insertMany, insertAtOnce
		if len(pg.rows) < n*newTaskWidth {
			query, n = insertOne, 1
		}
		done, err := pg.tx.Exec(query, pg.rows[:n*newTaskWidth]...)
		if err != nil {
			return err
		}
		if int(done) != n {
			return db.ErrAgain // somebody planned the same meanwhile
		}
		pg.rows = pg.rows[n*newTaskWidth:]
	}
	return nil
}

// removeStrays forgets the planned tasks of stores that are not asked any more: they closed, moved out
// of the campaign's cells or opted out.
func (p *pen) removeStrays(ctx context.Context) error {
	at := p.sh.columnsBySKU()
	for len(p.sh.strays) > 0 {
		n := min(len(p.sh.strays), chunk)
		part := p.sh.strays[:n]
		p.sh.strays = p.sh.strays[n:]
		var gone []Task
		if err := p.inTx(ctx, func(tx *db.Tx) error {
			var mine []Task
			tx.OnCommit(func() { gone = mine })
			if err := p.run.hold(tx, &p.sh.campaign); err != nil {
				return err
			}
			for _, key := range part {
				t, err := loadTask(tx, key)
				if fault.KindOf(err) == fault.NotFound || err == nil && t.Status != Planned {
					continue
				}
				if err != nil {
					return err
				}
				if err := deleteTask(tx, &t); err != nil {
					return err
				}
				mine = append(mine, t)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, t := range gone {
			p.tallies[at[t.SKU]].note(t.Asked, 0)
			if len(p.sample) < maxSample {
				p.sample = append(p.sample, Change{t.Store, t.SKU, t.Asked, 0})
			}
		}
	}
	return nil
}

// result sums up what was written, and what was asked before.
func (p *pen) result() PlanResult {
	r := PlanResult{Campaign: p.sh.campaign.Key, Sample: p.sample}
	for k := range p.sh.columns {
		col, t := &p.sh.columns[k], p.tallies[k]
		s := SKUPlan{SKU: col.SKU.SKU, Diff: t.Diff, Unplaced: col.unplaced + t.unplaced, Tasks: t.tasks + col.promptedTasks, Asked: t.asked + col.promptedUnits}
		for _, mean := range col.mean {
			s.Expected += float64(mean)
		}
		r.Diff.add(s.Diff)
		r.Tasks += s.Tasks
		r.Asked += s.Asked
		r.Unplaced += s.Unplaced
		r.BySKU = append(r.BySKU, s)
	}
	return r
}
