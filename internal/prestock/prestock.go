// Package prestock has goods on the right shelves before a peak.
//
// A campaign is a dated peak. Its plan asks each store for some units of each SKU, one task a
// store and SKU. Once the campaign is approved, the stores are prompted at its leads, answer all,
// some or none, and count what has arrived; counted units are ordinary stock that serves orders.
//
//	         Plan        Approve             at the leads
//	draft ───────► planned ───────► approved ─ ─ ─ ─ ─ ─ ─►   (campaign)
//
//	                     all   ┌► acknowledged ──────────┐  counted    ┌► stocked ───┐  over  ┌► consumed
//	planned ──► prompted ──────┼► partially_acknowledged ┼─────────────┼► shortfall ─┼────────┼► released
//	                           ├► declined               │  not        └► lapsed     │
//	                           └► expired                └─ counted ─────┘
//
//	cancelled from every state that is not final
//
// A store may change its answer while units are still wanted: an answer sets what is committed,
// never above what has not been asked of others meanwhile. That is also the one way out of
// declined and expired, and back from acknowledged when a store finds that it promised too much.
//
// What a task asks is at every moment committed here, reallocated (asked of other stores, as tasks
// of their own whose parent this one is), or unallocated:
//
//	asked = committed + reallocated + unallocated
//
// A shortfall goes to the next stores at once with the answer that causes it, or at the deadline.
// It goes ring by ring to stores that did not refuse this SKU and have room: every refusal takes a
// store out for good, so the chain of tasks ends.
//
// A plan is made in memory on a sheet of stores and SKUs (plan_sheet.go): what customers will want is
// learnt from the past (past.go, package forecast), what each store is asked is decided neighbourhood by
// neighbourhood (plan_decide.go), and only the difference to the plan before is written, in
// transactions of bounded size (plan_write.go). The nightly replenishment is a campaign like any other,
// of a kind of its own (replenish.go).
//
// Room on a shelf is what shelf_units leaves beside the stock and the units of open tasks, of all
// campaigns. Every task that opens claims its room with one conditional statement (room.go); a
// store with unknown shelf_units has no bound.
package prestock

import (
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/partner"
)

// The states of a campaign.
const (
	Draft     = "draft"
	Planned   = "planned"
	Approved  = "approved"
	Finished  = "finished"
	Cancelled = "cancelled"
)

// The kinds of a campaign.
const (
	Peak          = "peak"
	Replenishment = "replenishment" // of one night, see Replenish
)

// Campaign is a dated peak, or what one night's replenishment asks.
type Campaign struct {
	Key       int64
	Kind      string
	Night     *int64 // of a replenishment, days since 1970-01-01
	Name      string
	Status    string
	StartsAt  time.Time
	EndsAt    time.Time
	SKUs      []SKU      // in the order given
	Cells     []geo.Cell // where, resolution 4 to 9; empty: everywhere
	Leads     []int      // seconds before the start, the longest first
	Version   int64
	Chain     event.Chain
	CreatedAt time.Time
	UpdatedAt time.Time
}

// SKU is what a campaign needs of one SKU.
type SKU struct {
	SKU             string
	ExpectedUnits   *int     // over the campaign in all its cells; nil: from past demand
	Uplift          *float64 // expected demand as a multiple of the usual; nil: 1
	UnitMargin      *Money   // earned by a unit sold
	UnitHoldingCost *Money   // lost by a unit left over
	UnitFee         *Money   // that the store gets for a unit sold; it is told so
	CasePack        int      // units come in multiples of it
}

// Money is an amount in minor units of an ISO 4217 currency.
type Money struct {
	Amount   int64
	Currency string
}

// Status is the state of a task.
type Status string

// The states of a task; Planned and Cancelled are shared with the campaign.
const (
	Prompted     Status = "prompted"
	Acknowledged Status = "acknowledged"
	Partially    Status = "partially_acknowledged"
	Declined     Status = "declined"
	Expired      Status = "expired"
	Stocked      Status = "stocked"
	Shortfall    Status = "shortfall"
	Lapsed       Status = "lapsed"
	Consumed     Status = "consumed"
	Released     Status = "released"
)

// Statuses are all states of a task.
var Statuses = []Status{Planned, Prompted, Acknowledged, Partially, Declined, Expired, Stocked, Shortfall, Lapsed, Consumed,
	Released, Cancelled}

// Task is what one store is asked to have on its shelf: "24 of these by Friday 18:00".
type Task struct {
	Key           int64
	Campaign      int64
	Store         int64
	Cell          geo.Cell // the store's, of resolution geo.DemandRes
	SKU           string
	Parent        int64 // the task whose shortfall it takes; 0: from the plan
	Asked         int
	Committed     int
	Reallocated   int
	Counted       *int
	Leftover      *int // of the counted units, when the campaign was over; nil before
	Status        Status
	DeclineReason string
	ReasonText    string // why it was asked; "" of the plan's own tasks: see Why
	Why           Terms  // of the plan's own tasks
	// AckDeadline, StockDeadline: see deadlines. Until the first prompt they are what is expected.
	AckDeadline   time.Time
	StockDeadline time.Time
	HoldUntil     time.Time // the end of the campaign
	PromptedAt    time.Time // when the store first heard of it; zero: not yet
	Prompts       []Prompt
	Version       int64
	Chain         event.Chain
	CreatedAt     time.Time
	UpdatedAt     time.Time

	lead     int   // the last lead it was prompted for; noLead: none
	reminded int   // the last reminder, in percent of the time to answer, where it was looked up; see remembered
	nextAt   int64 // when to look at it next, milliseconds; 0: at the first lead
}

// noLead is above every lead.
const noLead = 1 << 31

// Unallocated is how many units are neither promised here nor asked elsewhere.
func (t *Task) Unallocated() int { return t.Asked - t.Committed - t.Reallocated }

// holds is the room on the shelf that the task keeps free. Once counted, the units are stock.
func (t *Task) holds() int {
	switch t.Status {
	case Planned, Prompted:
		return t.Asked - t.Reallocated
	case Acknowledged, Partially:
		return t.Committed
	}
	return 0
}

// deadlines are the moments by which a store that is asked at from has to answer, and to have
// counted the goods.
//
// The goods have to be there when the campaign starts. The last prompt goes out at the shortest
// lead, and half of that is the store's; the other half is left to those who step in for it. Who
// is asked late has half of what is left. The answer is due half-way to the goods. In a campaign
// that runs already, its end stands for its start.
func deadlines(from, starts, ends time.Time, shortest int) (ack, stock time.Time) {
	by := starts
	if from.Before(starts) {
		stock = starts.Add(-time.Duration(shortest) * time.Second / 2)
	} else {
		by = ends
	}
	if half := middle(from, by); stock.Before(half) {
		stock = half
	}
	return middle(from, stock), stock
}

func middle(a, b time.Time) time.Time { return a.Add(b.Sub(a) / 2).Truncate(time.Millisecond) }

// dueLead is the shortest lead whose time has come, that is the latest; ok is false before the first.
func (c *Campaign) dueLead(now time.Time) (lead int, ok bool) {
	for i := len(c.Leads) - 1; i >= 0; i-- {
		if !now.Before(c.leadAt(c.Leads[i])) {
			return c.Leads[i], true
		}
	}
	return 0, false
}

func (c *Campaign) leadAt(lead int) time.Time {
	return c.StartsAt.Add(-time.Duration(lead) * time.Second)
}

func (c *Campaign) shortest() int { return c.Leads[len(c.Leads)-1] }

// running reports whether stores are asked on behalf of the campaign at now.
func (c *Campaign) running(now time.Time) bool { return c.Status == Approved && now.Before(c.EndsAt) }

func (c *Campaign) casePack(sku string) int {
	for _, s := range c.SKUs {
		if s.SKU == sku {
			return s.CasePack
		}
	}
	return 1
}

// area tells of a cell of resolution geo.MatchRes whether its stores take part. There may be many
// cells and many stores, but few resolutions.
func (c *Campaign) area() func(geo.Cell) bool {
	if len(c.Cells) == 0 {
		return func(geo.Cell) bool { return true }
	}
	byRes := map[int]map[geo.Cell]bool{}
	for _, cell := range c.Cells {
		r := cell.Resolution()
		if byRes[r] == nil {
			byRes[r] = map[geo.Cell]bool{}
		}
		byRes[r][cell] = true
	}
	return func(cell geo.Cell) bool {
		for r, cells := range byRes {
			if up, err := geo.Parent(cell, r); err == nil && cells[up] {
				return true
			}
		}
		return false
	}
}

// Book is what one can ask of campaigns and tasks. It is safe for concurrent use.
type Book struct {
	db     *db.DB
	stores *partner.Book

	network  pooled
	progress memos
}

// NewBook is the book of the campaigns in d, for the stores of stores.
func NewBook(d *db.DB, stores *partner.Book) *Book { return &Book{db: d, stores: stores} }
