package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// find is what a query finds, as "kind title matched".
func (w *world) find(key, q string) (out []string) {
	w.Helper()
	a := w.post(key, "/v1/searches", m{"q": q}).want(200)
	for i := range a.at("data").([]any) {
		p := fmt.Sprintf("data.%d.", i)
		out = append(out, strings.Join([]string{a.text(p + "kind"), a.text(p + "title"), a.text(p + "matched")}, " "))
	}
	return out
}

// TestAnythingIsFoundByWhatIsKnownOfIt has each question asked before and after the phones were taken in:
// nobody sees the difference.
func TestAnythingIsFoundByWhatIsKnownOfIt(t *testing.T) {
	story(t, func(w *world) {
		desk, acme, other := w.key("dispatcher", "", ""), w.key("merchant", "", "Acme"), w.key("merchant", "", "Other")
		shop := w.store("D-7", m{"name": "Duka la Ngong, Łódź 便利店"})
		w.post(w.admin, "/v1/stores", storeBody("D-8", m{"name": "Dukani Corner"})).want(201)
		hers := m{"name": "Achieng Otieno", "phone": "+254722000111"}
		first := w.order(acme, m{"external_id": "A-1", "recipient": hers})
		w.order(acme, m{"external_id": "A-2", "recipient": m{"name": "Says +254722000111", "phone": "+254733999888"}})
		w.order(other, m{"external_id": "A-1", "recipient": hers})
		is := func(key, q string, want ...string) {
			w.Helper()
			if got := w.find(key, q); !slices.Equal(got, want) {
				w.Errorf("%q found %q, want %q", q, got, want)
			}
		}
		asked := func() {
			w.Helper()
			for _, q := range []string{"+254722000111", "00254 722-000-111", "0722 000 111", "722000111", "(0722) 000.111", "+254 (0)722 000111", "٠٧٢٢٠٠٠١١١", "2000111"} {
				is(desk, q, "order A-1 phone", "order A-1 phone")
				is(acme, q, "order A-1 phone")
			}
			is(desk, "0111", "order A-1 phone", "order A-1 phone")
			is(desk, "+255722000111")
			is(desk, "0722 000 112")
			is(desk, "A-1", "order A-1 external_id", "order A-1 external_id")
			is(acme, "ext:A-1", "order A-1 external_id")
		}
		asked()
		orders, stores := order.NewBook(w.db), partner.NewBook(w.db, partner.StandardDefaults())
		if n, err := orders.TakePhones(t.Context(), 0); err != nil || n != 3 {
			t.Fatal(n, err)
		}
		if any, err := orders.AnyPhones(t.Context(), 0); err != nil || any {
			t.Error("there is always something to take in", err)
		}
		asked()
		later := w.order(acme, m{"external_id": "A-3", "recipient": hers})
		is(acme, "0722000111", "order A-3 phone", "order A-1 phone")

		is(desk, first.text("id"), "order A-1 id")
		is(desk, " "+strings.ToUpper(first.text("assignment.id"))+" ", "order A-1 part")
		is(desk, first.text("tracking_url"), "order A-1 tracking_link")
		is(desk, "see https://x.example"+"/t/"+w.token(first)+"?a=b thanks", "order A-1 tracking_link")
		w.post(desk, "/v1/orders/"+first.text("id")+"/tracking-link/revoke", nil).want(200)
		is(desk, w.token(first), "order A-1 tracking_link")
		is(other, first.text("id"))
		is(other, w.token(first))
		is(desk, "ord_000000000000000000000000")
		is(desk, shop, "store Duka la Ngong, Łódź 便利店 id")
		is(desk, "D-7", "store Duka la Ngong, Łódź 便利店 external_id")
		is(acme, shop)

		for range 2 { // twice is once
			if err := stores.TakeNames(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range []string{"ngong", "La DUKA", "łó", "利店", "duka ngo"} {
			is(desk, q, "store Duka la Ngong, Łódź 便利店 name")
		}
		is(desk, "duka", "store Duka la Ngong, Łódź 便利店 name", "store Dukani Corner name")
		is(acme, "duka")
		is(desk, "ukani")
		is(desk, "d")
		w.send(request{method: "PATCH", path: "/v1/stores/" + shop, key: w.admin, body: m{"name": "Kiosk"}}).want(200)
		if err := stores.TakeNames(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(desk, "ngong")
		is(desk, "kios", "store Kiosk name")

		for q, code := range map[string]string{"": "required", " \n ": "required", strings.Repeat("x", 301): "too-long", "a\u0001b": "not-text"} {
			if a := w.post(desk, "/v1/searches", m{"q": q}).want(422).names("/q"); a.text("errors.0.code") != code {
				t.Errorf("%q: %s", q, a.body)
			}
		}
		w.post(desk, "/v1/searches", m{"q": 7}).want(400)
		w.post(desk, "/v1/searches", m{"query": "x"}).want(400)
		w.post(w.key("store", shop, ""), "/v1/searches", m{"q": "A-1"}).refused(403, "forbidden")

		// Whoever is erased is not found, neither in the table nor while she is not in it yet.
		for _, o := range []*answer{first, later} {
			w.post(acme, "/v1/orders/"+o.text("id")+"/cancel", m{"reason": "cancelled_by_merchant"}).want(200)
			w.post(acme, "/v1/orders/"+o.text("id")+"/erase", nil).want(200)
		}
		is(acme, "0722000111")
		if _, err := orders.TakePhones(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		is(desk, "0722000111", "order A-1 phone")
		var rows int
		if err := w.db.Read(t.Context()).Get(&rows, `SELECT count(*) FROM order_phone`); err != nil || rows != 2 {
			t.Errorf("%d rows, want those of the two that are left: %v", rows, err)
		}
		if strings.Contains(w.log.String(), "722") {
			t.Error("the log holds a phone number")
		}
	})
}

// TestListsAreNarrowed is about the filters of the console's lists.
func TestListsAreNarrowed(t *testing.T) {
	story(t, func(w *world) {
		desk, acme := w.key("dispatcher", "", ""), w.key("merchant", "", "Acme")
		here := w.store("here", nil)
		w.store("there", m{"location": northOf(30_000)})
		w.store("night", m{"opening_hours": "Mo-Su 22:00-06:00"})
		w.post(desk, "/v1/stores/"+here+"/pairing-codes", nil).want(201)
		a := w.order(acme, m{"external_id": "A"})
		w.clock.Advance(time.Hour)
		w.order(acme, m{"external_id": "B", "dropoff": m{"location": northOf(30_000)}})
		count := func(path string, want ...string) {
			w.Helper()
			r := w.get(desk, path).want(200)
			var got []string
			for i := range r.at("data").([]any) {
				got = append(got, r.text(fmt.Sprintf("data.%d.external_id", i)))
			}
			if !slices.Equal(got, want) {
				w.Errorf("%s: %q, want %q", path, got, want)
			}
		}
		at := "2026-11-23T09:30:00Z"
		count("/v1/orders?created_until="+at, "A")
		count("/v1/orders?created_after="+at, "B")
		cell := a.text("h3_cell")
		count("/v1/orders?status=confirmed&h3_cell="+cell, "A")
		count("/v1/orders?h3_cell="+cell+"&created_after=2026-11-01T00:00:00Z", "A")
		w.get(desk, "/v1/orders?h3_cell="+cell).want(422).names("h3_cell")
		w.get(desk, "/v1/orders?status=delivered&h3_cell="+cell).want(422).names("h3_cell")
		w.get(desk, "/v1/orders?status=created&h3_cell=banana").want(422).names("h3_cell")
		w.get(desk, "/v1/orders?created_until=noon").want(422).names("created_until")

		count("/v1/orders?code_locked=true")
		w.get(desk, "/v1/orders?code_locked=perhaps").want(422).names("code_locked")
		w.post(desk, "/v1/stores/"+here+"/pause", nil).want(200)
		w.post(desk, "/v1/stores/"+here+"/resume", nil).want(200)
		if a := w.get(desk, "/v1/stores/"+here+"/events").want(200); a.text("data.0.type") != "store.resumed" || a.text("data.1.type") != "store.paused" ||
			a.text("data.2.type") != "store.created" || a.text("data.0.actor") == "" {
			t.Errorf("the store's story: %s", a.body)
		}
		w.get(acme, "/v1/stores/"+here+"/events").refused(403, "forbidden")
		w.get(desk, "/v1/stores/str_000000000000000000000000/events").refused(404, "not-found")

		count("/v1/stores?open_now=true", "here", "there")
		count("/v1/stores?open_now=true&limit=1", "here")
		count("/v1/stores?open_now=false", "night")
		count("/v1/stores?paired=false", "here", "there", "night")
		count("/v1/stores?paired=true")
		w.get(desk, "/v1/stores?paired=maybe").want(422).names("paired")
		w.get(desk, "/v1/stores?open_now=1").want(422).names("open_now")
		page := w.get(desk, "/v1/stores?open_now=true&limit=1").want(200)
		count("/v1/stores?open_now=true&limit=1&cursor="+page.text("next_cursor"), "there")
	})
}
