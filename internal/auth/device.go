package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
)

// A store's phone has no password: the console shows a code, the phone sends it, and from then on the
// phone's browser holds a session of the store in a cookie no script can read. Unlike a key in the
// page's storage it cannot be carried off by a script, and EventSource, images and the service worker
// send it by themselves.

// PairingCode is shown to whoever holds the phone.
type PairingCode struct {
	Code      string // 8 characters; how it is shown, and typed, is up to the face
	ExpiresAt time.Time
}

const (
	codeLife = 15 * time.Minute
	codeLen  = 8 // of 32 characters each: 40 bits, good for a quarter of an hour of counted tries
	// Crockford's base 32: no two characters look alike.
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

var likeness = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1", "U", "V")

// readCode is a code as it is kept, from however it was typed.
func readCode(typed string) (string, bool) {
	code := likeness.Replace(strings.ToUpper(typed))
	return code, len(code) == codeLen && strings.Trim(code, codeAlphabet) == ""
}

func newCode() string {
	raw := make([]byte, codeLen)
	_, _ = rand.Read(raw)
	for i, b := range raw {
		raw[i] = codeAlphabet[b&31]
	}
	return string(raw)
}

// NewPairingCode makes a code for a store; several may be open at once, for several phones.
func (b *Book) NewPairingCode(ctx context.Context, store int64) (p PairingCode, err error) {
	code := newCode()
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		p = PairingCode{code, tx.Now().Add(codeLife)}
		_, err := tx.Exec(`INSERT INTO pairing_code (key, store_key, hash, created_at, expires_at, session_key, asked_by) VALUES (?, ?, ?, ?, ?, 0, '')`,
			tx.NewKey(), store, tx.Names().Sign("pairing code", code), tx.Now().UnixMilli(), p.ExpiresAt.UnixMilli())
		return err
	})
	return p, err
}

// Pair makes the phone that sends a code a device of the code's store, and returns its session's token.
// A code works once; but a phone that lost the answer and asks again under the same name of its own
// (again, any text; "" for none) gets another token, and the first one opens nothing any more.
//
// Errors: fault.Invalid at /code and /device_name; fault.Exhausted with the time to wait.
func (b *Book) Pair(ctx context.Context, typed, device, again, from string) (token string, s Session, err error) {
	var f fault.Fields
	checkName(&f, "/device_name", device)
	code, ok := readCode(typed)
	if !ok {
		f.Add("/code", "not-a-code", "a code has %d letters and digits, like 7K3M-9QXT", codeLen)
	}
	if err := f.Err(); err != nil {
		return "", s, err
	}
	t := b.pairingTry(from)
	if err := b.charge(ctx, t); err != nil {
		return "", s, err
	}
	asked := ""
	if again != "" {
		asked = b.db.Names().Sign("pairing repeat", again)
	}
	token, hash := newToken()
	err = b.db.InTx(event.WithActor(ctx, "pairing-code"), func(tx *db.Tx) error {
		p, err := takeCode(tx, code, asked)
		if err != nil {
			return err
		}
		if err := refund(tx, t); err != nil {
			return err
		}
		if p.Session != 0 {
			r, err := sessionIn(tx, p.Session, "device")
			if err != nil {
				return err
			}
			if r.RevokedAt != nil {
				return noCode()
			}
			s = r.info()
			_, err = tx.Exec(`UPDATE session SET hash = ? WHERE key = ?`, hash, r.Key)
			tx.OnCommit(func() { b.generation.Add(1) })
			return err
		}
		now := tx.Now().UnixMilli()
		r := sessionRow{Key: tx.NewKey(), Store: p.Store, Name: device, CreatedAt: now, SeenAt: now, ExpiresAt: now + DeviceLife.Milliseconds()}
		if err := insertSession(tx, r, hash); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE pairing_code SET session_key = ?, asked_by = ? WHERE key = ?`, r.Key, asked, p.Key); err != nil {
			return err
		}
		s = r.info()
		return tellDevice(tx, &r, "device.paired")
	})
	if err != nil {
		return "", Session{}, err
	}
	return token, s, nil
}

type codeRow struct {
	Key     int64
	Store   int64  `db:"store_key"`
	Session int64  `db:"session_key"`
	AskedBy string `db:"asked_by"`
}

// takeCode finds a code that is still good for whoever asks, and holds it against others.
func takeCode(tx *db.Tx, code, asked string) (p codeRow, err error) {
	hash := tx.Names().Sign("pairing code", code)
	if _, err := tx.Exec(`UPDATE pairing_code SET session_key = session_key WHERE hash = ?`, hash); err != nil {
		return p, err
	}
	err = tx.Get(&p, `SELECT key, store_key, session_key, asked_by FROM pairing_code WHERE hash = ? AND expires_at > ?`, hash, tx.Now().UnixMilli())
	if errors.Is(err, db.ErrNoRows) || err == nil && p.Session != 0 && (asked == "" || p.AskedBy != asked) {
		err = noCode()
	}
	return p, err
}

// noCode is the one answer to codes that are unknown, used or too old.
func noCode() error {
	return fault.InvalidField("/code", "unknown", "there is no such code, or it was used or is older than %d minutes: ask for a new one", int(codeLife.Minutes()))
}
