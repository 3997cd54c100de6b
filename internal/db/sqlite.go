package db

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"
)

// Older versions can corrupt a WAL database when a checkpoint races a writer that resets it.
const minSQLite = 3051003

func (d *DB) openSQLite(ctx context.Context) error {
	if text, n, _ := sqlite3.Version(); n < minSQLite {
		return fmt.Errorf("SQLite %s is too old: 3.51.3 or newer is needed", text)
	}
	path := sqlitePath(d.url)
	if path == "" || path == ":memory:" || strings.HasPrefix(path, "file:") {
		return errors.New("give the path of a file: an order in memory is not durable")
	}
	// Fail with the reason of the file system, which SQLite keeps to itself.
	if info, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", filepath.Dir(path))
	}
	var err error
	if d.writes, err = sqlx.Open("sqlite3", liteDSN(path, false)); err != nil {
		return err
	}
	d.writes.SetMaxOpenConns(2) // the writer, and the migrations or a backup beside it
	if err := d.writes.PingContext(ctx); err != nil {
		return err
	}
	if d.reads, err = sqlx.Open("sqlite3", liteDSN(path, true)); err != nil {
		return err
	}
	d.reads.SetMaxOpenConns(8)
	d.reads.SetMaxIdleConns(8)
	return nil
}

// SQLiteVersion is the version of the SQLite inside.
func SQLiteVersion() string {
	text, _, _ := sqlite3.Version()
	return text
}

func sqlitePath(url string) string { return strings.TrimPrefix(url, "sqlite:") }

// liteDSN carries every pragma: one set by a statement would hold for one pooled connection only.
func liteDSN(path string, readOnly bool) string {
	q := url.Values{
		"_journal_mode": {"WAL"},
		// mattn's build says NORMAL in WAL mode, which loses acknowledged orders in a power cut.
		"_synchronous":  {"FULL"},
		"_foreign_keys": {"on"},
		"_busy_timeout": {"10000"},
		"_txlock":       {"immediate"},
		"_cache_size":   {"-64000"},
		// A connection is used by one goroutine at a time: SQLite need not lock it at every call.
		"_mutex": {"no"},
	}
	if readOnly {
		q.Set("_query_only", "1")
		q.Del("_journal_mode")
		q.Set("_cache_size", "-8000")
	}
	escaped := strings.ReplaceAll(url.PathEscape(path), "%2F", "/")
	return "file:" + escaped + "?" + q.Encode()
}

// Backup writes a consistent copy of the database to a new file while it goes on being used. An
// existing file is refused. The copy appears under its name only when it is complete and durable.
func (d *DB) Backup(ctx context.Context, path string) error {
	if d.engine != SQLite {
		return errors.New("this is a PostgreSQL database: use pg_dump")
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s exists: a backup overwrites nothing", path)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".backup-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	part := filepath.Join(dir, "part")
	if _, err := d.writes.ExecContext(ctx, `VACUUM INTO ?`, part); err != nil {
		return Classify(err)
	}
	if err := syncFile(part); err != nil {
		return err
	}
	// A link, unlike a rename, fails when somebody made the file meanwhile.
	if err := os.Link(part, path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

// Restore copies the backup at from to a new database at to, after checking that it is whole.
func Restore(ctx context.Context, from, to string) error {
	to = sqlitePath(to)
	for _, p := range []string{to, to + "-wal", to + "-shm"} {
		if _, err := os.Lstat(p); err == nil {
			return fmt.Errorf("%s exists: restore overwrites nothing; move it away first", p)
		}
	}
	if _, err := os.Stat(from); err != nil {
		return err
	}
	src, err := sqlx.Open("sqlite3", liteDSN(from, true))
	if err != nil {
		return err
	}
	defer src.Close()
	if err := integrity(ctx, src); err != nil {
		return fmt.Errorf("%s is not a whole backup: %w", from, err)
	}
	if _, err := src.ExecContext(ctx, `PRAGMA query_only = 0`); err != nil {
		return err
	}
	if _, err := src.ExecContext(ctx, `VACUUM INTO ?`, to); err != nil {
		return err
	}
	return errors.Join(syncFile(to), syncFile(filepath.Dir(to)))
}

// Check looks the whole database over; nil means sound.
func (d *DB) Check(ctx context.Context) error {
	if d.engine != SQLite {
		return Classify(d.reads.PingContext(ctx))
	}
	return integrity(ctx, d.reads)
}

func integrity(ctx context.Context, p *sqlx.DB) error {
	var lines []string
	if err := p.SelectContext(ctx, &lines, `PRAGMA integrity_check(10)`); err != nil {
		return err
	}
	if len(lines) != 1 || lines[0] != "ok" {
		return errors.New(strings.Join(lines, "; "))
	}
	var broken int
	if err := p.GetContext(ctx, &broken, `SELECT count(*) FROM pragma_foreign_key_check`); err != nil {
		return err
	}
	if broken > 0 {
		return fmt.Errorf("%d rows point to rows that are gone", broken)
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
