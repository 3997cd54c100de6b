package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// shows waits for an answer that has a number at a place: several who look at the map share one look at
// the network, which may be a moment old.
func (w *world) shows(path, field string, want int) (a *answer) {
	w.Helper()
	w.eventually(fmt.Sprintf("%s: %s is %d", path, field, want), func() bool {
		a = w.get(w.admin, path).want(200)
		return a.at(field) == float64(want)
	})
	return a
}

// list is a list of an answer.
func (a *answer) list(path string) []any {
	l, _ := a.at(path).([]any)
	return l
}

func TestTheMapShowsSupplyAndDemand(t *testing.T) {
	story(t, func(w *world) {
		shop := w.key("merchant", "", "Acme")
		w.store("one", m{"capacity": m{"slot_minutes": 60, "orders_per_slot": 1}})
		w.store("two", m{"opening_hours": "Mo-Su 20:00-22:00"})
		w.store("far", m{"location": m{"lat": 42.39369, "lng": -77.69553}, "time_zone": "America/New_York"})
		w.store("suva", m{"location": m{"lat": -16.8, "lng": -179.99}, "time_zone": "Pacific/Fiji"})
		w.order(shop, nil)
		w.order(shop, nil) // no room
		const nairobi = "/v1/cells?resolution=7&bbox=36.7,-1.4,36.9,-1.2"
		a := w.shows(nairobi, "open_orders.0", 2)
		if n := len(a.list("h3_cells")); n != 1 || !strings.HasPrefix(a.text("h3_cells.0"), "87") || a.number("resolution") != 7 || a.text("as_of") == "" {
			t.Fatalf("%d cells: %s", n, a.body)
		}
		for field, want := range map[string]int{"stores": 2, "open_stores": 1, "free_capacity": 0, "open_orders": 2, "unassignable_orders": 1,
			"overdue_orders": 0, "expected_demand": 0, "shortage": 0} {
			if l := a.list(field); len(l) != 1 || l[0] != float64(want) {
				t.Errorf("%s: %v, want %d", field, l, want)
			}
		}
		ring := a.list("rings.0")
		if len(ring) < 10 || len(ring)%2 != 0 || ring[0].(float64) < 36 || ring[1].(float64) > -1 {
			t.Errorf("its shape: %s", a.body)
		}
		if a := w.get(w.admin, nairobi+"&rings=false").want(200); strings.Contains(string(a.body), "rings") || len(a.list("h3_cells")) != 1 {
			t.Errorf("without shapes: %s", a.body)
		}
		fiji := w.get(w.admin, "/v1/cells?resolution=4&bbox=177,-19,-178,-16").want(200).list("rings.0")
		for i := 0; i < len(fiji); i += 2 {
			if lng := fiji[i].(float64); (lng < 0) != (fiji[0].(float64) < 0) {
				t.Errorf("a ring torn apart at the antimeridian: %v", fiji)
			}
		}
		count := func(query string) int { return len(w.get(w.admin, "/v1/cells"+query).want(200).list("h3_cells")) }
		for query, want := range map[string]int{"": 3, "?bbox=0,0,1,1": 0, "?resolution=0": 3, "?bbox=-80,40,-70,45&resolution=9": 1,
			"?bbox=170,-20,-60,60": 2} { // over the antimeridian
			if got := count(query); got != want {
				t.Errorf("%q: %d cells, want %d", query, got, want)
			}
		}
		for _, bad := range []string{"bbox=1,2,3", "bbox=36,1,37,-1", "bbox=a,b,c,d", "bbox=0,-91,1,1", "bbox=0,0,181,1", "bbox=NaN,0,1,1", "resolution=10", "resolution=-1", "resolution=x", "rings=round"} {
			w.get(w.admin, "/v1/cells?"+bad).want(422).names(bad[:strings.Index(bad, "=")])
		}
	})
}

func TestTheMapShowsWhatACampaignExpectsAndLacks(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		const here = "/v1/cells?bbox=36.7,-1.4,36.9,-1.2&resolution="
		path := "/v1/campaigns/" + w.post(w.admin, "/v1/campaigns", singles(nil)).want(201).text("id")
		w.shows(here+"7", "expected_demand.0", 0)
		asked := w.post(w.admin, path+"/plan", nil).want(200).number("asked")
		if asked < 100 {
			t.Fatalf("%d units asked", asked)
		}
		w.shows(here+"7", "shortage.0", asked)
		w.shows(here+"7", "expected_demand.0", 240)
		w.shows(here+"5", "shortage.0", asked)
		w.shows(here+"8", "shortage.0", 0) // plans are made for cells of resolution 7
		w.post(w.admin, path+"/approve", nil).want(200)
		w.clock.Advance(36 * time.Hour)
		w.run("prestock-prompts")
		counter := w.key("store", id, "")
		task := w.get(counter, "/v1/prestock-tasks").want(200).text("data.0.id")
		w.post(counter, "/v1/prestock-tasks/"+task+"/acknowledge", m{"committed_quantity": asked - 30}).want(200)
		w.shows(here+"7", "shortage.0", 30)
		w.post(w.admin, path+"/cancel", nil).want(200)
		w.shows(here+"7", "shortage.0", 0)
	})
}

func TestTheMapShowsStoresAndOrdersAsPoints(t *testing.T) {
	story(t, func(w *world) {
		shop := w.key("merchant", "", "Acme")
		open := w.store("open", m{"capacity": m{"slot_minutes": 60, "orders_per_slot": 2}})
		w.store("closed", m{"opening_hours": "Mo-Su 20:00-22:00"})
		w.store("far", m{"location": m{"lat": 42.39369, "lng": -77.69553}, "time_zone": "America/New_York"})
		ids := []string{w.order(shop, m{"external_id": "A-1"}).text("id"), w.order(shop, nil).text("id"), w.order(shop, nil).text("id")}
		const box = "/v1/map-points?bbox=36.7,-1.4,36.9,-1.2"
		var a *answer
		w.eventually("two stores and three orders", func() bool {
			a = w.get(w.admin, box).want(200)
			return len(a.list("stores")) == 2 && len(a.list("orders")) == 3
		})
		if a.at("more_stores") != false || a.at("more_orders") != false {
			t.Errorf("all of it: %s", a.body)
		}
		for i := range 2 {
			s := fmt.Sprintf("stores.%d.", i)
			if is := a.text(s+"id") == open; a.at(s+"open") != is || is && (a.text(s+"name") != "open" || a.number(s+"free_capacity") != 0 || a.at(s+"location.lat") != kilimani["lat"]) {
				t.Errorf("a store: %s", a.body)
			}
		}
		unserved := 0
		for i := range 3 {
			o := fmt.Sprintf("orders.%d.", i)
			if !slices.Contains(ids, a.text(o+"id")) || a.at(o+"location.lng") != kilimani["lng"] || a.at(o+"overdue") != false ||
				(a.text(o+"id") == ids[0]) != (a.text(o+"external_id") == "A-1") {
				t.Errorf("an order: %s", a.body)
			}
			if a.text(o+"status") == "unassignable" {
				unserved++
			}
		}
		if unserved != 1 || strings.Contains(string(a.body), "Wanjiru") || strings.Contains(string(a.body), "254") {
			t.Errorf("orders as points: %s", a.body)
		}
		cell := w.get(w.admin, "/v1/cells?resolution=8&bbox=36.7,-1.4,36.9,-1.2").want(200).text("h3_cells.0")
		for query, want := range map[string][2]int{"&stores=open": {1, 3}, "&stores=none": {0, 3}, "&orders=unassignable": {2, 1}, "&orders=overdue": {2, 0}, "&orders=none": {2, 0}} {
			for _, path := range []string{box, "/v1/map-points?h3_cell=" + cell} {
				a := w.get(w.admin, path+query).want(200)
				if got := [2]int{len(a.list("stores")), len(a.list("orders"))}; got != want {
					t.Errorf("%s%s: %v, want %v", path, query, got, want)
				}
			}
		}
		w.post(w.admin, "/v1/orders/"+ids[0]+"/cancel", m{"reason": "cancelled_by_merchant"}).want(200)
		w.eventually("a cancelled order is gone", func() bool { return len(w.get(w.admin, box).want(200).list("orders")) == 2 })
		w.step(w.admin, ids[1], "ready").want(200)
		w.clock.Advance(26 * time.Hour)
		w.eventually("what is late shows", func() bool { return len(w.get(w.admin, box+"&orders=overdue").want(200).list("orders")) > 0 })

		w.get(w.admin, "/v1/map-points").want(422).names("bbox")
		w.get(w.admin, box+"&h3_cell="+cell).want(422).names("bbox")
		for _, bad := range []string{"bbox=1,2,3", "bbox=0,0,181,1", "h3_cell=87", "h3_cell=8a7a6e42c50ffff", "bbox=1,1,2,2&stores=some", "bbox=1,1,2,2&orders=late"} {
			_, field, _ := strings.Cut("&"+bad, "&")
			if i := strings.LastIndex(bad, "&"); i >= 0 {
				field = bad[i+1:]
			}
			w.get(w.admin, "/v1/map-points?"+bad).want(422).names(field[:strings.Index(field, "=")])
		}
		w.get(shop, box).refused(403, "forbidden")
	})
}
