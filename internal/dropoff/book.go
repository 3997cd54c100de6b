package dropoff

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/order"
)

// Book moves parcels and keeps the evidence.
type Book struct{ db *db.DB }

// NewBook is the book of the drop-offs in d.
func NewBook(d *db.DB) *Book { return &Book{d} }

// Attempts are the visits to an order's door, first to last, each with its chain in order and what a
// dispute made of it; fault.Missing when there is no such order.
func (b *Book) Attempts(ctx context.Context, key int64) ([]Attempt, error) {
	q := b.db.Read(ctx)
	o, err := order.Load(q, key)
	if err != nil {
		return nil, err
	}
	list, err := loadAttempts(q, key)
	if n := len(list); n > 0 {
		list[n-1].contest(o.Dispute)
	}
	return list, err
}

// OrderOf is the order of a visit; fault.Missing when there is no such visit.
func (b *Book) OrderOf(ctx context.Context, attempt int64) (key int64, err error) {
	err = b.db.Read(ctx).Get(&key, `SELECT order_key FROM attempt WHERE key = ?`, attempt)
	if errors.Is(err, db.ErrNoRows) {
		err = fault.Missing("visit")
	}
	return key, err
}

// contest shows what the customer's dispute made of the delivery.
func (a *Attempt) contest(dispute string) {
	states := map[string]string{order.DisputeOpen: Disputed, "upheld": Upheld, "rejected": Rejected}
	if s := states[dispute]; s != "" && a.State == Completed && a.Leg == LegDelivery {
		a.State = s
	}
}

// RetrievedByCustomer is "I have it" from the tracking page: the evidence becomes grade A. It is
// refused before the parcel was put down or handed over; repeating it changes nothing.
func (b *Book) RetrievedByCustomer(ctx context.Context, key int64) (o order.Order, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		v, err := openVisits(tx, key)
		if err != nil {
			return err
		}
		e := Event{ID: ownIDs + strconv.Itoa(v.o.Attempts), Order: key, Attempt: v.o.Attempts, Type: Retrieved,
			OccurredAt: tx.Now(), Method: ByCustomer, Confirmed: true, Actor: "customer"}
		switch {
		case v.known(e.ID) != nil:
		case v.o.Status != order.Delivered && (v.o.Status != order.ArrivedDropoff || !v.chain(e.Attempt).Effective().has(Placed, HandedOver)):
			return notNow(&v.o, "the parcel was not put down or handed over yet")
		default:
			if err := v.keep(e); err != nil {
				return err
			}
		}
		err = v.save()
		o = v.o
		return err
	})
	return o, err
}

// Record keeps what phones report: late, repeated or shuffled. There is one result for each event,
// in the order given, and a refused event stops no other. The events of one order are one
// transaction; when the database fails the error is returned, and everything may be sent again.
//
// The error of a refused event is a *fault.Error: Invalid naming the field (unknown-photo,
// photo-not-wanted, wrong-pin, a correction without its reason …), Missing for the order, Conflict with
// what is allowed, code-locked after five wrong PINs, too-many-events, and evidence-missing with fields that name what
// is missing: for completed, for a correction that would leave a delivery without its evidence, and for
// failed when the merchant asks for a wait or for calls. A delivery is not taken back too-late, nor
// while its dispute holds it frozen, nor, but by a dispatcher, once it is confirmed-by-customer.
func (b *Book) Record(ctx context.Context, events []Event) ([]Result, error) {
	results := make([]Result, len(events))
	var orders []int64
	byOrder := map[int64][]int{}
	for i, e := range events {
		if _, seen := byOrder[e.Order]; !seen {
			orders = append(orders, e.Order)
		}
		byOrder[e.Order] = append(byOrder[e.Order], i)
	}
	for _, key := range orders {
		err := b.db.InTx(ctx, func(tx *db.Tx) error {
			return recordOne(tx, key, events, byOrder[key], results)
		})
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

// SavePhoto keeps a photo under its hash; one that is there already stays whose it was. owner is the
// key that uploaded it.
func (b *Book) SavePhoto(ctx context.Context, owner int64, p Photo) error {
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		sha := hex.EncodeToString(p.SHA256[:])
		came, err := insertPhoto(tx, owner, sha, p)
		if err != nil {
			return err
		}
		return insertLook(tx, sha, p.Look, !came)
	})
}

// LoadPhoto is the JPEG with the hash sha, in lower-case hex; fault.Missing when there is none.
func (b *Book) LoadPhoto(ctx context.Context, sha string) ([]byte, error) {
	return loadPhoto(b.db.Read(ctx), sha)
}

// PhotoLife is how long the address of a photo works.
const PhotoLife = time.Hour

const photoPurpose = "photo"

// PhotoURLPath is an address of the photo for one hour; its signature is the permission to see it.
func PhotoURLPath(n *ident.Names, sha string, now time.Time) string {
	expires := now.Add(PhotoLife).Unix()
	return fmt.Sprintf("/v1/photos/%s?expires=%d&signature=%s", sha, expires, n.Sign(photoPurpose, photoText(sha, expires)))
}

// CheckPhotoURL reports whether PhotoURLPath made this address and now is not after its last second.
func CheckPhotoURL(n *ident.Names, sha string, expires int64, signature string, now time.Time) bool {
	return now.Unix() <= expires && n.Signed(photoPurpose, photoText(sha, expires), signature)
}

func photoText(sha string, expires int64) string { return sha + "|" + strconv.FormatInt(expires, 10) }

// visits are the attempts at one order while a transaction adds to them.
type visits struct {
	tx       *db.Tx
	o        order.Order
	policy   order.Policy
	attempts []Attempt
	batch    Chain // what is reported together
	changed  bool
}

func openVisits(tx *db.Tx, key int64) (*visits, error) {
	o, err := order.Lock(tx, key)
	if err != nil {
		return nil, err
	}
	v := &visits{tx: tx, o: o}
	if v.policy, err = order.PolicyOf(tx, &o); err != nil {
		return nil, err
	}
	v.attempts, err = loadAttempts(tx, key)
	return v, err
}

// known is the event that is kept under an id, or nil.
func (v *visits) known(id string) *Event {
	for i := range v.attempts {
		if e := v.attempts[i].Events.find(id); e != nil {
			return e
		}
	}
	return nil
}

// chain is what is known of attempt n; nil before it began.
func (v *visits) chain(n int) Chain {
	if n < 1 || n > len(v.attempts) {
		return nil
	}
	return v.attempts[n-1].Events
}

// leg is the one of attempt n, or of the one that would begin now.
func (v *visits) leg(n int) string {
	switch {
	case n >= 1 && n <= len(v.attempts):
		return v.attempts[n-1].Leg
	case v.o.Status == order.EnrouteReturn:
		return LegReturn
	}
	return LegDelivery
}

func (v *visits) asks(n int) Asks { return AsksOf(&v.o, &v.policy, v.leg(n)) }

// save writes the order back if anything happened to it.
func (v *visits) save() error {
	if !v.changed {
		return nil
	}
	return order.Save(v.tx, &v.o)
}

// since is when the order came into its present status: whoever did not say when they set out did
// so no earlier.
func (v *visits) since() (time.Time, error) {
	story, err := event.Story(v.tx, v.o.Chain.Last)
	if err != nil {
		return time.Time{}, err
	}
	for _, e := range slices.Backward(story) {
		if e.Type == "order."+string(v.o.Status) {
			return e.OccurredAt, nil
		}
	}
	return v.tx.Now(), nil
}
