// Package event is the log of what happened.
//
// Every state change appends to it in its own transaction; nobody is called by name. Whoever wants
// to know reads the log with a cursor: a merchant's poll, an SSE stream, the customer's page. A
// row's key is its place in the log, so a cursor is one number and resuming is exact.
package event

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/seal"
)

// Event is one thing that happened.
type Event struct {
	Seq        int64     // place in the log; grows with time
	Prev       int64     // the subject's event before this one, 0 at its first
	Sequence   int64     // 1, 2, 3 … within the subject: a reader sees gaps
	Type       string    // resource.past_tense: order.delivered
	Subject    int64     // key of what it happened to
	Merchant   int64     // whose business it is, 0: nobody's
	Store      int64     // the store concerned, 0: none
	Actor      string    // who did it
	OccurredAt time.Time // when it happened: on a phone, that phone's clock
	RecordedAt time.Time // when we learned of it
	Data       json.RawMessage
}

// New is an event to append. A zero OccurredAt means now; Data is any JSON-able value, and one with a
// method JSON() string is asked for it.
type New struct {
	Type       string
	Subject    int64
	Merchant   int64
	Store      int64
	OccurredAt time.Time
	Data       any
}

// Chain is a subject's end of its own story, kept in the subject's row: Last is the seq of its
// newest event, Count how many there are.
type Chain struct {
	Last  int64 `db:"last_event"`
	Count int64 `db:"event_count"`

	hash seal.Digest // of the event hashed, which is Last while the chain is being written
	at   int64
}

type actorKey struct{}

// WithActor says who acts in ctx: the events of its transactions carry the name.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// Actor is who acts in ctx; "system" when nobody said.
func Actor(ctx context.Context) string {
	if a, ok := ctx.Value(actorKey{}).(string); ok {
		return a
	}
	return "system"
}

// Append writes e to the log and moves the subject's chain on; the caller stores the chain with
// the subject, in the same transaction.
func Append(tx *db.Tx, c *Chain, e New) error {
	r, err := e.Ready(Actor(tx.Context()), tx.Now())
	if err != nil {
		return err
	}
	if tx.Context().Value(partKey{}) != nil {
		r.act = nil
	}
	return r.Append(tx, c)
}

// Ready is an event made ready before its transaction: all but its place in the log.
type Ready struct {
	row    db.Row
	static seal.Digest
	act    *act
}

// Ready makes e ready. Without a time of its own it occurred at now.
func (e New) Ready(actor string, now time.Time) (Ready, error) {
	data := "{}"
	if own, ok := e.Data.(interface{ JSON() string }); ok {
		data = own.JSON()
	} else if e.Data != nil {
		text, err := json.Marshal(e.Data)
		if err != nil {
			return Ready{}, fmt.Errorf("event %s: %w", e.Type, err)
		}
		data = string(text)
	}
	if !e.OccurredAt.IsZero() {
		now = e.OccurredAt
	}
	at := now.UnixMilli()
	return Ready{
		row:    log.Row(0, 0, 0, e.Type, e.Subject, e.Merchant, e.Store, actor, at, 0, data, make([]byte, len(seal.Digest{}))),
		static: static(e.Type, e.Subject, e.Merchant, e.Store, actor, at, data),
		act:    actOf(actor, e.Type, e.Subject),
	}, nil
}

// Append is the function of that name for an event that is ready.
func (r Ready) Append(tx *db.Tx, c *Chain) error {
	before, err := c.end(tx)
	if err != nil {
		return err
	}
	l := link{Seq: tx.NewKey(), Prev: c.Last, Sequence: c.Count + 1, RecordedAt: tx.Now().UnixMilli()}
	h := l.hash(&before, &r.static)
	r.row.Set(seqColumn, l.Seq)
	r.row.Set(prevColumn, l.Prev)
	r.row.Set(sequenceColumn, l.Sequence)
	r.row.Set(recordedColumn, l.RecordedAt)
	copy(r.row.Bytes(hashColumn), h[:])
	if err := tx.InsertRow(r.row); err != nil {
		return err
	}
	if err := r.act.insert(tx, l.Seq); err != nil {
		return err
	}
	*c = Chain{Last: l.Seq, Count: l.Sequence, hash: h, at: l.Seq}
	return nil
}

var (
	log            = db.NewTable("event", columns+", hash")
	seqColumn      = log.Column("seq")
	prevColumn     = log.Column("prev")
	sequenceColumn = log.Column("sequence")
	recordedColumn = log.Column("recorded_at")
	hashColumn     = log.Column("hash")
)

const columns = `seq, prev, sequence, type, subject, merchant, store, actor, occurred_at, recorded_at, data`

type row struct {
	Seq        int64
	Prev       int64
	Sequence   int64
	Type       string
	Subject    int64
	Merchant   int64
	Store      int64
	Actor      string
	OccurredAt int64 `db:"occurred_at"`
	RecordedAt int64 `db:"recorded_at"`
	Data       string
}

func (r row) event() Event {
	return Event{Seq: r.Seq, Prev: r.Prev, Sequence: r.Sequence, Type: r.Type, Subject: r.Subject, Merchant: r.Merchant,
		Store: r.Store, Actor: r.Actor, OccurredAt: time.UnixMilli(r.OccurredAt).UTC(), RecordedAt: time.UnixMilli(r.RecordedAt).UTC(),
		Data: json.RawMessage(r.Data)}
}

// Recent is the end of a story: at most limit events up to last, newest first.
func Recent(q db.Queryer, last int64, limit int) ([]Event, error) {
	var story []Event
	for seq := last; seq != 0 && len(story) < limit; {
		var r row
		if err := q.Get(&r, `SELECT `+columns+` FROM event WHERE seq = ?`, seq); err != nil {
			return nil, err
		}
		story = append(story, r.event())
		seq = r.Prev
	}
	return story, nil
}

// Story is everything that happened to one subject, oldest first, walked back from its last event.
func Story(q db.Queryer, last int64) ([]Event, error) {
	story, err := Recent(q, last, math.MaxInt)
	if err != nil {
		return nil, err
	}
	for i, j := 0, len(story)-1; i < j; i, j = i+1, j-1 {
		story[i], story[j] = story[j], story[i]
	}
	return story, nil
}
