package order

import (
	"errors"
	"time"

	"doorstep/internal/db"
)

// madeBetween narrows w to the keys that orders made after and until two moments can have; a zero moment is no bound.
// No index is kept by time of creation, but keys come in its order, some waiting for the writer aside: without
// this, who asks for an old day would read every order since.
func madeBetween(q db.Queryer, w *where, after, until time.Time) error {
	if !after.IsZero() {
		key, err := firstSince(q, after.Add(-Settled))
		if err != nil {
			return err
		}
		w.and("key >= ?", key)
	}
	if !until.IsZero() {
		key, err := firstSince(q, until.Add(Settled))
		if err != nil {
			return err
		}
		w.and("key < ?", key)
	}
	return nil
}

// firstSince is a key that parts the orders made before t from those made since. It halves what may hold the
// place, some 50 times in a year's orders.
func firstSince(q db.Queryer, t time.Time) (int64, error) {
	type made struct {
		Key int64
		At  int64 `db:"created_at"`
	}
	var last made
	err := q.Get(&last, `SELECT key, created_at FROM orders ORDER BY key DESC LIMIT 1`)
	if errors.Is(err, db.ErrNoRows) {
		return 0, nil
	}
	lo, hi := int64(0), last.Key+1
	for err == nil && lo < hi {
		var next made
		mid := lo + (hi-lo)/2
		switch err = q.Get(&next, `SELECT key, created_at FROM orders WHERE key >= ? ORDER BY key LIMIT 1`, mid); {
		case err == nil && next.At < t.UnixMilli():
			lo = next.Key + 1
		case err == nil:
			hi = mid
		}
	}
	return hi, err
}
