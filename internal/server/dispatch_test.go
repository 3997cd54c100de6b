package server_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheNetworksEventsArePulledAndFollowed(t *testing.T) {
	story(t, func(w *world) {
		desk, shop := w.key("dispatcher", "", ""), w.key("merchant", "", "Acme")
		id := w.store("duka", nil)
		var orders []string
		for range 5 {
			orders = append(orders, w.order(shop, nil).text("id"))
		}
		// Page by page, nothing is missed and nothing comes twice, also while more is written.
		seen, created, after := map[string]bool{}, 0, ""
		for pages := 0; ; pages++ {
			a := w.get(desk, "/v1/events?limit=3"+after).want(200)
			for i := range a.at("data").([]any) {
				p := fmt.Sprintf("data.%d.", i)
				if seen[a.text(p+"id")] {
					t.Errorf("%s twice", a.text(p+"id"))
				}
				seen[a.text(p+"id")] = true
				if a.text(p+"type") == "order.created" {
					if created < 5 && a.text(p+"subject") != orders[created] {
						t.Errorf("order %d is %s", created, a.text(p+"subject"))
					}
					created++
				}
				if strings.Contains(fmt.Sprint(a.at(p+"data")), "712345678") {
					t.Errorf("an event tells a phone number: %s", a.body)
				}
			}
			after = "&after=" + a.text("next_cursor")
			if pages == 1 {
				w.order(shop, nil)
			}
			if a.at("has_more") != true {
				break
			}
		}
		if created != 6 {
			t.Errorf("%d orders in the log, want 6", created)
		}
		end := w.get(desk, "/v1/events?limit=3"+after).want(200)
		if len(end.at("data").([]any)) != 0 || "&after="+end.text("next_cursor") != after || end.at("has_more") != false {
			t.Errorf("at the end: %s", end.body)
		}
		last := end.text("next_cursor")

		l := w.follow("/v1/events/stream", desk, "")
		w.step(desk, orders[0], "ready").want(200)
		ready := l.next()
		for ready.name != "order.ready_for_pickup" { // what was committed a moment before may come first
			ready = l.next()
		}
		if !strings.Contains(ready.data, orders[0]) || !strings.Contains(ready.data, `"seq":"`+ready.id+`"`) || strings.Contains(ready.data, id) != true {
			t.Errorf("live: %+v", ready)
		}
		l.close()
		w.step(desk, orders[0], "pick-up").want(200)
		w.step(desk, orders[1], "ready").want(200)
		l = w.follow("/v1/events/stream", desk, ready.id)
		for _, want := range []string{"custody.moved " + orders[0], "order.picked_up " + orders[0], "custody.moved " + orders[0],
			"order.ready_for_pickup " + orders[1], "custody.moved " + orders[1]} {
			kind, order, _ := strings.Cut(want, " ")
			if f := l.next(); f.name != kind || !strings.Contains(f.data, order) {
				t.Errorf("resumed: %+v, want %s", f, want)
			}
		}
		pulled := w.get(desk, "/v1/events?after="+last).want(200)
		if n := len(pulled.at("data").([]any)); n != 6 || pulled.text("data.0.seq") != ready.id || pulled.text("data.0.actor") == "" {
			t.Errorf("pulled: %s", pulled.body)
		}
		w.get(desk, "/v1/events?after=-1").want(422).names("after")
		w.get(desk, "/v1/events?after=banana").want(422).names("after")
		w.get(desk, "/v1/events?limit=201").want(422).names("limit")
		w.send(request{method: "GET", path: "/v1/events/stream", key: desk, header: map[string]string{"Last-Event-ID": "banana"}}).want(422)
	})
}

func TestJobsAreSeenAndRun(t *testing.T) {
	story(t, func(w *world) {
		desk := w.key("dispatcher", "", "")
		names := func(a *answer) (out []string) {
			for i := range a.at("data").([]any) {
				out = append(out, a.text(fmt.Sprintf("data.%d.name", i)))
			}
			return out
		}
		a := w.get(desk, "/v1/jobs").want(200)
		for _, want := range []string{"offers", "prestock-prompts", "prestock-release", "retry-unassignable"} {
			if !slices.Contains(names(a), want) {
				t.Errorf("no job %s: %s", want, a.body)
			}
		}
		b := w.post(w.admin, "/v1/jobs/prestock-prompts/run", nil).want(200)
		if b.text("name") != "prestock-prompts" || b.text("schedule") == "" || b.text("next_slot") <= "2026-11-23T09:00:00.000Z" {
			t.Errorf("run: %s", b.body)
		}
		w.post(desk, "/v1/jobs/offers/run", nil).refused(403, "forbidden")
		for _, unknown := range []string{"nothing", "offers%20", "..%2Foffers"} {
			w.post(w.admin, "/v1/jobs/"+unknown+"/run", nil).refused(404, "not-found")
		}
	})
}

func TestKeysAreMadeShownOnceAndEnd(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		a := w.post(w.admin, "/v1/keys", m{"role": "store", "store_id": "ext:duka", "name": "counter", "expires_at": "2026-11-23T10:00:00Z"}).want(201)
		key := a.text("key")
		if !strings.HasPrefix(key, "ds_live_") || a.text("store_id") != id || a.text("hint") != key[len(key)-4:] {
			t.Errorf("a store's key: %s", a.body)
		}
		if b := w.get(key, "/v1/me").want(200); b.text("role") != "store" || b.text("store_id") != id || b.text("key_id") != a.text("id") || b.text("name") != "counter" {
			t.Errorf("who it is: %s", b.body)
		}
		for _, c := range []struct {
			body    m
			pointer string
		}{
			{m{"role": "king"}, "/role"}, {m{}, "/role"}, {m{"role": "store"}, "/store_id"}, {m{"role": "store", "store_id": "ext:nobody"}, "/store_id"},
			{m{"role": "admin", "store_id": id}, "/store_id"}, {m{"role": "merchant"}, "/merchant"}, {m{"role": "dispatcher", "merchant": "Acme"}, "/merchant"},
			{m{"role": "admin", "expires_at": "2026-11-23T08:00:00Z"}, "/expires_at"}, {m{"role": "admin", "expires_at": "never"}, "/expires_at"},
		} {
			w.post(w.admin, "/v1/keys", c.body).want(422).names(c.pointer)
		}
		// A repeat does not show the secret again.
		once := func() *answer {
			return w.send(request{method: "POST", path: "/v1/keys", key: w.admin, body: m{"role": "merchant", "merchant": "Acme"}, header: map[string]string{"Idempotency-Key": "k"}}).want(201)
		}
		first, second := once(), once()
		if first.text("key") == "" || second.at("key") != nil || first.text("id") != second.text("id") {
			t.Errorf("made:\n%s\n%s", first.body, second.body)
		}
		page := w.get(w.admin, "/v1/keys?limit=1").want(200)
		n := len(page.ids())
		for page.at("has_more") == true {
			page = w.get(w.admin, "/v1/keys?limit=1&cursor="+page.text("next_cursor")).want(200)
			n += len(page.ids())
		}
		if n != 3 { // the test's own admin key, the store's, the merchant's
			t.Errorf("%d keys", n)
		}
		w.clock.Advance(time.Hour)
		w.get(key, "/v1/me").refused(401, "unauthorized")
		w.post(w.admin, "/v1/keys/"+first.text("id")+"/revoke", nil).want(200)
		if r := w.post(w.admin, "/v1/keys/"+first.text("id")+"/revoke", nil).want(200); r.text("revoked_at") == "" {
			t.Errorf("revoked: %s", r.body)
		}
		w.get(first.text("key"), "/v1/me").refused(401, "unauthorized")
		w.post(w.admin, "/v1/keys/key_000000000000000000000000/revoke", nil).refused(404, "not-found")
	})
}

// TestEachRoleReachesWhatIsItsOwn holds every operation of the contract against every role, with ids
// that nobody has: who is not meant gets 403, without a key it is 401, who is meant gets further.
func TestEachRoleReachesWhatIsItsOwn(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		keys := map[string]string{"admin": w.admin, "dispatcher": w.key("dispatcher", "", ""), "store": w.key("store", id, ""), "merchant": w.key("merchant", "", "Acme")}
		doc, err := document()
		if err != nil {
			w.Fatal(err)
		}
		// Ids of the right form: a role must be judged before what it asks for.
		prefix := map[string]string{"stores": "str", "orders": "ord", "assignments": "asg", "campaigns": "cmp", "prestock-tasks": "pst", "keys": "key"}
		variable := regexp.MustCompile(`\{[a-z0-9_]+\}`)
		fill := func(path string) string {
			value := "x"
			if parts := strings.Split(path, "/"); len(parts) > 2 && prefix[parts[2]] != "" {
				value = prefix[parts[2]] + "_000000000000000000000000"
			}
			return variable.ReplaceAllString(path, value)
		}
		tried := 0
		for path, item := range doc.Paths.Map() {
			for method, op := range item.Operations() {
				r := request{method: method, path: fill(path)}
				roles := rolesOf(op)
				if len(roles) == 0 {
					if a := w.send(r); a.status == 401 || a.status == 403 {
						w.Errorf("%s %s needs a key: %d", method, path, a.status)
					}
					continue
				}
				w.send(r).refused(401, "unauthorized")
				for role, key := range keys {
					r.key = key
					mine := slices.Contains(roles, role)
					if mine && strings.HasSuffix(path, "/stream") {
						w.follow(r.path, key, "").close()
						continue
					}
					a := w.send(r)
					if refused := a.status == 403; refused == mine || a.status == 401 {
						w.Errorf("%s %s as %s: %d %s", method, path, role, a.status, a.body)
					}
					if mine && strings.Contains(path, "{id}") && a.status != 404 && a.status != 400 {
						w.Errorf("%s %s of nobody as %s: %d %s", method, path, role, a.status, a.body)
					}
					tried++
				}
			}
		}
		if tried < 200 {
			w.Errorf("only %d pairs of operation and role were tried", tried)
		}
	})
}
