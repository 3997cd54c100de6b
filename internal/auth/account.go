package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

// Account is a person of the network who signs in: an administrator or a dispatcher.
type Account struct {
	Key        int64
	Login      string // what the person types; lower case
	Name       string
	Role       Role
	Ready      bool // a password was chosen
	CreatedAt  time.Time
	DisabledAt *time.Time
}

// NewAccount is a wish for an account.
type NewAccount struct {
	Login string
	Name  string
	Role  Role
}

// Link opens the door once: for the first administrator, for somebody invited, or for somebody who
// forgot the password.
type Link struct {
	Token     string
	ExpiresAt time.Time
}

const (
	firstLinkLife  = 24 * time.Hour
	inviteLinkLife = 72 * time.Hour
	minLogin       = 2
	maxLogin       = 100
)

// LoginOf is how a login is kept: people type capitals and spaces without meaning them.
func LoginOf(typed string) string { return strings.ToLower(strings.TrimSpace(typed)) }

func (n NewAccount) check() error {
	var f fault.Fields
	n.note(&f)
	if n.Role != RoleAdmin && n.Role != RoleDispatcher {
		f.Add("/role", "unknown", "an account is for an admin or a dispatcher; stores pair a phone, merchants use keys")
	}
	return f.Err()
}

// note adds what is wrong with the names.
func (n NewAccount) note(f *fault.Fields) {
	checkLogin(f, n.Login)
	checkName(f, "/name", n.Name)
}

// checkLogin accepts an e-mail address or any other name in one word.
func checkLogin(f *fault.Fields, login string) {
	if !utf8.ValidString(login) {
		f.Add("/login", "not-utf8", "the login is not valid UTF-8")
		return
	}
	switch n := utf8.RuneCountInString(login); {
	case n < minLogin:
		f.Add("/login", "too-short", "a login has at least %d characters: a name or an e-mail address", minLogin)
	case n > maxLogin:
		f.Add("/login", "too-long", "a login has at most %d characters", maxLogin)
	case strings.IndexFunc(login, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) >= 0:
		f.Add("/login", "not-a-word", "a login is one word: a name or an e-mail address")
	}
}

// newToken is 256 random bits and the hash that is kept of them.
func newToken() (token, hash string) {
	var raw [32]byte
	_, _ = rand.Read(raw[:])
	token = base64.RawURLEncoding.EncodeToString(raw[:])
	d, _ := readToken(token)
	return token, hex.EncodeToString(d[:])
}

// readToken is the digest of a token; ok is false when it cannot be one of ours.
func readToken(token string) (d digest, ok bool) {
	if len(token) != 43 {
		return d, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 32 {
		return d, false
	}
	return sha256.Sum256([]byte(token)), true
}

// tellAccount appends what happened to an account: who it is says its id, and nothing else does.
func tellAccount(tx *db.Tx, r *accountRow, kind string, more map[string]any) error {
	data := map[string]any{"account_id": tx.Names().Name(ident.Account, r.Key)}
	for k, v := range more {
		data[k] = v
	}
	if err := event.Append(tx, &r.Chain, event.New{Type: kind, Subject: r.Key, Data: data}); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE account SET last_event = ?, event_count = ? WHERE key = ?`, r.Last, r.Count, r.Key)
	return err
}

// CreateAccount makes an account without a password, and the link with which its person chooses one.
//
// Errors: fault.Invalid at /login, /name, /role; fault.Conflict login-taken.
func (b *Book) CreateAccount(ctx context.Context, n NewAccount) (a Account, l Link, err error) {
	n.Login = LoginOf(n.Login)
	if err := n.check(); err != nil {
		return a, l, err
	}
	token, hash := newToken()
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		r, err := insertAccount(tx, n, "")
		if err != nil {
			return err
		}
		a = r.account()
		l = Link{token, tx.Now().Add(inviteLinkLife)}
		return putLink(tx, r.Key, hash, l.ExpiresAt)
	})
	return a, l, err
}

// insertAccount adds the row and announces it.
func insertAccount(tx *db.Tx, n NewAccount, password string) (r accountRow, err error) {
	r = accountRow{Key: tx.NewKey(), Login: n.Login, Name: n.Name, Role: string(n.Role), Password: password, CreatedAt: tx.Now().UnixMilli()}
	added, err := tx.Exec(`INSERT INTO account (key, login, name, role, password, created_at, last_event, event_count)
		VALUES (?, ?, ?, ?, ?, ?, 0, 0) ON CONFLICT (login) DO NOTHING`, r.Key, r.Login, r.Name, r.Role, r.Password, r.CreatedAt)
	if err != nil {
		return r, err
	}
	if added == 0 {
		return r, fault.Refused("login-taken", nil, "there is an account with this login")
	}
	return r, tellAccount(tx, &r, "account.created", map[string]any{"role": n.Role})
}

// Invite makes a new link for an account and kills the one before. A password that there is works
// until the link is used.
//
// Errors: fault.NotFound; fault.Conflict when the account is disabled.
func (b *Book) Invite(ctx context.Context, account int64) (l Link, err error) {
	token, hash := newToken()
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		r, err := accountIn(tx, account)
		if err != nil {
			return err
		}
		if r.DisabledAt != nil {
			return fault.Refused("account-disabled", []string{"enable"}, "the account is disabled: enable it first")
		}
		l = Link{token, tx.Now().Add(inviteLinkLife)}
		if err := putLink(tx, account, hash, l.ExpiresAt); err != nil {
			return err
		}
		return tellAccount(tx, &r, "account.link_created", nil)
	})
	return l, err
}

// FirstLink makes the link for the first administrator; ok is false when there is an account. Each call
// kills the link of the one before.
func (b *Book) FirstLink(ctx context.Context) (l Link, ok bool, err error) {
	token, hash := newToken()
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if ok, err = nobody(tx); err != nil || !ok {
			return err
		}
		l = Link{token, tx.Now().Add(firstLinkLife)}
		return putLink(tx, 0, hash, l.ExpiresAt)
	})
	return l, ok, err
}

// nobody reports whether there is no account yet.
func nobody(q db.Queryer) (bool, error) {
	n := 0
	err := q.Get(&n, `SELECT count(*) FROM account`)
	return n == 0, err
}

// OpenLink tells whose link it is, without using it; the zero account stands for the first administrator.
//
// Errors: fault.NotFound, the same for unknown, used, replaced and expired links.
func (b *Book) OpenLink(ctx context.Context, token string) (Account, error) {
	r, err := b.openLink(b.db.Read(ctx), token)
	return r.account(), err
}

func (b *Book) openLink(q db.Queryer, token string) (r accountRow, err error) {
	d, ok := readToken(token)
	if !ok {
		return r, noLink()
	}
	var account int64
	err = q.Get(&account, `SELECT account_key FROM account_link WHERE hash = ? AND expires_at > ?`, hex.EncodeToString(d[:]), b.db.Now().UnixMilli())
	if errors.Is(err, db.ErrNoRows) {
		return r, noLink()
	}
	if err != nil {
		return r, err
	}
	if account == 0 {
		none, err := nobody(q)
		if err == nil && !none {
			err = noLink()
		}
		return r, err
	}
	r, err = accountIn(q, account)
	if fault.KindOf(err) == fault.NotFound || err == nil && r.DisabledAt != nil {
		return accountRow{}, noLink()
	}
	return r, err
}

func noLink() error { return fault.Missing("link") }

// UseLink sets the password, kills the link and every session of the account, and signs the person in
// with a browser. n counts only for the first account, whose role is admin.
//
// Errors: fault.NotFound as OpenLink; fault.Invalid at /login, /name, /password.
func (b *Book) UseLink(ctx context.Context, token string, n NewAccount, password, browser string) (session string, a Account, err error) {
	r, err := b.openLink(b.db.Read(ctx), token)
	if err != nil {
		return "", a, err
	}
	first := r.Key == 0
	n.Login, n.Role = LoginOf(n.Login), RoleAdmin
	if !first {
		n = NewAccount{Login: r.Login, Name: r.Name, Role: Role(r.Role)}
	}
	var f fault.Fields
	n.note(&f)
	checkPassword(&f, "/password", password, n.Login, n.Name)
	if err := f.Err(); err != nil {
		return "", a, err
	}
	hash, err := b.passwords.hash(ctx, password)
	if err != nil {
		return "", a, err
	}
	d, _ := readToken(token)
	session, digest := newToken()
	ctx = event.WithActor(ctx, "first-link") // until the account is there, nobody else can be named
	if !first {
		ctx = b.acting(ctx, r.Key)
	}
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		r, err := b.openLink(tx, token) // only one of two who use it at the same time finds it
		if err != nil {
			return err
		}
		used, err := tx.Exec(`DELETE FROM account_link WHERE hash = ?`, hex.EncodeToString(d[:]))
		if err != nil {
			return err
		}
		if used == 0 {
			return noLink()
		}
		if first {
			r, err = insertAccount(tx, n, hash)
		} else {
			err = b.setPassword(tx, &r, hash, 0)
		}
		if err != nil {
			return err
		}
		if err := forgive(tx, b.loginTry(r.Login)); err != nil {
			return err
		}
		a = r.account()
		return startSession(tx, &r, digest, browser)
	})
	if err != nil {
		return "", Account{}, err
	}
	return session, a, nil
}

// acting says that the person of an account acts in ctx.
func (b *Book) acting(ctx context.Context, account int64) context.Context {
	return event.WithActor(ctx, Principal{ID: b.db.Names().Name(ident.Account, account), Account: account}.Actor())
}

// setPassword changes it and ends every session but one.
func (b *Book) setPassword(tx *db.Tx, r *accountRow, hash string, but int64) error {
	if _, err := tx.Exec(`UPDATE account SET password = ? WHERE key = ?`, hash, r.Key); err != nil {
		return err
	}
	r.Password = hash
	if err := b.endSessions(tx, r.Key, but); err != nil {
		return err
	}
	return tellAccount(tx, r, "account.password_set", nil)
}

// ChangePassword is the person's own change; the session it comes from goes on, the others end.
//
// Errors: fault.Invalid at /current_password and /password; fault.Exhausted after wrong tries.
func (b *Book) ChangePassword(ctx context.Context, account, session int64, current, password string) error {
	r, err := accountIn(b.db.Read(ctx), account)
	if err != nil {
		return err
	}
	var f fault.Fields
	checkPassword(&f, "/password", password, r.Login, r.Name)
	if err := f.Err(); err != nil {
		return err
	}
	if err := b.charge(ctx, b.loginTry(r.Login)); err != nil {
		return err
	}
	right, _, err := b.passwords.matches(ctx, r.Password, current)
	if err != nil {
		return err
	}
	if !right {
		return fault.InvalidField("/current_password", "wrong", "this is not your present password")
	}
	hash, err := b.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		was := r.Password
		r, err := accountIn(tx, account)
		if err != nil {
			return err
		}
		if r.Password != was {
			return fault.Refused("password-changed", nil, "the password was changed meanwhile")
		}
		if err := forgive(tx, b.loginTry(r.Login)); err != nil {
			return err
		}
		return b.setPassword(tx, &r, hash, session)
	})
}

// SetRole changes what a person may do, at once. Setting the role there is changes nothing.
//
// Errors: fault.NotFound; fault.Invalid at /role; fault.Conflict last-admin.
func (b *Book) SetRole(ctx context.Context, account int64, role Role) (a Account, err error) {
	if role != RoleAdmin && role != RoleDispatcher {
		return a, fault.InvalidField("/role", "unknown", "the role of an account is admin or dispatcher")
	}
	return b.change(ctx, account, func(tx *db.Tx, r *accountRow) error {
		if r.Role == string(role) {
			return nil
		}
		if role != RoleAdmin {
			if err := notLast(tx, r); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(`UPDATE account SET role = ? WHERE key = ?`, string(role), r.Key); err != nil {
			return err
		}
		r.Role = string(role)
		return tellAccount(tx, r, "account.role_changed", map[string]any{"role": role})
	})
}

// Disable locks an account out and ends its sessions; its name stays in the log. Twice is the same as once.
//
// Errors: fault.NotFound; fault.Conflict last-admin.
func (b *Book) Disable(ctx context.Context, account int64) (Account, error) {
	return b.change(ctx, account, func(tx *db.Tx, r *accountRow) error {
		if r.DisabledAt != nil {
			return nil
		}
		if err := notLast(tx, r); err != nil {
			return err
		}
		now := tx.Now().UnixMilli()
		if _, err := tx.Exec(`UPDATE account SET disabled_at = ? WHERE key = ?`, now, r.Key); err != nil {
			return err
		}
		r.DisabledAt = &now
		if err := b.endSessions(tx, r.Key, 0); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM account_link WHERE account_key = ?`, r.Key); err != nil {
			return err
		}
		return tellAccount(tx, r, "account.disabled", nil)
	})
}

// Enable lets a disabled account in again, with the password it had. Errors: fault.NotFound.
func (b *Book) Enable(ctx context.Context, account int64) (Account, error) {
	return b.change(ctx, account, func(tx *db.Tx, r *accountRow) error {
		if r.DisabledAt == nil {
			return nil
		}
		if _, err := tx.Exec(`UPDATE account SET disabled_at = NULL WHERE key = ?`, r.Key); err != nil {
			return err
		}
		r.DisabledAt = nil
		return tellAccount(tx, r, "account.enabled", nil)
	})
}

// SignOut ends every session of an account. Errors: fault.NotFound.
func (b *Book) SignOut(ctx context.Context, account int64) (Account, error) {
	return b.change(ctx, account, func(tx *db.Tx, r *accountRow) error {
		if err := b.endSessions(tx, r.Key, 0); err != nil {
			return err
		}
		return tellAccount(tx, r, "account.signed_out_everywhere", nil)
	})
}

// change works on one account; whoever is signed in with it is looked up anew from then on.
func (b *Book) change(ctx context.Context, account int64, f func(*db.Tx, *accountRow) error) (a Account, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		r, err := accountIn(tx, account)
		if err != nil {
			return err
		}
		if err := f(tx, &r); err != nil {
			return err
		}
		a = r.account()
		tx.OnCommit(func() { b.generation.Add(1) })
		return nil
	})
	return a, err
}

// notLast refuses to take the last administrator away who can sign in.
func notLast(tx *db.Tx, r *accountRow) error {
	if Role(r.Role) != RoleAdmin || r.DisabledAt != nil {
		return nil
	}
	// Of two administrators who take each other's role at the same time, the second waits here.
	if _, err := tx.Exec(`UPDATE account SET role = role WHERE role = ?`, string(RoleAdmin)); err != nil {
		return err
	}
	others := 0
	err := tx.Get(&others, `SELECT count(*) FROM account WHERE role = ? AND disabled_at IS NULL AND password <> '' AND key <> ?`, string(RoleAdmin), r.Key)
	if err == nil && others == 0 {
		err = fault.Refused("last-admin", nil, "nobody else who can sign in is an admin: make one first")
	}
	return err
}

// Account is one account. Errors: fault.NotFound.
func (b *Book) Account(ctx context.Context, key int64) (Account, error) {
	r, err := accountIn(b.db.Read(ctx), key)
	return r.account(), err
}

// AccountsOf are the accounts among keys, which are few.
func (b *Book) AccountsOf(ctx context.Context, keys []int64) ([]Account, error) {
	var rows []accountRow
	if err := among(b.db.Read(ctx), &rows, selectAccount+`WHERE key IN (?)`, keys); err != nil {
		return nil, err
	}
	accounts := make([]Account, len(rows))
	for i, r := range rows {
		accounts[i] = r.account()
	}
	return accounts, nil
}

// AccountByLogin is the account with a login. Errors: fault.NotFound.
func (b *Book) AccountByLogin(ctx context.Context, login string) (Account, error) {
	r, err := accountByLogin(b.db.Read(ctx), LoginOf(login))
	if errors.Is(err, db.ErrNoRows) {
		err = fault.Missing("account")
	}
	return r.account(), err
}

// Accounts is a page of accounts, newest first; cursor and next as in List.
func (b *Book) Accounts(ctx context.Context, cursor int64, limit int) (accounts []Account, next int64, err error) {
	rows, err := accountsBefore(b.db.Read(ctx), cursor, limit+1)
	if err != nil {
		return nil, 0, err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = rows[limit-1].Key
	}
	for _, r := range rows {
		accounts = append(accounts, r.account())
	}
	return accounts, next, nil
}
