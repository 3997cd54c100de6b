package partner

import (
	"context"
	"slices"
	"time"

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

// PurgeSlotUse forgets the counters of slots that began before a time and that no open assignment
// holds a unit of: nobody can order in them or give anything back. It works in small transactions, so that nobody waits long behind it.
func (b *Book) PurgeSlotUse(ctx context.Context, before time.Time) error {
	for {
		var n int64
		err := b.db.InTx(ctx, func(tx *db.Tx) (err error) {
			n, err = tx.Exec(`DELETE FROM slot_use WHERE (slot, store_key) IN (SELECT slot, store_key FROM slot_use u WHERE slot < ?
				AND NOT EXISTS (SELECT 1 FROM orders o JOIN assignment a ON a.key = o.assignment_key
					WHERE o.store_key = u.store_key AND o.ended_at IS NULL AND a.slot = u.slot AND a.status IN ('offered', 'accepted'))
				LIMIT 2000)`, before.UnixMilli())
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}
