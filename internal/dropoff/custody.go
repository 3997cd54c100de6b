package dropoff

import (
	"context"
	"strconv"
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

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
		if o, err = order.Lock(tx, key); err != nil {
			return err
		}
		for _, s := range append(a.done, a.to) {
			if o.Status == s {
				return o.CheckHands(a.to)
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
// sell it again, so only a stock count puts it on a shelf. Who holds the parcel follows from the move: see
// order.Move.
func advance(tx *db.Tx, o *order.Order, to order.Status, at time.Time, h order.Happened) error {
	was := o.Status.InCustody()
	if err := order.Move(tx, o, to, at, h); err != nil {
		return err
	}
	if to == order.ReceivedAtStore {
		if err := beginHold(tx, o); err != nil {
			return err
		}
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
// confirmed order becomes ready on the way: a small store packs and leaves in one go. Who is to
// carry it to another store takes it there: see Transfer.
func (b *Book) PickUp(ctx context.Context, key int64, occurred time.Time) (order.Order, error) {
	return b.act(ctx, key, occurred, action{to: order.PickedUp, do: func(tx *db.Tx, o *order.Order, at time.Time) error {
		if o.Status == order.Confirmed {
			if err := advance(tx, o, order.ReadyForPickup, at, order.Happened{}); err != nil {
				return err
			}
		}
		return takeOut(tx, o, at)
	}})
}

// takeOut gives the parcel to a runner, who carries it to another store if it is to be brought there.
func takeOut(tx *db.Tx, o *order.Order, at time.Time) error {
	if o.Status == order.ReceivedAtStore && o.TransferTo != 0 {
		return sendOff(tx, o, at)
	}
	return advance(tx, o, order.PickedUp, at, order.Happened{})
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
	if err := o.CheckMove(order.EnrouteDropoff); err != nil {
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
// received_at_store. The customer's page shows the collection code from now on.
func (b *Book) Receive(ctx context.Context, key int64, occurred time.Time) (order.Order, error) {
	return b.act(ctx, key, occurred, action{to: order.ReceivedAtStore, do: receive})
}

func receive(tx *db.Tx, o *order.Order, at time.Time) error {
	return advance(tx, o, order.ReceivedAtStore, at, order.Happened{Reason: o.Reason})
}

// Collect gives the parcel to the customer who says the collection code: received_at_store ─►
// collected. Who comes after the end of the hold still gets it while it has not left the counter.
//
// Errors: besides those of every action, fault.Invalid wrong-code at /code; fault.Conflict
// code-locked after five wrong codes, right or not. The wrong tries are kept.
func (b *Book) Collect(ctx context.Context, key int64, code string, occurred time.Time) (order.Order, error) {
	var wrong error // returned after the commit: the count must outlive the refusal
	o, err := b.act(ctx, key, occurred, action{to: order.Collected, do: func(tx *db.Tx, o *order.Order, at time.Time) error {
		err := o.CheckMove(order.Collected)
		if err != nil && !expiredHere(o) {
			return err
		}
		wrong, err = collectionCode.try(tx, o, strings.TrimSpace(code), at, order.Happened{Reason: o.Reason})
		switch {
		case err != nil || fault.KindOf(wrong) == fault.Invalid:
			return err
		case wrong != nil:
			return wrong
		}
		if err := reopenHold(tx, o, at); err != nil {
			return err
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

// Return sends the parcel back to its sender: attempt_failed or received_at_store ─► enroute_to_return.
func (b *Book) Return(ctx context.Context, key int64, occurred time.Time) (order.Order, error) {
	return b.act(ctx, key, occurred, action{to: order.EnrouteReturn, do: func(tx *db.Tx, o *order.Order, at time.Time) error {
		return advance(tx, o, order.EnrouteReturn, at, order.Happened{Reason: o.Reason})
	}})
}

// Handover is what may prove that the sender took a parcel back; all of it may be left out.
type Handover struct {
	PhotoSHA256 string
	Location    *geo.Point
	AccuracyM   *float64
	Name        string // who took it
}

// Check names everything that is wrong with h as such.
func (h Handover) Check() error {
	var f fault.Fields
	e := h.event()
	e.checkPlace(&f)
	e.checkHands(&f)
	e.checkWords(&f)
	return f.Err()
}

func (h Handover) event() Event {
	return Event{Type: HandedOver, PhotoSHA256: h.PhotoSHA256, Location: h.Location, AccuracyM: h.AccuracyM, Name: h.Name}
}

// Returned says that the sender has the parcel again: enroute_to_return ─► returned.
func (b *Book) Returned(ctx context.Context, key int64, occurred time.Time) (order.Order, error) {
	return b.act(ctx, key, occurred, action{to: order.Returned, do: returned})
}

// ReturnedWith is Returned with a proof, the short way to report a visit to the sender: it stands for the
// events handed_over and completed of an attempt on the return leg, the one that has begun or a new one.
//
// Errors: besides those of every action, those of Record.
func (b *Book) ReturnedWith(ctx context.Context, key int64, occurred time.Time, h Handover) (o order.Order, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		v, err := openVisits(tx, key)
		if err != nil {
			return err
		}
		if v.o.Status != order.Returned {
			at, err := happened(occurred, v.o.CreatedAt, tx.Now())
			if err != nil {
				return err
			}
			if err := v.sayReturned(at, h); err != nil {
				return err
			}
		}
		err = v.save()
		o = v.o
		return err
	})
	return o, err
}

// sayReturned reports for somebody that the sender took the parcel.
func (v *visits) sayReturned(at time.Time, h Handover) error {
	if err := v.o.CheckMove(order.Returned); err != nil {
		return err
	}
	n := len(v.attempts)
	if n == 0 || v.attempts[n-1].Leg != LegReturn || v.attempts[n-1].Events.end() != nil {
		n++
	}
	id := ownIDs + "returned:" + strconv.Itoa(n)
	for _, e := range []Event{h.event(), {Type: Completed}} {
		e.ID = id + ":" + e.Type
		e.Order, e.Attempt, e.OccurredAt = v.o.Key, n, at
		switch result, refusal, err := v.record(v.theirs(e)); {
		case err != nil:
			return err
		case result == Refused:
			return refusal
		}
	}
	return nil
}

func returned(tx *db.Tx, o *order.Order, at time.Time) error {
	if err := advance(tx, o, order.Returned, at, order.Happened{Reason: o.Reason}); err != nil {
		return err
	}
	return finish(tx, o, order.Failed)
}
