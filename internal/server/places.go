package server

import (
	"log/slog"
	"sync"
	"syscall"
)

const (
	streamsPerLink = 4      // one customer's devices and tabs
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
