package db

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The log is copied into the database beside the writer and starts over, again and again, while rows go
// on being written; nothing of them is lost by it.
func TestTheLogIsCopiedBesideTheWriterAndStartsOver(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "doorstep.db")
	d, err := Open(ctx, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.writer.log.above = 100
	const rounds, most = 3000, 2000 // pages: 3,000 rounds write some 9,000
	for i := range rounds {
		err := d.InTx(ctx, func(tx *Tx) error {
			_, err := tx.Exec(`INSERT INTO setting (name, value) VALUES (?, ?)`, fmt.Sprint("n", i), strings.Repeat("x", 3000))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			time.Sleep(time.Millisecond) // the checkpointer's turn on a machine with one core
		}
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if pages := info.Size() / 4096; pages > most {
		t.Errorf("the log has grown to %d pages: it did not start over", pages)
	}
	if err := d.Check(ctx); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = Open(ctx, path, Options{}); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var n int
	if err := d.Read(ctx).Get(&n, `SELECT count(*) FROM setting WHERE name LIKE 'n%'`); err != nil || n != rounds {
		t.Errorf("%d of %d rows are there (%v)", n, rounds, err)
	}
}
