package event_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/event"
	"doorstep/internal/ident"
)

// Whoever follows one subject hears of its newest event, and of no other subject's, however the
// writing and the following overlap.
func TestWhoFollowsOneSubjectSeesItsNewestEvent(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		log := event.NewLog(d)
		defer log.Close()
		const writers, each = 4, 60
		ctx := context.Background()
		done := errors.New("done")
		var written atomic.Int64
		var writing sync.WaitGroup
		defer writing.Wait()
		for s := 1; s <= writers; s++ {
			writing.Go(func() {
				var c event.Chain
				for range each {
					happen(t, d, &c, event.New{Type: "order.moved", Subject: int64(s)})
				}
				// The very last one, so that whoever waits for it wakes up.
				written.Add(1)
				for written.Load() < writers {
					time.Sleep(time.Millisecond)
				}
				happen(t, d, &c, event.New{Type: "order.over", Subject: int64(s)})
			})
		}
		// As the subject's row would have it: committed with the event, so never behind it.
		last := func(ctx context.Context) (seq int64, err error) {
			err = d.Read(ctx).Get(&seq, `SELECT coalesce(max(seq), 0) FROM event WHERE subject = ?`, 2)
			return seq, err
		}
		var seen int64
		err := log.FollowSubject(ctx, 2, 0, last, func(seq int64) error {
			if seq <= seen {
				t.Errorf("went back from %d to %d", seen, seq)
			}
			seen = seq
			var e struct {
				Subject int64
				Type    string
			}
			if err := d.Read(ctx).Get(&e, `SELECT subject, type FROM event WHERE seq = ?`, seq); err != nil || e.Subject != 2 {
				t.Errorf("%d is of subject %d: %v", seq, e.Subject, err)
			}
			if e.Type == "order.over" {
				return done
			}
			return nil
		})
		if !errors.Is(err, done) {
			t.Fatal(err)
		}
		// Nothing is said to one who knows the end; one who does not hears it at once.
		limited, cancel := context.WithCancel(ctx)
		known := func(context.Context) (int64, error) { cancel(); return seen, nil }
		if err := log.FollowSubject(limited, 2, seen, known, func(seq int64) error { return fmt.Errorf("told of %d", seq) }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := log.FollowSubject(ctx, 2, seen-1, last, func(int64) error { return done }); !errors.Is(err, done) {
			t.Error(err)
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
	commit()
	if names, _ := types(t, log, 0); fmt.Sprint(names) != "[order.slow order.quick]" {
		t.Errorf("after the commit: %v", names)
	}
}
