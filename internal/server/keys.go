package server

import (
	"net/http"

	"doorstep/internal/auth"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

type wireKey struct {
	ID        string    `json:"id"`
	Hint      string    `json:"hint"`
	Role      auth.Role `json:"role"`
	StoreID   *string   `json:"store_id"`
	Merchant  *string   `json:"merchant"`
	Name      *string   `json:"name"`
	LiveMode  bool      `json:"live_mode"`
	CreatedAt stamp     `json:"created_at"`
	ExpiresAt *stamp    `json:"expires_at"`
	RevokedAt *stamp    `json:"revoked_at"`
	UsedAt    *stamp    `json:"used_at"`
}

func (k *call) wireKey(i auth.KeyInfo) wireKey {
	w := wireKey{ID: k.names.Name(ident.Key, i.Key), Hint: i.Hint, Role: i.Role, Merchant: optional(i.MerchantName), Name: optional(i.Name),
		LiveMode: true, CreatedAt: stamp(i.CreatedAt), ExpiresAt: stampOf(i.ExpiresAt), RevokedAt: stampOf(i.RevokedAt), UsedAt: stampOf(i.UsedAt)}
	if i.Store != 0 {
		id := k.names.Name(ident.Store, i.Store)
		w.StoreID = &id
	}
	return w
}

func (k *call) createKey() error {
	var in struct {
		Role      string  `json:"role"`
		StoreID   *string `json:"store_id"`
		Merchant  string  `json:"merchant"`
		Name      string  `json:"name"`
		ExpiresAt *string `json:"expires_at"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	var f fault.Fields
	n := auth.NewKey{Role: auth.Role(in.Role), MerchantName: in.Merchant, Name: in.Name, ExpiresAt: instant(&f, "/expires_at", in.ExpiresAt)}
	if err := f.Err(); err != nil {
		return err
	}
	if in.StoreID != nil {
		s, err := k.storeByRef(*in.StoreID)
		if fault.KindOf(err) == fault.NotFound {
			return fault.InvalidField("/store_id", "unknown-store", "there is no such store")
		}
		if err != nil {
			return err
		}
		n.Store = s.Key
	}
	secret, info, err := k.Keys.Create(k.ctx, n)
	if err != nil {
		return err
	}
	type created struct {
		wireKey
		Key *string `json:"key"`
	}
	// What is stored for a repeat must not hold the secret.
	return k.replyOnce(http.StatusCreated, created{k.wireKey(info), nil}, created{k.wireKey(info), &secret})
}

func (k *call) listKeys() error {
	cursor, limit, err := k.page()
	if err != nil {
		return err
	}
	keys, next, err := k.Keys.List(k.ctx, cursor, limit)
	if err != nil {
		return err
	}
	out := make([]wireKey, len(keys))
	for i, info := range keys {
		out[i] = k.wireKey(info)
	}
	return k.reply(http.StatusOK, newList(k.names, out, next != 0, next))
}

func (k *call) revokeKey() error {
	key, err := k.key(ident.Key, "key")
	if err != nil {
		return err
	}
	if err := k.Keys.Revoke(k.ctx, key); err != nil {
		return err
	}
	info, err := k.Keys.Get(k.ctx, key)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, k.wireKey(info))
}

type wireMerchant struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	CreatedAt stamp  `json:"created_at"`
}

func (k *call) listMerchants() error {
	cursor, limit, err := k.page()
	if err != nil {
		return err
	}
	merchants, more, err := k.Keys.Merchants(k.ctx, cursor, limit)
	if err != nil {
		return err
	}
	out := make([]wireMerchant, len(merchants))
	var last int64
	for i, m := range merchants {
		out[i], last = wireMerchant{k.names.Name(ident.Merchant, m.Key), m.Name, stamp(m.CreatedAt)}, m.Key
	}
	return k.reply(http.StatusOK, newList(k.names, out, more, last))
}
