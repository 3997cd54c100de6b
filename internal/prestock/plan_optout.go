package prestock

import (
	"context"

	"doorstep/internal/db"
)

// OptOut has a store asked for nothing any more by plans, or takes that back. Tasks it was prompted for
// stay; planned ones go with the next plan, and no shortfall of others is offered to it.
func (b *Book) OptOut(ctx context.Context, store int64, out bool) error {
	if _, err := b.stores.Get(ctx, store); err != nil {
		return err
	}
	return b.db.InTx(ctx, func(tx *db.Tx) (err error) {
		if out {
			_, err = tx.Exec(`INSERT INTO prestock_opt_out (store_key) VALUES (?) ON CONFLICT DO NOTHING`, store)
		} else {
			_, err = tx.Exec(`DELETE FROM prestock_opt_out WHERE store_key = ?`, store)
		}
		return err
	})
}

// OptedOut reports whether plans leave a store out.
func (b *Book) OptedOut(ctx context.Context, store int64) (bool, error) {
	return b.exists(ctx, `prestock_opt_out WHERE store_key = ?`, store)
}

func (b *Book) optedOut(ctx context.Context) (map[int64]bool, error) {
	var keys []int64
	if err := b.db.Read(ctx).Select(&keys, `SELECT store_key FROM prestock_opt_out`); err != nil {
		return nil, err
	}
	out := make(map[int64]bool, len(keys))
	for _, k := range keys {
		out[k] = true
	}
	return out, nil
}
