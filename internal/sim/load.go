package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// LoadOptions say what to send. Count and Duration both bound it; a zero one does not, but one of
// them must be given.
type LoadOptions struct {
	BaseURL  string
	Key      string // of a merchant
	Conns    int    // senders at once, each on its own connection; 0: 1
	Count    int
	Duration time.Duration

	Tag      string                             // what external ids begin with; "": "load-" and the time
	Body     func(sender int) func() OrderInput // orders of each sender; nil: parcels from the city of seed 1
	Answered func(in OrderInput, out Order)     // called by the senders for each order acknowledged; may be nil
	Refused  func(in OrderInput, problem error) // called by the senders for each error; may be nil
}

// LoadResult is what came of it.
type LoadResult struct {
	Orders   int           // acknowledged with 201 or 200
	Errors   int           // anything else; an order that was not acknowledged is not sent again
	P50, P99 time.Duration // from sending to the whole answer, of the acknowledged ones
	Seconds  float64
}

// PerSecond is the rate of acknowledged orders.
func (r LoadResult) PerSecond() float64 { return float64(r.Orders) / max(r.Seconds, 1e-9) }

// Load sends orders as fast as the server answers, each sender waiting for its answer. It ends when
// Count were sent or Duration is over, and then waits for the last answers; when ctx ends it does
// not, and what is on its way counts as nothing. The city of the default body must have been
// seeded, best as [City.Endless].
func Load(ctx context.Context, o LoadOptions) LoadResult {
	if o.Count <= 0 && o.Duration <= 0 {
		return LoadResult{}
	}
	if o.Tag == "" {
		o.Tag = fmt.Sprintf("load-%d-", time.Now().UnixNano())
	}
	if o.Body == nil {
		o.Body = parcels(NewCity(1), o.Tag)
	}
	c := NewClient(o.BaseURL, o.Key)
	defer c.Close()
	began := time.Now()
	senders := make([]sender, max(1, o.Conns))
	var sent atomic.Int64
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() { senders[i].run(ctx, c, o, o.Body(i), &sent) })
	}
	wg.Wait()
	return tally(senders, time.Since(began))
}

func parcels(city City, tag string) func(int) func() OrderInput {
	return func(sender int) func() OrderInput {
		s := city.Shopper(uint64(sender))
		own := fmt.Sprintf("%s%d-", tag, sender)
		return func() OrderInput { return s.Parcel(own) }
	}
}

type sender struct {
	took   []time.Duration
	errors int
}

func (s *sender) run(ctx context.Context, c *Client, o LoadOptions, next func() OrderInput, sent *atomic.Int64) {
	start := time.Now()
	for {
		if n := sent.Add(1); o.Count > 0 && n > int64(o.Count) {
			return
		}
		began := time.Now()
		if o.Duration > 0 && began.Sub(start) >= o.Duration {
			return
		}
		in := next()
		out, err := c.CreateOrder(ctx, in)
		took := time.Since(began)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			s.took = append(s.took, took)
			if o.Answered != nil {
				o.Answered(in, out)
			}
			continue
		}
		s.errors++
		if o.Refused != nil {
			o.Refused(in, err)
		}
		if transient(err) { // a server that is down or full is not helped by a hot loop
			sleep(ctx, breather(err))
		}
	}
}

func breather(err error) time.Duration {
	var p *Problem
	if errors.As(err, &p) && p.Status == http.StatusTooManyRequests {
		return min(max(p.RetryAfter, 10*time.Millisecond), time.Second)
	}
	return 10 * time.Millisecond
}

func tally(senders []sender, took time.Duration) LoadResult {
	r := LoadResult{Seconds: took.Seconds()}
	var all []time.Duration
	for _, s := range senders {
		all = append(all, s.took...)
		r.Errors += s.errors
	}
	slices.Sort(all)
	r.Orders, r.P50, r.P99 = len(all), quantile(all, 0.5), quantile(all, 0.99)
	return r
}

// quantile is the smallest value that at least a share q of sorted does not exceed; zero for none.
func quantile[T any](sorted []T, q float64) T {
	var none T
	if len(sorted) == 0 {
		return none
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
