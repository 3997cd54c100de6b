package dropoff

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/ident"
	"doorstep/internal/order"
)

// Book moves parcels and keeps the evidence.
type Book struct{ db *db.DB }

// NewBook is the book of the drop-offs in d.
func NewBook(d *db.DB) *Book { return &Book{d} }

// Attempts are the visits to an order's door, first to last, each with its chain in order;
// fault.Missing when there is no such order.
func (b *Book) Attempts(ctx context.Context, key int64) ([]Attempt, error) {
	q := b.db.Read(ctx)
	o, err := order.Load(q, key)
	if err != nil {
		return nil, err
	}
	list, err := loadAttempts(q, key)
	for i := range list {
		list[i].Flags = list[i].Events.Flags(&o, list[i].StartedAt)
	}
	return list, err
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
			OccurredAt: tx.Now(), Method: ByCustomer, Confirmed: true}
		switch {
		case v.known[e.ID]:
		case v.o.Status != order.Delivered && (v.o.Status != order.ArrivedDropoff || !v.chain(e.Attempt).has(Placed, HandedOver)):
			return notNow(&v.o, "the parcel was not put down or handed over yet")
		default:
			if err := v.keep(e, "customer"); err != nil {
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
// wrong-pin, …), Missing for the order, Conflict with what is allowed, code-locked after five wrong
// PINs, and for completed evidence-missing with fields that name what is missing.
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
	return b.db.InTx(ctx, func(tx *db.Tx) error { return insertPhoto(tx, owner, p) })
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
	attempts []Attempt
	known    map[string]bool // ids of the events that are kept
	changed  bool
}

func openVisits(tx *db.Tx, key int64) (*visits, error) {
	o, err := lockOrder(tx, key)
	if err != nil {
		return nil, err
	}
	v := &visits{tx: tx, o: o, known: map[string]bool{}}
	if v.attempts, err = loadAttempts(tx, key); err != nil {
		return nil, err
	}
	for _, a := range v.attempts {
		for _, e := range a.Events {
			v.known[e.ID] = true
		}
	}
	return v, nil
}

// chain is what is known of attempt n; nil before it began.
func (v *visits) chain(n int) Chain {
	if n < 1 || n > len(v.attempts) {
		return nil
	}
	return v.attempts[n-1].Events
}

// save writes the order back if anything happened to it.
func (v *visits) save() error {
	if !v.changed {
		return nil
	}
	return order.Save(v.tx, &v.o)
}

// keep writes an admitted event and everything that follows from it.
func (v *visits) keep(e Event, actor string) error {
	v.changed = true
	at := plausible(e.OccurredAt, v.o.CreatedAt, v.tx.Now())
	if err := v.reach(e, at); err != nil {
		return err
	}
	e.RecordedAt = v.tx.Now()
	if err := insertEvent(v.tx, &e, actor); err != nil {
		return err
	}
	v.known[e.ID] = true
	a := &v.attempts[e.Attempt-1]
	a.Events = append(a.Events, e)
	a.State, a.Grade = a.Events.State(), a.Events.Grade(v.o.Dropoff)
	h := order.Happened{Attempt: a.N, Grade: a.Grade}
	if e.Type == Failed {
		a.Reason, h.Reason = e.Reason, e.Reason
	}
	if ends(e.Type) == 1 {
		a.EndedAt = &at
	}
	if err := updateAttempt(v.tx, a); err != nil {
		return err
	}
	if v.o.Status == order.Delivered && e.Attempt == v.o.Attempts {
		v.o.Grade = a.Grade // late evidence
	}
	if err := order.Note(v.tx, &v.o, "dropoff."+e.Type, at, h); err != nil {
		return err
	}
	switch e.Type {
	case Failed:
		return advance(v.tx, &v.o, order.AttemptFailed, at, h)
	case Completed:
		v.o.Grade = a.Grade
		if err := advance(v.tx, &v.o, order.Delivered, at, h); err != nil {
			return err
		}
		return finish(v.tx, &v.o, order.Completed)
	}
	return nil
}

// reach moves the order to where e must have happened: phones lose the steps in between, or send
// them later. Old attempts move nothing.
func (v *visits) reach(e Event, at time.Time) error {
	if e.Attempt == v.o.Attempts+1 {
		from, err := v.since()
		if err != nil {
			return err
		}
		a, err := depart(v.tx, &v.o, from)
		if err != nil {
			return err
		}
		v.attempts = append(v.attempts, a)
	}
	if e.Attempt == v.o.Attempts && v.o.Status == order.EnrouteDropoff && e.Type != Failed {
		return advance(v.tx, &v.o, order.ArrivedDropoff, at, order.Happened{Attempt: e.Attempt})
	}
	return nil
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
