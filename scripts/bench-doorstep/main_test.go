package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/dropoff"
)

const data = "../../../shared/data"

func withData(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(data); err != nil {
		t.Skipf("THE RECORDED DATA ARE ABSENT, nothing was tested: %v", err)
	}
}

// Two riders: one rides, one taps both buttons at once.
func TestARideGoesThroughTheBooks(t *testing.T) {
	at := func(minutes int) time.Time { return firstDay.Add(time.Duration(minutes) * time.Minute) }
	door := geo.Point{Lat: -1.3, Lng: 36.8}
	a := ride{id: "A", rider: "1", store: "S", placed: at(0), confirmed: at(1), reached: at(5), picked: at(10), atDest: at(30),
		pickUp: geo.Point{Lat: -1.27, Lng: 36.8}, door: door}
	b := a
	b.id, b.rider, b.atDest = "B", "2", b.picked.Add(4*time.Second)
	out, err := replayRides(t.Context(), []ride{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(out[0].flags, dropoff.EarlyArrival) || !slices.Contains(out[1].flags, dropoff.EarlyArrival) {
		t.Errorf("flags %v and %v: only the second came too early", out[0].flags, out[1].flags)
	}
	if !strings.Contains("ABCD", out[0].grade) || out[0].grade == "" {
		t.Errorf("grade %q", out[0].grade)
	}
}

func TestRecordedRidesThroughTheBooks(t *testing.T) {
	withData(t)
	rides, err := readRides(data)
	if err != nil {
		t.Fatal(err)
	}
	rides = rides[:400]
	out, err := replayRides(t.Context(), rides)
	if err != nil {
		t.Fatal(err)
	}
	early := 0
	for i, r := range rides {
		if r.early() {
			early++
		}
		if is := slices.Contains(out[i].flags, dropoff.EarlyArrival); is != (r.early() || 3.6*r.metres()/r.atDest.Sub(r.picked).Seconds() > 120) {
			t.Errorf("ride %s: %.0f m in %s, flagged: %v", r.id, r.metres(), r.atDest.Sub(r.picked), out[i].flags)
		}
		if slices.Contains(out[i].flags, dropoff.ClockSkew) {
			t.Errorf("ride %s: no clock was wrong", r.id)
		}
	}
	if early == 0 {
		t.Error("no early tap among them: nothing was tested")
	}
}

func TestFencesAreMeasured(t *testing.T) {
	withData(t)
	var out strings.Builder
	if err := fencePart(&out, data); err != nil {
		t.Fatal(err)
	}
	list, rows, err := readPickUps(data)
	if err != nil || len(list) != 2544 || rows["Hangzhou"] != 1156 {
		t.Errorf("%d positions, rows %v, %v", len(list), rows, err)
	}
	f := measure(list, 1)
	for i := 1; i < len(radii); i++ {
		if f.own[i] < f.own[i-1] || f.city[i] < f.city[i-1] || f.same[i] < f.same[i-1] {
			t.Error("a wider fence holds fewer")
		}
		if f.own[i] <= f.same[i] || f.same[i] <= f.city[i] {
			t.Errorf("at %.0f m: own %.3f, same courier %.3f, same city %.3f", radii[i], f.own[i], f.same[i], f.city[i])
		}
	}
}

func TestWithoutDataARunSaysSoAndFails(t *testing.T) {
	var out strings.Builder
	err := run(t.Context(), []string{"-data", filepath.Join(t.TempDir(), "none")}, &out, io.Discard)
	if err == nil || !strings.Contains(out.String(), "ABSENT") || !strings.Contains(err.Error(), "rides, fence") {
		t.Errorf("%v, having printed %s", err, out.String())
	}
	if err := run(t.Context(), []string{"-only", "fruit"}, io.Discard, io.Discard); err == nil {
		t.Error("an unknown part is run")
	}
}
