package dropoff

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/order"
	"doorstep/internal/partner"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// town is one store with a full shelf, and the orders it has accepted.
type town struct {
	t     *testing.T
	d     *db.DB
	clock *dbtest.Clock
	book  *Book
	shops *partner.Book
	store int64
	sha   string // the photo that was uploaded last
	n     int

	photos int
}

func inTown(t *testing.T, story func(*testing.T, *town)) {
	t.Helper()
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		clock.Set(noon)
		w := &town{t: t, d: d, clock: clock, book: NewBook(d), shops: partner.NewBook(d, partner.StandardDefaults())}
		name, zone, lat, lng := "Corner shop", "Africa/Nairobi", theDoor.Lat, theDoor.Lng+0.01
		s, _, err := w.shops.Create(t.Context(), partner.Input{Name: &name, TimeZone: &zone, Lat: &lat, Lng: &lng})
		ok(t, err)
		w.store = s.Key
		_, err = w.shops.SetStock(t.Context(), s.Key, []partner.Count{{SKU: "tea", OnHand: 100}, {SKU: "milk", OnHand: 100}})
		ok(t, err)
		w.sha = w.upload("a picture")
		story(t, w)
	})
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// order is a new confirmed order for 2 milk and 3 tea, reserved on the shelf.
func (w *town) order(with ...func(*order.Order)) int64 {
	w.t.Helper()
	o := order.Order{Key: w.d.Keys().Next(), Status: order.Confirmed, Dropoff: theDoor, Mode: order.LeaveAtDoor,
		Undeliver: "hold_at_store", Recipient: order.Recipient{Name: "Amina", Phone: "+254712345678"}, Store: w.store,
		Details: order.Details{Items: []order.Item{{SKU: "tea", Quantity: 3}, {SKU: "milk", Quantity: 2}}}, CreatedAt: w.clock.Now()}
	for _, f := range with {
		f(&o)
	}
	ok(w.t, w.d.InTx(w.t.Context(), func(tx *db.Tx) error {
		now := tx.Now()
		a := order.Assignment{Key: tx.NewKey(), Order: o.Key, Store: o.Store, Status: order.Accepted, Rank: 1, Slot: now, OfferedAt: now, AnsweredAt: &now}
		o.Assignment = a.Key
		if got, err := partner.ClaimStock(tx, o.Store, []partner.Item{{SKU: "tea", Quantity: 3}, {SKU: "milk", Quantity: 2}}); err != nil || !got {
			return fmt.Errorf("claim: %v %v", got, err)
		}
		if err := order.InsertAssignment(tx, &a); err != nil {
			return err
		}
		return order.Insert(tx, &o)
	}))
	return o.Key
}

func (w *town) load(key int64) order.Order {
	w.t.Helper()
	o, err := order.Load(w.d.Read(w.t.Context()), key)
	ok(w.t, err)
	return o
}

func (w *town) wantStatus(key int64, want order.Status) order.Order {
	w.t.Helper()
	o := w.load(key)
	if o.Status != want {
		w.t.Fatalf("the order is %s, want %s", o.Status, want)
	}
	return o
}

func (w *town) wantAssignment(key int64, want order.AssignmentStatus) {
	w.t.Helper()
	a, err := order.LoadAssignment(w.d.Read(w.t.Context()), w.load(key).Assignment)
	ok(w.t, err)
	if a.Status != want {
		w.t.Errorf("the assignment is %s, want %s", a.Status, want)
	}
}

// wantShelf compares "sku on_hand/reserved" of the whole shelf.
func (w *town) wantShelf(want ...string) {
	w.t.Helper()
	lines, err := w.shops.Stock(w.t.Context(), w.store)
	ok(w.t, err)
	var got []string
	for _, l := range lines {
		got = append(got, fmt.Sprintf("%s %d/%d", l.SKU, l.OnHand, l.Reserved))
	}
	if d := cmp.Diff(want, got); d != "" {
		w.t.Errorf("shelf: %s", d)
	}
}

func (w *town) outForDelivery(key int64) {
	w.t.Helper()
	_, err := w.book.PickUp(w.t.Context(), key, time.Time{})
	ok(w.t, err)
	w.clock.Advance(time.Minute)
	_, err = w.book.Depart(w.t.Context(), key, time.Time{})
	ok(w.t, err)
	w.clock.Advance(10 * time.Minute)
}

// now is an event of the order's first attempt at this moment, under an id of its own.
func (w *town) now(key int64, typ string, with ...func(*Event)) Event {
	w.n++
	w.clock.Advance(5 * time.Second)
	e := Event{ID: "e" + strconv.Itoa(w.n), Order: key, Attempt: 1, Type: typ, OccurredAt: w.clock.Now()}
	for _, f := range with {
		f(&e)
	}
	return e
}

// photo is one that was just taken.
func (w *town) photo(e *Event) {
	w.photos++
	w.sha = w.upload(fmt.Sprint("picture ", w.photos))
	e.PhotoSHA256 = w.sha
}

// upload keeps a picture that looks as it is told to, or like no other.
func (w *town) upload(picture string, look ...Look) (sha string) {
	p := Photo{Width: 16, Height: 16, JPEG: []byte(picture)}
	p.SHA256 = sha256.Sum256(p.JPEG)
	p.Look = Look(binary.BigEndian.Uint64(p.SHA256[:]))
	if look != nil {
		p.Look = look[0]
	}
	ok(w.t, w.book.SavePhoto(w.t.Context(), 7, p))
	return hex.EncodeToString(p.SHA256[:])
}

func attempt(n int) func(*Event)      { return func(e *Event) { e.Attempt = n } }
func because(why string) func(*Event) { return func(e *Event) { e.Reason = why } }
func pinned(pin string) func(*Event)  { return func(e *Event) { e.PIN = pin } }
func demanding(g string) func(*order.Order) {
	return func(o *order.Order) { o.MinimumGrade = g }
}
func attended(o *order.Order) { o.Mode, o.Details.PINRequired = order.HandOver, true }

// report sends one batch and returns what became of each event.
func (w *town) report(events ...Event) []Result {
	w.t.Helper()
	results, err := w.book.Record(w.t.Context(), events)
	ok(w.t, err)
	if len(results) != len(events) {
		w.t.Fatalf("%d results for %d events", len(results), len(events))
	}
	for i, r := range results {
		if r.ID != events[i].ID || (r.Err != nil) != (r.Result == Refused) || (r.Err != nil && fault.As(r.Err) == nil) {
			w.t.Errorf("result %d: %+v", i, r)
		}
	}
	return results
}

func outcomes(results []Result) (out []string) {
	for _, r := range results {
		out = append(out, r.Result)
	}
	return out
}

// mustRecord reports events that nothing is wrong with.
func (w *town) mustRecord(events ...Event) {
	w.t.Helper()
	for _, r := range w.report(events...) {
		if r.Result != Recorded {
			w.t.Fatalf("%s: %s %v", r.ID, r.Result, r.Err)
		}
	}
}

func (w *town) attempts(key int64) []Attempt {
	w.t.Helper()
	list, err := w.book.Attempts(w.t.Context(), key)
	ok(w.t, err)
	return list
}

// summary is attempts on one line each: "1 completed B arrived placed …".
func summary(list []Attempt) (out []string) {
	for _, a := range list {
		s := []string{strconv.Itoa(a.N), a.State, or(a.Grade, "-")}
		for _, e := range a.Events {
			s = append(s, e.Type)
		}
		out = append(out, strings.Join(s, " "))
	}
	return out
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (w *town) wantAttempts(key int64, want ...string) {
	w.t.Helper()
	if d := cmp.Diff(want, summary(w.attempts(key))); d != "" {
		w.t.Errorf("attempts: %s", d)
	}
}

func (w *town) story(key int64) (types []string) {
	w.t.Helper()
	events, err := event.Story(w.d.Read(w.t.Context()), w.load(key).Chain.Last)
	ok(w.t, err)
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types
}

func wantConflict(t *testing.T, err error, code string, allowed ...string) {
	t.Helper()
	fe := fault.As(err)
	if fe == nil || fe.Kind != fault.Conflict || fe.Code != code {
		t.Errorf("got %v, want a conflict %s", err, code)
		return
	}
	if !slices.Equal(fe.Allowed, allowed) {
		t.Errorf("%s: allowed %v, want %v", code, fe.Allowed, allowed)
	}
}

// ---- stories ----

func TestLeftAtTheDoorWithEvidence(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order(demanding("B"))
		w.outForDelivery(key)
		w.mustRecord(
			w.now(key, Arrived, here),
			w.now(key, Placed, w.photo),
			w.now(key, Signalled, func(e *Event) { e.Signal = "bell" }),
			w.now(key, SteppedAway, by(ByPhoto), from(3)),
			w.now(key, Completed, func(e *Event) { e.Note = "behind the blue gate" }))
		o := w.wantStatus(key, order.Delivered)
		if o.Grade != "B" || o.Attempts != 1 || o.EndedAt == nil {
			t.Errorf("grade %s, %d attempts, ended %v", o.Grade, o.Attempts, o.EndedAt)
		}
		w.wantAssignment(key, order.Completed)
		w.wantAttempts(key, "1 completed B arrived placed signalled stepped_away completed")
		a := w.attempts(key)[0]
		if len(a.Flags) != 0 || a.EndedAt == nil || a.StartedAt.After(a.Events[0].OccurredAt) {
			t.Errorf("attempt %+v", a)
		}
		placed, done := a.Events[1], a.Events[4]
		if placed.PhotoSHA256 != w.sha || a.Events[0].Location == nil || *a.Events[0].AccuracyM != 12 || done.Note != "behind the blue gate" {
			t.Errorf("the evidence was not kept as it was: %+v", a.Events)
		}
		want := []string{"order.ready_for_pickup", "custody.moved", "order.picked_up", "custody.moved", "order.enroute_to_dropoff",
			"dropoff.arrived", "order.arrived_at_dropoff", "dropoff.placed", "dropoff.signalled", "dropoff.stepped_away",
			"dropoff.completed", "order.delivered", "custody.moved"}
		if d := cmp.Diff(want, w.story(key)); d != "" {
			t.Error(d)
		}
	})
}

func TestTheLogNamesNoPersonAndNoPlace(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order(attended)
		pin := w.pin(key)
		w.outForDelivery(key)
		w.mustRecord(w.now(key, HandedOver, here, w.photo, pinned(pin), func(e *Event) { e.Note = "her sister Zainab took it" }), w.now(key, Completed))
		events, err := event.Story(w.d.Read(t.Context()), w.load(key).Chain.Last)
		ok(t, err)
		for _, e := range events {
			for _, secret := range []string{"Amina", "Zainab", "+2547", "36.78", w.sha, `"` + pin + `"`} {
				if strings.Contains(string(e.Data), secret) {
					t.Errorf("%s says %s", e.Type, e.Data)
				}
			}
		}
	})
}

func (w *town) pin(key int64) string {
	o := w.load(key)
	return o.PIN(w.d.Names())
}

// wrong is a code of the same length that is not code.
func wrong(code string) string {
	last := (code[len(code)-1]-'0'+1)%10 + '0'
	return code[:len(code)-1] + string(last)
}

func TestHandedOverWithThePIN(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order(attended, demanding("A"))
		pin := w.pin(key)
		w.outForDelivery(key)

		r := w.report(w.now(key, Arrived, here), w.now(key, HandedOver), w.now(key, Completed))
		if d := cmp.Diff([]string{Recorded, Recorded, Refused}, outcomes(r)); d != "" {
			t.Fatal(d)
		}
		wantConflict(t, r[2].Err, "evidence-missing")

		r = w.report(w.now(key, HandedOver, pinned(wrong(pin))))
		wantField(t, r[0].Err, "/pin", "wrong-pin")
		if o := w.wantStatus(key, order.ArrivedDropoff); o.CodeTries != 1 {
			t.Errorf("%d tries counted", o.CodeTries)
		}

		w.mustRecord(w.now(key, HandedOver, pinned(pin)), w.now(key, Completed))
		if o := w.wantStatus(key, order.Delivered); o.Grade != "A" {
			t.Errorf("grade %s", o.Grade)
		}
		w.wantAttempts(key, "1 completed A arrived handed_over handed_over completed")
	})
}

func TestPINIsLockedAfterFiveWrongTries(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order(attended)
		pin := w.pin(key)
		w.outForDelivery(key)
		bad := w.now(key, HandedOver, pinned(wrong(pin)))
		// The same event twice in one batch is one try.
		for _, r := range w.report(bad, bad) {
			wantField(t, r.Err, "/pin", "wrong-pin")
		}
		for range 4 {
			wantField(t, w.report(w.now(key, HandedOver, pinned(wrong(pin))))[0].Err, "/pin", "wrong-pin")
		}
		wantConflict(t, w.report(w.now(key, HandedOver, pinned(pin)))[0].Err, "code-locked", "arrived_at_dropoff", "attempt_failed")
		if o := w.load(key); o.CodeTries != 5 || o.Status != order.EnrouteDropoff {
			t.Errorf("%d tries, %s", o.CodeTries, o.Status)
		}
		// The way out: a dispatcher looks into it.
		_, err := w.book.UnlockCode(t.Context(), key)
		ok(t, err)
		w.mustRecord(w.now(key, HandedOver, pinned(w.pin(key))))
	})
}

func TestEvidenceBelowTheDemandIsNamedAndCanFollow(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order(demanding("B"))
		w.outForDelivery(key)
		done := w.now(key, Completed)
		r := w.report(w.now(key, Arrived, here), w.now(key, Placed), w.now(key, SteppedAway, by(ByBLE)), done)
		if d := cmp.Diff([]string{Recorded, Recorded, Recorded, Refused}, outcomes(r)); d != "" {
			t.Fatal(d)
		}
		wantConflict(t, r[3].Err, "evidence-missing")
		want := []fault.Field{{Pointer: "/photo_sha256", Code: "missing", Detail: "a photo of the parcel at the door"}}
		if d := cmp.Diff(want, fault.As(r[3].Err).Fields); d != "" {
			t.Error(d)
		}
		w.wantStatus(key, order.ArrivedDropoff)
		w.wantAttempts(key, "1 stepped_away D arrived placed stepped_away")

		r = w.report(w.now(key, Placed, photo))
		wantField(t, r[0].Err, "/photo_sha256", "unknown-photo")
		w.mustRecord(w.now(key, Placed, w.photo), done) // the same completed, under its own id
		if o := w.wantStatus(key, order.Delivered); o.Grade != "B" {
			t.Errorf("grade %s", o.Grade)
		}
	})
}

func TestSecondAttemptOnTheSameOrder(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		w.mustRecord(w.now(key, Arrived, here), w.now(key, Failed, because("customer_unavailable")))
		o := w.wantStatus(key, order.AttemptFailed)
		if o.Reason != "customer_unavailable" || NextAction(&o) != "hold_at_store" {
			t.Errorf("reason %s, next %s", o.Reason, NextAction(&o))
		}
		wantConflict(t, w.report(w.now(key, Completed))[0].Err, "not-allowed-now", o.Status.Allowed()...)
		wantConflict(t, w.report(w.now(key, Arrived, attempt(3)))[0].Err, "unknown-attempt", o.Status.Allowed()...)

		_, err := w.book.Depart(t.Context(), key, time.Time{})
		ok(t, err)
		w.clock.Advance(10 * time.Minute)
		w.mustRecord(w.now(key, Arrived, here, attempt(2)), w.now(key, Placed, w.photo, attempt(2)), w.now(key, Completed, attempt(2)))
		if o = w.wantStatus(key, order.Delivered); o.Attempts != 2 || o.Grade != "C" || o.Reason != "" || NextAction(&o) != "" {
			t.Errorf("%d attempts, grade %s, reason %q", o.Attempts, o.Grade, o.Reason)
		}
		// Evidence of the first attempt comes late and stays where it belongs.
		w.mustRecord(w.now(key, Signalled))
		w.wantAttempts(key, "1 failed - arrived signalled failed", "2 completed C arrived placed completed")
		if a := w.attempts(key)[0]; a.Reason != "customer_unavailable" || a.EndedAt == nil {
			t.Errorf("attempt 1: %+v", a)
		}
	})
}

// A phone that was offline all day sends everything at once: who arrived must have departed.
func TestOfflinePhoneReportsTheWholeDay(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key, other := w.order(), w.order(demanding("B"))
		for _, k := range []int64{key, other} {
			_, err := w.book.PickUp(t.Context(), k, time.Time{})
			ok(t, err)
		}
		w.clock.Advance(20 * time.Minute)
		a, b := w.now(key, Arrived, here), w.now(key, Failed, because("cannot_access"))
		w.clock.Advance(3 * time.Hour)
		c, d, e := w.now(key, Arrived, here, attempt(2)), w.now(key, Placed, w.photo, attempt(2)), w.now(key, Completed, attempt(2))
		x := w.now(other, Completed)
		r := w.report(e, x, d, b, Event{ID: "bad", Order: key}, c, a, a)
		if d := cmp.Diff([]string{Recorded, Refused, Recorded, Recorded, Refused, Recorded, Recorded, Duplicate}, outcomes(r)); d != "" {
			t.Fatal(d)
		}
		w.wantStatus(key, order.Delivered)
		w.wantStatus(other, order.PickedUp)
		w.wantAttempts(key, "1 failed - arrived failed", "2 completed C arrived placed completed")
		list := w.attempts(key)
		if len(list[0].Flags)+len(list[1].Flags) != 0 {
			t.Errorf("flags %v, %v", list[0].Flags, list[1].Flags)
		}
		if !list[0].StartedAt.Equal(noon) || !list[1].StartedAt.Equal(b.OccurredAt) {
			t.Errorf("attempts started at %v and %v", list[0].StartedAt, list[1].StartedAt)
		}
		wantConflict(t, w.report(w.now(w.order(), Arrived))[0].Err, "not-allowed-now", "ready_for_pickup", "created", "cancelled")
		if r := w.report(Event{ID: "x", Order: 404, Attempt: 1, Type: Arrived, OccurredAt: noon}); fault.KindOf(r[0].Err) != fault.NotFound {
			t.Errorf("%+v", r)
		}
	})
}

func TestPhoneClockIsKeptButDatesNoMove(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		ahead := w.clock.Now().Add(2 * time.Hour)
		w.mustRecord(w.now(key, Arrived, func(e *Event) { e.OccurredAt = ahead }), w.now(key, Completed, func(e *Event) { e.OccurredAt = noon.AddDate(-30, 0, 0) }))
		a := w.attempts(key)[0]
		if !slices.Contains(a.Flags, ClockSkew) || !a.Events[0].OccurredAt.Equal(ahead) {
			t.Errorf("flags %v, %+v", a.Flags, a.Events)
		}
		events, err := event.Story(w.d.Read(t.Context()), w.load(key).Chain.Last)
		ok(t, err)
		for _, e := range events {
			if e.OccurredAt.After(e.RecordedAt) || e.OccurredAt.Before(noon) {
				t.Errorf("%s occurred at %v", e.Type, e.OccurredAt)
			}
		}
	})
}

// However a day's events arrive, the same chain and the same grade come out.
func TestArrivalOrderDoesNotMatter(t *testing.T) {
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		w := &town{t: t, d: d, clock: clock, book: NewBook(d), shops: partner.NewBook(d, partner.StandardDefaults())}
		day := []Event{
			at(600, Arrived, here), at(610, Placed), at(615, Signalled), at(620, SteppedAway, by(ByBLE), from(4)),
			at(605, Placed, here), at(640, Completed),
		}
		rapid.Check(t, func(rt *rapid.T) {
			clock.Set(noon)
			key := w.parcel(rt.Context())
			clock.Advance(time.Hour)
			rest := rapid.Permutation(slices.Concat(day, day[:rapid.IntRange(0, 6).Draw(rt, "repeated")])).Draw(rt, "order")
			for len(rest) > 0 {
				n := rapid.IntRange(1, len(rest)).Draw(rt, "batch")
				batch := slices.Clone(rest[:n])
				for i := range batch {
					batch[i].Order = key
				}
				results, err := w.book.Record(rt.Context(), batch)
				if err != nil {
					rt.Fatal(err)
				}
				for _, r := range results {
					if r.Result == Refused {
						rt.Fatal(r.Err)
					}
				}
				rest = rest[n:]
			}
			list, err := w.book.Attempts(rt.Context(), key)
			if err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff([]string{"1 completed D arrived placed placed signalled stepped_away completed"}, summary(list)); diff != "" {
				rt.Fatal(diff)
			}
			if o, err := order.Load(d.Read(rt.Context()), key); err != nil || o.Status != order.Delivered || o.Grade != "D" {
				rt.Fatalf("%s, grade %s, %v", o.Status, o.Grade, err)
			}
		})
	})
}

// parcel is an order without goods that a runner has.
func (w *town) parcel(ctx context.Context, with ...func(*order.Order)) int64 {
	o := order.Order{Key: w.d.Keys().Next(), Status: order.PickedUp, Holder: order.HeldByRunner, Dropoff: theDoor, Mode: order.LeaveAtDoor, CreatedAt: w.clock.Now()}
	for _, f := range with {
		f(&o)
	}
	err := w.d.InTx(ctx, func(tx *db.Tx) error {
		o.Chain = event.Chain{}
		a := order.Assignment{Key: tx.NewKey(), Order: o.Key, Status: order.Accepted, Slot: tx.Now(), OfferedAt: tx.Now()}
		o.Assignment = a.Key
		if err := order.Note(tx, &o, "order.picked_up", time.Time{}, order.Happened{}); err != nil {
			return err
		}
		if err := order.InsertAssignment(tx, &a); err != nil {
			return err
		}
		return order.Insert(tx, &o)
	})
	ok(w.t, err)
	return o.Key
}

func TestLateEvidenceRaisesTheGradeAndTheCustomerHasTheLastWord(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		_, err := w.book.RetrievedByCustomer(t.Context(), key)
		wantConflict(t, err, "not-allowed-now", "ready_for_pickup", "created", "cancelled")
		w.outForDelivery(key)
		w.mustRecord(w.now(key, Arrived, here))
		_, err = w.book.RetrievedByCustomer(t.Context(), key)
		wantConflict(t, err, "not-allowed-now", "delivered", "attempt_failed")

		w.mustRecord(w.now(key, Completed))
		for _, step := range []struct {
			e    Event
			want string
		}{
			{w.now(key, Placed, w.photo), "C"},
			{w.now(key, Retrieved, by(ByCustomer), confirmed), "C"}, // the runner says so
			{w.now(key, SteppedAway, by(ByBLE)), "B"},
		} {
			w.mustRecord(step.e)
			if o := w.wantStatus(key, order.Delivered); o.Grade != step.want {
				t.Errorf("after %s: grade %s, want %s", step.e.Type, o.Grade, step.want)
			}
		}
		wantConflict(t, w.report(w.now(key, Failed, because("damaged")))[0].Err, "not-allowed-now")
		wantConflict(t, w.report(w.now(key, Arrived, attempt(2)))[0].Err, "not-allowed-now")

		for range 3 {
			o, err := w.book.RetrievedByCustomer(t.Context(), key)
			ok(t, err)
			if o.Grade != "A" || o.Version != w.load(key).Version {
				t.Errorf("grade %s", o.Grade)
			}
		}
		w.wantAttempts(key, "1 completed A arrived placed retrieved stepped_away retrieved completed")
	})
}

func TestCustomerMayHaveItBeforeTheRunnerSaysCompleted(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order(demanding("A"))
		w.outForDelivery(key)
		w.mustRecord(w.now(key, Placed, w.photo, here), w.now(key, SteppedAway, by(ByBLE)))
		r := w.report(w.now(key, Completed))
		wantConflict(t, r[0].Err, "evidence-missing")
		o, err := w.book.RetrievedByCustomer(t.Context(), key)
		ok(t, err)
		if o.Status != order.ArrivedDropoff {
			t.Errorf("%s", o.Status)
		}
		w.mustRecord(w.now(key, Completed))
		if o := w.wantStatus(key, order.Delivered); o.Grade != "A" {
			t.Errorf("grade %s", o.Grade)
		}
	})
}

func TestFiftyEqualReportsDeliverOnce(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		_, err := w.book.PickUp(t.Context(), key, time.Time{})
		ok(t, err)
		batch := []Event{w.now(key, Arrived, here), w.now(key, Placed, w.photo), w.now(key, Completed)}
		var mu sync.Mutex
		count := map[string]int{}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				results, err := w.book.Record(t.Context(), batch)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				for _, r := range results {
					count[r.Result]++
				}
			})
		}
		wg.Wait()
		if d := cmp.Diff(map[string]int{Recorded: 3, Duplicate: 147}, count); d != "" {
			t.Error(d)
		}
		w.wantStatus(key, order.Delivered)
		delivered := 0
		for _, typ := range w.story(key) {
			if typ == "order.delivered" {
				delivered++
			}
		}
		if delivered != 1 {
			t.Errorf("delivered %d times", delivered)
		}
	})
}

func TestPhotoIsKeptOnceAndSeenByASignedAddress(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		p := Photo{Width: 20, Height: 30, JPEG: bytes.Repeat([]byte{0xff, 0, 0x27}, 1000)}
		p.SHA256 = sha256.Sum256(p.JPEG)
		sha := hex.EncodeToString(p.SHA256[:])
		_, err := w.book.LoadPhoto(t.Context(), sha)
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("%v", err)
		}
		for owner := range int64(3) {
			ok(t, w.book.SavePhoto(t.Context(), owner+1, p))
		}
		got, err := w.book.LoadPhoto(t.Context(), sha)
		ok(t, err)
		if !bytes.Equal(got, p.JPEG) {
			t.Error("another picture came back")
		}
		var owner int64
		ok(t, w.d.Read(t.Context()).Get(&owner, `SELECT owner FROM photo WHERE sha256 = ?`, sha))
		if owner != 1 {
			t.Errorf("owner %d", owner)
		}

		u, err := url.Parse(PhotoURLPath(w.d.Names(), sha, noon))
		ok(t, err)
		expires, err := strconv.ParseInt(u.Query().Get("expires"), 10, 64)
		ok(t, err)
		signature := u.Query().Get("signature")
		if u.Path != "/v1/photos/"+sha || expires != noon.Add(time.Hour).Unix() {
			t.Errorf("%s", u)
		}
		for _, tt := range []struct {
			story string
			sha   string
			until int64
			now   time.Time
			want  bool
		}{
			{"at once", sha, expires, noon, true},
			{"in its last second", sha, expires, noon.Add(time.Hour), true},
			{"a second later", sha, expires, noon.Add(time.Hour + time.Second), false},
			{"prolonged by hand", sha, expires + 3600, noon, false},
			{"for another photo", w.sha, expires, noon, false},
		} {
			if got := CheckPhotoURL(w.d.Names(), tt.sha, tt.until, signature, tt.now); got != tt.want {
				t.Errorf("%s: %v", tt.story, got)
			}
		}
		if CheckPhotoURL(w.d.Names(), sha, expires, "", noon) {
			t.Error("an address without signature was accepted")
		}
	})
}

func TestAttemptsOfNoOrder(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		if _, err := w.book.Attempts(t.Context(), 404); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%v", err)
		}
		if list := w.attempts(w.order()); len(list) != 0 {
			t.Errorf("%v", list)
		}
	})
}
