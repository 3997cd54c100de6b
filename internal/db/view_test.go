package db_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
)

// A view shows one moment, whatever is written meanwhile, until it is renewed.
func TestAViewStandsStill(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		write := func(name string) {
			t.Helper()
			if err := d.InTx(context.Background(), func(tx *db.Tx) error { return tx.Insert(settings, name, "v") }); err != nil {
				t.Fatal(err)
			}
		}
		write("one")
		v, err := d.View(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		count := func() (n int) {
			t.Helper()
			var names []string
			var rows int
			err := errors.Join(
				v.Get(&n, `SELECT count(*) FROM setting WHERE value = ?`, "v"),
				v.Select(&names, `SELECT name FROM setting WHERE value = ? ORDER BY name`, "v"),
				v.Rows(func(values []any) error {
					if len(values) != 3 || values[0] != names[rows] || values[1] != "v" || values[2] != nil {
						return fmt.Errorf("row %d: %v", rows, values)
					}
					rows++
					return nil
				}, `SELECT name, value, NULL FROM setting WHERE value = ? ORDER BY name`, "v"))
			if err != nil || len(names) != n || rows != n {
				t.Fatalf("%d, %v, %d rows: %v", n, names, rows, err)
			}
			return n
		}
		if n := count(); n != 1 {
			t.Errorf("%d rows", n)
		}
		write("two")
		if n := count(); n != 1 {
			t.Errorf("it saw what came later: %d rows", n)
		}
		if err := v.Renew(); err != nil {
			t.Fatal(err)
		}
		if n := count(); n != 2 {
			t.Errorf("%d rows in the next moment", n)
		}
		enough := errors.New("enough")
		if err := v.Rows(func([]any) error { return enough }, `SELECT name FROM setting`); !errors.Is(err, enough) {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		late, err := d.View(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer late.Close()
		cancel()
		var n int
		if err := late.Get(&n, `SELECT count(*) FROM setting`); err == nil {
			t.Error("nobody waits for that any more")
		}
	})
}
