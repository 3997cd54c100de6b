package sim_test

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
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

// peakServer is a whole server on a real database whose clock the story moves.
func peakServer(t *testing.T, e db.Engine) sim.PeakServer {
	t.Helper()
	ctx := t.Context()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	clock := dbtest.NewClock(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))
	d := dbtest.Open(t, e, db.Options{Clock: clock.Now})
	stores := partner.NewBook(d, partner.StandardDefaults())
	placing, err := match.NewBook(ctx, d, stores, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	plans, events, keys := prestock.NewBook(d, stores), event.NewLog(d), auth.NewBook(d)
	jobs := job.New(d, log, prestock.Jobs(plans)...)
	s := server.New(server.Parts{DB: d, Keys: keys, Stores: stores, Orders: order.NewBook(d), Match: placing, Dropoff: dropoff.NewBook(d), Care: care.NewBook(d),
		Prestock: plans, Events: events, Jobs: jobs, Log: log}, server.Options{})
	ts := httptest.NewUnstartedServer(s.Handler())
	ts.Config = s.HTTP()
	ts.Start()
	s.Ready()
	t.Cleanup(func() {
		s.Drain()
		ts.Close()
		events.Close()
	})
	admin, _, err := keys.Create(ctx, auth.NewKey{Role: auth.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	return sim.PeakServer{BaseURL: ts.URL, AdminKey: admin,
		Import: func(ctx context.Context, demand io.Reader) error {
			done, err := plans.ImportDemand(ctx, demand, prestock.DemandOptions{})
			if err == nil && len(done.Errors) > 0 {
				t.Errorf("the past was not taken over: %+v", done.Errors[0])
			}
			return err
		},
		Pass: func(ctx context.Context, to time.Time) error {
			clock.Set(to)
			return jobs.Tick(ctx)
		}}
}

// A peak day, lived twice: with the shelves as the stores were prompted, some of which fail, and with
// just as many units lying where the last campaign sold them.
func TestAPeakDayAfterPromptsLeavesFewerUnserved(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(e), func(t *testing.T) {
			size := sim.SmallPeak
			if e == db.Postgres {
				size = sim.PeakSize{Stores: 40, SKUs: 3} // what differs by engine shows in a village, too
			}
			day := sim.NewPeak(1, size, time.Date(2026, 12, 4, 21, 0, 0, 0, time.UTC)) // midnight in Nairobi, a Saturday
			ours, err := day.Prompted(t.Context(), peakServer(t, e))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("prompted: %v", ours)
			for _, wrong := range ours.Wrong {
				t.Error(wrong)
			}
			if ours.Asked != ours.Committed+ours.Reallocated+ours.Unallocated || ours.Reallocated == 0 || ours.Counted == 0 || ours.Counted != ours.Stock {
				t.Errorf("the account of the campaign: %v", ours)
			}
			if e == db.Postgres {
				return // the other day has nothing that differs by engine
			}
			repeated, err := day.Repeated(t.Context(), peakServer(t, e), ours.Stock)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("repeated: %v", repeated)
			for _, wrong := range repeated.Wrong {
				t.Error(wrong)
			}
			if ours.Stock != repeated.Stock || ours.Orders != repeated.Orders {
				t.Fatalf("the two days cannot be compared: %v; %v", ours, repeated)
			}
			if ours.Unserved >= repeated.Unserved {
				t.Errorf("%d unserved after our prompts, %d after the last campaign repeated", ours.Unserved, repeated.Unserved)
			}
		})
	}
}

func TestTheSameSeedMakesTheSamePeak(t *testing.T) {
	starts := time.Date(2026, 12, 4, 21, 0, 0, 0, time.UTC)
	past := func(seed uint64) string {
		b, err := io.ReadAll(sim.NewPeak(seed, sim.PeakSize{Stores: 5, SKUs: 2, Days: 28}, starts).Demand())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	one, again := past(1), past(1)
	if one != again || one == past(2) {
		t.Error("a seed does not make its own past")
	}
	if lines := strings.Count(one, "\n"); lines != 1+5*2*28 {
		t.Errorf("%d lines", lines)
	}
	if !strings.Contains(one, "\n2026-12-01,") || strings.Contains(one, "\n2026-12-02,") {
		t.Error("the past does not end with the last whole day before the plan")
	}
}
