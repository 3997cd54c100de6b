package order

import (
	"encoding/json"

	"doorstep/internal/plainjson"
)

// What an order carries as JSON in its row is written and read once for each order, so by hand; the
// structs with their tags stay the truth. See package plainjson.

func (p *Recipient) json() string {
	w := plainjson.Writer{Buf: make([]byte, 0, 128)}
	w.Object("")
	w.String("name", p.Name)
	w.String("phone", p.Phone)
	w.NonEmpty("locale", p.Locale)
	w.EndObject()
	return string(w.Buf)
}

// JSON is what an event keeps of h.
func (h Happened) JSON() string {
	w := plainjson.Writer{Buf: make([]byte, 0, 160)}
	w.Object("")
	w.String("status", string(h.Status))
	w.NonEmpty("store_id", h.StoreID)
	w.NonEmpty("assignment_id", h.Assignment)
	w.NonEmpty("reason", h.Reason)
	if h.Attempt != 0 {
		w.Int("attempt", int64(h.Attempt))
	}
	w.NonEmpty("evidence_grade", h.Grade)
	w.NonEmpty("evidence", h.Evidence)
	if len(h.Flags) > 0 {
		w.Array("flags")
		for _, f := range h.Flags {
			w.Element(f)
		}
		w.EndArray()
	}
	w.EndObject()
	return string(w.Buf)
}

func (p *Recipient) parse(text string) error {
	r := plainjson.NewReader(text)
	for name := r.Object(); name != ""; name = r.Next() {
		switch name {
		case "name":
			p.Name = r.String()
		case "phone":
			p.Phone = r.String()
		case "locale":
			p.Locale = r.String()
		default:
			r.GiveUp()
		}
	}
	if r.Done() {
		return nil
	}
	*p = Recipient{}
	return json.Unmarshal([]byte(text), p)
}

func (d *Details) json() string {
	w := plainjson.Writer{Buf: make([]byte, 0, 384)}
	w.Object("")
	if len(d.Items) > 0 {
		w.Array("items")
		for _, it := range d.Items {
			w.Object("")
			w.String("sku", it.SKU)
			w.Int("quantity", int64(it.Quantity))
			w.EndObject()
		}
		w.EndArray()
	}
	if len(d.Parcels) > 0 {
		w.Array("parcels")
		for _, p := range d.Parcels {
			w.Object("")
			if p.WeightG != 0 {
				w.Int("weight_g", int64(p.WeightG))
			}
			w.EndObject()
		}
		w.EndArray()
	}
	if a := d.Address; a != (Address{}) {
		w.Object("address")
		w.NonEmpty("line1", a.Line1)
		w.NonEmpty("locality", a.Locality)
		w.NonEmpty("region", a.Region)
		w.NonEmpty("postal_code", a.PostalCode)
		w.NonEmpty("country", a.Country)
		w.EndObject()
	}
	w.NonEmpty("instructions", d.Instructions)
	if d.PINRequired {
		w.Bool("pin_required", true)
	}
	if len(d.Tags) > 0 {
		w.Array("tags")
		for _, t := range d.Tags {
			w.Element(t)
		}
		w.EndArray()
	}
	if d.SignatureRequired {
		w.Bool("signature_required", true)
	}
	if d.IDRequired {
		w.Bool("id_required", true)
	}
	d.Cash.Write(&w, "cash_on_delivery")
	w.EndObject()
	return string(w.Buf)
}

func (d *Details) parse(text string) error {
	r := plainjson.NewReader(text)
	for name := r.Object(); name != ""; name = r.Next() {
		switch name {
		case "items":
			d.Items = ReadItems(r)
		case "parcels":
			d.Parcels = ReadParcels(r)
		case "address":
			d.Address.Read(r)
		case "instructions":
			d.Instructions = r.String()
		case "pin_required":
			d.PINRequired = r.Bool()
		case "tags":
			d.Tags = r.Strings()
		case "signature_required":
			d.SignatureRequired = r.Bool()
		case "id_required":
			d.IDRequired = r.Bool()
		case "cash_on_delivery":
			d.Cash = readMoney(r)
		default:
			r.GiveUp()
		}
	}
	if r.Done() {
		return nil
	}
	*d = Details{}
	return json.Unmarshal([]byte(text), d)
}

// ReadItems reads an array of items.
func ReadItems(r *plainjson.Reader) []Item {
	items := []Item{}
	for more := r.Array(); more; more = r.More() {
		var it Item
		for name := r.Object(); name != ""; name = r.Next() {
			switch name {
			case "sku":
				it.SKU = r.String()
			case "quantity":
				it.Quantity = r.Int()
			default:
				r.GiveUp()
			}
		}
		items = append(items, it)
	}
	return items
}

// ReadParcels reads an array of parcels.
func ReadParcels(r *plainjson.Reader) []Parcel {
	parcels := []Parcel{}
	for more := r.Array(); more; more = r.More() {
		var p Parcel
		for name := r.Object(); name != ""; name = r.Next() {
			if p.WeightG = r.Int(); name != "weight_g" {
				r.GiveUp()
			}
		}
		parcels = append(parcels, p)
	}
	return parcels
}

// Read reads an address over a.
func (a *Address) Read(r *plainjson.Reader) {
	for name := r.Object(); name != ""; name = r.Next() {
		v := r.String()
		switch name {
		case "line1":
			a.Line1 = v
		case "locality":
			a.Locality = v
		case "region":
			a.Region = v
		case "postal_code":
			a.PostalCode = v
		case "country":
			a.Country = v
		default:
			r.GiveUp()
		}
	}
}
