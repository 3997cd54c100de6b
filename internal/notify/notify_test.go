package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/fault"
	"doorstep/internal/job"
	"doorstep/internal/notify"

	"pgregory.net/rapid"
)

var (
	ctx  = context.Background()
	noon = time.Date(2026, 11, 9, 12, 0, 0, 0, time.UTC)
)

const (
	ours   = 71 // a store
	theirs = 72
	task   = 500 // what it is told about
)

// house is a network that tells its stores of things.
type house struct {
	testing.TB
	db    *db.DB
	clock *dbtest.Clock
	book  *notify.Book
	moot  map[int64]bool // tasks that are not worth a word any more
	after time.Time      // nobody wants to hear anything before
	mu    sync.Mutex
}

func inHouse(t *testing.T, f func(*house)) {
	t.Helper()
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		clock.Set(noon)
		h := &house{TB: t, db: d, clock: clock, moot: map[int64]bool{}}
		h.book = h.open(d, true)
		f(h)
	})
}

// open is a process on the database.
func (h *house) open(d *db.DB, loopback bool) *notify.Book {
	h.Helper()
	b, err := notify.NewBook(ctx, d, notify.Options{
		Loopback: loopback, Contact: "desk@doorstep.example", Log: slog.New(slog.DiscardHandler),
		Say: func(_ context.Context, t notify.Told) (notify.Message, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return notify.Message{Lang: "zh", Title: "请备货", Body: fmt.Sprintf("%d 件 · please", t.Subject), After: h.after, Until: noon.Add(24 * time.Hour), Moot: h.moot[t.Subject]}, nil
		}})
	h.must(err)
	return b
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// happens announces something and returns its place in the log.
func (h *house) happens(what string, store, subject int64) (event int64) {
	h.Helper()
	h.must(h.db.InTx(ctx, func(tx *db.Tx) error {
		event = tx.NewKey()
		return announce(tx, event, what, store, subject)
	}))
	return event
}

func announce(tx *db.Tx, event int64, what string, store, subject int64) error {
	kind := map[string]string{"told": "first", "last": "reminder_80", "done": ""}[what]
	_, err := tx.Exec(`INSERT INTO announcement (event, store_key, subject, kind, urgent) VALUES (?, ?, ?, ?, ?)`, event, store, subject, kind, what == "last")
	return err
}

func (h *house) follow(want int) {
	h.Helper()
	n, err := h.book.Collect(ctx)
	h.must(err)
	if n != want {
		h.Fatalf("%d messages were put down, want %d", n, want)
	}
}

func (h *house) send(want int) {
	h.Helper()
	n, err := h.book.Send(ctx)
	h.must(err)
	if n != want {
		h.Fatalf("%d messages arrived, want %d", n, want)
	}
}

// deliveries are those of an event as "channel state tries".
func (h *house) deliveries(event int64) (list []string) {
	h.Helper()
	found, err := h.book.Deliveries(ctx, []int64{event})
	h.must(err)
	for _, d := range found[event] {
		list = append(list, fmt.Sprint(d.Channel(), " ", d.State, " ", d.Tries))
	}
	return list
}

func (h *house) are(event int64, want ...string) {
	h.Helper()
	if got := h.deliveries(event); !slices.Equal(got, want) {
		h.Fatalf("the deliveries are %q, want %q", got, want)
	}
}

// open exceptions, as "store kind times".
func (h *house) exceptions(want ...string) []notify.Exception {
	h.Helper()
	list, more, err := h.book.Exceptions(ctx, 0, 50)
	h.must(err)
	var got []string
	for _, x := range list {
		got = append(got, fmt.Sprint(x.Store, " ", x.Kind, " ", x.Times))
	}
	if !slices.Equal(got, want) || more {
		h.Fatalf("the exceptions are %q, want %q", got, want)
	}
	return list
}

func TestTheInboxHasWhatWasAnnounced(t *testing.T) {
	inHouse(t, func(h *house) {
		h.follow(0)
		first := h.happens("told", ours, task)
		h.happens("told", theirs, task+1)
		second := h.happens("told", ours, task+2)
		h.follow(3)
		h.follow(0)
		h.are(first, "inbox delivered 0")

		list, more, err := h.book.Messages(ctx, ours, 0, 1, false)
		h.must(err)
		if len(list) != 1 || !more || list[0].Event != second || list[0].Subject != task+2 || list[0].ReadAt != nil {
			t.Fatalf("%+v %v", list, more)
		}
		list, more, err = h.book.Messages(ctx, ours, second, 1, false)
		h.must(err)
		if len(list) != 1 || more || list[0].Event != first {
			t.Fatalf("%+v %v", list, more)
		}
		unread := func(want int) {
			t.Helper()
			n, err := h.book.Unread(ctx, ours)
			h.must(err)
			if n != want {
				t.Fatalf("%d are unread, want %d", n, want)
			}
		}
		unread(2)
		h.must(h.book.MarkRead(ctx, ours, []int64{first, 12345}))
		unread(1)
		if list, _, err := h.book.Messages(ctx, ours, 0, 9, true); err != nil || len(list) != 1 || list[0].Event != second {
			t.Fatalf("%+v %v", list, err)
		}
		h.must(h.book.MarkRead(ctx, theirs, nil)) // the others' inbox is not ours
		unread(1)
		h.happens("done", ours, task+2) // who acts has read
		h.follow(0)
		unread(0)
	})
}

func TestMuchIsToldInPages(t *testing.T) {
	inHouse(t, func(h *house) {
		h.must(h.db.InTx(ctx, func(tx *db.Tx) error {
			for i := range int64(1200) {
				if err := announce(tx, tx.NewKey(), []string{"told", "told", "done"}[i%3], ours+i%5, i); err != nil {
					return err
				}
			}
			return nil
		}))
		h.follow(800)
		h.follow(0)
		var rows, stores int
		h.must(h.db.Read(ctx).Get(&rows, `SELECT count(*) FROM delivery`))
		h.must(h.db.Read(ctx).Get(&stores, `SELECT count(DISTINCT store_key) FROM delivery`))
		if rows != 800 || stores != 5 {
			t.Fatalf("%d deliveries to %d stores", rows, stores)
		}
	})
}

// Two processes with a handle each collect and send at once, again and again.
func TestTwoProcessesTellOnce(t *testing.T) {
	for _, engine := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			clock := dbtest.NewClock(noon)
			url := dbtest.URL(t, engine)
			phone := newPhone(t)
			var books []*notify.Book
			h := &house{TB: t, clock: clock, moot: map[int64]bool{}}
			for range 2 {
				d, err := db.Open(ctx, url, db.Options{Clock: clock.Now, Log: slog.New(slog.DiscardHandler)})
				h.must(err)
				defer d.Close()
				h.db = d
				books = append(books, h.open(d, true))
			}
			h.book = books[0]
			phone.subscribe(h, ours)
			for range 50 {
				h.happens("told", ours, task)
			}
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					b := books[i%2]
					for range 4 {
						if _, err := b.Collect(ctx); err != nil && fault.KindOf(err) != fault.Unavailable {
							t.Error(err)
						}
						if _, err := b.Send(ctx); err != nil && fault.KindOf(err) != fault.Unavailable {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			_, err := h.book.Collect(ctx)
			h.must(err)
			_, err = h.book.Send(ctx)
			h.must(err)
			var rows, done int
			h.must(h.db.Read(ctx).Get(&rows, `SELECT count(*) FROM delivery`))
			h.must(h.db.Read(ctx).Get(&done, `SELECT count(*) FROM delivery WHERE state = 'delivered' AND address <> 0`))
			if rows != 100 || done != 50 || len(phone.got()) != 50 {
				t.Fatalf("%d deliveries, %d pushed, the phone rang %d times", rows, done, len(phone.got()))
			}
		})
	}
}

// dying ends after so many statements, as a process does that is killed between two of them.
type dying struct {
	context.Context
	mu   sync.Mutex
	left int
}

func (d *dying) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left--; d.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestKilledAtAnyStatement(t *testing.T) {
	clock := dbtest.NewClock(noon)
	for n := 0; ; n++ {
		h := &house{TB: t, db: dbtest.Open(t, db.SQLite, db.Options{Clock: clock.Now}), clock: clock, moot: map[int64]bool{}}
		h.book = h.open(h.db, true)
		phone := newPhone(t)
		phone.subscribe(h, ours)
		for i := range int64(3) {
			h.happens("last", ours+i, task+i)
		}
		dead := &dying{Context: ctx, left: n}
		_, err := h.book.Collect(dead)
		if err == nil {
			_, err = h.book.Send(dead)
		}
		survived := err == nil && dead.left >= 0
		// The next process comes when the claims of the dead one have run out.
		clock.Advance(10 * time.Minute)
		_, err = h.book.Collect(ctx)
		h.must(err)
		_, err = h.book.Send(ctx)
		h.must(err)
		clock.Set(noon)
		var rows, arrived, pending int
		h.must(h.db.Read(ctx).Get(&rows, `SELECT count(*) FROM delivery`))
		h.must(h.db.Read(ctx).Get(&arrived, `SELECT count(*) FROM delivery WHERE state = 'delivered'`))
		h.must(h.db.Read(ctx).Get(&pending, `SELECT count(*) FROM delivery WHERE state = 'pending'`))
		if rows != 4 || arrived != 4 || pending != 0 {
			t.Fatalf("killed at statement %d: %d deliveries, %d arrived, %d wait", n, rows, arrived, pending)
		}
		h.exceptions(fmt.Sprint(ours+1, " not_read 1"), fmt.Sprint(ours+2, " not_read 1"))
		ids := map[string]bool{}
		for _, m := range phone.got() {
			ids[m.ID] = true
		}
		if len(ids) != 1 {
			t.Fatalf("killed at statement %d: the phone has %d different messages", n, len(ids))
		}
		if survived {
			if n < 15 {
				t.Fatalf("only %d statements: nothing was killed", n)
			}
			return
		}
	}
}

func TestNobodyHasOpenedTheInbox(t *testing.T) {
	inHouse(t, func(h *house) {
		first := h.happens("told", ours, task)
		h.happens("told", theirs, task)
		h.follow(2)
		h.exceptions()
		h.must(h.book.MarkRead(ctx, theirs, nil))
		h.happens("last", ours, task)
		h.happens("last", theirs, task)
		h.follow(2)
		x := h.exceptions(fmt.Sprint(ours, " not_read 1"))
		if x[0].Subject != task || !x[0].OpenedAt.Equal(h.db.Now()) {
			t.Fatalf("%+v", x)
		}
		h.happens("last", ours, task+9) // another task: the same exception
		h.follow(1)
		h.exceptions(fmt.Sprint(ours, " not_read 2"))
		h.must(h.book.MarkRead(ctx, ours, []int64{first}))
		h.exceptions()

		h.happens("last", ours, task+10)
		h.follow(1)
		x = h.exceptions(fmt.Sprint(ours, " not_read 1"))
		closed, err := h.book.CloseException(ctx, x[0].Key)
		h.must(err)
		if closed.ClosedAt == nil {
			t.Fatalf("%+v", closed)
		}
		again, err := h.book.CloseException(ctx, x[0].Key)
		h.must(err)
		if !again.ClosedAt.Equal(*closed.ClosedAt) {
			t.Fatalf("%+v", again)
		}
		if _, err := h.book.CloseException(ctx, 1); fault.KindOf(err) != fault.NotFound {
			t.Fatal(err)
		}
		h.exceptions()
		h.happens("last", ours, task+11)
		h.follow(1)
		h.exceptions(fmt.Sprint(ours, " not_read 1"))
		h.happens("done", ours, task+11)
		h.follow(0)
		h.exceptions()
		var opened, over int
		h.must(h.db.Read(ctx).Get(&opened, `SELECT count(*) FROM event WHERE type = 'exception.opened'`))
		h.must(h.db.Read(ctx).Get(&over, `SELECT count(*) FROM event WHERE type = 'exception.closed'`))
		if opened != 3 || over != 3 {
			t.Fatalf("%d were opened and %d closed, by the log", opened, over)
		}
	})
}

func TestTheJobsTellAndForget(t *testing.T) {
	inHouse(t, func(h *house) {
		runner := job.New(h.db, slog.New(slog.DiscardHandler), notify.Jobs(h.book)...)
		h.must(runner.Tick(ctx))
		rows := func() (n int) {
			h.must(h.db.Read(ctx).Get(&n, `SELECT count(*) FROM job_slot WHERE job = 'messages'`))
			return n
		}
		before := rows()
		h.clock.Advance(time.Minute)
		h.must(runner.Tick(ctx))
		if rows() != before {
			t.Fatal("a run with nothing to tell left a row")
		}
		told := h.happens("told", ours, task)
		h.clock.Advance(time.Minute)
		h.must(runner.Tick(ctx))
		h.are(told, "inbox delivered 0")
		// The keys of rows are made by the real clock.
		h.clock.Set(time.Now().Add(91 * 24 * time.Hour))
		h.must(runner.RunNow(ctx, "forget-messages", nil))
		h.are(told)
	})
}

func TestHowOftenAndHowLongItIsTried(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tries := rapid.IntRange(1, 10).Draw(t, "tries")
		left := time.Duration(rapid.IntRange(1, 48*3600).Draw(t, "left")) * time.Second
		asked := time.Duration(rapid.IntRange(0, 7200).Draw(t, "asked")) * time.Second
		luck := rapid.Float64Range(0, 1).Draw(t, "luck")
		state, next := notify.Again(tries, noon, noon.Add(left), asked, luck)
		wait := next.Sub(noon)
		switch {
		case state == notify.Failed:
			if tries < notify.MaxTries && left > 144*time.Minute {
				t.Fatalf("given up after %d tries with %s left", tries, left)
			}
		case tries >= notify.MaxTries || wait >= left || wait < asked || wait < 24*time.Second || wait > 144*time.Minute:
			t.Fatalf("try %d again after %s, asked for %s, %s left", tries, wait, asked, left)
		}
	})
}

func TestWhatCannotBeSaidIsTriedAgain(t *testing.T) {
	inHouse(t, func(h *house) {
		phone := newPhone(t)
		phone.subscribe(h, ours)
		broken, err := notify.NewBook(ctx, h.db, notify.Options{Loopback: true, Log: slog.New(slog.DiscardHandler),
			Say: func(context.Context, notify.Told) (notify.Message, error) {
				return notify.Message{}, errors.New("no words")
			}})
		h.must(err)
		told := h.happens("told", ours, task)
		h.follow(2)
		if n, err := broken.Send(ctx); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		h.are(told, "inbox delivered 0", "push pending 1")
		h.clock.Advance(time.Minute)
		h.send(1)
		h.are(told, "inbox delivered 0", "push delivered 2")
	})
}
