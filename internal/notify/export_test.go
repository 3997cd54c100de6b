package notify

import (
	"net/netip"
	"time"
)

func Public(ip netip.Addr) bool { return public(ip) }

// Again is the state and the moment of the next try.
func Again(tries int, now, until time.Time, asked time.Duration, luck float64) (string, time.Time) {
	e := again(tries, now, until, asked, "", luck)
	return e.state, e.next
}

const MaxTries = maxTries

// Usable says what is wrong with a subscription on a server that reaches public addresses only.
func Usable(endpoint, p256dh, auth string) error {
	_, err := (&push{}).check(endpoint, p256dh, auth)
	return err
}
