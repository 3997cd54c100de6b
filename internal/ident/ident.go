// Package ident makes the keys rows are kept under and the names they have outside.
//
// A key is a time-ordered 63-bit integer made in Go: hot tables stay narrow and their index
// grows at the right-hand edge only. Outside, a key is shown as prefix + base32(key + MAC): it
// sorts by time, cannot be guessed or counted, and needs no second index to be found again.
package ident

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A key is 41 bits of milliseconds since epoch, 12 bits of sequence, 10 bits of node:
// 69 years, and 4,096 keys a millisecond before the sequence borrows from the future.
const (
	nodeBits = 10
	seqBits  = 12
	epochMs  = 1704067200000 // 2024-01-01T00:00:00Z
)

// Keys makes keys that are unique in this process and, by the node number, across processes.
// The zero value is ready and has node 0.
type Keys struct {
	node int64
	last atomic.Int64 // (ms << seqBits | seq) of the last key
}

// NewKeys makes a source for a node; only the low 10 bits of node count.
func NewKeys(node int) *Keys { return &Keys{node: int64(node) & (1<<nodeBits - 1)} }

// Next is a key greater than every key made before by k. It reads the wall clock, not the
// domain's: keys must not repeat when a test or a sandbox turns its clock back.
func (k *Keys) Next() int64 {
	now := (time.Now().UnixMilli() - epochMs) << seqBits
	for {
		last := k.last.Load()
		next := max(now, last+1)
		if k.last.CompareAndSwap(last, next) {
			return next<<nodeBits | k.node
		}
	}
}

// Advance makes every later key greater than seen: a log keyed by time must not step back
// because a clock did, or because another process ran ahead.
func (k *Keys) Advance(seen int64) {
	for {
		last := k.last.Load()
		if seen>>nodeBits <= last || k.last.CompareAndSwap(last, seen>>nodeBits) {
			return
		}
	}
}

// Node is the node that made key.
func Node(key int64) int { return int(key & (1<<nodeBits - 1)) }

// At is the first key that can be made at t.
func At(t time.Time) int64 { return (t.UnixMilli() - epochMs) << (seqBits + nodeBits) }

// Time is when key was made, to the millisecond.
func Time(key int64) time.Time {
	return time.UnixMilli(key>>(seqBits+nodeBits) + epochMs).UTC()
}

// Prefixes of the names outside.
const (
	Order      = "ord"
	Store      = "str"
	Assignment = "asg"
	Prestock   = "pst"
	Dropoff    = "drp"
	Campaign   = "cmp"
	Event      = "evt"
	Merchant   = "mer"
	Key        = "key"
	Incident   = "inc"
	Account    = "usr"
	Session    = "ses"
	Device     = "dev"
	Matter     = "mat"
)

// Names turns keys into names and back. It is safe for concurrent use.
type Names struct {
	block cipher.Block
	mac   []byte
	macs  sync.Pool // of hash.Hash under mac
}

// NewNames makes names under a secret of at least 32 bytes; another secret, other names.
func NewNames(secret []byte) (*Names, error) {
	if len(secret) < 32 {
		return nil, errors.New("ident: the secret is shorter than 32 bytes")
	}
	// Two uses, two keys.
	h := sha256.Sum256(append([]byte("doorstep names\x00"), secret...))
	b, err := aes.NewCipher(h[:16])
	if err != nil {
		return nil, err
	}
	m := sha256.Sum256(append([]byte("doorstep links\x00"), secret...))
	return &Names{block: b, mac: m[:]}, nil
}

// The alphabet is in ASCII order, so names sort as their keys do.
var enc = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

const (
	tagLen  = 7 // 56 bits: one guess in 7e16 finds a row, and still needs the right to see it
	nameLen = (8 + tagLen) * 8 / 5
)

// tag is a MAC of prefix and key: one AES block is a pseudo-random function of its input.
func (n *Names) tag(prefix string, key int64) [aes.BlockSize]byte {
	var in, out [aes.BlockSize]byte
	copy(in[:8], prefix)
	binary.BigEndian.PutUint64(in[8:], uint64(key))
	n.block.Encrypt(out[:], in[:])
	return out
}

// Name is the outside form of key, for instance ord_0g3… (24 characters after the prefix).
func (n *Names) Name(prefix string, key int64) string {
	var raw [8 + tagLen]byte
	binary.BigEndian.PutUint64(raw[:], uint64(key))
	t := n.tag(prefix, key)
	copy(raw[8:], t[:tagLen])
	buf := make([]byte, 0, len(prefix)+1+nameLen)
	buf = append(buf, prefix...)
	buf = append(buf, '_')
	return string(enc.AppendEncode(buf, raw[:]))
}

// Parse is the inverse of Name; ok is false for anything Name did not make.
func (n *Names) Parse(prefix, s string) (key int64, ok bool) {
	rest, found := strings.CutPrefix(s, prefix)
	if !found || len(rest) != nameLen+1 || rest[0] != '_' {
		return 0, false
	}
	var raw [8 + tagLen]byte
	if m, err := enc.Decode(raw[:], []byte(rest[1:])); err != nil || m != len(raw) {
		return 0, false
	}
	key = int64(binary.BigEndian.Uint64(raw[:]))
	t := n.tag(prefix, key)
	return key, subtle.ConstantTimeCompare(t[:tagLen], raw[8:]) == 1
}

// Claimed is the key that a name claims to be of, for whoever does not have the secret: that Name made it
// is not checked.
func Claimed(prefix, s string) (key int64, ok bool) {
	rest, found := strings.CutPrefix(s, prefix+"_")
	raw, err := enc.DecodeString(rest)
	if !found || err != nil || len(rest) != nameLen || len(raw) != 8+tagLen {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(raw)), true
}

// Link is a token for key that cannot be guessed (a 128-bit MAC) and that dies when version
// is counted up: nothing has to be looked up to refuse a forged one.
func (n *Names) Link(purpose string, key int64, version uint8) string {
	var raw [25]byte
	binary.BigEndian.PutUint64(raw[:], uint64(key))
	raw[8] = version
	copy(raw[9:], n.sign(purpose, raw[:9]))
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// ParseLink is the inverse of Link.
func (n *Names) ParseLink(purpose, token string) (key int64, version uint8, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 25 || !hmac.Equal(raw[9:], n.sign(purpose, raw[:9])) {
		return 0, 0, false
	}
	return int64(binary.BigEndian.Uint64(raw)), raw[8], true
}

// Sign is a 128-bit MAC of text for a purpose, in URL-safe base64: signed, expiring URLs.
func (n *Names) Sign(purpose, text string) string {
	return base64.RawURLEncoding.EncodeToString(n.sign(purpose, []byte(text)))
}

// Signed reports whether signature is Sign(purpose, text).
func (n *Names) Signed(purpose, text, signature string) bool {
	// As texts: several would decode to the same bytes.
	return hmac.Equal([]byte(signature), []byte(n.Sign(purpose, text)))
}

// Digits is a short code of n decimal digits for key and purpose, for people to read out: a PIN,
// a collection code. It is derived and so never stored; whoever checks one counts wrong tries.
func (n *Names) Digits(purpose string, key int64, digits int) string {
	var k [8]byte
	binary.BigEndian.PutUint64(k[:], uint64(key))
	x := binary.BigEndian.Uint64(n.sign(purpose, k[:]))
	out := make([]byte, digits)
	for i := range out {
		out[i] = byte('0' + x%10)
		x /= 10
	}
	return string(out)
}

// Digest is a MAC of text for a purpose as a key to look up by: text that must not be kept, and is not to be
// found by trying all there are, unless one also has the secret. Not negative.
func (n *Names) Digest(purpose, text string) int64 {
	return int64(binary.BigEndian.Uint64(n.sign(purpose, []byte(text))) >> 1)
}

func (n *Names) sign(purpose string, data []byte) []byte {
	h, ok := n.macs.Get().(hash.Hash)
	if !ok {
		h = hmac.New(sha256.New, n.mac)
	}
	defer n.macs.Put(h)
	h.Reset() // keeps what the key makes of the first block: half the work
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write(data)
	return h.Sum(nil)[:16]
}
