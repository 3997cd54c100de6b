package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client calls the parts of the public API that the simulation needs. It is safe for concurrent use.
//
// A method makes one request. What the server refuses comes back as a *[Problem]; whoever wants it
// tried again says so with [Retry].
type Client struct {
	base string
	key  string
	http *http.Client
}

// NewClient returns a client of the server at baseURL ("http://127.0.0.1:8080") that shows key.
func NewClient(baseURL, key string) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// The default of 2 would open and close a connection for nearly every request of a busy city.
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 256
	return &Client{base: strings.TrimRight(baseURL, "/"), key: key, http: &http.Client{Transport: transport}}
}

// With returns a client of the same server and connections that shows another key.
func (c *Client) With(key string) *Client { return &Client{base: c.base, key: key, http: c.http} }

// Close gives up the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

const (
	requestTimeout = 30 * time.Second
	importTimeout  = 5 * time.Minute
)

// Problem is a refusal by the server (RFC 9457).
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Pointer string `json:"pointer"`
		Code    string `json:"code"`
		Detail  string `json:"detail"`
	} `json:"errors"`
	RetryAfter time.Duration `json:"-"`
}

func (p *Problem) Error() string {
	s := fmt.Sprintf("%d %s", p.Status, p.Code)
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	for _, e := range p.Errors {
		s += fmt.Sprintf(" [%s %s: %s]", e.Pointer, e.Code, e.Detail)
	}
	return s
}

// transient reports whether the same request may well succeed later: the network failed, or the
// server says that the fault is its own.
func transient(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		return p.Status == http.StatusTooManyRequests || p.Status >= 500
	}
	return err != nil
}

// Retry calls f until it succeeds, fails for good, has failed tries times (0: no limit), or ctx
// ends, and returns f's last error. The pauses double from 100 ms to 10 s; the server's Retry-After
// goes first.
func Retry(ctx context.Context, tries int, f func() error) error {
	pause := 100 * time.Millisecond
	for n := 1; ; n++ {
		err := f()
		if err == nil || !transient(err) || n == tries || ctx.Err() != nil {
			return err
		}
		wait := pause
		var p *Problem
		if errors.As(err, &p) && p.RetryAfter > 0 {
			wait = min(p.RetryAfter, time.Minute)
		}
		if !sleep(ctx, wait) {
			return err
		}
		pause = min(2*pause, 10*time.Second)
	}
}

// sleep waits for d; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// request is one call; only method and path are needed.
type request struct {
	method, path string
	contentType  string
	body         []byte
	idempotency  string
	timeout      time.Duration
}

// send makes the call and decodes the answer into out, unless out is nil.
func (c *Client) send(ctx context.Context, r request, out any) error {
	if r.timeout == 0 {
		r.timeout = requestTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return err
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.idempotency != "" {
		req.Header.Set("Idempotency-Key", r.idempotency)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	defer res.Body.Close()
	if err := answer(res, out); err != nil {
		return fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	return nil
}

func answer(res *http.Response, out any) error {
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		p := Problem{Status: res.StatusCode}
		if json.Unmarshal(body, &p) != nil { // a proxy in between, say
			p.Detail = string(body[:min(len(body), 200)])
		}
		p.Status = res.StatusCode
		if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
			p.RetryAfter = time.Duration(s) * time.Second
		}
		return &p
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var out T
	err := c.send(ctx, request{method: http.MethodGet, path: path}, &out)
	return out, err
}

// post sends in as JSON, or no body for nil, and returns the answer as a T.
func post[T any](ctx context.Context, c *Client, path string, in any) (T, error) {
	var out T
	err := c.sendJSON(ctx, request{method: http.MethodPost, path: path}, in, &out)
	return out, err
}

// Post sends in as JSON, or no body for nil, where the answer does not matter.
func (c *Client) Post(ctx context.Context, path string, in any) error {
	return c.sendJSON(ctx, request{method: http.MethodPost, path: path}, in, nil)
}

func (c *Client) sendJSON(ctx context.Context, r request, in, out any) error {
	if in != nil {
		var err error
		if r.body, err = json.Marshal(in); err != nil {
			return err
		}
		r.contentType = "application/json"
	}
	return c.send(ctx, r, out)
}

// page is the shape of every list.
type page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
	HasMore    bool    `json:"has_more"`
}

// all walks a list page by page. After an error it ends.
func all[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q := url.Values{"limit": {"200"}}
		for k, v := range query {
			q[k] = v
		}
		for {
			p, err := get[page[T]](ctx, c, path+"?"+q.Encode())
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, x := range p.Data {
				if !yield(x, nil) {
					return
				}
			}
			if !p.HasMore || p.NextCursor == nil {
				return
			}
			q.Set("cursor", *p.NextCursor)
		}
	}
}
