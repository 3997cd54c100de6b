package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"doorstep/internal/fault"
)

// strictJSON decodes one JSON value into v. The fast path is the library's decoder; only when it
// refuses is the text walked again to say where.
func strictJSON(data []byte, v any) error {
	if !utf8.Valid(data) {
		return fault.New(fault.Malformed, "invalid-utf8", "the body is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		return fault.New(fault.Malformed, "trailing-data", "there is more than one JSON value in the body")
	}
	return explain(data, reflect.TypeOf(v), err)
}

// maxDepth is deeper than any request here and shallower than a stack.
const maxDepth = 64

// explain finds the place in data that made the decoder say err, and names it by JSON pointer.
func explain(data []byte, t reflect.Type, err error) error {
	w := &walker{d: json.NewDecoder(bytes.NewReader(data)), stop: -1}
	w.d.UseNumber()
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		w.stop = wrong.Offset
	}
	found := w.value(t, "", 0)
	switch {
	case found != nil:
		return found
	case wrong != nil:
		return malformed(w.last, "wrong-type", "expected %s, got %s", plainType(wrong.Type), wrong.Value)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return malformed(w.last, "broken-json", "the JSON ends too early")
	}
	return malformed(w.last, "broken-json", "%s", strings.TrimPrefix(err.Error(), "json: "))
}

func malformed(pointer, code, format string, args ...any) error {
	f := fault.Field{Pointer: pointer, Code: code, Detail: fmt.Sprintf(format, args...)}
	return &fault.Error{Kind: fault.Malformed, Code: "malformed", Detail: "the body cannot be read: " + f.Detail, Fields: []fault.Field{f}}
}

// walker reads tokens beside the type they are meant for.
type walker struct {
	d    *json.Decoder
	stop int64  // offset of the value the decoder refused, -1: none
	last string // pointer of the value being read
	over bool   // the text broke off or is no JSON: d says so again and again
}

// value walks one value; it returns the first unknown field or the depth that is too great.
func (w *walker) value(t reflect.Type, at string, depth int) error {
	if w.stop < 0 || w.d.InputOffset() < w.stop {
		w.last = at
	}
	if depth > maxDepth {
		return malformed(at, "too-deep", "at most %d levels", maxDepth)
	}
	tok, err := w.d.Token()
	if err != nil {
		w.over = true
		return nil // explain says what the decoder said
	}
	switch tok {
	case json.Delim('{'):
		return w.object(t, at, depth)
	case json.Delim('['):
		et := element(t)
		for i := 0; w.d.More(); i++ {
			if err := w.value(et, at+"/"+strconv.Itoa(i), depth+1); err != nil {
				return err
			}
			if w.over || w.stop >= 0 && w.d.InputOffset() >= w.stop {
				return nil
			}
		}
		_, _ = w.d.Token()
	}
	return nil
}

func (w *walker) object(t reflect.Type, at string, depth int) error {
	for w.d.More() {
		tok, err := w.d.Token()
		if err != nil {
			return nil
		}
		name, ok := tok.(string)
		if !ok {
			return nil
		}
		here := at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		ft, known := field(t, name)
		if !known {
			return malformed(here, "unknown-field", "%q is not a field here", name)
		}
		if err := w.value(ft, here, depth+1); err != nil {
			return err
		}
		if w.over || w.stop >= 0 && w.d.InputOffset() >= w.stop {
			return nil
		}
	}
	_, _ = w.d.Token()
	return nil
}

// field is the type of a JSON field of t; a nil type stands for one that takes anything.
func field(t reflect.Type, name string) (reflect.Type, bool) {
	t = deref(t)
	if t == nil || t.Kind() != reflect.Struct {
		return nil, true
	}
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if strings.EqualFold(tag, name) {
			return f.Type, true
		}
	}
	return nil, false
}

func element(t reflect.Type) reflect.Type {
	if t = deref(t); t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		return t.Elem()
	}
	return nil
}

func deref(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func plainType(t reflect.Type) string {
	switch deref(t).Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number in range"
}
