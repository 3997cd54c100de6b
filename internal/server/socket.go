package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// sendBuffer is how much of a stream the kernel keeps for a client that does not read. Left to
// itself it would grow to megabytes, and the client be noticed only then.
const sendBuffer = 128 << 10

// nowait does system calls on sockets that return at once: what a socket does not take now, or has
// not got now, is somebody else's business. One goroutine uses it at a time: the functions that
// RawConn calls are made once, since a closure for each of 10,000 writes would be most of the
// garbage of an event.
type nowait struct {
	buf  []byte
	n    int
	err  error
	send func(fd uintptr) bool
	recv func(fd uintptr) bool
	bin  [64]byte // what clients say is thrown away: they have nothing to say
}

func newNowait() *nowait {
	w := &nowait{}
	w.send = func(fd uintptr) bool { w.n, w.err = syscall.Write(int(fd), w.buf); return true }
	w.recv = func(fd uintptr) bool { w.n, w.err = syscall.Read(int(fd), w.bin[:]); return true }
	return w
}

// write writes what the socket takes of b. The error is about the connection; a full socket is none.
func (w *nowait) write(raw syscall.RawConn, b []byte) (n int, err error) {
	w.buf = b
	err = raw.Write(w.send)
	w.buf = nil
	if err == nil && !passing(w.err) {
		err = w.err
	}
	return max(0, w.n), err
}

// left reports whether the other side is gone.
func (w *nowait) left(raw syscall.RawConn) bool {
	if err := raw.Read(w.recv); err != nil {
		return true
	}
	return w.n == 0 && w.err == nil || w.err != nil && !passing(w.err)
}

// passing are the errors that say to try again.
func passing(err error) bool {
	return err == nil || errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
}

// outlet is what the hub writes to: a connection taken from net/http, or an answer that is lent.
type outlet interface {
	io.WriteCloser
	SetWriteDeadline(time.Time) error
}

// rawOf is the socket of conn, or nil where the bytes on the wire are not those that are written
// (TLS) or the kind is not known.
func rawOf(conn outlet) syscall.RawConn {
	t, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	_ = t.SetWriteBuffer(sendBuffer)
	return raw
}

// lent is the answer of a request whose connection cannot be had (HTTP/2 carries several): the hub
// writes to it while the handler waits.
type lent struct {
	w  http.ResponseWriter
	rc *http.ResponseController

	once   sync.Once
	closed chan struct{} // by the hub: the handler may go

	mu   sync.RWMutex // read while w is in use
	back bool         // the handler goes: w is not ours any more
}

func (l *lent) Write(b []byte) (n int, err error) {
	err = l.use(func() error {
		if n, err = l.w.Write(b); err != nil {
			return err
		}
		return l.rc.Flush()
	})
	return n, err
}

func (l *lent) SetWriteDeadline(t time.Time) error {
	return l.use(func() error { return l.rc.SetWriteDeadline(t) })
}

func (l *lent) use(f func() error) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.back {
		return io.ErrClosedPipe
	}
	return f()
}

func (l *lent) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

// giveBack returns when nothing writes any more.
func (l *lent) giveBack() {
	l.mu.Lock()
	l.back = true
	l.mu.Unlock()
}

// streamHere serves a client from its handler.
func (k *call) streamHere(c *client, w http.ResponseWriter) {
	l := &lent{w: w, rc: http.NewResponseController(w), closed: make(chan struct{})}
	w.WriteHeader(http.StatusOK)
	k.hub.begin(c, l, []byte(opening))
	select {
	case <-k.ctx.Done():
		k.hub.drop(c)
	case <-l.closed:
	}
	l.giveBack()
}
