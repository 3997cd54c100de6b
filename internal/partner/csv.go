package partner

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxRecord bounds one record of an import in bytes: one forgotten quote must not read a whole file
// into memory.
const maxRecord = 64 << 10

var (
	errTooLong  = errors.New("the record is longer than 64 KiB, or a quote that opens a field is never closed")
	errQuote    = errors.New(`a quote inside a field: put the field in quotes and double the quotes in it, as in "7"" screen"`)
	errUnclosed = errors.New("a quote that opens a field is never closed")
)

// records cuts a stream into records. A broken one is told and does not take the next ones with it:
// when a quote is never closed, only the line that opens it is lost.
type records struct {
	in    *bufio.Reader
	comma byte // of CSV; 0: every line is a record of one field
	row   int  // the physical record read last, from 1
}

func newRecords(r io.Reader, comma byte) *records {
	return &records{in: bufio.NewReaderSize(r, 4*maxRecord), comma: comma}
}

// next is the fields of the next record; bad says what is wrong with that record, err that there is
// no next one (io.EOF) or that the stream failed. A blank line is a record without fields.
func (r *records) next() (fields []string, bad, err error) {
	window, _ := r.in.Peek(min(r.in.Buffered(), maxRecord+1))
	fields, n, bad := scanRecord(window, r.comma, false)
	if n == 0 {
		var end error
		window, end = r.in.Peek(maxRecord + 1)
		if end != nil && end != io.EOF {
			return nil, nil, end
		}
		if len(window) == 0 {
			return nil, nil, io.EOF
		}
		fields, n, bad = scanRecord(window, r.comma, end == io.EOF)
	}
	r.row++
	if n == 0 || n > maxRecord {
		bad, n = errTooLong, 0
	}
	if n == 0 || errors.Is(bad, errUnclosed) {
		return nil, bad, r.skipLine()
	}
	if _, err := r.in.Discard(n); err != nil {
		return nil, nil, err
	}
	return fields, bad, nil
}

// skipLine drops everything up to the next line break, however far.
func (r *records) skipLine() error {
	for {
		_, err := r.in.ReadSlice('\n')
		if err == nil || err == io.EOF {
			return nil
		}
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}

// scanRecord reads the first record of window by RFC 4180; n is its length with the line break, 0
// when the window ends before the record does. At the end of the stream (eof) a line break is not
// needed. A blank line has no fields.
func scanRecord(window []byte, comma byte, eof bool) (fields []string, n int, bad error) {
	if comma == 0 {
		line, n := cutLine(window, eof)
		if len(bytes.TrimSpace(line)) == 0 {
			return nil, n, nil
		}
		return []string{string(line)}, n, nil
	}
	at := 0
	for {
		field, end, err := scanField(window, at, comma, eof)
		if end < 0 {
			return nil, 0, nil
		}
		if err != nil && bad == nil {
			bad = err
		}
		fields = append(fields, field)
		switch {
		case end == len(window):
			n = end
		case window[end] == comma:
			at = end + 1
			continue
		default: // a line break, perhaps of two bytes
			n = end + bytes.IndexByte(window[end:], '\n') + 1
		}
		if len(fields) == 1 && fields[0] == "" && at == 0 && window[0] != '"' {
			fields = nil
		}
		return fields, n, bad
	}
}

// scanField reads the field at at and stops at the comma, line break or end behind it; end is -1
// when the window ends too early to tell.
func scanField(window []byte, at int, comma byte, eof bool) (field string, end int, bad error) {
	if at < len(window) && window[at] == '"' {
		return scanQuoted(window, at+1, comma, eof)
	}
	for i := at; i < len(window); i++ {
		switch c := window[i]; {
		case c == comma:
			return string(window[at:i]), i, bad
		case c == '\n':
			end := i
			if i > at && window[i-1] == '\r' {
				end--
			}
			return string(window[at:end]), end, bad
		case c == '"':
			bad = errQuote
		}
	}
	if !eof {
		return "", -1, nil
	}
	return string(bytes.TrimSuffix(window[at:], []byte{'\r'})), len(window), bad
}

// scanQuoted reads a field whose opening quote is behind it.
func scanQuoted(window []byte, at int, comma byte, eof bool) (field string, end int, bad error) {
	var text []byte
	for i := at; i < len(window); i++ {
		if window[i] != '"' {
			continue
		}
		text = append(text, window[at:i]...)
		if i+1 < len(window) && window[i+1] == '"' {
			text = append(text, '"')
			i++
			at = i + 1
			continue
		}
		if i+1 == len(window) && !eof {
			return "", -1, nil // the next byte may double the quote
		}
		rest, end, _ := scanField(window, i+1, comma, eof)
		if end >= 0 && rest != "" {
			bad = errQuote
		}
		return string(text), end, bad
	}
	if !eof {
		return "", -1, nil
	}
	return "", len(window), errUnclosed
}

func cutLine(window []byte, eof bool) (line []byte, n int) {
	if i := bytes.IndexByte(window, '\n'); i >= 0 {
		return bytes.TrimSuffix(window[:i], []byte{'\r'}), i + 1
	}
	if eof {
		return window, len(window)
	}
	return nil, 0
}

// delimiter is the one of , ; and tab that the header has most of, outside quotes.
func delimiter(header []byte) byte {
	best, most := byte(','), 0
	for _, c := range []byte{',', ';', '\t'} {
		n, quoted := 0, false
		for _, b := range header {
			if b == '"' {
				quoted = !quoted
			}
			if b == c && !quoted {
				n++
			}
		}
		if n > most {
			best, most = c, n
		}
	}
	return best
}
