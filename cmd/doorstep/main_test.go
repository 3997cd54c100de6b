package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// command runs the program in this process and returns what it printed.
func command(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), err
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, err := command(t, args...)
	if err != nil {
		t.Fatalf("doorstep %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
	return out
}

// wantRefused runs a command that must fail with an exit code, and one line that holds all words.
func wantRefused(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	_, _, err := command(t, args...)
	if err == nil {
		t.Errorf("doorstep %s: no error, want one with %q", strings.Join(args, " "), words)
		return
	}
	text := explain(err)
	for _, w := range append(words, "") {
		if !strings.Contains(text, w) {
			t.Errorf("doorstep %s: %q lacks %q", strings.Join(args, " "), text, w)
		}
	}
	if strings.Contains(text, "\n") {
		t.Errorf("doorstep %s: the message has several lines: %q", strings.Join(args, " "), text)
	}
	if got := exitCode(err); got != code {
		t.Errorf("doorstep %s: exit code %d, want %d", strings.Join(args, " "), got, code)
	}
}

// serving is the program in a process of its own.
type serving struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	out    *lines
	errs   *lines
	exited chan error
}

// lines collects what a process prints, and lets others wait for some of it.
type lines struct {
	mu   sync.Mutex
	text string
	more chan struct{}
}

func collect(r io.Reader) *lines {
	l := &lines{more: make(chan struct{})}
	go func() {
		for in := bufio.NewReader(r); ; {
			line, err := in.ReadString('\n')
			l.mu.Lock()
			l.text += line
			close(l.more)
			l.more = make(chan struct{})
			l.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return l
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text
}

// await returns the groups of the first match of pattern in what was printed.
func (l *lines) await(t *testing.T, pattern string) []string {
	t.Helper()
	re, giveUp := regexp.MustCompile(pattern), time.After(40*time.Second)
	for {
		l.mu.Lock()
		m, more, text := re.FindStringSubmatch(l.text), l.more, l.text
		l.mu.Unlock()
		if m != nil {
			return m
		}
		select {
		case <-more:
		case <-giveUp:
			t.Fatalf("nothing like %q was printed:\n%s", pattern, text)
		}
	}
}

func serveProcess(t *testing.T, args ...string) *serving {
	t.Helper()
	p := &serving{t: t, exited: make(chan error, 1),
		cmd: exec.Command(binary(t), append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)}
	p.cmd.Dir = t.TempDir()
	stdout, stdoutW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, stderrW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = stdoutW, stderrW
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdoutW.Close()
	stderrW.Close()
	p.out, p.errs = collect(stdout), collect(stderr)
	go func() { p.exited <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("stderr of the server:\n%s", p.errs)
		}
	})
	p.url = p.out.await(t, `(?m)^doorstep listening on (http://127\.0\.0\.1:\d+)$`)[1]
	return p
}

func (p *serving) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait returns how the process ended; the contract gives it 10 s.
func (p *serving) wait() error {
	p.t.Helper()
	select {
	case err := <-p.exited:
		return err
	case <-time.After(10 * time.Second):
		p.t.Fatal("the process is still there 10 s after the signal")
		return nil
	}
}

func (p *serving) terminate() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if err := p.wait(); err != nil {
		p.t.Fatalf("exit after SIGTERM: %v", err)
	}
}

// call makes a request and decodes a JSON answer into out, if given.
func call(t *testing.T, method, url, key, body string, out any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			t.Fatalf("%s %s: %d %s", method, url, res.StatusCode, data)
		}
	}
	return res.StatusCode
}

// eventually asks until yes says so.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for giveUp := time.Now().Add(30 * time.Second); !yes(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(giveUp) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func newPath(t *testing.T, name string) string { return filepath.Join(t.TempDir(), name) }

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := newPath(t, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func storeBody(external string) string {
	return fmt.Sprintf(`{"external_id":%q,"name":"Kiosk %s","location":{"lat":-1.2864,"lng":36.8172},"time_zone":"Africa/Nairobi",
		"address":{"country":"KE"},"capacity":{"slot_minutes":60,"orders_per_slot":5000},"auto_accept":true}`, external, external)
}

func orderBody(external string) string {
	return fmt.Sprintf(`{"external_id":%q,"parcels":[{"weight_g":500}],"recipient":{"name":"Achieng","phone":"+254712345678"},
		"dropoff":{"location":{"lat":-1.2870,"lng":36.8180}},"undeliverable_action":"redeliver"}`, external)
}

// inProcess starts the same node that serve starts, in this process.
func inProcess(t *testing.T, args ...string) *node {
	t.Helper()
	a := &app{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	cmd := a.serveCommand()
	a.root().AddCommand(cmd)
	if err := cmd.ParseFlags(append([]string{"--listen", "127.0.0.1:0"}, args...)); err != nil {
		t.Fatal(err)
	}
	c, err := a.configure(cmd)
	if err != nil {
		t.Fatal(err)
	}
	n, err := a.start(context.Background(), c, false)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
