package auth

import (
	"hash/crc32"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSecretsAreWellFormedAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	used := map[rune]bool{}
	for range 2000 {
		s := newSecret()
		if _, ok := read(s); !ok || len(s) != 46 || !strings.HasPrefix(s, "ds_live_") || seen[s] {
			t.Fatalf("%q", s)
		}
		seen[s] = true
		for _, c := range s[8:40] {
			used[c] = true
		}
	}
	if len(used) != 62 {
		t.Errorf("only %d characters of 62 occur", len(used))
	}
}

func TestATypoIsRefusedByTheChecksum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := []byte(newSecret())
		was := string(s)
		i := rapid.IntRange(0, len(s)-1).Draw(t, "place")
		if rapid.Bool().Draw(t, "swap") {
			j := (i + 1) % len(s)
			s[i], s[j] = s[j], s[i]
		} else {
			s[i] = rapid.Byte().Draw(t, "other")
		}
		if _, ok := read(string(s)); ok != (string(s) == was) {
			t.Fatalf("%q for %q: %v", s, was, ok)
		}
	})
}

// The checksum is part of the format: secrets made today must be good tomorrow.
func TestTheChecksumStaysWhatItIs(t *testing.T) {
	body := livePrefix + strings.Repeat("0Az", 10) + "00"
	want := ""
	for c := crc32.ChecksumIEEE([]byte(body)); len(want) < sumLen; c /= 62 {
		want = alphabet[c%62:c%62+1] + want
	}
	if got := checksum([]byte(body)); string(got[:]) != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, ok := read(body + want); !ok {
		t.Error("a good secret is refused")
	}
}

func TestWhatIsNoSecret(t *testing.T) {
	s := newSecret()
	for _, bad := range []string{"", "ds_live_", s[:45], s + "0", " " + s, strings.ToUpper(s), "ds_test_" + s[8:], strings.Repeat("é", 23), s[:45] + "\x00"} {
		if _, ok := read(bad); ok {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzSecret(f *testing.F) {
	f.Add("")
	f.Add("ds_live_")
	f.Add("ds_live_00000000000000000000000000000000000000")
	f.Add("ds_live_0123456789ABCDEFGHIJKLMNOPQRSTUV3xRZ9d")
	f.Add(newSecret())
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := read(s)
		if !ok {
			if d != (digest{}) {
				t.Fatal("a digest of no secret")
			}
			return
		}
		if sum := checksum([]byte(s[:bodyLen])); len(s) != secretLen || s[bodyLen:] != string(sum[:]) {
			t.Fatalf("%q was accepted", s)
		}
	})
}
