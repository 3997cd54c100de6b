package dropoff

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// maxTries is how many wrong codes an order takes before it is locked. A PIN has four digits, so a
// guesser gets it once in 2,000 orders.
const maxTries = 5

// action is one step of a parcel: to is where it leads, done are the statuses that show that it has
// happened already, so that repeating it changes nothing.
type action struct {
	to   order.Status
	done []order.Status
	do   func(tx *db.Tx, o *order.Order, at time.Time) error // nil: just move
}

// act runs an action in a transaction. occurred is the time on the phone, zero for now.
//
// Errors: fault.Missing; fault.Invalid when occurred lies in the future; fault.Conflict with what
// is allowed instead.
func (b *Book) act(ctx context.Context, key int64, occurred time.Time, a action) (o order.Order, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if o, err = lockOrder(tx, key); err != nil {
			return err
		}
		for _, s := range append(a.done, a.to) {
			if o.Status == s {
				return nil
			}
		}
		at, err := happened(occurred, o.CreatedAt, tx.Now())
		if err != nil {
			return err
		}
		if a.do == nil {
			err = advance(tx, &o, a.to, at, order.Happened{})
		} else {
			err = a.do(tx, &o, at)
		}
		if err != nil {
			return err
		}
		return order.Save(tx, &o)
	})
	return o, err
}

// happened is when an action happened: occurred as far as it can be true.
func happened(occurred, created, now time.Time) (time.Time, error) {
	if occurred.IsZero() {
		return now, nil
	}
	if occurred.After(now.Add(maxSkew)) {
		return now, fault.InvalidField("/occurred_at", "in-the-future", "it is %s now: set the phone's clock", now.Format(time.RFC3339))
	}
	return plausible(occurred, created, now), nil
}

// plausible keeps a phone's clock from dating a move before its order or after now.
func plausible(occurred, created, now time.Time) time.Time {
	if occurred.Before(created) {
		return created
	}
	if occurred.After(now) {
		return now
	}
	return occurred
}

// advance moves o, and with it the goods: they lie reserved on the shelf exactly while nobody has
// custody. What is delivered, collected or returned does not come back by itself: the sender may not
// sell it again, so only a stock count puts it on a shelf.
func advance(tx *db.Tx, o *order.Order, to order.Status, at time.Time, h order.Happened) error {
	was := o.Status.InCustody()
	if err := order.Move(tx, o, to, at, h); err != nil {
		return err
	}
	switch is := o.Status.InCustody(); {
	case is && !was:
		return partner.TakeStock(tx, o.Store, goods(o))
	case was && !is && !o.Status.Terminal():
		return partner.PutBackStock(tx, o.Store, goods(o))
	}
	return nil
}

func goods(o *order.Order) []partner.Item {
	items := make([]partner.Item, len(o.Details.Items))
	for i, it := range o.Details.Items {
		items[i] = partner.Item(it)
	}
	return items
}

// finish ends the assignment of an order whose parcel has arrived somewhere for good.
func finish(tx *db.Tx, o *order.Order, as order.AssignmentStatus) error {
	a, err := order.LoadAssignment(tx, o.Assignment)
	if err != nil {
		return err
	}
	return order.MoveAssignment(tx, &a, as, o.Reason)
}

func notNow(o *order.Order, what string) error {
	return fault.Refused("not-allowed-now", o.Status.Allowed(), "the order is %s: %s", o.Status, what)
}

// Ready says that the parcel is packed: confirmed ─► ready_for_pickup. Repeating it, as with every
// action here, changes nothing.
func (b *Book) Ready(ctx context.Context, key int64, occurred time.Time) (order.Order, error) {
	return b.act(ctx, key, occurred, action{to: order.ReadyForPickup, do: func(tx *db.Tx, o *order.Order, at time.Time) error {
		if o.Status.InCustody() {
			return notNow(o, "it has been packed before; hand it back to have it at the store again")
		}
		return advance(tx, o, order.ReadyForPickup, at, order.Happened{})
	}})
}

// PickUp gives the parcel to a runner: ready_for_pickup or received_at_store ─► picked_up. A
// confirmed order becomes ready on the way: a small store packs and leaves in one go.
func (b *Book) PickUp(ctx context.Context, key int64, occurred time.Time) (order.Order, error) {
	return b.act(ctx, key, occurred, action{to: order.PickedUp, do: func(tx *db.Tx, o *order.Order, at time.Time) error {
		if o.Status == order.Confirmed {
			if err := advance(tx, o, order.ReadyForPickup, at, order.Happened{}); err != nil {
				return err
			}
		}
		return advance(tx, o, order.PickedUp, at, order.Happened{})
	}})
}

// HandBack gives the parcel back to its store: picked_up or attempt_failed ─► ready_for_pickup. From
// there it may go out again, be cancelled, or go to another store.
func (b *Book) HandBack(ctx context.Context, key int64, occurred time.Time) (order.Order, error) {
	return b.act(ctx, key, occurred, action{to: order.ReadyForPickup, do: func(tx *db.Tx, o *order.Order, at time.Time) error {
		if !o.Status.InCustody() {
			return notNow(o, "nobody has the parcel to hand it back")
		}
		return advance(tx, o, order.ReadyForPickup, at, order.Happened{})
	}})
}

// Depart sets out for the door and opens the next attempt: picked_up or attempt_failed ─►
// enroute_to_dropoff. After an arrival it is a repeat: the events have said so already.
func (b *Book) Depart(ctx context.Context, key int64, occurred time.Time) (order.Order, error) {
	return b.act(ctx, key, occurred, action{to: order.EnrouteDropoff, done: []order.Status{order.ArrivedDropoff},
		do: func(tx *db.Tx, o *order.Order, at time.Time) error {
			_, err := depart(tx, o, at)
			return err
		}})
}

func depart(tx *db.Tx, o *order.Order, at time.Time) (Attempt, error) {
	if err := o.Status.Check(order.EnrouteDropoff); err != nil {
		return Attempt{}, err
	}
	if o.Attempts >= MaxAttempts {
		return Attempt{}, fault.Refused("too-many-attempts", o.Status.Allowed(), "%d attempts are enough: hold it at the store or return it", o.Attempts)
	}
	o.Attempts++
	a := Attempt{Key: tx.NewKey(), N: o.Attempts, State: Pending, StartedAt: at}
	if err := insertAttempt(tx, o.Key, &a); err != nil {
		return a, err
	}
	return a, advance(tx, o, order.EnrouteDropoff, at, order.Happened{Attempt: a.N})
}

// Receive leaves the parcel at the store for collection: ready_for_pickup or attempt_failed ─►
// received_at_store. The customer's page shows the collection code from now on; wrong tries are
// counted anew, for it is another secret than the PIN.
func (b *Book) Receive(ctx context.Context, key int64, occurred time.Time) (order.Order, error) {
	return b.act(ctx, key, occurred, action{to: order.ReceivedAtStore, do: func(tx *db.Tx, o *order.Order, at time.Time) error {
		o.CodeTries = 0
		return advance(tx, o, order.ReceivedAtStore, at, order.Happened{Reason: o.Reason})
	}})
}

// Collect gives the parcel to the customer who says the collection code: received_at_store ─►
// collected.
//
// Errors: besides those of every action, fault.Invalid wrong-code at /code; fault.Conflict
// code-locked after five wrong codes, right or not. The wrong tries are kept.
func (b *Book) Collect(ctx context.Context, key int64, code string, occurred time.Time) (order.Order, error) {
	var wrong error // returned after the commit: the count must outlive the refusal
	o, err := b.act(ctx, key, occurred, action{to: order.Collected, do: func(tx *db.Tx, o *order.Order, at time.Time) error {
		if err := o.Status.Check(order.Collected); err != nil {
			return err
		}
		wrong = tryCode(o, o.CollectionCode(tx.Names()), strings.TrimSpace(code), "/code", "wrong-code")
		switch fault.KindOf(wrong) {
		case fault.Invalid:
			return order.Note(tx, o, "order.code_refused", at, order.Happened{Reason: o.Reason})
		case fault.Conflict:
			return wrong
		}
		if err := advance(tx, o, order.Collected, at, order.Happened{}); err != nil {
			return err
		}
		return finish(tx, o, order.Completed)
	}})
	if err == nil && o.Status != order.Collected {
		err = wrong
	}
	return o, err
}

// tryCode compares what somebody said with the secret and counts a wrong try on o; the caller saves o.
func tryCode(o *order.Order, secret, said, pointer, wrong string) error {
	if o.CodeTries >= maxTries {
		return fault.Refused("code-locked", o.Status.Allowed(), "%d wrong codes were tried", o.CodeTries)
	}
	if subtle.ConstantTimeCompare([]byte(secret), []byte(said)) == 1 {
		return nil
	}
	o.CodeTries++
	return fault.InvalidField(pointer, wrong, "that is not the customer's code; %d tries are left", maxTries-o.CodeTries)
}

// Return sends the parcel back to its sender: attempt_failed or received_at_store ─► enroute_to_return.
func (b *Book) Return(ctx context.Context, key int64, occurred time.Time) (order.Order, error) {
	return b.act(ctx, key, occurred, action{to: order.EnrouteReturn, do: func(tx *db.Tx, o *order.Order, at time.Time) error {
		return advance(tx, o, order.EnrouteReturn, at, order.Happened{Reason: o.Reason})
	}})
}

// Returned says that the sender has the parcel again: enroute_to_return ─► returned.
func (b *Book) Returned(ctx context.Context, key int64, occurred time.Time) (order.Order, error) {
	return b.act(ctx, key, occurred, action{to: order.Returned, do: func(tx *db.Tx, o *order.Order, at time.Time) error {
		if err := advance(tx, o, order.Returned, at, order.Happened{Reason: o.Reason}); err != nil {
			return err
		}
		return finish(tx, o, order.Failed)
	}})
}
