package server_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// subscription is what a browser gives its page: of a push service that counts what arrives.
func (w *world) subscription(status *atomic.Int64) (body m, rings *atomic.Int64) {
	w.Helper()
	rings = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		rings.Add(1)
		out.WriteHeader(int(status.Load()))
	}))
	w.Cleanup(s.Close)
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	return m{"endpoint": s.URL + "/send/3f9b", "keys": m{"p256dh": base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()),
		"auth": base64.RawURLEncoding.EncodeToString([]byte("sixteen bytes ok"))}}, rings
}

func TestStoresAreToldInTheirLanguageAndInTheirHours(t *testing.T) {
	story(t, func(w *world) {
		li := w.store("li", m{"locale": "zh-CN", "quiet_hours": "11:00-14:00"})
		mary := w.store("mary", m{"location": northOf(300)})
		liKey, maryKey, desk := w.key("store", li, ""), w.key("store", mary, ""), w.key("dispatcher", "", "")

		var status atomic.Int64
		status.Store(201)
		body, rings := w.subscription(&status)
		if k := w.get(liKey, "/v1/store/push-key").want(200); len(k.text("public_key")) != 87 {
			t.Errorf("the key: %s", k.body)
		}
		put := func(key string, body m) *answer {
			return w.send(request{method: "PUT", path: "/v1/store/push-subscriptions", key: key, body: body})
		}
		sub := put(liKey, body).want(201)
		put(liKey, body).want(200)
		put(liKey, m{"endpoint": "http://push.example/x y", "keys": m{"p256dh": "x", "auth": "y"}}).want(422).names("/endpoint")
		put(liKey, m{"endpoint": body["endpoint"], "keys": m{"p256dh": "x", "auth": "y"}}).want(422).names("/keys/p256dh")
		put(liKey, m{"endpoint": body["endpoint"], "keys": body["keys"], "p": 1}).want(400)
		put(desk, body).refused(403, "forbidden")
		if l := w.get(liKey, "/v1/store/push-subscriptions").want(200); len(l.ids()) != 1 || l.text("data.0.endpoint") != body["endpoint"] {
			t.Errorf("subscribed: %s", l.body)
		}
		if l := w.get(maryKey, "/v1/store/push-subscriptions").want(200); len(l.ids()) != 0 {
			t.Errorf("another's phone: %s", l.body)
		}

		campaign := w.post(desk, "/v1/campaigns", singles(nil)).want(201).text("id")
		w.post(desk, "/v1/campaigns/"+campaign+"/plan", nil).want(200)
		w.post(desk, "/v1/campaigns/"+campaign+"/approve", nil).want(200)
		w.clock.Advance(24 * time.Hour) // noon in Nairobi: Li is not to be disturbed, Mary is told
		w.run("prestock-prompts")
		w.run("messages")
		if l := w.get(liKey, "/v1/store/inbox").want(200); len(l.ids()) != 0 || l.number("unread") != 0 || rings.Load() != 0 {
			t.Errorf("Li is told at noon: %s", l.body)
		}
		if l := w.get(liKey, "/v1/prestock-tasks").want(200); len(l.ids()) != 0 {
			t.Errorf("Li sees it at noon: %s", l.body)
		}
		inbox := w.get(maryKey, "/v1/store/inbox").want(200)
		if len(inbox.ids()) != 1 || inbox.number("unread") != 1 || inbox.text("data.0.kind") != "first" || inbox.text("data.0.locale") != "en" ||
			!strings.Contains(inbox.text("data.0.body"), "120 × milk") || !strings.Contains(inbox.text("data.0.body"), "Fri 27 Nov, 09:00") || inbox.at("data.0.open") != true {
			t.Errorf("Mary's inbox: %s", inbox.body)
		}
		w.clock.Advance(2 * time.Hour)
		w.run("prestock-prompts")
		w.run("messages")
		inbox = w.get(liKey, "/v1/store/inbox?unread=true").want(200)
		if len(inbox.ids()) != 1 || inbox.text("data.0.locale") != "zh" || !strings.Contains(inbox.text("data.0.body"), "120 件") || rings.Load() != 1 {
			t.Errorf("Li's inbox: %s, the phone rang %d times", inbox.body, rings.Load())
		}
		task := w.task(liKey, "prompted")
		if n := len(task.at("prompts").([]any)); n != 2 || task.text("prompts.0.channel") != "inbox" || task.text("prompts.1.channel") != "push" ||
			task.text("prompts.1.state") != "delivered" || task.text("prompts.1.kind") != "first" {
			t.Errorf("the prompts: %s", task.body)
		}
		if reason := task.text("reason_text"); !strings.ContainsAny(reason, "您件") {
			t.Errorf("the reason Li reads: %q", reason)
		}
		if a := w.get(desk, "/v1/prestock-tasks/"+task.text("id")).want(200); strings.ContainsAny(a.text("reason_text"), "您件") || a.text("reason_text") == "" {
			t.Errorf("the reason the desk reads: %s", a.body)
		}

		id := inbox.text("data.0.id")
		w.post(liKey, "/v1/store/inbox/read", m{"ids": []string{"evt_1"}}).want(422).names("/ids/0")
		w.post(maryKey, "/v1/store/inbox/read", m{"ids": []string{id}}).want(200)
		if l := w.get(liKey, "/v1/store/inbox").want(200); l.number("unread") != 1 {
			t.Errorf("another read Li's message: %s", l.body)
		}
		if r := w.post(liKey, "/v1/store/inbox/read", m{"ids": []string{id}}).want(200); r.number("unread") != 0 {
			t.Errorf("%s", r.body)
		}
		if l := w.get(liKey, "/v1/store/inbox").want(200); l.text("data.0.read_at") == "" {
			t.Errorf("read: %s", l.body)
		}
		w.get(liKey, "/v1/store/inbox?unread=maybe").want(422).names("unread")

		// Nobody answers. Li has read; Mary has not looked, and somebody at the desk is to call her.
		for range 3 {
			w.clock.Advance(10 * time.Hour)
			w.run("prestock-prompts")
			w.run("messages")
		}
		list := w.get(desk, "/v1/exceptions").want(200)
		if len(list.ids()) != 1 || list.text("data.0.store_id") != mary || list.text("data.0.kind") != "not_read" || list.text("data.0.task_id") == "" {
			t.Fatalf("the exceptions: %s", list.body)
		}
		w.get(maryKey, "/v1/exceptions").refused(403, "forbidden")
		x := list.text("data.0.id")
		if c := w.post(desk, "/v1/exceptions/"+x+"/close", nil).want(200); c.text("closed_at") == "" {
			t.Errorf("closed: %s", c.body)
		}
		w.post(desk, "/v1/exceptions/"+x+"/close", nil).want(200)
		w.post(desk, "/v1/exceptions/exc_000000000000000000000000/close", nil).refused(404, "not-found")
		if l := w.get(desk, "/v1/exceptions").want(200); len(l.ids()) != 0 {
			t.Errorf("still open: %s", l.body)
		}
		told := w.get(maryKey, "/v1/store/inbox").want(200)
		var kinds []string
		for _, d := range told.at("data").([]any) {
			kinds = append(kinds, d.(map[string]any)["kind"].(string))
		}
		if got := strings.Join(kinds, " "); got != "reminder_80 reminder_50 first" {
			t.Errorf("Mary was told %s", got)
		}
		if r := w.post(maryKey, "/v1/store/inbox/read", nil).want(200); r.number("unread") != 0 {
			t.Errorf("all read: %s", r.body)
		}

		w.send(request{method: "DELETE", path: "/v1/store/push-subscriptions/" + sub.text("id"), key: maryKey}).refused(404, "not-found")
		w.send(request{method: "DELETE", path: "/v1/store/push-subscriptions/" + sub.text("id"), key: liKey, header: map[string]string{"If-Match": `"7"`}}).refused(412, "version-mismatch")
		w.send(request{method: "DELETE", path: "/v1/store/push-subscriptions/" + sub.text("id"), key: liKey}).want(204)
		w.send(request{method: "DELETE", path: "/v1/store/push-subscriptions/" + sub.text("id"), key: liKey}).refused(404, "not-found")

		// How they kept their word.
		if r := w.get(maryKey, "/v1/store/reliability").want(200); r.number("asked") != 0 || r.text("text") != "You have not been asked yet." {
			t.Errorf("before the time is over: %s", r.body)
		}
		w.post(liKey, "/v1/prestock-tasks/"+task.text("id")+"/acknowledge", m{"committed_quantity": 120}).want(200)
		w.post(liKey, "/v1/prestock-tasks/"+task.text("id")+"/stocked", m{"counted_quantity": 100}).want(200)
		w.clock.Advance(40 * time.Hour)
		w.run("prestock-prompts")
		r := w.get(desk, "/v1/stores/"+mary+"/reliability").want(200)
		if r.number("asked") != 1 || r.number("answered") != 0 || r.text("store_id") != mary {
			t.Errorf("Mary's word: %s", r.body)
		}
		r = w.get(liKey, "/v1/store/reliability").want(200)
		if r.number("stocked_in_time") != 1 || r.number("counted_in_full") != 0 || !strings.Contains(r.text("text"), "按时上架 1 次") {
			t.Errorf("Li's word: %s", r.body)
		}
		w.get(maryKey, "/v1/stores/"+li+"/reliability").refused(404, "not-found")
	})
}

// A phone that is gone is dropped, and the desk hears of it.
func TestAPhoneThatIsGone(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		key := w.key("store", id, "")
		var status atomic.Int64
		status.Store(410)
		body, rings := w.subscription(&status)
		w.send(request{method: "PUT", path: "/v1/store/push-subscriptions", key: key, body: body}).want(201)
		campaign := w.post(w.admin, "/v1/campaigns", singles(nil)).want(201).text("id")
		w.post(w.admin, "/v1/campaigns/"+campaign+"/plan", nil).want(200)
		w.post(w.admin, "/v1/campaigns/"+campaign+"/approve", nil).want(200)
		w.clock.Advance(24 * time.Hour)
		w.run("prestock-prompts")
		w.run("messages")
		if l := w.get(key, "/v1/store/push-subscriptions").want(200); len(l.ids()) != 0 || rings.Load() != 1 {
			t.Errorf("kept after %d tries: %s", rings.Load(), l.body)
		}
		if p := w.task(key, "prompted"); p.text("prompts.1.state") != "gone" || p.text("prompts.0.state") != "delivered" {
			t.Errorf("the prompts: %s", p.body)
		}
		l := w.get(w.admin, "/v1/exceptions").want(200)
		if len(l.ids()) != 1 || l.text("data.0.kind") != "push_failed" || strings.Contains(l.text("data.0.detail"), "send") {
			t.Errorf("the exceptions: %s", l.body)
		}
		events := w.get(w.admin, "/v1/events?limit=200").want(200)
		if !strings.Contains(string(events.body), `"exception.opened"`) || !strings.Contains(string(events.body), l.text("data.0.id")) {
			t.Error("the log does not say so")
		}
		// The store answers: it can be reached after all.
		w.post(key, "/v1/prestock-tasks/"+w.task(key, "prompted").text("id")+"/acknowledge", m{"committed_quantity": 10}).want(200)
		w.run("messages")
		if l := w.get(w.admin, "/v1/exceptions").want(200); len(l.ids()) != 0 {
			t.Errorf("still open: %s", l.body)
		}
	})
}

func TestQuietHoursOfAStore(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", m{"quiet_hours": "22:00-07:00"})
		key := w.key("store", id, "")
		if s := w.get(key, "/v1/store").want(200); s.text("quiet_hours") != "22:00-07:00" {
			t.Errorf("%s", s.body)
		}
		if s := w.patch(key, "/v1/store", m{"quiet_hours": "21:30-06:00"}, nil).want(200); s.text("quiet_hours") != "21:30-06:00" || s.number("version") != 2 {
			t.Errorf("its own to change: %s", s.body)
		}
		w.patch(key, "/v1/store", m{"quiet_hours": "at night"}, nil).want(422).names("/quiet_hours")
		rows := "external_id,name,lat,lng,time_zone,quiet_hours\nq1,One,-1.29,36.78,Africa/Nairobi,23:00-05:00\nq2,Two,-1.29,36.78,Africa/Nairobi,\nq3,Three,-1.29,36.78,Africa/Nairobi,late\n"
		a := w.send(request{method: "POST", path: "/v1/store-imports?default_quiet_hours=20:00-08:00", key: w.admin, body: rows, kind: "text/csv"}).want(200)
		if a.number("created") != 2 || a.number("failed") != 1 || a.text("errors.0.field") != "quiet_hours" {
			t.Errorf("%s", a.body)
		}
		for ext, want := range map[string]string{"q1": "23:00-05:00", "q2": "20:00-08:00"} {
			if s := w.get(w.admin, "/v1/stores/ext:"+ext).want(200); s.text("quiet_hours") != want {
				t.Errorf("%s: %s", ext, s.body)
			}
		}
	})
}
