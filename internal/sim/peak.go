package sim

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"doorstep/geo"
)

// Peak is a made-up city before a peak day: its past, campaigns included, and the orders of the day.
// All of it is drawn from a seed beforehand, so that the same day can be lived twice, on shelves that
// were stocked in two ways.
//
// Customers live around the stores and order there what they like: each store and SKU has a rate,
// which the weekday and the campaign multiply. So do the luck of the store's day and that of the
// campaign, which a SKU has in the whole city.
type Peak struct {
	Starts time.Time // the day lasts 24 hours
	stores []StoreInput
	skus   []string
	usual  [][]int     // units on the shelf on any day, by store and SKU
	sold   [][][]sales // by store, SKU and day; the last day is that before the plan
	week   [7]float64
	promos []int // days of past campaigns, the last one last
	orders []peakOrder
}

// sales are a day's.
type sales struct {
	units    int
	stockout float64 // hours
}

type peakOrder struct {
	at time.Time
	OrderInput
}

// PeakSize is how large the city is; zero fields are taken from SmallPeak.
type PeakSize struct{ Stores, SKUs, Days int }

// SmallPeak is the size for tests.
var SmallPeak = PeakSize{Stores: 100, SKUs: 6, Days: 42}

const (
	planAhead    = 60 * time.Hour // before the peak
	perDay       = 0.5            // units of a SKU that a store sells in the mean
	meanUplift   = 4.0
	campaignLuck = 0.17 // standard deviation, of a SKU in the whole city
	storesPerKm2 = 3
	reachM       = 1000 // of a store
	peakZone     = "Africa/Nairobi"
	peakDiscount = 0.2
)

// NewPeak draws the city of a seed with a peak that starts at starts, a midnight in Nairobi.
func NewPeak(seed uint64, size PeakSize, starts time.Time) *Peak {
	size = PeakSize{cmp.Or(size.Stores, SmallPeak.Stores), cmp.Or(size.SKUs, SmallPeak.SKUs), cmp.Or(size.Days, SmallPeak.Days)}
	p := &Peak{Starts: starts}
	d := chance{rand.New(rand.NewPCG(seed, 3))}
	for i := range p.week {
		p.week[i] = d.spread(0.2)
	}
	for k := range size.SKUs {
		p.skus = append(p.skus, fmt.Sprintf("PEAK-%d", k+1))
	}
	rates := p.settle(d, size)
	uplift := make([]float64, size.SKUs)
	for k := range uplift {
		uplift[k] = meanUplift * d.spread(0.2)
	}
	for n := 4; n > 0; n-- { // about two weeks apart, the last some ten days ago
		p.promos = append(p.promos, size.Days-n*size.Days/5-d.IntN(4))
	}
	p.remember(d, rates, uplift, size.Days)
	p.live(d, rates, uplift)
	return p
}

// chance draws from the laws that Go's library lacks.
type chance struct{ *rand.Rand }

// spread is a factor of mean 1.
func (d chance) spread(sigma float64) float64 { return math.Exp(sigma*d.NormFloat64() - sigma*sigma/2) }

func (d chance) poisson(mean float64) (n int) {
	for t := d.ExpFloat64(); t < mean; t += d.ExpFloat64() {
		n++
	}
	return n
}

// settle founds the stores, two thirds of them around five squares, and draws what they sell.
func (p *Peak) settle(d chance, size PeakSize) (rates [][]float64) {
	center := geo.Point{Lat: -1.2864, Lng: 36.8172}
	radius := math.Sqrt(float64(size.Stores)/storesPerKm2/math.Pi) * 1000
	var squares []geo.Point
	for range 5 {
		squares = append(squares, offset(center, spot(d.Rand, 0.8*radius)))
	}
	popular := make([]float64, size.SKUs)
	for k := range popular {
		popular[k] = d.spread(0.6)
	}
	taste := map[[2]int]float64{} // of a square's customers
	for i := range size.Stores {
		at, square := offset(center, spot(d.Rand, radius)), i%len(squares)
		if i%3 > 0 {
			at = offset(squares[square], vector{d.NormFloat64() * radius / 4, d.NormFloat64() * radius / 4})
		}
		store, room := d.spread(0.5), 0.0
		var own []float64
		var shelf []int
		for k := range size.SKUs {
			key := [2]int{square, k}
			if taste[key] == 0 {
				taste[key] = d.spread(0.35)
			}
			rate := perDay * store * popular[k] * taste[key] * d.spread(0.4)
			own, shelf = append(own, rate), append(shelf, int(rate))
			room += 2.5 * meanUplift * rate
		}
		rates, p.usual = append(rates, own), append(p.usual, shelf)
		p.stores = append(p.stores, peakStore(i, at, 12+int(room)))
	}
	return rates
}

// peakStore is always open and has hands enough: only goods can be short.
func peakStore(i int, at geo.Point, shelf int) StoreInput {
	return StoreInput{ExternalID: fmt.Sprintf("peak-%03d", i+1), Name: fmt.Sprintf("Peak Store %d", i+1), Location: round(at),
		Address:  Address{Line1: fmt.Sprintf("%s %d", streets[i%len(streets)], i+1), Locality: "Jua Mpya", Country: "KE"},
		TimeZone: peakZone, OpeningHours: "24/7", ServiceRadiusM: reachM, Capacity: Capacity{SlotMinutes: 60, OrdersPerSlot: 100_000},
		ShelfUnits: shelf, AutoAccept: true, OfferTimeoutS: 600, Locale: "en"}
}

// day is the date of the t-th day of the past, which ends with the last whole day before the plan.
func (p *Peak) day(t int) time.Time {
	return p.Starts.Add(-planAhead).Truncate(24*time.Hour).AddDate(0, 0, t-len(p.sold[0][0]))
}

// remember draws the past: sold is what the shelf let customers have.
func (p *Peak) remember(d chance, rates [][]float64, uplift []float64, days int) {
	p.sold = make([][][]sales, len(rates))
	for i := range p.sold {
		p.sold[i] = make([][]sales, len(uplift))
		for k := range p.sold[i] {
			p.sold[i][k] = make([]sales, days)
		}
	}
	for t := range days {
		promo := slices.Contains(p.promos, t)
		for k := range uplift {
			factor := p.week[p.day(t).Weekday()]
			if promo {
				factor *= uplift[k] * d.spread(campaignLuck)
			}
			for i := range rates {
				out := 0.0
				if x := d.Float64(); x < 0.02 || promo && x < 0.15 {
					out = 3 + 9*d.Float64()
				}
				p.sold[i][k][t] = sales{d.poisson(rates[i][k] * factor * d.spread(0.4) * (1 - out/24)), out}
			}
		}
	}
}

// live draws the orders of the day, most for one SKU, some for two.
func (p *Peak) live(d chance, rates [][]float64, uplift []float64) {
	luck := make([]float64, len(uplift))
	for k := range luck {
		luck[k] = uplift[k] * d.spread(campaignLuck) * p.week[p.Starts.Add(12*time.Hour).UTC().Weekday()]
	}
	for i, s := range p.stores {
		var wanted []int
		for k := range luck {
			for range d.poisson(rates[i][k] * luck[k] * d.spread(0.4)) {
				wanted = append(wanted, k)
			}
		}
		d.Shuffle(len(wanted), func(a, b int) { wanted[a], wanted[b] = wanted[b], wanted[a] })
		for len(wanted) > 0 {
			items := []Item{{SKU: p.skus[wanted[0]], Quantity: 1}}
			if len(wanted) > 1 && wanted[1] != wanted[0] && d.IntN(4) == 0 {
				items, wanted = append(items, Item{SKU: p.skus[wanted[1]], Quantity: 1}), wanted[1:]
			}
			wanted = wanted[1:]
			at := offset(s.Location.point(), vector{d.NormFloat64() * 200, d.NormFloat64() * 200})
			p.orders = append(p.orders, peakOrder{p.Starts.Add(time.Duration(d.Int64N(int64(24 * time.Hour)))), OrderInput{
				Items: items, Recipient: Recipient{Name: "Nia Sample", Phone: "+447700900001"}, Undeliver: "return",
				Dropoff: Dropoff{Location: round(at), Mode: "leave_at_door"}}})
		}
	}
	slices.SortStableFunc(p.orders, func(a, b peakOrder) int { return a.at.Compare(b.at) })
	for n := range p.orders {
		p.orders[n].ExternalID = fmt.Sprintf("peak-%d", n+1)
	}
}

// Demand is the past as a file for `doorstep import demand`.
func (p *Peak) Demand() io.Reader {
	var b bytes.Buffer
	b.WriteString("date,external_id,sku,units,stockout_hours,discount\n")
	for i, s := range p.stores {
		for k, sku := range p.skus {
			for t, x := range p.sold[i][k] {
				discount := 0.0
				if slices.Contains(p.promos, t) {
					discount = peakDiscount
				}
				fmt.Fprintf(&b, "%s,%s,%s,%d,%.1f,%g\n", p.day(t).Format(time.DateOnly), s.ExternalID, sku, x.units, x.stockout, discount)
			}
		}
	}
	return &b
}

// uplift is what the merchant's books say that a campaign does to a SKU: units on past campaign days
// over those of the same weekdays.
func (p *Peak) uplift(k int) float64 {
	promo, usual := 0.0, 0.0
	for _, t := range p.promos {
		units, days := 0, 0
		for i := range p.stores {
			promo += float64(p.sold[i][k][t].units)
		}
		for u := range p.sold[0][k] {
			if u%7 == t%7 && !slices.Contains(p.promos, u) {
				days++
				for i := range p.stores {
					units += p.sold[i][k][u].units
				}
			}
		}
		usual += float64(units) / float64(days)
	}
	return min(100, math.Round(10*promo/max(1, usual))/10)
}

// PeakServer is a server with an empty database.
type PeakServer struct {
	BaseURL  string
	AdminKey string
	Import   func(ctx context.Context, demand io.Reader) error // as `doorstep import demand`
	Pass     func(ctx context.Context, to time.Time) error     // its clock goes on, and its jobs run
}

// PeakResult is how the day went.
type PeakResult struct {
	Orders, Unserved int
	Stock            int // units put on shelves for the day, beside the usual ones

	// Of the campaign, in units.
	Asked, Committed, Reallocated, Unallocated, Counted int
	Tasks, Prompted                                     int
	Wrong                                               []string // accounts that do not add up
}

// Prompted lives the day with a campaign: it is announced, planned and approved, the stores are
// prompted and answer, most of them reliable and some not, and count what came. A week before there
// was a small campaign, so that it is known who keeps their word.
func (p *Peak) Prompted(ctx context.Context, s PeakServer) (r PeakResult, err error) {
	w, err := p.found(ctx, s, 0)
	if err != nil {
		return r, err
	}
	defer w.c.Close()
	if err := w.rehearse(ctx); err != nil {
		return r, err
	}
	if err := s.Import(ctx, p.Demand()); err != nil {
		return r, err
	}
	if err := w.hold(ctx, w.campaign()); err != nil {
		return r, err
	}
	if err := w.account(ctx, &r); err != nil {
		return r, err
	}
	return r, w.serve(ctx, &r)
}

// Repeated lives the day with units on the shelves as the last campaign sold them: each store and
// SKU has its share of the sales then. All of it is there: no store fails, and no shelf is too short.
func (p *Peak) Repeated(ctx context.Context, s PeakServer, units int) (r PeakResult, err error) {
	w, err := p.found(ctx, s, units)
	if err != nil {
		return r, err
	}
	defer w.c.Close()
	shares := p.repeat(units)
	if err := w.count(ctx, func(i, k int) int { return p.usual[i][k] + shares[i][k] }); err != nil {
		return r, err
	}
	for _, share := range shares {
		for _, units := range share {
			r.Stock += units
		}
	}
	return r, w.serve(ctx, &r)
}

// repeat shares units out in proportion to the sales of the last campaign, by largest remainder.
func (p *Peak) repeat(units int) [][]int {
	last := p.promos[len(p.promos)-1]
	type part struct {
		i, k int
		rest float64
	}
	var parts []part
	total := 0
	for i := range p.stores {
		for k := range p.skus {
			total += p.sold[i][k][last].units
		}
	}
	shares, left := make([][]int, len(p.stores)), units
	for i := range p.stores {
		for k := range p.skus {
			exact := float64(units) * float64(p.sold[i][k][last].units) / float64(max(1, total))
			shares[i] = append(shares[i], int(exact))
			left -= int(exact)
			parts = append(parts, part{i, k, exact - math.Floor(exact)})
		}
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(b.rest, a.rest) })
	for n := range min(left, len(parts)) {
		shares[parts[n].i][parts[n].k]++
	}
	return shares
}

// peakWorld is a peak on a server.
type peakWorld struct {
	*Peak
	s        PeakServer
	c        *Client
	ids      map[string]string // of stores, by external id
	external map[string]string // the reverse
	now      time.Time
	peak     string // id of the last campaign
}

// found opens the stores with their usual shelves, longer by some units, a week before the plan.
func (p *Peak) found(ctx context.Context, s PeakServer, longer int) (*peakWorld, error) {
	w := &peakWorld{Peak: p, s: s, c: NewClient(s.BaseURL, s.AdminKey), external: map[string]string{}}
	if err := w.pass(ctx, p.Starts.Add(-planAhead).AddDate(0, 0, -7)); err != nil {
		return nil, err
	}
	stores := slices.Clone(p.stores)
	for i := range stores {
		stores[i].ShelfUnits += longer
	}
	if _, err := w.c.ImportStores(ctx, stores); err != nil {
		return nil, err
	}
	var err error
	if w.ids, err = storeIDs(ctx, w.c); err != nil {
		return nil, err
	}
	for external, id := range w.ids {
		w.external[id] = external
	}
	return w, w.count(ctx, func(i, k int) int { return p.usual[i][k] })
}

// count puts so many units on the shelves.
func (w *peakWorld) count(ctx context.Context, units func(store, sku int) int) error {
	for i, store := range w.stores {
		var counts []Count
		for k, sku := range w.skus {
			counts = append(counts, Count{SKU: sku, OnHand: units(i, k)})
		}
		if err := w.c.PutStock(ctx, w.ids[store.ExternalID], counts); err != nil {
			return err
		}
	}
	return nil
}

func (w *peakWorld) pass(ctx context.Context, to time.Time) error {
	w.now = to
	return w.s.Pass(ctx, to)
}

// peakCampaign is a campaign with what CampaignInput does not say.
type peakCampaign struct {
	Name     string    `json:"name"`
	StartsAt time.Time `json:"starts_at"`
	EndsAt   time.Time `json:"ends_at"`
	SKUs     []peakSKU `json:"skus"`
	LeadsS   []int     `json:"leads_s"`
}

type peakSKU struct {
	SKU             string  `json:"sku"`
	ExpectedUnits   *int    `json:"expected_units,omitempty"`
	Uplift          float64 `json:"uplift,omitempty"`
	UnitMargin      Money   `json:"unit_margin"`
	UnitHoldingCost Money   `json:"unit_holding_cost"`
	CasePack        int     `json:"case_pack"`
}

func (w *peakWorld) announce(name string, starts time.Time, sku func(k int) peakSKU) peakCampaign {
	c := peakCampaign{Name: name, StartsAt: starts, EndsAt: starts.Add(24 * time.Hour), LeadsS: []int{48 * 3600, 24 * 3600, 6 * 3600}}
	for k := range w.skus {
		in := sku(k)
		// A promise that is broken costs more than the margin.
		in.SKU, in.UnitMargin, in.UnitHoldingCost, in.CasePack = w.skus[k], Money{4500, "KES"}, Money{500, "KES"}, 1
		c.SKUs = append(c.SKUs, in)
	}
	return c
}

// campaign is the peak as the merchant's books see it.
func (w *peakWorld) campaign() peakCampaign {
	return w.announce("Peak day", w.Starts, func(k int) peakSKU { return peakSKU{Uplift: w.uplift(k)} })
}

// rehearse holds a small campaign and clears the shelves again.
func (w *peakWorld) rehearse(ctx context.Context) error {
	few := 2 * len(w.stores)
	c := w.announce("Rehearsal", w.Starts.AddDate(0, 0, -7), func(int) peakSKU { return peakSKU{ExpectedUnits: &few} })
	if err := w.hold(ctx, c); err != nil {
		return err
	}
	for _, at := range []time.Time{c.EndsAt.Add(time.Hour), w.Starts.Add(-planAhead)} {
		if err := w.pass(ctx, at); err != nil {
			return err
		}
	}
	return w.count(ctx, func(i, k int) int { return w.usual[i][k] })
}

// hold has a campaign planned and approved, and lets the stores answer until it starts.
func (w *peakWorld) hold(ctx context.Context, in peakCampaign) error {
	c, err := post[Campaign](ctx, w.c, "/v1/campaigns", in)
	if err != nil {
		return err
	}
	w.peak = c.ID
	for _, step := range []string{"/plan", "/approve"} {
		if err := w.c.Post(ctx, "/v1/campaigns/"+c.ID+step, nil); err != nil {
			return err
		}
	}
	for w.now.Before(in.StartsAt) {
		if err := w.answer(ctx, c.Name); err != nil {
			return err
		}
		if err := w.pass(ctx, w.now.Add(time.Hour)); err != nil {
			return err
		}
	}
	return nil
}

// peakTask is a Task with all that its account needs.
type peakTask struct {
	Task
	SKU         string `json:"sku"`
	Reallocated int    `json:"reallocated_quantity"`
	Unallocated int    `json:"unallocated_quantity"`
	Counted     *int   `json:"counted_quantity"`
}

// answer lets the stores do what is due by now: three of four are reliable.
func (w *peakWorld) answer(ctx context.Context, campaign string) error {
	var due []peakTask
	for t, err := range all[peakTask](ctx, w.c, "/v1/prestock-tasks", url.Values{"status": {"prompted,acknowledged,partially_acknowledged"}}) {
		if err != nil {
			return err
		}
		if len(t.Prompts) > 0 {
			due = append(due, t)
		}
	}
	for _, t := range due {
		if err := w.answerOne(ctx, t, campaign); err != nil {
			return err
		}
	}
	return nil
}

func (w *peakWorld) answerOne(ctx context.Context, t peakTask, campaign string) error {
	store := dice{w.external[t.StoreID], 0}
	d := dice{w.external[t.StoreID] + t.SKU + campaign, 0}
	answers, keeps := 0.97, 0.97
	if store.chance("is unreliable", 0.25) {
		answers, keeps = 0.7, 0.6
	}
	path := "/v1/prestock-tasks/" + t.ID
	switch {
	case t.Status == "prompted" && d.chance("answers", answers):
		units := t.Asked - t.Reallocated
		if d.chance("has less room", 0.1) {
			units /= 2
		}
		return w.c.Post(ctx, path+"/acknowledge", map[string]int{"committed_quantity": units})
	case t.Status != "prompted" && d.chance("keeps its word", keeps) && !w.now.Add(2*time.Hour).Before(t.StockDeadline):
		return w.c.Post(ctx, path+"/stocked", map[string]int{"counted_quantity": t.Committed})
	}
	return nil
}

// account adds the campaign up and holds it against the shelves.
func (w *peakWorld) account(ctx context.Context, r *PeakResult) error {
	counted := map[[2]string]int{}
	for t, err := range all[peakTask](ctx, w.c, "/v1/prestock-tasks", url.Values{"campaign_id": {w.peak}}) {
		if err != nil {
			return err
		}
		r.Tasks++
		if len(t.Prompts) > 0 {
			r.Prompted++
		}
		r.Asked, r.Committed, r.Reallocated, r.Unallocated = r.Asked+t.Asked, r.Committed+t.Committed, r.Reallocated+t.Reallocated, r.Unallocated+t.Unallocated
		if t.Counted != nil {
			r.Counted += *t.Counted
			counted[[2]string{t.StoreID, t.SKU}] += *t.Counted
		}
		if t.Asked != t.Committed+t.Reallocated+t.Unallocated {
			r.wrong("task %s: %d asked, %d committed, %d reallocated, %d unallocated", t.ID, t.Asked, t.Committed, t.Reallocated, t.Unallocated)
		}
	}
	for i, store := range w.stores {
		id, units := w.ids[store.ExternalID], 0
		shelf, err := w.c.Stock(ctx, id)
		if err != nil {
			return err
		}
		for _, l := range shelf {
			units += l.OnHand
			r.Stock += l.OnHand - w.usual[i][slices.Index(w.skus, l.SKU)]
			if extra := l.OnHand - w.usual[i][slices.Index(w.skus, l.SKU)]; extra != counted[[2]string{id, l.SKU}] {
				r.wrong("store %s has %d of %s beside the usual ones, counted were %d", store.ExternalID, extra, l.SKU, counted[[2]string{id, l.SKU}])
			}
		}
		if units > store.ShelfUnits {
			r.wrong("store %s has %d units on a shelf for %d", store.ExternalID, units, store.ShelfUnits)
		}
	}
	return nil
}

func (r *PeakResult) wrong(format string, args ...any) {
	r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
}

// serve lives the day: who is not served when it ends was not served.
func (w *peakWorld) serve(ctx context.Context, r *PeakResult) error {
	next := w.Starts
	for _, o := range w.orders {
		for ; !o.at.Before(next); next = next.Add(time.Hour) {
			if err := w.pass(ctx, next); err != nil {
				return err
			}
		}
		if _, err := w.c.CreateOrder(ctx, o.OrderInput); err != nil {
			return err
		}
	}
	if err := w.pass(ctx, w.Starts.Add(24*time.Hour)); err != nil {
		return err
	}
	for o, err := range w.c.Orders(ctx) {
		if err != nil {
			return err
		}
		r.Orders++
		if o.Store == nil {
			r.Unserved++
		}
	}
	if r.Orders != len(w.orders) {
		r.wrong("%d orders were sent, %d are there", len(w.orders), r.Orders)
	}
	return nil
}

// String is the result in a line.
func (r PeakResult) String() string {
	line := fmt.Sprintf("%d of %d orders unserved, %d units of stock", r.Unserved, r.Orders, r.Stock)
	if r.Tasks > 0 {
		line += fmt.Sprintf("; %d tasks, %d prompted, asked %d, committed %d, reallocated %d, unallocated %d, counted %d",
			r.Tasks, r.Prompted, r.Asked, r.Committed, r.Reallocated, r.Unallocated, r.Counted)
	}
	return line
}
