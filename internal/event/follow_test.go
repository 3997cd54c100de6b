package event_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/event"
	"doorstep/internal/ident"
)

// Whoever waits for the next event is woken by its commit, and let go when the log closes or when
// nobody wants to know any more.
func TestWaitingForTheNextEvent(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		log := event.NewLog(d)
		type found struct {
			events []event.Event
			next   int64
			err    error
		}
		wait := func(ctx context.Context, cursor int64) <-chan found {
			c := make(chan found, 1)
			go func() {
				var f found
				f.events, f.next, f.err = log.Next(ctx, cursor, 10)
				c <- f
			}()
			return c
		}
		one, two := wait(t.Context(), 0), wait(t.Context(), 0)
		var c event.Chain
		happen(t, d, &c, event.New{Type: "order.first", Subject: 1})
		for _, w := range []<-chan found{one, two, wait(t.Context(), 0)} {
			if f := <-w; f.err != nil || len(f.events) != 1 || f.events[0].Type != "order.first" || f.next != c.Last {
				t.Errorf("woken with %+v", f)
			}
		}
		// A change that writes no event wakes nobody for nothing.
		three := wait(t.Context(), c.Last)
		if err := d.InTx(t.Context(), func(*db.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		happen(t, d, &c, event.New{Type: "order.second", Subject: 1})
		if f := <-three; f.err != nil || len(f.events) != 1 || f.events[0].Type != "order.second" {
			t.Errorf("woken with %+v", f)
		}

		ctx, cancel := context.WithCancel(t.Context())
		left, stayed := wait(ctx, c.Last), wait(t.Context(), c.Last)
		cancel()
		if f := <-left; !errors.Is(f.err, context.Canceled) || f.next != c.Last {
			t.Errorf("who left got %+v", f)
		}
		log.Close()
		log.Close()
		if f := <-stayed; !errors.Is(f.err, event.ErrClosed) {
			t.Errorf("the closed log gave %+v", f)
		}
	})
}

func types(t *testing.T, log *event.Log, after int64) (names []string, next int64) {
	t.Helper()
	events, next, err := log.After(context.Background(), after, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		names = append(names, e.Type)
	}
	return names, next
}

// stay runs a transaction that has appended an event and stays open until the returned function lets
// it commit.
func stay(t *testing.T, d *db.DB, name string) (commit func()) {
	t.Helper()
	inside, leave, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- d.InTx(context.Background(), func(tx *db.Tx) error {
			var c event.Chain
			if err := event.Append(tx, &c, event.New{Type: name, Subject: 1}); err != nil {
				return err
			}
			close(inside)
			<-leave
			return nil
		})
	}()
	<-inside
	return func() {
		t.Helper()
		close(leave)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A clock that is wrong by an hour, on this machine or on another that shares the database, hides no
// event and has none skipped.
func TestWrongClocksLoseNoEvent(t *testing.T) {
	url := dbtest.URL(t, db.Postgres)
	open := func(url string) *db.DB {
		d, err := db.Open(context.Background(), url, db.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return d
	}
	ahead, behind := open(url), open(url)
	var c event.Chain
	happen(t, behind, &c, event.New{Type: "order.first", Subject: 1}) // so that both have seen each other's log
	ahead.Keys().Advance(ident.At(time.Now().Add(time.Hour)))
	here, there := event.NewLog(ahead), event.NewLog(behind)
	defer here.Close()
	defer there.Close()

	happen(t, ahead, &c, event.New{Type: "order.ahead", Subject: 1})
	names, next := types(t, here, 0)
	if fmt.Sprint(names) != "[order.first order.ahead]" {
		t.Fatalf("its own event is not there at once: %v", names)
	}
	happen(t, behind, &c, event.New{Type: "order.behind", Subject: 1})
	if names, next = types(t, here, next); fmt.Sprint(names) != "[order.behind]" {
		t.Fatalf("what the slow clock wrote lies before what was read: %v", names)
	}

	// A later key commits first: neither process may read past the open transaction.
	commit := stay(t, ahead, "order.slow")
	happen(t, ahead, &c, event.New{Type: "order.quick", Subject: 1})
	if names, _ := types(t, here, next); len(names) != 0 {
		t.Errorf("read past an open transaction of its own: %v", names)
	}
	commit()
	if names, _ := types(t, here, next); fmt.Sprint(names) != "[order.slow order.quick]" {
		t.Errorf("after the commit: %v", names)
	}
}

// Transactions of another database in the cluster, and our own that only read, hold nothing up.
func TestAnotherDatabaseHoldsNothingUp(t *testing.T) {
	d, other := dbtest.Open(t, db.Postgres, db.Options{}), dbtest.Open(t, db.Postgres, db.Options{})
	log := event.NewLog(d)
	defer log.Close()
	commit := stay(t, other, "order.elsewhere")
	defer commit()
	var c event.Chain
	happen(t, d, &c, event.New{Type: "order.here", Subject: 1})
	if names, _ := types(t, log, 0); fmt.Sprint(names) != "[order.here]" {
		t.Errorf("got %v", names)
	}
}

// Another process's open transaction is waited for.
func TestAnotherProcessIsWaitedFor(t *testing.T) {
	url := dbtest.URL(t, db.Postgres)
	var both [2]*db.DB
	for i := range both {
		d, err := db.Open(context.Background(), url, db.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		both[i] = d
	}
	log := event.NewLog(both[0])
	defer log.Close()
	commit := stay(t, both[1], "order.slow")
	var c event.Chain
	happen(t, both[0], &c, event.New{Type: "order.quick", Subject: 2})
	if names, _ := types(t, log, 0); len(names) != 0 {
		t.Errorf("read past another process's transaction: %v", names)
	}
	commit() // nothing wakes the other process's readers; Next looks again by itself
	if events, _, err := log.Next(t.Context(), 0, 10); err != nil || len(events) != 2 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if names, _ := types(t, log, 0); fmt.Sprint(names) != "[order.slow order.quick]" {
		t.Errorf("after the commit: %v", names)
	}
}
