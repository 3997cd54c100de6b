package notify

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/job"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// Word of orders. An offer is worth something for minutes and there may be thousands a second, so no row
// is written for one and the order's own transaction knows nothing of this: a job asks the log which stores
// got orders since it asked last, and rings those that have phones.
//
//	log ──cursor──► stores with news ──► who has phones: waiting, in memory
//	                                              │  ▲ └─► nothing to say any more: dropped
//	                                          due ▼  │ not reached, or quiet hours
//	                                       said as it is now, sent
//
// A store is told how many offers wait, or how many orders are to be packed where it has orders accepted
// for it, and not of each: what comes while it is being told is said a moment later, in place of what was
// said before (one topic). The cursor is kept when all that was found has been tried once. A process that
// dies may ring twice, and loses what it would have tried again; the order itself goes to the next store at
// its deadline.
type orders struct {
	mu      sync.Mutex
	waiting map[int64]*bell // by store
}

// bell is a store that was told, or is to be told, of its orders.
type bell struct {
	phones []int64   // that are still to be reached; nil: all it has
	next   time.Time // zero: nothing to tell
	tries  int
	rang   time.Time
}

// The kinds of what a store is told of its orders.
const (
	Offers = "offers" // they wait for its answer
	Orders = "orders" // they were accepted for it, and are to be packed
)

const (
	ordersSetting = "orders_told"
	// missed is how far back the log is asked: offers older than that have mostly ended.
	missed = 2 * time.Minute
	// breath is what lies between two rings of a store.
	breath = 5 * time.Second
	// packSoon is how long word of an order to pack is worth something.
	packSoon = time.Hour
)

// ordersJob tells stores of their orders.
func ordersJob(b *Book) job.Job {
	return job.Job{Name: "order-messages", Schedule: job.Every(time.Second), Idle: b.ordersIdle,
		Run: func(ctx context.Context, _ *job.Slot) error { _, err := b.TellOrders(ctx); return err }}
}

func (b *Book) ordersIdle(ctx context.Context) (bool, error) {
	var phones int
	if err := b.db.Read(ctx).Get(&phones, `SELECT count(*) FROM (SELECT 1 FROM push_subscription LIMIT 1) AS phones`); err != nil || phones == 0 {
		return true, err
	}
	if len(b.bells(b.db.Now())) > 0 {
		return false, nil
	}
	end, err := event.End(ctx, b.db)
	if err != nil {
		return false, err
	}
	told, err := b.toldUpTo(ctx)
	return end <= told, err
}

// TellOrders rings the phones of stores that got orders since it was called last, and of those that are to
// be tried again now. It returns how many phones were reached.
func (b *Book) TellOrders(ctx context.Context) (reached int, err error) {
	told, upTo, err := b.hearOrders(ctx)
	if err != nil {
		return 0, err
	}
	if reached, err = b.ringAll(ctx, b.bells(b.db.Now())); err != nil || upTo <= told {
		return reached, err
	}
	return reached, b.db.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
			ordersSetting, strconv.FormatInt(upTo, 10))
		return err
	})
}

func (b *Book) toldUpTo(ctx context.Context) (seq int64, err error) {
	var text string
	err = b.db.Read(ctx).Get(&text, `SELECT value FROM setting WHERE name = ?`, ordersSetting)
	if errors.Is(err, db.ErrNoRows) {
		return 0, nil
	}
	if err == nil {
		seq, err = strconv.ParseInt(text, 10, 64)
	}
	return seq, err
}

// hearOrders hangs a bell for each store with phones that got an order behind the cursor.
func (b *Book) hearOrders(ctx context.Context) (told, upTo int64, err error) {
	if told, err = b.toldUpTo(ctx); err != nil {
		return 0, 0, err
	}
	now := b.db.Now()
	stores, upTo, err := event.Stores(ctx, b.db, max(told, ident.At(now.Add(-missed))), "order.offered", "order.confirmed")
	if err != nil {
		return 0, 0, err
	}
	for part := range slices.Chunk(stores, page) {
		phones, err := b.push.addresses(b.db.Read(ctx), part)
		if err != nil {
			return 0, 0, err
		}
		for store := range phones {
			b.orders.hang(store, now)
		}
	}
	return told, upTo, nil
}

// hang has a store told as soon as it has drawn breath.
func (o *orders) hang(store int64, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting == nil {
		o.waiting = map[int64]*bell{}
	}
	at := o.waiting[store]
	if at == nil {
		at = &bell{}
		o.waiting[store] = at
	}
	next := at.rang.Add(breath)
	if next.Before(now) {
		next = now
	}
	*at = bell{next: next, rang: at.rang}
}

// bells are the stores to be told now. It forgets those that have nothing to be told.
func (b *Book) bells(now time.Time) (due []int64) {
	o := &b.orders
	o.mu.Lock()
	defer o.mu.Unlock()
	for store, at := range o.waiting {
		switch {
		case at.next.IsZero() && now.Sub(at.rang) > breath:
			delete(o.waiting, store)
		case !at.next.IsZero() && !at.next.After(now):
			due = append(due, store)
		}
	}
	return due
}

func (b *Book) ringAll(ctx context.Context, stores []int64) (reached int, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	turn := make(chan struct{}, senders)
	for _, store := range stores {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			n, rerr := b.ring(ctx, store)
			mu.Lock()
			defer mu.Unlock()
			if reached += n; err == nil {
				err = rerr
			}
		})
	}
	wg.Wait()
	return reached, errors.Join(ctx.Err(), err)
}

// ring tells one store how its orders stand now.
func (b *Book) ring(ctx context.Context, store int64) (reached int, err error) {
	b.orders.mu.Lock()
	at := *b.orders.waiting[store]
	b.orders.mu.Unlock()
	said, err := b.sayOrders(ctx, store)
	if err != nil {
		return 0, err
	}
	now := b.db.Now()
	switch {
	case said.Moot || !now.Before(said.Until) || !said.After.Before(said.Until):
		b.orders.rest(store, &at, bell{rang: at.rang})
		return 0, nil
	case said.After.After(now):
		b.orders.rest(store, &at, bell{next: said.After, rang: at.rang})
		return 0, nil
	}
	if at.phones == nil {
		all, err := b.push.addresses(b.db.Read(ctx), []int64{store})
		if err != nil {
			return 0, err
		}
		at.phones = all[store]
	}
	after := bell{tries: at.tries + 1, rang: now}
	for _, phone := range at.phones {
		e := outcome(b.push.ringOne(ctx, store, phone, said), after.tries, now, said.Until, rand.Float64())
		switch e.state {
		case Delivered:
			reached++
		case Gone:
			if err := b.db.InTx(ctx, func(tx *db.Tx) error { return dropSubscription(tx, phone) }); err != nil {
				return reached, err
			}
		case Pending:
			after.phones, after.next = append(after.phones, phone), e.next
		}
	}
	b.orders.rest(store, &at, after)
	return reached, nil
}

// rest leaves a store's bell as it is to be after it was rung as at, unless there was news meanwhile.
func (o *orders) rest(store int64, at *bell, after bell) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := o.waiting[store]; now.next.Equal(at.next) {
		*now = after
	} else {
		now.rang = after.rang
	}
}

// orderWord is how a store's orders stand, in words.
type orderWord struct {
	Message
	kind       string
	assignment int64 // the one offer there is, which can be accepted at once; 0: none, or several
	order      int64
}

// sayOrders says what a store has to know of its orders now. Quiet hours are kept while it is closed: who
// is open is asked whatever the hour.
func (b *Book) sayOrders(ctx context.Context, store int64) (said orderWord, err error) {
	q, now := b.db.Read(ctx), b.db.Now()
	s, err := partner.LoadTx(q, store)
	if fault.KindOf(err) == fault.NotFound {
		said.Moot = true
		return said, nil
	}
	if err != nil {
		return said, err
	}
	work, err := order.WorkOf(q, store)
	if err != nil {
		return said, err
	}
	if !s.OpenAt(now) {
		said.After = s.Silence().Until(now)
	}
	w := wordsFor(s.Locale)
	said.Lang = w.lang
	offers, toPack := standing(work, now)
	switch {
	case len(offers) > 0:
		first := slices.MinFunc(offers, byDeadline)
		said.kind, said.Title, said.Until = Offers, w.count(w.offer, w.offers, len(offers)), fromMs(*slices.MaxFunc(offers, byDeadline).Deadline)
		said.Body = strings.Replace(w.answer, "{clock}", fromMs(*first.Deadline).In(s.Zone().Location()).Format("15:04"), 1)
		if len(offers) == 1 {
			said.assignment, said.order = first.Key, first.Order
		}
	case s.AutoAccept && toPack > 0:
		said.kind, said.Title, said.Body, said.Until = Orders, w.count(w.pack, w.packs, toPack), w.yours, now.Add(packSoon)
		if said.After.After(now) {
			said.Until = said.After.Add(packSoon)
		}
	default:
		said.Moot = true
	}
	return said, nil
}

// standing are the offers of work that can still be answered, and how many orders are to be packed.
func standing(work []order.Work, now time.Time) (offers []order.Work, toPack int) {
	for _, w := range work {
		switch {
		case w.Status == order.Offered && w.Deadline != nil && fromMs(*w.Deadline).After(now):
			offers = append(offers, w)
		case w.Status == order.Accepted && w.Stands == order.Confirmed:
			toPack++
		}
	}
	return offers, toPack
}

func byDeadline(a, b order.Work) int { return cmp.Compare(*a.Deadline, *b.Deadline) }

// words are what a store is told of its orders, and what it can answer, in one language.
type words struct {
	lang                  string
	offer, offers, answer string
	pack, packs, yours    string
	accept, all           string
}

var languages = map[string]words{
	"en": {"en", "A new order", "{n} new orders", "Please answer by {clock}.", "An order to pack", "{n} orders to pack", "Accepted for you.", "Accept", "All {n}"},
	"zh": {"zh", "有新订单", "{n} 个新订单", "请在 {clock} 前答复。", "有 1 个订单待打包", "{n} 个订单待打包", "已自动为您接单。", "接单", "全部 {n} 件"},
}

// wordsFor are those of a BCP 47 tag, else English.
func wordsFor(locale string) words {
	lang, _, _ := strings.Cut(strings.ToLower(locale), "-")
	if w, ok := languages[lang]; ok {
		return w
	}
	return languages["en"]
}

func (w words) count(one, many string, n int) string {
	if n == 1 {
		return one
	}
	return w.of(many, n)
}

func (words) of(text string, n int) string { return strings.Replace(text, "{n}", strconv.Itoa(n), 1) }
