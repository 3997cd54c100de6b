// Package db keeps rows: SQLite inside by default, PostgreSQL when one machine is not enough,
// the same SQL text for both. It is the only importer of sqlx and the drivers.
//
//	InTx ──► queue ──► one writer: BEGIN IMMEDIATE
//	                     function 1 · function 2 · …            (in hope)
//	                     the rows they gave to Insert, several a statement
//	                   COMMIT (one fsync for all) ──► OnCommit ──► everyone is answered
//
//	a function failed after it had written, panicked, overstayed, or met a row that was there:
//	                   ROLLBACK, and the group again with care
//	                     SAVEPOINT · function 1 · RELEASE
//	                     SAVEPOINT · function 2 · ROLLBACK TO   (that one alone)
//
// Nothing is acknowledged before it is durable: InTx returns after the commit. Reads go through
// Read, a pool of their own that never waits for the writer. On PostgreSQL the same InTx is an
// ordinary transaction, run again when the server asks for it (40001, 40P01).
//
// Rules for a function given to InTx: no network, no image work, no sleeping; it may run more
// than once, so it changes nothing outside the transaction except through OnCommit.
//
// SQL is portable: placeholders are ?, times are BIGINT milliseconds UTC, keys are made in Go,
// and a statement expects no error it wants to survive (PostgreSQL ends the transaction at the
// first one): write ON CONFLICT instead.
package db

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"doorstep/internal/ident"

	"github.com/jmoiron/sqlx"
)

// Engine is the kind of database behind a DB.
type Engine string

const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// Clock is where the time of a change comes from; tests and sandboxes move it.
type Clock func() time.Time

// Options of Open; the zero value is production.
type Options struct {
	Clock Clock        // time.Now when nil
	Log   *slog.Logger // slog.Default when nil
	// GroupLimit bounds the functions that share one commit on SQLite; 0 is 2,048. 1 is one
	// transaction each: the yardstick of the write benchmark.
	GroupLimit int
	// MaxRun is how long one function may hold the writer when its context has no earlier
	// deadline; 0 is 5 s.
	MaxRun time.Duration
}

// ErrAgain asks for the transaction to be run again from its start: what it read has changed
// meanwhile, or a row it inserted was there already.
var ErrAgain = errors.New("db: a row changed under the transaction")

// ErrNoRows is what Get returns when there is no such row.
var ErrNoRows = sql.ErrNoRows

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine  Engine
	url     string
	clock   Clock
	log     *slog.Logger
	keys    *ident.Keys
	names   *ident.Names
	reads   *sqlx.DB
	writes  *sqlx.DB
	writer  *writer  // nil on PostgreSQL
	rows    *readers // likewise
	rebound sync.Map
	wake    atomic.Pointer[func()]

	// What Horizon needs to know on PostgreSQL.
	open    openTxs
	writeAs string       // application_name of this process's writing connections
	horizon atomic.Int64 // the greatest that was given out
}

// Open opens the database at url (a file path, or postgres://…), brings its schema up to date
// and checks that it can be trusted with a commit.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.GroupLimit == 0 {
		o.GroupLimit = 2048
	}
	if o.MaxRun == 0 {
		o.MaxRun = 5 * time.Second
	}
	// A random node number keeps the keys of two processes on one database apart.
	var n [2]byte
	if _, err := rand.Read(n[:]); err != nil {
		return nil, err
	}
	d := &DB{engine: EngineOf(url), url: url, clock: o.Clock, log: o.Log, keys: ident.NewKeys(int(n[0])<<8 | int(n[1]))}
	var err error
	if d.engine == Postgres {
		err = d.openPostgres(ctx)
	} else {
		err = d.openSQLite(ctx)
	}
	if err != nil {
		d.closePools()
		return nil, fmt.Errorf("open database %s: %w", Redact(url), err)
	}
	if err := d.migrate(ctx); err != nil {
		d.closePools()
		return nil, fmt.Errorf("migrate %s: %w", Redact(url), err)
	}
	if d.engine == SQLite {
		if d.writer, err = newWriter(d, o.GroupLimit, o.MaxRun); err != nil {
			d.closePools()
			return nil, err
		}
		d.rows = newReaders(d.url)
	}
	if err := d.loadSecret(ctx); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("secret of %s: %w", Redact(url), err)
	}
	return d, nil
}

// EngineOf tells the engine a URL names.
func EngineOf(url string) Engine {
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return Postgres
	}
	return SQLite
}

// Close waits for the functions already accepted, then closes the connections.
func (d *DB) Close() error {
	if d.writer != nil {
		d.writer.close()
	}
	return d.closePools()
}

func (d *DB) closePools() error {
	var errs []error
	if d.rows != nil {
		d.rows.close()
	}
	for _, p := range []*sqlx.DB{d.reads, d.writes} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

// Engine is the kind of database.
func (d *DB) Engine() Engine { return d.engine }

// Names turns keys into the names shown outside, under this database's own secret.
func (d *DB) Names() *ident.Names { return d.names }

// Keys makes the keys of rows.
func (d *DB) Keys() *ident.Keys { return d.keys }

// Now is the time on this database's clock, UTC, in whole milliseconds as rows keep it.
func (d *DB) Now() time.Time { return d.clock().UTC().Truncate(time.Millisecond) }

// Queryer reads rows: a transaction sees its own changes, Read sees what is committed.
type Queryer interface {
	// Get reads one row into dest (a pointer to a struct with db tags, or to a scalar);
	// ErrNoRows when there is none.
	Get(dest any, query string, args ...any) error
	// Select reads all rows into dest, a pointer to a slice.
	Select(dest any, query string, args ...any) error
}

// Tx is one change. It belongs to the function it was given to and dies with it.
type Tx struct {
	ctx context.Context
	db  *DB
	now time.Time
	// mu is held while a statement runs: when a function overstays, the writer waits for
	// the statement, marks the transaction dead and goes on without the function.
	mu       sync.Mutex
	dead     error
	wrote    bool  // a statement that may have changed rows
	failed   error // of a statement: the function fails with it, as on PostgreSQL, whatever it says itself
	run      runner
	onCommit []func()
}

// runner runs statements on one connection.
type runner interface {
	exec(query string, args []any) (int64, error)
	get(dest any, query string, args []any) error
	sel(dest any, query string, args []any) error
	insert(row Row) error
	peek(dest any, query string, args []any) error
	values(f func([]any) error, query string, args []any) error
}

// InTx runs f in a transaction and returns when its changes are durable, or when none of them
// happened. It is the only way to write.
//
// Errors: what f returned; fault.Full when the disk is full; fault.Unavailable when the
// database fails, when f overstayed its deadline, or when too many wait already.
func (d *DB) InTx(ctx context.Context, f func(*Tx) error) error {
	if d.writer != nil {
		return d.writer.do(ctx, f)
	}
	return d.inPostgresTx(ctx, f)
}

// InTxs is InTx for several functions at once, with an error for each: every one of them happens or
// not by itself, as if it had been given to InTx alone. What is saved is the waiting: on SQLite they are
// likely to share a commit, and their sender is woken once. Elsewhere they run one after the other.
func (d *DB) InTxs(ctx context.Context, fs []func(*Tx) error) []error {
	errs := make([]error, len(fs))
	if len(fs) == 0 {
		return errs
	}
	if d.writer == nil {
		for i, f := range fs {
			errs[i] = d.inPostgresTx(ctx, f)
		}
		return errs
	}
	calls := make([]call, len(fs))
	for i, f := range fs {
		calls[i].f = f
	}
	err := d.writer.doAll(ctx, calls)
	for i := range calls {
		if errs[i] = err; err == nil {
			errs[i] = calls[i].err
		}
	}
	return errs
}

// Context is the context the change was asked for under.
func (t *Tx) Context() context.Context { return t.ctx }

// Now is the one clock of the change, UTC, in whole milliseconds.
func (t *Tx) Now() time.Time { return t.now }

// Names turns keys into names.
func (t *Tx) Names() *ident.Names { return t.db.names }

// NewKey makes the key of a new row.
func (t *Tx) NewKey() int64 { return t.db.keys.Next() }

// OnCommit has f called once the change is durable, before InTx returns; never if it failed.
// f must not block: it runs on the writer.
func (t *Tx) OnCommit(f func()) { t.onCommit = append(t.onCommit, f) }

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(query string, args ...any) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.alive(); err != nil {
		return 0, err
	}
	t.wrote = true
	n, err := t.run.exec(query, args)
	if err != nil {
		t.failed = err
	}
	return n, err
}

// Insert adds a row with a value for each column of the table. It suits rows that nobody reads
// before the commit, and of which hardly ever one is there already: on SQLite they wait and go in
// together with those of other functions, several a statement, before the first other statement that
// names the table and at the latest with the commit (BenchmarkInsert says what that is worth).
//
// A row that breaks a unique constraint has the function run again, as ErrAgain does; with care on
// SQLite, so that Insert itself then returns ErrAgain. A function that can meet such a row therefore
// looks first, when it runs for the second time or always (see Peek).
func (t *Tx) Insert(into *Table, row ...any) error { return t.InsertRow(into.Row(row...)) }

// InsertRow is Insert of a row that was made before.
func (t *Tx) InsertRow(row Row) error {
	if row.err != nil {
		return row.err
	}
	row.finish()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.alive(); err != nil {
		return err
	}
	return t.run.insert(row)
}

// Returning runs a statement that changes at most one row and reads what it returns of it into dest, as
// Get does. Error: ErrNoRows when it changed none.
func (t *Tx) Returning(dest any, query string, args ...any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.alive(); err != nil {
		return err
	}
	t.wrote = true
	err := t.run.get(dest, query, args)
	if err != nil && !errors.Is(err, ErrNoRows) {
		t.failed = err
	}
	return err
}

// Peek is Get that may not see rows which other functions of the same commit have given to Insert.
// It is for a look before an Insert, whose unique constraint has the last word.
func (t *Tx) Peek(dest any, query string, args ...any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.alive(); err != nil {
		return err
	}
	return t.run.peek(dest, query, args)
}

// Get implements Queryer.
func (t *Tx) Get(dest any, query string, args ...any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.alive(); err != nil {
		return err
	}
	return t.run.get(dest, query, args)
}

// Select implements Queryer.
func (t *Tx) Select(dest any, query string, args ...any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.alive(); err != nil {
		return err
	}
	return t.run.sel(dest, query, args)
}

func (t *Tx) alive() error {
	if t.dead != nil {
		return t.dead
	}
	// Checked between statements and never during one: SQLite rolls back the whole group
	// when a writing statement is interrupted.
	return overdue(t.ctx.Err())
}

func (t *Tx) kill(err error) {
	t.mu.Lock()
	t.dead = err
	t.mu.Unlock()
}

// OnGroup has f called after every commit, once for all functions that shared it: the one wake-up
// of those who follow the log. There is one f; it must not block.
func (d *DB) OnGroup(f func()) { d.wake.Store(&f) }

func (d *DB) wakeFollowers() {
	if f := d.wake.Load(); f != nil {
		(*f)()
	}
}

// announce runs what waited for the commit. A reader that panics must not stop the writer.
func (t *Tx) announce() {
	for _, f := range t.onCommit {
		func() {
			defer func() {
				if r := recover(); r != nil {
					t.db.log.Error("panic after commit", "panic", r)
				}
			}()
			f()
		}()
	}
}

// Read is a reader of committed rows, bound to ctx.
func (d *DB) Read(ctx context.Context) Queryer { return reader{ctx, d} }

type reader struct {
	ctx context.Context
	db  *DB
}

func (r reader) Get(dest any, query string, args ...any) error {
	if r.db.rows != nil {
		return Classify(r.db.rows.get(r.ctx, dest, query, args))
	}
	return Classify(r.db.reads.GetContext(r.ctx, dest, r.db.rebind(query), args...))
}

func (r reader) Select(dest any, query string, args ...any) error {
	return Classify(r.db.reads.SelectContext(r.ctx, dest, r.db.rebind(query), args...))
}

// Each calls f for every row of query on the read pool without holding them all; T is a struct
// with db tags. It stops at f's first error and returns it.
func Each[T any](ctx context.Context, d *DB, f func(T) error, query string, args ...any) error {
	if d.engine == SQLite {
		c, err := openLiteConn(d.url, true)
		if err != nil {
			return err
		}
		defer c.close()
		var v T
		return Classify(c.each(ctx, reflect.ValueOf(&v).Elem(), func() error { return f(v) }, query, args))
	}
	rows, err := d.reads.QueryxContext(ctx, d.rebind(query), args...)
	if err != nil {
		return Classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v T
		if err := rows.StructScan(&v); err != nil {
			return err
		}
		if err := f(v); err != nil {
			return err
		}
	}
	return Classify(rows.Err())
}

// In expands each slice among args into as many placeholders: `WHERE key IN (?)`.
func In(query string, args ...any) (string, []any, error) { return sqlx.In(query, args...) }

// rebind writes ? as the engine wants it; the texts are few and constant, so each is done once.
func (d *DB) rebind(query string) string {
	if d.engine == SQLite {
		return query
	}
	if q, ok := d.rebound.Load(query); ok {
		return q.(string)
	}
	q := sqlx.Rebind(sqlx.DOLLAR, query)
	// Expanded IN lists are not constant; keep only texts that can come again.
	if len(query) < 4096 {
		d.rebound.Store(query, q)
	}
	return q
}

// loadSecret makes this database's secret once and remembers it. It is a row and not a file, so
// that a restored backup still knows its own names and links.
func (d *DB) loadSecret(ctx context.Context) error {
	fresh := make([]byte, 32)
	if _, err := rand.Read(fresh); err != nil {
		return err
	}
	var text string
	err := d.Read(ctx).Get(&text, `SELECT value FROM setting WHERE name = ?`, "secret")
	if errors.Is(err, ErrNoRows) {
		err = d.InTx(ctx, func(tx *Tx) error {
			if _, err := tx.Exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`,
				"secret", hex.EncodeToString(fresh)); err != nil {
				return err
			}
			return tx.Get(&text, `SELECT value FROM setting WHERE name = ?`, "secret")
		})
	}
	if err != nil {
		return err
	}
	secret, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	d.names, err = ident.NewNames(secret)
	return err
}

// Horizon is the largest event key a follower of the log may read up to now: no smaller one can
// still appear. On SQLite commits come in the order of their keys; for PostgreSQL see horizon.go.
func (d *DB) Horizon(ctx context.Context) (int64, error) {
	if d.engine == SQLite {
		return 1<<63 - 1, nil
	}
	return d.postgresHorizon(ctx)
}

// Stats are counters since Open, for the metrics page.
type Stats struct {
	Functions, Groups, Failed uint64        // functions run, commits made, functions that failed
	Redone                    uint64        // groups that were undone and run again with care
	Queue                     int           // functions waiting now
	CPU                       time.Duration // what the writer's groups took of a processor; 0 where it cannot be known
}

// Stats of the writer; zero on PostgreSQL, whose own views tell more.
func (d *DB) Stats() Stats {
	if d.writer == nil {
		return Stats{}
	}
	return d.writer.stats()
}

// Redact is a database URL without its password, for logs and messages.
func Redact(text string) string {
	if EngineOf(text) == SQLite {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "postgres://(unreadable)"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	q := u.Query()
	for name := range q {
		if strings.Contains(strings.ToLower(name), "password") {
			q.Del(name)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}
