package dropoff

import (
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// keep writes an admitted event and everything that follows from it.
func (v *visits) keep(e Event) error {
	v.changed = true
	at := plausible(e.OccurredAt, v.o.CreatedAt, v.tx.Now())
	if err := v.open(e.Attempt); err != nil {
		return err
	}
	e.RecordedAt = v.tx.Now()
	seal, err := insertEvent(v.tx, &e)
	if err != nil {
		return err
	}
	a := &v.attempts[e.Attempt-1]
	a.Events = append(a.Events, e)
	a.judge(&v.o, &v.policy)
	fresh, err := v.flag(a, e)
	if err != nil {
		return err
	}
	if err := updateAttempt(v.tx, a); err != nil {
		return err
	}
	h := order.Happened{Attempt: a.N, Grade: a.Grade, Evidence: seal}
	if e.Type == Failed {
		h.Reason = e.Reason
	}
	if err := order.Note(v.tx, &v.o, "dropoff."+e.told(), at, h); err != nil {
		return err
	}
	if err := tellFlags(v.tx, &v.o, a, fresh); err != nil || e.Attempt < v.o.Attempts {
		return err
	}
	if err := v.follow(a, at); err != nil {
		return err
	}
	v.regrade(a)
	return nil
}

// told is how the log names e.
func (e *Event) told() string {
	if e.Supersedes != "" && e.Type != Withdrawn {
		return "corrected"
	}
	return e.Type
}

// judge brings what a says of itself in line with its chain.
func (a *Attempt) judge(o *order.Order, p *order.Policy) {
	a.State, a.Grade = a.Events.State(), a.Events.Grade(AsksOf(o, p, a.Leg))
	a.Reason, a.EndedAt = "", nil
	if end := a.Events.end(); end != nil {
		at := plausible(end.OccurredAt, o.CreatedAt, end.RecordedAt)
		a.Reason, a.EndedAt = end.Reason, &at
	}
}

// regrade lets late evidence count for a delivered order; while a dispute is open, what was disputed
// stays as it was.
func (v *visits) regrade(a *Attempt) {
	if v.o.Status == order.Delivered && v.o.Dispute != order.DisputeOpen {
		v.o.Grade = a.Grade
	}
}

// open begins the next attempt when n is that, on the leg that the parcel is on.
func (v *visits) open(n int) error {
	if n != v.o.Attempts+1 {
		return nil
	}
	from, err := v.since()
	if err != nil {
		return err
	}
	begin := depart
	if v.o.Status == order.EnrouteReturn {
		begin = visitSender
	}
	a, err := begin(v.tx, &v.o, from)
	v.attempts = append(v.attempts, a)
	return err
}

// follow moves the order to where its last attempt says that it is. Phones lose steps, send them later,
// and take them back; so the way there may be forwards, backwards, or both.
func (v *visits) follow(a *Attempt, at time.Time) error {
	end := a.Events.end()
	if a.Leg == LegReturn {
		return v.followReturn(a, end, at)
	}
	want := order.EnrouteDropoff
	switch {
	case end != nil:
		want = v.led(end)
	case len(a.Events.Effective()) > 0:
		want = order.ArrivedDropoff
	}
	h := order.Happened{Attempt: a.N, Grade: a.Grade}
	switch v.o.Status {
	case order.EnrouteDropoff:
	case order.ArrivedDropoff, order.AttemptFailed, order.Delivered:
		if err := v.back(want, at, h); err != nil {
			return err
		}
	default:
		return nil // the parcel has moved on
	}
	if end != nil {
		h.Reason = end.Reason
	}
	if v.o.Status == want {
		v.o.Reason = h.Reason
		return nil
	}
	if v.o.Status == order.EnrouteDropoff && want != order.AttemptFailed {
		if err := advance(v.tx, &v.o, order.ArrivedDropoff, at, order.Happened{Attempt: a.N}); err != nil || want == order.ArrivedDropoff {
			return err
		}
	}
	if err := advance(v.tx, &v.o, want, at, h); err != nil || want != order.Delivered {
		return err
	}
	return finish(v.tx, &v.o, order.Completed)
}

// back takes the order back as far as want is behind it.
func (v *visits) back(want order.Status, at time.Time, h order.Happened) error {
	o := &v.o
	if o.Status == order.Delivered && want != order.Delivered {
		if err := v.reopen(order.ArrivedDropoff, at, h); err != nil {
			return err
		}
	}
	if o.Status == order.AttemptFailed && want != order.AttemptFailed {
		to := order.ArrivedDropoff
		if want == order.EnrouteDropoff {
			to = want
		}
		if err := order.Amend(v.tx, o, to, at, h); err != nil {
			return err
		}
	}
	if o.Status == order.ArrivedDropoff && want == order.EnrouteDropoff {
		return order.Amend(v.tx, o, want, at, h)
	}
	return nil
}

// reopen gives the order back to its store and its runner, who were done with it. The goods stay off the
// shelf, and the store's slot has never got its unit back. What was disputed and ruled on is no more; its
// incident stays on record.
func (v *visits) reopen(to order.Status, at time.Time, h order.Happened) error {
	o := &v.o
	o.Grade, o.Dispute = "", ""
	if err := order.Amend(v.tx, o, to, at, h); err != nil {
		return err
	}
	if err := order.Hand(v.tx, o, order.HeldByRunner, 0, at, string(to)); err != nil {
		return err
	}
	a, err := order.LoadAssignment(v.tx, o.Assignment)
	if err != nil {
		return err
	}
	if err := order.AmendAssignment(v.tx, &a); err != nil {
		return err
	}
	return partner.KeepSlot(v.tx, a.Store, a.Slot, a.Key)
}

// followReturn is follow on the way back: only completed ends that; a failed try leaves the parcel with
// the runner.
func (v *visits) followReturn(a *Attempt, end *Event, at time.Time) error {
	back := end != nil && end.Type == Completed
	h := order.Happened{Attempt: a.N, Grade: a.Grade, Reason: v.o.Reason}
	switch {
	case back && v.o.Status == order.EnrouteReturn:
		if err := advance(v.tx, &v.o, order.Returned, at, h); err != nil {
			return err
		}
		return finish(v.tx, &v.o, order.Failed)
	case !back && v.o.Status == order.Returned && a.Events.has(Completed):
		return v.reopen(order.EnrouteReturn, at, h)
	}
	return nil
}

// visitSender opens an attempt at the sender's door.
func visitSender(tx *db.Tx, o *order.Order, at time.Time) (Attempt, error) {
	if o.Attempts >= MaxAttempts {
		return Attempt{}, fault.Refused("too-many-attempts", o.Status.Allowed(), "%d attempts are enough", o.Attempts)
	}
	o.Attempts++
	a := Attempt{Key: tx.NewKey(), N: o.Attempts, Leg: LegReturn, State: Pending, StartedAt: at}
	return a, insertAttempt(tx, o.Key, &a)
}
