package dropoff

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Chain is the set of events of one attempt; the order of its elements means nothing.
//
// Nothing in it is edited or taken out. An event may supersede an earlier one: within UndoWithin its
// own reporter just takes it back (an undo), later, or by somebody else, it is a correction with a
// reason. What counts is Effective, and that, as everything here, is a function of the set alone: the
// same events in any order of arrival, however often, say the same.
type Chain []Event

// compare puts events into the order of the chain: what ends an attempt comes last, whatever the
// phone's clock says of it.
func compare(a, b Event) int {
	return cmp.Or(cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(ends(a.Type), ends(b.Type)),
		a.OccurredAt.Compare(b.OccurredAt), cmp.Compare(rank[a.Type], rank[b.Type]), strings.Compare(a.ID, b.ID))
}

func ends(typ string) int {
	if typ == Completed || typ == Failed {
		return 1
	}
	return 0
}

// UndoWithin is how long a wrong tap may be taken back without a word, by the phone's own clock: so it
// works without a network, and an hour in the outbox does not make an undo late.
const UndoWithin = 30 * time.Second

// undoes reports whether e takes x back. What was taken back stays so: who took back too much reports
// it anew, and two phones need not agree on how often something was undone.
func (e *Event) undoes(x *Event) bool {
	after := e.OccurredAt.Sub(x.OccurredAt)
	return e.Type == Withdrawn && x.Type != Withdrawn && e.Actor == x.Actor && after >= 0 && after <= UndoWithin
}

// stands reports whether e stands in place of x. Either may be recorded first, since phones send what
// they have in any order; so this is a question about the two alone. That a reason was given is kept
// apart from its words, which may be erased one day and must not change what happened. What was
// completed is corrected by the network only: else who corrects it could undo the correction.
func (e *Event) stands(x *Event) bool {
	if e.Supersedes != x.ID || e.Attempt != x.Attempt {
		return false
	}
	return e.undoes(x) || e.Correction && !(e.Type == Withdrawn && x.Type == Withdrawn) &&
		(x.Type != Completed || e.Network)
}

// Superseded maps the id of each event that no longer counts to the id of the one that it gave way to.
// When two events supersede the same one, the later wins, by (occurred_at, id), and the other gives way
// to it with everything that was built on it.
func (c Chain) Superseded() map[string]string {
	by := map[string]string{}
	if !c.any(func(e Event) bool { return e.Supersedes != "" }) {
		return by
	}
	known := map[string]*Event{}
	for i := range c {
		known[c[i].ID] = &c[i]
	}
	target := func(e *Event) *Event {
		if x := known[e.Supersedes]; x != nil && e.stands(x) {
			return x
		}
		return nil
	}
	heir := map[string]*Event{} // who stands in place of each superseded event
	for i := range c {
		e := &c[i]
		if x := target(e); x != nil && (heir[x.ID] == nil || later(e, heir[x.ID])) {
			heir[x.ID] = e
		}
	}
	for i := range c {
		e := &c[i]
		if h := heir[e.ID]; h != nil {
			by[e.ID] = h.ID
			continue
		}
		// A loser, or what corrects one. No cycle is ever recorded; the count is for a database that
		// somebody has written into.
		for x, n := e, 0; n <= len(c); n++ {
			t := target(x)
			if t == nil {
				break
			}
			if h := heir[t.ID]; h.ID != x.ID {
				by[e.ID] = h.ID
				break
			}
			x = t
		}
	}
	return by
}

// lostTo is the event to which x gave way without being named by it, or nil.
func (c Chain) lostTo(x *Event) *Event {
	if h := c.find(c.Superseded()[x.ID]); h != nil && h.Supersedes != x.ID {
		return h
	}
	return nil
}

func later(a, b *Event) bool {
	return cmp.Or(a.OccurredAt.Compare(b.OccurredAt), strings.Compare(a.ID, b.ID)) > 0
}

// Effective is the part of the chain that counts: no event of it was superseded. What was withdrawn is
// gone, and so are the withdrawals, which say nothing themselves.
func (c Chain) Effective() Chain {
	by := c.Superseded()
	out := make(Chain, 0, len(c))
	for _, e := range c {
		if _, gone := by[e.ID]; !gone && e.Type != Withdrawn {
			out = append(out, e)
		}
	}
	return out
}

// Seen is the chain without the signatures: what of it the customer is shown.
func (c Chain) Seen() Chain {
	out := slices.Clone(c)
	for i := range out {
		out[i].SignatureSHA256 = ""
	}
	return out
}

// State is how far the effective chain has come.
func (c Chain) State() string {
	state := Pending
	for _, e := range c.Effective() {
		if rank[e.Type] > rank[state] {
			state = e.Type
		}
	}
	return state
}

// end is what ended the effective chain, completed or failed, or nil. There is at most one: a second is
// refused unless it supersedes the first.
func (c Chain) end() *Event {
	var end *Event
	for _, e := range c.Effective() {
		if ends(e.Type) == 1 && (end == nil || compare(e, *end) < 0) {
			end = &e
		}
	}
	return end
}

// counts reports whether e is in the effective chain.
func (c Chain) counts(e *Event) bool { return c.Effective().find(e.ID) != nil }

func (c Chain) any(f func(Event) bool) bool { return slices.ContainsFunc(c, f) }

func (c Chain) has(types ...string) bool {
	return c.any(func(e Event) bool { return slices.Contains(types, e.Type) })
}

// find is the event with an id, or nil.
func (c Chain) find(id string) *Event {
	if i := slices.IndexFunc(c, func(e Event) bool { return e.ID == id }); i >= 0 {
		return &c[i]
	}
	return nil
}
