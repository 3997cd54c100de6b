package dropoff

import (
	"context"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/order"
)

// overdue is what the log says of a step that nobody did in time.
type overdue struct {
	Status order.Status `json:"status"`
	Do     string       `json:"action"`
	Who    string       `json:"who"`
	By     string       `json:"by"`
}

// late finds the orders whose next step is late and was not told yet. An order that never changed has no
// step_due: the row of a new one shall cost no entry in another index. Of those, the confirmed and the
// unassignable wait for somebody.
const late = `SELECT key FROM orders WHERE step_due IS NOT NULL AND step_due <= ? AND step_told < step_due
	UNION ALL SELECT key FROM orders WHERE ended_at IS NULL AND step_due IS NULL
		AND (status = 'confirmed' OR status = 'unassignable' AND assignment_key = 0) AND created_at < ? AND (promise_to IS NULL OR promise_to < ?)`

// freshest is how old an order is at least before its first step can be late: see order.NextStep. What late
// finds is late, then, and nothing that is not stands in the way of it.
const freshest = order.StepRide

func (b *Book) lateArgs() []any {
	now := b.db.Now()
	return []any{now.UnixMilli(), now.Add(-freshest).UnixMilli(), now.UnixMilli()}
}

// TellOverdue notes in the log of each order whose next step is late that it is, once for each step:
// dispatchers see it there and in the list of overdue orders. It returns how many. Running it twice, or on
// two processes, does nothing more.
func (b *Book) TellOverdue(ctx context.Context) (total int, err error) {
	for {
		var keys []int64
		if err := b.db.Read(ctx).Select(&keys, late+` LIMIT ?`, append(b.lateArgs(), holdsAtOnce)...); err != nil || len(keys) == 0 {
			return total, err
		}
		n, err := b.each(ctx, keys, tellOverdue)
		total += n
		if err != nil || n == 0 {
			return total, err
		}
	}
}

// AnyOverdue reports whether TellOverdue would look at something.
func (b *Book) AnyOverdue(ctx context.Context) (bool, error) {
	return b.any(ctx, `SELECT count(*) FROM (`+late+` LIMIT 1) x`, b.lateArgs()...)
}

func tellOverdue(tx *db.Tx, o *order.Order) (bool, error) {
	p, err := order.PolicyOf(tx, o)
	if err != nil {
		return false, err
	}
	s := order.NextStep(o, p)
	if s == nil || s.By == nil || s.By.After(tx.Now()) || !o.StepTold.Before(*s.By) {
		return false, nil
	}
	o.StepTold = *s.By
	return true, event.Append(tx, &o.Chain, event.New{Type: "order.step_overdue", Subject: o.Key, Merchant: o.Merchant, Store: o.Store,
		Data: overdue{o.Status, s.Do, s.Who, s.By.UTC().Format(time.RFC3339)}})
}
