package prestock

import (
	"cmp"
	"slices"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/partner"
)

// A store is told of a task at each of the campaign's leads, and reminded when half and when four
// fifths of its time to answer have gone by without an answer:
//
//	lead ─► first ·········· reminder_50 ······ reminder_80 ··· answer due     (prompted)
//	lead ─► again ·········· until the goods are counted                       (answered)
//
// In its quiet hours a store is told nothing. What falls due there waits until they end, with these
// exceptions, so that a task never waits past its own end:
//
//   - a first prompt whose goods would be due before the store wakes goes out at once;
//   - a reminder, or the prompt of a later lead, that would come after the answer (of a store that
//     has answered: the goods) is due is passed over.
//
// When several are due at once, because they waited or because nobody ran for a while, only the
// latest goes out; the others are recorded as passed over.
type moment struct {
	at   time.Time
	kind string // byLead, Reminder50, Reminder80
	lead int    // of byLead
}

// The kinds of a prompt.
const (
	First      = "first"
	Again      = "again"
	Reminder50 = "reminder_50"
	Reminder80 = "reminder_80"

	byLead = "lead" // how First and Again are kept
)

// remindAt are the reminders by the percentage of the time to answer that has gone by.
var remindAt = []struct {
	percent int
	kind    string
}{{50, Reminder50}, {80, Reminder80}}

// Prompt is one prompt that went out.
type Prompt struct {
	At    time.Time
	Kind  string // First, Again, Reminder50, Reminder80
	LeadS int    // the campaign's lead that caused it; 0 of a reminder
	Event int64  // that told of it; its deliveries are found by it
}

// never is when a task is looked at that nothing more is to be said about: 1 << 53 ms.
const never = 1 << 53

// moments are when the store is still to be told of t, in order.
func (t *Task) moments(c *Campaign) (list []moment) {
	for _, lead := range c.Leads {
		if lead < t.lead {
			list = append(list, moment{c.leadAt(lead), byLead, lead})
		}
	}
	if t.Status == Prompted && t.WasPrompted() {
		for _, r := range remindAt {
			if r.percent > t.reminded {
				list = append(list, moment{t.PromptedAt.Add(t.AckDeadline.Sub(t.PromptedAt) * time.Duration(r.percent) / 100), r.kind, 0})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b moment) int { return a.at.Compare(b.at) })
	return list
}

// turn is what to do about a task now.
type turn struct {
	say    *moment  // to be said now
	passed []moment // never to be said
	wait   int64    // when to look again, if nothing is said or passed
}

// turn decides what is due for t at now.
func (t *Task) turn(c *Campaign, now time.Time, quiet partner.Silence) turn {
	due := t.moments(c)
	due = due[:countDue(due, now)]
	if len(due) == 0 {
		return turn{wait: t.nextLook(c, now, quiet)}
	}
	latest, before := &due[len(due)-1], due[:len(due)-1]
	wakes := quiet.Until(now)
	switch {
	case latest.kind != byLead && !now.Before(t.AckDeadline): // nobody ran when there was time left
		return turn{passed: due}
	case !wakes.After(now):
		return turn{say: latest, passed: before}
	case wakes.Before(t.useless(c, now)):
		return turn{wait: wakes.UnixMilli()}
	case !t.WasPrompted():
		return turn{say: latest, passed: before}
	}
	return turn{passed: due}
}

func countDue(list []moment, now time.Time) int {
	n := 0
	for n < len(list) && !list[n].at.After(now) {
		n++
	}
	return n
}

// useless is from when on it is too late to say anything about t.
func (t *Task) useless(c *Campaign, now time.Time) time.Time {
	switch {
	case !t.WasPrompted():
		_, stock := deadlines(now, c.StartsAt, c.EndsAt, c.shortest())
		return stock
	case t.Status == Prompted:
		return t.AckDeadline
	}
	return t.StockDeadline
}

// nextLook is when the next moment comes after now, or after the quiet hours it falls into.
func (t *Task) nextLook(c *Campaign, now time.Time, quiet partner.Silence) int64 {
	all := t.moments(c)
	if all = all[countDue(all, now):]; len(all) == 0 {
		return never
	}
	return quiet.Until(all[0].at).UnixMilli()
}

// take marks m as dealt with.
func (t *Task) take(m moment) {
	if m.kind == byLead {
		t.lead = min(t.lead, m.lead)
		return
	}
	for _, r := range remindAt {
		if r.kind == m.kind {
			t.reminded = max(t.reminded, r.percent)
		}
	}
}

// attendDue does what is due for a page of a campaign's tasks: how many it found, and how many prompts
// went out.
func attendDue(tx *db.Tx, campaign int64) (found, sent int, err error) {
	c, err := lockCampaign(tx, campaign)
	if err != nil || !c.running(tx.Now()) {
		return 0, 0, err
	}
	tasks, err := selectTasks(tx, `WHERE `+toPrompt+` ORDER BY next_at LIMIT ?`, campaign, tx.Now().UnixMilli(), chunk)
	if err != nil || len(tasks) == 0 {
		return 0, 0, err
	}
	if err := remembered(tx, tasks); err != nil {
		return 0, 0, err
	}
	quiet, err := silences(tx, tasks)
	if err != nil {
		return 0, 0, err
	}
	// Rows of stores are locked in one order, whoever works on them.
	slices.SortFunc(tasks, func(a, b Task) int { return cmp.Or(cmp.Compare(a.Store, b.Store), cmp.Compare(a.Key, b.Key)) })
	waiting := map[int64][]int64{} // by when to look again: a whole country sleeps at a time
	for i := range tasks {
		t := &tasks[i]
		todo := t.turn(&c, tx.Now(), quiet[t.Store])
		if todo.say == nil && len(todo.passed) == 0 {
			waiting[todo.wait] = append(waiting[todo.wait], t.Key)
			continue
		}
		told, err := attend(tx, &c, t, quiet[t.Store], todo)
		if err != nil {
			return 0, 0, err
		}
		if told {
			sent++
		}
	}
	for at, keys := range waiting {
		query, args, err := db.In(`UPDATE prestock_task SET next_at = ? WHERE key IN (?)`, at, keys)
		if err != nil {
			return 0, 0, err
		}
		if _, err := tx.Exec(query, args...); err != nil {
			return 0, 0, err
		}
	}
	return len(tasks), sent, nil
}

// attend says or passes over what is due for t, and reports whether a prompt went out. The row of a
// prompt decides whether it is new, whatever the task says.
func attend(tx *db.Tx, c *Campaign, t *Task, quiet partner.Silence, todo turn) (told bool, err error) {
	old := *t
	for _, m := range todo.passed {
		if _, err := keepPrompt(tx, t, m, ""); err != nil {
			return false, err
		}
		t.take(m)
	}
	if todo.say != nil {
		if told, err = tell(tx, c, t, *todo.say); err != nil {
			return false, err
		}
	}
	t.nextAt = t.nextLook(c, tx.Now(), quiet)
	return told, shrink(tx, &old, t)
}

// tell prompts the store; the caller saves t.
func tell(tx *db.Tx, c *Campaign, t *Task, m moment) (fresh bool, err error) {
	kind := m.kind
	if kind == byLead {
		kind = Again
	}
	if !t.WasPrompted() {
		kind, t.PromptedAt = First, tx.Now()
		t.AckDeadline, t.StockDeadline = deadlines(tx.Now(), c.StartsAt, c.EndsAt, c.shortest())
	}
	t.take(m)
	if t.Status == Planned {
		t.Status = Prompted
	}
	return keepPrompt(tx, t, m, kind)
}

// keepPrompt records a prompt, with the event that tells of it as a kind; "": that it was passed over.
// fresh is false when there is one already.
func keepPrompt(tx *db.Tx, t *Task, m moment, kind string) (fresh bool, err error) {
	var there int
	if err := tx.Get(&there, `SELECT count(*) FROM prestock_prompt WHERE task_key = ? AND kind = ? AND lead_s = ?`,
		t.Key, m.kind, m.lead); err != nil || there > 0 {
		return false, err
	}
	var seq int64
	if kind != "" {
		what := "prestock.prompted"
		if m.kind != byLead {
			what = "prestock.reminded"
		}
		if err := note(tx, t, what, told{LeadS: m.lead, Kind: kind}); err != nil {
			return false, err
		}
		if err := announce(tx, t, kind); err != nil {
			return false, err
		}
		seq = t.Chain.Last
	}
	n, err := tx.Exec(`INSERT INTO prestock_prompt (task_key, kind, lead_s, at, sent, event) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (task_key, kind, lead_s) DO NOTHING`, t.Key, m.kind, m.lead, tx.Now().UnixMilli(), kind != "", seq)
	if err == nil && n == 0 {
		err = db.ErrAgain // another process, in this very moment
	}
	return err == nil, err
}

// announce leaves word of the event just noted for whoever tells stores; kind "" says that the store has
// acted on t itself. The table belongs to package notify; only this is written here.
func announce(tx *db.Tx, t *Task, kind string) error {
	_, err := tx.Exec(`INSERT INTO announcement (event, store_key, subject, kind, urgent) VALUES (?, ?, ?, ?, ?)`,
		t.Chain.Last, t.Store, t.Key, kind, kind == Reminder80)
	return err
}

// silences are the quiet hours of the stores of tasks.
func silences(q db.Queryer, tasks []Task) (map[int64]partner.Silence, error) {
	var keys []int64
	for i := range tasks {
		keys = append(keys, tasks[i].Store)
	}
	slices.Sort(keys)
	return partner.SilenceOf(q, slices.Compact(keys))
}

// remembered looks up which reminders of tasks went out or were passed over.
func remembered(q db.Queryer, tasks []Task) error {
	at := map[int64]int{}
	var keys []int64
	for i, t := range tasks {
		if t.Status == Prompted && t.WasPrompted() {
			at[t.Key], keys = i, append(keys, t.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	query, args, err := db.In(`SELECT task_key, kind FROM prestock_prompt WHERE task_key IN (?) AND kind <> 'lead'`, keys)
	if err != nil {
		return err
	}
	var rows []struct {
		Task int64 `db:"task_key"`
		Kind string
	}
	err = q.Select(&rows, query, args...)
	for _, r := range rows {
		tasks[at[r.Task]].take(moment{kind: r.Kind})
	}
	return err
}

type promptRow struct {
	PromptedMs int64 `db:"prompted_at"`
	NextAt     int64 `db:"next_at"`
}

func (r promptRow) promptedAt() time.Time {
	if r.PromptedMs == 0 {
		return time.Time{}
	}
	return fromMs(r.PromptedMs)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// withPrompts reads the prompts that went out for tasks, in the order in which they did.
func withPrompts(q db.Queryer, tasks []Task) error {
	if len(tasks) == 0 {
		return nil
	}
	at := make(map[int64]int, len(tasks))
	keys := make([]int64, len(tasks))
	for i, t := range tasks {
		at[t.Key], keys[i] = i, t.Key
	}
	query, args, err := db.In(`SELECT task_key, kind, lead_s, at, event FROM prestock_prompt WHERE task_key IN (?) AND sent = TRUE`, keys)
	if err != nil {
		return err
	}
	var rows []struct {
		Task  int64 `db:"task_key"`
		Kind  string
		LeadS int `db:"lead_s"`
		At    int64
		Event int64
	}
	if err := q.Select(&rows, query, args...); err != nil {
		return err
	}
	for _, r := range rows {
		t := &tasks[at[r.Task]]
		t.Prompts = append(t.Prompts, Prompt{fromMs(r.At), r.Kind, r.LeadS, r.Event})
	}
	for i := range tasks {
		list := tasks[i].Prompts
		slices.SortFunc(list, func(a, b Prompt) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(b.LeadS, a.LeadS)) })
		for j := range list {
			if list[j].Kind != byLead {
				continue
			}
			if list[j].Kind = Again; j == 0 {
				list[j].Kind = First
			}
		}
	}
	return nil
}
