package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/prestock"
)

// money is an amount in minor units with its currency; a bare number is one without a currency
// named, as ISO 4217 spells that: XXX.
type money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// UnmarshalJSON never fails: a decoder could not say at which place it did. What is no money is
// marked for input to refuse.
func (m *money) UnmarshalJSON(b []byte) error {
	type plain money
	if json.Unmarshal(b, (*plain)(m)) == nil && m.Currency != "" {
		return nil
	}
	*m = money{Currency: "XXX"}
	if json.Unmarshal(b, &m.Amount) != nil {
		m.Currency = notMoney
	}
	return nil
}

const notMoney = "not money"

func (m *money) check(f *fault.Fields, pointer string) *prestock.Money {
	if m != nil && m.Currency == notMoney {
		f.Add(pointer, "not-money", "an integer of minor units and a currency, like {\"amount\": 250, \"currency\": \"KES\"}")
		return nil
	}
	return (*prestock.Money)(m)
}

type campaignSKU struct {
	SKU             string   `json:"sku"`
	ExpectedUnits   *int     `json:"expected_units,omitempty"`
	Uplift          *float64 `json:"uplift,omitempty"`
	UnitMargin      *money   `json:"unit_margin,omitempty"`
	UnitHoldingCost *money   `json:"unit_holding_cost,omitempty"`
	UnitFee         *money   `json:"unit_fee,omitempty"`
	CasePack        *int     `json:"case_pack,omitempty"`
}

type campaignIn struct {
	Name     string        `json:"name"`
	StartsAt *string       `json:"starts_at"`
	EndsAt   *string       `json:"ends_at"`
	SKUs     []campaignSKU `json:"skus"`
	Cells    []string      `json:"h3_cells"`
	Leads    []int         `json:"leads_s"`
}

func (in *campaignIn) input() (prestock.CampaignInput, error) {
	var f fault.Fields
	c := prestock.CampaignInput{Name: in.Name, Cells: in.Cells, Leads: in.Leads}
	for pointer, x := range map[string]struct {
		in *string
		to *time.Time
	}{"/starts_at": {in.StartsAt, &c.StartsAt}, "/ends_at": {in.EndsAt, &c.EndsAt}} {
		if x.in == nil {
			f.Add(pointer, "required", "say when, in RFC 3339")
		} else if t := instant(&f, pointer, x.in); t != nil {
			*x.to = *t
		}
	}
	for i, s := range in.SKUs {
		at := fmt.Sprintf("/skus/%d/", i)
		x := prestock.SKU{SKU: s.SKU, ExpectedUnits: s.ExpectedUnits, Uplift: s.Uplift, CasePack: 1,
			UnitMargin: s.UnitMargin.check(&f, at+"unit_margin"), UnitHoldingCost: s.UnitHoldingCost.check(&f, at+"unit_holding_cost"),
			UnitFee: s.UnitFee.check(&f, at+"unit_fee")}
		if s.CasePack != nil {
			if x.CasePack = *s.CasePack; x.CasePack < 1 {
				x.CasePack = -1 // given and wrong, where 0 would mean not given
			}
		}
		c.SKUs = append(c.SKUs, x)
	}
	return c, f.Err()
}

type wireCampaign struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Status    prestock.Status `json:"status"`
	StartsAt  stamp           `json:"starts_at"`
	EndsAt    stamp           `json:"ends_at"`
	SKUs      []campaignSKU   `json:"skus"`
	Cells     []string        `json:"h3_cells"`
	Leads     []int           `json:"leads_s"`
	Version   int64           `json:"version"`
	CreatedAt stamp           `json:"created_at"`
	UpdatedAt stamp           `json:"updated_at"`
	Kind      string          `json:"kind"`
	Plan      *wirePlan       `json:"plan,omitempty"` // where one campaign is asked for
}

func (k *call) replyCampaign(status int, c prestock.Campaign, err error) error {
	if err != nil {
		return err
	}
	k.etag(c.Version)
	return k.reply(status, k.campaignOut(&c))
}

func (k *call) campaignOut(c *prestock.Campaign) wireCampaign {
	w := wireCampaign{ID: k.names.Name(ident.Campaign, c.Key), Name: c.Name, Status: prestock.Status(c.Status), StartsAt: stamp(c.StartsAt), EndsAt: stamp(c.EndsAt),
		SKUs: []campaignSKU{}, Cells: []string{}, Leads: c.Leads, Version: c.Version, CreatedAt: stamp(c.CreatedAt), UpdatedAt: stamp(c.UpdatedAt), Kind: c.Kind}
	for _, s := range c.SKUs {
		w.SKUs = append(w.SKUs, campaignSKU{s.SKU, s.ExpectedUnits, s.Uplift, (*money)(s.UnitMargin), (*money)(s.UnitHoldingCost), (*money)(s.UnitFee), &s.CasePack})
	}
	for _, cell := range c.Cells {
		w.Cells = append(w.Cells, cell.String())
	}
	return w
}

func (k *call) createCampaign() error {
	var in campaignIn
	if err := k.decode(&in); err != nil {
		return err
	}
	input, err := in.input()
	if err != nil {
		return err
	}
	c, err := k.Prestock.CreateCampaign(k.ctx, input)
	if err == nil {
		k.header.Set("Location", "/v1/campaigns/"+k.names.Name(ident.Campaign, c.Key))
	}
	return k.replyCampaign(http.StatusCreated, c, err)
}

func (k *call) listCampaigns() error {
	cursor, limit, err := k.page()
	if err != nil {
		return err
	}
	cs, more, err := k.Prestock.ListCampaigns(k.ctx, cursor, limit)
	if err != nil {
		return err
	}
	out := make([]wireCampaign, len(cs))
	var last int64
	for i := range cs {
		out[i], last = k.campaignOut(&cs[i]), cs[i].Key
	}
	return k.reply(http.StatusOK, newList(k.names, out, more, last))
}

// onCampaign runs f with the campaign of the path.
func (k *call) onCampaign(f func(key int64) (prestock.Campaign, error)) error {
	key, err := k.key(ident.Campaign, "campaign")
	if err != nil {
		return err
	}
	c, err := f(key)
	return k.replyCampaign(http.StatusOK, c, err)
}

func (k *call) getCampaign() error {
	key, err := k.key(ident.Campaign, "campaign")
	if err != nil {
		return err
	}
	w, err := k.campaignWithPlan(key)
	if err != nil {
		return err
	}
	k.etag(w.Version)
	return k.reply(http.StatusOK, w)
}

func (k *call) approveCampaign() error {
	return k.onCampaign(func(key int64) (prestock.Campaign, error) { return k.Prestock.Approve(k.ctx, key) })
}

func (k *call) cancelCampaign() error {
	return k.onCampaign(func(key int64) (prestock.Campaign, error) { return k.Prestock.Cancel(k.ctx, key) })
}

func (k *call) planCampaign() error {
	key, err := k.key(ident.Campaign, "campaign")
	if err != nil {
		return err
	}
	later, err := k.planLater(key)
	if err != nil {
		return err
	}
	if later {
		return k.queuePlan(key)
	}
	p, err := k.Prestock.Plan(k.ctx, key)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, k.planOut(&p))
}

// planLater reports whether the answer comes before the plan: asked for so, or the network is large.
func (k *call) planLater(key int64) (bool, error) {
	for _, prefer := range k.r.Header.Values("Prefer") {
		for p := range strings.SplitSeq(prefer, ",") {
			if strings.EqualFold(strings.TrimSpace(p), "respond-async") {
				k.header.Set("Preference-Applied", "respond-async")
				return true, nil
			}
		}
	}
	switch k.query("async") {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "":
		return k.Prestock.LargePlan(k.ctx, key)
	}
	return false, fault.InvalidField("async", "not-a-boolean", "true or false")
}

func (k *call) queuePlan(key int64) error {
	if _, err := k.Prestock.PlanLater(k.ctx, key); err != nil {
		return err
	}
	k.Jobs.Wake(prestock.PlanJob)
	k.header.Set("Location", "/v1/campaigns/"+k.names.Name(ident.Campaign, key))
	w, err := k.campaignWithPlan(key)
	if err != nil {
		return err
	}
	return k.reply(http.StatusAccepted, w)
}

func (k *call) campaignWithPlan(key int64) (wireCampaign, error) {
	c, err := k.Prestock.GetCampaign(k.ctx, key)
	if err != nil {
		return wireCampaign{}, err
	}
	w := k.campaignOut(&c)
	run, err := k.Prestock.LastPlan(k.ctx, key)
	if err != nil || run == nil {
		return w, err
	}
	w.Plan = &wirePlan{State: run.State, Step: optional(run.Step), Background: run.Background, DoneStores: run.DoneStores, TotalStores: run.TotalStores,
		StartedAt: stamp(run.StartedAt), UpdatedAt: stamp(run.UpdatedAt), FinishedAt: stampOf(run.FinishedAt), Problem: optional(run.Problem)}
	if run.State != prestock.PlanRunning {
		w.Plan.Step = nil
	}
	if run.Result != nil {
		r := k.planOut(run.Result)
		w.Plan.Result = &r
	}
	return w, nil
}

// wirePlan is how far the last run of a campaign's plan is.
type wirePlan struct {
	State       string          `json:"state"`
	Step        *string         `json:"step"`
	Background  bool            `json:"background"`
	DoneStores  int             `json:"done_stores"`
	TotalStores int             `json:"total_stores"`
	StartedAt   stamp           `json:"started_at"`
	UpdatedAt   stamp           `json:"updated_at"`
	FinishedAt  *stamp          `json:"finished_at"`
	Problem     *string         `json:"problem"`
	Result      *wirePlanResult `json:"result"`
}

type wirePlanResult struct {
	CampaignID string          `json:"campaign_id"`
	Status     prestock.Status `json:"status"`
	planCounts
	BySKU   []planSKU    `json:"by_sku"`
	Changes []planChange `json:"changes"`
}

type planCounts struct {
	Tasks      int `json:"tasks"`
	Asked      int `json:"asked"`
	Unplaced   int `json:"unallocated"`
	Created    int `json:"created"`
	Changed    int `json:"updated"`
	Removed    int `json:"removed"`
	Unchanged  int `json:"unchanged"`
	UnitsAdded int `json:"units_added"`
	UnitsTaken int `json:"units_taken"`
}

type planSKU struct {
	SKU      string  `json:"sku"`
	Expected float64 `json:"expected_demand"`
	planCounts
}

type planChange struct {
	Store  string `json:"store_id"`
	SKU    string `json:"sku"`
	Before int    `json:"asked_before"`
	Now    int    `json:"asked_now"`
}

func countsOf(tasks, asked, unplaced int, d prestock.Diff) planCounts {
	return planCounts{tasks, asked, unplaced, d.Created, d.Changed, d.Removed, d.Unchanged, d.UnitsAdded, d.UnitsTaken}
}

func (k *call) planOut(r *prestock.PlanResult) wirePlanResult {
	w := wirePlanResult{CampaignID: k.names.Name(ident.Campaign, r.Campaign), Status: prestock.Status(r.Status),
		planCounts: countsOf(r.Tasks, r.Asked, r.Unplaced, r.Diff), BySKU: []planSKU{}, Changes: []planChange{}}
	for _, s := range r.BySKU {
		w.BySKU = append(w.BySKU, planSKU{s.SKU, math.Round(s.Expected*100) / 100, countsOf(s.Tasks, s.Asked, s.Unplaced, s.Diff)})
	}
	for _, c := range r.Sample {
		w.Changes = append(w.Changes, planChange{k.names.Name(ident.Store, c.Store), c.SKU, c.Before, c.Now})
	}
	return w
}

type wireUnits struct {
	Asked       int64    `json:"asked"`
	Committed   int64    `json:"committed"`
	Reallocated int64    `json:"reallocated"`
	Unallocated int64    `json:"unallocated"`
	Stocked     int64    `json:"stocked"`
	Consumed    int64    `json:"consumed"`
	Leftover    int64    `json:"leftover"`
	FillRate    *float64 `json:"expected_fill_rate"`
}

func unitsOut(u prestock.Units) wireUnits {
	w := wireUnits{u.Asked, u.Committed, u.Reallocated, u.Unallocated, u.Stocked, u.Consumed, u.Leftover, nil}
	if rate, ok := u.FillRate(); ok {
		rate = math.Round(rate*1e4) / 1e4
		w.FillRate = &rate
	}
	return w
}

func (k *call) campaignProgress() error {
	key, err := k.key(ident.Campaign, "campaign")
	if err != nil {
		return err
	}
	_, limit, err := k.page()
	if err != nil {
		return err
	}
	p, err := k.Prestock.Progress(k.ctx, key, limit)
	if err != nil {
		return err
	}
	type bySKU struct {
		SKU string `json:"sku"`
		wireUnits
	}
	type byCell struct {
		Cell string `json:"h3_cell"`
		wireUnits
	}
	out := struct {
		Campaign string `json:"campaign_id"`
		wireUnits
		BySKU  []bySKU  `json:"by_sku"`
		Cells  int      `json:"cells"`
		ByCell []byCell `json:"by_cell"`
	}{k.names.Name(ident.Campaign, key), unitsOut(p.Units), []bySKU{}, p.Cells, []byCell{}}
	for _, s := range p.BySKU {
		out.BySKU = append(out.BySKU, bySKU{s.SKU, unitsOut(s.Units)})
	}
	for _, c := range p.ByCell {
		out.ByCell = append(out.ByCell, byCell{c.Cell.String(), unitsOut(c.Units)})
	}
	return k.reply(http.StatusOK, out)
}

// importDemand keeps past demand from CSV.
func (k *call) importDemand() error {
	if kind, _, err := mime.ParseMediaType(k.r.Header.Get("Content-Type")); err != nil || kind != "text/csv" {
		return fault.New(fault.Unsupported, "unsupported-media-type", "send text/csv")
	}
	dry, err := k.dryRun()
	if err != nil {
		return err
	}
	data, err := k.readAll(maxUpload)
	if err != nil {
		return err
	}
	res, err := k.Prestock.ImportDemand(k.ctx, bytes.NewReader(data), prestock.DemandOptions{DryRun: dry})
	if err != nil {
		return err
	}
	return k.replyImport(res)
}

// ---- tasks

type wireTask struct {
	ID            string          `json:"id"`
	CampaignID    string          `json:"campaign_id"`
	CampaignName  string          `json:"campaign_name"`
	StoreID       string          `json:"store_id"`
	SKU           string          `json:"sku"`
	UnitFee       *money          `json:"unit_fee"`
	Asked         int             `json:"asked_quantity"`
	Committed     int             `json:"committed_quantity"`
	Reallocated   int             `json:"reallocated_quantity"`
	Unallocated   int             `json:"unallocated_quantity"`
	Counted       *int            `json:"counted_quantity"`
	Status        prestock.Status `json:"status"`
	DeclineReason *string         `json:"decline_reason"`
	ReasonText    string          `json:"reason_text"`
	AckDeadline   stamp           `json:"ack_deadline"`
	StockDeadline stamp           `json:"stock_deadline"`
	HoldUntil     stamp           `json:"hold_until"`
	Prompts       []wirePrompt    `json:"prompts"`
	Version       int64           `json:"version"`
}

type wirePrompt struct {
	At      stamp  `json:"at"`
	Channel string `json:"channel"`
	LeadS   int    `json:"lead_s"`
	Kind    string `json:"kind"`
	State   string `json:"state"`
}

func (k *call) taskOut(t *prestock.Task, of prestock.Deal, prompts []wirePrompt, locale string) wireTask {
	w := wireTask{ID: k.names.Name(ident.Prestock, t.Key), CampaignID: k.names.Name(ident.Campaign, t.Campaign), StoreID: k.names.Name(ident.Store, t.Store),
		CampaignName: of.Campaign, UnitFee: (*money)(of.UnitFee), SKU: t.SKU, Asked: t.Asked, Committed: t.Committed, Reallocated: t.Reallocated, Unallocated: t.Asked - t.Committed - t.Reallocated,
		Counted: t.Counted, Status: t.Status, DeclineReason: optional(t.DeclineReason), ReasonText: t.Reason(locale), AckDeadline: stamp(t.AckDeadline),
		StockDeadline: stamp(t.StockDeadline), HoldUntil: stamp(t.HoldUntil), Prompts: prompts, Version: t.Version}
	return w
}

// locale is the language of who asks: a store's own; everybody else reads English.
func (k *call) locale() (string, error) {
	if k.who.Role != auth.RoleStore {
		return "en", nil
	}
	s, err := k.Stores.Get(k.ctx, k.who.Store)
	return s.Locale, err
}

func (k *call) replyTask(t prestock.Task, err error) error {
	if err != nil {
		return err
	}
	prompts, err := k.promptsOut(t)
	if err != nil {
		return err
	}
	deals, err := k.Prestock.Deals(k.ctx, t)
	if err != nil {
		return err
	}
	locale, err := k.locale()
	if err != nil {
		return err
	}
	k.etag(t.Version)
	return k.reply(http.StatusOK, k.taskOut(&t, deals[t.Key], prompts[t.Key], locale))
}

// theTask is the task of the path, if this caller may see it.
func (k *call) theTask() (prestock.Task, error) {
	key, err := k.key(ident.Prestock, "pre-stock task")
	if err != nil {
		return prestock.Task{}, err
	}
	t, err := k.Prestock.Task(k.ctx, key)
	// A store sees what it was asked, not what is being planned.
	if err == nil && k.who.Role == auth.RoleStore && (t.Store != k.who.Store || len(t.Prompts) == 0) {
		err = fault.Missing("pre-stock task")
	}
	return t, err
}

func (k *call) getTask() error { return k.replyTask(k.theTask()) }

func (k *call) listTasks() error {
	statuses, err := k.statuses(func(s string) bool { return slices.Contains(prestock.Statuses, prestock.Status(s)) })
	if err != nil {
		return err
	}
	f := prestock.Filter{Store: k.who.Store, Prompted: k.who.Role == auth.RoleStore}
	for _, s := range statuses {
		f.Statuses = append(f.Statuses, prestock.Status(s))
	}
	if f.Cursor, f.Limit, err = k.page(); err != nil {
		return err
	}
	if id := k.query("campaign_id"); id != "" {
		key, ok := k.names.Parse(ident.Campaign, id)
		if !ok {
			return k.emptyIfMissing(fault.Missing("campaign"))
		}
		f.Campaign = key
	}
	if id := k.query("store_id"); id != "" && f.Store == 0 {
		s, err := k.storeByRef(id)
		if err != nil {
			return k.emptyIfMissing(err)
		}
		f.Store = s.Key
	}
	tasks, more, err := k.Prestock.Tasks(k.ctx, f)
	if err != nil {
		return err
	}
	prompts, err := k.promptsOut(tasks...)
	if err != nil {
		return err
	}
	deals, err := k.Prestock.Deals(k.ctx, tasks...)
	if err != nil {
		return err
	}
	locale, err := k.locale()
	if err != nil {
		return err
	}
	out := make([]wireTask, len(tasks))
	var last int64
	for i := range tasks {
		out[i], last = k.taskOut(&tasks[i], deals[tasks[i].Key], prompts[tasks[i].Key], locale), tasks[i].Key
	}
	return k.reply(http.StatusOK, newList(k.names, out, more, last))
}

func (k *call) acknowledgeTask() error {
	var in struct {
		Committed *int `json:"committed_quantity"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	if in.Committed == nil {
		return fault.InvalidField("/committed_quantity", "required", "say how many you will have: all, some or 0")
	}
	t, err := k.theTask()
	if err != nil {
		return err
	}
	return k.replyTask(k.Prestock.Acknowledge(k.ctx, t.Key, *in.Committed))
}

func (k *call) declineTask() error {
	var in reasonIn
	if err := k.decode(&in); err != nil {
		return err
	}
	if in.Reason == "" {
		return fault.InvalidField("/reason", "required", "say why, in a code or a few words")
	}
	t, err := k.theTask()
	if err != nil {
		return err
	}
	return k.replyTask(k.Prestock.Decline(k.ctx, t.Key, in.Reason))
}

func (k *call) stockedTask() error {
	var in struct {
		Counted *int `json:"counted_quantity"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	if in.Counted == nil {
		return fault.InvalidField("/counted_quantity", "required", "say how many you counted on the shelf")
	}
	t, err := k.theTask()
	if err != nil {
		return err
	}
	return k.replyTask(k.Prestock.Stocked(k.ctx, t.Key, *in.Counted))
}
