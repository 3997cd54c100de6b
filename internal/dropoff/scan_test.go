package dropoff

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// second is another store, with nothing on its shelf.
func (w *town) second(with ...func(*partner.Input)) int64 {
	w.t.Helper()
	w.n++
	name, zone, lat, lng := "shop "+strconv.Itoa(w.n), "Africa/Nairobi", theDoor.Lat+0.01, theDoor.Lng
	in := partner.Input{Name: &name, TimeZone: &zone, Lat: &lat, Lng: &lng}
	for _, f := range with {
		f(&in)
	}
	s, _, err := w.shops.Create(w.t.Context(), in)
	ok(w.t, err)
	return s.Key
}

// read is a label read at this moment.
func (w *town) read(key, store int64, direction string, with ...func(*Scan)) Scan {
	w.n++
	w.clock.Advance(time.Second)
	s := Scan{ID: "s" + strconv.Itoa(w.n), Order: key, Store: store, Direction: direction, OccurredAt: w.clock.Now()}
	for _, f := range with {
		f(&s)
	}
	return s
}

func to(whom string, store int64) func(*Scan) {
	return func(s *Scan) { s.To, s.ToStore = whom, store }
}

func (w *town) scan(scans ...Scan) []Scanned {
	w.t.Helper()
	out, err := w.book.Scan(w.t.Context(), scans)
	ok(w.t, err)
	return out
}

// mustScan takes scans that nothing is wrong with.
func (w *town) mustScan(scans ...Scan) order.Order {
	w.t.Helper()
	var o order.Order
	for _, r := range w.scan(scans...) {
		if r.Result != Recorded {
			w.t.Fatalf("%s: %s %v", r.ID, r.Result, r.Err)
		}
		o = r.Order
	}
	return o
}

// wantHeld compares holder and next step: "store@A forward".
func (w *town) wantHeld(key int64, holder order.Holder, store int64, do string) order.Order {
	w.t.Helper()
	o := w.load(key)
	p, err := order.PolicyOf(w.d.Read(w.t.Context()), &o)
	ok(w.t, err)
	step := "nothing"
	if s := order.NextStep(&o, p); s != nil {
		step = s.Do
	}
	if o.Holder != holder || o.HolderStore != store || step != do {
		w.t.Fatalf("an order that is %s is held by %s %d and waits for %s; want %s %d, %s", o.Status, o.Holder, o.HolderStore, step, holder, store, do)
	}
	if wrong := o.CheckCustody(); wrong != "" {
		w.t.Fatal(wrong)
	}
	return o
}

func parcel(o *order.Order) { o.Details = order.Details{Parcels: []order.Parcel{{WeightG: 500}}} }
func wanting(action string) func(*order.Order) {
	return func(o *order.Order) { o.Undeliver = action }
}

// parcelOrder is a new confirmed order whose parcel the merchant still has.
func (w *town) parcelOrder(with ...func(*order.Order)) int64 {
	w.t.Helper()
	o := order.Order{Key: w.d.Keys().Next(), Status: order.Confirmed, Dropoff: theDoor, Mode: order.LeaveAtDoor, Undeliver: "redeliver",
		Recipient: order.Recipient{Name: "Amina", Phone: "+254712345678"}, Store: w.store, CreatedAt: w.clock.Now()}
	parcel(&o)
	for _, f := range with {
		f(&o)
	}
	ok(w.t, w.d.InTx(w.t.Context(), func(tx *db.Tx) error {
		s, err := partner.LoadTx(tx, o.Store)
		if err != nil {
			return err
		}
		now := tx.Now()
		a := order.Assignment{Key: tx.NewKey(), Order: o.Key, Store: o.Store, Status: order.Accepted, Rank: 1, Slot: s.SlotAt(now), OfferedAt: now, AnsweredAt: &now}
		prev, got, err := partner.ClaimSlot(tx, o.Store, a.Slot, a.Key)
		if err != nil || !got {
			return fmt.Errorf("claim: %v %v", got, err)
		}
		o.Assignment, a.Prev = a.Key, prev
		if err := order.InsertAssignment(tx, &a); err != nil {
			return err
		}
		return order.Insert(tx, &o)
	}))
	return o.Key
}

func TestAfterAFailedAttemptTheScanDoesWhatTheMerchantWants(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		for _, c := range []struct {
			action   string
			attempts int
			want     order.Status
			do       string
		}{
			{"redeliver", 1, order.ReadyForPickup, order.DoPickUp},
			{"redeliver", 3, order.ReceivedAtStore, order.DoCollect}, // three attempts are enough
			{"hold_at_store", 1, order.ReceivedAtStore, order.DoCollect},
			{"return", 1, order.EnrouteReturn, order.DoSendBack},
		} {
			key := w.parcelOrder(wanting(c.action))
			w.mustScan(w.read(key, w.store, ScanIn))
			w.mustScan(w.read(key, w.store, ScanOut))
			for n := range c.attempts {
				_, err := w.book.Depart(t.Context(), key, time.Time{})
				ok(t, err)
				w.mustRecord(w.now(key, Failed, attempt(n+1), because("cannot_access")))
			}
			w.mustScan(w.read(key, w.store, ScanIn))
			if o := w.wantHeld(key, order.HeldByStore, w.store, c.do); o.Status != c.want || o.Attempts != c.attempts {
				t.Errorf("%s after %d attempts: %s", c.action, c.attempts, o.Status)
			}
		}
	})
}

func TestAParcelThatStraysIsFoundAndComesHome(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		other := w.second()
		for _, c := range []struct {
			name  string
			until order.Status
			home  order.Status
		}{
			{"before it was packed", order.Confirmed, order.ReadyForPickup},
			{"off the counter of its store", order.ReadyForPickup, order.ReadyForPickup},
			{"from where it waited", order.ReceivedAtStore, order.ReadyForPickup},
			{"from the runner", order.PickedUp, order.ReadyForPickup},
			{"after an attempt", order.AttemptFailed, order.ReadyForPickup},
		} {
			key := w.parcelOrder()
			if c.until != order.Confirmed {
				w.mustScan(w.read(key, w.store, ScanIn))
			}
			switch c.until {
			case order.ReceivedAtStore:
				_, err := w.book.Receive(t.Context(), key, time.Time{})
				ok(t, err)
			case order.PickedUp:
				w.mustScan(w.read(key, w.store, ScanOut))
			case order.AttemptFailed:
				w.outForDelivery(key)
				w.mustRecord(w.now(key, Failed, because("weather")))
			}
			w.wantStatus(key, c.until)
			w.mustScan(w.read(key, other, ScanIn))
			w.wantHeld(key, order.HeldByStore, other, order.DoForward)
			for name, do := range map[string]step{"pick-up": w.book.PickUp, "hand-back": w.book.HandBack, "depart": w.book.Depart, "receive": w.book.Receive} {
				if _, err := do(t.Context(), key, time.Time{}); fault.KindOf(err) != fault.Conflict {
					t.Errorf("%s, %s: %v", c.name, name, err)
				}
			}
			r := w.report(w.now(key, Arrived, attempt(w.load(key).Attempts+1)))
			if r[0].Result != Refused {
				t.Errorf("%s: an attempt began without the parcel", c.name)
			}
			w.mustScan(w.read(key, other, ScanOut, to(ToStore, w.store)))
			w.wantHeld(key, order.HeldByRunner, 0, map[order.Status]string{order.Confirmed: order.DoBring, order.AttemptFailed: order.DoRedeliver}[c.until]+
				map[bool]string{true: order.DoDepart}[c.until != order.Confirmed && c.until != order.AttemptFailed])
			if o := w.mustScan(w.read(key, w.store, ScanIn)); o.Status != c.home {
				t.Errorf("%s: home it is %s", c.name, o.Status)
			}
		}
	})
}

func TestGoodsThatStrayWereTakenOffTheirShelf(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		other := w.second()
		key := w.order()
		if r := w.scan(w.read(key, other, ScanIn)); fault.Code(r[0].Err) != "not-packed" {
			t.Errorf("goods on a shelf were scanned in elsewhere: %+v", r[0])
		}
		w.wantShelf("milk 100/2", "tea 100/3")
		w.mustScan(w.read(key, w.store, ScanIn)) // packed and labelled
		w.wantShelf("milk 100/2", "tea 100/3")
		w.mustScan(w.read(key, other, ScanIn))
		w.wantShelf("milk 98/0", "tea 97/0")
		w.mustScan(w.read(key, other, ScanOut, to(ToStore, w.store)), w.read(key, w.store, ScanIn))
		w.wantShelf("milk 100/2", "tea 100/3")
		o, err := w.book.Lost(t.Context(), key, "store")
		ok(t, err)
		if o.Status != order.Cancelled || o.Reason != "lost" {
			t.Errorf("lost: %s because %s", o.Status, o.Reason)
		}
		w.wantHeld(key, order.Lost, 0, "nothing")
		w.wantShelf("milk 98/0", "tea 97/0")
		w.wantAssignment(key, order.Failed)
		w.mustScan(w.read(key, other, ScanIn))
		w.wantHeld(key, order.HeldByStore, other, order.DoSendBack)
		w.mustScan(w.read(key, other, ScanOut, to(ToMerchant, 0)))
		w.wantHeld(key, order.HeldBySender, 0, "nothing")
	})
}

func TestAScanSentAgainDaysLaterChangesNothing(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.parcelOrder()
		in, out := w.read(key, w.store, ScanIn), w.read(key, w.store, ScanOut)
		// The outbox is sent in any order.
		if r := w.scan(out, in, out); r[0].Result != Recorded || r[1].Result != Recorded || r[2].Result != Duplicate {
			t.Errorf("shuffled: %+v", r)
		}
		w.wantStatus(key, order.PickedUp)
		w.clock.Advance(72 * time.Hour)
		w.mustScan(w.read(key, w.store, ScanIn))
		again := NewBook(w.d) // a process that was started anew
		r, err := again.Scan(t.Context(), []Scan{out, in})
		ok(t, err)
		if r[0].Result != Duplicate || r[1].Result != Duplicate {
			t.Errorf("after a restart: %+v", r)
		}
		// And one that was never sent is too late to be news.
		late := w.read(key, w.store, ScanOut)
		late.OccurredAt = in.OccurredAt.Add(time.Minute)
		if r := w.scan(late); r[0].Result != Recorded || r[0].Moved {
			t.Errorf("late: %+v", r[0])
		}
		w.wantHeld(key, order.HeldByStore, w.store, order.DoPickUp)
		if story := strings.Join(w.story(key), " "); !strings.Contains(story, "custody.scanned_late") {
			t.Errorf("the log does not know of it: %s", story)
		}
		taken := in
		taken.Direction = ScanOut
		if r := w.scan(taken); fault.Code(r[0].Err) != "id-taken" {
			t.Errorf("an id used twice: %+v", r[0])
		}
	})
}

func TestFiftyScansAtTwoStoresLeaveOneHolder(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		other := w.second()
		key := w.parcelOrder()
		var wg sync.WaitGroup
		for i := range 50 {
			s := Scan{ID: fmt.Sprint("c", i), Order: key, Store: []int64{w.store, other}[i%2], Direction: []string{ScanIn, ScanIn, ScanOut}[i%3], OccurredAt: w.clock.Now()}
			wg.Go(func() {
				if _, err := w.book.Scan(t.Context(), []Scan{s}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		o := w.load(key)
		if wrong := o.CheckCustody(); wrong != "" {
			t.Error(wrong)
		}
		moves := 0
		for _, typ := range w.story(key) {
			if typ == "custody.moved" {
				moves++
			}
		}
		if moves == 0 {
			t.Error("nothing moved")
		}
	})
}

func TestTheRowRefusesTwoHoldersAndNone(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.parcelOrder()
		for _, set := range []string{"holder = ''", "holder = 'nobody'", "holder = 'store'", "holder = 'runner', holder_store = 7", "holder_store = 7"} {
			err := w.d.InTx(t.Context(), func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE orders SET `+set+` WHERE key = ?`, key)
				return err
			})
			if err == nil {
				t.Errorf("the row took %s", set)
			}
		}
		o := w.load(key)
		for _, to := range []order.Holder{order.HeldByCustomer, order.HeldBySender, order.HeldByRunner, order.Lost} {
			err := w.d.InTx(t.Context(), func(tx *db.Tx) error { return order.Hand(tx, &o, to, 0, noon, "magic") })
			if fault.Code(err) != "impossible-custody" {
				t.Errorf("the merchant gave it to %s: %v", to, err)
			}
		}
	})
}

func TestACustomerExtendsAHoldOnce(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.parcelOrder(func(o *order.Order) { o.Mode = order.CollectAtStore })
		o := w.mustScan(w.read(key, w.store, ScanIn))
		if o.Status != order.ReceivedAtStore || !o.HoldUntil.Equal(w.clock.Now().AddDate(0, 0, 7)) {
			t.Fatalf("%s until %v", o.Status, o.HoldUntil)
		}
		was := *o.HoldUntil
		o, err := w.book.ExtendHold(t.Context(), key, true)
		ok(t, err)
		if !o.HoldUntil.Equal(was.AddDate(0, 0, 3)) {
			t.Errorf("extended to %v", o.HoldUntil)
		}
		_, err = w.book.ExtendHold(t.Context(), key, true)
		wantConflict(t, err, "no-extension-left")
		for range 6 { // people of the network: until thirty days ahead
			_, err = w.book.ExtendHold(t.Context(), key, false)
			ok(t, err)
		}
		_, err = w.book.ExtendHold(t.Context(), key, false)
		wantConflict(t, err, "no-extension-left")

		w.clock.Set(w.load(key).HoldUntil.Add(time.Minute))
		for range 2 {
			n, err := w.book.EndHolds(t.Context())
			ok(t, err)
			if due, _ := w.book.AnyHoldDue(t.Context()); due {
				t.Errorf("still due after %d were done", n)
			}
		}
		o = w.wantHeld(key, order.HeldByStore, w.store, order.DoSendBack)
		if o.Status != order.EnrouteReturn || o.Reason != "hold_expired" {
			t.Errorf("%s because %s", o.Status, o.Reason)
		}
		// A wrong code at the counter leaves it on its way back.
		_, err = w.book.Collect(t.Context(), key, wrong(o.CollectionCode(w.d.Names())), time.Time{})
		wantField(t, err, "/code", "wrong-code")
		w.wantStatus(key, order.EnrouteReturn)
		_, err = w.book.Collect(t.Context(), key, o.CollectionCode(w.d.Names()), time.Time{})
		ok(t, err)
		w.wantHeld(key, order.HeldByCustomer, 0, "nothing")
	})
}

func TestWhatHasLeftTheCounterIsNotCollected(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.parcelOrder(func(o *order.Order) { o.Mode = order.CollectAtStore })
		o := w.mustScan(w.read(key, w.store, ScanIn))
		w.clock.Set(o.HoldUntil.Add(time.Minute))
		_, err := w.book.EndHolds(t.Context())
		ok(t, err)
		w.mustScan(w.read(key, w.store, ScanOut))
		w.wantHeld(key, order.HeldByRunner, 0, order.DoGiveBack)
		_, err = w.book.Collect(t.Context(), key, o.CollectionCode(w.d.Names()), time.Time{})
		wantConflict(t, err, "not-allowed-now", "returned")
		_, err = w.book.ExtendHold(t.Context(), key, false)
		wantConflict(t, err, "not-allowed-now", "returned")
	})
}

func TestATransferTakesAUnitOfTheOtherStore(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		room, slot := 1, 60
		small := w.second(func(in *partner.Input) { in.OrdersPerSlot, in.SlotMinutes = &room, &slot })
		first, next := w.parcelOrder(), w.parcelOrder()
		for i, key := range []int64{first, next} {
			w.mustScan(w.read(key, w.store, ScanIn))
			w.mustScan(w.read(key, w.store, ScanOut))
			o, err := w.book.Transfer(t.Context(), key, small, "")
			ok(t, err)
			a, err := order.LoadAssignment(w.d.Read(t.Context()), o.Assignment)
			ok(t, err)
			// The second finds the present hour full and takes the next.
			if want := noon.Add(time.Duration(i) * time.Hour); o.Store != small || a.Status != order.Accepted || !a.Slot.Equal(want) || a.Rank != 2 {
				t.Errorf("order %d: store %d, %+v, want slot %v", i, o.Store, a, want)
			}
			w.wantHeld(key, order.HeldByRunner, 0, order.DoBring)
		}
		// Whoever takes a parcel off the counter that is to be brought elsewhere takes it there.
		waiting := w.parcelOrder(func(o *order.Order) { o.Mode = order.CollectAtStore })
		w.mustScan(w.read(waiting, w.store, ScanIn))
		_, err := w.book.Transfer(t.Context(), waiting, small, "")
		ok(t, err)
		w.wantHeld(waiting, order.HeldByStore, w.store, order.DoForward)
		_, err = w.book.PickUp(t.Context(), waiting, time.Time{})
		ok(t, err)
		if o := w.wantHeld(waiting, order.HeldByRunner, 0, order.DoBring); o.Store != small {
			t.Errorf("it is still store %d's", o.Store)
		}
		if o := w.mustScan(w.read(waiting, small, ScanIn)); o.Status != order.ReceivedAtStore {
			t.Errorf("there it is %s", o.Status)
		}
		_, err = w.shops.Pause(t.Context(), small, nil)
		ok(t, err)
		third := w.parcelOrder()
		w.mustScan(w.read(third, w.store, ScanIn), w.read(third, w.store, ScanOut))
		before := w.load(third)
		_, err = w.book.Transfer(t.Context(), third, small, "")
		wantConflict(t, err, "store-cannot-serve")
		_, err = w.book.Transfer(t.Context(), third, 404, "")
		wantField(t, err, "/store_id", "unknown-store")
		if w.load(third).Version != before.Version {
			t.Error("a refused transfer changed the order")
		}
	})
}
