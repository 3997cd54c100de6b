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

// PurgeSlotUse forgets the slots that are over at now and that no open order holds a unit of: nobody can
// order in them or give anything back, and what a store has to do is found by way of the others. It
// looks beside the writer and deletes in small transactions, so that nobody waits long behind it. What
// is over is claimed no more, so what was found done stays done.
func (b *Book) PurgeSlotUse(ctx context.Context, now time.Time) error {
	q := b.db.Read(ctx)
	var last struct {
		Slot  int64
		Store int64 `db:"store_key"`
	}
	for {
		page := []struct {
			Slot  int64
			Store int64 `db:"store_key"`
		}{}
		if err := q.Select(&page, `SELECT u.slot, u.store_key FROM slot_use u JOIN store s ON s.key = u.store_key
			WHERE (u.slot, u.store_key) > (?, ?) AND u.slot < ? AND u.slot + 60000 * s.slot_minutes <= ? ORDER BY u.slot, u.store_key LIMIT 1000`,
			last.Slot, last.Store, now.UnixMilli(), now.UnixMilli()); err != nil || len(page) == 0 {
			return err
		}
		last = page[len(page)-1]
		done := page[:0]
		for _, s := range page {
			open, err := slotInUse(q, s.Store, s.Slot)
			if err != nil {
				return err
			}
			if !open {
				done = append(done, s)
			}
		}
		if err := b.db.InTx(ctx, func(tx *db.Tx) error {
			for _, s := range done {
				if _, err := tx.Exec(`DELETE FROM slot_use WHERE slot = ? AND store_key = ?`, s.Slot, s.Store); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
}
