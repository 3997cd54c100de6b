package event_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/event"
)

func happen(t *testing.T, d *db.DB, c *event.Chain, e event.New) {
	t.Helper()
	if err := d.InTx(event.WithActor(context.Background(), "somebody"), func(tx *db.Tx) error { return event.Append(tx, c, e) }); err != nil {
		t.Error(err)
	}
}

func TestAStoryIsWalkedBackFromItsEnd(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		var mine, other event.Chain
		truly := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		for i := range 3 {
			happen(t, d, &mine, event.New{Type: fmt.Sprint("order.step", i), Subject: 1, OccurredAt: truly, Data: map[string]int{"i": i}})
			happen(t, d, &other, event.New{Type: "order.other", Subject: 2})
		}
		story, err := event.Story(d.Read(context.Background()), mine.Last)
		if err != nil || len(story) != 3 {
			t.Fatalf("%d events, %v", len(story), err)
		}
		for i, e := range story {
			if e.Type != fmt.Sprint("order.step", i) || e.Sequence != int64(i+1) || e.Subject != 1 || e.Actor != "somebody" ||
				string(e.Data) != fmt.Sprintf(`{"i":%d}`, i) || !e.OccurredAt.Equal(truly) || e.RecordedAt.Equal(truly) {
				t.Errorf("event %d: %+v", i, e)
			}
		}
	})
}

func TestAFailedChangeLeavesNoEvent(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		log := event.NewLog(d)
		defer log.Close()
		no := errors.New("no")
		err := d.InTx(context.Background(), func(tx *db.Tx) error {
			var c event.Chain
			if err := event.Append(tx, &c, event.New{Type: "order.never", Subject: 1}); err != nil {
				return err
			}
			return no
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		if events, _, err := log.After(context.Background(), 0, 10); err != nil || len(events) != 0 {
			t.Errorf("%v %v", events, err)
		}
	})
}

// Readers that come, lag and come back see every event of theirs once and in order, while many
// write at once.
func TestReadersMissNothing(t *testing.T) {
	dbtest.Each(t, db.Options{}, func(t *testing.T, d *db.DB) {
		log := event.NewLog(d)
		defer log.Close()
		const writers, each = 8, 150
		var writing, reading sync.WaitGroup
		got := make([][]event.Event, 3)
		for i := range got {
			reading.Go(func() {
				cursor := int64(0)
				for len(got[i]) < writers*each {
					events, next, err := log.Next(context.Background(), cursor, 100)
					if err != nil || len(events) == 0 {
						t.Errorf("reader %d: %d events, %v", i, len(events), err)
						return
					}
					switch {
					case i == 1 && len(events) > 3:
						events = events[:3] // the connection broke there, and Last-Event-ID resumes
						next = events[2].Seq
					case i == 2:
						time.Sleep(2 * time.Millisecond) // slow
					}
					got[i], cursor = append(got[i], events...), next
				}
			})
		}
		for w := range writers {
			writing.Go(func() {
				var c event.Chain
				for range each {
					happen(t, d, &c, event.New{Type: "order.moved", Subject: int64(w + 1)})
				}
			})
		}
		writing.Wait()
		reading.Wait()
		for i, events := range got {
			if !slices.IsSortedFunc(events, func(a, b event.Event) int {
				if a.Seq < b.Seq {
					return -1
				}
				return 1
			}) {
				t.Errorf("reader %d saw events out of order or twice", i)
			}
			last := map[int64]int64{}
			for _, e := range events {
				if e.Sequence != last[e.Subject]+1 {
					t.Errorf("reader %d: subject %d went from %d to %d", i, e.Subject, last[e.Subject], e.Sequence)
				}
				last[e.Subject] = e.Sequence
			}
		}
	})
}
