package server

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"doorstep/internal/auth"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/notify"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// What somebody types to find something. It comes in a body: a phone number in an address would stand in
// every log on the way.

const (
	maxQuery  = 300 // letters; a link that was pasted has some 70
	maxHits   = 20  // of a kind
	longestID = 140
)

// wireHit is a page to open: an order's, a store's or a campaign's, and by what it was found.
type wireHit struct {
	Kind     string  `json:"kind"`
	ID       string  `json:"id"`
	Title    string  `json:"title"`
	Detail   *string `json:"detail"`
	Status   string  `json:"status"`
	Merchant *string `json:"merchant"`
	Matched  string  `json:"matched"`
	At       stamp   `json:"at"`
}

// By what something is found.
const (
	byID         = "id"
	byExternalID = "external_id"
	byPart       = "part" // of it: an assignment, a visit at the door, an incident, a task, a warning
	byLink       = "tracking_link"
	byPhone      = "phone"
	byName       = "name"
)

// search collects what one query finds for one caller.
type search struct {
	*call
	q       string
	hits    []wireHit
	known   map[string]bool
	partial bool
}

func (k *call) search() error {
	var in struct {
		Q string `json:"q"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	q, err := query(in.Q)
	if err != nil {
		return err
	}
	s := &search{call: k, q: q, known: map[string]bool{}}
	for _, look := range []func(context.Context) error{s.byName, s.byLink, s.byExternal, s.byPhone, s.byStoreName} {
		if err := look(k.ctx); err != nil {
			return err
		}
	}
	if s.hits == nil {
		s.hits = []wireHit{}
	}
	return k.reply(http.StatusOK, struct {
		Data    []wireHit `json:"data"`
		Partial bool      `json:"partial"`
	}{s.hits, s.partial})
}

// query is what is looked for: without what surrounds it, in one line.
func query(text string) (string, error) {
	q := strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '\u200e' || r == '\u200f' || r == '\ufeff' }), " ")
	switch {
	case q == "":
		return "", fault.InvalidField("/q", "required", "say what to look for: an id, a phone number, a link, a name")
	case utf8.RuneCountInString(q) > maxQuery:
		return "", fault.InvalidField("/q", "too-long", "at most %d characters", maxQuery)
	case strings.ContainsFunc(q, unicode.IsControl):
		return "", fault.InvalidField("/q", "not-text", "a control character is no part of a name")
	}
	return q, nil
}

var nameForm = regexp.MustCompile(`^[a-z]{3}_[0-9a-z]{24}$`)

// byName finds what was named here: whatever belongs to an order shows the order.
func (s *search) byName(ctx context.Context) error {
	name := strings.ToLower(strings.Trim(s.q, "\"'<>#.,;:()"))
	if !nameForm.MatchString(name) {
		return nil
	}
	prefix := name[:3]
	key, ok := s.names.Parse(prefix, name)
	if !ok {
		return nil
	}
	err := s.named(ctx, prefix, key)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}

func (s *search) named(ctx context.Context, prefix string, key int64) error {
	network := s.who.Role != auth.RoleMerchant
	switch prefix {
	case ident.Order:
		return s.order(ctx, key, byID)
	case ident.Assignment:
		a, err := s.Orders.GetAssignment(ctx, key)
		if err != nil {
			return err
		}
		return s.order(ctx, a.Order, byPart)
	case ident.Dropoff:
		o, err := s.Dropoff.OrderOf(ctx, key)
		if err != nil {
			return err
		}
		return s.order(ctx, o, byPart)
	case ident.Incident:
		i, err := s.Care.Get(ctx, key)
		if err != nil {
			return err
		}
		return s.order(ctx, i.Order, byPart)
	}
	if !network {
		return nil
	}
	switch prefix {
	case ident.Store:
		return s.store(ctx, key, byID)
	case ident.Campaign:
		return s.campaign(ctx, key, byID)
	case ident.Prestock:
		t, err := s.Prestock.Task(ctx, key)
		if err != nil {
			return err
		}
		if err := s.store(ctx, t.Store, byPart); err != nil {
			return err
		}
		return s.campaign(ctx, t.Campaign, byPart)
	case notify.ExceptionPrefix:
		x, err := s.Notify.Exception(ctx, key)
		if err != nil {
			return err
		}
		return s.store(ctx, x.Store, byPart)
	}
	return nil
}

// byLink finds the order of a customer's link, pasted whole or without its beginning, also a dead one.
func (s *search) byLink(ctx context.Context) error {
	token := s.q
	if _, after, found := strings.Cut(token, "/t/"); found {
		if token = after; strings.ContainsAny(token, "/?# ") {
			token = token[:strings.IndexAny(token, "/?# ")]
		}
	}
	key, _, ok := order.ParseLink(s.names, token)
	if !ok {
		return nil
	}
	err := s.order(ctx, key, byLink)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}

// byExternal finds what merchants and chains call their own: several may use the same id.
func (s *search) byExternal(ctx context.Context) error {
	id := strings.TrimPrefix(s.q, "ext:")
	if id == "" || len(id) > longestID {
		return nil
	}
	found, err := s.Orders.WithExternal(ctx, id, s.who.Merchant, maxHits+1)
	if err != nil {
		return err
	}
	if len(found) > maxHits {
		found, s.partial = found[:maxHits], true
	}
	for i := range found {
		if err := s.addOrder(ctx, &found[i], byExternalID); err != nil {
			return err
		}
	}
	if s.who.Role == auth.RoleMerchant {
		return nil
	}
	store, err := s.Stores.ByExternalID(ctx, id)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err == nil {
		s.addStore(&store, byExternalID)
	}
	return err
}

func (s *search) byPhone(ctx context.Context) error {
	q, ok := order.ParsePhone(s.q)
	if !ok {
		return nil
	}
	found, all, err := s.Orders.WithPhone(ctx, q, s.who.Merchant, maxHits)
	if err != nil {
		return err
	}
	s.partial = s.partial || !all
	for i := range found {
		if err := s.addOrder(ctx, &found[i], byPhone); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) byStoreName(ctx context.Context) error {
	if s.who.Role == auth.RoleMerchant {
		return nil
	}
	found, all, err := s.Stores.Named(ctx, s.q, maxHits)
	if err != nil {
		return err
	}
	s.partial = s.partial || !all
	for i := range found {
		s.addStore(&found[i], byName)
	}
	return nil
}

func (s *search) order(ctx context.Context, key int64, matched string) error {
	o, err := s.Orders.Get(ctx, key)
	if err == nil {
		err = s.mayOrder(&o)
	}
	if err != nil {
		return err
	}
	return s.addOrder(ctx, &o, matched)
}

func (s *search) addOrder(ctx context.Context, o *order.Order, matched string) error {
	merchant, err := s.Keys.MerchantName(ctx, o.Merchant)
	if err != nil {
		return err
	}
	h := wireHit{Kind: "order", ID: s.names.Name(ident.Order, o.Key), Title: o.ExternalID, Detail: optional(o.Recipient.Name), Status: string(o.Status),
		Merchant: &merchant, Matched: matched, At: stamp(o.CreatedAt)}
	if h.Title == "" {
		h.Title = h.ID
	}
	s.add(h)
	return nil
}

func (s *search) store(ctx context.Context, key int64, matched string) error {
	store, err := s.Stores.Get(ctx, key)
	if err == nil {
		s.addStore(&store, matched)
	}
	return err
}

func (s *search) addStore(store *partner.Store, matched string) {
	s.add(wireHit{Kind: "store", ID: s.names.Name(ident.Store, store.Key), Title: store.Name, Detail: optional(store.Address.Locality),
		Status: store.StatusAt(s.DB.Now()), Matched: matched, At: stamp(store.CreatedAt)})
}

func (s *search) campaign(ctx context.Context, key int64, matched string) error {
	c, err := s.Prestock.GetCampaign(ctx, key)
	if err == nil {
		s.add(wireHit{Kind: "campaign", ID: s.names.Name(ident.Campaign, c.Key), Title: c.Name, Status: string(c.Status), Matched: matched, At: stamp(c.StartsAt)})
	}
	return err
}

// add keeps the first reason for which something was found.
func (s *search) add(h wireHit) {
	if !s.known[h.ID] {
		s.known[h.ID] = true
		s.hits = append(s.hits, h)
	}
}
