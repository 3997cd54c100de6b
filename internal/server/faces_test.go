package server_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"doorstep/internal/web"
)

// A binary has the store's app when npm was there to build it; both must say what they are.
func TestTheStoreAppIsServedOrItsAbsenceIsExplained(t *testing.T) {
	story(t, func(w *world) {
		if a := w.get("", "/store").want(301); a.header.Get("Location") != "/store/" {
			t.Errorf("/store leads to %q", a.header.Get("Location"))
		}
		w.get("", "/store/nothing.js").refused(404, "no-such-path")
		w.get("", "/store/..%2Fweb.go").refused(404, "no-such-path")
		w.get("", "/store/index.html.br").refused(404, "no-such-path")
		if !web.FaceBuilt("store") {
			if a := w.get("", "/store/").want(404); !strings.Contains(string(a.body), "Node") {
				t.Errorf("a binary without the app says %s", a.body)
			}
			t.Log("the store app is not built: its files are not tested here")
			return
		}

		page := w.get("", "/store/").want(200)
		for name, want := range map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache",
			"X-Frame-Options": "DENY", "Permissions-Policy": "geolocation=(self), camera=(self), microphone=()"} {
			if got := page.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		policy := page.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'self'") || strings.Contains(policy, "unsafe") {
			t.Errorf("policy: %q", policy)
		}
		html := string(page.body)
		if regexp.MustCompile(`<style|style=|<script>|<script [^>]*>[^<]`).MatchString(html) {
			t.Errorf("the page has something inline: %s", html)
		}
		assets := regexp.MustCompile(`/store/assets/[^"]+`).FindAllString(html, -1)
		if len(assets) < 2 {
			t.Fatalf("the page names %q", assets)
		}
		for _, path := range assets {
			if a := w.get("", path).want(200); !strings.Contains(a.header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s: %v", path, a.header)
			}
		}
		for path, kind := range map[string]string{"sw.js": "text/javascript; charset=utf-8", "manifest.webmanifest": "application/manifest+json",
			"icon.svg": "image/svg+xml", "icon-192.png": "image/png", "NOTICES.txt": "text/plain; charset=utf-8"} {
			a := w.get("", "/store/"+path).want(200)
			if a.header.Get("Content-Type") != kind || a.header.Get("Cache-Control") != "no-cache" {
				t.Errorf("%s: %v", path, a.header)
			}
		}
		for accept, want := range map[string]string{"gzip, deflate, br": "br", "gzip": "gzip", "br;q=0, gzip;q=0.5": "gzip", "identity": "", "": ""} {
			if got := coding(t, w.url+assets[0], accept); got != want {
				t.Errorf("to Accept-Encoding %q: %q, want %q", accept, got, want)
			}
		}
	})
}

// coding is the Content-Encoding a client is answered with.
func coding(t *testing.T, url, accept string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", accept) // set, so that the client leaves the answer as it is
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK || a.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%s: %d, Vary %q", url, a.StatusCode, a.Header.Get("Vary"))
	}
	return a.Header.Get("Content-Encoding")
}
