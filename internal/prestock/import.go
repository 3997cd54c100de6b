package prestock

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/partner"
)

// DemandOptions say how to read a file of past demand.
type DemandOptions struct {
	DryRun   bool           // tell what would happen, change nothing
	Progress func(done int) // called now and then with the rows done
}

const (
	maxLine      = 64 << 10
	maxRowErrors = 1000
	maxDayUnits  = 1e9
	// maxRemembered bounds the rows that are known when a second one about the same comes: some 200 MB.
	// In a longer file twins that are further apart replace each other, the last one counts.
	maxRemembered = 5_000_000
)

// demandColumns are the columns of a demand file, by every name they go by.
var demandColumns = map[string]int{"date": colDate, "external_id": colStore, "store_external_id": colStore, "store": colStore,
	"h3_cell": colCell, "sku": colSKU, "units": colUnits, "stockout_hours": colStockout, "discount": colDiscount}

const (
	colDate = iota
	colStore
	colCell
	colSKU
	colUnits
	colStockout
	colDiscount
	colCount
)

var demandNames = [colCount]string{"date", "external_id", "h3_cell", "sku", "units", "stockout_hours", "discount"}

// demand is one row: what was sold of a SKU in a day at a store, or somewhere in a cell.
type demand struct {
	row                       int
	sku                       string
	store                     int64
	cell                      geo.Cell
	day                       int64
	units, stockout, discount float64
	timed                     bool // stockout is known
}

// ImportDemand keeps the past demand in r, a CSV file with a header: date (2026-11-21), external_id of
// a store or h3_cell (resolution 4 to 9), sku, units, and if known stockout_hours (0 to 24) and
// discount (0 to 1). A record is a line. Good rows are kept when others fail; a row for the same
// day, place and SKU as one kept before replaces it, so the same file again changes nothing. What a
// file says of a day and place counts there instead of the network's own orders (see FoldDemand).
//
// Errors: a *fault.Error when the file as a whole cannot be read.
func (b *Book) ImportDemand(ctx context.Context, r io.Reader, o DemandOptions) (partner.ImportResult, error) {
	im := &demandImport{book: b, options: o, now: b.db.Now(), stores: map[string]int64{}, seen: map[uint64]uint32{}, seed: maphash.MakeSeed()}
	im.result.DryRun = o.DryRun
	err := im.run(ctx, r)
	if untold := partner.NoteImport(context.WithoutCancel(ctx), b.db, "demand", &im.result); err == nil {
		err = untold
	}
	if err != nil && fault.KindOf(err) != fault.Invalid {
		err = fmt.Errorf("the import stopped after %d rows, which are kept; repeat it to do the rest: %w", im.result.Rows(), err)
	}
	return im.result, err
}

type demandImport struct {
	book    *Book
	options DemandOptions
	now     time.Time
	comma   rune
	columns []int             // by position; -1: unknown
	stores  map[string]int64  // by external id
	seen    map[uint64]uint32 // hash of day, place and SKU -> its first row
	seed    maphash.Seed
	result  partner.ImportResult
}

func (im *demandImport) run(ctx context.Context, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxLine), maxLine)
	if !lines.Scan() {
		if err := lines.Err(); err != nil {
			return unreadable(err)
		}
		return fault.InvalidField("", "empty", "the file is empty: a header is needed")
	}
	if err := im.header(strings.TrimPrefix(lines.Text(), "\ufeff")); err != nil {
		return err
	}
	if err := im.book.stores.Each(ctx, func(s partner.Store) error {
		if s.ExternalID != "" {
			im.stores[s.ExternalID] = s.Key
		}
		return nil
	}); err != nil {
		return err
	}
	part := make([]demand, 0, chunk)
	for row := 2; lines.Scan(); row++ {
		line := lines.Text()
		if strings.TrimSpace(line) == "" {
			continue
		}
		if d, ok := im.read(row, line); ok {
			part = append(part, d)
		}
		if len(part) == chunk {
			if err := im.keep(ctx, part); err != nil {
				return err
			}
			part = part[:0]
		}
	}
	if err := im.keep(ctx, part); err != nil {
		return err
	}
	return unreadable(lines.Err())
}

func unreadable(err error) error {
	if errors.Is(err, bufio.ErrTooLong) {
		return fault.InvalidField("", "too-long", "a line is longer than %d bytes: is this a CSV file?", maxLine)
	}
	return err
}

func (im *demandImport) header(line string) error {
	im.comma = ','
	if strings.Count(line, ";") > strings.Count(line, ",") {
		im.comma = ';'
	}
	names, err := im.split(line)
	if err != nil {
		return fault.InvalidField("", "header", "the header cannot be read: %s", err.Error())
	}
	have := [colCount]bool{}
	for _, name := range names {
		col, ok := demandColumns[strings.ToLower(strings.TrimSpace(name))]
		switch {
		case !ok:
			im.result.UnknownColumns = append(im.result.UnknownColumns, name)
			col = -1
		case have[col]:
			return fault.InvalidField("", "header", "two columns say %s", demandNames[col])
		default:
			have[col] = true
		}
		im.columns = append(im.columns, col)
	}
	for _, col := range []int{colDate, colSKU, colUnits} {
		if !have[col] {
			return fault.InvalidField("", "header", "the column %s is missing; needed are date, sku, units and one of external_id and h3_cell", demandNames[col])
		}
	}
	if !have[colStore] && !have[colCell] {
		return fault.InvalidField("", "header", "there is no place: one of the columns external_id and h3_cell is needed")
	}
	return nil
}

func (im *demandImport) split(line string) ([]string, error) {
	if !strings.Contains(line, `"`) {
		return strings.Split(line, string(im.comma)), nil
	}
	r := csv.NewReader(strings.NewReader(line))
	r.Comma = im.comma
	return r.Read()
}

// read is the demand in a line; what is wrong with it is noted.
func (im *demandImport) read(row int, line string) (demand, bool) {
	fields, err := im.split(line)
	if err == nil && len(fields) != len(im.columns) {
		err = fmt.Errorf("%d fields, the header has %d", len(fields), len(im.columns))
	}
	if err != nil {
		im.fail(row, "", "not-csv", "%s", err.Error())
		return demand{}, false
	}
	var cells [colCount]string
	for i, col := range im.columns {
		if col >= 0 {
			cells[col] = strings.TrimSpace(fields[i])
		}
	}
	p := rowReader{im: im, row: row, cells: cells, ok: true}
	d := demand{row: row, sku: cells[colSKU], day: p.day(), units: p.number(colUnits, maxDayUnits), stockout: p.number(colStockout, 24),
		discount: p.number(colDiscount, 1), timed: cells[colStockout] != ""}
	d.store, d.cell = p.place()
	var f fault.Fields
	text(&f, "", d.sku, 64)
	if len(f) > 0 {
		p.wrong(colSKU, f[0].Code, f[0].Detail)
	}
	if p.ok {
		p.once(d)
	}
	if !p.ok {
		im.result.Failed++
	}
	return d, p.ok
}

// rowReader reads one row; ok is false once something was wrong.
type rowReader struct {
	im    *demandImport
	row   int
	cells [colCount]string
	ok    bool
}

func (p *rowReader) wrong(col int, code, detail string) {
	p.ok = false
	p.im.note(p.row, demandNames[col], code, detail)
}

func (p *rowReader) day() int64 {
	t, err := time.Parse(time.DateOnly, p.cells[colDate])
	switch {
	case err != nil:
		p.wrong(colDate, "not-a-date", "a day like 2026-11-21")
	case t.After(p.im.now.Add(24 * time.Hour)):
		p.wrong(colDate, "in-the-future", "demand of a day that has not come")
	case t.Year() < 1971:
		p.wrong(colDate, "out-of-range", "a day since 1971")
	}
	return t.Unix() / (24 * 60 * 60)
}

func (p *rowReader) number(col int, most float64) float64 {
	s := p.cells[col]
	if s == "" && col != colUnits {
		return 0
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(x) || x < 0 || x > most {
		p.wrong(col, "out-of-range", fmt.Sprintf("a number from 0 to %g", most))
		return 0
	}
	return x
}

func (p *rowReader) place() (store int64, cell geo.Cell) {
	external, h3 := p.cells[colStore], p.cells[colCell]
	switch {
	case external != "" && h3 != "":
		p.wrong(colCell, "contradiction", "a row is about a store or a cell, not both")
	case external != "":
		key, ok := p.im.stores[external]
		if !ok {
			p.wrong(colStore, "unknown-store", "no store has this external_id")
		}
		return key, 0
	case h3 != "":
		c, err := geo.ParseCell(h3)
		if err != nil || c.Resolution() < minCellRes || c.Resolution() > geo.MatchRes {
			p.wrong(colCell, "not-a-cell", fmt.Sprintf("an H3 cell of resolution %d to %d", minCellRes, geo.MatchRes))
			return 0, 0
		}
		return 0, c
	default:
		p.wrong(colStore, "required", "a store or a cell is needed")
	}
	return 0, 0
}

// once refuses a second row about the same: which of the two is true?
func (p *rowReader) once(d demand) {
	h := maphash.Comparable(p.im.seed, struct {
		sku         string
		store, cell int64
		day         int64
	}{d.sku, d.store, int64(d.cell), d.day})
	if first, twice := p.im.seen[h]; twice {
		p.wrong(colDate, "duplicate", fmt.Sprintf("row %d is about the same day, place and sku", first))
		return
	}
	if len(p.im.seen) == maxRemembered {
		clear(p.im.seen)
	}
	p.im.seen[h] = uint32(d.row)
}

func (im *demandImport) fail(row int, field, code, format string, args ...any) {
	im.result.Failed++
	im.note(row, field, code, fmt.Sprintf(format, args...))
}

func (im *demandImport) note(row int, field, code, detail string) {
	if len(im.result.Errors) == maxRowErrors {
		im.result.ErrorsOmitted++
		return
	}
	im.result.Errors = append(im.result.Errors, partner.RowError{Row: row, Field: field, Code: code, Detail: detail})
}

// keep writes a part of the rows in one transaction, or finds out what writing would do.
func (im *demandImport) keep(ctx context.Context, part []demand) error {
	var created, updated int
	var err error
	if im.options.DryRun {
		created, updated, err = compare(im.book.db.Read(ctx), part)
	} else {
		err = im.book.db.InTx(ctx, func(tx *db.Tx) (err error) {
			created, updated, err = write(tx, part)
			return err
		})
	}
	if err != nil {
		return err
	}
	im.result.Created += created
	im.result.Updated += updated
	im.result.Unchanged += len(part) - created - updated
	if im.options.Progress != nil {
		im.options.Progress(im.result.Rows())
	}
	return nil
}

// write keeps rows: each counts instead of what the network saw itself, of which only the stock-out
// hours go on counting where the file does not know them.
func write(tx *db.Tx, part []demand) (created, updated int, err error) {
	for _, d := range part {
		n, err := tx.Exec(`INSERT INTO demand (sku, store_key, cell, day, units, stockout_hours, discount, units_imported, hours_imported, own_units,
			own_stockout_hours) VALUES (?, ?, ?, ?, ?, ?, ?, TRUE, ?, 0, 0) ON CONFLICT (sku, store_key, cell, day) DO NOTHING`,
			d.sku, d.store, int64(d.cell), d.day, d.units, d.stockout, d.discount, d.timed)
		if err != nil {
			return 0, 0, err
		}
		if n == 1 {
			created++
			continue
		}
		n, err = tx.Exec(`UPDATE demand SET units = ?, stockout_hours = CASE WHEN ? THEN ? ELSE own_stockout_hours END, discount = ?,
			units_imported = TRUE, hours_imported = ? WHERE sku = ? AND store_key = ? AND cell = ? AND day = ?
			AND (units_imported = FALSE OR hours_imported <> ? OR units <> ? OR hours_imported = TRUE AND stockout_hours <> ? OR discount <> ?)`,
			d.units, d.timed, d.stockout, d.discount, d.timed, d.sku, d.store, int64(d.cell), d.day,
			d.timed, d.units, d.stockout, d.discount)
		if err != nil {
			return 0, 0, err
		}
		updated += int(n)
	}
	return created, updated, nil
}

func compare(q db.Queryer, part []demand) (created, updated int, err error) {
	for _, d := range part {
		var r struct {
			Units    float64
			Stockout float64 `db:"stockout_hours"`
			Discount float64
			Imported bool `db:"units_imported"`
			Timed    bool `db:"hours_imported"`
		}
		err := q.Get(&r, `SELECT units, stockout_hours, discount, units_imported, hours_imported FROM demand
			WHERE sku = ? AND store_key = ? AND cell = ? AND day = ?`, d.sku, d.store, int64(d.cell), d.day)
		switch {
		case errors.Is(err, db.ErrNoRows):
			created++
		case err != nil:
			return 0, 0, err
		case !r.Imported || r.Timed != d.timed || r.Units != d.units || r.Timed && r.Stockout != d.stockout || r.Discount != d.discount:
			updated++
		}
	}
	return created, updated, nil
}
