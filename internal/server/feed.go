package server

// The streams that show all events.

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"doorstep/internal/event"
)

// chunk is a page of the log as streams show it.
type chunk struct {
	after, last int64 // it has all events behind after, up to last
	text        []byte
	seqs        []int64
	ends        []int // of each event in text
}

// behind is the part for a client at cursor, which is not before the chunk.
func (p *chunk) behind(cursor int64) []byte {
	i, there := slices.BinarySearch(p.seqs, cursor)
	if there {
		i++
	}
	if i == 0 {
		return p.text
	}
	return p.text[p.ends[i-1]:]
}

func (h *hub) render(after int64, events []event.Event) *chunk {
	p := &chunk{after: after, last: after, seqs: make([]int64, len(events)), ends: make([]int, len(events))}
	for i, e := range events {
		data, err := json.Marshal(h.s.eventOut(e))
		if err != nil { // its data is no JSON: Append has not written it
			h.s.Log.Error("an event cannot be shown", "seq", e.Seq, "error", err)
			data = []byte("{}")
		}
		p.text = frame(p.text, e.Seq, e.Type, data)
		p.last, p.seqs[i], p.ends[i] = e.Seq, e.Seq, len(p.text)
	}
	return p
}

// recent are the last chunks, without a gap: for clients that were away, or slow, for a moment only.
type recent struct {
	chunks []*chunk
	size   int
}

const keepRecent = 4 << 20 // bytes; some ten thousand events

func (r *recent) add(p *chunk) {
	r.chunks, r.size = append(r.chunks, p), r.size+len(p.text)
	for r.size > keepRecent {
		r.size -= len(r.chunks[0].text)
		r.chunks = slices.Delete(r.chunks, 0, 1)
	}
}

// behind is the chunk that a client at cursor needs next; nil when it is not here.
func (r *recent) behind(cursor int64) *chunk {
	for i := len(r.chunks) - 1; i >= 0; i-- {
		if p := r.chunks[i]; p.after <= cursor && cursor < p.last {
			return p
		}
	}
	return nil
}

// follow gives what is new in the log to the clients, as long as there are any.
func (h *hub) follow() {
	for {
		h.mu.Lock()
		for len(h.clients) == 0 && !h.closed {
			h.arrived.Wait()
		}
		cursor := h.cursor
		h.mu.Unlock()
		events, _, err := h.s.Events.Next(h.ctx, cursor, aPage)
		switch {
		case h.ctx.Err() != nil || errors.Is(err, event.ErrClosed):
			return
		case err != nil:
			h.s.Log.Error("streams cannot read the log", "error", err)
			time.Sleep(lastWords)
		default:
			h.spread(cursor, events)
		}
	}
}

// spread gives the events behind after to all who follow everything, and has the orders in them shown
// to those who follow one, and those of a store hinted at to its phones. The next page waits until it is done, so whatever is committed meanwhile
// goes out in one piece.
func (h *hub) spread(after int64, events []event.Event) {
	h.checkGrants() // what was written after a key had died is not for it
	h.mu.Lock()
	if h.cursor != after { // it moved on while nobody was there
		h.mu.Unlock()
		return
	}
	h.cursor = events[len(events)-1].Seq
	p := &chunk{}
	if len(h.wide) > 0 {
		p = h.render(after, events)
		h.recent.add(p)
	} else {
		h.recent = recent{} // it would have a gap
	}
	for _, e := range events {
		if t := h.topics[e.Subject]; t != nil {
			h.touch(t)
		}
	}
	all := slices.Collect(maps.Keys(h.wide))
	hints := h.hints(events)
	h.mu.Unlock()
	each(all, func(w *nowait, c *client) { h.give(w, c, p) })
	for _, one := range hints {
		each(one.clients, func(w *nowait, c *client) { h.hint(w, c, &one) })
	}
}

// give writes a chunk to a client that is idle and follows everything.
func (h *hub) give(w *nowait, c *client, p *chunk) {
	if c.grant.dead.Load() {
		h.bye(w, c)
		return
	}
	c.mu.Lock()
	var err error
	if !c.busy && c.cursor < p.last {
		text := p.behind(c.cursor)
		c.cursor = p.last
		err = h.send(w, c, text)
	}
	c.mu.Unlock()
	if err != nil {
		h.drop(c)
	}
}

// lack is what a busy client has to be told next, at most a page of it.
func (h *hub) lack(c *client) (text []byte, err error) {
	if !c.all() {
		return c.lookAgain(), nil
	}
	h.mu.Lock()
	reach := h.cursor
	p := h.recent.behind(c.cursor)
	h.mu.Unlock()
	if p == nil {
		events, _, err := h.s.Events.After(h.ctx, c.cursor, catchUp)
		if err != nil {
			return nil, err
		}
		if p = h.render(c.cursor, events); len(events) == 0 {
			p.last = max(c.cursor, reach)
		}
	}
	text = p.behind(c.cursor)
	c.cursor = p.last
	return text, nil
}
