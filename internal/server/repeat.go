package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	// From here on it is worked to its end, effect and answer, though its client leave: a commit that is
	// broken off half-way may have happened, and the client will ask again.
	k.ctx = context.WithoutCancel(k.ctx)
	if k.route.kind == plain {
		var cancel context.CancelFunc
		k.ctx, cancel = context.WithTimeout(k.ctx, requestTimeout)
		defer cancel()
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
		if err = k.keep(r); errors.Is(err, errRepeated) {
			_, err = k.replay(r)
		}
	}
	return err
}

// keepTimeout is for storing an answer after the request's own time is up.
const keepTimeout = 5 * time.Second

// keep stores the present answer. What it answers has happened, and its client may ask again: neither
// the client's leaving nor the end of the request's time stops us.
func (k *call) keep(r *repeat) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx), keepTimeout)
	defer cancel()
	return k.DB.InTx(ctx, func(tx *db.Tx) error { return r.store(tx, outcome{k.status, k.answer, kept(k.header)}) })
}

// outcome is an answer as it is kept for repeats; header are those headers that belong to it.
type outcome struct {
	status int
	body   []byte
	header map[string]string
}

func kept(h http.Header) map[string]string {
	out := map[string]string{}
	for _, name := range []string{"ETag", "Location"} {
		if v := h.Get(name); v != "" {
			out[name] = v
		}
	}
	return out
}

// give makes o this call's answer.
func (k *call) give(o outcome) {
	k.status, k.answer = o.status, o.body
	for name, v := range o.header {
		k.header.Set(name, v)
	}
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
		Header string
		Body   []byte
	}
	err := k.DB.Read(k.ctx).Get(&row, `SELECT request_hash, status, header, body FROM idempotency WHERE owner = ? AND name = ?`, r.owner, r.name)
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
	o := outcome{status: row.Status, body: row.Body}
	if err := json.Unmarshal([]byte(row.Header), &o.header); err != nil {
		return true, fmt.Errorf("stored answer %q: %w", r.name, err)
	}
	k.header.Set("Idempotency-Replayed", "true")
	k.give(o)
	return true, nil
}

// store keeps an answer in tx.
func (r *repeat) store(tx *db.Tx, o outcome) error {
	header, err := json.Marshal(o.header)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`INSERT INTO idempotency (key, owner, name, request_hash, status, header, body) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (owner, name) DO NOTHING`, tx.NewKey(), r.owner, r.name, r.hash, o.status, string(header), o.body)
	if err == nil && n == 0 {
		return errRepeated
	}
	return err
}

// PurgeRepeats forgets the answers nobody may ask for any more.
func PurgeRepeats(ctx context.Context, d *db.DB) error {
	before := ident.At(time.Now().Add(-repeatsKept)) // keys read the wall clock
	for {
		n := int64(0)
		err := d.InTx(ctx, func(tx *db.Tx) (err error) {
			if err := tx.Overwrite(); err != nil { // answers name recipients
				return err
			}
			n, err = tx.Exec(`DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE key < ? ORDER BY key LIMIT 2000)`, before)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}
