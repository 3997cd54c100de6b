package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// flagsOf are the flags of an order's first attempt, and what its story tells of them.
func (w *world) flagsOf(key, order string) (flags, told string) {
	w.Helper()
	a := w.get(key, "/v1/orders/"+order+"/dropoffs").want(200)
	flags = fmt.Sprint(a.at("data.0.flags"))
	b := w.get(key, "/v1/orders/"+order+"/events").want(200)
	for i := 0; b.text(fmt.Sprintf("data.%d.type", i)) != ""; i++ {
		if b.text(fmt.Sprintf("data.%d.type", i)) == "dropoff.flagged" {
			told += fmt.Sprint(b.at(fmt.Sprintf("data.%d.data.flags", i)))
		}
	}
	return flags, told
}

func TestFlagsAreShownAndTold(t *testing.T) {
	story(t, func(w *world) {
		id := w.store("duka", nil)
		shop, phone := w.key("merchant", "", "Acme"), w.key("store", id, "")
		photo := w.photo(phone, 7)
		near := w.out(shop, phone, nil).text("id")
		far := w.out(shop, phone, m{"dropoff": m{"location": m{"lat": -1.2921, "lng": 36.8057}}}).text("id")
		office := w.out(shop, phone, nil).text("id")
		arrive := func(key, order string, after time.Duration, lng float64, more m) {
			e := m{"id": "a-" + order, "order_id": order, "attempt": 1, "type": "placed", "occurred_at": w.clock.Now().Add(after).Format(time.RFC3339),
				"location": m{"lat": -1.2921, "lng": lng, "accuracy_m": 12}}
			for k, v := range more {
				e[k] = v
			}
			if got := w.report(key, e).results(); got != "recorded" {
				t.Fatalf("reported: %s", got)
			}
		}
		w.clock.Advance(time.Hour)
		arrive(phone, near, 0, 36.7857, nil)
		if flags, told := w.flagsOf(shop, near); flags != "[]" || told != "" {
			t.Errorf("nothing odd: flags %s, told %s", flags, told)
		}
		// 2.2 km away a second later, with a photo that is an hour old.
		arrive(phone, far, time.Second, 36.8057, m{"photo_sha256": photo})
		if flags, told := w.flagsOf(shop, near); flags != "[impossible_speed]" || told != "[impossible_speed]" {
			t.Errorf("the first door: flags %s, told %s", flags, told)
		}
		if flags, told := w.flagsOf(shop, far); flags != "[impossible_speed photo_before_arrival]" || told != flags {
			t.Errorf("the second door: flags %s, told %s", flags, told)
		}
		// An office that reports for many runners is no phone; the photo it shows is the other door's.
		arrive(w.admin, office, 2*time.Second, 36.7857, m{"photo_sha256": photo})
		if flags, _ := w.flagsOf(shop, office); flags != "[photo_before_arrival photo_reused]" {
			t.Errorf("the office's report: flags %s", flags)
		}
		if flags, _ := w.flagsOf(shop, far); !strings.Contains(flags, "photo_reused") {
			t.Errorf("the photo's first door: flags %s", flags)
		}
	})
}
