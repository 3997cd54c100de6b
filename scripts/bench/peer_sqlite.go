package main

import (
	"database/sql"
	"errors"
	"math"

	_ "github.com/mattn/go-sqlite3" // registers itself

	"doorstep/geo"
)

// sqlitePeer is the R*Tree that comes with SQLite, in our process and in memory. It cannot rank, so it is
// asked for growing boxes; what does not fit is dropped by SQLite, and the client takes the nearest of the rest.
type sqlitePeer struct {
	w    *world
	db   *sql.DB
	near *sql.Stmt
}

const sqliteTables = `
CREATE VIRTUAL TABLE places USING rtree(key, west, east, south, north);
CREATE TABLE shops (key INTEGER PRIMARY KEY, ready INTEGER, s0 INTEGER, s1 INTEGER, s2 INTEGER, s3 INTEGER)`

// CROSS JOIN keeps SQLite from turning the tables round.
const sqliteNear = `SELECT shops.key FROM places CROSS JOIN shops ON shops.key = places.key
	WHERE east >= ? AND west <= ? AND north >= ? AND south <= ?
	AND ready & ? <> 0 AND s0 & ?6 = ?6 AND s1 & ?7 = ?7 AND s2 & ?8 = ?8 AND s3 & ?9 = ?9`

func startSQLite(_ *bench, _ string, w *world) (_ peer, err error) {
	p := &sqlitePeer{w: w}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.db, err = sql.Open("sqlite3", ":memory:"); err != nil {
		return p, err
	}
	p.db.SetMaxOpenConns(1) // every connection would have a memory of its own
	if err := p.load(); err != nil {
		return p, err
	}
	p.near, err = p.db.Prepare(sqliteNear)
	return p, err
}

func (p *sqlitePeer) load() error {
	if _, err := p.db.Exec(sqliteTables); err != nil {
		return err
	}
	tx, err := p.db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing to undo after Commit
	place, err := tx.Prepare("INSERT INTO places VALUES (?1, ?2, ?2, ?3, ?3)")
	if err != nil {
		return err
	}
	row, err := tx.Prepare("INSERT INTO shops VALUES (?, ?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	for i := range p.w.shops {
		s := &p.w.shops[i]
		if _, err := place.Exec(i, s.at.Lng, s.at.Lat); err != nil {
			return err
		}
		if _, err := row.Exec(i, int64(s.ready), int64(s.skus[0]), int64(s.skus[1]), int64(s.skus[2]), int64(s.skus[3])); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (p *sqlitePeer) nearest(a *ask) (answer, error) {
	for reach := 250.0; ; reach *= 2 {
		reach = min(reach, a.radiusM)
		found, err := p.within(a, reach)
		if err != nil || found != nobody || reach >= a.radiusM {
			return found, err
		}
	}
}

// within finds the nearest up to reach. The box is that of the circle.
func (p *sqlitePeer) within(a *ask, reach float64) (found answer, err error) {
	north := reach / geo.EarthRadiusM / radian
	east := north / math.Cos((math.Abs(a.at.Lat)+north)*radian)
	rows, err := p.near.Query(a.at.Lng-east, a.at.Lng+east, a.at.Lat-north, a.at.Lat+north, int64(1)<<a.moment,
		int64(a.skus[0]), int64(a.skus[1]), int64(a.skus[2]), int64(a.skus[3]))
	if err != nil {
		return nobody, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	found = answer{shop: -1, m: reach}
	for rows.Next() {
		var i int
		if err := rows.Scan(&i); err != nil {
			return nobody, err
		}
		if m := geo.DistanceM(a.at, p.w.shops[i].at); m <= found.m {
			found = answer{i, m}
		}
	}
	if found.shop < 0 {
		found = nobody
	}
	return found, rows.Err()
}

func (p *sqlitePeer) servers() ([]int, error) { return nil, nil }

func (p *sqlitePeer) close() error {
	var err error
	if p.near != nil {
		err = p.near.Close()
	}
	if p.db != nil {
		err = errors.Join(err, p.db.Close())
	}
	return err
}
