//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// order is what the tests look at in a body.
type order struct {
	ExternalID string `json:"external_id"`
	Dropoff    struct {
		Location struct{ Lat, Lng float64 }
	}
	Items, Parcels []json.RawMessage
}

// desk is a server that takes orders and answers the n-th as told.
type desk struct {
	*httptest.Server
	mu     sync.Mutex
	seen   map[string]int
	keys   map[string]bool
	orders []order
}

func newDesk(t *testing.T, answer func(n int, w http.ResponseWriter)) *desk {
	d := &desk{seen: map[string]int{}, keys: map[string]bool{}}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var o order
		dec := json.NewDecoder(r.Body)
		if err := dec.Decode(&o); err != nil || dec.More() {
			t.Errorf("not one JSON object: %v", err)
		}
		d.mu.Lock()
		d.seen[o.ExternalID]++
		d.keys[r.Header.Get("Authorization")] = true
		d.orders = append(d.orders, o)
		n := len(d.orders)
		d.mu.Unlock()
		answer(n, w)
	}))
	t.Cleanup(d.Close)
	return d
}

func confirmed(_ int, w http.ResponseWriter) {
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, `{"status":"confirmed"}`)
}

func send(t *testing.T, mode func(*settings) (any, error), s settings) result {
	t.Helper()
	s.stores, s.seconds = 300, 20
	out, err := mode(&s)
	if err != nil {
		t.Fatal(err)
	}
	return out.(result)
}

func TestEveryOrderIsWholeAndSentOnce(t *testing.T) {
	d := newDesk(t, confirmed)
	got := send(t, orders, settings{url: d.URL, key: "ds_live_a,ds_live_b", conns: 7, count: 500, items: 0.5})
	if got.Orders != 500 || got.Marked != 500 || got.Errors != 0 {
		t.Errorf("%+v", got)
	}
	d.mu.Lock() // the race detector does not see the load generator's system calls
	defer d.mu.Unlock()
	if len(d.seen) != 500 || len(d.orders) != 500 {
		t.Errorf("%d orders with %d ids", len(d.orders), len(d.seen))
	}
	if !d.keys["Bearer ds_live_a"] || !d.keys["Bearer ds_live_b"] || len(d.keys) != 2 {
		t.Errorf("keys: %v", d.keys)
	}
	goods := 0
	for _, o := range d.orders {
		if at := o.Dropoff.Location; at.Lat < 15 || at.Lat > 50 || at.Lng < 90 || at.Lng > 125 {
			t.Fatalf("a door far from all stores: %v", at)
		}
		if (len(o.Items) > 0) == (len(o.Parcels) > 0) {
			t.Fatalf("goods or parcels, not both and not neither: %+v", o)
		}
		if len(o.Items) > 0 {
			goods++
		}
	}
	if goods < 200 || goods > 300 {
		t.Errorf("%d of 500 orders for goods, half were asked for", goods)
	}
}

func TestScatteredIDsAreDifferentToo(t *testing.T) {
	d := newDesk(t, confirmed)
	for i := range 2 {
		send(t, orders, settings{url: d.URL, key: "k", conns: 2, count: 300, scatter: true, tag: "T-", first: 1_000_000 + 300*i})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.seen) != 600 {
		t.Errorf("%d ids for 600 orders", len(d.seen))
	}
}

func TestAtARateNoMoreIsSentThanIsDue(t *testing.T) {
	d := newDesk(t, confirmed)
	s := settings{url: d.URL, key: "k", conns: 3, stores: 300, seconds: 0.5, rate: 200}
	out, err := orders(&s)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.(result); got.Orders+got.Errors > 101 || got.Orders == 0 {
		t.Errorf("100 were due: %+v", got)
	}
}

func TestErrorsAreCountedAndTheFirstIsTold(t *testing.T) {
	d := newDesk(t, func(n int, w http.ResponseWriter) {
		switch n % 5 {
		case 0:
			http.Error(w, "too many", http.StatusTooManyRequests)
		case 1:
			w.Header().Set("Connection", "close")
			confirmed(n, w)
		case 2: // in chunks, and longer than the reader's first buffer
			w.WriteHeader(http.StatusCreated)
			for range 10 {
				_, _ = w.Write(bytes.Repeat([]byte("x"), 5000))
				w.(http.Flusher).Flush()
			}
		default:
			confirmed(n, w)
		}
	})
	got := send(t, orders, settings{url: d.URL, key: "k", conns: 4, count: 100})
	if got.Orders != 80 || got.Marked != 60 || got.Errors != 20 || !strings.HasPrefix(got.First, "429 too many") {
		t.Errorf("%+v", got)
	}
}

func TestAServerThatHangsUpCostsOneRequest(t *testing.T) {
	d := newDesk(t, func(n int, w http.ResponseWriter) {
		if n == 3 {
			panic(http.ErrAbortHandler)
		}
		confirmed(n, w)
	})
	got := send(t, orders, settings{url: d.URL, key: "k", conns: 2, count: 20})
	if got.Orders != 19 || got.Errors != 1 {
		t.Errorf("%+v", got)
	}
}

func TestPathsAreAskedForInTurns(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	d := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked[r.URL.Path]++
	}))
	defer d.Close()
	file := filepath.Join(t.TempDir(), "paths")
	if err := os.WriteFile(file, []byte("/a\n/b\n/c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := send(t, gets, settings{url: d.URL, conns: 3, count: 30, paths: file})
	mu.Lock()
	defer mu.Unlock()
	if got.Orders != 30 || asked["/a"] != 10 || asked["/b"] != 10 || asked["/c"] != 10 {
		t.Errorf("%+v %v", got, asked)
	}
}

func TestBatchesCountTheirLines(t *testing.T) {
	var mu sync.Mutex
	ids := map[string]bool{}
	d := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		lines := bufio.NewScanner(r.Body)
		for i := 0; lines.Scan(); i++ {
			var o order
			if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
				t.Error(err)
			}
			mu.Lock()
			ids[o.ExternalID] = true
			mu.Unlock()
			status := http.StatusCreated
			if i == 7 {
				status = http.StatusUnprocessableEntity
			}
			fmt.Fprintf(w, `{"index":%d,"status":%d}`+"\n", i, status)
		}
	}))
	defer d.Close()
	got := send(t, batches, settings{url: d.URL, key: "k", conns: 2, count: 1000, lines: 100})
	if got.Orders != 990 || got.Errors != 10 || len(ids) != 1000 {
		t.Errorf("%+v, %d ids", got, len(ids))
	}
}

func TestStreamsHearOfTheEvent(t *testing.T) {
	news := make(chan struct{})
	var mu sync.Mutex
	d := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			mu.Lock()
			close(news)
			news = make(chan struct{})
			mu.Unlock()
			return
		}
		fmt.Fprint(w, "retry: 2000\n\n")
		w.(http.Flusher).Flush()
		for range 2 {
			mu.Lock()
			wait := news
			mu.Unlock()
			select {
			case <-wait:
			case <-r.Context().Done():
				return
			}
			fmt.Fprint(w, "id: 1\nevent: news\ndata: {}\n\n")
			w.(http.Flusher).Flush()
		}
	}))
	defer d.CloseClientConnections()
	out := listeners{settings: &settings{url: d.URL, key: "k", conns: 20, trigger: "/x", rounds: 2}, heard: make([]bool, 20)}
	if err := out.open([]string{"/v1/events/stream"}); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		if err := out.round(n); err != nil {
			t.Fatal(err)
		}
	}
	if out.out.Streams != 20 || out.out.Missed != 0 || out.out.Refused != 0 || len(out.out.Rounds) != 2 {
		t.Errorf("%+v", out.out)
	}
}

func FuzzReadAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 2", "220 smtp\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, whole, err := readAnswer(b)
		if !whole || err != nil {
			return
		}
		// What is taken for whole, the standard library finds whole, with the same status.
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
		if err != nil {
			return // it is stricter about what it takes for a response at all
		}
		defer res.Body.Close()
		if res.StatusCode != a.status {
			t.Errorf("status %d, want %d", a.status, res.StatusCode)
		}
		if n := res.ContentLength; n >= 0 && int64(len(a.body)) < n {
			t.Errorf("%d bytes of a body of %d were enough", len(a.body), n)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	})
}

func TestAFixedRateCountsFromWhenARequestWasDue(t *testing.T) {
	d := newDesk(t, func(n int, w http.ResponseWriter) {
		if n == 1 {
			time.Sleep(100 * time.Millisecond)
		}
		confirmed(n, w)
	})
	// The only connection is held until the other nine are due as well: they all wait, and it shows.
	got := send(t, orders, settings{url: d.URL, key: "k", conns: 1, count: 10, rate: 100})
	if got.Orders != 10 || got.P50 < 10_000 {
		t.Errorf("half of the orders waited tens of milliseconds: %+v", got)
	}
}
