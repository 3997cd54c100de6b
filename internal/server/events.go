package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/notify"
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
var subjects = map[string]string{"order": ident.Order, "dropoff": ident.Order, "custody": ident.Order, "store": ident.Store, "campaign": ident.Campaign,
	"prestock": ident.Prestock, "key": ident.Key, "merchant": ident.Merchant, "exception": notify.ExceptionPrefix, "incident": ident.Incident,
	"account": ident.Account, "device": ident.Device, "setting": ident.Matter, "job": ident.Matter, "import": ident.Matter}

func (s *Server) eventOut(e event.Event) wireEvent {
	resource, _, _ := strings.Cut(e.Type, ".")
	return wireEvent{ID: s.names.Name(ident.Event, e.Seq), Seq: strconv.FormatInt(e.Seq, 10), Type: e.Type,
		Subject: s.names.Name(subjects[resource], e.Subject), Actor: e.Actor, Sequence: e.Sequence,
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
	return k.stream(&client{cursor: from})
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

const (
	opening  = "retry: 2000\n\n"
	alive    = ": still here\n\n"
	goodbye  = "retry: 1000\nevent: goodbye\ndata: {}\n\n"
	nameless = "" // of a frame: what a page gets as a plain message
)

// writeTimeout is for a client that does not read; tests shorten it.
var writeTimeout = 10 * time.Second

// frame appends one event of a stream to b. data is one line: JSON escapes its newlines.
func frame(b []byte, seq int64, name string, data []byte) []byte {
	b = append(strconv.AppendInt(append(b, "id: "...), seq, 10), '\n')
	if name != nameless {
		b = append(append(append(b, "event: "...), name...), '\n')
	}
	return append(append(append(b, "data: "...), data...), "\n\n"...)
}

// stream gives the client behind this request to the hub. The handler returns at once when the
// connection can be taken from net/http, and with it go its goroutine and its buffers; where there
// is no connection to take (HTTP/2), it stays until the stream is over.
func (k *call) stream(c *client) error {
	if !k.streams.take(c.watcher(), k.o.MaxStreams) {
		return fault.New(fault.Unavailable, "too-many-streams", "too many streams are open; poll instead, or try again").After(10 * time.Second)
	}
	if err := k.hub.register(k.ctx, c, k.secret); err != nil {
		k.streams.leave(c.watcher())
		return err
	}
	defer k.hub.begun()
	k.header.Set("Content-Type", "text/event-stream")
	k.header.Set("Cache-Control", "no-store")
	k.header.Set("X-Accel-Buffering", "no")
	w := k.c.Response()
	conn, _, err := w.Hijack()
	switch {
	case err == nil:
		w.Committed = true // what is counted as answered is what goes out now
		k.hub.begin(c, conn, k.head())
	case errors.Is(err, http.ErrNotSupported):
		k.streamHere(c, w)
	default:
		k.hub.drop(c)
		return err
	}
	return nil
}

// head is what net/http would have written, less the chunks: the end of the connection is the end
// of the stream.
func (k *call) head() []byte {
	proto := "HTTP/1.1"
	if !k.r.ProtoAtLeast(1, 1) {
		proto = "HTTP/1.0"
	}
	var b bytes.Buffer
	b.WriteString(proto + " 200 OK\r\n")
	k.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	k.header.Set("Connection", "close")
	_ = k.header.Write(&b)
	b.WriteString("\r\n" + opening)
	return b.Bytes()
}
