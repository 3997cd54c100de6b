package server_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/dropoff"
	"doorstep/internal/server"
)

// The heads of files whose pictures would fill a machine.

func pngOf(w, h uint32) []byte {
	body := append([]byte("IHDR"), binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)...)
	body = append(body, 8, 6, 0, 0, 0)
	out := binary.BigEndian.AppendUint32([]byte("\x89PNG\r\n\x1a\n"), 13)
	return binary.BigEndian.AppendUint32(append(out, body...), crc32.ChecksumIEEE(body))
}

// resized is a JPEG that says it is of another size, or of another kind.
func resized(jpg []byte, marker byte, w, h uint16) []byte {
	out := bytes.Clone(jpg)
	i := bytes.Index(out, []byte{0xff, 0xc0})
	out[i+1] = marker
	binary.BigEndian.PutUint16(out[i+5:], h)
	binary.BigEndian.PutUint16(out[i+7:], w)
	return out
}

// scans repeats the picture's pass over its pixels.
func scans(jpg []byte, n int) []byte {
	i := bytes.Index(jpg, []byte{0xff, 0xda})
	pass := jpg[i : len(jpg)-2]
	return append(append(bytes.Clone(jpg[:i]), bytes.Repeat(pass, n)...), 0xff, 0xd9)
}

// webpOf is the head of a lossless WebP of one colour.
func webpOf(w, h uint32) []byte {
	picture := binary.LittleEndian.AppendUint32([]byte{0x2f}, (w-1)|(h-1)<<14)
	picture = append(picture, make([]byte, 13)...)
	chunk := append(binary.LittleEndian.AppendUint32([]byte("VP8L"), uint32(len(picture))), picture...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(chunk))), append([]byte("WEBP"), chunk...)...)
}

// allocated is how many bytes f had the process allocate: the server's and the test's.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestBombsAreRefusedAtTheDoor(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	key := w.key("store", w.store("duka", nil), "")
	jpg := jpegOf(t, picture(120, 80, 3))
	for _, tt := range []struct {
		name   string
		body   []byte
		status int
		code   string
	}{
		{"a PNG of 30,000 x 30,000", pngOf(30_000, 30_000), 413, "photo-too-many-pixels"},
		{"a PNG of 4 billion x 4 billion", pngOf(1<<32-1, 1<<32-1), 422, "photo-damaged"},
		{"a JPEG of 60,000 x 60,000", resized(jpg, 0xc0, 60_000, 60_000), 413, "photo-too-many-pixels"},
		{"a progressive JPEG of 60,000 x 60,000", resized(jpg, 0xc2, 60_000, 60_000), 413, "photo-too-many-pixels"},
		{"a JPEG of 3,000 scans", scans(jpg, 3_000), 422, "photo-damaged"},
		{"a WebP of 16,384 x 16,384", webpOf(16_384, 16_384), 413, "photo-too-many-pixels"},
		{"an SVG", []byte(`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`), 415, "photo-type"},
		{"a GIF", []byte("GIF89a\x40\x00\x40\x00\x80\x00\x00"), 415, "photo-type"},
		{"a page with a JPEG at its end", append([]byte("<html><script>alert(1)</script>"), jpg...), 415, "photo-type"},
		{"an archive with a JPEG at its end", append([]byte("PK\x03\x04"), jpg...), 415, "photo-type"},
	} {
		got := allocated(func() {
			w.send(request{method: "POST", path: "/v1/photos", key: key, kind: "image/jpeg", body: tt.body}).refused(tt.status, tt.code)
		})
		if got > 8<<20 {
			t.Errorf("refusing %s took %d MiB", tt.name, got>>20)
		}
	}
}

// A file may be two things at once. What is kept is a picture and nothing else.
func TestPolyglotsLoseTheirOtherHalf(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	key := w.key("store", w.store("duka", nil), "")
	jpg := jpegOf(t, picture(120, 80, 9))
	const secret = "<script>fetch('//evil.example')</script>"
	comment := append([]byte{0xff, 0xfe, 0, byte(len(secret) + 2)}, secret...)
	for name, body := range map[string][]byte{
		"JPEG then ZIP":     append(bytes.Clone(jpg), "PK\x03\x04"+secret+"PK\x05\x06"...),
		"JPEG then page":    append(bytes.Clone(jpg), "<html>"+secret...),
		"page in a comment": append(append(bytes.Clone(jpg[:2]), comment...), jpg[2:]...),
		"page in EXIF":      withEXIF(jpg, secret),
	} {
		sha := w.send(request{method: "POST", path: "/v1/photos", key: key, kind: "image/jpeg", body: body}).want(201).text("sha256")
		kept, err := dropoff.NewBook(w.db).LoadPhoto(t.Context(), sha)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(body, []byte("evil.example")) || bytes.Contains(kept, []byte("evil")) || bytes.Contains(kept, []byte("PK\x03\x04")) {
			t.Errorf("%s: something of it is kept", name)
		}
		if !bytes.HasPrefix(kept, []byte{0xff, 0xd8}) || bytes.Index(kept, []byte{0xff, 0xd9}) != len(kept)-2 {
			t.Errorf("%s: what is kept is not one JPEG", name)
		}
	}
}

// endless gives as many bytes as are asked for, after the beginning of a JPEG.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	clear(p[:n])
	e.left -= n
	return n, nil
}

const twoHundredMB = 200_000_000

func TestHugeBodiesAreNotReadIntoMemory(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	key := w.key("store", w.store("duka", nil), "")
	post := func(kind string, body io.Reader, length int64) (status int, answer string) {
		r, err := http.NewRequestWithContext(t.Context(), "POST", w.url+"/v1/photos", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("Content-Type", kind)
		r.ContentLength = length
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			// The server closed while we were still sending, which is a refusal too.
			return 0, err.Error()
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	const part = "--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"door.jpg\"\r\n\r\n"
	for _, tt := range []struct {
		name   string
		kind   string
		body   func() io.Reader
		length int64
		most   uint64 // MiB in all: a buffer that doubles up to the limit leaves its smaller ones behind
	}{
		{"that says how long it is", "image/jpeg", func() io.Reader { return &endless{twoHundredMB} }, twoHundredMB, 16},
		{"in chunks", "image/jpeg", func() io.Reader { return &endless{twoHundredMB} }, -1, 160},
		{"in a form", "multipart/form-data; boundary=x", func() io.Reader { return io.MultiReader(strings.NewReader(part), &endless{twoHundredMB}) }, -1, 160},
	} {
		var status int
		var answer string
		got := allocated(func() { status, answer = post(tt.kind, tt.body(), tt.length) })
		if status != 413 && status != 0 {
			t.Errorf("200 MB %s: %d %s", tt.name, status, answer)
		}
		if got > tt.most<<20 {
			t.Errorf("200 MB %s took %d MiB to refuse, want at most %d", tt.name, got>>20, tt.most)
		}
	}
	if release, err := w.srv.Hold(server.MaxHeld); err != nil {
		t.Error("a refused upload still takes room")
	} else {
		release()
	}
}

// raw sends bytes as they are and gives what comes back until the server closes or has answered.
func (w *world) raw(url, text string) *http.Response {
	w.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		w.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil // closed without a word
	}
	return res
}

func photoHead(key string, length int) string {
	return fmt.Sprintf("POST /v1/photos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n", key, length)
}

func TestLengthsThatLie(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	key := w.key("store", w.store("duka", nil), "")
	jpg := string(jpegOf(t, picture(120, 80, 5)))
	// Who asks before sending is told at once, without sending.
	if res := w.raw(w.url, photoHead(key, twoHundredMB)+"Expect: 100-continue\r\n\r\n"); res == nil || res.StatusCode != 413 {
		t.Errorf("asked before sending 200 MB: %v", res)
	}
	// Fewer bytes than said are half a photo, and more are another request, which this is not.
	if res := w.raw(w.url, photoHead(key, len(jpg)/2)+"\r\n"+jpg[:len(jpg)/2]); res == nil || res.StatusCode != 422 {
		t.Errorf("half a photo: %v", res)
	}
	if res := w.raw(w.url, photoHead(key, len(jpg))+"Connection: close\r\n\r\n"+jpg+strings.Repeat("x", 100_000)); res == nil || res.StatusCode != 201 {
		t.Errorf("more than was said: %v", res)
	}
	for _, length := range []string{"-1", "1e9", "99999999999999999999", "10, 20"} {
		head := strings.Replace(photoHead(key, 0), "Content-Length: 0", "Content-Length: "+length, 1)
		if res := w.raw(w.url, head+"\r\n"+jpg); res == nil || res.StatusCode != 400 {
			t.Errorf("Content-Length %s: %v", length, res)
		}
	}
}

// An upload that stands still ends, and what it held is free for others.
func TestAnUploadThatStandsStillEnds(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	key := w.key("store", w.store("duka", nil), "")
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = w.srv.HTTP()
	if ts.Config.ReadTimeout <= 0 || ts.Config.ReadHeaderTimeout <= 0 {
		t.Fatal("a request may take for ever")
	}
	ts.Config.ReadTimeout = 300 * time.Millisecond
	ts.Start()
	defer ts.Close()
	if res := w.raw(ts.URL, photoHead(key, 20_000_000)+"\r\n\xff\xd8\xff"); res != nil && res.StatusCode != 400 {
		t.Errorf("it stood still and was answered %d", res.StatusCode)
	}
	ts.Close() // waits for the request to end
	if release, err := w.srv.Hold(server.MaxHeld); err != nil {
		t.Error("it still takes room")
	} else {
		release()
	}
}
