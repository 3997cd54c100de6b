package server

import "sync"

// streamsPerLink is for one customer's devices and tabs.
const streamsPerLink = 4

// places are those of the open streams. A link is anybody's who has it, so one link gets few, and
// all links together leave a tenth to those who hold a key.
type places struct {
	mu     sync.Mutex
	all    int
	linked int
	byLink map[int64]int
}

// take takes a place of most; link is 0 for a key.
func (p *places) take(link int64, most int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= most || link != 0 && (p.linked >= most-most/10 || p.byLink[link] >= streamsPerLink) {
		return false
	}
	p.all++
	if link != 0 {
		p.linked++
		if p.byLink == nil {
			p.byLink = map[int64]int{}
		}
		p.byLink[link]++
	}
	return true
}

func (p *places) leave(link int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if link == 0 {
		return
	}
	p.linked--
	if p.byLink[link]--; p.byLink[link] == 0 {
		delete(p.byLink, link)
	}
}

func (p *places) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}
