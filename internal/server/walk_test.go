package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/ident"
	"doorstep/internal/order"
	"doorstep/internal/server"
)

// The long walk over the books is in package dropoff; this one asks the same over HTTP, with every
// key that there is. Who has no business with an order changes nothing about it, whatever they try.
func TestNoKeyLosesAParcel(t *testing.T) {
	const steps = 1500
	w := newWorld(t, db.SQLite, server.Options{})
	rng := rand.New(rand.NewPCG(5, 11))
	near, far := w.store("duka", nil), w.store("other", m{"location": northOf(700), "auto_accept": false})
	for _, s := range []string{near, far} {
		w.stock(s, "milk", 500)
	}
	keys := map[string]string{"admin": w.admin, "desk": w.key("dispatcher", "", ""), "seller": w.key("merchant", "", "Acme"),
		"other seller": w.key("merchant", "", "Rival"), "near": w.key("store", near, ""), "far": w.key("store", far, ""), "nobody": ""}
	names := []string{"admin", "desk", "seller", "other seller", "near", "near", "near", "far", "far", "nobody"}
	store := func() string { return []string{near, far}[rng.IntN(2)] }
	now := func() string { return w.clock.Now().Format(time.RFC3339) }
	n := 0
	asks := []func(code string) (path string, body any){
		func(c string) (string, any) { return "/ready", nil }, func(c string) (string, any) { return "/pick-up", nil },
		func(c string) (string, any) { return "/hand-back", nil }, func(c string) (string, any) { return "/depart", nil },
		func(c string) (string, any) { return "/receive", nil }, func(c string) (string, any) { return "/return", nil },
		func(c string) (string, any) { return "/returned", nil }, func(c string) (string, any) { return "/collect", m{"code": "123456"} },
		func(c string) (string, any) { return "/cancel", m{"reason": "cancelled_by_merchant"} },
		func(c string) (string, any) { return "/reassign", m{"store_id": store()} },
		func(c string) (string, any) { return "/transfer", m{"store_id": store()} },
		func(c string) (string, any) { return "/extend-hold", nil }, func(c string) (string, any) { return "/lost", nil },
		func(c string) (string, any) {
			return "/v1/scans", []m{{"id": fmt.Sprint("s", n), "code": c, "direction": []string{"in", "out"}[rng.IntN(2)], "occurred_at": now()}}
		},
		func(c string) (string, any) {
			kind := []string{"arrived", "completed", "failed"}[rng.IntN(3)]
			e := m{"id": fmt.Sprint("e", n), "order_id": c, "attempt": 1 + rng.IntN(2), "type": kind, "occurred_at": now()}
			if kind == "failed" {
				e["reason"] = "weather"
			}
			return "/v1/dropoff-events", []m{e}
		},
	}
	var codes []string
	reached := map[order.Status]int{}
	for range steps {
		n++
		if len(codes) == 0 || rng.IntN(60) == 0 {
			change := m{"undeliverable_action": []string{"redeliver", "hold_at_store", "return"}[rng.IntN(3)]}
			if rng.IntN(2) == 0 {
				change["items"] = []m{{"sku": "milk", "quantity": 1}}
			}
			codes = append(codes, w.order(keys["seller"], change).text("id"))
		}
		w.clock.Advance(20 * time.Second)
		code := codes[max(0, len(codes)-1-rng.IntN(3))]
		key, _ := w.db.Names().Parse(ident.Order, code)
		before, err := order.Load(w.db.Read(context.Background()), key)
		if err != nil {
			t.Fatal(err)
		}
		who := names[rng.IntN(len(names))]
		path, body := asks[rng.IntN(len(asks))](code)
		if path[:3] != "/v1" {
			path = "/v1/orders/" + code + path
		}
		a := w.send(request{method: "POST", path: path, key: keys[who], body: body, wrong: true})
		after, err := order.Load(w.db.Read(context.Background()), key)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := after.CheckCustody(); wrong != "" {
			t.Fatalf("%s by %s: %s", path, who, wrong)
		}
		if (who == "other seller" || who == "nobody" || a.status >= 400 && a.status != 422) && after.Version != before.Version {
			t.Fatalf("%s by %s answered %d and changed the order: %s", path, who, a.status, a.body)
		}
		if order.NextStep(&after, order.UsualPolicy) == nil && !after.Status.Terminal() {
			t.Fatalf("nothing is to be done about an order that is %s", after.Status)
		}
		reached[after.Status]++
	}
	if len(reached) < 9 {
		t.Errorf("the walk came to %v only", reached)
	}
}
