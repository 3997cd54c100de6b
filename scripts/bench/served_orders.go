package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// fresh is a server on a database of its own with many stores and no orders: what orders that are there
// already cost, P9 tells.
func (b *bench) fresh(settings string) (*network, error) {
	base, err := b.stocked(b.manyStores())
	if err != nil {
		return nil, err
	}
	copied, err := b.copyOf(base)
	if err != nil {
		return nil, err
	}
	return b.serve(copied, settings)
}

// orders measures how many orders a second a server takes, one a request, and the same with a commit for
// each.
func (b *bench) orders() (err error) {
	stores := b.manyStores()
	grouped, err := b.fresh("")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, grouped.close()) }()
	single, err := b.fresh("group_limit = 1\n")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, single.close()) }()

	b.progress("orders, one a request")
	if _, err := grouped.orders(stores, forSeconds(b.seconds(3))...); err != nil {
		return err
	}
	best, err := grouped.orders(stores, forSeconds(b.seconds(10))...)
	if err != nil {
		return err
	}
	half, err := grouped.orders(stores, append(forSeconds(b.seconds(5)), "-rate", strconv.Itoa(int(best.PerSecond/2)))...)
	if err != nil {
		return err
	}
	fsync, err := b.fsync()
	if err != nil {
		return err
	}
	b.report(goal{ID: "P1", Value: best.PerSecond, Floor: 10_000, Goal: 28_000, Unit: "orders/s",
		What: fmt.Sprintf("POST /v1/orders, one a request, 64 connections, %d stores", stores),
		Notes: map[string]float64{"p50_us": best.P50, "p99_us": best.P99, "half_rate_p50_us": half.P50, "half_rate_p99_us": half.P99,
			"server_cpu_us": best.cost(), "load_cpu_us": best.CPU / float64(best.Orders) * 1e6, "fsync_us": fsync}})
	b.info("P1 latency at the rate reached: p50 %.1f ms, p99 %.1f ms; at half of it, from when each order was due: p50 %.1f ms, p99 %.1f ms",
		best.P50/1000, best.P99/1000, half.P50/1000, half.P99/1000)
	b.info("P1 CPU of the server: %.0f us an order; an fsync here takes %.0f us", best.cost(), fsync)

	b.progress("orders, a commit each")
	if _, err := single.orders(stores, forSeconds(1)...); err != nil {
		return err
	}
	var rates [2][]float64
	for range b.size(3, 1) {
		for i, n := range []*network{grouped, single} {
			l, err := n.orders(stores, forSeconds(b.seconds(4))...)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], l.PerSecond)
		}
	}
	together, alone := median(rates[0]), median(rates[1])
	b.report(goal{ID: "P2", Value: together / alone, Floor: 2.5, Goal: 4, What: "P1 / the same server with one transaction per order",
		Notes: map[string]float64{"together_per_s": together, "alone_per_s": alone, "fsync_us": fsync}})
	return nil
}

// thousands measures how many orders a second a server takes in batches.
func (b *bench) thousands() (err error) {
	stores := b.manyStores()
	many, err := b.fresh("")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, many.close()) }()
	b.progress("orders by the thousand")
	batch := func(seconds float64) (loaded, error) {
		return many.load("batches", many.merchants, slices.Concat(many.drawn(stores), forSeconds(seconds), []string{"-conns", "4"})...)
	}
	if _, err := batch(1); err != nil {
		return err
	}
	thousands, err := batch(b.seconds(8))
	if err != nil {
		return err
	}
	b.report(goal{ID: "P3", Value: thousands.PerSecond, Floor: 25_000, Goal: 80_000, Unit: "orders/s",
		What:  fmt.Sprintf("POST /v1/order-batches, 1,000 a request, 4 connections, %d stores", stores),
		Notes: map[string]float64{"request_p50_us": thousands.P50, "request_p99_us": thousands.P99, "server_cpu_us": thousands.cost()}})
	return nil
}

// fsync is what making a page durable takes here, in microseconds: what commits are made of.
func (b *bench) fsync() (float64, error) {
	f, err := os.Create(filepath.Join(b.dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	page := make([]byte, 4096)
	var took []float64
	for range 50 {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(began).Microseconds()))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
