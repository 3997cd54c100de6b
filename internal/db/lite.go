package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/jmoiron/sqlx/reflectx"
	"github.com/mattn/go-sqlite3"
)

// liteConn is a connection with its prepared statements: the writer's, or one of those that read single
// rows. Statements go to the driver itself: database/sql adds a microsecond to each (locks, copies,
// reflection), half of what SQLite needs for it. Reads of many rows go through sqlx over the very same
// connection.
type liteConn struct {
	raw   *sqlite3.SQLiteConn
	sqlx  *sqlx.DB
	stmts map[string]*liteStmt

	thorough bool // in this group: see Tx.Overwrite
}

// liteStmt is a prepared statement, reused by one goroutine at a time.
type liteStmt struct {
	*sqlite3.SQLiteStmt
	args   []driver.NamedValue
	naming tables // those that the text names
	sqlx   *sqlx.Stmt

	columns []string // of its result, and one row of it
	row     []driver.Value
	into    reflect.Type // the struct that fields are of
	fields  [][]int
}

func openLiteConn(url string, readOnly bool) (*liteConn, error) {
	conn, err := (&sqlite3.SQLiteDriver{}).Open(liteDSN(sqlitePath(url), readOnly))
	if err != nil {
		return nil, Classify(err)
	}
	c := &liteConn{raw: conn.(*sqlite3.SQLiteConn), stmts: map[string]*liteStmt{}}
	c.sqlx = sqlx.NewDb(sql.OpenDB(&once{conn: conn}), "sqlite3")
	c.sqlx.SetMaxOpenConns(1)
	if readOnly {
		return c, nil
	}
	for _, pragma := range []string{
		`PRAGMA wal_autocheckpoint = 0`, // checkpointer does it
		// The copies of pages that a statement keeps in case it is refused half-way: in files, they were a
		// third of all writes.
		`PRAGMA temp_store = MEMORY`,
		overwriteLess,
	} {
		if err := c.do(pragma); err != nil {
			c.close()
			return nil, Classify(err)
		}
	}
	return c, nil
}

// once gives database/sql a connection that is there already.
type once struct {
	conn driver.Conn
	sqlite3.SQLiteDriver
}

func (o *once) Connect(context.Context) (driver.Conn, error) {
	if o.conn == nil {
		return nil, driver.ErrBadConn
	}
	conn := o.conn
	o.conn = nil
	return conn, nil
}

func (o *once) Driver() driver.Driver { return &o.SQLiteDriver }

func (c *liteConn) close() {
	if c == nil {
		return
	}
	c.forget()
	_ = c.sqlx.Close()
	_ = c.raw.Close() // unless sqlx had it
}

func (c *liteConn) forget() {
	for _, s := range c.stmts {
		if s.sqlx != nil {
			_ = s.sqlx.Close()
		}
		_ = s.Close()
	}
	clear(c.stmts)
}

// lost reports whether SQLite has ended the transaction by itself.
func (c *liteConn) lost() bool { return c.raw.AutoCommit() }

// stmt prepares a text once per connection.
func (c *liteConn) stmt(query string) (*liteStmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	p, err := c.raw.Prepare(orFail(query))
	if err != nil {
		return nil, err
	}
	if len(c.stmts) >= 512 { // expanded IN lists: start over rather than grow for ever
		c.forget()
	}
	s := &liteStmt{SQLiteStmt: p.(*sqlite3.SQLiteStmt), naming: named(query)}
	s.args = make([]driver.NamedValue, s.NumInput())
	for i := range s.args {
		s.args[i].Ordinal = i + 1
	}
	c.stmts[query] = s
	return s, nil
}

// orFail has a statement stop at the row that is refused and keep those before it. As it is written,
// SQLite copies every page the statement touches, to undo just that statement; but here, as on
// PostgreSQL, the error of one statement undoes its whole function.
func orFail(query string) string {
	for _, verb := range []string{"INSERT ", "UPDATE "} {
		if rest, ok := strings.CutPrefix(query, verb); ok {
			return verb + "OR FAIL " + rest
		}
	}
	return query
}

func (s *liteStmt) bind(args []any) error {
	if len(args) != len(s.args) {
		return fmt.Errorf("db: %d arguments for %d placeholders", len(args), len(s.args))
	}
	for i, a := range args {
		v, err := value(a)
		if err != nil {
			return err
		}
		s.args[i].Value = v
	}
	return nil
}

// value is what the driver takes for a; the kinds that hot rows are made of come first.
func value(a any) (driver.Value, error) {
	switch v := a.(type) {
	case int64, string, float64, bool, []byte, nil:
		return v, nil
	case int:
		return int64(v), nil
	case *int64:
		if v == nil {
			return nil, nil
		}
		return *v, nil
	case *string:
		if v == nil {
			return nil, nil
		}
		return *v, nil
	}
	return driver.DefaultParameterConverter.ConvertValue(a)
}

// Statements run under context.Background: the driver would otherwise start a goroutine each, and
// an interrupt would undo the whole group.

func (c *liteConn) do(query string) error {
	_, err := c.exec(query, nil)
	return err
}

func (c *liteConn) exec(query string, args []any) (int64, error) {
	s, err := c.stmt(query)
	if err != nil {
		return 0, err
	}
	if err := s.bind(args); err != nil {
		return 0, err
	}
	res, err := s.ExecContext(context.Background(), s.args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// run executes a statement of which nobody asks how many rows it changed. As a query the driver
// binds all arguments and steps in one call to C; as a command it makes one call per argument.
func (c *liteConn) run(s *liteStmt, args []driver.NamedValue) error {
	rows, err := s.QueryContext(context.Background(), args)
	if err != nil {
		return err
	}
	return rows.Close()
}

// get reads one row, by the same rules as sqlx: a struct by its db tags, anything else as the one
// column.
func (c *liteConn) get(dest any, query string, args []any) error {
	s, rows, err := c.query(query, args)
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := rows.Next(s.row); errors.Is(err, io.EOF) {
		return sql.ErrNoRows
	} else if err != nil {
		return err
	}
	return s.scan(reflect.ValueOf(dest).Elem())
}

// each reads all rows into dest, one after the other, and calls f behind each.
func (c *liteConn) each(ctx context.Context, dest reflect.Value, f func() error, query string, args []any) error {
	s, rows, err := c.query(query, args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		if err := rows.Next(s.row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := errors.Join(ctx.Err(), s.scan(dest)); err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// query starts a statement; its rows are read into s.row.
func (c *liteConn) query(query string, args []any) (*liteStmt, driver.Rows, error) {
	s, err := c.stmt(query)
	if err != nil {
		return nil, nil, err
	}
	if err := s.bind(args); err != nil {
		return nil, nil, err
	}
	rows, err := s.QueryContext(context.Background(), s.args)
	if err != nil {
		return nil, nil, err
	}
	if s.row == nil {
		s.columns = rows.Columns()
		s.row = make([]driver.Value, len(s.columns))
	}
	return s, rows, nil
}

// scan puts the row that was read into dest.
func (s *liteStmt) scan(dest reflect.Value) error {
	defer clear(s.row)
	if dest.Kind() != reflect.Struct {
		if len(s.row) != 1 {
			return fmt.Errorf("db: one value was asked for, and %d columns came", len(s.row))
		}
		return set(dest, s.row[0])
	}
	if s.into != dest.Type() {
		s.into, s.fields = dest.Type(), byTag.TraversalsByName(dest.Type(), s.columns)
	}
	for i, path := range s.fields {
		if len(path) == 0 {
			return fmt.Errorf("db: %s has no place for column %q", s.into, s.columns[i])
		}
		if err := set(reflectx.FieldByIndexes(dest, path), s.row[i]); err != nil {
			return fmt.Errorf("db: column %q: %w", s.columns[i], err)
		}
	}
	return nil
}

// byTag finds fields as sqlx does.
var byTag = reflectx.NewMapperFunc("db", strings.ToLower)

// set is what database/sql does for the kinds of fields that rows here have.
func set(to reflect.Value, v driver.Value) error {
	if to.Kind() == reflect.Pointer {
		if v == nil {
			to.SetZero()
			return nil
		}
		to.Set(reflect.New(to.Type().Elem()))
		to = to.Elem()
	}
	switch v := v.(type) {
	case nil:
		if to.Kind() == reflect.Slice && to.Type().Elem().Kind() == reflect.Uint8 {
			to.SetZero()
			return nil
		}
	case int64:
		switch {
		case to.CanInt() && !to.OverflowInt(v):
			to.SetInt(v)
			return nil
		case to.CanUint() && v >= 0 && !to.OverflowUint(uint64(v)):
			to.SetUint(uint64(v))
			return nil
		case to.CanFloat():
			to.SetFloat(float64(v))
			return nil
		case to.Kind() == reflect.Bool && (v == 0 || v == 1):
			to.SetBool(v == 1)
			return nil
		}
	case float64:
		if to.CanFloat() {
			to.SetFloat(v)
			return nil
		}
	case bool:
		if to.Kind() == reflect.Bool {
			to.SetBool(v)
			return nil
		}
	case string:
		if to.Kind() == reflect.String {
			to.SetString(v)
			return nil
		}
	case []byte:
		if to.Kind() == reflect.Slice && to.Type().Elem().Kind() == reflect.Uint8 {
			to.SetBytes(v)
			return nil
		}
	}
	return fmt.Errorf("%T does not fit %s", v, to.Type())
}

func (c *liteConn) sel(dest any, query string, args []any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	if err := c.viaSQLX(s, query); err != nil {
		return err
	}
	return s.sqlx.SelectContext(context.Background(), dest, args...)
}

func (c *liteConn) viaSQLX(s *liteStmt, query string) (err error) {
	if s.sqlx == nil {
		s.sqlx, err = c.sqlx.PreparexContext(context.Background(), query)
	}
	return err
}
