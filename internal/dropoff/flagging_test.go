package dropoff

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"doorstep/internal/event"
	"doorstep/internal/order"
	"doorstep/internal/partner"

	"github.com/google/go-cmp/cmp"
)

// as is a context in which a phone reports.
func as(ctx context.Context, phone string) context.Context {
	return event.WithActor(ctx, "device:"+phone)
}

// reportAs records events of one phone that must all be kept.
func (w *town) reportAs(phone string, events ...Event) {
	w.t.Helper()
	results, err := w.book.Record(as(w.t.Context(), phone), events)
	ok(w.t, err)
	for _, r := range results {
		if r.Result == Refused {
			w.t.Fatalf("%s was refused: %v", r.ID, r.Err)
		}
	}
}

// flags are those of an order's only attempt.
func (w *town) flags(key int64) []string {
	w.t.Helper()
	return w.attempts(key)[0].Flags
}

func (w *town) wantFlags(key int64, want ...string) {
	w.t.Helper()
	if d := cmp.Diff(append([]string{}, want...), w.flags(key)); d != "" {
		w.t.Errorf("flags (-want +got):\n%s", d)
	}
}

// visit is an order that arrives at a place m metres north of the door, some seconds after noon.
func (w *town) visit(m float64, seconds int) (key int64, arrived Event) {
	w.t.Helper()
	key = w.order(func(o *order.Order) { o.Dropoff = *north(theDoor, m) })
	w.outForDelivery(key)
	e := at(seconds, Arrived, off(m, 10))
	e.ID, e.Order = fmt.Sprintf("arrived-%d", key), key
	return key, e
}

func TestAPhoneIsNotInTwoPlacesAtOnce(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		here, first := w.visit(0, 3600)
		far, second := w.visit(20_000, 3660)
		others, third := w.visit(21_000, 3660)
		office, fourth := w.visit(0, 3661)
		w.clock.Advance(2 * time.Hour)
		w.reportAs("a", first)
		w.wantFlags(here)
		w.reportAs("a", second)
		w.wantFlags(here, ImpossibleSpeed)
		w.wantFlags(far, ImpossibleSpeed)
		// Told in both stories, once, and with no place in it.
		for _, key := range []int64{here, far} {
			story, err := order.NewBook(w.d).Story(t.Context(), w.load(key))
			ok(t, err)
			var told []string
			for _, e := range story {
				if e.Type == "dropoff.flagged" {
					told = append(told, string(e.Data))
				}
			}
			if len(told) != 1 || !strings.Contains(told[0], `"flags":["impossible_speed"]`) || strings.Contains(told[0], "36.78") {
				t.Errorf("the story tells: %v", told)
			}
		}
		// Another phone may well be there; and who acts for the whole network says nothing of a phone.
		w.reportAs("b", third)
		w.wantFlags(others)
		fourth.Network = true
		w.reportAs("a", fourth)
		w.wantFlags(office)
	})
}

// A fix that comes late may stand between two others: what looked impossible without it may have been a
// way in two steps, and the flags go.
func TestALateFixExplainsAMove(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a, first := w.visit(0, 3600)
		b, last := w.visit(9_000, 3660)
		c, between := w.visit(0, 3659)
		w.clock.Advance(2 * time.Hour)
		w.reportAs("a", first, last)
		w.wantFlags(a, ImpossibleSpeed)
		w.wantFlags(b, ImpossibleSpeed)
		w.reportAs("a", between) // still at the first door, one second before
		w.wantFlags(a)
		w.wantFlags(b, ImpossibleSpeed)
		w.wantFlags(c, ImpossibleSpeed)
	})
}

func TestTheSamePhotoProvesNoTwoDoors(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		with := func(sha string) func(*Event) { return func(e *Event) { e.PhotoSHA256 = sha } }
		w.photo(&Event{})
		old := w.sha // ten minutes before anybody arrives
		var keys []int64
		for range 4 {
			key := w.order()
			w.outForDelivery(key)
			keys = append(keys, key)
		}
		w.clock.Advance(10 * time.Minute)
		a, b, c, d := keys[0], keys[1], keys[2], keys[3]
		w.mustRecord(w.now(a, Arrived, here), w.now(a, Placed, with(old)))
		w.wantFlags(a, PhotoBeforeArrival)
		w.mustRecord(w.now(b, Arrived, here), w.now(b, Placed, with(old)))
		w.wantFlags(a, PhotoBeforeArrival, PhotoReused)
		w.wantFlags(b, PhotoBeforeArrival, PhotoReused)

		// A wrong tap that is taken back takes its flags along, from both sides.
		w.mustRecord(w.now(c, Arrived, here), w.now(c, Placed, w.photo))
		slip := w.now(d, Placed, with(w.sha))
		w.mustRecord(slip)
		w.wantFlags(c, PhotoReused)
		w.wantFlags(d, PhotoReused)
		w.mustRecord(w.now(d, Withdrawn, func(e *Event) { e.Supersedes = slip.ID }))
		w.wantFlags(c)
		w.wantFlags(d)
	})
}

func TestACopyOfAPhotoIsSeenInItsStore(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		const look = Look(0x0f0f_3c3c_5a5a_9696)
		shown := func(n int, l Look) int64 {
			key := w.order()
			w.outForDelivery(key)
			w.clock.Advance(10 * time.Minute)
			sha := w.upload(fmt.Sprint("copy ", n), l)
			w.mustRecord(w.now(key, Arrived, here), w.now(key, Placed, func(e *Event) { e.PhotoSHA256 = sha }))
			return key
		}
		first, other := shown(1, look), shown(2, ^look)
		w.wantFlags(first)
		copied := shown(3, look^0x3ff) // 10 bits
		w.wantFlags(first, PhotoSimilar)
		w.wantFlags(copied, PhotoSimilar)
		w.wantFlags(other)
		w.wantFlags(shown(4, look^0x7ff<<40)) // 11 bits from the first, more from its copy
		w.clock.Advance(31 * 24 * time.Hour)
		w.wantFlags(shown(5, look)) // nobody keeps a photo at hand for so long
	})
}

// What is flagged depends on what was reported and not on the order in which it came.
func TestFlagsAreTheSameInAnyOrder(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		rng := rand.New(rand.NewPCG(5, 13))
		_, err := w.shops.SetStock(t.Context(), w.store, []partner.Count{{SKU: "tea", OnHand: 1000}, {SKU: "milk", OnHand: 1000}})
		ok(t, err)
		for round := range 12 {
			w.clock.Set(noon.Add(time.Duration(round) * 100 * 24 * time.Hour))
			start := w.clock.Now()
			const visits, runs = 5, 3
			doors := make([]float64, visits)
			for i := range doors {
				doors[i] = 4_000 * float64(rng.IntN(4))
			}
			// The same day for several sets of orders, each with phones of its own.
			type report struct {
				visit int
				phone string
				Event
			}
			var day []report
			for i := range 14 {
				visit := rng.IntN(visits)
				e := Event{ID: fmt.Sprint("e", i), Attempt: 1, Type: []string{Arrived, Placed, Signalled, SteppedAway}[rng.IntN(4)],
					OccurredAt: start.Add(time.Hour + time.Duration(rng.IntN(40))*20*time.Second)}
				if rng.IntN(4) > 0 {
					e.Location, e.AccuracyM = north(theDoor, doors[visit]), metres(10)
				}
				if rng.IntN(2) == 0 {
					e.PhotoSHA256 = fmt.Sprint(rng.IntN(6))
				}
				day = append(day, report{visit, fmt.Sprint(rng.IntN(2)), e})
				if rng.IntN(4) == 0 {
					undo := Event{ID: fmt.Sprint("undo", i), Attempt: 1, Type: Withdrawn, Supersedes: e.ID, OccurredAt: e.OccurredAt.Add(time.Second)}
					day = append(day, report{visit, day[len(day)-1].phone, undo})
				}
			}
			var want [][]string
			for run := range runs {
				var keys []int64
				for i := range visits {
					key := w.order(func(o *order.Order) { o.Dropoff = *north(theDoor, doors[i]) })
					w.outForDelivery(key)
					keys = append(keys, key)
				}
				shas := map[string]string{"": ""}
				for i := range 6 {
					// Photos 0 and 1 look the same; other runs' look like neither.
					look := Look(rand.New(rand.NewPCG(uint64(round*runs+run), uint64(max(1, i)))).Uint64())
					shas[fmt.Sprint(i)] = w.upload(fmt.Sprintf("round %d run %d photo %d", round, run, i), look)
				}
				w.clock.Set(start.Add(3 * time.Hour))
				rng.Shuffle(len(day), func(i, j int) { day[i], day[j] = day[j], day[i] })
				for _, r := range day {
					e := r.Event
					e.Order, e.PhotoSHA256 = keys[r.visit], shas[e.PhotoSHA256]
					w.reportAs(fmt.Sprintf("%s of %d.%d", r.phone, round, run), e)
				}
				var got [][]string
				for _, key := range keys {
					flags := []string{}
					if list := w.attempts(key); len(list) > 0 {
						flags = list[0].Flags
					}
					got = append(got, flags)
				}
				if run == 0 {
					want = got
				} else if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("round %d: shuffled, the flags differ:\n%s", round, d)
				}
				w.clock.Set(start)
			}
		}
	})
}
