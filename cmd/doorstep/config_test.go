package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAFlagGoesBeforeTheEnvironmentBeforeTheFileBeforeTheDefault(t *testing.T) {
	t.Chdir(t.TempDir())
	named := write(t, "named.toml", "max_streams = 4\n")
	type row struct{ value, from string }
	for _, c := range []struct {
		name             string
		here, env, named string
		flags            []string
		want             row
	}{
		{name: "nobody says anything", want: row{"10000", "default"}},
		{name: "the file in this folder", here: "max_streams = 1", want: row{"1", "doorstep.toml"}},
		{name: "a named file instead of it", here: "max_streams = 1", flags: []string{"--config", named}, want: row{"4", named}},
		{name: "a file named by the environment", here: "max_streams = 1", named: named, want: row{"4", named}},
		{name: "the environment before the file", here: "max_streams = 1", env: "2", want: row{"2", "DOORSTEP_MAX_STREAMS"}},
		{name: "a flag before all", here: "max_streams = 1", env: "2", flags: []string{"--max-streams", "3"}, want: row{"3", "--max-streams"}},
		{name: "a flag that repeats the default", env: "2", flags: []string{"--max-streams", "10000"}, want: row{"10000", "--max-streams"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_ = os.Remove(defaultFile)
			if c.here != "" {
				if err := os.WriteFile(defaultFile, []byte(c.here), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.env != "" {
				t.Setenv("DOORSTEP_MAX_STREAMS", c.env)
			}
			if c.named != "" {
				t.Setenv("DOORSTEP_CONFIG", c.named)
			}
			for line := range strings.Lines(mustRun(t, append([]string{"config", "show"}, c.flags...)...)) {
				if f := strings.Fields(line); f[0] == "max_streams" {
					if diff := cmp.Diff([]string{c.want.value, c.want.from}, f[1:]); diff != "" {
						t.Error(diff)
					}
				}
			}
		})
	}
}

func TestEverySettingCanComeFromEverySource(t *testing.T) {
	sample := map[string]string{"db": "x.db", "listen": "127.0.0.1:1", "metrics_listen": "127.0.0.1:2", "public_url": "https://x.example", "log_level": "warn",
		"log_format": "json", "trusted_proxies": "true", "default_time_zone": "Africa/Nairobi", "default_country": "KE", "default_locale": "sw",
		"default_opening_hours": "Mo-Fr 08:00-18:00", "default_auto_accept": "false", "push_contact": "desk@doorstep.example", "push_loopback": "true",
		"default_quiet_hours": "22:00-07:00", "domain": "desk.example", "redirect_listen": "127.0.0.1:3"}
	for _, s := range settings {
		v := sample[s.name]
		if v == "" {
			v = "77"
		}
		env, _, err := fromEnv([]string{envName(s.name) + "=" + v})
		if err != nil {
			t.Fatal(err)
		}
		quoted := `"` + v + `"`
		if v == "77" || v == "true" || v == "false" {
			quoted = v
		}
		file, err := fromFile(write(t, "all.toml", s.name+" = "+quoted))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []layer{env, file} {
			c, err := resolve(l)
			if err != nil {
				t.Errorf("%s: %v", s.name, err)
			} else if got := c.origin[s.name]; got.text != v || got.from == "default" {
				t.Errorf("%s: %+v", s.name, got)
			}
		}
	}
}

func TestASettingNobodyKnowsIsRefusedWithAHint(t *testing.T) {
	t.Chdir(t.TempDir())
	wantRefused(t, 2, []string{"--lisen", "did you mean --listen?"}, "serve", "--lisen", "127.0.0.1:1")
	wantRefused(t, 2, []string{"sreve", "did you mean serve?"}, "sreve")
	wantRefused(t, 2, []string{"crate", "did you mean create?"}, "key", "crate")
	wantRefused(t, 2, []string{"frobnicate", "--help"}, "frobnicate")
	wantRefused(t, 2, []string{"1 needed", "backup FILE"}, "backup")

	for _, c := range []struct {
		file  string
		words []string
	}{
		{`lisen = "127.0.0.1:1"`, []string{"unknown setting lisen in doorstep.toml", "did you mean listen?"}},
		{`colour = "red"`, []string{"unknown setting colour", "config show"}},
		{"[listen]\nport = 1", []string{"listen must be a text"}},
		{`max_streams = "many"`, []string{"doorstep.toml", "max_streams", "a whole number"}},
		{`default_time_zone = "Nairobi"`, []string{"default_time_zone", "IANA"}},
		{`default_opening_hours = "whenever"`, []string{"default_opening_hours", "whenever"}},
		{`default_quiet_hours = "at night"`, []string{"default_quiet_hours", "22:00-07:00"}},
		{`push_contact = "call me"`, []string{"push_contact", "e-mail"}},
		{`listen = "8080"`, []string{"listen", "HOST:PORT"}},
		{`public_url = "doorstep.example"`, []string{"public_url", "https://"}},
		{`listen = `, []string{"doorstep.toml"}},
	} {
		if err := os.WriteFile(defaultFile, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, 2, c.words, "config", "show")
	}
	_ = os.Remove(defaultFile)
	t.Setenv("DOORSTEP_TEST_ANYTHING", "is not ours")
	mustRun(t, "config", "show")
	t.Setenv("DOORSTEP_LISTN", "127.0.0.1:1")
	wantRefused(t, 2, []string{"unknown setting DOORSTEP_LISTN", "did you mean DOORSTEP_LISTEN?"}, "config", "show")
}

func TestAPasswordIsNeverShown(t *testing.T) {
	t.Chdir(t.TempDir())
	const url = "postgres://doorstep:correct-horse@127.0.0.1:1/doorstep"
	out, errs, err := command(t, "doctor", "--db", url, "--listen", "127.0.0.1:0")
	if err == nil {
		t.Error("a database that does not answer is a failed check")
	}
	if out += errs + explain(err) + mustRun(t, "config", "show", "--db", url); strings.Contains(out, "correct-horse") {
		t.Errorf("the password is in\n%s", out)
	}
	if !strings.Contains(out, "doorstep@127.0.0.1:1") {
		t.Errorf("which database it is about is not in\n%s", out)
	}
}

func TestEditDistanceIsAMetric(t *testing.T) {
	word := rapid.StringMatching(`[a-d]{0,7}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		if d := editDistance(a, b); d != editDistance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) || d < max(len(a), len(b))-min(len(a), len(b)) {
			t.Fatalf("%q %q: %d", a, b, d)
		}
		if editDistance(a, c) > editDistance(a, b)+editDistance(b, c) {
			t.Fatalf("a detour over %q is shorter", b)
		}
	})
	if d := editDistance("kitten", "sitting"); d != 3 {
		t.Errorf("kitten, sitting: %d, want 3", d)
	}
}
