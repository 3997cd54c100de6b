package prestock

import (
	"math"

	"doorstep/internal/db"
	"doorstep/internal/partner"
)

// unbounded is the room of a store whose shelf is not known.
const unbounded = math.MaxInt64 / 2

// roomOf is what a shelf leaves for tasks, open ones included: shelf_units less the stock.
func roomOf(shelfUnits, onHand int) int {
	if shelfUnits == 0 {
		return unbounded
	}
	return max(0, shelfUnits-onHand)
}

// claimRoom keeps units of the store's shelf for a task, if the tasks there then stay within room;
// negative units give room back, or have the transaction run again. It is one statement, so no two claims get the same room.
func claimRoom(tx *db.Tx, store int64, units, room int) (ok bool, err error) {
	switch {
	case units == 0:
		return true, nil
	case units < 0:
		// Too little there means that somebody else gave the same room back since its task was read.
		n, err := tx.Exec(`UPDATE prestock_room SET units = units - ? WHERE store_key = ? AND units >= ?`, -units, store, -units)
		if err == nil && n == 0 {
			err = db.ErrAgain
		}
		return err == nil, err
	case units > room:
		return false, nil
	}
	n, err := tx.Exec(`INSERT INTO prestock_room (store_key, units) VALUES (?, ?)
		ON CONFLICT (store_key) DO UPDATE SET units = prestock_room.units + excluded.units
		WHERE prestock_room.units + excluded.units <= ?`, store, units, room)
	return n == 1, err
}

// claimed is the room that tasks keep at a store.
func claimed(q db.Queryer, store int64) (int, error) {
	var units []int
	if err := q.Select(&units, `SELECT units FROM prestock_room WHERE store_key = ?`, store); err != nil || len(units) == 0 {
		return 0, err
	}
	return units[0], nil
}

// roomAt is roomOf a store as q sees its stock.
func roomAt(q db.Queryer, store int64, shelfUnits int) (int, error) {
	if shelfUnits == 0 {
		return unbounded, nil
	}
	lines, err := partner.StockOf(q, store)
	if err != nil {
		return 0, err
	}
	onHand := 0
	for _, l := range lines {
		onHand += l.OnHand
	}
	return roomOf(shelfUnits, onHand), nil
}
