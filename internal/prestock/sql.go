package prestock

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
)

func fromMs(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

const campaignColumns = `key, name, status, starts_at, ends_at, cells, leads, last_event, event_count, version, created_at, updated_at, kind, night`

type campaignRow struct {
	Key      int64
	Name     string
	Status   string
	StartsAt int64 `db:"starts_at"`
	EndsAt   int64 `db:"ends_at"`
	Cells    string
	Leads    string
	event.Chain
	Version   int64
	CreatedAt int64 `db:"created_at"`
	UpdatedAt int64 `db:"updated_at"`
	Kind      string
	Night     *int64
}

type skuRow struct {
	CampaignKey   int64 `db:"campaign_key"`
	SKU           string
	ExpectedUnits *int     `db:"expected_units"`
	Uplift        *float64 `db:"uplift"`
	Margin        *int64   `db:"margin_amount"`
	HoldingCost   *int64   `db:"holding_cost_amount"`
	Fee           *int64   `db:"fee_amount"`
	FeeCurrency   string   `db:"fee_currency"`
	Currency      string
	CasePack      int `db:"case_pack"`
}

func (r skuRow) sku() SKU {
	in := func(amount *int64, currency string) *Money {
		if amount == nil {
			return nil
		}
		return &Money{*amount, currency}
	}
	money := func(amount *int64) *Money { return in(amount, r.Currency) }
	return SKU{SKU: r.SKU, ExpectedUnits: r.ExpectedUnits, Uplift: r.Uplift, UnitMargin: money(r.Margin),
		UnitHoldingCost: money(r.HoldingCost), UnitFee: in(r.Fee, r.FeeCurrency), CasePack: r.CasePack}
}

func (r campaignRow) campaign() (Campaign, error) {
	c := Campaign{Key: r.Key, Name: r.Name, Status: r.Status, StartsAt: fromMs(r.StartsAt), EndsAt: fromMs(r.EndsAt),
		Version: r.Version, Chain: r.Chain, CreatedAt: fromMs(r.CreatedAt), UpdatedAt: fromMs(r.UpdatedAt), Kind: r.Kind, Night: r.Night}
	var cells []string
	if err := json.Unmarshal([]byte(r.Cells), &cells); err != nil {
		return c, fmt.Errorf("campaign %d: cells: %w", r.Key, err)
	}
	for _, s := range cells {
		cell, err := geo.ParseCell(s)
		if err != nil {
			return c, fmt.Errorf("campaign %d: %w", r.Key, err)
		}
		c.Cells = append(c.Cells, cell)
	}
	if err := json.Unmarshal([]byte(r.Leads), &c.Leads); err != nil {
		return c, fmt.Errorf("campaign %d: leads: %w", r.Key, err)
	}
	return c, nil
}

// campaigns turns rows into campaigns and reads their SKUs, all at once; of one SKU alone unless only is empty.
func campaigns(q db.Queryer, rows []campaignRow, only string) ([]Campaign, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	list := make([]Campaign, len(rows))
	at := make(map[int64]int, len(rows))
	keys := make([]int64, len(rows))
	for i, r := range rows {
		var err error
		if list[i], err = r.campaign(); err != nil {
			return nil, err
		}
		at[r.Key], keys[i] = i, r.Key
	}
	query, args, err := db.In(`SELECT campaign_key, sku, expected_units, uplift, margin_amount, holding_cost_amount, currency, case_pack,
		fee_amount, fee_currency FROM campaign_sku WHERE campaign_key IN (?) AND (sku = ? OR ? = '') ORDER BY campaign_key, position`, keys, only, only)
	if err != nil {
		return nil, err
	}
	var skus []skuRow
	if err := q.Select(&skus, query, args...); err != nil {
		return nil, err
	}
	for _, s := range skus {
		c := &list[at[s.CampaignKey]]
		c.SKUs = append(c.SKUs, s.sku())
	}
	return list, nil
}

func loadCampaign(q db.Queryer, key int64) (Campaign, error) { return loadCampaignOf(q, key, "") }

// loadCampaignOf is a campaign with one of its SKUs only: a replenishment has every SKU that was ever sold,
// and an answer is about one.
func loadCampaignOf(q db.Queryer, key int64, sku string) (Campaign, error) {
	var r campaignRow
	if err := q.Get(&r, `SELECT `+campaignColumns+` FROM campaign WHERE key = ?`, key); errors.Is(err, db.ErrNoRows) {
		return Campaign{}, fault.Missing("campaign")
	} else if err != nil {
		return Campaign{}, err
	}
	list, err := campaigns(q, []campaignRow{r}, sku)
	if err != nil {
		return Campaign{}, err
	}
	return list[0], nil
}

// lockCampaign loads a campaign that must not change before the transaction ends; the empty update
// makes others wait on PostgreSQL, as they do on SQLite anyway.
func lockCampaign(tx *db.Tx, key int64) (Campaign, error) {
	if _, err := tx.Exec(`UPDATE campaign SET version = version WHERE key = ?`, key); err != nil {
		return Campaign{}, err
	}
	return loadCampaign(tx, key)
}

// lockPlanned keeps every campaign that could be approved as it is. Two that are approved in the same
// moment would not see each other on PostgreSQL; so one of them waits, or is run again.
func lockPlanned(tx *db.Tx) error {
	_, err := tx.Exec(`UPDATE campaign SET version = version WHERE status = 'planned' AND kind = 'peak'`)
	return err
}

func insertCampaign(tx *db.Tx, c *Campaign) error {
	cells := make([]string, len(c.Cells))
	for i, cell := range c.Cells {
		cells[i] = cell.String()
	}
	where, err := json.Marshal(cells)
	if err != nil {
		return err
	}
	leads, err := json.Marshal(c.Leads)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO campaign (`+campaignColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.Key, c.Name, c.Status, c.StartsAt.UnixMilli(), c.EndsAt.UnixMilli(), string(where), string(leads),
		c.Chain.Last, c.Chain.Count, c.Version, c.CreatedAt.UnixMilli(), c.UpdatedAt.UnixMilli(), c.Kind, c.Night); err != nil {
		return err
	}
	for i, s := range c.SKUs {
		var margin, cost, fee *int64
		unit, feeUnit := "", ""
		if s.UnitFee != nil {
			fee, feeUnit = &s.UnitFee.Amount, s.UnitFee.Currency
		}
		if s.UnitMargin != nil {
			margin, unit = &s.UnitMargin.Amount, s.UnitMargin.Currency
		}
		if s.UnitHoldingCost != nil {
			cost, unit = &s.UnitHoldingCost.Amount, s.UnitHoldingCost.Currency
		}
		if _, err := tx.Exec(`INSERT INTO campaign_sku (campaign_key, position, sku, expected_units, uplift, margin_amount,
			holding_cost_amount, currency, case_pack, fee_amount, fee_currency) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			c.Key, i, s.SKU, s.ExpectedUnits, s.Uplift, margin, cost, unit, s.CasePack, fee, feeUnit); err != nil {
			return err
		}
	}
	return nil
}

// saveCampaign writes back the status of a locked campaign with the event that says why.
func saveCampaign(tx *db.Tx, c *Campaign, what string, data any) error {
	if err := event.Append(tx, &c.Chain, event.New{Type: what, Subject: c.Key, Data: data}); err != nil {
		return err
	}
	c.Version, c.UpdatedAt = c.Version+1, tx.Now()
	_, err := tx.Exec(`UPDATE campaign SET status = ?, last_event = ?, event_count = ?, version = ?, updated_at = ?,
		approved_at = CASE WHEN ? = 'approved' THEN coalesce(approved_at, ?) ELSE approved_at END WHERE key = ?`,
		c.Status, c.Chain.Last, c.Chain.Count, c.Version, c.UpdatedAt.UnixMilli(), c.Status, c.UpdatedAt.UnixMilli(), c.Key)
	return err
}

const taskColumns = `key, campaign_key, store_key, cell, sku, parent_key, asked, committed, reallocated, counted, status, reason,
	reason_text, lead_s, ack_deadline, stock_deadline, hold_until, last_event, event_count, version, created_at, updated_at, leftover,
	prompted_at, next_at, uplift, cell_units, near_units`

type taskRow struct {
	Key           int64
	Campaign      int64 `db:"campaign_key"`
	Store         int64 `db:"store_key"`
	Cell          int64
	SKU           string
	Parent        int64 `db:"parent_key"`
	Asked         int
	Committed     int
	Reallocated   int
	Counted       *int
	Status        string
	Reason        string
	ReasonText    string `db:"reason_text"`
	Lead          int    `db:"lead_s"`
	AckDeadline   int64  `db:"ack_deadline"`
	StockDeadline int64  `db:"stock_deadline"`
	HoldUntil     int64  `db:"hold_until"`
	event.Chain
	Version   int64
	CreatedAt int64 `db:"created_at"`
	UpdatedAt int64 `db:"updated_at"`
	Leftover  *int
	promptRow
	termsRow
}

func (r taskRow) task() Task {
	return Task{Key: r.Key, Campaign: r.Campaign, Store: r.Store, Cell: geo.Cell(r.Cell), SKU: r.SKU, Parent: r.Parent,
		Asked: r.Asked, Committed: r.Committed, Reallocated: r.Reallocated, Counted: r.Counted, Status: Status(r.Status),
		DeclineReason: r.Reason, ReasonText: r.ReasonText, AckDeadline: fromMs(r.AckDeadline),
		StockDeadline: fromMs(r.StockDeadline), HoldUntil: fromMs(r.HoldUntil), Version: r.Version, Chain: r.Chain,
		CreatedAt: fromMs(r.CreatedAt), UpdatedAt: fromMs(r.UpdatedAt), Leftover: r.Leftover, PromptedAt: r.promptedAt(), lead: r.Lead, nextAt: r.NextAt, Why: r.terms()}
}

func selectTasks(q db.Queryer, query string, args ...any) ([]Task, error) {
	var rows []taskRow
	if err := q.Select(&rows, `SELECT `+taskColumns+` FROM prestock_task `+query, args...); err != nil {
		return nil, err
	}
	list := make([]Task, len(rows))
	for i, r := range rows {
		list[i] = r.task()
	}
	return list, nil
}

func loadTask(q db.Queryer, key int64) (Task, error) {
	list, err := selectTasks(q, `WHERE key = ?`, key)
	if err == nil && len(list) == 0 {
		err = fault.Missing("pre-stock task")
	}
	if err != nil {
		return Task{}, err
	}
	return list[0], nil
}

// insertTask keeps a new task whose room was claimed.
func insertTask(tx *db.Tx, t *Task) error {
	t.CreatedAt, t.UpdatedAt, t.Version = tx.Now(), tx.Now(), 1
	n, err := tx.Exec(`INSERT INTO prestock_task (`+taskColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		t.Key, t.Campaign, t.Store, int64(t.Cell), t.SKU, t.Parent, t.Asked, t.Committed, t.Reallocated, t.Counted,
		string(t.Status), t.DeclineReason, t.ReasonText, t.lead, t.AckDeadline.UnixMilli(), t.StockDeadline.UnixMilli(),
		t.HoldUntil.UnixMilli(), t.Chain.Last, t.Chain.Count, t.Version, t.CreatedAt.UnixMilli(), t.UpdatedAt.UnixMilli(), t.Leftover, millis(t.PromptedAt), t.nextAt, t.Why.Uplift, t.Why.CellUnits, t.Why.NearUnits)
	if err == nil && n == 0 {
		err = db.ErrAgain // another process planned the same meanwhile
	}
	if err != nil {
		return err
	}
	return advance(tx, nil, t)
}

// deleteTask forgets a task that was planned and whose store never heard of it, and gives its room back.
func deleteTask(tx *db.Tx, t *Task) error {
	n, err := tx.Exec(`DELETE FROM prestock_task WHERE key = ? AND version = ?`, t.Key, t.Version)
	if err == nil && n == 0 {
		err = db.ErrAgain
	}
	if err != nil {
		return err
	}
	if _, err := claimRoom(tx, t.Store, -t.holds(), 0); err != nil {
		return err
	}
	return advance(tx, t, nil)
}

// saveTask writes t back over old and keeps the room on the shelf in step: room is what the shelf
// leaves for all tasks together, and ok is false when t needs more. When another transaction
// changed the row meanwhile, the whole function is run again.
func saveTask(tx *db.Tx, old, t *Task, room int) (ok bool, err error) {
	more := t.holds() - old.holds()
	if more > 0 {
		if ok, err = claimRoom(tx, t.Store, more, room); err != nil || !ok {
			return ok, err
		}
	}
	t.UpdatedAt = tx.Now()
	n, err := tx.Exec(`UPDATE prestock_task SET asked = ?, committed = ?, reallocated = ?, counted = ?, status = ?, reason = ?,
		reason_text = ?, lead_s = ?, ack_deadline = ?, stock_deadline = ?, last_event = ?, event_count = ?, version = version + 1,
		updated_at = ?, leftover = ?, prompted_at = ?, next_at = ? WHERE key = ? AND version = ?`,
		t.Asked, t.Committed, t.Reallocated, t.Counted, string(t.Status), t.DeclineReason, t.ReasonText, t.lead,
		t.AckDeadline.UnixMilli(), t.StockDeadline.UnixMilli(), t.Chain.Last, t.Chain.Count, t.UpdatedAt.UnixMilli(), t.Leftover,
		millis(t.PromptedAt), t.nextAt, t.Key, t.Version)
	if err == nil && n == 0 {
		err = db.ErrAgain
	}
	if err != nil {
		return false, err
	}
	t.Version++
	// Given back once the row has said that nobody else did.
	if more < 0 {
		if _, err := claimRoom(tx, t.Store, more, room); err != nil {
			return false, err
		}
	}
	if err := keepWord(tx, old, t); err != nil {
		return false, err
	}
	return true, advance(tx, old, t)
}

// among is `column IN (…)` and its arguments; the values are few and at least one.
func among[T ~string](column string, values []T) (string, []any) {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = string(v)
	}
	return column + ` IN (?` + strings.Repeat(`, ?`, len(values)-1) + `)`, args
}
