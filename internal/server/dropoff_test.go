package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"mime/multipart"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// picture is a photo of the given size that no other test has, by its shade.
func picture(width, height int, shade uint8) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.RGBA{shade, uint8(x), uint8(y), 255})
		}
	}
	return img
}

func jpegOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withEXIF puts an EXIF segment with the given text right behind the start of a JPEG.
func withEXIF(jpg []byte, text string) []byte {
	body := "Exif\x00\x00" + text
	n := len(body) + 2
	out := append([]byte{}, jpg[:2]...)
	out = append(out, 0xff, 0xe1, byte(n>>8), byte(n))
	out = append(out, body...)
	return append(out, jpg[2:]...)
}

func (w *world) photo(key string, shade uint8) string {
	w.Helper()
	return w.send(request{method: "POST", path: "/v1/photos", key: key, kind: "image/jpeg", body: jpegOf(w.T, picture(64, 48, shade))}).want(201).text("sha256")
}

// door makes events at the door of one order, a minute apart from the world's present on.
type door struct {
	w       *world
	order   string
	attempt int
	n       int
}

func (d *door) event(kind string, more m) m {
	d.n++
	e := m{"id": fmt.Sprintf("%s-%d-%d", kind, d.attempt, d.n), "order_id": d.order, "attempt": d.attempt, "type": kind,
		"occurred_at": d.w.clock.Now().Add(time.Duration(d.n) * time.Second).Format(time.RFC3339)}
	for k, v := range more {
		e[k] = v
	}
	return e
}

// contactless is a whole chain of grade B.
func (d *door) contactless(photo string) []m {
	return []m{
		d.event("arrived", m{"location": m{"lat": -1.2921, "lng": 36.7857, "accuracy_m": 12}}),
		d.event("placed", m{"photo_sha256": photo}),
		d.event("signalled", m{"signal": "bell"}),
		d.event("stepped_away", m{"method": "photo_from_distance", "distance_m": 3}),
		d.event("completed", nil),
	}
}

func (w *world) report(key string, events ...m) *answer {
	w.Helper()
	return w.post(key, "/v1/dropoff-events", events).want(200)
}

// results are what became of reported events, in one line.
func (a *answer) results() string {
	a.w.Helper()
	var out []string
	for i := 0; a.text(fmt.Sprintf("results.%d.result", i)) != ""; i++ {
		r := a.text(fmt.Sprintf("results.%d.result", i))
		if code := a.text(fmt.Sprintf("results.%d.problem.code", i)); code != "" {
			r += ":" + code
		}
		out = append(out, r)
	}
	return strings.Join(out, " ")
}

// step is one action of the store on an order.
func (w *world) step(key, order, action string) *answer {
	w.Helper()
	return w.post(key, "/v1/orders/"+order+"/"+action, nil)
}

// out brings a fresh order to its way to the door.
func (w *world) out(shop, key string, change m) *answer {
	w.Helper()
	o := w.order(shop, change)
	for _, action := range []string{"ready", "pick-up", "depart"} {
		w.step(key, o.text("id"), action).want(200)
	}
	return o
}

// otherThan is a code of the same length that is wrong.
func otherThan(code string) string {
	last := (code[len(code)-1]-'0'+1)%10 + '0'
	return code[:len(code)-1] + string(rune(last))
}

func TestAParcelReachesTheDoorstepAndCanBeProven(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		w.stock(id, "milk", 5)
		o := w.order(shop, m{"items": []m{{"sku": "milk", "quantity": 2}}, "minimum_evidence_grade": "B"})
		order := o.text("id")
		for _, s := range []struct{ action, status string }{{"ready", "ready_for_pickup"}, {"pick-up", "picked_up"}, {"depart", "enroute_to_dropoff"}} {
			a := w.step(key, order, s.action).want(200)
			if a.text("status") != s.status || a.header.Get("ETag") == "" {
				t.Errorf("%s: %s", s.action, a.body)
			}
			if b := w.step(key, order, s.action).want(200); b.number("version") != a.number("version") {
				t.Errorf("%s twice changed something", s.action)
			}
		}
		if s := w.get(key, "/v1/store/stock"); s.number("data.0.on_hand") != 3 || s.number("data.0.reserved") != 0 {
			t.Errorf("the shelf while the parcel is out: %s", s.body)
		}
		w.clock.Advance(10 * time.Minute)

		// Done too early: the answer names what is missing, and the same event passes once it is there.
		d := &door{w: w, order: order, attempt: 1}
		photo := w.photo(key, 7)
		chain := d.contactless(photo)
		a := w.report(key, chain[0], chain[4])
		if a.results() != "recorded refused:evidence-missing" || a.number("results.1.problem.status") != 409 {
			t.Fatalf("completed at once: %s", a.body)
		}
		if text := string(a.body); !strings.Contains(text, "/photo_sha256") || !strings.Contains(text, "/method") || strings.Contains(text, "/location") {
			t.Errorf("what is missing: %s", text)
		}
		gps := d.event("stepped_away", m{"method": "gps", "distance_m": 9})
		if b := w.report(key, chain[1], gps, chain[4]); b.results() != "recorded recorded refused:evidence-missing" {
			t.Errorf("stepped away by GPS alone: %s", b.body)
		}
		if b := w.report(key, chain...); b.results() != "duplicate duplicate recorded recorded recorded" {
			t.Errorf("the whole chain: %s", b.body)
		}
		b := w.get(shop, "/v1/orders/"+order).want(200)
		if b.text("status") != "delivered" || b.text("evidence_grade") != "B" || b.text("delivered_at") == "" || b.text("assignment.status") != "completed" {
			t.Errorf("delivered: %s", b.body)
		}

		c := w.get(shop, "/v1/orders/"+order+"/dropoffs").want(200)
		if c.text("data.0.state") != "completed" || c.text("data.0.grade") != "B" || len(c.at("data.0.chain").([]any)) != 6 || c.text("data.0.chain.0.type") != "arrived" {
			t.Errorf("the attempt: %s", c.body)
		}
		url := c.text("data.0.photos.0.url")
		p := w.get("", url).want(200)
		if p.header.Get("Content-Type") != "image/jpeg" || !strings.Contains(p.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("the photo's headers: %v", p.header)
		}
		if cfg, err := jpeg.DecodeConfig(bytes.NewReader(p.body)); err != nil || cfg.Width != 64 || cfg.Height != 48 {
			t.Errorf("the photo: %v %v", cfg, err)
		}
		for name, forged := range map[string]string{
			"another photo":  strings.Replace(url, photo, strings.Repeat("ab", 32), 1),
			"a later end":    strings.Replace(url, "expires=", "expires=9", 1),
			"no signature":   url[:strings.Index(url, "&signature")],
			"a short one":    url[:len(url)-1],
			"no end":         url[:strings.Index(url, "?")],
			"a wrong number": strings.Replace(url, "expires=", "expires=x", 1),
		} {
			if a := w.get("", forged); a.status != 404 {
				t.Errorf("%s opens the photo: %d", name, a.status)
			}
		}
		w.clock.Advance(time.Hour + time.Second)
		w.get("", url).refused(404, "not-found")
		w.get("", w.get(key, "/v1/orders/"+order+"/dropoffs").text("data.0.photos.0.url")).want(200)

		// What is over stays over: nothing is allowed, and that is said.
		if e := w.step(key, order, "depart").refused(409, "not-allowed-now"); fmt.Sprint(e.at("allowed")) != "[]" {
			t.Errorf("allowed after the end: %s", e.body)
		}
		w.post(shop, "/v1/orders/"+order+"/cancel", m{"reason": "cancelled_by_merchant"}).refused(409, "not-allowed-now")
	})
}

func TestStepsOutOfOrderSayWhatIsAllowed(t *testing.T) {
	story(t, func(w *world) {
		id, other := w.store("duka", nil), w.store("other", m{"location": northOf(500)})
		shop, key, stranger := w.key("merchant", "", "Acme"), w.key("store", id, ""), w.key("store", other, "")
		order := w.order(shop, nil).text("id")
		allowed := func(a *answer) string { return fmt.Sprint(a.at("allowed")) }
		for _, c := range []struct{ action, allowed string }{
			{"depart", "[ready_for_pickup created cancelled]"}, {"receive", "[ready_for_pickup created cancelled]"},
			{"return", "[ready_for_pickup created cancelled]"}, {"returned", "[ready_for_pickup created cancelled]"},
			{"hand-back", "[ready_for_pickup created cancelled]"},
		} {
			if a := w.step(key, order, c.action).refused(409, "not-allowed-now"); allowed(a) != c.allowed {
				t.Errorf("%s on a confirmed order allows %s", c.action, allowed(a))
			}
		}
		w.post(key, "/v1/orders/"+order+"/collect", m{"code": "123456"}).refused(409, "not-allowed-now")
		w.post(key, "/v1/orders/"+order+"/collect", m{}).want(422).names("/code")
		w.post(key, "/v1/orders/"+order+"/pick-up", m{"occurred_at": "2026-11-23T10:00:00Z"}).want(422).names("/occurred_at")
		w.post(key, "/v1/orders/"+order+"/pick-up", m{"occurred_at": "now"}).want(422).names("/occurred_at")
		w.post(key, "/v1/orders/"+order+"/pick-up", m{"when": "now"}).want(400).names("/when")
		// Packed and gone in one go.
		if a := w.post(key, "/v1/orders/"+order+"/pick-up", m{"occurred_at": "2026-11-23T09:00:00Z"}).want(200); a.text("status") != "picked_up" {
			t.Errorf("picked up at once: %s", a.body)
		}
		if a := w.step(key, order, "ready").refused(409, "not-allowed-now"); allowed(a) != "[enroute_to_dropoff ready_for_pickup]" {
			t.Errorf("ready after pick-up allows %s", allowed(a))
		}
		// Handed back, it may go out again, or be cancelled.
		if a := w.step(key, order, "hand-back").want(200); a.text("status") != "ready_for_pickup" {
			t.Errorf("handed back: %s", a.body)
		}
		w.step(key, order, "pick-up").want(200)

		// To another store, and to one that does not exist, the order is not there.
		d := &door{w: w, order: order, attempt: 1}
		for _, action := range []string{"ready", "pick-up", "hand-back", "depart", "receive", "return", "returned"} {
			w.step(stranger, order, action).refused(404, "not-found")
			w.step(key, "ord_000000000000000000000000", action).refused(404, "not-found")
		}
		w.post(stranger, "/v1/orders/"+order+"/collect", m{"code": "1"}).refused(404, "not-found")
		w.get(stranger, "/v1/orders/"+order+"/dropoffs").refused(404, "not-found")
		w.get(w.key("merchant", "", "Other"), "/v1/orders/"+order+"/dropoffs").refused(404, "not-found")
		if a := w.report(stranger, d.event("arrived", nil)); a.results() != "refused:not-found" {
			t.Errorf("another store's event: %s", a.body)
		}
	})
}

func TestEventsArriveLateTwiceAndShuffled(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		photo := w.photo(key, 1)
		for seed := range uint64(4) {
			// Nobody pressed "depart": the events say it.
			order := w.order(shop, m{"minimum_evidence_grade": "B"}).text("id")
			w.step(key, order, "pick-up").want(200)
			d := &door{w: w, order: order, attempt: 1}
			chain := d.contactless(photo)
			w.clock.Advance(20 * time.Minute)
			mixed := append(chain, chain...)
			rand.New(rand.NewPCG(seed, 1)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
			got := w.report(key, mixed...).results()
			if strings.Count(got, "recorded") != 5 || strings.Count(got, "duplicate") != 5 {
				t.Errorf("shuffled by %d: %s", seed, got)
			}
			if a := w.report(key, mixed...); strings.Count(a.results(), "duplicate") != 10 {
				t.Errorf("all again: %s", a.body)
			}
			a := w.get(key, "/v1/orders/"+order+"/dropoffs").want(200)
			types := ""
			for i := range 5 {
				types += a.text(fmt.Sprintf("data.0.chain.%d.type", i)) + " "
			}
			if types != "arrived placed signalled stepped_away completed " || a.text("data.0.grade") != "B" {
				t.Errorf("shuffled by %d: %s %s", seed, types, a.body)
			}
		}

		// One bad event stops no other; each says what is wrong with it.
		order := w.out(shop, key, nil).text("id")
		d := &door{w: w, order: order, attempt: 1}
		a := w.send(request{method: "POST", path: "/v1/dropoff-events", key: key, wrong: true, body: []m{
			d.event("arrived", nil),
			d.event("teleported", nil),
			d.event("placed", m{"photo_sha256": strings.Repeat("0", 64)}),
			d.event("placed", m{"photo_sha256": "mine"}),
			d.event("signalled", m{"signal": "drum"}),
			d.event("arrived", m{"location": m{"lat": 200, "lng": 1}}),
			d.event("arrived", m{"location": m{"lat": 1}}),
			d.event("arrived", m{"occurred_at": "at noon"}),
			d.event("arrived", m{"occurred_at": nil}),
			d.event("arrived", m{"attempt": 3}),
			d.event("arrived", m{"id": "spaces are no id"}),
			d.event("failed", nil),
			d.event("failed", m{"reason": "bored"}),
			d.event("arrived", m{"order_id": "ord_000000000000000000000000"}),
			d.event("signalled", m{"signal": "knock"}),
		}}).want(200)
		for i, pointer := range []string{"", "/type", "/photo_sha256", "/photo_sha256", "/signal", "/location", "/location/lng", "/occurred_at", "/occurred_at",
			"", "/id", "/reason", "/reason", "", ""} {
			if got := a.text(fmt.Sprintf("results.%d.problem.errors.0.pointer", i)); got != pointer {
				t.Errorf("event %d: %q, want %q: %v", i, got, pointer, a.at(fmt.Sprintf("results.%d", i)))
			}
		}
		if r := strings.Fields(a.results()); r[0] != "recorded" || r[9] != "refused:unknown-attempt" || r[13] != "refused:not-found" || r[14] != "recorded" {
			t.Errorf("the results: %v", r)
		}
		w.post(key, "/v1/dropoff-events", []m{}).want(422)
		w.post(key, "/v1/dropoff-events", m{}).want(400)
		// Not even one that cannot be read holds up the others.
		late := d.event("signalled", m{"signal": "bell"})
		text, err := json.Marshal(late)
		if err != nil {
			t.Fatal(err)
		}
		b := w.send(request{method: "POST", path: "/v1/dropoff-events", key: key, wrong: true,
			body: `[{"id":7},{"id":"x","colour":"red"},` + string(text) + `]`}).want(200)
		if b.text("results.0.problem.errors.0.pointer") != "/id" || b.text("results.1.problem.errors.0.pointer") != "/colour" || b.text("results.1.id") != "x" ||
			b.text("results.2.result") != "recorded" {
			t.Errorf("beside two that cannot be read: %s", b.body)
		}
		many := make([]m, 501)
		for i := range many {
			many[i] = d.event("arrived", nil)
		}
		w.post(key, "/v1/dropoff-events", many).want(422)
	})
}

func TestAParcelGoesFromHandToHandWithThePIN(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		attended := m{"dropoff": m{"location": kilimani, "mode": "hand_over", "pin_required": true}, "minimum_evidence_grade": "A"}
		pinOf := func(o *answer) string { return w.get("", "/v1/tracking/"+w.token(o)).want(200).text("pin") }

		o := w.out(shop, key, attended)
		d := &door{w: w, order: o.text("id"), attempt: 1}
		pin := pinOf(o)
		if strings.Contains(string(w.get(key, "/v1/orders/"+o.text("id")).body), `"`+pin+`"`) {
			t.Error("the store reads the customer's PIN")
		}
		bad := otherThan(pin)
		if a := w.report(key, d.event("arrived", nil), d.event("handed_over", m{"pin": bad}), d.event("completed", nil)); a.results() != "recorded refused:invalid refused:evidence-missing" ||
			a.text("results.1.problem.errors.0.code") != "wrong-pin" {
			t.Errorf("a wrong PIN: %s", a.body)
		}
		a := w.report(key, d.event("handed_over", nil), d.event("completed", nil))
		if a.results() != "recorded refused:evidence-missing" || a.text("results.1.problem.errors.0.pointer") != "/pin" {
			t.Errorf("handed over without a PIN: %s", a.body)
		}
		if a := w.report(key, d.event("handed_over", m{"pin": pin}), d.event("completed", nil)); a.results() != "recorded recorded" {
			t.Errorf("the right PIN: %s", a.body)
		}
		if b := w.get(shop, "/v1/orders/"+o.text("id")); b.text("status") != "delivered" || b.text("evidence_grade") != "A" {
			t.Errorf("handed over: %s", b.body)
		}
		if pinOf(o) != "" {
			t.Error("the PIN is shown after the end")
		}

		// Five wrong tries lock it, for the right one too.
		o = w.out(shop, key, attended)
		d = &door{w: w, order: o.text("id"), attempt: 1}
		pin = pinOf(o)
		for range 5 {
			w.report(key, d.event("handed_over", m{"pin": otherThan(pin)}))
		}
		if a := w.report(key, d.event("handed_over", m{"pin": pin})); a.results() != "refused:code-locked" {
			t.Errorf("the right PIN after five wrong ones: %s", a.body)
		}
	})
}

func TestAFailedAttemptIsFollowedByAnotherOnTheSameOrder(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		order := w.out(shop, key, m{"minimum_evidence_grade": "C"}).text("id")
		d := &door{w: w, order: order, attempt: 1}
		a := w.report(key, d.event("arrived", nil), d.event("failed", m{"reason": "customer_unavailable", "note": "rang twice"}))
		if a.results() != "recorded recorded" {
			t.Fatalf("failed: %s", a.body)
		}
		b := w.get(shop, "/v1/orders/"+order).want(200)
		if b.text("status") != "attempt_failed" || b.text("status_reason") != "customer_unavailable" || b.number("attempts") != 1 {
			t.Errorf("after the failure: %s", b.body)
		}
		if a := w.report(key, d.event("completed", nil)); a.results() != "refused:not-allowed-now" {
			t.Errorf("completing what failed: %s", a.body)
		}
		w.post(shop, "/v1/orders/"+order+"/cancel", m{"reason": "cancelled_by_merchant"}).refused(409, "in_custody")
		w.clock.Advance(time.Hour)
		w.step(key, order, "depart").want(200)
		second := &door{w: w, order: order, attempt: 2}
		photo := w.photo(key, 2)
		if a := w.report(key, second.event("placed", m{"photo_sha256": photo}), second.event("completed", nil)); a.results() != "recorded recorded" {
			t.Errorf("the second attempt: %s", a.body)
		}
		// A photo of the first attempt, from a phone that was offline, is kept with the first.
		if a := w.report(key, d.event("arrived", m{"photo_sha256": photo})); a.results() != "recorded" {
			t.Errorf("late evidence: %s", a.body)
		}
		c := w.get(shop, "/v1/orders/"+order+"/dropoffs").want(200)
		if len(c.at("data").([]any)) != 2 || c.text("data.0.state") != "failed" || c.text("data.0.reason") != "customer_unavailable" || c.at("data.0.grade") != nil ||
			c.text("data.1.state") != "completed" || c.text("data.1.grade") != "C" {
			t.Errorf("the attempts: %s", c.body)
		}
	})
}

func TestAParcelIsKeptAtTheStoreAndCollectedWithTheCode(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		kept := func() (o *answer, code string) {
			o = w.order(shop, m{"undeliverable_action": "hold_at_store", "dropoff": m{"location": kilimani, "mode": "collect_at_store"}})
			w.step(key, o.text("id"), "ready").want(200)
			if c := w.get("", "/v1/tracking/"+w.token(o)).at("collection_code"); c != nil {
				t.Errorf("a code before the parcel is there: %v", c)
			}
			if a := w.step(key, o.text("id"), "receive").want(200); a.text("status") != "received_at_store" {
				t.Errorf("kept: %s", a.body)
			}
			return o, w.get("", "/v1/tracking/"+w.token(o)).text("collection_code")
		}
		o, code := kept()
		if len(code) != 6 || strings.Contains(string(w.get(key, "/v1/orders/"+o.text("id")).body), code) {
			t.Errorf("the code %q", code)
		}
		bad := otherThan(code)
		collect := func(o *answer, code string) *answer {
			return w.post(key, "/v1/orders/"+o.text("id")+"/collect", m{"code": code})
		}
		collect(o, bad).want(422).names("/code")
		if a := collect(o, code).want(200); a.text("status") != "collected" || a.at("delivered_at") != nil {
			t.Errorf("collected: %s", a.body)
		}
		collect(o, code).want(200) // again: the same

		o, code = kept()
		for range 5 {
			collect(o, bad).want(422)
		}
		collect(o, code).refused(409, "code-locked")
		// Nobody came: it goes back, and the sender says so.
		if a := w.step(key, o.text("id"), "return").want(200); a.text("status") != "enroute_to_return" {
			t.Errorf("returning: %s", a.body)
		}
		if a := w.step(key, o.text("id"), "receive").refused(409, "not-allowed-now"); fmt.Sprint(a.at("allowed")) != "[returned]" {
			t.Errorf("receiving what is going back: %s", a.body)
		}
		if a := w.step(key, o.text("id"), "returned").want(200); a.text("status") != "returned" || a.text("assignment.status") != "failed" {
			t.Errorf("returned: %s", a.body)
		}

		// After a failure at the door the store may keep it, too.
		failed := w.out(shop, key, nil)
		d := &door{w: w, order: failed.text("id"), attempt: 1}
		w.report(key, d.event("failed", m{"reason": "cannot_access"}))
		if a := w.step(key, failed.text("id"), "receive").want(200); a.text("status") != "received_at_store" {
			t.Errorf("kept after a failure: %s", a.body)
		}
	})
}

func TestPhotosAreTakenInWithCare(t *testing.T) {
	story(t, func(w *world) {
		key := w.key("store", w.store("duka", nil), "")
		send := func(kind string, body []byte) *answer {
			return w.send(request{method: "POST", path: "/v1/photos", key: key, kind: kind, body: body})
		}
		img := picture(120, 80, 3)
		jpg := jpegOf(t, img)
		a := send("image/jpeg", withEXIF(jpg, "GPS -1.2921 36.7856 of somebody's home")).want(201)
		if a.number("width") != 120 || a.number("height") != 80 || len(a.text("sha256")) != 64 || a.number("bytes") == 0 {
			t.Errorf("kept: %s", a.body)
		}
		// The same picture without its EXIF is the same photo: nothing of it is left.
		if b := send("image/jpeg", jpg).want(201); b.text("sha256") != a.text("sha256") {
			t.Error("something of the EXIF was kept")
		}
		var p bytes.Buffer
		if err := png.Encode(&p, img); err != nil {
			t.Fatal(err)
		}
		send("image/png", p.Bytes()).want(201)
		// The bytes say what it is, not the label.
		if b := send("image/jpeg", p.Bytes()).want(201); b.number("width") != 120 {
			t.Errorf("a PNG called JPEG: %s", b.body)
		}

		form := func(field, kind string, body []byte) *answer {
			var b bytes.Buffer
			f := multipart.NewWriter(&b)
			h := textproto.MIMEHeader{}
			disposition := fmt.Sprintf(`form-data; name=%q`, field)
			if kind != "" {
				disposition += `; filename="door.jpg"`
				h.Set("Content-Type", kind)
			}
			h.Set("Content-Disposition", disposition)
			part, err := f.CreatePart(h)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := part.Write(body); err != nil {
				t.Fatal(err)
			}
			f.Close()
			return send(f.FormDataContentType(), b.Bytes())
		}
		if b := form("photo", "image/jpeg", jpg).want(201); b.text("sha256") != a.text("sha256") {
			t.Error("a form gives another photo")
		}
		form("caption", "", []byte("at the door")).want(422).names("/photo")

		var g bytes.Buffer
		if err := gif.Encode(&g, img, nil); err != nil {
			t.Fatal(err)
		}
		send("image/jpeg", g.Bytes()).refused(415, "photo-type")
		send("image/jpeg", []byte("<svg onload=alert(1)>")).refused(415, "photo-type")
		send("text/plain", jpg).refused(415, "unsupported-media-type")
		send("", jpg).want(415)
		send("multipart/form-data", []byte("no form")).want(400)
		send("multipart/form-data; boundary=x", []byte("no form")).want(422).names("/photo")
		send("image/jpeg", []byte{}).want(422).names("/photo")
		send("image/jpeg", jpg[:len(jpg)/2]).want(422).names("/photo")
		send("image/jpeg", jpegOf(t, picture(8, 8, 1))).refused(422, "photo-too-small")
		huge := append(append([]byte{}, jpg...), make([]byte, 20<<20)...)
		send("image/jpeg", huge).want(413)
		form("photo", "image/jpeg", huge).want(413)
		wide := append([]byte{}, jpg...)
		i := bytes.Index(wide, []byte{0xff, 0xc0})
		copy(wide[i+5:], []byte{0x4e, 0x20, 0x4e, 0x20}) // says it is 20,000 by 20,000
		send("image/jpeg", wide).refused(413, "photo-too-many-pixels")
	})
}
