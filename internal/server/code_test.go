package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/server"
)

// atCounter is an order that waits at the store, and its codes as the customer's page shows them.
func (w *world) atCounter(shop, key string) (o *answer, code string) {
	w.Helper()
	o = w.order(shop, m{"undeliverable_action": "hold_at_store", "dropoff": m{"location": kilimani, "mode": "collect_at_store"}})
	w.step(key, o.text("id"), "ready").want(200)
	w.step(key, o.text("id"), "receive").want(200)
	return o, w.codeOf(o)
}

func (w *world) codeOf(o *answer) string {
	w.Helper()
	return w.get("", "/v1/tracking/"+w.token(o)).want(200).text("collection_code")
}

func (w *world) pinOf(o *answer) string {
	w.Helper()
	return w.get("", "/v1/tracking/"+w.token(o)).want(200).text("pin")
}

var attended = m{"dropoff": m{"location": kilimani, "mode": "hand_over", "pin_required": true}}

func TestADispatcherUnlocksACodeThatWasGuessed(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, key, desk := w.key("merchant", "", "Acme"), w.key("store", id, ""), w.key("dispatcher", "", "")
		o, code := w.atCounter(shop, key)
		path := "/v1/orders/" + o.text("id")
		for left := 4; left >= 0; left-- {
			a := w.post(key, path+"/collect", m{"code": otherThan(code)}).want(422).names("/code")
			if said := []string{"locked", "1 try is left", "2 tries", "3 tries", "4 tries"}[left]; !strings.Contains(string(a.body), said) {
				t.Errorf("with %d left: %s", left, a.body)
			}
			if locked := w.get(desk, path).want(200).at("code_locked"); locked != (left == 0) {
				t.Errorf("with %d left code_locked is %v", left, locked)
			}
			next := w.get(desk, path).text("next_step.action")
			if want := map[bool]string{true: "unlock_code", false: "collect"}[left == 0]; next != want {
				t.Errorf("with %d left the next step is %s", left, next)
			}
		}
		w.post(key, path+"/collect", m{"code": code}).refused(409, "code-locked")
		told := string(w.get(desk, path+"/events").want(200).body)
		if strings.Count(told, "order.code_locked") != 1 || strings.Count(told, "order.code_refused") != 5 {
			t.Errorf("told: %s", told)
		}
		w.step(key, o.text("id"), "unlock-code").refused(403, "forbidden")
		w.step(shop, o.text("id"), "unlock-code").refused(403, "forbidden")
		w.step(desk, "ord_000000000000000000000000", "unlock-code").refused(404, "not-found")
		version := w.get(desk, path).number("version")
		w.send(request{method: "POST", path: path + "/unlock-code", key: desk, header: map[string]string{"If-Match": `"1"`}}).refused(412, "version-mismatch")
		if a := w.step(desk, o.text("id"), "unlock-code").want(200); a.at("code_locked") != false || a.number("version") != version+1 {
			t.Errorf("unlocked: %s", a.body)
		}
		if a := w.step(desk, o.text("id"), "unlock-code").want(200); a.number("version") != version+1 {
			t.Errorf("unlocked twice: %s", a.body)
		}
		fresh := w.codeOf(o)
		if fresh == code {
			t.Error("the page shows the old code")
		}
		w.post(key, path+"/collect", m{"code": code}).want(422)
		if a := w.post(key, path+"/collect", m{"code": fresh}).want(200); a.text("status") != "collected" {
			t.Errorf("with the new code: %s", a.body)
		}
	})
}

// A store's key that tries wrong codes on one order after the other is held back, and no honest one with it.
func TestWhoGuessesAcrossOrdersIsHeldBack(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", m{"capacity": m{"slot_minutes": 60, "orders_per_slot": 100}})
		shop, key, honest := w.key("merchant", "", "Acme"), w.key("store", id, ""), w.key("store", id, "")
		var orders []*answer
		var codes []string
		for range 7 {
			o, code := w.atCounter(shop, key)
			orders, codes = append(orders, o), append(codes, code)
		}
		collect := func(key string, i int, code string) *answer {
			return w.post(key, "/v1/orders/"+orders[i].text("id")+"/collect", m{"code": code})
		}
		for i := range 20 {
			collect(key, i/4, otherThan(codes[i/4])).want(422)
			collect(key, i/4, "").want(422).names("/code") // says nothing, costs nothing
		}
		a := collect(key, 5, otherThan(codes[5])).refused(429, "too-many-wrong-codes")
		if s := a.header.Get("Retry-After"); s == "" || s == "0" {
			t.Errorf("come back after %q", s)
		}
		collect(key, 5, codes[5]).refused(429, "too-many-wrong-codes") // or the answer would tell
		if a := collect(honest, 5, codes[5]).want(200); a.text("status") != "collected" {
			t.Errorf("an honest key: %s", a.body)
		}
		if n := w.get(w.admin, "/v1/orders/"+orders[5].text("id")+"/events"); strings.Contains(string(n.body), "code_refused") {
			t.Errorf("who was held back used up a try: %s", n.body)
		}

		// The same through the events of a phone: those with a PIN wait, the evidence is kept.
		o := w.out(shop, key, attended)
		d := &door{w: w, order: o.text("id"), attempt: 1}
		if a := w.report(key, d.event("arrived", nil), d.event("handed_over", m{"pin": w.pinOf(o)})); a.results() != "recorded refused:too-many-wrong-codes" {
			t.Errorf("a phone that guessed: %s", a.body)
		}
		if a := w.report(honest, d.event("handed_over", m{"pin": w.pinOf(o)})); a.results() != "recorded" {
			t.Errorf("an honest phone: %s", a.body)
		}
	})
}

// A whole day of right PINs from a phone that was offline is no guessing; wrong ones among them are.
func TestAnHonestBatchOfPINsIsNoGuessing(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", m{"capacity": m{"slot_minutes": 60, "orders_per_slot": 100}})
		shop, key := w.key("merchant", "", "Acme"), w.key("store", id, "")
		var batch, wrong []m
		for range 30 {
			o := w.out(shop, key, attended)
			d := &door{w: w, order: o.text("id"), attempt: 1}
			wrong = append(wrong, d.event("handed_over", m{"pin": otherThan(w.pinOf(o))}))
			batch = append(batch, d.event("arrived", nil), d.event("handed_over", m{"pin": w.pinOf(o)}))
		}
		if got := w.report(key, batch...).results(); strings.Count(got, "recorded") != 60 {
			t.Errorf("the right ones: %s", got)
		}
		got := w.report(key, wrong...).results()
		if strings.Count(got, "refused:too-many-wrong-codes") != 10 {
			t.Errorf("the wrong ones: %s", got)
		}
	})
}

// secrets is an order at the door and one at the counter, with all that was answered about them.
type secrets struct {
	pin, code string
	orders    [2]string
	heard     map[string]string // place -> everything said there
}

// says reports whether text holds a code as a value of its own, not as a part of a number or a name.
func says(text, code string) bool {
	return code != "" && regexp.MustCompile(`(^|[^0-9A-Za-z.+-])`+code+`($|[^0-9A-Za-z.-])`).MatchString(text)
}

// Only the customer's page shows the codes. Codes are short, so that one of them may stand somewhere by chance:
// a place leaks when it says those of three different customers.
func TestOnlyTheCustomerSeesTheCodes(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(e), func(t *testing.T) {
			w := newWorld(t, e, server.Options{})
			id := w.store("duka", nil)
			keys := map[string]string{"admin": w.admin, "dispatcher": w.key("dispatcher", "", ""), "merchant": w.key("merchant", "", "Acme"), "store": w.key("store", id, "")}
			leaks := map[string]int{}
			var all []*secrets
			for range 3 {
				all = append(all, w.secretsOf(keys))
			}
			stream := w.follow("/v1/events/stream?after=0", keys["admin"], "")
			var heard strings.Builder
			for last := fmt.Sprint(w.last()); ; {
				f := stream.next()
				heard.WriteString(f.data + "\n")
				if f.id == last {
					break
				}
			}
			common := map[string]string{"the stream of events": heard.String(), "the process log": w.log.String()}
			for table, text := range w.tables() {
				common["table "+table] = text
			}
			for _, s := range all {
				for place, text := range s.heard {
					if says(text, s.pin) || says(text, s.code) {
						leaks[place]++
					}
				}
				for place, text := range common {
					if says(text, s.pin) || says(text, s.code) {
						leaks[place]++
					}
				}
				if e == db.SQLite && strings.Contains(w.file(), s.code) {
					leaks["the file"]++
				}
			}
			shown := 0
			for place, n := range leaks {
				switch {
				case strings.HasPrefix(place, "the customer's"):
					if n == len(all) {
						shown++
					}
				case n == len(all):
					t.Errorf("%s says the codes", place)
				}
			}
			if shown != 2 {
				t.Errorf("the customer's page and JSON show the codes in %d of 2 places: this test finds nothing", shown)
			}
		})
	}
}

// secretsOf lets two orders go through the hands of everybody, wrong codes and unlocking included, and reads
// all there is to be read about them.
func (w *world) secretsOf(keys map[string]string) *secrets {
	w.Helper()
	s := &secrets{heard: map[string]string{}}
	hear := func(place string, a *answer) *answer {
		s.heard[place] += string(a.body) + fmt.Sprint(a.header) + "\n"
		return a
	}
	requests := 0
	once := func(key, path string, body any) *answer {
		requests++
		return hear("POST as "+key, w.send(request{method: "POST", path: path, key: keys[key], body: body,
			header: map[string]string{"Idempotency-Key": fmt.Sprint(path, requests)}}))
	}
	visited := hear("POST /v1/orders", w.order(keys["merchant"], attended))
	counter, old := w.atCounter(keys["merchant"], keys["store"])
	s.orders = [2]string{visited.text("id"), counter.text("id")}
	for _, action := range []string{"ready", "pick-up", "depart"} {
		once("store", "/v1/orders/"+s.orders[0]+"/"+action, nil).want(200)
	}
	for i := range 5 {
		once("store", "/v1/orders/"+s.orders[1]+"/collect", m{"code": otherThan(old), "occurred_at": w.clock.Now().Add(-time.Duration(i) * time.Second)}).want(422)
	}
	once("dispatcher", "/v1/orders/"+s.orders[1]+"/unlock-code", nil).want(200)
	s.pin, s.code = w.pinOf(visited), w.codeOf(counter)
	d := &door{w: w, order: s.orders[0], attempt: 1}
	hear("POST /v1/dropoff-events", w.report(keys["store"], d.event("arrived", nil), d.event("handed_over", m{"pin": otherThan(s.pin)})))

	w.readAll(keys, s, hear)
	for _, o := range []*answer{visited, counter} {
		hear("the customer's JSON", w.get("", "/v1/tracking/"+w.token(o)).want(200))
		hear("the customer's page", w.page(w.token(o), nil).want(200))
	}

	hear("POST /v1/dropoff-events", w.report(keys["store"], d.event("handed_over", m{"pin": s.pin}), d.event("completed", nil)))
	once("store", "/v1/orders/"+s.orders[1]+"/collect", m{"code": s.code}).want(200)
	w.readAll(keys, s, hear)
	return s
}

// readAll reads what every role may read about the orders of s.
func (w *world) readAll(keys map[string]string, s *secrets, hear func(string, *answer) *answer) {
	w.Helper()
	for _, r := range server.Routes() {
		if r.Method != http.MethodGet || strings.HasSuffix(r.Path, "/stream") || !strings.HasPrefix(r.Path, "/v1/") || len(r.Roles) == 0 {
			continue
		}
		for role, key := range keys {
			if !slices.Contains(r.Roles, role) {
				continue
			}
			if !strings.Contains(r.Path, ":") {
				hear("GET "+r.Path+" as "+role, w.get(key, r.Path))
				continue
			}
			for _, id := range s.orders {
				if path := strings.Replace(r.Path, "/v1/orders/:id", "/v1/orders/"+id, 1); !strings.Contains(path, ":") {
					hear("GET "+r.Path+" as "+role, w.get(key, path))
				}
			}
		}
	}
	rec := httptest.NewRecorder()
	w.srv.Metrics().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	s.heard["the metrics"] += rec.Body.String()
}

// tables are the cells of every table, as text.
func (w *world) tables() map[string]string {
	w.Helper()
	list := `SELECT t.name AS "table", 'CAST("' || c.name || '" AS TEXT)' AS "text" FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'`
	if w.db.Engine() == db.Postgres {
		list = `SELECT table_name AS "table", CASE data_type WHEN 'bytea' THEN 'encode("' || column_name || '", ''escape'')'
			ELSE 'CAST("' || column_name || '" AS TEXT)' END AS "text" FROM information_schema.columns WHERE table_schema = 'public'`
	}
	var columns []struct{ Table, Text string }
	read := w.db.Read(context.Background())
	if err := read.Select(&columns, list); err != nil {
		w.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range columns {
		var cells []string
		if err := read.Select(&cells, fmt.Sprintf(`SELECT coalesce(%s, '') FROM "%s"`, c.Text, c.Table)); err != nil {
			w.Fatal(c, err)
		}
		out[c.Table] += strings.Join(cells, "\n") + "\n"
	}
	return out
}

// file are the bytes of the database, with its write-ahead log.
func (w *world) file() string {
	w.Helper()
	var name string
	if err := w.db.Read(context.Background()).Get(&name, `SELECT file FROM pragma_database_list WHERE name = 'main'`); err != nil {
		w.Fatal(err)
	}
	var all strings.Builder
	for _, suffix := range []string{"", "-wal"} {
		f, err := os.Open(name + suffix)
		if err != nil {
			w.Fatal(err)
		}
		_, err = io.Copy(&all, f)
		f.Close()
		if err != nil {
			w.Fatal(err)
		}
	}
	return all.String()
}
