package server

// The streams that show how one order stands.

import (
	"runtime"
	"slices"

	"doorstep/internal/fault"
)

// touch has an order shown to those who follow it. The caller holds h.mu.
func (h *hub) touch(t *topic) {
	if t.queued || h.closed {
		return
	}
	t.queued = true
	h.changed = append(h.changed, t)
	if h.showing < runtime.GOMAXPROCS(0) {
		h.showing++
		h.work.Go(h.show)
	}
}

// show shows orders until none is left that has changed.
func (h *hub) show() {
	w := newNowait()
	for {
		h.mu.Lock()
		if len(h.changed) == 0 || h.closed {
			h.showing--
			h.mu.Unlock()
			return
		}
		t := h.changed[0]
		h.changed = h.changed[1:]
		t.queued = false // it may change again from here on
		clients := slices.Clone(t.clients)
		h.mu.Unlock()
		h.showOrder(w, t, clients)
	}
}

// showOrder writes how the order stands to those who have not seen its newest event. Links that are
// dead end without a word: the page that comes back is told.
func (h *hub) showOrder(w *nowait, t *topic, clients []*client) {
	o, err := h.s.Orders.Get(h.ctx, t.order)
	now := h.s.DB.Now()
	h.mu.Lock()
	t.dies = o.LinkDies()
	h.mu.Unlock()
	var text []byte
	for _, c := range clients {
		if err == nil && o.LinkAlive(c.version, now) && c.lacks(o.Chain.Last) && text == nil {
			text, err = h.s.deliveryFrame(h.ctx, o)
		}
		if err != nil && h.ctx.Err() != nil {
			return
		}
		if err != nil || !o.LinkAlive(c.version, now) || h.giveOrder(w, c, o.Chain.Last, text) != nil {
			h.drop(c)
		}
	}
	if err != nil && fault.KindOf(err) != fault.NotFound {
		h.s.Log.Warn("streams of an order ended", "error", err)
	}
}

// lacks reports whether the client has yet to see the event at seq.
func (c *client) lacks(seq int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cursor < seq
}

func (h *hub) giveOrder(w *nowait, c *client, seq int64, text []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over || c.cursor >= seq:
		return nil
	case c.busy:
		c.missed = true
		return nil
	}
	c.cursor = seq
	return h.send(w, c, text)
}
