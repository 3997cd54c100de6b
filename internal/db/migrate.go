package db

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"doorstep/migrations"

	"github.com/pressly/goose/v3"
)

// The words the engines do not share. A hot row's key must be SQLite's own rowid, which it is only
// under exactly this spelling; a table with a longer key is its own index there (CLUSTERED).
var dialect = map[Engine]*strings.Replacer{
	SQLite:   strings.NewReplacer("BIGKEY", "INTEGER PRIMARY KEY", "BYTES", "BLOB", "CLUSTERED", "WITHOUT ROWID"),
	Postgres: strings.NewReplacer("BIGKEY", "BIGINT PRIMARY KEY", "BYTES", "BYTEA", "CLUSTERED", ""),
}

func (d *DB) migrate(ctx context.Context) error {
	files, err := migrations.Read()
	if err != nil {
		return err
	}
	steps := make([]*goose.Migration, len(files))
	for i, f := range files {
		text := dialect[d.engine].Replace(f.SQL)
		steps[i] = goose.NewGoMigration(f.Version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, text)
			return err
		}}, nil)
	}
	kind := goose.DialectSQLite3
	if d.engine == Postgres {
		kind = goose.DialectPostgres
	}
	p, err := goose.NewProvider(kind, d.writes.DB, nil, goose.WithGoMigrations(steps...), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if newest, known := int64(0), files[len(files)-1].Version; true {
		if newest, err = p.GetDBVersion(ctx); err != nil && !racing(err) {
			return err
		}
		if newest > known {
			return fmt.Errorf("the database has schema %d, this program knows %d: use the newer program", newest, known)
		}
	}
	// Two processes may start at once on an empty database: the one that comes second fails on
	// what the first made, looks again and finds nothing left to do.
	for try := 1; ; try++ {
		if _, err = p.Up(ctx); err == nil || try == 5 {
			return err
		}
		time.Sleep(time.Duration(try) * 50 * time.Millisecond)
	}
}

func racing(err error) bool { return strings.Contains(err.Error(), "already exists") }
