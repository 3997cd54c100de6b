package dropoff

import (
	"context"
	"sync"
	"testing"
	"time"

	"doorstep/internal/fault"
	"doorstep/internal/order"
)

type step = func(context.Context, int64, time.Time) (order.Order, error)

func TestEveryActionTwiceIsOnce(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		for _, s := range []struct {
			do   step
			want order.Status
		}{
			{w.book.Ready, order.ReadyForPickup}, {w.book.PickUp, order.PickedUp}, {w.book.HandBack, order.ReadyForPickup},
			{w.book.Receive, order.ReceivedAtStore}, {w.book.PickUp, order.PickedUp}, {w.book.Depart, order.EnrouteDropoff},
		} {
			var version int64
			for i := range 3 {
				o, err := s.do(t.Context(), key, time.Time{})
				ok(t, err)
				if i == 0 {
					version = o.Version
				}
				if o.Status != s.want || o.Version != version || w.load(key).Version != version {
					t.Errorf("time %d: %s, version %d, want %s, %d", i+1, o.Status, o.Version, s.want, version)
				}
			}
		}
		// The door has seen the runner: departing has happened.
		w.mustRecord(w.now(key, Arrived))
		o, err := w.book.Depart(t.Context(), key, time.Time{})
		ok(t, err)
		if o.Status != order.ArrivedDropoff || o.Attempts != 1 {
			t.Errorf("%s, %d attempts", o.Status, o.Attempts)
		}
	})
}

func TestActionsOutOfOrderAreRefusedWithWhatIsAllowed(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		b := w.book
		collect := func(ctx context.Context, key int64, at time.Time) (order.Order, error) {
			return b.Collect(ctx, key, "000000", at)
		}
		refused := func(key int64, what string, do step) {
			t.Helper()
			before := w.load(key)
			_, err := do(t.Context(), key, time.Time{})
			if fe := fault.As(err); fe == nil || fe.Kind != fault.Conflict || len(fe.Allowed) != len(before.Status.Allowed()) {
				t.Errorf("%s of an order that is %s: %v", what, before.Status, err)
			}
			if after := w.load(key); after.Version != before.Version {
				t.Errorf("%s was refused and yet changed the order", what)
			}
		}
		key := w.order()
		for what, do := range map[string]step{"hand-back": b.HandBack, "depart": b.Depart, "receive": b.Receive, "collect": collect, "return": b.Return, "returned": b.Returned} {
			refused(key, what, do)
		}
		w.outForDelivery(key)
		for what, do := range map[string]step{"ready": b.Ready, "pick-up": b.PickUp, "hand-back": b.HandBack, "receive": b.Receive, "collect": collect, "return": b.Return} {
			refused(key, what, do)
		}
		w.mustRecord(w.now(key, Failed, because("weather")))
		refused(key, "ready", b.Ready)
		refused(key, "pick-up", b.PickUp)
		w.mustRecord(w.now(key, Completed, attempt(2)))
		for what, do := range map[string]step{"ready": b.Ready, "pick-up": b.PickUp, "hand-back": b.HandBack, "depart": b.Depart,
			"receive": b.Receive, "collect": collect, "return": b.Return, "returned": b.Returned} {
			refused(key, what, do)
		}
		for what, do := range map[string]step{"ready": b.Ready, "collect": collect} {
			if _, err := do(t.Context(), 404, time.Time{}); fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s of no order: %v", what, err)
			}
		}
	})
}

func TestTheTimeOnThePhone(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.clock.Advance(time.Hour)
		_, err := w.book.Ready(t.Context(), key, w.clock.Now().Add(5*time.Minute+time.Second))
		wantField(t, err, "/occurred_at", "in-the-future")
		w.wantStatus(key, order.Confirmed)
		created, now := noon, w.clock.Now()
		for _, tt := range []struct{ occurred, want time.Time }{
			{time.Time{}, now},
			{now.Add(4 * time.Minute), now},
			{now.Add(-10 * time.Minute), now.Add(-10 * time.Minute)},
			{created.AddDate(-20, 0, 0), created},
		} {
			if got, err := happened(tt.occurred, created, now); err != nil || !got.Equal(tt.want) {
				t.Errorf("%v happened at %v (%v), want %v", tt.occurred, got, err, tt.want)
			}
		}
	})
}

func TestGoodsLieReservedWhileNobodyHasTheParcel(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key, stays := w.order(), w.order()
		w.wantShelf("milk 100/4", "tea 100/6")
		do := func(s step) {
			t.Helper()
			_, err := s(t.Context(), key, time.Time{})
			ok(t, err)
		}
		do(w.book.PickUp)
		w.wantShelf("milk 98/2", "tea 97/3")
		do(w.book.HandBack)
		w.wantShelf("milk 100/4", "tea 100/6")
		do(w.book.Receive) // the store's counter is not the shelf
		w.wantShelf("milk 98/2", "tea 97/3")
		do(w.book.PickUp)
		do(w.book.Depart)
		w.mustRecord(w.now(key, Failed, because("customer_unavailable")))
		w.wantShelf("milk 98/2", "tea 97/3")
		do(w.book.HandBack)
		w.wantShelf("milk 100/4", "tea 100/6")
		do(w.book.PickUp)
		w.mustRecord(w.now(key, Arrived, attempt(2)), w.now(key, Completed, attempt(2)))
		w.wantShelf("milk 98/2", "tea 97/3")
		w.wantStatus(stays, order.Confirmed)
	})
}

func TestHeldAtTheStoreAndCollectedWithTheCode(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		w.mustRecord(w.now(key, Arrived, here), w.now(key, Failed, because("customer_unavailable")))
		o, err := w.book.Receive(t.Context(), key, time.Time{})
		ok(t, err)
		if o.Status != order.ReceivedAtStore || o.Reason != "customer_unavailable" || o.EndedAt != nil {
			t.Errorf("%s because %s, ended %v", o.Status, o.Reason, o.EndedAt)
		}
		code := o.CollectionCode(w.d.Names())
		for i := range 4 {
			_, err := w.book.Collect(t.Context(), key, wrong(code), time.Time{})
			wantField(t, err, "/code", "wrong-code")
			if tries := w.load(key).CodeTries; tries != i+1 {
				t.Errorf("%d tries counted after %d", tries, i+1)
			}
		}
		for range 2 {
			o, err = w.book.Collect(t.Context(), key, " "+code+" ", time.Time{})
			ok(t, err)
			if o.Status != order.Collected || o.EndedAt == nil {
				t.Errorf("%s", o.Status)
			}
		}
		w.wantAssignment(key, order.Completed)
		w.wantShelf("milk 98/0", "tea 97/0")
	})
}

func TestCollectionCodeIsLockedAfterFiveWrongTries(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order(func(o *order.Order) { o.Mode = order.CollectAtStore })
		for _, s := range []step{w.book.Ready, w.book.Receive} {
			_, err := s(t.Context(), key, time.Time{})
			ok(t, err)
		}
		o := w.load(key)
		code := o.CollectionCode(w.d.Names())
		for range 5 {
			_, err := w.book.Collect(t.Context(), key, wrong(code), time.Time{})
			wantField(t, err, "/code", "wrong-code")
		}
		for _, c := range []string{code, wrong(code)} {
			_, err := w.book.Collect(t.Context(), key, c, time.Time{})
			wantConflict(t, err, "code-locked", "collected", "picked_up", "enroute_to_return")
		}
		if o := w.wantStatus(key, order.ReceivedAtStore); o.CodeTries != 5 {
			t.Errorf("%d tries", o.CodeTries)
		}
	})
}

func TestReturnedToTheSender(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		w.outForDelivery(key)
		w.mustRecord(w.now(key, Failed, because("customer_refused")))
		for _, s := range []step{w.book.Return, w.book.Return, w.book.Returned, w.book.Returned} {
			_, err := s(t.Context(), key, time.Time{})
			ok(t, err)
		}
		if o := w.wantStatus(key, order.Returned); o.Reason != "customer_refused" || o.EndedAt == nil {
			t.Errorf("because %s, ended %v", o.Reason, o.EndedAt)
		}
		w.wantAssignment(key, order.Failed)
		w.wantShelf("milk 98/0", "tea 97/0") // only a count puts them back
	})
}

func TestFiftyPickUpsAtOnceTakeTheGoodsOnce(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if o, err := w.book.PickUp(t.Context(), key, time.Time{}); err != nil || o.Status != order.PickedUp {
					t.Errorf("%s, %v", o.Status, err)
				}
			})
		}
		wg.Wait()
		w.wantShelf("milk 98/0", "tea 97/0")
	})
}
