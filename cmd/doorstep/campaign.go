package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/ident"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"

	"github.com/spf13/cobra"
)

// campaignJSON is a campaign as the contract writes it.
type campaignJSON struct {
	ID        string            `json:"id,omitempty"`
	Name      string            `json:"name"`
	Status    string            `json:"status,omitempty"`
	StartsAt  time.Time         `json:"starts_at"`
	EndsAt    time.Time         `json:"ends_at"`
	SKUs      []campaignSKUJSON `json:"skus"`
	Cells     []string          `json:"h3_cells"`
	Leads     []int             `json:"leads_s"`
	Version   int64             `json:"version,omitempty"`
	CreatedAt *time.Time        `json:"created_at,omitempty"`
	UpdatedAt *time.Time        `json:"updated_at,omitempty"`
}

type campaignSKUJSON struct {
	SKU             string     `json:"sku"`
	ExpectedUnits   *int       `json:"expected_units,omitempty"`
	Uplift          *float64   `json:"uplift,omitempty"`
	UnitMargin      *moneyJSON `json:"unit_margin,omitempty"`
	UnitHoldingCost *moneyJSON `json:"unit_holding_cost,omitempty"`
	CasePack        int        `json:"case_pack"`
}

// moneyJSON is an amount in minor units; a bare number has no currency, which ISO 4217 spells XXX.
type moneyJSON struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

func (m *moneyJSON) UnmarshalJSON(b []byte) error {
	type plain moneyJSON
	if len(b) > 0 && b[0] == '{' {
		return json.Unmarshal(b, (*plain)(m))
	}
	m.Currency = "XXX"
	return json.Unmarshal(b, &m.Amount)
}

func readCampaign(r io.Reader) (prestock.CampaignInput, error) {
	var in campaignJSON
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return prestock.CampaignInput{}, fmt.Errorf("not a campaign: %w", err)
	}
	if dec.More() {
		return prestock.CampaignInput{}, errors.New("not a campaign: something follows it")
	}
	out := prestock.CampaignInput{Name: in.Name, StartsAt: in.StartsAt, EndsAt: in.EndsAt, Cells: in.Cells, Leads: in.Leads}
	for _, s := range in.SKUs {
		out.SKUs = append(out.SKUs, prestock.SKU{SKU: s.SKU, ExpectedUnits: s.ExpectedUnits, Uplift: s.Uplift,
			UnitMargin: (*prestock.Money)(s.UnitMargin), UnitHoldingCost: (*prestock.Money)(s.UnitHoldingCost), CasePack: s.CasePack})
	}
	return out, nil
}

func toCampaignJSON(n *ident.Names, c prestock.Campaign) campaignJSON {
	out := campaignJSON{ID: n.Name(ident.Campaign, c.Key), Name: c.Name, Status: c.Status, StartsAt: c.StartsAt, EndsAt: c.EndsAt,
		SKUs: []campaignSKUJSON{}, Cells: []string{}, Leads: c.Leads, Version: c.Version, CreatedAt: &c.CreatedAt, UpdatedAt: &c.UpdatedAt}
	for _, s := range c.SKUs {
		out.SKUs = append(out.SKUs, campaignSKUJSON{s.SKU, s.ExpectedUnits, s.Uplift, (*moneyJSON)(s.UnitMargin), (*moneyJSON)(s.UnitHoldingCost), s.CasePack})
	}
	for _, cell := range c.Cells {
		out.Cells = append(out.Cells, cell.String())
	}
	return out
}

// campaignDesk is what the campaign commands share while one runs.
type campaignDesk struct {
	*app
	ctx    context.Context
	book   *prestock.Book
	names  *ident.Names
	asJSON bool
}

func (a *app) campaignCommands() *cobra.Command {
	asJSON := false
	command := func(use, short string, args int, f func(d *campaignDesk, args []string) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: exactly(args),
			RunE: a.with(func(ctx context.Context, c *config, args []string) error {
				return a.onDB(ctx, c, false, func(ctx context.Context, d *db.DB) error {
					return f(&campaignDesk{a, ctx, prestock.NewBook(d, partner.NewBook(d, c.Stores)), d.Names(), asJSON}, args)
				})
			})}
	}
	one := func(f func(*campaignDesk, int64) error) func(*campaignDesk, []string) error {
		return func(d *campaignDesk, args []string) error {
			key, ok := d.names.Parse(ident.Campaign, args[0])
			if !ok {
				return fmt.Errorf("there is no campaign %s: doorstep campaign list shows them", args[0])
			}
			return f(d, key)
		}
	}
	cmd := group("campaign", "Dated peaks that goods are stocked for",
		command("list", "Show all campaigns, newest first", 0, (*campaignDesk).list),
		command("show ID", "Show a campaign and how far its stores are", 1, one((*campaignDesk).show)),
		command("create FILE.json", "Announce a peak, written as for POST /v1/campaigns; - reads stdin", 1, (*campaignDesk).create),
		command("plan ID", "Make or refresh the plan: who is asked for what", 1, one((*campaignDesk).plan)),
		command("approve ID", "Let the prompts go out from now on", 1, one(func(d *campaignDesk, key int64) error { return d.say(d.book.Approve(d.ctx, key)) })),
		command("cancel ID", "End a campaign; what was stocked stays", 1, one(func(d *campaignDesk, key int64) error { return d.say(d.book.Cancel(d.ctx, key)) })))
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (d *campaignDesk) create(args []string) error {
	f, _, err := d.openFile(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := readCampaign(f)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return d.say(d.book.CreateCampaign(d.ctx, in))
}

const campaignHead = "ID\tNAME\tSTATUS\tSTARTS\tENDS\tSKUS"

func (d *campaignDesk) row(c *prestock.Campaign) []any {
	return []any{d.names.Name(ident.Campaign, c.Key), c.Name, c.Status, minute(c.StartsAt), minute(c.EndsAt), len(c.SKUs)}
}

func (d *campaignDesk) say(c prestock.Campaign, err error) error {
	if err != nil {
		return err
	}
	if d.asJSON {
		return writeJSON(d.out, toCampaignJSON(d.names, c))
	}
	return d.table(campaignHead, func(row func(...any)) { row(d.row(&c)...) })
}

func (d *campaignDesk) list([]string) error {
	var all []prestock.Campaign
	for cursor, more := int64(0), true; more; {
		var page []prestock.Campaign
		var err error
		if page, more, err = d.book.ListCampaigns(d.ctx, cursor, 200); err != nil {
			return err
		}
		if all = append(all, page...); more {
			cursor = page[len(page)-1].Key
		}
	}
	if d.asJSON {
		out := make([]campaignJSON, len(all))
		for i := range all {
			out[i] = toCampaignJSON(d.names, all[i])
		}
		return writeJSON(d.out, out)
	}
	return d.table(campaignHead, func(row func(...any)) {
		for i := range all {
			row(d.row(&all[i])...)
		}
	})
}

// unitsJSON is how far a SKU is, or the whole campaign.
type unitsJSON struct {
	SKU         string `json:"sku,omitempty"`
	Asked       int64  `json:"asked"`
	Committed   int64  `json:"committed"`
	Reallocated int64  `json:"reallocated"`
	Unallocated int64  `json:"unallocated"`
	Stocked     int64  `json:"stocked"`
}

func unitsOf(sku string, u prestock.Units) unitsJSON {
	return unitsJSON{sku, u.Asked, u.Committed, u.Reallocated, u.Unallocated, u.Stocked}
}

func (d *campaignDesk) show(key int64) error {
	c, err := d.book.GetCampaign(d.ctx, key)
	if err != nil {
		return err
	}
	p, err := d.book.Progress(d.ctx, key)
	if err != nil {
		return err
	}
	units := []unitsJSON{unitsOf("", p.Units)}
	for _, s := range p.BySKU {
		units = append(units, unitsOf(s.SKU, s.Units))
	}
	if d.asJSON {
		return writeJSON(d.out, map[string]any{"campaign": toCampaignJSON(d.names, c), "progress": units[0], "by_sku": units[1:]})
	}
	if err := d.say(c, nil); err != nil {
		return err
	}
	fmt.Fprintln(d.out)
	units[0].SKU = "all"
	return d.table("SKU\tASKED\tCOMMITTED\tREALLOCATED\tUNALLOCATED\tSTOCKED", func(row func(...any)) {
		for _, u := range append(units[1:], units[0]) {
			row(u.SKU, u.Asked, u.Committed, u.Reallocated, u.Unallocated, u.Stocked)
		}
	})
}

func (d *campaignDesk) plan(key int64) error {
	r, err := d.book.Plan(d.ctx, key)
	if err != nil {
		return err
	}
	if d.asJSON {
		return writeJSON(d.out, map[string]any{"campaign_id": d.names.Name(ident.Campaign, key), "status": r.Status, "tasks": r.Tasks, "asked": r.Asked,
			"unplaced": r.Unplaced, "created": r.Created, "changed": r.Changed, "removed": r.Removed, "unchanged": r.Unchanged})
	}
	var missing bytes.Buffer
	for _, u := range r.BySKU {
		fmt.Fprintf(&missing, "no room for %d of %s\n", u.Units, u.SKU)
	}
	fmt.Fprintf(d.out, "%s: %d tasks ask for %d units (created %d, changed %d, removed %d, unchanged %d)\n%s",
		r.Status, r.Tasks, r.Asked, r.Created, r.Changed, r.Removed, r.Unchanged, missing.String())
	return nil
}
