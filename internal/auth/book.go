package auth

import (
	"context"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

const (
	knownPlaces   = 1 << 16 // half a megabyte; more busy keys than that read the database more often
	unknownPlaces = 1 << 12
	firstLooks    = 4 // digests never seen before that are looked up at once
)

// Book is what one can ask about keys. It is safe for concurrent use.
type Book struct {
	db  *db.DB
	now func() time.Time // real and monotonic: a sandbox's clock must not stretch a revoked key's life

	// Two tables, so that guessing cannot push good keys out of the cache.
	known, unknown table
	// generation moves on with every revocation in this process: all that was read before, even
	// by a look-up that is still under way, is void at once.
	generation atomic.Uint64
	// looks keeps guesses with a good checksum from taking all of the read connections.
	looks chan struct{}

	merchants sync.Map // key -> name; a merchant's name never changes

	passwords *hasher
}

// NewBook opens the book of keys in d.
func NewBook(d *db.DB) *Book {
	return &Book{db: d, now: time.Now, known: newTable(knownPlaces), unknown: newTable(unknownPlaces),
		looks: make(chan struct{}, firstLooks), passwords: newHasher(usualCost)}
}

// Authenticate tells who shows secret.
//
// Errors: fault.Unauthorized, the same for every reason; what the database says when it fails.
func (b *Book) Authenticate(ctx context.Context, secret string) (Principal, error) {
	d, ok := read(secret)
	if !ok {
		return Principal{}, refused()
	}
	e, err := b.find(ctx, d, (*Book).openKey)
	if err != nil {
		return Principal{}, err
	}
	now := b.db.Now().UnixMilli()
	if !e.opens(now) {
		return Principal{}, refused()
	}
	if now-e.seen >= usedEvery.Milliseconds() && e.noting.CompareAndSwap(false, true) {
		b.noteUsed(ctx, e.principal.Key)
	}
	return e.principal, nil
}

// usedEvery is how finely the last use of a key is told: a key that sends thousands of orders a second
// costs one small write an hour for it.
const usedEvery = time.Hour

// noteUsed writes that a key is in use. When that fails a later request tries again.
func (b *Book) noteUsed(ctx context.Context, key int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), seenNow)
	defer cancel()
	_ = b.db.InTx(ctx, func(tx *db.Tx) error {
		now := tx.Now().UnixMilli()
		_, err := tx.Exec(`UPDATE api_key SET used_at = ? WHERE key = ? AND (used_at IS NULL OR used_at <= ?)`, now, key, now-usedEvery.Milliseconds())
		return err
	})
}

// opening reads what a digest opens into e, and leaves it empty when that is nothing any more;
// db.ErrNoRows says that it never was.
type opening func(b *Book, q db.Queryer, hash string, e *entry) error

// find is what is known of d, from memory when that is fresh.
func (b *Book) find(ctx context.Context, d digest, open opening) (*entry, error) {
	e := b.known.get(d)
	seen := e != nil
	if e == nil {
		e = b.unknown.get(d)
	}
	if e != nil && e.usable(b.now(), b.generation.Load()) {
		return e, nil
	}
	return b.look(ctx, d, seen, open)
}

// look reads the row of d and remembers what it found.
func (b *Book) look(ctx context.Context, d digest, seen bool, open opening) (*entry, error) {
	if !seen {
		select {
		case b.looks <- struct{}{}:
			defer func() { <-b.looks }()
		case <-ctx.Done():
			return nil, db.Classify(ctx.Err())
		}
	}
	e := &entry{digest: d, read: b.now(), generation: b.generation.Load()}
	err := open(b, b.db.Read(ctx), hex.EncodeToString(d[:]), e)
	if err != nil && !errors.Is(err, db.ErrNoRows) {
		return nil, err
	}
	if seen || e.principal.Key != 0 {
		b.known.put(e)
	} else {
		b.unknown.put(e)
	}
	return e, nil
}

// openKey fills e with who holds a key.
func (b *Book) openKey(q db.Queryer, hash string, e *entry) error {
	r, err := byHash(q, hash)
	if err != nil || r.RevokedAt != nil {
		return err
	}
	e.principal = Principal{Key: r.Key, ID: b.db.Names().Name(ident.Key, r.Key), Role: Role(r.Role),
		Store: r.Store, Merchant: r.Merchant, Live: true, Name: r.Name}
	if r.ExpiresAt != nil {
		e.expires = *r.ExpiresAt
	}
	if r.UsedAt != nil {
		e.seen = *r.UsedAt
	}
	return nil
}

// Create makes a key and returns its secret, which nobody can find out again.
//
// Errors: fault.Invalid with the pointers /role, /store_id, /merchant, /name, /expires_at.
func (b *Book) Create(ctx context.Context, n NewKey) (secret string, info KeyInfo, err error) {
	secret = newSecret()
	d, _ := read(secret)
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if err := n.check(tx.Now()); err != nil {
			return err
		}
		merchant, name, err := merchantOf(tx, n)
		if err != nil {
			return err
		}
		info = KeyInfo{Key: tx.NewKey(), Hint: secret[secretLen-4:], Name: n.Name, Role: n.Role, Store: n.Store,
			Merchant: merchant, MerchantName: name, CreatedAt: tx.Now()}
		if n.ExpiresAt != nil {
			t := n.ExpiresAt.UTC().Truncate(time.Millisecond)
			info.ExpiresAt = &t
		}
		var c event.Chain
		if err := event.Append(tx, &c, event.New{Type: "key.created", Subject: info.Key, Merchant: merchant, Store: n.Store,
			Data: told(tx, info)}); err != nil {
			return err
		}
		return insertKey(tx, info, hex.EncodeToString(d[:]), c)
	})
	if err != nil {
		return "", KeyInfo{}, err
	}
	return secret, info, nil
}

// told is what the log says about a key: nothing that opens anything, no names of persons.
func told(tx *db.Tx, k KeyInfo) map[string]any {
	return map[string]any{"key_id": tx.Names().Name(ident.Key, k.Key), "role": k.Role}
}

func merchantOf(tx *db.Tx, n NewKey) (key int64, name string, err error) {
	switch {
	case n.Role != RoleMerchant:
		return 0, "", nil
	case n.Merchant == 0:
		key, err = EnsureMerchant(tx, n.MerchantName)
		return key, n.MerchantName, err
	}
	name, err = merchantName(tx, n.Merchant)
	if errors.Is(err, db.ErrNoRows) {
		err = fault.InvalidField("/merchant", "unknown", "there is no such merchant")
	}
	return n.Merchant, name, err
}

// Revoke makes a key useless from now on: at once in this process, within half a second in others.
// Revoking twice is the same as once. Errors: fault.NotFound.
func (b *Book) Revoke(ctx context.Context, key int64) error {
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE api_key SET revoked_at = ? WHERE key = ? AND revoked_at IS NULL`, tx.Now().UnixMilli(), key)
		if err != nil {
			return err
		}
		r, err := byKey(tx, key)
		if errors.Is(err, db.ErrNoRows) {
			return fault.Missing("key")
		}
		if err != nil || n == 0 {
			return err
		}
		c := r.Chain
		if err := event.Append(tx, &c, event.New{Type: "key.revoked", Subject: key, Merchant: r.Merchant, Store: r.Store,
			Data: told(tx, r.info())}); err != nil {
			return err
		}
		if _, err = tx.Exec(`UPDATE api_key SET last_event = ?, event_count = ? WHERE key = ?`, c.Last, c.Count, key); err != nil {
			return err
		}
		tx.OnCommit(func() { b.generation.Add(1) })
		return nil
	})
}

// List is a page of keys, newest first, revoked ones included. cursor is 0 for the first page and
// else the next of the page before; next is 0 when there are no more.
func (b *Book) List(ctx context.Context, cursor int64, limit int) (keys []KeyInfo, next int64, err error) {
	rows, err := before(b.db.Read(ctx), cursor, limit+1)
	if err != nil {
		return nil, 0, err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = rows[limit-1].Key
	}
	keys = make([]KeyInfo, len(rows))
	for i, r := range rows {
		keys[i] = r.info()
	}
	return keys, next, nil
}

// EnsureMerchant is the key of the merchant called name, which is made when there is none: a new
// merchant needs nothing but a first key.
//
// Errors: fault.Invalid at /merchant.
func EnsureMerchant(tx *db.Tx, name string) (key int64, err error) {
	var f fault.Fields
	checkName(&f, "/merchant", name)
	if err := f.Err(); err != nil {
		return 0, err
	}
	key = tx.NewKey()
	n, err := tx.Exec(`INSERT INTO merchant (key, name, created_at, last_event, event_count) VALUES (?, ?, ?, 0, 0)
		ON CONFLICT (name) DO NOTHING`, key, name, tx.Now().UnixMilli())
	if err != nil {
		return 0, err
	}
	if n == 0 {
		err := tx.Get(&key, `SELECT key FROM merchant WHERE name = ?`, name)
		return key, err
	}
	var c event.Chain
	if err := event.Append(tx, &c, event.New{Type: "merchant.created", Subject: key, Merchant: key,
		Data: map[string]any{"merchant_id": tx.Names().Name(ident.Merchant, key), "name": name}}); err != nil {
		return 0, err
	}
	_, err = tx.Exec(`UPDATE merchant SET last_event = ?, event_count = ? WHERE key = ?`, c.Last, c.Count, key)
	return key, err
}

// MerchantName is the name of a merchant. Errors: fault.NotFound.
func (b *Book) MerchantName(ctx context.Context, key int64) (string, error) {
	if name, ok := b.merchants.Load(key); ok {
		return name.(string), nil
	}
	name, err := merchantName(b.db.Read(ctx), key)
	if errors.Is(err, db.ErrNoRows) {
		return "", fault.Missing("merchant")
	}
	if err == nil {
		b.merchants.Store(key, name)
	}
	return name, err
}
