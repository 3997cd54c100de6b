package server

import (
	"fmt"
	"net/http"
	"strings"

	"doorstep/internal/web"
)

// The store's app and the dispatcher's console: files that npm built and the binary carries.

// facePolicy lets a face's page load, call and send forms to nothing but this server: one signs out by a
// form. It needs the camera for proof and the position at the door; blob: is a photo that has not left the
// phone yet.
const facePolicy = "default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

// face answers with a file of a face. Its page changes with the binary, so it is asked for again each
// time (If-None-Match is not worth it: a service worker keeps it); what carries a hash is kept for ever.
func (k *call) face(name string) error {
	path := k.param("*")
	f, ok := web.Face(name, path)
	if !ok {
		if path == "" && !web.FaceBuilt(name) {
			return k.faceMissing(name)
		}
		return noSuchPath
	}
	body, coding, err := f.Body(k.r.Header.Get("Accept-Encoding"))
	if err != nil {
		return err
	}
	k.header.Set("Content-Type", f.Type)
	k.header.Set("Vary", "Accept-Encoding")
	k.header.Set("Cache-Control", "no-cache")
	if f.Immutable {
		k.header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if coding != "" {
		k.header.Set("Content-Encoding", coding)
	}
	if f.HTML {
		k.header.Set("Content-Security-Policy", facePolicy)
		k.header.Set("X-Frame-Options", "DENY")
		k.header.Set("Permissions-Policy", "geolocation=(self), camera=(self), microphone=()")
		k.header.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	k.status, k.answer = http.StatusOK, body
	return nil
}

// faceMissing is for whoever built the binary without Node.
func (k *call) faceMissing(name string) error {
	k.header.Set("Content-Type", "text/plain; charset=utf-8")
	k.header.Set("Cache-Control", "no-store")
	k.status, k.answer = http.StatusNotFound, fmt.Appendf(nil, "This doorstep was built without its %s app.\n"+
		"Install Node 20.19 or newer, then run \"make build\" again; the API and the customer's page work without it.\n", name)
	return nil
}

func (k *call) storeApp() error { return k.face("store") }

// toFace sends who left out the last slash there.
func (k *call) toFace() error {
	k.header.Set("Location", strings.TrimSuffix(k.route.path, "/")+"/")
	k.header.Set("Content-Type", "text/plain; charset=utf-8")
	k.status, k.answer = http.StatusMovedPermanently, []byte("see the app\n")
	return nil
}
