package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"doorstep/api"
)

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		t.Fatalf("the contract cannot be read: %v", err)
	}
	return doc
}

// operation is one row of the contract.
type operation struct {
	method, path string
	*openapi3.Operation
	params openapi3.Parameters // of the path and of the operation
}

func operations(doc *openapi3.T) []operation {
	var all []operation
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			all = append(all, operation{method, path, op, slices.Concat(item.Parameters, op.Parameters)})
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

func (o operation) public() bool { return o.Security != nil && len(*o.Security) == 0 }

func (o operation) takes(in, name string) bool { return o.params.GetByInAndName(in, name) != nil }

func (o operation) answers(status string) bool { return o.Responses.Value(status) != nil }

// each runs check for every operation, under its name.
func each(t *testing.T, check func(t *testing.T, o operation)) {
	all := operations(load(t))
	if len(all) < 70 {
		t.Fatalf("only %d operations found", len(all))
	}
	for _, o := range all {
		t.Run(o.method+" "+o.path, func(t *testing.T) { check(t, o) })
	}
}

func TestContractIsValid(t *testing.T) {
	doc := load(t)
	err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaDefaultsValidation(),
		openapi3.EnableSchemaPatternValidation(), openapi3.EnableMultiError())
	if err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.0.3" || doc.Info.Version == "" || doc.Info.License.Name != "Apache-2.0" {
		t.Errorf("openapi %s, version %q, license %q", doc.OpenAPI, doc.Info.Version, doc.Info.License.Name)
	}
	if len(doc.Servers) != 1 || doc.Servers[0].URL != "/" {
		t.Error("the server must be relative: the contract is served by every installation")
	}
}

func TestEveryOperationIsDescribed(t *testing.T) {
	tags := map[string]bool{}
	for _, tag := range load(t).Tags {
		tags[tag.Name] = true
	}
	camel := regexp.MustCompile(`^[a-z]+([A-Z]+[a-z]*)*$`)
	each(t, func(t *testing.T, o operation) {
		if !camel.MatchString(o.OperationID) {
			t.Errorf("operationId %q", o.OperationID)
		}
		if o.Summary == "" || strings.HasSuffix(o.Summary, ".") {
			t.Errorf("summary %q", o.Summary)
		}
		if len(o.Tags) != 1 || !tags[o.Tags[0]] {
			t.Errorf("tags %q, want one of those declared", o.Tags)
		}
	})
}

// The roles stand in the text for people and in x-roles for programs; the two must agree.
func TestEveryOperationSaysWhoMayCall(t *testing.T) {
	known := []string{"admin", "dispatcher", "merchant", "store"}
	keyless := regexp.MustCompile(`^/(t/|v1/tracking/|v1/photos/\{sha256\}$|v1/pairings$|healthz$|readyz$|openapi\.yaml$)`)
	each(t, func(t *testing.T, o operation) {
		listed, ok := o.Extensions["x-roles"].([]any)
		if !ok {
			t.Fatalf("x-roles is %v, want a list", o.Extensions["x-roles"])
		}
		var roles []string
		for _, r := range listed {
			roles = append(roles, fmt.Sprint(r))
			if !slices.Contains(known, fmt.Sprint(r)) {
				t.Errorf("unknown role %v", r)
			}
		}
		said := "Roles: " + strings.Join(roles, ", ") + "."
		if o.public() {
			said = "No key needed."
		}
		if !strings.HasSuffix(strings.TrimSpace(o.Description), said) {
			t.Errorf("the description does not end with %q", said)
		}
		if o.public() != (len(roles) == 0) || o.public() != keyless.MatchString(o.path) {
			t.Errorf("public %v, roles %q: only the link, the photo, the code and the probes go without a key", o.public(), roles)
		}
		// A public operation may refuse what a page of another site has a browser send.
		if restricted := !o.public() && len(roles) < len(known); restricted != o.answers("403") && !o.public() {
			t.Errorf("roles %q, but 403 listed: %v", roles, o.answers("403"))
		}
		if o.public() == o.answers("401") {
			t.Errorf("public %v, but 401 listed: %v", o.public(), o.answers("401"))
		}
	})
}

func TestEveryOperationSaysHowItRefuses(t *testing.T) {
	each(t, func(t *testing.T, o operation) {
		must := func(status string, when bool) {
			t.Helper()
			if when && !o.answers(status) {
				t.Errorf("%s is missing", status)
			}
		}
		v1, posts := strings.HasPrefix(o.path, "/v1/"), o.method == "POST"
		must("503", true)
		must("404", strings.Contains(o.path, "{"))
		must("429", v1)
		must("507", o.method != "GET")
		for _, status := range []string{"413", "415"} {
			must(status, o.RequestBody != nil)
		}
		must("400", o.RequestBody != nil || slices.ContainsFunc(o.Parameters, inQuery) && !o.public())
		must("422", v1 && (o.RequestBody != nil || posts)) // an Idempotency-Key used with another body
		must("409", v1 && posts)                           // … or still in progress

		if got, want := o.takes("header", "Idempotency-Key"), v1 && posts; got != want {
			t.Errorf("takes Idempotency-Key: %v, want %v", got, want)
		}
		guarded := o.method == "PATCH" || o.method == "DELETE" || o.method == "PUT" && strings.HasSuffix(o.path, "/policy") || posts && strings.HasPrefix(o.path, "/v1/orders/{id}/") ||
			posts && strings.HasPrefix(o.path, "/v1/incidents/{id}/")
		if o.takes("header", "If-Match") != guarded || o.answers("412") != guarded {
			t.Errorf("If-Match %v, 412 %v, want %v", o.takes("header", "If-Match"), o.answers("412"), guarded)
		}
		for status, r := range o.Responses.Map() {
			checkAnswer(t, o, status, r.Value)
		}
	})
}

func inQuery(p *openapi3.ParameterRef) bool { return p.Value.In == "query" }

func checkAnswer(t *testing.T, o operation, status string, r *openapi3.Response) {
	t.Helper()
	page := strings.HasPrefix(o.path, "/t/") // shown to people: it refuses with a page
	if status < "400" {
		if strings.HasPrefix(o.path, "/v1/") && r.Headers["X-Request-Id"] == nil {
			t.Errorf("%s has no X-Request-Id", status)
		}
		if status == "201" && r.Headers["Location"] == nil && r.Headers["ETag"] != nil {
			t.Errorf("%s made a resource and does not say where", status)
		}
		return
	}
	problem := r.Content.Get("application/problem+json")
	if problem == nil && (!page || r.Content.Get("text/html") == nil) {
		t.Errorf("%s is not a problem: %v", status, slices.Collect(maps.Keys(r.Content)))
		return
	}
	if problem != nil && (problem.Schema.Ref != "#/components/schemas/Problem" || r.Headers["X-Request-Id"] == nil) {
		t.Errorf("%s is a problem of its own kind", status)
	}
	if (status == "429" || status == "503") && r.Headers["Retry-After"] == nil {
		t.Errorf("%s does not say when to try again", status)
	}
}

func TestPathsAreKebabCasePlurals(t *testing.T) {
	kebab := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	// The caller's own store or merchant, the caller, one customer's view, and the installation's key are one
	// thing each.
	singular := []string{"store", "merchant", "me", "tracking", "audit-key"}
	for path := range load(t).Paths.Map() {
		parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
		if parts[0] != "v1" {
			if !slices.Contains([]string{"t", "healthz", "readyz", "openapi.yaml"}, parts[0]) {
				t.Errorf("%s is outside /v1/", path)
			}
			continue
		}
		if noun := parts[1]; !strings.HasSuffix(noun, "s") && !slices.Contains(singular, noun) {
			t.Errorf("%s: %s is not a plural", path, noun)
		}
		for _, part := range parts[1:] {
			if !strings.HasPrefix(part, "{") && !kebab.MatchString(part) {
				t.Errorf("%s: %s is not kebab-case", path, part)
			}
		}
	}
}

func TestPropertiesAreSnakeCase(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	text, err := load(t).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	seen := 0
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case []any:
			for i, x := range v {
				walk(fmt.Sprintf("%s/%d", at, i), x)
			}
		case map[string]any:
			for key, x := range v {
				walk(at+"/"+key, x)
			}
			properties, _ := v["properties"].(map[string]any)
			for name := range properties {
				seen++
				if !snake.MatchString(name) {
					t.Errorf("%s: property %q", at, name)
				}
			}
			for _, name := range asList(v["required"]) {
				if v["type"] == "object" && properties[fmt.Sprint(name)] == nil {
					t.Errorf("%s: %v is required and not described", at, name)
				}
			}
		}
	}
	walk("", tree)
	if seen < 200 {
		t.Errorf("only %d properties found: is this test looking in the right place?", seen)
	}
}

func asList(v any) []any { l, _ := v.([]any); return l }

func TestNoComponentIsUnused(t *testing.T) {
	c := load(t).Components
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`#/components/([A-Za-z]+/[A-Za-z0-9]+)"`).FindAllSubmatch(api.OpenAPI, -1) {
		used[string(m[1])] = true
	}
	check := func(kind string, names []string) {
		if len(names) == 0 {
			t.Errorf("no %s found", kind)
		}
		for _, name := range names {
			if !used[kind+"/"+name] {
				t.Errorf("%s/%s is not used", kind, name)
			}
		}
	}
	check("schemas", slices.Collect(maps.Keys(c.Schemas)))
	check("responses", slices.Collect(maps.Keys(c.Responses)))
	check("parameters", slices.Collect(maps.Keys(c.Parameters)))
	check("headers", slices.Collect(maps.Keys(c.Headers)))
	check("requestBodies", slices.Collect(maps.Keys(c.RequestBodies)))
}

// What comes in is bounded in every direction, so that the server may refuse early, and closed, so
// that a misspelt field is an error and not a silence.
func TestRequestsAreBoundedAndShown(t *testing.T) {
	each(t, func(t *testing.T, o operation) {
		for _, p := range o.params {
			checkBounded(t, p.Value.Name, p.Value.Schema)
			if p.Value.Description == "" && p.Value.In != "path" && p.Value.Schema.Ref == "" && p.Value.Name != "signature" && !strings.HasPrefix(p.Value.Name, "default_") {
				t.Errorf("parameter %s is not described", p.Value.Name)
			}
		}
		if o.RequestBody == nil {
			return
		}
		for kind, media := range o.RequestBody.Value.Content {
			if media.Example == nil && len(media.Examples) == 0 && !strings.HasPrefix(kind, "image/") {
				t.Errorf("%s has no example", kind)
			}
			checkBounded(t, kind, media.Schema)
		}
	})
}

func checkBounded(t *testing.T, at string, ref *openapi3.SchemaRef) {
	t.Helper()
	s := ref.Value
	for _, part := range s.AllOf {
		checkBounded(t, at, part)
	}
	switch {
	case len(s.OneOf)+len(s.AnyOf) > 0:
		for _, one := range append(s.OneOf, s.AnyOf...) {
			checkBounded(t, at, one)
		}
	case len(s.AllOf) > 0 || s.Type.Is("boolean"):
	case s.Type.Is("object"):
		if s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has {
			t.Errorf("%s: unknown fields are let through", at)
		}
		for name, p := range s.Properties {
			checkBounded(t, at+"/"+name, p)
		}
	case s.Type.Is("array"):
		if s.MaxItems == nil {
			t.Errorf("%s: no maxItems", at)
		}
		checkBounded(t, at+"/0", s.Items)
	case s.Type.Is("string"):
		if s.MaxLength == nil && len(s.Enum) == 0 {
			t.Errorf("%s: no maxLength", at)
		}
	case s.Type.Is("integer") || s.Type.Is("number"):
		if s.Min == nil || s.Max == nil {
			t.Errorf("%s: no minimum or maximum", at)
		}
	default:
		t.Errorf("%s: no type", at)
	}
}

// The shapes that clients are written against, and what must not pass for them.
func TestSchemasAcceptAndRefuse(t *testing.T) {
	const order = `{"external_id":"A-1001","items":[{"sku":"SKU-7","quantity":2}],"parcels":[{"weight_g":800}],
		"recipient":{"name":"Wanjiru","phone":"+254712345678","locale":"en"},
		"dropoff":{"location":{"lat":-1.304033,"lng":36.78487},"address":{"line1":"Ngong Road 41"},"instructions":"Blue gate","mode":"leave_at_door","pin_required":false},
		"window":{"earliest":"2026-11-21T10:00:00.000Z","latest":"2026-11-21T12:00:00.000Z"},
		"undeliverable_action":"redeliver","minimum_evidence_grade":"B","tags":["gift"]}`
	const arrived = `{"id":"c5c1-1","order_id":"ord_0123456789abcdefghjkmnpq","attempt":1,"type":"arrived","occurred_at":"2026-11-21T10:31:04Z","location":{"lat":1,"lng":2,"accuracy_m":12}}`
	const campaign = `{"name":"Singles Day","starts_at":"2026-11-11T00:00:00Z","ends_at":"2026-11-12T00:00:00Z","skus":[{"sku":"SKU-7","expected_units":240,"case_pack":6}],"h3_cells":["877a6e42cffffff"],"leads_s":[259200,86400,21600]}`
	cases := []struct {
		schema, base, old, new string // base with old replaced by new
		ok                     bool
	}{
		{"OrderInput", order, "", "", true},
		{"OrderInput", order, `"items":[{"sku":"SKU-7","quantity":2}],"parcels":[{"weight_g":800}],`, "", true},
		{"OrderInput", order, `"tags":`, `"radius_m":1500,"tags":`, true},
		{"OrderInput", order, `T10:00:00.000Z`, `T13:00:00+03:00`, true},
		{"OrderInput", order, `"mode":"leave_at_door",`, "", true},
		{"OrderInput", order, `"undeliverable_action":"redeliver",`, "", false},
		{"OrderInput", order, `"phone":"+254712345678"`, `"fone":"+254712345678"`, false},
		{"OrderInput", order, `+254712345678`, `0712345678`, false},
		{"OrderInput", order, `"lat":-1.304033`, `"lat":-91`, false},
		{"OrderInput", order, `"lat":-1.304033`, `"lat":"-1.304033"`, false},
		{"OrderInput", order, `"quantity":2`, `"quantity":0`, false},
		{"OrderInput", order, `"quantity":2`, `"quantity":1.5`, false},
		{"OrderInput", order, `leave_at_door`, `over_the_fence`, false},
		{"OrderInput", order, `T10:00:00.000Z`, ` 10:00`, false},
		{"OrderInput", order, `"B"`, `"E"`, false},
		{"QuoteInput", `{"dropoff":{"location":{"lat":1,"lng":2}}}`, "", "", true},
		{"QuoteInput", `{"dropoff":{"location":{"lat":1,"lng":2}}}`, `{"dropoff"`, `{"recipient":{},"dropoff"`, false},
		{"StoreInput", `{"name":"Duka","location":{"lat":1,"lng":2}}`, "", "", true},
		{"StoreInput", `{"name":"Duka","location":{"lat":1,"lng":2}}`, `"name":"Duka",`, "", false},
		{"StoreInput", `{"name":"Duka","location":{"lat":1,"lng":2}}`, `Duka`, "", false},
		{"StorePatch", `{"capacity":{"slot_minutes":5,"orders_per_slot":0},"phone":null}`, "", "", true},
		{"StorePatch", `{"capacity":{"slot_minutes":5,"orders_per_slot":0}}`, `:5`, `:4`, false},
		{"StorePatch", `{"external_id":"x"}`, `"x"`, `null`, false},
		{"OwnStorePatch", `{"status":"busy"}`, "", "", true},
		{"OwnStorePatch", `{"status":"busy"}`, "busy", "suspended", false},
		{"DropoffEventInput", arrived, "", "", true},
		{"DropoffEventInput", arrived, `"arrived"`, `"delivered"`, false},
		{"DropoffEventInput", arrived, `"attempt":1`, `"attempt":0`, false},
		{"DropoffEventInput", arrived, `ord_`, `str_`, false},
		{"CampaignInput", campaign, "", "", true},
		{"CampaignInput", campaign, `"expected_units":240`, `"uplift":3.5,"unit_margin":{"amount":120,"currency":"JPY"}`, true},
		{"CampaignInput", campaign, `"expected_units":240`, `"uplift":-1`, false},
		{"CampaignInput", campaign, `"case_pack":6`, `"unit_margin":{"amount":1.2,"currency":"JPY"}`, false},
		{"CampaignInput", campaign, `877a6e42cffffff`, `nairobi`, false},
		{"AcknowledgeInput", `{"committed_quantity":0}`, "", "", true},
		{"AcknowledgeInput", `{"committed_quantity":0}`, `0`, `-1`, false},
		{"RatingInput", `{"stars":5}`, "", "", true},
		{"RatingInput", `{"stars":5}`, `5`, `6`, false},
		{"StoreRef", `"ext:node/42"`, "", "", true},
		{"StoreRef", `"str_0123456789abcdefghjkmnpq"`, "", "", true},
		{"StoreRef", `"ord_0123456789abcdefghjkmnpq"`, "", "", false},
	}
	schemas := load(t).Components.Schemas
	for _, c := range cases {
		if !strings.Contains(c.base, c.old) {
			t.Fatalf("%s: %s is not in the base", c.schema, c.old)
		}
		text := strings.Replace(c.base, c.old, c.new, 1)
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		err := schemas[c.schema].Value.VisitJSON(value, openapi3.VisitAsRequest(), openapi3.EnableFormatValidation())
		if (err == nil) != c.ok {
			t.Errorf("%s: %s -> %s: accepted %v, want %v (%v)", c.schema, c.old, c.new, err == nil, c.ok, err)
		}
	}
}
