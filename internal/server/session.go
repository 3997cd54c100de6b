package server

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/fault"
)

// People and stores' phones show a session in a cookie that no script can read; programs show a key.
//
// __Host- has browsers insist on Secure, on this very host and on the path /, so no neighbour can plant
// one. On a developer's own machine there is no HTTPS, and browsers differ in what they make of Secure
// there; so between two ends on the loopback another name goes without it, and nowhere else.
const (
	sessionCookie = "doorstep"
	knownCookie   = "doorstep-known" // opens nothing: see auth.Known
	hostPrefix    = "__Host-"
	loopback      = "-on-loopback"
)

// secure reports whether the client speaks HTTPS, with us or with our own proxy.
func (k *call) secure() bool {
	return k.r.TLS != nil || k.o.TrustedProxies && k.r.Header.Get("X-Forwarded-Proto") == "https"
}

// onLoopback reports whether browser and server are on one machine with nothing between them. The name
// asked for counts too: a page elsewhere may have had its own name resolve to this machine.
func (k *call) onLoopback() bool {
	if k.secure() || strings.HasPrefix(k.o.PublicURL, "https:") || strings.HasPrefix(k.r.Header.Get("Origin"), "https:") {
		return false
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if k.r.Header.Get(name) != "" {
			return false // somebody stands between
		}
	}
	local, ok := k.r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && loopbackAddress(local.String()) && loopbackAddress(k.r.RemoteAddr) && loopbackName(k.r.Host)
}

func loopbackAddress(hostport string) bool {
	a, err := netip.ParseAddrPort(hostport)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

func loopbackName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// maySignIn reports whether a cookie set now would come back.
func (k *call) maySignIn() bool {
	return k.secure() || k.onLoopback() || strings.HasPrefix(k.o.PublicURL, "https:")
}

// cookie is what the client shows under a name, or "".
func (k *call) cookie(name string) string {
	if k.onLoopback() {
		if c, err := k.r.Cookie(name + loopback); err == nil {
			return c.Value
		}
	}
	if c, err := k.r.Cookie(hostPrefix + name); err == nil {
		return c.Value
	}
	return ""
}

// setCookie gives the client a cookie for a time; 0 takes it away.
func (k *call) setCookie(name, value string, life time.Duration) {
	c := http.Cookie{Name: hostPrefix + name, Value: value, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode, MaxAge: int(life.Seconds())}
	if k.onLoopback() {
		c.Name, c.Secure = name+loopback, false
	}
	if life == 0 {
		c.MaxAge = -1
	}
	k.header.Add("Set-Cookie", c.String())
}

// token is the session the client shows, or "".
func (k *call) token() string { return k.cookie(sessionCookie) }

// setToken gives the client a session for at most life; 0 takes it away.
func (k *call) setToken(token string, life time.Duration) { k.setCookie(sessionCookie, token, life) }

// sameOrigin refuses what another site has a browser send: the cookie comes with it.
func (k *call) sameOrigin() error {
	if err := k.origins.Check(k.r); err != nil {
		return fault.New(fault.Forbidden, "cross-origin", "the request came from a page of another site").From(err)
	}
	return nil
}

// newOrigins lets our own public address through, besides whatever host a request names.
func newOrigins(publicURL string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		_ = p.AddTrustedOrigin(u.Scheme + "://" + u.Host) // an origin by its making
	}
	return p
}

// identify finds out who asks, by a key or by a session, and what was shown.
func (k *call) identify() (who auth.Principal, shown string, err error) {
	if k.r.Header.Get("Authorization") != "" {
		scheme, secret, _ := strings.Cut(k.r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return who, "", fault.New(fault.Unauthorized, "unauthorized", "send Authorization: Bearer and your key")
		}
		shown = strings.TrimSpace(secret)
		who, err = k.Keys.Authenticate(k.ctx, shown)
		return who, shown, err
	}
	if shown = k.token(); shown == "" {
		return who, "", fault.New(fault.Unauthorized, "unauthorized", "send Authorization: Bearer and your key, or sign in at /signin")
	}
	if err := k.sameOrigin(); err != nil {
		return who, "", err
	}
	// Whatever a cookie opens is for pages of this host alone.
	k.header.Set("Cross-Origin-Resource-Policy", "same-origin")
	who, err = k.Keys.Session(k.ctx, shown)
	return who, shown, err
}

// browserOf is what a person recognises a browser by; it tells nothing else about the person.
func browserOf(agent string) string {
	first := func(fallback string, names ...string) string {
		for _, n := range names {
			mark, name, ok := strings.Cut(n, "=")
			if !ok {
				name = mark
			}
			if strings.Contains(agent, mark) {
				return name
			}
		}
		return fallback
	}
	// In this order: every browser also claims to be those behind it.
	browser := first("A browser", "Edg/=Edge", "OPR/=Opera", "SamsungBrowser=Samsung Internet", "Firefox", "Chrome", "Safari", "curl")
	system := first("", "Android", "iPhone", "iPad", "CrOS=ChromeOS", "Windows", "Mac OS X=macOS", "Linux")
	if system == "" {
		return browser
	}
	return browser + " · " + system
}
