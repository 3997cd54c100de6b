package prestock

import (
	"cmp"
	"context"
	"slices"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
)

// chunk bounds the tasks that one transaction changes: some 20 ms, which others can wait.
const chunk = 500

// CreateCampaign announces a peak; nobody is asked for anything yet.
func (b *Book) CreateCampaign(ctx context.Context, in CampaignInput) (c Campaign, err error) {
	if c, err = in.decide(b.db.Now()); err != nil {
		return Campaign{}, err
	}
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		c.Key, c.Chain, c.Version = tx.NewKey(), event.Chain{}, 1
		c.CreatedAt, c.UpdatedAt = tx.Now(), tx.Now()
		if err := event.Append(tx, &c.Chain, event.New{Type: "campaign.created", Subject: c.Key, Data: map[string]any{"name": c.Name}}); err != nil {
			return err
		}
		return insertCampaign(tx, &c)
	})
	return c, err
}

// GetCampaign is one campaign; fault.Missing when there is none.
func (b *Book) GetCampaign(ctx context.Context, key int64) (Campaign, error) {
	return loadCampaign(b.db.Read(ctx), key)
}

// ListCampaigns is a page of campaigns, newest first, and whether more follow. cursor is the last
// key of the page before, 0 at the first.
func (b *Book) ListCampaigns(ctx context.Context, cursor int64, limit int) ([]Campaign, bool, error) {
	query, args := `SELECT `+campaignColumns+` FROM campaign`, []any{}
	if cursor != 0 {
		query, args = query+` WHERE key < ?`, append(args, cursor)
	}
	var rows []campaignRow
	if err := b.db.Read(ctx).Select(&rows, query+` ORDER BY key DESC LIMIT ?`, append(args, limit+1)...); err != nil {
		return nil, false, err
	}
	more := len(rows) > limit
	list, err := campaigns(b.db.Read(ctx), rows[:min(len(rows), limit)], "")
	return list, more, err
}

// Approve lets the prompts go out from now on. It is refused without a whole plan, when the campaign
// is over or cancelled, and with campaigns-overlap when an approved campaign asks stores of the same
// cells for one of its SKUs on the same days; approving again changes nothing.
func (b *Book) Approve(ctx context.Context, key int64) (c Campaign, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if c, err = lockCampaign(tx, key); err != nil || c.Status == Approved {
			return err
		}
		switch {
		case c.Status == Draft:
			return fault.Refused("wrong-state", []string{"plan", "cancel"}, "the campaign has no plan yet: make one first")
		case c.Status != Planned:
			return fault.Refused("wrong-state", nil, "the campaign is %s", c.Status)
		case !tx.Now().Before(c.EndsAt):
			return fault.Refused("too-late", []string{"cancel"}, "the campaign ended at %s", c.EndsAt.Format(time.RFC3339))
		}
		if err := wholePlan(tx, key); err != nil {
			return err
		}
		if err := lockPlanned(tx); err != nil {
			return err
		}
		if err := overlaps(tx, &c); err != nil {
			return err
		}
		c.Status = Approved
		return saveCampaign(tx, &c, "campaign.approved", nil)
	})
	return c, err
}

// Cancel ends a campaign: its tasks that are not final become cancelled, units already counted stay
// in the stores' stock. Cancelling again finishes what an interrupted Cancel left, else nothing.
func (b *Book) Cancel(ctx context.Context, key int64) (c Campaign, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if c, err = lockCampaign(tx, key); err != nil || c.Status == Cancelled {
			return err
		}
		if c.Status == Finished {
			return fault.Refused("wrong-state", nil, "the campaign is over")
		}
		c.Status = Cancelled
		return saveCampaign(tx, &c, "campaign.cancelled", nil)
	})
	if err != nil {
		return c, err
	}
	_, err = b.cancelTasks(ctx, key)
	return c, err
}

// cancelTasks cancels the open tasks of a campaign that takes no new ones. It goes by the index of tasks
// to be released, which a cancelled one leaves: what is done is not looked at again.
func (b *Book) cancelTasks(ctx context.Context, campaign int64) (int, error) {
	return b.inChunks(ctx, func(tx *db.Tx) ([]Task, error) {
		return selectTasks(tx, `WHERE hold_until = (SELECT ends_at FROM campaign WHERE key = ?) AND +campaign_key = ?
			AND status IN ('planned', 'prompted', 'acknowledged', 'partially_acknowledged', 'stocked', 'shortfall') LIMIT ?`, campaign, campaign, chunk)
	}, func(tx *db.Tx, t *Task) error {
		old := *t
		t.Status = Cancelled
		if old.Status != Planned { // the store never heard of a planned one
			if err := note(tx, t, "prestock.cancelled", told{}); err != nil {
				return err
			}
		}
		return shrink(tx, &old, t)
	})
}

// inChunks has f change what due finds, a transaction for each page, until due finds nothing. f
// must change each task so that due does not find it again.
func (b *Book) inChunks(ctx context.Context, due func(*db.Tx) ([]Task, error), f func(*db.Tx, *Task) error) (int, error) {
	done := 0
	for {
		n := 0
		err := b.db.InTx(ctx, func(tx *db.Tx) error {
			tasks, err := due(tx)
			if err != nil {
				return err
			}
			n = len(tasks)
			// Rows of stores are locked in one order, whoever works on them.
			slices.SortFunc(tasks, func(a, b Task) int { return cmp.Or(cmp.Compare(a.Store, b.Store), cmp.Compare(a.Key, b.Key)) })
			for i := range tasks {
				if err := f(tx, &tasks[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || n == 0 {
			return done, err
		}
		done += n
	}
}

// shrink saves a task that keeps no more room than before.
func shrink(tx *db.Tx, old, t *Task) error {
	_, err := saveTask(tx, old, t, unbounded)
	return err
}

// Filter narrows a list of tasks; zero fields do not. Cursor is the last key of the page before.
type Filter struct {
	Campaign int64
	Store    int64
	Statuses []Status
	Prompted bool // only tasks whose store was prompted: what a store may see
	Cursor   int64
	Limit    int // 0 is 50
}

// Tasks is a page of tasks with their prompts, in the order they were made, and whether more follow.
func (b *Book) Tasks(ctx context.Context, f Filter) ([]Task, bool, error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	where, args := `key > ?`, []any{f.Cursor}
	if f.Campaign != 0 {
		column := ` AND campaign_key = ?`
		if f.Store != 0 {
			column = ` AND +campaign_key = ?` // by the index of stores: a campaign may have millions of tasks
		}
		where, args = where+column, append(args, f.Campaign)
	}
	if f.Store != 0 {
		where, args = where+` AND store_key = ?`, append(args, f.Store)
	}
	if f.Prompted {
		where, args = where+` AND lead_s < ?`, append(args, noLead)
	}
	for _, s := range f.Statuses {
		if !slices.Contains(Statuses, s) {
			return nil, false, fault.InvalidField("/status", "unknown", "must be one of %v", Statuses)
		}
	}
	if len(f.Statuses) > 0 {
		in, values := among("status", f.Statuses)
		where, args = where+` AND `+in, append(args, values...)
	}
	q := b.db.Read(ctx)
	list, err := selectTasks(q, `WHERE `+where+` ORDER BY key LIMIT ?`, append(args, f.Limit+1)...)
	if err != nil {
		return nil, false, err
	}
	more := len(list) > f.Limit
	list = list[:min(len(list), f.Limit)]
	return list, more, withPrompts(q, list)
}

// Unanswered is a store whose time to answer is nearly over for some tasks.
type Unanswered struct {
	Store    int64
	Tasks    []int64 // those whose answer is due first come first
	Units    int     // asked in all
	Prompted time.Time
	Deadline time.Time // the first
}

// lastCall is the part of the time to answer after which a person should call: the last reminder has gone out.
const lastCall = 5 // the last fifth

// Unanswered are stores that were asked and have not answered yet though four fifths of their time are over,
// those whose time ends first come first, at most limit. It reads only tasks whose answer is due within a day.
func (b *Book) Unanswered(ctx context.Context, limit int) (list []Unanswered, all bool, err error) {
	const tasksAtMost = 5000
	now := b.db.Now().UnixMilli()
	var rows []struct {
		Key      int64
		Store    int64 `db:"store_key"`
		Asked    int
		Prompted int64 `db:"prompted_at"`
		Deadline int64 `db:"ack_deadline"`
	}
	if err := b.db.Read(ctx).Select(&rows, `SELECT key, store_key, asked, prompted_at, ack_deadline FROM prestock_task
		WHERE status = 'prompted' AND ack_deadline > ? AND ack_deadline <= ? AND prompted_at > 0 AND (ack_deadline - ?) * ? <= ack_deadline - prompted_at
		ORDER BY ack_deadline LIMIT ?`, now, now+24*time.Hour.Milliseconds(), now, lastCall, tasksAtMost); err != nil {
		return nil, false, err
	}
	at := map[int64]int{}
	for _, r := range rows {
		i, known := at[r.Store]
		if !known {
			if len(list) == limit {
				return list, false, nil
			}
			i = len(list)
			at[r.Store] = i
			list = append(list, Unanswered{Store: r.Store, Prompted: time.UnixMilli(r.Prompted).UTC(), Deadline: time.UnixMilli(r.Deadline).UTC()})
		}
		list[i].Tasks = append(list[i].Tasks, r.Key)
		list[i].Units += r.Asked
	}
	return list, len(rows) < tasksAtMost, nil
}

// Task is one task with its prompts; fault.Missing when there is none.
func (b *Book) Task(ctx context.Context, key int64) (Task, error) { return whole(b.db.Read(ctx), key) }

func whole(q db.Queryer, key int64) (Task, error) {
	t, err := loadTask(q, key)
	if err != nil {
		return t, err
	}
	one := []Task{t}
	err = withPrompts(q, one)
	return one[0], err
}

// WasPrompted reports whether the store has heard of the task.
func (t *Task) WasPrompted() bool { return t.lead < noLead }

// NamesOf are the names of the campaigns among keys, which are few.
func (b *Book) NamesOf(ctx context.Context, keys []int64) (map[int64]string, error) {
	names := map[int64]string{}
	if len(keys) == 0 {
		return names, nil
	}
	query, args, err := db.In(`SELECT key, name FROM campaign WHERE key IN (?)`, keys)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Key  int64
		Name string
	}
	err = b.db.Read(ctx).Select(&rows, query, args...)
	for _, r := range rows {
		names[r.Key] = r.Name
	}
	return names, err
}
