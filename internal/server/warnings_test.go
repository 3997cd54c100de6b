package server_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// warned is what the desk is warned of, as "kind whose".
func (w *world) warned(key, query string) (out []string, a *answer) {
	w.Helper()
	w.clock.Advance(time.Minute) // nobody is shown what another was shown before
	a = w.get(key, "/v1/warnings"+query).want(200)
	for i := range a.at("data").([]any) {
		p := fmt.Sprintf("data.%d.", i)
		whose := a.text(p + "order.external_id")
		if whose == "" {
			whose = a.text(p + "store.name")
		}
		out = append(out, a.text(p+"kind")+" "+whose)
	}
	return out, a
}

func TestAnOrderInDangerIsToldOfBeforeItIsLate(t *testing.T) {
	story(t, func(w *world) {
		desk, acme := w.key("dispatcher", "", ""), w.key("merchant", "", "Acme")
		w.store("duka", m{"phone": "+254700000001"})
		window := func(from, to time.Duration) m {
			now := w.clock.Now()
			return m{"earliest": now.Add(from).Format(time.RFC3339), "latest": now.Add(to).Format(time.RFC3339)}
		}
		slow := w.order(acme, m{"external_id": "SLOW", "window": window(0, time.Hour)}).text("id")
		w.order(acme, m{"external_id": "LATER", "window": window(0, 3*time.Hour)})
		w.order(acme, m{"external_id": "COUNTER", "window": window(0, time.Hour), "dropoff": m{"location": kilimani, "mode": "collect_at_store"}})
		is := func(want ...string) *answer {
			w.Helper()
			got, a := w.warned(desk, "?kind=late_risk")
			if !slices.Equal(got, want) {
				w.Errorf("warned of %q, want %q", got, want)
			}
			return a
		}
		is()
		w.clock.Advance(40 * time.Minute) // 20 are left, packing, a runner and the door take 23
		a := is("late_risk SLOW")
		if a.text("data.0.order.id") != slow || a.text("data.0.store.phone") != "+254700000001" || a.text("data.0.deadline") != "2026-11-23T10:00:00.000Z" ||
			a.text("data.0.expected_at") <= a.text("data.0.deadline") || a.at("partial") != false {
			t.Errorf("the warning: %s", a.body)
		}
		w.step(desk, slow, "ready").want(200)
		is() // 13 minutes for what is left are enough
		w.clock.Advance(8 * time.Minute)
		is("late_risk SLOW")
		w.step(desk, slow, "pick-up").want(200)
		w.step(desk, slow, "depart").want(200)
		is()
		w.clock.Advance(time.Hour) // nobody has said anything, and its step is not overdue
		is("late_risk SLOW")
		w.get(desk, "/v1/warnings?kind=weather").want(422).names("kind")
		w.get(acme, "/v1/warnings").refused(403, "forbidden")
	})
}

func TestAStoreThatDoesNotAnswerIsToldOf(t *testing.T) {
	story(t, func(w *world) {
		desk, acme := w.key("dispatcher", "", ""), w.key("merchant", "", "Acme")
		shop := w.store("duka", m{"auto_accept": false})
		own := w.key("store", shop, "")
		is := func(want ...string) *answer {
			w.Helper()
			got, a := w.warned(desk, "?kind=silent_store")
			if !slices.Equal(got, want) {
				w.Errorf("warned of %q, want %q", got, want)
			}
			return a
		}
		expire := func() {
			w.Helper()
			w.order(acme, nil)
			w.clock.Advance(3 * time.Minute)
			w.post(w.admin, "/v1/jobs/offers/run", nil).want(200)
		}
		expire()
		is() // once is no silence
		expire()
		if a := is("silent_store duka"); a.text("data.0.detail") != "offers_expired" || a.number("data.0.times") != 2 {
			t.Errorf("the warning: %s", a.body)
		}
		o := w.order(acme, nil)
		w.post(own, "/v1/assignments/"+o.text("assignment.id")+"/accept", nil).want(200)
		is()
		for _, action := range []string{"ready", "pick-up", "depart"} {
			w.step(own, o.text("id"), action).want(200)
		}
		w.report(own, (&door{w: w, order: o.text("id"), attempt: 1}).contactless(w.photo(own, 3))...)
		if done := w.get(desk, "/v1/orders?status=delivered").want(200).ids(); len(done) != 1 {
			t.Fatalf("delivered: %v", done)
		}
		is() // it has done what it took on: that is no silence either
		expire()
		is("silent_store duka")
		o = w.order(acme, nil)
		w.post(own, "/v1/assignments/"+o.text("assignment.id")+"/decline", m{"reason": "store_closed"}).want(200)
		is()
		expire()
		expire()
		is("silent_store duka")
		w.clock.Advance(3 * time.Hour) // what was then says nothing about now
		is()

		// A phone is paired, an order is taken, and nobody looks.
		auto := w.store("auto", m{"external_id": "auto", "location": northOf(20_000)})
		code := w.post(desk, "/v1/stores/"+auto+"/pairing-codes", nil).want(201).text("code")
		w.send(request{method: "POST", path: "/v1/pairings", body: m{"code": code, "device_name": "Tecno"}, header: map[string]string{"Idempotency-Key": "phone"}}).want(201)
		o = w.order(acme, m{"dropoff": m{"location": northOf(20_000)}})
		is()
		w.clock.Advance(31 * time.Minute)
		if a := is("silent_store auto"); a.text("data.0.detail") != "not_seen" {
			t.Errorf("the warning: %s", a.body)
		}
		w.step(desk, o.text("id"), "ready").want(200)
		is() // what waits for a runner does not wait for the store
	})
}

func TestAStoreThatHasNotSaidWhatItWillStockIsToldOf(t *testing.T) {
	story(t, func(w *world) {
		desk := w.key("dispatcher", "", "")
		shop := w.store("duka", m{"phone": "+254700000001"})
		own := w.key("store", shop, "")
		path := "/v1/campaigns/" + w.post(desk, "/v1/campaigns", singles(nil)).want(201).text("id")
		w.post(desk, path+"/plan", nil).want(200)
		w.post(desk, path+"/approve", nil).want(200)
		for range 24 * 4 { // until it was asked
			w.run("prestock-prompts")
			if len(w.get(own, "/v1/prestock-tasks?status=prompted").want(200).ids()) > 0 {
				break
			}
			w.clock.Advance(time.Hour)
		}
		task := w.task(own, "prompted")
		due, err := time.Parse(time.RFC3339, task.text("ack_deadline"))
		if err != nil {
			w.Fatal(err)
		}
		is := func(want ...string) *answer {
			w.Helper()
			got, a := w.warned(desk, "?kind=unanswered_prompts")
			if !slices.Equal(got, want) {
				w.Errorf("warned of %q, want %q", got, want)
			}
			return a
		}
		is() // it has time
		window := due.Sub(w.clock.Now())
		w.clock.Advance(window * 9 / 10)
		a := is("unanswered_prompts duka")
		if a.text("data.0.task_ids.0") != task.text("id") || a.number("data.0.units") != task.number("asked_quantity") || a.text("data.0.deadline") != task.text("ack_deadline") {
			t.Errorf("the warning: %s", a.body)
		}
		// Whoever is at the desk writes down what the store says on the phone.
		w.post(desk, "/v1/prestock-tasks/"+task.text("id")+"/acknowledge", m{"committed_quantity": 12}).want(200)
		is()
	})
}
