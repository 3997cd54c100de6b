package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// singles is a campaign that starts in four days, changed as the story needs.
func singles(change m) m {
	c := m{"name": "Singles Day", "starts_at": "2026-11-27T09:00:00Z", "ends_at": "2026-11-28T09:00:00Z",
		"skus":    []m{{"sku": "milk", "expected_units": 240, "case_pack": 6, "unit_margin": m{"amount": 250, "currency": "KES"}, "unit_holding_cost": m{"amount": 30, "currency": "KES"}}},
		"leads_s": []int{259200, 86400, 21600}}
	for k, v := range change {
		c[k] = v
	}
	return c
}

// add checks asked = committed + reallocated + unallocated, in the whole and in every part, and that
// the parts make the whole.
func (w *world) add(campaign string) *answer {
	w.Helper()
	a := w.get(w.admin, "/v1/campaigns/"+campaign+"/progress").want(200)
	fields := []string{"asked", "committed", "reallocated", "unallocated", "stocked", "consumed", "leftover"}
	check := func(p string) {
		w.Helper()
		if a.number(p+"asked") != a.number(p+"committed")+a.number(p+"reallocated")+a.number(p+"unallocated") {
			w.Errorf("%q does not add up: %s", p, a.body)
		}
	}
	check("")
	for _, by := range []string{"by_sku", "by_cell"} {
		sum := map[string]int{}
		for i := range a.at(by).([]any) {
			p := fmt.Sprintf("%s.%d.", by, i)
			check(p)
			for _, f := range fields {
				sum[f] += a.number(p + f)
			}
		}
		for _, f := range fields {
			if sum[f] != a.number(f) {
				w.Errorf("%s: the parts of %s make %d, the whole is %d", by, f, sum[f], a.number(f))
			}
		}
	}
	return a
}

func (w *world) run(job string) {
	w.Helper()
	w.post(w.admin, "/v1/jobs/"+job+"/run", nil).want(200)
}

// task is the store's only task of a status.
func (w *world) task(key, status string) *answer {
	w.Helper()
	l := w.get(key, "/v1/prestock-tasks?status="+status).want(200)
	if n := len(l.ids()); n != 1 {
		w.Fatalf("%d tasks %s: %s", n, status, l.body)
	}
	return w.get(key, "/v1/prestock-tasks/"+l.text("data.0.id")).want(200)
}

func TestGoodsAreOnTheShelvesBeforeThePeak(t *testing.T) {
	story(t, func(w *world) {
		var stores, keys []string
		for i := range 4 {
			id := w.store(fmt.Sprintf("duka %d", i), m{"location": northOf(float64(i) * 400), "shelf_units": 120})
			stores, keys = append(stores, id), append(keys, w.key("store", id, ""))
		}
		desk, shop := w.key("dispatcher", "", ""), w.key("merchant", "", "Acme")
		c := w.post(desk, "/v1/campaigns", singles(nil)).want(201)
		id := c.text("id")
		path := "/v1/campaigns/" + id
		if c.text("status") != "draft" || c.header.Get("Location") != path || c.header.Get("ETag") != `"1"` || c.number("skus.0.unit_margin.amount") != 250 {
			t.Errorf("a new campaign: %v %s", c.header, c.body)
		}
		w.post(desk, path+"/approve", nil).refused(409, "wrong-state")
		p := w.post(desk, path+"/plan", nil).want(200)
		if p.number("tasks") != 4 || p.number("asked") != 240 || p.number("unallocated") != 0 || p.number("created") != 4 {
			t.Fatalf("the plan: %s", p.body)
		}
		if p := w.post(desk, path+"/plan", nil).want(200); p.number("created") != 0 || p.number("unchanged") != 4 {
			t.Errorf("the same plan again: %s", p.body)
		}
		// What is planned is nobody's business yet.
		planned := w.get(desk, "/v1/prestock-tasks?campaign_id="+id+"&store_id="+stores[0]).want(200)
		if planned.text("data.0.status") != "planned" || planned.number("data.0.asked_quantity") != 60 || len(planned.ids()) != 1 {
			t.Errorf("planned: %s", planned.body)
		}
		if l := w.get(keys[0], "/v1/prestock-tasks").want(200); len(l.ids()) != 0 {
			t.Errorf("a store sees a plan: %s", l.body)
		}
		w.get(keys[0], "/v1/prestock-tasks/"+planned.text("data.0.id")).refused(404, "not-found")
		w.post(keys[0], "/v1/prestock-tasks/"+planned.text("data.0.id")+"/acknowledge", m{"committed_quantity": 60}).refused(404, "not-found")
		w.post(desk, "/v1/prestock-tasks/"+planned.text("data.0.id")+"/acknowledge", m{"committed_quantity": 60}).refused(409, "wrong-state")

		if a := w.post(desk, path+"/approve", nil).want(200); a.text("status") != "approved" {
			t.Errorf("approved: %s", a.body)
		}
		w.run("prestock-prompts") // four days before: too early
		if l := w.get(keys[0], "/v1/prestock-tasks").want(200); len(l.ids()) != 0 {
			t.Errorf("prompted four days before: %s", l.body)
		}
		w.clock.Advance(24 * time.Hour)
		for range 3 {
			w.run("prestock-prompts")
		}
		task := w.task(keys[0], "prompted")
		if len(task.at("prompts").([]any)) != 1 || task.number("prompts.0.lead_s") != 259200 || task.text("reason_text") == "" || task.text("ack_deadline") <= "2026-11-24T09:00:00.000Z" ||
			task.text("stock_deadline") >= "2026-11-27T09:00:00.000Z" || task.text("hold_until") != "2026-11-28T09:00:00.000Z" ||
			task.text("campaign_name") != c.text("name") || task.at("unit_fee") != nil {
			t.Errorf("prompted: %s", task.body)
		}

		// All, some, none, and one that never answers.
		commit := func(i int, n int) *answer {
			return w.post(keys[i], "/v1/prestock-tasks/"+w.task(keys[i], "prompted").text("id")+"/acknowledge", m{"committed_quantity": n})
		}
		first := "/v1/prestock-tasks/" + task.text("id")
		commit(0, 61).want(422).names("/committed_quantity")
		commit(0, -1).want(422).names("/committed_quantity")
		w.post(keys[0], first+"/acknowledge", m{}).want(422).names("/committed_quantity")
		w.post(keys[0], first+"/decline", m{}).want(422).names("/reason")
		w.post(keys[1], first+"/acknowledge", m{"committed_quantity": 60}).refused(404, "not-found")
		all := commit(0, 60).want(200)
		if all.text("status") != "acknowledged" || all.number("committed_quantity") != 60 || all.number("unallocated_quantity") != 0 {
			t.Errorf("all: %s", all.body)
		}
		if again := w.post(keys[0], first+"/acknowledge", m{"committed_quantity": 60}).want(200); again.number("version") != all.number("version") {
			t.Error("the same answer again changed something")
		}
		some := commit(1, 30).want(200)
		if some.text("status") != "partially_acknowledged" || some.number("reallocated_quantity") != 30 {
			t.Errorf("some: %s", some.body)
		}
		w.add(id)
		// The 30 were asked of neighbours with room; the one who gave them back is not among them.
		if l := w.get(keys[1], "/v1/prestock-tasks").want(200); len(l.ids()) != 1 {
			t.Errorf("asked again for what it refused: %s", l.body)
		}
		late := w.post(keys[1], "/v1/prestock-tasks/"+some.text("id")+"/acknowledge", m{"committed_quantity": 60}).refused(409, "already-reallocated")
		if late.number("open_quantity") != 30 {
			t.Errorf("what is still open: %s", late.body)
		}
		third := w.get(keys[2], "/v1/prestock-tasks?status=prompted").want(200).ids()[0]
		none := w.post(keys[2], "/v1/prestock-tasks/"+third+"/decline", m{"reason": "no fridge"}).want(200)
		if none.text("status") != "declined" || none.text("decline_reason") != "no fridge" || none.number("committed_quantity") != 0 {
			t.Errorf("none: %s", none.body)
		}
		w.add(id)

		// At the deadline the silent ones are passed over.
		w.clock.Set(noon.Add(24*time.Hour + 50*time.Hour))
		w.run("prestock-prompts")
		if l := w.get(desk, "/v1/prestock-tasks?status=expired&store_id="+stores[3]).want(200); len(l.ids()) == 0 {
			t.Errorf("nobody is passed over: %s", l.body)
		}
		w.add(id)

		// Counted goods are stock, and serve orders from that moment.
		stocked := func(i int, task string, n int) *answer {
			return w.post(keys[i], "/v1/prestock-tasks/"+task+"/stocked", m{"counted_quantity": n})
		}
		w.post(keys[0], first+"/stocked", m{}).want(422).names("/counted_quantity")
		stocked(0, task.text("id"), -1).want(422).names("/counted_quantity")
		stocked(1, task.text("id"), 60).refused(404, "not-found")
		item := m{"items": []m{{"sku": "milk", "quantity": 1}}}
		if o := w.order(shop, item); o.text("status_reason") != "store_out_of_stock" {
			t.Errorf("an order before the goods are there: %s", o.body)
		}
		a := stocked(0, task.text("id"), 60).want(200)
		if a.text("status") != "stocked" || a.number("counted_quantity") != 60 {
			t.Errorf("stocked: %s", a.body)
		}
		stocked(0, task.text("id"), 60).want(200) // again: the same
		if s := w.get(keys[0], "/v1/store/stock").want(200); s.number("data.0.on_hand") != 60 {
			t.Errorf("the shelf: %s", s.body)
		}
		stocked(0, task.text("id"), 50).refused(409, "already-counted")
		if b := stocked(1, some.text("id"), 20).want(200); b.text("status") != "shortfall" {
			t.Errorf("fewer than promised: %s", b.body)
		}
		w.post(keys[1], "/v1/prestock-tasks/"+some.text("id")+"/acknowledge", m{"committed_quantity": 30}).refused(409, "wrong-state")
		served := map[string]int{}
		for range 3 {
			served[w.order(shop, m{"items": []m{{"sku": "milk", "quantity": 25}}}).text("store.name")]++
		}
		if served["duka 0"] != 2 || served[""] != 1 {
			t.Errorf("orders from the shelves: %v", served)
		}
		if o := w.order(shop, m{"items": []m{{"sku": "milk", "quantity": 20}}}); o.text("store.name") != "duka 1" {
			t.Errorf("an order for 20: %s", o.body)
		}
		progress := w.add(id)
		if progress.number("stocked") != 80 {
			t.Errorf("progress: %s", progress.body)
		}

		// It ends: what is left is free again.
		w.clock.Set(time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC))
		w.run("prestock-release")
		if c := w.get(desk, path).want(200); c.text("status") != "finished" {
			t.Errorf("afterwards: %s", c.body)
		}
		w.add(id)
		for status := range map[string]bool{"prompted": true, "acknowledged": true, "stocked": true, "shortfall": true, "planned": true} {
			if l := w.get(desk, "/v1/prestock-tasks?campaign_id="+id+"&status="+status).want(200); len(l.ids()) != 0 {
				t.Errorf("still %s: %s", status, l.body)
			}
		}
		w.post(desk, path+"/plan", nil).refused(409, "wrong-state")
		w.post(desk, path+"/approve", nil).refused(409, "wrong-state")
		w.post(desk, path+"/cancel", nil).refused(409, "wrong-state")
	})
}

func TestCampaignsAreCancelledAndListed(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		key := w.key("store", id, "")
		var ids []string
		for range 3 {
			ids = append([]string{w.post(w.admin, "/v1/campaigns", singles(nil)).want(201).text("id")}, ids...)
		}
		first := w.get(w.admin, "/v1/campaigns?limit=2").want(200)
		rest := w.get(w.admin, "/v1/campaigns?limit=2&cursor="+first.text("next_cursor")).want(200)
		if got := append(first.ids(), rest.ids()...); strings.Join(got, " ") != strings.Join(ids, " ") {
			t.Errorf("newest first: %v, want %v", got, ids)
		}
		path := "/v1/campaigns/" + ids[0]
		w.post(w.admin, path+"/plan", nil).want(200)
		w.post(w.admin, path+"/approve", nil).want(200)
		w.clock.Advance(25 * time.Hour)
		w.run("prestock-prompts")
		task := w.task(key, "prompted").text("id")
		if c := w.post(w.admin, path+"/cancel", nil).want(200); c.text("status") != "cancelled" {
			t.Errorf("cancelled: %s", c.body)
		}
		w.post(w.admin, path+"/cancel", nil).want(200) // again: the same
		if a := w.get(key, "/v1/prestock-tasks/"+task).want(200); a.text("status") != "cancelled" {
			t.Errorf("its task: %s", a.body)
		}
		w.post(key, "/v1/prestock-tasks/"+task+"/acknowledge", m{"committed_quantity": 1}).refused(409, "wrong-state")
		w.post(key, "/v1/prestock-tasks/"+task+"/stocked", m{"counted_quantity": 1}).refused(409, "wrong-state")
		w.post(w.admin, path+"/plan", nil).refused(409, "wrong-state")
		for _, unknown := range []string{"cmp_000000000000000000000000", "ext:x", "1"} {
			w.get(w.admin, "/v1/campaigns/"+unknown).refused(404, "not-found")
			w.get(w.admin, "/v1/campaigns/"+unknown+"/progress").refused(404, "not-found")
			for _, action := range []string{"plan", "approve", "cancel"} {
				w.post(w.admin, "/v1/campaigns/"+unknown+"/"+action, nil).refused(404, "not-found")
			}
		}
		if l := w.get(w.admin, "/v1/prestock-tasks?campaign_id=cmp_000000000000000000000000").want(200); len(l.ids()) != 0 {
			t.Errorf("tasks of no campaign: %s", l.body)
		}
		w.get(w.admin, "/v1/prestock-tasks?status=eaten").want(422).names("status")
	})
}

func TestBadCampaignsAreRefusedNamingTheField(t *testing.T) {
	story(t, func(w *world) {
		sku := func(change m) m {
			s := m{"sku": "milk", "expected_units": 10}
			for k, v := range change {
				s[k] = v
			}
			return m{"skus": []m{s}}
		}
		for _, c := range []struct {
			name    string
			change  m
			status  int
			pointer string
		}{
			{"no name", m{"name": " "}, 422, "/name"},
			{"no start", m{"starts_at": nil}, 422, "/starts_at"},
			{"a start in the past", m{"starts_at": "2026-11-01T00:00:00Z"}, 422, "/starts_at"},
			{"not a time", m{"starts_at": "on Friday"}, 422, "/starts_at"},
			{"reversed", m{"ends_at": "2026-11-26T00:00:00Z"}, 422, "/ends_at"},
			{"no SKU", m{"skus": []m{}}, 422, "/skus"},
			{"a nameless SKU", sku(m{"sku": ""}), 422, "/skus/0/sku"},
			{"negative units", sku(m{"expected_units": -1}), 422, "/skus/0/expected_units"},
			{"no pack", sku(m{"case_pack": 0}), 422, "/skus/0/case_pack"},
			{"no uplift", sku(m{"uplift": 0}), 422, "/skus/0/uplift"},
			{"currency", sku(m{"unit_margin": m{"amount": 1, "currency": "shilling"}}), 422, "/skus/0/unit_margin/currency"},
			{"a fee in no currency", sku(m{"unit_fee": m{"amount": 1, "currency": "shilling"}}), 422, "/skus/0/unit_fee/currency"},
			{"two currencies", sku(m{"unit_margin": m{"amount": 1, "currency": "KES"}, "unit_holding_cost": m{"amount": 1, "currency": "USD"}}), 422, "/skus/0/unit_holding_cost/currency"},
			{"the same SKU twice", m{"skus": []m{{"sku": "a", "expected_units": 1}, {"sku": "a", "expected_units": 1}}}, 422, "/skus/1/sku"},
			{"a cell that is none", m{"h3_cells": []string{"banana"}}, 422, "/h3_cells/0"},
			{"a lead of no time", m{"leads_s": []int{0}}, 422, "/leads_s/0"},
			{"an unknown field", m{"discount": 5}, 400, "/discount"},
			{"a word for a number", sku(m{"expected_units": "many"}), 400, "/skus/0/expected_units"},
		} {
			t.Log(c.name)
			w.post(w.admin, "/v1/campaigns", singles(c.change)).want(c.status).names(c.pointer)
		}
		if l := w.get(w.admin, "/v1/campaigns").want(200); len(l.ids()) != 0 {
			t.Errorf("a refused campaign left something behind: %s", l.body)
		}
		// Nothing is known of what nobody sold, and nothing is made up.
		id := w.post(w.admin, "/v1/campaigns", singles(m{"skus": []m{{"sku": "caviar"}}})).want(201).text("id")
		w.store("duka", nil)
		w.post(w.admin, "/v1/campaigns/"+id+"/plan", nil).want(422).names("/skus/0/expected_units")
	})
}

func TestPastDemandIsImported(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("Duka", m{"external_id": "d1"})
		desk, shop, seller := w.key("dispatcher", "", ""), w.key("store", id, ""), w.key("merchant", "", "Acme")
		load := func(key, kind, query, body string) *answer {
			return w.send(request{method: "POST", path: "/v1/demand-imports" + query, key: key, kind: kind, body: body})
		}
		counts := func(a *answer) string {
			return fmt.Sprint(a.number("created"), a.number("updated"), a.number("unchanged"), a.number("failed"))
		}
		csv := "date;external_id;sku;units;stockout_hours;shelf\n2026-11-01;d1;milk;14;2.5;3\n2026-11-02;d1;milk;12;;3\n" +
			"2026-11-03;d9;milk;9;;3\n2026-11-04;d1;milk;9;25;3\n"
		for _, c := range []struct{ query, want string }{{"?dry_run=true", "2 0 0 2"}, {"", "2 0 0 2"}, {"", "0 0 2 2"}} {
			a := load(desk, "text/csv", c.query, csv).want(200)
			if counts(a) != c.want || a.text("errors.0.code") != "unknown-store" || a.number("errors.0.row") != 4 || a.text("errors.0.field") != "external_id" ||
				a.text("errors.1.code") != "out-of-range" || a.text("errors.1.field") != "stockout_hours" || a.text("unknown_columns.0") != "shelf" {
				t.Errorf("%q: %s", c.query, a.body)
			}
		}
		if a := load(desk, "text/csv; charset=utf-8", "", strings.Replace(csv, ";12;", ";13;", 1)).want(200); counts(a) != "0 1 1 2" {
			t.Errorf("a corrected row: %s", a.body)
		}
		load(desk, "text/csv", "?dry_run=perhaps", csv).want(422).names("dry_run")
		load(desk, "application/json", "", "{}").refused(415, "unsupported-media-type")
		load(desk, "text/csv", "", "day,units\n2026-11-01,4\n").refused(422, "invalid")
		load(desk, "text/csv", "", "").want(422)
		load(shop, "text/csv", "", csv).want(403)
		load(seller, "text/csv", "", csv).want(403)
		load("", "text/csv", "", csv).want(401)
	})
}

// Many cells, an answer of bounded size: the cells that lack most first.
func TestProgressOfManyCells(t *testing.T) {
	story(t, func(w *world) {
		for i := range 12 {
			w.store(fmt.Sprintf("duka %d", i), m{"location": northOf(float64(i) * 3000), "shelf_units": 120})
		}
		id := w.post(w.admin, "/v1/campaigns", singles(nil)).want(201).text("id")
		path := "/v1/campaigns/" + id
		w.post(w.admin, path+"/plan", nil).want(200)
		a := w.add(id)
		n := a.number("cells")
		if n < 6 || len(a.at("by_cell").([]any)) != n || a.at("expected_fill_rate") != 0.0 {
			t.Errorf("all cells: %s", a.body)
		}
		few := w.get(w.admin, path+"/progress?limit=2").want(200)
		if few.number("cells") != n || len(few.at("by_cell").([]any)) != 2 || few.number("asked") != a.number("asked") ||
			few.text("by_cell.0.h3_cell") != a.text("by_cell.0.h3_cell") {
			t.Errorf("the two worst cells: %s", few.body)
		}
		w.get(w.admin, path+"/progress?limit=0").want(422).names("limit")
		w.get(w.key("merchant", "", "Acme"), path+"/progress").want(403)
		empty := w.post(w.admin, "/v1/campaigns", singles(m{"name": "Later"})).want(201).text("id")
		if a := w.get(w.admin, "/v1/campaigns/"+empty+"/progress").want(200); a.number("cells") != 0 || a.at("expected_fill_rate") != nil {
			t.Errorf("no plan, no progress: %s", a.body)
		}
	})
}

// What people order here is past demand by itself, also what they could not have: a plan needs no file.
func TestOrdersArePastDemand(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("Duka", m{"shelf_units": 200})
		seller := w.key("merchant", "", "Acme")
		fair := singles(m{"starts_at": "2026-12-05T09:00:00Z", "ends_at": "2026-12-06T09:00:00Z", "skus": []m{{"sku": "milk"}}})
		path := "/v1/campaigns/" + w.post(w.admin, "/v1/campaigns", fair).want(201).text("id")
		w.post(w.admin, path+"/plan", nil).want(422).names("/skus/0/expected_units")
		w.stock(id, "milk", 12)
		for day := range 8 {
			for range 2 {
				if o := w.order(seller, m{"items": []m{{"sku": "milk", "quantity": 6}}}); o.text("store.name") != "Duka" {
					t.Fatalf("day %d: %s", day, o.body)
				}
			}
			// The shelf is empty until the evening: this one goes nowhere, and was wanted all the same.
			if o := w.order(seller, m{"items": []m{{"sku": "milk", "quantity": 6}}}); o.text("status_reason") != "store_out_of_stock" {
				t.Fatalf("day %d: %s", day, o.body)
			} else if day%2 == 0 {
				w.post(seller, "/v1/orders/"+o.text("id")+"/cancel", m{"reason": "cancelled_by_merchant"}).want(200)
			}
			w.clock.Advance(6 * time.Hour)
			w.stock(id, "milk", 12*(day+2)) // those of the days before are promised, and not fetched yet
			w.clock.Advance(18 * time.Hour)
		}
		w.run("demand")
		w.run("demand")
		p := w.post(w.admin, path+"/plan", nil).want(200)
		if n := p.number("asked"); n < 12 || n > 60 {
			t.Errorf("18 are wanted each day, the plan: %s", p.body)
		}
		w.add(path[len("/v1/campaigns/"):])
	})
}
