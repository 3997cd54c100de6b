package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"doorstep/api"
	"doorstep/geo"
	"doorstep/internal/partner"
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
	h := web.Home{Lang: k.lang(), Stores: k.Match.Stores(), Curl: k.firstOrder()}
	if k.o.Demo != nil {
		for _, d := range k.o.Demo(k.ctx) {
			h.Tracks = append(h.Tracks, web.HomeTrack(d))
		}
	}
	var b bytes.Buffer
	if err := web.RenderHome(&b, h); err != nil {
		return err
	}
	return k.page200(http.StatusOK, b.Bytes())
}

// firstOrder is a command a visitor can paste: an order near a store there is.
func (k *call) firstOrder() string {
	at := geo.Point{Lat: -1.2921, Lng: 36.7856}
	if stores, _, err := k.Stores.List(k.ctx, partner.Filter{Status: partner.Active, Limit: 1}); err == nil && len(stores) > 0 {
		at = stores[0].Location
	}
	return fmt.Sprintf(`curl %s/v1/orders \
  -H 'Content-Type: application/json' -H "Authorization: Bearer $KEY" -d '
  {"recipient": {"name": "Wanjiru Kamau", "phone": "+254712345678"},
   "dropoff": {"location": {"lat": %.5f, "lng": %.5f}},
   "undeliverable_action": "redeliver"}'`, k.publicURL(k.r), at.Lat, at.Lng)
}
