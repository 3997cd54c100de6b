package plainjson

import (
	"strconv"
	"strings"
)

// Reader reads one value of a known shape:
//
//	r := plainjson.NewReader(text)
//	for name := r.Object(); name != ""; name = r.Next() {
//		switch name {
//		case "sku":
//			sku = r.String()
//		default:
//			r.GiveUp()
//		}
//	}
//	ok := r.Done()
//
// Once it has given up, every method returns the zero value and loops end.
type Reader struct {
	text string // valid UTF-8
	at   int
	lost bool
}

// NewReader reads text, which must be valid UTF-8. Strings it returns are parts of text.
func NewReader(text string) *Reader { return &Reader{text: text} }

// GiveUp ends the reading.
func (r *Reader) GiveUp() { r.lost = true }

// Done reports whether all of the text was read, and understood.
func (r *Reader) Done() bool {
	r.space()
	return !r.lost && r.at == len(r.text)
}

func (r *Reader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// take takes the next byte that is no space if it is c.
func (r *Reader) take(c byte) bool {
	r.space()
	if r.lost || r.at == len(r.text) || r.text[r.at] != c {
		return false
	}
	r.at++
	return true
}

func (r *Reader) need(c byte) {
	if !r.take(c) {
		r.lost = true
	}
}

// Object begins an object and returns the name of its first member, "" when it has none.
func (r *Reader) Object() string {
	r.need('{')
	if r.take('}') {
		return ""
	}
	return r.member()
}

// Next is the name of the next member, "" behind the last.
func (r *Reader) Next() string {
	if r.take(',') {
		return r.member()
	}
	r.need('}')
	return ""
}

func (r *Reader) member() string {
	name := r.String()
	r.need(':')
	if r.lost {
		return ""
	}
	if name == "" {
		r.lost = true
	}
	return name
}

// Array begins an array and reports whether it has an element.
func (r *Reader) Array() bool {
	r.need('[')
	return !r.take(']') && !r.lost
}

// More reports whether another element follows.
func (r *Reader) More() bool {
	if r.take(',') {
		return true
	}
	r.need(']')
	return false
}

// String reads a string without escapes.
func (r *Reader) String() string {
	r.need('"')
	if r.lost {
		return ""
	}
	from := r.at
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return r.text[from : r.at-1]
		case c == '\\' || c < ' ':
			r.lost = true
			return ""
		}
	}
	r.lost = true
	return ""
}

// Strings reads an array of strings.
func (r *Reader) Strings() []string {
	all := []string{}
	for more := r.Array(); more; more = r.More() {
		all = append(all, r.String())
	}
	return all
}

// Bool reads true or false.
func (r *Reader) Bool() bool {
	r.space()
	switch rest := r.text[r.at:]; {
	case r.lost:
	case strings.HasPrefix(rest, "true"):
		r.at += 4
		return true
	case strings.HasPrefix(rest, "false"):
		r.at += 5
	default:
		r.lost = true
	}
	return false
}

// Int reads a whole number written as one.
func (r *Reader) Int() int {
	text, whole := r.number()
	n, err := strconv.Atoi(text)
	if err != nil || !whole {
		r.lost = true
		return 0
	}
	return n
}

// Float reads a number.
func (r *Reader) Float() float64 {
	text, _ := r.number()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		r.lost = true
		return 0
	}
	return v
}

// number takes what RFC 8259 calls a number; whole ones have neither fraction nor exponent.
func (r *Reader) number() (text string, whole bool) {
	r.space()
	if r.lost {
		return "", false
	}
	from := r.at
	r.skip('-')
	zero := r.skip('0')
	if digits := r.digits(); digits == 0 && !zero || digits > 0 && zero {
		r.lost = true
	}
	whole = true
	if r.skip('.') {
		whole = false
		r.lost = r.lost || r.digits() == 0
	}
	if r.skip('e') || r.skip('E') {
		whole = false
		_ = r.skip('+') || r.skip('-')
		r.lost = r.lost || r.digits() == 0
	}
	return r.text[from:r.at], whole
}

func (r *Reader) skip(c byte) bool {
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *Reader) digits() (n int) {
	for ; r.at < len(r.text) && '0' <= r.text[r.at] && r.text[r.at] <= '9'; r.at++ {
		n++
	}
	return n
}
