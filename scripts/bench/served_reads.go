package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// reads measures answers about an order, against one of the same server that says nothing.
func (b *bench) reads() (err error) {
	stores := b.size(60_000, 6_000)
	base, err := b.stocked(stores)
	if err != nil {
		return err
	}
	copied, err := b.copyOf(base)
	if err != nil {
		return err
	}
	n, err := b.serve(copied, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if _, err := n.orders(stores, times(b.size(30_000, 3_000))...); err != nil {
		return err
	}
	byID, byLink, err := n.someOrders(b.size(8_000, 1_000))
	if err != nil {
		return err
	}
	ways := []struct {
		name, what, keys string
		paths            []string
	}{
		{"ping", "", "", []string{"/healthz"}},
		{"order", "GET /v1/orders/{id}", n.staff, byID},
		{"tracking", "GET /v1/tracking/{token}", "", byLink},
	}
	rates, costs := make([][]float64, len(ways)), make([][]float64, len(ways))
	for range b.size(3, 1) {
		for i, w := range ways {
			file := filepath.Join(filepath.Dir(copied), w.name)
			if err := os.WriteFile(file, []byte(strings.Join(w.paths, "\n")), 0o600); err != nil {
				return err
			}
			l, err := n.load("get", w.keys, append(forSeconds(b.seconds(2.5)), "-paths", file)...)
			if err != nil {
				return err
			}
			rates[i], costs[i] = append(rates[i], l.PerSecond), append(costs[i], l.cost())
		}
	}
	for i, w := range ways[1:] {
		rate, ping := median(rates[i+1]), median(rates[0])
		b.report(goal{ID: "P11-" + w.name, Value: rate / ping, Floor: 0.4, Goal: 0.7, What: w.what + ", requests/s against GET /healthz",
			Notes: map[string]float64{"per_s": rate, "ping_per_s": ping, "server_cpu_us": median(costs[i+1]), "ping_server_cpu_us": median(costs[0])}})
	}
	return nil
}

// someOrders are paths of the newest orders, by id and by the customer's link.
func (n *network) someOrders(most int) (byID, byLink []string, err error) {
	for cursor := ""; len(byID) < most; {
		var page struct {
			Data []struct {
				ID  string `json:"id"`
				URL string `json:"tracking_url"`
			} `json:"data"`
			Next *string `json:"next_cursor"`
		}
		if err := n.call("GET", "/v1/orders?limit=200&cursor="+url.QueryEscape(cursor), n.staff, "", &page); err != nil {
			return nil, nil, err
		}
		for _, o := range page.Data {
			_, token, ok := strings.Cut(o.URL, "/t/")
			if !ok {
				return nil, nil, fmt.Errorf("no link in %q", o.URL)
			}
			byID, byLink = append(byID, "/v1/orders/"+o.ID), append(byLink, "/v1/tracking/"+token)
		}
		if page.Next == nil {
			break
		}
		cursor = *page.Next
	}
	if len(byID) == 0 {
		return nil, nil, errors.New("there are no orders")
	}
	return byID, byLink, nil
}
