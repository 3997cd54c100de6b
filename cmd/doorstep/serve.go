package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"doorstep/internal/server"

	"github.com/spf13/cobra"
)

const (
	// finishWithin bounds what was accepted before the signal; a process must be gone 10 s after it.
	finishWithin = 8 * time.Second // with what the demo gets, see endBackground
	stopWithin   = 9500 * time.Millisecond
	refreshEvery = time.Second // how soon a store changed by another process is seen here
)

func (a *app) serveCommand() *cobra.Command {
	demo := false
	cmd := &cobra.Command{Use: "serve", Short: "Answer the API and the pages until SIGTERM or SIGINT", Args: exactly(0),
		RunE: a.with(func(ctx context.Context, c *config, _ []string) error {
			n, err := a.start(ctx, c, demo)
			if err != nil && ctx.Err() != nil {
				return nil // asked to stop before there was anything to finish
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "doorstep listening on %s\n", n.url)
			if err := a.welcome(ctx, c, n); err != nil && ctx.Err() == nil { // who is asked to stop welcomes nobody
				return errors.Join(err, n.stop())
			}
			if demo {
				n.background.Go(func() { n.demo.live(n.ctx, n, a.out) })
			}
			select {
			case <-ctx.Done():
				return n.stop()
			case err := <-n.failed:
				return errors.Join(err, n.stop())
			}
		})}
	cmd.Flags().BoolVar(&demo, "demo", false, "let a made-up city live here; refused on a database with merchants or stores of your own")
	bind(cmd, asWritten, append(networkDefaults(), serverSettings...)...)
	return cmd
}

// welcome shows the way in while nobody has an account: on stderr, since stdout is read by programs.
func (a *app) welcome(ctx context.Context, c *config, n *node) error {
	l, nobody, err := n.Keys.FirstLink(ctx)
	if err != nil || !nobody {
		return err
	}
	site := c.PublicURL
	if site == "" {
		site = n.url
	}
	if isTerminal(a.err) {
		fmt.Fprintf(a.err, "\nNobody has an account yet. Open this to make the first one (once, until %s):\n\n    %s/setup/%s\n\n", minute(l.ExpiresAt), site, l.Token)
		return nil
	}
	n.Log.Warn("nobody has an account yet: open the link to make the first one", "link", site+"/setup/"+l.Token, "until", minute(l.ExpiresAt))
	return nil
}

// node is a running server.
type node struct {
	server.Parts
	url     string
	plain   string // where plain HTTP is sent on to HTTPS, if anywhere
	srv     *server.Server
	servers []*http.Server
	failed  chan error // a listener that broke
	demo    *demo      // nil: none

	ctx        context.Context // of what runs in the background
	cancel     context.CancelFunc
	background sync.WaitGroup
}

// start listens, opens the database, and returns a node that takes traffic. Connections that come
// in between wait.
func (a *app) start(ctx context.Context, c *config, withDemo bool) (_ *node, err error) {
	var undo []func() error
	defer func() {
		for i := len(undo); err != nil && i > 0; i-- {
			_ = undo[i-1]()
		}
	}()
	log := a.logger(c)
	safe, err := security(c, log)
	if err != nil {
		return nil, err
	}
	api, err := listenSecurely(c)
	if err != nil {
		return nil, err
	}
	undo = append(undo, api.Close)
	d, err := a.openDB(ctx, c, log, true)
	if err != nil {
		return nil, err
	}
	undo = append(undo, d.Close)
	n := &node{url: urlOf(api), failed: make(chan error, 3)}
	if safe != nil {
		n.url = "https" + strings.TrimPrefix(n.url, "http")
	}
	if n.Parts, err = assemble(ctx, d, c, log); err != nil {
		return nil, err
	}
	undo = append(undo, func() error { n.Events.Close(); return nil })
	// Reading every store left as much behind as it made.
	debug.FreeOSMemory()
	if os.Getenv("GOGC") == "" {
		// Half as many collections, each of which walks the index of all stores: with 600,000 of them and
		// 25,000 orders a second 7 % more orders for 840 instead of 610 MB.
		debug.SetGCPercent(200)
	}
	o := server.Options{PublicURL: c.PublicURL, Version: version(), MaxStreams: c.MaxStreams, TrustedProxies: c.TrustedProxies, HSTS: len(c.Domains) > 0}
	if withDemo {
		if n.demo, err = newDemo(ctx, n.Parts); err != nil {
			return nil, err
		}
		o.Demo = n.demo.links
	}
	n.srv = server.New(n.Parts, o)
	if c.MetricsListen != "" {
		l, err := listen(c.MetricsListen, "--metrics-listen")
		if err != nil {
			return nil, err
		}
		log.Info("metrics", "url", urlOf(l)+"/metrics")
		n.serve(l, &http.Server{Handler: n.srv.Metrics(), ReadHeaderTimeout: 5 * time.Second})
	}
	front := n.srv.HTTP()
	if safe != nil {
		front.TLSConfig = safe.config
		if safe.plain != nil {
			if err := n.redirect(ctx, c, safe); err != nil {
				return nil, err
			}
		}
	}
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	n.background.Go(n.followStores)
	n.Jobs.Wake(retryJob) // what waited while nobody ran
	n.Jobs.Start(n.ctx)
	n.serve(api, front)
	n.srv.Ready()
	log.Info("serving", "url", n.url, "engine", d.Engine(), "stores", n.Match.Stores(), "version", o.Version)
	return n, nil
}

func (n *node) serve(l net.Listener, s *http.Server) {
	n.servers = append(n.servers, s)
	go func() {
		answer := s.Serve
		if s.TLSConfig != nil {
			answer = func(l net.Listener) error { return s.ServeTLS(l, "", "") } // HTTP/2 as well
		}
		if err := answer(l); !errors.Is(err, http.ErrServerClosed) {
			n.failed <- err
		}
	}()
}

// followStores takes over what other processes change about stores. It is no job: every process
// has an index of its own.
func (n *node) followStores() {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		err := n.Match.Refresh(n.ctx)
		if err != nil && !failing && n.ctx.Err() == nil {
			n.Log.Error("changes of stores could not be read", "error", err)
		}
		failing = err != nil
	}
}

// stop finishes what was accepted: requests and jobs first, then the log's readers, then the
// database.
func (n *node) stop() error {
	n.Log.Info("stopping")
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
		defer cancel()
		n.srv.Drain()
		n.cancel()
		n.endBackground()
		var all sync.WaitGroup
		all.Go(func() {
			if n.Jobs.Stop(ctx) != nil {
				n.Log.Warn("a job was interrupted; it is due again")
			}
		})
		for _, s := range n.servers {
			all.Go(func() {
				if s.Shutdown(ctx) != nil {
					n.Log.Warn("requests that took too long were cut off")
					_ = s.Close()
				}
			})
		}
		all.Wait()
		n.Events.Close()
		done <- n.DB.Close()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(stopWithin):
		return errors.New("stopping took too long and was given up; what was answered is kept")
	}
}

// endBackground gives the demo a moment to hand its keys back while somebody still answers.
func (n *node) endBackground() {
	ended := make(chan struct{})
	go func() { n.background.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(time.Second):
	}
}

// addressError says what to do about an address that cannot be listened on.
type addressError struct {
	advice string
	cause  error
}

func (e *addressError) Error() string { return e.advice }
func (e *addressError) Unwrap() error { return e.cause }

// listen opens a TCP address, and names a way out when that is not possible.
func listen(addr, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l, nil
	}
	host, port, _ := net.SplitHostPort(addr)
	nr, _ := strconv.Atoi(port)
	advice := fmt.Sprintf("%s %s: %v", flag, addr, err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = fmt.Sprintf("port %s is in use: try %s %s", port, flag, net.JoinHostPort(host, strconv.Itoa(nr%65535+1)))
	case errors.Is(err, syscall.EACCES):
		advice = fmt.Sprintf("port %s is not for this user: try %s %s", port, flag, net.JoinHostPort(host, strconv.Itoa(nr+8000)))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = fmt.Sprintf("%s is no address of this machine: try %s %s", host, flag, net.JoinHostPort("127.0.0.1", port))
	}
	return nil, &addressError{advice, err}
}

// urlOf is where a browser on this machine finds l.
func urlOf(l net.Listener) string {
	a := l.Addr().(*net.TCPAddr)
	host := a.IP.String()
	if a.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(a.Port))
}
