// Package country makes the stores, doorsteps and orders that a whole server is measured with. The same
// numbers always make the same country.
//
// Stores lie in cities of 300 to 6,000, as many cities as it takes. A city's stores are spread
// around its middle by a normal law whose width grows with the root of their number, a fifth of
// them four times as widely. So a small country is as dense as a large one and only has fewer
// cities: what an order costs more in the large one, the number of stores costs.
package country

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
)

// Point is a place in WGS84 degrees.
type Point struct{ Lat, Lng float64 }

// Seed is that of every benchmark, so that their figures are of one country.
const Seed = 20091111

// Stores are the places of n stores. The first n of a larger country are the same ones.
func Stores(n int, seed uint64) []Point {
	rng := rand.New(rand.NewPCG(seed, 1))
	all := make([]Point, 0, n)
	for len(all) < n {
		size := int(300 * math.Pow(20, rng.Float64()))
		middle := Point{22 + 20*rng.Float64(), 95 + 25*rng.Float64()}
		spread := 4000 * math.Sqrt(float64(size)/1500)
		for range min(size, n-len(all)) {
			m := spread
			if rng.IntN(5) == 0 {
				m *= 4
			}
			all = append(all, middle.beside(rng.NormFloat64()*m, rng.NormFloat64()*m))
		}
	}
	return all
}

// Doors are n doorsteps, each some hundred metres from a store: people live where stores are.
func Doors(stores []Point, n int, seed uint64) []Point {
	rng := rand.New(rand.NewPCG(seed, 2))
	doors := make([]Point, n)
	for i := range doors {
		doors[i] = stores[rng.IntN(len(stores))].beside(rng.NormFloat64()*400, rng.NormFloat64()*400)
	}
	return doors
}

// beside is the point some metres north and east of p.
func (p Point) beside(northM, eastM float64) Point {
	const degreeM = 6371008.8 * math.Pi / 180
	lat := p.Lat + northM/degreeM
	return Point{lat, p.Lng + eastM/(degreeM*math.Cos(lat*math.Pi/180))}
}

// hours are what stores keep, turn by turn: those that close at night and those that close by day
// are as many, so that a benchmark is the same at noon and at midnight.
var hours = []string{"", "Mo-Su 07:00-22:00", "", "Mo-Su 19:00-10:00", ""}

// WriteCSV writes stores as `doorstep import stores` reads them. All take orders at once, and
// their room is so large that a benchmark does not fill it.
func WriteCSV(w io.Writer, stores []Point) error {
	out := bufio.NewWriterSize(w, 1<<16)
	fmt.Fprintln(out, "external_id,name,lat,lng,line1,locality,country,phone,locale,time_zone,opening_hours,service_radius_m,slot_minutes,orders_per_slot")
	for i, p := range stores {
		fmt.Fprintf(out, "S%d,Corner shop %d,%.6f,%.6f,%d Market Street,District %d,CN,+86138%08d,zh,Asia/Shanghai,%s,3000,60,5000\n",
			i, i, p.Lat, p.Lng, i%400+1, i/1500, i, hours[i%len(hours)])
	}
	return out.Flush()
}
