package server

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"doorstep/geo"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/match"
	"doorstep/internal/order"
	"doorstep/internal/prestock"
)

// The dispatcher's map: cells that are counted by, and stores and orders as points.

const (
	maxCells       = 25_000 // what a browser still draws at once
	maxStorePoints = 6_000
	maxOrderPoints = 2_000
)

// shared is something dear to make, that those who ask at about the same time share. What is made in no
// time is made anew for each; the rest is given to whoever comes before ten times as much time has
// gone by as it took: making it never needs more than a tenth of one processor, however many look.
type shared[T any] struct {
	mu    sync.Mutex
	until time.Time
	v     T
}

const noTime = 5 * time.Millisecond

func (s *shared[T]) get(make func() (T, error)) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	began := time.Now()
	if began.Before(s.until) {
		return s.v, nil
	}
	v, err := make()
	if err != nil {
		return v, err
	}
	if took := time.Since(began); took > noTime {
		s.v, s.until = v, began.Add(10*took)
	}
	return v, nil
}

func (k *call) surveyNow() (*match.Survey, error) {
	return k.survey.get(func() (*match.Survey, error) { return k.Match.Survey(k.ctx) })
}

func (k *call) outlookNow() (match.Outlook, error) {
	o, err := k.outlook.get(func() (o prestock.Outlook, err error) { return k.Prestock.Outlook(k.ctx) })
	return match.Outlook(o), err
}

// wireCells has a list for each thing that is told of the cells, all of one length: without the names
// of 20,000 objects it is a fifth as long.
type wireCells struct {
	AsOf         stamp     `json:"as_of"`
	Resolution   int       `json:"resolution"`
	Cells        []string  `json:"h3_cells"`
	Rings        []corners `json:"rings,omitempty"`
	Stores       []int     `json:"stores"`
	OpenStores   []int     `json:"open_stores"`
	FreeCapacity []int     `json:"free_capacity"`
	OpenOrders   []int     `json:"open_orders"`
	Unassignable []int     `json:"unassignable_orders"`
	Overdue      []int     `json:"overdue_orders"`
	Expected     []float64 `json:"expected_demand"`
	Shortage     []float64 `json:"shortage"`
}

func newWireCells(asOf time.Time, res, n int) wireCells {
	ints := func() []int { return make([]int, 0, n) }
	return wireCells{AsOf: stamp(asOf), Resolution: res, Cells: make([]string, 0, n), Stores: ints(), OpenStores: ints(), FreeCapacity: ints(),
		OpenOrders: ints(), Unassignable: ints(), Overdue: ints(), Expected: make([]float64, 0, n), Shortage: make([]float64, 0, n)}
}

func (w *wireCells) add(c *match.Cell) {
	w.Cells = append(w.Cells, c.Cell.String())
	w.Stores, w.OpenStores, w.FreeCapacity = append(w.Stores, c.Stores), append(w.OpenStores, c.OpenStores), append(w.FreeCapacity, c.FreeCapacity)
	w.OpenOrders, w.Unassignable, w.Overdue = append(w.OpenOrders, c.OpenOrders), append(w.Unassignable, c.Unassignable), append(w.Overdue, c.Overdue)
	w.Expected, w.Shortage = append(w.Expected, math.Round(c.Expected*10)/10), append(w.Shortage, math.Round(c.Short*10)/10)
}

// corners are a cell's corners, without the first again, in degrees to the metre: lng, lat, lng, lat.
type corners []geo.Point

// MarshalJSON keeps a ring across the antimeridian in one piece: its longitudes go beyond 180.
func (r corners) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, p := range r {
		if i > 0 {
			b = append(b, ',')
		}
		switch lng := r[0].Lng; {
		case p.Lng > lng+180:
			p.Lng -= 360
		case p.Lng < lng-180:
			p.Lng += 360
		}
		b = appendDegrees(b, p.Lng)
		b = appendDegrees(append(b, ','), p.Lat)
	}
	return append(b, ']'), nil
}

func appendDegrees(b []byte, v float64) []byte {
	return strconv.AppendFloat(b, math.Round(v*1e5)/1e5, 'f', -1, 64)
}

func (k *call) cells() error {
	var f fault.Fields
	res := geo.DemandRes
	if s := k.query("resolution"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > geo.MatchRes {
			f.Add("resolution", "out-of-range", "0 to %d", geo.MatchRes)
		}
		res = n
	}
	rings := k.oneOf(&f, "rings", "true", "false")
	box, err := bbox(k.query("bbox"))
	f.AddErr("", err)
	if err := f.Err(); err != nil {
		return err
	}
	survey, err := k.surveyNow()
	if err != nil {
		return err
	}
	outlook, err := k.outlookNow()
	if err != nil {
		return err
	}
	cells, err := survey.Cells(box, res, maxCells, outlook)
	if errors.Is(err, match.ErrTooManyCells) {
		return fault.InvalidField("bbox", "too-many-cells", "more than %d cells: ask for a smaller box or a coarser resolution", maxCells)
	}
	if err != nil {
		return err
	}
	out := newWireCells(survey.At, res, len(cells))
	for i := range cells {
		out.add(&cells[i])
		if rings == "true" {
			out.Rings = append(out.Rings, geo.Boundary(cells[i].Cell))
		}
	}
	return k.replySmall(out)
}

// replySmall is reply for what is long and holds only numbers and what the network itself has named.
func (k *call) replySmall(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	k.status = http.StatusOK
	k.header.Set("Vary", "Accept-Encoding")
	k.compress(body)
	return nil
}

// oneOf is a parameter that has a few values, the first of which is meant when it is left out.
func (k *call) oneOf(f *fault.Fields, name string, values ...string) string {
	s := k.query(name)
	if s == "" {
		return values[0]
	}
	for _, v := range values {
		if s == v {
			return v
		}
	}
	f.Add(name, "unknown-value", "one of %s", strings.Join(values, ", "))
	return ""
}

// bbox reads west,south,east,north in degrees; "" is the whole world. West above east crosses the
// antimeridian.
func bbox(s string) (geo.Box, error) {
	if s == "" {
		return geo.World(), nil
	}
	parts := strings.Split(s, ",")
	var v [4]float64
	ok := len(parts) == 4
	for i := 0; ok && i < 4; i++ {
		n, err := strconv.ParseFloat(strings.TrimSpace(parts[i]), 64)
		v[i], ok = n, err == nil
	}
	if ok {
		if box, err := geo.NewBox(v[0], v[1], v[2], v[3]); err == nil {
			return box, nil
		}
	}
	return geo.Box{}, fault.InvalidField("bbox", "invalid", "west,south,east,north in degrees, like 36.7,-1.4,36.9,-1.2")
}

type wireStorePoint struct {
	ID       string       `json:"id"`
	Name     string       `json:"name"`
	Location wireLocation `json:"location"`
	Status   string       `json:"status"`
	Open     bool         `json:"open"`
	Free     int          `json:"free_capacity"`
}

type wireOrderPoint struct {
	ID         string       `json:"id"`
	ExternalID *string      `json:"external_id"`
	Location   wireLocation `json:"location"`
	Status     order.Status `json:"status"`
	Overdue    bool         `json:"overdue"`
}

// what is the which of a call for points.
type what struct {
	where  match.Where
	stores string
	orders string
}

func (k *call) pointsAsked() (w what, err error) {
	var f fault.Fields
	w.stores = k.oneOf(&f, "stores", "all", "open", "none")
	w.orders = k.oneOf(&f, "orders", "open", "unassignable", "overdue", "none")
	cell, box := k.query("h3_cell"), k.query("bbox")
	switch {
	case (cell == "") == (box == ""):
		f.Add("bbox", "required", "say where: either bbox or h3_cell")
	case cell != "":
		if w.where.Cell, err = geo.ParseCell(cell); err != nil || w.where.Cell.Resolution() > geo.MatchRes {
			f.Add("h3_cell", "invalid", "an H3 cell of resolution 9 or coarser, as 15 hexadecimal digits")
		}
	default:
		w.where.Box, err = bbox(box)
		f.AddErr("", err)
	}
	return w, f.Err()
}

func (k *call) mapPoints() error {
	asked, err := k.pointsAsked()
	if err != nil {
		return err
	}
	survey, err := k.surveyNow()
	if err != nil {
		return err
	}
	out := struct {
		AsOf       stamp            `json:"as_of"`
		Stores     []wireStorePoint `json:"stores"`
		MoreStores bool             `json:"more_stores"`
		Orders     []wireOrderPoint `json:"orders"`
		MoreOrders bool             `json:"more_orders"`
	}{AsOf: stamp(survey.At), Stores: []wireStorePoint{}, Orders: []wireOrderPoint{}}
	if asked.stores != "none" {
		var stores []match.StoreAt
		stores, out.MoreStores = k.Match.StoresIn(survey, asked.where, asked.stores == "open", maxStorePoints)
		for _, s := range stores {
			out.Stores = append(out.Stores, wireStorePoint{k.names.Name(ident.Store, s.Key), s.Name, wireLocation{s.At.Lat, s.At.Lng}, s.Status, s.Free >= 0, max(0, s.Free)})
		}
	}
	if asked.orders != "none" {
		out.Orders, out.MoreOrders, err = k.orderPoints(survey, asked)
		if err != nil {
			return err
		}
	}
	if len(out.Orders) > 0 {
		return k.reply(http.StatusOK, out) // merchants name their orders: see compress
	}
	return k.replySmall(out)
}

func (k *call) orderPoints(survey *match.Survey, asked what) (out []wireOrderPoint, more bool, err error) {
	which := map[string]match.Orders{"open": match.OrdersOpen, "unassignable": match.OrdersUnassignable, "overdue": match.OrdersOverdue}[asked.orders]
	keys, more := survey.OrdersIn(asked.where, which, maxOrderPoints)
	spots, err := k.Orders.Spots(k.ctx, keys)
	out = make([]wireOrderPoint, 0, len(spots))
	for _, o := range spots {
		out = append(out, wireOrderPoint{k.names.Name(ident.Order, o.Key), optional(o.ExternalID), wireLocation{o.At.Lat, o.At.Lng}, o.Status, o.Overdue(k.DB.Now())})
	}
	return out, more, err
}
