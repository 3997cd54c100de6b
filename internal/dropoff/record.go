package dropoff

import (
	"slices"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/order"
)

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
	slices.SortStableFunc(due, func(i, j int) int { return compare(events[i], events[j]) })

	v, err := openVisits(tx, key)
	if fault.KindOf(err) == fault.NotFound {
		for _, i := range places {
			results[i].Result, results[i].Err = Refused, err
		}
		return nil
	} else if err != nil {
		return err
	}
	for _, i := range due {
		if results[i].Result, results[i].Err, err = v.record(events[i]); err != nil {
			return err
		}
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

// record keeps one event or refuses it; err is for what must end the whole transaction.
func (v *visits) record(e Event) (result string, refusal, err error) {
	if v.known[e.ID] {
		return Duplicate, nil, nil
	}
	e.Confirmed = false
	if refusal, err = v.admit(&e); refusal != nil || err != nil {
		return Refused, refusal, err
	}
	return Recorded, nil, v.keep(e, event.Actor(v.tx.Context()))
}

// admit decides whether e may be kept. It changes nothing but the count of wrong PINs.
func (v *visits) admit(e *Event) (refusal, err error) {
	if refusal := v.inPlace(e); refusal != nil {
		return refusal, nil
	}
	if e.PhotoSHA256 != "" {
		if ok, err := hasPhoto(v.tx, e.PhotoSHA256); err != nil {
			return nil, err
		} else if !ok {
			return fault.InvalidField("/photo_sha256", "unknown-photo", "upload the photo first"), nil
		}
	}
	if e.Type == HandedOver && e.PIN != "" && v.o.Details.PINRequired {
		refusal := tryCode(&v.o, v.o.PIN(v.tx.Names()), e.PIN, "/pin", "wrong-pin")
		if fault.KindOf(refusal) == fault.Invalid {
			v.changed = true
			return refusal, order.Note(v.tx, &v.o, "dropoff.pin_refused", v.tx.Now(), order.Happened{Attempt: e.Attempt})
		}
		if refusal != nil {
			return refusal, nil
		}
		e.Confirmed = true
	}
	if e.Type == Completed {
		return append(slices.Clone(v.chain(e.Attempt)), *e).Missing(&v.o), nil
	}
	return nil, nil
}

// inPlace refuses an event of an attempt that cannot have it now. Evidence of an attempt that has
// begun is always kept, even after the parcel has moved on: it may come from a phone that was
// offline for a day. The next attempt begins with its first event if the runner has the parcel.
func (v *visits) inPlace(e *Event) error {
	o := &v.o
	switch {
	case e.Attempt > o.Attempts+1:
		return fault.Refused("unknown-attempt", o.Status.Allowed(), "there were %d attempts so far, so %d cannot be the next", o.Attempts, e.Attempt)
	case e.Attempt == o.Attempts+1:
		return o.Status.Check(order.EnrouteDropoff)
	case ends(e.Type) == 0:
		return nil
	case e.Attempt < o.Attempts || v.chain(e.Attempt).has(Completed, Failed):
		return fault.Refused("not-allowed-now", o.Status.Allowed(), "attempt %d is over", e.Attempt)
	}
	return nil
}
