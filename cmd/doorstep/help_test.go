package main

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// What the page for engineers tells them to type is typed here, as it stands on the page.
func TestTheFirstDeliveryInTenMinutesWorksAsWritten(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed: the commands of the help pages were not tried")
	}
	db := newPath(t, "doorstep.db")
	csv := write(t, "s.csv", "external_id,name,lat,lng\nK1,Kiosk,-1.2921,36.7856\n")
	mustRun(t, "import", "stores", csv, "--time-zone", "Africa/Nairobi", "--db", db)
	p := serveProcess(t, "--db", db)
	key := strings.TrimSpace(mustRun(t, "key", "create", "--role", "merchant", "--merchant", "Your shop", "--db", db))
	res, err := http.Get(p.url + "/docs/integrators?lang=en")
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answers []map[string]any
	for _, m := range regexp.MustCompile(`(?s)<pre[^>]*><code>(curl.*?)</code></pre>`).FindAllSubmatch(page, -1) {
		cmd := exec.Command("sh", "-c", html.UnescapeString(string(m[1])))
		cmd.Env = append(os.Environ(), "KEY="+key)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", m[1], err)
		}
		for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
			var a map[string]any
			if err := d.Decode(&a); err != nil {
				t.Fatalf("%s answered %s: %v", m[1], out, err)
			}
			answers = append(answers, a)
		}
	}
	if len(answers) != 5 {
		t.Fatalf("%d answers, want those of a quote, an order, the order again, its events and its drop-offs: %v", len(answers), answers)
	}
	if answers[0]["serviceable"] != true || answers[1]["status"] != "confirmed" || answers[2]["id"] != answers[1]["id"] {
		t.Errorf("%v", answers)
	}
	for _, a := range answers {
		if a["code"] != nil && a["request_id"] != nil {
			t.Errorf("refused: %v", a)
		}
	}
}
