package order

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
)

// Proof says how much a merchant wants one kind of it.
type Proof string

const (
	Required Proof = "required" // without it the chain is not enough
	Wanted   Proof = "wanted"   // without it the attempt is flagged
	Off      Proof = "off"      // not asked for; a photo is not taken
)

// Policy is what a merchant asks of the doorstep. Its rows are never changed: an order keeps the one that
// held when it was made, so that nobody is judged by rules that came later.
type Policy struct {
	Key                int64  `json:"-"`
	MinimumGrade       string `json:"minimum_evidence_grade"` // for orders that ask for none themselves
	FenceM             int    `json:"fence_m"`                // see dropoff.Inside
	MinimumWaitS       int    `json:"minimum_wait_s"`         // at the door, before the customer counts as unavailable
	CallsBeforeLeaving int    `json:"calls_before_leaving"`   // signalled by call, before the same
	Photo              Proof  `json:"photo"`
	PIN                Proof  `json:"pin"`  // required: no parcel is left alone, see Draft.Under
	Name               Proof  `json:"name"` // of who took it, of parcels that go from hand to hand
	MaxAttempts        int    `json:"max_attempts"`

	HoldDays          int        `json:"hold_days"` // how long a store's counter keeps a parcel
	HoldExtensions    int        `json:"hold_extensions"`
	HoldExtensionDays int        `json:"hold_extension_days"`
	ReturnTo          *geo.Point `json:"return_to"`      // where parcels go back to; nil: not known
	RetentionDays     int        `json:"retention_days"` // after the end, the recipient's data is erased; 0: the network's rule
}

// UsualPolicy holds for merchants that have set none. The fence is explained at dropoff.FenceM.
var UsualPolicy = Policy{MinimumGrade: "D", FenceM: 150, Photo: Wanted, PIN: Off, Name: Off, MaxAttempts: 3,
	HoldDays: 7, HoldExtensions: 1, HoldExtensionDays: 3}

// HoldLife is how long a store's counter keeps a parcel.
func (p *Policy) HoldLife() time.Duration { return time.Duration(p.HoldDays) * 24 * time.Hour }

var grades = []string{"A", "B", "C", "D"}

// needsPhoto reports whether nothing but a photo makes a chain exactly of this grade.
func needsPhoto(grade string) bool { return grade == "B" || grade == "C" }

// Of what is kept longer nobody asks; a dispute may take its time.
const (
	minRetentionDays = 30
	maxRetentionDays = 3650
)

// Check names everything that is out of bounds in p, and what of it could not be meant together.
func (p *Policy) Check() error {
	var f fault.Fields
	oneOf(&f, "/minimum_evidence_grade", p.MinimumGrade, grades...)
	for _, x := range []struct {
		name             string
		value, low, high int
	}{
		{"fence_m", p.FenceM, 20, 1000}, {"minimum_wait_s", p.MinimumWaitS, 0, 3600}, {"calls_before_leaving", p.CallsBeforeLeaving, 0, 5},
		{"max_attempts", p.MaxAttempts, 1, 10}, {"hold_days", p.HoldDays, 1, 60}, {"hold_extensions", p.HoldExtensions, 0, 5},
		{"hold_extension_days", p.HoldExtensionDays, 1, 30},
	} {
		if x.value < x.low || x.value > x.high {
			f.Add("/"+x.name, "out-of-range", "%s is %d to %d", x.name, x.low, x.high)
		}
	}
	if d := p.RetentionDays; d != 0 && (d < minRetentionDays || d > maxRetentionDays) {
		f.Add("/retention_days", "out-of-range", "retention_days is %d to %d, or 0 for the network's rule", minRetentionDays, maxRetentionDays)
	}
	for _, x := range []struct {
		name  string
		value Proof
	}{{"photo", p.Photo}, {"pin", p.PIN}, {"name", p.Name}} {
		oneOf(&f, "/"+x.name, string(x.value), string(Required), string(Wanted), string(Off))
	}
	if p.ReturnTo != nil {
		if ok, hint := geo.Check(*p.ReturnTo); !ok {
			f.Add("/return_to", "invalid-location", "%s", hint)
		}
	}
	if p.Photo == Off && needsPhoto(p.MinimumGrade) {
		f.Add("/minimum_evidence_grade", "contradiction", "grade %s is given for a photo, and photo is off", p.MinimumGrade)
		f.Add("/photo", "contradiction", "without a photo a drop-off is graded A or D, and minimum_evidence_grade is %s", p.MinimumGrade)
	}
	return f.Err()
}

// changed names the fields in which p and other differ, sorted. It panics on no policy: one is plain data.
func (p *Policy) changed(other *Policy) []string {
	mine, theirs := p.fields(), other.fields()
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(mine)) {
		if string(mine[name]) != string(theirs[name]) {
			names = append(names, name)
		}
	}
	return names
}

func (p *Policy) fields() (m map[string]json.RawMessage) {
	_ = json.Unmarshal([]byte(p.document()), &m) // as it was written
	return m
}

// document is p as its row keeps it.
func (p *Policy) document() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain data, and Check has refused a location that is no number
	}
	return string(text)
}

// PolicyOf is the policy that o was made under.
func PolicyOf(q db.Queryer, o *Order) (Policy, error) { return loadPolicy(q, o.Policy) }

func loadPolicy(q db.Queryer, key int64) (Policy, error) {
	if key == 0 {
		return UsualPolicy, nil
	}
	var text string
	if err := q.Get(&text, `SELECT document FROM merchant_policy WHERE key = ?`, key); errors.Is(err, db.ErrNoRows) {
		return Policy{}, fmt.Errorf("policy %d is gone", key)
	} else if err != nil {
		return Policy{}, err
	}
	return readPolicy(key, text)
}

func readPolicy(key int64, document string) (Policy, error) {
	p := UsualPolicy // fields that came after the row was written
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return Policy{}, fmt.Errorf("policy %d: %w", key, err)
	}
	p.Key = key
	return p, nil
}
