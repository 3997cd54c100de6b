package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// certificate writes a key and a certificate for a name, and returns their paths.
func certificate(t *testing.T, folder, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<60))
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// trusting is a client that knows a certificate, by whatever address its server has.
func trusting(t *testing.T, cert, name string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: name}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func TestHTTPSWithACertificateOfOnesOwn(t *testing.T) {
	db := newPath(t, "doorstep.db")
	cert, key := certificate(t, t.TempDir(), "desk.example")
	n := inProcess(t, "--db", db, "--tls-cert", cert, "--tls-key", key)
	t.Cleanup(func() { _ = n.stop() })
	if !strings.HasPrefix(n.url, "https://127.0.0.1:") {
		t.Fatal(n.url)
	}
	client := trusting(t, cert, "desk.example")
	link, _, err := n.Keys.FirstLink(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Post(n.url+"/setup/"+link.Token, "application/x-www-form-urlencoded", strings.NewReader("login=amina&name=Amina&password=four+words+are+enough"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	cookies := res.Cookies()
	if res.StatusCode != 303 || len(cookies) != 2 || cookies[0].Name != "__Host-doorstep" || !cookies[0].Secure || cookies[0].Path != "/" || cookies[0].Domain != "" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	if res.Header.Get("Strict-Transport-Security") != "" {
		t.Error("a certificate that may go again is no promise for a year")
	}
	// Streams go over HTTP/2, too.
	req, _ := http.NewRequest("GET", n.url+"/v1/events/stream", nil)
	req.AddCookie(cookies[0])
	stream, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if stream.ProtoMajor != 2 || stream.StatusCode != 200 || stream.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s %d", stream.Proto, stream.StatusCode)
	}
	req, _ = http.NewRequest("POST", n.url+"/v1/stores", strings.NewReader(storeBody("K1")))
	req.AddCookie(cookies[0])
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	made, err := client.Do(req)
	if err != nil || made.StatusCode != 201 {
		t.Fatal(made, err)
	}
	made.Body.Close()
	for in := bufio.NewScanner(stream.Body); in.Scan(); {
		if strings.HasPrefix(in.Text(), "event: store.created") {
			return
		}
	}
	t.Error("the stream over HTTP/2 ended without the event")
}

func TestANewCertificateIsTakenAndABrokenOneIsNot(t *testing.T) {
	folder := t.TempDir()
	cert, key := certificate(t, folder, "old.example")
	o, err := newOwnCertificate(cert, key, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now()
	shown := func() string {
		t.Helper()
		later = later.Add(time.Minute)
		o.looked = time.Time{} // time for another look
		for _, path := range []string{cert, key} {
			if err := os.Chtimes(path, later, later); err != nil {
				t.Fatal(err)
			}
		}
		c, err := o.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.Subject.CommonName
	}
	if got := shown(); got != "old.example" {
		t.Error(got)
	}
	certificate(t, folder, "new.example")
	if got := shown(); got != "new.example" {
		t.Error(got)
	}
	if err := os.WriteFile(key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != "new.example" {
		t.Error(got)
	}
	certificate(t, folder, "newest.example")
	if got := shown(); got != "newest.example" {
		t.Error(got)
	}
}

// Which names the authority is asked for, that the certificates' folder is ours alone, and what plain HTTP
// answers.
func TestHTTPSByADomain(t *testing.T) {
	var asked atomic.Int64
	authority := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		http.Error(w, "closed", http.StatusServiceUnavailable)
	}))
	defer authority.Close()
	db := newPath(t, "doorstep.db")
	n, c := byDomain(t, db, authority.URL)
	t.Cleanup(func() { _ = n.stop() })
	if c.PublicURL != "https://desk.example" {
		t.Errorf("links begin with %q", c.PublicURL)
	}
	info, err := os.Stat(filepath.Join(filepath.Dir(db), "certificates"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	hello := func(name string) {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second) // the library waits between tries
		defer cancel()
		d := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}}
		if conn, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(n.url, "https://")); err == nil {
			conn.Close()
			t.Errorf("%s was served without a certificate", name)
		}
	}
	hello("evil.example")
	if asked.Load() != 0 {
		t.Error("the authority is asked for any name that strangers make up")
	}
	hello("www.desk.example")
	if asked.Load() == 0 {
		t.Error("the authority is not asked for our own name")
	}

	for _, c := range []struct {
		method, path, host string
		status             int
		location           string
	}{
		{"GET", "/t/abc?x=1", "desk.example", 308, "https://desk.example/t/abc?x=1"},
		{"GET", "/", "WWW.desk.example:80", 308, "https://www.desk.example/"},
		{"GET", "//evil.example/", "evil.example", 308, "https://desk.example//evil.example/"},
		{"POST", "/v1/orders", "desk.example", 400, ""},
		{"GET", "/.well-known/acme-challenge/none", "evil.example", 403, ""},
	} {
		req, _ := http.NewRequest(c.method, n.plain+c.path, nil)
		req.Host = c.host
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		got := strings.Replace(res.Header.Get("Location"), ":0/", "/", 1) // the test's port
		if res.StatusCode != c.status || !strings.EqualFold(got, c.location) {
			t.Errorf("%s %s at %s: %d %q, want %d %q", c.method, c.path, c.host, res.StatusCode, got, c.status, c.location)
		}
	}
	rec := httptest.NewRecorder()
	n.srv.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/healthz", nil))
	if got := rec.Header().Get("Strict-Transport-Security"); got != "max-age=31536000" {
		t.Errorf("HSTS %q", got)
	}
}

func TestSettingsOfHTTPSThatCannotBe(t *testing.T) {
	t.Chdir(t.TempDir())
	db := newPath(t, "doorstep.db")
	cert, key := certificate(t, t.TempDir(), "desk.example")
	wantRefused(t, 2, []string{"--domain", "without https://"}, "serve", "--db", db, "--domain", "https://desk.example")
	wantRefused(t, 2, []string{"--domain"}, "serve", "--db", db, "--domain", "192.0.2.1")
	wantRefused(t, 2, []string{"--domain"}, "serve", "--db", db, "--domain", "localhost")
	wantRefused(t, 2, []string{"go together"}, "serve", "--db", db, "--tls-cert", cert)
	wantRefused(t, 2, []string{"one of the two"}, "serve", "--db", db, "--domain", "desk.example", "--tls-cert", cert, "--tls-key", key)
	wantRefused(t, 1, []string{"certificate: "}, "serve", "--db", db, "--listen", "127.0.0.1:0", "--tls-cert", key, "--tls-key", cert)
	wantRefused(t, 1, []string{"no such file"}, "serve", "--db", db, "--listen", "127.0.0.1:0", "--tls-cert", "none.pem", "--tls-key", key)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	wantRefused(t, 1, []string{"in use", "--redirect-listen", "prove that the name is yours"}, "serve", "--db", db, "--listen", "127.0.0.1:0", "--domain", "desk.example",
		"--redirect-listen", strings.TrimPrefix(other.URL, "http://"))
}
