package db

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"doorstep/internal/fault"
)

// queueLimit bounds the functions that wait: beyond it a sender is better served by a 503 now
// than by an answer after its own timeout.
const queueLimit = 16384

// writer owns SQLite's one writing connection. Functions run on its goroutine, one after the
// other; see the package comment for the drawing.
//
// A group runs in hope first: without savepoints, and with new rows held back (see Tx.Insert). Both
// cost more than what they guard against, since functions seldom fail after they have written. When
// one does, the whole group is undone and runs again with care, a savepoint for each.
//
// One function can overstay (it waits for something, against the rules). Then the watchdog
// declares its call overdue, and a new goroutine runs the group again without it; the old one finds
// that out when its function returns, and ends.
type writer struct {
	db     *DB
	limit  int
	maxRun time.Duration

	queue  chan *call
	closed chan struct{} // closed by close: no new calls
	done   chan struct{} // closed when the last accepted call is answered
	mu     sync.RWMutex  // held for reading while a call is queued; for writing by close
	shut   bool

	log     *checkpointer
	conn    *liteConn // owned by whoever runs the group
	rows    held      // of the group that runs; likewise
	wary    int       // so many groups more run with care from the start
	watched sync.Mutex
	running *call // guarded by watched: the one whose function is out now, and nil before it runs again

	functions, groups, redone, failed atomic.Uint64
	cpu                               atomic.Int64 // ns
}

// warily is how many groups run with care after one that had to: a sender of requests that fail after
// they have written makes every group run once, and not twice.
const warily = 8

// group is the calls that share a commit.
type group struct {
	calls []*call
	care  bool
}

// call is a function that waits for its answer.
type call struct {
	ctx     context.Context
	f       func(*Tx) error
	tx      *Tx
	group   *group
	err     error
	sender  *sender
	state   atomic.Int32
	started time.Time
	limit   time.Time
}

// sender waits for the answers to all its calls.
type sender struct {
	left     atomic.Int32
	answered chan struct{}
}

func (c *call) answer() {
	if c.sender.left.Add(-1) == 0 {
		close(c.sender.answered)
	}
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
	conn, err := openLiteConn(d.url, false)
	if err != nil {
		return nil, err
	}
	w.conn, w.log = conn, newCheckpointer(d)
	go w.serve()
	go w.watch()
	return w, nil
}

func (w *writer) do(ctx context.Context, f func(*Tx) error) error {
	var c [1]call
	c[0].f = f
	if err := w.doAll(ctx, c[:]); err != nil {
		return err
	}
	return c[0].err
}

// doAll has the writer run calls and waits for their errors. Its own error says that none of them ran.
func (w *writer) doAll(ctx context.Context, calls []call) error {
	if err := ctx.Err(); err != nil {
		return overdue(err)
	}
	s := &sender{answered: make(chan struct{})}
	s.left.Store(int32(len(calls)))
	for i := range calls {
		c := &calls[i]
		c.ctx, c.sender = ctx, s
		if err := w.enqueue(c); err != nil {
			c.err = err
			c.answer()
		}
	}
	select {
	case <-s.answered:
		return nil
	case <-ctx.Done():
	}
	left := 0
	for i := range calls {
		if calls[i].state.CompareAndSwap(waiting, abandoned) {
			left++
		}
	}
	if left == len(calls) {
		return overdue(ctx.Err())
	}
	// Some have started: only the commit tells whether they happened.
	<-s.answered
	return nil
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
	return Stats{Functions: w.functions.Load(), Groups: w.groups.Load(), Redone: w.redone.Load(), Failed: w.failed.Load(), Queue: len(w.queue), CPU: time.Duration(w.cpu.Load())}
}

// serve takes groups off the queue until it is closed and empty.
func (w *writer) serve() {
	for {
		first, ok := <-w.queue
		if !ok {
			w.log.close()
			w.conn.close()
			close(w.done)
			return
		}
		g := &group{calls: w.gather(first), care: w.wary > 0}
		if g.care {
			w.wary--
		}
		for _, c := range g.calls {
			c.group = g
		}
		if !w.clocked(g, w.perform) {
			return // another goroutine serves now
		}
	}
}

// crowd is a group large enough not to wait for more: a commit is dear for ten and cheap for hundreds,
// and a yield may cost the writer milliseconds.
const crowd = 256

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
		if len(group) >= crowd {
			return group
		}
		runtime.Gosched()
		if len(w.queue) == 0 {
			return group
		}
	}
	return group
}

// clocked counts the processor time of f. The goroutine keeps its thread meanwhile, so the thread's time
// is its own.
func (w *writer) clocked(g *group, f func(*group) bool) bool {
	runtime.LockOSThread()
	began := threadCPU()
	defer func() {
		w.cpu.Add(int64(threadCPU() - began))
		runtime.UnlockOSThread()
	}()
	return f(g)
}

// perform runs a group, commits it and answers. It reports whether this goroutine still serves.
func (w *writer) perform(g *group) bool {
	if err := w.begin(); err != nil {
		w.answer(g, err)
		return true
	}
	for _, c := range g.calls {
		switch w.try(g, c) {
		case settled:
		case taken:
			return false
		case spoilt:
			return w.again(g)
		case broken:
			w.fail(g, c.err)
			return true
		}
	}
	if err := w.rows.flush(w.conn); err != nil {
		if !g.care && !w.conn.lost() {
			return w.again(g)
		}
		w.fail(g, err)
		return true
	}
	w.commit(g)
	return true
}

// again runs a group with care that hope did not carry through.
func (w *writer) again(g *group) bool {
	if g.care {
		panic("db: a group run with care came to run again")
	}
	if err := w.conn.do(`ROLLBACK`); err != nil {
		w.fail(g, err)
		return true
	}
	w.redone.Add(1)
	w.wary = warily
	g.care = true
	for _, c := range g.calls {
		// Those that were abandoned or given up stay so.
		if c.state.CompareAndSwap(returned, waiting) {
			c.err, c.tx = nil, nil
		}
	}
	return w.perform(g)
}

func (w *writer) begin() error {
	if w.conn == nil {
		conn, err := openLiteConn(w.db.url, false)
		if err != nil {
			return err
		}
		w.conn = conn
	}
	if w.conn.thorough {
		w.conn.thorough = false
		if err := w.conn.do(overwriteLess); err != nil {
			w.drop(err)
			return err
		}
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
	w.rows.reset()
	return nil
}

// What became of one call.
type outcome int

const (
	settled outcome = iota // done, or refused without a trace
	spoilt                 // it failed and left traces: the group must be undone
	taken                  // the watchdog took over while the function was out
	broken                 // SQLite gave up the whole group, as it does when the disk is full
)

// try runs one call and keeps its changes, or undoes them.
func (w *writer) try(g *group, c *call) outcome {
	if !c.state.CompareAndSwap(waiting, started) {
		if c.err == nil {
			c.err = overdue(context.Canceled)
		}
		return settled
	}
	if g.care {
		return w.carefully(c)
	}
	before := w.rows.mark()
	err := w.run(c, false)
	if !c.state.CompareAndSwap(started, returned) {
		return taken
	}
	w.out(nil)
	c.tx.kill(errDead)
	switch {
	case err == nil && !w.rows.refused:
		return settled
	case w.conn.lost():
		c.err = Classify(err)
		return broken
	case errors.Is(err, ErrAgain), c.tx.wrote, w.rows.flushes > before.flushes:
		return spoilt
	}
	// It changed no row yet, and those it holds back are easily forgotten.
	w.rows.drop(before)
	w.failed.Add(1)
	c.err = Classify(err)
	return settled
}

// carefully is try inside a savepoint. What asks to be run again runs again at once: the others of
// the group have had their turn or wait for it.
func (w *writer) carefully(c *call) outcome {
	for try := 1; ; try++ {
		if err := w.conn.do(`SAVEPOINT f`); err != nil {
			c.err = err
			return broken
		}
		err := w.run(c, true)
		if !c.state.CompareAndSwap(started, returned) {
			return taken
		}
		w.out(nil)
		c.tx.kill(errDead)
		if err == nil {
			c.err = w.conn.do(`RELEASE f`)
		} else if c.err = Classify(err); !w.conn.lost() {
			if undo := errors.Join(w.conn.do(`ROLLBACK TO f`), w.conn.do(`RELEASE f`)); undo != nil {
				c.err = Classify(undo)
				return broken
			}
		}
		switch {
		case w.conn.lost(), err == nil && c.err != nil:
			return broken
		case err == nil:
			return settled
		case !errors.Is(err, ErrAgain) || try == maxTries:
			w.failed.Add(1)
			return settled
		}
		c.err = nil
		c.state.Store(started)
	}
}

// run calls the function, and turns a panic into an error.
func (w *writer) run(c *call, care bool) (err error) {
	c.started = time.Now()
	c.limit = c.started.Add(w.maxRun)
	if d, ok := c.ctx.Deadline(); ok && d.Before(c.limit) {
		c.limit = d
	}
	c.tx = &Tx{ctx: c.ctx, db: w.db, now: w.db.Now(), run: liteRunner{w.conn, &w.rows, care}}
	w.out(c)
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
	if c.tx.failed != nil {
		return c.tx.failed
	}
	return overdue(c.ctx.Err())
}

var errDead = errors.New("db: the transaction has ended")

func (w *writer) commit(g *group) {
	if err := w.conn.do(`COMMIT`); err != nil {
		w.fail(g, err)
		return
	}
	w.groups.Add(1)
	if err := w.log.committed(w.conn); err != nil {
		w.db.log.Warn("the log could not be copied into the database", "error", err)
	}
	for _, c := range g.calls {
		if c.err == nil {
			c.tx.announce()
		}
	}
	w.db.wakeFollowers()
	for _, c := range g.calls {
		c.answer()
	}
}

// fail undoes the group and answers everyone in it.
func (w *writer) fail(g *group, err error) {
	w.drop(err)
	w.answer(g, err)
}

func (w *writer) answer(g *group, err error) {
	err = Classify(err)
	for _, c := range g.calls {
		if c.err == nil {
			c.err = err
		}
		c.answer()
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
			c := w.overstayer(now)
			if c == nil {
				continue
			}
			w.db.log.Error("a transaction overstayed and was given up", "after", now.Sub(c.started))
			late := overdue(context.DeadlineExceeded)
			c.tx.kill(late) // waits for the statement that runs now
			c.err = late
			w.failed.Add(1)
			go func() {
				if w.clocked(c.group, w.resume) {
					w.serve()
				}
			}()
		}
	}
}

// out tells the watchdog whose function is out; nil when it has returned.
func (w *writer) out(c *call) {
	w.watched.Lock()
	w.running = c
	w.watched.Unlock()
}

// overstayer gives the call up whose function is out for too long. The lock keeps the runs of a call apart:
// the limit of one must not end the next.
func (w *writer) overstayer(now time.Time) *call {
	w.watched.Lock()
	defer w.watched.Unlock()
	c := w.running
	if c == nil || now.Before(c.limit) || !c.state.CompareAndSwap(started, expired) {
		return nil
	}
	w.running = nil
	return c
}

// resume runs a group again from its start whose watched function was given up.
func (w *writer) resume(g *group) bool {
	if !g.care {
		return w.again(g)
	}
	if err := w.conn.do(`ROLLBACK`); err != nil {
		w.fail(g, err)
		return true
	}
	for _, c := range g.calls {
		if c.state.CompareAndSwap(returned, waiting) {
			c.err, c.tx = nil, nil
		}
	}
	return w.perform(g)
}
