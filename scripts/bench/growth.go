package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
)

// moreStores measures what an order costs the server, in CPU, in networks of 6,000 to 600,000 stores
// of the same density.
func (b *bench) moreStores() error {
	sizes := []int{6_000, 60_000, 600_000}
	if b.quick {
		sizes = []int{600, 2_000, 6_000}
	}
	var bases []string
	for _, stores := range sizes {
		base, err := b.stocked(stores)
		if err != nil {
			return err
		}
		copied, err := b.copyOf(base)
		if err != nil {
			return err
		}
		bases = append(bases, copied)
	}
	b.progress("orders in networks of %d stores", sizes)
	costs, err := b.costs(bases, sizes, inOrder)
	if err != nil {
		return err
	}
	last := len(sizes) - 1
	b.report(goal{ID: "P8", Value: costs[0][last] / costs[0][0], Floor: 1.3, Goal: 1.1, Less: true,
		What: fmt.Sprintf("CPU of the server for an order with %d stores / with %d", sizes[last], sizes[0]), Notes: costNotes("cpu_us", sizes, costs[0])})
	b.info("P8 CPU of the server for an order, with %d stores: %.0f us", sizes, costs[0])
	return nil
}

// moreOrders measures the same with up to 10 million orders in the database.
func (b *bench) moreOrders() error {
	const stores = 60_000
	pasts := []int{0, 1_000_000, 10_000_000}
	if b.quick {
		pasts = []int{0, 10_000, 100_000}
	}
	base, err := b.stocked(stores)
	if err != nil {
		return err
	}
	var grown []string
	for _, orders := range pasts {
		copied, err := b.copyOf(base)
		if err != nil {
			return err
		}
		if orders > 0 {
			if err := b.fill(copied, stores, orders); err != nil {
				return fmt.Errorf("fill in %d orders: %w", orders, err)
			}
		}
		grown = append(grown, copied)
	}
	b.progress("orders behind %d others", pasts)
	costs, err := b.costs(grown, []int{stores, stores, stores}, inOrder, inNoOrder)
	if err != nil {
		return err
	}
	last := len(pasts) - 1
	notes := costNotes("cpu_us", pasts, costs[0])
	maps.Copy(notes, costNotes("cpu_us_in_no_order", pasts, costs[1]))
	b.report(goal{ID: "P9", Value: costs[0][last] / costs[0][0], Floor: 1.4, Goal: 1.1, Less: true,
		What: fmt.Sprintf("CPU of the server for an order with %d orders in the database / with none", pasts[last]), Notes: notes})
	b.info("P9 CPU of the server for an order, behind %d others: %.0f us", pasts, costs[0])
	b.info("P9 with external ids in no order among the old ones: %.2f", costs[1][last]/costs[1][0])
	return nil
}

// inOrder are orders whose external ids count up, as a shop's do; inNoOrder such as strike the index
// of old ids anywhere, as random ones do.
func inOrder(int) []string { return nil }
func inNoOrder(round int) []string {
	// Behind the numbers of the past, so that none of them comes again.
	return []string{"-scatter", "-tag", pastTag, "-first", strconv.Itoa(20_000_000 + 100_000*round)}
}

// costs are what an order of each kind costs servers on several databases, in microseconds of CPU;
// it removes the databases. The servers take turns, so that the machine is as noisy for one as for
// the other.
func (b *bench) costs(databases []string, stores []int, kinds ...func(round int) []string) (costs [][]float64, err error) {
	var servers []*network
	defer func() {
		for _, n := range servers {
			err = errors.Join(err, n.close())
		}
		for _, path := range databases[len(servers):] {
			err = errors.Join(err, os.RemoveAll(filepath.Dir(path)))
		}
	}()
	for _, path := range databases {
		n, err := b.serve(path, "")
		if err != nil {
			return nil, err
		}
		servers = append(servers, n)
	}
	all := make([][][]float64, len(kinds)) // by kind and server
	for k := range all {
		all[k] = make([][]float64, len(servers))
	}
	for round := range b.size(4, 2) {
		for k, kind := range kinds {
			for i, n := range servers {
				l, err := n.orders(stores[i], append(times(b.size(20_000, 1_000)), kind(round)...)...)
				if err != nil {
					return nil, err
				}
				if round > 0 { // the first warms up
					all[k][i] = append(all[k][i], l.cost())
				}
			}
		}
	}
	for k := range all {
		costs = append(costs, make([]float64, len(servers)))
		for i, of := range all[k] {
			costs[k][i] = median(of)
		}
	}
	return costs, nil
}

func costNotes(name string, sizes []int, costs []float64) map[string]float64 {
	notes := map[string]float64{}
	for i, n := range sizes {
		notes[fmt.Sprintf("%s_at_%d", name, n)] = costs[i]
	}
	return notes
}
