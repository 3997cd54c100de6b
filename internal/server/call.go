package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"doorstep/geo"
	"doorstep/internal/auth"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/order"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// call is one request on its way through a handler.
type call struct {
	*Server
	c      echo.Context
	r      *http.Request
	ctx    context.Context
	route  *route
	id     string // X-Request-Id
	who    auth.Principal
	secret string    // by which who asks: a key, or a session's token
	body   []byte    // read already, when the route is repeatable
	raw    io.Reader // the request's body as it came
	held   int64     // bytes taken of the budget for bodies
	repeat *repeat

	status int // of the answer; 0 while there is none
	answer []byte
	header http.Header
}

// A request id is no secret: its random bits may be drawn 16 ids at a time.
func init() { uuid.EnableRandPool() }

// requestTimeout bounds what is not a stream or an upload.
const requestTimeout = 30 * time.Second

// serve is the one way every request goes: id, principal, repeat, handler, answer.
func (s *Server) serve(r route) echo.HandlerFunc {
	seen := &classes{metrics: s.metrics, method: r.method, path: r.path}
	return func(c echo.Context) (err error) {
		began := time.Now()
		req := c.Request()
		k := &call{Server: s, c: c, r: req, route: &r, id: requestID(req), header: c.Response().Header(), raw: req.Body}
		k.header.Set("X-Request-Id", k.id)
		k.header.Set("X-Content-Type-Options", "nosniff")
		k.header.Set("Referrer-Policy", "no-referrer")
		if s.o.HSTS {
			k.header.Set("Strict-Transport-Security", "max-age=31536000")
		}
		ctx := req.Context()
		if r.kind == plain {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			// A client that asks and does not read must not keep us; streams set their own.
			_ = http.NewResponseController(c.Response()).SetWriteDeadline(began.Add(2 * requestTimeout))
		}
		k.ctx = ctx
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.Log.Error("panic in a handler", "route", r.path, "request_id", k.id, "panic", p, "stack", string(debug.Stack()))
				err = k.write(errors.New("panic"))
			}
			s.bodies.give(k.held)
			seen.observe(c.Response().Status, time.Since(began))
		}()
		return k.write(k.run())
	}
}

func (k *call) run() error {
	if err := k.readable(); err != nil {
		return err
	}
	if err := k.authenticate(); err != nil {
		return err
	}
	if k.r.Method == http.MethodPost && !k.route.ownKeys {
		if name := k.r.Header.Get("Idempotency-Key"); name != "" {
			return k.once(name)
		}
	}
	return k.route.handle(k)
}

// readable refuses paths and parameters that are no text: databases differ in what they make of it.
func (k *call) readable() error {
	text := func(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
	if !text(k.r.URL.Path) {
		return noSuchPath
	}
	if k.r.URL.RawQuery == "" {
		return nil
	}
	for name, values := range k.c.QueryParams() {
		for _, v := range values {
			if !text(name) || !text(v) {
				return malformed("", "not-text", "a query parameter is not text")
			}
		}
	}
	return nil
}

// authenticate finds out who asks, and whether this role may.
func (k *call) authenticate() error {
	if len(k.route.roles) == 0 {
		return k.linkRate()
	}
	who, shown, err := k.identify()
	if err != nil {
		if fault.KindOf(err) == fault.Unauthorized {
			k.header.Set("WWW-Authenticate", "Bearer")
		}
		return err
	}
	if !k.route.allows(who.Role) {
		return fault.New(fault.Forbidden, "forbidden", "the role %s may not do this", who.Role)
	}
	if !k.clients.allow(who.Key, k.DB.Now()) {
		k.header.Set("RateLimit-Policy", fmt.Sprintf(`"key";q=%d;w=1`, requestsPerSecond))
		k.header.Set("RateLimit", `"key";r=0;t=1`)
		return fault.New(fault.Exhausted, "rate-limited", "too many requests at once").After(time.Second)
	}
	k.who, k.secret = who, shown
	k.ctx = event.WithActor(k.ctx, who.Actor())
	return nil
}

// linkRate holds a customer's link to its rate. Real time counts: a sandbox's clock may stand still.
func (k *call) linkRate() error {
	token := k.param("token")
	if token == "" {
		return nil
	}
	key, _, ok := order.ParseLink(k.names, token)
	if ok && !k.links.allow(key, time.Now()) {
		return fault.New(fault.Exhausted, "rate-limited", "too many requests with this link").After(time.Second)
	}
	return nil
}

// reply keeps the answer; write sends it.
func (k *call) reply(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	k.status, k.answer = status, b
	return nil
}

// write sends the answer, or the problem err stands for. Streams have written already.
func (k *call) write(err error) error {
	w := k.c.Response()
	if w.Committed {
		return nil
	}
	if err != nil {
		return k.problem(err)
	}
	if k.status == 0 {
		return nil
	}
	if k.header.Get("Content-Type") == "" {
		k.header.Set("Content-Type", "application/json")
	}
	if k.header.Get("Cache-Control") == "" {
		k.header.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(k.status)
	_, werr := w.Write(k.answer)
	return werr
}

func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); id != "" && len(id) <= 128 && strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-") == "" {
		return id
	}
	return uuid.NewString()
}

// ---- reading requests

const (
	maxJSON   = 1 << 20
	maxUpload = 64 << 20
)

// readAll reads at most limit bytes of the body.
func (k *call) readAll(limit int64) ([]byte, error) {
	if k.body != nil {
		return k.body, nil
	}
	if err := k.hold(limit); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if n := k.r.ContentLength; n > 0 {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(http.MaxBytesReader(k.c.Response(), k.r.Body, limit)); err != nil {
		return nil, bodyError(err, limit)
	}
	return buf.Bytes(), nil
}

// hold makes room for a body of at most limit bytes until the request is answered.
func (k *call) hold(limit int64) error {
	n := k.r.ContentLength
	if n > limit {
		return tooLarge(limit)
	}
	if limit <= maxJSON {
		return nil // the requests under way bound these
	}
	if n < 0 {
		n = limit
	}
	if err := k.bodies.take(n); err != nil {
		return err
	}
	k.held += n
	return nil
}

// drain reads what a refused sender still sends, within bounds: closing on it would reset the
// connection, and the sender would see that instead of the reason.
func (k *call) drain() {
	if k.raw == nil || k.r.Header.Get("Expect") != "" { // who asks first has sent nothing yet
		return
	}
	_ = http.NewResponseController(k.c.Response()).SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, k.raw, drainBytes)
}

const (
	drainTime  = 10 * time.Second
	drainBytes = 128 << 20
)

func bodyError(err error, limit int64) error {
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return tooLarge(limit)
	}
	return fault.New(fault.Malformed, "body-unreadable", "the request body broke off").From(err)
}

func tooLarge(limit int64) error {
	return fault.New(fault.TooLarge, "too-large", "at most %d KiB are read here", limit>>10)
}

// decode reads the JSON body into v, strictly: unknown fields, wrong types and anything behind the
// value are refused, naming the place. An empty body leaves v as it is when the route allows it.
func (k *call) decode(v any) error {
	data, err := k.readAll(maxJSON)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		if k.route.emptyBody {
			return nil
		}
		return fault.New(fault.Malformed, "body-missing", "send a JSON object")
	}
	if t := k.r.Header.Get("Content-Type"); t != "" {
		if kind, _, err := mime.ParseMediaType(t); err != nil || (kind != "application/json" && kind != "text/json" && !strings.HasSuffix(kind, "+json")) {
			return fault.New(fault.Unsupported, "unsupported-media-type", "send application/json, not %q", t)
		}
	}
	if in, ok := v.(*orderIn); ok {
		return orderJSON(data, in)
	}
	return strictJSON(data, v)
}

// ---- paths and queries

// ref is the :id of the path: key is 0 when it is an ext: reference.
func (k *call) ref(prefix, what string) (key int64, external string, err error) {
	raw := k.param("id")
	if ext, ok := strings.CutPrefix(raw, "ext:"); ok && ext != "" {
		return 0, ext, nil
	}
	key, ok := k.names.Parse(prefix, raw)
	if !ok {
		return 0, "", fault.Missing(what)
	}
	return key, "", nil
}

// key is the :id of the path as a name made here; anything else is not found.
func (k *call) key(prefix, what string) (int64, error) {
	key, ok := k.names.Parse(prefix, k.param("id"))
	if !ok {
		return 0, fault.Missing(what)
	}
	return key, nil
}

// param is a part of the path, with percent-encoding undone.
func (k *call) param(name string) string {
	raw := k.c.Param(name)
	if s, err := url.PathUnescape(raw); err == nil {
		return s
	}
	return raw
}

func (k *call) query(name string) string { return k.c.QueryParam(name) }

// statuses reads a comma-separated or repeated status parameter.
func (k *call) statuses(known func(string) bool) ([]string, error) {
	var out []string
	for _, v := range k.c.QueryParams()["status"] {
		for _, s := range strings.Split(v, ",") {
			if s = strings.TrimSpace(s); s == "" {
				continue
			}
			if !known(s) {
				return nil, fault.InvalidField("status", "unknown-value", "%q is not a status", s)
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// page reads limit and cursor.
func (k *call) page() (cursor int64, limit int, err error) {
	limit = 50
	if s := k.query("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 200 {
			return 0, 0, fault.InvalidField("limit", "out-of-range", "limit is 1 to 200")
		}
		limit = n
	}
	if s := k.query("cursor"); s != "" {
		key, ok := k.names.Parse("cur", s)
		if !ok {
			return 0, 0, fault.InvalidField("cursor", "invalid", "send the next_cursor of the page before, as it was")
		}
		cursor = key
	}
	return cursor, limit, nil
}

func (k *call) instant(name string) (time.Time, error) {
	s := k.query(name)
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fault.InvalidField(name, "not-a-time", "a time is like 2026-11-21T10:00:00Z")
	}
	return t, nil
}

// cell is a parameter that names an H3 cell, 0 when it is not there.
func (k *call) cell(name string) (geo.Cell, error) {
	c := k.query(name)
	if c == "" {
		return 0, nil
	}
	cell, err := geo.ParseCell(c)
	if err != nil || cell.Resolution() > geo.MatchRes {
		return 0, fault.InvalidField(name, "invalid", "an H3 cell of resolution 9 or coarser, as 15 hexadecimal digits")
	}
	return cell, nil
}

// yesNo is a parameter that is true or false, nil when it is not there.
func (k *call) yesNo(name string) (*bool, error) {
	s := k.query(name)
	if s == "" {
		return nil, nil
	}
	b := s == "true"
	if !b && s != "false" {
		return nil, fault.InvalidField(name, "unknown-value", "one of true, false")
	}
	return &b, nil
}

// list is the envelope of every list. last is the key of the last row.
type list[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
	HasMore    bool    `json:"has_more"`
}

func newList[T any](names *ident.Names, data []T, more bool, last int64) list[T] {
	l := list[T]{Data: data, HasMore: more}
	if data == nil {
		l.Data = []T{}
	}
	if more {
		c := names.Name("cur", last)
		l.NextCursor = &c
	}
	return l
}

// ifMatch is the version an If-Match header names; nil when there is none or any will do.
func (k *call) ifMatch() (*int64, error) {
	h := k.r.Header.Get("If-Match")
	if h == "" || h == "*" {
		return nil, nil
	}
	v, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(h, "W/"), `"`), 10, 64)
	if err != nil {
		return nil, fault.New(fault.Stale, "version-mismatch", "If-Match is not a version of this object")
	}
	return &v, nil
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

func (k *call) etag(version int64) { k.header.Set("ETag", etag(version)) }

// log is this request's logger: no body, no address, no token ever goes in.
func (k *call) log() *slog.Logger { return k.Log.With("route", k.route.path, "request_id", k.id) }
