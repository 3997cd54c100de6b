package web

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func contractText(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The whole contract, read by us and by a full parser, is the same document.
func TestTheContractIsReadAsAFullParserDoes(t *testing.T) {
	data := contractText(t)
	n, err := readYAML(data)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	normal := func(text []byte) []byte {
		t.Helper()
		doc, err := openapi3.NewLoader().LoadFromData(text)
		if err != nil {
			t.Fatal(err)
		}
		out, err := doc.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	a, b := normal(ours), normal(data)
	if !bytes.Equal(a, b) {
		for i := range a {
			if i >= len(b) || a[i] != b[i] {
				t.Fatalf("they part at\n%s\n%s", a[max(0, i-200):min(len(a), i+200)], b[max(0, i-200):min(len(b), i+200)])
			}
		}
	}
}

func TestWhatYAMLIsReadAndRefused(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\nb:\n  - x\n  - y: 2\n    z: [p, \"q, r\", {s: t}]\n": `{"a":1,"b":["x",{"y":2,"z":["p","q, r",{"s":"t"}]}]}`,
		"z: 1\na: 2\nm: 3\n":                                          `{"z":1,"a":2,"m":3}`, // in the order it is written in
		"\"200\": {$ref: \"#/x\"}\n'it is': no\n":                     `{"200":{"$ref":"#/x"},"it is":"no"}`,
		"a:\n- 1\n- -2.5\n- \"3\"\n- true\n- null\nb: http://x/y:z\n": `{"a":[1,-2.5,"3",true,null],"b":"http://x/y:z"}`,
		"# nothing\na: \"\\u00e9\\n\"\n":                              `{"a":"é\n"}`,
		"a: &x 1\nb: *x\n":                                            "!",
		"a: [1, 2\n":                                                  "!",
		"a: \"open\n":                                                 "!",
		"{[1]: 2}\n":                                                  "!",
	} {
		n, err := readYAML([]byte(text))
		if want == "!" {
			if err == nil {
				t.Errorf("%q was read as %v", text, n)
			}
			continue
		}
		got, _ := json.Marshal(n)
		if err != nil || string(got) != want {
			t.Errorf("%q: %s %v, want %s", text, got, err, want)
		}
	}
}
