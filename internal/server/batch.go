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
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"doorstep/internal/fault"
	"doorstep/internal/match"
	"doorstep/internal/order"
)

const (
	maxLines    = 10_000
	maxLine     = 256 << 10
	sheafLines  = 32   // lines that a worker takes at once
	batchAtOnce = 1024 // lines of one batch under way together: they share commits
	linesAtOnce = 8192 // lines of all batches: half of what may wait for the writer
)

// refusal is the answer to a line that made no order.
type refusal struct {
	Index   int      `json:"index"`
	Status  int      `json:"status"`
	Problem *problem `json:"problem"`
}

// texts are the answers of sheaves, used again and again: they were an eighth of all memory a batch took.
var texts = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// taken begins the answer to a line whose order is there; the order and "}\n" are still to be appended.
func taken(b []byte, index, status int) []byte {
	b = strconv.AppendInt(append(b, `{"index":`...), int64(index), 10)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(status), 10)
	return append(b, `,"order":`...)
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

	k.header.Set("Content-Type", "application/x-ndjson")
	k.c.Response().WriteHeader(http.StatusOK)
	together := sheafLines
	if name != "" {
		together = 1 // each is kept under a key of its own, and may have to wait for another batch
	}
	answers := make(chan chan *bytes.Buffer, batchAtOnce/together)
	written := make(chan error, 1)
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	go func() {
		written <- writeLines(punctual{k.c.Response(), rc}, answers, func() {
			cancel()
			_ = rc.SetReadDeadline(time.Now()) // nobody reads the answers: take in no more
		})
	}()

	b := &batch{k: k, merchant: merchant, name: name, together: together, answers: answers, jobs: make(chan sheaf)}
	in := bufio.NewScanner(beforeRead{http.MaxBytesReader(k.c.Response(), k.r.Body, maxUpload), b.send})
	in.Buffer(make([]byte, 64<<10), maxLine)
	index := 0
	for ; ctx.Err() == nil && in.Scan(); index++ {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue // a blank line is no order, but counts: index is the line's place in the file
		}
		if index >= maxLines {
			b.refuse(index, fault.New(fault.TooLarge, "too-many-lines", "at most %d orders a batch: send this line and the rest again", maxLines))
			index++
			break
		}
		b.add(index, in.Bytes())
	}
	if err := in.Err(); err != nil {
		f := bodyError(err, maxUpload)
		if errors.Is(err, bufio.ErrTooLong) {
			f = fault.New(fault.TooLarge, "line-too-long", "a line is at most %d KiB; it and all behind it were not read", maxLine>>10)
		}
		b.refuse(index, f)
	}
	b.end()
	close(answers)
	return <-written
}

// batch is the reading side of one: lines are gathered into sheaves, and workers take those. A sheaf is
// looked for, written and answered together, its lines each on their own; against a worker for each line
// that saves a third of the processor time.
type batch struct {
	k        *call
	merchant int64
	name     string
	together int // lines of a sheaf at most
	next     sheaf
	answers  chan<- chan *bytes.Buffer // of the sheaves, in order
	jobs     chan sheaf
	workers  int
	wg       sync.WaitGroup
}

// sheaf is some lines one after the other, and where their answers go.
type sheaf struct {
	lines  []line
	text   []byte // of all lines
	answer chan<- *bytes.Buffer
}

type line struct{ index, from, to int }

func (c *sheaf) data(l line) []byte { return c.text[l.from:l.to] }

// beforeRead calls before ahead of each read, which may have to wait for its sender.
type beforeRead struct {
	io.Reader
	before func()
}

func (r beforeRead) Read(p []byte) (int, error) {
	r.before()
	return r.Reader.Read(p)
}

func (b *batch) add(index int, data []byte) {
	c := &b.next
	c.text = append(c.text, data...)
	c.lines = append(c.lines, line{index, len(c.text) - len(data), len(c.text)})
	if len(c.lines) >= b.together {
		b.send()
	}
}

// send gives the lines that were gathered to a worker.
func (b *batch) send() {
	c := b.next
	if len(c.lines) == 0 {
		return
	}
	b.next = sheaf{lines: make([]line, 0, len(c.lines)), text: make([]byte, 0, len(c.text)*5/4)}
	c.answer = b.answered()
	select {
	case b.jobs <- c:
		return
	default: // nobody is idle
	}
	if b.workers < batchAtOnce/b.together {
		b.workers++
		b.wg.Go(func() {
			for c := range b.jobs {
				c.answer <- b.work(&c)
			}
		})
	}
	b.jobs <- c
}

// answered is the place for the next answers.
func (b *batch) answered() chan<- *bytes.Buffer {
	answer := make(chan *bytes.Buffer, 1)
	b.answers <- answer
	return answer
}

func (b *batch) refuse(index int, err error) {
	b.send()
	out := texts.Get().(*bytes.Buffer)
	b.k.refuseLine(out, index, err)
	b.answered() <- out
}

// end waits until all lines are answered.
func (b *batch) end() {
	b.send()
	close(b.jobs)
	b.wg.Wait()
}

// work places the orders of a sheaf.
func (b *batch) work(c *sheaf) *bytes.Buffer {
	k := b.k
	_ = k.lines.Acquire(context.Background(), int64(len(c.lines))) // without an end it does not fail
	defer k.lines.Release(int64(len(c.lines)))
	out := texts.Get().(*bytes.Buffer)
	if b.name != "" {
		for _, l := range c.lines {
			k.keyed(out, b.merchant, b.name, l.index, c.data(l))
		}
		return out
	}
	drafts, wrong := make([]order.Draft, 0, len(c.lines)), make([]error, len(c.lines))
	for i, l := range c.lines {
		d, err := k.draftOf(c.data(l))
		if wrong[i] = err; err == nil {
			drafts = append(drafts, d)
		}
	}
	placed, errs := k.placeAll(b.merchant, drafts)
	for i, l := range c.lines {
		err := wrong[i]
		if err == nil {
			if err = errs[0]; err == nil {
				err = k.takeLine(out, l.index, placed[0])
			}
			placed, errs = placed[1:], errs[1:]
		}
		if err != nil {
			k.refuseLine(out, l.index, err)
		}
	}
	return out
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
func writeLines(to io.Writer, answers <-chan chan *bytes.Buffer, gone func()) error {
	w := bufio.NewWriterSize(to, 64<<10)
	var failed error
	for answer := range answers {
		text := <-answer
		if failed != nil {
			continue // the client is gone; let the lines under way end
		}
		_, failed = w.Write(text.Bytes())
		text.Reset()
		texts.Put(text)
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

func (k *call) refuseLine(to *bytes.Buffer, index int, err error) {
	p := k.asProblem(err)
	_ = json.NewEncoder(to).Encode(refusal{index, p.Status, &p}) // a buffer takes all, and a problem is plain
}

// recovered turns a panic into the error it is for one line.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}

func (k *call) draftOf(data []byte) (d order.Draft, err error) {
	defer recovered(&err)
	var in orderIn
	if err := orderJSON(data, &in); err != nil {
		return d, err
	}
	return in.wholeDraft(k.DB.Now())
}

func (k *call) placeAll(merchant int64, drafts []order.Draft) (placed []*match.Placed, errs []error) {
	defer func() {
		if p := recover(); p != nil {
			placed, errs = make([]*match.Placed, len(drafts)), slices.Repeat([]error{fmt.Errorf("panic: %v", p)}, len(drafts))
		}
	}()
	return k.Match.PlaceAll(k.ctx, merchant, drafts)
}

func (k *call) takeLine(to *bytes.Buffer, index int, p *match.Placed) (err error) {
	before := to.Len()
	defer func() {
		if err != nil {
			to.Truncate(before)
		}
	}()
	defer recovered(&err)
	w, err := k.orderOut(p)
	if err == nil {
		_, _ = to.Write(append(w.appendTo(taken(to.AvailableBuffer(), index, statusOfNew(p))), "}\n"...))
	}
	return err
}

// keyed creates the order of one line under its own idempotency key.
func (k *call) keyed(to *bytes.Buffer, merchant int64, name string, index int, data []byte) {
	one := *k // its own answer
	one.status, one.answer = 0, nil
	one.header = http.Header{}
	one.repeat = newRepeat(one.owner(), fmt.Sprintf("%s#%d", name, index), "line", data)
	if err := one.create(merchant, data); err != nil {
		k.refuseLine(to, index, err)
		return
	}
	_, _ = to.Write(append(append(taken(to.AvailableBuffer(), index, one.status), one.answer...), "}\n"...))
}

func (k *call) create(merchant int64, data []byte) (err error) {
	defer recovered(&err)
	var in orderIn
	if err := orderJSON(data, &in); err != nil {
		return err
	}
	return k.guard(k.repeat, func() error {
		answer, err := k.place(merchant, &in, k.repeat)
		k.give(answer)
		return err
	})
}
