package event

import (
	"context"
	"sync"
	"time"

	"doorstep/internal/db"
)

const (
	page    = 500 // events read at once
	mailbox = 256 // events that wait for one follower before it has to read the log itself
	// subjectBox is small: whoever follows one subject catches up with one look at it.
	subjectBox = 4
	idle       = time.Second // how often the log is looked at without a wake-up: another process may write
)

// Log is the reading side: pages for those who poll, a stream for those who follow. One goroutine
// reads each new event once, however many follow.
type Log struct {
	db   *db.DB
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}

	mu        sync.Mutex
	cursor    int64                 // everything up to here has been handed out
	bySubject map[int64][]*follower // those who follow one subject
	wide      map[*follower]bool    // those who follow more
	followers int
}

type follower struct {
	subject int64 // 0: all
	box     chan Event
	missed  chan struct{} // holds one token when the mailbox was full
}

func newFollower(subject int64, box int) *follower {
	return &follower{subject: subject, box: make(chan Event, box), missed: make(chan struct{}, 1)}
}

// NewLog follows the log of d until Close.
func NewLog(d *db.DB) *Log {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Log{db: d, wake: make(chan struct{}, 1), stop: cancel, done: make(chan struct{}),
		bySubject: map[int64][]*follower{}, wide: map[*follower]bool{}}
	d.OnGroup(func() {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	})
	go l.serve(ctx)
	return l
}

// Close ends the streams.
func (l *Log) Close() {
	l.stop()
	<-l.done
}

// Last is the seq of the newest event that can be read, 0 in an empty log.
func (l *Log) Last(ctx context.Context) (int64, error) {
	h, err := l.db.Horizon(ctx)
	if err != nil {
		return 0, err
	}
	var last int64
	err = l.db.Read(ctx).Get(&last, `SELECT coalesce(max(seq), 0) FROM event WHERE seq < ?`, h)
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

// Follow calls deliver for every event behind the cursor, in order, each once, until ctx ends, the
// log closes (nil) or deliver fails.
func (l *Log) Follow(ctx context.Context, cursor int64, deliver func(Event) error) error {
	w := newFollower(0, mailbox)
	if err := l.add(ctx, w); err != nil {
		return err
	}
	defer l.remove(w)
	catchUp := func() error {
		for {
			events, next, err := l.After(ctx, cursor, page)
			if err != nil {
				return err
			}
			for _, e := range events {
				if err := deliver(e); err != nil {
					return err
				}
			}
			if next == cursor {
				return nil
			}
			cursor = next
		}
	}
	if err := catchUp(); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.done:
			return nil
		case <-w.missed:
			if err := catchUp(); err != nil {
				return err
			}
		case e := <-w.box:
			if e.Seq <= cursor {
				continue
			}
			if err := deliver(e); err != nil {
				return err
			}
			cursor = e.Seq
		}
	}
}

// FollowSubject calls changed with the seq of a subject's newest event: at once when that is behind
// the cursor, and then after each change, until ctx ends, the log closes (nil) or changed fails. It
// is for those who show how a subject stands: several events may lead to one call. last reads the
// end of the subject's chain, so no other subject's events are ever looked at.
func (l *Log) FollowSubject(ctx context.Context, subject, cursor int64, last func(context.Context) (int64, error), changed func(seq int64) error) error {
	w := newFollower(subject, subjectBox)
	if err := l.add(ctx, w); err != nil {
		return err
	}
	defer l.remove(w)
	move := func(seq int64) error {
		if seq <= cursor {
			return nil
		}
		cursor = seq
		return changed(seq)
	}
	catchUp := func() error {
		seq, err := last(ctx)
		if err != nil {
			return err
		}
		return move(seq)
	}
	// Registered first and read then: what happens between the two is in the box as well.
	err := catchUp()
	for err == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.done:
			return nil
		case <-w.missed:
			err = catchUp()
		case e := <-w.box:
			err = move(e.Seq)
		}
	}
	return err
}

func (l *Log) add(ctx context.Context, w *follower) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.followers == 0 {
		// Nobody listened, so nothing was read: begin at the present. Nobody must wait for the query.
		l.mu.Unlock()
		present, err := l.Last(ctx)
		l.mu.Lock()
		if err != nil {
			return err
		}
		l.cursor = max(l.cursor, present)
	}
	l.followers++
	if s := w.subject; s != 0 {
		l.bySubject[s] = append(l.bySubject[s], w)
	} else {
		l.wide[w] = true
	}
	return nil
}

func (l *Log) remove(w *follower) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.followers--
	delete(l.wide, w)
	s := w.subject
	if s == 0 {
		return
	}
	kept := l.bySubject[s][:0]
	for _, x := range l.bySubject[s] {
		if x != w {
			kept = append(kept, x)
		}
	}
	if len(kept) == 0 {
		delete(l.bySubject, s)
	} else {
		l.bySubject[s] = kept
	}
}

func (l *Log) serve(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(idle)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-tick.C:
		}
		for l.handOut(ctx) {
		}
	}
}

// handOut reads one page and gives it to the followers; it reports whether there may be more.
func (l *Log) handOut(ctx context.Context) bool {
	l.mu.Lock()
	cursor, listening := l.cursor, l.followers > 0
	l.mu.Unlock()
	if !listening {
		return false
	}
	events, next, err := l.After(ctx, cursor, page)
	if err != nil || len(events) == 0 {
		return false // the tick tries again
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		for _, w := range l.bySubject[e.Subject] {
			w.give(e)
		}
		for w := range l.wide {
			w.give(e)
		}
	}
	l.cursor = max(l.cursor, next)
	return len(events) == page
}

// give never waits: a slow follower is told to read the log itself.
func (w *follower) give(e Event) {
	// After a gap nothing more goes into the box until the follower has seen the gap: it must not
	// get a later event first.
	if len(w.missed) > 0 {
		return
	}
	select {
	case w.box <- e:
	default:
		select {
		case w.missed <- struct{}{}:
		default:
		}
	}
}
