// Package dbtest opens real databases for tests, on both engines.
//
// SQLite is a file in the test's own folder. PostgreSQL is a database of its own on the server
// that DOORSTEP_TEST_POSTGRES names (scripts/with-postgres starts one); without it that half is
// skipped, which the test summary counts, and which CI does not allow.
package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/internal/db"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// Clock is a clock that a test moves.
type Clock struct{ ms atomic.Int64 }

// NewClock starts at t.
func NewClock(t time.Time) *Clock {
	c := &Clock{}
	c.Set(t)
	return c
}

func (c *Clock) Now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *Clock) Set(t time.Time)         { c.ms.Store(t.UnixMilli()) }
func (c *Clock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// Each runs f on a fresh database of either engine, as subtests sqlite and postgres.
func Each(t *testing.T, o db.Options, f func(t *testing.T, d *db.DB)) {
	t.Helper()
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(e), func(t *testing.T) { f(t, Open(t, e, o)) })
	}
}

// Open is a fresh, migrated database that is closed when the test ends.
func Open(t testing.TB, e db.Engine, o db.Options) *db.DB {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	d, err := db.Open(context.Background(), URL(t, e), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// URL names a fresh database that nobody has opened yet.
func URL(t testing.TB, e db.Engine) string {
	t.Helper()
	if e == db.SQLite {
		return copyTemplate(t)
	}
	server := os.Getenv("DOORSTEP_TEST_POSTGRES")
	if server == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI runs every test on PostgreSQL: DOORSTEP_TEST_POSTGRES is not set")
		}
		t.Skip("no PostgreSQL: DOORSTEP_TEST_POSTGRES is not set (scripts/with-postgres sets it)")
	}
	return createDatabase(t, server)
}

// Migrating once and copying is what keeps a test's own database cheap.
var template struct {
	once sync.Once
	file []byte
	err  error
}

func copyTemplate(t testing.TB) string {
	template.once.Do(func() {
		dir, err := os.MkdirTemp("", "doorstep-template-")
		if err != nil {
			template.err = err
			return
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "t.db")
		d, err := db.Open(context.Background(), path, db.Options{})
		if err == nil {
			err = d.Close()
		}
		if err == nil {
			template.file, err = os.ReadFile(path)
		}
		template.err = err
	})
	if template.err != nil {
		t.Fatal(template.err)
	}
	path := filepath.Join(t.TempDir(), "doorstep.db")
	if err := os.WriteFile(path, template.file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var (
	pgTemplate sync.Once
	pgName     string
	pgErr      error
	pgCount    atomic.Int64
)

func createDatabase(t testing.TB, server string) string {
	t.Helper()
	admin, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	pgTemplate.Do(func() {
		pgName = fmt.Sprintf("template_%d_%d", os.Getpid(), time.Now().UnixNano())
		if _, pgErr = admin.Exec("CREATE DATABASE " + pgName); pgErr != nil {
			return
		}
		var d *db.DB
		if d, pgErr = db.Open(context.Background(), withDatabase(server, pgName), db.Options{}); pgErr == nil {
			pgErr = d.Close()
		}
	})
	if pgErr != nil {
		t.Fatal(pgErr)
	}
	name := fmt.Sprintf("test_%d_%d_%d", os.Getpid(), time.Now().UnixNano(), pgCount.Add(1))
	if _, err := admin.Exec("CREATE DATABASE " + name + " TEMPLATE " + pgName); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	return withDatabase(server, name)
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err)
	}
	u.Path = "/" + name
	return u.String()
}
