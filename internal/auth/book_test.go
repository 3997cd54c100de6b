package auth

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"doorstep/internal/db"
	"doorstep/internal/db/dbtest"
	"doorstep/internal/event"
	"doorstep/internal/fault"
	"doorstep/internal/ident"

	"github.com/google/go-cmp/cmp"
)

var (
	bg   = context.Background()
	noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

// office is a book of keys with a clock for its rows and one for its cache.
type office struct {
	*testing.T
	*Book
	rows, real *dbtest.Clock
}

func each(t *testing.T, story func(t *testing.T, o office)) {
	t.Helper()
	rows := dbtest.NewClock(noon)
	dbtest.Each(t, db.Options{Clock: rows.Now}, func(t *testing.T, d *db.DB) {
		rows.Set(noon)
		o := office{t, NewBook(d), rows, dbtest.NewClock(noon)}
		o.now = o.real.Now
		story(t, o)
	})
}

// branch is another process's book on the same database.
func (o office) branch() office {
	b := NewBook(o.db)
	b.now = o.real.Now
	return office{o.T, b, o.rows, o.real}
}

func (o office) create(n NewKey) (string, KeyInfo) {
	o.Helper()
	secret, info, err := o.Create(bg, n)
	if err != nil {
		o.Fatal(err)
	}
	return secret, info
}

func (o office) opens(secret string) Principal {
	o.Helper()
	p, err := o.Authenticate(bg, secret)
	if err != nil {
		o.Errorf("refused: %v", err)
	}
	return p
}

func (o office) refuses(secret string) {
	o.Helper()
	p, err := o.Authenticate(bg, secret)
	if fault.KindOf(err) != fault.Unauthorized || fault.Code(err) != "unauthorized" || p != (Principal{}) {
		o.Errorf("want 401 unauthorized, got %+v %v", p, err)
	}
}

func (o office) count(query string, args ...any) (n int) {
	o.Helper()
	if err := o.db.Read(bg).Get(&n, query, args...); err != nil {
		o.Fatal(err)
	}
	return n
}

func TestAKeyOpensWhatItWasMadeFor(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		later := noon.Add(time.Hour)
		for _, n := range []NewKey{
			{Role: RoleAdmin},
			{Role: RoleDispatcher, Name: "night shift 夜"},
			{Role: RoleStore, Store: 42},
			{Role: RoleMerchant, MerchantName: "Acme", ExpiresAt: &later},
		} {
			secret, info := o.create(n)
			name := o.db.Names().Name(ident.Key, info.Key)
			want := Principal{Key: info.Key, ID: name, Role: n.Role, Store: n.Store, Merchant: info.Merchant, Live: true, Name: n.Name}
			for range 2 { // read, and remembered
				if d := cmp.Diff(want, o.opens(secret)); d != "" {
					t.Error(d)
				}
			}
			if a := want.Actor(); a != "key:"+name || strings.Contains(a, "shift") {
				t.Errorf("actor %q", a)
			}
			if info.Hint != secret[42:] || (info.Merchant != 0) != (n.Role == RoleMerchant) || !info.CreatedAt.Equal(noon) {
				t.Errorf("%+v", info)
			}
		}
		if n := o.count(`SELECT count(*) FROM event WHERE type = 'key.created'`); n != 4 {
			t.Errorf("%d keys were announced", n)
		}
	})
}

func TestWishesThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		for _, c := range []struct {
			want string // pointers and codes
			NewKey
		}{
			{"/role unknown", NewKey{Role: "owner"}},
			{"/role unknown", NewKey{}},
			{"/store_id required", NewKey{Role: RoleStore}},
			{"/store_id not-allowed", NewKey{Role: RoleAdmin, Store: 1}},
			{"/merchant required", NewKey{Role: RoleMerchant}},
			{"/merchant not-allowed", NewKey{Role: RoleDispatcher, Merchant: 1}},
			{"/merchant not-allowed", NewKey{Role: RoleAdmin, MerchantName: "Acme"}},
			{"/merchant ambiguous", NewKey{Role: RoleMerchant, Merchant: 1, MerchantName: "Acme"}},
			{"/merchant unknown", NewKey{Role: RoleMerchant, Merchant: 1}},
			{"/merchant too-long", NewKey{Role: RoleMerchant, MerchantName: strings.Repeat("é", 101)}},
			{"/merchant not-printable", NewKey{Role: RoleMerchant, MerchantName: "Ac\u200bme"}},
			{"/merchant not-printable", NewKey{Role: RoleMerchant, MerchantName: "Ac\nme"}},
			{"/merchant not-utf8", NewKey{Role: RoleMerchant, MerchantName: "Ac\xffme"}},
			{"/merchant surrounding-space", NewKey{Role: RoleMerchant, MerchantName: "Acme "}},
			{"/name not-printable", NewKey{Role: RoleAdmin, Name: "a\x00b"}},
			{"/expires_at in-the-past", NewKey{Role: RoleAdmin, ExpiresAt: &noon}},
			{"/store_id required, /merchant not-allowed, /name too-long", NewKey{Role: RoleStore, MerchantName: "Acme", Name: strings.Repeat("a", 101)}},
		} {
			secret, _, err := o.Create(bg, c.NewKey)
			var got []string
			if e := fault.As(err); e != nil && e.Kind == fault.Invalid {
				for _, f := range e.Fields {
					got = append(got, f.Pointer+" "+f.Code)
				}
			}
			if s := strings.Join(got, ", "); s != c.want || secret != "" {
				t.Errorf("%+v: %q (%v), want %q", c.NewKey, s, err, c.want)
			}
		}
		if n := o.count(`SELECT (SELECT count(*) FROM api_key) + (SELECT count(*) FROM merchant) + (SELECT count(*) FROM event)`); n != 0 {
			t.Errorf("the refusals left %d rows", n)
		}
	})
}

func TestARevokedKeyIsRefusedWithinASecondByEveryProcess(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		other := o.branch()
		secret, info := o.create(NewKey{Role: RoleAdmin})
		o.opens(secret)
		other.opens(secret)
		for range 2 {
			if err := o.Revoke(bg, info.Key); err != nil {
				t.Fatal(err)
			}
		}
		o.refuses(secret)
		other.opens(secret) // it has not looked since: this is the cache
		o.real.Advance(maxAge)
		other.refuses(secret)
		other.refuses(secret)
		o.refuses(secret)
		if maxAge >= time.Second {
			t.Error("a second is what the contract allows")
		}
		if err := o.Revoke(bg, info.Key+1); fault.KindOf(err) != fault.NotFound {
			t.Errorf("an unknown key: %v", err)
		}

		var last int64
		if err := o.db.Read(bg).Get(&last, `SELECT last_event FROM api_key WHERE key = ?`, info.Key); err != nil {
			t.Fatal(err)
		}
		story, err := event.Story(o.db.Read(bg), last)
		if err != nil || len(story) != 2 || story[0].Type != "key.created" || story[1].Type != "key.revoked" {
			t.Errorf("%v %v", story, err)
		}
	})
}

// A busy key is never refused by age alone: one request renews the entry, and it finds the
// revocation before the entry is too old to use.
func TestAnEntryIsRenewedBeforeItIsTooOld(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		other := o.branch()
		secret, info := o.create(NewKey{Role: RoleAdmin})
		other.opens(secret)
		d, _ := read(secret)
		first := other.known.get(d)
		o.real.Advance(renewAge - 1*time.Millisecond)
		other.opens(secret)
		if other.known.get(d) != first {
			t.Error("renewed too early")
		}
		o.real.Advance(time.Millisecond)
		other.opens(secret)
		if other.known.get(d) == first {
			t.Error("not renewed")
		}
		if err := o.Revoke(bg, info.Key); err != nil {
			t.Fatal(err)
		}
		o.real.Advance(renewAge)
		other.refuses(secret)
	})
}

// A look-up that read the row just before the revocation must not bring the key back after it.
func TestALateLookUpDoesNotReviveAKey(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		secret, info := o.create(NewKey{Role: RoleAdmin})
		d, _ := read(secret)
		late, err := o.look(bg, d, false, (*Book).openKey)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Revoke(bg, info.Key); err != nil {
			t.Fatal(err)
		}
		o.known.put(late)
		o.refuses(secret)
	})
}

func TestManyAskWhileTheKeyIsRevoked(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o.now = time.Now
		secret, info := o.create(NewKey{Role: RoleAdmin})
		revoked := make(chan struct{})
		var asking sync.WaitGroup
		for range 8 {
			asking.Go(func() {
				for after := false; !after; {
					select {
					case <-revoked:
						after = true
					default:
					}
					if _, err := o.Authenticate(bg, secret); after && err == nil {
						t.Error("opened after Revoke had returned")
					}
				}
			})
		}
		if err := o.Revoke(bg, info.Key); err != nil {
			t.Error(err)
		}
		close(revoked)
		asking.Wait()
	})
}

func TestAKeyExpiresOnTheDatabasesClock(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		until := noon.Add(time.Minute)
		secret, _ := o.create(NewKey{Role: RoleAdmin, ExpiresAt: &until})
		o.opens(secret)
		o.rows.Set(until.Add(-time.Millisecond))
		o.opens(secret)
		o.rows.Set(until)
		o.refuses(secret) // though the entry is fresh
	})
}

func TestGuessingOpensNothingAndDisturbsNobody(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		o.unknown = newTable(8)
		secret, _ := o.create(NewKey{Role: RoleAdmin})
		o.opens(secret)
		d, _ := read(secret)
		good := o.known.get(d)
		var guessing sync.WaitGroup
		for range 8 {
			guessing.Go(func() {
				for range 25 {
					o.refuses(newSecret())
				}
			})
		}
		guessing.Wait()
		if o.known.get(d) != good {
			t.Error("guesses pushed a good key out of the cache")
		}
		if n := len(o.looks); n != 0 {
			t.Errorf("%d look-ups never ended", n)
		}
	})
}

func TestATypoDoesNotReachTheDatabase(t *testing.T) {
	secret := newSecret()
	typo := secret[:20] + string(alphabet[(strings.IndexByte(alphabet, secret[20])+1)%62]) + secret[21:]
	o := office{T: t, Book: NewBook(nil)} // asking it would panic
	o.refuses(typo)
	o.refuses("")
	o.refuses("ds_live_")
}

func TestAFailingDatabaseIsNotARefusal(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		ctx, cancel := context.WithCancel(bg)
		cancel()
		if _, err := o.Authenticate(ctx, newSecret()); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%v", err)
		}
	})
}

func TestARememberedKeyCostsNoMemory(t *testing.T) {
	o := office{T: t, Book: NewBook(dbtest.Open(t, db.SQLite, db.Options{}))}
	o.now = func() time.Time { return noon } // never due to be renewed
	secret, _ := o.create(NewKey{Role: RoleAdmin})
	o.opens(secret)
	if n := testing.AllocsPerRun(100, func() { _, _ = o.Authenticate(bg, secret) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func TestNoSecretIsWrittenDown(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		secret, info := o.create(NewKey{Role: RoleMerchant, MerchantName: "Acme", Name: "till"})
		o.opens(secret)
		if err := o.Revoke(bg, info.Key); err != nil {
			t.Fatal(err)
		}
		d, _ := read(secret)
		found := false
		for _, text := range o.everything() {
			for i := len(livePrefix); i+8 <= len(secret); i++ {
				if strings.Contains(text, secret[i:i+8]) {
					t.Fatalf("a part of the secret is in the database: %q", text)
				}
			}
			found = found || text == hex.EncodeToString(d[:])
		}
		if !found {
			t.Error("the digest was not seen: the scan is blind")
		}
		r, err := byKey(o.db.Read(bg), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		err = o.db.InTx(bg, func(tx *db.Tx) error {
			twin := r.info()
			twin.Key = tx.NewKey()
			return insertKey(tx, twin, hex.EncodeToString(d[:]), r.Chain)
		})
		if !db.IsUnique(err) {
			t.Errorf("one digest for two keys: %v", err)
		}
	})
}

// everything is every value of every table as text.
func (o office) everything() (texts []string) {
	o.Helper()
	query := `SELECT m.name AS tab, p.name AS col FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'`
	if o.db.Engine() == db.Postgres {
		query = `SELECT table_name AS tab, column_name AS col FROM information_schema.columns WHERE table_schema = 'public'`
	}
	var columns []struct{ Tab, Col string }
	if err := o.db.Read(bg).Select(&columns, query); err != nil {
		o.Fatal(err)
	}
	for _, c := range columns {
		var values []string
		if err := o.db.Read(bg).Select(&values, fmt.Sprintf(`SELECT CAST(%q AS TEXT) FROM %q WHERE %q IS NOT NULL`, c.Col, c.Tab, c.Col)); err != nil {
			o.Fatal(err)
		}
		texts = append(texts, values...)
	}
	return texts
}

func TestKeysAreListedNewestFirst(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		var made []KeyInfo
		for i := range 5 {
			n := NewKey{Role: RoleStore, Store: int64(i + 1)}
			if i == 3 {
				until := noon.Add(time.Hour)
				n = NewKey{Role: RoleMerchant, MerchantName: "Acme", Name: "till", ExpiresAt: &until}
			}
			_, info := o.create(n)
			made = append([]KeyInfo{info}, made...)
		}
		if err := o.Revoke(bg, made[2].Key); err != nil {
			t.Fatal(err)
		}
		made[2].RevokedAt = &noon
		var got []KeyInfo
		pages := 0
		for cursor := int64(0); ; pages++ {
			page, next, err := o.List(bg, cursor, 2)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page...)
			if cursor = next; next == 0 {
				break
			}
			if pages == 0 {
				o.create(NewKey{Role: RoleAdmin}) // a new key does not shift the pages
			}
		}
		if d := cmp.Diff(made, got); d != "" || pages != 2 {
			t.Error(pages, d)
		}
	})
}

func TestAMerchantIsMadeOnce(t *testing.T) {
	each(t, func(t *testing.T, o office) {
		keys := make([]int64, 12)
		var making sync.WaitGroup
		for i := range keys {
			making.Go(func() {
				err := o.db.InTx(bg, func(tx *db.Tx) (err error) {
					keys[i], err = EnsureMerchant(tx, "Acme")
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		making.Wait()
		for _, k := range keys {
			if k == 0 || k != keys[0] {
				t.Fatalf("one name, many merchants: %v", keys)
			}
		}
		if n := o.count(`SELECT count(*) FROM event WHERE type = 'merchant.created' AND subject = ? AND merchant = ?`, keys[0], keys[0]); n != 1 {
			t.Errorf("announced %d times", n)
		}
		for range 2 {
			if name, err := o.MerchantName(bg, keys[0]); name != "Acme" || err != nil {
				t.Errorf("%q %v", name, err)
			}
		}
		if _, err := o.MerchantName(bg, 1); fault.KindOf(err) != fault.NotFound {
			t.Errorf("an unknown merchant: %v", err)
		}
		_, info := o.create(NewKey{Role: RoleMerchant, Merchant: keys[0]})
		if info.Merchant != keys[0] || info.MerchantName != "Acme" {
			t.Errorf("%+v", info)
		}
		err := o.db.InTx(bg, func(tx *db.Tx) error { _, err := EnsureMerchant(tx, ""); return err })
		if e := fault.As(err); e == nil || e.Kind != fault.Invalid || e.Fields[0].Pointer != "/merchant" {
			t.Errorf("no name: %v", err)
		}
	})
}
