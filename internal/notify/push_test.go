package notify_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/notify"
)

// phone is a browser with its push service: it has the private key, and reads what arrives as RFC
// 8291 has a user agent do.
type phone struct {
	testing.TB
	url    string
	key    *ecdh.PrivateKey
	secret []byte

	mu      sync.Mutex
	rings   []ring
	answer  int // status; 0: 201
	header  http.Header
	visited int
}

// ring is one push as it arrived.
type ring struct {
	ID, Task  string
	Text      map[string]string
	Header    http.Header
	Audience  string
	Subject   string
	Expires   time.Time
	PublicKey string
}

func newPhone(t testing.TB) *phone {
	t.Helper()
	p := &phone{TB: t, secret: make([]byte, 16), header: http.Header{}}
	var err error
	if p.key, err = ecdh.P256().GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	_, _ = rand.Read(p.secret)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.visited++
		for name, values := range p.header {
			w.Header()[name] = values
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Encoding") != "aes128gcm" {
			t.Errorf("%s %v %v", r.Method, r.Header, err)
		}
		if p.answer >= 300 {
			w.WriteHeader(p.answer)
			return
		}
		p.rings = append(p.rings, p.read(r, body))
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *phone) must(err error) {
	p.Helper()
	if err != nil {
		p.Error(err)
	}
}

// read decrypts a push (RFC 8188 with one record, keys by RFC 8291) and checks who signed it (RFC
// 8292).
func (p *phone) read(r *http.Request, body []byte) (got ring) {
	got.Header = r.Header
	if len(body) > 4096 {
		p.Errorf("%d bytes: push services take 4096", len(body))
	}
	salt, size, idLen := body[:16], binary.BigEndian.Uint32(body[16:20]), int(body[20])
	from, sealed := body[21:21+idLen], body[21+idLen:]
	if int(size) < len(sealed) {
		p.Errorf("a record of %d bytes in records of %d", len(sealed), size)
	}
	sender, err := ecdh.P256().NewPublicKey(from)
	p.must(err)
	shared, err := p.key.ECDH(sender)
	p.must(err)
	info := append([]byte("WebPush: info\x00"), p.key.PublicKey().Bytes()...)
	ikm, err := hkdf.Key(sha256.New, shared, p.secret, string(append(info, from...)), 32)
	p.must(err)
	cek, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	p.must(err)
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	p.must(err)
	block, err := aes.NewCipher(cek)
	p.must(err)
	gcm, err := cipher.NewGCM(block)
	p.must(err)
	plain, err := gcm.Open(nil, nonce, sealed, nil)
	p.must(err)
	text := strings.TrimRight(string(plain), "\x00")
	if !strings.HasSuffix(text, "\x02") {
		p.Error("the record has no end")
	}
	p.must(json.Unmarshal([]byte(strings.TrimSuffix(text, "\x02")), &got.Text))
	got.ID, got.Task = got.Text["id"], got.Text["task_id"]
	p.vapid(r, &got)
	return got
}

func (p *phone) vapid(r *http.Request, got *ring) {
	var token string
	if n, err := fmt.Sscanf(r.Header.Get("Authorization"), "vapid t=%s k=%s", &token, &got.PublicKey); n != 2 {
		p.Fatal(r.Header.Get("Authorization"), err)
	}
	token = strings.TrimSuffix(token, ",")
	parts := strings.Split(token, ".")
	raw := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		p.must(err)
		return b
	}
	point, sig := raw(got.PublicKey), raw(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	p.must(err)
	if len(sig) != 64 || !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		p.Error("the signature does not fit the key")
	}
	var head struct{ Alg, Typ string }
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	p.must(json.Unmarshal(raw(parts[0]), &head))
	p.must(json.Unmarshal(raw(parts[1]), &claims))
	if head.Alg != "ES256" {
		p.Errorf("signed with %s", head.Alg)
	}
	got.Audience, got.Subject, got.Expires = claims.Aud, claims.Sub, time.Unix(claims.Exp, 0)
}

func (p *phone) got() []ring {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]ring(nil), p.rings...)
}

func (p *phone) answers(status int, header http.Header) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer, p.header = status, header
}

func (p *phone) visits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.visited
}

func (p *phone) keys() (p256dh, auth string) {
	return base64.RawURLEncoding.EncodeToString(p.key.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(p.secret)
}

func (p *phone) subscribe(h *house, store int64) notify.Subscription {
	p.Helper()
	key, secret := p.keys()
	s, _, err := h.book.Subscribe(ctx, store, p.url+"/send/abc", key, secret)
	h.must(err)
	return s
}

func TestAPushArrivesAndCanBeRead(t *testing.T) {
	inHouse(t, func(h *house) {
		phone := newPhone(h)
		phone.subscribe(h, ours)
		told := h.happens("told", ours, task)
		h.happens("told", theirs, task)
		h.follow(3)
		h.are(told, "inbox delivered 0", "push pending 0")
		h.send(1)
		h.send(0)
		h.are(told, "inbox delivered 0", "push delivered 1")
		got := phone.got()[0]
		names := h.db.Names()
		for name, want := range map[string]string{"id": names.Name(ident.Event, told), "task_id": names.Name(ident.Prestock, task), "kind": "first", "lang": "zh",
			"title": "请备货", "body": "500 件 · please", "until": "2026-11-10T12:00:00.000Z", "url": "/store/"} {
			if got.Text[name] != want {
				t.Errorf("%s is %q, want %q", name, got.Text[name], want)
			}
		}
		if got.PublicKey != h.book.PushKey() || got.Audience != phone.url || got.Subject != "mailto:desk@doorstep.example" ||
			time.Until(got.Expires) <= 0 || time.Until(got.Expires) > 24*time.Hour {
			t.Errorf("signed for %q by %q until %s", got.Audience, got.Subject, got.Expires)
		}
		if got.Header.Get("TTL") != "86400" || got.Header.Get("Topic") != names.Name(ident.Prestock, task) || got.Header.Get("Urgency") != "normal" {
			t.Errorf("%v", got.Header)
		}
		subs, err := h.book.Subscriptions(ctx, ours)
		h.must(err)
		if len(subs) != 1 || subs[0].DeliveredAt == nil {
			t.Errorf("%+v", subs)
		}
		// Another process has the same key: phones that subscribed stay subscribed.
		if other := h.open(h.db, true); other.PushKey() != h.book.PushKey() {
			t.Error("each process has a key of its own")
		}
	})
}

func TestWhatAPushServiceAnswers(t *testing.T) {
	for _, c := range []struct {
		what   string
		status int
		state  string
		left   int // subscriptions
		open   string
	}{
		{"gone", 410, "gone", 0, "push_failed"},
		{"not found", 404, "gone", 0, "push_failed"},
		{"bad request", 400, "failed", 1, "push_failed"},
		{"another key", 403, "failed", 1, "push_failed"},
		{"too large", 413, "failed", 1, "push_failed"},
		{"elsewhere", 307, "failed", 1, "push_failed"},
		{"broken", 500, "pending", 1, ""},
		{"busy", 429, "pending", 1, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			inHouse(t, func(h *house) {
				phone := newPhone(h)
				phone.subscribe(h, ours)
				phone.answers(c.status, http.Header{"Location": {phone.url + "/other"}})
				told := h.happens("told", ours, task)
				h.follow(2)
				h.send(0)
				h.are(told, "inbox delivered 0", "push "+c.state+" 1")
				if phone.visits() != 1 {
					h.Fatalf("it was asked %d times", phone.visits())
				}
				subs, err := h.book.Subscriptions(ctx, ours)
				h.must(err)
				if len(subs) != c.left {
					h.Fatalf("%d subscriptions are left", len(subs))
				}
				if c.open == "" {
					h.exceptions()
					return
				}
				x := h.exceptions(fmt.Sprintf("%d %s 1", ours, c.open))
				if !strings.Contains(x[0].Detail, fmt.Sprint(c.status)) {
					h.Fatalf("the detail is %q", x[0].Detail)
				}
			})
		})
	}
}

func TestABusyServiceIsTriedUntilAPersonIsTold(t *testing.T) {
	inHouse(t, func(h *house) {
		phone := newPhone(h)
		phone.subscribe(h, ours)
		phone.answers(503, http.Header{"Retry-After": {"600"}})
		told := h.happens("told", ours, task)
		h.follow(2)
		h.send(0)
		h.clock.Advance(599 * time.Second) // it asked for ten minutes
		h.send(0)
		h.are(told, "inbox delivered 0", "push pending 1")
		for range 10 {
			h.clock.Advance(3 * time.Hour)
			h.send(0)
		}
		h.are(told, "inbox delivered 0", "push failed 6")
		h.exceptions(fmt.Sprint(ours, " push_failed 1"))
		if phone.visits() != 6 {
			t.Fatalf("it was asked %d times", phone.visits())
		}
		// The next one arrives, so there is nothing to see to any more.
		h.clock.Set(noon)
		phone.answers(0, nil)
		h.happens("told", ours, task)
		h.follow(2)
		h.send(1)
		h.exceptions()
	})
}

// A push that is tried again rings no phone at night.
func TestAPushWaitsForTheMorning(t *testing.T) {
	inHouse(t, func(h *house) {
		p := newPhone(h)
		p.subscribe(h, ours)
		told := h.happens("told", ours, task)
		h.follow(2)
		p.answers(503, nil)
		h.send(0)
		p.answers(0, nil)
		h.after = noon.Add(10 * time.Hour)
		h.clock.Advance(time.Hour)
		h.send(0)
		h.are(told, "inbox delivered 0", "push pending 2")
		h.clock.Advance(9*time.Hour - time.Second)
		h.send(0)
		if len(p.got()) != 0 {
			t.Fatal("it rang at night")
		}
		h.clock.Advance(time.Second)
		h.send(1)
		h.are(told, "inbox delivered 0", "push delivered 3")
	})
}

func TestOnePhoneOfTwoIsEnough(t *testing.T) {
	inHouse(t, func(h *house) {
		lost, fine := newPhone(h), newPhone(h)
		lost.subscribe(h, ours)
		fine.subscribe(h, ours)
		lost.answers(410, nil)
		told := h.happens("told", ours, task)
		h.follow(3)
		h.send(1)
		h.are(told, "inbox delivered 0", "push gone 1", "push delivered 1")
		h.exceptions()
	})
}

// What a shop is asked is not shown on a phone that another shop has by now.
func TestAPhoneGoesToAnotherShopWhileAMessageIsOnItsWay(t *testing.T) {
	inHouse(t, func(h *house) {
		p := newPhone(h)
		p.subscribe(h, ours)
		told := h.happens("told", ours, task)
		h.follow(2)
		p.subscribe(h, theirs)
		h.send(0)
		h.are(told, "inbox delivered 0", "push moot 1")
		if p.visits() != 0 {
			t.Fatalf("the phone rang %d times", p.visits())
		}
	})
}

func TestWhatIsWorthNothingIsNotSent(t *testing.T) {
	inHouse(t, func(h *house) {
		phone := newPhone(h)
		sub := phone.subscribe(h, ours)
		answered := h.happens("told", ours, task)
		late := h.happens("told", ours, task+1)
		h.follow(4)
		h.moot[task] = true
		h.send(1)
		h.are(answered, "inbox delivered 0", "push moot 1")
		h.are(late, "inbox delivered 0", "push delivered 1")
		over := h.happens("told", ours, task+2)
		left := h.happens("told", ours, task+3)
		h.follow(4)
		h.must(h.book.Unsubscribe(ctx, ours, sub.Key, nil)) // taken away while on its way
		h.send(0)
		h.are(left, "inbox delivered 0", "push moot 1")
		h.clock.Advance(25 * time.Hour)
		h.send(0)
		h.are(over, "inbox delivered 0", "push moot 1")
		h.exceptions()
		if len(phone.got()) != 1 {
			t.Fatalf("the phone rang %d times", len(phone.got()))
		}
	})
}

func TestSubscriptions(t *testing.T) {
	inHouse(t, func(h *house) {
		p := newPhone(h)
		key, secret := p.keys()
		first := p.subscribe(h, ours)
		again, created, err := h.book.Subscribe(ctx, ours, p.url+"/send/abc", key, secret)
		h.must(err)
		if created || again.Key != first.Key {
			t.Fatalf("the same again: %+v %v", again, created)
		}
		moved, created, err := h.book.Subscribe(ctx, theirs, p.url+"/send/abc", key, secret)
		h.must(err)
		if mine, _ := h.book.Subscriptions(ctx, ours); !created || moved.Key != first.Key || len(mine) != 0 {
			t.Fatalf("the phone went to another shop: %+v %v %v", moved, created, mine)
		}
		if err := h.book.Unsubscribe(ctx, ours, moved.Key, nil); fault.KindOf(err) != fault.NotFound {
			t.Fatalf("a store took another's phone away: %v", err)
		}
		if err := h.book.Unsubscribe(ctx, theirs, moved.Key, &first.Version); fault.KindOf(err) != fault.Stale || moved.Version != first.Version+1 {
			t.Fatalf("taken away at another version: %v", err)
		}
		h.must(h.book.Unsubscribe(ctx, theirs, moved.Key, &moved.Version))
		for i := range 21 {
			_, _, err := h.book.Subscribe(ctx, ours, fmt.Sprint("https://push.example/", i), key, secret)
			if e := fault.As(err); (i == 20) != (e != nil && e.Code == "too-many-subscriptions") {
				t.Fatalf("number %d: %v", i+1, err)
			}
		}
		p.subscribe(h, theirs)
		if _, _, err := h.book.Subscribe(ctx, ours, p.url+"/send/abc", key, secret); fault.Code(err) != "too-many-subscriptions" {
			t.Fatalf("one more, of another shop: %v", err)
		}

		strict := h.open(h.db, false)
		for _, c := range []struct{ endpoint, key, secret, pointer, code string }{
			{"", key, secret, "/endpoint", "required"},
			{"https://push.example/" + strings.Repeat("x", 2000), key, secret, "/endpoint", "too-long"},
			{"push.example/1", key, secret, "/endpoint", "not-a-url"},
			{"https://me:you@push.example/1", key, secret, "/endpoint", "not-a-url"},
			{"https://push.example/a b", key, secret, "/endpoint", "not-a-url"},
			{"http://push.example/1", key, secret, "/endpoint", "not-https"},
			{"file:///etc/passwd", key, secret, "/endpoint", "not-a-url"},
			{"gopher://push.example/1", key, secret, "/endpoint", "not-https"},
			{"https://127.0.0.1/1", key, secret, "/endpoint", "not-public"},
			{"https://[::1]/1", key, secret, "/endpoint", "not-public"},
			{"https://169.254.169.254/latest/meta-data", key, secret, "/endpoint", "not-public"},
			{"https://push.example/1", key[:80], secret, "/keys/p256dh", "not-a-key"},
			{"https://push.example/1", base64.RawURLEncoding.EncodeToString(append([]byte{4}, make([]byte, 64)...)), secret, "/keys/p256dh", "not-a-key"},
			{"https://push.example/1", key, secret + "AA", "/keys/auth", "not-a-key"},
			{"https://push.example/1", key, "%", "/keys/auth", "not-a-key"},
		} {
			_, _, err := strict.Subscribe(ctx, theirs, c.endpoint, c.key, c.secret)
			if e := fault.As(err); e == nil || len(e.Fields) != 1 || e.Fields[0].Pointer != c.pointer || e.Fields[0].Code != c.code {
				t.Errorf("%.60s: %v, want %s %s", c.endpoint, err, c.pointer, c.code)
			}
		}
		s, _, err := strict.Subscribe(ctx, theirs, "https://push.example:443/1", key, secret)
		h.must(err)
		if s.Endpoint != "https://push.example/1" {
			t.Errorf("kept as %s: the signature is for the origin without its default port", s.Endpoint)
		}
	})
}

// A name may lead inside even if it looks harmless: what counts is where the connection would go.
func TestNoConnectionLeadsInside(t *testing.T) {
	inHouse(t, func(h *house) {
		p := newPhone(h)
		key, secret := p.keys()
		strict := h.open(h.db, false)
		_, port, _ := strings.Cut(strings.TrimPrefix(p.url, "http://"), ":")
		_, _, err := strict.Subscribe(ctx, ours, "https://localhost:"+port+"/send", key, secret)
		h.must(err)
		told := h.happens("told", ours, task)
		if _, err := strict.Collect(ctx); err != nil {
			t.Fatal(err)
		}
		n, err := strict.Send(ctx)
		h.must(err)
		if n != 0 || p.visits() != 0 {
			t.Fatalf("%d arrived, %d connections", n, p.visits())
		}
		h.are(told, "inbox delivered 0", "push failed 1")
		if x := h.exceptions(fmt.Sprint(ours, " push_failed 1")); !strings.Contains(x[0].Detail, "not public") || strings.Contains(x[0].Detail, "localhost") {
			t.Fatalf("the detail is %q", x[0].Detail)
		}
	})
}

func TestPublicAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "1.1.1.1": true, "::ffff:8.8.8.8": true, "2a00:1450:4001::200e": true,
		"127.0.0.1": false, "127.8.8.8": false, "0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false,
		"172.32.0.1": true, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.128.0.1": true, "192.0.0.8": false,
		"192.0.2.1": false, "198.18.0.1": false, "198.51.100.7": false, "203.0.113.9": false, "224.0.0.1": false, "240.0.0.1": false,
		"255.255.255.255": false, "::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::7f00:1": false, "fe80::1": false, "fe80::1%eth0": false,
		"fc00::1": false, "fd12:3456::1": false, "fec0::1": false, "ff02::1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::a00:1": false,
		"fec0::1%eth0": false, "64:ff9b::a00:1%lo": false,
		"2002:7f00:1::": false, "2001::1": false, "2001:db8::1": false, "100::1": false,
	} {
		if got := notify.Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is public: %v, want %v", address, got, want)
		}
	}
}

func FuzzSubscribe(f *testing.F) {
	for _, seed := range []string{"https://push.example/1", "http://[::1]:80/", "https://push.example:443/x?y#z", "//", "https://\x00", "https://8.8.8.8", "mailto:a@b"} {
		f.Add(seed, "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM", "tBHItJI5svbpez7KI4CCXg")
	}
	f.Fuzz(func(t *testing.T, endpoint, key, secret string) {
		if f := notify.Usable(endpoint, key, secret); f == nil {
			if !strings.HasPrefix(strings.ToLower(endpoint), "https://") || len(endpoint) > 2000 {
				t.Fatalf("%q was taken", endpoint)
			}
		}
	})
}
