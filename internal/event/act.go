package event

import (
	"context"
	"errors"
	"strings"

	"doorstep/internal/db"
)

// An act is an event that somebody answers for: a person who signed in, or a program that changed what
// the network stands on. Each has a row of its own beside the log (see migrations/0021_act.sql), so that
// "who did what" is read without walking the log, and a peak of orders does not bury it. What systems and
// phones do about their own orders is no act: it stands in the order's story.

type act struct {
	kind, actor string
	subject     int64
}

// actOf is the row of an act, nil when the event is none. It is on the way of every order: what merchants'
// keys do about orders is told apart first, and without a look at a map.
func actOf(actor, typ string, subject int64) *act {
	person := strings.HasPrefix(actor, "user:")
	if !person && strings.HasPrefix(typ, "order.") && !othersOrder(typ) {
		return nil
	}
	kind, _, _ := strings.Cut(typ, ".")
	switch {
	case follows(typ) || kind == "custody" || kind == "dropoff":
		return nil
	case person:
	case strings.HasPrefix(actor, "key:"), actor == "command-line", actor == "first-link":
		if typ == "store.stock_counted" || !ofNetwork(kind) && !othersOrder(typ) {
			return nil
		}
	case kind == "device": // a phone that was paired, or gave itself up
	default:
		return nil
	}
	return &act{kind, actor, subject}
}

// follows reports events that only ever come with another one of the same person, which tells more.
func follows(typ string) bool {
	switch typ {
	case "order.offered", "order.confirmed", "order.unassignable", "incident.resolved", "prestock.cancelled", "prestock.released", "prestock.reallocated":
		return true
	}
	return false
}

// ofNetwork reports what a program is answered for, since the network stands on it.
func ofNetwork(kind string) bool {
	switch kind {
	case "key", "account", "merchant", "campaign", "store", "device", "setting", "job", "import":
		return true
	}
	return false
}

// othersOrder reports events of orders that a program is answered for: in a key's name merchants send orders
// by the thousand, but these change an order that somebody else has.
func othersOrder(typ string) bool {
	switch typ {
	case "order.reassigned", "order.code_unlocked", "order.erased", "order.tracking_link_renewed", "order.dispute_upheld", "order.dispute_rejected",
		"order.message_answered":
		return true
	}
	return false
}

func (a *act) insert(tx *db.Tx, seq int64) error {
	if a == nil {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO act (seq, actor, kind, subject) VALUES (?, ?, ?, ?)`, seq, a.actor, a.kind, a.subject)
	return err
}

type partKey struct{}

// WithinAct says that what happens in ctx is part of one act that is told by itself: a file of 20,000
// stores is one import and not 20,000 acts.
func WithinAct(ctx context.Context) context.Context { return context.WithValue(ctx, partKey{}, true) }

// ActFilter narrows the acts; a zero field does not.
type ActFilter struct {
	Actor   string // as in the events
	Kinds   []string
	Subject int64
	Since   int64 // the first seq that counts
	Before  int64 // the first that does not; 0 is the end of the log
	Limit   int
}

// Acts are the newest that fit f, newest first, and whether there are older ones.
func (l *Log) Acts(ctx context.Context, f ActFilter) (acts []Event, more bool, err error) {
	if f.Before == 0 {
		f.Before = 1<<63 - 1
	}
	where, args := `a.seq >= ? AND a.seq < ?`, []any{f.Since, f.Before}
	if f.Actor != "" {
		where, args = where+` AND a.actor = ?`, append(args, f.Actor)
	}
	if f.Subject != 0 {
		where, args = where+` AND a.subject = ?`, append(args, f.Subject)
	}
	if len(f.Kinds) > 0 {
		where += ` AND a.kind IN (?` + strings.Repeat(`, ?`, len(f.Kinds)-1) + `)`
		for _, kind := range f.Kinds {
			args = append(args, kind)
		}
	}
	var rows []row
	if err := l.db.Read(ctx).Select(&rows, `SELECT e.seq, e.prev, e.sequence, e.type, e.subject, e.merchant, e.store, e.actor, e.occurred_at,
		e.recorded_at, e.data FROM act a JOIN event e ON e.seq = a.seq WHERE `+where+` ORDER BY a.seq DESC LIMIT ?`, append(args, f.Limit+1)...); err != nil {
		return nil, false, err
	}
	if more = len(rows) > f.Limit; more {
		rows = rows[:f.Limit]
	}
	for _, r := range rows {
		acts = append(acts, r.event())
	}
	return acts, more, nil
}

// NoteMatter appends an event about what has no row of its own: a setting, a job, an import. name is the
// matter's and stays; data names no person. Two who do so at once do it one after the other.
func NoteMatter(tx *db.Tx, name, typ string, data any) error {
	var m struct {
		Key int64
		Chain
	}
	const query = `SELECT key, last_event, event_count FROM matter WHERE name = ?`
	err := tx.Get(&m, query, name)
	if errors.Is(err, db.ErrNoRows) {
		if _, err := tx.Exec(`INSERT INTO matter (key, name, last_event, event_count) VALUES (?, ?, 0, 0) ON CONFLICT (name) DO NOTHING`, tx.NewKey(), name); err != nil {
			return err
		}
		err = tx.Get(&m, query, name)
	}
	if err != nil {
		return err
	}
	count := m.Count
	if err := Append(tx, &m.Chain, New{Type: typ, Subject: m.Key, Data: data}); err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE matter SET last_event = ?, event_count = ? WHERE key = ? AND event_count = ?`, m.Last, m.Count, m.Key, count)
	if err == nil && n == 0 {
		return db.ErrAgain
	}
	return err
}
