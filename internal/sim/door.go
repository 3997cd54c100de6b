package sim

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math/rand/v2"
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

// doorPhoto draws a parcel before a door, a small JPEG of 2 or 3 KB: less than the rows of its order. Each
// drop-off has one of its own, since a photo that proves two is flagged, and so is one that only looks
// like another: so walls, doors and what stands about lie elsewhere in each.
func doorPhoto(seed uint64) []byte {
	const width, height = 96, 128
	rng := rand.New(rand.NewPCG(seed, 3))
	shade := func() color.Color {
		return color.RGBA{uint8(40 + rng.IntN(210)), uint8(40 + rng.IntN(210)), uint8(40 + rng.IntN(210)), 255}
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	fill := func(c color.Color, x, y, w, h int) {
		draw.Draw(img, image.Rect(x, y, x+w, y+h), image.NewUniform(c), image.Point{}, draw.Src)
	}
	floor := 70 + rng.IntN(45)
	left, wide := rng.IntN(60), 24+rng.IntN(26)
	fill(shade(), 0, 0, width, floor)                     // the wall
	fill(shade(), 0, floor, width, height-floor)          // the ground
	fill(color.White, left-2, 12, wide+4, floor-12)       // the frame
	fill(shade(), left, 14, wide, floor-14)               // the door
	fill(color.Black, left+wide-6, 14+(floor-14)/2, 4, 6) // its knob
	fill(color.Gray{70}, left-4, floor, wide+8, 5)        // the mat
	for range 2 + rng.IntN(5) {                           // windows, pots, bicycles
		fill(shade(), rng.IntN(width), rng.IntN(height), 6+rng.IntN(26), 6+rng.IntN(26))
	}
	x, size := left+rng.IntN(30), 14+rng.IntN(14)
	fill(color.RGBA{186, 140, 86, 255}, x, height-8-size, size+6, size)    // the parcel
	fill(color.RGBA{222, 190, 140, 255}, x+size/2, height-8-size, 4, size) // its tape
	var out bytes.Buffer
	// Encoding to memory fails only for sizes that JPEG cannot hold.
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 80}); err != nil {
		panic(err)
	}
	return out.Bytes()
}
