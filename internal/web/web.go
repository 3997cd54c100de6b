// Package web draws the pages people see: the customer's tracking page, the
// page for links that lead nowhere, and the front page.
//
// It takes facts (a status, a promise, cells) and chooses the words and what
// may be shown, so that one place decides that a parcel held at a store never
// reads as delivered and that a runner is seen only while carrying the parcel.
// The pages need no JavaScript; with it, tracking.js keeps them current.
//
// Everything fits a Content-Security-Policy of "default-src 'self'": styles and
// scripts are own files, pictures are inline SVG without style attributes. A
// first visit weighs at most 10 KB gzipped, which is why the files are small
// and hand-written. The package knows no HTTP; the server does that part.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io"
	"path"
	"regexp"
	"strings"
)

//go:embed layout.html tracking.html home.html gone.html staff.html docs.html
var pages embed.FS

//go:embed tracking.css tracking.js home.css icon.svg staff.css docs.css
var assets embed.FS

// StaticPrefix is the path under which the server answers with StaticFile.
const StaticPrefix = "/static/"

var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// asset is one embedded file under the name that carries its hash.
type asset struct {
	hashedName  string
	body        []byte
	contentType string
}

var (
	assetByName   = loadAssets()
	assetByHashed = byHashedName(assetByName)
	templates     = template.Must(template.New("").
			Funcs(template.FuncMap{"static": StaticPath, "field": textField, "fieldsIn": fieldsIn}).
			ParseFS(pages, "*.html"))
)

func loadAssets() map[string]asset {
	entries, err := assets.ReadDir(".")
	if err != nil {
		panic("web: embedded files cannot be listed: " + err.Error())
	}
	loaded := make(map[string]asset, len(entries))
	for _, entry := range entries {
		name := entry.Name()
		body, err := assets.ReadFile(name)
		if err != nil {
			panic("web: embedded file cannot be read: " + err.Error())
		}
		ext := path.Ext(name)
		body = slim(ext, body)
		hash := sha256.Sum256(body)
		loaded[name] = asset{
			hashedName:  strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(hash[:5]) + ext,
			body:        body,
			contentType: contentTypes[ext],
		}
	}
	return loaded
}

var (
	cssComment = regexp.MustCompile(`(?s)/\*.*?\*/`)
	cssSpace   = regexp.MustCompile(`\s*([{};])\s*|([:,])\s+`)
)

// slim is a file without what only its authors need: comments and indentation. A script keeps its lines,
// and so its comments have lines of their own.
func slim(ext string, body []byte) []byte {
	switch ext {
	case ".css":
		return cssSpace.ReplaceAll(cssComment.ReplaceAll(body, nil), []byte("$1$2"))
	case ".js":
		var out []byte
		for line := range bytes.Lines(body) {
			if line = bytes.TrimSpace(line); len(line) > 0 && !bytes.HasPrefix(line, []byte("//")) {
				out = append(append(out, line...), '\n')
			}
		}
		return out
	}
	return body
}

func byHashedName(named map[string]asset) map[string]asset {
	hashed := make(map[string]asset, len(named))
	for _, a := range named {
		hashed[a.hashedName] = a
	}
	return hashed
}

// StaticPath gives the URL path of an embedded file, such as
// "/static/tracking.0123abcdef.css" for "tracking.css". The name changes with
// the content, so the answer may be cached for ever. It panics on a name that
// is not embedded: only a mistake in the program asks for one.
func StaticPath(name string) string {
	a, ok := assetByName[name]
	if !ok {
		panic("web: no static file " + name)
	}
	return StaticPrefix + a.hashedName
}

// StaticFile answers what is behind the last part of a StaticPath. The caller
// must not change body. ok is false for anything else, an older hash included.
func StaticFile(name string) (body []byte, contentType string, ok bool) {
	a, ok := assetByHashed[name]
	return a.body, a.contentType, ok
}

// field is a text field as it is shown.
type field struct {
	Name, Label, Text, Wrong string
	Max                      int
}

func textField(f *formView, name, label string) field {
	return field{name, label, f.Text, f.Errors[name], f.Max}
}

// page is what the shared head and foot of every page need.
type page struct {
	W     *words
	Title string
}

// render draws the whole page before writing a byte, so that a failure can
// still become an error answer instead of half a page.
func render(w io.Writer, name string, view any) error {
	var buf bytes.Buffer
	if err := templates.ExecuteTemplate(&buf, name, view); err != nil {
		return err
	}
	_, err := buf.WriteTo(w)
	return err
}

// RenderGone draws the friendly answer to a link that leads nowhere. Unknown,
// expired and revoked links must look the same, so it takes nothing but the
// language. The server sends it with status 404.
func RenderGone(w io.Writer, lang string) error {
	words := wordsFor(lang)
	return render(w, "gone.html", struct {
		page
		Scene scene
	}{page{W: words, Title: words.GoneTitle}, scene{}})
}
