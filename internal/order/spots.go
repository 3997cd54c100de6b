package order

import (
	"context"
	"slices"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
)

// Spot is an open order as a point on a map.
type Spot struct {
	Key        int64
	ExternalID string
	Status     Status
	At         geo.Point
	Due        *time.Time // of its next step
}

// Overdue reports whether its next step is late at now.
func (s *Spot) Overdue(now time.Time) bool { return s.Due != nil && !s.Due.After(now) }

// spotsAtOnce is how many orders one statement asks for. Always as many: an engine keeps the texts of
// its statements.
const spotsAtOnce = 200

// Spots are those of the orders keys that are not over, in no order.
func (b *Book) Spots(ctx context.Context, keys []int64) (out []Spot, err error) {
	for some := range slices.Chunk(keys, spotsAtOnce) {
		asked := slices.Grow(slices.Clone(some), spotsAtOnce-len(some))
		for len(asked) < spotsAtOnce {
			asked = append(asked, some[0])
		}
		query, args, err := db.In(`SELECT key, external_id, status, lat, lng, step_due FROM orders WHERE key IN (?) AND ended_at IS NULL`, asked)
		if err != nil {
			return nil, err
		}
		var rows []struct {
			Key        int64
			ExternalID *string `db:"external_id"`
			Status     Status
			Lat, Lng   float64
			Due        *int64 `db:"step_due"`
		}
		if err := b.db.Read(ctx).Select(&rows, query, args...); err != nil {
			return nil, err
		}
		for _, r := range rows {
			s := Spot{Key: r.Key, Status: r.Status, At: geo.Point{Lat: r.Lat, Lng: r.Lng}, Due: timeOf(r.Due)}
			if r.ExternalID != nil {
				s.ExternalID = *r.ExternalID
			}
			out = append(out, s)
		}
	}
	return out, nil
}
