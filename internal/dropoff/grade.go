package dropoff

import (
	"fmt"
	"time"

	"doorstep/geo"
	"doorstep/internal/fault"
	"doorstep/internal/order"
)

// Asks is what the evidence of one visit is held against: what the order wants, and the policy that it
// was made under.
type Asks struct {
	Leg    string
	Door   *geo.Point // nil: nobody knows where it is, so no position proves anything
	FenceM float64
	Grade  string // at least; "" is any

	Attended  bool // it goes from hand to hand
	PIN       bool
	Name      bool // of who took it
	Signature bool
	ID        bool
	Cash      *order.Money
	Photo     order.Proof

	Wait  time.Duration // at the door, before the customer counts as unavailable
	Calls int           // before the same
}

// AsksOf is what a visit to o on a leg is held against. The sender, to whom a return goes, is asked for
// nothing: what the runner can show is kept and graded.
func AsksOf(o *order.Order, p *order.Policy, leg string) Asks {
	a := Asks{Leg: leg, FenceM: float64(p.FenceM), Photo: p.Photo}
	if leg == LegReturn {
		a.Door, a.Photo = p.ReturnTo, order.Wanted
		return a
	}
	door := o.Dropoff
	a.Door, a.Grade, a.Attended = &door, o.MinimumGrade, o.Attended()
	a.PIN = o.Details.PINRequired
	a.Name = o.Mode == order.Neighbour || a.Attended && p.Name == order.Required
	a.Signature, a.ID, a.Cash = o.Details.SignatureRequired, o.Details.IDRequired, o.Details.Cash
	a.Wait, a.Calls = time.Duration(p.MinimumWaitS)*time.Second, p.CallsBeforeLeaving
	return a
}

// The fence around the door, for merchants who have set none. How far a phone is from the pin of the
// address when somebody truly is there, 2,544 pick-ups by couriers in three Chinese cities tell (LaDe;
// make bench-doorstep): half of them within 70 m, a quarter farther than 200 m, since the pin is often the
// gate or the middle of a plot and a fix may be old. No radius parts true from false; it only trades them.
// From 100 to 150 m, 9 more of 100 honest positions come in, and 3 of a courier's other stops; from 150 to
// 200 m, 6 and 4; beyond, more strangers than friends. So the fence ends at 150 m, and at 200 m for who
// cannot say better where he is: a fix may claim its accuracy on top, but only 50 m of it, or the worst
// phone would be everywhere, and one coarser than fence and slack together proves no place at all. A
// stranger across the same city is inside two of these in a thousand times.
const (
	FenceM      = 150.0
	fenceSlackM = 50.0
)

// StepAwayM is how far who stepped away stands from the parcel at least. The distance is what the method
// measured: Bluetooth's signal strength and the size of a parcel in a photo tell 1 m from 3 m, roughly;
// the difference of two GPS fixes does not, whatever number it gives, so by that method none counts.
const StepAwayM = 2.0

// Inside reports whether e's position puts the phone at door, within so many metres. The accuracy of a
// fix is a radius that the true position is in twice out of three times, and no more than that: it
// widens the fence a little, and above a limit it takes the fix away.
func (e Event) Inside(door geo.Point, fenceM float64) bool {
	if e.Location == nil {
		return false
	}
	slack := 0.0
	if e.AccuracyM != nil {
		slack = *e.AccuracyM
	}
	return slack <= fenceM+fenceSlackM && geo.DistanceM(*e.Location, door) <= fenceM+min(slack, fenceSlackM)
}

// atDoor reports whether e happens at the door when the parcel is given: its position counts.
func (e Event) atDoor() bool { return e.Type != Failed && e.Type != Retrieved && e.Type != Withdrawn }

// shows reports whether e has a photo that can show the parcel at the door; on arrival and while
// ringing it is still in the runner's hands.
func (e Event) shows() bool {
	return e.PhotoSHA256 != "" && (e.Type == Placed || e.Type == SteppedAway || e.Type == HandedOver || e.Type == Completed)
}

func (e Event) stepsAway() bool {
	near := e.DistanceM != nil && *e.DistanceM < StepAwayM
	return e.Type == SteppedAway && (e.Method == ByBLE || e.Method == ByPhoto || e.Method == ByCustomer) && !near
}

// Grade is what the effective chain proves about a delivery; "" for an empty or a failed chain. One more
// event that supersedes none never lowers it.
//
//	A  the customer confirmed: handed_over with the right PIN, or "I have it" on the tracking page
//	B  photo, a position within the fence, and step-away (not by GPS) or handed_over
//	C  photo only
//	D  nothing but the runner's word
//
// A step-away known by GPS alone counts as none: phone GPS cannot tell 2 m. Where a merchant's policy
// takes no photos there is no B and no C: a grade says the same about every parcel of the network, so
// without a photo it is the customer's word or the runner's.
func (c Chain) Grade(a Asks) string {
	c = c.Effective()
	switch {
	case len(c) == 0 || c.has(Failed):
		return ""
	case c.confirmed():
		return "A"
	case a.Photo == order.Off || !c.any(Event.shows):
		return "D"
	case c.inside(a) && c.left():
		return "B"
	}
	return "C"
}

func (c Chain) confirmed() bool { return c.any(func(e Event) bool { return e.Confirmed }) }

func (c Chain) inside(a Asks) bool {
	return a.Door != nil && c.any(func(e Event) bool { return e.atDoor() && e.Inside(*a.Door, a.FenceM) })
}

// left reports whether the parcel was left with the customer or alone.
func (c Chain) left() bool { return c.has(HandedOver) || c.any(Event.stepsAway) }

// given reports whether an event of the hand-over has what f looks for.
func (c Chain) given(f func(Event) bool) bool {
	return c.any(func(e Event) bool { return (e.Type == HandedOver || e.Type == Completed) && f(e) })
}

// Missing is nil when the effective chain is enough to call the visit completed, and otherwise the 409
// evidence-missing whose fields name what is not there.
func (c Chain) Missing(a Asks) error {
	c = c.Effective()
	var f fault.Fields
	c.missingHands(a, &f)
	detail := "the parcel was not handed over as agreed"
	if a.Photo == order.Required && !c.any(Event.shows) {
		detail = "the merchant asks for a photo of every drop-off"
		f.Add("/photo_sha256", "missing", "a photo of the parcel at the door")
	}
	if grade := c.Grade(a); a.Grade != "" && (grade == "" || grade > a.Grade) {
		detail = fmt.Sprintf("the chain is graded %s; the merchant asks for %s", orNone(grade), a.Grade)
		c.missingFor(a, &f)
	}
	return refusedFor(f, detail)
}

func orNone(grade string) string {
	if grade == "" {
		return "nothing"
	}
	return grade
}

func refusedFor(f fault.Fields, detail string) error {
	if len(f) == 0 {
		return nil
	}
	err := fault.Refused("evidence-missing", nil, "%s", detail)
	err.Fields = f
	return err
}

// missingHands names what a hand-over has not shown yet.
func (c Chain) missingHands(a Asks, f *fault.Fields) {
	if a.Attended && !c.has(HandedOver) {
		f.Add("/type", "missing", "handed_over: this parcel goes from hand to hand")
	}
	if a.PIN && !c.any(func(e Event) bool { return e.Type == HandedOver && e.Confirmed }) {
		f.Add("/pin", "missing", "handed_over with the PIN that the customer tells")
	}
	if a.Name && !c.given(func(e Event) bool { return e.Name != "" }) {
		f.Add("/name", "missing", "the name of who took it")
	}
	if a.Signature && !c.given(func(e Event) bool { return e.SignatureSHA256 != "" }) {
		f.Add("/signature_sha256", "missing", "a signature, uploaded as a photo")
	}
	if a.ID && !c.given(func(e Event) bool { return e.IDChecked }) {
		f.Add("/id_checked", "missing", "a look at the recipient's ID")
	}
	if a.Cash != nil && !c.given(func(e Event) bool { return e.Cash != nil && *e.Cash == *a.Cash }) {
		f.Add("/cash_collected", "missing", "%d %s in cash (minor units)", a.Cash.Amount, a.Cash.Currency)
	}
}

// missingFor names what lacks for the grade asked for; what Missing has named already, it does not.
func (c Chain) missingFor(a Asks, f *fault.Fields) {
	if a.Grade == "A" || a.Photo == order.Off {
		if !a.PIN {
			f.Add("/type", "missing", "retrieved: the customer confirms on the tracking page")
		}
		return
	}
	if !c.any(Event.shows) && a.Photo != order.Required {
		f.Add("/photo_sha256", "missing", "a photo of the parcel at the door")
	}
	if a.Grade == "C" {
		return
	}
	if !c.inside(a) {
		f.Add("/location", "missing", "a position within %.0f m of the door", a.FenceM)
	}
	if !c.left() {
		f.Add("/method", "missing", "stepped_away by ble, photo_from_distance or customer, at least %.0f m", StepAwayM)
	}
}

// MayFail is nil when the runner may leave with the parcel for e, which says why, and otherwise the 409
// evidence-missing that names what is to be done first: of customers who are said to be out, to have
// waited and to have called. Times are the phone's, on both sides of the wait. Calls in the same
// millisecond are one call.
func (c Chain) MayFail(e Event, a Asks) error {
	if e.Reason != unavailable {
		return nil
	}
	var f fault.Fields
	waited, there := false, false
	calls := map[int64]bool{}
	for _, x := range c.Effective() {
		switch {
		case x.Type == Arrived:
			there = true
			waited = waited || !x.OccurredAt.After(e.OccurredAt.Add(-a.Wait))
		case x.Type == Signalled && x.Signal == ByCall && !x.OccurredAt.After(e.OccurredAt):
			calls[x.OccurredAt.UnixMilli()] = true
		}
	}
	switch {
	case a.Wait > 0 && !there:
		f.Add("/type", "missing", "arrived, at least %.0f s before leaving", a.Wait.Seconds())
	case a.Wait > 0 && !waited:
		f.Add("/occurred_at", "too-early", "at least %.0f s after arrived", a.Wait.Seconds())
	}
	if n := a.Calls - len(calls); n == 1 {
		f.Add("/signal", "missing", "1 more call")
	} else if n > 1 {
		f.Add("/signal", "missing", "%d more calls", n)
	}
	return refusedFor(f, "the merchant asks for more before the customer counts as unavailable")
}
