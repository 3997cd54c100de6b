package web

import (
	"io"
	"time"
)

// The pages of those who run the network: signing in, setting up, their own account. They are plain
// forms and need no script, so that nobody is locked out by one.

// staffPage is what all of them need.
type staffPage struct {
	page
	S       *staffWords
	NoHTTPS bool // a cookie would be lost: say so in place of a form
}

func staffPageOf(lang string, title func(*staffWords) string) staffPage {
	w := staffLanguages["en"]
	if l, ok := staffLanguages[lang]; ok {
		w = l
	}
	return staffPage{page: page{W: wordsFor(lang), Title: title(w)}, S: w}
}

// wrong is what is wrong with one field of a form.
type wrong struct{ ID, Text string }

// wrongWith finds the words for a field's fault; Faults come as JSON pointer and code.
func (w *staffWords) wrongWith(faults map[string]string, field string) wrong {
	code, ok := faults["/"+field]
	if !ok {
		return wrong{}
	}
	text := w.Faults[field+" "+code]
	if text == "" {
		text = w.Faults[code]
	}
	if text == "" {
		text = w.Faults[""]
	}
	id := field
	if field == "current_password" {
		id = "current"
	}
	return wrong{id + "-wrong", text}
}

// SignIn is the page where a person signs in.
type SignIn struct {
	Lang    string
	Login   string // as typed before
	Next    string // where to go then
	Failed  bool
	Wait    time.Duration // after too many wrong tries
	Out     bool          // has just signed out
	NoHTTPS bool
}

// RenderSignIn draws the page to sign in.
func RenderSignIn(w io.Writer, s SignIn) error {
	v := struct {
		staffPage
		Login, Next, Problem, Notice string
	}{staffPage: staffPageOf(s.Lang, func(w *staffWords) string { return w.SignInHead }), Login: s.Login, Next: s.Next}
	v.NoHTTPS = s.NoHTTPS
	switch {
	case s.Wait > 0:
		v.Problem = fillIn(v.S.WaitFor, "{time}", v.S.span(s.Wait))
	case s.Failed:
		v.Problem = v.S.SignInFailed
	case s.Out:
		v.Notice = v.S.SignedOut
	}
	return render(w, "signin.html", v)
}

// span says how long something takes, in whole seconds or minutes.
func (w *staffWords) span(d time.Duration) string {
	if d < 90*time.Second {
		return fillIn(w.Seconds, "{n}", grouped(int((d+time.Second-1)/time.Second)))
	}
	return fillIn(w.Minutes, "{n}", grouped(int((d+time.Minute-1)/time.Minute)))
}

// SetUp is the page behind a one-time link.
type SetUp struct {
	Lang    string
	First   bool // makes the first administrator, who gives a login and a name
	Login   string
	Name    string
	Faults  map[string]string // of what was sent: code by JSON pointer
	NoHTTPS bool
}

// RenderSetUp draws the page behind a one-time link.
func RenderSetUp(w io.Writer, s SetUp) error {
	v := struct {
		staffPage
		First, Wrong                         bool
		Login, Name                          string
		LoginWrong, NameWrong, PasswordWrong wrong
	}{staffPage: staffPageOf(s.Lang, func(w *staffWords) string {
		if s.First {
			return w.FirstHead
		}
		return w.InvitedHead
	}), First: s.First, Wrong: len(s.Faults) > 0, Login: s.Login, Name: s.Name}
	v.NoHTTPS = s.NoHTTPS
	v.LoginWrong, v.NameWrong, v.PasswordWrong = v.S.wrongWith(s.Faults, "login"), v.S.wrongWith(s.Faults, "name"), v.S.wrongWith(s.Faults, "password")
	return render(w, "setup.html", v)
}

// RenderDeadLink draws what a link shows that was used, replaced, or never there.
func RenderDeadLink(w io.Writer, lang string) error {
	return render(w, "deadlink.html", staffPageOf(lang, func(w *staffWords) string { return w.DeadHead }))
}

// RenderNoConsole draws what stands in place of the console in a build without it.
func RenderNoConsole(w io.Writer, lang string) error {
	return render(w, "noconsole.html", staffPageOf(lang, func(w *staffWords) string { return w.ConsoleHead }))
}

// AccountPage is a person's own page.
type AccountPage struct {
	Lang        string
	Login, Name string
	Role        string // "admin" or "dispatcher"
	Notice      string // "password-changed", "session-ended" or ""
	Faults      map[string]string
	Wait        time.Duration
	Sessions    []SessionLine
	People      []PersonLine // for administrators only
	Problem     string       // code of what was refused about people
	InviteName  string       // whom InviteURL is for
	InviteURL   string
}

// SessionLine is a browser that is signed in.
type SessionLine struct {
	ID, Browser string
	Since, Seen time.Time
	Current     bool
}

// PersonLine is somebody with an account.
type PersonLine struct {
	ID, Login, Name string
	Role, Status    string
	Self            bool
}

type sessionView struct {
	ID, Browser, Since, Seen string
	Current                  bool
}

type personView struct {
	ID, Login, Name, Role, Status string
	Actions                       []personAction
}

type personAction struct{ Do, Label, Who string }

// RenderAccount draws a person's own page.
func RenderAccount(w io.Writer, a AccountPage) error {
	v := struct {
		staffPage
		Login, Name, Role, Notice     string
		CurrentWrong, PasswordWrong   wrong
		Sessions                      []sessionView
		Others, Admin                 bool
		People                        []personView
		Problem, InviteFor, InviteURL string
	}{staffPage: staffPageOf(a.Lang, func(w *staffWords) string { return w.AccountHead }), Login: a.Login, Name: a.Name,
		Admin: a.Role == "admin", InviteURL: a.InviteURL}
	v.Role, v.Notice = v.S.Roles[a.Role], v.S.Notices[a.Notice]
	v.CurrentWrong, v.PasswordWrong = v.S.wrongWith(a.Faults, "current_password"), v.S.wrongWith(a.Faults, "password")
	if a.Wait > 0 {
		v.CurrentWrong = wrong{"current-wrong", fillIn(v.S.WaitFor, "{time}", v.S.span(a.Wait))}
	}
	if a.InviteURL != "" {
		v.InviteFor = fillIn(v.S.InviteFor, "{name}", "\u2068"+a.InviteName+"\u2069")
	}
	if a.Problem != "" {
		if v.Problem = v.S.Faults[a.Problem]; v.Problem == "" {
			v.Problem = v.S.Faults[""]
		}
	}
	for _, s := range a.Sessions {
		v.Sessions = append(v.Sessions, sessionView{s.ID, s.Browser, day(s.Since), day(s.Seen), s.Current})
		v.Others = v.Others || !s.Current
	}
	for _, p := range a.People {
		v.People = append(v.People, v.S.person(p))
	}
	return render(w, "account.html", v)
}

func (w *staffWords) person(p PersonLine) personView {
	v := personView{ID: p.ID, Login: p.Login, Name: p.Name, Role: w.Roles[p.Role], Status: w.Statuses[p.Status]}
	add := func(do, label string) { v.Actions = append(v.Actions, personAction{do, label, p.Name}) }
	switch {
	case p.Self:
	case p.Status == "disabled":
		add("enable", w.Enable)
	default:
		add("invite", w.NewLink)
		if p.Role == "admin" {
			add("dispatcher", w.MakeDispatcher)
		} else {
			add("admin", w.MakeAdmin)
		}
		add("disable", w.Disable)
	}
	return v
}

// day says when, for people anywhere.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
