package server

import (
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/fault"
	"doorstep/internal/order"
)

// Wire forms that several domains share.

// stamp is a time on the wire: UTC, milliseconds, Z.
type stamp time.Time

func (s stamp) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 26)
	b = append(b, '"')
	b = time.Time(s).UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	return append(b, '"'), nil
}

func stampOf(t *time.Time) *stamp {
	if t == nil || t.IsZero() {
		return nil
	}
	s := stamp(*t)
	return &s
}

// instant reads a time a client sent.
func instant(f *fault.Fields, pointer string, s *string) *time.Time {
	if s == nil {
		return nil
	}
	t, err := time.Parse(time.RFC3339, *s)
	if err != nil || t.Year() < 1970 || t.Year() > 9000 {
		f.Add(pointer, "not-a-time", "a time is RFC 3339, like 2026-11-21T10:00:00.000Z")
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

type wireLocation struct {
	Lat float64 `json:"lat"`
	Lng float64 `json:"lng"`
}

// locationIn tells a missing number from a zero.
type locationIn struct {
	Lat *float64 `json:"lat"`
	Lng *float64 `json:"lng"`
}

func (l *locationIn) point(f *fault.Fields, pointer string) geo.Point {
	if l == nil {
		f.Add(pointer, "required", "a location is needed: {\"lat\": …, \"lng\": …} in WGS84 degrees")
		return geo.Point{}
	}
	if l.Lat == nil {
		f.Add(pointer+"/lat", "required", "lat is missing")
	}
	if l.Lng == nil {
		f.Add(pointer+"/lng", "required", "lng is missing")
	}
	if l.Lat == nil || l.Lng == nil {
		return geo.Point{}
	}
	return geo.Point{Lat: *l.Lat, Lng: *l.Lng}
}

type wireAddress struct {
	Line1      string `json:"line1,omitempty"`
	Locality   string `json:"locality,omitempty"`
	Region     string `json:"region,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	Country    string `json:"country,omitempty"`
}

func addressOut(a wireAddress) *wireAddress {
	if a == (wireAddress{}) {
		return nil
	}
	return &a
}

type wirePeriod struct {
	Earliest stamp `json:"earliest"`
	Latest   stamp `json:"latest"`
}

func period(s *order.Span) *wirePeriod {
	if s == nil {
		return nil
	}
	return &wirePeriod{stamp(s.From), stamp(s.To)}
}

type periodIn struct {
	Earliest *string `json:"earliest"`
	Latest   *string `json:"latest"`
}

func (p *periodIn) span(f *fault.Fields, pointer string) *order.Span {
	if p == nil {
		return nil
	}
	if p.Earliest == nil {
		f.Add(pointer+"/earliest", "required", "earliest is missing")
	}
	if p.Latest == nil {
		f.Add(pointer+"/latest", "required", "latest is missing")
	}
	from, to := instant(f, pointer+"/earliest", p.Earliest), instant(f, pointer+"/latest", p.Latest)
	if from == nil || to == nil {
		return nil
	}
	return &order.Span{From: *from, To: *to}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// mask hides the middle of a phone number from those who need not call.
func mask(phone string) string {
	if len(phone) < 8 {
		return "+*****"
	}
	return phone[:4] + strings.Repeat("*", len(phone)-6) + phone[len(phone)-2:]
}
