package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

// An Idempotency-Key makes a POST safe to repeat: the first answer is stored and given again. An
// order's answer is stored in the order's own transaction, so not even a crash between the two can
// make a second order; other answers are stored right after, and those actions are idempotent by
// themselves.

// repeatsKept is how long a stored answer can be replayed.
const repeatsKept = 25 * time.Hour

type repeatKey struct {
	owner int64
	name  string
}

// repeats are the keyed requests under way in this process: equal ones wait for the first.
type repeats struct {
	mu      sync.Mutex
	waiting map[repeatKey]chan struct{}
}

// repeat is the keyed request a call carries.
type repeat struct {
	repeatKey
	hash   string
	stored bool // the answer is in the database already
}

// errRepeated says that another process stored the answer first.
var errRepeated = errors.New("server: the key was used meanwhile")

// once runs the handler for the first of equal requests and replays its answer to the others.
func (k *call) once(name string) error {
	if len(name) > 255 {
		return fault.InvalidField("Idempotency-Key", "too-long", "at most 255 characters")
	}
	limit := int64(maxJSON)
	if k.route.limit > 0 {
		limit = k.route.limit
	}
	body, err := k.readAll(limit)
	if err != nil {
		return err
	}
	if body == nil {
		body = []byte{}
	}
	k.body = body
	k.r.Body = io.NopCloser(bytes.NewReader(body)) // for forms, which read by themselves
	owner := k.owner()
	if k.param("token") != "" {
		// Customers have no key: what they say belongs to their order, while their link lives.
		o, err := k.linked()
		if err != nil {
			return err
		}
		owner = o.Key
	}
	k.repeat = newRepeat(owner, name, k.r.Method+" "+k.r.URL.Path+"?"+k.r.URL.RawQuery, body)
	return k.guard(k.repeat, func() error { return k.route.handle(k) })
}

// owner is whose keys they are: a merchant's are its own, whichever API key it uses today.
func (k *call) owner() int64 {
	if k.who.Merchant != 0 {
		return k.who.Merchant
	}
	return k.who.Key
}

func newRepeat(owner int64, name, what string, body []byte) *repeat {
	h := sha256.New()
	h.Write([]byte(what + "\n"))
	h.Write(body)
	return &repeat{repeatKey: repeatKey{owner, name}, hash: hex.EncodeToString(h.Sum(nil)[:16])}
}

// guard runs f unless the answer is stored, and stores f's answer unless f did.
func (k *call) guard(r *repeat, f func() error) error {
	if err := k.repeats.enter(k.ctx, r.repeatKey); err != nil {
		return err
	}
	defer k.repeats.leave(r.repeatKey)
	if done, err := k.replay(r); done || err != nil {
		return err
	}
	err := f()
	if errors.Is(err, errRepeated) {
		_, err = k.replay(r)
		return err
	}
	if err == nil && !r.stored && k.status < 300 {
		return k.DB.InTx(k.ctx, storeAnswer(r, k))
	}
	return err
}

// enter waits until no equal key is under way here.
func (r *repeats) enter(ctx context.Context, key repeatKey) error {
	for {
		r.mu.Lock()
		other, busy := r.waiting[key]
		if !busy {
			r.waiting[key] = make(chan struct{})
			r.mu.Unlock()
			return nil
		}
		r.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return fault.Refused("idempotency-in-progress", nil, "the first request with this Idempotency-Key is still being worked on")
		}
	}
}

func (r *repeats) leave(key repeatKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.waiting[key])
	delete(r.waiting, key)
}

// replay answers with the stored answer, if there is one.
func (k *call) replay(r *repeat) (bool, error) {
	var row struct {
		Hash   string `db:"request_hash"`
		Status int
		Body   []byte
	}
	err := k.DB.Read(k.ctx).Get(&row, `SELECT request_hash, status, body FROM idempotency WHERE owner = ? AND name = ?`, r.owner, r.name)
	if errors.Is(err, db.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if row.Hash != r.hash {
		return true, &fault.Error{Kind: fault.Invalid, Code: "idempotency-key-reused", Detail: "this Idempotency-Key came with another request before",
			Fields: []fault.Field{{Pointer: "Idempotency-Key", Code: "reused", Detail: "use a new key for a new request"}}}
	}
	k.header.Set("Idempotency-Replayed", "true")
	k.status, k.answer = row.Status, row.Body
	return true, nil
}

// store keeps an answer in tx.
func (r *repeat) store(tx *db.Tx, status int, body []byte) error {
	n, err := tx.Exec(`INSERT INTO idempotency (key, owner, name, request_hash, status, body) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (owner, name) DO NOTHING`, tx.NewKey(), r.owner, r.name, r.hash, status, body)
	if err == nil && n == 0 {
		return errRepeated
	}
	return err
}

// storeAnswer keeps k's present answer for repeats.
func storeAnswer(r *repeat, k *call) func(*db.Tx) error {
	return func(tx *db.Tx) error { return r.store(tx, k.status, k.answer) }
}

// PurgeRepeats forgets the answers nobody may ask for any more.
func PurgeRepeats(ctx context.Context, d *db.DB) error {
	before := ident.At(time.Now().Add(-repeatsKept)) // keys read the wall clock
	for {
		n := int64(0)
		err := d.InTx(ctx, func(tx *db.Tx) (err error) {
			n, err = tx.Exec(`DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE key < ? ORDER BY key LIMIT 2000)`, before)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}
