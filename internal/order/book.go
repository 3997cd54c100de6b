package order

import (
	"context"
	"math"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

// Book is what one can ask of orders without moving a parcel or choosing a store.
type Book struct{ db *db.DB }

// NewBook is the book of the orders in d.
func NewBook(d *db.DB) *Book { return &Book{d} }

// Get is one order; fault.Missing when there is none.
func (b *Book) Get(ctx context.Context, key int64) (Order, error) { return Load(b.db.Read(ctx), key) }

// Find is a merchant's order by the merchant's own id.
func (b *Book) Find(ctx context.Context, merchant int64, external string) (Order, error) {
	return Find(b.db.Read(ctx), merchant, external)
}

// FindExternal are the orders with an external id, whosever they are, newest first and at most two:
// enough to tell that it names no single one. store narrows to those a store has, 0 does not.
func (b *Book) FindExternal(ctx context.Context, external string, store int64) ([]Order, error) {
	var w where
	w.and(`key IN (SELECT key FROM orders WHERE external_id = ? AND archived_at IS NULL
		UNION ALL SELECT order_key FROM archived_external WHERE external_id = ?)`, external, external)
	if store != 0 {
		w.and("store_key = ?", store)
	}
	return loadAll(b.db.Read(ctx), `SELECT `+orderColumns+` FROM orders`+w.String()+` ORDER BY key DESC LIMIT 2`, w.args...)
}

// WithExternal are the orders with an external id, newest first and at most limit; merchant narrows to those
// of one, 0 does not.
func (b *Book) WithExternal(ctx context.Context, external string, merchant int64, limit int) ([]Order, error) {
	var w where
	w.and(`key IN (SELECT key FROM orders WHERE external_id = ? AND archived_at IS NULL
		UNION ALL SELECT order_key FROM archived_external WHERE external_id = ?)`, external, external)
	if merchant != 0 {
		w.and("merchant_key = ?", merchant)
	}
	return loadAll(b.db.Read(ctx), `SELECT `+orderColumns+` FROM orders`+w.String()+` ORDER BY key DESC LIMIT ?`, append(w.args, limit)...)
}

// GetAssignment is one assignment; fault.Missing when there is none.
func (b *Book) GetAssignment(ctx context.Context, key int64) (Assignment, error) {
	return LoadAssignment(b.db.Read(ctx), key)
}

// Assignments are all stores the order was offered to, in order.
func (b *Book) Assignments(ctx context.Context, order int64) ([]Assignment, error) {
	return Assignments(b.db.Read(ctx), order)
}

// Story is everything that happened to an order, oldest first.
func (b *Book) Story(ctx context.Context, o Order) ([]event.Event, error) {
	return event.Story(b.db.Read(ctx), o.Chain.Last)
}

// Filter narrows a list of orders; zero fields do not. Cursor is the last key of the page before.
type Filter struct {
	Statuses     []string
	Store        int64
	Merchant     int64
	CreatedAfter time.Time
	CreatedUntil time.Time
	Cell         geo.Cell  // those that go there; of resolution geo.MatchRes or coarser
	OverdueAt    time.Time // only those whose next step is late then, as far as the log was told
	Locked       bool      // only those whose code is locked
	Cursor       int64
	Limit        int
}

// List is a page of orders, newest first, and whether more follow. What is created meanwhile
// comes before the first page and moves nothing.
func (b *Book) List(ctx context.Context, f Filter) ([]Order, bool, error) {
	var w where
	if len(f.Statuses) > 0 {
		w.among("status", f.Statuses)
		if Open(f.Statuses) {
			w.and("ended_at IS NULL") // lets the partial indexes serve
			if f.Store != 0 {
				w.and("key IN (SELECT w.order_key FROM ("+openWork+") AS w)", f.Store)
			}
		}
	}
	if f.Store != 0 {
		w.and("store_key = ?", f.Store)
	}
	if f.Merchant != 0 {
		w.and("merchant_key = ?", f.Merchant)
	}
	if !f.CreatedAfter.IsZero() {
		w.and("created_at > ?", f.CreatedAfter.UnixMilli())
	}
	if !f.CreatedUntil.IsZero() {
		w.and("created_at <= ?", f.CreatedUntil.UnixMilli())
	}
	if f.Cell != 0 {
		from, to := geo.Within(f.Cell, geo.MatchRes)
		w.and("cell BETWEEN ? AND ?", int64(from), int64(to))
	}
	if !f.OverdueAt.IsZero() {
		w.and("step_due IS NOT NULL AND step_due <= ?", f.OverdueAt.UnixMilli())
	}
	if f.Locked {
		w.and("ended_at IS NULL AND code_tries >= ?", MaxCodeTries)
	}
	if f.Cursor != 0 {
		w.and("key < ?", f.Cursor)
	}
	if err := madeBetween(b.db.Read(ctx), &w, f.CreatedAfter, f.CreatedUntil); err != nil {
		return nil, false, err
	}
	out, err := loadAll(b.db.Read(ctx), `SELECT `+orderColumns+` FROM orders`+w.String()+` ORDER BY key DESC LIMIT ?`, append(w.args, f.Limit+1)...)
	if err != nil {
		return nil, false, err
	}
	if len(out) > f.Limit {
		return out[:f.Limit], true, nil
	}
	return out, false, nil
}

// Open reports whether an order in any of these states has not ended.
func Open(statuses []string) bool {
	for _, s := range statuses {
		if Status(s).Terminal() {
			return false
		}
	}
	return true
}

// live reports whether only an order's present assignment can have one of these statuses.
func live(statuses []string) bool {
	for _, s := range statuses {
		if s != string(Offered) && s != string(Accepted) {
			return false
		}
	}
	return true
}

// AssignmentFilter narrows a list of assignments.
type AssignmentFilter struct {
	Statuses []string
	Store    int64
	Cursor   int64
	Limit    int
}

// ListAssignments is a page of assignments, oldest first: a store works them off in this order.
func (b *Book) ListAssignments(ctx context.Context, f AssignmentFilter) ([]Assignment, bool, error) {
	var w where
	w.among("status", f.Statuses)
	if f.Store != 0 {
		w.and("store_key = ?", f.Store)
		if live(f.Statuses) {
			w.and("key IN (SELECT w.key FROM ("+openWork+") AS w)", f.Store)
		}
	}
	w.and("key > ?", f.Cursor)
	var rows []assignmentRow
	err := b.db.Read(ctx).Select(&rows, `SELECT `+assignmentColumns+` FROM assignment`+w.String()+` ORDER BY key LIMIT ?`, append(w.args, f.Limit+1)...)
	if err != nil {
		return nil, false, err
	}
	more := len(rows) > f.Limit
	if more {
		rows = rows[:f.Limit]
	}
	out := make([]Assignment, len(rows))
	for i, r := range rows {
		out[i] = r.assignment()
	}
	return out, more, nil
}

// Work is an assignment that a store has to answer or to do.
type Work struct {
	Key      int64
	Order    int64 `db:"order_key"`
	Status   AssignmentStatus
	Deadline *int64 // of an offer, ms
	Stands   Status `db:"stands"` // the order's
}

// WorkOf is what a store has to answer or to do, oldest first.
func WorkOf(q db.Queryer, store int64) (list []Work, err error) {
	err = q.Select(&list, `SELECT a.key, a.order_key, a.status, a.deadline, o.status AS stands FROM (`+openWork+`) AS w
		JOIN assignment a ON a.key = w.key JOIN orders o ON o.key = a.order_key WHERE a.status IN ('offered', 'accepted') ORDER BY a.key`, store)
	return list, err
}

// Happened is what the event of a move says; it names no person.
type Happened struct {
	Status     Status `json:"status"`
	StoreID    string `json:"store_id,omitempty"`
	Assignment string `json:"assignment_id,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Attempt    int    `json:"attempt,omitempty"`
	Grade      string `json:"evidence_grade,omitempty"`
	Evidence   string `json:"evidence,omitempty"` // the seal of the row that it tells of, in hex

	Flags []string `json:"flags,omitempty"` // of dropoff.flagged: those that are new
}

// Note appends an event of type typ about o, as o stands now. The caller saves o afterwards.
func Note(tx *db.Tx, o *Order, typ string, occurred time.Time, h Happened) error {
	return event.Append(tx, &o.Chain, Tell(tx.Names(), o, typ, occurred, h))
}

// Tell is the event that Note appends.
func Tell(n *ident.Names, o *Order, typ string, occurred time.Time, h Happened) event.New {
	h.Status = o.Status
	if o.Store != 0 {
		h.StoreID = n.Name(ident.Store, o.Store)
	}
	if o.Assignment != 0 {
		h.Assignment = n.Name(ident.Assignment, o.Assignment)
	}
	return event.New{Type: typ, Subject: o.Key, Merchant: o.Merchant, Store: o.Store, OccurredAt: occurred, Data: h}
}

// Move moves o to a status by its rules, and with it the parcel to whoever then has it, and notes it as
// order.<status>. The caller saves o.
func Move(tx *db.Tx, o *Order, to Status, occurred time.Time, h Happened) error {
	if err := o.CheckMove(to); err != nil {
		return err
	}
	return o.enter(tx, to, occurred, h)
}

// change loads an order, lets f change it, and saves it when f says so.
func (b *Book) change(ctx context.Context, key int64, f func(*db.Tx, *Order) (changed bool, err error)) (o Order, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if o, err = Load(tx, key); err != nil {
			return err
		}
		changed, err := f(tx, &o)
		if err != nil || !changed {
			return err
		}
		return Save(tx, &o)
	})
	return o, err
}

// SetInstructions changes what the runner reads at the door, until pick-up.
func (b *Book) SetInstructions(ctx context.Context, key int64, text, mode string) (Order, error) {
	var f fault.Fields
	f.AddErr("", CheckText("/instructions", text, 500))
	if mode != "" {
		oneOf(&f, "/mode", mode, Modes...)
	}
	if err := f.Err(); err != nil {
		return Order{}, err
	}
	return b.change(ctx, key, func(tx *db.Tx, o *Order) (bool, error) {
		if o.Status.Terminal() || o.Status.InCustody() {
			return false, fault.Refused("too-late", nil, "the parcel is on its way: instructions can be changed until pick-up")
		}
		if mode == "" {
			mode = o.Mode
		}
		if o.Details.Instructions == text && o.Mode == mode {
			return false, nil
		}
		p, err := PolicyOf(tx, o)
		if err != nil {
			return false, err
		}
		if err := o.SetMode(mode, text, &p); err != nil {
			return false, err
		}
		return true, Note(tx, o, "order.instructions_changed", time.Time{}, Happened{})
	})
}

// RenewLink makes a new tracking link; the old one is dead at once.
func (b *Book) RenewLink(ctx context.Context, key int64) (Order, error) {
	return b.change(ctx, key, func(tx *db.Tx, o *Order) (bool, error) {
		if o.LinkVersion == math.MaxUint8 { // counting on would bring the first link back to life
			return false, fault.Refused("too-many-links", nil, "this order's link was renewed too often")
		}
		o.LinkVersion++
		return true, Note(tx, o, "order.tracking_link_renewed", time.Time{}, Happened{})
	})
}

// ExternalIDs are what the merchants call the orders among keys, which are few; one without is left out.
func (b *Book) ExternalIDs(ctx context.Context, keys []int64) (map[int64]string, error) {
	ids := map[int64]string{}
	if len(keys) == 0 {
		return ids, nil
	}
	query, args, err := db.In(`SELECT key, external_id FROM orders WHERE key IN (?) AND external_id IS NOT NULL`, keys)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Key        int64
		ExternalID string `db:"external_id"`
	}
	err = b.db.Read(ctx).Select(&rows, query, args...)
	for _, r := range rows {
		ids[r.Key] = r.ExternalID
	}
	return ids, err
}
