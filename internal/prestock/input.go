package prestock

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"doorstep/geo"
	"doorstep/internal/fault"
)

// CampaignInput is a campaign as a dispatcher asks for it.
type CampaignInput struct {
	Name     string
	StartsAt time.Time
	EndsAt   time.Time
	SKUs     []SKU    // a zero CasePack is 1
	Cells    []string // H3 as written; empty: everywhere
	Leads    []int    // seconds before the start, in any order; nil: DefaultLeads
}

// DefaultLeads are three days, one day and six hours.
var DefaultLeads = []int{259_200, 86_400, 21_600}

const (
	maxSKUs     = 200
	maxCells    = 10_000
	maxLeads    = 10
	minLead     = 60
	maxLead     = 90 * 86_400
	maxUnits    = 100_000_000
	maxUplift   = 100
	maxCasePack = 10_000
	maxDuration = 366 * 24 * time.Hour
	maxAmount   = 1<<53 - 1 // what a JSON reader keeps exactly
	minCellRes  = 4
)

var currency = regexp.MustCompile(`^[A-Z]{3}$`)

// decide is the campaign that in asks for, still without a key; the error names all that is wrong.
func (in CampaignInput) decide(now time.Time) (Campaign, error) {
	var f fault.Fields
	c := Campaign{Kind: Peak, Name: strings.TrimSpace(in.Name), Status: Draft, StartsAt: in.StartsAt.UTC().Truncate(time.Millisecond),
		EndsAt: in.EndsAt.UTC().Truncate(time.Millisecond), CreatedAt: now, UpdatedAt: now}
	text(&f, "/name", c.Name, 200)
	checkWindow(&f, c, now)
	c.SKUs = checkSKUs(&f, in.SKUs)
	c.Cells = checkCells(&f, in.Cells)
	c.Leads = checkLeads(&f, in.Leads)
	return c, f.Err()
}

func checkWindow(f *fault.Fields, c Campaign, now time.Time) {
	switch {
	case c.StartsAt.Before(now):
		f.Add("/starts_at", "in-the-past", "it is %s now: a campaign is announced before it starts", now.Format(time.RFC3339))
	case c.StartsAt.After(now.Add(maxDuration)):
		f.Add("/starts_at", "too-far", "at most a year ahead")
	}
	switch {
	case !c.EndsAt.After(now):
		f.Add("/ends_at", "in-the-past", "the campaign would be over already")
	case !c.StartsAt.Before(c.EndsAt):
		f.Add("/ends_at", "reversed", "ends_at must be after starts_at")
	case c.EndsAt.Sub(c.StartsAt) > maxDuration:
		f.Add("/ends_at", "too-long", "a campaign lasts at most a year")
	}
}

func checkSKUs(f *fault.Fields, in []SKU) []SKU {
	if len(in) == 0 {
		f.Add("/skus", "required", "at least one SKU")
	}
	if len(in) > maxSKUs {
		f.Add("/skus", "too-many", "at most %d SKUs", maxSKUs)
		return nil
	}
	seen := map[string]int{}
	skus := slices.Clone(in)
	for i := range skus {
		s := &skus[i]
		at := fmt.Sprintf("/skus/%d", i)
		text(f, at+"/sku", s.SKU, 64)
		if j, twice := seen[s.SKU]; twice {
			f.Add(at+"/sku", "duplicate", "the same sku stands in /skus/%d", j)
		}
		seen[s.SKU] = i
		if s.CasePack == 0 {
			s.CasePack = 1
		}
		s.check(f, at)
	}
	return skus
}

func (s *SKU) check(f *fault.Fields, at string) {
	if n := s.ExpectedUnits; n != nil && (*n < 0 || *n > maxUnits) {
		f.Add(at+"/expected_units", "out-of-range", "0 to %d", maxUnits)
	}
	if u := s.Uplift; u != nil && !(*u > 0 && *u <= maxUplift) { // so written, NaN is refused
		f.Add(at+"/uplift", "out-of-range", "above 0 and at most %d", maxUplift)
	}
	if s.CasePack < 1 || s.CasePack > maxCasePack {
		f.Add(at+"/case_pack", "out-of-range", "1 to %d", maxCasePack)
	}
	s.UnitMargin.check(f, at+"/unit_margin")
	s.UnitHoldingCost.check(f, at+"/unit_holding_cost")
	s.UnitFee.check(f, at+"/unit_fee")
	if s.UnitMargin != nil && s.UnitHoldingCost != nil && s.UnitMargin.Currency != s.UnitHoldingCost.Currency {
		f.Add(at+"/unit_holding_cost/currency", "currency-mismatch", "unit_margin is in %s: both must be in one currency", s.UnitMargin.Currency)
	}
}

func (m *Money) check(f *fault.Fields, at string) {
	if m == nil {
		return
	}
	if m.Amount < 0 || m.Amount > maxAmount {
		f.Add(at+"/amount", "out-of-range", "0 to %d minor units", int64(maxAmount))
	}
	if !currency.MatchString(m.Currency) {
		f.Add(at+"/currency", "not-a-currency", "three capital letters of ISO 4217, like KES")
	}
}

func checkCells(f *fault.Fields, in []string) []geo.Cell {
	if len(in) > maxCells {
		f.Add("/h3_cells", "too-many", "at most %d cells", maxCells)
		return nil
	}
	cells := make([]geo.Cell, 0, len(in))
	for i, s := range in {
		at := fmt.Sprintf("/h3_cells/%d", i)
		cell, err := geo.ParseCell(s)
		if err != nil {
			f.Add(at, "not-a-cell", "15 hex digits that name an H3 cell, like 877a6e42cffffff")
			continue
		}
		if r := cell.Resolution(); r < minCellRes || r > geo.MatchRes {
			f.Add(at, "resolution", "the cell has resolution %d; %d to %d are meant", r, minCellRes, geo.MatchRes)
			continue
		}
		cells = append(cells, cell)
	}
	slices.Sort(cells)
	return slices.Compact(cells)
}

func checkLeads(f *fault.Fields, in []int) []int {
	if in == nil {
		return slices.Clone(DefaultLeads)
	}
	if len(in) == 0 || len(in) > maxLeads {
		f.Add("/leads_s", "out-of-range", "1 to %d leads", maxLeads)
		return nil
	}
	seen := map[int]int{}
	for i, l := range in {
		at := fmt.Sprintf("/leads_s/%d", i)
		if l < minLead || l > maxLead {
			f.Add(at, "out-of-range", "%d to %d seconds", minLead, maxLead)
		}
		if j, twice := seen[l]; twice {
			f.Add(at, "duplicate", "the same lead stands in /leads_s/%d", j)
		}
		seen[l] = i
	}
	leads := slices.Sorted(slices.Values(in))
	slices.Reverse(leads)
	return leads
}

// text refuses what cannot be shown in one line, and nothing at all.
func text(f *fault.Fields, pointer, s string, most int) {
	switch {
	case strings.TrimSpace(s) == "":
		f.Add(pointer, "required", "a text that is not blank")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		f.Add(pointer, "control-characters", "plain text in one line")
	case utf8.RuneCountInString(s) > most:
		f.Add(pointer, "too-long", "at most %d characters", most)
	}
}
