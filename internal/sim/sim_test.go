package sim

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"doorstep/geo"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

func TestTheSameSeedMakesTheSameCity(t *testing.T) {
	if diff := gocmp.Diff(NewCity(7), NewCity(7)); diff != "" {
		t.Error(diff)
	}
	if gocmp.Equal(NewCity(7).Stores, NewCity(8).Stores) {
		t.Error("another seed made the same stores")
	}
	a, b := NewCity(7).Shopper(3), NewCity(7).Shopper(3)
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for range 500 {
		if diff := gocmp.Diff(a.Next("x-", now), b.Next("x-", now)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestStoresOfTheCityAreWhatThePartnerPackageTakes(t *testing.T) {
	names := map[string]bool{}
	for _, s := range NewCity(1).Stores {
		in := partner.Input{ExternalID: &s.ExternalID, Name: &s.Name, Lat: &s.Location.Lat, Lng: &s.Location.Lng, Phone: &s.Phone,
			TimeZone: &s.TimeZone, OpeningHours: &s.OpeningHours, ServiceRadiusM: &s.ServiceRadiusM, SlotMinutes: &s.Capacity.SlotMinutes,
			OrdersPerSlot: &s.Capacity.OrdersPerSlot, ShelfUnits: &s.ShelfUnits, OfferTimeoutS: &s.OfferTimeoutS, Country: &s.Address.Country}
		if _, err := partner.Decide(in, partner.StandardDefaults()); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if names[s.ExternalID] || names[s.Name] {
			t.Errorf("%s %q: a second one of that name", s.ExternalID, s.Name)
		}
		names[s.ExternalID], names[s.Name] = true, true
		units := 0
		for _, c := range s.Shelf {
			units += c.OnHand
		}
		if s.ShelfUnits-units != spareShelf {
			t.Errorf("%s: room for %d more units, not %d", s.Name, s.ShelfUnits-units, spareShelf)
		}
	}
}

// At every hour of a week with a public holiday, every order has a store: a demo lives at night too.
func TestNobodyGoesWithoutAStoreAtAnyHour(t *testing.T) {
	city := NewCity(1)
	zone, err := partner.NewZone(city.TimeZone, city.Country)
	if err != nil {
		t.Fatal(err)
	}
	hours := make([]partner.Hours, len(city.Stores))
	for i, s := range city.Stores {
		if hours[i], err = partner.ParseHours(s.OpeningHours); err != nil {
			t.Fatal(err)
		}
	}
	shopper := city.Shopper(1)
	monday := time.Date(2026, 12, 7, 0, 0, 0, 0, zone.Location()) // Jamhuri Day is on Saturday
	for h := range 7 * 24 {
		at := monday.Add(time.Duration(h) * time.Hour)
		for range 20 {
			o := shopper.Next("x-", at)
			if o.Window != nil {
				continue // begins at another hour
			}
			served := false
			for i, s := range city.Stores {
				near := geo.DistanceM(s.Location.point(), o.Dropoff.Location.point()) <= float64(min(s.ServiceRadiusM, cmp.Or(o.RadiusM, 100_000)))
				served = served || near && hours[i].OpenAt(at, zone) && sells(s, o.Items)
			}
			if !served {
				t.Errorf("%s: nobody for %+v at %v", at, o.Items, o.Dropoff.Location)
			}
		}
	}
}

func sells(s CityStore, items []Item) bool {
	for _, it := range items {
		if !slices.ContainsFunc(s.Shelf, func(c Count) bool { return c.SKU == it.SKU && c.OnHand >= it.Quantity }) {
			return false
		}
	}
	return true
}

func TestNobodysPhoneRings(t *testing.T) {
	// The numbers that Ofcom keeps for drama: https://www.ofcom.org.uk, "telephone numbers for use in TV and radio drama".
	drama := regexp.MustCompile(`^\+44(7700900|1632960)\d{3}$`)
	city := NewCity(1)
	for _, s := range city.Stores {
		if !drama.MatchString(s.Phone) {
			t.Errorf("store %s may be somebody's: %s", s.Name, s.Phone)
		}
	}
	shopper := city.Shopper(1)
	for range 3000 {
		if o := shopper.Next("x-", time.Unix(0, 0)); !drama.MatchString(o.Recipient.Phone) {
			t.Fatalf("%s may be somebody's: %s", o.Recipient.Name, o.Recipient.Phone)
		}
	}
}

func TestOrdersOfTheCityAreWhatTheOrderPackageTakes(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	shopper := NewCity(1).Shopper(1)
	modes, seen := map[string]int{}, map[string]bool{}
	for range 2000 {
		o := shopper.Next("x-", now)
		d := order.Draft{ExternalID: o.ExternalID, Recipient: order.Recipient(o.Recipient), Dropoff: o.Dropoff.Location.point(), Mode: o.Dropoff.Mode,
			PINRequired: o.Dropoff.PINRequired, Instructions: o.Dropoff.Instructions, Undeliver: o.Undeliver, MinimumGrade: o.MinimumGrade,
			Tags: o.Tags, RadiusM: o.RadiusM}
		for _, it := range o.Items {
			d.Items = append(d.Items, order.Item(it))
		}
		if o.Window != nil {
			d.Window = &order.Span{From: o.Window.Earliest, To: o.Window.Latest}
		}
		if err := d.Normal().Check(now, false); err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		if seen[o.ExternalID] {
			t.Fatalf("%s twice", o.ExternalID)
		}
		seen[o.ExternalID] = true
		modes[o.Dropoff.Mode]++
	}
	for _, m := range []string{"leave_at_door", "hand_over", "collect_at_store"} {
		if modes[m] < 50 {
			t.Errorf("only %d of 2000 orders are %s", modes[m], m)
		}
	}
}

func TestAnEndlessCityTurnsNobodyAway(t *testing.T) {
	city := NewCity(1)
	for _, s := range city.Endless().Stores {
		if s.OpeningHours != "24/7" || !s.AutoAccept || s.Capacity.OrdersPerSlot < 100_000 {
			t.Fatalf("%s is not endless: %+v", s.Name, s.StoreInput)
		}
	}
	if gocmp.Equal(city.Stores, city.Endless().Stores) || city.Stores[1].OpeningHours == "24/7" {
		t.Error("the city it was made from has changed")
	}
}

func TestTheFairPromptsWithinMinutes(t *testing.T) {
	for _, now := range []time.Time{
		time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC),
		time.Date(2026, 11, 21, 10, 59, 59, 0, time.UTC),
	} {
		fair := NewCity(1).fair(now)
		first := fair.StartsAt.Add(-time.Duration(fair.LeadsS[0]) * time.Second)
		if wait := first.Sub(now); wait <= 0 || wait > 2*time.Minute {
			t.Errorf("at %s the first prompt is %s away", now, wait)
		}
		if !slices.IsSortedFunc(fair.LeadsS, func(a, b int) int { return b - a }) {
			t.Errorf("leads %v: the longest comes first", fair.LeadsS)
		}
		if !fair.EndsAt.After(fair.StartsAt) {
			t.Errorf("it ends at %s and starts at %s", fair.EndsAt, fair.StartsAt)
		}
	}
}

// A robot's order goes from offer to an end by allowed moves alone, whatever the chances of its id.
func TestEveryOrderComesToAnEnd(t *testing.T) {
	after := map[action]string{accept: "confirmed", cancel: "cancelled", ready: "ready_for_pickup", pickUp: "picked_up", depart: "enroute_to_dropoff",
		arrive: "arrived_at_dropoff", deliver: "delivered", fail: "attempt_failed", receive: "received_at_store", collectO: "collected",
		sendBack: "enroute_to_return", returned: "returned"}
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		o := Order{ID: "ord_" + rapid.StringMatching(`[a-z0-9]{24}`).Draw(t, "id"), Status: "created", UpdatedAt: now,
			Undeliver: rapid.SampledFrom([]string{"redeliver", "hold_at_store", "return"}).Draw(t, "undeliverable")}
		o.Dropoff.Mode = rapid.SampledFrom([]string{"leave_at_door", "hand_over", "collect_at_store"}).Draw(t, "mode")
		for steps := 0; !order.Status(o.Status).Terminal(); steps++ {
			if steps > 20 {
				t.Fatalf("still %s", o.Status)
			}
			if o.Status == "created" { // declined and overlooked offers go to another store
				o.Assignment = &struct {
					ID     string `json:"id"`
					Status string `json:"status"`
				}{fmt.Sprintf("%s-%d", o.ID, steps), "offered"}
			}
			do, due := next(o, 1)
			if o.Status == "created" && (do == decline || do == nothing) {
				continue
			}
			to := after[do]
			if err := order.Status(o.Status).Check(order.Status(to)); err != nil {
				t.Fatalf("%s: %v", do, err)
			}
			if due.Before(o.UpdatedAt) {
				t.Fatalf("%s is due before the last move", do)
			}
			if do == depart {
				o.Attempts++
			}
			o.Status, o.UpdatedAt = to, due
		}
	})
}

func TestWhoIsFasterWaitsLess(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	o := Order{ID: "ord_x", Status: "ready_for_pickup", UpdatedAt: now}
	_, slow := next(o, 1)
	_, fast := next(o, 10)
	if got, want := fast.Sub(now), slow.Sub(now)/10; got-want > time.Microsecond || want-got > time.Microsecond {
		t.Errorf("at speed 10 it waits %s, at speed 1 %s", got, slow.Sub(now))
	}
}

func TestNothingIsPackedLongBeforeItIsWanted(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	o := Order{ID: "ord_1", Status: "confirmed", UpdatedAt: now, Promise: &Period{now.Add(3 * time.Hour), now.Add(4 * time.Hour)}}
	if do, due := next(o, 1); do != ready || due.Before(now.Add(170*time.Minute)) {
		t.Errorf("%s at %s", do, due)
	}
}

func TestStoresAnswerPromptsInTheirWay(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	prompts := []struct {
		At time.Time `json:"at"`
	}{{now.Add(time.Hour)}, {now}}
	did := map[string]int{}
	for i := range 2000 {
		task := Task{ID: fmt.Sprintf("pst_%d", i), Status: "prompted", Asked: 24, Prompts: prompts, StockDeadline: now.Add(15 * time.Minute)}
		do, units, due := answerTask(task, 1)
		if do != nothing && (due.Before(now.Add(time.Minute)) || due.After(now.Add(10*time.Minute))) {
			t.Fatalf("%s at %s, prompted at %s", do, due, now)
		}
		did[fmt.Sprint(do, " ", units)]++
		task.Status, task.Committed = "acknowledged", 24
		do, units, due = answerTask(task, 1)
		if do != "stocked" || units > 24 || !due.Before(task.StockDeadline) {
			t.Fatalf("%s %d units at %s, deadline %s", do, units, due, task.StockDeadline)
		}
	}
	for _, want := range []string{"accept 24", "accept 12", "decline 0", " 0"} {
		if did[want] < 50 {
			t.Errorf("%q only %d times in 2000: %v", want, did[want], did)
		}
	}
	if do, _, _ := answerTask(Task{ID: "pst_1", Status: "planned"}, 1); do != nothing {
		t.Errorf("a task that nobody was told of is answered: %s", do)
	}
}

func TestALowShelfIsFilledAndNeverOverfilled(t *testing.T) {
	want := []Count{{"MILK", 12}, {"RICE", 12}}
	for _, c := range []struct {
		name string
		have []Level
		room int
		gets []Count
	}{
		{"nothing there yet", nil, 100, []Count{{"MILK", 12}, {"RICE", 12}}},
		{"enough", []Level{{"MILK", 12, 3, 9}, {"RICE", 4, 0, 4}}, 100, nil},
		{"low", []Level{{"MILK", 3, 0, 3}, {"RICE", 12, 0, 12}}, 100, []Count{{"MILK", 12}}},
		{"all promised", []Level{{"MILK", 12, 12, 0}, {"RICE", 12, 0, 12}}, 100, []Count{{"MILK", 24}}},
		{"no room", []Level{{"MILK", 3, 0, 3}, {"RICE", 12, 0, 12}}, 20, nil},
		{"room for one", nil, 15, []Count{{"MILK", 12}}},
		{"the fair's goods stay", []Level{{"MILK", 3, 0, 3}, {"RICE", 12, 0, 12}, {"SODA", 80, 0, 80}}, 104, []Count{{"MILK", 12}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := gocmp.Diff(c.gets, refill(want, c.have, c.room)); diff != "" {
				t.Error(diff)
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.Custom(func(t *rapid.T) Level {
			l := Level{SKU: rapid.SampledFrom([]string{"MILK", "RICE", "SODA"}).Draw(t, "sku"), OnHand: rapid.IntRange(0, 40).Draw(t, "on hand")}
			l.Reserved = rapid.IntRange(0, l.OnHand).Draw(t, "reserved")
			l.Available = l.OnHand - l.Reserved
			return l
		})
		have := rapid.SliceOfNDistinct(level, 0, 3, func(l Level) string { return l.SKU }).Draw(t, "have")
		room := rapid.IntRange(0, 120).Draw(t, "room")
		on := map[string]int{}
		for _, l := range have {
			on[l.SKU] = l.OnHand
		}
		before := total(on)
		for _, c := range refill(want, have, room) {
			if c.OnHand <= on[c.SKU] {
				t.Fatalf("%s is counted down from %d to %d", c.SKU, on[c.SKU], c.OnHand)
			}
			on[c.SKU] = c.OnHand
		}
		if total(on) > max(room, before) {
			t.Fatalf("%d units on a shelf for %d", total(on), room)
		}
	})
}

func total(on map[string]int) int {
	n := 0
	for _, x := range on {
		n += x
	}
	return n
}

func TestDiceAreFairAndRemember(t *testing.T) {
	var sum float64
	var below int
	const n = 20_000
	for i := range n {
		d := dice{fmt.Sprintf("ord_%024d", i), 1}
		x := d.roll("question")
		if x < 0 || x >= 1 || x != d.roll("question") {
			t.Fatalf("%v, then %v", x, d.roll("question"))
		}
		if x == d.roll("other question") || x == (dice{d.subject, 2}).roll("question") {
			t.Fatalf("%v to another question too", x)
		}
		sum += x
		if x < 0.05 {
			below++
		}
	}
	if mean := sum / n; mean < 0.49 || mean > 0.51 {
		t.Errorf("mean %v", mean)
	}
	if below < n*4/100 || below > n*6/100 {
		t.Errorf("%d of %d below 0.05", below, n)
	}
}

func TestTheStoryAtTheDoorCanBeToldTwice(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for mode, want := range map[string][]string{
		"leave_at_door": {"arrived", "placed", "signalled", "stepped_away", "completed"},
		"hand_over":     {"arrived", "handed_over", "completed"},
	} {
		o := Order{ID: "ord_0123456789abcdefghjkmnpq", Attempts: 2, Dropoff: Dropoff{Mode: mode, Location: Location{Lat: -1.3, Lng: 36.8}}}
		events := append([]DoorEvent{arrival(o, now.Add(-time.Minute))}, handOver(o, "hash", "1234", now)...)
		var kinds []string
		for i, e := range events {
			kinds = append(kinds, e.Type)
			if e.OccurredAt.After(now) || (i > 0 && !e.OccurredAt.After(events[i-1].OccurredAt)) {
				t.Errorf("%s: %s happened at %s", mode, e.Type, e.OccurredAt)
			}
			if len(e.ID) > 64 || e.Attempt != 2 {
				t.Errorf("%s: %+v", mode, e)
			}
		}
		if diff := gocmp.Diff(want, kinds); diff != "" {
			t.Error(diff)
		}
		if metres := geo.DistanceM(events[0].Location.point(), o.Dropoff.Location.point()); metres > 15 {
			t.Errorf("the runner stands %.0f m away", metres)
		}
		for i, e := range handOver(o, "hash", "1234", now.Add(time.Hour)) {
			if e.ID != events[i+1].ID {
				t.Errorf("told again, %s is another event: %s", events[i+1].ID, e.ID)
			}
		}
	}
}

func TestPhotosArePhotosAndSmall(t *testing.T) {
	const drawn = 100
	seen := map[string]bool{}
	for n := range uint64(drawn) {
		p := doorPhoto(n)
		if _, err := jpeg.Decode(bytes.NewReader(p)); err != nil {
			t.Fatal(err)
		}
		if len(p) > 5000 {
			t.Errorf("photo %d has %d bytes", n, len(p))
		}
		if !bytes.Equal(p, doorPhoto(n)) {
			t.Errorf("photo %d is another each time", n)
		}
		seen[string(p)] = true
	}
	if len(seen) != drawn {
		t.Errorf("%d different photos of %d", len(seen), drawn)
	}
}

func TestPatienceGrowsAndForgets(t *testing.T) {
	var p patience
	now := time.Unix(1000, 0)
	if !p.willing("a", now) {
		t.Fatal("impatient before anything happened")
	}
	p.failed("a", now)
	if p.willing("a", now.Add(time.Second)) || !p.willing("a", now.Add(2*time.Second)) {
		t.Error("after one failure it waits 2 seconds")
	}
	for range 20 {
		p.failed("a", now)
	}
	if p.willing("a", now.Add(4*time.Minute)) || !p.willing("a", now.Add(5*time.Minute)) {
		t.Error("it waits 5 minutes at most")
	}
	p.keep(map[string]bool{"b": true})
	if !p.willing("a", now) {
		t.Error("what is over is forgotten")
	}
}

// flaky answers the given statuses one after the other, then 200 for ever.
func flaky(t *testing.T, statuses ...int) (url string, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		if n <= len(statuses) && statuses[n-1] >= 300 {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(statuses[n-1])
			fmt.Fprint(w, `{"code":"not-now","detail":"later","errors":[{"pointer":"/x","code":"wrong","detail":"is wrong"}]}`)
			return
		}
		fmt.Fprint(w, `{"id":"ord_1","status":"confirmed"}`)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func TestOnlyWhatMayPassIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name     string
		statuses []int
		tries    int
		asked    int64
		status   int // of the last problem; 0: it succeeds
	}{
		{"at once", nil, 5, 1, 0},
		{"after an outage", []int{503, 429}, 5, 3, 0},
		{"too long an outage", []int{503, 503, 503}, 2, 2, 503},
		{"a refusal stays", []int{422}, 5, 1, 422},
		{"a conflict stays", []int{409}, 5, 1, 409},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, asked := flaky(t, c.statuses...)
			client := NewClient(url, "key")
			err := Retry(t.Context(), c.tries, func() error {
				_, err := client.CreateOrder(t.Context(), OrderInput{})
				return err
			})
			if asked.Load() != c.asked {
				t.Errorf("asked %d times, not %d", asked.Load(), c.asked)
			}
			var p *Problem
			switch {
			case c.status == 0 && err != nil:
				t.Error(err)
			case c.status != 0 && (!errors.As(err, &p) || p.Status != c.status || !strings.Contains(err.Error(), "[/x wrong: is wrong]")):
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("not when nobody waits any more", func(t *testing.T) {
		url, asked := flaky(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := Retry(ctx, 0, func() error { return NewClient(url, "").Act(ctx, "ord_1", "ready", nil) })
		if !errors.Is(err, context.Canceled) || asked.Load() != 0 {
			t.Errorf("%v after asking %d times", err, asked.Load())
		}
	})
}

func TestListsAreWalkedToTheEnd(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("cursor") {
		case "":
			fmt.Fprint(w, `{"data":[{"id":"str_1"},{"id":"str_2"}],"next_cursor":"c","has_more":true}`)
		case "c":
			fmt.Fprint(w, `{"data":[{"id":"str_3"}],"next_cursor":null,"has_more":false}`)
		}
	}))
	defer s.Close()
	var ids []string
	for store, err := range NewClient(s.URL, "key").Stores(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, store.ID)
	}
	if diff := gocmp.Diff([]string{"str_1", "str_2", "str_3"}, ids); diff != "" {
		t.Error(diff)
	}
}

func TestLoadKeepsItsBounds(t *testing.T) {
	url, asked := flaky(t, 200, 422, 200, 409)
	var answered, refused atomic.Int64
	r := Load(t.Context(), LoadOptions{BaseURL: url, Conns: 4, Count: 50, Answered: func(OrderInput, Order) { answered.Add(1) },
		Refused: func(OrderInput, error) { refused.Add(1) }})
	if r.Orders != 48 || r.Errors != 2 || asked.Load() != 50 || answered.Load() != 48 || refused.Load() != 2 {
		t.Errorf("%+v, asked %d, told of %d and %d", r, asked.Load(), answered.Load(), refused.Load())
	}
	if r.P50 <= 0 || r.P99 < r.P50 || r.PerSecond() <= 0 {
		t.Errorf("%+v", r)
	}
	if r := Load(t.Context(), LoadOptions{BaseURL: url, Conns: 2, Duration: 50 * time.Millisecond}); r.Orders == 0 || r.Errors != 0 {
		t.Errorf("bounded by time: %+v", r)
	}
	if r := Load(t.Context(), LoadOptions{BaseURL: url}); r != (LoadResult{}) {
		t.Errorf("without a bound nothing is sent: %+v", r)
	}
}

func TestSendersOfALoadSendDifferentOrders(t *testing.T) {
	body := parcels(NewCity(1), "t-")
	a, b := body(0), body(1)
	ids := map[string]bool{}
	for range 100 {
		ids[a().ExternalID], ids[b().ExternalID] = true, true
	}
	if len(ids) != 200 {
		t.Errorf("%d different ids of 200 orders", len(ids))
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		sorted []int
		q      float64
		want   int
	}{
		{nil, 0.5, 0},
		{[]int{7}, 0.99, 7},
		{[]int{1, 2, 3, 4}, 0.5, 2},
		{[]int{1, 2, 3, 4}, 0, 1},
		{[]int{1, 2, 3, 4}, 1, 4},
		{[]int{1, 2, 3, 4}, 0.76, 4},
	} {
		if got := quantile(c.sorted, c.q); got != c.want {
			t.Errorf("%v of %v is %d, not %d", c.q, c.sorted, got, c.want)
		}
	}
}

// ---- the oracle

func nairobi(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Africa/Nairobi")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestTheOracleLooksAtEverything(t *testing.T) {
	zone := nairobi(t)
	noon := time.Date(2026, 12, 22, 12, 30, 0, 0, zone) // a Tuesday
	shop := func(id string, lat float64, with func(*place)) *place {
		p := &place{id: id, external: id, lat: lat, lng: 36.8, zone: zone, hours: hours{from: 480, to: 1200}, radiusM: 3000, slotMinutes: 60,
			perSlot: 1, used: map[int64]int{}, stock: map[string]int{"MILK": 2}}
		if with != nil {
			with(p)
		}
		return p
	}
	here := wish{lat: -1.3, lng: 36.8, begin: noon}
	near, far := shop("near", -1.301, nil), shop("far", -1.31, nil)
	for _, c := range []struct {
		name   string
		places []*place
		wish   wish
		right  string
	}{
		{"the nearest", []*place{far, near}, here, "near"},
		{"not a full one", []*place{far, shop("full", -1.301, func(p *place) { p.take(here) })}, here, "far"},
		{"full at another hour is not full", []*place{far, shop("busy", -1.301, func(p *place) { p.take(wish{begin: noon.Add(time.Hour)}) })}, here, "busy"},
		{"not a closed one", []*place{far, shop("closed", -1.301, func(p *place) { p.hours.to = 750 })}, here, "far"},
		{"not one without the goods", []*place{far, shop("empty", -1.301, func(p *place) { p.stock["MILK"] = 0 })},
			wish{lat: -1.3, lng: 36.8, begin: noon, items: []Item{{"MILK", 2}}}, "far"},
		{"not one beyond its radius", []*place{far, shop("lazy", -1.301, func(p *place) { p.radiusM = 100 })}, here, "far"},
		{"not beyond the merchant's radius", []*place{far}, wish{lat: -1.3, lng: 36.8, begin: noon, radiusM: 500}, ""},
		{"on Sunday not who rests", []*place{far, shop("rests", -1.301, func(p *place) { p.hours.noSunday = true })},
			wish{lat: -1.3, lng: 36.8, begin: noon.AddDate(0, 0, 5)}, "far"},
		{"nobody", nil, here, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOracle(c.places)
			if _, objection := o.objection(c.wish, c.right); objection != "" {
				t.Errorf("%q: %s", c.right, objection)
			}
			wrong := []string{"", "stranger"}
			for _, p := range c.places {
				wrong = append(wrong, p.id)
			}
			for _, id := range wrong {
				if _, objection := o.objection(c.wish, id); id != c.right && objection == "" {
					t.Errorf("%q passes for %q", id, c.right)
				}
			}
		})
	}
	t.Run("one of two at the same point", func(t *testing.T) {
		o := newOracle([]*place{near, shop("twin", -1.301, nil)})
		for _, id := range []string{"near", "twin"} {
			if _, objection := o.objection(here, id); objection != "" {
				t.Error(objection)
			}
		}
	})
}

func TestTheOracleMeasuresAsTheProductDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		point := rapid.Custom(func(t *rapid.T) geo.Point {
			return geo.Point{Lat: rapid.Float64Range(-60, 60).Draw(t, "lat"), Lng: rapid.Float64Range(-179, 179).Draw(t, "lng")}
		})
		a := point.Draw(t, "a")
		b := geo.Point{Lat: a.Lat + rapid.Float64Range(-1, 1).Draw(t, "north"), Lng: a.Lng + rapid.Float64Range(-1, 1).Draw(t, "east")}
		if mine, product := haversine(a.Lat, a.Lng, b.Lat, b.Lng), geo.DistanceM(a, b); mine-product > 1e-3 || product-mine > 1e-3 {
			t.Fatalf("%v m and %v m", mine, product)
		}
	})
}

func TestTheOracleKeepsTheSameClock(t *testing.T) {
	for _, name := range []string{"Africa/Nairobi", "America/New_York"} {
		zone, err := partner.NewZone(name, "")
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			h := hours{from: rapid.IntRange(0, 1400).Draw(t, "from"), noSunday: rapid.Bool().Draw(t, "no Sunday")}
			h.to = rapid.IntRange(h.from+1, 1440).Draw(t, "to")
			product, err := partner.ParseHours(h.text())
			if err != nil {
				t.Fatal(err)
			}
			at := time.Unix(rapid.Int64Range(1_790_000_000, 1_830_000_000).Draw(t, "at"), 0)
			if mine := h.open(at.In(zone.Location())); mine != product.OpenAt(at, zone) {
				t.Fatalf("%s at %s: %v", h.text(), at.In(zone.Location()), mine)
			}
			p := place{zone: zone.Location(), slotMinutes: rapid.SampledFrom([]int{15, 30, 60}).Draw(t, "slot")}
			if hour := at.In(zone.Location()).Hour(); hour < 4 {
				return // the clock may be changed then, which no replay does
			}
			if want := partner.SlotStart(at, p.slotMinutes, zone.Location()).Unix(); p.slot(at) != want {
				t.Fatalf("the slot of %s begins at %d, not %d", at, p.slot(at), want)
			}
		})
	}
}

// ---- recorded data

func TestRecordsAreReadAsTheyStand(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(nairobiOrders, "order_id,day_of_month,placed_s,drop_lat,drop_lng\nA,1,25682,-1.3,36.7\nB,20,10,-1.2,36.8\n")
	write(newYorkStores, "store_id,name,city,zip,address,lat,lng\n1,\"JOE'S, DELI\",ARKPORT,14807,26 MAIN ST,42.39369,-77.69553\n")
	write(nairobiStores, "store_id,lat,lng,first_pickup_s,last_pickup_s\nNBO001,-1.25519,36.782203,28189,74287\n")

	records, err := readOrders(folder, 0)
	if want := []record{{"A", 1, 25682, -1.3, 36.7}, {"B", 20, 10, -1.2, 36.8}}; err != nil || !slices.Equal(records, want) {
		t.Errorf("%+v, %v", records, err)
	}
	base := time.Date(2026, 12, 21, 0, 0, 0, 0, nairobi(t))
	if got, want := records[1].wish(1, base).begin, time.Date(2027, 1, 9, 0, 0, 10, 0, nairobi(t)); !got.Equal(want) {
		t.Errorf("day 20 begins at %s, not %s", got, want)
	}
	if records, err := readOrders(folder, 1); err != nil || len(records) != 1 {
		t.Errorf("limited to one: %v, %v", records, err)
	}

	places, file, err := readNewYork(folder)
	if err != nil || len(places) != 1 || !strings.Contains(string(file), `ny-1,"JOE'S, DELI",42.39369,-77.69553,26 MAIN ST,ARKPORT,NY,14807,US,America/New_York,24/7,`) {
		t.Errorf("%s, %v", file, err)
	}
	shops, err := readNairobi(folder)
	if err != nil || len(shops) != 1 || shops[0].hours.text() != "Mo-Su 07:49-20:39" {
		t.Errorf("%+v, %v", shops, err)
	}

	write(nairobiOrders, "order_id,day_of_month,placed_s,drop_lat\nA,1,soon,-1.3\n")
	if _, err := readOrders(folder, 0); err == nil || !strings.Contains(err.Error(), "row 1") || !strings.Contains(err.Error(), `"soon"`) || !strings.Contains(err.Error(), `no column "drop_lng"`) {
		t.Errorf("a broken file: %v", err)
	}
}

func TestAReplaySendsWhatTheContractTakes(t *testing.T) {
	base := time.Date(2026, 12, 21, 0, 0, 0, 0, nairobi(t))
	goods, near, photos := 0, 0, 0
	for n := range 300 {
		w := record{id: "A", day: 3, placed: 36_000, lat: -1.3, lng: 36.8}.wish(n, base)
		in := w.order(n, "A")
		if len(in.Items) > 0 {
			goods++
		}
		if in.RadiusM > 0 {
			near++
		}
		if in.MinimumGrade == "B" {
			photos++
		}
		text, err := json.Marshal(in)
		if err != nil || !bytes.Contains(text, []byte(`"window":{"earliest":"2026-12-23T07:00:00Z","latest":"2026-12-23T09:00:00Z"}`)) {
			t.Fatalf("%s, %v", text, err)
		}
	}
	if goods != 100 || near != 75 || photos != 60 {
		t.Errorf("of 300 orders %d want goods, %d may not go far, %d are photographed", goods, near, photos)
	}
}

func TestAReportSaysWhatMustNotBe(t *testing.T) {
	good := Report{Stores: 3, Orders: 10, Served: 9, Unassignable: 1, Compared: 10, Equal: 10, Dropoffs: 9, Delivered: 9, Quotes: 2, QuotesEqual: 2, Seconds: 2}
	if err := good.Err(); err != nil {
		t.Error(err)
	}
	if text := good.String(); !strings.Contains(text, "10 of 10 (100.00 %)") || !strings.Contains(text, "5 orders/s") {
		t.Error(text)
	}
	for what, spoil := range map[string]func(*Report){
		"another store":  func(r *Report) { r.Equal-- },
		"quotes":         func(r *Report) { r.QuotesEqual-- },
		"slots":          func(r *Report) { r.CapacityOverruns++ },
		"shelves":        func(r *Report) { r.StockOverruns++ },
		"drop-offs":      func(r *Report) { r.Delivered-- },
		"order A: oddly": func(r *Report) { r.Equal--; r.Disagreements = []string{"order A: oddly"} },
	} {
		bad := good
		spoil(&bad)
		if err := bad.Err(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
