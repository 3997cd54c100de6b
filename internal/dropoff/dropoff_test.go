package dropoff

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/fault"
	"doorstep/internal/order"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var (
	theDoor = geo.Point{Lat: -1.304033, Lng: 36.78487}
	noon    = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	aPhoto  = strings.Repeat("a0", 32)
	usual   = AsksOf(&order.Order{Dropoff: theDoor, Mode: order.LeaveAtDoor}, &order.UsualPolicy, LegDelivery)
)

// north is a point m metres north of p.
func north(p geo.Point, m float64) *geo.Point {
	return &geo.Point{Lat: p.Lat + m/geo.EarthRadiusM*180/math.Pi, Lng: p.Lng}
}

func metres(m float64) *float64 { return &m }

// at is an event some seconds after noon.
func at(seconds int, typ string, with ...func(*Event)) Event {
	t := noon.Add(time.Duration(seconds) * time.Second)
	e := Event{ID: fmt.Sprintf("%s-%d", typ, seconds), Attempt: 1, Type: typ, OccurredAt: t, RecordedAt: t}
	for _, f := range with {
		f(&e)
	}
	return e
}

func here(e *Event)      { e.Location, e.AccuracyM = north(theDoor, 10), metres(12) }
func photo(e *Event)     { e.PhotoSHA256 = aPhoto }
func confirmed(e *Event) { e.Confirmed = true }
func by(method string) func(*Event) {
	return func(e *Event) { e.Method = method }
}
func off(m, accuracy float64) func(*Event) {
	return func(e *Event) { e.Location, e.AccuracyM = north(theDoor, m), metres(accuracy) }
}
func from(m float64) func(*Event) {
	return func(e *Event) { e.DistanceM = metres(m) }
}

func TestGradeSaysWhatIsProven(t *testing.T) {
	for _, tt := range []struct {
		story string
		chain Chain
		want  string
	}{
		{"nothing happened yet", nil, ""},
		{"the attempt failed, whatever was photographed", Chain{at(0, Arrived, here), at(1, Placed, photo), at(2, Failed)}, ""},
		{"only the runner's word", Chain{at(0, Completed)}, "D"},
		{"at the door, but no photo", Chain{at(0, Arrived, here), at(1, Placed), at(2, SteppedAway, by(ByBLE))}, "D"},
		{"a photo of the door before the parcel lay there", Chain{at(0, Arrived, here, photo), at(1, SteppedAway, by(ByBLE))}, "D"},
		{"photo only", Chain{at(0, Placed, photo)}, "C"},
		{"photo and position, nobody stepped away", Chain{at(0, Arrived, here), at(1, Placed, photo)}, "C"},
		{"photo and step-away, but no position", Chain{at(0, Arrived), at(1, Placed, photo), at(2, SteppedAway, by(ByBLE))}, "C"},
		{"stepped away by GPS alone", Chain{at(0, Arrived, here), at(1, Placed, photo), at(2, SteppedAway, by(ByGPS), from(5))}, "C"},
		{"stepped away by nothing named", Chain{at(0, Arrived, here), at(1, Placed, photo), at(2, SteppedAway)}, "C"},
		{"stepped away one metre", Chain{at(0, Arrived, here), at(1, Placed, photo), at(2, SteppedAway, by(ByBLE), from(1))}, "C"},
		{"GPS and BLE agree", Chain{at(0, Arrived, here), at(1, Placed, photo), at(2, SteppedAway, by(ByGPS)), at(3, SteppedAway, by(ByBLE))}, "B"},
		{"photo, position, step-away", Chain{at(0, Arrived, here), at(1, Placed, photo), at(2, SteppedAway, by(ByPhoto), from(3))}, "B"},
		{"a single step-away shows it all", Chain{at(0, SteppedAway, here, photo, by(ByPhoto), from(3))}, "B"},
		{"handed over, photo and position", Chain{at(0, Arrived, here), at(1, HandedOver, photo)}, "B"},
		{"handed over, no photo", Chain{at(0, Arrived, here), at(1, HandedOver)}, "D"},
		{"handed over with the PIN", Chain{at(0, HandedOver, confirmed)}, "A"},
		{"the customer has it", Chain{at(0, Placed), at(1, Retrieved, confirmed)}, "A"},
		{"the runner says that the customer has it", Chain{at(0, Placed), at(1, Retrieved, by(ByCustomer))}, "D"},
		{"all of it in the wrong street", Chain{at(0, Arrived, off(400, 10)), at(1, Placed, photo), at(2, SteppedAway, by(ByBLE))}, "C"},
	} {
		if got := tt.chain.Grade(usual); got != tt.want {
			t.Errorf("%s: grade %q, want %q", tt.story, got, tt.want)
		}
	}
}

func TestFence(t *testing.T) {
	for _, tt := range []struct {
		m, accuracy float64
		want        bool
	}{
		{0, 0, true}, {149, 0, true}, {151, 0, false}, {170, 12, false}, {160, 12, true},
		{199, 50, true}, {199, 200, true}, {201, 200, false}, // no more than 50 m of slack
		{10, 201, false}, // proves no place
	} {
		if got := at(0, Arrived, off(tt.m, tt.accuracy)).Inside(theDoor, FenceM); got != tt.want {
			t.Errorf("%v m off with accuracy %v m: inside %v, want %v", tt.m, tt.accuracy, got, tt.want)
		}
	}
	if (Event{Type: Arrived}).Inside(theDoor, FenceM) {
		t.Error("no position at all was inside the fence")
	}
	if !(Event{Type: Arrived, Location: north(theDoor, 50)}).Inside(theDoor, FenceM) {
		t.Error("a position without accuracy was not taken as it is")
	}
}

func TestStateIsTheHighestEvent(t *testing.T) {
	for want, chain := range map[string]Chain{
		Pending:     nil,
		Arrived:     {at(0, Arrived)},
		Placed:      {at(5, Placed), at(9, Arrived)},
		Signalled:   {at(0, Signalled), at(1, Placed)},
		SteppedAway: {at(3, SteppedAway), at(2, Signalled)},
		HandedOver:  {at(1, Arrived), at(2, HandedOver)},
		Retrieved:   {at(1, Placed), at(9, Retrieved)},
		Failed:      {at(1, Arrived), at(2, Failed)},
		Completed:   {at(1, Placed), at(2, Completed), at(99, Retrieved)},
	} {
		if got := chain.State(); got != want {
			t.Errorf("state %q, want %q", got, want)
		}
	}
}

// A chain is a set: neither the order of arrival nor repeats can change what it says, and one more
// event never takes a proof away.
func TestChainIsASet(t *testing.T) {
	types := []string{Arrived, Placed, Signalled, SteppedAway, HandedOver, Retrieved, Completed}
	anEvent := rapid.Custom(func(t *rapid.T) Event {
		e := at(rapid.IntRange(0, 600).Draw(t, "seconds"), rapid.SampledFrom(types).Draw(t, "type"))
		e.Method = rapid.SampledFrom([]string{"", ByBLE, ByPhoto, ByGPS, ByCustomer}).Draw(t, "method")
		if rapid.Bool().Draw(t, "photo") {
			e.PhotoSHA256 = aPhoto
		}
		if rapid.Bool().Draw(t, "location") {
			e.Location = north(theDoor, rapid.Float64Range(0, 300).Draw(t, "m"))
			e.AccuracyM = metres(rapid.Float64Range(0, 300).Draw(t, "accuracy"))
		}
		e.Confirmed = e.Type == HandedOver && rapid.IntRange(0, 9).Draw(t, "pin") == 0
		return e
	})
	o := &order.Order{Dropoff: theDoor, Mode: order.LeaveAtDoor, CreatedAt: noon.Add(-time.Hour)}
	rapid.Check(t, func(t *rapid.T) {
		chain := Chain(rapid.SliceOfN(anEvent, 1, 12).Draw(t, "chain"))
		other := slices.Clone(chain)
		for range rapid.IntRange(0, 4).Draw(t, "repeats") {
			other = append(other, rapid.SampledFrom(chain).Draw(t, "again"))
		}
		other = rapid.Permutation(other).Draw(t, "order")
		if a, b := chain.State(), other.State(); a != b {
			t.Fatalf("state %s became %s", a, b)
		}
		if a, b := chain.Grade(usual), other.Grade(usual); a != b {
			t.Fatalf("grade %s became %s", a, b)
		}
		if d := cmp.Diff(chain.Flags(o, &order.UsualPolicy, noon, Facts{}), other.Flags(o, &order.UsualPolicy, noon, Facts{})); d != "" {
			t.Fatalf("flags changed: %s", d)
		}
		more := append(slices.Clone(chain), anEvent.Draw(t, "more"))
		if a, b := chain.Grade(usual), more.Grade(usual); b > a {
			t.Fatalf("one more event lowered the grade from %s to %s", a, b)
		}
	})
}

func TestMissingNamesWhatIsNotThere(t *testing.T) {
	full := Chain{at(0, Arrived, here), at(1, Placed, photo), at(2, SteppedAway, by(ByBLE)), at(3, Completed)}
	for _, tt := range []struct {
		story string
		mode  string
		pin   bool
		min   string
		chain Chain
		want  []string
	}{
		{"no demand", order.LeaveAtDoor, false, "", Chain{at(0, Completed)}, nil},
		{"D is the runner's word", order.LeaveAtDoor, false, "D", Chain{at(0, Completed)}, nil},
		{"C wants a photo", order.LeaveAtDoor, false, "C", Chain{at(0, Completed)}, []string{"/photo_sha256"}},
		{"B wants three things", order.LeaveAtDoor, false, "B", Chain{at(0, Completed)}, []string{"/photo_sha256", "/location", "/method"}},
		{"B without step-away", order.LeaveAtDoor, false, "B", full[:2], []string{"/method"}},
		{"B complete", order.LeaveAtDoor, false, "B", full, nil},
		{"A wants the customer", order.LeaveAtDoor, false, "A", full, []string{"/type"}},
		{"A from the customer", order.LeaveAtDoor, false, "A", append(slices.Clone(full), at(4, Retrieved, confirmed)), nil},
		{"left at the door instead of handed over", order.HandOver, false, "", full, []string{"/type"}},
		{"handed over without the PIN", order.HandOver, true, "", Chain{at(0, HandedOver)}, []string{"/pin"}},
		{"nothing at all, PIN and A demanded", order.HandOver, true, "A", Chain{at(0, Completed)}, []string{"/type", "/pin"}},
		{"PIN", order.HandOver, true, "A", Chain{at(0, HandedOver, confirmed), at(1, Completed)}, nil},
		{"the customer's tap is no PIN", order.HandOver, true, "", Chain{at(0, HandedOver), at(1, Retrieved, confirmed)}, []string{"/pin"}},
	} {
		o := &order.Order{Dropoff: theDoor, Mode: tt.mode, MinimumGrade: tt.min, Details: order.Details{PINRequired: tt.pin}}
		err := tt.chain.Missing(AsksOf(o, &order.UsualPolicy, LegDelivery))
		var got []string
		if err != nil {
			for _, f := range fault.As(err).Fields {
				got = append(got, f.Pointer)
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.story, d)
		}
		if err != nil && (fault.Code(err) != "evidence-missing" || fault.KindOf(err) != fault.Conflict) {
			t.Errorf("%s: %v", tt.story, err)
		}
	}
}

func TestEventThatCannotBeIsRefused(t *testing.T) {
	good := at(0, Placed, here, photo)
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		pointer, code string
		spoil         func(*Event)
	}{
		{"/id", "invalid", func(e *Event) { e.ID = "" }},
		{"/id", "invalid", func(e *Event) { e.ID = strings.Repeat("x", 65) }},
		{"/id", "invalid", func(e *Event) { e.ID = "one two" }},
		{"/id", "reserved", func(e *Event) { e.ID = "customer:1" }},
		{"/attempt", "out-of-range", func(e *Event) { e.Attempt = 0 }},
		{"/attempt", "out-of-range", func(e *Event) { e.Attempt = 101 }},
		{"/type", "unknown-value", func(e *Event) { e.Type = "pending" }},
		{"/occurred_at", "required", func(e *Event) { e.OccurredAt = time.Time{} }},
		{"/location", "invalid-location", func(e *Event) { e.Location = &geo.Point{Lat: 142, Lng: 3} }},
		{"/location", "invalid-location", func(e *Event) { e.Location = &geo.Point{Lat: math.NaN()} }},
		{"/location/accuracy_m", "out-of-range", func(e *Event) { e.AccuracyM = metres(-1) }},
		{"/distance_m", "out-of-range", func(e *Event) { e.DistanceM = metres(math.NaN()) }},
		{"/distance_m", "out-of-range", func(e *Event) { e.DistanceM = metres(10_001) }},
		{"/photo_sha256", "invalid", func(e *Event) { e.PhotoSHA256 = "a0" }},
		{"/signal", "unknown-value", func(e *Event) { e.Signal = "shout" }},
		{"/method", "unknown-value", func(e *Event) { e.Method = "radar" }},
		{"/pin", "invalid", func(e *Event) { e.PIN = "12a4" }},
		{"/reason", "required", func(e *Event) { e.Type = Failed }},
		{"/reason", "unknown-reason", func(e *Event) { e.Type, e.Reason = Failed, "bored" }},
		{"/note", "too-long", func(e *Event) { e.Note = strings.Repeat("é", 501) }},
	} {
		e := good
		tt.spoil(&e)
		wantField(t, e.Check(), tt.pointer, tt.code)
	}
}

func wantField(t *testing.T, err error, pointer, code string) {
	t.Helper()
	fe := fault.As(err)
	if fe == nil || fe.Kind != fault.Invalid || len(fe.Fields) != 1 || fe.Fields[0].Pointer != pointer || fe.Fields[0].Code != code {
		t.Errorf("got %v, want %s at %s", err, code, pointer)
	}
}
