// Testsum reads what `go test -json` writes and tells it to people: a line per package with its time, a
// failure in full where it happens, and at the end every skipped test with its reason and one line of counts,
// so that a half that silently did not run cannot pass for green.
//
// It leaves the verdict to go test (use it with `set -o pipefail`), but fails when not one test ran.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// slowPackage is the time, in seconds, from which a package is named again at the end.
const slowPackage = 10

func main() {
	if err := summarize(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
}

// event is one line of `go test -json`: `go doc test2json` and `go help buildjson` describe it.
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
	Output  string

	FailedBuild string // of a package that failed: what did not build
}

// summarize reads events from in until its end and writes the report to out. Lines that are no event are
// passed on as they are. It returns an error if it cannot read, or if no test ran at all.
func summarize(in io.Reader, out io.Writer) error {
	r := &report{out: out, packages: map[string]*pkg{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading test events: %w", err)
		}
	}
	r.close()
	if r.passed+r.failed+len(r.skipped) == 0 {
		return errors.New("no test ran")
	}
	return nil
}

// report counts tests that have no subtests, and counts one that has only for what it did itself: fail though
// no subtest failed, or skip. A package that fails outside its tests counts as one failure.
type report struct {
	out      io.Writer
	packages map[string]*pkg
	passed   int
	failed   int
	failures []string
	skipped  []string
	slow     []slow
}

type slow struct {
	name    string
	seconds float64
}

type pkg struct {
	output strings.Builder // what no test wrote
	names  []string        // of tests, in the order they started
	tests  map[string]*test
	failed int
}

type test struct {
	output    strings.Builder
	parent    *test
	isParent  bool
	subFailed bool
	done      bool
}

func (r *report) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		fmt.Fprintf(r.out, "%s", line)
		return
	}
	switch {
	case e.Action == "build-output":
		fmt.Fprint(r.out, e.Output)
	case e.Package == "":
	case e.Test == "":
		r.packageEvent(e)
	default:
		r.testEvent(e)
	}
}

func (r *report) pkg(name string) *pkg {
	p := r.packages[name]
	if p == nil {
		p = &pkg{tests: map[string]*test{}}
		r.packages[name] = p
	}
	return p
}

// test finds a test or starts to keep it. A subtest's own name may hold slashes, so its parent is the longest
// prefix that is a test.
func (p *pkg) test(name string) *test {
	if t := p.tests[name]; t != nil {
		return t
	}
	t := &test{}
	for prefix := name; t.parent == nil; {
		i := strings.LastIndexByte(prefix, '/')
		if i < 0 {
			break
		}
		prefix = prefix[:i]
		t.parent = p.tests[prefix]
	}
	if t.parent != nil {
		t.parent.isParent = true
	}
	p.tests[name] = t
	p.names = append(p.names, name)
	return t
}

func (r *report) testEvent(e event) {
	p := r.pkg(e.Package)
	t := p.test(e.Test)
	switch e.Action {
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") { // RUN, PAUSE, CONT, NAME
			t.output.WriteString(e.Output)
		}
		return
	case "pass":
		if !t.isParent {
			r.passed++
		}
	case "skip":
		r.skipped = append(r.skipped, fmt.Sprintf("%s %s: %s", e.Package, e.Test, skipReason(t.output.String())))
	case "fail":
		if t.parent != nil {
			t.parent.subFailed = true
		}
		if !t.subFailed {
			r.fail(p, e.Package+" "+e.Test)
		}
		fmt.Fprint(r.out, t.output.String())
	default: // run, pause, cont
		return
	}
	t.done = true
	t.output.Reset()
}

func (r *report) fail(p *pkg, what string) {
	r.failed++
	p.failed++
	r.failures = append(r.failures, what)
}

func (r *report) packageEvent(e event) {
	p := r.pkg(e.Package)
	switch e.Action {
	case "output":
		p.output.WriteString(e.Output)
		return
	case "pass", "skip":
		fmt.Fprint(r.out, lastLine(p.output.String()))
	case "fail":
		where := "outside its tests"
		if e.FailedBuild != "" {
			where = "did not build"
		}
		r.packageFailed(p, e.Package, where)
	default: // start
		return
	}
	if e.Elapsed >= slowPackage {
		r.slow = append(r.slow, slow{e.Package, e.Elapsed})
	}
	delete(r.packages, e.Package)
}

// lastLine returns where go test puts its verdict on a package; before it stands what the package printed.
func lastLine(output string) string {
	end := strings.TrimSuffix(output, "\n")
	return output[strings.LastIndexByte(end, '\n')+1:]
}

// packageFailed writes what is still unsaid: a crash, a timeout or an exit leaves tests without a verdict, and
// their output may hold the only trace of why. Where names the failure if it is no test's.
func (r *report) packageFailed(p *pkg, name, where string) {
	for _, testName := range p.names {
		t := p.tests[testName]
		fmt.Fprint(r.out, t.output.String())
		if !t.done && !t.isParent {
			r.fail(p, name+" "+testName+" (did not finish)")
		}
	}
	if p.failed == 0 {
		r.fail(p, fmt.Sprintf("%s (%s)", name, where))
	}
	fmt.Fprint(r.out, p.output.String())
}

func (r *report) close() {
	// go test was killed: it had no time to tell how these packages ended.
	for _, name := range slices.Sorted(maps.Keys(r.packages)) {
		r.packageFailed(r.packages[name], name, "did not finish")
	}
	fmt.Fprintln(r.out)
	slices.SortFunc(r.slow, func(a, b slow) int { return cmp.Compare(b.seconds, a.seconds) })
	for _, s := range r.slow {
		fmt.Fprintf(r.out, "slow     %s  %.1fs\n", s.name, s.seconds)
	}
	for _, s := range r.skipped {
		fmt.Fprintf(r.out, "SKIPPED  %s\n", s)
	}
	for _, f := range r.failures {
		fmt.Fprintf(r.out, "FAILED   %s\n", f)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
}

var logEntry = regexp.MustCompile(`^\s+\S+\.go:\d+: `)

// skipReason finds in the output of a skipped test what it gave to t.Skip: its last log entry, on one line.
func skipReason(output string) string {
	var entry []string
	for line := range strings.Lines(output) {
		text := strings.TrimSpace(line)
		switch at := logEntry.FindString(line); {
		case at != "":
			entry = []string{strings.TrimSpace(line[len(at):])}
		case text != "" && len(entry) > 0 && !strings.HasPrefix(text, "--- SKIP: "):
			entry = append(entry, text)
		}
	}
	if len(entry) == 0 {
		return "no reason given"
	}
	return strings.Join(entry, " ")
}
