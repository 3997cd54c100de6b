package main

import (
	"cmp"
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

	"github.com/schollz/progressbar/v3"
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
	UnitFee         *moneyJSON `json:"unit_fee,omitempty"`
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
			UnitMargin: (*prestock.Money)(s.UnitMargin), UnitHoldingCost: (*prestock.Money)(s.UnitHoldingCost), UnitFee: (*prestock.Money)(s.UnitFee),
			CasePack: s.CasePack})
	}
	return out, nil
}

func toCampaignJSON(n *ident.Names, c prestock.Campaign) campaignJSON {
	out := campaignJSON{ID: n.Name(ident.Campaign, c.Key), Name: c.Name, Status: c.Status, StartsAt: c.StartsAt, EndsAt: c.EndsAt,
		SKUs: []campaignSKUJSON{}, Cells: []string{}, Leads: c.Leads, Version: c.Version, CreatedAt: &c.CreatedAt, UpdatedAt: &c.UpdatedAt}
	for _, s := range c.SKUs {
		out.SKUs = append(out.SKUs, campaignSKUJSON{s.SKU, s.ExpectedUnits, s.Uplift, (*moneyJSON)(s.UnitMargin), (*moneyJSON)(s.UnitHoldingCost),
			(*moneyJSON)(s.UnitFee), s.CasePack})
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

// unitsJSON is how far a SKU or a cell is, or the whole campaign.
type unitsJSON struct {
	SKU         string   `json:"sku,omitempty"`
	Cell        string   `json:"h3_cell,omitempty"`
	Asked       int64    `json:"asked"`
	Committed   int64    `json:"committed"`
	Reallocated int64    `json:"reallocated"`
	Unallocated int64    `json:"unallocated"`
	Stocked     int64    `json:"stocked"`
	Consumed    int64    `json:"consumed"`
	Leftover    int64    `json:"leftover"`
	FillRate    *float64 `json:"expected_fill_rate"`
}

func unitsOf(sku, cell string, u prestock.Units) unitsJSON {
	j := unitsJSON{sku, cell, u.Asked, u.Committed, u.Reallocated, u.Unallocated, u.Stocked, u.Consumed, u.Leftover, nil}
	if rate, ok := u.FillRate(); ok {
		j.FillRate = &rate
	}
	return j
}

const unitsHead = "\tASKED\tCOMMITTED\tREALLOCATED\tUNALLOCATED\tSTOCKED\tCONSUMED\tLEFTOVER\tFILL RATE"

func (u unitsJSON) cells(name string) []any {
	rate := "-"
	if u.FillRate != nil {
		rate = fmt.Sprintf("%.1f %%", 100**u.FillRate)
	}
	return []any{name, u.Asked, u.Committed, u.Reallocated, u.Unallocated, u.Stocked, u.Consumed, u.Leftover, rate}
}

func (d *campaignDesk) show(key int64) error {
	c, err := d.book.GetCampaign(d.ctx, key)
	if err != nil {
		return err
	}
	p, err := d.book.Progress(d.ctx, key, shownCells)
	if err != nil {
		return err
	}
	all := unitsOf("", "", p.Units)
	bySKU, byCell := make([]unitsJSON, len(p.BySKU)), make([]unitsJSON, len(p.ByCell))
	for i, x := range p.BySKU {
		bySKU[i] = unitsOf(x.SKU, "", x.Units)
	}
	for i, x := range p.ByCell {
		byCell[i] = unitsOf("", x.Cell.String(), x.Units)
	}
	run, err := d.book.LastPlan(d.ctx, key)
	if err != nil {
		return err
	}
	if d.asJSON {
		out := map[string]any{"campaign": toCampaignJSON(d.names, c), "progress": all, "by_sku": bySKU, "cells": p.Cells, "by_cell": byCell}
		if run != nil {
			out["plan"] = map[string]any{"state": run.State, "step": run.Step, "done_stores": run.DoneStores, "total_stores": run.TotalStores,
				"started_at": run.StartedAt, "finished_at": run.FinishedAt, "problem": run.Problem}
		}
		return writeJSON(d.out, out)
	}
	if err := d.say(c, nil); err != nil {
		return err
	}
	switch {
	case run == nil || run.State == prestock.PlanDone:
	case run.State == prestock.PlanFailed:
		fmt.Fprintf(d.out, "\nplan failed: %s\n", run.Problem)
	default:
		fmt.Fprintf(d.out, "\nplan %s: %s, %d of %d stores\n", run.State, cmp.Or(run.Step, "waiting"), run.DoneStores, run.TotalStores)
	}
	fmt.Fprintln(d.out)
	if err := d.table("SKU"+unitsHead, func(row func(...any)) {
		for _, u := range bySKU {
			row(u.cells(u.SKU)...)
		}
		row(all.cells("all")...)
	}); err != nil || len(byCell) == 0 {
		return err
	}
	fmt.Fprintln(d.out)
	if err := d.table("CELL"+unitsHead, func(row func(...any)) {
		for _, u := range byCell {
			row(u.cells(u.Cell)...)
		}
	}); err != nil {
		return err
	}
	if more := p.Cells - len(byCell); more > 0 {
		fmt.Fprintf(d.out, "and %d cells more, which lack less\n", more)
	}
	return nil
}

// shownCells is how many of the cells of a campaign are shown: those that lack most.
const shownCells = 20

// planJSON is what a plan is and changed, of a SKU or of the whole campaign.
type planJSON struct {
	SKU        string   `json:"sku,omitempty"`
	Expected   *float64 `json:"expected_demand,omitempty"`
	Tasks      int      `json:"tasks"`
	Asked      int      `json:"asked"`
	Unplaced   int      `json:"unallocated"`
	Created    int      `json:"created"`
	Changed    int      `json:"updated"`
	Removed    int      `json:"removed"`
	Unchanged  int      `json:"unchanged"`
	UnitsAdded int      `json:"units_added"`
	UnitsTaken int      `json:"units_taken"`
}

func planOf(sku string, expected *float64, tasks, asked, unplaced int, diff prestock.Diff) planJSON {
	return planJSON{sku, expected, tasks, asked, unplaced, diff.Created, diff.Changed, diff.Removed, diff.Unchanged, diff.UnitsAdded, diff.UnitsTaken}
}

func (d *campaignDesk) plan(key int64) error {
	watch, finish := d.watchPlan()
	r, err := d.book.PlanWatched(d.ctx, key, watch)
	finish()
	if err != nil {
		return err
	}
	all := planOf("", nil, r.Tasks, r.Asked, r.Unplaced, r.Diff)
	bySKU := make([]planJSON, len(r.BySKU))
	for i, s := range r.BySKU {
		bySKU[i] = planOf(s.SKU, &s.Expected, s.Tasks, s.Asked, s.Unplaced, s.Diff)
	}
	if d.asJSON {
		return writeJSON(d.out, struct {
			ID     string `json:"campaign_id"`
			Status string `json:"status"`
			planJSON
			BySKU []planJSON `json:"by_sku"`
		}{d.names.Name(ident.Campaign, key), r.Status, all, bySKU})
	}
	fmt.Fprintf(d.out, "%s: %d tasks ask for %d units (created %d, changed %d, removed %d, unchanged %d)\n\n",
		r.Status, r.Tasks, r.Asked, r.Created, r.Changed, r.Removed, r.Unchanged)
	return d.table("SKU\tEXPECTED DEMAND\tTASKS\tASKED\tCHANGE\tNO ROOM FOR", func(row func(...any)) {
		for _, s := range bySKU {
			row(s.SKU, fmt.Sprintf("%.0f", *s.Expected), s.Tasks, s.Asked, fmt.Sprintf("+%d -%d", s.UnitsAdded, s.UnitsTaken), s.Unplaced)
		}
	})
}

// watchPlan shows how far a plan is: a bar of stores on a terminal, and nothing anywhere else.
func (d *campaignDesk) watchPlan() (watch func(prestock.PlanRun), finish func()) {
	if !isTerminal(d.err) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions(1, progressbar.OptionSetWriter(d.err), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
	return func(p prestock.PlanRun) {
		bar.ChangeMax(max(1, p.TotalStores))
		bar.Describe(p.Step)
		_ = bar.Set(p.DoneStores)
	}, func() { _ = bar.Finish() }
}
