package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/ident"
)

// writer measures the CPU that the one goroutine which writes spends on an order, against a loop that
// does nothing but insert the rows which orders left behind.
func (b *bench) writer() (err error) {
	stores, orders := b.manyStores(), b.size(60_000, 2_000)
	base, err := b.stocked(stores)
	if err != nil {
		return err
	}
	copied, err := b.copyOf(base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(copied))) }()
	began, many, few, err := b.written(copied, stores, orders)
	if err != nil {
		return err
	}
	tables, err := b.leftBehind(copied, began, orders)
	if err != nil {
		return err
	}
	b.progress("the same rows in a bare loop")
	var bare, alone []float64
	for range b.size(3, 1) {
		for _, crowded := range []bool{true, false} {
			cpu, err := b.insertAll(tables, orders, crowded)
			if err != nil {
				return err
			}
			each := cpu.Seconds() / float64(orders) * 1e6
			if crowded {
				bare = append(bare, each)
			} else {
				alone = append(alone, each)
			}
		}
	}
	b.report(goal{ID: "P4", Value: many.cpu / median(bare), Floor: 2, Goal: 1.3, Less: true,
		What: fmt.Sprintf("CPU of the writer for an order, %.0f a commit (batches) / the same rows inserted by a bare prepared loop in groups of 1,000", many.group),
		Notes: map[string]float64{"writer_us": many.cpu, "bare_us": median(bare), "bare_on_idle_machine_us": median(alone),
			"orders_a_commit": many.group, "single_writer_us": few.cpu, "single_orders_a_commit": few.group}})
	b.info("P4 with one order a request, 64 connections, %.0f a commit: %.2f times the bare loop", few.group, few.cpu/median(bare))
	return nil
}

// wrote is what the writer spent on an order, in microseconds of CPU, and how many shared a commit.
type wrote struct{ cpu, group float64 }

// written sends orders to a server on a database: one a request, and then, since began, by the thousand,
// so that as many wait for the writer as the bare loop commits at once.
func (b *bench) written(path string, stores, orders int) (began time.Time, many, few wrote, err error) {
	n, err := b.serve(path, "")
	if err != nil {
		return began, many, few, err
	}
	defer func() { err = errors.Join(err, n.stop(syscall.SIGTERM)) }()
	b.progress("orders through the writer")
	if _, err := n.orders(stores, forSeconds(b.seconds(3))...); err != nil {
		return began, many, few, err
	}
	measured := func(send func() (loaded, error)) (w wrote, err error) {
		cpu, commits := counter{n, "doorstep_write_cpu_seconds_total"}, counter{n, "doorstep_write_commits_total"}
		c0, err0 := cpu.read()
		g0, err1 := commits.read()
		l, err2 := send()
		c1, err3 := cpu.read()
		g1, err4 := commits.read()
		return wrote{(c1 - c0) / float64(l.Orders) * 1e6, float64(l.Orders) / (g1 - g0)}, errors.Join(err0, err1, err2, err3, err4)
	}
	// No goods: what is counted down on a shelf is no new row that a loop could insert.
	if few, err = measured(func() (loaded, error) { return n.orders(stores, append(times(orders), "-items", "0")...) }); err != nil {
		return began, many, few, err
	}
	time.Sleep(10 * time.Millisecond) // keys are told apart by the millisecond
	began = time.Now()
	many, err = measured(func() (loaded, error) {
		return n.load("batches", n.merchants, append(n.drawn(stores), append(times(orders), "-items", "0", "-conns", "4")...)...)
	})
	return began, many, few, err
}

// counter is a metric of a server.
type counter struct {
	n    *network
	name string
}

func (c counter) read() (float64, error) { return c.n.metric(c.name) }

// rows are those of one table, in the order of their keys.
type rows struct {
	insert string
	values [][]driver.NamedValue
}

// leftBehind reads the rows that orders sent since then have left.
func (b *bench) leftBehind(path string, since time.Time, orders int) (tables []rows, err error) {
	pool, err := sql.Open("sqlite3", "file:"+path+"?_query_only=1")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	first := ident.At(since)
	for _, t := range []struct{ table, query string }{
		{"orders", `SELECT * FROM orders WHERE key >= ? ORDER BY key`},
		{"assignment", `SELECT * FROM assignment WHERE key >= ? ORDER BY key`},
		{"event", `SELECT * FROM event WHERE seq >= ? ORDER BY seq`},
		// In the order in which the orders filled them; fewer, as orders share them.
		{"slot_use", `SELECT u.* FROM slot_use u JOIN (SELECT store_key, slot, min(key) AS first FROM assignment WHERE key >= ? GROUP BY store_key, slot) a
			ON a.store_key = u.store_key AND a.slot = u.slot ORDER BY a.first`},
	} {
		read, err := b.read(pool, t.table, t.query, first)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.table, err)
		}
		// At some hours all stores around a customer are closed: that order has no assignment.
		if len(read.values) < orders*95/100 && t.table != "slot_use" {
			return nil, fmt.Errorf("%d orders left only %d rows in %s", orders, len(read.values), t.table)
		}
		tables = append(tables, read)
	}
	return tables, nil
}

func (b *bench) read(pool *sql.DB, table, query string, from int64) (out rows, err error) {
	found, err := pool.QueryContext(b.ctx, query, from)
	if err != nil {
		return out, err
	}
	defer func() { _ = found.Close() }()
	columns, err := found.Columns()
	if err != nil {
		return out, err
	}
	out.insert = `INSERT INTO ` + table + ` (` + strings.Join(columns, ", ") + `) VALUES (?` + strings.Repeat(", ?", len(columns)-1) + `)`
	for found.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := found.Scan(into...); err != nil {
			return out, err
		}
		row := make([]driver.NamedValue, len(values))
		for i, v := range values {
			row[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
		}
		out.values = append(out.values, row)
	}
	return out, found.Err()
}

// insertAll inserts rows into a new database of the same schema and settings, in as many groups as
// there are thousands of orders, straight through the driver, and returns the CPU it took. When
// crowded is true the other processor is busy meanwhile, as it is beside the server's writer: two
// that share a core, as those of rented machines do, slow each other down.
func (b *bench) insertAll(tables []rows, orders int, crowded bool) (took time.Duration, err error) {
	folder, err := os.MkdirTemp(b.dir, "bare-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	path := filepath.Join(folder, "doorstep.db")
	d, err := db.Open(b.ctx, path, db.Options{})
	if err != nil {
		return 0, err
	}
	if err := d.Close(); err != nil {
		return 0, err
	}
	// As internal/db opens it.
	pool, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL&_synchronous=FULL&_foreign_keys=on&_cache_size=-64000&_txlock=immediate")
	if err != nil {
		return 0, err
	}
	pool.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, pool.Close()) }()
	if _, err := pool.ExecContext(b.ctx, `PRAGMA wal_autocheckpoint = 4000`); err != nil {
		return 0, err
	}
	conn, err := pool.Conn(b.ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	if crowded {
		ctx, stop := context.WithCancel(b.ctx)
		defer stop()
		go spin(ctx)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := threadCPU()
	err = conn.Raw(func(c any) error { return insertInGroups(c.(driver.Conn), tables, max(1, orders/1000)) })
	return threadCPU() - began, err
}

func insertInGroups(conn driver.Conn, tables []rows, groups int) error {
	inserts := make([]driver.StmtExecContext, len(tables))
	for i, t := range tables {
		s, err := conn.Prepare(t.insert)
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		inserts[i] = s.(driver.StmtExecContext)
	}
	for g := range groups {
		tx, err := conn.(driver.ConnBeginTx).BeginTx(context.Background(), driver.TxOptions{})
		if err != nil {
			return err
		}
		for i, t := range tables {
			n := len(t.values)
			for _, row := range t.values[n*g/groups : n*(g+1)/groups] {
				// Without an end of the context the driver starts no goroutine for each.
				if _, err := inserts[i].ExecContext(context.Background(), row); err != nil {
					return err
				}
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// spin keeps a processor busy in the way of a server: some arithmetic, some memory.
func spin(ctx context.Context) {
	memory := make([]float64, 1<<18)
	for ctx.Err() == nil {
		for i := range memory {
			memory[i] = math.Sqrt(memory[i*7919%len(memory)] + float64(i))
		}
	}
}

// threadCPU is the time of this thread on processors.
func threadCPU() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		panic(err) // the arguments are constants
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
