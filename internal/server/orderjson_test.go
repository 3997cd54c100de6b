package server

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"doorstep/internal/order"
	"doorstep/internal/plainjson"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const bodyOfAnOrder = `{"external_id":"A-1001","items":[{"sku":"SKU-7","quantity":2},{"sku":"水","quantity":1}],"parcels":[{"weight_g":800},{}],
	"recipient":{"name":"Amina O.","phone":"+254712345678","locale":"en"},
	"dropoff":{"location":{"lat":-1.2921,"lng":36.8219e0},"address":{"line1":"Moi Ave 12","locality":"Nairobi","region":"N","postal_code":"00100","country":"KE"},
	"instructions":"Blue gate","mode":"leave_at_door","pin_required":false},
	"window":{"earliest":"2026-11-21T10:00:00.000Z","latest":"2026-11-21T12:00:00.000Z"},"radius_m":3000,
	"undeliverable_action":"redeliver","minimum_evidence_grade":"C","tags":["fragile"]}`

// The decoder by hand understands the usual, and otherwise says what encoding/json says.
func FuzzOrderJSONIsReadAsStrictly(f *testing.F) {
	for _, s := range []string{bodyOfAnOrder, `{}`, ` { } `, `{"items":[]}`, `{"items":null}`, `{"items":[{"sku":"a","quantity":1}],"items":[{"quantity":2}]}`,
		`{"recipient":{"name":"a"},"recipient":{"phone":"b"}}`, `{"radius_m":1e3}`, `{"radius_m":01}`, `{"radius_m":-0}`, `{"radius_m":99999999999999999999}`,
		`{"dropoff":{"location":{"lat":1e400}}}`, `{"dropoff":{"location":{"lat":1.}}}`, `{"External_ID":"x"}`, `{"external_id":"\u0041"}`, `{"external_id":"a` + "\x01" + `"}`,
		`{"external_id":1}`, `{"tags":["a",]}`, `{"tags":["a"}`, `{"":1}`, `{"x":1}`, `{"external_id":"a"}{}`, `{"window":{"earliest":"a","latest":null}}`,
		`{"dropoff":{"pin_required":truefalse}}`, `[]`, `"x"`, `{"external_id"`, `{"dropoff":{"cash_on_delivery":{"amount":5,"currency":"KES"},"id_required":true,"signature_required":false}}`,
		`{"dropoff":{"cash_on_delivery":{"amount":5},"cash_on_delivery":{"currency":"KES"}}}`, `{"dropoff":{"cash_on_delivery":{"amount":5.5}}}`,
		`{"dropoff":{"cash_on_delivery":null}}`, `{"dropoff":{"cash_on_delivery":5}}`, `{"dropoff":{"cash_on_delivery":{"amount":99999999999999999999}}}`, "{\"external_id\":\"\xff\"}", `{"items":[{"sku":"a"}{}]}`, `{,}`, `{"tags":[]`, `{"radius_m":-}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want orderIn
		err, wantErr := orderJSON(data, &got), strictJSON(data, &want)
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("%q: %v, want %v", data, err, wantErr)
		}
		if diff := cmp.Diff(want, got); err == nil && diff != "" {
			t.Fatalf("%q (-want +got):\n%s", data, diff)
		}
	})
}

func TestAUsualOrderIsReadByHand(t *testing.T) {
	var in orderIn
	r := plainjson.NewReader(bodyOfAnOrder)
	if !in.read(r) || !r.Done() {
		t.Error("the decoder gave up on a usual order: every order pays for encoding/json again")
	}
}

// What goes out is what encoding/json makes of the same struct, byte for byte.
func TestOrderJSONIsWrittenAsEncodingJSONDoes(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[ -~]{0,12}`), rapid.String(), rapid.Just(""))
	maybe := rapid.Ptr(text, true)
	when := rapid.Custom(func(t *rapid.T) stamp {
		return stamp(time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "ms")).In(time.FixedZone("", rapid.IntRange(-40000, 40000).Draw(t, "zone"))))
	})
	degrees := rapid.OneOf(rapid.Float64Range(-180, 180), rapid.Float64Range(-1e-7, 1e-7), rapid.SampledFrom([]float64{0, 1, -1e-300, 1e22}))
	place := rapid.Custom(func(t *rapid.T) wireLocation { return wireLocation{degrees.Draw(t, "lat"), degrees.Draw(t, "lng")} })
	span := rapid.Custom(func(t *rapid.T) wirePeriod { return wirePeriod{when.Draw(t, "from"), when.Draw(t, "to")} })
	orders := rapid.Custom(func(t *rapid.T) wireOrder {
		str := func(s string) string { return text.Draw(t, s) }
		return wireOrder{ID: str("id"), ExternalID: maybe.Draw(t, "ext"), Merchant: str("merchant"), Status: order.Status(str("status")),
			Reason: maybe.Draw(t, "reason"), CancelReason: maybe.Draw(t, "cancel"), CancelledBy: maybe.Draw(t, "by"), Cell: str("cell"),
			Store: rapid.Ptr(rapid.Custom(func(t *rapid.T) wireOrderStore {
				return wireOrderStore{text.Draw(t, "id"), text.Draw(t, "name"), place.Draw(t, "at")}
			}), true).Draw(t, "store"),
			DistanceM: rapid.Ptr(rapid.Int(), true).Draw(t, "m"),
			Assignment: rapid.Ptr(rapid.Custom(func(t *rapid.T) wireOrderAssignment {
				return wireOrderAssignment{text.Draw(t, "id"), order.AssignmentStatus(text.Draw(t, "status")), rapid.Ptr(when, true).Draw(t, "expires")}
			}), true).Draw(t, "assignment"),
			Promise: rapid.Ptr(span, true).Draw(t, "promise"), TrackingURL: str("url"), LiveMode: rapid.Bool().Draw(t, "live"),
			Items: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) order.Item {
				return order.Item{SKU: text.Draw(t, "sku"), Quantity: rapid.Int().Draw(t, "n")}
			}), 0, 3).Draw(t, "items"),
			Parcels: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) order.Parcel {
				return order.Parcel{WeightG: rapid.IntRange(0, 2).Draw(t, "g")}
			}), 0, 3).Draw(t, "parcels"),
			Recipient: wireRecipient{str("name"), str("phone"), maybe.Draw(t, "locale")},
			Dropoff: wireDropoff{place.Draw(t, "door"), rapid.Ptr(rapid.Custom(func(t *rapid.T) wireAddress {
				return wireAddress{text.Draw(t, "1"), text.Draw(t, "2"), text.Draw(t, "3"), text.Draw(t, "4"), text.Draw(t, "5")}
			}), true).Draw(t, "address"), maybe.Draw(t, "note"), str("mode"), rapid.Bool().Draw(t, "pin"),
				rapid.Bool().Draw(t, "signature"), rapid.Bool().Draw(t, "id"), rapid.Ptr(rapid.Custom(func(t *rapid.T) order.Money {
					return order.Money{Amount: rapid.Int64().Draw(t, "amount"), Currency: text.Draw(t, "currency")}
				}), true).Draw(t, "cash")},
			Window: rapid.Ptr(span, true).Draw(t, "window"), RadiusM: rapid.Ptr(rapid.Int(), true).Draw(t, "radius"), Undeliver: str("undeliver"),
			MinimumGrade: str("grade"), Grade: maybe.Draw(t, "got"), Attempts: rapid.Int().Draw(t, "attempts"), CodeLocked: rapid.Bool().Draw(t, "locked"), Dispute: maybe.Draw(t, "dispute"),
			Custody: rapid.Ptr(rapid.Custom(func(t *rapid.T) wireCustody {
				return wireCustody{order.Holder(text.Draw(t, "holder")), maybe.Draw(t, "store"), when.Draw(t, "since"), maybe.Draw(t, "to"), rapid.Ptr(when, true).Draw(t, "until")}
			}), true).Draw(t, "custody"),
			NextStep: rapid.Ptr(rapid.Custom(func(t *rapid.T) wireStep {
				return wireStep{text.Draw(t, "do"), text.Draw(t, "who"), maybe.Draw(t, "store"), maybe.Draw(t, "to"), rapid.Ptr(when, true).Draw(t, "by"), rapid.Bool().Draw(t, "late")}
			}), true).Draw(t, "step"),
			Tags: rapid.SliceOfN(text, 0, 3).Draw(t, "tags"), Version: rapid.Int64().Draw(t, "version"),
			CreatedAt: when.Draw(t, "created"), UpdatedAt: when.Draw(t, "updated"), DeliveredAt: rapid.Ptr(when, true).Draw(t, "delivered")}
	})
	rapid.Check(t, func(t *rapid.T) {
		w := orders.Draw(t, "order")
		want, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.json(); !bytes.Equal(got, want) {
			t.Fatalf("written\n%s\nwant\n%s", got, want)
		}
	})
}

// BenchmarkOrderJSON is what writing JSON by hand is worth, in and out.
func BenchmarkOrderJSON(b *testing.B) {
	data := []byte(bodyOfAnOrder)
	one, now := "A-1001", stamp(time.UnixMilli(1e12))
	m := 412
	w := wireOrder{ID: "ord_0g3qkz5v9m2n4p6r8t0w2y4a", ExternalID: &one, Merchant: "shop", Status: "confirmed", Cell: "89283082803ffff",
		Store: &wireOrderStore{"str_0g3qkz5v9m2n4p6r8t0w2y4a", "Corner shop", wireLocation{-1.29, 36.82}}, DistanceM: &m,
		Assignment: &wireOrderAssignment{ID: "asg_0g3qkz5v9m2n4p6r8t0w2y4a", Status: "accepted"}, Promise: &wirePeriod{now, now},
		TrackingURL: "http://127.0.0.1:8080/t/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Items: []order.Item{{SKU: "SKU-7", Quantity: 2}}, Parcels: []order.Parcel{},
		Recipient: wireRecipient{"Amina O.", "+254712345678", nil}, Dropoff: wireDropoff{wireLocation{-1.2921, 36.8219}, &wireAddress{Line1: "Moi Ave 12"}, &one, "leave_at_door", false, false, false, nil},
		Undeliver: "redeliver", MinimumGrade: "C", Tags: []string{}, CreatedAt: now, UpdatedAt: now}
	for name, f := range map[string]func(){
		"in by hand":        func() { _ = orderJSON(data, &orderIn{}) },
		"in encoding/json":  func() { _ = strictJSON(data, &orderIn{}) },
		"out by hand":       func() { w.json() },
		"out encoding/json": func() { _, _ = json.Marshal(w) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				f()
			}
		})
	}
}
