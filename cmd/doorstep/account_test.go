package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// person is somebody with a browser.
func person(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// submit sends a form and returns where it led and what is shown there.
func submit(t *testing.T, c *http.Client, address string, fields url.Values) (path, page string, status int) {
	t.Helper()
	res, err := c.PostForm(address, fields)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.Request.URL.Path, string(body), res.StatusCode
}

const words = "four words are enough"

func TestTheFirstStartShowsTheWayIn(t *testing.T) {
	db := newPath(t, "doorstep.db")
	p := serveProcess(t, "--db", db)
	old := p.errs.await(t, `"link":"(http://[^"]+/setup/[0-9A-Za-z_-]{43})"`)[1]
	p.terminate()
	p = serveProcess(t, "--db", db)
	link := p.errs.await(t, `"link":"(http://[^"]+/setup/[0-9A-Za-z_-]{43})"`)[1]
	if res, err := http.Get(p.url + "/setup/" + old[len(old)-43:]); err != nil || res.StatusCode != 404 {
		t.Errorf("the link of the start before: %v %v", res.StatusCode, err)
	}
	amina := person(t)
	path, _, status := submit(t, amina, link, url.Values{"login": {"amina"}, "name": {"Amina"}, "password": {words}})
	if path != "/dispatch/" || status != 200 {
		t.Fatalf("led to %s, %d", path, status)
	}
	res, err := amina.Get(p.url + "/v1/me")
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	res.Body.Close()

	// Others are invited at the command line, while the server runs.
	out := mustRun(t, "account", "invite", "Ben", "--name", "Ben Otieno", "--db", db, "--public-url", p.url)
	invited, ok := strings.CutSuffix(out, "\n")
	if !ok || !strings.HasPrefix(invited, p.url+"/setup/") {
		t.Fatalf("printed %q, want only the link", out)
	}
	ben := person(t)
	if path, _, _ := submit(t, ben, invited, url.Values{"password": {words}}); path != "/dispatch/" {
		t.Fatal(path)
	}
	if list := mustRun(t, "account", "list", "--db", db); !strings.Contains(list, "Ben Otieno") || !strings.Contains(list, "dispatcher") || !strings.Contains(list, "admin") {
		t.Error(list)
	}
	mustRun(t, "account", "disable", "ben", "--db", db)
	eventually(t, "a disabled person is out", func() bool {
		res, err := ben.Get(p.url + "/v1/me")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode == 401
	})
	mustRun(t, "account", "enable", "BEN", "--db", db)
	again := strings.TrimSpace(mustRun(t, "account", "reset", "ben", "--db", db, "--public-url", p.url))
	if path, _, _ := submit(t, ben, again, url.Values{"password": {"another good password"}}); path != "/dispatch/" {
		t.Fatal(path)
	}
	p.terminate()
	p = serveProcess(t, "--db", db)
	p.terminate()
	if logs := p.errs.String(); strings.Contains(logs, "/setup/") {
		t.Errorf("there are accounts, and still a first link: %s", logs)
	}
}

func TestAccountsThatCannotBe(t *testing.T) {
	db := newPath(t, "doorstep.db")
	mustRun(t, "account", "invite", "amina", "--role", "admin", "--db", db)
	wantRefused(t, 1, []string{"there is an account amina", "doorstep account reset amina"}, "account", "invite", "amina", "--db", db)
	wantRefused(t, 1, []string{"login: ", "one word"}, "account", "invite", "a b", "--db", db)
	wantRefused(t, 1, []string{"role: "}, "account", "invite", "ben", "--role", "owner", "--db", db)
	wantRefused(t, 1, []string{"no account ben", "account list"}, "account", "disable", "ben", "--db", db)
	wantRefused(t, 1, []string{"nobody else who can sign in is an admin"}, "account", "disable", "amina", "--db", db)
	wantRefused(t, 2, []string{"1 needed"}, "account", "invite", "--db", db)
	wantRefused(t, 1, []string{"there is no database"}, "account", "list", "--db", "typo.db")
}
