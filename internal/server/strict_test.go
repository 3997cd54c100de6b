package server

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"doorstep/internal/fault"
)

func TestBrokenJSONIsRefusedNamingThePlace(t *testing.T) {
	for text, want := range map[string]string{
		`{"recipient":{"name":7}}`:                       "/recipient/name wrong-type",
		`{"items":[{"sku":"a"},{"sku":1}]}`:              "/items/1/sku wrong-type",
		`{"items":{"sku":"a"}}`:                          "/items wrong-type",
		`{"radius_m":1.5}`:                               "/radius_m wrong-type",
		`{"radius_m":99999999999999999999}`:              "/radius_m wrong-type",
		`{"dropoff":{"address":{"line1":"x","door":2}}}`: "/dropoff/address/door unknown-field",
		`{"a/b~c":1}`:                                    "/a~1b~0c unknown-field",
		`{"tags":["a",]}`:                                "/tags/1 broken-json",
		`{"tags":["a"`:                                   "/tags/0 broken-json",
		`{"dropoff":{"location":{"lat":NaN}}}`:           "/dropoff/location/lat broken-json",
		`"text"`:                                         " wrong-type",
		`{"items":[{"sku":"a"}{}]}`:                      "/items/1 broken-json",
		`{"tags":["a"` + "\n" + `"b"]}`:                  "/tags/1 broken-json",
		strings.Repeat(`{"dropoff":`, 80) + strings.Repeat(`}`, 80): "/dropoff/dropoff unknown-field",
	} {
		err := strictJSON([]byte(text), &orderIn{})
		f := fault.As(err)
		if f == nil || f.Kind != fault.Malformed || len(f.Fields) != 1 {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := f.Fields[0].Pointer + " " + f.Fields[0].Code; got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// Whatever comes in, strictJSON takes it or says why not, and takes only what means the same to
// the decoder that forgives everything.
func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{`{}`, `null`, `[]`, `{"items":[{"sku":"a","quantity":1}]}`, `{"recipient":{"name":7}}`, `{"x":1}`,
		`{"dropoff":{"location":{"lat":1,"lng":2}},"window":{"earliest":"x"}}`, `{} {}`, "\xff", `{"tags":["a",]}`, strings.Repeat("[", 200)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var strict, plain orderIn
		err := strictJSON(data, &strict)
		if err != nil {
			if k := fault.KindOf(err); k != fault.Malformed {
				t.Errorf("refused as kind %d: %v", k, err)
			}
			return
		}
		if err := json.Unmarshal(data, &plain); err != nil || !reflect.DeepEqual(strict, plain) {
			t.Errorf("taken, but %v", err)
		}
	})
}
