// Package server is the HTTP face of Doorstep: one table of routes (routes.go), one file per
// domain, one table from fault to status (problem.go). It is the only importer of echo.
//
// A handler decides nothing: it reads the request, asks a book and writes the answer. Handlers
// return errors; serve gives every request its id, its principal, its stored answer when it is a
// repeat, and turns whatever comes back into one response.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/care"
	"doorstep/internal/db"
	"doorstep/internal/dropoff"
	"doorstep/internal/event"
	"doorstep/internal/ident"
	"doorstep/internal/job"
	"doorstep/internal/match"
	"doorstep/internal/notify"
	"doorstep/internal/order"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"
	"doorstep/internal/privacy"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"
)

// Parts are what the server speaks for.
type Parts struct {
	DB       *db.DB
	Keys     *auth.Book
	Stores   *partner.Book
	Orders   *order.Book
	Match    *match.Book
	Dropoff  *dropoff.Book
	Care     *care.Book
	Prestock *prestock.Book
	Privacy  *privacy.Book
	Notify   *notify.Book // nil: stores are told nothing, and find their tasks in the list
	Events   *event.Log
	Jobs     *job.Runner
	Log      *slog.Logger
}

// Options of a server; the zero value is usable.
type Options struct {
	PublicURL  string // what tracking links begin with; "" follows the request's host
	Version    string
	MaxStreams int // SSE connections at once; 0 is 10,000, and fewer when the process may not open so many files
	// TrustedProxies says that X-Forwarded-For and -Proto come from our own proxy. Off by
	// default: a client could claim any address.
	TrustedProxies bool
	HSTS           bool // this host answers with HTTPS for good: browsers shall not try anything else
	// Demo are links the home page shows.
	Demo func(context.Context) []DemoLink
}

// DemoLink is an order of the demo city whose page a visitor may look at.
type DemoLink struct{ Status, URL string }

// Server answers HTTP. Close it before the database.
type Server struct {
	Parts
	o       Options
	names   *ident.Names
	echo    *echo.Echo
	repeats repeats
	metrics *metrics
	ready   atomic.Bool
	streams places
	hub     *hub
	clients limiter
	links   limiter
	guesses guesses
	origins *http.CrossOriginProtection
	bodies  budget
	lines   *semaphore.Weighted // of all batches that are being worked on
	lookout lookout
	house   atomic.Int64 // the merchant of orders that administrators enter, once known
	survey  shared[*match.Survey]
	outlook shared[prestock.Outlook]
}

// New makes the server; it is not ready for traffic until Ready.
func New(p Parts, o Options) *Server {
	o.MaxStreams = placesHere(o.MaxStreams, p.Log)
	s := &Server{Parts: p, o: o, names: p.DB.Names(), echo: echo.New(),
		clients: limiter{perSecond: requestsPerSecond, burst: burst}, links: limiter{perSecond: linkRequestsPerSecond, burst: linkBurst}}
	s.origins = newOrigins(o.PublicURL)
	s.lines = semaphore.NewWeighted(linesAtOnce)
	s.repeats.waiting = map[repeatKey]chan struct{}{}
	s.hub = newHub(s)
	s.metrics = newMetrics(s)
	e := s.echo
	e.HideBanner, e.HidePort = true, true
	// Set by hand: echo's default believes any X-Forwarded-For.
	e.IPExtractor = echo.ExtractIPDirect()
	if o.TrustedProxies {
		e.IPExtractor = echo.ExtractIPFromXFFHeader()
	}
	e.HTTPErrorHandler = s.unrouted
	for _, r := range routes {
		e.Add(r.method, r.path, s.serve(r))
	}
	return s
}

// Handler is the server as an http.Handler.
func (s *Server) Handler() http.Handler { return s.echo }

// Ready opens /readyz.
func (s *Server) Ready() { s.ready.Store(true) }

// Drain closes /readyz, tells the streams' clients to come back, and returns when the streams have
// ended. Requests under way are finished by http.Server.Shutdown.
func (s *Server) Drain() {
	s.ready.Store(false)
	s.hub.close()
}

// HTTP is an http.Server with limits on everything a client can make us wait for.
func (s *Server) HTTP() *http.Server {
	return &http.Server{
		Handler:           s.echo,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute, // a photo over a bad network
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
}

// publicURL is what a link to this server begins with, as the asking client sees it.
func (s *Server) publicURL(r *http.Request) string {
	if s.o.PublicURL != "" {
		return s.o.PublicURL
	}
	scheme := "http"
	if r.TLS != nil || s.o.TrustedProxies && r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	host := r.Host
	if host == "" || strings.ContainsAny(host, "<>\"' ") {
		host = "localhost"
	}
	return scheme + "://" + host
}
