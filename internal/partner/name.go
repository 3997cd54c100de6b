package partner

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"

	"doorstep/internal/db"
)

// Stores are found by the beginnings of the words of their names. store_word is written by a job that reads
// what has changed about stores, so that adding and changing one costs nothing more.

const (
	wordsDone    = "store_word"
	takenAtOnce  = 500 // stores a transaction
	wordAtMost   = 12  // letters kept of a word, and places of a text without blanks
	namedAtMost  = 400 // stores looked at for one question
	shortestWord = 2   // letters of a word that is asked for
)

// nameWords are the words that a store of this name is found by: lower case, each once. Where a script puts no
// blanks between words, every place may begin one.
func nameWords(name string) []string {
	var out []string
	for _, word := range wordsOf(name) {
		letters := []rune(word)
		last := 0 // where the last word begins that is kept
		if unspaced(letters[0]) {
			last = min(len(letters), wordAtMost) - 1
		}
		for at := 0; at <= last; at++ {
			out = append(out, string(letters[at:min(len(letters), at+wordAtMost)]))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wordsOf are runs of letters and digits, lower case; a change between a script with blanks and one without
// ends a run.
func wordsOf(text string) []string {
	var out []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			out = append(out, string(word))
		}
		word = nil
	}
	for _, r := range strings.ToLower(text) {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			end()
			continue
		}
		if len(word) > 0 && unspaced(word[0]) != unspaced(r) {
			end()
		}
		word = append(word, r)
	}
	end()
	return out
}

func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai)
}

// fits reports whether a store of this name has a word that begins with each of the words asked for.
func fits(name string, asked []string) bool {
	has := nameWords(name)
	for _, a := range asked {
		if !slices.ContainsFunc(has, func(w string) bool { return strings.HasPrefix(w, cut(a)) }) {
			return false
		}
	}
	return true
}

func cut(word string) string {
	if r := []rune(word); len(r) > wordAtMost {
		return string(r[:wordAtMost])
	}
	return word
}

// TakeNames takes the names of stores that changed since it last ran into store_word. While others wait for the
// writer it stops after takenAtOnce. Running it twice, or on two processes, changes nothing more.
func (b *Book) TakeNames(ctx context.Context) error {
	for {
		var seq int64
		if err := b.db.Read(ctx).Get(&seq, `SELECT upto FROM search_done WHERE name = ?`, wordsDone); err != nil {
			return err
		}
		changed, next, err := b.ChangedSince(ctx, seq, takenAtOnce)
		if err != nil || len(changed) == 0 {
			return err
		}
		type row struct {
			word  string
			store int64
		}
		var rows []row
		for i := range changed {
			for _, w := range nameWords(changed[i].Name) {
				rows = append(rows, row{w, changed[i].Key})
			}
		}
		slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.word, b.word) })
		err = b.db.InTx(ctx, func(tx *db.Tx) error {
			n, err := tx.Exec(`UPDATE search_done SET upto = ? WHERE name = ? AND upto = ?`, next, wordsDone, seq)
			if err != nil || n == 0 {
				return err
			}
			for _, r := range rows {
				if _, err := tx.Exec(`INSERT INTO store_word (word, store_key) VALUES (?, ?) ON CONFLICT (word, store_key) DO NOTHING`,
					[]byte(r.word), r.store); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || b.db.Stats().Queue > 0 {
			return err
		}
	}
}

// Named are stores whose names have words that begin with those of text, at most limit of them; all is false
// when there may be more. A text without a word of two letters names none.
func (b *Book) Named(ctx context.Context, text string, limit int) (found []Store, all bool, err error) {
	asked := wordsOf(text)
	long := "" // the longest leaves the fewest
	for _, w := range asked {
		if len([]rune(w)) > len([]rune(long)) {
			long = w
		}
	}
	if len([]rune(long)) < shortestWord {
		return nil, true, nil
	}
	from := []byte(cut(long))
	var keys []int64
	if err := b.db.Read(ctx).Select(&keys, `SELECT store_key FROM store_word WHERE word >= ? AND word < ? ORDER BY word, store_key LIMIT ?`,
		from, append(slices.Clone(from), 0xff), namedAtMost); err != nil {
		return nil, false, err
	}
	all = len(keys) < namedAtMost
	seen := map[int64]bool{}
	for _, key := range keys {
		if seen[key] {
			continue
		}
		seen[key] = true
		s, err := LoadTx(b.db.Read(ctx), key)
		if err != nil {
			return nil, false, err
		}
		if s.Removed || !fits(s.Name, asked) {
			continue
		}
		if len(found) == limit {
			return found, false, nil
		}
		found = append(found, s)
	}
	return found, all, nil
}

// AnyNames reports whether TakeNames would find something.
func (b *Book) AnyNames(ctx context.Context) (bool, error) {
	var one int
	err := b.db.Read(ctx).Get(&one, `SELECT 1 FROM store WHERE last_event > (SELECT upto FROM search_done WHERE name = ?) LIMIT 1`, wordsDone)
	if errors.Is(err, db.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
