package dropoff

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"doorstep/internal/event"
	"doorstep/internal/order"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// over is an event that supersedes another.
func instead(of string, why string) func(*Event) {
	return func(e *Event) { e.Supersedes, e.Note = of, why }
}

func reporter(who string) func(*Event) { return func(e *Event) { e.Actor = who } }
func called(id string) func(*Event)    { return func(e *Event) { e.ID = id } }
func network(e *Event)                 { e.Network = true }
func corrects(e *Event)                { e.Correction = true }

func ids(c Chain) (out []string) {
	for _, e := range c {
		out = append(out, e.ID)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestWhatIsSupersededCountsNoMore(t *testing.T) {
	a, b := at(0, Arrived, called("a")), at(10, Placed, called("b"))
	for _, tt := range []struct {
		story string
		chain Chain
		want  string // the effective ids
	}{
		{"nothing superseded", Chain{a, b}, "a b"},
		{"undone", Chain{a, b, at(20, Withdrawn, called("w"), instead("b", ""))}, "a"},
		{"undone in its last second", Chain{a, b, at(40, Withdrawn, called("w"), instead("b", ""))}, "a"},
		{"a second later it is no undo", Chain{a, b, at(41, Withdrawn, called("w"), instead("b", ""))}, "a b"},
		{"nor before it happened", Chain{a, b, at(9, Withdrawn, called("w"), instead("b", ""))}, "a b"},
		{"nor by somebody else", Chain{a, b, at(20, Withdrawn, called("w"), instead("b", ""), reporter("x"))}, "a b"},
		{"corrected by the phone itself, later", Chain{a, b, at(400, Withdrawn, called("w"), instead("b", "x"), corrects)}, "a"},
		{"but what was completed, by the network only", Chain{a, at(10, Completed, called("b")), at(400, Withdrawn, called("w"), instead("b", "x"), corrects)}, "a b"},
		{"by the network", Chain{a, at(10, Completed, called("b")), at(400, Withdrawn, called("w"), instead("b", "x"), corrects, network)}, "a"},
		{"nor of another attempt's", Chain{a, b, at(20, Withdrawn, called("w"), instead("b", ""), attempt(2))}, "a b"},
		{"an undo of nothing known", Chain{a, at(20, Withdrawn, called("w"), instead("b", ""))}, "a"},
		{"corrected", Chain{a, b, at(900, HandedOver, called("c"), instead("b", "it was taken"), corrects)}, "a c"},
		{"the correction corrected", Chain{a, b, at(900, HandedOver, called("c"), instead("b", "x"), corrects),
			at(950, SteppedAway, called("d"), instead("c", "y"), corrects)}, "a d"},
		{"the correction withdrawn takes both away", Chain{a, b, at(900, HandedOver, called("c"), instead("b", "x"), corrects),
			at(910, Withdrawn, called("w"), instead("c", ""))}, "a"},
		{"an undo of an undo is none", Chain{a, b, at(20, Withdrawn, called("w"), instead("b", "")), at(25, Withdrawn, called("v"), instead("w", ""))}, "a"},
		{"two corrections: the later counts", Chain{a, b, at(900, Placed, called("d"), instead("b", "x"), corrects),
			at(910, HandedOver, called("c"), instead("b", "y"), corrects)}, "a c"},
		{"at the same time: the greater id", Chain{a, b, at(900, Placed, called("d"), instead("b", "x"), corrects),
			at(900, HandedOver, called("c"), instead("b", "y"), corrects)}, "a d"},
		{"what corrected the loser loses too", Chain{a, b, at(900, Placed, called("c"), instead("b", "x"), corrects),
			at(910, Placed, called("d"), instead("b", "y"), corrects), at(990, Placed, called("e"), instead("c", "z"), corrects)}, "a d"},
	} {
		if got := strings.Join(ids(tt.chain.Effective()), " "); got != tt.want {
			t.Errorf("%s: %s count, want %s", tt.story, got, tt.want)
		}
	}
}

// aHistory is a chain in which later events take back, correct and contest earlier ones.
func aHistory(t *rapid.T, n int) Chain {
	types := []string{Arrived, Placed, Signalled, SteppedAway, HandedOver, Retrieved, Failed, Completed, Withdrawn, Withdrawn, Withdrawn}
	var c Chain
	for i := range n {
		e := at(rapid.IntRange(0, 90).Draw(t, "seconds"), rapid.SampledFrom(types).Draw(t, "type"), called(fmt.Sprintf("e%d", i)))
		e.Actor = rapid.SampledFrom([]string{"phone", "phone", "desk"}).Draw(t, "actor")
		e.Method = rapid.SampledFrom([]string{"", ByBLE, ByPhoto, ByGPS}).Draw(t, "method")
		if rapid.Bool().Draw(t, "photo") {
			e.PhotoSHA256 = aPhoto
		}
		if rapid.Bool().Draw(t, "location") {
			here(&e)
		}
		e.Confirmed = e.Type == HandedOver && rapid.IntRange(0, 5).Draw(t, "pin") == 0
		if i > 0 && (e.Type == Withdrawn || rapid.IntRange(0, 3).Draw(t, "corrects") == 0) {
			e.Supersedes = c[rapid.IntRange(0, i-1).Draw(t, "which")].ID
			e.Network = e.Actor == "desk"
			e.Correction = e.Type != Withdrawn || rapid.Bool().Draw(t, "with a reason")
		}
		c = append(c, e)
	}
	return c
}

// Whatever was taken back, corrected and contested: neither the order of arrival nor repeats change
// what counts, and nothing that was superseded ever counts again.
func TestAHistoryOfCorrectionsIsASetToo(t *testing.T) {
	for range 20 {
		rapid.Check(t, func(t *rapid.T) {
			chain := aHistory(t, rapid.IntRange(1, 14).Draw(t, "events"))
			other := slices.Clone(chain)
			for range rapid.IntRange(0, 5).Draw(t, "repeats") {
				other = append(other, rapid.SampledFrom(chain).Draw(t, "again"))
			}
			other = rapid.Permutation(other).Draw(t, "order")
			if d := cmp.Diff(chain.Superseded(), other.Superseded()); d != "" {
				t.Fatalf("superseded: %s", d)
			}
			if d := cmp.Diff(ids(chain.Effective()), ids(other.Effective())); d != "" {
				t.Fatalf("effective: %s", d)
			}
			if a, b := chain.State()+chain.Grade(usual), other.State()+other.Grade(usual); a != b {
				t.Fatalf("%s became %s", a, b)
			}
			if a, b := chain.end(), other.end(); (a == nil) != (b == nil) || a != nil && a.ID != b.ID {
				t.Fatalf("ended by %v and by %v", a, b)
			}
			part := chain[:rapid.IntRange(0, len(chain)).Draw(t, "so far")]
			for id := range maps.Keys(part.Superseded()) {
				if _, gone := chain.Superseded()[id]; !gone {
					t.Fatalf("%s counts again", id)
				}
			}
			if again := chain.Effective(); !slices.Equal(ids(again), ids(again.Effective())) {
				t.Fatalf("the effective chain %v is not its own", ids(again))
			}
		})
	}
}

// One more event that supersedes none never takes a proof away, whatever the policy.
func TestMoreEvidenceNeverLowersAGrade(t *testing.T) {
	for range 5 {
		rapid.Check(t, func(t *rapid.T) {
			asks := usual
			asks.Photo = rapid.SampledFrom([]order.Proof{order.Required, order.Wanted, order.Off}).Draw(t, "photos")
			asks.FenceM = rapid.Float64Range(20, 1000).Draw(t, "fence")
			chain := aHistory(t, rapid.IntRange(1, 10).Draw(t, "events"))
			all := aHistory(t, 1)
			more := all[0]
			more.ID, more.Supersedes = "more", ""
			if more.Type == Failed || chain.has(Failed) {
				return // a failed attempt has no grade to lower
			}
			before, after := chain.Grade(asks), append(slices.Clone(chain), more).Grade(asks)
			if before != "" && after > before {
				t.Fatalf("one more %s lowered the grade from %s to %s", more.Type, before, after)
			}
		})
	}
}

// phone is a queue of events that sends what was not taken again, as phones do.
type phone struct {
	w     *town
	order int64
	desk  map[string]bool // ids that a dispatcher reports
}

// send reports events in batches cut anywhere, each reporter's by itself, and returns what was refused.
func (p *phone) send(ctx context.Context, events []Event, cut func(rest int) int) (refused []Event, err error) {
	for len(events) > 0 {
		n := 1
		for most := cut(len(events)); n < most && p.desk[events[n].ID] == p.desk[events[0].ID]; {
			n++
		}
		batch := slices.Clone(events[:n])
		who := "phone"
		for i := range batch {
			batch[i].Order, batch[i].Network = p.order, p.desk[batch[i].ID]
			if batch[i].Network {
				who = "desk"
			}
		}
		results, err := p.w.book.Record(event.WithActor(ctx, who), batch)
		if err != nil {
			return nil, err
		}
		for i, r := range results {
			if r.Result == Refused {
				refused = append(refused, events[i])
			}
		}
		events = events[n:]
	}
	return refused, nil
}

// outcome is everything about an order that its evidence decides.
func (p *phone) outcome(ctx context.Context) (string, error) {
	o, err := order.Load(p.w.d.Read(ctx), p.order)
	if err != nil {
		return "", err
	}
	a, err := order.LoadAssignment(p.w.d.Read(ctx), o.Assignment)
	if err != nil {
		return "", err
	}
	list, err := p.w.book.Attempts(ctx, p.order)
	if err != nil {
		return "", err
	}
	out := fmt.Sprintf("%s %q, grade %q, held by %s, assignment %s, %d attempts, ended %v, %s", o.Status, o.Reason, o.Grade, o.Holder, a.Status,
		o.Attempts, o.EndedAt != nil, o.CheckCustody())
	for _, a := range list {
		out += fmt.Sprintf("\n%d %s %q, grade %q, ended %v: %v", a.N, a.State, a.Reason, a.Grade, a.EndedAt, ids(a.Events.Effective()))
	}
	return out, nil
}

// aDay is what a runner and a dispatcher report of one order, as they tapped it; not all of it is allowed.
func aDay(t *rapid.T, sha string) (day []Event, desk map[string]bool) {
	desk = map[string]bool{}
	types := []string{Arrived, Placed, Placed, Signalled, SteppedAway, HandedOver, Completed, Completed, Failed, Failed}
	second, n := 600, 1
	for i := range rapid.IntRange(4, 16).Draw(t, "taps") {
		second += rapid.IntRange(1, 25).Draw(t, "pause")
		e := at(second, rapid.SampledFrom(types).Draw(t, "type"), called(fmt.Sprintf("e%02d", i)), attempt(n))
		desk[e.ID] = rapid.IntRange(0, 4).Draw(t, "desk") == 0
		if len(day) > 0 {
			before := day[rapid.IntRange(max(0, i-4), i-1).Draw(t, "which")]
			switch rapid.IntRange(0, 5).Draw(t, "again") {
			case 0, 1:
				e.Type, e.Supersedes, e.Attempt = Withdrawn, before.ID, before.Attempt
				if undo := e.OccurredAt.Sub(before.OccurredAt) <= UndoWithin; undo {
					desk[e.ID] = desk[before.ID]
				} else {
					e.Note = "it was not so"
				}
			case 2:
				e.Supersedes, e.Attempt, e.Note = before.ID, before.Attempt, "it was otherwise"
			}
		}
		switch e.Type {
		case Failed:
			e.Reason = rapid.SampledFrom([]string{"customer_unavailable", "cannot_access"}).Draw(t, "why")
		case Placed:
			if rapid.Bool().Draw(t, "photo") {
				e.PhotoSHA256 = sha
			}
		case SteppedAway:
			e.Method = ByBLE
		case Arrived:
			here(&e)
		}
		if e.Type == Failed && rapid.Bool().Draw(t, "next attempt") {
			n = min(n+1, 3)
		}
		day = append(day, e)
	}
	return day, desk
}

// told is a day on one line.
func told(day []Event, desk map[string]bool) string {
	var out []string
	for _, e := range day {
		s := fmt.Sprintf("%s@%d %s/%d", e.ID, int(e.OccurredAt.Sub(noon).Seconds()), e.Type, e.Attempt)
		if e.PhotoSHA256 != "" {
			s += " with photo"
		}
		if e.Supersedes != "" {
			s += " for " + e.Supersedes
		}
		if desk[e.ID] {
			s += " by the desk"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// However the events of a day arrive, the order ends where they say. The events of a valid day are those
// that are taken when each is reported as it happens; the same set is then shuffled, repeated, cut into
// batches, and what is refused sent again.
func TestAShuffledDayEndsTheSame(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		statuses := map[string]int{}
		undone := 0
		for range 3 {
			rapid.Check(t, func(rt *rapid.T) {
				ctx := rt.Context()
				w.clock.Set(noon)
				day, desk := aDay(rt, w.sha)
				grade := rapid.SampledFrom([]string{"", "C", "B"}).Draw(rt, "minimum grade")
				straight := &phone{w, w.parcel(ctx, demanding(grade)), desk}
				shuffled := &phone{w, w.parcel(ctx, demanding(grade)), desk}
				w.clock.Advance(8 * time.Hour)
				one := func(int) int { return 1 }
				refused, err := straight.send(ctx, day, one)
				if err != nil {
					rt.Fatal(err)
				}
				want, err := straight.outcome(ctx)
				if err != nil {
					rt.Fatal(err)
				}
				valid := slices.DeleteFunc(slices.Clone(day), func(e Event) bool { return slices.ContainsFunc(refused, func(r Event) bool { return r.ID == e.ID }) })
				if len(valid) == 0 {
					return
				}
				for _, e := range valid {
					if e.Supersedes != "" {
						undone++
					}
				}
				statuses[strings.Fields(want)[0]]++
				rest := rapid.Permutation(slices.Concat(valid, valid[:rapid.IntRange(0, len(valid)).Draw(rt, "repeated")])).Draw(rt, "order")
				for tries := 0; len(rest) > 0; tries++ {
					if tries == 40 {
						rt.Fatalf("of %s\nstill refused: %v\nwanted %s", told(valid, desk), ids(rest), want)
					}
					rest, err = shuffled.send(ctx, rest, func(rest int) int { return rapid.IntRange(1, rest).Draw(rt, "batch") })
					if err != nil {
						rt.Fatal(err)
					}
				}
				got, err := shuffled.outcome(ctx)
				if err != nil {
					rt.Fatal(err)
				}
				if d := cmp.Diff(want, got); d != "" {
					rt.Fatalf("of %s\n%s", told(valid, desk), d)
				}
			})
		}
		t.Logf("orders by where they ended: %v; %d events superseded another", statuses, undone)
		if undone < 100 || statuses["delivered"] < 10 || statuses["attempt_failed"] < 10 || statuses["arrived_at_dropoff"] < 10 {
			t.Error("the days are not varied enough to show anything")
		}
	})
}
