package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options say how a city lives.
type Options struct {
	BaseURL  string
	AdminKey string
	City     City // zero: NewCity(1)

	OrdersPerMinute float64      // 0: 12
	Speed           float64      // how much faster than people everyone is; 0: 1
	Log             *slog.Logger // nil: slog.Default()
}

func (o Options) withDefaults() Options {
	if len(o.City.Stores) == 0 {
		o.City = NewCity(1)
	}
	if o.OrdersPerMinute <= 0 {
		o.OrdersPerMinute = 12
	}
	if o.Speed <= 0 {
		o.Speed = 1
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Merchant is who orders in a simulated city.
const Merchant = "Demo Market"

const (
	shopKeyName = "robo-merchant"
	orderTag    = "sim-" // what the external ids of its orders begin with
	hands       = 8      // requests at once, at most
)

// Run seeds the city and lets it live until ctx ends; then it returns nil. Nothing that goes wrong
// stops it: it tries again, later and later.
//
// The robots serve every order that a store of the city has, whoever sent it, and leave other
// stores and their orders to people.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	c := NewClient(o.BaseURL, o.AdminKey)
	defer c.Close()
	w := &world{Options: o, c: c, shelves: map[string]CityStore{}, touched: map[string]bool{}}
	if !w.settle(ctx) {
		return nil
	}
	defer w.closeShop(ctx)
	w.wakeUp(ctx)
	o.Log.Info("the city lives", "city", o.City.Name, "stores", len(w.shelves), "orders_per_minute", o.OrdersPerMinute)
	w.live(ctx)
	return nil
}

// world is a running simulation.
type world struct {
	Options
	c *Client

	shop    *Client // shows the merchant's key
	shopKey string
	shopper *Shopper
	tag     string
	pending *OrderInput // sent, but not answered yet

	shelves map[string]CityStore // by store id
	rounds  []string             // their ids, in the order they are counted
	round   int

	orders, tasks patience
	rushUntil     time.Time

	mu      sync.Mutex
	touched map[string]bool // stores that something was taken from
	visits  []visit
}

// visit is what a customer will do on the tracking link.
type visit struct {
	at            time.Time
	token, action string
	in            any
}

// settle brings the city and its merchant into being; false when ctx ended first.
func (w *world) settle(ctx context.Context) bool {
	done := false
	settled, cancel := context.WithCancel(ctx)
	defer cancel()
	w.every(settled, "settling", 0, blindly(func(ctx context.Context) error {
		ids, err := Seed(ctx, w.c, w.City)
		if len(ids) == 0 {
			return err
		}
		if err != nil { // the stores stand; the fair can wait
			w.Log.Warn("demo campaign", "error", err)
		}
		w.rounds = nil
		for _, s := range w.City.Stores {
			id := ids[s.ExternalID]
			w.shelves[id], w.rounds = s, append(w.rounds, id)
		}
		if err := w.openShop(ctx); err != nil {
			return err
		}
		done = true
		cancel()
		return nil
	}))
	return done
}

// openShop makes a key for the merchant. Keys that an earlier run could not give back are revoked.
func (w *world) openShop(ctx context.Context) error {
	for k, err := range w.c.Keys(ctx) {
		if err != nil {
			return err
		}
		if k.Name == shopKeyName && k.RevokedAt == nil {
			if err := w.c.RevokeKey(ctx, k.ID); err != nil {
				return err
			}
		}
	}
	k, err := w.c.CreateKey(ctx, KeyInput{Role: "merchant", Merchant: Merchant, Name: shopKeyName})
	if err != nil {
		return err
	}
	w.shop, w.shopKey = w.c.With(k.Secret), k.ID
	if w.shopper == nil {
		start := time.Now().Unix()
		// Each start walks another way, so that a demo restarted every morning is not one day repeated.
		w.shopper, w.tag = w.City.Shopper(uint64(start)), orderTag+strconv.FormatInt(start, 36)+"-"
	}
	return nil
}

func (w *world) closeShop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	// The server may be gone already; then the next start revokes it.
	_ = w.c.RevokeKey(ctx, w.shopKey)
}

// A city that nothing happens in yet hurries through its first minute, so that whoever has just
// started a demo soon sees an order in every state.
const (
	rush       = time.Minute
	rushSpeed  = 8.0
	rushOrders = 30
)

func (w *world) wakeUp(ctx context.Context) {
	for _, err := range w.c.Orders(ctx, openStatuses...) {
		if err == nil {
			return // it is awake
		}
	}
	for range rushOrders {
		if err := w.buy(ctx); err != nil {
			return // the usual orders come anyway
		}
	}
	w.rushUntil = time.Now().Add(rush)
}

// pace is how much faster than people everyone is at now.
func (w *world) pace(now time.Time) float64 {
	if now.Before(w.rushUntil) {
		return w.Speed * rushSpeed
	}
	return w.Speed
}

func (w *world) live(ctx context.Context) {
	const slowest = 3 * time.Second // looking is what an idle city costs
	look := min(max(time.Duration(float64(slowest)/w.Speed), 50*time.Millisecond), slowest)
	var wg sync.WaitGroup
	for _, x := range []struct {
		what  string
		pause time.Duration
		f     func(context.Context) (looked time.Duration, err error)
	}{
		{"ordering", time.Duration(float64(time.Minute) / w.OrdersPerMinute), blindly(w.buy)},
		{"carrying orders", look, w.carry},
		{"pre-stocking", 5 * look, w.prestock},
		{"counting shelves", 3 * look, blindly(w.restock)},
		{"holding the fair", time.Minute, blindly(func(ctx context.Context) error { return holdFair(ctx, w.c, w.City, time.Now()) })},
	} {
		wg.Go(func() { w.every(ctx, x.what, x.pause, x.f) })
	}
	wg.Wait()
}

// blindly is f for every, when it does not begin by looking through a list.
func blindly(f func(context.Context) error) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) { return 0, f(ctx) }
}

// every calls f again and again until ctx ends. After a failure the pause grows up to half a minute.
// f says how long it took to look for what there is to do: the longer, the less often it is done, so
// that a large backlog does not fill the server with our asking.
func (w *world) every(ctx context.Context, what string, pause time.Duration, f func(context.Context) (time.Duration, error)) {
	failures := 0
	for ctx.Err() == nil {
		looked, err := f(ctx)
		wait := max(pause, 10*looked)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failures++; failures == 1 { // once, not every few seconds while the server restarts
				w.Log.Warn("the city stumbles", "at", what, "error", err)
			}
			wait = max(pause, min(500*time.Millisecond<<min(failures, 6), 30*time.Second))
		case failures > 0:
			w.Log.Info("the city goes on", "at", what)
			failures = 0
		}
		sleep(ctx, wait)
	}
}

// buy sends the next order. One that was not answered is sent again: its external id makes that safe.
func (w *world) buy(ctx context.Context) error {
	if w.pending == nil {
		o := w.shopper.Next(w.tag, time.Now())
		w.pending = &o
	}
	_, err := w.shop.CreateOrder(ctx, *w.pending)
	var p *Problem
	if errors.As(err, &p) && p.Status == http.StatusUnauthorized { // somebody revoked our key
		return w.openShop(ctx)
	}
	if !transient(err) {
		w.pending = nil
	}
	return err
}

// carry does what is due about every open order.
func (w *world) carry(ctx context.Context) (looked time.Duration, err error) {
	now := time.Now()
	var due []Order
	open := map[string]bool{}
	for o, err := range w.c.Orders(ctx, openStatuses...) {
		if err != nil {
			return 0, err
		}
		if !w.ours(o) {
			continue
		}
		open[moment(o)] = true
		if do, at := next(o, w.pace(now)); do != nothing && !now.Before(at) && w.orders.willing(moment(o), now) {
			due = append(due, o)
		}
	}
	w.orders.keep(open)
	looked = time.Since(now)
	atOnce(due, func(o Order) {
		do, _ := next(o, 1)
		if err := w.act(ctx, o, do); err != nil && ctx.Err() == nil {
			n := w.orders.failed(moment(o), time.Now())
			level := slog.LevelDebug
			if n == 4 { // not a race with somebody else any more
				level = slog.LevelWarn
			}
			w.Log.Log(ctx, level, "a robot was refused", "order", o.ID, "status", o.Status, "action", string(do), "error", err)
		}
	})
	w.visit(ctx)
	return looked, nil
}

// moment names an order as it stands: as soon as it moves, earlier failures count no more.
func moment(o Order) string {
	m := fmt.Sprintf("%s %s %d", o.ID, o.Status, o.Attempts)
	if o.Assignment != nil {
		m += " " + o.Assignment.ID
	}
	return m
}

// ours: with a store of the city, or with none but sent by us.
func (w *world) ours(o Order) bool {
	if o.Store == nil {
		return strings.HasPrefix(o.ExternalID, orderTag)
	}
	_, ok := w.shelves[o.Store.ID]
	return ok
}

func (w *world) act(ctx context.Context, o Order, do action) error {
	reason := func(code string) any { return map[string]string{"reason": code} }
	switch do {
	case accept:
		return w.c.Answer(ctx, o.Assignment.ID, "accept", nil)
	case decline:
		return w.c.Answer(ctx, o.Assignment.ID, "decline", reason("capacity_exceeded"))
	case cancel:
		return w.c.Act(ctx, o.ID, "cancel", reason("cancelled_by_customer"))
	case pickUp:
		if len(o.Items) > 0 {
			w.touch(o.Store.ID)
		}
		return w.c.Act(ctx, o.ID, string(do), nil)
	case arrive:
		return w.c.Record(ctx, []DoorEvent{arrival(o, time.Now())})
	case deliver:
		return w.deliver(ctx, o)
	case fail:
		e := doorEvent(o, "failed", time.Now())
		e.Reason = "customer_unavailable"
		if o.Status == "enroute_to_dropoff" {
			e.Reason = "vehicle_breakdown"
		}
		return w.c.Record(ctx, []DoorEvent{e})
	case collectO:
		t, err := w.c.Tracking(ctx, o.token())
		if err != nil {
			return err
		}
		return w.c.Act(ctx, o.ID, string(do), map[string]string{"code": t.CollectionCode})
	default:
		return w.c.Act(ctx, o.ID, string(do), nil)
	}
}

// deliver ends an attempt well. The customer may tell the PIN, and may say later that it is there.
func (w *world) deliver(ctx context.Context, o Order) error {
	d := dice{o.ID, 0}
	photo, err := w.c.UploadPhoto(ctx, doorPhoto(dice{o.ID, o.Attempts}.seed("photo")))
	if err != nil {
		return err
	}
	pin := ""
	if o.Dropoff.PINRequired {
		t, err := w.c.Tracking(ctx, o.token())
		if err != nil {
			return err
		}
		pin = t.PIN
	}
	if err := w.c.Record(ctx, handOver(o, photo, pin, time.Now())); err != nil {
		return err
	}
	if d.chance("opens the link", 0.4) {
		w.expect(visit{at: w.after(d.between("finds it", time.Minute, 5*time.Minute)), token: o.token(), action: "retrieved"})
	}
	if d.chance("rates", 0.25) {
		stars := map[string]int{"stars": 3 + int(3*d.roll("stars"))}
		w.expect(visit{at: w.after(d.between("has time", 2*time.Minute, 9*time.Minute)), token: o.token(), action: "rating", in: stars})
	}
	return nil
}

func (w *world) after(d time.Duration) time.Time {
	return time.Now().Add(time.Duration(float64(d) / w.Speed))
}

func (w *world) touch(store string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touched[store] = true
}

func (w *world) expect(v visit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	const most = 1000 // a customer less is no harm; memory without end is
	if len(w.visits) < most {
		w.visits = append(w.visits, v)
	}
}

// visit lets the customers act whose time has come. They do not insist.
func (w *world) visit(ctx context.Context) {
	now := time.Now()
	var due, rest []visit
	w.mu.Lock()
	for _, v := range w.visits {
		if now.Before(v.at) {
			rest = append(rest, v)
		} else {
			due = append(due, v)
		}
	}
	w.visits = rest
	w.mu.Unlock()
	atOnce(due, func(v visit) {
		if err := w.c.Say(ctx, v.token, v.action, v.in); err != nil {
			w.Log.Debug("a customer was refused", "action", v.action, "error", err)
		}
	})
}

// prestock answers what stores are asked to have ready, and counts what came.
func (w *world) prestock(ctx context.Context) (looked time.Duration, err error) {
	now := time.Now()
	var due []Task
	open := map[string]bool{}
	for t, err := range w.c.Tasks(ctx, "prompted", "acknowledged", "partially_acknowledged") {
		if err != nil {
			return 0, err
		}
		if _, ok := w.shelves[t.StoreID]; !ok {
			continue
		}
		open[t.ID+t.Status] = true
		if do, _, at := answerTask(t, w.Speed); do != nothing && !now.Before(at) && w.tasks.willing(t.ID+t.Status, now) {
			due = append(due, t)
		}
	}
	w.tasks.keep(open)
	looked = time.Since(now)
	atOnce(due, func(t Task) {
		if err := w.answerTask(ctx, t); err != nil && ctx.Err() == nil {
			w.tasks.failed(t.ID+t.Status, time.Now())
			w.Log.Debug("a robot was refused", "task", t.ID, "status", t.Status, "error", err)
		}
	})
	return looked, nil
}

func (w *world) answerTask(ctx context.Context, t Task) error {
	do, units, _ := answerTask(t, w.Speed)
	path := "/v1/prestock-tasks/" + t.ID
	switch do {
	case accept:
		return w.c.Post(ctx, path+"/acknowledge", map[string]int{"committed_quantity": units})
	case decline:
		return w.c.Post(ctx, path+"/decline", map[string]string{"reason": "no room in the cooler"})
	default:
		return w.c.Post(ctx, path+"/stocked", map[string]int{"counted_quantity": units})
	}
}

// restock counts the shelves that something was taken from, and the next one in turn: what is low
// is filled up, so that the city never starves.
func (w *world) restock(ctx context.Context) error {
	w.mu.Lock()
	stores := []string{w.rounds[w.round%len(w.rounds)]}
	w.round++
	for id := range w.touched {
		stores = append(stores, id)
	}
	clear(w.touched)
	w.mu.Unlock()
	for i, id := range stores {
		if err := w.count(ctx, id); err != nil {
			if transient(err) {
				for _, left := range stores[i:] {
					w.touch(left)
				}
				return err
			}
			// Removed or changed by somebody: the shelf is theirs.
			w.Log.Debug("a robot was refused", "store", id, "error", err)
		}
	}
	return nil
}

func (w *world) count(ctx context.Context, store string) error {
	have, err := w.c.Stock(ctx, store)
	if err != nil {
		return err
	}
	counts := refill(w.shelves[store].Shelf, have, w.shelves[store].ShelfUnits)
	if len(counts) == 0 {
		return nil
	}
	return w.c.PutStock(ctx, store, counts)
}

// atOnce calls f for each of list, several at a time, and returns when all are done.
func atOnce[T any](list []T, f func(T)) {
	turn := make(chan struct{}, hands)
	var wg sync.WaitGroup
	for _, x := range list {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			f(x)
		})
	}
	wg.Wait()
}

// patience remembers what was refused, and when to try it again: after 2 seconds, doubling to 5
// minutes.
type patience struct {
	mu sync.Mutex
	m  map[string]refusal
}

type refusal struct {
	times int
	until time.Time
}

func (p *patience) willing(key string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !now.Before(p.m[key].until)
}

// failed returns how many times it was.
func (p *patience) failed(key string, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m == nil {
		p.m = map[string]refusal{}
	}
	r := p.m[key]
	r.times++
	r.until = now.Add(min(time.Second<<min(r.times, 10), 5*time.Minute))
	p.m[key] = r
	return r.times
}

// keep forgets what is not in keys.
func (p *patience) keep(keys map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.m {
		if !keys[k] {
			delete(p.m, k)
		}
	}
}
