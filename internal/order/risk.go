package order

import (
	"context"
	"slices"
	"time"

	"doorstep/internal/db"
)

// How long what is left to do usually takes. These are a careful rider's, not measured: whoever shows a risk
// says why it is one.
const (
	riskOffer   = 3 * time.Minute        // until a store has answered
	riskPack    = 10 * time.Minute       // until it is packed
	riskWait    = 10 * time.Minute       // until a runner takes it
	riskDoor    = 3 * time.Minute        // at the door
	riskMetre   = 350 * time.Millisecond // of the straight line: 40 % more way at 4 m/s
	riskSoonest = 2 * time.Minute        // nobody arrives sooner who is not there yet
)

// Risk is an order that will not be there in time, or is late already without anybody having been told.
type Risk struct {
	Order    int64
	Promised time.Time // the end of the promise
	Expected time.Time // when it will be there
}

// Late is by how much the promise will be missed.
func (r Risk) Late() time.Duration { return r.Expected.Sub(r.Promised) }

// ready is how long an order of this status usually takes until a runner sets out with it; ok is false when
// its promise is nobody's worry, or something else is said about it.
func (s Status) untilRide() (d time.Duration, ok bool) {
	switch s {
	case Created:
		return riskOffer + riskPack + riskWait, true
	case Confirmed:
		return riskPack + riskWait, true
	case ReadyForPickup:
		return riskWait, true
	case PickedUp, EnrouteDropoff, ArrivedDropoff:
		return 0, true
	}
	return 0, false
}

// ExpectedAt is when an order that is at s since since, this many metres from its door, will be there: from now
// for what has not begun, from its departure for one that is on its way.
func ExpectedAt(s Status, since time.Time, metres int, now time.Time) (t time.Time, ok bool) {
	before, ok := s.untilRide()
	ride := time.Duration(metres)*riskMetre + riskDoor
	switch s {
	case EnrouteDropoff:
		t = since.Add(ride)
		if soonest := now.Add(riskSoonest); t.Before(soonest) {
			t = soonest
		}
	case ArrivedDropoff:
		t = now.Add(riskDoor)
	default:
		t = now.Add(before + ride)
	}
	return t, ok
}

// riskWhere is ExpectedAt after the end of the promise, as a condition: of the open orders only the few it
// finds are brought in. Those whose next step is overdue are told of as such.
const riskWhere = `ended_at IS NULL AND promise_to IS NOT NULL AND mode <> 'collect_at_store' AND (step_due IS NULL OR step_due > ?)
	AND CASE status
		WHEN 'created' THEN promise_to < ? + distance_m * 350
		WHEN 'confirmed' THEN promise_to < ? + distance_m * 350
		WHEN 'ready_for_pickup' THEN promise_to < ? + distance_m * 350
		WHEN 'picked_up' THEN promise_to < ? + distance_m * 350
		WHEN 'enroute_to_dropoff' THEN promise_to < ? OR promise_to < step_since + ? + distance_m * 350
		WHEN 'arrived_at_dropoff' THEN promise_to < ?
		ELSE 1 = 0 END`

func riskArgs(now time.Time) []any {
	at := now.UnixMilli()
	from := func(s Status) int64 {
		d, _ := s.untilRide()
		return at + (d + riskDoor).Milliseconds()
	}
	return []any{at, from(Created), from(Confirmed), from(ReadyForPickup), from(PickedUp), at + riskSoonest.Milliseconds(),
		riskDoor.Milliseconds(), at + riskDoor.Milliseconds()}
}

// AtRisk are the orders that will miss their promise, worst first and at most limit; all is false when there
// are more. It reads every open order once: ask it now and then, not for everybody who wants to know.
func (b *Book) AtRisk(ctx context.Context, limit int) (found []Risk, all bool, err error) {
	now := b.db.Now()
	type row struct {
		Key       int64
		Status    string
		PromiseTo int64 `db:"promise_to"`
		DistanceM int   `db:"distance_m"`
		StepSince int64 `db:"step_since"`
	}
	all = true
	err = db.Each(ctx, b.db, func(r row) error {
		t, ok := ExpectedAt(Status(r.Status), fromMs(r.StepSince), r.DistanceM, now)
		if !ok {
			return nil
		}
		found = append(found, Risk{r.Key, fromMs(r.PromiseTo), t})
		if len(found) >= 4*limit { // keep the worst
			found, all = worst(found, limit), false
		}
		return nil
	}, `SELECT key, status, promise_to, distance_m, step_since FROM orders WHERE `+riskWhere, riskArgs(now)...)
	if len(found) > limit {
		all = false
	}
	return worst(found, limit), all, err
}

func worst(found []Risk, limit int) []Risk {
	slices.SortFunc(found, func(a, b Risk) int { return int(b.Late() - a.Late()) })
	return found[:min(len(found), limit)]
}
