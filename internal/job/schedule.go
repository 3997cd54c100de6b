package job

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when a job's slots are. The zero value has none: such a job runs when asked.
type Schedule struct {
	text string
	next func(after time.Time) time.Time
}

// Every has a slot at every multiple of d since 1970, so that all processes mean the same slots.
// It panics when d is under a second: the ticker is no finer.
func Every(d time.Duration) Schedule {
	if d < time.Second {
		panic(fmt.Sprintf("job: every %s, allowed is a second and more", d))
	}
	return Schedule{"every " + d.String(), func(after time.Time) time.Time {
		ms := d.Milliseconds()
		return time.UnixMilli((floorDiv(after.UnixMilli(), ms) + 1) * ms).UTC()
	}}
}

func floorDiv(a, b int64) int64 {
	if a < 0 && a%b != 0 {
		return a/b - 1
	}
	return a / b
}

// Cron is a five-field cron expression read in UTC. It panics on one that cannot be read: the
// expressions of jobs are part of the program.
func Cron(expr string) Schedule { return CronIn(expr, time.UTC) }

// CronIn is a five-field cron expression read on the wall clock of loc. It panics like Cron.
func CronIn(expr string, loc *time.Location) Schedule {
	s, err := ParseCron(expr, loc)
	if err != nil {
		panic(err)
	}
	return s
}

// ParseCron reads a cron expression (minute, hour, day of month, month, day of week) for the wall
// clock of loc. On the days when that clock is moved,
//
//   - a slot at a time that is skipped is at the end of the gap, and several such slots are one;
//   - a slot at a time that comes twice is at the first of the two, never at both.
//
// So a daily slot is there once every local day. (robfig's own zones skip the day of the gap, and
// run twice where the clock goes back; only its reading of the fields is used.)
func ParseCron(expr string, loc *time.Location) (Schedule, error) {
	if strings.ContainsAny(expr, "=@") {
		return Schedule{}, fmt.Errorf("cron expression %q: five fields are understood, no zone and no @name", expr)
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(expr)
	if err != nil {
		return Schedule{}, fmt.Errorf("cron expression %q: %w", expr, err)
	}
	fields := parsed.(*cron.SpecSchedule)
	fields.Location = time.UTC
	if fields.Minute == 0 || fields.Hour == 0 || fields.Dom == 0 || fields.Month == 0 || fields.Dow == 0 {
		// The parser takes "," for a list of nothing; Next would try every minute of five years.
		return Schedule{}, fmt.Errorf("cron expression %q: a field is an empty list", expr)
	}
	if fields.Next(time.Unix(0, 0)).IsZero() {
		return Schedule{}, fmt.Errorf("cron expression %q: there is no such day", expr)
	}
	text := expr
	if loc != time.UTC {
		text += " " + loc.String()
	}
	return Schedule{text, func(after time.Time) time.Time {
		// Later walls are never earlier instants, and the wall of after itself is not later than
		// after: so the search begins there.
		for wall := wallOf(after, loc); ; {
			wall = fields.Next(wall)
			if wall.IsZero() {
				return wall
			}
			if t := instantOf(wall, loc); t.After(after) {
				return t.UTC()
			}
		}
	}}, nil
}

// wallOf is what the clock of loc shows at t, written as if it were UTC.
func wallOf(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instantOf is the first instant at which the clock of loc shows wall, or has passed it when it
// never shows it.
func instantOf(wall time.Time, loc *time.Location) time.Time {
	// Clocks differ from UTC by less than 16 hours and are moved by a day at most: 48 hours back
	// wall has not been shown yet. From there, one stretch of constant offset after the other.
	for t := wall.Add(-48 * time.Hour).In(loc); ; {
		_, offset := t.Zone()
		start, end := t.ZoneBounds()
		shown := wall.Add(-time.Duration(offset) * time.Second)
		if end.IsZero() || shown.Before(end) {
			if shown.Before(start) {
				return start
			}
			return shown
		}
		t = end
	}
}

// Next is the first slot after the given time, UTC; zero when there is none.
func (s Schedule) Next(after time.Time) time.Time {
	if s.next == nil {
		return time.Time{}
	}
	return s.next(after)
}

// String is the schedule in words for a person.
func (s Schedule) String() string {
	if s.next == nil {
		return "on demand"
	}
	return s.text
}

// newest is the last n slots in (after, now], newest first. It looks back from now in growing
// steps: what was missed in a year of downtime is not counted through.
func (s Schedule) newest(n int, after, now time.Time) []time.Time {
	if s.next == nil || !after.Before(now) {
		return nil
	}
	for back := time.Minute; ; back *= 4 {
		from := now.Add(-back)
		whole := !from.After(after)
		if whole {
			from = after
		}
		var slots []time.Time
		for t := s.Next(from); !t.IsZero() && !t.After(now); t = s.Next(t) {
			slots = append(slots, t)
		}
		if !whole && len(slots) < n {
			continue
		}
		newest := make([]time.Time, 0, n)
		for i := len(slots) - 1; i >= 0 && len(newest) < n; i-- {
			newest = append(newest, slots[i])
		}
		return newest
	}
}
