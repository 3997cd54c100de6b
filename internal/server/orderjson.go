package server

import (
	"time"
	"unicode/utf8"

	"doorstep/internal/order"
	"doorstep/internal/plainjson"
)

// An order comes in and goes out as JSON once for each order, so both ways are written by hand here.
// The structs with their tags stay the truth: see package plainjson.

// orderJSON decodes the body of a new order, as strictJSON does.
func orderJSON(data []byte, in *orderIn) error {
	if utf8.Valid(data) {
		if r := plainjson.NewReader(string(data)); in.read(r) && r.Done() {
			return nil
		}
		*in = orderIn{}
	}
	return strictJSON(data, in)
}

// read is false when it has given up.
func (in *orderIn) read(r *plainjson.Reader) bool {
	// What encoding/json makes of a list that comes twice is its own secret.
	once := func(first bool) {
		if !first {
			r.GiveUp()
		}
	}
	for name := r.Object(); name != ""; name = r.Next() {
		switch name {
		case "external_id":
			in.ExternalID = r.String()
		case "items":
			once(in.Items == nil)
			in.Items = order.ReadItems(r)
		case "parcels":
			once(in.Parcels == nil)
			in.Parcels = order.ReadParcels(r)
		case "recipient":
			in.Recipient = in.Recipient.read(r)
		case "dropoff":
			in.Dropoff = in.Dropoff.read(r)
		case "window":
			in.Window = in.Window.read(r)
		case "radius_m":
			m := r.Int()
			in.RadiusM = &m
		case "undeliverable_action":
			in.Undeliver = r.String()
		case "minimum_evidence_grade":
			in.Grade = r.String()
		case "tags":
			once(in.Tags == nil)
			in.Tags = r.Strings()
		default:
			return false
		}
	}
	return true
}

func (in *recipientIn) read(r *plainjson.Reader) *recipientIn {
	if in == nil {
		in = &recipientIn{}
	}
	for name := r.Object(); name != ""; name = r.Next() {
		switch name {
		case "name":
			in.Name = r.String()
		case "phone":
			in.Phone = r.String()
		case "locale":
			in.Locale = r.String()
		default:
			r.GiveUp()
		}
	}
	return in
}

func (in *dropoffIn) read(r *plainjson.Reader) *dropoffIn {
	if in == nil {
		in = &dropoffIn{}
	}
	for name := r.Object(); name != ""; name = r.Next() {
		switch name {
		case "location":
			in.Location = in.Location.read(r)
		case "address":
			(*order.Address)(&in.Address).Read(r)
		case "instructions":
			in.Instructions = r.String()
		case "mode":
			in.Mode = r.String()
		case "pin_required":
			in.PINRequired = r.Bool()
		case "signature_required":
			in.Signature = r.Bool()
		case "id_required":
			in.ID = r.Bool()
		case "cash_on_delivery":
			in.Cash = in.Cash.read(r)
		default:
			r.GiveUp()
		}
	}
	return in
}

func (c *cashIn) read(r *plainjson.Reader) *cashIn {
	if c == nil {
		c = &cashIn{}
	}
	for name := r.Object(); name != ""; name = r.Next() {
		switch name {
		case "amount":
			n := int64(r.Int())
			c.Amount = &n
		case "currency":
			c.Currency = r.String()
		default:
			r.GiveUp()
		}
	}
	return c
}

func (l *locationIn) read(r *plainjson.Reader) *locationIn {
	if l == nil {
		l = &locationIn{}
	}
	for name := r.Object(); name != ""; name = r.Next() {
		v := r.Float()
		switch name {
		case "lat":
			l.Lat = &v
		case "lng":
			l.Lng = &v
		default:
			r.GiveUp()
		}
	}
	return l
}

func (p *periodIn) read(r *plainjson.Reader) *periodIn {
	if p == nil {
		p = &periodIn{}
	}
	for name := r.Object(); name != ""; name = r.Next() {
		v := r.String()
		switch name {
		case "earliest":
			p.Earliest = &v
		case "latest":
			p.Latest = &v
		default:
			r.GiveUp()
		}
	}
	return p
}

// json is w as JSON.
func (w *wireOrder) json() []byte { return w.appendTo(make([]byte, 0, 1536)) }

// appendTo appends w as JSON to b, in which a value may follow.
func (w *wireOrder) appendTo(b []byte) []byte {
	j := plainjson.Writer{Buf: b}
	j.Object("")
	j.String("id", w.ID)
	j.Optional("external_id", w.ExternalID)
	j.String("merchant", w.Merchant)
	j.String("status", string(w.Status))
	j.Optional("status_reason", w.Reason)
	j.Optional("cancellation_reason", w.CancelReason)
	j.Optional("cancelled_by", w.CancelledBy)
	j.String("h3_cell", w.Cell)
	if s := w.Store; s == nil {
		j.Null("store")
	} else {
		j.Object("store")
		j.String("id", s.ID)
		j.String("name", s.Name)
		s.Location.json(&j)
		j.EndObject()
	}
	if w.DistanceM == nil {
		j.Null("distance_m")
	} else {
		j.Int("distance_m", int64(*w.DistanceM))
	}
	if a := w.Assignment; a == nil {
		j.Null("assignment")
	} else {
		j.Object("assignment")
		j.String("id", a.ID)
		j.String("status", string(a.Status))
		a.ExpiresAt.json(&j, "offer_expires_at")
		j.EndObject()
	}
	w.Promise.json(&j, "promise")
	j.String("tracking_url", w.TrackingURL)
	j.Bool("live_mode", w.LiveMode)
	j.Array("items")
	for _, it := range w.Items {
		j.Object("")
		j.String("sku", it.SKU)
		j.Int("quantity", int64(it.Quantity))
		j.EndObject()
	}
	j.EndArray()
	j.Array("parcels")
	for _, p := range w.Parcels {
		j.Object("")
		if p.WeightG != 0 {
			j.Int("weight_g", int64(p.WeightG))
		}
		j.EndObject()
	}
	j.EndArray()
	j.Object("recipient")
	j.String("name", w.Recipient.Name)
	j.String("phone", w.Recipient.Phone)
	j.Optional("locale", w.Recipient.Locale)
	j.EndObject()
	w.Dropoff.json(&j)
	w.Window.json(&j, "window")
	if w.RadiusM == nil {
		j.Null("radius_m")
	} else {
		j.Int("radius_m", int64(*w.RadiusM))
	}
	j.String("undeliverable_action", w.Undeliver)
	j.String("minimum_evidence_grade", w.MinimumGrade)
	j.Optional("evidence_grade", w.Grade)
	j.Int("attempts", int64(w.Attempts))
	j.Bool("code_locked", w.CodeLocked)
	w.Custody.json(&j)
	w.NextStep.json(&j)
	j.Optional("dispute", w.Dispute)
	j.Array("tags")
	for _, t := range w.Tags {
		j.Element(t)
	}
	j.EndArray()
	j.Int("version", w.Version)
	w.CreatedAt.json(&j, "created_at")
	w.UpdatedAt.json(&j, "updated_at")
	w.DeliveredAt.json(&j, "delivered_at")
	w.ErasedAt.json(&j, "erased_at")
	j.EndObject()
	return j.Buf
}

func (d *wireDropoff) json(j *plainjson.Writer) {
	j.Object("dropoff")
	d.Location.json(j)
	if a := d.Address; a == nil {
		j.Null("address")
	} else {
		j.Object("address")
		j.NonEmpty("line1", a.Line1)
		j.NonEmpty("locality", a.Locality)
		j.NonEmpty("region", a.Region)
		j.NonEmpty("postal_code", a.PostalCode)
		j.NonEmpty("country", a.Country)
		j.EndObject()
	}
	j.Optional("instructions", d.Instructions)
	j.String("mode", d.Mode)
	j.Bool("pin_required", d.PINRequired)
	j.Bool("signature_required", d.Signature)
	j.Bool("id_required", d.ID)
	if d.Cash == nil {
		j.Null("cash_on_delivery")
	} else {
		d.Cash.Write(j, "cash_on_delivery")
	}
	j.EndObject()
}

func (l wireLocation) json(j *plainjson.Writer) {
	j.Object("location")
	j.Float("lat", l.Lat)
	j.Float("lng", l.Lng)
	j.EndObject()
}

func (p *wirePeriod) json(j *plainjson.Writer, name string) {
	if p == nil {
		j.Null(name)
		return
	}
	j.Object(name)
	p.Earliest.json(j, "earliest")
	p.Latest.json(j, "latest")
	j.EndObject()
}

func (s *stamp) json(j *plainjson.Writer, name string) {
	if s == nil {
		j.Null(name)
		return
	}
	j.Time(name, time.Time(*s))
}
