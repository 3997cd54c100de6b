package web

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// reference is the contract as people read it.
type reference struct {
	Title, Version string
	About          template.HTML
	Groups         []*refGroup
	doc            *node
}

// refGroup is the operations under one tag.
type refGroup struct {
	Name, Slug string
	About      template.HTML
	Operations []*refOperation
}

// refOperation is one method of one path.
type refOperation struct {
	ID, Method, Path, Summary string
	About                     template.HTML
	Roles                     []string
	Parameters                []refField
	BodyKinds                 string
	Body                      []refField
	Answers, Refusals         []refAnswer
	Curl                      string
}

// refField is a parameter or a value in a body; Name is its path, as in dropoff.location.lat.
type refField struct {
	Name, In, Type string
	Required       bool
	About          template.HTML
}

type refAnswer struct {
	Status, About string
	Fields        []refField
	Example       string
}

func newReference(contract []byte) (*reference, error) {
	doc, err := readYAML(contract)
	if err != nil {
		return nil, err
	}
	r := &reference{doc: doc, Title: doc.at("info", "title").str(), Version: doc.at("info", "version").str()}
	if r.About, err = inline(doc.at("info", "description").str()); err != nil {
		return nil, err
	}
	groups := map[string]*refGroup{}
	for _, tag := range doc.at("tags").items() {
		g := &refGroup{Name: tag.at("name").str()}
		g.Slug = strings.ReplaceAll(strings.ToLower(g.Name), " ", "-")
		if g.About, err = inline(tag.at("description").str()); err != nil {
			return nil, err
		}
		groups[g.Name] = g
		r.Groups = append(r.Groups, g)
	}
	paths := doc.at("paths")
	if paths == nil {
		return nil, fmt.Errorf("there are no paths")
	}
	for _, path := range paths.keys {
		item := paths.at(path)
		for _, method := range item.keys {
			if !slices.Contains([]string{"get", "put", "post", "patch", "delete"}, method) {
				continue
			}
			o, err := r.operation(method, path, item, item.at(method))
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			tags := item.at(method, "tags").items()
			if len(tags) != 1 || groups[tags[0].str()] == nil {
				return nil, fmt.Errorf("%s %s has no tag of those declared", method, path)
			}
			g := groups[tags[0].str()]
			g.Operations = append(g.Operations, o)
		}
	}
	r.Groups = slices.DeleteFunc(r.Groups, func(g *refGroup) bool { return len(g.Operations) == 0 })
	return r, nil
}

// resolve follows $ref, so often and no more: a circle ends as nothing.
func (r *reference) resolve(n *node) *node {
	for range 8 {
		ref := n.at("$ref").str()
		if ref == "" {
			return n
		}
		n = r.doc.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return nil
}

func (r *reference) operation(method, path string, item, n *node) (*refOperation, error) {
	o := &refOperation{ID: n.at("operationId").str(), Method: strings.ToUpper(method), Path: path, Summary: n.at("summary").str()}
	var err error
	if o.About, err = inline(withoutRoles(n.at("description").str())); err != nil {
		return nil, err
	}
	for _, role := range n.at("x-roles").items() {
		o.Roles = append(o.Roles, role.str())
	}
	for _, p := range slices.Concat(item.at("parameters").items(), n.at("parameters").items()) {
		p = r.resolve(p)
		f := refField{Name: p.at("name").str(), In: p.at("in").str(), Required: p.at("required").str() == "true", Type: r.typeOf(p.at("schema"))}
		if f.About, err = inline(strings.TrimSpace(p.at("description").str() + limits(r.resolve(p.at("schema"))))); err != nil {
			return nil, err
		}
		o.Parameters = append(o.Parameters, f)
	}
	example, kind := "", ""
	if body := r.resolve(n.at("requestBody")); body != nil {
		content := body.at("content")
		if content == nil {
			return nil, fmt.Errorf("its body has no content")
		}
		o.BodyKinds, kind = strings.Join(content.keys, ", "), content.keys[0]
		media := content.at(kind)
		if o.Body, err = r.fields(media.at("schema"), "", 0); err != nil {
			return nil, err
		}
		example = exampleOf(media)
	}
	responses := n.at("responses")
	if responses == nil {
		return nil, fmt.Errorf("it has no responses")
	}
	for _, status := range responses.keys {
		a, err := r.answer(status, r.resolve(responses.at(status)))
		if err != nil {
			return nil, err
		}
		if status < "4" {
			o.Answers = append(o.Answers, a)
		} else {
			a.Fields, a.Example = nil, "" // all are problems of one shape
			o.Refusals = append(o.Refusals, a)
		}
	}
	o.Curl = o.curl(kind, example)
	return o, nil
}

// withoutRoles leaves out the sentence that x-roles says again.
func withoutRoles(s string) string {
	if i := strings.LastIndex(s, "Roles: "); i >= 0 {
		return strings.TrimSpace(s[:i])
	}
	return strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(s), "No key needed."))
}

func (r *reference) answer(status string, n *node) (a refAnswer, err error) {
	a = refAnswer{Status: status, About: strings.TrimSpace(n.at("description").str())}
	if content := n.at("content"); content != nil && len(content.keys) > 0 {
		media := content.at(content.keys[0])
		a.Example = exampleOf(media)
		a.Fields, err = r.fields(media.at("schema"), "", 0)
	}
	return a, err
}

// exampleOf is an example as one would send or see it.
func exampleOf(media *node) string {
	n := media.at("example")
	if n == nil {
		if all := media.at("examples"); all != nil && len(all.keys) > 0 {
			n = all.at(all.keys[0], "value")
		}
	}
	if n == nil {
		return ""
	}
	if n.fields == nil && !n.isList {
		return n.text
	}
	var b strings.Builder
	n.spread(&b, "")
	return b.String()
}

// narrow is how wide an example may be before it takes several lines.
const narrow = 72

// spread writes a value as JSON, on one line where that is short.
func (n *node) spread(b *strings.Builder, indent string) {
	var flat strings.Builder
	n.json(&flat, " ")
	if n == nil || n.fields == nil && !n.isList || len(indent)+flat.Len() <= narrow {
		b.WriteString(flat.String())
		return
	}
	brackets, inner := "{}", indent+"  "
	if n.isList {
		brackets = "[]"
	}
	b.WriteByte(brackets[0])
	for i := range max(len(n.keys), len(n.list)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n" + inner)
		if n.isList {
			n.list[i].spread(b, inner)
			continue
		}
		b.WriteString(quote(n.keys[i]) + ": ")
		n.fields[n.keys[i]].spread(b, inner)
	}
	b.WriteString("\n" + indent + brackets[1:])
}

// typeOf says in a word or two what a schema is.
func (r *reference) typeOf(schema *node) string {
	n := r.resolve(schema)
	if n == nil {
		return ""
	}
	kind := n.at("type").str()
	switch {
	case n.at("enum") != nil:
		var all []string
		for _, x := range n.at("enum").items() {
			all = append(all, x.str())
		}
		kind = strings.Join(all, " | ")
	case kind == "array":
		kind = "list of " + r.typeOf(n.at("items"))
	case kind == "" && len(n.at("allOf").items()) > 0:
		kind = r.typeOf(n.at("allOf").items()[0])
	case kind == "" && (n.at("oneOf") != nil || n.at("anyOf") != nil):
		var all []string
		for _, x := range slices.Concat(n.at("oneOf").items(), n.at("anyOf").items()) {
			all = append(all, r.typeOf(x))
		}
		kind = strings.Join(slices.Compact(all), " or ")
	case n.at("format").str() == "date-time":
		kind = "time"
	}
	if n.at("nullable").str() == "true" {
		kind += " or null"
	}
	return kind
}

// limits are a schema's bounds, in brackets.
func limits(n *node) string {
	var said []string
	lo, hi := n.at("minimum").str(), n.at("maximum").str()
	switch {
	case lo != "" && hi != "":
		said = append(said, lo+" to "+hi)
	case lo != "":
		said = append(said, "at least "+lo)
	case hi != "":
		said = append(said, "at most "+hi)
	}
	if d := n.at("default").str(); d != "" {
		said = append(said, "default `"+d+"`")
	}
	if len(said) == 0 {
		return ""
	}
	return " (" + strings.Join(said, ", ") + ")"
}

const deepestField = 4

// fields are the values in a schema, those within others below them.
func (r *reference) fields(schema *node, at string, depth int) (out []refField, err error) {
	n := r.resolve(schema)
	if n == nil || depth > deepestField {
		return nil, nil
	}
	for _, part := range n.at("allOf").items() {
		more, err := r.fields(part, at, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	if n.at("type").str() == "array" {
		more, err := r.fields(n.at("items"), at+"[]", depth+1)
		return append(out, more...), err
	}
	properties := n.at("properties")
	if properties == nil {
		return out, nil
	}
	for _, name := range properties.keys {
		p := properties.at(name)
		f := refField{Name: strings.TrimPrefix(at+"."+name, "."), Type: r.typeOf(p)}
		for _, must := range n.at("required").items() {
			f.Required = f.Required || must.str() == name
		}
		about := p.at("description").str()
		if about == "" {
			about = r.resolve(p).at("description").str()
		}
		if f.About, err = inline(strings.TrimSpace(about + limits(r.resolve(p)))); err != nil {
			return nil, err
		}
		out = append(out, f)
		more, err := r.fields(p, f.Name, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// curl is the operation as a command. What only the caller knows is a variable of the shell.
func (o *refOperation) curl(kind, example string) string {
	path := o.Path
	for _, p := range o.Parameters {
		if p.In == "path" {
			path = strings.ReplaceAll(path, "{"+p.Name+"}", "$"+strings.ToUpper(p.Name))
		}
	}
	var b strings.Builder
	b.WriteString("curl")
	if kind == "" && o.Method != "GET" {
		b.WriteString(" -X " + o.Method)
	} else if o.Method != "GET" && o.Method != "POST" {
		b.WriteString(" -X " + o.Method)
	}
	b.WriteString(` "` + exampleHost + path + `"`)
	if len(o.Roles) > 0 {
		b.WriteString(" \\\n  -H \"Authorization: Bearer $KEY\"")
	}
	switch {
	case kind == "":
	case strings.HasPrefix(kind, "image/") || kind == "multipart/form-data":
		b.WriteString(" \\\n  -H 'Content-Type: " + kind + "' --data-binary @photo.jpg")
	default:
		b.WriteString(" \\\n  -H 'Content-Type: " + kind + "' \\\n  -d '" + strings.ReplaceAll(strings.TrimSpace(example), "'", `'\''`) + "'")
	}
	return b.String()
}
