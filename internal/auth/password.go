package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"doorstep/internal/fault"

	"golang.org/x/crypto/argon2"
)

// cost is what one guess at a password costs (RFC 9106). 46 MiB in one pass is as dear to an attacker
// as the other settings OWASP's Password Storage Cheat Sheet lists, and the quickest of them for us.
type cost struct {
	memoryKiB, passes uint32
	lanes             uint8
}

var usualCost = cost{memoryKiB: 46 << 10, passes: 1, lanes: 1}

const (
	saltLen = 16
	hashLen = 32

	// Two at once hold 92 MiB, however many people sign in or try to.
	hashesAtOnce  = 2
	hashesWaiting = 64
)

// hasher hashes passwords, few at a time. It is safe for concurrent use.
type hasher struct {
	cost    cost
	slots   chan struct{}
	waiting atomic.Int64
	made    atomic.Int64 // hashes, for tests of equal work
}

func newHasher(c cost) *hasher { return &hasher{cost: c, slots: make(chan struct{}, hashesAtOnce)} }

// key is the argon2id of a password. Errors: fault.Unavailable when too many wait.
func (h *hasher) key(ctx context.Context, c cost, password string, salt []byte, n int) ([]byte, error) {
	if h.waiting.Add(1) > hashesWaiting {
		h.waiting.Add(-1)
		return nil, fault.New(fault.Unavailable, "too-busy", "many people are signing in; try again").After(2 * time.Second)
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.made.Add(1)
	return argon2.IDKey([]byte(password), salt, c.passes, c.memoryKiB, c.lanes, uint32(n)), nil
}

// hash is the PHC string of a password under a new salt.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt)
	key, err := h.key(ctx, h.cost, password, salt, hashLen)
	if err != nil {
		return "", err
	}
	return phc{h.cost, salt, key}.String(), nil
}

// matches reports whether password is the one behind stored. Without one it does the same work and
// says no, so that nobody learns by the clock which accounts there are. old says that stored was made
// with another cost than today's.
func (h *hasher) matches(ctx context.Context, stored, password string) (ok, old bool, err error) {
	p, known := parsePHC(stored)
	if !known {
		p = phc{h.cost, make([]byte, saltLen), make([]byte, hashLen)}
	}
	key, err := h.key(ctx, p.cost, password, p.salt, len(p.key))
	if err != nil {
		return false, false, err
	}
	same := subtle.ConstantTimeCompare(key, p.key) == 1
	return same && known, p.cost != h.cost, nil
}

// phc is a hash with all it takes to check it: $argon2id$v=19$m=…,t=…,p=…$salt$key, as the password
// hashing competition writes it.
type phc struct {
	cost
	salt, key []byte
}

func (p phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memoryKiB, p.passes, p.lanes,
		b64.EncodeToString(p.salt), b64.EncodeToString(p.key))
}

// parsePHC reads what String writes; a cost that would take the machine down is none of ours.
func parsePHC(s string) (p phc, ok bool) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return p, false
	}
	var version int
	if n, err := fmt.Sscanf(parts[2], "v=%d", &version); n != 1 || err != nil || version != argon2.Version {
		return p, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memoryKiB, &p.passes, &p.lanes); n != 3 || err != nil {
		return p, false
	}
	b64 := base64.RawStdEncoding.Strict()
	var err1, err2 error
	p.salt, err1 = b64.DecodeString(parts[4])
	p.key, err2 = b64.DecodeString(parts[5])
	sound := err1 == nil && err2 == nil && len(p.salt) >= 8 && len(p.salt) <= 64 && len(p.key) >= 16 && len(p.key) <= 64 &&
		p.memoryKiB >= 8 && p.memoryKiB <= 1<<20 && p.passes >= 1 && p.passes <= 16 && p.lanes >= 1 && p.lanes <= 16
	return p, sound && p.String() == s
}

const (
	minPassword = 10  // characters
	maxPassword = 256 // bytes; hashing more would be work for nothing
)

// checkPassword asks for length and for nothing else: rules of composition make passwords that are
// alike (NIST SP 800-63B, 5.1.1.2).
func checkPassword(f *fault.Fields, pointer, password, login, name string) {
	lower := strings.ToLower(password)
	switch {
	case !utf8.ValidString(password):
		f.Add(pointer, "not-utf8", "the password is not valid UTF-8")
	case utf8.RuneCountInString(password) < minPassword:
		f.Add(pointer, "too-short", "a password has at least %d characters", minPassword)
	case len(password) > maxPassword:
		f.Add(pointer, "too-long", "a password has at most %d bytes", maxPassword)
	case lower == login || lower == strings.ToLower(name):
		f.Add(pointer, "guessable", "the password must not be the name it belongs to")
	case strings.Count(lower, lower[:1]) == len(lower):
		f.Add(pointer, "guessable", "one character again and again is the first thing others try")
	}
}
