package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"doorstep/geo"
	"doorstep/internal/auth"
	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/match"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

type orderIn struct {
	ExternalID string         `json:"external_id"`
	Items      []order.Item   `json:"items"`
	Parcels    []order.Parcel `json:"parcels"`
	Recipient  *recipientIn   `json:"recipient"`
	Dropoff    *dropoffIn     `json:"dropoff"`
	Window     *periodIn      `json:"window"`
	RadiusM    *int           `json:"radius_m"`
	Undeliver  string         `json:"undeliverable_action"`
	Grade      string         `json:"minimum_evidence_grade"`
	Tags       []string       `json:"tags"`
}

type recipientIn struct {
	Name   string `json:"name"`
	Phone  string `json:"phone"`
	Locale string `json:"locale"`
}

type dropoffIn struct {
	Location     *locationIn `json:"location"`
	Address      wireAddress `json:"address"`
	Instructions string      `json:"instructions"`
	Mode         string      `json:"mode"`
	PINRequired  bool        `json:"pin_required"`
	Signature    bool        `json:"signature_required"`
	ID           bool        `json:"id_required"`
	Cash         *cashIn     `json:"cash_on_delivery"`
}

// cashIn tells a missing amount from zero.
type cashIn struct {
	Amount   *int64 `json:"amount"`
	Currency string `json:"currency"`
}

func (c *cashIn) money(f *fault.Fields, pointer string) *order.Money {
	switch {
	case c == nil:
		return nil
	case c.Amount == nil:
		f.Add(pointer+"/amount", "required", "say how many minor units, like {\"amount\": 25000, \"currency\": \"KES\"}")
		return nil
	}
	return &order.Money{Amount: *c.Amount, Currency: c.Currency}
}

// draft is what the order package judges; what cannot even be carried over is said here.
func (in *orderIn) draft(quote bool) (order.Draft, error) {
	var f fault.Fields
	d := order.Draft{ExternalID: in.ExternalID, Items: in.Items, Parcels: in.Parcels, Undeliver: in.Undeliver,
		MinimumGrade: in.Grade, Tags: in.Tags, Window: in.Window.span(&f, "/window")}
	if in.Dropoff == nil {
		f.Add("/dropoff", "required", "say where it goes: {\"location\": {\"lat\": …, \"lng\": …}}")
	} else {
		d.Dropoff = in.Dropoff.Location.point(&f, "/dropoff/location")
		d.Address = order.Address(in.Dropoff.Address)
		d.Instructions, d.Mode, d.PINRequired = in.Dropoff.Instructions, in.Dropoff.Mode, in.Dropoff.PINRequired
		d.SignatureRequired, d.IDRequired = in.Dropoff.Signature, in.Dropoff.ID
		d.Cash = in.Dropoff.Cash.money(&f, "/dropoff/cash_on_delivery")
	}
	switch {
	case in.Recipient != nil && quote:
		f.Add("/recipient", "unknown-field", "a quote needs no recipient")
	case in.Recipient != nil:
		d.Recipient = order.Recipient(*in.Recipient)
	case !quote:
		f.Add("/recipient", "required", "say who gets it: name and phone")
	}
	if in.RadiusM != nil {
		if d.RadiusM = *in.RadiusM; d.RadiusM < 1 {
			f.Add("/radius_m", "out-of-range", "radius_m is 1 to 100000 metres")
		}
	}
	return d, f.Err()
}

// wholeDraft is the draft of an order; its error says all that is wrong at once.
func (in *orderIn) wholeDraft(now time.Time) (order.Draft, error) {
	d, err := in.draft(false)
	if f := fault.As(err); f != nil {
		fields := fault.Fields(f.Fields)
		if more := fault.As(d.Normal().Check(now, false)); more != nil {
			fields = append(fields, unsaid(fields, more.Fields)...)
		}
		err = fields.Err()
	}
	return d, err
}

type wireOrder struct {
	ID           string               `json:"id"`
	ExternalID   *string              `json:"external_id"`
	Merchant     string               `json:"merchant"`
	Status       order.Status         `json:"status"`
	Reason       *string              `json:"status_reason"`
	CancelReason *string              `json:"cancellation_reason"`
	CancelledBy  *string              `json:"cancelled_by"`
	Cell         string               `json:"h3_cell"`
	Store        *wireOrderStore      `json:"store"`
	DistanceM    *int                 `json:"distance_m"`
	Assignment   *wireOrderAssignment `json:"assignment"`
	Promise      *wirePeriod          `json:"promise"`
	TrackingURL  string               `json:"tracking_url"`
	LiveMode     bool                 `json:"live_mode"`
	Items        []order.Item         `json:"items"`
	Parcels      []order.Parcel       `json:"parcels"`
	Recipient    wireRecipient        `json:"recipient"`
	Dropoff      wireDropoff          `json:"dropoff"`
	Window       *wirePeriod          `json:"window"`
	RadiusM      *int                 `json:"radius_m"`
	Undeliver    string               `json:"undeliverable_action"`
	MinimumGrade string               `json:"minimum_evidence_grade"`
	Grade        *string              `json:"evidence_grade"`
	Attempts     int                  `json:"attempts"`
	CodeLocked   bool                 `json:"code_locked"`
	Custody      *wireCustody         `json:"custody"`
	NextStep     *wireStep            `json:"next_step"`
	Dispute      *string              `json:"dispute"`
	Tags         []string             `json:"tags"`
	Version      int64                `json:"version"`
	CreatedAt    stamp                `json:"created_at"`
	UpdatedAt    stamp                `json:"updated_at"`
	DeliveredAt  *stamp               `json:"delivered_at"`
	ErasedAt     *stamp               `json:"erased_at"`
}

type wireOrderStore struct {
	ID       string       `json:"id"`
	Name     string       `json:"name"`
	Location wireLocation `json:"location"`
}

type wireOrderAssignment struct {
	ID        string                 `json:"id"`
	Status    order.AssignmentStatus `json:"status"`
	ExpiresAt *stamp                 `json:"offer_expires_at"`
}

type wireRecipient struct {
	Name   string  `json:"name"`
	Phone  string  `json:"phone"`
	Locale *string `json:"locale"`
}

type wireDropoff struct {
	Location     wireLocation `json:"location"`
	Address      *wireAddress `json:"address"`
	Instructions *string      `json:"instructions"`
	Mode         string       `json:"mode"`
	PINRequired  bool         `json:"pin_required"`
	Signature    bool         `json:"signature_required"`
	ID           bool         `json:"id_required"`
	Cash         *order.Money `json:"cash_on_delivery"`
}

func (k *call) storeOut(s *partner.Store) *wireOrderStore {
	if s == nil {
		return nil
	}
	return &wireOrderStore{k.names.Name(ident.Store, s.Key), s.Name, wireLocation{s.Location.Lat, s.Location.Lng}}
}

// orderOut is p as this caller may see it.
func (k *call) orderOut(p *match.Placed) (wireOrder, error) {
	w, err := k.wholeOrder(p)
	if err == nil && k.who.Role == auth.RoleStore {
		forStore(&w, &p.Order, p.Assignment)
		k.hideOthers(&w)
	}
	return w, err
}

// forStore leaves in w what the store of a needs: of an order it has taken all but the customer's own link,
// while it is asked the goods and the neighbourhood, and of an order it no longer has the same without
// what tells whose it is or what became of it.
func forStore(w *wireOrder, o *order.Order, a *order.Assignment) {
	w.TrackingURL = ""
	if a != nil && a.Key == o.Assignment && (a.Status == order.Accepted || a.Status == order.Completed) {
		if a.Status == order.Completed || o.Status.Terminal() {
			w.Recipient.Phone = mask(o.Recipient.Phone) // nothing is left to call about
		}
		return
	}
	mid := geo.Center(o.Cell)
	w.Recipient.Name, w.Recipient.Phone = "", mask("")
	w.Dropoff.Location, w.Dropoff.Address, w.Dropoff.Instructions = wireLocation{mid.Lat, mid.Lng}, nil, nil
	if a != nil && a.Key == o.Assignment && a.Status == order.Offered {
		return
	}
	w.ExternalID, w.Tags, w.Dropoff.Cash, w.CodeLocked = nil, []string{}, nil, false
	if a == nil || a.Key == o.Assignment {
		return // it ended with this store: its status is no news of anybody else
	}
	w.Status, w.Reason, w.CancelReason, w.CancelledBy = lastSeen(a.Status), nil, nil, nil
	w.Custody, w.NextStep = nil, nil
	w.Attempts, w.Grade, w.DeliveredAt, w.Dispute = 0, nil, nil, nil
	w.UpdatedAt = stamp(a.OfferedAt)
	if a.AnsweredAt != nil {
		w.UpdatedAt = stamp(*a.AnsweredAt)
	}
}

// lastSeen is the status an order had when it left a store, from how the assignment ended.
func lastSeen(s order.AssignmentStatus) order.Status {
	switch s {
	case order.Declined, order.Expired, order.Withdrawn:
		return order.Created
	}
	return order.Confirmed
}

// deliveredAt is when the customer got the parcel of a delivered order, by the phone that was there: an
// order ends when we hear of it, which may be hours later.
func deliveredAt(o *order.Order) *time.Time {
	if o.Holder == order.HeldByCustomer && !o.HeldSince.IsZero() {
		return &o.HeldSince
	}
	return o.EndedAt
}

func (k *call) wholeOrder(p *match.Placed) (wireOrder, error) {
	o := &p.Order
	merchant, err := k.Keys.MerchantName(k.ctx, o.Merchant)
	if err != nil {
		return wireOrder{}, err
	}
	w := wireOrder{ID: k.names.Name(ident.Order, o.Key), ExternalID: optional(o.ExternalID), Merchant: merchant, Status: o.Status,
		Reason: optional(o.Reason), CancelledBy: optional(o.CancelledBy), Cell: o.Cell.String(), Store: k.storeOut(p.Store),
		Promise: period(o.Promise), TrackingURL: k.publicURL(k.r) + "/t/" + o.LinkToken(k.names), LiveMode: true,
		Items: o.Details.Items, Parcels: o.Details.Parcels,
		Recipient: wireRecipient{o.Recipient.Name, o.Recipient.Phone, optional(o.Recipient.Locale)},
		Dropoff: wireDropoff{wireLocation{o.Dropoff.Lat, o.Dropoff.Lng}, addressOut(wireAddress(o.Details.Address)),
			optional(o.Details.Instructions), o.Mode, o.Details.PINRequired, o.Details.SignatureRequired, o.Details.IDRequired, o.Details.Cash},
		Window: period(o.Window), Undeliver: o.Undeliver, MinimumGrade: o.MinimumGrade, Grade: optional(o.Grade),
		Attempts: o.Attempts, CodeLocked: o.CodeLocked(), Dispute: optional(o.Dispute), Tags: o.Details.Tags, Version: o.Version, CreatedAt: stamp(o.CreatedAt), UpdatedAt: stamp(o.UpdatedAt)}
	w.Custody = k.custodyOut(o)
	if w.NextStep, err = k.stepOf(o); err != nil {
		return w, err
	}
	if w.Items == nil {
		w.Items = []order.Item{}
	}
	if w.Parcels == nil {
		w.Parcels = []order.Parcel{}
	}
	if w.Tags == nil {
		w.Tags = []string{}
	}
	if o.Status == order.Cancelled {
		w.CancelReason = w.Reason
	}
	if o.RadiusM != 0 {
		w.RadiusM = &o.RadiusM
	}
	if o.Status == order.Delivered {
		w.DeliveredAt = stampOf(deliveredAt(o))
	}
	if w.ErasedAt = stampOf(o.ErasedAt); o.ErasedAt != nil {
		w.TrackingURL = "" // it opens nothing any more
	}
	if a := p.Assignment; a != nil {
		w.Assignment = &wireOrderAssignment{ID: k.names.Name(ident.Assignment, a.Key), Status: a.Status}
		if a.Status == order.Offered {
			w.Assignment.ExpiresAt = stampOf(a.Deadline)
		}
	}
	if p.Store != nil {
		w.DistanceM = &o.DistanceM
	}
	return w, nil
}

func (k *call) replyOrder(status int, p match.Placed) error {
	w, err := k.orderOut(&p)
	if err != nil {
		return err
	}
	k.etag(p.Order.Version)
	k.status, k.answer = status, w.json()
	return nil
}

// merchant is whose orders a caller creates: its own, or the network's for an admin.
func (k *call) merchant() (int64, error) {
	if k.who.Merchant != 0 {
		return k.who.Merchant, nil
	}
	return k.houseMerchant(k.ctx)
}

// houseMerchant owns the orders an administrator enters.
func (s *Server) houseMerchant(ctx context.Context) (key int64, err error) {
	if key = s.house.Load(); key != 0 {
		return key, nil
	}
	err = s.DB.InTx(ctx, func(tx *db.Tx) error {
		key, err = auth.EnsureMerchant(tx, "network")
		return err
	})
	if err == nil {
		s.house.Store(key)
	}
	return key, err
}

func (k *call) createOrder() error {
	var in orderIn
	if err := k.decode(&in); err != nil {
		return err
	}
	merchant, err := k.merchant()
	if err != nil {
		return err
	}
	answer, err := k.place(merchant, &in, k.repeat)
	if err != nil {
		return err
	}
	k.give(answer)
	return nil
}

// place takes one order in and gives the answer as it was stored with it.
func (k *call) place(merchant int64, in *orderIn, r *repeat) (answer outcome, err error) {
	d, err := in.wholeDraft(k.DB.Now())
	if err != nil {
		return outcome{}, err
	}
	if r == nil {
		// Nobody needs the answer inside the transaction: it is made here, beside the writer.
		p, err := k.Match.Place(k.ctx, merchant, d, nil)
		if err != nil {
			return outcome{}, err
		}
		return k.placed(p)
	}
	_, err = k.Match.Place(k.ctx, merchant, d, func(tx *db.Tx, p match.Placed) error {
		if answer, err = k.placed(p); err != nil {
			return err
		}
		r.stored = true
		return r.store(tx, answer)
	})
	return answer, err
}

// placed is the answer to an order that was taken in, now or before.
func (k *call) placed(p match.Placed) (answer outcome, err error) {
	w, err := k.orderOut(&p)
	if err != nil {
		return outcome{}, err
	}
	answer = outcome{status: statusOfNew(&p), header: map[string]string{"ETag": etag(p.Order.Version)}}
	if !p.Repeat {
		answer.header["Location"] = "/v1/orders/" + w.ID
	}
	answer.body = w.json()
	return answer, nil
}

func statusOfNew(p *match.Placed) int {
	if p.Repeat {
		return http.StatusOK
	}
	return http.StatusCreated
}

// unsaid are the fields of more at places nothing was said about yet.
func unsaid(said, more []fault.Field) []fault.Field {
	var out []fault.Field
next:
	for _, m := range more {
		for _, s := range said {
			if m.Pointer == s.Pointer || len(m.Pointer) > len(s.Pointer) && m.Pointer[:len(s.Pointer)+1] == s.Pointer+"/" ||
				len(s.Pointer) > len(m.Pointer) && s.Pointer[:len(m.Pointer)+1] == m.Pointer+"/" {
				continue next
			}
		}
		out = append(out, m)
	}
	return out
}

func (k *call) quote() error {
	var in orderIn
	if err := k.decode(&in); err != nil {
		return err
	}
	d, err := in.draft(true)
	if err != nil {
		return err
	}
	merchant := k.who.Merchant
	if k.who.Role == auth.RoleAdmin {
		if merchant, err = k.merchant(); err != nil {
			return err
		}
	}
	q, err := k.Match.Quote(k.ctx, merchant, d)
	if err != nil {
		return err
	}
	out := struct {
		Serviceable bool            `json:"serviceable"`
		Store       *wireOrderStore `json:"store"`
		DistanceM   *int            `json:"distance_m"`
		Promise     *wirePeriod     `json:"promise"`
		ExpiresAt   *stamp          `json:"expires_at"`
		Reason      *string         `json:"reason"`
	}{Serviceable: q.Store != nil, Store: k.storeOut(q.Store), Promise: period(q.Promise), Reason: optional(q.Reason)}
	if q.Store != nil {
		out.DistanceM = &q.DistanceM
		until := stamp(q.At.Add(quoteLife))
		out.ExpiresAt = &until
	}
	return k.reply(http.StatusOK, out)
}

// quoteLife is how long a quote is worth believing; it reserves nothing.
const quoteLife = time.Minute

// theOrder is the order of the path, if this caller may see it; a stranger's is not found.
func (k *call) theOrder() (order.Order, error) {
	key, external, err := k.ref(ident.Order, "order")
	if err != nil {
		return order.Order{}, err
	}
	var o order.Order
	if external == "" {
		o, err = k.Orders.Get(k.ctx, key)
	} else {
		o, err = k.orderByExternal(external)
	}
	if err != nil {
		return o, err
	}
	return o, k.mayOrder(&o)
}

// orderByExternal is the one order with a merchant's own id, which several merchants may use. A store
// looks among its own orders only.
func (k *call) orderByExternal(external string) (order.Order, error) {
	merchant := k.who.Merchant
	if name := k.query("merchant"); name != "" && merchant == 0 {
		key, ok, err := k.Keys.FindMerchant(k.ctx, name)
		if err != nil {
			return order.Order{}, err
		}
		if !ok {
			return order.Order{}, fault.Missing("order")
		}
		merchant = key
	}
	if merchant != 0 {
		return k.Orders.Find(k.ctx, merchant, external)
	}
	found, err := k.Orders.FindExternal(k.ctx, external, k.who.Store)
	switch {
	case err != nil:
		return order.Order{}, err
	case len(found) == 0:
		return order.Order{}, fault.Missing("order")
	case len(found) > 1:
		return order.Order{}, fault.Refused("ambiguous-external-id", nil, "several merchants have an order %q: say whose with ?merchant=, or use its id", external)
	}
	return found[0], nil
}

// actOn is the order of the path for an action on it: with If-Match only at that version.
func (k *call) actOn() (order.Order, error) {
	o, err := k.theOrder()
	if err != nil {
		return o, err
	}
	version, err := k.ifMatch()
	if version != nil {
		k.ctx = order.Expect(k.ctx, *version)
	}
	return o, err
}

func (k *call) mayOrder(o *order.Order) error {
	switch k.who.Role {
	case auth.RoleAdmin, auth.RoleDispatcher:
		return nil
	case auth.RoleMerchant:
		if o.Merchant == k.who.Merchant {
			return nil
		}
	case auth.RoleStore:
		if o.Store != 0 && o.Store == k.who.Store {
			return nil
		}
	}
	return fault.Missing("order")
}

// showOrder answers with o as it is.
func (k *call) showOrder(o order.Order, err error) error {
	if err != nil {
		return err
	}
	p, err := k.Match.Show(k.ctx, o)
	if err != nil {
		return err
	}
	return k.replyOrder(http.StatusOK, p)
}

func (k *call) getOrder() error { return k.showOrder(k.theOrder()) }

func (k *call) listOrders() error {
	statuses, err := k.statuses(func(s string) bool { return order.Status(s).Known() })
	if err != nil {
		return err
	}
	f := order.Filter{Statuses: statuses, Merchant: k.who.Merchant, Store: k.who.Store}
	if f.CreatedAfter, err = k.instant("created_after"); err != nil {
		return err
	}
	if f.CreatedUntil, err = k.instant("created_until"); err != nil {
		return err
	}
	if f.Cell, err = k.cell("h3_cell"); err != nil {
		return err
	}
	if f.Cell != 0 && f.CreatedAfter.IsZero() && (len(statuses) == 0 || !order.Open(statuses)) {
		return fault.InvalidField("h3_cell", "too-many", "say since when as well, with created_after, or ask for states of open orders only")
	}
	locked, err := k.yesNo("code_locked")
	if err != nil {
		return err
	}
	f.Locked = locked != nil && *locked
	if over := k.query("overdue"); over == "true" {
		f.OverdueAt = k.DB.Now()
	} else if over != "" && over != "false" {
		return fault.InvalidField("overdue", "unknown-value", "one of true, false")
	}
	if f.Cursor, f.Limit, err = k.page(); err != nil {
		return err
	}
	none := false
	if id := k.query("store_id"); id != "" && f.Store == 0 {
		s, err := k.storeByRef(id)
		if err != nil {
			return k.emptyIfMissing(err)
		}
		f.Store = s.Key
	} else if id != "" && k.names.Name(ident.Store, f.Store) != id {
		none = true
	}
	if name := k.query("merchant"); name != "" {
		key, ok, err := k.Keys.FindMerchant(k.ctx, name)
		if err != nil {
			return err
		}
		none = none || !ok || f.Merchant != 0 && f.Merchant != key
		f.Merchant = key
	}
	if none {
		return k.reply(http.StatusOK, newList[wireOrder](k.names, nil, false, 0))
	}
	orders, more, err := k.Orders.List(k.ctx, f)
	if err != nil {
		return err
	}
	out := make([]wireOrder, len(orders))
	var last int64
	for i, o := range orders {
		p, err := k.Match.Show(k.ctx, o)
		if err != nil {
			return err
		}
		if out[i], err = k.orderOut(&p); err != nil {
			return err
		}
		last = o.Key
	}
	return k.reply(http.StatusOK, newList(k.names, out, more, last))
}

// emptyIfMissing answers a filter by something unknown with an empty list.
func (k *call) emptyIfMissing(err error) error {
	if fault.KindOf(err) == fault.NotFound {
		return k.reply(http.StatusOK, newList[wireOrder](k.names, nil, false, 0))
	}
	return err
}

type reasonIn struct {
	Reason string `json:"reason"`
}

func (k *call) cancelOrder() error {
	var in reasonIn
	if err := k.decode(&in); err != nil {
		return err
	}
	o, err := k.actOn()
	if err != nil {
		return err
	}
	if in.Reason == "" {
		return fault.InvalidField("/reason", "required", "say why, for instance cancelled_by_merchant")
	}
	p, err := k.Match.Cancel(k.ctx, o.Key, in.Reason, string(k.who.Role))
	if err != nil {
		return err
	}
	return k.replyOrder(http.StatusOK, p)
}

func (k *call) reassignOrder() error {
	var in struct {
		StoreID *string `json:"store_id"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	o, err := k.actOn()
	if err != nil {
		return err
	}
	store := int64(0)
	if in.StoreID != nil {
		s, err := k.storeByRef(*in.StoreID)
		if fault.KindOf(err) == fault.NotFound {
			return fault.InvalidField("/store_id", "unknown-store", "there is no such store")
		}
		if err != nil {
			return err
		}
		store = s.Key
	}
	p, err := k.Match.Reassign(k.ctx, o.Key, store)
	if err != nil {
		return err
	}
	return k.replyOrder(http.StatusOK, p)
}

func (k *call) orderStory() error {
	o, err := k.theOrder()
	if err != nil {
		return err
	}
	story, err := k.Orders.Story(k.ctx, o)
	if err != nil {
		return err
	}
	out := make([]wireEvent, len(story))
	for i, e := range story {
		if k.who.Role == auth.RoleStore && e.Store != k.who.Store {
			e = elsewhere(e)
		} else if k.who.Role == auth.RoleStore {
			e = k.atOthers(e)
		}
		out[i] = k.eventOut(e)
	}
	return k.reply(http.StatusOK, newList(k.names, out, false, 0))
}

// elsewhere is an event of the time before an order came to this store: that it happened, not where,
// by whom or why.
func elsewhere(e event.Event) event.Event {
	var said struct {
		Status order.Status `json:"status,omitempty"`
	}
	_ = json.Unmarshal(e.Data, &said) // no status, nothing said
	e.Data, _ = json.Marshal(said)
	e.Actor = ""
	return e
}

func (k *call) renewLink() error {
	o, err := k.actOn()
	if err != nil {
		return err
	}
	return k.showOrder(k.Orders.RenewLink(k.ctx, o.Key))
}

// ---- assignments

type wireAssignment struct {
	ID         string                 `json:"id"`
	OrderID    string                 `json:"order_id"`
	StoreID    string                 `json:"store_id"`
	Status     order.AssignmentStatus `json:"status"`
	Reason     *string                `json:"reason"`
	Rank       int                    `json:"rank"`
	Score      int                    `json:"score"`
	DistanceM  *int                   `json:"distance_m"`
	OfferedAt  stamp                  `json:"offered_at"`
	ExpiresAt  *stamp                 `json:"offer_expires_at"`
	AnsweredAt *stamp                 `json:"answered_at"`
	Promise    *wirePeriod            `json:"promise"`
	Order      wireOrder              `json:"order"`
}

func (k *call) assignmentOut(p match.Placed, a *order.Assignment) (wireAssignment, error) {
	mine := p
	if mine.Order.Assignment != a.Key {
		// What became of the order afterwards is not this store's business.
		mine.Assignment, mine.Store, mine.Order.Store, mine.Order.Promise = nil, nil, 0, nil
	}
	o, err := k.wholeOrder(&mine)
	if err != nil {
		return wireAssignment{}, err
	}
	if k.who.Role == auth.RoleStore {
		forStore(&o, &mine.Order, a)
		k.hideOthers(&o)
	}
	w := wireAssignment{ID: k.names.Name(ident.Assignment, a.Key), OrderID: o.ID, StoreID: k.names.Name(ident.Store, a.Store),
		Status: a.Status, Reason: optional(a.Reason), Rank: a.Rank, Score: a.ScoreM, DistanceM: &a.ScoreM, OfferedAt: stamp(a.OfferedAt),
		AnsweredAt: stampOf(a.AnsweredAt), Promise: o.Promise, Order: o}
	if a.Status == order.Offered {
		w.ExpiresAt = stampOf(a.Deadline)
	}
	return w, nil
}

func (k *call) listAssignments() error {
	statuses, err := k.statuses(knownAssignment)
	if err != nil {
		return err
	}
	if len(statuses) == 0 {
		statuses = []string{string(order.Offered), string(order.Accepted)}
	}
	f := order.AssignmentFilter{Statuses: statuses, Store: k.who.Store}
	if id := k.query("store_id"); id != "" && f.Store == 0 {
		s, err := k.storeByRef(id)
		if err != nil {
			return k.emptyIfMissing(err)
		}
		f.Store = s.Key
	}
	if f.Cursor, f.Limit, err = k.page(); err != nil {
		return err
	}
	as, more, err := k.Orders.ListAssignments(k.ctx, f)
	if err != nil {
		return err
	}
	out := make([]wireAssignment, len(as))
	var last int64
	for i := range as {
		o, err := k.Orders.Get(k.ctx, as[i].Order)
		if err != nil {
			return err
		}
		p, err := k.Match.Show(k.ctx, o)
		if err != nil {
			return err
		}
		if out[i], err = k.assignmentOut(p, &as[i]); err != nil {
			return err
		}
		last = as[i].Key
	}
	return k.reply(http.StatusOK, newList(k.names, out, more, last))
}

func knownAssignment(s string) bool {
	switch order.AssignmentStatus(s) {
	case order.Offered, order.Accepted, order.Declined, order.Expired, order.Withdrawn, order.Completed, order.Released, order.Superseded, order.Failed:
		return true
	}
	return false
}

// answerOffer runs f on the assignment of the path, if it is this caller's.
func (k *call) answerOffer(f func(key int64) (match.Placed, error)) error {
	key, err := k.key(ident.Assignment, "assignment")
	if err != nil {
		return err
	}
	a, err := k.Orders.GetAssignment(k.ctx, key)
	if err != nil {
		return err
	}
	if k.who.Role == auth.RoleStore && a.Store != k.who.Store {
		return fault.Missing("assignment")
	}
	p, err := f(key)
	if err != nil {
		return err
	}
	w, err := k.assignmentOut(p, p.Assignment)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, w)
}

func (k *call) acceptAssignment() error {
	return k.answerOffer(func(key int64) (match.Placed, error) { return k.Match.Accept(k.ctx, key) })
}

func (k *call) declineAssignment() error { return k.refuse(k.Match.Decline) }
func (k *call) releaseAssignment() error { return k.refuse(k.Match.Release) }

func (k *call) refuse(f func(ctx context.Context, key int64, reason string) (match.Placed, error)) error {
	var in reasonIn
	if err := k.decode(&in); err != nil {
		return err
	}
	return k.answerOffer(func(key int64) (match.Placed, error) { return f(k.ctx, key, in.Reason) })
}
