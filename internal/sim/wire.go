package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"doorstep/geo"
)

// The objects of the contract, with the fields that somebody here sends or reads.

// Location is a point on the wire.
type Location struct {
	Lat       float64 `json:"lat"`
	Lng       float64 `json:"lng"`
	AccuracyM float64 `json:"accuracy_m,omitempty"` // only of a measured position
}

func (l Location) point() geo.Point { return geo.Point{Lat: l.Lat, Lng: l.Lng} }

// Address is for people.
type Address struct {
	Line1      string `json:"line1,omitempty"`
	Locality   string `json:"locality,omitempty"`
	Region     string `json:"region,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	Country    string `json:"country,omitempty"`
}

// Capacity of a store: orders per slot of so many minutes.
type Capacity struct {
	SlotMinutes   int `json:"slot_minutes"`
	OrdersPerSlot int `json:"orders_per_slot"`
}

// StoreInput is a store to be; Store is one that is.
type StoreInput struct {
	ExternalID     string   `json:"external_id"`
	Name           string   `json:"name"`
	Location       Location `json:"location"`
	Address        Address  `json:"address"`
	Phone          string   `json:"phone,omitempty"`
	Locale         string   `json:"locale,omitempty"`
	TimeZone       string   `json:"time_zone"`
	OpeningHours   string   `json:"opening_hours"`
	ServiceRadiusM int      `json:"service_radius_m"`
	Capacity       Capacity `json:"capacity"`
	ShelfUnits     int      `json:"shelf_units"`
	AutoAccept     bool     `json:"auto_accept"`
	OfferTimeoutS  int      `json:"offer_timeout_s"`
}

// Store as the server has it, as far as anyone here asks.
type Store struct {
	ID         string `json:"id"`
	ExternalID string `json:"external_id"`
}

// Stores walks all stores.
func (c *Client) Stores(ctx context.Context) iter.Seq2[Store, error] {
	return all[Store](ctx, c, "/v1/stores", nil)
}

// StoreImport is what became of an import.
type StoreImport struct {
	Created   int        `json:"created"`
	Updated   int        `json:"updated"`
	Unchanged int        `json:"unchanged"`
	Failed    int        `json:"failed"`
	Errors    []RowError `json:"errors"`
}

// RowError is what is wrong with one row of an import.
type RowError struct {
	Row    int    `json:"row"`
	Field  string `json:"field"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// ImportStores sends stores as NDJSON.
func (c *Client) ImportStores(ctx context.Context, stores []StoreInput) (StoreImport, error) {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, s := range stores {
		if err := enc.Encode(s); err != nil {
			return StoreImport{}, err
		}
	}
	return c.importRows(ctx, "application/x-ndjson", lines.Bytes())
}

// importRows sends a file of stores; a row that fails is an error here, since what we send is right.
func (c *Client) importRows(ctx context.Context, contentType string, rows []byte) (StoreImport, error) {
	var done StoreImport
	err := c.send(ctx, request{method: http.MethodPost, path: "/v1/store-imports", contentType: contentType, body: rows,
		timeout: importTimeout}, &done)
	if err == nil && done.Failed > 0 {
		err = fmt.Errorf("store import: %d rows failed, the first: %+v", done.Failed, done.Errors[:min(1, len(done.Errors))])
	}
	return done, err
}

// Count is how many units of a SKU lie on a shelf.
type Count struct {
	SKU    string `json:"sku"`
	OnHand int    `json:"on_hand"`
}

// Level is a SKU on a store's shelf.
type Level struct {
	SKU       string `json:"sku"`
	OnHand    int    `json:"on_hand"`
	Reserved  int    `json:"reserved"`
	Available int    `json:"available"`
}

// Stock is a store's shelf; store is an id or ext: and an external id.
func (c *Client) Stock(ctx context.Context, store string) ([]Level, error) {
	shelf, err := get[page[Level]](ctx, c, "/v1/stores/"+url.PathEscape(store)+"/stock")
	return shelf.Data, err
}

// PutStock counts some SKUs of a store's shelf.
func (c *Client) PutStock(ctx context.Context, store string, counts []Count) error {
	in := map[string]any{"items": counts}
	return c.sendJSON(ctx, request{method: http.MethodPut, path: "/v1/stores/" + url.PathEscape(store) + "/stock"}, in, nil)
}

// Item is so many units of a good.
type Item struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// Parcel is a packed good.
type Parcel struct {
	WeightG int `json:"weight_g"`
}

// Recipient is who gets it.
type Recipient struct {
	Name   string `json:"name"`
	Phone  string `json:"phone"`
	Locale string `json:"locale,omitempty"`
}

// Dropoff is where and how it is handed over.
type Dropoff struct {
	Location     Location `json:"location"`
	Address      *Address `json:"address,omitempty"`
	Instructions string   `json:"instructions,omitempty"`
	Mode         string   `json:"mode,omitempty"`
	PINRequired  bool     `json:"pin_required,omitempty"`
}

// Period is a stretch of time.
type Period struct {
	Earliest time.Time `json:"earliest"`
	Latest   time.Time `json:"latest"`
}

// OrderInput is an order to be.
type OrderInput struct {
	ExternalID   string    `json:"external_id"`
	Items        []Item    `json:"items,omitempty"`
	Parcels      []Parcel  `json:"parcels,omitempty"`
	Recipient    Recipient `json:"recipient"`
	Dropoff      Dropoff   `json:"dropoff"`
	Window       *Period   `json:"window,omitempty"`
	RadiusM      int       `json:"radius_m,omitempty"`
	Undeliver    string    `json:"undeliverable_action"`
	MinimumGrade string    `json:"minimum_evidence_grade,omitempty"`
	Tags         []string  `json:"tags,omitempty"`
}

// Order as the server has it, as far as anyone here asks.
type Order struct {
	ID         string `json:"id"`
	ExternalID string `json:"external_id"`
	Status     string `json:"status"`
	Reason     string `json:"status_reason"`
	Store      *struct {
		ID string `json:"id"`
	} `json:"store"`
	DistanceM  *int `json:"distance_m"`
	Assignment *struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	} `json:"assignment"`
	Promise     *Period   `json:"promise"`
	TrackingURL string    `json:"tracking_url"`
	Items       []Item    `json:"items"`
	Dropoff     Dropoff   `json:"dropoff"`
	Undeliver   string    `json:"undeliverable_action"`
	Attempts    int       `json:"attempts"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// token is the last part of the customer's link.
func (o Order) token() string { return o.TrackingURL[strings.LastIndex(o.TrackingURL, "/")+1:] }

// CreateOrder sends an order. Repeating it is safe: the external id tells the server.
func (c *Client) CreateOrder(ctx context.Context, in OrderInput) (Order, error) {
	return post[Order](ctx, c, "/v1/orders", in)
}

// Orders walks the orders in one of the statuses (none: in any), newest first.
func (c *Client) Orders(ctx context.Context, statuses ...string) iter.Seq2[Order, error] {
	q := url.Values{}
	if len(statuses) > 0 {
		q.Set("status", strings.Join(statuses, ","))
	}
	return all[Order](ctx, c, "/v1/orders", q)
}

// Act does something with an order: ready, pick-up, depart, receive, return, returned, …
func (c *Client) Act(ctx context.Context, order, action string, in any) error {
	return c.Post(ctx, "/v1/orders/"+order+"/"+action, in)
}

// Answer answers an offer: accept, or decline with a reason.
func (c *Client) Answer(ctx context.Context, assignment, action string, in any) error {
	return c.Post(ctx, "/v1/assignments/"+assignment+"/"+action, in)
}

// Quote asks who would serve an order.
func (c *Client) Quote(ctx context.Context, in QuoteInput) (Quote, error) {
	return post[Quote](ctx, c, "/v1/quotes", in)
}

// QuoteInput is an order without the recipient, as far as anyone here asks.
type QuoteInput struct {
	Dropoff Dropoff `json:"dropoff"`
	Window  *Period `json:"window,omitempty"`
}

// Quote is who would serve it.
type Quote struct {
	Serviceable bool `json:"serviceable"`
	Store       *struct {
		ID string `json:"id"`
	} `json:"store"`
}

// UploadPhoto keeps a JPEG and returns the hash to name it by.
func (c *Client) UploadPhoto(ctx context.Context, jpeg []byte) (sha256 string, err error) {
	var kept struct {
		SHA256 string `json:"sha256"`
	}
	err = c.send(ctx, request{method: http.MethodPost, path: "/v1/photos", contentType: "image/jpeg", body: jpeg}, &kept)
	return kept.SHA256, err
}

// DoorEvent is something that happened at the door.
type DoorEvent struct {
	ID          string    `json:"id"`
	OrderID     string    `json:"order_id"`
	Attempt     int       `json:"attempt"`
	Type        string    `json:"type"`
	OccurredAt  time.Time `json:"occurred_at"`
	Location    *Location `json:"location,omitempty"`
	PhotoSHA256 string    `json:"photo_sha256,omitempty"`
	Signal      string    `json:"signal,omitempty"`
	Method      string    `json:"method,omitempty"`
	DistanceM   float64   `json:"distance_m,omitempty"`
	PIN         string    `json:"pin,omitempty"`
	Reason      string    `json:"reason,omitempty"`
}

// Record sends door events; one that is refused is an error.
func (c *Client) Record(ctx context.Context, events []DoorEvent) error {
	type results struct {
		Results []struct {
			ID      string   `json:"id"`
			Result  string   `json:"result"`
			Problem *Problem `json:"problem"`
		} `json:"results"`
	}
	done, err := post[results](ctx, c, "/v1/dropoff-events", events)
	if err != nil {
		return err
	}
	for _, r := range done.Results {
		if r.Result == "refused" && r.Problem != nil {
			return fmt.Errorf("drop-off event %s: %w", r.ID, r.Problem)
		}
	}
	if len(done.Results) != len(events) {
		return fmt.Errorf("%d drop-off events sent, %d answered", len(events), len(done.Results))
	}
	return nil
}

// Tracking is what the customer sees, as far as anyone here asks.
type Tracking struct {
	PIN            string `json:"pin"`
	CollectionCode string `json:"collection_code"`
}

// Tracking opens the customer's link; no key is needed.
func (c *Client) Tracking(ctx context.Context, token string) (Tracking, error) {
	return get[Tracking](ctx, c.With(""), "/v1/tracking/"+token)
}

// Say lets the customer act on the link: retrieved, rating, messages.
func (c *Client) Say(ctx context.Context, token, action string, in any) error {
	return c.With("").Post(ctx, "/v1/tracking/"+token+"/"+action, in)
}

// Money is an amount in minor units.
type Money struct {
	Amount   int    `json:"amount"`
	Currency string `json:"currency"`
}

// CampaignSKU is what a campaign expects of one SKU.
type CampaignSKU struct {
	SKU             string `json:"sku"`
	ExpectedUnits   int    `json:"expected_units"`
	UnitMargin      Money  `json:"unit_margin"`
	UnitHoldingCost Money  `json:"unit_holding_cost"`
	CasePack        int    `json:"case_pack"`
}

// CampaignInput is a peak to come.
type CampaignInput struct {
	Name     string        `json:"name"`
	StartsAt time.Time     `json:"starts_at"`
	EndsAt   time.Time     `json:"ends_at"`
	SKUs     []CampaignSKU `json:"skus"`
	LeadsS   []int         `json:"leads_s"`
}

// Campaign as the server has it, as far as anyone here asks.
type Campaign struct {
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	Status string    `json:"status"`
	EndsAt time.Time `json:"ends_at"`
}

// Campaigns walks the campaigns, newest first.
func (c *Client) Campaigns(ctx context.Context) iter.Seq2[Campaign, error] {
	return all[Campaign](ctx, c, "/v1/campaigns", nil)
}

// CreateCampaign announces a peak; repeating the same one makes no second.
func (c *Client) CreateCampaign(ctx context.Context, in CampaignInput) (Campaign, error) {
	var out Campaign
	once := fmt.Sprintf("%s %d", in.Name, in.LeadsS) // a campaign has no external id to be known by
	err := c.sendJSON(ctx, request{method: http.MethodPost, path: "/v1/campaigns", idempotency: once}, in, &out)
	return out, err
}

// Task asks a store to have something ready, as far as anyone here asks.
type Task struct {
	ID            string    `json:"id"`
	StoreID       string    `json:"store_id"`
	Asked         int       `json:"asked_quantity"`
	Committed     int       `json:"committed_quantity"`
	Status        string    `json:"status"`
	AckDeadline   time.Time `json:"ack_deadline"`
	StockDeadline time.Time `json:"stock_deadline"`
	Prompts       []struct {
		At time.Time `json:"at"`
	} `json:"prompts"`
}

// Tasks walks the pre-stock tasks in one of the statuses.
func (c *Client) Tasks(ctx context.Context, statuses ...string) iter.Seq2[Task, error] {
	return all[Task](ctx, c, "/v1/prestock-tasks", url.Values{"status": {strings.Join(statuses, ",")}})
}

// KeyInput is a key to be.
type KeyInput struct {
	Role     string `json:"role"`
	Merchant string `json:"merchant,omitempty"`
	Name     string `json:"name,omitempty"`
}

// Key as the server shows it; Secret only to who made it.
type Key struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Secret    string     `json:"key"`
	RevokedAt *time.Time `json:"revoked_at"`
}

// CreateKey makes a key.
func (c *Client) CreateKey(ctx context.Context, in KeyInput) (Key, error) {
	return post[Key](ctx, c, "/v1/keys", in)
}

// Keys walks the keys, newest first.
func (c *Client) Keys(ctx context.Context) iter.Seq2[Key, error] {
	return all[Key](ctx, c, "/v1/keys", nil)
}

// RevokeKey ends a key.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	return c.Post(ctx, "/v1/keys/"+id+"/revoke", nil)
}
