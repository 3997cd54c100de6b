package order_test

import (
	"testing"
	"time"

	"doorstep/internal/order"
)

var (
	allStatuses = []order.Status{order.Created, order.Unassignable, order.Confirmed, order.ReadyForPickup, order.PickedUp, order.EnrouteDropoff,
		order.ArrivedDropoff, order.AttemptFailed, order.ReceivedAtStore, order.Delivered, order.Collected, order.EnrouteReturn, order.Returned, order.Cancelled}
	allHolders = []order.Holder{order.HeldByMerchant, order.HeldByStore, order.HeldByRunner, order.HeldByCustomer, order.HeldBySender, order.Lost}
)

// every calls f with each order that custody allows: each status, holder, store, mode and wish.
func every(f func(o *order.Order)) (n int) {
	for _, status := range allStatuses {
		for _, holder := range allHolders {
			for _, store := range []int64{0, 1, 2} {
				for _, mode := range order.Modes {
					for _, wish := range []string{"redeliver", "hold_at_store", "return"} {
						for attempts := range 5 {
							o := order.Order{Status: status, Holder: holder, HolderStore: store, Store: 1, Mode: mode, Undeliver: wish, Attempts: attempts,
								CreatedAt: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), TransferTo: int64(attempts % 3)}
							if o.CheckCustody() == "" {
								n++
								f(&o)
							}
						}
					}
				}
			}
		}
	}
	return n
}

func TestEveryOrderHasANextStepUntilItEnds(t *testing.T) {
	n := every(func(o *order.Order) {
		s := order.NextStep(o, order.UsualPolicy)
		goesBack := o.Status == order.Cancelled && (o.Holder == order.HeldByStore || o.Holder == order.HeldByRunner)
		if (s != nil) != (!o.Status.Terminal() || goesBack) {
			t.Fatalf("%s held by %s %d: %+v", o.Status, o.Holder, o.HolderStore, s)
		}
		if s == nil {
			return
		}
		if s.Do == "" || s.Who == "" || s.By == nil && s.Do != order.DoAnswer && s.Do != order.DoCollect {
			t.Fatalf("%s held by %s %d: %+v says too little", o.Status, o.Holder, o.HolderStore, s)
		}
		if o.Holder == order.HeldByStore && o.HolderStore == 2 && s.Store != 2 && o.Status != order.Created && o.Status != order.Unassignable {
			t.Fatalf("%s held by a store that is not its own: %+v is for another", o.Status, s)
		}
	})
	if n < 500 {
		t.Fatalf("only %d orders were looked at", n)
	}
}

func TestAFailedAttemptGoesOnAsTheMerchantWishes(t *testing.T) {
	for _, c := range []struct {
		wish     string
		attempts int
		mode     string
		do, who  string
	}{
		{"redeliver", 1, order.LeaveAtDoor, order.DoRedeliver, order.ByRunner},
		{"redeliver", 2, order.HandOver, order.DoRedeliver, order.ByRunner},
		{"redeliver", 3, order.LeaveAtDoor, order.DoBring, order.ByRunner}, // three are enough
		{"hold_at_store", 1, order.LeaveAtDoor, order.DoBring, order.ByRunner},
		{"return", 1, order.LeaveAtDoor, order.DoReturn, order.ByRunner},
		{"redeliver", 1, order.CollectAtStore, order.DoBring, order.ByRunner}, // the customer comes for it now
	} {
		o := order.Order{Status: order.AttemptFailed, Holder: order.HeldByRunner, Store: 1, Undeliver: c.wish, Attempts: c.attempts, Mode: c.mode,
			StepSince: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
		s := order.NextStep(&o, order.UsualPolicy)
		if s.Do != c.do || s.Who != c.who || !s.By.Equal(o.StepSince.Add(24*time.Hour)) {
			t.Errorf("%s after %d attempts: %+v", c.wish, c.attempts, s)
		}
	}
	p := order.UsualPolicy
	p.MaxAttempts = 1
	if s := order.NextStep(&order.Order{Status: order.AttemptFailed, Holder: order.HeldByRunner, Store: 1, Undeliver: "redeliver", Attempts: 1}, p); s.Do != order.DoBring {
		t.Errorf("a policy of one attempt: %+v", s)
	}
}

func TestRemindersOfAHold(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name        string
		until       time.Duration
		first, next time.Duration
	}{
		{"a week", 7 * 24 * time.Hour, 84 * time.Hour, 6 * 24 * time.Hour},
		{"a day and a half", 36 * time.Hour, 12 * time.Hour, 36 * time.Hour},
		{"a day", 24 * time.Hour, 12 * time.Hour, 24 * time.Hour},
	} {
		until := noon.Add(c.until)
		first := order.FirstHoldDue(noon, until)
		if !first.Equal(noon.Add(c.first)) {
			t.Errorf("%s: first after %s", c.name, first.Sub(noon))
		}
		if next := order.NextHoldDue(first, until); !next.Equal(noon.Add(c.next)) {
			t.Errorf("%s: then after %s", c.name, next.Sub(noon))
		}
		if end := order.NextHoldDue(noon.Add(c.next), until); !end.Equal(until) {
			t.Errorf("%s: the end after %s", c.name, end.Sub(noon))
		}
	}
}
