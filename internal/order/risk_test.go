package order_test

import (
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/order"
)

// The condition that finds orders at risk and the rule that says when they will be there are the same, to
// the millisecond.
func TestRisksAreFoundAsTheyAreJudged(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	dbtest.Each(t, db.Options{Clock: func() time.Time { return now }}, func(t *testing.T, d *db.DB) {
		at := map[int64]bool{}
		if err := d.InTx(t.Context(), func(tx *db.Tx) error {
			for _, s := range []order.Status{order.Created, order.Unassignable, order.Confirmed, order.ReadyForPickup, order.PickedUp, order.EnrouteDropoff,
				order.ArrivedDropoff, order.AttemptFailed, order.ReceivedAtStore, order.Delivered} {
				for _, since := range []time.Duration{-time.Second, -time.Hour} {
					for _, metres := range []int{0, 1500} {
						expected, watched := order.ExpectedAt(s, now.Add(since), metres, now)
						for _, slack := range []time.Duration{-time.Millisecond, 0, time.Hour} {
							o := order.Order{Key: tx.NewKey(), Merchant: 1, Status: s, Mode: order.LeaveAtDoor, DistanceM: metres, StepSince: now.Add(since),
								Promise: &order.Span{From: now.Add(-2 * time.Hour), To: expected.Add(slack)}, CreatedAt: now, UpdatedAt: now}
							if s.Terminal() {
								o.EndedAt = &now
							}
							if err := order.Insert(tx, &o); err != nil {
								return err
							}
							at[o.Key] = watched && slack < 0
						}
					}
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		found, all, err := order.NewBook(d).AtRisk(t.Context(), 1000)
		if err != nil || !all {
			t.Fatal(all, err)
		}
		told := map[int64]bool{}
		for i, r := range found {
			told[r.Order] = true
			if r.Late() <= 0 || i > 0 && r.Late() > found[i-1].Late() {
				t.Errorf("%d is late by %s after one late by %s", r.Order, r.Late(), found[max(i-1, 0)].Late())
			}
		}
		for key, want := range at {
			if told[key] != want {
				t.Errorf("order %d: told %v, at risk %v", key, told[key], want)
			}
		}
		if some, all, err := order.NewBook(d).AtRisk(t.Context(), 3); err != nil || all || len(some) != 3 {
			t.Errorf("of many, %d, all %v: %v", len(some), all, err)
		}
	})
}
