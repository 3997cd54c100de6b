package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func (w *world) patch(key, path string, body any, header map[string]string) *answer {
	w.Helper()
	return w.send(request{method: "PATCH", path: path, key: key, body: body, header: header})
}

// ids are the ids of a page, in its order.
func (a *answer) ids() (out []string) {
	a.w.Helper()
	for i := 0; a.text(fmt.Sprintf("data.%d.id", i)) != ""; i++ {
		out = append(out, a.text(fmt.Sprintf("data.%d.id", i)))
	}
	return out
}

func TestAStoreIsAddedChangedAndTakenOut(t *testing.T) {
	story(t, func(w *world) {
		desk := w.key("dispatcher", "", "")
		full := storeBody("756126", m{"name": "Main Street Grocery", "location": m{"lat": 42.39369, "lng": -77.69553}, "phone": "+16075550123",
			"address":   m{"line1": "12 Main Street", "locality": "Hornell", "region": "NY", "postal_code": "14843", "country": "US"},
			"time_zone": "America/New_York", "opening_hours": "Mo-Fr 08:00-21:00; Sa,Su 09:00-18:00; PH off", "locale": "en"})
		a := w.post(desk, "/v1/stores", full).want(201)
		id := a.text("id")
		if a.header.Get("ETag") != `"1"` || a.header.Get("Location") != "/v1/stores/"+id || a.number("version") != 1 {
			t.Errorf("a new store: %v %s", a.header, a.body)
		}
		// Noon in Nairobi is four in the morning there.
		if a.text("status") != "active" || a.at("accepting_orders") != true || a.at("open_now") != false || len(a.text("h3_cell")) != 15 ||
			a.text("phone") != "+16075550123" || a.text("address.country") != "US" || a.number("capacity.slot_minutes") != 60 {
			t.Errorf("a new store: %s", a.body)
		}
		// The same again is no second store; another under its name is refused.
		if b := w.post(desk, "/v1/stores", full).want(200); b.text("id") != id || b.number("version") != 1 {
			t.Errorf("the same store again: %s", b.body)
		}
		w.post(desk, "/v1/stores", storeBody("756126", nil)).refused(409, "external-id-taken")

		path := "/v1/stores/" + id
		b := w.patch(desk, path, m{"capacity": m{"slot_minutes": 60, "orders_per_slot": 7}, "opening_hours": ""}, map[string]string{"If-Match": `"1"`}).want(200)
		if b.number("capacity.orders_per_slot") != 7 || b.number("capacity.slot_minutes") != 60 || b.at("open_now") != true || b.header.Get("ETag") != `"2"` {
			t.Errorf("changed: %v %s", b.header, b.body)
		}
		if c := w.patch(desk, path, m{"capacity": m{"slot_minutes": 60, "orders_per_slot": 7}}, nil).want(200); c.number("version") != 2 {
			t.Errorf("a change to what it is already: %s", c.body)
		}
		w.patch(desk, path, m{"name": "Old view"}, map[string]string{"If-Match": `"1"`}).refused(412, "version-mismatch")
		w.patch(desk, path, m{"name": "No view"}, map[string]string{"If-Match": `"banana"`}).refused(412, "version-mismatch")
		w.patch(desk, path, m{"name": ""}, nil).want(422).names("/name")
		w.patch(desk, path, m{"nickname": "Mama"}, nil).want(400).names("/nickname")
		// What was read may be sent back whole; what answers only tell is not looked at.
		var whole m
		if err := json.Unmarshal(w.get(desk, path).want(200).body, &whole); err != nil {
			t.Fatal(err)
		}
		whole["version"], whole["id"] = 99, "str_mine"
		if e := w.patch(desk, path, whole, nil).want(200); e.number("version") != 2 || e.text("id") == "str_mine" {
			t.Errorf("sent back whole: %s", e.body)
		}
		w.patch(desk, path, m{"time_zone": "Asia/Tokyo"}, nil).want(422).names("/time_zone")
		if d := w.get(desk, path).want(200); d.text("name") != "Main Street Grocery" || d.number("version") != 2 {
			t.Errorf("after the refusals: %s", d.body)
		}
		if d := w.get(desk, "/v1/stores/ext:756126").want(200); d.text("id") != id {
			t.Errorf("by its external id: %s", d.body)
		}

		for _, unknown := range []string{"/v1/stores/str_000000000000000000000000", "/v1/stores/ext:nobody", "/v1/stores/756126", "/v1/stores/ext:"} {
			w.get(desk, unknown).refused(404, "not-found")
		}
		w.send(request{method: "DELETE", path: path, key: desk, header: map[string]string{"If-Match": `"1"`}}).refused(412, "version-mismatch")

		// A store with work in hand stays until the work is done.
		shop := w.key("merchant", "", "Acme")
		o := w.order(shop, m{"dropoff": m{"location": m{"lat": 42.39369, "lng": -77.69553}}})
		w.send(request{method: "DELETE", path: path, key: desk}).refused(409, "store-has-open-orders")
		w.post(shop, "/v1/orders/"+o.text("id")+"/cancel", m{"reason": "cancelled_by_merchant"}).want(200)
		if gone := w.send(request{method: "DELETE", path: path, key: desk, header: map[string]string{"If-Match": `"2"`}}).want(204); len(gone.body) != 0 {
			t.Errorf("taken out: %s", gone.body)
		}
		w.get(desk, path).refused(404, "not-found")
		w.patch(desk, path, m{"name": "Ghost"}, nil).refused(404, "not-found")
		if again := w.post(desk, "/v1/stores", full).want(201); again.text("id") == id {
			t.Error("a new store under the old external id is the old one")
		}
	})
}

func TestBadStoresAreRefusedNamingTheField(t *testing.T) {
	story(t, func(w *world) {
		long := strings.Repeat("x", 201)
		for _, c := range []struct {
			name    string
			change  m
			status  int
			pointer string
			says    string
		}{
			{"no name", m{"name": " "}, 422, "/name", ""},
			{"a name of a page", m{"name": long}, 422, "/name", ""},
			{"no place", m{"location": nil}, 422, "/location/lat", ""},
			{"half a place", m{"location": m{"lat": 1.0}}, 422, "/location/lng", ""},
			{"swapped coordinates", m{"location": m{"lat": 139.69, "lng": 35.68}, "time_zone": "Asia/Tokyo"}, 422, "/location/lat", "swapped"},
			{"swapped within range", m{"location": m{"lat": -77.69553, "lng": 42.39369}, "time_zone": "America/New_York"}, 422, "/time_zone", "swapped"},
			{"longitude", m{"location": m{"lat": 0, "lng": 180.5}}, 422, "/location/lng", ""},
			{"hours", m{"opening_hours": "Mo-Fr 08:00-18:00; sunrise-sunset"}, 422, "/opening_hours", "sunrise-sunset"},
			{"an hour no night has", m{"opening_hours": "Mo-Fr 08:00-49:00"}, 422, "/opening_hours", "49:00"},
			{"a zone nobody knows", m{"time_zone": "Africa/Atlantis"}, 422, "/time_zone", ""},
			{"a zone far away", m{"time_zone": "America/New_York"}, 422, "/time_zone", ""},
			{"hours without a zone", m{"time_zone": ""}, 422, "/time_zone", ""},
			{"a local phone number", m{"phone": "0712345678"}, 422, "/phone", "+254712345678"},
			{"a language", m{"locale": "english please"}, 422, "/locale", ""},
			{"a country", m{"address": m{"country": "Kenya"}}, 422, "/address/country", ""},
			{"radius", m{"service_radius_m": 0}, 422, "/service_radius_m", ""},
			{"slot too short", m{"capacity": m{"slot_minutes": 4}}, 422, "/capacity/slot_minutes", ""},
			{"slot too long", m{"capacity": m{"slot_minutes": 1441}}, 422, "/capacity/slot_minutes", ""},
			{"negative capacity", m{"capacity": m{"orders_per_slot": -1}}, 422, "/capacity/orders_per_slot", ""},
			{"negative shelf", m{"shelf_units": -1}, 422, "/shelf_units", ""},
			{"no time to answer", m{"offer_timeout_s": 0}, 422, "/offer_timeout_s", ""},
			{"status", m{"status": "napping"}, 422, "/status", ""},
			{"a number for a name", m{"name": 7}, 400, "/name", ""},
			{"a word for a number", m{"service_radius_m": "far"}, 400, "/service_radius_m", ""},
			{"a fraction", m{"shelf_units": 1.5}, 400, "/shelf_units", ""},
			{"an unknown field", m{"colour": "red"}, 400, "/colour", ""},
			{"an unknown field inside", m{"capacity": m{"slots": 3}}, 400, "/capacity/slots", ""},
		} {
			a := w.post(w.admin, "/v1/stores", storeBody("bad", c.change)).want(c.status).names(c.pointer)
			if !strings.Contains(string(a.body), c.says) {
				t.Errorf("%s: nothing about %q in %s", c.name, c.says, a.body)
			}
		}
		w.post(w.admin, "/v1/stores", storeBody("bad", m{"name": "", "phone": "1", "shelf_units": -1})).want(422).names("/name").names("/phone").names("/shelf_units")
		w.post(w.admin, "/v1/stores", `[]`).want(400)
		if l := w.get(w.admin, "/v1/stores").want(200); len(l.ids()) != 0 {
			t.Errorf("a refused store left something behind: %s", l.body)
		}
	})
}

func TestAPauseEndsByItself(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		key, shop := w.key("store", id, ""), w.key("merchant", "", "Acme")
		path := "/v1/stores/" + id
		w.post(key, path+"/pause", m{"until": "2026-11-23T08:59:00Z"}).want(422).names("/until")
		w.post(key, path+"/pause", m{"until": "soon"}).want(422).names("/until")
		a := w.post(key, path+"/pause", m{"until": "2026-11-23T09:30:00Z"}).want(200)
		if a.text("status") != "paused" || a.at("accepting_orders") != false || a.text("paused_until") != "2026-11-23T09:30:00.000Z" {
			t.Errorf("paused: %s", a.body)
		}
		again := w.post(key, path+"/pause", m{"until": "2026-11-23T09:30:00Z"}).want(200)
		if again.number("version") != a.number("version") {
			t.Error("pausing twice changed something")
		}
		if o := w.order(shop, nil); o.text("status") != "unassignable" {
			t.Errorf("an order during the pause: %s", o.body)
		}
		w.clock.Advance(30 * time.Minute)
		b := w.get(key, path).want(200)
		if b.text("status") != "active" || b.at("accepting_orders") != true || b.at("paused_until") != nil {
			t.Errorf("after the pause: %s", b.body)
		}
		if o := w.order(shop, nil); o.text("status") != "confirmed" {
			t.Errorf("an order after the pause: %s", o.body)
		}
		w.post(key, path+"/pause", nil).want(200)
		w.clock.Advance(24 * time.Hour)
		if c := w.get(key, path); c.text("status") != "paused" {
			t.Errorf("a pause without an end ended: %s", c.body)
		}
		if c := w.post(key, path+"/resume", nil).want(200); c.text("status") != "active" {
			t.Errorf("resumed: %s", c.body)
		}
		// What the network decided, a store does not undo.
		w.patch(w.admin, path, m{"status": "suspended"}, nil).want(200)
		w.post(key, path+"/pause", nil).refused(409, "store-suspended")
		w.post(key, path+"/resume", nil).refused(409, "store-suspended")
	})
}

func TestAStoreSeesAndKeepsItself(t *testing.T) {
	story(t, func(w *world) {
		id, other := w.store("duka", m{"shelf_units": 50}), w.store("other", nil)
		key := w.key("store", id, "")
		a := w.get(key, "/v1/store").want(200)
		if a.text("id") != id || a.header.Get("ETag") != `"1"` {
			t.Errorf("itself: %s", a.body)
		}
		b := w.patch(key, "/v1/store", m{"phone": "+254712345678", "opening_hours": "Mo-Su 07:00-22:00", "status": "busy"}, map[string]string{"If-Match": `"1"`}).want(200)
		if b.text("phone") != "+254712345678" || b.text("status") != "busy" {
			t.Errorf("changed: %s", b.body)
		}
		w.patch(key, "/v1/store", m{"phone": nil}, map[string]string{"If-Match": `"1"`}).refused(412, "version-mismatch")
		theirs := m{"external_id": "x", "location": kilimani, "address": m{"line1": "x"}, "time_zone": "UTC", "offer_timeout_s": 5, "status": "suspended"}
		for field, v := range theirs {
			w.patch(key, "/v1/store", m{field: v}, nil).want(422).names("/" + field)
		}
		// Another's is not there at all.
		for _, r := range []request{
			{method: "GET", path: "/v1/stores/" + other}, {method: "GET", path: "/v1/stores/ext:other"},
			{method: "POST", path: "/v1/stores/" + other + "/pause"}, {method: "POST", path: "/v1/stores/" + other + "/resume"},
			{method: "GET", path: "/v1/stores/" + other + "/stock"},
			{method: "PUT", path: "/v1/stores/" + other + "/stock", body: m{"items": []m{{"sku": "milk", "on_hand": 1}}}},
		} {
			r.key = key
			w.send(r).refused(404, "not-found")
		}
		w.get(key, "/v1/stores").refused(403, "forbidden")
		w.patch(key, "/v1/stores/"+id, m{"name": "x"}, nil).refused(403, "forbidden")

		count := func(body any) *answer {
			return w.send(request{method: "PUT", path: "/v1/store/stock", key: key, body: body})
		}
		s := count(m{"items": []m{{"sku": "milk", "on_hand": 24}, {"sku": "bread", "on_hand": 6}}}).want(200)
		if s.text("data.0.sku") != "bread" || s.number("data.1.available") != 24 {
			t.Errorf("the shelf: %s", s.body)
		}
		count(m{"items": []m{{"sku": "milk", "on_hand": 20}}}).want(200) // the others stay
		if s := w.get(key, "/v1/store/stock").want(200); s.number("data.0.on_hand") != 6 || s.number("data.1.on_hand") != 20 {
			t.Errorf("the shelf after a count: %s", s.body)
		}
		count(m{"items": []m{{"sku": "milk", "on_hand": -1}}}).want(422).names("/items/0/on_hand")
		count(m{"items": []m{{"sku": "milk"}}}).want(422).names("/items/0/on_hand")
		count(m{"items": []m{{"sku": "", "on_hand": 1}}}).want(422).names("/items/0/sku")
		count(m{"items": []m{{"sku": "a", "on_hand": 1}, {"sku": "a", "on_hand": 2}}}).want(422).names("/items/1/sku")
		count(m{}).want(422).names("/items")
		count(m{"items": []m{{"sku": "milk", "on_hand": 45}}}).want(422).names("/items")
		if s := w.get(w.admin, "/v1/stores/"+id+"/stock").want(200); s.number("data.1.on_hand") != 20 {
			t.Errorf("the shelf after the refusals: %s", s.body)
		}
	})
}

func TestStoresAreListedByStatusAndCell(t *testing.T) {
	story(t, func(w *world) {
		var ids []string
		for i := range 5 {
			ids = append(ids, w.store(fmt.Sprint(i), nil))
		}
		far := w.store("far", m{"location": northOf(50_000)})
		w.post(w.admin, "/v1/stores/"+ids[1]+"/pause", m{"until": "2026-11-23T10:00:00Z"}).want(200)
		w.patch(w.admin, "/v1/stores/"+ids[2], m{"status": "closed"}, nil).want(200)
		list := func(query string) string {
			return strings.Join(w.get(w.admin, "/v1/stores"+query).want(200).ids(), " ")
		}
		cases := map[string][]string{
			"":                      {ids[0], ids[1], ids[2], ids[3], ids[4], far},
			"?status=paused":        {ids[1]},
			"?status=paused,closed": {ids[1], ids[2]},
			"?status=busy":          nil,
			"?h3_cell=" + w.get(w.admin, "/v1/stores/"+far).text("h3_cell"): {far},
		}
		for query, want := range cases {
			if got := list(query); got != strings.Join(want, " ") {
				t.Errorf("%q lists %q, want %q", query, got, want)
			}
		}
		first := w.get(w.admin, "/v1/stores?limit=4").want(200)
		late := w.store("late", nil)
		rest := w.get(w.admin, "/v1/stores?limit=4&cursor="+first.text("next_cursor")).want(200)
		if got := append(first.ids(), rest.ids()...); strings.Join(got, " ") != strings.Join(append(ids, far, late), " ") || rest.at("has_more") != false {
			t.Errorf("two pages: %v", got)
		}
		w.clock.Advance(time.Hour)
		if got := list("?status=paused"); got != "" {
			t.Errorf("a pause that is over is listed: %s", got)
		}
		for _, bad := range []string{"status=napping", "status=active,napping", "h3_cell=banana", "h3_cell=8f7a6e4ac8d2d9b", "limit=0", "cursor=1"} {
			w.get(w.admin, "/v1/stores?"+bad).want(422).names(bad[:strings.Index(bad, "=")])
		}
	})
}

func TestStoresAreImported(t *testing.T) {
	story(t, func(w *world) {
		load := func(kind, query, body string) *answer {
			return w.send(request{method: "POST", path: "/v1/store-imports" + query, key: w.admin, kind: kind, body: body})
		}
		counts := func(a *answer) string {
			return fmt.Sprint(a.number("created"), a.number("updated"), a.number("unchanged"), a.number("failed"))
		}
		// What spreadsheets make of a list: a byte order mark, semicolons, line breaks inside quotes (which
		// become spaces).
		csv := "\ufeffexternal_id;name;lat;lng;orders_per_slot;colour\r\n" +
			"1;\"Mama\r\nMboga\";-1.2921;36.7856;20;red\r\n" +
			"2;Duka Two;-1.2925;36.7860;10;\"dark\r\ngreen\"\r\n" +
			"3;Swapped;136.78;-1.29;10;\r\n" +
			"4;Many;-1.2925;36.7860;lots;\r\n" +
			"2;Twin;-1.2925;36.7860;10;\r\n" +
			"5;Short;-1.29\r\n" +
			"6;Duka Six;-1.2930;36.7861;5;\r\n"
		zone := "?default_time_zone=Africa/Nairobi&default_opening_hours=Mo-Su+08:00-20:00&default_auto_accept=false&default_service_radius_m=900"
		dry := load("text/csv; charset=utf-8", zone+"&dry_run=true", csv).want(200)
		if counts(dry) != "3 0 0 4" || len(w.get(w.admin, "/v1/stores").ids()) != 0 {
			t.Errorf("a dry run: %s", dry.body)
		}
		a := load("text/csv", zone, csv).want(200)
		if string(a.body) != string(dry.body) {
			t.Errorf("the dry run said\n%s, the import\n%s", dry.body, a.body)
		}
		want := []string{"4 lat out-of-range", "5 orders_per_slot not-readable", "6 external_id duplicate", "7  column-count"}
		for i, line := range want {
			p := fmt.Sprintf("errors.%d.", i)
			if got := fmt.Sprintf("%d %s %s", a.number(p+"row"), a.text(p+"field"), a.text(p+"code")); got != line || a.text(p+"detail") == "" {
				t.Errorf("error %d is %q, want %q: %s", i, got, line, a.body)
			}
		}
		if one := w.get(w.admin, "/v1/stores/ext:1").want(200); one.text("name") != "Mama Mboga" {
			t.Errorf("a name in two lines: %s", one.body)
		}
		if a.text("unknown_columns.0") != "colour" {
			t.Errorf("columns nobody knows: %s", a.body)
		}
		s := w.get(w.admin, "/v1/stores/ext:2").want(200)
		if s.at("auto_accept") != false || s.number("service_radius_m") != 900 || s.text("opening_hours") != "Mo-Su 08:00-20:00" || s.number("capacity.orders_per_slot") != 10 {
			t.Errorf("imported: %s", s.body)
		}
		if b := load("text/csv", zone, csv).want(200); counts(b) != "0 0 3 4" {
			t.Errorf("the same file again: %s", b.body)
		}
		if c := w.get(w.admin, "/v1/stores/ext:2"); c.number("version") != s.number("version") {
			t.Error("importing again changed a store")
		}

		lines := `{"external_id":"7","name":"Duka Seven","location":{"lat":-1.2931,"lng":36.7862},"time_zone":"Africa/Nairobi","address":{"line1":"Ngong Road, \"Adams\""}}` + "\n" +
			`{"external_id":"2","capacity":{"orders_per_slot":12}}` + "\n" +
			`{"external_id":"10","name":"Duka Ten","location":{"lat":-1.2931,"lng":36.7862},"address":{"line1":"Ngong\u0007Road"}}` + "\n" +
			`{"external_id":"8","location":{"lat":-1.2931}}` + "\n" +
			`{"external_id":"9","colour":"red"}` + "\n" +
			`{"name":"Nobody"}` + "\n" + `not json` + "\n"
		b := load("application/x-ndjson", "", lines).want(200)
		if counts(b) != "1 1 0 5" {
			t.Errorf("lines: %s", b.body)
		}
		for i, field := range []string{"/address/line1", "/location/lng", "/colour", "/external_id", ""} {
			if got := b.text(fmt.Sprintf("errors.%d.field", i)); got != field || b.number(fmt.Sprintf("errors.%d.row", i)) != i+3 {
				t.Errorf("error %d names %q, want %q: %s", i, got, field, b.body)
			}
		}
		if c := w.get(w.admin, "/v1/stores/ext:2"); c.number("capacity.orders_per_slot") != 12 || c.number("capacity.slot_minutes") != 60 || c.number("service_radius_m") != 900 {
			t.Errorf("a line changes what it says: %s", c.body)
		}
		// An imported store works at once.
		if o := w.order(w.key("merchant", "", "Acme"), nil); o.text("store.name") != "Mama Mboga" {
			t.Errorf("an order after the import: %s", o.body)
		}

		load("application/json", "", "{}").refused(415, "unsupported-media-type")
		load("text/csv", "?dry_run=perhaps", csv).want(422).names("dry_run")
		load("text/csv", "?default_shelf_units=many", csv).want(422).names("default_shelf_units")
		load("text/csv", "", "name,lat\nx,1\n").want(422)
		load("text/csv", "", "").want(422)
		load("text/csv", "", "\xff\xfee\x00x\x00").want(422)
	})
}
