// Package job runs named work on a schedule, once across all processes that share a database.
//
// The ticker (robfig/cron) only asks "is it time?" once a second, of a number in memory. The truth
// is a row per job and slot:
//
//	            ┌───────────────── shut down in the middle
//	            ▼                       │
//	(time) ──► due ──► running ──► done │
//	            ▲       │  ▲ └──────────┘
//	            │       ▼  │ the process died: its lease ran out
//	            └──── failed       (up to maxTries, at later ticks)
//	(time) ──► skipped             (older than CatchUp: missed, not made up)
//
// Whoever holds the lease "job:<name>" enlists the slots that came due and claims them, newest
// first. A claim writes the lease's fence into the row, and Slot.Hold and Slot.Done refuse a
// holder whose row was claimed by somebody else meanwhile. A Run that puts its effect and Done
// into one transaction therefore has its effect exactly once, whatever dies when.
//
// The first time a job is seen, its newest past slot is recorded as skipped: nothing is caught up
// from before it was installed.
package job

import (
	"context"
	"sync/atomic"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
)

// Job is named work.
type Job struct {
	Name     string // kebab-case, unique, stable: its rows are found by it
	Schedule Schedule
	CatchUp  int           // how many missed slots are made up after downtime; 0 means 1
	Lease    time.Duration // how long a dead process blocks the job; 0 means a minute
	// Idle, if given, is asked before a slot that is due: true means there is nothing to do, and
	// the slot passes without a row.
	Idle func(ctx context.Context) (bool, error)
	// Run does the work of one slot. Its context ends when the lease is lost or the runner is told
	// to hurry. An error or a panic is a failed try. It must be safe to begin again.
	Run func(ctx context.Context, s *Slot) error
}

const (
	maxTries     = 5
	defaultLease = time.Minute
	maxNote      = 500 // bytes of an error kept in a row
)

// The states of a slot.
const (
	due     = "due"
	running = "running"
	done    = "done"
	failed  = "failed"
	skipped = "skipped"
)

// Slot is one claimed run of a job.
type Slot struct {
	Job string
	At  time.Time // when it was due, which may be long ago; UTC
	Try int       // 1 at the first

	manual bool // asked for by a person, who sees the error and decides
	fence  int64
	marked atomic.Bool // Done was committed
}

// Hold refuses when the slot is no longer this holder's: call it first in a transaction with an
// effect. Until that transaction ends nobody else can claim the slot.
func (s *Slot) Hold(tx *db.Tx) error {
	// An UPDATE and not a SELECT: on PostgreSQL it locks the row against a claim.
	n, err := tx.Exec(`UPDATE job_slot SET fence = fence WHERE job = ? AND slot = ? AND state = ? AND fence = ? AND tries = ?`,
		s.Job, s.At.UnixMilli(), running, s.fence, s.Try)
	return s.held(n, err)
}

// Done marks the slot done in the transaction of its effect; it refuses like Hold. note is for a
// person: "12 offers expired".
func (s *Slot) Done(tx *db.Tx, note string) error {
	if err := s.finish(tx, done, s.Try, note); err != nil {
		return err
	}
	tx.OnCommit(func() { s.marked.Store(true) })
	return nil
}

func (s *Slot) finish(tx *db.Tx, state string, tries int, note string) error {
	n, err := tx.Exec(`UPDATE job_slot SET state = ?, tries = ?, finished_at = ?, note = ?
		WHERE job = ? AND slot = ? AND state = ? AND fence = ? AND tries = ?`,
		state, tries, tx.Now().UnixMilli(), shorten(note), s.Job, s.At.UnixMilli(), running, s.fence, s.Try)
	return s.held(n, err)
}

func (s *Slot) held(rows int64, err error) error {
	if err == nil && rows == 0 {
		return fault.Refused("lease-lost", nil, "the run of %s at %s was taken over by another process", s.Job, s.At.Format(time.RFC3339))
	}
	return err
}

// Status is what a person wants to know about a job.
type Status struct {
	Name      string
	Schedule  string
	LastSlot  *time.Time // nil: never seen by a runner
	LastState string     // due, running, done, failed, skipped
	LastNote  string     // what came of it, or why it failed
	// StartedAt and FinishedAt are of the last try of the last slot; nil: not yet.
	StartedAt, FinishedAt *time.Time
	NextSlot              time.Time // zero: none
}
