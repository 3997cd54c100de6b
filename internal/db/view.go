package db

import (
	"context"
	"database/sql"
	"errors"
	"io"

	"github.com/jmoiron/sqlx"
)

// View reads committed rows as they all were at one moment, that of its first look, however many
// statements that takes. It is for one goroutine. A View that stays open for long keeps the log of
// SQLite from being reused: Renew it now and then.
type View struct {
	ctx  context.Context
	db   *DB
	lite *liteConn // of SQLite
	pg   *sqlx.Tx  // else; nil between two moments
}

// View opens a view of d for ctx; Close it.
func (d *DB) View(ctx context.Context) (*View, error) {
	v := &View{ctx: ctx, db: d}
	var err error
	if d.engine == SQLite {
		if v.lite, err = openLiteConn(d.url, true); err != nil {
			return nil, err
		}
	}
	if err = v.begin(); err != nil {
		v.Close()
		return nil, Classify(err)
	}
	return v, nil
}

func (v *View) begin() (err error) {
	if v.lite != nil {
		return v.lite.do(`BEGIN`)
	}
	v.pg, err = v.db.reads.BeginTxx(v.ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	return err
}

// Renew moves the view's moment to its next look.
func (v *View) Renew() error {
	var err error
	if v.lite != nil {
		err = v.lite.do(`ROLLBACK`)
	} else if v.pg != nil {
		err = v.pg.Rollback()
	}
	if err == nil {
		err = v.begin()
	}
	return Classify(err)
}

// Close ends the view.
func (v *View) Close() {
	if v.lite != nil {
		v.lite.close()
	} else if v.pg != nil {
		_ = v.pg.Rollback()
	}
}

// Get implements Queryer.
func (v *View) Get(dest any, query string, args ...any) error {
	if err := v.ctx.Err(); err != nil {
		return err
	}
	if v.lite != nil {
		return Classify(v.lite.get(dest, query, args))
	}
	return Classify(v.pg.GetContext(v.ctx, dest, v.db.rebind(query), args...))
}

// Select implements Queryer.
func (v *View) Select(dest any, query string, args ...any) error {
	if err := v.ctx.Err(); err != nil {
		return err
	}
	if v.lite != nil {
		return Classify(v.lite.sel(dest, query, args))
	}
	return Classify(v.pg.SelectContext(v.ctx, dest, v.db.rebind(query), args...))
}

// Rows calls f with the values of each row as they are stored: nil, int64, float64, bool, string or
// []byte. The slice is used again for the next row. It stops at f's first error and returns it.
func (v *View) Rows(f func(values []any) error, query string, args ...any) error {
	if v.lite != nil {
		return v.lite.values(v.ctx, f, query, args)
	}
	rows, err := v.pg.QueryxContext(v.ctx, v.db.rebind(query), args...)
	if err != nil {
		return Classify(err)
	}
	return eachRow(rows, f)
}

func eachRow(rows *sqlx.Rows, f func([]any) error) error {
	defer rows.Close()
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			return Classify(err)
		}
		if err := f(values); err != nil {
			return err
		}
	}
	return Classify(rows.Err())
}

// values is each for rows whose shape is not known.
func (c *liteConn) values(ctx context.Context, f func([]any) error, query string, args []any) error {
	s, rows, err := c.query(query, args)
	if err != nil {
		return Classify(err)
	}
	defer rows.Close()
	values := make([]any, len(s.columns))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := rows.Next(s.row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return Classify(err)
		}
		for i, v := range s.row {
			values[i] = v
		}
		if err := f(values); err != nil {
			return err
		}
	}
}
