package order

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/auth"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/event"
	"doorstep/internal/fault"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	proof = rapid.SampledFrom([]Proof{Required, Wanted, Off})
)

// sensible are the policies that can be set.
var sensible = rapid.Custom(func(t *rapid.T) Policy {
	in := func(name string, low, high int) int { return rapid.IntRange(low, high).Draw(t, name) }
	p := Policy{MinimumGrade: rapid.SampledFrom(grades).Draw(t, "grade"), FenceM: in("fence", 20, 1000), MinimumWaitS: in("wait", 0, 3600),
		CallsBeforeLeaving: in("calls", 0, 5), Photo: proof.Draw(t, "photo"), PIN: proof.Draw(t, "pin"), Name: proof.Draw(t, "name"),
		MaxAttempts: in("attempts", 1, 10), HoldDays: in("hold", 1, 60), HoldExtensions: in("extensions", 0, 5), HoldExtensionDays: in("days", 1, 30)}
	if rapid.Bool().Draw(t, "retention") {
		p.RetentionDays = in("retention days", 30, 3650)
	}
	if rapid.Bool().Draw(t, "return") {
		p.ReturnTo = &geo.Point{Lat: rapid.Float64Range(-90, 90).Draw(t, "lat"), Lng: rapid.Float64Range(-180, 180).Draw(t, "lng")}
	}
	if p.Photo == Off && needsPhoto(p.MinimumGrade) {
		p.Photo = Wanted
	}
	return p
})

func TestASensiblePolicySurvivesItsRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := sensible.Draw(t, "p"), sensible.Draw(t, "q")
		if p.ReturnTo != nil {
			if ok, _ := geo.Check(*p.ReturnTo); !ok {
				t.Skip("nowhere")
			}
		}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		back, err := readPolicy(0, p.document())
		if diff := cmp.Diff(p, back); err != nil || diff != "" {
			t.Fatalf("%v, came back otherwise:\n%s", err, diff)
		}
		if names := p.changed(&back); len(names) != 0 {
			t.Fatalf("%v changed by itself", names)
		}
		if (len(p.changed(&q)) == 0) != cmp.Equal(p, q) {
			t.Fatalf("%v changed between %+v and %+v", p.changed(&q), p, q)
		}
	})
}

func TestAPolicyKeepsItsBounds(t *testing.T) {
	number := func(f func(*Policy, int)) func(any) Policy {
		return func(v any) Policy { p := UsualPolicy; f(&p, v.(int)); return p }
	}
	wish := func(f func(*Policy, Proof)) func(any) Policy {
		return func(v any) Policy { p := UsualPolicy; f(&p, Proof(v.(string))); return p }
	}
	for _, c := range []struct {
		pointer string
		with    func(any) Policy
		good    []any
		bad     []any
	}{
		{"/fence_m", number(func(p *Policy, n int) { p.FenceM = n }), []any{20, 1000}, []any{0, 19, 1001, -1}},
		{"/minimum_wait_s", number(func(p *Policy, n int) { p.MinimumWaitS = n }), []any{0, 3600}, []any{-1, 3601}},
		{"/calls_before_leaving", number(func(p *Policy, n int) { p.CallsBeforeLeaving = n }), []any{0, 5}, []any{-1, 6}},
		{"/max_attempts", number(func(p *Policy, n int) { p.MaxAttempts = n }), []any{1, 10}, []any{0, 11}},
		{"/hold_days", number(func(p *Policy, n int) { p.HoldDays = n }), []any{1, 60}, []any{0, 61}},
		{"/hold_extensions", number(func(p *Policy, n int) { p.HoldExtensions = n }), []any{0, 5}, []any{-1, 6}},
		{"/hold_extension_days", number(func(p *Policy, n int) { p.HoldExtensionDays = n }), []any{1, 30}, []any{0, 31}},
		{"/retention_days", number(func(p *Policy, n int) { p.RetentionDays = n }), []any{0, 30, 3650}, []any{-1, 1, 29, 3651}},
		{"/photo", wish(func(p *Policy, v Proof) { p.Photo = v }), []any{"required", "wanted", "off"}, []any{"", "no"}},
		{"/pin", wish(func(p *Policy, v Proof) { p.PIN = v }), []any{"required", "wanted", "off"}, []any{"", "no"}},
		{"/name", wish(func(p *Policy, v Proof) { p.Name = v }), []any{"required", "wanted", "off"}, []any{"", "no"}},
		{"/minimum_evidence_grade", wish(func(p *Policy, v Proof) { p.MinimumGrade = string(v) }), []any{"A", "B", "C", "D"}, []any{"", "E", "a"}},
		{"/return_to", func(v any) Policy { p := UsualPolicy; p.ReturnTo = &geo.Point{Lat: v.(float64)}; return p }, []any{0.0, -90.0}, []any{91.0, math.NaN()}},
	} {
		for _, v := range c.good {
			p := c.with(v)
			if err := p.Check(); err != nil {
				t.Errorf("%s %v: %v", c.pointer, v, err)
			}
		}
		for _, v := range c.bad {
			p := c.with(v)
			if got := pointers(p.Check()); !slices.Equal(got, []string{c.pointer}) {
				t.Errorf("%s %v: named %v", c.pointer, v, got)
			}
		}
	}
	for grade, bad := range map[string]bool{"A": false, "B": true, "C": true, "D": false} {
		p := UsualPolicy
		p.MinimumGrade, p.Photo = grade, Off
		want := []string(nil)
		if bad {
			want = []string{"/minimum_evidence_grade", "/photo"}
		}
		if got := pointers(p.Check()); !slices.Equal(got, want) {
			t.Errorf("grade %s without photos: named %v", grade, got)
		}
	}
}

func pointers(err error) (out []string) {
	if f := fault.As(err); f != nil {
		for _, x := range f.Fields {
			out = append(out, x.Pointer)
		}
	} else if err != nil {
		out = append(out, err.Error())
	}
	return out
}

// A merchant's policy changes by whole versions, one after the other, each told once.
func TestAPolicyIsSetVersionByVersion(t *testing.T) {
	dbtest.Each(t, db.Options{Clock: dbtest.NewClock(noon).Now}, func(t *testing.T, d *db.DB) {
		ctx := event.WithActor(context.Background(), "key:test")
		merchant := merchantIn(t, d, "Acme")
		other := merchantIn(t, d, "Other")
		b := NewPolicies(d)
		if s, err := b.Get(ctx, merchant); err != nil || s.Version != 0 || !cmp.Equal(s.Policy, UsualPolicy) {
			t.Fatalf("before: %+v, %v", s, err)
		}
		p := UsualPolicy
		p.FenceM, p.Photo = 50, Required
		first, err := b.Set(ctx, merchant, p, ptr(int64(0)))
		if err != nil || first.Version != 1 || first.Actor != "key:test" || !first.At.Equal(noon) {
			t.Fatalf("set: %+v, %v", first, err)
		}
		if again, err := b.Set(ctx, merchant, p, nil); err != nil || !cmp.Equal(again, first) {
			t.Errorf("set again: %+v, %v", again, err)
		}
		if _, err := b.Set(ctx, merchant, UsualPolicy, ptr(int64(0))); fault.KindOf(err) != fault.Stale {
			t.Errorf("on an old version: %v", err)
		}
		bad := p
		bad.FenceM = 0
		if _, err := b.Set(ctx, merchant, bad, nil); fault.KindOf(err) != fault.Invalid {
			t.Errorf("out of bounds: %v", err)
		}
		if _, err := b.Set(ctx, 4711, p, nil); fault.KindOf(err) != fault.NotFound {
			t.Errorf("of nobody: %v", err)
		}
		p.ReturnTo = &geo.Point{Lat: -1.3, Lng: 36.78}
		if s, err := b.Set(ctx, merchant, p, ptr(int64(1))); err != nil || s.Version != 2 {
			t.Errorf("the second: %+v, %v", s, err)
		}
		all, more, err := b.Versions(ctx, merchant, 0, 1)
		if err != nil || !more || len(all) != 1 || all[0].Version != 2 || !cmp.Equal(all[0].Policy, p, cmpopts.IgnoreFields(Policy{}, "Key")) {
			t.Errorf("newest: %+v, %v, %v", all, more, err)
		}
		if all, more, err = b.Versions(ctx, merchant, 2, 1); err != nil || more || len(all) != 1 || !cmp.Equal(all[0], first) {
			t.Errorf("the page behind: %+v, %v, %v", all, more, err)
		}
		if s, _ := b.Get(ctx, other); s.Version != 0 {
			t.Errorf("another merchant's policy changed too: %+v", s)
		}
		told := toldOf(t, d, "merchant.policy_changed")
		if want := []string{`["fence_m","photo"]`, `["return_to"]`}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestManyWhoSetAPolicyAtOnceMakeOneVersionEach(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		b, merchant := NewPolicies(d), merchantIn(t, d, "Acme")
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				p := UsualPolicy
				p.FenceM = 100 + i + 1
				if _, err := b.Set(context.Background(), merchant, p, nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		all, _, err := b.Versions(context.Background(), merchant, 0, 50)
		if err != nil || len(all) != 12 || all[0].Version != 12 || len(toldOf(t, d, "merchant.policy_changed")) != 12 {
			t.Errorf("%d versions, %v", len(all), err)
		}
	})
}

// What this process sets holds for its next order; what another one sets, within half a second.
func TestANewPolicyHoldsForTheNextOrder(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		ctx, merchant := context.Background(), merchantIn(t, d, "Acme")
		here, there := NewPolicies(d), NewPolicies(d)
		clock := dbtest.NewClock(noon)
		here.now, there.now = clock.Now, clock.Now
		fence := func(b *Policies) int {
			p, err := b.Newest(ctx, merchant)
			if err != nil {
				t.Fatal(err)
			}
			return p.FenceM
		}
		set := func(m int) {
			p := UsualPolicy
			p.FenceM = m
			if _, err := here.Set(ctx, merchant, p, nil); err != nil {
				t.Fatal(err)
			}
		}
		if fence(here) != UsualPolicy.FenceM || fence(there) != UsualPolicy.FenceM {
			t.Error("not the usual policy at first")
		}
		set(50)
		if fence(here) != 50 {
			t.Error("the process that set it does not know")
		}
		if fence(there) != UsualPolicy.FenceM {
			t.Error("the other process asked the database: nothing is kept")
		}
		clock.Advance(policyRenewAge)
		if a, b := fence(there), fence(there); a != 50 || b != 50 {
			t.Errorf("one order renews it: %d, %d", a, b)
		}
		set(60)
		clock.Advance(policyMaxAge)
		if fence(there) != 60 {
			t.Error("old after half a second")
		}
	})
}

// A repeat is the same order, whatever the merchant's policy has become meanwhile.
func TestARepeatIsOneWhateverThePolicyBecame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Draft{ExternalID: "A", Mode: rapid.SampledFrom(append([]string{""}, Modes...)).Draw(t, "mode"),
			MinimumGrade: rapid.SampledFrom(append([]string{""}, grades...)).Draw(t, "grade"), PINRequired: rapid.Bool().Draw(t, "pin")}
		p, q := sensible.Draw(t, "p"), sensible.Draw(t, "q")
		o := d.Under(&p).New(1, 1, 0, noon)
		if again := d.Under(&q); !again.Asked(&o) {
			t.Fatal("the same draft is another order now")
		}
		other := d
		other.Instructions = "other"
		if other := other.Under(&p); other.Asked(&o) {
			t.Fatal("another draft is the same order")
		}
		// An order of before there were policies.
		old := Order{RequestHash: d.Normal().jsonHash()}
		if again := d.Under(&q); !again.Asked(&old) {
			t.Fatal("an old order is not known again")
		}
	})
}

// What a policy makes of an order that does not say.
func TestAPolicyFillsInWhatAnOrderDoesNotSay(t *testing.T) {
	at := geo.Point{Lat: -1.3, Lng: 36.78}
	usual := UsualPolicy
	strict := UsualPolicy
	strict.Key, strict.MinimumGrade, strict.PIN = 7, "B", Required
	for _, c := range []struct {
		policy      *Policy
		d           Draft
		mode, grade string
		pin         bool
		names       []string
	}{
		{&usual, Draft{}, LeaveAtDoor, "D", false, nil},
		{&usual, Draft{Mode: HandOver, PINRequired: true, MinimumGrade: "A"}, HandOver, "A", true, nil},
		{&strict, Draft{}, HandOver, "B", true, nil},
		{&strict, Draft{Mode: HandOver, MinimumGrade: "C"}, HandOver, "C", true, nil},
		{&strict, Draft{Mode: Neighbour}, Neighbour, "B", true, nil},
		{&strict, Draft{Mode: CollectAtStore}, CollectAtStore, "B", false, nil},
		{&strict, Draft{Mode: LeaveAtDoor}, LeaveAtDoor, "B", true, []string{"/dropoff/mode"}},
		{&strict, Draft{Mode: SafePlace, Instructions: "shed", PINRequired: true}, SafePlace, "B", true, []string{"/dropoff/pin_required"}},
		{&Policy{MinimumGrade: "D", Photo: Off}, Draft{MinimumGrade: "B"}, LeaveAtDoor, "B", false, []string{"/minimum_evidence_grade"}},
	} {
		c.d.Dropoff = at
		d := c.d.Under(c.policy)
		if got := pointers(d.Check(noon, true)); !slices.Equal(got, c.names) {
			t.Errorf("%+v: named %v, want %v", c.d, got, c.names)
		}
		if o := d.New(1, 1, 0, noon); o.Mode != c.mode || o.MinimumGrade != c.grade || o.Details.PINRequired != c.pin || o.Policy != c.policy.Key {
			t.Errorf("%+v became %s %s %v under policy %d", c.d, o.Mode, o.MinimumGrade, o.Details.PINRequired, o.Policy)
		}
	}
}

// Most orders say all themselves, or are as usual: a policy costs them no memory.
func TestAUsualOrderCostsNoMemoryForItsPolicy(t *testing.T) {
	p := UsualPolicy
	p.Key = 7
	for _, d := range []Draft{{}, {Mode: HandOver, MinimumGrade: "D", PINRequired: true, Recipient: Recipient{Phone: "+254712345678"}}} {
		if n := testing.AllocsPerRun(100, func() { taken = d.Under(&p) }); n != 0 {
			t.Errorf("%v allocations for %+v", n, d)
		}
	}
	strict := Policy{PIN: Required, MinimumGrade: "B"}
	if n := testing.AllocsPerRun(100, func() { taken = Draft{}.Under(&strict) }); n != 1 {
		t.Errorf("%v allocations for what a policy fills in", n)
	}
}

var taken Draft

// Every mode with everything that somebody would have to be there for.
func TestNobodyProvesAnythingAtAnEmptyDoor(t *testing.T) {
	asks := map[string]func(*Draft){
		"/dropoff/pin_required":       func(d *Draft) { d.PINRequired = true },
		"/dropoff/signature_required": func(d *Draft) { d.SignatureRequired = true },
		"/dropoff/id_required":        func(d *Draft) { d.IDRequired = true },
		"/dropoff/cash_on_delivery":   func(d *Draft) { d.Cash = &Money{Amount: 500, Currency: "JPY"} },
	}
	for _, mode := range Modes {
		all := Draft{Mode: mode, Instructions: "behind the shed"}
		var want []string
		for pointer, ask := range asks {
			d := Draft{Mode: mode, Instructions: "behind the shed"}
			ask(&d)
			ask(&all)
			refused := LeftAlone(mode) || mode == Neighbour && pointer == "/dropoff/id_required"
			if refused {
				want = append(want, pointer)
			}
			if got := pointers(d.Normal().Check(noon, true)); refused != slices.Contains(got, pointer) || len(got) > 1 {
				t.Errorf("%s with %s: named %v", mode, pointer, got)
			}
		}
		got := pointers(all.Normal().Check(noon, true))
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s with all of it: named %v, want %v", mode, got, want)
		}
	}
	if got := pointers(Draft{Mode: SafePlace}.Normal().Check(noon, true)); !slices.Equal(got, []string{"/dropoff/instructions"}) {
		t.Errorf("a safe place nobody names: %v", got)
	}
}

func TestCashIsMoney(t *testing.T) {
	for _, c := range []struct {
		m    Money
		want []string
	}{
		{Money{1, "KES"}, nil}, {Money{120, "JPY"}, nil}, {Money{1_500, "KWD"}, nil}, {Money{maxCash, "IDR"}, nil},
		{Money{0, "KES"}, []string{"/dropoff/cash_on_delivery/amount"}},
		{Money{-5, "KES"}, []string{"/dropoff/cash_on_delivery/amount"}},
		{Money{maxCash + 1, "KES"}, []string{"/dropoff/cash_on_delivery/amount"}},
		{Money{5, "kes"}, []string{"/dropoff/cash_on_delivery/currency"}},
		{Money{5, ""}, []string{"/dropoff/cash_on_delivery/currency"}},
		{Money{5, "XAU"}, []string{"/dropoff/cash_on_delivery/currency"}},
		{Money{5, "ABC"}, []string{"/dropoff/cash_on_delivery/currency"}},
		{Money{5, "KES "}, []string{"/dropoff/cash_on_delivery/currency"}},
	} {
		d := Draft{Mode: HandOver, Cash: &c.m}
		if got := pointers(d.Normal().Check(noon, true)); !slices.Equal(got, c.want) {
			t.Errorf("%+v: named %v", c.m, got)
		}
	}
	if !slices.IsSorted(currencies) {
		t.Error("the currencies are not sorted: half of them cannot be found")
	}
}

// The customer chooses another way by the rules of a new order.
func TestTheCustomersWishKeepsTheOrdersTerms(t *testing.T) {
	for _, c := range []struct {
		d     Details
		mode  string
		text  string
		names []string
	}{
		// What the policy asks of every parcel it asks of one that does not wait at the store any more.
		{Details{Tags: []string{"strict"}}, LeaveAtDoor, "", []string{"/mode"}},
		{Details{Tags: []string{"strict"}}, HandOver, "", nil},
		{Details{Tags: []string{"strict"}}, CollectAtStore, "", nil},
		{Details{}, LeaveAtDoor, "", nil},
		{Details{}, SafePlace, "shed", nil},
		{Details{}, SafePlace, " ", []string{"/instructions"}},
		{Details{IDRequired: true}, Neighbour, "", []string{"/mode"}},
		{Details{SignatureRequired: true}, Neighbour, "", nil},
		{Details{SignatureRequired: true}, LeaveAtDoor, "", []string{"/mode"}},
		{Details{Cash: &Money{5, "KES"}}, SafePlace, "shed", []string{"/mode"}},
		{Details{PINRequired: true}, LeaveAtDoor, "", []string{"/mode"}},
		{Details{}, "throw_over_fence", "", []string{"/mode"}},
	} {
		p := UsualPolicy
		if len(c.d.Tags) > 0 {
			p.PIN = Required
		}
		o := Order{Mode: CollectAtStore, Details: c.d}
		err := o.SetMode(c.mode, c.text, &p)
		if p.PIN == Required && err == nil && o.Details.PINRequired != (c.mode == HandOver) {
			t.Errorf("to %s: PIN required is %v", c.mode, o.Details.PINRequired)
		}
		if got := pointers(err); !slices.Equal(got, c.names) {
			t.Errorf("%+v to %s: named %v", c.d, c.mode, got)
		}
		if want := map[bool]string{true: c.mode, false: CollectAtStore}[err == nil]; o.Mode != want {
			t.Errorf("%+v to %s: is %s", c.d, c.mode, o.Mode)
		}
	}
}

func merchantIn(t *testing.T, d *db.DB, name string) (key int64) {
	t.Helper()
	if err := d.InTx(context.Background(), func(tx *db.Tx) (err error) {
		key, err = auth.EnsureMerchant(tx, name)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return key
}

// toldOf are the fields that the events of a type name, in order.
func toldOf(t *testing.T, d *db.DB, typ string) (out []string) {
	t.Helper()
	var data []string
	if err := d.Read(context.Background()).Select(&data, `SELECT data FROM event WHERE type = ? ORDER BY seq`, typ); err != nil {
		t.Fatal(err)
	}
	for _, text := range data {
		var said struct{ Fields json.RawMessage }
		if err := json.Unmarshal([]byte(text), &said); err != nil {
			t.Fatal(err)
		}
		out = append(out, string(said.Fields))
	}
	return out
}

func ptr[T any](v T) *T { return &v }
