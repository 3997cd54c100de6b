package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// streams measures 10,000 clients of the event stream: how long one event takes to reach all, and
// what a client takes in memory.
func (b *bench) streams() (err error) {
	stores, clients := b.size(60_000, 6_000), b.size(10_000, 500)
	base, err := b.stocked(stores)
	if err != nil {
		return err
	}
	copied, err := b.copyOf(base)
	if err != nil {
		return err
	}
	n, err := b.serve(copied, fmt.Sprintf("max_streams = %d\n", clients+100))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if _, err := n.orders(stores, times(b.size(5_000, 500))...); err != nil { // a server that has worked
		return err
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := n.call("GET", "/v1/stores?limit=1", n.staff, "", &list); err != nil {
		return err
	}
	if len(list.Data) == 0 {
		return errors.New("there are no stores")
	}
	alone, _, err := n.memory()
	if err != nil {
		return err
	}
	store := "/v1/stores/" + list.Data[0].ID
	s, crowded, err := n.listen(clients, store+"/pause,"+store+"/resume")
	if err != nil {
		return err
	}
	if s.Streams != clients || s.Missed > 0 {
		return fmt.Errorf("%d of %d streams were open and %d events were missed; the first error: %s", s.Streams, clients, s.Missed, s.First)
	}
	b.report(goal{ID: "P12", Value: median(s.Rounds), Floor: 500, Goal: 100, Less: true, Unit: "ms",
		What:  fmt.Sprintf("from a request to %d SSE clients that all have its event", clients),
		Notes: map[string]float64{"half_of_them_ms": median(s.Half), "answer_ms": median(s.Answer), "open_s": s.OpenS}})
	b.report(goal{ID: "P12-memory", Value: (crowded - alone) / float64(clients) / 1024, Floor: 32, Goal: 6, Less: true, Unit: "KiB",
		What:  fmt.Sprintf("resident memory for each of %d SSE clients", clients),
		Notes: map[string]float64{"with_mib": crowded / (1 << 20), "without_mib": alone / (1 << 20)}})
	return nil
}

// streamed is what the load generator says about streams.
type streamed struct {
	Streams int       `json:"streams"`
	OpenS   float64   `json:"open_s"`
	Rounds  []float64 `json:"round_ms"`
	Half    []float64 `json:"half_ms"`
	Answer  []float64 `json:"answer_ms"`
	Missed  int       `json:"missed"`
	First   string    `json:"first_error"`
}

// listen opens streams, asks for the server's memory when all are open, and then for events.
func (n *network) listen(clients int, trigger string) (s streamed, memory float64, err error) {
	bin, err := n.b.program("./scripts/bench/load")
	if err != nil {
		return s, 0, err
	}
	cmd := exec.CommandContext(n.b.ctx, bin, "streams", "-url", n.url, "-key", n.staff, "-conns", strconv.Itoa(clients), "-trigger", trigger)
	cmd.WaitDelay = 10 * time.Second
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	var said strings.Builder
	cmd.Stderr = &said
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		return s, 0, err
	}
	defer func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if end := cmd.Wait(); end != nil && err == nil {
			err = fmt.Errorf("load streams: %w: %s", end, said.String())
		}
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		return s, 0, nil // its end says why
	}
	if memory, _, err = n.memory(); err != nil {
		return s, 0, err
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		return s, 0, err
	}
	if lines.Scan() {
		err = json.Unmarshal(lines.Bytes(), &s)
	}
	return s, memory, err
}
