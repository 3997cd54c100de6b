package dropoff

import (
	"slices"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/order"
)

// found are the flags that need a look at other attempts. They go in pairs: what makes one attempt odd
// makes the other odd too, and nobody here can tell which of them is the lie.
var found = []string{ImpossibleSpeed, PhotoReused, PhotoSimilar}

func (a *Attempt) flagged(flags ...string) bool {
	return slices.ContainsFunc(a.Flags, func(f string) bool { return slices.Contains(flags, f) })
}

// elsewhere names an attempt.
type elsewhere struct {
	Order   int64 `db:"order_key"`
	Attempt int
}

// flag brings the flags of a in line with its chain, to which e has just come, and those of the other
// attempts that e says something about. It returns which of a's are new; the caller keeps a.
//
// Only what e can change is looked up. An attempt without a flag of the found stays without as far as
// its older events go: whatever else would change that, it is flagged when that comes.
func (v *visits) flag(a *Attempt, e Event) (fresh []string, err error) {
	if err := v.departed(a); err != nil {
		return nil, err
	}
	look := a.Events[len(a.Events)-1:]
	if e.Supersedes != "" || a.flagged(found...) {
		look = a.Events
	}
	looks, err := looksOf(v.tx, a.Events)
	if err != nil {
		return nil, err
	}
	if err := usePhotos(v.tx, v.o.Store, a, look, looks); err != nil {
		return nil, err
	}
	f, others, err := findFacts(v.tx, &v.o, a, look, looks)
	if err != nil {
		return nil, err
	}
	fresh = a.reflag(&v.o, &v.policy, f)
	return fresh, v.flagOthers(a, others)
}

// departed learns when the parcel of a new attempt left the store: with its last pick-up, unless an
// earlier attempt has set out since.
func (v *visits) departed(a *Attempt) (err error) {
	if len(a.Events) == 1 && a.Leg != LegReturn {
		a.PickedUp, err = pickedUp(v.tx, v.o.Chain.Last, a.N)
	}
	return err
}

// reflag sets the flags of a and returns which are new.
func (a *Attempt) reflag(o *order.Order, p *order.Policy, f Facts) (fresh []string) {
	f.Leg = a.Leg
	if a.PickedUp != nil {
		f.PickedUp = *a.PickedUp
	}
	old := a.Flags
	a.Flags = a.Events.Flags(o, p, a.StartedAt, f)
	for _, flag := range a.Flags {
		if !slices.Contains(old, flag) {
			fresh = append(fresh, flag)
		}
	}
	return fresh
}

// tellFlags notes in the order's story what is odd about an attempt: codes, and nothing else.
func tellFlags(tx *db.Tx, o *order.Order, a *Attempt, fresh []string) error {
	if len(fresh) == 0 {
		return nil
	}
	return order.Note(tx, o, "dropoff.flagged", tx.Now(), order.Happened{Attempt: a.N, Grade: a.Grade, Flags: fresh})
}

// flagOthers looks again at other attempts, each at most once.
func (v *visits) flagOthers(a *Attempt, others []elsewhere) error {
	seen := map[elsewhere]bool{{v.o.Key, a.N}: true}
	for _, at := range others {
		if seen[at] {
			continue
		}
		seen[at] = true
		if at.Order == v.o.Key {
			if at.Attempt > len(v.attempts) {
				continue
			}
			if err := flagAnew(v.tx, &v.o, &v.policy, &v.attempts[at.Attempt-1]); err != nil {
				return err
			}
		} else if err := flagElsewhere(v.tx, at); err != nil {
			return err
		}
	}
	return nil
}

// flagElsewhere looks again at an attempt of another order. Two orders that do this to each other at the
// same time are told apart by the database, and one of them is tried again.
func flagElsewhere(tx *db.Tx, at elsewhere) error {
	o, err := order.Lock(tx, at.Order)
	if err != nil || o.ErasedAt != nil { // what it was flagged for is not there any more
		return err
	}
	p, err := order.PolicyOf(tx, &o)
	if err != nil {
		return err
	}
	attempts, err := loadAttempts(tx, at.Order)
	if err != nil || at.Attempt > len(attempts) {
		return err
	}
	before := o.Chain
	if err := flagAnew(tx, &o, &p, &attempts[at.Attempt-1]); err != nil || o.Chain == before {
		return err
	}
	return order.Save(tx, &o)
}

// flagAnew brings the flags of an attempt in line with everything that is known now.
func flagAnew(tx *db.Tx, o *order.Order, p *order.Policy, a *Attempt) error {
	looks, err := looksOf(tx, a.Events)
	if err != nil {
		return err
	}
	f, _, err := findFacts(tx, o, a, a.Events, looks)
	if err != nil {
		return err
	}
	old := a.Flags
	fresh := a.reflag(o, p, f)
	if slices.Equal(old, a.Flags) {
		return nil
	}
	if err := updateAttempt(tx, a); err != nil {
		return err
	}
	return tellFlags(tx, o, a, fresh)
}

// findFacts finds what other attempts say about those of a's events that are in look, and which other
// attempts are to be looked at again, now that these events are known.
func findFacts(tx *db.Tx, o *order.Order, a *Attempt, look Chain, looks map[string]photoLook) (f Facts, others []elsewhere, err error) {
	f.Uploaded = map[string]time.Time{}
	for sha, l := range looks {
		f.Uploaded[sha] = l.uploaded
	}
	here := elsewhere{o.Key, a.N}
	by := a.Events.Superseded()
	for _, e := range look {
		moves, again, err := findMoves(tx, here, e)
		if err != nil {
			return f, nil, err
		}
		f.Moves, others = append(f.Moves, moves...), append(others, again...)
		if e.PhotoSHA256 == "" {
			continue
		}
		counts := by[e.ID] == ""
		reused, again, err := findReuse(tx, here, e, counts)
		if err != nil {
			return f, nil, err
		}
		f.Reused, others = f.Reused || counts && reused, append(others, again...)
		if l, ok := looks[e.PhotoSHA256]; ok {
			alike, again, err := findAlike(tx, o.Store, here, e, l.look, counts)
			if err != nil {
				return f, nil, err
			}
			f.Alike, others = f.Alike || counts && alike, append(others, again...)
		}
	}
	return f, others, nil
}

// fixAt is a fix in the line of its phone, with what is flagged already.
type fixAt struct {
	Fix
	elsewhere
	speeding bool
}

// findMoves finds the moves from the fix before e of the same phone, and to the one after. Fixes that
// were taken back count too: the phone was where it was, whatever its owner meant to tap. Only
// neighbours in time are compared: if a longer way is impossible, so is a step of it.
func findMoves(tx *db.Tx, here elsewhere, e Event) (moves []Move, again []elsewhere, err error) {
	if e.Location == nil || e.Network {
		return nil, nil, nil
	}
	this := Fix{e.OccurredAt, *e.Location, e.AccuracyM}
	before, err := nextFix(tx, e, false)
	if err != nil {
		return nil, nil, err
	}
	after, err := nextFix(tx, e, true)
	if err != nil {
		return nil, nil, err
	}
	step := func(m Move, other *fixAt) {
		if other.Order == here.Order {
			return
		}
		moves = append(moves, m)
		if m.impossible() && !other.speeding {
			again = append(again, other.elsewhere)
		}
	}
	if before != nil {
		step(Move{before.Fix, this}, before)
	}
	if after != nil {
		step(Move{this, after.Fix}, after)
	}
	// The step that e came between is none any more.
	if before != nil && after != nil && before.Order != after.Order && (Move{before.Fix, after.Fix}).impossible() {
		again = append(again, before.elsewhere, after.elsewhere)
	}
	return moves, again, nil
}

// Photos are compared with those that the same store has shown shortly before and after: who saves
// himself the way to the door takes a photo that he has at hand.
const (
	alikeWithin = 30 * 24 * time.Hour
	alikeAmong  = 128 // photos to each side: more is not read, however busy the store
)

// findAlike reports whether e's photo looks like one of another attempt of the store, and which of those
// are to be looked at again: who is not flagged for it though the photo counts, or is though it does not
// count any more.
func findAlike(tx *db.Tx, store int64, here elsewhere, e Event, look Look, counts bool) (alike bool, again []elsewhere, err error) {
	near, err := usedNear(tx, store, e.OccurredAt)
	if err != nil {
		return false, nil, err
	}
	for _, u := range near {
		if u.elsewhere == here || u.SHA256 == e.PhotoSHA256 || u.Look == nil || !look.Alike(Look(*u.Look)) {
			continue
		}
		alike = true
		if has, err := hasFlag(tx, u.elsewhere, PhotoSimilar); err != nil {
			return false, nil, err
		} else if has != counts {
			again = append(again, u.elsewhere)
		}
	}
	return alike, again, nil
}

// findReuse reports whether e's photo is one of another attempt too, and which of those is to be looked
// at again, as in findAlike: at most one, for where there are two they have flagged each other.
func findReuse(tx *db.Tx, here elsewhere, e Event, counts bool) (reused bool, again []elsewhere, err error) {
	others, err := usesOf(tx, here, e.PhotoSHA256)
	if err != nil || len(others) == 0 {
		return false, nil, err
	}
	if has, err := hasFlag(tx, others[0], PhotoReused); err != nil {
		return false, nil, err
	} else if len(others) == 1 && has != counts {
		again = others
	}
	return true, again, nil
}
