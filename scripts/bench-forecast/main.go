// Bench-forecast scores the forecasts and the quantities made of them against their goals (B1 to B6).
//
//	make bench-forecast                            # everything, a few minutes
//	make bench-forecast BENCH="-only fresh,shelf"  # some parts
//
// It prints one line per goal, `GOAL <id> <value> <floor> <goal> met|short <what>`, where met means that
// the goal is reached, INFO lines with what else is worth knowing, and at the end which goals are missed.
// All values are ratios within the run, and smaller is better. Progress goes to stderr.
//
// Nothing that is scored was seen before: a forecast knows the days up to its cut-off only, which
// stands in the line, and the numbers in package forecast were chosen on FreshRetail's days up to
// 7 May 2024. The recorded data are private, so that without them their parts fail, loudly.
//
// The exit status is 1 when a part could not be run, and 0 otherwise, also when goals are missed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"doorstep/scripts/bench/goals"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench-forecast:", err)
		os.Exit(1)
	}
}

// part is a piece of the run that stands alone.
type part struct {
	name string
	run  func(r *report, data string) error
}

var parts = []part{
	{"fresh", fresh},
	{"peak", freshPeak},
	{"retail", retail},
	{"juice", juice},
	{"synthetic", func(r *report, _ string) error { synthetic(r, seeds); return nil }},
	{"cell", func(r *report, _ string) error { cell(r, seeds); return nil }},
	{"shelf", func(r *report, _ string) error { shelf(r, seeds); return nil }},
	{"day", func(r *report, _ string) error { return endToEnd(r, seeds[:4]) }},
}

// seeds of the made-up markets.
var seeds = []uint64{1, 2, 3, 4, 5}

func run(args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("bench-forecast", flag.ContinueOnError)
	data := flags.String("data", "../shared/data", "folder of the recorded data sets")
	only := flags.String("only", "", "run the parts with these names only, as in fresh,shelf")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	r, began, failed := &report{out: out}, time.Now(), []string(nil)
	if _, err := os.Stat(*data); err != nil {
		fmt.Fprintf(out, "\n*** THE RECORDED DATA ARE ABSENT (%v): no figure of a goal that needs them ***\n\n", err)
	}
	for _, p := range chosen {
		fmt.Fprintf(progress, "%4.0f s  %s\n", time.Since(began).Seconds(), p.name)
		if err := p.run(r, *data); err != nil {
			fmt.Fprintf(out, "FAILED %s: %v\n", p.name, err)
			failed = append(failed, p.name)
		}
	}
	fmt.Fprint(out, r.summary(time.Since(began), failed))
	if failed != nil {
		return errors.New("these parts could not be run: " + strings.Join(failed, ", "))
	}
	return nil
}

func choose(only string) (chosen []part, err error) {
	if only == "" {
		return parts, nil
	}
	for word := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == word })
		if i < 0 {
			return nil, fmt.Errorf("there is no part %q", word)
		}
		chosen = append(chosen, parts[i])
	}
	return chosen, nil
}

// report collects the figures of a run.
type report struct {
	out   io.Writer
	goals []goals.Goal
}

// goal prints a figure beside what it should be; smaller is better.
func (r *report) goal(id string, value, floor, goal float64, what string) {
	g := goals.Goal{ID: id, Value: value, Floor: floor, Goal: goal, Less: true, What: what}
	r.goals = append(r.goals, g)
	fmt.Fprintln(r.out, g)
}

func (r *report) info(format string, args ...any) {
	fmt.Fprintf(r.out, "INFO "+format+"\n", args...)
}

func (r *report) summary(took time.Duration, failed []string) string {
	var floors, short []string
	for _, g := range r.goals {
		switch {
		case !g.FloorMet():
			floors = append(floors, g.ID)
		case !g.GoalMet():
			short = append(short, g.ID)
		}
	}
	s := fmt.Sprintf("\n%d figures in %.0f s", len(r.goals), took.Seconds())
	for _, list := range []struct {
		what string
		ids  []string
	}{{"below the floor", floors}, {"floor met, goal short", short}, {"FAILED", failed}} {
		if len(list.ids) > 0 {
			s += "; " + list.what + ": " + strings.Join(list.ids, ", ")
		}
	}
	return s + "\n"
}
