package server

import (
	"context"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"doorstep/internal/fault"
)

// hub serves all live streams of a server.
//
//	commit ──► event.Log ──► follow ─────────────► give, on all cores: one write that cannot block
//	                         (feed.go) renders     per client ──────────────────────────► socket
//	                         an event once,            │ does not take it all                ▲
//	                         for all                   ▼                                     │
//	                            │                   pump, a goroutine while it lasts: writes ┤
//	                            │                   with a deadline, then what the client    │
//	                            │                   lacks by now (recent, else the log),     │
//	                            │                   until it has everything                  │
//	                            ├─► hint (hint.go): to the phones of a store whose events ───┤
//	                            │   these are, which one is there                            │
//	                            ▼                                                            │
//	                         show (watch.go): somebody watches an order that has changed;    │
//	                         reads and renders it once for all who do ───────────────────────┘
//
//	each second ──► sweep: who has left, whose key is dead, whose heartbeat is due
//
// A client that has everything costs no goroutine and no buffer: its connection is taken from
// net/http, and whether it has left is asked by a read that cannot block. Nothing is queued for it
// either: it has a cursor, and whoever cannot be written to at once gets a pump, which reads what the
// client lacks like any other reader of the log. So a slow client delays nobody, and one that comes
// back (Last-Event-ID) is a slow one.
//
// Who watches one order or one store is found by it, so an event costs nothing for all others who do.
//
// Each event reaches each client once and in order because a client is either idle, and then has
// everything up to hub.cursor, or busy, and then only its pump writes. It turns idle under hub.mu,
// when it has everything; it turns busy under its own mutex, in the write that did not fit.
//
// BenchmarkStreams measures 10,000 clients. From outside, a client is 2.3 KiB of resident memory, and
// an event is with all of them 56 ms after its request was sent; when each had a handler's goroutine
// with its buffers, a heartbeat's, a mailbox and its own JSON, it was 38 to 57 KiB and 178 ms.
type hub struct {
	s      *Server
	ctx    context.Context // ends with close
	cancel context.CancelFunc
	work   sync.WaitGroup // what has to end before close returns

	mu      sync.Mutex // taken before a client's
	arrived *sync.Cond // there is a client, or the end
	started bool
	closed  bool
	clients []*client
	wide    map[*client]struct{} // those who follow everything
	shops   map[int64][]*client  // those who follow a store
	topics  map[int64]*topic
	grants  map[string]*grant
	cursor  int64 // who is idle has everything up to here
	recent  recent
	arrival int      // counts clients
	changed []*topic // to be shown
	showing int      // goroutines that show
}

// client is one stream.
type client struct {
	link    int64 // the order whose link is the permission, and which is shown
	shop    int64 // the store whose phone it is; with neither it gets all events, by a key
	version uint8 // of the link
	beat    uint8 // the second of its heartbeat
	place   int   // in hub.clients, -1 outside; under hub.mu
	grant   *grant

	mu     sync.Mutex
	out    outlet
	raw    syscall.RawConn // nil: a write may block
	cursor int64           // what it has; its pump's business while busy
	busy   bool            // only its pump writes
	over   bool            // nothing is said to it any more, but by its pump: goodbye
	missed bool            // its order has to be shown, or its phone told to look, once it is idle
}

// grant is a key or a session by which streams are open.
type grant struct {
	secret  string
	clients int // under hub.mu
	dead    atomic.Bool
}

// topic is an order that somebody follows; under hub.mu.
type topic struct {
	order   int64
	clients []*client
	dies    time.Time // when its link stops opening it, as far as is known
	queued  bool      // in hub.changed
}

const (
	heartbeat = 20          // seconds; below the idle timeout of common proxies
	aPage     = 500         // events spread at once
	catchUp   = 100         // events read at once for one client: many may come back together
	portion   = 64          // clients that a core takes at once
	aPiece    = 16 << 10    // bytes that a client has writeTimeout to take
	lastWords = time.Second // for a client to take the goodbye
)

var second = time.Second // tests shorten it

func newHub(s *Server) *hub {
	h := &hub{s: s, wide: map[*client]struct{}{}, shops: map[int64][]*client{}, topics: map[int64]*topic{}, grants: map[string]*grant{}}
	h.arrived = sync.NewCond(&h.mu)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// close says goodbye to all and returns when every stream has ended: within lastWords, whoever reads.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	clients := slices.Clone(h.clients)
	h.mu.Unlock()
	h.cancel()
	h.arrived.Broadcast()
	each(clients, h.bye)
	h.work.Wait()
}

// ---- coming and going

// register makes c known, so that nothing is missed from now on; begin has to follow, and begun.
// secret is that of the key, if a key opened the stream.
func (h *hub) register(ctx context.Context, c *client, secret string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.clients) == 0 {
		// Nobody listened, so nothing was read: begin at the present. Nobody must wait for the query.
		h.mu.Unlock()
		present, err := h.s.Events.Last(ctx)
		h.mu.Lock()
		if err != nil {
			return err
		}
		if len(h.clients) == 0 && present > h.cursor {
			h.cursor, h.recent = present, recent{}
		}
	}
	if h.closed {
		return notReady
	}
	h.work.Add(1)
	if !h.started {
		h.started = true
		h.work.Go(h.follow)
		h.work.Go(h.sweep)
	}
	h.arrival++
	// In turn: heartbeats of all in the same second would be a burst like an event's.
	c.busy, c.place, c.beat = true, len(h.clients), uint8(h.arrival%heartbeat)
	h.clients = append(h.clients, c)
	h.enlist(c, secret)
	h.arrived.Signal()
	return nil
}

// enlist puts a client where what it follows is looked for. The caller holds h.mu.
func (h *hub) enlist(c *client, secret string) {
	secret = strings.Clone(secret) // the original holds on to all headers of its request
	switch {
	case c.link != 0:
		t := h.topics[c.link]
		if t == nil {
			t = &topic{order: c.link}
			h.topics[c.link] = t
		}
		t.clients = append(t.clients, c)
		c.missed = true // it is shown at once
	case c.shop != 0:
		h.shops[c.shop] = append(h.shops[c.shop], c)
		c.grant = &grant{secret: secret} // hardly shared, and asked for when there is a reason: see hint
	default:
		h.wide[c] = struct{}{}
		g := h.grants[secret]
		if g == nil {
			g = &grant{secret: secret}
			h.grants[secret] = g
		}
		g.clients++
		c.grant = g
	}
}

// begun lets close end.
func (h *hub) begun() { h.work.Done() }

// begin writes the first words to a client that is registered, and whatever is due to it then.
func (h *hub) begin(c *client, out outlet, first []byte) {
	raw := rawOf(out)
	c.mu.Lock()
	c.out, c.raw = out, raw
	if c.over { // already
		c.end()
	}
	c.mu.Unlock()
	if raw != nil {
		n, err := newNowait().write(raw, first)
		if err != nil {
			h.drop(c)
			return
		}
		first = first[n:]
	} else if conn, ok := out.(net.Conn); ok {
		h.work.Go(func() { h.listen(c, conn) })
	}
	if len(first) > 0 || !h.settle(c) {
		h.work.Go(func() { h.pump(c, first) })
	}
}

// listen waits for the end of a client that cannot be asked without waiting.
func (h *hub) listen(c *client, conn net.Conn) {
	var bin [64]byte
	for {
		if _, err := conn.Read(bin[:]); err != nil {
			h.drop(c)
			return
		}
	}
}

// drop ends a stream. Nobody calls it with the client's mutex in hand.
func (h *hub) drop(c *client) {
	if h.forget(c) {
		h.s.streams.leave(c.watcher())
	}
	c.mu.Lock()
	c.busy, c.over = true, true
	out := c.out
	c.mu.Unlock()
	if out != nil {
		_ = out.Close()
	}
}

// forget reports whether c was known.
func (h *hub) forget(c *client) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.place < 0 {
		return false
	}
	last := len(h.clients) - 1
	h.clients[c.place] = h.clients[last]
	h.clients[c.place].place = c.place
	h.clients[last] = nil
	h.clients = h.clients[:last]
	c.place = -1
	it := func(x *client) bool { return x == c }
	switch {
	case c.link != 0:
		t := h.topics[c.link]
		if t.clients = slices.DeleteFunc(t.clients, it); len(t.clients) == 0 {
			delete(h.topics, c.link)
		}
	case c.shop != 0:
		if h.shops[c.shop] = slices.DeleteFunc(h.shops[c.shop], it); len(h.shops[c.shop]) == 0 {
			delete(h.shops, c.shop)
		}
	default:
		delete(h.wide, c)
		if c.grant.clients--; c.grant.clients == 0 {
			delete(h.grants, c.grant.secret)
		}
	}
	return true
}

// all reports whether c follows everything.
func (c *client) all() bool { return c.link == 0 && c.shop == 0 }

// ---- writing

// each calls f for every client, on all cores.
func each(clients []*client, f func(*nowait, *client)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (len(clients)+portion-1)/portion) {
		all.Go(func() {
			w := newNowait()
			for {
				to := int(next.Add(portion))
				if to-portion >= len(clients) {
					return
				}
				for _, c := range clients[to-portion : min(to, len(clients))] {
					f(w, c)
				}
			}
		})
	}
	all.Wait()
}

// send writes b to an idle client; what does not go out at once is for a pump. The caller holds
// c.mu, and drops the client when the connection is broken.
func (h *hub) send(w *nowait, c *client, b []byte) error {
	n := 0
	if c.raw != nil {
		var err error
		if n, err = w.write(c.raw, b); err != nil {
			return err
		}
	}
	if n < len(b) {
		c.busy = true
		h.work.Go(func() { h.pump(c, b[n:]) })
	}
	return nil
}

// bye says goodbye and ends the stream. Whoever is busy hears it from the pump.
func (h *hub) bye(w *nowait, c *client) {
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return
	}
	c.end()
	if !c.busy && c.raw != nil {
		_, _ = w.write(c.raw, []byte(goodbye))
		c.mu.Unlock()
		h.drop(c)
		return
	}
	if !c.busy {
		c.busy = true
		h.work.Go(func() { h.pump(c, nil) })
	}
	c.mu.Unlock()
}

// end leaves the client lastWords to take what is under way. The caller holds c.mu.
func (c *client) end() {
	c.over = true
	if c.out != nil {
		_ = c.out.SetWriteDeadline(time.Now().Add(lastWords))
	}
}

// pump has a busy client to itself: it writes rest, then what the client lacks, until there is
// nothing more, or the client does not read, or the stream is over.
func (h *hub) pump(c *client, rest []byte) {
	for {
		if len(rest) > 0 && h.write(c, rest) != nil {
			break
		}
		if h.ends(c) {
			_ = h.write(c, []byte(goodbye))
			break
		}
		if h.settle(c) {
			return
		}
		var err error
		if rest, err = h.lack(c); err != nil {
			if h.ctx.Err() != nil {
				continue // it ends
			}
			h.s.Log.Warn("stream ended", "error", err)
			break
		}
	}
	h.drop(c)
}

// write waits for the client, as long as it goes on reading.
func (h *hub) write(c *client, b []byte) error {
	for piece := range slices.Chunk(b, aPiece) {
		c.mu.Lock()
		if !c.over { // else its time is set
			_ = c.out.SetWriteDeadline(time.Now().Add(writeTimeout))
		}
		c.mu.Unlock()
		if _, err := c.out.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// ends reports whether a busy client's stream is over.
func (h *hub) ends(c *client) bool {
	over := h.ctx.Err() != nil || c.grant != nil && h.died(c.grant)
	c.mu.Lock()
	defer c.mu.Unlock()
	if over && !c.over {
		c.end()
	}
	return c.over
}

// settle makes a busy client idle, if it has everything.
func (h *hub) settle(c *client) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.place < 0 || h.closed || c.all() && c.cursor < h.cursor || c.shop != 0 && c.missed {
		return false
	}
	c.busy = false
	_ = c.out.SetWriteDeadline(time.Time{})
	if c.missed {
		c.missed = false
		h.touch(h.topics[c.link])
	}
	return true
}

// ---- each second

// sweep looks after all clients: a second is how long a key or a place may outlive its use.
func (h *hub) sweep() {
	tick := time.NewTicker(second)
	defer tick.Stop()
	w := newNowait()
	for turn := 0; ; turn++ {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
		h.checkGrants()
		now := h.s.DB.Now()
		h.mu.Lock()
		for _, t := range h.topics {
			if !t.dies.IsZero() && !now.Before(t.dies) {
				h.touch(t)
			}
		}
		clients := slices.Clone(h.clients)
		h.mu.Unlock()
		for _, c := range clients {
			h.look(w, c, turn%heartbeat == int(c.beat))
		}
	}
}

// look ends the stream of a client that has left or whose key is dead, and else lets its heart beat.
func (h *hub) look(w *nowait, c *client, beat bool) {
	if c.grant != nil && (c.grant.dead.Load() || c.shop != 0 && beat && h.died(c.grant)) {
		h.bye(w, c)
		return
	}
	c.mu.Lock()
	// Phones are many: whether one has left is asked with its heartbeat.
	gone := !c.busy && c.raw != nil && (c.shop == 0 || beat) && w.left(c.raw)
	if !gone && !c.busy && beat {
		gone = h.send(w, c, []byte(alive)) != nil
	}
	c.mu.Unlock()
	if gone {
		h.drop(c)
	}
}

// checkGrants asks once for each key that shows everything, however many streams it has.
func (h *hub) checkGrants() {
	h.mu.Lock()
	grants := slices.Collect(maps.Values(h.grants))
	h.mu.Unlock()
	for _, g := range grants {
		h.died(g)
	}
}

// died reports whether the key or the session was revoked or has expired. A database that does not answer says
// nothing about the key.
func (h *hub) died(g *grant) bool {
	if g.dead.Load() {
		return true
	}
	err := h.s.Keys.Stands(h.ctx, g.secret)
	if fault.KindOf(err) == fault.Unauthorized {
		g.dead.Store(true)
	}
	return g.dead.Load()
}
