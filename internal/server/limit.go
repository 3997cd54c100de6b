package server

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"doorstep/internal/fault"
)

// A key may ask this often before it is told to wait: far above any honest use, low enough that
// one runaway client does not take the writer from everyone else. A link is one customer's.
const (
	requestsPerSecond     = 20_000
	burst                 = 40_000
	linkRequestsPerSecond = 20
	linkBurst             = 100
)

// maxBuckets bounds the memory of a limiter. Beyond it all begin anew with full buckets.
const maxBuckets = 100_000

// limiter keeps one token bucket per key or link.
type limiter struct {
	perSecond rate.Limit
	burst     int
	buckets   sync.Map
	count     atomic.Int64
}

func (l *limiter) allow(key int64, now time.Time) bool {
	b, ok := l.buckets.Load(key)
	if !ok {
		if l.count.Add(1) > maxBuckets {
			l.buckets.Clear()
			l.count.Store(1)
		}
		b, _ = l.buckets.LoadOrStore(key, rate.NewLimiter(l.perSecond, l.burst))
	}
	return b.(*rate.Limiter).AllowN(now, 1)
}

// maxHeld bounds the request bodies in memory: each may be many megabytes and as slow as its phone.
const maxHeld = 512 << 20

// budget is how many bytes of large bodies are held at once.
type budget struct{ held atomic.Int64 }

// take takes room for n bytes, or says to come back.
func (b *budget) take(n int64) error {
	if b.held.Add(n) > maxHeld {
		b.held.Add(-n)
		return fault.New(fault.Unavailable, "too-busy", "many uploads are under way; try again").After(3 * time.Second)
	}
	return nil
}

func (b *budget) give(n int64) { b.held.Add(-n) }
