package dropoff

import (
	"strings"
	"testing"
	"time"

	"doorstep/internal/order"
)

// honest is what a runner and a customer do who leave nothing out that a and the policy ask for.
func honest(a Asks) Chain {
	near, far := theDoor, 3.0
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * 5 * time.Minute) }
	photo := ""
	if a.Photo != order.Off {
		photo = strings.Repeat("a", 64)
	}
	c := Chain{{ID: "1", Type: Arrived, Attempt: 1, OccurredAt: at(1), Location: &near}}
	if a.Attended {
		c = append(c, Event{ID: "2", Type: HandedOver, Attempt: 1, OccurredAt: at(2), Location: &near, PhotoSHA256: photo, Name: "Otieno",
			SignatureSHA256: strings.Repeat("b", 64), IDChecked: a.ID, Cash: a.Cash, Confirmed: a.PIN})
	} else {
		c = append(c, Event{ID: "2", Type: Placed, Attempt: 1, OccurredAt: at(2), Location: &near, PhotoSHA256: photo},
			Event{ID: "3", Type: SteppedAway, Attempt: 1, OccurredAt: at(3), Method: ByBLE, DistanceM: &far})
	}
	if a.Grade == "A" {
		c = append(c, Event{ID: "4", Type: Retrieved, Attempt: 1, OccurredAt: at(4), Method: ByCustomer, Confirmed: true})
	}
	return append(c, Event{ID: "5", Type: Completed, Attempt: 1, OccurredAt: at(5)})
}

// Whatever a merchant may ask, by its policy and by its order together, somebody honest can do; and
// without the hand-over, the customer or the photo it asks for, nobody is done.
func TestWhatMayBeAskedCanBeDone(t *testing.T) {
	proofs := []order.Proof{order.Required, order.Wanted, order.Off}
	grades := []string{"A", "B", "C", "D"}
	asked := 0
	for _, grade := range grades {
		for _, photo := range proofs {
			for _, pin := range proofs {
				for _, name := range proofs {
					p := order.UsualPolicy
					p.MinimumGrade, p.Photo, p.PIN, p.Name = grade, photo, pin, name
					if p.Check() != nil {
						continue
					}
					for _, mode := range []string{"", order.LeaveAtDoor, order.SafePlace, order.HandOver, order.Neighbour} {
						for more := range 16 {
							d := order.Draft{Dropoff: theDoor, Mode: mode, Instructions: "the shed", MinimumGrade: append(grades, "")[more%5],
								SignatureRequired: more&1 != 0, IDRequired: more&2 != 0, PINRequired: more&4 != 0}
							if more&8 != 0 {
								d.Cash = &order.Money{Amount: 5, Currency: "KES"}
							}
							d = d.Under(&p)
							if d.Check(noon, true) != nil {
								continue
							}
							asked++
							wantDoable(t, d, &p)
						}
					}
				}
			}
		}
	}
	if asked < 1000 {
		t.Errorf("only %d ways to ask were tried", asked)
	}
}

func wantDoable(t *testing.T, d order.Draft, p *order.Policy) {
	t.Helper()
	o := d.New(1, 1, 0, noon)
	a := AsksOf(&o, p, LegDelivery)
	c := honest(a)
	if err := c.Missing(a); err != nil {
		t.Errorf("%+v of %+v under %+v cannot be done: %v", a, d, p, err)
	}
	if g := c.Grade(a); g > o.MinimumGrade {
		t.Errorf("%+v is graded %s, asked for %s", a, g, o.MinimumGrade)
	}
	bare := Chain{c[0], c[len(c)-1]}
	needs := a.Attended || a.Photo == order.Required || o.MinimumGrade != "D"
	if err := bare.Missing(a); (err != nil) != needs {
		t.Errorf("%+v without anything at the door: %v", a, err)
	}
}
