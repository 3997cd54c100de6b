package job_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	_ "time/tzdata"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/fault"
	"doorstep/internal/job"
)

var (
	bg    = context.Background()
	quiet = slog.New(slog.NewTextHandler(io.Discard, nil))
	noon  = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// world is a database, a clock, and a table in which runs leave their effect.
type world struct {
	*testing.T
	db    *db.DB
	clock *dbtest.Clock
}

// each tells a story on both engines, beginning at noon.
func each(t *testing.T, story func(t *testing.T, w world)) {
	t.Helper()
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		clock.Set(noon)
		w := world{t, d, clock}
		w.must(d.InTx(bg, func(tx *db.Tx) error {
			_, err := tx.Exec(`CREATE TABLE effect (slot BIGINT NOT NULL, who TEXT NOT NULL)`)
			return err
		}))
		story(t, w)
	})
}

func (w world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w world) runner(jobs ...job.Job) *job.Runner { return job.New(w.db, quiet, jobs...) }

func (w world) tick(r *job.Runner) {
	w.Helper()
	w.must(r.Tick(bg))
}

// leave is a Run whose effect and end are one transaction.
func leave(d *db.DB, who string) func(context.Context, *job.Slot) error {
	return func(ctx context.Context, s *job.Slot) error {
		return d.InTx(ctx, func(tx *db.Tx) error {
			if _, err := tx.Exec(`INSERT INTO effect (slot, who) VALUES (?, ?)`, s.At.UnixMilli(), who); err != nil {
				return err
			}
			return s.Done(tx, "left by "+who)
		})
	}
}

// effects are the slots that had their effect, as "15:04:05 who", in the order of the slots.
func (w world) effects() []string {
	w.Helper()
	var rows []struct {
		Slot int64
		Who  string
	}
	w.must(w.db.Read(bg).Select(&rows, `SELECT slot, who FROM effect ORDER BY slot, who`))
	var list []string
	for _, r := range rows {
		list = append(list, time.UnixMilli(r.Slot).UTC().Format("15:04:05 ")+r.Who)
	}
	return list
}

func (w world) want(got []string, want ...string) {
	w.Helper()
	if !slices.Equal(got, want) {
		w.Errorf("%q, want %q", got, want)
	}
}

// last is a job's newest slot in words.
func (w world) last(r *job.Runner, name string) string {
	w.Helper()
	list, err := r.List(bg)
	w.must(err)
	for _, s := range list {
		if s.Name == name && s.LastSlot != nil {
			return s.LastSlot.Format("15:04:05 ") + s.LastState + " " + s.LastNote
		}
	}
	return ""
}

func (w world) count(query string, args ...any) (n int64) {
	w.Helper()
	w.must(w.db.Read(bg).Get(&n, query, args...))
	return n
}

func TestAJobRunsOnceASlotAndNothingFromBeforeItWasInstalled(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		r := w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Minute), Run: leave(w.db, "a")})
		if got := w.last(r, "sweep"); got != "" {
			t.Errorf("before the first tick: %q", got)
		}
		w.tick(r)
		w.want(w.effects())
		if got := w.last(r, "sweep"); got != "12:00:00 skipped before the job was installed" {
			t.Errorf("baseline: %q", got)
		}
		for range 150 { // ticks of a second
			w.clock.Advance(time.Second)
			w.tick(r)
		}
		w.want(w.effects(), "12:01:00 a", "12:02:00 a")
		if got := w.last(r, "sweep"); got != "12:02:00 done left by a" {
			t.Errorf("after: %q", got)
		}
		list, err := r.List(bg)
		w.must(err)
		if len(list) != 1 || list[0].Schedule != "every 1m0s" || !list[0].NextSlot.Equal(noon.Add(3*time.Minute)) {
			t.Errorf("%+v", list)
		}
	})
}

// Two processes, each with its own connections, tick at the same moments for a while.
func TestTwoRunnersOnOneDatabaseShareTheSlots(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(e), func(t *testing.T) {
			clock := dbtest.NewClock(noon)
			url := dbtest.URL(t, e)
			var worlds []world
			var runners []*job.Runner
			for i := range 2 {
				d, err := db.Open(bg, url, db.Options{Clock: clock.Now, Log: quiet})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				worlds = append(worlds, world{t, d, clock})
				runners = append(runners, job.New(d, quiet, job.Job{Name: "sweep", Schedule: job.Every(10 * time.Second), CatchUp: 3, Run: leave(d, fmt.Sprint("p", i))}))
			}
			w := worlds[0]
			w.must(w.db.InTx(bg, func(tx *db.Tx) error {
				_, err := tx.Exec(`CREATE TABLE effect (slot BIGINT NOT NULL, who TEXT NOT NULL)`)
				return err
			}))
			w.tick(runners[0])
			const slots = 30
			for range slots / 2 {
				clock.Advance(20 * time.Second) // two slots at once
				var wg sync.WaitGroup
				for _, r := range runners {
					wg.Go(func() {
						for range 2 {
							if err := r.Tick(bg); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
			}
			for _, r := range runners { // what a lease kept from the other is left for this
				w.tick(r)
			}
			if n, distinct := w.count(`SELECT count(*) FROM effect`), w.count(`SELECT count(DISTINCT slot) FROM effect`); n != slots || distinct != slots {
				t.Errorf("%d effects on %d slots, want %d: %q", n, distinct, slots, w.effects())
			}
			if n := w.count(`SELECT count(*) FROM job_slot WHERE state <> 'done'`); n != 1 {
				t.Errorf("%d slots are not done, want the baseline alone", n)
			}
		})
	}
}

func TestAFailedRunIsTriedAgainFiveTimes(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		var tries []int
		r := w.runner(job.Job{Name: "bad", Schedule: job.Every(time.Hour), Run: func(_ context.Context, s *job.Slot) error {
			tries = append(tries, s.Try)
			if s.Try%2 == 0 {
				panic("even")
			}
			return errors.New("odd")
		}})
		w.tick(r)
		w.clock.Advance(time.Hour)
		for range 10 {
			w.tick(r)
			w.clock.Advance(time.Second)
		}
		if !slices.Equal(tries, []int{1, 2, 3, 4, 5}) {
			t.Errorf("tries %v", tries)
		}
		if got := w.last(r, "bad"); got != "13:00:00 failed odd" {
			t.Errorf("%q", got)
		}
	})
}

func TestAPanicInTheMiddleUndoesTheEffectAndIsTriedAgain(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		r := w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Hour), Run: func(ctx context.Context, s *job.Slot) error {
			if s.Try == 1 {
				panic("power cut before anything was written")
			}
			if s.Try == 2 {
				return w.db.InTx(ctx, func(tx *db.Tx) error {
					if _, err := tx.Exec(`INSERT INTO effect (slot, who) VALUES (1, 'half')`); err != nil {
						return err
					}
					panic("power cut in the middle")
				})
			}
			return leave(w.db, "whole")(ctx, s)
		}})
		w.tick(r)
		w.clock.Advance(time.Hour)
		for range 5 {
			w.tick(r)
		}
		w.want(w.effects(), "13:00:00 whole")
	})
}

// A process hangs after its claim; its lease runs out; another does the slot; the first wakes up
// and finds that it may not.
func TestAHolderThatLostItsLeaseIsRefused(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		claimed, wake := make(chan struct{}), make(chan struct{})
		var holdErr, doneErr error
		slow := w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Hour), Run: func(ctx context.Context, s *job.Slot) error {
			if s.At != noon.Add(time.Hour) {
				return nil
			}
			close(claimed)
			<-wake
			holdErr = w.db.InTx(ctx, s.Hold)
			doneErr = leave(w.db, "slow")(ctx, s)
			return doneErr
		}})
		quick := w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Hour), Run: leave(w.db, "quick")})
		w.tick(slow)
		w.clock.Advance(time.Hour)
		ticked := make(chan error)
		go func() { ticked <- slow.Tick(bg) }()
		<-claimed

		w.tick(quick)
		w.want(w.effects())
		if err := quick.RunNow(bg, "sweep", nil); fault.Code(err) != "job-running" || fault.KindOf(err) != fault.Conflict {
			t.Errorf("RunNow while another process runs it: %v", err)
		}

		w.clock.Advance(2 * time.Minute)
		w.tick(quick)
		w.want(w.effects(), "13:00:00 quick")
		close(wake)
		w.must(<-ticked)
		if fault.Code(holdErr) != "lease-lost" || fault.Code(doneErr) != "lease-lost" {
			t.Errorf("the old holder: Hold %v, Done %v", holdErr, doneErr)
		}
		w.tick(slow)
		w.tick(quick)
		w.want(w.effects(), "13:00:00 quick")
		if got := w.last(quick, "sweep"); got != "13:00:00 done left by quick" {
			t.Errorf("%q", got)
		}
	})
}

// As above, but the effect is only waiting for its commit when the other comes: whoever is first
// wins, and the other is refused. On PostgreSQL both transactions are open at once.
func TestTheFenceHoldsBetweenCheckAndCommit(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		if w.db.Engine() == db.SQLite {
			return // one writer: two transactions are never open at once
		}
		held, commit := make(chan struct{}), make(chan struct{})
		var once sync.Once
		slow := w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Hour), Run: func(ctx context.Context, s *job.Slot) error {
			return w.db.InTx(ctx, func(tx *db.Tx) error {
				if err := s.Hold(tx); err != nil {
					return err
				}
				once.Do(func() { close(held); <-commit })
				if _, err := tx.Exec(`INSERT INTO effect (slot, who) VALUES (?, 'slow')`, s.At.UnixMilli()); err != nil {
					return err
				}
				return s.Done(tx, "")
			})
		}})
		quick := w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Hour), Run: leave(w.db, "quick")})
		w.tick(slow)
		w.clock.Advance(time.Hour)
		var wg sync.WaitGroup
		wg.Go(func() { w.tick(slow) })
		<-held
		w.clock.Advance(2 * time.Minute)
		wg.Go(func() { w.tick(quick) })
		for w.count(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'doorstep-write-%'
			AND datname = current_database()`) == 0 {
			time.Sleep(time.Millisecond)
		}
		close(commit)
		wg.Wait()
		w.want(w.effects(), "13:00:00 slow")
	})
}

func TestDowntimeIsCaughtUpBoundedNewestFirst(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		var order []string
		j := job.Job{Name: "report", Schedule: job.Cron("0 * * * *"), CatchUp: 3, Run: func(_ context.Context, s *job.Slot) error {
			order = append(order, s.At.Format("15:04"))
			return nil
		}}
		w.tick(w.runner(j))
		w.clock.Advance(8*time.Hour + 10*time.Minute)
		r := w.runner(j) // the process starts again
		w.tick(r)
		w.tick(r)
		w.want(order, "20:00", "19:00", "18:00")
		if n := w.count(`SELECT count(*) FROM job_slot WHERE state = 'skipped' AND slot = ?`, noon.Add(5*time.Hour).UnixMilli()); n != 1 {
			t.Error("the newest slot that was missed for good is not recorded")
		}
		w.clock.Advance(time.Hour)
		w.tick(r)
		w.want(order, "20:00", "19:00", "18:00", "21:00")
	})
}

func TestYearsOfDowntimeOfABusyJobAreOneRun(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		j := job.Job{Name: "sweep", Schedule: job.Every(time.Second), Run: leave(w.db, "a")}
		w.tick(w.runner(j))
		w.clock.Advance(3 * 365 * 24 * time.Hour)
		w.tick(w.runner(j))
		if n := w.count(`SELECT count(*) FROM effect`); n != 1 {
			t.Errorf("%d runs", n)
		}
		if n := w.count(`SELECT count(*) FROM job_slot`); n > 3 {
			t.Errorf("%d rows for the time nobody was there", n)
		}
	})
}

func TestAClockThatGoesBackRepeatsNothing(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		r := w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Minute), Run: leave(w.db, "a")})
		w.tick(r)
		walk := func(minutes int) {
			for range minutes {
				w.clock.Advance(time.Minute)
				w.tick(r)
			}
		}
		walk(3)
		w.clock.Advance(-2 * time.Minute)
		w.tick(r)
		w.tick(w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Minute), Run: leave(w.db, "fresh")}))
		w.want(w.effects(), "12:01:00 a", "12:02:00 a", "12:03:00 a")
		walk(3)
		w.want(w.effects(), "12:01:00 a", "12:02:00 a", "12:03:00 a", "12:04:00 a")
	})
}

// Someone sets the clock ten years ahead and mends it: the job must not sleep for ten years.
func TestAClockThatWasWrongOnceDoesNotStopAJob(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		r := w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Hour), Run: leave(w.db, "a")})
		w.tick(r)
		w.clock.Advance(10 * 365 * 24 * time.Hour)
		w.tick(r)
		w.clock.Set(noon.Add(time.Hour)) // its rows of today are forgotten: it begins anew
		w.tick(r)
		w.clock.Advance(time.Hour)
		w.tick(r)
		if n := w.count(`SELECT count(*) FROM effect WHERE slot = ?`, noon.Add(2*time.Hour).UnixMilli()); n != 1 {
			t.Errorf("%d runs at 14:00: %q", n, w.effects())
		}
	})
}

func TestADailyJobRunsOncePerLocalDayThroughTheClockChanges(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"} {
		t.Run(name, func(t *testing.T) {
			loc, err := time.LoadLocation(name)
			if err != nil {
				t.Fatal(err)
			}
			clock := dbtest.NewClock(time.Date(2018, 1, 1, 12, 0, 0, 0, loc))
			d := dbtest.Open(t, db.SQLite, db.Options{Clock: clock.Now})
			runs := map[string]int{}
			r := job.New(d, quiet, job.Job{Name: "nightly", Schedule: job.CronIn("30 2 * * *", loc), Run: func(_ context.Context, s *job.Slot) error {
				runs[s.At.In(loc).Format(time.DateOnly)]++
				return nil
			}})
			for clock.Now().In(loc).Year() < 2019 {
				if err := r.Tick(bg); err != nil {
					t.Fatal(err)
				}
				clock.Advance(10 * time.Minute)
			}
			for day := time.Date(2018, 1, 2, 12, 0, 0, 0, loc); day.Year() < 2019; day = day.AddDate(0, 0, 1) {
				if n := runs[day.Format(time.DateOnly)]; n != 1 {
					t.Errorf("%d runs on %s", n, day.Format(time.DateOnly))
				}
			}
			if len(runs) != 365-1 {
				t.Errorf("%d days", len(runs))
			}
		})
	}
}

func TestRunNow(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		no := errors.New("no")
		var fails bool
		runs := 0
		r := w.runner(
			job.Job{Name: "report", Schedule: job.Every(time.Hour), Idle: func(context.Context) (bool, error) { return true, nil },
				Run: func(ctx context.Context, s *job.Slot) error {
					if runs++; fails {
						return no
					}
					return leave(w.db, "me")(ctx, s)
				}},
			job.Job{Name: "hourly", Schedule: job.Every(time.Hour), Run: leave(w.db, "hourly")})
		if err := r.RunNow(bg, "nothing", nil); fault.KindOf(err) != fault.NotFound {
			t.Errorf("an unknown job: %v", err)
		}
		w.clock.Advance(5 * time.Minute)
		w.must(r.RunNow(bg, "report", nil))
		w.must(r.RunNow(bg, "report", nil)) // at the same moment
		if n := w.count(`SELECT count(*) FROM effect`); n != 2 || runs != 2 {
			t.Errorf("%d effects, %d runs", n, runs)
		}
		fails = true
		w.clock.Advance(time.Minute)
		if err := r.RunNow(bg, "report", nil); !errors.Is(err, no) {
			t.Errorf("%v", err)
		}
		w.tick(r)
		if got := w.last(r, "report"); runs != 3 || got != "12:06:00 failed no" {
			t.Errorf("a failed run was tried again: %d runs, %q", runs, got)
		}

		// A slot that was missed is not forgotten because somebody ran the job by hand first.
		w.tick(r)
		w.clock.Set(noon.Add(61 * time.Minute))
		w.must(r.RunNow(bg, "hourly", nil))
		w.tick(r)
		w.want(w.effects()[2:], "13:00:00 hourly", "13:01:00 hourly")
	})
}

func TestIdleJobsWriteNothing(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		idle, asked := true, 0
		r := w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Minute), Run: leave(w.db, "a"),
			Idle: func(context.Context) (bool, error) { asked++; return idle, nil }})
		w.tick(r)
		for range 5 {
			w.clock.Advance(time.Minute)
			w.tick(r)
			w.tick(r)
		}
		if n := w.count(`SELECT count(*) FROM job_slot`); n != 1 || asked != 5 {
			t.Errorf("%d rows, want the baseline; asked %d times, want 5", n, asked)
		}
		idle = false
		w.clock.Advance(time.Minute)
		w.tick(r)
		w.want(w.effects(), "12:06:00 a")
	})
}

func TestIdleThatFailsIsAskedAgain(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		asked := 0
		r := w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Minute), Run: leave(w.db, "a"), Idle: func(context.Context) (bool, error) {
			switch asked++; asked {
			case 1:
				return false, errors.New("no answer")
			case 2:
				panic("no answer at all")
			}
			return false, nil
		}})
		w.tick(r)
		w.clock.Advance(time.Minute)
		for range 2 {
			if err := r.Tick(bg); err == nil {
				t.Error("the failure is not reported")
			}
		}
		w.tick(r)
		w.want(w.effects(), "12:01:00 a")
	})
}

func TestWakeRunsAtTheNextTick(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		r := w.runner(job.Job{Name: "sweep", Schedule: job.Every(time.Hour), Run: leave(w.db, "a")},
			job.Job{Name: "asked", Run: leave(w.db, "asked")})
		w.tick(r)
		r.Wake("nobody")
		r.Wake("sweep")
		r.Wake("sweep")
		w.clock.Advance(time.Second)
		w.tick(r)
		w.tick(r)
		w.want(w.effects(), "12:00:01 a")
		w.clock.Advance(time.Second)
		r.Wake("asked")
		w.tick(r)
		w.tick(r)
		w.want(w.effects(), "12:00:01 a", "12:00:02 asked")
		w.clock.Set(noon.Add(time.Hour))
		w.tick(r)
		w.want(w.effects(), "12:00:01 a", "12:00:02 asked", "13:00:00 a")
	})
}

func TestOldSlotsAreForgotten(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		busy := job.Job{Name: "busy", Schedule: job.Every(time.Second), Run: func(context.Context, *job.Slot) error { return nil }}
		rare := job.Job{Name: "rare", Schedule: job.Cron("0 0 1 * *"), Run: busy.Run}
		r := w.runner(busy, rare)
		w.tick(r)
		w.must(w.db.InTx(bg, func(tx *db.Tx) error {
			for i := range 1500 {
				if _, err := tx.Exec(`INSERT INTO job_slot (job, slot, state, fence, tries, started_at, finished_at, note)
					VALUES ('busy', ?, 'done', 1, 1, 0, 0, '')`, noon.Add(time.Duration(-i-1)*time.Second).UnixMilli()); err != nil {
					return err
				}
			}
			return nil
		}))
		w.clock.Advance(time.Second)
		w.tick(r)
		if n := w.count(`SELECT count(*) FROM job_slot WHERE job = 'busy'`); n != 1000 {
			t.Errorf("%d rows are kept, want 1,000", n)
		}
		for _, month := range []time.Month{12, 13, 14, 15} {
			w.clock.Set(time.Date(2026, month, 1, 0, 0, 1, 0, time.UTC))
			w.tick(w.runner(rare)) // a fresh process prunes at its first turn
		}
		if n := w.count(`SELECT count(*) FROM job_slot WHERE job = 'rare'`); n != 2 {
			t.Errorf("%d rows of the rare job, want the last and one of the 30 days before", n)
		}
		if got := w.last(r, "rare"); got != "00:00:00 done " {
			t.Errorf("%q", got)
		}
	})
}

func TestStopWaitsForTheJobThatRuns(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		started, finish := make(chan struct{}), make(chan struct{})
		var finished atomic.Bool
		r := w.runner(job.Job{Name: "slow", Run: func(context.Context, *job.Slot) error {
			close(started)
			<-finish
			finished.Store(true)
			return nil
		}})
		ctx, cancel := context.WithCancel(bg)
		r.Start(ctx)
		r.Wake("slow")
		<-started
		cancel() // the signal to end: no new runs, and no harm to this one
		stopped := make(chan error)
		go func() { stopped <- r.Stop(bg) }()
		close(finish)
		w.must(<-stopped)
		if !finished.Load() {
			t.Error("Stop returned before the job")
		}
		if got := w.last(r, "slow"); got != "12:00:00 done " {
			t.Errorf("%q", got)
		}
	})
}

func TestAJobThatIsHurriedIsDueAgain(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		started := make(chan struct{})
		r := w.runner(job.Job{Name: "slow", Run: func(ctx context.Context, s *job.Slot) error {
			close(started)
			<-ctx.Done()
			return ctx.Err()
		}})
		r.Start(bg)
		r.Wake("slow")
		<-started
		ctx, cancel := context.WithCancel(bg)
		cancel()
		if err := r.Stop(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Stop: %v", err)
		}
		if got := w.last(r, "slow"); got != "12:00:00 due stopped in the middle: context canceled" {
			t.Errorf("%q", got)
		}
		next := w.runner(job.Job{Name: "slow", Run: leave(w.db, "next process")})
		w.tick(next)
		w.want(w.effects(), "12:00:00 next process")
	})
}

// A run longer than its lease keeps it by its heartbeat: another process does not take over.
func TestALongRunKeepsItsLease(t *testing.T) {
	each(t, func(t *testing.T, w world) {
		const lease = 60 * time.Millisecond
		started, finish := make(chan struct{}), make(chan struct{})
		long := w.runner(job.Job{Name: "long", Schedule: job.Every(time.Hour), Lease: lease, Run: func(ctx context.Context, s *job.Slot) error {
			close(started)
			<-finish
			return leave(w.db, "long")(ctx, s)
		}})
		other := w.runner(job.Job{Name: "long", Schedule: job.Every(time.Hour), Lease: lease, Run: leave(w.db, "other")})
		w.tick(long)
		w.clock.Advance(time.Hour)
		var wg sync.WaitGroup
		wg.Go(func() { w.tick(long) })
		<-started
		until := func() int64 { return w.count(`SELECT until_ms FROM lease WHERE name = 'job:long'`) }
		for range 5 { // five leases' worth of the clock, each step after a heartbeat
			before := until()
			w.clock.Advance(lease / 2)
			for until() == before {
				time.Sleep(time.Millisecond)
			}
			w.tick(other)
		}
		close(finish)
		wg.Wait()
		w.tick(other)
		w.want(w.effects(), "13:00:00 long")
	})
}

func TestJobsThatCannotBeMade(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	run := func(context.Context, *job.Slot) error { return nil }
	for what, make := range map[string]func(){
		"no name":          func() { job.New(d, quiet, job.Job{Run: run}) },
		"no Run":           func() { job.New(d, quiet, job.Job{Name: "a"}) },
		"one name for two": func() { job.New(d, quiet, job.Job{Name: "a", Run: run}, job.Job{Name: "a", Run: run}) },
		"half a second":    func() { job.Every(time.Second / 2) },
		"a bad expression": func() { job.Cron("often") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was accepted", what)
				}
			}()
			make()
		}()
	}
}
