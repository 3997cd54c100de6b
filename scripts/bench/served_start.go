package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// start measures what it takes to begin: CPU until /readyz, and memory with all stores in it.
func (b *bench) start() (err error) {
	stores := b.manyStores()
	base, err := b.stocked(stores)
	if err != nil {
		return err
	}
	copied, err := b.copyOf(base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(copied))) }()
	var cpu, wall, resident, anonymous, later []float64
	for range b.size(3, 1) {
		one := func() (err error) {
			n, err := b.serve(copied, "")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, n.stop(os.Interrupt)) }()
			cpu, wall = append(cpu, n.readyCPU.Seconds()), append(wall, n.readyWall.Seconds())
			all, own, err := n.memory()
			if err != nil {
				return err
			}
			resident, anonymous = append(resident, all/(1<<20)), append(anonymous, own/(1<<20))
			// What only starting needed, the collector has taken back by then; what orders need has come.
			if _, err := n.orders(stores, times(b.size(20_000, 500))...); err != nil {
				return err
			}
			select {
			case <-time.After(time.Second):
			case <-b.ctx.Done():
			}
			all, _, err = n.memory()
			later = append(later, all/(1<<20))
			return err
		}
		if err := one(); err != nil {
			return err
		}
	}
	b.report(goal{ID: "P10", Value: median(cpu), Floor: 5, Goal: 1.5, Less: true, Unit: "s CPU",
		What: fmt.Sprintf("start to /readyz with %d stores", stores), Notes: map[string]float64{"wall_s": median(wall)}})
	b.report(goal{ID: "P10-memory", Value: median(resident), Floor: 500, Goal: 300, Less: true, Unit: "MiB",
		What:  fmt.Sprintf("resident at /readyz with %d stores", stores),
		Notes: map[string]float64{"anonymous_mib": median(anonymous), "after_orders_mib": median(later)}})
	b.info("P10 memory after some orders: %.0f MiB", median(later))
	return nil
}
