package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"doorstep/internal/fault"
)

const (
	maxLines    = 10_000
	maxLine     = 256 << 10
	batchAtOnce = 1024 // lines of one batch under way together: they share commits
	linesAtOnce = 8192 // lines of all batches: half of what may wait for the writer
)

type batchLine struct {
	Index   int             `json:"index"`
	Status  int             `json:"status"`
	Order   json.RawMessage `json:"order,omitempty"`
	Problem *problem        `json:"problem,omitempty"`
}

// write writes l and a newline. An order is JSON already: encoding/json would check and copy it again,
// which took as long as making it.
func (l *batchLine) write(w *bufio.Writer) error {
	if l.Order == nil {
		return json.NewEncoder(w).Encode(l)
	}
	_, _ = fmt.Fprintf(w, `{"index":%d,"status":%d,"order":`, l.Index, l.Status)
	_, _ = w.Write(l.Order)
	_, err := w.WriteString("}\n") // a bufio.Writer that has failed fails for ever
	return err
}

// createOrders takes one order a line and answers one line each, in the order they came, as soon
// as it and those before it are known. Each line stands alone: it is created or refused by itself.
func (k *call) createOrders() error {
	kind, _, err := mime.ParseMediaType(k.r.Header.Get("Content-Type"))
	if err != nil || !strings.HasSuffix(kind, "ndjson") && !strings.HasSuffix(kind, "jsonl") {
		return fault.New(fault.Unsupported, "unsupported-media-type", "send application/x-ndjson: one order a line")
	}
	if k.r.ContentLength > maxUpload {
		return tooLarge(maxUpload)
	}
	merchant, err := k.merchant()
	if err != nil {
		return err
	}
	name := k.r.Header.Get("Idempotency-Key")
	if len(name) > 240 {
		return fault.InvalidField("Idempotency-Key", "too-long", "at most 240 characters for a batch")
	}
	rc := http.NewResponseController(k.c.Response())
	_ = rc.EnableFullDuplex() // we answer while the client still writes
	in := bufio.NewScanner(http.MaxBytesReader(k.c.Response(), k.r.Body, maxUpload))
	in.Buffer(make([]byte, 64<<10), maxLine)

	k.header.Set("Content-Type", "application/x-ndjson")
	k.c.Response().WriteHeader(http.StatusOK)
	answers := make(chan chan batchLine, batchAtOnce)
	written := make(chan error, 1)
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	go func() {
		written <- writeLines(punctual{k.c.Response(), rc}, answers, func() {
			cancel()
			_ = rc.SetReadDeadline(time.Now()) // nobody reads the answers: take in no more
		})
	}()

	// Workers, because a goroutine for each line would grow its stack anew each time.
	var wg sync.WaitGroup
	type job struct {
		index  int
		line   []byte
		answer chan<- batchLine
	}
	jobs, workers := make(chan job), 0
	work := func() {
		for j := range jobs {
			k.lines <- struct{}{}
			j.answer <- k.line(merchant, name, j.index, j.line)
			<-k.lines
		}
	}
	index := 0
	for ; ctx.Err() == nil && in.Scan(); index++ {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue // a blank line is no order, but counts: index is the line's place in the file
		}
		answer := make(chan batchLine, 1)
		answers <- answer
		if index >= maxLines {
			answer <- k.lineProblem(index, fault.New(fault.TooLarge, "too-many-lines", "at most %d orders a batch: send this line and the rest again", maxLines))
			index++
			break
		}
		j := job{index, bytes.Clone(in.Bytes()), answer}
		select {
		case jobs <- j:
		default: // nobody is idle
			if workers < batchAtOnce {
				workers++
				wg.Go(work)
			}
			jobs <- j
		}
	}
	close(jobs)
	if err := in.Err(); err != nil {
		f := bodyError(err, maxUpload)
		if errors.Is(err, bufio.ErrTooLong) {
			f = fault.New(fault.TooLarge, "line-too-long", "a line is at most %d KiB; it and all behind it were not read", maxLine>>10)
		}
		answer := make(chan batchLine, 1)
		answer <- k.lineProblem(index, f)
		answers <- answer
	}
	wg.Wait()
	close(answers)
	return <-written
}

// punctual writes to a client that has to read within writeTimeout.
type punctual struct {
	w  io.Writer
	rc *http.ResponseController
}

func (p punctual) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := p.w.Write(b)
	if err == nil {
		err = p.rc.Flush()
	}
	return n, err
}

// writeLines writes the answers as they come, and calls gone once when the client takes no more.
func writeLines(to io.Writer, answers <-chan chan batchLine, gone func()) error {
	w := bufio.NewWriterSize(to, 64<<10)
	var failed error
	for answer := range answers {
		l := <-answer
		if failed != nil {
			continue // the client is gone; let the lines under way end
		}
		failed = l.write(w)
		if len(answers) == 0 && failed == nil {
			failed = w.Flush()
		}
		if failed != nil {
			gone()
		}
	}
	if failed == nil {
		failed = w.Flush()
	}
	return failed
}

func (k *call) lineProblem(index int, err error) batchLine {
	p := k.asProblem(err)
	return batchLine{Index: index, Status: p.Status, Problem: &p}
}

// line creates the order of one line, under its own idempotency key.
func (k *call) line(merchant int64, name string, index int, data []byte) (out batchLine) {
	defer func() {
		if p := recover(); p != nil {
			out = k.lineProblem(index, fmt.Errorf("panic: %v", p))
		}
	}()
	var in orderIn
	if err := orderJSON(data, &in); err != nil {
		return k.lineProblem(index, err)
	}
	one := *k // its own answer
	one.status, one.answer, one.repeat = 0, nil, nil
	one.header = http.Header{}
	do := func() error {
		answer, err := one.place(merchant, &in, one.repeat)
		one.give(answer)
		return err
	}
	var err error
	if name == "" {
		err = do()
	} else {
		one.repeat = newRepeat(one.owner(), fmt.Sprintf("%s#%d", name, index), "line", data)
		err = one.guard(one.repeat, do)
	}
	if err != nil {
		return k.lineProblem(index, err)
	}
	return batchLine{Index: index, Status: one.status, Order: one.answer}
}
