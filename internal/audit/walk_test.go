package audit_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"doorstep/internal/care"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/dropoff"
	"doorstep/internal/order"
)

// Whatever is asked of orders, sensible or not, in whatever order: what is written is sealed. An audit of
// each order behind each step finds the one function that forgets it.
func TestWhateverIsAskedLeavesEverythingSealed(t *testing.T) {
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		w := newTown(t, d, clock)
		rng := rand.New(rand.NewPCG(5, 16))
		var keys []int64
		for n := range 15 {
			keys = append(keys, w.place(n))
		}
		asked, done := map[string]int{}, map[string]int{}
		for i := range 1500 {
			key := keys[rng.IntN(len(keys))]
			what, err := w.ask(rng, key, i)
			if asked[what]++; err == nil {
				done[what]++
			}
			clock.Advance(time.Duration(rng.IntN(120)) * time.Second)
			found, _, err := lookAt(d, key)
			must(t, err)
			for _, f := range found {
				t.Fatalf("step %d, %s: %s", i, what, f)
			}
		}
		wantClean(t, d)
		for what := range asked {
			if done[what] == 0 {
				t.Logf("%s was asked %d times and never granted", what, asked[what])
			}
		}
		if len(done) < 20 {
			t.Errorf("only %d kinds of things happened: %v", len(done), done)
		}
	})
}

var errNot = errors.New("not asked")

// ask asks one thing of an order, at random; most of it is refused, which is as well.
func (w *town) ask(rng *rand.Rand, key int64, i int) (what string, err error) {
	w.t.Helper()
	ctx := w.t.Context()
	o, err := w.orders.Get(ctx, key)
	must(w.t, err)
	n := int(key % 6)
	attempt := max(o.Attempts, 1)
	at := func(e dropoff.Event) error {
		e.ID, e.Order, e.Attempt, e.OccurredAt = fmt.Sprint("w", i), key, attempt+rng.IntN(2)*rng.IntN(2), w.clock.Now().Add(-time.Duration(rng.IntN(90))*time.Second)
		if rng.IntN(2) == 0 {
			e.Location, e.AccuracyM = p(door(n)), p(12.5)
		}
		results, err := w.dropoff.Record(ctx, []dropoff.Event{e})
		if err == nil {
			err = results[0].Err
		}
		return err
	}
	before := ""
	if attempts, err := w.dropoff.Attempts(ctx, key); err == nil && len(attempts) > 0 {
		if c := attempts[len(attempts)-1].Events; len(c) > 0 {
			before = c[rng.IntN(len(c))].ID
		}
	}
	just := func(_ order.Order, err error) error { return err }
	asks := []struct {
		what string
		do   func() error
	}{
		{"ready", func() error { return just(w.dropoff.Ready(ctx, key, time.Time{})) }},
		{"pick up", func() error { return just(w.dropoff.PickUp(ctx, key, time.Time{})) }},
		{"hand back", func() error { return just(w.dropoff.HandBack(ctx, key, time.Time{})) }},
		{"depart", func() error { return just(w.dropoff.Depart(ctx, key, time.Time{})) }},
		{"arrived", func() error { return at(dropoff.Event{Type: dropoff.Arrived}) }},
		{"placed", func() error { return at(dropoff.Event{Type: dropoff.Placed, PhotoSHA256: w.snap(i % 20)}) }},
		{"stepped away", func() error { return at(dropoff.Event{Type: dropoff.SteppedAway, Method: dropoff.ByPhoto}) }},
		{"handed over", func() error { return at(dropoff.Event{Type: dropoff.HandedOver, Name: "Juma"}) }},
		{"completed", func() error { return at(dropoff.Event{Type: dropoff.Completed}) }},
		{"failed", func() error {
			return at(dropoff.Event{Type: dropoff.Failed, Reason: "address_not_found", Note: "no such gate"})
		}},
		{"taken back", func() error { return at(dropoff.Event{Type: dropoff.Withdrawn, Supersedes: before}) }},
		{"corrected", func() error {
			return at(dropoff.Event{Type: dropoff.Arrived, Supersedes: before, Note: "the wrong parcel"})
		}},
		{"receive", func() error { return just(w.dropoff.Receive(ctx, key, time.Time{})) }},
		{"collect", func() error {
			return just(w.dropoff.Collect(ctx, key, o.CollectionCode(w.db.Names()), time.Time{}))
		}},
		{"wrong code", func() error { return just(w.dropoff.Collect(ctx, key, "000000", time.Time{})) }},
		{"unlock", func() error { return just(w.dropoff.UnlockCode(ctx, key)) }},
		{"return", func() error { return just(w.dropoff.Return(ctx, key, time.Time{})) }},
		{"returned", func() error { return just(w.dropoff.Returned(ctx, key, time.Time{})) }},
		{"hold longer", func() error { return just(w.dropoff.ExtendHold(ctx, key, rng.IntN(2) == 0)) }},
		{"end holds", func() error { _, err := w.dropoff.EndHolds(ctx); return err }},
		{"overdue", func() error { _, err := w.dropoff.TellOverdue(ctx); return err }},
		{"transfer", func() error { return just(w.dropoff.Transfer(ctx, key, w.shops[rng.IntN(len(w.shops))], "")) }},
		{"scan", func() error {
			_, err := w.dropoff.Scan(ctx, []dropoff.Scan{{ID: fmt.Sprint("s", i), Order: key, Store: w.shops[rng.IntN(len(w.shops))],
				Direction: []string{dropoff.ScanIn, dropoff.ScanOut}[rng.IntN(2)], OccurredAt: w.clock.Now()}})
			return err
		}},
		{"lost", func() error {
			if rng.IntN(8) > 0 {
				return errNot
			}
			return just(w.dropoff.Lost(ctx, key, "store"))
		}},
		{"retrieved", func() error { return just(w.dropoff.RetrievedByCustomer(ctx, key)) }},
		{"instructions", func() error { return just(w.orders.SetInstructions(ctx, key, fmt.Sprint("ring ", i), "")) }},
		{"link", func() error { return just(w.orders.RenewLink(ctx, key)) }},
		{"message", func() error { return just(w.care.Message(ctx, key, fmt.Sprint("hello ", i))) }},
		{"rating", func() error {
			return just(w.care.Rate(ctx, key, care.Rating{Delivery: 1 + i%5, Comment: fmt.Sprint("so ", i)}))
		}},
		{"dispute", func() error { return just(w.care.Dispute(ctx, key, "damaged", fmt.Sprint("open ", i))) }},
		{"withdraw", func() error { return just(w.care.Withdraw(ctx, key)) }},
		{"resolve", func() error {
			list, err := w.care.OfOrder(ctx, key)
			if err != nil || len(list) == 0 {
				return errNot
			}
			last := list[len(list)-1]
			_, err = w.care.Resolve(ctx, last.Key, nil, care.Resolution{Outcome: []string{"answered", "upheld", "rejected"}[rng.IntN(3)], Note: "seen", Answer: "sorry"})
			return err
		}},
		{"release", func() error { _, err := w.match.Release(ctx, o.Assignment, "store_closed"); return err }},
		{"accept", func() error { _, err := w.match.Accept(ctx, o.Assignment); return err }},
		{"reassign", func() error { _, err := w.match.Reassign(ctx, key, 0); return err }},
		{"expire", func() error { _, err := w.match.ExpireDue(ctx); return err }},
		{"retry", func() error { _, err := w.match.RetryUnassignable(ctx); return err }},
		{"cancel", func() error {
			if rng.IntN(6) > 0 {
				return errNot
			}
			_, err := w.match.Cancel(ctx, key, "data_error", "merchant")
			return err
		}},
		{"archive", func() error { _, err := w.orders.Archive(ctx, w.clock.Now().Add(-time.Hour)); return err }},
		{"erase", func() error {
			if rng.IntN(4) > 0 {
				return errNot
			}
			_, err := w.privacy.Erase(ctx, key)
			return err
		}},
	}
	a := asks[rng.IntN(len(asks))]
	return a.what, a.do()
}
