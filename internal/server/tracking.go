package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"doorstep/geo"
	"doorstep/internal/dropoff"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/match"
	"doorstep/internal/order"
	"doorstep/internal/web"
)

// neighbourhoodRes is how coarsely the customer's page names places: no link, once leaked, points
// at a door.
const neighbourhoodRes = 8

// tracked is what a link opens.
type tracked struct {
	match.Placed
	attempts []dropoff.Attempt
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
		t.attempts, err = k.Dropoff.Attempts(k.ctx, o.Key)
	}
	return t, err
}

// runnerAt is where the parcel was last seen, only while a runner has it.
func (t *tracked) runnerAt() (geo.Point, time.Time, bool) {
	switch t.Order.Status {
	case order.PickedUp, order.EnrouteDropoff, order.ArrivedDropoff:
	default:
		return geo.Point{}, time.Time{}, false
	}
	if a := t.last(); a != nil && a.EndedAt == nil {
		for i := len(a.Events) - 1; i >= 0; i-- {
			if e := a.Events[i]; e.Location != nil {
				return *e.Location, e.RecordedAt, true
			}
		}
	}
	if t.Store == nil {
		return geo.Point{}, time.Time{}, false
	}
	return t.Store.Location, t.Order.UpdatedAt, true
}

// actions are what the customer may do now.
func (t *tracked) actions(now time.Time) []string {
	s := t.Order.Status
	out := []string{}
	if !s.Terminal() && !s.InCustody() {
		out = append(out, "instructions")
	}
	if t.canRetrieve() {
		out = append(out, "retrieved")
	}
	if disputable(&t.Order, now) {
		out = append(out, "dispute")
	}
	if arrived(&t.Order) {
		out = append(out, "rating")
	}
	return append(out, "messages")
}

func (t *tracked) canRetrieve() bool {
	if t.Order.Status == order.Delivered {
		return t.Order.Grade != "A"
	}
	a := t.last()
	if t.Order.Status != order.ArrivedDropoff || a == nil {
		return false
	}
	for _, e := range a.Events {
		if e.Type == dropoff.Placed || e.Type == dropoff.HandedOver {
			return true
		}
	}
	return false
}

// evidence is the attempt that delivered, with its time on the runner's clock.
func (t *tracked) evidence() (*dropoff.Attempt, time.Time) {
	if t.Order.Status != order.Delivered {
		return nil, time.Time{}
	}
	a := t.last()
	if a == nil {
		return nil, time.Time{}
	}
	at := a.StartedAt
	for _, e := range a.Events {
		if e.Type == dropoff.Completed {
			at = e.OccurredAt
		}
	}
	return a, at
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
	Photos      []wirePhoto `json:"photos"`
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
	if t.Store != nil && t.Assignment != nil && t.Assignment.Status != order.Offered {
		w.StoreName = &t.Store.Name
	}
	if p, at, ok := t.runnerAt(); ok {
		w.Runner = &wireRunner{wireLocation{p.Lat, p.Lng}, stamp(at)}
	}
	if a, at := t.evidence(); a != nil {
		w.Evidence = &wireEvidence{o.Grade, stamp(at), k.photos(a)}
	}
	if o.Details.PINRequired && !o.Status.Terminal() {
		pin := o.PIN(k.names)
		w.PIN = &pin
	}
	if o.Status == order.ReceivedAtStore {
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

// disputeLife is how long after the hand-over a delivery may be disputed.
const disputeLife = 48 * time.Hour

func arrived(o *order.Order) bool { return o.Status == order.Delivered || o.Status == order.Collected }

func disputable(o *order.Order, now time.Time) bool {
	return arrived(o) && o.EndedAt != nil && !now.After(o.EndedAt.Add(disputeLife))
}

// remark keeps what the customer said about an order, once it may be said.
func (k *call) remark(r order.Remark, may func(*order.Order) error) error {
	o, err := k.linked()
	if err == nil {
		err = may(&o)
	}
	if err != nil {
		return err
	}
	return k.replyTracking(k.Orders.Remark(k.ctx, o.Key, r))
}

func (k *call) dispute() error {
	var in struct {
		Reason string `json:"reason"`
		Note   string `json:"note"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	if in.Reason == "" {
		return fault.InvalidField("/reason", "required", "say what is wrong")
	}
	if err := order.CheckReason("/reason", in.Reason); err != nil {
		return err
	}
	if err := order.CheckText("/note", in.Note, 500); err != nil {
		return err
	}
	return k.remark(order.Remark{Kind: order.Disputed, Reason: in.Reason, Text: in.Note}, func(o *order.Order) error {
		if !disputable(o, k.DB.Now()) {
			return fault.Refused("not-allowed-now", nil, "a delivery can be disputed within %.0f hours after it", disputeLife.Hours())
		}
		return nil
	})
}

func (k *call) rate() error {
	var in struct {
		Stars   int    `json:"stars"`
		Comment string `json:"comment"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	if in.Stars < 1 || in.Stars > 5 {
		return fault.InvalidField("/stars", "out-of-range", "1 to 5 stars")
	}
	if err := order.CheckText("/comment", in.Comment, 500); err != nil {
		return err
	}
	return k.remark(order.Remark{Kind: order.Rated, Stars: in.Stars, Text: in.Comment}, func(o *order.Order) error {
		if !arrived(o) {
			return fault.Refused("not-allowed-now", nil, "it can be rated once the parcel is there")
		}
		return nil
	})
}

func (k *call) message() error {
	var in struct {
		Text string `json:"text"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	if in.Text == "" {
		return fault.InvalidField("/text", "required", "say something")
	}
	if err := order.CheckText("/text", in.Text, 1000); err != nil {
		return err
	}
	o, err := k.linked()
	if err != nil {
		return err
	}
	o, err = k.Orders.Remark(k.ctx, o.Key, order.Remark{Kind: order.MessageReceived, Text: in.Text})
	if err != nil {
		return err
	}
	return k.reply(http.StatusCreated, map[string]any{"text": in.Text, "recorded_at": stamp(o.UpdatedAt)})
}

type wireRemark struct {
	ID        string  `json:"id"`
	Kind      string  `json:"kind"`
	Stars     *int    `json:"stars"`
	Reason    *string `json:"reason"`
	Text      string  `json:"text"`
	CreatedAt stamp   `json:"created_at"`
}

// listRemarks is what the customer said, for the people who handle the order.
func (k *call) listRemarks() error {
	o, err := k.theOrder()
	if err != nil {
		return err
	}
	remarks, err := k.Orders.Remarks(k.ctx, o.Key)
	if err != nil {
		return err
	}
	out := make([]wireRemark, len(remarks))
	for i, r := range remarks {
		out[i] = wireRemark{ID: r.Name(k.names), Kind: r.Kind, Reason: optional(r.Reason), Text: r.Text, CreatedAt: stamp(r.CreatedAt)}
		if r.Stars != 0 {
			out[i].Stars = &r.Stars
		}
	}
	return k.reply(http.StatusOK, newList(k.names, out, false, 0))
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

// ---- the page

func (k *call) lang() string { return web.Lang(k.r.Header.Get("Accept-Language")) }

// gone turns a dead link into the page that says so.
func (k *call) gone(err error) error {
	if fault.KindOf(err) != fault.NotFound {
		return err
	}
	var b bytes.Buffer
	if err := web.RenderGone(&b, k.lang()); err != nil {
		return err
	}
	return k.page200(http.StatusNotFound, b.Bytes())
}

func (k *call) trackingPage() error {
	o, err := k.linked()
	if err != nil {
		return k.gone(err)
	}
	t, err := k.track(o)
	if err != nil {
		return err
	}
	page, err := k.pageOf(&t)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := web.RenderTracking(&b, page); err != nil {
		return err
	}
	return k.page200(http.StatusOK, b.Bytes())
}

func (k *call) pageOf(t *tracked) (web.Tracking, error) {
	o := &t.Order
	w, err := k.trackingOut(t)
	if err != nil {
		return web.Tracking{}, err
	}
	token := k.param("token")
	reached, err := k.reached(o)
	if err != nil {
		return web.Tracking{}, err
	}
	p := web.Tracking{Lang: k.lang(), Now: k.DB.Now(), Status: string(o.Status), Reason: o.Reason, Mode: o.Mode,
		NextAction: dropoff.NextAction(o), Reached: reached, Merchant: w.Merchant, Reference: o.ExternalID,
		Instructions: o.Details.Instructions, InstructionsURL: "/t/" + token + "/instructions", Modes: wishes(o),
		CanConfirmRetrieved: t.canRetrieve(), RetrievedURL: "/t/" + token + "/retrieved",
		Live: true, EventsURL: "/v1/tracking/" + token + "/events?after=" + strconv.FormatInt(o.Chain.Last, 10), Notice: notices[k.query("notice")]}
	if o.Promise != nil {
		p.PromiseFrom, p.PromiseTo = o.Promise.From, o.Promise.To
	}
	if w.Code != nil {
		p.CollectionCode = *w.Code
	}
	if w.PIN != nil {
		p.PIN = *w.PIN
	}
	if s := t.Store; s != nil {
		p.Zone = s.Zone().Location()
		if w.StoreName != nil {
			p.StoreName, p.StorePhone, p.StoreHours = s.Name, s.Phone, s.OpeningHours
			p.Map.Store = ring(s.Cell)
			if p.StoreHours == "" {
				p.StoreHours = "24/7"
			}
		}
	}
	p.Map.You = ring(o.Cell)
	if at, _, ok := t.runnerAt(); ok {
		if c, err := geo.CellOf(at, geo.MatchRes); err == nil {
			p.Map.Runner = ring(c)
		}
	}
	if e := w.Evidence; e != nil {
		p.Evidence = &web.Evidence{Grade: e.Grade, At: time.Time(e.DeliveredAt)}
		if len(e.Photos) > 0 {
			p.Evidence.PhotoURL = e.Photos[0].URL
		}
	}
	return p, nil
}

// wishes are the ways a customer may choose to get the parcel.
func wishes(o *order.Order) []string {
	if o.Details.PINRequired {
		return []string{order.HandOver, order.CollectAtStore}
	}
	return []string{order.LeaveAtDoor, order.HandOver, order.CollectAtStore}
}

// ring is a cell's neighbourhood as the map draws it.
func ring(c geo.Cell) web.Ring {
	c, err := geo.Parent(c, neighbourhoodRes)
	if err != nil {
		return nil
	}
	var r web.Ring
	for _, p := range geo.Boundary(c) {
		r = append(r, [2]float64{p.Lat, p.Lng})
	}
	return r
}

// reached is when each status was last entered, from the order's story.
func (k *call) reached(o *order.Order) (map[string]time.Time, error) {
	story, err := k.Orders.Story(k.ctx, *o)
	if err != nil {
		return nil, err
	}
	out := map[string]time.Time{}
	for _, e := range story {
		if s, ok := order.StatusOf(e.Type); ok {
			out[string(s)] = e.OccurredAt
		}
	}
	return out, nil
}

var notices = map[string]string{"saved": web.NoticeSaved, "thanks": web.NoticeThanks, "too-late": web.NoticeTooLate,
	"too-long": web.NoticeTooLong, "failed": web.NoticeFailed}

// back sends a form's browser to the page again, with a word on how it went.
func (k *call) back(notice string) error {
	k.header.Set("Location", "/t/"+k.param("token")+"?notice="+notice)
	k.header.Set("Content-Type", "text/plain; charset=utf-8")
	k.status, k.answer = http.StatusSeeOther, []byte("see the page\n")
	return nil
}

func (k *call) retrievedForm() error {
	o, err := k.linked()
	if err != nil {
		return k.gone(err)
	}
	switch _, err := k.Dropoff.RetrievedByCustomer(k.ctx, o.Key); {
	case err == nil:
		return k.back("thanks")
	case fault.KindOf(err) == fault.Conflict:
		return k.back("too-late")
	default:
		return err
	}
}

func (k *call) instructionsForm() error {
	o, err := k.linked()
	if err != nil {
		return k.gone(err)
	}
	k.r.Body = http.MaxBytesReader(k.c.Response(), k.r.Body, 64<<10)
	if err := k.r.ParseForm(); err != nil {
		return k.back("failed")
	}
	_, err = k.Orders.SetInstructions(k.ctx, o.Key, k.r.PostForm.Get("instructions"), k.r.PostForm.Get("mode"))
	switch fault.KindOf(err) {
	case 0:
		if err != nil {
			return err
		}
		return k.back("saved")
	case fault.Conflict:
		return k.back("too-late")
	case fault.Invalid:
		return k.back("too-long")
	default:
		return err
	}
}
