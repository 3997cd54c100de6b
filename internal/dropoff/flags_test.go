package dropoff

import (
	"slices"
	"testing"
	"time"

	"doorstep/internal/order"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func recorded(later time.Duration) func(*Event) {
	return func(e *Event) { e.RecordedAt = e.OccurredAt.Add(later) }
}

func TestFlagsSayWhatLooksOdd(t *testing.T) {
	o := &order.Order{Dropoff: theDoor, CreatedAt: noon.Add(-time.Hour), Mode: order.LeaveAtDoor}
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	uploaded := func(at time.Time) Facts { return Facts{Uploaded: map[string]time.Time{aPhoto: at}} }
	for _, tt := range []struct {
		story string
		chain Chain
		facts Facts
		want  []string
	}{
		{"nothing odd", Chain{at(300, Arrived, here), at(310, Placed, photo), at(320, Completed)}, Facts{}, nil},
		{"reported five hours later: offline, not odd", Chain{at(300, Arrived, recorded(5*time.Hour))}, Facts{}, nil},
		{"four minutes ahead", Chain{at(300, Arrived, recorded(-4*time.Minute))}, Facts{}, nil},
		{"six minutes ahead", Chain{at(300, Arrived, recorded(-6*time.Minute))}, Facts{}, []string{ClockSkew}},
		{"before the order was made", Chain{at(-4000, Placed)}, Facts{}, []string{ClockSkew}},
		{"before the parcel was picked up", Chain{at(0, Arrived)}, Facts{PickedUp: minute(6)}, []string{ClockSkew}},
		{"a wrong clock shows even in a tap that was taken back",
			Chain{at(300, Arrived, recorded(-6*time.Minute)), at(301, Withdrawn, func(e *Event) { e.Supersedes = "arrived-300" })}, Facts{}, []string{ClockSkew}},
		{"in another street", Chain{at(300, Arrived, off(300, 10))}, Facts{}, []string{OutsideFence}},
		{"a breakdown may be reported from anywhere", Chain{at(300, Failed, off(3000, 10), because("vehicle_breakdown"))}, Facts{}, nil},
		{"nobody at home, said from far away", Chain{at(300, Failed, off(3000, 10), because("customer_unavailable"))}, Facts{}, []string{OutsideFence}},
		{"there in 40 s", Chain{at(40, Arrived, here)}, Facts{}, []string{EarlyArrival}},
		{"there in 40 s, says another attempt's story too", Chain{at(40, Arrived, here)}, Facts{PickedUp: noon}, []string{EarlyArrival}},
		{"set out 40 s ago, but the parcel has been on its way for an hour: a run", Chain{at(40, Arrived, here)}, Facts{PickedUp: minute(-59)}, nil},
		{"the photo is older than the arrival", Chain{at(300, Arrived, here), at(290, Placed, photo)}, Facts{}, []string{PhotoBeforeArrival}},
		{"we had the photo ten minutes before the arrival", Chain{at(900, Arrived, here), at(910, Placed, photo)}, uploaded(minute(5)), []string{PhotoBeforeArrival}},
		{"we had the photo four minutes before: clocks differ", Chain{at(300, Arrived, here), at(310, Placed, photo)}, uploaded(minute(1)), nil},
		{"the photo came hours later", Chain{at(300, Arrived, here), at(310, Placed, photo)}, uploaded(minute(600)), nil},
		{"a photo without any arrival stands for it", Chain{at(300, Placed, photo)}, Facts{}, nil},
		{"the photo was taken 400 m away", Chain{at(300, Arrived, here), at(310, Placed, photo, off(400, 10))}, Facts{}, []string{OutsideFence, PhotoFar}},
		{"the photo is another attempt's", Chain{at(300, Placed, photo)}, Facts{Reused: true, Alike: true}, []string{PhotoReused, PhotoSimilar}},
		{"no photo at the end", Chain{at(300, Arrived, here), at(320, Completed)}, Facts{}, []string{PhotoMissing}},
		{"no photo so far", Chain{at(300, Arrived, here)}, Facts{}, nil},
		{"40 km in a minute", Chain{at(300, Arrived, here)}, Facts{Moves: []Move{{Fix{minute(4), *north(theDoor, 40_000), nil}, Fix{minute(5), theDoor, nil}}}}, []string{ImpossibleSpeed}},
		{"1.5 km in a minute", Chain{at(300, Arrived, here)}, Facts{Moves: []Move{{Fix{minute(4), *north(theDoor, 1_500), nil}, Fix{minute(5), theDoor, nil}}}}, nil},
		{"2 km at once, but the fix may be 3 km off", Chain{at(300, Arrived, here)},
			Facts{Moves: []Move{{Fix{minute(5), *north(theDoor, 2_000), metres(3_000)}, Fix{minute(5), theDoor, metres(10)}}}}, nil},
		{"on the way back only what the policy of returns says", Chain{at(5, Arrived, off(900, 10)), at(20, Completed, photo)}, Facts{Leg: LegReturn}, []string{EarlyArrival}},
	} {
		got := tt.chain.Flags(o, &order.UsualPolicy, noon, tt.facts)
		if d := cmp.Diff(append([]string{}, tt.want...), got); d != "" {
			t.Errorf("%s: %s", tt.story, d)
		}
	}
}

func TestAnArrivalIsTooEarlyForItsDistance(t *testing.T) {
	for _, tt := range []struct {
		metres  int
		seconds float64
		want    bool
	}{
		{0, 59, true}, {0, 60, false}, // the distance is not known
		{5, 9, true}, {5, 10, false}, // next door
		{42, 29, true}, {42, 30, false}, // a walk of half a minute
		{108, 59, true}, {108, 60, false}, {1_900, 59, true}, {1_900, 61, false},
		{2_001, 60, true}, {2_001, 61, false}, // 120 km/h from here on
		{18_640, 100, true}, {18_640, 560, false},
		{500, -200, true}, {500, -301, false}, // before the pick-up: then the clock is wrong
	} {
		o := &order.Order{Dropoff: theDoor, Mode: order.LeaveAtDoor, DistanceM: tt.metres, CreatedAt: noon.Add(-time.Hour)}
		e := at(0, Arrived, here)
		e.OccurredAt = noon.Add(time.Duration(tt.seconds * float64(time.Second)))
		got := Chain{e}.Flags(o, &order.UsualPolicy, noon, Facts{PickedUp: noon})
		if slices.Contains(got, EarlyArrival) != tt.want {
			t.Errorf("%d m in %.0f s: %v", tt.metres, tt.seconds, got)
		}
	}
}

func TestWhatAPolicyWantsIsFlaggedWhenItLacks(t *testing.T) {
	handed := func(with ...func(*Event)) Chain {
		return Chain{at(300, Arrived, here), at(310, HandedOver, append(with, photo)...), at(320, Completed)}
	}
	for _, tt := range []struct {
		story            string
		photo, pin, name order.Proof
		mode             string
		chain            Chain
		want             []string
	}{
		{"nothing wanted", order.Off, order.Off, order.Off, order.HandOver, Chain{at(300, HandedOver), at(320, Completed)}, nil},
		{"all wanted, nothing given", order.Wanted, order.Wanted, order.Wanted, order.HandOver, Chain{at(300, HandedOver), at(320, Completed)},
			[]string{NameMissing, PhotoMissing, PINMissing}},
		{"all wanted, all given", order.Wanted, order.Wanted, order.Wanted, order.HandOver, handed(confirmed, func(e *Event) { e.Name = "Wanjiku" }), nil},
		{"not over yet", order.Wanted, order.Wanted, order.Wanted, order.HandOver, Chain{at(300, HandedOver)}, nil},
		{"a parcel left alone has no PIN and no name", order.Wanted, order.Wanted, order.Wanted, order.LeaveAtDoor,
			Chain{at(300, Placed, photo), at(320, Completed)}, nil},
	} {
		o := &order.Order{Dropoff: theDoor, Mode: tt.mode, CreatedAt: noon.Add(-time.Hour)}
		p := order.UsualPolicy
		p.Photo, p.PIN, p.Name = tt.photo, tt.pin, tt.name
		if d := cmp.Diff(append([]string{}, tt.want...), tt.chain.Flags(o, &p, noon, Facts{})); d != "" {
			t.Errorf("%s: %s", tt.story, d)
		}
	}
}

// A move is judged the same from both ends, and a slower one, or one of less certain fixes, is never
// worse.
func TestMovesAreJudgedFairly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Move{Fix{noon, *north(theDoor, rapid.Float64Range(0, 50_000).Draw(t, "m")), nil},
			Fix{noon.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "s")) * time.Second), theDoor, metres(rapid.Float64Range(0, 500).Draw(t, "accuracy"))}}
		back := Move{Fix{m.From.At, m.To.Location, m.To.AccuracyM}, Fix{m.To.At, m.From.Location, m.From.AccuracyM}}
		if m.impossible() != back.impossible() {
			t.Fatal("the way back is judged otherwise")
		}
		slower := m
		slower.To.At = m.To.At.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "later")) * time.Second)
		vaguer := m
		vaguer.To.AccuracyM = metres(*m.To.AccuracyM + rapid.Float64Range(0, 500).Draw(t, "vaguer"))
		if !m.impossible() && (slower.impossible() || vaguer.impossible()) {
			t.Fatal("a slower or vaguer move is worse")
		}
	})
}
