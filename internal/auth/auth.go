// Package auth knows who is asking: a program with a key, a person who signed in, or a store's phone.
//
// A sender shows a secret. Only its SHA-256 is kept, so a stolen database opens nothing; the
// secret itself is shown once, when the key is made. Revoking works within a second on every
// process that shares the database: none trusts what it read about a key for longer than half of
// that (see cache.go).
package auth

import (
	"time"
	"unicode"
	"unicode/utf8"

	"doorstep/internal/fault"
)

// Role says what a key may do; the server holds the table.
type Role string

const (
	RoleAdmin      Role = "admin"      // all
	RoleDispatcher Role = "dispatcher" // all stores and orders of the network
	RoleMerchant   Role = "merchant"   // its own orders
	RoleStore      Role = "store"      // one store
)

// Known reports whether r is one of the four.
func (r Role) Known() bool {
	return r == RoleAdmin || r == RoleDispatcher || r == RoleMerchant || r == RoleStore
}

// Principal is who asks: a key or a session that was valid a moment ago.
type Principal struct {
	Key      int64  // of the API key, the account or the phone: whose things they are
	ID       string // Key's name outside: key_…, usr_… or dev_…
	Account  int64  // the person who signed in, else 0
	Session  int64  // by which a person or a phone asks, 0 with a key
	Role     Role
	Store    int64 // the one store of a store's key or phone, else 0
	Merchant int64 // the merchant of a merchant key, else 0
	Live     bool  // false: sees the sandbox
	Name     string
}

// Actor is how the log names the principal. It leaves Name out: people put their own into it.
func (p Principal) Actor() string {
	switch {
	case p.Account != 0:
		return "user:" + p.ID
	case p.Session != 0:
		return "device:" + p.ID
	}
	return "key:" + p.ID
}

// NewKey is a wish for a key.
type NewKey struct {
	Role  Role
	Store int64 // required for a store key; that it exists is the caller's to check
	// A merchant key needs one of the two; an unknown MerchantName makes the merchant.
	Merchant     int64
	MerchantName string
	Name         string     // what it is for, to tell keys apart in a list; may be empty
	ExpiresAt    *time.Time // nil: never
}

// KeyInfo is what may be shown of a key after it was made.
type KeyInfo struct {
	Key          int64
	Hint         string // the secret's last four characters
	Name         string
	Role         Role
	Store        int64
	Merchant     int64
	MerchantName string
	CreatedAt    time.Time
	ExpiresAt    *time.Time
	RevokedAt    *time.Time
	UsedAt       *time.Time // the last time, to the hour; nil: never
}

const maxName = 100 // characters

// check refuses a wish that makes no sense, naming every field at fault.
func (n NewKey) check(now time.Time) error {
	var f fault.Fields
	if !n.Role.Known() {
		f.Add("/role", "unknown", "a role is one of admin, dispatcher, merchant, store")
		return f.Err() // what else is needed depends on it
	}
	switch {
	case n.Role == RoleStore && n.Store == 0:
		f.Add("/store_id", "required", "a store key needs its store")
	case n.Role != RoleStore && n.Store != 0:
		f.Add("/store_id", "not-allowed", "a %s key has no store", n.Role)
	}
	named := n.Merchant != 0 || n.MerchantName != ""
	switch {
	case n.Role == RoleMerchant && !named:
		f.Add("/merchant", "required", "a merchant key needs its merchant")
	case n.Role != RoleMerchant && named:
		f.Add("/merchant", "not-allowed", "a %s key has no merchant", n.Role)
	case n.Merchant != 0 && n.MerchantName != "":
		f.Add("/merchant", "ambiguous", "name the merchant by its id or by its name, not both")
	case n.MerchantName != "":
		checkName(&f, "/merchant", n.MerchantName)
	}
	if n.Name != "" {
		checkName(&f, "/name", n.Name)
	}
	if n.ExpiresAt != nil && !n.ExpiresAt.After(now) {
		f.Add("/expires_at", "in-the-past", "the key would never work: it expires at %s", n.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return f.Err()
}

// checkName accepts 1 to 100 printable characters without a space at either end: two merchants
// must not look alike.
func checkName(f *fault.Fields, pointer, name string) {
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		f.Add(pointer, "required", "the name is empty")
		return
	case n > maxName:
		f.Add(pointer, "too-long", "a name has at most %d characters, this one %d", maxName, n)
		return
	case !utf8.ValidString(name):
		f.Add(pointer, "not-utf8", "the name is not valid UTF-8")
		return
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			f.Add(pointer, "not-printable", "the name contains %U, which cannot be seen", r)
			return
		}
	}
	if name[0] == ' ' || name[len(name)-1] == ' ' {
		f.Add(pointer, "surrounding-space", "the name begins or ends with a space")
	}
}

// refused is the one answer to every secret that does not open: an outsider learns nothing about
// which keys exist or existed.
func refused() error {
	return fault.New(fault.Unauthorized, "unauthorized", "the key is missing, unknown, expired or revoked; send Authorization: Bearer ds_live_…")
}
