package prestock

import (
	"context"
	"fmt"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/partner"
)

const (
	maxReason  = 200
	maxCounted = 1_000_000 // what a shelf holds of a SKU
)

// told is what the event of a task says.
type told struct {
	CampaignID  string `json:"campaign_id"`
	StoreID     string `json:"store_id"`
	SKU         string `json:"sku"`
	Status      Status `json:"status"`
	Asked       int    `json:"asked_quantity"`
	Committed   int    `json:"committed_quantity"`
	Reallocated int    `json:"reallocated_quantity"`
	Counted     *int   `json:"counted_quantity,omitempty"`
	LeadS       int    `json:"lead_s,omitempty"`
	Kind        string `json:"kind,omitempty"`
	Parent      string `json:"parent_task_id,omitempty"`
	Stores      int    `json:"stores,omitempty"` // asked of so many others
	Left        int    `json:"left_quantity,omitempty"`
	Reason      string `json:"reason,omitempty"`
}

// note appends an event about t as it stands now. The caller saves t afterwards.
func note(tx *db.Tx, t *Task, what string, say told) error {
	name := tx.Names().Name
	say.CampaignID, say.StoreID, say.SKU = name(ident.Campaign, t.Campaign), name(ident.Store, t.Store), t.SKU
	say.Status, say.Asked, say.Committed, say.Reallocated, say.Counted = t.Status, t.Asked, t.Committed, t.Reallocated, t.Counted
	if t.Parent != 0 {
		say.Parent = name(ident.Prestock, t.Parent)
	}
	return event.Append(tx, &t.Chain, event.New{Type: what, Subject: t.Key, Store: t.Store, Data: say})
}

// Acknowledge is the store's answer: so many units will be on the shelf, all, some or 0. What it
// leaves goes to the next stores at once. The same answer again changes nothing.
//
// Errors: 422 above what was asked; 409 already-reallocated when others were asked for the units
// meanwhile or the time is over: its field /committed_quantity has the code open-quantity and, as
// detail, the largest number that may still be committed to; 409 wrong-state.
func (b *Book) Acknowledge(ctx context.Context, task int64, committed int) (Task, error) {
	return b.answer(ctx, task, committed, "")
}

// Decline is Acknowledge of 0 with a reason in the store's words, which may be empty.
func (b *Book) Decline(ctx context.Context, task int64, reason string) (Task, error) {
	if reason != "" {
		var f fault.Fields
		text(&f, "/reason", reason, maxReason)
		if err := f.Err(); err != nil {
			return Task{}, err
		}
	}
	return b.answer(ctx, task, 0, reason)
}

func (b *Book) answer(ctx context.Context, key int64, committed int, reason string) (Task, error) {
	return b.change(ctx, newTown(b.stores), key, committed, func(m *move) error {
		if err := m.mayAnswer(committed); err != nil || m.answered(committed) {
			return err
		}
		if err := m.commit(committed, reason); err != nil {
			return err
		}
		return announce(m.tx, m.Task, "")
	})
}

// move is one change of a task in a transaction.
type move struct {
	*Task
	tx       *db.Tx
	campaign Campaign
	old      Task
	next     []neighbour // who can step in, the nearest ring first
	changed  bool
}

// change loads a task, has f change it through the methods of move, and saves it. Who might step
// in when the store will have so many units is looked up before, so that the writer is not held
// meanwhile.
func (b *Book) change(ctx context.Context, w *town, key int64, units int, f func(*move) error) (t Task, err error) {
	before, err := loadTask(b.db.Read(ctx), key)
	if err != nil {
		return Task{}, err
	}
	var next []neighbour
	if units < before.Asked {
		if next, err = b.neighbours(ctx, w, &before); err != nil {
			return Task{}, err
		}
	}
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if t, err = loadTask(tx, key); err != nil {
			return err
		}
		m := &move{Task: &t, tx: tx, old: t, next: next}
		if m.campaign, err = loadCampaignOf(tx, t.Campaign, t.SKU); err != nil {
			return err
		}
		if err := f(m); err != nil {
			return err
		}
		if m.changed {
			if err := m.save(); err != nil {
				return err
			}
		}
		t, err = whole(tx, key)
		return err
	})
	return t, err
}

func (m *move) save() error {
	room := unbounded
	if m.holds() > m.old.holds() {
		s, err := partner.LoadTx(m.tx, m.Store)
		if err != nil {
			return err
		}
		if room, err = roomAt(m.tx, s.Key, s.ShelfUnits); err != nil {
			return err
		}
	}
	ok, err := saveTask(m.tx, &m.old, m.Task, room)
	if err != nil || ok {
		return err
	}
	used, err := claimed(m.tx, m.Store)
	if err != nil {
		return err
	}
	return alreadyReallocated(max(0, room-used+m.old.holds()), "the shelf has been promised to other tasks since")
}

// alreadyReallocated says that others were asked for what a late answer wants.
func alreadyReallocated(stillOpen int, why string) error {
	e := fault.Refused("already-reallocated", nil, "%s: %d units are still wanted here", why, stillOpen)
	if stillOpen > 0 {
		e.Allowed = []string{"acknowledge"}
	}
	e.Fields = []fault.Field{{Pointer: "/committed_quantity", Code: "open-quantity", Detail: fmt.Sprint(stillOpen)}}
	return e
}

// mayAnswer says whether the store may commit to n units now.
func (m *move) mayAnswer(n int) error {
	now := m.tx.Now()
	switch {
	case !m.WasPrompted() && (m.Status == Planned || m.Status == Prompted):
		return fault.Refused("wrong-state", nil, "the store has not been prompted yet")
	case n < 0 || n > maxUnits:
		return fault.InvalidField("/committed_quantity", "out-of-range", "0 to %d", m.Asked)
	case n > m.Asked:
		return fault.InvalidField("/committed_quantity", "more-than-asked", "%d units were asked: commit to all of them at most", m.Asked)
	}
	switch m.Status {
	case Prompted, Acknowledged, Partially, Declined, Expired:
	case Lapsed:
		return alreadyReallocated(0, "the time to have the goods there is over")
	case Planned:
		return fault.Refused("wrong-state", nil, "the store has not been prompted yet")
	case Stocked, Shortfall:
		return fault.Refused("wrong-state", []string{"stocked"}, "the goods were counted already")
	default:
		return fault.Refused("wrong-state", nil, "the task is %s", m.Status)
	}
	stillOpen := m.Asked - m.Reallocated
	switch {
	case m.answered(n):
		return nil
	case !m.campaign.running(now):
		return fault.Refused("wrong-state", nil, "the campaign %s is over", m.campaign.Name)
	case n > 0 && !now.Before(m.StockDeadline):
		return alreadyReallocated(0, "the time to have the goods there is over")
	case n > stillOpen:
		return alreadyReallocated(stillOpen, "other stores have been asked")
	}
	return nil
}

// answered reports whether the store said just this already.
func (t *Task) answered(n int) bool {
	return n == t.Committed && (t.Status == Acknowledged || t.Status == Partially || t.Status == Declined)
}

// commit takes the answer over and passes on what it leaves.
func (m *move) commit(n int, reason string) error {
	m.Committed, m.DeclineReason = n, reason
	switch {
	case n == m.Asked:
		m.Status = Acknowledged
	case n > 0:
		m.Status = Partially
	default:
		m.Status = Declined
	}
	return m.settle(told{Reason: reason})
}

// settle notes the state that t has come to and passes on what it leaves unallocated.
func (m *move) settle(say told) error {
	m.changed = true
	if err := note(m.tx, m.Task, "prestock."+string(m.Status), say); err != nil {
		return err
	}
	return m.reallocate()
}

// Stocked is what the store counted on its shelf for the task. The units join its stock and serve
// orders from the moment this returns. Fewer than committed is a shortfall; none at all lets the
// task lapse, and the units are asked of others. A store that had not answered has by counting.
//
// The same count again changes nothing, and more counted later is added. Less than before is
// refused with already-counted: the units have been stock since, so the shelf is to be counted.
func (b *Book) Stocked(ctx context.Context, task int64, counted int) (Task, error) {
	if counted < 0 || counted > maxCounted {
		return Task{}, fault.InvalidField("/counted_quantity", "out-of-range", "0 to %d", maxCounted)
	}
	return b.change(ctx, newTown(b.stores), task, counted, func(m *move) error {
		if m.Counted != nil && *m.Counted == counted {
			return nil
		}
		switch m.Status {
		case Prompted:
			n := min(counted, m.Asked)
			if err := m.mayAnswer(n); err != nil {
				return err
			}
			if err := m.commit(n, ""); err != nil {
				return err
			}
			if n == 0 {
				return announce(m.tx, m.Task, "")
			}
		case Acknowledged, Partially:
		case Stocked, Shortfall:
			if counted < *m.Counted {
				return fault.Refused("already-counted", nil, "%d units were counted and are stock since: count the shelf instead", *m.Counted)
			}
		case Planned:
			return fault.Refused("wrong-state", nil, "the store has not been prompted yet")
		case Lapsed, Expired, Declined:
			return alreadyReallocated(m.Unallocated(), "the task is "+string(m.Status)+"; goods that came anyway are counted as the shelf's stock")
		default:
			return fault.Refused("wrong-state", nil, "the task is %s", m.Status)
		}
		if err := m.count(b, counted); err != nil {
			return err
		}
		return announce(m.tx, m.Task, "")
	})
}

func (m *move) count(b *Book, counted int) error {
	if counted == 0 {
		m.Counted = &counted
		return m.lapse()
	}
	before := 0
	if m.Counted != nil {
		before = *m.Counted
	}
	m.Counted, m.changed = &counted, true
	m.Status = Stocked
	if counted < m.Committed {
		m.Status = Shortfall
	}
	if err := note(m.tx, m.Task, "prestock."+string(m.Status), told{}); err != nil {
		return err
	}
	return b.stores.AddStock(m.tx, m.Store, m.SKU, counted-before)
}

// lapse takes the promise back that was not kept.
func (m *move) lapse() error {
	m.Status, m.Committed = Lapsed, 0
	return m.settle(told{})
}

func (m *move) expire() error {
	m.Status = Expired
	return m.settle(told{})
}

// overdue reports whether a deadline of t has passed at now, and which end that means.
func (t *Task) overdue(now time.Time) Status {
	switch {
	case t.Status == Prompted && t.WasPrompted() && !now.Before(t.AckDeadline):
		return Expired
	case (t.Status == Acknowledged || t.Status == Partially) && !now.Before(t.StockDeadline):
		return Lapsed
	}
	return t.Status
}
