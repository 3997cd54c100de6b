package notify

import (
	"context"
	"slices"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/ident"
)

func (b *Book) anyNews(ctx context.Context) (bool, error) {
	var n int
	err := b.db.Read(ctx).Get(&n, `SELECT count(*) FROM (SELECT 1 FROM announcement LIMIT 1) AS news`)
	return n > 0, err
}

// takeNews takes a page of announcements away, the oldest first.
func takeNews(tx *db.Tx) (list []news, err error) {
	var rows []struct {
		Event   int64
		Store   int64 `db:"store_key"`
		Subject int64
		Kind    string
		Urgent  bool
	}
	if err := tx.Select(&rows, `SELECT event, store_key, subject, kind, urgent FROM announcement ORDER BY event LIMIT ?`, page); err != nil {
		return nil, err
	}
	for _, r := range rows {
		n, err := tx.Exec(`DELETE FROM announcement WHERE event = ?`, r.Event)
		if err != nil {
			return nil, err
		}
		if n == 1 { // else another process has it, and commits before we do
			list = append(list, news{Told{r.Event, r.Store, r.Subject, r.Kind}, r.Urgent})
		}
	}
	return list, nil
}

func insertDelivery(tx *db.Tx, t Told, address int64, state string) error {
	now := tx.Now().UnixMilli()
	var ended *int64
	if state != Pending {
		ended = &now
	}
	_, err := tx.Exec(`INSERT INTO delivery (event, address, store_key, subject, kind, state, tries, next_at, detail, at, ended_at)
		VALUES (?, ?, ?, ?, ?, ?, 0, ?, '', ?, ?) ON CONFLICT (event, address) DO NOTHING`,
		t.Event, address, t.Store, t.Subject, t.Kind, state, now, now, ended)
	return err
}

const deliveryColumns = `event, address, store_key, subject, kind, state, tries, detail, at, ended_at, read_at`

type deliveryRow struct {
	Event   int64
	Address int64
	Store   int64 `db:"store_key"`
	Subject int64
	Kind    string
	State   string
	Tries   int
	Detail  string
	At      int64
	EndedAt *int64 `db:"ended_at"`
	ReadAt  *int64 `db:"read_at"`
}

func (r deliveryRow) delivery() Delivery {
	return Delivery{Told: Told{r.Event, r.Store, r.Subject, r.Kind}, Address: r.Address, State: r.State, Tries: r.Tries, Detail: r.Detail,
		At: fromMs(r.At), EndedAt: timeOf(r.EndedAt), ReadAt: timeOf(r.ReadAt)}
}

func fromMs(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func timeOf(ms *int64) *time.Time {
	if ms == nil {
		return nil
	}
	t := fromMs(*ms)
	return &t
}

func selectDeliveries(q db.Queryer, query string, args ...any) ([]Delivery, error) {
	var rows []deliveryRow
	if err := q.Select(&rows, `SELECT `+deliveryColumns+` FROM delivery `+query, args...); err != nil {
		return nil, err
	}
	list := make([]Delivery, len(rows))
	for i, r := range rows {
		list[i] = r.delivery()
	}
	return list, nil
}

func (b *Book) anyDue(ctx context.Context) (bool, error) {
	var n int
	err := b.db.Read(ctx).Get(&n, `SELECT count(*) FROM (SELECT 1 FROM delivery WHERE state = 'pending' AND next_at <= ? LIMIT 1) AS due`,
		b.db.Now().UnixMilli())
	return n > 0, err
}

// claim takes deliveries that are due for this process, each with one try more.
func (b *Book) claim(ctx context.Context) (mine []Delivery, err error) {
	if due, err := b.anyDue(ctx); err != nil || !due {
		return nil, err
	}
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		mine = nil
		due, err := selectDeliveries(tx, `WHERE state = 'pending' AND next_at <= ? ORDER BY next_at LIMIT ?`, tx.Now().UnixMilli(), together)
		if err != nil {
			return err
		}
		for _, d := range due {
			n, err := tx.Exec(`UPDATE delivery SET tries = tries + 1, next_at = ? WHERE event = ? AND address = ? AND state = 'pending' AND tries = ?`,
				tx.Now().Add(claimedFor).UnixMilli(), d.Event, d.Address, d.Tries)
			if err != nil {
				return err
			}
			if d.Tries++; n == 1 {
				mine = append(mine, d)
			}
		}
		return nil
	})
	return mine, err
}

// note writes down how tries went, and returns how many messages arrived.
func (b *Book) note(ctx context.Context, tried []Delivery, ends []end) (arrived int, err error) {
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		arrived = 0
		for i := range tried {
			ok, err := noteOne(tx, &tried[i], ends[i])
			if err != nil {
				return err
			}
			if ok && ends[i].state == Delivered {
				arrived++
			}
		}
		return nil
	})
	return arrived, err
}

func noteOne(tx *db.Tx, d *Delivery, e end) (ok bool, err error) {
	var ended *int64
	if now := tx.Now().UnixMilli(); e.state != Pending {
		ended = &now
	}
	n, err := tx.Exec(`UPDATE delivery SET state = ?, next_at = ?, detail = ?, ended_at = ? WHERE event = ? AND address = ? AND state = 'pending' AND tries = ?`,
		e.state, e.next.UnixMilli(), e.detail, ended, d.Event, d.Address, d.Tries)
	if err != nil || n == 0 {
		return false, err // it took so long that another process has it now
	}
	switch e.state {
	case Delivered:
		if _, err := tx.Exec(`UPDATE push_subscription SET delivered_at = ? WHERE key = ?`, tx.Now().UnixMilli(), d.Address); err != nil {
			return false, err
		}
		return true, closeOpen(tx, d.Store, PushFailed)
	case Gone:
		if err := dropSubscription(tx, d.Address); err != nil {
			return false, err
		}
		return true, escalateUnreached(tx, d, e.detail)
	case Failed:
		return true, escalateUnreached(tx, d, e.detail)
	}
	return true, nil
}

// escalateUnreached tells a person when none of the store's phones got the message or still may.
func escalateUnreached(tx *db.Tx, d *Delivery, detail string) error {
	var others int
	if err := tx.Get(&others, `SELECT count(*) FROM delivery WHERE event = ? AND address <> 0 AND state IN ('pending', 'delivered', 'moot')`, d.Event); err != nil || others > 0 {
		return err
	}
	return escalate(tx, d.Told, PushFailed, detail)
}

// escalateUnread tells a person when nobody at the store has read a word about the subject.
func escalateUnread(tx *db.Tx, t Told) error {
	var read int
	if err := tx.Get(&read, `SELECT count(*) FROM delivery WHERE store_key = ? AND address = 0 AND subject = ? AND read_at IS NOT NULL`, t.Store, t.Subject); err != nil || read > 0 {
		return err
	}
	return escalate(tx, t, NotRead, "nobody has opened the inbox, and no phone is subscribed")
}

// heard notes that the store has acted on a subject: it has read what it was told about it, and can
// be reached after all.
func heard(tx *db.Tx, t Told) error {
	if err := markRead(tx, t.Store, `subject = ?`, t.Subject); err != nil {
		return err
	}
	return closeOpen(tx, t.Store, NotRead, PushFailed)
}

func markRead(tx *db.Tx, store int64, which string, args ...any) error {
	_, err := tx.Exec(`UPDATE delivery SET read_at = ? WHERE store_key = ? AND address = 0 AND read_at IS NULL AND `+which,
		append([]any{tx.Now().UnixMilli(), store}, args...)...)
	return err
}

// Messages is a page of a store's inbox, newest first, and whether older ones follow. cursor is the
// last event of the page before, 0 at the first.
func (b *Book) Messages(ctx context.Context, store, cursor int64, limit int, unread bool) ([]Delivery, bool, error) {
	if cursor == 0 {
		cursor = 1<<63 - 1
	}
	where := `WHERE store_key = ? AND address = 0 AND event < ?`
	if unread {
		where += ` AND read_at IS NULL`
	}
	list, err := selectDeliveries(b.db.Read(ctx), where+` ORDER BY event DESC LIMIT ?`, store, cursor, limit+1)
	if err != nil {
		return nil, false, err
	}
	return list[:min(len(list), limit)], len(list) > limit, nil
}

// Unread is how many messages of its inbox nobody at a store has read.
func (b *Book) Unread(ctx context.Context, store int64) (n int, err error) {
	err = b.db.Read(ctx).Get(&n, `SELECT count(*) FROM delivery WHERE store_key = ? AND address = 0 AND read_at IS NULL`, store)
	return n, err
}

// MarkRead notes that a store has read messages of its inbox, by their events; none means all. What
// is not there, or read already, is left alone.
func (b *Book) MarkRead(ctx context.Context, store int64, events []int64) error {
	return b.db.InTx(ctx, func(tx *db.Tx) error {
		if len(events) == 0 {
			if err := markRead(tx, store, `TRUE`); err != nil {
				return err
			}
		}
		for _, e := range events {
			if err := markRead(tx, store, `event = ?`, e); err != nil {
				return err
			}
		}
		return closeOpen(tx, store, NotRead)
	})
}

// Deliveries are those of events, by event, the inbox first.
func (b *Book) Deliveries(ctx context.Context, events []int64) (map[int64][]Delivery, error) {
	found := map[int64][]Delivery{}
	for part := range slices.Chunk(events, page) {
		query, args, err := db.In(`WHERE event IN (?) ORDER BY event, address`, part)
		if err != nil {
			return nil, err
		}
		list, err := selectDeliveries(b.db.Read(ctx), query, args...)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			found[d.Event] = append(found[d.Event], d)
		}
	}
	return found, nil
}

// forget drops what is older than before, a page at a time.
func (b *Book) forget(ctx context.Context, before time.Time) error {
	for {
		var n int64
		err := b.db.InTx(ctx, func(tx *db.Tx) (err error) {
			var last []int64
			if err := tx.Select(&last, `SELECT event FROM delivery WHERE event < ? ORDER BY event LIMIT ?`, ident.At(before), page); err != nil || len(last) == 0 {
				n = 0
				return err
			}
			n, err = tx.Exec(`DELETE FROM delivery WHERE event <= ?`, last[len(last)-1])
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}
