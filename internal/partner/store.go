// Package partner keeps the partner stores: where they are, when they are open, how many orders
// they take, and what lies on their shelves.
//
// A store is a row that people change rarely (store.go decides, book.go does) and two counters that
// every order changes (stock.go): the units used of its time slots, and the units of each SKU on
// its shelf. The counters are claimed by one conditional statement inside the order's own
// transaction, so no number of processes can sell one unit twice; they write no event and no
// version, because an order has its own event and the counters are hot.
//
//	           Pause(until)             Resume, or the time is over
//	active ───────────────────► paused ─────────────────────────────► active
//	  │ ▲
//	  ▼ │  Update(status): somebody says so
//	busy, closed, unresponsive, suspended
//
// Only an active store is given orders by itself. A pause with an end ends by itself: nothing is
// written at that moment, everyone who asks (StatusAt, AcceptingOrders) compares with the clock.
// A pause without an end lasts until Resume. Resume also brings back a store that was busy or did
// not answer; closed and suspended are decisions that only Update takes back.
package partner

import (
	"math"
	"slices"
	"time"

	"doorstep/geo"
	"doorstep/internal/event"
	"doorstep/internal/fault"
)

// The statuses of a store.
const (
	Active       = "active"
	Busy         = "busy"         // has its hands full; people may still give it orders
	Paused       = "paused"       // until PausedUntil, or until resumed
	Closed       = "closed"       // declared shut, whatever its hours say
	Unresponsive = "unresponsive" // let offers run out
	Suspended    = "suspended"    // by the network
)

var statuses = []string{Active, Busy, Paused, Closed, Unresponsive, Suspended}

// Store is a partner shop. A copy is cheap and safe to share: nothing in it is changed in place.
type Store struct {
	Key        int64
	ExternalID string // the network's own name for it, unique among stores; "": none
	Name       string
	Status     string // as kept; see StatusAt
	Location   geo.Point
	Cell       geo.Cell // resolution geo.MatchRes
	Address    Address
	Phone      string // E.164 or ""
	Locale     string // BCP 47
	TimeZone   string // IANA

	OpeningHours   string // as written; "": always open
	QuietHours     string // when nothing is announced, see ParseQuiet; "": none
	ServiceRadiusM int
	SlotMinutes    int
	OrdersPerSlot  int
	ShelfUnits     int // room on the shelf; 0: not known, no bound
	AutoAccept     bool
	OfferTimeoutS  int

	PausedUntil *time.Time // only while paused; nil: until resumed
	Version     int64
	Chain       event.Chain // its Count is Version
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Removed     bool

	hours Hours
	zone  *Zone
}

// Address is for people; matching goes by Location. All parts may be empty.
type Address struct {
	Line1      string `json:"line1,omitempty"`
	Locality   string `json:"locality,omitempty"`
	Region     string `json:"region,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	Country    string `json:"country,omitempty"` // ISO 3166-1 alpha-2
}

// Hours is when the store is open, parsed once.
func (s *Store) Hours() Hours { return s.hours }

// Zone is the store's clock and calendar; a store that was not made by this package has UTC.
func (s *Store) Zone() *Zone {
	if s.zone == nil {
		return utcZone
	}
	return s.zone
}

var utcZone = func() *Zone {
	z, err := NewZone("UTC", "")
	if err != nil {
		panic(err)
	}
	return z
}()

// Common is what a store has in common with many others: its calendar and how it
// answers. What is its own is left out. It is comparable, and equal for such stores.
func (s *Store) Common() Store {
	return Store{TimeZone: s.TimeZone, OpeningHours: s.OpeningHours, SlotMinutes: s.SlotMinutes,
		AutoAccept: s.AutoAccept, OfferTimeoutS: s.OfferTimeoutS, hours: s.hours, zone: s.zone}
}

// StatusAt is the status at now: a pause that is over has become active.
func (s *Store) StatusAt(now time.Time) string {
	if s.Status == Paused && s.PausedUntil != nil && !now.Before(*s.PausedUntil) {
		return Active
	}
	return s.Status
}

// AcceptingOrders reports whether matching may give the store orders at now. Opening hours are a
// question of their own, asked of the moment of the promise: see OpenAt.
func (s *Store) AcceptingOrders(now time.Time) bool {
	return !s.Removed && s.StatusAt(now) == Active
}

// OpenAt reports whether the store's hours have it open at t.
func (s *Store) OpenAt(t time.Time) bool { return s.hours.OpenAt(t, s.Zone()) }

// SlotAt is the start of the capacity slot that t falls in.
func (s *Store) SlotAt(t time.Time) time.Time {
	return SlotStart(t, s.SlotMinutes, s.Zone().Location())
}

// Input is what a sender says about a store. A nil field is not said: on Create it takes the
// network's default, on Update it stays as it is. An empty ExternalID is none.
type Input struct {
	ExternalID, Name, Status                     *string
	Lat, Lng                                     *float64
	Line1, Locality, Region, PostalCode, Country *string
	Phone, Locale, TimeZone, OpeningHours        *string
	QuietHours                                   *string
	ServiceRadiusM, SlotMinutes, OrdersPerSlot   *int
	ShelfUnits                                   *int
	AutoAccept                                   *bool
	OfferTimeoutS                                *int
}

// Patch is an Input that changes a store.
type Patch = Input

// Defaults are what the network says for a store that does not say it itself.
type Defaults struct {
	TimeZone       string // "": every store must say its own
	Country        string
	Locale         string
	OpeningHours   string
	QuietHours     string
	ServiceRadiusM int
	SlotMinutes    int
	OrdersPerSlot  int
	ShelfUnits     int
	AutoAccept     bool
	OfferTimeoutS  int
}

// StandardDefaults are those of a network that set none. They name no time zone: one that is wrong
// for half the stores would send people to closed doors.
func StandardDefaults() Defaults {
	return Defaults{Locale: "en", ServiceRadiusM: 3000, SlotMinutes: 60, OrdersPerSlot: 20, AutoAccept: true, OfferTimeoutS: 120}
}

func (d Defaults) store() Store {
	return Store{Status: Active, Location: geo.Point{Lat: math.NaN(), Lng: math.NaN()}, Address: Address{Country: d.Country},
		Locale: d.Locale, TimeZone: d.TimeZone, OpeningHours: d.OpeningHours, QuietHours: d.QuietHours, ServiceRadiusM: d.ServiceRadiusM,
		SlotMinutes: d.SlotMinutes, OrdersPerSlot: d.OrdersPerSlot, ShelfUnits: d.ShelfUnits,
		AutoAccept: d.AutoAccept, OfferTimeoutS: d.OfferTimeoutS}
}

// Decide is the store that in asks for, not kept yet and without a key. The error is a
// *fault.Error that names every wrong value by its JSON pointer in the API's store.
func Decide(in Input, d Defaults) (Store, error) { return d.store().with(in) }

// with is s with what in says, checked and with hours and zone parsed.
func (s Store) with(in Input) (Store, error) {
	set(&s.ExternalID, in.ExternalID)
	set(&s.Name, in.Name)
	set(&s.Location.Lat, in.Lat)
	set(&s.Location.Lng, in.Lng)
	set(&s.Address.Line1, in.Line1)
	set(&s.Address.Locality, in.Locality)
	set(&s.Address.Region, in.Region)
	set(&s.Address.PostalCode, in.PostalCode)
	set(&s.Address.Country, in.Country)
	set(&s.Phone, in.Phone)
	set(&s.Locale, in.Locale)
	set(&s.TimeZone, in.TimeZone)
	set(&s.OpeningHours, in.OpeningHours)
	set(&s.QuietHours, in.QuietHours)
	set(&s.ServiceRadiusM, in.ServiceRadiusM)
	set(&s.SlotMinutes, in.SlotMinutes)
	set(&s.OrdersPerSlot, in.OrdersPerSlot)
	set(&s.ShelfUnits, in.ShelfUnits)
	set(&s.AutoAccept, in.AutoAccept)
	set(&s.OfferTimeoutS, in.OfferTimeoutS)
	if in.Status != nil && *in.Status != s.Status {
		s.Status, s.PausedUntil = *in.Status, nil
	}
	s.tidy()
	if err := s.check().Err(); err != nil {
		return Store{}, err
	}
	var err error
	if s.Cell, err = geo.CellOf(s.Location, geo.MatchRes); err != nil {
		return Store{}, fault.InvalidField("/location", "no-cell", "%s", err.Error())
	}
	return s, nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// changed names what differs between two states of a store, as the contract names it.
func changed(a, b *Store) []string {
	var names []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"external_id", a.ExternalID == b.ExternalID},
		{"name", a.Name == b.Name},
		{"status", a.Status == b.Status},
		{"location", a.Location == b.Location},
		{"address", a.Address == b.Address},
		{"phone", a.Phone == b.Phone},
		{"locale", a.Locale == b.Locale},
		{"time_zone", a.TimeZone == b.TimeZone},
		{"opening_hours", a.OpeningHours == b.OpeningHours},
		{"quiet_hours", a.QuietHours == b.QuietHours},
		{"service_radius_m", a.ServiceRadiusM == b.ServiceRadiusM},
		{"capacity", a.SlotMinutes == b.SlotMinutes && a.OrdersPerSlot == b.OrdersPerSlot},
		{"shelf_units", a.ShelfUnits == b.ShelfUnits},
		{"auto_accept", a.AutoAccept == b.AutoAccept},
		{"offer_timeout_s", a.OfferTimeoutS == b.OfferTimeoutS},
	} {
		if !f.same {
			names = append(names, f.name)
		}
	}
	return names
}

// pause is s paused until a time (nil: until resumed). Nothing changes when it is so already.
func (s Store) pause(until *time.Time, now time.Time) (Store, error) {
	if until != nil {
		if !until.After(now) {
			return s, fault.InvalidField("/until", "in-past", "until must lie in the future; leave it out to pause until resumed")
		}
		t := until.UTC().Truncate(time.Millisecond)
		until = &t
	}
	if s.Status == Closed || s.Status == Suspended {
		return s, fault.Refused("store-"+s.Status, nil, "the store is %s already, so it takes no orders", s.Status)
	}
	s.Status, s.PausedUntil = Paused, until
	return s, nil
}

// resume is s taking orders again.
func (s Store) resume() (Store, error) {
	if s.Status == Closed || s.Status == Suspended {
		return s, fault.Refused("store-"+s.Status, nil, "the store is %s, not paused; its status has to be set to active", s.Status)
	}
	s.Status, s.PausedUntil = Active, nil
	return s, nil
}

func samePause(a, b *Store) bool {
	if a.Status != b.Status || (a.PausedUntil == nil) != (b.PausedUntil == nil) {
		return false
	}
	return a.PausedUntil == nil || a.PausedUntil.Equal(*b.PausedUntil)
}

func knownStatus(s string) bool { return slices.Contains(statuses, s) }
