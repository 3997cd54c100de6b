package server

import (
	"log/slog"
	"sync"
	"syscall"
)

const (
	streamsPerLink = 4      // one customer's devices and tabs
	streamsPerShop = 20     // as many phones as may be subscribed to push
	usualStreams   = 10_000 // at 3 KiB each
	otherFiles     = 500    // for requests, the database and the log; doctor counts the same
)

// placesFor is how many streams there may be in a process of that many files: what is asked for
// or, so that streams never take the last file from orders, what the limit leaves.
func placesFor(asked int, files uint64) int {
	if asked == 0 {
		asked = usualStreams
	}
	left := files / 2
	if files > 2*otherFiles {
		left = files - otherFiles
	}
	return int(min(uint64(asked), left))
}

// placesHere is placesFor this process, whose soft limit Go has raised to the hard one at its start.
func placesHere(asked int, log *slog.Logger) int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return placesFor(asked, 1024) // the least that is usual
	}
	n := placesFor(asked, uint64(l.Cur))
	if n < asked || n < usualStreams && asked == 0 {
		log.Warn("the limit of open files allows fewer streams than max_streams; raise it (ulimit -n)", "max_streams", asked, "streams", n, "open_files", l.Cur)
	}
	return n
}

// places are those of the open streams. A link is anybody's who has it, so one link gets few, and a store
// not many more; all links and stores together leave a tenth to people of the network.
type places struct {
	mu     sync.Mutex
	all    int
	narrow int // of links and stores
	by     map[watcher]int
}

// watcher is on whose behalf a place is taken: a link's order or a store, else somebody's key.
type watcher struct{ link, shop int64 }

func (c *client) watcher() watcher { return watcher{c.link, c.shop} }

// most is how many places it may have.
func (w watcher) most() int {
	if w.link != 0 {
		return streamsPerLink
	}
	return streamsPerShop
}

// take takes a place of most.
func (p *places) take(w watcher, most int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= most || w != (watcher{}) && (p.narrow >= most-most/10 || p.by[w] >= w.most()) {
		return false
	}
	p.all++
	if w != (watcher{}) {
		p.narrow++
		if p.by == nil {
			p.by = map[watcher]int{}
		}
		p.by[w]++
	}
	return true
}

func (p *places) leave(w watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if w == (watcher{}) {
		return
	}
	p.narrow--
	if p.by[w]--; p.by[w] == 0 {
		delete(p.by, w)
	}
}

func (p *places) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}
