package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"strings"
	"time"

	"doorstep/internal/fault"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/mattn/go-sqlite3"
)

// Classify gives an engine's error its audience: a full disk and a failing one are for the
// operator and the sender's retry, a constraint or a syntax error is a defect and stays as it is.
func Classify(err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) || fault.As(err) != nil {
		return err
	}
	var lite sqlite3.Error
	var pg *pgconn.PgError
	var nerr net.Error
	switch {
	case errors.Is(err, ErrAgain):
		return busy(err)
	case errors.As(err, &lite):
		return classifySQLite(err, lite)
	case errors.As(err, &pg):
		return classifyPostgres(err, pg)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return overdue(err)
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.As(err, &nerr), pgconn.Timeout(err):
		return failing(err)
	}
	return err
}

func classifySQLite(err error, e sqlite3.Error) error {
	switch e.Code {
	case sqlite3.ErrFull:
		return full(err)
	case sqlite3.ErrIoErr, sqlite3.ErrCantOpen, sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrNomem,
		sqlite3.ErrCorrupt, sqlite3.ErrNotADB, sqlite3.ErrProtocol:
		return failing(err)
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrInterrupt:
		return busy(err)
	}
	return err
}

func classifyPostgres(err error, e *pgconn.PgError) error {
	switch {
	case e.Code == "53100":
		return full(err)
	case e.Code == "22021" || e.Code == "22P05":
		return fault.InvalidField("", "not-text", "a text holds a character that cannot be kept").From(err)
	case strings.HasPrefix(e.Code, "40"):
		return busy(err)
	case strings.HasPrefix(e.Code, "08"), strings.HasPrefix(e.Code, "53"), strings.HasPrefix(e.Code, "57P"), strings.HasPrefix(e.Code, "58"):
		return failing(err)
	}
	return err
}

func busy(err error) error {
	return fault.New(fault.Unavailable, "database-busy", "too many changes at the same place; try again").After(time.Second).From(err)
}

func full(err error) error {
	return fault.New(fault.Full, "disk-full", "the server's disk is full; nothing was changed").From(err)
}

func failing(err error) error {
	return fault.New(fault.Unavailable, "database-failing", "the database does not answer as it should; nothing was changed").After(2 * time.Second).From(err)
}

func overdue(err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Unavailable, "deadline-exceeded", "the change took too long or its sender went away; nothing was changed").After(time.Second).From(err)
}

// transient reports whether PostgreSQL asks for the transaction to be run again.
func transient(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, ErrAgain) || errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// IsUnique reports whether err is a broken unique constraint.
func IsUnique(err error) bool {
	var lite sqlite3.Error
	if errors.As(err, &lite) {
		return lite.ExtendedCode == sqlite3.ErrConstraintUnique || lite.ExtendedCode == sqlite3.ErrConstraintPrimaryKey
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505"
}
