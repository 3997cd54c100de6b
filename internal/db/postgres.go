package db

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
)

// maxTries of one transaction that PostgreSQL asks to be run again.
const maxTries = 10

func (d *DB) openPostgres(ctx context.Context) error {
	open := func(name string, conns int) (*sqlx.DB, error) {
		c, err := pgx.ParseConfig(d.url)
		if err != nil {
			return nil, err
		}
		// Horizon finds other processes' open write transactions by this name.
		c.RuntimeParams["application_name"] = name
		p := sqlx.NewDb(stdlib.OpenDB(*c), "pgx")
		p.SetMaxOpenConns(conns)
		p.SetMaxIdleConns(conns)
		return p, p.PingContext(ctx)
	}
	d.writeAs = writePrefix + crand.Text()
	var err error
	if d.writes, err = open(d.writeAs, 24); err != nil {
		return err
	}
	if d.reads, err = open("doorstep-read", 16); err != nil {
		return err
	}
	var version int
	if err := d.reads.GetContext(ctx, &version, `SELECT current_setting('server_version_num')::int`); err != nil {
		return err
	}
	if version < 150000 {
		return fmt.Errorf("PostgreSQL %d is too old: 15 or newer is needed", version/10000)
	}
	return nil
}

func (d *DB) inPostgresTx(ctx context.Context, f func(*Tx) error) error {
	for try := 1; ; try++ {
		err := d.tryPostgresTx(ctx, f)
		if !transient(err) || try == maxTries {
			return Classify(err)
		}
		// Full jitter keeps two that collided from colliding again.
		pause := time.Duration(rand.Int64N(int64(time.Millisecond) << min(try, 6)))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return overdue(ctx.Err())
		}
	}
}

func (d *DB) tryPostgresTx(ctx context.Context, f func(*Tx) error) (err error) {
	start := d.open.begin(d.keys)
	defer func() {
		if err != nil { // what waited behind it can be read now
			d.open.end(start)
			d.wakeFollowers()
		}
	}()
	conn, err := d.writes.Connx(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// A sender that leaves stops statements but not the COMMIT: cut off in the middle, nobody could
	// say whether it happened.
	ptx, err := conn.BeginTxx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	tx := &Tx{ctx: ctx, db: d, now: d.Now(), run: pgRunner{ctx, d, ptx}}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in a transaction: %v", r)
		}
		if err != nil {
			_ = ptx.Rollback()
		}
	}()
	var last int64
	if err := tx.Get(&last, `SELECT coalesce(max(seq), 0) FROM event`); err != nil {
		return err
	}
	d.keys.Advance(last)
	if err := f(tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := ptx.Commit(); err != nil {
		return err
	}
	d.open.end(start)
	tx.announce()
	d.wakeFollowers()
	return nil
}

type pgRunner struct {
	ctx context.Context
	db  *DB
	tx  *sqlx.Tx
}

func (r pgRunner) exec(query string, args []any) (int64, error) {
	res, err := r.tx.ExecContext(r.ctx, r.db.rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (r pgRunner) get(dest any, query string, args []any) error {
	return r.tx.GetContext(r.ctx, dest, r.db.rebind(query), args...)
}

func (r pgRunner) sel(dest any, query string, args []any) error {
	return r.tx.SelectContext(r.ctx, dest, r.db.rebind(query), args...)
}

func (r pgRunner) insert(row Row) error {
	args := slices.Clone(row.values)
	if row.seal != nil {
		args = append(args, row.seal)
	}
	_, err := r.exec(row.table.texts[0], args)
	if IsUnique(err) {
		return ErrAgain
	}
	return err
}

func (r pgRunner) values(f func([]any) error, query string, args []any) error {
	rows, err := r.tx.QueryxContext(r.ctx, r.db.rebind(query), args...)
	if err != nil {
		return err
	}
	return eachRow(rows, f)
}

func (r pgRunner) peek(dest any, query string, args []any) error { return r.get(dest, query, args) }
