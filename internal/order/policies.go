package order

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"doorstep/internal/auth"
	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"
)

// SetPolicy is a policy with who set it and when. The usual one was set by nobody: Version 0.
type SetPolicy struct {
	Policy
	Merchant int64
	Version  int64 // 1, 2, 3 … of the merchant
	Actor    string
	At       time.Time
}

// A merchant's newest policy is trusted for policyMaxAge of real time, so that one set in another process
// holds within a second. At policyRenewAge one order reads it again while the others go on.
const (
	policyMaxAge   = 500 * time.Millisecond
	policyRenewAge = 250 * time.Millisecond
)

// Policies are the merchants' policies. New orders ask for theirs here and not in the database: the
// goroutine that writes never looks for one. It is safe for concurrent use.
type Policies struct {
	db  *db.DB
	now func() time.Time // real and monotonic: a sandbox's clock may stand still

	newest  sync.Map      // merchant's key -> *newestPolicy
	changes atomic.Uint64 // made by this process: what was read before the last one is void
}

type newestPolicy struct {
	policy   *Policy
	read     time.Time
	changes  uint64
	renewing atomic.Bool
}

// NewPolicies are the policies in d.
func NewPolicies(d *db.DB) *Policies { return &Policies{db: d, now: time.Now} }

// Newest is the policy that holds for a merchant's new orders; nobody may change it.
func (b *Policies) Newest(ctx context.Context, merchant int64) (*Policy, error) {
	if n, ok := b.newest.Load(merchant); ok && n.(*newestPolicy).usable(b.now(), b.changes.Load()) {
		return n.(*newestPolicy).policy, nil
	}
	n := &newestPolicy{read: b.now(), changes: b.changes.Load()}
	s, err := newestPolicyOf(b.db.Read(ctx), merchant)
	if err != nil {
		return nil, err
	}
	n.policy = &s.Policy
	b.newest.Store(merchant, n)
	return n.policy, nil
}

// usable is false for the one order that has to read it again.
func (n *newestPolicy) usable(now time.Time, changes uint64) bool {
	age := now.Sub(n.read)
	if n.changes != changes || age >= policyMaxAge {
		return false
	}
	return age < policyRenewAge || !n.renewing.CompareAndSwap(false, true)
}

// Get is a merchant's newest policy as it stands in the database.
func (b *Policies) Get(ctx context.Context, merchant int64) (SetPolicy, error) {
	return newestPolicyOf(b.db.Read(ctx), merchant)
}

// Set makes p the policy of a merchant's orders from now on; those that are there keep theirs. Setting
// what holds already changes nothing.
//
// Errors: fault.Invalid naming the fields; fault.Stale unless the merchant's policy is at ifVersion, when
// that is not nil; fault.Missing for the merchant.
func (b *Policies) Set(ctx context.Context, merchant int64, p Policy, ifVersion *int64) (set SetPolicy, err error) {
	if err := p.Check(); err != nil {
		return set, err
	}
	err = b.db.InTx(ctx, func(tx *db.Tx) error {
		if set, err = newestPolicyOf(tx, merchant); err != nil {
			return err
		}
		if ifVersion != nil && *ifVersion != set.Version {
			return fault.New(fault.Stale, "version-mismatch", "the policy is at version %d: read it again", set.Version)
		}
		fields := set.Policy.changed(&p)
		if len(fields) == 0 {
			return nil
		}
		if err := auth.NoteMerchant(tx, merchant, "merchant.policy_changed", map[string]any{
			"merchant_id": tx.Names().Name(ident.Merchant, merchant), "version": set.Version + 1, "fields": fields}); err != nil {
			return err
		}
		p.Key = tx.NewKey()
		set = SetPolicy{Policy: p, Merchant: merchant, Version: set.Version + 1, Actor: event.Actor(ctx), At: tx.Now()}
		tx.OnCommit(func() { b.changes.Add(1) })
		// Of two who set it at once, the later runs again: the version is taken.
		return tx.InsertRow(merchantPolicies.Row(p.Key, merchant, set.Version, p.document(), set.Actor, set.At.UnixMilli()))
	})
	return set, err
}

// Versions is a page of the policies a merchant has set, newest first, and whether more follow. before is
// the last version of the page before, 0 for the first page.
func (b *Policies) Versions(ctx context.Context, merchant, before int64, limit int) ([]SetPolicy, bool, error) {
	if before == 0 {
		before = 1<<63 - 1
	}
	var rows []policyRow
	if err := b.db.Read(ctx).Select(&rows, `SELECT `+policyColumns+` FROM merchant_policy WHERE merchant_key = ? AND version < ?
		ORDER BY version DESC LIMIT ?`, merchant, before, limit+1); err != nil {
		return nil, false, err
	}
	more := len(rows) > limit
	if more {
		rows = rows[:limit]
	}
	out := make([]SetPolicy, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.policy(); err != nil {
			return nil, false, err
		}
	}
	return out, more, nil
}

const policyColumns = `key, merchant_key, version, document, actor, created_at`

var merchantPolicies = db.NewSealed("merchant_policy", policyColumns)

type policyRow struct {
	Key       int64
	Merchant  int64 `db:"merchant_key"`
	Version   int64
	Document  string
	Actor     string
	CreatedAt int64 `db:"created_at"`
}

func (r policyRow) policy() (SetPolicy, error) {
	p, err := readPolicy(r.Key, r.Document)
	return SetPolicy{p, r.Merchant, r.Version, r.Actor, fromMs(r.CreatedAt)}, err
}

func newestPolicyOf(q db.Queryer, merchant int64) (SetPolicy, error) {
	var r policyRow
	err := q.Get(&r, `SELECT `+policyColumns+` FROM merchant_policy WHERE merchant_key = ? ORDER BY version DESC LIMIT 1`, merchant)
	if errors.Is(err, db.ErrNoRows) {
		return SetPolicy{Policy: UsualPolicy, Merchant: merchant}, nil
	} else if err != nil {
		return SetPolicy{}, err
	}
	return r.policy()
}
