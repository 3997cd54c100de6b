//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// driver sends requests over connections that each wait for their answer.
type driver struct {
	host    string
	conns   int
	count   int           // requests at most; 0: any number
	time    time.Duration // sending ends after it
	rate    float64       // requests a second by the clock; 0: each when the one before was answered
	pid     int           // of the server; 0: not asked
	want    int           // the status of an answer that counts
	mark    []byte        // what a marked answer contains; nil: none is
	request func(conn int) []byte
}

// result is what came of a run. Latencies are of answers that count, from when the request was sent
// or, at a fixed rate, was due: a server that stalls makes all late that wait for it.
type result struct {
	Orders    int     `json:"orders"`           // answers with the wanted status
	Marked    int     `json:"marked,omitempty"` // of which contain the mark; of orders: have a store
	Errors    int     `json:"errors"`           // anything else, also answers that never came
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	Max       float64 `json:"max_us"`
	CPU       float64 `json:"cpu_s"`                  // of this process
	ServerCPU float64 `json:"server_cpu_s,omitempty"` // of the process -pid, meanwhile
	First     string  `json:"first_error"`
}

// link is one connection.
type link struct {
	fd   int
	in   []byte
	n    int
	sent time.Duration // since the start; when the request went out or was due
	busy bool
}

// lastAnswers is how long answers are waited for after the last request.
const lastAnswers = 10 * time.Second

// tooManyErrors end a run: nothing good is to be learnt from it.
const tooManyErrors = 10_000

func (d *driver) run() (result, error) {
	r := session{driver: d, links: make([]link, d.conns)}
	var err error
	if r.poll, err = newPoll(); err != nil {
		return result{}, err
	}
	for i := range r.links {
		r.links[i].in = make([]byte, 16<<10)
		if err := r.connect(i); err != nil {
			return result{}, err
		}
	}
	own, theirs := ownCPU(), cpuOf(d.pid)
	r.start = time.Now()
	r.loop()
	return r.result(ownCPU()-own, cpuOf(d.pid)-theirs), nil
}

// session is a driver under way.
type session struct {
	*driver
	poll  *poll
	links []link
	idle  []int
	start time.Time
	last  time.Duration // when the last answer came

	sent, under int
	took        []int32 // microseconds
	marked      int
	errors      int
	first       string
}

func (r *session) connect(i int) (err error) {
	l := &r.links[i]
	if l.fd, err = dial(r.host); err != nil {
		return err
	}
	l.n = 0
	r.idle = append(r.idle, i)
	return r.poll.add(l.fd, i)
}

// loop sends while it may, then waits for what is on its way.
func (r *session) loop() {
	for {
		now := time.Since(r.start)
		over := now >= r.time || r.count > 0 && r.sent >= r.count || r.errors >= tooManyErrors
		if over && (r.under == 0 || now >= max(r.last, r.time)+lastAnswers && now >= r.last+lastAnswers) {
			return
		}
		wait := 100 * time.Millisecond
		if !over {
			if due, waits := r.send(now); waits {
				wait = due - now
			}
		}
		r.poll.wait(wait, r.receive)
	}
}

// send sends over all idle connections what is due; when one stays idle, it says until when.
func (r *session) send(now time.Duration) (next time.Duration, waits bool) {
	for len(r.idle) > 0 && (r.count == 0 || r.sent < r.count) {
		at := now
		if r.rate > 0 {
			if at = time.Duration(float64(r.sent) / r.rate * 1e9); at > now {
				return at, true
			}
		} else {
			at = time.Since(r.start)
		}
		i := r.idle[len(r.idle)-1]
		r.idle = r.idle[:len(r.idle)-1]
		l := &r.links[i]
		l.sent, l.busy = at, true
		r.sent++
		r.under++
		if err := write(l.fd, r.request(i)); err != nil {
			r.broke(i, err)
		}
	}
	return 0, false
}

// receive reads what came over connection i.
func (r *session) receive(i int) {
	l := &r.links[i]
	if l.n == len(l.in) {
		l.in = append(l.in, make([]byte, len(l.in))...)
	}
	n, again, err := read(l.fd, l.in[l.n:])
	switch {
	case again:
		return
	case err != nil:
		r.broke(i, err)
		return
	case n == 0:
		r.broke(i, fmt.Errorf("the server hung up"))
		return
	}
	l.n += n
	a, whole, err := readAnswer(l.in[:l.n])
	if err != nil {
		r.broke(i, err)
		return
	}
	if whole && l.busy {
		r.answered(l, a)
		if l.busy, l.n = false, 0; a.closes {
			r.reconnect(i)
		} else {
			r.idle = append(r.idle, i)
		}
	}
}

func (r *session) answered(l *link, a answer) {
	r.under--
	r.last = time.Since(r.start)
	if a.status != r.want {
		r.fail(fmt.Sprintf("%d %s", a.status, a.body))
		return
	}
	r.took = append(r.took, int32((r.last - l.sent).Microseconds()))
	if r.mark != nil && bytes.Contains(a.body, r.mark) {
		r.marked++
	}
}

func (r *session) fail(why string) {
	if r.errors++; r.first == "" {
		r.first = why[:min(len(why), 400)]
	}
}

// broke counts what was under way over connection i as an error, and makes the connection anew.
func (r *session) broke(i int, err error) {
	if r.links[i].busy {
		r.links[i].busy = false
		r.under--
		r.fail(err.Error())
	} else {
		r.idle = slices.DeleteFunc(r.idle, func(j int) bool { return j == i })
	}
	r.reconnect(i)
}

func (r *session) reconnect(i int) {
	_ = syscall.Close(r.links[i].fd)
	if err := r.connect(i); err != nil {
		r.fail(err.Error()) // one connection fewer from now on
	}
}

func (r *session) result(own, theirs float64) result {
	out := result{Orders: len(r.took), Marked: r.marked, Errors: r.errors + r.under, Seconds: r.last.Seconds(),
		CPU: own, ServerCPU: theirs, First: r.first}
	if out.First == "" && r.under > 0 {
		out.First = fmt.Sprintf("%d requests were not answered", r.under)
	}
	out.latencies(r.took)
	return out
}

func (r *result) latencies(took []int32) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	r.PerSecond = float64(r.Orders) / max(r.Seconds, 1e-9)
	r.P50 = float64(took[len(took)/2])
	r.P99 = float64(took[len(took)*99/100])
	r.Max = float64(took[len(took)-1])
}

// ownCPU is the CPU time of this process in seconds.
func ownCPU() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// cpuOf is the CPU time of a process in seconds, in steps of 10 ms; 0 for process 0.
func cpuOf(pid int) float64 {
	if pid == 0 {
		return 0
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name in brackets may have spaces; utime and stime are fields 14 and 15, in hundredths.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return float64(user+system) / 100
}
