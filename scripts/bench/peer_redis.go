package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"doorstep/geo"
)

// redisPeer is Redis with a geo set of all stores. It can rank by distance only, so the client keeps what
// stores have and looks through what comes back. The client speaks the protocol itself, with less work than
// a library has: its time counts, too.
type redisPeer struct {
	w      *world
	server *server
	conn   net.Conn
	in     *bufio.Reader
	out    []byte
}

// Redis reckons on a sphere of 6,372,797.56 m, and keeps positions in steps of less than a metre.
const (
	redisScale = 6_372_797.560856 / geo.EarthRadiusM
	redisStepM = 1.0
)

func startRedis(b *bench, dir string, w *world) (_ peer, err error) {
	program, err := b.have(findRedis, "redis-server")
	if err != nil {
		return nil, err
	}
	p := &redisPeer{w: w}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	socket := filepath.Join(dir, "redis.sock")
	p.server, err = startServer(filepath.Join(dir, "redis.log"), nil, program,
		"--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "no")
	if err != nil {
		return p, err
	}
	err = p.server.ready(20*time.Second, func() (err error) {
		p.conn, err = net.Dial("unix", socket)
		return err
	})
	if err != nil {
		return p, err
	}
	p.in = bufio.NewReaderSize(p.conn, 1<<16)
	return p, p.load()
}

func (p *redisPeer) load() error {
	const batch = 1000
	for from := 0; from < len(p.w.shops); from += batch {
		shops := p.w.shops[from:min(from+batch, len(p.w.shops))]
		p.command(2+3*len(shops), "GEOADD", "shops")
		for i := range shops {
			p.float(shops[i].at.Lng, -1)
			p.float(shops[i].at.Lat, -1)
			p.int(from + i)
		}
		if _, err := p.ask(); err != nil {
			return err
		}
	}
	return nil
}

// reaches are how far Redis is asked to look, one after the other. A bounded number of stores (COUNT) from
// the full radius costs it as much as all of them: it collects and ranks them all before it counts.
var reaches = []float64{250, 500, 1000, 2000, serviceM}

func (p *redisPeer) nearest(a *ask) (answer, error) {
	for _, reach := range reaches {
		reach = min(reach, a.radiusM)
		p.command(9, "GEOSEARCH", "shops", "FROMLONLAT")
		p.float(a.at.Lng, -1)
		p.float(a.at.Lat, -1)
		p.command(0, "BYRADIUS")
		p.float(reach*redisScale+redisStepM, 2)
		p.command(0, "m", "ASC")
		found, err := p.first(a)
		if err != nil || found != nobody || reach >= a.radiusM {
			return found, err
		}
	}
	return nobody, nil
}

// first reads a list of stores to its end and returns the first that fits.
func (p *redisPeer) first(a *ask) (answer, error) {
	n, err := p.ask()
	if err != nil {
		return nobody, err
	}
	found := nobody
	for range n {
		i, err := p.item()
		if err != nil {
			return nobody, err
		}
		if found == nobody && a.fits(&p.w.shops[i]) {
			found = answer{i, geo.DistanceM(a.at, p.w.shops[i].at)}
		}
	}
	return found, nil
}

func (p *redisPeer) servers() ([]int, error) { return []int{p.server.pid()}, nil }

func (p *redisPeer) close() error {
	if p.conn != nil {
		_ = p.conn.Close()
	}
	return p.server.stop(syscall.SIGTERM)
}

// command begins a command of so many words (RESP arrays), or goes on with one where it is 0.
func (p *redisPeer) command(words int, first ...string) {
	if words > 0 {
		p.out = append(strconv.AppendInt(append(p.out[:0], '*'), int64(words), 10), "\r\n"...)
	}
	for _, w := range first {
		p.word(w)
	}
}

func (p *redisPeer) word(w string) {
	p.out = append(strconv.AppendInt(append(p.out, '$'), int64(len(w)), 10), "\r\n"...)
	p.out = append(append(p.out, w...), "\r\n"...)
}

func (p *redisPeer) int(i int) {
	var digits [20]byte
	p.word(string(strconv.AppendInt(digits[:0], int64(i), 10)))
}

func (p *redisPeer) float(x float64, precision int) {
	var digits [32]byte
	p.word(string(strconv.AppendFloat(digits[:0], x, 'f', precision, 64)))
}

// ask sends the command and returns the number that the reply begins with: itself, or how many items follow.
func (p *redisPeer) ask() (int, error) {
	if _, err := p.conn.Write(p.out); err != nil {
		return 0, err
	}
	return p.number(":*")
}

func (p *redisPeer) item() (int, error) {
	if _, err := p.number("$"); err != nil {
		return 0, err
	}
	line, err := p.line()
	if err != nil {
		return 0, err
	}
	return atoi(line)
}

func (p *redisPeer) number(kinds string) (int, error) {
	line, err := p.line()
	if err != nil {
		return 0, err
	}
	if len(line) == 0 || bytes.IndexByte([]byte(kinds), line[0]) < 0 {
		return 0, fmt.Errorf("redis answers %q", line)
	}
	return atoi(line[1:])
}

func (p *redisPeer) line() ([]byte, error) {
	line, err := p.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

func atoi(digits []byte) (n int, err error) {
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, fmt.Errorf("redis answers %q for a number", digits)
		}
		n = 10*n + int(d-'0')
	}
	return n, nil
}
