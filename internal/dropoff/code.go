package dropoff

import (
	"context"
	"crypto/subtle"
	"strconv"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
	"doorstep/internal/order"
)

// A code proves that the customer is there, so a wrong one is never free: it is counted on the order, at the
// door and at the counter together, until somebody of the network looks into it and unlocks it with a code
// that is new. Whoever guesses across orders, the server holds back.

// code is what the customer says at one place.
type code struct {
	of             func(*order.Order, *ident.Names) string
	pointer, wrong string // of the refusal
	event          string // that tells of a wrong try
}

var (
	pinCode        = code{(*order.Order).PIN, "/pin", WrongPIN, "dropoff.pin_refused"}
	collectionCode = code{(*order.Order).CollectionCode, "/code", WrongCode, "order.code_refused"}
)

// Codes of the refusals of a wrong try.
const (
	WrongPIN  = "wrong-pin"
	WrongCode = "wrong-code"
)

// try compares what somebody said with the code of o. A wrong try is counted and noted, the last one also
// as order.code_locked; the caller has to save o even though it refuses.
//
// refusal is nil for the right code, fault.Invalid for a wrong one, and fault.Conflict code-locked after
// order.MaxCodeTries wrong ones, for the right one too.
func (c code) try(tx *db.Tx, o *order.Order, said string, at time.Time, h order.Happened) (refusal, err error) {
	if o.CodeTries >= order.MaxCodeTries {
		return codeLocked(o), nil
	}
	if subtle.ConstantTimeCompare([]byte(c.of(o, tx.Names())), []byte(said)) == 1 {
		return nil, nil
	}
	left := o.WrongCode(tx.Now())
	if err := order.Note(tx, o, c.event, at, h); err != nil {
		return nil, err
	}
	if left == 0 {
		err = order.Note(tx, o, "order.code_locked", at, h)
	}
	return fault.InvalidField(c.pointer, c.wrong, "that is not the customer's code; %s", triesLeft(left)), err
}

func triesLeft(n int) string {
	switch n {
	case 0:
		return "it was the last try, and the order is locked"
	case 1:
		return "1 try is left"
	}
	return strconv.Itoa(n) + " tries are left"
}

func codeLocked(o *order.Order) error {
	return fault.Refused("code-locked", o.Status.Allowed(), "%d wrong codes were tried: ask the dispatcher to unlock it; the customer's page then shows a new one", o.CodeTries)
}

// UnlockCode gives an order whose code is locked a new PIN and collection code, which the customer's page
// shows at once, and as many tries as at first. It changes nothing about an order that is not locked.
func (b *Book) UnlockCode(ctx context.Context, key int64) (o order.Order, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if o, err = order.Lock(tx, key); err != nil || !o.CodeLocked() {
			return err
		}
		o.UnlockCode(tx.Now())
		if err := order.Note(tx, &o, "order.code_unlocked", time.Time{}, order.Happened{Reason: o.Reason}); err != nil {
			return err
		}
		return order.Save(tx, &o)
	})
	return o, err
}
