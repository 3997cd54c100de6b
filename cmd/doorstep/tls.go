package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"doorstep/internal/db"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// Phones give a page the camera, notices and a life without network over HTTPS only. So serve speaks it
// by itself: with certificates it fetches (--domain), or with those it is given (--tls-cert, --tls-key).

// secured is how serve speaks HTTPS.
type secured struct {
	config *tls.Config
	plain  http.Handler // what port 80 answers, nil: nothing
}

// security is nil when serve speaks plain HTTP.
func security(c *config, log *slog.Logger) (*secured, error) {
	switch {
	case len(c.Domains) > 0 && c.TLSCert != "":
		return nil, usage("--domain fetches certificates and --tls-cert brings one: use one of the two")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return nil, usage("--tls-cert and --tls-key go together")
	case c.TLSCert != "":
		own, err := newOwnCertificate(c.TLSCert, c.TLSKey, log)
		if err != nil {
			return nil, err
		}
		return &secured{config: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: own.get}}, nil
	case len(c.Domains) > 0:
		m, err := certificates(c)
		if err != nil {
			return nil, err
		}
		t := m.TLSConfig()
		t.MinVersion = tls.VersionTLS12
		_, port, _ := net.SplitHostPort(c.Listen)
		return &secured{t, m.HTTPHandler(toHTTPS(c.Domains, port))}, nil
	}
	return nil, nil
}

// certificates fetches and renews them; they are kept where only this user reads.
func certificates(c *config) (*autocert.Manager, error) {
	folder := c.TLSCache
	if folder == "" {
		folder = filepath.Join("data", "certificates")
		if db.EngineOf(c.DB) == db.SQLite {
			folder = filepath.Join(filepath.Dir(sqlitePath(c)), "certificates")
		}
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("certificates need a folder: %w; or name one with --tls-cache", err)
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		return nil, fmt.Errorf("the folder for certificates is open to others: %w", err)
	}
	m := &autocert.Manager{Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(folder), HostPolicy: autocert.HostWhitelist(c.Domains...), Email: c.ACMEContact}
	if c.ACMEDirectory != "" {
		m.Client = &acme.Client{DirectoryURL: c.ACMEDirectory, UserAgent: "doorstep"}
	}
	return m, nil
}

// toHTTPS sends browsers on. What is not safe to repeat is refused: it has crossed the network in the
// open already, and whoever sent it should know.
func toHTTPS(domains []string, port string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "use https", http.StatusBadRequest)
			return
		}
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !slices.Contains(domains, strings.ToLower(host)) {
			host = domains[0]
		}
		if port != "" && port != "443" && port != "https" {
			host = net.JoinHostPort(host, port)
		}
		u := url.URL{Scheme: "https", Host: host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
		w.Header().Set("Connection", "close")
		http.Redirect(w, r, u.String(), http.StatusPermanentRedirect)
	})
}

// ownCertificate is a pair of files that somebody else renews.
type ownCertificate struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	now     *tls.Certificate
	changed time.Time // of the newer file, as of now
	looked  time.Time
}

const lookEvery = 10 * time.Second

func newOwnCertificate(cert, key string, log *slog.Logger) (*ownCertificate, error) {
	o := &ownCertificate{cert: cert, key: key, log: log}
	if err := o.load(time.Now()); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return o, nil
}

// load reads the files if they have changed.
func (o *ownCertificate) load(now time.Time) error {
	o.looked = now
	var newest time.Time
	for _, name := range []string{o.cert, o.key} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if t := info.ModTime(); t.After(newest) {
			newest = t
		}
	}
	if o.now != nil && newest.Equal(o.changed) {
		return nil
	}
	c, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		return err
	}
	o.now, o.changed = &c, newest
	return nil
}

// get is the certificate, read again when its files have changed; one that cannot be read, perhaps
// half-written, does not take the place of the good one.
func (o *ownCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.looked) >= lookEvery {
		if err := o.load(now); err != nil {
			o.log.Error("the new certificate cannot be used; the old one goes on", "error", err)
		}
	}
	return o.now, nil
}

// listenSecurely is listen with a word about ports that only root may take.
func listenSecurely(c *config) (net.Listener, error) {
	l, err := listen(c.Listen, "--listen")
	if _, port, _ := net.SplitHostPort(c.Listen); err != nil && len(c.Domains) > 0 && errors.Is(err, os.ErrPermission) {
		return nil, &addressError{fmt.Sprintf("port %s is not for this user: allow it once with setcap cap_net_bind_service=+ep %s, or use a proxy and --trusted-proxies", port, program()), err}
	}
	return l, err
}

func program() string {
	if p, err := os.Executable(); err == nil {
		return p
	}
	return "doorstep"
}

// redirect answers on the plain port: challenges of the authority, and browsers who forgot the s.
func (n *node) redirect(_ context.Context, c *config, s *secured) error {
	l, err := listen(c.RedirectListen, "--redirect-listen")
	if err != nil {
		return fmt.Errorf("HTTPS by --domain needs port 80 as well, to prove that the name is yours: %w", err)
	}
	n.plain = urlOf(l)
	n.serve(l, &http.Server{Handler: s.plain, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10})
	return nil
}
