package main

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

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
