package dropoff

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/order"
)

// tap is a recorded ride as its rider tapped it.
type tap struct {
	id       string
	seconds  float64 // from pick-up to arrival
	from, to geo.Point
}

// nairobi reads the recorded rides; without them the test is skipped.
func nairobi(t *testing.T) (taps []tap) {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", "orders_nairobi_sendy.csv")
	f, err := os.Open(path)
	if err != nil {
		t.Skipf("THE RECORDED RIDES ARE ABSENT, nothing was tested: %v", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	number := func(row []string, column string) float64 {
		x, err := strconv.ParseFloat(row[slices.Index(rows[0], column)], 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, row := range rows[1:] {
		taps = append(taps, tap{row[0], number(row, "pickup_to_arrival_s"),
			geo.Point{Lat: number(row, "pickup_lat"), Lng: number(row, "pickup_lng")}, geo.Point{Lat: number(row, "drop_lat"), Lng: number(row, "drop_lng")}})
	}
	return taps
}

// Of the recorded rides, all that "arrive" within a minute are flagged, and of the others only those
// that would have had to go straight through the town at more than 120 km/h.
func TestEarlyTapsInNairobiAreAllFlagged(t *testing.T) {
	early, flagged, tooFast := 0, 0, 0
	for _, r := range nairobi(t) {
		metres, fix := geo.DistanceM(r.from, r.to), 12.
		o := &order.Order{Dropoff: r.to, Mode: order.LeaveAtDoor, DistanceM: int(metres + 0.5), CreatedAt: noon.Add(-time.Hour)}
		arrival := noon.Add(time.Duration(r.seconds * float64(time.Second)))
		chain := Chain{{ID: "a", Attempt: 1, Type: Arrived, OccurredAt: arrival, RecordedAt: arrival, Location: &r.to, AccuracyM: &fix}}
		flags := chain.Flags(o, &order.UsualPolicy, noon, Facts{PickedUp: noon})
		is := slices.Contains(flags, EarlyArrival)
		if len(flags) > 1 || len(flags) == 1 && !is {
			t.Errorf("ride %s: %v", r.id, flags)
		}
		switch fast := metres/r.seconds > 120/3.6; {
		case r.seconds <= 60:
			early++
			if is {
				flagged++
			}
		case is && fast:
			tooFast++
		case is:
			t.Errorf("ride %s is flagged: %.0f m in %.0f s", r.id, metres, r.seconds)
		}
	}
	if early != 478 || flagged != early || tooFast != 52 {
		t.Errorf("%d early taps, %d flagged, and %d others for their speed; want 478, 478 and 52", early, flagged, tooFast)
	}
}
