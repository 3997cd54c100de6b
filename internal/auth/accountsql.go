package auth

import (
	"errors"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
)

type accountRow struct {
	Key        int64
	Login      string
	Name       string
	Role       string
	Password   string
	CreatedAt  int64  `db:"created_at"`
	DisabledAt *int64 `db:"disabled_at"`
	event.Chain
}

const selectAccount = `SELECT key, login, name, role, password, created_at, disabled_at, last_event, event_count FROM account `

// accountIn is the row of an account; fault.NotFound without one.
func accountIn(q db.Queryer, key int64) (r accountRow, err error) {
	err = q.Get(&r, selectAccount+`WHERE key = ?`, key)
	if errors.Is(err, db.ErrNoRows) {
		err = fault.Missing("account")
	}
	return r, err
}

func accountByLogin(q db.Queryer, login string) (r accountRow, err error) {
	err = q.Get(&r, selectAccount+`WHERE login = ?`, login)
	return r, err
}

func accountsBefore(q db.Queryer, cursor int64, limit int) (rows []accountRow, err error) {
	if cursor == 0 {
		cursor = 1<<63 - 1
	}
	err = q.Select(&rows, selectAccount+`WHERE key < ? ORDER BY key DESC LIMIT ?`, cursor, limit)
	return rows, err
}

func (r accountRow) account() Account {
	if r.Key == 0 {
		return Account{}
	}
	return Account{Key: r.Key, Login: r.Login, Name: r.Name, Role: Role(r.Role), Ready: r.Password != "",
		CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), DisabledAt: at(r.DisabledAt)}
}

// putLink keeps the one link of an account.
func putLink(tx *db.Tx, account int64, hash string, expires time.Time) error {
	if _, err := tx.Exec(`DELETE FROM account_link WHERE account_key = ?`, account); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO account_link (key, account_key, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?)`,
		tx.NewKey(), account, hash, tx.Now().UnixMilli(), expires.UnixMilli())
	return err
}

type sessionRow struct {
	Key       int64
	Account   int64 `db:"account_key"`
	Store     int64 `db:"store_key"`
	Name      string
	CreatedAt int64  `db:"created_at"`
	SeenAt    int64  `db:"seen_at"`
	ExpiresAt int64  `db:"expires_at"`
	RevokedAt *int64 `db:"revoked_at"`
	event.Chain
}

const selectSession = `SELECT key, account_key, store_key, name, created_at, seen_at, expires_at, revoked_at, last_event, event_count FROM session `

// openRow is a session with what its account says today.
type openRow struct {
	sessionRow
	Role       *string
	Person     *string
	DisabledAt *int64 `db:"disabled_at"`
}

func openByHash(q db.Queryer, hash string) (r openRow, err error) {
	err = q.Get(&r, `SELECT s.key, s.account_key, s.store_key, s.name, s.created_at, s.seen_at, s.expires_at, s.revoked_at,
		s.last_event, s.event_count, a.role, a.name AS person, a.disabled_at
		FROM session s LEFT JOIN account a ON a.key = s.account_key WHERE s.hash = ?`, hash)
	return r, err
}

// sessionIn is the row of a session; fault.NotFound, in the words of what, without one.
func sessionIn(q db.Queryer, key int64, what string) (r sessionRow, err error) {
	err = q.Get(&r, selectSession+`WHERE key = ?`, key)
	if errors.Is(err, db.ErrNoRows) {
		err = fault.Missing(what)
	}
	return r, err
}

func insertSession(tx *db.Tx, r sessionRow, hash string) error {
	_, err := tx.Exec(`INSERT INTO session (key, hash, account_key, store_key, name, created_at, seen_at, expires_at, last_event, event_count)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Key, hash, r.Account, r.Store, r.Name, r.CreatedAt, r.SeenAt, r.ExpiresAt, r.Last, r.Count)
	return err
}

// endsAt is when a session ends if it is not used again.
func (r sessionRow) endsAt() int64 {
	idle := personIdle
	if r.Store != 0 {
		idle = deviceIdle
	}
	return min(r.ExpiresAt, r.SeenAt+idle.Milliseconds())
}

func (r sessionRow) info() Session {
	return Session{Key: r.Key, Account: r.Account, Store: r.Store, Name: r.Name, CreatedAt: time.UnixMilli(r.CreatedAt).UTC(),
		SeenAt: time.UnixMilli(r.SeenAt).UTC(), ExpiresAt: time.UnixMilli(r.endsAt()).UTC(), RevokedAt: at(r.RevokedAt)}
}
