package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"doorstep/internal/auth"
	"doorstep/internal/event"
	"doorstep/internal/ident"
	"doorstep/internal/order"
	"doorstep/internal/server"
	"doorstep/internal/sim"
)

const (
	demoKeys = "demo " // what the names of its keys begin with
	demoShop = "Demo Shop"
)

// demoMerchants are the ones that a demo makes: the visitor's and the robots'.
var demoMerchants = []string{demoShop, "Demo Market"}

// demo is a city that lives on this server's own API.
type demo struct {
	server.Parts
	robots string // their admin key, in memory only
	keys   [][2]string
}

// newDemo makes the keys of a demo. It is refused on a database that anybody else uses.
func newDemo(ctx context.Context, p server.Parts) (*demo, error) {
	ctx = event.WithActor(ctx, "demo")
	if err := refuseRealData(ctx, p); err != nil {
		return nil, err
	}
	d := &demo{Parts: p}
	old, err := allKeys(ctx, p.Keys)
	if err != nil {
		return nil, err
	}
	for _, k := range old {
		if strings.HasPrefix(k.Name, demoKeys) && k.RevokedAt == nil {
			if err := p.Keys.Revoke(ctx, k.Key); err != nil {
				return nil, err
			}
		}
	}
	if d.robots, _, err = p.Keys.Create(ctx, auth.NewKey{Role: auth.RoleAdmin, Name: demoKeys + "robots"}); err != nil {
		return nil, err
	}
	for _, k := range []auth.NewKey{{Role: auth.RoleAdmin}, {Role: auth.RoleDispatcher}, {Role: auth.RoleMerchant, MerchantName: demoShop}} {
		if err := d.makeKey(ctx, k); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *demo) makeKey(ctx context.Context, k auth.NewKey) error {
	k.Name = demoKeys + string(k.Role)
	secret, _, err := d.Keys.Create(ctx, k)
	d.keys = append(d.keys, [2]string{string(k.Role), secret})
	return err
}

// refuseRealData keeps a made-up city out of a database in use. The demo's merchant is made before
// its stores, so stores without it are somebody's.
func refuseRealData(ctx context.Context, p server.Parts) error {
	var names []string
	if err := p.DB.Read(ctx).Select(&names, `SELECT name FROM merchant ORDER BY key`); err != nil {
		return err
	}
	for _, name := range names {
		if !slices.Contains(demoMerchants, name) {
			return fmt.Errorf("--demo is refused: this database has the merchant %q, and a made-up city would mix with real orders; name another with --db", name)
		}
	}
	if len(names) == 0 && p.Match.Stores() > 0 {
		return fmt.Errorf("--demo is refused: this database has %d stores of your own; name another with --db", p.Match.Stores())
	}
	return nil
}

// live has the city live until ctx ends. Nothing that goes wrong in it stops the server.
func (d *demo) live(ctx context.Context, n *node, out io.Writer) {
	client := sim.NewClient(n.url, d.robots)
	defer client.Close()
	city := sim.NewCity(1)
	ids, err := sim.Seed(ctx, client, city)
	if err != nil && ctx.Err() == nil {
		d.Log.Warn("the demo city is not complete; it is tried again", "error", err)
	}
	for _, s := range city.Stores {
		if key, ok := d.DB.Names().Parse(ident.Store, ids[s.ExternalID]); ok {
			if err := d.makeKey(event.WithActor(ctx, "demo"), auth.NewKey{Role: auth.RoleStore, Store: key}); err != nil {
				d.Log.Warn("no demo key for a store", "error", err)
			}
			break
		}
	}
	if ctx.Err() != nil {
		return
	}
	d.announce(n.url, city, out)
	if err := sim.Run(ctx, sim.Options{BaseURL: n.url, AdminKey: d.robots, City: city, Log: d.Log}); err != nil {
		d.Log.Error("the demo city stopped", "error", err)
	}
}

func (d *demo) announce(url string, city sim.City, out io.Writer) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nA made-up city lives here: %s, %d stores.\n  home      %s/\n  contract  %s/openapi.yaml\nKeys, until the next start:\n",
		city.Name, len(city.Stores), url, url)
	for _, k := range d.keys {
		fmt.Fprintf(&b, "  %-10s  %s\n", k[0], k[1])
	}
	fmt.Fprintf(&b, "Try:\n  curl '%s/v1/orders?limit=3' -H 'Authorization: Bearer %s'\n", url, d.keys[0][1])
	_, _ = io.WriteString(out, b.String())
}

// shown are the statuses whose pages look most different from each other.
var shown = []order.Status{order.EnrouteDropoff, order.ReadyForPickup, order.Confirmed, order.AttemptFailed, order.ReceivedAtStore, order.Delivered}

// links are the pages of a few recent orders.
func (d *demo) links(ctx context.Context) []server.DemoLink {
	var out []server.DemoLink
	for _, s := range shown {
		list, _, err := d.Orders.List(ctx, order.Filter{Statuses: []string{string(s)}, Limit: 1})
		if err != nil {
			d.Log.Warn("links of the home page", "error", err)
			return out
		}
		for _, o := range list {
			out = append(out, server.DemoLink{Status: string(s), URL: "/t/" + o.LinkToken(d.DB.Names())})
		}
	}
	return out
}
