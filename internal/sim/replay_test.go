package sim_test

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/care"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/dropoff"
	"doorstep/internal/event"
	"doorstep/internal/job"
	"doorstep/internal/match"
	"doorstep/internal/order"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"
	"doorstep/internal/server"
	"doorstep/internal/sim"
)

// serve runs a whole server on a real database, with its jobs, and returns its address and an admin
// key.
func serve(t *testing.T, e db.Engine) (url, admin string) {
	t.Helper()
	ctx := t.Context()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	d := dbtest.Open(t, e, db.Options{})
	stores := partner.NewBook(d, partner.StandardDefaults())
	placing, err := match.NewBook(ctx, d, stores, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	plans, events, keys := prestock.NewBook(d, stores), event.NewLog(d), auth.NewBook(d)
	jobs := job.New(d, log, append(prestock.Jobs(plans),
		job.Job{Name: "offers", Schedule: job.Every(time.Second), Run: func(ctx context.Context, _ *job.Slot) error {
			_, err := placing.ExpireDue(ctx)
			return err
		}},
		job.Job{Name: "retry-unassignable", Schedule: job.Every(time.Minute), Run: func(ctx context.Context, _ *job.Slot) error {
			_, err := placing.RetryUnassignable(ctx)
			return err
		}})...)
	s := server.New(server.Parts{DB: d, Keys: keys, Stores: stores, Orders: order.NewBook(d), Match: placing, Dropoff: dropoff.NewBook(d), Care: care.NewBook(d),
		Prestock: plans, Events: events, Jobs: jobs, Log: log}, server.Options{})
	ts := httptest.NewUnstartedServer(s.Handler())
	ts.Config = s.HTTP()
	ts.Start()
	s.Ready()
	jobs.Start(ctx)
	t.Cleanup(func() {
		s.Drain()
		ts.Close()
		if err := jobs.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		events.Close()
	})
	admin, _, err = keys.Create(ctx, auth.NewKey{Role: auth.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	return ts.URL, admin
}

func onEachEngine(t *testing.T, f func(t *testing.T, url, admin string)) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(e), func(t *testing.T) {
			url, admin := serve(t, e)
			f(t, url, admin)
		})
	}
}

// recorded is the folder of the recorded stores and orders, which is not part of the repository.
func recorded(t *testing.T) string {
	t.Helper()
	folder := filepath.Join("..", "..", "..", "shared", "data")
	if _, err := os.Stat(filepath.Join(folder, "orders_nairobi_sendy.csv")); err != nil {
		t.Skipf("NO RECORDED ORDERS: the replay of real orders did not run: %v", err)
	}
	return folder
}

// In CI all orders are compared, and every tenth is carried to the door; `make replay` carries them all.
func TestRecordedOrdersGoWhereBruteForceSendsThem(t *testing.T) {
	folder := recorded(t)
	onEachEngine(t, func(t *testing.T, url, admin string) {
		cfg := sim.ReplayConfig{BaseURL: url, AdminKey: admin, Data: folder, DropoffEvery: 10, Quotes: 500}
		switch {
		case strings.HasSuffix(t.Name(), string(db.Postgres)):
			cfg.Orders = 1500 // the choice is made in memory, the same for both; what differs is the claim
		case os.Getenv("CI") != "true":
			cfg.Orders = 3000 // CI and make replay send all of them, which takes minutes
		}
		report, err := sim.Replay(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Log("\n" + report.String())
		if err := report.Err(); err != nil {
			t.Error(err)
		}
		if report.Compared < 1500 || report.Delivered == 0 || report.Unassignable == 0 {
			t.Errorf("a replay that proves nothing: %+v", report)
		}
	})
}

// hurry is a city in which a minute passes in a tenth of a second.
func hurry(t *testing.T, url, admin string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	// A warning is something that the city could not get done in several tries.
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.MessageKey {
			t.Fail()
		}
		return a
	}}))
	go func() {
		ended <- sim.Run(ctx, sim.Options{BaseURL: url, AdminKey: admin, OrdersPerMinute: 500, Speed: 600, Log: log})
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// until asks again and again; a city that does not get there in three minutes never will.
func until(t *testing.T, what string, there func() (bool, error)) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var ok bool
		if ok, err = there(); ok && err == nil {
			return
		}
	}
	t.Fatalf("never: %s (%v)", what, err)
}

func count[T any](seq iter.Seq2[T, error], fits func(T) bool) (n int, err error) {
	for x, err := range seq {
		if err != nil {
			return 0, err
		}
		if fits(x) {
			n++
		}
	}
	return n, nil
}

// The demo: orders come, find stores, reach doors; stores answer prompts; a restart leaves nothing
// lying about.
func TestTheCityLives(t *testing.T) {
	onEachEngine(t, func(t *testing.T, url, admin string) {
		ctx := t.Context()
		c := sim.NewClient(url, admin)
		stop := hurry(t, url, admin)
		defer func() { stop() }()

		for _, status := range []string{"delivered", "collected"} {
			until(t, "an order is "+status, func() (bool, error) {
				n, err := count(c.Orders(ctx, status), func(sim.Order) bool { return true })
				return n > 0, err
			})
		}
		until(t, "an order is delivered at the second attempt", func() (bool, error) {
			n, err := count(c.Orders(ctx, "delivered"), func(o sim.Order) bool { return o.Attempts > 1 })
			return n > 0, err
		})
		until(t, "a fair is to come, with its plan approved", func() (bool, error) {
			n, err := count(c.Campaigns(ctx), func(k sim.Campaign) bool { return k.Status == "approved" })
			return n == 1, err
		})

		askForPeak(t, c)
		for _, status := range []string{"declined", "partially_acknowledged", "stocked", "shortfall"} {
			until(t, "a pre-stock task is "+status, func() (bool, error) {
				n, err := count(c.Tasks(ctx, status), func(sim.Task) bool { return true })
				return n > 0, err
			})
		}

		stop()
		found := map[string]bool{}
		for o, err := range c.Orders(ctx, "confirmed", "ready_for_pickup", "picked_up", "enroute_to_dropoff", "arrived_at_dropoff", "attempt_failed", "received_at_store") {
			if err != nil {
				t.Fatal(err)
			}
			if o.Promise.Earliest.Before(time.Now()) { // who asked for later is served later
				found[o.ID] = true
			}
		}
		if len(found) == 0 {
			t.Fatal("nothing was under way: the restart would prove nothing")
		}
		stop = hurry(t, url, admin)
		until(t, "what was under way before the restart has ended", func() (bool, error) {
			n, err := count(c.Orders(ctx, "delivered", "collected", "returned", "cancelled"), func(o sim.Order) bool { return found[o.ID] })
			return n == len(found), err
		})
	})
}

// askForPeak announces a peak whose stores are prompted at once.
func askForPeak(t *testing.T, c *sim.Client) {
	t.Helper()
	starts := time.Now().Add(2 * time.Hour)
	k, err := c.CreateCampaign(t.Context(), sim.CampaignInput{Name: "Rain", StartsAt: starts, EndsAt: starts.Add(time.Hour), LeadsS: []int{8000, 3600},
		SKUs: []sim.CampaignSKU{{SKU: "TEA-250G", ExpectedUnits: 3000, CasePack: 6, UnitMargin: sim.Money{Amount: 1, Currency: "KES"}, UnitHoldingCost: sim.Money{Amount: 1, Currency: "KES"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/campaigns/" + k.ID + "/plan", "/v1/campaigns/" + k.ID + "/approve", "/v1/jobs/prestock-prompts/run"} {
		if err := c.Post(t.Context(), path, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSeedingAgainChangesNothing(t *testing.T) {
	onEachEngine(t, func(t *testing.T, url, admin string) {
		ctx := t.Context()
		c, city := sim.NewClient(url, admin), sim.NewCity(1)
		first, err := sim.Seed(ctx, c, city)
		if err != nil || len(first) != len(city.Stores) {
			t.Fatalf("%d stores, %v", len(first), err)
		}
		sold := city.Stores[0].ExternalID
		if err := c.PutStock(ctx, first[sold], []sim.Count{{SKU: "MILK-500ML", OnHand: 1}}); err != nil {
			t.Fatal(err)
		}
		again, err := sim.Seed(ctx, c, city)
		if err != nil || !maps.Equal(first, again) {
			t.Errorf("%d stores, then %d, %v", len(first), len(again), err)
		}
		shelf, err := c.Stock(ctx, first[sold])
		if i := slices.IndexFunc(shelf, func(l sim.Level) bool { return l.SKU == "MILK-500ML" }); err != nil || i < 0 || shelf[i].OnHand != 1 {
			t.Errorf("a shelf that was counted is counted over: %+v, %v", shelf, err)
		}
		if n, err := count(c.Campaigns(ctx), func(sim.Campaign) bool { return true }); n != 1 || err != nil {
			t.Errorf("%d fairs, %v", n, err)
		}
	})
}

func TestLoadOnAnEndlessCityIsServed(t *testing.T) {
	onEachEngine(t, func(t *testing.T, url, admin string) {
		ctx := t.Context()
		if _, err := sim.Seed(ctx, sim.NewClient(url, admin), sim.NewCity(1).Endless()); err != nil {
			t.Fatal(err)
		}
		key, err := sim.NewClient(url, admin).CreateKey(ctx, sim.KeyInput{Role: "merchant", Merchant: "Load"})
		if err != nil {
			t.Fatal(err)
		}
		var confirmed atomic.Int64
		r := sim.Load(ctx, sim.LoadOptions{BaseURL: url, Key: key.Secret, Conns: 16, Count: 400, Answered: func(_ sim.OrderInput, o sim.Order) {
			if o.Status == "confirmed" {
				confirmed.Add(1)
			}
		}})
		if r.Orders != 400 || r.Errors != 0 || confirmed.Load() != 400 {
			t.Errorf("%+v, %d confirmed", r, confirmed.Load())
		}
	})
}
