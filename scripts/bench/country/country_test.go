package country

import (
	"math"
	"slices"
	"testing"
)

func TestTheSameNumbersMakeTheSameCountry(t *testing.T) {
	small, large := Stores(2_000, Seed), Stores(20_000, Seed)
	if !slices.Equal(small, large[:2_000]) {
		t.Error("the first stores of a larger country are others")
	}
	if slices.Equal(small, Stores(2_000, Seed+1)) {
		t.Error("another seed makes the same country")
	}
}

func TestPeopleLiveNearStores(t *testing.T) {
	stores := Stores(3_000, Seed)
	for _, door := range Doors(stores, 200, 1) {
		nearest := math.Inf(1)
		for _, s := range stores {
			north, east := (s.Lat-door.Lat)*111_195, (s.Lng-door.Lng)*111_195*math.Cos(door.Lat*math.Pi/180)
			nearest = min(nearest, math.Hypot(north, east))
		}
		if nearest > 3_000 {
			t.Errorf("a door %v is %.0f m from the nearest store", door, nearest)
		}
	}
}
