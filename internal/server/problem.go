package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"doorstep/internal/fault"

	"github.com/labstack/echo/v4"
)

// statusOf is the only table from fault to status.
var statusOf = map[fault.Kind]int{
	fault.Malformed:    http.StatusBadRequest,
	fault.Invalid:      http.StatusUnprocessableEntity,
	fault.Unauthorized: http.StatusUnauthorized,
	fault.Forbidden:    http.StatusForbidden,
	fault.NotFound:     http.StatusNotFound,
	fault.Conflict:     http.StatusConflict,
	fault.Stale:        http.StatusPreconditionFailed,
	fault.TooLarge:     http.StatusRequestEntityTooLarge,
	fault.Unsupported:  http.StatusUnsupportedMediaType,
	fault.Exhausted:    http.StatusTooManyRequests,
	fault.Full:         http.StatusInsufficientStorage,
	fault.Unavailable:  http.StatusServiceUnavailable,
}

type problem struct {
	Type         string         `json:"type"`
	Title        string         `json:"title"`
	Status       int            `json:"status"`
	Detail       string         `json:"detail,omitempty"`
	Instance     string         `json:"instance,omitempty"`
	Code         string         `json:"code"`
	RequestID    string         `json:"request_id"`
	Errors       []problemField `json:"errors,omitempty"`
	Allowed      []string       `json:"allowed,omitzero"` // empty of what is final
	OpenQuantity *int           `json:"open_quantity,omitempty"`
}

type problemField struct {
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}

// asProblem is err as its sender may see it; an error without an audience is logged here, once.
func (k *call) asProblem(err error) problem {
	p := problem{Instance: k.r.URL.Path, RequestID: k.id}
	f := fault.As(err)
	if f == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		f = fault.New(fault.Unavailable, "deadline-exceeded", "the request took too long")
	}
	if f == nil {
		k.log().Error("internal error", "error", err)
		p.Status, p.Code, p.Detail = http.StatusInternalServerError, "internal", "this is our mistake; it is in the log under the request id"
	} else {
		p.Status, p.Code, p.Detail, p.Allowed = statusOf[f.Kind], f.Code, f.Detail, f.Allowed
		for _, x := range f.Fields {
			if x.Code == "open-quantity" {
				if n, err := strconv.Atoi(x.Detail); err == nil {
					p.OpenQuantity = &n
				}
			}
			p.Errors = append(p.Errors, problemField(x))
		}
		if cause := f.Unwrap(); cause != nil && p.Status >= 500 {
			k.log().Warn("request failed", "code", f.Code, "error", cause)
		}
	}
	p.Type, p.Title = "/problems/"+p.Code, http.StatusText(p.Status)
	return p
}

func (k *call) problem(err error) error {
	p := k.asProblem(err)
	if f := fault.As(err); f != nil {
		k.retryAfter(f.RetryAfter)
	}
	body, jerr := json.Marshal(p)
	if jerr != nil {
		return jerr
	}
	k.header.Set("Content-Type", "application/problem+json")
	k.header.Set("Cache-Control", "no-store")
	if p.Status == http.StatusRequestEntityTooLarge || p.Status == http.StatusUnsupportedMediaType {
		k.drain()
	}
	w := k.c.Response()
	w.WriteHeader(p.Status)
	_, werr := w.Write(body)
	return werr
}

// retryAfter says, in whole seconds, when to come back.
func (k *call) retryAfter(d time.Duration) {
	if d > 0 {
		k.header.Set("Retry-After", strconv.Itoa(int((d+time.Second-1)/time.Second)))
	}
}

// unrouted answers what no route took: a wrong path or method.
func (s *Server) unrouted(err error, c echo.Context) {
	k := &call{Server: s, c: c, r: c.Request(), id: requestID(c.Request()), header: c.Response().Header(), route: &route{path: "unrouted"}}
	k.header.Set("X-Request-Id", k.id)
	f := fault.New(fault.NotFound, "no-such-path", "there is nothing at this path; see /openapi.yaml")
	var he *echo.HTTPError
	if errors.As(err, &he) && he.Code == http.StatusMethodNotAllowed {
		p := problem{Type: "/problems/method-not-allowed", Title: http.StatusText(he.Code), Status: he.Code, Code: "method-not-allowed",
			Detail: "this path has other methods: see the Allow header", Instance: k.r.URL.Path, RequestID: k.id}
		body, _ := json.Marshal(p)
		k.header.Set("Content-Type", "application/problem+json")
		c.Response().WriteHeader(he.Code)
		_, _ = c.Response().Write(body)
		return
	}
	if !errors.As(err, &he) && !c.Response().Committed {
		_ = k.problem(err)
		return
	}
	if !c.Response().Committed {
		_ = k.write(k.lost(f))
	}
}

// lost tells somebody with a browser in words, and a program as any problem, that a path leads nowhere.
func (k *call) lost(err error) error {
	if k.r.Method != http.MethodGet || !strings.Contains(k.r.Header.Get("Accept"), "text/html") {
		return err
	}
	return k.gone(err)
}
