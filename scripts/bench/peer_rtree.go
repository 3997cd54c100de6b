package main

import (
	"math"

	"github.com/tidwall/rtree"

	"doorstep/geo"
)

// rtreePeer is tidwall/rtree in our own process: what a Go programmer would take. The library knows two
// dimensions, so stores lie in degrees. There are two ways to ask it, and both are measured.
type rtreePeer struct {
	w    *world
	tree rtree.RTreeGN[float64, int32]
	find func(*rtreePeer, *ask) answer
}

const radian = math.Pi / 180

func startNearby(_ *bench, _ string, w *world) (peer, error) {
	return newRtree(w, (*rtreePeer).byNearby), nil
}

func startBoxes(_ *bench, _ string, w *world) (peer, error) {
	return newRtree(w, (*rtreePeer).byBoxes), nil
}

func newRtree(w *world, find func(*rtreePeer, *ask) answer) *rtreePeer {
	p := &rtreePeer{w: w, find: find}
	for i := range w.shops {
		point := [2]float64{w.shops[i].at.Lng, w.shops[i].at.Lat}
		p.tree.Insert(point, point, int32(i))
	}
	return p
}

func (p *rtreePeer) nearest(a *ask) (answer, error) { return p.find(p, a), nil }
func (p *rtreePeer) servers() ([]int, error)        { return nil, nil }
func (p *rtreePeer) close() error                   { return nil }

// flat measures near a point as on a plane: squared distances in radians. To 3 km that is right to a tenth of
// a millimetre, and costs a twentieth of the haversine.
type flat struct {
	lng, lat, sin, cos float64
	limit2             float64 // of the search, squared
	east               float64 // the shortest that a degree of longitude is within the limit
}

func flatAt(p geo.Point, limitM float64) flat {
	limit := limitM / geo.EarthRadiusM
	f := flat{lng: p.Lng, lat: p.Lat, limit2: limit * limit}
	f.sin, f.cos = math.Sincos(p.Lat * radian)
	f.east = radian * math.Cos(math.Abs(p.Lat)*radian+limit)
	return f
}

// to is the way to a point: the haversine's law with the cosine of the other latitude from its Taylor series.
func (f *flat) to(lng, lat float64) float64 {
	x, y := (lng-f.lng)*radian, (lat-f.lat)*radian
	return y*y + x*x*f.cos*(f.cos-f.sin*y-f.cos*y*y/2)
}

// toBox is never more than the way to a point in the box that lies within the limit.
func (f *flat) toBox(low, high [2]float64) float64 {
	x := max(low[0]-f.lng, f.lng-high[0], 0) * f.east
	y := max(low[1]-f.lat, f.lat-high[1], 0) * radian
	return x*x + y*y
}

// byNearby asks as the library means it: Nearby shows what it has by rising distance. What does not fit is
// put just beyond the limit instead of being shown, which saves a third.
func (p *rtreePeer) byNearby(a *ask) answer {
	f := flatAt(a.at, a.radiusM)
	found := nobody
	p.tree.Nearby(
		func(low, high [2]float64, i int32, item bool) float64 {
			if !item {
				return f.toBox(low, high)
			}
			d2 := f.to(low[0], low[1])
			if d2 <= f.limit2 && !a.fits(&p.w.shops[i]) {
				return 2 * f.limit2
			}
			return d2
		},
		func(_, _ [2]float64, i int32, d2 float64) bool {
			if d2 <= f.limit2 {
				found = p.w.answer(a, int(i))
			}
			return false
		})
	return found
}

// byBoxes looks through a box, and through one of twice the size if nobody in its circle fits. It goes
// without a queue, which for so many stores nearby is worth more than a good order.
func (p *rtreePeer) byBoxes(a *ask) answer {
	for reach := 250.0; ; reach *= 2 {
		reach = min(reach, a.radiusM)
		f := flatAt(a.at, reach)
		best, best2 := int32(-1), f.limit2
		north, east := reach/geo.EarthRadiusM/radian, reach/geo.EarthRadiusM/f.east
		p.tree.Search([2]float64{f.lng - east, f.lat - north}, [2]float64{f.lng + east, f.lat + north},
			func(low, _ [2]float64, i int32) bool {
				if d2 := f.to(low[0], low[1]); d2 <= best2 && a.fits(&p.w.shops[i]) {
					best, best2 = i, d2
				}
				return true
			})
		if best >= 0 {
			return p.w.answer(a, int(best))
		}
		if reach >= a.radiusM {
			return nobody
		}
	}
}
