package web

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var nairobi = time.FixedZone("EAT", 3*60*60)

// afternoon is a Wednesday.
var afternoon = time.Date(2026, 11, 11, 14, 5, 0, 0, nairobi)

// hexagon is a cell of about 200 m edge, turned a little as H3's are.
func hexagon(lat, lng float64) Ring {
	ring := make(Ring, 6)
	for i := range ring {
		angle := (float64(i)*60 + 11) * math.Pi / 180
		ring[i] = [2]float64{lat + 0.0018*math.Sin(angle), wrap(lng + 0.0018*math.Cos(angle)/math.Cos(lat*math.Pi/180))}
	}
	return ring
}

// everything is an order with all facts filled in, whatever may be shown of them.
func everything(lang, status string) Tracking {
	return Tracking{
		Lang: lang, Now: afternoon, Zone: nairobi, Status: status, Mode: "leave_at_door",
		Reason: "customer_unavailable", NextAction: "bring_to_store",
		Reached:     map[string]time.Time{"created": afternoon.Add(-50 * time.Minute), status: afternoon.Add(-5 * time.Minute)},
		PromiseFrom: afternoon.Add(-5 * time.Minute), PromiseTo: afternoon.Add(115 * time.Minute),
		Merchant: "Kilimani Books", Reference: "A-1001",
		StoreName: "Mama Njeri", StoreHours: "Mo-Fr 08:00-21:00; PH off", StorePhone: "+254700123456",
		Map:          Map{You: hexagon(-1.304, 36.785), Store: hexagon(-1.31, 36.79), Runner: hexagon(-1.33, 36.785)},
		Instructions: "Blue door, second floor.", Modes: []string{"leave_at_door", "safe_place", "hand_over", "neighbour", "collect_at_store"},
		URL: "/t/tok", Actions: []string{ActInstruct, ActExtend, ActRetrieve, ActDispute, ActWithdraw, ActRate, ActWrite},
		Dispute:      &Dispute{Status: "rejected", OpenedAt: afternoon.Add(-time.Minute), Answer: "The photo shows your door."},
		DisputeUntil: afternoon.Add(40 * time.Hour), RatingUntil: afternoon.Add(600 * time.Hour), Rating: &Rating{Delivery: 4, Comment: "Rang twice."},
		Talk:           []Said{{true, "Can it wait until six?", afternoon.Add(-9 * time.Minute)}, {false, "It can.", afternoon.Add(-8 * time.Minute)}},
		Evidence:       &Evidence{Grade: "B", TakenBy: "Mama Otieno", PhotoURL: "/photos/p?exp=1&sig=2", At: afternoon.Add(-5 * time.Minute)},
		CollectionCode: "7K49PX", HoldUntil: afternoon.Add(72 * time.Hour),
		Live: true, EventsURL: "/v1/tracking/tok/events",
	}
}

func draw(t *testing.T, tr Tracking) string {
	t.Helper()
	var page strings.Builder
	if err := RenderTracking(&page, tr); err != nil {
		t.Fatalf("%s in %s: %v", tr.Status, tr.Lang, err)
	}
	return page.String()
}

// element is one start tag of a parsed page.
type element struct {
	name string
	attr map[string]string
	text string // directly inside it
}

// parse reads a page as strict XML, which accepts less than browsers do: every
// tag closed in order, every attribute quoted, every ampersand escaped.
func parse(t *testing.T, page string) []element {
	t.Helper()
	var all []element
	var open []int
	d := xml.NewDecoder(strings.NewReader(page))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, page)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attr: map[string]string{}}
			for _, a := range token.Attr {
				if _, twice := e.attr[a.Name.Local]; twice {
					t.Errorf("<%s> has %s twice", e.name, a.Name.Local)
				}
				e.attr[a.Name.Local] = a.Value
			}
			open = append(open, len(all))
			all = append(all, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				all[open[len(open)-1]].text += string(token)
			}
		}
	}
}

func named(all []element, name string) []element {
	return slices.DeleteFunc(slices.Clone(all), func(e element) bool { return e.name != name })
}

// checkPage holds what every page must obey: the policy "default-src 'self'",
// and what assistive technology needs.
func checkPage(t *testing.T, page string) {
	t.Helper()
	all := parse(t, page)
	ids := map[string]bool{}
	for _, e := range all {
		if id, ok := e.attr["id"]; ok {
			if ids[id] {
				t.Errorf("id %q is used twice", id)
			}
			ids[id] = true
		}
	}
	for _, e := range all {
		for name, value := range e.attr {
			if name == "style" || strings.HasPrefix(name, "on") {
				t.Errorf("<%s %s> is inline style or script", e.name, name)
			}
			if slices.Contains([]string{"href", "src", "action"}, name) && !regexp.MustCompile(`^(/[^/]|/$|\?|#\w+$|tel:\+\d+$)`).MatchString(value) {
				t.Errorf("<%s %s=%q> leaves this host", e.name, name, value)
			}
			if slices.Contains([]string{"aria-labelledby", "aria-describedby", "for"}, name) && !ids[value] {
				t.Errorf("<%s %s=%q> points at nothing", e.name, name, value)
			}
		}
		switch e.name {
		case "style":
			t.Error("inline <style>")
		case "script":
			if e.attr["src"] == "" || e.text != "" {
				t.Error("inline <script>")
			}
		case "img":
			if e.attr["alt"] == "" || e.attr["width"] == "" || e.attr["height"] == "" {
				t.Errorf("<img> lacks alt or size: %v", e.attr)
			}
		case "svg":
			if e.attr["aria-hidden"] == "" && e.attr["role"] != "img" {
				t.Errorf("<svg> is neither hidden nor named: %v", e.attr)
			}
		}
	}
	for _, once := range []string{"main", "h1", "header", "footer", "title"} {
		if n := len(named(all, once)); n != 1 {
			t.Errorf("%d <%s>, want one", n, once)
		}
	}
	if strings.Contains(page, "ZgotmplZ") {
		t.Error("the template engine refused a value")
	}
	if left := regexp.MustCompile(`\{\w*\}`).FindString(page); left != "" {
		t.Errorf("placeholder %s was not filled in", left)
	}
}

func TestEveryStatusSpeaksBothLanguages(t *testing.T) {
	says := []struct{ status, en, zh string }{
		{"created", "We have your order", "已收到您的订单"},
		{"unassignable", "We are finding a store for you", "正在为您寻找门店"},
		{"confirmed", "\u2068Mama Njeri\u2069 has your order", "\u2068Mama Njeri\u2069已接单"},
		{"ready_for_pickup", "Packed and ready to go", "已打包，等待取件"},
		{"picked_up", "Your runner has the parcel", "配送员已取到包裹"},
		{"enroute_to_dropoff", "On its way to you", "正在送来的路上"},
		{"arrived_at_dropoff", "Your runner is at your door", "配送员到您门口了"},
		{"attempt_failed", "We could not hand over your parcel", "这次没能把包裹交给您"},
		{"received_at_store", "Ready to collect at \u2068Mama Njeri\u2069", "请到\u2068Mama Njeri\u2069取包裹"},
		{"delivered", "Delivered to your door", "已送达您家门口"},
		{"collected", "You have your parcel", "您已取走包裹"},
		{"enroute_to_return", "Going back to the sender", "正在退回寄件人"},
		{"returned", "Back with the sender", "已退回寄件人"},
		{"cancelled", "This order was cancelled", "订单已取消"},
	}
	if len(says) != len(stages) {
		t.Errorf("%d statuses here, %d drawn", len(says), len(stages))
	}
	for _, row := range says {
		for lang, want := range map[string]string{"en": row.en, "zh": row.zh} {
			for _, mode := range []string{"leave_at_door", "hand_over", "collect_at_store", ""} {
				t.Run(row.status+"/"+lang+"/"+mode, func(t *testing.T) {
					full := everything(lang, row.status)
					full.Mode = mode
					bare := Tracking{Lang: lang, Now: afternoon, Status: row.status, Mode: mode}
					checkPage(t, draw(t, bare))
					page := draw(t, full)
					checkPage(t, page)
					all := parse(t, page)
					if got := named(all, "h1")[0].text; mode == "leave_at_door" && got != want {
						t.Errorf("headline %q, want %q", got, want)
					}
					if got := named(all, "html")[0].attr["lang"]; !strings.HasPrefix(got, lang) {
						t.Errorf("language of the page is %q", got)
					}
				})
			}
		}
	}
}

func TestHowItChangesHandsChangesTheWords(t *testing.T) {
	for _, row := range []struct{ status, mode, want string }{
		{"delivered", "leave_at_door", "Delivered to your door"},
		{"delivered", "hand_over", "Delivered into your hands"},
		{"arrived_at_dropoff", "leave_at_door", "They put it down, let you know and step away"},
		{"arrived_at_dropoff", "hand_over", "Please open when they ring"},
		{"ready_for_pickup", "collect_at_store", "Your collection code appears here"},
		{"confirmed", "collect_at_store", "Collected by you"},
		{"confirmed", "hand_over", "In your hands"},
		{"enroute_to_dropoff", "collect_at_store", "At your door"},
	} {
		tr := everything("en", row.status)
		tr.Mode = row.mode
		if page := draw(t, tr); !strings.Contains(page, row.want) {
			t.Errorf("%s by %s does not say %q", row.status, row.mode, row.want)
		}
	}
}

// The store signing for a parcel is not the customer having it.
func TestAParcelAtTheStoreNeverReadsAsDelivered(t *testing.T) {
	wrong := map[string]*regexp.Regexp{"en": regexp.MustCompile(`(?i)deliver`), "zh": regexp.MustCompile(`送达|已送|签收|妥投`)}
	for lang, words := range wrong {
		for _, mode := range []string{"leave_at_door", "hand_over", "collect_at_store", ""} {
			for _, notice := range []string{"", NoticeSaved, NoticeExtended, NoticeSent, NoticeOf(ActExtend, "no-extension-left"), NoticeOf(ActWrite, "too-many"), "failed"} {
				tr := everything(lang, "received_at_store")
				tr.Mode, tr.Notice = mode, notice
				tr.Reached["delivered"] = afternoon // a mistake elsewhere must not show here
				page := draw(t, tr)
				if found := words.FindString(page); found != "" {
					t.Errorf("%s, %s, notice %q: says %q", lang, mode, notice, found)
				}
				if !strings.Contains(page, "7K49PX") {
					t.Errorf("%s, %s: no collection code", lang, mode)
				}
			}
		}
	}
	if !wrong["en"].MatchString(draw(t, everything("en", "delivered"))) || !wrong["zh"].MatchString(draw(t, everything("zh", "delivered"))) {
		t.Error("the words looked for are not those a delivered page uses")
	}
}

// without takes an action off a page.
func without(action string) func(*Tracking) {
	return func(tr *Tracking) {
		tr.Actions = slices.DeleteFunc(slices.Clone(tr.Actions), func(a string) bool { return a == action })
	}
}

// A page must be the same, byte for byte, with and without a fact that the
// customer may not see in this status.
func TestHiddenFactsLeaveNoTrace(t *testing.T) {
	secrets := []struct {
		name  string
		shown []string
		drop  func(*Tracking)
	}{
		{"the runner's cell", []string{"picked_up", "enroute_to_dropoff", "arrived_at_dropoff"}, func(tr *Tracking) { tr.Map.Runner = nil }},
		{"the collection code", []string{"received_at_store"}, func(tr *Tracking) { tr.CollectionCode = "" }},
		{"the evidence", []string{"delivered", "collected"}, func(tr *Tracking) { tr.Evidence = nil }},
		{"the confirmation", []string{"arrived_at_dropoff", "delivered"}, without(ActRetrieve)},
		{"the form for wishes", []string{"created", "unassignable", "confirmed", "ready_for_pickup"}, without(ActInstruct)},
		{"more time at the counter", []string{"received_at_store"}, without(ActExtend)},
		{"the report of a problem", []string{"delivered", "collected"}, without(ActDispute)},
		{"the way to take it back", []string{"delivered", "collected"}, without(ActWithdraw)},
		{"how a report stands", []string{"delivered", "collected"}, func(tr *Tracking) { tr.Dispute = nil }},
		{"the rating", []string{"delivered", "collected"}, without(ActRate)},
		{"the promise", []string{"created", "confirmed", "ready_for_pickup", "picked_up", "enroute_to_dropoff", "arrived_at_dropoff"},
			func(tr *Tracking) { tr.PromiseFrom, tr.PromiseTo = time.Time{}, time.Time{} }},
		{"the event stream", []string{"created", "unassignable", "confirmed", "ready_for_pickup", "picked_up", "enroute_to_dropoff", "arrived_at_dropoff",
			"attempt_failed", "received_at_store", "enroute_to_return", "delivered", "collected"}, func(tr *Tracking) { tr.Live = false }},
	}
	for _, secret := range secrets {
		for status := range stages {
			with, without := everything("en", status), everything("en", status)
			secret.drop(&without)
			visible := draw(t, with) != draw(t, without)
			if want := slices.Contains(secret.shown, status); visible != want {
				t.Errorf("%s in %s: visible is %v, want %v", secret.name, status, visible, want)
			}
		}
	}
}

func TestWishesCanBeChangedUntilPickUp(t *testing.T) {
	all := parse(t, draw(t, everything("en", "confirmed")))
	var chosen []string
	for _, input := range named(all, "input") {
		if _, ok := input.attr["checked"]; ok {
			chosen = append(chosen, input.attr["value"])
		}
	}
	if !slices.Equal(chosen, []string{"leave_at_door"}) {
		t.Errorf("chosen: %v", chosen)
	}
	note := named(all, "textarea")[0]
	if note.attr["name"] != "instructions" || note.attr["maxlength"] != "500" || strings.TrimPrefix(note.text, "\n") != "Blue door, second floor." {
		t.Errorf("note: %+v", note)
	}

	later := draw(t, everything("en", "picked_up"))
	if !strings.Contains(later, "Blue door, second floor.") || strings.Contains(later, `name="instructions"`) {
		t.Error("after pick-up the wishes are to be read, not changed")
	}

	only := everything("en", "confirmed")
	only.Modes = []string{"leave_at_door"}
	if strings.Contains(draw(t, only), "radio") {
		t.Error("a choice of one is no choice")
	}
}

func TestABrokenPromiseIsAdmitted(t *testing.T) {
	tr := everything("en", "enroute_to_dropoff")
	if strings.Contains(draw(t, tr), "longer than we promised") {
		t.Error("apologises too early")
	}
	tr.Now = tr.PromiseTo.Add(time.Second)
	if !strings.Contains(draw(t, tr), "longer than we promised") {
		t.Error("does not admit being late")
	}
}

func TestAFailedAttemptSaysWhyAndWhatIsNext(t *testing.T) {
	for next, want := range map[string]string{
		"redeliver": "bring it again", "bring_to_store": "keep it for you", "forward": "from one store to another", "return": "back to the sender", "": "appear here soon", "unheard_of": "appear here soon",
	} {
		tr := everything("en", "attempt_failed")
		tr.NextAction = next
		page := draw(t, tr)
		if !strings.Contains(page, "Nobody came to the door.") || !strings.Contains(page, want) {
			t.Errorf("next action %q: reason or %q missing", next, want)
		}
	}
}

func TestForeignTextStaysText(t *testing.T) {
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</textarea><b>`, `{{.Head}}`, `javascript:alert(1)`, `//evil.example/x`,
		"]]>", "&lt;script&gt;", "\u202eturned around",
	} {
		for status := range stages {
			tr := everything("en", status)
			plain := parse(t, draw(t, tr))
			tr.Merchant, tr.Reference, tr.StoreName, tr.StoreHours, tr.StorePhone = hostile, hostile, hostile, hostile, hostile
			tr.Instructions, tr.CollectionCode, tr.Notice, tr.Reason = hostile, hostile, hostile, hostile
			tr.Evidence.Grade = hostile
			page := draw(t, tr)
			all := parse(t, page)
			for _, tag := range []string{"script", "img", "b"} {
				if got, want := len(named(all, tag)), len(named(plain, tag)); got != want {
					t.Errorf("%q in %s: %d <%s>, want %d", hostile, status, got, tag, want)
				}
			}
			for _, e := range all {
				for name := range e.attr {
					if strings.HasPrefix(name, "on") {
						t.Errorf("%q in %s: <%s %s>", hostile, status, e.name, name)
					}
				}
			}
		}
	}
}

func TestScriptsInLinksAreDefused(t *testing.T) {
	for _, status := range []string{"confirmed", "delivered"} {
		tr := everything("en", status)
		bad := "javascript:alert(1)"
		tr.URL, tr.Evidence.PhotoURL = bad, bad
		tr.StorePhone = "+1;phone-context=javascript:alert(1)"
		for _, e := range parse(t, draw(t, tr)) {
			for _, name := range []string{"href", "src", "action"} {
				if strings.Contains(e.attr[name], "javascript") {
					t.Errorf("%s: <%s %s=%q>", status, e.name, name, e.attr[name])
				}
			}
		}
	}
}

func TestUnknownStatusWritesNothing(t *testing.T) {
	var page bytes.Buffer
	if err := RenderTracking(&page, Tracking{Status: "teleported"}); err == nil || page.Len() > 0 {
		t.Errorf("error %v after %d bytes", err, page.Len())
	}
	if err := RenderHome(&page, Home{Tracks: []HomeTrack{{Status: "teleported", URL: "/t/x"}}}); err == nil || page.Len() > 0 {
		t.Errorf("error %v after %d bytes", err, page.Len())
	}
}

func TestGoneIsFriendlyAndTellsNothing(t *testing.T) {
	for lang, want := range map[string]string{"en": "ask the shop you bought it from", "zh": "请您下单的商家重新发送链接", "": "ask the shop"} {
		var page strings.Builder
		if err := RenderGone(&page, lang); err != nil {
			t.Fatal(err)
		}
		checkPage(t, page.String())
		if !strings.Contains(page.String(), want) {
			t.Errorf("in %q it does not say %q", lang, want)
		}
	}
}

func TestHomeShowsTheWayIn(t *testing.T) {
	var page strings.Builder
	home := Home{Lang: "en", Stores: 30561, Orders: 0, Tracks: []HomeTrack{{"enroute_to_dropoff", "/t/abc"}}, Curl: `curl -d '{"a":"<b>"}' http://127.0.0.1:8080/v1/orders`}
	if err := RenderHome(&page, home); err != nil {
		t.Fatal(err)
	}
	checkPage(t, page.String())
	all := parse(t, page.String())
	var links []string
	for _, a := range named(all, "a") {
		links = append(links, a.attr["href"])
	}
	if !slices.Equal(links, []string{"/t/abc", "/store/", "/dispatch/", "/docs/", "/openapi.yaml", "/healthz"}) {
		t.Errorf("links: %v", links)
	}
	if !slices.ContainsFunc(all, func(e element) bool { return e.text == home.Curl }) {
		t.Error("the command is not there as written")
	}
	if !strings.Contains(page.String(), "30,561") || strings.Contains(page.String(), ">0<") {
		t.Error("counts: want 30,561 stores and no zero")
	}

	var bare strings.Builder
	if err := RenderHome(&bare, Home{Lang: "zh"}); err != nil {
		t.Fatal(err)
	}
	checkPage(t, bare.String())
}

// A first visit is the page, its style, its script and its icon, gzipped.
func TestAFirstVisitWeighsAtMost10KB(t *testing.T) {
	const budget = 10_000
	shared := 0
	for _, name := range []string{"tracking.css", "tracking.js", "icon.svg"} {
		shared += gzipped(t, string(assetByName[name].body))
	}
	heaviest, which := 0, ""
	for status := range stages {
		for lang := range languages {
			tr := everything(lang, status)
			tr.Notice = NoticeOf(ActInstruct, "too-late")
			tr.Map.Runner = hexagon(-1.304, 36.83) // far enough for a fine honeycomb
			if size := shared + gzipped(t, draw(t, tr)); size > heaviest {
				heaviest, which = size, status+" in "+lang
			}
		}
	}
	t.Logf("heaviest first visit: %d bytes (%s), %d of them style, script and icon", heaviest, which, shared)
	if heaviest > budget {
		t.Errorf("%s weighs %d bytes, more than %d", which, heaviest, budget)
	}
}

func gzipped(t *testing.T, s string) int {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Len()
}

func TestStaticFilesAreNamedByContent(t *testing.T) {
	for _, file := range []struct{ name, contentType string }{
		{"tracking.css", "text/css; charset=utf-8"}, {"home.css", "text/css; charset=utf-8"},
		{"tracking.js", "text/javascript; charset=utf-8"}, {"icon.svg", "image/svg+xml"},
	} {
		hashed, ok := strings.CutPrefix(StaticPath(file.name), StaticPrefix)
		if !ok || !regexp.MustCompile(`^\w+\.[0-9a-f]{10}\.\w+$`).MatchString(hashed) {
			t.Errorf("%s is at %s", file.name, StaticPath(file.name))
		}
		body, contentType, ok := StaticFile(hashed)
		if !ok || len(body) == 0 || contentType != file.contentType {
			t.Errorf("%s: %v, %d bytes, %s", hashed, ok, len(body), contentType)
		}
		if strings.Contains(strings.ReplaceAll(string(body), "http://www.w3.org/2000/svg", ""), "://") {
			t.Errorf("%s names another host", file.name)
		}
	}
	for _, other := range []string{"", "tracking.css", "tracking.0000000000.css", "../web.go", "web.go"} {
		if _, _, ok := StaticFile(other); ok {
			t.Errorf("StaticFile(%q) answers", other)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("StaticPath of a file that is not there should panic")
		}
	}()
	StaticPath("nothing.css")
}

func TestStyleWorksInBothDirections(t *testing.T) {
	physical := regexp.MustCompile(`(?m)[{;\s](?:(?:margin|padding|border)-(?:left|right)|left|right|(?:text-align|float):\s*(?:left|right))\b[^;]*`)
	for _, name := range []string{"tracking.css", "home.css"} {
		if found := physical.FindString(string(assetByName[name].body)); found != "" {
			t.Errorf("%s: %q knows left from right; use inline-start and -end", name, strings.TrimSpace(found))
		}
	}
}

// WCAG 2.2, 1.4.3 and 1.4.11: text 4.5:1, borders of controls and marks 3:1.
func TestColoursHaveContrast(t *testing.T) {
	file, err := assets.ReadFile("tracking.css")
	if err != nil {
		t.Fatal(err)
	}
	css := string(file)
	schemes := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllStringSubmatch(css, -1)
	if len(schemes) != 2 {
		t.Fatalf("%d colour schemes, want light and dark", len(schemes))
	}
	for i, scheme := range schemes {
		colour := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([\w-]+): #([0-9a-f]{6}|[0-9a-f]{3});`).FindAllStringSubmatch(scheme[1], -1) {
			colour[m[1]] = luminance(t, m[2])
		}
		for _, pair := range []struct {
			front, back string
			least       float64
		}{
			{"ink", "paper", 4.5}, {"ink", "card", 4.5}, {"soft", "paper", 4.5}, {"soft", "card", 4.5}, {"on-brick", "brick", 4.5},
			{"on-leaf", "leaf", 4.5}, {"bad", "card", 4.5}, {"brick", "paper", 4.5}, {"brick", "card", 4.5},
			{"leaf", "card", 3}, {"leaf", "paper", 3}, {"brick", "you", 3}, {"leaf", "hex", 3}, {"dim", "card", 3}, {"bad", "paper", 4.5}, {"ink", "hex", 4.5}, {"soft", "hex", 4.5},
		} {
			front, okFront := colour[pair.front]
			back, okBack := colour[pair.back]
			if !okFront || !okBack {
				t.Fatalf("scheme %d lacks --%s or --%s", i, pair.front, pair.back)
			}
			if got := (math.Max(front, back) + 0.05) / (math.Min(front, back) + 0.05); got < pair.least {
				t.Errorf("scheme %d: --%s on --%s has %.2f:1, wants %.1f:1", i, pair.front, pair.back, got, pair.least)
			}
		}
	}
}

// luminance is the relative luminance of WCAG 2.2 for an sRGB hex colour.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) == 3 {
		hex = fmt.Sprintf("%c%c%c%c%c%c", hex[0], hex[0], hex[1], hex[1], hex[2], hex[2])
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// TestNothingIsLeftUnsaid walks all words by reflection: no language may lack a
// sentence that another has, or forget to name what it should name.
func TestNothingIsLeftUnsaid(t *testing.T) {
	reference := sentences(reflect.ValueOf(english), "")
	if len(reference) < 100 {
		t.Fatalf("found only %d sentences", len(reference))
	}
	placeholder := regexp.MustCompile(`\{\w+\}|%[d.f1]+`)
	for lang, words := range languages {
		said := sentences(reflect.ValueOf(*words), "")
		for key, want := range reference {
			got := said[key]
			if strings.TrimSpace(got) == "" && key != ".Days.At" {
				t.Errorf("%s has no %s", lang, key)
			}
			if strings.HasPrefix(key, ".Days.Date") {
				continue // orders its parts in its own way
			}
			names, wanted := placeholder.FindAllString(got, -1), placeholder.FindAllString(want, -1)
			slices.Sort(names)
			slices.Sort(wanted)
			if !slices.Equal(names, wanted) {
				t.Errorf("%s %s names %v, want %v", lang, key, names, wanted)
			}
		}
		for status := range stages {
			if _, ok := words.Status[status]; !ok {
				t.Errorf("%s has no words for status %s", lang, status)
			}
		}
		for s := range enteredBy {
			if words.Steps[s] == "" {
				t.Errorf("%s has no words for step %s", lang, s)
			}
		}
	}
}

func sentences(v reflect.Value, at string) map[string]string {
	found := map[string]string{}
	add := func(v reflect.Value, at string) {
		for key, text := range sentences(v, at) {
			found[key] = text
		}
	}
	switch v.Kind() {
	case reflect.String:
		found[at] = v.String()
	case reflect.Struct:
		for i := range v.NumField() {
			add(v.Field(i), at+"."+v.Type().Field(i).Name)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			add(v.MapIndex(key), at+"["+key.String()+"]")
		}
	case reflect.Array:
		for i := range v.Len() {
			add(v.Index(i), at+"["+strconv.Itoa(i)+"]")
		}
	}
	return found
}

func TestLang(t *testing.T) {
	for header, want := range map[string]string{
		"":                                   "en",
		"en":                                 "en",
		"zh-CN,zh;q=0.9,en;q=0.8":            "zh",
		"ZH-hant-TW":                         "zh",
		"fr-FR,fr;q=0.9":                     "en",
		"fr, zh;q=0.4, en;q=0.3":             "zh",
		"en;q=0.5, zh;q=0.5":                 "en",
		"zh;q=0, en;q=0.1":                   "en",
		"zh;q=0":                             "en",
		"*":                                  "en",
		"zh;q=7":                             "en",
		"zh;q=NaN":                           "en",
		"zh;level=1":                         "en",
		" zh ; q=0.9 ":                       "zh",
		strings.Repeat("fr,", 10_000) + "zh": "en", // nobody reads that far
	} {
		if got := Lang(header); got != want {
			t.Errorf("Lang(%.40q) = %s, want %s", header, got, want)
		}
	}
}

func FuzzLang(f *testing.F) {
	for _, seed := range []string{"", "zh", "en;q=0.8,zh;q=0.9", ";;,,=q", "zh;q=1e309", "\xff-\x00;q="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if got := Lang(header); got != "en" && got != "zh" {
			t.Errorf("Lang(%q) = %q", header, got)
		}
	})
}

func TestTimesAreSaidAsPeopleSayThem(t *testing.T) {
	at := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		moment, err := time.ParseInLocation("2006-01-02 15:04", text, nairobi)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	for _, row := range []struct{ from, to, en, zh string }{
		{"2026-11-11 14:00", "2026-11-11 16:00", "today 14:00–16:00", "今天 14:00–16:00"},
		{"2026-11-12 09:00", "2026-11-12 11:30", "tomorrow 09:00–11:30", "明天 09:00–11:30"},
		{"2026-11-10 09:00", "2026-11-10 11:30", "yesterday 09:00–11:30", "昨天 09:00–11:30"},
		{"2026-11-17 09:00", "2026-11-17 11:30", "Tuesday 09:00–11:30", "周二 09:00–11:30"},
		{"2026-11-18 09:00", "2026-11-18 11:30", "Wednesday 18 November 09:00–11:30", "11月18日周三 09:00–11:30"},
		{"2026-11-09 09:00", "2026-11-09 11:30", "Monday 9 November 09:00–11:30", "11月9日周一 09:00–11:30"},
		{"2027-01-02 09:00", "2027-01-02 11:30", "2 January 2027 09:00–11:30", "2027年1月2日 09:00–11:30"},
		{"2026-11-11 22:00", "2026-11-12 00:00", "today 22:00–24:00", "今天 22:00–24:00"},
		{"2026-11-11 22:00", "2026-11-12 01:00", "today 22:00 – tomorrow 01:00", "今天 22:00 – 明天 01:00"},
		{"2026-11-11 15:00", "2026-11-11 15:00", "today at 15:00", "今天 15:00"},
		{"2026-11-11 15:00", "", "today at 15:00", "今天 15:00"},
		{"", "2026-11-11 16:00", "by today at 16:00", "今天 16:00前"},
		{"", "", "", ""},
	} {
		if got := sayWindow(afternoon, at(row.from), at(row.to), &english.Days); got != row.en {
			t.Errorf("%s to %s: %q, want %q", row.from, row.to, got, row.en)
		}
		if got := sayWindow(afternoon, at(row.from), at(row.to), &chinese.Days); got != row.zh {
			t.Errorf("%s to %s: %q, want %q", row.from, row.to, got, row.zh)
		}
	}
}

// The server sends instants in UTC; the page says them where the store is.
func TestTimesAreLocal(t *testing.T) {
	tr := everything("en", "confirmed")
	tr.Now = time.Date(2026, 11, 11, 20, 30, 0, 0, time.UTC) // 23:30 in Nairobi
	tr.PromiseFrom = time.Date(2026, 11, 11, 22, 0, 0, 0, time.UTC)
	tr.PromiseTo = time.Date(2026, 11, 11, 23, 0, 0, 0, time.UTC)
	if page := draw(t, tr); !strings.Contains(page, "Tomorrow 01:00–02:00") {
		t.Error("want: Tomorrow 01:00–02:00")
	}
}

func TestDaysAreCountedByTheCalendar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", rapid.IntRange(-14*3600, 14*3600).Draw(t, "offset"))
		from := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "from"), 0).In(zone)
		days := rapid.IntRange(-400, 400).Draw(t, "days")
		if got := daysBetween(from, from.AddDate(0, 0, days)); got != days {
			t.Fatalf("%d days from %v count as %d", days, from, got)
		}
	})
}

func TestOpeningHoursAreReadable(t *testing.T) {
	for _, row := range []struct {
		osm string
		en  string
		zh  string
	}{
		{"Mo-Fr 08:00-21:00; Sa,Su 09:00-18:00; PH off", "Mon–Fri 08:00–21:00|Sat, Sun 09:00–18:00|Public holidays closed", "周一–周五 08:00–21:00|周六、周日 09:00–18:00|节假日 休息"},
		{"24/7", "Always open", "全天营业"},
		{"", "", ""},
		{" ; ", "", ""},
		{"Mo 08:00+ \"ring\"", "Mon 08:00+ \"ring\"", "周一 08:00+ \"ring\""},
		{"Monday", "Monday", "Monday"},
	} {
		if got := strings.Join(sayHours(row.osm, english.Hours), "|"); got != row.en {
			t.Errorf("%q: %q, want %q", row.osm, got, row.en)
		}
		if got := strings.Join(sayHours(row.osm, chinese.Hours), "|"); got != row.zh {
			t.Errorf("%q: %q, want %q", row.osm, got, row.zh)
		}
	}
}

func TestTheMapTellsNoMoreThanACell(t *testing.T) {
	you := hexagon(-1.304, 36.785)
	for _, row := range []struct {
		runner Ring
		want   string
	}{
		{nil, "Your area is marked on the map."},
		{you, "Your runner is in your area."},
		{hexagon(-1.3049, 36.785), "Your runner is about 100 m away."},
		{hexagon(-1.3072, 36.785), "Your runner is about 400 m away."},
		{hexagon(-1.3310, 36.785), "Your runner is about 3.0 km away."},
	} {
		if got := drawMap(Map{You: you, Runner: row.runner}, &english); got.Say != row.want {
			t.Errorf("says %q, want %q", got.Say, row.want)
		}
	}
}

func TestNoMapWithoutACell(t *testing.T) {
	for _, ring := range []Ring{nil, {}, {{1, 2}, {3, 4}}, {{math.NaN(), 0}, {0, 1}, {1, 1}}, {{91, 0}, {0, 1}, {1, 1}}, {{0, 181}, {0, 1}, {1, 1}}} {
		if drawMap(Map{You: ring}, &english) != nil {
			t.Errorf("draws a map around %v", ring)
		}
		if v := drawMap(Map{You: hexagon(0, 0), Runner: ring}, &english); v.Runner != "" {
			t.Errorf("draws a runner in %v", ring)
		}
	}
}

func TestAllCellsAreOnTheMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lat := rapid.Float64Range(-80, 80).Draw(t, "lat")
		lng := rapid.Float64Range(-180, 180).Draw(t, "lng") // the antimeridian too
		near := rapid.Float64Range(-0.05, 0.05)
		m := Map{
			You:    hexagon(lat, lng),
			Store:  hexagon(lat+near.Draw(t, "store north"), wrap(lng+near.Draw(t, "store east"))),
			Runner: hexagon(lat+near.Draw(t, "runner north"), wrap(lng+near.Draw(t, "runner east"))),
		}
		v := drawMap(m, &english)
		for name, drawing := range map[string]string{"you": v.You, "store": v.Store, "runner": v.Runner} {
			for i, number := range regexp.MustCompile(`-?[0-9.]+`).FindAllString(drawing, -1) {
				n, err := strconv.ParseFloat(number, 64)
				if err != nil || n < 0 || n > [2]float64{mapWidth, mapHeight}[i%2] {
					t.Fatalf("%s lies off the map: %s", name, drawing)
				}
			}
		}
	})
}

// The backdrop continues one cell; a real H3 cell eight steps away must still
// lie on it, to within a pixel.
func TestTheHoneycombMeetsRealCells(t *testing.T) {
	for _, row := range []struct {
		place    string
		you, far Ring // resolution 9
	}{
		{"Nairobi, 897a6e55e37ffff and 897a6e551afffff",
			Ring{{-1.304390, 36.785048}, {-1.302506, 36.785088}, {-1.301485, 36.783452}, {-1.302347, 36.781777}, {-1.304232, 36.781737}, {-1.305253, 36.783373}},
			Ring{{-1.327640, 36.797823}, {-1.325755, 36.797862}, {-1.324733, 36.796226}, {-1.325596, 36.794550}, {-1.327481, 36.794511}, {-1.328503, 36.796147}}},
		{"Reykjavik, 89075dd4993ffff and 89075dd6b2bffff",
			Ring{{64.130445, -21.897083}, {64.130872, -21.900688}, {64.129584, -21.903450}, {64.127869, -21.902607}, {64.127442, -21.899002}, {64.128730, -21.896240}},
			Ring{{64.137327, -21.846143}, {64.137755, -21.849747}, {64.136468, -21.852511}, {64.134752, -21.851671}, {64.134324, -21.848067}, {64.135612, -21.845303}}},
	} {
		p := fit(row.you, row.far)
		corners := lineCorners(t, p.honeycomb(row.you))
		for _, ring := range []Ring{row.you, row.far} {
			for _, corner := range ring {
				want, nearest := p.point(corner), math.Inf(1)
				for _, c := range corners {
					nearest = math.Min(nearest, math.Hypot(c.x-want.x, c.y-want.y))
				}
				if nearest > 1 {
					t.Errorf("%s: corner %v is %.1f units off the honeycomb", row.place, corner, nearest)
				}
			}
		}
	}
	if comb := fit(hexagon(0, 0)).honeycomb(hexagon(0, 0)[:5]); comb != "" {
		t.Error("pentagons do not tile the plane")
	}
}

// lineCorners reads "Mx yldx dy dx dymdx dyl…" into the corners it passes.
func lineCorners(t *testing.T, d string) []xy {
	t.Helper()
	var corners []xy
	for _, row := range strings.Split(d, "M")[1:] {
		var at xy
		fields := strings.Fields(strings.NewReplacer("l", " ", "m", " ").Replace(row))
		for i := 0; i+1 < len(fields); i += 2 {
			x, errX := strconv.ParseFloat(fields[i], 64)
			y, errY := strconv.ParseFloat(fields[i+1], 64)
			if errX != nil || errY != nil {
				t.Fatalf("path %q", row)
			}
			at = at.plus(xy{x, y})
			corners = append(corners, at)
		}
	}
	return corners
}
