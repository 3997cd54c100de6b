// Package geo holds the places of Doorstep: points in degrees, metres between
// them, and H3 cells. It is the only package that knows H3.
//
// Three ways to say "how far" live here, each for its own use. [DistanceM] is
// what people and contracts see: great-circle metres on a sphere. [Vec] is the
// same point as a unit vector: the straight chord between two of them orders
// pairs of points exactly as the great circle does, and needs no trigonometry.
// A [Cell] is a coarse place for counting and grouping; no distance is ever
// decided by cells.
package geo

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/uber/h3-go/v4"
)

// Resolutions of H3 that Doorstep speaks in. A cell of resolution 9 is about
// 0.1 km2, of resolution 7 about 5 km2.
const (
	MatchRes  = 9 // what orders and stores carry
	DemandRes = 7 // what demand is counted by
)

// MaxRes is the finest H3 resolution.
const MaxRes = 15

// EarthRadiusM is the sphere's radius in metres. 6,371,000 is the rounded mean
// radius that haversine calculators and our oracles use; H3 uses a slightly
// different one, so distances never come from H3.
const EarthRadiusM = 6_371_000.0

// Point is a position in WGS84 degrees. Latitude comes first, as in the API.
type Point struct {
	Lat, Lng float64
}

// Check says whether p can be a position: both numbers finite, Lat in
// [-90, 90] and Lng in [-180, 180]. If not, hint tells the sender what to mend;
// it is empty when ok.
func Check(p Point) (ok bool, hint string) {
	latOK, lngOK := math.Abs(p.Lat) <= 90, math.Abs(p.Lng) <= 180
	switch {
	case latOK && lngOK:
		return true, ""
	case !finite(p.Lat) || !finite(p.Lng):
		return false, "lat and lng must be finite numbers"
	case !latOK && math.Abs(p.Lat) <= 180 && math.Abs(p.Lng) <= 90:
		return false, "lat and lng look swapped"
	case !latOK:
		return false, "lat must be between -90 and 90"
	default:
		return false, "lng must be between -180 and 180"
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// DistanceM returns the great-circle distance in metres by the haversine
// formula (Sinnott 1984) on a sphere of [EarthRadiusM]. It is symmetric to the
// last bit, and 0 for equal points. Against the ellipsoid it errs by up to 0.5 %.
func DistanceM(a, b Point) float64 {
	const radian = math.Pi / 180
	sinLat := math.Sin((b.Lat - a.Lat) * radian / 2)
	sinLng := math.Sin((b.Lng - a.Lng) * radian / 2)
	h := sinLat*sinLat + math.Cos(a.Lat*radian)*math.Cos(b.Lat*radian)*(sinLng*sinLng)
	// Rounding can lift h above 1 between antipodes, where Asin would be NaN.
	return 2 * EarthRadiusM * math.Asin(min(1, math.Sqrt(h)))
}

// Vec is a vector in the space around the earth's centre, in earth radii. A
// point on the ground has length 1.
type Vec struct {
	X, Y, Z float64
}

// VecOf returns p as a unit vector. Nothing is special at the poles or at the
// antimeridian any more.
func VecOf(p Point) Vec {
	sinLat, cosLat := math.Sincos(p.Lat * math.Pi / 180)
	sinLng, cosLng := math.Sincos(p.Lng * math.Pi / 180)
	return Vec{X: cosLat * cosLng, Y: cosLat * sinLng, Z: sinLat}
}

// Chord2 returns the squared straight distance between a and b, in earth radii
// squared. For points on the ground it grows with their great-circle distance,
// so it decides which of two is nearer without trigonometry.
func (a Vec) Chord2(b Vec) float64 {
	x, y, z := a.X-b.X, a.Y-b.Y, a.Z-b.Z
	return x*x + y*y + z*z
}

// Chord returns the straight distance between a and b in earth radii. Being
// Euclidean, it obeys the triangle inequality for any three vectors, on the
// ground or not.
func (a Vec) Chord(b Vec) float64 { return math.Sqrt(a.Chord2(b)) }

// ChordOf returns the chord, in earth radii, that spans a great-circle distance
// in metres. It grows with m; from half the circumference on (no two points are
// farther apart) it stays 2.
func ChordOf(m float64) float64 {
	return 2 * math.Sin(min(m/(2*EarthRadiusM), math.Pi/2))
}

// MetresOf is the inverse of [ChordOf] for chords in [0, 2].
func MetresOf(chord float64) float64 {
	return 2 * EarthRadiusM * math.Asin(min(1, chord/2))
}

// Cell is an H3 cell index. It fits a BIGINT as it is: the top bit of a valid
// index is never set. The zero Cell means "no cell". The functions below take
// cells made by [CellOf] or [ParseCell].
type Cell int64

// CellOf returns the cell of resolution res (0 coarse to 15 fine) that holds p.
// It fails when p does not pass [Check] or res is out of range.
func CellOf(p Point, res int) (Cell, error) {
	if ok, hint := Check(p); !ok {
		return 0, errors.New("geo: " + hint)
	}
	c, err := h3.LatLngToCell(h3.LatLng(p), res)
	if err != nil {
		return 0, fmt.Errorf("geo: cell of %v at resolution %d: %w", p, res, err)
	}
	return Cell(c), nil
}

// ParseCell reads what [Cell.String] writes: 15 hex digits, in either case,
// that name an existing H3 cell.
func ParseCell(s string) (Cell, error) {
	const digits = 15
	n, err := strconv.ParseInt(s, 16, 64)
	if err != nil || len(s) != digits || !Cell(n).exists() {
		return 0, fmt.Errorf("geo: %q is not an H3 cell", s)
	}
	return Cell(n), nil
}

// String returns the cell as H3 writes it: 15 lower-case hex digits.
func (c Cell) String() string { return fmt.Sprintf("%015x", uint64(c)) }

// Resolution returns the cell's resolution, 0 to 15.
func (c Cell) Resolution() int {
	// Bits 52 to 55 of an H3 index; read here because a call into C costs more
	// than most callers' whole use of it.
	return int(c>>52) & 15
}

// exists is asked before H3 is: it answers for any number, and would place the
// zero Cell in the Arctic.
func (c Cell) exists() bool { return h3.Cell(c).IsValid() }

// Parent returns the cell of resolution res that c belongs to; c itself for its
// own resolution. It fails when res is finer than c or out of range.
//
// A parent does not cover its children to the metre: their edges stick out.
func Parent(c Cell, res int) (Cell, error) {
	if !c.exists() {
		return 0, fmt.Errorf("geo: %v is not an H3 cell", c)
	}
	up, err := h3.Cell(c).Parent(res)
	if err != nil {
		return 0, fmt.Errorf("geo: parent of %v at resolution %d: %w", c, res, err)
	}
	return Cell(up), nil
}

// Above is [Parent] by the index's bits alone, without a call into C, for a cell
// that exists and a res that is not finer than its own.
func (c Cell) Above(res int) Cell {
	return c&^(15<<52) | Cell(res)<<52 | (1<<(3*(MaxRes-res)) - 1)
}

// Within is the range of the numbers of the cells of resolution res within c. An H3 index holds its
// resolution in bits 52 to 55 and then 3 bits for each finer step, 0 to 6, 7 when unused: the
// descendants of a cell are therefore a range.
func Within(c Cell, res int) (from, to Cell) {
	from, to = c, c
	for r := c.Resolution() + 1; r <= res; r++ {
		from += 1<<52 - 7<<(3*(MaxRes-r))
		to += 1<<52 - 1<<(3*(MaxRes-r))
	}
	return from, to
}

// Center returns the middle of c. For a value that is no cell it is a point
// that does not pass [Check].
func Center(c Cell) Point {
	p, err := h3.Cell(c).LatLng()
	if err != nil || !c.exists() {
		return Point{Lat: math.NaN(), Lng: math.NaN()}
	}
	return Point(p)
}

// Boundary returns the corners of c, counter-clockwise, the first not repeated:
// mostly 6, and 5 to 10 for pentagons and where an edge of H3's icosahedron
// cuts the cell. It is nil for a value that is no cell.
func Boundary(c Cell) []Point {
	corners, err := h3.Cell(c).Boundary()
	if err != nil || !c.exists() {
		return nil
	}
	ring := make([]Point, len(corners))
	for i, corner := range corners {
		ring[i] = Point(corner)
	}
	return ring
}

// Disk returns c and all cells at most k steps away, ring by ring from c
// outward, so that a smaller disk is a prefix. Away from pentagons that is
// 3k(k+1)+1 cells. It is nil for a negative k or a value that is no cell.
func Disk(c Cell, k int) []Cell {
	if k < 0 || !c.exists() {
		return nil
	}
	rings, err := h3.Cell(c).GridDiskDistances(k)
	if err != nil {
		return nil
	}
	disk := make([]Cell, 0, 3*k*(k+1)+1)
	for _, ring := range rings {
		for _, cell := range ring {
			if cell != 0 { // H3 leaves holes beside a pentagon
				disk = append(disk, Cell(cell))
			}
		}
	}
	return disk
}

// ErrTooManyCells is wrapped by [CellsInBox] when the box needs more cells than
// the caller allows.
var ErrTooManyCells = errors.New("geo: the box holds too many cells at this resolution")

// CellsInBox returns, in ascending order, every cell of resolution res that
// touches the box from (south, west) to (north, east) in degrees. A box with
// west > east crosses the antimeridian. Cells whose circumscribed circle just
// touches the box may be among them. It fails with [ErrTooManyCells] when there
// are more than limit, and costs at most about limit steps whatever the box.
//
// The cells are found by spreading from the box's middle to neighbours that
// touch it. H3's own polygon filling works on a flat map, so it loses cells at
// the poles and needs the box cut up at the antimeridian; this does not.
func CellsInBox(west, south, east, north float64, res, limit int) ([]Cell, error) {
	b, err := NewBox(west, south, east, north)
	if err != nil {
		return nil, err
	}
	seed, err := CellOf(b.middle(), res)
	if err != nil {
		return nil, err
	}
	found := []Cell{seed}
	seen := map[Cell]bool{seed: true}
	for i := 0; i < len(found) && len(found) <= limit; i++ {
		for _, c := range Disk(found[i], 1) {
			if !seen[c] {
				seen[c] = true
				if b.touches(c) {
					found = append(found, c)
				}
			}
		}
	}
	if len(found) > limit {
		return nil, fmt.Errorf("%w (resolution %d, at most %d)", ErrTooManyCells, res, limit)
	}
	slices.Sort(found)
	return found, nil
}

// Box is a piece of the earth between two parallels and two meridians: width
// degrees eastward from west.
type Box struct {
	west, width, south, north float64
}

// NewBox is the box from (south, west) to (north, east) in degrees. One with
// west > east crosses the antimeridian. It fails when a corner does not pass
// [Check] or south lies above north.
func NewBox(west, south, east, north float64) (Box, error) {
	for _, corner := range []Point{{south, west}, {north, east}} {
		if ok, hint := Check(corner); !ok {
			return Box{}, errors.New("geo: box: " + hint)
		}
	}
	if south > north {
		return Box{}, errors.New("geo: box: south must not be above north")
	}
	width := east - west
	if width < 0 {
		width += 360
	}
	return Box{west: west, width: width, south: south, north: north}, nil
}

// World is the box that holds every point.
func World() Box { return Box{west: -180, width: 360, south: -90, north: 90} }

// Holds reports whether p lies in the box, its edges included.
func (b Box) Holds(p Point) bool {
	return eastward(b.west, p.Lng) <= b.width && b.south <= p.Lat && p.Lat <= b.north
}

// MayHold reports whether the centre of c, or of a cell below it, may lie in the
// box. It says yes too often, never too seldom.
func (b Box) MayHold(c Cell) bool { return b.distanceM(Center(c)) <= offspringM[c.Resolution()] }

// offspringM is how far, in metres, the centre of a cell below one of each
// resolution lies from its own at most. Seven cells of one resolution make one of
// the next coarser, so their centres are 1/sqrt(7) of its spacing apart, and so on
// down: 0.61 spacings in all, of which the average is sqrt(3) * 1,281 km at
// resolution 0. The rest is for how unequal the cells of a resolution are.
var offspringM = func() (reach [MaxRes + 1]float64) {
	for res, m := 0, 0.61*math.Sqrt(3)*1_281_256*1.3; res <= MaxRes; res, m = res+1, m/math.Sqrt(7) {
		reach[res] = m
	}
	return reach
}()

func (b Box) middle() Point {
	return Point{Lat: (b.south + b.north) / 2, Lng: wrapLng(b.west + b.width/2)}
}

// touches says whether the circle around c's corners reaches the box.
func (b Box) touches(c Cell) bool {
	center := Center(c)
	gap := b.distanceM(center)
	if gap == 0 {
		return true
	}
	reach := 0.0
	for _, corner := range Boundary(c) {
		reach = max(reach, DistanceM(center, corner))
	}
	return gap <= reach
}

// distanceM returns the metres from p to the nearest point of the box.
func (b Box) distanceM(p Point) float64 {
	if eastward(b.west, p.Lng) <= b.width {
		return DistanceM(p, Point{Lat: clamp(p.Lat, b.south, b.north), Lng: p.Lng})
	}
	// Beside the box the nearest point lies on its western or eastern side.
	return min(b.sideM(p, b.west), b.sideM(p, wrapLng(b.west+b.width)))
}

// sideM returns the metres from p to the box's side on the meridian lng. The
// nearest point of the side is the foot of the perpendicular from p if that
// lies on the side, else one of the ends.
func (b Box) sideM(p Point, lng float64) float64 {
	const radian = math.Pi / 180
	sinLat, cosLat := math.Sincos(p.Lat * radian)
	foot := math.Atan2(sinLat, cosLat*math.Cos((p.Lng-lng)*radian)) / radian
	return min(
		DistanceM(p, Point{Lat: b.south, Lng: lng}),
		DistanceM(p, Point{Lat: b.north, Lng: lng}),
		DistanceM(p, Point{Lat: clamp(foot, b.south, b.north), Lng: lng}),
	)
}

func clamp(x, lo, hi float64) float64 { return min(max(x, lo), hi) }

// eastward returns the degrees, in [0, 360), from one longitude east to another.
func eastward(from, to float64) float64 {
	d := to - from
	switch {
	case d < 0:
		d += 360
	case d >= 360:
		d -= 360
	}
	return d
}

func wrapLng(lng float64) float64 {
	if lng > 180 {
		lng -= 360
	}
	return lng
}
