package db

import (
	"context"
	"sync"
	"time"

	"doorstep/internal/ident"
)

// On PostgreSQL a later key can commit first, so the log may be read only up to where the oldest
// open write transaction began. Three rules make that hold without trusting two clocks to agree:
//
//   - a transaction of this process is known by a key made before its BEGIN: exact;
//   - one of another process is known by its age, which the server alone measures, counted back on
//     our clock; clockMargin is what the clocks of two processes may differ by;
//   - every transaction first moves its keys behind all that is committed (see tryPostgresTx), so one
//     that begins later cannot slip in before what somebody has read, however slow its clock is.

// writePrefix begins the application_name of every process's writing connections.
const writePrefix = "doorstep-write-"

const clockMargin = 100 * time.Millisecond

// openTxs are the open write transactions of this process, each by a key made before it began.
type openTxs struct {
	mu   sync.Mutex
	keys map[int64]bool
}

// begin registers a transaction; the key has to be made under the lock, or the oldest could be
// asked for between the two.
func (o *openTxs) begin(keys *ident.Keys) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keys == nil {
		o.keys = map[int64]bool{}
	}
	key := keys.Next()
	o.keys[key] = true
	return key
}

func (o *openTxs) end(key int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.keys, key)
}

// oldest is the smallest key of an open transaction, or one smaller than any that begins later.
func (o *openTxs) oldest(keys *ident.Keys) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := keys.Next()
	for key := range o.keys {
		first = min(first, key)
	}
	return first
}

func (d *DB) postgresHorizon(ctx context.Context) (int64, error) {
	h, before := d.open.oldest(d.keys), time.Now()
	// pg_stat_activity is of the whole cluster: other databases are none of our business.
	var ages []int64
	err := d.reads.SelectContext(ctx, &ages, `SELECT ceil(1000 * extract(epoch FROM clock_timestamp() - xact_start))::bigint
		FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL
		AND starts_with(application_name, $1) AND application_name <> $2`, writePrefix, d.writeAs)
	if err != nil {
		return 0, Classify(err)
	}
	for _, ms := range ages {
		h = min(h, ident.At(before.Add(-time.Duration(ms)*time.Millisecond-clockMargin)))
	}
	// What was readable once stays so: a follower's cursor may stand there already.
	for {
		seen := d.horizon.Load()
		if h <= seen {
			return seen, nil
		}
		if d.horizon.CompareAndSwap(seen, h) {
			return h, nil
		}
	}
}
