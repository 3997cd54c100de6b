package notify

import (
	"context"
	"errors"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

// The kinds of an Exception.
const (
	PushFailed = "push_failed" // no phone of the store got a message
	NotRead    = "not_read"    // the last chance to answer came and nobody had opened the inbox
)

// ExceptionPrefix begins the name of an exception outside.
const ExceptionPrefix = "exc"

// Exception is a store that cannot be told what it is asked, for a person to call. However many
// messages are concerned, a store has one of a kind open. It closes by itself when the store reads,
// answers, or is reached again.
type Exception struct {
	Key      int64
	Store    int64
	Kind     string
	Detail   string // the last time: why
	Subject  int64  // the last time: about what
	Times    int64
	OpenedAt time.Time
	LastAt   time.Time
	ClosedAt *time.Time
}

type exceptionRow struct {
	Key      int64
	Store    int64 `db:"store_key"`
	Kind     string
	Detail   string
	Subject  int64
	Times    int64
	OpenedAt int64  `db:"opened_at"`
	LastAt   int64  `db:"last_at"`
	ClosedAt *int64 `db:"closed_at"`
	event.Chain
}

func (r exceptionRow) exception() Exception {
	return Exception{r.Key, r.Store, r.Kind, r.Detail, r.Subject, r.Times, fromMs(r.OpenedAt), fromMs(r.LastAt), timeOf(r.ClosedAt)}
}

const exceptionColumns = `key, store_key, kind, detail, subject, times, opened_at, last_at, closed_at, last_event, event_count`

// escalate opens an exception, or counts one that is open up. Only the opening is an event.
func escalate(tx *db.Tx, t Told, kind, detail string) error {
	now := tx.Now().UnixMilli()
	n, err := tx.Exec(`UPDATE escalation SET times = times + 1, last_at = ?, detail = ?, subject = ? WHERE store_key = ? AND kind = ? AND closed_at IS NULL`,
		now, detail, t.Subject, t.Store, kind)
	if err != nil || n > 0 {
		return err
	}
	r := exceptionRow{Key: tx.NewKey(), Store: t.Store, Kind: kind, Detail: detail, Subject: t.Subject, Times: 1, OpenedAt: now, LastAt: now}
	if err := tell(tx, &r, "exception.opened"); err != nil {
		return err
	}
	n, err = tx.Exec(`INSERT INTO escalation (`+exceptionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?) ON CONFLICT DO NOTHING`,
		r.Key, r.Store, r.Kind, r.Detail, r.Subject, r.Times, r.OpenedAt, r.LastAt, r.Chain.Last, r.Chain.Count)
	if err == nil && n == 0 {
		err = db.ErrAgain
	}
	return err
}

func tell(tx *db.Tx, r *exceptionRow, what string) error {
	name := tx.Names().Name
	return event.Append(tx, &r.Chain, event.New{Type: what, Subject: r.Key, Store: r.Store, Data: map[string]string{
		"exception_id": name(ExceptionPrefix, r.Key), "store_id": name(ident.Store, r.Store), "kind": r.Kind, "detail": r.Detail,
		"task_id": name(ident.Prestock, r.Subject)}})
}

// closeOpen closes the store's open exceptions of some kinds.
func closeOpen(tx *db.Tx, store int64, kinds ...string) error {
	for _, kind := range kinds {
		var rows []exceptionRow
		if err := tx.Select(&rows, `SELECT `+exceptionColumns+` FROM escalation WHERE store_key = ? AND kind = ? AND closed_at IS NULL`, store, kind); err != nil {
			return err
		}
		for i := range rows {
			if err := closeOne(tx, &rows[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func closeOne(tx *db.Tx, r *exceptionRow) error {
	if err := tell(tx, r, "exception.closed"); err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE escalation SET closed_at = ?, last_event = ?, event_count = ? WHERE key = ? AND closed_at IS NULL`,
		tx.Now().UnixMilli(), r.Chain.Last, r.Chain.Count, r.Key)
	if err == nil && n == 0 {
		err = db.ErrAgain
	}
	return err
}

// Exceptions is a page of the open ones, oldest first, and whether more follow. cursor is the last key
// of the page before.
func (b *Book) Exceptions(ctx context.Context, cursor int64, limit int) ([]Exception, bool, error) {
	var rows []exceptionRow
	if err := b.db.Read(ctx).Select(&rows, `SELECT `+exceptionColumns+` FROM escalation WHERE closed_at IS NULL AND key > ? ORDER BY key LIMIT ?`,
		cursor, limit+1); err != nil {
		return nil, false, err
	}
	list := make([]Exception, min(len(rows), limit))
	for i := range list {
		list[i] = rows[i].exception()
	}
	return list, len(rows) > limit, nil
}

// Exception is one exception, open or closed; fault.Missing when there is none.
func (b *Book) Exception(ctx context.Context, key int64) (Exception, error) {
	var r exceptionRow
	err := b.db.Read(ctx).Get(&r, `SELECT `+exceptionColumns+` FROM escalation WHERE key = ?`, key)
	if errors.Is(err, db.ErrNoRows) {
		return Exception{}, fault.Missing("exception")
	}
	return r.exception(), err
}

// CloseException notes that a person has seen to it; closing again changes nothing. fault.Missing when
// there is none.
func (b *Book) CloseException(ctx context.Context, key int64) (x Exception, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		read := func() (r exceptionRow, err error) {
			err = tx.Get(&r, `SELECT `+exceptionColumns+` FROM escalation WHERE key = ?`, key)
			return r, err
		}
		r, err := read()
		if errors.Is(err, db.ErrNoRows) {
			return fault.Missing("exception")
		}
		if err == nil && r.ClosedAt == nil {
			if err = closeOne(tx, &r); err == nil {
				r, err = read()
			}
		}
		x = r.exception()
		return err
	})
	return x, err
}
