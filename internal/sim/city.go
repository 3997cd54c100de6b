// Package sim lets a city live on the public API: stores that accept, pack and restock, runners who
// go to the door, customers who keep ordering. It is the demo and the source of load, and it
// replays recorded orders ([Replay]).
//
// It knows nothing that a client could not know: every step is an HTTP request of the contract.
// A [City] is made from a seed and nothing else. What a robot does next to an order is a pure
// function of the order (script.go), so a simulation that is stopped and started again goes on with
// whatever it finds open, and nothing is left lying about.
package sim

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"doorstep/geo"
)

// City is a made-up city on real ground.
type City struct {
	Name     string
	Center   geo.Point
	TimeZone string
	Country  string
	Stores   []CityStore
	Goods    []Good
	HotSpots []HotSpot
}

// CityStore is a store and what belongs on its shelf.
type CityStore struct {
	StoreInput
	Shelf []Count
}

// Good is something the stores sell; Weight is how often it is asked for.
type Good struct {
	SKU    string
	Weight int
}

// HotSpot is a neighbourhood that orders come from; Weight is how many of them.
type HotSpot struct {
	Name   string
	At     geo.Point
	Radius float64 // metres that hold two thirds of its orders
	Weight int
}

const (
	storeCount   = 300
	externalTag  = "demo-" // what the external ids of the city's stores begin with
	cityRadiusM  = 7000
	spareShelf   = 150 // room on each shelf for what a campaign asks for
	metresPerLat = 2 * math.Pi * geo.EarthRadiusM / 360
)

// NewCity makes the city of a seed: 300 stores of which about 40 in 100 never close, so that it
// lives at any hour. The same seed gives the same city.
func NewCity(seed uint64) City {
	c := City{
		Name:     "Jua Mpya", // no such place; it borrows the streets of Nairobi
		Center:   geo.Point{Lat: -1.2864, Lng: 36.8172},
		TimeZone: "Africa/Nairobi",
		Country:  "KE",
		Goods:    goods(),
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	for i, name := range []string{"Market Square", "University", "Railway Quarter", "Hill Estate", "Garden Flats", "Lakeside", "Old Mill", "Stadium"} {
		at := offset(c.Center, spot(rng, cityRadiusM*0.75))
		c.HotSpots = append(c.HotSpots, HotSpot{Name: name, At: at, Radius: 350 + 50*float64(i%4), Weight: 8 - i/2})
	}
	for i := range storeCount {
		c.Stores = append(c.Stores, c.store(rng, i))
	}
	return c
}

func goods() []Good {
	skus := []string{"MAIZE-FLOUR-2KG", "MILK-500ML", "BREAD-400G", "EGGS-6", "SUGAR-1KG", "RICE-1KG", "COOKING-OIL-1L", "WATER-5L",
		"SODA-500ML", "TEA-250G", "BEANS-1KG", "YOGHURT-250ML", "JUICE-1L", "TISSUE-4", "SOAP-BAR", "COFFEE-100G", "NAPPIES-24",
		"SALT-500G", "WASHING-POWDER-500G", "PHONE-CHARGER"}
	list := make([]Good, len(skus))
	for i, sku := range skus {
		list[i] = Good{SKU: sku, Weight: len(skus) - i}
	}
	return list
}

// store makes the i-th store: most stand where the orders come from, the others anywhere.
func (c *City) store(rng *rand.Rand, i int) CityStore {
	at := offset(c.Center, spot(rng, cityRadiusM))
	if i%10 < 7 {
		h := c.HotSpots[i%len(c.HotSpots)]
		at = offset(h.At, vector{rng.NormFloat64() * 2 * h.Radius, rng.NormFloat64() * 2 * h.Radius})
	}
	first := []string{"Baobab", "Acacia", "Blue Gate", "Sunrise", "Mango", "Two Rivers", "Green Corner", "Weaver Bird", "Lantern", "Kite",
		"Marula", "Old Well", "Coral", "Savanna", "Moonlight", "Drum", "Papaya", "Swift", "Tamarind", "Cedar", "Heron", "Copper", "Ginger", "Palm", "Basket"}
	kind := []string{"Duka", "Corner Shop", "Kiosk", "Mini Market", "Grocery", "General Store", "Provisions", "Food Store", "Pantry", "Market Stall", "Express", "Bazaar"}
	s := CityStore{StoreInput: StoreInput{
		ExternalID:     fmt.Sprintf("%s%03d", externalTag, i+1),
		Name:           first[i%len(first)] + " " + kind[i/len(first)%len(kind)],
		Location:       round(at),
		Address:        Address{Line1: fmt.Sprintf("%s %d", streets[rng.IntN(len(streets))], 1+rng.IntN(180)), Locality: c.Name, Country: c.Country},
		Phone:          fmt.Sprintf("+441632960%03d", i%1000),
		Locale:         "en",
		TimeZone:       c.TimeZone,
		OpeningHours:   hoursOf(i),
		ServiceRadiusM: 2500 + 500*rng.IntN(4),
		Capacity:       Capacity{SlotMinutes: []int{30, 60, 60}[rng.IntN(3)], OrdersPerSlot: 5 + rng.IntN(12)},
		AutoAccept:     rng.IntN(10) < 6,
		OfferTimeoutS:  90 + 30*rng.IntN(4),
	}}
	for _, g := range c.Goods {
		if rng.IntN(10) < 8 {
			n := 6 + rng.IntN(8) + g.Weight/3
			s.Shelf = append(s.Shelf, Count{SKU: g.SKU, OnHand: n})
			s.ShelfUnits += n
		}
	}
	s.ShelfUnits += spareShelf
	return s
}

// The recipients' numbers are those that Ofcom keeps for drama (+44 7700 900000 to 900999), the
// stores' those it keeps for places that do not exist (01632 960000 to 960999): nobody's phone rings.
const dramaPhones = 1000

var streets = []string{"Fable Lane", "Storybook Road", "Example Avenue", "Placeholder Street", "Sample Close", "Paper Mill Road", "Invention Way", "Notional Drive"}

// hoursOf is a mix with something open at every hour of the week.
func hoursOf(i int) string {
	switch i % 20 {
	case 0, 3, 5, 8, 10, 13, 15, 18:
		return "24/7"
	case 1, 6, 11, 16, 19:
		return "Mo-Su 06:00-22:00"
	case 2, 7, 12:
		return "Mo-Fr 07:00-20:00; Sa 08:00-18:00; Su,PH 09:00-14:00"
	case 4, 14:
		return "Mo-Su 16:00-03:00"
	case 9:
		return "Mo-Sa 08:00-13:00,14:00-19:00; PH off"
	default:
		return "Mo-Sa 07:30-21:00; Su 10:00-17:00"
	}
}

// Endless is the city with stores that never close, accept by themselves and have room for as many
// orders as the contract allows to say: for load, where "no room" would measure nothing.
func (c City) Endless() City {
	c.Stores = slices.Clone(c.Stores)
	for i := range c.Stores {
		s := &c.Stores[i]
		s.OpeningHours, s.AutoAccept, s.ServiceRadiusM = "24/7", true, 2*cityRadiusM
		s.Capacity = Capacity{SlotMinutes: 60, OrdersPerSlot: 100_000}
	}
	return c
}

const fairName = "Street fair"

// fair is a peak a few hours ahead, whose first prompts are due in a minute.
func (c City) fair(now time.Time) CampaignInput {
	starts := now.Truncate(time.Hour).Add(4 * time.Hour)
	first := int(starts.Sub(now.Add(time.Minute)).Seconds())
	in := CampaignInput{Name: fmt.Sprintf("%s, %s", fairName, starts.UTC().Format("2 Jan 15:04 UTC")), StartsAt: starts, EndsAt: starts.Add(4 * time.Hour),
		LeadsS: []int{first, 2 * 3600, 3600}}
	for i, sku := range []string{"SODA-500ML", "WATER-5L", "JUICE-1L"} {
		in.SKUs = append(in.SKUs, CampaignSKU{SKU: sku, ExpectedUnits: 900 - 240*i, CasePack: 6,
			UnitMargin: Money{2500, "KES"}, UnitHoldingCost: Money{400, "KES"}})
	}
	return in
}

// Shopper orders: a random walk over the city's hot spots that depends on its seed alone. It is not
// safe for concurrent use.
type Shopper struct {
	city City
	rng  *rand.Rand
	at   int // the hot spot it is in
	n    int
}

// Shopper returns the walk of a seed.
func (c City) Shopper(seed uint64) *Shopper {
	return &Shopper{city: c, rng: rand.New(rand.NewPCG(seed, 2))}
}

// Parcel is the next order, of a parcel that is wanted as soon as possible; its external id begins
// with tag.
func (s *Shopper) Parcel(tag string) OrderInput {
	s.n++
	if s.rng.IntN(4) == 0 {
		s.at = pick(s.rng, s.city.HotSpots, func(h HotSpot) int { return h.Weight })
	}
	h := s.city.HotSpots[s.at]
	first := []string{"Amani", "Baraka", "Chiku", "Dalila", "Eshe", "Faraji", "Gathoni", "Hasani", "Imani", "Juma", "Kito", "Lulu", "Makena", "Nia", "Omari", "Pendo"}
	last := []string{"Example", "Sample", "Placeholder", "Fable", "Storybook", "Nobody"}
	return OrderInput{
		ExternalID: fmt.Sprintf("%s%d", tag, s.n),
		Parcels:    []Parcel{{WeightG: 100 * (1 + s.rng.IntN(40))}},
		Recipient: Recipient{Name: first[s.rng.IntN(len(first))] + " " + last[s.rng.IntN(len(last))],
			Phone: fmt.Sprintf("+447700900%03d", s.rng.IntN(dramaPhones)), Locale: "en"},
		Dropoff: Dropoff{Location: round(offset(h.At, vector{s.rng.NormFloat64() * h.Radius, s.rng.NormFloat64() * h.Radius})),
			Address: &Address{Line1: fmt.Sprintf("%s %d", streets[s.rng.IntN(len(streets))], 1+s.rng.IntN(180)), Locality: s.city.Name, Country: s.city.Country},
			Mode:    "leave_at_door"},
		Undeliver: "redeliver",
	}
}

// Next is the next order of a customer: mostly goods, sometimes with a time, a PIN or wishes of
// their own. now is when it is placed.
func (s *Shopper) Next(tag string, now time.Time) OrderInput {
	o := s.Parcel(tag)
	if s.rng.IntN(100) < 65 {
		o.Parcels, o.Items = nil, s.basket()
	}
	switch n := s.rng.IntN(100); {
	case n < 8:
		o.Dropoff.Mode = "collect_at_store"
	case n < 30:
		o.Dropoff.Mode, o.Dropoff.PINRequired = "hand_over", n < 16
	default:
		o.MinimumGrade = []string{"B", "C", ""}[s.rng.IntN(3)]
		o.Dropoff.Instructions = []string{"", "", "Blue gate, the dog is friendly", "Behind the flower pot, please", "Second floor, left"}[s.rng.IntN(5)]
	}
	o.Undeliver = []string{"redeliver", "redeliver", "redeliver", "hold_at_store", "hold_at_store", "return"}[s.rng.IntN(6)]
	if s.rng.IntN(100) < 15 {
		from := now.Add(time.Duration(30+s.rng.IntN(90)) * time.Minute).Truncate(time.Minute).UTC()
		o.Window = &Period{from, from.Add(2 * time.Hour)}
	}
	if s.rng.IntN(20) == 0 {
		o.RadiusM = 3000
	}
	if s.rng.IntN(16) == 0 {
		o.Tags = []string{"gift"}
	}
	return o
}

func (s *Shopper) basket() []Item {
	var items []Item
	for range 1 + s.rng.IntN(3) {
		sku := s.city.Goods[pick(s.rng, s.city.Goods, func(g Good) int { return g.Weight })].SKU
		if !slices.ContainsFunc(items, func(it Item) bool { return it.SKU == sku }) {
			items = append(items, Item{SKU: sku, Quantity: 1 + s.rng.IntN(2)})
		}
	}
	return items
}

// pick returns an index of list, each as often as its weight.
func pick[T any](rng *rand.Rand, list []T, weight func(T) int) int {
	sum := 0
	for _, x := range list {
		sum += weight(x)
	}
	n := rng.IntN(sum)
	for i, x := range list {
		if n -= weight(x); n < 0 {
			return i
		}
	}
	return len(list) - 1
}

// vector is metres east and north.
type vector struct{ east, north float64 }

// spot is a point anywhere in a disc of radius r.
func spot(rng *rand.Rand, r float64) vector {
	length, angle := r*math.Sqrt(rng.Float64()), 2*math.Pi*rng.Float64()
	return vector{length * math.Cos(angle), length * math.Sin(angle)}
}

// offset moves p a few kilometres; a flat map is good enough for making places up.
func offset(p geo.Point, v vector) geo.Point {
	return geo.Point{Lat: p.Lat + v.north/metresPerLat, Lng: p.Lng + v.east/(metresPerLat*math.Cos(p.Lat*math.Pi/180))}
}

// round keeps what a phone would know: six decimals are 11 cm.
func round(p geo.Point) Location {
	return Location{Lat: math.Round(p.Lat*1e6) / 1e6, Lng: math.Round(p.Lng*1e6) / 1e6}
}

// Seed puts the city into the network and returns the ids of its stores by external id. What is
// there already stays as it is, also if somebody has changed it, so it may run at every start.
// Shelves that nobody has counted yet are filled, and a street fair is announced.
//
// When the ids are returned with an error, only the fair failed.
func Seed(ctx context.Context, c *Client, city City) (map[string]string, error) {
	ids, err := storeIDs(ctx, c)
	if err != nil {
		return nil, err
	}
	var rows []StoreInput
	for _, s := range city.Stores {
		if ids[s.ExternalID] == "" {
			rows = append(rows, s.StoreInput)
		}
	}
	if len(rows) > 0 {
		if _, err := c.ImportStores(ctx, rows); err != nil {
			return nil, err
		}
		if ids, err = storeIDs(ctx, c); err != nil {
			return nil, err
		}
	}
	for _, s := range city.Stores {
		if err := fill(ctx, c, ids[s.ExternalID], s.Shelf); err != nil {
			return nil, err
		}
	}
	return ids, holdFair(ctx, c, city, time.Now())
}

func fill(ctx context.Context, c *Client, store string, shelf []Count) error {
	counted, err := c.Stock(ctx, store)
	if err != nil || len(counted) > 0 {
		return err
	}
	return c.PutStock(ctx, store, shelf)
}

// storeIDs are the ids of all stores by external id.
func storeIDs(ctx context.Context, c *Client) (map[string]string, error) {
	ids := map[string]string{}
	for s, err := range c.Stores(ctx) {
		if err != nil {
			return nil, err
		}
		ids[s.ExternalID] = s.ID
	}
	return ids, nil
}

// holdFair sees that a street fair is to come, planned and approved. One that somebody cancelled
// stays cancelled.
func holdFair(ctx context.Context, c *Client, city City, now time.Time) error {
	fair, err := nextFair(ctx, c, now)
	if err != nil {
		return err
	}
	if fair.ID == "" {
		if fair, err = c.CreateCampaign(ctx, city.fair(now)); err != nil {
			return err
		}
	}
	if fair.Status == "draft" {
		if err := c.Post(ctx, "/v1/campaigns/"+fair.ID+"/plan", nil); err != nil {
			return err
		}
		fair.Status = "planned"
	}
	if fair.Status == "planned" {
		return c.Post(ctx, "/v1/campaigns/"+fair.ID+"/approve", nil)
	}
	return nil
}

// nextFair is the fair that is not over, or the zero Campaign.
func nextFair(ctx context.Context, c *Client, now time.Time) (Campaign, error) {
	for k, err := range c.Campaigns(ctx) {
		if err != nil {
			return Campaign{}, err
		}
		if strings.HasPrefix(k.Name, fairName) && k.Status != "finished" && k.EndsAt.After(now) {
			return k, nil
		}
	}
	return Campaign{}, nil
}
