package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/ident"
	"doorstep/internal/seal"
)

// Dossier is all that is kept of one order, as it is stored. It comes from a database or from a bundle.
type Dossier struct {
	Order  int64
	Since  int64 // rows with a greater key carry seals and hashes
	Rows   []Row // of the order itself, then of its tables, then of the policy it was made under
	Events []event.Stored
	Gap    int64            // the seq that the walk back from the order's last event did not find, 0: none
	Photos map[string]Photo // by the hash they are kept under
}

// Row is one row as it is stored.
type Row struct {
	Shape  *seal.Row
	Values []any          // of Shape.Columns
	More   map[string]any // what is kept beside them: seal, kept, archived_at
}

// Photo is a picture that the evidence names. Row.Shape is nil when it is missing.
type Photo struct {
	Row  Row
	JPEG []byte // nil: not read
}

func (r *Row) value(column string) any {
	if i := slices.Index(r.Shape.Columns, column); i >= 0 && i < len(r.Values) {
		return r.Values[i]
	}
	return nil
}

func (r *Row) text(column string) string  { s, _ := r.value(column).(string); return s }
func (r *Row) number(column string) int64 { n, _ := r.value(column).(int64); return n }
func (r *Row) bytes(column string) []byte { b, _ := r.More[column].([]byte); return b }

// kind says where rows of an order are.
type kind struct {
	table  string
	of     string // the column that names the order
	prefix string // of its names outside, "": it has none
	more   []string
}

var kinds = []kind{
	{"orders", "key", ident.Order, []string{"archived_at"}},
	{"assignment", "order_key", ident.Assignment, nil},
	{"attempt", "order_key", ident.Dropoff, nil},
	{"dropoff_event", "order_key", "", []string{"kept"}},
	{"remark", "order_key", "rmk", []string{"kept"}},
	{"incident", "order_key", ident.Incident, nil},
	{"scan", "order_key", "", nil},
}

// flags are columns that are TRUE or FALSE. They are read as numbers: one engine's driver takes every
// byte but 0 for TRUE.
var flags = map[string]bool{"confirmed": true, "correction": true, "id_checked": true, "network": true, "moved": true}

// rowsOf reads the rows of a table whose column `of` is key.
func rowsOf(v *db.View, table, of string, key any, more ...string) ([]Row, error) {
	shape := shapes()[table]
	if shape == nil {
		return nil, nil
	}
	more = append([]string{"seal"}, more...)
	var list []string
	for _, c := range slices.Concat(shape.Columns, more) {
		if flags[c] {
			c = "CAST(" + c + " AS INTEGER) AS " + c
		}
		list = append(list, c)
	}
	var rows []Row
	err := v.Rows(func(values []any) error {
		r := Row{Shape: shape, Values: slices.Clone(values[:len(shape.Columns)]), More: map[string]any{}}
		for i, name := range more {
			r.More[name] = values[len(shape.Columns)+i]
		}
		rows = append(rows, r)
		return nil
	}, `SELECT `+strings.Join(list, ", ")+` FROM `+table+` WHERE `+of+` = ? ORDER BY `+shape.Columns[0], key)
	return rows, err
}

// shapes are how the rows of each table are sealed, as their packages say.
var shapes = sync.OnceValue(db.Sealed)

// open reads the dossier of an order. Photos' data is read when pictures is set. ok is false when there is
// no such order.
func open(v *db.View, key, since int64, pictures bool) (d *Dossier, ok bool, err error) {
	d = &Dossier{Order: key, Since: since, Photos: map[string]Photo{}}
	for _, k := range kinds {
		rows, err := rowsOf(v, k.table, k.of, key, k.more...)
		if err != nil {
			return nil, false, err
		}
		if d.Rows = append(d.Rows, rows...); len(d.Rows) == 0 {
			return nil, false, nil
		}
	}
	if policy := d.Rows[0].number("policy_key"); policy != 0 {
		rows, err := rowsOf(v, "merchant_policy", "key", policy)
		if err != nil {
			return nil, false, err
		}
		d.Rows = append(d.Rows, rows...)
	}
	last := d.Rows[0].number("last_event")
	for seq := last; seq != 0; {
		e, err := event.Look(v, seq)
		if errors.Is(err, db.ErrNoRows) {
			d.Gap = seq
			break
		} else if err != nil {
			return nil, false, fmt.Errorf("event %d: %w", seq, err)
		}
		d.Events = append(d.Events, e)
		if e.Prev >= seq {
			break // it leads in a circle: check says so
		}
		seq = e.Prev
	}
	slices.Reverse(d.Events)
	for _, sha := range d.pictures() {
		if d.Photos[sha], err = photo(v, sha, pictures); err != nil {
			return nil, false, err
		}
	}
	return d, true, nil
}

// pictures are the hashes of the photos that the evidence names.
func (d *Dossier) pictures() (list []string) {
	for _, r := range d.of("dropoff_event") {
		for _, column := range []string{"photo", "signature"} {
			if sha := r.text(column); sha != "" && !slices.Contains(list, sha) {
				list = append(list, sha)
			}
		}
	}
	return list
}

func (d *Dossier) of(table string) (rows []Row) {
	for _, r := range d.Rows {
		if r.Shape.Table == table {
			rows = append(rows, r)
		}
	}
	return rows
}

func photo(v *db.View, sha string, data bool) (p Photo, err error) {
	more := []string{}
	if data {
		more = append(more, "data")
	}
	rows, err := rowsOf(v, "photo", "sha256", sha, more...)
	if err != nil || len(rows) == 0 {
		return p, err
	}
	p.Row = rows[0]
	if data {
		if p.JPEG = p.Row.bytes("data"); p.JPEG == nil {
			p.JPEG = []byte{}
		}
		delete(p.Row.More, "data")
	}
	return p, nil
}
