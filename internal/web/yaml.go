package web

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// node is a value of the contract; the order of a map's keys is kept, since people read it in order.
type node struct {
	keys   []string
	fields map[string]*node // nil but for a map
	list   []*node
	isList bool
	text   string
	quoted bool // a text, whatever it looks like
}

// at is the value under a path of keys, or nil.
func (n *node) at(keys ...string) *node {
	for _, k := range keys {
		if n == nil {
			return nil
		}
		n = n.fields[k]
	}
	return n
}

// str is the text of a scalar, "" for anything else.
func (n *node) str() string {
	if n == nil {
		return ""
	}
	return n.text
}

// items are the members of a list.
func (n *node) items() []*node {
	if n == nil {
		return nil
	}
	return n.list
}

var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// MarshalJSON writes the value with its keys in order.
func (n *node) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	n.json(&b, "")
	return []byte(b.String()), nil
}

// json writes the value on one line; space goes behind commas and colons.
func (n *node) json(b *strings.Builder, space string) {
	switch {
	case n == nil:
		b.WriteString("null")
	case n.fields != nil:
		b.WriteByte('{')
		for i, k := range n.keys {
			if i > 0 {
				b.WriteString("," + space)
			}
			b.WriteString(quote(k) + ":" + space)
			n.fields[k].json(b, space)
		}
		b.WriteByte('}')
	case n.isList:
		b.WriteByte('[')
		for i, x := range n.list {
			if i > 0 {
				b.WriteString("," + space)
			}
			x.json(b, space)
		}
		b.WriteByte(']')
	case !n.quoted && (n.text == "true" || n.text == "false" || n.text == "null" || number.MatchString(n.text)):
		b.WriteString(n.text)
	case !n.quoted && n.text == "":
		b.WriteString("null")
	default:
		b.WriteString(quote(n.text))
	}
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // a string always has one
	}
	return string(b)
}

func (n *node) put(key string, v *node) {
	if n.fields == nil {
		n.fields = map[string]*node{}
	}
	if _, twice := n.fields[key]; !twice {
		n.keys = append(n.keys, key)
	}
	n.fields[key] = v
}

// readYAML reads one document. Anchors and merges are refused: the contract has none, and they could make
// a short text long.
func readYAML(data []byte) (*node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return &node{}, nil
	}
	return nodeOf(doc.Content[0])
}

func nodeOf(y *yaml.Node) (*node, error) {
	if y.Kind == yaml.AliasNode || y.Anchor != "" {
		return nil, fmt.Errorf("line %d: anchors are not read", y.Line)
	}
	n := &node{}
	switch y.Kind {
	case yaml.MappingNode:
		n.fields = map[string]*node{}
		for i := 0; i+1 < len(y.Content); i += 2 {
			if y.Content[i].Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("line %d: a key is a text", y.Content[i].Line)
			}
			v, err := nodeOf(y.Content[i+1])
			if err != nil {
				return nil, err
			}
			n.put(y.Content[i].Value, v)
		}
	case yaml.SequenceNode:
		n.isList = true
		for _, c := range y.Content {
			v, err := nodeOf(c)
			if err != nil {
				return nil, err
			}
			n.list = append(n.list, v)
		}
	default:
		n.text, n.quoted = y.Value, y.ShortTag() == "!!str"
	}
	return n, nil
}
