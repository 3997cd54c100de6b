package dropoff

import (
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/order"
)

// lockOrder loads an order that is about to change. The empty update makes other transactions on
// PostgreSQL wait, as they do on SQLite anyway: fifty phones that report the same parcel queue up
// here instead of undoing each other's work.
func lockOrder(tx *db.Tx, key int64) (order.Order, error) {
	if _, err := tx.Exec(`UPDATE orders SET version = version WHERE key = ?`, key); err != nil {
		return order.Order{}, err
	}
	return order.Load(tx, key)
}

const attemptColumns = `key, n, state, reason, grade, started_at, ended_at`

type attemptRow struct {
	Key       int64
	N         int
	State     string
	Reason    string
	Grade     string
	StartedAt int64  `db:"started_at"`
	EndedAt   *int64 `db:"ended_at"`
}

func (r attemptRow) attempt() Attempt {
	a := Attempt{Key: r.Key, N: r.N, State: r.State, Reason: r.Reason, Grade: r.Grade, StartedAt: fromMs(r.StartedAt)}
	if r.EndedAt != nil {
		t := fromMs(*r.EndedAt)
		a.EndedAt = &t
	}
	return a
}

func fromMs(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func insertAttempt(tx *db.Tx, order int64, a *Attempt) error {
	n, err := tx.Exec(`INSERT INTO attempt (key, order_key, n, state, reason, grade, started_at, ended_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING`,
		a.Key, order, a.N, a.State, a.Reason, a.Grade, a.StartedAt.UnixMilli())
	if err == nil && n == 0 {
		return db.ErrAgain
	}
	return err
}

func updateAttempt(tx *db.Tx, a *Attempt) error {
	var ended *int64
	if a.EndedAt != nil {
		ms := a.EndedAt.UnixMilli()
		ended = &ms
	}
	_, err := tx.Exec(`UPDATE attempt SET state = ?, reason = ?, grade = ?, ended_at = ? WHERE key = ?`,
		a.State, a.Reason, a.Grade, ended, a.Key)
	return err
}

// loadAttempts are the attempts at an order, first to last, each with its chain in order.
func loadAttempts(q db.Queryer, order int64) ([]Attempt, error) {
	var rows []attemptRow
	if err := q.Select(&rows, `SELECT `+attemptColumns+` FROM attempt WHERE order_key = ? ORDER BY n`, order); err != nil {
		return nil, err
	}
	var events []eventRow
	if err := q.Select(&events, `SELECT `+eventColumns+` FROM dropoff_event WHERE order_key = ?`, order); err != nil {
		return nil, err
	}
	out := make([]Attempt, len(rows))
	for i, r := range rows {
		out[i] = r.attempt()
		for _, e := range events {
			if e.Attempt == r.N {
				out[i].Events = append(out[i].Events, e.event())
			}
		}
		slices.SortFunc(out[i].Events, compare)
	}
	return out, nil
}

const eventColumns = `order_key, attempt, client_id, type, occurred_at, recorded_at, lat, lng, accuracy_m, photo, signal, method,
	distance_m, confirmed, reason, note`

type eventRow struct {
	Order      int64 `db:"order_key"`
	Attempt    int
	ID         string `db:"client_id"`
	Type       string
	OccurredAt int64 `db:"occurred_at"`
	RecordedAt int64 `db:"recorded_at"`
	Lat, Lng   *float64
	AccuracyM  *float64 `db:"accuracy_m"`
	Photo      string
	Signal     string
	Method     string
	DistanceM  *float64 `db:"distance_m"`
	Confirmed  bool
	Reason     string
	Note       string
}

func (r eventRow) event() Event {
	e := Event{ID: r.ID, Order: r.Order, Attempt: r.Attempt, Type: r.Type, OccurredAt: fromMs(r.OccurredAt),
		RecordedAt: fromMs(r.RecordedAt), AccuracyM: r.AccuracyM, PhotoSHA256: r.Photo, Signal: r.Signal, Method: r.Method,
		DistanceM: r.DistanceM, Confirmed: r.Confirmed, Reason: r.Reason, Note: r.Note}
	if r.Lat != nil && r.Lng != nil {
		e.Location = &geo.Point{Lat: *r.Lat, Lng: *r.Lng}
	}
	return e
}

func insertEvent(tx *db.Tx, e *Event, actor string) error {
	var lat, lng *float64
	if e.Location != nil {
		lat, lng = &e.Location.Lat, &e.Location.Lng
	}
	n, err := tx.Exec(`INSERT INTO dropoff_event (key, `+eventColumns+`, actor)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		tx.NewKey(), e.Order, e.Attempt, e.ID, e.Type, e.OccurredAt.UnixMilli(), e.RecordedAt.UnixMilli(), lat, lng, e.AccuracyM,
		e.PhotoSHA256, e.Signal, e.Method, e.DistanceM, e.Confirmed, e.Reason, e.Note, actor)
	if err == nil && n == 0 {
		return db.ErrAgain
	}
	return err
}

func hasPhoto(q db.Queryer, sha string) (bool, error) {
	var n int
	err := q.Get(&n, `SELECT count(*) FROM photo WHERE sha256 = ?`, sha)
	return n > 0, err
}

func insertPhoto(tx *db.Tx, owner int64, p Photo) error {
	_, err := tx.Exec(`INSERT INTO photo (sha256, width, height, bytes, data, owner, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (sha256) DO NOTHING`,
		hex.EncodeToString(p.SHA256[:]), p.Width, p.Height, len(p.JPEG), p.JPEG, owner, tx.Now().UnixMilli())
	return err
}

func loadPhoto(q db.Queryer, sha string) ([]byte, error) {
	var data []byte
	err := q.Get(&data, `SELECT data FROM photo WHERE sha256 = ?`, sha)
	if errors.Is(err, db.ErrNoRows) {
		return nil, fault.Missing("photo")
	}
	return data, err
}
