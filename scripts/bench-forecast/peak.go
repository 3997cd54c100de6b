package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/db"
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

// endToEnd scores B6: peak days of made-up cities through the whole server, on a real database over
// its API. Each day is lived twice, once after our prompts and once with just as many units where the
// last campaign sold them, and the orders nobody could serve are compared.
func endToEnd(r *report, seeds []uint64) error {
	size := sim.PeakSize{Stores: 150, SKUs: 8, Days: 56}
	lives := make([]twoLives, len(seeds))
	var wg sync.WaitGroup
	turn := make(chan struct{}, 2) // waiting for the disk, one leaves the other time
	for i, seed := range seeds {
		wg.Go(func() {
			turn <- struct{}{}
			lives[i] = live(sim.NewPeak(seed, size, time.Date(2026, 12, 4, 21, 0, 0, 0, time.UTC))) // midnight in Nairobi
			<-turn
		})
	}
	wg.Wait()
	ours, repeated, worst := 0, 0, 0.0
	for i, l := range lives {
		if l.err != nil {
			return l.err
		}
		ratio := float64(l.prompted.Unserved) / max(1, float64(l.repeated.Unserved))
		ours, repeated, worst = ours+l.prompted.Unserved, repeated+l.repeated.Unserved, max(worst, ratio)
		r.info("B6, city %d: %.3f; after our prompts %v", seeds[i], ratio, l.prompted)
		r.info("B6, city %d: last campaign repeated: %v", seeds[i], l.repeated)
	}
	r.goal("B6", float64(ours)/max(1, float64(repeated)), 0.6, 0.4, fmt.Sprintf("peak day end to end: unserved orders after our prompts / with the last campaign's sales as stock, same total, %d cities of %d stores and %d SKUs; the worst city %.3f",
		len(seeds), size.Stores, size.SKUs, worst))
	return nil
}

// twoLives is one peak day, lived twice.
type twoLives struct {
	prompted, repeated sim.PeakResult
	err                error
}

func live(day *sim.Peak) (l twoLives) {
	l.err = onServer(func(ctx context.Context, s sim.PeakServer) (err error) {
		l.prompted, err = day.Prompted(ctx, s)
		return err
	})
	if l.err != nil {
		return l
	}
	l.err = onServer(func(ctx context.Context, s sim.PeakServer) (err error) {
		l.repeated, err = day.Repeated(ctx, s, l.prompted.Stock)
		return err
	})
	for _, wrong := range append(l.prompted.Wrong, l.repeated.Wrong...) {
		l.err = errors.Join(l.err, errors.New(wrong))
	}
	return l
}

// onServer runs f against a fresh server in this process, whose clock stands still until f moves it.
func onServer(f func(context.Context, sim.PeakServer) error) (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "bench-forecast-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var now atomic.Int64
	now.Store(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC).UnixMilli())
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	d, err := db.Open(ctx, filepath.Join(dir, "doorstep.db"), db.Options{Log: log, Clock: func() time.Time { return time.UnixMilli(now.Load()).UTC() }})
	if err != nil {
		return err
	}
	defer func() {
		if e := d.Close(); err == nil {
			err = e
		}
	}()
	stores := partner.NewBook(d, partner.StandardDefaults())
	placing, err := match.NewBook(ctx, d, stores, log, nil)
	if err != nil {
		return err
	}
	plans, events, keys := prestock.NewBook(d, stores), event.NewLog(d), auth.NewBook(d)
	defer events.Close()
	jobs := job.New(d, log, prestock.Jobs(plans)...)
	s := server.New(server.Parts{DB: d, Keys: keys, Stores: stores, Orders: order.NewBook(d), Match: placing, Dropoff: dropoff.NewBook(d),
		Prestock: plans, Events: events, Jobs: jobs, Log: log}, server.Options{})
	ts := httptest.NewUnstartedServer(s.Handler())
	ts.Config = s.HTTP()
	ts.Start()
	defer ts.Close()
	s.Ready()
	defer s.Drain()
	admin, _, err := keys.Create(ctx, auth.NewKey{Role: auth.RoleAdmin})
	if err != nil {
		return err
	}
	return f(ctx, sim.PeakServer{BaseURL: ts.URL, AdminKey: admin,
		Import: func(ctx context.Context, demand io.Reader) error {
			done, err := plans.ImportDemand(ctx, demand, prestock.DemandOptions{})
			if err == nil && len(done.Errors) > 0 {
				err = fmt.Errorf("the past was not taken over: %+v", done.Errors[0])
			}
			return err
		},
		Pass: func(ctx context.Context, to time.Time) error {
			now.Store(to.UnixMilli())
			return jobs.Tick(ctx)
		}})
}
