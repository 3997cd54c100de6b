//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"doorstep/scripts/bench/country"
)

// batches sends orders by the thousand over a few connections, and reads each line's answer while
// it still writes. With so few system calls an order, plain goroutines do.
func batches(s *settings) (any, error) {
	if s.key == "" {
		return nil, errNoKey
	}
	b := batcher{settings: s, lines: s.orders(func(_, body string) string { return body + "\n" })}
	own, theirs := ownCPU(), cpuOf(s.pid)
	b.start = time.Now()
	var wg sync.WaitGroup
	for i := range s.conns {
		wg.Go(func() {
			if err := b.send(i); err != nil {
				b.fail(err.Error())
			}
		})
	}
	wg.Wait()
	out := result{Orders: int(b.orders.Load()), Errors: b.errors, First: b.first, Seconds: time.Since(b.start).Seconds(),
		CPU: ownCPU() - own, ServerCPU: cpuOf(s.pid) - theirs}
	out.latencies(b.took)
	return out, nil
}

type batcher struct {
	*settings
	start  time.Time
	orders atomic.Int64 // created

	mu     sync.Mutex
	lines  *country.Orders
	asked  int
	took   []int32 // microseconds a request
	errors int
	first  string
}

func (b *batcher) fail(why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.errors++; b.first == "" {
		b.first = why[:min(len(why), 400)]
	}
}

// batch appends the next request's lines; there are none when the run is over.
func (b *batcher) batch(to []byte, sender int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.start) >= seconds(b.seconds) || b.errors >= tooManyErrors {
		return to
	}
	for range b.settings.lines {
		if b.count > 0 && b.asked >= b.count {
			break
		}
		b.asked++
		to = append(to, b.lines.Next(sender)...)
	}
	return to
}

// send sends one request after the other over a connection of its own.
func (b *batcher) send(sender int) error {
	conn, err := net.Dial("tcp", b.host())
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 256<<10)
	head := b.head("POST", "/v1/order-batches", b.keys()[sender%len(b.keys())])
	var body []byte
	for {
		if body = b.batch(body[:0], sender); len(body) == 0 {
			return nil
		}
		began := time.Now()
		_ = conn.SetDeadline(began.Add(time.Minute))
		written := make(chan error, 1)
		go func() {
			out := net.Buffers{fmt.Appendf(nil, "%sContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", head, len(body)), body}
			_, err := out.WriteTo(conn)
			written <- err
		}()
		if err := b.receive(in, bytes.Count(body, []byte("\n"))); err != nil {
			conn.Close()
			return errors.Join(err, <-written)
		}
		if err := <-written; err != nil {
			return err
		}
		b.mu.Lock()
		b.took = append(b.took, int32(time.Since(began).Microseconds()))
		b.mu.Unlock()
	}
}

var created = []byte(`"status":201`)

// receive counts the lines of an answer.
func (b *batcher) receive(in *bufio.Reader, lines int) error {
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 400))
		return fmt.Errorf("%d %s", res.StatusCode, text)
	}
	all := bufio.NewScanner(res.Body)
	all.Buffer(make([]byte, 256<<10), 256<<10)
	for all.Scan() {
		lines--
		// A line begins with its index and status.
		if line := all.Bytes(); bytes.Contains(line[:min(len(line), 40)], created) {
			b.orders.Add(1)
		} else {
			b.fail(string(line))
		}
	}
	if lines != 0 && all.Err() == nil {
		return fmt.Errorf("%d lines were not answered", lines)
	}
	return all.Err()
}
