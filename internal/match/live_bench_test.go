package match_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/match"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// crowdHours are the opening hours of the made-up stores, the first being the most common.
var crowdHours = []string{"", "", "", "Mo-Su 06:00-23:00", "Mo-Su 07:00-22:00", "Mo-Fr 09:00-18:00; Sa 10:00-14:00",
	"Mo-Su 17:00-02:00", "Mo-Sa 11:00-14:00,17:00-22:00; PH off"}

const crowdSKUs = 200

// crowd is made-up stores in towns and on the roads between, on one day of one zone, and questions
// drawn from the same law. It depends on its seed alone.
type crowd struct {
	rng    *rand.Rand
	towns  []geo.Point
	spread []float64
	began  time.Time // the day's midnight
}

func newCrowd(seed uint64, towns int) *crowd {
	c := &crowd{rng: rand.New(rand.NewPCG(seed, 1)), began: time.Date(2026, 11, 11, 0, 0, 0, 0, time.FixedZone("", 8*3600))}
	for range towns {
		c.towns = append(c.towns, geo.Point{Lat: 22 + 20*c.rng.Float64(), Lng: 95 + 25*c.rng.Float64()})
		c.spread = append(c.spread, 1000+5000*c.rng.Float64())
	}
	return c
}

// place draws a point. Squaring favours the first towns, as sizes of real towns do.
func (c *crowd) place() geo.Point {
	f := c.rng.Float64()
	i := int(f * f * float64(len(c.towns)))
	spread := c.spread[i]
	if c.rng.IntN(5) == 0 {
		spread *= 4
	}
	const degree = geo.EarthRadiusM * math.Pi / 180
	at := c.towns[i]
	return geo.Point{Lat: at.Lat + c.rng.NormFloat64()*spread/degree,
		Lng: at.Lng + c.rng.NormFloat64()*spread/(degree*math.Cos(at.Lat*math.Pi/180))}
}

// store draws a store; in one of 16 there is never room.
func (c *crowd) store(key int64) partner.Store {
	at, hours := c.place(), crowdHours[c.rng.IntN(len(crowdHours))]
	room := c.rng.IntN(16)
	s, err := partner.Decide(partner.Input{Name: p(fmt.Sprint("Store ", key)), Lat: p(at.Lat), Lng: p(at.Lng), TimeZone: p("Asia/Shanghai"),
		Country: p("CN"), OpeningHours: p(hours), ServiceRadiusM: p(1000 + 500*c.rng.IntN(7)), OrdersPerSlot: p(room)}, partner.StandardDefaults())
	if err != nil {
		panic(err)
	}
	s.Key, s.Version = key, 1
	return s
}

var skuNames = func() (names [crowdSKUs]string) {
	for i := range names {
		names[i] = fmt.Sprintf("sku-%03d", i)
	}
	return names
}()

// shelf draws about 40 of 200 SKUs, a sixth of them sold out.
func (c *crowd) shelf() []partner.StockLine {
	lines := make([]partner.StockLine, 0, crowdSKUs/3)
	for i := range crowdSKUs {
		if c.rng.IntN(5) == 0 {
			lines = append(lines, partner.StockLine{SKU: skuNames[i], OnHand: 5, Reserved: c.rng.IntN(6)})
		}
	}
	return lines
}

// fill puts n stores with shelves into live; each has two hours of its day sold out.
func (c *crowd) fill(live *match.Live, n int) {
	stores := make([]partner.Store, n)
	for i := range stores {
		stores[i] = c.store(int64(i + 1))
	}
	// By place, as a book loads them.
	slices.SortFunc(stores, func(a, b partner.Store) int { return cmp.Compare(a.Cell, b.Cell) })
	if err := live.Fill(n, func(put func(*partner.Store) error) error {
		for i := range stores {
			if err := put(&stores[i]); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		panic(err)
	}
	for i := range stores {
		s := &stores[i]
		live.SetStock(s.Key, c.shelf())
		for range 2 {
			live.SetUsed(s.Key, s.SlotAt(c.began.Add(time.Duration(c.rng.IntN(24))*time.Hour)), s.OrdersPerSlot)
		}
	}
}

// ask draws a question for one to three SKUs at a moment of the day; one in four has a limit.
func (c *crowd) ask() *match.Ask {
	q := &match.Ask{At: c.place(), Begin: c.began.Add(time.Duration(c.rng.Int64N(int64(24 * time.Hour))))}
	q.Now = q.Begin
	if c.rng.IntN(4) == 0 {
		q.MaxM = 500 + 2500*c.rng.Float64()
	}
	for range 1 + c.rng.IntN(3) {
		q.Items = append(q.Items, order.Item{SKU: skuNames[c.rng.IntN(crowdSKUs)], Quantity: 1})
	}
	return q
}

const manyStores = 600_000

var country = sync.OnceValue(func() (w struct {
	live  *match.Live
	asks  []*match.Ask
	bytes float64 // on the heap, a store
}) {
	c := newCrowd(manyStores, 400)
	before := heap()
	w.live = match.NewLive()
	c.fill(w.live, manyStores)
	w.bytes = (heap() - before) / manyStores
	for range 10_000 {
		w.asks = append(w.asks, c.ask())
	}
	return w
})

// cpu is the time that this process has spent working.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkNearestEligible asks 600,000 stores for the nearest that is open, has room in its slot,
// serves the place and has all SKUs. The quantiles are of single questions, each its quickest of
// several rounds: the machine has other things to do.
func BenchmarkNearestEligible(b *testing.B) {
	w := country()
	took := make([]time.Duration, len(w.asks))
	found := 0
	for round := range 5 {
		for i, q := range w.asks {
			began := time.Now()
			_, _, ok := w.live.Nearest(q)
			if d := time.Since(began); round == 0 || d < took[i] {
				took[i] = d
			}
			if ok && round == 0 {
				found++
			}
		}
	}
	slices.Sort(took)
	b.ReportAllocs()
	b.ResetTimer()
	least := time.Duration(math.MaxInt64)
	for done := 0; done < b.N; done += len(w.asks) {
		began := cpu()
		for _, q := range w.asks {
			w.live.Nearest(q)
		}
		least = min(least, cpu()-began)
	}
	b.ReportMetric(float64(least)/float64(len(w.asks)), "cpu-ns/op")
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	b.ReportMetric(float64(p50), "p50-ns")
	b.ReportMetric(float64(p99), "p99-ns")
	b.ReportMetric(float64(p99)/float64(p50), "p99/p50")
	b.ReportMetric(float64(found)/float64(len(w.asks)), "found")
	b.ReportMetric(w.bytes, "B/store")
}
