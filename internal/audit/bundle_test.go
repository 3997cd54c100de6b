package audit_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"doorstep/internal/audit"
	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

func export(t testing.TB, d *db.DB, key int64) []byte {
	t.Helper()
	var b bytes.Buffer
	found, err := audit.Export(t.Context(), d, key, &b)
	must(t, err)
	if len(found) > 0 {
		t.Errorf("nothing was changed: %v", found)
	}
	return b.Bytes()
}

func check(t testing.TB, zipped []byte, key string) (audit.Bundle, []audit.Finding) {
	t.Helper()
	b, found, err := audit.VerifyBundle(bytes.NewReader(zipped), int64(len(zipped)), key)
	must(t, err)
	if b.Findings != int64(len(found)) {
		t.Errorf("%d findings are counted: %v", b.Findings, found)
	}
	return b, found
}

// aBundle is one of an order that needed two attempts and ended in a dispute.
func aBundle(t testing.TB, e db.Engine) (w *town, key int64, zipped []byte) {
	clock := dbtest.NewClock(noon)
	w = newTown(t, dbtest.Open(t, e, db.Options{Clock: clock.Now}), clock)
	key = w.live(1)
	return w, key, export(t, w.db, key)
}

func TestABundleIsCheckedWithoutTheDatabase(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(string(e), func(t *testing.T) {
			w, key, zipped := aBundle(t, e)
			public, err := audit.PublicKey(t.Context(), w.db)
			must(t, err)
			b, found := check(t, zipped, public)
			if len(found) > 0 || b.OrderID != w.db.Names().Name(ident.Order, key) || b.PublicKey != public || b.Events < 10 || b.Photos != 1 {
				t.Errorf("%+v: %v", b, found)
			}
			text := string(unzip(t, zipped)["order.json"])
			for _, word := range []string{`"Amina"`, `"damaged"`, `"the box is open"`, `"order.delivered"`, `"2026-03-02T09:`, `"photo"`} {
				if !strings.Contains(text, word) {
					t.Errorf("order.json does not say %s:\n%s", word, text)
				}
			}
			other, err := audit.PublicKey(t.Context(), dbtest.Open(t, db.SQLite, db.Options{}))
			must(t, err)
			if _, found := check(t, zipped, other); len(found) != 1 || found[0].Row != "manifest.json" {
				t.Errorf("another installation's key: %v", found)
			}
			if _, err := audit.Export(t.Context(), w.db, 77, io.Discard); fault.KindOf(err) != fault.NotFound {
				t.Errorf("no such order: %v", err)
			}
		})
	}
}

// What was erased is in no bundle of later date, and the bundle is whole.
func TestABundleOfAnErasedOrderNamesNobody(t *testing.T) {
	clock := dbtest.NewClock(noon)
	w := newTown(t, dbtest.Open(t, db.SQLite, db.Options{Clock: clock.Now}), clock)
	key := w.live(4)
	before := export(t, w.db, key)
	_, err := w.privacy.Erase(t.Context(), key)
	must(t, err)
	after := export(t, w.db, key)
	if _, found := check(t, after, ""); len(found) > 0 {
		t.Error(found)
	}
	for _, word := range []string{"Amina", "+254712345678", "blue gate", "beside the plant", "thank you, Juma", "is it far?", "a picture of parcel"} {
		in := func(zipped []byte) bool {
			for _, data := range unzip(t, zipped) {
				if bytes.Contains(data, []byte(word)) {
					return true
				}
			}
			return false
		}
		if !in(before) || in(after) {
			t.Errorf("%q: in the bundle before %v, after %v", word, in(before), in(after))
		}
	}
}

func unzip(t testing.TB, zipped []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	must(t, err)
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		if files[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// rezip packs files again, as somebody would who knows what a zip file is.
func rezip(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f, err := z.Create(name)
		must(t, err)
		_, err = f.Write(files[name])
		must(t, err)
	}
	must(t, z.Close())
	return b.Bytes()
}

// One byte of one file is changed, and the file packed as if nothing was: the file is named.
func TestOneChangedByteOfABundleIsFound(t *testing.T) {
	_, _, zipped := aBundle(t, db.SQLite)
	if _, found := check(t, rezip(t, unzip(t, zipped)), ""); len(found) > 0 {
		t.Fatalf("nothing was changed: %v", found)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range 150 {
		files := unzip(t, zipped)
		names := []string{"order.json", "rows.json", "events.json", "manifest.json", "manifest.sig"}
		for name := range files {
			if strings.HasPrefix(name, "photos/") {
				names = append(names, name)
			}
		}
		name := names[i%len(names)]
		data := files[name]
		at := rng.IntN(len(data))
		data[at] ^= byte(1 + rng.IntN(255))
		_, found := check(t, rezip(t, files), "")
		if !slices.ContainsFunc(found, func(f audit.Finding) bool { return f.Row == name || strings.HasPrefix(name, "manifest") }) {
			t.Errorf("byte %d of %s: %v", at, name, found)
		}
	}
}

// A byte of the zip file itself: either something is found, or no content was changed (the time a file was packed
// at is in no proof).
func TestADamagedZipFileProvesNothingFalse(t *testing.T) {
	_, _, zipped := aBundle(t, db.SQLite)
	files := unzip(t, zipped)
	rng := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		broken := slices.Clone(zipped)
		at := rng.IntN(len(broken))
		broken[at] ^= byte(1 + rng.IntN(255))
		_, found, err := audit.VerifyBundle(bytes.NewReader(broken), int64(len(broken)), "")
		if err != nil || len(found) > 0 {
			continue
		}
		for name, data := range unzip(t, broken) {
			if !bytes.Equal(data, files[name]) {
				t.Errorf("byte %d of %d: %s is another, and nothing was found", at, len(broken), name)
			}
		}
	}
}

func TestWhatIsNoBundleIsRefused(t *testing.T) {
	_, _, zipped := aBundle(t, db.SQLite)
	with := func(change func(files map[string][]byte)) []byte {
		files := unzip(t, zipped)
		change(files)
		return rezip(t, files)
	}
	for story, c := range map[string]struct {
		zipped []byte
		row    string
	}{
		"a file that nobody signed":  {with(func(f map[string][]byte) { f["photos/"+strings.Repeat("0", 64)+".jpg"] = []byte("x") }), "photos/" + strings.Repeat("0", 64) + ".jpg"},
		"a path that leads outside":  {with(func(f map[string][]byte) { f["../../etc/passwd"] = []byte("x") }), `"../../etc/passwd"`},
		"a file that is missing":     {with(func(f map[string][]byte) { delete(f, "events.json") }), "events.json"},
		"no manifest":                {with(func(f map[string][]byte) { delete(f, "manifest.json") }), "manifest.json"},
		"no signature":               {with(func(f map[string][]byte) { delete(f, "manifest.sig") }), "manifest.sig"},
		"a bomb":                     {with(func(f map[string][]byte) { f["order.json"] = make([]byte, 40<<20) }), "order.json"},
		"a manifest without content": {with(func(f map[string][]byte) { f["manifest.json"] = []byte(`{"format":"doorstep-proof-1"}`) }), "manifest.sig"},
	} {
		if _, found := check(t, c.zipped, ""); !slices.ContainsFunc(found, func(f audit.Finding) bool { return f.Row == c.row }) {
			t.Errorf("%s: %v", story, found)
		}
	}
	for _, junk := range []string{"", "Dear customer", string(zipped[:len(zipped)/2])} {
		if _, _, err := audit.VerifyBundle(strings.NewReader(junk), int64(len(junk)), ""); err == nil {
			t.Errorf("%.20q is no bundle", junk)
		}
	}
}

// Whatever stands in the files, signed or not, reading them panics nowhere.
func FuzzABundlesFiles(f *testing.F) {
	_, _, zipped := aBundle(f, db.SQLite)
	files := unzip(f, zipped)
	f.Add(files["rows.json"], files["events.json"], files["manifest.json"])
	f.Add([]byte(`[{"table":"orders","columns":["key"],"rows":[{"values":["i1"]}]}]`), []byte(`[]`), files["manifest.json"])
	f.Fuzz(func(t *testing.T, rows, events, manifest []byte) {
		files := map[string][]byte{"rows.json": rows, "events.json": events, "manifest.json": manifest}
		zipped := rezip(t, files)
		if _, found, err := audit.VerifyBundle(bytes.NewReader(zipped), int64(len(zipped)), ""); err == nil && len(found) == 0 {
			t.Error("nobody signed this")
		}
	})
}

// An anchor shows a history that was written anew with hashes that fit.
func TestAnAnchorHoldsTheWholeLog(t *testing.T) {
	clock := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: clock.Now}, func(t *testing.T, d *db.DB) {
		w := newTown(t, d, clock)
		w.live(0)
		at, err := audit.MakeAnchor(t.Context(), d)
		must(t, err)
		back, err := audit.ParseAnchor(at.String())
		if err != nil || back != at {
			t.Fatalf("%v %v, want %v", back, err, at)
		}
		w.live(1)
		if found, _ := verify(t, d, audit.Options{Anchor: &at}); len(found) > 0 {
			t.Errorf("the log only grew: %v", found)
		}
		forged := at
		forged.Root[0]++
		if found, _ := verify(t, d, audit.Options{Anchor: &forged}); len(found) != 1 {
			t.Errorf("another history: %v", found)
		}
		later := at
		later.Seq = at.Seq + 1<<40
		if found, _ := verify(t, d, audit.Options{Anchor: &later}); len(found) != 1 {
			t.Errorf("a log that was cut: %v", found)
		}
		for _, line := range []string{"", "doorstep-anchor-1 x", fmt.Sprint(at, "0"), strings.Replace(at.String(), "-1 ", "-2 ", 1)} {
			if _, err := audit.ParseAnchor(line); err == nil {
				t.Errorf("%q is no anchor", line)
			}
		}
	})
}
