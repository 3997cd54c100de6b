package goals

import (
	"math"
	"testing"
)

func TestALineSaysWhetherTheGoalIsReached(t *testing.T) {
	for _, c := range []struct {
		g     Goal
		want  string
		floor bool
	}{
		{Goal{ID: "P1", Value: 30412.6, Floor: 10_000, Goal: 28_000, Unit: "orders/s", What: "orders"},
			"GOAL P1 30413 10000 28000 met orders (orders/s)", true},
		{Goal{ID: "P2", Value: 3.14159, Floor: 2.5, Goal: 4, What: "shared commits"}, "GOAL P2 3.14 2.5 4 short shared commits", true},
		{Goal{ID: "P2", Value: 2.4, Floor: 2.5, Goal: 4, What: "shared commits"}, "GOAL P2 2.4 2.5 4 short shared commits", false},
		{Goal{ID: "P5-cpu", Value: 3, Floor: 8, Goal: 3, Less: true, Unit: "us", What: "a query"}, "GOAL P5-cpu 3 8 3 met a query (us)", true},
		{Goal{ID: "P5-cpu", Value: 8.01, Floor: 8, Goal: 3, Less: true, What: "a query"}, "GOAL P5-cpu 8.01 8 3 short a query", false},
		{Goal{ID: "P5-allocs", Value: 0, Floor: math.NaN(), Less: true, What: "allocations"}, "GOAL P5-allocs 0 - 0 met allocations", true},
		{Goal{ID: "P5-allocs", Value: 0.02, Floor: math.NaN(), Less: true, What: "allocations"}, "GOAL P5-allocs 0.02 - 0 short allocations", true},
		{Goal{ID: "P9", Value: math.NaN(), Floor: 1.4, Goal: 1.1, Less: true, What: "nothing came out"}, "GOAL P9 - 1.4 1.1 short nothing came out", false},
		{Goal{ID: "P2", Value: math.Inf(1), Floor: 2.5, Goal: 4, What: "divided by nothing"}, "GOAL P2 +Inf 2.5 4 short divided by nothing", false},
	} {
		if got := c.g.String(); got != c.want || c.g.FloorMet() != c.floor {
			t.Errorf("%q with floor met: %v, want %q with %v", got, c.g.FloorMet(), c.want, c.floor)
		}
	}
}

func TestNumbersKeepThreeDigits(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 0.00012345: "0.000123", 1.1: "1.1", 99.96: "100", 123.4: "123", 28_000: "28000", 1e9: "1000000000", -2.345: "-2.35"} {
		if got := Number(x); got != want {
			t.Errorf("%v is written %s, want %s", x, got, want)
		}
	}
}
