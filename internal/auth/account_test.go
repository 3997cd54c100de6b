package auth

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"doorstep/internal/fault"
	"doorstep/internal/ident"

	"pgregory.net/rapid"
)

const goodPassword = "four words are enough"

// cheap makes passwords quick to hash: how dear they are is no part of these stories.
func (o office) cheap() office {
	o.passwords = newHasher(cost{memoryKiB: 8, passes: 1, lanes: 1})
	return o
}

// admin makes the first account and returns its open session.
func (o office) admin() (string, Account) {
	o.Helper()
	l, ok, err := o.FirstLink(bg)
	if err != nil || !ok {
		o.Fatal(ok, err)
	}
	session, a, err := o.UseLink(bg, l.Token, NewAccount{Login: "Amina@Desk.example ", Name: "Amina"}, goodPassword, "Firefox")
	if err != nil {
		o.Fatal(err)
	}
	return session, a
}

// person makes an account that has chosen its password, and returns its open session.
func (o office) person(login string, role Role) (string, Account) {
	o.Helper()
	_, l, err := o.CreateAccount(bg, NewAccount{Login: login, Name: "P " + login, Role: role})
	if err != nil {
		o.Fatal(err)
	}
	session, a, err := o.UseLink(bg, l.Token, NewAccount{}, goodPassword, "Chrome")
	if err != nil {
		o.Fatal(err)
	}
	return session, a
}

func (o office) in(session string) Principal {
	o.Helper()
	p, err := o.Session(bg, session)
	if err != nil {
		o.Errorf("signed out: %v", err)
	}
	return p
}

func (o office) out(session string) {
	o.Helper()
	p, err := o.Session(bg, session)
	if fault.Code(err) != "signed-out" || p != (Principal{}) {
		o.Errorf("want 401 signed-out, got %+v %v", p, err)
	}
}

func (o office) signIn(login, password string) (string, error) {
	session, _, err := o.SignIn(bg, Attempt{Login: login, Password: password, From: "192.0.2.1", Browser: "Firefox", Session: ""})
	return session, err
}

func code(t *testing.T, err error, want string) {
	t.Helper()
	if fault.Code(err) != want {
		t.Errorf("want %s, got %v", want, err)
	}
}

func TestTheFirstLinkMakesOneAdministrator(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		old, _, _ := o.FirstLink(bg)
		l, ok, err := o.FirstLink(bg)
		if err != nil || !ok || !l.ExpiresAt.Equal(noon.Add(24*time.Hour)) {
			t.Fatal(l, ok, err)
		}
		_, err = o.OpenLink(bg, old.Token) // the server was started again
		code(t, err, "not-found")
		if a, err := o.OpenLink(bg, l.Token); err != nil || a != (Account{}) {
			t.Fatal(a, err) // looking does not use it: mail programs look, too
		}
		_, _, err = o.UseLink(bg, l.Token, NewAccount{Login: "amina", Name: "Amina"}, "short", "")
		code(t, err, "invalid")
		var at sync.WaitGroup
		made := make(chan string, 8)
		for range 8 {
			at.Go(func() {
				if s, a, err := o.UseLink(bg, l.Token, NewAccount{Login: "Amina ", Name: "Amina", Role: RoleDispatcher}, goodPassword, "Firefox"); err == nil {
					if a.Role != RoleAdmin || a.Login != "amina" || !a.Ready {
						t.Errorf("%+v", a)
					}
					made <- s
				} else {
					code(t, err, "not-found")
				}
			})
		}
		at.Wait()
		if len(made) != 1 {
			t.Fatalf("%d people made the first account by one link", len(made))
		}
		if p := o.in(<-made); p.Role != RoleAdmin || !strings.HasPrefix(p.Actor(), "user:usr_") {
			t.Errorf("%+v", p)
		}
		if _, ok, err := o.FirstLink(bg); ok || err != nil {
			t.Error("there is an account, and another first link", err)
		}
	})
}

func TestALinkDiesWithItsTime(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		l, _, _ := o.FirstLink(bg)
		o.rows.Set(noon.Add(24 * time.Hour))
		_, err := o.OpenLink(bg, l.Token)
		code(t, err, "not-found")
		_, _, err = o.UseLink(bg, l.Token, NewAccount{Login: "amina", Name: "Amina"}, goodPassword, "")
		code(t, err, "not-found")
	})
}

func TestAnInvitedPersonChoosesThePassword(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		o.admin()
		a, l, err := o.CreateAccount(bg, NewAccount{Login: "Ben@desk.example", Name: "Ben", Role: RoleDispatcher})
		if err != nil || a.Ready {
			t.Fatal(a, err)
		}
		_, err = o.signIn("ben@desk.example", "")
		code(t, err, "sign-in-failed") // no password is not the empty one
		_, _, err = o.CreateAccount(bg, NewAccount{Login: "BEN@desk.example", Name: "Benno", Role: RoleDispatcher})
		code(t, err, "login-taken")
		first, _, err := o.UseLink(bg, l.Token, NewAccount{Login: "admin", Name: "Mallory", Role: RoleAdmin}, goodPassword, "")
		if err != nil {
			t.Fatal(err)
		}
		if p := o.in(first); p.Role != RoleDispatcher || p.Name != "Ben" || p.Account != a.Key {
			t.Errorf("the link gave more than was invited to: %+v", p)
		}
		_, err = o.OpenLink(bg, l.Token)
		code(t, err, "not-found")

		// Forgotten: a new link; the old password works until the link is used, and no session after.
		l, err = o.Invite(bg, a.Key)
		if err != nil {
			t.Fatal(err)
		}
		second, err := o.signIn("ben@desk.example", goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		third, _, err := o.UseLink(bg, l.Token, NewAccount{}, "another good password", "")
		if err != nil {
			t.Fatal(err)
		}
		o.out(first)
		o.out(second)
		o.in(third)
		_, err = o.signIn("ben@desk.example", goodPassword)
		code(t, err, "sign-in-failed")
	})
}

func TestPasswordsAreLongAndNothingElse(t *testing.T) {
	for _, c := range []struct{ password, want string }{
		{"short", "too-short"},
		{"九个字不够长啊啊啊", "too-short"},
		{"一二三四五六七八九十", ""},
		{"amina@desk.example", "guessable"},
		{"AMINA@desk.example", "guessable"},
		{"Amina Wanjiru", "guessable"},
		{"aaaaaaaaaaaa", "guessable"},
		{strings.Repeat("ab", 128), ""},
		{strings.Repeat("ab", 129), "too-long"},
		{"ten\xffletters", "not-utf8"},
		{"lower case words", ""},
		{"          x", ""},
	} {
		var f fault.Fields
		checkPassword(&f, "/password", c.password, "amina@desk.example", "Amina Wanjiru")
		got := ""
		if len(f) > 0 {
			got = f[0].Code
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.password, got, c.want)
		}
	}
}

func TestHashesAreWrittenAsOthersReadThem(t *testing.T) {
	// A test of the reference implementation (phc-winner-argon2, src/test.c): "password" with "somesalt".
	h := newHasher(cost{memoryKiB: 256, passes: 2, lanes: 1})
	const known = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	if ok, old, err := h.matches(bg, known, "password"); !ok || old || err != nil {
		t.Error("the reference implementation's own test vector is refused", ok, old, err)
	}
	if ok, _, _ := h.matches(bg, known, "Password"); ok {
		t.Error("a wrong password is taken")
	}
	stored, err := newHasher(usualCost).hash(bg, goodPassword)
	if err != nil || !strings.HasPrefix(stored, "$argon2id$v=19$m=47104,t=1,p=1$") {
		t.Fatal(stored, err)
	}
	if ok, old, _ := h.matches(bg, stored, goodPassword); !ok || !old {
		t.Error("a hash of another cost has to be taken, and renewed", ok, old)
	}
	for _, bad := range []string{"", "x", "$argon2id$v=19$m=99999999,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", known + "$", known[:60]} {
		if _, ok := parsePHC(bad); ok {
			t.Errorf("%q was read", bad)
		}
		if ok, _, err := h.matches(bg, bad, ""); ok || err != nil {
			t.Errorf("%q: %v %v", bad, ok, err)
		}
	}
}

func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Add("$argon2id$v=19$m=8,t=1,p=0$$")
	f.Fuzz(func(t *testing.T, s string) {
		if p, ok := parsePHC(s); ok && (p.String() != s || p.memoryKiB > 1<<20) {
			t.Fatalf("%q", s)
		}
	})
}

// Whoever guesses learns nothing about which accounts there are: same words, same work.
func TestWrongPasswordAndUnknownLoginLookAlike(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		o.admin()
		_, ben := o.person("ben", RoleDispatcher)
		if _, err := o.Disable(bg, ben.Key); err != nil {
			t.Fatal(err)
		}
		if _, _, err := o.CreateAccount(bg, NewAccount{Login: "new", Name: "New", Role: RoleDispatcher}); err != nil {
			t.Fatal(err)
		}
		said := map[string]bool{}
		for login, password := range map[string]string{"amina@desk.example": "wrong password", "nobody": goodPassword, "ben": goodPassword, "new": "",
			"amina@desk.example\x00": goodPassword, "' OR 1=1 --": goodPassword} {
			before := o.passwords.made.Load()
			_, err := o.signIn(login, password)
			if err == nil {
				t.Fatalf("%q is signed in", login)
			}
			said[err.Error()] = true
			if n := o.passwords.made.Load() - before; n != 1 {
				t.Errorf("%q cost %d hashes, want 1", login, n)
			}
		}
		if len(said) != 1 {
			t.Errorf("they are told apart: %v", said)
		}
	})
}

func TestGuessingHasToWaitLongerAndLonger(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		o.admin()
		for _, login := range []string{"amina@desk.example", "nobody"} {
			var waits []time.Duration
			for len(waits) < 12 {
				_, err := o.signIn(login, "wrong password")
				if fault.Code(err) == "sign-in-failed" {
					waits = append(waits, 0)
					continue
				}
				f := fault.As(err)
				if f == nil || f.Code != "wait" || f.Kind != fault.Exhausted {
					t.Fatal(err)
				}
				waits = append(waits, f.RetryAfter)
				before := o.passwords.made.Load()
				if _, err := o.signIn(login, goodPassword); fault.Code(err) != "wait" {
					t.Errorf("%s: the right password shortens the wait: %v", login, err)
				}
				if o.passwords.made.Load() != before {
					t.Error("a try that does not count costs a hash")
				}
				o.rows.Advance(f.RetryAfter)
			}
			want := []time.Duration{0, 0, 0, 0, 0, time.Second, 0, 2 * time.Second, 0, 4 * time.Second, 0, 8 * time.Second}
			for i := range want {
				if waits[i] != want[i] {
					t.Fatalf("%s waits %v, want %v", login, waits, want)
				}
			}
		}
		if n := o.count(`SELECT count(*) FROM event WHERE type = 'account.sign_in_guarded'`); n != 1 {
			t.Errorf("the log was told %d times that somebody guesses at an account, want once", n)
		}
		o.rows.Advance(time.Hour)
		if _, err := o.signIn("amina@desk.example", goodPassword); err != nil {
			t.Fatal(err)
		}
		for range 4 { // the right one has forgotten the wrong ones
			_, err := o.signIn("amina@desk.example", "wrong password")
			code(t, err, "sign-in-failed")
		}
	})
}

func TestManyGuessesAtTheSameTimeAllCount(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		o.admin()
		var all sync.WaitGroup
		var mu sync.Mutex
		tried := 0
		for range 40 {
			all.Go(func() {
				if _, err := o.signIn("amina@desk.example", "wrong password"); fault.Code(err) == "sign-in-failed" {
					mu.Lock()
					tried++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if tried != freeOfLogin {
			t.Errorf("%d of 40 guesses were made, want %d", tried, freeOfLogin)
		}
	})
}

func TestOneAddressCannotTryManyLogins(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		o.admin()
		tried := 0
		for i := range 60 {
			_, _, err := o.SignIn(bg, Attempt{Login: "guess" + string(rune('a'+i)), Password: "wrong password", From: "2001:db8::" + string(rune('a'+i%6)), Browser: "", Session: ""})
			if fault.Code(err) == "sign-in-failed" {
				tried++
			}
			if i == 10 { // an attacker's own account in between gives nothing back but its own try
				if _, _, err := o.SignIn(bg, Attempt{Login: "amina@desk.example", Password: goodPassword, From: "2001:db8::1", Browser: "", Session: ""}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if tried != freeOfAddress {
			t.Errorf("one household tried %d logins, want %d", tried, freeOfAddress)
		}
		if _, _, err := o.SignIn(bg, Attempt{Login: "amina@desk.example", Password: goodPassword, From: "2001:db8:0:1::1", Browser: "", Session: ""}); err != nil {
			t.Errorf("another household has to wait: %v", err)
		}
	})
}

// Whoever guesses at a login keeps strangers out of it, and not the person.
func TestAKnownBrowserDoesNotWaitForStrangers(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		o.admin()
		o.person("ben", RoleDispatcher)
		try := func(login, password, from, known string) error {
			_, _, err := o.SignIn(bg, Attempt{Login: login, Password: password, From: from, Known: known})
			return err
		}
		known := o.Known("Amina@desk.example")
		for range freeOfLogin {
			code(t, try("amina@desk.example", "wrong password", "192.0.2.66", ""), "sign-in-failed")
		}
		code(t, try("amina@desk.example", goodPassword, "192.0.2.1", ""), "wait")
		for _, forged := range []string{"x.y", known + "A", o.Known("ben"), strings.Repeat("A", nonceLen) + "." + known[nonceLen+1:], known[1:]} {
			code(t, try("amina@desk.example", goodPassword, "192.0.2.1", forged), "wait")
		}
		if err := try("amina@desk.example", goodPassword, "192.0.2.1", known); err != nil {
			t.Errorf("the person's own browser has to wait: %v", err)
		}
		for range freeOfLogin { // a stolen one is no way around: it has its own count
			code(t, try("amina@desk.example", "wrong password", "192.0.2.67", known), "sign-in-failed")
		}
		code(t, try("amina@desk.example", "wrong password", "192.0.2.67", known), "wait")
	})
}

func TestTheWaitGrowsAndEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<40).Draw(t, "tries")
		a, b := waitAfter(n, 5), waitAfter(n+1, 5)
		if a > b || b > longestWait || n < 5 && a != 0 || n >= 5 && a < time.Second {
			t.Fatalf("after %d tries %v, after the next %v", n, a, b)
		}
	})
}

func TestASessionEndsWithoutUseAndAtItsAge(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		s, _ := o.admin()
		advance := func(d time.Duration) { o.rows.Advance(d); o.real.Advance(d) }
		advance(12*time.Hour - time.Millisecond)
		o.in(s) // the last moment, and a use
		advance(12*time.Hour - time.Second)
		if err := o.Stands(bg, s); err != nil {
			t.Error(err) // looked at, and not used
		}
		advance(time.Second)
		o.out(s)
		s, err := o.signIn("amina@desk.example", goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		for range 14 * 3 {
			o.in(s)
			advance(8 * time.Hour)
		}
		o.out(s) // in use all the time, and 14 days old
	})
}

func TestUseIsNotedOnceAMinute(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		s, _ := o.admin()
		seen := func() int64 {
			var ms int64
			if err := o.db.Read(bg).Get(&ms, `SELECT seen_at FROM session`); err != nil {
				t.Fatal(err)
			}
			return ms
		}
		began := seen()
		for _, c := range []struct {
			after time.Duration
			want  time.Duration
		}{{0, 0}, {59 * time.Second, 0}, {time.Second, time.Minute}, {30 * time.Second, time.Minute}, {time.Hour, time.Hour + 90*time.Second}} {
			o.rows.Advance(c.after)
			o.real.Advance(c.after)
			for range 5 {
				o.in(s)
			}
			if got := time.Duration(seen()-began) * time.Millisecond; got != c.want {
				t.Errorf("%v later: noted at %v, want %v", c.after, got, c.want)
			}
		}
	})
}

func TestWhatHappensToAnAccountHoldsAtOnceAndElsewhereWithinASecond(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		o.admin()
		s, ben := o.person("ben", RoleDispatcher)
		branch := o.branch()
		branch.in(s)
		if _, err := o.SetRole(bg, ben.Key, RoleAdmin); err != nil {
			t.Fatal(err)
		}
		if p := o.in(s); p.Role != RoleAdmin {
			t.Error("the new role does not hold here")
		}
		o.real.Advance(time.Second)
		if p := branch.in(s); p.Role != RoleAdmin {
			t.Error("the new role does not hold elsewhere")
		}
		for range 2 {
			if a, err := o.Disable(bg, ben.Key); err != nil || a.DisabledAt == nil {
				t.Fatal(a, err)
			}
		}
		o.out(s)
		o.real.Advance(time.Second)
		branch.out(s)
		if _, err := o.Enable(bg, ben.Key); err != nil {
			t.Fatal(err)
		}
		o.out(s) // enabled again is not signed in again
		if _, err := o.signIn("ben", goodPassword); err != nil {
			t.Error(err)
		}
	})
}

func TestTheLastAdministratorStays(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		_, amina := o.admin()
		_, _, err := o.CreateAccount(bg, NewAccount{Login: "invited", Name: "I", Role: RoleAdmin}) // and never came
		if err != nil {
			t.Fatal(err)
		}
		_, err = o.Disable(bg, amina.Key)
		code(t, err, "last-admin")
		_, err = o.SetRole(bg, amina.Key, RoleDispatcher)
		code(t, err, "last-admin")
		_, ben := o.person("ben", RoleAdmin)
		var both sync.WaitGroup
		for _, key := range []int64{amina.Key, ben.Key} {
			both.Go(func() { _, _ = o.Disable(bg, key) })
		}
		both.Wait()
		if n := o.count(`SELECT count(*) FROM account WHERE role = 'admin' AND disabled_at IS NULL AND password <> ''`); n != 1 {
			t.Errorf("%d administrators are left, want 1", n)
		}
	})
}

func TestSigningInAgainEndsTheSessionBefore(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		first, _ := o.admin()
		second, _, err := o.SignIn(bg, Attempt{Login: "amina@desk.example", Password: goodPassword, From: "192.0.2.1", Browser: "Firefox", Session: first})
		if err != nil || second == first {
			t.Fatal(err)
		}
		o.out(first)
		o.in(second)
		planted := strings.Repeat("A", 43) // an attacker's own choice
		third, _, err := o.SignIn(bg, Attempt{Login: "amina@desk.example", Password: goodPassword, From: "192.0.2.1", Browser: "Firefox", Session: planted})
		if err != nil || third == planted {
			t.Fatal(err)
		}
		o.out(planted)
	})
}

func TestAChangedPasswordEndsTheOtherSessions(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		here, a := o.admin()
		there, err := o.signIn("amina@desk.example", goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		p := o.in(here)
		code(t, o.ChangePassword(bg, a.Key, p.Session, "wrong password", "another good password"), "invalid")
		code(t, o.ChangePassword(bg, a.Key, p.Session, goodPassword, "short"), "invalid")
		o.in(there)
		if err := o.ChangePassword(bg, a.Key, p.Session, goodPassword, "another good password"); err != nil {
			t.Fatal(err)
		}
		o.in(here)
		o.out(there)
		_, err = o.signIn("amina@desk.example", goodPassword)
		code(t, err, "sign-in-failed")
		list, _, err := o.Sessions(bg, a.Key, 0, 10)
		if err != nil || len(list) != 1 || list[0].Key != p.Session {
			t.Errorf("%+v %v", list, err)
		}
	})
}

func TestAHashOfYesterdayIsRenewedWhenItsPersonComes(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		o.admin()
		stored := func() (s string) {
			if err := o.db.Read(bg).Get(&s, `SELECT password FROM account`); err != nil {
				t.Fatal(err)
			}
			return s
		}
		old := stored()
		o.passwords = newHasher(cost{memoryKiB: 16, passes: 1, lanes: 1})
		if _, err := o.signIn("amina@desk.example", goodPassword); err != nil {
			t.Fatal(err)
		}
		if now := stored(); now == old || !strings.Contains(now, "$m=16,") {
			t.Error(now)
		}
		if _, err := o.signIn("amina@desk.example", goodPassword); err != nil {
			t.Error(err)
		}
	})
}

// The whole database in an attacker's hands opens nothing, and names nobody in the log.
func TestAStolenDatabaseOpensNothing(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		session, _ := o.admin()
		_, open, err := o.CreateAccount(bg, NewAccount{Login: "ben", Name: "Ben Otieno", Role: RoleDispatcher})
		if err != nil {
			t.Fatal(err)
		}
		pairing, err := o.NewPairingCode(bg, 42)
		if err != nil {
			t.Fatal(err)
		}
		phone, _, err := o.Pair(bg, pairing.Code, "Counter phone", "", "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		other, err := o.NewPairingCode(bg, 42)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = o.signIn("carol@desk.example", "wrong password")
		for _, text := range o.everything() {
			for _, secret := range []string{session, open.Token, phone, pairing.Code, other.Code, goodPassword, "carol", "192.0.2.1"} {
				if strings.Contains(text, secret) {
					t.Errorf("%q is in the database: %q", secret, text)
				}
			}
			if len(text) == 64 { // what is kept is no key to the door
				o.out(text[:43])
				if _, err := o.OpenLink(bg, text[:43]); err == nil {
					t.Error("a hash opened a link")
				}
			}
		}
		var log []string
		if err := o.db.Read(bg).Select(&log, `SELECT data FROM event`); err != nil {
			t.Fatal(err)
		}
		for _, text := range log {
			for _, personal := range []string{"amina", "Amina", "ben", "Otieno", "Firefox", "Counter"} {
				if strings.Contains(text, personal) {
					t.Errorf("the log says %q: %s", personal, text)
				}
			}
		}
	})
}

func TestTooManyAtOnceAreAskedToComeBack(t *testing.T) {
	h := newHasher(cost{memoryKiB: 8, passes: 1, lanes: 1})
	for range hashesAtOnce {
		h.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(bg)
	var all sync.WaitGroup
	for range hashesWaiting {
		all.Go(func() { _, _ = h.hash(ctx, goodPassword) })
	}
	for h.waiting.Load() < hashesWaiting {
		time.Sleep(time.Millisecond)
	}
	_, err := h.hash(bg, goodPassword)
	code(t, err, "too-busy")
	cancel()
	all.Wait()
	if h.made.Load() != 0 {
		t.Error("hashes were made without a place")
	}
}

// ---- phones

func TestAPhoneIsPairedByACode(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		p, err := o.NewPairingCode(bg, 42)
		if err != nil || len(p.Code) != 8 || !p.ExpiresAt.Equal(noon.Add(15*time.Minute)) {
			t.Fatal(p, err)
		}
		typed := strings.ToLower(p.Code[:4]) + " - " + strings.ToLower(p.Code[4:])
		token, s, err := o.Pair(bg, typed, "Counter phone", "try-1", "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		got := o.in(token)
		if got.Role != RoleStore || got.Store != 42 || got.Name != "Counter phone" || got.Actor() != "device:"+o.db.Names().Name(ident.Device, s.Key) {
			t.Errorf("%+v %s", got, got.Actor())
		}
		_, _, err = o.Pair(bg, p.Code, "Thief's phone", "", "192.0.2.2")
		code(t, err, "invalid")
		_, _, err = o.Pair(bg, p.Code, "Thief's phone", "try-2", "192.0.2.2")
		code(t, err, "invalid")
		again, same, err := o.Pair(bg, p.Code, "Counter phone", "try-1", "192.0.2.1") // the answer was lost
		if err != nil || same.Key != s.Key || again == token {
			t.Fatal(err)
		}
		o.in(again)
		o.out(token)
		if n := o.count(`SELECT count(*) FROM event WHERE type = 'device.paired'`); n != 1 {
			t.Errorf("paired %d times", n)
		}
		list, _, err := o.Devices(bg, 42, 0, 10)
		if err != nil || len(list) != 1 || list[0].Name != "Counter phone" {
			t.Errorf("%+v %v", list, err)
		}
		branch := o.branch()
		branch.in(again)
		for range 2 {
			if err := o.EndSession(bg, s.Key); err != nil {
				t.Fatal(err)
			}
		}
		o.out(again)
		o.real.Advance(time.Second)
		branch.out(again)
		_, _, err = o.Pair(bg, p.Code, "Counter phone", "try-1", "192.0.2.1")
		code(t, err, "invalid") // revoked stays revoked
	})
}

func TestCodesThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		p, _ := o.NewPairingCode(bg, 42)
		o.rows.Set(noon.Add(15 * time.Minute))
		for _, c := range []struct{ typed, device string }{{p.Code, "phone"}, {"7K3M-9QX", "phone"}, {"7K3M9QXTA", "phone"}, {"7K3M9Q!T", "phone"}, {"", "phone"}, {"7K3M9QXT", ""}} {
			_, _, err := o.Pair(bg, c.typed, c.device, "", "192.0.2.1")
			code(t, err, "invalid")
		}
	})
}

func TestGuessingCodesHasToWait(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		p, _ := o.NewPairingCode(bg, 42)
		tried := 0
		for range 50 {
			_, _, err := o.Pair(bg, newCode(), "Thief's phone", "", "192.0.2.2")
			if fault.Code(err) == "invalid" {
				tried++
			} else {
				code(t, err, "wait")
			}
		}
		if tried != freeOfPairing {
			t.Errorf("%d codes were tried at once, want %d", tried, freeOfPairing)
		}
		_, _, err := o.Pair(bg, p.Code, "Thief's phone", "", "192.0.2.2")
		code(t, err, "wait")
		if _, _, err := o.Pair(bg, p.Code, "Counter phone", "", "192.0.2.1"); err != nil {
			t.Errorf("the shop's own phone has to wait for a thief: %v", err)
		}
	})
}

func TestAPhoneStaysPairedWhileItIsUsed(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		p, _ := o.NewPairingCode(bg, 42)
		token, _, err := o.Pair(bg, p.Code, "Counter phone", "", "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		for range 6 {
			o.rows.Advance(59 * 24 * time.Hour)
			o.real.Advance(59 * 24 * time.Hour)
			o.in(token)
		}
		o.rows.Advance(60 * 24 * time.Hour)
		o.real.Advance(60 * 24 * time.Hour)
		o.out(token)
	})
}

func TestCodesAreReadAsPeopleTypeThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := newCode()
		typed := strings.NewReplacer("0", rapid.SampledFrom([]string{"0", "O", "o"}).Draw(t, "zero"),
			"1", rapid.SampledFrom([]string{"1", "I", "l"}).Draw(t, "one"), "V", rapid.SampledFrom([]string{"V", "u"}).Draw(t, "v")).Replace(code)
		at := rapid.IntRange(0, 8).Draw(t, "place")
		if got, ok := readCode(typed[:at] + rapid.SampledFrom([]string{"", "-", " "}).Draw(t, "space") + typed[at:]); !ok || got != code {
			t.Fatalf("%q for %q: %q %v", typed, code, got, ok)
		}
	})
}

func TestWhatEndedIsForgotten(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o = o.cheap()
		s, a := o.admin()
		if _, err := o.Invite(bg, a.Key); err != nil {
			t.Fatal(err)
		}
		_, _ = o.NewPairingCode(bg, 42)
		_, _ = o.signIn("nobody", "wrong password")
		o.rows.Advance(24 * time.Hour)
		if err := o.PurgeSessions(bg); err != nil {
			t.Fatal(err)
		}
		if n := o.count(`SELECT (SELECT count(*) FROM session) + 10 * (SELECT count(*) FROM account_link) + 100 * (SELECT count(*) FROM pairing_code)`); n != 11 {
			t.Errorf("after a day: %d", n)
		}
		o.rows.Advance(60 * 24 * time.Hour)
		if err := o.PurgeSessions(bg); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"session", "account_link", "pairing_code", "sign_in_try"} {
			if n := o.count(`SELECT count(*) FROM ` + table); n != 0 {
				t.Errorf("%s keeps %d rows", table, n)
			}
		}
		o.real.Advance(time.Second)
		o.out(s)
	})
}
