package server_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"doorstep/internal/audit"
	"doorstep/internal/db"
	"doorstep/internal/ident"
	"doorstep/internal/order"
	"doorstep/internal/privacy"
	"doorstep/internal/server"
)

// herWords are what a person can be found by, each of it nowhere else in these tests.
var herWords = []string{"Achieng Quillfeather", "+254799111222", "Kestrel Lane 77b", "the dog is called Marmaduke",
	"left behind the blue wheelbarrow", "the box smelled of turpentine", "please ring Balthasar upstairs", "+254799333444"}

// written is a delivered order with all of it, and the names of its photos.
func (w *world) written(merchant, store string) (order, token, photo string) {
	w.Helper()
	body := orderBody(m{"external_id": "PRIV-1"})
	body["recipient"] = m{"name": herWords[0], "phone": herWords[1]}
	body["dropoff"] = m{"location": m{"lat": -1.29213, "lng": 36.78571}, "address": m{"line1": herWords[2], "locality": "Nairobi", "country": "KE"},
		"instructions": herWords[3]}
	o := w.send(request{method: "POST", path: "/v1/orders", key: merchant, body: body, header: map[string]string{"Idempotency-Key": "once"}}).want(201)
	order = o.text("id")
	token = o.text("tracking_url")[strings.LastIndex(o.text("tracking_url"), "/")+1:]
	w.send(request{method: "POST", path: "/v1/tracking/" + token + "/instructions", body: m{"instructions": herWords[6]},
		header: map[string]string{"Idempotency-Key": "mine"}}).want(200)
	w.post(store, "/v1/orders/"+order+"/pick-up", nil).want(200)
	photo = w.photo(store, 201)
	d := &door{w: w, order: order, attempt: 1}
	events := d.contactless(photo)
	events[1]["note"] = herWords[4]
	w.clock.Advance(time.Minute)
	w.post(store, "/v1/dropoff-events", events).want(200)
	w.post("", "/v1/tracking/"+token+"/rating", m{"stars": 2, "comment": herWords[5]}).want(200)
	w.post("", "/v1/tracking/"+token+"/messages", m{"text": "call me at " + herWords[7]}).want(201)
	return order, token, photo
}

// stands names the herWords texts that one of the tables holds, whichever that is.
func (w *world) stands() (found []string) {
	w.Helper()
	var columns []struct{ Table, Text string }
	list := `SELECT t.name AS "table", 'CAST("' || c.name || '" AS TEXT)' AS "text" FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'`
	if w.db.Engine() == db.Postgres {
		list = `SELECT table_name AS "table", CASE data_type WHEN 'bytea' THEN 'encode("' || column_name || '", ''escape'')'
			ELSE 'CAST("' || column_name || '" AS TEXT)' END AS "text" FROM information_schema.columns WHERE table_schema = 'public'`
	}
	read := w.db.Read(context.Background())
	if err := read.Select(&columns, list); err != nil {
		w.Fatal(err)
	}
	for _, c := range columns {
		var cells []string
		if err := read.Select(&cells, fmt.Sprintf(`SELECT coalesce(%s, '') FROM "%s"`, c.Text, c.Table)); err != nil {
			w.Fatal(c, err)
		}
		for _, p := range herWords {
			if strings.Contains(strings.Join(cells, "\n"), p) {
				found = append(found, c.Table+": "+p)
			}
		}
	}
	return found
}

func TestARecipientIsErased(t *testing.T) {
	story(t, func(w *world) {
		store := w.key("store", w.store("K1", nil), "")
		merchant := w.key("merchant", "", "Acme")
		id, token, photo := w.written(merchant, store)
		if found := w.stands(); len(found) < len(herWords) {
			t.Fatalf("the test looks in the wrong places: it finds only %q", found)
		}
		if far := w.get(merchant, "/v1/orders/"+id).want(200).number("distance_m"); far == 0 || far%1000 == 0 {
			t.Fatalf("%v m are no test of distances", far)
		}
		seen := w.get(merchant, "/v1/orders/"+id+"/dropoffs").want(200).text("data.0.photos.0.url")

		gone := w.post(merchant, "/v1/orders/"+id+"/erase", nil).want(200)
		if gone.text("recipient.name")+gone.text("recipient.phone")+gone.text("tracking_url") != "" || gone.text("erased_at") == "" ||
			gone.text("status") != "delivered" || gone.at("dropoff.address") != nil || gone.at("dropoff.instructions") != nil {
			t.Errorf("still to be seen: %s", gone.body)
		}
		again := w.post(merchant, "/v1/orders/"+id+"/erase", nil).want(200)
		if again.number("version") != gone.number("version") {
			t.Error("erasing twice did something")
		}
		w.get("", "/v1/tracking/"+token).refused(404, "not-found")
		w.get("", "/t/"+token).want(404)
		w.get("", seen).refused(404, "not-found")
		// Her question is still in the queue; whoever ends it writes nothing of her down again.
		asked := w.get(w.admin, "/v1/incidents?status=open").want(200).text("data.0.id")
		w.send(request{method: "POST", path: "/v1/incidents/" + asked + "/resolve", key: w.admin,
			body: m{"outcome": "answered", "note": herWords[7], "answer": "Dear " + herWords[0]}}).want(200)
		if found := w.stands(); len(found) > 0 {
			t.Errorf("rows still hold %q", found)
		}
		var exact int
		if err := w.db.Read(t.Context()).Get(&exact, `SELECT (SELECT count(*) FROM assignment WHERE score % 1000 <> 0) + (SELECT count(*) FROM orders WHERE distance_m % 1000 <> 0)`); err != nil || exact != 0 {
			t.Errorf("%d distances lead to her door: %v", exact, err)
		}
		w.audited()
		if strings.Contains(w.log.String(), herWords[1]) || strings.Contains(w.log.String(), herWords[3]) {
			t.Error("the log names her")
		}
		// What happened is still told, without saying to whom.
		a := w.get(w.admin, "/v1/orders/"+id+"/dropoffs").want(200)
		if a.text("data.0.state") != "completed" || a.text("data.0.grade") == "" || a.text("data.0.photos.0.sha256") != photo {
			t.Errorf("the evidence is gone with her: %s", a.body)
		}
		story := w.get(w.admin, "/v1/orders/"+id+"/events").want(200)
		if !strings.Contains(string(story.body), "order.erased") || !strings.Contains(string(story.body), "order.delivered") {
			t.Errorf("the story: %s", story.body)
		}
		// The key of the request was used: it makes no second order.
		body := orderBody(m{"external_id": "PRIV-2"})
		w.send(request{method: "POST", path: "/v1/orders", key: merchant, body: body, header: map[string]string{"Idempotency-Key": "once"}}).want(422)
		w.post(w.key("merchant", "", "Other"), "/v1/orders/"+id+"/erase", nil).refused(404, "not-found")

		if w.db.Engine() == db.SQLite {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := w.db.Settle(ctx); err != nil {
				t.Fatal(err)
			}
			if files, n, err := w.db.Traces(ctx, herWords); err != nil || len(files) > 0 || n < 100_000 {
				t.Errorf("of %d bytes, %q still hold her words: %v", n, files, err)
			}
		}
	})
}

func TestWhatIsNotErased(t *testing.T) {
	story(t, func(w *world) {
		store := w.key("store", w.store("K1", nil), "")
		merchant := w.key("merchant", "", "Acme")
		open := w.post(merchant, "/v1/orders", orderBody(m{"external_id": "OPEN"})).want(201).text("id")
		w.post(merchant, "/v1/orders/"+open+"/erase", nil).refused(409, "not-over")
		w.post(store, "/v1/orders/"+open+"/erase", nil).want(403)
		w.post(merchant, "/v1/orders/"+w.db.Names().Name(ident.Order, 1)+"/erase", nil).refused(404, "not-found")

		// A photo on which another order stands is kept until that one is erased too.
		first, _, photo := w.written(merchant, store)
		body := orderBody(m{"external_id": "SECOND"})
		second := w.post(merchant, "/v1/orders", body).want(201).text("id")
		w.post(store, "/v1/orders/"+second+"/pick-up", nil).want(200)
		w.post(store, "/v1/dropoff-events", (&door{w: w, order: second, attempt: 1, n: 40}).contactless(photo)).want(200)
		w.post(merchant, "/v1/orders/"+first+"/erase", nil).want(200)
		url := w.get(merchant, "/v1/orders/"+second+"/dropoffs").want(200).text("data.0.photos.0.url")
		w.get("", url).want(200)
		w.post(merchant, "/v1/orders/"+second+"/erase", nil).want(200)
		if a := w.get("", url); a.status != http.StatusNotFound {
			t.Errorf("the photo is still there: %d", a.status)
		}
	})
}

// audited wants nothing that an audit would find.
func (w *world) audited() {
	w.Helper()
	if _, err := audit.Verify(context.Background(), w.db, audit.Options{}, func(f audit.Finding) error {
		w.Error("the audit says:", f)
		return nil
	}); err != nil {
		w.Fatal(err)
	}
}

// later lets days go by, and the nightly work be done.
func (w *world) later(days int) {
	w.Helper()
	w.clock.Advance(time.Duration(days) * 24 * time.Hour)
	w.post(w.admin, "/v1/jobs/erase/run", nil).want(200)
}

// handed delivers an order from hand to hand, with a signature.
func (w *world) handed(merchant, store, external, signature string) (order string) {
	w.Helper()
	body := orderBody(m{"external_id": external})
	body["dropoff"] = m{"location": kilimani, "mode": "hand_over"}
	order = w.post(merchant, "/v1/orders", body).want(201).text("id")
	w.post(store, "/v1/orders/"+order+"/pick-up", nil).want(200)
	d := &door{w: w, order: order, attempt: 1}
	if got := w.report(store, d.event("arrived", nil), d.event("handed_over", m{"signature_sha256": signature}), d.event("completed", nil)).results(); got != "recorded recorded recorded" {
		w.Fatal(got)
	}
	return order
}

func TestAnErasedOrderTakesNoEvidenceFromAnother(t *testing.T) {
	story(t, func(w *world) {
		store := w.key("store", w.store("K1", nil), "")
		merchant := w.key("merchant", "", "Acme")
		stamp := w.photo(store, 33) // of a doorman who signs for the house
		first, second := w.handed(merchant, store, "S-1", stamp), w.handed(merchant, store, "S-2", stamp)
		w.post(merchant, "/v1/orders/"+first+"/erase", nil).want(200)
		w.get("", w.get(merchant, "/v1/orders/"+second+"/dropoffs").want(200).text("data.0.photos.0.url")).want(200)
		w.audited()
		w.post(merchant, "/v1/orders/"+second+"/erase", nil).want(200)
		w.audited()

		// The picture is gone; who needs it for another order sends it again.
		w.later(1)
		body := orderBody(m{"external_id": "S-3"})
		third := w.post(merchant, "/v1/orders", body).want(201).text("id")
		w.post(store, "/v1/orders/"+third+"/pick-up", nil).want(200)
		d := &door{w: w, order: third, attempt: 1}
		placed := d.event("placed", m{"photo_sha256": stamp})
		if got := w.report(store, placed).results(); got != "refused:invalid" {
			t.Error(got)
		}
		w.photo(store, 33)
		if got := w.report(store, placed).results(); got != "recorded" {
			t.Error(got)
		}
		w.later(20)
		w.get("", w.get(merchant, "/v1/orders/"+third+"/dropoffs").want(200).text("data.0.photos.0.url")).want(200)
		w.audited()
	})
}

func TestAPhotoThatEvidenceStandsOnIsNotUnused(t *testing.T) {
	story(t, func(w *world) {
		store := w.key("store", w.store("K1", nil), "")
		merchant := w.key("merchant", "", "Acme")
		order, _, photo := w.written(merchant, store)
		// As from before looks were kept.
		if err := w.db.InTx(context.Background(), func(tx *db.Tx) error {
			_, err := tx.Exec(`DELETE FROM photo_look WHERE sha256 = ?`, photo)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		w.photo(store, 201) // the phone repeats itself
		w.later(20)
		w.get("", w.get(merchant, "/v1/orders/"+order+"/dropoffs").want(200).text("data.0.photos.0.url")).want(200)
		w.audited()

		// Sent once more after it was erased, for nothing: it goes again, and its row stays.
		w.post(merchant, "/v1/orders/"+order+"/erase", nil).want(200)
		w.photo(store, 201)
		url := w.get(merchant, "/v1/orders/"+order+"/dropoffs").want(200).text("data.0.photos.0.url")
		w.get("", url).want(200)
		w.later(20)
		w.get("", w.get(merchant, "/v1/orders/"+order+"/dropoffs").want(200).text("data.0.photos.0.url")).refused(404, "not-found")
		w.audited()
	})
}

// Rows keep texts as JSON writes them: whoever looked for the words alone would find nothing, erased or not.
func TestTracesAreLookedForAsTheyAreKept(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	w.store("K1", nil)
	said := `ring at "B & B", twice`
	id := w.post(w.key("merchant", "", "Acme"), "/v1/orders", orderBody(m{"dropoff": m{"location": kilimani, "instructions": said}})).want(201).text("id")
	key, _ := w.db.Names().Parse(ident.Order, id)
	texts, err := privacy.NewBook(w.db, order.NewBook(w.db), 0).Texts(t.Context(), key)
	if err != nil || !slices.Contains(texts, said) {
		t.Fatalf("%q: %v", texts, err)
	}
	texts = slices.DeleteFunc(texts, func(s string) bool { return !strings.Contains(s, "twice") })
	if files, _, err := w.db.Traces(t.Context(), texts); err != nil || len(files) == 0 {
		t.Errorf("the order is there, and nothing is found of %q: %v", texts, err)
	}
}

// Retention erases what has been kept long enough, by the merchant's rule or the network's, and nothing else.
func TestRetention(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(e), func(t *testing.T) {
			w := newWorld(t, e, server.Options{})
			store := w.key("store", w.store("K1", nil), "")
			merchant := w.key("merchant", "", "Acme")
			old, _, _ := w.written(merchant, store)
			erased := func() bool {
				t.Helper()
				w.post(w.admin, "/v1/jobs/archive/run", nil).want(200)
				w.post(w.admin, "/v1/jobs/erase/run", nil).want(200)
				return w.get(merchant, "/v1/orders/"+old).want(200).text("erased_at") != ""
			}
			w.clock.Advance(179 * 24 * time.Hour)
			if erased() {
				t.Error("a day too early")
			}
			stray := w.photo(store, 77) // no event will name it
			fresh := w.post(merchant, "/v1/orders", orderBody(m{"external_id": "FRESH"})).want(201).text("id")
			w.clock.Advance(48 * time.Hour)
			if !erased() {
				t.Error("kept beyond its time")
			}
			var n int
			if err := w.db.Read(context.Background()).Get(&n, `SELECT count(*) FROM photo WHERE sha256 = ?`, stray); err != nil || n != 1 {
				t.Errorf("a phone that is offline still needs its photo: %d, %v", n, err)
			}
			w.clock.Advance(13 * 24 * time.Hour)
			w.post(w.admin, "/v1/jobs/erase/run", nil).want(200)
			if err := w.db.Read(context.Background()).Get(&n, `SELECT count(*) FROM photo WHERE sha256 = ?`, stray); err != nil || n != 0 {
				t.Errorf("a photo of nothing is kept: %d, %v", n, err)
			}
			if w.get(merchant, "/v1/orders/"+fresh).want(200).text("erased_at") != "" {
				t.Error("an open order was erased")
			}
			found := slices.DeleteFunc(w.stands(), func(s string) bool { return strings.HasPrefix(s, "idempotency:") }) // kept a day
			if len(found) > 0 {
				t.Errorf("rows still hold %q", found)
			}
		})
	}
}
