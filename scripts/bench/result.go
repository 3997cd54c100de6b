package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// result is what a run leaves behind.
type result struct {
	Began   time.Time `json:"began"`
	TookS   float64   `json:"took_s"`
	Quick   bool      `json:"quick"`          // sizes were small: the figures say nothing
	Only    string    `json:"only,omitempty"` // the parts asked for; "": all
	Machine machine   `json:"machine"`
	Goals   []goal    `json:"goals"`
	Info    []string  `json:"info"`
	Failed  []failure `json:"failed"`
}

type failure struct {
	Part  string `json:"part"`
	Error string `json:"error"`
}

func (r *result) write(path string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// summary is the end of a run's output, for who reads nothing else.
func (r *result) summary() string {
	var floors, goals, parts []string
	for _, g := range r.Goals {
		switch {
		case !g.FloorMet():
			floors = append(floors, g.ID)
		case !g.GoalMet():
			goals = append(goals, g.ID)
		}
	}
	for _, f := range r.Failed {
		parts = append(parts, f.Part)
	}
	var s strings.Builder
	m := r.Machine
	fmt.Fprintf(&s, "\n%d cores (%s), load %.2f before and %.2f after, %s, commit %s, %.0f s\n",
		m.Cores, m.CPU, m.LoadBefore, m.LoadAfter, m.Go, m.Commit, r.TookS)
	fmt.Fprintf(&s, "%d figures: %s; %s; %s\n", len(r.Goals),
		missed(floors, "all floors met", "below the floor"), missed(goals, "no goal short above its floor", "floor met, goal short"),
		missed(parts, "no part failed", "FAILED"))
	if r.Quick {
		s.WriteString("This was a smoke run with small sizes: the figures say nothing.\n")
	}
	return s.String()
}

func missed(names []string, none, some string) string {
	if len(names) == 0 {
		return none
	}
	return some + ": " + strings.Join(names, ", ")
}

// err says whether the run was whole. A goal that is missed is a result, not a failure.
func (r *result) err() error {
	if len(r.Failed) > 0 {
		return fmt.Errorf("%d parts failed", len(r.Failed))
	}
	if len(r.Goals) == 0 {
		return errors.New("nothing was measured")
	}
	return nil
}
