package prestock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/job"
	"doorstep/internal/partner"
)

// Jobs are the scheduled work: prompts and deadlines every minute, the end of campaigns every hour.
// Each effect is guarded by its own row, so a run twice, on two processes or after a crash does
// nothing more; a missed run is made up by the next.
func Jobs(b *Book) []job.Job {
	return []job.Job{
		{Name: "prestock-prompts", Schedule: job.Every(time.Minute), CatchUp: 1,
			// What is over goes first: after a long pause nobody is reminded of what is over a moment later.
			Idle: b.idle(b.anyPrompt), Run: b.run([]sweep{
				{"tasks expired", b.ExpireDue}, {"tasks lapsed", b.LapseDue}, {"prompts", b.PromptDue}})},
		{Name: "prestock-release", Schedule: job.Every(time.Hour), CatchUp: 1,
			Idle: b.idle(b.anyRelease), Run: b.run([]sweep{{"tasks ended", b.ReleaseDue}})},
		planJob(b), replenishJob(b),
		demandJob(b),
	}
}

type sweep struct {
	what string
	do   func(context.Context) (int, error)
}

func (b *Book) run(sweeps []sweep) func(context.Context, *job.Slot) error {
	return func(ctx context.Context, s *job.Slot) error {
		var notes []string
		var failed error
		for _, w := range sweeps { // one that fails keeps nobody from being prompted
			n, err := w.do(ctx)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", w.what, err))
			}
			if n > 0 {
				notes = append(notes, fmt.Sprintf("%d %s", n, w.what))
			}
		}
		if failed != nil {
			return failed
		}
		return b.db.InTx(ctx, func(tx *db.Tx) error { return s.Done(tx, strings.Join(notes, ", ")) })
	}
}

func (b *Book) idle(any func(context.Context) (bool, error)) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		due, err := any(ctx)
		return !due, err
	}
}

func (b *Book) exists(ctx context.Context, query string, args ...any) (bool, error) {
	var n int
	err := b.db.Read(ctx).Get(&n, `SELECT count(*) FROM (SELECT 1 FROM `+query+` LIMIT 1) AS found`, args...)
	return n > 0, err
}

func (b *Book) anyPrompt(ctx context.Context) (bool, error) {
	running, err := b.running(ctx)
	if err != nil {
		return false, err
	}
	now := b.db.Now()
	for i := range running {
		if _, ok := running[i].dueLead(now); !ok {
			continue
		}
		if due, err := b.exists(ctx, `prestock_task WHERE `+toPrompt, running[i].Key, now.UnixMilli()); due || err != nil {
			return due, err
		}
	}
	for _, due := range []string{expiring, lapsing} {
		if found, err := b.exists(ctx, `prestock_task WHERE `+due, now.UnixMilli()); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func (b *Book) anyRelease(ctx context.Context) (bool, error) {
	now := b.db.Now().UnixMilli()
	if due, err := b.exists(ctx, `prestock_task WHERE `+ending, now); due || err != nil {
		return due, err
	}
	if due, err := b.exists(ctx, `campaign WHERE `+over, now); due || err != nil {
		return due, err
	}
	return b.exists(ctx, `campaign WHERE `+halfCancelled, now)
}

// What is due. Each is the condition of a partial index.
const (
	toPrompt = `campaign_key = ? AND next_at <= ? AND status IN ('planned', 'prompted', 'acknowledged', 'partially_acknowledged')`
	expiring = `status = 'prompted' AND ack_deadline <= ? AND prompted_at > 0`
	lapsing  = `status IN ('acknowledged', 'partially_acknowledged') AND stock_deadline <= ?`
	ending   = `status IN ('planned', 'prompted', 'acknowledged', 'partially_acknowledged', 'stocked', 'shortfall') AND hold_until <= ?`
	over     = `status = 'approved' AND ends_at <= ?`
)

// halfCancelled are the campaigns whose Cancel was interrupted.
const halfCancelled = `status = 'cancelled' AND ends_at > ? AND EXISTS (SELECT 1 FROM prestock_task t WHERE t.hold_until = campaign.ends_at
	AND +t.campaign_key = campaign.key AND t.status IN ('planned', 'prompted', 'acknowledged', 'partially_acknowledged', 'stocked', 'shortfall'))`

// running are the approved campaigns that are not over.
func (b *Book) running(ctx context.Context) ([]Campaign, error) {
	q := b.db.Read(ctx)
	var rows []campaignRow
	if err := q.Select(&rows, `SELECT `+campaignColumns+` FROM campaign WHERE status = 'approved' AND ends_at > ? ORDER BY key`,
		b.db.Now().UnixMilli()); err != nil {
		return nil, err
	}
	return campaigns(q, rows, "")
}

// PromptDue sends the prompts and reminders that are due, to stores that have not counted yet, and
// returns how many; moment says when that is.
func (b *Book) PromptDue(ctx context.Context) (int, error) {
	running, err := b.running(ctx)
	if err != nil {
		return 0, err
	}
	sent := 0
	for i := range running {
		c := &running[i]
		if _, ok := c.dueLead(b.db.Now()); !ok {
			continue
		}
		n, err := b.promptAll(ctx, c.Key)
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

func (b *Book) promptAll(ctx context.Context, campaign int64) (sent int, err error) {
	for {
		found, told := 0, 0
		err := b.db.InTx(ctx, func(tx *db.Tx) (err error) {
			found, told, err = attendDue(tx, campaign)
			return err
		})
		if err != nil || found == 0 {
			return sent, err
		}
		sent += told
	}
}

// ExpireDue ends the tasks whose store did not answer in time, and asks the next stores. It returns
// how many.
func (b *Book) ExpireDue(ctx context.Context) (int, error) { return b.endDue(ctx, expiring) }

// LapseDue ends the tasks whose goods were not counted in time, and asks the next stores. It
// returns how many.
func (b *Book) LapseDue(ctx context.Context) (int, error) { return b.endDue(ctx, lapsing) }

// sweepers is how many of a sweep's transactions wait together, so that they share commits.
const sweepers = 16

func (b *Book) endDue(ctx context.Context, condition string) (int, error) {
	done, w := 0, newTown(b.stores)
	for {
		var keys []int64
		if err := b.db.Read(ctx).Select(&keys, `SELECT key FROM prestock_task WHERE `+condition+` ORDER BY key LIMIT ?`,
			b.db.Now().UnixMilli(), chunk); err != nil {
			return done, err
		}
		n, err := b.each(keys, func(key int64) (bool, error) { return b.end(ctx, w, key) })
		done += n
		// Nothing done although something is due: somebody else does it at this moment.
		if err != nil || n == 0 {
			return done, err
		}
	}
}

// end brings an overdue task to its end; false when it was not overdue any more.
func (b *Book) end(ctx context.Context, w *town, key int64) (done bool, err error) {
	_, err = b.change(ctx, w, key, 0, func(m *move) error {
		done = true
		switch m.overdue(m.tx.Now()) {
		case m.Status:
			done = false
			return nil
		case Expired:
			return m.expire()
		default:
			return m.lapse()
		}
	})
	return done, err
}

// each calls f for every key, several at once, and counts those that did something. A refusal is
// somebody else's success; anything else ends the sweep, which will come again.
func (b *Book) each(keys []int64, f func(int64) (bool, error)) (int, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	done := 0
	turn := make(chan struct{}, sweepers)
	for _, key := range keys {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			did, err := f(key)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && did:
				done++
			case err == nil || fault.KindOf(err) == fault.Conflict || fault.KindOf(err) == fault.NotFound:
			case first == nil:
				first = err
			}
		})
	}
	wg.Wait()
	return done, first
}

// ReleaseDue ends what is over: counted goods of which nothing is left are consumed, others
// released, and what never got so far is cancelled, expired or lapsed; then the campaign is
// finished. It returns how many tasks ended. It also finishes a Cancel that was interrupted.
func (b *Book) ReleaseDue(ctx context.Context) (int, error) {
	done, err := b.inChunks(ctx, func(tx *db.Tx) ([]Task, error) {
		return selectTasks(tx, `WHERE `+ending+` LIMIT ?`, tx.Now().UnixMilli(), chunk)
	}, release)
	if err != nil {
		return done, err
	}
	var cancelled []int64
	if err := b.db.Read(ctx).Select(&cancelled, `SELECT key FROM campaign WHERE `+halfCancelled,
		b.db.Now().UnixMilli()); err != nil {
		return done, err
	}
	for _, key := range cancelled {
		n, err := b.cancelTasks(ctx, key)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, b.finish(ctx)
}

func release(tx *db.Tx, t *Task) error {
	old := *t
	say := told{}
	switch t.Status {
	case Stocked, Shortfall:
		left, err := left(tx, t)
		if err != nil {
			return err
		}
		t.Leftover = &left
		if t.Status = Consumed; left > 0 {
			t.Status, say.Left = Released, left
		}
	case Acknowledged, Partially:
		t.Status, t.Committed = Lapsed, 0
	case Prompted:
		t.Status = Expired
	default:
		t.Status = Cancelled
	}
	if old.Status != Planned {
		if err := note(tx, t, "prestock."+string(t.Status), say); err != nil {
			return err
		}
	}
	return shrink(tx, &old, t)
}

// left is how many of the counted units still lie on the shelf, as far as one can tell: the shelf
// does not say which of its units came for a campaign.
func left(tx *db.Tx, t *Task) (int, error) {
	lines, err := partner.StockOf(tx, t.Store)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(lines, func(l partner.StockLine) bool { return l.SKU == t.SKU })
	if i < 0 || t.Counted == nil {
		return 0, nil
	}
	return min(lines[i].OnHand, *t.Counted), nil
}

// finish closes the campaigns that are over.
func (b *Book) finish(ctx context.Context) error {
	var keys []int64
	if err := b.db.Read(ctx).Select(&keys, `SELECT key FROM campaign WHERE `+over, b.db.Now().UnixMilli()); err != nil {
		return err
	}
	for _, key := range keys {
		if err := b.db.InTx(ctx, func(tx *db.Tx) error {
			c, err := lockCampaign(tx, key)
			if err != nil || c.Status != Approved {
				return err
			}
			c.Status = Finished
			return saveCampaign(tx, &c, "campaign.finished", nil)
		}); err != nil {
			return err
		}
	}
	return nil
}
