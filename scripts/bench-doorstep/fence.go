package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"doorstep/geo"
	"doorstep/internal/dropoff"
)

// pickUp is a recorded pick-up at a customer's, with where the courier's phone was.
type pickUp struct {
	city, courier string
	customer      geo.Point
	phone         geo.Point
}

func readPickUps(folder string) (with []pickUp, rows map[string]int, err error) {
	rows = map[string]int{}
	err = readTable(folder, "orders_china_lade_pickup.csv", func(r *row) {
		p := pickUp{city: r.text("city"), courier: r.text("courier_id"), customer: geo.Point{Lat: r.number("lat"), Lng: r.number("lng")}}
		rows[p.city]++
		if r.text("pickup_gps_lat") == "" {
			return
		}
		p.phone = geo.Point{Lat: r.number("pickup_gps_lat"), Lng: r.number("pickup_gps_lng")}
		with = append(with, p)
	})
	return with, rows, err
}

var radii = []float64{50, 75, 100, 125, 150, 175, 200, 250, 300}

// fences are the shares, by radius, of phones that are inside: at their own customer; at another of the
// city, drawn at random; at another customer of the same courier, who is near by far more often.
type fences struct{ own, city, same []float64 }

// measure is what fences of each radius make of some pick-ups of one city or of several. Strangers are
// drawn eight times for each pick-up.
func measure(list []pickUp, seed uint64) fences {
	rng := rand.New(rand.NewPCG(seed, 17))
	byCity, byCourier := map[string][]int{}, map[string][]int{}
	for i, p := range list {
		byCity[p.city] = append(byCity[p.city], i)
		byCourier[p.city+" "+p.courier] = append(byCourier[p.city+" "+p.courier], i)
	}
	var own, city, same []float64
	stranger := func(i int, among []int) (m float64, ok bool) {
		if len(among) < 2 {
			return 0, false
		}
		j := i
		for j == i {
			j = among[rng.IntN(len(among))]
		}
		return geo.DistanceM(list[i].customer, list[j].phone), true
	}
	for i, p := range list {
		own = append(own, geo.DistanceM(p.customer, p.phone))
		for range 8 {
			if m, ok := stranger(i, byCity[p.city]); ok {
				city = append(city, m)
			}
			if m, ok := stranger(i, byCourier[p.city+" "+p.courier]); ok {
				same = append(same, m)
			}
		}
	}
	return fences{within(own), within(city), within(same)}
}

// within are the shares of some distances that lie inside each radius.
func within(metres []float64) []float64 {
	shares := make([]float64, len(radii))
	for i, r := range radii {
		n := 0
		for _, m := range metres {
			if m <= r {
				n++
			}
		}
		shares[i] = float64(n) / float64(max(1, len(metres)))
	}
	return shares
}

// quantile of sorted numbers, the lower one.
func quantile(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }

func fencePart(out io.Writer, data string) error {
	list, rows, err := readPickUps(data)
	if err != nil {
		return err
	}
	var cities []string
	for c := range rows {
		cities = append(cities, c)
	}
	slices.Sort(cities)
	fmt.Fprintf(out, `
Fence: LaDe pick-ups, one day of three cities. Recorded: the customer's point, the courier's position at
pick-up. Made up: nothing; whose position is held against whose door, for the false accepts, is drawn.
A radius here is all in all: the file has no accuracies. The fence in use is %.0f m, and up to 50 m more for
who cannot say better where he is.

  metres from phone to customer    rows   without GPS    p50    p75    p90    p95   beyond 1 km
`, dropoff.FenceM)
	for _, c := range append(cities, "all") {
		var metres []float64
		n, far := 0, 0
		for _, p := range list {
			if c == "all" || p.city == c {
				m := geo.DistanceM(p.customer, p.phone)
				metres = append(metres, m)
				if m > 1000 {
					far++
				}
			}
		}
		for city, count := range rows {
			if c == "all" || city == c {
				n += count
			}
		}
		slices.Sort(metres)
		fmt.Fprintf(out, "  %-30s %6d  %10.0f %%  %5.0f  %5.0f  %5.0f  %5.0f  %10.1f %%\n", c, n, 100*float64(n-len(metres))/float64(n),
			quantile(metres, .5), quantile(metres, .75), quantile(metres, .9), quantile(metres, .95), 100*float64(far)/float64(len(metres)))
	}
	head := func(title string) {
		fmt.Fprintf(out, "\n  %-34s", title)
		for _, r := range radii {
			fmt.Fprintf(out, "%6.0f", r)
		}
		fmt.Fprintln(out, " m")
	}
	line := func(name string, shares []float64) {
		fmt.Fprintf(out, "  %-34s", name)
		for _, s := range shares {
			fmt.Fprintf(out, "%6.1f", 100*s)
		}
		fmt.Fprintln(out, " %")
	}
	for _, c := range append(cities, "all") {
		some := list
		if c != "all" {
			some = slices.DeleteFunc(slices.Clone(list), func(p pickUp) bool { return p.city != c })
		}
		f := measure(some, 1)
		head(c)
		line("inside, at the own customer", f.own)
		line("inside, another customer's courier", f.city)
		line("inside, another stop of the same", f.same)
		gain := make([]float64, len(radii))
		for i := range gain {
			gain[i] = f.own[i] - f.same[i]
		}
		line("first less last", gain)
	}
	return nil
}
