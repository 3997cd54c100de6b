package prestock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/job"
)

// Replenishing is how shelves are filled up between the peaks. Each night one plan is made for all
// stores, the same way as a campaign's and approved by itself: what customers are expected to want
// from now until CoverDays after the goods have come, less what is on the shelf and not reserved, and
// less what stores were asked by campaigns and the nights before.
type Replenishing struct {
	Enabled   bool `json:"enabled"`
	LeadHours int  `json:"lead_hours"` // until the goods of a night are to be there
	CoverDays int  `json:"cover_days"` // that they have to last then
}

// DefaultReplenishing is off; the goods come within a day and last for three.
var DefaultReplenishing = Replenishing{LeadHours: 24, CoverDays: 3}

const (
	replenishing = "replenishment" // the setting's name
	maxLeadHours = 14 * 24
	maxCoverDays = 60
	keepNights   = 30 * 24 * time.Hour // the tasks of nights that are over
	// ReplenishJob is the name of the nightly job.
	ReplenishJob = "replenish"
)

func (r Replenishing) check() error {
	var f fault.Fields
	if r.LeadHours < 1 || r.LeadHours > maxLeadHours {
		f.Add("/lead_hours", "out-of-range", "1 to %d", maxLeadHours)
	}
	if r.CoverDays < 1 || r.CoverDays > maxCoverDays {
		f.Add("/cover_days", "out-of-range", "1 to %d", maxCoverDays)
	}
	return f.Err()
}

// Replenishing is the setting.
func (b *Book) Replenishing(ctx context.Context) (Replenishing, error) {
	return loadReplenishing(b.db.Read(ctx))
}

func loadReplenishing(q db.Queryer) (Replenishing, error) {
	r := DefaultReplenishing
	var text string
	err := q.Get(&text, `SELECT value FROM setting WHERE name = ?`, replenishing)
	if errors.Is(err, db.ErrNoRows) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &r)
	}
	return r, err
}

// SetReplenishing changes the setting; it counts from the next night. Setting what holds already changes nothing.
func (b *Book) SetReplenishing(ctx context.Context, r Replenishing) error {
	if err := r.check(); err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		if was, err := loadReplenishing(tx); err != nil || was == r {
			return err
		}
		if err := event.NoteMatter(tx, replenishing, "setting.changed", map[string]any{"setting": replenishing, "enabled": r.Enabled,
			"lead_hours": r.LeadHours, "cover_days": r.CoverDays}); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, replenishing, string(text))
		return err
	})
}

// replenishJob runs after midnight UTC, when the day before is counted.
func replenishJob(b *Book) job.Job {
	return job.Job{Name: ReplenishJob, Schedule: job.Cron("30 1 * * *"), CatchUp: 1, Lease: 5 * time.Minute,
		Idle: b.idle(func(ctx context.Context) (bool, error) {
			r, err := b.Replenishing(ctx)
			return r.Enabled, err
		}), Run: b.run([]sweep{{"units asked", b.Replenish}, {"old tasks forgotten", b.ForgetReplenished}})}
}

// Replenish makes the replenishment of this night, unless it is switched off or was made, and returns
// how many units it asks for. One that was interrupted is completed.
func (b *Book) Replenish(ctx context.Context) (units int, err error) {
	c, err := b.tonight(ctx)
	if err != nil || c == nil || c.Status == Approved || c.Status == Cancelled || c.Status == Finished {
		return 0, err
	}
	if err := b.dropNights(ctx, *c.Night); err != nil {
		return 0, err
	}
	r, err := b.Plan(ctx, c.Key)
	return r.Asked, err
}

// dropNights cancels what is left of nights before one whose plan never came to its end: nobody hears
// of their tasks, which keep room on the shelves.
func (b *Book) dropNights(ctx context.Context, night int64) error {
	var left []int64
	if err := b.db.Read(ctx).Select(&left, `SELECT key FROM campaign WHERE kind = 'replenishment' AND status IN ('draft', 'planned') AND night < ?
		ORDER BY key`, night); err != nil {
		return err
	}
	for _, key := range left {
		if _, err := b.Cancel(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// ForgetReplenished deletes the tasks of nights that are long over, a country's of one night being
// millions, and returns how many. The campaigns and their sums stay.
func (b *Book) ForgetReplenished(ctx context.Context) (done int, err error) {
	var old []int64
	if err := b.db.Read(ctx).Select(&old, `SELECT key FROM campaign WHERE kind = 'replenishment' AND status IN ('finished', 'cancelled') AND ends_at < ?
		AND EXISTS (SELECT 1 FROM prestock_task t WHERE t.campaign_key = campaign.key) ORDER BY key`, b.db.Now().Add(-keepNights).UnixMilli()); err != nil {
		return 0, err
	}
	for _, campaign := range old {
		for n := int64(1); n > 0; done += int(n) {
			if err := b.db.InTx(ctx, func(tx *db.Tx) error {
				const these = `(SELECT key FROM prestock_task WHERE campaign_key = ? ORDER BY key LIMIT ?)`
				if _, err := tx.Exec(`DELETE FROM prestock_prompt WHERE task_key IN `+these, campaign, chunk); err != nil {
					return err
				}
				n, err = tx.Exec(`DELETE FROM prestock_task WHERE key IN `+these, campaign, chunk)
				return err
			}); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// tonight is the replenishment of this night; nil when it is switched off, or nothing was ever sold.
func (b *Book) tonight(ctx context.Context) (c *Campaign, err error) {
	skus, err := b.soldSKUs(ctx)
	if err != nil {
		return nil, err
	}
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		c = nil
		set, err := loadReplenishing(tx)
		if err != nil || !set.Enabled {
			return err
		}
		night := tx.Now().UnixMilli() / dayMs
		var keys []int64
		if err := tx.Select(&keys, `SELECT key FROM campaign WHERE night = ?`, night); err != nil {
			return err
		}
		if len(keys) > 0 {
			old, err := loadCampaign(tx, keys[0])
			c = &old
			return err
		}
		if len(skus) == 0 {
			return nil
		}
		fresh := set.campaign(tx.Now(), night, skus)
		if err := asBefore(tx, fresh.SKUs); err != nil {
			return err
		}
		fresh.Key = tx.NewKey()
		if err := event.Append(tx, &fresh.Chain, event.New{Type: "campaign.created", Subject: fresh.Key, Data: map[string]any{"name": fresh.Name}}); err != nil {
			return err
		}
		c = &fresh
		return insertCampaign(tx, c)
	})
	return c, err
}

// campaign is one night's.
func (r Replenishing) campaign(now time.Time, night int64, skus []string) Campaign {
	lead := time.Duration(r.LeadHours) * time.Hour
	c := Campaign{Kind: Replenishment, Night: &night, Status: Draft, Version: 1, CreatedAt: now, UpdatedAt: now,
		Name:     fmt.Sprintf("Replenishment %s", time.UnixMilli(night*dayMs).UTC().Format(time.DateOnly)),
		StartsAt: now.Add(lead), EndsAt: now.Add(lead).AddDate(0, 0, r.CoverDays), Leads: []int{int(lead.Seconds())}}
	for _, s := range skus {
		c.SKUs = append(c.SKUs, SKU{SKU: s, CasePack: 1})
	}
	return c
}

// asBefore gives SKUs the case pack and costs that the last campaign for them said.
func asBefore(q db.Queryer, skus []SKU) error {
	var rows []skuRow
	if err := q.Select(&rows, `SELECT s.campaign_key, s.sku, s.expected_units, s.uplift, s.margin_amount, s.holding_cost_amount, s.currency, s.case_pack
		FROM campaign_sku s JOIN campaign c ON c.key = s.campaign_key WHERE c.kind = 'peak' AND c.status <> 'cancelled' ORDER BY s.campaign_key`); err != nil {
		return err
	}
	last := map[string]SKU{}
	for _, r := range rows {
		last[r.SKU] = r.sku()
	}
	for i := range skus {
		if s, known := last[skus[i].SKU]; known {
			skus[i].CasePack, skus[i].UnitMargin, skus[i].UnitHoldingCost = s.CasePack, s.UnitMargin, s.UnitHoldingCost
		}
	}
	return nil
}

// soldSKUs are the SKUs of which anything is known. The table begins with the SKU, so each is one step.
func (b *Book) soldSKUs(ctx context.Context) (list []string, err error) {
	q := b.db.Read(ctx)
	for last := ""; ; {
		var next *string
		if err := q.Get(&next, `SELECT min(sku) FROM demand WHERE sku > ?`, last); err != nil || next == nil {
			return list, err
		}
		last = *next
		list = append(list, last)
	}
}
