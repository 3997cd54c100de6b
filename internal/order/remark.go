package order

import (
	"context"
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
var mostRemarks = map[string]int{Rated: 5, Disputed: 5, MessageReceived: 50}

// remarkPrefix begins a remark's name outside.
const remarkPrefix = "rmk"

// Remark is something the customer said. Of several ratings the latest counts; none is deleted.
type Remark struct {
	Key       int64
	Kind      string
	Stars     int    // of a rating, else 0
	Reason    string // of a dispute, else ""
	Text      string
	CreatedAt time.Time
}

// Name is what the remark is called outside.
func (r *Remark) Name(n *ident.Names) string { return n.Name(remarkPrefix, r.Key) }

// remarked is what the log says of a remark. People write phone numbers into their texts, and nothing
// is ever taken out of the log: so no text goes in.
type remarked struct {
	ID     string `json:"remark_id"`
	Stars  int    `json:"stars,omitempty"`
	Reason string `json:"reason,omitempty"`
	Length int    `json:"length"` // of the text, in characters
}

// Remark keeps something the customer said.
//
// Errors: fault.Conflict too-many when the order has as many of its kind as it may.
func (b *Book) Remark(ctx context.Context, key int64, r Remark) (Order, error) {
	return b.change(ctx, key, func(tx *db.Tx, o *Order) (bool, error) {
		var n int
		if err := tx.Get(&n, `SELECT count(*) FROM remark WHERE order_key = ? AND kind = ?`, o.Key, r.Kind); err != nil {
			return false, err
		}
		if most := mostRemarks[r.Kind]; n >= most {
			return false, fault.Refused("too-many", nil, "an order takes %d of these; call the shop instead", most)
		}
		r.Key = tx.NewKey()
		if _, err := tx.Exec(`INSERT INTO remark (key, order_key, kind, stars, reason, text, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			r.Key, o.Key, r.Kind, r.Stars, r.Reason, r.Text, tx.Now().UnixMilli()); err != nil {
			return false, err
		}
		return true, event.Append(tx, &o.Chain, event.New{Type: "order." + r.Kind, Subject: o.Key, Merchant: o.Merchant, Store: o.Store,
			Data: remarked{r.Name(tx.Names()), r.Stars, r.Reason, utf8.RuneCountInString(r.Text)}})
	})
}

// Remarks are all that was said about an order, oldest first.
func (b *Book) Remarks(ctx context.Context, order int64) ([]Remark, error) {
	var rows []struct {
		Key       int64
		Kind      string
		Stars     int
		Reason    string
		Text      string
		CreatedAt int64 `db:"created_at"`
	}
	err := b.db.Read(ctx).Select(&rows, `SELECT key, kind, stars, reason, text, created_at FROM remark WHERE order_key = ? ORDER BY key`, order)
	if err != nil {
		return nil, err
	}
	out := make([]Remark, len(rows))
	for i, r := range rows {
		out[i] = Remark{r.Key, r.Kind, r.Stars, r.Reason, r.Text, fromMs(r.CreatedAt)}
	}
	return out, nil
}
