package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"doorstep/geo"
	"doorstep/internal/care"
	"doorstep/internal/dropoff"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/match"
	"doorstep/internal/order"
)

// neighbourhoodRes is how coarsely the customer's page names places: no link, once leaked, points
// at a door.
const neighbourhoodRes = 8

// tracked is what a link opens.
type tracked struct {
	match.Placed
	attempts  []dropoff.Attempt
	incidents []care.Incident // oldest first, as the remarks
	remarks   []order.Remark
	policy    order.Policy
}

// last is the newest attempt, or nil.
func (t *tracked) last() *dropoff.Attempt {
	if len(t.attempts) == 0 {
		return nil
	}
	return &t.attempts[len(t.attempts)-1]
}

// customer is how the log names whoever has a link.
const customer = "customer"

// linked is the order of a link. Unknown, expired and revoked links look the same.
func (k *call) linked() (order.Order, error) {
	key, version, ok := order.ParseLink(k.names, k.param("token"))
	if !ok {
		return order.Order{}, fault.Missing("tracking link")
	}
	o, err := k.Orders.Get(k.ctx, key)
	if fault.KindOf(err) == fault.NotFound || err == nil && !o.LinkAlive(version, k.DB.Now()) {
		return order.Order{}, fault.Missing("tracking link")
	}
	k.ctx = event.WithActor(k.ctx, customer)
	return o, err
}

func (k *call) track(o order.Order) (t tracked, err error) {
	if t.Placed, err = k.Match.Show(k.ctx, o); err != nil {
		return t, err
	}
	if o.Attempts > 0 {
		if t.attempts, err = k.Dropoff.Attempts(k.ctx, o.Key); err != nil {
			return t, err
		}
	}
	if t.incidents, err = k.Care.OfOrder(k.ctx, o.Key); err != nil {
		return t, err
	}
	if t.remarks, err = k.Orders.Remarks(k.ctx, o.Key); err != nil {
		return t, err
	}
	t.policy, err = order.PolicyOf(k.DB.Read(k.ctx), &o)
	return t, err
}

// runnerAt is where the parcel was last seen, only while a runner brings it to the door: not on the way
// back to the sender, not from store to store, and not while a store keeps it.
func (t *tracked) runnerAt() (geo.Point, time.Time, bool) {
	switch t.Order.Status {
	case order.PickedUp, order.EnrouteDropoff, order.ArrivedDropoff:
	default:
		return geo.Point{}, time.Time{}, false
	}
	if o := &t.Order; o.Holder == order.HeldByStore || o.Holder == order.Lost || o.TransferTo != 0 {
		return geo.Point{}, time.Time{}, false
	}
	if a := t.last(); a != nil && a.EndedAt == nil {
		for _, e := range slices.Backward(a.Events.Effective()) {
			if e.Location != nil {
				return *e.Location, e.RecordedAt, true
			}
		}
	}
	if t.Store == nil {
		return geo.Point{}, time.Time{}, false
	}
	return t.Store.Location, t.Order.UpdatedAt, true
}

// What a customer may be offered, as the last part of the path that does it.
const (
	toInstruct = "instructions"
	toExtend   = "extend-hold"
	toRetrieve = "retrieved"
	toDispute  = "dispute"
	toWithdraw = "withdraw-dispute"
	toRate     = "rating"
	toWrite    = "messages"
)

// actions are what the customer is offered now. Who has disputed is asked to write, not to dispute again.
func (t *tracked) actions(now time.Time) []string {
	o := &t.Order
	offered := []struct {
		action string
		now    bool
	}{
		{toInstruct, !o.Status.Terminal() && !o.Status.InCustody()},
		{toExtend, t.kept() && o.HoldUntil != nil && o.HoldExtensions < t.policy.HoldExtensions},
		{toRetrieve, t.canRetrieve()},
		{toDispute, o.Dispute != care.Open && care.MayDispute(o, t.incidents, now) == nil},
		{toWithdraw, o.Dispute == care.Open},
		{toRate, care.MayRate(o, now) == nil},
		{toWrite, true},
	}
	out := []string{}
	for _, x := range offered {
		if x.now {
			out = append(out, x.action)
		}
	}
	return out
}

// kept reports whether a store's counter has the parcel for the customer: also after the hold, as long as
// it has not left.
func (t *tracked) kept() bool {
	o := &t.Order
	return o.Status == order.ReceivedAtStore || o.Status == order.EnrouteReturn && o.Reason == "hold_expired" && o.AtStore(o.Store)
}

// canRetrieve reports whether "I have it" would tell anything new. Whoever said that it is not there takes
// that back instead, unless it was agreed to.
func (t *tracked) canRetrieve() bool {
	if t.Order.Status == order.Delivered {
		return t.Order.Grade != "A" && t.Order.Dispute != care.Open && t.Order.Dispute != care.Upheld
	}
	a := t.last()
	if t.Order.Status != order.ArrivedDropoff || a == nil {
		return false
	}
	for _, e := range a.Events.Effective() {
		if e.Type == dropoff.Placed || e.Type == dropoff.HandedOver {
			return true
		}
	}
	return false
}

// dispute is the newest dispute that still says something, or nil.
func (t *tracked) dispute() *care.Incident {
	for i := len(t.incidents) - 1; i >= 0; i-- {
		if d := &t.incidents[i]; d.Kind == care.Dispute {
			if d.Status == care.Withdrawn {
				return nil
			}
			return d
		}
	}
	return nil
}

// rating is the newest, which counts, or nil.
func (t *tracked) rating() *order.Remark {
	for i := len(t.remarks) - 1; i >= 0; i-- {
		if t.remarks[i].Kind == order.Rated {
			return &t.remarks[i]
		}
	}
	return nil
}

// said is one turn of the talk between the customer and the people who handle the order.
type said struct {
	customer bool
	text     string
	at       time.Time
}

// talk is what the customer wrote and what was answered, oldest first.
func (t *tracked) talk() []said {
	var out []said
	for _, r := range t.remarks {
		if r.Kind == order.MessageReceived {
			out = append(out, said{true, r.Text, r.CreatedAt})
		}
	}
	for _, i := range t.incidents {
		if i.Kind == care.Message && i.Answer != "" {
			out = append(out, said{false, i.Answer, *i.ResolvedAt})
		}
	}
	slices.SortStableFunc(out, func(a, b said) int { return a.at.Compare(b.at) })
	return out
}

// evidence is the attempt that delivered, with its time on the runner's clock and the name of who took
// the parcel, if somebody did.
func (t *tracked) evidence() (a *dropoff.Attempt, at time.Time, takenBy string) {
	if a = t.last(); t.Order.Status != order.Delivered || a == nil {
		return nil, at, ""
	}
	at = a.StartedAt
	for _, e := range a.Events.Effective() {
		switch e.Type {
		case dropoff.Completed:
			at = e.OccurredAt
		case dropoff.HandedOver:
			takenBy = e.Name
		}
	}
	return a, at, takenBy
}

type wireTracking struct {
	Status       order.Status  `json:"status"`
	Reason       *string       `json:"status_reason"`
	Promise      *wirePeriod   `json:"promise"`
	Cell         string        `json:"h3_cell"`
	StoreName    *string       `json:"store_name"`
	Merchant     string        `json:"merchant"`
	Mode         string        `json:"mode"`
	Instructions *string       `json:"instructions"`
	Runner       *wireRunner   `json:"runner"`
	Evidence     *wireEvidence `json:"evidence"`
	PIN          *string       `json:"pin"`
	Code         *string       `json:"collection_code"`
	HoldUntil    *stamp        `json:"hold_until"`
	Modes        []string      `json:"modes"`
	Dispute      *wireDispute  `json:"dispute"`
	DisputeUntil *stamp        `json:"dispute_until"`
	Rating       *wireRating   `json:"rating"`
	RatingUntil  *stamp        `json:"rating_until"`
	Messages     []wireSaid    `json:"messages"`
	Actions      []string      `json:"actions"`
	UpdatedAt    stamp         `json:"updated_at"`
	ExpiresAt    stamp         `json:"expires_at"`
}

type wireRunner struct {
	Location   wireLocation `json:"location"`
	RecordedAt stamp        `json:"recorded_at"`
}

type wireEvidence struct {
	Grade       string      `json:"grade"`
	DeliveredAt stamp       `json:"delivered_at"`
	TakenBy     *string     `json:"taken_by"`
	Photos      []wirePhoto `json:"photos"`
}

type wireDispute struct {
	Status     string  `json:"status"`
	Reason     string  `json:"reason"`
	OpenedAt   stamp   `json:"opened_at"`
	ResolvedAt *stamp  `json:"resolved_at"`
	Answer     *string `json:"answer"`
}

type wireRating struct {
	Stars      *int    `json:"stars"`
	StoreStars *int    `json:"store_stars"`
	Comment    *string `json:"comment"`
	RatedAt    stamp   `json:"rated_at"`
}

type wireSaid struct {
	From string `json:"from"`
	Text string `json:"text"`
	At   stamp  `json:"at"`
}

func starsOut(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// sayOut puts into w what was said about the delivery, and what still may be.
func (t *tracked) sayOut(w *wireTracking, now time.Time) {
	o := &t.Order
	if d := t.dispute(); d != nil {
		w.Dispute = &wireDispute{d.Status, d.Reason, stamp(d.OpenedAt), stampOf(d.ResolvedAt), optional(d.Answer)}
	}
	if until, ok := care.DisputeUntil(o, t.incidents); ok && !now.After(until) {
		w.DisputeUntil = stampOf(&until)
	}
	if r := t.rating(); r != nil {
		w.Rating = &wireRating{starsOut(r.Stars), starsOut(r.StoreStars), optional(r.Text), stamp(r.CreatedAt)}
	}
	if until := care.RatingUntil(o); !until.IsZero() && !now.After(until) {
		w.RatingUntil = stampOf(&until)
	}
	w.Messages = []wireSaid{}
	for _, m := range t.talk() {
		from := "support"
		if m.customer {
			from = customer
		}
		w.Messages = append(w.Messages, wireSaid{from, m.text, stamp(m.at)})
	}
}

func (k *call) trackingOut(t *tracked) (wireTracking, error) {
	o := &t.Order
	merchant, err := k.Keys.MerchantName(k.ctx, o.Merchant)
	if err != nil {
		return wireTracking{}, err
	}
	cell, err := geo.Parent(o.Cell, neighbourhoodRes)
	if err != nil {
		return wireTracking{}, err
	}
	w := wireTracking{Status: o.Status, Reason: optional(o.Reason), Promise: period(o.Promise), Cell: cell.String(), Merchant: merchant,
		Mode: o.Mode, Instructions: optional(o.Details.Instructions), Actions: t.actions(k.DB.Now()), UpdatedAt: stamp(o.UpdatedAt), ExpiresAt: stamp(o.LinkDies())}
	t.sayOut(&w, k.DB.Now())
	w.Modes = wishes(o, &t.policy)
	if t.kept() {
		w.HoldUntil = stampOf(o.HoldUntil)
	}
	if t.Store != nil && t.Assignment != nil && t.Assignment.Status != order.Offered {
		w.StoreName = &t.Store.Name
	}
	if p, at, ok := t.runnerAt(); ok {
		w.Runner = &wireRunner{wireLocation{p.Lat, p.Lng}, stamp(at)}
	}
	if a, at, takenBy := t.evidence(); a != nil {
		w.Evidence = &wireEvidence{o.Grade, stamp(at), optional(takenBy), k.photos(a.Events.Effective().Seen())}
	}
	if o.TellsPIN(&t.policy) && !o.Status.Terminal() {
		pin := o.PIN(k.names)
		w.PIN = &pin
	}
	if t.kept() {
		code := o.CollectionCode(k.names)
		w.Code = &code
	}
	return w, nil
}

func (k *call) replyTracking(o order.Order, err error) error {
	if err != nil {
		return err
	}
	t, err := k.track(o)
	if err != nil {
		return err
	}
	w, err := k.trackingOut(&t)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, w)
}

func (k *call) tracking() error { return k.replyTracking(k.linked()) }

func (k *call) confirmRetrieved() error {
	o, err := k.linked()
	if err != nil {
		return err
	}
	return k.replyTracking(k.Dropoff.RetrievedByCustomer(k.ctx, o.Key))
}

func (k *call) setInstructions() error {
	var in struct {
		Instructions *string `json:"instructions"`
		Mode         string  `json:"mode"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	o, err := k.linked()
	if err != nil {
		return err
	}
	if in.Instructions == nil {
		return fault.InvalidField("/instructions", "required", "say what the runner should know; empty removes it")
	}
	return k.replyTracking(k.Orders.SetInstructions(k.ctx, o.Key, *in.Instructions, in.Mode))
}

func (k *call) extendHold() error {
	var in struct {
		HoldUntil string `json:"hold_until"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	o, err := k.linked()
	if err != nil {
		return err
	}
	return k.replyTracking(k.keepLonger(o, in.HoldUntil))
}

// keepLonger extends the hold of o, unless it ends later already than the sender has seen: then this is a
// repeat.
func (k *call) keepLonger(o order.Order, seen string) (order.Order, error) {
	var f fault.Fields
	if seen != "" {
		t := instant(&f, "/hold_until", &seen)
		if err := f.Err(); err != nil {
			return o, err
		}
		if o.HoldUntil != nil && o.HoldUntil.After(*t) {
			return o, nil
		}
	}
	return k.Dropoff.ExtendHold(k.ctx, o.Key, true)
}

func (k *call) dispute() error {
	var in struct {
		Reason string `json:"reason"`
		Note   string `json:"note"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	o, err := k.linked()
	if err != nil {
		return err
	}
	return k.replyTracking(k.Care.Dispute(k.ctx, o.Key, in.Reason, in.Note))
}

func (k *call) withdrawDispute() error {
	o, err := k.linked()
	if err != nil {
		return err
	}
	return k.replyTracking(k.Care.Withdraw(k.ctx, o.Key))
}

func (k *call) rate() error {
	var in struct {
		Stars      *int   `json:"stars"`
		StoreStars *int   `json:"store_stars"`
		Comment    string `json:"comment"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	o, err := k.linked()
	if err != nil {
		return err
	}
	r := care.Rating{Comment: in.Comment}
	var f fault.Fields
	r.Delivery, r.Store = starsIn(&f, "/stars", in.Stars), starsIn(&f, "/store_stars", in.StoreStars)
	if err := f.Err(); err != nil {
		return err
	}
	return k.replyTracking(k.Care.Rate(k.ctx, o.Key, r))
}

// starsIn tells no stars from a wrong number of them.
func starsIn(f *fault.Fields, pointer string, n *int) int {
	switch {
	case n == nil:
		return 0
	case *n < 1 || *n > 5:
		f.Add(pointer, "out-of-range", "1 to 5 stars")
	}
	return *n
}

func (k *call) message() error {
	var in struct {
		Text string `json:"text"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	o, err := k.linked()
	if err == nil {
		o, err = k.Care.Message(k.ctx, o.Key, in.Text)
	}
	if err != nil {
		return err
	}
	return k.reply(http.StatusCreated, map[string]any{"text": in.Text, "recorded_at": stamp(o.UpdatedAt)})
}

type wireRemark struct {
	ID         string  `json:"id"`
	Kind       string  `json:"kind"`
	Stars      *int    `json:"stars"`
	StoreStars *int    `json:"store_stars"`
	Reason     *string `json:"reason"`
	Text       string  `json:"text"`
	CreatedAt  stamp   `json:"created_at"`
}

// listRemarks is what the customer said, for the people who handle the order.
func (k *call) listRemarks() error {
	o, err := k.theOrder()
	if err != nil {
		return err
	}
	out, err := k.remarksOut(o.Key)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, newList(k.names, out, false, 0))
}

func (k *call) remarksOut(order int64) ([]wireRemark, error) {
	remarks, err := k.Orders.Remarks(k.ctx, order)
	if err != nil {
		return nil, err
	}
	out := make([]wireRemark, len(remarks))
	for i, r := range remarks {
		out[i] = wireRemark{r.Name(k.names), r.Kind, starsOut(r.Stars), starsOut(r.StoreStars), optional(r.Reason), r.Text, stamp(r.CreatedAt)}
	}
	return out, nil
}

// trackingEvents shows the delivery at once, unless the client knows it up to its newest event, and
// after each change. A link that dies meanwhile ends the stream.
func (k *call) trackingEvents() error {
	o, err := k.linked()
	if err != nil {
		return err
	}
	known := int64(0)
	if k.r.Header.Get("Last-Event-ID") != "" || k.query("after") != "" {
		if known, err = k.resume(); err != nil {
			return err
		}
	}
	return k.stream(&client{link: o.Key, version: o.LinkVersion, cursor: known})
}

// deliveryFrame is how the order stands, as all who follow it see it.
func (s *Server) deliveryFrame(ctx context.Context, o order.Order) (text []byte, err error) {
	defer func() {
		if p := recover(); p != nil { // here no handler catches it
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	k := &call{Server: s, ctx: event.WithActor(ctx, customer)}
	t, err := k.track(o)
	if err != nil {
		return nil, err
	}
	w, err := k.trackingOut(&t)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(w)
	return frame(nil, o.Chain.Last, nameless, data), err
}

// wishes are the ways a customer may choose to get the parcel.
func wishes(o *order.Order, p *order.Policy) []string {
	out := []string{}
	for _, m := range order.Modes {
		if trial := *o; trial.SetMode(m, "said", p) == nil {
			out = append(out, m)
		}
	}
	return out
}
