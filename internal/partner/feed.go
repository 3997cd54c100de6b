package partner

import (
	"context"
	"slices"

	"doorstep/internal/db"
)

// LastChange is the place in the log of the newest change of any store: what a follower of
// ChangedSince starts from after it has read them all.
func (b *Book) LastChange(ctx context.Context) (seq int64, err error) {
	err = b.db.Read(ctx).Get(&seq, `SELECT coalesce(max(last_event), 0) FROM store`)
	return seq, err
}

// StockOf is a store's shelf as q sees it, by SKU.
func StockOf(q db.Queryer, storeKey int64) ([]StockLine, error) { return selectStock(q, storeKey) }

// KnownStatus reports whether s is a status of a store.
func KnownStatus(s string) bool { return slices.Contains(statuses, s) }
