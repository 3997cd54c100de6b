package server

import (
	"net/http"

	"doorstep/internal/auth"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/web"
)

type wireAccount struct {
	ID         string    `json:"id"`
	Login      string    `json:"login"`
	Name       string    `json:"name"`
	Role       auth.Role `json:"role"`
	Status     string    `json:"status"`
	CreatedAt  stamp     `json:"created_at"`
	DisabledAt *stamp    `json:"disabled_at"`
}

func (k *call) wireAccount(a auth.Account) wireAccount {
	w := wireAccount{ID: k.names.Name(ident.Account, a.Key), Login: a.Login, Name: a.Name, Role: a.Role, Status: "active",
		CreatedAt: stamp(a.CreatedAt), DisabledAt: stampOf(a.DisabledAt)}
	switch {
	case a.DisabledAt != nil:
		w.Status = "disabled"
	case !a.Ready:
		w.Status = "invited"
	}
	return w
}

// wireInvited is an account with the link that its person chooses a password by; null in a replay.
type wireInvited struct {
	wireAccount
	InviteURL       *string `json:"invite_url"`
	InviteExpiresAt *stamp  `json:"invite_expires_at"`
}

func (k *call) invited(status int, a auth.Account, l auth.Link) error {
	url := k.publicURL(k.r) + setUpPath + l.Token
	return k.replyOnce(status, wireInvited{k.wireAccount(a), nil, nil}, wireInvited{k.wireAccount(a), &url, stampOf(&l.ExpiresAt)})
}

// replyOnce answers with shown, and has a repeat of the request answered with kept, which holds nothing
// secret.
func (k *call) replyOnce(status int, kept, shown any) error {
	if r := k.repeat; r != nil {
		if err := k.reply(status, kept); err != nil {
			return err
		}
		// It is done: whatever becomes of the repeat, its secret is shown now or never.
		if err := k.keep(r); err != nil {
			k.log().Warn("the answer is not kept for repeats", "error", err)
		}
		r.stored = true
	}
	return k.reply(status, shown)
}

func (k *call) createAccount() error {
	var in struct {
		Login string `json:"login"`
		Name  string `json:"name"`
		Role  string `json:"role"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	a, l, err := k.Keys.CreateAccount(k.ctx, auth.NewAccount{Login: in.Login, Name: in.Name, Role: auth.Role(in.Role)})
	if err != nil {
		return err
	}
	return k.invited(http.StatusCreated, a, l)
}

func (k *call) listAccounts() error {
	cursor, limit, err := k.page()
	if err != nil {
		return err
	}
	accounts, next, err := k.Keys.Accounts(k.ctx, cursor, limit)
	if err != nil {
		return err
	}
	out := make([]wireAccount, len(accounts))
	for i, a := range accounts {
		out[i] = k.wireAccount(a)
	}
	return k.reply(http.StatusOK, newList(k.names, out, next != 0, next))
}

func (k *call) getAccount() error {
	return k.onAccount(func(key int64) (auth.Account, error) { return k.Keys.Account(k.ctx, key) })
}

// onAccount does something about the account of the path and shows it.
func (k *call) onAccount(f func(key int64) (auth.Account, error)) error {
	key, err := k.key(ident.Account, "account")
	if err != nil {
		return err
	}
	a, err := f(key)
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, k.wireAccount(a))
}

func (k *call) inviteAccount() error {
	key, err := k.key(ident.Account, "account")
	if err != nil {
		return err
	}
	l, err := k.Keys.Invite(k.ctx, key)
	if err != nil {
		return err
	}
	a, err := k.Keys.Account(k.ctx, key)
	if err != nil {
		return err
	}
	return k.invited(http.StatusOK, a, l)
}

func (k *call) setAccountRole() error {
	var in struct {
		Role string `json:"role"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	return k.onAccount(func(key int64) (auth.Account, error) { return k.Keys.SetRole(k.ctx, key, auth.Role(in.Role)) })
}

func (k *call) disableAccount() error {
	return k.onAccount(func(key int64) (auth.Account, error) { return k.Keys.Disable(k.ctx, key) })
}

func (k *call) enableAccount() error {
	return k.onAccount(func(key int64) (auth.Account, error) { return k.Keys.Enable(k.ctx, key) })
}

func (k *call) signOutAccount() error {
	return k.onAccount(func(key int64) (auth.Account, error) { return k.Keys.SignOut(k.ctx, key) })
}

// ---- sessions and phones

type wireSession struct {
	ID        string `json:"id"`
	Browser   string `json:"browser"`
	Current   bool   `json:"current"`
	CreatedAt stamp  `json:"created_at"`
	SeenAt    stamp  `json:"seen_at"`
	ExpiresAt stamp  `json:"expires_at"`
}

// listSessions are the caller's own; a key has none.
func (k *call) listSessions() error {
	cursor, limit, err := k.page()
	if err != nil {
		return err
	}
	sessions, next, err := k.Keys.Sessions(k.ctx, k.who.Account, cursor, limit)
	if err != nil {
		return err
	}
	out := make([]wireSession, len(sessions))
	for i, s := range sessions {
		out[i] = wireSession{k.names.Name(ident.Session, s.Key), s.Name, s.Key == k.who.Session, stamp(s.CreatedAt), stamp(s.SeenAt), stamp(s.ExpiresAt)}
	}
	return k.reply(http.StatusOK, newList(k.names, out, next != 0, next))
}

func (k *call) revokeSession() error {
	key, err := k.key(ident.Session, "session")
	if err != nil {
		return err
	}
	s, err := k.Keys.SessionOf(k.ctx, key, "session")
	if err != nil {
		return err
	}
	if s.Account == 0 || s.Account != k.who.Account && k.who.Role != auth.RoleAdmin {
		return fault.Missing("session")
	}
	if err := k.Keys.EndSession(k.ctx, key); err != nil {
		return err
	}
	return k.reply(http.StatusOK, map[string]any{"id": k.names.Name(ident.Session, key), "ended": true})
}

func (k *call) changePassword() error {
	var in struct {
		Current  string `json:"current_password"`
		Password string `json:"password"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	if k.who.Account == 0 {
		return fault.Refused("no-account", nil, "a key has no password: sign in")
	}
	if err := k.Keys.ChangePassword(k.ctx, k.who.Account, k.who.Session, in.Current, in.Password); err != nil {
		return err
	}
	return k.me()
}

func (k *call) me() error {
	out := wireMe{Role: k.who.Role, Name: optional(k.who.Name), LiveMode: k.who.Live}
	id := k.who.ID
	switch {
	case k.who.Account != 0:
		out.AccountID = &id
	case k.who.Session != 0:
		out.DeviceID = &id
	default:
		info, err := k.Keys.Get(k.ctx, k.who.Key)
		if err != nil {
			return err
		}
		out.KeyID, out.Merchant, out.ExpiresAt = &id, optional(info.MerchantName), stampOf(info.ExpiresAt)
	}
	if k.who.Store != 0 {
		store := k.names.Name(ident.Store, k.who.Store)
		out.StoreID = &store
	}
	if k.who.Session != 0 {
		s, err := k.Keys.SessionOf(k.ctx, k.who.Session, "session")
		if err != nil {
			return err
		}
		out.ExpiresAt = stampOf(&s.ExpiresAt)
	}
	return k.reply(http.StatusOK, out)
}

type wireMe struct {
	Role      auth.Role `json:"role"`
	KeyID     *string   `json:"key_id"`
	AccountID *string   `json:"account_id"`
	DeviceID  *string   `json:"device_id"`
	Name      *string   `json:"name"`
	StoreID   *string   `json:"store_id"`
	Merchant  *string   `json:"merchant"`
	LiveMode  bool      `json:"live_mode"`
	ExpiresAt *stamp    `json:"expires_at"`
}

type wireDevice struct {
	ID        string `json:"id"`
	StoreID   string `json:"store_id"`
	Name      string `json:"name"`
	Current   bool   `json:"current"`
	PairedAt  stamp  `json:"paired_at"`
	SeenAt    stamp  `json:"seen_at"`
	ExpiresAt stamp  `json:"expires_at"`
	RevokedAt *stamp `json:"revoked_at"`
}

func (k *call) wireDevice(s auth.Session) wireDevice {
	return wireDevice{k.names.Name(ident.Device, s.Key), k.names.Name(ident.Store, s.Store), s.Name, s.Key == k.who.Session,
		stamp(s.CreatedAt), stamp(s.SeenAt), stamp(s.ExpiresAt), stampOf(s.RevokedAt)}
}

func (k *call) createPairingCode() error {
	s, err := k.theStore()
	if err != nil {
		return err
	}
	p, err := k.Keys.NewPairingCode(k.ctx, s.Key)
	if err != nil {
		return err
	}
	return k.pairingCode(p)
}

// pair makes the phone that sends a code the store's, by a cookie.
func (k *call) pair() error {
	if err := k.sameOrigin(); err != nil {
		return err
	}
	var in struct {
		Code       string `json:"code"`
		DeviceName string `json:"device_name"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	if !k.maySignIn() {
		return fault.Refused("https-needed", nil, "over plain HTTP no phone is paired: open this address with https")
	}
	token, s, err := k.Keys.Pair(k.ctx, in.Code, in.DeviceName, k.r.Header.Get("Idempotency-Key"), k.c.RealIP())
	if err != nil {
		return err
	}
	k.setToken(token, auth.DeviceLife)
	w := k.wireDevice(s)
	w.Current = true
	return k.reply(http.StatusCreated, w)
}

func (k *call) listDevices() error {
	s, err := k.theStore()
	if err != nil {
		return err
	}
	cursor, limit, err := k.page()
	if err != nil {
		return err
	}
	devices, next, err := k.Keys.Devices(k.ctx, s.Key, cursor, limit)
	if err != nil {
		return err
	}
	out := make([]wireDevice, len(devices))
	for i, d := range devices {
		out[i] = k.wireDevice(d)
	}
	return k.reply(http.StatusOK, newList(k.names, out, next != 0, next))
}

func (k *call) revokeDevice() error {
	key, err := k.key(ident.Device, "device")
	if err != nil {
		return err
	}
	s, err := k.Keys.SessionOf(k.ctx, key, "device")
	if err != nil {
		return err
	}
	if s.Store == 0 || k.who.Role == auth.RoleStore && s.Store != k.who.Store {
		return fault.Missing("device")
	}
	if err := k.Keys.EndSession(k.ctx, key); err != nil {
		return err
	}
	if s, err = k.Keys.SessionOf(k.ctx, key, "device"); err != nil {
		return err
	}
	if key == k.who.Session {
		k.setToken("", 0)
	}
	return k.reply(http.StatusOK, k.wireDevice(s))
}

// pairingCode answers with a code and with the ways to hand it over.
func (k *call) pairingCode(p auth.PairingCode) error {
	w := wireCode{ExpiresAt: stamp(p.ExpiresAt)}
	kept := w
	code := p.Code[:len(p.Code)/2] + "-" + p.Code[len(p.Code)/2:] // as people read it out
	// Behind #, where no server, no proxy and no log sees it.
	url := k.publicURL(k.r) + "/store/#pair=" + p.Code
	qr, err := web.QR(url)
	if err != nil {
		return err
	}
	w.Code, w.URL, w.QR = &code, &url, &qr
	return k.replyOnce(http.StatusCreated, kept, w)
}

type wireCode struct {
	Code      *string `json:"code"`
	URL       *string `json:"url"`
	QR        *string `json:"qr_svg"`
	ExpiresAt stamp   `json:"expires_at"`
}
