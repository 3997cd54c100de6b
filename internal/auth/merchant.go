package auth

import (
	"context"
	"errors"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
)

// Get is what is known of a key, without its secret; fault.Missing when there is none.
func (b *Book) Get(ctx context.Context, key int64) (KeyInfo, error) {
	rows, err := before(b.db.Read(ctx), key+1, 1)
	if err != nil {
		return KeyInfo{}, err
	}
	if len(rows) == 0 || rows[0].Key != key {
		return KeyInfo{}, fault.Missing("key")
	}
	return rows[0].info(), nil
}

// FindMerchant is the key of the merchant with a name; ok is false when there is none.
func (b *Book) FindMerchant(ctx context.Context, name string) (key int64, ok bool, err error) {
	err = b.db.Read(ctx).Get(&key, `SELECT key FROM merchant WHERE name = ?`, name)
	if errors.Is(err, db.ErrNoRows) {
		return 0, false, nil
	}
	return key, err == nil, err
}

// NoteMerchant appends an event of type typ to a merchant's story; data names no person. Two who do so at
// once do it one after the other. Errors: fault.Missing.
func NoteMerchant(tx *db.Tx, key int64, typ string, data any) error {
	var c event.Chain
	if err := tx.Get(&c, `SELECT last_event, event_count FROM merchant WHERE key = ?`, key); errors.Is(err, db.ErrNoRows) {
		return fault.Missing("merchant")
	} else if err != nil {
		return err
	}
	count := c.Count
	if err := event.Append(tx, &c, event.New{Type: typ, Subject: key, Merchant: key, Data: data}); err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE merchant SET last_event = ?, event_count = ? WHERE key = ? AND event_count = ?`, c.Last, c.Count, key, count)
	if err == nil && n == 0 {
		return db.ErrAgain
	}
	return err
}
