package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/internal/db"
)

// spoil changes a database behind the program's back.
func spoil(t *testing.T, path, statement string) {
	t.Helper()
	d, err := db.Open(t.Context(), path, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.InTx(t.Context(), func(tx *db.Tx) error { _, err := tx.Exec(statement); return err }); err != nil {
		t.Fatal(err)
	}
}

func TestStoresAreImportedIntoARunningNetwork(t *testing.T) {
	path := newPath(t, "doorstep.db")
	n := inProcess(t, "--db", path)
	defer n.stop()
	key := strings.TrimSpace(mustRun(t, "key", "create", "--role", "dispatcher", "--db", path))
	csv := write(t, "stores.csv", "external_id,name,lat,lng,aisle\nK1,Kiosk,-1.2864,36.8172,3\nK2,\"Duka \"\"Mbili\"\"\",-1.29,36.82,4\n")
	imports := func(want string, args ...string) {
		t.Helper()
		args = append([]string{"import", "stores", csv, "--time-zone", "Africa/Nairobi", "--country", "KE", "--radius", "900", "--db", path}, args...)
		if out := mustRun(t, args...); !strings.Contains(out, want) {
			t.Errorf("%q lacks %q", out, want)
		}
	}
	imports("dry run, nothing was changed: created 2, updated 0, unchanged 0, failed 0\nunknown columns, not used: aisle", "--dry-run")
	imports("created 2, updated 0, unchanged 0, failed 0")
	imports("created 0, updated 0, unchanged 2, failed 0")
	imports(`"unchanged": 2`, "--json")

	var s struct {
		Radius  int `json:"service_radius_m"`
		Address struct{ Country string }
	}
	if code := call(t, "GET", n.url+"/v1/stores/ext:K2", key, "", &s); code != 200 || s.Radius != 900 || s.Address.Country != "KE" {
		t.Errorf("%d %+v", code, s)
	}
	var q struct{ Serviceable bool }
	merchant := strings.TrimSpace(mustRun(t, "key", "create", "--role", "merchant", "--merchant", "Vitabu", "--db", path))
	eventually(t, "the running server offers the imported stores", func() bool {
		call(t, "POST", n.url+"/v1/quotes", merchant, `{"parcels":[{"weight_g":1}],"undeliverable_action":"return","dropoff":{"location":{"lat":-1.2864,"lng":36.8172}}}`, &q)
		return q.Serviceable
	})

	bad := write(t, "bad.csv", "external_id,lat,lng\nK3,-1.28,36.81\nK4,191,36.81\n")
	out, errs, err := command(t, "import", "stores", bad, "--time-zone", "Africa/Nairobi", "--db", path)
	if exitCode(err) != 1 || !strings.Contains(out, "created 1, updated 0, unchanged 0, failed 1") || !strings.Contains(errs, "row 3: lat: ") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	lines := write(t, "stores", `{"external_id":"K5","location":{"lat":-1.3,"lng":36.8},"time_zone":"Africa/Nairobi"}`+"\n")
	if out := mustRun(t, "import", "stores", lines, "--db", path); !strings.Contains(out, "created 1,") {
		t.Errorf("a file without an ending is recognised by its first character: %s", out)
	}
}

func TestPastDemandFeedsACampaign(t *testing.T) {
	path := newPath(t, "doorstep.db")
	mustRun(t, "import", "stores", write(t, "s.csv", "external_id,lat,lng,shelf_units\nK1,-1.2864,36.8172,500\n"), "--time-zone", "Africa/Nairobi", "--db", path)
	day := time.Now().UTC().AddDate(0, 0, -7).Format(time.DateOnly)
	demand := write(t, "d.csv", "date,external_id,sku,units\n"+day+",K1,TEA,70\n"+day+",K9,TEA,1\n")
	out, errs, err := command(t, "import", "demand", demand, "--db", path)
	if exitCode(err) != 1 || !strings.Contains(out, "created 1,") || !strings.Contains(errs, "row 3") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	starts := time.Now().Add(10 * 24 * time.Hour).UTC()
	file := write(t, "c.json", fmt.Sprintf(`{"name":"Fair","starts_at":%q,"ends_at":%q,"skus":[{"sku":"TEA","unit_margin":120,"unit_holding_cost":3,"case_pack":6,"expected_units":60}]}`,
		starts.Format(time.RFC3339), starts.Add(24*time.Hour).Format(time.RFC3339)))
	var c struct{ ID, Status string }
	if err := json.Unmarshal([]byte(mustRun(t, "campaign", "create", file, "--json", "--db", path)), &c); err != nil || c.Status != "draft" {
		t.Fatalf("%+v %v", c, err)
	}
	wantRefused(t, 1, []string{"plan"}, "campaign", "approve", c.ID, "--db", path)
	for _, step := range []struct{ command, want string }{
		{"plan", "1 tasks ask for 60 units"}, {"approve", "approved"}, {"show", "60"}, {"cancel", "cancelled"}} {
		if out := mustRun(t, "campaign", step.command, c.ID, "--db", path); !strings.Contains(out, step.want) {
			t.Errorf("%s: %q lacks %q", step.command, out, step.want)
		}
	}
	if out := mustRun(t, "campaign", "list", "--db", path); !strings.Contains(out, c.ID) || !strings.Contains(out, "Fair") {
		t.Error(out)
	}
	wantRefused(t, 1, []string{"no campaign cmp_x"}, "campaign", "show", "cmp_x", "--db", path)
	wantRefused(t, 1, []string{"not a campaign", "colour"}, "campaign", "create", write(t, "x.json", `{"colour":"red"}`), "--db", path)
	wantRefused(t, 1, []string{"name"}, "campaign", "create", write(t, "x.json", `{}`), "--db", path)
}

func TestABackupTakenWhileOrdersComeIsWhole(t *testing.T) {
	path, copied, restored := newPath(t, "doorstep.db"), newPath(t, "backup.db"), newPath(t, "restored.db")
	n := inProcess(t, "--db", path)
	admin := strings.TrimSpace(mustRun(t, "key", "create", "--role", "admin", "--db", path))
	merchant := strings.TrimSpace(mustRun(t, "key", "create", "--role", "merchant", "--merchant", "Vitabu", "--db", path))
	if code := call(t, "POST", n.url+"/v1/stores", admin, storeBody("K1"), nil); code != 201 {
		t.Fatal(code)
	}
	ctx, stop := context.WithCancel(t.Context())
	var acknowledged atomic.Int64
	var senders sync.WaitGroup
	for i := range 4 {
		senders.Go(func() {
			for j := 0; ctx.Err() == nil; j++ {
				if post(n.url+"/v1/orders", merchant, orderBody(fmt.Sprintf("A-%d-%d", i, j))) == 201 {
					acknowledged.Add(1)
				}
			}
		})
	}
	eventually(t, "orders flow", func() bool { return acknowledged.Load() > 50 })
	before := acknowledged.Load()
	mustRun(t, "backup", copied, "--db", path)
	stop()
	senders.Wait()
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, 1, []string{"overwrites nothing"}, "backup", copied, "--db", path)
	wantRefused(t, 1, []string{"does not exist: mkdir -p"}, "backup", newPath(t, "missing")+"/b.db", "--db", path)
	mustRun(t, "restore", copied, "--db", restored)
	wantRefused(t, 1, []string{"overwrites nothing"}, "restore", copied, "--db", restored)
	wantRefused(t, 1, []string{"pg_restore"}, "restore", copied, "--db", "postgres://h/x")
	mustRun(t, "doctor", "--db", restored, "--listen", "127.0.0.1:0")

	again := inProcess(t, "--db", restored)
	defer again.stop()
	kept := int64(0)
	for cursor := ""; ; {
		var page struct {
			Data []struct{ Status string }
			Next *string `json:"next_cursor"`
		}
		if code := call(t, "GET", again.url+"/v1/orders?limit=200&cursor="+cursor, admin, "", &page); code != 200 {
			t.Fatal(code)
		}
		for _, o := range page.Data {
			if kept++; o.Status != "confirmed" {
				t.Errorf("an order is %s", o.Status)
			}
		}
		if page.Next == nil || *page.Next == "" {
			break
		}
		cursor = *page.Next
	}
	if kept < before || kept > acknowledged.Load() {
		t.Errorf("%d orders in the backup; %d were acknowledged before it and %d in all", kept, before, acknowledged.Load())
	}
}

func post(url, key, body string) int {
	req, _ := http.NewRequest("POST", url, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

func TestTheDoctorFindsWhatIsWrong(t *testing.T) {
	path := newPath(t, "doorstep.db")
	doctor := func(args ...string) (string, error) {
		out, _, err := command(t, append([]string{"doctor", "--listen", "127.0.0.1:0", "--db", path}, args...)...)
		return out, err
	}
	if out, err := doctor(); err != nil || !strings.Contains(out, "warn  database") {
		t.Errorf("no database yet is no fault: %v\n%s", err, out)
	}
	mustRun(t, "import", "stores", write(t, "s.csv", "external_id,lat,lng\nK1,-1.2864,36.8172\n"), "--time-zone", "Africa/Nairobi", "--db", path)
	if out, err := doctor(); err != nil || strings.Contains(out, "fail") || !strings.Contains(out, "1 stores") {
		t.Errorf("%v\n%s", err, out)
	}
	spoil(t, path, `INSERT INTO event (seq, prev, sequence, type, subject, merchant, store, actor, occurred_at, recorded_at, data)
		SELECT seq + (seq - (SELECT min(seq) FROM event)) + 4611686018427387904 / 4, 0, 1, 'x', 1, 0, 0, 'x', 0, 0, '{}' FROM event ORDER BY seq LIMIT 1`)
	if out, err := doctor(); exitCode(err) != 1 || !strings.Contains(out, "fail  clock") {
		t.Errorf("an event from the future: %v\n%s", err, out)
	}
	if out, err := doctor("--db", write(t, "letter.db", strings.Repeat("Dear customer, ", 200))); exitCode(err) != 1 || !strings.Contains(out, "fail  database") {
		t.Errorf("a letter is no database: %v\n%s", err, out)
	}
	if out, err := doctor("--db", "missing/x.db"); exitCode(err) != 1 || !strings.Contains(out, "mkdir -p missing") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestVerdicts(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		got  verdict
		want verdict
	}{
		{"an empty log", clockFinding(now, time.UnixMilli(0)).verdict, healthy},
		{"an event of now", clockFinding(now, now).verdict, healthy},
		{"another process a little ahead", clockFinding(now, now.Add(time.Minute)).verdict, healthy},
		{"a clock that was put back", clockFinding(now, now.Add(2*time.Minute)).verdict, sick},
		{"a clock that lost its battery", clockFinding(time.UnixMilli(0), time.UnixMilli(0)).verdict, sick},
		{"a full disk", diskFinding("/", 99e6).verdict, sick},
		{"a disk that fills up", diskFinding("/", 1e9).verdict, watch},
		{"an empty disk", diskFinding("/", 50e9).verdict, healthy},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1 KB", 1_234_567: "1.23 MB", 5e15: "5e+03 TB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{"90d": now.AddDate(0, 0, 90), "12h": now.Add(12 * time.Hour),
		"2027-01-31": time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC), "2027-01-31T08:00:00+03:00": time.Date(2027, 1, 31, 5, 0, 0, 0, time.UTC)} {
		if got, err := parseExpiry(in, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v %v, want %v", in, got, err, want)
		}
	}
	if got, err := parseExpiry("", now); got != nil || err != nil {
		t.Errorf("nothing said is never: %v %v", got, err)
	}
}
