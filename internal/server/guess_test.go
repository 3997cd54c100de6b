package server

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doorstep/internal/dropoff"
	"doorstep/internal/fault"
)

func TestWrongCodesRunOutAndComeBackSlowly(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	var g guesses
	try := func(key int64) bool { return g.take(key, now) == nil }
	for i := range guessBurst {
		if !try(1) {
			t.Fatalf("refused after %d", i)
		}
	}
	err := g.take(1, now)
	if f := fault.As(err); f == nil || f.Kind != fault.Exhausted || f.RetryAfter < guessEvery || f.RetryAfter > guessEvery+time.Second {
		t.Errorf("the one too many: %v", err)
	}
	if !try(2) {
		t.Error("another key is held back")
	}
	g.give(1, 1) // the last one was right
	if !try(1) || try(1) {
		t.Error("one was given back")
	}
	g.charge(1, 2)
	now = now.Add(2 * guessEvery)
	if try(1) {
		t.Error("a debt is forgotten")
	}
	now = now.Add(guessEvery)
	if !try(1) || try(1) {
		t.Error("one comes back in guessEvery, and no more")
	}
	now = now.Add(1000 * guessEvery)
	n := 0
	for try(1) {
		n++
	}
	if n != guessBurst {
		t.Errorf("%d after a long time", n)
	}
	now = now.Add(-time.Hour) // a clock that steps back gives nothing away
	if try(1) {
		t.Error("a try for a clock that was turned back")
	}
}

func TestManyGuessersAreRememberedWithinBounds(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	var g guesses
	for key := range int64(maxGuessers) {
		if g.take(key, now) != nil {
			t.Fatal("refused early")
		}
	}
	g.give(7, 1) // has all its tries again
	if err := g.take(-1, now); err != nil || len(g.of) != maxGuessers {
		t.Errorf("one place was free: %v, %d are remembered", err, len(g.of))
	}
	if g.take(-2, now) == nil {
		t.Error("who guessed was forgotten for a newcomer")
	}
	now = now.Add(guessEvery)
	if g.take(-2, now) != nil || len(g.of) != 1 {
		t.Errorf("%d are remembered after all have their tries back", len(g.of))
	}
}

func TestAThousandGuessesAtOnceAreNoMoreThanOneAfterTheOther(t *testing.T) {
	var g guesses
	var taken atomic.Int64
	var wg sync.WaitGroup
	now := time.Now()
	for range 1000 {
		wg.Go(func() {
			if g.take(1, now) == nil {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if taken.Load() != guessBurst {
		t.Errorf("%d were let through", taken.Load())
	}
}

func TestOrdersWithAPINGoOneByOne(t *testing.T) {
	events := []dropoff.Event{{Order: 1}, {Order: 2, PIN: "1"}, {Order: 3}, {Order: 2}, {Order: 4, PIN: "1"}, {Order: 1}}
	got := byOrder(events, map[int64]bool{2: true, 4: true})
	want := [][]int{{0, 2, 5}, {1, 3}, {4}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v, want %v", got, want)
	}
}
