package server

import (
	"net/http"

	"doorstep/internal/notify"
)

// Browsers and phones that a store is told on.

const subscriptionPrefix = "psh"

type wireSubscription struct {
	ID          string `json:"id"`
	Endpoint    string `json:"endpoint"`
	CreatedAt   stamp  `json:"created_at"`
	DeliveredAt *stamp `json:"delivered_at"`
	Version     int64  `json:"version"`
}

func (k *call) subscriptionOut(s *notify.Subscription) wireSubscription {
	return wireSubscription{k.names.Name(subscriptionPrefix, s.Key), s.Endpoint, stamp(s.CreatedAt), stampOf(s.DeliveredAt), s.Version}
}

func (k *call) pushKey() error {
	return k.reply(http.StatusOK, map[string]string{"public_key": k.Notify.PushKey()})
}

func (k *call) putSubscription() error {
	var in struct {
		Endpoint string `json:"endpoint"`
		Keys     struct {
			P256dh string `json:"p256dh"`
			Auth   string `json:"auth"`
		} `json:"keys"`
	}
	if err := k.decode(&in); err != nil {
		return err
	}
	s, created, err := k.Notify.Subscribe(k.ctx, k.who.Store, in.Endpoint, in.Keys.P256dh, in.Keys.Auth)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	k.etag(s.Version)
	return k.reply(status, k.subscriptionOut(&s))
}

func (k *call) listSubscriptions() error {
	list, err := k.Notify.Subscriptions(k.ctx, k.who.Store)
	if err != nil {
		return err
	}
	out := make([]wireSubscription, len(list))
	for i := range list {
		out[i] = k.subscriptionOut(&list[i])
	}
	return k.reply(http.StatusOK, newList(k.names, out, false, 0))
}

func (k *call) deleteSubscription() error {
	key, err := k.key(subscriptionPrefix, "subscription")
	if err != nil {
		return err
	}
	version, err := k.ifMatch()
	if err != nil {
		return err
	}
	if err := k.Notify.Unsubscribe(k.ctx, k.who.Store, key, version); err != nil {
		return err
	}
	return k.c.NoContent(http.StatusNoContent)
}
