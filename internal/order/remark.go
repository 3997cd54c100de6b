package order

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

// Kinds of remarks, as their events are called.
const (
	Rated           = "rated"
	Disputed        = "disputed"
	MessageReceived = "message_received"
)

// mostRemarks bounds what one link can leave here.
var mostRemarks = map[string]int{Rated: 20, Disputed: 5, MessageReceived: 50}

// remarkPrefix begins a remark's name outside.
const remarkPrefix = "rmk"

// Remark is something the customer said. Of several ratings the latest counts; none is deleted.
type Remark struct {
	Key        int64
	Kind       string
	Stars      int    // of a rating: for the delivery; 0: none
	StoreStars int    // of a rating: for the store; 0: none
	Reason     string // of a dispute, else ""
	Text       string
	CreatedAt  time.Time
	Incident   int64 // key of the one that it opens; told, and not kept with it
}

// Name is what the remark is called outside.
func (r *Remark) Name(n *ident.Names) string { return n.Name(remarkPrefix, r.Key) }

// remarked is what the log says of a remark. People write phone numbers into their texts, and nothing
// is ever taken out of the log: so no text goes in.
type remarked struct {
	ID         string `json:"remark_id"`
	Stars      int    `json:"stars,omitempty"`
	StoreStars int    `json:"store_stars,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Length     int    `json:"length"` // of the text, in characters
	Evidence   string `json:"evidence"`
	Incident   string `json:"incident_id,omitempty"`
}

// remarks are evidence; what somebody wrote may be erased from them.
var remarks = db.NewEvidence("remark", "key, order_key, kind, stars, store_stars, reason, text, created_at", "text")

// AddRemark keeps something the customer said about o. The caller saves o.
//
// Errors: fault.Conflict too-many when the order has as many of its kind as it may.
func AddRemark(tx *db.Tx, o *Order, r Remark) error {
	var n int
	if err := tx.Get(&n, `SELECT count(*) FROM remark WHERE order_key = ? AND kind = ?`, o.Key, r.Kind); err != nil {
		return err
	}
	if most := mostRemarks[r.Kind]; n >= most {
		return fault.Refused("too-many", nil, "an order takes %d of these; call the shop instead", most)
	}
	r.Key = tx.NewKey()
	if _, err := tx.Exec(`INSERT INTO remark (key, order_key, kind, stars, store_stars, reason, text, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Key, o.Key, r.Kind, r.Stars, r.StoreStars, r.Reason, r.Text, tx.Now().UnixMilli()); err != nil {
		return err
	}
	evidence, err := tx.SealEvidence(remarks, `key = ?`, r.Key)
	if err != nil {
		return err
	}
	incident := ""
	if r.Incident != 0 {
		incident = tx.Names().Name(ident.Incident, r.Incident)
	}
	return event.Append(tx, &o.Chain, event.New{Type: "order." + r.Kind, Subject: o.Key, Merchant: o.Merchant, Store: o.Store,
		Data: remarked{r.Name(tx.Names()), r.Stars, r.StoreStars, r.Reason, utf8.RuneCountInString(r.Text), evidence, incident}})
}

const remarkColumns = `key, kind, stars, store_stars, reason, text, created_at`

type remarkRow struct {
	Key        int64
	Kind       string
	Stars      int
	StoreStars int `db:"store_stars"`
	Reason     string
	Text       string
	CreatedAt  int64 `db:"created_at"`
}

func (r remarkRow) remark() Remark {
	return Remark{Key: r.Key, Kind: r.Kind, Stars: r.Stars, StoreStars: r.StoreStars, Reason: r.Reason, Text: r.Text, CreatedAt: fromMs(r.CreatedAt)}
}

// LastRemark is the newest of a kind; ok is false when there is none.
func LastRemark(q db.Queryer, order int64, kind string) (r Remark, ok bool, err error) {
	var row remarkRow
	err = q.Get(&row, `SELECT `+remarkColumns+` FROM remark WHERE order_key = ? AND kind = ? ORDER BY key DESC LIMIT 1`, order, kind)
	if errors.Is(err, db.ErrNoRows) {
		return r, false, nil
	}
	return row.remark(), err == nil, err
}

// Remarks are all that was said about an order, oldest first.
func (b *Book) Remarks(ctx context.Context, order int64) ([]Remark, error) {
	var rows []remarkRow
	err := b.db.Read(ctx).Select(&rows, `SELECT `+remarkColumns+` FROM remark WHERE order_key = ? ORDER BY key`, order)
	if err != nil {
		return nil, err
	}
	out := make([]Remark, len(rows))
	for i, r := range rows {
		out[i] = r.remark()
	}
	return out, nil
}
