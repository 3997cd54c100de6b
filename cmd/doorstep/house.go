package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/care"
	"doorstep/internal/db"
	"doorstep/internal/dropoff"
	"doorstep/internal/event"
	"doorstep/internal/job"
	"doorstep/internal/match"
	"doorstep/internal/notify"
	"doorstep/internal/order"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"
	"doorstep/internal/privacy"
	"doorstep/internal/server"
)

const (
	retryJob = "retry-unassignable"
	keepHot  = 7 * 24 * time.Hour // orders that have ended, in the indexes that new ones touch
)

// assemble makes the parts of the house on an open database. Nothing runs yet.
func assemble(ctx context.Context, d *db.DB, c *config, log *slog.Logger) (server.Parts, error) {
	p := server.Parts{DB: d, Log: log, Keys: auth.NewBook(d), Stores: partner.NewBook(d, c.Stores), Orders: order.NewBook(d), Dropoff: dropoff.NewBook(d), Care: care.NewBook(d)}
	// The index is filled, and may report supply, before there is a runner to wake.
	var runner atomic.Pointer[job.Runner]
	onSupply := func() {
		if r := runner.Load(); r != nil {
			r.Wake(retryJob)
		}
	}
	var err error
	if p.Match, err = match.NewBook(ctx, d, p.Stores, log, onSupply); err != nil {
		return p, fmt.Errorf("load the stores: %w", err)
	}
	p.Prestock = prestock.NewBook(d, p.Stores)
	p.Privacy = privacy.NewBook(d, p.Orders, time.Duration(c.RetentionDays)*24*time.Hour)
	if p.Notify, err = notify.NewBook(ctx, d, messages(p.Prestock, c, log)); err != nil {
		return p, fmt.Errorf("messages to stores: %w", err)
	}
	p.Jobs = job.New(d, log, slices.Concat(jobs(d, p), []job.Job{p.Privacy.Job()}, prestock.Jobs(p.Prestock), dropoff.Jobs(p.Dropoff), notify.Jobs(p.Notify))...)
	runner.Store(p.Jobs)
	p.Privacy.OnErased(func() { p.Jobs.Wake(privacy.JobName) })
	p.Events = event.NewLog(d)
	return p, nil
}

// messages says how stores are told: of their prompts, in the words of package prestock.
func messages(tasks *prestock.Book, c *config, log *slog.Logger) notify.Options {
	contact := c.PushContact
	if contact == "" && strings.HasPrefix(c.PublicURL, "https:") {
		contact = c.PublicURL
	}
	return notify.Options{Contact: contact, Loopback: c.PushLoopback, Log: log,
		Say: func(ctx context.Context, t notify.Told) (notify.Message, error) {
			n, err := tasks.Notice(ctx, t.Store, prestock.Said{Task: t.Subject, Kind: t.Kind})
			return notify.Message{Lang: n.Lang, Title: n.Title, Body: n.Body, After: n.After, Until: n.Until, Moot: n.Moot, Quantity: n.Open()}, err
		}}
}

// jobs is the scheduled work that is no package's own. All of it is safe twice.
func jobs(d *db.DB, p server.Parts) []job.Job {
	m, stores, orders := p.Match, p.Stores, p.Orders
	return []job.Job{
		{Name: "offers", Schedule: job.Every(time.Second),
			Idle: func(ctx context.Context) (bool, error) { due, err := m.AnyDue(ctx); return !due, err },
			Run:  func(ctx context.Context, _ *job.Slot) error { _, err := m.ExpireDue(ctx); return err }},
		{Name: retryJob, Schedule: job.Every(time.Minute),
			Run: func(ctx context.Context, _ *job.Slot) error { _, err := m.RetryUnassignable(ctx); return err }},
		{Name: "archive", Schedule: job.Every(time.Hour),
			Idle: func(ctx context.Context) (bool, error) {
				any, err := orders.AnyToArchive(ctx, d.Now().Add(-keepHot))
				return !any, err
			},
			Run: func(ctx context.Context, _ *job.Slot) error {
				_, err := orders.Archive(ctx, d.Now().Add(-keepHot))
				return err
			}},
		{Name: "search", Schedule: job.Every(5 * time.Second),
			Idle: func(ctx context.Context) (bool, error) {
				phones, err := orders.AnyPhones(ctx, order.Settled)
				if err != nil || phones {
					return false, err
				}
				names, err := stores.AnyNames(ctx)
				return !names, err
			},
			Run: func(ctx context.Context, _ *job.Slot) error {
				err := stores.TakeNames(ctx) // first: after an upgrade there may be years of orders
				_, untaken := orders.TakePhones(ctx, order.Settled)
				return errors.Join(err, untaken)
			}},
		{Name: "purge", Schedule: job.Every(time.Hour),
			Run: func(ctx context.Context, _ *job.Slot) error {
				return errors.Join(server.PurgeRepeats(ctx, d), p.Keys.PurgeSessions(ctx), stores.PurgeSlotUse(ctx, d.Now()))
			}},
	}
}

// openDB opens the database that the settings name. create allows a new one to be made.
func (a *app) openDB(ctx context.Context, c *config, log *slog.Logger, create bool) (*db.DB, error) {
	if err := preparePath(c, create); err != nil {
		return nil, err
	}
	return db.Open(ctx, c.DB, db.Options{Log: log, GroupLimit: c.GroupLimit})
}

// preparePath makes the folder of the default database, and says what is missing for any other: a
// path with a slip in it must not become an empty database somewhere.
func preparePath(c *config, create bool) error {
	if db.EngineOf(c.DB) != db.SQLite {
		return nil
	}
	path := sqlitePath(c)
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil // what is wrong with it the database says
	}
	if !create {
		return fmt.Errorf("there is no database at %s: name it with --db, or make one with doorstep serve", path)
	}
	folder := filepath.Dir(path)
	if c.origin["db"].from == "default" {
		return os.MkdirAll(folder, 0o750)
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder %s does not exist: mkdir -p %s", folder, folder)
	}
	return nil
}

func sqlitePath(c *config) string { return strings.TrimPrefix(c.DB, "sqlite:") }

// onDB opens the database for the time of one command. What it changes is logged as done here.
func (a *app) onDB(ctx context.Context, c *config, create bool, f func(context.Context, *db.DB) error) error {
	d, err := a.openDB(ctx, c, a.logger(c), create)
	if err != nil {
		return err
	}
	return errors.Join(f(event.WithActor(ctx, "command-line"), d), d.Close())
}

// inHouse is onDB for commands that need all parts.
func (a *app) inHouse(ctx context.Context, c *config, f func(context.Context, server.Parts) error) error {
	return a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) error {
		p, err := assemble(ctx, d, c, a.logger(c))
		if err != nil {
			return err
		}
		defer p.Events.Close()
		return f(ctx, p)
	})
}

// logger writes to stderr: stdout is for what was asked for.
func (a *app) logger(c *config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "text" || c.LogFormat == "auto" && isTerminal(a.err) {
		return slog.New(slog.NewTextHandler(a.err, o))
	}
	return slog.New(slog.NewJSONHandler(a.err, o))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// table prints rows in columns; head is tab-separated.
func (a *app) table(head string, rows func(row func(...any))) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	})
	return w.Flush()
}
