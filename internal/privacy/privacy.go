// Package privacy takes recipients out of the books, on demand and when their time is over.
//
//	orders, evidence, photos, remarks, stored answers ──Erase──► one transaction ──► Settle: the log is cut
//	                                                                                  │
//	                        the files are read and must not hold the texts ◄── Prove ─┘
//
// What an order proves survives: the log holds no personal data, so its chain of hashes is not touched,
// and evidence is sealed by digests that stay (see internal/audit).
package privacy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"doorstep/internal/care"
	"doorstep/internal/db"
	"doorstep/internal/dropoff"
	"doorstep/internal/ident"
	"doorstep/internal/job"
	"doorstep/internal/order"
)

// Book erases.
type Book struct {
	db     *db.DB
	orders *order.Book
	rule   time.Duration // how long after its end an order keeps its recipient; 0: for ever

	traces atomic.Bool // something may have been erased since the log was cut last
	wake   func()
}

// NewBook erases from d, orders of merchants without a rule of their own after keep (0: never).
func NewBook(d *db.DB, orders *order.Book, keep time.Duration) *Book {
	b := &Book{db: d, orders: orders, rule: keep, wake: func() {}}
	b.traces.Store(true) // of what a process before erased, and was ended before it cut the log
	return b
}

// OnErased has f called after each erasure: a job that cuts the log soon.
func (b *Book) OnErased(f func()) { b.wake = f }

// Erase takes the recipient of an ended order out of everything that is kept of it. It cannot be undone;
// erasing again changes nothing.
//
// Errors: those of order.Erase; fault.Missing when there is no such order.
func (b *Book) Erase(ctx context.Context, key int64) (order.Order, error) {
	answers, err := b.answersAbout(ctx, key)
	if err != nil {
		return order.Order{}, err
	}
	return b.eraseWith(ctx, key, answers)
}

func (b *Book) eraseWith(ctx context.Context, key int64, answers []int64) (order.Order, error) {
	var erased order.Order // read only when the function is known to be over
	err := b.db.InTx(ctx, func(tx *db.Tx) error {
		o, err := order.Lock(tx, key)
		if err == nil && o.ErasedAt == nil {
			err = b.erase(tx, &o, answers)
		}
		erased = o
		return err
	})
	if err != nil {
		return order.Order{}, err
	}
	return erased, nil
}

func (b *Book) erase(tx *db.Tx, o *order.Order, answers []int64) error {
	if err := dropoff.Erase(tx, o.Key); err != nil {
		return err
	}
	if err := care.Erase(tx, o.Key); err != nil {
		return err
	}
	if err := forget(tx, answers); err != nil {
		return err
	}
	tx.OnCommit(func() { b.traces.Store(true); b.wake() })
	return order.Erase(tx, o)
}

// answersAbout are the stored answers of keyed requests that speak of an order: they are kept for a day,
// and a repeat of an old request stores a fresh one.
func (b *Book) answersAbout(ctx context.Context, key int64) (rows []int64, err error) {
	since := ident.Time(key).Add(-time.Hour)
	if kept := time.Now().Add(-answersKept); since.Before(kept) { // keys are made by the wall clock
		since = kept
	}
	name := []byte(b.db.Names().Name(ident.Order, key))
	type row struct {
		Key, Owner int64
		Body       []byte
	}
	err = db.Each(ctx, b.db, func(r row) error {
		if r.Owner == key || bytes.Contains(r.Body, name) { // the customer's own requests belong to the order
			rows = append(rows, r.Key)
		}
		return nil
	}, `SELECT key, owner, body FROM idempotency WHERE key >= ? ORDER BY key`, ident.At(since))
	return rows, err
}

// answersKept is longer than the server keeps its answers.
const answersKept = 48 * time.Hour

// forget leaves of the answers that their keys were used: a late repeat is still none.
func forget(tx *db.Tx, rows []int64) error {
	for _, key := range rows {
		if _, err := tx.Exec(`UPDATE idempotency SET request_hash = '', body = ? WHERE key = ?`, []byte{}, key); err != nil {
			return err
		}
	}
	return nil
}

// Retain erases what has been kept long enough, and returns how many orders that were. Whoever repeated a
// request about one of them within the last day has her in a stored answer for another one.
func (b *Book) Retain(ctx context.Context) (n int, err error) {
	for {
		keys, err := b.orders.Outlived(ctx, b.db.Now(), b.rule, 1000)
		if err != nil || len(keys) == 0 {
			return n, err
		}
		for _, key := range keys {
			if _, err := b.eraseWith(ctx, key, nil); err != nil {
				return n, fmt.Errorf("order %d: %w", key, err)
			}
			n++
		}
	}
}

// photoWaits is how long a photo waits for the event that names it: phones are offline for days, not weeks.
const photoWaits = 14 * 24 * time.Hour

func (b *Book) dropPhotos(ctx context.Context) error {
	for {
		n := 0
		err := b.db.InTx(ctx, func(tx *db.Tx) (err error) {
			n, err = dropoff.EraseUnused(tx, tx.Now().Add(-photoWaits), 20)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
		b.traces.Store(true)
	}
}

// Settle cuts the database's log if something was erased since it last was.
func (b *Book) Settle(ctx context.Context) error {
	if !b.traces.Swap(false) {
		return nil
	}
	err := b.db.Settle(ctx)
	if err != nil {
		b.traces.Store(true)
	}
	return err
}

// JobName is what the job is called that Retain and Settle run under.
const JobName = "erase"

// Job erases once an hour what has outlived its time. Its number of orders a run has no limit: each is a
// transaction of its own, and stopping in between loses nothing.
func (b *Book) Job() job.Job {
	return job.Job{Name: JobName, Schedule: job.Every(time.Hour),
		Run: func(ctx context.Context, _ *job.Slot) error {
			if _, err := b.Retain(ctx); err != nil {
				return err
			}
			if err := b.dropPhotos(ctx); err != nil {
				return err
			}
			return b.Settle(ctx)
		}}
}

// Texts are what an order holds of its recipient in words: what must be found nowhere afterwards, neither
// as they are nor as JSON, where that writes them differently. Those that are shorter than a phone number,
// and the locality, say nothing about one person and are left out.
func (b *Book) Texts(ctx context.Context, key int64) ([]string, error) {
	o, err := b.orders.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	all := []string{o.Recipient.Phone, o.Recipient.Name, o.Details.Address.Line1, o.Details.Instructions}
	for _, from := range []string{`SELECT text FROM remark WHERE order_key = ?`, `SELECT note FROM dropoff_event WHERE order_key = ?`,
		`SELECT name FROM dropoff_event WHERE order_key = ?`, `SELECT note FROM incident WHERE order_key = ?`, `SELECT answer FROM incident WHERE order_key = ?`} {
		var some []string
		if err := b.db.Read(ctx).Select(&some, from, key); err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	all = slices.DeleteFunc(all, func(s string) bool { return len(s) < 8 })
	for _, s := range all {
		text, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		all = append(all, string(text[1:len(text)-1]))
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Proof is what reading the database's files for texts found.
type Proof struct {
	Read  int64    // bytes
	Files []string // that still hold one of them: another order of hers, somebody of her name, or a trace
}

// Prove cuts the log and reads the files of the database for the texts. On PostgreSQL there is nothing to
// read, and Read is 0: its files are the server's.
func (b *Book) Prove(ctx context.Context, texts []string) (p Proof, err error) {
	if err := b.db.Settle(ctx); err != nil {
		return p, err
	}
	p.Files, p.Read, err = b.db.Traces(ctx, texts)
	return p, err
}
