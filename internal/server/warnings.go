package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/match"
	"doorstep/internal/order"
	"doorstep/internal/prestock"
)

// What is about to go wrong and has not yet: orders whose promise will be missed, stores that were asked and
// do not answer, stores that have fallen silent. Nothing is written down about them, so that orders pay
// nothing for being watched: who asks is told what was found a moment ago, and finding it is done
// once for all who ask.

const (
	warnEvery  = 20 * time.Second
	warnShare  = 20  // looking takes at most one part in so many of the time
	warnAtMost = 200 // of a kind
)

// lookout remembers what was found last.
type lookout struct {
	mu    sync.Mutex
	at    time.Time // on the clock of the rows
	until time.Time // real: not looked again before
	found found
}

type found struct {
	risks      []order.Risk
	unanswered []prestock.Unanswered
	silent     []match.Silence
	partial    bool
}

// look is what is about to go wrong, and since when that is known.
func (s *Server) look(ctx context.Context) (found, time.Time, error) {
	l := &s.lookout
	l.mu.Lock()
	defer l.mu.Unlock()
	now, begun := s.DB.Now(), time.Now()
	if begun.Before(l.until) && now.Sub(l.at).Abs() < warnEvery {
		return l.found, l.at, nil
	}
	var f found
	var all [3]bool
	var err error
	if f.risks, all[0], err = s.Orders.AtRisk(ctx, warnAtMost); err != nil {
		return f, now, err
	}
	if f.unanswered, all[1], err = s.Prestock.Unanswered(ctx, warnAtMost); err != nil {
		return f, now, err
	}
	if f.silent, all[2], err = s.Match.Silent(ctx, warnAtMost); err != nil {
		return f, now, err
	}
	f.partial = !all[0] || !all[1] || !all[2]
	took := time.Since(begun)
	l.found, l.at, l.until = f, now, begun.Add(max(warnEvery, warnShare*took))
	return f, now, nil
}

type wireWarning struct {
	ID         string        `json:"id"`
	Kind       string        `json:"kind"`
	Since      stamp         `json:"since"`
	Deadline   *stamp        `json:"deadline"`
	ExpectedAt *stamp        `json:"expected_at"`
	Detail     *string       `json:"detail"`
	Times      *int64        `json:"times"`
	Units      *int          `json:"units"`
	TaskIDs    []string      `json:"task_ids"`
	Order      *wireOrder    `json:"order"`
	Store      *warningStore `json:"store"`
}

type warningStore struct {
	ID    string  `json:"id"`
	Name  string  `json:"name"`
	Phone *string `json:"phone"`
}

// listWarnings tells of each what is still so.
func (k *call) listWarnings() error {
	kind := k.query("kind")
	switch kind {
	case "", "late_risk", "unanswered_prompts", "silent_store":
	default:
		return fault.InvalidField("kind", "unknown-value", "one of late_risk, unanswered_prompts, silent_store")
	}
	f, at, err := k.look(k.ctx)
	if err != nil {
		return err
	}
	out := []wireWarning{}
	add := func(w wireWarning, ok bool, err error) error {
		if fault.KindOf(err) == fault.NotFound {
			return nil
		}
		if err == nil && ok && (kind == "" || kind == w.Kind) {
			out = append(out, w)
		}
		return err
	}
	for _, r := range f.risks {
		if err := add(k.riskOut(r)); err != nil {
			return err
		}
	}
	for i := range f.unanswered {
		if err := add(k.unansweredOut(&f.unanswered[i])); err != nil {
			return err
		}
	}
	for _, s := range f.silent {
		if err := add(k.silenceOut(s)); err != nil {
			return err
		}
	}
	return k.reply(http.StatusOK, struct {
		Data    []wireWarning `json:"data"`
		At      stamp         `json:"at"`
		Partial bool          `json:"partial"`
	}{out, stamp(at), f.partial})
}

// riskOut looks at the order again: it may have arrived since.
func (k *call) riskOut(r order.Risk) (w wireWarning, still bool, err error) {
	o, err := k.Orders.Get(k.ctx, r.Order)
	if err != nil {
		return w, false, err
	}
	expected, ok := order.ExpectedAt(o.Status, o.StepSince, o.DistanceM, k.DB.Now())
	if !ok || o.Promise == nil || !expected.After(o.Promise.To) {
		return w, false, nil
	}
	p, err := k.Match.Show(k.ctx, o)
	if err != nil {
		return w, false, err
	}
	out, err := k.wholeOrder(&p)
	// As long ago as it will be late there was still time, unless something has changed since.
	since := k.DB.Now().Add(o.Promise.To.Sub(expected))
	if since.Before(o.UpdatedAt) {
		since = o.UpdatedAt
	}
	w = wireWarning{ID: "late_risk:" + out.ID, Kind: "late_risk", Since: stamp(since), Deadline: stampOf(&o.Promise.To), ExpectedAt: stampOf(&expected), TaskIDs: []string{}, Order: &out}
	if p.Store != nil {
		w.Store = &warningStore{k.names.Name(ident.Store, p.Store.Key), p.Store.Name, optional(p.Store.Phone)}
	}
	return w, true, err
}

func (k *call) unansweredOut(u *prestock.Unanswered) (w wireWarning, still bool, err error) {
	store, err := k.warned(u.Store)
	w = wireWarning{Kind: "unanswered_prompts", Since: stamp(u.Prompted), Deadline: stampOf(&u.Deadline), Units: &u.Units, TaskIDs: []string{}, Store: store}
	times := int64(len(u.Tasks))
	w.Times = &times
	for _, t := range u.Tasks[:min(len(u.Tasks), 50)] {
		w.TaskIDs = append(w.TaskIDs, k.names.Name(ident.Prestock, t))
	}
	if store != nil {
		w.ID = w.Kind + ":" + store.ID
	}
	return w, u.Deadline.After(k.DB.Now()), err
}

func (k *call) silenceOut(s match.Silence) (w wireWarning, still bool, err error) {
	store, err := k.warned(s.Store)
	w = wireWarning{Kind: "silent_store", Since: stamp(s.Since), Detail: &s.Kind, TaskIDs: []string{}, Store: store}
	if s.Times > 0 {
		w.Times = &s.Times
	}
	if store != nil {
		w.ID = w.Kind + ":" + store.ID
	}
	return w, true, err
}

func (k *call) warned(key int64) (*warningStore, error) {
	s, err := k.Stores.Get(k.ctx, key)
	if err != nil {
		return nil, err
	}
	return &warningStore{k.names.Name(ident.Store, key), s.Name, optional(s.Phone)}, nil
}
