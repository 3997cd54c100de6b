// Bench-doorstep shows what the doorstep's evidence says about recorded rides (issue 5).
//
//	make bench-doorstep                        # both parts, a minute
//	make bench-doorstep BENCH="-only fence"    # one of them
//
// rides takes the recorded rides of Nairobi through the real books on a real database in a temporary
// folder, each an order with a drop-off at its recorded times, and tells how the drop-offs are graded and
// what is flagged. fence measures how far couriers in three Chinese cities were from their customers when
// they said that they were there, and what a fence of each radius makes of that.
//
// What is recorded and what is made up stands above each table. The recorded data are private: without
// them the parts fail, loudly. Everything made up comes from fixed seeds, so a run can be repeated.
//
// The exit status is 1 when a part could not be run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench-doorstep:", err)
		os.Exit(1)
	}
}

// part is a piece of the run that stands alone.
type part struct {
	name string
	run  func(ctx context.Context, out io.Writer, data string) error
}

var parts = []part{
	{"rides", func(ctx context.Context, out io.Writer, data string) error { return ridesPart(ctx, out, data, 0) }},
	{"fence", func(_ context.Context, out io.Writer, data string) error { return fencePart(out, data) }},
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("bench-doorstep", flag.ContinueOnError)
	data := flags.String("data", "../shared/data", "folder of the recorded data sets")
	only := flags.String("only", "", "run the parts with these names only, as in rides,fence")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen := parts
	if *only != "" {
		chosen = nil
		for word := range strings.SplitSeq(*only, ",") {
			i := slices.IndexFunc(parts, func(p part) bool { return p.name == word })
			if i < 0 {
				return fmt.Errorf("there is no part %q", word)
			}
			chosen = append(chosen, parts[i])
		}
	}
	if _, err := os.Stat(*data); err != nil {
		fmt.Fprintf(out, "\n*** THE RECORDED DATA ARE ABSENT (%v) ***\n\n", err)
	}
	began, failed := time.Now(), []string(nil)
	for _, p := range chosen {
		fmt.Fprintf(progress, "%4.0f s  %s\n", time.Since(began).Seconds(), p.name)
		if err := p.run(ctx, out, *data); err != nil {
			fmt.Fprintf(out, "FAILED %s: %v\n", p.name, err)
			failed = append(failed, p.name)
		}
	}
	fmt.Fprintf(progress, "%4.0f s  done\n", time.Since(began).Seconds())
	if failed != nil {
		return errors.New("these parts could not be run: " + strings.Join(failed, ", "))
	}
	return nil
}
