package order

import (
	"context"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
)

// erasedRes is how coarsely an erased order still says where it went: 5 square kilometres.
const erasedRes = geo.DemandRes

// Erase takes the recipient out of an order that has ended: name, phone, address, instructions, tags, the
// texts of remarks, the link, and the place but for its neighbourhood, so also how far exactly it was from
// the stores. What was delivered, when, and by which store stays. It cannot be undone; erasing again
// changes nothing. o is saved.
//
// Errors: fault.Conflict while the order is open (not-over) or disputed (frozen).
func Erase(tx *db.Tx, o *Order) error {
	switch {
	case o.ErasedAt != nil:
		return nil
	case !o.Status.Terminal():
		return fault.Refused("not-over", o.Status.Allowed(), "the order is %s: somebody still needs to know where it goes", o.Status)
	case o.Dispute == "open":
		return fault.Refused("frozen", nil, "the delivery is disputed: decide that first")
	}
	area, err := geo.Parent(o.Cell, erasedRes)
	if err != nil {
		return err
	}
	if err := tx.Overwrite(); err != nil {
		return err
	}
	if err := forgetPhone(tx, o); err != nil {
		return err
	}
	o.Dropoff = geo.Center(area)
	if o.Cell, err = geo.CellOf(o.Dropoff, geo.MatchRes); err != nil {
		return err
	}
	o.Recipient = Recipient{}
	o.Details.Address, o.Details.Instructions, o.Details.Tags = Address{}, "", nil
	o.RequestHash = "" // whoever knows all but the phone number could find it by trying
	now := tx.Now()
	o.ErasedAt = &now
	if err := tx.EraseEvidence(remarks, `order_key = ?`, o.Key); err != nil {
		return err
	}
	// From three stores' distances to the metre anybody finds the door.
	o.DistanceM = (o.DistanceM + 500) / 1000 * 1000
	if _, err := tx.Exec(`UPDATE assignment SET score = (score + 500) / 1000 * 1000 WHERE order_key = ?`, o.Key); err != nil {
		return err
	}
	if err := tx.Reseal(assignments, `order_key = ?`, o.Key); err != nil {
		return err
	}
	if err := Note(tx, o, "order.erased", time.Time{}, Happened{}); err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE orders SET request_hash = '', recipient = ?, lat = ?, lng = ?, cell = ? WHERE key = ? AND version = ?`,
		o.Recipient.json(), o.Dropoff.Lat, o.Dropoff.Lng, int64(o.Cell), o.Key, o.Version)
	if err != nil {
		return err
	}
	if n == 0 {
		return db.ErrAgain
	}
	return Save(tx, o)
}

// ByPhone are the ended orders of the recipient with a phone number that are not erased yet, oldest
// first, and how many of hers are still open. It reads every order: nothing is indexed by a person.
func (b *Book) ByPhone(ctx context.Context, phone string) (ended []int64, open int, err error) {
	type row struct {
		Key       int64
		Recipient string
		EndedAt   *int64 `db:"ended_at"`
	}
	err = db.Each(ctx, b.db, func(r row) error {
		var p Recipient
		if err := p.parse(r.Recipient); err != nil || p.Phone != phone {
			return err
		}
		if r.EndedAt == nil {
			open++
		} else {
			ended = append(ended, r.Key)
		}
		return nil
	}, `SELECT key, recipient, ended_at FROM orders WHERE erased_at IS NULL ORDER BY key`)
	return ended, open, err
}

// Outlived are orders whose recipient's data has been kept long enough at now, at most limit of them:
// as long after their end as their policy says, or else as rule says (0: for ever).
func (b *Book) Outlived(ctx context.Context, now time.Time, rule time.Duration, limit int) ([]int64, error) {
	var policies []int64
	if err := b.db.Read(ctx).Select(&policies, `SELECT key FROM merchant_policy ORDER BY key`); err != nil {
		return nil, err
	}
	var keys []int64
	for _, p := range append([]int64{0}, policies...) {
		policy, err := loadPolicy(b.db.Read(ctx), p)
		if err != nil {
			return nil, err
		}
		keep := time.Duration(policy.RetentionDays) * 24 * time.Hour
		if keep == 0 {
			keep = rule
		}
		if keep == 0 {
			continue
		}
		var some []int64
		if err := b.db.Read(ctx).Select(&some, `SELECT key FROM orders WHERE policy_key = ? AND archived_at IS NOT NULL AND erased_at IS NULL
			AND ended_at < ? AND dispute <> 'open' ORDER BY ended_at LIMIT ?`, p, now.Add(-keep).UnixMilli(), limit-len(keys)); err != nil {
			return nil, err
		}
		if keys = append(keys, some...); len(keys) >= limit {
			break
		}
	}
	return keys, nil
}
