package prestock

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"doorstep/internal/fault"
)

// PlanResult is a plan as the difference to the one before.
type PlanResult struct {
	Campaign int64
	Status   string
	Tasks    int // of the plan, those that were prompted already included
	Asked    int // units of those tasks
	Unplaced int // units wanted that no shelf has room for, or that make no full case pack
	Diff
	BySKU  []SKUPlan // by SKU
	Sample []Change  // the first of the changes, neighbours together
}

// SKUPlan is the part of one SKU.
type SKUPlan struct {
	SKU      string
	Expected float64 // units that customers are expected to want; 0 where nothing is known
	Tasks    int
	Asked    int
	Unplaced int
	Diff
}

// Plan makes or refreshes the tasks of a campaign. With expected_units the total is fixed and split
// over the stores; without, it is decided neighbourhood by neighbourhood, from what its customers are
// expected to want in those days times the uplift, and what a unit short and a unit over cost (see
// forecast.Allotter). What stores that were prompted already have or may still promise counts, as
// does what other campaigns ask of them for the same days. Only tasks still planned are changed; the
// same plan again changes nothing. A plan that stops in the middle leaves what it has written, and
// the next goes on; nobody is prompted before the campaign is approved, which needs a whole plan.
//
// Errors: 422 naming the SKUs for which neither expected_units nor past demand is known; 409 when
// the campaign is over or cancelled, or is being planned at this moment.
func (b *Book) Plan(ctx context.Context, campaign int64) (PlanResult, error) {
	return b.PlanWatched(ctx, campaign, nil)
}

// PlanWatched is Plan that tells how far it is now and then; watch may be nil.
func (b *Book) PlanWatched(ctx context.Context, campaign int64, watch func(PlanRun)) (PlanResult, error) {
	return b.runPlan(ctx, campaign, false, watch)
}

func (b *Book) runPlan(ctx context.Context, campaign int64, background bool, watch func(PlanRun)) (r PlanResult, err error) {
	c, err := loadCampaign(b.db.Read(ctx), campaign)
	if err == nil {
		err = c.plannable(b.db.Now())
	}
	if err != nil {
		return PlanResult{}, err
	}
	run, err := b.beginRun(ctx, campaign, background, watch)
	if err != nil {
		return PlanResult{}, err
	}
	defer func() { err = run.end(ctx, err) }()
	return b.plan(run.ctx, c, run)
}

// maxFields bounds the stores times SKUs that are planned together, to some 700 MB; more SKUs follow in
// further parts, in the order of the campaign, with the room that is left.
const maxFields = 24_000_000

func (b *Book) plan(ctx context.Context, c Campaign, run *planRun) (PlanResult, error) {
	if err := b.refuseUnknown(ctx, &c); err != nil {
		return PlanResult{}, err
	}
	var stores int
	if err := b.db.Read(ctx).Get(&stores, `SELECT count(*) FROM store WHERE removed_at IS NULL`); err != nil {
		return PlanResult{}, err
	}
	all := PlanResult{Campaign: c.Key}
	size := max(1, maxFields/max(1, stores))
	run.parts = (len(c.SKUs) + size - 1) / size
	for from := 0; from < len(c.SKUs); from += size {
		part := c
		part.SKUs = c.SKUs[from:min(len(c.SKUs), from+size)]
		r, err := b.planPart(ctx, part, from, run)
		if err != nil {
			return PlanResult{}, err
		}
		all.join(r)
		run.part++
	}
	return all, run.finish(ctx, &all)
}

// planPart plans some SKUs of a campaign; from is the place of the first in the campaign.
func (b *Book) planPart(ctx context.Context, c Campaign, from int, run *planRun) (PlanResult, error) {
	run.step(ctx, stepReading, 0, 0)
	sh, err := b.newSheet(ctx, c)
	if err != nil {
		return PlanResult{}, err
	}
	sh.from = from
	run.step(ctx, stepLearning, 0, len(sh.sites))
	if err := b.learn(ctx, sh); err != nil {
		return PlanResult{}, err
	}
	run.step(ctx, stepDeciding, 0, len(sh.sites))
	if err := sh.decide(); err != nil {
		return PlanResult{}, err
	}
	p, err := b.write(ctx, sh, run)
	if err != nil {
		return PlanResult{}, err
	}
	return p.result(), nil
}

// join adds the result of further SKUs.
func (r *PlanResult) join(p PlanResult) {
	r.Tasks += p.Tasks
	r.Asked += p.Asked
	r.Unplaced += p.Unplaced
	r.Diff.add(p.Diff)
	r.BySKU = append(r.BySKU, p.BySKU...)
	slices.SortFunc(r.BySKU, func(a, b SKUPlan) int { return cmp.Compare(a.SKU, b.SKU) })
	r.Sample = append(r.Sample, p.Sample[:min(len(p.Sample), maxSample-len(r.Sample))]...)
}

// refuseUnknown refuses SKUs that nobody has sold lately and nobody expects to, before anything is written.
func (b *Book) refuseUnknown(ctx context.Context, c *Campaign) error {
	if c.Kind != Peak {
		return nil
	}
	var f fault.Fields
	today := b.db.Now().UnixMilli() / dayMs
	first := today - pastDays - 1 // in the west the last whole day is the one before
	for i, s := range c.SKUs {
		if s.ExpectedUnits != nil {
			continue
		}
		known, err := b.exists(ctx, `demand WHERE sku = ? AND day >= ? AND day < ? AND units > 0`, s.SKU, first, today)
		if err != nil {
			return err
		}
		if !known {
			nothingKnown(&f, i, s.SKU)
		}
	}
	return f.Err()
}

func nothingKnown(f *fault.Fields, i int, sku string) {
	f.Add(fmt.Sprintf("/skus/%d/expected_units", i), "required",
		"nothing is known of past demand for %q in these cells: give expected_units, or import demand", sku)
}

func (c *Campaign) plannable(now time.Time) error {
	if c.Status == Cancelled || c.Status == Finished {
		return fault.Refused("wrong-state", nil, "the campaign is %s", c.Status)
	}
	if !now.Before(c.EndsAt) {
		return fault.Refused("too-late", nil, "the campaign ended at %s", c.EndsAt.Format(time.RFC3339))
	}
	return nil
}
