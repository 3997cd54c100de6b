package geo_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/uber/h3-go/v4"
	"pgregory.net/rapid"

	"doorstep/geo"
)

func TestCheckTellsTheSenderWhatToMend(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name string
		p    geo.Point
		hint string
	}{
		{"Tokyo", geo.Point{Lat: 35.68, Lng: 139.77}, ""},
		{"the pole, at the antimeridian", geo.Point{Lat: -90, Lng: 180}, ""},
		{"Tokyo, longitude first", geo.Point{Lat: 139.77, Lng: 35.68}, "swapped"},
		{"lat too big, and no swap helps", geo.Point{Lat: 139.77, Lng: 135.68}, "lat must be between"},
		{"lat beyond any longitude", geo.Point{Lat: 200, Lng: 10}, "lat must be between"},
		{"lat just over", geo.Point{Lat: math.Nextafter(90, 91), Lng: 179}, "lat must be between"},
		{"lng too big", geo.Point{Lat: 35.68, Lng: 180.5}, "lng must be between"},
		{"no number", geo.Point{Lat: nan, Lng: 0}, "finite"},
		{"no number second", geo.Point{Lat: 0, Lng: nan}, "finite"},
		{"endless", geo.Point{Lat: inf, Lng: 10}, "finite"},
		{"endless second", geo.Point{Lat: 120, Lng: -inf}, "finite"},
	} {
		ok, hint := geo.Check(c.p)
		if ok != (c.hint == "") || !strings.Contains(hint, c.hint) || ok && hint != "" {
			t.Errorf("%s: Check(%v) = %v, %q; want a hint with %q", c.name, c.p, ok, hint, c.hint)
		}
		if _, err := geo.CellOf(c.p, geo.MatchRes); (err == nil) != ok {
			t.Errorf("%s: CellOf must agree with Check, got %v", c.name, err)
		}
	}
}

// anyPoint favours the places where maps break: poles, the antimeridian, and
// round numbers that make points coincide.
func anyPoint() *rapid.Generator[geo.Point] {
	return rapid.Custom(func(t *rapid.T) geo.Point {
		lat := rapid.OneOf(rapid.Float64Range(-90, 90), rapid.SampledFrom([]float64{-90, 90, 0, 89.9999})).Draw(t, "lat")
		lng := rapid.OneOf(rapid.Float64Range(-180, 180), rapid.SampledFrom([]float64{-180, 180, 0, 179.9999})).Draw(t, "lng")
		return geo.Point{Lat: lat, Lng: lng}
	})
}

// arcM is the distance by Vincenty's formula on a sphere: other arithmetic than
// the haversine, exact at all ranges.
func arcM(a, b geo.Point) float64 {
	const radian = math.Pi / 180
	sa, ca := math.Sincos(a.Lat * radian)
	sb, cb := math.Sincos(b.Lat * radian)
	sl, cl := math.Sincos((b.Lng - a.Lng) * radian)
	return geo.EarthRadiusM * math.Atan2(math.Hypot(cb*sl, ca*sb-sa*cb*cl), sa*sb+ca*cb*cl)
}

func TestDistanceOfKnownPlaces(t *testing.T) {
	quarter := math.Pi / 2 * geo.EarthRadiusM
	for _, c := range []struct {
		name string
		a, b geo.Point
		want float64
	}{
		{"equator to pole", geo.Point{Lat: 0, Lng: 77}, geo.Point{Lat: 90, Lng: -3}, quarter},
		{"between the poles", geo.Point{Lat: 90}, geo.Point{Lat: -90, Lng: 20}, 2 * quarter},
		{"one degree of the equator", geo.Point{}, geo.Point{Lng: 1}, quarter / 90},
		{"a degree across the antimeridian", geo.Point{Lng: 179.5}, geo.Point{Lng: -179.5}, quarter / 90},
		{"the pole, named twice", geo.Point{Lat: 90, Lng: 10}, geo.Point{Lat: 90, Lng: -120}, 0},
		{"London to Paris", geo.Point{Lat: 51.5074, Lng: -0.1278}, geo.Point{Lat: 48.8566, Lng: 2.3522}, 343_556.06},
	} {
		if got := geo.DistanceM(c.a, c.b); math.Abs(got-c.want) > 0.01 {
			t.Errorf("%s: %.3f m, want %.3f m", c.name, got, c.want)
		}
	}
}

func TestDistanceIsSymmetricAndAgreesWithAnotherFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyPoint().Draw(t, "a"), anyPoint().Draw(t, "b")
		got := geo.DistanceM(a, b)
		if back := geo.DistanceM(b, a); got != back {
			t.Fatalf("there %v m, back %v m", got, back)
		}
		// Near antipodes the haversine keeps only half the digits.
		if want := arcM(a, b); !(math.Abs(got-want) <= 1e-6+want*1e-8) {
			t.Fatalf("DistanceM %v m, Vincenty %v m", got, want)
		}
		if self := geo.DistanceM(a, a); self != 0 {
			t.Fatalf("a point is %v m from itself", self)
		}
	})
}

// The live index decides by chords and reports metres: a chord longer by its
// safety margin (1e-12 earth radii, 6 micrometres) must mean more metres.
func TestChordsOrderPointsAsMetresDo(t *testing.T) {
	const margin = 1e-12
	rapid.Check(t, func(t *rapid.T) {
		q := anyPoint().Draw(t, "q")
		a := anyPoint().Draw(t, "a")
		b := anyPoint().Draw(t, "b")
		if rapid.Bool().Draw(t, "b is beside a") {
			step := rapid.Float64Range(-1e-9, 1e-9).Draw(t, "step")
			b = geo.Point{Lat: max(-90, min(90, a.Lat+step)), Lng: a.Lng}
		}
		if rapid.Bool().Draw(t, "q is opposite") { // where the haversine is at its worst
			q = geo.Point{Lat: -a.Lat, Lng: a.Lng - math.Copysign(180, a.Lng)}
		}
		ca, cb := geo.VecOf(q).Chord(geo.VecOf(a)), geo.VecOf(q).Chord(geo.VecOf(b))
		da, db := geo.DistanceM(q, a), geo.DistanceM(q, b)
		if ca+margin < cb && da >= db || cb+margin < ca && db >= da {
			t.Fatalf("chords %v %v, but metres %v %v", ca, cb, da, db)
		}
		if m := geo.ChordOf(da); math.Abs(m-ca) > margin {
			t.Fatalf("%v m span a chord of %v, measured %v", da, m, ca)
		}
	})
}

func TestChordAndMetresAreInverse(t *testing.T) {
	for _, m := range []float64{0, 1e-3, 1, 3000, 100_000, 10_000_000} {
		if back := geo.MetresOf(geo.ChordOf(m)); math.Abs(back-m) > 1e-8+m*1e-12 {
			t.Errorf("%v m came back as %v m", m, back)
		}
	}
	for _, m := range []float64{math.Pi * geo.EarthRadiusM, 1e9, math.Inf(1)} {
		if c := geo.ChordOf(m); c != 2 {
			t.Errorf("ChordOf(%v) = %v, want 2: no two points are farther apart", m, c)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.Float64Range(0, 3e7).Draw(t, "m")
		more := m + rapid.Float64Range(0, 1e6).Draw(t, "extra")
		if geo.ChordOf(m) > geo.ChordOf(more) {
			t.Fatalf("ChordOf falls between %v and %v", m, more)
		}
	})
}

func TestCellsAreNamedAsH3NamesThem(t *testing.T) {
	sanFrancisco := geo.Point{Lat: 37.775938728915946, Lng: -122.41795063018799}
	c, err := geo.CellOf(sanFrancisco, 9)
	if err != nil || c.String() != "8928308280fffff" { // the example of H3's own documentation
		t.Fatalf("CellOf = %v, %v", c, err)
	}
	for _, bad := range []string{
		"", "8928308280ffff", "08928308280fffff", "+8928308280ffff", "8928308280ffffg",
		"ffffffffffffffff", "000000000000000", "8928308280fffffff", " 8928308280ffff",
	} {
		if c, err := geo.ParseCell(bad); err == nil || c != 0 {
			t.Errorf("ParseCell(%q) = %v, %v; want an error", bad, c, err)
		}
	}
	if upper, err := geo.ParseCell("8928308280FFFFF"); err != nil || upper != c {
		t.Errorf("upper case: %v, %v", upper, err)
	}
	for _, res := range []int{-1, geo.MaxRes + 1} {
		if _, err := geo.CellOf(sanFrancisco, res); err == nil {
			t.Errorf("CellOf at resolution %d must fail", res)
		}
	}
}

func FuzzParseCell(f *testing.F) {
	for _, seed := range []string{"8928308280fffff", "872830828ffffff", "8001fffffffffff", "8928308280FFFFF", "-1", "", "ffffffffffffffff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := geo.ParseCell(s)
		if err != nil {
			if c != 0 {
				t.Fatalf("ParseCell(%q) failed but answered %v", s, c)
			}
			return
		}
		if c.String() != strings.ToLower(s) || c <= 0 {
			t.Fatalf("%q was read as %v (%d)", s, c, int64(c))
		}
		if ok, hint := geo.Check(geo.Center(c)); !ok {
			t.Fatalf("%v has no centre: %s", c, hint)
		}
	})
}

func TestACellAndItsPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPoint().Draw(t, "p")
		res := rapid.IntRange(0, geo.MaxRes).Draw(t, "res")
		c, err := geo.CellOf(p, res)
		if err != nil {
			t.Fatal(err)
		}
		if c.Resolution() != res {
			t.Fatalf("resolution %d, want %d", c.Resolution(), res)
		}
		if parsed, err := geo.ParseCell(c.String()); err != nil || parsed != c {
			t.Fatalf("%v came back as %v, %v", c, parsed, err)
		}
		if again, err := geo.CellOf(geo.Center(c), res); err != nil || again != c {
			t.Fatalf("the centre of %v lies in %v, %v", c, again, err)
		}
		ring := geo.Boundary(c)
		if len(ring) < 5 || len(ring) > 10 {
			t.Fatalf("%d corners", len(ring))
		}
		up := rapid.IntRange(0, res).Draw(t, "up")
		parent, err := geo.Parent(c, up)
		if err != nil || parent.Resolution() != up || up == res && parent != c {
			t.Fatalf("parent of %v at %d: %v, %v", c, up, parent, err)
		}
		if res < geo.MaxRes {
			if finer, err := geo.Parent(c, res+1); err == nil {
				t.Fatalf("%v cannot be a parent of %v", finer, c)
			}
		}
	})
}

func TestWhatIsNoCellHasNoPlace(t *testing.T) {
	for _, c := range []geo.Cell{0, -1, 12345} {
		if ok, _ := geo.Check(geo.Center(c)); ok {
			t.Errorf("Center(%v) must not be a position", c)
		}
		if ring := geo.Boundary(c); ring != nil {
			t.Errorf("Boundary(%v) = %v", c, ring)
		}
		if disk := geo.Disk(c, 1); disk != nil {
			t.Errorf("Disk(%v, 1) = %v", c, disk)
		}
		if up, err := geo.Parent(c, 0); err == nil {
			t.Errorf("Parent(%v, 0) = %v", c, up)
		}
	}
}

func TestADiskGrowsRingByRing(t *testing.T) {
	pentagons, err := h3.Pentagons(geo.DemandRes)
	if err != nil {
		t.Fatal(err)
	}
	tokyo, err := geo.CellOf(geo.Point{Lat: 35.68, Lng: 139.77}, geo.DemandRes)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		origin geo.Cell
		sizes  []int
	}{
		{"Tokyo", tokyo, []int{1, 7, 19, 37}},
		{"a pentagon", geo.Cell(pentagons[0]), []int{1, 6, 16, 31}},
	} {
		var before []geo.Cell
		for k, size := range c.sizes {
			disk := geo.Disk(c.origin, k)
			if len(disk) != size || slices.Contains(disk, 0) {
				t.Fatalf("%s: Disk(%d) holds %d cells, want %d: %v", c.name, k, len(disk), size, disk)
			}
			inner := slices.Sorted(slices.Values(disk[:len(before)]))
			if !slices.Equal(inner, slices.Sorted(slices.Values(before))) {
				t.Fatalf("%s: Disk(%d) does not begin with Disk(%d)", c.name, k, k-1)
			}
			before = disk
		}
	}
	if disk := geo.Disk(tokyo, -1); disk != nil {
		t.Errorf("Disk(-1) = %v", disk)
	}
}

type bounds struct{ west, south, east, north float64 }

// at maps the unit square onto the box.
func (b bounds) at(x, y float64) geo.Point {
	width := b.east - b.west
	if width < 0 {
		width += 360
	}
	lng := b.west + x*width
	if lng > 180 {
		lng -= 360
	}
	return geo.Point{Lat: b.south + y*(b.north-b.south), Lng: lng}
}

// Boxes where flat maps go wrong; the sizes suit the resolution.
var boxes = []struct {
	name string
	bounds
	res int
}{
	{"Manhattan", bounds{-74.02, 40.70, -73.93, 40.80}, 8},
	{"one point", bounds{139.7, 35.6, 139.7, 35.6}, 7},
	{"inside one cell", bounds{139.7000, 35.6000, 139.7001, 35.6001}, 5},
	{"Fiji, across the antimeridian", bounds{177, -19, -179, -16}, 5},
	{"the north cap, all longitudes", bounds{-180, 86, 180, 90}, 4},
	{"a slice up to the north pole", bounds{20, 80, 30, 90}, 4},
	{"the south pole across the antimeridian", bounds{170, -90, -170, -88}, 5},
	{"a half turn and more", bounds{-60, -3, 170, 3}, 3},
	{"around a pentagon in the Yellow Sea", bounds{121.5, 38.6, 123, 39.6}, 5},
	{"the whole world", bounds{-180, -90, 180, 90}, 1},
}

func TestABoxHoldsEveryCellThatTouchesIt(t *testing.T) {
	const steps = 40
	for _, b := range boxes {
		cells, err := geo.CellsInBox(b.west, b.south, b.east, b.north, b.res, 10_000)
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
			continue
		}
		nearest := make(map[geo.Cell]float64, len(cells)) // chord from its centre to the box's samples
		centers := make([]geo.Vec, len(cells))
		for i, c := range cells {
			nearest[c] = math.Inf(1)
			centers[i] = geo.VecOf(geo.Center(c))
		}
		if len(nearest) != len(cells) || !slices.IsSorted(cells) {
			t.Errorf("%s: repeated or unsorted cells", b.name)
		}
		for i := range steps*steps + 1 {
			p := b.at(float64(i%steps)/(steps-1), float64(i/steps%steps)/(steps-1))
			c, err := geo.CellOf(p, b.res)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := nearest[c]; !ok {
				t.Errorf("%s: %v lies in %v, which is missing", b.name, p, c)
				break
			}
			for i, c := range cells {
				nearest[c] = min(nearest[c], centers[i].Chord(geo.VecOf(p)))
			}
		}
		// And none that lies apart: some sample of the box is within the cell's
		// circle, give or take the grid's step.
		grid := max(geo.DistanceM(b.at(0, 0.5), b.at(1.0/steps, 0.5)), geo.DistanceM(b.at(0, 0), b.at(0, 1.0/steps)))
		for c, chord := range nearest {
			reach := 0.0
			for _, corner := range geo.Boundary(c) {
				reach = max(reach, geo.DistanceM(geo.Center(c), corner))
			}
			if m := geo.MetresOf(chord); m > reach+grid {
				t.Errorf("%s: %v is %.0f m from the box, its circle reaches %.0f m", b.name, c, m, reach)
			}
		}
	}
}

func TestTheWholeWorldIsEveryCell(t *testing.T) {
	for res, want := range []int{122, 842, 5882} {
		cells, err := geo.CellsInBox(-180, -90, 180, 90, res, want)
		if err != nil || len(cells) != want {
			t.Errorf("resolution %d: %d cells, %v; want %d", res, len(cells), err, want)
		}
	}
}

func TestABoxAcrossTheAntimeridianIsItsTwoHalves(t *testing.T) {
	whole, err := geo.CellsInBox(178, -18, -178, -16, 5, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	west, errWest := geo.CellsInBox(178, -18, 180, -16, 5, 10_000)
	east, errEast := geo.CellsInBox(-180, -18, -178, -16, 5, 10_000)
	if errWest != nil || errEast != nil {
		t.Fatal(errWest, errEast)
	}
	halves := append(west, east...)
	slices.Sort(halves)
	if !slices.Equal(whole, slices.Compact(halves)) {
		t.Errorf("whole %d cells, halves together %d", len(whole), len(slices.Compact(halves)))
	}
}

func TestABoxIsRefused(t *testing.T) {
	if _, err := geo.CellsInBox(-180, -90, 180, 90, 9, 2000); !errors.Is(err, geo.ErrTooManyCells) {
		t.Errorf("the whole world at resolution 9: %v", err)
	}
	manhattan := boxes[0]
	cells, err := geo.CellsInBox(manhattan.west, manhattan.south, manhattan.east, manhattan.north, 8, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for limit, fits := range map[int]bool{len(cells): true, len(cells) - 1: false, 0: false} {
		if _, err := geo.CellsInBox(manhattan.west, manhattan.south, manhattan.east, manhattan.north, 8, limit); (err == nil) != fits {
			t.Errorf("%d cells with a limit of %d: %v", len(cells), limit, err)
		}
	}
	for _, c := range []struct {
		name string
		bounds
		res int
	}{
		{"south above north", bounds{0, 10, 1, 9}, 5},
		{"no number", bounds{math.NaN(), 0, 1, 1}, 5},
		{"beyond the pole", bounds{0, 0, 1, 91}, 5},
		{"no such resolution", bounds{0, 0, 1, 1}, 16},
	} {
		if _, err := geo.CellsInBox(c.west, c.south, c.east, c.north, c.res, 100); err == nil || errors.Is(err, geo.ErrTooManyCells) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

var sink float64

func BenchmarkDistanceM(b *testing.B) {
	a, c := geo.Point{Lat: 40.7128, Lng: -74.0060}, geo.Point{Lat: 40.7306, Lng: -73.9866}
	for b.Loop() {
		c.Lat += 1e-9
		sink += geo.DistanceM(a, c)
	}
}

func BenchmarkCellOf(b *testing.B) {
	b.ReportAllocs()
	p := geo.Point{Lat: 40.7128, Lng: -74.0060}
	for b.Loop() {
		p.Lat += 1e-9
		c, _ := geo.CellOf(p, geo.MatchRes)
		sink += float64(c & 1)
	}
}

func BenchmarkCellsInBox(b *testing.B) {
	for b.Loop() {
		cells, err := geo.CellsInBox(-74.3, 40.5, -73.7, 41.0, 7, 2000)
		if err != nil {
			b.Fatal(err)
		}
		sink += float64(len(cells))
	}
}

func TestWhatLiesBelowACellIsARangeOfNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fine, coarse := rapid.IntRange(0, geo.MaxRes).Draw(t, "fine"), rapid.IntRange(0, geo.MaxRes).Draw(t, "coarse")
		if fine < coarse {
			fine, coarse = coarse, fine
		}
		at, err := geo.CellOf(anyPoint().Draw(t, "at"), fine)
		if err != nil {
			t.Fatal(err)
		}
		up, err := geo.Parent(at, coarse)
		if err != nil || at.Above(coarse) != up {
			t.Fatalf("above %v at %d is %v, want %v (%v)", at, coarse, at.Above(coarse), up, err)
		}
		if first, last := geo.Within(up, fine); at < first || last < at {
			t.Fatalf("%v is not between %v and %v, the cells in %v", at, first, last, up)
		}
		other, err := geo.CellOf(anyPoint().Draw(t, "another"), fine)
		if err != nil {
			t.Fatal(err)
		}
		if first, last := geo.Within(up, fine); (first <= other && other <= last) != (other.Above(coarse) == up) {
			t.Fatalf("%v and the range %v to %v of %v", other, first, last, up)
		}
		// A box no larger than the fine cell's centre is missed from none of the cells above it.
		mid := geo.Center(at)
		b, err := geo.NewBox(mid.Lng, mid.Lat, mid.Lng, mid.Lat)
		if err != nil || !b.Holds(mid) || !b.MayHold(up) || !geo.World().MayHold(up) || !geo.World().Holds(mid) {
			t.Fatalf("%v holds the centre of %v, which belongs to %v (%v)", b, at, up, err)
		}
	})
}

func TestABoxIsAskedForPointsAndForCells(t *testing.T) {
	fiji, err := geo.NewBox(177, -19, -178, -16)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[geo.Point]bool{{Lat: -17, Lng: 178}: true, {Lat: -17, Lng: -179}: true, {Lat: -17, Lng: 180}: true,
		{Lat: -17, Lng: 176}: false, {Lat: -17, Lng: -177}: false, {Lat: -20, Lng: 179}: false} {
		if fiji.Holds(p) != want {
			t.Errorf("%v in the box: %v", p, !want)
		}
	}
	tokyo, err := geo.CellOf(geo.Point{Lat: 35.68, Lng: 139.77}, geo.DemandRes)
	if err != nil || fiji.MayHold(tokyo) {
		t.Errorf("Tokyo may be in Fiji (%v)", err)
	}
}
