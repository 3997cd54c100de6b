package server_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"sync"
	"testing"

	"doorstep/api"
	"doorstep/internal/server"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

func init() {
	// The library's decoders believe in one kind of CSV and in no pictures; we care for what they carry elsewhere.
	for _, kind := range []string{"text/csv", "application/zip", "image/jpeg", "image/png", "image/webp"} {
		openapi3filter.RegisterBodyDecoder(kind, func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
			b, err := io.ReadAll(body)
			return string(b), err
		})
	}
}

// answered are the operations of the contract that some story has had a good answer from.
var answered sync.Map

// TestMain fails a whole run in which an operation of the contract is never used with success: its
// answer would be held against nothing.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && whole() {
		if unused := unanswered(); len(unused) > 0 {
			fmt.Printf("FAIL: no story had a good answer from these operations of the contract: %v\n", unused)
			code = 1
		}
	}
	os.Exit(code)
}

// whole reports whether every test was asked for.
func whole() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.fuzz"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return !testing.Short()
}

func unanswered() (ids []string) {
	doc, err := document()
	if err != nil {
		return []string{err.Error()}
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if _, ok := answered.Load(op.OperationID); !ok {
				ids = append(ids, op.OperationID)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

func document() (*openapi3.T, error) { return openapi3.NewLoader().LoadFromData(api.OpenAPI) }

// The home page, the faces and their files are for people with a browser: no client is written against them.
var forPeople = map[string]bool{"GET /": true, "GET /static/{name}": true, "GET /store": true, "GET /store/*": true,
	"GET /dispatch": true, "GET /dispatch/*": true, "GET /docs": true, "GET /docs/*": true, "GET /signin": true, "POST /signin": true, "POST /signout": true,
	"GET /setup/{token}": true, "POST /setup/{token}": true, "GET /account": true, "GET /.well-known/change-password": true, "POST /account/password": true,
	"POST /account/sessions/{id}/end": true, "POST /account/sessions/end-others": true, "POST /account/people": true, "POST /account/people/{id}": true}

var parameter = regexp.MustCompile(`:([a-z0-9_]+)`)

// drift names every difference between the table of routes and the contract.
func drift(routes []server.RouteInfo, doc *openapi3.T) (found []string) {
	table := map[string]server.RouteInfo{}
	for _, r := range routes {
		name := r.Method + " " + parameter.ReplaceAllString(r.Path, "{$1}")
		if _, twice := table[name]; twice {
			found = append(found, name+" stands in the table twice")
		}
		table[name] = r
	}
	said := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			name := method + " " + path
			said[name] = true
			r, ok := table[name]
			if !ok {
				found = append(found, name+" is in the contract and has no route")
				continue
			}
			if want, got := rolesOf(op), slices.Sorted(slices.Values(r.Roles)); !slices.Equal(want, got) {
				found = append(found, fmt.Sprintf("%s is for %v in the contract and for %v in the table", name, want, got))
			}
		}
	}
	for name := range table {
		if !said[name] && !forPeople[name] {
			found = append(found, name+" has a route and is not in the contract")
		}
	}
	slices.Sort(found)
	return found
}

// rolesOf are the x-roles of an operation; one that has none says nothing, and fits no route.
func rolesOf(op *openapi3.Operation) (roles []string) {
	list, ok := op.Extensions["x-roles"].([]any)
	if !ok {
		return []string{"no x-roles"}
	}
	for _, r := range list {
		roles = append(roles, fmt.Sprint(r))
	}
	slices.Sort(roles)
	return roles
}

func TestTheTableOfRoutesIsTheContract(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range drift(server.Routes(), doc) {
		t.Error(d)
	}
	for _, c := range []struct {
		name   string
		change func([]server.RouteInfo) []server.RouteInfo
		want   string
	}{
		{"a route the contract does not know", func(r []server.RouteInfo) []server.RouteInfo {
			return append(r, server.RouteInfo{Method: "POST", Path: "/v1/stores/:id/teleport", Roles: []string{"admin"}})
		}, "POST /v1/stores/{id}/teleport has a route and is not in the contract"},
		{"a route that is gone", func(r []server.RouteInfo) []server.RouteInfo { return r[1:] }, "POST /v1/stores is in the contract and has no route"},
		{"a role too many", func(r []server.RouteInfo) []server.RouteInfo {
			r[0].Roles = append(slices.Clone(r[0].Roles), "store")
			return r
		}, "POST /v1/stores is for [admin dispatcher] in the contract and for [admin dispatcher store] in the table"},
		{"a parameter of another name", func(r []server.RouteInfo) []server.RouteInfo {
			r[0].Path = "/v1/:kind"
			return r
		}, "POST /v1/{kind} has a route and is not in the contract"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if found := drift(c.change(server.Routes()), doc); !slices.Contains(found, c.want) {
				t.Errorf("drift is %q, want among it %q", found, c.want)
			}
		})
	}
}
