// Bench measures how fast Doorstep is against its goals and against what people would use instead.
//
//	make bench                          # everything, some minutes
//	make bench BENCH="-only P5,P6"      # the parts that give these goals
//	make bench BENCH=-quick             # small sizes: does it still run? The figures say nothing.
//
// It prints one line per goal, `GOAL <id> <value> <floor> <goal> met|short <what>`, where met means that
// the goal is reached, and lines of other beginnings with what else is worth knowing. The same goes to
// bench/latest.json (a -quick run: bench/quick.json). Progress goes to stderr.
//
// Machines are noisy, so goals are ratios of two measurements that took turns in one run, or CPU time;
// where a goal is wall time, the load of the machine stands beside it in the JSON.
//
// The exit status is 1 when a part could not be run or gave wrong answers, and 0 otherwise, also when goals
// are missed: the last lines say which.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// part is a piece of the run that stands alone: it starts what it needs, and stops it, also when it fails
// or b.ctx ends.
type part struct {
	name  string
	goals []string // the goals it reports, without suffixes
	run   func(*bench) error
}

// parts are run in this order: first what is measured on an idle machine with little in memory.
var parts = []part{
	{"peers", []string{"P5", "P6", "P7"}, (*bench).peers},
	{"orders", []string{"P1", "P2"}, (*bench).orders},
	{"thousands", []string{"P3"}, (*bench).thousands},
	{"writer", []string{"P4"}, (*bench).writer},
	{"stores", []string{"P8"}, (*bench).moreStores},
	{"history", []string{"P9"}, (*bench).moreOrders},
	{"start", []string{"P10"}, (*bench).start},
	{"reads", []string{"P11"}, (*bench).reads},
	{"streams", []string{"P12"}, (*bench).streams},
}

// bench is one run.
type bench struct {
	ctx   context.Context
	dir   string // for whatever a part keeps; removed at the end
	quick bool   // sizes small enough for a smoke run
	data  string // folder of the recorded data sets, which may be absent
	began time.Time

	out    io.Writer // one line per figure
	err    io.Writer // progress
	result result
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	b := &bench{ctx: ctx, began: time.Now(), out: os.Stdout, err: os.Stderr}
	flags.BoolVar(&b.quick, "quick", false, "small sizes: a smoke run")
	flags.StringVar(&b.data, "data", "../shared/data", "folder of the recorded data sets")
	only := flags.String("only", "", "run the parts with these names or goals only, as in peers,P8")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	// /tmp and not $TMPDIR: the path of a socket must stay under 108 bytes.
	if b.dir, err = os.MkdirTemp("/tmp", "doorstep-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := os.Chmod(b.dir, 0o711); err != nil { // a server may run as another user, in a folder of its own
		return err
	}

	b.result = result{Began: b.began.UTC(), Quick: b.quick, Only: *only, Machine: thisMachine()}
	for _, p := range chosen {
		b.try(p)
	}
	b.result.TookS = time.Since(b.began).Seconds()
	b.result.Machine.LoadAfter = load()
	path := "bench/latest.json"
	if b.quick {
		path = "bench/quick.json"
	}
	fmt.Fprint(b.out, b.result.summary())
	if ctx.Err() != nil {
		return errors.New("stopped; " + path + " stays as it was")
	}
	return errors.Join(b.result.write(path), b.result.err())
}

// choose returns the parts that somebody asked for by name or goal, or all.
func choose(only string) ([]part, error) {
	if only == "" {
		return parts, nil
	}
	var chosen []part
	for word := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == word || slices.Contains(p.goals, word) })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: no part has this name or goal", word)
		}
		if !slices.ContainsFunc(chosen, func(p part) bool { return p.name == parts[i].name }) {
			chosen = append(chosen, parts[i])
		}
	}
	return chosen, nil
}

// try runs a part. One that fails does not keep the others from running, unless the whole run is over.
func (b *bench) try(p part) {
	err := b.ctx.Err()
	if err == nil {
		b.progress("%s", p.name)
		err = p.run(b)
		debug.FreeOSMemory() // parts share nothing: what one leaves in memory must not cost the next
	}
	if err != nil {
		why := strings.ReplaceAll(err.Error(), "\n", "; ")
		fmt.Fprintf(b.out, "FAILED %s: %s\n", p.name, why)
		b.result.Failed = append(b.result.Failed, failure{p.name, why})
	}
}

// report prints a figure at once and keeps it for the JSON.
func (b *bench) report(g goal) {
	fmt.Fprintln(b.out, g)
	b.result.Goals = append(b.result.Goals, g)
}

// info is report for what has no goal.
func (b *bench) info(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	fmt.Fprintln(b.out, "INFO", line)
	b.result.Info = append(b.result.Info, line)
}

// progress says on stderr what is being done.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(b.err, "%6.1f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}
