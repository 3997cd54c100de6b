package dropoff

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
)

// doorway draws a made-up photo of a parcel before a door: all have the same parts, as photos of doors
// do, at places and in shades of their own, under a light that falls from somewhere, with the grain of
// a phone's sensor.
func doorway(seed uint64, w, h int) *image.RGBA {
	rng := rand.New(rand.NewPCG(seed, 11))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	shade := func() color.RGBA {
		return color.RGBA{uint8(40 + rng.IntN(200)), uint8(40 + rng.IntN(200)), uint8(40 + rng.IntN(200)), 255}
	}
	fill := func(c color.Color, x0, y0, x1, y1 float64) {
		r := image.Rect(int(x0*float64(w)), int(y0*float64(h)), int(x1*float64(w)), int(y1*float64(h)))
		draw.Draw(img, r, image.NewUniform(c), image.Point{}, draw.Src)
	}
	floor := 0.6 + 0.25*rng.Float64()
	fill(shade(), 0, 0, 1, floor)
	fill(shade(), 0, floor, 1, 1)
	left, wide := 0.6*rng.Float64(), 0.25+0.3*rng.Float64()
	fill(shade(), left, 0.1+0.1*rng.Float64(), left+wide, floor)
	for range 2 + rng.IntN(5) { // windows, pots, letter boxes
		x, y := rng.Float64(), rng.Float64()
		fill(shade(), x, y, x+0.05+0.25*rng.Float64(), y+0.05+0.25*rng.Float64())
	}
	x, size := left+0.3*rng.Float64(), 0.12+0.15*rng.Float64()
	fill(color.RGBA{186, 140, 86, 255}, x, 0.95-size, x+1.2*size, 0.95)
	sin, cos := math.Sincos(2 * math.Pi * rng.Float64())
	for y := range h {
		for x := range w {
			light := 1 + 0.35*(cos*(float64(x)/float64(w)-0.5)+sin*(float64(y)/float64(h)-0.5))
			grain := 10 * (rng.Float64() - 0.5)
			p := img.Pix[img.PixOffset(x, y):]
			for i := range 3 {
				p[i] = uint8(min(255, max(0, float64(p[i])*light+grain)))
			}
		}
	}
	return img
}

// copies are what becomes of a photo on its way from hand to hand.
var copies = []struct {
	name  string
	of    func(*image.RGBA) image.Image
	found float64 // share that must be found
}{
	{"encoded again at quality 30", func(img *image.RGBA) image.Image { return recoded(img, 30) }, 0.97},
	{"scaled to 40 %", func(img *image.RGBA) image.Image { return moved(img, 0.4, 0, 0) }, 0.97},
	{"brighter by 30 %", func(img *image.RGBA) image.Image { return exposed(img, 1.3, 0) }, 0.92},
	{"darker by 30 %", func(img *image.RGBA) image.Image { return exposed(img, 0.7, 0) }, 0.97},
	{"paler", func(img *image.RGBA) image.Image { return exposed(img, 0.6, 60) }, 0.97},
	{"cropped by 2 % on each side", func(img *image.RGBA) image.Image { return moved(img, 1, 0, 0.02) }, 0.95},
	{"cropped by 5 % on each side", func(img *image.RGBA) image.Image { return moved(img, 1, 0, 0.05) }, 0.3},
	{"turned by 1 degree", func(img *image.RGBA) image.Image { return moved(img, 1, 1, 0.01) }, 0.97},
	{"turned by 3 degrees", func(img *image.RGBA) image.Image { return moved(img, 1, 3, 0.03) }, 0.45},
}

func recoded(img image.Image, quality int) image.Image {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		panic(err)
	}
	out, err := jpeg.Decode(&b)
	if err != nil {
		panic(err)
	}
	return out
}

func exposed(img *image.RGBA, factor, lift float64) image.Image {
	out := image.NewRGBA(img.Rect)
	for i, v := range img.Pix {
		out.Pix[i] = uint8(min(255, float64(v)*factor+lift))
		if i%4 == 3 {
			out.Pix[i] = 255
		}
	}
	return out
}

// moved scales, turns and crops img: crop is the share that is cut from each side.
func moved(img *image.RGBA, scale, degrees, crop float64) image.Image {
	w, h := float64(img.Rect.Dx()), float64(img.Rect.Dy())
	out := image.NewRGBA(image.Rect(0, 0, int(w*scale*(1-2*crop)), int(h*scale*(1-2*crop))))
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	cx, cy := float64(out.Rect.Dx())/2, float64(out.Rect.Dy())/2
	at := f64.Aff3{scale * cos, -scale * sin, cx - scale*(cos*w/2-sin*h/2), scale * sin, scale * cos, cy - scale*(sin*w/2+cos*h/2)}
	draw.BiLinear.Transform(out, at, img, img.Rect, draw.Src, nil)
	return out
}

// Copies are found and strangers are not. The floors lie below what was measured on 200 larger
// pictures (see alikeBits); no picture of a real door was at hand.
func TestLooks(t *testing.T) {
	const pictures = 40
	looks := make([]Look, pictures)
	found := make([]int, len(copies))
	for i := range looks {
		img := doorway(uint64(i), 128, 96)
		looks[i] = lookOf(shrink(img))
		for j, c := range copies {
			if looks[i].Alike(lookOf(shrink(recoded(c.of(img), 70)))) {
				found[j]++
			}
		}
	}
	for j, c := range copies {
		share := float64(found[j]) / pictures
		t.Logf("%-30s %3.0f %% found", c.name, 100*share)
		if share < c.found {
			t.Errorf("%s: %.2f of the copies are found, want %.2f", c.name, share, c.found)
		}
	}
	mistaken := 0
	for i := range looks {
		for j := range i {
			if looks[i].Alike(looks[j]) {
				mistaken++
			}
		}
	}
	pairs := pictures * (pictures - 1) / 2
	t.Logf("%d of %d pairs of different pictures look alike", mistaken, pairs)
	if mistaken > 1 {
		t.Errorf("%d of %d pairs of different pictures look alike, want at most 1", mistaken, pairs)
	}
}

func TestLookOfAnyPicture(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {16, 16}, {31, 33}, {16, 1600}, {1600, 16}} {
		img := image.NewRGBA(image.Rect(0, 0, size.X, size.Y))
		draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
		if l := lookOf(img); !l.Alike(l) {
			t.Errorf("%v does not look like itself", size)
		}
	}
	// A part of a larger picture looks as it does on its own.
	whole := doorway(1, 320, 240)
	part, own := whole.SubImage(image.Rect(40, 30, 200, 150)).(*image.RGBA), image.NewRGBA(image.Rect(0, 0, 160, 120))
	draw.Draw(own, own.Rect, part, part.Rect.Min, draw.Src)
	if a, b := lookOf(part), lookOf(own); a != b {
		t.Errorf("the same pixels look like %x and %x", a, b)
	}
}

// Whatever the pixels are, a picture looks like itself, in a frame or out of it.
func FuzzLookOf(f *testing.F) {
	f.Add(uint8(1), uint8(1), []byte{})
	f.Add(uint8(32), uint8(32), []byte("some pixels"))
	f.Add(uint8(255), uint8(3), bytes.Repeat([]byte{0, 255}, 900))
	f.Fuzz(func(t *testing.T, w, h uint8, pixels []byte) {
		if w == 0 || h == 0 {
			return
		}
		img := image.NewRGBA(image.Rect(0, 0, int(w), int(h)))
		for i := range img.Pix {
			if img.Pix[i] = 255; i%4 < 3 && len(pixels) > 0 {
				img.Pix[i] = pixels[i%len(pixels)]
			}
		}
		framed := image.NewRGBA(image.Rect(0, 0, int(w)+3, int(h)+2))
		draw.Draw(framed, img.Rect.Add(image.Pt(2, 1)), img, image.Point{}, draw.Src)
		inner := framed.SubImage(img.Rect.Add(image.Pt(2, 1))).(*image.RGBA)
		if a, b := lookOf(img), lookOf(inner); a != b || !a.Alike(a) {
			t.Errorf("it looks like %x, in a frame like %x", a, b)
		}
	})
}

func BenchmarkLookOf(b *testing.B) {
	img := doorway(1, keptSide, keptSide*3/4)
	b.ReportAllocs()
	for b.Loop() {
		lookOf(img)
	}
}
