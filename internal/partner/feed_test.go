package partner_test

import (
	"context"
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
		for i := range 5 {
			if err := d.InTx(context.Background(), func(tx *db.Tx) error {
				_, err := partner.ClaimSlot(tx, 1, now.Add(time.Duration(i-3)*time.Hour), 10)
				return err
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
		if len(left) != 2 || left[0].Before(now) {
			t.Errorf("left: %v", left)
		}
	})
}
