package db_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/fault"
)

var settings = db.NewTable("setting", "name, value")

// together runs functions so that on SQLite they share a commit: the first holds the writer until all
// the others wait.
func together(d *db.DB, fs ...func(*db.Tx) error) []error {
	errs := make([]error, len(fs))
	var wg sync.WaitGroup
	started, waiting := make(chan bool), make(chan bool)
	if d.Engine() == db.SQLite {
		wg.Go(func() {
			_ = d.InTx(context.Background(), func(*db.Tx) error {
				close(started)
				<-waiting
				return nil
			})
		})
		<-started
	}
	for i, f := range fs {
		queue := d.Stats().Queue
		wg.Go(func() { errs[i] = d.InTx(context.Background(), f) })
		for d.Engine() == db.SQLite && d.Stats().Queue == queue {
			// In line, one behind the other.
		}
	}
	close(waiting)
	wg.Wait()
	return errs
}

// Whatever is asked about a table sees the rows that were inserted before, by whomever.
func TestInsertedRowsAreSeenByWhoeverAsks(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		var own, first, changed int64
		errs := together(d, func(tx *db.Tx) error {
			for i := range 40 { // several statements' worth
				if err := tx.Insert(settings, fmt.Sprint("n", i), "1"); err != nil {
					return err
				}
			}
			return tx.Get(&own, `SELECT count(*) FROM setting WHERE value = ?`, "1")
		})
		errs = append(errs, together(d, func(tx *db.Tx) error {
			return tx.Insert(settings, "of another function", "2")
		}, func(tx *db.Tx) (err error) {
			if d.Engine() == db.Postgres {
				return nil // they run at once there
			}
			if err = tx.Get(&first, `SELECT count(*) FROM setting WHERE value = ?`, "2"); err == nil {
				changed, err = tx.Exec(`UPDATE setting SET value = ? WHERE name = ?`, "3", "of another function")
			}
			return err
		})...)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if own != 40 || d.Engine() == db.SQLite && (first != 1 || changed != 1) || len(names(t, d)) != 41 {
			t.Errorf("it saw %d of its own rows, another %d and changed %d; there are %d", own, first, changed, len(names(t, d)))
		}
		if n := d.Stats().Redone; n != 0 {
			t.Errorf("%d groups ran twice", n)
		}
	})
}

// Two insert the same row at once: one does, the other is run again and finds it.
func TestWhoeverIsSecondRunsAgainAndFindsTheRow(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		var mu sync.Mutex
		made, found := 0, 0
		claim := func(tx *db.Tx) error {
			var n int64
			if err := tx.Peek(&n, `SELECT count(*) FROM setting WHERE name = ?`, "one"); err != nil {
				return err
			}
			if n == 1 {
				tx.OnCommit(func() { mu.Lock(); found++; mu.Unlock() })
				return nil
			}
			tx.OnCommit(func() { mu.Lock(); made++; mu.Unlock() })
			return tx.Insert(settings, "one", "1")
		}
		bystander := func(tx *db.Tx) error { return tx.Insert(settings, "two", "1") }
		if err := errors.Join(together(d, claim, bystander, claim, claim)...); err != nil {
			t.Fatal(err)
		}
		if made != 1 || found != 2 || len(names(t, d)) != 2 {
			t.Errorf("made %d times, found %d times, rows %v", made, found, names(t, d))
		}
	})
}

// A function that fails takes its rows with it and nobody else's; only when it had changed rows by
// itself is the group run again.
func TestAFailedFunctionTakesItsInsertedRowsWithIt(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		no := fault.Refused("no", nil, "not today")
		insert := func(name string, end error) func(*db.Tx) error {
			return func(tx *db.Tx) error { return errors.Join(tx.Insert(settings, name, ""), end) }
		}
		errs := together(d, insert("a", nil), insert("b", no), insert("c", nil))
		if got := names(t, d); errs[0] != nil || !errors.Is(errs[1], no) || errs[2] != nil || len(got) != 2 || got["b"] {
			t.Errorf("%v, rows %v", errs, got)
		}
		if n := d.Stats().Redone; n != 0 {
			t.Errorf("%d groups ran twice for rows that were easily forgotten", n)
		}

		errs = together(d, insert("d", nil), func(tx *db.Tx) error { return errors.Join(put(tx, "e", ""), no) }, insert("f", nil),
			func(tx *db.Tx) error { // fails when a look has sent its rows to the database already
				var n int64
				return errors.Join(tx.Insert(settings, "g", ""), tx.Get(&n, `SELECT count(*) FROM setting`), no)
			}, insert("h", nil))
		got := names(t, d)
		if errs[0] != nil || !errors.Is(errs[1], no) || errs[2] != nil || !errors.Is(errs[3], no) || errs[4] != nil || len(got) != 5 || got["e"] || got["g"] {
			t.Errorf("%v, rows %v", errs, got)
		}
		if n := d.Stats().Redone; d.Engine() == db.SQLite && n == 0 {
			t.Error("what was written could only be undone with the group, and was not")
		}
	})
}

// A row that is there for good fails its function in the end, and no other.
func TestARowThatIsThereForGoodFailsOneFunction(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		again := func(tx *db.Tx) error { return tx.Insert(settings, "secret", "") } // the database made it
		errs := together(d, func(tx *db.Tx) error { return tx.Insert(settings, "a", "") }, again)
		if errs[0] != nil || fault.KindOf(errs[1]) != fault.Unavailable || !names(t, d)["a"] {
			t.Errorf("%v, rows %v", errs, names(t, d))
		}
		if err := d.InTx(context.Background(), func(tx *db.Tx) error { return tx.Insert(settings, "b") }); err == nil {
			t.Error("one value for two columns was taken")
		}
	})
}

// BenchmarkInsert is what it is worth that rows of one group go in together.
func BenchmarkInsert(b *testing.B) {
	for name, insert := range map[string]func(*db.Tx, string) error{
		"together": func(tx *db.Tx, name string) error { return tx.Insert(settings, name, "value") },
		"each":     put2,
	} {
		b.Run(name, func(b *testing.B) {
			d := dbtest.Open(b, db.SQLite, db.Options{})
			began := d.Stats().CPU
			for i := range b.N {
				if err := d.InTx(context.Background(), func(tx *db.Tx) error {
					for j := range 1000 {
						if err := insert(tx, fmt.Sprintf("%08d-%d", i, j)); err != nil {
							return err
						}
					}
					return nil
				}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((d.Stats().CPU-began).Nanoseconds())/float64(1000*b.N), "cpu-ns/row")
		})
	}
}

func put2(tx *db.Tx, name string) error { return put(tx, name, "value") }
