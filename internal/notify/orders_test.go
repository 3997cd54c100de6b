package notify_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/ident"
	"doorstep/internal/match"
	"doorstep/internal/notify"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// street is a house whose stores get orders.
type street struct {
	*house
	stores *partner.Book
	match  *match.Book
	store  partner.Store
	phone  *phone
}

// inStreet has a store in Nairobi, at noon UTC: three in the afternoon there.
func inStreet(t *testing.T, change partner.Input, f func(*street)) {
	t.Helper()
	inHouse(t, func(h *house) {
		s := &street{house: h, stores: partner.NewBook(h.db, partner.StandardDefaults()), phone: newPhone(h)}
		var err error
		s.match, err = match.NewBook(ctx, h.db, s.stores, slog.New(slog.DiscardHandler), nil)
		h.must(err)
		no, hours := false, "08:00-20:00"
		zone, timeout := "Africa/Nairobi", 120
		change.Name, change.Lat, change.Lng, change.TimeZone, change.OfferTimeoutS = ref("Duka"), ref(-1.3), ref(36.78), &zone, &timeout
		if change.AutoAccept == nil {
			change.AutoAccept = &no
		}
		if change.OpeningHours == nil {
			change.OpeningHours = &hours
		}
		s.store, _, err = s.stores.Create(ctx, change)
		h.must(err)
		s.phone.subscribe(h, s.store.Key)
		f(s)
	})
}

func ref[T any](v T) *T { return &v }

// place is an order next door, for a window if one is named.
func (s *street) place(window *order.Span) match.Placed {
	s.Helper()
	out, err := s.match.Place(ctx, 7, order.Draft{Dropoff: geo.Point{Lat: -1.301, Lng: 36.78}, Undeliver: "return", Window: window,
		Recipient: order.Recipient{Name: "Wanjiru Kamau", Phone: "+254712345678"}, Address: order.Address{Line1: "Ngong Road 41"}}, nil)
	s.must(err)
	if out.Assignment == nil {
		s.Fatalf("nobody has it: %+v", out.Order)
	}
	return out
}

// tell expects so many phones to be reached, and returns the last of all rings.
func (s *street) tell(want int) ring {
	s.Helper()
	n, err := s.book.TellOrders(ctx)
	s.must(err)
	if n != want {
		s.Fatalf("%d phones were reached, want %d", n, want)
	}
	if got := s.phone.got(); len(got) > 0 {
		return got[len(got)-1]
	}
	return ring{}
}

func TestAnOfferRingsAndCanBeTakenByATap(t *testing.T) {
	inStreet(t, partner.Input{}, func(s *street) {
		first := s.place(nil)
		got := s.tell(1)
		names := s.db.Names()
		for name, want := range map[string]string{"kind": "offers", "lang": "en", "title": "A new order", "body": "Please answer by 15:02.", "action": "Accept",
			"assignment_id": names.Name(ident.Assignment, first.Assignment.Key), "order_id": names.Name(ident.Order, first.Order.Key),
			"until": "2026-11-09T12:02:00.000Z", "url": "/store/"} {
			if got.Text[name] != want {
				s.Errorf("%s is %q, want %q", name, got.Text[name], want)
			}
		}
		if h := got.Header; h.Get("TTL") != "120" || h.Get("Urgency") != "high" || h.Get("Topic") != names.Name(ident.Store, s.store.Key) {
			s.Errorf("%v", h)
		}
		all, _ := json.Marshal(got.Text)
		for _, private := range []string{"Wanjiru", "254712345678", "Ngong"} {
			if strings.Contains(string(all), private) {
				s.Errorf("it says %s: %s", private, all)
			}
		}
		s.tell(0) // once

		// What comes while the phone still rings is said in its place, a breath later.
		s.place(nil)
		s.place(nil)
		s.tell(0)
		s.clock.Advance(5 * time.Second)
		if got := s.tell(1); got.Text["title"] != "3 new orders" || got.Text["assignment_id"] != "" || got.Text["action"] != "" {
			s.Errorf("%v", got.Text)
		}
		// Another process goes on from there.
		s.book = s.open(s.db, true)
		s.clock.Advance(time.Minute)
		s.tell(0)
	})
}

func TestAnOfferThatIsOverRingsNobody(t *testing.T) {
	inStreet(t, partner.Input{}, func(s *street) {
		gone := s.place(nil)
		_, err := s.match.Cancel(ctx, gone.Order.Key, "cancelled_by_customer", "customer")
		s.must(err)
		s.place(nil)
		s.clock.Advance(3 * time.Minute) // its deadline is over, swept or not
		s.tell(0)

		// Who says yes needs no word of it.
		mine := s.place(nil)
		s.tell(1)
		s.clock.Advance(10 * time.Second)
		_, err = s.match.Accept(ctx, mine.Assignment.Key)
		s.must(err)
		s.tell(0)
	})
}

func TestAnOrderThatWasAcceptedForAStoreRings(t *testing.T) {
	inStreet(t, partner.Input{AutoAccept: ref(true), Locale: ref("zh-CN")}, func(s *street) {
		s.place(nil)
		if got := s.tell(1); got.Text["kind"] != "orders" || got.Text["title"] != "有 1 个订单待打包" || got.Text["body"] != "已自动为您接单。" || got.Text["action"] != "" ||
			got.Header.Get("TTL") != "3600" || got.Header.Get("Urgency") != "high" {
			s.Errorf("%v %v", got.Text, got.Header)
		}
	})
}

// At night a store that is closed is left alone: offers pass it by, and what was accepted for it is said
// in the morning.
func TestClosedStoresKeepTheirQuietHours(t *testing.T) {
	tomorrow := &order.Span{From: noon.Add(21 * time.Hour), To: noon.Add(23 * time.Hour)}
	for _, auto := range []bool{false, true} {
		inStreet(t, partner.Input{AutoAccept: &auto, QuietHours: ref("21:00-07:00")}, func(s *street) {
			s.clock.Advance(8 * time.Hour) // 23:00
			s.place(tomorrow)
			s.tell(0)
			s.clock.Advance(7*time.Hour + 59*time.Minute)
			s.tell(0)
			s.clock.Advance(time.Minute)
			want := 0
			if auto {
				want = 1
			}
			s.tell(want)
		})
	}
	inStreet(t, partner.Input{QuietHours: ref("21:00-07:00"), OpeningHours: ref("24/7")}, func(s *street) {
		s.clock.Advance(8 * time.Hour)
		s.place(nil)
		s.tell(1)
	})
}

func TestAPhoneThatIsNotReachedIsTriedWhileTheOfferStands(t *testing.T) {
	inStreet(t, partner.Input{}, func(s *street) {
		s.phone.answers(503, nil)
		s.place(nil)
		s.tell(0)
		s.phone.answers(0, nil)
		s.tell(0)
		s.clock.Advance(40 * time.Second)
		s.tell(1)

		s.clock.Advance(time.Minute)
		s.phone.answers(503, http.Header{"Retry-After": {"600"}}) // the offer ends before
		s.place(nil)
		s.tell(0)
		s.phone.answers(410, nil)
		s.clock.Advance(time.Hour)
		s.tell(0)
		before := s.phone.visits()
		s.place(nil)
		s.tell(0)
		subs, err := s.book.Subscriptions(ctx, s.store.Key)
		s.must(err)
		if len(subs) != 0 || s.phone.visits() != before+1 {
			s.Errorf("%d phones are left, %d visits", len(subs), s.phone.visits()-before)
		}
	})
}

// Where nobody has a phone nothing is asked of the log, and nobody who comes later is told of old news.
func TestNoPhonesNoWork(t *testing.T) {
	inStreet(t, partner.Input{OpeningHours: ref("24/7")}, func(s *street) {
		idle := func() bool {
			for _, j := range notify.Jobs(s.book) {
				if j.Name == "order-messages" {
					is, err := j.Idle(ctx)
					s.must(err)
					return is
				}
			}
			s.Fatal("there is no such job")
			return false
		}
		s.tell(0)
		if !idle() {
			s.Error("it works though nothing happened")
		}
		s.place(nil)
		if idle() {
			s.Error("it does nothing about an offer")
		}
		subs, err := s.book.Subscriptions(ctx, s.store.Key)
		s.must(err)
		s.must(s.book.Unsubscribe(ctx, s.store.Key, subs[0].Key, nil))
		if !idle() {
			s.Error("it works for nobody")
		}
		s.clock.Advance(3 * time.Minute)
		s.phone.subscribe(s.house, s.store.Key)
		s.tell(0)
	})
}
