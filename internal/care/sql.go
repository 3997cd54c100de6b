package care

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/order"
)

const columns = `key, order_key, merchant_key, store_key, kind, status, reason, opened_at, opened_by, order_event, order_count,
	order_then, note, answer, resolved_at, resolved_by, last_event, event_count, version`

type row struct {
	Key        int64
	Order      int64 `db:"order_key"`
	Merchant   int64 `db:"merchant_key"`
	Store      int64 `db:"store_key"`
	Kind       string
	Status     string
	Reason     string
	OpenedAt   int64  `db:"opened_at"`
	OpenedBy   string `db:"opened_by"`
	OrderEvent int64  `db:"order_event"`
	OrderCount int64  `db:"order_count"`
	OrderThen  string `db:"order_then"`
	Note       string
	Answer     string
	ResolvedAt *int64 `db:"resolved_at"`
	ResolvedBy string `db:"resolved_by"`
	event.Chain
	Version int64
}

func (r row) incident() (Incident, error) {
	i := Incident{Key: r.Key, Order: r.Order, Merchant: r.Merchant, Store: r.Store, Kind: r.Kind, Status: r.Status, Reason: r.Reason,
		OpenedAt: fromMs(r.OpenedAt), OpenedBy: r.OpenedBy, At: event.Chain{Last: r.OrderEvent, Count: r.OrderCount}, Note: r.Note, Answer: r.Answer,
		ResolvedBy: r.ResolvedBy, Version: r.Version, chain: r.Chain}
	if r.ResolvedAt != nil {
		t := fromMs(*r.ResolvedAt)
		i.ResolvedAt = &t
	}
	if err := json.Unmarshal([]byte(r.OrderThen), &i.Then); err != nil {
		return i, fmt.Errorf("incident %d: %w", r.Key, err)
	}
	return i, nil
}

func fromMs(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func load(q db.Queryer, key int64) (Incident, error) {
	var r row
	if err := q.Get(&r, `SELECT `+columns+` FROM incident WHERE key = ?`, key); errors.Is(err, db.ErrNoRows) {
		return Incident{}, fault.Missing("incident")
	} else if err != nil {
		return Incident{}, err
	}
	return r.incident()
}

func all(q db.Queryer, query string, args ...any) ([]Incident, error) {
	var rows []row
	if err := q.Select(&rows, query, args...); err != nil {
		return nil, err
	}
	out := make([]Incident, len(rows))
	for n, r := range rows {
		var err error
		if out[n], err = r.incident(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func ofOrder(q db.Queryer, key int64) ([]Incident, error) {
	return all(q, `SELECT `+columns+` FROM incident WHERE order_key = ? ORDER BY key`, key)
}

// page reads one incident more than fit.
func page(q db.Queryer, f Filter) ([]Incident, error) {
	where, args := []string{"key > ?"}, []any{f.Cursor}
	switch {
	case len(f.Statuses) == 1 && f.Statuses[0] == Open:
		where = append(where, "status = 'open'") // spelt out, so that the index of the queue serves
	case len(f.Statuses) > 0:
		where = append(where, `status IN (?`+strings.Repeat(`, ?`, len(f.Statuses)-1)+`)`)
		for _, s := range f.Statuses {
			args = append(args, s)
		}
	}
	if f.Kind != "" {
		where, args = append(where, "kind = ?"), append(args, f.Kind)
	}
	return all(q, `SELECT `+columns+` FROM incident WHERE `+strings.Join(where, ` AND `)+` ORDER BY key LIMIT ?`, append(args, f.Limit+1)...)
}

// insert writes a new incident and tells of it.
func insert(tx *db.Tx, i *Incident) error {
	if err := i.note(tx, "opened"); err != nil {
		return err
	}
	then, err := json.Marshal(i.Then)
	if err != nil {
		return err
	}
	i.Version = 1
	n, err := tx.Exec(`INSERT INTO incident (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		i.Key, i.Order, i.Merchant, i.Store, i.Kind, i.Status, i.Reason, i.OpenedAt.UnixMilli(), i.OpenedBy, i.At.Last, i.At.Count, string(then),
		i.Note, i.Answer, i.ResolvedBy, i.chain.Last, i.chain.Count, i.Version)
	if err == nil && n == 0 {
		err = db.ErrAgain
	}
	if err != nil {
		return err
	}
	return tx.Reseal(incidents, `key = ?`, i.Key)
}

// incidents are sealed for package audit.
var incidents = db.NewSealed("incident", columns)

// update writes how an open incident ended.
func update(tx *db.Tx, i *Incident) error {
	n, err := tx.Exec(`UPDATE incident SET status = ?, note = ?, answer = ?, resolved_at = ?, resolved_by = ?, last_event = ?, event_count = ?,
		version = version + 1 WHERE key = ? AND version = ?`,
		i.Status, i.Note, i.Answer, i.ResolvedAt.UnixMilli(), i.ResolvedBy, i.chain.Last, i.chain.Count, i.Key, i.Version)
	if err == nil && n == 0 {
		err = db.ErrAgain
	}
	if err != nil {
		return err
	}
	i.Version++
	return tx.Reseal(incidents, `key = ?`, i.Key)
}

// Erase takes the words out of what was noted and answered about an order; that it was stays.
func Erase(tx *db.Tx, order int64) error {
	n, err := tx.Exec(`UPDATE incident SET note = '', answer = '', version = version + 1 WHERE order_key = ? AND (note <> '' OR answer <> '')`, order)
	if err != nil || n == 0 {
		return err
	}
	return tx.Reseal(incidents, `order_key = ?`, order)
}

type ratingSums struct {
	StoreCount    int64 `db:"store_count"`
	StoreSum      int64 `db:"store_sum"`
	DeliveryCount int64 `db:"delivery_count"`
	DeliverySum   int64 `db:"delivery_sum"`
}

func sums(q db.Queryer, store int64) (s ratingSums, err error) {
	err = q.Get(&s, `SELECT store_count, store_sum, delivery_count, delivery_sum FROM store_rating WHERE store_key = ?`, store)
	if errors.Is(err, db.ErrNoRows) {
		return s, nil
	}
	return s, err
}

// count puts a rating in the place of the one before; no stars are none of either.
func count(tx *db.Tx, store int64, was, is order.Remark) error {
	given := func(stars int) int {
		if stars > 0 {
			return 1
		}
		return 0
	}
	_, err := tx.Exec(`INSERT INTO store_rating (store_key, store_count, store_sum, delivery_count, delivery_sum) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (store_key) DO UPDATE SET store_count = store_rating.store_count + excluded.store_count,
			store_sum = store_rating.store_sum + excluded.store_sum, delivery_count = store_rating.delivery_count + excluded.delivery_count,
			delivery_sum = store_rating.delivery_sum + excluded.delivery_sum`,
		store, given(is.StoreStars)-given(was.StoreStars), is.StoreStars-was.StoreStars, given(is.Stars)-given(was.Stars), is.Stars-was.Stars)
	return err
}
