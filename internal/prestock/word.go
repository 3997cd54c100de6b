package prestock

import (
	"context"
	"sync"
	"time"

	"doorstep/internal/db"
)

// Word is how a store kept its word, over its tasks that are decided. What a task adds is a function
// of how it stands (see Task.word), so the sums are right after every change, also after one that
// takes an earlier one back.
type Word struct {
	Asked    int64 // tasks it was asked, and has answered or let run out
	Answered int64 // of those, answered; a no is an answer
	Promised int64 // tasks with a promise whose time has come
	InTime   int64 // of those, counted before the goods were due
	Counted  int64 // of those, with all that was promised
	There    int64 // the part of the promised units that was there, summed over those tasks, in thousandths
}

// Reliability is what a store's word says about the next task.
//
// The chance of an answer, and of a promised unit being there, are the means of Beta distributions:
// the network's pooled rate, worth priorTasks tasks, and the store's own tasks. So a store without
// a past counts as an average one, and one with a long past as itself. (Beta-binomial smoothing with
// a pooled prior; each task is one trial, for its units come and fail together.)
type Reliability struct {
	Word
	Answers float64 // chance of an answer in time
	Keeps   float64 // chance that a promised unit is there
}

const (
	priorTasks = 10 // what the network's rate weighs, in tasks
	// What is believed of a network without a past: nine of ten answers and promises hold. It
	// weighs as much as one store's prior.
	firstGuess = 0.9
	wordCache  = 10 * time.Minute
)

func rate(good, of, prior float64) float64 { return (good + priorTasks*prior) / (of + priorTasks) }

// reliability is w seen against the network's pooled rates.
func (w Word) reliability(answers, keeps float64) Reliability {
	return Reliability{w, rate(float64(w.Answered), float64(w.Asked), answers), rate(float64(w.There)/1000, float64(w.Promised), keeps)}
}

// word is what t adds to its store's word.
func (t *Task) word() (w Word) {
	if t == nil || !t.WasPrompted() {
		return w
	}
	switch t.Status {
	case Expired:
		w.Asked = 1
	case Acknowledged, Partially, Declined:
		w.Asked, w.Answered = 1, 1
	case Lapsed:
		w.Asked, w.Answered, w.Promised = 1, 1, 1
	case Stocked, Shortfall, Consumed, Released, Cancelled:
		if t.Counted == nil {
			break // called off before anybody could tell
		}
		w = Word{Asked: 1, Answered: 1, Promised: 1, InTime: 1, There: 1000}
		if *t.Counted >= t.Committed {
			w.Counted = 1
		} else {
			w.There = int64(1000 * *t.Counted / t.Committed)
		}
	}
	return w
}

func (w Word) minus(v Word) Word {
	return Word{w.Asked - v.Asked, w.Answered - v.Answered, w.Promised - v.Promised, w.InTime - v.InTime, w.Counted - v.Counted, w.There - v.There}
}

// keepWord keeps the store's word in step with a change of one of its tasks.
func keepWord(tx *db.Tx, old, t *Task) error {
	d := t.word().minus(old.word())
	if d == (Word{}) {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO prestock_word (store_key, asked, answered, promised, in_time, counted, there) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (store_key) DO UPDATE SET asked = prestock_word.asked + excluded.asked, answered = prestock_word.answered + excluded.answered,
		promised = prestock_word.promised + excluded.promised, in_time = prestock_word.in_time + excluded.in_time,
		counted = prestock_word.counted + excluded.counted, there = prestock_word.there + excluded.there`,
		t.Store, d.Asked, d.Answered, d.Promised, d.InTime, d.Counted, d.There)
	return err
}

type wordRow struct {
	Store    int64 `db:"store_key"`
	Asked    int64
	Answered int64
	Promised int64
	InTime   int64 `db:"in_time"`
	Counted  int64
	There    int64
}

func (r wordRow) word() Word {
	return Word{r.Asked, r.Answered, r.Promised, r.InTime, r.Counted, r.There}
}

const wordColumns = `store_key, asked, answered, promised, in_time, counted, there`

// pooled remembers the network's rates for a while: they are a sum over all stores and move slowly.
type pooled struct {
	mu            sync.Mutex
	at            time.Time
	answers, keep float64
}

func (b *Book) pooled(ctx context.Context) (answers, keeps float64, err error) {
	p := &b.network
	p.mu.Lock()
	defer p.mu.Unlock()
	now := b.db.Now()
	if age := now.Sub(p.at); !p.at.IsZero() && age >= 0 && age < wordCache {
		return p.answers, p.keep, nil
	}
	if answers, keeps, err = b.pool(ctx); err == nil {
		p.at, p.answers, p.keep = now, answers, keeps
	}
	return answers, keeps, err
}

func (b *Book) pool(ctx context.Context) (answers, keeps float64, err error) {
	var s struct{ Asked, Answered, Promised, There int64 }
	err = b.db.Read(ctx).Get(&s, `SELECT CAST(coalesce(sum(asked), 0) AS BIGINT) AS asked, CAST(coalesce(sum(answered), 0) AS BIGINT) AS answered,
		CAST(coalesce(sum(promised), 0) AS BIGINT) AS promised, CAST(coalesce(sum(there), 0) AS BIGINT) AS there FROM prestock_word`)
	return rate(float64(s.Answered), float64(s.Asked), firstGuess), rate(float64(s.There)/1000, float64(s.Promised), firstGuess), err
}

// Reliability is how reliable a store is. The network's rates in it may be up to ten minutes old.
func (b *Book) Reliability(ctx context.Context, store int64) (Reliability, error) {
	answers, keeps, err := b.pooled(ctx)
	if err != nil {
		return Reliability{}, err
	}
	var rows []wordRow
	err = b.db.Read(ctx).Select(&rows, `SELECT `+wordColumns+` FROM prestock_word WHERE store_key = ?`, store)
	if err != nil || len(rows) == 0 {
		return Word{}.reliability(answers, keeps), err
	}
	return rows[0].word().reliability(answers, keeps), nil
}

// EachReliability calls f for every store that has a past, by key, without holding them all, and
// returns what holds for all others. The network's rates are those of this moment.
func (b *Book) EachReliability(ctx context.Context, f func(store int64, r Reliability) error) (others Reliability, err error) {
	answers, keeps, err := b.pool(ctx)
	if err != nil {
		return others, err
	}
	return Word{}.reliability(answers, keeps), db.Each(ctx, b.db, func(r wordRow) error {
		return f(r.Store, r.word().reliability(answers, keeps))
	}, `SELECT `+wordColumns+` FROM prestock_word ORDER BY store_key`)
}
