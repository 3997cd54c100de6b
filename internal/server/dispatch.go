package server

import (
	"net/http"
	"strconv"
	"strings"

	"doorstep/geo"
	"doorstep/internal/fault"
)

type wireJob struct {
	Name      string  `json:"name"`
	Schedule  string  `json:"schedule"`
	LastSlot  *stamp  `json:"last_slot"`
	LastState *string `json:"last_state"`
	NextSlot  *stamp  `json:"next_slot"`
}

func (k *call) jobs() ([]wireJob, error) {
	all, err := k.Jobs.List(k.ctx)
	if err != nil {
		return nil, err
	}
	out := make([]wireJob, len(all))
	for i, j := range all {
		out[i] = wireJob{j.Name, j.Schedule, stampOf(j.LastSlot), optional(j.LastState), stampOf(&j.NextSlot)}
	}
	return out, nil
}

func (k *call) listJobs() error {
	out, err := k.jobs()
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, newList(k.names, out, false, 0))
}

func (k *call) runJob() error {
	name := k.param("name")
	if err := k.Jobs.RunNow(k.ctx, name); err != nil {
		return err
	}
	out, err := k.jobs()
	if err != nil {
		return err
	}
	for _, j := range out {
		if j.Name == name {
			return k.reply(http.StatusOK, j)
		}
	}
	return fault.Missing("job")
}

type wireCell struct {
	Cell         string         `json:"h3_cell"`
	Center       wireLocation   `json:"center"`
	Ring         []wireLocation `json:"ring"`
	Stores       int            `json:"stores"`
	OpenStores   int            `json:"open_stores"`
	FreeCapacity int            `json:"free_capacity"`
	OpenOrders   int            `json:"open_orders"`
	Unassignable int            `json:"unassignable_orders"`
	Expected     float64        `json:"expected_demand"`
}

// maxCells bounds an answer, and the work behind it.
const maxCells = 5000

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
	box, err := bbox(k.query("bbox"))
	f.AddErr("", err)
	if err := f.Err(); err != nil {
		return err
	}
	cells, err := k.Match.Cells(k.ctx, res, box)
	if err != nil {
		return err
	}
	if len(cells) > maxCells {
		return fault.InvalidField("bbox", "too-many-cells", "%d cells; ask for a smaller box or a coarser resolution (at most %d)", len(cells), maxCells)
	}
	out := make([]wireCell, len(cells))
	for i, c := range cells {
		mid := geo.Center(c.Cell)
		out[i] = wireCell{Cell: c.Cell.String(), Center: wireLocation{mid.Lat, mid.Lng}, Stores: c.Stores, OpenStores: c.OpenStores,
			FreeCapacity: c.FreeCapacity, OpenOrders: c.OpenOrders, Unassignable: c.Unassignable, Expected: c.Expected}
		for _, p := range geo.Boundary(c.Cell) {
			out[i].Ring = append(out[i].Ring, wireLocation{p.Lat, p.Lng})
		}
	}
	return k.reply(http.StatusOK, newList(k.names, out, false, 0))
}

// bbox reads west,south,east,north in degrees; "" is the whole world. West above east crosses the
// antimeridian.
func bbox(s string) (func(geo.Point) bool, error) {
	if s == "" {
		return func(geo.Point) bool { return true }, nil
	}
	parts := strings.Split(s, ",")
	var v [4]float64
	ok := len(parts) == 4
	for i := 0; ok && i < 4; i++ {
		n, err := strconv.ParseFloat(strings.TrimSpace(parts[i]), 64)
		v[i], ok = n, err == nil && n >= -180 && n <= 180
	}
	if !ok || v[1] > v[3] || v[1] < -90 || v[3] > 90 {
		return nil, fault.InvalidField("bbox", "invalid", "west,south,east,north in degrees, like 36.7,-1.4,36.9,-1.2")
	}
	return func(p geo.Point) bool {
		inside := p.Lng >= v[0] && p.Lng <= v[2]
		if v[0] > v[2] {
			inside = p.Lng >= v[0] || p.Lng <= v[2]
		}
		return inside && p.Lat >= v[1] && p.Lat <= v[3]
	}, nil
}
