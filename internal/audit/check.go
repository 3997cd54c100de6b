package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"doorstep/internal/event"
	"doorstep/internal/ident"
	"doorstep/internal/order"
)

// Finding is one thing that is not as it was written.
type Finding struct {
	Order  string `json:"order,omitempty"` // the order it belongs to
	Table  string `json:"table"`
	Row    string `json:"row"`              // its name outside, or its key
	Column string `json:"column,omitempty"` // when it can be told
	What   string `json:"what"`
}

func (f Finding) String() string {
	s := f.Table + " " + f.Row
	if f.Column != "" {
		s += ", " + f.Column
	}
	if f.Order != "" && f.Order != f.Row {
		s += " (of order " + f.Order + ")"
	}
	return s + ": " + f.What
}

// check is what is found in one dossier.
type check struct {
	*Dossier
	name  func(prefix string, key int64) string
	found []Finding
}

// inspect compares everything in a dossier with everything else. It needs no database.
func (d *Dossier) inspect(name func(prefix string, key int64) string) []Finding {
	c := &check{Dossier: d, name: name}
	for i := range d.Rows {
		c.seal(&d.Rows[i])
	}
	said := c.chain()
	c.order(said)
	c.named("assignment", ident.Assignment, said.assignments)
	c.named("incident", ident.Incident, said.incidents)
	c.attempts(said)
	c.evidence(said)
	c.photos(said)
	return inOrder(c.found)
}

func (c *check) say(r *Row, column, format string, args ...any) {
	c.tell(r.Shape.Table, c.called(r), column, format, args...)
}

func (c *check) tell(table, row, column, format string, args ...any) {
	c.found = append(c.found, Finding{c.name(ident.Order, c.Order), table, row, column, fmt.Sprintf(format, args...)})
}

// called is how a row is named to people.
func (c *check) called(r *Row) string {
	key, isKey := r.Values[0].(int64)
	if !isKey {
		return fmt.Sprint(r.Values[0])
	}
	for _, k := range kinds {
		if k.table == r.Shape.Table && k.prefix != "" {
			return c.name(k.prefix, key)
		}
	}
	return strconv.FormatInt(key, 10)
}

func (c *check) event(e *event.Stored, column, format string, args ...any) {
	c.tell("event", c.name(ident.Event, e.Seq), column, format, args...)
}

// seal checks a row against its own seal.
func (c *check) seal(r *Row) {
	stored, kept := r.bytes("seal"), r.bytes("kept")
	key, isKey := r.Values[0].(int64)
	if !isKey { // a photo: known by its hash, dated by its row
		key = ident.At(time.UnixMilli(r.number("created_at")))
	}
	switch {
	case len(stored) == 0 && key > c.Since:
		c.say(r, "seal", "it has no seal")
	case len(stored) == 0:
	case r.Shape.Evidence && len(kept) > 0:
		if !r.Shape.CheckErased(r.Values, kept, stored) {
			c.say(r, "", "it was changed after its personal data was erased")
		}
	case !r.Shape.Check(r.Values, stored):
		c.say(r, "", "it is not as it was written")
	}
}

// said is what the log says of an order.
type said struct {
	status      string
	attempts    int64
	assignments map[int64]bool
	incidents   map[int64]bool
	evidence    map[string]bool // digests, true once a row has it
	erased      bool
}

// chain checks the events from the first to the last, and gathers what they say.
func (c *check) chain() said {
	s := said{assignments: map[int64]bool{}, incidents: map[int64]bool{}, evidence: map[string]bool{}}
	o := &c.Rows[0]
	if c.Gap != 0 {
		c.tell("event", c.name(ident.Event, c.Gap), "", "it is missing")
	}
	if n := len(c.Events); n == 0 {
		if c.Gap == 0 {
			c.say(o, "last_event", "the order has no story")
		}
	} else if e := &c.Events[n-1]; e.Sequence != o.number("event_count") {
		c.say(o, "event_count", "its last event is number %d", e.Sequence)
	}
	link(c.Events, c.Since, c.event)
	for i := range c.Events {
		e := &c.Events[i]
		switch {
		case e.Subject != c.Order:
			c.event(e, "subject", "it is of something else")
		case i > 0 && e.Sequence != c.Events[i-1].Sequence+1:
			c.event(e, "sequence", "number %d follows number %d", e.Sequence, c.Events[i-1].Sequence)
		case i == 0 && c.Gap == 0 && (e.Sequence != 1 || e.Prev != 0):
			c.event(e, "prev", "the story does not begin with it")
		}
		s.hear(e)
	}
	return s
}

// link checks the hashes of events that follow each other, oldest first.
func link(events []event.Stored, since int64, say func(e *event.Stored, column, format string, args ...any)) {
	var before []byte   // the hash of the event before, as stored
	var computed []byte // and as it should be
	for i := range events {
		e := &events[i]
		want := e.Hash(before)
		switch {
		case len(e.Kept) == 0 && e.Seq <= since:
			before, computed = nil, nil
			continue
		case len(e.Kept) == 0:
			say(e, "hash", "it has no hash")
		case bytes.Equal(want[:], e.Kept):
		case i > 0 && !bytes.Equal(before, computed) && e.Follows(computed):
			// The hash before this one was changed, and nothing else: it has been named.
		case i == 0 && e.Prev != 0:
			// What comes before is missing, which has been named.
		default:
			say(e, "", "it is not as it was written")
		}
		before, computed = e.Kept, want[:]
	}
}

// hear takes in what an event says.
func (s *said) hear(e *event.Stored) {
	var h struct {
		Status     string `json:"status"`
		Assignment string `json:"assignment_id"`
		Attempt    int64  `json:"attempt"`
		Evidence   string `json:"evidence"`
		Incident   string `json:"incident_id"`
	}
	if json.Unmarshal(e.Data, &h) != nil {
		return // its hash does not fit either
	}
	if order.Status(h.Status).Known() { // and not that of an incident
		s.status = h.Status
	}
	if key, ok := ident.Claimed(ident.Assignment, h.Assignment); ok {
		s.assignments[key] = true
	}
	if key, ok := ident.Claimed(ident.Incident, h.Incident); ok {
		s.incidents[key] = true
	}
	if h.Evidence != "" {
		s.evidence[h.Evidence] = false
	}
	s.attempts = max(s.attempts, h.Attempt)
	s.erased = s.erased || e.Type == "order.erased"
}

func (c *check) order(s said) {
	o := &c.Rows[0]
	if s.status != "" && s.status != o.text("status") {
		c.say(o, "status", "it is %s, and by its story %s", o.text("status"), s.status)
	}
	if at := o.More["archived_at"]; at != nil && at != o.value("ended_at") {
		c.say(o, "archived_at", "it is not the order's end")
	}
	if o.number("policy_key") != 0 && len(c.of("merchant_policy")) == 0 {
		c.say(o, "policy_key", "there is no such policy")
	}
	if key := o.number("assignment_key"); key != 0 && !s.assignments[key] {
		c.say(o, "assignment_key", "its story knows no such assignment")
	}
	if (o.value("erased_at") != nil) != s.erased {
		c.say(o, "erased_at", "its story says something else")
	}
}

// named compares the rows of a table with those that the story names.
func (c *check) named(table, prefix string, named map[int64]bool) {
	rows := c.of(table)
	here := map[int64]bool{}
	for i := range rows {
		key := rows[i].number("key")
		if here[key] = true; !named[key] {
			c.say(&rows[i], "", "the order's story does not know it")
		}
	}
	for key := range named {
		if !here[key] {
			c.tell(table, c.name(prefix, key), "", "it is missing")
		}
	}
}

func (c *check) attempts(s said) {
	most := s.attempts
	seen := map[int64]bool{}
	for _, r := range c.of("attempt") {
		n := r.number("n")
		seen[n] = true
		most = max(most, n)
		if n > s.attempts {
			c.say(&r, "n", "the order's story knows %d attempts", s.attempts)
		}
	}
	for n := range s.attempts {
		if !seen[n+1] {
			c.tell("attempt", strconv.FormatInt(n+1, 10), "", "it is missing")
		}
	}
}

// evidence compares rows that never change with what the log said when they were written.
func (c *check) evidence(s said) {
	for i := range c.Rows {
		r := &c.Rows[i]
		if !r.Shape.Evidence || len(r.bytes("seal")) == 0 {
			continue
		}
		digest := hex.EncodeToString(r.bytes("seal"))
		if _, known := s.evidence[digest]; !known {
			c.say(r, "seal", "the order's story knows no such evidence")
		}
		s.evidence[digest] = true
		if len(r.bytes("kept")) > 0 && !s.erased {
			c.say(r, "", "its personal data is gone, and the story does not say so")
		}
	}
	for digest, here := range s.evidence {
		if !here {
			c.tell("evidence", digest, "", "the order's story tells of it, and it is missing")
		}
	}
}

func (c *check) photos(s said) {
	for _, sha := range c.pictures() {
		p, known := c.Photos[sha]
		if !known || p.Row.Shape == nil {
			c.tell("photo", sha, "", "it is missing")
			continue
		}
		c.seal(&p.Row)
		erased := p.Row.value("erased_at") != nil
		if erased && !s.erased {
			c.say(&p.Row, "erased_at", "it was erased, and the order's story does not say so")
		}
		if p.JPEG != nil {
			picture(&p.Row, p.JPEG, c.say)
		}
	}
}

// picture compares a photo with the hash it is kept under.
func picture(r *Row, jpeg []byte, say func(r *Row, column, format string, args ...any)) {
	if r.value("erased_at") != nil {
		if len(jpeg) > 0 {
			say(r, "data", "it was erased and is there")
		}
		return
	}
	sum := sha256.Sum256(jpeg)
	if hex.EncodeToString(sum[:]) != r.text("sha256") {
		say(r, "data", "it is another picture than was uploaded")
	}
	if int64(len(jpeg)) != r.number("bytes") {
		say(r, "bytes", "the picture has %d bytes", len(jpeg))
	}
}
