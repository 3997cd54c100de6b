package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// label is a scan in at the caller's own store, now.
func (w *world) label(id, code, direction string, more m) m {
	s := m{"id": id, "code": code, "direction": direction, "occurred_at": w.clock.Now().Format(time.RFC3339)}
	for k, v := range more {
		s[k] = v
	}
	return s
}

func (w *world) scan(key string, scans ...m) *answer {
	w.Helper()
	w.clock.Advance(time.Second)
	return w.post(key, "/v1/scans", scans).want(200)
}

// holder is who has the parcel, and for a store which.
func (a *answer) holder() string {
	a.w.Helper()
	return strings.TrimSpace(a.text("custody.holder") + " " + a.text("custody.store_id"))
}

// next is what has to be done by whom.
func (a *answer) next() string {
	a.w.Helper()
	return strings.TrimSpace(a.text("next_step.who") + " " + a.text("next_step.action"))
}

// moves are the holders of a parcel by the log.
func (w *world) moves(key, order string) string {
	w.Helper()
	a := w.get(key, "/v1/orders/"+order+"/events").want(200)
	var out []string
	for i := 0; a.text(fmt.Sprintf("data.%d.type", i)) != ""; i++ {
		if a.text(fmt.Sprintf("data.%d.type", i)) == "custody.moved" {
			out = append(out, a.text(fmt.Sprintf("data.%d.data.to", i)))
		}
	}
	return strings.Join(out, " ")
}

func TestAParcelHasOneHolderFromTheMerchantToTheCustomer(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		o := w.order(shop, nil)
		code := o.text("id")
		show := func() *answer { return w.get(shop, "/v1/orders/"+code).want(200) }
		if a := show(); a.holder() != "merchant" || a.next() != "store pack" {
			t.Errorf("a new order: %s, %s", a.holder(), a.next())
		}
		// The van brings it: the label alone says that it is here, and that makes it ready.
		in := w.label("s1", strings.ToUpper(strings.ReplaceAll(code, "_", "")), "in", nil)
		a := w.scan(key, in)
		if a.results() != "recorded" || a.text("results.0.order_status") != "ready_for_pickup" || a.text("results.0.next_step.action") != "pick_up" {
			t.Errorf("scanned in: %s", a.body)
		}
		if a := show(); a.holder() != "store "+id || a.next() != "runner pick_up" || a.text("next_step.by") == "" {
			t.Errorf("at the store: %s, %s", a.holder(), a.next())
		}
		out := w.label("s2", code, "out", nil)
		if a := w.scan(key, in, out, out); a.results() != "duplicate recorded duplicate" {
			t.Errorf("a queue that is sent again: %s", a.body)
		}
		if a := show(); a.text("status") != "picked_up" || a.holder() != "runner" || a.next() != "runner depart" {
			t.Errorf("with the runner: %s", a.body)
		}
		w.step(key, code, "depart").want(200)
		if a := w.scan(key, w.label("s3", code, "in", nil)); a.results() != "refused:attempt-open" {
			t.Errorf("scanned in while a runner is on the way: %s", a.body)
		}
		d := &door{w: w, order: code, attempt: 1}
		w.clock.Advance(10 * time.Minute)
		w.report(key, d.contactless(w.photo(key, 31))...)
		if a := show(); a.text("status") != "delivered" || a.holder() != "customer" || a.at("next_step") != nil {
			t.Errorf("delivered: %s", a.body)
		}
		if got := w.moves(shop, code); got != "store runner customer" {
			t.Errorf("the log has the parcel with %s", got)
		}
		if a := w.scan(key, w.label("s4", code, "in", nil)); a.results() != "refused:not-allowed-now" {
			t.Errorf("scanned in after the end: %s", a.body)
		}
	})
}

func TestAStrangeStoreLearnsWhatToDoAndNothingElse(t *testing.T) {
	story(t, func(w *world) {
		id, other := w.store("duka", nil), w.store("other", m{"location": northOf(900)})
		shop, key, stranger := w.key("merchant", "", "Acme"), w.key("store", id, ""), w.key("store", other, "")
		code := w.order(shop, m{"recipient": m{"name": "Wanjiru Kamau", "phone": "+254712345678"}}).text("id")
		a := w.scan(stranger, w.label("x1", code, "in", nil))
		if a.results() != "recorded" || a.text("results.0.next_step.action") != "forward" || a.text("results.0.next_step.to_store.id") != id {
			t.Errorf("at the wrong store: %s", a.body)
		}
		for _, secret := range []string{"Wanjiru", "2547", "confirmed", "-1.2921", "Acme"} {
			if strings.Contains(strings.ReplaceAll(string(a.body), `"location":{"lat":-1.2921,"lng":36.7856}`, ""), secret) {
				t.Errorf("a strange store reads %s: %s", secret, a.body)
			}
		}
		w.get(stranger, "/v1/orders/"+code).refused(404, "not-found")

		// Its own store cannot pretend to have it; the network is told where it is.
		for _, action := range []string{"ready", "pick-up"} {
			if a := w.step(key, code, action).refused(409, "parcel-elsewhere"); strings.Contains(string(a.body), other) {
				t.Errorf("a store learns where it is: %s", a.body)
			}
			if a := w.step(w.admin, code, action).refused(409, "parcel-elsewhere"); !strings.Contains(a.text("detail"), other) {
				t.Errorf("the network does not: %s", a.body)
			}
		}
		for _, path := range []string{"/v1/orders/" + code, "/v1/orders/" + code + "/events", "/v1/assignments"} {
			if a := w.get(key, path).want(200); strings.Contains(string(a.body), other) {
				t.Errorf("%s tells its store where it is: %s", path, a.body)
			}
		}
		if a := w.get(shop, "/v1/orders/"+code); a.holder() != "store "+other || a.next() != "store forward" || a.text("next_step.to_store_id") != id {
			t.Errorf("strayed: %s", a.body)
		}
		if a := w.scan(key, w.label("y0", code, "out", nil)); a.results() != "refused:not-here" {
			t.Errorf("scanned out where it is not: %s", a.body)
		}
		if a := w.scan(stranger, w.label("x2", code, "out", m{"to": "store", "store_id": other})); a.results() != "refused:no-transfer" {
			t.Errorf("sent to where nobody asked: %s", a.body)
		}
		if a := w.scan(stranger, w.label("x3", code, "out", m{"to": "store", "store_id": id})); a.results() != "recorded" || a.at("results.0.next_step") != nil {
			t.Errorf("sent on: %s", a.body)
		}
		if a := w.get(shop, "/v1/orders/"+code); a.holder() != "runner" || a.next() != "runner bring_to_store" {
			t.Errorf("on its way home: %s", a.body)
		}
		if a := w.scan(w.admin, w.label("z1", code, "in", m{"at_store_id": id})); a.text("results.0.order_status") != "ready_for_pickup" {
			t.Errorf("home: %s", a.body)
		}
		// The stranger's outbox comes a day late: it moves nothing any more.
		if a := w.scan(stranger, m{"id": "x4", "code": code, "direction": "in", "occurred_at": noon.Format(time.RFC3339)}); a.results() != "recorded" || a.at("results.0.moved") != false {
			t.Errorf("late: %s", a.body)
		}
		if a := w.get(shop, "/v1/orders/"+code); a.holder() != "store "+id {
			t.Errorf("after a late scan: %s", a.holder())
		}
	})
}

func TestScansAreAnsweredOneByOne(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		w.stock(id, "milk", 5)
		parcel, goods := w.order(shop, nil).text("id"), w.order(shop, m{"items": []m{{"sku": "milk", "quantity": 1}}}).text("id")
		bad := func(kind string, body any, field string) {
			t.Helper()
			a := w.send(request{method: "POST", path: "/v1/scans", key: key, body: body, wrong: true}).want(200)
			if a.results() != "refused:invalid" || !strings.Contains(string(a.body), `"`+field+`"`) {
				t.Errorf("%s: %s", kind, a.body)
			}
		}
		bad("a foreign label", []m{w.label("a", "ord_000000000000000000000000", "in", nil)}, "/code")
		bad("no label", []m{w.label("a", "4006381333931", "in", nil)}, "/code")
		bad("no time", []m{{"id": "a", "code": parcel, "direction": "in"}}, "/occurred_at")
		bad("no id", []m{w.label("", parcel, "in", nil)}, "/id")
		bad("sideways", []m{w.label("a", parcel, "up", nil)}, "/direction")
		bad("in to a runner", []m{w.label("a", parcel, "in", m{"to": "runner"})}, "/to")
		bad("out to a store without name", []m{w.label("a", parcel, "out", m{"to": "store"})}, "/store_id")
		bad("tomorrow", []m{w.label("a", parcel, "in", m{"occurred_at": w.clock.Now().Add(time.Hour).Format(time.RFC3339)})}, "/occurred_at")
		bad("somewhere else", []m{w.label("a", parcel, "in", m{"at_store_id": "ext:mars"})}, "/at_store_id")
		w.send(request{method: "POST", path: "/v1/scans", key: w.admin, body: []m{w.label("a", parcel, "in", nil)}, wrong: true}).want(200).names2("/at_store_id")
		w.post(key, "/v1/scans", []m{}).refused(422, "invalid")
		w.post(shop, "/v1/scans", []m{w.label("a", parcel, "in", nil)}).want(403)
		w.post("", "/v1/scans", []m{w.label("a", parcel, "in", nil)}).want(401)

		// Goods that lie on the shelf become a parcel when its own store has packed them.
		other := w.key("store", w.store("other", m{"location": northOf(900)}), "")
		if a := w.scan(other, w.label("g1", goods, "in", nil)); a.results() != "refused:not-packed" {
			t.Errorf("goods of another's shelf: %s", a.body)
		}
		a := w.send(request{method: "POST", path: "/v1/scans", key: key, wrong: true,
			body: []any{w.label("b1", parcel, "in", nil), "no scan", w.label("b2", goods, "out", nil), w.label("b1", goods, "in", nil)}}).want(200)
		if got := a.results(); got != "recorded refused:malformed recorded refused:id-taken" && got != "recorded refused:invalid-json recorded refused:id-taken" {
			t.Errorf("a mixed batch: %s", a.body)
		}
		if o := w.get(shop, "/v1/orders/"+goods); o.text("status") != "picked_up" {
			t.Errorf("packed and gone in one go: %s", o.body)
		}
	})
}

// names2 checks that the first result's problem names a field.
func (a *answer) names2(pointer string) {
	a.w.Helper()
	if !strings.Contains(string(a.body), `"pointer":"`+pointer+`"`) {
		a.w.Fatalf("%s: nothing names %s: %s", a.what, pointer, a.body)
	}
}

func TestTheCounterKeepsAParcelRemindsAndSendsItBack(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		code := w.order(shop, m{"dropoff": m{"location": kilimani, "mode": "collect_at_store"}}).text("id")
		show := func() *answer { return w.get(shop, "/v1/orders/"+code).want(200) }
		run := func() { w.post(w.admin, "/v1/jobs/holds/run", nil).want(200) }
		told := func(kind string) (n int) {
			a := w.get(shop, "/v1/orders/"+code+"/events").want(200)
			return strings.Count(string(a.body), `"type":"`+kind+`"`)
		}
		w.post(shop, "/v1/orders/"+code+"/extend-hold", nil).refused(409, "not-allowed-now")
		w.scan(key, w.label("s1", code, "in", nil))
		a := show()
		if a.text("status") != "received_at_store" || a.next() != "customer collect" || a.text("custody.hold_until") != "2026-11-30T09:00:01.000Z" {
			t.Fatalf("kept for the customer: %s", a.body)
		}
		if a.at("delivered_at") != nil || strings.Contains(string(a.body), "delivered\"") && a.text("status") == "delivered" {
			t.Errorf("the store has it, and it reads as delivered: %s", a.body)
		}
		for _, c := range []struct {
			days      float64
			reminders int
		}{{1, 0}, {4, 1}, {5, 1}, {6.1, 2}} {
			w.clock.Set(noon.Add(time.Duration(c.days * 24 * float64(time.Hour))))
			run()
			run()
			if n := told("order.hold_reminder"); n != c.reminders {
				t.Errorf("%d reminders after %v days, want %d", n, c.days, c.reminders)
			}
		}
		w.post(shop, "/v1/orders/"+code+"/extend-hold", m{"hold_until": "2026-11-29T09:00:00Z"}).want(422).names("/hold_until")
		w.post(shop, "/v1/orders/"+code+"/extend-hold", m{"hold_until": "2027-01-29T09:00:00Z"}).refused(409, "no-extension-left")
		w.post(shop, "/v1/orders/"+code+"/extend-hold", m{"hold_until": "soon"}).want(422).names("/hold_until")
		for range 2 {
			if a := w.post(key, "/v1/orders/"+code+"/extend-hold", m{"hold_until": "2026-12-04T09:00:00Z"}).want(200); a.text("custody.hold_until") != "2026-12-04T09:00:00.000Z" {
				t.Errorf("extended: %s", a.body)
			}
		}
		if told("order.hold_extended") != 1 {
			t.Error("the same extension twice was told twice")
		}
		w.clock.Set(time.Date(2026, 12, 4, 9, 0, 1, 0, time.UTC))
		run()
		a = show()
		if a.text("status") != "enroute_to_return" || a.text("status_reason") != "hold_expired" || a.holder() != "store "+id || a.next() != "store send_back" {
			t.Errorf("after the end: %s", a.body)
		}
		if told("order.hold_expired") != 1 {
			t.Error("nobody was told that the hold is over")
		}
		// The customer comes an hour late, and it lies there still.
		w.clock.Advance(time.Hour)
		secret := w.get("", "/v1/tracking/"+w.token(show())).want(200).text("collection_code")
		w.post(key, "/v1/orders/"+code+"/extend-hold", nil).want(200)
		if secret == "" {
			secret = w.get("", "/v1/tracking/"+w.token(show())).want(200).text("collection_code")
		}
		w.post(key, "/v1/orders/"+code+"/collect", m{"code": secret}).want(200)
		if a := show(); a.text("status") != "collected" || a.holder() != "customer" {
			t.Errorf("collected: %s", a.body)
		}
	})
}

func TestAParcelIsCarriedToAnotherStore(t *testing.T) {
	story(t, func(w *world) {
		id, second := w.store("duka", nil), w.store("second", m{"location": northOf(900)})
		full := w.store("full", m{"location": northOf(1200), "capacity": m{"slot_minutes": 1440, "orders_per_slot": 1}})
		shop, key, other := w.key("merchant", "", "Acme"), w.key("store", id, ""), w.key("store", second, "")
		w.order(shop, m{"dropoff": m{"location": northOf(1200)}}) // fills the third
		w.stock(id, "milk", 5)
		code := w.order(shop, m{"items": []m{{"sku": "milk", "quantity": 2}}, "undeliverable_action": "hold_at_store"}).text("id")
		show := func() *answer { return w.get(shop, "/v1/orders/"+code).want(200) }
		transfer := func(body m) *answer { return w.post(w.admin, "/v1/orders/"+code+"/transfer", body) }
		shelf := func(store string) string {
			a := w.get(w.admin, "/v1/stores/"+store+"/stock").want(200)
			return fmt.Sprintf("%d/%d", a.number("data.0.on_hand"), a.number("data.0.reserved"))
		}
		w.step(key, code, "ready").want(200)
		w.step(key, code, "pick-up").want(200)
		w.step(key, code, "depart").want(200)
		transfer(m{"store_id": second}).refused(409, "attempt-open")
		d := &door{w: w, order: code, attempt: 1}
		w.report(key, d.event("arrived", nil), d.event("failed", m{"reason": "customer_unavailable"}))
		if a := show(); a.next() != "runner bring_to_store" || a.text("next_step.to_store_id") != id {
			t.Errorf("nobody at home, hold it at the store: %s", a.body)
		}
		if a := w.scan(key, w.label("s1", code, "in", nil)); a.text("results.0.order_status") != "received_at_store" || a.text("results.0.next_step.action") != "collect" {
			t.Errorf("back at the store: %s", a.body)
		}

		transfer(m{}).want(422).names("/store_id")
		transfer(m{"store_id": "ext:mars"}).want(422).names("/store_id")
		transfer(m{"store_id": second, "reason": "boredom"}).want(422).names("/reason")
		w.post(key, "/v1/orders/"+code+"/transfer", m{"store_id": second}).want(403)
		for range 2 {
			if a := transfer(m{"store_id": second, "reason": "store_closed"}).want(200); a.text("custody.transfer_to_store_id") != second || a.text("status") != "received_at_store" || a.holder() != "store "+id {
				t.Errorf("asked for: %s", a.body)
			}
		}
		// Until it leaves, the customer may still collect it here.
		if a := show(); a.next() != "store forward" || a.text("store.id") != id {
			t.Errorf("asked for: %s", a.body)
		}
		if a := w.scan(key, w.label("s2", code, "out", m{"to": "store", "store_id": second})); a.results() != "recorded" {
			t.Fatalf("sent: %s", a.body)
		}
		if a := show(); a.text("status") != "picked_up" || a.holder() != "runner" || a.text("store.id") != second || a.text("assignment.status") != "accepted" || a.next() != "runner bring_to_store" {
			t.Errorf("between the stores: %s", a.body)
		}
		if list := w.get(other, "/v1/assignments").want(200); list.text("data.0.order_id") != code {
			t.Errorf("the other store does not see it coming: %s", list.body)
		}
		if a := w.scan(other, w.label("t1", code, "in", nil)); a.text("results.0.order_status") != "received_at_store" {
			t.Errorf("there: %s", a.body)
		}
		if a := show(); a.holder() != "store "+second || a.next() != "customer collect" || a.at("custody.transfer_to_store_id") != nil {
			t.Errorf("there: %s", a.body)
		}
		if a, b := shelf(id), shelf(second); a != "3/0" || b != "0/0" {
			t.Errorf("shelves: %s and %s", a, b)
		}
		if got := w.moves(shop, code); got != "store runner store runner store" {
			t.Errorf("the log has the parcel with %s", got)
		}
		// A store that has no room leaves everything as it is.
		transfer(m{"store_id": full}).want(200)
		if a := w.scan(other, w.label("t2", code, "out", m{"to": "store", "store_id": full})); a.results() != "refused:store-cannot-serve" {
			t.Errorf("to a full store: %s", a.body)
		}
		if a := show(); a.holder() != "store "+second || a.text("status") != "received_at_store" {
			t.Errorf("after the refusal: %s", a.body)
		}
		if a := transfer(m{"store_id": second}).want(200); a.at("custody.transfer_to_store_id") != nil {
			t.Errorf("taken back: %s", a.body)
		}
	})
}

func TestBeforePickUpATransferIsAReassignmentAndTheParcelFollows(t *testing.T) {
	story(t, func(w *world) {
		id, second := w.store("duka", nil), w.store("second", m{"location": northOf(900)})
		shop, key, other := w.key("merchant", "", "Acme"), w.key("store", id, ""), w.key("store", second, "")
		code := w.order(shop, nil).text("id")
		w.scan(key, w.label("s1", code, "in", nil))
		a := w.post(w.admin, "/v1/orders/"+code+"/transfer", m{"store_id": second}).want(200)
		if a.text("status") != "confirmed" || a.text("store.id") != second || a.holder() != "store "+id || a.next() != "store forward" {
			t.Errorf("given to another store: %s", a.body)
		}
		w.step(other, code, "ready").refused(409, "parcel-elsewhere")
		w.scan(key, w.label("s2", code, "out", m{"to": "store", "store_id": second}))
		w.scan(other, w.label("t1", code, "in", nil))
		if a := w.get(shop, "/v1/orders/"+code); a.text("status") != "ready_for_pickup" || a.holder() != "store "+second {
			t.Errorf("there: %s", a.body)
		}
		// The merchant changes its mind: the store keeps the parcel until it is handed back.
		w.post(shop, "/v1/orders/"+code+"/cancel", m{"reason": "cancelled_by_merchant"}).want(200)
		if a := w.get(shop, "/v1/orders/"+code); a.holder() != "store "+second || a.next() != "store send_back" {
			t.Errorf("cancelled: %s", a.body)
		}
		w.scan(other, w.label("t2", code, "out", m{"to": "merchant"}))
		if a := w.get(shop, "/v1/orders/"+code); a.text("status") != "cancelled" || a.holder() != "returned" || a.at("next_step") != nil {
			t.Errorf("given back: %s", a.body)
		}
	})
}

func TestLostAndFound(t *testing.T) {
	story(t, func(w *world) {
		id, second := w.store("duka", nil), w.store("second", m{"location": northOf(900)})
		shop, key, other := w.key("merchant", "", "Acme"), w.key("store", id, ""), w.key("store", second, "")
		o := w.out(shop, key, nil)
		code := o.text("id")
		w.post(other, "/v1/orders/"+code+"/lost", nil).refused(404, "not-found")
		w.post(shop, "/v1/orders/"+code+"/lost", nil).want(403)
		for range 2 {
			a := w.post(key, "/v1/orders/"+code+"/lost", nil).want(200)
			if a.text("status") != "cancelled" || a.text("cancellation_reason") != "lost" || a.text("cancelled_by") != "store" || a.holder() != "lost" || a.at("next_step") != nil {
				t.Errorf("lost: %s", a.body)
			}
		}
		if a := w.get(shop, "/v1/orders/"+code+"/dropoffs"); a.text("data.0.state") != "failed" || a.text("data.0.reason") != "lost" {
			t.Errorf("the attempt under way: %s", a.body)
		}
		// The runner's phone comes out of the tunnel and says otherwise: people have to talk.
		d := &door{w: w, order: code, attempt: 1}
		if a := w.report(key, d.event("arrived", nil), d.event("completed", nil)); a.results() != "recorded refused:not-allowed-now" {
			t.Errorf("completed after it was lost: %s", a.body)
		}
		if a := w.scan(other, w.label("f1", code, "in", nil)); a.text("results.0.next_step.action") != "send_back" {
			t.Errorf("found: %s", a.body)
		}
		if a := w.get(shop, "/v1/orders/"+code); a.holder() != "store "+second || a.next() != "store send_back" {
			t.Errorf("found: %s", a.body)
		}
		w.scan(other, w.label("f2", code, "out", m{"to": "merchant"}))
		if a := w.get(shop, "/v1/orders/"+code); a.holder() != "returned" || a.at("next_step") != nil {
			t.Errorf("given back: %s", a.body)
		}
		fresh := w.order(shop, nil).text("id")
		w.post(w.admin, "/v1/orders/"+fresh+"/lost", nil).refused(409, "not-allowed-now")
		w.post(key, "/v1/orders/"+fresh+"/lost", nil).refused(409, "not-here")
	})
}

func TestTheSenderTakesItBackWithAProof(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		code := w.out(shop, key, m{"undeliverable_action": "return"}).text("id")
		d := &door{w: w, order: code, attempt: 1}
		w.report(key, d.event("failed", m{"reason": "customer_refused"}))
		if a := w.get(shop, "/v1/orders/"+code); a.next() != "runner return" {
			t.Errorf("refused at the door: %s", a.body)
		}
		w.post(key, "/v1/orders/"+code+"/returned", m{"name": "Otieno"}).refused(409, "not-allowed-now")
		if a := w.step(key, code, "return").want(200); a.holder() != "runner" || a.next() != "runner give_to_sender" {
			t.Errorf("on its way back: %s", a.body)
		}
		path := "/v1/orders/" + code + "/returned"
		w.post(key, path, m{"photo_sha256": strings.Repeat("ab", 32)}).want(422).names("/photo_sha256")
		w.post(key, path, m{"location": m{"lat": 91, "lng": 0}}).want(422).names("/location")
		body := m{"photo_sha256": w.photo(key, 77), "name": "Otieno", "location": m{"lat": -1.2921, "lng": 36.7856, "accuracy_m": 10}}
		for range 2 {
			if a := w.post(key, path, body).want(200); a.text("status") != "returned" || a.holder() != "returned" || a.number("attempts") != 2 {
				t.Errorf("returned: %s", a.body)
			}
		}
		a := w.get(shop, "/v1/orders/"+code+"/dropoffs")
		if a.text("data.1.leg") != "return" || a.text("data.1.state") != "completed" || a.text("data.1.photos.0.sha256") == "" {
			t.Errorf("its attempt: %s", a.body)
		}
	})
}

func TestWhatNobodyDoesShowsUp(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		packed, forgotten := w.order(shop, nil).text("id"), w.order(shop, nil).text("id")
		w.step(key, packed, "ready").want(200)
		overdue := func() string {
			w.post(w.admin, "/v1/jobs/overdue-steps/run", nil).want(200)
			a := w.get(w.admin, "/v1/orders?overdue=true").want(200)
			var ids []string
			for i := 0; a.text(fmt.Sprintf("data.%d.id", i)) != ""; i++ {
				if a.at(fmt.Sprintf("data.%d.next_step.overdue", i)) != true {
					t.Errorf("listed and not overdue: %s", a.body)
				}
				ids = append(ids, a.text(fmt.Sprintf("data.%d.id", i)))
			}
			return strings.Join(ids, " ")
		}
		if got := overdue(); got != "" {
			t.Errorf("overdue at once: %s", got)
		}
		w.clock.Advance(4*time.Hour + time.Minute)
		for range 2 {
			if got := overdue(); got != forgotten+" "+packed {
				t.Errorf("overdue: %s", got)
			}
		}
		for _, code := range []string{packed, forgotten} {
			if a := w.get(shop, "/v1/orders/"+code+"/events"); strings.Count(string(a.body), "order.step_overdue") != 1 {
				t.Errorf("told: %s", a.body)
			}
		}
		w.step(key, packed, "pick-up").want(200)
		if got := overdue(); got != forgotten {
			t.Errorf("overdue after somebody came: %s", got)
		}
		w.get(w.admin, "/v1/orders?overdue=perhaps").want(422).names("overdue")
	})
}
