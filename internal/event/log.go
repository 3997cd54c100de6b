package event

import (
	"context"
	"errors"
	"sync"
	"time"

	"doorstep/internal/db"
)

// idle is how often a waiting reader looks at the log without a sign: another process may write.
const idle = time.Second

// ErrClosed is what waits for the next event end with when the log is closed.
var ErrClosed = errors.New("event: the log is closed")

// Log is the reading side. A reader keeps a cursor, the seq of the last event it has, and asks for
// what lies behind it: After answers at once, Next waits until there is something. The log itself
// keeps nothing per reader, so a slow one costs nobody anything and a lost one is found again by its
// cursor.
type Log struct {
	db   *db.DB
	done chan struct{}
	once sync.Once

	mu   sync.Mutex
	sign chan struct{} // closed at the next commit; nil while nobody waits
}

// NewLog reads the log of d until Close.
func NewLog(d *db.DB) *Log {
	l := &Log{db: d, done: make(chan struct{})}
	d.OnGroup(l.announce)
	return l
}

// Close ends all waiting in Next.
func (l *Log) Close() { l.once.Do(func() { close(l.done) }) }

// Last is the seq of the newest event that can be read, 0 in an empty log.
func (l *Log) Last(ctx context.Context) (int64, error) { return End(ctx, l.db) }

// End is the seq of the newest event in the log of d that can be read, 0 in an empty log: none that is
// written later lies before it.
func End(ctx context.Context, d *db.DB) (int64, error) {
	h, err := d.Horizon(ctx)
	if err != nil {
		return 0, err
	}
	var last int64
	err = d.Read(ctx).Get(&last, `SELECT coalesce(max(seq), 0) FROM event WHERE seq < ?`, h)
	return last, err
}

// After is a page of at most limit events behind the cursor, oldest first, and the cursor for the
// next page.
func (l *Log) After(ctx context.Context, cursor int64, limit int) (events []Event, next int64, err error) {
	h, err := l.db.Horizon(ctx)
	if err != nil {
		return nil, cursor, err
	}
	var rows []row
	if err := l.db.Read(ctx).Select(&rows, `SELECT `+columns+` FROM event WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?`, cursor, h, limit); err != nil {
		return nil, cursor, err
	}
	next = cursor
	for _, r := range rows {
		next = r.Seq
		events = append(events, r.event())
	}
	return events, next, nil
}

// Stores are the stores that events of some types behind a cursor are about, each once, and the cursor to
// ask from next. Of what the events say nothing is read.
func Stores(ctx context.Context, d *db.DB, after int64, types ...string) (stores []int64, next int64, err error) {
	end, err := End(ctx, d)
	if err != nil || end <= after {
		return nil, after, err
	}
	query, args, err := db.In(`SELECT DISTINCT store FROM event WHERE seq > ? AND seq <= ? AND store <> 0 AND type IN (?)`, after, end, types)
	if err == nil {
		err = d.Read(ctx).Select(&stores, query, args...)
	}
	return stores, end, err
}

// Next is After for one who waits: it returns when there is at least one event behind the cursor.
//
// Errors: ctx's when it ends; ErrClosed; what the database says when it fails.
func (l *Log) Next(ctx context.Context, cursor int64, limit int) (events []Event, next int64, err error) {
	for {
		// The sign first: what is committed between the look and the wait has closed it.
		committed := l.committed()
		events, next, err = l.After(ctx, cursor, limit)
		if err != nil || len(events) > 0 {
			return events, next, err
		}
		select {
		case <-ctx.Done():
			return nil, cursor, ctx.Err()
		case <-l.done:
			return nil, cursor, ErrClosed
		case <-committed:
		case <-time.After(idle):
		}
	}
}

// committed is closed at the next commit of this process.
func (l *Log) committed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sign == nil {
		l.sign = make(chan struct{})
	}
	return l.sign
}

// announce runs after each commit, on the writer's goroutine.
func (l *Log) announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sign != nil {
		close(l.sign)
		l.sign = nil
	}
}
