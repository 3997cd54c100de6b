package country

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// SKUs are what orders for goods ask for.
var SKUs = []string{"SKU-1", "SKU-2", "SKU-3", "SKU-4", "SKU-5", "SKU-6"}

// form is a text with places that are written over for each order.
type form struct {
	text         []byte
	id, lat, lng int
}

// What stands in a form's places at first. Numbers keep their width: JSON allows zeros behind the
// last digit, so a narrower number gets more of them.
const (
	idDigits  = "000000000000"
	latDigits = "11.11111111"
	lngDigits = "222.2222222"
	forms     = 64
	doors     = 1 << 18
)

func newForm(text string) form {
	return form{[]byte(text), strings.LastIndex(text, idDigits), strings.LastIndex(text, latDigits), strings.LastIndex(text, lngDigits)}
}

// fill makes the form's text that of order number n at a door.
func (f *form) fill(n int, door *place) []byte {
	at := f.id + len(idDigits)
	for digit := n; digit > 0; digit /= 10 {
		at--
		f.text[at] = byte('0' + digit%10)
	}
	for ; at > f.id; at-- {
		f.text[at-1] = '0'
	}
	copy(f.text[f.lat:], door.lat[:])
	copy(f.text[f.lng:], door.lng[:])
	return f.text
}

// place is a door as it is written.
type place struct{ lat, lng [len(latDigits)]byte }

func placeOf(p Point) (out place) {
	copy(out.lat[:], strconv.FormatFloat(p.Lat, 'f', 10, 64))
	copy(out.lng[:], strconv.FormatFloat(p.Lng, 'f', 10, 64))
	return out
}

// OrderOptions say what orders are like.
type OrderOptions struct {
	Stores  int     // of the country they are sent in
	Seed    uint64  // of doors and texts
	Tag     string  // what external ids begin with; a number follows
	First   int     // the number of the first order; others follow
	Items   float64 // share of orders for goods from a shelf; the others are parcels
	Scatter bool    // external ids have the number times Stride, and so come in no order, as random ones do
}

// Stride shares no factor with 10^12: numbers below that, each times Stride, stay as many different
// ones when only the last twelve digits are kept.
const Stride = 618_033_988_749

// Orders gives one order after the other. It makes no garbage: the texts are written beforehand, and
// only their ids and doors change.
type Orders struct {
	forms   [][]form // by who sends them
	doors   []place
	scatter bool
	n       int
}

// NewOrders prepares the orders of some senders; written is what a sender sends for the JSON body of
// an order.
func NewOrders(o OrderOptions, senders int, written func(sender int, body string) string) *Orders {
	s := &Orders{doors: make([]place, doors), scatter: o.Scatter, n: o.First}
	texts := bodies(&o)
	for sender := range senders {
		own := make([]form, len(texts))
		for i, body := range texts {
			own[i] = newForm(written(sender, body))
		}
		s.forms = append(s.forms, own)
	}
	for i, p := range Doors(Stores(o.Stores, Seed), doors, o.Seed) {
		s.doors[i] = placeOf(p)
	}
	return s
}

// Next is what a sender sends for a new order, good until the next one of the same sender.
func (s *Orders) Next(sender int) []byte {
	n := s.n
	s.n++
	id := n
	if s.scatter {
		id = int(uint64(n) * Stride % 1e12)
	}
	own := s.forms[sender%len(s.forms)]
	return own[n%len(own)].fill(id, &s.doors[n%len(s.doors)])
}

// bodies are orders as shops send them: everything a courier needs, one or two parcels, or goods.
func bodies(o *OrderOptions) []string {
	rng := rand.New(rand.NewPCG(o.Seed, 3))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	out := make([]string, forms)
	for i := range out {
		goods := fmt.Sprintf(`"parcels":[{"weight_g":%d}]`, 100+rng.IntN(4900))
		switch {
		case float64(i) < o.Items*forms && i%2 == 0:
			goods = fmt.Sprintf(`"items":[{"sku":%q,"quantity":1}]`, pick(SKUs...))
		case float64(i) < o.Items*forms:
			at := rng.IntN(len(SKUs) - 1)
			goods = fmt.Sprintf(`"items":[{"sku":%q,"quantity":1},{"sku":%q,"quantity":2}]`, SKUs[at], SKUs[at+1])
		case i%4 == 0:
			goods = fmt.Sprintf(`"parcels":[{"weight_g":%d},{"weight_g":%d}]`, 100+rng.IntN(900), 1000+rng.IntN(4000))
		}
		out[i] = fmt.Sprintf(`{"external_id":"%s%s",%s,"recipient":{"name":"%s %s","phone":"+86138%08d","locale":"zh"},`+
			`"dropoff":{"location":{"lat":%s,"lng":%s},"address":{"line1":"%d %s","locality":"%s","postal_code":"%06d","country":"CN"},`+
			`"instructions":"%s","mode":"%s"},"undeliverable_action":"%s"}`,
			o.Tag, idDigits, goods, pick("Li", "Wang", "Zhang", "Chen", "Zhao"), pick("Wei", "Fang", "Na", "Min", "Jing"), rng.IntN(1e8),
			latDigits, lngDigits, 1+rng.IntN(300), pick("Market Street", "Station Road", "Garden Lane"), pick("North District", "Old Town", "Riverside"), 100000+rng.IntN(8e5),
			pick("leave it behind the green door", "ring twice, the bell is quiet", "third floor, flat 12"),
			pick("leave_at_door", "leave_at_door", "hand_over"), pick("redeliver", "hold_at_store", "return"))
	}
	return out
}
