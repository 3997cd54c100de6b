package dropoff

import (
	"context"
	"time"

	"doorstep/internal/job"
)

// Jobs is the scheduled work on parcels that wait. All of it is safe twice, and asks an index first
// whether there is anything to do.
func Jobs(b *Book) []job.Job {
	idle := func(any func(context.Context) (bool, error)) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) { found, err := any(ctx); return !found, err }
	}
	run := func(f func(context.Context) (int, error)) func(context.Context, *job.Slot) error {
		return func(ctx context.Context, _ *job.Slot) error { _, err := f(ctx); return err }
	}
	return []job.Job{
		{Name: "holds", Schedule: job.Every(time.Minute), Idle: idle(b.AnyHoldDue), Run: run(b.EndHolds)},
		{Name: "overdue-steps", Schedule: job.Every(5 * time.Minute), Idle: idle(b.AnyOverdue), Run: run(b.TellOverdue)},
	}
}
