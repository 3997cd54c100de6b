package prestock

import (
	"math"
	"runtime"
	"sync"

	"doorstep/internal/fault"
	"doorstep/internal/forecast"
)

const (
	// usualRatio is Short to Over when nobody says them: a critical ratio of 0.8, so that four peaks out
	// of five are served in full.
	usualRatio = 4.0
	// near is what it saves that the goods lie at the very store whose customers want them, as a
	// share of Short.
	near = 0.05
)

// costs are those of one unit. One amount alone says the other by the usual ratio, and a SKU without
// any is worth usual, so that it competes for the shelves with those that have some.
func (s *SKU) costs(usual float64) forecast.Costs {
	c := forecast.Costs{Short: usual, Over: usual / usualRatio}
	margin, holding := s.UnitMargin.units(), s.UnitHoldingCost.units()
	switch {
	case margin > 0 && s.UnitHoldingCost != nil:
		c.Short, c.Over = margin, holding
	case margin > 0:
		c.Short, c.Over = margin, margin/usualRatio
	case holding > 0 && s.UnitMargin != nil: // nothing is earned by it
		c.Short, c.Over = 0, holding
	case holding > 0:
		c.Short, c.Over = holding*usualRatio, holding
	}
	c.Near = near * c.Short
	return c
}

// units is the amount, 0 when there is none.
func (m *Money) units() float64 {
	if m == nil {
		return 0
	}
	return float64(m.Amount)
}

// usual is what a unit short costs in the mean of the SKUs that say it.
func (sh *sheet) usual() float64 {
	sum, n := 0.0, 0.0
	for k := range sh.columns {
		if c := sh.columns[k].costs(0); c.Short > 0 {
			sum, n = sum+c.Short, n+1
		}
	}
	if n == 0 {
		return usualRatio
	}
	return sum / n
}

// decide finds what each store is asked. SKUs with a fixed total and those of which something is
// known are decided together, neighbourhood by neighbourhood: their units compete for the shelves
// by what they are worth. What is left of the shelves is for SKUs nobody has ever sold, in the
// order of the campaign. It depends on nothing but the sheet.
//
// Errors: 422 naming the SKUs for which neither expected_units nor past demand is known.
func (sh *sheet) decide() error {
	if err := sh.refuse(); err != nil {
		return err
	}
	room := make([]int32, len(sh.sites)) // left
	for i := range sh.sites {
		room[i] = sh.sites[i].room
	}
	var known []int
	for k := range sh.columns {
		if sh.columns[k].known {
			known = append(known, k)
		}
	}
	sh.allot(known, room, sh.targets(known))
	for k := range sh.columns {
		col := &sh.columns[k]
		if col.ExpectedUnits != nil {
			// What found no room in its neighbourhood, because other SKUs took it, finds some elsewhere.
			sh.fill(col, room, col.wanted()-col.total())
		}
	}
	return nil
}

// refuse is for peaks: a SKU of which nothing is known is not replenished, and that is that.
func (sh *sheet) refuse() error {
	var f fault.Fields
	for k := range sh.columns {
		if c := &sh.columns[k]; c.ExpectedUnits == nil && !c.known && sh.campaign.Kind == Peak {
			nothingKnown(&f, sh.from+k, c.SKU.SKU)
		}
	}
	return f.Err()
}

// wanted is how many units of a fixed total are still to be asked.
func (c *column) wanted() int { return max(0, *c.ExpectedUnits-c.taken) }

func (c *column) total() (units int) {
	for _, n := range c.asked {
		units += int(n)
	}
	return units
}

// law is what a site's own customers want.
func (c *column) law(i int) forecast.Law {
	return forecast.Law{Mean: float64(c.mean[i]), Var: float64(c.variance[i])}
}

// targets splits the fixed totals among the neighbourhoods; nil for a SKU without one.
func (sh *sheet) targets(known []int) [][]int {
	all := make([][]int, len(known))
	sh.both(len(known), func(a *forecast.Allotter, j int) {
		col := &sh.columns[known[j]]
		if col.ExpectedUnits == nil {
			return
		}
		hoods := make([]forecast.Neighbourhood, len(sh.hoods))
		for h, hd := range sh.hoods {
			hoods[h] = sh.neighbourhood(col, hd)
		}
		all[j] = make([]int, len(hoods))
		a.Split(col.wanted(), col.CasePack, hoods, all[j])
	})
	return all
}

func (sh *sheet) neighbourhood(col *column, hd hood) (n forecast.Neighbourhood) {
	for i := hd.from; i < hd.to; i++ {
		s := &sh.sites[i]
		n.Law = n.Law.Add(col.law(int(i)))
		n.Holds += float64(s.keeps) * float64(col.promised[i])
		if col.have != nil {
			n.Holds += float64(col.have[i])
		}
		switch free := s.free(); {
		case col.out[i]:
		case free == NoBound:
			n.Room += maxUnits
		default:
			n.Room += free / col.CasePack * col.CasePack
		}
	}
	n.Law = n.Law.WithEvent(col.event)
	return n
}

// allot decides every neighbourhood. Each writes only to its own sites, so they may be done at once.
func (sh *sheet) allot(known []int, room []int32, targets [][]int) {
	if len(known) == 0 {
		return
	}
	missing, usual := make([]int32, len(sh.hoods)*len(known)), sh.usual()
	type desk struct {
		items []forecast.Item
		spots []forecast.Spot
		free  []float64
	}
	desks := sync.Pool{New: func() any { return &desk{} }}
	sh.both(len(sh.hoods), func(a *forecast.Allotter, h int) {
		d := desks.Get().(*desk)
		defer desks.Put(d)
		hd := sh.hoods[h]
		d.items, d.spots, d.free = d.items[:0], d.spots[:0], d.free[:0]
		for i := hd.from; i < hd.to; i++ {
			free := forecast.Unbounded
			if sh.sites[i].bounded() {
				free = float64(max(0, room[i]))
			}
			d.free = append(d.free, free)
		}
		for j, k := range known {
			col := &sh.columns[k]
			item := forecast.Item{Costs: col.costs(usual), Pack: col.CasePack, Event: col.event}
			if targets[j] != nil {
				item.Fixed, item.Target = true, targets[j][h]
			}
			d.items = append(d.items, item)
			for i := hd.from; i < hd.to; i++ {
				s := forecast.Spot{Law: col.law(int(i)), Promised: int(col.promised[i]), Keeps: float64(sh.sites[i].keeps), Out: col.out[i]}
				if col.have != nil {
					s.Have = int(col.have[i])
				}
				d.spots = append(d.spots, s)
			}
		}
		asked, terms := a.Allot(d.items, d.free, d.spots)
		n := int(hd.to - hd.from)
		for j, k := range known {
			col := &sh.columns[k]
			for i := range n {
				units := int32(asked[j*n+i])
				col.asked[int(hd.from)+i] = units
				room[int(hd.from)+i] -= units
			}
			col.sells[h] = float32(terms[j].Sells)
			col.holds[h] = float32(terms[j].Holds + terms[j].Comes)
			col.sigma[h] = float32(terms[j].Sigma)
			if !d.items[j].Fixed && terms[j].Full {
				law := forecast.Law{Mean: terms[j].Sells, Var: terms[j].Sigma * terms[j].Sigma}
				want := float64(forecast.Newsvendor(law, d.items[j].Costs)) - terms[j].Holds - terms[j].Comes
				missing[h*len(known)+j] = int32(max(0, want))
			}
		}
	})
	for j, k := range known {
		for h := range sh.hoods {
			sh.columns[k].unplaced += int(missing[h*len(known)+j])
		}
	}
}

// both does work 0 to n-1 on all cores, each with an allotter of its own.
func (sh *sheet) both(n int, f func(a *forecast.Allotter, i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			a := &forecast.Allotter{}
			// Parts in turn: neighbourhoods of a city are larger than those of the country.
			const part = 16
			for from := w * part; from < n; from += workers * part {
				for i := from; i < min(n, from+part); i++ {
					f(a, i)
				}
			}
		})
	}
	wg.Wait()
}

// fill spreads units of a SKU over all stores that have room, by what their customers want, or by
// shelf where nobody knows that. What finds no place is counted.
func (sh *sheet) fill(col *column, room []int32, units int) {
	if units < col.CasePack {
		col.unplaced += max(0, units)
		return
	}
	candidates := make([]Candidate, 0, len(sh.sites))
	for i := range sh.sites {
		if col.out[i] {
			continue
		}
		s := &sh.sites[i]
		c := Candidate{Key: int64(i), Weight: float64(col.mean[i]), FreeShelf: NoBound, Capacity: int(s.capacity)}
		if s.bounded() {
			c.FreeShelf = int(max(0, room[i]))
		}
		candidates = append(candidates, c)
	}
	placed := 0
	for _, share := range Spread(units, col.CasePack, candidates) {
		col.asked[share.Key] += int32(share.Units)
		room[share.Key] -= int32(share.Units)
		placed += share.Units
	}
	col.unplaced += units - placed
}

// Terms are what a number of units stands on. They are what a store is told, in its language.
type Terms struct {
	Uplift    float64 // of the campaign, times the usual demand; 0 or 1: none
	CellUnits int     // that the store's neighbourhood is expected to sell; 0: nothing is known
	NearUnits int     // that its neighbours have or are asked for
}

// terms of what site i of neighbourhood h is asked.
func (c *column) terms(h, i int) Terms {
	t := Terms{CellUnits: int(math.Round(float64(c.sells[h])))}
	if c.Uplift != nil {
		t.Uplift = *c.Uplift
	}
	if t.CellUnits > 0 {
		own := float64(c.asked[i] + c.promised[i])
		if c.have != nil {
			own += float64(c.have[i])
		}
		t.NearUnits = int(math.Round(max(0, float64(c.holds[h])-own)))
	}
	return t
}

// termsRow is how Terms are kept with a task.
type termsRow struct {
	Uplift    float64
	CellUnits int `db:"cell_units"`
	NearUnits int `db:"near_units"`
}

func (r termsRow) terms() Terms { return Terms(r) }
