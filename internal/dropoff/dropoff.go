// Package dropoff carries a parcel from the shelf to the doorstep and keeps what proves it.
//
// Custody: exactly one holder at any time. Goods lie reserved on the shelf exactly while nobody has
// the parcel in custody (order.Status.InCustody); whoever takes it takes them off, whoever hands it
// back puts them back, still reserved for the same order.
//
//	shelf ──ready, pick-up──► runner ──depart──► attempt 1, 2, 3 … at the door ──► customer
//	  │ ▲                        │ hand back         │ failed
//	  │ └────────────────────────┴───────────────────┤
//	  └──receive──► store's counter ◄────────────────┤ ──► return ──► sender
//	                   └──collect, with the code──► customer
//
// An attempt is a chain of events that a phone reports: late, twice or shuffled, as bad networks
// have it. So a chain is a set, and its state and grade are pure functions of that set.
//
//	contactless  pending ─► arrived ─► placed ─► signalled ─► stepped_away ─► retrieved ─► completed
//	attended     pending ─► arrived ─► handed_over ─► completed
//	             pending, arrived … ─► failed (with a reason)
//	             completed ─► disputed ─► upheld | rejected, as long as the customer's word is heard
//
// A mistake is put right by one more event: withdrawn takes back, any other type stands in the place of
// what it supersedes. The order goes where the chain then says.
package dropoff

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/fault"
	"doorstep/internal/order"
)

// Types of events; Pending and they are also the states of a chain.
const (
	Pending     = "pending"
	Arrived     = "arrived"
	Placed      = "placed"
	Signalled   = "signalled"
	SteppedAway = "stepped_away"
	HandedOver  = "handed_over"
	Retrieved   = "retrieved"
	Completed   = "completed"
	Failed      = "failed"
	Withdrawn   = "withdrawn" // takes back the event that it supersedes; never a state
)

// States of an attempt that is completed and contested, and then ruled on.
const (
	Disputed = "disputed"
	Upheld   = "upheld"
	Rejected = "rejected"
)

// Legs: a visit is one to the customer's door, or one to the sender with a parcel that goes back.
const (
	LegDelivery = "delivery"
	LegReturn   = "return"
)

// rank is the place in the chain; a chain stands where its highest event does.
var rank = map[string]int{Arrived: 1, Placed: 2, Signalled: 3, SteppedAway: 4, HandedOver: 5, Retrieved: 6, Failed: 7, Completed: 8}

// Methods by which a step-away, or a retrieval, is known.
const (
	ByBLE      = "ble"
	ByPhoto    = "photo_from_distance"
	ByGPS      = "gps"
	ByCustomer = "customer"
)

// ByCall is the signal that a policy may ask for before the customer counts as unavailable.
const (
	ByCall      = "call"
	unavailable = "customer_unavailable"
)

// Event is one thing that happened at the door, as a phone reports it.
type Event struct {
	ID          string // made by the phone; one event within its order, however often it is sent
	Order       int64
	Attempt     int // 1 for the order's first
	Type        string
	OccurredAt  time.Time // the phone's clock
	RecordedAt  time.Time // ours; ignored on the way in
	Location    *geo.Point
	AccuracyM   *float64 // radius that holds the true position with 68 % probability
	PhotoSHA256 string   // lower-case hex; "" is none
	Signal      string   // bell, knock, call, push
	Method      string   // one of the By constants
	DistanceM   *float64 // between runner and parcel
	PIN         string   // with handed_over; checked and never kept
	Confirmed   bool     // by the customer: a right PIN, or the tracking page; ignored on the way in
	Reason      string   // of failed
	Note        string   // of a correction: why

	Supersedes string // id of the event of this attempt that it stands in place of, or takes back; "" is none
	Correction bool   // it supersedes for a reason that was given, by who may; ignored on the way in
	Actor      string // who reported it; ignored on the way in
	Network    bool   // who reports it acts for the whole network and not for one phone: a dispatcher

	Name            string // who took it
	SignatureSHA256 string // of a photo
	IDChecked       bool
	Cash            *order.Money // taken at the door
}

// Attempt is one visit to the door.
type Attempt struct {
	Key       int64
	N         int    // 1, 2, 3 …
	Leg       string // LegDelivery or LegReturn
	State     string
	Reason    string // why it failed
	Grade     string // "": nothing to grade yet, or failed
	Flags     []string
	StartedAt time.Time
	EndedAt   *time.Time
	PickedUp  *time.Time // when the parcel left the store for this attempt; nil: not known, or it had left before
	Events    Chain
}

// What became of a reported event.
const (
	Recorded  = "recorded"
	Duplicate = "duplicate" // known already; nothing changed
	Refused   = "refused"   // Result.Err says why; it may be sent again under the same id
)

// Result answers one Event.
type Result struct {
	ID     string
	Result string
	Err    error // a *fault.Error when refused
}

// NextAction is what the merchant wants done about a failed attempt: redeliver, hold_at_store or
// return; "" while nothing failed. It is a hint: people decide.
func NextAction(o *order.Order) string {
	if o.Status == order.AttemptFailed {
		return o.Undeliver
	}
	return ""
}

// ownIDs is how the ids of events begin that we make ourselves.
const ownIDs = "customer:"

// MaxAttempts at one order; who has tried so often must decide something else.
const MaxAttempts = 100

var (
	eventID = regexp.MustCompile(`^[0-9A-Za-z_.:-]{1,64}$`)
	hash    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	pin     = regexp.MustCompile(`^[0-9]{4,8}$`)

	currency = regexp.MustCompile(`^[A-Z]{3}$`)
)

// Check names everything that is wrong with an event as such, whatever the order.
func (e Event) Check() error {
	var f fault.Fields
	switch {
	case !eventID.MatchString(e.ID):
		f.Add("/id", "invalid", "1 to 64 letters, digits, and _ . : -")
	case strings.HasPrefix(e.ID, ownIDs):
		f.Add("/id", "reserved", "ids that begin with %s are ours", ownIDs)
	}
	if e.Attempt < 1 || e.Attempt > MaxAttempts {
		f.Add("/attempt", "out-of-range", "attempt is 1 to %d", MaxAttempts)
	}
	if rank[e.Type] == 0 && e.Type != Withdrawn {
		f.Add("/type", "unknown-value", "one of arrived, placed, signalled, stepped_away, handed_over, retrieved, failed, completed, withdrawn")
	}
	if e.OccurredAt.IsZero() {
		f.Add("/occurred_at", "required", "when it happened, by the phone's clock")
	}
	e.checkPlace(&f)
	e.checkWords(&f)
	e.checkHands(&f)
	e.checkSupersedes(&f)
	return f.Err()
}

// checkHands checks what an event says of a hand-over; only one that ends there may say it.
func (e Event) checkHands(f *fault.Fields) {
	f.AddErr("", order.CheckText("/name", e.Name, 100))
	if e.SignatureSHA256 != "" && !hash.MatchString(e.SignatureSHA256) {
		f.Add("/signature_sha256", "invalid", "64 hexadecimal digits, as the upload answered")
	}
	if e.Cash != nil {
		if e.Cash.Amount < 0 {
			f.Add("/cash_collected/amount", "out-of-range", "minor units, not below 0")
		}
		if !currency.MatchString(e.Cash.Currency) {
			f.Add("/cash_collected/currency", "invalid", "three capital letters (ISO 4217)")
		}
	}
	if e.Type == HandedOver || e.Type == Completed {
		return
	}
	only := func(given bool, pointer string) {
		if given {
			f.Add(pointer, "not-allowed", "only with handed_over and completed")
		}
	}
	only(e.Name != "", "/name")
	only(e.SignatureSHA256 != "", "/signature_sha256")
	only(e.IDChecked, "/id_checked")
	only(e.Cash != nil, "/cash_collected")
}

func (e Event) checkSupersedes(f *fault.Fields) {
	switch {
	case e.Supersedes == "" && e.Type == Withdrawn:
		f.Add("/supersedes", "required", "say which event is taken back")
	case e.Supersedes == "":
	case !eventID.MatchString(e.Supersedes):
		f.Add("/supersedes", "invalid", "the id of an earlier event of this attempt")
	case e.Supersedes == e.ID:
		f.Add("/supersedes", "cycle", "an event cannot stand in place of itself")
	case strings.HasPrefix(e.Supersedes, ownIDs):
		f.Add("/supersedes", "not-yours", "what the customer said, or the network found, stays as it is")
	case e.Type != Withdrawn && strings.TrimSpace(e.Note) == "":
		f.Add("/note", "required", "say why the event before was wrong")
	}
}

func (e Event) checkPlace(f *fault.Fields) {
	if e.Location != nil {
		if ok, hint := geo.Check(*e.Location); !ok {
			f.Add("/location", "invalid-location", "%s", hint)
		}
	}
	within := func(pointer string, x *float64, limit float64) {
		if x != nil && (math.IsNaN(*x) || *x < 0 || *x > limit) {
			f.Add(pointer, "out-of-range", "0 to %.0f metres", limit)
		}
	}
	within("/location/accuracy_m", e.AccuracyM, 100_000)
	within("/distance_m", e.DistanceM, 10_000)
}

func (e Event) checkWords(f *fault.Fields) {
	among := func(pointer, value string, options ...string) {
		if value != "" && !slices.Contains(options, value) {
			f.Add(pointer, "unknown-value", "one of %s", strings.Join(options, ", "))
		}
	}
	among("/signal", e.Signal, "bell", "knock", ByCall, "push")
	among("/method", e.Method, ByBLE, ByPhoto, ByGPS, ByCustomer)
	if e.PhotoSHA256 != "" && !hash.MatchString(e.PhotoSHA256) {
		f.Add("/photo_sha256", "invalid", "64 hexadecimal digits, as the upload answered")
	}
	if e.PIN != "" && !pin.MatchString(e.PIN) {
		f.Add("/pin", "invalid", "4 to 8 digits")
	}
	if e.Type == Failed && e.Reason == "" {
		f.Add("/reason", "required", "say why the attempt failed")
	}
	f.AddErr("", order.CheckReason("/reason", e.Reason))
	f.AddErr("", order.CheckText("/note", e.Note, 500))
}
