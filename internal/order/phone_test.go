package order_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/order"
)

func TestPhonesAreReadInAnySpelling(t *testing.T) {
	const hers = "+254712345678"
	for text, want := range map[string]struct{ reads, fits bool }{
		"+254712345678": {true, true}, "＋２５４ ７１２ ３４５ ６７８": {true, true}, "00254 712-345-678": {true, true}, "254712345678": {true, true},
		"0712.345.678": {true, true}, "(0712) 345 678": {true, true}, "+254 (0)712/345678": {true, true}, "712345678": {true, true},
		"\u202a+254 712 345 678\u202c": {true, true}, "۰۷۱۲۳۴۵۶۷۸": {true, true}, "5678": {true, true}, "05678": {true, true},
		"+255712345678": {true, false}, "0713345678": {true, false}, "5679": {true, false}, "0000": {true, false},
		"": {}, "678": {}, "+5678": {}, "71+2345678": {}, "0712345678 ext 4": {}, "A-1001": {}, "123456789012345678": {},
	} {
		q, ok := order.ParsePhone(text)
		if ok != want.reads || ok && q.Fits(hers) != want.fits {
			t.Errorf("%q reads %v, fits %v", text, ok, ok && q.Fits(hers))
		}
	}
	if q, _ := order.ParsePhone("8 (912) 345-67-89"); !q.Fits("+79123456789") {
		t.Error("a Russian number begins with 8 at home")
	}
	if q, _ := order.ParsePhone("555 1234"); !q.Fits("+3545551234") || q.Few() {
		t.Error("a number of seven digits is whole in Iceland")
	}
}

// stocked is a database with n orders of as many recipients.
func stocked(t testing.TB, d *db.DB, n, from int) (keys []int64) {
	t.Helper()
	const atOnce = 1000
	for i := 0; i < n; i += atOnce {
		if err := d.InTx(context.Background(), func(tx *db.Tx) error {
			for j := i; j < min(n, i+atOnce); j++ {
				now := tx.Now()
				o := order.Order{EndedAt: &now, Key: tx.NewKey(), Merchant: 1, Status: order.Delivered, Mode: order.LeaveAtDoor, Undeliver: "return", MinimumGrade: "D",
					Dropoff: geo.Point{Lat: -1.29, Lng: 36.78}, Recipient: order.Recipient{Name: "Wanjiru Kamau", Phone: fmt.Sprintf("+2547%08d", (from+j)*7919%100_000_000)},
					Holder: order.HeldByCustomer, CreatedAt: tx.Now(), UpdatedAt: tx.Now()}
				keys = append(keys, o.Key)
				if err := order.Insert(tx, &o); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// An order that is erased while its phone is being taken in is forgotten all the same.
func TestErasingAndTakingInAtOnceForgets(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		b := order.NewBook(d)
		keys := stocked(t, d, 1200, 0) // more than is taken in at once
		done := make(chan error, 1)
		go func() {
			_, err := b.TakePhones(context.Background(), 0)
			done <- err
		}()
		for _, key := range keys {
			if err := d.InTx(t.Context(), func(tx *db.Tx) error {
				o, err := order.Lock(tx, key)
				if err != nil {
					return err
				}
				if o.Cell, err = geo.CellOf(o.Dropoff, geo.MatchRes); err != nil {
					return err
				}
				return order.Erase(tx, &o)
			}); err != nil {
				t.Fatal(err)
			}
			if key == keys[300] {
				break
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for { // it may have stopped for those that waited
			n, err := b.TakePhones(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		var kept []int64
		if err := d.Read(t.Context()).Select(&kept, `SELECT order_key FROM order_phone ORDER BY order_key`); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(kept, keys[301:]) {
			t.Errorf("%d orders are kept, want the %d that were not erased", len(kept), len(keys)-301)
		}
	})
}

// A merchant's own order is found by its last digits however many others sent meanwhile.
func TestAMerchantsOrdersAreWalkedByThemselves(t *testing.T) {
	defer order.WalkEnd(10)()
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		b := order.NewBook(d)
		hers := stocked(t, d, 1, 1)[0]
		if err := d.InTx(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE orders SET merchant_key = 2 WHERE key = ?`, hers)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		stocked(t, d, 11, 2)
		q, _ := order.ParsePhone("7919")
		for merchant, want := range map[int64]int{0: 0, 1: 0, 2: 1} {
			found, all, err := b.WithPhone(t.Context(), q, merchant, 20)
			if err != nil || len(found) != want || all != (merchant == 2) {
				t.Errorf("merchant %d: %d found, all %v, %v", merchant, len(found), all, err)
			}
		}
		if q, _ = order.ParsePhone("+254700007919"); len(mustFind(t, b, q, 2)) != 1 || len(mustFind(t, b, q, 1)) != 0 || len(mustFind(t, b, q, 0)) != 1 {
			t.Error("by the whole number each finds its own")
		}
	})
}

func mustFind(t *testing.T, b *order.Book, q order.PhoneQuery, merchant int64) []order.Order {
	t.Helper()
	found, all, err := b.WithPhone(t.Context(), q, merchant, 20)
	if err != nil || !all {
		t.Fatal(all, err)
	}
	return found
}

// What taking in an order costs, the writer's part of it, and what a question costs when all are taken in
// and when none is.
func BenchmarkPhones(b *testing.B) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		b.Run(string(e), func(b *testing.B) {
			d := dbtest.Open(b, e, db.Options{})
			book, ctx := order.NewBook(d), context.Background()
			const n = 200_000
			stocked(b, d, n, 0)
			q, _ := order.ParsePhone("+2547" + fmt.Sprintf("%08d", 150_000*7919%100_000_000))
			ask := func(b *testing.B) {
				for b.Loop() {
					if found, all, err := book.WithPhone(ctx, q, 0, 20); err != nil || len(found) != 1 || !all {
						b.Fatal(len(found), all, err)
					}
				}
			}
			b.Run("ask-walk-200k", ask)
			before, at := d.Stats().CPU, time.Now()
			took, err := book.TakePhones(ctx, 0)
			if err != nil || took != n {
				b.Fatal(took, err)
			}
			whole, writer := time.Since(at), d.Stats().CPU-before
			b.Run("take", func(b *testing.B) {
				b.ReportMetric(float64(whole.Nanoseconds())/n, "ns/order")
				b.ReportMetric(float64(writer.Nanoseconds())/n, "writer-ns/order")
				b.ReportMetric(0, "ns/op")
			})
			if err := d.InTx(ctx, func(tx *db.Tx) error { _, err := tx.Exec(`ANALYZE`); return err }); err != nil { // as autovacuum does
				b.Fatal(err)
			}
			b.Run("ask-table", ask)
			b.Run("risks-none-open", func(b *testing.B) {
				for b.Loop() {
					if _, _, err := book.AtRisk(ctx, 200); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
