package geo_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"doorstep/geo"
)

// layers are things about a few places and anywhere, two kinds at resolution 9 and one at 7.
func layersOf(t *rapid.T) []geo.Layer {
	layers := make([]geo.Layer, 3)
	for i, res := range []int{9, 9, 7} {
		for _, p := range rapid.SliceOfN(anyPoint(), 0, 40).Draw(t, "places") {
			if rapid.Bool().Draw(t, "downtown") {
				p = geo.Point{Lat: -1.3 + p.Lat/1000, Lng: 36.8 + p.Lng/1000}
			}
			c, err := geo.CellOf(p, res)
			if err != nil {
				t.Fatal(err)
			}
			layers[i] = append(layers[i], c)
		}
		slices.Sort(layers[i])
	}
	return layers
}

func TestAVisitFindsWhatLookingAtEachCellFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layers, res := layersOf(t), rapid.IntRange(0, 7).Draw(t, "res")
		a, b := anyPoint().Draw(t, "a"), anyPoint().Draw(t, "b")
		if rapid.Bool().Draw(t, "a small box") {
			a, b = geo.Point{Lat: -1.3 + a.Lat/1000, Lng: 36.8 + a.Lng/1000}, geo.Point{Lat: -1.3 + b.Lat/1000, Lng: 36.8 + b.Lng/1000}
		}
		box, err := geo.NewBox(a.Lng, min(a.Lat, b.Lat), b.Lng, max(a.Lat, b.Lat))
		if err != nil {
			t.Fatal(err)
		}
		want := map[geo.Cell][3]int{}
		for i, l := range layers {
			for _, c := range l {
				up, err := geo.Parent(c, res)
				if err != nil {
					t.Fatal(err)
				}
				if box.Holds(geo.Center(up)) {
					n := want[up]
					n[i]++
					want[up] = n
				}
			}
		}
		last := geo.Cell(0)
		err = geo.Visit(box, res, layers, func(c geo.Cell, parts []geo.Part) error {
			var got [3]int
			for i, p := range parts {
				if got[i] = p.Hi - p.Lo; got[i] > 0 && p != layers[i].In(c) {
					t.Fatalf("%v holds %v of layer %d, want %v", c, p, i, layers[i].In(c))
				}
			}
			if got != want[c] || c <= last {
				t.Fatalf("%v after %v holds %v, want %v", c, last, got, want[c])
			}
			delete(want, c)
			last = c
			return nil
		})
		if err != nil || len(want) > 0 {
			t.Fatalf("not visited: %v (%v)", want, err)
		}
	})
}

func TestAVisitEndsWhenItsVisitorSaysSo(t *testing.T) {
	var layer geo.Layer
	for _, p := range []geo.Point{{Lat: 1, Lng: 1}, {Lat: 2, Lng: 2}, {Lat: 3, Lng: 3}} {
		c, err := geo.CellOf(p, 9)
		if err != nil {
			t.Fatal(err)
		}
		layer = append(layer, c)
	}
	slices.Sort(layer)
	wrong := errors.New("wrong")
	for _, c := range []struct{ said, want error }{{geo.ErrStop, nil}, {wrong, wrong}} {
		visits := 0
		err := geo.Visit(geo.World(), 9, []geo.Layer{layer}, func(geo.Cell, []geo.Part) error { visits++; return c.said })
		if visits != 1 || !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%d visits, then %v", visits, err)
		}
	}
}
