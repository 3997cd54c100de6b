package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestAMerchantSaysWhatItAsksOfTheDoorstep(t *testing.T) {
	story(t, func(w *world) {
		w.store("duka", nil)
		shop, other, desk := w.key("merchant", "", "Acme"), w.key("merchant", "", "Other"), w.key("dispatcher", "", "")
		mine := "/v1/merchant/policy"
		a := w.get(shop, mine).want(200)
		if a.number("version") != 0 || a.number("fence_m") != 150 || a.text("photo") != "wanted" || a.at("changed_by") != nil || a.header.Get("ETag") != `"0"` {
			t.Errorf("the usual policy: %s", a.body)
		}
		theirs := "/v1/merchants/" + a.text("merchant_id") + "/policy"

		a = w.send(request{method: "PUT", path: mine, key: shop, header: map[string]string{"If-Match": `"0"`},
			body: m{"fence_m": 60, "photo": "required", "minimum_evidence_grade": "C", "return_to": kilimani}}).want(200)
		if a.number("version") != 1 || a.number("fence_m") != 60 || a.number("hold_days") != 7 || !strings.HasPrefix(a.text("changed_by"), "key:key_") ||
			a.text("changed_at") != "2026-11-23T09:00:00.000Z" || a.header.Get("ETag") != `"1"` {
			t.Errorf("set: %s", a.body)
		}
		if b := w.get(desk, theirs).want(200); string(b.body) != string(a.body) {
			t.Errorf("the dispatcher sees %s", b.body)
		}
		if b := w.get(desk, "/v1/merchants/ext:Acme/policy").want(200); string(b.body) != string(a.body) {
			t.Errorf("by name: %s", b.body)
		}
		if b := w.get(other, mine).want(200); b.number("version") != 0 {
			t.Errorf("another merchant's: %s", b.body)
		}
		// A whole policy replaces the last: what is left out is as usual.
		w.send(request{method: "PUT", path: theirs, key: desk, header: map[string]string{"If-Match": `"0"`}, body: m{}}).refused(412, "version-mismatch")
		if b := w.put(desk, theirs, m{"max_attempts": 2}).want(200); b.number("version") != 2 || b.number("fence_m") != 150 || b.at("return_to") != nil {
			t.Errorf("replaced: %s", b.body)
		}
		if b := w.put(desk, theirs, m{"max_attempts": 2}).want(200); b.number("version") != 2 {
			t.Errorf("repeated: %s", b.body)
		}
		page := w.get(shop, mine+"/versions?limit=1").want(200)
		if page.number("data.0.version") != 2 || page.at("has_more") != true {
			t.Errorf("versions: %s", page.body)
		}
		if b := w.get(shop, mine+"/versions?limit=1&cursor="+page.text("next_cursor")).want(200); b.number("data.0.version") != 1 || b.at("has_more") != false {
			t.Errorf("the page behind: %s", b.body)
		}
		if b := w.get(desk, theirs+"/versions").want(200); b.number("data.1.fence_m") != 60 {
			t.Errorf("the dispatcher's list: %s", b.body)
		}
		told := string(w.get(desk, "/v1/events?limit=200").want(200).body)
		if n := strings.Count(told, "merchant.policy_changed"); n != 2 || strings.Contains(told, "-1.2921") {
			t.Errorf("told %d times, or where: %s", n, told)
		}

		for _, c := range []struct {
			body    any
			status  int
			pointer string
		}{
			{m{"fence_m": 19}, 422, "/fence_m"}, {m{"minimum_wait_s": -1}, 422, "/minimum_wait_s"}, {m{"calls_before_leaving": 6}, 422, "/calls_before_leaving"},
			{m{"max_attempts": 0}, 422, "/max_attempts"}, {m{"hold_days": 61}, 422, "/hold_days"}, {m{"hold_extensions": 6}, 422, "/hold_extensions"},
			{m{"hold_extension_days": 0}, 422, "/hold_extension_days"}, {m{"retention_days": 29}, 422, "/retention_days"},
			{m{"photo": "maybe"}, 422, "/photo"}, {m{"pin": ""}, 422, "/pin"}, {m{"name": "yes"}, 422, "/name"}, {m{"minimum_evidence_grade": "E"}, 422, "/minimum_evidence_grade"},
			{m{"return_to": m{"lat": 91, "lng": 0}}, 422, "/return_to"}, {m{"return_to": m{"lat": 1}}, 422, "/return_to/lng"},
			{m{"photo": "off", "minimum_evidence_grade": "B"}, 422, "/photo"}, {m{"photo": "off", "minimum_evidence_grade": "C"}, 422, "/minimum_evidence_grade"},
			{m{"fence_m": "far"}, 400, "/fence_m"}, {m{"fence": 60}, 400, "/fence"}, {m{"version": 7}, 400, "/version"}, {m{"merchant_id": "x"}, 400, "/merchant_id"},
		} {
			w.put(shop, mine, c.body).want(c.status).names(c.pointer)
		}
		w.put(shop, mine, ``).want(400)
		if b := w.get(shop, mine).want(200); b.number("version") != 2 {
			t.Errorf("a refused policy was set: %s", b.body)
		}
		w.get(desk, "/v1/merchants/mer_000000000000000000000000/policy").refused(404, "not-found")
		w.get(desk, "/v1/merchants/ext:Nobody/policy").refused(404, "not-found")
		w.put(desk, "/v1/merchants/ext:Nobody/policy", m{}).refused(404, "not-found")
		w.get(shop, theirs).refused(403, "forbidden")
		w.get(desk, mine).refused(403, "forbidden")
		w.get(w.key("store", w.store("next", nil), ""), theirs).refused(403, "forbidden")
		w.get("", mine).refused(401, "unauthorized")
	})
}

// Alone, in a batch and as a quote: a parcel that is left alone proves nothing that needs somebody.
func TestWhatNobodyCanProveIsRefusedWhereverItIsAsked(t *testing.T) {
	story(t, func(w *world) {
		w.store("duka", nil)
		shop := w.key("merchant", "", "Acme")
		cash := m{"amount": 250000, "currency": "KES"}
		drop := func(more m) m {
			d := m{"location": kilimani}
			for k, v := range more {
				d[k] = v
			}
			return d
		}
		refused := func(d m, pointers ...string) {
			t.Helper()
			w.post(shop, "/v1/quotes", m{"dropoff": d}).want(422).names(pointers[0])
			one := w.post(shop, "/v1/orders", orderBody(m{"dropoff": d})).want(422)
			line, err := json.Marshal(orderBody(m{"dropoff": d}))
			if err != nil {
				t.Fatal(err)
			}
			batch := w.send(request{method: "POST", path: "/v1/order-batches", key: shop, kind: "application/x-ndjson", wrong: true, body: fmt.Sprintf("%s\n%s", line, line)}).want(200)
			for _, p := range pointers {
				one.names(p)
				if strings.Count(string(batch.body), `"pointer":"`+p+`"`) != 2 {
					t.Errorf("the batch does not name %s: %s", p, batch.body)
				}
			}
		}
		all := m{"pin_required": true, "signature_required": true, "id_required": true, "cash_on_delivery": cash}
		for _, mode := range []string{"leave_at_door", "safe_place"} {
			d := drop(all)
			d["mode"], d["instructions"] = mode, "in the shed"
			refused(d, "/dropoff/pin_required", "/dropoff/signature_required", "/dropoff/id_required", "/dropoff/cash_on_delivery")
		}
		refused(drop(m{"cash_on_delivery": cash}), "/dropoff/cash_on_delivery") // leaving is what is usual
		refused(drop(m{"mode": "safe_place"}), "/dropoff/instructions")
		refused(drop(m{"mode": "neighbour", "id_required": true}), "/dropoff/id_required")
		refused(drop(m{"mode": "hand_over", "cash_on_delivery": m{"amount": 0, "currency": "KES"}}), "/dropoff/cash_on_delivery/amount")
		refused(drop(m{"mode": "hand_over", "cash_on_delivery": m{"currency": "KES"}}), "/dropoff/cash_on_delivery/amount")
		refused(drop(m{"mode": "hand_over", "cash_on_delivery": m{"amount": 5, "currency": "Ksh"}}), "/dropoff/cash_on_delivery/currency")
		w.post(shop, "/v1/orders", orderBody(m{"dropoff": drop(m{"cash_on_delivery": m{"amount": 2.5, "currency": "KES"}})})).want(400).names("/dropoff/cash_on_delivery/amount")
		w.post(shop, "/v1/orders", orderBody(m{"dropoff": drop(m{"cash_on_delivery": 5})})).want(400).names("/dropoff/cash_on_delivery")

		all["mode"] = "hand_over"
		a := w.order(shop, m{"dropoff": drop(all)})
		for _, o := range []*answer{a, w.get(shop, "/v1/orders/"+a.text("id")).want(200)} {
			if o.at("dropoff.signature_required") != true || o.at("dropoff.id_required") != true || o.number("dropoff.cash_on_delivery.amount") != 250000 ||
				o.text("dropoff.cash_on_delivery.currency") != "KES" {
				t.Errorf("asked for: %s", o.body)
			}
		}
		for _, c := range []m{{"amount": 120, "currency": "JPY"}, {"amount": 1500, "currency": "KWD"}} {
			w.order(shop, m{"dropoff": drop(m{"mode": "neighbour", "cash_on_delivery": c})})
		}
		if a := w.order(shop, m{"dropoff": drop(m{"mode": "safe_place", "instructions": "in the shed"})}); a.at("dropoff.cash_on_delivery") != nil || a.at("code_locked") != false {
			t.Errorf("nothing asked for: %s", a.body)
		}
		w.order(shop, m{"dropoff": drop(m{"mode": "collect_at_store", "pin_required": true, "cash_on_delivery": cash})})

		// The merchant's policy asks as an order does.
		w.put(shop, "/v1/merchant/policy", m{"pin": "required", "minimum_evidence_grade": "B"}).want(200)
		refused(drop(m{"mode": "leave_at_door"}), "/dropoff/mode")
		if a := w.order(shop, nil); a.text("dropoff.mode") != "hand_over" || a.at("dropoff.pin_required") != true || a.text("minimum_evidence_grade") != "B" {
			t.Errorf("under a strict policy: %s", a.body)
		}
		if a := w.order(shop, m{"minimum_evidence_grade": "D", "dropoff": drop(m{"mode": "collect_at_store"})}); a.at("dropoff.pin_required") != false || a.text("minimum_evidence_grade") != "D" {
			t.Errorf("what the order says itself: %s", a.body)
		}
		// A repeat under another policy is a repeat.
		first := w.order(shop, m{"external_id": "A-1"})
		w.put(shop, "/v1/merchant/policy", m{"photo": "off"}).want(200)
		if again := w.post(shop, "/v1/orders", orderBody(m{"external_id": "A-1"})).want(200); again.text("id") != first.text("id") || again.text("dropoff.mode") != "hand_over" {
			t.Errorf("repeated: %s", again.body)
		}
		w.post(shop, "/v1/orders", orderBody(m{"minimum_evidence_grade": "C"})).want(422).names("/minimum_evidence_grade")
		var keys []int64
		if err := w.db.Read(t.Context()).Select(&keys, `SELECT DISTINCT policy_key FROM orders ORDER BY policy_key`); err != nil || len(keys) != 2 || keys[0] != 0 {
			t.Errorf("orders name the policies %v, %v", keys, err)
		}
	})
}

// Nobody is judged by rules that came later.
func TestAnOrderKeepsThePolicyItWasMadeUnder(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		before := w.out(shop, key, nil).text("id")
		w.put(shop, "/v1/merchant/policy", m{"photo": "required", "fence_m": 50}).want(200)
		after := w.out(shop, key, nil).text("id")
		w.put(shop, "/v1/merchant/policy", m{"photo": "off"}).want(200)
		for order, want := range map[string]string{before: "recorded recorded", after: "recorded refused:evidence-missing"} {
			d := &door{w: w, order: order, attempt: 1}
			if a := w.report(key, d.event("placed", nil), d.event("completed", nil)); a.results() != want {
				t.Errorf("%s, want %s: %s", a.results(), want, a.body)
			}
		}
	})
}
