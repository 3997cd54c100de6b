package server

import (
	"net/http"

	"doorstep/internal/fault"
	"doorstep/internal/prestock"
)

// wirePrestock is what a store says about being asked.
type wirePrestock struct {
	OptOut *bool `json:"opt_out"`
}

func (k *call) getPrestock() error {
	s, err := k.theStore()
	if err != nil {
		return err
	}
	out, err := k.Prestock.OptedOut(k.ctx, s.Key)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, wirePrestock{&out})
}

func (k *call) putPrestock() error {
	var in wirePrestock
	if err := k.decode(&in); err != nil {
		return err
	}
	if in.OptOut == nil {
		return fault.InvalidField("/opt_out", "required", "say whether the store does not want to be asked: true or false")
	}
	s, err := k.theStore()
	if err != nil {
		return err
	}
	if err := k.Prestock.OptOut(k.ctx, s.Key, *in.OptOut); err != nil {
		return err
	}
	return k.reply(http.StatusOK, in)
}

// wireReplenishment is how shelves are filled up each night; hours and days that are left out are the usual.
type wireReplenishment struct {
	Enabled   *bool `json:"enabled"`
	LeadHours *int  `json:"lead_hours"`
	CoverDays *int  `json:"cover_days"`
}

func replenishmentOut(r prestock.Replenishing) wireReplenishment {
	return wireReplenishment{&r.Enabled, &r.LeadHours, &r.CoverDays}
}

func (k *call) getReplenishment() error {
	r, err := k.Prestock.Replenishing(k.ctx)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, replenishmentOut(r))
}

func (k *call) putReplenishment() error {
	var in wireReplenishment
	if err := k.decode(&in); err != nil {
		return err
	}
	if in.Enabled == nil {
		return fault.InvalidField("/enabled", "required", "say whether shelves are filled up each night: true or false")
	}
	r := prestock.DefaultReplenishing
	r.Enabled = *in.Enabled
	if in.LeadHours != nil {
		r.LeadHours = *in.LeadHours
	}
	if in.CoverDays != nil {
		r.CoverDays = *in.CoverDays
	}
	if err := k.Prestock.SetReplenishing(k.ctx, r); err != nil {
		return err
	}
	return k.reply(http.StatusOK, replenishmentOut(r))
}
