package seal_test

import (
	"fmt"
	"testing"

	"doorstep/internal/seal"

	"pgregory.net/rapid"
)

// No two lists of values are written alike, whatever one puts where.
func TestDifferentValuesAreWrittenDifferently(t *testing.T) {
	value := rapid.OneOf(rapid.Just[any](nil), rapid.Int64().AsAny(), rapid.Float64().AsAny(), rapid.String().AsAny(),
		rapid.SliceOf(rapid.Byte()).AsAny())
	values := rapid.SliceOfN(value, 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		a, b := values.Draw(t, "a"), values.Draw(t, "b")
		same := fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
		if (seal.Of("x", a...) == seal.Of("x", b...)) != same {
			t.Fatalf("%#v and %#v", a, b)
		}
	})
	if seal.Of("x", "y") == seal.Of("xy") || seal.Of("x", []byte("y")) == seal.Of("x", "y") || seal.Of("x", nil) == seal.Of("x") {
		t.Error("values run into each other")
	}
	if seal.Of("x", true) != seal.Of("x", int64(1)) || seal.Of("x", false) != seal.Of("x", int64(0)) {
		t.Error("one engine's TRUE is the other's 1")
	}
}

var parcel = seal.NewRow("parcel", []string{"key", "place", "last_event", "note"}, "last_event")

func TestASealIsOfAllColumns(t *testing.T) {
	good := func() []any { return []any{int64(7), "shelf", int64(9), nil} }
	s := seal.Seal(&parcel, good())
	if !parcel.Check(good(), s) {
		t.Fatal("it does not know its own seal")
	}
	for i, v := range []any{int64(8), "Shelf", int64(8), ""} {
		changed := good()
		changed[i] = v
		if parcel.Check(changed, s) {
			t.Errorf("column %s was changed", parcel.Columns[i])
		}
	}
	for i := range s {
		for bit := range 8 {
			broken := append([]byte(nil), s...)
			broken[i] ^= 1 << bit
			if parcel.Check(good(), broken) {
				t.Errorf("bit %d of byte %d of the seal", bit, i)
			}
		}
	}
	if parcel.Check(good(), nil) || parcel.Check(good(), s[:16]) || parcel.Check(good()[:3], s) {
		t.Error("half a seal, or half a row")
	}
}

// A column that is added later leaves the seals of older rows as they are, and cannot be filled unseen.
func TestATableGrowsAColumn(t *testing.T) {
	old := seal.Seal(&parcel, []any{int64(7), "shelf", int64(9), nil})
	grown := seal.NewRow("parcel", []string{"key", "place", "last_event", "note", "weight"}, "last_event")
	for weight, want := range map[any]bool{nil: true, int64(0): true, "": true, int64(5): false, "5": false} {
		if got := grown.Check([]any{int64(7), "shelf", int64(9), nil, weight}, old); got != want {
			t.Errorf("weight %v: %v, want %v", weight, got, want)
		}
	}
	if s := seal.Seal(&grown, []any{int64(7), "shelf", int64(9), nil, int64(0)}); string(s) == string(old) {
		t.Error("a row that is written again is sealed as a whole")
	}
}
