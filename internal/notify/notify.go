// Package notify tells stores what they have to know.
//
// Whoever has something to tell writes an announcement in the transaction of the event that says so.
// It becomes one row of delivery for each address of its store, in the transaction that takes it away.
// So nothing is told before it is true, and nothing is put down twice, whoever dies when and however
// many processes there are. (The log says it too, but who looked for it there would read a thousand
// orders for each.)
//
//	announcement ──► inbox  delivered (the row is the message)
//	             └─► push   pending ──► delivered
//	                          │  ▲ └──► moot    it is worth nothing any more
//	                          ▼  │  ├─► gone    the subscription is over, and dropped
//	                         again  └─► failed  refused, or tried long enough
//
// There are two channels: the store's inbox, which its app reads, and web push to the browsers and
// phones it has subscribed. What a message says is asked for when it is sent, so it is true then, and so
// is whether the store is quiet: a push that was held up until the night waits for the morning.
// A push may reach the same phone twice, when a process dies between sending and noting that it did;
// it carries the same id and topic, so the second replaces the first.
//
// Orders go another way, since an offer lives for minutes: see orders.go.
//
// When push ends without having reached any of a store's phones, or nobody has opened the inbox of a
// store without any, a person is told: see Exception.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/job"
)

// Told is something that a store is told: an event, by its place in the log.
type Told struct {
	Event   int64
	Store   int64
	Subject int64  // what it is about: the pre-stock task
	Kind    string // in the words of whoever made the event
}

// Message is a Told in words.
type Message struct {
	Lang, Title, Body string
	After             time.Time // not before: until then the store wants to hear nothing
	Until             time.Time // when it is worth nothing any more
	Moot              bool      // it is worth nothing now
	Quantity          int       // that may be promised by one tap on the message; 0: nothing is asked
}

// Options of NewBook.
type Options struct {
	// Say puts something into words, for its store, as of now.
	Say func(ctx context.Context, t Told) (Message, error)
	// Contact is an e-mail address or an https URL where the makers of browsers can complain.
	Contact string
	// Loopback lets push go to this machine, over http too: for tests and nothing else.
	Loopback bool
	Log      *slog.Logger
}

// Book is what one can ask of the messages to stores. It is safe for concurrent use.
type Book struct {
	db       *db.DB
	o        Options
	push     *push
	channels []channel
	orders   orders
}

// channel is a way to a store.
type channel interface {
	// addresses are where each of stores can be reached this way.
	addresses(q db.Queryer, stores []int64) (map[int64][]int64, error)
	// starts is the state of a fresh delivery.
	starts() string
	// send hands a message over. Errors: errGone, errDropped; a refusal; a pause or anything else is
	// worth another try.
	send(ctx context.Context, d *Delivery, m Message) error
}

// inbox is the channel of the store's app: the row of a delivery is the message.
type inbox struct{}

// inboxAddress is the one address of a store's inbox.
const inboxAddress = 0

func (inbox) addresses(_ db.Queryer, stores []int64) (map[int64][]int64, error) {
	at := make(map[int64][]int64, len(stores))
	for _, s := range stores {
		at[s] = []int64{inboxAddress}
	}
	return at, nil
}

func (inbox) starts() string { return Delivered }

func (inbox) send(context.Context, *Delivery, Message) error { return nil }

// NewBook is the book of the messages in d.
func NewBook(ctx context.Context, d *db.DB, o Options) (*Book, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	b := &Book{db: d, o: o}
	var err error
	if b.push, err = newPush(ctx, d, o); err != nil {
		return nil, err
	}
	b.channels = []channel{inbox{}, b.push}
	return b, nil
}

func (b *Book) channelOf(d *Delivery) channel {
	if d.Address == inboxAddress {
		return inbox{}
	}
	return b.push
}

// The states of a delivery.
const (
	Pending   = "pending"
	Delivered = "delivered"
	Failed    = "failed"
	Gone      = "gone"
	Moot      = "moot"
)

// The names of the channels.
const (
	Inbox = "inbox"
	Push  = "push"
)

// Delivery is a message on its way to one address.
type Delivery struct {
	Told
	Address int64 // 0: the inbox; else the subscription
	State   string
	Tries   int
	Detail  string // why the last try failed
	At      time.Time
	EndedAt *time.Time
	ReadAt  *time.Time
}

// Channel is the name of the channel that the delivery goes over.
func (d *Delivery) Channel() string {
	if d.Address == inboxAddress {
		return Inbox
	}
	return Push
}

const (
	page     = 500 // events or deliveries a transaction
	together = 256 // deliveries claimed together
	senders  = 64  // sent at once: a country's phones in a quarter of an hour
	// claimedFor is how long a delivery waits for a process that took it and died.
	claimedFor = 2 * time.Minute
	maxTries   = 6
	firstPause = 30 * time.Second
	maxPause   = 2 * time.Hour
	keepFor    = 90 * 24 * time.Hour
)

// Jobs are the scheduled work: messages every few seconds, old ones forgotten every hour.
func Jobs(b *Book) []job.Job {
	return []job.Job{
		ordersJob(b),
		{Name: "messages", Schedule: job.Every(5 * time.Second), Idle: b.idle,
			Run: func(ctx context.Context, s *job.Slot) error {
				told, sent, err := b.work(ctx)
				if err != nil {
					return err
				}
				return b.db.InTx(ctx, func(tx *db.Tx) error { return s.Done(tx, fmt.Sprintf("%d told, %d pushed", told, sent)) })
			}},
		{Name: "forget-messages", Schedule: job.Every(time.Hour),
			Run: func(ctx context.Context, _ *job.Slot) error { return b.forget(ctx, b.db.Now().Add(-keepFor)) }},
	}
}

func (b *Book) idle(ctx context.Context) (bool, error) {
	due, err := b.anyDue(ctx)
	if err != nil || due {
		return false, err
	}
	news, err := b.anyNews(ctx)
	return !news, err
}

// Collect puts down what stores are to be told, and returns how many messages that makes.
func (b *Book) Collect(ctx context.Context) (told int, err error) {
	for {
		news, err := b.anyNews(ctx)
		if err != nil || !news {
			return told, err
		}
		made := 0
		if err := b.db.InTx(ctx, func(tx *db.Tx) error {
			made = 0
			list, err := takeNews(tx)
			if err == nil {
				made, err = b.put(tx, list)
			}
			return err
		}); err != nil {
			return told, err
		}
		told += made
	}
}

// news is an announcement.
type news struct {
	Told
	urgent bool // the last chance: when nobody has seen a word about the subject, a person is told
}

// put makes the deliveries of news.
func (b *Book) put(tx *db.Tx, list []news) (made int, err error) {
	var stores []int64
	for _, n := range list {
		stores = append(stores, n.Store)
	}
	at := make([]map[int64][]int64, len(b.channels))
	for i, c := range b.channels {
		if at[i], err = c.addresses(tx, stores); err != nil {
			return 0, err
		}
	}
	for _, n := range list {
		if n.Kind == "" {
			if err := heard(tx, n.Told); err != nil {
				return 0, err
			}
			continue
		}
		phones := 0
		for i, c := range b.channels {
			for _, address := range at[i][n.Store] {
				if err := insertDelivery(tx, n.Told, address, c.starts()); err != nil {
					return 0, err
				}
				if made++; address != inboxAddress {
					phones++
				}
			}
		}
		if n.urgent && phones == 0 {
			if err := escalateUnread(tx, n.Told); err != nil {
				return 0, err
			}
		}
	}
	return made, nil
}

// work collects and sends until nothing is due. The inboxes need not wait for the pushes.
func (b *Book) work(ctx context.Context) (told, arrived int, err error) {
	for {
		t, err := b.Collect(ctx)
		told += t
		if err != nil {
			return told, arrived, err
		}
		tried, n, err := b.sendSome(ctx)
		arrived += n
		if err != nil || tried == 0 {
			return told, arrived, err
		}
	}
}

// Send sends what is due, and returns how many messages arrived.
func (b *Book) Send(ctx context.Context) (arrived int, err error) {
	for {
		tried, n, err := b.sendSome(ctx)
		arrived += n
		if err != nil || tried == 0 {
			return arrived, err
		}
	}
}

// sendSome sends a page of what is due.
func (b *Book) sendSome(ctx context.Context) (tried, arrived int, err error) {
	due, err := b.claim(ctx)
	if err != nil {
		return 0, 0, err
	}
	ends := make([]end, len(due))
	var wg sync.WaitGroup
	turn := make(chan struct{}, senders)
	for i := range due {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			ends[i] = b.sendOne(ctx, &due[i])
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil || len(due) == 0 {
		return len(due), 0, err // what was cut off counts as a try that nobody noted
	}
	arrived, err = b.note(ctx, due, ends)
	return len(due), arrived, err
}

// end is how a try went.
type end struct {
	state  string // Pending: again at next
	next   time.Time
	detail string
}

func (b *Book) sendOne(ctx context.Context, d *Delivery) end {
	now := b.db.Now()
	m, err := b.o.Say(ctx, d.Told)
	if err != nil {
		b.o.Log.Error("a message could not be put into words", "event", d.Event, "error", err)
		return again(d.Tries, now, now.Add(keepFor), 0, "it could not be put into words", rand.Float64())
	}
	if m.Moot || !now.Before(m.Until) {
		return end{state: Moot}
	}
	if m.After.After(now) {
		return end{state: Pending, next: m.After}
	}
	return outcome(b.channelOf(d).send(ctx, d, m), d.Tries, now, m.Until, rand.Float64())
}

// outcome is how the try ended that err came of.
func outcome(err error, tries int, now, until time.Time, luck float64) end {
	var no refusal
	var wait pause
	switch {
	case err == nil:
		return end{state: Delivered}
	case errors.Is(err, errDropped):
		return end{state: Moot, detail: err.Error()}
	case errors.Is(err, errGone):
		return end{state: Gone, detail: err.Error()}
	case errors.As(err, &no):
		return end{state: Failed, detail: err.Error()}
	case errors.As(err, &wait):
		return again(tries, now, until, wait.after, err.Error(), luck)
	}
	return again(tries, now, until, 0, err.Error(), luck)
}

// again is when to try again after so many tries: four times as long each time, a fifth more or less
// by luck (from 0 to 1), and never sooner than asked for. Nothing is tried after until.
func again(tries int, now, until time.Time, asked time.Duration, detail string, luck float64) end {
	detail = clip(detail)
	if tries >= maxTries {
		return end{state: Failed, detail: detail}
	}
	wait := firstPause
	for range tries - 1 {
		wait = min(4*wait, maxPause)
	}
	wait = time.Duration(float64(wait) * (0.8 + 0.4*luck))
	next := now.Add(max(wait, asked))
	if !next.Before(until) {
		return end{state: Failed, detail: detail}
	}
	return end{state: Pending, next: next, detail: detail}
}

// clip keeps the beginning of what went wrong, on one line.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200])
	}
	return s
}
