package partner

import (
	"errors"
	"fmt"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/fault"
)

// Quiet is a stretch of the day, on the wall clock, in which a store wants to hear nothing. The zero
// value is none. Like opening hours it is read off the clock: a minute that the clock shows twice
// is quiet twice, and one that it skips does not happen.
type Quiet struct{ from, to int } // minutes of the day, from <= minute < to, over midnight if to < from

// ParseQuiet reads "22:00-07:00"; "" is none. The end itself is not quiet; 24:00 is midnight.
func ParseQuiet(text string) (Quiet, error) {
	if text == "" {
		return Quiet{}, nil
	}
	var h, m, h2, m2 int
	if n, err := fmt.Sscanf(text, "%02d:%02d-%02d:%02d", &h, &m, &h2, &m2); err != nil || n != 4 ||
		fmt.Sprintf("%02d:%02d-%02d:%02d", h, m, h2, m2) != text {
		return Quiet{}, errNotQuiet
	}
	from, to := 60*h+m, 60*h2+m2
	if m > 59 || m2 > 59 || from < 0 || to < 0 || from >= minutesPerDay || to > minutesPerDay {
		return Quiet{}, errNotQuiet
	}
	if from == to%minutesPerDay {
		return Quiet{}, errors.New("quiet hours around the clock leave no moment to say anything")
	}
	return Quiet{from, to % minutesPerDay}, nil
}

var errNotQuiet = errors.New("write quiet hours like 22:00-07:00, on the store's clock")

// At reports whether t is quiet on the clock of loc.
func (q Quiet) At(t time.Time, loc *time.Location) bool {
	h, m, _ := t.In(loc).Clock()
	now := 60*h + m
	if q.from <= q.to {
		return q.from <= now && now < q.to
	}
	return now >= q.from || now < q.to
}

// Until is the first moment from t on that is not quiet: t itself if it is not.
func (q Quiet) Until(t time.Time, loc *time.Location) time.Time {
	for q.At(t, loc) {
		local := t.In(loc)
		h, m, s := local.Clock()
		left := (q.to - 60*h - m + minutesPerDay) % minutesPerDay
		end := t.Add(time.Duration(left)*time.Minute - time.Duration(s)*time.Second - time.Duration(local.Nanosecond()))
		// When the clock is moved on the way, what it shows there has the say.
		if _, moved := local.ZoneBounds(); !moved.IsZero() && !moved.After(end) {
			end = moved
		}
		t = end.UTC()
	}
	return t
}

// Silence is a store's quiet hours with the clock they are meant on.
type Silence struct {
	Quiet
	Zone *time.Location
}

// At reports whether the store wants to hear nothing at t.
func (s Silence) At(t time.Time) bool { return s.Quiet.At(t, s.Zone) }

// Until is the first moment from t on at which the store may be told something.
func (s Silence) Until(t time.Time) time.Time { return s.Quiet.Until(t, s.Zone) }

// Silence is when the store wants to hear nothing.
func (s *Store) Silence() Silence {
	q, _ := ParseQuiet(s.QuietHours) // checked when it was set; what cannot be read silences nobody
	return Silence{q, s.Zone().Location()}
}

func (s *Store) checkQuiet(f *fault.Fields) {
	if _, err := ParseQuiet(s.QuietHours); err != nil {
		f.Add("/quiet_hours", "not-understood", "%s", err.Error())
	}
}

// SilenceOf is Silence of several stores at once, by key.
func SilenceOf(q db.Queryer, stores []int64) (map[int64]Silence, error) {
	if len(stores) == 0 {
		return nil, nil
	}
	query, args, err := db.In(`SELECT key, quiet_hours, time_zone FROM store WHERE key IN (?)`, stores)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Key        int64
		QuietHours string `db:"quiet_hours"`
		TimeZone   string `db:"time_zone"`
	}
	if err := q.Select(&rows, query, args...); err != nil {
		return nil, err
	}
	found := make(map[int64]Silence, len(rows))
	for _, r := range rows {
		zone, err := NewZone(r.TimeZone, "")
		if err != nil {
			return nil, fmt.Errorf("store %d: %w", r.Key, err)
		}
		s := Store{QuietHours: r.QuietHours, zone: zone}
		found[r.Key] = s.Silence()
	}
	return found, nil
}
