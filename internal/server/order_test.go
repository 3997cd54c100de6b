package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAnOrderFindsTheNearestStoreThatCanServeIt(t *testing.T) {
	story(t, func(w *world) {
		shop := w.key("merchant", "", "Acme")
		w.store("closed", m{"location": northOf(100), "opening_hours": "Mo-Su 20:00-22:00"})
		w.store("paused", m{"location": northOf(150)})
		w.post(w.admin, "/v1/stores/ext:paused/pause", m{}).want(200)
		w.store("full", m{"location": northOf(200), "capacity": m{"slot_minutes": 60, "orders_per_slot": 0}})
		w.store("short", m{"location": northOf(250), "service_radius_m": 200})
		near := w.store("near", m{"location": northOf(400)})
		w.store("far", m{"location": northOf(900)})

		a := w.order(shop, m{"external_id": "A-1"})
		if a.text("status") != "confirmed" || a.text("store.id") != near || a.number("distance_m") != 400 {
			t.Fatalf("got %s", a.body)
		}
		if a.text("assignment.status") != "accepted" || a.text("promise.earliest") != "2026-11-23T09:00:00.000Z" {
			t.Errorf("got %s", a.body)
		}
		if a.header.Get("ETag") != "" && a.header.Get("Location") == "" {
			t.Error("no Location")
		}
		// The merchant's own radius counts too.
		b := w.order(shop, m{"external_id": "A-2", "radius_m": 300})
		if b.text("status") != "unassignable" || b.text("store.id") != "" {
			t.Errorf("beyond the merchant's radius: %s", b.body)
		}
		// Tomorrow at seven all are shut.
		c := w.order(shop, m{"window": m{"earliest": "2026-11-24T04:00:00Z", "latest": "2026-11-24T05:00:00Z"}})
		if c.text("status") != "unassignable" || c.text("status_reason") != "store_closed" {
			t.Errorf("with all stores shut: %s", c.body)
		}
		if got := w.get(shop, "/v1/orders/ext:A-1").want(200); got.text("id") != a.text("id") {
			t.Errorf("by its external id: %s", got.body)
		}
		types := []string{}
		story := w.get(shop, "/v1/orders/"+a.text("id")+"/events").want(200)
		for i := 0; story.text(fmt.Sprintf("data.%d.type", i)) != ""; i++ {
			types = append(types, story.text(fmt.Sprintf("data.%d.type", i)))
		}
		if strings.Join(types, " ") != "order.created order.confirmed" {
			t.Errorf("its story: %v", types)
		}
	})
}

func TestBadOrdersAreRefusedNamingTheField(t *testing.T) {
	story(t, func(w *world) {
		w.store("shop", nil)
		shop := w.key("merchant", "", "Acme")
		drop := func(change m) m {
			d := m{"location": kilimani}
			for k, v := range change {
				d[k] = v
			}
			return m{"dropoff": d}
		}
		for _, c := range []struct {
			name    string
			body    any
			status  int
			pointer string
		}{
			{"no recipient", m{"dropoff": m{"location": kilimani}, "undeliverable_action": "return"}, 422, "/recipient"},
			{"no action", orderBody(m{"undeliverable_action": ""}), 422, "/undeliverable_action"},
			{"unknown action", orderBody(m{"undeliverable_action": "burn"}), 422, "/undeliverable_action"},
			{"latitude out of range", orderBody(drop(m{"location": m{"lat": 91, "lng": 0}})), 422, "/dropoff/location"},
			{"swapped coordinates", orderBody(drop(m{"location": m{"lat": 136.8, "lng": 34.3}})), 422, "/dropoff/location"},
			{"no longitude", orderBody(drop(m{"location": m{"lat": 1}})), 422, "/dropoff/location/lng"},
			{"NaN", `{"dropoff":{"location":{"lat":NaN,"lng":1}}}`, 400, "/dropoff/location/lat"},
			{"wrong type", `{"recipient":{"name":7}}`, 400, "/recipient/name"},
			{"wrong type in an array", `{"items":[{"sku":"a","quantity":1},{"sku":"b","quantity":"two"}]}`, 400, "/items/1/quantity"},
			{"unknown field", `{"recipient":{"name":"x","nickname":"y"}}`, 400, "/recipient/nickname"},
			{"phone", orderBody(m{"recipient": m{"name": "x", "phone": "0712345678"}}), 422, "/recipient/phone"},
			{"blank name", orderBody(m{"recipient": m{"name": " ", "phone": "+254712345678"}}), 422, "/recipient/name"},
			{"zero quantity", orderBody(m{"items": []m{{"sku": "a", "quantity": 0}}}), 422, "/items/0/quantity"},
			{"negative quantity", orderBody(m{"items": []m{{"sku": "a", "quantity": -1}}}), 422, "/items/0/quantity"},
			{"the same sku twice", orderBody(m{"items": []m{{"sku": "a", "quantity": 1}, {"sku": "a", "quantity": 1}}}), 422, "/items/1/sku"},
			{"window in the past", orderBody(m{"window": m{"earliest": "2026-11-20T10:00:00Z", "latest": "2026-11-20T12:00:00Z"}}), 422, "/window/latest"},
			{"window reversed", orderBody(m{"window": m{"earliest": "2026-11-24T12:00:00Z", "latest": "2026-11-24T10:00:00Z"}}), 422, "/window/latest"},
			{"not a time", orderBody(m{"window": m{"earliest": "tomorrow", "latest": "2026-11-24T10:00:00Z"}}), 422, "/window/earliest"},
			{"grade", orderBody(m{"minimum_evidence_grade": "E"}), 422, "/minimum_evidence_grade"},
			{"PIN at a door nobody opens", orderBody(drop(m{"pin_required": true})), 422, "/dropoff/pin_required"},
			{"radius", orderBody(m{"radius_m": 0}), 422, "/radius_m"},
		} {
			a := w.post(shop, "/v1/orders", c.body).want(c.status).names(c.pointer)
			if c.name == "swapped coordinates" && !strings.Contains(string(a.body), "swapped") {
				t.Errorf("no hint at the swap: %s", a.body)
			}
			if a.header.Get("Content-Type") != "application/problem+json" || a.text("request_id") == "" {
				t.Errorf("%s: not a whole problem: %s", c.name, a.body)
			}
		}
		w.post(shop, "/v1/orders", `{"external_id":"`+"\xff\xfe"+`"}`).refused(400, "invalid-utf8")
		w.post(shop, "/v1/orders", `{"items":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`).refused(400, "malformed")
		w.post(shop, "/v1/orders", `{"items":`).refused(400, "malformed")
		w.post(shop, "/v1/orders", `{} {}`).refused(400, "trailing-data")
		w.post(shop, "/v1/orders", ``).want(400)
		w.post(shop, "/v1/orders", `{"external_id":"`+strings.Repeat("x", 10<<20)+`"}`).refused(413, "too-large")
		w.send(request{method: "POST", path: "/v1/orders", key: shop, body: "a=b", kind: "application/x-www-form-urlencoded"}).want(415)
		// Everything that is wrong is said at once.
		w.post(shop, "/v1/orders", m{"items": []m{{"sku": "a", "quantity": 0}}, "radius_m": 0}).names("/items/0/quantity").names("/radius_m").names("/recipient").names("/dropoff")
		if got := w.get(shop, "/v1/orders").want(200); len(got.at("data").([]any)) != 0 {
			t.Errorf("a refused order left something behind: %s", got.body)
		}
	})
}

func TestCapacityIsNeverOverrun(t *testing.T) {
	story(t, func(w *world) {
		shop := w.key("merchant", "", "Acme")
		w.store("ten", m{"capacity": m{"slot_minutes": 60, "orders_per_slot": 10}})
		w.store("next", m{"location": northOf(500), "capacity": m{"slot_minutes": 60, "orders_per_slot": 1000}})
		count := map[string]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				a := w.order(shop, nil)
				mu.Lock()
				defer mu.Unlock()
				count[a.text("store.name")+" "+a.text("status")]++
			})
		}
		wg.Wait()
		if count["ten confirmed"] != 10 || count["next confirmed"] != 90 {
			t.Errorf("10 free units gave %v", count)
		}
		// The next hour is another slot.
		w.clock.Advance(time.Hour)
		if a := w.order(shop, nil); a.text("store.name") != "ten" {
			t.Errorf("an hour later: %s", a.body)
		}
	})
}

func TestStockIsNeverOversold(t *testing.T) {
	story(t, func(w *world) {
		shop := w.key("merchant", "", "Acme")
		id := w.store("shelf", m{"capacity": m{"slot_minutes": 60, "orders_per_slot": 5000}})
		w.stock(id, "SKU-7", 500)
		count := map[string]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		turn := make(chan struct{}, 64)
		for range 1000 {
			turn <- struct{}{}
			wg.Go(func() {
				defer func() { <-turn }()
				a := w.order(shop, m{"items": []m{{"sku": "SKU-7", "quantity": 1}}})
				mu.Lock()
				defer mu.Unlock()
				count[a.text("status")+" "+a.text("status_reason")]++
			})
		}
		wg.Wait()
		if count["confirmed "] != 500 || count["unassignable store_out_of_stock"] != 500 {
			t.Errorf("500 units gave %v", count)
		}
		s := w.get(w.admin, "/v1/stores/"+id+"/stock").want(200)
		if s.number("data.0.on_hand") != 500 || s.number("data.0.reserved") != 500 || s.number("data.0.available") != 0 {
			t.Errorf("the shelf: %s", s.body)
		}
	})
}

func TestEqualRequestsMakeOneOrder(t *testing.T) {
	story(t, func(w *world) {
		shop, other := w.key("merchant", "", "Acme"), w.key("merchant", "", "Other")
		w.store("shop", nil)
		keyed := func(key, name string, body any) *answer {
			return w.send(request{method: "POST", path: "/v1/orders", key: key, body: body, header: map[string]string{"Idempotency-Key": name}})
		}
		answers := make([]*answer, 50)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = keyed(shop, "k1", orderBody(nil)) })
		}
		wg.Wait()
		fresh := 0
		for _, a := range answers {
			a.want(201)
			if string(a.body) != string(answers[0].body) {
				t.Fatalf("two answers:\n%s\n%s", a.body, answers[0].body)
			}
			if a.header.Get("Idempotency-Replayed") == "" {
				fresh++
			}
		}
		if n := len(w.get(shop, "/v1/orders").at("data").([]any)); n != 1 || fresh != 1 {
			t.Errorf("%d orders, %d fresh answers", n, fresh)
		}
		keyed(shop, "k1", orderBody(m{"tags": []string{"gift"}})).refused(422, "idempotency-key-reused")
		if a := keyed(other, "k1", orderBody(nil)).want(201); a.text("id") == answers[0].text("id") {
			t.Error("another merchant's key was taken for ours")
		}

		// The external id does the same, without a header.
		first := w.order(shop, m{"external_id": "A-1"})
		again := w.post(shop, "/v1/orders", orderBody(m{"external_id": "A-1"})).want(200)
		if again.text("id") != first.text("id") {
			t.Errorf("a second order for one external id: %s", again.body)
		}
		w.post(shop, "/v1/orders", orderBody(m{"external_id": "A-1", "tags": []string{"gift"}})).refused(409, "external-id-taken")
		w.order(other, m{"external_id": "A-1"})

		// A refused request may be mended under the same key.
		keyed(shop, "k2", m{}).want(422)
		keyed(shop, "k2", orderBody(nil)).want(201)

		var ids sync.Map
		for range 50 {
			wg.Go(func() {
				a := w.post(shop, "/v1/orders", orderBody(m{"external_id": "A-2"}))
				if a.status != 200 && a.status != 201 {
					t.Errorf("%d: %s", a.status, a.body)
				}
				ids.Store(a.text("id"), true)
			})
		}
		wg.Wait()
		n := 0
		ids.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Errorf("%d orders for one external id", n)
		}
	})
}

func TestOffersGoFromStoreToStore(t *testing.T) {
	story(t, func(w *world) {
		shop := w.key("merchant", "", "Acme")
		one := w.store("one", m{"location": northOf(100), "auto_accept": false, "offer_timeout_s": 60})
		two := w.store("two", m{"location": northOf(200), "auto_accept": false, "offer_timeout_s": 60})
		w.store("three", m{"location": northOf(300), "auto_accept": false, "offer_timeout_s": 60})
		keyOne, keyTwo := w.key("store", one, ""), w.key("store", two, "")

		a := w.order(shop, nil)
		if a.text("status") != "created" || a.text("assignment.status") != "offered" || a.text("store.id") != one ||
			a.text("assignment.offer_expires_at") != "2026-11-23T09:01:00.000Z" {
			t.Fatalf("got %s", a.body)
		}
		offers := w.get(keyOne, "/v1/assignments?status=offered").want(200)
		asg := offers.text("data.0.id")
		if asg != a.text("assignment.id") || offers.text("data.0.order.recipient.phone") == "+254712345678" {
			t.Errorf("the store's offers: %s", offers.body)
		}
		// Another store cannot answer, nor see it.
		w.post(keyTwo, "/v1/assignments/"+asg+"/accept", nil).refused(404, "not-found")
		w.get(keyTwo, "/v1/orders/"+a.text("id")).refused(404, "not-found")
		w.post(keyOne, "/v1/assignments/"+asg+"/decline", m{"reason": "bored"}).want(422).names("/reason")
		w.post(keyOne, "/v1/assignments/"+asg+"/decline", m{"reason": "capacity_exceeded"}).want(200)
		w.post(keyOne, "/v1/assignments/"+asg+"/decline", m{"reason": "capacity_exceeded"}).want(200) // again: the same
		w.post(keyOne, "/v1/assignments/"+asg+"/accept", nil).refused(409, "not-allowed-now")

		b := w.get(shop, "/v1/orders/"+a.text("id")).want(200)
		if b.text("store.id") != two || b.text("status") != "created" {
			t.Fatalf("after the no: %s", b.body)
		}
		// The second lets it run out: an answer after the deadline is too late, sweep or no sweep.
		w.clock.Advance(61 * time.Second)
		w.post(keyTwo, "/v1/assignments/"+b.text("assignment.id")+"/accept", nil).refused(409, "offer-expired")
		w.post(w.admin, "/v1/jobs/offers/run", nil).want(200)
		c := w.get(shop, "/v1/orders/"+a.text("id")).want(200)
		if c.text("store.name") != "three" {
			t.Fatalf("after the deadline: %s", c.body)
		}
		third := c.text("assignment.id")
		w.post(w.admin, "/v1/assignments/"+third+"/accept", nil).want(200)
		w.post(w.admin, "/v1/assignments/"+third+"/accept", nil).want(200)
		if d := w.get(shop, "/v1/orders/"+a.text("id")); d.text("status") != "confirmed" {
			t.Fatalf("after the yes: %s", d.body)
		}
		// Given back, nobody is left to ask.
		w.post(w.admin, "/v1/assignments/"+third+"/release", m{"reason": "vehicle_breakdown"}).want(200)
		e := w.get(shop, "/v1/orders/"+a.text("id")).want(200)
		if e.text("status") != "unassignable" || e.text("status_reason") != "store_unresponsive" || e.at("store") != nil {
			t.Errorf("with nobody left: %s", e.body)
		}
		// A new store is tried by itself.
		w.store("four", m{"location": northOf(400)})
		w.post(w.admin, "/v1/jobs/retry-unassignable/run", nil).want(200)
		if f := w.get(shop, "/v1/orders/"+a.text("id")); f.text("status") != "confirmed" || f.text("store.name") != "four" {
			t.Errorf("with a new store: %s", f.body)
		}
	})
}

func TestUnassignableIsRetriedWhenSupplyChanges(t *testing.T) {
	story(t, func(w *world) {
		shop := w.key("merchant", "", "Acme")
		retry := func(a *answer) string {
			w.post(w.admin, "/v1/jobs/retry-unassignable/run", nil).want(200)
			return w.get(shop, "/v1/orders/"+a.text("id")).text("status")
		}
		a := w.order(shop, m{"items": []m{{"sku": "milk", "quantity": 3}}})
		if a.text("status_reason") != "out_of_range" {
			t.Fatalf("without any store: %s", a.body)
		}
		id := w.store("shop", m{"opening_hours": "Mo-Su 14:00-20:00"})
		w.stock(id, "milk", 2)
		if s := retry(a); s != "unassignable" {
			t.Errorf("shut and out of stock: %s", s)
		}
		w.clock.Advance(3 * time.Hour) // 15:00 there
		w.post(w.admin, "/v1/stores/"+id+"/pause", nil).want(200)
		w.stock(id, "milk", 3)
		if s := retry(a); s != "unassignable" {
			t.Errorf("paused: %s", s)
		}
		w.post(w.admin, "/v1/stores/"+id+"/resume", nil).want(200)
		if s := retry(a); s != "confirmed" {
			t.Errorf("open, stocked and resumed: %s", s)
		}
	})
}

func TestCancelling(t *testing.T) {
	story(t, func(w *world) {
		shop, other := w.key("merchant", "", "Acme"), w.key("merchant", "", "Other")
		id := w.store("one", m{"capacity": m{"slot_minutes": 60, "orders_per_slot": 1}})
		w.stock(id, "milk", 1)
		a := w.order(shop, m{"items": []m{{"sku": "milk", "quantity": 1}}})
		path := "/v1/orders/" + a.text("id")
		if b := w.order(shop, nil); b.text("status_reason") != "capacity_exceeded" {
			t.Errorf("a second in one unit: %s", b.body)
		}
		w.post(other, path+"/cancel", m{"reason": "cancelled_by_merchant"}).refused(404, "not-found")
		w.post(shop, path+"/cancel", m{}).want(422).names("/reason")
		c := w.post(shop, path+"/cancel", m{"reason": "cancelled_by_merchant"}).want(200)
		if c.text("status") != "cancelled" || c.text("cancelled_by") != "merchant" || c.text("cancellation_reason") != "cancelled_by_merchant" {
			t.Errorf("got %s", c.body)
		}
		again := w.post(shop, path+"/cancel", m{"reason": "cancelled_by_merchant"}).want(200)
		if again.number("version") != c.number("version") {
			t.Error("cancelling twice changed something")
		}
		if s := w.get(w.admin, "/v1/stores/"+id+"/stock"); s.number("data.0.available") != 1 {
			t.Errorf("the milk is not back: %s", s.body)
		}
		d := w.order(shop, m{"items": []m{{"sku": "milk", "quantity": 1}}})
		if d.text("status") != "confirmed" {
			t.Errorf("the unit is not free again: %s", d.body)
		}
		w.post(w.admin, "/v1/orders/"+d.text("id")+"/pick-up", nil).want(200)
		w.post(shop, "/v1/orders/"+d.text("id")+"/cancel", m{"reason": "cancelled_by_merchant"}).refused(409, "in_custody")
	})
}

func TestReassigning(t *testing.T) {
	story(t, func(w *world) {
		shop, desk := w.key("merchant", "", "Acme"), w.key("dispatcher", "", "")
		w.store("one", m{"location": northOf(100)})
		w.store("two", m{"location": northOf(200), "capacity": m{"slot_minutes": 60, "orders_per_slot": 1}})
		far := w.store("far", m{"location": northOf(9000), "opening_hours": "Mo-Su 22:00-23:00"})
		a, b := w.order(shop, nil), w.order(shop, nil)
		path := "/v1/orders/" + a.text("id") + "/reassign"
		w.post(shop, path, m{}).refused(403, "forbidden")
		if c := w.post(desk, path, m{}).want(200); c.text("store.name") != "two" || c.text("status") != "confirmed" {
			t.Errorf("to the next best: %s", c.body)
		}
		// No room is no room, for a dispatcher too, and then nothing changes.
		w.post(desk, "/v1/orders/"+b.text("id")+"/reassign", m{"store_id": "ext:two"}).refused(409, "store-cannot-serve")
		if d := w.get(desk, "/v1/orders/"+b.text("id")); d.text("store.name") != "one" || d.text("assignment.status") != "accepted" {
			t.Errorf("after the refusal: %s", d.body)
		}
		w.post(desk, path, m{"store_id": "str_000000000000000000000000"}).want(422).names("/store_id")
		// Nor is an order taken from its store when no other can serve it.
		w.post(desk, "/v1/orders/"+b.text("id")+"/reassign", m{}).refused(409, "no-other-store")
		if d := w.get(desk, "/v1/orders/"+b.text("id")); d.text("store.name") != "one" || d.text("status") != "confirmed" {
			t.Errorf("after the second refusal: %s", d.body)
		}
		// Hours and distance may be overruled.
		if e := w.post(desk, path, m{"store_id": far}).want(200); e.text("store.id") != far {
			t.Errorf("to a named store: %s", e.body)
		}
		if f := w.order(shop, nil); f.text("store.name") != "one" {
			t.Errorf("one's unit did not come back: %s", f.body)
		}
	})
}

func TestBatches(t *testing.T) {
	story(t, func(w *world) {
		shop := w.key("merchant", "", "Acme")
		w.store("shop", m{"capacity": m{"slot_minutes": 60, "orders_per_slot": 1000}})
		var lines []string
		for i := range 300 {
			line := fmt.Sprintf(`{"external_id":"B-%d","recipient":{"name":"x","phone":"+254712345678"},"dropoff":{"location":{"lat":-1.2921,"lng":36.7856}},"undeliverable_action":"return"}`, i)
			switch i {
			case 7:
				line = `{"external_id":"B-7"}`
			case 8:
				line = `not json`
			}
			lines = append(lines, line)
		}
		send := func() (created, repeated, refused int) {
			a := w.send(request{method: "POST", path: "/v1/order-batches", key: shop, body: strings.Join(lines, "\n"), kind: "application/x-ndjson",
				header: map[string]string{"Idempotency-Key": "night"}}).want(200)
			out := strings.Split(strings.TrimSpace(string(a.body)), "\n")
			if len(out) != len(lines) {
				t.Fatalf("%d answers for %d lines", len(out), len(lines))
			}
			for i, l := range out {
				one := &answer{w: w, body: []byte(l), what: "line"}
				if one.number("index") != i {
					t.Fatalf("line %d answered %s", i, l)
				}
				switch one.number("status") {
				case 201:
					created++
				case 400, 422:
					refused++
					if i != 7 && i != 8 {
						t.Errorf("line %d: %s", i, l)
					}
				default:
					t.Errorf("line %d: %s", i, l)
				}
			}
			return
		}
		if c, _, r := send(); c != 298 || r != 2 {
			t.Errorf("%d created, %d refused", c, r)
		}
		if c, _, r := send(); c != 298 || r != 2 {
			t.Errorf("again: %d answered as created, %d refused", c, r)
		}
		n, cursor := 0, ""
		for {
			page := w.get(shop, "/v1/orders?limit=200"+cursor).want(200)
			n += len(page.at("data").([]any))
			if page.at("has_more") != true {
				break
			}
			cursor = "&cursor=" + page.text("next_cursor")
		}
		if n != 298 {
			t.Errorf("%d orders after sending 298 twice", n)
		}
		w.send(request{method: "POST", path: "/v1/order-batches", key: shop, body: "{}", kind: "application/json"}).want(415)
	})
}

func TestQuotesReserveNothing(t *testing.T) {
	story(t, func(w *world) {
		shop := w.key("merchant", "", "Acme")
		w.store("one", m{"location": northOf(100), "capacity": m{"slot_minutes": 60, "orders_per_slot": 1}})
		q := m{"dropoff": m{"location": kilimani}}
		for range 3 {
			a := w.post(shop, "/v1/quotes", q).want(200)
			if a.at("serviceable") != true || a.text("store.name") != "one" || a.number("distance_m") != 100 || a.text("expires_at") == "" {
				t.Fatalf("got %s", a.body)
			}
		}
		w.order(shop, nil)
		if a := w.post(shop, "/v1/quotes", q).want(200); a.at("serviceable") != false || a.text("reason") != "capacity_exceeded" {
			t.Errorf("with the only unit gone: %s", a.body)
		}
		w.post(shop, "/v1/quotes", m{"dropoff": m{"location": m{"lat": 0, "lng": 200}}}).want(422).names("/dropoff/location")
	})
}

func TestListsAreStableUnderInserts(t *testing.T) {
	story(t, func(w *world) {
		shop, other := w.key("merchant", "", "Acme"), w.key("merchant", "", "Other")
		id := w.store("shop", nil)
		seen := map[string]bool{}
		for range 7 {
			w.order(shop, nil)
			w.order(other, nil)
		}
		cursor := ""
		for {
			page := w.get(shop, "/v1/orders?limit=3"+cursor).want(200)
			w.order(shop, nil) // while we page
			for i := range page.at("data").([]any) {
				oid := page.text(fmt.Sprintf("data.%d.id", i))
				if seen[oid] {
					t.Errorf("%s twice", oid)
				}
				seen[oid] = true
			}
			if page.at("has_more") != true {
				break
			}
			cursor = "&cursor=" + page.text("next_cursor")
		}
		if len(seen) != 7 {
			t.Errorf("%d orders seen of the first 7", len(seen))
		}
		count := func(key, query string) int { return len(w.get(key, "/v1/orders"+query).want(200).at("data").([]any)) }
		if n := count(w.admin, "?merchant=Other&limit=200"); n != 7 {
			t.Errorf("%d of the other merchant", n)
		}
		if n := count(shop, "?merchant=Other"); n != 0 {
			t.Errorf("a merchant sees %d of another", n)
		}
		if n := count(w.admin, "?store_id="+id+"&status=confirmed,created&limit=200"); n != 17 {
			t.Errorf("%d at the store", n)
		}
		if n := count(w.admin, "?created_after=2026-11-24T00:00:00Z"); n != 0 {
			t.Errorf("%d of tomorrow", n)
		}
		w.get(shop, "/v1/orders?limit=0").want(422).names("limit")
		w.get(shop, "/v1/orders?limit=201").want(422).names("limit")
		w.get(shop, "/v1/orders?cursor=banana").want(422).names("cursor")
		w.get(shop, "/v1/orders?status=lost").want(422).names("status")
		w.get(shop, "/v1/orders?created_after=yesterday").want(422).names("created_after")
	})
}

func TestWithoutAKeyNothingIsSaid(t *testing.T) {
	story(t, func(w *world) {
		router, err := contract()
		if err != nil || router == nil {
			w.Fatal(err)
		}
		for _, path := range []string{"/v1/orders", "/v1/stores", "/v1/keys", "/v1/events", "/v1/jobs", "/v1/cells", "/v1/campaigns", "/v1/me"} {
			w.get("", path).refused(401, "unauthorized")
			w.get("ds_live_nonsense", path).refused(401, "unauthorized")
		}
		w.get(w.admin, "/v1/nothing").refused(404, "no-such-path")
		if a := w.send(request{method: http.MethodDelete, path: "/v1/orders", key: w.admin}); a.status != 405 || a.header.Get("Allow") == "" {
			w.Errorf("a wrong method: %d %v", a.status, a.header)
		}
		// A key that is revoked is dead at once.
		shop := w.post(w.admin, "/v1/keys", m{"role": "merchant", "merchant": "Acme"}).want(201)
		w.get(shop.text("key"), "/v1/me").want(200)
		w.post(w.admin, "/v1/keys/"+shop.text("id")+"/revoke", nil).want(200)
		w.get(shop.text("key"), "/v1/me").refused(401, "unauthorized")
		if l := w.get(w.admin, "/v1/keys").want(200); strings.Contains(string(l.body), shop.text("key")) {
			w.Error("a secret is shown again")
		}
	})
}
