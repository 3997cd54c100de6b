package server_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/db"
	"doorstep/internal/server"
)

const password = "four words are enough"

// browser is a person's: it keeps cookies and says where its requests come from.
type browser struct {
	w    *world
	http *http.Client
	from string            // Sec-Fetch-Site
	also map[string]string // more headers
}

func (w *world) browser() *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{w: w, from: "same-origin", also: map[string]string{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) do(method, path, body, kind string) *answer {
	b.w.Helper()
	req, err := http.NewRequest(method, b.w.url+path, strings.NewReader(body))
	if err != nil {
		b.w.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", b.from)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for k, v := range b.also {
		req.Header.Set(k, v)
	}
	res, err := b.http.Do(req)
	if err != nil {
		b.w.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.w.Fatal(err)
	}
	a := &answer{w: b.w, status: res.StatusCode, header: res.Header, body: text, what: method + " " + path}
	if strings.HasPrefix(path, "/v1/") {
		a.fits(req, []byte(body))
	}
	return a
}

func (b *browser) get(path string) *answer { b.w.Helper(); return b.do("GET", path, "", "") }

func (b *browser) submit(path string, fields ...string) *answer {
	b.w.Helper()
	v := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	return b.do("POST", path, v.Encode(), "application/x-www-form-urlencoded")
}

func (b *browser) postJSON(path, body string) *answer {
	b.w.Helper()
	return b.do("POST", path, body, "application/json")
}

// cookie is the session's that an answer set.
func (a *answer) cookie() *http.Cookie {
	a.w.Helper()
	all := slices.DeleteFunc((&http.Response{Header: a.header}).Cookies(), func(c *http.Cookie) bool { return strings.Contains(c.Name, "known") })
	if len(all) != 1 {
		a.w.Fatalf("%s set %d cookies: %v", a.what, len(all), a.header["Set-Cookie"])
	}
	return all[0]
}

func (a *answer) shows(words ...string) *answer {
	a.w.Helper()
	for _, s := range words {
		if !strings.Contains(string(a.body), s) {
			a.w.Errorf("%s does not show %q:\n%s", a.what, s, a.body)
		}
	}
	return a
}

func (a *answer) leadsTo(path string) *answer {
	a.w.Helper()
	a.want(303)
	if got := a.header.Get("Location"); got != path {
		a.w.Fatalf("%s leads to %q, want %q", a.what, got, path)
	}
	return a
}

// setUp makes the first administrator and returns the browser that did.
func (w *world) setUp() *browser {
	w.Helper()
	l, ok, err := auth.NewBook(w.db).FirstLink(context.Background())
	if err != nil || !ok {
		w.Fatal(ok, err)
	}
	b := w.browser()
	b.get("/setup/" + l.Token).want(200).shows("Welcome to Doorstep")
	b.submit("/setup/"+l.Token, "login", "amina@desk.example", "name", "Amina", "password", password).leadsTo("/dispatch/")
	return b
}

// invite makes another person and returns the browser of it.
func (w *world) invite(login, role string) (*browser, string) {
	w.Helper()
	a := w.post(w.admin, "/v1/accounts", m{"login": login, "name": "P " + login, "role": role}).want(201)
	u, _ := url.Parse(a.text("invite_url"))
	b := w.browser()
	b.get(u.Path).want(200).shows("Choose your password", login)
	b.submit(u.Path, "password", password).leadsTo("/dispatch/")
	return b, a.text("id")
}

func TestTheFirstAdministratorMakesAnAccountAndSignsIn(t *testing.T) {
	story(t, func(w *world) {
		l, _, err := auth.NewBook(w.db).FirstLink(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		b, path := w.browser(), "/setup/"+l.Token
		b.get("/dispatch/").leadsTo("/signin?next=%2Fdispatch%2F")
		b.get("/account").leadsTo("/signin?next=%2Faccount")
		page := b.get(path).want(200)
		if csp := page.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'self'") || page.header.Get("Cache-Control") != "no-store" {
			t.Errorf("policy %q, kept %q", csp, page.header.Get("Cache-Control"))
		}
		b.submit(path, "login", "amina@desk.example", "name", " Amina ", "password", "short").want(422).shows("at least 10 characters", "amina@desk.example", `value="Amina"`)
		b.submit(path, "login", "a b", "name", "", "password", password).want(422).shows("one word, without spaces", "Please tell us your name")
		done := b.submit(path, "login", "Amina@Desk.example", "name", "Amina", "password", password).leadsTo("/dispatch/")
		c := done.cookie()
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 14*86400 || len(c.Value) != 43 {
			t.Errorf("cookie %+v", c)
		}
		b.get("/dispatch/").want(200)
		b.get("/signin").leadsTo("/dispatch/")
		me := b.get("/v1/me").want(200)
		if me.text("role") != "admin" || me.text("name") != "Amina" || !strings.HasPrefix(me.text("account_id"), "usr_") || me.at("key_id") != nil {
			t.Errorf("%s", me.body)
		}
		w.browser().get(path).want(404).shows("This link no longer works")
		w.browser().submit(path, "login", "mallory", "name", "M", "password", password).want(404)
		b.get("/account").want(200).shows("Amina", "amina@desk.example", "Firefox · Linux", "Administrator")

		b.submit("/signout").leadsTo("/signin?out=1")
		b.get("/signin?out=1").want(200).shows("You have signed out")
		b.get("/v1/me").refused(401, "unauthorized")
		b.submit("/signin", "login", "AMINA@desk.example", "password", password).leadsTo("/dispatch/")
		if log := w.log.String(); strings.Contains(log, l.Token) || strings.Contains(log, "amina") || strings.Contains(log, password) {
			t.Errorf("the log says too much:\n%s", log)
		}
	})
}

// Of HTTPS the cookie has the strictest form there is; without it there is none, but on one's own machine.
func TestWhereACookieIsSet(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{TrustedProxies: true})
	w.setUp()
	for _, c := range []struct {
		name   string
		header map[string]string
		host   string
		want   string // the cookie's name, "" when there must be none
	}{
		{"on one's own machine", nil, "", "doorstep-on-loopback"},
		{"by the name of one's own machine", nil, "localhost", "doorstep-on-loopback"},
		{"behind a proxy with HTTPS", map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}, "desk.example", "__Host-doorstep"},
		{"behind a proxy that names this machine", map[string]string{"X-Forwarded-Proto": "https"}, "", "__Host-doorstep"},
		{"behind a proxy without HTTPS", map[string]string{"X-Forwarded-For": "192.0.2.1"}, "", ""},
		{"by another name for this machine", nil, "rebound.example", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := w.browser()
			b.http.Jar = nil
			for k, v := range c.header {
				b.also[k] = v
			}
			form := "login=amina@desk.example&password=" + url.QueryEscape(password)
			req, _ := http.NewRequest("POST", w.url+"/signin", strings.NewReader(form))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for k, v := range b.also {
				req.Header.Set(k, v)
			}
			req.Host = c.host
			res, err := b.http.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, _ := io.ReadAll(res.Body)
			if c.want == "" {
				if res.StatusCode != 403 || res.Header.Get("Set-Cookie") != "" || !strings.Contains(string(text), "https://") {
					t.Errorf("%d %v", res.StatusCode, res.Header)
				}
				return
			}
			set := res.Cookies()
			if res.StatusCode != 303 || len(set) != 2 || set[1].Secure != set[0].Secure || !set[1].HttpOnly || !strings.Contains(set[1].Name, "doorstep-known") || set[0].Name != c.want || set[0].Secure != strings.HasPrefix(c.want, "__Host-") || !set[0].HttpOnly {
				t.Fatalf("%d %v", res.StatusCode, res.Header)
			}
			// The plain cookie opens nothing where somebody stands between.
			req, _ = http.NewRequest("GET", w.url+"/v1/me", nil)
			req.AddCookie(&http.Cookie{Name: "doorstep-on-loopback", Value: set[0].Value})
			req.Header.Set("X-Forwarded-For", "192.0.2.1")
			res, err = b.http.Do(req)
			if err != nil || res.StatusCode != 401 {
				t.Errorf("the plain cookie from elsewhere: %v %v", res.StatusCode, err)
			}
			res.Body.Close()
		})
	}
}

func TestAnotherSiteCanMakeABrowserDoNothing(t *testing.T) {
	story(t, func(w *world) {
		b := w.setUp()
		store := w.store("S1", nil)
		order := w.order(w.admin, nil).text("id")
		forged := []struct {
			name string
			try  func(b *browser) *answer
		}{
			{"cancel an order", func(b *browser) *answer { return b.postJSON("/v1/orders/"+order+"/cancel", `{"reason":"weather"}`) }},
			{"as a form, which needs no preflight", func(b *browser) *answer {
				return b.do("POST", "/v1/stores/"+store+"/pause", `{}`, "text/plain")
			}},
			{"delete a store", func(b *browser) *answer { return b.do("DELETE", "/v1/stores/"+store, "", "") }},
			{"sign out", func(b *browser) *answer { return b.submit("/signout") }},
			{"change the password", func(b *browser) *answer {
				return b.submit("/account/password", "current_password", password, "password", "another good password")
			}},
			{"invite the attacker", func(b *browser) *answer {
				return b.submit("/account/people", "name", "M", "login", "mallory", "role", "admin")
			}},
			{"sign in as the attacker", func(b *browser) *answer { return b.submit("/signin", "login", "mallory", "password", password) }},
		}
		for _, c := range forged {
			for _, from := range []map[string]string{{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site", "Origin": "https://other.doorstep.example"},
				{"Sec-Fetch-Site": "", "Origin": "https://evil.example"}, {"Sec-Fetch-Site": "", "Origin": "null"}} {
				b.also["Sec-Fetch-Site"], b.also["Origin"] = from["Sec-Fetch-Site"], from["Origin"]
				if from["Sec-Fetch-Site"] == "" {
					delete(b.also, "Sec-Fetch-Site")
					b.from = ""
				}
				if a := c.try(b); a.status != 403 && a.status != 401 {
					t.Errorf("%s from %v: %d %s", c.name, from, a.status, a.body)
				}
			}
			delete(b.also, "Origin")
			delete(b.also, "Sec-Fetch-Site")
			b.from = "same-origin"
		}
		b.get("/v1/me").want(200)
		if s := w.get(w.admin, "/v1/orders/"+order).want(200).text("status"); s == "cancelled" {
			t.Error("cancelled from elsewhere")
		}
		// A key is no cookie: no browser sends it by itself.
		w.send(request{method: "POST", path: "/v1/stores/" + store + "/pause", key: w.admin, header: map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}}).want(200)
		// A link from a message opens the console.
		b.from = "cross-site"
		b.get("/dispatch/").want(200)
	})
}

func TestSigningInLeadsNowhereElse(t *testing.T) {
	w := newWorld(t, db.SQLite, server.Options{})
	w.setUp()
	for wish, want := range map[string]string{
		"/dispatch/orders/ord_1?tab=story": "/dispatch/orders/ord_1?tab=story", "/account": "/account", "": "/dispatch/",
		"https://evil.example/dispatch/": "/dispatch/", "//evil.example/dispatch/": "/dispatch/", "/\\evil.example": "/dispatch/", "/signout": "/dispatch/",
		"javascript:alert(1)": "/dispatch/", "/dispatch/\r\nSet-Cookie: a=b": "/dispatch/", "/dispatch/../v1/me": "/dispatch/",
	} {
		got := w.browser().submit("/signin", "login", "amina@desk.example", "password", password, "next", wish).want(303).header.Get("Location")
		if got != want && !(strings.HasPrefix(got, "/dispatch/") && !strings.Contains(got, "//")) {
			t.Errorf("%q leads to %q, want %q", wish, got, want)
		}
	}
}

func TestGuessingAPasswordTakesForEver(t *testing.T) {
	story(t, func(w *world) {
		desk := w.setUp()
		desk.submit("/signout").want(303)
		var bodies []string
		for _, login := range []string{"amina@desk.example", "nobody@desk.example"} {
			b := w.browser()
			for range 5 {
				a := b.submit("/signin", "login", login, "password", "wrong password").want(401).shows("do not belong together")
				bodies = append(bodies, strings.ReplaceAll(string(a.body), login, "…"))
			}
			a := b.submit("/signin", "login", login, "password", password).want(429).shows("Please wait")
			if a.header.Get("Retry-After") != "1" || len(a.header["Set-Cookie"]) > 0 {
				t.Errorf("%v", a.header)
			}
		}
		if bodies[0] != bodies[5] {
			t.Error("a known login is told from an unknown one")
		}
		desk.submit("/signin", "login", "amina@desk.example", "password", password).leadsTo("/dispatch/") // Amina's own browser, known from before
		w.clock.Advance(time.Minute)
		w.browser().submit("/signin", "login", "amina@desk.example", "password", password).want(303)
	})
}

func TestASessionIsNotFixedByAnybodyElse(t *testing.T) {
	story(t, func(w *world) {
		w.setUp()
		planted := strings.Repeat("A", 43)
		b := w.browser()
		here, _ := url.Parse(w.url)
		b.http.Jar.SetCookies(here, []*http.Cookie{{Name: "doorstep-on-loopback", Value: planted, Path: "/"}})
		mine := b.submit("/signin", "login", "amina@desk.example", "password", password).want(303).cookie().Value
		if mine == planted {
			t.Fatal("the planted token was taken over")
		}
		again := b.submit("/signin", "login", "amina@desk.example", "password", password).want(303).cookie().Value
		for token, want := range map[string]int{planted: 401, mine: 401, again: 200, "": 401, again + "A": 401, again[:42] + "!": 401} {
			w.send(request{method: "GET", path: "/v1/me", header: map[string]string{"Cookie": "doorstep-on-loopback=" + token}}).want(want)
		}
		w.send(request{method: "GET", path: "/v1/me", key: again}).refused(401, "unauthorized") // a session is no key
	})
}

func TestPeopleAreManagedByTheAPI(t *testing.T) {
	story(t, func(w *world) {
		amina := w.setUp()
		ben, id := w.invite("ben@desk.example", "dispatcher")
		w.post(w.admin, "/v1/accounts", m{"login": "BEN@desk.example", "name": "Benno", "role": "dispatcher"}).refused(409, "login-taken")
		w.send(request{method: "POST", path: "/v1/accounts", key: w.admin, body: m{"login": "b n", "name": "", "role": "store"}, wrong: true}).want(422).names("/login").names("/name").names("/role")
		if n := len(w.get(w.admin, "/v1/accounts?limit=1").want(200).at("data").([]any)); n != 1 {
			t.Errorf("%d on a page of one", n)
		}
		if got := w.get(w.admin, "/v1/accounts/"+id).want(200); got.text("status") != "active" || got.text("login") != "ben@desk.example" {
			t.Errorf("%s", got.body)
		}
		ben.get("/v1/accounts").refused(403, "forbidden")
		ben.get("/v1/stores").want(200)
		ben.get("/v1/keys").refused(403, "forbidden")
		w.post(w.admin, "/v1/accounts/"+id+"/role", m{"role": "admin"}).want(200)
		ben.get("/v1/accounts").want(200) // at once
		w.post(w.admin, "/v1/accounts/"+id+"/role", m{"role": "dispatcher"}).want(200)
		ben.get("/v1/accounts").refused(403, "forbidden")

		sessions := ben.get("/v1/sessions").want(200)
		if sessions.text("data.0.browser") != "Firefox · Linux" || sessions.at("data.0.current") != true {
			t.Errorf("%s", sessions.body)
		}
		other := w.browser()
		other.submit("/signin", "login", "ben@desk.example", "password", password).want(303)
		ben.postJSON("/v1/sessions/"+other.get("/v1/sessions").text("data.0.id")+"/revoke", "").want(200)
		other.get("/v1/me").refused(401, "signed-out")
		mine := amina.get("/v1/sessions").text("data.0.id")
		ben.postJSON("/v1/sessions/"+mine+"/revoke", "").refused(404, "not-found")
		amina.postJSON("/v1/sessions/"+ben.get("/v1/sessions").text("data.0.id")+"/revoke", "").want(200)
		ben.get("/v1/me").refused(401, "signed-out")

		ben.submit("/signin", "login", "ben@desk.example", "password", password).want(303)
		ben.postJSON("/v1/me/password", `{"current_password":"wrong password","password":"another good password"}`).want(422).names("/current_password")
		ben.postJSON("/v1/me/password", `{"current_password":"`+password+`","password":"another good password"}`).want(200)
		w.post(w.admin, "/v1/me/password", m{"current_password": password, "password": "another good password"}).refused(409, "no-account")
		ben.get("/v1/me").want(200)

		link := w.post(w.admin, "/v1/accounts/"+id+"/invite", nil).want(200).text("invite_url")
		w.post(w.admin, "/v1/accounts/"+id+"/disable", nil).want(200)
		ben.get("/v1/me").refused(401, "signed-out")
		u, _ := url.Parse(link)
		ben.get(u.Path).want(404)
		w.post(w.admin, "/v1/accounts/"+id+"/invite", nil).refused(409, "account-disabled")
		ben.submit("/signin", "login", "ben@desk.example", "password", "another good password").want(401)
		w.post(w.admin, "/v1/accounts/"+id+"/enable", nil).want(200)
		ben.submit("/signin", "login", "ben@desk.example", "password", "another good password").want(303)
		w.post(w.admin, "/v1/accounts/"+id+"/sign-out", nil).want(200)
		ben.get("/v1/me").refused(401, "signed-out")
		admin := amina.get("/v1/me").text("account_id")
		w.post(w.admin, "/v1/accounts/"+admin+"/disable", nil).refused(409, "last-admin")
		w.post(w.admin, "/v1/accounts/usr_0123456789abcdefghjkmnpq/disable", nil).refused(404, "not-found")

		// The log names who did it, by id.
		w.store("S1", nil)
		var actors []string
		if err := w.db.Read(context.Background()).Select(&actors, `SELECT DISTINCT actor FROM event WHERE type = 'account.password_set'`); err != nil || len(actors) != 1 || actors[0] != "user:"+id {
			t.Errorf("%v %v", actors, err)
		}
	})
}

func TestAnInvitationIsNotKeptForRepeats(t *testing.T) {
	story(t, func(w *world) {
		r := request{method: "POST", path: "/v1/accounts", key: w.admin, header: map[string]string{"Idempotency-Key": "i-1"}, body: m{"login": "ben", "name": "Ben", "role": "dispatcher"}}
		first := w.send(r).want(201)
		again := w.send(r).want(201)
		if first.text("invite_url") == "" || again.at("invite_url") != nil || again.text("id") != first.text("id") {
			t.Errorf("%s\n%s", first.body, again.body)
		}
	})
}

func TestThePageOfAnAccount(t *testing.T) {
	story(t, func(w *world) {
		b := w.setUp()
		link := b.submit("/account/people", "name", "Ben Otieno", "login", "ben@desk.example", "role", "dispatcher").want(200).shows("Link for", "Ben Otieno", "Send it to this person only")
		path := regexp.MustCompile(`/setup/[0-9A-Za-z_-]{43}`).FindString(string(link.body))
		ben := w.browser()
		ben.submit(path, "password", password, "login", "root", "role", "admin").leadsTo("/dispatch/")
		ben.get("/account").want(200).shows("Ben Otieno", "Dispatcher")
		ben.submit("/account/people", "name", "M", "login", "mallory", "role", "admin").refused(403, "forbidden")
		b.submit("/account/people", "name", "Ben", "login", "ben@desk.example", "role", "dispatcher").want(409).shows("There is an account with this login")
		person := ben.get("/v1/me").text("account_id")
		b.submit("/account/people/"+person, "do", "admin").leadsTo("/account?notice=saved")
		ben.get("/account").want(200).shows("Administrator")
		b.submit("/account/people/"+person, "do", "disable").leadsTo("/account?notice=saved")
		ben.get("/account").leadsTo("/signin?next=%2Faccount")
		b.submit("/account/people/"+person, "do", "enable").leadsTo("/account?notice=saved")
		b.submit("/account/people/"+person, "do", "dispatcher").leadsTo("/account?notice=saved")
		b.submit("/account/people/"+person, "do", "invite").want(200).shows("/setup/")
		b.submit("/account/people/"+b.get("/v1/me").text("account_id"), "do", "disable").want(409).shows("Nobody else who can sign in")

		other := w.browser()
		other.submit("/signin", "login", "amina@desk.example", "password", password).want(303)
		b.submit("/account/password", "current_password", "wrong password", "password", "another good password").want(422).shows("not your present password")
		b.submit("/account/password", "current_password", password, "password", "another good password").leadsTo("/account?notice=password-changed")
		other.get("/account").leadsTo("/signin?next=%2Faccount")
		other.submit("/signin", "login", "amina@desk.example", "password", "another good password").want(303)
		id := other.get("/v1/sessions").text("data.0.id")
		b.submit("/account/sessions/" + id + "/end").leadsTo("/account?notice=session-ended")
		other.get("/v1/me").refused(401, "signed-out")
		other.submit("/signin", "login", "amina@desk.example", "password", "another good password").want(303)
		b.submit("/account/sessions/end-others").leadsTo("/account?notice=session-ended")
		other.get("/v1/me").refused(401, "signed-out")
		b.get("/account").want(200)
		chinese := w.browser()
		chinese.also["Accept-Language"] = "zh-CN"
		chinese.get("/signin").want(200).shows("登录", `lang="zh`)
	})
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	t.Cleanup(server.ShortenSeconds(20 * time.Millisecond)) // after the server's own end
	w := newWorld(t, db.SQLite, server.Options{})
	b := w.setUp()
	req, _ := http.NewRequest("GET", w.url+"/v1/events/stream", nil)
	res, err := b.http.Do(req)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	defer res.Body.Close()
	ended := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, res.Body); close(ended) }()
	b.submit("/signout").want(303)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the stream of an ended session goes on")
	}
}

// ---- phones

func TestAPhoneIsPairedAndUnpaired(t *testing.T) {
	story(t, func(w *world) {
		store, other := w.store("S1", nil), w.store("S2", nil)
		desk := w.setUp()
		c := desk.postJSON("/v1/stores/"+store+"/pairing-codes", "").want(201)
		code := c.text("code")
		if !regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$`).MatchString(code) || c.text("url") != w.url+"/store/#pair="+strings.ReplaceAll(code, "-", "") || !strings.HasPrefix(c.text("qr_svg"), "<svg ") {
			t.Errorf("%s", c.body)
		}
		phone := w.browser()
		paired := phone.postJSON("/v1/pairings", `{"code":"`+strings.ToLower(code)+`","device_name":"Counter phone"}`).want(201)
		if ck := paired.cookie(); !ck.HttpOnly || ck.SameSite != http.SameSiteLaxMode || ck.MaxAge != 400*86400 {
			t.Errorf("%+v", ck)
		}
		device := paired.text("id")
		me := phone.get("/v1/me").want(200)
		if me.text("role") != "store" || me.text("store_id") != store || me.text("device_id") != device || me.text("name") != "Counter phone" {
			t.Errorf("%s", me.body)
		}
		phone.get("/v1/store").want(200)
		phone.get("/v1/stores/"+other).refused(404, "not-found")
		phone.get("/v1/stores").refused(403, "forbidden")
		phone.get("/dispatch/").leadsTo("/signin?next=%2Fdispatch%2F") // a phone is no dispatcher
		w.browser().postJSON("/v1/pairings", `{"code":"`+code+`","device_name":"Thief"}`).want(422).names("/code")

		list := phone.get("/v1/stores/" + store + "/devices").want(200)
		if list.text("data.0.id") != device || list.at("data.0.current") != true {
			t.Errorf("%s", list.body)
		}
		phone.get("/v1/stores/"+other+"/devices").refused(404, "not-found")
		neighbour := w.key("store", other, "")
		w.post(neighbour, "/v1/devices/"+device+"/revoke", nil).refused(404, "not-found")
		desk.postJSON("/v1/devices/"+device+"/revoke", "").want(200)
		phone.get("/v1/store").refused(401, "signed-out") // at once
		desk.postJSON("/v1/devices/"+device+"/revoke", "").want(200)
		if n := len(desk.get("/v1/stores/" + store + "/devices").want(200).at("data").([]any)); n != 0 {
			t.Errorf("%d phones are left", n)
		}
		// The phone that unpairs itself forgets its cookie.
		code = w.post(w.admin, "/v1/stores/ext:S1/pairing-codes", nil).want(201).text("code")
		id := phone.postJSON("/v1/pairings", `{"code":"`+code+`","device_name":"Counter phone"}`).want(201).text("id")
		if gone := phone.postJSON("/v1/devices/"+id+"/revoke", "").want(200).cookie(); gone.MaxAge != -1 {
			t.Errorf("%+v", gone)
		}
		// Work done by a phone is done by that phone.
		var actor string
		if err := w.db.Read(context.Background()).Get(&actor, `SELECT actor FROM event WHERE type = 'device.revoked' ORDER BY seq DESC LIMIT 1`); err != nil || actor != "device:"+id {
			t.Errorf("%q %v", actor, err)
		}
	})
}

func TestACodeIsNoUseToOthers(t *testing.T) {
	story(t, func(w *world) {
		store := w.store("S1", nil)
		code := func() string {
			return w.post(w.admin, "/v1/stores/"+store+"/pairing-codes", nil).want(201).text("code")
		}
		w.post(w.key("store", store, ""), "/v1/stores/"+store+"/pairing-codes", nil).refused(403, "forbidden")
		late := code()
		w.clock.Advance(15 * time.Minute)
		w.browser().postJSON("/v1/pairings", `{"code":"`+late+`","device_name":"P"}`).want(422).names("/code")
		forged := w.browser()
		forged.from = "cross-site"
		forged.postJSON("/v1/pairings", `{"code":"`+code()+`","device_name":"P"}`).refused(403, "cross-origin")
		far := w.browser()
		far.also["X-Forwarded-For"] = "192.0.2.1"
		far.postJSON("/v1/pairings", `{"code":"`+code()+`","device_name":"P"}`).refused(409, "https-needed")

		// A lost answer: the same phone asks again, and only the last cookie works.
		lost, again := w.browser(), w.browser()
		body := `{"code":"` + code() + `","device_name":"P"}`
		lost.also["Idempotency-Key"], again.also["Idempotency-Key"] = "once", "once"
		first, second := lost.postJSON("/v1/pairings", body).want(201), again.postJSON("/v1/pairings", body).want(201)
		if first.text("id") != second.text("id") {
			t.Error("one phone became two")
		}
		lost.get("/v1/me").refused(401, "signed-out")
		again.get("/v1/me").want(200)

		thief := w.browser()
		waited := false
		for range 30 {
			a := thief.postJSON("/v1/pairings", `{"code":"0000-0000","device_name":"Thief"}`)
			if a.status == 429 {
				waited = a.header.Get("Retry-After") != ""
				break
			}
			a.want(422)
		}
		if !waited {
			t.Error("30 codes were tried at once")
		}
	})
}
