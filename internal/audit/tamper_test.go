package audit_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"doorstep/internal/audit"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/ident"
)

// vandal changes bytes in the file of a database, as somebody with an editor would.
type vandal struct {
	t    *testing.T
	raw  *sql.DB
	rng  *rand.Rand
	rows []victim
}

// victim is a row that may be changed, and the orders that it belongs to.
type victim struct {
	table  string
	rowid  int64
	orders []int64
}

// vandalise opens a database beside the program.
func vandalise(t *testing.T, path string) *vandal {
	t.Helper()
	raw, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=10000")
	must(t, err)
	t.Cleanup(func() { raw.Close() })
	raw.SetMaxOpenConns(1)
	v := &vandal{t: t, raw: raw, rng: rand.New(rand.NewPCG(2026, 11))}
	for _, q := range []struct{ table, query string }{
		{"orders", `SELECT rowid, key FROM orders`},
		{"assignment", `SELECT rowid, order_key FROM assignment`},
		{"attempt", `SELECT rowid, order_key FROM attempt`},
		{"dropoff_event", `SELECT rowid, order_key FROM dropoff_event`},
		{"remark", `SELECT rowid, order_key FROM remark`},
		{"incident", `SELECT rowid, order_key FROM incident`},
		{"scan", `SELECT rowid, order_key FROM scan`},
		{"merchant_policy", `SELECT p.rowid, o.key FROM merchant_policy p JOIN orders o ON o.policy_key = p.key`},
		{"event", `SELECT rowid, subject FROM event WHERE subject IN (SELECT key FROM orders)`},
		{"photo", `SELECT p.rowid, e.order_key FROM photo p JOIN dropoff_event e ON e.photo = p.sha256`},
	} {
		rows, err := raw.Query(q.query)
		must(t, err)
		n := len(v.rows)
		for rows.Next() {
			r := victim{table: q.table, orders: []int64{0}}
			must(t, rows.Scan(&r.rowid, &r.orders[0]))
			v.rows = append(v.rows, r)
		}
		must(t, rows.Close())
		if len(v.rows) == n {
			t.Fatalf("the town has no %s", q.table)
		}
	}
	return v
}

// change flips bits of one random byte of a random column of a random row of a table, and returns what it
// did and how to undo it.
func (v *vandal) change(table string) (r victim, what string, undo func()) {
	v.t.Helper()
	var of []victim
	for _, r := range v.rows {
		if r.table == table {
			of = append(of, r)
		}
	}
	for {
		r := of[v.rng.IntN(len(of))]
		columns := v.columns(table)
		column := columns[v.rng.IntN(len(columns))]
		was := v.read(table, column, r.rowid)
		now, ok := v.flipped(was)
		if !ok {
			continue
		}
		rowid := r.rowid
		if _, err := v.raw.Exec(`UPDATE `+table+` SET `+column+` = `+cast(was)+` WHERE rowid = ?`, now, rowid); err != nil {
			continue // not even the database takes that for a row: a key that is there, an index
		}
		if n := v.exists(table, rowid); !n {
			rowid = now.(int64) // it was the key
		}
		if fmt.Sprint(v.read(table, column, rowid)) == fmt.Sprint(was) {
			continue // -0 is 0
		}
		return r, fmt.Sprintf("%s.%s from %.60q to %.60q", table, column, fmt.Sprint(was), fmt.Sprint(now)), func() {
			v.t.Helper()
			_, err := v.raw.Exec(`UPDATE `+table+` SET `+column+` = `+cast(was)+` WHERE rowid = ?`, was, rowid)
			must(v.t, err)
		}
	}
}

// cast keeps a text a text, whatever bytes are in it.
func cast(was any) string {
	if _, text := was.(string); text {
		return `CAST(? AS TEXT)`
	}
	return `?`
}

func (v *vandal) columns(table string) (names []string) {
	rows, err := v.raw.Query(`SELECT name FROM pragma_table_info(?)`, table)
	must(v.t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		must(v.t, rows.Scan(&name))
		names = append(names, name)
	}
	return names
}

func (v *vandal) exists(table string, rowid int64) bool {
	var n int
	must(v.t, v.raw.QueryRow(`SELECT count(*) FROM `+table+` WHERE rowid = ?`, rowid).Scan(&n))
	return n == 1
}

// read is a value as it is stored: the driver's own ideas of what a column holds are left out.
func (v *vandal) read(table, column string, rowid int64) (value any) {
	v.t.Helper()
	must(v.t, v.raw.QueryRow(`SELECT CASE typeof(`+column+`) WHEN 'null' THEN NULL ELSE `+column+` END FROM `+table+` WHERE rowid = ?`, rowid).Scan(&value))
	return value
}

// flipped is a value with some bits of one byte changed.
func (v *vandal) flipped(was any) (now any, ok bool) {
	flip := func(b []byte) bool {
		if len(b) > 0 {
			b[v.rng.IntN(len(b))] ^= byte(1 + v.rng.IntN(255))
		}
		return len(b) > 0
	}
	var b [8]byte
	switch w := was.(type) {
	case int64:
		binary.BigEndian.PutUint64(b[:], uint64(w))
		flip(b[:])
		return int64(binary.BigEndian.Uint64(b[:])), true
	case float64:
		binary.BigEndian.PutUint64(b[:], math.Float64bits(w))
		flip(b[:])
		f := math.Float64frombits(binary.BigEndian.Uint64(b[:]))
		return f, !math.IsNaN(f) // which is no value there
	case string:
		text := []byte(w)
		return text, flip(text)
	case []byte:
		data := slices.Clone(w)
		return data, flip(data)
	}
	return nil, false
}

// A thousand times one byte of one row or photo is changed: an audit of the order finds it, every time,
// and nothing before or after.
func TestOneChangedByteIsFound(t *testing.T) {
	clock := dbtest.NewClock(noon)
	path := dbtest.URL(t, db.SQLite)
	d, err := db.Open(t.Context(), path, db.Options{Clock: clock.Now})
	must(t, err)
	defer d.Close()
	w := newTown(t, d, clock)
	var keys []int64
	for n := range 30 {
		keys = append(keys, w.live(n))
	}
	w.age()
	for _, n := range []int{0, 2} {
		_, err := w.privacy.Erase(t.Context(), keys[n])
		must(t, err)
	}
	wantClean(t, d)
	v := vandalise(t, path)
	tables := []string{"orders", "assignment", "attempt", "dropoff_event", "remark", "incident", "scan", "merchant_policy", "event", "photo"}
	const changes = 1000
	found := map[string]int{}
	for i := range changes {
		r, what, undo := v.change(tables[i%len(tables)])
		seen, _, err := lookAt(d, r.orders[0])
		if err != nil {
			// An order whose own key was changed is not there any more, which the audit of everything says.
			if r.table != "orders" || !strings.Contains(err.Error(), "not found") {
				t.Fatalf("%s: %v", what, err)
			}
			seen, _ = verify(t, d, audit.Options{})
		}
		strayed := len(seen) == 0 && r.table == "scan" && strings.Contains(what, ".order_key ")
		if strayed { // no event counts an order's scans: that one went elsewhere shows among all
			seen, _ = verify(t, d, audit.Options{})
		}
		if len(seen) == 0 {
			t.Errorf("change %d, %s: not found", i, what)
		}
		name := d.Names().Name(ident.Order, r.orders[0])
		if err == nil && !strayed && !slices.ContainsFunc(seen, func(f audit.Finding) bool { return f.Order == name }) {
			t.Errorf("change %d, %s: %v do not name the order", i, what, seen)
		}
		if slices.ContainsFunc(seen, func(f audit.Finding) bool { return f.Table == r.table }) {
			found[r.table]++
		}
		if i%50 == 0 { // and by the audit of everything
			if all, _ := verify(t, d, audit.Options{}); len(all) == 0 {
				t.Errorf("change %d, %s: not found among all", i, what)
			}
		}
		undo()
		if i%50 == 0 {
			wantClean(t, d)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	wantClean(t, d)
	t.Logf("%d changes, named in their own table: %v", changes, found)
}

func lookAt(d *db.DB, key int64) (found []audit.Finding, sum audit.Summary, err error) {
	sum, err = audit.Verify(context.Background(), d, audit.Options{Order: key}, func(f audit.Finding) error {
		found = append(found, f)
		return nil
	})
	return found, sum, err
}
