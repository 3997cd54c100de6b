package auth

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

// Session is a browser a person signed in with, or a phone that is paired with a store.
type Session struct {
	Key       int64
	Account   int64 // 0 for a phone
	Store     int64 // 0 for a person
	Name      string
	CreatedAt time.Time
	SeenAt    time.Time // to the minute
	ExpiresAt time.Time // without further use
	RevokedAt *time.Time
}

const (
	personIdle = 12 * time.Hour // a shift
	personLife = 14 * 24 * time.Hour
	deviceIdle = 60 * 24 * time.Hour // a shop closed for the season finds its phone paired
	// DeviceLife is the longest that browsers keep a cookie.
	DeviceLife = 400 * 24 * time.Hour
	// PersonLife is how long a person stays signed in at most.
	PersonLife = personLife

	seenEvery = time.Minute
	seenNow   = 2 * time.Second // for noting that a session is in use: no request waits longer for it
)

// Session tells who shows a session's token. It works as Authenticate does, within the same second.
//
// Errors: fault.Unauthorized, the same for every reason; what the database says when it fails.
func (b *Book) Session(ctx context.Context, token string) (Principal, error) {
	d, ok := readToken(token)
	if !ok {
		return Principal{}, signedOut()
	}
	e, err := b.find(ctx, d, (*Book).openSession)
	if err != nil {
		return Principal{}, err
	}
	now := b.db.Now().UnixMilli()
	if !e.opens(now) {
		return Principal{}, signedOut()
	}
	if now-e.seen >= seenEvery.Milliseconds() && e.noting.CompareAndSwap(false, true) {
		b.noteSeen(ctx, e.principal.Session)
	}
	return e.principal, nil
}

// Stands reports by its error whether what was shown before still opens: a key's secret or a session's
// token. It is no use of the session: a stream left open does not keep its person signed in.
func (b *Book) Stands(ctx context.Context, shown string) error {
	d, ok := readToken(shown)
	if !ok {
		_, err := b.Authenticate(ctx, shown)
		return err
	}
	e, err := b.find(ctx, d, (*Book).openSession)
	if err == nil && !e.opens(b.db.Now().UnixMilli()) {
		err = signedOut()
	}
	return err
}

func signedOut() error {
	return fault.New(fault.Unauthorized, "signed-out", "the session has ended: sign in again, or pair the phone again")
}

// openSession fills e with who is behind a session.
func (b *Book) openSession(q db.Queryer, hash string, e *entry) error {
	r, err := openByHash(q, hash)
	if err != nil || r.RevokedAt != nil {
		return err
	}
	switch {
	case r.Store != 0:
		e.principal = Principal{Key: r.Key, ID: b.db.Names().Name(ident.Device, r.Key), Role: RoleStore, Store: r.Store, Session: r.Key, Live: true, Name: r.Name}
	case r.Role == nil || r.DisabledAt != nil:
		return nil
	default:
		e.principal = Principal{Key: r.Account, ID: b.db.Names().Name(ident.Account, r.Account), Role: Role(*r.Role), Account: r.Account,
			Session: r.Key, Live: true, Name: *r.Person}
	}
	e.expires, e.seen = r.endsAt(), r.SeenAt
	return nil
}

// noteSeen writes that a session is in use. When that fails the session ends sooner, and nothing else.
func (b *Book) noteSeen(ctx context.Context, session int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), seenNow)
	defer cancel()
	_ = b.db.InTx(ctx, func(tx *db.Tx) error {
		now := tx.Now().UnixMilli()
		_, err := tx.Exec(`UPDATE session SET seen_at = ? WHERE key = ? AND seen_at <= ?`, now, session, now-seenEvery.Milliseconds())
		return err
	})
}

// Attempt is somebody's wish to sign in.
type Attempt struct {
	Login, Password string
	From            string // the address
	Browser         string // what a person recognises it by
	Session         string // the token the browser had before, if any: it ends, and is not used again
	Known           string // what Known gave this browser when its person signed in before, if ever
}

// SignIn starts a session for whoever knows a password.
//
// Errors: fault.Unauthorized sign-in-failed, the same for an unknown login, a wrong password, a disabled
// account and one without a password, after the same work; fault.Exhausted with the time to wait.
func (b *Book) SignIn(ctx context.Context, in Attempt) (token string, a Account, err error) {
	login, password := LoginOf(in.Login), in.Password
	mine, theirs := b.knownTry(login, in.Known), b.addressTry(in.From)
	var f fault.Fields
	if checkLogin(&f, login); len(f) > 0 {
		login = "" // nobody can have it; the database need not hear of it
	}
	if err := b.chargeLogin(ctx, login, mine, theirs); err != nil {
		return "", a, err
	}
	r, err := accountByLogin(b.db.Read(ctx), login)
	if err != nil && !errors.Is(err, db.ErrNoRows) {
		return "", a, err
	}
	if len(password) > maxPassword {
		password = "" // nobody has such a one
	}
	right, dated, err := b.passwords.matches(ctx, r.Password, password)
	if err != nil {
		return "", a, err
	}
	if !right || r.DisabledAt != nil {
		return "", a, fault.New(fault.Unauthorized, "sign-in-failed", "login and password do not belong together")
	}
	renewed := ""
	if dated {
		if renewed, err = b.passwords.hash(ctx, password); err != nil {
			return "", a, err
		}
	}
	token, hash := newToken()
	err = b.db.InTx(b.acting(ctx, r.Key), func(tx *db.Tx) error {
		was := r.Password
		r, err := accountIn(tx, r.Key)
		if err != nil {
			return err
		}
		if r.Password != was || r.DisabledAt != nil {
			return fault.New(fault.Unauthorized, "sign-in-failed", "login and password do not belong together")
		}
		if renewed != "" {
			if _, err := tx.Exec(`UPDATE account SET password = ? WHERE key = ?`, renewed, r.Key); err != nil {
				return err
			}
		}
		if err := errors.Join(forgive(tx, mine), refund(tx, theirs)); err != nil {
			return err
		}
		if d, ok := readToken(in.Session); ok {
			if _, err := tx.Exec(`UPDATE session SET revoked_at = ? WHERE hash = ? AND account_key <> 0 AND revoked_at IS NULL`,
				tx.Now().UnixMilli(), hex.EncodeToString(d[:])); err != nil {
				return err
			}
			tx.OnCommit(func() { b.generation.Add(1) })
		}
		a = r.account()
		return startSession(tx, &r, hash, in.Browser)
	})
	if err != nil {
		return "", Account{}, err
	}
	return token, a, nil
}

// startSession keeps a session of r, and says so in the name of its account: until now it was nobody's.
func startSession(tx *db.Tx, r *accountRow, hash, browser string) error {
	now := tx.Now().UnixMilli()
	s := sessionRow{Key: tx.NewKey(), Account: r.Key, Name: browser, CreatedAt: now, SeenAt: now, ExpiresAt: now + personLife.Milliseconds()}
	if err := insertSession(tx, s, hash); err != nil {
		return err
	}
	return tellAccount(tx, r, "account.signed_in", map[string]any{"session_id": tx.Names().Name(ident.Session, s.Key)})
}

// endSessions ends every session of an account but one.
func (b *Book) endSessions(tx *db.Tx, account, but int64) error {
	_, err := tx.Exec(`UPDATE session SET revoked_at = ? WHERE account_key = ? AND key <> ? AND revoked_at IS NULL`, tx.Now().UnixMilli(), account, but)
	tx.OnCommit(func() { b.generation.Add(1) })
	return err
}

// EndSession ends a session at once here, and within half a second in other processes. Twice is the same
// as once. Errors: fault.NotFound.
func (b *Book) EndSession(ctx context.Context, key int64) error {
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		r, err := sessionIn(tx, key, "session")
		if err != nil || r.RevokedAt != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE session SET revoked_at = ? WHERE key = ?`, tx.Now().UnixMilli(), key); err != nil {
			return err
		}
		tx.OnCommit(func() { b.generation.Add(1) })
		if r.Store != 0 {
			return tellDevice(tx, &r, "device.revoked")
		}
		a, err := accountIn(tx, r.Account)
		if err != nil {
			return err
		}
		return tellAccount(tx, &a, "account.signed_out", map[string]any{"session_id": tx.Names().Name(ident.Session, key)})
	})
}

// EndOtherSessions ends every session of an account but one.
func (b *Book) EndOtherSessions(ctx context.Context, account, but int64) error {
	return b.db.InTx(ctx, func(tx *db.Tx) error { return b.endSessions(tx, account, but) })
}

// SessionOf is one session, of a person or of a phone. Errors: fault.NotFound.
func (b *Book) SessionOf(ctx context.Context, key int64, what string) (Session, error) {
	r, err := sessionIn(b.db.Read(ctx), key, what)
	return r.info(), err
}

// SessionsOf are the sessions among keys, which are few, those that ended included.
func (b *Book) SessionsOf(ctx context.Context, keys []int64) ([]Session, error) {
	var rows []sessionRow
	if err := among(b.db.Read(ctx), &rows, selectSession+`WHERE key IN (?)`, keys); err != nil {
		return nil, err
	}
	sessions := make([]Session, len(rows))
	for i, r := range rows {
		sessions[i] = r.info()
	}
	return sessions, nil
}

// Sessions are those of an account that are open, newest first; cursor and next as in List.
func (b *Book) Sessions(ctx context.Context, account, cursor int64, limit int) ([]Session, int64, error) {
	return b.open(ctx, `account_key = ? AND account_key <> 0`, account, cursor, limit)
}

// Devices are the phones that are paired with a store, newest first; cursor and next as in List.
func (b *Book) Devices(ctx context.Context, store, cursor int64, limit int) ([]Session, int64, error) {
	return b.open(ctx, `store_key = ? AND store_key <> 0`, store, cursor, limit)
}

func (b *Book) open(ctx context.Context, whose string, owner, cursor int64, limit int) (out []Session, next int64, err error) {
	if cursor == 0 {
		cursor = 1<<63 - 1
	}
	now := b.db.Now().UnixMilli()
	var rows []sessionRow
	err = b.db.Read(ctx).Select(&rows, selectSession+`WHERE `+whose+` AND key < ? AND revoked_at IS NULL AND expires_at > ? AND seen_at > ?
		ORDER BY key DESC LIMIT ?`, owner, cursor, now, now-deviceIdle.Milliseconds(), limit+1)
	if err != nil {
		return nil, 0, err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = rows[limit-1].Key
	}
	for _, r := range rows {
		if r.endsAt() > now {
			out = append(out, r.info())
		}
	}
	return out, next, nil
}

// tellDevice appends what happened to a phone.
func tellDevice(tx *db.Tx, r *sessionRow, kind string) error {
	if err := event.Append(tx, &r.Chain, event.New{Type: kind, Subject: r.Key, Store: r.Store,
		Data: map[string]any{"device_id": tx.Names().Name(ident.Device, r.Key), "store_id": tx.Names().Name(ident.Store, r.Store)}}); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE session SET last_event = ?, event_count = ? WHERE key = ?`, r.Last, r.Count, r.Key)
	return err
}

// PurgeSessions forgets sessions a month after they ended, and links, codes and counts that mean nothing
// any more.
func (b *Book) PurgeSessions(ctx context.Context) error {
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		now := tx.Now().UnixMilli()
		ended := now - (30 * 24 * time.Hour).Milliseconds()
		for _, s := range []struct {
			query string
			args  []any
		}{
			{`DELETE FROM session WHERE revoked_at < ? OR expires_at < ?`, []any{ended, ended}},
			{`DELETE FROM account_link WHERE expires_at < ?`, []any{now}},
			{`DELETE FROM pairing_code WHERE expires_at < ?`, []any{now}},
			{`DELETE FROM sign_in_try WHERE last_at < ? AND until_ms < ?`, []any{now - triesKept.Milliseconds(), now}},
		} {
			if _, err := tx.Exec(s.query, s.args...); err != nil {
				return err
			}
		}
		return nil
	})
}
