package event

import "testing"

func TestWhatIsAnAct(t *testing.T) {
	for _, c := range []struct {
		actor, typ string
		act        bool
	}{
		{"user:usr_1", "order.cancelled", true},
		{"user:usr_1", "order.confirmed", false}, // comes with the order that was given to another store
		{"user:usr_1", "custody.moved", false},
		{"user:usr_1", "exception.closed", true},
		{"user:usr_1", "prestock.cancelled", false}, // thousands with one campaign
		{"key:key_1", "order.created", false},
		{"key:key_1", "order.reassigned", true},
		{"key:key_1", "store.updated", true},
		{"key:key_1", "store.stock_counted", false},
		{"key:key_1", "prestock.acknowledged", false},
		{"command-line", "key.created", true},
		{"first-link", "account.created", true},
		{"pairing-code", "device.paired", true},
		{"device:dev_1", "order.picked_up", false},
		{"device:dev_1", "store.paused", false},
		{"system", "campaign.finished", false},
		{"customer", "order.disputed", false},
	} {
		a := actOf(c.actor, c.typ, 7)
		if (a != nil) != c.act {
			t.Errorf("%s %s: %v", c.actor, c.typ, a)
		}
	}
	if n := testing.AllocsPerRun(10, func() { actOf("key:key_1", "order.created", 7) }); n != 0 {
		t.Errorf("an order costs %v allocations", n)
	}
}

func BenchmarkNoAct(b *testing.B) {
	for b.Loop() {
		actOf("key:key_0123456789abcdefghjkmnpq", "order.created", 7)
	}
}
