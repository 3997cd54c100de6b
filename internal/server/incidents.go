package server

import (
	"net/http"
	"slices"

	"doorstep/internal/care"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/order"
)

type wireIncident struct {
	ID         string  `json:"id"`
	Kind       string  `json:"kind"`
	Status     string  `json:"status"`
	Reason     *string `json:"reason"`
	OrderID    string  `json:"order_id"`
	Merchant   string  `json:"merchant"`
	StoreID    *string `json:"store_id"`
	OpenedAt   stamp   `json:"opened_at"`
	OpenedBy   string  `json:"opened_by"`
	ResolvedAt *stamp  `json:"resolved_at"`
	ResolvedBy *string `json:"resolved_by"`
	Note       *string `json:"note"`
	Answer     *string `json:"answer"`
	Version    int64   `json:"version"`
}

// wireFile is an incident with all that is known of its order: as it was, and as it is.
type wireFile struct {
	wireIncident
	Then     wireThen      `json:"order_then"`
	Order    wireOrder     `json:"order"`
	Attempts []wireAttempt `json:"attempts"`
	Remarks  []wireRemark  `json:"remarks"`
	Story    []wireEvent   `json:"story"`
}

// wireThen is how the order stood when the incident was opened; sequence is that of the newest event of
// its story then.
type wireThen struct {
	Status   order.Status `json:"status"`
	Reason   *string      `json:"status_reason"`
	Grade    *string      `json:"evidence_grade"`
	Holder   order.Holder `json:"holder"`
	Attempts int          `json:"attempts"`
	Version  int64        `json:"version"`
	EndedAt  *stamp       `json:"ended_at"`
	Sequence int64        `json:"sequence"`
}

func (k *call) incidentOut(i *care.Incident) (wireIncident, error) {
	merchant, err := k.Keys.MerchantName(k.ctx, i.Merchant)
	if err != nil {
		return wireIncident{}, err
	}
	w := wireIncident{ID: k.names.Name(ident.Incident, i.Key), Kind: i.Kind, Status: i.Status, Reason: optional(i.Reason),
		OrderID: k.names.Name(ident.Order, i.Order), Merchant: merchant, OpenedAt: stamp(i.OpenedAt), OpenedBy: i.OpenedBy,
		ResolvedAt: stampOf(i.ResolvedAt), ResolvedBy: optional(i.ResolvedBy), Note: optional(i.Note), Answer: optional(i.Answer), Version: i.Version}
	if i.Store != 0 {
		id := k.names.Name(ident.Store, i.Store)
		w.StoreID = &id
	}
	return w, nil
}

// listIncidents is the queue of what customers wait for.
func (k *call) listIncidents() error {
	f := care.Filter{Kind: k.query("kind")}
	if f.Kind != "" && f.Kind != care.Dispute && f.Kind != care.Message {
		return fault.InvalidField("kind", "unknown-value", "%q is not a kind of incident", f.Kind)
	}
	var err error
	if f.Statuses, err = k.statuses(func(s string) bool { return slices.Contains(care.Statuses, s) }); err != nil {
		return err
	}
	if f.Cursor, f.Limit, err = k.page(); err != nil {
		return err
	}
	list, more, err := k.Care.List(k.ctx, f)
	if err != nil {
		return err
	}
	out := make([]wireIncident, len(list))
	var last int64
	for n := range list {
		if out[n], err = k.incidentOut(&list[n]); err != nil {
			return err
		}
		last = list[n].Key
	}
	return k.reply(http.StatusOK, newList(k.names, out, more, last))
}

func (k *call) getIncident() error {
	key, err := k.key(ident.Incident, "incident")
	if err != nil {
		return err
	}
	i, err := k.Care.Get(k.ctx, key)
	if err != nil {
		return err
	}
	return k.replyIncident(&i)
}

// replyIncident answers with the whole file of an incident.
func (k *call) replyIncident(i *care.Incident) (err error) {
	var w wireFile
	if w.wireIncident, err = k.incidentOut(i); err != nil {
		return err
	}
	t := i.Then
	w.Then = wireThen{t.Status, optional(t.Reason), optional(t.Grade), t.Holder, t.Attempts, t.Version, stampOf(t.EndedAt), i.At.Count}
	o, err := k.Orders.Get(k.ctx, i.Order)
	if err != nil {
		return err
	}
	p, err := k.Match.Show(k.ctx, o)
	if err != nil {
		return err
	}
	if w.Order, err = k.wholeOrder(&p); err != nil {
		return err
	}
	if w.Attempts, err = k.attemptsOut(o.Key); err != nil {
		return err
	}
	if w.Remarks, err = k.remarksOut(o.Key); err != nil {
		return err
	}
	story, err := k.Orders.Story(k.ctx, o)
	if err != nil {
		return err
	}
	w.Story = make([]wireEvent, len(story))
	for n, e := range story {
		w.Story[n] = k.eventOut(e)
	}
	k.etag(i.Version)
	return k.reply(http.StatusOK, w)
}

func (k *call) resolveIncident() error {
	var in struct {
		Outcome string `json:"outcome"`
		Note    string `json:"note"`
		Answer  string `json:"answer"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	key, err := k.key(ident.Incident, "incident")
	if err != nil {
		return err
	}
	version, err := k.ifMatch()
	if err != nil {
		return err
	}
	i, err := k.Care.Resolve(k.ctx, key, version, care.Resolution(in))
	if err != nil {
		return err
	}
	w, err := k.incidentOut(&i)
	if err != nil {
		return err
	}
	k.etag(i.Version)
	return k.reply(http.StatusOK, w)
}

type wireMean struct {
	Count int64    `json:"count"`
	Mean  *float64 `json:"mean"`
}

func meanOut(m care.Mean) wireMean {
	if m.Count == 0 {
		return wireMean{}
	}
	mean := float64(int(m.Mean*100+.5)) / 100
	return wireMean{m.Count, &mean}
}

// ratings is what a store's customers think.
func (k *call) ratings() error {
	s, err := k.theStore()
	if err != nil {
		return err
	}
	ofStore, ofDelivery, err := k.Care.StoreRatings(k.ctx, s.Key)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, struct {
		StoreID  string   `json:"store_id"`
		Store    wireMean `json:"store"`
		Delivery wireMean `json:"delivery"`
	}{k.names.Name(ident.Store, s.Key), meanOut(ofStore), meanOut(ofDelivery)})
}
