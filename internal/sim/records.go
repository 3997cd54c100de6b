package sim

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Recorded stores and orders, and what a replay adds to them: the files say where and when, but not
// how much room and goods a store has. All of that is made from the row's number, so that every
// replay asks the same.

const (
	newYorkStores = "stores_newyork_foodretail.csv"
	nairobiStores = "stores_nairobi_pickups.csv"
	nairobiOrders = "orders_nairobi_sendy.csv"

	nairobiRadiusM = 8000
	newYorkRadiusM = 5000
	slotMinutes    = 60
	shelfUnits     = 8 // of each SKU on a shelf in Nairobi: the busy ones run out
)

var replaySKUs = []string{"SKU-1", "SKU-2", "SKU-3"}

// record is a recorded order.
type record struct {
	id       string
	day      int // 1 to 31
	placed   int // seconds after midnight
	lat, lng float64
}

// row gives the fields of a CSV row by the name of their column and remembers the first that is not
// what it should be.
type row struct {
	columns map[string]int
	cells   []string
	err     error
}

func (r *row) text(column string) string {
	i, ok := r.columns[column]
	if !ok {
		r.err = errors.Join(r.err, fmt.Errorf("no column %q", column))
		return ""
	}
	return r.cells[i]
}

func (r *row) number(column string) float64 {
	x, err := strconv.ParseFloat(r.text(column), 64)
	r.err = errors.Join(r.err, err)
	return x
}

// readCSV calls f for each row of a file in folder.
func readCSV(folder, name string, f func(n int, r *row)) error {
	file, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		return err
	}
	defer file.Close()
	in := csv.NewReader(file)
	head, err := in.Read()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	columns := map[string]int{}
	for i, c := range head {
		columns[c] = i
	}
	for n := 0; ; n++ {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r := &row{columns: columns, cells: cells}
		if f(n, r); r.err != nil {
			return fmt.Errorf("%s: row %d: %w", name, n+1, r.err)
		}
	}
}

// readNewYork returns the stores of New York State, and the same as the CSV that is imported.
func readNewYork(folder string) (places []*place, file []byte, err error) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	// Writing to memory cannot fail; the Writer's own errors come with Flush below.
	_ = w.Write([]string{"external_id", "name", "lat", "lng", "line1", "locality", "region", "postal_code", "country", "time_zone",
		"opening_hours", "service_radius_m", "slot_minutes", "orders_per_slot", "auto_accept"})
	err = readCSV(folder, newYorkStores, func(n int, r *row) {
		p := &place{external: "ny-" + r.text("store_id"), lat: r.number("lat"), lng: r.number("lng"), zone: zone, radiusM: newYorkRadiusM,
			slotMinutes: slotMinutes, perSlot: 20, used: map[int64]int{}, hours: []hours{{to: 1440}, {from: 420, to: 1380}, {from: 480, to: 1200, noSunday: true}}[n%3]}
		places = append(places, p)
		_ = w.Write([]string{p.external, r.text("name"), r.text("lat"), r.text("lng"), r.text("address"), r.text("city"), "NY", r.text("zip"), "US", zone.String(),
			p.hours.text(), strconv.Itoa(newYorkRadiusM), strconv.Itoa(p.slotMinutes), strconv.Itoa(p.perSlot), "true"})
	})
	w.Flush()
	return places, out.Bytes(), errors.Join(err, w.Error())
}

// readNairobi returns the pick-up points of Nairobi. They open with their first recorded pick-up of
// the day and close after the last.
func readNairobi(folder string) (places []*place, err error) {
	zone, err := time.LoadLocation("Africa/Nairobi")
	if err != nil {
		return nil, err
	}
	err = readCSV(folder, nairobiStores, func(n int, r *row) {
		p := &place{external: r.text("store_id"), lat: r.number("lat"), lng: r.number("lng"), zone: zone, radiusM: nairobiRadiusM,
			slotMinutes: slotMinutes, perSlot: []int{1, 2, 3, 6}[n%4], used: map[int64]int{}, stock: map[string]int{},
			hours: hours{from: int(r.number("first_pickup_s")) / 60, to: int(r.number("last_pickup_s"))/60 + 1, noSunday: n%5 == 4}}
		for _, sku := range replaySKUs {
			p.stock[sku] = shelfUnits
		}
		places = append(places, p)
	})
	return places, err
}

// input is p for the import.
func (p *place) input() StoreInput {
	return StoreInput{ExternalID: p.external, Name: "Pick-up point " + p.external, Location: Location{Lat: p.lat, Lng: p.lng}, Address: Address{Country: "KE"},
		Locale: "en", TimeZone: p.zone.String(), OpeningHours: p.hours.text(), ServiceRadiusM: int(p.radiusM),
		Capacity: Capacity{p.slotMinutes, p.perSlot}, AutoAccept: true, OfferTimeoutS: 120}
}

// readOrders returns at most limit orders (0: all) in the order they were placed.
func readOrders(folder string, limit int) (records []record, err error) {
	err = readCSV(folder, nairobiOrders, func(n int, r *row) {
		if limit == 0 || n < limit {
			records = append(records, record{id: r.text("order_id"), day: int(r.number("day_of_month")), placed: int(r.number("placed_s")),
				lat: r.number("drop_lat"), lng: r.number("drop_lng")})
		}
	})
	return records, err
}

// wish is what the n-th order asks for when the first day of the data begins at base: every third
// wants goods, every fourth may not go far.
func (r record) wish(n int, base time.Time) wish {
	w := wish{lat: r.lat, lng: r.lng, begin: base.AddDate(0, 0, r.day-1).Add(time.Duration(r.placed) * time.Second)}
	if n%3 == 0 {
		w.items = []Item{{SKU: replaySKUs[n/3%len(replaySKUs)], Quantity: 1 + n/9%2}}
		if n%5 == 0 {
			w.items = append(w.items, Item{SKU: replaySKUs[(n/3+1)%len(replaySKUs)], Quantity: 1})
		}
	}
	if n%4 == 0 {
		w.radiusM = 1500
	}
	return w
}

// photographed: every fifth drop-off is proven by a photo, the others are only declared.
func photographed(n int) bool { return n%5 == 0 }

// order is w as the merchant sends it.
func (w wish) order(n int, id string) OrderInput {
	in := OrderInput{
		ExternalID: id,
		Items:      w.items,
		Recipient:  Recipient{Name: "Replay Example", Phone: fmt.Sprintf("+447700900%03d", n%dramaPhones)},
		Dropoff:    Dropoff{Location: Location{Lat: w.lat, Lng: w.lng}, Mode: "leave_at_door"},
		Window:     &Period{w.begin.UTC(), w.begin.UTC().Add(2 * time.Hour)},
		RadiusM:    int(w.radiusM),
		Undeliver:  "return", MinimumGrade: "D",
	}
	if photographed(n) {
		in.MinimumGrade = "B"
	}
	if len(w.items) == 0 {
		in.Parcels = []Parcel{{WeightG: 500}}
	}
	return in
}
