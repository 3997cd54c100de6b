package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/server"
)

// resolve ends the oldest open incident.
func (w *world) resolve(outcome, note, answer string) *answer {
	w.Helper()
	id := w.get(w.admin, "/v1/incidents?status=open&limit=1").want(200).text("data.0.id")
	return w.post(w.admin, "/v1/incidents/"+id+"/resolve", m{"outcome": outcome, "note": note, "answer": answer}).want(200)
}

// delivered is an order whose parcel was left at the door.
func (w *world) delivered(shop, key string) *answer {
	w.Helper()
	o := w.out(shop, key, nil)
	if a := w.report(key, (&door{w: w, order: o.text("id"), attempt: 1}).contactless(w.photo(key, 3))...); strings.Contains(a.results(), "refused") {
		w.Fatalf("not delivered: %s", a.body)
	}
	return o
}

func TestADisputeGoesToADispatcherAndBack(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key, desk := w.key("merchant", "", "Acme"), w.key("store", id, ""), w.key("dispatcher", "", "")
		o := w.delivered(shop, key)
		order, token := o.text("id"), w.token(o)
		link := "/v1/tracking/" + token
		live := w.follow(link+"/events", "", "")
		live.next()

		// Fifty clicks, one incident.
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { w.post("", link+"/dispute", m{"reason": "lost", "note": "Nothing here."}).want(200) })
		}
		all.Wait()
		if f := live.next(); !strings.Contains(f.data, `"dispute":{"status":"open"`) {
			t.Errorf("live: %s", f.data)
		}
		queue := w.get(desk, "/v1/incidents?status=open").want(200)
		if n := len(queue.at("data").([]any)); n != 1 || queue.text("data.0.order_id") != order || queue.text("data.0.reason") != "lost" || queue.text("data.0.merchant") != "Acme" {
			t.Fatalf("%d in the queue: %s", n, queue.body)
		}
		incident := queue.text("data.0.id")
		path := "/v1/incidents/" + incident

		// The dispatcher has everything on one page.
		file := w.get(desk, path).want(200)
		if file.text("order.id") != order || file.text("order.dispute") != "open" || file.text("order_then.status") != "delivered" || file.text("order_then.evidence_grade") != "B" ||
			file.number("order_then.sequence") == 0 || file.text("remarks.0.text") != "Nothing here." || file.text("attempts.0.grade") != "B" || file.text("story.0.type") != "order.created" {
			t.Errorf("the file: %s", file.body)
		}
		w.get("", file.text("attempts.0.photos.0.url")).want(200)
		for who, k := range map[string]string{"merchant": shop, "store": key} {
			w.get(k, "/v1/incidents").refused(403, "forbidden")
			w.get(k, path).refused(403, "forbidden")
			w.post(k, path+"/resolve", m{"outcome": "upheld"}).refused(403, "forbidden")
			if e := w.get(k, "/v1/orders/"+order); e.text("dispute") != "open" {
				t.Errorf("the %s sees: %s", who, e.body)
			}
		}
		w.get(desk, "/v1/incidents/"+order).refused(404, "not-found")
		w.get(desk, "/v1/incidents?status=lost").want(422).names("status")
		w.get(desk, "/v1/incidents?kind=quarrel").want(422).names("kind")

		resolve := func(body any, match string) *answer {
			header := map[string]string{}
			if match != "" {
				header["If-Match"] = match
			}
			return w.send(request{method: "POST", path: path + "/resolve", key: desk, body: body, header: header})
		}
		resolve(m{}, "").want(422).names("/outcome")
		resolve(m{"outcome": "shrugged"}, "").want(422).names("/outcome")
		resolve(m{"outcome": "answered"}, "").refused(409, "not-allowed-now")
		resolve(m{"outcome": "rejected", "note": strings.Repeat("x", 1001)}, "").want(422).names("/note")
		resolve(m{"outcome": "rejected"}, `"99"`).refused(412, "version-mismatch")
		done := resolve(m{"outcome": "rejected", "note": "The photo shows her door.", "answer": "It lies behind the pots, see the photo."}, file.header.Get("ETag")).want(200)
		if done.text("status") != "rejected" || done.header.Get("ETag") == file.header.Get("ETag") {
			t.Errorf("resolved: %s", done.body)
		}
		if f := live.next(); !strings.Contains(f.data, "behind the pots") || strings.Contains(f.data, "shows her door") {
			t.Errorf("live: %s", f.data)
		}
		if again := resolve(m{"outcome": "rejected"}, file.header.Get("ETag")).want(200); string(again.body) != string(done.body) {
			t.Errorf("again: %s", again.body)
		}
		if a := resolve(m{"outcome": "upheld"}, "").refused(409, "already-resolved"); fmt.Sprint(a.at("allowed")) != "[rejected]" {
			t.Errorf("allowed: %s", a.body)
		}

		// The customer reads the answer, and may object once.
		html := string(w.page(token, nil).want(200).body)
		if !strings.Contains(html, "behind the pots") || !strings.Contains(html, "report it once more") || strings.Contains(html, "shows her door") {
			t.Errorf("the page: %s", html)
		}
		f := &forms{w, token}
		f.back("dispute", url.Values{"reason": {"lost"}, "note": {"Not there either."}}, "reported")
		w.resolve("upheld", "", "You are right.")
		if again := f.again("dispute", url.Values{"reason": {"lost"}, "note": {"And another thing"}}, 409); !strings.Contains(again, "And another thing</textarea>") {
			t.Errorf("decided: %s", again)
		}
		if e := w.get(shop, "/v1/orders/"+order); e.text("dispute") != "upheld" {
			t.Errorf("the merchant sees: %s", e.body)
		}
		told := string(w.get(w.admin, "/v1/events?limit=200").want(200).body)
		for _, kind := range []string{`"subject":"inc_`, "incident.opened", "incident.resolved", "order.disputed", "order.dispute_rejected", "order.dispute_upheld"} {
			if !strings.Contains(told, kind) {
				t.Errorf("the log lacks %s", kind)
			}
		}
		for _, secret := range []string{"Nothing here", "behind the pots", "shows her door"} {
			if strings.Contains(told, secret) || strings.Contains(w.log.String(), secret) {
				t.Errorf("the log tells %q", secret)
			}
		}
	})
}

func TestAMessageReachesAPerson(t *testing.T) {
	story(t, func(w *world) {
		w.store("duka", nil)
		shop, desk := w.key("merchant", "", "Acme"), w.key("dispatcher", "", "")
		token := w.token(w.order(shop, nil))
		f := &forms{w, token}
		f.back("messages", url.Values{"text": {"Can it wait until six?"}}, "sent")
		f.back("messages", url.Values{"text": {"Can it wait until six?"}}, "sent")
		queue := w.get(desk, "/v1/incidents?status=open&kind=message").want(200)
		if len(queue.at("data").([]any)) != 1 || queue.text("data.0.kind") != "message" {
			t.Fatalf("the queue: %s", queue.body)
		}
		w.post(desk, "/v1/incidents/"+queue.text("data.0.id")+"/resolve", m{"outcome": "answered", "answer": "Yes, <b>any</b> time."}).want(200)
		html := string(w.page(token, nil).body)
		if !strings.Contains(html, "Can it wait until six?") || !strings.Contains(html, "Yes, &lt;b&gt;any&lt;/b&gt; time.") {
			t.Errorf("the page: %s", html)
		}
		if a := w.get("", "/v1/tracking/"+token).want(200); a.text("messages.1.from") != "support" || a.at("messages.2") != nil {
			t.Errorf("the talk: %s", a.body)
		}
		if n := len(w.get(desk, "/v1/incidents?status=open").at("data").([]any)); n != 0 {
			t.Errorf("%d are left in the queue", n)
		}
	})
}

func TestAStoreIsRatedByItsCustomers(t *testing.T) {
	story(t, func(w *world) {
		id, other := w.store("duka", nil), w.store("far", m{"location": northOf(9000)})
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		path := "/v1/stores/" + id + "/ratings"
		if a := w.get(w.admin, path).want(200); a.number("store.count") != 0 || a.at("store.mean") != nil {
			t.Errorf("before anybody rated: %s", a.body)
		}
		one, two := "/v1/tracking/"+w.token(w.delivered(shop, key))+"/rating", "/v1/tracking/"+w.token(w.delivered(shop, key))+"/rating"
		w.post("", one, m{"stars": 1, "store_stars": 1}).want(200)
		w.post("", one, m{"stars": 4, "store_stars": 5}).want(200)
		w.post("", two, m{"stars": 5}).want(200)
		a := w.get(key, "/v1/store/ratings").want(200)
		if a.number("store.count") != 1 || a.number("store.mean") != 5 || a.number("delivery.count") != 2 || a.at("delivery.mean") != 4.5 {
			t.Errorf("rated: %s", a.body)
		}
		if b := w.get(key, path).want(200); string(b.body) != string(a.body) {
			t.Errorf("by its id: %s", b.body)
		}
		w.get(key, "/v1/stores/"+other+"/ratings").refused(404, "not-found")
		w.get(shop, path).refused(403, "forbidden")
		w.clock.Advance(30*24*time.Hour - time.Minute)
		w.post("", two, m{"stars": 3}).want(200)
	})
}

// A parcel at the counter waits longer when the customer asks, as often as the merchant allows, and one
// click twice is one click.
func TestTheCounterWaitsLonger(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		o := w.order(shop, m{"dropoff": m{"location": kilimani, "mode": "collect_at_store"}})
		token := w.token(o)
		see := func() *answer { return w.get("", "/v1/tracking/"+token).want(200) }
		f := &forms{w, token}
		f.back("extend-hold", nil, "extend-hold-not-allowed-now")
		w.post("", "/v1/tracking/"+token+"/extend-hold", nil).refused(409, "not-allowed-now")
		for _, action := range []string{"ready", "receive"} {
			w.step(key, o.text("id"), action).want(200)
		}
		first := see()
		until := first.text("hold_until")
		if until == "" || fmt.Sprint(first.at("actions")) != "[extend-hold messages]" || !strings.Contains(string(w.page(token, nil).body), "Kept for you until") {
			t.Errorf("at the counter: %s", first.body)
		}
		seen := url.Values{"hold_until": {until}}
		f.back("extend-hold", seen, "extended")
		f.back("extend-hold", seen, "extended")
		later := see()
		was, _ := time.Parse(time.RFC3339, until)
		if is, _ := time.Parse(time.RFC3339, later.text("hold_until")); !is.Equal(was.Add(3*24*time.Hour)) || fmt.Sprint(later.at("actions")) != "[messages]" {
			t.Errorf("extended: %s", later.body)
		}
		if a := w.post("", "/v1/tracking/"+token+"/extend-hold", m{"hold_until": until}).want(200); a.text("hold_until") != later.text("hold_until") {
			t.Errorf("a repeat: %s", a.body)
		}
		w.post("", "/v1/tracking/"+token+"/extend-hold", m{"hold_until": "soon"}).want(422).names("/hold_until")
		w.post("", "/v1/tracking/"+token+"/extend-hold", nil).refused(409, "no-extension-left")
		f.back("extend-hold", nil, "no-extension-left")

		// The time is over, but the parcel still lies there: whoever comes gets it.
		w.clock.Advance(11 * 24 * time.Hour)
		w.post(w.admin, "/v1/jobs/holds/run", nil).want(200)
		over := see()
		html := string(w.page(token, nil).body)
		if over.text("status") != "enroute_to_return" || over.text("collection_code") == "" || !strings.Contains(html, "is over") || !strings.Contains(html, over.text("collection_code")) {
			t.Errorf("after the hold: %s", html)
		}
	})
}

// What is given against a PIN, a signature, an ID or cash is not left alone, and nobody is offered that.
func TestNobodyIsOfferedWhatCannotBe(t *testing.T) {
	story(t, func(w *world) {
		w.store("duka", nil)
		shop := w.key("merchant", "", "Acme")
		for what, c := range map[string]struct {
			dropoff m
			want    string
		}{
			"nothing":     {m{}, "[leave_at_door safe_place hand_over neighbour collect_at_store]"},
			"a PIN":       {m{"pin_required": true}, "[hand_over neighbour collect_at_store]"},
			"a signature": {m{"signature_required": true}, "[hand_over neighbour collect_at_store]"},
			"an ID":       {m{"id_required": true}, "[hand_over collect_at_store]"},
			"cash":        {m{"cash_on_delivery": m{"amount": 25000, "currency": "KES"}}, "[hand_over neighbour collect_at_store]"},
		} {
			c.dropoff["location"], c.dropoff["mode"] = kilimani, "hand_over"
			token := w.token(w.order(shop, m{"dropoff": c.dropoff}))
			if got := fmt.Sprint(w.get("", "/v1/tracking/"+token).at("modes")); got != c.want {
				t.Errorf("against %s: %s, want %s", what, got, c.want)
			}
			say := func(mode string) *answer {
				return w.post("", "/v1/tracking/"+token+"/instructions", m{"mode": mode, "instructions": "behind the pots"})
			}
			html := string(w.page(token, nil).body)
			for _, mode := range []string{"leave_at_door", "safe_place", "hand_over", "neighbour", "collect_at_store"} {
				offered := strings.Contains(c.want, mode)
				if strings.Contains(html, `value="`+mode+`"`) != offered {
					t.Errorf("against %s the page offers %s: %v", what, mode, !offered)
				}
				if offered {
					say(mode).want(200)
				} else {
					say(mode).want(422).names("/mode")
				}
			}
		}
	})
}

// Whose neighbour took it is told who that was.
func TestTheNeighbourHasIt(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		o := w.out(shop, key, m{"dropoff": m{"location": kilimani, "mode": "neighbour", "instructions": "Mama Otieno, blue door"}})
		d := &doorOf{w, o.text("id")}
		d.report(key, "arrived", m{"location": kilimani})
		d.report(key, "handed_over", m{"name": "Otieno <b>Akinyi"})
		d.report(key, "completed", nil)
		token := w.token(o)
		if a := w.get("", "/v1/tracking/"+token).want(200); a.text("evidence.taken_by") != "Otieno <b>Akinyi" {
			t.Errorf("the JSON: %s", a.body)
		}
		if html := string(w.page(token, nil).body); !strings.Contains(html, "Your neighbour has it") || !strings.Contains(html, "Otieno &lt;b&gt;Akinyi") {
			t.Errorf("the page: %s", html)
		}
	})
}

// The link is the permission; still, no other website sends its forms.
func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	story(t, func(w *world) {
		w.store("duka", nil)
		token := w.token(w.order(w.key("merchant", "", "Acme"), nil))
		send := func(header map[string]string) *answer {
			return w.send(request{method: "POST", path: "/t/" + token + "/instructions", kind: "application/x-www-form-urlencoded", body: "instructions=hello", header: header})
		}
		for _, header := range []map[string]string{{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"},
			{"Sec-Fetch-Site": "cross-site", "Origin": "null"}} {
			a := send(header).want(403)
			if !strings.Contains(string(a.body), "another website") || w.get("", "/v1/tracking/"+token).text("instructions") != "" {
				t.Errorf("%v: %s", header, a.body)
			}
		}
		for _, header := range []map[string]string{{"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Origin": w.url}, {"Origin": "null"}, nil} {
			send(header).want(303)
		}
		w.send(request{method: "POST", path: "/t/" + token + "/instructions", body: m{"instructions": "x"}}).want(415)
		w.send(request{method: "POST", path: "/t/" + token + "/messages", kind: "application/x-www-form-urlencoded", body: "text=" + strings.Repeat("x", 65<<10)}).want(413)
		w.send(request{method: "POST", path: "/t/" + token + "/messages", kind: "application/x-www-form-urlencoded", body: "text=%zz"}).want(400)
	})
}

// A runner is seen on the way to the door and at no other time: not by the JSON, not on the page, not live.
func TestTheRunnerIsSeenOnTheWayOnly(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", m{"location": northOf(600)})
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		where := m{"location": m{"lat": -1.2934, "lng": 36.7813, "accuracy_m": 9}}
		act := func(actions ...string) func(*world, string) {
			return func(w *world, o string) {
				for _, a := range actions {
					w.step(key, o, a).want(200)
				}
			}
		}
		report := func(attempt int, kind string, more m) func(*world, string) {
			return func(w *world, o string) {
				w.clock.Advance(time.Minute)
				if a := w.report(key, (&door{w: w, order: o, attempt: attempt}).event(kind, more)); a.results() != "recorded" {
					w.Fatalf("%s: %s", kind, a.body)
				}
			}
		}
		failed := m{"reason": "customer_unavailable", "location": where["location"]}
		type stop struct {
			does   func(*world, string)
			status string
			seen   bool
		}
		collect := func(w *world, o string) {
			token := w.token(w.get(shop, "/v1/orders/"+o))
			w.post(key, "/v1/orders/"+o+"/collect", m{"code": w.get("", "/v1/tracking/"+token).text("collection_code")}).want(200)
		}
		for name, way := range map[string][]stop{
			"to the door": {{act(), "confirmed", false}, {act("ready"), "ready_for_pickup", false}, {act("pick-up"), "picked_up", true}, {act("depart"), "enroute_to_dropoff", true},
				{report(1, "arrived", where), "arrived_at_dropoff", true}, {report(1, "placed", where), "arrived_at_dropoff", true}, {report(1, "completed", where), "delivered", false}},
			"to the counter": {{act("pick-up", "depart"), "enroute_to_dropoff", true}, {report(1, "failed", failed), "attempt_failed", false}, {act("receive"), "received_at_store", false},
				{collect, "collected", false}},
			"once more": {{act("pick-up", "depart"), "enroute_to_dropoff", true}, {report(1, "failed", failed), "attempt_failed", false}, {act("depart"), "enroute_to_dropoff", true},
				{report(2, "arrived", where), "arrived_at_dropoff", true}},
			"back":        {{act("pick-up", "depart"), "enroute_to_dropoff", true}, {report(1, "failed", failed), "attempt_failed", false}, {act("return"), "enroute_to_return", false}},
			"handed back": {{act("pick-up"), "picked_up", true}, {act("hand-back"), "ready_for_pickup", false}},
		} {
			o := w.order(shop, nil)
			link := "/v1/tracking/" + w.token(o)
			for _, s := range way {
				s.does(w, o.text("id"))
				a := w.get("", link).want(200)
				live := w.follow(link+"/events", "", "")
				frame := live.next()
				live.close()
				page := string(w.page(w.token(o), nil).want(200).body)
				for face, seen := range map[string]bool{"JSON": a.at("runner") != nil, "stream": strings.Contains(frame.data, `"runner":{`), "page": strings.Contains(page, `class="runner`)} {
					if a.text("status") != s.status || seen != s.seen {
						t.Errorf("%s: %s, wanted %s: the runner on the %s: %v", name, a.text("status"), s.status, face, seen)
					}
				}
			}
		}
	})
}

// counted counts what comes over the connections of a client.
type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// A first visit is the page, its style, its script and its icon, as a browser fetches them, with all
// headers: at most 10 KiB on the wire, in every state and language.
func TestAFirstVisitIsLight(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	id := w.store("Duka la Ngong", m{"phone": "+254733000111", "location": northOf(900), "opening_hours": "Mo-Fr 08:00-21:00; Sa,Su 09:00-18:00; PH off"})
	shop, key := w.key("merchant", "", "Kilimani Books"), w.key("store", id, "")
	tokens := map[string]string{}
	order := func(name string, does ...string) string {
		o := w.order(shop, m{"external_id": name, "dropoff": m{"location": kilimani, "instructions": "Blue gate, ring twice"}})
		tokens[name] = w.token(o)
		for _, a := range does {
			w.step(key, o.text("id"), a).want(200)
		}
		return o.text("id")
	}
	order("confirmed")
	order("at the counter", "ready", "receive")
	order("on the way", "pick-up", "depart")
	w.report(key, (&door{w: w, order: order("at the door", "pick-up", "depart"), attempt: 1}).event("arrived", m{"location": m{"lat": -1.2934, "lng": 36.7813, "accuracy_m": 9}}))
	tokens["delivered"] = w.token(w.delivered(shop, key))
	tokens["disputed"] = w.token(w.delivered(shop, key))
	w.post("", "/v1/tracking/"+tokens["disputed"]+"/dispute", m{"reason": "lost"}).want(200)
	w.resolve("rejected", "", "Behind the pots.")
	heaviest, which := int64(0), ""
	for name, token := range tokens {
		for _, lang := range []string{"en", "zh"} {
			if n := w.firstVisit(token, lang); n > heaviest {
				heaviest, which = n, name+" in "+lang
			}
		}
	}
	t.Logf("heaviest first visit: %d bytes on the wire (%s)", heaviest, which)
	if heaviest > 10<<10 {
		t.Errorf("%s: %d bytes, more than 10 KiB", which, heaviest)
	}
}

var ownFile = regexp.MustCompile(`/static/[a-z]+\.[0-9a-f]+\.(css|js|svg)`)

// firstVisit is how many bytes come in for a page and its files.
func (w *world) firstVisit(token, lang string) int64 {
	w.Helper()
	var n atomic.Int64
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return counted{c, &n}, err
	}}}
	defer client.CloseIdleConnections()
	get := func(path, encoding string) string {
		req, err := http.NewRequest("GET", w.url+path, nil)
		if err != nil {
			w.Fatal(err)
		}
		req.Header.Set("Accept-Language", lang)
		if encoding != "" {
			req.Header.Set("Accept-Encoding", encoding)
		}
		res, err := client.Do(req)
		if err != nil {
			w.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 200 {
			w.Fatalf("%s: %d %v", path, res.StatusCode, err)
		}
		return string(body)
	}
	page := get("/t/"+token, "")
	n.Store(0)
	get("/t/"+token, "gzip, deflate, br, zstd")
	for _, file := range ownFile.FindAllString(page, -1) {
		get(file, "gzip, deflate, br, zstd")
	}
	return n.Load()
}
