//go:build linux

// Bench-plan measures the plan of a campaign for a whole country: wall time, processor time and memory.
//
//	bench-plan [-stores 600000] [-skus 20] [-days 28] [-rate 0.05] [-expected] [-db FILE]
//
// It makes a country of stores with a past in a SQLite file, in a process of its own so that making it
// counts for nothing, then plans a campaign twice: at first there is nothing, then nothing to change.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"
	"doorstep/scripts/bench/country"
)

type settings struct {
	stores, skus, days int
	rate               float64
	expected, fill     bool
	path, profile      string
}

func main() {
	var s settings
	flag.IntVar(&s.stores, "stores", 600_000, "stores of the country")
	flag.IntVar(&s.skus, "skus", 20, "SKUs of the campaign")
	flag.IntVar(&s.days, "days", 28, "days of past demand")
	flag.Float64Var(&s.rate, "rate", 0.05, "units a day that a usual store sells of a usual SKU")
	flag.BoolVar(&s.expected, "expected", false, "fix the total of each SKU, as expected_units does")
	flag.BoolVar(&s.fill, "fill", false, "make the country and end")
	flag.StringVar(&s.path, "db", "", "database to make or, if it is there, to use; default: one that is removed at the end")
	flag.StringVar(&s.profile, "profile", "", "file for a profile of the processor")
	flag.Parse()
	if err := s.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench-plan:", err)
		os.Exit(1)
	}
}

func (s *settings) run(ctx context.Context) error {
	if s.fill {
		return s.make(ctx)
	}
	if s.path == "" {
		dir, err := os.MkdirTemp("", "bench-plan-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s.path = filepath.Join(dir, "country.db")
	}
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
		fill := exec.CommandContext(ctx, "/proc/self/exe", "-fill", "-db", s.path, "-stores", strconv.Itoa(s.stores), "-skus", strconv.Itoa(s.skus),
			"-days", strconv.Itoa(s.days), "-rate", fmt.Sprint(s.rate))
		fill.Stdout, fill.Stderr = os.Stderr, os.Stderr
		if err := fill.Run(); err != nil {
			return err
		}
	}
	d, err := db.Open(ctx, s.path, db.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return errors.Join(s.measure(ctx, d), d.Close())
}

func skuName(k int) string { return fmt.Sprintf("SKU-%03d", k) }

func (s *settings) measure(ctx context.Context, d *db.DB) error {
	book := prestock.NewBook(d, partner.NewBook(d, partner.StandardDefaults()))
	from := d.Now().Truncate(24*time.Hour).AddDate(0, 0, 10)
	in := prestock.CampaignInput{Name: "Singles Day", StartsAt: from, EndsAt: from.Add(24 * time.Hour)}
	five := 5.0
	for k := range s.skus {
		sku := prestock.SKU{SKU: skuName(k), Uplift: &five, CasePack: 1}
		if s.expected {
			units := int(s.rate * five * float64(s.stores))
			sku.ExpectedUnits = &units
		}
		in.SKUs = append(in.SKUs, sku)
	}
	c, err := book.CreateCampaign(ctx, in)
	if err != nil {
		return err
	}
	if s.profile != "" {
		f, err := os.Create(s.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for _, what := range []string{"first", "again"} {
		if err := s.once(ctx, book, c.Key, what); err != nil {
			return err
		}
	}
	return nil
}

func (s *settings) once(ctx context.Context, book *prestock.Book, campaign int64, what string) error {
	began, cpu, written, step, at := time.Now(), used(), writtenMiB(), "", time.Now()
	var steps []string
	r, err := book.PlanWatched(ctx, campaign, func(p prestock.PlanRun) {
		if p.Step != step {
			if step != "" {
				steps = append(steps, fmt.Sprintf("%s %.1f s", step, time.Since(at).Seconds()))
			}
			step, at = p.Step, time.Now()
		}
		fmt.Fprintf(os.Stderr, "\r%-10s %d of %d stores ", p.Step, p.DoneStores, p.TotalStores)
	})
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return err
	}
	steps = append(steps, fmt.Sprintf("%s %.1f s", step, time.Since(at).Seconds()))
	wall := time.Since(began)
	fmt.Printf("plan %s: %d stores x %d SKUs: %d tasks, %d units (%d found no room): wall %.1f s, processor %.1f s, peak memory %d MiB, written %d MiB; created %d, changed %d, removed %d, unchanged %d; %s\n",
		what, s.stores, s.skus, r.Tasks, r.Asked, r.Unplaced, wall.Seconds(), (used() - cpu).Seconds(), peakMiB(), writtenMiB()-written, r.Created, r.Changed, r.Removed, r.Unchanged, strings.Join(steps, ", "))
	return nil
}

// used is the processor time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMiB is the most memory this process ever had.
func peakMiB() int { return number("/proc/self/status", "VmHWM:") / 1024 }

// writtenMiB is what this process has had written to the disk.
func writtenMiB() int { return number("/proc/self/io", "write_bytes:") >> 20 }

// number is what stands behind a name in a file of the kernel; 0 if it cannot be read.
func number(file, name string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}

// make fills a new database: the stores through their import, the past straight into its table.
func (s *settings) make(ctx context.Context) error {
	began := time.Now()
	d, err := db.Open(ctx, s.path, db.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defaults := partner.StandardDefaults()
	defaults.ShelfUnits = 120
	r, w := io.Pipe()
	go func() { w.CloseWithError(country.WriteCSV(w, country.Stores(s.stores, country.Seed))) }()
	stores := partner.NewBook(d, defaults)
	result, err := stores.Import(ctx, r, partner.ImportOptions{Format: partner.CSV, Defaults: defaults})
	if err != nil {
		return errors.Join(err, d.Close())
	}
	fmt.Printf("%d stores in %.0f s\n", result.Created, time.Since(began).Seconds())
	var keys []int64
	err = stores.Each(ctx, func(s partner.Store) error { keys = append(keys, s.Key); return nil })
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	slices.Sort(keys)
	return s.past(ctx, keys, int32(time.Now().UnixMilli()/86_400_000))
}

// past writes what was sold before today: gamma-Poisson over stores and SKUs.
func (s *settings) past(ctx context.Context, keys []int64, today int32) (err error) {
	began := time.Now()
	pool, err := sql.Open("sqlite3", "file:"+s.path+"?_journal_mode=WAL&_synchronous=OFF")
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, pool.Close()) }()
	rng := rand.New(rand.NewPCG(country.Seed, 7))
	level := make([]float64, len(keys))
	for i := range level {
		level[i] = math.Exp(0.6*rng.NormFloat64() - 0.18)
	}
	rows, batch := 0, 50
	row := "(?, ?, 0, ?, ?, 0, 0, TRUE, TRUE, 0, 0)"
	const into = `INSERT INTO demand (sku, store_key, cell, day, units, stockout_hours, discount, units_imported, hours_imported, own_units, own_stockout_hours) VALUES `
	for k := range s.skus {
		tx, err := pool.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		many, err := tx.PrepareContext(ctx, into+row+strings.Repeat(", "+row, batch-1))
		if err != nil {
			return err
		}
		args, popular := make([]any, 0, batch*4), math.Exp(0.5*rng.NormFloat64()-0.125)
		for i, key := range keys {
			rate := s.rate * level[i] * popular
			for day := today - int32(s.days); day < today; day++ {
				n := poisson(rng, rate)
				if n == 0 {
					continue
				}
				if args = append(args, skuName(k), key, day, n); len(args) == cap(args) {
					if _, err := many.ExecContext(ctx, args...); err != nil {
						return err
					}
					rows, args = rows+batch, args[:0]
				}
			}
		}
		for len(args) > 0 {
			if _, err := tx.ExecContext(ctx, into+row, args[:4]...); err != nil {
				return err
			}
			rows, args = rows+1, args[4:]
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	fmt.Printf("%d days of demand in %.0f s\n", rows, time.Since(began).Seconds())
	return nil
}

// poisson is for small rates (Knuth).
func poisson(rng *rand.Rand, rate float64) int {
	n, p, limit := 0, rng.Float64(), math.Exp(-rate)
	for p > limit {
		p *= rng.Float64()
		n++
	}
	return n
}
