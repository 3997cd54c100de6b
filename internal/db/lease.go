package db

import (
	"context"
	"errors"
	"time"

	"doorstep/internal/fault"
)

// ErrLeased says that another holder has the lease.
var ErrLeased = errors.New("db: leased to another holder")

// Lease is the right to do a named thing alone until it runs out. The fence grows with every new
// holder, so work of a holder that lost it without noticing can be refused.
type Lease struct {
	Name, Holder string
	Fence        int64
	Until        time.Time
}

// Acquire takes or renews a lease for ttl; ErrLeased when another holds it.
func (d *DB) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error) {
	l := Lease{Name: name, Holder: holder}
	err := d.InTx(ctx, func(tx *Tx) error {
		now := tx.Now()
		l.Until = now.Add(ttl)
		n, err := tx.Exec(`INSERT INTO lease (name, holder, fence, until_ms) VALUES (?, ?, 1, ?)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms,
				fence = lease.fence + CASE WHEN lease.holder = excluded.holder AND lease.until_ms > ? THEN 0 ELSE 1 END
			WHERE lease.holder = excluded.holder OR lease.until_ms <= ?`,
			name, holder, l.Until.UnixMilli(), now.UnixMilli(), now.UnixMilli())
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrLeased
		}
		return tx.Get(&l.Fence, `SELECT fence FROM lease WHERE name = ?`, name)
	})
	return l, err
}

// Hold fails unless the lease is still the newest: call it in the transaction whose effect the
// lease protects.
func (l Lease) Hold(tx *Tx) error {
	var fence int64
	if err := tx.Get(&fence, `SELECT fence FROM lease WHERE name = ?`, l.Name); err != nil {
		return err
	}
	if fence != l.Fence {
		return fault.Refused("lease-lost", nil, "%s was taken over by another process", l.Name)
	}
	return nil
}

// Release gives the lease back early.
func (d *DB) Release(ctx context.Context, l Lease) error {
	return d.InTx(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`UPDATE lease SET until_ms = 0 WHERE name = ? AND holder = ? AND fence = ?`, l.Name, l.Holder, l.Fence)
		return err
	})
}
