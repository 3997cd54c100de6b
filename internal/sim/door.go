package sim

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math/rand/v2"
	"sync"
	"time"
)

// doorEvent is an event of o's present attempt. Its id follows from what it is, so sending it again
// after a lost answer is a duplicate and no second event.
func doorEvent(o Order, kind string, at time.Time) DoorEvent {
	attempt := max(1, o.Attempts)
	return DoorEvent{ID: fmt.Sprintf("%s-%d-%s", o.ID, attempt, kind), OrderID: o.ID, Attempt: attempt, Type: kind, OccurredAt: at.UTC()}
}

// arrival is the runner at o's door, within some metres of it.
func arrival(o Order, at time.Time) DoorEvent {
	d := dice{o.ID, o.Attempts}
	e := doorEvent(o, "arrived", at)
	fix := round(offset(o.Dropoff.Location.point(), vector{16*d.roll("east") - 8, 16*d.roll("north") - 8}))
	fix.AccuracyM = 4 + float64(int(8*d.roll("sky")))
	e.Location = &fix
	return e
}

// handOver is the rest of the story once the runner has arrived: from hand to hand, or put down,
// rung for and left. The events are some milliseconds apart and the last happened at now: the server
// believes no time to come.
func handOver(o Order, photo, pin string, now time.Time) []DoorEvent {
	kinds := []string{"placed", "signalled", "stepped_away", "completed"}
	if o.Dropoff.Mode == "hand_over" {
		kinds = []string{"handed_over", "completed"}
	}
	events := make([]DoorEvent, len(kinds))
	for i, kind := range kinds {
		e := doorEvent(o, kind, now.Add(time.Duration(i+1-len(kinds))*time.Millisecond))
		switch kind {
		case "placed":
			e.PhotoSHA256 = photo
		case "handed_over":
			e.PhotoSHA256, e.PIN = photo, pin
		case "signalled":
			e.Signal = "bell"
		case "stepped_away":
			e.Method, e.DistanceM = "photo_from_distance", 3
		}
		events[i] = e
	}
	return events
}

// doors is how many different photos there are: enough to look alive, few enough that a demo that
// runs for weeks keeps no more than these.
const doors = 48

var photos [doors]struct {
	once sync.Once
	jpeg []byte
}

// doorPhoto returns the n-th picture of a parcel before a door, a JPEG of some KB.
func doorPhoto(n int) []byte {
	p := &photos[n%doors]
	p.once.Do(func() { p.jpeg = drawDoor(uint64(n % doors)) })
	return p.jpeg
}

func drawDoor(seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 3))
	shade := func() color.Color {
		return color.RGBA{uint8(60 + rng.IntN(180)), uint8(60 + rng.IntN(180)), uint8(60 + rng.IntN(180)), 255}
	}
	img := image.NewRGBA(image.Rect(0, 0, 240, 320))
	fill := func(c color.Color, x0, y0, x1, y1 int) {
		draw.Draw(img, image.Rect(x0, y0, x1, y1), image.NewUniform(c), image.Point{}, draw.Src)
	}
	left := 45 + rng.IntN(40)
	fill(shade(), 0, 0, 240, 260)                                // the wall
	fill(color.Gray{uint8(90 + rng.IntN(60))}, 0, 260, 240, 320) // the ground
	fill(color.White, left-5, 45, left+115, 260)                 // the frame
	fill(shade(), left, 50, left+110, 260)                       // the door
	fill(color.Black, left+95, 150, left+103, 165)               // its knob
	fill(color.Gray{70}, left-10, 260, left+120, 272)            // the mat
	x, size := left+10+rng.IntN(60), 35+rng.IntN(25)
	fill(color.RGBA{186, 140, 86, 255}, x, 280-size, x+size+15, 280)          // the parcel
	fill(color.RGBA{222, 190, 140, 255}, x+size/2, 280-size, x+size/2+8, 280) // its tape
	var out bytes.Buffer
	// Encoding to memory fails only for sizes that JPEG cannot hold.
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 80}); err != nil {
		panic(err)
	}
	return out.Bytes()
}
