package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"doorstep/geo"
	"doorstep/internal/partner"
)

// world is stores, and people who look for one: the same for everybody who is measured.
type world struct {
	name  string
	zone  string // IANA
	now   time.Time
	shops []shop
	asks  []ask
}

const (
	skuKinds = 200
	serviceM = 3000 // of every store, the platform's default
	moments  = 4    // that goods are wanted at: in this hour, or in one of the three after it
)

// skuSet has a bit for each SKU.
type skuSet [(skuKinds + 63) / 64]uint64

func (s *skuSet) add(sku int)      { s[sku/64] |= 1 << (sku % 64) }
func (s *skuSet) has(sku int) bool { return s[sku/64]>>(sku%64)&1 == 1 }

func (s *skuSet) holds(all *skuSet) bool {
	for i := range s {
		if s[i]&all[i] != all[i] {
			return false
		}
	}
	return true
}

// shop is a store. What the peers keep of it is kinder to them than what we keep: ready is what we find out
// anew for every query, from opening hours, slots and counters.
type shop struct {
	at    geo.Point
	skus  skuSet
	ready uint8 // bit i: open at moment i, with room left in that slot

	hours    string // opening_hours
	capacity int    // orders per slot of an hour
	used     [moments]int
}

// ask is somebody who looks for the nearest store.
type ask struct {
	at      geo.Point
	radiusM float64
	moment  int
	wanted  []int // SKUs, one unit of each
	skus    skuSet
}

// begin is when moment i is. Half past: the slots of stores begin at full hours.
func (w *world) begin(i int) time.Time { return w.now.Add(time.Duration(20+60*i) * time.Minute) }

// fits says whether a store may be given to a. It is what every peer filters by.
func (a *ask) fits(s *shop) bool { return s.ready>>a.moment&1 == 1 && s.skus.holds(&a.skus) }

// clustered is a made-up country: stores in 400 towns of very different size and on the roads around them,
// some 3,000 km square, and people who look from where the stores are.
func clustered(stores, asks int) (*world, error) {
	rng := rand.New(rand.NewPCG(600_000, 3))
	type town struct {
		mid     geo.Point
		spreadM float64
	}
	towns := make([]town, max(5, 400*stores/600_000))
	for i := range towns {
		towns[i] = town{geo.Point{Lat: 22 + 20*rng.Float64(), Lng: 95 + 25*rng.Float64()}, 1000 + 5000*rng.Float64()}
	}
	place := func() geo.Point {
		// Squaring favours the first towns, as sizes of real towns do.
		f := rng.Float64()
		t := towns[int(f*f*float64(len(towns)))]
		spread := t.spreadM
		if rng.IntN(5) == 0 {
			spread *= 4
		}
		return near(rng, t.mid, spread)
	}
	w := &world{name: fmt.Sprintf("%d clustered stores", stores), zone: "Asia/Shanghai"}
	places := make([]geo.Point, stores)
	for i := range places {
		places[i] = place()
	}
	return w, w.settle(rng, places, asks, place)
}

// japan is the shops of the 22 chains of convenience stores there, and people about 1 km from one of them.
// The error is fs.ErrNotExist where the recorded data are absent.
func japan(data string, stores, asks int) (*world, error) {
	places, err := readPlaces(filepath.Join(data, "stores_japan_konbini.csv"))
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(30_561, 3))
	rng.Shuffle(len(places), func(i, k int) { places[i], places[k] = places[k], places[i] })
	places = places[:min(stores, len(places))]
	w := &world{name: fmt.Sprintf("%d shops of Japan", len(places)), zone: "Asia/Tokyo"}
	return w, w.settle(rng, places, asks, func() geo.Point { return near(rng, places[rng.IntN(len(places))], 1000) })
}

func readPlaces(path string) (places []geo.Point, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	rows := csv.NewReader(f)
	rows.FieldsPerRecord = 7
	for n := 0; ; n++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return places, nil
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			continue // names of the columns
		}
		lat, badLat := strconv.ParseFloat(row[5], 64)
		lng, badLng := strconv.ParseFloat(row[6], 64)
		if err := errors.Join(badLat, badLng); err != nil {
			return nil, fmt.Errorf("%s: row %d: %w", path, n, err)
		}
		places = append(places, geo.Point{Lat: lat, Lng: lng})
	}
}

// near is a point about spreadM from p, by a normal law north and east.
func near(rng *rand.Rand, p geo.Point, spreadM float64) geo.Point {
	const degree = geo.EarthRadiusM * math.Pi / 180
	north, east := rng.NormFloat64()*spreadM, rng.NormFloat64()*spreadM
	return geo.Point{Lat: p.Lat + north/degree, Lng: p.Lng + east/(degree*math.Cos(p.Lat*math.Pi/180))}
}

// settle opens a shop at each place and sends so many people on the search. It is an evening in November.
func (w *world) settle(rng *rand.Rand, places []geo.Point, asks int, place func() geo.Point) error {
	zone, err := time.LoadLocation(w.zone)
	if err != nil {
		return err
	}
	w.now = time.Date(2026, 11, 11, 19, 10, 0, 0, zone)
	open, err := w.schedules()
	if err != nil {
		return err
	}
	w.shops = make([]shop, len(places))
	for i, p := range places {
		s := shop{at: p, hours: someHours(rng), capacity: 4 + rng.IntN(27), skus: assortment(rng)}
		for k := range s.used {
			// The nearer the hour, the fuller: now about a quarter has no room left, in three hours nobody.
			s.used[k] = min(s.capacity, int(rng.Float64()*float64(s.capacity+1)*(1.25-0.12*float64(k))))
			if open[s.hours]>>k&1 == 1 && s.used[k] < s.capacity {
				s.ready |= 1 << k
			}
		}
		w.shops[i] = s
	}
	for range asks {
		w.asks = append(w.asks, someAsk(rng, place()))
	}
	return nil
}

// Opening hours as they are found on maps; the verbs are filled in with many times, as in a real network.
var patterns = []string{
	"24/7", "24/7", "24/7",
	"Mo-Su %02d:00-%02d:00", "Mo-Su %02d:30-%02d:30",
	"Mo-Sa %02d:00-%02d:00; Su,PH 11:00-19:00", "Mo-Fr %02d:00-%02d:00; Sa 09:00-14:00",
	"Mo-Fr %02d:00-13:00,14:00-%02d:00; Sa-Su off", "Mo-Th %02d:00-%02d:00; Fr-Sa 11:00-02:00; Su 12:00-20:00",
	"Tu-Su %02d:00-%02d:00",
}

const opensFrom, opensTo, closesFrom, closesTo = 6, 11, 17, 26

func hoursText(pattern string, opens, closes int) string {
	if pattern == "24/7" {
		return pattern
	}
	return fmt.Sprintf(pattern, opens, closes)
}

func someHours(rng *rand.Rand) string {
	pattern := patterns[rng.IntN(len(patterns))]
	return hoursText(pattern, opensFrom+rng.IntN(opensTo-opensFrom), closesFrom+rng.IntN(closesTo-closesFrom))
}

// schedules says for every text of opening hours at which moments it is open.
func (w *world) schedules() (map[string]uint8, error) {
	zone, err := partner.NewZone(w.zone, "")
	if err != nil {
		return nil, err
	}
	open := map[string]uint8{}
	for _, pattern := range patterns {
		for opens := opensFrom; opens < opensTo; opens++ {
			for closes := closesFrom; closes < closesTo; closes++ {
				text := hoursText(pattern, opens, closes)
				hours, err := partner.ParseHours(text)
				if err != nil {
					return nil, err
				}
				open[text] = 0
				for k := range moments {
					if hours.OpenAt(w.begin(k), zone) {
						open[text] |= 1 << k
					}
				}
			}
		}
	}
	return open, nil
}

// assortment is about 40 of the SKUs: the first are in nearly every store, the last in hardly any.
func assortment(rng *rand.Rand) (set skuSet) {
	for sku := range skuKinds {
		if rng.Float64() < 0.02+0.8*math.Pow(1-float64(sku)/skuKinds, 3.5) {
			set.add(sku)
		}
	}
	return set
}

// someAsk wants one to three SKUs, more often what more stores have; one in four will not wait for a store far away.
func someAsk(rng *rand.Rand, at geo.Point) ask {
	a := ask{at: at, moment: rng.IntN(moments), radiusM: []float64{1500, serviceM, serviceM, serviceM}[rng.IntN(4)]}
	for n := 1 + rng.IntN(3); len(a.wanted) < n; {
		f := rng.Float64()
		if sku := int(f * f * f * skuKinds); !a.skus.has(sku) {
			a.skus.add(sku)
			a.wanted = append(a.wanted, sku)
		}
	}
	return a
}

// absent says whether an error is that of a data set which is not there.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
