package notify

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/ident"

	webpush "github.com/SherClockHolmes/webpush-go"
)

// push is the channel of browsers and phones: Web Push (RFC 8030), encrypted for each subscription
// (RFC 8291), signed with the network's key (VAPID, RFC 8292).
//
// The library makes the encryption and the signature. What it leaves to us, as of v1.4.0: a client
// that knows where it may connect, follows nothing and gives up; keys that are points of the curve
// and a secret of 16 bytes, checked when they come in; a subscriber without "mailto:", which it puts
// before everything but https; an endpoint without its default port, which it would sign.
type push struct {
	public, private string // base64url: the point, and the number it is of
	contact         string
	loopback        bool
	names           *ident.Names
	db              *db.DB
	client          *http.Client
}

const (
	maxSubscriptions = 20 // of a store
	maxEndpoint      = 2000
	vapidSetting     = "vapid"
	pushTimeout      = 15 * time.Second
	maxTTL           = 28 * 24 * time.Hour
)

func newPush(ctx context.Context, d *db.DB, o Options) (*push, error) {
	p := &push{contact: strings.TrimPrefix(o.Contact, "mailto:"), loopback: o.Loopback, names: d.Names(), db: d}
	if p.contact == "" {
		p.contact = "postmaster@localhost"
	}
	p.client = &http.Client{Timeout: pushTimeout, Transport: p.transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return p, p.loadKeys(ctx)
}

// loadKeys makes the network's key once. Like the database's secret it is a row and no file: a
// restored backup can still reach the phones that subscribed.
func (p *push) loadKeys(ctx context.Context) error {
	var text string
	err := p.db.Read(ctx).Get(&text, `SELECT value FROM setting WHERE name = ?`, vapidSetting)
	if errors.Is(err, db.ErrNoRows) {
		key, kerr := ecdh.P256().GenerateKey(rand.Reader)
		if kerr != nil {
			return kerr
		}
		fresh := base64.RawURLEncoding.EncodeToString(key.Bytes())
		err = p.db.InTx(ctx, func(tx *db.Tx) error {
			if _, err := tx.Exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, vapidSetting, fresh); err != nil {
				return err
			}
			return tx.Get(&text, `SELECT value FROM setting WHERE name = ?`, vapidSetting)
		})
	}
	if err != nil {
		return err
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("setting %s: %w", vapidSetting, err)
	}
	key, err := ecdh.P256().NewPrivateKey(raw)
	if err != nil {
		return fmt.Errorf("setting %s: %w", vapidSetting, err)
	}
	p.private, p.public = text, base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes())
	return nil
}

// transport connects to public addresses only. The address is looked at when the connection is made:
// a name that was harmless when it subscribed may mean something else by then. There is no proxy,
// which would do the looking up itself.
func (p *push) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !p.mayReach(at.Addr()) {
			return refusal("the endpoint is at an address that is not public")
		}
		return nil
	}}
	return &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: senders, MaxIdleConns: 4 * senders, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
}

func (p *push) mayReach(ip netip.Addr) bool {
	return public(ip) || p.loopback && ip.Unmap().IsLoopback()
}

// notPublic are the blocks of the IANA special-purpose registries that lead to somebody's inside, or
// carry such an address in them (NAT64, 6to4, Teredo). netip knows the usual ones by name.
var notPublic = func() (list []netip.Prefix) {
	for _, s := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
		"3fff::/20", "5f00::/16", "fec0::/10"} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

func public(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("") // no prefix contains an address with a zone
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// How a push can go wrong besides what is worth another try.
var (
	errGone    = errors.New("the subscription is over")
	errDropped = errors.New("the subscription was taken away meanwhile")
)

type refusal string // for good

func (r refusal) Error() string { return string(r) }

type pause struct { // not before after
	what  string
	after time.Duration
}

func (p pause) Error() string { return p.what }

func (p *push) starts() string { return Pending }

func (p *push) addresses(q db.Queryer, stores []int64) (map[int64][]int64, error) {
	if len(stores) == 0 {
		return nil, nil
	}
	query, args, err := db.In(`SELECT key, store_key FROM push_subscription WHERE store_key IN (?) ORDER BY store_key, key`, stores)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Key   int64
		Store int64 `db:"store_key"`
	}
	err = q.Select(&rows, query, args...)
	at := map[int64][]int64{}
	for _, r := range rows {
		at[r.Store] = append(at[r.Store], r.Key)
	}
	return at, err
}

// payload is what the app's service worker gets. What Action answers stands in the fields before it.
type payload struct {
	ID         string `json:"id,omitempty"`
	Task       string `json:"task_id,omitempty"`
	Quantity   string `json:"quantity,omitempty"`
	Assignment string `json:"assignment_id,omitempty"`
	Order      string `json:"order_id,omitempty"`
	Action     string `json:"action,omitempty"`
	Kind       string `json:"kind"`
	Lang       string `json:"lang"`
	Title      string `json:"title"`
	Body       string `json:"body"`
	Until      string `json:"until"`
	URL        string `json:"url"`
}

// in puts m into p.
func (p payload) in(m *Message) payload {
	p.Lang, p.Title, p.Body, p.URL = m.Lang, m.Title, m.Body, "/store/"
	p.Until = m.Until.UTC().Format("2006-01-02T15:04:05.000Z")
	return p
}

func (p *push) send(ctx context.Context, d *Delivery, m Message) error {
	task := p.names.Name(ident.Prestock, d.Subject)
	told := payload{ID: p.names.Name(ident.Event, d.Event), Task: task, Kind: d.Kind}.in(&m)
	if m.Quantity > 0 {
		told.Quantity, told.Action = strconv.Itoa(m.Quantity), wordsFor(m.Lang).of(wordsFor(m.Lang).all, m.Quantity)
	}
	// One topic a task: what is not delivered yet is replaced by what comes later.
	return p.post(ctx, d.Store, d.Address, told, task, max(m.Until.Sub(p.db.Now()), time.Minute))
}

// ringOne tells one phone of its store's orders. What comes later replaces what is not delivered yet.
func (p *push) ringOne(ctx context.Context, store, phone int64, said orderWord) error {
	told := payload{Kind: said.kind}.in(&said.Message)
	if said.assignment != 0 {
		told.Assignment, told.Order = p.names.Name(ident.Assignment, said.assignment), p.names.Name(ident.Order, said.order)
		told.Action = wordsFor(said.Lang).accept
	}
	return p.post(ctx, store, phone, told, p.names.Name(ident.Store, store), said.Until.Sub(p.db.Now()))
}

// post gives a message to the push service of a phone, which keeps it as long as ttl.
func (p *push) post(ctx context.Context, store, phone int64, told payload, topic string, ttl time.Duration) error {
	to, err := subscription(p.db.Read(ctx), store, phone)
	if errors.Is(err, db.ErrNoRows) {
		return errDropped
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(told)
	if err != nil {
		return err
	}
	urgency := webpush.UrgencyNormal
	if ttl < 2*time.Hour {
		urgency = webpush.UrgencyHigh
	}
	res, err := webpush.SendNotificationWithContext(ctx, text, &webpush.Subscription{Endpoint: to.Endpoint, Keys: webpush.Keys{P256dh: to.P256dh, Auth: to.Auth}},
		&webpush.Options{HTTPClient: p.client, Subscriber: p.contact, Topic: topic, TTL: int(min(ttl, maxTTL).Seconds()), Urgency: urgency,
			VAPIDPublicKey: p.public, VAPIDPrivateKey: p.private})
	if err != nil {
		return failure(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	return judge(res)
}

// failure leaves the endpoint out of an error: whoever knows it may send there.
func failure(err error) error {
	var no refusal
	if errors.As(err, &no) {
		return no
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("not reached: %w", err)
}

// judge reads the answer of a push service. What its body says is not kept: it may be anybody's.
func judge(res *http.Response) error {
	said := fmt.Sprintf("the push service answered %d", res.StatusCode)
	switch s := res.StatusCode; {
	case s >= 200 && s < 300:
		return nil
	case s == http.StatusNotFound || s == http.StatusGone:
		return fmt.Errorf("%w: %s", errGone, said)
	case s == http.StatusTooManyRequests || s == http.StatusRequestTimeout || s >= 500:
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil || seconds < 0 {
			seconds = 0
		}
		return pause{said, min(time.Duration(min(seconds, 86400))*time.Second, maxPause)}
	}
	return refusal(said)
}

// Subscription is a browser or phone that a store wants to be told on.
type Subscription struct {
	Key         int64
	Endpoint    string
	P256dh      string
	Auth        string
	CreatedAt   time.Time
	DeliveredAt *time.Time // the last time a message got there
	Version     int64
}

// PushKey is the public key that a browser subscribes with, as applicationServerKey: base64url of an
// uncompressed point of P-256.
func (b *Book) PushKey() string { return b.push.public }

// Subscribe keeps a subscription as the browser gives it: the endpoint, and base64url of its key and
// its secret. The same again changes nothing; new keys replace the old ones. An endpoint belongs to
// one store: who subscribes last has it.
//
// Errors: 422 naming what cannot be used; 409 too-many-subscriptions.
func (b *Book) Subscribe(ctx context.Context, store int64, endpoint, p256dh, auth string) (s Subscription, created bool, err error) {
	if endpoint, err = b.push.check(endpoint, p256dh, auth); err != nil {
		return s, false, err
	}
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		s, created, err = keepSubscription(tx, store, Subscription{Endpoint: endpoint, P256dh: p256dh, Auth: auth})
		return err
	})
	return s, created, err
}

// check names what of a subscription cannot be used, and returns its endpoint as it is kept.
func (p *push) check(endpoint, p256dh, auth string) (string, error) {
	var f fault.Fields
	endpoint = p.checkEndpoint(&f, endpoint)
	checkKey(&f, "/keys/p256dh", p256dh, func(raw []byte) bool { _, err := ecdh.P256().NewPublicKey(raw); return err == nil },
		"the public key of the subscription: base64url of an uncompressed point of P-256, 65 bytes")
	checkKey(&f, "/keys/auth", auth, func(raw []byte) bool { return len(raw) == 16 }, "the secret of the subscription: base64url of 16 bytes")
	return endpoint, f.Err()
}

func (p *push) checkEndpoint(f *fault.Fields, text string) string {
	u, err := url.Parse(text)
	switch {
	case text == "":
		f.Add("/endpoint", "required", "the URL of the push service")
	case len(text) > maxEndpoint:
		f.Add("/endpoint", "too-long", "at most %d characters", maxEndpoint)
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		f.Add("/endpoint", "not-a-url", "the URL of the push service, as the browser gives it")
	case u.Scheme != "https" && !(p.loopback && u.Scheme == "http"):
		f.Add("/endpoint", "not-https", "a push service is asked over https only")
	default:
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !p.mayReach(ip) {
			f.Add("/endpoint", "not-public", "a push service has a public address")
		}
		if u.Scheme == "https" && u.Port() == "443" {
			u.Host = strings.TrimSuffix(u.Host, ":443")
			return u.String()
		}
	}
	return text
}

func checkKey(f *fault.Fields, pointer, text string, ok func([]byte) bool, want string) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || !ok(raw) {
		f.Add(pointer, "not-a-key", "%s", want)
	}
}

type subscriptionRow struct {
	Key         int64
	Store       int64 `db:"store_key"`
	Endpoint    string
	P256dh      string `db:"p256dh"`
	Auth        string
	CreatedAt   int64  `db:"created_at"`
	DeliveredAt *int64 `db:"delivered_at"`
	Version     int64
}

func (r subscriptionRow) subscription() Subscription {
	return Subscription{r.Key, r.Endpoint, r.P256dh, r.Auth, fromMs(r.CreatedAt), timeOf(r.DeliveredAt), r.Version}
}

const subscriptionColumns = `key, store_key, endpoint, p256dh, auth, created_at, delivered_at, version`

// subscription is one of a store: a phone that has gone over to another is not its own any more.
func subscription(q db.Queryer, store, key int64) (Subscription, error) {
	var r subscriptionRow
	err := q.Get(&r, `SELECT `+subscriptionColumns+` FROM push_subscription WHERE key = ? AND store_key = ?`, key, store)
	return r.subscription(), err
}

func keepSubscription(tx *db.Tx, store int64, s Subscription) (Subscription, bool, error) {
	var old subscriptionRow
	err := tx.Get(&old, `SELECT `+subscriptionColumns+` FROM push_subscription WHERE endpoint = ?`, s.Endpoint)
	known := err == nil
	if err != nil && !errors.Is(err, db.ErrNoRows) {
		return s, false, err
	}
	if known && old.Store == store && old.P256dh == s.P256dh && old.Auth == s.Auth {
		return old.subscription(), false, nil
	}
	if !known || old.Store != store {
		if err := oneMore(tx, store); err != nil {
			return s, false, err
		}
	}
	if known {
		if _, err := tx.Exec(`UPDATE push_subscription SET store_key = ?, p256dh = ?, auth = ?, version = version + 1 WHERE key = ?`,
			store, s.P256dh, s.Auth, old.Key); err != nil {
			return s, false, err
		}
		now, err := subscription(tx, store, old.Key)
		return now, old.Store != store, err
	}
	s.Key, s.CreatedAt, s.Version = tx.NewKey(), tx.Now(), 1
	n, err := tx.Exec(`INSERT INTO push_subscription (`+subscriptionColumns+`) VALUES (?, ?, ?, ?, ?, ?, NULL, 1) ON CONFLICT (endpoint) DO NOTHING`,
		s.Key, store, s.Endpoint, s.P256dh, s.Auth, s.CreatedAt.UnixMilli())
	if err == nil && n == 0 {
		err = db.ErrAgain
	}
	return s, true, err
}

// oneMore refuses a subscription more than a store may have.
func oneMore(q db.Queryer, store int64) error {
	var n int
	if err := q.Get(&n, `SELECT count(*) FROM push_subscription WHERE store_key = ?`, store); err != nil {
		return err
	}
	if n >= maxSubscriptions {
		return fault.Refused("too-many-subscriptions", nil, "%d browsers and phones are subscribed already: take one away first", n)
	}
	return nil
}

// Subscriptions are the browsers and phones of a store, the oldest first.
func (b *Book) Subscriptions(ctx context.Context, store int64) ([]Subscription, error) {
	var rows []subscriptionRow
	err := b.db.Read(ctx).Select(&rows, `SELECT `+subscriptionColumns+` FROM push_subscription WHERE store_key = ? ORDER BY key`, store)
	list := make([]Subscription, len(rows))
	for i, r := range rows {
		list[i] = r.subscription()
	}
	return list, err
}

// Unsubscribe takes a subscription of a store away; fault.Missing when it has no such one. ifVersion
// refuses any other version.
func (b *Book) Unsubscribe(ctx context.Context, store, key int64, ifVersion *int64) error {
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		if s, err := subscription(tx, store, key); err == nil && ifVersion != nil && s.Version != *ifVersion {
			return fault.New(fault.Stale, "version-mismatch", "the subscription is at version %d, not %d: read it again", s.Version, *ifVersion)
		}
		n, err := tx.Exec(`DELETE FROM push_subscription WHERE key = ? AND store_key = ?`, key, store)
		if err == nil && n == 0 {
			err = fault.Missing("subscription")
		}
		return err
	})
}

// dropSubscription forgets a subscription. What is on its way there finds that out when it is due.
func dropSubscription(tx *db.Tx, key int64) error {
	_, err := tx.Exec(`DELETE FROM push_subscription WHERE key = ?`, key)
	return err
}
