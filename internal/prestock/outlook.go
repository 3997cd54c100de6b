package prestock

import (
	"context"

	"doorstep/geo"
	"doorstep/internal/db"
)

// Outlook is what customers are expected to want in the campaigns that are planned or approved and not
// over: three lists of equal length, by rising cell of resolution geo.DemandRes.
type Outlook struct {
	Cells    geo.Layer
	Expected []float64 // units; where no law of demand is known, what is asked of the stores
	Short    []float64 // units asked of stores that nobody stands for: neither counted nor promised, nor asked elsewhere instead
}

// Outlook reads a row for each campaign, cell and SKU, as Progress does.
func (b *Book) Outlook(ctx context.Context) (o Outlook, err error) {
	err = db.Each(ctx, b.db, func(r struct {
		Cell            int64
		Expected, Short float64
	}) error {
		if r.Expected > 0 || r.Short > 0 {
			o.Cells = append(o.Cells, geo.Cell(r.Cell))
			o.Expected, o.Short = append(o.Expected, r.Expected), append(o.Short, r.Short)
		}
		return nil
	}, `SELECT p.cell,
			CAST(sum(CASE WHEN p.expected > 0 THEN p.expected ELSE p.asked - p.reallocated END) AS DOUBLE PRECISION) AS expected,
			CAST(sum(CASE WHEN p.asked > p.reallocated + p.ready THEN p.asked - p.reallocated - p.ready ELSE 0 END) AS DOUBLE PRECISION) AS short
		FROM prestock_progress p JOIN campaign c ON c.key = p.campaign_key
		WHERE c.status IN ('planned', 'approved') AND c.ends_at > ? GROUP BY p.cell ORDER BY p.cell`, b.db.Now().UnixMilli())
	return o, err
}
