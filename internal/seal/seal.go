// Package seal digests rows, so that whoever holds a digest can tell whether the row was changed.
//
// A value is digested in one way only, with its kind and its length: two rows that differ never digest
// the same text. The order of values is that of the columns. All digests are SHA-256, begun with a word
// for what is digested, so that none of them can stand for another.
package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// Digest is a SHA-256.
type Digest = [sha256.Size]byte

// The kinds of values, as each value's digest begins.
const (
	kindNull byte = iota
	kindInt
	kindReal
	kindText
	kindBytes
)

// Append writes a value so that no other value, and no two values, are written the same. It takes what
// databases return: nil, int64, float64, bool (as 0 or 1), string, []byte.
func Append(b []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(b, kindNull)
	case int64:
		return AppendInt(b, v)
	case bool:
		n := int64(0)
		if v {
			n = 1
		}
		return AppendInt(b, n)
	case float64:
		return binary.BigEndian.AppendUint64(append(b, kindReal), math.Float64bits(v))
	case string:
		return AppendText(b, v)
	case []byte:
		return append(binary.BigEndian.AppendUint32(append(b, kindBytes), uint32(len(v))), v...)
	}
	panic(fmt.Sprintf("seal: a row has no %T", value))
}

// AppendInt is Append for whoever has no interface at hand: making one costs an allocation.
func AppendInt(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, kindInt), uint64(n))
}

// AppendText is AppendInt for a text.
func AppendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(append(b, kindText), uint32(len(s))), s...)
}

// Of digests values under a word for what they are.
func Of(what string, values ...any) Digest {
	b := Append(make([]byte, 0, 1024), what)
	for _, v := range values {
		b = Append(b, v)
	}
	return sha256.Sum256(b)
}

// Size is the length of a row's seal in bytes: a count of columns and 128 bits of a digest. Nobody can
// find another row with the same seal; whoever may write the database can make a new one, against which
// only the chain of events and its anchors help.
const Size = 17

// Row says how the rows of a table are sealed.
type Row struct {
	Table   string
	Columns []string // all that are sealed, in order; new ones are added at the end
	Late    []bool   // for each column: is it digested last, because it is known last?
	// Evidence is of rows that never change. The columns that are not late are personal, or their salt:
	// once erased they are empty, and the row keeps the digest of what they were.
	Evidence bool

	late []int // places of the late columns
}

// NewRow describes a table; late names the columns that are known only when a row is written.
func NewRow(table string, columns []string, late ...string) Row {
	r := Row{Table: table, Columns: columns, Late: make([]bool, len(columns))}
	for _, name := range late {
		found := false
		for i, c := range columns {
			if c == name {
				r.Late[i], found = true, true
			}
		}
		if !found {
			panic("seal: " + table + " has no column " + name)
		}
	}
	for i, late := range r.Late {
		if late {
			r.late = append(r.late, i)
		}
	}
	return r
}

// Early digests the values of all columns that are not late; more are those of the last columns, when
// values has not all.
func Early(r *Row, values []any, more ...any) Digest {
	b := Append(make([]byte, 0, 1536), r.Table)
	for i, v := range values {
		if !r.Late[i] {
			b = Append(b, v)
		}
	}
	for i, v := range more {
		if !r.Late[len(values)+i] {
			b = Append(b, v)
		}
	}
	return sha256.Sum256(b)
}

// Finish writes the seal of a row of n values into at, which is Size bytes long. Of the values only the
// late ones are looked at, so those behind the last of them may be left out.
func Finish(r *Row, early *Digest, n int, values []any, at []byte) {
	b := append(make([]byte, 0, 128), byte(n))
	b = append(b, early[:]...)
	for _, i := range r.late {
		if i < len(values) {
			b = Append(b, values[i])
		}
	}
	sum := sha256.Sum256(b)
	at[0] = byte(n)
	copy(at[1:], sum[:])
}

// Seal is the seal of a row.
func Seal(r *Row, values []any) []byte {
	at, early := make([]byte, Size), Early(r, values)
	Finish(r, &early, len(values), values, at)
	return at
}

// CheckErased is Check for a row of evidence whose personal columns were erased; early is what they
// digested to.
func (r *Row) CheckErased(values []any, early, seal []byte) bool {
	if len(seal) != Size || len(early) != len(Digest{}) || len(values) != len(r.Columns) || seal[0] == 0 || int(seal[0]) > len(values) {
		return false
	}
	for i, v := range values {
		if (!r.Late[i] || i >= int(seal[0])) && !empty(v) {
			return false
		}
	}
	at := make([]byte, Size)
	Finish(r, (*Digest)(early), int(seal[0]), values[:seal[0]], at)
	return string(at) == string(seal)
}

func empty(v any) bool {
	switch v {
	case nil, int64(0), float64(0), "", false:
		return true
	}
	return false
}

// Check reports whether seal is the seal of values, one for each column. A row that was sealed when its
// table had fewer columns is sealed as far as it went then, and has nothing in those that came later.
func (r *Row) Check(values []any, seal []byte) bool {
	if len(seal) != Size || len(values) != len(r.Columns) {
		return false
	}
	n := int(seal[0])
	if n == 0 || n > len(values) {
		return false
	}
	for _, v := range values[n:] {
		if !empty(v) {
			return false
		}
	}
	return string(Seal(r, values[:n])) == string(seal)
}
