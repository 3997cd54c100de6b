package auth

import (
	"context"
	"errors"
	"time"

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

// Merchant is one who sends orders.
type Merchant struct {
	Key       int64
	Name      string
	CreatedAt time.Time
}

type merchantRow struct {
	Key       int64
	Name      string
	CreatedAt int64 `db:"created_at"`
}

func (r merchantRow) merchant() Merchant {
	return Merchant{r.Key, r.Name, time.UnixMilli(r.CreatedAt).UTC()}
}

// Merchants is a page of them in the order in which they came; cursor is the key of the last one seen.
func (b *Book) Merchants(ctx context.Context, cursor int64, limit int) (merchants []Merchant, more bool, err error) {
	var rows []merchantRow
	if err := b.db.Read(ctx).Select(&rows, `SELECT key, name, created_at FROM merchant WHERE key > ? ORDER BY key LIMIT ?`, cursor, limit+1); err != nil {
		return nil, false, err
	}
	if more = len(rows) > limit; more {
		rows = rows[:limit]
	}
	for _, r := range rows {
		merchants = append(merchants, r.merchant())
	}
	return merchants, more, nil
}

// MerchantsOf are the merchants among keys, which are few.
func (b *Book) MerchantsOf(ctx context.Context, keys []int64) ([]Merchant, error) {
	var rows []merchantRow
	if err := among(b.db.Read(ctx), &rows, `SELECT key, name, created_at FROM merchant WHERE key IN (?)`, keys); err != nil {
		return nil, err
	}
	merchants := make([]Merchant, len(rows))
	for i, r := range rows {
		merchants[i] = r.merchant()
	}
	return merchants, nil
}

// KeysOf are the keys among keys, which are few, without their secrets.
func (b *Book) KeysOf(ctx context.Context, keys []int64) ([]KeyInfo, error) {
	var rows []keyRow
	if err := among(b.db.Read(ctx), &rows, selectKey+`WHERE k.key IN (?)`, keys); err != nil {
		return nil, err
	}
	infos := make([]KeyInfo, len(rows))
	for i, r := range rows {
		infos[i] = r.info()
	}
	return infos, nil
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
