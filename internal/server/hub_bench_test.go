package server_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/event"
	"doorstep/internal/match"
	"doorstep/internal/server"
)

// BenchmarkStreams has 10,000 clients on loopback, or as many as the process has files for. It tells
// how long after its commit an event is with the last of them, and what a client costs in memory after a
// collection and in goroutines. The clients are bare sockets, so that what grows is the
// server's; they share the cores with it.
func BenchmarkStreams(b *testing.B) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		b.Fatal(err)
	}
	n := min(10_000, (int(min(files.Cur, 1<<20))-200)/2)
	d := dbtest.Open(b, db.SQLite, db.Options{})
	keys, log := auth.NewBook(d), event.NewLog(d)
	defer log.Close()
	key, _, err := keys.Create(context.Background(), auth.NewKey{Role: auth.RoleDispatcher})
	if err != nil {
		b.Fatal(err)
	}
	srv := server.New(server.Parts{DB: d, Keys: keys, Events: log, Match: &match.Book{}, Log: slog.New(slog.DiscardHandler)}, server.Options{MaxStreams: n})
	ts := httptest.NewUnstartedServer(srv.Handler())
	ts.Config = srv.HTTP()
	ts.Start()
	defer ts.Close()
	defer srv.Drain()

	before, goroutines := inUse(), runtime.NumGoroutine()
	port := ts.Listener.Addr().(*net.TCPAddr).Port
	request := fmt.Appendf(nil, "GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", key)
	sockets := make([]int, n)
	for i := range sockets {
		sockets[i] = dialRaw(b, port, request)
		defer syscall.Close(sockets[i])
	}
	for runtime.NumGoroutine() > goroutines+10 { // the last handlers are on their way out
		time.Sleep(time.Millisecond)
	}
	memory, routines := float64(inUse()-before)/1024, float64(runtime.NumGoroutine()-goroutines)

	var chain event.Chain
	var spent time.Duration
	for b.Loop() {
		err := d.InTx(context.Background(), func(tx *db.Tx) error {
			return event.Append(tx, &chain, event.New{Type: "store.updated", Subject: 1, Data: map[string]string{"name": "a name of the usual length"}})
		})
		if err != nil {
			b.Fatal(err)
		}
		committed := time.Now()
		// The last first: when it has something, so have nearly all others, and no read waits.
		for _, s := range slices.Backward(sockets) {
			awaitText(b, s, []byte("\nevent: store.updated\n"))
		}
		spent += time.Since(committed)
	}
	b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "ms/all")
	b.ReportMetric(memory/float64(n), "KiB/client")
	b.ReportMetric(routines/float64(n), "goroutines/client")
	b.ReportMetric(float64(n), "clients")
}

// inUse is the memory in use when nothing is left to collect.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools held
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapIdle // with what the poller keeps for each socket
}

// dialRaw opens a stream on a socket that Go knows nothing about.
func dialRaw(b *testing.B, port int, request []byte) int {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	err = syscall.Connect(s, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err == nil {
		_, err = syscall.Write(s, request)
	}
	if err == nil {
		err = syscall.SetsockoptTimeval(s, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: int64(patience / time.Second)})
	}
	if err != nil {
		b.Fatal(err)
	}
	awaitText(b, s, []byte("retry: "))
	return s
}

// awaitText reads until text has come.
func awaitText(b *testing.B, socket int, text []byte) {
	var buf [4096]byte
	for got := 0; !bytes.Contains(buf[:got], text); {
		n, err := syscall.Read(socket, buf[got:])
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 {
			b.Fatalf("the stream ended after %q: %v", buf[:got], err)
		}
		got += n
	}
}
