package web

import (
	"math"
	"strconv"
	"strings"
)

// Ring is the outline of one cell: corners as {latitude, longitude} in degrees
// WGS84, in order, the first not repeated at the end.
type Ring [][2]float64

// Map is a neighbourhood in cells. No point of anyone's address is on it.
type Map struct {
	You    Ring // the customer's cell; without it there is no map
	Store  Ring // the store's cell, if it should be shown
	Runner Ring // the runner's cell; drawn only while the runner has the parcel
}

// The drawing's size in user units; about one unit per pixel on a phone.
const (
	mapWidth  = 400
	mapHeight = 230
)

type mapView struct {
	Around             string // SVG path data; the same for the cells below
	You, Store, Runner string
	YouAt, StoreAt     string // "x y" of the cell's middle, for a marker
	RunnerAt           string
	Say                string // the map in a sentence, for those who do not see it
}

// drawMap projects the cells onto the drawing so that the customer's, the
// store's and the runner's are all in it. Missing cells are left out; it
// answers nil when there is no usable cell of the customer.
func drawMap(m Map, w *words) *mapView {
	if !m.You.usable() {
		return nil
	}
	p := fit(m.You, m.Store, m.Runner)
	v := &mapView{Around: p.honeycomb(m.You), You: p.path(m.You), YouAt: p.at(m.You.middle()), Say: w.MapYou}
	if m.Store.usable() {
		v.Store, v.StoreAt = p.path(m.Store), p.at(m.Store.middle())
	}
	if m.Runner.usable() {
		v.Runner, v.RunnerAt = p.path(m.Runner), p.at(m.Runner.middle())
		v.Say = w.MapRunnerHere
		if d := metresBetween(m.You.middle(), m.Runner.middle()); d > 50 {
			v.Say = fillIn(w.MapRunnerAway, "{distance}", sayDistance(d, w))
		}
	}
	return v
}

func (r Ring) usable() bool {
	for _, corner := range r {
		if !(math.Abs(corner[0]) <= 90 && math.Abs(corner[1]) <= 180) { // false for NaN too
			return false
		}
	}
	return len(r) >= 3
}

// middle averages the corners, counting longitudes from the first corner so
// that a cell across the antimeridian keeps together.
func (r Ring) middle() [2]float64 {
	var lat, lng float64
	for _, corner := range r {
		lat += corner[0]
		lng += wrap(corner[1] - r[0][1])
	}
	n := float64(len(r))
	return [2]float64{lat / n, wrap(r[0][1] + lng/n)}
}

func wrap(degrees float64) float64 { return math.Remainder(degrees, 360) }

// metresBetween is the distance on a flat Earth, good to a few per mille at the
// size of a neighbourhood.
func metresBetween(a, b [2]float64) float64 {
	const metresPerDegree = 111_195
	north := b[0] - a[0]
	east := wrap(b[1]-a[1]) * math.Cos(a[0]*math.Pi/180)
	return metresPerDegree * math.Hypot(north, east)
}

// xy is a place or a step in the drawing, in user units, y downwards.
type xy struct{ x, y float64 }

func (a xy) plus(b xy) xy       { return xy{a.x + b.x, a.y + b.y} }
func (a xy) minus(b xy) xy      { return xy{a.x - b.x, a.y - b.y} }
func (a xy) times(f float64) xy { return xy{a.x * f, a.y * f} }
func (a xy) onMap(slack float64) bool {
	return a.x > -slack && a.x < mapWidth+slack && a.y > -slack && a.y < mapHeight+slack
}

// String has hundredths: a row of the honeycomb adds up thirty steps and must
// not drift by a visible unit.
func (a xy) String() string { return hundredths(a.x) + " " + hundredths(a.y) }

func hundredths(f float64) string { return strconv.FormatFloat(math.Round(f*100)/100+0, 'f', -1, 64) }

// projection is equirectangular around origin: degrees to user units.
type projection struct {
	origin  [2]float64
	squeeze float64 // a degree of longitude in degrees of latitude
	scale   float64 // user units per degree of latitude
	centre  xy      // what is drawn in the middle, in degrees from origin
}

// fit chooses the scale: all given cells, and about one cell's width around
// them, so that the customer sees a neighbourhood and not one hexagon.
func fit(you Ring, others ...Ring) projection {
	p := projection{origin: you.middle(), scale: 1}
	p.squeeze = math.Max(0.01, math.Cos(p.origin[0]*math.Pi/180))
	low, high := xy{math.Inf(1), math.Inf(1)}, xy{math.Inf(-1), math.Inf(-1)}
	extend := func(ring Ring) {
		for _, corner := range ring {
			c := p.degrees(corner)
			low = xy{math.Min(low.x, c.x), math.Min(low.y, c.y)}
			high = xy{math.Max(high.x, c.x), math.Max(high.y, c.y)}
		}
	}
	extend(you)
	margin := math.Max(0.9*(high.y-low.y), 1e-6)
	for _, ring := range others {
		if ring.usable() {
			extend(ring)
		}
	}
	p.centre = low.plus(high).times(0.5)
	size := high.minus(low).plus(xy{2 * margin, 2 * margin})
	p.scale = math.Min(mapWidth/size.x, mapHeight/size.y)
	return p
}

func (p projection) degrees(c [2]float64) xy {
	return xy{wrap(c[1]-p.origin[1]) * p.squeeze, p.origin[0] - c[0]}
}

func (p projection) point(c [2]float64) xy {
	return p.degrees(c).minus(p.centre).times(p.scale).plus(xy{mapWidth / 2, mapHeight / 2})
}

func (p projection) at(c [2]float64) string { return p.point(c).String() }

func (p projection) path(ring Ring) string {
	corners := make([]string, len(ring))
	for i, corner := range ring {
		corners[i] = p.at(corner)
	}
	return "M" + strings.Join(corners, " ") + "z" // pairs after the first are lines
}

// honeycomb continues the customer's hexagon over the whole drawing. At the
// size of a neighbourhood H3's cells are as regular as that, and so nobody has
// to compute and send the cells around. Three edges of each cell are enough,
// the others belong to its neighbours. It draws nothing around a pentagon, or
// when the cells are too small to see.
func (p projection) honeycomb(you Ring) string {
	const smallest = 20 // user units across
	if len(you) != 6 {
		return ""
	}
	var corner [6]xy
	for i := range you {
		corner[i] = p.point(you[i]).minus(p.point(you.middle()))
	}
	across := corner[0].minus(corner[3])
	size := math.Hypot(across.x, across.y)
	if size < smallest {
		return ""
	}
	// Two cells that share an edge are as far apart as its two corners, added.
	right, down := corner[0].plus(corner[1]), corner[1].plus(corner[2])
	edges := "l" + corner[1].minus(corner[0]).String() + " " + corner[2].minus(corner[1]).String() + " " + corner[3].minus(corner[2]).String()

	// Steps are relative, so that every cell of a row reads the same and compresses to nothing.
	next := "m" + right.minus(corner[3].minus(corner[0])).String() + edges

	reach := int(2*mapWidth/size) + 2
	var d strings.Builder
	for row := -reach; row <= reach; row++ {
		started := false
		for col := -reach; col <= reach; col++ {
			middle := p.point(you.middle()).plus(right.times(float64(col))).plus(down.times(float64(row)))
			switch {
			case !middle.onMap(size):
			case started:
				d.WriteString(next)
			default:
				d.WriteString("M" + middle.plus(corner[0]).String() + edges)
				started = true
			}
		}
	}
	return d.String()
}
