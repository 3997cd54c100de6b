package partner

import (
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
)

// A shelf is empty of a SKU while it has none that an order may claim: all are reserved, or none is
// there. Since when, until when, is a row in stockout, written in the transaction that takes the last
// unit or brings the next. What an order usually does, which is to leave some, costs what it did:
//
//	claim:    UPDATE … more is available than asked      ──► done
//	          UPDATE … just enough                       ──► done, and a row begins
//	release:  UPDATE … something was available before    ──► done
//	          UPDATE … nothing was                       ──► done, and the row ends
//
// Counted goods look at the shelf afterwards. A pick-up takes as much from on_hand as from reserved and
// so cannot turn anything.

// Stockout is a time during which a store had none of a SKU to give.
type Stockout struct {
	Key       int64
	Store     int64
	SKU       string
	From      time.Time
	CountedTo time.Time  // up to here it is in the history of demand
	To        *time.Time // nil: still
}

// claimLast is a claim that leaves nothing; ok is false when there is not enough.
func claimLast(tx *db.Tx, storeKey int64, it Item) (ok bool, err error) {
	n, err := tx.Exec(`UPDATE stock SET reserved = reserved + ? WHERE store_key = ? AND sku = ? AND on_hand - reserved >= ?`,
		it.Quantity, storeKey, it.SKU, it.Quantity)
	if err != nil || n == 0 {
		return false, err
	}
	return true, beginStockout(tx, storeKey, it.SKU)
}

// releaseFirst is a release to a shelf that may have had nothing; it returns the rows changed.
func releaseFirst(tx *db.Tx, storeKey int64, it Item) (int64, error) {
	n, err := tx.Exec(`UPDATE stock SET reserved = reserved - ? WHERE store_key = ? AND sku = ? AND reserved >= ?`,
		it.Quantity, storeKey, it.SKU, it.Quantity)
	if err != nil || n == 0 {
		return n, err
	}
	return n, endStockout(tx, storeKey, it.SKU)
}

// noteStockout looks at the shelf after its goods were counted.
func noteStockout(tx *db.Tx, storeKey int64, sku string) error {
	if err := endStockout(tx, storeKey, sku); err != nil {
		return err
	}
	return beginStockout(tx, storeKey, sku)
}

// beginStockout begins a row if the shelf is empty and has none. It asks the row that the transaction has
// just changed, and therefore holds.
func beginStockout(tx *db.Tx, storeKey int64, sku string) error {
	now := tx.Now().UnixMilli()
	_, err := tx.Exec(`INSERT INTO stockout (key, store_key, sku, from_at, counted_to, to_at)
		SELECT CAST(? AS BIGINT), store_key, sku, CAST(? AS BIGINT), CAST(? AS BIGINT), NULL FROM stock
		WHERE store_key = ? AND sku = ? AND on_hand <= reserved
		ON CONFLICT (store_key, sku) WHERE to_at IS NULL DO NOTHING`, tx.NewKey(), now, now, storeKey, sku)
	return err
}

// endStockout ends the row, if there is one, of a shelf that is not empty any more.
func endStockout(tx *db.Tx, storeKey int64, sku string) error {
	_, err := tx.Exec(`UPDATE stockout SET to_at = ? WHERE store_key = ? AND sku = ? AND to_at IS NULL
		AND EXISTS (SELECT 1 FROM stock s WHERE s.store_key = stockout.store_key AND s.sku = stockout.sku AND s.on_hand > s.reserved)`,
		tx.Now().UnixMilli(), storeKey, sku)
	return err
}

// Stockouts are up to limit rows behind a key, by key: those that last, and those that are over and not
// counted yet.
func Stockouts(q db.Queryer, after int64, limit int) ([]Stockout, error) {
	var rows []struct {
		Key       int64
		Store     int64 `db:"store_key"`
		SKU       string
		From      int64  `db:"from_at"`
		CountedTo int64  `db:"counted_to"`
		To        *int64 `db:"to_at"`
	}
	if err := q.Select(&rows, `SELECT key, store_key, sku, from_at, counted_to, to_at FROM stockout WHERE key > ? ORDER BY key LIMIT ?`,
		after, limit); err != nil {
		return nil, err
	}
	list := make([]Stockout, len(rows))
	for i, r := range rows {
		list[i] = Stockout{Key: r.Key, Store: r.Store, SKU: r.SKU, From: time.UnixMilli(r.From).UTC(), CountedTo: time.UnixMilli(r.CountedTo).UTC()}
		if r.To != nil {
			t := time.UnixMilli(*r.To).UTC()
			list[i].To = &t
		}
	}
	return list, nil
}

// Carried reports whether a store in a cell, of resolution geo.MatchRes or coarser, has ever counted a SKU on
// its shelf: whether its stock-outs tell when it could not be had there.
func Carried(q db.Queryer, cell geo.Cell, sku string) (bool, error) {
	from, to := geo.Within(cell, geo.MatchRes)
	var n int64
	err := q.Get(&n, `SELECT count(*) FROM (SELECT 1 FROM store s JOIN stock k ON k.store_key = s.key AND k.sku = ?
		WHERE s.cell BETWEEN ? AND ? AND s.removed_at IS NULL LIMIT 1) AS carried`, sku, int64(from), int64(to))
	return n > 0, err
}

// Counted notes that o is counted up to a time; one that is over is forgotten. ok is false when somebody
// else has counted it since it was read.
func (o *Stockout) Counted(tx *db.Tx, until time.Time, over bool) (ok bool, err error) {
	var n int64
	if over {
		n, err = tx.Exec(`DELETE FROM stockout WHERE key = ? AND counted_to = ?`, o.Key, o.CountedTo.UnixMilli())
	} else {
		n, err = tx.Exec(`UPDATE stockout SET counted_to = ? WHERE key = ? AND counted_to = ?`, until.UnixMilli(), o.Key, o.CountedTo.UnixMilli())
	}
	return n == 1, err
}
