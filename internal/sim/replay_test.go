package sim_test

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"doorstep/internal/auth"
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
		job.Job{Name: "retry-unassignable", Schedule: job.Every(time.Second), Run: func(ctx context.Context, _ *job.Slot) error {
			_, err := placing.RetryUnassignable(ctx)
			return err
		}})...)
	s := server.New(server.Parts{DB: d, Keys: keys, Stores: stores, Orders: order.NewBook(d), Match: placing, Dropoff: dropoff.NewBook(d),
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

func TestRecordedOrdersGoWhereBruteForceSendsThem(t *testing.T) {
	folder := recorded(t)
	onEachEngine(t, func(t *testing.T, url, admin string) {
		cfg := sim.ReplayConfig{BaseURL: url, AdminKey: admin, Data: folder, DropoffEvery: 1, Quotes: 500}
		if n := os.Getenv("REPLAYN"); n == "" {
			cfg.Orders = 1500
		}
		report, err := sim.Replay(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Log("\n" + report.String())
		if err := report.Err(); err != nil {
			t.Error(err)
		}
	})
}
