package auth

import (
	"context"
	"errors"

	"doorstep/internal/db"
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
