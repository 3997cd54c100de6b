package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"strings"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
)

// A try is charged before it is made, and given back when it was right: so any number of guesses at
// the same time count, from any number of processes.
//
// What is counted has a name by MAC: the table holds neither logins nor addresses. A login nobody has
// is counted like any other.
type try struct {
	name string
	free int // wrong tries without a wait
}

const (
	freeOfLogin   = 5
	freeOfAddress = 20 // a whole office may share one
	freeOfPairing = 10
	longestWait   = 15 * time.Minute
	triesKept     = 24 * time.Hour // since the last one
)

// waitAfter is how long to wait after that many wrong tries: 1 s, 2 s, 4 s … once the free ones are used.
func waitAfter(tries int64, free int) time.Duration {
	over := tries - int64(free)
	if over < 0 {
		return 0
	}
	if over > 20 {
		return longestWait
	}
	return min(time.Second<<over, longestWait)
}

func (b *Book) loginTry(login string) try {
	return try{b.db.Names().Sign("sign-in login", login), freeOfLogin}
}

// knownTry is the count of a browser in which the person signed in before, and else that of the login:
// strangers who guess at a login keep themselves out, and not its person.
func (b *Book) knownTry(login, known string) try {
	nonce, mac, ok := strings.Cut(known, ".")
	if !ok || len(nonce) != nonceLen || !b.db.Names().Signed("known browser", nonce+" "+login, mac) {
		return b.loginTry(login)
	}
	return try{b.db.Names().Sign("sign-in known", nonce), freeOfLogin}
}

// Known is what a browser keeps to be told from strangers the next time its person signs in. It opens
// nothing. Wrong tries from there are counted, too.
func (b *Book) Known(login string) string {
	nonce := rand.Text()
	return nonce + "." + b.db.Names().Sign("known browser", nonce+" "+LoginOf(login))
}

var nonceLen = len(rand.Text())

// KnownLife is how long a browser stays known.
const KnownLife = 180 * 24 * time.Hour

func (b *Book) addressTry(from string) try {
	return try{b.db.Names().Sign("sign-in address", coarse(from)), freeOfAddress}
}

func (b *Book) pairingTry(from string) try {
	return try{b.db.Names().Sign("pairing address", coarse(from)), freeOfPairing}
}

// coarse is whom an address stands for: with IPv6 one household has 2^64 of them.
func coarse(from string) string {
	a, err := netip.ParseAddr(from)
	if err != nil || a.Unmap().Is4() {
		return from
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return from
	}
	return p.String()
}

// charge counts a try of each, or none when one of them has to wait.
//
// Errors: fault.Exhausted with the time to wait.
func (b *Book) charge(ctx context.Context, tries ...try) error {
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		for _, t := range tries {
			if _, err := chargeOne(tx, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// chargeLogin charges a try to sign in. The log learns of it when the free tries of an account are used up:
// somebody may be guessing. For a login that nobody has the same is done but for the line in the log.
func (b *Book) chargeLogin(ctx context.Context, login string, mine, theirs try) error {
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		spent, err := chargeOne(tx, mine)
		if err != nil {
			return err
		}
		if _, err := chargeOne(tx, theirs); err != nil || !spent {
			return err
		}
		r, err := accountByLogin(tx, login)
		if errors.Is(err, db.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return tellAccount(tx, &r, "account.sign_in_guarded", nil)
	})
}

// chargeOne counts a try; spent says that it was the last free one.
func chargeOne(tx *db.Tx, t try) (spent bool, err error) {
	now := tx.Now().UnixMilli()
	// The row is there before it is counted up: of many at the same time each waits for the one before.
	if _, err := tx.Exec(`INSERT INTO sign_in_try (name, tries, until_ms, last_at) VALUES (?, 0, 0, ?) ON CONFLICT (name) DO NOTHING`, t.name, now); err != nil {
		return false, err
	}
	n, err := tx.Exec(`UPDATE sign_in_try SET tries = CASE WHEN last_at < ? THEN 1 ELSE tries + 1 END, last_at = ?
		WHERE name = ? AND until_ms <= ?`, now-triesKept.Milliseconds(), now, t.name, now)
	if err != nil {
		return false, err
	}
	var row struct {
		Tries int64
		Until int64 `db:"until_ms"`
	}
	if err := tx.Get(&row, `SELECT tries, until_ms FROM sign_in_try WHERE name = ?`, t.name); err != nil {
		return false, err
	}
	if n == 0 {
		wait := max(time.Duration(row.Until-now)*time.Millisecond, time.Second)
		return false, fault.New(fault.Exhausted, "wait", "too many wrong tries; the next one counts in %s", wait.Round(time.Second)).After(wait)
	}
	if wait := waitAfter(row.Tries, t.free); wait > 0 {
		_, err = tx.Exec(`UPDATE sign_in_try SET until_ms = ? WHERE name = ?`, now+wait.Milliseconds(), t.name)
	}
	return row.Tries == int64(t.free), err
}

// forgive forgets all tries of t: it was the right one.
func forgive(tx *db.Tx, t try) error {
	_, err := tx.Exec(`DELETE FROM sign_in_try WHERE name = ?`, t.name)
	return err
}

// refund gives one try back. It does not forgive the others: an attacker may have an account, too.
func refund(tx *db.Tx, t try) error {
	_, err := tx.Exec(`UPDATE sign_in_try SET tries = tries - 1, until_ms = 0 WHERE name = ? AND tries > 0`, t.name)
	return err
}
