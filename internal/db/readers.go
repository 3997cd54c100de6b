package db

import (
	"context"
	"database/sql"
	"errors"
)

// readers are SQLite connections that read single rows. A look at one row by its key is what most
// requests are, and ten times as quick as a pooled query that can be interrupted: the driver starts a
// watcher for each of those. So a row that is being read is read; only waiting for a connection ends
// with ctx.
type readers struct {
	url  string
	free chan *liteConn // nil ones are yet to be opened
}

// readersAtOnce is enough to keep the cores busy: a read holds its connection for microseconds.
const readersAtOnce = 8

func newReaders(url string) *readers {
	r := &readers{url: url, free: make(chan *liteConn, readersAtOnce)}
	for range readersAtOnce {
		r.free <- nil
	}
	return r
}

func (r *readers) get(ctx context.Context, dest any, query string, args []any) (err error) {
	if err := ctx.Err(); err != nil {
		return overdue(err)
	}
	var c *liteConn
	select {
	case c = <-r.free:
	case <-ctx.Done():
		return overdue(ctx.Err())
	}
	defer func() {
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			c.close() // a fresh one next time, whatever it was
			c = nil
		}
		r.free <- c
	}()
	if c == nil {
		if c, err = openLiteConn(r.url, true); err != nil {
			return err
		}
	}
	return c.get(dest, query, args)
}

// close waits for the reads under way.
func (r *readers) close() {
	for range readersAtOnce {
		(<-r.free).close()
	}
}
