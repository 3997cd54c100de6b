package server

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/notify"
)

// wireAct is one thing that somebody did. Names are as they are today: the log itself holds ids only.
type wireAct struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	OccurredAt stamp           `json:"occurred_at"`
	RecordedAt stamp           `json:"recorded_at"`
	Actor      wireActor       `json:"actor"`
	Subject    wireSubject     `json:"subject"`
	Data       json.RawMessage `json:"data"`
}

type wireActor struct {
	Kind string     `json:"kind"`
	ID   string     `json:"id"`
	Name *string    `json:"name"`
	Role *auth.Role `json:"role"`
}

type wireSubject struct {
	Kind string  `json:"kind"`
	ID   string  `json:"id"`
	Name *string `json:"name"`
}

// actors are how the log begins the name of who acts, what that is called outside, and the prefix of its id.
var actors = []struct{ log, kind, prefix string }{
	{"user:", "person", ident.Account}, {"key:", "key", ident.Key}, {"device:", "phone", ident.Device},
}

// commands are those that are no person, key or phone.
var commands = []string{"command-line", "first-link", "pairing-code"}

// actKinds are the resources that acts are about.
var actKinds = []string{"order", "store", "campaign", "prestock", "merchant", "key", "account", "device", "incident", "exception", "setting", "job", "import"}

func (k *call) listActs() error {
	f, err := k.actFilter()
	if err != nil {
		return err
	}
	acts, more, err := k.Events.Acts(k.ctx, f)
	if err != nil {
		return err
	}
	who, err := k.named(acts)
	if err != nil {
		return err
	}
	out := make([]wireAct, len(acts))
	var last int64
	for i, e := range acts {
		out[i], last = k.wireAct(e, who), e.Seq
	}
	return k.reply(http.StatusOK, newList(k.names, out, more, last))
}

func (k *call) actFilter() (event.ActFilter, error) {
	var f fault.Fields
	before, limit, err := k.page()
	f.AddErr("", err)
	out := event.ActFilter{Limit: limit, Before: before}
	if s := k.query("actor"); s != "" {
		out.Actor = k.actor(s)
		if out.Actor == "" {
			f.Add("actor", "not-an-id", "the id of a person, a key or a phone, as in an act")
		}
	}
	if s := k.query("subject"); s != "" {
		if out.Subject = k.subject(s); out.Subject == 0 {
			f.Add("subject", "not-an-id", "the id of an order, a store, or of what else an act is about")
		}
	}
	if s := k.query("kind"); s != "" {
		out.Kinds = strings.Split(s, ",")
		for _, kind := range out.Kinds {
			if !slices.Contains(actKinds, kind) {
				f.Add("kind", "unknown", "known are %s", strings.Join(actKinds, ", "))
			}
		}
	}
	since, err := k.instant("since")
	f.AddErr("", err)
	until, err := k.instant("until")
	f.AddErr("", err)
	if !since.IsZero() {
		out.Since = place(since)
	}
	if at := place(until); !until.IsZero() && (out.Before == 0 || at < out.Before) {
		out.Before = at
	}
	return out, f.Err()
}

// place is the first place of the log that can be written at t.
func place(t time.Time) int64 {
	switch year := t.Year(); { // beyond what keys can say
	case year > 2090:
		return math.MaxInt64
	case year < 2024:
		return 1
	}
	return max(ident.At(t), 1)
}

// actor is how the log names who has an id; "" when nobody has.
func (k *call) actor(id string) string {
	for _, a := range actors {
		if _, ok := k.names.Parse(a.prefix, id); ok {
			return a.log + id
		}
	}
	if slices.Contains(commands, id) {
		return id
	}
	return ""
}

// subject is the key behind an id of whatever kind, 0 when it is none.
func (k *call) subject(id string) int64 {
	for _, prefix := range []string{ident.Order, ident.Store, ident.Campaign, ident.Prestock, ident.Merchant, ident.Key, ident.Account, ident.Device,
		ident.Incident, notify.ExceptionPrefix, ident.Matter} {
		if key, ok := k.names.Parse(prefix, id); ok {
			return key
		}
	}
	return 0
}

// naming is what people call those who act and what they act on, by id.
type naming struct {
	names map[string]string
	roles map[string]auth.Role
}

func (k *call) wireAct(e event.Event, who naming) wireAct {
	kind, _, _ := strings.Cut(e.Type, ".")
	w := wireAct{ID: k.names.Name(ident.Event, e.Seq), Type: e.Type, OccurredAt: stamp(e.OccurredAt), RecordedAt: stamp(e.RecordedAt),
		Actor: wireActor{Kind: "command", ID: e.Actor}, Subject: wireSubject{Kind: kind, ID: k.names.Name(subjects[kind], e.Subject)}, Data: e.Data}
	w.Subject.Name = optional(who.names[w.Subject.ID])
	for _, a := range actors {
		if id, ok := strings.CutPrefix(e.Actor, a.log); ok {
			w.Actor = wireActor{Kind: a.kind, ID: id, Name: optional(who.names[id])}
			if role, ok := who.roles[id]; ok {
				w.Actor.Role = &role
			}
		}
	}
	return w
}

// named looks up everybody and everything in a page of acts, each kind at once.
func (k *call) named(acts []event.Event) (naming, error) {
	keys := map[string][]int64{}
	add := func(prefix string, key int64) {
		if !slices.Contains(keys[prefix], key) {
			keys[prefix] = append(keys[prefix], key)
		}
	}
	for _, e := range acts {
		kind, _, _ := strings.Cut(e.Type, ".")
		add(subjects[kind], e.Subject)
		for _, a := range actors {
			if id, ok := strings.CutPrefix(e.Actor, a.log); ok {
				if key, ok := k.names.Parse(a.prefix, id); ok {
					add(a.prefix, key)
				}
			}
		}
	}
	who := naming{map[string]string{}, map[string]auth.Role{}}
	if err := k.nameActors(who, keys); err != nil {
		return who, err
	}
	for prefix, look := range map[string]func(context.Context, []int64) (map[int64]string, error){
		ident.Store: k.Stores.NamesOf, ident.Campaign: k.Prestock.NamesOf, ident.Order: k.Orders.ExternalIDs} {
		names, err := look(k.ctx, keys[prefix])
		if err != nil {
			return who, err
		}
		for key, name := range names {
			who.names[k.names.Name(prefix, key)] = name
		}
	}
	return who, nil
}

// nameActors names people, keys, phones and merchants.
func (k *call) nameActors(who naming, keys map[string][]int64) error {
	accounts, err := k.Keys.AccountsOf(k.ctx, keys[ident.Account])
	if err != nil {
		return err
	}
	for _, a := range accounts {
		id := k.names.Name(ident.Account, a.Key)
		who.names[id], who.roles[id] = a.Name, a.Role
	}
	infos, err := k.Keys.KeysOf(k.ctx, keys[ident.Key])
	if err != nil {
		return err
	}
	for _, i := range infos {
		id := k.names.Name(ident.Key, i.Key)
		who.names[id], who.roles[id] = keyName(i), i.Role
	}
	phones, err := k.Keys.SessionsOf(k.ctx, keys[ident.Device])
	if err != nil {
		return err
	}
	for _, s := range phones {
		who.names[k.names.Name(ident.Device, s.Key)] = s.Name
	}
	merchants, err := k.Keys.MerchantsOf(k.ctx, keys[ident.Merchant])
	for _, m := range merchants {
		who.names[k.names.Name(ident.Merchant, m.Key)] = m.Name
	}
	return err
}

// keyName is what people know a key by.
func keyName(i auth.KeyInfo) string {
	switch {
	case i.Name != "":
		return i.Name
	case i.MerchantName != "":
		return i.MerchantName + " …" + i.Hint
	}
	return "…" + i.Hint
}
