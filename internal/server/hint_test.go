package server_test

import (
	"strings"
	"testing"

	"doorstep/internal/db"
	"doorstep/internal/server"
)

// A phone hears of its own store, by ids alone, and of nobody else's; and nothing more once it is not
// wanted any more.
func TestAPhoneIsToldAtOnceWhatChangedAtItsStore(t *testing.T) {
	story(t, func(w *world) {
		mine := w.store("mine", m{"auto_accept": false})
		other := w.store("other", m{"location": northOf(2000)})
		key, its := w.post(w.admin, "/v1/keys", m{"role": "store", "store_id": mine}).want(201), w.key("store", other, "")
		shop, desk := w.key("merchant", "", "Acme"), w.key("dispatcher", "", "")
		w.get(desk, "/v1/store/events/stream").refused(403, "forbidden")
		w.get("", "/v1/store/events/stream").want(401)

		l, far := w.follow("/v1/store/events/stream", key.text("key"), ""), w.follow("/v1/store/events/stream", its, "")
		o := w.order(shop, nil)
		f := l.next()
		if f.name != "order.offered" || f.data != `{"subject":"`+o.text("id")+`"}` {
			t.Fatalf("of an offer it was told %+v", f)
		}
		w.send(request{method: "PATCH", path: "/v1/store", key: its, body: m{"name": "Far away"}}).want(200)
		if f := far.next(); f.name != "store.updated" || !strings.Contains(f.data, other) {
			t.Fatalf("the other store was told first of %+v", f)
		}

		w.post(w.admin, "/v1/keys/"+key.text("id")+"/revoke", nil).want(200)
		if f := l.next(); f.name != "goodbye" {
			t.Fatalf("a key that was revoked still reads %+v", f)
		}
	})
}

// One store takes no place from the others.
func TestAStoreHasFewStreams(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{MaxStreams: 40})
	key := w.key("store", w.store("mine", nil), "")
	for range 20 {
		w.follow("/v1/store/events/stream", key, "")
	}
	w.get(key, "/v1/store/events/stream").refused(503, "too-many-streams")
	w.follow("/v1/store/events/stream", w.key("store", w.store("other", nil), ""), "")
	w.follow("/v1/events/stream", w.admin, "")
}
