package match

import (
	"context"
	"errors"
	"sync"

	"doorstep/internal/db"
	"doorstep/internal/fault"
	"doorstep/internal/order"
)

// sweepers is how many of a sweep's transactions wait together, so that they share commits.
const sweepers = 32

// ExpireDue ends offers whose deadline is over and passes their orders on. It returns how many.
// Running it twice, or on two processes, changes nothing more.
func (b *Book) ExpireDue(ctx context.Context) (int, error) {
	var due []int64
	err := b.db.Read(ctx).Select(&due, `SELECT key FROM assignment WHERE status = 'offered' AND deadline < ? ORDER BY deadline LIMIT 1000`,
		b.db.Now().UnixMilli())
	if err != nil {
		return 0, err
	}
	return b.each(due, func(key int64) error {
		_, err := b.lose(ctx, key, order.Expired, "order.offer_expired", "store_unresponsive")
		return err
	})
}

// AnyDue reports whether an offer's deadline is over.
func (b *Book) AnyDue(ctx context.Context) (bool, error) {
	var n int
	err := b.db.Read(ctx).Get(&n, `SELECT count(*) FROM (SELECT 1 FROM assignment WHERE status = 'offered' AND deadline < ? LIMIT 1) x`,
		b.db.Now().UnixMilli())
	return n > 0, err
}

// RetryUnassignable tries the orders again that nobody could serve, oldest first, and returns how
// many found a store. An order costs one look at the index until a store is there for it.
func (b *Book) RetryUnassignable(ctx context.Context) (int, error) {
	found, cursor := 0, int64(0)
	for {
		keys, last, err := b.possible(ctx, cursor)
		if err != nil {
			return found, err
		}
		n, err := b.each(keys, func(key int64) error { return b.retry(ctx, key) })
		found += n
		if err != nil || last == 0 {
			return found, err
		}
		cursor = last
	}
}

// possible are the unassignable orders behind cursor that some store could serve by the index,
// and the cursor to go on from, 0 at the end.
func (b *Book) possible(ctx context.Context, cursor int64) (keys []int64, last int64, err error) {
	const page = 500
	waiting, err := order.Unassigned(b.db.Read(ctx), b.db.Now(), cursor, page)
	if err != nil {
		return nil, 0, err
	}
	for i := range waiting {
		o := &waiting[i]
		q, ok := b.askFor(o, b.db.Now(), nil)
		if ok && !b.anybody(&q) {
			if ok, err = b.heal(b.db.Read(ctx), &q); err != nil {
				return nil, 0, err
			}
		}
		if !ok {
			continue
		}
		// Only now is it worth a look who was asked already.
		if q.tried, err = tried(b.db.Read(ctx), o.Key); err != nil {
			return nil, 0, err
		}
		if b.anybody(&q) {
			keys = append(keys, o.Key)
		}
	}
	if len(waiting) == page {
		last = waiting[page-1].Key
	}
	return keys, last, nil
}

func (b *Book) retry(ctx context.Context, key int64) error {
	_, err := b.change(ctx, key, func(tx *db.Tx, h *holds, o *order.Order) (bool, error) {
		if o.Status != order.Unassignable || o.Assignment != 0 {
			return false, errUnchanged // somebody was faster
		}
		asked, err := tried(tx, key)
		if err != nil {
			return false, err
		}
		a, _, err := b.assign(tx, h, o, asked)
		if err == nil && a == nil {
			err = errUnchanged
		}
		return err == nil, err
	})
	return err
}

var errUnchanged = errors.New("match: nothing to do")

// each calls f for every key, several at once, and counts those that did something. A refusal is
// somebody else's success; anything else stops the sweep, which will come again.
func (b *Book) each(keys []int64, f func(int64) error) (int, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	done := 0
	turn := make(chan struct{}, sweepers)
	for _, key := range keys {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			err := f(key)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				done++
			case errors.Is(err, errUnchanged) || fault.KindOf(err) == fault.Conflict:
			case first == nil:
				first = err
			}
		})
	}
	wg.Wait()
	return done, first
}
