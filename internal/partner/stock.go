package partner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
)

// StockLine is one SKU on a store's shelf.
type StockLine struct {
	SKU      string
	OnHand   int // as counted, less what was picked up since
	Reserved int // promised to orders; more than OnHand when a count found less
}

// Available is how many units an order may still claim.
func (l StockLine) Available() int { return max(0, l.OnHand-l.Reserved) }

// Count says how many units of a SKU lie on the shelf.
type Count struct {
	SKU    string
	OnHand int
}

// Item is how many units of a SKU an order needs.
type Item struct {
	SKU      string
	Quantity int
}

const (
	maxOnHand = 1_000_000
	maxCounts = 10_000 // in one request
	maxSKU    = 64
)

// Stock is what lies on a store's shelf, by SKU.
func (b *Book) Stock(ctx context.Context, key int64) ([]StockLine, error) {
	if _, err := b.Get(ctx, key); err != nil {
		return nil, err
	}
	return selectStock(b.db.Read(ctx), key)
}

// EachStock calls f for every SKU of every store, by store and SKU.
func (b *Book) EachStock(ctx context.Context, f func(storeKey int64, l StockLine) error) error {
	return db.Each(ctx, b.db, func(r stockRow) error { return f(r.StoreKey, r.line()) },
		`SELECT `+stockColumns+` FROM stock ORDER BY store_key, sku`)
}

// EachSlotUse calls f for every slot that begins at from or later and has been used.
func (b *Book) EachSlotUse(ctx context.Context, from time.Time, f func(storeKey int64, slot time.Time, used int) error) error {
	type row struct {
		StoreKey int64 `db:"store_key"`
		Slot     int64
		Used     int
	}
	return db.Each(ctx, b.db, func(r row) error { return f(r.StoreKey, time.UnixMilli(r.Slot).UTC(), r.Used) },
		`SELECT store_key, slot, used FROM slot_use WHERE slot >= ? ORDER BY store_key, slot`, from.UnixMilli())
}

// SetStock takes over what somebody counted: the SKUs in counts, the others stay. What is reserved
// stays reserved, also when fewer units were found. The same count again changes nothing.
//
// A sum above shelf_units is refused with shelf-exceeded, unless the count lowers it: the shelf may
// have been made smaller.
func (b *Book) SetStock(ctx context.Context, key int64, counts []Count) (lines []StockLine, err error) {
	if err := checkCounts(counts); err != nil {
		return nil, err
	}
	counts = slices.SortedFunc(slices.Values(counts), func(a, b Count) int { return cmp.Compare(a.SKU, b.SKU) })
	err = b.inTx(ctx, func(tx *db.Tx) error {
		s, err := lockStore(tx, key)
		if err != nil {
			return err
		}
		if lines, err = selectStock(tx, key); err != nil {
			return err
		}
		news := newCounts(lines, counts)
		if len(news) == 0 {
			return nil
		}
		if err := checkShelf(s.ShelfUnits, lines, news); err != nil {
			return err
		}
		for _, c := range news {
			if err := upsertCount(tx, key, c); err != nil {
				return err
			}
			if err := noteStockout(tx, key, c.SKU); err != nil {
				return err
			}
		}
		lines, err = b.counted(tx, &s, news)
		return err
	})
	if err != nil {
		return nil, err
	}
	return lines, nil
}

// AddStock puts units that arrived at the store, and were counted, on its shelf. They are there, so
// shelf_units does not bound them.
func (b *Book) AddStock(tx *db.Tx, storeKey int64, sku string, units int) error {
	if err := checkCounts([]Count{{sku, units}}); err != nil {
		return err
	}
	if units == 0 {
		return nil
	}
	s, err := lockStore(tx, storeKey)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`INSERT INTO stock (store_key, sku, on_hand, reserved, updated_at) VALUES (?, ?, ?, 0, ?)
		ON CONFLICT (store_key, sku) DO UPDATE SET on_hand = stock.on_hand + excluded.on_hand, updated_at = excluded.updated_at
		WHERE stock.on_hand + excluded.on_hand <= ?`, storeKey, sku, units, tx.Now().UnixMilli(), maxOnHand)
	if err != nil {
		return err
	}
	if n == 0 {
		return fault.InvalidField("/counted_quantity", "out-of-range", "a shelf holds at most %d units of a SKU", maxOnHand)
	}
	if err := noteStockout(tx, storeKey, sku); err != nil {
		return err
	}
	_, err = b.counted(tx, &s, []Count{{SKU: sku}})
	return err
}

// counted writes the event of a count, tells the watchers, and returns the whole shelf.
func (b *Book) counted(tx *db.Tx, s *Store, counts []Count) ([]StockLine, error) {
	lines, err := selectStock(tx, s.Key)
	if err != nil {
		return nil, err
	}
	var told []StockLine
	var items []map[string]any
	for _, c := range counts {
		if i, ok := findSKU(lines, c.SKU); ok {
			told = append(told, lines[i])
			items = append(items, map[string]any{"sku": c.SKU, "on_hand": lines[i].OnHand})
		}
	}
	if err := move(tx, s, "store.stock_counted", map[string]any{"items": items}); err != nil {
		return nil, err
	}
	if err := updateStore(tx, s); err != nil {
		return nil, err
	}
	b.announce(tx, Change{Key: s.Key, Version: s.Version, Stock: told})
	return lines, nil
}

func checkCounts(counts []Count) error {
	var f fault.Fields
	if len(counts) > maxCounts {
		f.Add("/items", "too-many", "at most %d SKUs in one count", maxCounts)
		return f.Err()
	}
	seen := make(map[string]bool, len(counts))
	for i, c := range counts {
		at := "/items/" + strconv.Itoa(i)
		if c.SKU == "" {
			f.Add(at+"/sku", "required", "a SKU is required")
		}
		checkText(&f, at+"/sku", c.SKU, maxSKU)
		if seen[c.SKU] {
			f.Add(at+"/sku", "duplicate", "the SKU is in this count already")
		}
		seen[c.SKU] = true
		if c.OnHand < 0 || c.OnHand > maxOnHand {
			f.Add(at+"/on_hand", "out-of-range", "must be a whole number from 0 to %d", maxOnHand)
		}
	}
	return f.Err()
}

// newCounts is the counts that say something else than lines, which are sorted by SKU.
func newCounts(lines []StockLine, counts []Count) []Count {
	return slices.DeleteFunc(slices.Clone(counts), func(c Count) bool {
		i, ok := findSKU(lines, c.SKU)
		return ok && lines[i].OnHand == c.OnHand
	})
}

func findSKU(lines []StockLine, sku string) (int, bool) {
	return slices.BinarySearchFunc(lines, sku, func(l StockLine, sku string) int { return cmp.Compare(l.SKU, sku) })
}

func checkShelf(units int, lines []StockLine, counts []Count) error {
	before := 0
	for _, l := range lines {
		before += l.OnHand
	}
	after := before
	for _, c := range counts {
		after += c.OnHand
		if i, ok := findSKU(lines, c.SKU); ok {
			after -= lines[i].OnHand
		}
	}
	if units > 0 && after > units && after > before {
		return fault.InvalidField("/items", "shelf-exceeded", "%d units would lie on a shelf for %d: count again, or correct shelf_units", after, units)
	}
	return nil
}

// ClaimSlot takes one unit of the store's slot that begins at slot (see Store.SlotAt), for the assignment
// whose key claimant is: the slot remembers who claimed it last, and prev is who did before, 0 when
// nobody did. ok is false when no unit is left, or when the store takes no orders any more: the rows
// decide and not what the caller knows of them, which another process may have changed. By claim_key: the
// index of that name has all that is asked, so the store's row, which is seldom in the cache, need not be
// read.
func ClaimSlot(tx *db.Tx, storeKey int64, slot time.Time, claimant int64) (prev int64, ok bool, err error) {
	err = tx.Returning(&prev, `INSERT INTO slot_use (store_key, slot, used, last_key)
		SELECT s.claim_key, CAST(? AS BIGINT), 1, CAST(? AS BIGINT) FROM store s WHERE s.claim_key = ? AND s.orders_per_slot > 0 AND s.removed_at IS NULL
			AND (s.status = 'active' OR s.status = 'paused' AND s.paused_until IS NOT NULL AND s.paused_until <= ?)
		ON CONFLICT (store_key, slot) DO UPDATE SET used = slot_use.used + 1, prev_key = slot_use.last_key, last_key = excluded.last_key
			WHERE slot_use.used < (SELECT orders_per_slot FROM store WHERE claim_key = excluded.store_key)
		RETURNING prev_key`, slot.UnixMilli(), claimant, storeKey, tx.Now().UnixMilli())
	if errors.Is(err, db.ErrNoRows) {
		return 0, false, nil
	}
	return prev, err == nil, err
}

// KeepSlot has a slot know the claim of an assignment that is open again after all, though the slot may be
// over, and purged, by now: a store's work is found by way of its slots. No unit is taken, for none was
// given back; nor does anybody else claim of a slot that is over, so a count that is too high hurts nobody.
func KeepSlot(tx *db.Tx, storeKey int64, slot time.Time, claimant int64) error {
	chain, err := claimants(tx, claimant)
	if err != nil {
		return err
	}
	var last int64
	err = tx.Get(&last, `SELECT last_key FROM slot_use WHERE slot = ? AND store_key = ?`, slot.UnixMilli(), storeKey)
	switch {
	case errors.Is(err, db.ErrNoRows):
		_, err = tx.Exec(`INSERT INTO slot_use (slot, store_key, used, last_key) VALUES (?, ?, ?, ?)`, slot.UnixMilli(), storeKey, len(chain), claimant)
	case err == nil && last != claimant && slices.Contains(chain, last): // an earlier one was kept so before
		_, err = tx.Exec(`UPDATE slot_use SET used = ?, last_key = ? WHERE slot = ? AND store_key = ?`, len(chain), claimant, slot.UnixMilli(), storeKey)
	}
	return err
}

// ReleaseSlot gives one unit of a slot back. It fails if none is taken: somebody released twice.
func ReleaseSlot(tx *db.Tx, storeKey int64, slot time.Time) error {
	n, err := tx.Exec(`UPDATE slot_use SET used = used - 1 WHERE store_key = ? AND slot = ? AND used > 0`, storeKey, slot.UnixMilli())
	if err == nil && n == 0 {
		err = fmt.Errorf("partner: no unit of slot %s of store %d is taken", slot.UTC().Format(time.RFC3339), storeKey)
	}
	return err
}

// ClaimStock reserves all items on the store's shelf, or none: ok is false when one of them is not
// available in full.
func ClaimStock(tx *db.Tx, storeKey int64, items []Item) (ok bool, err error) {
	items, err = bySKU(items)
	if err != nil {
		return false, err
	}
	for i, it := range items {
		n, err := tx.Exec(`UPDATE stock SET reserved = reserved + ? WHERE store_key = ? AND sku = ? AND on_hand - reserved > ?`,
			it.Quantity, storeKey, it.SKU, it.Quantity)
		if ok = n == 1; err == nil && !ok {
			ok, err = claimLast(tx, storeKey, it)
		}
		if err != nil {
			return false, err
		}
		if !ok {
			// The caller goes on with another store in the same transaction.
			return false, ReleaseStock(tx, storeKey, items[:i])
		}
	}
	return true, nil
}

// ReleaseStock gives reserved items back to the shelf. It fails if they are not reserved.
func ReleaseStock(tx *db.Tx, storeKey int64, items []Item) error {
	return eachReserved(tx, storeKey, items, func(it Item) (int64, error) {
		n, err := tx.Exec(`UPDATE stock SET reserved = reserved - ? WHERE store_key = ? AND sku = ? AND reserved >= ? AND on_hand > reserved`,
			it.Quantity, storeKey, it.SKU, it.Quantity)
		if err != nil || n == 1 {
			return n, err
		}
		return releaseFirst(tx, storeKey, it)
	})
}

// TakeStock takes reserved items off the shelf: they were picked up. A shelf that was counted too
// low ends at 0. It fails if the items are not reserved.
func TakeStock(tx *db.Tx, storeKey int64, items []Item) error {
	return eachReserved(tx, storeKey, items, func(it Item) (int64, error) {
		return tx.Exec(`UPDATE stock SET reserved = reserved - ?, on_hand = CASE WHEN on_hand > ? THEN on_hand - ? ELSE 0 END
			WHERE store_key = ? AND sku = ? AND reserved >= ?`,
			it.Quantity, it.Quantity, it.Quantity, storeKey, it.SKU, it.Quantity)
	})
}

// PutBackStock lays units that were taken on the shelf again, reserved as before.
func PutBackStock(tx *db.Tx, storeKey int64, items []Item) error {
	items, err := bySKU(items)
	if err != nil {
		return err
	}
	for _, it := range items {
		if _, err := tx.Exec(`INSERT INTO stock (store_key, sku, on_hand, reserved, updated_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (store_key, sku) DO UPDATE SET on_hand = stock.on_hand + excluded.on_hand, reserved = stock.reserved + excluded.reserved`,
			storeKey, it.SKU, it.Quantity, it.Quantity, tx.Now().UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}

func eachReserved(tx *db.Tx, storeKey int64, items []Item, f func(Item) (int64, error)) error {
	items, err := bySKU(items)
	if err != nil {
		return err
	}
	for _, it := range items {
		n, err := f(it)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("partner: %d units of %q are not reserved at store %d", it.Quantity, it.SKU, storeKey)
		}
	}
	return nil
}

// bySKU joins items of one SKU and sorts them: who locks rows in one order cannot deadlock.
func bySKU(items []Item) ([]Item, error) {
	sorted := slices.SortedFunc(slices.Values(items), func(a, b Item) int { return cmp.Compare(a.SKU, b.SKU) })
	joined := sorted[:0]
	for _, it := range sorted {
		if it.Quantity <= 0 {
			return nil, fmt.Errorf("partner: %d units of %q", it.Quantity, it.SKU)
		}
		if n := len(joined); n > 0 && joined[n-1].SKU == it.SKU {
			joined[n-1].Quantity += it.Quantity
			continue
		}
		joined = append(joined, it)
	}
	return joined, nil
}

const stockColumns = `store_key, sku, on_hand, reserved`

type stockRow struct {
	StoreKey int64 `db:"store_key"`
	SKU      string
	OnHand   int `db:"on_hand"`
	Reserved int
}

func (r stockRow) line() StockLine { return StockLine{r.SKU, r.OnHand, r.Reserved} }

// selectStock sorts in Go: PostgreSQL's collation is not the order of bytes that findSKU needs.
func selectStock(q db.Queryer, key int64) ([]StockLine, error) {
	var rows []stockRow
	if err := q.Select(&rows, `SELECT `+stockColumns+` FROM stock WHERE store_key = ?`, key); err != nil {
		return nil, err
	}
	lines := make([]StockLine, len(rows))
	for i, r := range rows {
		lines[i] = r.line()
	}
	slices.SortFunc(lines, func(a, b StockLine) int { return cmp.Compare(a.SKU, b.SKU) })
	return lines, nil
}

func upsertCount(tx *db.Tx, key int64, c Count) error {
	_, err := tx.Exec(`INSERT INTO stock (store_key, sku, on_hand, reserved, updated_at) VALUES (?, ?, ?, 0, ?)
		ON CONFLICT (store_key, sku) DO UPDATE SET on_hand = excluded.on_hand, updated_at = excluded.updated_at`,
		key, c.SKU, c.OnHand, tx.Now().UnixMilli())
	return err
}
