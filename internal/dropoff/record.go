package dropoff

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/order"
)

// passes is how often the refused events of a batch are looked at again after others of it were kept:
// corrections of corrections, backwards, need one for each. The rest is for the phone's next try.
const passes = 4

// recordOne keeps the events of one order, those at the given places of events, and writes their
// results. It may run more than once.
func recordOne(tx *db.Tx, key int64, events []Event, places []int, results []Result) error {
	var due []int
	first := map[string]int{} // place of each id: a repeat in the same batch shares its fate
	for _, i := range places {
		e := events[i]
		results[i] = Result{ID: e.ID}
		if err := e.Check(); err != nil {
			results[i].Result, results[i].Err = Refused, err
		} else if _, repeat := first[e.ID]; !repeat {
			first[e.ID] = i
			due = append(due, i)
		}
	}

	v, err := openVisits(tx, key)
	if fault.KindOf(err) == fault.NotFound {
		for _, i := range places {
			results[i].Result, results[i].Err = Refused, err
		}
		return nil
	} else if err != nil {
		return err
	}
	if err := v.recordAll(events, due, results); err != nil {
		return err
	}
	for _, i := range places {
		if results[i].Result != "" {
			continue
		}
		of := results[first[events[i].ID]]
		if of.Result == Recorded {
			of.Result = Duplicate
		}
		results[i] = of
	}
	return v.save()
}

// recordAll records the events at due, in the order that needs the fewest tries: what takes back first,
// so that a slip of the thumb moves no order and tells no customer; then the chain's own.
func (v *visits) recordAll(events []Event, due []int, results []Result) error {
	for _, i := range due {
		v.batch = append(v.batch, v.theirs(events[i]))
	}
	slices.SortStableFunc(due, func(i, j int) int {
		back := func(e Event) int {
			if e.Type == Withdrawn {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(back(events[i]), back(events[j])), compare(events[i], events[j]))
	})
	for range passes {
		var again []int
		for _, i := range due {
			var err error
			if results[i].Result, results[i].Err, err = v.record(v.theirs(events[i])); err != nil {
				return err
			}
			// A value that is wrong, as a PIN, stays wrong; a conflict may be over with the next event.
			if fault.KindOf(results[i].Err) == fault.Conflict {
				again = append(again, i)
			}
		}
		if len(again) == 0 || len(again) == len(due) {
			break
		}
		due = again
	}
	return nil
}

// theirs is e as who reports it may say it: what only we know is not theirs to fill in.
func (v *visits) theirs(e Event) Event {
	e.Confirmed, e.Correction, e.Actor = false, false, event.Actor(v.tx.Context())
	return e
}

// record keeps one event or refuses it; err is for what must end the whole transaction.
func (v *visits) record(e Event) (result string, refusal, err error) {
	if v.known(e.ID) != nil {
		return Duplicate, nil, nil
	}
	if refusal, err = v.admit(&e); refusal != nil || err != nil {
		return Refused, refusal, err
	}
	return Recorded, nil, v.keep(e)
}

// admit decides whether e may be kept. It changes nothing but the count of wrong PINs.
func (v *visits) admit(e *Event) (refusal, err error) {
	if refusal := v.inPlace(e); refusal != nil {
		return refusal, nil
	}
	if refusal := v.roomFor(e); refusal != nil {
		return refusal, nil
	}
	if refusal := v.mayStand(e); refusal != nil {
		return refusal, nil
	}
	asks := v.asks(e.Attempt)
	if e.PhotoSHA256 != "" && asks.Photo == order.Off {
		return fault.InvalidField("/photo_sha256", "photo-not-wanted", "this merchant wants no photos taken at the door"), nil
	}
	if refusal, err := v.uploaded(e); refusal != nil || err != nil {
		return refusal, err
	}
	before := v.chain(e.Attempt)
	after := append(slices.Clone(before), *e)
	if after.counts(e) && e.Type == HandedOver && e.PIN != "" && v.listensTo(asks) {
		refusal, err := pinCode.try(v.tx, &v.o, e.PIN, v.tx.Now(), order.Happened{Attempt: e.Attempt})
		if refusal != nil || err != nil {
			v.changed = v.changed || fault.KindOf(refusal) == fault.Invalid
			return refusal, err
		}
		e.Confirmed = true
		after[len(after)-1].Confirmed = true
	}
	return v.mayEnd(e, before, after, asks), nil
}

// listensTo reports whether a PIN means anything: one that nobody was told is not looked at.
func (v *visits) listensTo(a Asks) bool {
	return a.PIN || a.Leg == LegDelivery && a.Attended && v.policy.PIN == order.Wanted
}

// uploaded refuses an event whose pictures are not here.
func (v *visits) uploaded(e *Event) (refusal, err error) {
	for _, p := range []struct{ sha, pointer string }{{e.PhotoSHA256, "/photo_sha256"}, {e.SignatureSHA256, "/signature_sha256"}} {
		if p.sha == "" {
			continue
		}
		if ok, err := hasPhoto(v.tx, p.sha); err != nil {
			return nil, err
		} else if !ok {
			return fault.InvalidField(p.pointer, "unknown-photo", "upload the photo first"), nil
		}
	}
	return nil, nil
}

// inPlace refuses an event of an attempt that cannot have it now. Evidence of an attempt that has
// begun is always kept, even after the parcel has moved on: it may come from a phone that was
// offline for a day. The next attempt begins with its first event if the runner has the parcel.
func (v *visits) inPlace(e *Event) error {
	o := &v.o
	switch {
	case o.ErasedAt != nil:
		return fault.Refused("erased", nil, "the recipient's data is erased: what happened stays as it is")
	case e.Attempt > o.Attempts+1:
		return fault.Refused("unknown-attempt", o.Status.Allowed(), "there were %d attempts so far, so %d cannot be the next", o.Attempts, e.Attempt)
	case e.Attempt == o.Attempts+1 && o.Status == order.EnrouteReturn:
		return nil
	case e.Attempt == o.Attempts+1:
		return o.CheckMove(order.EnrouteDropoff)
	}
	return nil
}

// mostEvents of one order are taken; an honest attempt has five to ten. Every look at an order reads them
// all, and its export has their photos.
const mostEvents = 500

// roomFor refuses what a phone that has gone mad goes on to say. How the attempt ended is still taken, and so
// is everything that a dispatcher says.
func (v *visits) roomFor(e *Event) error {
	n := 0
	for _, a := range v.attempts {
		n += len(a.Events)
	}
	if n < mostEvents || ends(e.Type) == 1 || e.Network {
		return nil
	}
	return fault.Refused("too-many-events", nil, "%d events of this order are known: no more are taken, but how the attempt ended", n)
}

// mayStand refuses an event that may not supersede the one that it names, as far as that is known, and
// marks a correction. One that comes before what it names is kept, and judged again by stands when
// that arrives; but nothing is delivered in place of an event that nobody has seen.
func (v *visits) mayStand(e *Event) error {
	if e.Supersedes == "" {
		return nil
	}
	e.Correction = strings.TrimSpace(e.Note) != ""
	x := v.known(e.Supersedes)
	if x == nil {
		x = v.batch.find(e.Supersedes)
	}
	switch {
	case v.cycle(e):
		return fault.InvalidField("/supersedes", "cycle", "that event stands, in the end, in place of this one")
	case x != nil && x.Attempt != e.Attempt:
		return fault.InvalidField("/supersedes", "other-attempt", "that event is of attempt %d", x.Attempt)
	case x == nil && e.Type == Completed && append(slices.Clone(v.chain(e.Attempt)), *e).counts(e):
		return fault.Refused("unknown-event", nil, "the event %s is not here: send it first", e.Supersedes)
	case x == nil || e.undoes(x):
		return nil
	case x.Type == Withdrawn && e.Type == Withdrawn:
		return fault.InvalidField("/supersedes", "already-withdrawn", "what was taken back stays so: report anew what did happen")
	case !e.Correction:
		return fault.InvalidField("/note", "required", "only who reported it takes it back without a reason, and only within %.0f s: say why", UndoWithin.Seconds())
	case !e.stands(x):
		return tooLate()
	}
	if h := v.chain(e.Attempt).lostTo(x); h != nil && !e.OccurredAt.Before(h.OccurredAt) {
		return fault.Refused("superseded", nil, "that event has given way to %s: correct that", h.ID)
	}
	return nil
}

func tooLate() error {
	return fault.Refused("too-late", nil, "only who said completed takes it back, within %.0f s; after that a dispatcher does", UndoWithin.Seconds())
}

func (v *visits) cycle(e *Event) bool {
	for x := v.known(e.Supersedes); x != nil; x = v.known(x.Supersedes) {
		if x.Supersedes == e.ID {
			return true
		}
		if x.Supersedes == "" {
			break
		}
	}
	return false
}

// mayEnd refuses an event when the attempt may not come to the end, or be opened again, that its chain
// then says, or when the evidence does not reach for it. before and after are the chain without and with
// e; what ended it before may stay, may be opened by e, or may be ended by it for the first time.
func (v *visits) mayEnd(e *Event, before, after Chain, asks Asks) error {
	was, is := before.end(), after.end()
	stays := was != nil && after.counts(was)
	opens := was != nil && !stays
	switch {
	case stays && ends(e.Type) == 1 && after.counts(e):
		return v.over(e) // a second end
	case stays && was.Type == Completed && before.Effective().any(func(x Event) bool { return !after.counts(&x) }):
		return after.Missing(asks) // a correction takes evidence from under a delivery
	case !opens && (stays || is == nil):
		return nil
	case e.Attempt < v.o.Attempts:
		if is != nil && is.Type == Completed || v.later(e) {
			return v.over(e)
		}
		return nil // the parcel has been out again since: it moves nothing
	case opens:
		if err := v.mayOpen(after, was, is); err != nil {
			return err
		}
	case e.Attempt == v.o.Attempts && !v.atDoor(asks.Leg, is):
		return v.over(e)
	}
	if err := v.mayDeny(e, after, was, is); err != nil || is == nil {
		return err
	}
	if is.Type == Completed {
		return after.Missing(asks)
	}
	return after.MayFail(*is, asks)
}

// undoArrives is how long after a delivery was recorded an undo of it may still come in. It goes by the phone's
// clock, which may say anything; a phone without a network all day is served, and nobody takes back a parcel
// whose time for disputes is over.
const undoArrives = 24 * time.Hour

// mayDeny refuses that anybody but a dispatcher says that the parcel is not there after all, once the
// customer has said that it is, or long after it was delivered.
func (v *visits) mayDeny(e *Event, after Chain, was, is *Event) error {
	undone := is == nil && was.Type == Completed
	switch {
	case e.Network || !undone && (is == nil || is.Type != Failed):
		return nil
	case after.Effective().any(func(x Event) bool { return x.Type == Retrieved && x.Confirmed }):
		return fault.Refused("confirmed-by-customer", nil, "the customer has said that the parcel is there: ask the dispatcher to correct it")
	case undone && v.tx.Now().Sub(was.RecordedAt) > undoArrives:
		return tooLate()
	}
	return nil
}

// later reports whether e happened after the next attempt had begun, by the phone's clock: then it comes
// too late to say how this one ended. One that just arrives late does not: the phone that failed, took
// that back and failed again has its queue read in any order.
func (v *visits) later(e *Event) bool {
	for _, a := range v.attempts[e.Attempt:] {
		if a.Events.any(func(x Event) bool { return x.OccurredAt.Before(e.OccurredAt) }) {
			return true
		}
	}
	return false
}

func (v *visits) over(e *Event) error {
	return fault.Refused("not-allowed-now", v.o.Status.Allowed(), "attempt %d is over", e.Attempt)
}

// atDoor reports whether the last attempt can end now; a return that the sender has confirmed already
// still takes the runner's word of it.
func (v *visits) atDoor(leg string, end *Event) bool {
	s := v.o.Status
	if leg == LegReturn {
		return s == order.EnrouteReturn || s == order.Returned && end.Type == Completed
	}
	return s == order.EnrouteDropoff || s == order.ArrivedDropoff
}

// mayOpen refuses that was, which ended the last attempt, is superseded in the chain after: when the
// parcel has moved on meanwhile, while a dispute holds everything still, and what was delivered after
// the time for an undo to anybody but a dispatcher. is ends the attempt then, if anything does.
func (v *visits) mayOpen(after Chain, was, is *Event) error {
	o := &v.o
	if o.Status != v.led(was) || was.Type == Failed && o.Status == order.AttemptFailed && (o.Holder != order.HeldByRunner || o.TransferTo != 0) {
		return fault.Refused("not-allowed-now", o.Status.Allowed(), "the order is %s: the parcel has moved on since", o.Status)
	}
	if was.Type != Completed || is != nil && is.Type == Completed {
		return nil
	}
	if o.Dispute == order.DisputeOpen {
		return fault.Refused("frozen", nil, "the customer disputes the delivery: it stays as it is until that is resolved")
	}
	// Several may have superseded the same; any of them that was entitled to has opened it.
	by := after.find(after.Superseded()[was.ID])
	if !after.any(func(e Event) bool { return e.Supersedes == by.Supersedes && (e.undoes(was) || e.Network) }) {
		return tooLate()
	}
	return nil
}

// led is the status that the end of an attempt led to.
func (v *visits) led(end *Event) order.Status {
	leg := v.leg(end.Attempt)
	switch {
	case end.Type == Completed && leg == LegReturn:
		return order.Returned
	case end.Type == Completed:
		return order.Delivered
	case leg == LegReturn:
		return order.EnrouteReturn
	}
	return order.AttemptFailed
}
