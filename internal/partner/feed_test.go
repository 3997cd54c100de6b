package partner_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/partner"
)

func TestOldSlotsAreForgotten(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		b := partner.NewBook(d, partner.StandardDefaults())
		now := time.Now().Truncate(time.Hour)
		s, _, err := b.Create(context.Background(), partner.Input{Name: p("s"), Lat: p(1.), Lng: p(2.)})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if err := d.InTx(context.Background(), func(tx *db.Tx) error {
				slot := now.Add(time.Duration(i-3) * time.Hour)
				if _, ok, err := partner.ClaimSlot(tx, s.Key, slot, 0); err != nil || !ok {
					return fmt.Errorf("claim: %v %v", ok, err)
				}
				if i > 0 {
					return nil
				}
				// Of the oldest an order is still open, and may give its unit back.
				return openOrder(tx, s.Key, slot)
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.PurgeSlotUse(context.Background(), now); err != nil {
			t.Fatal(err)
		}
		var left []time.Time
		if err := b.EachSlotUse(context.Background(), now.Add(-100*time.Hour), func(_ int64, slot time.Time, _ int) error {
			left = append(left, slot)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(left) != 3 || !left[0].Equal(now.Add(-3*time.Hour)) || left[1].Before(now) {
			t.Errorf("left: %v", left)
		}
	})
}
