package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func (w *world) put(key, path string, body any) *answer {
	w.Helper()
	return w.send(request{method: "PUT", path: path, key: key, body: body})
}

func TestALongPlanIsMadeInTheBackground(t *testing.T) {
	story(t, func(w *world) {
		for i := range 3 {
			w.store(strings.Repeat("duka ", i+1), m{"location": northOf(float64(i) * 400), "shelf_units": 120})
		}
		desk := w.key("dispatcher", "", "")
		path := "/v1/campaigns/" + w.post(desk, "/v1/campaigns", singles(nil)).want(201).text("id")
		if c := w.get(desk, path).want(200); c.at("plan") != nil || c.text("kind") != "peak" {
			t.Errorf("before any plan: %s", c.body)
		}
		a := w.post(desk, path+"/plan?async=true", nil).want(202)
		if a.text("plan.state") != "queued" || a.header.Get("Location") != path || a.text("status") != "draft" {
			t.Errorf("queued: %v %s", a.header, a.body)
		}
		if again := w.post(desk, path+"/plan?async=true", nil).want(202); again.text("plan.state") != "queued" {
			t.Errorf("asked for twice: %s", again.body)
		}
		w.post(desk, path+"/approve", nil).refused(409, "wrong-state")
		w.run("prestock-plans")
		c := w.get(desk, path).want(200)
		if c.text("plan.state") != "done" || c.number("plan.done_stores") != 3 || c.number("plan.total_stores") != 3 || c.text("status") != "planned" ||
			c.number("plan.result.asked") != 240 || c.number("plan.result.by_sku.0.created") != 3 || len(c.at("plan.result.changes").([]any)) != 3 {
			t.Errorf("planned: %s", c.body)
		}
		// While a plan waits, the one before is not approved.
		w.post(desk, path+"/plan?async=true", nil).want(202)
		w.post(desk, path+"/approve", nil).refused(409, "plan-unfinished")
		if p := w.post(desk, path+"/plan?async=false", nil).want(200); p.number("unchanged") != 3 || p.number("units_added") != 0 || len(p.at("changes").([]any)) != 0 {
			t.Errorf("the same plan again: %s", p.body)
		}
		w.post(desk, path+"/approve", nil).want(200)
		w.post(desk, path+"/plan?async=perhaps", nil).names("async")
		preferred := w.send(request{method: "POST", path: path + "/plan", key: desk, header: map[string]string{"Prefer": "wait=10, respond-async"}}).want(202)
		if preferred.header.Get("Preference-Applied") != "respond-async" {
			t.Errorf("preferred: %v", preferred.header)
		}

		// What has to be mended is seen as well.
		wrong := singles(m{"name": "Nothing known", "skus": []m{{"sku": "novelty"}}})
		path = "/v1/campaigns/" + w.post(desk, "/v1/campaigns", wrong).want(201).text("id")
		w.post(desk, path+"/plan", nil).want(422).names("/skus/0/expected_units")
		w.post(desk, path+"/plan?async=true", nil).want(202)
		w.run("prestock-plans")
		if c := w.get(desk, path).want(200); c.text("plan.state") != "failed" || !strings.Contains(c.text("plan.problem"), "novelty") {
			t.Errorf("a plan that cannot be: %s", c.body)
		}
	})
}

func TestAPlanOfMuchIsNotWaitedFor(t *testing.T) {
	story(t, func(w *world) {
		var file strings.Builder
		file.WriteString("external_id,lat,lng,time_zone\n")
		for i := range 1001 {
			fmt.Fprintf(&file, "x%d,-1.%04d,36.8,Africa/Nairobi\n", i, i)
		}
		w.send(request{method: "POST", path: "/v1/store-imports", key: w.admin, kind: "text/csv", body: file.String()}).want(200)
		var skus []m
		for i := range 200 {
			skus = append(skus, m{"sku": fmt.Sprintf("sku-%d", i), "expected_units": 0})
		}
		path := "/v1/campaigns/" + w.post(w.admin, "/v1/campaigns", singles(m{"skus": skus})).want(201).text("id")
		if a := w.post(w.admin, path+"/plan", nil).want(202); a.text("plan.state") != "queued" {
			t.Errorf("200,200 tasks: %s", a.body)
		}
		w.run("prestock-plans")
		if c := w.get(w.admin, path).want(200); c.text("plan.state") != "done" || c.number("plan.result.tasks") != 0 {
			t.Errorf("nothing is expected: %s", c.body)
		}
	})
}

func TestTwoCampaignsForTheSameGoods(t *testing.T) {
	story(t, func(w *world) {
		w.store("duka", m{"shelf_units": 500})
		desk := w.key("dispatcher", "", "")
		plan := func(change m) string {
			w.Helper()
			path := "/v1/campaigns/" + w.post(desk, "/v1/campaigns", singles(change)).want(201).text("id")
			w.post(desk, path+"/plan", nil).want(200)
			return path
		}
		first, second := plan(nil), plan(m{"name": "Another"})
		w.post(desk, first+"/approve", nil).want(200)
		refused := w.post(desk, second+"/approve", nil).refused(409, "campaigns-overlap")
		if refused.text("errors.0.pointer") != "/skus/0/sku" || !strings.Contains(string(refused.body), "Singles Day") {
			t.Errorf("which campaign: %s", refused.body)
		}
		later := plan(m{"name": "The day after", "starts_at": "2026-11-28T09:00:00Z", "ends_at": "2026-11-29T09:00:00Z"})
		w.post(desk, later+"/approve", nil).want(200)
		w.post(desk, first+"/cancel", nil).want(200)
		w.post(desk, second+"/approve", nil).want(200)
	})
}

func TestShelvesAreFilledUpAtNight(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", m{"shelf_units": 500})
		desk, shop := w.key("dispatcher", "", ""), w.key("store", id, "")
		if r := w.get(desk, "/v1/replenishment-settings").want(200); r.at("enabled") != false || r.number("cover_days") != 3 {
			t.Errorf("at first: %s", r.body)
		}
		w.put(desk, "/v1/replenishment-settings", m{"enabled": true, "cover_days": 0}).want(422).names("/cover_days")
		if r := w.put(desk, "/v1/replenishment-settings", m{"enabled": true, "lead_hours": 12}).want(200); r.at("enabled") != true || r.number("lead_hours") != 12 || r.number("cover_days") != 3 {
			t.Errorf("switched on: %s", r.body)
		}
		w.put(desk, "/v1/replenishment-settings", m{"cover_days": 2}).want(422).names("/enabled")
		w.run("replenish")
		if l := w.get(desk, "/v1/campaigns").want(200); len(l.ids()) != 0 {
			t.Errorf("nothing was ever sold: %s", l.body)
		}
		var file strings.Builder
		file.WriteString("date,h3_cell,sku,units\n")
		cell := w.get(desk, "/v1/stores/"+id).want(200).text("h3_cell")
		for day := range 20 {
			file.WriteString(noon.AddDate(0, 0, -1-day).Format(time.DateOnly) + "," + cell + ",milk,10\n")
		}
		w.send(request{method: "POST", path: "/v1/demand-imports", key: desk, kind: "text/csv", body: file.String()}).want(200)

		if p := w.put(shop, "/v1/store/prestock", m{"opt_out": true}).want(200); p.at("opt_out") != true {
			t.Errorf("opted out: %s", p.body)
		}
		w.put(shop, "/v1/store/prestock", m{}).want(422).names("/opt_out")
		if p := w.get(desk, "/v1/stores/"+id+"/prestock").want(200); p.at("opt_out") != true {
			t.Errorf("opted out: %s", p.body)
		}
		w.run("replenish")
		if l := w.get(desk, "/v1/prestock-tasks").want(200); len(l.ids()) != 0 {
			t.Errorf("a store that does not want to be asked: %s", l.body)
		}
		w.put(desk, "/v1/stores/"+id+"/prestock", m{"opt_out": false}).want(200)
		if p := w.get(shop, "/v1/store/prestock").want(200); p.at("opt_out") != false {
			t.Errorf("asked again: %s", p.body)
		}
		w.clock.Advance(24 * time.Hour)
		w.run("replenish")
		l := w.get(desk, "/v1/prestock-tasks").want(200)
		if len(l.ids()) != 1 || l.number("data.0.asked_quantity") < 35 || l.number("data.0.asked_quantity") > 100 {
			t.Fatalf("for four days of ten: %s", l.body)
		}
		w.run("replenish") // once a night
		if again := w.get(desk, "/v1/campaigns").want(200); len(again.ids()) != 2 || again.text("data.0.kind") != "replenishment" || again.text("data.0.status") != "approved" {
			t.Errorf("a night's campaigns: %s", again.body)
		}
		w.run("prestock-prompts")
		if task := w.task(shop, "prompted"); task.number("asked_quantity") != l.number("data.0.asked_quantity") {
			t.Errorf("prompted: %s", task.body)
		}
	})
}

func TestAShelfIsNotCutBelowWhatIsPromised(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", m{"shelf_units": 300})
		desk, shop := w.key("dispatcher", "", ""), w.key("store", id, "")
		path := "/v1/campaigns/" + w.post(desk, "/v1/campaigns", singles(nil)).want(201).text("id")
		w.post(desk, path+"/plan", nil).want(200)
		w.patch(desk, "/v1/stores/"+id, m{"shelf_units": 200}, nil).want(200) // planned only: the next plan shrinks
		if p := w.post(desk, path+"/plan", nil).want(200); p.number("asked") != 198 || p.number("units_taken") != 42 || p.number("unallocated") != 42 {
			t.Errorf("on a smaller shelf: %s", p.body)
		}
		w.post(desk, path+"/approve", nil).want(200)
		w.clock.Advance(24 * time.Hour)
		w.run("prestock-prompts")
		w.post(shop, "/v1/prestock-tasks/"+w.task(shop, "prompted").text("id")+"/acknowledge", m{"committed_quantity": 120}).want(200)
		refused := w.patch(desk, "/v1/stores/"+id, m{"shelf_units": 119}, nil).refused(409, "shelf-promised")
		if refused.text("errors.0.pointer") != "/shelf_units" || refused.text("errors.0.detail") != "120" {
			t.Errorf("what is promised: %s", refused.body)
		}
		rows := "external_id,name,lat,lng,time_zone,shelf_units\nduka,duka,-1.29,36.78,Africa/Nairobi,119\nfresh,fresh,-1.29,36.78,Africa/Nairobi,119\n"
		for _, dry := range []string{"?dry_run=true", ""} { // the other row is kept
			a := w.send(request{method: "POST", path: "/v1/store-imports" + dry, key: w.admin, body: rows, kind: "text/csv"}).want(200)
			if a.number("created") != 1 || a.number("updated") != 0 || a.text("errors.0.field") != "shelf_units" || a.text("errors.0.code") != "shelf-promised" {
				t.Errorf("by a file%s: %s", dry, a.body)
			}
		}
		w.patch(desk, "/v1/stores/"+id, m{"shelf_units": 120}, nil).want(200)
	})
}
