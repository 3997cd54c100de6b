package match_test

import (
	"cmp"
	"encoding/csv"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/match"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// plain is the live index made slowly: a list of stores, each with its own books.
type plain struct {
	live   *match.Live
	stores []*plainStore // by latitude
}

type plainStore struct {
	partner.Store
	at   geo.Vec
	used map[int64]int
	free map[string]int
}

func newPlainStore(s partner.Store) *plainStore {
	return &plainStore{s, geo.VecOf(s.Location), map[int64]int{}, map[string]int{}}
}

// put brings a store into both, old is its former state there or nil.
func (w *plain) put(t testing.TB, old *plainStore, s partner.Store) {
	t.Helper()
	if err := w.live.Put(&s); err != nil {
		t.Fatal(err)
	}
	now := newPlainStore(s)
	if old != nil {
		now.used, now.free = old.used, old.free
		w.drop(old)
	}
	i, _ := w.find(s.Location.Lat)
	w.stores = slices.Insert(w.stores, i, now)
}

func (w *plain) drop(s *plainStore) {
	i, _ := w.find(s.Location.Lat)
	for w.stores[i] != s {
		i++
	}
	w.stores = slices.Delete(w.stores, i, i+1)
}

// find is where the stores from a latitude on begin.
func (w *plain) find(lat float64) (int, bool) {
	return slices.BinarySearchFunc(w.stores, lat, func(s *plainStore, lat float64) int { return cmp.Compare(s.Location.Lat, lat) })
}

func (w *plain) stock(s *plainStore, lines []partner.StockLine) {
	w.live.SetStock(s.Key, lines)
	for _, l := range lines {
		s.free[l.SKU] = l.OnHand - l.Reserved
	}
}

func (w *plain) use(s *plainStore, at time.Time, used int) {
	slot := s.SlotAt(at)
	w.live.SetUsed(s.Key, slot, used)
	s.used[slot.UnixMilli()] = used
}

// nearest looks at all stores that are not more than 5 km north or south of q, nor 5 km away in a
// straight line: nobody serves farther than that, no way is shorter than the one along the meridian,
// and no way over the ground is shorter than the line.
func (w *plain) nearest(q *match.Ask) (key int64, metres float64, ok bool) {
	const line = 5000 / geo.EarthRadiusM
	const reach = line * 180 / math.Pi
	at := geo.VecOf(q.At)
	first, _ := w.find(q.At.Lat - reach)
	for i := first; i < len(w.stores) && w.stores[i].Location.Lat <= q.At.Lat+reach; i++ {
		s := w.stores[i]
		if at.Chord2(s.at) > line*line {
			continue
		}
		m := geo.DistanceM(q.At, s.Location)
		if m > float64(s.ServiceRadiusM) || q.MaxM > 0 && m > q.MaxM || ok && (m > metres || m == metres && s.Key > key) {
			continue
		}
		if s.serves(q) {
			key, metres, ok = s.Key, m, true
		}
	}
	return key, metres, ok
}

func (s *plainStore) serves(q *match.Ask) bool {
	if !s.AcceptingOrders(q.Now) || !s.OpenAt(q.Begin) || s.used[s.SlotAt(q.Begin).UnixMilli()] >= s.OrdersPerSlot {
		return false
	}
	want := map[string]int{}
	for _, it := range q.Items {
		want[it.SKU] += it.Quantity
	}
	for sku, n := range want {
		if s.free[sku] < n {
			return false
		}
	}
	return true
}

// shake changes something about a store: its shelf, a slot, its hours, its status, its place. It
// may also take the store out, or bring the nth new one.
func (w *plain) shake(t testing.TB, c *crowd, n int, when time.Time) {
	s := w.stores[c.rng.IntN(len(w.stores))]
	switch c.rng.IntN(8) {
	case 0:
		w.live.Remove(s.Key)
		w.drop(s)
	case 1:
		w.put(t, nil, c.store(int64(1_000_000+n)))
	case 2:
		w.use(s, when, c.rng.IntN(s.OrdersPerSlot+2))
	case 3:
		w.use(s, when.Add(time.Duration(c.rng.IntN(100*24))*time.Hour), c.rng.IntN(3))
	case 4:
		w.stock(s, c.shelf())
	default:
		changed := s.Store
		other := c.store(changed.Key)
		switch c.rng.IntN(3) {
		case 0:
			changed.Status = []string{partner.Active, partner.Busy, partner.Paused}[c.rng.IntN(3)]
			changed.PausedUntil = nil
			if changed.Status == partner.Paused {
				until := when.Add(time.Duration(c.rng.IntN(180)-60) * time.Minute).Truncate(time.Millisecond)
				changed.PausedUntil = &until
			}
		case 1: // other hours, radius and room at the same place
			other.Location, other.Cell = changed.Location, changed.Cell
			changed = other
		case 2:
			changed = other
		}
		w.put(t, s, changed)
	}
}

// agree asks both n times while the stores change, and reports how many questions found a store.
func (w *plain) agree(t *testing.T, c *crowd, near func() geo.Point, n int) {
	t.Helper()
	found := 0
	for i := range n {
		q := c.ask()
		q.At = near()
		if c.rng.IntN(4) == 0 {
			q.Begin = q.Begin.Add(time.Duration(c.rng.IntN(72*60)) * time.Minute) // a window to come
		}
		for k := range q.Items {
			q.Items[k].Quantity = 1 + c.rng.IntN(4)/3
		}
		switch c.rng.IntN(20) {
		case 0:
			q.Items = nil
		case 1:
			q.Items = append(q.Items, q.Items[0])
		case 2:
			q.Items = append(q.Items, order.Item{SKU: "nobody has this", Quantity: 1})
		}
		key, m, ok := w.nearest(q)
		gotKey, gotM, gotOK := w.live.Nearest(q)
		if gotKey != key || gotM != m || gotOK != ok {
			t.Fatalf("question %d, %+v: store %d at %v m (%v), brute force says %d at %v m (%v)", i, q, gotKey, gotM, gotOK, key, m, ok)
		}
		if ok {
			found++
		}
		if i%5 == 0 {
			w.shake(t, c, i, q.Begin)
		}
	}
	t.Logf("%d stores, %d of %d questions found one", len(w.stores), found, n)
	if found < n/4 || found > n*3/4 {
		t.Errorf("%d of %d questions found a store: too few or too many to test anything", found, n)
	}
	if w.live.Len() != len(w.stores) {
		t.Errorf("Len is %d, there are %d stores", w.live.Len(), len(w.stores))
	}
}

const questions = 10_000

func TestLiveEqualsBruteForceOnACrowd(t *testing.T) {
	t.Parallel()
	c := newCrowd(7, 12)
	w := &plain{live: match.NewLive()}
	for key := range int64(12_000) {
		w.stores = append(w.stores, newPlainStore(c.store(key)))
	}
	w.begin(t, c)
	w.agree(t, c, c.place, questions)
}

func TestLiveEqualsBruteForceInJapan(t *testing.T) {
	t.Parallel()
	c := newCrowd(8, 1)
	w := &plain{live: match.NewLive()}
	for key, at := range japan(t) {
		s := c.store(int64(key))
		in := partner.Input{Name: p("konbini"), Lat: &at.Lat, Lng: &at.Lng, TimeZone: p("Asia/Tokyo"), Country: p("JP"), OpeningHours: &s.OpeningHours,
			ServiceRadiusM: &s.ServiceRadiusM, OrdersPerSlot: &s.OrdersPerSlot}
		s, err := partner.Decide(in, partner.StandardDefaults())
		if err != nil {
			t.Fatal(err)
		}
		s.Key, s.Version = int64(key), 1
		w.stores = append(w.stores, newPlainStore(s))
	}
	w.begin(t, c)
	home := make([]geo.Point, len(w.stores))
	for i := range w.stores {
		home[i] = w.stores[i].Location
	}
	w.agree(t, c, func() geo.Point {
		at := home[c.rng.IntN(len(home))]
		return geo.Point{Lat: at.Lat + c.rng.NormFloat64()*.01, Lng: at.Lng + c.rng.NormFloat64()*.01}
	}, questions)
}

// begin puts all stores of the list into the live index at once, with shelves and busy slots.
func (w *plain) begin(t *testing.T, c *crowd) {
	t.Helper()
	err := w.live.Fill(len(w.stores), func(put func(*partner.Store) error) error {
		for _, s := range w.stores {
			if err := put(&s.Store); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(w.stores, func(a, b *plainStore) int { return cmp.Compare(a.Location.Lat, b.Location.Lat) })
	for i := range w.stores {
		s := w.stores[i]
		w.stock(s, c.shelf())
		for range 2 {
			w.use(s, c.began.Add(time.Duration(c.rng.IntN(24))*time.Hour), s.OrdersPerSlot)
		}
	}
}

// japan is where its convenience stores are. The file lies beside the checkout and not in it.
func japan(t *testing.T) (at []geo.Point) {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", "stores_japan_konbini.csv"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("SKIPPED, NOT TESTED ON REAL STORES: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	lat, lng := slices.Index(rows[0], "lat"), slices.Index(rows[0], "lng")
	number := func(s string) float64 {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, row := range rows[1:] {
		at = append(at, geo.Point{Lat: number(row[lat]), Lng: number(row[lng])})
	}
	return at
}
