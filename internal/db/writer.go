package db

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"doorstep/internal/fault"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"
)

// queueLimit bounds the functions that wait: beyond it a sender is better served by a 503 now
// than by an answer after its own timeout.
const queueLimit = 16384

// writer owns SQLite's one writing connection. Functions run on its goroutine, one after the
// other; see the package comment for the drawing.
//
// One function can overstay (it waits for something, against the rules). Then the watchdog
// declares its call overdue, and a new goroutine carries on with the rest of the group where the
// old one got stuck; the old one finds that out when its function returns, and ends.
type writer struct {
	db     *DB
	limit  int
	maxRun time.Duration

	queue  chan *call
	closed chan struct{} // closed by close: no new calls
	done   chan struct{} // closed when the last accepted call is answered
	mu     sync.RWMutex  // held for reading while a call is queued; for writing by close
	shut   bool

	conn    *liteConn // owned by whoever runs the group
	running atomic.Pointer[call]

	functions, groups, failed atomic.Uint64
}

// call is one InTx that waits for its answer.
type call struct {
	ctx     context.Context
	f       func(*Tx) error
	tx      *Tx
	group   []*call
	index   int
	err     error
	answer  chan struct{}
	state   atomic.Int32
	started time.Time
	limit   time.Time
}

// The states of a call. Whoever moves it on by compare-and-swap has the right to go on.
const (
	waiting   int32 = iota
	abandoned       // its sender left before it started
	started
	returned // f came back in time
	expired  // the watchdog gave it up
)

func newWriter(d *DB, limit int, maxRun time.Duration) (*writer, error) {
	w := &writer{db: d, limit: limit, maxRun: maxRun,
		queue: make(chan *call, queueLimit), closed: make(chan struct{}), done: make(chan struct{})}
	conn, err := openLiteConn(d.writes)
	if err != nil {
		return nil, err
	}
	w.conn = conn
	go w.serve()
	go w.watch()
	return w, nil
}

func (w *writer) do(ctx context.Context, f func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return overdue(err)
	}
	c := &call{ctx: ctx, f: f, answer: make(chan struct{})}
	if err := w.enqueue(c); err != nil {
		return err
	}
	select {
	case <-c.answer:
	case <-ctx.Done():
		if c.state.CompareAndSwap(waiting, abandoned) {
			return overdue(ctx.Err())
		}
		// It has started: only the commit tells whether it happened.
		<-c.answer
	}
	return c.err
}

func (w *writer) enqueue(c *call) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.shut {
		return fault.New(fault.Unavailable, "shutting-down", "the server is stopping; try again").After(time.Second)
	}
	select {
	case w.queue <- c:
		return nil
	default:
		return fault.New(fault.Unavailable, "too-busy", "too many changes are waiting; try again").After(time.Second)
	}
}

func (w *writer) close() {
	w.mu.Lock()
	if !w.shut {
		w.shut = true
		close(w.closed)
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.done
}

func (w *writer) stats() Stats {
	return Stats{Functions: w.functions.Load(), Groups: w.groups.Load(), Failed: w.failed.Load(), Queue: len(w.queue)}
}

// serve takes groups off the queue until it is closed and empty.
func (w *writer) serve() {
	for {
		first, ok := <-w.queue
		if !ok {
			w.conn.close()
			close(w.done)
			return
		}
		if !w.commitGroup(w.gather(first)) {
			return // another goroutine serves now
		}
	}
}

// gather takes what waits, yielding while the queue still grows: senders that were answered a
// moment ago are about to ask again, and every one that joins saves an fsync.
func (w *writer) gather(first *call) []*call {
	group := append(make([]*call, 0, 64), first)
	for len(group) < w.limit {
		select {
		case c, ok := <-w.queue:
			if !ok {
				return group
			}
			group = append(group, c)
			continue
		default:
		}
		runtime.Gosched()
		if len(w.queue) == 0 {
			return group
		}
	}
	return group
}

// commitGroup runs a group from its first call. It reports whether this goroutine still serves.
func (w *writer) commitGroup(group []*call) bool {
	for i, c := range group {
		c.group, c.index = group, i
	}
	if err := w.begin(); err != nil {
		w.answer(group, err)
		return true
	}
	return w.runFrom(group, 0)
}

func (w *writer) begin() error {
	if w.conn == nil {
		conn, err := openLiteConn(w.db.writes)
		if err != nil {
			return err
		}
		w.conn = conn
	}
	if err := w.conn.do(`BEGIN IMMEDIATE`); err != nil {
		w.drop(err)
		return err
	}
	// Another process may have written, or the clock stepped back: the log stays in order.
	var last int64
	if err := w.conn.get(&last, `SELECT coalesce(max(seq), 0) FROM event`, nil); err != nil {
		w.drop(err)
		return err
	}
	w.db.keys.Advance(last)
	return nil
}

// runFrom runs the calls of an open group from index i, commits and answers.
func (w *writer) runFrom(group []*call, i int) bool {
	for ; i < len(group); i++ {
		c := group[i]
		if !c.state.CompareAndSwap(waiting, started) {
			c.err = overdue(context.Canceled)
			continue
		}
		if err := w.conn.do(`SAVEPOINT f`); err != nil {
			w.fail(group, err)
			return true
		}
		err := w.run(c)
		if !c.state.CompareAndSwap(started, returned) {
			return false // the watchdog took over while f was out
		}
		w.running.Store(nil)
		if !w.settle(c, err) {
			w.fail(group, c.err)
			return true
		}
	}
	w.commit(group)
	return true
}

// run calls the function, and turns a panic into an error.
func (w *writer) run(c *call) (err error) {
	c.started = time.Now()
	c.limit = c.started.Add(w.maxRun)
	if d, ok := c.ctx.Deadline(); ok && d.Before(c.limit) {
		c.limit = d
	}
	c.tx = &Tx{ctx: c.ctx, db: w.db, now: w.db.Now(), run: w.conn}
	w.running.Store(c)
	w.functions.Add(1)
	defer func() {
		if r := recover(); r != nil {
			buf := make([]byte, 4096)
			w.db.log.Error("panic in a transaction", "panic", r, "stack", string(buf[:runtime.Stack(buf, false)]))
			err = fmt.Errorf("panic in a transaction: %v", r)
		}
	}()
	if err := c.f(c.tx); err != nil {
		return err
	}
	return overdue(c.ctx.Err())
}

// settle keeps or undoes one function's changes. It is false when SQLite gave up the whole group,
// as it does when the disk is full or fails in the middle of a statement.
func (w *writer) settle(c *call, err error) bool {
	c.tx.kill(errDead)
	c.err = Classify(err)
	if err != nil {
		w.failed.Add(1)
		if w.conn.lost() {
			return false
		}
		if err := w.conn.do(`ROLLBACK TO f`); err != nil {
			c.err = Classify(err)
			return false
		}
	}
	if err := w.conn.do(`RELEASE f`); err != nil {
		c.err = Classify(err)
		return false
	}
	return true
}

var errDead = errors.New("db: the transaction has ended")

func (w *writer) commit(group []*call) {
	if err := w.conn.do(`COMMIT`); err != nil {
		w.fail(group, err)
		return
	}
	w.groups.Add(1)
	for _, c := range group {
		if c.err == nil {
			c.tx.announce()
		}
	}
	w.db.wakeFollowers()
	for _, c := range group {
		close(c.answer)
	}
}

// fail undoes the group and answers everyone in it.
func (w *writer) fail(group []*call, err error) {
	w.drop(err)
	w.answer(group, err)
}

func (w *writer) answer(group []*call, err error) {
	err = Classify(err)
	for _, c := range group {
		if c.err == nil {
			c.err = err
		}
		close(c.answer)
	}
}

// drop rolls back and throws the connection away: after a full or failing disk a fresh one starts
// from what is on the disk, so that recovery needs no restart.
func (w *writer) drop(err error) {
	w.db.log.Warn("a group of changes was rolled back", "error", err)
	_ = w.conn.do(`ROLLBACK`)
	w.conn.close()
	w.conn = nil
}

// watch looks for a function that overstays.
func (w *writer) watch() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-w.done:
			return
		case now := <-tick.C:
			c := w.running.Load()
			if c == nil || now.Before(c.limit) || !c.state.CompareAndSwap(started, expired) {
				continue
			}
			w.running.Store(nil)
			w.db.log.Error("a transaction overstayed and was given up", "after", now.Sub(c.started))
			late := overdue(context.DeadlineExceeded)
			c.tx.kill(late) // waits for the statement that runs now
			go func() {
				if !w.settle(c, late) {
					w.fail(c.group, c.err)
				} else if !w.runFrom(c.group, c.index+1) {
					return
				}
				w.serve()
			}()
		}
	}
}

// liteConn is one SQLite connection with its prepared statements.
type liteConn struct {
	conn  *sqlx.Conn
	stmts map[string]*sqlx.Stmt
}

func openLiteConn(p *sqlx.DB) (*liteConn, error) {
	conn, err := p.Connx(context.Background())
	if err != nil {
		return nil, Classify(err)
	}
	c := &liteConn{conn: conn, stmts: map[string]*sqlx.Stmt{}}
	// Fewer, larger checkpoints: 16 MiB of log instead of 4.
	var pages int
	if err := conn.GetContext(context.Background(), &pages, `PRAGMA wal_autocheckpoint = 4000`); err != nil {
		c.close()
		return nil, Classify(err)
	}
	return c, nil
}

func (c *liteConn) close() {
	if c == nil {
		return
	}
	for _, s := range c.stmts {
		_ = s.Close()
	}
	// Tell database/sql not to keep it: what a failed connection holds must not come back.
	_ = c.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.conn.Close()
}

// lost reports whether SQLite has ended the transaction by itself.
func (c *liteConn) lost() bool {
	auto := true
	_ = c.conn.Raw(func(dc any) error {
		auto = dc.(*sqlite3.SQLiteConn).AutoCommit()
		return nil
	})
	return auto
}

// stmt prepares a text once per connection. Statements run under context.Background: the driver
// would otherwise start a goroutine each, and an interrupt would undo the whole group.
func (c *liteConn) stmt(query string) (*sqlx.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	s, err := c.conn.PreparexContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	if len(c.stmts) >= 512 { // expanded IN lists: start over rather than grow for ever
		for _, old := range c.stmts {
			_ = old.Close()
		}
		clear(c.stmts)
	}
	c.stmts[query] = s
	return s, nil
}

func (c *liteConn) do(query string) error {
	_, err := c.exec(query, nil)
	return err
}

func (c *liteConn) exec(query string, args []any) (int64, error) {
	s, err := c.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (c *liteConn) get(dest any, query string, args []any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	return s.GetContext(context.Background(), dest, args...)
}

func (c *liteConn) sel(dest any, query string, args []any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	return s.SelectContext(context.Background(), dest, args...)
}
