package main

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"doorstep/internal/forecast"
)

// table is a demand file in memory: every pair of store and SKU has a row for each day.
type table struct {
	stores   []forecast.Store
	skus     []forecast.SKU
	calendar forecast.Calendar
	first    int32
	days     int

	pairs []pair
	rows  []sale // pairs x days
}

type pair struct{ store, sku int32 }

// sale is a row of the file; a day without one has closed = 16.
type sale struct {
	units  float32 // tenths of the file's normalised unit
	price  float32
	closed uint8 // hours of 16 without stock
	promo  bool
}

func (t *table) of(pair int, day int32) *sale { return &t.rows[pair*t.days+int(day-t.first)] }
func (t *table) last() int32                  { return t.first + int32(t.days) - 1 }

// history is what is known of the table at the end of a day.
func (t *table) history(last int32) *forecast.History {
	h := forecast.NewHistory(t.stores, t.skus, t.calendar)
	h.Grow(len(t.pairs) * int(last-t.first+1))
	for i, p := range t.pairs {
		for day := t.first; day <= last; day++ {
			s := t.of(i, day)
			h.Add(forecast.Observation{Store: p.store, SKU: p.sku, Day: day, Units: s.units, Open: 1 - float32(s.closed)/16, Price: s.price, Promo: s.promo})
		}
	}
	return h
}

// readFresh reads FreshRetailNet's daily rows, its products and its calendar.
func readFresh(dir, file string) (*table, error) {
	products, err := readProducts(filepath.Join(dir, "demand_freshretail_products.csv"))
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(dir, file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	t := &table{}
	r := freshReader{table: t, products: products, stores: map[string]int32{}, skus: map[string]int32{}, cities: map[string]int32{}, pairs: map[pair]int{}}
	if err := r.read(z); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return t, r.readCalendar(filepath.Join(dir, "demand_freshretail_calendar.csv"))
}

// readProducts gives a product's category and class, the coarsest and the finest of its levels.
func readProducts(path string) (map[string]forecast.SKU, error) {
	rows, err := readCSV(path)
	if err != nil {
		return nil, err
	}
	skus := make(map[string]forecast.SKU, len(rows))
	for _, r := range rows {
		category, err1 := strconv.Atoi(r[2])
		class, err2 := strconv.Atoi(r[4])
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%s: product %s has no numbers", path, r[0])
		}
		skus[r[0]] = forecast.SKU{Category: int32(category), Class: int32(class)}
	}
	return skus, nil
}

// readCSV leaves the header out.
func readCSV(path string) ([][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 2 {
		return nil, fmt.Errorf("%s: %d rows, %v", path, len(rows), err)
	}
	return rows[1:], nil
}

type freshReader struct {
	*table
	products             map[string]forecast.SKU
	stores, skus, cities map[string]int32
	pairs                map[pair]int
}

type dated struct {
	pair int
	day  int32
	sale sale
}

func (r *freshReader) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	if !lines.Scan() {
		return io.ErrUnexpectedEOF
	}
	var all []dated
	r.first = 1 << 30
	last := int32(0)
	dates := map[string]int32{}
	for lines.Scan() {
		d, err := r.row(strings.Split(lines.Text(), ","), dates)
		if err != nil {
			return err
		}
		r.first, last = min(r.first, d.day), max(last, d.day)
		all = append(all, d)
	}
	r.days = int(last - r.first + 1)
	r.rows = slices.Repeat([]sale{{closed: 16, price: 1}}, len(r.table.pairs)*r.days)
	for _, d := range all {
		*r.of(d.pair, d.day) = d.sale
	}
	return lines.Err()
}

// row is city, store, product, date, units, four parts of the day, hours without stock, discount, activity.
func (r *freshReader) row(c []string, dates map[string]int32) (d dated, err error) {
	if len(c) != 12 {
		return d, fmt.Errorf("a row of %d columns", len(c))
	}
	day, known := dates[c[3]]
	if !known {
		if day, err = dayOf(c[3]); err != nil {
			return d, err
		}
		dates[strings.Clone(c[3])] = day
	}
	city := number(r.cities, c[0])
	p := pair{number(r.stores, c[1]), number(r.skus, c[2])}
	if int(p.store) == len(r.table.stores) {
		r.table.stores = append(r.table.stores, forecast.Store{Region: city, Cell: city})
	}
	if int(p.sku) == len(r.table.skus) {
		r.table.skus = append(r.table.skus, r.products[c[2]])
	}
	i, known := r.pairs[p]
	if !known {
		i = len(r.table.pairs)
		r.pairs[p] = i
		r.table.pairs = append(r.table.pairs, p)
	}
	units, err1 := strconv.ParseFloat(c[4], 32)
	closed, err2 := strconv.ParseFloat(c[9], 32)
	price, err3 := strconv.ParseFloat(c[10], 32)
	if err1 != nil || err2 != nil || err3 != nil {
		return d, fmt.Errorf("no numbers in %q", c)
	}
	// A price of nothing is told as such, and the forecast takes 0 for "not told".
	return dated{i, day, sale{float32(units), float32(max(0.01, price)), uint8(closed), c[11] == "1"}}, nil
}

func dayOf(date string) (int32, error) {
	t, err := time.Parse(time.DateOnly, date)
	return forecast.DayOf(t), err
}

// number gives names the numbers 0, 1, 2, ...
func number(of map[string]int32, name string) int32 {
	n, ok := of[name]
	if !ok {
		n = int32(len(of))
		of[strings.Clone(name)] = n
	}
	return n
}

// readCalendar: the flag is 1 on weekends and holidays, the same in all cities.
func (r *freshReader) readCalendar(path string) error {
	rows, err := readCSV(path)
	if err != nil {
		return err
	}
	for _, c := range rows {
		day, err := dayOf(c[1])
		if err != nil {
			return err
		}
		weekend := (day+3)%7 >= 5
		switch free := c[2] == "1"; {
		case free && !weekend:
			r.calendar.Free = append(r.calendar.Free, day)
		case !free && weekend:
			r.calendar.Working = append(r.calendar.Working, day)
		}
	}
	for _, days := range []*[]int32{&r.calendar.Free, &r.calendar.Working} {
		slices.Sort(*days)
		*days = slices.Compact(*days)
	}
	return nil
}
