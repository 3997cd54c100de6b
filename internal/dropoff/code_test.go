package dropoff

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/internal/fault"
	"doorstep/internal/order"
)

// told is how many events of a type the log has about an order.
func (w *town) told(key int64, typ string) (n int) {
	w.t.Helper()
	ok(w.t, w.d.Read(w.t.Context()).Get(&n, `SELECT count(*) FROM event WHERE subject = ? AND type = ?`, key, typ))
	return n
}

// lock tries five wrong codes at the counter of an order that waits there.
func (w *town) lock(key int64) {
	w.t.Helper()
	o := w.load(key)
	for left := order.MaxCodeTries - 1; left >= 0; left-- {
		_, err := w.book.Collect(w.t.Context(), key, wrong(o.CollectionCode(w.d.Names())), time.Time{})
		wantField(w.t, err, "/code", WrongCode)
		said := []string{"the order is locked", "1 try is left", "2 tries are left", "3 tries are left", "4 tries are left"}[left]
		if f := fault.As(err); !strings.HasSuffix(f.Fields[0].Detail, said) {
			w.t.Errorf("with %d left: %s", left, f.Fields[0].Detail)
		}
	}
}

// kept is an order that waits at the counter.
func (w *town) kept() int64 {
	w.t.Helper()
	key := w.order(func(o *order.Order) { o.Mode = order.CollectAtStore })
	for _, s := range []step{w.book.Ready, w.book.Receive} {
		_, err := s(w.t.Context(), key, time.Time{})
		ok(w.t, err)
	}
	return key
}

func TestALockedCodeIsUnlockedWithNewOnes(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.kept()
		before := w.load(key)
		if o, err := w.book.UnlockCode(t.Context(), key); err != nil || o.Version != before.Version || w.told(key, "order.code_unlocked") != 0 {
			t.Errorf("unlocking what is not locked: version %d to %d, %v", before.Version, o.Version, err)
		}
		w.lock(key)
		if o := w.load(key); !o.CodeLocked() || w.told(key, "order.code_refused") != 5 || w.told(key, "order.code_locked") != 1 {
			t.Errorf("%d tries, told %d times", o.CodeTries, w.told(key, "order.code_locked"))
		}
		// The count is the order's, not the process's.
		w.book = NewBook(w.d)
		old := before.CollectionCode(w.d.Names())
		_, err := w.book.Collect(t.Context(), key, old, time.Time{})
		wantConflict(t, err, "code-locked", w.load(key).Status.Allowed()...)
		if o := w.load(key); o.CodeTries != 5 || w.told(key, "order.code_refused") != 5 {
			t.Errorf("a try at a locked order counts: %d", o.CodeTries)
		}

		var opened order.Order
		for range 2 {
			opened, err = w.book.UnlockCode(t.Context(), key)
			ok(t, err)
		}
		if opened.CodeLocked() || opened.CodeVersion != 1 || w.told(key, "order.code_unlocked") != 1 {
			t.Errorf("unlocked twice: %+v, told %d times", opened.CodeVersion, w.told(key, "order.code_unlocked"))
		}
		fresh := opened.CollectionCode(w.d.Names())
		if fresh == old || opened.PIN(w.d.Names()) == before.PIN(w.d.Names()) && opened.CollectionCode(w.d.Names()) == old {
			t.Error("the codes are the old ones")
		}
		_, err = w.book.Collect(t.Context(), key, old, time.Time{})
		wantField(t, err, "/code", WrongCode)
		o, err := w.book.Collect(t.Context(), key, fresh, time.Time{})
		ok(t, err)
		if o.Status != order.Collected || o.CodeLocked() {
			t.Errorf("%s", o.Status)
		}
		if _, err := w.book.UnlockCode(t.Context(), 4711); fault.KindOf(err) != fault.NotFound {
			t.Errorf("unlocking nothing: %v", err)
		}
	})
}

// Whoever carries a parcel to and fro gets no tries by it: the door's and the counter's count together.
func TestTriesAtTheDoorAndAtTheCounterCountTogether(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order(attended)
		w.outForDelivery(key)
		for range 3 {
			w.report(w.now(key, HandedOver, pinned(wrong(w.pin(key)))))
		}
		w.mustRecord(w.now(key, Failed, because("customer_unavailable")))
		_, err := w.book.Receive(t.Context(), key, time.Time{})
		ok(t, err)
		o := w.load(key)
		for range 2 {
			_, err := w.book.Collect(t.Context(), key, wrong(o.CollectionCode(w.d.Names())), time.Time{})
			wantField(t, err, "/code", WrongCode)
		}
		_, err = w.book.Collect(t.Context(), key, o.CollectionCode(w.d.Names()), time.Time{})
		wantConflict(t, err, "code-locked", w.load(key).Status.Allowed()...)
	})
}

// A phone that was offline for a night tells the PINs it was told then: they count as tries now.
func TestAPINFromAnOfflinePhoneIsATry(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		key := w.order(attended)
		w.outForDelivery(key)
		at := w.now(key, HandedOver, pinned(wrong(w.pin(key))))
		right := w.now(key, HandedOver, pinned(w.pin(key)))
		w.clock.Advance(8 * time.Hour)
		wantField(t, w.report(at)[0].Err, "/pin", WrongPIN)
		if o := w.load(key); o.CodeTries != 1 {
			t.Errorf("%d tries", o.CodeTries)
		}
		w.mustRecord(right)
	})
}

// However many guess at once, five are listened to.
func TestFiftyGuessesAtOnceAreFiveTries(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		counter, door := w.kept(), w.order(attended)
		w.outForDelivery(door)
		events := make([]Event, 50)
		for i := range events {
			events[i] = w.now(door, HandedOver, pinned(wrong(w.pin(door))))
		}
		kept := w.load(counter)
		for name, guess := range map[string]func(i int) error{
			WrongCode: func(int) error {
				_, err := w.book.Collect(t.Context(), counter, wrong(kept.CollectionCode(w.d.Names())), time.Time{})
				return err
			},
			WrongPIN: func(i int) error {
				r, err := w.book.Record(t.Context(), events[i:i+1])
				if err != nil {
					return err
				}
				return r[0].Err
			},
		} {
			var heard, refused atomic.Int64
			var wg sync.WaitGroup
			for i := range events {
				wg.Go(func() {
					switch err := guess(i); {
					case fault.Code(err) == "code-locked":
						refused.Add(1)
					case fault.KindOf(err) == fault.Invalid && fault.As(err).Fields[0].Code == name:
						heard.Add(1)
					default:
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			wg.Wait()
			if heard.Load() != order.MaxCodeTries || refused.Load() != 45 {
				t.Errorf("%s: %d tries were listened to, %d refused", name, heard.Load(), refused.Load())
			}
		}
		for _, key := range []int64{counter, door} {
			if o := w.load(key); o.CodeTries != order.MaxCodeTries || w.told(key, "order.code_locked") != 1 {
				t.Errorf("%d tries are kept, locked %d times", o.CodeTries, w.told(key, "order.code_locked"))
			}
		}
	})
}

// Each unlocking makes codes that tell nothing about those before; orders of before there was a version keep theirs.
func TestCodesDifferByVersion(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		n := w.d.Names()
		o := w.load(w.order())
		if o.PIN(n) != n.Digits("pin", o.Key, 4) || o.CollectionCode(n) != n.Digits("collect", o.Key, 6) {
			t.Error("the codes that customers hold have changed")
		}
		pins, codes := map[string]bool{}, map[string]bool{}
		for o.CodeVersion = 0; o.CodeVersion < 200; o.CodeVersion++ {
			pins[o.PIN(n)], codes[o.CollectionCode(n)] = true, true
		}
		if len(pins) < 180 || len(codes) < 195 { // by chance a few are alike
			t.Errorf("%d PINs and %d codes of 200 versions", len(pins), len(codes))
		}
	})
}
