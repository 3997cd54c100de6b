package order

import (
	"slices"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/plainjson"
)

// Custody. The holder is a column of the order's row and not a table of its own: two holders, or none,
// cannot even be written, and the row's checks refuse a store that is not named, or named for nothing.
// It changes in hand alone, which also tells the log; Move calls it for every move, Hand is for moves of
// the parcel that leave the status as it is.
//
//	merchant ◄──► store ◄──► runner ──► customer, returned
//	               │ ▲         │  ▲         │
//	               ▼ │ found   │  └─────────┘ undone
//	               lost ◄──────┘

// hands says to whom each holder may give the parcel. A store may give it to another store: then nobody
// scanned it out, and the scan that finds it is right about where it is.
var hands = map[Holder][]Holder{
	HeldByMerchant: {HeldByStore},
	HeldByStore:    {HeldByStore, HeldByRunner, HeldByCustomer, HeldByMerchant, HeldBySender, Lost},
	HeldByRunner:   {HeldByStore, HeldByCustomer, HeldBySender, Lost},
	HeldByCustomer: {HeldByRunner},
	Lost:           {HeldByStore},
	HeldBySender:   {HeldByRunner},
}

// moved is what the log says of a parcel that changed hands.
type moved struct {
	from, to           Holder
	fromStore, toStore string
	cause              string
}

// JSON is what an event keeps of m.
func (m moved) JSON() string {
	w := plainjson.Writer{Buf: make([]byte, 0, 160)}
	w.Object("")
	w.String("from", string(m.from))
	w.NonEmpty("from_store_id", m.fromStore)
	w.String("to", string(m.to))
	w.NonEmpty("store_id", m.toStore)
	w.String("cause", m.cause)
	w.EndObject()
	return string(w.Buf)
}

// Hand gives the parcel of o to a holder, with a store exactly for HeldByStore, and notes it as
// custody.moved. cause says by what: the status that was entered, or "scan". The caller saves o. It is
// refused when such a parcel cannot come into those hands.
func Hand(tx *db.Tx, o *Order, to Holder, store int64, at time.Time, cause string) error {
	if o.Holder == to && o.HolderStore == store {
		return nil
	}
	if !slices.Contains(hands[o.Holder], to) {
		return fault.Refused("impossible-custody", o.Status.Allowed(), "a parcel that is held by %s cannot go to %s", o.Holder, to)
	}
	m := moved{from: o.Holder, to: to, fromStore: storeName(tx.Names(), o.HolderStore), toStore: storeName(tx.Names(), store), cause: cause}
	o.Holder, o.HolderStore = to, store
	if at.After(o.HeldSince) { // phones' clocks differ
		o.HeldSince = at
	}
	o.newStep(tx.Now())
	return event.Append(tx, &o.Chain, event.New{Type: "custody.moved", Subject: o.Key, Merchant: o.Merchant, Store: o.Store, OccurredAt: at, Data: m})
}

func storeName(n *ident.Names, key int64) string {
	if key == 0 {
		return ""
	}
	return n.Name(ident.Store, key)
}

// Elsewhere reports whether a store has the parcel that is not the order's.
func (o *Order) Elsewhere() bool { return o.Holder == HeldByStore && o.HolderStore != o.Store }

// AtStore reports whether the store with a key holds the parcel.
func (o *Order) AtStore(store int64) bool { return o.Holder == HeldByStore && o.HolderStore == store }

// ParcelElsewhere is the code of what is refused because another store has the parcel.
const ParcelElsewhere = "parcel-elsewhere"

// CheckMove is nil when o may move to a status: by the table, and because its parcel is not elsewhere.
func (o *Order) CheckMove(to Status) error {
	if err := o.Status.Check(to); err != nil {
		return err
	}
	return o.CheckHands(to)
}

// CheckHands refuses a status in which somebody here has the parcel while another store holds it.
func (o *Order) CheckHands(to Status) error {
	switch to {
	case ReadyForPickup, PickedUp, EnrouteDropoff, ArrivedDropoff, AttemptFailed, ReceivedAtStore, Delivered, Collected:
	default:
		return nil
	}
	if o.Elsewhere() {
		return fault.Refused(ParcelElsewhere, o.Status.Allowed(), "another store holds the parcel: it has to be scanned out there, and in here, first")
	}
	return nil
}

// follow gives the parcel to whom a status that was entered says it has.
func (o *Order) follow(tx *db.Tx, at time.Time) error {
	to, store := o.Holder, o.HolderStore
	switch o.Status {
	case ReadyForPickup, ReceivedAtStore:
		to, store = HeldByStore, o.Store
	case PickedUp, EnrouteDropoff, ArrivedDropoff:
		to, store = HeldByRunner, 0
	case Delivered, Collected:
		to, store = HeldByCustomer, 0
	case Returned:
		to, store = HeldBySender, 0
	case Created, Unassignable, Cancelled:
		// Goods lie on the shelf again and are nobody's parcel; a parcel stays where it is.
		if len(o.Details.Items) > 0 && o.Holder == HeldByStore && o.Reason != ReasonLost {
			to, store = HeldByMerchant, 0
		}
	}
	return Hand(tx, o, to, store, at, string(o.Status))
}

// entered tidies what only the status before needed.
func (o *Order) entered(now time.Time) {
	o.newStep(now)
	if o.Status != ReceivedAtStore {
		o.HoldDue = nil
		if o.TransferTo == 0 || o.Status != PickedUp { // between two stores it is still promised to be kept
			o.HoldUntil = nil
		}
	}
	switch o.Status {
	case ReadyForPickup, ReceivedAtStore, EnrouteDropoff, EnrouteReturn, Delivered, Collected, Returned, Cancelled:
		o.TransferTo = 0
	}
}

func (o *Order) newStep(now time.Time) { o.StepSince, o.StepTold = now, time.Time{} }

// amends are the moves beyond the table: no action leads there, only what its line says.
var amends = map[Status][]Status{
	Delivered:      {ArrivedDropoff},                 // completed was withdrawn: by the runner at once, or by a dispatcher
	AttemptFailed:  {ArrivedDropoff, EnrouteDropoff}, // failed was withdrawn
	ArrivedDropoff: {EnrouteDropoff},                 // all that had happened there was withdrawn
	Returned:       {EnrouteReturn},                  // as Delivered, at the sender's
	EnrouteReturn:  {ReceivedAtStore},                // the hold was over, but the customer came before it left
}

// Amend moves o to where the table does not lead: back from delivered, back to the counter that it has
// not left, and, from every state but an end, to cancelled because the parcel is lost. The caller saves o.
func Amend(tx *db.Tx, o *Order, to Status, at time.Time, h Happened) error {
	lost := to == Cancelled && h.Reason == ReasonLost && !o.Status.Terminal()
	if !lost && !slices.Contains(amends[o.Status], to) {
		return o.Status.Check(to)
	}
	return o.enter(tx, to, at, h)
}

// ReasonLost is why an order ends whose parcel nobody can find.
const ReasonLost = "lost"

// enter moves o to a status whatever the table says, and its parcel with it.
func (o *Order) enter(tx *db.Tx, to Status, at time.Time, h Happened) error {
	o.Status, o.Reason = to, h.Reason
	if err := Note(tx, o, "order."+string(to), at, h); err != nil {
		return err
	}
	o.entered(tx.Now())
	if at.IsZero() {
		at = tx.Now()
	}
	return o.follow(tx, at)
}

// CheckCustody names what is wrong about the holder of an order in its status; "" is nothing. The
// methods keep it so; tests and the audit ask.
func (o *Order) CheckCustody() string {
	if (o.Holder == HeldByStore) != (o.HolderStore != 0) {
		return "a store holds it and is not named, or the reverse"
	}
	ok := true
	switch o.Status {
	case Created, Unassignable, Confirmed:
		ok = o.Holder == HeldByMerchant || len(o.Details.Items) == 0 && (o.Holder == HeldByStore || o.Holder == HeldByRunner)
	case ReadyForPickup, ReceivedAtStore:
		ok = o.AtStore(o.Store)
	case PickedUp, AttemptFailed:
		ok = o.Holder == HeldByRunner || o.Elsewhere()
	case EnrouteDropoff, ArrivedDropoff:
		ok = o.Holder == HeldByRunner
	case EnrouteReturn:
		ok = o.Holder == HeldByRunner || o.Holder == HeldByStore
	case Delivered, Collected:
		ok = o.Holder == HeldByCustomer
	case Returned:
		ok = o.Holder == HeldBySender
	case Cancelled:
		ok = o.Holder != HeldByCustomer
	}
	if !ok {
		return string(o.Holder) + " holds the parcel of an order that is " + string(o.Status)
	}
	return ""
}

// FirstHoldDue is when the customer is first reminded of a parcel that a store keeps from now until an end:
// at half-time, or a day before the end if that comes first.
func FirstHoldDue(now, until time.Time) time.Time {
	half := now.Add(until.Sub(now) / 2)
	if next := NextHoldDue(now, until); next.Before(half) {
		return next
	}
	return half
}

// NextHoldDue is when something happens next to a parcel that a store keeps until an end: the reminder a
// day before, or the end.
func NextHoldDue(now, until time.Time) time.Time {
	if day := until.Add(-24 * time.Hour); day.After(now) {
		return day
	}
	return until
}
