// Package goals is how the programs that measure say what they measured.
package goals

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Goal is one figure of the run beside what it should be.
type Goal struct {
	ID          string  // P1; P5-cpu where one goal has several figures
	Value       float64 // NaN and infinities count as missed
	Floor, Goal float64 // a floor of NaN: there is none
	Less        bool    // smaller is better
	Unit        string  // of Value, Floor and Goal; "" or "times" for a ratio
	What        string  // what was measured, in one line

	// Notes go to the JSON only: figures beside the one that counts, like a latency.
	Notes map[string]float64
}

// FloorMet says whether it is good enough; without a floor it is.
func (g Goal) FloorMet() bool { return math.IsNaN(g.Floor) || g.reaches(g.Floor) }

// GoalMet says whether it is as good as wished.
func (g Goal) GoalMet() bool { return g.reaches(g.Goal) }

func (g Goal) reaches(mark float64) bool {
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
func (g Goal) String() string {
	word, unit := "short", ""
	if g.GoalMet() {
		word = "met"
	}
	if g.Unit != "" {
		unit = " (" + g.Unit + ")"
	}
	return fmt.Sprintf("GOAL %s %s %s %s %s %s%s", g.ID, Number(g.Value), Number(g.Floor), Number(g.Goal), word, g.What, unit)
}

// Number writes what one can tell apart in a measurement: three digits, more only before the point.
func Number(x float64) string {
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

// MarshalJSON writes a value that is no number as null: JSON has none such.
func (g Goal) MarshalJSON() ([]byte, error) {
	orNull := func(x float64) *float64 {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
		return &x
	}
	return json.Marshal(struct {
		ID       string             `json:"id"`
		Value    *float64           `json:"value"`
		Floor    *float64           `json:"floor"`
		Goal     float64            `json:"goal"`
		Less     bool               `json:"less_is_better"`
		Unit     string             `json:"unit,omitempty"`
		What     string             `json:"what"`
		FloorMet bool               `json:"floor_met"`
		GoalMet  bool               `json:"goal_met"`
		Notes    map[string]float64 `json:"notes,omitempty"`
	}{g.ID, orNull(g.Value), orNull(g.Floor), g.Goal, g.Less, g.Unit, g.What, g.FloorMet(), g.GoalMet(), g.Notes})
}
