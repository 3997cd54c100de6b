package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// What a change frees within a page is always overwritten. Whole pages that it gives back are so only for
// changes that ask for it: always doing both cost new orders 4 to 8 % of their number a second.
const (
	overwriteLess = `PRAGMA secure_delete = FAST`
	overwriteAll  = `PRAGMA secure_delete = ON`
)

// Overwrite has nothing of what this change overwrites or deletes stay behind in SQLite's file. A change of
// rows that hold personal data begins with it.
func (t *Tx) Overwrite() error {
	if r, lite := t.run.(liteRunner); lite && !r.conn.thorough {
		r.conn.thorough = true
		return r.conn.do(overwriteAll)
	}
	return nil
}

// Settle leaves nothing of the past in the write-ahead log: all of it is copied into the database, where
// what was overwritten is gone (secure_delete), and the log is cut to nothing. Writers wait meanwhile, a
// fraction of a second. PostgreSQL does this by itself, when its checkpoints and VACUUM come.
//
// Errors: context.DeadlineExceeded when readers hold on to the past; nothing is lost by asking again.
func (d *DB) Settle(ctx context.Context) error {
	if d.engine != SQLite {
		return nil
	}
	conn, err := openLiteConn(d.url, false)
	if err != nil {
		return err
	}
	defer conn.close()
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		if l, err := conn.checkpoint("TRUNCATE"); err != nil || l.Busy == 0 {
			return Classify(err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the log is still being read: %w", ctx.Err())
		case <-time.After(min(wait, time.Second)):
		}
	}
}

// Compact writes the whole database anew without what lies between its rows. It takes as long as a
// copy of the file, and nobody can write meanwhile.
func (d *DB) Compact(ctx context.Context) error {
	_, err := d.writes.ExecContext(ctx, `VACUUM`)
	return Classify(err)
}

// Traces are the files of the database in which one of the texts still stands, whoever's it is by now,
// and how many bytes were read. Only SQLite has files of its own.
//
// An error is one of reading a file; fewer files are then judged.
func (d *DB) Traces(ctx context.Context, texts []string) (files []string, read int64, err error) {
	if d.engine != SQLite {
		return nil, 0, nil
	}
	for _, name := range []string{sqlitePath(d.url), sqlitePath(d.url) + "-wal"} {
		found, n, err := traces(ctx, name, texts)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return files, read, err
		}
		read += n
		if found {
			files = append(files, name)
		}
	}
	return files, read, nil
}

func traces(ctx context.Context, name string, texts []string) (found bool, read int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return false, 0, err
	}
	defer f.Close()
	longest := 1
	for _, t := range texts {
		longest = max(longest, len(t))
	}
	buf := make([]byte, 4<<20+longest)
	kept := 0 // the end of the piece before: a text may stand across two
	for {
		n, err := io.ReadFull(f, buf[kept:])
		read += int64(n)
		piece := buf[:kept+n]
		for _, t := range texts {
			if t != "" && bytes.Contains(piece, []byte(t)) {
				found = true
			}
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return found, read, nil
		case err != nil:
			return found, read, err
		case ctx.Err() != nil:
			return found, read, ctx.Err()
		}
		kept = copy(buf, piece[len(piece)-longest+1:])
	}
}
