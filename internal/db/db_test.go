package db_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/fault"
)

func put(tx *db.Tx, name, value string) error {
	_, err := tx.Exec(`INSERT INTO setting (name, value) VALUES (?, ?)`, name, value)
	return err
}

func names(t *testing.T, d *db.DB) map[string]bool {
	t.Helper()
	var rows []string
	if err := d.Read(context.Background()).Select(&rows, `SELECT name FROM setting WHERE name <> 'secret'`); err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	for _, r := range rows {
		set[r] = true
	}
	return set
}

func TestAChangeIsThereWhenInTxReturns(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		announced := false
		err := d.InTx(ctx, func(tx *db.Tx) error {
			tx.OnCommit(func() { announced = true })
			return put(tx, "a", "1")
		})
		if err != nil || !announced || !names(t, d)["a"] {
			t.Fatalf("err %v, announced %v, rows %v", err, announced, names(t, d))
		}
		var v string
		if err := d.Read(ctx).Get(&v, `SELECT value FROM setting WHERE name = ?`, "nobody"); !errors.Is(err, db.ErrNoRows) {
			t.Fatalf("an absent row gave %v", err)
		}
	})
}

// Whatever one function does wrong, the others of its group are kept and it leaves no trace.
func TestAFunctionThatFailsSpoilsNobodyElse(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		refusal := fault.Refused("no", nil, "not today")
		var wg sync.WaitGroup
		var announced atomic.Int32
		const n = 200
		errs := make([]error, n)
		for i := range n {
			wg.Go(func() {
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if i%5 == 4 {
					ctx, cancel = context.WithTimeout(ctx, 30*time.Millisecond)
				}
				defer cancel()
				errs[i] = d.InTx(ctx, func(tx *db.Tx) error {
					tx.OnCommit(func() { announced.Add(1) })
					if err := put(tx, fmt.Sprint("n", i), ""); err != nil {
						return err
					}
					switch i % 5 {
					case 1:
						return refusal
					case 2:
						panic("a defect")
					case 3:
						_, err := tx.Exec(`INSERT INTO no_such_table (x) VALUES (1)`)
						return err
					case 4:
						if i == 4 || i == 104 {
							time.Sleep(60 * time.Millisecond) // against the rules
						}
					}
					return nil
				})
			})
		}
		wg.Wait()
		rows := names(t, d)
		kept := 0
		for i, err := range errs {
			if rows[fmt.Sprint("n", i)] != (err == nil) {
				t.Errorf("function %d: answered %v, row there: %v", i, err, rows[fmt.Sprint("n", i)])
			}
			switch {
			case i%5 == 0 && err != nil:
				t.Errorf("function %d did nothing wrong and got %v", i, err)
			case i%5 == 1 && !errors.Is(err, refusal):
				t.Errorf("function %d: its own refusal came back as %v", i, err)
			case (i%5 == 2 || i%5 == 3) && err == nil:
				t.Errorf("function %d: a defect was acknowledged", i)
			case (i == 4 || i == 104) && fault.KindOf(err) != fault.Unavailable:
				t.Errorf("function %d overstayed and got %v", i, err)
			}
			if err == nil {
				kept++
			}
		}
		if int(announced.Load()) != kept {
			t.Errorf("%d announced, %d committed", announced.Load(), kept)
		}
	})
}

// Several functions that were given together share the waiting and nothing else.
func TestFunctionsGivenTogetherStandAlone(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		ctx, refusal := context.Background(), fault.Refused("no", nil, "not today")
		if errs := d.InTxs(ctx, nil); len(errs) != 0 {
			t.Errorf("nothing to do: %v", errs)
		}
		var fs []func(*db.Tx) error
		for i := range 100 {
			fs = append(fs, func(tx *db.Tx) error {
				if err := put(tx, fmt.Sprint("n", i), ""); err != nil || i%3 > 0 {
					return err
				}
				return refusal
			})
		}
		errs := d.InTxs(ctx, fs)
		rows := names(t, d)
		for i, err := range errs {
			if refused := i%3 == 0; refused != errors.Is(err, refusal) || refused == (err == nil) || refused == rows[fmt.Sprint("n", i)] {
				t.Errorf("function %d: %v, its row there: %v", i, err, rows[fmt.Sprint("n", i)])
			}
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		for i, err := range d.InTxs(gone, fs[1:3]) {
			if err == nil {
				t.Errorf("function %d of a sender that had left was acknowledged", i)
			}
		}
	})
}

// A function that never comes back is left behind, and the writer goes on.
func TestAStuckFunctionIsGivenUp(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{MaxRun: 300 * time.Millisecond})
	release := make(chan struct{})
	late := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := d.InTx(context.Background(), func(tx *db.Tx) error {
			if err := put(tx, "stuck", ""); err != nil {
				return err
			}
			<-release
			err := put(tx, "zombie", "")
			late <- err
			return err
		})
		if fault.Code(err) != "deadline-exceeded" {
			t.Errorf("the stuck function got %v", err)
		}
	})
	for i := range 20 {
		if err := d.InTx(context.Background(), func(tx *db.Tx) error { return put(tx, fmt.Sprint("ok", i), "") }); err != nil {
			t.Errorf("function %d beside the stuck one: %v", i, err)
		}
	}
	wg.Wait()
	close(release)
	if err := <-late; err == nil {
		t.Error("a function wrote after it had been given up")
	}
	rows := names(t, d)
	if len(rows) != 20 || rows["stuck"] || rows["zombie"] {
		t.Errorf("rows %v", rows)
	}
}

// A function that runs again may take its time again, and the watchdog looks on all the while: -race says
// whether it looks at the run before.
func TestTheWatchdogKeepsTheRunsOfAFunctionApart(t *testing.T) {
	const maxRun = 2 * time.Second
	d := dbtest.Open(t, db.SQLite, db.Options{MaxRun: maxRun})
	runs := 0
	err := d.InTx(context.Background(), func(tx *db.Tx) error {
		runs++
		if err := put(tx, fmt.Sprint("run", runs), ""); err != nil {
			return err
		}
		time.Sleep(maxRun / 20) // the watchdog looks several times
		if runs < 3 {
			return db.ErrAgain
		}
		return nil
	})
	if err != nil || runs != 3 {
		t.Errorf("%d runs: %v", runs, err)
	}
	if rows := names(t, d); len(rows) != 1 || !rows["run3"] {
		t.Errorf("rows %v", rows)
	}
}

func TestManyShareOneCommit(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	before := d.Stats()
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := range 10 {
				if err := d.InTx(context.Background(), func(tx *db.Tx) error { return put(tx, fmt.Sprint(w, "-", i), "") }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	after := d.Stats()
	if f, g := after.Functions-before.Functions, after.Groups-before.Groups; f != 640 || g > f/2 {
		t.Errorf("%d functions in %d commits", f, g)
	}
}

// A real small disk: what does not fit is refused with 507 and nothing of it stays; when there is
// room again the same process writes on.
func TestAFullDiskIsSaidAndRecoversWithoutRestart(t *testing.T) {
	dir := smallDisk(t, "3m")
	d, err := db.Open(context.Background(), filepath.Join(dir, "d.db"), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	big := strings.Repeat("x", 200_000)
	var refused error
	n := 0
	for ; n < 100 && refused == nil; n++ {
		refused = d.InTx(context.Background(), func(tx *db.Tx) error { return put(tx, fmt.Sprint(n), big) })
	}
	if fault.KindOf(refused) != fault.Full {
		t.Fatalf("a full disk was answered with %v after %d rows", refused, n)
	}
	if got := len(names(t, d)); got != n-1 {
		t.Errorf("%d rows acknowledged, %d there", n-1, got)
	}
	if err := grow(dir, "64m"); err != nil {
		t.Fatal(err)
	}
	if err := d.InTx(context.Background(), func(tx *db.Tx) error { return put(tx, "after", big) }); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if err := d.Check(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestABackupIsConsistentAndOverwritesNothing(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	d := dbtest.Open(t, db.SQLite, db.Options{})
	stop, begun := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			if i == 10 {
				close(begun)
			}
			select {
			case <-stop:
				return
			default:
			}
			// Two rows a change: a backup holds both or neither.
			if err := d.InTx(ctx, func(tx *db.Tx) error {
				return errors.Join(put(tx, fmt.Sprint("left", i), ""), put(tx, fmt.Sprint("right", i), ""))
			}); err != nil {
				t.Error(err)
			}
		}
	})
	<-begun
	file := filepath.Join(dir, "b.db")
	if err := d.Backup(ctx, file); err != nil {
		t.Fatal(err)
	}
	close(stop)
	wg.Wait()
	if err := d.Backup(ctx, file); err == nil {
		t.Error("a backup overwrote a file")
	}
	restored := filepath.Join(dir, "r.db")
	if err := db.Restore(ctx, file, restored); err != nil {
		t.Fatal(err)
	}
	if err := db.Restore(ctx, file, restored); err == nil {
		t.Error("a restore overwrote a database")
	}
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, []byte("this is not a database, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Restore(ctx, junk, filepath.Join(dir, "never.db")); err == nil {
		t.Error("junk was restored")
	}
	r, err := db.Open(ctx, restored, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rows := names(t, r)
	if len(rows) == 0 || len(rows)%2 != 0 {
		t.Errorf("the backup holds %d rows: half a change", len(rows))
	}
	if a, b := d.Names().Name("ord", 7), r.Names().Name("ord", 7); a != b {
		t.Errorf("the restored database forgot its names: %s, %s", a, b)
	}
}

func TestALeaseHasOneHolderAndAFence(t *testing.T) {
	clock := dbtest.NewClock(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		var wg sync.WaitGroup
		var won atomic.Int32
		for i := range 20 {
			wg.Go(func() {
				switch _, err := d.Acquire(ctx, "night", fmt.Sprint("p", i), time.Minute); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, db.ErrLeased):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d holders at once", won.Load())
		}
		clock.Advance(2 * time.Minute)
		old, err := d.Acquire(ctx, "night", "first", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := d.Acquire(ctx, "night", "first", time.Minute); err != nil || again.Fence != old.Fence {
			t.Errorf("renewing gave fence %d after %d, %v", again.Fence, old.Fence, err)
		}
		clock.Advance(2 * time.Minute)
		next, err := d.Acquire(ctx, "night", "second", time.Minute)
		if err != nil || next.Fence <= old.Fence {
			t.Fatalf("the next holder has fence %d after %d, %v", next.Fence, old.Fence, err)
		}
		if err := d.InTx(ctx, old.Hold); fault.Code(err) != "lease-lost" {
			t.Errorf("the old holder may still write: %v", err)
		}
		if err := d.InTx(ctx, next.Hold); err != nil {
			t.Error(err)
		}
	})
}

func TestTwoProcessesMayOpenAnEmptyDatabaseAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.db")
	var wg sync.WaitGroup
	secrets := make([]string, 4)
	for i := range secrets {
		wg.Go(func() {
			d, err := db.Open(context.Background(), path, db.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			secrets[i] = d.Names().Name("ord", 1)
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range secrets {
		if s != secrets[0] {
			t.Errorf("two secrets for one database: %v", secrets)
		}
	}
}

func TestAPasswordIsNotShown(t *testing.T) {
	for url, want := range map[string]string{
		"data/doorstep.db":                              "data/doorstep.db",
		"postgres://ann:secret@host/db":                 "postgres://ann@host/db",
		"postgres://ann:p@ss@host/db":                   "postgres://ann@host/db",
		"postgres:///db?host=/tmp&password=secret":      "postgres:///db?host=%2Ftmp",
		"postgresql://h/db?sslpassword=secret&user=ann": "postgresql://h/db?user=ann",
		"postgres://%zz":                                "postgres://(unreadable)",
	} {
		if got := db.Redact(url); got != want {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
	}
}

// On PostgreSQL a statement's error ends the transaction, whatever the function makes of it; so it
// does on SQLite.
func TestAStatementThatFailsCannotBeForgotten(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		err := d.InTx(context.Background(), func(tx *db.Tx) error {
			if err := put(tx, "a", "1"); err != nil {
				return err
			}
			_ = put(tx, "a", "2")
			return nil
		})
		if err == nil || len(names(t, d)) != 0 {
			t.Errorf("err %v, rows %v", err, names(t, d))
		}
	})
}
