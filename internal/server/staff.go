package server

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"

	"doorstep/internal/auth"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/web"
)

// The pages of those who run the network: /setup/{token}, /signin, /account. Their forms change
// something by a cookie, so each refuses what comes from a page of another site.

const (
	setUpPath   = "/setup/"
	consolePath = "/dispatch/"
)

// draw answers with a page.
func (k *call) draw(status int, render func(io.Writer) error) error {
	var b bytes.Buffer
	if err := render(&b); err != nil {
		return err
	}
	k.header.Set("Referrer-Policy", "same-origin")
	return k.page200(status, b.Bytes())
}

// form reads what a page sent.
func (k *call) form() (url.Values, error) {
	if err := k.sameOrigin(); err != nil {
		return nil, err
	}
	k.r.Body = http.MaxBytesReader(k.c.Response(), k.r.Body, maxForm)
	if err := k.r.ParseForm(); err != nil {
		return nil, bodyError(err, maxForm)
	}
	return k.r.PostForm, nil
}

// goTo sends the browser on, to be asked for with GET.
func (k *call) goTo(path string) error {
	k.header.Set("Location", path)
	k.status, k.answer = http.StatusSeeOther, []byte{}
	k.header.Set("Content-Type", "text/html; charset=utf-8")
	return nil
}

// person is who is signed in; ok is false when nobody is, or only a phone.
func (k *call) person() (ok bool, err error) {
	shown := k.token()
	if shown == "" {
		return false, nil
	}
	who, err := k.Keys.Session(k.ctx, shown)
	if fault.KindOf(err) == fault.Unauthorized || err == nil && who.Account == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	k.who, k.secret = who, shown
	k.ctx = event.WithActor(k.ctx, who.Actor())
	return true, nil
}

// asPerson runs f for whoever is signed in, and sends others to sign in first.
func (k *call) asPerson(f func() error) error {
	ok, err := k.person()
	if err != nil {
		return err
	}
	if !ok {
		return k.goTo("/signin?next=" + url.QueryEscape(k.r.URL.Path))
	}
	return f()
}

// next is where to go after signing in: a page of ours for people, and never another site's.
func next(wish string) string {
	u, err := url.Parse(wish)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || u.User != nil || strings.ContainsAny(wish, "\\\r\n\t") {
		return consolePath
	}
	if strings.HasPrefix(u.Path, consolePath) || u.Path == "/account" {
		return u.RequestURI()
	}
	return consolePath
}

func (k *call) signInPage() error {
	ok, err := k.person()
	if err != nil {
		return err
	}
	if ok {
		return k.goTo(next(k.query("next")))
	}
	return k.drawSignIn(http.StatusOK, web.SignIn{Next: k.query("next"), Out: k.query("out") != ""})
}

func (k *call) drawSignIn(status int, s web.SignIn) error {
	s.Lang, s.Next, s.NoHTTPS = k.lang(), next(s.Next), !k.maySignIn()
	return k.draw(status, func(w io.Writer) error { return web.RenderSignIn(w, s) })
}

func (k *call) signIn() error {
	in, err := k.form()
	if err != nil {
		return err
	}
	s := web.SignIn{Login: in.Get("login"), Next: in.Get("next")}
	if !k.maySignIn() {
		return k.drawSignIn(http.StatusForbidden, s)
	}
	token, a, err := k.Keys.SignIn(k.ctx, auth.Attempt{Login: s.Login, Password: in.Get("password"), From: k.c.RealIP(),
		Browser: browserOf(k.r.UserAgent()), Session: k.token(), Known: k.cookie(knownCookie)})
	switch f := fault.As(err); {
	case err == nil:
	case fault.Code(err) == "sign-in-failed":
		k.log().Info("sign-in failed") // neither who nor from where
		s.Failed = true
		return k.drawSignIn(http.StatusUnauthorized, s)
	case fault.Code(err) == "wait":
		k.log().Warn("sign-in has to wait", "seconds", int(f.RetryAfter.Seconds()))
		s.Wait = f.RetryAfter
		k.retryAfter(f.RetryAfter)
		return k.drawSignIn(http.StatusTooManyRequests, s)
	default:
		return err
	}
	k.log().Info("signed in", "account", k.names.Name(ident.Account, a.Key))
	k.welcome(token, a)
	return k.goTo(next(s.Next))
}

// welcome gives a browser its session, and remembers that it was here.
func (k *call) welcome(session string, a auth.Account) {
	k.setToken(session, auth.PersonLife)
	k.setCookie(knownCookie, k.Keys.Known(a.Login), auth.KnownLife)
}

func (k *call) signOut() error {
	if _, err := k.form(); err != nil {
		return err
	}
	ok, err := k.person()
	if err != nil {
		return err
	}
	if ok {
		if err := k.Keys.EndSession(k.ctx, k.who.Session); err != nil {
			return err
		}
		k.setToken("", 0)
	}
	return k.goTo("/signin?out=1")
}

// ---- one-time links

func (k *call) setUpPage() error {
	a, err := k.Keys.OpenLink(k.ctx, k.param("token"))
	if err != nil {
		return k.deadLink(err)
	}
	return k.drawSetUp(http.StatusOK, web.SetUp{First: a.Key == 0, Login: a.Login, Name: a.Name})
}

func (k *call) drawSetUp(status int, s web.SetUp) error {
	s.Lang, s.NoHTTPS = k.lang(), !k.maySignIn()
	return k.draw(status, func(w io.Writer) error { return web.RenderSetUp(w, s) })
}

// deadLink turns a link that opens nothing into the page that says so.
func (k *call) deadLink(err error) error {
	if fault.KindOf(err) != fault.NotFound {
		return err
	}
	return k.draw(http.StatusNotFound, func(w io.Writer) error { return web.RenderDeadLink(w, k.lang()) })
}

func (k *call) setUp() error {
	in, err := k.form()
	if err != nil {
		return err
	}
	a, err := k.Keys.OpenLink(k.ctx, k.param("token"))
	if err != nil {
		return k.deadLink(err)
	}
	s := web.SetUp{First: a.Key == 0, Login: a.Login, Name: a.Name}
	if s.First {
		s.Login, s.Name = in.Get("login"), strings.TrimSpace(in.Get("name"))
	}
	if !k.maySignIn() {
		return k.drawSetUp(http.StatusForbidden, s)
	}
	session, a, err := k.Keys.UseLink(k.ctx, k.param("token"), auth.NewAccount{Login: s.Login, Name: s.Name}, in.Get("password"), browserOf(k.r.UserAgent()))
	if f := fault.As(err); f != nil && f.Kind == fault.Invalid {
		s.Faults = faultsOf(f)
		return k.drawSetUp(http.StatusUnprocessableEntity, s)
	}
	if err != nil {
		return k.deadLink(err)
	}
	k.welcome(session, a)
	return k.goTo(consolePath)
}

// faultsOf are a fault's codes by pointer.
func faultsOf(f *fault.Error) map[string]string {
	out := map[string]string{}
	for _, x := range f.Fields {
		out[x.Pointer] = x.Code
	}
	return out
}

// ---- a person's own page

// toAccount is where password managers look for the page that changes a password.
func (k *call) toAccount() error { return k.goTo("/account") }

func (k *call) accountPage() error {
	return k.asPerson(func() error { return k.drawAccount(http.StatusOK, web.AccountPage{Notice: k.query("notice")}) })
}

// drawAccount fills p up with what there is.
func (k *call) drawAccount(status int, p web.AccountPage) error {
	a, err := k.Keys.Account(k.ctx, k.who.Account)
	if err != nil {
		return err
	}
	p.Lang, p.Login, p.Name, p.Role = k.lang(), a.Login, a.Name, string(a.Role)
	sessions, _, err := k.Keys.Sessions(k.ctx, a.Key, 0, 50)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		p.Sessions = append(p.Sessions, web.SessionLine{ID: k.names.Name(ident.Session, s.Key), Browser: s.Name, Since: s.CreatedAt, Seen: s.SeenAt, Current: s.Key == k.who.Session})
	}
	if k.who.Role == auth.RoleAdmin {
		people, _, err := k.Keys.Accounts(k.ctx, 0, 200)
		if err != nil {
			return err
		}
		for _, x := range people {
			w := k.wireAccount(x)
			p.People = append(p.People, web.PersonLine{ID: w.ID, Login: w.Login, Name: w.Name, Role: string(w.Role), Status: w.Status, Self: x.Key == a.Key})
		}
	}
	return k.draw(status, func(w io.Writer) error { return web.RenderAccount(w, p) })
}

// changing reads a form for whoever is signed in.
func (k *call) changing(f func(in url.Values) error) error {
	in, err := k.form()
	if err != nil {
		return err
	}
	return k.asPerson(func() error { return f(in) })
}

func (k *call) passwordForm() error {
	return k.changing(func(in url.Values) error {
		err := k.Keys.ChangePassword(k.ctx, k.who.Account, k.who.Session, in.Get("current_password"), in.Get("password"))
		switch f := fault.As(err); {
		case err == nil:
			return k.goTo("/account?notice=password-changed")
		case f != nil && f.Kind == fault.Invalid:
			return k.drawAccount(http.StatusUnprocessableEntity, web.AccountPage{Faults: faultsOf(f)})
		case fault.Code(err) == "wait":
			k.retryAfter(f.RetryAfter)
			return k.drawAccount(http.StatusTooManyRequests, web.AccountPage{Wait: f.RetryAfter})
		default:
			return err
		}
	})
}

func (k *call) endSessionForm() error {
	return k.changing(func(url.Values) error {
		key, err := k.key(ident.Session, "session")
		if err != nil {
			return err
		}
		s, err := k.Keys.SessionOf(k.ctx, key, "session")
		if err != nil {
			return err
		}
		if s.Account != k.who.Account {
			return fault.Missing("session")
		}
		if err := k.Keys.EndSession(k.ctx, key); err != nil {
			return err
		}
		return k.goTo("/account?notice=session-ended")
	})
}

func (k *call) endOthersForm() error {
	return k.changing(func(url.Values) error {
		if err := k.Keys.EndOtherSessions(k.ctx, k.who.Account, k.who.Session); err != nil {
			return err
		}
		return k.goTo("/account?notice=session-ended")
	})
}

// asAdmin is changing for administrators. What is refused is shown on the page.
func (k *call) asAdmin(f func(in url.Values) (web.AccountPage, error)) error {
	return k.changing(func(in url.Values) error {
		if k.who.Role != auth.RoleAdmin {
			return fault.New(fault.Forbidden, "forbidden", "the role %s may not do this", k.who.Role)
		}
		p, err := f(in)
		if f := fault.As(err); f != nil && (f.Kind == fault.Invalid || f.Kind == fault.Conflict) {
			problem := f.Code
			for _, x := range f.Fields {
				problem = strings.TrimPrefix(x.Pointer, "/") + " " + x.Code
			}
			return k.drawAccount(statusOf[f.Kind], web.AccountPage{Problem: problem})
		}
		if err != nil {
			return err
		}
		if p.InviteURL != "" {
			return k.drawAccount(http.StatusOK, p) // shown once, so not behind a redirect
		}
		return k.goTo("/account?notice=saved")
	})
}

func (k *call) inviteForm() error {
	return k.asAdmin(func(in url.Values) (web.AccountPage, error) {
		a, l, err := k.Keys.CreateAccount(k.ctx, auth.NewAccount{Login: in.Get("login"), Name: strings.TrimSpace(in.Get("name")), Role: auth.Role(in.Get("role"))})
		return web.AccountPage{InviteName: a.Name, InviteURL: k.publicURL(k.r) + setUpPath + l.Token}, err
	})
}

func (k *call) personForm() error {
	return k.asAdmin(func(in url.Values) (p web.AccountPage, err error) {
		key, err := k.key(ident.Account, "account")
		if err != nil {
			return p, err
		}
		switch do := in.Get("do"); do {
		case "invite":
			var l auth.Link
			if l, err = k.Keys.Invite(k.ctx, key); err != nil {
				return p, err
			}
			a, err := k.Keys.Account(k.ctx, key)
			return web.AccountPage{InviteName: a.Name, InviteURL: k.publicURL(k.r) + setUpPath + l.Token}, err
		case "disable":
			_, err = k.Keys.Disable(k.ctx, key)
		case "enable":
			_, err = k.Keys.Enable(k.ctx, key)
		default:
			_, err = k.Keys.SetRole(k.ctx, key, auth.Role(do))
		}
		return p, err
	})
}

// console is the dispatcher's: its page opens for whoever is signed in, its files are no secret.
func (k *call) console() error {
	if k.param("*") != "" {
		return k.face("dispatch")
	}
	return k.asPerson(func() error {
		if !web.FaceBuilt("dispatch") {
			return k.draw(http.StatusOK, func(w io.Writer) error { return web.RenderNoConsole(w, k.lang()) })
		}
		return k.face("dispatch")
	})
}
