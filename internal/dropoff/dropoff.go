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
package dropoff

import (
	"cmp"
	"fmt"
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
	Note        string
}

// Attempt is one visit to the door.
type Attempt struct {
	Key       int64
	N         int // 1, 2, 3 …
	State     string
	Reason    string // why it failed
	Grade     string // "": nothing to grade yet, or failed
	Flags     []string
	StartedAt time.Time
	EndedAt   *time.Time
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

// Chain is the set of events of one attempt; the order of its elements means nothing.
type Chain []Event

// compare puts events into the order of the chain: what ends an attempt comes last, whatever the
// phone's clock says of it.
func compare(a, b Event) int {
	return cmp.Or(cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(ends(a.Type), ends(b.Type)),
		a.OccurredAt.Compare(b.OccurredAt), cmp.Compare(rank[a.Type], rank[b.Type]), strings.Compare(a.ID, b.ID))
}

func ends(typ string) int {
	if typ == Completed || typ == Failed {
		return 1
	}
	return 0
}

// State is how far the chain has come.
func (c Chain) State() string {
	state := Pending
	for _, e := range c {
		if rank[e.Type] > rank[state] {
			state = e.Type
		}
	}
	return state
}

func (c Chain) any(f func(Event) bool) bool { return slices.ContainsFunc(c, f) }

func (c Chain) has(types ...string) bool {
	return c.any(func(e Event) bool { return slices.Contains(types, e.Type) })
}

// The fence around the door. The pin of an address is often the middle of a plot or its gate, and a
// phone between houses is 5 to 50 m off: 100 m accepts both and is still another street away from
// most false claims. A fix may claim its own accuracy on top, but only 50 m of it, or the worst
// phone would be everywhere; one coarser than fence and slack together proves no place at all.
const (
	FenceM      = 100.0
	fenceSlackM = 50.0
)

// StepAwayM is how far who stepped away stands from the parcel at least.
const StepAwayM = 2.0

// Inside reports whether e's position puts the phone at door.
func (e Event) Inside(door geo.Point) bool {
	if e.Location == nil {
		return false
	}
	slack := 0.0
	if e.AccuracyM != nil {
		slack = *e.AccuracyM
	}
	return slack <= FenceM+fenceSlackM && geo.DistanceM(*e.Location, door) <= FenceM+min(slack, fenceSlackM)
}

// atDoor reports whether e happens at the door when the parcel is given: its position counts.
func (e Event) atDoor() bool { return e.Type != Failed && e.Type != Retrieved }

// shows reports whether e has a photo that can show the parcel at the door; on arrival and while
// ringing it is still in the runner's hands.
func (e Event) shows() bool {
	return e.PhotoSHA256 != "" && (e.Type == Placed || e.Type == SteppedAway || e.Type == HandedOver || e.Type == Completed)
}

func (e Event) stepsAway() bool {
	near := e.DistanceM != nil && *e.DistanceM < StepAwayM
	return e.Type == SteppedAway && (e.Method == ByBLE || e.Method == ByPhoto || e.Method == ByCustomer) && !near
}

// Grade is what the chain proves about a delivery at door; "" for an empty or a failed chain. One
// more event never lowers it.
//
//	A  the customer confirmed: handed_over with the right PIN, or "I have it" on the tracking page
//	B  photo, a position within the fence, and step-away (not by GPS) or handed_over
//	C  photo only
//	D  nothing but the runner's word
//
// A step-away known by GPS alone counts as none: phone GPS cannot tell 2 m.
func (c Chain) Grade(door geo.Point) string {
	switch {
	case len(c) == 0 || c.has(Failed):
		return ""
	case c.confirmed():
		return "A"
	case !c.any(Event.shows):
		return "D"
	case c.inside(door) && c.left():
		return "B"
	}
	return "C"
}

func (c Chain) confirmed() bool { return c.any(func(e Event) bool { return e.Confirmed }) }

func (c Chain) inside(door geo.Point) bool {
	return c.any(func(e Event) bool { return e.atDoor() && e.Inside(door) })
}

// left reports whether the parcel was left with the customer or alone.
func (c Chain) left() bool { return c.has(HandedOver) || c.any(Event.stepsAway) }

// Missing is nil when the chain is enough to call o delivered, and otherwise the 409
// evidence-missing whose fields name what is not there.
func (c Chain) Missing(o *order.Order) error {
	var f fault.Fields
	if o.Mode == order.HandOver && !c.has(HandedOver) {
		f.Add("/type", "missing", "handed_over: this parcel goes from hand to hand")
	}
	if o.Details.PINRequired && !c.any(func(e Event) bool { return e.Type == HandedOver && e.Confirmed }) {
		f.Add("/pin", "missing", "handed_over with the PIN that the customer tells")
	}
	grade := c.Grade(o.Dropoff)
	detail := "the parcel was not handed over as agreed"
	if o.MinimumGrade != "" && grade > o.MinimumGrade {
		detail = fmt.Sprintf("the chain is graded %s; the merchant asks for %s", grade, o.MinimumGrade)
		c.missingFor(o, &f)
	}
	if len(f) == 0 {
		return nil
	}
	err := fault.Refused("evidence-missing", nil, "%s", detail)
	err.Fields = f
	return err
}

func (c Chain) missingFor(o *order.Order, f *fault.Fields) {
	if o.MinimumGrade == "A" {
		if !o.Details.PINRequired { // else the PIN is named already
			f.Add("/type", "missing", "retrieved: the customer confirms on the tracking page")
		}
		return
	}
	if !c.any(Event.shows) {
		f.Add("/photo_sha256", "missing", "a photo of the parcel at the door")
	}
	if o.MinimumGrade == "C" {
		return
	}
	if !c.inside(o.Dropoff) {
		f.Add("/location", "missing", "a position within %.0f m of the door", FenceM)
	}
	if !c.left() {
		f.Add("/method", "missing", "stepped_away by ble, photo_from_distance or customer, at least %.0f m", StepAwayM)
	}
}

// Flags of an attempt: what looks odd to somebody who judges it. They change no grade.
const (
	ClockSkew    = "clock_skew"    // the phone's clock was more than 5 minutes off
	OutsideFence = "outside_fence" // a position at the door was not at the door
	EarlyArrival = "early_arrival" // at the door within a minute of setting out
	PhotoMissing = "photo_missing" // completed without a photo
)

const (
	maxSkew = 5 * time.Minute
	tooSoon = time.Minute
)

// Flags are what looks odd about an attempt at o that set out at started. A phone that was offline
// reports late, so an old time alone is no sign; one ahead of us, or before the order, is.
func (c Chain) Flags(o *order.Order, started time.Time) []string {
	flags := []string{}
	add := func(flag string, f func(Event) bool) {
		if c.any(f) {
			flags = append(flags, flag)
		}
	}
	add(ClockSkew, func(e Event) bool {
		return e.OccurredAt.After(e.RecordedAt.Add(maxSkew)) || e.OccurredAt.Before(o.CreatedAt.Add(-maxSkew))
	})
	add(OutsideFence, func(e Event) bool { return e.atDoor() && e.Location != nil && !e.Inside(o.Dropoff) })
	add(EarlyArrival, func(e Event) bool { return e.Type == Arrived && e.OccurredAt.Before(started.Add(tooSoon)) })
	if c.has(Completed) && !c.any(Event.shows) {
		flags = append(flags, PhotoMissing)
	}
	return flags
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
	if rank[e.Type] == 0 {
		f.Add("/type", "unknown-value", "one of arrived, placed, signalled, stepped_away, handed_over, retrieved, failed, completed")
	}
	if e.OccurredAt.IsZero() {
		f.Add("/occurred_at", "required", "when it happened, by the phone's clock")
	}
	e.checkPlace(&f)
	e.checkWords(&f)
	return f.Err()
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
	among("/signal", e.Signal, "bell", "knock", "call", "push")
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
