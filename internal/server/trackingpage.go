package server

import (
	"bytes"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/care"
	"doorstep/internal/fault"
	"doorstep/internal/order"
	"doorstep/internal/web"
)

// The customer's page and its forms: all a customer can do, without JavaScript.

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
	return k.showPage(http.StatusOK, o, k.query("notice"), web.Typed{})
}

// showPage answers with the page, a word on the form that was just sent, and what was typed into one
// that was refused.
func (k *call) showPage(status int, o order.Order, notice string, typed web.Typed) error {
	t, err := k.track(o)
	if err != nil {
		return err
	}
	page, err := k.pageOf(&t)
	if err != nil {
		return err
	}
	page.Notice, page.Typed = notice, typed
	var b bytes.Buffer
	if err := web.RenderTracking(&b, page); err != nil {
		return err
	}
	return k.page200(status, b.Bytes())
}

func (k *call) pageOf(t *tracked) (web.Tracking, error) {
	o := &t.Order
	w, err := k.trackingOut(t)
	if err != nil {
		return web.Tracking{}, err
	}
	reached, err := k.reached(o)
	if err != nil {
		return web.Tracking{}, err
	}
	token := k.param("token")
	p := web.Tracking{Lang: k.lang(), Now: k.DB.Now(), Status: string(o.Status), Reason: o.Reason, Mode: o.Mode,
		NextAction: t.next(), Kept: t.kept(), Reached: reached, Merchant: w.Merchant, Reference: o.ExternalID,
		URL: "/t/" + token, Actions: w.Actions, Instructions: o.Details.Instructions, Modes: w.Modes,
		Live: true, EventsURL: "/v1/tracking/" + token + "/events?after=" + strconv.FormatInt(o.Chain.Last, 10)}
	if o.Promise != nil {
		p.PromiseFrom, p.PromiseTo = o.Promise.From, o.Promise.To
	}
	p.CollectionCode, p.PIN = orEmpty(w.Code), orEmpty(w.PIN)
	p.HoldUntil, p.DisputeUntil, p.RatingUntil = orZero(w.HoldUntil), orZero(w.DisputeUntil), orZero(w.RatingUntil)
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
		p.Evidence = &web.Evidence{Grade: e.Grade, At: time.Time(e.DeliveredAt), TakenBy: orEmpty(e.TakenBy)}
		if len(e.Photos) > 0 {
			p.Evidence.PhotoURL = e.Photos[0].URL
		}
	}
	t.sayPage(&p)
	return p, nil
}

// next is what happens next where the status alone does not say it.
func (t *tracked) next() string {
	o := &t.Order
	if o.Status == order.AttemptFailed {
		return order.NextStep(o, t.policy).Do
	}
	if !o.Status.Terminal() && (o.TransferTo != 0 || o.Elsewhere()) {
		return order.DoForward
	}
	return ""
}

// sayPage puts onto the page what was said about the delivery.
func (t *tracked) sayPage(p *web.Tracking) {
	if d := t.dispute(); d != nil {
		p.Dispute = &web.Dispute{Status: d.Status, OpenedAt: d.OpenedAt, Answer: d.Answer}
	}
	if r := t.rating(); r != nil {
		p.Rating = &web.Rating{Delivery: r.Stars, Store: r.StoreStars, Comment: r.Text}
	}
	for _, m := range t.talk() {
		p.Talk = append(p.Talk, web.Said{Customer: m.customer, Text: m.text, At: m.at})
	}
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orZero(s *stamp) time.Time {
	if s == nil {
		return time.Time{}
	}
	return time.Time(*s)
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

// ---- forms

// maxForm is far above what the forms take.
const maxForm = 64 << 10

// back sends a form's browser to the page again, with a word on how it went.
func (k *call) back(notice string) error {
	k.header.Set("Location", "/t/"+k.param("token")+"?notice="+notice)
	k.header.Set("Content-Type", "text/plain; charset=utf-8")
	k.status, k.answer = http.StatusSeeOther, []byte("see the page\n")
	return nil
}

// samePage refuses what a page of another host sends. The link is the permission, and whoever does not
// know it can forge nothing; this is for the case that somebody does. Our pages send no referrer, so on
// plain HTTP, where browsers send no Sec-Fetch-Site either, their forms come with the origin "null":
// that says nothing, as none does.
func (k *call) samePage() bool {
	if k.r.Header.Get("Sec-Fetch-Site") == "" && k.r.Header.Get("Origin") == "null" {
		return true
	}
	return k.origins.Check(k.r) == nil
}

// fields are what a form says; its lines end as ours do.
func (k *call) fields() (url.Values, error) {
	body, err := k.readAll(maxForm)
	if err != nil || len(body) == 0 {
		return url.Values{}, err
	}
	if kind, _, err := mime.ParseMediaType(k.r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, fault.New(fault.Unsupported, "unsupported-media-type", "send application/x-www-form-urlencoded")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fault.New(fault.Malformed, "form-unreadable", "the form cannot be read")
	}
	for _, values := range form {
		for i, v := range values {
			values[i] = strings.ReplaceAll(v, "\r\n", "\n")
		}
	}
	return form, nil
}

// submit does what a form asks for and leads back to the page. A form that was refused is shown again
// as it was typed; when it is no longer there, its words are offered as a message.
func (k *call) submit(action, done, text string, act func(o order.Order, form url.Values) error) error {
	o, err := k.linked()
	if err != nil {
		return k.gone(err)
	}
	form, err := k.fields()
	if err != nil {
		return err
	}
	typed := web.Typed{Action: action, Values: map[string]string{}}
	for name := range form {
		typed.Values[name] = form.Get(name)
	}
	if !k.samePage() {
		return k.showPage(http.StatusForbidden, o, "elsewhere", typed)
	}
	err = act(o, form)
	switch fault.KindOf(err) {
	case 0:
		if err != nil {
			return err
		}
		return k.back(done)
	case fault.Invalid:
		typed.Errors = map[string]string{}
		for _, f := range fault.As(err).Fields {
			typed.Errors[strings.TrimPrefix(f.Pointer, "/")] = f.Code
		}
		return k.showPage(http.StatusUnprocessableEntity, o, "mistakes", typed)
	case fault.Conflict:
		notice := web.NoticeOf(action, fault.Code(err))
		if typed.Values[text] == "" {
			return k.back(notice)
		}
		if action != web.ActWrite {
			typed = web.Typed{Action: web.ActWrite, Values: map[string]string{"text": typed.Values[text]}}
		}
		return k.showPage(http.StatusConflict, o, notice, typed)
	}
	return err
}

func (k *call) retrievedForm() error {
	return k.submit(web.ActRetrieve, web.NoticeThanks, "", func(o order.Order, _ url.Values) error {
		_, err := k.Dropoff.RetrievedByCustomer(k.ctx, o.Key)
		return err
	})
}

func (k *call) instructionsForm() error {
	return k.submit(web.ActInstruct, web.NoticeSaved, "instructions", func(o order.Order, f url.Values) error {
		_, err := k.Orders.SetInstructions(k.ctx, o.Key, f.Get("instructions"), f.Get("mode"))
		return err
	})
}

func (k *call) extendHoldForm() error {
	return k.submit(web.ActExtend, web.NoticeExtended, "", func(o order.Order, f url.Values) error {
		_, err := k.keepLonger(o, f.Get("hold_until"))
		return err
	})
}

func (k *call) disputeForm() error {
	return k.submit(web.ActDispute, web.NoticeReported, "note", func(o order.Order, f url.Values) error {
		_, err := k.Care.Dispute(k.ctx, o.Key, f.Get("reason"), f.Get("note"))
		return err
	})
}

func (k *call) withdrawForm() error {
	return k.submit(web.ActWithdraw, web.NoticeWithdrawn, "", func(o order.Order, _ url.Values) error {
		_, err := k.Care.Withdraw(k.ctx, o.Key)
		return err
	})
}

func (k *call) rateForm() error {
	return k.submit(web.ActRate, web.NoticeRated, "comment", func(o order.Order, f url.Values) error {
		r := care.Rating{Comment: f.Get("comment")}
		var wrong fault.Fields
		r.Delivery, r.Store = starsTyped(&wrong, f, "stars"), starsTyped(&wrong, f, "store_stars")
		if err := wrong.Err(); err != nil {
			return err
		}
		_, err := k.Care.Rate(k.ctx, o.Key, r)
		return err
	})
}

func starsTyped(f *fault.Fields, form url.Values, name string) int {
	text := form.Get(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		n = -1
	}
	return starsIn(f, "/"+name, &n)
}

func (k *call) messageForm() error {
	return k.submit(web.ActWrite, web.NoticeSent, "text", func(o order.Order, f url.Values) error {
		_, err := k.Care.Message(k.ctx, o.Key, f.Get("text"))
		return err
	})
}
