package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPackedDemandIsImportedOnce(t *testing.T) {
	path := newPath(t, "doorstep.db")
	mustRun(t, "import", "stores", write(t, "s.csv", "external_id,lat,lng\nK1,-1.2864,36.8172\n"), "--time-zone", "Africa/Nairobi", "--db", path)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, "date,external_id,sku,units,stockout_hours,discount\n")
	for i := range 3000 {
		fmt.Fprintf(z, "2026-%02d-%02d,K1,SKU-%d,%d,1.5,0.1\n", 1+i%6, 1+i%28, i, i%9)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := write(t, "d.csv.gz", packed.String())
	for _, c := range []struct {
		want string
		args []string
	}{{"dry run, nothing was changed: created 3000,", []string{"--dry-run"}}, {"created 3000, updated 0, unchanged 0, failed 0", nil},
		{"created 0, updated 0, unchanged 3000, failed 0", nil}, {`"unchanged": 3000`, []string{"--json"}}} {
		if out := mustRun(t, append([]string{"import", "demand", file, "--db", path}, c.args...)...); !strings.Contains(out, c.want) {
			t.Errorf("%q lacks %q", out, c.want)
		}
	}
	wantRefused(t, 1, []string{"unexpected EOF"}, "import", "demand", write(t, "half.csv.gz", packed.String()[:100]), "--db", newPath(t, "other.db"))
	wantRefused(t, 1, []string{"the column date is missing"}, "import", "demand", write(t, "not.csv", "colour\nred\n"), "--db", path)
	mustRun(t, "job", "run", "demand", "--db", path)
}

func TestACampaignIsShown(t *testing.T) {
	path := newPath(t, "doorstep.db")
	var stores strings.Builder
	stores.WriteString("external_id,lat,lng,shelf_units\n")
	for i := range 25 { // each in a cell of its own
		fmt.Fprintf(&stores, "K%d,%.3f,36.8172,500\n", i, -1.2-0.04*float64(i))
	}
	mustRun(t, "import", "stores", write(t, "s.csv", stores.String()), "--time-zone", "Africa/Nairobi", "--db", path)
	starts := time.Now().Add(10 * 24 * time.Hour).UTC()
	file := write(t, "c.json", fmt.Sprintf(`{"name":"Fair","starts_at":%q,"ends_at":%q,"skus":[{"sku":"TEA","expected_units":250},{"sku":"SALT","expected_units":50}]}`,
		starts.Format(time.RFC3339), starts.Add(24*time.Hour).Format(time.RFC3339)))
	var c struct{ ID string }
	if err := json.Unmarshal([]byte(mustRun(t, "campaign", "create", file, "--json", "--db", path)), &c); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "campaign", "plan", c.ID, "--db", path)
	out := mustRun(t, "campaign", "show", c.ID, "--db", path)
	for _, want := range []string{"SKU   ASKED  COMMITTED  REALLOCATED  UNALLOCATED  STOCKED  CONSUMED  LEFTOVER  FILL RATE", "TEA   250    0", "SALT  50 ",
		"all   300", "0.0 %", "CELL ", "and 5 cells more, which lack less"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s\nlacks %q", out, want)
		}
	}
	type units struct {
		SKU         string `json:"sku"`
		Cell        string `json:"h3_cell"`
		Asked       int
		Unallocated int
		FillRate    *float64 `json:"expected_fill_rate"`
	}
	var shown struct {
		Campaign struct{ ID string }
		Progress units
		BySKU    []units `json:"by_sku"`
		Cells    int
		ByCell   []units `json:"by_cell"`
	}
	if err := json.Unmarshal([]byte(mustRun(t, "campaign", "show", c.ID, "--json", "--db", path)), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Campaign.ID != c.ID || shown.Progress.Asked != 300 || shown.Progress.Unallocated != 300 || len(shown.BySKU) != 2 || shown.Cells != 25 ||
		len(shown.ByCell) != 20 || shown.ByCell[0].Cell == "" || shown.ByCell[0].FillRate == nil {
		t.Errorf("%+v", shown)
	}
}
