package server

// The streams that tell a store's phones that something of theirs has changed.
//
// A hint names what changed and says nothing of it: the phone asks for its lists, with its own permission,
// as it does by itself from time to time. So a hint that is lost costs some seconds and no more, and a phone
// that was away needs no replay: it asks once when its stream begins.

import (
	"encoding/json"
	"slices"
	"strings"

	"doorstep/internal/event"
)

// hinted are the kinds of things that a store has lists of.
var hinted = []string{"order", "custody", "dropoff", "prestock", "store"}

// hint is what the phones of one store are told of a page of events.
type hint struct {
	clients []*client
	text    []byte
	check   bool // a key or a phone of the store was revoked
}

// streamStore gives the phone behind this request the hints of its store.
func (k *call) streamStore() error { return k.stream(&client{shop: k.who.Store}) }

// hints are those of a page, by store: of an event whose store nobody listens for, one look in a map. The
// caller holds h.mu.
func (h *hub) hints(events []event.Event) map[int64]hint {
	var found map[int64]hint
	for _, e := range events {
		clients := h.shops[e.Store]
		if e.Store == 0 || len(clients) == 0 {
			continue
		}
		if found == nil {
			found = map[int64]hint{}
		}
		one, there := found[e.Store]
		if !there {
			one.clients = slices.Clone(clients)
		}
		resource, _, _ := strings.Cut(e.Type, ".")
		if slices.Contains(hinted, resource) {
			data, _ := json.Marshal(map[string]string{"subject": h.s.names.Name(subjects[resource], e.Subject)})
			one.text = frame(one.text, e.Seq, e.Type, data)
		}
		one.check = one.check || strings.HasSuffix(e.Type, ".revoked")
		found[e.Store] = one
	}
	return found
}

// hint writes to one phone. One that is busy is told afterwards that there was something.
func (h *hub) hint(w *nowait, c *client, one *hint) {
	if one.check && h.died(c.grant) {
		h.bye(w, c)
		return
	}
	c.mu.Lock()
	var err error
	switch {
	case c.over || len(one.text) == 0:
	case c.busy:
		c.missed = true
	default:
		err = h.send(w, c, one.text)
	}
	c.mu.Unlock()
	if err != nil {
		h.drop(c)
	}
}

// lookAgain is what a busy phone is told that missed something; nothing for others.
func (c *client) lookAgain() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shop == 0 || !c.missed {
		return nil
	}
	c.missed = false
	return []byte("event: store.changed\ndata: {}\n\n")
}
