package order

import (
	"testing"
	"time"
)

// An order whose code is locked is a dispatcher's until it is unlocked, wherever the code was asked for.
func TestALockedCodeIsTheDispatchersStep(t *testing.T) {
	for status, usual := range map[Status]string{EnrouteDropoff: DoArrive, ArrivedDropoff: DoFinish, ReceivedAtStore: DoCollect} {
		o := Order{Status: status, Holder: HeldByRunner, Store: 1, CreatedAt: noon}
		if status == ReceivedAtStore {
			o.Holder, o.HolderStore = HeldByStore, 1
		}
		for left := MaxCodeTries - 1; left >= 0; left-- {
			if s := NextStep(&o, UsualPolicy); s.Do != usual || o.CodeLocked() {
				t.Errorf("%s before the last try: %+v", status, s)
			}
			if got := o.WrongCode(noon.Add(time.Hour)); got != left {
				t.Errorf("%d tries are left, want %d", got, left)
			}
		}
		if s := NextStep(&o, UsualPolicy); s.Do != DoUnlock || s.Who != ByDispatcher || !s.By.Equal(noon.Add(time.Hour+stepUnlock)) {
			t.Errorf("%s and locked: %+v", status, s)
		}
		o.UnlockCode(noon.Add(2 * time.Hour))
		if s := NextStep(&o, UsualPolicy); s.Do != usual || o.CodeVersion != 1 {
			t.Errorf("%s and unlocked: %+v", status, s)
		}
	}
}
