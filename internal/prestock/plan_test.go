package prestock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/fault"
	"doorstep/internal/job"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"

	gocmp "github.com/google/go-cmp/cmp"
)

// city imports n shops over some 30 km, all with the same shelf.
func (w *town) city(n, shelf int) {
	w.Helper()
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	var file strings.Builder
	file.WriteString("external_id,name,lat,lng,time_zone,shelf_units\n")
	for i := range n {
		fmt.Fprintf(&file, "c%d,Shop,%.5f,%.5f,Africa/Nairobi,%d\n", i, -1.3+0.3*rng.Float64(), 36.7+0.3*rng.Float64(), shelf)
	}
	r, err := w.stores.Import(ctx, strings.NewReader(file.String()), partner.ImportOptions{Format: partner.CSV})
	w.must(err)
	if r.Created != n {
		w.Fatalf("%+v", r)
	}
}

func (w *town) number(query string, args ...any) (n int) {
	w.Helper()
	w.must(w.db.Read(ctx).Get(&n, query, args...))
	return n
}

// adds checks that shelves, sums and tasks of a campaign agree, whatever happened.
func (w *town) adds(campaign int64) {
	w.Helper()
	if n := w.number(`SELECT count(*) FROM (SELECT store_key, sum(asked) AS units FROM prestock_task WHERE status = 'planned' GROUP BY store_key) AS t
		LEFT JOIN prestock_room r ON r.store_key = t.store_key WHERE r.units IS NULL OR r.units <> t.units`); n != 0 {
		w.Fatalf("%d shops keep other room than their tasks need", n)
	}
	if n := w.number(`SELECT count(*) FROM prestock_room r WHERE units > 0 AND NOT EXISTS (SELECT 1 FROM prestock_task t WHERE t.store_key = r.store_key AND t.status = 'planned')`); n != 0 {
		w.Fatalf("%d shops keep room for no task", n)
	}
	p, err := w.book.Progress(ctx, campaign, 200)
	w.must(err)
	if n := w.number(`SELECT CAST(coalesce(sum(asked), 0) AS BIGINT) FROM prestock_task WHERE campaign_key = ?`, campaign); int64(n) != p.Asked {
		w.Fatalf("the tasks ask for %d units, the progress says %d", n, p.Asked)
	}
	if n := w.number(`SELECT count(*) FROM (SELECT 1 AS one FROM prestock_task WHERE parent_key = 0 GROUP BY campaign_key, sku, store_key HAVING count(*) > 1) AS twice`); n != 0 {
		w.Fatalf("%d tasks are there twice", n)
	}
}

// A plan that stops at whichever moment leaves what it has written, and the next goes on.
func TestAPlanStopsInTheMiddle(t *testing.T) {
	clock := dbtest.NewClock(monday)
	var mu sync.Mutex
	var calls, cut int
	var stop context.CancelFunc
	ticking := func() time.Time { // whatever a plan does, it asks for the time
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls == cut {
			stop()
		}
		return clock.Now()
	}
	stopAt := func(moment int) context.Context {
		mu.Lock()
		defer mu.Unlock()
		var short context.Context
		short, stop = context.WithCancel(ctx)
		calls, cut = 0, moment
		return short
	}
	dbtest.Each(t, db.Options{Clock: ticking}, func(t *testing.T, d *db.DB) {
		stopAt(-1)
		w := newTown(t, d, clock)
		w.city(700, 60)
		in := singlesDay(1400)
		in.SKUs = append(in.SKUs, prestock.SKU{SKU: "SKU-8", ExpectedUnits: units(2100), CasePack: 3})
		c := w.campaign(in)
		partial := 0
		for try := 1; ; try++ {
			r, err := w.book.Plan(stopAt(try), c.Key)
			stopAt(-1)
			w.adds(c.Key)
			now, _ := w.book.GetCampaign(ctx, c.Key)
			if err == nil {
				if r.Asked != 3500 || r.Tasks != 1400 || now.Status != prestock.Planned {
					t.Fatalf("%+v", r)
				}
				break
			}
			if now.Status == prestock.Draft {
				_, err := w.book.Approve(ctx, c.Key)
				w.refused(err, "wrong-state")
			}
			if run, err := w.book.LastPlan(ctx, c.Key); err != nil || run != nil && run.State == prestock.PlanRunning {
				t.Fatalf("stopped at moment %d the plan is %+v, %v", try, run, err)
			}
			if n := w.number(`SELECT count(*) FROM prestock_task`); n > 0 && n < 1400 {
				partial++
			}
			if try == 200 {
				t.Fatal("the plan is never made")
			}
		}
		if partial == 0 {
			t.Fatal("no plan was left in the middle")
		}
		again, err := w.book.Plan(ctx, c.Key)
		w.must(err)
		if again.Unchanged != 1400 || again.Created+again.Changed+again.Removed != 0 {
			t.Fatalf("%+v", again)
		}
		w.prompt(0)
	})
}

func TestTwoPlansAtOnce(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(100)
		c := w.campaign(singlesDay(40))
		other := prestock.NewBook(w.db, w.stores)
		asked := 0
		_, err := w.book.PlanWatched(ctx, c.Key, func(p prestock.PlanRun) {
			asked++
			_, err := other.Plan(ctx, c.Key)
			w.refused(err, "plan-running")
			_, err = other.PlanLater(ctx, c.Key)
			w.refused(err, "plan-running")
			_, err = other.Approve(ctx, c.Key)
			w.refused(err, "wrong-state")
		})
		w.must(err)
		if asked == 0 {
			t.Fatal("nobody was told how far the plan is")
		}
		_, err = other.Plan(ctx, c.Key) // and when it is over, anybody may
		w.must(err)
		w.sound()
	})
}

// A laptop that was closed, a process that was stopped: the lease ran out, and nobody took it.
func TestAPlannerThatSleeps(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(100)
		c := w.campaign(singlesDay(40))
		slept := false
		r, err := w.book.PlanWatched(ctx, c.Key, func(p prestock.PlanRun) {
			if !slept {
				w.clock.Advance(5 * time.Minute)
				slept = true
			}
		})
		w.must(err)
		if r.Asked != 40 {
			t.Fatalf("%+v", r)
		}
		// Whoever finds his place taken leaves off.
		taken := w.campaign(singlesDay(40))
		_, err = w.book.PlanWatched(ctx, taken.Key, func(p prestock.PlanRun) {
			w.clock.Advance(5 * time.Minute)
			_, err := w.db.Acquire(ctx, fmt.Sprintf("plan:%d", taken.Key), "somebody else", 20*time.Minute)
			w.must(err)
		})
		w.refused(err, "lease-lost")
		_, err = w.book.Plan(ctx, taken.Key)
		w.refused(err, "plan-running")

		// Nor does one that never found out say anything about the plan of whoever took it.
		lost := w.campaign(singlesDay(40))
		short, stop := context.WithCancel(ctx)
		_, err = w.book.PlanWatched(short, lost.Key, func(p prestock.PlanRun) {
			stop()
			w.clock.Advance(5 * time.Minute)
			_, err := w.db.Acquire(ctx, fmt.Sprintf("plan:%d", lost.Key), "somebody else", 20*time.Minute)
			w.must(err)
		})
		if err == nil || fault.Code(err) == "lease-lost" {
			t.Fatalf("it was to be stopped: %v", err)
		}
		if run, err := w.book.LastPlan(ctx, lost.Key); err != nil || run.State != prestock.PlanRunning {
			t.Fatalf("somebody else is at it: %+v, %v", run, err)
		}
		w.sound()
	})
}

func TestAPlannerThatDies(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(100)
		c := w.campaign(singlesDay(40))
		_, err := w.book.PlanLater(ctx, c.Key)
		w.must(err)
		// A process takes it up and is killed.
		w.must(w.db.InTx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE campaign_plan SET state = 'running', tries = 1`)
			return err
		}))
		_, err = w.db.Acquire(ctx, fmt.Sprintf("plan:%d", c.Key), "the dead", time.Minute)
		w.must(err)
		runner := job.New(w.db, slog.New(slog.DiscardHandler), prestock.Jobs(w.book)...)
		w.must(runner.Tick(ctx))
		w.clock.Advance(30 * time.Second)
		w.must(runner.Tick(ctx))
		if run, err := w.book.LastPlan(ctx, c.Key); err != nil || run.State != prestock.PlanRunning {
			t.Fatalf("as far as anybody knows: %+v, %v", run, err)
		}
		w.clock.Advance(31 * time.Second)
		if run, err := w.book.LastPlan(ctx, c.Key); err != nil || run.State != prestock.PlanInterrupted {
			t.Fatalf("after a minute: %+v, %v", run, err)
		}
		w.must(runner.RunNow(ctx, prestock.PlanJob, nil))
		run, err := w.book.LastPlan(ctx, c.Key)
		w.must(err)
		if run.State != prestock.PlanDone || run.Result.Asked != 40 || run.FinishedAt == nil {
			t.Fatalf("taken up again: %+v", run)
		}

		// One that kills whoever makes it is given up.
		_, err = w.book.PlanLater(ctx, c.Key)
		w.must(err)
		w.must(w.db.InTx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE campaign_plan SET state = 'running', tries = 5`)
			return err
		}))
		w.must(runner.RunNow(ctx, prestock.PlanJob, nil))
		if run, err = w.book.LastPlan(ctx, c.Key); err != nil || run.State != prestock.PlanFailed || run.Problem == "" {
			t.Fatalf("given up: %+v, %v", run, err)
		}
		_, err = w.book.Approve(ctx, c.Key)
		w.refused(err, "plan-unfinished")
		_, err = w.book.Plan(ctx, c.Key)
		w.must(err)
		_, err = w.book.Approve(ctx, c.Key)
		w.must(err)
	})
}

func TestStoresThatAreAskedNoMore(t *testing.T) {
	inTown(t, func(w *town) {
		for range 4 {
			w.shop(100)
		}
		c := w.campaign(singlesDay(80))
		_, err := w.book.Plan(ctx, c.Key)
		w.must(err)
		w.must(w.book.OptOut(ctx, w.shops[0].Key, true))
		_, err = w.stores.Pause(ctx, w.shops[1].Key, nil)
		w.must(err)
		plan, err := w.book.Plan(ctx, c.Key)
		w.must(err)
		if plan.Removed != 2 || plan.Changed != 2 || plan.Asked != 80 || plan.UnitsAdded != 40 || plan.UnitsTaken != 40 {
			t.Fatalf("%+v", plan)
		}
		if len(w.tasks(prestock.Filter{Store: w.shops[0].Key})) != 0 {
			t.Fatal("a shop that opted out is asked")
		}
		w.is(2, prestock.Planned, 40, 0, 0)
		w.sound()
		w.must(w.book.OptOut(ctx, w.shops[0].Key, false))
		if plan, err = w.book.Plan(ctx, c.Key); err != nil || plan.Created != 1 || plan.Asked != 80 {
			t.Fatalf("%+v, %v", plan, err)
		}
		if err := w.book.OptOut(ctx, 1, true); fault.KindOf(err) != fault.NotFound {
			t.Fatal(err)
		}
	})
}

func TestMoreIsAskedAroundStoresThatDoNotKeepTheirWord(t *testing.T) {
	inTown(t, func(w *town) {
		for range 2 {
			w.shop(0)
		}
		w.used("SKU-7", 20, map[int]int{0: 6, 1: 6})
		in := singlesDay(0)
		in.SKUs[0].ExpectedUnits = nil
		plan := func() (units int) {
			w.Helper()
			r, err := w.book.Plan(ctx, w.campaign(in).Key)
			w.must(err)
			return r.Asked
		}
		before := plan()
		w.must(w.db.InTx(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO prestock_word (store_key, asked, answered, promised, in_time, counted, there) VALUES (?, 40, 40, 40, 10, 5, 10000)`, w.shops[0].Key)
			return err
		}))
		if after := plan(); after <= before {
			t.Fatalf("%d units are asked as before", after)
		}
	})
}

// used says that in so many days before today each shop sold so many a day.
func (w *town) used(sku string, days int, units map[int]int) {
	w.Helper()
	var file strings.Builder
	file.WriteString("date,external_id,sku,units\n")
	for day := range days {
		for shop, n := range units {
			fmt.Fprintf(&file, "%s,%s,%s,%d\n", w.db.Now().AddDate(0, 0, -1-day).Format(time.DateOnly), w.shops[shop].ExternalID, sku, n)
		}
	}
	r, err := w.book.ImportDemand(ctx, strings.NewReader(file.String()), prestock.DemandOptions{})
	w.must(err)
	if r.Failed > 0 {
		w.Fatalf("%+v", r)
	}
}

// What a unit short and a unit over cost decides how far above the mean a plan goes.
func TestThePlanWeighsShortAgainstOver(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(0)
		w.shop(0)
		w.used("SKU-7", 28, map[int]int{0: 8, 1: 3})
		kes := func(n int64) *prestock.Money { return &prestock.Money{Amount: n, Currency: "KES"} }
		var asked []int
		for _, cost := range []struct{ margin, holding *prestock.Money }{{kes(60), kes(40)}, {nil, nil}, {kes(80), kes(20)}, {kes(80), nil}, {nil, kes(20)}, {kes(95), kes(5)}} {
			in := singlesDay(0)
			in.SKUs[0] = prestock.SKU{SKU: "SKU-7", CasePack: 1, UnitMargin: cost.margin, UnitHoldingCost: cost.holding}
			r, err := w.book.Plan(ctx, w.campaign(in).Key)
			w.must(err)
			asked = append(asked, r.Asked)
		}
		if low, usual, high := asked[0], asked[1], asked[5]; low >= usual || usual >= high {
			t.Fatalf("asked %v", asked)
		}
		if diff := gocmp.Diff([]int{asked[1], asked[1], asked[1]}, asked[2:5]); diff != "" {
			t.Fatalf("what is not said is 4 to 1: %s", diff)
		}
	})
}

func TestReplenishmentAtNight(t *testing.T) {
	inTown(t, func(w *town) {
		for range 3 {
			w.shop(400)
		}
		w.used("SKU-7", 28, map[int]int{0: 10, 1: 10, 2: 0})
		night := func() (asked int) {
			w.Helper()
			n, err := w.book.Replenish(ctx)
			w.must(err)
			return n
		}
		if night() != 0 {
			t.Fatal("it was never switched on")
		}
		r := prestock.DefaultReplenishing
		r.Enabled = true
		w.must(w.book.SetReplenishing(ctx, r))
		first := night() // a day until the goods come, and three that they last: 80, and some for luck
		if first < 80 || first > 200 {
			t.Fatalf("%d units are asked", first)
		}
		if night() != 0 {
			t.Fatal("once a night")
		}
		list, _, err := w.book.ListCampaigns(ctx, 0, 10)
		w.must(err)
		if len(list) != 1 || list[0].Kind != prestock.Replenishment || list[0].Status != prestock.Approved {
			t.Fatalf("%+v", list)
		}
		n, err := w.book.PromptDue(ctx)
		w.must(err)
		if n < 2 {
			t.Fatalf("%d shops were prompted", n)
		}
		w.sound()

		// The next night: some was counted, some is still to come, and nothing of it is asked again.
		for _, task := range w.tasks(prestock.Filter{}) {
			if task.Store == w.shops[0].Key {
				_, err = w.book.Stocked(ctx, task.Key, task.Asked)
			} else {
				_, err = w.book.Acknowledge(ctx, task.Key, task.Asked)
			}
			w.must(err)
		}
		w.clock.Advance(24 * time.Hour)
		w.used("SKU-7", 1, map[int]int{0: 10, 1: 10})
		if second := night(); second > first/2 {
			t.Fatalf("%d units are asked again after %d", second, first)
		}
		w.sound()

		// A campaign that has asked for a lot is enough for the days it lasts.
		c := singlesDay(900)
		c.StartsAt, c.EndsAt = w.db.Now().Add(time.Hour), w.db.Now().Add(100*time.Hour)
		w.approved(c)
		w.clock.Advance(24 * time.Hour)
		if third := night(); third != 0 {
			t.Fatalf("%d units are asked beside 900 of a campaign", third)
		}
	})
}

func TestAnInterruptedNightIsFinished(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(0)
		w.used("SKU-7", 28, map[int]int{0: 10})
		r := prestock.DefaultReplenishing
		r.Enabled = true
		w.must(w.book.SetReplenishing(ctx, r))
		short, stop := context.WithCancel(ctx)
		stop()
		if _, err := w.book.Replenish(short); err == nil {
			t.Fatal("it had no time")
		}
		w.must(w.db.InTx(ctx, func(tx *db.Tx) error { // the campaign was made, its plan was not
			_, err := tx.Exec(`UPDATE campaign SET status = 'draft'`)
			return err
		}))
		n, err := w.book.Replenish(ctx)
		w.must(err)
		if n == 0 {
			t.Fatal("the night was given up")
		}
		w.clock.Advance(24 * time.Hour)
		runner := job.New(w.db, slog.New(slog.DiscardHandler), prestock.Jobs(w.book)...)
		w.must(runner.Tick(ctx)) // installs the jobs
		w.clock.Advance(72 * time.Hour)
		w.must(runner.Tick(ctx)) // three nights were missed: one is made up
		if n := w.number(`SELECT count(*) FROM campaign`); n != 2 {
			t.Fatalf("%d campaigns after a missed time", n)
		}

		// After a month their tasks are forgotten, and what came of them is not.
		w.clock.Advance(40 * 24 * time.Hour)
		_, err = w.book.ReleaseDue(ctx)
		w.must(err)
		before := w.number(`SELECT CAST(sum(asked) AS BIGINT) FROM prestock_progress`)
		if n, err := w.book.ForgetReplenished(ctx); n == 0 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if n := w.number(`SELECT count(*) FROM prestock_task`) + w.number(`SELECT count(*) FROM prestock_prompt`); n != 0 {
			t.Fatalf("%d rows are left of nights long ago", n)
		}
		if n := w.number(`SELECT CAST(sum(asked) AS BIGINT) FROM prestock_progress`); n != before || n == 0 {
			t.Fatalf("their sums were %d and are %d", before, n)
		}
	})
}

// A process that was down over a night's end does not go on with that night, and the shelves are free for the next.
func TestAnInterruptedNightMakesWayForTheNext(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(200)
		w.used("SKU-7", 28, map[int]int{0: 10})
		r := prestock.DefaultReplenishing
		r.Enabled = true
		w.must(w.book.SetReplenishing(ctx, r))
		asked, err := w.book.Replenish(ctx)
		w.must(err)
		w.must(w.db.InTx(ctx, func(tx *db.Tx) error { // the tasks were written, the end was not
			_, err := tx.Exec(`UPDATE campaign SET status = 'draft'`)
			return err
		}))
		w.clock.Advance(24 * time.Hour)
		again, err := w.book.Replenish(ctx)
		w.must(err)
		nights, _, err := w.book.ListCampaigns(ctx, 0, 10)
		w.must(err)
		if asked == 0 || again == 0 || len(nights) != 2 || nights[0].Status != prestock.Approved || nights[1].Status != prestock.Cancelled {
			t.Fatalf("%d, then %d units asked: %+v", asked, again, nights)
		}
		if room := w.number(`SELECT CAST(sum(units) AS BIGINT) FROM prestock_room`); room != again {
			t.Fatalf("%d units of room are kept for %d that are asked", room, again)
		}
	})
}

func TestWhatReplenishmentCannotBe(t *testing.T) {
	inTown(t, func(w *town) {
		for _, r := range []prestock.Replenishing{{LeadHours: 0, CoverDays: 3}, {LeadHours: 24, CoverDays: 0}, {LeadHours: 24, CoverDays: 61}, {LeadHours: 400, CoverDays: 1}} {
			w.refused(w.book.SetReplenishing(ctx, r), "invalid")
		}
		got, err := w.book.Replenishing(ctx)
		w.must(err)
		if got != prestock.DefaultReplenishing {
			t.Fatalf("%+v", got)
		}
	})
}

// Two who approve in the same moment do not both have the stores stock the same goods.
func TestApprovingTwoThatMeetAtOnce(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(0)
		for range 4 {
			var both [2]prestock.Campaign
			for i := range both {
				both[i] = w.campaign(singlesDay(10))
				_, err := w.book.Plan(ctx, both[i].Key)
				w.must(err)
			}
			var errs [2]error
			var wg sync.WaitGroup
			for i := range both {
				wg.Go(func() { _, errs[i] = w.book.Approve(ctx, both[i].Key) })
			}
			wg.Wait()
			if (errs[0] == nil) == (errs[1] == nil) || fault.Code(errors.Join(errs[:]...)) != "campaigns-overlap" {
				t.Fatalf("%v, %v", errs[0], errs[1])
			}
			for i := range both {
				_, err := w.book.Cancel(ctx, both[i].Key)
				w.must(err)
			}
		}
	})
}

func TestApprovingWhereCampaignsMeet(t *testing.T) {
	inTown(t, func(w *town) {
		near, far := w.shop(0), w.shop(0)
		lng := 37.4
		far, err := w.stores.Update(ctx, far.Key, partner.Patch{Lng: &lng}, nil)
		w.must(err)
		w.approved(singlesDay(10))
		for _, tt := range []struct {
			what   string
			meets  bool
			change func(*prestock.CampaignInput)
		}{
			{"the same", true, func(*prestock.CampaignInput) {}},
			{"another SKU", false, func(c *prestock.CampaignInput) { c.SKUs[0].SKU = "SKU-8" }},
			{"one SKU of two", true, func(c *prestock.CampaignInput) {
				c.SKUs = append([]prestock.SKU{{SKU: "SKU-9", ExpectedUnits: units(3), CasePack: 1}}, c.SKUs...)
			}},
			{"the day after", false, func(c *prestock.CampaignInput) { c.StartsAt, c.EndsAt = c.EndsAt, c.EndsAt.Add(time.Hour) }},
			{"its last hour", true, func(c *prestock.CampaignInput) { c.StartsAt = c.EndsAt.Add(-time.Hour) }},
			{"a cell of everywhere", true, func(c *prestock.CampaignInput) { c.Cells = []string{near.Cell.String()} }},
		} {
			in := singlesDay(10)
			tt.change(&in)
			c := w.campaign(in)
			_, err := w.book.Plan(ctx, c.Key)
			w.must(err)
			_, err = w.book.Approve(ctx, c.Key)
			if !tt.meets {
				w.must(err)
				continue
			}
			e := w.refused(err, "campaigns-overlap")
			if len(e.Fields) != 1 || !strings.Contains(e.Fields[0].Detail, "Singles Day") || !errors.As(err, &e) {
				t.Fatalf("%s: %v", tt.what, e)
			}
		}
		// Two places that do not meet.
		for i, s := range []partner.Store{near, far} {
			in := singlesDay(10)
			in.SKUs[0].SKU, in.Cells = "SKU-5", []string{s.Cell.String()}
			if i == 1 {
				in.Name = "Elsewhere"
			}
			w.approved(in)
		}
	})
}
