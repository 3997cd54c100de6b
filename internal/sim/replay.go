package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// ReplayConfig says what to replay, and against which server. Its database must be empty: the oracle
// counts from nothing.
type ReplayConfig struct {
	BaseURL  string
	AdminKey string
	Data     string // the folder with the recorded stores and orders

	Orders       int       // at most so many; 0: all
	DropoffEvery int       // every n-th served order is carried to the door; 0: none
	Quotes       int       // asked in New York, among its 18,572 stores
	Concurrency  int       // senders; 0 or 1: one, and its answers are compared with the oracle
	Base         time.Time // the midnight in Nairobi that is day 1 of the data; zero: a month ahead

	Progress func(done, total int) // called after each order by one goroutine; may be nil
}

// Report is what a replay found.
type Report struct {
	Stores        int
	ImportSeconds float64

	Orders       int // acknowledged
	Served       int // by a store
	Unassignable int
	Compared     int // with the brute-force choice
	Equal        int

	CapacityOverruns int // store slots with more orders than they have room for
	StockOverruns    int // SKUs on shelves with more promised than there was, or counted otherwise than we do
	MeanM, P95M      float64

	Dropoffs      int // carried to the door
	Delivered     int // of those, by the server's list
	Quotes        int
	QuotesEqual   int
	Seconds       float64       // from the first order to the last drop-off
	P50, P99      time.Duration // of creating an order
	Disagreements []string      // the first of each kind, for people
}

// OrdersPerSecond is the rate of the whole replay, with drop-offs beside the orders.
func (r Report) OrdersPerSecond() float64 { return float64(r.Orders) / max(r.Seconds, 1e-9) }

// Err says what must not be, nil when all is as it must.
func (r Report) Err() error {
	var bad []string
	note := func(is bool, format string, args ...any) {
		if is {
			bad = append(bad, fmt.Sprintf(format, args...))
		}
	}
	note(r.Equal != r.Compared, "%d of %d orders went to another store than brute force says", r.Compared-r.Equal, r.Compared)
	note(r.QuotesEqual != r.Quotes, "%d of %d quotes named another store than brute force says", r.Quotes-r.QuotesEqual, r.Quotes)
	note(r.CapacityOverruns > 0, "%d slots hold more orders than they have room for", r.CapacityOverruns)
	note(r.StockOverruns > 0, "%d SKUs on shelves are promised beyond what there is, or miscounted", r.StockOverruns)
	note(r.Delivered != r.Dropoffs, "%d of %d drop-offs did not end as delivered", r.Dropoffs-r.Delivered, r.Dropoffs)
	if bad == nil {
		return nil
	}
	return errors.New(strings.Join(append(bad, r.Disagreements...), "\n  "))
}

func (r Report) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-18s", name)
		fmt.Fprintf(&b, format+"\n", args...)
	}
	line("stores", "%d, imported in %.1f s", r.Stores, r.ImportSeconds)
	line("orders", "%d: %d served, %d without a possible store", r.Orders, r.Served, r.Unassignable)
	if r.Compared > 0 {
		line("as brute force", "%d of %d (%.2f %%)", r.Equal, r.Compared, 100*float64(r.Equal)/float64(r.Compared))
	}
	if r.Quotes > 0 {
		line("quotes", "%d of %d as brute force, in New York", r.QuotesEqual, r.Quotes)
	}
	line("capacity overruns", "%d", r.CapacityOverruns)
	line("stock overruns", "%d", r.StockOverruns)
	line("distance", "mean %.0f m, p95 %.0f m", r.MeanM, r.P95M)
	line("drop-offs", "%d, delivered %d", r.Dropoffs, r.Delivered)
	line("speed", "%.0f orders/s over %.1f s, drop-offs beside them; creating one: p50 %.1f ms, p99 %.1f ms", r.OrdersPerSecond(), r.Seconds,
		float64(r.P50.Microseconds())/1000, float64(r.P99.Microseconds())/1000)
	return b.String()
}

// Replay imports the recorded stores of New York and Nairobi, sends the recorded orders of Nairobi in
// time order, carries them to the door, and compares every choice with brute force. At the end it
// reads back what the server has and checks capacity and stock.
//
// The data's days become future days, since a delivery window cannot lie in the past: an order placed
// at 10:00 on day 3 is wanted between 10:00 and 12:00 on the third day from Base.
//
// An error means that the replay could not be done; what it found is in the Report.
func Replay(ctx context.Context, cfg ReplayConfig) (Report, error) {
	r := &replay{ReplayConfig: cfg, c: NewClient(cfg.BaseURL, cfg.AdminKey)}
	defer r.c.Close()
	for _, step := range []func(context.Context) error{r.checkEmpty, r.openStores, r.sendOrders, r.askQuotes, r.audit} {
		if err := step(ctx); err != nil {
			return r.rep, err
		}
	}
	return r.rep, nil
}

// replay is a replay under way.
type replay struct {
	ReplayConfig
	c      *Client
	oracle *oracle
	zone   *time.Location

	newYork, nairobi []*place

	mu      sync.Mutex // for all below
	rep     Report
	metres  []float64
	took    []time.Duration
	carried map[string]bool // ids of orders taken to the door
}

const (
	tries       = 6  // of a request that fails for no fault of its own
	runnerCount = 32 // on their way at once: their transactions share commits
)

func (r *replay) disagree(format string, args ...any) {
	const most = 10
	if len(r.rep.Disagreements) < most {
		r.rep.Disagreements = append(r.rep.Disagreements, fmt.Sprintf(format, args...))
	}
}

func (r *replay) checkEmpty(ctx context.Context) error {
	for _, err := range r.c.Stores(ctx) {
		if err == nil {
			err = errors.New("the server has stores already: a replay needs an empty database")
		}
		return err
	}
	return nil
}

// openStores imports New York as CSV and Nairobi as NDJSON, and stocks the shelves of Nairobi.
func (r *replay) openStores(ctx context.Context) (err error) {
	var file []byte
	if r.newYork, file, err = readNewYork(r.Data); err != nil {
		return err
	}
	if r.nairobi, err = readNairobi(r.Data); err != nil {
		return err
	}
	r.zone = r.nairobi[0].zone
	began := time.Now()
	if _, err := r.c.importRows(ctx, "text/csv", file); err != nil {
		return err
	}
	rows := make([]StoreInput, len(r.nairobi))
	for i, p := range r.nairobi {
		rows[i] = p.input()
	}
	if _, err := r.c.ImportStores(ctx, rows); err != nil {
		return err
	}
	r.rep.ImportSeconds = time.Since(began).Seconds()
	ids, err := storeIDs(ctx, r.c)
	if err != nil {
		return err
	}
	places := slices.Concat(r.newYork, r.nairobi)
	for _, p := range places {
		if p.id = ids[p.external]; p.id == "" {
			return fmt.Errorf("store %s was imported, but is not in the list", p.external)
		}
	}
	r.rep.Stores, r.oracle = len(ids), newOracle(places)
	return r.stockShelves(ctx)
}

func (r *replay) stockShelves(ctx context.Context) error {
	for _, p := range r.nairobi {
		var counts []Count
		for _, sku := range replaySKUs {
			counts = append(counts, Count{SKU: sku, OnHand: p.stock[sku]})
		}
		if err := Retry(ctx, tries, func() error { return r.c.PutStock(ctx, p.id, counts) }); err != nil {
			return err
		}
	}
	return nil
}

// job is an order on its way through the replay.
type job struct {
	n    int
	id   string // external
	wish wish
}

// sendOrders sends all orders while others carry them to the door.
func (r *replay) sendOrders(ctx context.Context) error {
	records, err := readOrders(r.Data, r.Orders)
	if err != nil {
		return err
	}
	key, err := r.c.CreateKey(ctx, KeyInput{Role: "merchant", Merchant: "Replay", Name: "replay"})
	if err != nil {
		return err
	}
	if r.Base.IsZero() {
		now := time.Now().In(r.zone)
		r.Base = time.Date(now.Year(), now.Month(), now.Day()+30, 0, 0, 0, 0, r.zone)
	}
	r.carried = map[string]bool{}
	began := time.Now()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	doors := make(chan carriage, 64)
	var runners, senders sync.WaitGroup
	for range runnerCount {
		runners.Go(func() { r.carryAll(ctx, doors, stop) })
	}
	jobs := make(chan job)
	for range max(1, r.Concurrency) {
		senders.Go(func() { r.sendAll(ctx, r.c.With(key.Secret), jobs, doors, stop) })
	}
	for n, rec := range records {
		select {
		case jobs <- job{n, rec.id, rec.wish(n, r.Base)}:
		case <-ctx.Done():
		}
		if r.Progress != nil {
			r.Progress(n+1, len(records))
		}
	}
	close(jobs)
	senders.Wait()
	close(doors)
	runners.Wait()
	r.rep.Seconds = time.Since(began).Seconds()
	r.sum()
	return context.Cause(ctx)
}

func (r *replay) sum() {
	slices.Sort(r.took)
	r.rep.P50, r.rep.P99 = quantile(r.took, 0.5), quantile(r.took, 0.99)
	slices.Sort(r.metres)
	r.rep.P95M = quantile(r.metres, 0.95)
	for _, m := range r.metres {
		r.rep.MeanM += m / float64(len(r.metres))
	}
}

func (r *replay) sendAll(ctx context.Context, shop *Client, jobs <-chan job, doors chan<- carriage, stop func(error)) {
	for j := range jobs {
		var o Order
		began := time.Now()
		err := Retry(ctx, tries, func() (err error) {
			o, err = shop.CreateOrder(ctx, j.wish.order(j.n, j.id))
			return err
		})
		if err != nil {
			stop(fmt.Errorf("order %s: %w", j.id, err))
			return
		}
		if r.note(j, o, time.Since(began)) {
			select {
			case doors <- carriage{j.n, o}:
			case <-ctx.Done():
			}
		}
	}
}

// note compares and counts an answer, and reports whether the order shall be carried to the door.
func (r *replay) note(j job, o Order, took time.Duration) (carry bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rep.Orders++
	r.took = append(r.took, took)
	store := ""
	if o.Store != nil {
		store = o.Store.ID
	}
	if r.Concurrency <= 1 {
		r.compare(j, o, store)
	}
	p := r.oracle.byID[store]
	if p == nil {
		r.rep.Unassignable++
		return false
	}
	p.take(j.wish)
	r.rep.Served++
	r.metres = append(r.metres, haversine(p.lat, p.lng, j.wish.lat, j.wish.lng))
	carry = r.DropoffEvery > 0 && j.n%r.DropoffEvery == 0
	if carry {
		r.carried[o.ID] = true
		r.rep.Dropoffs++
	}
	return carry
}

// compare checks the store, and that the answer says the same of itself.
func (r *replay) compare(j job, o Order, store string) {
	r.rep.Compared++
	metres, objection := r.oracle.objection(j.wish, store)
	if objection == "" {
		objection = inconsistency(j, o, store, metres)
	}
	if objection == "" {
		r.rep.Equal++
		return
	}
	r.disagree("order %s: %s", j.id, objection)
}

func inconsistency(j job, o Order, store string, metres float64) string {
	switch {
	case store == "" && o.Status != "unassignable":
		return "without a store it is " + o.Status
	case store == "":
		return ""
	case o.Status != "confirmed":
		return "with a store that accepts by itself it is " + o.Status
	case o.Promise == nil || !o.Promise.Earliest.Equal(j.wish.begin):
		return fmt.Sprintf("wanted from %s, promised %v", j.wish.begin, o.Promise)
	case o.DistanceM == nil:
		return "it has no distance"
	case math.Abs(float64(*o.DistanceM)-metres) > 0.51: // it is told in whole metres
		return fmt.Sprintf("the distance is %.2f m, not %d", metres, *o.DistanceM)
	}
	return ""
}

// carriage is an order to take to the door.
type carriage struct {
	n     int
	order Order
}

func (r *replay) carryAll(ctx context.Context, doors <-chan carriage, stop func(error)) {
	for d := range doors {
		if err := r.carryOne(ctx, d); err != nil {
			stop(fmt.Errorf("drop-off of %s: %w", d.order.ExternalID, err))
			return
		}
	}
}

// carryOne packs an order, takes it to the recorded door and leaves it there. The recorded times lie
// in the future here, so every step happens now.
func (r *replay) carryOne(ctx context.Context, d carriage) error {
	o := d.order
	for _, action := range []string{"ready", "pick-up", "depart"} {
		if err := Retry(ctx, tries, func() error { return r.c.Act(ctx, o.ID, action, nil) }); err != nil {
			return err
		}
	}
	o.Attempts = 1
	photo := ""
	if photographed(d.n) {
		err := Retry(ctx, tries, func() (err error) {
			photo, err = r.c.UploadPhoto(ctx, doorPhoto(uint64(d.n)))
			return err
		})
		if err != nil {
			return err
		}
	}
	now := time.Now()
	fix := o.Dropoff.Location
	fix.AccuracyM = 10
	arrived := doorEvent(o, "arrived", now.Add(-10*time.Millisecond))
	arrived.Location = &fix
	events := append([]DoorEvent{arrived}, handOver(o, photo, "", now)...)
	return Retry(ctx, tries, func() error { return r.c.Record(ctx, events) })
}

// askQuotes asks for stores at random doors in New York, among stores that are near each other and
// share points. Nothing is reserved, so nothing is counted.
func (r *replay) askQuotes(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(1, 4))
	zone := r.newYork[0].zone
	day := r.Base.In(zone)
	for range r.Quotes {
		near := r.newYork[rng.IntN(len(r.newYork))]
		w := wish{lat: near.lat + 0.02*rng.NormFloat64(), lng: near.lng + 0.02*rng.NormFloat64(),
			begin: time.Date(day.Year(), day.Month(), day.Day()+rng.IntN(7), 6+rng.IntN(18), rng.IntN(60), 0, 0, zone)}
		in := QuoteInput{Dropoff: Dropoff{Location: Location{Lat: w.lat, Lng: w.lng}}, Window: &Period{w.begin.UTC(), w.begin.UTC().Add(2 * time.Hour)}}
		var q Quote
		if err := Retry(ctx, tries, func() (err error) { q, err = r.c.Quote(ctx, in); return err }); err != nil {
			return err
		}
		store := ""
		if q.Store != nil {
			store = q.Store.ID
		}
		r.rep.Quotes++
		if _, objection := r.oracle.objection(w, store); objection != "" {
			r.disagree("quote at %f,%f: %s", w.lat, w.lng, objection)
			continue
		}
		r.rep.QuotesEqual++
	}
	return nil
}

// audit reads back all orders and shelves and adds them up anew.
func (r *replay) audit(ctx context.Context) error {
	b := books{used: map[slot]int{}, sold: map[good]int{}, waiting: map[good]int{}}
	listed := map[string]bool{}
	for o, err := range r.c.Orders(ctx) {
		if err != nil {
			return err
		}
		if listed[o.ExternalID] {
			r.disagree("order %s is listed twice", o.ExternalID)
		}
		listed[o.ExternalID] = true
		if r.carried[o.ID] && o.Status == "delivered" {
			r.rep.Delivered++
		}
		if o.Store != nil && o.Promise != nil {
			b.enter(r.oracle.byID[o.Store.ID], o)
		}
	}
	if len(listed) != r.rep.Orders {
		return fmt.Errorf("%d orders were acknowledged, %d are listed", r.rep.Orders, len(listed))
	}
	for s, n := range b.used {
		if n > s.place.perSlot {
			r.rep.CapacityOverruns++
			r.disagree("%s has room for %d orders and holds %d from %s", s.place.external, s.place.perSlot, n, time.Unix(s.begin, 0).UTC())
		}
	}
	return r.auditShelves(ctx, b)
}

// auditShelves: what was picked up has left the shelf; what waits is still on it, reserved.
func (r *replay) auditShelves(ctx context.Context, b books) error {
	for _, p := range r.nairobi {
		levels, err := r.c.Stock(ctx, p.id)
		if err != nil {
			return err
		}
		for _, l := range levels {
			g := good{p, l.SKU}
			left := shelfUnits - b.sold[g]
			want := Level{SKU: l.SKU, OnHand: left + b.waiting[g], Reserved: b.waiting[g], Available: left}
			if l != want || left < 0 {
				r.rep.StockOverruns++
				r.disagree("%s: the shelf says %+v, its orders %+v", p.external, l, want)
			}
		}
	}
	return nil
}

// books are what all orders add up to.
type books struct {
	used    map[slot]int
	sold    map[good]int
	waiting map[good]int // sold, but not picked up
}

type slot struct {
	place *place
	begin int64
}

type good struct {
	place *place
	sku   string
}

func (b books) enter(p *place, o Order) {
	b.used[slot{p, p.slot(o.Promise.Earliest)}]++
	for _, it := range o.Items {
		b.sold[good{p, it.SKU}] += it.Quantity
		if o.Status == "confirmed" {
			b.waiting[good{p, it.SKU}] += it.Quantity
		}
	}
}
