package dropoff

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/order"
)

func joinFlags(flags []string) string { return strings.Join(flags, ",") }

func splitFlags(text string) []string {
	if text == "" {
		return []string{}
	}
	return strings.Split(text, ",")
}

func hasFlag(tx *db.Tx, at elsewhere, flag string) (bool, error) {
	var text string
	err := tx.Get(&text, `SELECT flags FROM attempt WHERE order_key = ? AND n = ?`, at.Order, at.Attempt)
	return err == nil && slices.Contains(splitFlags(text), flag), err
}

// pickedUp is when the parcel left the store for attempt n, as an order's story up to its event last
// says; nil when it had left before.
func pickedUp(tx *db.Tx, last int64, n int) (*time.Time, error) {
	story, err := event.Story(tx, last)
	if err != nil {
		return nil, err
	}
	var left *time.Time
	for _, e := range story {
		switch e.Type {
		case "order." + string(order.PickedUp):
			left = &e.OccurredAt
		case "order." + string(order.EnrouteDropoff):
			var h order.Happened
			if err := json.Unmarshal(e.Data, &h); err != nil {
				return nil, err
			}
			if h.Attempt == n {
				return left, nil
			}
			left = nil
		}
	}
	return nil, nil
}

// nextFix is the nearest fix of e's phone after e, or before it; nil when there is none. Fixes of the
// same time stand in the order of their ids, so that everybody agrees on who is whose neighbour.
func nextFix(tx *db.Tx, e Event, after bool) (*fixAt, error) {
	than, order := "<", "DESC"
	if after {
		than, order = ">", "ASC"
	}
	var r struct {
		elsewhere
		OccurredAt int64 `db:"occurred_at"`
		Lat, Lng   float64
		AccuracyM  *float64 `db:"accuracy_m"`
	}
	err := tx.Get(&r, `SELECT order_key, attempt, occurred_at, lat, lng, accuracy_m FROM dropoff_event
		WHERE actor = ? AND lat IS NOT NULL AND NOT network AND (occurred_at, order_key, client_id) `+than+` (?, ?, ?)
		ORDER BY occurred_at `+order+`, order_key `+order+`, client_id `+order+` LIMIT 1`, e.Actor, e.OccurredAt.UnixMilli(), e.Order, e.ID)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	f := &fixAt{Fix: Fix{fromMs(r.OccurredAt), geo.Point{Lat: r.Lat, Lng: r.Lng}, r.AccuracyM}, elsewhere: r.elsewhere}
	if r.Order != e.Order {
		f.speeding, err = hasFlag(tx, r.elsewhere, ImpossibleSpeed)
	}
	return f, err
}

// photoLook is what is known of a photo besides its picture.
type photoLook struct {
	look     Look
	uploaded time.Time
}

// insertLook keeps the look of a photo. old says that the photo is here already: if it has no look, it is
// from before there were any, and nobody knows whether evidence stands on it; so it is never unused.
func insertLook(tx *db.Tx, sha string, look Look, old bool) error {
	_, err := tx.Exec(`INSERT INTO photo_look (sha256, look, uploaded_at, used) VALUES (?, ?, ?, ?) ON CONFLICT (sha256) DO NOTHING`,
		sha, int64(look), tx.Now().UnixMilli(), old)
	return err
}

// looksOf are the looks of a chain's photos. Photos from before looks were kept have none.
func looksOf(tx *db.Tx, c Chain) (map[string]photoLook, error) {
	looks := map[string]photoLook{}
	asked := map[string]bool{"": true}
	for _, e := range c {
		if asked[e.PhotoSHA256] {
			continue
		}
		asked[e.PhotoSHA256] = true
		var r struct {
			Look       int64
			UploadedAt int64 `db:"uploaded_at"`
		}
		err := tx.Get(&r, `SELECT look, uploaded_at FROM photo_look WHERE sha256 = ?`, e.PhotoSHA256)
		if err == nil {
			looks[e.PhotoSHA256] = photoLook{Look(r.Look), fromMs(r.UploadedAt)}
		} else if !errors.Is(err, db.ErrNoRows) {
			return nil, err
		}
	}
	return looks, nil
}

// usePhotos notes which of the photos of some events of a count, and strikes those that count no more.
func usePhotos(tx *db.Tx, store int64, a *Attempt, events Chain, looks map[string]photoLook) error {
	by := a.Events.Superseded()
	for _, e := range events {
		if e.PhotoSHA256 == "" {
			continue
		}
		if by[e.ID] != "" {
			if _, err := tx.Exec(`DELETE FROM photo_use WHERE store_key = ? AND used_at = ? AND order_key = ? AND attempt = ? AND sha256 = ?`,
				store, e.OccurredAt.UnixMilli(), e.Order, e.Attempt, e.PhotoSHA256); err != nil {
				return err
			}
			continue
		}
		var look *int64
		if l, ok := looks[e.PhotoSHA256]; ok {
			bits := int64(l.look)
			look = &bits
		}
		if _, err := tx.Exec(`INSERT INTO photo_use (store_key, used_at, order_key, attempt, sha256, look) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			store, e.OccurredAt.UnixMilli(), e.Order, e.Attempt, e.PhotoSHA256, look); err != nil {
			return err
		}
	}
	return nil
}

// usesOf are other attempts that a photo is used in: one, or two to say that there are more. However often
// a photo is used, few of its uses are read.
func usesOf(tx *db.Tx, here elsewhere, sha string) (others []elsewhere, err error) {
	err = tx.Select(&others, `SELECT DISTINCT order_key, attempt FROM (SELECT order_key, attempt FROM photo_use
		WHERE sha256 = ? AND NOT (order_key = ? AND attempt = ?) LIMIT 16) AS used ORDER BY order_key, attempt LIMIT 2`,
		sha, here.Order, here.Attempt)
	return others, err
}

// photoUse is a photo in the line of its store.
type photoUse struct {
	elsewhere
	SHA256 string
	Look   *int64
}

// usedNear are the photos that a store has shown about a time, the nearest to each side.
func usedNear(tx *db.Tx, store int64, at time.Time) (uses []photoUse, err error) {
	const columns = `SELECT u.order_key, u.attempt, u.sha256, u.look FROM photo_use u WHERE store_key = ? AND `
	err = tx.Select(&uses, columns+`used_at <= ? AND used_at >= ? ORDER BY used_at DESC, order_key DESC, attempt DESC LIMIT ?`,
		store, at.UnixMilli(), at.Add(-alikeWithin).UnixMilli(), alikeAmong)
	if err != nil {
		return nil, err
	}
	var after []photoUse
	err = tx.Select(&after, columns+`used_at > ? AND used_at <= ? ORDER BY used_at, order_key, attempt LIMIT ?`,
		store, at.UnixMilli(), at.Add(alikeWithin).UnixMilli(), alikeAmong)
	return append(uses, after...), err
}
