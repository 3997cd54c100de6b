package dropoff

import (
	"errors"
	"slices"
	"time"

	"doorstep/geo"
	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/order"
)

const attemptColumns = `key, n, leg, state, reason, grade, started_at, ended_at, flags, picked_up_at`

type attemptRow struct {
	Key       int64
	N         int
	Leg       string
	State     string
	Reason    string
	Grade     string
	StartedAt int64  `db:"started_at"`
	EndedAt   *int64 `db:"ended_at"`
	Flags     string
	PickedUp  *int64 `db:"picked_up_at"`
}

func (r attemptRow) attempt() Attempt {
	a := Attempt{Key: r.Key, N: r.N, Leg: r.Leg, State: r.State, Reason: r.Reason, Grade: r.Grade, StartedAt: fromMs(r.StartedAt),
		Flags: splitFlags(r.Flags)}
	if r.EndedAt != nil {
		t := fromMs(*r.EndedAt)
		a.EndedAt = &t
	}
	if r.PickedUp != nil {
		t := fromMs(*r.PickedUp)
		a.PickedUp = &t
	}
	return a
}

func fromMs(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func insertAttempt(tx *db.Tx, order int64, a *Attempt) error {
	if a.Leg == "" {
		a.Leg = LegDelivery
	}
	n, err := tx.Exec(`INSERT INTO attempt (key, order_key, n, leg, state, reason, grade, started_at, ended_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING`,
		a.Key, order, a.N, a.Leg, a.State, a.Reason, a.Grade, a.StartedAt.UnixMilli())
	if err == nil && n == 0 {
		return db.ErrAgain
	}
	if err != nil {
		return err
	}
	return tx.Reseal(attempts, `key = ?`, a.Key)
}

func updateAttempt(tx *db.Tx, a *Attempt) error {
	var ended *int64
	if a.EndedAt != nil {
		ms := a.EndedAt.UnixMilli()
		ended = &ms
	}
	var picked *int64
	if a.PickedUp != nil {
		ms := a.PickedUp.UnixMilli()
		picked = &ms
	}
	if _, err := tx.Exec(`UPDATE attempt SET state = ?, reason = ?, grade = ?, ended_at = ?, flags = ?, picked_up_at = ? WHERE key = ?`,
		a.State, a.Reason, a.Grade, ended, joinFlags(a.Flags), picked, a.Key); err != nil {
		return err
	}
	return tx.Reseal(attempts, `key = ?`, a.Key)
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
	distance_m, confirmed, reason, note, supersedes, correction, name, signature, id_checked, cash_amount, cash_currency, actor, network`

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
	Supersedes string
	Correction bool
	Name       string
	Signature  string
	IDChecked  bool   `db:"id_checked"`
	CashAmount *int64 `db:"cash_amount"`
	CashIn     string `db:"cash_currency"`
	Actor      string
	Network    bool
}

func (r eventRow) event() Event {
	e := Event{ID: r.ID, Order: r.Order, Attempt: r.Attempt, Type: r.Type, OccurredAt: fromMs(r.OccurredAt),
		RecordedAt: fromMs(r.RecordedAt), AccuracyM: r.AccuracyM, PhotoSHA256: r.Photo, Signal: r.Signal, Method: r.Method,
		DistanceM: r.DistanceM, Confirmed: r.Confirmed, Reason: r.Reason, Note: r.Note, Supersedes: r.Supersedes,
		Correction: r.Correction, Name: r.Name, SignatureSHA256: r.Signature, IDChecked: r.IDChecked, Actor: r.Actor,
		Network: r.Network}
	if r.CashAmount != nil {
		e.Cash = &order.Money{Amount: *r.CashAmount, Currency: r.CashIn}
	}
	if r.Lat != nil && r.Lng != nil {
		e.Location = &geo.Point{Lat: *r.Lat, Lng: *r.Lng}
	}
	return e
}

// insertEvent writes an event and returns its seal, for the log to hold.
func insertEvent(tx *db.Tx, e *Event) (seal string, err error) {
	var lat, lng *float64
	if e.Location != nil {
		lat, lng = &e.Location.Lat, &e.Location.Lng
	}
	var amount *int64
	currency := ""
	if e.Cash != nil {
		amount, currency = &e.Cash.Amount, e.Cash.Currency
	}
	key := tx.NewKey()
	n, err := tx.Exec(`INSERT INTO dropoff_event (key, `+eventColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		key, e.Order, e.Attempt, e.ID, e.Type, e.OccurredAt.UnixMilli(), e.RecordedAt.UnixMilli(), lat, lng, e.AccuracyM,
		e.PhotoSHA256, e.Signal, e.Method, e.DistanceM, e.Confirmed, e.Reason, e.Note,
		e.Supersedes, e.Correction, e.Name, e.SignatureSHA256, e.IDChecked, amount, currency, e.Actor, e.Network)
	if err == nil && n == 0 {
		err = db.ErrAgain
	}
	if err == nil {
		err = e.usePhotos(tx)
	}
	if err != nil {
		return "", err
	}
	return tx.SealEvidence(evidence, `key = ?`, key)
}

func hasPhoto(q db.Queryer, sha string) (bool, error) {
	var n int
	err := q.Get(&n, `SELECT count(*) FROM photo WHERE sha256 = ? AND erased_at IS NULL`, sha)
	return n > 0, err
}

// insertPhoto keeps a photo; came is false when it is here. One that was erased is here no more: another
// order needs it now.
func insertPhoto(tx *db.Tx, owner int64, sha string, p Photo) (came bool, err error) {
	n, err := tx.Exec(`INSERT INTO photo (sha256, width, height, bytes, data, owner, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (sha256) DO UPDATE SET data = excluded.data, erased_at = NULL WHERE photo.erased_at IS NOT NULL`,
		sha, p.Width, p.Height, len(p.JPEG), p.JPEG, owner, tx.Now().UnixMilli())
	if err != nil || n == 0 {
		return false, err
	}
	return true, tx.Reseal(photos, `sha256 = ?`, sha)
}

func loadPhoto(q db.Queryer, sha string) ([]byte, error) {
	var data []byte
	err := q.Get(&data, `SELECT data FROM photo WHERE sha256 = ?`, sha)
	if errors.Is(err, db.ErrNoRows) || err == nil && len(data) == 0 { // erased
		return nil, fault.Missing("photo")
	}
	return data, err
}
