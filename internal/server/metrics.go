package server

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics of one server, in a registry of its own: two servers in one test do not collide.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
}

// classes are one route's histograms by status class: looked up once, as three labels cost more than
// the observation.
type classes struct {
	metrics      *metrics
	method, path string
	seen         [10]atomic.Pointer[prometheus.Observer]
}

func (c *classes) observe(status int, d time.Duration) {
	class := status / 100 % len(c.seen)
	o := c.seen[class].Load()
	if o == nil {
		made := c.metrics.requests.WithLabelValues(c.method, c.path, strconv.Itoa(class)+"xx")
		o = &made
		c.seen[class].Store(o)
	}
	(*o).Observe(d.Seconds())
}

func newMetrics(s *Server) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "doorstep_http_request_seconds",
		Help: "Time to answer a request, by route and status class.", Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}},
		[]string{"method", "route", "class"})
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	counter := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f)
	}
	m.registry.MustRegister(m.requests, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("doorstep_streams", "Open SSE connections.", func() float64 { return float64(s.streams.taken()) }),
		gauge("doorstep_stores", "Stores in the live index.", func() float64 { return float64(s.Match.Stores()) }),
		gauge("doorstep_write_queue", "Changes waiting for the writer.", func() float64 { return float64(s.DB.Stats().Queue) }),
		counter("doorstep_write_functions_total", "Changes run.", func() float64 { return float64(s.DB.Stats().Functions) }),
		counter("doorstep_write_commits_total", "Commits made: fewer than changes, since they share.", func() float64 { return float64(s.DB.Stats().Groups) }),
		counter("doorstep_write_redone_total", "Groups of changes that were run a second time, with care.", func() float64 { return float64(s.DB.Stats().Redone) }),
		counter("doorstep_write_cpu_seconds_total", "Processor time of the one writer: at 1 a second it is the bottleneck.", func() float64 { return s.DB.Stats().CPU.Seconds() }),
		counter("doorstep_write_failed_total", "Changes that were refused or failed.", func() float64 { return float64(s.DB.Stats().Failed) }))
	return m
}

// Metrics serves Prometheus; give it an address of its own, it has no access control.
func (s *Server) Metrics() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}
