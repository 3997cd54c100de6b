// Replay sends recorded orders of a real city through Doorstep's HTTP API and checks every decision.
//
//	make replay                                          # a server of its own, all 14,112 orders
//	go run ./scripts/replay -serve -orders 2000          # the first 2,000 only
//	go run ./scripts/replay -serve -db postgres://…      # on an empty PostgreSQL database
//	go run ./scripts/replay -serve -concurrency 16       # for throughput; no comparison
//	go run ./scripts/replay -url http://… -key ds_live_… # a running server with an empty database
//
// It reads three files from the folder -data, which is not part of this repository:
//
//	stores_newyork_foodretail.csv   18,572 food stores of New York State (imported as CSV)
//	stores_nairobi_pickups.csv      482 pick-up points in Nairobi (imported as NDJSON)
//	orders_nairobi_sendy.csv        14,112 recorded deliveries in Nairobi, in the order they were placed
//
// The files say where and when. The replay adds, from the row's number alone: opening hours (in
// Nairobi from the first to the last recorded pick-up), room for 1 to 6 orders an hour, 8 units of
// three SKUs on every shelf in Nairobi; every third order asks for goods, every fourth may not go
// farther than 1,500 m. Recorded days become days a month ahead, since a window cannot lie in the past.
//
// Every order is sent when the one before was answered, and the answer is compared with brute force:
// of all stores, the nearest by haversine that is open when the promise begins, within both radii,
// with room in the slot and the goods by the replay's own count. Meanwhile every served order is
// packed, picked up and carried to the recorded door (every n-th with -dropoffs n), a fifth of them
// with a photo and grade B. Then quotes are asked in New York, and all orders and shelves are read
// back and added up anew.
//
// It prints:
//
//	stores             how many, and the seconds to import them
//	orders             acknowledged: served, and without any possible store
//	as brute force     orders with the store that brute force chooses, or none if it finds none
//	quotes             the same for quotes in New York
//	capacity overruns  store slots with more orders than they have room for
//	stock overruns     SKUs on a shelf promised beyond what there is, or counted otherwise than the orders say
//	distance           from store to door, mean and 95th percentile, in metres
//	drop-offs          carried to the door, and how many are delivered
//	speed              orders a second with the drop-offs beside them; milliseconds to create one
//
// The exit status is 0 if all orders and quotes are as brute force, nothing is overrun and every
// drop-off is delivered, and 1 otherwise.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"doorstep/internal/sim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	cfg := sim.ReplayConfig{Progress: progress}
	flags.StringVar(&cfg.BaseURL, "url", "", "address of a running server with an empty database")
	flags.StringVar(&cfg.AdminKey, "key", "", "an admin key of that server")
	flags.StringVar(&cfg.Data, "data", "../shared/data", "folder of the recorded stores and orders")
	flags.IntVar(&cfg.Orders, "orders", 0, "replay at most so many orders (0: all)")
	flags.IntVar(&cfg.DropoffEvery, "dropoffs", 1, "carry every n-th served order to the door (0: none)")
	flags.IntVar(&cfg.Quotes, "quotes", 1000, "quotes to ask in New York")
	flags.IntVar(&cfg.Concurrency, "concurrency", 1, "orders sent at once; with more than one, stores are not compared")
	serve := flags.Bool("serve", false, "start a server for the replay and stop it afterwards")
	bin := flags.String("bin", "bin/doorstep", "the program to start with -serve")
	db := flags.String("db", "", "database for -serve, empty so far (default: a temporary SQLite file)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *serve {
		s, err := start(ctx, *bin, *db)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		cfg.BaseURL, cfg.AdminKey = s.url, s.key
	}
	if cfg.BaseURL == "" || cfg.AdminKey == "" {
		return errors.New("give -serve, or -url and -key of a server with an empty database")
	}
	report, err := sim.Replay(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Print(report)
	return report.Err()
}

// progress writes over its own line, on a terminal only.
func progress(done, total int) {
	if info, err := os.Stderr.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return
	}
	switch {
	case done == total:
		fmt.Fprint(os.Stderr, "\r\033[K")
	case done%100 == 0:
		fmt.Fprintf(os.Stderr, "\r%d of %d orders", done, total)
	}
}

// server is a Doorstep started for this replay.
type server struct {
	url, key string
	process  *exec.Cmd
	folder   string // its temporary database; "": not ours
}

// start serves on a free port of the loopback and makes an admin key.
func start(ctx context.Context, bin, db string) (s *server, err error) {
	s = &server{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if db == "" {
		if s.folder, err = os.MkdirTemp("", "doorstep-replay-"); err != nil {
			return s, err
		}
		db = filepath.Join(s.folder, "doorstep.db")
	}
	// Not CommandContext: an interrupt ends the replay first, and then the server in order.
	process := exec.Command(bin, "serve", "--db", db, "--listen", "127.0.0.1:0", "--log-level", "warn")
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		return s, err
	}
	if err := process.Start(); err != nil {
		return s, fmt.Errorf("%w (make build makes %s)", err, bin)
	}
	s.process = process
	if s.url, err = address(ctx, bufio.NewScanner(out)); err != nil {
		return s, err
	}
	key, err := exec.CommandContext(ctx, bin, "key", "create", "--role", "admin", "--db", db).Output()
	s.key = strings.TrimSpace(string(key))
	return s, err
}

var loopback = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// address waits for the line in which the server says where it listens, and keeps reading so that
// the server never waits for us.
func address(ctx context.Context, lines *bufio.Scanner) (string, error) {
	found := make(chan string, 1)
	go func() {
		defer close(found)
		for lines.Scan() {
			if at := loopback.FindString(lines.Text()); at != "" && len(found) == 0 {
				found <- "http://" + at
			}
		}
	}()
	select {
	case url, ok := <-found:
		if !ok {
			return "", errors.New("the server ended without saying where it listens")
		}
		return url, nil
	case <-time.After(time.Minute):
		return "", errors.New("the server did not say within a minute where it listens")
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// stop ends the server in order and removes what it kept.
func (s *server) stop() error {
	var err error
	if s.process != nil {
		err = s.process.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { _ = s.process.Process.Kill() })
		defer kill.Stop()
		err = errors.Join(err, s.process.Wait())
	}
	if s.folder != "" {
		err = errors.Join(err, os.RemoveAll(s.folder))
	}
	return err
}
