package server

import (
	"bytes"
	"net/http"
	"sync"

	"doorstep/api"
	"doorstep/internal/web"
)

// helpPages are drawn when somebody first asks for one.
var helpPages = sync.OnceValues(func() (*web.Docs, error) { return web.NewDocs(api.OpenAPI) })

// help answers with a page of help, in the language of ?lang= or of the browser.
func (k *call) help() error {
	docs, err := helpPages()
	if err != nil {
		return err
	}
	p := web.DocPage{Lang: k.lang(), Name: k.param("*"), Host: k.publicURL(k.r)}
	if p.Name == "" {
		p.Name = "start"
	}
	if wish := k.query("lang"); wish == "en" || wish == "zh" {
		p.Lang, p.Chosen = wish, true
	}
	var b bytes.Buffer
	ok, err := docs.Render(&b, p)
	if err != nil {
		return err
	}
	if !ok {
		return k.lost(noSuchPath)
	}
	k.header.Set("Cache-Control", "no-cache")
	return k.page200(http.StatusOK, b.Bytes())
}
