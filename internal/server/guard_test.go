package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/server"
)

// Stories of what callers must not be able to do to each other.

func TestAStoreCannotLiftItsSuspension(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		key := w.key("store", id, "")
		for _, status := range []string{"suspended", "closed"} {
			w.patch(w.admin, "/v1/stores/"+id, m{"status": status}, nil).want(200)
			version := w.get(key, "/v1/store").header.Get("ETag")
			w.patch(key, "/v1/store", m{"status": "active"}, nil).refused(409, "store-"+status)
			w.patch(key, "/v1/store", m{"status": "busy"}, map[string]string{"If-Match": version}).refused(409, "store-"+status)
			w.patch(key, "/v1/store", m{"phone": "+254733000111"}, nil).want(200)
			if a := w.get(key, "/v1/store"); a.text("status") != status {
				t.Errorf("it lifted it: %s", a.body)
			}
		}
		w.patch(w.admin, "/v1/stores/"+id, m{"status": "active"}, nil).want(200)
		w.patch(key, "/v1/store", m{"status": "busy"}, nil).want(200)
		w.patch(key, "/v1/store", m{"status": "active"}, map[string]string{"If-Match": `"1"`}).refused(412, "version-mismatch")
	})
}

// personal is an order full of what strangers must not read.
var personal = m{"external_id": "SECRET-1", "tags": []string{"diabetic"},
	"dropoff": m{"location": m{"lat": -1.2934567, "lng": 36.7812345}, "address": m{"line1": "14 Secret Lane"}, "instructions": "Key under the mat"}}

func TestAStoreReadsOnlyWhatItNeeds(t *testing.T) {
	story(t, func(w *world) {
		shop := w.key("merchant", "", "Acme")
		one := w.store("one", m{"location": northOf(100), "auto_accept": false})
		two := w.store("two", m{"location": northOf(300), "auto_accept": false})
		keyOne, keyTwo := w.key("store", one, ""), w.key("store", two, "")
		o := w.order(shop, personal)
		order := o.text("id")
		silent := func(when string, a *answer, secrets ...string) {
			t.Helper()
			for _, s := range append(secrets, "712345678", "Wanjiru", "Secret Lane", "-1.29345", "36.78123", "under the mat") {
				if strings.Contains(string(a.want(200).body), s) {
					t.Errorf("%s it reads %q: %s", when, s, a.body)
				}
			}
		}
		silent("while asked", w.get(keyOne, "/v1/orders/"+order))
		silent("while asked", w.get(keyOne, "/v1/orders"))
		offers := w.get(keyOne, "/v1/assignments")
		silent("while asked", offers)
		asg := offers.text("data.0.id")
		if offers.text("data.0.order.external_id") != "SECRET-1" {
			t.Errorf("the merchant's number of an offer: %s", offers.body)
		}

		silent("having declined", w.post(keyOne, "/v1/assignments/"+asg+"/decline", m{"reason": "capacity_exceeded"}), "SECRET-1", "diabetic")
		second := w.get(keyTwo, "/v1/assignments").text("data.0.id")
		taken := w.post(keyTwo, "/v1/assignments/"+second+"/accept", nil).want(200)
		for path, want := range map[string]any{"recipient.name": "Wanjiru Kamau", "recipient.phone": "+254712345678",
			"dropoff.location.lat": -1.2934567, "dropoff.address.line1": "14 Secret Lane", "dropoff.instructions": "Key under the mat", "external_id": "SECRET-1"} {
			if got := taken.at("order." + path); got != want {
				t.Errorf("having taken it, %s is %v", path, got)
			}
		}
		for _, action := range []string{"ready", "pick-up"} {
			w.step(keyTwo, order, action).want(200)
		}
		past := w.get(keyOne, "/v1/assignments?status=declined")
		silent("long after it declined", past, "SECRET-1", "diabetic", "picked_up")
		if past.text("data.0.order.status") != "created" || past.at("data.0.order.store") != nil {
			t.Errorf("long after it declined: %s", past.body)
		}

		// The story so far: the second store does not learn who said no and why.
		told := w.get(keyTwo, "/v1/orders/"+order+"/events").want(200)
		for _, secret := range []string{one, asg, "capacity_exceeded"} {
			if strings.Contains(string(told.body), secret) {
				t.Errorf("a store reads %q of another: %s", secret, told.body)
			}
		}
		if !strings.Contains(string(told.body), `"store_id":"`+two) || told.text("data.0.data.status") != "created" {
			t.Errorf("a store's own part of the story: %s", told.body)
		}
		if all := string(w.get(shop, "/v1/orders/"+order+"/events").body); !strings.Contains(all, one) || !strings.Contains(all, "capacity_exceeded") {
			t.Errorf("the merchant's story: %s", all)
		}

		// Superseded: it was confirmed here, and what follows is not shown.
		b := w.order(shop, personal2())
		first := w.get(keyOne, "/v1/assignments").text("data.0.id")
		w.post(keyOne, "/v1/assignments/"+first+"/accept", nil).want(200)
		w.post(w.admin, "/v1/orders/"+b.text("id")+"/reassign", m{"store_id": two}).want(200)
		lost := w.get(keyOne, "/v1/assignments?status=superseded")
		silent("superseded", lost, "SECRET-2")
		if lost.text("data.0.order.status") != "confirmed" {
			t.Errorf("superseded: %s", lost.body)
		}
	})
}

func personal2() m {
	p := m{}
	for k, v := range personal {
		p[k] = v
	}
	p["external_id"] = "SECRET-2"
	return p
}

func TestAStreamEndsWithItsKey(t *testing.T) {
	story(t, func(w *world) {
		end := func(l *live) {
			t.Helper()
			f := l.next()
			for f.name != "goodbye" && f != (frame{}) {
				f = l.next()
			}
			if f.name != "goodbye" {
				t.Errorf("the stream did not say goodbye")
			}
			if f := l.next(); f != (frame{}) {
				t.Errorf("after the goodbye: %+v", f)
			}
		}
		revoked := w.post(w.admin, "/v1/keys", m{"role": "dispatcher"}).want(201)
		l := w.follow("/v1/events/stream", revoked.text("key"), "")
		w.store("before", nil)
		if f := l.next(); f.name != "store.created" {
			t.Fatalf("first: %+v", f)
		}
		w.post(w.admin, "/v1/keys/"+revoked.text("id")+"/revoke", nil).want(200)
		secret := w.store("after", nil)
		f := l.next()
		for ; f.name != "goodbye" && f != (frame{}); f = l.next() {
			t.Errorf("a revoked key still reads %s of %s", f.data, secret)
		}
		if f.name != "goodbye" {
			t.Errorf("at its end: %+v", f)
		}

		// Nothing happens: the stream ends all the same.
		quiet := w.post(w.admin, "/v1/keys", m{"role": "dispatcher"}).want(201)
		l = w.follow("/v1/events/stream", quiet.text("key"), "")
		w.post(w.admin, "/v1/keys/"+quiet.text("id")+"/revoke", nil).want(200)
		end(l)
		until := w.clock.Now().Add(time.Minute).Format(time.RFC3339)
		l = w.follow("/v1/events/stream", w.post(w.admin, "/v1/keys", m{"role": "dispatcher", "expires_at": until}).want(201).text("key"), "")
		w.clock.Advance(2 * time.Minute)
		end(l)
	})
}

func TestLinksLeavePlacesToKeys(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{MaxStreams: 10})
	w.store("duka", nil)
	shop := w.key("merchant", "", "Acme")
	var tokens []string
	for range 4 {
		tokens = append(tokens, w.token(w.order(shop, nil)))
	}
	open := func(i int) {
		t.Helper()
		if l := w.follow("/v1/tracking/"+tokens[i]+"/events", "", ""); l.res.StatusCode != 200 {
			t.Fatalf("link %d: %d", i, l.res.StatusCode)
		}
	}
	refuse := func(i int) {
		t.Helper()
		w.get("", "/v1/tracking/"+tokens[i]+"/events").refused(503, "too-many-streams")
	}
	for range 4 {
		open(0)
	}
	refuse(0) // one link has had its share, the next has not
	for range 4 {
		open(1)
	}
	open(2)
	refuse(3) // nine of ten places are the links'
	if l := w.follow("/v1/events/stream", w.admin, ""); l.res.StatusCode != 200 {
		t.Errorf("no place for a key: %d", l.res.StatusCode)
	}
}

func TestALinkHasItsRate(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	w.store("duka", nil)
	shop := w.key("merchant", "", "Acme")
	one, two := w.token(w.order(shop, nil)), w.token(w.order(shop, nil))
	for i := 0; ; i++ {
		a := w.get("", "/v1/tracking/"+one)
		if a.status == 429 {
			if a.refused(429, "rate-limited"); a.header.Get("Retry-After") == "" {
				t.Error("not said when to come back")
			}
			break
		}
		if i > 5000 {
			t.Fatal("a link may ask without end")
		}
	}
	w.get("", "/v1/tracking/"+two).want(200)
}

func TestRemarksAreKeptApartFromTheLog(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, other, key := w.key("merchant", "", "Acme"), w.key("merchant", "", "Other"), w.key("store", id, "")
		o := w.out(shop, key, nil)
		order, link := o.text("id"), "/v1/tracking/"+w.token(o)
		d := &door{w: w, order: order, attempt: 1}
		w.report(key, d.contactless(w.photo(key, 3))...)
		w.post("", link+"/rating", m{"stars": 2, "comment": "Call me: 0712 999 888"}).want(200)
		w.post("", link+"/rating", m{"stars": 5}).want(200)
		w.post("", link+"/messages", m{"text": "Ring 0712 999 888"}).want(201)
		w.post("", link+"/dispute", m{"reason": "item_missing", "note": "Call 0712 999 888"}).want(200)
		w.resolve("answered", "My number is 0712 999 888", "Call 0712 999 888")
		w.resolve("rejected", "Ask 0712 999 888", "Call 0712 999 888")
		for _, path := range []string{"/v1/events?limit=200", "/v1/orders/" + order + "/events"} {
			log := string(w.get(w.admin, path).want(200).body)
			if strings.Contains(log, "999 888") || !strings.Contains(log, "order.message_received") || !strings.Contains(log, `"reason":"item_missing","length":17`) {
				t.Errorf("the log has %s", log)
			}
		}
		said := w.get(shop, "/v1/orders/"+order+"/remarks").want(200)
		for i, want := range []string{"rated 2 Call me: 0712 999 888", "rated 5 ", "message_received 0 Ring 0712 999 888", "disputed 0 Call 0712 999 888"} {
			at := fmt.Sprintf("data.%d.", i)
			if got := fmt.Sprint(said.text(at+"kind"), " ", said.number(at+"stars"), " ", said.text(at+"text")); got != want {
				t.Errorf("remark %d: %q, want %q", i, got, want)
			}
		}
		w.get(w.key("dispatcher", "", ""), "/v1/orders/"+order+"/remarks").want(200)
		w.get(other, "/v1/orders/"+order+"/remarks").refused(404, "not-found")
		w.get(key, "/v1/orders/"+order+"/remarks").refused(403, "forbidden")
	})
}

func TestRemarksHaveAnEnd(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	id := w.store("duka", nil)
	shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
	o := w.out(shop, key, nil)
	w.report(key, (&door{w: w, order: o.text("id"), attempt: 1}).contactless(w.photo(key, 3))...)
	for _, c := range []struct {
		path  string
		body  m
		most  int
		taken int
	}{
		{"/rating", m{"stars": 4, "comment": "%d"}, 20, 200},
		{"/dispute", m{"reason": "item_missing", "note": "%d"}, 5, 200},
		{"/messages", m{"text": "%d"}, 50, 201},
	} {
		say := func(n int) *answer {
			body := maps.Clone(c.body)
			for _, name := range []string{"comment", "note", "text"} {
				if text, ok := body[name].(string); ok {
					body[name] = fmt.Sprintf(text, n)
				}
			}
			return w.post("", "/v1/tracking/"+w.token(o)+c.path, body)
		}
		for n := range c.most {
			say(n).want(c.taken)
		}
		say(c.most).refused(409, "too-many")
		say(c.most - 1).want(c.taken) // a repeat is none more
	}
}

func TestOneExternalIDOfTwoMerchants(t *testing.T) {
	story(t, func(w *world) {
		acme, other := w.key("merchant", "", "Acme"), w.key("merchant", "", "Other & Sons")
		one := w.store("one", m{"location": northOf(100), "capacity": m{"slot_minutes": 60, "orders_per_slot": 1}})
		two := w.store("two", m{"location": northOf(300)})
		desk := w.key("dispatcher", "", "")
		a := w.order(acme, m{"external_id": "A-1"})
		w.get(desk, "/v1/orders/ext:A-1").want(200)
		b := w.order(other, m{"external_id": "A-1"})
		if a.text("store.id") != one || b.text("store.id") != two {
			t.Fatalf("both at one store: %s %s", a.body, b.body)
		}
		w.get(desk, "/v1/orders/ext:A-1").refused(409, "ambiguous-external-id")
		w.post(desk, "/v1/orders/ext:A-1/cancel", m{"reason": "cancelled_by_merchant"}).refused(409, "ambiguous-external-id")
		for _, c := range []struct{ key, path, id string }{
			{desk, "/v1/orders/ext:A-1?merchant=Acme", a.text("id")},
			{w.admin, "/v1/orders/ext:A-1?merchant=Other%20%26%20Sons", b.text("id")},
			{acme, "/v1/orders/ext:A-1", a.text("id")},
			{acme, "/v1/orders/ext:A-1?merchant=Other%20%26%20Sons", a.text("id")}, // a merchant's key means its own
			{w.key("store", one, ""), "/v1/orders/ext:A-1", a.text("id")},
			{w.key("store", two, ""), "/v1/orders/ext:A-1", b.text("id")},
		} {
			if got := w.get(c.key, c.path).want(200); got.text("id") != c.id {
				t.Errorf("%s: %s", c.path, got.body)
			}
		}
		w.get(desk, "/v1/orders/ext:A-1?merchant=Nobody").refused(404, "not-found")
		w.post(desk, "/v1/orders/ext:A-1/cancel?merchant=Acme", m{"reason": "cancelled_by_merchant"}).want(200)
	})
}

func TestIfMatchHoldsForOrders(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		w.store("next", m{"location": northOf(300)})
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		act := func(who, order, action, version string, body any) *answer {
			return w.send(request{method: "POST", path: "/v1/orders/" + order + "/" + action, key: who, body: body, header: map[string]string{"If-Match": version}})
		}
		cancel := m{"reason": "cancelled_by_merchant"}
		o := w.order(shop, nil)
		order, old := o.text("id"), o.header.Get("ETag")
		fresh := act(key, order, "ready", old, nil).want(200).header.Get("ETag")
		if old == "" || fresh == old {
			t.Fatalf("versions %s and %s", old, fresh)
		}
		act(shop, order, "cancel", old, cancel).refused(412, "version-mismatch")
		act(w.admin, order, "reassign", old, m{}).refused(412, "version-mismatch")
		act(shop, order, "tracking-link/revoke", old, nil).refused(412, "version-mismatch")
		act(key, order, "pick-up", old, nil).refused(412, "version-mismatch")
		act(key, order, "pick-up", "banana", nil).refused(412, "version-mismatch")
		if now := w.get(shop, "/v1/orders/"+order); now.header.Get("ETag") != fresh {
			t.Errorf("refused and changed: %s", now.body)
		}
		fresh = act(key, order, "pick-up", fresh, nil).want(200).header.Get("ETag")
		act(key, order, "hand-back", old, nil).refused(412, "version-mismatch")
		act(key, order, "hand-back", fresh, nil).want(200)
		act(key, order, "pick-up", "*", nil).want(200)
		b := w.order(shop, nil)
		act(shop, b.text("id"), "cancel", b.header.Get("ETag"), cancel).want(200)
	})
}

func TestARepeatIsTheWholeAnswer(t *testing.T) {
	story(t, func(w *world) {
		shop := w.key("merchant", "", "Acme")
		keyed := func(key, path string, body any) *answer {
			return w.send(request{method: "POST", path: path, key: key, body: body, header: map[string]string{"Idempotency-Key": "k"}})
		}
		for _, c := range []struct {
			key, path string
			body      any
		}{{w.admin, "/v1/stores", storeBody("duka", nil)}, {shop, "/v1/orders", orderBody(nil)}} {
			first, again := keyed(c.key, c.path, c.body).want(201), keyed(c.key, c.path, c.body).want(201)
			if again.header.Get("Idempotency-Replayed") != "true" {
				t.Fatalf("%s is no repeat", c.path)
			}
			for _, name := range []string{"ETag", "Location"} {
				if first.header.Get(name) == "" || again.header.Get(name) != first.header.Get(name) {
					t.Errorf("%s: %s was %q, is %q", c.path, name, first.header.Get(name), again.header.Get(name))
				}
			}
		}
	})
}

// A key that is made is shown, even if the answer for repeats cannot be kept.
func TestANewKeysSecretIsNeverLost(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	err := w.db.InTx(context.Background(), func(tx *db.Tx) error {
		_, err := tx.Exec(`CREATE TRIGGER no_repeats BEFORE INSERT ON idempotency BEGIN SELECT RAISE(ABORT, 'not today'); END`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	a := w.send(request{method: "POST", path: "/v1/keys", key: w.admin, body: m{"role": "dispatcher"}, header: map[string]string{"Idempotency-Key": "k"}}).want(201)
	w.get(a.text("key"), "/v1/me").want(200)
}

// A client that leaves between the effect and the storing of the answer: its retry must not act again.
func TestALostClientsRetryDoesNotActTwice(t *testing.T) {
	story(t, func(w *world) {
		keys := func() (n int, err error) {
			err = w.db.Read(context.Background()).Get(&n, `SELECT count(*) FROM api_key`)
			return n, err
		}
		before, err := keys()
		if err != nil {
			t.Fatal(err)
		}
		for try := range 30 {
			ctx, cancel := context.WithCancel(context.Background())
			req, _ := http.NewRequestWithContext(ctx, "POST", w.url+"/v1/keys", strings.NewReader(`{"role":"dispatcher"}`))
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+w.admin)
			req.Header.Set("Idempotency-Key", fmt.Sprint(try))
			// Leave as soon as the key is there: about when its answer is about to be stored.
			go func() {
				defer cancel()
				for began := time.Now(); time.Since(began) < patience; {
					if n, err := keys(); err != nil || n > before+try {
						return
					}
				}
			}()
			if res, err := http.DefaultClient.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			<-ctx.Done()
			w.send(request{method: "POST", path: "/v1/keys", key: w.admin, body: m{"role": "dispatcher"}, header: map[string]string{"Idempotency-Key": fmt.Sprint(try)}}).want(201)
			if n, err := keys(); err != nil || n != before+try+1 {
				t.Fatalf("%d keys after %d, %v", n-before, try+1, err)
			}
		}
	})
}

func TestSlowPhonesStarveNobody(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	key := w.key("store", w.store("duka", nil), "")
	// Twenty phones promise a photo and send nothing of it yet.
	for range 20 {
		c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /v1/photos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: image/jpeg\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n", key)
		// The server asks for the body once the handler reads it.
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
			t.Fatalf("%q %v", line, err)
		}
	}
	w.photo(key, 1)

	// Full: come back later, with and without a key for repeats.
	release, err := w.srv.Hold(server.MaxHeld - 20_000_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []map[string]string{nil, {"Idempotency-Key": "k"}} {
		a := w.send(request{method: "POST", path: "/v1/photos", key: key, kind: "image/jpeg", body: jpegOf(t, picture(64, 48, 2)), header: h}).refused(503, "too-busy")
		if a.header.Get("Retry-After") == "" {
			t.Error("not said when to come back")
		}
	}
	release()
	for i := range 3 {
		w.photo(key, uint8(i)) // what an upload took it gives back
	}
}

func TestBlankLinesCountButAreNoOrders(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	w.store("duka", nil)
	line := `{"recipient":{"name":"x","phone":"+254712345678"},"dropoff":{"location":{"lat":-1.2921,"lng":36.7856}},"undeliverable_action":"return"}`
	a := w.send(request{method: "POST", path: "/v1/order-batches", key: w.key("merchant", "", "Acme"), kind: "application/x-ndjson",
		body: line + "\n\n  \r\n" + line + "\n\n"}).want(200)
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `{"index":0,"status":201`) || !strings.HasPrefix(lines[1], `{"index":3,"status":201`) {
		t.Errorf("got %s", a.body)
	}
}

// A client that sends orders for ever and reads no answer is not read for ever.
func TestABatchEndsWhenNobodyReadsItsAnswers(t *testing.T) {
	defer server.ShortenWrites(200 * time.Millisecond)()
	w := newWorld(t, db.SQLite, server.Options{})
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "POST /v1/order-batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
		w.key("merchant", "", "Acme"))
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	line := `{"external_id":"` + strings.Repeat("x", 5) + `"}` + "\n"
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(line), line)
	for range 9_000 {
		if _, err = io.WriteString(c, chunk); err != nil {
			break // the server has hung up
		}
	}
	if err != nil {
		return
	}
	// All was taken into buffers: the connection must end though we neither end the batch nor read.
	one := make([]byte, 64<<10)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	time.Sleep(time.Second)
	for {
		if _, err := c.Read(one); err != nil {
			if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
				t.Error("the batch is still being read")
			}
			return
		}
	}
}
