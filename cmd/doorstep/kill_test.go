package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"

	"golang.org/x/sys/unix"
)

// process is the real binary, serving on a port of its own.
type process struct {
	cmd *exec.Cmd
	url string
}

// launch starts the binary on a database and waits for its line.
func launch(t *testing.T, url string, env ...string) *process {
	t.Helper()
	cmd := exec.Command(binary(t), "serve", "--db", url, "--listen", "127.0.0.1:0", "--log-level", "error")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd}
	t.Cleanup(p.kill)
	line := make([]byte, 256)
	n, err := out.Read(line)
	if err != nil {
		t.Fatalf("the server said nothing: %v", err)
	}
	_, rest, ok := strings.Cut(string(line[:n]), "http://")
	if !ok {
		t.Fatalf("no address in %q", line[:n])
	}
	p.url = "http://" + strings.Fields(rest)[0]
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// call posts JSON and gives the status and the answer; status 0 when there was no answer.
func (p *process) call(client *http.Client, key, path, idem string, body any) (int, map[string]any) {
	text, _ := json.Marshal(body)
	req, err := http.NewRequest("POST", p.url+path, strings.NewReader(string(text)))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	if idem != "" {
		req.Header.Set("Idempotency-Key", idem)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		return 0, nil // cut off in the middle: not an answer
	}
	return res.StatusCode, out
}

func adminKey(t *testing.T, url string) string {
	t.Helper()
	out, err := exec.Command(binary(t), "key", "create", "--role", "admin", "--db", url).Output()
	if err != nil {
		t.Fatalf("key create: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func shopBody(i int) map[string]any {
	return map[string]any{"external_id": fmt.Sprint("s", i), "name": fmt.Sprint("s", i),
		"location": map[string]any{"lat": -1.29 + float64(i)*.001, "lng": 36.8}, "service_radius_m": 5000,
		"capacity": map[string]any{"slot_minutes": 1440, "orders_per_slot": 100_000}}
}

func parcel(ext string, withMilk bool, lat float64) map[string]any {
	o := map[string]any{"external_id": ext, "recipient": map[string]any{"name": "x", "phone": "+254712345678"},
		"dropoff": map[string]any{"location": map[string]any{"lat": lat, "lng": 36.8}}, "undeliverable_action": "return"}
	if withMilk {
		o["items"] = []any{map[string]any{"sku": "milk", "quantity": 1}}
	}
	return o
}

// The server is killed in the middle of its work, again and again. Whatever it acknowledged is
// there, nothing is there twice, and the counters are what the orders say.
func TestKillNineLosesNothingAcknowledged(t *testing.T) {
	for engine, cycles := range map[db.Engine]int{db.SQLite: 30, db.Postgres: 5} {
		t.Run(string(engine), func(t *testing.T) { killCycles(t, dbtest.URL(t, engine), cycles) })
	}
}

func killCycles(t *testing.T, url string, cycles int) {
	key := adminKey(t, url)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	p := launch(t, url)
	for i := range 10 {
		if status, body := p.call(client, key, "/v1/stores", "", shopBody(i)); status != 201 {
			t.Fatalf("store: %d %v", status, body)
		}
		req, _ := http.NewRequest("PUT", fmt.Sprintf("%s/v1/stores/ext:s%d/stock", p.url, i), strings.NewReader(`{"items":[{"sku":"milk","on_hand":100000}]}`))
		req.Header.Set("Authorization", "Bearer "+key)
		if res, err := client.Do(req); err != nil || res.StatusCode != 200 {
			t.Fatalf("stock: %v %v", res, err)
		}
	}

	var mu sync.Mutex
	acknowledged := map[string]string{} // external id to id
	var unanswered []string
	next := 0
	take := func() string { // an order nobody knows the end of, or a new one
		mu.Lock()
		defer mu.Unlock()
		if n := len(unanswered); n > 0 && n%2 == 0 {
			ext := unanswered[n-1]
			unanswered = unanswered[:n-1]
			return ext
		}
		next++
		return fmt.Sprint("A-", next)
	}
	work := func(p *process, ext string) bool {
		n := 0
		fmt.Sscanf(ext, "A-%d", &n)
		status, body := p.call(client, key, "/v1/orders", ext, parcel(ext, n%2 == 0, -1.29+float64(n%10)*.001))
		mu.Lock()
		defer mu.Unlock()
		if status != 200 && status != 201 {
			if status != 0 && status != 503 {
				t.Errorf("order %s: %d %v", ext, status, body)
			}
			unanswered = append(unanswered, ext)
			return false
		}
		id, _ := body["id"].(string)
		if was, twice := acknowledged[ext]; twice && was != id {
			t.Errorf("order %s was acknowledged as %s and as %s", ext, was, id)
		}
		acknowledged[ext] = id
		return true
	}
	for cycle := range cycles {
		if cycle > 0 {
			p = launch(t, url)
		}
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for work(p, take()) {
				}
			})
		}
		time.Sleep(time.Duration(20+rand.IntN(120)) * time.Millisecond)
		p.kill()
		wg.Wait()
	}
	// The clients that never heard ask again, until all is known.
	p = launch(t, url)
	for len(unanswered) > 0 {
		ext := unanswered[0]
		unanswered = unanswered[1:]
		if !work(p, ext) {
			t.Fatalf("order %s has no answer from a healthy server", ext)
		}
	}
	p.kill()
	if len(acknowledged) < cycles*4 {
		t.Errorf("only %d orders in %d cycles: the server was killed before it worked", len(acknowledged), cycles)
	}
	t.Logf("%d cycles, %d orders acknowledged", cycles, len(acknowledged))
	takeStock(t, url, acknowledged)
}

// takeStock opens the database itself.
func takeStock(t *testing.T, url string, acknowledged map[string]string) {
	d, err := db.Open(context.Background(), url, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Check(context.Background()); err != nil {
		t.Errorf("integrity: %v", err)
	}
	var rows []struct {
		Key        int64
		ExternalID string `db:"external_id"`
		Status     string
	}
	q := d.Read(context.Background())
	if err := q.Select(&rows, `SELECT key, external_id, status FROM orders`); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.ExternalID] {
			t.Errorf("%s is there twice", r.ExternalID)
		}
		seen[r.ExternalID] = true
		if id := acknowledged[r.ExternalID]; id != d.Names().Name("ord", r.Key) {
			t.Errorf("%s is %s in the database and was acknowledged as %q", r.ExternalID, d.Names().Name("ord", r.Key), id)
		}
		if r.Status != "confirmed" {
			t.Errorf("%s is %s", r.ExternalID, r.Status)
		}
	}
	for ext := range acknowledged {
		if !seen[ext] {
			t.Errorf("%s was acknowledged and is gone", ext)
		}
	}
	for what, query := range map[string]string{
		"slots that are not the sum of their assignments": `SELECT count(*) FROM (SELECT u.store_key FROM slot_use u
			LEFT JOIN assignment a ON a.store_key = u.store_key AND a.slot = u.slot AND a.status IN ('offered', 'accepted', 'completed')
			GROUP BY u.store_key, u.slot, u.used HAVING count(a.key) <> u.used) x`,
		"assignments without a counted unit": `SELECT count(*) FROM assignment a WHERE a.status = 'accepted' AND NOT EXISTS
			(SELECT 1 FROM slot_use u WHERE u.store_key = a.store_key AND u.slot = a.slot AND u.used > 0)`,
		"stores whose reserved units are not their orders' items": `SELECT count(*) FROM stock s WHERE s.reserved <>
			(SELECT count(*) FROM orders o WHERE o.store_key = s.store_key AND o.details LIKE '%milk%')`,
		"orders whose story is cut":           `SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.seq = o.last_event AND e.sequence = o.event_count)`,
		"events of orders that are not there": `SELECT count(*) FROM event e WHERE e.type = 'order.created' AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.key = e.subject)`,
	} {
		var n int
		if err := q.Get(&n, query); err != nil || n != 0 {
			t.Errorf("%d %s (%v)", n, what, err)
		}
	}
}

// A full disk is 507, a failing one 503 with Retry-After; nothing is half done, reading goes on,
// and the same process writes again when the trouble is over.
func TestDiskTroubleIsSaidAndPasses(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("cannot mount a small disk to fill: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	url := filepath.Join(disk, "d.db")
	p := launch(t, url)
	key := adminKey(t, url)
	client := &http.Client{Timeout: 10 * time.Second}
	if status, body := p.call(client, key, "/v1/stores", "", shopBody(0)); status != 201 {
		t.Fatalf("store: %d %v", status, body)
	}
	made := 0
	post := func() (int, map[string]any) {
		o := parcel(fmt.Sprint("D-", made), false, -1.29)
		o["dropoff"].(map[string]any)["instructions"] = strings.Repeat("x", 500)
		status, body := p.call(client, key, "/v1/orders", "", o)
		if status == 201 {
			made++
		}
		return status, body
	}
	until := func(want int, code string) {
		t.Helper()
		for range 20_000 {
			status, body := post()
			if status == want {
				if code != "" && body["code"] != code {
					t.Errorf("answered %v", body)
				}
				return
			}
			if status != 201 {
				t.Fatalf("answered %d %v, want %d", status, body, want)
			}
		}
		t.Fatalf("never answered %d", want)
	}
	until(507, "disk-full")
	if res, err := client.Get(p.url + "/healthz"); err != nil || res.StatusCode != 200 {
		t.Errorf("health on a full disk: %v %v", res, err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	until(201, "")

	// A limit on the size of files makes every write that would grow one fail.
	var was unix.Rlimit
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: unix.RLIM_INFINITY}, &was); err != nil {
		t.Fatal(err)
	}
	until(503, "database-failing")
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &was, nil); err != nil {
		t.Fatal(err)
	}
	until(201, "")
	p.kill()

	d, err := db.Open(context.Background(), url, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var rows int
	if err := d.Read(context.Background()).Get(&rows, `SELECT count(*) FROM orders`); err != nil || rows != made {
		t.Errorf("%d orders acknowledged, %d there (%v)", made, rows, err)
	}
	if err := d.Check(context.Background()); err != nil {
		t.Error(err)
	}
}
