package main

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestALineSaysWhetherTheGoalIsReached(t *testing.T) {
	for _, c := range []struct {
		g     goal
		want  string
		floor bool
	}{
		{goal{ID: "P1", Value: 30412.6, Floor: 10_000, Goal: 28_000, Unit: "orders/s", What: "orders"},
			"GOAL P1 30413 10000 28000 met orders (orders/s)", true},
		{goal{ID: "P2", Value: 3.14159, Floor: 2.5, Goal: 4, What: "shared commits"}, "GOAL P2 3.14 2.5 4 short shared commits", true},
		{goal{ID: "P2", Value: 2.4, Floor: 2.5, Goal: 4, What: "shared commits"}, "GOAL P2 2.4 2.5 4 short shared commits", false},
		{goal{ID: "P5-cpu", Value: 3, Floor: 8, Goal: 3, Less: true, Unit: "us", What: "a query"}, "GOAL P5-cpu 3 8 3 met a query (us)", true},
		{goal{ID: "P5-cpu", Value: 8.01, Floor: 8, Goal: 3, Less: true, What: "a query"}, "GOAL P5-cpu 8.01 8 3 short a query", false},
		{goal{ID: "P5-allocs", Value: 0, Floor: math.NaN(), Less: true, What: "allocations"}, "GOAL P5-allocs 0 - 0 met allocations", true},
		{goal{ID: "P5-allocs", Value: 0.02, Floor: math.NaN(), Less: true, What: "allocations"}, "GOAL P5-allocs 0.02 - 0 short allocations", true},
		{goal{ID: "P9", Value: math.NaN(), Floor: 1.4, Goal: 1.1, Less: true, What: "nothing came out"}, "GOAL P9 - 1.4 1.1 short nothing came out", false},
		{goal{ID: "P2", Value: math.Inf(1), Floor: 2.5, Goal: 4, What: "divided by nothing"}, "GOAL P2 +Inf 2.5 4 short divided by nothing", false},
	} {
		if got := c.g.String(); got != c.want || c.g.floorMet() != c.floor {
			t.Errorf("%q with floor met: %v, want %q with %v", got, c.g.floorMet(), c.want, c.floor)
		}
	}
}

func TestNumbersKeepThreeDigits(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 0.00012345: "0.000123", 1.1: "1.1", 99.96: "100", 123.4: "123", 28_000: "28000", 1e9: "1000000000", -2.345: "-2.35"} {
		if got := number(x); got != want {
			t.Errorf("%v is written %s, want %s", x, got, want)
		}
	}
}

// A part that fails leaves the others' figures, and the run says so.
func TestARunWithAFailure(t *testing.T) {
	var out strings.Builder
	b := &bench{ctx: t.Context(), out: &out, err: io.Discard}
	b.try(part{name: "first", run: func(*bench) error { return errors.New("no such server") }})
	b.try(part{name: "second", run: func(b *bench) error {
		b.report(goal{ID: "P2", Value: 2, Floor: 2.5, Goal: 4, What: "below"})
		b.report(goal{ID: "P3", Value: 3, Floor: 2.5, Goal: 4, What: "between"})
		b.report(goal{ID: "P4", Value: math.NaN(), Floor: 2, Goal: 1.3, Less: true, What: "unknown"})
		b.info("by the way")
		return nil
	}})
	want := "FAILED first: no such server\nGOAL P2 2 2.5 4 short below\nGOAL P3 3 2.5 4 short between\nGOAL P4 - 2 1.3 short unknown\nINFO by the way\n"
	if out.String() != want {
		t.Errorf("it prints\n%swant\n%s", out.String(), want)
	}
	if last := "3 figures: below the floor: P2, P4; floor met, goal short: P3; FAILED: first\n"; !strings.HasSuffix(b.result.summary(), last) {
		t.Errorf("the summary ends otherwise than in %q: %s", last, b.result.summary())
	}
	if b.result.err() == nil {
		t.Error("the run is no failure")
	}
	var kept struct {
		Goals []struct {
			Value    *float64
			FloorMet bool `json:"floor_met"`
			GoalMet  bool `json:"goal_met"`
		}
		Failed []failure
	}
	text, err := json.Marshal(&b.result)
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil || len(kept.Goals) != 3 || len(kept.Failed) != 1 || kept.Goals[2].Value != nil || *kept.Goals[1].Value != 3 ||
		!kept.Goals[1].FloorMet || kept.Goals[1].GoalMet {
		t.Errorf("kept as %s (%v)", text, err)
	}
}

func TestPartsAreChosenByNameOrGoal(t *testing.T) {
	for _, c := range []struct{ only, want string }{
		{"peers", "peers"}, {"P6", "peers"}, {"P5,P6,peers", "peers"}, {"P1,P7", "orders peers"},
	} {
		chosen, err := choose(c.only)
		var names []string
		for _, p := range chosen {
			names = append(names, p.name)
		}
		if got := strings.Join(names, " "); got != c.want || err != nil {
			t.Errorf("-only %s runs %q (%v), want %q", c.only, got, err, c.want)
		}
	}
	if all, err := choose(""); len(all) != len(parts) || err != nil {
		t.Errorf("without -only: %d of %d parts (%v)", len(all), len(parts), err)
	}
	if _, err := choose("P99"); err == nil {
		t.Error("an unknown goal is taken")
	}
}
