package web

import (
	"fmt"
	"html/template"
	"io"
	"regexp"
	"time"
)

// Tracking is what is known of one order, for its customer's page. It carries
// facts only; RenderTracking decides what of it may be seen in which status,
// so a caller may fill in everything it has.
type Tracking struct {
	Lang string         // "en" or "zh", from Lang
	Now  time.Time      // the moment of drawing
	Zone *time.Location // the store's zone, else the address's; nil means UTC

	Status     string               // an order status of product.md
	Reason     string               // its status_reason, if any
	Mode       string               // leave_at_door, hand_over or collect_at_store; once delivered, how it happened
	NextAction string               // after attempt_failed: redeliver, hold_at_store or return; "" if undecided
	Reached    map[string]time.Time // per status, when it was last entered; may be nil

	PromiseFrom, PromiseTo time.Time // the promise; either may be zero
	Merchant, Reference    string    // who sends it and the number they know it by

	StoreName  string
	StoreHours string // OSM opening_hours; "" shows none, so send "24/7" for always open
	StorePhone string // E.164; anything else is not shown

	Map Map

	Instructions    string   // the customer's note
	Modes           []string // modes to choose from; fewer than two show no choice
	InstructionsURL string   // takes POST of instructions, and mode if there is a choice; "" = not editable

	CanConfirmRetrieved bool
	RetrievedURL        string // takes an empty POST

	Evidence       *Evidence // shown once delivered or collected
	CollectionCode string    // shown while received_at_store
	PIN            string    // what the customer tells the runner; shown until the parcel is handed over
	HoldUntil      time.Time // until when the store keeps it; zero shows none

	Live      bool   // the server can announce changes
	EventsURL string // an SSE stream of unnamed events (no "event:" field); any of them refreshes the page

	Notice string // outcome of the form just sent: one of the Notice constants, or ""
}

// Evidence is the proof of a hand-over.
type Evidence struct {
	Grade    string // A to D
	PhotoURL string // of this host, signed and expiring; "" = no photo
	At       time.Time
}

// MaxInstructions is the longest note the form takes, in UTF-16 units as
// browsers count.
const MaxInstructions = 500

// Outcomes of a form, for Tracking.Notice.
const (
	NoticeSaved   = "saved"
	NoticeThanks  = "thanks"
	NoticeTooLate = "too_late"
	NoticeTooLong = "too_long"
	NoticeFailed  = "failed"
)

// step is a station on the parcel's way.
type step string

const (
	stepReceived  step = "received"
	stepStore     step = "store"
	stepPacked    step = "packed"
	stepWay       step = "way"
	stepDoor      step = "door"
	stepHands     step = "hands"
	stepWaiting   step = "waiting"
	stepCollected step = "collected"
	stepTried     step = "tried"
	stepBack      step = "back"
	stepReturned  step = "returned"
	stepCancelled step = "cancelled"
)

// enteredBy names the status whose time stands beside a step that is behind us;
// the current step has the time of the current status.
var enteredBy = map[step]string{
	stepReceived: "created", stepStore: "confirmed", stepPacked: "confirmed", stepWay: "picked_up", stepDoor: "delivered",
	stepHands: "delivered", stepWaiting: "received_at_store", stepCollected: "collected", stepTried: "attempt_failed",
	stepBack: "enroute_to_return", stepReturned: "returned", stepCancelled: "cancelled",
}

var (
	toDoor    = []step{stepReceived, stepStore, stepWay, stepDoor}
	toHands   = []step{stepReceived, stepStore, stepWay, stepHands}
	toCounter = []step{stepReceived, stepPacked, stepWaiting, stepCollected}
	back      = []step{stepReceived, stepStore, stepBack, stepReturned}
	failed    = []step{stepReceived, stepStore, stepTried}
	off       = []step{stepReceived, stepCancelled}
)

// scene is the street above the headline: where the parcel and the runner's
// bike stand, as x in its drawing; 0 leaves them out.
type scene struct {
	Parcel, Bike int
	Homeward     bool // the bike rides back to the store
}

// stage is what one status shows. The zero value of a flag hides.
type stage struct {
	steps    []step // of a delivery; collecting has its own
	at       int    // the current step
	scene    scene
	promise  bool // the promise still counts
	editable bool // until pick-up the customer's wishes can change
	runner   bool // the runner has the parcel: the only time their cell may show
	street   bool // a map helps
	proof    bool // the customer has it: evidence may show
	trouble  bool // not what was hoped for
	terminal bool
}

var stages = map[string]stage{
	"created":            {steps: toDoor, at: 0, promise: true, editable: true, street: true},
	"unassignable":       {steps: toDoor, at: 0, editable: true, street: true}, // a time nobody has taken on is no promise
	"confirmed":          {steps: toDoor, at: 1, scene: scene{Parcel: 96}, promise: true, editable: true, street: true},
	"ready_for_pickup":   {steps: toDoor, at: 1, scene: scene{Parcel: 134}, promise: true, editable: true, street: true},
	"picked_up":          {steps: toDoor, at: 2, scene: scene{Bike: 148}, promise: true, runner: true, street: true},
	"enroute_to_dropoff": {steps: toDoor, at: 2, scene: scene{Bike: 196}, promise: true, runner: true, street: true},
	"arrived_at_dropoff": {steps: toDoor, at: 3, scene: scene{Bike: 256}, promise: true, runner: true, street: true},
	"attempt_failed":     {steps: failed, at: 2, scene: scene{Bike: 226, Homeward: true}, trouble: true},
	"received_at_store":  {steps: toCounter, at: 2, scene: scene{Parcel: 134}, street: true},
	"delivered":          {steps: toDoor, at: 3, scene: scene{Parcel: 328}, proof: true, terminal: true},
	"collected":          {steps: toCounter, at: 3, scene: scene{Parcel: 328}, proof: true, terminal: true},
	"enroute_to_return":  {steps: back, at: 2, scene: scene{Bike: 196, Homeward: true}, trouble: true},
	"returned":           {steps: back, at: 3, trouble: true, terminal: true},
	"cancelled":          {steps: off, at: 1, trouble: true, terminal: true},
}

// stepsFor adapts the way to how the parcel changes hands.
func (s stage) stepsFor(mode string) []step {
	if &s.steps[0] != &toDoor[0] {
		return s.steps
	}
	switch {
	case mode == "collect_at_store" && s.at < 2: // a parcel on the road goes to a door, whatever was planned
		return toCounter
	case mode == "hand_over":
		return toHands
	}
	return toDoor
}

// trackingView is exactly what the template may use: nothing hidden is in it.
type trackingView struct {
	page
	AsOf       string // local time of drawing, while the page can go stale
	Scene      scene
	Head, Say  string
	Why        []string // the reason, and what comes next
	From       string
	Notice     string
	NoticeBad  bool
	Promise    string
	PromiseFor string // the label above it
	Late       bool
	Trouble    bool
	Steps      []stepView
	Map        *mapView
	Wish       *wishView
	Proof      *proofView
	Code       *codeView
	Store      *storeView
	ConfirmURL string
	EventsURL  string
	MaxLength  int
}

type stepView struct {
	Label   string
	Time    string // said, "" if unknown
	Done    bool
	Current bool
}

type wishView struct {
	URL     string // "" = can no longer be changed
	Text    string
	Choices []choiceView
	Mode    string // the chosen one in words, for reading only
}

type choiceView struct {
	Value, Label, Hint string
	Chosen             bool
}

type proofView struct{ At, Grade, Means, PhotoURL string }

type codeView struct{ Title, Code, Hint, Until string }

type storeView struct {
	Name  string
	Hours []string
	Call  template.URL // checked to be a plain phone number
	Phone string
}

// RenderTracking draws the customer's page. It fails on a status it does not
// know: saying nothing is better than saying something untrue.
func RenderTracking(w io.Writer, t Tracking) error {
	stage, ok := stages[t.Status]
	if !ok {
		return fmt.Errorf("web: unknown order status %q", t.Status)
	}
	if t.Zone == nil {
		t.Zone = time.UTC
	}
	t.Now = t.Now.In(t.Zone)
	return render(w, "tracking.html", t.view(stage, wordsFor(t.Lang)))
}

func (t Tracking) view(s stage, words *words) trackingView {
	phrase, _ := words.phrase(t.Status, t.Mode, t.StoreName)
	v := trackingView{
		page:  page{W: words, Title: phrase.Head},
		Scene: s.scene, Head: phrase.Head, Say: phrase.Say, Why: t.why(s, words), From: t.from(words),
		Notice: words.Notices[t.Notice], NoticeBad: t.Notice != NoticeSaved && t.Notice != NoticeThanks,
		Trouble: s.trouble, Steps: t.steps(s, words), Wish: t.wish(s, words), Store: t.store(words), MaxLength: MaxInstructions,
	}
	if s.promise {
		t.sayPromise(&v, words)
	}
	if s.street {
		streets := t.Map
		if !s.runner {
			streets.Runner = nil
		}
		v.Map = drawMap(streets, words)
	}
	if s.proof && t.Evidence != nil {
		v.Proof = t.proof(words)
	}
	if t.Status == "received_at_store" && t.CollectionCode != "" {
		v.Code = t.code(words)
	} else if t.PIN != "" && !s.terminal {
		v.Code = &codeView{Title: words.PINTitle, Code: t.PIN, Hint: words.PINHint}
	}
	if t.CanConfirmRetrieved && (t.Status == "arrived_at_dropoff" || t.Status == "delivered") {
		v.ConfirmURL = t.RetrievedURL
	}
	if !s.terminal {
		v.AsOf = fillIn(words.AsOf, "{time}", t.Now.Format("15:04"))
	}
	if t.Live && !s.terminal {
		v.EventsURL = t.EventsURL
	}
	return v
}

// why gives the reason for a state nobody hoped for, and what happens next.
func (t Tracking) why(s stage, words *words) []string {
	var sentences []string
	if reason := words.Reasons[t.Reason]; s.trouble && reason != "" {
		sentences = append(sentences, reason)
	}
	if t.Status == "attempt_failed" {
		next, ok := words.Next[t.NextAction]
		if !ok {
			next = words.Next[""]
		}
		sentences = append(sentences, next)
	}
	return sentences
}

func (t Tracking) from(words *words) string {
	var line string
	if t.Merchant != "" {
		line = fillIn(words.FromShop, "{shop}", "\u2068"+t.Merchant+"\u2069")
	}
	if t.Reference != "" {
		if line != "" {
			line += " · "
		}
		line += fillIn(words.Order, "{ref}", "\u2068"+t.Reference+"\u2069")
	}
	return line
}

func (t Tracking) sayPromise(v *trackingView, words *words) {
	v.Promise = upperFirst(sayWindow(t.Now, t.local(t.PromiseFrom), t.local(t.PromiseTo), &words.Days))
	v.PromiseFor = words.Expected
	if t.Mode == "collect_at_store" {
		v.PromiseFor = words.CollectFrom
	}
	v.Late = !t.PromiseTo.IsZero() && t.Now.After(t.PromiseTo)
}

// local keeps the zero time zero: In would make it look like a real one.
func (t Tracking) local(at time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	return at.In(t.Zone)
}

func (t Tracking) steps(s stage, words *words) []stepView {
	way := s.stepsFor(t.Mode)
	views := make([]stepView, 0, len(way))
	for i, st := range way {
		view := stepView{Label: words.withStore(words.Steps[st], t.StoreName), Done: i < s.at || s.terminal, Current: i == s.at}
		entered := enteredBy[st]
		if i == s.at {
			entered = t.Status
		}
		if at, ok := t.Reached[entered]; ok && i <= s.at {
			view.Time = sayAt(t.Now, t.local(at), &words.Days)
		}
		views = append(views, view)
	}
	return views
}

// wish is the form until pick-up, then the wishes to read while they matter.
func (t Tracking) wish(s stage, words *words) *wishView {
	if s.terminal || s.trouble || t.Status == "received_at_store" {
		return nil
	}
	if s.editable && t.InstructionsURL != "" {
		view := &wishView{URL: t.InstructionsURL, Text: t.Instructions}
		for _, mode := range t.Modes {
			if says, ok := words.Modes[mode]; ok && len(t.Modes) > 1 {
				view.Choices = append(view.Choices, choiceView{mode, says.Head, says.Say, mode == t.Mode})
			}
		}
		return view
	}
	view := &wishView{Text: t.Instructions, Mode: words.Modes[t.Mode].Head}
	if view.Text == "" && view.Mode == "" {
		return nil
	}
	return view
}

func (t Tracking) proof(words *words) *proofView {
	view := &proofView{PhotoURL: t.Evidence.PhotoURL, Means: words.Grades[t.Evidence.Grade]}
	if view.Means != "" {
		view.Grade = fillIn(words.Grade, "{grade}", t.Evidence.Grade)
	}
	if !t.Evidence.At.IsZero() {
		view.At = upperFirst(sayAt(t.Now, t.local(t.Evidence.At), &words.Days))
	}
	return view
}

func (t Tracking) code(words *words) *codeView {
	view := &codeView{Title: words.CodeTitle, Code: t.CollectionCode, Hint: words.withStore(words.CodeHint, t.StoreName)}
	if !t.HoldUntil.IsZero() {
		view.Until = fillIn(words.KeptUntil, "{time}", sayAt(t.Now, t.local(t.HoldUntil), &words.Days))
	}
	return view
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

func (t Tracking) store(words *words) *storeView {
	if t.StoreName == "" {
		return nil
	}
	view := &storeView{Name: t.StoreName, Hours: sayHours(t.StoreHours, words.Hours)}
	if e164.MatchString(t.StorePhone) {
		view.Phone, view.Call = t.StorePhone, template.URL("tel:"+t.StorePhone)
	}
	return view
}
