package dropoff

import (
	"context"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/order"
)

// Hold at the store. The counter keeps a parcel as long as the merchant's policy says, and the log
// reminds at half-time and a day before the end. At the end it is to go back: the order is
// enroute_to_return because of hold_expired, and the store holds it until it is scanned out. Until then
// a customer who comes after all still gets it, and may still ask for more time: nobody is turned away
// from a parcel that lies in front of them.

// MaxHold is how far ahead the end of a hold may be put by the people of the network.
const MaxHold = 30 * 24 * time.Hour

// held is what the log says of a hold.
type held struct {
	Status order.Status `json:"status"`
	Store  string       `json:"store_id"`
	Until  string       `json:"hold_until"`
}

func noteHold(tx *db.Tx, o *order.Order, typ string) error {
	return event.Append(tx, &o.Chain, event.New{Type: typ, Subject: o.Key, Merchant: o.Merchant, Store: o.Store,
		Data: held{o.Status, tx.Names().Name(ident.Store, o.HolderStore), o.HoldUntil.UTC().Format(time.RFC3339)}})
}

// beginHold starts the time that the counter keeps o's parcel.
func beginHold(tx *db.Tx, o *order.Order) error {
	p, err := order.PolicyOf(tx, o)
	if err != nil {
		return err
	}
	until := tx.Now().Add(p.HoldLife())
	due := order.FirstHoldDue(tx.Now(), until)
	o.HoldUntil, o.HoldDue, o.HoldExtensions = &until, &due, 0
	return nil
}

// ExtendHold has the store keep a parcel longer, by the days of the merchant's policy and free of charge.
// byCustomer says that the recipient asks, who may as often as the policy allows; people of the network
// may until MaxHold from now. After the end it begins anew, as long as the parcel has not left.
//
// Errors: fault.Missing; fault.Conflict not-allowed-now when no store keeps the parcel, and
// no-extension-left.
func (b *Book) ExtendHold(ctx context.Context, key int64, byCustomer bool) (order.Order, error) {
	return b.hold(ctx, key, func(tx *db.Tx, o *order.Order, p *order.Policy) (time.Time, error) {
		if byCustomer && o.HoldExtensions >= p.HoldExtensions {
			return time.Time{}, fault.Refused("no-extension-left", nil, "the store keeps it until %s; ask the shop for more time", clockTime(o.HoldUntil))
		}
		from := tx.Now()
		if o.HoldUntil != nil && o.HoldUntil.After(from) {
			from = *o.HoldUntil
		}
		return from.Add(time.Duration(p.HoldExtensionDays) * 24 * time.Hour), nil
	})
}

// HoldTo has the store keep a parcel until a time, which is at most MaxHold from now and not before the
// present end. Asking again changes nothing.
func (b *Book) HoldTo(ctx context.Context, key int64, until time.Time) (order.Order, error) {
	return b.hold(ctx, key, func(tx *db.Tx, o *order.Order, _ *order.Policy) (time.Time, error) {
		until := until.UTC().Truncate(time.Millisecond)
		switch {
		case o.HoldUntil != nil && until.Before(*o.HoldUntil):
			return until, fault.InvalidField("/hold_until", "too-early", "the customer was told %s: a hold is not cut short", clockTime(o.HoldUntil))
		case !until.After(tx.Now()):
			return until, fault.InvalidField("/hold_until", "in-the-past", "it is %s now", tx.Now().Format(time.RFC3339))
		}
		return until, nil
	})
}

func clockTime(t *time.Time) string {
	if t == nil {
		return "now"
	}
	return t.UTC().Format(time.RFC3339)
}

// hold puts the end of a hold where f says.
func (b *Book) hold(ctx context.Context, key int64, f func(*db.Tx, *order.Order, *order.Policy) (time.Time, error)) (o order.Order, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if o, err = order.Lock(tx, key); err != nil {
			return err
		}
		if o.Status != order.ReceivedAtStore && !expiredHere(&o) {
			return notNow(&o, "no store keeps it for collection")
		}
		p, err := order.PolicyOf(tx, &o)
		if err != nil {
			return err
		}
		until, err := f(tx, &o, &p)
		if err != nil {
			return err
		}
		if o.HoldUntil != nil && until.Equal(*o.HoldUntil) {
			return nil
		}
		if most := tx.Now().Add(MaxHold); until.After(most) {
			return fault.Refused("no-extension-left", nil, "a store keeps a parcel until %s at most", clockTime(&most))
		}
		if err := reopenHold(tx, &o, tx.Now()); err != nil {
			return err
		}
		due := order.NextHoldDue(tx.Now(), until)
		o.HoldUntil, o.HoldDue = &until, &due
		o.HoldExtensions++
		if err := noteHold(tx, &o, "order.hold_extended"); err != nil {
			return err
		}
		return order.Save(tx, &o)
	})
	return o, err
}

// expiredHere reports whether o's hold is over and its parcel has not left the counter.
func expiredHere(o *order.Order) bool {
	return o.Status == order.EnrouteReturn && o.Reason == "hold_expired" && o.AtStore(o.Store)
}

// reopenHold puts a parcel whose hold is over, and that has not left, back to those that wait.
func reopenHold(tx *db.Tx, o *order.Order, at time.Time) error {
	if !expiredHere(o) {
		return nil
	}
	return order.Amend(tx, o, order.ReceivedAtStore, at, order.Happened{})
}

// holdsAtOnce is how many holds one round looks at: a few milliseconds of the writer.
const holdsAtOnce = 200

// EndHolds reminds of parcels that wait, and sends back those whose time is over. It returns how many.
// Running it twice, or on two processes, does nothing more.
func (b *Book) EndHolds(ctx context.Context) (total int, err error) {
	for {
		var due []int64
		if err := b.db.Read(ctx).Select(&due, `SELECT key FROM orders WHERE hold_due IS NOT NULL AND hold_due <= ? ORDER BY hold_due LIMIT ?`,
			b.db.Now().UnixMilli(), holdsAtOnce); err != nil || len(due) == 0 {
			return total, err
		}
		n, err := b.each(ctx, due, endHold)
		total += n
		if err != nil || n == 0 { // what cannot be ended now must not be asked for ever
			return total, err
		}
	}
}

// AnyHoldDue reports whether EndHolds would find something.
func (b *Book) AnyHoldDue(ctx context.Context) (bool, error) {
	return b.any(ctx, `SELECT count(*) FROM (SELECT 1 FROM orders WHERE hold_due IS NOT NULL AND hold_due <= ? LIMIT 1) x`, b.db.Now().UnixMilli())
}

func (b *Book) any(ctx context.Context, query string, args ...any) (bool, error) {
	var n int
	err := b.db.Read(ctx).Get(&n, query, args...)
	return n > 0, err
}

// each runs f on several orders, each in its own transaction, and counts those it changed.
func (b *Book) each(ctx context.Context, keys []int64, f func(*db.Tx, *order.Order) (changed bool, err error)) (total int, err error) {
	fs := make([]func(*db.Tx) error, len(keys))
	did := make([]bool, len(keys))
	for i, key := range keys {
		fs[i] = func(tx *db.Tx) error {
			did[i] = false
			o, err := order.Lock(tx, key)
			if err != nil {
				return err
			}
			if did[i], err = f(tx, &o); err != nil || !did[i] {
				return err
			}
			return order.Save(tx, &o)
		}
	}
	for i, e := range b.db.InTxs(ctx, fs) {
		switch {
		case e == nil && did[i]:
			total++
		case e != nil && err == nil:
			err = e
		}
	}
	return total, err
}

// endHold does what is due about one hold.
func endHold(tx *db.Tx, o *order.Order) (bool, error) {
	now := tx.Now()
	if o.Status != order.ReceivedAtStore || o.HoldDue == nil || o.HoldDue.After(now) {
		return false, nil
	}
	until := *o.HoldUntil
	if now.Before(until) {
		due := order.NextHoldDue(now, until)
		o.HoldDue = &due
		return true, noteHold(tx, o, "order.hold_reminder")
	}
	if err := noteHold(tx, o, "order.hold_expired"); err != nil {
		return false, err
	}
	return true, advance(tx, o, order.EnrouteReturn, now, order.Happened{Reason: "hold_expired"})
}
