package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// Help is Markdown in docs/, one file per page and language, and the reference made of the contract. All
// of it is drawn once: what goes out are the same bytes for everyone, but for the address in the commands.

//go:embed docs/*.md
var docFiles embed.FS

// docNames are the pages in the order people read them; "api" is the reference.
var docNames = []string{"start", "store-owners", "dispatchers", "integrators", "operators"}

// exampleHost stands in texts and commands for the address that the reader used.
const exampleHost = "https://doorstep.example"

// Docs are the pages of help.
type Docs struct {
	texts map[string]*docText // per "name.lang"
	ref   *reference
}

// docText is a page as it was drawn.
type docText struct {
	Title string
	HTML  template.HTML
	Parts []docPart
}

// docPart is a heading to jump to.
type docPart struct{ ID, Title string }

// markdown leaves out raw HTML: the texts need none, and descriptions in the contract must not bring any.
var markdown = goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))

// NewDocs draws all pages; contract is api/openapi.yaml.
func NewDocs(contract []byte) (*Docs, error) {
	d := &Docs{texts: map[string]*docText{}}
	entries, err := docFiles.ReadDir("docs")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		source, err := docFiles.ReadFile("docs/" + e.Name())
		if err != nil {
			return nil, err
		}
		if d.texts[strings.TrimSuffix(e.Name(), ".md")], err = drawText(source); err != nil {
			return nil, fmt.Errorf("web: docs/%s: %w", e.Name(), err)
		}
	}
	if d.ref, err = newReference(contract); err != nil {
		return nil, fmt.Errorf("web: the contract: %w", err)
	}
	return d, nil
}

func drawText(source []byte) (*docText, error) {
	tree := markdown.Parser().Parse(text.NewReader(source))
	t := &docText{}
	for n := tree.FirstChild(); n != nil; n = n.NextSibling() {
		h, ok := n.(*ast.Heading)
		if !ok || h.Level > 2 {
			continue
		}
		title := string(h.Lines().Value(source))
		if h.Level == 1 {
			t.Title = title
			continue
		}
		id, _ := h.AttributeString("id")
		name, _ := id.([]byte)
		t.Parts = append(t.Parts, docPart{string(name), strings.ReplaceAll(title, "`", "")})
	}
	if t.Title == "" {
		return nil, fmt.Errorf("there is no title: the first line is # and the title")
	}
	var b bytes.Buffer
	if err := markdown.Renderer().Render(&b, source, tree); err != nil {
		return nil, err
	}
	t.HTML = template.HTML(reachable(b.String()))
	return t, nil
}

// reachable lets what scrolls sideways be scrolled by keyboard.
func reachable(html string) string {
	return strings.NewReplacer("<pre>", `<pre tabindex="0">`, "<table>", `<div class="scroll" tabindex="0"><table>`, "</table>", "</table></div>",
		"<hr>", "<hr/>", "<br>", "<br/>").Replace(html)
}

// inline draws one description of the contract.
func inline(source string) (template.HTML, error) {
	var b bytes.Buffer
	if err := plainMarkdown.Convert([]byte(source), &b); err != nil {
		return "", err
	}
	return template.HTML(reachable(b.String())), nil
}

// plainMarkdown gives headings no ids: many descriptions stand on one page.
var plainMarkdown = goldmark.New(goldmark.WithExtensions(extension.Table))

// DocPage asks for a page of help.
type DocPage struct {
	Lang   string
	Chosen bool   // by ?lang=, and so kept in links
	Name   string // "start", …; "api" and "api/" + a group for the reference
	Host   string // what commands begin with, https://…
}

type docView struct {
	page
	D        *docWords
	Nav      []docLink
	Other    docLink
	Text     *docText
	TextLang string
	Ref      *reference
	Group    *refGroup
}

type docLink struct {
	Title, URL string
	Here       bool
	Lang       string
}

// Render draws a page of help; ok is false when there is none of that name.
func (d *Docs) Render(w io.Writer, p DocPage) (ok bool, err error) {
	v := docView{page: page{W: wordsFor(p.Lang)}, D: docWordsFor(p.Lang)}
	template := "doc.html"
	switch group, inAPI := strings.CutPrefix(p.Name, "api/"); {
	case p.Name == "api":
		v.Ref, v.Title, template = d.ref, v.D.API, "reference.html"
	case inAPI:
		i := slices.IndexFunc(d.ref.Groups, func(g *refGroup) bool { return g.Slug == group })
		if i < 0 {
			return false, nil
		}
		v.Ref, v.Group, template = d.ref, d.ref.Groups[i], "group.html"
		v.Title = v.Group.Name + " · " + v.D.API
	default:
		if v.Text, v.TextLang = d.text(p.Name, p.Lang); v.Text == nil {
			return false, nil
		}
		v.Title = v.Text.Title
	}
	v.Nav, v.Other = d.links(p, v.D)
	var b bytes.Buffer
	if err := render(&b, template, v); err != nil {
		return true, err
	}
	// The host is the asking client's own word: it goes in as text and nothing else.
	_, err = io.WriteString(w, strings.ReplaceAll(b.String(), exampleHost, templateEscape(p.Host)))
	return true, err
}

func templateEscape(s string) string { return template.HTMLEscapeString(s) }

// text is a page in the language asked for, else in English.
func (d *Docs) text(name, lang string) (*docText, string) {
	for _, l := range []string{lang, "en"} {
		if t := d.texts[name+"."+l]; t != nil {
			return t, wordsFor(l).Tag
		}
	}
	return nil, ""
}

// links are the pages to go to, and this one in the other language.
func (d *Docs) links(p DocPage, words *docWords) (nav []docLink, other docLink) {
	suffix := ""
	if p.Chosen {
		suffix = "?lang=" + p.Lang
	}
	for _, name := range docNames {
		if t, _ := d.text(name, p.Lang); t != nil {
			nav = append(nav, docLink{Title: t.Title, URL: docURL(name) + suffix, Here: p.Name == name})
		}
	}
	nav = append(nav, docLink{Title: words.API, URL: "/docs/api" + suffix, Here: p.Name == "api" || strings.HasPrefix(p.Name, "api/")})
	other = docLink{Title: "中文", URL: docURL(p.Name) + "?lang=zh", Lang: "zh"}
	if p.Lang == "zh" {
		other = docLink{Title: "English", URL: docURL(p.Name) + "?lang=en", Lang: "en"}
	}
	return nav, other
}

func docURL(name string) string {
	if name == "start" {
		return "/docs/"
	}
	return "/docs/" + name
}

// docWords are what stands around the texts; the reference itself is in the contract's English.
type docWords struct {
	Help, Pages, OnThisPage, API                             string
	ReferenceSay, Operations, Contract, Roles, NoKey         string
	Parameters, Body, Answers, Refusals, Example, Field      string
	Type, Meaning, Required, Optional, Try, Back, In, Fields string
}

var docLanguages = map[string]*docWords{
	"en": {"Help", "Pages", "On this page", "API reference",
		"Made from the contract of this very server, so it never lags behind it.", "Operations", "The contract itself, for tools", "For", "No key needed",
		"Parameters", "Body", "Answers", "Refusals", "Example", "Field",
		"Type", "Meaning", "required", "optional", "Try it", "All operations", "in", "Fields"},
	"zh": {"帮助", "页面", "本页内容", "API 参考",
		"由本服务器自己的契约生成，因此永远与它一致。参考正文为英文。", "操作", "契约原文，供工具使用", "适用角色", "无需密钥",
		"参数", "请求体", "响应", "拒绝", "示例", "字段",
		"类型", "含义", "必填", "可选", "试一试", "全部操作", "位于", "字段"},
}

func docWordsFor(lang string) *docWords {
	if w, ok := docLanguages[lang]; ok {
		return w
	}
	return docLanguages["en"]
}

// fieldsIn goes with a table of fields: a template takes one value.
func fieldsIn(words *docWords, fields []refField) any {
	return struct {
		D      *docWords
		Fields []refField
	}{words, fields}
}
