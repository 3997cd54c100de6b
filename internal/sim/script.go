package sim

import (
	"hash/fnv"
	"time"
)

// What the robots do, without doing it. A robot has no memory: what comes next for an order, and
// when, follows from the order as the server tells it. Chance comes from the order's id, so asking
// twice gives the same answer, and so does asking after a restart.

// action is what a robot does to an order.
type action string

const (
	nothing  action = ""
	accept   action = "accept"
	decline  action = "decline"
	cancel   action = "cancel"
	ready    action = "ready"
	pickUp   action = "pick-up"
	depart   action = "depart"
	arrive   action = "arrive"
	deliver  action = "deliver"
	fail     action = "fail"
	receive  action = "receive"
	collectO action = "collect"
	sendBack action = "return"
	returned action = "returned"
)

// openStatuses are those in which somebody has something to do.
var openStatuses = []string{"created", "unassignable", "confirmed", "ready_for_pickup", "picked_up", "enroute_to_dropoff",
	"arrived_at_dropoff", "attempt_failed", "received_at_store", "enroute_to_return"}

// next is what happens to o and when; nothing when it is nobody's turn. At speed 2 people take half
// their time.
func next(o Order, speed float64) (action, time.Time) {
	do, after := plan(o)
	due := o.UpdatedAt.Add(time.Duration(float64(after) / speed))
	if do == ready && o.Promise != nil {
		// Who asked for a time is not served an hour early: packing starts shortly before it.
		due = later(due, o.Promise.Earliest.Add(-10*time.Minute))
	}
	return do, due
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func plan(o Order) (action, time.Duration) {
	d := dice{o.ID, o.Attempts}
	switch o.Status {
	case "created":
		return answerOffer(o)
	case "unassignable":
		return cancel, 15 * time.Minute // nobody came to its rescue
	case "confirmed":
		if d.chance("change of mind", 0.01) {
			return cancel, d.between("cancel", 20*time.Second, time.Minute)
		}
		return ready, d.between("pack", 40*time.Second, 150*time.Second)
	case "ready_for_pickup":
		if o.Dropoff.Mode == "collect_at_store" {
			return receive, 10 * time.Second
		}
		return pickUp, d.between("runner comes", 20*time.Second, 90*time.Second)
	case "picked_up":
		return depart, d.between("helmet on", 10*time.Second, 30*time.Second)
	case "enroute_to_dropoff":
		if o.Attempts <= 1 && d.chance("breakdown", 0.01) {
			return fail, time.Minute
		}
		return arrive, ride(o)
	case "arrived_at_dropoff":
		if o.Attempts <= 1 && d.chance("nobody home", 0.06) {
			return fail, 2 * time.Minute
		}
		return deliver, d.between("at the door", 30*time.Second, 90*time.Second)
	case "attempt_failed":
		return afterFailure(o), d.between("think", time.Minute, 4*time.Minute)
	case "received_at_store":
		return collectO, d.between("walk to the store", 5*time.Minute, 20*time.Minute)
	case "enroute_to_return":
		return returned, d.between("way back", 3*time.Minute, 8*time.Minute)
	}
	return nothing, 0
}

// answerOffer: most stores say yes within a minute; some say no, and some do not look.
func answerOffer(o Order) (action, time.Duration) {
	if o.Assignment == nil || o.Assignment.Status != "offered" {
		return nothing, 0
	}
	d := dice{o.Assignment.ID, 0}
	wait := d.between("look at the phone", 5*time.Second, 45*time.Second)
	switch {
	case d.chance("phone in the drawer", 0.03):
		return nothing, 0 // the offer runs out
	case d.chance("hands full", 0.05):
		return decline, wait
	default:
		return accept, wait
	}
}

// ride is at 4 m/s over the straight line, and a minute and a quarter for streets and stairs.
func ride(o Order) time.Duration {
	metres := 500
	if o.DistanceM != nil {
		metres = *o.DistanceM
	}
	return 75*time.Second + time.Duration(metres)*time.Second/4
}

func afterFailure(o Order) action {
	switch {
	case o.Undeliver == "hold_at_store":
		return receive
	case o.Undeliver == "redeliver" && o.Attempts < 3:
		return depart
	default:
		return sendBack
	}
}

// answerTask is what a store does about a pre-stock task, how many units that concerns, and when.
// nothing: it is not its turn, or it does not look.
func answerTask(t Task, speed float64) (do action, units int, due time.Time) {
	if len(t.Prompts) == 0 {
		return nothing, 0, time.Time{}
	}
	prompted := t.Prompts[0].At
	for _, p := range t.Prompts {
		if p.At.Before(prompted) {
			prompted = p.At
		}
	}
	d := dice{t.ID, 0}
	after := func(what string, from, to time.Duration) time.Time {
		return prompted.Add(time.Duration(float64(d.between(what, from, to)) / speed))
	}
	switch t.Status {
	case "prompted":
		due = after("read the prompt", time.Minute, 10*time.Minute)
		switch {
		case d.chance("never reads", 0.07):
			return nothing, 0, time.Time{}
		case d.chance("no room", 0.1):
			return decline, 0, due
		case d.chance("some", 0.2):
			return accept, t.Asked / 2, due
		}
		return accept, t.Asked, due
	case "acknowledged", "partially_acknowledged":
		units = t.Committed
		if d.chance("two broke", 0.1) {
			units = max(0, units-2)
		}
		due = after("the van comes", 12*time.Minute, 40*time.Minute)
		if last := t.StockDeadline.Add(-time.Minute); due.After(last) {
			due = last
		}
		return "stocked", units, due
	}
	return nothing, 0, time.Time{}
}

// refill counts a shelf up to what belongs there, where less than a third of it is left. have is the
// shelf now, units the room on it: what does not fit stays away.
func refill(want []Count, have []Level, units int) []Count {
	now := map[string]Level{}
	for _, l := range have {
		now[l.SKU] = l
		units -= l.OnHand
	}
	var counts []Count
	for _, w := range want {
		l := now[w.SKU]
		up := l.Reserved + w.OnHand - l.OnHand
		if 3*l.Available >= w.OnHand || up <= 0 || up > units {
			continue
		}
		units -= up
		counts = append(counts, Count{SKU: w.SKU, OnHand: l.OnHand + up})
	}
	return counts
}

// dice throws the same for the same subject, turn and question.
type dice struct {
	subject string
	turn    int
}

// roll is a number in [0, 1).
func (d dice) roll(question string) float64 { return float64(d.seed(question)>>11) / (1 << 53) }

// seed is 64 bits that nobody else rolls.
func (d dice) seed(question string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(d.subject))
	h.Write([]byte{byte(d.turn)})
	h.Write([]byte(question))
	// FNV barely moves the high bits for texts that differ at the end; this finaliser (of
	// splitmix64, Steele et al. 2014) spreads them.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (d dice) chance(question string, p float64) bool { return d.roll(question+"?") < p }

func (d dice) between(question string, from, to time.Duration) time.Duration {
	return from + time.Duration(d.roll(question)*float64(to-from))
}
