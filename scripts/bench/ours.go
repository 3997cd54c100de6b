package main

import (
	"cmp"
	"fmt"
	"slices"

	"doorstep/internal/match"
	"doorstep/internal/order"
	"doorstep/internal/partner"
)

// ours is Doorstep's live index with what it has in production: opening hours, slots, counters, shelves.
type ours struct {
	live *match.Live
	asks []match.Ask // parallel to those of the world, as the server makes them from requests
}

func sku(i int) string { return fmt.Sprintf("sku-%03d", i) }

func newOurs(w *world) (*ours, error) {
	o := &ours{live: match.NewLive()}
	if err := o.fill(w); err != nil {
		return nil, err
	}
	for i := range w.asks {
		a := &w.asks[i]
		q := match.Ask{At: a.at, MaxM: a.radiusM, Begin: w.begin(a.moment), Now: w.now}
		for _, k := range a.wanted {
			q.Items = append(q.Items, order.Item{SKU: sku(k), Quantity: 1})
		}
		o.asks = append(o.asks, q)
	}
	return o, nil
}

// fill loads the stores as the server does at its start: by place, then what they have left.
func (o *ours) fill(w *world) error {
	stores := make([]partner.Store, len(w.shops))
	for i := range w.shops {
		shop, radius, name := &w.shops[i], serviceM, fmt.Sprintf("Store %d", i)
		s, err := partner.Decide(partner.Input{
			Name: &name, Lat: &shop.at.Lat, Lng: &shop.at.Lng, TimeZone: &w.zone, OpeningHours: &shop.hours,
			ServiceRadiusM: &radius, OrdersPerSlot: &shop.capacity,
		}, partner.StandardDefaults())
		if err != nil {
			return err
		}
		stores[i] = s
		stores[i].Key = int64(i)
	}
	slices.SortFunc(stores, func(a, b partner.Store) int { return cmp.Compare(a.Cell, b.Cell) })
	err := o.live.Fill(len(stores), func(put func(*partner.Store) error) error {
		for i := range stores {
			if err := put(&stores[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range stores {
		o.stock(w, &stores[i])
	}
	return nil
}

func (o *ours) stock(w *world, s *partner.Store) {
	i := int(s.Key)
	shop := &w.shops[i]
	var lines []partner.StockLine
	for k := range skuKinds {
		if shop.skus.has(k) {
			lines = append(lines, partner.StockLine{SKU: sku(k), OnHand: 5 + i%7, Reserved: i % 3})
		}
	}
	o.live.SetStock(s.Key, lines)
	for k, used := range shop.used {
		o.live.SetUsed(s.Key, s.SlotAt(w.begin(k)), used)
	}
}

// nearest asks question i of the world.
func (o *ours) nearest(i int) answer {
	key, m, ok := o.live.Nearest(&o.asks[i])
	if !ok {
		return nobody
	}
	return answer{int(key), m}
}
