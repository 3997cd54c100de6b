package job

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"

	"github.com/robfig/cron/v3"
)

// pruneEvery is the number of turns between two prunings of a job.
const pruneEvery = 50

// Runner runs jobs. Several may share a database, in one process or in many.
type Runner struct {
	db     *db.DB
	log    *slog.Logger
	holder string
	works  []*work

	ticker *cron.Cron
	turns  sync.WaitGroup     // those that the ticker began
	hurry  context.CancelFunc // ends the contexts of running jobs
}

// work is a job and what this process remembers about it.
type work struct {
	Job
	busy chan struct{} // holds one token while a turn is under way: a job never overlaps itself

	mu    sync.Mutex
	next  time.Time // no look at the rows is needed before; zero: look now
	seen  time.Time // the clock at the last look at it
	woken bool
	turns int // guarded by busy
}

// New makes a runner of jobs. It panics when two share a name or one cannot run.
func New(d *db.DB, log *slog.Logger, jobs ...Job) *Runner {
	r := &Runner{db: d, log: log, holder: rand.Text()}
	names := map[string]bool{}
	for _, j := range jobs {
		if j.Name == "" || j.Run == nil || names[j.Name] {
			panic(fmt.Sprintf("job: %q has no name, no Run, or a name that is taken", j.Name))
		}
		names[j.Name] = true
		j.CatchUp = max(j.CatchUp, 1)
		if j.Lease == 0 {
			j.Lease = defaultLease
		}
		r.works = append(r.works, &work{Job: j, busy: make(chan struct{}, 1)})
	}
	return r
}

// Start begins to tick once a second, until ctx ends or Stop. A job that runs then is not
// interrupted by the end of ctx: that is for Stop.
func (r *Runner) Start(ctx context.Context) {
	runs, hurry := context.WithCancel(context.WithoutCancel(ctx))
	r.hurry = hurry
	r.ticker = cron.New()
	r.ticker.Schedule(cron.Every(time.Second), cron.FuncJob(func() {
		if ctx.Err() == nil {
			r.launch(runs)
		}
	}))
	r.ticker.Start()
}

// launch begins the turn of every job that is due and not under way, and does not wait for it:
// a slow job must not hold up the others.
func (r *Runner) launch(ctx context.Context) {
	for _, w := range r.works {
		if !w.due(r.db.Now()) {
			continue
		}
		select {
		case w.busy <- struct{}{}:
		default:
			continue
		}
		r.turns.Go(func() {
			defer func() { <-w.busy }()
			if err := r.turn(ctx, w); err != nil && ctx.Err() == nil {
				r.log.Error("job could not be looked after", "job", w.Name, "error", err)
			}
		})
	}
}

// Stop ends the ticking and waits for the jobs that run. When ctx ends first their contexts end,
// what they had begun is due again, and Stop returns ctx's error.
func (r *Runner) Stop(ctx context.Context) error {
	if r.ticker == nil {
		return nil
	}
	defer r.hurry()
	finished := make(chan struct{})
	go func() {
		<-r.ticker.Stop().Done()
		r.turns.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
	}
	r.hurry()
	select {
	case <-finished:
	case <-time.After(time.Second): // a job that does not listen is left to its lease
	}
	return ctx.Err()
}

// Tick runs what is due now and returns when it is finished. A run that fails is in its row and
// the log; the error is of a database that could not be asked.
func (r *Runner) Tick(ctx context.Context) error {
	var errs []error
	for _, w := range r.works {
		if !w.due(r.db.Now()) {
			continue
		}
		if err := w.enter(ctx); err != nil {
			return err
		}
		if err := r.turn(ctx, w); err != nil {
			errs = append(errs, fmt.Errorf("job %s: %w", w.Name, err))
		}
		<-w.busy
	}
	return errors.Join(errs...)
}

// RunNow runs a job now, on a slot of its own, and returns how that went. A failed run is not
// tried again. It waits for a run of the same job that is under way in this process. What note
// writes, unless it is nil, is written when the run begins, or not at all.
//
// Errors: fault.NotFound for an unknown name; fault.Conflict (job-running) when another process
// runs the job; what Run returned.
func (r *Runner) RunNow(ctx context.Context, name string, note func(*db.Tx) error) error {
	w := r.find(name)
	if w == nil {
		return fault.Missing("job")
	}
	if err := w.enter(ctx); err != nil {
		return err
	}
	defer func() { <-w.busy }()
	lease, err := r.db.Acquire(ctx, leaseName(w), r.holder, w.Lease)
	if errors.Is(err, db.ErrLeased) {
		return fault.Refused("job-running", nil, "another process runs %s now; try again when it has finished", name)
	}
	if err != nil {
		return err
	}
	defer r.release(ctx, lease)
	var s *Slot
	err = r.db.InTx(ctx, func(tx *db.Tx) error {
		// First what the schedule asks for: the slot made here would hide it from catching up.
		if err := enlist(tx, &w.Job); err != nil {
			return err
		}
		if note != nil {
			if err := note(tx); err != nil {
				return err
			}
		}
		at, err := insertExtra(tx, name)
		if err != nil {
			return err
		}
		s, err = take(tx, lease, name, slotRow{Slot: at.UnixMilli(), State: due})
		return err
	})
	if err != nil {
		return err
	}
	w.lookAgain()
	s.manual = true
	return r.run(ctx, w, s, lease)
}

// Wake asks for a run of a job at the next tick, whatever its schedule. An unknown name is ignored.
func (r *Runner) Wake(name string) {
	if w := r.find(name); w != nil {
		w.mu.Lock()
		w.woken = true
		w.mu.Unlock()
	}
}

// List tells how the jobs are, in the order they were given.
func (r *Runner) List(ctx context.Context) ([]Status, error) {
	list := make([]Status, len(r.works))
	for i, w := range r.works {
		s := Status{Name: w.Name, Schedule: w.Schedule.String(), NextSlot: w.Schedule.Next(r.db.Now())}
		l, err := last(r.db.Read(ctx), w.Name)
		switch {
		case err == nil:
			at := time.UnixMilli(l.Slot).UTC()
			s.LastSlot, s.LastState, s.LastNote, s.StartedAt, s.FinishedAt = &at, l.State, l.Note, moment(&l.StartedAt), moment(l.FinishedAt)
		case !errors.Is(err, db.ErrNoRows):
			return nil, err
		}
		list[i] = s
	}
	return list, nil
}

func (r *Runner) find(name string) *work {
	for _, w := range r.works {
		if w.Name == name {
			return w
		}
	}
	return nil
}

func leaseName(w *work) string { return "job:" + w.Name }

// due reports whether the rows have to be looked at.
func (w *work) due(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Before(w.seen) {
		w.next = time.Time{} // the clock went back: what is next has to be found anew
	}
	w.seen = now
	return w.woken || !now.Before(w.next)
}

func (w *work) enter(ctx context.Context) error {
	select {
	case w.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return db.Classify(ctx.Err())
	}
}

func (w *work) lookAgain() { w.sleepUntil(time.Time{}) }

func (w *work) sleepUntil(t time.Time) {
	w.mu.Lock()
	w.next = t
	w.mu.Unlock()
}

// takeWish is whether Wake was called since; the caller answers for it.
func (w *work) takeWish() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	wish := w.woken
	w.woken = false
	return wish
}

// rest sleeps until the first slot after now.
func (w *work) rest(now time.Time) {
	next := w.Schedule.Next(now)
	if next.IsZero() {
		next = time.UnixMilli(math.MaxInt64 / 2)
	}
	w.sleepUntil(next)
}

// turn looks at the rows of a job and runs what is open. It writes nothing when nothing is.
func (r *Runner) turn(ctx context.Context, w *work) error {
	now := r.db.Now()
	woken := w.takeWish()
	again, err := r.attend(ctx, w, now, woken)
	if woken && (err != nil || again == leasedElsewhere) {
		r.Wake(w.Name)
	}
	if err != nil || again != nothingLeft {
		w.lookAgain()
	} else {
		w.rest(now)
	}
	return err
}

// outcome of a turn: whether the next tick has to look again.
type outcome int

const (
	nothingLeft outcome = iota
	someFailed
	leasedElsewhere // it may die
)

func (r *Runner) attend(ctx context.Context, w *work, now time.Time, woken bool) (outcome, error) {
	s, err := look(r.db.Read(ctx), w.Name, now)
	if err != nil {
		return 0, err
	}
	if s.Newest < 0 {
		if err := r.db.InTx(ctx, func(tx *db.Tx) error { return baseline(tx, &w.Job) }); err != nil {
			return 0, err
		}
		s.Newest = now.UnixMilli()
	}
	if !woken && s.Open == 0 && len(w.Schedule.newest(1, time.UnixMilli(s.Newest), now)) == 0 {
		return nothingLeft, nil
	}
	if idle, err := r.idle(ctx, w); idle || err != nil {
		return nothingLeft, err
	}
	lease, err := r.db.Acquire(ctx, leaseName(w), r.holder, w.Lease)
	if errors.Is(err, db.ErrLeased) {
		return leasedElsewhere, nil
	}
	if err != nil {
		return 0, err
	}
	defer r.release(ctx, lease)
	w.turns++
	return r.runOpen(ctx, w, lease, woken)
}

// idle asks the job; one that panics must not end the process.
func (r *Runner) idle(ctx context.Context, w *work) (idle bool, err error) {
	if w.Idle == nil {
		return false, nil
	}
	defer r.recovered(w, &err)
	return w.Idle(ctx)
}

// runOpen enlists what came due and runs everything open once, newest first.
func (r *Runner) runOpen(ctx context.Context, w *work, lease db.Lease, woken bool) (outcome, error) {
	left := nothingLeft
	for before, first := int64(math.MaxInt64), true; ; first = false {
		var s *Slot
		err := r.db.InTx(ctx, func(tx *db.Tx) (err error) {
			if first {
				if err := r.prepare(tx, w, woken); err != nil {
					return err
				}
			}
			s, err = claim(tx, lease, w.Name, before)
			return err
		})
		switch {
		case fault.Code(err) == "lease-lost":
			return leasedElsewhere, nil
		case err != nil || s == nil:
			return left, err
		}
		if err := r.run(ctx, w, s, lease); err != nil {
			left = someFailed
		}
		if ctx.Err() != nil {
			return left, nil
		}
		before = s.At.UnixMilli()
	}
}

// prepare writes the rows a turn is about.
func (r *Runner) prepare(tx *db.Tx, w *work, woken bool) error {
	if err := enlist(tx, &w.Job); err != nil {
		return err
	}
	if woken {
		if _, err := insertExtra(tx, w.Name); err != nil {
			return err
		}
	}
	if w.turns%pruneEvery == 1 {
		return prune(tx, w.Name)
	}
	return nil
}

// run does one try of a claimed slot and records how it went; the error is Run's, or says why its
// success could not be recorded.
func (r *Runner) run(ctx context.Context, w *work, s *Slot, lease db.Lease) error {
	inner, stop := context.WithCancelCause(ctx)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		r.keep(inner, w, lease, stop)
	}()
	err := r.call(inner, w, s)
	stop(nil)
	<-beating

	log := r.log.With("job", s.Job, "slot", s.At, "try", s.Try)
	if s.marked.Load() {
		if err != nil {
			log.Warn("job failed after it had marked its slot done", "error", err)
		}
		return nil
	}
	recorded := r.record(ctx, s, err)
	switch {
	case recorded != nil:
		// The row stays running and is run again when the lease is free.
		log.Error("the end of a job could not be recorded", "result", err, "error", recorded)
		return recorded
	case err != nil:
		log.Warn("job failed", "error", err)
	}
	return err
}

// record writes how a run ended that did not do so itself, also when ctx has ended.
func (r *Runner) record(ctx context.Context, s *Slot, result error) error {
	stopped := ctx.Err() != nil
	ctx, cancel := settling(ctx)
	defer cancel()
	return r.db.InTx(ctx, func(tx *db.Tx) error {
		switch {
		case result == nil:
			return s.Done(tx, "")
		case stopped: // not its fault, and no try
			return s.finish(tx, due, s.Try-1, "stopped in the middle: "+result.Error())
		case s.manual:
			return s.finish(tx, failed, maxTries, result.Error())
		}
		return s.finish(tx, failed, s.Try, result.Error())
	})
}

// settling outlives ctx by a moment, for what must be written in any case.
func settling(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

func (r *Runner) call(ctx context.Context, w *work, s *Slot) (err error) {
	defer r.recovered(w, &err)
	return w.Run(ctx, s)
}

func (r *Runner) recovered(w *work, err *error) {
	if p := recover(); p != nil {
		r.log.Error("job panicked", "job", w.Name, "panic", p, "stack", string(debug.Stack()))
		*err = fmt.Errorf("panic: %v", p)
	}
}

// keep renews the lease until ctx ends, and ends it with stop when another process has the lease.
func (r *Runner) keep(ctx context.Context, w *work, lease db.Lease, stop context.CancelCauseFunc) {
	beat := time.NewTicker(w.Lease / 3)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		l, err := r.db.Acquire(ctx, lease.Name, lease.Holder, w.Lease)
		switch {
		case errors.Is(err, db.ErrLeased) || err == nil && l.Fence > lease.Fence+1:
			stop(fmt.Errorf("job %s: %w", w.Name, db.ErrLeased))
			return
		case err == nil:
			lease = l // one fence on: it had run out, and nobody else wanted it
		case ctx.Err() == nil:
			r.log.Warn("a job's lease could not be renewed", "job", w.Name, "error", err)
		}
	}
}

func (r *Runner) release(ctx context.Context, l db.Lease) {
	ctx, cancel := settling(ctx)
	defer cancel()
	if err := r.db.Release(ctx, l); err != nil {
		r.log.Warn("a lease could not be given back", "lease", l.Name, "error", err)
	}
}
