package dropoff

import (
	"context"
	"math"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// A transfer brings a parcel that is in custody to another store, which the order then belongs to. The
// order goes over as soon as no store of the old assignment holds the parcel any more: at once when a
// runner has it, and else when the old store scans it out, so that until then the customer may still
// collect it where it lies. (Before custody there is no parcel to carry, and match.Reassign finds
// another store. The parcel that a merchant brought already stays where it is meanwhile; the order's next
// step says so.)
//
// Goods off a shelf travel as the parcel they were packed as: they left the old store's shelf when the
// parcel did, and lie on the new one's, reserved, while it waits there to be taken out again.

// transferred is what the log says of a parcel that is to go to another store, or whose order has.
type transferred struct {
	Status     order.Status `json:"status"`
	From       string       `json:"from_store_id"`
	To         string       `json:"store_id"`
	Assignment string       `json:"assignment_id"` // audits compare them with the rows
	Reason     string       `json:"reason,omitempty"`
}

func noteTransfer(tx *db.Tx, o *order.Order, typ string, from, to int64, at time.Time, reason string) error {
	name := func(key int64) string { return tx.Names().Name(ident.Store, key) }
	return event.Append(tx, &o.Chain, event.New{Type: typ, Subject: o.Key, Merchant: o.Merchant, Store: o.Store, OccurredAt: at,
		Data: transferred{o.Status, name(from), name(to), tx.Names().Name(ident.Assignment, o.Assignment), reason}})
}

// Transfer has a parcel that is in custody brought to another store, for a reason code. Asking again
// changes nothing; naming the store that holds it takes the request back.
//
// Errors: fault.Missing for the order; fault.Invalid unknown-store at /store_id; fault.Conflict
// not-allowed-now, attempt-open while a runner is on the way to the door, and store-cannot-serve when the
// other store takes no orders or has no room today.
func (b *Book) Transfer(ctx context.Context, key, store int64, reason string) (o order.Order, err error) {
	if err := order.CheckReason("/reason", reason); err != nil {
		return o, err
	}
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if o, err = order.Lock(tx, key); err != nil {
			return err
		}
		switch o.Status {
		case order.PickedUp, order.AttemptFailed, order.ReceivedAtStore:
		case order.EnrouteDropoff, order.ArrivedDropoff:
			return attemptOpen(&o)
		default:
			return notNow(&o, "there is no parcel in custody to bring to another store")
		}
		if o.TransferTo == store || o.TransferTo == 0 && o.Store == store {
			return nil
		}
		if err := transfer(tx, &o, store, reason); err != nil {
			return err
		}
		return order.Save(tx, &o)
	})
	return o, err
}

func transfer(tx *db.Tx, o *order.Order, store int64, reason string) error {
	if o.Status == order.ReceivedAtStore {
		if store == o.Store {
			o.TransferTo = 0
			return noteTransfer(tx, o, "order.transfer_withdrawn", o.Store, store, time.Time{}, reason)
		}
		if _, err := openStore(tx, store); err != nil {
			return err
		}
		if err := noteTransfer(tx, o, "order.transfer_requested", o.Store, store, time.Time{}, reason); err != nil {
			return err
		}
		o.TransferTo = store
		o.StepSince, o.StepTold = tx.Now(), time.Time{}
		return nil
	}
	if err := noteTransfer(tx, o, "order.transfer_requested", o.Store, store, time.Time{}, reason); err != nil {
		return err
	}
	o.TransferTo = store
	if err := adopt(tx, o, tx.Now()); err != nil {
		return err
	}
	if o.AtStore(o.Store) { // it was brought there before anybody asked
		return arrive(tx, o, tx.Now())
	}
	return nil
}

// openStore is a store that may be given a parcel.
func openStore(tx *db.Tx, key int64) (partner.Store, error) {
	s, err := partner.LoadTx(tx, key)
	if fault.KindOf(err) == fault.NotFound || err == nil && s.Removed {
		return s, fault.InvalidField("/store_id", "unknown-store", "there is no such store")
	}
	if err == nil && s.StatusAt(tx.Now()) != partner.Active {
		err = fault.Refused("store-cannot-serve", nil, "the store takes no orders now (%s)", s.StatusAt(tx.Now()))
	}
	return s, err
}

// adopt gives o to the store it is on its way to: its assignment, and a unit of the first slot that has
// room. Hours do not count, since a dispatcher decides; capacity does. The live index is not told of two
// units among many: it finds out when it is wrong, as it does about what other processes claim.
func adopt(tx *db.Tx, o *order.Order, at time.Time) error {
	s, err := openStore(tx, o.TransferTo)
	if err != nil {
		return err
	}
	all, err := order.Assignments(tx, o.Key)
	if err != nil {
		return err
	}
	had, err := order.LoadAssignment(tx, o.Assignment)
	if err != nil {
		return err
	}
	now := tx.Now()
	a := order.Assignment{Key: tx.NewKey(), Order: o.Key, Store: s.Key, Status: order.Accepted, Rank: len(all) + 1,
		ScoreM: int(math.Round(geo.DistanceM(o.Dropoff, s.Location))), OfferedAt: now, AnsweredAt: &now}
	if err := claimRoom(tx, &s, &a); err != nil {
		return err
	}
	if err := order.MoveAssignment(tx, &had, order.Superseded, ""); err != nil {
		return err
	}
	if err := partner.ReleaseSlot(tx, had.Store, had.Slot); err != nil {
		return err
	}
	if err := order.InsertAssignment(tx, &a); err != nil {
		return err
	}
	from := o.Store
	o.Store, o.Assignment, o.DistanceM = s.Key, a.Key, a.ScoreM
	return noteTransfer(tx, o, "order.transferred", from, s.Key, at, "")
}

// claimRoom takes a unit of s's first slot within a day that has one for a.
func claimRoom(tx *db.Tx, s *partner.Store, a *order.Assignment) error {
	now := tx.Now()
	for at := now; at.Before(now.Add(24 * time.Hour)); at = at.Add(time.Duration(s.SlotMinutes) * time.Minute) {
		slot := s.SlotAt(at)
		prev, ok, err := partner.ClaimSlot(tx, s.Key, slot, a.Key)
		if err != nil {
			return err
		}
		if ok {
			a.Slot, a.Prev = slot, prev
			return nil
		}
	}
	return fault.Refused("store-cannot-serve", nil, "%s has no room today", s.Name)
}

// sendOff lets a parcel leave the counter for the store it is to be brought to.
func sendOff(tx *db.Tx, o *order.Order, at time.Time) error {
	if err := advance(tx, o, order.PickedUp, at, order.Happened{}); err != nil {
		return err
	}
	return adopt(tx, o, at)
}

// arrive does what follows when a parcel has come to the order's own store, which holds it already.
func arrive(tx *db.Tx, o *order.Order, at time.Time) error {
	p, err := order.PolicyOf(tx, o)
	if err != nil {
		return err
	}
	if o.Status == order.AttemptFailed && o.Undeliver == "return" && o.TransferTo == 0 {
		return advance(tx, o, order.EnrouteReturn, at, order.Happened{Reason: o.Reason})
	}
	stays := keptHere(o, p)
	if o.Status == order.AttemptFailed && stays {
		return receive(tx, o, at)
	}
	if err := advance(tx, o, order.ReadyForPickup, at, order.Happened{}); err != nil || !stays {
		return err
	}
	return receive(tx, o, at)
}

// keptHere reports whether a parcel that comes to its store waits there for the customer, and not for a
// runner.
func keptHere(o *order.Order, p order.Policy) bool {
	return o.Mode == order.CollectAtStore || o.HoldUntil != nil || o.Status == order.AttemptFailed && !o.MayRedeliver(p)
}

func attemptOpen(o *order.Order) error {
	return fault.Refused("attempt-open", o.Status.Allowed(), "a runner is on the way to the door (%s): report how attempt %d ended first", o.Status, o.Attempts)
}
