// Package fault holds the errors a sender can act on.
//
// An error is coded where it arises and mapped to an HTTP status once, at the edge
// (server/problem.go). Anything that is not a *fault.Error is a defect or an outage:
// it is logged once and shown as "internal".
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says who has to do what about an error.
type Kind uint8

const (
	Malformed    Kind = iota + 1 // the message cannot be read: mend the client
	Invalid                      // readable, but a value is wrong: mend the value
	Unauthorized                 // no or unknown credentials
	Forbidden                    // known, but not allowed
	NotFound                     // absent, or another owner's: the two look alike on purpose
	Conflict                     // not in this state; Allowed says what is
	Stale                        // If-Match does not match: read again
	TooLarge                     // over a limit of size
	Unsupported                  // a media type nobody here reads
	Exhausted                    // too much at once: wait RetryAfter
	Full                         // the disk is full: an operator must act
	Unavailable                  // a dependency fails: wait RetryAfter
)

// Field names one wrong value of a request by its JSON pointer (RFC 6901).
type Field struct {
	Pointer string
	Code    string
	Detail  string
}

// Error is an error with an audience.
type Error struct {
	Kind       Kind
	Code       string // kebab-case, stable: clients branch on it
	Detail     string // one sentence that says what to do
	Fields     []Field
	Allowed    []string // for Conflict: the moves that are possible now
	RetryAfter time.Duration
	cause      error
}

func (e *Error) Error() string {
	s := e.Code
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	for _, f := range e.Fields {
		s += fmt.Sprintf(" [%s %s: %s]", f.Pointer, f.Code, f.Detail)
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.cause }

// New makes an error of any kind.
func New(k Kind, code, format string, args ...any) *Error {
	return &Error{Kind: k, Code: code, Detail: sprint(format, args)}
}

// InvalidField is the usual refusal: one value is wrong.
func InvalidField(pointer, code, format string, args ...any) *Error {
	d := sprint(format, args)
	return &Error{Kind: Invalid, Code: "invalid", Detail: "a value is not acceptable: " + d,
		Fields: []Field{{Pointer: pointer, Code: code, Detail: d}}}
}

// Missing says that what was asked for does not exist for this caller.
func Missing(what string) *Error {
	return &Error{Kind: NotFound, Code: "not-found", Detail: what + " not found"}
}

// Refused is a move the present state does not allow; allowed lists those it does.
func Refused(code string, allowed []string, format string, args ...any) *Error {
	return &Error{Kind: Conflict, Code: code, Detail: sprint(format, args), Allowed: allowed}
}

// KindOf is the kind of err, or 0 when err is not for the sender.
func KindOf(err error) Kind {
	if e := As(err); e != nil {
		return e.Kind
	}
	return 0
}

// As is the *Error in err's chain, or nil.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// Code is the code of err, or "".
func Code(err error) string {
	if e := As(err); e != nil {
		return e.Code
	}
	return ""
}

// Fields collects the wrong values of one request, so that the sender learns of all at once.
type Fields []Field

// Add notes a wrong value.
func (f *Fields) Add(pointer, code, format string, args ...any) {
	*f = append(*f, Field{Pointer: pointer, Code: code, Detail: sprint(format, args)})
}

// AddErr notes the fields of err below prefix; an error without fields is noted at prefix itself.
func (f *Fields) AddErr(prefix string, err error) {
	if err == nil {
		return
	}
	e := As(err)
	if e == nil || len(e.Fields) == 0 {
		f.Add(prefix, "invalid", "%s", err.Error())
		return
	}
	for _, x := range e.Fields {
		x.Pointer = prefix + x.Pointer
		*f = append(*f, x)
	}
}

// Err is nil when nothing was noted.
func (f Fields) Err() error {
	if len(f) == 0 {
		return nil
	}
	d := f[0].Detail
	if len(f) > 1 {
		d = fmt.Sprintf("%s (and %d more)", d, len(f)-1)
	}
	return &Error{Kind: Invalid, Code: "invalid", Detail: d, Fields: f}
}

func sprint(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// After says when the sender may try again.
func (e *Error) After(d time.Duration) *Error { e.RetryAfter = d; return e }

// From keeps the cause for the log; it is never shown to the sender.
func (e *Error) From(cause error) *Error { e.cause = cause; return e }
