package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"doorstep/api"
	"doorstep/internal/auth"
	"doorstep/internal/care"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/dropoff"
	"doorstep/internal/event"
	"doorstep/internal/job"
	"doorstep/internal/match"
	"doorstep/internal/notify"
	"doorstep/internal/order"
	"doorstep/internal/partner"
	"doorstep/internal/prestock"
	"doorstep/internal/privacy"
	"doorstep/internal/server"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// world is a running server over real HTTP, on a real database, with a clock the test moves.
type world struct {
	*testing.T
	clock *dbtest.Clock
	db    *db.DB
	match *match.Book
	jobs  *job.Runner
	srv   *server.Server
	log   *lockedBuffer
	url   string
	admin string
}

// noon is a Monday noon in Nairobi.
var noon = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// story runs f in a fresh world on either engine.
func story(t *testing.T, f func(w *world)) {
	t.Helper()
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(e), func(t *testing.T) { f(newWorld(t, e, server.Options{})) })
	}
}

func newWorld(t *testing.T, e db.Engine, o server.Options) *world {
	t.Helper()
	clock := dbtest.NewClock(noon)
	w := &world{T: t, clock: clock, db: dbtest.Open(t, e, db.Options{Clock: clock.Now}), log: &lockedBuffer{}}
	w.start(o)
	secret, _, err := auth.NewBook(w.db).Create(context.Background(), auth.NewKey{Role: auth.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	w.admin = secret
	return w
}

// start wires a server on w's database, as cmd/doorstep does.
func (w *world) start(o server.Options) {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(w.log, nil))
	stores := partner.NewBook(w.db, partner.StandardDefaults())
	var err error
	if w.match, err = match.NewBook(ctx, w.db, stores, log, nil); err != nil {
		w.Fatal(err)
	}
	plans := prestock.NewBook(w.db, stores)
	events := event.NewLog(w.db)
	told, err := notify.NewBook(ctx, w.db, notify.Options{Loopback: true, Contact: "desk@doorstep.example", Log: log,
		Say: func(ctx context.Context, t notify.Told) (notify.Message, error) {
			n, err := plans.Notice(ctx, t.Store, prestock.Said{Task: t.Subject, Kind: t.Kind})
			return notify.Message{Lang: n.Lang, Title: n.Title, Body: n.Body, After: n.After, Until: n.Until, Moot: n.Moot, Quantity: n.Open()}, err
		}})
	if err != nil {
		w.Fatal(err)
	}
	orders := order.NewBook(w.db)
	erasing := privacy.NewBook(w.db, orders, 180*24*time.Hour)
	drops := dropoff.NewBook(w.db)
	w.jobs = job.New(w.db, log, append(slices.Concat(prestock.Jobs(plans), notify.Jobs(told), dropoff.Jobs(drops)), erasing.Job(),
		job.Job{Name: "archive", Schedule: job.Every(time.Hour), Run: func(ctx context.Context, _ *job.Slot) error {
			_, err := orders.Archive(ctx, w.db.Now().Add(-7*24*time.Hour))
			return err
		}},
		job.Job{Name: "offers", Schedule: job.Every(time.Second), Run: func(ctx context.Context, _ *job.Slot) error { _, err := w.match.ExpireDue(ctx); return err }},
		job.Job{Name: "retry-unassignable", Schedule: job.Every(time.Minute), Run: func(ctx context.Context, _ *job.Slot) error {
			_, err := w.match.RetryUnassignable(ctx)
			return err
		}})...)
	w.srv = server.New(server.Parts{DB: w.db, Keys: auth.NewBook(w.db), Stores: stores, Orders: orders, Match: w.match,
		Dropoff: drops, Care: care.NewBook(w.db), Privacy: erasing, Prestock: plans, Notify: told, Events: events, Jobs: w.jobs, Log: log}, o)
	ts := httptest.NewUnstartedServer(w.srv.Handler())
	ts.Config = w.srv.HTTP()
	ts.Start()
	w.srv.Ready()
	w.url = ts.URL
	w.Cleanup(func() {
		w.srv.Drain()
		ts.Close()
		events.Close()
	})
}

// answer is what came back.
type answer struct {
	w      *world
	status int
	header http.Header
	body   []byte
	what   string
	wrong  bool
}

// contract is api/openapi.yaml, ready to judge requests and answers.
var contract = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(doc)
})

func init() {
	text := func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		b, err := io.ReadAll(body)
		return string(b), err
	}
	for _, kind := range []string{"text/event-stream", "text/html"} {
		openapi3filter.RegisterBodyDecoder(kind, text)
	}
	// The schema of NDJSON is that of one line; the first stands for all.
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		var v any
		return v, json.NewDecoder(body).Decode(&v)
	})
}

// request is one call of the API; every answer is held against the contract, and so is every
// request unless it is wrong on purpose.
type request struct {
	method, path, key string
	body              any // nil, string, []byte, or anything to marshal
	kind              string
	header            map[string]string
	wrong             bool // on purpose, in parts that are answered one by one
}

func (w *world) send(r request) *answer {
	w.Helper()
	var body []byte
	switch b := r.body.(type) {
	case nil:
	case string:
		body = []byte(b)
	case []byte:
		body = b
	default:
		var err error
		if body, err = json.Marshal(b); err != nil {
			w.Fatal(err)
		}
	}
	req, err := http.NewRequest(r.method, w.url+r.path, bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	if r.kind == "" {
		r.kind = "application/json"
	}
	if body != nil {
		req.Header.Set("Content-Type", r.kind)
	}
	if r.key != "" {
		req.Header.Set("Authorization", "Bearer "+r.key)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	a := &answer{w: w, status: res.StatusCode, header: res.Header, what: r.method + " " + r.path, wrong: r.wrong}
	if a.body, err = io.ReadAll(res.Body); err != nil {
		w.Fatal(err)
	}
	a.fits(req, body)
	return a
}

// fits holds an answer, and the request if it was taken, against the contract.
func (a *answer) fits(req *http.Request, body []byte) {
	a.w.Helper()
	if a.status >= 500 && a.status != 503 && a.status != 507 {
		a.w.Errorf("%s answered %d: %s\n%s", a.what, a.status, a.body, a.w.log)
	}
	router, err := contract()
	if err != nil {
		a.w.Fatal(err)
	}
	route, params, err := router.FindRoute(req)
	if err != nil {
		return // wrong on purpose: there is no such path
	}
	if a.status < 400 {
		answered.Store(route.Operation.OperationID, true)
	}
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true}}
	if a.status < 300 && !a.wrong && req.Header.Get("Content-Type") != "image/jpeg" {
		req.Body = io.NopCloser(bytes.NewReader(body))
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			a.w.Errorf("%s was taken but does not fit the contract: %v", a.what, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.status, Header: a.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true}}
	out.SetBodyBytes(a.body)
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		a.w.Errorf("%s answered %d outside the contract: %v\n%s", a.what, a.status, err, a.body)
	}
}

// want checks the status.
func (a *answer) want(status int) *answer {
	a.w.Helper()
	if a.status != status {
		a.w.Fatalf("%s answered %d, want %d: %s", a.what, a.status, status, a.body)
	}
	return a
}

// refused checks status and code of a problem.
func (a *answer) refused(status int, code string) *answer {
	a.w.Helper()
	a.want(status)
	if got := a.text("code"); got != code {
		a.w.Fatalf("%s was refused with %q, want %q: %s", a.what, got, code, a.body)
	}
	return a
}

// names checks that a problem names a field.
func (a *answer) names(pointer string) *answer {
	a.w.Helper()
	var p struct{ Errors []struct{ Pointer string } }
	_ = json.Unmarshal(a.body, &p)
	for _, e := range p.Errors {
		if e.Pointer == pointer {
			return a
		}
	}
	a.w.Fatalf("%s: no error names %q: %s", a.what, pointer, a.body)
	return a
}

// at reads a value by a dotted path: "assignment.id", "data.0.status".
func (a *answer) at(path string) any {
	a.w.Helper()
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.w.Fatalf("%s: %v: %s", a.what, err, a.body)
	}
	for _, p := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[p]
		case []any:
			i := 0
			if _, err := fmt.Sscan(p, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func (a *answer) text(path string) string {
	s, _ := a.at(path).(string)
	return s
}

func (a *answer) number(path string) int {
	f, _ := a.at(path).(float64)
	return int(f)
}

// ---- the calls of the stories

func (w *world) post(key, path string, body any) *answer {
	w.Helper()
	return w.send(request{method: "POST", path: path, key: key, body: body})
}

func (w *world) get(key, path string) *answer {
	w.Helper()
	return w.send(request{method: "GET", path: path, key: key})
}

func (w *world) key(role, store, merchant string) string {
	w.Helper()
	in := m{"role": role}
	if store != "" {
		in["store_id"] = store
	}
	if merchant != "" {
		in["merchant"] = merchant
	}
	return w.post(w.admin, "/v1/keys", in).want(201).text("key")
}

type m = map[string]any

// kilimani is a place in Nairobi; north metres away lies northOf.
var kilimani = m{"lat": -1.2921, "lng": 36.7856}

func northOf(metres float64) m { return m{"lat": -1.2921 + metres/111195, "lng": 36.7856} }

// storeBody is an ordinary shop, changed as the story needs.
func storeBody(name string, change m) m {
	s := m{"external_id": name, "name": name, "location": kilimani, "time_zone": "Africa/Nairobi",
		"opening_hours": "Mo-Su 08:00-20:00", "service_radius_m": 3000,
		"capacity": m{"slot_minutes": 60, "orders_per_slot": 20}, "shelf_units": 500, "auto_accept": true, "offer_timeout_s": 120}
	for k, v := range change {
		s[k] = v
	}
	return s
}

func (w *world) store(name string, change m) string {
	w.Helper()
	return w.post(w.admin, "/v1/stores", storeBody(name, change)).want(201).text("id")
}

// orderBody is an ordinary parcel, changed as the story needs.
func orderBody(change m) m {
	o := m{"parcels": []m{{"weight_g": 800}}, "recipient": m{"name": "Wanjiru Kamau", "phone": "+254712345678"},
		"dropoff": m{"location": kilimani}, "undeliverable_action": "redeliver"}
	for k, v := range change {
		o[k] = v
	}
	return o
}

func (w *world) order(key string, change m) *answer {
	w.Helper()
	return w.post(key, "/v1/orders", orderBody(change)).want(201)
}

func (w *world) stock(store, sku string, units int) {
	w.Helper()
	w.send(request{method: "PUT", path: "/v1/stores/" + store + "/stock", key: w.admin,
		body: m{"items": []m{{"sku": sku, "on_hand": units}}}}).want(200)
}

func (w *world) token(a *answer) string {
	w.Helper()
	_, token, ok := strings.Cut(a.text("tracking_url"), "/t/")
	if !ok {
		w.Fatalf("no tracking link in %s", a.body)
	}
	return token
}
