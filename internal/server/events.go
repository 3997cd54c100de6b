package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

type wireEvent struct {
	ID         string          `json:"id"`
	Seq        string          `json:"seq"`
	Type       string          `json:"type"`
	Subject    string          `json:"subject"`
	Actor      string          `json:"actor"`
	Sequence   int64           `json:"sequence"`
	OccurredAt stamp           `json:"occurred_at"`
	RecordedAt stamp           `json:"recorded_at"`
	Data       json.RawMessage `json:"data"`
}

// subjects are what the resource of an event's type is called by.
var subjects = map[string]string{"order": ident.Order, "dropoff": ident.Order, "store": ident.Store, "campaign": ident.Campaign,
	"prestock": ident.Prestock, "key": ident.Key, "merchant": ident.Merchant}

func (k *call) eventOut(e event.Event) wireEvent {
	resource, _, _ := strings.Cut(e.Type, ".")
	return wireEvent{ID: k.names.Name(ident.Event, e.Seq), Seq: strconv.FormatInt(e.Seq, 10), Type: e.Type,
		Subject: k.names.Name(subjects[resource], e.Subject), Actor: e.Actor, Sequence: e.Sequence,
		OccurredAt: stamp(e.OccurredAt), RecordedAt: stamp(e.RecordedAt), Data: e.Data}
}

// seq reads a place in the log; "" is the beginning.
func seq(pointer, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fault.InvalidField(pointer, "not-a-seq", "send the seq of the last event you have")
	}
	return n, nil
}

func (k *call) listEvents() error {
	after, err := seq("after", k.query("after"))
	if err != nil {
		return err
	}
	_, limit, err := k.page()
	if err != nil {
		return err
	}
	events, next, err := k.Events.After(k.ctx, after, limit)
	if err != nil {
		return err
	}
	l := list[wireEvent]{Data: make([]wireEvent, len(events)), HasMore: len(events) == limit}
	for i, e := range events {
		l.Data[i] = k.eventOut(e)
	}
	// The cursor of a log is useful even at its end: that is where the next question starts.
	cursor := strconv.FormatInt(next, 10)
	l.NextCursor = &cursor
	return k.reply(http.StatusOK, l)
}

func (k *call) streamEvents() error {
	from, err := k.resume()
	if err != nil {
		return err
	}
	return k.stream(0, func(ctx context.Context, s *sse) error {
		return k.Events.Follow(ctx, from, func(e event.Event) error {
			data, err := json.Marshal(k.eventOut(e))
			if err != nil {
				return err
			}
			return k.show(ctx, s, e.Seq, frame{name: e.Type, data: data})
		})
	})
}

// resume is where a stream begins: after the last event the client has, else at the present.
func (k *call) resume() (int64, error) {
	last := k.r.Header.Get("Last-Event-ID")
	if last == "" {
		last = k.query("after")
	}
	if last != "" {
		return seq("Last-Event-ID", last)
	}
	return k.Events.Last(k.ctx)
}

// frame is one event of an SSE stream; without a name it is a plain message.
type frame struct {
	name string
	data []byte
}

const (
	heartbeat = 20 * time.Second // below the idle timeout of common proxies
	keyCheck  = time.Second      // how long a stream may outlive its key
	goodbye   = "retry: 1000\nevent: goodbye\ndata: {}\n\n"
)

// writeTimeout is for a client that does not read; tests shorten it.
var writeTimeout = 10 * time.Second

// The four things a stream needs: its own cap, a heartbeat, a write deadline, and an end that tells
// the client when to come back. link is the order whose link is the permission, 0 with a key.
func (k *call) stream(link int64, follow func(context.Context, *sse) error) error {
	if !k.streams.take(link, k.o.MaxStreams) {
		return fault.New(fault.Unavailable, "too-many-streams", "too many streams are open; poll instead, or try again").After(10 * time.Second)
	}
	defer k.streams.leave(link)
	k.header.Set("Content-Type", "text/event-stream")
	k.header.Set("Cache-Control", "no-store")
	k.header.Set("X-Accel-Buffering", "no")
	w := k.c.Response()
	w.WriteHeader(http.StatusOK)

	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	s := &sse{w: w, rc: http.NewResponseController(w)}
	if err := s.send("retry: 2000\n\n"); err != nil {
		return nil
	}
	var beats sync.WaitGroup
	beats.Go(func() { k.beat(ctx, cancel, s) })
	err := follow(ctx, s)
	cancel()
	beats.Wait() // nothing may write after the handler has returned
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errEnd) && !errors.Is(err, errGone) {
		k.log().Warn("stream ended", "error", err)
	}
	return nil
}

var (
	errEnd  = errors.New("server: the stream is over")
	errGone = errors.New("server: the client does not read")
)

// show sends a frame, if the key that opened the stream is still good.
func (k *call) show(ctx context.Context, s *sse, seq int64, f frame) error {
	if k.keyDied(ctx) {
		_ = s.last(goodbye)
		return errEnd
	}
	return s.event(seq, f)
}

// keyDied reports whether the key of this request was revoked or has expired meanwhile. A database
// that does not answer says nothing about the key.
func (k *call) keyDied(ctx context.Context) bool {
	if k.secret == "" {
		return false
	}
	_, err := k.Keys.Authenticate(ctx, k.secret)
	return fault.KindOf(err) == fault.Unauthorized
}

// beat keeps the connection alive, and ends the stream when the server drains or the key dies.
func (k *call) beat(ctx context.Context, cancel context.CancelFunc, s *sse) {
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	check := time.NewTicker(keyCheck)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.stop:
			_ = s.last(goodbye)
			cancel()
			return
		case <-check.C:
			if k.keyDied(ctx) {
				_ = s.last(goodbye)
				cancel()
				return
			}
		case <-t.C:
			if s.send(": still here\n\n") != nil {
				cancel()
				return
			}
		}
	}
}

// sse writes frames whole: the heartbeat comes from another goroutine.
type sse struct {
	mu   sync.Mutex
	w    http.ResponseWriter
	rc   *http.ResponseController
	over bool
}

func (s *sse) event(seq int64, f frame) error {
	var b strings.Builder
	b.WriteString("id: " + strconv.FormatInt(seq, 10) + "\n")
	if f.name != "" {
		b.WriteString("event: " + f.name + "\n")
	}
	b.WriteString("data: ")
	b.Write(f.data) // one line: JSON escapes its newlines
	b.WriteString("\n\n")
	return s.send(b.String())
}

func (s *sse) send(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(text)
}

// last sends text, behind which nothing goes out any more: who has said goodbye is gone.
func (s *sse) last(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.write(text)
	s.over = true
	return err
}

func (s *sse) write(text string) error {
	if s.over {
		return errEnd
	}
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return errGone
	}
	if err := s.rc.Flush(); err != nil {
		return errGone
	}
	return nil
}
