package server

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Whoever is behind, however far, gets from chunk to chunk exactly what it lacks, as long as that is
// kept; who is too far behind is told so.
func TestRecentChunksGiveWhatIsLacking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r recent
		first := rapid.Int64Range(0, 9).Draw(t, "first")
		var all []int64
		end := first
		for range rapid.IntRange(1, 6).Draw(t, "chunks") {
			p := &chunk{after: end}
			for range rapid.IntRange(1, 4).Draw(t, "events") {
				end += rapid.Int64Range(1, 3).Draw(t, "step")
				all = append(all, end)
				p.text = fmt.Appendf(p.text, "%d,", end)
				p.seqs, p.ends = append(p.seqs, end), append(p.ends, len(p.text))
			}
			p.last = end
			r.add(p)
		}
		cursor := rapid.Int64Range(0, end+2).Draw(t, "cursor")
		want := ""
		for _, seq := range all {
			if seq > cursor && cursor >= first {
				want += fmt.Sprintf("%d,", seq)
			}
		}
		got := ""
		for p := r.behind(cursor); p != nil; p = r.behind(cursor) {
			got += string(p.behind(cursor))
			cursor = p.last
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// However much happens, what is kept is bounded.
func TestRecentChunksHaveAnEnd(t *testing.T) {
	var r recent
	for i := range int64(100) {
		r.add(&chunk{after: i, last: i + 1, text: make([]byte, keepRecent/10), seqs: []int64{i + 1}, ends: []int{keepRecent / 10}})
	}
	if len(r.chunks) != 10 || r.behind(89) != nil || r.behind(90) == nil {
		t.Errorf("%d chunks are kept", len(r.chunks))
	}
	r.add(&chunk{after: 100, last: 101, text: make([]byte, keepRecent+1), seqs: []int64{101}, ends: []int{keepRecent + 1}})
	if len(r.chunks) != 0 || r.size != 0 {
		t.Errorf("one too large: %d chunks of %d bytes are kept", len(r.chunks), r.size)
	}
}

// A phone that could not take a hint at once is told afterwards that there was something, once.
func TestABusyPhoneLooksAgain(t *testing.T) {
	h := newHub(&Server{})
	c := &client{shop: 7, busy: true}
	h.hint(newNowait(), c, &hint{text: []byte("event: order.offered\n")})
	if h.settle(c) {
		t.Error("it is done before it was told")
	}
	if text, err := h.lack(c); err != nil || string(text) != "event: store.changed\ndata: {}\n\n" {
		t.Errorf("it is told %q, %v", text, err)
	}
	if text, err := h.lack(c); err != nil || text != nil {
		t.Errorf("and again %q, %v", text, err)
	}
}
