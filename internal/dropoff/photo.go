package dropoff

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/draw"
	"golang.org/x/image/riff"
	"golang.org/x/image/webp"
)

// Bounds on what a phone may send. They are checked on the file's bytes and
// header, before any pixel is decoded.
const (
	MaxUploadBytes = 20 << 20   // of the file as sent
	MaxPixels      = 40_000_000 // width x height as sent

	minSide = 16     // less cannot show a parcel at a door
	maxSide = 20_000 // pixels

	// A progressive JPEG may hold any number of passes over the whole picture,
	// at a few bytes each: a small valid file can cost hours. Cameras and
	// encoders use about ten.
	maxScans = 50
)

// How a photo is kept: small enough for a page on a phone, sharp enough to read
// a door number.
const (
	keptSide    = 1600 // pixels, longer side
	keptQuality = 80   // JPEG quality
)

// Photo is a photo as it is kept: a baseline JPEG made by us, upright, with
// nothing in it but the picture. Width and Height are in pixels.
type Photo struct {
	SHA256        [32]byte // of JPEG
	Width, Height int
	JPEG          []byte
	Look          Look
}

// Codes of a PhotoError.
const (
	PhotoEmpty         = "photo-empty"
	PhotoTooLarge      = "photo-too-large"
	PhotoType          = "photo-type"
	PhotoTooManyPixels = "photo-too-many-pixels"
	PhotoTooSmall      = "photo-too-small"
	PhotoDamaged       = "photo-damaged"
)

// PhotoError says why a photo was refused, in words for whoever sent it.
type PhotoError struct {
	Code   string // one of the Photo codes
	Detail string // one sentence without a full stop
}

func (e *PhotoError) Error() string { return e.Code + ": " + e.Detail }

func refuse(code, format string, args ...any) *PhotoError {
	return &PhotoError{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Sanitize turns an uploaded file into the photo we keep. The picture is decoded
// and drawn anew, so that nothing else survives: no EXIF, GPS position, XMP,
// colour profile, comment, thumbnail, or second file hidden behind the first.
// What the file is, its bytes decide; a name or media type is never asked for.
// The same bytes in give the same bytes out (of one build: the sampler works in
// floating point, which processors of another kind may round differently).
//
// The error is a *PhotoError when the file is to blame, and ctx.Err() when ctx
// ended while waiting for memory or decoding.
func Sanitize(ctx context.Context, raw []byte) (Photo, error) {
	f, err := recognise(raw)
	if err != nil {
		return Photo{}, err
	}
	size, err := f.measure(raw)
	if err != nil {
		return Photo{}, err
	}
	traits, err := f.survey(raw, size)
	if err != nil {
		return Photo{}, err
	}
	mib := workingMiB(size, traits.bytesPerPixel)
	if mib > decodeMiB {
		return Photo{}, refuse(PhotoTooManyPixels, "%d x %d pixels in this encoding need %d MiB to decode, at most %d are allowed; send a plain JPEG", size.Width, size.Height, mib, decodeMiB)
	}
	if err := decoding.take(ctx, mib); err != nil {
		return Photo{}, err
	}
	defer decoding.give(mib)

	img, err := f.picture(ctx, raw, size)
	if err != nil {
		return Photo{}, err
	}
	return keep(upright(shrink(img), exifOrientation(traits.exif)))
}

// keep encodes the finished picture.
func keep(img *image.RGBA) (Photo, error) {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: keptQuality}); err != nil {
		return Photo{}, fmt.Errorf("encode photo: %w", err)
	}
	return Photo{
		SHA256: sha256.Sum256(out.Bytes()),
		Width:  img.Rect.Dx(),
		Height: img.Rect.Dy(),
		JPEG:   out.Bytes(),
		Look:   lookOf(img),
	}, nil
}

// photoFormat is a kind of file we accept and how to read it. The decoders are
// called by name, not through package image's registry: a format that some other
// package registers must not become acceptable here.
type photoFormat struct {
	magic  func(raw []byte) bool
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
	survey func(raw []byte, size image.Config) (photoTraits, error)
}

// photoTraits is what a file tells besides its pixels, read without decoding.
type photoTraits struct {
	exif          []byte // TIFF block of the EXIF metadata, nil if there is none
	bytesPerPixel int    // most memory the decoder takes
}

var photoFormats = []photoFormat{
	{hasPrefix("\xff\xd8\xff"), jpeg.DecodeConfig, jpeg.Decode, surveyJPEG},
	{hasPrefix("\x89PNG\r\n\x1a\n"), png.DecodeConfig, png.Decode, surveyPNG},
	{isWebP, webp.DecodeConfig, webp.Decode, surveyWebP},
}

func hasPrefix(magic string) func([]byte) bool {
	return func(raw []byte) bool { return bytes.HasPrefix(raw, []byte(magic)) }
}

func isWebP(raw []byte) bool {
	return len(raw) >= 12 && string(raw[:4]) == "RIFF" && string(raw[8:12]) == "WEBP"
}

// recognise finds the format by the file's first bytes.
func recognise(raw []byte) (photoFormat, error) {
	if len(raw) == 0 {
		return photoFormat{}, refuse(PhotoEmpty, "the file is empty")
	}
	if len(raw) > MaxUploadBytes {
		return photoFormat{}, refuse(PhotoTooLarge, "the file has %d bytes, at most %d are allowed", len(raw), MaxUploadBytes)
	}
	for _, f := range photoFormats {
		if f.magic(raw) {
			return f, nil
		}
	}
	return photoFormat{}, refuse(PhotoType, "this is %s; send a JPEG, PNG or WebP photo", nameOf(raw))
}

// measure reads the size the file claims and refuses what is too big to decode
// or too small to be evidence.
func (f photoFormat) measure(raw []byte) (size image.Config, err error) {
	defer damagedOnPanic(&err)
	size, err = f.config(bytes.NewReader(raw))
	if err != nil {
		return image.Config{}, damaged(err)
	}
	w, h := size.Width, size.Height
	if w < minSide || h < minSide {
		return image.Config{}, refuse(PhotoTooSmall, "the photo is %d x %d pixels, each side needs at least %d", w, h, minSide)
	}
	// Sides first: the product of two 32-bit sides may overflow.
	if w > maxSide || h > maxSide || w*h > MaxPixels {
		return image.Config{}, refuse(PhotoTooManyPixels, "the photo is %d x %d pixels, at most %d in all and %d a side are allowed", w, h, MaxPixels, maxSide)
	}
	return size, nil
}

// picture decodes the pixels. A file whose pixels are not of the size that was
// measured is damaged: the bounds were checked on that size.
func (f photoFormat) picture(ctx context.Context, raw []byte, size image.Config) (img image.Image, err error) {
	defer damagedOnPanic(&err)
	img, err = f.decode(&patientReader{ctx, bytes.NewReader(raw)})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, damaged(err)
	}
	if got := img.Bounds().Size(); got.X != size.Width || got.Y != size.Height {
		return nil, refuse(PhotoDamaged, "the header says %d x %d pixels, the picture has %d x %d", size.Width, size.Height, got.X, got.Y)
	}
	return img, nil
}

// patientReader ends a decoder that nobody waits for any more: the decoders take
// no context, but they all read as they go.
type patientReader struct {
	ctx context.Context
	src io.Reader
}

func (r *patientReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.src.Read(p)
}

func damaged(err error) *PhotoError {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return refuse(PhotoDamaged, "the file ends before the picture does")
	}
	return refuse(PhotoDamaged, "the picture cannot be read (%v)", err)
}

// damagedOnPanic keeps a decoder's bug, met through a hostile file, from taking
// the request down. It wraps the foreign decoders only: a panic of ours must show.
func damagedOnPanic(err *error) {
	if p := recover(); p != nil {
		*err = refuse(PhotoDamaged, "the picture cannot be read (%v)", p)
	}
}

// ---- memory ----

// decodeMiB bounds the memory of all decodes under way together: seven photos of
// a 12-megapixel phone. A file that alone would need more is refused, so the
// bound holds whatever is uploaded.
const decodeMiB = 512

var decoding = newBudget(decodeMiB)

// workingMiB estimates from above what one photo needs while it is worked on: the
// decoded pixels, a quarter of them as RGBA for the first halving, and the small
// picture twice (before and after turning).
func workingMiB(size image.Config, bytesPerPixel int) int {
	n := size.Width*size.Height*(bytesPerPixel+1) + 2*4*keptSide*keptSide
	return n>>20 + 1
}

// budget is a counting semaphore that is served in order of arrival.
type budget struct {
	// turn is held by the one who is collecting. Without it two callers could
	// each hold half of what they need for ever, and small ones starve a big one.
	turn  chan struct{}
	taken chan struct{} // one element a unit
}

func newBudget(units int) budget {
	return budget{turn: make(chan struct{}, 1), taken: make(chan struct{}, units)}
}

// take waits for n units, at most the whole budget. On error none is held.
func (b budget) take(ctx context.Context, n int) error {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for held := range n {
		select {
		case b.taken <- struct{}{}:
		case <-ctx.Done():
			b.give(held)
			return ctx.Err()
		}
	}
	return nil
}

func (b budget) give(n int) {
	for range n {
		<-b.taken
	}
}

// ---- drawing ----

// shrink draws img on white, its longer side at most keptSide. While it is more
// than twice too large it is halved: at exactly 2:1 the bilinear sampler takes
// the mean of 2 x 2 pixels, so nothing is skipped and no moiré appears (a pyramid,
// Williams 1983), without the 32 bytes per pixel that a kernel scaler holds.
func shrink(img image.Image) *image.RGBA {
	op := draw.Over // only the first drawing can meet transparency
	for {
		from := img.Bounds()
		w, h := shrunkSize(from.Dx(), from.Dy())
		last := max(from.Dx(), from.Dy()) < 2*keptSide
		if !last {
			w, h = max(1, from.Dx()/2), max(1, from.Dy()/2)
		}
		small := image.NewRGBA(image.Rect(0, 0, w, h))
		if op == draw.Over {
			draw.Draw(small, small.Rect, image.White, image.Point{}, draw.Src)
		}
		draw.ApproxBiLinear.Scale(small, small.Rect, img, from, op, nil)
		if last {
			return small
		}
		img, op = small, draw.Src
	}
}

// shrunkSize is the size in which a w x h picture is kept: the same shape, never
// enlarged, never without a pixel.
func shrunkSize(w, h int) (int, int) {
	long := max(w, h)
	if long <= keptSide {
		return w, h
	}
	scaled := func(side int) int { return max(1, (side*keptSide+long/2)/long) }
	return scaled(w), scaled(h)
}

// upright undoes the turn that an EXIF orientation of 1 to 8 describes. The value
// says where row 0 and column 0 of the stored picture belong (EXIF 2.32, tag 274).
func upright(src *image.RGBA, orientation int) *image.RGBA {
	if orientation <= 1 || orientation > 8 {
		return src
	}
	w, h := src.Rect.Dx(), src.Rect.Dy()
	transposed := orientation >= 5
	fromRight := orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8
	fromBottom := orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7

	size := image.Rect(0, 0, w, h)
	if transposed {
		size = image.Rect(0, 0, h, w)
	}
	dst := image.NewRGBA(size)
	for y := range size.Dy() {
		for x := range size.Dx() {
			sx, sy := x, y
			if transposed {
				sx, sy = y, x
			}
			if fromRight {
				sx = w - 1 - sx
			}
			if fromBottom {
				sy = h - 1 - sy
			}
			s, d := sy*src.Stride+sx*4, y*dst.Stride+x*4
			copy(dst.Pix[d:d+4], src.Pix[s:s+4])
		}
	}
	return dst
}

// ---- metadata we read before dropping it ----

// orientationTag is the EXIF tag "Orientation".
const orientationTag = 0x0112

// exifOrientation finds the orientation, 1 to 8, in the first directory of a TIFF
// block (TIFF 6.0, section 2). Metadata that is absent, broken or odd means 1: a
// photo is worth keeping even when its metadata is not.
func exifOrientation(tiff []byte) int {
	var order binary.ByteOrder
	switch {
	case len(tiff) < 8:
		return 1
	case string(tiff[:4]) == "II*\x00":
		order = binary.LittleEndian
	case string(tiff[:4]) == "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	directory := uint64(order.Uint32(tiff[4:]))
	if directory+2 > uint64(len(tiff)) {
		return 1
	}
	count := order.Uint16(tiff[directory:])
	entries := tiff[directory+2:]
	const entrySize, short = 12, 3
	for ; count > 0 && len(entries) >= entrySize; count-- {
		if order.Uint16(entries) == orientationTag {
			value := int(order.Uint16(entries[8:]))
			if order.Uint16(entries[2:]) != short || value < 1 || value > 8 {
				return 1
			}
			return value
		}
		entries = entries[entrySize:]
	}
	return 1
}

// JPEG markers (ITU-T T.81, table B.1).
const (
	markerSOF2 = 0xc2 // progressive frame
	markerRST0 = 0xd0
	markerRST7 = 0xd7
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerAPP1 = 0xe1
)

const exifHeader = "Exif\x00\x00"

// surveyJPEG reads the first EXIF block and what decoding will cost.
func surveyJPEG(raw []byte, size image.Config) (photoTraits, error) {
	var t photoTraits
	scans, progressive := 0, false
	jpegSegments(raw, func(marker byte, body []byte) {
		switch marker {
		case markerSOF2:
			progressive = true
		case markerSOS:
			scans++
		case markerAPP1:
			if tiff, ok := bytes.CutPrefix(body, []byte(exifHeader)); ok && t.exif == nil {
				t.exif = tiff
			}
		}
	})
	if scans > maxScans {
		return photoTraits{}, refuse(PhotoDamaged, "the JPEG has %d scans, at most %d are allowed", scans, maxScans)
	}
	components := 3
	switch size.ColorModel {
	case color.GrayModel:
		components, t.bytesPerPixel = 1, 1
	case color.YCbCrModel:
		t.bytesPerPixel = 3 // without chroma subsampling
	default: // RGB and CMYK are copied into a second image after decoding
		components, t.bytesPerPixel = 4, 8
	}
	if progressive {
		t.bytesPerPixel += 4 * components // all coefficients stay until the last scan
	}
	return t, nil
}

// jpegSegments visits the marker segments up to the end of the image. It steps as
// image/jpeg does, over entropy-coded data and stray bytes alike, so that it sees
// every segment that the decoder will.
func jpegSegments(raw []byte, visit func(marker byte, body []byte)) {
	for rest := raw[2:]; ; {
		i := bytes.IndexByte(rest, 0xff)
		if i < 0 || len(rest)-i < 4 {
			return
		}
		rest = rest[i:]
		marker := rest[1]
		switch {
		case marker == markerEOI:
			return
		case marker == 0x00 || marker == 0xff || marker >= markerRST0 && marker <= markerRST7:
			rest = rest[1:] // stuffing, fill or restart: no segment
			continue
		}
		length := int(binary.BigEndian.Uint16(rest[2:])) // counts itself
		if length < 2 || 2+length > len(rest) {
			return
		}
		visit(marker, rest[4:2+length])
		rest = rest[2+length:]
	}
}

// surveyPNG reads the eXIf chunk and what decoding will cost.
func surveyPNG(raw []byte, size image.Config) (photoTraits, error) {
	t := photoTraits{bytesPerPixel: 4}
	switch size.ColorModel {
	case color.Gray16Model, color.RGBA64Model, color.NRGBA64Model:
		t.bytesPerPixel = 8 // Gray16 too: transparency in it is found only later
	}
	const frame = 12 // length, type and checksum around a chunk's data
	for rest := raw[8:]; len(rest) >= frame; {
		length := uint64(binary.BigEndian.Uint32(rest))
		if length+frame > uint64(len(rest)) {
			break
		}
		data := rest[8 : 8+length]
		switch string(rest[4:8]) {
		case "IHDR":
			if interlaced := len(data) == 13 && data[12] != 0; interlaced {
				t.bytesPerPixel *= 2 // each pass is an image of its own first
			}
		case "eXIf":
			t.exif = data
		case "IEND":
			return t, nil
		}
		rest = rest[frame+length:]
	}
	return t, nil
}

// surveyWebP reads the EXIF chunk. A lossless picture, or the alpha plane of a
// lossy one, may need two RGBA images while its transforms are undone.
func surveyWebP(raw []byte, _ image.Config) (photoTraits, error) {
	t := photoTraits{bytesPerPixel: 9}
	_, chunks, err := riff.NewReader(bytes.NewReader(raw))
	if err != nil {
		return photoTraits{}, damaged(err)
	}
	for {
		id, _, data, err := chunks.Next()
		if err != nil {
			return t, nil // the end, or a fault that the decoder will judge
		}
		if id == (riff.FourCC{'E', 'X', 'I', 'F'}) {
			block, _ := io.ReadAll(data)
			t.exif = bytes.TrimPrefix(block, []byte(exifHeader)) // some writers copy it from JPEG
			return t, nil
		}
	}
}

// ---- naming what we refuse ----

// otherFiles are what people and phones send instead of a photo.
var otherFiles = []struct {
	offset int
	magic  string
	name   string
}{
	{0, "GIF8", "a GIF image"},
	{0, "BM", "a BMP image"},
	{0, "II*\x00", "a TIFF or raw camera image"},
	{0, "MM\x00*", "a TIFF or raw camera image"},
	{0, "\xff\x0a", "a JPEG XL image"},
	{4, "JXL ", "a JPEG XL image"},
	{4, "ftypavi", "an AVIF image"},
	{4, "ftyphe", "a HEIC image"},
	{4, "ftypmif1", "a HEIC image"},
	{4, "ftypmsf1", "a HEIC image"},
	{4, "ftyp", "an MP4 or QuickTime video"},
	{0, "\x1a\x45\xdf\xa3", "a WebM video"},
	{0, "%PDF", "a PDF document"},
	{0, "PK\x03\x04", "a ZIP archive"},
}

// nameOf says what a file seems to be, for the message only.
func nameOf(raw []byte) string {
	for _, f := range otherFiles {
		if len(raw) > f.offset && bytes.HasPrefix(raw[f.offset:], []byte(f.magic)) {
			return f.name
		}
	}
	text := strings.ToLower(string(raw[:min(len(raw), 1024)]))
	text = strings.TrimLeft(strings.TrimPrefix(text, "\ufeff"), " \t\r\n")
	switch {
	case !strings.HasPrefix(text, "<"):
		return "not an image format we know"
	case strings.Contains(text, "<html") || strings.Contains(text, "<!doctype html") || strings.Contains(text, "<script"):
		return "an HTML page"
	case strings.Contains(text, "<svg"):
		return "an SVG drawing"
	default:
		return "an XML document"
	}
}
