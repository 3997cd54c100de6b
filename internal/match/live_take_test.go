package match

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

var nairobi = geo.Point{Lat: -1.29, Lng: 36.8}

// stall is a live index with one store.
func stall(t *testing.T, room int, lines ...partner.StockLine) (*Live, partner.Store) {
	t.Helper()
	name, zone, lat, lng := "stall", "Africa/Nairobi", nairobi.Lat, nairobi.Lng
	s, err := partner.Decide(partner.Input{Name: &name, TimeZone: &zone, Lat: &lat, Lng: &lng, OrdersPerSlot: &room}, partner.StandardDefaults())
	if err != nil {
		t.Fatal(err)
	}
	s.Key, s.Version = 1, 1
	live := NewLive()
	if err := live.Put(&s); err != nil {
		t.Fatal(err)
	}
	live.SetStock(1, lines)
	return live, s
}

func wanting(sku string, n int) *Ask {
	now := time.Date(2026, 11, 11, 12, 0, 0, 0, time.UTC)
	q := &Ask{At: nairobi, Begin: now, Now: now}
	if n > 0 {
		q.Items = []order.Item{{SKU: sku, Quantity: n}}
	}
	return q
}

// grab takes what q wants from the store, as choosing does.
func (x *Live) grab(q *Ask) bool {
	hit, ok := x.nearest(q)
	return ok && x.take(&hit.Store, hit.Value.slotAt(q.Begin).UnixMilli(), q.Items)
}

func TestTakingIsAllOrNothing(t *testing.T) {
	live, s := stall(t, 3, partner.StockLine{SKU: "milk", OnHand: 2}, partner.StockLine{SKU: "rice", OnHand: 5, Reserved: 4})
	sh, _ := live.get(s.Key)
	slot := s.SlotAt(wanting("", 0).Begin).UnixMilli()
	left := func(story string, used, milk, rice int) {
		t.Helper()
		count := func(sku string) int { return int(sh.Value.line(live.skus.known(sku).id).free.Load()) }
		if u, m, r := sh.Value.used(slot), count("milk"), count("rice"); u != used || m != milk || r != rice {
			t.Errorf("%s: %d units used, %d milk and %d rice left; want %d, %d, %d", story, u, m, r, used, milk, rice)
		}
	}
	both := []order.Item{{SKU: "milk", Quantity: 1}, {SKU: "rice", Quantity: 2}}
	if live.take(&sh, slot, both) {
		t.Error("two units of one rice were taken")
	}
	left("a refusal takes nothing", 0, 2, 1)
	if live.take(&sh, slot, []order.Item{{SKU: "milk", Quantity: 1}, {SKU: "rice", Quantity: 1}, {SKU: "milk", Quantity: 2}}) {
		t.Error("three units of milk were taken")
	}
	both[1].Quantity = 1
	if !live.take(&sh, slot, both) {
		t.Error("refused although all is there")
	}
	left("taken", 1, 1, 0)
	if _, ok := live.nearest(wanting("rice", 1)); ok {
		t.Error("the last rice is found again")
	}
	live.give(&sh, slot, both)
	left("given back", 0, 2, 1)
	if _, ok := live.nearest(wanting("rice", 1)); !ok {
		t.Error("rice that was given back is not found")
	}
	live.force(&sh, slot, []order.Item{{SKU: "rice", Quantity: 3}})
	left("forced", 1, 2, -2)
	if live.take(&sh, slot, []order.Item{{SKU: "made up", Quantity: 1}}) || len(live.skus.byID) != 2 {
		t.Errorf("a made-up SKU was taken, or is remembered: %d SKUs", len(live.skus.byID))
	}
}

// However many grab at once, while the store is described anew all the time: what is there is given
// out once, to the last unit, and what comes back can be had again.
func TestManyTakersGetWhatThereIs(t *testing.T) {
	const room, milk, takers = 90, 60, 8
	live, s := stall(t, room, partner.StockLine{SKU: "milk", OnHand: milk})
	var stop atomic.Bool
	var churn, wg sync.WaitGroup
	churn.Go(func() {
		rng := rand.New(rand.NewPCG(1, 1))
		for v := s; !stop.Load(); {
			v.Version++
			v.Location.Lat = nairobi.Lat + rng.Float64()*.001
			v.AutoAccept = !v.AutoAccept
			if err := live.Put(&v); err != nil {
				t.Error(err)
			}
		}
	})
	for range 3 {
		var all, withMilk atomic.Int64
		for n := range takers {
			wg.Go(func() {
				q := wanting("milk", n%2)
				for range 200 {
					if live.grab(q) {
						all.Add(1)
						withMilk.Add(int64(n % 2))
					}
				}
			})
		}
		wg.Wait()
		// A question beside a move may miss the store; the takers asked often enough.
		if all.Load() != room || withMilk.Load() > milk {
			t.Errorf("%d orders with %d milk were taken; there is room for %d and milk for %d", all.Load(), withMilk.Load(), room, milk)
		}
		sh, _ := live.get(s.Key)
		slot := sh.Value.slotAt(wanting("", 0).Begin).UnixMilli()
		for i := range all.Load() {
			var items []order.Item
			if i < withMilk.Load() {
				items = wanting("milk", 1).Items
			}
			wg.Go(func() { live.give(&sh, slot, items) })
		}
		wg.Wait()
	}
	stop.Store(true)
	churn.Wait()
	sh, _ := live.get(s.Key)
	if n := sh.Value.line(0).free.Load(); n != milk || sh.Value.used(sh.Value.slotAt(wanting("", 0).Begin).UnixMilli()) != 0 {
		t.Errorf("after all came back there are %d milk, want %d, and no unit used", n, milk)
	}
	for n := range milk {
		if !live.grab(wanting("milk", 1)) {
			t.Fatalf("the column lost the store after %d of %d milk", n, milk)
		}
	}
	if live.grab(wanting("milk", 1)) {
		t.Error("more milk than there is")
	}
}

// A store with orders in many slots counts each; slots of long ago give their words to new ones.
func TestSlotsAreCountedApart(t *testing.T) {
	live, s := stall(t, 5)
	now := wanting("", 0).Now
	for i := range 100 {
		live.SetUsed(s.Key, s.SlotAt(now.Add(time.Duration(i)*time.Hour)), 1+i%5)
	}
	sh, _ := live.get(s.Key)
	for i := range 100 {
		if got := sh.Value.used(s.SlotAt(now.Add(time.Duration(i) * time.Hour)).UnixMilli()); got != 1+i%5 {
			t.Errorf("%d hours on %d units are used, want %d", i, got, 1+i%5)
		}
	}
	words := len(*sh.Value.more.Load())
	for day := range 200 {
		q := wanting("", 0)
		q.Now = now.AddDate(0, 0, day)
		q.Begin = q.Now
		live.nearest(q)
		live.SetUsed(s.Key, s.SlotAt(q.Begin), 1)
	}
	if got := len(*sh.Value.more.Load()); got > words {
		t.Errorf("half a year of orders took %d words, at first it was %d", got, words)
	}
}

// The first SKUs have a column of the index each, later ones share: what is asked for is found all
// the same, and what is sold out is not.
func TestMoreSKUsThanColumns(t *testing.T) {
	live, s := stall(t, 5)
	var lines []partner.StockLine
	name := func(i int) string { return "sku " + string(rune('A'+i/26)) + string(rune('a'+i%26)) }
	for i := range 600 {
		lines = append(lines, partner.StockLine{SKU: name(i), OnHand: i % 3})
	}
	live.SetStock(s.Key, lines)
	ask := func(i, n int) bool {
		_, ok := live.nearest(wanting(name(i), n))
		return ok
	}
	for i := range 600 {
		if ask(i, 1) != (i%3 >= 1) || ask(i, 2) != (i%3 >= 2) {
			t.Fatalf("SKU %d: %d there; one is found: %v, two: %v", i, i%3, ask(i, 1), ask(i, 2))
		}
	}
	q := wanting("", 0)
	for i := range 30 {
		q.Items = append(q.Items, order.Item{SKU: name(3*i + 1), Quantity: 1})
	}
	if _, ok := live.nearest(q); !ok {
		t.Error("an order of 30 SKUs finds nobody")
	}
	live.SetStock(s.Key, []partner.StockLine{{SKU: name(3*29 + 1)}})
	if _, ok := live.nearest(q); ok {
		t.Error("the last of 30 SKUs is sold out, but the order is served")
	}
}

func TestAQuestionDoesNotAllocate(t *testing.T) {
	live, _ := stall(t, 5, partner.StockLine{SKU: "milk", OnHand: 2})
	q := wanting("milk", 1)
	if n := testing.AllocsPerRun(100, func() { live.Nearest(q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAnAllowanceIsForEachSecond(t *testing.T) {
	var a allowance
	for i, want := range []bool{true, true, false, false} {
		if got := a.take(7, 4, 10); got != want {
			t.Errorf("take %d: %v", i, got)
		}
	}
	if !a.take(8, 10, 10) || a.take(8, 1, 10) {
		t.Error("another second has its own")
	}
	if !a.take(7, 4, 10) {
		t.Error("a clock that was set back brings the next one, and does not stop it for ever")
	}
}
