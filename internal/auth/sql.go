package auth

import (
	"time"

	"doorstep/internal/db"
	"doorstep/internal/event"
)

type keyRow struct {
	Key          int64
	Hint         string
	Name         string
	Role         string
	Store        int64  `db:"store_key"`
	Merchant     int64  `db:"merchant_key"`
	MerchantName string `db:"merchant_name"`
	CreatedAt    int64  `db:"created_at"`
	ExpiresAt    *int64 `db:"expires_at"`
	RevokedAt    *int64 `db:"revoked_at"`
	UsedAt       *int64 `db:"used_at"`
	event.Chain
}

const selectKey = `SELECT k.key, k.hint, k.name, k.role, k.store_key, k.merchant_key, coalesce(m.name, '') AS merchant_name,
	k.created_at, k.expires_at, k.revoked_at, k.used_at, k.last_event, k.event_count
	FROM api_key k LEFT JOIN merchant m ON m.key = k.merchant_key `

func byHash(q db.Queryer, hash string) (r keyRow, err error) {
	err = q.Get(&r, selectKey+`WHERE k.hash = ?`, hash)
	return r, err
}

func byKey(q db.Queryer, key int64) (r keyRow, err error) {
	err = q.Get(&r, selectKey+`WHERE k.key = ?`, key)
	return r, err
}

func before(q db.Queryer, cursor int64, limit int) (rows []keyRow, err error) {
	if cursor == 0 {
		cursor = 1<<63 - 1
	}
	err = q.Select(&rows, selectKey+`WHERE k.key < ? ORDER BY k.key DESC LIMIT ?`, cursor, limit)
	return rows, err
}

// among reads the rows of few keys; query holds IN (?).
func among(q db.Queryer, dest any, query string, keys []int64) error {
	if len(keys) == 0 {
		return nil
	}
	query, args, err := db.In(query, keys)
	if err != nil {
		return err
	}
	return q.Select(dest, query, args...)
}

func insertKey(tx *db.Tx, k KeyInfo, hash string, c event.Chain) error {
	var expires *int64
	if k.ExpiresAt != nil {
		ms := k.ExpiresAt.UnixMilli()
		expires = &ms
	}
	_, err := tx.Exec(`INSERT INTO api_key (key, hash, hint, name, role, store_key, merchant_key, created_at, expires_at, last_event, event_count)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		k.Key, hash, k.Hint, k.Name, string(k.Role), k.Store, k.Merchant, k.CreatedAt.UnixMilli(), expires, c.Last, c.Count)
	return err
}

func merchantName(q db.Queryer, key int64) (name string, err error) {
	err = q.Get(&name, `SELECT name FROM merchant WHERE key = ?`, key)
	return name, err
}

func (r keyRow) info() KeyInfo {
	return KeyInfo{Key: r.Key, Hint: r.Hint, Name: r.Name, Role: Role(r.Role), Store: r.Store, Merchant: r.Merchant,
		MerchantName: r.MerchantName, CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), ExpiresAt: at(r.ExpiresAt), RevokedAt: at(r.RevokedAt), UsedAt: at(r.UsedAt)}
}

func at(ms *int64) *time.Time {
	if ms == nil {
		return nil
	}
	t := time.UnixMilli(*ms).UTC()
	return &t
}
