package server_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/server"
)

// frame is one event of a stream; an empty one is its end.
type frame struct{ id, name, data string }

// live is an open stream.
type live struct {
	w      *world
	res    *http.Response
	frames chan frame
	cancel func()
}

// patience bounds real waiting; nothing here comes near it unless something is wrong.
const patience = 20 * time.Second

// follow opens a stream; last resumes behind that event.
func (w *world) follow(path, key, last string) *live {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", w.url+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	l := &live{w: w, res: res, frames: make(chan frame, 1000), cancel: cancel}
	w.Cleanup(l.close)
	if res.StatusCode != 200 {
		a := &answer{w: w, status: res.StatusCode, header: res.Header, what: "GET " + path}
		a.body, _ = io.ReadAll(res.Body)
		a.fits(req, nil)
		close(l.frames)
		return l
	}
	(&answer{w: w, status: 200, header: res.Header, what: "GET " + path}).fits(req, nil)
	go l.read()
	return l
}

func (l *live) close() { l.cancel(); l.res.Body.Close() }

func (l *live) read() {
	defer close(l.frames)
	var f frame
	lines := bufio.NewScanner(l.res.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case lines.Text() == "":
			if f != (frame{}) {
				l.frames <- f
			}
			f = frame{}
		case name == "id":
			f.id = value
		case name == "event":
			f.name = value
		case name == "data":
			f.data = value
		}
	}
}

// next is the next frame.
func (l *live) next() frame {
	l.w.Helper()
	select {
	case f := <-l.frames:
		return f
	case <-time.After(patience):
		l.w.Fatal("the stream says nothing")
		return frame{}
	}
}

// status is that of the tracking object a frame carries.
func (f frame) status() string {
	var x struct{ Status string }
	_ = json.Unmarshal([]byte(f.data), &x)
	return x.Status
}

func (w *world) page(token string, header map[string]string) *answer {
	w.Helper()
	return w.send(request{method: "GET", path: "/t/" + token, header: header})
}

func (w *world) form(path string, fields url.Values) *answer {
	w.Helper()
	return w.send(request{method: "POST", path: path, kind: "application/x-www-form-urlencoded", body: fields.Encode()})
}

func TestTheCustomerFollowsAParcel(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("Duka la Ngong", m{"phone": "+254733000111", "location": northOf(600)})
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		photo := w.photo(key, 9)
		door := m{"lat": -1.2934567, "lng": 36.7812345}
		o := w.order(shop, m{"external_id": "A-77", "dropoff": m{"location": door, "address": m{"line1": "14 Secret Lane"}, "instructions": "Blue gate"}})
		order, token := o.text("id"), w.token(o)
		see := func() *answer { return w.get("", "/v1/tracking/"+token).want(200) }
		actions := func() string { return fmt.Sprint(see().at("actions")) }

		a := see()
		if a.text("status") != "confirmed" || a.text("merchant") != "Acme" || a.text("store_name") != "Duka la Ngong" || a.text("instructions") != "Blue gate" ||
			a.at("runner") != nil || a.at("evidence") != nil || a.at("pin") != nil || a.text("h3_cell") == o.text("h3_cell") {
			t.Errorf("at first: %s", a.body)
		}
		if actions() != "[instructions messages]" {
			t.Errorf("what may be done at first: %s", actions())
		}
		private := func(when string) {
			for what, text := range map[string]string{"JSON": string(see().body), "page": string(w.page(token, nil).want(200).body)} {
				for _, secret := range []string{"+254712345678", "712345678", "Wanjiru", "14 Secret Lane", "-1.2934567", "36.7812345", "-1.29345", "36.78123", order} {
					if strings.Contains(text, secret) {
						t.Errorf("the %s %s tells %q", what, when, secret)
					}
				}
				if what == "JSON" && strings.Contains(text, "+254733000111") {
					t.Errorf("the JSON %s tells the store's phone", when)
				}
			}
		}
		private("at first")

		// Until pick-up the customer says what to do at the door.
		say := func(body any) *answer { return w.post("", "/v1/tracking/"+token+"/instructions", body) }
		if a := say(m{"instructions": "Green gate <b>now</b>"}).want(200); a.text("instructions") != "Green gate <b>now</b>" {
			t.Errorf("new instructions: %s", a.body)
		}
		if p := string(w.page(token, nil).body); strings.Contains(p, "<b>now") || !strings.Contains(p, "Green gate") {
			t.Error("the page shows instructions as they came")
		}
		say(m{}).want(422).names("/instructions")
		say(m{"instructions": strings.Repeat("x", 501)}).want(422).names("/instructions")
		say(m{"instructions": "x", "mode": "throw"}).want(422).names("/mode")
		say(m{"instructions": 7}).want(400).names("/instructions")
		w.post("", "/v1/tracking/"+token+"/retrieved", nil).refused(409, "not-allowed-now")
		w.post("", "/v1/tracking/"+token+"/dispute", m{"reason": "item_missing"}).refused(409, "not-allowed-now")
		w.post("", "/v1/tracking/"+token+"/rating", m{"stars": 5}).refused(409, "not-allowed-now")

		w.step(key, order, "ready").want(200)
		if see().at("runner") != nil {
			t.Error("a runner before pick-up")
		}
		w.step(key, order, "pick-up").want(200)
		say(m{"instructions": "too late"}).refused(409, "too-late")
		if a := see(); a.at("runner") == nil || actions() != "[messages]" {
			t.Errorf("picked up: %s", a.body)
		}
		w.step(key, order, "depart").want(200)
		d := &doorOf{w, order}
		d.report(key, "arrived", m{"location": m{"lat": -1.2934, "lng": 36.7813, "accuracy_m": 9}})
		if a := see(); a.text("status") != "arrived_at_dropoff" || a.at("runner.location.lat") != -1.2934 {
			t.Errorf("at the door: %s", a.body)
		}
		w.post("", "/v1/tracking/"+token+"/retrieved", nil).refused(409, "not-allowed-now")
		d.report(key, "placed", m{"photo_sha256": photo})
		if actions() != "[retrieved messages]" {
			t.Errorf("what may be done once it is put down: %s", actions())
		}
		d.report(key, "stepped_away", m{"method": "photo_from_distance", "distance_m": 3})
		d.report(key, "completed", nil)
		b := see()
		if b.text("status") != "delivered" || b.at("runner") != nil || b.text("evidence.grade") != "B" || actions() != "[retrieved dispute rating messages]" {
			t.Errorf("delivered: %s", b.body)
		}
		private("at the end")
		w.get("", b.text("evidence.photos.0.url")).want(200)

		// "I have it" makes it grade A; a second time changes nothing.
		c := w.post("", "/v1/tracking/"+token+"/retrieved", nil).want(200)
		if c.text("evidence.grade") != "A" || actions() != "[dispute rating messages]" {
			t.Errorf("retrieved: %s", c.body)
		}
		w.post("", "/v1/tracking/"+token+"/retrieved", nil).want(200)
		if e := w.get(shop, "/v1/orders/"+order); e.text("evidence_grade") != "A" {
			t.Errorf("the merchant's view: %s", e.body)
		}

		rate := func(body any) *answer { return w.post("", "/v1/tracking/"+token+"/rating", body) }
		rate(m{"stars": 5, "comment": "Rang and waited."}).want(200)
		if a := rate(m{"stars": 4, "store_stars": 3}).want(200); a.number("rating.stars") != 4 || a.number("rating.store_stars") != 3 || a.text("rating_until") == "" {
			t.Errorf("rated: %s", a.body)
		}
		rate(m{}).want(422).names("/stars")
		rate(m{"stars": 0}).want(422).names("/stars")
		rate(m{"store_stars": 9}).want(422).names("/store_stars")
		rate(m{"stars": 6}).want(422).names("/stars")
		rate(m{"stars": 4.5}).want(400).names("/stars")
		rate(m{"stars": 4, "comment": strings.Repeat("x", 501)}).want(422).names("/comment")
		write := func(body any) *answer { return w.post("", "/v1/tracking/"+token+"/messages", body) }
		if m := write(m{"text": "Thank you!"}).want(201); m.text("text") != "Thank you!" || m.text("recorded_at") == "" {
			t.Errorf("a message: %s", m.body)
		}
		if a := see(); a.text("messages.0.from") != "customer" || a.text("messages.0.text") != "Thank you!" {
			t.Errorf("the talk: %s", a.body)
		}
		write(m{}).want(422).names("/text")
		write(m{"text": strings.Repeat("x", 1001)}).want(422).names("/text")
		dispute := func(body any) *answer { return w.post("", "/v1/tracking/"+token+"/dispute", body) }
		dispute(m{}).want(422).names("/reason")
		dispute(m{"reason": "bored"}).want(422).names("/reason")
		w.clock.Advance(48 * time.Hour)
		if a := dispute(m{"reason": "item_missing", "note": "One of two bottles."}).want(200); a.text("dispute.status") != "open" || a.text("dispute.reason") != "item_missing" ||
			fmt.Sprint(a.at("actions")) != "[withdraw-dispute rating messages]" {
			t.Errorf("disputed: %s", a.body)
		}
		if e := w.get(shop, "/v1/orders/"+order); e.text("dispute") != "open" {
			t.Errorf("the merchant's view: %s", e.body)
		}
		w.clock.Advance(time.Second)
		if a := w.post("", "/v1/tracking/"+token+"/withdraw-dispute", nil).want(200); a.at("dispute") != nil || a.at("dispute_until") != nil {
			t.Errorf("withdrawn: %s", a.body)
		}
		w.post("", "/v1/tracking/"+token+"/withdraw-dispute", nil).want(200)
		dispute(m{"reason": "item_missing"}).refused(409, "too-late")
		if actions() != "[rating messages]" {
			t.Errorf("what may be done after two days: %s", actions())
		}
		told := string(w.get(shop, "/v1/orders/"+order+"/events").want(200).body)
		for _, kind := range []string{"order.rated", "order.message_received", "order.disputed", "dropoff.retrieved", "order.instructions_changed"} {
			if !strings.Contains(told, kind) {
				t.Errorf("the story lacks %s: %s", kind, told)
			}
		}
		if strings.Contains(w.log.String(), token) || strings.Contains(w.log.String(), "712345678") {
			t.Error("the log holds a link or a phone number")
		}
	})
}

// doorOf reports one event at a time, each a moment later.
type doorOf struct {
	w     *world
	order string
}

func (d *doorOf) report(key, kind string, more m) {
	d.w.Helper()
	d.w.clock.Advance(time.Minute)
	one := &door{w: d.w, order: d.order, attempt: 1}
	if a := d.w.report(key, one.event(kind, more)); a.results() != "recorded" {
		d.w.Fatalf("%s: %s", kind, a.body)
	}
}

func TestDeadLinksAllLookTheSame(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		expired := w.order(shop, nil)
		w.post(shop, "/v1/orders/"+expired.text("id")+"/cancel", m{"reason": "cancelled_by_merchant"}).want(200)
		w.clock.Advance(30*24*time.Hour - time.Second)
		w.get("", "/v1/tracking/"+w.token(expired)).want(200)
		w.clock.Advance(2 * time.Second)

		o := w.order(shop, nil)
		old := w.token(o)
		w.post(w.key("merchant", "", "Other"), "/v1/orders/"+o.text("id")+"/tracking-link/revoke", nil).refused(404, "not-found")
		w.post(key, "/v1/orders/"+o.text("id")+"/tracking-link/revoke", nil).refused(403, "forbidden")
		// An answer that was stored for repeats dies with the link.
		keyed := func(token string) *answer {
			return w.send(request{method: "POST", path: "/v1/tracking/" + token + "/instructions", body: m{"instructions": "Blue gate"},
				header: map[string]string{"Idempotency-Key": "1"}})
		}
		keyed(old).want(200)
		if a := keyed(old).want(200); a.header.Get("Idempotency-Replayed") != "true" {
			t.Error("the same request again was not a repeat")
		}
		// Two customers may use one key.
		keyed(w.token(w.order(shop, nil))).want(200)
		fresh := w.token(w.post(shop, "/v1/orders/"+o.text("id")+"/tracking-link/revoke", nil).want(200))
		if fresh == old {
			t.Fatal("the link is the old one")
		}
		w.get("", "/v1/tracking/"+fresh).want(200)
		keyed(old).refused(404, "not-found")

		forged := []byte(fresh)
		forged[len(forged)-1] ^= 1
		dead := []string{w.token(expired), old, string(forged), strings.Repeat("A", len(fresh)), fresh[:len(fresh)-1], "x"}
		var page, body string
		variable := regexp.MustCompile(`"(instance|request_id)":"[^"]*"`)
		for i, token := range dead {
			a := w.get("", "/v1/tracking/"+token).refused(404, "not-found")
			p := w.page(token, nil).want(404)
			if i == 0 {
				page, body = string(p.body), variable.ReplaceAllString(string(a.body), "")
				if !strings.HasPrefix(p.header.Get("Content-Type"), "text/html") || !strings.Contains(page, "<h1") {
					t.Errorf("no page for people: %s", page)
				}
			}
			if string(p.body) != page || variable.ReplaceAllString(string(a.body), "") != body {
				t.Errorf("dead link %d looks different: %s", i, a.body)
			}
			for path, in := range map[string]any{"retrieved": nil, "instructions": m{"instructions": "x"}, "rating": m{"stars": 5},
				"dispute": m{"reason": "lost"}, "messages": m{"text": "x"}, "extend-hold": nil, "withdraw-dispute": nil} {
				w.post("", "/v1/tracking/"+token+"/"+path, in).refused(404, "not-found")
			}
			w.get("", "/v1/tracking/"+token+"/events").refused(404, "not-found")
			if f := w.form("/t/"+token+"/instructions", url.Values{"instructions": {"x"}}).want(404); string(f.body) != page {
				t.Errorf("the form of dead link %d: %s", i, f.body)
			}
			for _, action := range []string{"retrieved", "extend-hold", "dispute", "withdraw-dispute", "rating", "messages"} {
				w.form("/t/"+token+"/"+action, nil).want(404)
			}
		}
	})
}

func TestThePageWorksWithoutJavaScript(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("Duka la Ngong", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		o := w.order(shop, nil)
		order, token := o.text("id"), w.token(o)
		p := w.page(token, nil).want(200)
		for name, want := range map[string]string{
			"Content-Type":            "text/html; charset=utf-8",
			"Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
			"Referrer-Policy":         "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
		} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		html := string(p.body)
		if !strings.Contains(html, "Duka la Ngong") || !strings.Contains(html, `action="/t/`+token+`/instructions"`) || strings.Contains(html, "style=") || strings.Contains(html, "<script>") {
			t.Errorf("the page: %s", html)
		}
		if zh := string(w.page(token, map[string]string{"Accept-Language": "zh-CN,zh;q=0.9"}).want(200).body); !strings.Contains(zh, `lang="zh-Hans"`) {
			t.Error("no Chinese page")
		}

		// Go's client asks for gzip and unpacks it by itself, unless it is asked for by hand.
		z := w.page(token, map[string]string{"Accept-Encoding": "gzip"}).want(200)
		zip, err := gzip.NewReader(bytes.NewReader(z.body))
		if err != nil || z.header.Get("Content-Encoding") != "gzip" || !strings.Contains(z.header.Get("Vary"), "Accept-Encoding") {
			t.Fatalf("no gzip: %v %v", err, z.header)
		}
		if plain, err := io.ReadAll(zip); err != nil || !strings.Contains(string(plain), "Duka la Ngong") {
			t.Errorf("unzipped: %v", err)
		}
		files := regexp.MustCompile(`/static/[a-z]+\.[0-9a-f]+\.(css|js|svg)`).FindAllString(html, -1)
		if len(files) < 2 {
			t.Errorf("the page's files: %v", files)
		}
		for _, f := range files {
			a := w.get("", f).want(200)
			if a.header.Get("Content-Type") == "" || !strings.Contains(a.header.Get("Cache-Control"), "immutable") || len(a.body) == 0 {
				t.Errorf("%s: %v", f, a.header)
			}
		}
		w.get("", "/static/tracking.css").refused(404, "no-such-path")
		w.get("", "/static/..%2Fweb.go").refused(404, "no-such-path")
		for _, path := range []string{"/nothing/here", "/docs/nothing"} {
			page := w.send(request{method: "GET", path: path, header: map[string]string{"Accept": "text/html,*/*;q=0.8", "Accept-Language": "en"}}).want(404)
			if !strings.Contains(string(page.body), "This link leads nowhere now") {
				t.Errorf("a browser is told at %s: %s", path, page.body)
			}
			w.get("", path).refused(404, "no-such-path")
		}
		if home := w.get("", "/").want(200); !strings.Contains(home.header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("home: %v", home.header)
		}

		// The forms lead back to the page, which says how it went; one that was refused is shown as it was typed.
		f := &forms{w, token}
		write := func(text string) url.Values { return url.Values{"instructions": {text}, "mode": {"hand_over"}} }
		f.back("instructions", write("Ring twice,\r\nthen wait"), "saved")
		if a := w.get("", "/v1/tracking/"+token); a.text("instructions") != "Ring twice,\nthen wait" || a.text("mode") != "hand_over" {
			t.Errorf("after the form: %s", a.body)
		}
		long := strings.Repeat("x", 501)
		if again := f.again("instructions", write(long), 422); !strings.Contains(again, long) || !strings.Contains(again, "at most 500 characters") ||
			!strings.Contains(again, `value="hand_over" checked`) {
			t.Errorf("what was typed is gone: %s", again)
		}
		f.again("instructions", url.Values{"instructions": {""}, "mode": {"safe_place"}}, 422)
		f.back("retrieved", nil, "retrieved-not-allowed-now")
		if html := string(w.get("", "/t/"+token+"?notice=<script>").want(200).body); strings.Contains(html, "<script>") || strings.Contains(html, `class="notice`) {
			t.Error("a notice nobody wrote is shown")
		}
		for _, action := range []string{"pick-up", "depart"} {
			w.step(key, order, action).want(200)
		}
		if again := f.again("instructions", write("Ring thrice"), 409); !strings.Contains(again, "already been picked up") || !strings.Contains(again, `action="/t/`+token+`/messages"`) ||
			!strings.Contains(again, "Ring thrice</textarea>") {
			t.Errorf("too late for instructions, not for a message: %s", again)
		}
		f.back("messages", url.Values{"text": {"Ring thrice"}}, "sent")
		f.again("messages", url.Values{"text": {" "}}, 422)
		f.again("dispute", url.Values{"reason": {"lost"}, "note": {"where is it"}}, 409)
		f.back("rating", url.Values{"stars": {"5"}}, "rating-not-allowed-now")
		d := &doorOf{w, order}
		d.report(key, "handed_over", nil)
		if html := string(w.page(token, nil).body); !strings.Contains(html, `action="/t/`+token+`/retrieved"`) {
			t.Error("no button to say that it is there")
		}
		f.back("retrieved", nil, "thanks")
		d.report(key, "completed", nil)
		if a := w.get(shop, "/v1/orders/"+order); a.text("evidence_grade") != "A" || a.text("status") != "delivered" {
			t.Errorf("at the end: %s", a.body)
		}
		f.back("rating", url.Values{"stars": {"5"}, "store_stars": {"4"}, "comment": {"Rang and waited."}}, "rated")
		if again := f.again("rating", url.Values{"comment": {"No stars, many words"}}, 422); !strings.Contains(again, "No stars, many words") || !strings.Contains(again, "at least one of the two") {
			t.Errorf("a rating without stars: %s", again)
		}
		f.again("rating", url.Values{"stars": {"many"}}, 422)
		if again := f.again("dispute", url.Values{"note": {"One bottle of two"}}, 422); !strings.Contains(again, "One bottle of two") || !strings.Contains(again, "choose what is wrong") {
			t.Errorf("a report without a reason: %s", again)
		}
		f.back("dispute", url.Values{"reason": {"item_missing"}, "note": {"One bottle of two"}}, "reported")
		if html := string(w.page(token, nil).body); !strings.Contains(html, "looking into it") || !strings.Contains(html, `action="/t/`+token+`/withdraw-dispute"`) ||
			strings.Contains(html, `action="/t/`+token+`/dispute"`) {
			t.Errorf("an open report: %s", html)
		}
		f.back("withdraw-dispute", nil, "withdrawn")
		// A parcel kept at the store is never called delivered.
		kept := w.order(shop, nil)
		w.step(key, kept.text("id"), "ready").want(200)
		w.step(key, kept.text("id"), "receive").want(200)
		code := w.get("", "/v1/tracking/"+w.token(kept)).text("collection_code")
		if html := string(w.page(w.token(kept), nil).body); !strings.Contains(html, code) || strings.Contains(strings.ToLower(html), "delivered") {
			t.Errorf("kept at the store: %s", html)
		}
	})
}

// forms fills in the forms of a customer's page.
type forms struct {
	w     *world
	token string
}

// back sends a form that leads back to the page with a notice.
func (f *forms) back(action string, fields url.Values, notice string) {
	f.w.Helper()
	a := f.w.form("/t/"+f.token+"/"+action, fields).want(303)
	want := "/t/" + f.token + "?notice=" + notice
	if a.header.Get("Location") != want {
		f.w.Fatalf("back to %q, want %q", a.header.Get("Location"), want)
	}
	if html := string(f.w.get("", want).want(200).body); !strings.Contains(html, `class="notice`) {
		f.w.Errorf("the page says nothing about %s", notice)
	}
}

// again sends a form that is refused, and gives the page that says so.
func (f *forms) again(action string, fields url.Values, status int) string {
	f.w.Helper()
	a := f.w.form("/t/"+f.token+"/"+action, fields).want(status)
	html := string(a.body)
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || !strings.Contains(html, `class="notice bad"`) {
		f.w.Errorf("%s says nothing about why: %s", action, html)
	}
	return html
}

func TestTheCustomerFollowsLive(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		o, other := w.order(shop, nil), w.order(shop, nil)
		order, token := o.text("id"), w.token(o)
		l := w.follow("/v1/tracking/"+token+"/events", "", "")
		if kind := l.res.Header.Get("Content-Type"); kind != "text/event-stream" {
			t.Errorf("a stream of %s", kind)
		}
		first := l.next()
		if first.status() != "confirmed" || first.id == "" || first.name != "" {
			t.Errorf("at once: %+v", first)
		}
		w.step(key, order, "ready").want(200)
		ready := l.next()
		if ready.status() != "ready_for_pickup" || ready.id == first.id {
			t.Errorf("live: %+v", ready)
		}
		l.close()

		// What happened meanwhile comes at once, in one frame; nothing twice, nothing of other orders.
		w.step(key, other.text("id"), "ready").want(200)
		w.step(key, order, "pick-up").want(200)
		w.step(key, order, "depart").want(200)
		l = w.follow("/v1/tracking/"+token+"/events", "", ready.id)
		ids := map[string]bool{first.id: true, ready.id: true}
		resumed := l.next()
		if ids[resumed.id] || resumed.status() != "enroute_to_dropoff" {
			t.Errorf("resumed: %+v", resumed)
		}
		ids[resumed.id] = true
		w.report(key, (&door{w: w, order: order, attempt: 1}).event("arrived", nil))
		if f := l.next(); ids[f.id] || f.status() != "arrived_at_dropoff" {
			t.Errorf("live again: %+v", f)
		}
		w.get("", "/v1/tracking/"+token+"/events?after=yesterday").want(422)

		// A link that is revoked shows nothing more.
		dead := w.follow("/v1/tracking/"+w.token(other)+"/events", "", "")
		if f := dead.next(); f.status() != "ready_for_pickup" {
			t.Errorf("the other: %+v", f)
		}
		w.post(shop, "/v1/orders/"+other.text("id")+"/tracking-link/revoke", nil).want(200)
		if f := dead.next(); f != (frame{}) {
			t.Errorf("after the link died: %+v", f)
		}
	})
}

func TestStreamsAreCappedAndSayGoodbye(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(e), func(t *testing.T) {
			w := newWorld(t, e, server.Options{MaxStreams: 2})
			w.store("duka", nil)
			token := w.token(w.order(w.key("merchant", "", "Acme"), nil))
			one := w.follow("/v1/tracking/"+token+"/events", "", "")
			two := w.follow("/v1/events/stream", w.admin, "")
			one.next()
			for _, r := range []request{{path: "/v1/tracking/" + token + "/events"}, {path: "/v1/events/stream", key: w.admin}} {
				r.method = "GET"
				if a := w.send(r).refused(503, "too-many-streams"); a.header.Get("Retry-After") == "" {
					t.Error("not said when to come back")
				}
			}
			// A place that is left is free again.
			one.close()
			deadline := time.Now().Add(patience)
			for one = w.follow("/v1/tracking/"+token+"/events", "", ""); one.res.StatusCode != 200; one = w.follow("/v1/tracking/"+token+"/events", "", "") {
				if time.Now().After(deadline) {
					t.Fatal("a place that was left stays taken")
				}
			}
			w.get("", "/readyz").want(200)
			w.srv.Drain()
			for _, l := range []*live{one, two} {
				f := l.next()
				for f.name == "" && f != (frame{}) {
					f = l.next()
				}
				if f.name != "goodbye" {
					t.Errorf("at the end: %+v", f)
				}
				if f := l.next(); f != (frame{}) {
					t.Errorf("after the goodbye: %+v", f)
				}
			}
			w.get("", "/readyz").refused(503, "not-ready")
			w.get("", "/healthz").want(200)
		})
	}
}
