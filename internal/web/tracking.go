package web

import (
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strconv"
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
	Mode       string               // leave_at_door, safe_place, hand_over, neighbour or collect_at_store; once delivered, how it happened
	NextAction string               // what happens next beyond what the status says, a key of words.Next; "" if nothing, or undecided
	Kept       bool                 // enroute_to_return, but the store still has it for the customer
	Reached    map[string]time.Time // per status, when it was last entered; may be nil

	PromiseFrom, PromiseTo time.Time // the promise; either may be zero
	Merchant, Reference    string    // who sends it and the number they know it by

	StoreName  string
	StoreHours string // OSM opening_hours; "" shows none, so send "24/7" for always open
	StorePhone string // E.164; anything else is not shown

	Map Map

	URL     string   // of this page, "/t/…"; its forms go to URL + "/" + an action
	Actions []string // what is offered now, of the actions below

	Instructions string   // the customer's note
	Modes        []string // modes to choose from; fewer than two show no choice

	Evidence       *Evidence // shown once delivered or collected
	CollectionCode string    // shown while received_at_store
	PIN            string    // what the customer tells the runner; shown until the parcel is handed over
	HoldUntil      time.Time // until when the store keeps it; zero shows none

	Dispute                   *Dispute // the newest, or nil
	DisputeUntil, RatingUntil time.Time
	Rating                    *Rating // the newest, or nil
	Talk                      []Said  // oldest first

	Live      bool   // the server can announce changes
	EventsURL string // an SSE stream of unnamed events (no "event:" field); any of them refreshes the page

	Notice string // outcome of the form just sent, a key from NoticeOf, or ""
	Typed  Typed  // the form that was refused, as it was typed
}

// Actions of the page.
const (
	ActInstruct = "instructions"
	ActExtend   = "extend-hold"
	ActRetrieve = "retrieved"
	ActDispute  = "dispute"
	ActWithdraw = "withdraw-dispute"
	ActRate     = "rating"
	ActWrite    = "messages"
)

// Typed is a form that was refused: it is shown as it was typed, with what is wrong beside the fields.
type Typed struct {
	Action string            // "": none
	Values map[string]string // per field
	Errors map[string]string // per field, a code
}

// Evidence is the proof of a hand-over.
type Evidence struct {
	Grade    string // A to D
	PhotoURL string // of this host, signed and expiring; "" = no photo
	At       time.Time
	TakenBy  string // the name of who took the parcel; "" = nobody, or not asked
}

// Dispute is how a report of the customer stands.
type Dispute struct {
	Status   string // open, upheld or rejected
	OpenedAt time.Time
	Answer   string // to the customer, or ""
}

// Rating is what the customer thinks: 1 to 5 stars, 0 for none.
type Rating struct {
	Delivery, Store int
	Comment         string
}

// Said is one turn of the talk with the people who handle the order.
type Said struct {
	Customer bool
	Text     string
	At       time.Time
}

// The longest texts that the forms take, in UTF-16 units as browsers count.
const (
	maxNote    = 500
	maxMessage = 1000
)

// Outcomes that the page thanks for; a refusal has the name NoticeOf gives it.
const (
	NoticeSaved     = "saved"
	NoticeThanks    = "thanks"
	NoticeExtended  = "extended"
	NoticeReported  = "reported"
	NoticeWithdrawn = "withdrawn"
	NoticeRated     = "rated"
	NoticeSent      = "sent"
)

var goodNews = []string{NoticeSaved, NoticeThanks, NoticeExtended, NoticeReported, NoticeWithdrawn, NoticeRated, NoticeSent}

// NoticeOf is the notice that says in plain words why an action was refused with a code.
func NoticeOf(action, code string) string {
	for _, key := range []string{action + "-" + code, code} {
		if _, ok := english.Notices[key]; ok {
			return key
		}
	}
	return "failed"
}

// mostTalk is how many turns of the talk the page shows.
const mostTalk = 6

// step is a station on the parcel's way.
type step string

const (
	stepReceived  step = "received"
	stepStore     step = "store"
	stepPacked    step = "packed"
	stepWay       step = "way"
	stepDoor      step = "door"
	stepHands     step = "hands"
	stepSafe      step = "safe"
	stepNext      step = "next door"
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
	stepHands: "delivered", stepSafe: "delivered", stepNext: "delivered", stepWaiting: "received_at_store", stepCollected: "collected", stepTried: "attempt_failed",
	stepBack: "enroute_to_return", stepReturned: "returned", stepCancelled: "cancelled",
}

var (
	toDoor    = []step{stepReceived, stepStore, stepWay, stepDoor}
	toHands   = []step{stepReceived, stepStore, stepWay, stepHands}
	toSafe    = []step{stepReceived, stepStore, stepWay, stepSafe}
	toNext    = []step{stepReceived, stepStore, stepWay, stepNext}
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
	case mode == "safe_place":
		return toSafe
	case mode == "neighbour":
		return toNext
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
	Wish       *formView
	Wishes     *wishView
	Proof      *proofView
	Code       *codeView
	Report     *reportView
	Dispute    *formView
	Rate       *formView
	Help       *helpView
	ConfirmURL string
	EventsURL  string
	URL        string
}

type stepView struct {
	Label   string
	Time    string // said, "" if unknown
	Done    bool
	Current bool
}

// formView is a form as it is shown: what may be chosen, what was typed, and what is wrong with it.
type formView struct {
	W       *words
	URL     string
	Hint    string
	Open    bool // unfolded
	Choices []choiceView
	Stars   []starsView
	Text    string
	Max     int
	Errors  map[string]string // per field, a sentence
}

type choiceView struct {
	Value, Label, Hint string
	Chosen             bool
}

// starsView is one row of stars.
type starsView struct {
	Name, Label string
	Of          []starView
}

type starView struct {
	N      int
	Label  string
	Chosen bool
}

// wishView is what was wished for, for reading only.
type wishView struct{ Mode, Text string }

type proofView struct {
	At, Grade, Means, PhotoURL string
	TakenBy                    string // said
	All                        []gradeView
}

type gradeView struct{ Grade, Means string }

type codeView struct {
	Title, Code, Hint, Until string
	Last                     bool // the time is nearly over
	ExtendURL                string
	Seen                     string // the end that the form was made for
}

// reportView is how a dispute stands.
type reportView struct {
	Say         []string
	Answer      string
	WithdrawURL string
	Settled     bool
}

// helpView is who to talk to.
type helpView struct {
	Store string
	Hours []string
	Call  template.URL // checked to be a plain phone number
	Phone string
	Talk  []talkView
	Write *formView
}

type talkView struct {
	Mine          bool
	Who, Text, At string
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
	if status := t.exceptional(s); status != "" {
		phrase, _ = words.phrase(status, "", t.StoreName)
	}
	v := trackingView{
		page:  page{W: words, Title: phrase.Head},
		Scene: s.scene, Head: phrase.Head, Say: phrase.Say, Why: t.why(s, words), From: t.from(words),
		Notice: words.Notices[t.Notice], NoticeBad: !slices.Contains(goodNews, t.Notice),
		Trouble: s.trouble, Steps: t.steps(s, words), Help: t.help(words), URL: t.URL,
	}
	if len(t.Typed.Errors) > 0 {
		v.Title = words.Mistake + ": " + v.Title
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
	v.Wish, v.Wishes = t.wish(s, words)
	v.Code = t.code(s, words)
	if s.proof {
		v.Proof, v.Report, v.Dispute, v.Rate = t.proof(words), t.report(words), t.dispute(words), t.rate(words)
	}
	if t.Status == "arrived_at_dropoff" || t.Status == "delivered" {
		v.ConfirmURL = t.to(ActRetrieve)
	}
	if !s.terminal || s.proof {
		v.AsOf = fillIn(words.AsOf, "{time}", t.Now.Format("15:04"))
	}
	if t.Live && (!s.terminal || s.proof) {
		v.EventsURL = t.EventsURL
	}
	return v
}

// exceptional is the key of words that say more than those of the status; "" when there are none.
func (t Tracking) exceptional(s stage) string {
	switch {
	case t.kept() && t.Status != "received_at_store":
		return "hold_over"
	case s.proof && t.Dispute != nil && t.Dispute.Status != "rejected":
		return "disputed_" + t.Dispute.Status
	}
	return ""
}

// to is where the form of an action goes; "" while the action is not offered.
func (t Tracking) to(action string) string {
	if t.URL == "" || !slices.Contains(t.Actions, action) {
		return ""
	}
	return t.URL + "/" + action
}

// form is the form of an action as it was typed; nil while the action is not offered.
func (t Tracking) form(action, text string, most int, words *words) *formView {
	url := t.to(action)
	if url == "" {
		return nil
	}
	f := &formView{W: words, URL: url, Max: most, Errors: map[string]string{}}
	if t.Typed.Action != action {
		return f
	}
	f.Open, f.Text = true, t.Typed.Values[text]
	for field, code := range t.Typed.Errors {
		say, ok := words.Errors[field+"/"+code]
		if !ok {
			if say, ok = words.Errors[code]; !ok {
				say = words.Errors["failed"]
			}
		}
		f.Errors[field] = fillIn(say, "{max}", strconv.Itoa(most))
	}
	return f
}

// why gives the reason for a state nobody hoped for, and what happens next.
func (t Tracking) why(s stage, words *words) []string {
	var sentences []string
	if reason := words.Reasons[t.Reason]; s.trouble && reason != "" {
		sentences = append(sentences, reason)
	}
	switch next, ok := words.Next[t.NextAction]; {
	case ok && t.NextAction != "":
		sentences = append(sentences, next)
	case t.Status == "attempt_failed":
		sentences = append(sentences, words.Next[""])
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
func (t Tracking) wish(s stage, words *words) (*formView, *wishView) {
	if s.terminal || s.trouble || t.Status == "received_at_store" {
		return nil, nil
	}
	if s.editable {
		if f := t.form(ActInstruct, "instructions", maxNote, words); f != nil {
			chosen := t.Mode
			if f.Open {
				chosen = t.Typed.Values["mode"]
			} else {
				f.Text = t.Instructions
			}
			for _, mode := range t.Modes {
				if says, ok := words.Modes[mode]; ok && len(t.Modes) > 1 {
					f.Choices = append(f.Choices, choiceView{mode, says.Head, says.Say, mode == chosen})
				}
			}
			return f, nil
		}
	}
	view := &wishView{Text: t.Instructions, Mode: words.Modes[t.Mode].Head}
	if view.Text == "" && view.Mode == "" {
		return nil, nil
	}
	return nil, view
}

func (t Tracking) proof(words *words) *proofView {
	if t.Evidence == nil {
		return nil
	}
	view := &proofView{PhotoURL: t.Evidence.PhotoURL, Means: words.Grades[t.Evidence.Grade]}
	if view.Means != "" {
		view.Grade = fillIn(words.Grade, "{grade}", t.Evidence.Grade)
		for _, g := range []string{"A", "B", "C", "D"} {
			view.All = append(view.All, gradeView{g, words.Grades[g]})
		}
	}
	if name := t.Evidence.TakenBy; name != "" {
		view.TakenBy = fillIn(words.TakenBy, "{name}", "\u2068"+name+"\u2069")
	}
	if !t.Evidence.At.IsZero() {
		view.At = upperFirst(sayAt(t.Now, t.local(t.Evidence.At), &words.Days))
	}
	return view
}

// kept reports whether a store's counter has the parcel for the customer.
func (t Tracking) kept() bool {
	return t.Status == "received_at_store" || t.Status == "enroute_to_return" && t.Kept
}

// lastCall is how long before its end the page reminds of a hold.
const lastCall = 24 * time.Hour

// code is what the customer shows or tells: at the counter, or at the door.
func (t Tracking) code(s stage, words *words) *codeView {
	switch {
	case t.kept() && t.CollectionCode != "":
		view := &codeView{Title: words.CodeTitle, Code: t.CollectionCode, Hint: words.withStore(words.CodeHint, t.StoreName), ExtendURL: t.to(ActExtend)}
		if !t.HoldUntil.IsZero() {
			view.Until = t.say(words.KeptUntil, t.HoldUntil, words)
			view.Last = t.Now.Add(lastCall).After(t.HoldUntil)
			view.Seen = t.HoldUntil.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		return view
	case t.PIN != "" && !s.terminal:
		return &codeView{Title: words.PINTitle, Code: t.PIN, Hint: words.PINHint}
	}
	return nil
}

// say fills a moment into a sentence.
func (t Tracking) say(sentence string, at time.Time, words *words) string {
	return fillIn(sentence, "{time}", sayAt(t.Now, t.local(at), &words.Days))
}

// report is how the customer's dispute stands and what happens next.
func (t Tracking) report(words *words) *reportView {
	if t.Dispute == nil {
		return nil
	}
	say, ok := words.Reports[t.Dispute.Status]
	if !ok {
		return nil
	}
	view := &reportView{Say: []string{t.say(say, t.Dispute.OpenedAt, words)}, Answer: t.Dispute.Answer, Settled: t.Dispute.Status != "open", WithdrawURL: t.to(ActWithdraw)}
	if t.Dispute.Status == "rejected" && t.to(ActDispute) != "" && !t.DisputeUntil.IsZero() {
		view.Say = append(view.Say, t.say(words.ReportAgain, t.DisputeUntil, words))
	}
	return view
}

// problems are the reasons a customer may give, in the order they are asked.
var problems = []string{"lost", "item_missing", "wrong_item", "damaged", "unsafe_location", "data_error"}

func (t Tracking) dispute(words *words) *formView {
	f := t.form(ActDispute, "note", maxNote, words)
	if f == nil {
		return nil
	}
	for _, reason := range problems {
		f.Choices = append(f.Choices, choiceView{Value: reason, Label: words.Problems[reason], Chosen: f.Open && t.Typed.Values["reason"] == reason})
	}
	if !t.DisputeUntil.IsZero() {
		f.Hint = t.say(words.DisputeUntil, t.DisputeUntil, words)
	}
	return f
}

func (t Tracking) rate(words *words) *formView {
	f := t.form(ActRate, "comment", maxNote, words)
	if f == nil {
		return nil
	}
	now := Rating{}
	if t.Rating != nil {
		now = *t.Rating
		f.Hint = t.say(words.RateAgain, t.RatingUntil, words)
	}
	if f.Open {
		now.Delivery, _ = strconv.Atoi(t.Typed.Values["stars"])
		now.Store, _ = strconv.Atoi(t.Typed.Values["store_stars"])
	} else {
		f.Text = now.Comment
	}
	row := func(name, label string, chosen int) {
		stars := starsView{Name: name, Label: label}
		for n := 1; n <= 5; n++ {
			stars.Of = append(stars.Of, starView{n, fillIn(words.Stars, "{n}", strconv.Itoa(n)), n == chosen})
		}
		f.Stars = append(f.Stars, stars)
	}
	row("stars", words.RateDelivery, now.Delivery)
	row("store_stars", words.withStore("{store}", t.StoreName), now.Store)
	return f
}

// help is who to talk to: the store, once one has the order, and the people at the desk.
func (t Tracking) help(words *words) *helpView {
	view := &helpView{Write: t.form(ActWrite, "text", maxMessage, words)}
	if t.StoreName != "" {
		view.Store, view.Hours = t.StoreName, sayHours(t.StoreHours, words.Hours)
		if e164.MatchString(t.StorePhone) {
			view.Phone, view.Call = t.StorePhone, template.URL("tel:"+t.StorePhone)
		}
	}
	for _, said := range t.Talk[max(0, len(t.Talk)-mostTalk):] {
		who := words.Us
		if said.Customer {
			who = words.You
		}
		view.Talk = append(view.Talk, talkView{said.Customer, who, said.Text, sayAt(t.Now, t.local(said.At), &words.Days)})
	}
	if view.Write == nil && view.Store == "" && view.Talk == nil {
		return nil
	}
	return view
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
