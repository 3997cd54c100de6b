package internal_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The house has floors, and arrows only point down. A package may import what stands on a lower
// floor, and nothing beside it. Leaves import nothing of ours but what is named.
var floors = map[string]int{
	"cmd/doorstep":       10,
	"internal/server":    9,
	"internal/privacy":   8, // reads and erases across the domains
	"internal/audit":     8, // reads across the domains
	"internal/match":     7,
	"internal/prestock":  7,
	"internal/dropoff":   7,
	"internal/care":      7,
	"internal/settle":    7,
	"internal/notify":    7,
	"internal/sim":       7,
	"internal/order":     6,
	"internal/partner":   6,
	"internal/event":     5,
	"internal/auth":      5,
	"internal/job":       5,
	"internal/db":        4,
	"internal/db/dbtest": 4,
	"internal/ident":     3,
	"internal/fault":     2,
	"internal/assign":    1,
	"internal/plainjson": 1,
	"internal/seal":      1,
	"internal/forecast":  1,
	"internal/route":     1,
	"internal/web":       1,
	"geo":                0,
	"migrations":         0,
	"api":                0,
}

// beside are the arrows between neighbours that the house allows.
var beside = map[string][]string{
	"internal/auth":      {"internal/event"}, // who got a key is in the log
	"internal/db/dbtest": {"internal/db"},
	"internal/job":       {},
}

// leaves stand on lower floors so that everyone may use them, but use nobody themselves.
var leaves = map[string][]string{
	"internal/assign": {"geo"}, "internal/forecast": {"geo"}, "internal/route": {"geo"}, "internal/web": {},
	"geo": {}, "migrations": {}, "api": {}, "internal/fault": {}, "internal/ident": {}, "internal/plainjson": {}, "internal/seal": {},
}

// homes say where each third-party module is used; the arrows of tests are free, but for h3, echo
// and cron, which have one home for tests too.
var homes = map[string][]string{
	"github.com/uber/h3-go":          {"geo"},
	"github.com/labstack/echo":       {"internal/server"},
	"github.com/robfig/cron":         {"internal/job"},
	"github.com/jmoiron/sqlx":        {"internal/db"},
	"github.com/mattn/go-sqlite3":    {"internal/db", "scripts/bench"},
	"github.com/jackc/pgx":           {"internal/db", "internal/db/dbtest", "scripts/bench"},
	"github.com/pressly/goose":       {"internal/db"},
	"github.com/prometheus":          {"internal/server"},
	"github.com/spf13":               {"cmd/doorstep"},
	"github.com/BurntSushi/toml":     {"cmd/doorstep"},
	"github.com/schollz/progressbar": {"cmd/doorstep"},
	"github.com/mattn/go-isatty":     {"cmd/doorstep"},
	"github.com/rickar/cal":          {"internal/partner"},
	"github.com/google/uuid":         {"internal/server"},
	"github.com/tidwall/rtree":       {"scripts/bench"}, // a peer that we are measured against
	"golang.org/x/image":             {"internal/dropoff"},
	"golang.org/x/sync":              {"internal/server"},
	"golang.org/x/time":              {"internal/server"},
	"golang.org/x/crypto":            {"internal/auth", "cmd/doorstep"}, // argon2; acme
	"github.com/skip2/go-qrcode":     {"internal/web"},
	"github.com/yuin/goldmark":       {"internal/web"},
	"go.yaml.in/yaml":                {"internal/web"},
	"golang.org/x/sys":               {"internal/db", "cmd/doorstep"},
	"github.com/SherClockHolmes":     {"internal/notify"},
	"github.com/getkin/kin-openapi":  {"tests"},
	"github.com/google/go-cmp":       {"tests"},
	"pgregory.net/rapid":             {"tests"},
}

// source is one file's place and imports.
type source struct {
	pkg, file string
	imports   []string
}

func (s source) test() bool { return strings.HasSuffix(s.file, "_test.go") }

// judge names what is wrong with a file's imports.
func judge(s source) []string {
	var wrong []string
	say := func(format string, args ...any) {
		wrong = append(wrong, s.pkg+"/"+s.file+": "+fmt.Sprintf(format, args...))
	}
	from, known := floors[s.pkg]
	if !known && !strings.HasPrefix(s.pkg, "scripts") && s.pkg != "internal" {
		say("package %s has no floor: give it one in this test", s.pkg)
		return wrong
	}
	for _, imp := range s.imports {
		ours, inside := strings.CutPrefix(imp, "doorstep/")
		switch {
		case inside && !s.test():
			if only, leaf := leaves[s.pkg]; leaf && !slices.Contains(only, ours) {
				say("%s is a leaf and imports %s", s.pkg, ours)
			} else if strings.HasPrefix(s.pkg, "scripts/") && strings.HasPrefix(ours, "scripts/") {
				// Programs of one script share what they speak of.
			} else if to, ok := floors[ours]; !ok {
				say("imports %s, which has no floor", ours)
			} else if known && to >= from && !slices.Contains(beside[s.pkg], ours) {
				say("%s (floor %d) imports %s (floor %d): arrows point down", s.pkg, from, ours, to)
			}
		case !inside && strings.Contains(strings.Split(imp, "/")[0], "."):
			checkHome(s, imp, say)
		}
	}
	return wrong
}

func checkHome(s source, imp string, say func(string, ...any)) {
	for prefix, pkgs := range homes {
		if imp != prefix && !strings.HasPrefix(imp, prefix+"/") {
			continue
		}
		if !slices.Contains(pkgs, s.pkg) && !(s.test() && slices.Contains(pkgs, "tests")) {
			say("imports %s, whose home is %s", imp, strings.Join(pkgs, ", "))
		}
		return
	}
	say("imports %s, which has no home: name one in this test", imp)
}

func TestArrowsPointDown(t *testing.T) {
	root := ".."
	files := 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && p != root || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		// The parser reads the files themselves; go list would answer from a cache.
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		s := source{pkg: filepath.ToSlash(filepath.Dir(rel)), file: path.Base(p)}
		for _, imp := range f.Imports {
			name, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, name)
		}
		for _, w := range judge(s) {
			t.Error(w)
		}
		files++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("only %d files were read from %s", files, root)
	}
}

// The judge itself is judged: each wrong arrow is seen.
func TestATurnedArrowIsSeen(t *testing.T) {
	for _, c := range []struct {
		s    source
		want bool
	}{
		{source{"internal/match", "book.go", []string{"doorstep/internal/order", "doorstep/geo", "context"}}, true},
		{source{"internal/order", "book.go", []string{"doorstep/internal/match"}}, false},
		{source{"internal/match", "book.go", []string{"doorstep/internal/dropoff"}}, false},
		{source{"internal/order", "book.go", []string{"doorstep/internal/partner"}}, false},
		{source{"internal/db", "db.go", []string{"doorstep/internal/event"}}, false},
		{source{"internal/web", "web.go", []string{"doorstep/geo"}}, false},
		{source{"geo", "geo.go", []string{"github.com/uber/h3-go/v4"}}, true},
		{source{"internal/match", "book.go", []string{"github.com/uber/h3-go/v4"}}, false},
		{source{"internal/order", "sql.go", []string{"github.com/jmoiron/sqlx"}}, false},
		{source{"internal/order", "sql_test.go", []string{"pgregory.net/rapid"}}, true},
		{source{"internal/order", "sql.go", []string{"pgregory.net/rapid"}}, false},
		{source{"internal/shed", "shed.go", nil}, false},
		{source{"scripts/bench/load", "main.go", []string{"doorstep/scripts/bench/country"}}, true},
		{source{"internal/match", "book.go", []string{"doorstep/scripts/bench/country"}}, false},
		{source{"internal/order", "x.go", []string{"example.com/unknown"}}, false},
	} {
		if wrong := judge(c.s); (len(wrong) == 0) != c.want {
			t.Errorf("%s importing %v: %v", c.s.pkg, c.s.imports, wrong)
		}
	}
}
