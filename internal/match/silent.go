package match

import (
	"context"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/order"
)

// Silence is a store that does not do what a store in business does.
type Silence struct {
	Store int64
	Kind  string // OffersExpired, NotSeen
	Times int64  // offers it let run out
	Since time.Time
}

// The kinds of a Silence.
const (
	OffersExpired = "offers_expired" // let offers run out one after the other
	NotSeen       = "not_seen"       // has orders to see to now, and none of its phones has been here for long
)

const (
	missedAtLeast = 2
	missedFor     = 2 * time.Hour    // afterwards an expired offer says nothing any more
	unseenFor     = 30 * time.Minute // a phone that is looked at asks more often
	workFor       = 4 * time.Hour    // slots as old as this may still hold work
)

// heard counts an offer that its store let run out; one that declines has been heard from.
func heard(tx *db.Tx, store int64, lost order.AssignmentStatus) error {
	switch lost {
	case order.Declined:
		_, err := tx.Exec(`DELETE FROM missed_offer WHERE store_key = ?`, store)
		return err
	case order.Expired:
	default:
		return nil
	}
	now := tx.Now().UnixMilli()
	old := now - missedFor.Milliseconds()
	_, err := tx.Exec(`INSERT INTO missed_offer (store_key, times, since, last_at) VALUES (?, 1, ?, ?) ON CONFLICT (store_key) DO UPDATE SET
		times = CASE WHEN missed_offer.last_at < ? THEN 1 ELSE missed_offer.times + 1 END,
		since = CASE WHEN missed_offer.last_at < ? THEN excluded.since ELSE missed_offer.since END, last_at = excluded.last_at`,
		store, now, now, old, old)
	return err
}

// Silent are stores that seem to have fallen silent, at most limit of each kind: first those that let offers run
// out, the longest silent first, then those whose phones are away, the latest gone first, since an old phone may
// lie in a drawer. all is false when there may be more. The table of sessions belongs to package auth; only when a
// store's phones were last here is asked of it.
func (b *Book) Silent(ctx context.Context, limit int) (out []Silence, all bool, err error) {
	now := b.db.Now()
	ms := func(d time.Duration) int64 { return now.Add(-d).UnixMilli() }
	var rows []struct {
		Store int64 `db:"store_key"`
		Times int64
		Since int64
		Last  int64 `db:"last_at"`
	}
	// A store that has declined has no row, one that has accepted since is not silent. CROSS holds SQLite to the
	// few rows: it would begin with all stores.
	if err := b.db.Read(ctx).Select(&rows, `SELECT m.store_key, m.times, m.since, m.last_at FROM missed_offer m CROSS JOIN store s
		WHERE s.key = m.store_key AND m.times >= ? AND m.last_at > ? AND s.removed_at IS NULL AND s.status = 'active'
		AND NOT EXISTS (SELECT 1 FROM session p WHERE p.store_key = m.store_key AND p.store_key <> 0 AND p.revoked_at IS NULL AND p.seen_at > m.last_at)
		ORDER BY m.since LIMIT ?`, missedAtLeast, ms(missedFor), limit+1); err != nil {
		return nil, false, err
	}
	all = len(rows) <= limit
	known := map[int64]bool{}
	for _, r := range rows[:min(len(rows), limit)] {
		answered, err := order.AcceptedSince(b.db.Read(ctx), r.Store, time.UnixMilli(r.Last))
		if err != nil {
			return nil, false, err
		}
		if !answered {
			known[r.Store] = true
			out = append(out, Silence{r.Store, OffersExpired, r.Times, time.UnixMilli(r.Since).UTC()})
		}
	}
	var unseen []struct {
		Store int64 `db:"store_key"`
		Seen  int64
	}
	if err := b.db.Read(ctx).Select(&unseen, `SELECT w.store_key, max(p.seen_at) AS seen FROM
			(SELECT DISTINCT store_key FROM slot_use WHERE slot > ? AND slot <= ? AND used > 0) w
			JOIN session p ON p.store_key = w.store_key AND p.store_key <> 0 AND p.revoked_at IS NULL
		GROUP BY w.store_key HAVING max(p.seen_at) < ? ORDER BY max(p.seen_at) DESC LIMIT ?`,
		ms(workFor), now.UnixMilli(), ms(unseenFor), 4*limit); err != nil {
		return nil, false, err
	}
	all = all && len(unseen) < 4*limit
	n := 0
	for _, u := range unseen {
		if known[u.Store] {
			continue
		}
		if n == limit {
			return out, false, nil
		}
		// The slots still count what has been done: only work that waits for the store is its silence.
		waits, err := order.WaitsAt(b.db.Read(ctx), u.Store)
		if err != nil {
			return nil, false, err
		}
		if waits {
			n++
			out = append(out, Silence{Store: u.Store, Kind: NotSeen, Since: time.UnixMilli(u.Seen).UTC()})
		}
	}
	return out, all, nil
}
