package order_test

import (
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/order"
)

// Who asks for the orders of some hours gets just those, wherever they lie among the others.
func TestOrdersOfSomeHoursAreListed(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		b := order.NewBook(d)
		day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
		at := func(hours float64) time.Time { return day.Add(time.Duration(hours * float64(time.Hour))) }
		list := func(from, to time.Time) int {
			t.Helper()
			found, _, err := b.List(t.Context(), order.Filter{CreatedAfter: from, CreatedUntil: to, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			return len(found)
		}
		if n := list(at(-1), at(1)); n != 0 {
			t.Errorf("%d of none", n)
		}
		for i, key := range stocked(t, d, 49, 0) {
			made := at(float64(i / 2))
			if i%2 == 0 { // it waited for the writer, behind the next one
				made = made.Add(30 * time.Second)
			}
			if err := d.InTx(t.Context(), func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE orders SET created_at = ? WHERE key = ?`, made.UnixMilli(), key)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		const within = 15.0 / 3600 // between two that came in the wrong order
		for from := -1 + within; from < 26; from += 1.5 {
			for to := from; to < 26; to += 2 {
				var want int
				if err := d.Read(t.Context()).Get(&want, `SELECT count(*) FROM orders WHERE created_at > ? AND created_at <= ?`,
					at(from).UnixMilli(), at(to).UnixMilli()); err != nil {
					t.Fatal(err)
				}
				if got := list(at(from), at(to)); got != want {
					t.Errorf("from %v to %v: %d, want %d", from, to, got, want)
				}
			}
		}
		if n, m := list(at(10+within), time.Time{}), list(time.Time{}, at(10+within)); n+m != 49 {
			t.Errorf("%d after and %d until are not all 49", n, m)
		}
	})
}
