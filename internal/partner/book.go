package partner

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
)

// Book is what one can ask of the stores. It is safe for concurrent use.
type Book struct {
	db       *db.DB
	defaults Defaults
	watchers atomic.Pointer[[]func(Change)]
}

// NewBook opens the book of stores in d.
func NewBook(d *db.DB, defaults Defaults) *Book { return &Book{db: d, defaults: defaults} }

// Defaults are what a new store takes for what it does not say.
func (b *Book) Defaults() Defaults { return b.defaults }

// Change tells a watcher what a store is like now. On PostgreSQL two changes of one store may be
// told in either order: the one with the larger Version is true.
type Change struct {
	Key     int64
	Version int64
	Store   *Store      // the new state; nil if only its stock was counted
	Removed bool        // it is gone
	Stock   []StockLine // the SKUs that were counted, as they are now
}

// Watch has f called after the commit of every change made through b, except claims and releases:
// who makes those knows. f must not block and must not change what it is given.
func (b *Book) Watch(f func(Change)) {
	for {
		old := b.watchers.Load()
		var list []func(Change)
		if old != nil {
			list = slices.Clone(*old)
		}
		list = append(list, f)
		if b.watchers.CompareAndSwap(old, &list) {
			return
		}
	}
}

func (b *Book) announce(tx *db.Tx, c Change) {
	tx.OnCommit(func() {
		if list := b.watchers.Load(); list != nil {
			for _, f := range *list {
				f(c)
			}
		}
	})
}

// Create makes a store. A store with in's external id that is already what in says is returned with
// created false, so a sender may repeat; one that is not is refused with external-id-taken.
func (b *Book) Create(ctx context.Context, in Input) (s Store, created bool, err error) {
	want, err := Decide(in, b.defaults)
	if err != nil {
		return Store{}, false, err
	}
	err = b.inTx(ctx, func(tx *db.Tx) error {
		if want.ExternalID != "" {
			switch old, err := loadByExternalID(tx, want.ExternalID); {
			case err == nil:
				s, created = old, false
				return sameAs(&old, in)
			case fault.KindOf(err) != fault.NotFound:
				return err
			}
		}
		s, created = want, true
		return b.insert(tx, &s)
	})
	if err != nil {
		return Store{}, false, err
	}
	return s, created, nil
}

func sameAs(old *Store, in Input) error {
	now, err := old.with(in)
	if err != nil {
		return err
	}
	if diff := changed(old, &now); len(diff) > 0 {
		return fault.Refused("external-id-taken", nil, "a store with external_id %q exists and differs in %v", old.ExternalID, diff)
	}
	return nil
}

// errRaced says that another process made the same store in the same moment: look again.
var errRaced = errors.New("partner: the external id was taken a moment ago")

func (b *Book) inTx(ctx context.Context, f func(*db.Tx) error) error {
	for {
		if err := b.db.InTx(ctx, f); !errors.Is(err, errRaced) {
			return err
		}
	}
}

// insert keeps a new store, gives it its key and tells the watchers.
func (b *Book) insert(tx *db.Tx, s *Store) error {
	s.Key = tx.NewKey()
	s.CreatedAt = tx.Now()
	if err := move(tx, s, "store.created", map[string]any{"external_id": s.ExternalID, "name": s.Name}); err != nil {
		return err
	}
	ok, err := insertStore(tx, s)
	if err != nil {
		return err
	}
	if !ok {
		return errRaced
	}
	b.announceStore(tx, s)
	return nil
}

// move appends the event of a change and counts the version up; the caller keeps s.
func move(tx *db.Tx, s *Store, what string, data any) error {
	if err := event.Append(tx, &s.Chain, event.New{Type: what, Subject: s.Key, Store: s.Key, Data: data}); err != nil {
		return err
	}
	s.Version, s.UpdatedAt = s.Chain.Count, tx.Now()
	return nil
}

func (b *Book) announceStore(tx *db.Tx, s *Store) {
	told := *s
	b.announce(tx, Change{Key: s.Key, Version: s.Version, Store: &told, Removed: s.Removed})
}

// Get is the store with this key; fault.NotFound if there is none or it was removed.
func (b *Book) Get(ctx context.Context, key int64) (Store, error) {
	s, err := LoadTx(b.db.Read(ctx), key)
	if err == nil && s.Removed {
		return Store{}, fault.Missing("store")
	}
	return s, err
}

// NamesOf are the names of the stores among keys, which are few, those that were removed included.
func (b *Book) NamesOf(ctx context.Context, keys []int64) (map[int64]string, error) {
	return namesOf(b.db.Read(ctx), keys)
}

// Story is what happened to a store last, newest first and at most limit events.
func (b *Book) Story(ctx context.Context, s *Store, limit int) ([]event.Event, error) {
	return event.Recent(b.db.Read(ctx), s.Chain.Last, limit)
}

// ByExternalID is the present store with this external id.
func (b *Book) ByExternalID(ctx context.Context, external string) (Store, error) {
	return loadByExternalID(b.db.Read(ctx), external)
}

// Filter narrows a list; a zero field does not.
type Filter struct {
	Status string   // as it is now: see StatusAt; several, separated by commas, mean any of them
	Cell   geo.Cell // of resolution geo.MatchRes or coarser
	Paired *bool    // nil: any; whether a phone is paired with it
	After  int64    // the key of the last store seen
	Limit  int      // at most so many; 0 is 50
}

// List is the stores that fit f, by key, and whether there are more after them.
func (b *Book) List(ctx context.Context, f Filter) (list []Store, more bool, err error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	for s := range strings.SplitSeq(f.Status, ",") {
		if f.Status != "" && !knownStatus(s) {
			return nil, false, fault.InvalidField("/status", "unknown", "must be one of %v", statuses)
		}
	}
	if f.Cell != 0 && f.Cell.Resolution() > geo.MatchRes {
		return nil, false, fault.InvalidField("/h3_cell", "too-fine", "give a cell of resolution %d or coarser", geo.MatchRes)
	}
	list, err = selectStores(b.db.Read(ctx), f, b.db.Now())
	if len(list) > f.Limit {
		return list[:f.Limit], true, err
	}
	return list, false, err
}

// Each calls f for every present store by key, without holding them all, and stops at its first
// error.
func (b *Book) Each(ctx context.Context, f func(Store) error) error {
	return b.each(ctx, f, `key`)
}

// EachByPlace is Each, but neighbours come together.
func (b *Book) EachByPlace(ctx context.Context, f func(Store) error) error {
	return b.each(ctx, f, `cell, key`)
}

func (b *Book) each(ctx context.Context, f func(Store) error, order string) error {
	return db.Each(ctx, b.db, func(r storeRow) error {
		s, err := r.store()
		if err != nil {
			return err
		}
		return f(s)
	}, `SELECT `+storeColumns+` FROM store WHERE removed_at IS NULL ORDER BY `+order)
}

// ChangedSince is up to limit stores, removed ones too, whose last change is later in the event log
// than seq, in that order; next is the seq to ask from the next time. It is how one process hears
// of another's changes, also of counted stock; claims of slots and stock are not in it.
func (b *Book) ChangedSince(ctx context.Context, seq int64, limit int) (list []Store, next int64, err error) {
	// Asked before the rows: what commits later must be later than what is returned.
	horizon, err := b.db.Horizon(ctx)
	if err != nil {
		return nil, seq, err
	}
	var rows []storeRow
	err = b.db.Read(ctx).Select(&rows, `SELECT `+storeColumns+` FROM store WHERE last_event > ? AND last_event <= ?
		ORDER BY last_event LIMIT ?`, seq, horizon, limit)
	if err != nil {
		return nil, seq, err
	}
	if list, err = stores(rows); err != nil {
		return nil, seq, err
	}
	if len(list) > 0 {
		seq = list[len(list)-1].Chain.Last
	}
	return list, seq, nil
}

// decision is what to make of a store: its new state and the event that says so. No event: leave it.
type decision struct {
	store Store
	event string
	data  any
}

// fields are those that an update changes.
func (d decision) fields() []string {
	data, _ := d.data.(map[string]any)
	names, _ := data["fields"].([]string)
	return names
}

// change loads a store, has f decide, and keeps the outcome. ifVersion refuses any other version.
func (b *Book) change(ctx context.Context, key int64, ifVersion *int64, f func(tx *db.Tx, old Store) (decision, error)) (s Store, err error) {
	err = b.inTx(ctx, func(tx *db.Tx) error {
		old, err := lockStore(tx, key)
		if err != nil {
			return err
		}
		if ifVersion != nil && *ifVersion != old.Version {
			return fault.New(fault.Stale, "version-mismatch", "the store is at version %d, not %d: read it again", old.Version, *ifVersion)
		}
		d, err := f(tx, old)
		if err != nil {
			return err
		}
		s = old
		if d.event == "" {
			return nil
		}
		s = d.store
		return b.keep(tx, &s, d)
	})
	if err != nil {
		return Store{}, err
	}
	return s, nil
}

func (b *Book) keep(tx *db.Tx, s *Store, d decision) error {
	if err := move(tx, s, d.event, d.data); err != nil {
		return err
	}
	switch err := updateStore(tx, s); {
	case db.IsUnique(err):
		return externalIDTaken(s.ExternalID)
	case err != nil:
		return err
	}
	b.announceStore(tx, s)
	return nil
}

func externalIDTaken(external string) error {
	return fault.Refused("external-id-taken", nil, "another store has external_id %q", external)
}

// Update changes what p says. Nothing new in p changes nothing: no version, no event.
//
// New capacity or hours count for orders to come. Units already used stay in their slots, so after
// a change of slot_minutes or time_zone the first slots may be busier than their length suggests,
// but none ever holds more than its orders_per_slot.
//
// A shelf is not made smaller than the units that the store has promised to campaigns: 409
// shelf-promised. What it was asked and has not answered yet it may answer with less, and what is
// only planned shrinks with the next plan.
func (b *Book) Update(ctx context.Context, key int64, p Patch, ifVersion *int64) (Store, error) {
	return b.change(ctx, key, ifVersion, func(tx *db.Tx, old Store) (decision, error) {
		return decideUpdate(tx, old, p)
	})
}

func decideUpdate(q db.Queryer, old Store, p Patch) (decision, error) {
	s, err := old.with(p)
	if err != nil {
		return decision{}, err
	}
	fields := changed(&old, &s)
	if len(fields) == 0 {
		return decision{}, nil
	}
	if s.ExternalID != old.ExternalID && s.ExternalID != "" {
		switch _, err := loadByExternalID(q, s.ExternalID); {
		case err == nil:
			return decision{}, externalIDTaken(s.ExternalID)
		case fault.KindOf(err) != fault.NotFound:
			return decision{}, err
		}
	}
	promised, err := shelfPromised(q, &old, &s)
	if err != nil {
		return decision{}, err
	}
	if promised > 0 {
		e := fault.Refused("shelf-promised", []string{"acknowledge"}, "the store has promised to have %d units ready: keep room for them, or answer its tasks anew first", promised)
		e.Fields = []fault.Field{{Pointer: "/shelf_units", Code: "promised-units", Detail: strconv.Itoa(promised)}}
		return decision{}, e
	}
	return decision{s, "store.updated", map[string]any{"fields": fields}}, nil
}

// shelfPromised is how many units the store has promised to campaigns, when s cuts its shelf below them; else 0.
func shelfPromised(q db.Queryer, old, s *Store) (int, error) {
	if s.ShelfUnits == 0 || old.ShelfUnits != 0 && s.ShelfUnits >= old.ShelfUnits {
		return 0, nil
	}
	promised, err := promisedUnits(q, old.Key)
	if s.ShelfUnits >= promised {
		promised = 0
	}
	return promised, err
}

// Remove takes the store out of the network; its past stays readable and its external id is free
// again. It is refused with store-has-open-orders while somebody waits for an order there.
func (b *Book) Remove(ctx context.Context, key int64, ifVersion *int64) error {
	_, err := b.change(ctx, key, ifVersion, func(tx *db.Tx, old Store) (decision, error) {
		busy, err := busyWithOrders(tx, key)
		if err != nil {
			return decision{}, err
		}
		if busy {
			return decision{}, fault.Refused("store-has-open-orders", []string{"pause"},
				"the store still has orders: pause it and have them finished or re-assigned first")
		}
		old.Removed = true
		return decision{old, "store.removed", map[string]any{"external_id": old.ExternalID}}, nil
	})
	return err
}

// Pause stops new orders until a time, or until Resume when until is nil.
func (b *Book) Pause(ctx context.Context, key int64, until *time.Time) (Store, error) {
	return b.change(ctx, key, nil, func(tx *db.Tx, old Store) (decision, error) {
		s, err := old.pause(until, tx.Now())
		if err != nil || samePause(&old, &s) {
			return decision{}, err
		}
		data := map[string]any{}
		if s.PausedUntil != nil {
			data["until"] = s.PausedUntil.Format("2006-01-02T15:04:05.000Z")
		}
		return decision{s, "store.paused", data}, nil
	})
}

// Resume lets a store that was paused, busy or unresponsive take orders again.
func (b *Book) Resume(ctx context.Context, key int64) (Store, error) {
	return b.change(ctx, key, nil, func(_ *db.Tx, old Store) (decision, error) {
		s, err := old.resume()
		if err != nil || samePause(&old, &s) {
			return decision{}, err
		}
		return decision{s, "store.resumed", nil}, nil
	})
}
