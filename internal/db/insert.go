package db

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync"

	"doorstep/internal/seal"
)

// Table is a table that hot rows are inserted into; see Tx.Insert. Make one per table, as a package
// variable.
type Table struct {
	name    string
	columns []string
	sealed  *seal.Row // nil: its rows carry no seal
	bit     tables
	texts   [together]string // for 1, 2, 3 … rows

	usual []any  // what the last columns of nearly every new row hold
	short *Table // without those columns
}

// Row is a row to insert, which may be made before its transaction begins: what many functions do on
// their senders' goroutines is not done on the one that writes.
type Row struct {
	table  *Table
	values []any       // as the drivers want them
	seal   []byte      // of a sealed table, written by finish
	early  seal.Digest // of what will not be Set any more
	err    error
}

// Row takes a value for each column, but for the seal of a sealed table; those that Usually named may be
// left out together. It keeps values.
func (t *Table) Row(values ...any) Row {
	r := Row{table: t, values: values}
	if t.short != nil && len(values) == len(t.short.columns)-1 {
		r.table = t.short
	}
	if r.err = t.take(values, len(t.usual)); r.err != nil || t.sealed == nil {
		return r
	}
	r.seal = make([]byte, seal.Size)
	if r.table == t.short {
		r.early = seal.Early(t.sealed, values, t.usual...)
	} else {
		r.early = seal.Early(t.sealed, values)
	}
	return r
}

// take makes values what the drivers want, in place. The last few may be missing, all or none.
func (t *Table) take(values []any, missing int) error {
	n := len(t.columns)
	if t.sealed != nil {
		n = len(t.sealed.Columns)
	}
	if len(values) != n && (missing == 0 || len(values) != n-missing) {
		return fmt.Errorf("db: %d values for the columns of %s: %s", len(values), t.name, strings.Join(t.columns, ", "))
	}
	for i, a := range values {
		switch a.(type) {
		case int64, string, float64, nil:
			continue
		}
		v, err := value(a)
		if err != nil {
			return fmt.Errorf("db: %s: %w", t.name, err)
		}
		values[i] = v
	}
	return nil
}

// finish seals a row whose values are all known.
func (r *Row) finish() {
	if s := r.table.sealed; s != nil {
		seal.Finish(s, &r.early, len(s.Columns), r.values, r.seal)
	}
}

// Seal is the seal of a row with these values, one for each column of a sealed table, for whoever
// changes a row: every UPDATE of such a table writes it.
func (t *Table) Seal(values ...any) ([]byte, error) {
	if err := t.take(values, 0); err != nil {
		return nil, err
	}
	return seal.Seal(t.sealed, values), nil
}

// Set changes a value that was not known when the row was made; column is the Table's Column.
// Only a late column of a sealed table may change.
func (r *Row) Set(column int, n int64) { r.values[column] = n }

// Bytes are those of a column of bytes, to be written over before the row is inserted.
func (r *Row) Bytes(column int) []byte { return r.values[column].([]byte) }

// Column is the place of a column by its name.
func (t *Table) Column(name string) int {
	i := slices.Index(t.columns, name)
	if i < 0 {
		panic("db: " + t.name + " has no column " + name)
	}
	return i
}

// together is how many rows go into one statement. The gain is in opening the table and its indexes
// once for all; 16 gets nearly all of it.
const together = 16

// tables is a set of Tables.
type tables uint64

var (
	hotTables   []*Table
	hotTablesMu sync.Mutex
)

// NewTable names a table and the columns that are inserted, comma-separated.
func NewTable(name, columns string) *Table {
	hotTablesMu.Lock()
	defer hotTablesMu.Unlock()
	t := &Table{name: name, columns: strings.Fields(strings.ReplaceAll(columns, ",", " ")), bit: 1 << len(hotTables)}
	if t.bit == 0 {
		panic("db: too many tables")
	}
	row := "(?" + strings.Repeat(", ?", len(t.columns)-1) + ")"
	for i := range t.texts {
		t.texts[i] = fmt.Sprintf(`INSERT INTO %s (%s) VALUES %s`, name, columns, row+strings.Repeat(", "+row, i))
	}
	hotTables = append(hotTables, t)
	return t
}

// NewSealed is NewTable for rows that carry a seal over all their columns (see package seal), in a column
// of that name. late are the columns that are Set. A column that the table gets later stands at the end.
func NewSealed(name, columns string, late ...string) *Table {
	t := NewTable(name, columns+", seal")
	r := seal.NewRow(name, t.columns[:len(t.columns)-1], late...)
	t.sealed = &r
	return t
}

// Usually says what the last columns of nearly every new row hold: the defaults that the schema gives
// them. Such rows are inserted without them, which is quicker by what it takes to bind so many values.
func (t *Table) Usually(values ...any) *Table {
	front := len(t.sealed.Columns) - len(values)
	for _, a := range values {
		v, err := value(a)
		if err != nil {
			panic("db: " + t.name + ": " + err.Error())
		}
		t.usual = append(t.usual, v)
	}
	t.short = NewTable(t.name, strings.Join(t.columns[:front], ", ")+", seal")
	t.short.sealed = t.sealed
	return t
}

// NewEvidence is NewSealed for rows that never change but that personal columns may be erased from later.
// Those are digested by themselves together with the row's salt, so that the digest tells nothing about
// them; once they are erased, it stands in the column kept and the rest can still be checked.
func NewEvidence(name, columns string, personal ...string) *Table {
	t := NewTable(name, columns+", salt, seal")
	sealed := t.columns[:len(t.columns)-1]
	personal = append(personal, "salt")
	var late []string
	for _, c := range sealed {
		if !slices.Contains(personal, c) {
			late = append(late, c)
		}
	}
	r := seal.NewRow(name, sealed, late...)
	r.Evidence = true
	t.sealed = &r
	return t
}

// Sealed are the tables whose rows carry seals, by name.
func Sealed() map[string]*seal.Row {
	hotTablesMu.Lock()
	defer hotTablesMu.Unlock()
	out := map[string]*seal.Row{}
	for _, t := range hotTables {
		if t.sealed != nil {
			out[t.name] = t.sealed
		}
	}
	return out
}

// named are the tables whose names stand in a statement as words; one that only looks like a name
// costs an early flush and nothing else.
func named(query string) (set tables) {
	hotTablesMu.Lock()
	defer hotTablesMu.Unlock()
	words := map[string]bool{}
	for _, w := range strings.FieldsFunc(strings.ToLower(query), func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		words[w] = true
	}
	for _, t := range hotTables {
		if words[t.name] {
			set |= t.bit
		}
	}
	return set
}

// held are the rows of a group that were inserted and are not in the database yet.
type held struct {
	any     tables
	rows    []heldRows // one for each table that ever had some
	flushes int        // since the group began
	refused bool       // a flush failed: the group is spoilt, whatever its functions make of it
}

type heldRows struct {
	table  *Table
	values []driver.NamedValue
}

// mark is a state of held that can be gone back to, until the next flush: how many values each table
// had.
type mark struct {
	lens    [8]int
	flushes int
}

func (h *held) mark() (m mark) {
	m.flushes = h.flushes
	for i := range h.rows {
		m.lens[i] = len(h.rows[i].values)
	}
	return m
}

// reset makes h ready for a group.
func (h *held) reset() {
	h.drop(mark{})
	h.flushes, h.refused = 0, false
}

// drop forgets what came after m.
func (h *held) drop(m mark) {
	h.any = 0
	for i := range h.rows {
		r := &h.rows[i]
		clear(r.values[m.lens[i]:])
		if r.values = r.values[:m.lens[i]]; len(r.values) > 0 {
			h.any |= r.table.bit
		}
	}
}

func (h *held) add(row Row) error {
	t, i := row.table, 0
	for i < len(h.rows) && h.rows[i].table != t {
		i++
	}
	if i == len(h.rows) {
		if i == len(mark{}.lens) {
			return fmt.Errorf("db: %s is one table too many that rows wait for", t.name)
		}
		h.rows = append(h.rows, heldRows{table: t})
	}
	r := &h.rows[i]
	// Numbered as in the statement it will be part of.
	n := len(r.values)%(together*len(t.columns)) + 1
	for i, v := range row.values {
		r.values = append(r.values, driver.NamedValue{Ordinal: n + i, Value: v})
	}
	if row.seal != nil {
		r.values = append(r.values, driver.NamedValue{Ordinal: n + len(row.values), Value: row.seal})
	}
	h.any |= t.bit
	return nil
}

// flush writes all rows that wait.
func (h *held) flush(c *liteConn) error {
	if h.any == 0 {
		return nil
	}
	h.flushes++
	h.refused = true
	for i := range h.rows {
		r := &h.rows[i]
		all := together * len(r.table.columns)
		for from := 0; from < len(r.values); from += all {
			part := r.values[from:min(len(r.values), from+all)]
			s, err := c.stmt(r.table.texts[len(part)/len(r.table.columns)-1])
			if err != nil {
				return err
			}
			if err := c.run(s, part); err != nil {
				return err
			}
		}
	}
	h.drop(mark{})
	h.refused = false
	return nil
}

// liteRunner runs the statements of one function on the writing connection.
type liteRunner struct {
	conn *liteConn
	rows *held
	care bool
}

// before lets a statement see the rows it may ask about.
func (r liteRunner) before(query string) error {
	if r.rows.any == 0 {
		return nil
	}
	s, err := r.conn.stmt(query)
	if err != nil || s.naming&r.rows.any == 0 {
		return err
	}
	return r.rows.flush(r.conn)
}

func (r liteRunner) exec(query string, args []any) (int64, error) {
	if err := r.before(query); err != nil {
		return 0, err
	}
	return r.conn.exec(query, args)
}

func (r liteRunner) get(dest any, query string, args []any) error {
	if err := r.before(query); err != nil {
		return err
	}
	return r.conn.get(dest, query, args)
}

func (r liteRunner) sel(dest any, query string, args []any) error {
	if err := r.before(query); err != nil {
		return err
	}
	return r.conn.sel(dest, query, args)
}

func (r liteRunner) values(f func([]any) error, query string, args []any) error {
	if err := r.before(query); err != nil {
		return err
	}
	return r.conn.values(context.Background(), f, query, args)
}

func (r liteRunner) peek(dest any, query string, args []any) error {
	return r.conn.get(dest, query, args)
}

func (r liteRunner) insert(row Row) error {
	if err := r.rows.add(row); err != nil || !r.care {
		return err
	}
	err := r.rows.flush(r.conn)
	if err != nil {
		r.rows.reset()
	}
	if IsUnique(err) {
		return ErrAgain
	}
	return err
}
