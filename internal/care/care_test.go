package care_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/care"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/order"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// scene is a database with a delivered order of store 7 in it.
type scene struct {
	*testing.T
	db    *db.DB
	clock *dbtest.Clock
	care  *care.Book
	key   int64
}

func each(t *testing.T, f func(s *scene)) {
	t.Helper()
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		clock.Set(noon)
		s := &scene{T: t, db: d, clock: clock, care: care.NewBook(d)}
		s.key = s.order(order.Delivered)
		f(s)
	})
}

func (s *scene) order(status order.Status) (key int64) {
	s.Helper()
	err := s.db.InTx(context.Background(), func(tx *db.Tx) error {
		now := tx.Now()
		o := order.Order{Key: tx.NewKey(), Merchant: 3, Status: status, Dropoff: geo.Point{Lat: 1, Lng: 2}, Mode: order.LeaveAtDoor, Undeliver: "return",
			MinimumGrade: "D", Grade: "B", Store: 7, Attempts: 1, CreatedAt: now, UpdatedAt: now, Holder: order.HeldByCustomer}
		if status.Terminal() {
			o.EndedAt = &now
		}
		key = o.Key
		return order.Insert(tx, &o)
	})
	if err != nil {
		s.Fatal(err)
	}
	return key
}

func (s *scene) ctx() context.Context { return event.WithActor(context.Background(), "customer") }

// wants checks how a call went: "" for success, else the code of its error.
func (s *scene) wants(code string, err error) {
	s.Helper()
	if fault.Code(err) != code || (err != nil) != (code != "") {
		s.Fatalf("error %v, want %q", err, code)
	}
}

func (s *scene) dispute(reason, text string) error {
	_, err := s.care.Dispute(s.ctx(), s.key, reason, text)
	return err
}

func (s *scene) state() string {
	s.Helper()
	o, err := order.NewBook(s.db).Get(s.ctx(), s.key)
	s.wants("", err)
	return o.Dispute
}

func (s *scene) incidents() []care.Incident {
	s.Helper()
	list, err := s.care.OfOrder(s.ctx(), s.key)
	s.wants("", err)
	return list
}

func (s *scene) story() string {
	s.Helper()
	books := order.NewBook(s.db)
	o, err := books.Get(s.ctx(), s.key)
	s.wants("", err)
	story, err := books.Story(s.ctx(), o)
	s.wants("", err)
	var types []string
	for _, e := range story {
		types = append(types, strings.TrimPrefix(e.Type, "order."))
	}
	return strings.Join(types, " ")
}

func TestADisputeIsLookedInto(t *testing.T) {
	each(t, func(s *scene) {
		s.wants("invalid", s.dispute("", "no reason"))
		s.wants("invalid", s.dispute("boredom", ""))
		s.wants("invalid", s.dispute("lost", strings.Repeat("x", 501)))
		s.wants("", s.dispute("lost", "Nothing at the door."))
		s.wants("", s.dispute("lost", "Nothing at the door.")) // a double click
		s.wants("", s.dispute("lost", "The neighbour has not seen it."))
		if s.state() != "open" || s.story() != "disputed disputed" {
			t.Errorf("the order is %q after %s", s.state(), s.story())
		}
		list := s.incidents()
		if len(list) != 1 {
			t.Fatalf("%d incidents", len(list))
		}
		i := list[0]
		if i.Kind != care.Dispute || i.Status != care.Open || i.Reason != "lost" || i.Store != 7 || i.Merchant != 3 || i.OpenedBy != "customer" || !i.OpenedAt.Equal(noon) ||
			i.At.Count != 0 || i.Then.Status != order.Delivered || i.Then.Grade != "B" {
			t.Errorf("the incident: %+v", i)
		}
		said, err := order.NewBook(s.db).Remarks(s.ctx(), s.key)
		if err != nil || len(said) != 2 || said[1].Text != "The neighbour has not seen it." {
			t.Errorf("said: %v %v", said, err)
		}

		desk := event.WithActor(context.Background(), "dispatcher key")
		resolve := func(r care.Resolution) (care.Incident, error) { return s.care.Resolve(desk, i.Key, nil, r) }
		_, err = resolve(care.Resolution{})
		s.wants("invalid", err)
		_, err = resolve(care.Resolution{Outcome: care.Answered})
		s.wants("not-allowed-now", err)
		_, err = s.care.Resolve(desk, i.Key+1, nil, care.Resolution{Outcome: care.Upheld})
		s.wants("not-found", err)
		old := i.Version - 1
		_, err = s.care.Resolve(desk, i.Key, &old, care.Resolution{Outcome: care.Upheld})
		s.wants("version-mismatch", err)
		s.clock.Advance(time.Hour)
		done, err := resolve(care.Resolution{Outcome: care.Upheld, Note: "Another door on the photo.", Answer: "You are right."})
		s.wants("", err)
		if done.Status != care.Upheld || done.ResolvedBy != "dispatcher key" || !done.ResolvedAt.Equal(noon.Add(time.Hour)) || done.Version != i.Version+1 || s.state() != "upheld" {
			t.Errorf("resolved: %+v, the order is %q", done, s.state())
		}
		again, err := s.care.Resolve(desk, i.Key, &i.Version, care.Resolution{Outcome: care.Upheld, Note: "Another note"})
		if err != nil || again.Note != done.Note || again.Version != done.Version {
			t.Errorf("again: %+v %v", again, err)
		}
		_, err = resolve(care.Resolution{Outcome: care.Rejected})
		s.wants("already-resolved", err)
		if f := fault.As(err); fmt.Sprint(f.Allowed) != "[upheld]" {
			t.Errorf("allowed: %v", f.Allowed)
		}
		s.wants("decided", s.dispute("damaged", ""))
		if s.story() != "disputed disputed dispute_upheld" {
			t.Errorf("the story is %s", s.story())
		}
	})
}

func TestNobodyDisputesForEver(t *testing.T) {
	each(t, func(s *scene) {
		reject := func() {
			t.Helper()
			list := s.incidents()
			_, err := s.care.Resolve(s.ctx(), list[len(list)-1].Key, nil, care.Resolution{Outcome: care.Rejected})
			s.wants("", err)
		}
		s.clock.Advance(care.DisputeLife)
		s.wants("", s.dispute("lost", "at the last moment"))
		s.clock.Advance(100 * time.Hour)
		reject()
		s.clock.Advance(care.DisputeLife)
		s.wants("", s.dispute("lost", "look again"))
		reject()
		s.wants("decided", s.dispute("lost", "a third time"))
		if s.state() != "rejected" || len(s.incidents()) != 2 {
			t.Errorf("%q with %d incidents", s.state(), len(s.incidents()))
		}

		s.key = s.order(order.Delivered)
		s.wants("", s.dispute("lost", "where is it"))
		_, err := s.care.Withdraw(s.ctx(), s.key)
		s.wants("", err)
		_, err = s.care.Withdraw(s.ctx(), s.key)
		s.wants("", err)
		if s.state() != "" || s.story() != "disputed dispute_withdrawn" || s.incidents()[0].Status != care.Withdrawn {
			t.Errorf("%q after %s", s.state(), s.story())
		}
		s.clock.Advance(care.DisputeLife + time.Millisecond)
		s.wants("too-late", s.dispute("lost", "after all"))
		s.key = s.order(order.EnrouteDropoff)
		s.wants("not-allowed-now", s.dispute("lost", "too early"))
		s.key++
		s.wants("not-found", s.dispute("lost", "whose?"))
	})
}

// However a customer's clicks and the desk's answers follow each other, an order has one open dispute at
// most, its row says what the newest incident does, and nobody is decided on more than twice.
func TestADisputeIsNeverInTwoStates(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{Clock: dbtest.NewClock(noon).Now})
	rapid.Check(t, func(rt *rapid.T) {
		s := &scene{T: t, db: d, care: care.NewBook(d)}
		s.key = s.order(order.Delivered)
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			list := s.incidents()
			step := rapid.SampledFrom([]string{"dispute", "withdraw", care.Upheld, care.Rejected, "message", care.Answered}).Draw(rt, "step")
			var err error
			switch step {
			case "dispute":
				err = s.dispute("lost", rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "text"))
			case "withdraw":
				_, err = s.care.Withdraw(s.ctx(), s.key)
			case "message":
				_, err = s.care.Message(s.ctx(), s.key, rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "text"))
			default:
				if len(list) > 0 {
					_, err = s.care.Resolve(s.ctx(), list[len(list)-1].Key, nil, care.Resolution{Outcome: step})
				}
			}
			if err != nil && fault.KindOf(err) != fault.Conflict {
				rt.Fatal(err)
			}
			open, decided, want := 0, 0, ""
			for _, i := range s.incidents() {
				if i.Kind != care.Dispute {
					continue
				}
				if want = i.Status; want == care.Withdrawn {
					want = ""
				}
				switch i.Status {
				case care.Open:
					open++
				case care.Upheld, care.Rejected:
					decided++
				}
			}
			if got := s.state(); open > 1 || decided > 2 || got != want {
				rt.Fatalf("after %s: %d open, %d decided, the order is %q and the newest incident %q", step, open, decided, got, want)
			}
		}
	})
}

func TestFiftyAtOnceAreOneIncident(t *testing.T) {
	each(t, func(s *scene) {
		var all sync.WaitGroup
		errs := make([]error, 50)
		for n := range errs {
			all.Go(func() { errs[n] = s.dispute("lost", "Nothing at the door.") })
		}
		all.Wait()
		for _, err := range errs {
			s.wants("", err)
		}
		if list := s.incidents(); len(list) != 1 || s.story() != "disputed" {
			t.Errorf("%d incidents after %s", len(list), s.story())
		}
	})
}

func TestAMessageWaitsForAnAnswer(t *testing.T) {
	each(t, func(s *scene) {
		s.key = s.order(order.Confirmed)
		write := func(text string) error {
			_, err := s.care.Message(s.ctx(), s.key, text)
			return err
		}
		s.wants("invalid", write(" \n"))
		s.wants("invalid", write(strings.Repeat("x", 1001)))
		s.wants("", write("Can it wait until six?"))
		s.wants("", write("Can it wait until six?"))
		s.wants("", write("Or seven?"))
		list := s.incidents()
		if len(list) != 1 || list[0].Kind != care.Message || s.story() != "message_received message_received" || s.state() != "" {
			t.Fatalf("%d incidents after %s", len(list), s.story())
		}
		_, err := s.care.Resolve(s.ctx(), list[0].Key, nil, care.Resolution{Outcome: care.Rejected})
		s.wants("not-allowed-now", err)
		i, err := s.care.Resolve(s.ctx(), list[0].Key, nil, care.Resolution{Outcome: care.Answered, Answer: "Seven is fine."})
		if err != nil || i.Status != care.Answered || s.story() != "message_received message_received message_answered" {
			t.Errorf("%+v %v after %s", i, err, s.story())
		}
		s.wants("", write("Can it wait until six?")) // asked anew
		if len(s.incidents()) != 2 {
			t.Errorf("%d incidents", len(s.incidents()))
		}

		// What is written while a dispute is open goes to who looks into that.
		s.key = s.order(order.Delivered)
		s.wants("", s.dispute("lost", "Nothing here."))
		s.wants("", write("Nor at the neighbour's."))
		if len(s.incidents()) != 1 {
			t.Errorf("%d incidents", len(s.incidents()))
		}
	})
}

func TestTheQueueIsReadInPages(t *testing.T) {
	each(t, func(s *scene) {
		for range 5 {
			s.key = s.order(order.Delivered)
			s.wants("", s.dispute("lost", ""))
		}
		_, err := s.care.Resolve(s.ctx(), s.incidents()[0].Key, nil, care.Resolution{Outcome: care.Rejected})
		s.wants("", err)
		_, err = s.care.Message(s.ctx(), s.order(order.Confirmed), "hello")
		s.wants("", err)
		count := func(f care.Filter) (n int) {
			t.Helper()
			f.Limit = 2
			for {
				list, more, err := s.care.List(s.ctx(), f)
				s.wants("", err)
				for _, i := range list {
					if n++; i.Key <= f.Cursor {
						t.Error("not oldest first")
					}
					f.Cursor = i.Key
				}
				if !more {
					return n
				}
			}
		}
		for _, c := range []struct {
			f    care.Filter
			want int
		}{
			{care.Filter{}, 6}, {care.Filter{Statuses: []string{care.Open}}, 5}, {care.Filter{Statuses: []string{care.Open}, Kind: care.Message}, 1},
			{care.Filter{Statuses: []string{care.Rejected, care.Upheld}}, 1}, {care.Filter{Kind: care.Dispute}, 5},
		} {
			if got := count(c.f); got != c.want {
				t.Errorf("%+v: %d, want %d", c.f, got, c.want)
			}
		}
	})
}

// The sums of a store are those of the newest ratings of its orders, in whatever order and from however
// many at once they come.
func TestTheNewestRatingCounts(t *testing.T) {
	each(t, func(s *scene) {
		rate := func(key int64, r care.Rating) error {
			_, err := s.care.Rate(s.ctx(), key, r)
			return err
		}
		for _, wrong := range []care.Rating{{}, {Delivery: 6}, {Store: -1}, {Delivery: 5, Comment: strings.Repeat("x", 501)}} {
			s.wants("invalid", rate(s.key, wrong))
		}
		s.wants("not-allowed-now", rate(s.order(order.ArrivedDropoff), care.Rating{Delivery: 5}))
		other := s.order(order.Collected)
		var all sync.WaitGroup
		for n := range 10 {
			all.Go(func() {
				if err := rate(s.key, care.Rating{Delivery: 1 + n%5, Store: 1 + n%4}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		s.wants("", rate(s.key, care.Rating{Delivery: 2}))
		s.wants("", rate(s.key, care.Rating{Delivery: 2})) // a repeat
		s.wants("", rate(other, care.Rating{Delivery: 5, Store: 4, Comment: "Friendly."}))
		ofStore, ofDelivery, err := s.care.StoreRatings(s.ctx(), 7)
		if err != nil || ofStore != (care.Mean{Count: 1, Mean: 4}) || ofDelivery != (care.Mean{Count: 2, Mean: 3.5}) {
			t.Errorf("store %+v, delivery %+v, %v", ofStore, ofDelivery, err)
		}
		if a, b, err := s.care.StoreRatings(s.ctx(), 8); err != nil || a != (care.Mean{}) || b != (care.Mean{}) {
			t.Errorf("a store without ratings: %v %v %v", a, b, err)
		}
		s.clock.Advance(care.RatingLife)
		s.wants("", rate(s.key, care.Rating{Delivery: 3}))
		s.clock.Advance(time.Millisecond)
		s.wants("too-late", rate(s.key, care.Rating{Delivery: 1}))
	})
}

func TestWordsAreErasedAndTheRestStays(t *testing.T) {
	each(t, func(s *scene) {
		s.wants("", s.dispute("lost", "Call 0712 999 888"))
		_, err := s.care.Resolve(s.ctx(), s.incidents()[0].Key, nil, care.Resolution{Outcome: care.Upheld, Note: "Rang 0712 999 888", Answer: "We rang 0712 999 888"})
		s.wants("", err)
		for range 2 {
			s.wants("", s.db.InTx(s.ctx(), func(tx *db.Tx) error { return care.Erase(tx, s.key) }))
		}
		if i := s.incidents()[0]; i.Note != "" || i.Answer != "" || i.Status != care.Upheld || i.Reason != "lost" || i.Version != 3 {
			t.Errorf("after erasure: %+v", i)
		}
	})
}
