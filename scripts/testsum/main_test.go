package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The format belongs to the Go toolchain, so this story is told by the real one: a small module in which every
// way a test can end happens once.
func TestSummarizeWhatGoTestWrites(t *testing.T) {
	got, goTest := runModule(t, map[string]string{
		"go.mod": "module town\n\ngo 1.26\n",
		"fine/fine_test.go": `package fine
			import "testing"
			func TestPasses(t *testing.T) { t.Log("nobody wants to read this") }
			func TestTable(t *testing.T) {
				t.Run("a", func(t *testing.T) {})
				t.Run("b/c", func(t *testing.T) {})
			}
			func TestSkips(t *testing.T) { t.Log("looking"); t.Skip("no harbour\nin this town") }
			func TestSkipsSilently(t *testing.T) { t.SkipNow() }
			func FuzzSeed(f *testing.F) { f.Add(1); f.Fuzz(func(t *testing.T, n int) {}) }
			func ExampleGreet() { println("no output, so go test does not run it") }
			func Greet() {}`,
		"broken/broken_test.go": `package broken
			import "testing"
			func TestTable(t *testing.T) {
				t.Run("good", func(t *testing.T) {})
				t.Run("bad", func(t *testing.T) { t.Error("two and two is five") })
			}
			func TestAlone(t *testing.T) { t.Run("sub", func(t *testing.T) {}); t.Error("after its subtest") }`,
		"quitter/quitter_test.go": `package quitter
			import ("fmt"; "os"; "testing")
			func TestQuits(t *testing.T) { fmt.Println("last words"); os.Exit(3) }`,
		"doorman/doorman_test.go": `package doorman
			import ("fmt"; "os"; "testing")
			func TestMain(m *testing.M) { fmt.Println("nobody gets in"); os.Exit(1) }
			func TestNever(t *testing.T) {}`,
		"typo/typo_test.go": "package typo\nvar x = missing\n",
		"empty/empty.go":    "package empty\n",
	})
	if goTest == nil {
		t.Fatal("go test is happy with this module: the story proves nothing")
	}

	for _, want := range []string{
		`(?m)^ok  \ttown/fine\t\d+\.\d+s$`,
		`(?m)^FAIL\ttown/broken\t\d+\.\d+s$`,
		`(?m)^\?   \ttown/empty\t\[no test files\]$`,
		`broken_test\.go:5: two and two is five`,
		`broken_test\.go:7: after its subtest`,
		`last words`,
		`nobody gets in`,
		`typo_test\.go:2:9: undefined: missing`,
		`(?m)^SKIPPED  town/fine TestSkips: no harbour in this town$`,
		`(?m)^SKIPPED  town/fine TestSkipsSilently: no reason given$`,
		`(?m)^FAILED   town/broken TestTable/bad$`,
		`(?m)^FAILED   town/broken TestAlone$`,
		`(?m)^FAILED   town/quitter TestQuits \(did not finish\)$`,
		`(?m)^FAILED   town/doorman \(outside its tests\)$`,
		`(?m)^FAILED   town/typo \(did not build\)$`,
		// TestPasses, TestTable/a, /b/c, the seed, TestTable/good, TestAlone/sub.
		`(?m)\n6 passed, 5 failed, 2 skipped\n\z`,
	} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the report does not match %s", want)
		}
	}
	if strings.Contains(got, "nobody wants to read this") {
		t.Error("the report shows what a passing test logged")
	}
	if strings.Index(got, "two and two is five") > strings.Index(got, "FAIL\ttown/broken") {
		t.Error("a failure is not shown where it happens")
	}
	if t.Failed() {
		t.Logf("the report:\n%s", got)
	}
}

// runModule writes files, runs the module's tests and returns the report and the error of go test.
func runModule(t *testing.T, files map[string]string) (report string, goTest error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-json", "-vet=off", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	events, goTest := cmd.Output()
	if exit := (*exec.ExitError)(nil); goTest != nil && !errors.As(goTest, &exit) {
		t.Fatal(goTest)
	}
	var out strings.Builder
	if err := summarize(bytes.NewReader(events), &out); err != nil {
		t.Fatal(err)
	}
	return out.String(), goTest
}

func TestSummarize(t *testing.T) {
	tests := []struct {
		name   string
		events string
		want   string
	}{
		{
			name: "slow packages are named again, the slowest first",
			events: `{"Action":"run","Package":"a","Test":"TestA"}
{"Action":"pass","Package":"a","Test":"TestA"}
{"Action":"output","Package":"a","Output":"printed by its init\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t10.0s\n"}
{"Action":"pass","Package":"a","Elapsed":10}
{"Action":"pass","Package":"b","Elapsed":9.9}
{"Action":"pass","Package":"c","Elapsed":61.25}
`,
			want: "ok  \ta\t10.0s\n" + `
slow     c  61.2s
slow     a  10.0s
1 passed, 0 failed, 0 skipped
`,
		},
		{
			name: "a line that is no event is passed on",
			events: `go: downloading example.com v1.0.0
null
{"Action":"run","Package":"a","Test":"TestA"}
{"Action":"pass","Package":"a","Test":"TestA"}
{"Action":"pass","Package":"a","Elapsed":0.1}
cut of`,
			want: `go: downloading example.com v1.0.0
null
cut of
1 passed, 0 failed, 0 skipped
`,
		},
		{
			name: "go test itself is killed",
			events: `{"Action":"run","Package":"b","Test":"TestB"}
{"Action":"output","Package":"b","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"b","Test":"TestB","Output":"waiting\n"}
{"Action":"start","Package":"a"}
{"Action":"output","Package":"a","Output":"starting\n"}
`,
			want: `starting
waiting

FAILED   a (did not finish)
FAILED   b TestB (did not finish)
0 passed, 2 failed, 0 skipped
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			if err := summarize(strings.NewReader(tt.events), &out); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", out.String(), tt.want)
			}
		})
	}
}

func TestSummarizeRefusesARunWithoutTests(t *testing.T) {
	var out strings.Builder
	err := summarize(strings.NewReader(`{"Action":"skip","Package":"a"}`+"\n"), &out)
	if err == nil {
		t.Error("a run without any test is accepted")
	}
	if !strings.HasSuffix(out.String(), "\n0 passed, 0 failed, 0 skipped\n") {
		t.Errorf("the counts are missing:\n%s", out.String())
	}
}
