package care

import (
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

// Book is what one can ask of incidents and ratings.
type Book struct{ db *db.DB }

// NewBook is the book of the incidents in d.
func NewBook(d *db.DB) *Book { return &Book{d} }

// change loads an order for a change of what is said about it, and saves it when f says so.
func (b *Book) change(ctx context.Context, key int64, f func(tx *db.Tx, o *order.Order) (changed bool, err error)) (o order.Order, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if o, err = order.Lock(tx, key); err != nil {
			return err
		}
		changed, err := f(tx, &o)
		if err != nil || !changed {
			return err
		}
		return order.Save(tx, &o)
	})
	return o, err
}

// Dispute says that something is wrong with a delivery. However often, and from however many places at
// once: one incident. Another text while it is open is added to it; the same text is a repeat.
//
// Errors: fault.Invalid for the reason or the text; those of MayDispute; fault.Conflict too-many.
func (b *Book) Dispute(ctx context.Context, key int64, reason, text string) (order.Order, error) {
	var f fault.Fields
	if reason == "" {
		f.Add("/reason", "required", "say what is wrong")
	}
	f.AddErr("", order.CheckReason("/reason", reason))
	f.AddErr("", order.CheckText("/note", text, MaxNote))
	if err := f.Err(); err != nil {
		return order.Order{}, err
	}
	return b.change(ctx, key, func(tx *db.Tx, o *order.Order) (bool, error) {
		past, err := ofOrder(tx, o.Key)
		if err != nil {
			return false, err
		}
		if err := MayDispute(o, past, tx.Now()); err != nil {
			return false, err
		}
		said := order.Remark{Kind: order.Disputed, Reason: reason, Text: text}
		if open := find(past, Dispute); open != nil {
			return b.add(tx, o, open, said)
		}
		i := begin(tx, o, Dispute)
		i.Reason, said.Incident = reason, i.Key
		o.Dispute = Open
		if err := order.AddRemark(tx, o, said); err != nil {
			return false, err
		}
		return true, insert(tx, &i)
	})
}

// add keeps what is said while an incident is open; what its newest remark says already is a repeat.
func (b *Book) add(tx *db.Tx, o *order.Order, i *Incident, said order.Remark) (bool, error) {
	last, ok, err := order.LastRemark(tx, o.Key, said.Kind)
	if err != nil || ok && !last.CreatedAt.Before(i.OpenedAt) && last.Reason == said.Reason && last.Text == said.Text {
		return false, err
	}
	return true, order.AddRemark(tx, o, said)
}

// Withdraw takes an open dispute back: the parcel turned up. Without one it changes nothing.
func (b *Book) Withdraw(ctx context.Context, key int64) (order.Order, error) {
	return b.change(ctx, key, func(tx *db.Tx, o *order.Order) (bool, error) {
		past, err := ofOrder(tx, o.Key)
		if err != nil {
			return false, err
		}
		open := find(past, Dispute)
		if open == nil {
			return false, nil
		}
		return true, end(tx, o, open, Resolution{Outcome: Withdrawn})
	})
}

// Message asks the people who handle the order something: it stands in their queue until it is
// answered. While a dispute is open it goes to who looks into that.
//
// Errors: fault.Invalid for the text; fault.Conflict too-many.
func (b *Book) Message(ctx context.Context, key int64, text string) (order.Order, error) {
	if strings.TrimSpace(text) == "" {
		return order.Order{}, fault.InvalidField("/text", "required", "say something")
	}
	if err := order.CheckText("/text", text, MaxMessage); err != nil {
		return order.Order{}, err
	}
	return b.change(ctx, key, func(tx *db.Tx, o *order.Order) (bool, error) {
		past, err := ofOrder(tx, o.Key)
		if err != nil {
			return false, err
		}
		said := order.Remark{Kind: order.MessageReceived, Text: text}
		open := find(past, Message)
		if open == nil {
			open = find(past, Dispute)
		}
		if open != nil {
			return b.add(tx, o, open, said)
		}
		i := begin(tx, o, Message)
		said.Incident = i.Key
		if err := order.AddRemark(tx, o, said); err != nil {
			return false, err
		}
		return true, insert(tx, &i)
	})
}

// find is the open incident of a kind, or nil.
func find(past []Incident, kind string) *Incident {
	n := slices.IndexFunc(past, func(i Incident) bool { return i.Kind == kind && i.Status == Open })
	if n < 0 {
		return nil
	}
	return &past[n]
}

// begin is a new incident about o as it stands.
func begin(tx *db.Tx, o *order.Order, kind string) Incident {
	return Incident{Key: tx.NewKey(), Order: o.Key, Merchant: o.Merchant, Store: o.Store, Kind: kind, Status: Open,
		OpenedAt: tx.Now(), OpenedBy: event.Actor(tx.Context()), At: o.Chain, Then: thenOf(o)}
}

// told is what the log says of an incident.
type told struct {
	ID      string `json:"incident_id"`
	OrderID string `json:"order_id"`
	Kind    string `json:"kind"`
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
}

func (i *Incident) tell(tx *db.Tx) told {
	return told{tx.Names().Name(ident.Incident, i.Key), tx.Names().Name(ident.Order, i.Order), i.Kind, i.Status, i.Reason}
}

func (i *Incident) note(tx *db.Tx, what string) error {
	return event.Append(tx, &i.chain, event.New{Type: "incident." + what, Subject: i.Key, Merchant: i.Merchant, Store: i.Store, Data: i.tell(tx)})
}

// end resolves an open incident, on its own story and on the order's, whose page shows it. The caller
// saves o.
func end(tx *db.Tx, o *order.Order, i *Incident, r Resolution) error {
	now := tx.Now()
	i.Status, i.Note, i.Answer, i.ResolvedAt, i.ResolvedBy = r.Outcome, r.Note, r.Answer, &now, event.Actor(tx.Context())
	what := "order.message_answered"
	if i.Kind == Dispute {
		what = "order.dispute_" + r.Outcome
		if o.Dispute = r.Outcome; r.Outcome == Withdrawn {
			o.Dispute = ""
		}
		if err := order.Regrade(tx, o); err != nil {
			return err
		}
	}
	if err := i.note(tx, "resolved"); err != nil {
		return err
	}
	if err := event.Append(tx, &o.Chain, event.New{Type: what, Subject: o.Key, Merchant: o.Merchant, Store: o.Store, Data: i.tell(tx)}); err != nil {
		return err
	}
	return update(tx, i)
}

// Resolve ends an incident; of an erased order's without words. Doing so again with the same outcome gives
// what it gave the first time. A version that is not nil is the one that the sender has seen.
//
// Errors: fault.Invalid; fault.Missing; fault.Stale; fault.Conflict already-resolved, and for an outcome
// that the kind cannot have not-allowed-now with those it can.
func (b *Book) Resolve(ctx context.Context, key int64, version *int64, r Resolution) (i Incident, err error) {
	if err := r.Check(); err != nil {
		return i, err
	}
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if i, err = load(tx, key); err != nil {
			return err
		}
		o, err := order.Lock(tx, i.Order)
		if err != nil {
			return err
		}
		if i, err = load(tx, key); err != nil { // as it is now that nobody else has the order
			return err
		}
		again, err := i.admit(r, version)
		if again || err != nil {
			return err
		}
		r := r
		if o.ErasedAt != nil { // nobody would ever take the words out again
			r.Note, r.Answer = "", ""
		}
		if err := end(tx, &o, &i, r); err != nil {
			return err
		}
		return order.Save(tx, &o)
	})
	return i, err
}

// Get is one incident; fault.Missing when there is none.
func (b *Book) Get(ctx context.Context, key int64) (Incident, error) {
	return load(b.db.Read(ctx), key)
}

// OfOrder are all incidents of an order, oldest first.
func (b *Book) OfOrder(ctx context.Context, key int64) ([]Incident, error) {
	return ofOrder(b.db.Read(ctx), key)
}

// Filter narrows a list of incidents; zero fields do not. Cursor is the last key of the page before.
type Filter struct {
	Statuses []string
	Kind     string
	Cursor   int64
	Limit    int
}

// List is a page of incidents, oldest first: the first has waited longest. more says whether others follow.
func (b *Book) List(ctx context.Context, f Filter) (list []Incident, more bool, err error) {
	if list, err = page(b.db.Read(ctx), f); err != nil || len(list) <= f.Limit {
		return list, false, err
	}
	return list[:f.Limit], true, nil
}

// ---- ratings

// Rate keeps what the customer thinks. Of several ratings of an order the newest counts.
//
// Errors: fault.Invalid; those of MayRate; fault.Conflict too-many.
func (b *Book) Rate(ctx context.Context, key int64, r Rating) (order.Order, error) {
	if err := r.Check(); err != nil {
		return order.Order{}, err
	}
	return b.change(ctx, key, func(tx *db.Tx, o *order.Order) (bool, error) {
		if err := MayRate(o, tx.Now()); err != nil {
			return false, err
		}
		last, ok, err := order.LastRemark(tx, o.Key, order.Rated)
		if err != nil {
			return false, err
		}
		now := order.Remark{Kind: order.Rated, Stars: r.Delivery, StoreStars: r.Store, Text: r.Comment}
		if ok && last.Stars == now.Stars && last.StoreStars == now.StoreStars && last.Text == now.Text {
			return false, nil
		}
		if err := count(tx, o.Store, last, now); err != nil {
			return false, err
		}
		return true, order.AddRemark(tx, o, now)
	})
}

// Mean is the mean of n ratings; without any it is 0.
type Mean struct {
	Count int64
	Mean  float64
}

func mean(n, sum int64) Mean {
	if n == 0 {
		return Mean{}
	}
	return Mean{n, float64(sum) / float64(n)}
}

// StoreRatings is what a store's customers think of it and of its deliveries.
func (b *Book) StoreRatings(ctx context.Context, store int64) (ofStore, ofDelivery Mean, err error) {
	s, err := sums(b.db.Read(ctx), store)
	return mean(s.StoreCount, s.StoreSum), mean(s.DeliveryCount, s.DeliverySum), err
}

// RatingUntil is until when o may be rated; the zero time before it is there.
func RatingUntil(o *order.Order) time.Time {
	if !Arrived(o) || o.EndedAt == nil {
		return time.Time{}
	}
	return o.EndedAt.Add(RatingLife)
}
