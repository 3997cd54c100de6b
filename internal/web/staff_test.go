package web

import (
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

// staffPages are all pages of those who run the network, filled in with everything they can show.
func staffPages(lang string) map[string]func(io.Writer) error {
	hostile := `<script>alert("x")</script>&'`
	account := AccountPage{Lang: lang, Login: hostile, Name: hostile, Role: "admin", Notice: "saved", Wait: 3 * time.Minute,
		Faults:   map[string]string{"/current_password": "wrong", "/password": "too-short"},
		Sessions: []SessionLine{{ID: "ses_1", Browser: hostile, Since: afternoon, Seen: afternoon}, {ID: "ses_2", Browser: "Firefox · Linux", Current: true}},
		People: []PersonLine{{ID: "usr_1", Login: hostile, Name: hostile, Role: "admin", Status: "active"}, {ID: "usr_2", Role: "dispatcher", Status: "invited"},
			{ID: "usr_3", Role: "dispatcher", Status: "disabled"}, {ID: "usr_4", Role: "admin", Status: "active", Self: true}},
		Problem: "last-admin", InviteName: hostile, InviteURL: "https://desk.example/setup/" + hostile}
	return map[string]func(io.Writer) error{
		"sign in":  func(w io.Writer) error { return RenderSignIn(w, SignIn{Lang: lang, Login: hostile, Next: hostile}) },
		"failed":   func(w io.Writer) error { return RenderSignIn(w, SignIn{Lang: lang, Failed: true}) },
		"wait":     func(w io.Writer) error { return RenderSignIn(w, SignIn{Lang: lang, Wait: 1500 * time.Millisecond}) },
		"out":      func(w io.Writer) error { return RenderSignIn(w, SignIn{Lang: lang, Out: true}) },
		"no https": func(w io.Writer) error { return RenderSignIn(w, SignIn{Lang: lang, NoHTTPS: true}) },
		"first":    func(w io.Writer) error { return RenderSetUp(w, SetUp{Lang: lang, First: true}) },
		"first again": func(w io.Writer) error {
			return RenderSetUp(w, SetUp{Lang: lang, First: true, Login: hostile, Name: hostile, Faults: map[string]string{"/login": "x", "/name": "required", "/password": "guessable"}})
		},
		"invited":    func(w io.Writer) error { return RenderSetUp(w, SetUp{Lang: lang, Login: hostile, Name: hostile}) },
		"dead link":  func(w io.Writer) error { return RenderDeadLink(w, lang) },
		"no console": func(w io.Writer) error { return RenderNoConsole(w, lang) },
		"account":    func(w io.Writer) error { return RenderAccount(w, account) },
		"no dispatcher": func(w io.Writer) error {
			return RenderAccount(w, AccountPage{Lang: lang, Role: "dispatcher", Name: "Ben"})
		},
	}
}

func TestPagesOfStaffAreSoundWhateverIsInThem(t *testing.T) {
	for _, lang := range []string{"en", "zh"} {
		for name, draw := range staffPages(lang) {
			var b strings.Builder
			if err := draw(&b); err != nil {
				t.Fatalf("%s in %s: %v", name, lang, err)
			}
			html := b.String()
			in := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(html, "<!DOCTYPE html>")))
			in.Entity = xml.HTMLEntity
			labelled, inputs := map[string]bool{}, []string{}
			for {
				tok, err := in.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s in %s is not well-formed: %v\n%s", name, lang, err, html)
				}
				e, ok := tok.(xml.StartElement)
				if !ok {
					continue
				}
				at := map[string]string{}
				for _, a := range e.Attr {
					at[a.Name.Local] = a.Value
					if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") {
						t.Errorf("%s: %s is not allowed by our policy", name, a.Name.Local)
					}
				}
				switch {
				case e.Name.Local == "script":
					t.Errorf("%s in %s runs a script", name, lang)
				case e.Name.Local == "label":
					labelled[at["for"]] = true
				case (e.Name.Local == "input" || e.Name.Local == "select") && at["type"] != "hidden":
					inputs = append(inputs, at["id"])
				case e.Name.Local == "form" && at["method"] != "post":
					t.Errorf("%s: a form without post would put a password into the address", name)
				}
			}
			for _, id := range inputs {
				if !labelled[id] {
					t.Errorf("%s: the field %q has no label", name, id)
				}
			}
			for _, left := range []string{"{time}", "{n}", "{name}", "ZgotmplZ"} {
				if strings.Contains(html, left) {
					t.Errorf("%s in %s shows %s", name, lang, left)
				}
			}
		}
	}
}

func TestStaffWordsAreThereInEveryLanguage(t *testing.T) {
	check := func(lang, name string, v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			if v.String() == "" {
				t.Errorf("%s has no words for %s", lang, name)
			}
		case reflect.Map:
			english := reflect.ValueOf(englishStaff).FieldByName(name)
			for _, k := range english.MapKeys() {
				if w := v.MapIndex(k); !w.IsValid() || w.String() == "" {
					t.Errorf("%s has no words for %s %q", lang, name, k)
				}
			}
		}
	}
	for lang, w := range staffLanguages {
		v := reflect.ValueOf(*w)
		for i := range v.NumField() {
			check(lang, v.Type().Field(i).Name, v.Field(i))
		}
	}
	for lang, w := range docLanguages {
		v := reflect.ValueOf(*w)
		for i := range v.NumField() {
			check(lang, v.Type().Field(i).Name, v.Field(i))
		}
	}
}

// A camera reads dark squares on a light ground with a light edge around.
func TestAQRCodeIsDrawn(t *testing.T) {
	svg, err := QR("https://desk.example/store/#pair=7K3M9QXT")
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal([]byte(svg), new(struct{ XMLName xml.Name })); err != nil {
		t.Error(err)
	}
	// Four quiet rows, then a finder pattern: seven dark squares, one light, or whatever comes next.
	if !strings.Contains(svg, `<path d="M4 4h7v1h-7z`) || !strings.Contains(svg, `fill="#fff"`) || len(svg) > 20_000 {
		t.Errorf("%d bytes: %.200s", len(svg), svg)
	}
	if _, err := QR(strings.Repeat("x", 5000)); err == nil {
		t.Error("a text that does not fit was drawn")
	}
}
