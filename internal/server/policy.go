package server

import (
	"net/http"

	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/order"
)

// policyIn is a whole policy; what is left out is as usual. The names and bounds are those of order.Policy.
type policyIn struct {
	order.Policy
	ReturnTo *locationIn `json:"return_to"`
}

type wirePolicy struct {
	MerchantID string `json:"merchant_id"`
	order.Policy
	ReturnTo  *wireLocation `json:"return_to"`
	Version   int64         `json:"version"`
	ChangedBy *string       `json:"changed_by"`
	ChangedAt *stamp        `json:"changed_at"`
}

func (k *call) policyOut(s *order.SetPolicy) wirePolicy {
	w := wirePolicy{MerchantID: k.names.Name(ident.Merchant, s.Merchant), Policy: s.Policy, Version: s.Version,
		ChangedBy: optional(s.Actor), ChangedAt: stampOf(&s.At)}
	if p := s.Policy.ReturnTo; p != nil {
		w.ReturnTo = &wireLocation{p.Lat, p.Lng}
	}
	return w
}

func (k *call) replyPolicy(s order.SetPolicy, err error) error {
	if err != nil {
		return err
	}
	k.etag(s.Version)
	return k.reply(http.StatusOK, k.policyOut(&s))
}

// theMerchant is the merchant of the path, by its id or as ext: with its name; without one, the caller's own.
func (k *call) theMerchant() (int64, error) {
	if k.who.Merchant != 0 {
		return k.who.Merchant, nil
	}
	key, name, err := k.ref(ident.Merchant, "merchant")
	if err != nil {
		return 0, err
	}
	if name == "" {
		_, err = k.Keys.MerchantName(k.ctx, key)
		return key, err
	}
	key, ok, err := k.Keys.FindMerchant(k.ctx, name)
	if err == nil && !ok {
		err = fault.Missing("merchant")
	}
	return key, err
}

func (k *call) getPolicy() error {
	merchant, err := k.theMerchant()
	if err != nil {
		return err
	}
	return k.replyPolicy(k.Match.Policies().Get(k.ctx, merchant))
}

func (k *call) putPolicy() error {
	in := policyIn{Policy: order.UsualPolicy}
	if err := k.decode(&in); err != nil {
		return err
	}
	merchant, err := k.theMerchant()
	if err != nil {
		return err
	}
	version, err := k.ifMatch()
	if err != nil {
		return err
	}
	p := in.Policy
	if in.ReturnTo != nil {
		var f fault.Fields
		at := in.ReturnTo.point(&f, "/return_to")
		if err := f.Err(); err != nil {
			return err
		}
		p.ReturnTo = &at
	}
	return k.replyPolicy(k.Match.Policies().Set(k.ctx, merchant, p, version))
}

func (k *call) listPolicies() error {
	merchant, err := k.theMerchant()
	if err != nil {
		return err
	}
	before, limit, err := k.page()
	if err != nil {
		return err
	}
	set, more, err := k.Match.Policies().Versions(k.ctx, merchant, before, limit)
	if err != nil {
		return err
	}
	out := make([]wirePolicy, len(set))
	var last int64
	for i := range set {
		out[i], last = k.policyOut(&set[i]), set[i].Version
	}
	return k.reply(http.StatusOK, newList(k.names, out, more, last))
}

func (k *call) unlockCode() error {
	o, err := k.actOn()
	if err != nil {
		return err
	}
	return k.showOrder(k.Dropoff.UnlockCode(k.ctx, o.Key))
}
