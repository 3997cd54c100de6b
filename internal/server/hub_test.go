package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/ident"
	"doorstep/internal/order"
	"doorstep/internal/server"
)

// happen writes an event of n bytes about nobody in particular.
func (w *world) happen(subject int64, n int) {
	w.Helper()
	err := w.db.InTx(context.Background(), func(tx *db.Tx) error {
		var c event.Chain
		return event.Append(tx, &c, event.New{Type: "store.updated", Subject: subject, Data: strings.Repeat("x", n)})
	})
	if err != nil {
		w.Error(err)
	}
}

// last is the place of the newest event.
func (w *world) last() (seq int64) {
	w.Helper()
	if err := w.db.Read(context.Background()).Get(&seq, `SELECT coalesce(max(seq), 0) FROM event`); err != nil {
		w.Fatal(err)
	}
	return seq
}

// seqsAfter are the places of all events behind one.
func (w *world) seqsAfter(seq int64) (seqs []int64) {
	w.Helper()
	if err := w.db.Read(context.Background()).Select(&seqs, `SELECT seq FROM event WHERE seq > ? ORDER BY seq`, seq); err != nil {
		w.Fatal(err)
	}
	return seqs
}

// open is the number of streams that hold a place.
func (w *world) open() int {
	w.Helper()
	res := httptest.NewRecorder()
	w.srv.Metrics().ServeHTTP(res, httptest.NewRequest("GET", "/metrics", nil))
	_, rest, _ := strings.Cut(res.Body.String(), "\ndoorstep_streams ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(line)
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) eventually(what string, yes func() bool) {
	w.Helper()
	for giveUp := time.Now().Add(patience); !yes(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(giveUp) {
			w.Fatal("waited in vain: " + what)
		}
	}
}

// dial opens a stream by hand, on a connection whose reading the test decides on.
func (w *world) dial(path, key, more string) net.Conn {
	w.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	auth := ""
	if key != "" {
		auth = "Authorization: Bearer " + key + "\r\n"
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n", path, auth, more)
	return c
}

var goroutineOfHub = regexp.MustCompile(`server\.\(\*hub\)\.(\w+)\(`)

// hubGoroutines are what the hub's goroutines do.
func hubGoroutines() (names []string) {
	var b strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&b, 2)
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		if m := goroutineOfHub.FindAllStringSubmatch(stack, -1); m != nil {
			names = append(names, m[len(m)-1][1])
		}
	}
	slices.Sort(names)
	return names
}

// follower reads a stream by hand, and comes back with Last-Event-ID when its connection breaks.
type follower struct {
	w    *world
	key  string
	seen []int64
}

// until reads up to the event at last. Every breaks-th event breaks the connection; 0 never.
func (f *follower) until(from int64, last *atomic.Int64, breaks int) error {
	for at := from; ; {
		c, err := net.Dial("tcp", strings.TrimPrefix(f.w.url, "http://"))
		if err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nLast-Event-ID: %d\r\n\r\n", f.key, at)
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			id, ok := strings.CutPrefix(lines.Text(), "id: ")
			if !ok {
				continue
			}
			if at, err = strconv.ParseInt(id, 10, 64); err != nil {
				return err
			}
			f.seen = append(f.seen, at)
			if end := last.Load(); end != 0 && at >= end {
				return c.Close()
			}
			if breaks != 0 && len(f.seen)%breaks == 0 {
				break
			}
		}
		c.Close()
		if err := lines.Err(); err != nil {
			return err
		}
	}
}

// A thousand follow while several write: from now on, from before, some with a connection that
// breaks again and again. Each sees what the log has, once and in order.
func TestAThousandFollowersSeeTheLog(t *testing.T) {
	story(t, func(w *world) {
		for range 120 { // more than is read at once for one that was away
			w.happen(7, 10)
		}
		const writers, each, steady, broken = 4, 30, 1000, 20
		begin := w.last()
		var end atomic.Int64
		var reading, writing sync.WaitGroup
		followers := make([]*follower, steady+broken)
		from := make([]int64, len(followers))
		failed := make(chan error, len(followers))
		for i := range followers {
			f := &follower{w: w, key: w.admin}
			followers[i] = f
			if from[i] = begin; i%3 == 0 {
				from[i] = 0 // all there ever was
			}
			breaks := 0
			if i >= steady {
				breaks = 1 + i%17
			}
			reading.Go(func() {
				if err := f.until(from[i], &end, breaks); err != nil {
					failed <- fmt.Errorf("follower %d: %w", i, err)
				}
			})
		}
		for s := range writers {
			writing.Go(func() {
				for n := range each {
					w.happen(int64(s+1), n*20)
				}
			})
		}
		writing.Wait()
		w.eventually("all have come", func() bool { return w.open() >= steady })
		w.happen(8, 10)
		end.Store(w.last())
		w.happen(9, 10) // for those who had the last one before they knew
		reading.Wait()
		close(failed)
		for err := range failed {
			t.Error(err)
		}
		log := w.seqsAfter(0)
		for i, f := range followers {
			want := log[slices.Index(log, from[i])+1:]
			if n := len(f.seen); n < len(want)-1 || n > len(want) || !slices.Equal(f.seen, want[:n]) {
				t.Fatalf("follower %d saw %d events, the log has %d", i, n, len(want))
			}
		}
	})
}

// With nobody there the log is not read; who comes then begins at the present, or where it left.
func TestStreamsBeginAgainAfterNobodyWasThere(t *testing.T) {
	story(t, func(w *world) {
		l := w.follow("/v1/events/stream", w.admin, "")
		w.happen(1, 1)
		first := l.next()
		l.close()
		w.eventually("the place is free", func() bool { return w.open() == 0 })
		w.happen(2, 2)
		w.happen(3, 3)
		missed := w.seqsAfter(w.seqsAfter(0)[0])
		present, resumed := w.follow("/v1/events/stream", w.admin, ""), w.follow("/v1/events/stream", w.admin, first.id)
		w.happen(4, 4)
		now := fmt.Sprint(w.last())
		if f := present.next(); f.id != now {
			t.Errorf("from now on: %+v, want %s", f, now)
		}
		for range 2 {
			want := fmt.Sprint(w.seqsAfter(atoi(t, first.id))[0])
			f := resumed.next()
			if f.id != want {
				t.Errorf("resumed: %+v, want %s of %v", f, want, missed)
			}
			first = f
		}
		if f := resumed.next(); f.id != now {
			t.Errorf("then: %+v, want %s", f, now)
		}
	})
}

func atoi(t *testing.T, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// flood writes more than a socket takes of a client that does not read.
func (w *world) flood(read func()) {
	for n := range 60 {
		w.happen(int64(n+1), 50_000)
		read()
	}
}

// A client that does not read delays nobody, however long it is waited for, nor does it delay the end.
func TestWhoDoesNotReadDelaysNobody(t *testing.T) {
	t.Cleanup(server.ShortenWrites(time.Hour))
	w := newWorld(t, db.SQLite, server.Options{})
	l := w.follow("/v1/events/stream", w.admin, "")
	mute := w.dial("/v1/events/stream", w.admin, "")
	w.eventually("both follow", func() bool { return w.open() == 2 })
	w.flood(func() {
		if f := l.next(); f.id != fmt.Sprint(w.last()) {
			t.Fatalf("got %s, want %d", f.id, w.last())
		}
	})
	w.eventually("only the one that does not read has a goroutine", func() bool { return fmt.Sprint(hubGoroutines()) == "[follow pump sweep]" })
	w.srv.Drain()
	if f := l.next(); f.name != "goodbye" {
		t.Errorf("at the end: %+v", f)
	}
	all, err := io.ReadAll(mute)
	if n := strings.Count(string(all), "\nid: "); n >= 60 {
		t.Errorf("who did not read was sent all %d events: %v", n, err)
	}
}

// Nor does it keep its place. It can come back for what it missed.
func TestWhoDoesNotReadIsCutOff(t *testing.T) {
	t.Cleanup(server.ShortenWrites(200 * time.Millisecond))
	w := newWorld(t, db.SQLite, server.Options{})
	l := w.follow("/v1/events/stream", w.admin, "")
	begin := w.last()
	mute := w.dial("/v1/events/stream", w.admin, "")
	w.eventually("both follow", func() bool { return w.open() == 2 })
	w.flood(func() { l.next() })
	w.eventually("the place is free", func() bool { return w.open() == 1 })
	got, _ := io.ReadAll(mute)
	ids := regexp.MustCompile(`(?m)^id: (\d+)$`).FindAllStringSubmatch(string(got), -1)
	last := begin
	if len(ids) > 1 {
		last = atoi(t, ids[len(ids)-2][1]) // the last one may be cut in two
	}
	missed := w.seqsAfter(last)
	if len(missed) == 0 {
		t.Fatal("all was taken: the client was not mute")
	}
	back := w.follow("/v1/events/stream", w.admin, fmt.Sprint(last))
	for _, seq := range missed {
		if f := back.next(); f.id != fmt.Sprint(seq) || len(f.data) < 50_000 {
			t.Fatalf("came back for %d, got %s with %d bytes", seq, f.id, len(f.data))
		}
	}
}

// A slow reader gets everything all the same.
func TestASlowReaderGetsEverything(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	slow := w.dial("/v1/events/stream", w.admin, "")
	w.eventually("it follows", func() bool { return w.open() == 1 })
	begin := w.last()
	w.flood(func() {})
	var seen []int64
	lines := bufio.NewReader(slow)
	for want := w.seqsAfter(begin); len(seen) < len(want); {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "id: "); ok {
			if seen = append(seen, atoi(t, id)); !slices.Equal(seen, want[:len(seen)]) {
				t.Fatalf("saw %v of %v", seen, want)
			}
		}
	}
	w.eventually("it costs no goroutine when it has caught up", func() bool { return fmt.Sprint(hubGoroutines()) == "[follow sweep]" })
}

// A client that has caught up may wait as long as it likes for what comes next; it hears that the
// server is still there.
func TestAQuietStreamStaysOpen(t *testing.T) {
	t.Cleanup(server.ShortenWrites(50 * time.Millisecond))
	t.Cleanup(server.ShortenSeconds(10 * time.Millisecond))
	w := newWorld(t, db.SQLite, server.Options{})
	w.happen(1, 1)
	lines := bufio.NewScanner(w.dial("/v1/events/stream", w.admin, "Last-Event-ID: 0\r\n"))
	await := func(what string) {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), what) {
				return
			}
		}
		t.Fatalf("%s did not come: %v", what, lines.Err())
	}
	await("id: " + fmt.Sprint(w.last()))
	await(": still here")
	await(": still here") // all of them: its time to take the first event is over by far
	w.happen(2, 2)
	await("id: " + fmt.Sprint(w.last()))
}

// A customer's page that could not be written to shows how things stand once it can.
func TestASlowPageShowsTheEnd(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	w.store("duka", nil)
	o := w.order(w.key("merchant", "", "Acme"), nil)
	key, ok := w.db.Names().Parse(ident.Order, o.text("id"))
	if !ok {
		t.Fatal(o.text("id"))
	}
	book := order.NewBook(w.db)
	note := func(text string) {
		t.Helper()
		if _, err := book.SetInstructions(context.Background(), key, text, ""); err != nil {
			t.Fatal(err)
		}
	}
	c := w.dial("/v1/tracking/"+w.token(o)+"/events", "", "")
	for i := 0; !slices.Contains(hubGoroutines(), "pump"); i++ {
		if i > 5000 {
			t.Fatal("its socket takes everything")
		}
		note(fmt.Sprint(i%10) + strings.Repeat("<", 490)) // six bytes each in JSON
	}
	note("the end")
	for lines := bufio.NewScanner(c); ; {
		if !lines.Scan() {
			t.Fatal("the end is not shown: ", lines.Err())
		}
		if strings.Contains(lines.Text(), `"instructions":"the end"`) {
			return
		}
	}
}

// Streams cost no goroutine each, and all hear goodbye when the server drains; then nothing is left.
func TestDrainSaysGoodbyeToAll(t *testing.T) {
	story(t, func(w *world) {
		w.store("duka", nil)
		shop := w.key("merchant", "", "Acme")
		var all []*live
		for range 50 {
			all = append(all, w.follow("/v1/events/stream", w.admin, ""))
		}
		for range 5 {
			token := w.token(w.order(shop, nil))
			for range 4 {
				l := w.follow("/v1/tracking/"+token+"/events", "", "")
				if f := l.next(); f.status() != "confirmed" {
					t.Errorf("at once: %+v", f)
				}
				all = append(all, l)
			}
		}
		w.eventually("nobody is busy", func() bool { return fmt.Sprint(hubGoroutines()) == "[follow sweep]" })
		if n := w.open(); n != len(all) {
			t.Errorf("%d streams, want %d", n, len(all))
		}
		w.srv.Drain()
		if left := hubGoroutines(); len(left) != 0 {
			t.Errorf("goroutines that are left: %v", left)
		}
		if n := w.open(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
		for i, l := range all {
			f := l.next()
			for f.name != "goodbye" && f != (frame{}) {
				f = l.next()
			}
			if f.name != "goodbye" || l.next() != (frame{}) {
				t.Errorf("stream %d ended with %+v", i, f)
			}
		}
		w.get(w.admin, "/v1/events/stream").refused(503, "not-ready")
		w.srv.Drain() // twice is as once
	})
}

// One key's death ends its streams, all of them and no others.
func TestManyStreamsEndWithTheirKey(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	bad := w.post(w.admin, "/v1/keys", m{"role": "dispatcher"}).want(201)
	var ends []*live
	for range 40 {
		ends = append(ends, w.follow("/v1/events/stream", bad.text("key"), ""))
	}
	good := w.follow("/v1/events/stream", w.admin, "")
	w.post(w.admin, "/v1/keys/"+bad.text("id")+"/revoke", nil).want(200)
	secret := w.store("after", nil)
	for i, l := range ends {
		f := l.next()
		if f.name == "key.revoked" { // it may be told that much
			f = l.next()
		}
		if f.name != "goodbye" || l.next() != (frame{}) {
			t.Errorf("stream %d of a revoked key reads %+v", i, f)
		}
	}
	f := good.next()
	for f.name != "store.created" {
		f = good.next()
	}
	if !strings.Contains(f.data, secret) || w.open() != 1 {
		t.Errorf("the good key reads %+v, %d streams", f, w.open())
	}
}

// However a client leaves, its place is free though nothing happens.
func TestAPlaceIsFreeWhenItsClientLeaves(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{MaxStreams: 2})
	w.follow("/v1/events/stream", w.admin, "")
	for _, leave := range []struct {
		how string
		do  func(*net.TCPConn) error
	}{
		{"closes", (*net.TCPConn).Close},
		{"closes its side", (*net.TCPConn).CloseWrite},
		{"breaks off", func(c *net.TCPConn) error { _ = c.SetLinger(0); return c.Close() }},
	} {
		c := w.dial("/v1/events/stream", w.admin, "").(*net.TCPConn)
		w.eventually("both follow", func() bool { return w.open() == 2 })
		if a := w.get(w.admin, "/v1/events/stream").refused(503, "too-many-streams"); a.header.Get("Retry-After") == "" {
			t.Error("not said when to come back")
		}
		if err := leave.do(c); err != nil {
			t.Fatal(err)
		}
		w.eventually("free when a client "+leave.how, func() bool { return w.open() == 1 })
	}
	// One that talks has not left.
	c := w.dial("/v1/events/stream", w.admin, "")
	w.eventually("both follow", func() bool { return w.open() == 2 })
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n%s", strings.Repeat("x", 1000))
	w.happen(1, 1)
	for lines := bufio.NewReader(c); ; {
		if line, err := lines.ReadString('\n'); err != nil || strings.HasPrefix(line, "data: ") {
			if err != nil {
				t.Error(err)
			}
			break
		}
	}
}

// The head is what net/http would have sent, but for the length: it says that the end of the
// connection is the end.
func TestTheHeadOfAStream(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	res, err := http.ReadResponse(bufio.NewReader(w.dial("/v1/events/stream", w.admin, "Accept-Encoding: gzip\r\nX-Request-Id: mine\r\n")), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Request-Id": "mine", "Content-Encoding": "", "Content-Length": ""} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if res.StatusCode != 200 || !res.Close || len(res.TransferEncoding) != 0 || res.Header.Get("Date") == "" {
		t.Errorf("%+v", res)
	}
	// Proxies ask in the old way.
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET /v1/events/stream HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n", w.admin)
	old, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || old.StatusCode != 200 || old.Proto != "HTTP/1.0" {
		t.Errorf("%+v %v", old, err)
	}
}

// Over TLS what is written is not what goes out, and over HTTP/2 there is no connection to take:
// streams are the same.
func TestStreamsOverTLS(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			w := newWorld(t, db.SQLite, server.Options{})
			w.store("duka", nil)
			token := w.token(w.order(w.key("merchant", "", "Acme"), nil))
			ts := httptest.NewUnstartedServer(w.srv.Handler())
			ts.EnableHTTP2 = proto == "HTTP/2.0"
			ts.TLS = &tls.Config{}
			ts.StartTLS()
			defer ts.Close()
			follow := func(path, last string) *live {
				t.Helper()
				ctx, cancel := context.WithCancel(context.Background())
				req, _ := http.NewRequestWithContext(ctx, "GET", ts.URL+path, nil)
				req.Header.Set("Authorization", "Bearer "+w.admin)
				req.Header.Set("Last-Event-ID", last)
				res, err := ts.Client().Do(req)
				if err != nil || res.StatusCode != 200 || res.Proto != proto || res.Header.Get("X-Request-Id") == "" {
					t.Fatal(res, err)
				}
				l := &live{w: w, res: res, frames: make(chan frame, 1000), cancel: cancel}
				t.Cleanup(l.close)
				go l.read()
				return l
			}
			begin := w.last()
			one, two := follow("/v1/events/stream", ""), follow("/v1/tracking/"+token+"/events", "")
			if f := two.next(); f.status() != "confirmed" {
				t.Errorf("at once: %+v", f)
			}
			w.flood(func() {
				if f := one.next(); f.id != fmt.Sprint(w.last()) {
					t.Fatalf("got %s, want %d", f.id, w.last())
				}
			})
			one.close()
			w.eventually("the place is free", func() bool { return w.open() == 1 })
			one = follow("/v1/events/stream", fmt.Sprint(begin))
			for _, seq := range w.seqsAfter(begin) {
				if f := one.next(); f.id != fmt.Sprint(seq) {
					t.Fatalf("resumed with %s, want %d", f.id, seq)
				}
			}
			w.srv.Drain()
			for _, l := range []*live{one, two} {
				if f := l.next(); f.name != "goodbye" || l.next() != (frame{}) {
					t.Errorf("at the end: %+v", f)
				}
			}
		})
	}
}

// A link dies with time too, though nothing happens.
func TestAStreamEndsWhenItsLinkExpires(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	w.store("duka", nil)
	token := w.token(w.order(w.key("merchant", "", "Acme"), nil))
	l := w.follow("/v1/tracking/"+token+"/events", "", "")
	if f := l.next(); f.status() != "confirmed" {
		t.Errorf("at once: %+v", f)
	}
	w.clock.Advance(365 * 24 * time.Hour)
	if f := l.next(); f != (frame{}) {
		t.Errorf("after the link had died: %+v", f)
	}
	w.get("", "/v1/tracking/"+token+"/events").refused(404, "not-found")
}

// What the limit of open files does not allow is said once, at the start.
func TestTheLimitOfFilesIsKept(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{MaxStreams: 1 << 40})
	if n := strings.Count(w.log.String(), "max_streams="); n != 1 {
		t.Errorf("said %d times:\n%s", n, w.log)
	}
	for _, c := range []struct {
		asked int
		files uint64
		want  int
	}{
		{0, 1 << 20, 10_000},
		{0, 1024, 524},
		{2000, 1024, 524},
		{2000, 1 << 20, 2000},
		{2000, 256, 128}, // whatever is asked, half is for the rest
		{50_000, 1 << 63, 50_000},
		{50_000, 1<<64 - 1, 50_000},
	} {
		if got := server.PlacesFor(c.asked, c.files); got != c.want {
			t.Errorf("%d asked of %d files: %d, want %d", c.asked, c.files, got, c.want)
		}
	}
}
