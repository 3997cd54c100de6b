package order_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"doorstep/internal/fault"
	"doorstep/internal/order"
)

// The table of moves as product.md writes it down; the code must agree line by line.
const drawing = `
created: confirmed unassignable cancelled
unassignable: confirmed cancelled
confirmed: ready_for_pickup created cancelled
ready_for_pickup: picked_up received_at_store created cancelled
picked_up: enroute_to_dropoff ready_for_pickup
enroute_to_dropoff: arrived_at_dropoff attempt_failed
arrived_at_dropoff: delivered attempt_failed
attempt_failed: enroute_to_dropoff ready_for_pickup received_at_store enroute_to_return
received_at_store: collected picked_up enroute_to_return
enroute_to_return: returned
delivered:
collected:
returned:
cancelled:`

func TestMovesAreThoseOfTheDrawing(t *testing.T) {
	allowed := map[order.Status][]string{}
	for _, line := range strings.Split(strings.TrimSpace(drawing), "\n") {
		from, to, _ := strings.Cut(line, ":")
		allowed[order.Status(from)] = strings.Fields(to)
	}
	for from, tos := range allowed {
		if !from.Known() || from.Terminal() != (len(tos) == 0) {
			t.Errorf("%s: known %v, terminal %v", from, from.Known(), from.Terminal())
		}
		for to := range allowed {
			err := from.Check(to)
			if slices.Contains(tos, string(to)) {
				if err != nil {
					t.Errorf("%s to %s: %v", from, to, err)
				}
				continue
			}
			f := fault.As(err)
			if f == nil || f.Kind != fault.Conflict || !slices.Equal(f.Allowed, tos) && len(tos)+len(f.Allowed) > 0 {
				t.Errorf("%s to %s: %v, allowed %v", from, to, err, f)
			}
		}
	}
	if fault.Code(order.PickedUp.Check(order.Cancelled)) != "in_custody" {
		t.Error("cancelling a parcel on its way must say why not")
	}
	if order.Status("lost").Known() {
		t.Error("an unknown status is known")
	}
}

func TestThePromiseFollowsTheClock(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	o := order.Order{}
	if p, ok := o.PromiseAt(now); !ok || !p.From.Equal(now) || p.To.Sub(p.From) != 2*time.Hour {
		t.Errorf("as soon as possible: %v %v", p, ok)
	}
	o.Window = &order.Span{From: now.Add(time.Hour), To: now.Add(3 * time.Hour)}
	for _, c := range []struct {
		at   time.Duration
		from time.Duration
		ok   bool
	}{{0, time.Hour, true}, {2 * time.Hour, 2 * time.Hour, true}, {3 * time.Hour, 0, false}} {
		p, ok := o.PromiseAt(now.Add(c.at))
		if ok != c.ok || ok && !p.From.Equal(now.Add(c.from)) {
			t.Errorf("after %s: %v %v", c.at, p, ok)
		}
	}
}

func TestALinkDiesAfterTheOrder(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	o := order.Order{CreatedAt: now, LinkVersion: 2}
	day := 24 * time.Hour
	if !o.LinkAlive(2, now.Add(100*day)) || o.LinkAlive(1, now) || o.LinkAlive(2, now.Add(181*day)) {
		t.Error("while it is open")
	}
	ended := now.Add(day)
	o.EndedAt = &ended
	if !o.LinkAlive(2, ended.Add(29*day)) || o.LinkAlive(2, ended.Add(31*day)) {
		t.Error("after it ended")
	}
}

// A repeat is known by everything the merchant said; each of the changes below makes another order.
func TestAnotherDraftIsNoRepeat(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	a := order.Draft{ExternalID: "A", Items: []order.Item{{SKU: "x", Quantity: 1}}}
	asked := a.New(1, 1, 0, now)
	if again := a; !again.Asked(&asked) {
		t.Error("the same draft is another order")
	}
	changes := map[string]func(*order.Draft){
		"ExternalID":   func(d *order.Draft) { d.ExternalID = "B" },
		"Items":        func(d *order.Draft) { d.Items = []order.Item{{SKU: "x", Quantity: 2}} },
		"Parcels":      func(d *order.Draft) { d.Parcels = []order.Parcel{{WeightG: 1}} },
		"Recipient":    func(d *order.Draft) { d.Recipient.Name = "Amina" },
		"Dropoff":      func(d *order.Draft) { d.Dropoff.Lng = 1e-9 },
		"Address":      func(d *order.Draft) { d.Address.Region = "N" },
		"Instructions": func(d *order.Draft) { d.Instructions = "N" },
		"Mode":         func(d *order.Draft) { d.Mode = "N" },
		"PINRequired":  func(d *order.Draft) { d.PINRequired = true },
		"Window":       func(d *order.Draft) { d.Window = &order.Span{From: now, To: now.Add(time.Hour)} },
		"Undeliver":    func(d *order.Draft) { d.Undeliver = "N" },
		"MinimumGrade": func(d *order.Draft) { d.MinimumGrade = "N" },
		"Tags":         func(d *order.Draft) { d.Tags = []string{"N"} },
		"RadiusM":      func(d *order.Draft) { d.RadiusM = 1 },

		"SignatureRequired": func(d *order.Draft) { d.SignatureRequired = true },
		"IDRequired":        func(d *order.Draft) { d.IDRequired = true },
		"Cash":              func(d *order.Draft) { d.Cash = &order.Money{Amount: 1, Currency: "KES"} },
	}
	seen := map[string]string{asked.RequestHash: "nothing"}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[order.Draft]()) {
		if !field.IsExported() {
			continue // what the policy made of it: see TestARepeatIsOneWhateverThePolicyBecame
		}
		change := changes[field.Name]
		if change == nil {
			t.Fatalf("nobody says whether another %s makes another order", field.Name)
		}
		b := a
		change(&b)
		o := b.New(1, 1, 0, now)
		if b.Asked(&asked) || seen[o.RequestHash] != "" {
			t.Errorf("a change of %s looks like a change of %s", field.Name, seen[o.RequestHash])
		}
		seen[o.RequestHash] = field.Name
	}

	// Orders taken in by earlier versions carry a hash of the draft's JSON.
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	old := order.Order{RequestHash: hex.EncodeToString(sum[:12])}
	if b := (order.Draft{ExternalID: "A"}); !a.Asked(&old) || b.Asked(&old) {
		t.Error("an order of an earlier version is not known again")
	}
}
