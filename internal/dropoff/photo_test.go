package dropoff

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// ---- stories ----

// How a phone held in eight ways stores the same view. The stored corners are
// written out by hand from EXIF's definition of the tag (where row 0 and column 0
// belong), so that they do not repeat the code's arithmetic.
func TestPhotoIsKeptUpright(t *testing.T) {
	const view = "RG/BW"
	stored := []string{1: "RG/BW", 2: "GR/WB", 3: "WB/GR", 4: "BW/RG", 5: "RB/GW", 6: "GW/RB", 7: "WG/BR", 8: "BR/WG"}
	for orientation := 1; orientation <= 8; orientation++ {
		w, h := 64, 48
		if orientation >= 5 {
			w, h = h, w
		}
		img := quadrants(w, h, stored[orientation])
		little := exifBlock(binary.LittleEndian, orientation, "")
		big := exifBlock(binary.BigEndian, orientation, "")
		files := map[string][]byte{
			"JPEG, little endian": jpegFile(t, img, segment(markerAPP1, exifHeader+little)),
			"JPEG, big endian":    jpegFile(t, img, segment(markerAPP1, exifHeader+big)),
			"JPEG, XMP first":     jpegFile(t, img, segment(markerAPP1, "http://ns.adobe.com/xap/1.0/\x00<x/>"), segment(markerAPP1, exifHeader+big)),
			"PNG":                 pngFile(t, img, pngChunk("eXIf", big)),
			"WebP":                webpFile(vp8x(w, h, 0), riffChunk("VP8L", vp8l(img)), riffChunk("EXIF", little)),
			"WebP, JPEG header":   webpFile(vp8x(w, h, 0), riffChunk("VP8L", vp8l(img)), riffChunk("EXIF", exifHeader+little)),
		}
		for name, raw := range files {
			t.Run(fmt.Sprintf("%s, orientation %d", name, orientation), func(t *testing.T) {
				p := sanitized(t, raw)
				if p.Width != 64 || p.Height != 48 {
					t.Errorf("kept %d x %d, want 64 x 48", p.Width, p.Height)
				}
				if got := corners(t, p); got != view {
					t.Errorf("kept corners %s, want %s", got, view)
				}
			})
		}
	}
}

func TestOddOrientationIsNoReasonToRefuse(t *testing.T) {
	for name, block := range map[string]string{
		"orientation 0":       exifBlock(binary.BigEndian, 0, ""),
		"orientation 9":       exifBlock(binary.BigEndian, 9, ""),
		"empty":               "",
		"header only":         "II*\x00",
		"directory far away":  "II*\x00\xff\xff\xff\xff",
		"directory cut":       exifBlock(binary.BigEndian, 6, "")[:12],
		"entries missing":     "MM\x00*\x00\x00\x00\x08\xff\xff",
		"not TIFF":            "no such thing at all",
		"orientation as LONG": "MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x04\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			p := sanitized(t, jpegFile(t, quadrants(64, 48, "RG/BW"), segment(markerAPP1, exifHeader+block)))
			if got := corners(t, p); got != "RG/BW" {
				t.Errorf("kept corners %s, want them as stored", got)
			}
		})
	}
}

// Everything that can ride along in a photo is planted and must be gone.
func TestNothingButThePictureIsKept(t *testing.T) {
	const secret = "SECRET-52.3731N-4.8922E"
	img := quadrants(64, 48, "RG/BW")
	exif := exifBlock(binary.LittleEndian, 1, secret)
	zip := "PK\x03\x04" + secret
	page := "<html><script>" + secret + "</script></html>"
	files := map[string][]byte{
		"JPEG EXIF with GPS":     jpegFile(t, img, segment(markerAPP1, exifHeader+exif)),
		"JPEG XMP":               jpegFile(t, img, segment(markerAPP1, "http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta>"+secret)),
		"JPEG colour profile":    jpegFile(t, img, segment(0xe2, "ICC_PROFILE\x00\x01\x01"+secret)),
		"JPEG Photoshop":         jpegFile(t, img, segment(0xed, "Photoshop 3.0\x008BIM"+secret)),
		"JPEG comment":           jpegFile(t, img, segment(0xfe, secret)),
		"JPEG followed by ZIP":   append(jpegFile(t, img), zip...),
		"JPEG followed by HTML":  append(jpegFile(t, img), page...),
		"JPEG followed by JPEG":  append(jpegFile(t, img), jpegFile(t, img, segment(0xfe, secret))...),
		"JPEG, HTML in comment":  jpegFile(t, img, segment(0xfe, page)),
		"PNG text":               pngFile(t, img, pngChunk("tEXt", "Location\x00"+secret)),
		"PNG compressed text":    pngFile(t, img, pngChunk("zTXt", "Location\x00\x00"+deflated(secret))),
		"PNG XMP":                pngFile(t, img, pngChunk("iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00"+secret)),
		"PNG EXIF with GPS":      pngFile(t, img, pngChunk("eXIf", exif)),
		"PNG followed by ZIP":    append(pngFile(t, img), zip...),
		"WebP EXIF and XMP":      webpFile(vp8x(64, 48, 0), riffChunk("VP8L", vp8l(img)), riffChunk("EXIF", exif), riffChunk("XMP ", secret)),
		"WebP colour profile":    webpFile(vp8x(64, 48, 0), riffChunk("ICCP", secret), riffChunk("VP8L", vp8l(img))),
		"WebP followed by a ZIP": append(webpFile(riffChunk("VP8L", vp8l(img))), zip...),
	}
	for name, raw := range files {
		t.Run(name, func(t *testing.T) {
			if !bytes.Contains(raw, []byte(secret)) && !bytes.Contains(raw, []byte("zTXt")) {
				t.Fatal("the secret was not planted")
			}
			p := sanitized(t, raw)
			if bytes.Contains(p.JPEG, []byte("SECRET")) {
				t.Error("the secret is still there")
			}
			if got := corners(t, p); got != "RG/BW" {
				t.Errorf("corners %s: the picture itself was lost", got)
			}
		})
	}
}

func TestBombsAreRefusedBeforeDecoding(t *testing.T) {
	tests := []struct {
		name   string
		raw    []byte
		code   string
		detail string
	}{
		{"PNG header of 50000 x 50000", pngHeader(50_000, 50_000, 8, 2, 0), PhotoTooManyPixels, "50000 x 50000"},
		{"PNG of one colour, 41 megapixels", solidPNG(6400, 6400), PhotoTooManyPixels, "6400 x 6400"},
		{"PNG of 21000 x 100, long side", solidPNG(21_000, 100), PhotoTooManyPixels, "20000 a side"},
		{"PNG whose 16-bit passes need too much", pngHeader(6300, 6300, 16, 6, 1), PhotoTooManyPixels, "MiB"},
		{"JPEG header of 65535 x 65535", jpegHeader(65_535, 65_535), PhotoTooManyPixels, "65535 x 65535"},
		{"JPEG of 900 scans", progressiveJPEG(16, 16, 900), PhotoDamaged, "900 scans"},
		{"WebP of one colour, 268 megapixels in 40 bytes", webpFile(riffChunk("VP8L", vp8lSolid(16_384, 16_384))), PhotoTooManyPixels, "16384 x 16384"},
		{"WebP canvas of 16777216 x 100", webpFile(vp8x(1<<24, 100, 0)), PhotoTooManyPixels, "16777216 x 100"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Sanitize(t.Context(), tt.raw)
			runtime.ReadMemStats(&after)
			wantRefusal(t, err, tt.code, tt.detail)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
				t.Errorf("refusing took %d bytes of memory, want under 1 MiB", grown)
			}
		})
	}
}

func TestFileThatIsNoPhotoIsNamed(t *testing.T) {
	tests := []struct{ name, raw, code, detail string }{
		{"nothing", "", PhotoEmpty, "empty"},
		{"one byte too many", string(make([]byte, MaxUploadBytes+1)), PhotoTooLarge, "20971521 bytes"},
		{"SVG", `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`, PhotoType, "SVG"},
		{"SVG behind a declaration", "\ufeff\n<?xml version=\"1.0\"?><!-- x --><SVG/>", PhotoType, "SVG"},
		{"HTML", "<!DOCTYPE html><title>x</title>", PhotoType, "HTML"},
		{"HTML with an SVG in it", "<html><svg/></html>", PhotoType, "HTML"},
		{"XML", "<?xml version=\"1.0\"?><gpx/>", PhotoType, "XML"},
		{"GIF", "GIF89a\x40\x00\x40\x00", PhotoType, "GIF"},
		{"GIF with a JPEG in it", "GIF89a\xff\xd8\xff\xe0", PhotoType, "GIF"},
		{"HEIC", "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", PhotoType, "HEIC"},
		{"HEIF", "\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", PhotoType, "HEIC"},
		{"AVIF", "\x00\x00\x00\x18ftypavif\x00\x00\x00\x00", PhotoType, "AVIF"},
		{"MP4", "\x00\x00\x00\x18ftypisom\x00\x00\x00\x00", PhotoType, "MP4"},
		{"PDF", "%PDF-1.7\n", PhotoType, "PDF"},
		{"ZIP", "PK\x03\x04\x14\x00", PhotoType, "ZIP"},
		{"TIFF", "II*\x00\x08\x00\x00\x00", PhotoType, "TIFF"},
		{"BMP", "BM\x36\x00\x00\x00", PhotoType, "BMP"},
		{"plain words", "left at the door", PhotoType, "not an image"},
		{"half a magic number", "\xff\xd8", PhotoType, "not an image"},
		{"other RIFF", "RIFF\x04\x00\x00\x00WAVE", PhotoType, "not an image"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Sanitize(t.Context(), []byte(tt.raw))
			wantRefusal(t, err, tt.code, tt.detail)
		})
	}
}

func TestPhotoTooSmallToShowAnything(t *testing.T) {
	_, err := Sanitize(t.Context(), pngFile(t, quadrants(64, 15, "RG/BW")))
	wantRefusal(t, err, PhotoTooSmall, "64 x 15")
	if p := sanitized(t, pngFile(t, quadrants(16, 16, "RG/BW"))); p.Width != 16 || p.Height != 16 {
		t.Errorf("kept %d x %d, want 16 x 16", p.Width, p.Height)
	}
}

// An upload that broke off is refused wherever it broke: half a door is no evidence.
func TestCutFileIsDamaged(t *testing.T) {
	img := quadrants(64, 48, "RG/BW")
	for name, raw := range map[string][]byte{
		"JPEG":             jpegFile(t, img),
		"progressive JPEG": progressiveJPEG(64, 48, 1),
		"PNG":              pngFile(t, img),
		"lossless WebP":    webpFile(riffChunk("VP8L", vp8l(img))),
		"lossy WebP":       webpFile(riffChunk("VP8 ", lossyQuadrants())),
	} {
		t.Run(name, func(t *testing.T) {
			sanitized(t, raw)
			step := 1 + len(raw)/200
			for n := 12; n < len(raw)-1; n += step { // the very last byte may be padding
				_, err := Sanitize(t.Context(), raw[:n])
				wantRefusal(t, err, PhotoDamaged, "")
				if t.Failed() {
					t.Fatalf("cut to %d of %d bytes", n, len(raw))
				}
			}
		})
	}
}

func TestHeaderThatLiesAboutTheSizeIsDamaged(t *testing.T) {
	small := vp8l(quadrants(64, 48, "RG/BW"))
	_, err := Sanitize(t.Context(), webpFile(vp8x(640, 480, 0), riffChunk("VP8L", small)))
	wantRefusal(t, err, PhotoDamaged, "")

	liar := photoFormat{decode: func(io.Reader) (image.Image, error) { return image.NewGray(image.Rect(0, 0, 99, 99)), nil }}
	_, err = liar.picture(t.Context(), nil, image.Config{Width: 64, Height: 48})
	wantRefusal(t, err, PhotoDamaged, "99 x 99")
}

func TestDecoderThatPanicsMeansDamaged(t *testing.T) {
	broken := photoFormat{
		config: func(io.Reader) (image.Config, error) { panic("index out of range") },
		decode: func(io.Reader) (image.Image, error) { panic("index out of range") },
	}
	_, err := broken.measure([]byte("x"))
	wantRefusal(t, err, PhotoDamaged, "index out of range")
	_, err = broken.picture(t.Context(), []byte("x"), image.Config{})
	wantRefusal(t, err, PhotoDamaged, "index out of range")
}

func TestOtherEncodingsOfAPhoto(t *testing.T) {
	opaque := quadrants(64, 48, "RG/BW")
	paletted := image.NewPaletted(opaque.Rect, color.Palette{color.White, letters['R'], letters['G'], letters['B']})
	deep := image.NewNRGBA64(opaque.Rect)
	for y := range 48 {
		for x := range 64 {
			paletted.Set(x, y, opaque.At(x, y))
			deep.Set(x, y, opaque.At(x, y))
		}
	}
	for name, raw := range map[string][]byte{
		"PNG with a palette": pngFile(t, paletted),
		"PNG of 16 bits":     pngFile(t, deep),
		"lossy WebP":         webpFile(riffChunk("VP8 ", lossyQuadrants())),
		"transparent PNG":    pngFile(t, quadrants(64, 48, "RG/B-")),
		"transparent WebP":   webpFile(riffChunk("VP8L", vp8l(quadrants(64, 48, "RG/B-")))),
		"lossy WebP, alpha":  webpFile(vp8x(64, 48, 0x10), riffChunk("ALPH", lossyAlpha()), riffChunk("VP8 ", lossyUnderAlpha())),
	} {
		t.Run(name, func(t *testing.T) {
			if got := corners(t, sanitized(t, raw)); got != "RG/BW" {
				t.Errorf("kept corners %s, want RG/BW", got)
			}
		})
	}
	t.Run("progressive JPEG", func(t *testing.T) {
		p := sanitized(t, progressiveJPEG(64, 48, 3))
		if r, g, b, _ := decoded(t, p).At(32, 24).RGBA(); r>>8 != 128 || g != r || b != r {
			t.Errorf("kept colour %d %d %d, want mid grey", r>>8, g>>8, b>>8)
		}
	})
}

// A transparent pixel is drawn on white to the degree it is transparent.
func TestHalfTransparentIsHalfWhite(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 32, 32))
	for i := range img.Pix {
		img.Pix[i] = [4]byte{0, 0, 0, 128}[i%4]
	}
	got, _, _, _ := decoded(t, sanitized(t, pngFile(t, img))).At(16, 16).RGBA()
	if got >>= 8; got < 125 || got > 129 {
		t.Errorf("half transparent black became %d, want about 127", got)
	}
}

// A pattern of single black and white pixels shows at once if shrinking skips any.
func TestLargePhotoIsShrunkWithoutMoire(t *testing.T) {
	checks := image.NewGray(image.Rect(0, 0, 3520, 44))
	for i := range checks.Pix {
		checks.Pix[i] = byte((i%3520 + i/3520) % 2 * 255)
	}
	p := sanitized(t, pngFile(t, checks))
	if p.Width != 1600 || p.Height != 20 {
		t.Fatalf("kept %d x %d, want 1600 x 20", p.Width, p.Height)
	}
	img := decoded(t, p)
	for x := range p.Width {
		if got := color.GrayModel.Convert(img.At(x, 10)).(color.Gray).Y; got < 120 || got > 135 {
			t.Fatalf("pixel %d is %d, want an even grey near 127", x, got)
		}
	}
}

func TestShrunkSizeKeepsTheShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.IntRange(1, maxSide).Draw(t, "width")
		h := rapid.IntRange(1, maxSide).Draw(t, "height")
		gotW, gotH := shrunkSize(w, h)
		if max(w, h) <= keptSide {
			if gotW != w || gotH != h {
				t.Fatalf("%d x %d was changed to %d x %d", w, h, gotW, gotH)
			}
			return
		}
		if max(gotW, gotH) != keptSide || min(gotW, gotH) < 1 {
			t.Fatalf("%d x %d became %d x %d, want a longer side of %d", w, h, gotW, gotH, keptSide)
		}
		// The same shape within one pixel of the shorter side.
		if skew := gotW*h - gotH*w; max(skew, -skew) > max(w, h) {
			t.Fatalf("%d x %d became %d x %d, another shape", w, h, gotW, gotH)
		}
	})
}

func TestSameFileGivesSamePhoto(t *testing.T) {
	raw := jpegFile(t, quadrants(1700, 102, "RG/BW"), segment(markerAPP1, exifHeader+exifBlock(binary.BigEndian, 6, "")))
	want := sanitized(t, raw)
	if want.Width != 96 || want.Height != 1600 {
		t.Errorf("kept %d x %d, want 96 x 1600", want.Width, want.Height)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			got, err := Sanitize(t.Context(), bytes.Clone(raw))
			if err != nil || got.SHA256 != want.SHA256 || !bytes.Equal(got.JPEG, want.JPEG) {
				t.Errorf("another photo the second time (error %v)", err)
			}
		})
	}
	wg.Wait()
	if len(decoding.taken) != 0 {
		t.Errorf("%d MiB of the decoding budget were not given back", len(decoding.taken))
	}
}

// ---- waiting for memory ----

func TestCallerWhoLeftIsNotServed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Sanitize(ctx, jpegFile(t, quadrants(64, 48, "RG/BW")))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if len(decoding.taken) != 0 || len(decoding.turn) != 0 {
		t.Error("the cancelled call still holds memory")
	}
}

// A caller may leave while a decoder reads; the decoder then stops as well.
func TestDecodingStopsWhenTheCallerLeaves(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	endless := photoFormat{decode: func(r io.Reader) (image.Image, error) {
		if _, err := r.Read(make([]byte, 1)); err != nil {
			t.Errorf("first read: %v", err)
		}
		cancel()
		_, err := io.Copy(io.Discard, r)
		return nil, err
	}}
	_, err := endless.picture(ctx, make([]byte, 100), image.Config{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestBudgetIsServedInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		must := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		must(b.take(t.Context(), 6))
		var served []string
		go func() { must(b.take(t.Context(), 10)); served = append(served, "big") }()
		synctest.Wait()
		go func() { must(b.take(t.Context(), 1)); served = append(served, "small") }()
		synctest.Wait()
		if len(served) != 0 {
			t.Fatalf("%v served while 6 of 10 were held and a big one waited first", served)
		}
		b.give(6)
		synctest.Wait()
		if !slices.Equal(served, []string{"big"}) {
			t.Fatalf("served %v, want the big one alone", served)
		}
		b.give(10)
		synctest.Wait()
		if !slices.Equal(served, []string{"big", "small"}) {
			t.Fatalf("served %v, want the small one after it", served)
		}
	})
}

func TestBudgetTakesBackFromWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		if err := b.take(t.Context(), 6); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var collecting, queued error
		go func() { collecting = b.take(ctx, 8) }()
		synctest.Wait()
		go func() { queued = b.take(ctx, 1) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !errors.Is(collecting, context.Canceled) || !errors.Is(queued, context.Canceled) {
			t.Errorf("errors %v and %v, want context.Canceled for both", collecting, queued)
		}
		if len(b.taken) != 6 || len(b.turn) != 0 {
			t.Errorf("%d units and %d turns held, want the first caller's 6 and no turn", len(b.taken), len(b.turn))
		}
	})
}

// Photos as phones make them must always fit, whatever the estimate says of odd ones.
func TestOrdinaryPhotosFitTheBudget(t *testing.T) {
	full := image.Config{Width: 8000, Height: 5000, ColorModel: color.YCbCrModel}
	for name, survey := range map[string]func() (photoTraits, error){
		"JPEG": func() (photoTraits, error) { return surveyJPEG(jpegHeader(8000, 5000), full) },
		"PNG":  func() (photoTraits, error) { return surveyPNG(pngHeader(8000, 5000, 8, 6, 0), full) },
		"WebP": func() (photoTraits, error) { return surveyWebP(webpFile(vp8x(8000, 5000, 0)), full) },
	} {
		traits, err := survey()
		if err != nil {
			t.Fatal(err)
		}
		if mib := workingMiB(full, traits.bytesPerPixel); mib > decodeMiB {
			t.Errorf("%s of %d pixels is estimated at %d MiB, over the budget of %d", name, MaxPixels, mib, decodeMiB)
		}
	}
	phone := image.Config{Width: 4000, Height: 3000, ColorModel: color.YCbCrModel}
	traits, _ := surveyJPEG(jpegHeader(4000, 3000), phone)
	if n := decodeMiB / workingMiB(phone, traits.bytesPerPixel); n < 7 {
		t.Errorf("%d phone photos may be decoded at once, want 7", n)
	}
}

// ---- fuzzing ----

func FuzzSanitize(f *testing.F) {
	img := quadrants(24, 16, "RG/BW")
	exif := exifBlock(binary.BigEndian, 6, "secret")
	for _, seed := range [][]byte{
		nil,
		[]byte("<svg/>"),
		jpegFile(f, img, segment(markerAPP1, exifHeader+exif)),
		append(jpegFile(f, img), "PK\x03\x04"...),
		progressiveJPEG(16, 16, 2),
		pngFile(f, img, pngChunk("eXIf", exif)),
		pngFile(f, quadrants(24, 16, "RG/B-")),
		pngHeader(50_000, 50_000, 8, 2, 0),
		webpFile(vp8x(24, 16, 0), riffChunk("VP8L", vp8l(img)), riffChunk("EXIF", exif)),
		webpFile(riffChunk("VP8 ", lossyQuadrants())),
		webpFile(vp8x(64, 48, 0x10), riffChunk("ALPH", lossyAlpha()), riffChunk("VP8 ", lossyUnderAlpha())),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := Sanitize(t.Context(), raw)
		if len(decoding.taken) != 0 {
			t.Fatalf("%d MiB were not given back", len(decoding.taken))
		}
		var refusal *PhotoError
		if errors.As(err, &refusal) {
			return
		}
		if err != nil {
			t.Fatalf("error %v, want a *PhotoError", err)
		}
		wantOnlyThePicture(t, p)
	})
}

func FuzzExifOrientation(f *testing.F) {
	for orientation := range 10 {
		f.Add([]byte(exifBlock(binary.LittleEndian, orientation, "x")))
		f.Add([]byte(exifBlock(binary.BigEndian, orientation, "x")))
	}
	f.Add([]byte("II*\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, block []byte) {
		if got := exifOrientation(block); got < 1 || got > 8 {
			t.Errorf("orientation %d, want 1 to 8", got)
		}
	})
}

// ---- a phone's photo ----

// BenchmarkPhoto12MP is a photo of a 12-megapixel phone from its bytes to what is kept: time, the most
// memory that was in use at once, and what is kept.
func BenchmarkPhoto12MP(b *testing.B) {
	var file bytes.Buffer
	if err := jpeg.Encode(&file, phonePhoto(4000, 3000), &jpeg.Options{Quality: 96}); err != nil {
		b.Fatal(err)
	}
	raw := file.Bytes()
	runtime.GC()
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	watch := watchHeap()
	kept := 0
	for b.Loop() {
		p, err := Sanitize(b.Context(), raw)
		if err != nil {
			b.Fatal(err)
		}
		kept = len(p.JPEG)
	}
	b.ReportMetric(float64(watch())/(1<<20), "peak-MiB")
	b.ReportMetric(float64(kept), "kept-bytes")
	b.ReportMetric(float64(len(raw)), "sent-bytes")
}

// watchHeap looks at the heap every millisecond until stop, which tells by how much it has grown at most.
// What is garbage and not collected yet counts too, as it does for the machine.
func watchHeap() (stop func() uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() uint64 { metrics.Read(sample); return sample[0].Value.Uint64() }
	first, most := read(), uint64(0)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			most = max(most, read())
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		close(done)
		<-ended
		return most - min(first, most)
	}
}

// phonePhoto has edges, slopes and noise, so that it costs what a real one costs.
func phonePhoto(w, h int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	noise := rand.New(rand.NewPCG(1, 2))
	for y := range h {
		for x := range w {
			v := (x*255/w+y/7%64)&0xff ^ x/97%2*64
			n := noise.IntN(16)
			img.SetRGBA(x, y, color.RGBA{byte(v), byte(y * 255 / h), byte(v/2 + n), 255})
		}
	}
	return img
}

// ---- what is asked of a photo ----

func sanitized(t *testing.T, raw []byte) Photo {
	t.Helper()
	p, err := Sanitize(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	wantOnlyThePicture(t, p)
	return p
}

// wantOnlyThePicture checks that p is a baseline JPEG from first to last byte that
// holds tables and pixels, and that it is as large as it says.
func wantOnlyThePicture(t *testing.T, p Photo) {
	t.Helper()
	if p.SHA256 != sha256.Sum256(p.JPEG) {
		t.Error("the hash is not that of the kept bytes")
	}
	if !bytes.HasPrefix(p.JPEG, []byte("\xff\xd8\xff\xdb")) || bytes.Index(p.JPEG, []byte("\xff\xd9")) != len(p.JPEG)-2 {
		t.Error("the kept bytes do not start with tables and end with the picture")
	}
	jpegSegments(p.JPEG, func(marker byte, _ []byte) {
		if !slices.Contains([]byte{0xdb, 0xc0, 0xc4, markerSOS}, marker) {
			t.Errorf("segment %#x is kept, want quantisation, frame, Huffman and scan only", marker)
		}
	})
	if size := decoded(t, p).Bounds().Size(); size != image.Pt(p.Width, p.Height) || max(size.X, size.Y) > keptSide {
		t.Errorf("the picture is %v, declared %d x %d, at most %d allowed", size, p.Width, p.Height, keptSide)
	}
}

func wantRefusal(t *testing.T, err error, code, detail string) {
	t.Helper()
	var refusal *PhotoError
	if !errors.As(err, &refusal) {
		t.Errorf("error %v, want %s", err, code)
		return
	}
	if refusal.Code != code || !strings.Contains(refusal.Detail, detail) {
		t.Errorf("refused with %q, want code %s and detail with %q", refusal, code, detail)
	}
}

func decoded(t *testing.T, p Photo) image.Image {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(p.JPEG))
	if err != nil {
		t.Fatalf("kept bytes: %v", err)
	}
	return img
}

// letters are the colours of a test picture; '-' is transparent black.
var letters = map[byte]color.NRGBA{
	'R': {255, 0, 0, 255}, 'G': {0, 255, 0, 255}, 'B': {0, 0, 255, 255}, 'W': {255, 255, 255, 255}, '-': {},
}

// quadrants paints four quarters, named as "RG/BW": top left and right, bottom
// left and right.
func quadrants(w, h int, names string) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, letters[names[x*2/w+y*2/h*3]])
		}
	}
	return img
}

// corners names the colours in the middle of the four quarters of p.
func corners(t *testing.T, p Photo) string {
	t.Helper()
	img := decoded(t, p)
	name := func(x, y int) string {
		r, g, b, _ := img.At(x, y).RGBA()
		for letter, c := range letters {
			if near(r, c.R) && near(g, c.G) && near(b, c.B) && letter != '-' {
				return string(letter)
			}
		}
		return fmt.Sprintf("(%d %d %d)", r>>8, g>>8, b>>8)
	}
	left, right, top, bottom := p.Width/4, p.Width*3/4, p.Height/4, p.Height*3/4
	return name(left, top) + name(right, top) + "/" + name(left, bottom) + name(right, bottom)
}

func near(got uint32, want byte) bool {
	d := int(got>>8) - int(want)
	return max(d, -d) < 40
}

// ---- files, byte by byte ----

// exifBlock is a TIFF block with an orientation and a GPS directory that holds text.
func exifBlock(order binary.AppendByteOrder, orientation int, text string) string {
	header := "MM\x00*"
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		header = "II*\x00"
	}
	const ascii, short, long = 2, 3, 4
	b := order.AppendUint32([]byte(header), 8)
	entry := func(tag, kind uint16, count, value uint32) {
		b = order.AppendUint16(b, tag)
		b = order.AppendUint16(b, kind)
		b = order.AppendUint32(b, count)
		if kind == short { // a short stands in the first half of its field
			b = order.AppendUint16(b, uint16(value))
			b = order.AppendUint16(b, 0)
			return
		}
		b = order.AppendUint32(b, value)
	}
	const mainEnd = 8 + 2 + 2*12 + 4
	b = order.AppendUint16(b, 2)
	entry(orientationTag, short, 1, uint32(orientation))
	entry(0x8825, long, 1, mainEnd) // GPS directory
	b = order.AppendUint32(b, 0)
	b = order.AppendUint16(b, 1)
	entry(18, ascii, uint32(len(text)), mainEnd+2+12+4) // GPSMapDatum
	b = order.AppendUint32(b, 0)
	return string(b) + text
}

func segment(marker byte, body string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
}

// jpegFile encodes img and puts segments before everything else in the file.
func jpegFile(t testing.TB, img image.Image, segments ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return slices.Concat(b.Bytes()[:2], bytes.Join(segments, nil), b.Bytes()[2:])
}

// frame is the header of a JPEG frame of components without subsampling.
func frame(marker byte, w, h, components int) []byte {
	body := binary.BigEndian.AppendUint16([]byte{8}, uint16(h))
	body = append(binary.BigEndian.AppendUint16(body, uint16(w)), byte(components))
	for c := range components {
		body = append(body, byte(c+1), 0x11, 0)
	}
	return segment(marker, string(body))
}

func jpegHeader(w, h int) []byte {
	return slices.Concat([]byte("\xff\xd8"), segment(0xe0, "JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"), frame(0xc0, w, h, 3))
}

// progressiveJPEG is mid grey. Each scan repeats the first: every block's mean is
// coded as "no difference", one zero bit.
func progressiveJPEG(w, h, scans int) []byte {
	blocks := (w + 7) / 8 * ((h + 7) / 8)
	scan := append(segment(markerSOS, "\x01\x01\x00\x00\x00\x00"), make([]byte, (blocks+7)/8)...)
	return slices.Concat([]byte("\xff\xd8"),
		segment(0xdb, "\x00"+strings.Repeat("\x01", 64)),
		frame(markerSOF2, w, h, 1),
		segment(0xc4, "\x00\x01"+strings.Repeat("\x00", 15)+"\x00"),
		bytes.Repeat(scan, scans), []byte("\xff\xd9"))
}

func pngChunk(kind, data string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(b, kind+data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngFile encodes img and puts chunks behind its header.
func pngFile(t testing.TB, img image.Image, chunks ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	const headerEnd = 33
	return slices.Concat(b.Bytes()[:headerEnd], bytes.Join(chunks, nil), b.Bytes()[headerEnd:])
}

// pngHeader is all that a PNG needs to claim its size.
func pngHeader(w, h int, depth, colorType, interlace byte) []byte {
	ihdr := binary.BigEndian.AppendUint32(nil, uint32(w))
	ihdr = binary.BigEndian.AppendUint32(ihdr, uint32(h))
	ihdr = append(ihdr, depth, colorType, 0, 0, interlace)
	return append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", string(ihdr))...)
}

// solidPNG is a whole, valid PNG in black, one bit a pixel.
func solidPNG(w, h int) []byte {
	rows := strings.Repeat("\x00", (1+(w+7)/8)*h)
	return slices.Concat(pngHeader(w, h, 1, 0, 0), pngChunk("IDAT", deflated(rows)), pngChunk("IEND", ""))
}

func deflated(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

func riffChunk(id, data string) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(id), uint32(len(data)))
	b = append(b, data...)
	if len(data)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

func webpFile(chunks ...[]byte) []byte {
	return riffChunk("RIFF", "WEBP"+string(bytes.Join(chunks, nil)))
}

// vp8x is the extended header: flags and the canvas size.
func vp8x(w, h int, flags byte) []byte {
	side := func(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n-1))[:3]) }
	return riffChunk("VP8X", string([]byte{flags, 0, 0, 0})+side(w)+side(h))
}

// bitWriter writes a lossless WebP stream: least significant bit first.
type bitWriter struct {
	bytes []byte
	n     int
}

func (b *bitWriter) put(value, width int) {
	for i := range width {
		if b.n%8 == 0 {
			b.bytes = append(b.bytes, 0)
		}
		b.bytes[b.n/8] |= byte(value>>i&1) << (b.n % 8)
		b.n++
	}
}

// header writes size and version, then "no transform, no colour cache, one group
// of codes".
func (b *bitWriter) header(w, h int) {
	b.put(0x2f, 8)
	b.put(w-1, 14)
	b.put(h-1, 14)
	b.put(1, 1) // has transparency
	b.put(0, 3+1+1+1)
}

// code writes a simple prefix code of one or two symbols.
func (b *bitWriter) code(symbols ...int) {
	b.put(1, 1)
	b.put(len(symbols)-1, 1)
	b.put(1, 1) // symbols of 8 bits
	for _, s := range symbols {
		b.put(s, 8)
	}
}

// vp8l encodes a picture whose channels are all 0 or 255: a bit per channel.
func vp8l(img *image.NRGBA) string {
	var b bitWriter
	b.header(img.Rect.Dx(), img.Rect.Dy())
	for range 4 { // green, red, blue, alpha
		b.code(0, 255)
	}
	b.code(0) // distances, unused
	for i := 0; i < len(img.Pix); i += 4 {
		for _, channel := range []int{1, 0, 2, 3} {
			b.put(int(img.Pix[i+channel]&1), 1)
		}
	}
	return string(b.bytes)
}

// vp8lSolid is a picture of one colour: its pixels take no bits at all.
func vp8lSolid(w, h int) string {
	var b bitWriter
	b.header(w, h)
	for range 5 {
		b.code(0)
	}
	return string(b.bytes)
}

// Lossy WebP cannot be written in a few lines. These are the chunks of two pictures
// of 64 x 48 drawn on a canvas, RG/BW and RG/B-, as a browser encoded them.
func lossyQuadrants() string {
	return unbase64("sAUAnQEqQAAwAD6tRJxJpiOioTKoAMAViUAZVjQvwD8Vdix4n+Mf5AcjEd+grV+z4mdmMwgAAP7tTMdnh85cQsFi" +
		"NRh8JfHiP6s4V9ct0EboI36HAfydf/m54HDsv4Jlf4tI//8odm2DOKEEwyrflm/zBOCbbAAA")
}

func lossyAlpha() string { return unbase64("AQ8w/xERgkzaJv5N18H2RvR/AroQdgM=") }

func lossyUnderAlpha() string {
	return unbase64("EAYAnQEqQAAwAD6xRpxJpyOioTK9uADgFglAGQs4H8A/FXaiuAfif+OVf+AztJLv0QF/LROPBxGAAP7tBgSu+rXrEldB" +
		"B9OQ3Xh2d7y2GW13PBueDf8/bODp8u3/5ub99vY4sFnUsCVDB4DdavO4be2gLkFsvIgAAAA=")
}

func unbase64(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}
