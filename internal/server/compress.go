package server

import (
	"bytes"
	"compress/gzip"
	"strings"
	"sync"

	"doorstep/internal/fault"
)

var (
	notReady   = fault.New(fault.Unavailable, "not-ready", "not ready for traffic").After(1e9)
	noSuchPath = fault.New(fault.NotFound, "no-such-path", "there is nothing at this path; see /openapi.yaml")
)

var gzips = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// compress makes body the answer, smaller when the client can read that. Only pages, static files
// and the map's cells and stores go through it: nothing secret stands in them next to something a
// stranger chose.
func (k *call) compress(body []byte) {
	k.answer = body
	if len(body) < 600 || !strings.Contains(k.r.Header.Get("Accept-Encoding"), "gzip") {
		return
	}
	var out bytes.Buffer
	z := gzips.Get().(*gzip.Writer)
	defer gzips.Put(z)
	z.Reset(&out)
	if _, err := z.Write(body); err != nil {
		return
	}
	if err := z.Close(); err != nil {
		return
	}
	k.header.Set("Content-Encoding", "gzip")
	k.answer = out.Bytes()
}
