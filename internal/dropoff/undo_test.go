package dropoff

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/order"

	"github.com/google/go-cmp/cmp"
)

// by reports one event as somebody; the desk acts for the network.
func (w *town) by(who string, e Event) Result {
	w.t.Helper()
	e.Network = who == "desk"
	results, err := w.book.Record(event.WithActor(w.t.Context(), who), []Event{e})
	ok(w.t, err)
	return results[0]
}

func wantRecorded(t *testing.T, r Result) {
	t.Helper()
	if r.Result != Recorded {
		t.Fatalf("%s: %s %v", r.ID, r.Result, r.Err)
	}
}

func wantRefused(t *testing.T, r Result, code string) {
	t.Helper()
	if r.Result != Refused || fault.Code(r.Err) != code {
		t.Errorf("%s: %s %v, want %s", r.ID, r.Result, r.Err, code)
	}
}

// back takes x back so many seconds after it happened.
func back(x Event, seconds int, why string) Event {
	return Event{ID: "back-" + x.ID, Order: x.Order, Attempt: x.Attempt, Type: Withdrawn, Supersedes: x.ID, Note: why,
		OccurredAt: x.OccurredAt.Add(time.Duration(seconds) * time.Second)}
}

func TestAWrongTapIsTakenBack(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		arrived, failed := w.now(key, Arrived, here), w.now(key, Failed, because("customer_unavailable"))
		w.mustRecord(arrived, failed)
		w.wantStatus(key, order.AttemptFailed)

		undo := back(failed, 30, "")
		for range 2 { // the second is a repeat
			r := w.report(undo)[0]
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if o := w.wantStatus(key, order.ArrivedDropoff); o.Reason != "" || o.Holder != order.HeldByRunner {
			t.Errorf("%q, held by %s", o.Reason, o.Holder)
		}
		list := w.attempts(key)
		if a := list[0]; a.State != Arrived || a.Reason != "" || a.EndedAt != nil || len(a.Events) != 3 || a.Events.Superseded()[failed.ID] != undo.ID {
			t.Errorf("%+v", a)
		}
		// Nothing was there but arrived: taken back too, the parcel is on its way.
		w.mustRecord(back(arrived, 5, ""))
		w.wantStatus(key, order.EnrouteDropoff)
		w.mustRecord(w.now(key, Placed, w.photo), w.now(key, Completed))
		w.wantStatus(key, order.Delivered)
		want := []string{"dropoff.failed", "order.attempt_failed", "dropoff.withdrawn", "order.arrived_at_dropoff", "dropoff.withdrawn",
			"order.enroute_to_dropoff", "dropoff.placed", "order.arrived_at_dropoff", "dropoff.completed", "order.delivered", "custody.moved"}
		story := w.story(key)
		if d := cmp.Diff(want, story[slices.Index(story, "dropoff.failed"):]); d != "" {
			t.Error(d)
		}
	})
}

func TestWhatIsNoUndoNeedsAReason(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		failed := w.now(key, Failed, because("cannot_access"))
		wantRecorded(t, w.by("phone", failed))
		wantField(t, w.by("phone", back(failed, 31, "")).Err, "/note", "required")
		wantField(t, w.by("phone", back(failed, -1, "")).Err, "/note", "required")
		wantField(t, w.by("other", back(failed, 5, " ")).Err, "/note", "required")
		other := back(failed, 5, "x")
		other.Attempt = 2
		if r := w.by("phone", other); fault.KindOf(r.Err) != fault.Invalid || fault.As(r.Err).Fields[0].Code != "other-attempt" {
			t.Errorf("of another attempt: %v", r.Err)
		}
		w.wantStatus(key, order.AttemptFailed)
		wantRecorded(t, w.by("other", back(failed, 400, "the gate was open after all")))
		w.wantStatus(key, order.EnrouteDropoff)

		// The reason is for who reads the chain, and for no log.
		if e := w.attempts(key)[0].Events.find("back-" + failed.ID); e == nil || e.Note == "" || e.Actor != "other" || !e.Correction {
			t.Errorf("%+v", e)
		}
		events, err := event.Story(w.d.Read(t.Context()), w.load(key).Chain.Last)
		ok(t, err)
		for _, e := range events {
			if strings.Contains(string(e.Data), "gate") {
				t.Errorf("%s: %s", e.Type, e.Data)
			}
		}
	})
}

func TestAnUndoArrivesBeforeItsEvent(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		arrived, failed := w.now(key, Arrived, here), w.now(key, Failed, because("cannot_access"))
		w.mustRecord(arrived, back(failed, 3, ""))
		w.mustRecord(failed)
		w.wantStatus(key, order.ArrivedDropoff)
		if slices.Contains(w.story(key), "order.attempt_failed") {
			t.Error("the order was failed for a moment")
		}
		// In one batch as well; and where the undo comes too late, it is none when its event arrives.
		second := w.now(key, Failed, because("cannot_access"))
		w.mustRecord(second, back(second, 3, ""))
		if slices.Contains(w.story(key), "order.attempt_failed") {
			t.Error("the order was failed for a moment")
		}
		third := w.now(key, Failed, because("cannot_access"))
		w.mustRecord(back(third, 31, ""))
		w.mustRecord(third)
		w.wantStatus(key, order.AttemptFailed)
	})
}

func TestAnUndoIsNotUndone(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		failed := w.now(key, Failed, because("cannot_access"))
		undo := back(failed, 3, "")
		w.mustRecord(failed, undo)
		wantField(t, w.report(back(undo, 3, ""))[0].Err, "/supersedes", "already-withdrawn")
		w.mustRecord(w.now(key, Failed, because("customer_refused")))
		if o := w.wantStatus(key, order.AttemptFailed); o.Reason != "customer_refused" {
			t.Errorf("%s", o.Reason)
		}
	})
}

func TestCompletedIsTakenBackAtOnceAndCompletedAnew(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order(demanding("C"))
		w.outForDelivery(key)
		w.wantShelf("milk 98/0", "tea 97/0")
		done := w.now(key, Completed)
		w.mustRecord(w.now(key, Placed, w.photo), done)
		w.wantStatus(key, order.Delivered)
		w.wantAssignment(key, order.Completed)

		w.mustRecord(back(done, 29, ""))
		o := w.wantStatus(key, order.ArrivedDropoff)
		if o.Grade != "" || o.EndedAt != nil || o.Holder != order.HeldByRunner || o.CheckCustody() != "" {
			t.Errorf("%+v", o)
		}
		w.wantAssignment(key, order.Accepted)
		w.wantShelf("milk 98/0", "tea 97/0")
		w.wantAttempts(key, "1 placed C placed withdrawn completed")
		if err := o.Status.Check(order.EnrouteDropoff); fault.Code(err) != "not-allowed-now" {
			t.Errorf("an ordinary caller goes back too: %v", err)
		}
		// The same id is a duplicate for ever; another one delivers.
		if r := w.report(done)[0]; r.Result != Duplicate {
			t.Errorf("%+v", r)
		}
		w.wantStatus(key, order.ArrivedDropoff)
		w.mustRecord(w.now(key, Completed))
		if o := w.wantStatus(key, order.Delivered); o.Grade != "C" || o.Holder != order.HeldByCustomer {
			t.Errorf("%+v", o)
		}
		w.wantAssignment(key, order.Completed)
		w.wantShelf("milk 98/0", "tea 97/0")
	})
}

func TestADeliveryIsTakenBackLaterByTheNetworkOnly(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		done := w.now(key, Completed)
		wantRecorded(t, w.by("phone", done))
		wantField(t, w.by("phone", back(done, 31, "")).Err, "/note", "required")
		wantRefused(t, w.by("phone", back(done, 31, "wrong door")), "too-late")
		failed := back(done, 600, "nobody was there")
		failed.ID, failed.Type, failed.Reason = "failed-after-all", Failed, "customer_unavailable"
		wantRefused(t, w.by("phone", failed), "too-late")
		w.wantStatus(key, order.Delivered)

		w.dispute(key, order.DisputeOpen)
		wantRefused(t, w.by("phone", back(done, 20, "")), "frozen")
		wantRefused(t, w.by("desk", failed), "frozen")
		if a := w.attempts(key)[0]; a.State != Disputed {
			t.Errorf("%s", a.State)
		}
		w.dispute(key, "upheld")
		if a := w.attempts(key)[0]; a.State != Upheld {
			t.Errorf("%s", a.State)
		}
		wantRecorded(t, w.by("desk", failed))
		if o := w.wantStatus(key, order.AttemptFailed); o.Reason != "customer_unavailable" || o.Holder != order.HeldByRunner || o.Grade != "" {
			t.Errorf("%+v", o)
		}
		w.wantAssignment(key, order.Accepted)
		if a := w.attempts(key)[0]; a.State != Failed || a.Reason != "customer_unavailable" {
			t.Errorf("%+v", a)
		}
	})
}

// An undo is as old as the phone's clock says; the customer's word is not to be undone by it.
func TestWhatTheCustomerHasIsDeniedByTheNetworkOnly(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		done := w.now(key, Completed)
		wantRecorded(t, w.by("phone", w.now(key, Placed, w.photo)))
		_, err := w.book.RetrievedByCustomer(t.Context(), key)
		ok(t, err)
		wantRefused(t, w.by("phone", w.now(key, Failed, because("damaged"))), "confirmed-by-customer")
		wantRecorded(t, w.by("phone", done))
		wantRefused(t, w.by("phone", back(done, 20, "")), "confirmed-by-customer")
		if o := w.wantStatus(key, order.Delivered); o.Grade != "A" || o.Holder != order.HeldByCustomer {
			t.Errorf("%+v", o)
		}
		wantRecorded(t, w.by("desk", back(done, 600, "another parcel")))
		if o := w.wantStatus(key, order.ArrivedDropoff); o.Holder != order.HeldByRunner {
			t.Errorf("%+v", o)
		}
	})
}

// Nobody can tell a clock that was set back from an undo that was under way for long; so not too long.
func TestAnUndoIsNotUnderWayForDays(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		deliver := func() Event {
			key := w.order()
			w.outForDelivery(key)
			done := w.now(key, Completed)
			wantRecorded(t, w.by("phone", done))
			return done
		}
		one, other := deliver(), deliver()
		w.clock.Advance(23 * time.Hour)
		wantRecorded(t, w.by("phone", back(one, 20, "")))
		w.clock.Advance(2 * time.Hour)
		wantRefused(t, w.by("phone", back(other, 20, "")), "too-late")
		w.wantStatus(other.Order, order.Delivered)
		wantRecorded(t, w.by("desk", back(other, 20, "another door")))
	})
}

// dispute sets what care sets.
func (w *town) dispute(key int64, state string) {
	w.t.Helper()
	ok(w.t, w.d.InTx(w.t.Context(), func(tx *db.Tx) error {
		o, err := order.Load(tx, key)
		if err != nil {
			return err
		}
		o.Dispute = state
		if err := order.Regrade(tx, &o); err != nil {
			return err
		}
		return order.Save(tx, &o)
	}))
}

func TestWhatIsDisputedKeepsItsGradeUntilThatIsResolved(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		w.mustRecord(w.now(key, Arrived, here), w.now(key, Completed))
		w.dispute(key, order.DisputeOpen)
		w.mustRecord(w.now(key, Placed, w.photo), w.now(key, SteppedAway, by(ByBLE)))
		w.dispute(key, order.DisputeOpen) // again: nothing is regraded meanwhile
		if o := w.load(key); o.Grade != "D" {
			t.Errorf("grade %s while disputed", o.Grade)
		}
		if a := w.attempts(key)[0]; a.Grade != "B" || a.State != Disputed {
			t.Errorf("the attempt: %s %s", a.State, a.Grade)
		}
		w.dispute(key, "rejected")
		if o := w.load(key); o.Grade != "B" {
			t.Errorf("grade %s afterwards", o.Grade)
		}
		if a := w.attempts(key)[0]; a.State != Rejected {
			t.Errorf("%s", a.State)
		}
	})
}

func TestACorrectionLeavesNoDeliveryWithoutItsEvidence(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order(demanding("C"))
		w.outForDelivery(key)
		placed := w.now(key, Placed, w.photo)
		done := w.now(key, Completed)
		w.mustRecord(placed, done)
		wantRefused(t, w.by("desk", back(placed, 20, "another parcel")), "evidence-missing")
		wantRefused(t, w.by("system", back(placed, 20, "")), "evidence-missing")
		better := w.now(key, Placed, w.photo, called("better"), instead(placed.ID, "the label shows"))
		wantRecorded(t, w.by("phone", better))
		w.wantStatus(key, order.Delivered)
		// Corrected again; the first correction can no longer be contested, the second can.
		again := w.now(key, HandedOver, w.photo, called("again"), instead("better", "it was given to her"))
		wantRecorded(t, w.by("desk", again))
		if got := ids(w.attempts(key)[0].Events.Effective()); !slices.Contains(got, "again") || len(got) != 2 {
			t.Errorf("%v", got)
		}
		wantRecorded(t, w.by("desk", back(done, 900, "it went to the wrong house")))
		w.wantStatus(key, order.ArrivedDropoff)
	})
}

func TestAFailureIsTakenBackOnlyWhileNothingHappenedSince(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key, other := w.order(), w.order()
		w.outForDelivery(key)
		w.outForDelivery(other)
		failed := w.now(key, Failed, because("cannot_access"))
		w.mustRecord(failed)
		_, err := w.book.Receive(t.Context(), key, time.Time{})
		ok(t, err)
		wantRefused(t, w.report(back(failed, 5, ""))[0], "not-allowed-now")
		w.wantStatus(key, order.ReceivedAtStore)

		failed = w.now(other, Failed, because("cannot_access"))
		w.mustRecord(failed)
		w.clock.Advance(time.Hour)
		w.mustRecord(w.now(other, Arrived, here, attempt(2)))
		wantRefused(t, w.by("desk", back(failed, 7200, "he never went")), "not-allowed-now")
		w.wantAttempts(other, "1 failed - failed", "2 arrived D arrived")
		// An undo of that hour, from a phone that had no network, is kept, and moves nothing.
		w.mustRecord(back(failed, 5, ""))
		w.wantStatus(other, order.ArrivedDropoff)
	})
}

func TestNoEventStandsInPlaceOfItself(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		self := w.now(key, Placed, called("self"), instead("self", "x"))
		wantField(t, w.report(self)[0].Err, "/supersedes", "cycle")
		a := w.now(key, Placed, called("a"), instead("b", "x"))
		b := w.now(key, Placed, called("b"), instead("c", "x"))
		c := w.now(key, Placed, called("c"), instead("a", "x"))
		w.mustRecord(a, b)
		wantField(t, w.report(c)[0].Err, "/supersedes", "cycle")
		wantField(t, w.report(w.now(key, Withdrawn))[0].Err, "/supersedes", "required")
		wantField(t, w.report(w.now(key, Placed, instead("a", "")))[0].Err, "/note", "required")
		wantField(t, w.report(w.now(key, Withdrawn, instead("customer:1", "x")))[0].Err, "/supersedes", "not-yours")
		wantField(t, w.report(w.now(key, Withdrawn, instead("a b", "x")))[0].Err, "/supersedes", "invalid")
	})
}

func TestWhatAHandOverHasToShow(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		cash := order.Money{Amount: 125000, Currency: "KES"}
		key := w.order(func(o *order.Order) {
			o.Mode = order.Neighbour
			o.Details.SignatureRequired, o.Details.IDRequired, o.Details.Cash = true, true, &cash
		})
		w.outForDelivery(key)
		r := w.report(w.now(key, HandedOver), w.now(key, Completed))[1]
		wantRefused(t, r, "evidence-missing")
		var missing []string
		for _, f := range fault.As(r.Err).Fields {
			missing = append(missing, f.Pointer)
		}
		if d := cmp.Diff([]string{"/name", "/signature_sha256", "/id_checked", "/cash_collected"}, missing); d != "" {
			t.Error(d)
		}
		wantField(t, w.report(w.now(key, HandedOver, func(e *Event) { e.SignatureSHA256 = aPhoto }))[0].Err, "/signature_sha256", "unknown-photo")
		wantField(t, w.report(w.now(key, Placed, func(e *Event) { e.Name = "Wanjiru" }))[0].Err, "/name", "not-allowed")
		wantField(t, w.report(w.now(key, HandedOver, func(e *Event) { e.Cash = &order.Money{Amount: 1, Currency: "kes"} }))[0].Err, "/cash_collected/currency", "invalid")
		w.mustRecord(w.now(key, HandedOver, func(e *Event) {
			e.Name, e.SignatureSHA256, e.IDChecked, e.Cash = "Wanjiru", w.sha, true, &order.Money{Amount: 100, Currency: "KES"}
		}))
		wantRefused(t, w.report(w.now(key, Completed))[0], "evidence-missing") // the cash is not all there
		w.mustRecord(w.now(key, HandedOver, func(e *Event) { e.Cash = &cash }), w.now(key, Completed))
		w.wantStatus(key, order.Delivered)
		e := w.attempts(key)[0].Events
		if i := slices.IndexFunc(e, func(e Event) bool { return e.Name != "" }); i < 0 || e[i].Name != "Wanjiru" || e[i].SignatureSHA256 != w.sha || !e[i].IDChecked || e[i].Cash.Amount != 100 {
			t.Errorf("%+v", e)
		}
	})
}

func TestWhatAPolicyAsksOfTheDoor(t *testing.T) {
	for _, tt := range []struct {
		story string
		set   func(*order.Policy)
		min   string
		chain Chain
		want  []string
	}{
		{"a wider fence", func(p *order.Policy) { p.FenceM = 500 }, "B", Chain{at(0, Arrived, off(400, 10)), at(1, Placed, photo), at(2, SteppedAway, by(ByBLE))}, nil},
		{"a narrower one", func(p *order.Policy) { p.FenceM = 20 }, "B", Chain{at(0, Arrived, off(80, 10)), at(1, Placed, photo), at(2, SteppedAway, by(ByBLE))}, []string{"/location"}},
		{"a photo required, whatever the grade", func(p *order.Policy) { p.Photo = order.Required }, "D", Chain{at(0, HandedOver, confirmed)}, []string{"/photo_sha256"}},
		{"required, and named once", func(p *order.Policy) { p.Photo = order.Required }, "C", Chain{at(0, Placed)}, []string{"/photo_sha256"}},
		{"no photos: the runner's word", func(p *order.Policy) { p.Photo = order.Off }, "D", Chain{at(0, Arrived, here)}, nil},
		{"no photos and C: the customer's word", func(p *order.Policy) { p.Photo = order.Off }, "C", Chain{at(0, Placed, photo), at(1, SteppedAway, here, by(ByBLE))}, []string{"/type"}},
	} {
		p := order.UsualPolicy
		tt.set(&p)
		o := &order.Order{Dropoff: theDoor, Mode: order.LeaveAtDoor, MinimumGrade: tt.min}
		var got []string
		if err := tt.chain.Missing(AsksOf(o, &p, LegDelivery)); err != nil {
			for _, f := range fault.As(err).Fields {
				got = append(got, f.Pointer)
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.story, d)
		}
	}
	// The sender's door is its own; while nobody knows it, no position proves anything.
	p := order.UsualPolicy
	o := &order.Order{Dropoff: theDoor, Mode: order.HandOver, MinimumGrade: "A", Details: order.Details{PINRequired: true}}
	c := Chain{at(0, Arrived, here), at(1, HandedOver, photo)}
	if a := AsksOf(o, &p, LegReturn); c.Grade(a) != "C" || c.Missing(a) != nil {
		t.Errorf("at the sender's: %s, %v", c.Grade(a), c.Missing(a))
	}
	p.ReturnTo = &theDoor
	if g := c.Grade(AsksOf(o, &p, LegReturn)); g != "B" {
		t.Errorf("at the sender's known door: %s", g)
	}
}

func TestLeavingNeedsTheWaitAndTheCalls(t *testing.T) {
	asks := usual
	asks.Wait, asks.Calls = 5*time.Minute, 2
	call := func(seconds int) Event { return at(seconds, Signalled, func(e *Event) { e.Signal = ByCall }) }
	out := func(seconds int) Event { return at(seconds, Failed, because("customer_unavailable")) }
	for _, tt := range []struct {
		story string
		chain Chain
		e     Event
		want  []string // pointer and detail
	}{
		{"all done", Chain{at(0, Arrived), call(60), call(200)}, out(300), nil},
		{"a minute too early", Chain{at(0, Arrived), call(60), call(200)}, out(240), []string{"/occurred_at at least 300 s after arrived"}},
		{"one call", Chain{at(0, Arrived), call(60)}, out(300), []string{"/signal 1 more call"}},
		{"one call under two ids", Chain{at(0, Arrived), call(60), func() Event { e := call(60); e.ID = "again"; return e }()}, out(300), []string{"/signal 1 more call"}},
		{"a call after leaving", Chain{at(0, Arrived), call(60), call(301)}, out(300), []string{"/signal 1 more call"}},
		{"a bell is no call", Chain{at(0, Arrived), call(60), at(90, Signalled, func(e *Event) { e.Signal = "bell" })}, out(300), []string{"/signal 1 more call"}},
		{"a call taken back", Chain{at(0, Arrived), call(60), call(200), at(210, Withdrawn, instead("signalled-200", ""))}, out(300), []string{"/signal 1 more call"}},
		{"nobody was there", nil, out(300), []string{"/type arrived, at least 300 s before leaving", "/signal 2 more calls"}},
		{"for another reason nothing is asked", nil, at(0, Failed, because("cannot_access")), nil},
	} {
		var got []string
		if err := tt.chain.MayFail(tt.e, asks); err != nil {
			if fault.Code(err) != "evidence-missing" || fault.KindOf(err) != fault.Conflict {
				t.Errorf("%s: %v", tt.story, err)
			}
			for _, f := range fault.As(err).Fields {
				got = append(got, f.Pointer+" "+f.Detail)
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.story, d)
		}
	}
}

func TestTheWayBackHasEvidenceOfItsOwn(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		w.mustRecord(w.now(key, Failed, because("customer_refused")))
		_, err := w.book.Return(t.Context(), key, time.Time{})
		ok(t, err)
		w.mustRecord(w.now(key, Arrived, attempt(2)), w.now(key, Failed, attempt(2), because("store_closed")))
		w.wantStatus(key, order.EnrouteReturn)
		done := w.now(key, Completed, attempt(3))
		w.mustRecord(w.now(key, HandedOver, w.photo, attempt(3)), done)
		if o := w.wantStatus(key, order.Returned); o.Holder != order.HeldBySender {
			t.Errorf("held by %s", o.Holder)
		}
		w.wantAssignment(key, order.Failed)
		var legs []string
		for _, a := range w.attempts(key) {
			legs = append(legs, a.Leg+" "+a.State+" "+or(a.Grade, "-"))
		}
		if d := cmp.Diff([]string{"delivery failed -", "return failed -", "return completed C"}, legs); d != "" {
			t.Error(d)
		}
		w.mustRecord(back(done, 10, ""))
		if o := w.wantStatus(key, order.EnrouteReturn); o.Holder != order.HeldByRunner || o.EndedAt != nil {
			t.Errorf("held by %s, ended %v", o.Holder, o.EndedAt)
		}
		w.wantAssignment(key, order.Accepted)
		w.mustRecord(w.now(key, Completed, attempt(3)))
		w.wantStatus(key, order.Returned)
	})
}

func TestNothingIsAddedToWhatIsErased(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		w.mustRecord(w.now(key, Completed))
		ok(t, w.d.InTx(context.Background(), func(tx *db.Tx) error {
			o, err := order.Load(tx, key)
			if err != nil {
				return err
			}
			now := tx.Now()
			o.ErasedAt = &now
			return order.Save(tx, &o)
		}))
		wantRefused(t, w.report(w.now(key, Placed, w.photo))[0], "erased")
	})
}

// Long after, when the slot is purged and the order is out of the hot indexes, a delivery that is taken
// back is work of its store again.
func TestWhatIsTakenBackIsWorkAgain(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		orders := order.NewBook(w.d)
		work := func() (keys []int64) {
			t.Helper()
			list, _, err := orders.ListAssignments(t.Context(), order.AssignmentFilter{Statuses: []string{"accepted"}, Store: w.store, Limit: 10})
			ok(t, err)
			for _, a := range list {
				keys = append(keys, a.Order)
			}
			return keys
		}
		var done []Event
		claimed := int64(0)
		for i := range 3 {
			key := w.order(func(o *order.Order) { o.ExternalID, o.Merchant = fmt.Sprint("A-", i), 5 })
			ok(t, w.d.InTx(t.Context(), func(tx *db.Tx) error { // all of one slot
				_, err := tx.Exec(`UPDATE assignment SET slot = ?, prev_key = ? WHERE order_key = ?`, noon.UnixMilli(), claimed, key)
				return err
			}))
			claimed = w.load(key).Assignment
			w.outForDelivery(key)
			done = append(done, w.now(key, Completed))
			wantRecorded(t, w.by("phone", done[i]))
		}
		w.clock.Advance(60 * 24 * time.Hour)
		if n, err := orders.Archive(t.Context(), w.clock.Now()); err != nil || n != 3 {
			t.Fatalf("%d archived, %v", n, err)
		}
		var want []int64
		for _, i := range []int{1, 0, 2} {
			wantRecorded(t, w.by("desk", back(done[i], 86400, "the parcel came back")))
			want = append(want, done[i].Order)
			slices.Sort(want)
			if d := cmp.Diff(want, work()); d != "" {
				t.Error(d)
			}
			if o, err := orders.Find(t.Context(), 5, fmt.Sprint("A-", i)); err != nil || o.Status != order.EnrouteDropoff {
				t.Errorf("%s %v", o.Status, err)
			}
		}
		anew := done[0]
		anew.ID, anew.OccurredAt = "anew", w.clock.Now()
		w.mustRecord(anew)
		w.clock.Advance(60 * 24 * time.Hour)
		if n, err := orders.Archive(t.Context(), w.clock.Now()); err != nil || n != 1 {
			t.Errorf("%d archived again, %v", n, err)
		}
	})
}

func TestAPhoneGoneMadFillsNoOrder(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		var mad []Event
		for range mostEvents {
			mad = append(mad, w.now(key, Arrived))
		}
		w.mustRecord(mad...)
		more := w.now(key, Arrived)
		got, err := w.book.Record(t.Context(), []Event{more, mad[0]})
		ok(t, err)
		if fault.Code(got[0].Err) != "too-many-events" || got[1].Result != Duplicate {
			t.Errorf("%+v", got)
		}
		w.mustRecord(w.now(key, Completed))
		w.wantStatus(key, order.Delivered)
	})
}
