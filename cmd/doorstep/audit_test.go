package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// A merchant proves a delivery on a machine that has no database, and somebody who changes a byte is found.
func TestAnAuditNamesWhatWasChanged(t *testing.T) {
	path := newPath(t, "doorstep.db")
	mustRun(t, "import", "stores", write(t, "s.csv", "external_id,lat,lng\nK1,-1.2864,36.8172\n"), "--time-zone", "Africa/Nairobi", "--db", path)
	merchant := strings.TrimSpace(mustRun(t, "key", "create", "--role", "merchant", "--merchant", "Shop", "--db", path))
	n := inProcess(t, "--db", path)
	if code := post(n.url+"/v1/orders", merchant, orderBody("A-1")); code != 201 {
		t.Fatal(code)
	}
	if out := mustRun(t, "audit", "verify", "--db", path); !strings.HasPrefix(out, "all is as it was written: 1 orders, ") {
		t.Errorf("while the server runs: %s", out)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	bundle, never := newPath(t, "A-1.zip"), newPath(t, "A-2.zip")
	mustRun(t, "export", "order", "ext:A-1", "-o", bundle, "--db", path)
	wantRefused(t, 1, []string{"exists", "overwrites nothing"}, "export", "order", "ext:A-1", "-o", bundle, "--db", path)
	wantRefused(t, 1, []string{"mkdir -p"}, "export", "order", "ext:A-1", "-o", newPath(t, "missing")+"/x.zip", "--db", path)
	wantRefused(t, 1, []string{"order not found"}, "export", "order", "ext:A-2", "-o", never, "--db", path)
	wantRefused(t, 2, []string{"-o FILE"}, "export", "order", "ext:A-1", "--db", path)
	if zipped := mustRun(t, "export", "order", "ext:A-1", "-o", "-", "--db", path); !strings.HasPrefix(zipped, "PK") {
		t.Errorf("stdout has %.10q", zipped)
	}
	key := strings.TrimSpace(mustRun(t, "audit", "key", "--db", path))
	for _, args := range [][]string{nil, {"--key", key}} {
		if out := mustRun(t, append([]string{"audit", "verify", "--bundle", bundle}, args...)...); !strings.Contains(out, "signed by "+key) {
			t.Errorf("%v: %s", args, out)
		}
	}
	anchor := strings.TrimSpace(mustRun(t, "audit", "anchor", "--db", path))
	mustRun(t, "audit", "verify", "--anchor", anchor, "--db", path)
	mustRun(t, "audit", "verify", "ext:A-1", "--db", path)

	spoil(t, path, `UPDATE orders SET lat = lat + 0.001`)
	out, _, err := command(t, "audit", "verify", "ext:A-1", "--db", path)
	if exitCode(err) != 1 || !strings.Contains(out, "orders ord_") || !strings.Contains(err.Error(), "1 findings") {
		t.Errorf("exit %d, %v: %s", exitCode(err), err, out)
	}
	out, _, err = command(t, "audit", "verify", "--json", "--db", path)
	var finding struct{ Table, Row, Order, What string }
	var sum struct{ Orders, Findings int }
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if exitCode(err) != 1 || len(lines) != 2 || json.Unmarshal([]byte(lines[0]), &finding) != nil || json.Unmarshal([]byte(lines[1]), &sum) != nil ||
		finding.Table != "orders" || finding.Row != finding.Order || sum.Orders != 1 || sum.Findings != 1 {
		t.Errorf("exit %d: %s", exitCode(err), out)
	}
	again := newPath(t, "changed.zip")
	if _, warned, err := command(t, "export", "order", "ext:A-1", "-o", again, "--db", path); err != nil || !strings.Contains(warned, "warning: orders") {
		t.Errorf("%v: %s", err, warned)
	}
	if out, _, err := command(t, "audit", "verify", "--bundle", again); exitCode(err) != 1 || !strings.Contains(out, "it is not as it was written") {
		t.Errorf("exit %d: %s", exitCode(err), out)
	}

	for _, args := range [][]string{{"ord_x", "--db", path}, {"ext:A-2", "--db", path}, {"--db", newPath(t, "none.db")}, {"--bundle", path}, {"--bundle", newPath(t, "none.zip")},
		{"a", "b", "--db", path}, {"--anchor", "x", "--db", path}, {"--key", key, "--db", path}, {"--bundle", bundle, "--key", "x"}} {
		if _, _, err := command(t, append([]string{"audit", "verify"}, args...)...); exitCode(err) != 2 {
			t.Errorf("%v could not be checked: exit %d, %v", args, exitCode(err), err)
		}
	}
	if _, err := os.Stat(never); err == nil {
		t.Error("an export that failed left a file")
	}
}
