package dropoff

import (
	"context"
	"strconv"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// Lost says that nobody can find the parcel: the order ends as cancelled because it is lost, by whom, and
// an attempt that is under way ends with it. A scan finds it again; then it goes back to its sender.
// Repeating it changes nothing.
//
// Errors: fault.Missing; fault.Conflict not-allowed-now when the parcel was never here or has reached
// somebody for good.
func (b *Book) Lost(ctx context.Context, key int64, by string) (o order.Order, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		v, err := openVisits(tx, key)
		if err != nil {
			return err
		}
		if v.o.Holder != order.Lost {
			err = v.lose(by)
			v.changed = true
		}
		if err == nil {
			err = v.save()
		}
		o = v.o
		return err
	})
	return o, err
}

func (v *visits) lose(by string) error {
	tx, o := v.tx, &v.o
	now := tx.Now()
	switch {
	case o.Holder == order.HeldByMerchant:
		return notNow(o, "the parcel has not been here: cancel the order")
	case o.Status.Terminal() && o.Status != order.Cancelled, o.Holder == order.HeldBySender:
		return notNow(o, "the parcel has reached somebody")
	}
	if n := len(v.attempts); n > 0 && v.attempts[n-1].Events.end() == nil && !o.Status.Terminal() {
		// What a phone says of it later comes after its end.
		if err := v.keep(Event{ID: ownIDs + "lost:" + strconv.Itoa(n), Order: o.Key, Attempt: n, Type: Failed, OccurredAt: now,
			Reason: order.ReasonLost, Actor: event.Actor(tx.Context())}); err != nil {
			return err
		}
	}
	if o.Status != order.Cancelled {
		if err := v.writeOff(by); err != nil {
			return err
		}
	}
	return order.Hand(tx, o, order.Lost, 0, now, order.ReasonLost)
}

// writeOff ends an order whose parcel is lost.
func (v *visits) writeOff(by string) error {
	tx, o := v.tx, &v.o
	packed, custody := o.Status == order.ReadyForPickup, o.Status.InCustody()
	o.CancelledBy = by
	if err := order.Amend(tx, o, order.Cancelled, tx.Now(), order.Happened{Reason: order.ReasonLost}); err != nil {
		return err
	}
	if packed { // it was reserved on the shelf and is not there
		if err := partner.TakeStock(tx, o.Store, goods(o)); err != nil {
			return err
		}
	}
	if o.Assignment == 0 {
		return nil
	}
	a, err := order.LoadAssignment(tx, o.Assignment)
	if err != nil {
		return err
	}
	as := order.Failed
	switch a.Status {
	case order.Offered:
		as = order.Withdrawn
	case order.Accepted:
	default:
		return nil
	}
	if err := order.MoveAssignment(tx, &a, as, order.ReasonLost); err != nil || custody || packed {
		return err
	}
	return partner.ReleaseSlot(tx, a.Store, a.Slot) // that store never had anything to do with it
}
