package main

import (
	"regexp"
	"strings"

	"doorstep/internal/fault"

	"github.com/spf13/cobra"
)

// explain is err in one line for a terminal.
func explain(err error) string {
	text := err.Error()
	// Only a refusal with no cause below it is complete without its text.
	if f := fault.As(err); f != nil && f.Unwrap() == nil {
		text = strings.Replace(text, f.Error(), refusal(f), 1)
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

func refusal(f *fault.Error) string {
	var parts []string
	for _, x := range f.Fields {
		parts = append(parts, strings.TrimPrefix(x.Pointer+": ", "/")+x.Detail)
	}
	if len(parts) == 0 {
		parts = []string{f.Detail}
	}
	if len(f.Allowed) > 0 {
		parts = append(parts, "possible now: "+strings.Join(f.Allowed, ", "))
	}
	return strings.Join(parts, "; ")
}

var flagNames = regexp.MustCompile(`--([a-z][a-z-]+)`)

// flagError adds the flag that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return usage("%w: see %s --help", err, cmd.CommandPath())
	}
	var known []string
	for _, m := range flagNames.FindAllStringSubmatch(cmd.Flags().FlagUsages(), -1) {
		known = append(known, m[1])
	}
	return usage("unknown flag --%s%s", name, didYouMean(name, known, "--", "see "+cmd.CommandPath()+" --help"))
}

// didYouMean is the end of a message about an unknown word: the known one next to it, or else.
func didYouMean(word string, known []string, prefix, otherwise string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := editDistance(word, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ": " + otherwise
	}
	return ": did you mean " + prefix + best + "?"
}

// editDistance is the number of bytes to insert, delete or replace that turn a into b
// (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
