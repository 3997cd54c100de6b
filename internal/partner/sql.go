package partner

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unique"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/plainjson"
)

const storeColumns = `key, external_id, name, status, lat, lng, cell, address, phone, locale, time_zone, opening_hours,
	service_radius_m, slot_minutes, orders_per_slot, shelf_units, auto_accept, offer_timeout_s, paused_until,
	version, last_event, created_at, updated_at, removed_at, quiet_hours`

type storeRow struct {
	Key            int64
	ExternalID     *string `db:"external_id"`
	Name           string
	Status         string
	Lat            float64
	Lng            float64
	Cell           int64
	Address        string
	Phone          string
	Locale         string
	TimeZone       string `db:"time_zone"`
	OpeningHours   string `db:"opening_hours"`
	ServiceRadiusM int    `db:"service_radius_m"`
	SlotMinutes    int    `db:"slot_minutes"`
	OrdersPerSlot  int    `db:"orders_per_slot"`
	ShelfUnits     int    `db:"shelf_units"`
	AutoAccept     bool   `db:"auto_accept"`
	OfferTimeoutS  int    `db:"offer_timeout_s"`
	PausedUntil    *int64 `db:"paused_until"`
	Version        int64
	LastEvent      int64  `db:"last_event"`
	CreatedAt      int64  `db:"created_at"`
	UpdatedAt      int64  `db:"updated_at"`
	RemovedAt      *int64 `db:"removed_at"`
	QuietHours     string `db:"quiet_hours"`
}

// store fails on hours or a zone that cannot be read any more, for instance because this machine
// lacks the time zones of the one that wrote them: guessing would send people to closed doors.
func (r *storeRow) store() (Store, error) {
	// Shared are the texts that most stores have in common: a network is kept in memory.
	s := Store{Key: r.Key, Name: r.Name, Status: shared(r.Status), Location: geo.Point{Lat: r.Lat, Lng: r.Lng}, Cell: geo.Cell(r.Cell),
		Phone: r.Phone, Locale: shared(r.Locale), TimeZone: shared(r.TimeZone), OpeningHours: shared(r.OpeningHours), QuietHours: shared(r.QuietHours), ServiceRadiusM: r.ServiceRadiusM,
		SlotMinutes: r.SlotMinutes, OrdersPerSlot: r.OrdersPerSlot, ShelfUnits: r.ShelfUnits, AutoAccept: r.AutoAccept,
		OfferTimeoutS: r.OfferTimeoutS, Version: r.Version, Chain: event.Chain{Last: r.LastEvent, Count: r.Version},
		CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), UpdatedAt: time.UnixMilli(r.UpdatedAt).UTC(), Removed: r.RemovedAt != nil}
	if r.ExternalID != nil {
		s.ExternalID = *r.ExternalID
	}
	if r.PausedUntil != nil {
		t := time.UnixMilli(*r.PausedUntil).UTC()
		s.PausedUntil = &t
	}
	var err error
	if r.Address != "{}" {
		if err = s.Address.parse(r.Address); err != nil {
			return Store{}, fmt.Errorf("store %d: address: %w", r.Key, err)
		}
	}
	if s.hours, err = ParseHours(s.OpeningHours); err != nil {
		return Store{}, fmt.Errorf("store %d: %w", r.Key, err)
	}
	if s.zone, err = NewZone(s.TimeZone, s.Address.Country); err != nil {
		return Store{}, fmt.Errorf("store %d: %w", r.Key, err)
	}
	return s, nil
}

func shared(s string) string { return unique.Make(s).Value() }

// parse reads an address as insertStore wrote it. By hand, because a network's stores are all read at
// the start.
func (a *Address) parse(text string) error {
	r := plainjson.NewReader(text)
	for name := r.Object(); name != ""; name = r.Next() {
		v := r.String()
		switch name {
		case "line1":
			a.Line1 = v
		case "locality":
			a.Locality = v
		case "region":
			a.Region = v
		case "postal_code":
			a.PostalCode = v
		case "country":
			a.Country = v
		default:
			r.GiveUp()
		}
	}
	if r.Done() {
		return nil
	}
	*a = Address{}
	return json.Unmarshal([]byte(text), a)
}

func stores(rows []storeRow) ([]Store, error) {
	list := make([]Store, len(rows))
	for i := range rows {
		var err error
		if list[i], err = rows[i].store(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// LoadTx is the store with this key, also a removed one (Removed says so): orders of the past name
// it. fault.NotFound if there never was one.
func LoadTx(q db.Queryer, key int64) (Store, error) {
	var r storeRow
	err := q.Get(&r, `SELECT `+storeColumns+` FROM store WHERE key = ?`, key)
	if errors.Is(err, db.ErrNoRows) {
		return Store{}, fault.Missing("store")
	}
	if err != nil {
		return Store{}, err
	}
	return r.store()
}

// lockStore loads a store that is about to change. The empty update makes other transactions on
// PostgreSQL wait, as they do on SQLite anyway; without it two changes at once would lose one.
func lockStore(tx *db.Tx, key int64) (Store, error) {
	n, err := tx.Exec(`UPDATE store SET version = version WHERE key = ? AND removed_at IS NULL`, key)
	if err != nil {
		return Store{}, err
	}
	if n == 0 {
		return Store{}, fault.Missing("store")
	}
	return LoadTx(tx, key)
}

func loadByExternalID(q db.Queryer, external string) (Store, error) {
	var r storeRow
	err := q.Get(&r, `SELECT `+storeColumns+` FROM store WHERE external_id = ? AND removed_at IS NULL`, external)
	if errors.Is(err, db.ErrNoRows) {
		return Store{}, fault.Missing("store")
	}
	if err != nil {
		return Store{}, err
	}
	return r.store()
}

// loadByExternalIDs is the present stores among external, by their external id.
func loadByExternalIDs(q db.Queryer, external []string) (map[string]Store, error) {
	found := make(map[string]Store, len(external))
	if len(external) == 0 {
		return found, nil
	}
	query, args, err := db.In(`SELECT `+storeColumns+` FROM store WHERE external_id IN (?) AND removed_at IS NULL`, external)
	if err != nil {
		return nil, err
	}
	var rows []storeRow
	if err := q.Select(&rows, query, args...); err != nil {
		return nil, err
	}
	for i := range rows {
		s, err := rows[i].store()
		if err != nil {
			return nil, err
		}
		found[s.ExternalID] = s
	}
	return found, nil
}

func selectStores(q db.Queryer, f Filter, now time.Time) ([]Store, error) {
	where, args := []string{`removed_at IS NULL`, `key > ?`}, []any{f.After}
	if f.Status != "" {
		var any []string
		for s := range strings.SplitSeq(f.Status, ",") {
			switch s {
			case Active:
				any = append(any, `status = 'active' OR status = 'paused' AND paused_until <= ?`)
				args = append(args, now.UnixMilli())
			case Paused:
				any = append(any, `status = 'paused' AND (paused_until IS NULL OR paused_until > ?)`)
				args = append(args, now.UnixMilli())
			default:
				any = append(any, `status = ?`)
				args = append(args, s)
			}
		}
		where = append(where, `(`+strings.Join(any, ` OR `)+`)`)
	}
	switch paired := ` EXISTS (SELECT 1 FROM session p WHERE p.store_key = store.key AND p.store_key <> 0 AND p.revoked_at IS NULL)`; {
	case f.Paired == nil: // the table belongs to package auth
	case *f.Paired:
		where = append(where, paired)
	default:
		where = append(where, `NOT`+paired)
	}
	if f.Cell != 0 {
		from, to := geo.Within(f.Cell, geo.MatchRes)
		where = append(where, `cell BETWEEN ? AND ?`)
		args = append(args, from, to)
	}
	var rows []storeRow
	err := q.Select(&rows, `SELECT `+storeColumns+` FROM store WHERE `+strings.Join(where, ` AND `)+` ORDER BY key LIMIT ?`,
		append(args, f.Limit+1)...)
	if err != nil {
		return nil, err
	}
	return stores(rows)
}

// insertStore reports false when the external id was taken by a transaction that committed while
// this one ran.
func insertStore(tx *db.Tx, s *Store) (bool, error) {
	address, err := json.Marshal(s.Address)
	if err != nil {
		return false, err
	}
	n, err := tx.Exec(`INSERT INTO store (`+storeColumns+`, claim_key)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)
		ON CONFLICT (external_id) WHERE removed_at IS NULL AND external_id IS NOT NULL DO NOTHING`,
		s.Key, nullable(s.ExternalID), s.Name, s.Status, s.Location.Lat, s.Location.Lng, int64(s.Cell), string(address), s.Phone,
		s.Locale, s.TimeZone, s.OpeningHours, s.ServiceRadiusM, s.SlotMinutes, s.OrdersPerSlot, s.ShelfUnits, s.AutoAccept,
		s.OfferTimeoutS, millis(s.PausedUntil), s.Version, s.Chain.Last, s.CreatedAt.UnixMilli(), s.UpdatedAt.UnixMilli(), s.QuietHours, s.Key)
	return n == 1, err
}

func updateStore(tx *db.Tx, s *Store) error {
	address, err := json.Marshal(s.Address)
	if err != nil {
		return err
	}
	var removed *time.Time
	if s.Removed {
		removed = &s.UpdatedAt
	}
	_, err = tx.Exec(`UPDATE store SET external_id = ?, name = ?, status = ?, lat = ?, lng = ?, cell = ?, address = ?, phone = ?,
		locale = ?, time_zone = ?, opening_hours = ?, service_radius_m = ?, slot_minutes = ?, orders_per_slot = ?, shelf_units = ?,
		auto_accept = ?, offer_timeout_s = ?, paused_until = ?, version = ?, last_event = ?, updated_at = ?, removed_at = ?,
		quiet_hours = ? WHERE key = ?`,
		nullable(s.ExternalID), s.Name, s.Status, s.Location.Lat, s.Location.Lng, int64(s.Cell), string(address), s.Phone,
		s.Locale, s.TimeZone, s.OpeningHours, s.ServiceRadiusM, s.SlotMinutes, s.OrdersPerSlot, s.ShelfUnits,
		s.AutoAccept, s.OfferTimeoutS, millis(s.PausedUntil), s.Version, s.Chain.Last, s.UpdatedAt.UnixMilli(), millis(removed), s.QuietHours, s.Key)
	return err
}

// busyWithOrders reports whether somebody waits for an order at the store.
func busyWithOrders(q db.Queryer, key int64) (bool, error) {
	var slots []time.Time
	var found []int64
	if err := q.Select(&found, `WITH RECURSIVE slots (slot) AS (SELECT min(slot) FROM slot_use
			UNION ALL SELECT (SELECT min(u.slot) FROM slot_use u WHERE u.slot > s.slot) FROM slots s WHERE s.slot IS NOT NULL)
		SELECT u.slot FROM slots s JOIN slot_use u ON u.slot = s.slot WHERE u.store_key = ?`, key); err != nil {
		return false, err
	}
	for _, ms := range found {
		slots = append(slots, time.UnixMilli(ms))
	}
	for _, slot := range slots {
		if open, err := slotInUse(q, key, slot.UnixMilli()); err != nil || open {
			return open, err
		}
	}
	return false, nil
}

// slotInUse reports whether an open order holds a unit of a slot. Its claimants are walked back from the
// last: see ClaimSlot. The tables belong to package order; only this one question is asked of them here.
func slotInUse(q db.Queryer, store, slot int64) (bool, error) {
	var open int64
	err := q.Get(&open, `WITH RECURSIVE claimants (key) AS (SELECT last_key FROM slot_use WHERE slot = ? AND store_key = ?
			UNION ALL SELECT a.prev_key FROM claimants c JOIN assignment a ON a.key = c.key)
		SELECT count(*) FROM (SELECT 1 FROM claimants c JOIN assignment a ON a.key = c.key JOIN orders o ON o.key = a.order_key
			WHERE o.assignment_key = a.key AND o.ended_at IS NULL LIMIT 1) AS open_work`, slot, store)
	return open > 0, err
}

// claimants are an assignment and those that claimed of its slot before it, the last first. The table
// belongs to package order; only this is asked of it here.
func claimants(q db.Queryer, assignment int64) (keys []int64, err error) {
	err = q.Select(&keys, `WITH RECURSIVE claimants (key, n) AS (SELECT CAST(? AS BIGINT), 0
			UNION ALL SELECT a.prev_key, c.n + 1 FROM claimants c JOIN assignment a ON a.key = c.key WHERE a.prev_key <> 0)
		SELECT key FROM claimants ORDER BY n`, assignment)
	return keys, err
}

// promisedUnits is how many units the store has promised to have on its shelf, besides what lies
// there. The table belongs to package prestock; only this one question is asked of it here.
func promisedUnits(q db.Queryer, key int64) (units int, err error) {
	err = q.Get(&units, `SELECT CAST(coalesce(sum(committed), 0) AS BIGINT) FROM prestock_task
		WHERE store_key = ? AND status IN ('acknowledged', 'partially_acknowledged')`, key)
	return units, err
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func millis(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// namesOf are the names of stores by their keys.
func namesOf(q db.Queryer, keys []int64) (map[int64]string, error) {
	names := map[int64]string{}
	if len(keys) == 0 {
		return names, nil
	}
	query, args, err := db.In(`SELECT key, name FROM store WHERE key IN (?)`, keys)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Key  int64
		Name string
	}
	err = q.Select(&rows, query, args...)
	for _, r := range rows {
		names[r.Key] = r.Name
	}
	return names, err
}
