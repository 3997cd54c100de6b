package job

import (
	"errors"
	"strings"
	"time"

	"doorstep/internal/db"
)

const (
	keepSlots = 1000 // of one job
	keepFor   = 30 * 24 * time.Hour
)

// survey is what the rows say about a job.
type survey struct {
	Newest int64 // slot, ms, not after now; -1 when the job was never seen
	Open   int64 // slots that still have to run
}

func look(q db.Queryer, job string, now time.Time) (s survey, err error) {
	err = q.Get(&s, `SELECT coalesce(max(CASE WHEN slot <= ? THEN slot END), -1) AS newest,
		coalesce(sum(CASE WHEN state IN (?, ?) OR (state = ? AND tries < ?) THEN 1 ELSE 0 END), 0) AS open
		FROM job_slot WHERE job = ?`, now.UnixMilli(), due, running, failed, maxTries, job)
	return s, err
}

// enlist writes the slots that came due since the newest known one, at most catchUp of them, and
// the newest of those that were missed for good.
func enlist(tx *db.Tx, j *Job) error {
	now := tx.Now()
	s, err := look(tx, j.Name, now)
	if err != nil {
		return err
	}
	if s.Newest < 0 {
		return baseline(tx, j)
	}
	for i, at := range j.Schedule.newest(j.CatchUp+1, time.UnixMilli(s.Newest), now) {
		state, note := due, ""
		if i == j.CatchUp {
			state, note = skipped, "missed, like any before it since the run before, and not made up"
		}
		if _, err := insertSlot(tx, j.Name, at, state, note); err != nil {
			return err
		}
	}
	return nil
}

// longAgo is how far back the baseline looks for a slot: a 29th of February is in it.
const longAgo = 5 * 366 * 24 * time.Hour

// baseline notes where a job's history begins.
func baseline(tx *db.Tx, j *Job) error {
	if j.Schedule.next == nil {
		return nil
	}
	at := tx.Now()
	if past := j.Schedule.newest(1, at.Add(-longAgo), at); len(past) > 0 {
		at = past[0]
	}
	_, err := insertSlot(tx, j.Name, at, skipped, "before the job was installed")
	return err
}

func insertSlot(tx *db.Tx, job string, at time.Time, state, note string) (fresh bool, err error) {
	n, err := tx.Exec(`INSERT INTO job_slot (job, slot, state, fence, tries, started_at, finished_at, note)
		VALUES (?, ?, ?, 0, 0, 0, NULL, ?) ON CONFLICT (job, slot) DO NOTHING`, job, at.UnixMilli(), state, note)
	return n == 1, err
}

// insertExtra makes a slot that no schedule asked for.
func insertExtra(tx *db.Tx, job string) (at time.Time, err error) {
	for at = tx.Now(); ; at = at.Add(time.Millisecond) {
		if fresh, err := insertSlot(tx, job, at, due, ""); err != nil || fresh {
			return at, err
		}
	}
}

type slotRow struct {
	Slot  int64
	State string
	Fence int64
	Tries int64
}

// claim takes the newest open slot before the given one, nil when there is none. The caller holds
// the job's lease, so a running row is one whose holder died.
func claim(tx *db.Tx, l db.Lease, job string, before int64) (*Slot, error) {
	if _, err := tx.Exec(`UPDATE job_slot SET state = ?, note = 'died in its last try' WHERE job = ? AND state = ? AND tries >= ?`,
		failed, job, running, maxTries); err != nil {
		return nil, err
	}
	var r slotRow
	err := tx.Get(&r, `SELECT slot, state, fence, tries FROM job_slot
		WHERE job = ? AND slot < ? AND state IN (?, ?, ?) AND tries < ? ORDER BY slot DESC LIMIT 1`,
		job, before, due, running, failed, maxTries)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return take(tx, l, job, r)
}

// take claims exactly the row that was read; somebody else's claim in between is a lost lease.
func take(tx *db.Tx, l db.Lease, job string, r slotRow) (*Slot, error) {
	if err := l.Hold(tx); err != nil {
		return nil, err
	}
	s := &Slot{Job: job, At: time.UnixMilli(r.Slot).UTC(), Try: int(r.Tries) + 1, fence: l.Fence}
	n, err := tx.Exec(`UPDATE job_slot SET state = ?, fence = ?, tries = ?, started_at = ?, finished_at = NULL, note = ''
		WHERE job = ? AND slot = ? AND state = ? AND fence = ? AND tries = ?`,
		running, s.fence, s.Try, tx.Now().UnixMilli(), job, r.Slot, r.State, r.Fence, r.Tries)
	return s, s.held(n, err)
}

// prune forgets slots beyond the newest keepSlots and those older than keepFor; the newest stays,
// since catching up counts from it.
func prune(tx *db.Tx, job string) error {
	s, err := look(tx, job, tx.Now())
	if err != nil {
		return err
	}
	cut := min(tx.Now().Add(-keepFor).UnixMilli(), s.Newest)
	var oldest int64
	err = tx.Get(&oldest, `SELECT slot FROM job_slot WHERE job = ? ORDER BY slot DESC LIMIT 1 OFFSET ?`, job, keepSlots-1)
	if err == nil {
		cut = max(cut, oldest)
	} else if !errors.Is(err, db.ErrNoRows) {
		return err
	}
	_, err = tx.Exec(`DELETE FROM job_slot WHERE job = ? AND slot < ? AND state NOT IN (?, ?)`, job, cut, due, running)
	return err
}

type lastRow struct {
	Slot       int64
	State      string
	Note       string
	StartedAt  int64  `db:"started_at"`
	FinishedAt *int64 `db:"finished_at"`
}

// moment is a time of a row; 0 and NULL are none.
func moment(ms *int64) *time.Time {
	if ms == nil || *ms == 0 {
		return nil
	}
	t := time.UnixMilli(*ms).UTC()
	return &t
}

// last is the newest slot of a job; ErrNoRows when it was never seen.
func last(q db.Queryer, job string) (r lastRow, err error) {
	err = q.Get(&r, `SELECT slot, state, note, started_at, finished_at FROM job_slot WHERE job = ? ORDER BY slot DESC LIMIT 1`, job)
	return r, err
}

// shorten keeps a note to a size for a list, and PostgreSQL from refusing its bytes.
func shorten(note string) string {
	if len(note) > maxNote {
		note = note[:maxNote] + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(note, "?"), "\x00", "?")
}
