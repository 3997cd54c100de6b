package main

import (
	"fmt"
	"math"
	"strconv"
)

// goal is one figure of the run beside what it should be.
type goal struct {
	ID          string  // P1; P5-cpu where one goal has several figures
	Value       float64 // NaN and infinities count as missed
	Floor, Goal float64 // a floor of NaN: there is none
	Less        bool    // smaller is better
	Unit        string  // of Value, Floor and Goal; "" or "times" for a ratio
	What        string  // what was measured, in one line

	// Notes go to the JSON only: figures beside the one that counts, like a latency.
	Notes map[string]float64
}

func (g goal) floorMet() bool { return math.IsNaN(g.Floor) || g.reaches(g.Floor) }
func (g goal) goalMet() bool  { return g.reaches(g.Goal) }

func (g goal) reaches(mark float64) bool {
	if g.Less {
		return g.Value <= mark && !math.IsInf(g.Value, -1)
	}
	return g.Value >= mark && !math.IsInf(g.Value, 1)
}

// String is the line that a run prints for the goal:
//
//	GOAL <id> <value> <floor> <goal> met|short <what> (<unit>)
//
// met means that the goal is reached, not just the floor.
func (g goal) String() string {
	word, unit := "short", ""
	if g.goalMet() {
		word = "met"
	}
	if g.Unit != "" {
		unit = " (" + g.Unit + ")"
	}
	return fmt.Sprintf("GOAL %s %s %s %s %s %s%s", g.ID, number(g.Value), number(g.Floor), number(g.Goal), word, g.What, unit)
}

// number writes what one can tell apart in a measurement: three digits, more only before the point.
func number(x float64) string {
	switch {
	case math.IsNaN(x):
		return "-"
	case math.IsInf(x, 0):
		return strconv.FormatFloat(x, 'g', -1, 64)
	case math.Abs(x) >= 100:
		return strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 3, 64), 64)
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}
