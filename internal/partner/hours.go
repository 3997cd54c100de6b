package partner

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// Opening hours are a subset of OpenStreetMap's opening_hours syntax
// (https://wiki.openstreetmap.org/wiki/Key:opening_hours/specification):
//
//	hours  = rule { (";" | ",") rule }
//	rule   = "24/7" | [days] times | [days] [times] ("off" | "closed")
//	days   = day {"," day}        day  = Mo..Su, a range of them, or PH
//	times  = time {"," time}      time = 08:00-18:00, 18:00-02:00, 18:00-26:00
//
// How rules are read is that of OSM's reference implementation, opening_hours.js:
//
//   - A rule without days names every day. A weekday is named whether or not
//     it is a public holiday, so without a PH rule holidays are ordinary days.
//   - After ";" a rule replaces what earlier rules said about the days it
//     names, from midnight to midnight: also the hours that the evening before
//     runs into that day. The hours a replaced day would have run into the day
//     after stay. "Fr 18:00-02:00; Sa 09:00-12:00" is closed on Saturday at
//     01:00; with "," instead of ";" it is open, since after "," a rule adds.
//   - "off" takes away: its times, or without times the whole day.
//   - 10:00-10:00 is 24 hours; the closing minute itself is closed.
//
// Everything is read on the wall clock: a store is open whenever its clock
// shows an open minute. A minute that the clock skips does not happen, and one
// that it shows twice happens twice, with what that means: on the night the
// clocks go back a store closing at 02:30 closes, is open again while the
// clock repeats 02:00-02:30, and closes for good.
//
// A parsed value is compiled to lists of open minutes, one for each sort of
// day (see dayKind), so that asking it is a short scan without allocation.

// Hours is when a store is open. The zero value is always open. It is small,
// immutable and safe for concurrent use.
type Hours struct{ week *week }

// HoursError is a part of an opening_hours text that is not understood.
type HoursError struct {
	Part   string // as written by the sender
	Reason string // what would be accepted, or what is wrong with it
}

func (e *HoursError) Error() string {
	return fmt.Sprintf("opening hours not understood: %q: %s", e.Part, e.Reason)
}

const (
	minutesPerDay = 1440
	maxPieces     = 200 // rules and time ranges in one text; real ones have under 20
	maxPart       = 200 // bytes of the text that an error repeats
)

// week is the compiled form, and the rules it came from for String.
type week struct {
	rules []rule
	days  [dayKinds]struct{ from, to uint16 } // spans[from:to]
	spans []span
}

// span is [from, to) in minutes after midnight. In a rule `to` may reach into
// the next day, up to 2880; in a compiled day it ends at 1440.
type span struct{ from, to uint16 }

type rule struct {
	days       uint8 // bit 0 = Monday … bit 6 = Sunday, bit 7 = public holidays
	additional bool  // stands after ",", so it adds and replaces nothing
	off        bool
	times      []span // sorted; empty only in an off rule: the whole day
}

const (
	publicHoliday uint8 = 1 << 7
	everyDay      uint8 = 1<<7 - 1
)

var (
	wholeDay = []span{{0, minutesPerDay}}
	always   = compile([]rule{{days: everyDay, times: wholeDay}})
)

// A network has far more stores than different opening hours, so equal texts
// share one compiled week: less memory, and the matching loop stays in cache.
// The bound keeps made-up texts from filling the memory.
var (
	compiled      sync.Map // text -> *week
	compiledCount atomic.Int64
)

const maxCompiled = 10_000

// ParseHours reads opening hours. Blank text means always open. What is not
// understood is refused with a *HoursError naming the part: half-understood
// hours would send people to closed doors.
func ParseHours(s string) (Hours, error) {
	if strings.TrimSpace(s) == "" {
		return Hours{}, nil
	}
	if w, ok := compiled.Load(s); ok {
		return Hours{w.(*week)}, nil
	}
	rules, err := (&hoursParser{text: s}).rules()
	if err != nil {
		return Hours{}, err
	}
	w := compile(rules)
	if compiledCount.Load() < maxCompiled && len(s) <= 256 {
		// The map must own its key: s may be a piece of a whole import file.
		if _, loaded := compiled.LoadOrStore(strings.Clone(s), w); !loaded {
			compiledCount.Add(1)
		}
	}
	return Hours{w}, nil
}

// OpenAt reports whether the store is open at t. For many stores of one zone
// take z.Local(t) once and ask Open.
func (h Hours) OpenAt(t time.Time, z *Zone) bool { return h.Open(z.Local(t)) }

// Open reports whether the store is open at a moment of its own zone.
func (h Hours) Open(m Moment) bool {
	if h.week == nil {
		return true
	}
	for _, s := range h.week.day(m.day) {
		if m.minute < s.to {
			return m.minute >= s.from
		}
	}
	return false
}

// horizon is how far NextChange looks ahead: every weekday twice, so that a
// weekly opening is found even if a public holiday takes the first one.
const horizon = 14 * 24 * time.Hour

// NextChange returns the first instant after t at which OpenAt changes, in the
// zone's time, and whether the store is open from then on. ok is false if
// nothing changes within 14 days of 24 hours; openAfter is then simply whether
// the store is open. Where the clock jumps over an opening or closing time the
// change is at the jump.
func (h Hours) NextChange(t time.Time, z *Zone) (at time.Time, openAfter, ok bool) {
	open := h.OpenAt(t, z)
	if h.week == nil {
		return time.Time{}, open, false
	}
	for at = t; ; {
		at = h.week.nextBoundary(at, z)
		if at.Sub(t) > horizon {
			return time.Time{}, open, false
		}
		if now := h.OpenAt(at, z); now != open {
			return at, now, true
		}
	}
}

// nextBoundary returns the first instant after t at which the state might
// change: the edge of a span, midnight, or a change of the UTC offset. Between
// these local time runs evenly, so plain addition is right.
func (w *week) nextBoundary(t time.Time, z *Zone) time.Time {
	m := z.Local(t)
	edge := uint16(minutesPerDay)
	for _, s := range w.day(m.day) {
		if m.minute < s.from {
			edge = s.from
			break
		}
		if m.minute < s.to {
			edge = s.to
			break
		}
	}
	local := t.In(z.loc)
	intoMinute := time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond())
	next := local.Add(time.Duration(edge-m.minute)*time.Minute - intoMinute)
	if _, end := local.ZoneBounds(); !end.IsZero() && end.Before(next) {
		return end
	}
	return next
}

// Equal reports whether both are open at the same moments, however written.
func (h Hours) Equal(other Hours) bool {
	a, b := h.orAlways(), other.orAlways()
	for k := range dayKind(dayKinds) {
		if !slices.Equal(a.day(k), b.day(k)) {
			return false
		}
	}
	return true
}

// String writes the rules in one canonical spelling ("Mo-Fr 08:00-18:00; PH
// off"), which parses to equal hours. Always open is "24/7".
func (h Hours) String() string {
	var b strings.Builder
	for i, r := range h.orAlways().rules {
		switch {
		case i > 0 && r.additional:
			b.WriteString(", ")
		case i > 0:
			b.WriteString("; ")
		}
		r.write(&b)
	}
	return b.String()
}

func (h Hours) orAlways() *week {
	if h.week == nil {
		return always
	}
	return h.week
}

func (w *week) day(k dayKind) []span {
	d := w.days[k]
	return w.spans[d.from:d.to]
}

// compile works out the open minutes of every sort of day.
func compile(rules []rule) *week {
	w := &week{rules: rules}
	for k := range dayKind(dayKinds) {
		open := openSpans(rules, k)
		if same := w.findDay(k, open); same < k {
			w.days[k] = w.days[same]
			continue
		}
		w.days[k].from = uint16(len(w.spans))
		w.spans = append(w.spans, open...)
		w.days[k].to = uint16(len(w.spans))
	}
	w.spans = slices.Clip(w.spans)
	return w
}

// findDay returns the first sort of day before k that has the same spans, or k.
func (w *week) findDay(k dayKind, spans []span) dayKind {
	for same := range k {
		if slices.Equal(w.day(same), spans) {
			return same
		}
	}
	return k
}

// openSpans applies the rules in order to one sort of day. A rule reaches a day
// twice: with its own hours if it names that day, and with those past midnight
// if it names the day before.
func openSpans(rules []rule, k dayKind) []span {
	var open []span
	for _, r := range rules {
		today := r.names(k.weekday(), k.holiday())
		yesterday := r.names((k.weekday()+6)%7, k.holidayYesterday())
		if today && !r.off && !r.additional {
			open = nil
		}
		times := r.times
		if len(times) == 0 {
			times = wholeDay
		}
		for _, s := range times {
			if today {
				open = r.apply(open, span{s.from, min(s.to, minutesPerDay)})
			}
			if yesterday && s.to > minutesPerDay {
				open = r.apply(open, span{0, s.to - minutesPerDay})
			}
		}
	}
	return open
}

func (r rule) names(weekday int, holiday bool) bool {
	return r.days&(1<<weekday) != 0 || holiday && r.days&publicHoliday != 0
}

func (r rule) apply(open []span, s span) []span {
	if r.off {
		return without(open, s)
	}
	return with(open, s)
}

// with returns list, which is sorted and disjoint, with s joined in.
func with(list []span, s span) []span {
	out := make([]span, 0, len(list)+1)
	for _, o := range list {
		if o.to < s.from || s.to < o.from {
			out = append(out, o)
		} else {
			s = span{min(o.from, s.from), max(o.to, s.to)}
		}
	}
	out = append(out, s)
	slices.SortFunc(out, bySpan)
	return out
}

// without returns list, which is sorted and disjoint, with s cut out.
func without(list []span, s span) []span {
	var out []span
	for _, o := range list {
		if o.from < s.from {
			out = append(out, span{o.from, min(o.to, s.from)})
		}
		if s.to < o.to {
			out = append(out, span{max(o.from, s.to), o.to})
		}
	}
	return out
}

func bySpan(a, b span) int {
	if a.from != b.from {
		return int(a.from) - int(b.from)
	}
	return int(a.to) - int(b.to)
}

var dayNames = [...]string{"Mo", "Tu", "We", "Th", "Fr", "Sa", "Su", "PH"}

// write prints the days even where they could be left out, and "24/7" only
// where no comma stands before it: "Mo 08:00-12:00, 09:00-10:00" would be read
// as one rule with two times.
func (r rule) write(b *strings.Builder) {
	if r.days == everyDay && !r.off && !r.additional && slices.Equal(r.times, wholeDay) {
		b.WriteString("24/7")
		return
	}
	comma := ""
	for d := 0; d < 7; d++ {
		if r.days&(1<<d) == 0 {
			continue
		}
		last := d
		for last < 6 && r.days&(1<<(last+1)) != 0 {
			last++
		}
		b.WriteString(comma + dayNames[d])
		if last > d {
			b.WriteString("-" + dayNames[last])
		}
		d, comma = last, ","
	}
	if r.days&publicHoliday != 0 {
		b.WriteString(comma + dayNames[7])
	}
	comma = " "
	for _, s := range r.times {
		to := s.to
		if to > minutesPerDay && to-minutesPerDay <= s.from {
			to -= minutesPerDay // 02:00 rather than 26:00, which reads the same
		}
		fmt.Fprintf(b, "%s%02d:%02d-%02d:%02d", comma, s.from/60, s.from%60, to/60, to%60)
		comma = ","
	}
	if r.off {
		b.WriteString(" off")
	}
}

// hoursParser reads the text from left to right; at is the next byte.
type hoursParser struct {
	text   string
	at     int
	pieces int
}

func (p *hoursParser) rules() ([]rule, error) {
	var rules []rule
	for additional := false; ; {
		p.space()
		if p.done() {
			break
		}
		if p.take(';') {
			continue // an empty rule, as after a closing ";", says nothing
		}
		r, err := p.rule()
		if err != nil {
			return nil, err
		}
		r.additional = additional
		rules = append(rules, r)
		additional = false
		p.space()
		switch comma := p.at; {
		case p.done() || p.take(';'):
		case p.take(','):
			additional = true
			if p.space(); p.delimited() {
				p.at = comma
				return nil, p.refuse(comma, `a rule is missing after the ","`)
			}
		default:
			return nil, p.refuse(p.at, `expected the end, or ";" or "," before another rule`)
		}
	}
	if len(rules) == 0 {
		return nil, p.refuse(0, "there is no rule in it")
	}
	return rules, nil
}

func (p *hoursParser) rule() (rule, error) {
	start := p.at
	if err := p.count(start); err != nil {
		return rule{}, err
	}
	if p.word("24/7") {
		return rule{days: everyDay, times: wholeDay}, nil
	}
	r := rule{}
	var err error
	if r.days, err = p.days(); err != nil {
		return rule{}, err
	}
	if r.times, err = p.times(); err != nil {
		return rule{}, err
	}
	r.off = p.word("off") || p.word("closed")
	if r.off || len(r.times) > 0 {
		if r.days == 0 {
			r.days = everyDay
		}
		return r, nil
	}
	switch {
	case r.days == 0:
		return rule{}, p.refuse(p.at, "expected weekdays (Mo to Su), PH, times like 08:00-18:00, off, or 24/7")
	case p.delimited():
		return rule{}, p.refuse(start, "times are missing; for all day write 00:00-24:00")
	default:
		return rule{}, p.refuse(p.at, "expected times like 08:00-18:00, or off")
	}
}

// days reads a list of days and the space behind it; 0 if there is none.
func (p *hoursParser) days() (uint8, error) {
	var days uint8
	for {
		start := p.at
		d, ok := p.dayName()
		if !ok && days == 0 {
			return 0, nil
		}
		if !ok {
			return 0, p.refuse(start, `expected a weekday (Mo to Su) or PH after the ","`)
		}
		days |= 1 << d
		end := p.at
		p.space()
		if d < 7 && p.dash() {
			p.space()
			last, ok := p.dayName()
			if !ok || last == 7 {
				return 0, p.refuse(start, "expected a range of weekdays like Mo-Fr")
			}
			for ; d != last; d = (d + 1) % 7 {
				days |= 1 << d
			}
			days |= 1 << last
			end = p.at
			p.space()
		}
		if p.at == end && !p.delimited() && !p.digit() {
			return 0, p.refuse(start, "only plain weekdays, ranges of them and PH are supported")
		}
		comma := p.at
		if !p.take(',') {
			return days, nil
		}
		if p.space(); p.delimited() {
			p.at = comma
			return 0, p.refuse(comma, `a day is missing after the ","`)
		}
	}
}

// dayName reads a weekday (0 to 6) or PH (7). Capitals do not matter: no two
// names differ only by them.
func (p *hoursParser) dayName() (day int, ok bool) {
	for d, name := range dayNames {
		if p.word(name) {
			return d, true
		}
	}
	return 0, false
}

// times reads a list of time ranges and the space behind it; nil if there is none.
func (p *hoursParser) times() ([]span, error) {
	var times []span
	for p.digit() {
		start := p.at
		if err := p.count(start); err != nil {
			return nil, err
		}
		s, reason := p.timeRange()
		if reason != "" {
			return nil, p.refuse(start, reason)
		}
		times = append(times, s)
		p.space()
		// After a comma another time goes on with this rule, anything else
		// is the next rule and left to the caller.
		comma := p.at
		if !p.take(',') {
			break
		}
		if p.space(); !p.digit() {
			p.at = comma
			break
		}
	}
	slices.SortFunc(times, bySpan)
	return times, nil
}

func (p *hoursParser) timeRange() (s span, reason string) {
	const form = "expected a time range like 08:00-18:00"
	from, ok := p.clock()
	p.space()
	if !ok || !p.dash() {
		return span{}, form
	}
	p.space()
	to, ok := p.clock()
	if !ok || !p.spaced() && !p.delimited() {
		return span{}, form
	}
	if from >= minutesPerDay {
		return span{}, "a range begins before 24:00"
	}
	if to > 2*minutesPerDay {
		return span{}, "a range ends by 48:00, the end of the next day"
	}
	if to <= from {
		to += minutesPerDay
	}
	return span{from, to}, ""
}

// clock reads "08:00", "8:00" or, as seen in real data, "8"; in minutes.
func (p *hoursParser) clock() (minutes uint16, ok bool) {
	number := func() (n uint16, digits int) {
		for ; p.digit() && digits < 2; digits++ {
			n = 10*n + uint16(p.text[p.at]-'0')
			p.at++
		}
		return n, digits
	}
	hour, digits := number()
	if digits == 0 || p.digit() {
		return 0, false
	}
	minute := uint16(0)
	if p.take(':') {
		if minute, digits = number(); digits != 2 || minute > 59 || p.digit() {
			return 0, false
		}
	}
	return 60*hour + minute, true
}

// count guards against texts made to keep the compiler busy.
func (p *hoursParser) count(start int) error {
	if p.pieces++; p.pieces > maxPieces {
		return p.refuse(start, fmt.Sprintf("more than %d rules and times", maxPieces))
	}
	return nil
}

// refuse names the part from start to the end of the word the parser stopped
// at, or of the quotation that begins there.
func (p *hoursParser) refuse(start int, reason string) error {
	end := max(p.at, start)
	if quoted := strings.TrimPrefix(p.text[end:], `"`); len(quoted) < len(p.text)-end {
		if n := strings.IndexByte(quoted, '"'); n >= 0 {
			end += n + 2
		}
	}
	for p.at = end; !p.done() && (p.at == start || !p.spaced() && !p.delimited()); {
		_, size := utf8.DecodeRuneInString(p.text[p.at:])
		p.at += size
	}
	part := strings.TrimSpace(p.text[start:p.at])
	if len(part) > maxPart {
		part = strings.ToValidUTF8(part[:maxPart], "") + "…"
	}
	return &HoursError{part, reason}
}

// word takes the given word if it stands here, in capitals or not, and ends
// here: "Mo" is not the beginning of "Monday".
func (p *hoursParser) word(w string) bool {
	end := p.at + len(w)
	if end > len(p.text) || !strings.EqualFold(p.text[p.at:end], w) {
		return false
	}
	before := p.at
	if p.at = end; p.letter() {
		p.at = before
		return false
	}
	return true
}

func (p *hoursParser) space() {
	for p.spaced() {
		_, size := utf8.DecodeRuneInString(p.text[p.at:])
		p.at += size
	}
}

// dash takes a hyphen, or the longer dash that word processors make of it.
func (p *hoursParser) dash() bool {
	for _, d := range [...]string{"-", "–"} {
		if strings.HasPrefix(p.text[p.at:], d) {
			p.at += len(d)
			return true
		}
	}
	return false
}

func (p *hoursParser) take(c byte) bool {
	if p.done() || p.text[p.at] != c {
		return false
	}
	p.at++
	return true
}

func (p *hoursParser) done() bool { return p.at >= len(p.text) }

func (p *hoursParser) spaced() bool {
	r, size := utf8.DecodeRuneInString(p.text[p.at:])
	return size > 0 && unicode.IsSpace(r)
}

// delimited reports whether a rule or an item of a list ends here.
func (p *hoursParser) delimited() bool {
	return p.done() || p.text[p.at] == ',' || p.text[p.at] == ';'
}

func (p *hoursParser) digit() bool {
	return !p.done() && p.text[p.at] >= '0' && p.text[p.at] <= '9'
}

func (p *hoursParser) letter() bool {
	r, _ := utf8.DecodeRuneInString(p.text[p.at:])
	return !p.done() && unicode.IsLetter(r)
}
