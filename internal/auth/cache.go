package auth

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

// A read of a key's row is trusted for maxAge of real time, so that another process's revocation
// bites within a second. At renewAge one request reads the row again while the others go on with
// the old entry: a busy key never has its requests queue for the database.
const (
	maxAge   = 500 * time.Millisecond
	renewAge = 250 * time.Millisecond
)

// entry is what was read about one digest. It is immutable but for renewing and noting.
type entry struct {
	digest     digest
	principal  Principal // Key is 0 when the digest opens nothing
	expires    int64     // ms of the database's clock, 0: never
	read       time.Time // on the real clock, taken before the row was read
	generation uint64    // of the book when the row was read
	renewing   atomic.Bool
	seen       int64       // ms of the database's clock when use of the key or session was last noted
	noting     atomic.Bool // one request notes it anew
}

// opens reports whether e opens anything at now, in ms of the database's clock.
func (e *entry) opens(now int64) bool {
	return e.principal.Key != 0 && (e.expires == 0 || e.expires > now)
}

// table is a fixed number of places; a digest has one place, and who comes later takes it. So it
// needs no lock, no upkeep and no bound: 10,000 requests a second with one key load one pointer each.
type table []atomic.Pointer[entry]

// newTable has size places, a power of two.
func newTable(size int) table { return make(table, size) }

func (t table) place(d digest) *atomic.Pointer[entry] {
	// The digest is uniform already.
	return &t[binary.LittleEndian.Uint64(d[:8])&uint64(len(t)-1)]
}

// get is the entry of d, however old, or nil.
func (t table) get(d digest) *entry {
	if e := t.place(d).Load(); e != nil && e.digest == d {
		return e
	}
	return nil
}

func (t table) put(e *entry) { t.place(e.digest).Store(e) }

// usable reports whether e may answer a request at now. It is false for the one request that
// has to renew it.
func (e *entry) usable(now time.Time, generation uint64) bool {
	age := now.Sub(e.read)
	if e.generation != generation || age >= maxAge {
		return false
	}
	return age < renewAge || !e.renewing.CompareAndSwap(false, true)
}
