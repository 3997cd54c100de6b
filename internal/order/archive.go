package order

import (
	"context"
	"time"

	"doorstep/internal/db"
)

// archivedAtOnce is how many orders one transaction archives: a few milliseconds of the writer, which
// new orders wait for.
const archivedAtOnce = 500

// Archive takes orders that ended before a time out of the indexes that every new order touches, and
// returns how many. They are found as before, by id, external id and in lists. Running it twice, or on
// two processes, changes nothing more.
func (b *Book) Archive(ctx context.Context, before time.Time) (total int64, err error) {
	for {
		var n int64
		err := b.db.InTx(ctx, func(tx *db.Tx) (err error) {
			// Both statements pick the same rows. In the order of the index they go to, so that those
			// that share a page come together.
			const old = `SELECT key FROM orders WHERE ended_at IS NOT NULL AND archived_at IS NULL AND ended_at < ? ORDER BY ended_at, key LIMIT ?`
			if _, err := tx.Exec(`INSERT INTO archived_external (external_id, merchant_key, order_key)
				SELECT external_id, merchant_key, key FROM orders WHERE key IN (`+old+`) AND external_id IS NOT NULL ORDER BY external_id, merchant_key
				ON CONFLICT (external_id, merchant_key) DO NOTHING`, before.UnixMilli(), archivedAtOnce); err != nil {
				return err
			}
			n, err = tx.Exec(`UPDATE orders SET archived_at = ended_at WHERE key IN (`+old+`)`, before.UnixMilli(), archivedAtOnce)
			return err
		})
		total += n
		if err != nil || n == 0 {
			return total, err
		}
	}
}

// AnyToArchive reports whether Archive would find something.
func (b *Book) AnyToArchive(ctx context.Context, before time.Time) (bool, error) {
	var n int64
	err := b.db.Read(ctx).Get(&n, `SELECT count(*) FROM (SELECT 1 FROM orders WHERE ended_at IS NOT NULL AND archived_at IS NULL AND ended_at < ? LIMIT 1) AS old`,
		before.UnixMilli())
	return n > 0, err
}
