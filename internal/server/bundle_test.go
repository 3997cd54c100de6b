package server_test

import (
	"bytes"
	"strings"
	"testing"

	"doorstep/internal/audit"
)

// A dispatcher takes the proof of a delivery out; it is for nobody whose business it is not.
func TestADispatcherExportsTheProofOfADelivery(t *testing.T) {
	story(t, func(w *world) {
		w.store("Corner", nil)
		merchant, desk := w.key("merchant", "", "Books"), w.key("dispatcher", "", "")
		id := w.order(merchant, m{"external_id": "A-1"}).want(201).text("id")
		public := w.get(merchant, "/v1/audit-key").want(200).text("public_key")
		for _, path := range []string{"/v1/orders/" + id + "/export", "/v1/orders/ext:A-1/export"} {
			a := w.get(desk, path).want(200)
			if got := a.header.Get("Content-Disposition"); got != `attachment; filename="`+id+`.zip"` || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%q, %v", got, a.header)
			}
			b, found, err := audit.VerifyBundle(bytes.NewReader(a.body), int64(len(a.body)), public)
			if err != nil || len(found) > 0 || b.OrderID != id {
				t.Errorf("%+v %v %v", b, found, err)
			}
		}
		w.get(w.admin, "/v1/orders/"+id+"/export").want(200)
		w.get(merchant, "/v1/orders/"+id+"/export").refused(403, "forbidden")
		w.get("", "/v1/orders/"+id+"/export").refused(401, "unauthorized")
		w.get(desk, "/v1/orders/ord_"+strings.Repeat("0", 24)+"/export").refused(404, "not-found")
		store := w.store("Other", nil)
		w.get(w.key("store", store, ""), "/v1/orders/"+id+"/export").refused(403, "forbidden")
	})
}
