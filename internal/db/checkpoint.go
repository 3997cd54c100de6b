package db

import "sync/atomic"

// checkpointer copies pages from the log into the database beside the writer, on a connection of its
// own: the writer would stand still meanwhile, 60 to 160 ms at a time. The log starts over only at a
// moment at which all of it is copied, and while the writer writes there is none. So the checkpointer
// copies until little is left, and that little the writer copies.
//
//	commit ──► log longer than copyAbove ──► checkpointer copies ──► little is left ──► the writer copies it ──► log starts over
type checkpointer struct {
	db     *DB
	wanted chan struct{}
	ended  chan struct{}
	busy   atomic.Bool // from wanted until the writer had its turn, or the copying failed
	nearly atomic.Bool // little is left: the writer's turn
	above  int         // copyAbove; less in tests
}

// In pages of the log, 4 KiB each. Few and large checkpoints: pages that orders hit at random are written
// into the database once for many commits. Against SQLite's usual 1,000 pages that was worth 9 % of all
// orders a second with 600,000 stores, and copying beside the writer another 9 %.
const (
	copyAbove  = 32_000
	littleLeft = 2_000
	// A log that grows faster than it is copied is the writer's to copy, however long that takes.
	tooLong = 8 * copyAbove
)

func newCheckpointer(d *DB) *checkpointer {
	c := &checkpointer{db: d, above: copyAbove, wanted: make(chan struct{}, 1), ended: make(chan struct{})}
	go c.serve()
	return c
}

// close waits for the copying under way.
func (c *checkpointer) close() {
	close(c.wanted)
	<-c.ended
}

func (c *checkpointer) serve() {
	defer close(c.ended)
	for range c.wanted {
		if err := c.copy(); err != nil {
			c.db.log.Warn("the log could not be copied into the database; it will be tried again", "error", err)
			c.busy.Store(false)
			continue
		}
		c.nearly.Store(true)
	}
}

func (c *checkpointer) copy() error {
	conn, err := openLiteConn(c.db.url, false)
	if err != nil {
		return err
	}
	defer conn.close()
	for range 8 { // more would not catch up either
		if l, err := conn.checkpoint("PASSIVE"); err != nil || l.Pages-l.Copied <= littleLeft {
			return err
		}
	}
	return nil
}

// committed is called behind each commit, by the writer and with its connection.
func (c *checkpointer) committed(conn *liteConn) error {
	if c.nearly.CompareAndSwap(true, false) {
		defer c.busy.Store(false)
		_, err := conn.checkpoint("PASSIVE")
		return err
	}
	l, err := conn.checkpoint("NOOP")
	if err != nil {
		return err
	}
	if l.Pages-l.Copied > tooLong {
		_, err = conn.checkpoint("PASSIVE")
		return err
	}
	if l.Pages-l.Copied > c.above && c.busy.CompareAndSwap(false, true) {
		c.wanted <- struct{}{}
	}
	return nil
}

// logState is how long the log is and how much of it is in the database, in pages.
type logState struct {
	Busy   int
	Pages  int `db:"log"`
	Copied int `db:"checkpointed"`
}

// checkpoint copies what it can without waiting for anybody (PASSIVE), or only looks (NOOP).
func (c *liteConn) checkpoint(how string) (l logState, err error) {
	err = c.get(&l, `PRAGMA wal_checkpoint(`+how+`)`, nil)
	return l, err
}
