package server

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"doorstep/internal/auth"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/partner"
)

type storeIn struct {
	readOnly
	ExternalID    *string     `json:"external_id"`
	Name          *string     `json:"name"`
	Status        *string     `json:"status"`
	Location      *locationIn `json:"location"`
	Address       *addressIn  `json:"address"`
	Phone         *string     `json:"phone"`
	Locale        *string     `json:"locale"`
	TimeZone      *string     `json:"time_zone"`
	OpeningHours  *string     `json:"opening_hours"`
	QuietHours    *string     `json:"quiet_hours"`
	RadiusM       *int        `json:"service_radius_m"`
	Capacity      *capacityIn `json:"capacity"`
	ShelfUnits    *int        `json:"shelf_units"`
	AutoAccept    *bool       `json:"auto_accept"`
	OfferTimeoutS *int        `json:"offer_timeout_s"`
}

// readOnly are fields of a store that answers carry: who reads a store, changes it and sends it back
// may leave them in. They are not looked at.
type readOnly struct {
	ID          json.RawMessage `json:"id"`
	Accepting   json.RawMessage `json:"accepting_orders"`
	OpenNow     json.RawMessage `json:"open_now"`
	PausedUntil json.RawMessage `json:"paused_until"`
	Cell        json.RawMessage `json:"h3_cell"`
	Version     json.RawMessage `json:"version"`
}

type addressIn struct {
	Line1      *string `json:"line1"`
	Locality   *string `json:"locality"`
	Region     *string `json:"region"`
	PostalCode *string `json:"postal_code"`
	Country    *string `json:"country"`
}

type capacityIn struct {
	SlotMinutes   *int `json:"slot_minutes"`
	OrdersPerSlot *int `json:"orders_per_slot"`
}

func (in *storeIn) input() partner.Input {
	p := partner.Input{ExternalID: in.ExternalID, Name: in.Name, Status: in.Status, Phone: in.Phone, Locale: in.Locale,
		TimeZone: in.TimeZone, OpeningHours: in.OpeningHours, QuietHours: in.QuietHours, ServiceRadiusM: in.RadiusM, ShelfUnits: in.ShelfUnits,
		AutoAccept: in.AutoAccept, OfferTimeoutS: in.OfferTimeoutS}
	if in.Location != nil {
		p.Lat, p.Lng = in.Location.Lat, in.Location.Lng
	}
	if a := in.Address; a != nil {
		p.Line1, p.Locality, p.Region, p.PostalCode, p.Country = a.Line1, a.Locality, a.Region, a.PostalCode, a.Country
	}
	if c := in.Capacity; c != nil {
		p.SlotMinutes, p.OrdersPerSlot = c.SlotMinutes, c.OrdersPerSlot
	}
	return p
}

// own are the fields a store may change about itself; the rest is the network's.
func (in *storeIn) own() error {
	var f fault.Fields
	for name, set := range map[string]bool{"external_id": in.ExternalID != nil, "location": in.Location != nil,
		"address": in.Address != nil, "time_zone": in.TimeZone != nil, "offer_timeout_s": in.OfferTimeoutS != nil} {
		if set {
			f.Add("/"+name, "not-yours", "ask the network to change %s", name)
		}
	}
	if in.Status != nil && *in.Status != partner.Active && *in.Status != partner.Busy {
		f.Add("/status", "not-yours", "a store sets itself active or busy; use pause and resume for the rest")
	}
	return f.Err()
}

type wireStore struct {
	ID           string       `json:"id"`
	ExternalID   *string      `json:"external_id"`
	Name         string       `json:"name"`
	Status       string       `json:"status"`
	Accepting    bool         `json:"accepting_orders"`
	OpenNow      bool         `json:"open_now"`
	PausedUntil  *stamp       `json:"paused_until"`
	Location     wireLocation `json:"location"`
	Cell         string       `json:"h3_cell"`
	Address      *wireAddress `json:"address"`
	Phone        *string      `json:"phone"`
	Locale       string       `json:"locale"`
	TimeZone     string       `json:"time_zone"`
	OpeningHours string       `json:"opening_hours"`
	QuietHours   string       `json:"quiet_hours"`
	RadiusM      int          `json:"service_radius_m"`
	Capacity     wireCapacity `json:"capacity"`
	ShelfUnits   int          `json:"shelf_units"`
	AutoAccept   bool         `json:"auto_accept"`
	OfferTimeout int          `json:"offer_timeout_s"`
	Version      int64        `json:"version"`
}

type wireCapacity struct {
	SlotMinutes   int `json:"slot_minutes"`
	OrdersPerSlot int `json:"orders_per_slot"`
}

func (k *call) wireStore(s *partner.Store) wireStore {
	now := k.DB.Now()
	w := wireStore{ID: k.names.Name(ident.Store, s.Key), ExternalID: optional(s.ExternalID), Name: s.Name, Status: s.StatusAt(now),
		Accepting: s.AcceptingOrders(now), OpenNow: s.OpenAt(now), Location: wireLocation{s.Location.Lat, s.Location.Lng},
		Cell: s.Cell.String(), Address: addressOut(wireAddress(s.Address)), Phone: optional(s.Phone), Locale: s.Locale,
		TimeZone: s.TimeZone, OpeningHours: s.OpeningHours, QuietHours: s.QuietHours, RadiusM: s.ServiceRadiusM,
		Capacity: wireCapacity{s.SlotMinutes, s.OrdersPerSlot}, ShelfUnits: s.ShelfUnits, AutoAccept: s.AutoAccept,
		OfferTimeout: s.OfferTimeoutS, Version: s.Version}
	if w.Status == partner.Paused {
		w.PausedUntil = stampOf(s.PausedUntil)
	}
	return w
}

// storeByRef is a store by its id or ext: reference.
func (k *call) storeByRef(ref string) (partner.Store, error) {
	if ext, ok := strings.CutPrefix(ref, "ext:"); ok && ext != "" {
		return k.Stores.ByExternalID(k.ctx, ext)
	}
	key, ok := k.names.Parse(ident.Store, ref)
	if !ok {
		return partner.Store{}, fault.Missing("store")
	}
	return k.Stores.Get(k.ctx, key)
}

// theStore is the store of the path; without one, a store key's own. A store sees itself only.
func (k *call) theStore() (partner.Store, error) {
	ref := k.param("id")
	if ref == "" {
		return k.Stores.Get(k.ctx, k.who.Store)
	}
	s, err := k.storeByRef(ref)
	if err == nil && k.who.Role == auth.RoleStore && s.Key != k.who.Store {
		err = fault.Missing("store")
	}
	return s, err
}

func (k *call) replyStore(status int, s partner.Store, err error) error {
	if err != nil {
		return err
	}
	k.etag(s.Version)
	return k.reply(status, k.wireStore(&s))
}

func (k *call) createStore() error {
	var in storeIn
	if err := k.decode(&in); err != nil {
		return err
	}
	s, created, err := k.Stores.Create(k.ctx, in.input())
	status := http.StatusOK
	if err == nil && created {
		status = http.StatusCreated
		k.header.Set("Location", "/v1/stores/"+k.names.Name(ident.Store, s.Key))
	}
	return k.replyStore(status, s, err)
}

func (k *call) getStore() error {
	s, err := k.theStore()
	return k.replyStore(http.StatusOK, s, err)
}

func (k *call) updateStore() error {
	var in storeIn
	if err := k.decode(&in); err != nil {
		return err
	}
	if k.who.Role == auth.RoleStore {
		if err := in.own(); err != nil {
			return err
		}
	}
	s, err := k.theStore()
	if err != nil {
		return err
	}
	version, err := k.ifMatch()
	if err != nil {
		return err
	}
	s, err = k.changeStore(s, &in, version)
	return k.replyStore(http.StatusOK, s, err)
}

// changeStore changes s. What the network decided a store cannot lift, not even between our look and the
// change: its own status is set only at the version that was looked at.
func (k *call) changeStore(s partner.Store, in *storeIn, version *int64) (partner.Store, error) {
	if k.who.Role != auth.RoleStore || in.Status == nil {
		return k.Stores.Update(k.ctx, s.Key, in.input(), version)
	}
	for try := 1; ; try++ {
		if s.Status == partner.Suspended || s.Status == partner.Closed {
			return s, fault.Refused("store-"+s.Status, nil, "the store is %s: ask the network to open it again", s.Status)
		}
		seen := version
		if seen == nil {
			seen = &s.Version
		}
		changed, err := k.Stores.Update(k.ctx, s.Key, in.input(), seen)
		if fault.KindOf(err) != fault.Stale || version != nil || try == 2 {
			return changed, err
		}
		if s, err = k.Stores.Get(k.ctx, s.Key); err != nil {
			return s, err
		}
	}
}

func (k *call) deleteStore() error {
	s, err := k.theStore()
	if err != nil {
		return err
	}
	version, err := k.ifMatch()
	if err != nil {
		return err
	}
	if err := k.Stores.Remove(k.ctx, s.Key, version); err != nil {
		return err
	}
	return k.c.NoContent(http.StatusNoContent)
}

func (k *call) pauseStore() error {
	var in struct {
		Until *string `json:"until"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	var f fault.Fields
	until := instant(&f, "/until", in.Until)
	if err := f.Err(); err != nil {
		return err
	}
	s, err := k.theStore()
	if err != nil {
		return err
	}
	s, err = k.Stores.Pause(k.ctx, s.Key, until)
	return k.replyStore(http.StatusOK, s, err)
}

func (k *call) resumeStore() error {
	s, err := k.theStore()
	if err != nil {
		return err
	}
	s, err = k.Stores.Resume(k.ctx, s.Key)
	return k.replyStore(http.StatusOK, s, err)
}

func (k *call) listStores() error {
	var f partner.Filter
	var err error
	if f.After, f.Limit, err = k.page(); err != nil {
		return err
	}
	statuses, err := k.statuses(partner.KnownStatus)
	if err != nil {
		return err
	}
	f.Status = strings.Join(statuses, ",")
	if f.Cell, err = k.cell("h3_cell"); err != nil {
		return err
	}
	if f.Paired, err = k.yesNo("paired"); err != nil {
		return err
	}
	open, err := k.yesNo("open_now")
	if err != nil {
		return err
	}
	stores, more, last, err := k.storesThat(f, open)
	if err != nil {
		return err
	}
	out := make([]wireStore, len(stores))
	for i := range stores {
		out[i] = k.wireStore(&stores[i])
	}
	return k.reply(http.StatusOK, newList(k.names, out, more, last))
}

// storesThat is a page of stores, of those that are open now or closed now if open says so, and the key of the
// last one looked at. Hours are no column: a page may be short although more follow.
func (k *call) storesThat(f partner.Filter, open *bool) (list []partner.Store, more bool, last int64, err error) {
	const looks, atOnce = 10, 500
	if open == nil {
		list, more, err = k.Stores.List(k.ctx, f)
		if len(list) > 0 {
			last = list[len(list)-1].Key
		}
		return list, more, last, err
	}
	limit, now := f.Limit, k.DB.Now()
	f.Limit = atOnce
	for range looks {
		var some []partner.Store
		if some, more, err = k.Stores.List(k.ctx, f); err != nil {
			return nil, false, 0, err
		}
		for _, s := range some {
			if f.After = s.Key; s.OpenAt(now) != *open {
				continue
			}
			if list = append(list, s); len(list) == limit {
				return list, more || s.Key != some[len(some)-1].Key, s.Key, nil
			}
		}
		if !more {
			break
		}
	}
	return list, more, f.After, nil
}

// storeStory is what happened to a store last. Its stock is counted many times a day.
func (k *call) storeStory() error {
	const lately = 200
	s, err := k.theStore()
	if err != nil {
		return err
	}
	story, err := k.Stores.Story(k.ctx, &s, lately)
	if err != nil {
		return err
	}
	out := make([]wireEvent, len(story))
	for i, e := range story {
		out[i] = k.eventOut(e)
	}
	return k.reply(http.StatusOK, newList(k.names, out, false, 0))
}

// ---- stock

type wireStock struct {
	SKU       string `json:"sku"`
	OnHand    int    `json:"on_hand"`
	Reserved  int    `json:"reserved"`
	Available int    `json:"available"`
}

func (k *call) replyStock(lines []partner.StockLine, err error) error {
	if err != nil {
		return err
	}
	out := make([]wireStock, len(lines))
	for i, l := range lines {
		out[i] = wireStock{l.SKU, l.OnHand, l.Reserved, l.Available()}
	}
	return k.reply(http.StatusOK, map[string]any{"data": out})
}

func (k *call) getStock() error {
	s, err := k.theStore()
	if err != nil {
		return err
	}
	return k.replyStock(k.Stores.Stock(k.ctx, s.Key))
}

func (k *call) putStock() error {
	var in struct {
		Items []struct {
			SKU    string `json:"sku"`
			OnHand *int   `json:"on_hand"`
		} `json:"items"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	var f fault.Fields
	if in.Items == nil {
		f.Add("/items", "required", "send the counted items: [{\"sku\": …, \"on_hand\": …}]")
	}
	counts := make([]partner.Count, len(in.Items))
	for i, it := range in.Items {
		if it.OnHand == nil {
			f.Add("/items/"+strconv.Itoa(i)+"/on_hand", "required", "say how many are on the shelf")
			continue
		}
		counts[i] = partner.Count{SKU: it.SKU, OnHand: *it.OnHand}
	}
	if err := f.Err(); err != nil {
		return err
	}
	s, err := k.theStore()
	if err != nil {
		return err
	}
	if _, err := k.Stores.SetStock(k.ctx, s.Key, counts); err != nil {
		return err
	}
	return k.replyStock(k.Stores.Stock(k.ctx, s.Key))
}

// ---- import

func (k *call) importStores() error {
	kind, _, err := mime.ParseMediaType(k.r.Header.Get("Content-Type"))
	o := partner.ImportOptions{Defaults: k.Stores.Defaults()}
	switch {
	case err == nil && kind == "text/csv":
		o.Format = partner.CSV
	case err == nil && (kind == "application/x-ndjson" || kind == "application/ndjson" || kind == "application/jsonl"):
		o.Format = partner.NDJSON
	default:
		return fault.New(fault.Unsupported, "unsupported-media-type", "send text/csv or application/x-ndjson")
	}
	if err := k.importDefaults(&o.Defaults); err != nil {
		return err
	}
	if o.DryRun, err = k.dryRun(); err != nil {
		return err
	}
	if o.Rows, err = k.flag("rows"); err != nil {
		return err
	}
	data, err := k.readAll(maxUpload)
	if err != nil {
		return err
	}
	res, err := k.Stores.Import(k.ctx, bytes.NewReader(data), o)
	if err != nil {
		return err
	}
	return k.replyImport(res)
}

func (k *call) dryRun() (bool, error) { return k.flag("dry_run") }

// flag reads a parameter of the query that is true or false; absent is false.
func (k *call) flag(name string) (bool, error) {
	s := k.query(name)
	if s == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(s)
	if err != nil {
		return false, fault.InvalidField(name, "not-a-boolean", "true or false")
	}
	return on, nil
}

// replyImport tells what became of the rows of a file.
func (k *call) replyImport(res partner.ImportResult) error {
	type rowError struct {
		Row    int    `json:"row"`
		Field  string `json:"field"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	type rowOutcome struct {
		Row        int      `json:"row"`
		Outcome    string   `json:"outcome"`
		ExternalID string   `json:"external_id,omitempty"`
		Name       string   `json:"name,omitempty"`
		Fields     []string `json:"fields,omitempty"`
	}
	out := struct {
		Created        int          `json:"created"`
		Updated        int          `json:"updated"`
		Unchanged      int          `json:"unchanged"`
		Failed         int          `json:"failed"`
		Errors         []rowError   `json:"errors"`
		ErrorsOmitted  int          `json:"errors_omitted"`
		UnknownColumns []string     `json:"unknown_columns"`
		Rows           []rowOutcome `json:"rows,omitempty"`
		RowsOmitted    int          `json:"rows_omitted,omitempty"`
	}{res.Created, res.Updated, res.Unchanged, res.Failed, []rowError{}, res.ErrorsOmitted, res.UnknownColumns, nil, res.Untold}
	for _, e := range res.Errors {
		out.Errors = append(out.Errors, rowError(e))
	}
	for _, r := range res.Told {
		out.Rows = append(out.Rows, rowOutcome(r))
	}
	if out.UnknownColumns == nil {
		out.UnknownColumns = []string{}
	}
	return k.reply(http.StatusOK, out)
}

// importDefaults reads what rows that do not say get.
func (k *call) importDefaults(d *partner.Defaults) error {
	var f fault.Fields
	for name, to := range map[string]*string{"default_time_zone": &d.TimeZone, "default_country": &d.Country,
		"default_locale": &d.Locale, "default_opening_hours": &d.OpeningHours, "default_quiet_hours": &d.QuietHours} {
		if v := k.query(name); v != "" {
			*to = v
		}
	}
	for name, to := range map[string]*int{"default_service_radius_m": &d.ServiceRadiusM, "default_slot_minutes": &d.SlotMinutes,
		"default_orders_per_slot": &d.OrdersPerSlot, "default_shelf_units": &d.ShelfUnits, "default_offer_timeout_s": &d.OfferTimeoutS} {
		if v := k.query(name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				f.Add(name, "not-a-number", "a whole number")
			}
			*to = n
		}
	}
	if v := k.query("default_auto_accept"); v != "" {
		b, err := strconv.ParseBool(v)
		if err != nil {
			f.Add("default_auto_accept", "not-a-boolean", "true or false")
		}
		d.AutoAccept = b
	}
	return f.Err()
}
