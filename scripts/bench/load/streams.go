//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// streamed is what came of streams.
type streamed struct {
	Streams int       `json:"streams"`  // open, and heard from
	Refused int       `json:"refused"`  // that could not be opened, or broke
	OpenS   float64   `json:"open_s"`   // until all were open
	Rounds  []float64 `json:"round_ms"` // from the trigger's request until the last stream had the event
	Half    []float64 `json:"half_ms"`  // … until half of them had it
	Answer  []float64 `json:"answer_ms"`
	Missed  int       `json:"missed"` // events that did not come within roundTime, of all rounds
	CPU     float64   `json:"cpu_s"`
	First   string    `json:"first_error"`
}

const (
	openTime  = 60 * time.Second
	roundTime = 10 * time.Second
)

// streams opens SSE connections, says "ready" on a line of its own, waits for a line on stdin, and
// makes one event after the other, each when all have the one before.
func streams(s *settings) (any, error) {
	paths := []string{"/v1/events/stream"}
	if s.paths != "" {
		var err error
		if paths, err = s.readPaths(); err != nil {
			return nil, err
		}
	}
	if s.trigger == "" {
		return nil, errors.New("-trigger says what to post to for one event")
	}
	// Every stream is a file; Go has raised the limit to what is allowed.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < uint64(s.conns)+50 {
		return nil, fmt.Errorf("%d files may be open here, too few for %d streams", limit.Cur, s.conns)
	}
	l := listeners{settings: s, heard: make([]bool, s.conns)}
	if err := l.open(paths); err != nil {
		return nil, err
	}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	own := ownCPU()
	for n := range s.rounds {
		if err := l.round(n); err != nil {
			return l.out, err
		}
	}
	l.out.CPU = ownCPU() - own
	return l.out, nil
}

// listeners are SSE clients on one thread. What they are sent is looked at, not kept.
type listeners struct {
	*settings
	poll  *poll
	fds   []int
	heard []bool
	left  int       // that have not heard the thing waited for
	half  time.Time // when half of them had
	out   streamed
	buf   [16 << 10]byte
}

func (l *listeners) open(paths []string) (err error) {
	if l.poll, err = newPoll(); err != nil {
		return err
	}
	began, keys := time.Now(), l.keys()
	l.fds = make([]int, l.conns)
	l.expect()
	for i := range l.fds {
		if l.fds[i], err = dial(l.host()); err != nil {
			return err
		}
		if err := l.poll.add(l.fds[i], i); err != nil {
			return err
		}
		if err := write(l.fds[i], []byte(l.head("GET", paths[i%len(paths)], keys[i%len(keys)])+"Accept: text/event-stream\r\n\r\n")); err != nil {
			return err
		}
		l.poll.wait(0, l.listen("\n\n")) // connections are let in as they are dialled
	}
	l.until(began.Add(openTime), "\n\n")
	l.out.OpenS = time.Since(began).Seconds()
	l.out.Streams = l.conns - l.left - l.out.Refused
	l.out.Refused += l.left
	return nil
}

// expect begins to wait for something that every open stream has to hear.
func (l *listeners) expect() {
	l.left, l.half = 0, time.Time{}
	for i := range l.heard {
		if l.heard[i] = l.fds[i] < 0; !l.heard[i] {
			l.left++
		}
	}
}

func (l *listeners) until(end time.Time, text string) {
	for l.left > 0 && time.Now().Before(end) {
		l.poll.wait(100*time.Millisecond, l.listen(text))
	}
}

// listen notes which streams were sent something with text in it. Frames are small and sent whole.
func (l *listeners) listen(text string) func(int) {
	want := []byte(text)
	return func(i int) {
		n, again, err := read(l.fds[i], l.buf[:])
		got := l.buf[:n]
		switch {
		case again:
			return
		case err != nil || n == 0 || bytes.HasPrefix(got, []byte("HTTP/1.1 ")) && !bytes.HasPrefix(got, []byte("HTTP/1.1 200")):
			l.hangUp(i, err, got)
		case !bytes.Contains(got, want):
			return
		}
		if l.heard[i] {
			return
		}
		l.heard[i] = true
		if l.left--; l.left == l.conns/2 {
			l.half = time.Now()
		}
	}
}

func (l *listeners) hangUp(i int, err error, got []byte) {
	_ = syscall.Close(l.fds[i])
	l.fds[i] = -1
	l.out.Refused++
	if l.out.First == "" {
		l.out.First = fmt.Sprintf("%v %.300s", err, got)
	}
}

// round makes an event and waits until every stream has it. What still comes of the round before
// has time to come first.
func (l *listeners) round(n int) error {
	for quiet := time.Now().Add(300 * time.Millisecond); time.Now().Before(quiet); {
		l.poll.wait(time.Until(quiet), l.listen("\n\n"))
	}
	l.expect()
	paths := strings.Split(l.trigger, ",")
	req, err := http.NewRequest("POST", strings.TrimSuffix(l.url, "/")+paths[n%len(paths)], nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+l.keys()[0])
	answered := make(chan error, 1)
	began := time.Now()
	var answer time.Duration
	go func() {
		res, err := http.DefaultClient.Do(req)
		answer = time.Since(began)
		if err == nil {
			text, _ := io.ReadAll(io.LimitReader(res.Body, 400))
			if res.Body.Close(); res.StatusCode/100 != 2 {
				err = fmt.Errorf("trigger: %d %s", res.StatusCode, text)
			}
		}
		answered <- err
	}()
	l.until(began.Add(roundTime), "\ndata: ")
	last := time.Now()
	if err := <-answered; err != nil {
		return err
	}
	l.out.Missed += l.left
	l.out.Answer = append(l.out.Answer, ms(answer))
	l.out.Rounds = append(l.out.Rounds, ms(last.Sub(began)))
	l.out.Half = append(l.out.Half, ms(l.half.Sub(began)))
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
