package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"doorstep/internal/db"
)

func TestWhoDidWhat(t *testing.T) {
	story(t, func(w *world) {
		amina := w.setUp()
		me := amina.get("/v1/me").want(200).text("account_id")
		seller := w.key("merchant", "", "Acme")
		store := w.store("duka", nil)
		merchants := w.get(w.admin, "/v1/merchants?limit=1").want(200)
		if merchants.text("data.0.name") != "Acme" || merchants.at("has_more") != false {
			t.Errorf("%s", merchants.body)
		}
		merchant := merchants.text("data.0.id")

		// What she does is there at once, under her name, with what she did it to.
		w.clock.Advance(time.Minute)
		amina.do("PUT", "/v1/merchants/"+merchant+"/policy", `{"fence_m": 80}`, "application/json").want(200)
		a := amina.get("/v1/acts?limit=1").want(200)
		if a.text("data.0.type") != "merchant.policy_changed" || a.text("data.0.actor.name") != "Amina" || a.text("data.0.actor.id") != me ||
			a.text("data.0.actor.role") != "admin" || a.text("data.0.subject.name") != "Acme" || a.text("data.0.subject.id") != merchant || a.at("data.0.data.fields.0") != "fence_m" {
			t.Fatalf("%s", a.body)
		}
		amina.do("PUT", "/v1/replenishment-settings", `{"enabled": true}`, "application/json").want(200)
		amina.do("PUT", "/v1/replenishment-settings", `{"enabled": true}`, "application/json").want(200) // changes nothing
		amina.postJSON("/v1/jobs/archive/run", "").want(200)
		key := amina.postJSON("/v1/keys", `{"role": "dispatcher", "name": "Wall screen"}`).want(201)
		amina.postJSON("/v1/keys/"+key.text("id")+"/revoke", "").want(200)
		ben := amina.postJSON("/v1/accounts", `{"login": "ben", "name": "Ben", "role": "dispatcher"}`).want(201).text("id")
		amina.postJSON("/v1/accounts/"+ben+"/sign-out", "").want(200)
		amina.postJSON("/v1/stores/"+store+"/pause", "").want(200)
		rows := "external_id,lat,lng\n"
		for i := range 30 {
			rows += fmt.Sprintf("many-%d,-1.3,36.8\n", i)
		}
		amina.do("POST", "/v1/store-imports", rows, "text/csv").want(200)
		order := w.order(seller, nil).text("id")
		amina.postJSON("/v1/orders/"+order+"/cancel", `{"reason": "data_error"}`).want(200)

		types := func(query string) string {
			a := amina.get("/v1/acts" + query).want(200)
			var out []string
			for i := range a.at("data").([]any) {
				out = append(out, a.text(fmt.Sprintf("data.%d.type", i)))
			}
			return strings.Join(out, " ")
		}
		// An import of thirty stores is one act, an order that came in by a key is none, and nothing is told twice.
		hers := "order.cancelled import.finished store.paused account.signed_out_everywhere account.created key.revoked key.created job.started setting.changed merchant.policy_changed"
		if got := types("?actor=" + me); got != hers {
			t.Errorf("she did %s", got)
		}
		hour := func(n time.Duration) string { return time.Now().Add(n * time.Hour).UTC().Format(time.RFC3339) } // the log's places are real time
		for query, want := range map[string]string{
			"?kind=key&actor=" + me:                                     "key.revoked key.created",
			"?kind=setting,job":                                         "job.started setting.changed",
			"?subject=" + order:                                         "order.cancelled",
			"?subject=" + store + "&actor=" + me:                        "store.paused",
			"?since=" + hour(1):                                         "",
			"?since=2100-01-01T00:00:00Z":                               "",
			"?until=" + hour(-1):                                        "",
			"?until=1980-01-01T00:00:00Z":                               "",
			"?until=1900-01-01T00:00:00Z":                               "",
			"?since=1900-01-01T00:00:00Z&actor=" + me:                   hers,
			"?actor=" + me + "&since=" + hour(-1) + "&until=" + hour(1): hers,
		} {
			if got := types(query); got != want {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
		// A page goes on where the one before ended.
		var paged []string
		for at := "?limit=4&actor=" + me; at != ""; {
			a := amina.get("/v1/acts" + at).want(200)
			for i := range a.at("data").([]any) {
				paged = append(paged, a.text(fmt.Sprintf("data.%d.type", i)))
			}
			if at = ""; a.at("has_more") == true {
				at = "?limit=4&actor=" + me + "&cursor=" + a.text("next_cursor")
			}
		}
		if got := strings.Join(paged, " "); got != types("?actor="+me) {
			t.Errorf("page by page: %s", got)
		}
		// Programs are there with what they are called; nobody's name stands in the log itself.
		if a := amina.get("/v1/acts?kind=store&limit=5").want(200); a.text("data.1.actor.kind") != "key" || a.text("data.1.subject.name") != "duka" {
			t.Errorf("%s", a.body)
		}
		desk := w.key("dispatcher", "", "")
		if log := string(w.get(desk, "/v1/events?limit=200").want(200).body); strings.Contains(log, "Amina") || strings.Contains(log, "Ben") || strings.Contains(log, `"_0`) {
			t.Errorf("the log: %s", log)
		}

		w.get(desk, "/v1/acts?actor="+me).want(200)
		w.get(seller, "/v1/acts").refused(403, "forbidden")
		w.get(seller, "/v1/merchants").refused(403, "forbidden")
		w.get("", "/v1/acts").want(401)
		w.get(desk, "/v1/acts?actor=ben").want(422).names("actor")
		w.get(desk, "/v1/acts?subject=ord_1").want(422).names("subject")
		w.get(desk, "/v1/acts?kind=weather").want(422).names("kind")
		w.get(desk, "/v1/acts?since=yesterday").want(422).names("since")
		w.get(desk, "/v1/acts?limit=0").want(422).names("limit")
		w.get(desk, "/v1/merchants?cursor=x").want(422).names("cursor")
	})
}

func TestAKeyTellsWhenItWasUsed(t *testing.T) {
	story(t, func(w *world) {
		made := w.post(w.admin, "/v1/keys", m{"role": "dispatcher", "name": "Wall screen"}).want(201)
		if made.at("used_at") != nil {
			t.Errorf("%s", made.body)
		}
		used := func() string { return w.get(w.admin, "/v1/keys?limit=1").want(200).text("data.0.used_at") }
		w.get(made.text("key"), "/v1/me").want(200)
		first := used()
		w.clock.Advance(59 * time.Minute)
		w.get(made.text("key"), "/v1/me").want(200)
		if again := used(); first == "" || again != first {
			t.Errorf("used at %q, then %q", first, again)
		}
		w.clock.Advance(time.Minute)
		time.Sleep(600 * time.Millisecond) // what was read of a key is trusted for half a second
		w.get(made.text("key"), "/v1/me").want(200)
		if later := used(); later <= first {
			t.Errorf("used at %q, an hour after %q", later, first)
		}
	})
}

func TestAnImportTellsOfEveryRow(t *testing.T) {
	story(t, func(w *world) {
		send := func(query, body string) *answer {
			return w.send(request{method: "POST", path: "/v1/store-imports" + query, key: w.admin, body: body, kind: "text/csv"})
		}
		send("", "external_id,name,lat,lng\na,Aa,-1.3,36.8\nb,Bb,-1.3,36.8\n").want(200)
		file := "external_id,name,lat,lng\nb,Bb,-1.3,36.8\na,Better,-1.3,36.8\nc,Cc,-1.3,36.8\nd,Dd,136.8,-1.3\nb,Twin,1,1\n"
		for _, query := range []string{"?rows=true&dry_run=true", "?rows=true"} {
			a := send(query, file).want(200)
			for i, want := range []string{"2 unchanged b Bb <nil>", "3 updated a Better [name]", "4 created c Cc <nil>", "5 failed d Dd <nil>", "6 failed b Twin <nil>"} {
				r := fmt.Sprintf("rows.%d.", i)
				if got := fmt.Sprint(a.number(r+"row"), " ", a.text(r+"outcome"), " ", a.text(r+"external_id"), " ", a.text(r+"name"), " ", a.at(r+"fields")); got != want {
					t.Errorf("%s: %s, want %s", query, got, want)
				}
			}
			if a.number("failed") != 2 || a.number("errors.0.row") != 5 || a.number("errors_omitted") != 0 {
				t.Errorf("%s", a.body)
			}
		}
		if a := send("?rows=true", file).want(200); a.number("unchanged") != 3 || a.text("rows.1.outcome") != "unchanged" {
			t.Errorf("again: %s", a.body)
		}
		if a := send("", file).want(200); a.at("rows") != nil {
			t.Errorf("nobody asked: %s", a.body)
		}
		send("?rows=perhaps", file).want(422).names("rows")
	})
}

func TestAJobThatFailsSaysWhy(t *testing.T) {
	story(t, func(w *world) {
		run := func() *answer { return w.post(w.admin, "/v1/jobs/archive/run", nil).want(200) }
		if a := run(); a.text("last_state") != "done" || a.text("last_started_at") == "" || a.text("last_finished_at") == "" {
			t.Errorf("%s", a.body)
		}
		rename := func(from, to string) {
			if err := w.db.InTx(context.Background(), func(tx *db.Tx) error { _, err := tx.Exec(`ALTER TABLE ` + from + ` RENAME TO ` + to); return err }); err != nil {
				t.Fatal(err)
			}
		}
		rename("orders", "orders_away")
		if a := run(); a.text("last_state") != "failed" || !strings.Contains(a.text("last_note"), "orders") {
			t.Errorf("%s", a.body)
		}
		rename("orders_away", "orders")
		if a := run(); a.text("last_state") != "done" || a.at("last_note") != nil {
			t.Errorf("%s", a.body)
		}
	})
}
