package main

import (
	"bufio"
	"math"
	"net"
	"testing"

	"pgregory.net/rapid"

	"doorstep/geo"
)

// pair is a place where stores are, and one up to 3 km from it.
func pair(t *rapid.T) (from, to geo.Point) {
	from = geo.Point{Lat: rapid.Float64Range(-45, 45).Draw(t, "lat"), Lng: rapid.Float64Range(-179, 179).Draw(t, "lng")}
	m, way := rapid.Float64Range(0, 3000).Draw(t, "m"), rapid.Float64Range(0, 2*math.Pi).Draw(t, "way")
	const degree = geo.EarthRadiusM * radian
	to = geo.Point{Lat: from.Lat + m*math.Sin(way)/degree, Lng: from.Lng + m*math.Cos(way)/degree/math.Cos(from.Lat*radian)}
	return from, to
}

// What the peers rank by is right to what is said of it: else their answers would not be ours.
func TestPlanesMeasureAsTheSphere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := pair(t)
		want := geo.DistanceM(from, to)
		f := flatAt(from, serviceM+10)
		if got := geo.EarthRadiusM * math.Sqrt(f.to(to.Lng, to.Lat)); math.Abs(got-want) > 1e-4 {
			t.Errorf("flat: %v m from %v to %v, want %v", got, from, to, want)
		}
		x1, y1 := mercator(from)
		x2, y2 := mercator(to)
		if got := math.Hypot(x2-x1, y2-y1) / stretch(from.Lat); math.Abs(got-want) > toleranceM {
			t.Errorf("Mercator: %v m from %v to %v, want %v", got, from, to, want)
		}
	})
}

func TestABoxIsNeverFartherThanWhatLiesInIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := pair(t)
		span := rapid.Float64Range(0, 0.05)
		low := [2]float64{to.Lng - span.Draw(t, "west"), to.Lat - span.Draw(t, "south")}
		high := [2]float64{to.Lng + span.Draw(t, "east"), to.Lat + span.Draw(t, "north")}
		f := flatAt(from, serviceM+10)
		if box, point := f.toBox(low, high), f.to(to.Lng, to.Lat); box > point*(1+1e-9) {
			t.Errorf("from %v: the box %v to %v is %v away, and %v in it %v", from, low, high, box, to, point)
		}
	})
}

// A town small enough to be searched by hand: whatever the peers in our process find, brute force finds.
func TestPeersInProcessFindWhatBruteForceFinds(t *testing.T) {
	w, err := clustered(2000, 500)
	if err != nil {
		t.Fatal(err)
	}
	o, err := newOurs(w)
	if err != nil {
		t.Fatal(err)
	}
	r := &race{bench: &bench{ctx: t.Context()}, w: w, ours: o}
	if err := r.bruteForce(); err != nil {
		t.Error(err)
	}
	for i, start := range []func(*bench, string, *world) (peer, error){startNearby, startBoxes, startSQLite} {
		p, err := start(r.bench, t.TempDir(), w)
		if err != nil {
			t.Fatal(err)
		}
		if others, err := r.check(p, r.share()); others != 0 || err != nil {
			t.Errorf("peer %d: %d other stores, %v", i, others, err)
		}
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}
}

// A peer that answers wrongly is not timed.
func TestAWrongAnswerIsSeen(t *testing.T) {
	w := &world{shops: []shop{
		{at: geo.Point{Lat: 30, Lng: 110}, ready: 1},
		{at: geo.Point{Lat: 30.000001, Lng: 110}, ready: 1},
		{at: geo.Point{Lat: 30.001, Lng: 110}, ready: 1},
		{at: geo.Point{Lat: 30, Lng: 110}, ready: 2},
	}}
	r, a := &race{w: w}, &ask{at: geo.Point{Lat: 30, Lng: 110}, radiusM: 500}
	best := w.answer(a, 0)
	for shop, want := range map[int]bool{0: true, 1: true, 2: false, 3: false} {
		if got := r.alike(a, w.answer(a, shop), best); got != want {
			t.Errorf("store %d for store 0: %v, want %v", shop, got, want)
		}
	}
	if r.alike(a, nobody, best) {
		t.Error("nobody passes for store 0")
	}
}

func TestRedisIsSpokenToByTheBook(t *testing.T) {
	here, there := net.Pipe()
	p := &redisPeer{w: &world{shops: make([]shop, 300)}, conn: here, in: bufio.NewReader(here)}
	w := p.w
	w.shops[7].ready, w.shops[12].ready = 1, 1
	heard := make(chan string, 1)
	go func() {
		text := make([]byte, 4096)
		n, _ := there.Read(text)
		heard <- string(text[:n])
		_, _ = there.Write([]byte("*3\r\n$3\r\n299\r\n$1\r\n7\r\n$2\r\n12\r\n"))
		_ = there.Close()
	}()
	found, err := p.nearest(&ask{at: geo.Point{Lat: 0, Lng: 0}, radiusM: 100})
	if err != nil || found.shop != 7 {
		t.Errorf("the first that fits is %v, %v", found, err)
	}
	want := "*9\r\n$9\r\nGEOSEARCH\r\n$5\r\nshops\r\n$10\r\nFROMLONLAT\r\n$1\r\n0\r\n$1\r\n0\r\n$8\r\nBYRADIUS\r\n$6\r\n101.03\r\n$1\r\nm\r\n$3\r\nASC\r\n"
	if got := <-heard; got != want {
		t.Errorf("asked with %q, want %q", got, want)
	}
	if _, err := p.nearest(&ask{radiusM: 100}); err == nil {
		t.Error("a closed connection is no error")
	}
}
