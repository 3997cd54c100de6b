//go:build linux

// Load sends requests to a Doorstep server on this machine, as many as it takes and no more, and
// prints one line of JSON: what was answered, how fast, and the CPU both sides used.
//
//	load country -stores 600000                                  # the stores to import, as CSV
//	load orders  -url http://127.0.0.1:8080 -key ds_live_…       # POST /v1/orders, one order a request
//	load orders  -url … -key … -rate 14000                       # … at a fixed rate
//	load batches -url … -key …                                   # POST /v1/order-batches
//	load get     -url … -key … -paths FILE                       # GET the paths of a file, in turns
//	load streams -url … -key … -conns 10000 -trigger PATH        # SSE clients, and one event to all
//
// It shares two cores with the server, so it is lean rather than general: HTTP/1.1 over loopback,
// requests that are patched and not made anew, answers that are looked at and not parsed, one
// thread that waits for all connections with epoll (poll.go): with 64 connections to a server that
// answers at once, 4.8 us of CPU a request, where a goroutine for each connection took 7.0.
//
// Every run is bounded in count and time and ends by itself; an interrupt ends it at once.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"doorstep/scripts/bench/country"
)

// settings are the flags of all modes.
type settings struct {
	url, key, paths, tag, trigger    string
	conns, count, stores, pid, first int
	lines, rounds                    int
	seconds, rate, items             float64
	seed                             uint64
	scatter                          bool
}

var modes = map[string]func(*settings) (any, error){
	"orders": orders, "batches": batches, "get": gets, "streams": streams,
	"country": func(s *settings) (any, error) {
		return nil, country.WriteCSV(os.Stdout, country.Stores(s.stores, country.Seed))
	},
}

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var mode func(*settings) (any, error)
	if len(args) > 0 {
		mode = modes[args[0]]
	}
	if mode == nil {
		var names []string
		for name := range modes {
			names = append(names, name)
		}
		slices.Sort(names)
		return fmt.Errorf("say what to do: %s", strings.Join(names, ", "))
	}
	var s settings
	f := flag.NewFlagSet("load "+args[0], flag.ContinueOnError)
	f.StringVar(&s.url, "url", "http://127.0.0.1:8080", "the server")
	f.StringVar(&s.key, "key", "", "keys, with commas between: connections take turns, since a key has a rate limit")
	f.IntVar(&s.conns, "conns", 64, "connections")
	f.IntVar(&s.count, "count", 0, "requests (batches: orders) at most; 0: as many as the time allows")
	f.Float64Var(&s.seconds, "seconds", 10, "seconds at most")
	f.Float64Var(&s.rate, "rate", 0, "requests a second, sent when they are due and not when there is an answer; latency counts from then; 0: as fast as answered")
	f.IntVar(&s.stores, "stores", 600_000, "stores of the country the doors are in")
	f.Uint64Var(&s.seed, "seed", 1, "of the doors")
	f.Float64Var(&s.items, "items", 0, "share of orders for goods from a shelf; the others are parcels")
	f.IntVar(&s.first, "first", 0, "number in the external id of the first order")
	f.BoolVar(&s.scatter, "scatter", false, "external ids in no order")
	f.StringVar(&s.tag, "tag", "", "what external ids begin with; empty: something new each time")
	f.IntVar(&s.lines, "lines", 1000, "batches: orders a request")
	f.StringVar(&s.paths, "paths", "", "get, streams: file with one path a line")
	f.StringVar(&s.trigger, "trigger", "", "streams: path that is posted to without a body to make one event; several take turns, with commas between")
	f.IntVar(&s.rounds, "rounds", 6, "streams: how often the event is made")
	f.IntVar(&s.pid, "pid", 0, "the server's process, whose CPU is told too")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q is not understood", f.Arg(0))
	}
	// The loops make no garbage; without a collector nothing pauses them.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupts
		os.Exit(130)
	}()
	result, err := mode(&s)
	if err != nil || result == nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// keys are what connections say after "Bearer "; without any they say nothing.
func (s *settings) keys() []string {
	if s.key == "" {
		return []string{""}
	}
	return strings.Split(s.key, ",")
}

// host is HOST:PORT of the server.
func (s *settings) host() string {
	return strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/")
}

// readPaths reads the lines of the file -paths.
func (s *settings) readPaths() ([]string, error) {
	if s.paths == "" {
		return nil, errors.New("-paths names a file with one path a line")
	}
	data, err := os.ReadFile(s.paths)
	if err != nil {
		return nil, err
	}
	lines := strings.Fields(string(data))
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s is empty", s.paths)
	}
	return lines, nil
}
