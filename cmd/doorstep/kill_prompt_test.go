package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
)

// The server is killed again and again while it prompts a town and collects the messages. In the end
// every task was told of once, and everything that counts tasks agrees with them.
func TestKillNineTellsEveryStoreOnce(t *testing.T) {
	for engine, cycles := range map[db.Engine]int{db.SQLite: 8, db.Postgres: 3} {
		t.Run(string(engine), func(t *testing.T) { promptCycles(t, dbtest.URL(t, engine), cycles) })
	}
}

func promptCycles(t *testing.T, url string, cycles int) {
	const stores, skus = 400, 5
	key := adminKey(t, url)
	client := &http.Client{Timeout: 30 * time.Second}
	p := launch(t, url)
	var file strings.Builder
	file.WriteString("external_id,name,lat,lng,shelf_units\n")
	for i := range stores {
		fmt.Fprintf(&file, "s%d,s%d,%f,%f,1000\n", i, i, -1.3+.002*float64(i%20), 36.7+.002*float64(i/20))
	}
	req, _ := http.NewRequest("POST", p.url+"/v1/store-imports", strings.NewReader(file.String()))
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "text/csv")
	if res, err := client.Do(req); err != nil || res.StatusCode != 200 {
		t.Fatalf("stores: %v %v", res, err)
	}
	goods := []any{}
	for i := range skus {
		goods = append(goods, map[string]any{"sku": fmt.Sprint("SKU-", i), "expected_units": 20 * stores})
	}
	start := time.Now().Add(71 * time.Hour).UTC()
	status, campaign := p.call(client, key, "/v1/campaigns", "", map[string]any{"name": "peak", "skus": goods,
		"starts_at": start.Format(time.RFC3339), "ends_at": start.Add(24 * time.Hour).Format(time.RFC3339), "leads_s": []int{72 * 3600}})
	if status != 201 {
		t.Fatalf("campaign: %d %v", status, campaign)
	}
	for _, action := range []string{"plan", "approve"} {
		if status, body := p.call(client, key, "/v1/campaigns/"+campaign["id"].(string)+"/"+action, "", nil); status != 200 {
			t.Fatalf("%s: %d %v", action, status, body)
		}
	}
	run := func(p *process, job string) int {
		status, _ := p.call(client, key, "/v1/jobs/"+job+"/run", "", nil)
		return status
	}
	halfway := 0
	for range cycles {
		var wg sync.WaitGroup
		for _, job := range []string{"prestock-prompts", "messages"} {
			wg.Go(func() {
				for run(p, job) != 0 {
				}
			})
		}
		time.Sleep(time.Duration(5+rand.IntN(120)) * time.Millisecond)
		p.kill()
		wg.Wait()
		if n := tellings(t, url)["prompts"]; n > 0 && n < stores*skus {
			halfway++
		}
		aMinuteLater(t, url)
		p = launch(t, url)
	}
	for _, job := range []string{"prestock-prompts", "messages"} {
		if status := run(p, job); status != 200 {
			t.Fatalf("%s: %d", job, status)
		}
	}
	p.kill()
	t.Logf("%d of %d kills in the middle of the prompts", halfway, cycles)
	for what, n := range tellings(t, url) {
		if n != stores*skus {
			t.Errorf("%d %s for %d tasks", n, what, stores*skus)
		}
	}
}

// aMinuteLater lets the leases of a process that was killed run out.
func aMinuteLater(t *testing.T, url string) {
	t.Helper()
	d, err := db.Open(context.Background(), url, db.Options{})
	if err == nil {
		err = errors.Join(d.InTx(context.Background(), func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE lease SET until_ms = 0`)
			return err
		}), d.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tellings counts what there should be of each once a task has been told of.
func tellings(t *testing.T, url string) map[string]int {
	t.Helper()
	d, err := db.Open(context.Background(), url, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	found := map[string]int{}
	for what, query := range map[string]string{
		"prompts":     `SELECT count(*) FROM prestock_prompt WHERE sent = TRUE`,
		"tasks":       `SELECT count(*) FROM prestock_task WHERE status = 'prompted' AND prompted_at > 0`,
		"events":      `SELECT count(*) FROM event WHERE type = 'prestock.prompted'`,
		"told tasks":  `SELECT count(DISTINCT subject) FROM event WHERE type = 'prestock.prompted'`,
		"in the post": `SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM announcement)`,
	} {
		var n int
		if err := d.Read(context.Background()).Get(&n, query); err != nil {
			t.Fatal(err)
		}
		found[what] = n
	}
	return found
}
