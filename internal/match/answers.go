package match

import (
	"context"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// change runs f on an order in a transaction, writes it back when f says so, and gives the result.
func (b *Book) change(ctx context.Context, key int64, f func(*db.Tx, *holds, *order.Order) (changed bool, err error)) (Placed, error) {
	h := holds{b: b}
	var out Placed
	err := h.inTx(ctx, func(tx *db.Tx) error {
		o, err := order.Load(tx, key)
		if err != nil {
			return err
		}
		changed, err := f(tx, &h, &o)
		if err != nil {
			return err
		}
		if changed {
			if err := order.Save(tx, &o); err != nil {
				return err
			}
		}
		out, err = b.placed(tx, o)
		return err
	})
	if err != nil { // and out may be anything
		return Placed{}, err
	}
	return out, nil
}

// live is the order's assignment that is offered or accepted; nil when it has none.
func live(tx *db.Tx, o *order.Order) (*order.Assignment, error) {
	if o.Assignment == 0 {
		return nil, nil
	}
	a, err := order.LoadAssignment(tx, o.Assignment)
	if err != nil || (a.Status != order.Offered && a.Status != order.Accepted) {
		return nil, err
	}
	return &a, nil
}

// Cancel ends an order that nobody has taken out yet. Repeating it changes nothing.
func (b *Book) Cancel(ctx context.Context, key int64, reason, by string) (Placed, error) {
	if err := order.CheckReason("/reason", reason); err != nil {
		return Placed{}, err
	}
	return b.change(ctx, key, func(tx *db.Tx, _ *holds, o *order.Order) (bool, error) {
		if o.Status == order.Cancelled {
			return false, nil
		}
		if err := o.Status.Check(order.Cancelled); err != nil {
			return false, err
		}
		a, err := live(tx, o)
		if err != nil {
			return false, err
		}
		if a != nil {
			to := order.Withdrawn
			if a.Status == order.Accepted {
				to = order.Released
			}
			if err := order.MoveAssignment(tx, a, to, reason); err != nil {
				return false, err
			}
			if err := b.free(tx, o, a); err != nil {
				return false, err
			}
		}
		o.CancelledBy = by
		return true, order.Move(tx, o, order.Cancelled, time.Time{}, order.Happened{Reason: reason})
	})
}

// answer runs f on an assignment and its order.
func (b *Book) answer(ctx context.Context, assignment int64, f func(*db.Tx, *holds, *order.Order, *order.Assignment) (bool, error)) (Placed, error) {
	a, err := order.LoadAssignment(b.db.Read(ctx), assignment)
	if err != nil {
		return Placed{}, err
	}
	var own order.Assignment
	out, err := b.change(ctx, a.Order, func(tx *db.Tx, h *holds, o *order.Order) (bool, error) {
		if own, err = order.LoadAssignment(tx, assignment); err != nil {
			return false, err
		}
		changed, err := f(tx, h, o, &own)
		return changed, err
	})
	if err == nil && out.Order.Assignment != assignment {
		// The store hears what became of its own offer, not who got the order next.
		out.Assignment, out.Store = &own, nil
	}
	return out, err
}

// Accept is a store's yes. It comes too late when the deadline is over, whether or not the sweep
// has noticed yet.
func (b *Book) Accept(ctx context.Context, assignment int64) (Placed, error) {
	return b.answer(ctx, assignment, func(tx *db.Tx, _ *holds, o *order.Order, a *order.Assignment) (bool, error) {
		if a.Status == order.Accepted {
			return false, nil
		}
		if a.Status == order.Offered && a.Deadline != nil && tx.Now().After(*a.Deadline) {
			return false, fault.Refused("offer-expired", nil, "the offer ended at %s", a.Deadline.Format(time.RFC3339))
		}
		if err := order.MoveAssignment(tx, a, order.Accepted, ""); err != nil {
			return false, err
		}
		return true, order.Move(tx, o, order.Confirmed, time.Time{}, order.Happened{})
	})
}

// Decline is a store's no: the order goes to the next store.
func (b *Book) Decline(ctx context.Context, assignment int64, reason string) (Placed, error) {
	if err := order.CheckReason("/reason", reason); err != nil {
		return Placed{}, err
	}
	return b.lose(ctx, assignment, order.Declined, "order.offer_declined", reason)
}

// Release is a store giving an accepted order back before pick-up: it goes to the next store.
func (b *Book) Release(ctx context.Context, assignment int64, reason string) (Placed, error) {
	if err := order.CheckReason("/reason", reason); err != nil {
		return Placed{}, err
	}
	return b.lose(ctx, assignment, order.Released, "order.assignment_released", reason)
}

// lose takes the order away from a store and gives it to the next.
func (b *Book) lose(ctx context.Context, assignment int64, to order.AssignmentStatus, event, reason string) (Placed, error) {
	return b.answer(ctx, assignment, func(tx *db.Tx, h *holds, o *order.Order, a *order.Assignment) (bool, error) {
		if a.Status == to {
			return false, nil
		}
		if o.Status.InCustody() || o.Status.Terminal() {
			return false, fault.Refused("not-allowed-now", o.Status.Allowed(), "the order is %s already", o.Status)
		}
		if err := order.MoveAssignment(tx, a, to, reason); err != nil {
			return false, err
		}
		if err := heard(tx, a.Store, to); err != nil {
			return false, err
		}
		return true, b.passOn(tx, h, o, a, event, reason)
	})
}

// passOn frees what a lost assignment held and looks for the next store.
func (b *Book) passOn(tx *db.Tx, h *holds, o *order.Order, a *order.Assignment, event, reason string) error {
	if err := b.free(tx, o, a); err != nil {
		return err
	}
	if err := order.Note(tx, o, event, time.Time{}, order.Happened{Reason: reason}); err != nil {
		return err
	}
	o.Store, o.Assignment, o.DistanceM = 0, 0, 0
	if o.Status == order.Confirmed || o.Status == order.ReadyForPickup {
		o.Reroutes++
		if err := order.Move(tx, o, order.Created, time.Time{}, order.Happened{Reason: reason}); err != nil {
			return err
		}
	}
	tried, err := tried(tx, o.Key)
	if err != nil {
		return err
	}
	_, _, err = b.assign(tx, h, o, tried)
	return err
}

// tried are the stores that had their chance with an order.
func tried(q db.Queryer, key int64) (map[int64]bool, error) {
	as, err := order.Assignments(q, key)
	if err != nil {
		return nil, err
	}
	out := map[int64]bool{}
	for _, a := range as {
		out[a.Store] = true
	}
	return out, nil
}

// Reassign moves an order that has not left its store to another: the named one, or the next best
// when store is 0. A dispatcher may overrule hours and distance, but not capacity and stock: when
// the named store has none, nothing changes.
func (b *Book) Reassign(ctx context.Context, key, store int64) (Placed, error) {
	return b.change(ctx, key, func(tx *db.Tx, h *holds, o *order.Order) (bool, error) {
		if o.Status.InCustody() || o.Status.Terminal() {
			return false, fault.Refused("not-allowed-now", o.Status.Allowed(), "an order that is %s stays where it is", o.Status)
		}
		if store != 0 && store == o.Store {
			return false, nil
		}
		had, err := live(tx, o)
		if err != nil {
			return false, err
		}
		asked, err := tried(tx, o.Key)
		if err != nil {
			return false, err
		}
		if had != nil {
			to := order.Withdrawn
			if had.Status == order.Accepted {
				to = order.Superseded
			}
			if err := order.MoveAssignment(tx, had, to, ""); err != nil {
				return false, err
			}
		}
		if store != 0 {
			err = b.handTo(tx, h, o, had, store, len(asked)+1)
		} else if had != nil {
			if err = b.passOn(tx, h, o, had, "order.reassigned", ""); err == nil && o.Assignment == 0 {
				// Better where it is than nowhere; all of this is undone.
				err = fault.Refused("no-other-store", nil, "no other store can serve it (%s)", o.Reason)
			}
		} else {
			_, _, err = b.assign(tx, h, o, asked)
		}
		return true, err
	})
}

// handTo gives o to a named store.
func (b *Book) handTo(tx *db.Tx, h *holds, o *order.Order, had *order.Assignment, store int64, rank int) error {
	sh, ok := b.index.get(store)
	if !ok {
		return fault.InvalidField("/store_id", "unknown-store", "there is no such store")
	}
	q, inTime := b.askFor(o, tx.Now(), nil)
	if !inTime {
		return fault.Refused("window-over", nil, "the order's window is over")
	}
	if !sh.Value.takesOrders(tx.Now()) {
		return fault.Refused("store-cannot-serve", nil, "the store takes no orders now (%s)", statuses[sh.Value.about.Load().status])
	}
	p := &pick{shop: sh, slot: sh.Value.slotAt(q.Begin), m: metres(geo.DistanceM(o.Dropoff, sh.At)), items: q.Items}
	// The rows are asked whatever the index believes.
	a := &order.Assignment{Key: tx.NewKey()}
	switch lacks, err := b.claim(tx, p, a); {
	case err != nil:
		return err
	case lacks != none:
		return cannotServe(storeOf(&sh))
	}
	b.index.force(&p.shop, p.slot.UnixMilli(), p.items)
	h.keep(p)
	if had != nil {
		if err := b.free(tx, o, had); err != nil {
			return err
		}
	}
	if err := order.Note(tx, o, "order.reassigned", time.Time{}, order.Happened{}); err != nil {
		return err
	}
	if o.Status == order.Confirmed || o.Status == order.ReadyForPickup {
		o.Reroutes++
		if err := order.Move(tx, o, order.Created, time.Time{}, order.Happened{}); err != nil {
			return err
		}
	}
	return b.offer(tx, o, p, a, rank)
}

func cannotServe(s *partner.Store) error {
	return fault.Refused("store-cannot-serve", nil, "%s has no room or not all items at that time", s.Name)
}
