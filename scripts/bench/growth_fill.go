package main

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "doorstep/internal/db" // brings the driver
	"doorstep/internal/ident"
	"doorstep/scripts/bench/country"
)

const (
	patternOrders = 1_000     // that are really sent; the past is made of copies of them
	patternStep   = time.Hour // between one copy and the next
	archiveAfter  = 30 * 24 * time.Hour
	pastTag       = "P-" // what external ids begin with; numbers in no order follow
)

// fill gives a database a past of so many orders, all ended and all but the newest tenth
// archived. A thousand go through a server, which leaves the rows as it does; their copies differ in
// keys, times and external ids only, and lie an hour before one another, up to now. Rows go in in the
// order of their keys, as years would have added them.
func (b *bench) fill(path string, stores, orders int) (err error) {
	b.progress("filling in %d orders", orders)
	began, err := b.pattern(path, stores)
	if err != nil {
		return err
	}
	pool, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(1) // the pragmas and temporary tables are a connection's own
	defer func() { err = errors.Join(err, pool.Close()) }()
	f := filler{exec: func(query string, args ...any) error { _, err := pool.ExecContext(b.ctx, query, args...); return err },
		columns: func(table string) ([]string, error) { return columnsOf(pool, table) },
		began:   began, copies: max(1, orders/patternOrders)}
	return f.run()
}

// pattern sends the orders that are copied and ends them. It returns when that began.
func (b *bench) pattern(path string, stores int) (began time.Time, err error) {
	n, err := b.serve(path, "")
	if err != nil {
		return began, err
	}
	defer func() { err = errors.Join(err, n.stop(syscall.SIGTERM)) }()
	began = time.Now()
	if _, err := n.orders(stores, times(patternOrders)...); err != nil {
		return began, err
	}
	byID, _, err := n.someOrders(patternOrders)
	if err != nil {
		return began, err
	}
	for _, order := range byID {
		if err := n.call("POST", order+"/cancel", n.staff, `{"reason":"cancelled_by_merchant"}`, nil); err != nil {
			return began, err
		}
	}
	return began, nil
}

func columnsOf(pool *sql.DB, table string) (names []string, err error) {
	rows, err := pool.Query(`SELECT name FROM pragma_table_info(?)`, table)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// filler copies rows into the past. It knows columns by their names, so that most changes of the
// schema need none here.
type filler struct {
	exec    func(query string, args ...any) error
	columns func(table string) ([]string, error)
	began   time.Time // of the pattern
	copies  int
}

func (f *filler) run() error {
	for _, pragma := range []string{
		// Nobody else has the file open, and a crash costs this run only: no journal, no syncs.
		`PRAGMA journal_mode = DELETE`, `PRAGMA journal_mode = OFF`, `PRAGMA synchronous = OFF`, `PRAGMA locking_mode = EXCLUSIVE`,
		`PRAGMA cache_size = -200000`,
	} {
		if err := f.exec(pragma); err != nil {
			return err
		}
	}
	if err := f.ageStores(); err != nil {
		return err
	}
	for _, table := range []struct{ name, key string }{{"event", "seq"}, {"orders", "key"}, {"assignment", "key"}} {
		if err := f.copy(table.name, table.key); err != nil {
			return fmt.Errorf("%s: %w", table.name, err)
		}
	}
	archived, err := f.columns("archived_external")
	if err != nil || len(archived) == 0 {
		return err
	}
	return f.exec(`INSERT INTO archived_external (external_id, merchant_key, order_key)
		SELECT external_id, merchant_key, key FROM orders WHERE archived_at IS NOT NULL ORDER BY external_id, merchant_key`)
}

// ageStores moves what the log has of stores before all orders: they were there first.
func (f *filler) ageStores() error {
	age := keySpan(time.Duration(f.copies+1) * patternStep)
	first := ident.At(f.began)
	for _, query := range []string{
		`UPDATE event SET seq = seq - ?1, prev = CASE prev WHEN 0 THEN 0 ELSE prev - ?1 END WHERE seq < ?2`,
		`UPDATE store SET last_event = last_event - ?1 WHERE last_event < ?2`,
	} {
		if err := f.exec(query, age, first); err != nil {
			return err
		}
	}
	return nil
}

// copy replaces the pattern's rows of a table by all their copies.
func (f *filler) copy(table, key string) error {
	columns, err := f.columns(table)
	if err != nil {
		return err
	}
	values := make([]string, len(columns))
	for i, c := range columns {
		values[i] = f.value(c)
	}
	first := strconv.FormatInt(ident.At(f.began), 10)
	for _, query := range []string{
		`CREATE TEMP TABLE pattern AS SELECT * FROM ` + table + ` WHERE ` + key + ` >= ` + first + ` ORDER BY ` + key,
		`DELETE FROM ` + table + ` WHERE ` + key + ` >= ` + first,
		// Not JOIN: the oldest copy has to come first.
		`INSERT INTO ` + table + ` (` + strings.Join(columns, ", ") + `)
			WITH RECURSIVE back(n) AS (SELECT ` + strconv.Itoa(f.copies-1) + ` UNION ALL SELECT n - 1 FROM back WHERE n > 0)
			SELECT ` + strings.Join(values, ", ") + ` FROM back CROSS JOIN pattern`,
		`DROP TABLE pattern`,
	} {
		if err := f.exec(query); err != nil {
			return err
		}
	}
	return nil
}

// value is what a column of the copy n steps back has.
func (f *filler) value(column string) string {
	step := patternStep.Milliseconds()
	switch {
	case column == "external_id":
		return fmt.Sprintf(`printf('%s%%012d', ((%d - n) * %d + pattern.rowid) * %d %% 1000000000000)`, pastTag, f.copies, patternOrders, country.Stride)
	case column == "archived_at":
		return fmt.Sprintf(`CASE WHEN n > %d THEN ended_at - n * %d + %d END`, f.copies/10, step, archiveAfter.Milliseconds())
	case slices.Contains([]string{"key", "seq", "prev", "subject", "order_key", "assignment_key", "last_event"}, column):
		return fmt.Sprintf(`CASE %s WHEN 0 THEN 0 ELSE %[1]s - n * %d END`, column, keySpan(patternStep))
	case strings.HasSuffix(column, "_at") || slices.Contains([]string{"slot", "deadline", "window_from", "window_to", "promise_from", "promise_to"}, column):
		return fmt.Sprintf(`%s - n * %d`, column, step)
	}
	return column
}

// keySpan is how much greater a key is that is made so much later.
func keySpan(d time.Duration) int64 {
	t := time.UnixMilli(0)
	return ident.At(t.Add(d)) - ident.At(t)
}
