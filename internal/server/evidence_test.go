package server_test

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

// chainOf is one attempt's chain as "type<-superseded_by", in its order.
func (a *answer) chainOf(attempt int) string {
	a.w.Helper()
	var out []string
	for i := 0; a.text(fmt.Sprintf("data.%d.chain.%d.type", attempt, i)) != ""; i++ {
		s := a.text(fmt.Sprintf("data.%d.chain.%d.type", attempt, i))
		if by := a.text(fmt.Sprintf("data.%d.chain.%d.superseded_by", attempt, i)); by != "" {
			s += "<-" + by
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// after is e's time so many seconds on.
func after(e m, seconds int) string {
	t, err := time.Parse(time.RFC3339, e["occurred_at"].(string))
	if err != nil {
		panic(err)
	}
	return t.Add(time.Duration(seconds) * time.Second).Format(time.RFC3339)
}

// undo takes e back so many seconds later.
func undo(e m, seconds int, why string) m {
	u := m{"id": "undo-" + e["id"].(string), "order_id": e["order_id"], "attempt": e["attempt"], "type": "withdrawn", "supersedes": e["id"],
		"occurred_at": after(e, seconds)}
	if why != "" {
		u["note"] = why
	}
	return u
}

func TestAWrongTapAtTheDoorIsTakenBack(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key, second, desk := w.key("merchant", "", "Acme"), w.key("store", id, ""), w.key("store", id, ""), w.key("dispatcher", "", "")
		stranger := w.key("store", w.store("other", m{"location": northOf(500)}), "")
		order := w.out(shop, key, m{"minimum_evidence_grade": "C"}).text("id")
		status := func() string { return w.get(shop, "/v1/orders/"+order).want(200).text("status") }
		d := &door{w: w, order: order, attempt: 1}
		arrived, failed := d.event("arrived", nil), d.event("failed", m{"reason": "customer_unavailable"})
		if a := w.report(key, arrived, failed); a.results() != "recorded recorded" || status() != "attempt_failed" {
			t.Fatalf("failed: %s", a.body)
		}
		// Of another phone, or too late, it needs a reason; a stranger has no such order.
		for _, c := range []struct {
			key  string
			e    m
			want string
		}{
			{stranger, undo(failed, 5, ""), "refused:not-found"},
			{second, undo(failed, 5, ""), "refused:invalid"},
			{key, undo(failed, 31, ""), "refused:invalid"},
			{key, undo(failed, 30, ""), "recorded"},
			{key, undo(failed, 30, ""), "duplicate"},
		} {
			a := w.report(c.key, c.e)
			if a.results() != c.want {
				t.Errorf("want %s: %s", c.want, a.body)
			}
			if c.want == "refused:invalid" && a.text("results.0.problem.errors.0.pointer") != "/note" {
				t.Errorf("no reason asked for: %s", a.body)
			}
		}
		if status() != "arrived_at_dropoff" {
			t.Errorf("after the undo: %s", status())
		}

		placed, done := d.event("placed", m{"photo_sha256": w.photo(key, 9)}), d.event("completed", nil)
		if a := w.report(key, placed, done); a.results() != "recorded recorded" || status() != "delivered" {
			t.Fatalf("completed: %s", a.body)
		}
		w.clock.Advance(10 * time.Minute)
		if a := w.report(key, undo(done, 300, "wrong house")); a.results() != "refused:too-late" {
			t.Errorf("the store takes a delivery back: %s", a.body)
		}
		if a := w.report(key, undo(placed, 300, "wrong photo")); a.results() != "refused:evidence-missing" || !strings.Contains(string(a.body), "/photo_sha256") {
			t.Errorf("the only photo taken away: %s", a.body)
		}
		if a := w.report(desk, undo(done, 300, "wrong house")); a.results() != "recorded" || status() != "arrived_at_dropoff" {
			t.Errorf("the dispatcher takes it back: %s", a.body)
		}
		o := w.get(shop, "/v1/orders/"+order).want(200)
		if o.at("evidence_grade") != nil || o.at("delivered_at") != nil || o.text("assignment.status") != "accepted" {
			t.Errorf("open again: %s", o.body)
		}

		a := w.get(desk, "/v1/orders/"+order+"/dropoffs").want(200)
		want := "arrived placed withdrawn withdrawn failed<-undo-" + failed["id"].(string) + " completed<-undo-" + done["id"].(string)
		if got := a.chainOf(0); got != want {
			t.Errorf("the chain: %s, want %s", got, want)
		}
		if a.text("data.0.leg") != "delivery" || a.text("data.0.state") != "placed" || !strings.HasPrefix(a.text("data.0.chain.0.actor"), "key:") {
			t.Errorf("the attempt: %s", a.body)
		}
		for who, k := range map[string]string{"the merchant": shop, "the store": key} {
			if b := w.get(k, "/v1/orders/"+order+"/dropoffs").want(200); strings.Contains(string(b.body), `"actor"`) {
				t.Errorf("%s reads who reported what: %s", who, b.body)
			}
		}
		if log := w.get(desk, "/v1/orders/"+order+"/events").want(200); strings.Contains(string(log.body), "wrong house") || !strings.Contains(string(log.body), "dropoff.withdrawn") {
			t.Errorf("the log: %s", log.body)
		}
		if a := w.report(key, d.event("completed", nil)); a.results() != "recorded" || status() != "delivered" {
			t.Errorf("completed anew: %s", a.body)
		}

		// Disputed, it stays as it is.
		tracking := "/v1/tracking/" + w.token(w.get(shop, "/v1/orders/"+order))
		w.post("", tracking+"/dispute", m{"reason": "item_missing", "note": "nothing here"}).want(200)
		last := w.get(desk, "/v1/orders/"+order+"/dropoffs").want(200)
		if last.text("data.0.state") != "disputed" {
			t.Fatalf("disputed: %s", last.body)
		}
		again := m{"id": fmt.Sprintf("completed-1-%d", d.n), "order_id": order, "attempt": 1, "occurred_at": w.clock.Now().Format(time.RFC3339)}
		if a := w.report(desk, undo(again, 60, "wrong house")); a.results() != "refused:frozen" {
			t.Errorf("taken back while disputed: %s", a.body)
		}
	})
}

func TestACorrectionSaysWhatHappenedInstead(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		order := w.out(shop, key, m{"dropoff": m{"location": kilimani, "mode": "hand_over", "signature_required": true, "id_required": true,
			"cash_on_delivery": m{"amount": 125000, "currency": "KES"}}}).text("id")
		d := &door{w: w, order: order, attempt: 1}
		sha := w.photo(key, 3)
		gave := d.event("handed_over", m{"name": "Otieno"})
		a := w.report(key, gave, d.event("completed", nil))
		if a.results() != "recorded refused:evidence-missing" {
			t.Fatalf("without what was asked for: %s", a.body)
		}
		for _, pointer := range []string{"/signature_sha256", "/id_checked", "/cash_collected"} {
			if !strings.Contains(string(a.body), pointer) {
				t.Errorf("%s is not named: %s", pointer, a.body)
			}
		}
		better := d.event("handed_over", m{"name": "Wanjiru", "signature_sha256": sha, "id_checked": true,
			"cash_collected": m{"amount": 125000, "currency": "KES"}, "supersedes": gave["id"]})
		if a := w.report(key, better); a.results() != "refused:invalid" || a.text("results.0.problem.errors.0.pointer") != "/note" {
			t.Errorf("a correction without a reason: %s", a.body)
		}
		better["note"] = "it was her, not him"
		if a := w.report(key, better, d.event("completed", nil)); a.results() != "recorded recorded" {
			t.Errorf("corrected: %s", a.body)
		}
		b := w.get(shop, "/v1/orders/"+order+"/dropoffs").want(200)
		if b.chainOf(0) != "handed_over<-"+better["id"].(string)+" handed_over completed" || b.text("data.0.chain.1.name") != "Wanjiru" ||
			b.text("data.0.chain.1.note") != "it was her, not him" || b.number("data.0.chain.1.cash_collected.amount") != 125000 ||
			b.text("data.0.chain.1.signature_sha256") != sha || b.text("data.0.photos.0.sha256") != sha {
			t.Errorf("the chain: %s", b.body)
		}
		// The signature is proof for the merchant; the customer's page needs none.
		page := w.get("", "/v1/tracking/"+w.token(w.get(shop, "/v1/orders/"+order))).want(200)
		if strings.Contains(string(page.body), sha) {
			t.Errorf("the customer's page shows a signature: %s", page.body)
		}
		for _, c := range []struct {
			e    m
			want string
		}{
			{d.event("withdrawn", nil), "/supersedes"},
			{d.event("withdrawn", m{"supersedes": "customer:1", "note": "no"}), "/supersedes"},
			{d.event("placed", m{"name": "Otieno"}), "/name"},
			{d.event("handed_over", m{"cash_collected": m{"amount": -1, "currency": "KES"}}), "/cash_collected/amount"},
			{d.event("handed_over", m{"signature_sha256": strings.Repeat("0", 64)}), "/signature_sha256"},
		} {
			a := w.send(request{method: http.MethodPost, path: "/v1/dropoff-events", key: key, wrong: true, body: []m{c.e}}).want(200)
			if a.text("results.0.problem.errors.0.pointer") != c.want {
				t.Errorf("want %s named: %s", c.want, a.body)
			}
		}
	})
}

// doorstep is a picture that looks like no other one.
func doorstep(seed uint64) image.Image {
	rnd := rand.New(rand.NewPCG(seed, 3))
	img := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for y := 0; y < 48; y += 8 {
		for x := 0; x < 64; x += 8 {
			c := color.RGBA{uint8(rnd.IntN(256)), uint8(rnd.IntN(256)), uint8(rnd.IntN(256)), 255}
			draw.Draw(img, image.Rect(x, y, x+8, y+8), image.NewUniform(c), image.Point{}, draw.Src)
		}
	}
	return img
}

func (w *world) upload(key string, img image.Image) string {
	w.Helper()
	return w.send(request{method: http.MethodPost, path: "/v1/photos", key: key, kind: "image/jpeg", body: jpegOf(w.T, img)}).want(201).text("sha256")
}

func TestAnOfflinePhoneDeliversFortyParcelsOnceWithTheirTrueTimes(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", m{"capacity": m{"slot_minutes": 60, "orders_per_slot": 50}})
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		type drop struct {
			order, token, done string
			arrived            string
		}
		const n = 40
		var drops []drop
		for range n {
			o := w.order(shop, m{"minimum_evidence_grade": "B"})
			w.step(key, o.text("id"), "pick-up").want(200)
			drops = append(drops, drop{order: o.text("id"), token: w.token(o)})
		}
		var outbox []m
		for i := range drops {
			w.clock.Advance(5 * time.Minute)
			d := &door{w: w, order: drops[i].order, attempt: 1}
			chain := d.contactless(w.upload(key, doorstep(uint64(i))))
			for _, e := range chain {
				e["id"] = fmt.Sprintf("%s-%d", e["id"], i)
			}
			drops[i].arrived, drops[i].done = chain[0]["occurred_at"].(string), chain[4]["occurred_at"].(string)
			outbox = append(outbox, chain...)
			if i%3 == 0 { // a wrong tap in between, taken back
				slip := d.event("failed", m{"reason": "customer_unavailable", "occurred_at": drops[i].arrived})
				slip["id"] = fmt.Sprintf("slip-%d", i)
				outbox = append(outbox, slip, undo(slip, 9, ""))
			}
		}
		w.clock.Advance(8 * time.Hour)
		for try := range 3 {
			rand.New(rand.NewPCG(uint64(try), 7)).Shuffle(len(outbox), func(i, j int) { outbox[i], outbox[j] = outbox[j], outbox[i] })
			want := "recorded"
			if try > 0 {
				want = "duplicate"
			}
			if got := w.report(key, outbox...).results(); strings.Count(got, want) != len(outbox) {
				t.Fatalf("try %d: %s", try+1, got)
			}
		}

		same := func(what, got, want string) {
			t.Helper()
			a, err := time.Parse(time.RFC3339, got)
			b, err2 := time.Parse(time.RFC3339, want)
			if err != nil || err2 != nil || !a.Equal(b) {
				t.Errorf("%s at %q, truly at %q", what, got, want)
			}
		}
		for _, d := range drops {
			o := w.get(shop, "/v1/orders/"+d.order).want(200)
			if o.text("status") != "delivered" || o.text("evidence_grade") != "B" || o.number("attempts") != 1 {
				t.Fatalf("the order: %s", o.body)
			}
			same("delivered", o.text("delivered_at"), d.done)
			a := w.get(shop, "/v1/orders/"+d.order+"/dropoffs").want(200)
			same("arrived", a.text("data.0.chain.0.occurred_at"), d.arrived)
			if late := a.text("data.0.chain.0.recorded_at"); late < d.arrived {
				t.Errorf("recorded at %s", late)
			}
			if a.text("data.0.state") != "completed" || len(a.at("data.0.flags").([]any)) != 0 {
				t.Errorf("the attempt: %s", a.body)
			}
			log := w.get(shop, "/v1/orders/"+d.order+"/events").want(200)
			delivered := 0
			for i := 0; log.text(fmt.Sprintf("data.%d.type", i)) != ""; i++ {
				if kind := log.text(fmt.Sprintf("data.%d.type", i)); kind == "order.delivered" {
					delivered++
					same(kind, log.text(fmt.Sprintf("data.%d.occurred_at", i)), d.done)
				} else if kind == "order.attempt_failed" {
					t.Errorf("a slip of the thumb failed the order for a moment: %s", log.body)
				}
			}
			if delivered != 1 {
				t.Errorf("delivered %d times: %s", delivered, log.body)
			}
			same("the customer's page: delivered", w.get("", "/v1/tracking/"+d.token).want(200).text("evidence.delivered_at"), d.done)
		}
	})
}

func TestAPolicyWithoutPhotosRefusesThem(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		policy := w.send(request{method: http.MethodPut, path: "/v1/merchant/policy", key: shop, body: m{"photo": "off", "minimum_wait_s": 300, "calls_before_leaving": 2}})
		if policy.status != 200 && policy.status != 201 {
			t.Fatalf("the policy: %d %s", policy.status, policy.body)
		}
		order := w.out(shop, key, nil).text("id")
		d := &door{w: w, order: order, attempt: 1}
		a := w.report(key, d.event("arrived", nil), d.event("placed", m{"photo_sha256": w.photo(key, 2)}), d.event("failed", m{"reason": "customer_unavailable"}))
		if a.results() != "recorded refused:invalid refused:evidence-missing" || a.text("results.1.problem.errors.0.code") != "photo-not-wanted" {
			t.Errorf("a photo that nobody wants: %s", a.body)
		}
		if a.text("results.2.problem.errors.0.detail") != "at least 300 s after arrived" || a.text("results.2.problem.errors.1.detail") != "2 more calls" {
			t.Errorf("left at once: %s", a.body)
		}
		left, one, two := d.event("failed", m{"reason": "customer_unavailable"}), d.event("signalled", m{"signal": "call"}), d.event("signalled", m{"signal": "call"})
		left["occurred_at"] = after(left, 400)
		w.clock.Advance(10 * time.Minute)
		if a := w.report(key, one, two, left); a.results() != "recorded recorded recorded" {
			t.Errorf("left as agreed: %s", a.body)
		}
	})
}
