package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// server is a program that runs beside the bench until stop.
type server struct {
	name   string
	log    string // file with what it printed
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
}

// startServer runs a program that stays. as may be nil: then as who we are.
func startServer(log string, as *syscall.Credential, name string, args ...string) (*server, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the program has its own handle
	s := &server{name: name, log: log, cmd: exec.Command(name, args...), exited: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.Dir = "/" // the current folder may be closed to another user
	// A group of its own: Ctrl-C at the terminal is for us, and we stop it in order.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait() // how it ended is in the log
		close(s.exited)
	}()
	return s, nil
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// ready waits until check succeeds, at most so long.
func (s *server) ready(within time.Duration, check func() error) error {
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("%s has ended: %s", s.name, s.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %s: %w; %s", s.name, within, err, s.lastWords())
		}
	}
}

func (s *server) lastWords() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return lastLines(text)
}

// stop sends sig and waits; who does not follow is killed.
func (s *server) stop(sig os.Signal) error {
	if s == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.exited:
		return nil
	case <-time.After(15 * time.Second):
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.exited
	return fmt.Errorf("%s had to be killed: %s", s.name, s.lastWords())
}

// lastLines is where a program's output says what went wrong.
func lastLines(text []byte) string {
	return strings.TrimSpace(string(text[max(0, len(text)-500):]))
}
