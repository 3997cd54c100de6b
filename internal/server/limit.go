package server

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A key may ask this often before it is told to wait: far above any honest use, low enough that
// one runaway client does not take the writer from everyone else.
const (
	requestsPerSecond = 20_000
	burst             = 40_000
)

// limiter keeps one token bucket per key.
type limiter struct{ buckets sync.Map }

func (l *limiter) allow(key int64, now time.Time) bool {
	b, ok := l.buckets.Load(key)
	if !ok {
		b, _ = l.buckets.LoadOrStore(key, rate.NewLimiter(requestsPerSecond, burst))
	}
	return b.(*rate.Limiter).AllowN(now, 1)
}
