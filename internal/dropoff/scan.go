package dropoff

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/order"
)

// Scanning. Any store may scan any parcel: whoever can read the label has the parcel in hand, and a label
// cannot be guessed. A scan in is right about where the parcel is, whatever the records said; a scan out
// is taken from the store that has it alone. Devices report late and twice: a scan keeps its id for good,
// and one from before the parcel last changed hands is kept and moves nothing. So a device whose clock is
// slow is believed a little later; Scanned.Moved tells it.

// Directions of a scan, and to whom a parcel goes that is scanned out.
const (
	ScanIn     = "in"
	ScanOut    = "out"
	ToRunner   = "runner"
	ToMerchant = "merchant"
	ToStore    = "store"
)

// Scan is a label read at a store.
type Scan struct {
	ID         string // made by the device; one scan of its store, however often it is sent
	Order      int64
	Store      int64
	Direction  string
	To         string // of ScanOut; "" is ToRunner
	ToStore    int64  // of ToStore, else 0
	OccurredAt time.Time
}

// Scanned is what became of a scan. Err is a *fault.Error when it was refused.
type Scanned struct {
	ID     string
	Result string
	Err    error
	Moved  bool        // the parcel changed hands, or its order its status
	Order  order.Order // as it is now, of a scan that was not refused
	Step   *order.Step // what to do next
}

// Check names everything that is wrong with a scan as such.
func (s Scan) Check() error {
	var f fault.Fields
	if !eventID.MatchString(s.ID) {
		f.Add("/id", "invalid", "1 to 64 letters, digits, and _ . : -")
	}
	if s.Direction != ScanIn && s.Direction != ScanOut {
		f.Add("/direction", "unknown-value", "one of in, out")
	}
	switch {
	case s.Direction == ScanIn && (s.To != "" || s.ToStore != 0):
		f.Add("/to", "contradiction", "only who scans out says to whom")
	case !slices.Contains([]string{"", ToRunner, ToMerchant, ToStore}, s.To):
		f.Add("/to", "unknown-value", "one of runner, merchant, store")
	case s.To == ToStore && s.ToStore == 0:
		f.Add("/store_id", "required", "say to which store")
	case s.To != ToStore && s.ToStore != 0:
		f.Add("/store_id", "contradiction", "only a scan out to a store names one")
	}
	if s.OccurredAt.IsZero() {
		f.Add("/occurred_at", "required", "when it was read, by the device's clock")
	}
	return f.Err()
}

// Scan takes what stores read off labels, each by itself: one result for each scan in the order given,
// and a refused one stops no other. When the database fails the error is returned, and everything may be
// sent again.
//
// The error of a refused scan is Invalid naming the field, Missing for the order, or Conflict:
// not-allowed-now after the end, attempt-open while a runner is on the way to the door, not-packed for
// goods that lie on a shelf, not-here for a scan out of what another has, nowhere-to-go while no store has
// the order, no-transfer to a store that nobody asked to bring it to, store-cannot-serve when that has no
// room, and id-taken.
func (b *Book) Scan(ctx context.Context, scans []Scan) ([]Scanned, error) {
	out := make([]Scanned, len(scans))
	var places []int
	for i, s := range scans {
		out[i].ID = s.ID
		if err := s.Check(); err != nil {
			out[i].Result, out[i].Err = Refused, err
			continue
		}
		places = append(places, i)
	}
	slices.SortStableFunc(places, func(i, j int) int {
		a, b := scans[i], scans[j]
		// Of one moment, in before out.
		return cmp.Or(a.OccurredAt.Compare(b.OccurredAt), strings.Compare(a.Direction, b.Direction))
	})
	fs := make([]func(*db.Tx) error, len(places))
	for n, i := range places {
		fs[n] = func(tx *db.Tx) error {
			out[i] = Scanned{ID: scans[i].ID}
			return scanOne(tx, scans[i], &out[i])
		}
	}
	for n, err := range b.db.InTxs(ctx, fs) {
		r := &out[places[n]]
		switch {
		case fault.As(err) != nil && fault.KindOf(err) != fault.Unavailable && fault.KindOf(err) != fault.Full:
			*r = Scanned{ID: r.ID, Result: Refused, Err: err}
		case err != nil:
			return nil, err
		}
	}
	return out, nil
}

func scanOne(tx *db.Tx, s Scan, r *Scanned) error {
	o, err := order.Lock(tx, s.Order)
	if err != nil {
		return err
	}
	known, err := knownScan(tx, &s)
	if err != nil {
		return err
	}
	r.Result = Duplicate
	if !known {
		r.Result = Recorded
		if err := takeScan(tx, &o, s, r); err != nil {
			return err
		}
	}
	p, err := order.PolicyOf(tx, &o)
	r.Order, r.Step = o, order.NextStep(&o, p)
	return err
}

func takeScan(tx *db.Tx, o *order.Order, s Scan, r *Scanned) error {
	at, err := happened(s.OccurredAt, o.CreatedAt, tx.Now())
	if err != nil {
		return err
	}
	holder, store, status := o.Holder, o.HolderStore, o.Status
	switch {
	case at.Before(o.HeldSince):
		if err := noteScan(tx, o, s, at); err != nil {
			return err
		}
	case s.Direction == ScanIn:
		err = scanIn(tx, o, s, at)
	default:
		err = scanOut(tx, o, s, at)
	}
	if err != nil {
		return err
	}
	r.Moved = o.Holder != holder || o.HolderStore != store || o.Status != status
	if err := insertScan(tx, &s, r.Moved); err != nil {
		return err
	}
	return order.Save(tx, o)
}

// scanned is what the log says of a scan that came after a later one.
type scanned struct {
	Store     string `json:"store_id"`
	Direction string `json:"direction"`
}

func noteScan(tx *db.Tx, o *order.Order, s Scan, at time.Time) error {
	return event.Append(tx, &o.Chain, event.New{Type: "custody.scanned_late", Subject: o.Key, Merchant: o.Merchant, Store: o.Store, OccurredAt: at,
		Data: scanned{tx.Names().Name(ident.Store, s.Store), s.Direction}})
}

// byScan is the cause of a move that a scan makes.
const byScan = "scan"

// scanIn has the parcel at the scan's store.
func scanIn(tx *db.Tx, o *order.Order, s Scan, at time.Time) error {
	own := s.Store == o.Store
	switch {
	case o.Status == order.Delivered || o.Status == order.Collected || o.Status == order.Returned:
		return notNow(o, "the parcel has reached somebody for good")
	case o.Status == order.EnrouteDropoff || o.Status == order.ArrivedDropoff:
		return attemptOpen(o)
	case len(o.Details.Items) > 0 && o.Holder == order.HeldByMerchant && (!own || o.Status != order.Confirmed):
		return fault.Refused("not-packed", o.Status.Allowed(), "its goods lie on a shelf: the store of the order packs them first")
	case !own && (o.Status == order.ReadyForPickup || o.Status == order.ReceivedAtStore):
		// It left its store and nobody scanned it out.
		if err := leave(tx, o, s.Store, at); err != nil {
			return err
		}
		own = s.Store == o.Store
	}
	if o.Holder != order.HeldByMerchant || len(o.Details.Items) == 0 { // else packing it gives it to the store
		if err := order.Hand(tx, o, order.HeldByStore, s.Store, at, byScan); err != nil {
			return err
		}
	}
	if own && (o.Status == order.Confirmed || o.Status == order.PickedUp || o.Status == order.AttemptFailed) {
		return arrive(tx, o, at)
	}
	return nil
}

func leave(tx *db.Tx, o *order.Order, to int64, at time.Time) error {
	if o.Status == order.ReceivedAtStore && o.TransferTo == to {
		return sendOff(tx, o, at)
	}
	o.TransferTo = 0
	return advance(tx, o, order.PickedUp, at, order.Happened{})
}

// scanOut has the parcel leave the scan's store.
func scanOut(tx *db.Tx, o *order.Order, s Scan, at time.Time) error {
	if !o.AtStore(s.Store) {
		switch {
		case s.To != ToRunner && s.To != "":
		case s.Store == o.Store && o.Status == order.Confirmed && o.Holder == order.HeldByMerchant:
			return outToRunner(tx, o, s, at) // a small store packs and leaves in one go
		case s.Store == o.Store && o.Status == order.PickedUp && o.Holder == order.HeldByRunner:
			return nil // it said so by pick-up
		}
		return fault.Refused("not-here", o.Status.Allowed(), "by the records it is not at this store: scan it in first")
	}
	switch s.To {
	case ToStore:
		return outToStore(tx, o, s, at)
	case ToMerchant:
		return outToMerchant(tx, o, at)
	}
	return outToRunner(tx, o, s, at)
}

func outToRunner(tx *db.Tx, o *order.Order, s Scan, at time.Time) error {
	switch {
	case o.Status == order.Created || o.Status == order.Unassignable:
		return fault.Refused("nowhere-to-go", o.Status.Allowed(), "no store has the order yet: keep the parcel until one has")
	case s.Store != o.Store:
	case o.Status == order.Confirmed:
		if err := advance(tx, o, order.ReadyForPickup, at, order.Happened{}); err != nil {
			return err
		}
		return advance(tx, o, order.PickedUp, at, order.Happened{})
	case o.Status == order.ReadyForPickup || o.Status == order.ReceivedAtStore:
		return takeOut(tx, o, at)
	}
	return order.Hand(tx, o, order.HeldByRunner, 0, at, byScan)
}

// outToStore lets the parcel go home, or to where somebody asked it to be brought.
func outToStore(tx *db.Tx, o *order.Order, s Scan, at time.Time) error {
	switch {
	case o.Status == order.ReceivedAtStore && o.TransferTo == s.ToStore:
		return sendOff(tx, o, at)
	case o.Elsewhere() && o.Store == s.ToStore && slices.Contains([]order.Status{order.Confirmed, order.PickedUp, order.AttemptFailed}, o.Status):
		return order.Hand(tx, o, order.HeldByRunner, 0, at, byScan)
	}
	return fault.Refused("no-transfer", o.Status.Allowed(), "nobody asked for it to be brought there: ask the network for a transfer")
}

func outToMerchant(tx *db.Tx, o *order.Order, at time.Time) error {
	switch o.Status {
	case order.EnrouteReturn:
		return returned(tx, o, at)
	case order.Cancelled:
		return order.Hand(tx, o, order.HeldBySender, 0, at, byScan)
	case order.Created, order.Unassignable, order.Confirmed:
		return order.Hand(tx, o, order.HeldByMerchant, 0, at, byScan)
	}
	return notNow(o, "return or cancel the order before the merchant takes the parcel back")
}

// knownScan reports whether a scan was taken before. The same id for something else is refused.
func knownScan(tx *db.Tx, s *Scan) (bool, error) {
	var had []struct {
		Order     int64  `db:"order_key"`
		Direction string `db:"direction"`
	}
	if err := tx.Select(&had, `SELECT order_key, direction FROM scan WHERE store_key = ? AND client_id = ?`, s.Store, s.ID); err != nil || len(had) == 0 {
		return false, err
	}
	if had[0].Order != s.Order || had[0].Direction != s.Direction {
		return true, fault.Refused("id-taken", nil, "this store used the id %q for another scan", s.ID)
	}
	return true, nil
}

func insertScan(tx *db.Tx, s *Scan, moved bool) error {
	row := []any{tx.NewKey(), s.Store, s.ID, s.Order, s.Direction, s.To, s.ToStore, moved, event.Actor(tx.Context()),
		s.OccurredAt.UnixMilli(), tx.Now().UnixMilli()}
	seal, err := scans.Seal(slices.Clone(row)...)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`INSERT INTO scan (`+scanColumns+`, seal) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, append(row, seal)...)
	if err == nil && n == 0 {
		return db.ErrAgain
	}
	return err
}
