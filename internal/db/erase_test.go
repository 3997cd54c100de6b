package db_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
)

// Rows that grew, shrank and moved between pages, and whole pages that were given back: what was erased
// stands nowhere in the files. Without Overwrite the same leaves traces, so the test can tell.
func TestWhatIsErasedStandsNowhere(t *testing.T) {
	ctx := context.Background()
	left := func(thorough bool) (traces int) {
		d := dbtest.Open(t, db.SQLite, db.Options{})
		in := func(f func(tx *db.Tx) error) {
			t.Helper()
			if err := d.InTx(ctx, func(tx *db.Tx) error {
				if thorough {
					if err := tx.Overwrite(); err != nil {
						return err
					}
				}
				return f(tx)
			}); err != nil {
				t.Fatal(err)
			}
		}
		name := func(i int) string { return fmt.Sprintf("Secret%05dPerson", i) }
		exec := func(tx *db.Tx, query string, args ...any) {
			if _, err := tx.Exec(query, args...); err != nil {
				t.Fatal(err)
			}
		}
		rng := rand.New(rand.NewPCG(1, 2))
		const n = 400
		in(func(tx *db.Tx) error {
			for i := range n {
				long := strings.Repeat("y", rng.IntN(200))
				if i%10 == 0 {
					long = strings.Repeat("y", 9000) // it stands on pages of its own
				}
				exec(tx, `INSERT INTO remark (key, order_key, kind, stars, reason, text, created_at) VALUES (?, 1, 'rated', 0, '', ?, 0)`, i+1, long+name(i))
			}
			return nil
		})
		in(func(tx *db.Tx) error {
			for range 4 * n {
				exec(tx, `UPDATE remark SET reason = ? WHERE key = ?`, strings.Repeat("r", rng.IntN(80)), rng.IntN(n)+1)
			}
			return nil
		})
		in(func(tx *db.Tx) error { exec(tx, `UPDATE remark SET text = ''`); return nil })
		if err := d.Settle(ctx); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			files, read, err := d.Traces(ctx, []string{name(i)})
			if err != nil || read == 0 {
				t.Fatal(read, err)
			}
			traces += len(files)
		}
		return traces
	}
	if n := left(true); n != 0 {
		t.Errorf("%d of 400 names still stand in the file", n)
	}
	if n := left(false); n == 0 {
		t.Error("without Overwrite nothing is left either: the test shows nothing")
	}
}
