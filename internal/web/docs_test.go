package web

import (
	"bytes"
	"encoding/xml"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func help(t *testing.T) *Docs {
	t.Helper()
	d, err := NewDocs(contractText(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *Docs) page(t *testing.T, p DocPage) string {
	t.Helper()
	if p.Host == "" {
		p.Host = "https://desk.example"
	}
	var b bytes.Buffer
	ok, err := d.Render(&b, p)
	if err != nil || !ok {
		t.Fatalf("%+v: %v %v", p, ok, err)
	}
	return b.String()
}

// everyPage is the name of each page there is.
func (d *Docs) everyPage() []string {
	names := append(slices.Clone(docNames), "api")
	for _, g := range d.ref.Groups {
		names = append(names, "api/"+g.Slug)
	}
	return names
}

func TestEveryPageOfHelpIsSound(t *testing.T) {
	d := help(t)
	for _, lang := range []string{"en", "zh"} {
		for _, name := range d.everyPage() {
			html := d.page(t, DocPage{Lang: lang, Name: name})
			in := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(html, "<!DOCTYPE html>")))
			in.Entity = xml.HTMLEntity
			ids := map[string]bool{}
			for {
				tok, err := in.Token()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("%s in %s is not well-formed: %v", name, lang, err)
				}
				if e, ok := tok.(xml.StartElement); ok {
					for _, a := range e.Attr {
						switch a.Name.Local {
						case "id":
							if ids[a.Value] {
								t.Errorf("%s: the id %s stands there twice", name, a.Value)
							}
							ids[a.Value] = true
						case "style", "onclick":
							t.Errorf("%s: %s is not allowed by our policy", name, a.Name.Local)
						case "src":
							t.Errorf("%s loads %s", name, a.Value)
						}
					}
				}
			}
			for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(html, -1) {
				d.leads(t, name, m[1], ids)
			}
			if strings.Contains(html, "raw HTML omitted") || strings.Contains(html, exampleHost) || strings.Count(html, "<h1") != 1 {
				t.Errorf("%s in %s: left-overs or not one title", name, lang)
			}
		}
	}
}

// leads checks that a link leads somewhere: to a page of help, to an id on this one, or to a known path.
func (d *Docs) leads(t *testing.T, from, href string, ids map[string]bool) {
	t.Helper()
	path, fragment, _ := strings.Cut(href, "#")
	path, _, _ = strings.Cut(path, "?")
	name, inDocs := strings.CutPrefix(path, "/docs/")
	switch {
	case path == "" && !ids[fragment]:
		t.Errorf("%s: nothing is called #%s", from, fragment)
	case path == "", strings.HasPrefix(path, StaticPrefix), path == "/openapi.yaml", path == "/account":
	case !inDocs:
		t.Errorf("%s leads to %s", from, href)
	case name != "" && !slices.Contains(d.everyPage(), name):
		t.Errorf("%s leads to %s, which is not there", from, href)
	case strings.HasPrefix(name, "api/") && fragment != "":
		i := slices.IndexFunc(d.ref.Groups, func(g *refGroup) bool { return "api/"+g.Slug == name })
		if !slices.ContainsFunc(d.ref.Groups[i].Operations, func(o *refOperation) bool { return o.ID == fragment }) {
			t.Errorf("%s leads to %s, where that is not", from, href)
		}
	}
}

func TestTheReferenceSaysWhatTheContractSays(t *testing.T) {
	d := help(t)
	n := 0
	for _, g := range d.ref.Groups {
		html := d.page(t, DocPage{Lang: "en", Name: "api/" + g.Slug})
		for _, o := range g.Operations {
			n++
			if !strings.Contains(html, `id="`+o.ID+`"`) || !strings.Contains(html, o.Path) || len(o.Answers) == 0 || !strings.HasPrefix(o.Curl, "curl ") {
				t.Errorf("%s is missing something", o.ID)
			}
			if strings.Contains(o.Curl, "{id}") || strings.Contains(string(o.About), "Roles:") {
				t.Errorf("%s: %s %s", o.ID, o.Curl, o.About)
			}
			for _, f := range slices.Concat(o.Parameters, o.Body) {
				if f.Type == "" || f.Name == "" {
					t.Errorf("%s: a field without type or name: %+v", o.ID, f)
				}
			}
		}
	}
	if want := bytes.Count(contractText(t), []byte("\n      operationId:")); n != want {
		t.Errorf("%d operations of %d are shown", n, want)
	}
	var create *refOperation
	for _, g := range d.ref.Groups {
		for _, o := range g.Operations {
			if o.ID == "createOrder" {
				create = o
			}
		}
	}
	if create == nil || !strings.Contains(create.Curl, `-H "Authorization: Bearer $KEY"`) || !slices.Equal(create.Roles, []string{"admin", "merchant"}) && !slices.Contains(create.Roles, "merchant") {
		t.Fatalf("%+v", create)
	}
	var location *refField
	for i, f := range create.Body {
		if f.Name == "dropoff.location.lat" {
			location = &create.Body[i]
		}
	}
	if location == nil || !location.Required || location.Type != "number" {
		t.Errorf("%+v", location)
	}
}

func TestAHostIsTextAndNothingElse(t *testing.T) {
	d := help(t)
	html := d.page(t, DocPage{Lang: "en", Name: "integrators", Host: `https://x"><script>alert(1)</script>`})
	if strings.Contains(html, "<script") {
		t.Error("a host became a script")
	}
	if ok, err := d.Render(io.Discard, DocPage{Name: "../secrets"}); ok || err != nil {
		t.Error(ok, err)
	}
}
