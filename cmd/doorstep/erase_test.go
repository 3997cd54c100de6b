package main

import (
	"os"
	"strings"
	"testing"
)

// Somebody asks to be forgotten while the server runs. What is written later, and what the disk holds,
// knows nothing of her; the record of what happened is still whole.
func TestARecipientIsForgotten(t *testing.T) {
	db := newPath(t, "doorstep.db")
	p := serveProcess(t, "--db", db)
	admin := strings.TrimSpace(mustRun(t, "key", "create", "--role", "admin", "--db", db))
	call(t, "POST", p.url+"/v1/stores", admin, storeBody("K1"), nil)
	const her = `{"external_id":"%","recipient":{"name":"Achieng Quillfeather","phone":"+254799111222"},"undeliverable_action":"return",
		"dropoff":{"location":{"lat":-1.2922,"lng":36.7857},"address":{"line1":"Kestrel Lane 77b"},"instructions":"the dog is called Marmaduke"}}`
	for _, id := range []string{"A-1", "A-2"} {
		if code := call(t, "POST", p.url+"/v1/orders", admin, strings.Replace(her, "%", id, 1), nil); code != 201 {
			t.Fatal(code)
		}
	}
	if code := call(t, "POST", p.url+"/v1/orders/ext:A-1/cancel", admin, `{"reason":"cancelled_by_customer"}`, nil); code != 200 {
		t.Fatal(code)
	}
	words := []string{"Quillfeather", "+254799111222", "Kestrel Lane", "Marmaduke"}

	wantRefused(t, 2, []string{"cannot be undone", "--yes"}, "erase", "ext:A-1", "--db", db)
	wantRefused(t, 2, []string{"--phone"}, "erase", "--yes", "--db", db)
	wantRefused(t, 2, []string{"country code"}, "erase", "--phone", "0799111222", "--dry-run", "--db", db)
	wantRefused(t, 1, []string{"A-9"}, "erase", "ext:A-9", "--yes", "--db", db)
	wantRefused(t, 1, []string{"order is "}, "erase", "ext:A-2", "--yes", "--db", db)
	out, errs, err := command(t, "erase", "--phone", "+254 799-111222", "--dry-run", "--db", db)
	if err != nil || strings.Count(out, "ord_") != 1 || !strings.Contains(errs, "1 orders are still open") {
		t.Errorf("%q %q %v", out, errs, err)
	}
	// The other order still holds her words: erasing the first proves nothing, and says so.
	wantRefused(t, 1, []string{"still stands", "--dry-run"}, "erase", "ext:A-1", "--yes", "--db", db)
	if code := call(t, "POST", p.url+"/v1/orders/ext:A-2/cancel", admin, `{"reason":"cancelled_by_customer"}`, nil); code != 200 {
		t.Fatal(code)
	}
	if _, errs, err := command(t, "erase", "--phone", words[1], "--yes", "--db", db); err != nil || !strings.Contains(errs, "none of 4 texts") {
		t.Fatalf("%s %v", errs, err)
	}
	if _, errs, err := command(t, "erase", "--phone", words[1], "--yes", "--db", db); err != nil || !strings.Contains(errs, "no such order") {
		t.Errorf("again: %s %v", errs, err)
	}

	mustRun(t, "audit", "verify", "--db", db)
	bundle, backup := newPath(t, "A-1.zip"), newPath(t, "later.db")
	mustRun(t, "export", "order", "ext:A-1", "-o", bundle, "--db", db)
	mustRun(t, "backup", backup, "--db", db)
	for _, file := range []string{db, db + "-wal", bundle, backup} {
		raw, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
		for _, w := range words {
			if strings.Contains(string(raw), w) {
				t.Errorf("%s still holds %q", file, w)
			}
		}
	}
	for _, w := range words {
		if strings.Contains(p.errs.String()+p.out.String(), w) {
			t.Errorf("the server's log holds %q", w)
		}
	}
}
