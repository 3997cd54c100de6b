package main

import (
	"io"
	"net/http"
	"regexp"
	"testing"
)

func TestTheDemoCityLives(t *testing.T) {
	db := newPath(t, "doorstep.db")
	p := serveProcess(t, "--demo", "--db", db)
	keys := map[string]string{}
	for _, role := range []string{"admin", "dispatcher", "merchant", "store"} {
		keys[role] = p.out.await(t, `(?m)^  `+role+`\s+(ds_live_\S+)$`)[1]
		var me struct{ Role string }
		if code := call(t, "GET", p.url+"/v1/me", keys[role], "", &me); code != 200 || me.Role != role {
			t.Errorf("%s: %d %+v", role, code, me)
		}
	}
	link := regexp.MustCompile(`href="(/t/[^"]+)"`)
	var home []byte
	eventually(t, "the home page shows orders to look at", func() bool {
		res, err := http.Get(p.url + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		home, _ = io.ReadAll(res.Body)
		return link.Match(home)
	})
	if code := call(t, "GET", p.url+string(link.FindSubmatch(home)[1]), "", "", nil); code != 200 {
		t.Errorf("the page behind the link: %d", code)
	}
	p.terminate()

	again := serveProcess(t, "--demo", "--db", db)
	again.out.await(t, `(?m)^  store\s+ds_live_`)
	for role, key := range keys {
		if code := call(t, "GET", again.url+"/v1/me", key, "", nil); code != 401 {
			t.Errorf("the %s key of the last start: %d, want 401", role, code)
		}
	}
	again.terminate()
}

func TestADemoNeverMixesWithRealData(t *testing.T) {
	merchants, stores := newPath(t, "m.db"), newPath(t, "s.db")
	mustRun(t, "key", "create", "--role", "merchant", "--merchant", "Vitabu", "--db", merchants)
	wantRefused(t, 1, []string{"--demo is refused", `"Vitabu"`}, "serve", "--demo", "--db", merchants, "--listen", "127.0.0.1:0")
	mustRun(t, "import", "stores", write(t, "s.csv", "external_id,lat,lng\nK1,-1.2864,36.8172\n"), "--time-zone", "Africa/Nairobi", "--db", stores)
	wantRefused(t, 1, []string{"--demo is refused", "1 stores"}, "serve", "--demo", "--db", stores, "--listen", "127.0.0.1:0")
}
