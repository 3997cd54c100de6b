package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/dropoff"
	"doorstep/internal/event"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// ride is a recorded ride. Its five times are the riders' taps.
type ride struct {
	id, rider, store                           string
	placed, confirmed, reached, picked, atDest time.Time
	pickUp, door                               geo.Point
}

// early is what the data's notes count: at the destination within a minute of the pick-up.
func (r *ride) early() bool { return r.atDest.Sub(r.picked) <= time.Minute }

func (r *ride) metres() float64 { return geo.DistanceM(r.pickUp, r.door) }

// firstDay of the replay. The file has days of the month and days of the week but no months, so rides of
// several months share a day. Those whose weekdays do not fit into one month are put into different ones,
// and a rider is another phone in each; what then still overlaps cannot be told apart.
var firstDay = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func readRides(folder string) (rides []ride, err error) {
	err = readTable(folder, "orders_nairobi_sendy.csv", func(r *row) {
		day, weekday := int(r.number("day_of_month")), int(r.number("weekday_mo1"))
		month := ((weekday-day)%7 + 7) % 7
		midnight := firstDay.AddDate(0, 0, 31*month+day-1)
		last := 0.0
		at := func(column string) time.Time {
			s := r.number(column)
			if s < last-12*3600 { // past midnight
				s += 24 * 3600
			}
			last = s
			return midnight.Add(time.Duration(s) * time.Second)
		}
		rides = append(rides, ride{id: r.text("order_id"), rider: fmt.Sprintf("%s/%d", r.text("rider_id"), month), store: r.text("pickup_store_id"),
			placed: at("placed_s"), confirmed: at("confirmed_s"), reached: at("arrived_pickup_s"), picked: at("picked_up_s"), atDest: at("arrived_dest_s"),
			pickUp: geo.Point{Lat: r.number("pickup_lat"), Lng: r.number("pickup_lng")}, door: geo.Point{Lat: r.number("drop_lat"), Lng: r.number("drop_lng")}})
	})
	return rides, err
}

// What is made up about the evidence. The recorded rides have no photo, no step-away and no position of
// the rider.
const (
	withFix      = 0.93 // of the drop-offs, the phone knows where it is
	withPhoto    = 0.88
	byPhoto      = 0.70 // of the step-aways: photo_from_distance,
	byBLE        = 0.08 // Bluetooth,
	byGPS        = 0.14 // GPS alone; the rest is not reported
	withCustomer = 0.25 // the customer says "I have it"
	accuracyM    = 15.  // median of a fix, lognormal; the truth is inside in 68 of 100 cases (Rayleigh)
	accuracySD   = 0.6
)

const ridesModel = `
Rides: Nairobi, each taken through the books as an order with one attempt. Recorded: all times up to the
arrival, pick-up point and door. Made up (seeded): %.0f %% of the phones give a position at the door, off by
their accuracy (median %.0f m); %.0f %% of the drop-offs have a photo; step-away by photo %.0f %%, Bluetooth
%.0f %%, GPS alone %.0f %%, none %.0f %%; %.0f %% of the customers confirm; who taps "arrived" within a minute of
the pick-up is still at the pick-up point.
`

// evidence is the drop-off of a ride, as a phone would report it.
func (r *ride) evidence(key int64, photo string, rng *rand.Rand) (events []dropoff.Event, confirmed bool) {
	at := r.atDest
	add := func(typ string, after time.Duration) *dropoff.Event {
		at = at.Add(after)
		events = append(events, dropoff.Event{ID: r.id + "-" + typ, Order: key, Attempt: 1, Type: typ, OccurredAt: at})
		return &events[len(events)-1]
	}
	place := r.door
	if r.early() {
		place = r.pickUp
	}
	fixed := rng.Float64() < withFix
	fix := func(e *dropoff.Event) {
		if !fixed {
			return
		}
		accuracy := min(200, max(3, accuracyM*math.Exp(accuracySD*rng.NormFloat64())))
		p := displaced(place, accuracy/1.51*math.Sqrt(-2*math.Log(1-rng.Float64())), 2*math.Pi*rng.Float64())
		e.Location, e.AccuracyM = &p, &accuracy
	}
	fix(add(dropoff.Arrived, 0))
	placed := add(dropoff.Placed, time.Duration(20+rng.IntN(70))*time.Second)
	fix(placed)
	if rng.Float64() < withPhoto {
		placed.PhotoSHA256 = photo
	}
	add(dropoff.Signalled, 4*time.Second).Signal = "bell"
	if x := rng.Float64(); x < byPhoto+byBLE+byGPS {
		method, three := dropoff.ByPhoto, 3.
		if x >= byPhoto+byBLE {
			method = dropoff.ByGPS
		} else if x >= byPhoto {
			method = dropoff.ByBLE
		}
		e := add(dropoff.SteppedAway, 8*time.Second)
		e.Method, e.DistanceM = method, &three
	}
	add(dropoff.Completed, 10*time.Second)
	return events, rng.Float64() < withCustomer
}

// displaced is the point so many metres from p in a direction, on a plane: fine for some hundred metres.
func displaced(p geo.Point, metres, direction float64) geo.Point {
	north := metres * math.Cos(direction) / geo.EarthRadiusM * 180 / math.Pi
	east := metres * math.Sin(direction) / geo.EarthRadiusM * 180 / math.Pi / math.Cos(p.Lat*math.Pi/180)
	return geo.Point{Lat: p.Lat + north, Lng: p.Lng + east}
}

// town is the books of a replay.
type town struct {
	d      *db.DB
	book   *dropoff.Book
	stores map[string]int64
}

// reportedAt is when all phones come back from an endless day without a network: no clock is wrong, and
// no report is early.
var reportedAt = firstDay.AddDate(0, 0, 8*31)

func openTown(ctx context.Context, folder string, rides []ride) (*town, error) {
	d, err := db.Open(ctx, filepath.Join(folder, "rides.db"), db.Options{Clock: func() time.Time { return reportedAt }})
	if err != nil {
		return nil, err
	}
	t := &town{d: d, book: dropoff.NewBook(d), stores: map[string]int64{}}
	shops := partner.NewBook(d, partner.StandardDefaults())
	zone := "Africa/Nairobi"
	for _, r := range rides {
		if _, known := t.stores[r.store]; known {
			continue
		}
		name := "Pick-up point " + r.store
		s, _, err := shops.Create(ctx, partner.Input{Name: &name, TimeZone: &zone, Lat: &r.pickUp.Lat, Lng: &r.pickUp.Lng})
		if err != nil {
			return nil, fmt.Errorf("store %s: %w", r.store, err)
		}
		t.stores[r.store] = s.Key
	}
	return t, nil
}

// carry takes a ride from its order to its evidence.
func (t *town) carry(ctx context.Context, r *ride, seed uint64) (key int64, err error) {
	rng := rand.New(rand.NewPCG(seed, 23))
	o := order.Order{Key: t.d.Keys().Next(), ExternalID: r.id, Status: order.Confirmed, Dropoff: r.door, Mode: order.LeaveAtDoor, MinimumGrade: "D",
		Undeliver: "return", Store: t.stores[r.store], DistanceM: int(r.metres() + 0.5), CreatedAt: r.placed,
		Details: order.Details{Parcels: []order.Parcel{{WeightG: 1000}}}}
	if err := t.d.InTx(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		a := order.Assignment{Key: tx.NewKey(), Order: o.Key, Store: o.Store, Status: order.Accepted, Rank: 1, Slot: r.placed, OfferedAt: r.placed, AnsweredAt: &now}
		o.Assignment = a.Key
		if err := order.InsertAssignment(tx, &a); err != nil {
			return err
		}
		return order.Insert(tx, &o)
	}); err != nil {
		return 0, err
	}
	ctx = event.WithActor(ctx, "device:"+r.rider)
	for _, step := range []struct {
		do func(context.Context, int64, time.Time) (order.Order, error)
		at time.Time
	}{{t.book.Ready, r.reached}, {t.book.PickUp, r.picked}, {t.book.Depart, r.picked}} {
		if _, err := step.do(ctx, o.Key, step.at); err != nil {
			return 0, err
		}
	}
	photo, err := t.photo(ctx, rng)
	if err != nil {
		return 0, err
	}
	events, confirmed := r.evidence(o.Key, photo, rng)
	results, err := t.book.Record(ctx, events)
	if err != nil {
		return 0, err
	}
	for _, res := range results {
		if res.Err != nil {
			return 0, fmt.Errorf("%s: %w", res.ID, res.Err)
		}
	}
	if confirmed {
		_, err = t.book.RetrievedByCustomer(ctx, o.Key)
	}
	return o.Key, err
}

// photo keeps a picture that looks like no other: 64 bits of chance, in the place of a JPEG.
func (t *town) photo(ctx context.Context, rng *rand.Rand) (sha string, err error) {
	p := dropoff.Photo{Width: 1600, Height: 1200, Look: dropoff.Look(rng.Uint64())}
	for i := range p.SHA256 {
		p.SHA256[i] = byte(rng.Uint32())
	}
	p.JPEG = p.SHA256[:]
	return fmt.Sprintf("%x", p.SHA256), t.book.SavePhoto(ctx, 1, p)
}

// outcome is what the books say of a ride.
type outcome struct {
	grade string
	flags []string
}

// replayRides takes rides through the books, several at a time as phones would.
func replayRides(ctx context.Context, rides []ride) (out []outcome, err error) {
	folder, err := os.MkdirTemp("", "bench-doorstep-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	t, err := openTown(ctx, folder, rides)
	if err != nil {
		return nil, err
	}
	defer t.d.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	keys := make([]int64, len(rides))
	next := make(chan int)
	var hands sync.WaitGroup
	for range 64 {
		hands.Go(func() {
			for i := range next {
				var err error
				if keys[i], err = t.carry(ctx, &rides[i], uint64(i)); err != nil {
					cancel(fmt.Errorf("%s: %w", rides[i].id, err))
					return
				}
			}
		})
	}
	for i := range rides {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	hands.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	out = make([]outcome, len(rides))
	for i, key := range keys {
		list, err := t.book.Attempts(ctx, key)
		if err != nil {
			return nil, err
		}
		out[i] = outcome{list[0].Grade, list[0].Flags}
	}
	return out, nil
}

// looked is how many of the other rides are gone through one by one.
const looked = 500

// ridesPart replays the first limit rides, all when it is 0.
func ridesPart(ctx context.Context, out io.Writer, data string, limit int) error {
	rides, err := readRides(data)
	if err != nil {
		return err
	}
	if limit > 0 {
		rides = rides[:limit]
	}
	began := time.Now()
	result, err := replayRides(ctx, rides)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, ridesModel, 100*withFix, accuracyM, 100*withPhoto, 100*byPhoto, 100*byBLE, 100*byGPS, 100*(1-byPhoto-byBLE-byGPS), 100*withCustomer)
	fmt.Fprintf(out, "%d rides in %.0f s\n", len(rides), time.Since(began).Seconds())
	var early, rest []int
	for i := range rides {
		if rides[i].early() {
			early = append(early, i)
		} else {
			rest = append(rest, i)
		}
	}
	fmt.Fprintf(out, "\n  %-24s %8s %12s %12s\n", "", "all", "early taps", "the rest")
	line := func(name string, is func(outcome) bool) {
		count := func(places []int) (n int) {
			for _, i := range places {
				if is(result[i]) {
					n++
				}
			}
			return n
		}
		e, r := count(early), count(rest)
		fmt.Fprintf(out, "  %-24s %8d %12d %12d   %5.1f %% of all\n", name, e+r, e, r, 100*float64(e+r)/float64(len(rides)))
	}
	line("rides", func(outcome) bool { return true })
	for _, g := range []string{"A", "B", "C", "D"} {
		line("grade "+g, func(o outcome) bool { return o.grade == g })
	}
	line("any flag", func(o outcome) bool { return len(o.flags) > 0 })
	for _, f := range []string{dropoff.ClockSkew, dropoff.EarlyArrival, dropoff.ImpossibleSpeed, dropoff.OutsideFence, dropoff.PhotoBeforeArrival,
		dropoff.PhotoFar, dropoff.PhotoMissing, dropoff.PhotoReused, dropoff.PhotoSimilar} {
		line(f, func(o outcome) bool { return slices.Contains(o.flags, f) })
	}
	listRest(out, rides, result, rest)
	explainSpeed(out, rides, result)
	return nil
}

// explainSpeed says what the impossible speeds are made of: riders who are on two rides at once, since the
// file hides the month, and arrivals that were tapped long before, which put a phone where it was not.
func explainSpeed(out io.Writer, rides []ride, result []outcome) {
	all, twice, tapped := 0, 0, 0
	for i, o := range result {
		if !slices.Contains(o.flags, dropoff.ImpossibleSpeed) {
			continue
		}
		all++
		switch {
		case overlap(rides, i) != "":
			twice++
		case slices.Contains(o.flags, dropoff.EarlyArrival):
			tapped++
		}
	}
	fmt.Fprintf(out, "Of %d impossible speeds in all, %d are of riders on two rides at once and %d of other early taps\n", all, twice, tapped)
}

// listRest goes through some of the rides that are no early taps and lists those whose times or places
// are flagged.
func listRest(out io.Writer, rides []ride, result []outcome, rest []int) {
	rng := rand.New(rand.NewPCG(500, 1))
	rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	some := rest[:min(looked, len(rest))]
	slices.Sort(some)
	missing, listed := 0, 0
	fmt.Fprintf(out, "\nOf %d others, drawn at random, flagged for more than a photo that was not taken:\n", len(some))
	for _, i := range some {
		if slices.Contains(result[i].flags, dropoff.PhotoMissing) {
			missing++
		}
		odd := slices.DeleteFunc(slices.Clone(result[i].flags), func(f string) bool { return f == dropoff.PhotoMissing })
		if len(odd) == 0 {
			continue
		}
		listed++
		r := &rides[i]
		s := r.atDest.Sub(r.picked).Seconds()
		fmt.Fprintf(out, "  %-9s %-40v %6.0f m in %5.0f s (%3.0f km/h)%s\n", r.id, odd, r.metres(), s, 3.6*r.metres()/s, overlap(rides, i))
	}
	fmt.Fprintf(out, "  %d listed; %d without a photo, flagged as they should be\n", listed, missing)
}

// overlap says that another ride of the same rider went on at the same time, if one did: two of different
// months then, or two parcels on one ride.
func overlap(rides []ride, i int) string {
	for j := range rides {
		a, b := &rides[i], &rides[j]
		if i != j && a.rider == b.rider && a.picked.Before(b.atDest) && b.picked.Before(a.atDest) {
			return "; the rider is on " + b.id + " as well"
		}
	}
	return ""
}
