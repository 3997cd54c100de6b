package prestock

import (
	"context"
	"fmt"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
)

// Two campaigns for one SKU in the same days would have a store stock the same goods twice. As plans
// they may lie side by side, to be compared; only one of them can be approved where they meet. A
// replenishment is no campaign in this sense: it takes off what campaigns ask, and fills up the rest.

// overlapping are the other approved campaigns of a kind whose days overlap c's.
func overlapping(q db.Queryer, c *Campaign, kinds ...string) ([]Campaign, error) {
	in, args := among("kind", kinds)
	var rows []campaignRow
	if err := q.Select(&rows, `SELECT `+campaignColumns+` FROM campaign WHERE status = 'approved' AND starts_at < ? AND ends_at > ? AND key <> ? AND `+in+`
		ORDER BY key`, append([]any{c.EndsAt.UnixMilli(), c.demandFrom().UnixMilli(), c.Key}, args...)...); err != nil {
		return nil, err
	}
	return campaigns(q, rows, "")
}

// besides are the campaigns whose tasks count for c as well.
func (b *Book) besides(ctx context.Context, c *Campaign) (keys []int64, err error) {
	others, err := overlapping(b.db.Read(ctx), c, Peak, Replenishment)
	if err != nil {
		return nil, err
	}
	for i := range others {
		if meet(others[i].Cells, c.Cells) {
			keys = append(keys, others[i].Key)
		}
	}
	return keys, nil
}

// overlaps refuses to approve c beside an approved campaign that asks the same stores for the same goods
// in the same days.
func overlaps(q db.Queryer, c *Campaign) error {
	if c.Kind != Peak {
		return nil
	}
	others, err := overlapping(q, c, Peak)
	if err != nil {
		return err
	}
	var f fault.Fields
	name := ""
	for i := range others {
		o := &others[i]
		if !meet(o.Cells, c.Cells) {
			continue
		}
		theirs := map[string]bool{}
		for _, s := range o.SKUs {
			theirs[s.SKU] = true
		}
		for k, s := range c.SKUs {
			if theirs[s.SKU] {
				name = o.Name
				f.Add(fmt.Sprintf("/skus/%d/sku", k), "overlaps", "the campaign %q asks these stores for %q from %s to %s", o.Name, s.SKU,
					o.StartsAt.Format(time.RFC3339), o.EndsAt.Format(time.RFC3339))
			}
		}
	}
	if len(f) == 0 {
		return nil
	}
	e := fault.Refused("campaigns-overlap", []string{"cancel"}, "%d of its SKUs are asked by the approved campaign %q in the same days and cells: leave them to one of the two, or cancel the other", len(f), name)
	e.Fields = f
	return e
}

// meet reports whether two lists of cells have a place in common; an empty one is everywhere.
func meet(a, b []geo.Cell) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	covers := func(of, by []geo.Cell) bool {
		in := map[geo.Cell]bool{}
		res := map[int]bool{}
		for _, c := range by {
			in[c] = true
			res[c.Resolution()] = true
		}
		for _, c := range of {
			for r := range res {
				if r <= c.Resolution() && in[coarser(c, r)] {
					return true
				}
			}
		}
		return false
	}
	return covers(a, b) || covers(b, a)
}
