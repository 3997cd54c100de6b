package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// authority is as much of a certificate authority (RFC 8555) as one order takes. It looks at the challenge
// for real, as tls-alpn-01 (RFC 8737) says, and believes every signature: what is tested is our side.
type authority struct {
	*testing.T
	*httptest.Server
	where func() string // host:port where the name leads

	key    *ecdsa.PrivateKey
	root   *x509.Certificate
	mu     sync.Mutex
	nonce  int
	name   string
	proven bool
	issued int
	chain  []byte
}

func newAuthority(t *testing.T, where func() string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a := &authority{T: t, where: where, key: key, root: root}
	a.Server = httptest.NewServer(http.HandlerFunc(a.answer))
	t.Cleanup(a.Close)
	return a
}

// payload is what a request says, without its signature.
func payload(r *http.Request, v any) {
	var jws struct{ Payload string }
	_ = json.NewDecoder(r.Body).Decode(&jws)
	text, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	_ = json.Unmarshal(text, v)
}

func (a *authority) answer(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nonce++
	w.Header().Set("Replay-Nonce", fmt.Sprint("nonce-", a.nonce))
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	state := func(done bool, yes, no string) string {
		if done {
			return yes
		}
		return no
	}
	challenge := map[string]any{"type": "tls-alpn-01", "url": a.URL + "/challenge", "token": "dG9rZW4", "status": state(a.proven, "valid", "pending")}
	order := map[string]any{"status": state(a.chain != nil, "valid", state(a.proven, "ready", "pending")), "finalize": a.URL + "/finalize",
		"authorizations": []string{a.URL + "/authorization"}, "certificate": a.URL + "/certificate", "identifiers": []any{map[string]any{"type": "dns", "value": a.name}}}
	switch r.URL.Path {
	case "/":
		say(200, map[string]any{"newNonce": a.URL + "/nonce", "newAccount": a.URL + "/account", "newOrder": a.URL + "/order-new", "revokeCert": a.URL + "/no", "keyChange": a.URL + "/no"})
	case "/nonce":
	case "/account":
		w.Header().Set("Location", a.URL+"/account")
		say(201, map[string]any{"status": "valid"})
	case "/order-new":
		var in struct{ Identifiers []struct{ Value string } }
		payload(r, &in)
		a.name, a.proven, a.chain = in.Identifiers[0].Value, false, nil
		order["identifiers"], order["status"] = []any{map[string]any{"type": "dns", "value": a.name}}, "pending"
		w.Header().Set("Location", a.URL+"/order")
		say(201, order)
	case "/authorization":
		say(200, map[string]any{"status": state(a.proven, "valid", "pending"), "identifier": map[string]any{"type": "dns", "value": a.name}, "challenges": []any{challenge}})
	case "/challenge":
		a.proven = a.look()
		challenge["status"] = state(a.proven, "valid", "invalid")
		say(200, challenge)
	case "/order":
		w.Header().Set("Location", a.URL+"/order")
		say(200, order)
	case "/finalize":
		var in struct{ CSR string }
		payload(r, &in)
		a.issue(in.CSR)
		order["status"] = "valid"
		w.Header().Set("Location", a.URL+"/order")
		say(200, order)
	case "/certificate":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_, _ = w.Write(a.chain)
	default:
		w.WriteHeader(404)
	}
}

// look opens a connection to the name as the challenge says: what answers has to show the proof.
func (a *authority) look() bool {
	d := tls.Dialer{Config: &tls.Config{ServerName: a.name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true}}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", a.where())
	if err != nil {
		a.Errorf("the challenge: %v", err)
		return false
	}
	defer conn.Close()
	for _, e := range conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Extensions {
		if e.Id.String() == "1.3.6.1.5.5.7.1.31" && e.Critical {
			return true
		}
	}
	a.Error("the challenge is answered without a proof")
	return false
}

func (a *authority) issue(csr string) {
	der, _ := base64.RawURLEncoding.DecodeString(csr)
	wish, err := x509.ParseCertificateRequest(der)
	if err != nil || !a.proven {
		a.Errorf("a certificate without a proof, or for %v", err)
		return
	}
	a.issued++
	c := &x509.Certificate{SerialNumber: big.NewInt(int64(1 + a.issued)), Subject: pkix.Name{CommonName: a.name}, DNSNames: wish.DNSNames, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(90 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	leaf, err := x509.CreateCertificate(rand.Reader, c, a.root, wish.PublicKey, a.key)
	if err != nil {
		a.Error(err)
		return
	}
	a.chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})...)
}

// byDomain starts a node that fetches its certificate.
func byDomain(t *testing.T, db, directory string) (*node, *config) {
	t.Helper()
	t.Setenv("DOORSTEP_ACME_DIRECTORY", directory)
	a := &app{in: strings.NewReader(""), out: io.Discard, err: io.Discard, environ: os.Environ()}
	cmd := a.serveCommand()
	a.root().AddCommand(cmd)
	if err := cmd.ParseFlags([]string{"--db", db, "--listen", "127.0.0.1:0", "--domain", "desk.example", "--domain", "WWW.desk.example", "--redirect-listen", "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	c, err := a.configure(cmd)
	if err != nil {
		t.Fatal(err)
	}
	n, err := a.start(context.Background(), c, false)
	if err != nil {
		t.Fatal(err)
	}
	return n, c
}

func TestACertificateIsFetchedProvenAndKept(t *testing.T) {
	db := newPath(t, "doorstep.db")
	var n *node
	a := newAuthority(t, func() string { return strings.TrimPrefix(n.url, "https://") })
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	ask := func(name string) error {
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}}}
		res, err := client.Get(n.url + "/healthz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != 200 || res.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
		return nil
	}
	n, _ = byDomain(t, db, a.URL)
	for range 2 {
		if err := ask("desk.example"); err != nil {
			t.Fatal(err)
		}
	}
	if ask("evil.example") == nil {
		t.Error("a name that is not ours is served")
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	n, _ = byDomain(t, db, a.URL)
	defer func() { _ = n.stop() }()
	if err := ask("desk.example"); err != nil {
		t.Fatal(err)
	}
	if a.issued != 1 {
		t.Errorf("%d certificates were fetched for one name, want 1 over a restart", a.issued)
	}
	folder := filepath.Join(filepath.Dir(db), "certificates")
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) == 0 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may read %s: %v %v", e.Name(), info.Mode(), err)
		}
	}
}
