package order

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
)

const orderColumns = `key, merchant_key, external_id, request_hash, status, status_reason, cancelled_by, lat, lng, cell, mode,
	undeliverable_action, minimum_grade, recipient, details, radius_m, window_from, window_to, promise_from, promise_to,
	store_key, assignment_key, distance_m, reroutes, attempts, grade, link_version, code_tries, last_event, event_count,
	version, created_at, updated_at, ended_at, policy_key, holder, holder_store, held_since, transfer_to, hold_until, hold_due,
	hold_extensions, step_since, step_due, step_told, code_version, dispute, erased_at`

type orderRow struct {
	Key          int64
	Merchant     int64   `db:"merchant_key"`
	ExternalID   *string `db:"external_id"`
	RequestHash  string  `db:"request_hash"`
	Status       string
	Reason       string `db:"status_reason"`
	CancelledBy  string `db:"cancelled_by"`
	Lat, Lng     float64
	Cell         int64
	Mode         string
	Undeliver    string `db:"undeliverable_action"`
	MinimumGrade string `db:"minimum_grade"`
	Recipient    string
	Details      string
	RadiusM      int    `db:"radius_m"`
	WindowFrom   *int64 `db:"window_from"`
	WindowTo     *int64 `db:"window_to"`
	PromiseFrom  *int64 `db:"promise_from"`
	PromiseTo    *int64 `db:"promise_to"`
	Store        int64  `db:"store_key"`
	Assignment   int64  `db:"assignment_key"`
	DistanceM    int    `db:"distance_m"`
	Reroutes     int
	Attempts     int
	Grade        string
	LinkVersion  uint8 `db:"link_version"`
	CodeTries    int   `db:"code_tries"`
	event.Chain
	Version   int64
	CreatedAt int64  `db:"created_at"`
	UpdatedAt int64  `db:"updated_at"`
	EndedAt   *int64 `db:"ended_at"`
	Policy    int64  `db:"policy_key"`

	Holder         string
	HolderStore    int64  `db:"holder_store"`
	HeldSince      int64  `db:"held_since"`
	TransferTo     int64  `db:"transfer_to"`
	HoldUntil      *int64 `db:"hold_until"`
	HoldDue        *int64 `db:"hold_due"`
	HoldExtensions int    `db:"hold_extensions"`
	StepSince      int64  `db:"step_since"`
	StepDue        *int64 `db:"step_due"`
	StepTold       int64  `db:"step_told"`
	CodeVersion    int    `db:"code_version"`
	Dispute        string
	ErasedAt       *int64 `db:"erased_at"`
}

func (r orderRow) order() (Order, error) {
	o := Order{Key: r.Key, Merchant: r.Merchant, RequestHash: r.RequestHash, Status: Status(r.Status), Reason: r.Reason,
		CancelledBy: r.CancelledBy, Dropoff: geo.Point{Lat: r.Lat, Lng: r.Lng}, Cell: geo.Cell(r.Cell), Mode: r.Mode,
		Undeliver: r.Undeliver, MinimumGrade: r.MinimumGrade, RadiusM: r.RadiusM, Window: span(r.WindowFrom, r.WindowTo),
		Promise: span(r.PromiseFrom, r.PromiseTo), Store: r.Store, Assignment: r.Assignment, DistanceM: r.DistanceM,
		Reroutes: r.Reroutes, Attempts: r.Attempts, Grade: r.Grade, LinkVersion: r.LinkVersion, CodeTries: r.CodeTries,
		Chain: r.Chain, Version: r.Version, CreatedAt: fromMs(r.CreatedAt), UpdatedAt: fromMs(r.UpdatedAt), EndedAt: timeOf(r.EndedAt),
		Policy: r.Policy, Holder: Holder(r.Holder), HolderStore: r.HolderStore,
		HeldSince: sinceOf(r.HeldSince), TransferTo: r.TransferTo, StepSince: sinceOf(r.StepSince),
		StepDue: timeOf(r.StepDue), StepTold: sinceOf(r.StepTold), HoldUntil: timeOf(r.HoldUntil), HoldDue: timeOf(r.HoldDue),
		HoldExtensions: r.HoldExtensions, CodeVersion: r.CodeVersion, Dispute: r.Dispute, ErasedAt: timeOf(r.ErasedAt)}
	if r.ExternalID != nil {
		o.ExternalID = *r.ExternalID
	}
	if err := o.Recipient.parse(r.Recipient); err != nil {
		return o, fmt.Errorf("order %d: recipient: %w", r.Key, err)
	}
	o.packed.recipient, o.packed.who = r.Recipient, o.Recipient // Save seals what it does not write
	if err := o.Details.parse(r.Details); err != nil {
		return o, fmt.Errorf("order %d: details: %w", r.Key, err)
	}
	return o, nil
}

func fromMs(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// sinceOf is the time of a column in which 0 stands for none.
func sinceOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return fromMs(ms)
}

func sinceMs(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(ms *int64) *time.Time {
	if ms == nil {
		return nil
	}
	t := fromMs(*ms)
	return &t
}

func msOf(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

func span(from, to *int64) *Span {
	if from == nil || to == nil {
		return nil
	}
	return &Span{fromMs(*from), fromMs(*to)}
}

func (s *Span) ms() (from, to *int64) {
	if s == nil {
		return nil, nil
	}
	a, b := s.From.UnixMilli(), s.To.UnixMilli()
	return &a, &b
}

// Load reads one order; fault.Missing when there is none.
func Load(q db.Queryer, key int64) (Order, error) {
	return loadOne(q, `SELECT `+orderColumns+` FROM orders WHERE key = ?`, key)
}

const findExternal = `SELECT key FROM orders WHERE external_id = ? AND merchant_key = ? AND archived_at IS NULL
	UNION ALL SELECT order_key FROM archived_external WHERE external_id = ? AND merchant_key = ?`

// Find reads a merchant's order by its own id; fault.Missing when there is none.
func Find(q db.Queryer, merchant int64, external string) (Order, error) {
	return found(q, q.Get, merchant, external)
}

// Peek is Find for somebody who is about to Insert: see db.Tx.Peek.
func Peek(tx *db.Tx, merchant int64, external string) (Order, error) {
	return found(tx, tx.Peek, merchant, external)
}

func found(q db.Queryer, get func(any, string, ...any) error, merchant int64, external string) (Order, error) {
	var key int64
	if err := get(&key, findExternal, external, merchant, external, merchant); errors.Is(err, db.ErrNoRows) {
		return Order{}, fault.Missing("order")
	} else if err != nil {
		return Order{}, err
	}
	return Load(q, key)
}

// Lock is Load for a change that many may want at once: on PostgreSQL the others wait here, as they do on
// SQLite anyway, instead of undoing each other's work.
func Lock(tx *db.Tx, key int64) (Order, error) {
	if _, err := tx.Exec(`UPDATE orders SET version = version WHERE key = ?`, key); err != nil {
		return Order{}, err
	}
	return Load(tx, key)
}

func loadOne(q db.Queryer, query string, args ...any) (Order, error) {
	var r orderRow
	if err := q.Get(&r, query, args...); errors.Is(err, db.ErrNoRows) {
		return Order{}, fault.Missing("order")
	} else if err != nil {
		return Order{}, err
	}
	return r.order()
}

// Unassigned are the orders behind a key that no store has or is being asked about and whose window
// is not over at now, oldest first.
func Unassigned(q db.Queryer, now time.Time, after int64, limit int) ([]Order, error) {
	return loadAll(q, `SELECT `+orderColumns+` FROM orders WHERE status = 'unassignable' AND assignment_key = 0 AND key > ?
		AND (window_to IS NULL OR window_to > ?) ORDER BY key LIMIT ?`, after, now.UnixMilli(), limit)
}

func loadAll(q db.Queryer, query string, args ...any) ([]Order, error) {
	var rows []orderRow
	if err := q.Select(&rows, query, args...); err != nil {
		return nil, err
	}
	out := make([]Order, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.order(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

var (
	orders = db.NewSealed("orders", orderColumns, "last_event", "event_count").
		Usually(string(HeldByMerchant), 0, 0, 0, nil, nil, 0, 0, nil, 0, 0, "", nil) // from holder on
	assignments = db.NewSealed("assignment", assignmentColumns, "prev_key")

	lastEventColumn  = orders.Column("last_event")
	eventCountColumn = orders.Column("event_count")
	prevColumn       = assignments.Column("prev_key")
)

// Insert writes a new order. When its external id is taken, the transaction is run again.
func Insert(tx *db.Tx, o *Order) error {
	o.Version = 1
	return tx.InsertRow(o.row())
}

func (o *Order) row() db.Row {
	if o.Holder == "" {
		o.Holder = HeldByMerchant
	}
	nobodyHasIt := o.Holder == HeldByMerchant && o.HolderStore == 0 && o.HeldSince.IsZero() && o.TransferTo == 0
	asMade := o.HoldUntil == nil && o.HoldDue == nil && o.HoldExtensions == 0 && o.StepSince.IsZero() && o.StepDue == nil &&
		o.StepTold.IsZero() && o.CodeVersion == 0 && o.Dispute == "" && o.ErasedAt == nil
	if nobodyHasIt && asMade {
		return orders.Row(o.asMade()...)
	}
	return orders.Row(o.values()...)
}

// values are those of orderColumns.
func (o *Order) values() []any {
	return append(o.asMade(),
		string(o.Holder), o.HolderStore, sinceMs(o.HeldSince), o.TransferTo, msOf(o.HoldUntil), msOf(o.HoldDue), o.HoldExtensions,
		sinceMs(o.StepSince), msOf(o.StepDue), sinceMs(o.StepTold), o.CodeVersion, o.Dispute, msOf(o.ErasedAt))
}

// asMade are values without those of the last columns, which are the same for every new order.
func (o *Order) asMade() []any {
	var external *string
	if o.ExternalID != "" {
		external = &o.ExternalID
	}
	wf, wt := o.Window.ms()
	pf, pt := o.Promise.ms()
	if o.packed.recipient == "" || o.packed.who != o.Recipient {
		o.packed.recipient, o.packed.who = o.Recipient.json(), o.Recipient
	}
	if o.packed.details == "" { // Draft.New did not make it
		o.packed.details = o.Details.json()
	}
	return []any{
		o.Key, o.Merchant, external, o.RequestHash, string(o.Status), o.Reason, o.CancelledBy, o.Dropoff.Lat, o.Dropoff.Lng,
		int64(o.Cell), o.Mode, o.Undeliver, o.MinimumGrade, o.packed.recipient, o.packed.details, o.RadiusM, wf, wt, pf, pt,
		o.Store, o.Assignment, o.DistanceM, o.Reroutes, o.Attempts, o.Grade, int64(o.LinkVersion), o.CodeTries,
		o.Chain.Last, o.Chain.Count, o.Version, o.CreatedAt.UnixMilli(), o.UpdatedAt.UnixMilli(), msOf(o.EndedAt),
		o.Policy}
}

// Given is a new order that has a store, with its rows made ready before the transaction begins: the
// goroutine that writes adds only what it alone knows.
type Given struct {
	order, assignment db.Row
	events            []event.Ready
}

// Give makes o, its assignment a and what is told of both ready. Nothing of o and a may change
// afterwards but by Insert.
func Give(o *Order, a *Assignment, told []event.New, actor string) (*Given, error) {
	o.Version = 1
	g := &Given{order: o.row(), assignment: a.row(), events: make([]event.Ready, 0, len(told))}
	for _, e := range told {
		r, err := e.Ready(actor, o.CreatedAt)
		if err != nil {
			return nil, err
		}
		g.events = append(g.events, r)
	}
	return g, nil
}

// Insert writes the order, its assignment, which claimed a unit of its slot after prev, and the events.
func (g *Given) Insert(tx *db.Tx, o *Order, a *Assignment) error {
	for _, e := range g.events {
		if err := e.Append(tx, &o.Chain); err != nil {
			return err
		}
	}
	g.order.Set(lastEventColumn, o.Chain.Last)
	g.order.Set(eventCountColumn, o.Chain.Count)
	g.assignment.Set(prevColumn, a.Prev)
	if err := tx.InsertRow(g.order); err != nil {
		return err
	}
	return tx.InsertRow(g.assignment)
}

// Save writes back what can change about an order and counts its version up. When another
// transaction changed the row meanwhile, the whole function is run again.
//
// Errors: fault.Stale when the sender expected another version (see Expect).
func Save(tx *db.Tx, o *Order) error {
	if want, ok := tx.Context().Value(versionKey{}).(int64); ok && want != o.Version {
		return fault.New(fault.Stale, "version-mismatch", "the order is at version %d: read it again", o.Version)
	}
	if err := tx.Overwrite(); err != nil {
		return err
	}
	pf, pt := o.Promise.ms()
	switch {
	case !o.Status.Terminal():
		o.EndedAt = nil // a hand-over that was undone
	case o.EndedAt == nil:
		t := tx.Now()
		o.EndedAt = &t
	}
	o.UpdatedAt = tx.Now()
	o.StepDue = o.stepDue()
	o.Version++
	o.packed.details = o.Details.json()
	seal, err := orders.Seal(o.values()...)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE orders SET status = ?, status_reason = ?, cancelled_by = ?, mode = ?, details = ?, promise_from = ?, promise_to = ?,
		store_key = ?, assignment_key = ?, distance_m = ?, reroutes = ?, attempts = ?, grade = ?, link_version = ?, code_tries = ?,
		last_event = ?, event_count = ?, version = ?, updated_at = ?, ended_at = ?, holder = ?, holder_store = ?, held_since = ?,
		transfer_to = ?, hold_until = ?, hold_due = ?, hold_extensions = ?, step_since = ?, step_due = ?, step_told = ?, code_version = ?, dispute = ?, erased_at = ?, seal = ? WHERE key = ? AND version = ?`,
		string(o.Status), o.Reason, o.CancelledBy, o.Mode, o.packed.details, pf, pt, o.Store, o.Assignment, o.DistanceM, o.Reroutes,
		o.Attempts, o.Grade, int64(o.LinkVersion), o.CodeTries, o.Chain.Last, o.Chain.Count, o.Version, o.UpdatedAt.UnixMilli(), msOf(o.EndedAt),
		string(o.Holder), o.HolderStore, sinceMs(o.HeldSince), o.TransferTo, msOf(o.HoldUntil), msOf(o.HoldDue), o.HoldExtensions,
		sinceMs(o.StepSince), msOf(o.StepDue), sinceMs(o.StepTold), o.CodeVersion, o.Dispute, msOf(o.ErasedAt), seal,
		o.Key, o.Version-1)
	if err == nil && n == 0 {
		return db.ErrAgain
	}
	return err
}

// Regrade gives a delivered order the grade of all its evidence once its dispute is resolved: what came
// in meanwhile was kept, and did not count. While the dispute is open it changes nothing. The table
// belongs to package dropoff; only this one question is asked of it here. The caller saves o.
func Regrade(q db.Queryer, o *Order) error {
	if o.Status != Delivered || o.Dispute == DisputeOpen {
		return nil
	}
	var grade string
	err := q.Get(&grade, `SELECT grade FROM attempt WHERE order_key = ? AND n = ?`, o.Key, o.Attempts)
	if errors.Is(err, db.ErrNoRows) {
		return nil
	}
	if err == nil {
		o.Grade = grade
	}
	return err
}

const assignmentColumns = `key, order_key, store_key, status, reason, rank, score, slot, deadline, offered_at, answered_at, prev_key`

// openWork is what a store has to do, of heldWork. The one argument is the store.
const openWork = heldWork + `
	SELECT a.key, a.order_key FROM work w JOIN assignment a ON a.key = w.key JOIN orders o ON o.key = a.order_key
	WHERE o.assignment_key = a.key AND o.ended_at IS NULL`

// heldWork is the chain of assignments that hold, or held, units of a store's slots: slot_use names the
// last of each slot, each assignment the one before. The one argument is the store. Slots are
// walked by value, since slot_use is kept by slot first; those that are over and done are purged.
const heldWork = `WITH RECURSIVE slots (slot) AS (
		SELECT min(slot) FROM slot_use
		UNION ALL SELECT (SELECT min(u.slot) FROM slot_use u WHERE u.slot > s.slot) FROM slots s WHERE s.slot IS NOT NULL),
	work (key) AS (
		SELECT u.last_key FROM slots s JOIN slot_use u ON u.slot = s.slot WHERE u.store_key = ?
		UNION ALL SELECT a.prev_key FROM work w JOIN assignment a ON a.key = w.key)`

// AcceptedSince reports whether a store accepted work after t, as far as its slots still know: also work that
// is done by now, since a busy store has done it within the hour.
func AcceptedSince(q db.Queryer, store int64, t time.Time) (bool, error) {
	var n int
	err := q.Get(&n, heldWork+` SELECT count(*) FROM work w JOIN assignment a ON a.key = w.key
		WHERE a.status IN ('accepted', 'completed', 'failed') AND a.answered_at > ?`, store, t.UnixMilli())
	return n > 0, err
}

// WaitsAt reports whether an order waits for its store to answer or to pack it.
func WaitsAt(q db.Queryer, store int64) (bool, error) {
	var n int
	err := q.Get(&n, `SELECT count(*) FROM orders WHERE key IN (SELECT w.order_key FROM (`+openWork+`) AS w) AND status IN ('created', 'confirmed')`, store)
	return n > 0, err
}

type assignmentRow struct {
	Key        int64
	Order      int64 `db:"order_key"`
	Store      int64 `db:"store_key"`
	Status     string
	Reason     string
	Rank       int
	Score      int
	Slot       int64
	Deadline   *int64
	OfferedAt  int64  `db:"offered_at"`
	AnsweredAt *int64 `db:"answered_at"`
	Prev       int64  `db:"prev_key"`
}

func (r assignmentRow) assignment() Assignment {
	a := Assignment{Key: r.Key, Order: r.Order, Store: r.Store, Status: AssignmentStatus(r.Status), Reason: r.Reason,
		Rank: r.Rank, ScoreM: r.Score, Slot: fromMs(r.Slot), OfferedAt: fromMs(r.OfferedAt), Prev: r.Prev}
	if r.Deadline != nil {
		t := fromMs(*r.Deadline)
		a.Deadline = &t
	}
	if r.AnsweredAt != nil {
		t := fromMs(*r.AnsweredAt)
		a.AnsweredAt = &t
	}
	return a
}

// LoadAssignment reads one assignment; fault.Missing when there is none.
func LoadAssignment(q db.Queryer, key int64) (Assignment, error) {
	var r assignmentRow
	if err := q.Get(&r, `SELECT `+assignmentColumns+` FROM assignment WHERE key = ?`, key); errors.Is(err, db.ErrNoRows) {
		return Assignment{}, fault.Missing("assignment")
	} else if err != nil {
		return Assignment{}, err
	}
	return r.assignment(), nil
}

// InsertAssignment writes a new assignment. That it is the order's only live one, the order's row sees
// to: it names this one, and two who change it at once cannot both be right about its version.
func InsertAssignment(tx *db.Tx, a *Assignment) error { return tx.InsertRow(a.row()) }

func (a *Assignment) row() db.Row { return assignments.Row(a.values()...) }

// values are those of assignmentColumns.
func (a *Assignment) values() []any {
	var deadline, answered *int64
	if a.Deadline != nil {
		ms := a.Deadline.UnixMilli()
		deadline = &ms
	}
	if a.AnsweredAt != nil {
		ms := a.AnsweredAt.UnixMilli()
		answered = &ms
	}
	return []any{a.Key, a.Order, a.Store, string(a.Status), a.Reason, a.Rank, a.ScoreM, a.Slot.UnixMilli(), deadline,
		a.OfferedAt.UnixMilli(), answered, a.Prev}
}

// MoveAssignment moves an assignment on, by its rules.
func MoveAssignment(tx *db.Tx, a *Assignment, to AssignmentStatus, reason string) error {
	if err := a.Status.Check(to); err != nil {
		return err
	}
	return setAssignment(tx, a, to, reason)
}

// AmendAssignment gives a store work back that it had done: see assignmentAmends. Also an order that had
// left the hot indexes is found in them again.
func AmendAssignment(tx *db.Tx, a *Assignment) error {
	if !slices.Contains(assignmentAmends[a.Status], Accepted) {
		return a.Status.Check(Accepted)
	}
	if _, err := tx.Exec(`UPDATE orders SET archived_at = NULL WHERE key = ? AND archived_at IS NOT NULL`, a.Order); err != nil {
		return err
	}
	return setAssignment(tx, a, Accepted, "")
}

func setAssignment(tx *db.Tx, a *Assignment, to AssignmentStatus, reason string) error {
	moved := *a
	if moved.Status, moved.Reason = to, reason; moved.AnsweredAt == nil {
		now := tx.Now()
		moved.AnsweredAt = &now
	}
	seal, err := assignments.Seal(moved.values()...)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE assignment SET status = ?, reason = ?, answered_at = ?, seal = ? WHERE key = ? AND status = ?`,
		string(to), reason, msOf(moved.AnsweredAt), seal, a.Key, string(a.Status))
	if err != nil {
		return err
	}
	if n == 0 {
		return db.ErrAgain
	}
	*a = moved
	return nil
}

// Assignments are all stores an order was offered to, in order.
func Assignments(q db.Queryer, order int64) ([]Assignment, error) {
	var rows []assignmentRow
	if err := q.Select(&rows, `SELECT `+assignmentColumns+` FROM assignment WHERE order_key = ? ORDER BY key`, order); err != nil {
		return nil, err
	}
	out := make([]Assignment, len(rows))
	for i, r := range rows {
		out[i] = r.assignment()
	}
	return out, nil
}

// where collects conditions and their arguments.
type where struct {
	conds []string
	args  []any
}

func (w *where) and(cond string, args ...any) {
	w.conds = append(w.conds, cond)
	w.args = append(w.args, args...)
}

// among adds `column IN (…)`; the values are few.
func (w *where) among(column string, values []string) {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	w.and(column+` IN (?`+strings.Repeat(`, ?`, len(values)-1)+`)`, args...)
}

func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return ` WHERE ` + strings.Join(w.conds, ` AND `)
}
