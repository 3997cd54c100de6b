package prestock

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/job"
)

// The states of a plan's run.
//
//	           a job begins                          all is written
//	queued ──────────────────► running ───────────────────────────► done
//	                            │   ▲ └─────────────────────────────► failed   (the sender has to mend something)
//	        stopped, or died    ▼   │ planned again; in the background by the job
//	                          interrupted
const (
	PlanQueued      = "queued"
	PlanRunning     = "running"
	PlanInterrupted = "interrupted"
	PlanDone        = "done"
	PlanFailed      = "failed"
)

// What a running plan does.
const (
	stepReading  = "reading"
	stepLearning = "learning"
	stepDeciding = "deciding"
	stepWriting  = "writing"
)

// PlanRun is how far the last run of a campaign's plan is.
type PlanRun struct {
	State       string
	Step        string // of a running one: reading, learning, deciding, writing
	Background  bool
	DoneStores  int // whose tasks are written
	TotalStores int
	StartedAt   time.Time // or queued
	UpdatedAt   time.Time
	FinishedAt  *time.Time
	Problem     string      // of a failed one
	Result      *PlanResult // of one that is done
}

const (
	planLease = time.Minute // how long a dead process blocks the plan of its campaign
	keepAlive = 15 * time.Second
	planTries = 5 // of one in the background that dies
)

func leaseOf(campaign int64) string { return fmt.Sprintf("plan:%d", campaign) }

// planRun is a run that this process makes. Only one at a time holds the campaign's lease.
type planRun struct {
	book     *Book
	campaign int64
	lease    db.Lease
	watch    func(PlanRun)
	state    PlanRun
	told     time.Time
	ctx      context.Context // ends when the lease is lost
	stop     context.CancelCauseFunc
	ended    chan struct{}
	complete bool // done was committed

	part, parts int // of the campaign's SKUs, where they are too many to be planned together
}

// beginRun takes the campaign's lease; 409 plan-running when somebody has it.
func (b *Book) beginRun(ctx context.Context, campaign int64, background bool, watch func(PlanRun)) (*planRun, error) {
	lease, err := b.db.Acquire(ctx, leaseOf(campaign), rand.Text(), planLease)
	if errors.Is(err, db.ErrLeased) {
		return nil, fault.Refused("plan-running", []string{"cancel"}, "the campaign is being planned at this moment, or its planner died less than a minute ago").After(keepAlive)
	}
	if err != nil {
		return nil, err
	}
	r := &planRun{book: b, campaign: campaign, lease: lease, watch: watch, ended: make(chan struct{}),
		state: PlanRun{State: PlanRunning, Step: stepReading, Background: background, StartedAt: b.db.Now(), UpdatedAt: b.db.Now()}}
	if err := b.db.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO campaign_plan (campaign_key, state, step, background, tries, done_stores, total_stores, started_at, updated_at, problem, result)
			VALUES (?, 'running', ?, ?, 1, 0, 0, ?, ?, '', '')
			ON CONFLICT (campaign_key) DO UPDATE SET state = excluded.state, step = excluded.step, background = excluded.background,
				tries = CASE WHEN excluded.background = TRUE THEN campaign_plan.tries + 1 ELSE 1 END, done_stores = 0, total_stores = 0,
				started_at = excluded.started_at, updated_at = excluded.updated_at, finished_at = NULL, problem = '', result = ''`,
			campaign, r.state.Step, background, tx.Now().UnixMilli(), tx.Now().UnixMilli())
		return err
	}); err != nil {
		return nil, errors.Join(err, b.db.Release(context.WithoutCancel(ctx), lease))
	}
	r.ctx, r.stop = context.WithCancelCause(ctx)
	go r.keep()
	return r, nil
}

// keep renews the lease until the run ends.
func (r *planRun) keep() {
	defer close(r.ended)
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
			if _, err := r.book.db.Acquire(r.ctx, r.lease.Name, r.lease.Holder, planLease); errors.Is(err, db.ErrLeased) {
				r.stop(fault.Refused("lease-lost", nil, "another process plans the campaign now"))
				return
			}
		}
	}
}

// hold refuses a transaction of a run that is not the campaign's any more, and has others who change
// the campaign wait for its end.
func (r *planRun) hold(tx *db.Tx, c *Campaign) error {
	// By holder, who is no other run's, and not by fence: a process that was asleep for longer than its
	// lease, and whose place nobody took, renews it and goes on.
	var holder string
	if err := tx.Get(&holder, `SELECT holder FROM lease WHERE name = ?`, r.lease.Name); err != nil {
		return err
	}
	if holder != r.lease.Holder {
		return fault.Refused("lease-lost", nil, "another process plans the campaign now")
	}
	if _, err := tx.Exec(`UPDATE campaign SET version = version WHERE key = ?`, c.Key); err != nil {
		return err
	}
	now := Campaign{EndsAt: c.EndsAt}
	if err := tx.Get(&now.Status, `SELECT status FROM campaign WHERE key = ?`, c.Key); err != nil {
		return err
	}
	if err := now.plannable(tx.Now()); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE campaign_plan SET step = ?, done_stores = ?, total_stores = ?, updated_at = ? WHERE campaign_key = ?`,
		r.state.Step, r.state.DoneStores, r.state.TotalStores, tx.Now().UnixMilli(), c.Key)
	return err
}

// step notes how far the run is. The row is written with the next tasks, or now when there are none yet.
func (r *planRun) step(ctx context.Context, what string, done, total int) {
	changed := r.state.Step != what
	if r.parts > 1 {
		done = (r.part*total + done) / r.parts
	}
	r.state.Step, r.state.DoneStores, r.state.TotalStores, r.state.UpdatedAt = what, done, total, r.book.db.Now()
	if changed {
		// Only told: if it fails, the next transaction says so.
		_ = r.book.db.InTx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE campaign_plan SET step = ?, total_stores = ?, updated_at = ? WHERE campaign_key = ? AND state = 'running'`,
				what, total, tx.Now().UnixMilli(), r.campaign)
			return err
		})
	}
	if r.watch != nil && (changed || done == total || time.Since(r.told) > 100*time.Millisecond) {
		r.told = time.Now()
		r.watch(r.state)
	}
}

// finish says that there is a plan now; a plan that changed nothing leaves no trace in the log. A
// replenishment needs nobody's approval.
func (r *planRun) finish(ctx context.Context, result *PlanResult) error {
	return r.book.db.InTx(ctx, func(tx *db.Tx) error {
		c, err := lockCampaign(tx, r.campaign)
		if err != nil {
			return err
		}
		if err := r.hold(tx, &c); err != nil {
			return err
		}
		if c.Status == Draft || result.any() {
			if c.Status == Draft {
				c.Status = Planned
			}
			if err := saveCampaign(tx, &c, "campaign.planned", map[string]int{"tasks": result.Tasks, "asked": result.Asked, "unallocated": result.Unplaced,
				"created": result.Created, "updated": result.Changed, "removed": result.Removed}); err != nil {
				return err
			}
		}
		if c.Kind == Replenishment && c.Status == Planned {
			c.Status = Approved
			if err := saveCampaign(tx, &c, "campaign.approved", nil); err != nil {
				return err
			}
		}
		result.Status = c.Status
		return r.done(tx, result)
	})
}

// done keeps the result, in the transaction that says that there is a plan.
func (r *planRun) done(tx *db.Tx, result *PlanResult) error {
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	tx.OnCommit(func() { r.complete = true })
	_, err = tx.Exec(`UPDATE campaign_plan SET state = 'done', done_stores = total_stores, updated_at = ?, finished_at = ?, result = ? WHERE campaign_key = ?`,
		tx.Now().UnixMilli(), tx.Now().UnixMilli(), string(text), r.campaign)
	return err
}

// end gives the lease back, and records why a run did not get to its end. It returns that reason.
func (r *planRun) end(ctx context.Context, failed error) error {
	if cause := context.Cause(r.ctx); failed != nil && fault.As(cause) != nil {
		failed = cause // and not merely "cancelled"
	}
	r.stop(nil)
	<-r.ended
	// What ended the run must not keep it from saying so.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if failed != nil && !r.complete && fault.Code(failed) != "lease-lost" {
		state, problem := PlanInterrupted, ""
		if e := fault.As(failed); e != nil && (e.Kind == fault.Invalid || e.Kind == fault.Conflict || e.Kind == fault.NotFound) {
			state, problem = PlanFailed, e.Detail
		}
		failed = errors.Join(failed, r.book.db.InTx(ctx, func(tx *db.Tx) error {
			// Not when somebody has taken the lease without this run noticing: the row speaks of theirs by now.
			_, err := tx.Exec(`UPDATE campaign_plan SET state = ?, problem = ?, updated_at = ?, finished_at = ? WHERE campaign_key = ?
				AND EXISTS (SELECT 1 FROM lease WHERE name = ? AND holder = ?)`,
				state, problem, tx.Now().UnixMilli(), tx.Now().UnixMilli(), r.campaign, r.lease.Name, r.lease.Holder)
			return err
		}))
	}
	return errors.Join(failed, r.book.db.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE lease SET until_ms = 0 WHERE name = ? AND holder = ?`, r.lease.Name, r.lease.Holder)
		return err
	}))
}

type planRow struct {
	State       string
	Step        string
	Background  bool
	Tries       int
	DoneStores  int    `db:"done_stores"`
	TotalStores int    `db:"total_stores"`
	StartedAt   int64  `db:"started_at"`
	UpdatedAt   int64  `db:"updated_at"`
	FinishedAt  *int64 `db:"finished_at"`
	Problem     string
	Result      string
	Until       *int64 // of the lease
}

const planRows = `SELECT state, step, background, tries, done_stores, total_stores, started_at, updated_at, finished_at, problem, result,
	(SELECT until_ms FROM lease WHERE name = ?) AS until FROM campaign_plan WHERE campaign_key = ?`

// LastPlan is how far the last run of a campaign's plan is; nil when it was never planned.
func (b *Book) LastPlan(ctx context.Context, campaign int64) (*PlanRun, error) {
	return lastPlan(b.db.Read(ctx), campaign, b.db.Now())
}

func lastPlan(q db.Queryer, campaign int64, now time.Time) (*PlanRun, error) {
	var r planRow
	if err := q.Get(&r, planRows, leaseOf(campaign), campaign); errors.Is(err, db.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	p := &PlanRun{State: r.State, Step: r.Step, Background: r.Background, DoneStores: r.DoneStores, TotalStores: r.TotalStores,
		StartedAt: fromMs(r.StartedAt), UpdatedAt: fromMs(r.UpdatedAt), Problem: r.Problem}
	if r.FinishedAt != nil {
		t := fromMs(*r.FinishedAt)
		p.FinishedAt = &t
	}
	if p.State == PlanRunning && (r.Until == nil || *r.Until <= now.UnixMilli()) {
		p.State = PlanInterrupted // it died without a word
	}
	if r.Result != "" {
		p.Result = &PlanResult{}
		if err := json.Unmarshal([]byte(r.Result), p.Result); err != nil {
			return nil, fmt.Errorf("plan of campaign %d: %w", campaign, err)
		}
	}
	return p, nil
}

// PlanLater has the job prestock-plans make the plan, in whichever process runs it. What is wrong with
// the campaign shows as a failed run.
//
// Errors: 409 when the campaign is over, cancelled, or is being planned.
func (b *Book) PlanLater(ctx context.Context, campaign int64) (p PlanRun, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		c, err := lockCampaign(tx, campaign)
		if err != nil {
			return err
		}
		if err := c.plannable(tx.Now()); err != nil {
			return err
		}
		last, err := lastPlan(tx, campaign, tx.Now())
		if err != nil {
			return err
		}
		if last != nil && last.State == PlanQueued {
			p = *last
			return nil
		}
		if last != nil && last.State == PlanRunning {
			return fault.Refused("plan-running", []string{"cancel"}, "the campaign is being planned at this moment").After(keepAlive)
		}
		p = PlanRun{State: PlanQueued, Background: true, StartedAt: tx.Now(), UpdatedAt: tx.Now()}
		_, err = tx.Exec(`INSERT INTO campaign_plan (campaign_key, state, step, background, tries, done_stores, total_stores, started_at, updated_at, problem, result)
			VALUES (?, 'queued', '', TRUE, 0, 0, 0, ?, ?, '', '')
			ON CONFLICT (campaign_key) DO UPDATE SET state = excluded.state, step = '', background = TRUE, tries = 0, done_stores = 0, total_stores = 0,
				started_at = excluded.started_at, updated_at = excluded.updated_at, finished_at = NULL, problem = '', result = ''`,
			campaign, tx.Now().UnixMilli(), tx.Now().UnixMilli())
		return err
	})
	return p, err
}

const waitingPlans = `campaign_plan WHERE state IN ('queued', 'running', 'interrupted') AND background = TRUE`

// PlanJob is the name of the job that makes the plans asked for in the background.
const PlanJob = "prestock-plans"

// largePlan is how many tasks a plan may come to that is worth waiting for: a few seconds.
const largePlan = 200_000

// LargePlan reports whether a campaign's plan takes longer than a request should.
func (b *Book) LargePlan(ctx context.Context, campaign int64) (bool, error) {
	var tasks int
	err := b.db.Read(ctx).Get(&tasks, `SELECT (SELECT count(*) FROM campaign_sku WHERE campaign_key = ?) * (SELECT count(*) FROM store WHERE removed_at IS NULL)`, campaign)
	return tasks > largePlan, err
}

// planJob makes the plans that were asked for in the background.
func planJob(b *Book) job.Job {
	return job.Job{Name: PlanJob, Schedule: job.Every(time.Minute), CatchUp: 1,
		Idle: b.idle(b.anyPlan), Run: b.run([]sweep{{"plans made", b.PlanWaiting}})}
}

func (b *Book) anyPlan(ctx context.Context) (bool, error) { return b.exists(ctx, waitingPlans) }

// PlanWaiting makes the plans that were asked for in the background, those that a dead process left
// included, and returns how many it brought to an end.
func (b *Book) PlanWaiting(ctx context.Context) (int, error) {
	var waiting []struct {
		Campaign int64 `db:"campaign_key"`
		Tries    int
	}
	if err := b.db.Read(ctx).Select(&waiting, `SELECT campaign_key, tries FROM `+waitingPlans+` ORDER BY started_at, campaign_key`); err != nil {
		return 0, err
	}
	done := 0
	for _, w := range waiting {
		if w.Tries >= planTries {
			if err := b.giveUp(ctx, w.Campaign); err != nil {
				return done, err
			}
			continue
		}
		_, err := b.runPlan(ctx, w.Campaign, true, nil)
		switch {
		case err == nil:
			done++
		case fault.Code(err) == "plan-running", fault.Code(err) == "lease-lost": // by somebody else, or not known to be dead yet
		case fault.KindOf(err) == fault.Conflict, fault.KindOf(err) == fault.Invalid, fault.KindOf(err) == fault.NotFound:
			if err := b.fail(ctx, w.Campaign, fault.As(err).Detail); err != nil {
				return done, err
			}
			done++
		default:
			return done, err
		}
	}
	return done, nil
}

func (b *Book) giveUp(ctx context.Context, campaign int64) error {
	last, err := b.LastPlan(ctx, campaign)
	if err != nil || last == nil || last.State == PlanRunning {
		return err
	}
	return b.fail(ctx, campaign, fmt.Sprintf("it was begun %d times and never came to its end", planTries))
}

func (b *Book) fail(ctx context.Context, campaign int64, why string) error {
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE campaign_plan SET state = 'failed', problem = ?, updated_at = ?, finished_at = ? WHERE campaign_key = ? AND state <> 'done'`,
			why, tx.Now().UnixMilli(), tx.Now().UnixMilli(), campaign)
		return err
	})
}

// wholePlan refuses a campaign whose plan is being written, or was left in the middle.
func wholePlan(q db.Queryer, campaign int64) error {
	switch p, err := lastPlan(q, campaign, time.Time{}); {
	case err != nil || p == nil || p.State == PlanDone:
		return err
	case p.State == PlanFailed:
		return fault.Refused("plan-unfinished", []string{"plan", "cancel"}, "its last plan failed: plan it again")
	default:
		return fault.Refused("plan-unfinished", []string{"plan", "cancel"}, "its plan is not whole yet: wait for it, or plan it again if it was interrupted")
	}
}
