package dropoff

import (
	"slices"
	"time"

	"doorstep/geo"
	"doorstep/internal/order"
)

// Flags of an attempt: what looks odd to somebody who judges it. They change no grade and stop nobody.
const (
	ClockSkew          = "clock_skew"           // the phone's clock was more than 5 minutes off
	OutsideFence       = "outside_fence"        // a position at the door was not at the door
	EarlyArrival       = "early_arrival"        // at the door sooner after pick-up than anybody gets there
	ImpossibleSpeed    = "impossible_speed"     // the same phone was just before, or just after, too far away
	PhotoBeforeArrival = "photo_before_arrival" // taken, or uploaded, before anybody was at the door
	PhotoFar           = "photo_far"            // taken away from the door
	PhotoReused        = "photo_reused"         // the same file proves another attempt too
	PhotoSimilar       = "photo_similar"        // looks like a copy of a photo of another attempt of the store
	PhotoMissing       = "photo_missing"        // completed without one
	PINMissing         = "pin_missing"          // handed over without the PIN that the merchant would like
	NameMissing        = "name_missing"         // handed over without the name that the merchant would like
)

// maxSkew is how far a phone's clock may be off before anybody is told. Phones that have a network set
// theirs to the second; what is left are phones that were never set.
const maxSkew = 5 * time.Minute

// When an arrival comes too early. In 14,112 recorded rides in Nairobi the time from pick-up to arrival
// has two peaks: 478 rides "arrive" within 60 s, two thirds of them within 10 s although the nearest of
// their doors is 108 m away; then almost none, 19 between 60 and 90 s; then true rides, from 3 minutes
// on. Riders who tap both buttons at once are told from those who rode by the valley between. A door that
// is nearer than a minute's walk is an exception; there the walk is the limit, yet never less than it
// takes to go out and tap again.
//
// The rest is distance: 52 more of those rides cover the straight line at over 120 km/h, up to 670, and
// every one of them with the arrival tapped on the way. Nobody gets through a town that fast, so none
// of these flags is false.
const (
	soon     = time.Minute
	soonest  = 10 * time.Second
	walkMS   = 1.4        // metres a second on foot
	topMS    = 120. / 3.6 // metres a second, along the straight line
	fixSlack = 50.        // metres: a fix may be some seconds old, so none counts as better than that
)

// Fix is where a phone was at a time by its own clock.
type Fix struct {
	At        time.Time
	Location  geo.Point
	AccuracyM *float64 // nil: the phone did not say
}

func (f Fix) slackM() float64 {
	if f.AccuracyM == nil {
		return fixSlack
	}
	return max(fixSlack, *f.AccuracyM)
}

// Move is two fixes of one phone with none between them, at the doors of two orders.
type Move struct{ From, To Fix }

// impossible reports whether the phone cannot have made the move, both accuracies taken off the way. Of
// 2,034 pairs of successive pick-ups of couriers in three Chinese cities none is.
func (m Move) impossible() bool {
	metres := geo.DistanceM(m.From.Location, m.To.Location) - m.From.slackM() - m.To.slackM()
	return metres > topMS*m.To.At.Sub(m.From.At).Seconds()
}

// Facts are what is known of an attempt besides its own events.
type Facts struct {
	Leg      string               // "" is LegDelivery
	PickedUp time.Time            // when the parcel left the store for this attempt; zero: it did not, it had left before
	Uploaded map[string]time.Time // by photo: when it first came, by our clock
	Moves    []Move               // of the phones that report this attempt, from or to its door
	Reused   bool                 // a photo of it is one of another attempt
	Alike    bool                 // a photo of it looks like one of another attempt of the store
}

// Flags are what looks odd about an attempt at o that set out at started, sorted; the same whatever the
// order of arrival.
//
// An old time alone is no sign of a wrong clock: a phone that was offline reports late. Two bounds prove
// one. Nothing happens after we know of it, so a phone that dates an event later is ahead. And nothing
// happens at the door before there is an order or before the parcel is picked up, so one that dates it
// earlier is behind.
func (c Chain) Flags(o *order.Order, p *order.Policy, started time.Time, f Facts) []string {
	all := c
	c = c.Effective()
	asks := AsksOf(o, p, f.Leg)
	flags := []string{}
	add := func(flag string, odd bool) {
		if odd {
			flags = append(flags, flag)
		}
	}
	away := func(e Event) bool { return asks.Door != nil && e.Location != nil && !e.Inside(*asks.Door, asks.FenceM) }
	add(ClockSkew, all.any(func(e Event) bool { return e.skewed(o.CreatedAt, f.PickedUp) }))
	add(OutsideFence, c.any(func(e Event) bool { return e.claimsDoor() && away(e) }))
	add(EarlyArrival, c.early(o, started, f))
	add(ImpossibleSpeed, slices.ContainsFunc(f.Moves, Move.impossible))
	add(PhotoBeforeArrival, c.photoFirst(f.Uploaded))
	add(PhotoFar, c.any(func(e Event) bool { return e.shows() && away(e) }))
	add(PhotoReused, f.Reused)
	add(PhotoSimilar, f.Alike)
	if c.has(Completed) {
		add(PhotoMissing, asks.Photo != order.Off && !c.any(Event.shows))
	}
	if c.has(Completed) && asks.Attended {
		add(PINMissing, p.PIN == order.Wanted && !c.any(func(e Event) bool { return e.Type == HandedOver && e.Confirmed }))
		add(NameMissing, p.Name == order.Wanted && !c.given(func(e Event) bool { return e.Name != "" }))
	}
	slices.Sort(flags)
	return flags
}

// skewed reports whether e's time cannot be; picked is zero when nobody knows it.
func (e Event) skewed(created, picked time.Time) bool {
	earliest := created
	if picked.After(created) {
		earliest = picked
	}
	return e.OccurredAt.After(e.RecordedAt.Add(maxSkew)) || e.OccurredAt.Before(earliest.Add(-maxSkew))
}

// claimsDoor reports whether e says that the phone was at the door: also when nobody opened.
func (e Event) claimsDoor() bool {
	return e.atDoor() || e.Type == Failed && slices.Contains([]string{unavailable, "customer_refused", "cannot_access"}, e.Reason)
}

// arrival is when the phone was first at the door, by its own clock: the first arrived, or without one
// the first event that only happens there. ok is false when nothing says so.
func (c Chain) arrival() (at time.Time, ok bool) {
	arrived := c.has(Arrived)
	for _, e := range c {
		if (e.Type == Arrived || !arrived && e.atDoor()) && (!ok || e.OccurredAt.Before(at)) {
			at, ok = e.OccurredAt, true
		}
	}
	return at, ok
}

// early reports whether who was at the door cannot have come there. An arrival long before the pick-up
// is a matter of clocks. Of an attempt that begins where another failed, only its own start is known.
func (c Chain) early(o *order.Order, started time.Time, f Facts) bool {
	at, ok := c.arrival()
	from, limit := started, soon
	if !f.PickedUp.IsZero() && f.Leg != LegReturn {
		from = f.PickedUp
		if o.DistanceM > 0 {
			metres := float64(o.DistanceM)
			limit = max(seconds(metres/topMS), min(soon, max(soonest, seconds(metres/walkMS))))
		}
	}
	took := at.Sub(from)
	return ok && took >= -maxSkew && took < limit
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// photoFirst reports whether a photo that should show the parcel at the door is from before the arrival:
// by the phone's clock on both sides, or by ours, as far as the phone's can be compared with it.
func (c Chain) photoFirst(uploaded map[string]time.Time) bool {
	arrival, ok := c.arrival()
	if !ok {
		return false
	}
	known := arrival // at the latest: an arrival cannot be later than when we heard of it
	for _, e := range c {
		if e.Type == Arrived && e.RecordedAt.Before(known) {
			known = e.RecordedAt
		}
	}
	return c.any(func(e Event) bool {
		came, ok := uploaded[e.PhotoSHA256]
		return e.shows() && (e.OccurredAt.Before(arrival) || ok && came.Before(known.Add(-maxSkew)))
	})
}
