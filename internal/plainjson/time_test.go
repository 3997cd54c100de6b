package plainjson_test

import (
	"testing"
	"time"

	"doorstep/internal/plainjson"

	"pgregory.net/rapid"
)

// A time is written by hand, and as the library would.
func TestATimeIsWrittenAsFormatWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-70_000_000_000, 300_000_000_000).Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "nano"))
		at = at.In(time.FixedZone("", rapid.IntRange(-50_000, 50_000).Draw(t, "offset")))
		var w plainjson.Writer
		w.Object("")
		w.Time("at", at)
		w.EndObject()
		if want := `{"at":"` + at.UTC().Format("2006-01-02T15:04:05.000Z") + `"}`; string(w.Buf) != want {
			t.Fatalf("%s, want %s", w.Buf, want)
		}
	})
}
