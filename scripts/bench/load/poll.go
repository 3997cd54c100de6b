//go:build linux

package main

import (
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"
)

// poll waits for many sockets on one thread. Its system calls are raw: none of them blocks for
// long, and telling Go's scheduler about each would cost as much as the call.
type poll struct {
	fd     int
	events [256]syscall.EpollEvent
}

func newPoll() (*poll, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	return &poll{fd: fd}, err
}

func (p *poll) add(fd, token int) error {
	e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: int32(token)}
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &e)
}

// wait calls ready with the tokens of sockets that can be read, after at most d. Waits of less than
// a millisecond, which epoll_wait does not know, go through select(2).
func (p *poll) wait(d time.Duration, ready func(token int)) {
	if d > 0 && d < 20*time.Millisecond {
		var set syscall.FdSet
		set.Bits[p.fd/64] |= 1 << (p.fd % 64)
		ts := syscall.NsecToTimespec(int64(d))
		syscall.RawSyscall6(syscall.SYS_PSELECT6, uintptr(p.fd+1), uintptr(unsafe.Pointer(&set)), 0, 0, uintptr(unsafe.Pointer(&ts)), 0)
		d = 0
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events)), uintptr(len(p.events)),
		uintptr(d.Milliseconds()), 0, 0)
	if errno != 0 {
		return // EINTR: the caller waits again
	}
	for _, e := range p.events[:n] {
		ready(int(e.Fd))
	}
}

// read reads what there is; again is true when there is nothing yet.
func read(fd int, b []byte) (n int, again bool, err error) {
	r, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	switch errno {
	case 0:
		return int(r), false, nil
	case syscall.EAGAIN, syscall.EINTR:
		return 0, true, nil
	}
	return 0, false, errno
}

// write writes all of b. A request is smaller than an empty socket's buffer, so that a part is an error.
func write(fd int, b []byte) error {
	r, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return errno
	}
	if int(r) != len(b) {
		return fmt.Errorf("only %d of %d bytes could be written", r, len(b))
	}
	return nil
}

// dial connects a socket that no one but poll waits for.
func dial(host string) (fd int, err error) {
	a, err := net.ResolveTCPAddr("tcp4", host)
	if err != nil {
		return 0, err
	}
	if fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	to := syscall.SockaddrInet4{Port: a.Port}
	copy(to.Addr[:], a.IP.To4())
	if err = syscall.Connect(fd, &to); err == nil {
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		_ = syscall.Close(fd)
		return 0, fmt.Errorf("connect to %s: %w", host, err)
	}
	return fd, nil
}
