package web

import (
	"embed"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// The faces with a program in them are built by npm (ui/) into dist/, which is never committed. A
// checkout without Node has only .gitkeep there and still builds; then no face is found, and the
// server says how to get one.
//
//go:embed all:dist
var dist embed.FS

// FaceFile is one file of a face as it was built.
type FaceFile struct {
	Type      string // Content-Type
	Immutable bool   // its name holds the hash of its content
	HTML      bool
	body      string // path within dist
}

var faceTypes = map[string]string{
	".html":        "text/html; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".svg":         "image/svg+xml",
	".png":         "image/png",
	".txt":         "text/plain; charset=utf-8",
	".webmanifest": "application/manifest+json",
}

// hashed is what the build puts behind the content's hash.
var hashed = regexp.MustCompile(`^assets/[^/]+-[0-9A-Za-z_-]{8}\.(js|css|svg|png)$`)

// FaceBuilt reports whether this binary has the face ("store", "dispatch").
func FaceBuilt(face string) bool {
	_, err := fs.Stat(dist, "dist/"+face+"/index.html")
	return err == nil
}

// Face finds a file of a face by its path below the face's folder; "" is its page. ok is false for what
// was not built, and for the compressed copies: those are asked for by Accept-Encoding.
func Face(face, name string) (f FaceFile, ok bool) {
	if name == "" {
		name = "index.html"
	}
	kind, known := faceTypes[path.Ext(name)]
	if !known || !fs.ValidPath(name) {
		return FaceFile{}, false
	}
	f = FaceFile{Type: kind, Immutable: hashed.MatchString(name), HTML: path.Ext(name) == ".html", body: "dist/" + face + "/" + name}
	info, err := fs.Stat(dist, f.body)
	return f, err == nil && info.Mode().IsRegular()
}

// Body is the file's content, in the first of br and gzip that acceptEncoding allows and the build made,
// else as it is; coding is the Content-Encoding, "" for none. The caller must not change body.
func (f FaceFile) Body(acceptEncoding string) (body []byte, coding string, err error) {
	for _, c := range []struct{ coding, ext string }{{"br", ".br"}, {"gzip", ".gz"}} {
		if !accepts(acceptEncoding, c.coding) {
			continue
		}
		if body, err := dist.ReadFile(f.body + c.ext); err == nil {
			return body, c.coding, nil
		}
	}
	body, err = dist.ReadFile(f.body)
	return body, "", err
}

// accepts reports whether an Accept-Encoding header (RFC 9110, 12.5.3) names coding, and not with weight 0.
// "*" is left to those who send it: they get the plain file.
func accepts(header, coding string) bool {
	for item := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(item, ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) {
			return weightOf(params) > 0
		}
	}
	return false
}
