package server

import (
	"sync"
	"time"

	"doorstep/internal/dropoff"
	"doorstep/internal/fault"
)

// Each order takes five wrong codes; guesses holds back who tries wrong ones on many orders. An honest store
// mistypes a few a day. Who goes on at the rate of one in guessEvery, on orders that lie in the store, finds
// a PIN once in three days, and every order on the way is locked and shown to a dispatcher.
const (
	guessBurst = 20
	guessEvery = 30 * time.Second
)

// maxGuessers bounds the memory. Who has all tries left is forgotten first; if nobody is, the ones
// here stay and a newcomer waits.
const maxGuessers = 10_000

// guesses keeps how many wrong codes each key has left. A try is taken before the code is looked at and given
// back when it was right: so not even a thousand at once get more.
type guesses struct {
	mu sync.Mutex
	of map[int64]guesser
}

type guesser struct {
	left float64
	at   time.Time
}

func (g guesser) now(now time.Time) guesser {
	if gone := now.Sub(g.at); gone > 0 {
		g.left, g.at = min(guessBurst, g.left+float64(gone)/float64(guessEvery)), now
	}
	return g
}

// take takes one try of key, or says when there is one again.
func (l *guesses) take(key int64, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, known := l.of[key]
	if !known {
		if !l.room(now) {
			return tooManyGuesses(guessEvery)
		}
		g = guesser{guessBurst, now}
	}
	if g = g.now(now); g.left < 1 {
		return tooManyGuesses(time.Duration((1 - g.left) * float64(guessEvery)))
	}
	g.left--
	l.of[key] = g
	return nil
}

// charge takes n more, which may leave key in debt.
func (l *guesses) charge(key int64, n int) { l.give(key, -n) }

func (l *guesses) give(key int64, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g, known := l.of[key]; known {
		g.left = min(guessBurst, g.left+float64(n))
		l.of[key] = g
	}
}

// room forgets who has all tries left when there are too many, and reports whether one more may come.
func (l *guesses) room(now time.Time) bool {
	if l.of == nil {
		l.of = map[int64]guesser{}
	}
	if len(l.of) >= maxGuessers {
		for key, g := range l.of {
			if g.now(now).left >= guessBurst {
				delete(l.of, key)
			}
		}
	}
	return len(l.of) < maxGuessers
}

func tooManyGuesses(wait time.Duration) error {
	wait = wait.Truncate(time.Second) + time.Second
	return fault.New(fault.Exhausted, "too-many-wrong-codes", "too many wrong codes were tried with this key: try again in %.0f s", wait.Seconds()).After(wait)
}

// guessed runs f, which looks at a code for this caller and fails with wrong when it is not the right one. Real
// time counts: a sandbox's clock may stand still.
func (k *call) guessed(f func() error) error {
	if err := k.guesses.take(k.who.Key, time.Now()); err != nil {
		return err
	}
	err := f()
	if !isWrongCode(err) {
		k.guesses.give(k.who.Key, 1)
	}
	return err
}

func isWrongCode(err error) bool {
	f := fault.As(err)
	return f != nil && f.Kind == fault.Invalid && len(f.Fields) == 1 && (f.Fields[0].Code == dropoff.WrongPIN || f.Fields[0].Code == dropoff.WrongCode)
}

// record is dropoff.Book.Record for this caller. The events of orders with a PIN among them go one order
// after the other, each as long as the caller may still guess.
func (k *call) record(events []dropoff.Event) ([]dropoff.Result, error) {
	withPIN := map[int64]bool{}
	for _, e := range events {
		if e.PIN != "" {
			withPIN[e.Order] = true
		}
	}
	if len(withPIN) == 0 {
		return k.Dropoff.Record(k.ctx, events)
	}
	results := make([]dropoff.Result, len(events))
	for _, places := range byOrder(events, withPIN) {
		if err := k.recordSome(events, places, withPIN[events[places[0]].Order], results); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// byOrder are the places of the events of each order in alone, and of all others together.
func byOrder(events []dropoff.Event, alone map[int64]bool) (groups [][]int) {
	at := map[int64]int{}
	for i, e := range events {
		order := e.Order
		if !alone[order] {
			order = 0
		}
		g, seen := at[order]
		if !seen {
			g = len(groups)
			at[order], groups = g, append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	return groups
}

// recordSome records the events at places; while the caller may not guess, those with a PIN are refused.
func (k *call) recordSome(events []dropoff.Event, places []int, guess bool, results []dropoff.Result) error {
	var tooMany error
	if guess {
		tooMany = k.guesses.take(k.who.Key, time.Now())
	}
	var some []dropoff.Event
	var at []int
	for _, i := range places {
		if tooMany != nil && events[i].PIN != "" {
			results[i] = dropoff.Result{ID: events[i].ID, Result: dropoff.Refused, Err: tooMany}
			continue
		}
		some, at = append(some, events[i]), append(at, i)
	}
	recorded, err := k.Dropoff.Record(k.ctx, some)
	wrong := 0
	for j, r := range recorded {
		results[at[j]] = r
		if isWrongCode(r.Err) {
			wrong++
		}
	}
	if guess && tooMany == nil {
		k.guesses.charge(k.who.Key, wrong-1)
	}
	return err
}
