package order

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"doorstep/geo"
	"doorstep/internal/fault"
)

// Draft is an order as a merchant asks for it.
type Draft struct {
	ExternalID   string
	Items        []Item
	Parcels      []Parcel
	Recipient    Recipient
	Dropoff      geo.Point
	Address      Address
	Instructions string
	Mode         string // "" is leave_at_door
	PINRequired  bool
	Window       *Span
	Undeliver    string
	MinimumGrade string
	Tags         []string
	RadiusM      int

	// Left out of the JSON of those without, which older orders were hashed by.
	SignatureRequired bool   `json:",omitempty"`
	IDRequired        bool   `json:",omitempty"`
	Cash              *Money `json:",omitempty"`

	under *Policy // that filled the defaults in
	said  *said   // what the merchant wrote, where they changed it
}

// said holds what a policy changed about a draft.
type said struct {
	mode, grade string
	pin         bool
}

const (
	maxItems       = 50
	maxQuantity    = 10_000
	maxParcels     = 50
	maxWeightG     = 1_000_000
	maxTags        = 20
	maxRadiusM     = 100_000
	maxWindowAhead = 366 * 24 * time.Hour
	maxWindow      = 7 * 24 * time.Hour
)

var (
	locale = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
	// Made once: a replacer builds a table of kilobytes at its first use.
	punctuation = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "")
)

// Phone is a number in the form in which orders keep it; ok is false when it is not E.164.
func Phone(text string) (phone string, ok bool) {
	phone = punctuation.Replace(text)
	return phone, e164(phone)
}

// e164 reports whether s is + and 7 to 15 digits, the first of them not 0.
func e164(s string) bool {
	if len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	return strings.Trim(s[1:], "0123456789") == ""
}

func country(s string) bool {
	return len(s) == 2 && 'A' <= s[0] && s[0] <= 'Z' && 'A' <= s[1] && s[1] <= 'Z'
}

// Normal is d under the policy of merchants that have set none.
func (d Draft) Normal() Draft { return d.Under(&UsualPolicy) }

// Under fills in what d leaves to its merchant's policy, and brings the phone to its canonical form. A
// policy that requires a PIN requires it of every parcel but those that wait at a store: none may be
// left alone, and who does not say how it is handed over means from hand to hand.
func (d Draft) Under(p *Policy) Draft {
	was := said{d.Mode, d.MinimumGrade, d.PINRequired}
	if was.mode == "" {
		was.mode = LeaveAtDoor
	}
	if was.grade == "" {
		was.grade = UsualPolicy.MinimumGrade
	}
	needsPIN := p.PIN == Required && d.Mode != CollectAtStore
	switch {
	case d.Mode == "" && needsPIN:
		d.Mode = HandOver
	case d.Mode == "":
		d.Mode = LeaveAtDoor
	}
	if d.MinimumGrade == "" {
		d.MinimumGrade = p.MinimumGrade
	}
	d.PINRequired = d.PINRequired || needsPIN
	if now := (said{d.Mode, d.MinimumGrade, d.PINRequired}); now != was {
		kept := was // only here: orders that say all themselves need no memory for it
		d.said = &kept
	}
	d.under = p
	d.Recipient.Phone = punctuation.Replace(d.Recipient.Phone)
	return d
}

// asSaid is d without what the policy made of it: a repeat is the same order, whatever the policy is by now.
func (d Draft) asSaid() Draft {
	if s := d.said; s != nil {
		d.Mode, d.MinimumGrade, d.PINRequired = s.mode, s.grade, s.pin
	}
	return d
}

// Check names everything that is wrong at now with a draft under its policy; quote drafts have no recipient.
func (d Draft) Check(now time.Time, quote bool) error {
	var f fault.Fields
	d.checkGoods(&f)
	d.checkDropoff(&f)
	if !quote {
		d.checkRecipient(&f)
		if d.Undeliver == "" {
			f.Add("/undeliverable_action", "required", "say what happens when nobody can take it: redeliver, hold_at_store or return")
		}
	}
	if d.Undeliver != "" {
		oneOf(&f, "/undeliverable_action", d.Undeliver, "redeliver", "hold_at_store", "return")
	}
	if d.MinimumGrade != "" {
		oneOf(&f, "/minimum_evidence_grade", d.MinimumGrade, grades...)
	}
	if p := d.under; p != nil && p.Photo == Off && needsPhoto(d.MinimumGrade) {
		f.Add("/minimum_evidence_grade", "contradiction", "grade %s is given for a photo, and your policy takes none: ask for A or D", d.MinimumGrade)
	}
	if d.ExternalID != "" {
		text(&f, "/external_id", d.ExternalID, 128)
		if strings.TrimSpace(d.ExternalID) == "" {
			f.Add("/external_id", "blank", "an external_id of spaces only cannot be told apart")
		}
	}
	if len(d.Tags) > maxTags {
		f.Add("/tags", "too-many", "at most %d tags", maxTags)
	}
	for i, t := range d.Tags {
		if !plain(t, 50) {
			text(&f, fmt.Sprintf("/tags/%d", i), t, 50)
		}
	}
	if d.RadiusM < 0 || d.RadiusM > maxRadiusM {
		f.Add("/radius_m", "out-of-range", "radius_m is 1 to %d metres", maxRadiusM)
	}
	d.checkWindow(&f, now)
	return f.Err()
}

func (d Draft) checkGoods(f *fault.Fields) {
	if len(d.Items) > maxItems {
		f.Add("/items", "too-many", "at most %d items", maxItems)
		return
	}
	for i, it := range d.Items {
		first := slices.IndexFunc(d.Items[:i], func(other Item) bool { return other.SKU == it.SKU })
		if first < 0 && it.SKU != "" && plain(it.SKU, 64) && it.Quantity >= 1 && it.Quantity <= maxQuantity {
			continue
		}
		p := fmt.Sprintf("/items/%d", i)
		if it.SKU == "" {
			f.Add(p+"/sku", "required", "an item needs its sku")
		}
		text(f, p+"/sku", it.SKU, 64)
		if it.Quantity < 1 || it.Quantity > maxQuantity {
			f.Add(p+"/quantity", "out-of-range", "quantity is 1 to %d", maxQuantity)
		}
		if first >= 0 && it.SKU != "" {
			f.Add(p+"/sku", "duplicate", "the same sku stands in /items/%d: add the quantities", first)
		}
	}
	if len(d.Parcels) > maxParcels {
		f.Add("/parcels", "too-many", "at most %d parcels", maxParcels)
		return
	}
	for i, p := range d.Parcels {
		if p.WeightG < 0 || p.WeightG > maxWeightG {
			f.Add(fmt.Sprintf("/parcels/%d/weight_g", i), "out-of-range", "weight_g is 1 to %d", maxWeightG)
		}
	}
}

func (d Draft) checkDropoff(f *fault.Fields) {
	if ok, hint := geo.Check(d.Dropoff); !ok {
		f.Add("/dropoff/location", "invalid-location", "%s", hint)
	}
	oneOf(f, "/dropoff/mode", d.Mode, Modes...)
	text(f, "/dropoff/instructions", d.Instructions, 500)
	d.checkProofs(f)
	a := d.Address
	for _, x := range []struct{ name, value string }{{"line1", a.Line1}, {"locality", a.Locality}, {"region", a.Region}, {"postal_code", a.PostalCode}} {
		if !plain(x.value, 200) {
			text(f, "/dropoff/address/"+x.name, x.value, 200)
		}
	}
	if a.Country != "" && !country(a.Country) {
		f.Add("/dropoff/address/country", "invalid", "two capital letters of ISO 3166, like KE")
	}
}

// checkProofs refuses what nobody could prove at the door. At a store's counter all of it can be asked for.
func (d Draft) checkProofs(f *fault.Fields) {
	if d.Cash != nil {
		d.Cash.check(f, "/dropoff/cash_on_delivery")
	}
	if d.Mode == SafePlace && strings.TrimSpace(d.Instructions) == "" {
		f.Add("/dropoff/instructions", "required", "say where the safe place is")
	}
	if d.Mode == Neighbour && d.IDRequired {
		f.Add("/dropoff/id_required", "contradiction", "the recipient's ID cannot be seen at a neighbour's: use hand_over")
	}
	if !LeftAlone(d.Mode) {
		return
	}
	alone := func(asked bool, at, what string) {
		if asked {
			f.Add("/dropoff/"+at, "contradiction", "nobody is there to %s when the parcel is left (%s): use hand_over", what, d.Mode)
		}
	}
	if d.said != nil && d.PINRequired && !d.said.pin {
		f.Add("/dropoff/mode", "contradiction", "your policy requires a PIN of every parcel: none may be left alone, use hand_over")
	} else {
		alone(d.PINRequired, "pin_required", "say a PIN")
	}
	alone(d.SignatureRequired, "signature_required", "sign")
	alone(d.IDRequired, "id_required", "show an ID")
	alone(d.Cash != nil, "cash_on_delivery", "pay")
}

// SetMode changes how o, made under p, is handed over. Errors: fault.Invalid at /mode or /instructions, by
// the rules of a new order.
func (o *Order) SetMode(mode, instructions string, p *Policy) error {
	var f fault.Fields
	oneOf(&f, "/mode", mode, Modes...)
	d := &o.Details
	pin := d.PINRequired || p.PIN == Required && mode != CollectAtStore
	if LeftAlone(mode) && (pin || d.SignatureRequired || d.IDRequired || d.Cash != nil) {
		f.Add("/mode", "contradiction", "somebody has to take this parcel, with a PIN, a signature, an ID or cash: it cannot be left alone")
	}
	if mode == Neighbour && d.IDRequired {
		f.Add("/mode", "contradiction", "this parcel is handed over against your ID: a neighbour cannot take it")
	}
	if mode == SafePlace && strings.TrimSpace(instructions) == "" {
		f.Add("/instructions", "required", "say where the safe place is")
	}
	if err := f.Err(); err != nil {
		return err
	}
	o.Mode, d.Instructions, d.PINRequired = mode, instructions, pin
	return nil
}

func (d Draft) checkRecipient(f *fault.Fields) {
	if strings.TrimSpace(d.Recipient.Name) == "" {
		f.Add("/recipient/name", "required", "the recipient needs a name")
	}
	text(f, "/recipient/name", d.Recipient.Name, 200)
	if !e164(d.Recipient.Phone) {
		f.Add("/recipient/phone", "not-e164", "a phone number is + and the country code, like +254712345678")
	}
	if d.Recipient.Locale != "" && !locale.MatchString(d.Recipient.Locale) {
		f.Add("/recipient/locale", "invalid", "a locale is like en or zh-CN")
	}
}

func (d Draft) checkWindow(f *fault.Fields, now time.Time) {
	if d.Window == nil {
		return
	}
	w := *d.Window
	switch {
	case !w.From.Before(w.To):
		f.Add("/window/latest", "reversed", "latest must be after earliest")
	case !w.To.After(now):
		f.Add("/window/latest", "in-the-past", "the window is over: it is %s now", now.Format(time.RFC3339))
	case w.From.After(now.Add(maxWindowAhead)):
		f.Add("/window/earliest", "too-far", "at most a year ahead")
	case w.To.Sub(w.From) > maxWindow:
		f.Add("/window/latest", "too-long", "a window is at most seven days")
	}
}

func oneOf(f *fault.Fields, pointer, value string, options ...string) {
	for _, o := range options {
		if value == o {
			return
		}
	}
	f.Add(pointer, "unknown-value", "one of %s", strings.Join(options, ", "))
}

// plain reports that s is short ASCII text without control characters, as nearly all are: what text
// would find nothing wrong with, found out in one pass.
func plain(s string, max int) bool {
	if len(s) > max {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// text bounds a free text and keeps control characters out of logs, labels and terminals.
func text(f *fault.Fields, pointer, s string, max int) {
	if plain(s, max) {
		return
	}
	if utf8.RuneCountInString(s) > max {
		f.Add(pointer, "too-long", "at most %d characters", max)
		return
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) || !utf8.ValidString(s) {
		f.Add(pointer, "control-characters", "plain text only")
	}
}

// CheckText is the rule for a free text that arrives later, like changed instructions.
func CheckText(pointer, s string, max int) error {
	var f fault.Fields
	text(&f, pointer, s, max)
	return f.Err()
}

// Asked reports whether o was made from a draft of the same content: then asking again with its
// external_id is a repeat.
func (d Draft) Asked(o *Order) bool {
	d = d.asSaid()
	return o.RequestHash == d.hash() || o.RequestHash == d.jsonHash()
}

// hash tells drafts apart by content. Every part goes in with its length, so that no two drafts spell
// the same bytes.
func (d *Draft) hash() string {
	b := make([]byte, 0, 1024)
	num := func(n int64) { b = binary.AppendVarint(b, n) }
	str := func(s string) { num(int64(len(s))); b = append(b, s...) }
	str(d.ExternalID)
	num(int64(len(d.Items)))
	for _, it := range d.Items {
		str(it.SKU)
		num(int64(it.Quantity))
	}
	num(int64(len(d.Parcels)))
	for _, p := range d.Parcels {
		num(int64(p.WeightG))
	}
	str(d.Recipient.Name)
	str(d.Recipient.Phone)
	str(d.Recipient.Locale)
	num(int64(math.Float64bits(d.Dropoff.Lat)))
	num(int64(math.Float64bits(d.Dropoff.Lng)))
	for _, s := range [...]string{d.Address.Line1, d.Address.Locality, d.Address.Region, d.Address.PostalCode, d.Address.Country,
		d.Instructions, d.Mode, d.Undeliver, d.MinimumGrade} {
		str(s)
	}
	num(flag(d.PINRequired))
	num(flag(d.Window != nil))
	if d.Window != nil {
		num(d.Window.From.UnixMilli())
		num(d.Window.To.UnixMilli())
	}
	num(int64(len(d.Tags)))
	for _, t := range d.Tags {
		str(t)
	}
	num(int64(d.RadiusM))
	if d.SignatureRequired || d.IDRequired || d.Cash != nil { // orders without keep the hash they had before these came
		num(flag(d.SignatureRequired)<<1 | flag(d.IDRequired))
		if d.Cash != nil {
			num(d.Cash.Amount)
			str(d.Cash.Currency)
		}
	}
	sum := sha256.Sum256(b)
	return "2:" + hex.EncodeToString(sum[:12])
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// jsonHash is what orders carry that were taken in before hash was.
func (d Draft) jsonHash() string {
	text, err := json.Marshal(d)
	if err != nil { // a NaN location; Check has refused it
		return "unknown"
	}
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:12])
}

// New makes the order a draft asks for; key and cell come from outside.
func (d Draft) New(key, merchant int64, cell geo.Cell, now time.Time) Order {
	hash := "" // repeats are known by their external_id
	if d.ExternalID != "" {
		said := d.asSaid()
		hash = said.hash()
	}
	o := Order{Key: key, Merchant: merchant, ExternalID: d.ExternalID, RequestHash: hash, Status: Created,
		Dropoff: d.Dropoff, Cell: cell, Mode: d.Mode, Undeliver: d.Undeliver, MinimumGrade: d.MinimumGrade,
		Recipient: d.Recipient, RadiusM: d.RadiusM, Window: d.Window,
		Details: Details{Items: d.Items, Parcels: d.Parcels, Address: d.Address, Instructions: d.Instructions,
			PINRequired: d.PINRequired, Tags: d.Tags, SignatureRequired: d.SignatureRequired, IDRequired: d.IDRequired, Cash: d.Cash},
		CreatedAt: now, UpdatedAt: now}
	if d.under != nil {
		o.Policy = d.under.Key
	}
	o.packed.recipient, o.packed.details, o.packed.who = o.Recipient.json(), o.Details.json(), o.Recipient
	return o
}
