package order

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"doorstep/internal/db"
	"doorstep/internal/ident"
)

// Orders are found by their recipient's phone in two places: the newest are read through, the others are in
// order_phone, which a job writes.
//
//	newest ◄── walked, at most walkAtMost ──┤ search_done ├── order_phone: hour, MAC of the last digits ──► oldest
//
// The last phoneTail digits are what all spellings of a number have in common: +254 712 345678, 0712 345678
// and 712345678. Whether the rest fits, the order itself says.
const (
	phoneTail    = 7
	phonePurpose = "phone tail"
	phoneDone    = "order_phone"

	// takenAtOnce is how many orders one transaction takes in: a few milliseconds of the writer.
	takenAtOnce = 1000 // a multiple of together, see keepPhones
	// walkAtMost is how many of the newest orders are read through: a second's work.
	walkAtMost = 500_000
)

// walkEnd is the same for a few last digits, which no table holds; tests shorten it.
var walkEnd = 20_000

// Settled is how old an order's key is before it counts as the past: none that is made meanwhile, and waits for
// the writer, may come to lie before what was taken in.
const Settled = time.Minute

// PhoneQuery is a phone number as somebody typed it.
type PhoneQuery struct {
	digits string
	whole  bool // with the country's code: no other number ends like it
}

// ParsePhone reads a number in any common spelling: international with + or 00, or national, with blanks,
// dots, dashes, slashes and brackets, in any script's digits; also its last digits, at least 4. ok is false
// for anything else.
func ParsePhone(text string) (q PhoneQuery, ok bool) {
	var b strings.Builder
	text = strings.ReplaceAll(strings.TrimSpace(text), "(0)", "")
	for _, r := range text {
		switch d := digit(r); {
		case d >= 0:
			b.WriteByte(byte('0' + d))
		case r == '+' || r == '＋':
			if b.Len() > 0 || q.whole {
				return PhoneQuery{}, false
			}
			q.whole = true
		case unicode.IsSpace(r) || strings.ContainsRune("-.()/‐‑–\u200e\u200f\u202a\u202c", r):
		default:
			return PhoneQuery{}, false
		}
	}
	q.digits = b.String()
	if rest, found := strings.CutPrefix(q.digits, "00"); found && !q.whole && len(rest) >= phoneTail {
		q.digits, q.whole = rest, true
	}
	if n := len(q.digits); n < 4 || n > 17 || q.whole && n < phoneTail {
		return PhoneQuery{}, false
	}
	return q, true
}

// digit is the value of a decimal digit of the scripts that phones are typed in, or -1.
func digit(r rune) int {
	for _, zero := range []rune{'0', '０', '٠', '۰', '०', '০'} {
		if r >= zero && r <= zero+9 {
			return int(r - zero)
		}
	}
	return -1
}

// Fits reports whether the number may be phone, which is E.164.
func (q PhoneQuery) Fits(phone string) bool {
	has := strings.TrimPrefix(phone, "+")
	if q.whole {
		return has == q.digits
	}
	// A national number begins with a 0 that the international one does not have, or with an 8.
	return has != "" && (strings.HasSuffix(has, q.digits) || strings.HasSuffix(has, q.national()) ||
		len(q.digits) == 11 && q.digits[0] == '8' && strings.HasSuffix(has, q.digits[1:]))
}

func (q PhoneQuery) national() string {
	if n := strings.TrimLeft(q.digits, "0"); len(n) >= 4 {
		return n
	}
	return q.digits
}

// Few reports whether these are only the last digits of a number.
func (q PhoneQuery) Few() bool { return len(q.digits) < phoneTail }

// tail is what a number is kept under.
func (q PhoneQuery) tail() string { return q.digits[len(q.digits)-phoneTail:] }

// phoneMAC is what an order of this phone is kept under; ok is false for one without a number.
func phoneMAC(n *ident.Names, phone string) (mac int64, ok bool) {
	if len(phone) < phoneTail {
		return 0, false
	}
	return n.Digest(phonePurpose, phone[len(phone)-phoneTail:]), true
}

func hourOf(key int64) int64 { return ident.Time(key).Unix() / 3600 }

// TakePhones takes the phones of orders that were made since it last ran, and at least settle ago (see Settled),
// into order_phone, and returns how many orders it saw. While others wait for the writer it stops after
// takenAtOnce: at a peak orders come first, and it catches up afterwards. Running it twice, or on two processes,
// takes in nothing twice.
func (b *Book) TakePhones(ctx context.Context, settle time.Duration) (n int, err error) {
	before := ident.At(time.Now().Add(-settle))
	for {
		took, err := b.takeSome(ctx, before)
		if n += took; err != nil || took == 0 || b.db.Stats().Queue > 0 {
			return n, err
		}
	}
}

// AnyPhones reports whether TakePhones would find something.
func (b *Book) AnyPhones(ctx context.Context, settle time.Duration) (bool, error) {
	upto, err := b.phonesUpto(ctx)
	if err != nil {
		return false, err
	}
	var n int
	err = b.db.Read(ctx).Get(&n, `SELECT count(*) FROM (SELECT 1 FROM orders WHERE key > ? AND key < ? LIMIT 1) AS fresh`,
		upto, ident.At(time.Now().Add(-settle)))
	return n > 0, err
}

func (b *Book) phonesUpto(ctx context.Context) (upto int64, err error) {
	err = b.db.Read(ctx).Get(&upto, `SELECT upto FROM search_done WHERE name = ?`, phoneDone)
	return upto, err
}

type phoneRow struct {
	Key       int64
	Recipient string
}

// takeSome takes in the next orders; n is how many rows it saw.
func (b *Book) takeSome(ctx context.Context, before int64) (n int, err error) {
	upto, err := b.phonesUpto(ctx)
	if err != nil {
		return 0, err
	}
	var rows []phoneRow
	if err := b.db.Read(ctx).Select(&rows, `SELECT key, recipient FROM orders WHERE key > ? AND key < ? ORDER BY key LIMIT ?`,
		upto, before, takenAtOnce); err != nil || len(rows) == 0 {
		return 0, err
	}
	ready, err := b.phoneRows(rows)
	if err != nil {
		return 0, err
	}
	last := rows[len(rows)-1].Key
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		// Erase waits for this row too: what it forgets meanwhile, or has just forgotten, is not written down again.
		changed, err := tx.Exec(`UPDATE search_done SET upto = ? WHERE name = ? AND upto = ?`, last, phoneDone, upto)
		if err != nil || changed == 0 {
			return err // another process has taken them
		}
		var erased []int64
		if err := tx.Select(&erased, `SELECT key FROM orders WHERE key > ? AND key <= ? AND erased_at IS NOT NULL`, upto, last); err != nil {
			return err
		}
		return keepPhones(tx, slices.DeleteFunc(slices.Clone(ready), func(p keptPhone) bool { return slices.Contains(erased, p.order) }))
	})
	return len(rows), err
}

type keptPhone struct{ hour, mac, order int64 }

// keepPhones writes rows many at a time: on PostgreSQL each statement is a way to the server and back.
func keepPhones(tx *db.Tx, rows []keptPhone) error {
	const together = 100
	for len(rows) > 0 {
		n := together
		if len(rows) < together {
			n = 1 // few texts of statements, so that they stay prepared
		}
		args := make([]any, 0, 3*n)
		for _, r := range rows[:n] {
			args = append(args, r.hour, r.mac, r.order)
		}
		if _, err := tx.Exec(`INSERT INTO order_phone (hour, mac, order_key) VALUES (?, ?, ?)`+strings.Repeat(`, (?, ?, ?)`, n-1), args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// phoneRows are the rows of order_phone in the order of its key, so that those that share a page come together.
func (b *Book) phoneRows(rows []phoneRow) ([]keptPhone, error) {
	out := make([]keptPhone, 0, len(rows))
	for _, r := range rows {
		var p Recipient
		if err := p.parse(r.Recipient); err != nil {
			return nil, fmt.Errorf("order %d: recipient: %w", r.Key, err)
		}
		if mac, ok := phoneMAC(b.db.Names(), p.Phone); ok {
			out = append(out, keptPhone{hourOf(r.Key), mac, r.Key})
		}
	}
	slices.SortFunc(out, func(a, b keptPhone) int {
		if a.hour != b.hour {
			return int(a.hour - b.hour)
		}
		if a.mac != b.mac {
			if a.mac < b.mac {
				return -1
			}
			return 1
		}
		return 0
	})
	return out, nil
}

// forgetPhone takes an order that is being erased out of order_phone. The empty change has it wait for a
// TakePhones that is under way on PostgreSQL, or that one for it.
func forgetPhone(tx *db.Tx, o *Order) error {
	mac, ok := phoneMAC(tx.Names(), o.Recipient.Phone)
	if !ok {
		return nil
	}
	if _, err := tx.Exec(`UPDATE search_done SET upto = upto WHERE name = ?`, phoneDone); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM order_phone WHERE hour = ? AND mac = ? AND order_key = ?`, hourOf(o.Key), mac, o.Key)
	return err
}

// inHours walks the hours there are, newest first, and looks for the MAC in each: CROSS holds SQLite to that order,
// whatever it knows of the tables.
const inHours = `WITH RECURSIVE hours (hour) AS (
		SELECT max(hour) FROM order_phone
		UNION ALL SELECT (SELECT max(p.hour) FROM order_phone p WHERE p.hour < h.hour) FROM hours h WHERE h.hour IS NOT NULL)
	SELECT p.order_key FROM hours h CROSS JOIN order_phone p WHERE p.hour = h.hour AND p.mac = ? LIMIT ?`

// WithPhone are orders of the recipient with a phone number, newest first and at most limit; merchant narrows
// to those of one, 0 does not. all is false when there may be more: too many, or too new and too many to read
// through. Of only a few digits the newest orders, or the merchant's newest, are asked.
func (b *Book) WithPhone(ctx context.Context, q PhoneQuery, merchant int64, limit int) (found []Order, all bool, err error) {
	keys, all, err := b.phoneKeys(ctx, q, merchant, 8*limit)
	if err != nil {
		return nil, false, err
	}
	for len(keys) > 0 && len(found) < limit {
		some, err := loadSome(b.db.Read(ctx), keys[:min(len(keys), limit)])
		if err != nil {
			return nil, false, err
		}
		for _, o := range some {
			if o.ErasedAt == nil && q.Fits(o.Recipient.Phone) && (merchant == 0 || o.Merchant == merchant) {
				found = append(found, o)
			}
		}
		keys = keys[min(len(keys), limit):]
	}
	if len(found) > limit || len(keys) > 0 {
		all = false
	}
	return found[:min(len(found), limit)], all, nil
}

// phoneKeys are orders whose phone may fit, newest first. A merchant's new orders are walked by themselves: in a
// peak the newest of all are hardly ever its own, and no merchant has a second's work done for each question.
func (b *Book) phoneKeys(ctx context.Context, q PhoneQuery, merchant int64, limit int) (keys []int64, all bool, err error) {
	upto, most := int64(0), walkEnd
	if !q.Few() {
		most = walkAtMost
		if upto, err = b.phonesUpto(ctx); err != nil {
			return nil, false, err
		}
	}
	end := q.digits
	if !q.Few() {
		end = q.tail()
	}
	var newest where
	newest.and("key > ?", upto)
	if merchant != 0 {
		newest.and("merchant_key = ?", merchant)
	}
	var fresh []int64
	if err := b.db.Read(ctx).Select(&fresh, `SELECT key FROM (SELECT key, recipient FROM orders`+newest.String()+` ORDER BY key DESC LIMIT ?) AS newest
		WHERE recipient LIKE ? ORDER BY key DESC LIMIT ?`, append(newest.args, most, `%`+end+`"%`, limit)...); err != nil {
		return nil, false, err
	}
	if all, err = b.walked(ctx, &newest, most); err != nil || q.Few() {
		return fresh, all && len(fresh) < limit, err
	}
	mac, _ := phoneMAC(b.db.Names(), q.tail())
	var kept []int64
	if err := b.db.Read(ctx).Select(&kept, inHours, mac, limit); err != nil {
		return nil, false, err
	}
	all = all && len(kept) < limit && len(fresh) < limit
	keys = append(fresh, kept...)
	slices.SortFunc(keys, func(a, b int64) int {
		if a > b {
			return -1
		}
		return 1
	})
	return slices.Compact(keys), all, nil
}

// walked reports whether a walk over at most most of the newest orders sees them all.
func (b *Book) walked(ctx context.Context, newest *where, most int) (bool, error) {
	var key int64
	err := b.db.Read(ctx).Get(&key, `SELECT key FROM orders`+newest.String()+` ORDER BY key DESC LIMIT 1 OFFSET ?`, append(newest.args, most)...)
	if errors.Is(err, db.ErrNoRows) {
		return true, nil
	}
	return false, err
}

// loadSome are orders by their keys, newest first.
func loadSome(q db.Queryer, keys []int64) ([]Order, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	args := make([]any, len(keys))
	for i, k := range keys {
		args[i] = k
	}
	return loadAll(q, `SELECT `+orderColumns+` FROM orders WHERE key IN (?`+strings.Repeat(`, ?`, len(keys)-1)+`) ORDER BY key DESC`, args...)
}
