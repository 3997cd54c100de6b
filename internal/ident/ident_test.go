package ident_test

import (
	"bytes"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"doorstep/internal/ident"

	"pgregory.net/rapid"
)

func names(t testing.TB, seed byte) *ident.Names {
	n, err := ident.NewNames(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestKeysGrowAndNeverRepeat(t *testing.T) {
	k := ident.NewKeys(7)
	const each, workers = 20_000, 4
	all := make([][]int64, workers)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			for range each {
				all[i] = append(all[i], k.Next())
			}
		})
	}
	wg.Wait()
	seen := map[int64]bool{}
	for _, keys := range all {
		if !sort.SliceIsSorted(keys, func(i, j int) bool { return keys[i] < keys[j] }) {
			t.Error("one worker's keys step back")
		}
		for _, key := range keys {
			if key <= 0 || seen[key] || ident.Node(key) != 7 {
				t.Fatalf("key %d", key)
			}
			seen[key] = true
		}
	}
	if age := time.Since(ident.Time(k.Next())); age > time.Minute || age < -time.Minute {
		t.Errorf("a key of now says it was made %s ago", age)
	}
	ahead := ident.At(time.Now().Add(time.Hour))
	k.Advance(ahead)
	if next := k.Next(); next <= ahead {
		t.Errorf("%d does not follow %d", next, ahead)
	}
}

func TestNamesAreReadBackAndSortAsKeysDo(t *testing.T) {
	n := names(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64Range(0, 1<<62).Draw(t, "a")
		b := rapid.Int64Range(0, 1<<62).Draw(t, "b")
		na, nb := n.Name("ord", a), n.Name("ord", b)
		if got, ok := n.Parse("ord", na); !ok || got != a || len(na) != 28 {
			t.Fatalf("%s reads back as %d, %v", na, got, ok)
		}
		if (a < b) != (na < nb) {
			t.Fatalf("%d %s and %d %s sort differently", a, na, b, nb)
		}
		// One character changed anywhere is no name any more.
		i := rapid.IntRange(4, 27).Draw(t, "i")
		c := "0123456789abcdefghjkmnpqrstvwxyz"[rapid.IntRange(0, 31).Draw(t, "c")]
		if forged := na[:i] + string(c) + na[i+1:]; forged != na {
			if _, ok := n.Parse("ord", forged); ok {
				t.Fatalf("%s was believed", forged)
			}
		}
	})
	if _, ok := n.Parse("str", n.Name("ord", 5)); ok {
		t.Error("an order's name was taken for a store's")
	}
	if _, ok := names(t, 2).Parse("ord", n.Name("ord", 5)); ok {
		t.Error("another network's name was believed")
	}
	if _, err := ident.NewNames([]byte("short")); err == nil {
		t.Error("a short secret was taken")
	}
}

func TestLinksCannotBeForged(t *testing.T) {
	n := names(t, 1)
	link := n.Link("tracking", 42, 3)
	if key, version, ok := n.ParseLink("tracking", link); !ok || key != 42 || version != 3 {
		t.Fatalf("%d %d %v", key, version, ok)
	}
	if _, _, ok := n.ParseLink("other", link); ok {
		t.Error("a link of another purpose was believed")
	}
	for i := range link {
		for _, c := range "AZaz09-_" {
			forged := link[:i] + string(c) + link[i+1:]
			if key, version, ok := n.ParseLink("tracking", forged); ok && forged != link {
				t.Fatalf("%s was believed as %d/%d", forged, key, version)
			}
		}
	}
	if n.Link("tracking", 42, 4) == link {
		t.Error("a new version has the old link")
	}
	if sig := n.Sign("photo", "abc|1"); !n.Signed("photo", "abc|1", sig) || n.Signed("photo", "abc|2", sig) || n.Signed("other", "abc|1", sig) || n.Signed("photo", "abc|1", "") {
		t.Error("signatures")
	}
}

func TestDigits(t *testing.T) {
	n := names(t, 1)
	seen := map[string]bool{}
	for key := range int64(2000) {
		code := n.Digits("collect", key, 6)
		if len(code) != 6 || strings.Trim(code, "0123456789") != "" {
			t.Fatalf("%q", code)
		}
		seen[code] = true
	}
	if len(seen) < 1980 {
		t.Errorf("only %d codes for 2,000 orders", len(seen))
	}
	if n.Digits("pin", 1, 6) == n.Digits("collect", 1, 6) {
		t.Error("one code for two purposes")
	}
}

func FuzzParse(f *testing.F) {
	n := names(f, 1)
	f.Add(n.Name("ord", 1))
	f.Add("ord_")
	f.Add("ord_000000000000000000000000")
	f.Add(n.Link("tracking", 1, 0))
	f.Fuzz(func(t *testing.T, s string) {
		if key, ok := n.Parse("ord", s); ok && n.Name("ord", key) != s {
			t.Errorf("%q is believed and is not %q", s, n.Name("ord", key))
		}
		if key, v, ok := n.ParseLink("tracking", s); ok && n.Link("tracking", key, v) != s {
			t.Errorf("%q is believed and was not made here", s)
		}
	})
}

func BenchmarkName(b *testing.B) {
	n := names(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		n.Name("ord", 12345)
	}
}

// A signature has one spelling: whatever letter is changed, also the last, which carries bits that say nothing.
func TestASignatureHasOneSpelling(t *testing.T) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="
	n := names(t, 1)
	good := n.Sign("photo", "abc|1")
	if !n.Signed("photo", "abc|1", good) {
		t.Fatal("it does not know its own")
	}
	for i := range good {
		for _, c := range []byte(letters) {
			other := good[:i] + string(c) + good[i+1:]
			if other != good && n.Signed("photo", "abc|1", other) {
				t.Errorf("%s for %s", other, good)
			}
		}
	}
	for _, other := range []string{"", good + "=", good + "A", good[1:], " " + good, good + "\n"} {
		if n.Signed("photo", "abc|1", other) {
			t.Errorf("%q for %s", other, good)
		}
	}
}

// What a name claims can be read without the secret, of every name and of nothing else.
func TestANameClaimsItsKey(t *testing.T) {
	name := names(t, 1).Name(ident.Order, 123456789012345)
	if key, ok := ident.Claimed(ident.Order, name); !ok || key != 123456789012345 {
		t.Errorf("%s claims %d %v", name, key, ok)
	}
	for _, junk := range []string{"", "ord_", "ord_x", name[1:], name + "0", "str" + name[3:], strings.ToUpper(name)} {
		if key, ok := ident.Claimed(ident.Order, junk); ok {
			t.Errorf("%q claims %d", junk, key)
		}
	}
}
