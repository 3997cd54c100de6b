// Package care looks after what customers say: what went wrong, what they ask, and how it was.
//
// Whatever needs an answer is an incident, in the queue of people who can give one:
//
//	dispute  ──► open ──► upheld
//	           ▲    │
//	           │    ├──► rejected ──► open, once more
//	           │    │
//	           └────┴──► withdrawn, by the customer
//
//	message  ──► open ──► answered
//
// An open dispute freezes the delivery: order.Order.Dispute says so, and nobody undoes or grades it
// meanwhile. It is opened within DisputeLife of the hand-over. Whoever was turned down may object once,
// within DisputeLife of the answer; then, and once it was upheld, the matter is decided. What is said
// while an incident is open belongs to it.
//
// The words themselves are remarks (order.Remark) and two columns of the incident: the log, which is
// for ever, only knows that there are some.
package care

import (
	"slices"
	"time"

	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/order"
)

// Kinds of incidents.
const (
	Dispute = "dispute"
	Message = "message"
)

// Statuses of incidents; Open and the first two are those of order.Order.Dispute as well.
const (
	Open      = order.DisputeOpen
	Upheld    = "upheld"
	Rejected  = "rejected"
	Withdrawn = "withdrawn"
	Answered  = "answered"
)

// Statuses are all of them.
var Statuses = []string{Open, Upheld, Rejected, Withdrawn, Answered}

// outcomes are how who is in charge may resolve an incident of each kind.
var outcomes = map[string][]string{Dispute: {Upheld, Rejected}, Message: {Answered}}

const (
	// DisputeLife is how long after the hand-over a delivery may be disputed, and how long after a
	// rejection it may be once more.
	DisputeLife = 48 * time.Hour
	// RatingLife is how long after the hand-over the customer may rate, and rate differently.
	RatingLife = 30 * 24 * time.Hour
)

// mostDisputes of one order are decided on: the first, and the objection to its rejection.
const mostDisputes = 2

// Incident is something that a person has to see to.
type Incident struct {
	Key        int64
	Order      int64
	Merchant   int64
	Store      int64 // that had the order when it was opened, 0: none
	Kind       string
	Status     string
	Reason     string // of a dispute: a reason code
	OpenedAt   time.Time
	OpenedBy   string
	At         event.Chain // the end of the order's story when it was opened
	Then       Then
	Note       string // for colleagues
	Answer     string // for the customer
	ResolvedAt *time.Time
	ResolvedBy string
	Version    int64

	chain event.Chain // its own
}

// Then is how an order stood when an incident was opened.
type Then struct {
	Status   order.Status `json:"status"`
	Reason   string       `json:"status_reason,omitempty"`
	Grade    string       `json:"evidence_grade,omitempty"`
	Holder   order.Holder `json:"holder"`
	Attempts int          `json:"attempts"`
	Version  int64        `json:"version"`
	EndedAt  *time.Time   `json:"ended_at,omitempty"`
}

func thenOf(o *order.Order) Then {
	return Then{o.Status, o.Reason, o.Grade, o.Holder, o.Attempts, o.Version, o.EndedAt}
}

// Arrived reports whether the customer is said to have the parcel.
func Arrived(o *order.Order) bool { return o.Status == order.Delivered || o.Status == order.Collected }

// DisputeUntil is until when o may be disputed as things stand; ok is false when it may not be at all. past
// are its incidents, oldest first.
func DisputeUntil(o *order.Order, past []Incident) (until time.Time, ok bool) {
	if !Arrived(o) || o.EndedAt == nil {
		return until, false
	}
	until = o.EndedAt.Add(DisputeLife)
	decided := 0
	for _, i := range past {
		if i.Kind != Dispute || i.ResolvedAt == nil {
			continue
		}
		switch i.Status {
		case Upheld:
			return until, false
		case Rejected:
			decided++
			if later := i.ResolvedAt.Add(DisputeLife); later.After(until) {
				until = later
			}
		}
	}
	return until, decided < mostDisputes
}

// MayDispute is nil when o may be disputed at now, and otherwise says why not. An open dispute is no
// obstacle: what is said then belongs to it.
//
// Errors: fault.Conflict: not-allowed-now before the hand-over, too-late, decided.
func MayDispute(o *order.Order, past []Incident, now time.Time) error {
	if o.Dispute == Open {
		return nil
	}
	switch until, ok := DisputeUntil(o, past); {
	case !Arrived(o):
		return fault.Refused("not-allowed-now", nil, "a delivery can be disputed once it is there; until then, send a message")
	case !ok:
		return fault.Refused("decided", nil, "this delivery was disputed and decided on; send a message instead")
	case now.After(until):
		return fault.Refused("too-late", nil, "a delivery can be disputed within %.0f hours; send a message instead", DisputeLife.Hours())
	}
	return nil
}

// MayRate is nil when o may be rated at now.
//
// Errors: fault.Conflict: not-allowed-now before the hand-over, too-late.
func MayRate(o *order.Order, now time.Time) error {
	switch {
	case !Arrived(o) || o.EndedAt == nil:
		return fault.Refused("not-allowed-now", nil, "it can be rated once the parcel is there")
	case now.After(o.EndedAt.Add(RatingLife)):
		return fault.Refused("too-late", nil, "a delivery can be rated within %.0f days", RatingLife.Hours()/24)
	}
	return nil
}

// Rating is what a customer thinks of the two who brought the parcel: 1 to 5 stars, 0 says nothing.
type Rating struct {
	Delivery, Store int
	Comment         string
}

// Check names everything that is wrong with a rating.
func (r Rating) Check() error {
	var f fault.Fields
	stars := func(pointer string, n int) {
		if n < 0 || n > 5 {
			f.Add(pointer, "out-of-range", "1 to 5 stars")
		}
	}
	stars("/stars", r.Delivery)
	stars("/store_stars", r.Store)
	if r.Delivery == 0 && r.Store == 0 {
		f.Add("/stars", "required", "1 to 5 stars for the delivery, the store, or both")
	}
	f.AddErr("", order.CheckText("/comment", r.Comment, MaxNote))
	return f.Err()
}

// The longest texts, in characters.
const (
	MaxNote    = 500
	MaxMessage = 1000
)

// Resolution is how an incident ends.
type Resolution struct {
	Outcome string
	Note    string // for colleagues
	Answer  string // for the customer
}

// Check names everything that is wrong with a resolution of any incident.
func (r Resolution) Check() error {
	var f fault.Fields
	switch {
	case r.Outcome == "":
		f.Add("/outcome", "required", "a dispute is upheld or rejected, a message is answered")
	case r.Outcome != Upheld && r.Outcome != Rejected && r.Outcome != Answered:
		f.Add("/outcome", "unknown-value", "a dispute is upheld or rejected, a message is answered")
	}
	f.AddErr("", order.CheckText("/note", r.Note, MaxMessage))
	f.AddErr("", order.CheckText("/answer", r.Answer, MaxMessage))
	return f.Err()
}

// admit decides whether r may resolve i. again is true when it has done so before.
func (i *Incident) admit(r Resolution, version *int64) (again bool, err error) {
	switch {
	case i.Status == r.Outcome:
		return true, nil
	case i.Status != Open:
		return false, fault.Refused("already-resolved", []string{i.Status}, "the incident is %s", i.Status)
	case version != nil && *version != i.Version:
		return false, fault.New(fault.Stale, "version-mismatch", "the incident is at version %d: read it again", i.Version)
	case !slices.Contains(outcomes[i.Kind], r.Outcome):
		return false, fault.Refused("not-allowed-now", outcomes[i.Kind], "a %s cannot be %s", i.Kind, r.Outcome)
	}
	return false, nil
}
