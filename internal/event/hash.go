package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"doorstep/internal/db"
	"doorstep/internal/seal"
)

// An event's hash is of the hash of its subject's event before it, of what it says, and of its place in
// the log. So whoever holds the hash of the last holds all of them: a change of any, a missing one and one
// put in between show. A subject's first event, and one that follows an event from before there were
// hashes, have zeros before them.

// link is an event's place in the log.
type link struct{ Seq, Prev, Sequence, RecordedAt int64 }

// static digests what an event says, which is known before its place in the log is.
func static(typ string, subject, merchant, store int64, actor string, occurred int64, data string) seal.Digest {
	b := make([]byte, 0, 512)
	b = append(b, "doorstep event\x00"...)
	b = seal.AppendText(b, typ)
	b = seal.AppendInt(b, subject)
	b = seal.AppendInt(b, merchant)
	b = seal.AppendInt(b, store)
	b = seal.AppendText(b, actor)
	b = seal.AppendInt(b, occurred)
	return sha256.Sum256(seal.AppendText(b, data))
}

// hash is computed on the goroutine that writes: two blocks of SHA-256, a fraction of a microsecond.
func (l link) hash(before, static *seal.Digest) seal.Digest {
	b := make([]byte, 0, 128)
	b = append(b, "doorstep link\x00"...)
	b = append(b, before[:]...)
	b = append(b, static[:]...)
	for _, n := range [...]int64{l.Seq, l.Prev, l.Sequence, l.RecordedAt} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return sha256.Sum256(b)
}

// end is the hash of the chain's last event. The chain of a row that was just read does not know it.
func (c *Chain) end(tx *db.Tx) (h seal.Digest, err error) {
	if c.Last == 0 || c.at == c.Last {
		return c.hash, nil
	}
	// A row of the log never changes, so a look that misses only what waits to be written will do; the
	// others of the commit keep their rows back a little longer.
	const query = `SELECT hash FROM event WHERE seq = ?`
	var stored []byte
	if err = tx.Peek(&stored, query, c.Last); errors.Is(err, db.ErrNoRows) {
		err = tx.Get(&stored, query, c.Last)
	}
	if errors.Is(err, db.ErrNoRows) {
		err = nil // the log is damaged, which is for the audit to say and stops no parcel
	}
	copy(h[:], stored)
	return h, err
}

// Hash is e's own hash, given that of its subject's event before it; nil stands for none.
func (e *Event) Hash(before []byte) seal.Digest {
	var h seal.Digest
	copy(h[:], before)
	s := static(e.Type, e.Subject, e.Merchant, e.Store, e.Actor, e.OccurredAt.UnixMilli(), string(e.Data))
	return link{e.Seq, e.Prev, e.Sequence, e.RecordedAt.UnixMilli()}.hash(&h, &s)
}

// Stored is an event with its hash as the log has it: nil of one from before there were hashes.
type Stored struct {
	Event
	Kept []byte
}

type storedRow struct {
	row
	Hash []byte
}

// Look reads one event; db.ErrNoRows when there is none.
func Look(q db.Queryer, seq int64) (Stored, error) {
	var r storedRow
	err := q.Get(&r, `SELECT `+columns+`, hash FROM event WHERE seq = ?`, seq)
	return Stored{r.event(), r.Hash}, err
}

// Page reads at most limit events with after < seq ≤ last, in the order of the log.
func Page(q db.Queryer, after, last int64, limit int) ([]Stored, error) {
	var rows []storedRow
	err := q.Select(&rows, `SELECT `+columns+`, hash FROM event WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`, after, last, limit)
	out := make([]Stored, len(rows))
	for i, r := range rows {
		out[i] = Stored{r.event(), r.Hash}
	}
	return out, err
}

// Follows reports whether e's hash is right when that of the event before it was this.
func (e *Stored) Follows(before []byte) bool {
	h := e.Hash(before)
	return bytes.Equal(h[:], e.Kept)
}
