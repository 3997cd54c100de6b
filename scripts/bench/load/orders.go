//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"doorstep/scripts/bench/country"
)

// orders are those that s asks for; written is what is sent for one with a key.
func (s *settings) orders(written func(key, body string) string) *country.Orders {
	if s.tag == "" {
		s.tag = strconv.FormatInt(time.Now().UnixMilli(), 36) + "-"
	}
	keys := s.keys()
	return country.NewOrders(country.OrderOptions{Stores: s.stores, Seed: s.seed, Tag: s.tag, First: s.first, Items: s.items, Scatter: s.scatter}, len(keys),
		func(sender int, body string) string { return written(keys[sender], body) })
}

// head is the head of a request with a key, without its end.
func (s *settings) head(method, path, key string) string {
	h := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, s.host())
	if key != "" {
		h += "Authorization: Bearer " + key + "\r\n"
	}
	return h
}

var errNoKey = errors.New("-key is needed: doorstep key create --role merchant --merchant NAME")

func orders(s *settings) (any, error) {
	if s.key == "" {
		return nil, errNoKey
	}
	o := s.orders(func(key, body string) string {
		return s.head("POST", "/v1/orders", key) + fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	})
	d := s.driver(http.StatusCreated, o.Next)
	d.mark = []byte(`"status":"confirmed"`)
	return d.run()
}

func (s *settings) driver(want int, request func(conn int) []byte) *driver {
	return &driver{host: s.host(), conns: s.conns, count: s.count, time: seconds(s.seconds), rate: s.rate, pid: s.pid, want: want, request: request}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// gets asks for the paths of a file in turns.
func gets(s *settings) (any, error) {
	paths, err := s.readPaths()
	if err != nil {
		return nil, err
	}
	keys := s.keys()
	requests := make([][][]byte, len(keys))
	for i, key := range keys {
		for _, path := range paths {
			requests[i] = append(requests[i], []byte(s.head("GET", path, key)+"\r\n"))
		}
	}
	n := 0
	return s.driver(http.StatusOK, func(conn int) []byte {
		n++
		return requests[conn%len(keys)][n%len(paths)]
	}).run()
}
