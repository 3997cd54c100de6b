// Package order keeps orders, their states and the stores they were offered to.
//
//	created ──► confirmed ──► ready_for_pickup ──► picked_up ──► enroute_to_dropoff ──► arrived_at_dropoff ──► delivered
//	  │  ▲          │             │    │               ▲ │ handed back      │                  │
//	  ▼  │ lost     │             │    └► received_at_store ──► collected   ▼                  ▼
//	unassignable    │             │            ▲   │                   attempt_failed ◄────────┘
//	  │             │             │            │   └──► enroute_to_return ◄──┤   └──► enroute_to_dropoff (next attempt)
//	  └─────────────┴─────────────┴► cancelled │              └► returned    └──► ready_for_pickup, received_at_store
//
// State and reason are kept apart, attempts are children of the order, and every move appends to
// the log in its own transaction. An assignment is the order's offer to one store:
//
//	offered ──► accepted ──► completed | released | superseded | failed
//	   └──► declined | expired | withdrawn
//
// At most one assignment of an order is offered or accepted, by a unique partial index.
package order

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

// Status of an order.
type Status string

const (
	Created         Status = "created"
	Unassignable    Status = "unassignable"
	Confirmed       Status = "confirmed"
	ReadyForPickup  Status = "ready_for_pickup"
	PickedUp        Status = "picked_up"
	EnrouteDropoff  Status = "enroute_to_dropoff"
	ArrivedDropoff  Status = "arrived_at_dropoff"
	AttemptFailed   Status = "attempt_failed"
	ReceivedAtStore Status = "received_at_store"
	Delivered       Status = "delivered"
	Collected       Status = "collected"
	EnrouteReturn   Status = "enroute_to_return"
	Returned        Status = "returned"
	Cancelled       Status = "cancelled"
)

// moves is the drawing above as a table.
var moves = map[Status][]Status{
	Created:         {Confirmed, Unassignable, Cancelled},
	Unassignable:    {Confirmed, Cancelled},
	Confirmed:       {ReadyForPickup, Created, Cancelled},
	ReadyForPickup:  {PickedUp, ReceivedAtStore, Created, Cancelled},
	PickedUp:        {EnrouteDropoff, ReadyForPickup},
	EnrouteDropoff:  {ArrivedDropoff, AttemptFailed},
	ArrivedDropoff:  {Delivered, AttemptFailed},
	AttemptFailed:   {EnrouteDropoff, ReadyForPickup, ReceivedAtStore, EnrouteReturn},
	ReceivedAtStore: {Collected, PickedUp, EnrouteReturn},
	EnrouteReturn:   {Returned},
	Delivered:       {},
	Collected:       {},
	Returned:        {},
	Cancelled:       {},
}

// Known reports whether s is a status.
func (s Status) Known() bool { return moves[s] != nil }

// Terminal reports whether nothing follows s.
func (s Status) Terminal() bool { return s.Known() && len(moves[s]) == 0 }

// InCustody reports whether the parcel has left the store with somebody: from then on an order is
// returned, not cancelled.
func (s Status) InCustody() bool {
	switch s {
	case PickedUp, EnrouteDropoff, ArrivedDropoff, AttemptFailed, ReceivedAtStore, EnrouteReturn:
		return true
	}
	return false
}

// Allowed are the statuses that may follow s.
func (s Status) Allowed() []string {
	out := make([]string, 0, len(moves[s]))
	for _, m := range moves[s] {
		out = append(out, string(m))
	}
	return out
}

// Check is nil when to may follow s, and otherwise the 409 that says what may.
func (s Status) Check(to Status) error {
	if slices.Contains(moves[s], to) {
		return nil
	}
	if to == Cancelled && s.InCustody() {
		return fault.Refused("in_custody", s.Allowed(), "the parcel has left the store (%s): return it instead of cancelling", s)
	}
	return fault.Refused("not-allowed-now", s.Allowed(), "an order that is %s cannot become %s", s, to)
}

// Holder is who has the parcel in hand: exactly one at any time, and not the same as the status. "The
// store has it" is not "delivered".
type Holder string

const (
	HeldByMerchant Holder = "merchant" // not packed yet, or not brought to a store
	HeldByStore    Holder = "store"    // Order.HolderStore
	HeldByRunner   Holder = "runner"
	HeldByCustomer Holder = "customer"
	HeldBySender   Holder = "returned"
	Lost           Holder = "lost"
)

// Item is a good from the store's shelf.
type Item struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// Parcel is a packed good that passes through the store.
type Parcel struct {
	WeightG int `json:"weight_g,omitempty"`
}

// Address is where people look for the door; the location is what we steer by.
type Address struct {
	Line1      string `json:"line1,omitempty"`
	Locality   string `json:"locality,omitempty"`
	Region     string `json:"region,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	Country    string `json:"country,omitempty"`
}

// Recipient is who gets the parcel. It is personal: kept in one column, and in no event or log.
type Recipient struct {
	Name   string `json:"name"`
	Phone  string `json:"phone"`
	Locale string `json:"locale,omitempty"`
}

// Details is what an order carries and nobody searches by.
type Details struct {
	Items        []Item   `json:"items,omitempty"`
	Parcels      []Parcel `json:"parcels,omitempty"`
	Address      Address  `json:"address,omitzero"`
	Instructions string   `json:"instructions,omitempty"`
	PINRequired  bool     `json:"pin_required,omitempty"`
	Tags         []string `json:"tags,omitempty"`

	SignatureRequired bool   `json:"signature_required,omitempty"`
	IDRequired        bool   `json:"id_required,omitempty"` // the recipient's own
	Cash              *Money `json:"cash_on_delivery,omitempty"`
}

// Modes of handing over.
const (
	LeaveAtDoor    = "leave_at_door"
	SafePlace      = "safe_place" // left where the instructions say
	HandOver       = "hand_over"
	Neighbour      = "neighbour" // handed to somebody else near by
	CollectAtStore = "collect_at_store"
)

// Modes are all of them.
var Modes = []string{LeaveAtDoor, SafePlace, HandOver, Neighbour, CollectAtStore}

// LeftAlone reports whether a parcel of this mode lies unattended until the customer takes it in.
func LeftAlone(mode string) bool { return mode == LeaveAtDoor || mode == SafePlace }

// HandToHand reports whether somebody at the door takes a parcel of this mode.
func HandToHand(mode string) bool { return mode == HandOver || mode == Neighbour }

// LeftAlone reports whether o's parcel lies unattended until the customer takes it in.
func (o *Order) LeftAlone() bool { return LeftAlone(o.Mode) }

// Attended reports whether somebody at the door takes o's parcel.
func (o *Order) Attended() bool { return HandToHand(o.Mode) }

// Span is a stretch of time; To is after From.
type Span struct{ From, To time.Time }

// Order is one delivery to one recipient.
type Order struct {
	Key          int64
	Merchant     int64
	ExternalID   string // "" when the merchant gave none
	RequestHash  string
	Status       Status
	Reason       string
	CancelledBy  string
	Dropoff      geo.Point
	Cell         geo.Cell // resolution geo.MatchRes
	Mode         string
	Undeliver    string // redeliver, hold_at_store, return
	MinimumGrade string // A to D
	Recipient    Recipient
	Details      Details
	RadiusM      int // the merchant's own limit, 0: none
	Window       *Span
	Promise      *Span
	Store        int64 // 0: none
	Assignment   int64
	DistanceM    int
	Reroutes     int
	Attempts     int
	Grade        string
	LinkVersion  uint8
	CodeTries    int
	Chain        event.Chain
	Version      int64
	CreatedAt    time.Time
	UpdatedAt    time.Time
	EndedAt      *time.Time
	Policy       int64 // key of the merchant's policy when it was made, 0: the usual one

	Holder         Holder
	HolderStore    int64      // of HeldByStore, else 0
	HeldSince      time.Time  // by the clock of who said so; zero: since it was made
	TransferTo     int64      // the store it is to be brought to, 0: none
	HoldUntil      *time.Time // the store's counter keeps it until then; nil: it waits at none
	HoldDue        *time.Time // the next reminder, or the end
	HoldExtensions int
	StepSince      time.Time  // since when NextStep is what it is; zero: since it was made
	StepDue        *time.Time // by when somebody should have done it; nil also until the order changes
	StepTold       time.Time  // the time of a step that was told as missed
	CodeVersion    int        // an unlocked code is another code
	Dispute        string     // "": none; open, upheld, rejected
	ErasedAt       *time.Time

	packed struct { // as JSON, made before the writer is needed
		recipient, details string
		who                Recipient // in recipient
	}
}

// DisputeOpen is the dispute that holds still what was delivered.
const DisputeOpen = "open"

// PromiseAt is what the customer would be promised if a store were found at now: the window, as
// far as it is still ahead, or as soon as possible. ok is false when the window is over.
func (o *Order) PromiseAt(now time.Time) (p Span, ok bool) {
	if o.Window == nil {
		return Span{now, now.Add(asapLength)}, true
	}
	p = *o.Window
	if p.From.Before(now) {
		p.From = now
	}
	return p, p.From.Before(p.To)
}

// asapLength is how long after now an order without a window is promised.
const asapLength = 2 * time.Hour

// A tracking link lives while the order does, and for a while after; an order that never ends
// must not keep a link for ever.
const (
	linkAfterEnd = 30 * 24 * time.Hour
	linkAtMost   = 180 * 24 * time.Hour
)

const linkPurpose = "tracking"

// LinkToken is the customer's key to this order.
func (o *Order) LinkToken(n *ident.Names) string {
	return n.Link(linkPurpose, o.Key, o.LinkVersion)
}

// LinkAlive reports whether a link of the given version still opens the order at now.
func (o *Order) LinkAlive(version uint8, now time.Time) bool {
	return version == o.LinkVersion && o.ErasedAt == nil && now.Before(o.LinkDies())
}

// LinkDies is when the present link stops opening the order, as far as is known now.
func (o *Order) LinkDies() time.Time {
	dies := o.CreatedAt.Add(linkAtMost)
	if o.EndedAt != nil {
		if t := o.EndedAt.Add(linkAfterEnd); t.Before(dies) {
			return t
		}
	}
	return dies
}

// ParseLink is the order and the version a link token names; LinkAlive says whether it opens.
func ParseLink(n *ident.Names, token string) (key int64, version uint8, ok bool) {
	return n.ParseLink(linkPurpose, token)
}

// StatusOf is the status an event's type says an order entered.
func StatusOf(event string) (Status, bool) {
	s := Status(strings.TrimPrefix(event, "order."))
	return s, s.Known()
}

type versionKey struct{}

// Expect has every change of an order under ctx refused unless the order is at this version.
func Expect(ctx context.Context, version int64) context.Context {
	return context.WithValue(ctx, versionKey{}, version)
}

// The customer's codes are derived from the order's key under the house's secret and kept nowhere, not even
// hashed: who has a hash of four digits has the digits after 10,000 tries, whatever the salt, so a leaked
// orders table, export or backup of it would open doors. Only who also has the secret can derive them.

// PIN is what the customer says at the door when the order asks for it.
func (o *Order) PIN(n *ident.Names) string { return o.code(n, "pin", 4) }

// TellsPIN reports whether the customer is told a PIN to say at the door: it is required, or wanted of a
// parcel that goes from hand to hand.
func (o *Order) TellsPIN(p *Policy) bool {
	return o.Details.PINRequired || p.PIN == Wanted && o.Attended()
}

// CollectionCode is what the customer says at the store's counter.
func (o *Order) CollectionCode(n *ident.Names) string { return o.code(n, "collect", 6) }

func (o *Order) code(n *ident.Names, purpose string, digits int) string {
	if o.CodeVersion != 0 {
		purpose += ":" + strconv.Itoa(o.CodeVersion)
	}
	return n.Digits(purpose, o.Key, digits)
}

// MaxCodeTries is how many wrong codes an order takes, at the door and at the counter together, before
// it is locked. A PIN has four digits, so a guesser gets it once in 2,000 orders.
const MaxCodeTries = 5

// WrongCode counts one, and returns how many more may be tried. With the last, unlocking is the next step.
func (o *Order) WrongCode(now time.Time) (left int) {
	o.CodeTries++
	if o.CodeLocked() {
		o.newStep(now)
	}
	return MaxCodeTries - o.CodeTries
}

// UnlockCode gives o other codes, and all tries again.
func (o *Order) UnlockCode(now time.Time) {
	o.CodeTries, o.CodeVersion = 0, o.CodeVersion+1
	o.newStep(now)
}

// CodeLocked reports whether no code is listened to until a dispatcher unlocks it.
func (o *Order) CodeLocked() bool { return o.CodeTries >= MaxCodeTries && !o.Status.Terminal() }

// AssignmentStatus is where an offer stands.
type AssignmentStatus string

const (
	Offered    AssignmentStatus = "offered"
	Accepted   AssignmentStatus = "accepted"
	Declined   AssignmentStatus = "declined"
	Expired    AssignmentStatus = "expired"
	Withdrawn  AssignmentStatus = "withdrawn"
	Completed  AssignmentStatus = "completed"
	Released   AssignmentStatus = "released"
	Superseded AssignmentStatus = "superseded"
	Failed     AssignmentStatus = "failed"
)

var assignmentMoves = map[AssignmentStatus][]AssignmentStatus{
	Offered:  {Accepted, Declined, Expired, Withdrawn},
	Accepted: {Completed, Released, Superseded, Failed},
}

// assignmentAmends are the moves beyond the table, as amends are of the order: the store has the work
// again that it had done. Its unit of the slot was never given back.
var assignmentAmends = map[AssignmentStatus][]AssignmentStatus{
	Completed: {Accepted}, // delivered after all not
	Failed:    {Accepted}, // returned after all not
}

// Check is nil when to may follow s.
func (s AssignmentStatus) Check(to AssignmentStatus) error {
	if slices.Contains(assignmentMoves[s], to) {
		return nil
	}
	var allowed []string
	for _, m := range assignmentMoves[s] {
		allowed = append(allowed, string(m))
	}
	return fault.Refused("not-allowed-now", allowed, "an assignment that is %s cannot become %s", s, to)
}

// Assignment is an order offered to one store.
type Assignment struct {
	Key        int64
	Order      int64
	Store      int64
	Status     AssignmentStatus
	Reason     string
	Rank       int       // 1 for the order's first store
	ScoreM     int       // what the choice minimised, metres
	Slot       time.Time // the capacity slot whose unit it holds
	Deadline   *time.Time
	OfferedAt  time.Time
	AnsweredAt *time.Time
	Prev       int64 // the assignment that claimed a unit of the slot before this one; 0: none
}

// Reasons are the codes a status may carry.
var Reasons = []string{
	"customer_unavailable", "customer_refused", "address_not_found", "cannot_access", "damaged", "lost", "wrong_item",
	"item_missing", "store_closed", "store_out_of_stock", "store_unresponsive", "capacity_exceeded", "vehicle_breakdown",
	"weather", "unsafe_location", "hold_expired", "cancelled_by_customer", "cancelled_by_merchant", "payment_failed",
	"data_error", "out_of_range",
}

// CheckReason is nil for a known code; "" stands for none.
func CheckReason(pointer, reason string) error {
	if reason == "" || slices.Contains(Reasons, reason) {
		return nil
	}
	return fault.InvalidField(pointer, "unknown-reason", "%q is not a reason code", reason)
}
