package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/dropoff"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/order"
	"doorstep/internal/plainjson"
)

// wireCustody is who has the parcel. The status says how far its delivery is; "the store has it" stands
// here and is never "delivered".
type wireCustody struct {
	Holder    order.Holder `json:"holder"`
	Store     *string      `json:"store_id"`
	Since     stamp        `json:"since"`
	To        *string      `json:"transfer_to_store_id"`
	HoldUntil *stamp       `json:"hold_until"`
}

func (w *wireCustody) json(j *plainjson.Writer) {
	if w == nil {
		j.Null("custody")
		return
	}
	j.Object("custody")
	j.String("holder", string(w.Holder))
	j.Optional("store_id", w.Store)
	w.Since.json(j, "since")
	j.Optional("transfer_to_store_id", w.To)
	w.HoldUntil.json(j, "hold_until")
	j.EndObject()
}

func (k *call) custodyOut(o *order.Order) *wireCustody {
	since := o.HeldSince
	if since.IsZero() {
		since = o.CreatedAt
	}
	return &wireCustody{o.Holder, k.storeID(o.HolderStore), stamp(since), k.storeID(o.TransferTo), stampOf(o.HoldUntil)}
}

func (k *call) storeID(key int64) *string {
	if key == 0 {
		return nil
	}
	name := k.names.Name(ident.Store, key)
	return &name
}

// wireStep is who must do what next, and by when.
type wireStep struct {
	Action  string  `json:"action"`
	Who     string  `json:"who"`
	Store   *string `json:"store_id"`
	To      *string `json:"to_store_id"`
	By      *stamp  `json:"by"`
	Overdue bool    `json:"overdue"`
}

func (w *wireStep) json(j *plainjson.Writer) {
	if w == nil {
		j.Null("next_step")
		return
	}
	j.Object("next_step")
	j.String("action", w.Action)
	j.String("who", w.Who)
	j.Optional("store_id", w.Store)
	j.Optional("to_store_id", w.To)
	w.By.json(j, "by")
	j.Bool("overdue", w.Overdue)
	j.EndObject()
}

func (k *call) stepOut(s *order.Step) *wireStep {
	if s == nil {
		return nil
	}
	return &wireStep{s.Do, s.Who, k.storeID(s.Store), k.storeID(s.To), stampOf(s.By), s.By != nil && s.By.Before(k.DB.Now())}
}

// hideOthers leaves out of w, for a store, at which other store its parcel is: people of the network
// deal with that.
func (k *call) hideOthers(w *wireOrder) {
	own := k.names.Name(ident.Store, k.who.Store)
	if c := w.Custody; c != nil && c.Store != nil && *c.Store != own {
		c.Store = nil
	}
	if s := w.NextStep; s != nil && s.Store != nil && *s.Store != own {
		s.Store = nil
	}
}

// atOthers is an event of custody as a store may see it.
func (k *call) atOthers(e event.Event) event.Event {
	if !strings.HasPrefix(e.Type, "custody.") {
		return e
	}
	said := map[string]string{}
	_ = json.Unmarshal(e.Data, &said) // what cannot be read says nothing
	for _, name := range []string{"store_id", "from_store_id"} {
		if said[name] != k.names.Name(ident.Store, k.who.Store) {
			delete(said, name)
		}
	}
	e.Data, _ = json.Marshal(said)
	return e
}

// stepOf is the next step of o. Only what follows a failed attempt depends on the merchant's policy.
func (k *call) stepOf(o *order.Order) (*wireStep, error) {
	p := order.UsualPolicy
	if o.Status == order.AttemptFailed {
		var err error
		if p, err = order.PolicyOf(k.DB.Read(k.ctx), o); err != nil {
			return nil, err
		}
	}
	return k.stepOut(order.NextStep(o, p)), nil
}

// ---- scans

type scanIn struct {
	ID         string  `json:"id"`
	Code       string  `json:"code"`
	Direction  string  `json:"direction"`
	To         string  `json:"to"`
	StoreID    *string `json:"store_id"`
	At         *string `json:"at_store_id"`
	OccurredAt *string `json:"occurred_at"`
}

type scanResult struct {
	ID       string        `json:"id"`
	Result   string        `json:"result"`
	Problem  *problem      `json:"problem,omitempty"`
	OrderID  string        `json:"order_id,omitempty"`
	Moved    *bool         `json:"moved,omitempty"`
	Status   order.Status  `json:"order_status,omitempty"`
	NextStep *wireScanStep `json:"next_step,omitempty"`
}

// wireScanStep is what a store is told to do with a parcel in its hands, which need not be its own.
type wireScanStep struct {
	Action string          `json:"action"`
	Store  *wireOrderStore `json:"to_store"`
	By     *stamp          `json:"by"`
}

const maxScans = 500

func (k *call) recordScans() error {
	var in []json.RawMessage
	if err := k.decode(&in); err != nil {
		return err
	}
	if len(in) == 0 || len(in) > maxScans {
		return fault.InvalidField("", "out-of-range", "send 1 to %d scans at once", maxScans)
	}
	out := make([]scanResult, len(in))
	var good []dropoff.Scan
	var places []int
	for i, text := range in {
		var one scanIn
		err := strictJSON(text, &one)
		var s dropoff.Scan
		if err == nil {
			s, err = k.scan(&one)
		}
		if err != nil {
			out[i] = k.refusedScan(one.ID, err)
			continue
		}
		good, places = append(good, s), append(places, i)
	}
	results, err := k.Dropoff.Scan(k.ctx, good)
	if err != nil {
		return err
	}
	for j, r := range results {
		if out[places[j]], err = k.scanOut(&good[j], &r); err != nil {
			return err
		}
	}
	return k.reply(http.StatusOK, map[string]any{"results": out})
}

func (k *call) refusedScan(id string, err error) scanResult {
	p := k.asProblem(err)
	return scanResult{ID: id, Result: dropoff.Refused, Problem: &p}
}

// scan is one label as the dropoff package takes it.
func (k *call) scan(in *scanIn) (dropoff.Scan, error) {
	var f fault.Fields
	s := dropoff.Scan{ID: in.ID, Store: k.who.Store, Direction: in.Direction, To: in.To}
	if t := instant(&f, "/occurred_at", in.OccurredAt); t != nil {
		s.OccurredAt = *t
	}
	if key, ok := k.label(in.Code); ok {
		s.Order = key
	} else {
		f.Add("/code", "unknown-label", "that is no label of ours")
	}
	store := func(pointer string, ref *string) (key int64) {
		if ref == nil {
			return 0
		}
		st, err := k.storeByRef(*ref)
		if err != nil {
			f.Add(pointer, "unknown-store", "there is no such store")
		}
		return st.Key
	}
	s.ToStore = store("/store_id", in.StoreID)
	if k.who.Role != auth.RoleStore {
		if in.At == nil {
			f.Add("/at_store_id", "required", "say at which store it was read")
		}
		s.Store = store("/at_store_id", in.At)
	} else if in.At != nil && k.names.Name(ident.Store, s.Store) != *in.At {
		f.Add("/at_store_id", "unknown-store", "a store scans at itself")
	}
	return s, f.Err()
}

// label is the order that a label names: its id, also in capitals and without the underscore, as the
// alphanumeric mode of a QR code has it, and with what people read for 1 and 0.
func (k *call) label(code string) (key int64, ok bool) {
	const prefix = ident.Order
	code = strings.ToLower(strings.TrimSpace(code))
	rest, ok := strings.CutPrefix(code, prefix)
	if !ok {
		return 0, false
	}
	rest = strings.NewReplacer("_", "", "-", "", " ", "", "o", "0", "i", "1", "l", "1").Replace(rest)
	return k.names.Parse(prefix, prefix+"_"+rest)
}

// scanOut says what became of a scan. A store that the parcel only strayed to learns what to do with it
// and nothing of the order.
func (k *call) scanOut(s *dropoff.Scan, r *dropoff.Scanned) (scanResult, error) {
	if r.Err != nil {
		return k.refusedScan(r.ID, r.Err), nil
	}
	o := &r.Order
	out := scanResult{ID: r.ID, Result: r.Result, OrderID: k.names.Name(ident.Order, o.Key), Moved: &r.Moved}
	own := k.who.Role != auth.RoleStore || o.Store == k.who.Store
	step := r.Step
	if own {
		out.Status = o.Status
	} else if !o.AtStore(s.Store) {
		step = nil // it has left, and where it goes is another's business
	} else if step == nil || step.Do != order.DoForward && step.Do != order.DoSendBack {
		step = &order.Step{Do: "wait"} // until it is known where to
	}
	if step == nil {
		return out, nil
	}
	out.NextStep = &wireScanStep{Action: step.Do, By: stampOf(step.By)}
	if step.To != 0 {
		to, err := k.Stores.Get(k.ctx, step.To)
		if err != nil {
			return out, err
		}
		out.NextStep.Store = k.storeOut(&to)
	}
	return out, nil
}

// ---- hold, transfer, lost

func (k *call) lengthenHold() error {
	var in struct {
		HoldUntil *string `json:"hold_until"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	var f fault.Fields
	until := instant(&f, "/hold_until", in.HoldUntil)
	if err := f.Err(); err != nil {
		return err
	}
	o, err := k.actOn()
	if err != nil {
		return err
	}
	if until != nil {
		return k.showOrder(k.Dropoff.HoldTo(k.ctx, o.Key, *until))
	}
	return k.showOrder(k.Dropoff.ExtendHold(k.ctx, o.Key, false))
}

// transferOrder has another store serve the order. Before custody that is a reassignment; the two books
// refuse each other's orders, so one that moves on between the question and the act is refused, not
// halved.
func (k *call) transferOrder() error {
	var in struct {
		StoreID *string `json:"store_id"`
		Reason  string  `json:"reason"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	o, err := k.actOn()
	if err != nil {
		return err
	}
	if in.StoreID == nil {
		return fault.InvalidField("/store_id", "required", "say to which store")
	}
	if err := order.CheckReason("/reason", in.Reason); err != nil {
		return err
	}
	to, err := k.storeByRef(*in.StoreID)
	if fault.KindOf(err) == fault.NotFound {
		return fault.InvalidField("/store_id", "unknown-store", "there is no such store")
	}
	if err != nil {
		return err
	}
	if o.Status.InCustody() {
		return k.showOrder(k.Dropoff.Transfer(k.ctx, o.Key, to.Key, in.Reason))
	}
	p, err := k.Match.Reassign(k.ctx, o.Key, to.Key)
	if err != nil {
		return err
	}
	return k.replyOrder(http.StatusOK, p)
}

func (k *call) lostOrder() error {
	if err := k.decode(&struct{}{}); err != nil {
		return err
	}
	o, err := k.actOn()
	if err != nil {
		return err
	}
	// What somebody else holds, a store cannot know to be lost.
	if k.who.Role == auth.RoleStore && o.Holder != order.Lost && o.Holder != order.HeldByRunner && !o.AtStore(k.who.Store) {
		return fault.Refused("not-here", o.Status.Allowed(), "by the records you do not have this parcel")
	}
	return k.showOrder(k.Dropoff.Lost(k.ctx, o.Key, string(k.who.Role)))
}

// returned takes the short word that the sender has the parcel again, or that word with its proof.
func (k *call) returned() error {
	var in struct {
		OccurredAt *string  `json:"occurred_at"`
		Photo      string   `json:"photo_sha256"`
		Location   *wireFix `json:"location"`
		Name       string   `json:"name"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	var f fault.Fields
	occurred, err := occurredAt(in.OccurredAt)
	f.AddErr("", err)
	h := dropoff.Handover{PhotoSHA256: in.Photo, Name: in.Name}
	if l := in.Location; l != nil {
		p := (&locationIn{l.Lat, l.Lng}).point(&f, "/location")
		h.Location, h.AccuracyM = &p, l.AccuracyM
	}
	f.AddErr("", h.Check())
	if err := f.Err(); err != nil {
		return err
	}
	o, err := k.actOn()
	if err != nil {
		return err
	}
	if h == (dropoff.Handover{}) {
		return k.moved(o, k.Dropoff.Returned, occurred)
	}
	return k.showOrder(k.Dropoff.ReturnedWith(k.ctx, o.Key, occurred, h))
}

// whereElse adds to a refusal because the parcel is elsewhere where that is, for those who may know.
func (k *call) whereElse(o *order.Order, err error) error {
	f := fault.As(err)
	if f == nil || f.Code != order.ParcelElsewhere || k.who.Role == auth.RoleStore || k.who.Role == auth.RoleMerchant {
		return err
	}
	now, lerr := k.Orders.Get(k.ctx, o.Key)
	if lerr != nil || !now.Elsewhere() {
		return err
	}
	at, lerr := k.Stores.Get(k.ctx, now.HolderStore)
	if lerr != nil {
		return err
	}
	return fault.Refused(f.Code, f.Allowed, "%s (%s) holds the parcel: have it scanned out there and in at the order's store, or transfer the order to it", at.Name, k.names.Name(ident.Store, at.Key))
}

// moved answers a custody action on o.
func (k *call) moved(o order.Order, f func(ctx context.Context, key int64, occurred time.Time) (order.Order, error), occurred time.Time) error {
	after, err := f(k.ctx, o.Key, occurred)
	return k.showOrder(after, k.whereElse(&o, err))
}
