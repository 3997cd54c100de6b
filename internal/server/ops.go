package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"doorstep/api"
	"doorstep/internal/web"
)

func (k *call) healthz() error { return k.reply(http.StatusOK, map[string]string{"status": "ok"}) }

// readiness is for load balancers: no while starting and while draining, and no when the database
// does not answer.
func (k *call) readiness() error {
	ctx, cancel := context.WithTimeout(k.ctx, 2*time.Second)
	defer cancel()
	var one int
	err := k.DB.Read(ctx).Get(&one, `SELECT 1`)
	if err != nil || !k.ready.Load() {
		return notReady
	}
	return k.reply(http.StatusOK, map[string]string{"status": "ok"})
}

func (k *call) contract() error {
	k.header.Set("Content-Type", "application/yaml")
	k.header.Set("Cache-Control", "no-cache")
	k.status, k.answer = http.StatusOK, api.OpenAPI
	return nil
}

// page answers with HTML under a policy that lets nothing in from elsewhere.
func (k *call) page200(status int, body []byte) error {
	k.header.Set("Content-Type", "text/html; charset=utf-8")
	k.header.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
	k.header.Set("X-Frame-Options", "DENY")
	k.header.Set("Permissions-Policy", "geolocation=(), camera=(), microphone=()")
	k.header.Set("Vary", "Accept-Language, Accept-Encoding")
	k.compress(body)
	k.status = status
	return nil
}

func (k *call) static() error {
	body, kind, ok := web.StaticFile(k.param("name"))
	if !ok {
		return noSuchPath
	}
	k.header.Set("Content-Type", kind)
	// The name holds the content's hash.
	k.header.Set("Cache-Control", "public, max-age=31536000, immutable")
	k.header.Set("Vary", "Accept-Encoding")
	k.compress(body)
	k.status = http.StatusOK
	return nil
}

func (k *call) home() error {
	h := web.Home{Lang: web.Lang(k.r.Header.Get("Accept-Language")), Stores: k.Match.Stores(),
		Curl: "curl " + k.publicURL(k.r) + "/v1/me -H 'Authorization: Bearer ds_live_…'"}
	if k.o.Demo != nil {
		for _, d := range k.o.Demo(k.ctx) {
			h.Tracks = append(h.Tracks, web.HomeTrack(d))
		}
	}
	var b strings.Builder
	if err := web.RenderHome(&b, h); err != nil {
		return err
	}
	return k.page200(http.StatusOK, []byte(b.String()))
}
