package prestock_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
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
	"pgregory.net/rapid"
)

// told checks what must hold of prompts and of the stores' word at every moment.
func (w *town) told(tasks []prestock.Task) {
	w.Helper()
	twice := map[string]bool{}
	for _, t := range tasks {
		for _, p := range t.Prompts {
			what := fmt.Sprint(t.Key, p.Kind, p.LeadS)
			if twice[what] || p.Kind == prestock.First && twice[fmt.Sprint(t.Key, "first")] {
				w.Fatalf("a store was told twice: %+v", t.Prompts)
			}
			twice[what], twice[fmt.Sprint(t.Key, p.Kind)] = true, true
		}
	}
	var events, prompts, distinct int
	w.must(w.db.Read(ctx).Get(&events, `SELECT count(*) FROM event WHERE type IN ('prestock.prompted', 'prestock.reminded')`))
	w.must(w.db.Read(ctx).Get(&prompts, `SELECT count(*) FROM prestock_prompt WHERE sent = TRUE`))
	w.must(w.db.Read(ctx).Get(&distinct, `SELECT count(DISTINCT event) FROM prestock_prompt WHERE sent = TRUE`))
	if events != prompts || distinct != prompts {
		w.Fatalf("%d prompts are kept with %d events, %d were told", prompts, distinct, events)
	}
	want := map[int64]prestock.Word{}
	for _, t := range tasks {
		x := want[t.Store]
		switch s := t.Status; {
		case t.Counted != nil && *t.Counted > 0:
			x.Asked, x.Answered, x.Promised, x.InTime = x.Asked+1, x.Answered+1, x.Promised+1, x.InTime+1
			if *t.Counted >= t.Committed {
				x.Counted, x.There = x.Counted+1, x.There+1000
			} else {
				x.There += int64(1000 * *t.Counted / t.Committed)
			}
		case !t.WasPrompted(): // nobody can say that it was told and did not answer
		case s == prestock.Expired:
			x.Asked++
		case s == prestock.Lapsed:
			x.Asked, x.Answered, x.Promised = x.Asked+1, x.Answered+1, x.Promised+1
		case s == prestock.Acknowledged || s == prestock.Partially || s == prestock.Declined:
			x.Asked, x.Answered = x.Asked+1, x.Answered+1
		}
		want[t.Store] = x
	}
	got := map[int64]prestock.Word{}
	_, err := w.book.EachReliability(ctx, func(store int64, r prestock.Reliability) error {
		got[store] = r.Word
		return nil
	})
	w.must(err)
	for _, m := range []map[int64]prestock.Word{want, got} {
		maps.DeleteFunc(m, func(_ int64, x prestock.Word) bool { return x == prestock.Word{} })
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		w.Fatal("the stores' word is not what their tasks say: ", diff)
	}
}

// rests has a shop hear nothing at some hours.
func (w *town) rests(shop int, quiet string) {
	w.Helper()
	_, err := w.stores.Update(ctx, w.shops[shop].Key, partner.Patch{QuietHours: &quiet}, nil)
	w.must(err)
}

// prompts of a shop's first task, as "kind hours before the peak".
func (w *town) prompts(shop int) (list []string) {
	w.Helper()
	for _, p := range w.of(shop).Prompts {
		list = append(list, fmt.Sprintf("%s %g", p.Kind, peak.Sub(p.At).Hours()))
	}
	return list
}

// walk goes through time in steps and does the rounds at each.
func (w *town) walk(from, to, step time.Duration) {
	w.Helper()
	for at := from; at >= to; at -= step {
		w.before(at)
		_, err := w.book.PromptDue(ctx)
		w.must(err)
	}
}

// The peak begins at three in the morning on the shops' clock, and so does the longest lead.
func TestNobodyIsWokenUp(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(100)
		w.rests(0, "22:00-07:00")
		w.approved(singlesDay(40))
		w.before(72 * time.Hour)
		w.prompt(0)
		w.prompt(0)
		if got := w.of(0); got.Status != prestock.Planned || got.WasPrompted() {
			t.Fatalf("%+v", got)
		}
		w.before(68*time.Hour + time.Second)
		w.prompt(0)
		w.before(68 * time.Hour)
		w.prompt(1)
		w.prompt(0)
		got := w.is(0, prestock.Prompted, 40, 0, 0)
		if !got.StockDeadline.Equal(peak.Add(-3*time.Hour)) || !got.AckDeadline.Equal(peak.Add(-35*time.Hour-30*time.Minute)) || !got.PromptedAt.Equal(w.db.Now()) {
			t.Fatalf("asked at seven: answer by %s, goods by %s", got.AckDeadline, got.StockDeadline)
		}
		w.sound()
	})
}

func TestRemindersWithinTheTimeToAnswer(t *testing.T) {
	for _, c := range []struct {
		quiet string // from the first prompt on
		want  []string
	}{
		{"", []string{"first 72", "reminder_50 54.75", "reminder_80 44.25"}}, // looked at every quarter of an hour
		{"20:00-22:00", []string{"first 72", "reminder_50 53", "reminder_80 44.25"}},
		{"20:00-06:00", []string{"first 72", "reminder_50 45", "reminder_80 44.25"}},
		{"20:00-07:00", []string{"first 72", "reminder_80 44"}}, // by then both are due: the later one
		{"20:00-13:15", []string{"first 72", "reminder_80 37.75"}},
		{"20:00-13:30", []string{"first 72"}}, // that is when the answer is due
	} {
		t.Run(c.quiet, func(t *testing.T) {
			inTown(t, func(w *town) {
				w.shop(100)
				w.shop(100)
				w.approved(singlesDay(80))
				w.before(72 * time.Hour)
				w.prompt(2)
				w.rests(0, c.quiet)
				_, err := w.book.Acknowledge(ctx, w.of(1).Key, 40)
				w.must(err)
				w.walk(72*time.Hour, 37*time.Hour+45*time.Minute, 15*time.Minute)
				if diff := gocmp.Diff(c.want, w.prompts(0)); diff != "" {
					w.Fatal(diff)
				}
				if diff := gocmp.Diff([]string{"first 72"}, w.prompts(1)); diff != "" {
					w.Fatal("who has answered is not reminded: ", diff)
				}
				// Every one of them is recorded, said or passed over, and none is left.
				w.walk(37*time.Hour+30*time.Minute, 37*time.Hour, 15*time.Minute)
				var kept int
				w.must(w.db.Read(ctx).Get(&kept, `SELECT count(*) FROM prestock_prompt WHERE kind <> 'lead'`))
				if kept != 2 || len(w.prompts(0)) != len(c.want) {
					w.Fatalf("%d reminders are recorded, %v went out", kept, w.prompts(0))
				}
				w.sound()
			})
		})
	}
}

func TestWhenItIsTooLateToWait(t *testing.T) {
	for _, c := range []struct {
		what  string
		start time.Duration // after the peak of the others, which is at three in the morning
		want  float64       // hours before the start that the shop hears of it
	}{
		{"the goods are due before it wakes", 3 * time.Hour, 6},
		{"it wakes in time", 9 * time.Hour, 5},
	} {
		t.Run(c.what, func(t *testing.T) {
			inTown(t, func(w *town) {
				w.shop(100)
				w.rests(0, "22:00-07:00")
				in := singlesDay(40)
				in.StartsAt, in.EndsAt, in.Leads = peak.Add(c.start), peak.Add(c.start+24*time.Hour), []int{6 * 3600}
				w.approved(in)
				w.walk(7*time.Hour-c.start, -c.start, 15*time.Minute)
				got := w.of(0)
				if len(got.Prompts) == 0 || in.StartsAt.Sub(got.Prompts[0].At).Hours() != c.want {
					w.Fatalf("%+v, want %g hours before", got.Prompts, c.want)
				}
			})
		})
	}
}

func TestALaterLeadInTheNight(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(100)
		w.approved(singlesDay(40))
		w.before(72 * time.Hour)
		w.prompt(1)
		_, err := w.book.Acknowledge(ctx, w.of(0).Key, 40)
		w.must(err)
		w.rests(0, "01:00-06:00") // the lead of 24 h is at three, that of 6 h at nine in the evening
		w.walk(30*time.Hour, time.Hour, time.Hour)
		if diff := gocmp.Diff([]string{"first 72", "again 21", "again 6"}, w.prompts(0)); diff != "" {
			t.Fatal(diff)
		}
		// A lead that would come after the goods are due is passed over.
		w.shop(100)
		in := singlesDay(40)
		in.StartsAt, in.EndsAt = peak.Add(48*time.Hour), peak.Add(72*time.Hour)
		in.SKUs[0].SKU = "SKU-8"
		w.approved(in)
		w.before(24 * time.Hour)
		_, err = w.book.PromptDue(ctx)
		w.must(err)
		second := w.tasks(prestock.Filter{Store: w.shops[1].Key})[0]
		_, err = w.book.Acknowledge(ctx, second.Key, second.Asked)
		w.must(err)
		w.rests(1, "20:00-07:00")
		for at := 24 * time.Hour; at > -48*time.Hour; at -= time.Hour {
			w.before(at)
			_, err = w.book.PromptDue(ctx)
			w.must(err)
		}
		second, err = w.book.Task(ctx, second.Key)
		w.must(err)
		var leads []int
		for _, p := range second.Prompts {
			leads = append(leads, p.LeadS)
		}
		if diff := gocmp.Diff([]int{259200, 86400}, leads); diff != "" {
			t.Fatal(diff)
		}
		w.sound()
	})
}

func TestANeighbourIsLeftToSleep(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(100)
		w.shop(100)
		w.rests(1, "22:00-07:00")
		in := singlesDay(40)
		c := w.campaign(in)
		_, err := w.stores.Pause(ctx, w.shops[1].Key, nil)
		w.must(err)
		_, err = w.book.Plan(ctx, c.Key) // without the neighbour
		w.must(err)
		_, err = w.stores.Resume(ctx, w.shops[1].Key)
		w.must(err)
		_, err = w.book.Approve(ctx, c.Key)
		w.must(err)
		w.before(72 * time.Hour) // three in the morning, for the one who is awake
		w.prompt(1)
		_, err = w.book.Decline(ctx, w.of(0).Key, "")
		w.must(err)
		asleep := w.is(1, prestock.Prompted, 40, 0, 0)
		if asleep.WasPrompted() || len(asleep.Prompts) != 0 || !asleep.AckDeadline.After(peak.Add(-68*time.Hour)) {
			t.Fatalf("%+v", asleep)
		}
		_, err = w.book.Acknowledge(ctx, asleep.Key, 40)
		w.refused(err, "wrong-state")
		if list := w.tasks(prestock.Filter{Store: w.shops[1].Key, Prompted: true}); len(list) != 0 {
			t.Fatalf("it was told already: %+v", list)
		}
		w.sound()
		w.prompt(0)
		w.before(68 * time.Hour)
		w.prompt(1)
		if diff := gocmp.Diff([]string{"first 68"}, w.prompts(1)); diff != "" {
			t.Fatal(diff)
		}
		_, err = w.book.Acknowledge(ctx, asleep.Key, 40)
		w.must(err)
		w.sound()
	})
}

func TestASleepingTownIsNoWork(t *testing.T) {
	inTown(t, func(w *town) {
		for i := range 3 {
			w.shop(100)
			w.rests(i, "22:00-07:00")
		}
		w.approved(singlesDay(40))
		runner := job.New(w.db, slog.New(slog.DiscardHandler), prestock.Jobs(w.book)...)
		w.must(runner.Tick(ctx))
		rows := func() (n int) {
			w.must(w.db.Read(ctx).Get(&n, `SELECT count(*) FROM job_slot WHERE job = 'prestock-prompts'`))
			return n
		}
		w.before(72 * time.Hour)
		w.must(runner.Tick(ctx)) // looks, and finds them asleep
		before := rows()
		for range 30 {
			w.clock.Advance(time.Minute)
			w.must(runner.Tick(ctx))
		}
		if rows() != before {
			t.Fatalf("%d runs while all are asleep", rows()-before)
		}
	})
}

// zones have their clocks moved by an hour, by half an hour, at two in the morning and at midnight.
var zones = []struct {
	zone, country string
	lat, lng      float64
	months        [2]time.Month // in which clocks are moved
}{
	{"America/New_York", "US", 40.7, -74, [2]time.Month{time.March, time.November}},
	{"Europe/Berlin", "DE", 52.5, 13.4, [2]time.Month{time.March, time.October}},
	{"Australia/Lord_Howe", "AU", -31.55, 159.08, [2]time.Month{time.April, time.October}},
	{"America/Santiago", "CL", -33.45, -70.66, [2]time.Month{time.April, time.September}},
}

// changeIn is when the clock of a zone is moved in a month.
func changeIn(t testing.TB, zone *time.Location, year int, month time.Month) time.Time {
	t.Helper()
	_, at := time.Date(year, month, 1, 0, 0, 0, 0, zone).ZoneBounds()
	if at.IsZero() || at.In(zone).Month() != month {
		t.Fatalf("no clock is moved in %s %d in %s", month, year, zone)
	}
	return at.UTC()
}

// Four years of campaigns in four zones, each over a night on which clocks are moved, with the rounds
// done every hour and twice each time, and the clock put back now and then.
func TestYearsOfScheduleAcrossTheChangesOfTheClock(t *testing.T) {
	for _, z := range zones {
		t.Run(z.zone, func(t *testing.T) {
			zone, err := time.LoadLocation(z.zone)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			clock := dbtest.NewClock(start)
			w := newTown(t, dbtest.Open(t, db.SQLite, db.Options{Clock: clock.Now}), clock)
			for i, quiet := range []string{"22:00-07:00", "23:30-02:15", "", "01:45-03:10"} {
				name, lng := fmt.Sprint("Shop ", i), z.lng+.004*float64(i)
				s, _, err := w.stores.Create(ctx, partner.Input{Name: &name, TimeZone: &z.zone, Country: &z.country, Lat: &z.lat, Lng: &lng, QuietHours: &quiet})
				w.must(err)
				w.shops = append(w.shops, s)
			}
			var wanted int
			for year := 2026; year < 2030; year++ {
				for i, month := range z.months {
					change := changeIn(t, zone, year, month)
					clock.Set(change.Add(-90 * time.Hour))
					in := singlesDay(40)
					in.StartsAt = change.Add(time.Duration(i*10+year%4*3) * time.Hour)
					in.EndsAt = in.StartsAt.Add(20 * time.Hour)
					w.approved(in)
					wanted++
					for at := change.Add(-90 * time.Hour); at.Before(in.EndsAt.Add(2 * time.Hour)); at = at.Add(time.Hour) {
						clock.Set(at)
						if at.Hour()%7 == 0 {
							clock.Advance(-3 * time.Hour)
							w.rounds()
							clock.Set(at)
						}
						w.rounds()
						w.rounds()
						w.answerSome(at)
					}
				}
			}
			w.sound()
			w.onTime()
			var finished int
			w.must(w.db.Read(ctx).Get(&finished, `SELECT count(*) FROM campaign WHERE status = 'finished'`))
			if finished != wanted {
				t.Fatalf("%d of %d campaigns are finished", finished, wanted)
			}
		})
	}
}

func (w *town) rounds() {
	w.Helper()
	for _, do := range []func(context.Context) (int, error){w.book.PromptDue, w.book.ExpireDue, w.book.LapseDue, w.book.ReleaseDue} {
		_, err := do(ctx)
		w.must(err)
	}
}

// answerSome has the first shop answer and the second promise and not deliver, in the afternoon.
func (w *town) answerSome(at time.Time) {
	w.Helper()
	if at.Hour() != 15 || at.Minute() != 0 {
		return
	}
	for shop, units := range []int{-1, 1} {
		for _, t := range w.tasks(prestock.Filter{Store: w.shops[shop].Key, Statuses: []prestock.Status{prestock.Prompted}, Prompted: true}) {
			n := units
			if n < 0 {
				n = t.Asked
			}
			_, err := w.book.Acknowledge(ctx, t.Key, n)
			if err != nil && fault.KindOf(err) != fault.Conflict {
				w.Fatal(err)
			}
		}
	}
}

// onTime checks of every prompt ever sent that it broke no quiet hours without need, and reached the
// store while there was something to do.
func (w *town) onTime() {
	w.Helper()
	var tasks []struct {
		Key   int64
		Store int64 `db:"store_key"`
		Camp  int64 `db:"campaign_key"`
	}
	w.must(w.db.Read(ctx).Select(&tasks, `SELECT key, store_key, campaign_key FROM prestock_task`))
	sent := 0
	for _, x := range tasks {
		t, err := w.book.Task(ctx, x.Key)
		w.must(err)
		c, err := w.book.GetCampaign(ctx, x.Camp)
		w.must(err)
		s, err := w.stores.Get(ctx, x.Store)
		w.must(err)
		quiet := s.Silence()
		for i, p := range t.Prompts {
			sent++
			if p.At.Before(c.StartsAt.Add(-72*time.Hour)) || p.At.After(t.StockDeadline) {
				w.Fatalf("a prompt of %s at %s, the goods due at %s", c.Name, p.At, t.StockDeadline)
			}
			if (p.Kind == prestock.Reminder50 || p.Kind == prestock.Reminder80) && !p.At.Before(t.AckDeadline) {
				w.Fatalf("reminded at %s of an answer due at %s", p.At, t.AckDeadline)
			}
			if !quiet.At(p.At) {
				continue
			}
			if i > 0 || p.Kind != prestock.First || quiet.Until(p.At).Before(t.StockDeadline) {
				w.Fatalf("%s prompt in the quiet hours, at %s; they end at %s, the goods are due at %s", p.Kind, p.At.In(quiet.Zone), quiet.Until(p.At), t.StockDeadline)
			}
		}
	}
	if sent < 40 {
		w.Fatalf("only %d prompts went out", sent)
	}
}

// Whatever the clock does, between any rounds.
func TestClocksForwardAndBack(t *testing.T) {
	clock := dbtest.NewClock(monday)
	rapid.Check(t, func(rt *rapid.T) {
		clock.Set(monday)
		w := drawnTown(t, rt, clock)
		for i := range rapid.IntRange(1, 4).Draw(rt, "shops") {
			w.shop(rapid.IntRange(20, 60).Draw(rt, "shelf"))
			w.rests(i, rapid.SampledFrom([]string{"", "22:00-07:00", "12:00-13:00", "00:00-23:59"}).Draw(rt, "quiet"))
		}
		w.approved(singlesDay(rapid.IntRange(1, 100).Draw(rt, "expected")))
		w.before(73 * time.Hour)
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			clock.Advance(time.Duration(rapid.IntRange(-6*60, 24*60).Draw(rt, "minutes")) * time.Minute)
			w.rounds()
			if list := w.tasks(prestock.Filter{Prompted: true}); len(list) > 0 && rapid.Bool().Draw(rt, "answers") {
				task := rapid.SampledFrom(list).Draw(rt, "task")
				n := rapid.IntRange(0, task.Asked).Draw(rt, "units")
				act := w.book.Acknowledge
				if rapid.Bool().Draw(rt, "counts") {
					act = w.book.Stocked
				}
				if _, err := act(ctx, task.Key, n); err != nil && fault.KindOf(err) != fault.Conflict {
					rt.Fatal(err)
				}
			}
			w.sound()
		}
	})
}

// A process that was down over leads, reminders and deadlines makes up for them once.
func TestAMissedRunIsMadeUpForOnce(t *testing.T) {
	inTown(t, func(w *town) {
		for range 3 {
			w.shop(100)
		}
		w.approved(singlesDay(90))
		runner := job.New(w.db, slog.New(slog.DiscardHandler), prestock.Jobs(w.book)...)
		w.must(runner.Tick(ctx))
		w.before(72 * time.Hour)
		w.must(runner.Tick(ctx))
		_, err := w.book.Acknowledge(ctx, w.of(0).Key, 30)
		w.must(err)
		w.before(40 * time.Hour) // both reminders are due
		for range 3 {
			w.clock.Advance(time.Minute)
			w.must(runner.Tick(ctx))
		}
		if got := w.of(1).Prompts; len(got) != 2 || got[1].Kind != prestock.Reminder80 {
			t.Fatalf("%+v", got)
		}
		w.before(5 * time.Hour) // down over two leads and the deadline
		for range 3 {
			w.clock.Advance(time.Minute)
			w.must(runner.Tick(ctx))
		}
		var kinds []string
		for _, p := range w.of(0).Prompts {
			kinds = append(kinds, fmt.Sprint(p.Kind, " ", p.LeadS))
		}
		if diff := gocmp.Diff([]string{"first 259200", "again 21600"}, kinds); diff != "" {
			t.Fatal(diff)
		}
		if got := w.of(1); got.Status != prestock.Expired || len(got.Prompts) != 2 {
			t.Fatalf("%s, told %d times", got.Status, len(got.Prompts))
		}
		w.sound()
	})
}

// dying ends after so many statements, as a process does that is killed between two of them.
type dying struct {
	context.Context
	mu   sync.Mutex
	left int
}

func (d *dying) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left--; d.left < 0 {
		return context.Canceled
	}
	return nil
}

// Every step of the loop is killed at its first statement, at its second, and so on until it gets
// through. Each time the invariants hold, and in the end all is as if nothing had happened.
func TestTheLoopKilledAtAnyStatement(t *testing.T) {
	run := func(t *testing.T, kill bool) (story []string, deaths int) {
		clock := dbtest.NewClock(monday)
		w := newTown(t, dbtest.Open(t, db.SQLite, db.Options{Clock: clock.Now}), clock)
		for range 4 {
			w.shop(60)
		}
		w.rests(3, "22:00-07:00")
		c := w.approved(singlesDay(150))
		step := func(name string, f func(context.Context) error) {
			t.Helper()
			for n := 0; kill; n++ {
				dead := &dying{Context: ctx, left: n}
				err := f(dead)
				if n%4 == 0 {
					w.sound()
				}
				if err == nil && dead.left >= 0 {
					break
				}
				if deaths++; n > 5000 {
					t.Fatalf("%s never gets through", name)
				}
			}
			if err := f(ctx); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			w.sound()
		}
		sweep := func(f func(context.Context) (int, error)) func(context.Context) error {
			return func(ctx context.Context) error { _, err := f(ctx); return err }
		}
		key := func(shop int) int64 { return w.of(shop).Key }
		w.before(72 * time.Hour)
		step("prompt", sweep(w.book.PromptDue))
		a, b := key(0), key(1)
		step("acknowledge", func(ctx context.Context) error { _, err := w.book.Acknowledge(ctx, a, 20); return err })
		step("decline", func(ctx context.Context) error { _, err := w.book.Decline(ctx, b, "full"); return err })
		w.before(60 * time.Hour)
		step("the sleeper", sweep(w.book.PromptDue))
		w.before(50 * time.Hour)
		step("remind", sweep(w.book.PromptDue))
		step("count", func(ctx context.Context) error { _, err := w.book.Stocked(ctx, a, 18); return err })
		w.before(30 * time.Hour)
		step("expire", sweep(w.book.ExpireDue))
		w.before(5 * time.Hour)
		step("again", sweep(w.book.PromptDue))
		w.before(2 * time.Hour)
		step("lapse", sweep(w.book.LapseDue))
		w.clock.Set(c.EndsAt)
		step("release", sweep(w.book.ReleaseDue))
		for shop := range w.shops {
			for _, x := range w.tasks(prestock.Filter{Store: w.shops[shop].Key}) {
				if x.Parent != 0 {
					continue // who steps in depends on whose time was found to be over first
				}
				line := fmt.Sprint(shop, " ", x.Status, " ", x.Asked, " ", x.Committed)
				for _, p := range x.Prompts {
					line += fmt.Sprint(" ", p.Kind, p.At.Unix())
				}
				story = append(story, line)
			}
		}
		slices.Sort(story)
		return story, deaths
	}
	want, _ := run(t, false)
	got, deaths := run(t, true)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if deaths < 100 {
		t.Fatalf("only %d deaths", deaths)
	}
	t.Logf("%d deaths", deaths)
}

// Two processes, each with a handle of its own, do everything at once.
func TestTwoProcessesDoTheRounds(t *testing.T) {
	for _, engine := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			clock, url := dbtest.NewClock(monday), dbtest.URL(t, engine)
			var towns []*town
			for range 2 {
				d, err := db.Open(ctx, url, db.Options{Clock: clock.Now, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				towns = append(towns, newTown(t, d, clock))
			}
			w := towns[0]
			for range 20 {
				w.shop(30)
			}
			w.approved(singlesDay(400))
			for _, at := range []time.Duration{72, 54, 44, 30, 20, 5, 2, -25} {
				clock.Set(peak.Add(-at * time.Hour))
				var wg sync.WaitGroup
				for i := range 4 {
					b := towns[i%2].book
					wg.Go(func() {
						for _, do := range []func(context.Context) (int, error){b.PromptDue, b.ExpireDue, b.LapseDue, b.ReleaseDue} {
							if _, err := do(ctx); err != nil && fault.KindOf(err) != fault.Unavailable {
								t.Error(err)
							}
						}
					})
				}
				for i, s := range w.shops {
					if i%3 == 0 && at > 0 {
						wg.Go(func() {
							list, _, err := towns[i%2].book.Tasks(ctx, prestock.Filter{Store: s.Key, Prompted: true, Statuses: []prestock.Status{prestock.Prompted}})
							for _, task := range list {
								if _, err := towns[i%2].book.Acknowledge(ctx, task.Key, task.Asked/2); err != nil && fault.As(err) == nil {
									t.Error(err)
								}
							}
							if err != nil {
								t.Error(err)
							}
						})
					}
				}
				wg.Wait()
				w.rounds()
				w.sound()
			}
		})
	}
}

func TestWhatAStoreIsTold(t *testing.T) {
	inTown(t, func(w *town) {
		w.shop(100)
		w.shop(100)
		zh := "zh-Hans-CN"
		_, err := w.stores.Update(ctx, w.shops[1].Key, partner.Patch{Locale: &zh}, nil)
		w.must(err)
		in := singlesDay(80)
		in.SKUs[0].UnitFee = &prestock.Money{Amount: 250, Currency: "KES"}
		w.approved(in)
		w.before(72 * time.Hour)
		w.prompt(2)
		say := func(shop int, kind string) prestock.Notice {
			w.Helper()
			n, err := w.book.Notice(ctx, w.shops[shop].Key, prestock.Said{Task: w.of(shop).Key, Kind: kind})
			w.must(err)
			return n
		}
		got, asked := say(0, prestock.First), w.of(0)
		for _, part := range []string{"40 × SKU-7", "on your shelf by Wed 11 Nov, 00:00", "by Mon 9 Nov, 13:30", asked.Reason("en"), "You get 2.50 KES for each one sold."} {
			if !strings.Contains(got.Body, part) {
				w.Errorf("%q lacks %q", got.Body, part)
			}
		}
		if got.Lang != "en" || got.Title != "40 × SKU-7 for Singles Day" || got.Moot || !got.Until.Equal(asked.AckDeadline) || asked.Reason("en") == "" {
			w.Errorf("%+v", got)
		}
		got = say(1, prestock.Reminder80)
		for _, part := range []string{"SKU-7 40 件", "11月11日（周三）00:00", "11月9日（周一）13:30", "每售出一件您可得 2.50 KES。"} {
			if !strings.Contains(got.Body, part) {
				w.Errorf("%q lacks %q", got.Body, part)
			}
		}
		if got.Lang != "zh" || !strings.Contains(got.Title, "最后提醒") {
			w.Errorf("%+v", got)
		}
		if _, err := w.book.Notice(ctx, w.shops[1].Key, prestock.Said{Task: w.of(0).Key, Kind: prestock.First}); fault.KindOf(err) != fault.NotFound {
			w.Errorf("a store reads what another is told: %v", err)
		}

		gone, err := w.book.Notice(ctx, w.shops[1].Key, prestock.Said{Task: 12345, Kind: prestock.First})
		w.must(err)
		if !gone.Moot || gone.Body != "此事已结束，无需再处理。" {
			w.Errorf("of a task that was forgotten: %+v", gone)
		}

		// What was said before is moot once there is an answer; the goods are to be counted yet.
		_, err = w.book.Acknowledge(ctx, w.of(0).Key, 25)
		w.must(err)
		if !say(0, prestock.Reminder50).Moot || !say(0, prestock.First).Moot {
			w.Error("it is still asked for an answer")
		}
		if got := say(0, prestock.Again); got.Moot || !strings.Contains(got.Body, "You promised 25 × SKU-7") || !got.Until.Equal(w.of(0).StockDeadline) {
			w.Errorf("%+v", got)
		}
		kid := w.tasks(prestock.Filter{Store: w.shops[1].Key})[1]
		n, err := w.book.Notice(ctx, w.shops[1].Key, prestock.Said{Task: kid.Key, Kind: prestock.First})
		w.must(err)
		if !strings.Contains(n.Body, "444 米外的一家店") || !strings.Contains(n.Body, "15 件") {
			w.Errorf("%q", n.Body)
		}
		if got := kid.Reason("sw"); !strings.HasPrefix(got, "A store 444 m away cannot have all its units ready; 15") {
			w.Errorf("%q", got)
		}

		// Quiet hours that began meanwhile are waited for, unless the answer is due before they end.
		due := kid.AckDeadline.Truncate(time.Minute)
		now := due.Add(-30 * time.Minute)
		w.clock.Set(now)
		on := func(t time.Time) string { return t.In(time.FixedZone("Nairobi", 3*60*60)).Format("15:04") }
		for end, want := range map[time.Time]time.Time{due.Add(-10 * time.Minute): due.Add(-10 * time.Minute), due.Add(time.Hour): now} {
			w.rests(1, on(due.Add(-time.Hour))+"-"+on(end))
			n, err := w.book.Notice(ctx, w.shops[1].Key, prestock.Said{Task: kid.Key, Kind: prestock.First})
			w.must(err)
			if n.Moot || !n.After.Equal(want) {
				w.Errorf("quiet until %s, due at %s: it may be told at %s, want %s", end, due, n.After, want)
			}
		}
	})
}

// A deadline in the hour that the clock shows twice says which of the two it is.
func TestADeadlineInTheHourThatComesTwice(t *testing.T) {
	for _, c := range []struct{ zone, at, lang, want string }{
		{"America/New_York", "2026-11-01T05:30:00Z", "en", "Sun 1 Nov, 01:30 (UTC-04:00)"},
		{"America/New_York", "2026-11-01T06:30:00Z", "en", "Sun 1 Nov, 01:30 (UTC-05:00)"},
		{"America/New_York", "2026-11-01T04:30:00Z", "en", "Sun 1 Nov, 00:30"},
		{"America/New_York", "2026-11-01T07:30:00Z", "en", "Sun 1 Nov, 02:30"},
		{"Europe/Berlin", "2026-10-25T00:30:00Z", "zh", "10月25日（周日）02:30（UTC+02:00）"},
		{"Europe/Berlin", "2026-03-29T01:00:00Z", "en", "Sun 29 Mar, 03:00"},
		{"Australia/Lord_Howe", "2026-04-04T14:45:00Z", "en", "Sun 5 Apr, 01:45 (UTC+11:00)"},
		{"Australia/Lord_Howe", "2026-04-04T15:15:00Z", "en", "Sun 5 Apr, 01:45 (UTC+10:30)"},
		{"Australia/Lord_Howe", "2026-04-04T15:45:00Z", "en", "Sun 5 Apr, 02:15"},
		{"America/Santiago", "2026-04-05T02:30:00Z", "en", "Sat 4 Apr, 23:30 (UTC-03:00)"},
		{"America/Santiago", "2026-04-05T03:30:00Z", "en", "Sat 4 Apr, 23:30 (UTC-04:00)"},
		{"Africa/Nairobi", "2026-04-05T03:30:00Z", "en", "Sun 5 Apr, 06:30"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := time.Parse(time.RFC3339, c.at)
		if got := prestock.ClockIn(c.lang, at, zone); got != c.want {
			t.Errorf("%s in %s: %q, want %q", c.at, c.zone, got, c.want)
		}
	}
}

func TestEveryLanguageSaysEverything(t *testing.T) {
	want := prestock.Phrases("en")
	for _, lang := range prestock.Languages() {
		got := prestock.Phrases(lang)
		for name, holes := range want {
			if text, there := got[name]; !there || text != holes {
				t.Errorf("%s: %s fills in %q, in English %q", lang, name, text, holes)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s has %d phrases, English %d", lang, len(got), len(want))
		}
	}
	if len(prestock.Languages()) < 2 {
		t.Error("one language is not enough")
	}
}

func TestMoneyInPlainWords(t *testing.T) {
	for text, m := range map[string]prestock.Money{"2.50 KES": {Amount: 250, Currency: "KES"}, "0.05 EUR": {Amount: 5, Currency: "EUR"},
		"120 JPY": {Amount: 120, Currency: "JPY"}, "1.005 KWD": {Amount: 1005, Currency: "KWD"}, "-0.30 USD": {Amount: -30, Currency: "USD"}, "0.00 EUR": {Currency: "EUR"}} {
		if got := m.String(); got != text {
			t.Errorf("%+v is %q, want %q", m, got, text)
		}
	}
}

func TestHowAStoreKeepsItsWord(t *testing.T) {
	inTown(t, func(w *town) {
		for range 4 {
			w.shop(100)
		}
		fresh, err := w.book.Reliability(ctx, w.shops[0].Key)
		w.must(err)
		if fresh.Answers != .9 || fresh.Keeps != .9 || fresh.Text("en") != "You have not been asked yet." {
			t.Fatalf("%+v", fresh)
		}
		w.approved(singlesDay(160))
		w.before(72 * time.Hour)
		w.prompt(4)
		for shop := range 3 { // the fourth says nothing
			_, err := w.book.Acknowledge(ctx, w.of(shop).Key, 40)
			w.must(err)
		}
		_, err = w.book.Stocked(ctx, w.of(0).Key, 40)
		w.must(err)
		_, err = w.book.Stocked(ctx, w.of(1).Key, 30) // the third brings nothing
		w.must(err)
		w.before(2 * time.Hour)
		_, err = w.book.ExpireDue(ctx)
		w.must(err)
		_, err = w.book.LapseDue(ctx)
		w.must(err)
		w.sound()
		w.clock.Advance(10 * time.Minute) // the network's rates are remembered for so long
		var got [4]prestock.Reliability
		for i := range got {
			got[i], err = w.book.Reliability(ctx, w.shops[i].Key)
			w.must(err)
		}
		one := func(w prestock.Word) prestock.Word { w.Asked = 1; return w }
		for i, want := range []prestock.Word{one(prestock.Word{Answered: 1, Promised: 1, InTime: 1, Counted: 1, There: 1000}),
			one(prestock.Word{Answered: 1, Promised: 1, InTime: 1, There: 750}), one(prestock.Word{Answered: 1, Promised: 1}), one(prestock.Word{})} {
			if diff := gocmp.Diff(want, got[i].Word); diff != "" {
				t.Errorf("shop %d: %s", i, diff)
			}
		}
		// Answers: 3 of 4 and nine of ten believed before; promises: 1.75 of 3 and as many.
		pa, pk := 12./14, 10.75/13
		if diff := gocmp.Diff([]float64{(1 + 10*pa) / 11, (1 + 10*pk) / 11, 10 * pa / 11, pk, 10 * pk / 11},
			[]float64{got[0].Answers, got[0].Keeps, got[3].Answers, got[3].Keeps, got[2].Keeps}); diff != "" {
			t.Error(diff)
		}
		if want := "You were asked 1 times and answered 1. Of 1 promises you kept 1 in time, 0 of them in full."; got[1].Text("en") != want {
			t.Errorf("%q", got[1].Text("en"))
		}
		var stores []int64
		others, err := w.book.EachReliability(ctx, func(store int64, r prestock.Reliability) error {
			stores = append(stores, store)
			if one, _ := w.book.Reliability(ctx, store); one != r {
				t.Errorf("%+v one by one, %+v in a row", one, r)
			}
			return nil
		})
		w.must(err)
		if len(stores) != 4 || !slices.IsSorted(stores) || others.Answers != pa || others.Keeps != pk {
			t.Errorf("%v %+v", stores, others)
		}
		// More counted later makes good for it.
		_, err = w.book.Stocked(ctx, w.of(1).Key, 40)
		w.must(err)
		if r, _ := w.book.Reliability(ctx, w.shops[1].Key); r.Counted != 1 || r.There != 1000 {
			t.Errorf("%+v", r)
		}
		w.sound()
	})
}
