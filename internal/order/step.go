package order

import "time"

// Who does a step.
const (
	ByStore      = "store"
	ByRunner     = "runner"
	ByDispatcher = "dispatcher"
	ByCustomer   = "customer"
)

// What is to be done next.
const (
	DoAnswer    = "answer_offer"      // take the order or decline it
	DoAssign    = "assign"            // find a store
	DoPack      = "pack"              // and call ready, or scan it in
	DoReceive   = "keep_for_customer" // packed, and waits to be put behind the counter
	DoPickUp    = "pick_up"
	DoDepart    = "depart"
	DoArrive    = "arrive"
	DoFinish    = "finish_dropoff" // hand over, put down, or say why not
	DoUnlock    = "unlock_code"    // too many wrong codes were tried: find out why
	DoRedeliver = "redeliver"
	DoBring     = "bring_to_store"
	DoForward   = "forward"        // scan out to the order's store
	DoCollect   = "collect"        // with the code
	DoReturn    = "return"         // decide that it goes back
	DoSendBack  = "send_back"      // scan out to the runner or to the merchant
	DoGiveBack  = "give_to_sender" // on its way back: the sender gets it
)

// Step is what has to happen next to an order, by whom and by when.
type Step struct {
	Do    string
	Who   string
	Store int64      // who does it, or where; 0: no store, or any
	To    int64      // the store the parcel has to come to, 0: none, or any
	By    *time.Time // nil: something else keeps the time, as an offer's deadline does
}

// How long a step may take before somebody should look: after the promise for what the customer waits
// for, after the last change for the rest.
const (
	StepRide    = 4 * time.Hour
	stepUnlock  = 15 * time.Minute // somebody stands there and waits
	stepDay     = 24 * time.Hour
	stepBetween = 48 * time.Hour // from store to store
	stepBack    = 7 * 24 * time.Hour
)

// NextStep is what has to happen next; nil after the end, except that the parcel of a cancelled order has
// to leave the store that holds it. For every status and holder that CheckCustody allows there is one.
func NextStep(o *Order, p Policy) *Step {
	switch o.Status {
	case Created:
		return &Step{Do: DoAnswer, Who: ByStore, Store: o.Store}
	case Unassignable:
		if o.Assignment != 0 { // another store is asked
			return &Step{Do: DoAnswer, Who: ByStore, Store: o.Store}
		}
		return o.step(DoAssign, ByDispatcher, 0, time.Hour)
	case Cancelled, EnrouteReturn:
		return o.stepBack()
	case Delivered, Collected, Returned:
		return nil
	}
	if o.Elsewhere() {
		return o.forward(o.Store)
	}
	switch o.Status {
	case Confirmed:
		if o.Holder == HeldByRunner {
			return o.bring(stepBetween)
		}
		return o.promised(DoPack, ByStore)
	case ReadyForPickup:
		if o.Mode == CollectAtStore {
			return o.promised(DoReceive, ByStore)
		}
		return o.promised(DoPickUp, ByRunner)
	case PickedUp:
		if o.TransferTo != 0 || o.Mode == CollectAtStore {
			return o.bring(stepBetween)
		}
		return o.promised(DoDepart, ByRunner)
	case EnrouteDropoff, ArrivedDropoff:
		return o.atDoor()
	case AttemptFailed:
		return o.afterFailure(p)
	case ReceivedAtStore:
		if o.TransferTo != 0 {
			return o.forward(o.TransferTo)
		}
		if o.CodeLocked() {
			return o.step(DoUnlock, ByDispatcher, o.Store, stepUnlock)
		}
		return &Step{Do: DoCollect, Who: ByCustomer, Store: o.Store, By: o.HoldUntil}
	}
	return nil
}

// atDoor is the step of a runner on the way to the door, or in front of it.
func (o *Order) atDoor() *Step {
	switch {
	case o.CodeLocked():
		return o.step(DoUnlock, ByDispatcher, o.Store, stepUnlock)
	case o.Status == EnrouteDropoff:
		return o.promised(DoArrive, ByRunner)
	}
	return o.promised(DoFinish, ByRunner)
}

// stepBack is what is left to do about a parcel that nobody here may keep.
func (o *Order) stepBack() *Step {
	switch o.Holder {
	case HeldByStore:
		return o.step(DoSendBack, ByStore, o.HolderStore, stepBack)
	case HeldByRunner:
		if o.Status == Cancelled {
			return o.step(DoBring, ByRunner, 0, stepBetween) // to any store
		}
		return o.step(DoGiveBack, ByRunner, 0, stepBack)
	}
	return nil
}

// afterFailure is what the merchant wants done about a failed attempt.
func (o *Order) afterFailure(p Policy) *Step {
	switch {
	case o.TransferTo != 0:
		return o.bring(stepBetween)
	case o.Undeliver == "return":
		return o.step(DoReturn, ByRunner, 0, stepDay)
	case o.MayRedeliver(p):
		return o.step(DoRedeliver, ByRunner, 0, stepDay)
	}
	return o.bring(stepDay)
}

// MayRedeliver reports whether the next attempt at the door is what the merchant wants: of parcels to
// be redelivered, until there were as many as the policy allows. People may still decide otherwise.
func (o *Order) MayRedeliver(p Policy) bool {
	return o.Undeliver == "redeliver" && o.Attempts < p.MaxAttempts && o.Mode != CollectAtStore
}

// forward is for the store that holds the parcel of another.
func (o *Order) forward(to int64) *Step {
	s := o.step(DoForward, ByStore, o.HolderStore, stepBetween)
	s.To = to
	return s
}

// bring is for who carries it to the order's store.
func (o *Order) bring(within time.Duration) *Step {
	s := o.step(DoBring, ByRunner, 0, within)
	s.To = o.Store
	return s
}

// step is one that may take so long.
func (o *Order) step(do, who string, store int64, within time.Duration) *Step {
	by := o.stepSince().Add(within)
	return &Step{Do: do, Who: who, Store: store, By: &by}
}

// promised is a step on the way to the door: it is late when the promise is, but somebody who begins
// after that has some hours.
func (o *Order) promised(do, who string) *Step {
	by := o.stepSince().Add(StepRide)
	if o.Promise != nil && o.Promise.To.After(by) {
		by = o.Promise.To
	}
	return &Step{Do: do, Who: who, Store: o.Store, By: &by}
}

func (o *Order) stepSince() time.Time {
	if o.StepSince.IsZero() {
		return o.CreatedAt
	}
	return o.StepSince
}

// stepDue is by when the next step should have been done. What follows a failure depends on the policy,
// when it is due does not.
func (o *Order) stepDue() *time.Time {
	s := NextStep(o, UsualPolicy)
	if s == nil || s.Do == DoCollect { // the hold's own end sees to that
		return nil
	}
	return s.By
}
